//! Virtual services: who they are and how they schedule.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Family, FieldChange, Fields};

/// The transport protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// 6
    Tcp,
    /// 17
    Udp,
    /// 132
    Sctp,
    /// What generic netlink accepts from others without checking it; no topology can ask for it.
    Other(u16),
}

impl Protocol {
    /// The number in an IP header (`/etc/protocols`).
    pub fn number(self) -> u16 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
            Protocol::Other(number) => number,
        }
    }

    /// The protocol of a number in an IP header.
    pub fn from_number(number: u16) -> Protocol {
        match number {
            6 => Protocol::Tcp,
            17 => Protocol::Udp,
            132 => Protocol::Sctp,
            other => Protocol::Other(other),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Protocol::Tcp => f.write_str("tcp"),
            Protocol::Udp => f.write_str("udp"),
            Protocol::Sctp => f.write_str("sctp"),
            Protocol::Other(number) => write!(f, "protocol-{number}"),
        }
    }
}

impl FromStr for Protocol {
    type Err = ();

    fn from_str(text: &str) -> Result<Protocol, ()> {
        match text {
            "tcp" => Ok(Protocol::Tcp),
            "udp" => Ok(Protocol::Udp),
            "sctp" => Ok(Protocol::Sctp),
            _ => text.strip_prefix("protocol-").and_then(|number| number.parse().ok()).map(Protocol::from_number).ok_or(()),
        }
    }
}

/// The kernel's identity of a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// By protocol, address and port. Port 0 is every port.
    Tuple {
        /// tcp, udp or sctp
        protocol: Protocol,
        /// the VIP
        address: IpAddr,
        /// host byte order
        port: u16,
    },
    /// By firewall mark.
    Mark {
        /// IPv4 and IPv6 packets with one mark are two services
        family: Family,
        /// 1 to 4294967295
        mark: u32,
    },
}

impl ServiceKey {
    /// The family of the packets that the service takes.
    pub fn family(&self) -> Family {
        match self {
            ServiceKey::Tuple { address, .. } => Family::of(*address),
            ServiceKey::Mark { family, .. } => *family,
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceKey::Tuple { protocol, address, port } => write!(f, "{protocol} {}", SocketAddr::new(*address, *port)),
            ServiceKey::Mark { family, mark } => write!(f, "fwmark {mark} {family}"),
        }
    }
}

/// What a virtual service is, beside its key and its destinations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The kernel's name of the scheduler; `none` is the kernel's word for a service without one.
    pub scheduler: String,
    /// The scheduler's options and one-packet scheduling.
    #[serde(default)]
    pub flags: ServiceFlags,
    /// Whether a client stays with its server, and for how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
    /// The persistence engine's kernel name; only `sip` exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

/// The flags of a service that its maker decides on (`IP_VS_SVC_F_*` without PERSISTENT, which is [`Service::persistence`],
/// and HASHED, which is the kernel's own).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceFlags {
    /// `ONEPACKET`: each udp datagram is scheduled by itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub one_packet: bool,
    /// `SCHED1`: `fallback` for sh and mh.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sched1: bool,
    /// `SCHED2`: `port` for sh and mh.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sched2: bool,
    /// `SCHED3`: no scheduler uses it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sched3: bool,
}

/// Persistence of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistence {
    /// seconds
    pub timeout: u32,
    /// Which clients count as one.
    pub clients: ClientMask,
}

/// The part of a client's address that counts for persistence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientMask {
    /// An IPv4 mask. The kernel takes any, also one with holes; a topology only asks for prefixes.
    Ipv4(Ipv4Addr),
    /// The length of an IPv6 prefix.
    Ipv6(u32),
}

impl ClientMask {
    /// The mask of a prefix length.
    pub fn from_prefix(family: Family, length: u8) -> ClientMask {
        match family {
            Family::Ipv4 => {
                ClientMask::Ipv4(Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0)))
            }
            Family::Ipv6 => ClientMask::Ipv6(u32::from(length)),
        }
    }
}

impl fmt::Display for ClientMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientMask::Ipv4(mask) if mask.to_bits().leading_ones() == mask.to_bits().count_ones() => {
                write!(f, "/{}", mask.to_bits().count_ones())
            }
            ClientMask::Ipv4(mask) => write!(f, "mask {mask}"),
            ClientMask::Ipv6(length) => write!(f, "/{length}"),
        }
    }
}

/// Whether the order in which destinations were added decides which client goes where: the schedulers that build a table
/// by walking the list (`ip_vs_sh.c`, `ip_vs_dh.c`, `ip_vs_mh.c`).
pub fn order_matters(scheduler: &str) -> bool {
    matches!(scheduler, "sh" | "dh" | "mh")
}

impl Service {
    /// The scheduler with its options as a person reads it: `mh (port)`.
    pub fn scheduler_text(&self) -> String {
        let ServiceFlags { one_packet: _, sched1, sched2, sched3 } = self.flags;
        let hashes = matches!(self.scheduler.as_str(), "sh" | "mh");
        let options: Vec<&str> = [
            (sched2, if hashes { "port" } else { "flag-2" }),
            (sched1, if hashes { "fallback" } else { "flag-1" }),
            (sched3, "flag-3"),
        ]
        .into_iter()
        .filter_map(|(set, word)| set.then_some(word))
        .collect();
        if options.is_empty() { self.scheduler.clone() } else { format!("{} ({})", self.scheduler, options.join(", ")) }
    }

    pub(super) fn differences(&self, after: &Service) -> Vec<FieldChange> {
        let Service { scheduler: _, flags, persistence, engine } = self;
        let ServiceFlags { one_packet, sched1: _, sched2: _, sched3: _ } = flags; // the other three are in scheduler_text
        let mut changes = Fields::default();
        changes.compare("scheduler", &self.scheduler_text(), &after.scheduler_text());
        changes.compare("one-packet", one_packet, &after.flags.one_packet);
        changes.compare_optional("persistence", persistence.map(seconds).as_ref(), after.persistence.map(seconds).as_ref());
        changes.compare_optional(
            "persistence clients",
            persistence.map(|persistence| persistence.clients.to_string()).as_ref(),
            after.persistence.map(|persistence| persistence.clients.to_string()).as_ref(),
        );
        changes.compare_optional("persistence engine", engine.as_ref(), after.engine.as_ref());
        changes.0
    }
}

fn seconds(persistence: Persistence) -> String {
    let Persistence { timeout, clients: _ } = persistence;
    super::duration(timeout)
}
