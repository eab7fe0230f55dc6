//! What the rules of nftables do to a packet. Pure; three-valued: what depends on more than is known of the packet is "perhaps",
//! and nobody is told of a rule that is only perhaps its own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::state::Family;

/// The rules of a host, as `nft -j list ruleset` says them, without those of topologies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ruleset {
    /// By `inet filter input`.
    pub chains: BTreeMap<String, Chain>,
    /// Named sets by `inet filter ports`: their elements.
    pub sets: BTreeMap<String, Value>,
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chain {
    /// `input`, `forward`, `prerouting` …; `None`: packets come only from other chains.
    pub hook: Option<String>,
    /// Whether only the first packet of a connection comes by (type `nat`).
    pub is_nat: bool,
    /// Whether it drops what no rule decides.
    pub drops: bool,
    /// Its rules, whole.
    pub rules: Vec<Value>,
}

/// A packet, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Packet<'a> {
    pub from: Option<IpAddr>,
    pub to: Option<IpAddr>,
    /// The number in its header.
    pub protocol: u16,
    pub source_port: Option<u16>,
    pub port: Option<u16>,
    /// The only interface that it can come by.
    pub interface: Option<&'a str>,
    /// What connection tracking takes it for: `new`, `established`; `None`: nobody knows.
    pub state: Option<&'a str>,
}

/// What becomes of a packet in a chain.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    Passes,
    /// It is lost, or goes elsewhere, by this rule; `None`: by the policy of the chain.
    Lost {
        rule: Option<Value>,
        perhaps_accepted: bool,
    },
}

/// A chain that calls itself, by others, is refused by the kernel; so is a deeper one (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: usize = 16;

impl Ruleset {
    /// Reads what `nft -j list ruleset` says, but for the tables that a name passes over.
    pub fn read(said: &Value, is_ours: impl Fn(&str) -> bool) -> Option<Ruleset> {
        let objects = said["nftables"].as_array()?;
        let name = |object: &Value, key: &str| {
            let word = |key: &str| object[key].as_str().unwrap_or_default();
            format!("{} {} {}", word("family"), word("table"), word(key))
        };
        let of = |kind: &'static str| {
            let objects = objects.iter().filter_map(move |object| object.get(kind));
            objects.filter(|object| !is_ours(object["table"].as_str().unwrap_or_default()))
        };
        let mut ruleset = Ruleset::default();
        for chain in of("chain") {
            let hook = chain["hook"].as_str().map(str::to_owned);
            let drops = chain["policy"] == "drop";
            let made = Chain { hook, is_nat: chain["type"] == "nat", drops, rules: Vec::new() };
            ruleset.chains.insert(name(chain, "name"), made);
        }
        ruleset.sets.extend(of("set").map(|set| (name(set, "name"), set["elem"].clone())));
        for rule in of("rule") {
            ruleset.chains.entry(name(rule, "chain")).or_default().rules.push(rule.clone());
        }
        Some(ruleset)
    }

    /// What becomes of a packet in a chain that has a hook.
    pub(super) fn fate(&self, name: &str, packet: &Packet<'_>) -> Fate {
        let Some(chain) = self.chains.get(name) else { return Fate::Passes };
        let family = packet.to.or(packet.from).map(Family::of);
        if family.is_some_and(|family| only_family(name).is_some_and(|only| only != family)) {
            return Fate::Passes;
        }
        let mut walk = Walk { ruleset: self, packet, perhaps_accepted: false };
        match walk.chain(name, true, 0) {
            End::Decided(Verdict::Lost(rule)) => Fate::Lost { rule: Some(rule), perhaps_accepted: walk.perhaps_accepted },
            End::Through if chain.drops => Fate::Lost { rule: None, perhaps_accepted: walk.perhaps_accepted },
            End::Decided(Verdict::Accepted) | End::Through => Fate::Passes,
        }
    }
}

/// The family whose packets alone come by a chain.
fn only_family(name: &str) -> Option<Family> {
    match name.split(' ').next()? {
        "ip" | "iptables-legacy" => Some(Family::Ipv4),
        "ip6" | "ip6tables-legacy" => Some(Family::Ipv6),
        _ => None,
    }
}

/// How a chain ends for a packet.
enum End {
    /// It is certain.
    Decided(Verdict),
    /// No rule of it decides.
    Through,
}

enum Verdict {
    Accepted,
    Lost(Value),
}

struct Walk<'r, 'p> {
    ruleset: &'r Ruleset,
    packet: &'p Packet<'p>,
    /// Whether a rule before the one that decides would accept it, if it is the packet's own.
    perhaps_accepted: bool,
}

/// `None`: perhaps.
type Perhaps = Option<bool>;

