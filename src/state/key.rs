//! The kernel's identity of an object, as text and back.
//!
//! The spelling is the language's ("identity" in `docs/language.md`) and is the same in plans, JSON, ledgers and on the
//! command line. A key never holds a word of the topology file.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{AddressKey, DestinationKey, FouKey, MAIN_TABLE, RouteKey, RuleKey, ServiceKey, SyncRole, SysctlKey};

/// An address family that IPVS knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// `AF_INET`
    Ipv4,
    /// `AF_INET6`
    Ipv6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
    }

    /// The length of a whole address in bits: 32 or 128.
    pub fn bits(self) -> u8 {
        match self {
            Family::Ipv4 => 32,
            Family::Ipv6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
        })
    }
}

/// Which object of the kernel. The order of the variants is the order in which plans list objects of equal rank.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `module ip_vs`
    Module(String),
    /// `sysctl net.core.somaxconn`
    Sysctl(SysctlKey),
    /// `fou 6080 ipv4`
    Fou(FouKey),
    /// `link ipip-1c9a04`
    Link(String),
    /// `vip 10.0.0.100 eth0`, or `address 172.16.0.2/30 dc2` where the prefix is not the whole address
    Address(AddressKey),
    /// `route 10.77.0.0/16 via 10.0.0.1 dev eth0`, and ` table 100`, ` metric 5`, ` tos 8` where they are not the usual ones
    Route(RouteKey),
    /// `rule ipv4 30000 from 10.0.0.11 ipproto tcp sport 8080 lookup 167772161`
    Rule(RuleKey),
    /// `nftables lvsform-flash-sale`: the table of this name of the family `inet`
    Nftables(String),
    /// `timeouts`
    Timeouts,
    /// `service tcp 10.0.0.100:443`, `service fwmark 7 ipv6`
    Service(ServiceKey),
    /// `server tcp 10.0.0.100:443 10.0.0.13:443`
    Destination(DestinationKey),
    /// `order tcp 10.0.0.100:443`
    Order(ServiceKey),
    /// `sync master`
    Sync(SyncRole),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Module(name) => write!(f, "module {name}"),
            Key::Sysctl(key) => write!(f, "sysctl {key}"),
            Key::Fou(key) => write!(f, "fou {} {}", key.port, key.family),
            Key::Link(name) => write!(f, "link {name}"),
            Key::Address(AddressKey { address, prefix, interface }) => {
                if *prefix == Family::of(*address).bits() {
                    write!(f, "vip {address} {interface}")
                } else {
                    write!(f, "address {address}/{prefix} {interface}")
                }
            }
            Key::Route(key) => write_route(key, f),
            Key::Rule(key) => key.fmt(f),
            Key::Nftables(table) => write!(f, "nftables {table}"),
            Key::Timeouts => f.write_str("timeouts"),
            Key::Service(service) => write!(f, "service {service}"),
            Key::Destination(key) => write!(f, "server {} {}", key.service, key.id()),
            Key::Order(service) => write!(f, "order {service}"),
            Key::Sync(role) => write!(f, "sync {role}"),
        }
    }
}

fn write_route(key: &RouteKey, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let RouteKey { destination, via, interface, table, metric, tos } = key;
    write!(f, "route {destination}")?;
    if let Some(via) = via {
        write!(f, " via {via}")?;
    }
    if !interface.is_empty() {
        write!(f, " dev {interface}")?;
    }
    for (word, value, usual) in [("table", *table, MAIN_TABLE), ("metric", *metric, 0), ("tos", u32::from(*tos), 0)] {
        if value != usual {
            write!(f, " {word} {value}")?;
        }
    }
    Ok(())
}

impl Key {
    /// The server, where it is one.
    pub fn server(&self) -> Option<DestinationKey> {
        match self {
            Key::Destination(server) => Some(*server),
            _ => None,
        }
    }

    /// The address, where it is one.
    pub fn address(&self) -> Option<&AddressKey> {
        match self {
            Key::Address(address) => Some(address),
            _ => None,
        }
    }

    /// The module that must be loaded before the object can be made, since nothing loads it by itself in time: `ip_vs` brings
    /// sysctls, and so do two schedulers; `fou` a netlink family. Other schedulers and tunnel kinds are loaded by the kernel when the object is made.
    pub fn module(&self) -> Option<&'static str> {
        match self {
            Key::Service(_) | Key::Timeouts | Key::Sync(_) => Some("ip_vs"),
            // Two schedulers bring a key of their own.
            Key::Sysctl(sysctl) if sysctl.path() == "net/ipv4/vs/lblc_expiration" => Some("ip_vs_lblc"),
            Key::Sysctl(sysctl) if sysctl.path() == "net/ipv4/vs/lblcr_expiration" => Some("ip_vs_lblcr"),
            Key::Sysctl(sysctl) if sysctl.path().starts_with("net/ipv4/vs/") => Some("ip_vs"),
            Key::Fou(FouKey { family: Family::Ipv4, .. }) => Some("fou"),
            Key::Fou(FouKey { family: Family::Ipv6, .. }) => Some("fou6"),
            _ => None,
        }
    }

    /// Whether it is a value that a namespace always has: it can be changed, and never goes away.
    pub fn is_value(&self) -> bool {
        matches!(self, Key::Module(_) | Key::Sysctl(_) | Key::Timeouts)
    }
}

/// A text that names no object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseKeyError {
    /// The text as it was.
    pub text: String,
}

