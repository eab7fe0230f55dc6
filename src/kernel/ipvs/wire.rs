//! The numbers of the IPVS protocol (`include/uapi/linux/ip_vs.h`).

/// The family's name; its number is the kernel's choice at boot.
pub const FAMILY: &str = "IPVS";
/// The only version.
pub const VERSION: u8 = 1;

/// `IPVS_CMD_*`
pub mod command {
    /// make a service
    pub const NEW_SERVICE: u8 = 1;
    /// replace all of a service but its key
    pub const SET_SERVICE: u8 = 2;
    /// delete a service and its destinations
    pub const DEL_SERVICE: u8 = 3;
    /// one service, or a dump of all
    pub const GET_SERVICE: u8 = 4;
    /// make a destination
    pub const NEW_DEST: u8 = 5;
    /// replace all of a destination but its key
    pub const SET_DEST: u8 = 6;
    /// delete a destination
    pub const DEL_DEST: u8 = 7;
    /// a dump of one service's destinations; no such service: an empty dump
    pub const GET_DEST: u8 = 8;
    /// start a sync daemon
    pub const NEW_DAEMON: u8 = 9;
    /// stop a sync daemon
    pub const DEL_DAEMON: u8 = 10;
    /// a dump of the sync daemons
    pub const GET_DAEMON: u8 = 11;
    /// set timeouts
    pub const SET_CONFIG: u8 = 12;
    /// the timeouts
    pub const GET_CONFIG: u8 = 13;
    /// the number of the answer to `GET_INFO`
    pub const SET_INFO: u8 = 14;
    /// the version of IPVS and the size of its connection table
    pub const GET_INFO: u8 = 15;
    /// set counters to zero
    pub const ZERO: u8 = 16;
    /// delete everything
    pub const FLUSH: u8 = 17;
}

/// `IPVS_CMD_ATTR_*`: what stands at the top of a message.
pub mod top {
    /// nested
    pub const SERVICE: u16 = 1;
    /// nested
    pub const DEST: u16 = 2;
    /// nested
    pub const DAEMON: u16 = 3;
    /// u32, seconds
    pub const TIMEOUT_TCP: u16 = 4;
    /// u32, seconds
    pub const TIMEOUT_TCP_FIN: u16 = 5;
    /// u32, seconds
    pub const TIMEOUT_UDP: u16 = 6;
}

/// `IPVS_INFO_ATTR_*`: at the top of an answer to `GET_INFO`, with the numbers of other attributes.
pub mod info {
    /// u32: 0x010201 is 1.2.1
    pub const VERSION: u16 = 1;
    /// u32, entries
    pub const CONN_TAB_SIZE: u16 = 2;
}

/// `IPVS_SVC_ATTR_*`
pub mod service {
    /// u16, host order
    pub const AF: u16 = 1;
    /// u16, host order; absent for a fwmark
    pub const PROTOCOL: u16 = 2;
    /// 4 or 16 bytes; answers have 16; absent for a fwmark
    pub const ADDR: u16 = 3;
    /// be16; absent for a fwmark
    pub const PORT: u16 = 4;
    /// u32, host order
    pub const FWMARK: u16 = 5;
    /// string, at most 15 bytes
    pub const SCHED_NAME: u16 = 6;
    /// two u32 in host order: flags and mask
    pub const FLAGS: u16 = 7;
    /// u32, seconds of persistence
    pub const TIMEOUT: u16 = 8;
    /// IPv4: a mask in network order; IPv6: a prefix length in host order
    pub const NETMASK: u16 = 9;
    /// nested, 32 bit counters
    pub const STATS: u16 = 10;
    /// string, at most 15 bytes; absent in `SET_SERVICE`: no engine any more
    pub const PE_NAME: u16 = 11;
    /// nested, 64 bit counters; kernel 4.1 and later
    pub const STATS64: u16 = 12;
}