impl Walk<'_, '_> {
    /// `is_sure`: whether the packet comes here at all.
    fn chain(&mut self, name: &str, is_sure: bool, depth: usize) -> End {
        let Some(chain) = self.ruleset.chains.get(name).filter(|_| depth < DEEPEST) else { return End::Through };
        let table = name.rsplit_once(' ').map_or("", |(table, _)| table);
        let mut may_have_left = !is_sure;
        for rule in &chain.rules {
            let mut applies = is_sure && !may_have_left;
            for statement in rule["expr"].as_array().into_iter().flatten() {
                let Some((word, value)) = statement.as_object().and_then(|one| one.iter().next()) else { continue };
                match word.as_str() {
                    "match" => match self.matches(table, value) {
                        Some(true) => {}
                        Some(false) => break,
                        None => applies = false,
                    },
                    "limit" | "connlimit" | "quota" | "fib" => applies = false,
                    "xt" if value["type"] != "target" => applies = false,
                    "vmap" => {
                        for (verdict, is_its_own) in self.mapped(table, value) {
                            let step = self.verdict(&verdict, rule, table, applies && is_its_own == Some(true), depth);
                            match step {
                                Step::On => {}
                                Step::Leave => return End::Through,
                                Step::Perhaps => may_have_left = true,
                                Step::Decided(verdict) => return End::Decided(verdict),
                            }
                        }
                    }
                    _ => match self.verdict(statement, rule, table, applies, depth) {
                        Step::On => {}
                        Step::Leave => return End::Through,
                        Step::Perhaps => may_have_left = true,
                        Step::Decided(verdict) => return End::Decided(verdict),
                    },
                }
            }
        }
        End::Through
    }

    fn verdict(&mut self, statement: &Value, rule: &Value, table: &str, is_sure: bool, depth: usize) -> Step {
        let Some((word, value)) = statement.as_object().and_then(|one| one.iter().next()) else { return Step::On };
        let word = match (word.as_str(), value["name"].as_str()) {
            ("xt", Some("DROP" | "REJECT")) => "drop",
            ("xt", Some("DNAT" | "REDIRECT" | "TPROXY")) => "dnat",
            ("xt", _) => "",
            (word, _) => word,
        };
        match word {
            "accept" | "queue" if is_sure => Step::Decided(Verdict::Accepted),
            "accept" | "queue" => {
                self.perhaps_accepted = true;
                Step::On
            }
            "drop" | "reject" | "dnat" | "redirect" | "tproxy" if is_sure => Step::Decided(Verdict::Lost(rule.clone())),
            "jump" | "goto" => {
                let target = format!("{table} {}", value["target"].as_str().unwrap_or_default());
                match self.chain(&target, is_sure, depth + 1) {
                    End::Decided(verdict) => Step::Decided(verdict),
                    // The caller of a chain that somebody goes to is the caller's caller.
                    End::Through if word == "goto" && is_sure => Step::Leave,
                    End::Through if word == "goto" => Step::Perhaps,
                    End::Through => Step::On,
                }
            }
            "return" if is_sure => Step::Leave,
            "return" => Step::Perhaps,
            _ => Step::On,
        }
    }

    /// The verdicts of a map that may be the packet's own, each with whether it is.
    fn mapped(&self, table: &str, map: &Value) -> Vec<(Value, Perhaps)> {
        let elements = map["data"]["set"].as_array().into_iter().flatten();
        let is_its_own = |element: &Value| self.compare(table, &map["key"], &element[0]);
        elements.map(|element| (element[1].clone(), is_its_own(element))).filter(|(_, is)| *is != Some(false)).collect()
    }

    fn matches(&self, table: &str, value: &Value) -> Perhaps {
        let is = self.compare(table, &value["left"], &value["right"]);
        match value["op"].as_str() {
            Some("==" | "in") => is,
            Some("!=") => is.map(|is| !is),
            _ => None,
        }
    }

    fn compare(&self, table: &str, left: &Value, right: &Value) -> Perhaps {
        let packet = self.packet;
        let family = packet.to.or(packet.from).map(Family::of);
        if let Some(payload) = left.get("payload") {
            let (protocol, field) = (payload["protocol"].as_str()?, payload["field"].as_str()?);
            let header = match protocol {
                "ip" => Some(Family::Ipv4),
                "ip6" => Some(Family::Ipv6),
                _ => None,
            };
            if header.is_some() && family.is_some() && header != family {
                return Some(false);
            }
            if let Some(number) = number_of(protocol)
                && number != packet.protocol
            {
                return Some(false);
            }
            return match field {
                "saddr" => self.within(table, right, &|one| address(packet.from?, one)),
                "daddr" => self.within(table, right, &|one| address(packet.to?, one)),
                "sport" => self.within(table, right, &|one| number(packet.source_port?, one)),
                "dport" => self.within(table, right, &|one| number(packet.port?, one)),
                "protocol" | "nexthdr" => self.within(table, right, &|one| protocol_is(packet.protocol, one)),
                _ => None,
            };
        }
        match left["meta"]["key"].as_str() {
            Some("l4proto") => self.within(table, right, &|one| protocol_is(packet.protocol, one)),
            Some("nfproto") => self.within(table, right, &|one| {
                Some(match one.as_str()? {
                    "ipv4" => family? == Family::Ipv4,
                    _ => family? == Family::Ipv6,
                })
            }),
            Some("iif" | "iifname") => self.within(table, right, &|one| match (packet.interface, one.as_str()?) {
                (_, "lo") => Some(false),
                (Some(own), name) => Some(name.strip_suffix('*').map_or(own == name, |start| own.starts_with(start))),
                (None, _) => None,
            }),
            _ if left["ct"]["key"] == "state" => self.within(table, right, &|one| Some(one.as_str()? == packet.state?)),
            _ => None,
        }
    }