impl fmt::Display for ParseKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` names no object: expected for example `service tcp 10.0.0.100:443`, `server tcp 10.0.0.100:443 10.0.0.13:443`, `vip 10.0.0.100 eth0`",
            self.text
        )
    }
}

impl std::error::Error for ParseKeyError {}

impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Key, ParseKeyError> {
        parse(text).ok_or_else(|| ParseKeyError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Key> {
    if text == "timeouts" {
        return Some(Key::Timeouts);
    }
    let (kind, rest) = text.split_once(' ')?;
    let name = || (!rest.is_empty()).then(|| rest.to_owned());
    Some(match kind {
        "module" => Key::Module(name()?),
        "sysctl" => Key::Sysctl(SysctlKey::parse(rest)?),
        "fou" => {
            let (port, family) = rest.split_once(' ')?;
            Key::Fou(FouKey { family: self::family(family)?, port: port.parse().ok()? })
        }
        "link" => Key::Link(name()?),
        "vip" => {
            let (address, interface) = rest.split_once(' ')?;
            let address: IpAddr = address.parse().ok()?;
            Key::Address(AddressKey { interface: interface.to_owned(), address, prefix: Family::of(address).bits() })
        }
        "address" => {
            let (address, interface) = rest.split_once(' ')?;
            let network: ipnet::IpNet = address.parse().ok()?;
            Key::Address(AddressKey { interface: interface.to_owned(), address: network.addr(), prefix: network.prefix_len() })
        }
        "route" => Key::Route(route(rest)?),
        "rule" => Key::Rule(RuleKey::parse(rest)?),
        "nftables" => Key::Nftables(name()?),
        "service" => Key::Service(service(rest)?),
        "order" => Key::Order(service(rest)?),
        "server" => {
            let (service_text, server) = rest.rsplit_once(' ')?;
            let server: SocketAddr = server.parse().ok()?;
            Key::Destination(DestinationKey { service: service(service_text)?, address: server.ip(), port: server.port() })
        }
        "sync" => Key::Sync(match rest {
            "master" => SyncRole::Master,
            "backup" => SyncRole::Backup,
            _ => return None,
        }),
        _ => return None,
    })
}

fn route(text: &str) -> Option<RouteKey> {
    let (destination, mut rest) = text.split_once(' ').unwrap_or((text, ""));
    let destination = destination.parse().ok()?;
    let mut key = RouteKey { destination, via: None, interface: String::new(), table: MAIN_TABLE, metric: 0, tos: 0 };
    while let Some((word, after)) = rest.split_once(' ') {
        let (value, after) = after.split_once(' ').unwrap_or((after, ""));
        match word {
            "via" => key.via = Some(value.parse().ok()?),
            "dev" => value.clone_into(&mut key.interface),
            "table" => key.table = value.parse().ok()?,
            "metric" => key.metric = value.parse().ok()?,
            "tos" => key.tos = value.parse().ok()?,
            _ => return None,
        }
        rest = after;
    }
    rest.is_empty().then_some(key)
}

fn family(text: &str) -> Option<Family> {
    match text {
        "ipv4" => Some(Family::Ipv4),
        "ipv6" => Some(Family::Ipv6),
        _ => None,
    }
}

fn service(text: &str) -> Option<ServiceKey> {
    let (kind, rest) = text.split_once(' ')?;
    if kind == "fwmark" {
        let (mark, family) = rest.split_once(' ')?;
        return Some(ServiceKey::Mark { family: self::family(family)?, mark: mark.parse().ok()? });
    }
    let address: SocketAddr = rest.parse().ok()?;
    Some(ServiceKey::Tuple { protocol: kind.parse().ok()?, address: address.ip(), port: address.port() })
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn every_kind_of_key_is_read_back_from_its_own_text() {
        for text in [
            "module ip_vs",
            "sysctl net.ipv4.ip_forward",
            "sysctl net/ipv4/conf/eth0.100/rp_filter",
            "fou 6080 ipv6",
            "link ipip-1c9a04",
            "vip 10.0.0.100 eth0",
            "vip 2001:db8::1 lo",
            "address 172.16.0.2/30 dc2",
            "route 10.77.0.0/16 via 10.0.0.1 dev eth0",
            "route ::/0 via fe80::1 dev eth0 metric 1024",
            "route 10.78.0.0/16 table 100 metric 5 tos 8",
            "rule ipv4 30000 from 10.0.0.11 ipproto tcp sport 8080 lookup 167772161",
            "rule ipv6 30000 fwmark 7 lookup 100",
            "nftables lvsform-flash-sale",
            "timeouts",
            "service tcp 10.0.0.100:443",
            "service udp [2001:db8::1]:53",
            "service protocol-50 10.0.0.1:0",
            "service fwmark 7 ipv6",
            "server tcp 10.0.0.100:443 10.0.0.13:443",
            "server fwmark 7 ipv4 [2001:db8::9]:0",
            "order sctp 10.0.0.100:443",
            "sync backup",
        ] {
            assert_eq!(text.parse::<Key>().map(|key| key.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_names_no_object_is_an_error() {
        for text in [
            "",
            "service",
            "service tcp 10.0.0.1",
            "vip eth0",
            "sysctl",
            "server tcp 1.2.3.4:5",
            "sync both",
            "fou x ipv4",
            "route",
            "route 10.0.0.0/8 to lo",
            "rule ipv4 1 from 10.0.0.1",
            "rule ipv4 1 lookup 5 sport 6",
        ] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
    }
}
