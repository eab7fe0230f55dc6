//! Answers of IPVS. `None` is an answer that cannot be read.

use std::net::{IpAddr, Ipv4Addr};

use super::wire::{self, daemon, destination, flag, forward, info, service, stats, top, tunnel};
use crate::kernel::netlink::wire::{Attributes, Message, address, be16, string, u8, u16, u32, u64};
use crate::state::{
    Checksum, ClientMask, Connections, Destination, DestinationId, Encapsulation, Family, Forward, Persistence, Protocol,
    Service, ServiceFlags, ServiceKey, SyncDaemon, SyncRole, Timeouts, Weight,
};

/// The counters of a service or a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// connections scheduled
    pub connections: u64,
    /// packets from clients
    pub packets_in: u64,
    /// packets to clients
    pub packets_out: u64,
    /// bytes from clients
    pub bytes_in: u64,
    /// bytes to clients
    pub bytes_out: u64,
    /// connections a second
    pub connection_rate: u64,
    /// packets from clients a second
    pub packet_rate_in: u64,
    /// packets to clients a second
    pub packet_rate_out: u64,
    /// bytes from clients a second
    pub byte_rate_in: u64,
    /// bytes to clients a second
    pub byte_rate_out: u64,
}

/// One service of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEntry {
    /// who it is
    pub key: ServiceKey,
    /// what it is, in its normal form: persistence only where the flag is set
    pub service: Service,
    /// what went through it
    pub stats: Stats,
}

/// One destination of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationEntry {
    /// who it is, in its service
    pub id: DestinationId,
    /// what it is, in its normal form: tunnel settings only where they mean something
    pub destination: Destination,
    /// what it holds now
    pub connections: Connections,
    /// what went through it
    pub stats: Stats,
}

/// What IPVS says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// 0x010201 is 1.2.1
    pub version: u32,
    /// Entries of the connection table.
    pub table_size: u32,
}

fn family(value: &[u8]) -> Option<Family> {
    match u16(value)? {
        wire::INET => Some(Family::Ipv4),
        wire::INET6 => Some(Family::Ipv6),
        _ => None,
    }
}

/// An answer to `GET_SERVICE`.
pub fn service(message: &Message<'_>) -> Option<ServiceEntry> {
    let [_, nest] = message.generic()?.table()?;
    let table = Attributes(nest?).table::<13>()?;
    let value = |kind: u16| table.get(usize::from(kind)).copied().flatten();
    let family = family(value(service::AF)?)?;
    // The answer for a fwmark has no protocol, address or port.
    let key = match value(service::FWMARK) {
        Some(mark) => ServiceKey::Mark { family, mark: u32(mark)? },
        None => ServiceKey::Tuple {
            protocol: Protocol::from_number(u16(value(service::PROTOCOL)?)?),
            address: address(family, value(service::ADDR)?)?,
            port: be16(value(service::PORT)?)?,
        },
    };
    let flags = u32(value(service::FLAGS)?.get(..4)?)?;
    let set = |flag| flags & flag != 0;
    let persistence = if set(flag::PERSISTENT) {
        let mask = value(service::NETMASK)?;
        let clients = match family {
            Family::Ipv4 => ClientMask::Ipv4(Ipv4Addr::from(<[u8; 4]>::try_from(mask).ok()?)),
            Family::Ipv6 => ClientMask::Ipv6(u32(mask)?),
        };
        Some(Persistence { timeout: u32(value(service::TIMEOUT)?)?, clients })
    } else {
        None
    };
    let service = Service {
        scheduler: string(value(service::SCHED_NAME)?),
        flags: ServiceFlags {
            one_packet: set(flag::ONEPACKET),
            sched1: set(flag::SCHED1),
            sched2: set(flag::SCHED2),
            sched3: set(flag::SCHED3),
        },
        persistence,
        engine: value(service::PE_NAME).map(string),
    };
    Some(ServiceEntry { key, service, stats: counters(value(service::STATS64), value(service::STATS))? })
}