    /// Whether one of what stands on the right is the packet's.
    fn within(&self, table: &str, right: &Value, is: &dyn Fn(&Value) -> Perhaps) -> Perhaps {
        let any = |elements: &Value| {
            let mut found = Some(false);
            for element in elements.as_array().into_iter().flatten() {
                let element = element["elem"].get("val").unwrap_or(element);
                match is(element) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => found = None,
                }
            }
            found
        };
        match right {
            Value::Array(_) => any(right),
            Value::Object(object) if object.contains_key("set") => any(&right["set"]),
            Value::String(text) if text.starts_with('@') => {
                any(self.ruleset.sets.get(&format!("{table} {}", text.trim_start_matches('@')))?)
            }
            one => is(one),
        }
    }
}

enum Step {
    On,
    Leave,
    /// The packet may have left the chain.
    Perhaps,
    Decided(Verdict),
}

fn number_of(protocol: &str) -> Option<u16> {
    Some(match protocol {
        "icmp" => 1,
        "ipip" => 4,
        "tcp" => 6,
        "udp" => 17,
        "ipv6" => 41,
        "gre" => 47,
        "ipv6-icmp" | "icmpv6" => 58,
        "sctp" => 132,
        _ => return None,
    })
}

fn protocol_is(own: u16, said: &Value) -> Perhaps {
    match said {
        Value::Number(number) => Some(number.as_u64()? == u64::from(own)),
        // A name that is not known here is of a protocol that IPVS does not carry.
        Value::String(name) => Some(number_of(name) == Some(own)),
        _ => None,
    }
}

fn number(own: u16, said: &Value) -> Perhaps {
    let own = u64::from(own);
    if let Some(range) = said["range"].as_array() {
        return Some((range.first()?.as_u64()?..=range.get(1)?.as_u64()?).contains(&own));
    }
    Some(said.as_u64()? == own)
}