/// `IPVS_DEST_ATTR_*`
pub mod destination {
    /// 4 or 16 bytes; answers have 16
    pub const ADDR: u16 = 1;
    /// be16
    pub const PORT: u16 = 2;
    /// u32, host order
    pub const FWD_METHOD: u16 = 3;
    /// u32, host order; from 2^31 on: `ERANGE`
    pub const WEIGHT: u16 = 4;
    /// u32, host order
    pub const U_THRESH: u16 = 5;
    /// u32, host order
    pub const L_THRESH: u16 = 6;
    /// u32, answers only
    pub const ACTIVE_CONNS: u16 = 7;
    /// u32, answers only
    pub const INACT_CONNS: u16 = 8;
    /// u32, answers only
    pub const PERSIST_CONNS: u16 = 9;
    /// nested, 32 bit counters
    pub const STATS: u16 = 10;
    /// u16, host order; absent: the service's (before 3.18)
    pub const ADDR_FAMILY: u16 = 11;
    /// nested, 64 bit counters; kernel 4.1 and later
    pub const STATS64: u16 = 12;
    /// u8; absent in a request: ipip
    pub const TUN_TYPE: u16 = 13;
    /// be16; absent in a request: 0
    pub const TUN_PORT: u16 = 14;
    /// u16, host order; absent in a request: 0
    pub const TUN_FLAGS: u16 = 15;
}

/// `IPVS_DAEMON_ATTR_*`
pub mod daemon {
    /// u32: 1 master, 2 backup
    pub const STATE: u16 = 1;
    /// string, at most 15 bytes
    pub const MCAST_IFN: u16 = 2;
    /// u32, host order
    pub const SYNC_ID: u16 = 3;
    /// u16, host order
    pub const SYNC_MAXLEN: u16 = 4;
    /// 4 bytes
    pub const MCAST_GROUP: u16 = 5;
    /// 16 bytes
    pub const MCAST_GROUP6: u16 = 6;
    /// u16 in HOST order, other than every other port
    pub const MCAST_PORT: u16 = 7;
    /// u8
    pub const MCAST_TTL: u16 = 8;
    /// the value of STATE
    pub const MASTER: u32 = 1;
    /// the value of STATE
    pub const BACKUP: u32 = 2;
}

/// `IPVS_STATS_ATTR_*`: u32 in STATS but for the bytes, u64 in STATS64.
pub mod stats {
    /// connections scheduled
    pub const CONNS: u16 = 1;
    /// packets from clients
    pub const INPKTS: u16 = 2;
    /// packets to clients
    pub const OUTPKTS: u16 = 3;
    /// bytes from clients, u64 in both
    pub const INBYTES: u16 = 4;
    /// bytes to clients, u64 in both
    pub const OUTBYTES: u16 = 5;
    /// connections a second
    pub const CPS: u16 = 6;
    /// packets from clients a second
    pub const INPPS: u16 = 7;
    /// packets to clients a second
    pub const OUTPPS: u16 = 8;
    /// bytes from clients a second
    pub const INBPS: u16 = 9;
    /// bytes to clients a second
    pub const OUTBPS: u16 = 10;
    /// alignment
    pub const PAD: u16 = 11;
}

/// `IP_VS_SVC_F_*`
pub mod flag {
    /// clients stay with their server
    pub const PERSISTENT: u32 = 0x1;
    /// the kernel's own; every dump has it, no request may
    pub const HASHED: u32 = 0x2;
    /// every packet by itself
    pub const ONEPACKET: u32 = 0x4;
    /// fallback of sh and mh
    pub const SCHED1: u32 = 0x8;
    /// port of sh and mh
    pub const SCHED2: u32 = 0x10;
    /// no scheduler's
    pub const SCHED3: u32 = 0x20;
    /// all that a request decides on
    pub const MASK: u32 = PERSISTENT | ONEPACKET | SCHED1 | SCHED2 | SCHED3;
}

/// `IP_VS_CONN_F_*`: how packets reach a destination.
pub mod forward {
    /// nat
    pub const MASQ: u32 = 0;
    /// to this host itself
    pub const LOCALNODE: u32 = 1;
    /// tun
    pub const TUNNEL: u32 = 2;
    /// dr
    pub const DROUTE: u32 = 3;
    /// to where the client sent it
    pub const BYPASS: u32 = 4;
    /// the bits of the method
    pub const MASK: u32 = 7;
}

/// `IP_VS_CONN_F_TUNNEL_TYPE_*` and `IP_VS_TUNNEL_ENCAP_FLAG_*`
pub mod tunnel {
    /// type
    pub const IPIP: u8 = 0;
    /// type; kernel 5.2 and later
    pub const GUE: u8 = 1;
    /// type; kernel 5.3 and later
    pub const GRE: u8 = 2;
    /// flags
    pub const NOCSUM: u16 = 0;
    /// flags
    pub const CSUM: u16 = 1;
    /// flags
    pub const REMCSUM: u16 = 2;
}

/// `AF_INET`
pub const INET: u16 = 2;
/// `AF_INET6`
pub const INET6: u16 = 10;