/// An answer to `GET_DEST` for a service of `service_family`.
pub fn destination(message: &Message<'_>, service_family: Family) -> Option<DestinationEntry> {
    let [_, _, nest] = message.generic()?.table()?;
    let table = Attributes(nest?).table::<16>()?;
    let value = |kind: u16| table.get(usize::from(kind)).copied().flatten();
    let number = |kind: u16| u32(value(kind)?);
    let count = |kind: u16| value(kind).map_or(Some(0), u32);
    let family = match value(destination::ADDR_FAMILY) {
        Some(value) => family(value)?,
        None => service_family,
    };
    let address: IpAddr = address(family, value(destination::ADDR)?)?;
    let port = be16(value(destination::PORT)?)?;
    let forward = match number(destination::FWD_METHOD)? & forward::MASK {
        forward::MASQ => Forward::Nat,
        forward::DROUTE => Forward::Dr,
        forward::TUNNEL => {
            let checksum = value(destination::TUN_FLAGS).map_or(Some(0), u16).map(checksum)?;
            Forward::Tun(match value(destination::TUN_TYPE).map_or(Some(tunnel::IPIP), u8)? {
                tunnel::IPIP => Encapsulation::Ipip,
                tunnel::GUE => Encapsulation::Gue { port: be16(value(destination::TUN_PORT)?)?, checksum },
                tunnel::GRE => Encapsulation::Gre { checksum },
                other => Encapsulation::Other(other),
            })
        }
        other => Forward::Other(other),
    };
    Some(DestinationEntry {
        id: DestinationId((address, port).into()),
        destination: Destination {
            forward,
            weight: Weight::Owned(number(destination::WEIGHT)?),
            max_connections: number(destination::U_THRESH)?,
            min_connections: number(destination::L_THRESH)?,
        },
        connections: Connections {
            active: count(destination::ACTIVE_CONNS)?,
            inactive: count(destination::INACT_CONNS)?,
            persistent: count(destination::PERSIST_CONNS)?,
        },
        stats: counters(value(destination::STATS64), value(destination::STATS))?,
    })
}

fn checksum(flags: u16) -> Checksum {
    match flags {
        tunnel::NOCSUM => Checksum::None,
        tunnel::CSUM => Checksum::Csum,
        tunnel::REMCSUM => Checksum::Remcsum,
        other => Checksum::Other(other),
    }
}

/// The counters of 64 bits where there are some, else those of 32; none at all are zeros.
fn counters(wide: Option<&[u8]>, narrow: Option<&[u8]>) -> Option<Stats> {
    let Some(nest) = wide.or(narrow) else { return Some(Stats::default()) };
    let table = Attributes(nest).table::<12>()?;
    let number = |kind: u16| match table.get(usize::from(kind)).copied().flatten() {
        Some(value) => u64(value).or_else(|| u32(value).map(u64::from)),
        None => Some(0),
    };
    Some(Stats {
        connections: number(stats::CONNS)?,
        packets_in: number(stats::INPKTS)?,
        packets_out: number(stats::OUTPKTS)?,
        bytes_in: number(stats::INBYTES)?,
        bytes_out: number(stats::OUTBYTES)?,
        connection_rate: number(stats::CPS)?,
        packet_rate_in: number(stats::INPPS)?,
        packet_rate_out: number(stats::OUTPPS)?,
        byte_rate_in: number(stats::INBPS)?,
        byte_rate_out: number(stats::OUTBPS)?,
    })
}

/// An answer to `GET_DAEMON`.
pub fn daemon(message: &Message<'_>) -> Option<(SyncRole, SyncDaemon)> {
    let [_, _, _, nest] = message.generic()?.table()?;
    let table = Attributes(nest?).table::<9>()?;
    let value = |kind: u16| table.get(usize::from(kind)).copied().flatten();
    let role = match u32(value(daemon::STATE)?)? {
        daemon::MASTER => SyncRole::Master,
        daemon::BACKUP => SyncRole::Backup,
        _ => return None,
    };
    // Before 4.3 a daemon had no more than a name and an id, and what are defaults now was fixed.
    let group = match (value(daemon::MCAST_GROUP), value(daemon::MCAST_GROUP6)) {
        (Some(group), _) => address(Family::Ipv4, group)?,
        (None, Some(group)) => address(Family::Ipv6, group)?,
        (None, None) => DEFAULT_GROUP,
    };
    let daemon = SyncDaemon {
        interface: string(value(daemon::MCAST_IFN)?),
        id: u32(value(daemon::SYNC_ID)?)?,
        group,
        port: value(daemon::MCAST_PORT).map_or(Some(DEFAULT_PORT), u16)?,
        ttl: value(daemon::MCAST_TTL).map_or(Some(DEFAULT_TTL), u8)?,
        max_length: match value(daemon::SYNC_MAXLEN) {
            Some(length) => Some(u16(length)?),
            None => None,
        },
    };
    Some((role, daemon))
}

const DEFAULT_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
const DEFAULT_PORT: u16 = 8848;
const DEFAULT_TTL: u8 = 1;

/// The answer to `GET_CONFIG`.
pub fn timeouts(message: &Message<'_>) -> Option<Timeouts> {
    let table = message.generic()?.table::<7>()?;
    let value = |kind: u16| table.get(usize::from(kind)).copied().flatten();
    Some(Timeouts {
        tcp: Some(u32(value(top::TIMEOUT_TCP)?)?),
        tcp_fin: Some(u32(value(top::TIMEOUT_TCP_FIN)?)?),
        udp: Some(u32(value(top::TIMEOUT_UDP)?)?),
    })
}

/// The answer to `GET_INFO`.
pub fn info(message: &Message<'_>) -> Option<Info> {
    let table = message.generic()?.table::<3>()?;
    let value = |kind: u16| table.get(usize::from(kind)).copied().flatten();
    Some(Info { version: u32(value(info::VERSION)?)?, table_size: u32(value(info::CONN_TAB_SIZE)?)? })
}