fn address(own: IpAddr, said: &Value) -> Perhaps {
    let parse = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
    if let Some(prefix) = said.get("prefix") {
        let length = u8::try_from(prefix["len"].as_u64()?).ok()?;
        return Some(IpNet::new(parse(&prefix["addr"])?, length).ok()?.contains(&own));
    }
    if let Some(range) = said["range"].as_array() {
        return Some((parse(range.first()?)?..=parse(range.get(1)?)?).contains(&own));
    }
    Some(parse(said)? == own)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Fate, Packet, Ruleset};

    /// A table `inet filter` with a base chain `input` that drops, and a chain `extra`, as `nft -j` says them.
    fn ruleset(input: &[serde_json::Value], extra: &[serde_json::Value]) -> Ruleset {
        let rule = |chain: &str, expr: &serde_json::Value| json!({"rule": {"family": "inet", "table": "filter", "chain": chain, "handle": 7, "expr": expr}});
        let mut all = vec![
            json!({"metainfo": {"version": "1.0.6"}}),
            json!({"set": {"family": "inet", "name": "ports", "table": "filter", "elem": [22, {"range": [8000, 9000]}]}}),
            json!({"chain": {"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}),
            json!({"chain": {"family": "inet", "table": "filter", "name": "extra"}}),
            json!({"chain": {"family": "inet", "table": "lvsform-t", "name": "input", "hook": "input", "policy": "drop"}}),
        ];
        all.extend(input.iter().map(|expr| rule("input", expr)));
        all.extend(extra.iter().map(|expr| rule("extra", expr)));
        Ruleset::read(&json!({ "nftables": all }), |table| table.starts_with("lvsform-")).expect("a ruleset")
    }

    fn packet() -> Packet<'static> {
        let to = Some("10.0.0.100".parse().expect("an address"));
        Packet { from: None, to, protocol: 6, source_port: None, port: Some(443), interface: Some("eth0"), state: Some("new") }
    }

    fn dport(right: &serde_json::Value) -> serde_json::Value {
        json!({"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": right}})
    }

    fn of(left: &serde_json::Value, right: &serde_json::Value) -> serde_json::Value {
        json!([{"match": {"op": "==", "left": left, "right": right}}, {"accept": null}])
    }

    fn is_lost(ruleset: &Ruleset) -> Option<bool> {
        match ruleset.fate("inet filter input", &packet()) {
            Fate::Passes => None,
            Fate::Lost { perhaps_accepted, .. } => Some(perhaps_accepted),
        }
    }

    #[test]
    fn ports_ranges_sets_and_named_sets_are_understood() {
        let accepted = |right| is_lost(&ruleset(&[json!([dport(&right), {"accept": null}])], &[])).is_none();
        assert!(accepted(json!(443)));
        assert!(accepted(json!({"set": [80, {"range": [400, 500]}]})));
        assert!(!accepted(json!({"set": [80, {"range": [1, 442]}]})));
        assert!(!accepted(json!("@ports")));
        assert!(!accepted(json!("@unheard-of")));
    }

    #[test]
    fn addresses_prefixes_and_protocols_are_understood() {
        let accepted = |left, right| is_lost(&ruleset(&[of(&left, &right)], &[])).is_none();
        let daddr = || json!({"payload": {"protocol": "ip", "field": "daddr"}});
        assert!(accepted(daddr(), json!({"prefix": {"addr": "10.0.0.0", "len": 8}})));
        assert!(!accepted(daddr(), json!("10.0.0.101")));
        assert!(!accepted(json!({"payload": {"protocol": "ip6", "field": "daddr"}}), json!("10.0.0.100")));
        assert!(accepted(json!({"meta": {"key": "l4proto"}}), json!({"set": ["tcp", "udp"]})));
        assert!(!accepted(json!({"meta": {"key": "l4proto"}}), json!("icmp")));
        assert!(accepted(json!({"meta": {"key": "iifname"}}), json!("eth*")));
        assert!(!accepted(json!({"meta": {"key": "iif"}}), json!("lo")));
        assert!(accepted(json!({"ct": {"key": "state"}}), json!(["new", "established"])));
        assert!(!accepted(json!({"ct": {"key": "state"}}), json!(["established", "related"])));
    }

    #[test]
    fn jumps_are_followed_as_firewalls_with_zones_have_them() {
        let accept = json!([dport(&json!(443)), {"accept": null}]);
        assert_eq!(is_lost(&ruleset(&[json!([{"jump": {"target": "extra"}}])], std::slice::from_ref(&accept))), None);
        assert_eq!(is_lost(&ruleset(&[json!([{"goto": {"target": "extra"}}])], &[])), Some(false));
        let back = json!([{"return": null}]);
        let through = [json!([{"jump": {"target": "extra"}}]), accept.clone()];
        assert_eq!(is_lost(&ruleset(&through, &[back])), None, "a chain that returns goes on in the other");
        let left = [json!([{"goto": {"target": "extra"}}]), accept];
        assert_eq!(is_lost(&ruleset(&left, &[])), Some(false), "nobody comes back from where he went to");
    }

    #[test]
    fn maps_of_verdicts_are_looked_up() {
        let map = |port: u16| json!([{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[port, {"accept": null}]]}}}]);
        assert_eq!(is_lost(&ruleset(&[map(443)], &[])), None);
        assert_eq!(is_lost(&ruleset(&[map(80)], &[])), Some(false));
    }

    #[test]
    fn what_depends_on_more_than_is_known_is_only_perhaps() {
        let saddr = |verdict: &str| json!([{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.1"}}, {verdict: null}]);
        assert_eq!(is_lost(&ruleset(&[saddr("accept")], &[])), Some(true));
        let listed = [saddr("drop"), json!([{"accept": null}])];
        assert_eq!(is_lost(&ruleset(&listed, &[])), None, "a list of hosts that are kept out");
        let limited = [json!([dport(&json!(443)), {"limit": {"rate": 5, "per": "second"}}, {"accept": null}])];
        assert_eq!(is_lost(&ruleset(&limited, &[])), Some(true));
        assert_eq!(
            is_lost(&ruleset(&[json!([{"xt": {"type": "match", "name": "conntrack"}}, {"accept": null}])], &[])),
            Some(true)
        );
    }

    #[test]
    fn a_rule_that_takes_the_packet_is_said_whole() {
        let rules =
            [json!([dport(&json!(443)), {"counter": {"packets": 1, "bytes": 60}}, {"drop": null}]), json!([{"accept": null}])];
        let Fate::Lost { rule: Some(rule), .. } = ruleset(&rules, &[]).fate("inet filter input", &packet()) else {
            panic!("lost")
        };
        assert_eq!(rule["handle"], 7);
    }
}
