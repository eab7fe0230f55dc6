//! Rules of the routing policy (ip-rule(8)): whose packets look into which table.
//!
//! The kernel tells rules apart by everything that they say, so that is their key, and there is nothing else to compare.

use std::fmt;
use std::net::IpAddr;

use super::{Family, Protocol};

/// The priority of our rules, or one more or less: before the main table (32766), behind what others put first on purpose. The kernel
/// keeps several rules of one priority.
pub const RULE_PRIORITY: u32 = 30_000;

/// The identity of a rule that leads to a table: its words, in ip-rule(8)'s own order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleKey {
    /// Whose packets.
    pub family: Family,
    /// Lower ones come first.
    pub priority: u32,
    /// Only packets that leave with this address.
    pub from: Option<IpAddr>,
    /// Only packets with this mark.
    pub mark: Option<u32>,
    /// Only this protocol.
    pub protocol: Option<Protocol>,
    /// Only packets that leave from this port.
    pub source_port: Option<u16>,
    /// The routing table.
    pub table: u32,
}

impl fmt::Display for RuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RuleKey { family, priority, from, mark, protocol, source_port, table } = self;
        write!(f, "rule {family} {priority}")?;
        if let Some(from) = from {
            write!(f, " from {from}")?;
        }
        if let Some(mark) = mark {
            write!(f, " fwmark {mark}")?;
        }
        if let Some(protocol) = protocol {
            write!(f, " ipproto {protocol}")?;
        }
        if let Some(port) = source_port {
            write!(f, " sport {port}")?;
        }
        write!(f, " lookup {table}")
    }
}

impl RuleKey {
    /// Reads what stands behind `rule `.
    pub(super) fn parse(text: &str) -> Option<RuleKey> {
        let mut words = text.split(' ');
        let family = match words.next()? {
            "ipv4" => Family::Ipv4,
            "ipv6" => Family::Ipv6,
            _ => return None,
        };
        let priority = words.next()?.parse().ok()?;
        let mut key = RuleKey { family, priority, from: None, mark: None, protocol: None, source_port: None, table: 0 };
        loop {
            let (word, value) = (words.next()?, words.next()?);
            match word {
                "from" => key.from = Some(value.parse().ok()?),
                "fwmark" => key.mark = Some(value.parse().ok()?),
                "ipproto" => key.protocol = Some(value.parse().ok()?),
                "sport" => key.source_port = Some(value.parse().ok()?),
                "lookup" => {
                    key.table = value.parse().ok()?;
                    return words.next().is_none().then_some(key);
                }
                _ => return None,
            }
        }
    }
}
