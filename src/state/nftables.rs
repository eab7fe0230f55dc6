//! A topology's table of nftables: which packets get a mark, and which leave with another source address.
//!
//! A table is one object, since it is replaced whole, in one transaction of the kernel. It is always of the family `inet`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Family, FieldChange, Fields, Protocol};

/// What a table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The chains by name.
    pub chains: BTreeMap<String, Chain>,
}

/// A chain with its rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Where packets come into it; `None`: from other chains alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// In their order.
    pub rules: Vec<TableRule>,
}

/// Where packets come into a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// `filter`, `nat`
    #[serde(rename = "type")]
    pub kind: String,
    /// `NF_INET_*`: 0 is prerouting, 4 postrouting.
    pub hook: u32,
    /// Lower ones come first.
    pub priority: i32,
    /// `NF_DROP` (0) or `NF_ACCEPT` (1): what becomes of packets that no rule decides.
    pub policy: u32,
}

impl Base {
    /// `type filter hook prerouting priority mangle`: before IPVS and the routing see a packet.
    pub fn prerouting() -> Base {
        Base { kind: "filter".to_owned(), hook: 0, priority: -150, policy: 1 }
    }

    /// `type nat hook postrouting priority srcnat`
    pub fn postrouting() -> Base {
        Base { kind: "nat".to_owned(), hook: 4, priority: 100, policy: 1 }
    }
}

/// A rule of a chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TableRule {
    /// One that we have words for.
    Known {
        /// All of them must hold, in this order.
        matches: Vec<Match>,
        /// What is done then.
        statement: Statement,
    },
    /// Somebody else's, as the kernel sent it (`NFTA_RULE_EXPRESSIONS`), to be put back so.
    Foreign {
        /// The bytes.
        expressions: Vec<u8>,
    },
}

/// What a rule asks of a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// It leaves by this interface.
    Out(String),
    /// It comes from here.
    From(IpNet),
    /// It goes here.
    To(IpAddr),
    /// It is of this protocol.
    Protocol(Protocol),
    /// It goes to this port.
    ToPort(u16),
    /// Its connection's first packet went here, before IPVS or anybody else sent it elsewhere.
    OriginallyTo(IpAddr),
    /// The same of the port.
    OriginallyToPort(u16),
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statement {
    /// The packet gets this mark.
    Mark(u32),
    /// Its connection leaves with the address of the interface.
    Masquerade,
}

fn word(address: IpAddr) -> &'static str {
    match Family::of(address) {
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip6",
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Match::Out(interface) => write!(f, "oifname \"{interface}\""),
            Match::From(network) => write!(f, "{} saddr {network}", word(network.addr())),
            Match::To(address) => write!(f, "{} daddr {address}", word(*address)),
            Match::Protocol(protocol) => write!(f, "meta l4proto {protocol}"),
            Match::ToPort(port) => write!(f, "th dport {port}"),
            Match::OriginallyTo(address) => write!(f, "ct original {} daddr {address}", word(*address)),
            Match::OriginallyToPort(port) => write!(f, "ct original proto-dst {port}"),
        }
    }
}

/// As nft(8) writes it.
impl fmt::Display for TableRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableRule::Known { matches, statement } => {
                for one in matches {
                    write!(f, "{one} ")?;
                }
                match statement {
                    Statement::Mark(mark) => write!(f, "meta mark set {mark}"),
                    Statement::Masquerade => f.write_str("masquerade"),
                }
            }
            TableRule::Foreign { expressions } => write!(f, "a rule of somebody else, {} bytes", expressions.len()),
        }
    }
}

impl Table {
    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.chains.values().map(|chain| chain.rules.len()).sum()
    }

    pub(super) fn differences(&self, after: &Table) -> Vec<FieldChange> {
        let Table { chains } = self;
        let mut changes = Fields::default();
        let names: std::collections::BTreeSet<&String> = chains.keys().chain(after.chains.keys()).collect();
        for name in names {
            let (before, after) = (chains.get(name), after.chains.get(name));
            let rules = |chain: Option<&Chain>| chain.map(|chain| chain.rules.clone()).unwrap_or_default();
            let base = |chain: Option<&Chain>| chain.and_then(|chain| chain.base.clone()).map(|base| base.to_string());
            if before.is_some() && after.is_some() {
                changes.compare_optional("chain", base(before).as_ref(), base(after).as_ref());
            }
            let (before, after) = (rules(before), rules(after));
            let count = changes.0.len();
            let mut missing = after.clone();
            for rule in &before {
                match missing.iter().position(|other| other == rule) {
                    Some(at) => _ = missing.remove(at),
                    None => changes.compare_optional("rule", Some(&rule.to_string()), None),
                }
            }
            for rule in missing {
                changes.compare_optional("rule", None, Some(&rule.to_string()));
            }
            if before != after && changes.0.len() == count {
                changes.0.push(FieldChange { field: "order of rules", before: None, after: None });
            }
        }
        if self != after && changes.0.is_empty() {
            changes.0.push(FieldChange { field: "chains", before: None, after: None });
        }
        changes.0
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Base { kind, hook, priority, policy } = self;
        let hook = ["prerouting", "input", "forward", "output", "postrouting"]
            .get(usize::try_from(*hook).unwrap_or(usize::MAX))
            .copied()
            .unwrap_or("elsewhere");
        let policy = if *policy == 0 { "drop" } else { "accept" };
        write!(f, "type {kind} hook {hook} priority {priority} policy {policy}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Resource;

    fn table() -> Table {
        let rule = |port| TableRule::Known {
            matches: vec![Match::To([10, 0, 0, 100].into()), Match::Protocol(Protocol::Tcp), Match::ToPort(port)],
            statement: Statement::Mark(7),
        };
        let chain = Chain { base: Some(Base::prerouting()), rules: vec![rule(80), rule(443)] };
        Table { chains: [("prerouting".to_owned(), chain)].into() }
    }

    #[test]
    fn a_table_is_read_back_from_its_own_record() {
        let mut table = table();
        let foreign = TableRule::Foreign { expressions: vec![1, 2] };
        table.chains.insert("more".to_owned(), Chain { base: None, rules: vec![foreign] });
        let text = serde_json::to_string(&Resource::Nftables(Box::new(table.clone()))).expect("JSON");
        assert_eq!(serde_json::from_str::<Resource>(&text).ok(), Some(Resource::Nftables(Box::new(table))), "{text}");
    }

    #[test]
    fn a_difference_is_said_rule_by_rule_in_the_words_of_nft() {
        let mut after = table();
        let rules = &mut after.chains.get_mut("prerouting").expect("a chain").rules;
        rules.remove(0);
        let said = table().differences(&after);
        let rule = "ip daddr 10.0.0.100 meta l4proto tcp th dport 80 meta mark set 7".to_owned();
        assert_eq!(said, [FieldChange { field: "rule", before: Some(rule), after: None }]);
        let mut turned = table();
        turned.chains.get_mut("prerouting").expect("a chain").rules.reverse();
        assert_eq!(table().differences(&turned), [FieldChange { field: "order of rules", before: None, after: None }]);
    }
}
