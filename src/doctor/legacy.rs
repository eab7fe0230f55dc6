//! The rules of iptables of the old kind, as `iptables-legacy-save` says them, as chains of nftables. Pure. What is not
//! understood of a rule makes it one that is perhaps a packet's own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::filter::Chain;

/// The chains of every table by `iptables-legacy filter INPUT`, where `program` is `iptables-legacy`.
pub fn chains(program: &str, text: &str) -> BTreeMap<String, Chain> {
    let mut chains: BTreeMap<String, Chain> = BTreeMap::new();
    let mut table = "";
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('*') {
            (table, known) = (name, BTreeSet::new());
        } else if let Some(said) = line.strip_prefix(':') {
            let mut words = said.split_ascii_whitespace();
            let (Some(name), policy) = (words.next(), words.next()) else { continue };
            known.insert(name);
            let chain = Chain { hook: hook(name), is_nat: table == "nat", drops: policy == Some("DROP"), ..Chain::default() };
            chains.insert(format!("{program} {table} {name}"), chain);
        } else if let Some(said) = line.strip_prefix("-A ") {
            let words = words(said);
            let Some((name, options)) = words.split_first() else { continue };
            let chain = chains.entry(format!("{program} {table} {name}")).or_default();
            let expr = expression(program, options, &known);
            chain.rules.push(json!({
                "family": program, "table": table, "chain": name, "handle": chain.rules.len() + 1, "said": said, "expr": expr
            }));
        }
    }
    chains
}

fn hook(chain: &str) -> Option<String> {
    matches!(chain, "PREROUTING" | "INPUT" | "FORWARD" | "OUTPUT" | "POSTROUTING").then(|| chain.to_ascii_lowercase())
}

/// The words of a rule; those in quotes are one.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c if c.is_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Modules whose options are understood, or that decide nothing.
const PLAIN: [&str; 7] = ["tcp", "udp", "sctp", "multiport", "state", "conntrack", "comment"];

/// A rule's options as nftables writes them.
fn expression(program: &str, options: &[String], chains: &BTreeSet<&str>) -> Vec<Value> {
    let ip = if program.starts_with("ip6") { "ip6" } else { "ip" };
    let mut expr = Vec::new();
    let mut options = options.iter().map(String::as_str).peekable();
    let mut is_not = false;
    while let Some(option) = options.next() {
        if option == "!" {
            is_not = true;
            continue;
        }
        let op = if std::mem::take(&mut is_not) { "!=" } else { "==" };
        let mut argument = || options.next().unwrap_or_default();
        let is = |left: Value, right: Option<Value>| match right {
            Some(right) => json!({"match": {"op": op, "left": left, "right": right}}),
            None => perhaps(),
        };
        let payload = |protocol: &str, field: &str| json!({"payload": {"protocol": protocol, "field": field}});
        match option {
            "-s" => expr.push(is(payload(ip, "saddr"), network(argument()))),
            "-d" => expr.push(is(payload(ip, "daddr"), network(argument()))),
            "-p" => {
                let name = argument();
                let number = name.parse::<u16>().map(Value::from);
                expr.push(is(json!({"meta": {"key": "l4proto"}}), Some(number.unwrap_or_else(|_| json!(name)))));
            }
            "-i" => {
                let name = argument();
                let name = name.strip_suffix('+').map_or_else(|| name.to_owned(), |start| format!("{start}*"));
                expr.push(is(json!({"meta": {"key": "iifname"}}), Some(json!(name))));
            }
            "--dport" | "--dports" => expr.push(is(payload("th", "dport"), ports(argument()))),
            "--sport" | "--sports" => expr.push(is(payload("th", "sport"), ports(argument()))),
            "--ctstate" | "--state" => {
                let states: Vec<String> = argument().split(',').map(str::to_ascii_lowercase).collect();
                expr.push(is(json!({"ct": {"key": "state"}}), Some(json!(states))));
            }
            "--comment" => drop(argument()),
            "-m" if PLAIN.contains(&argument()) => {}
            "-j" | "-g" => {
                expr.extend(verdict(argument(), option == "-g", chains));
                return expr; // what follows are the target's own options
            }
            option if option.starts_with('-') => expr.push(perhaps()),
            // An option's value.
            _ => {}
        }
    }
    expr
}

/// A condition that may be met.
fn perhaps() -> Value {
    json!({"xt": {"type": "match"}})
}

fn verdict(target: &str, is_goto: bool, chains: &BTreeSet<&str>) -> Option<Value> {
    Some(match target {
        "ACCEPT" => json!({"accept": null}),
        "DROP" => json!({"drop": null}),
        "REJECT" => json!({"reject": null}),
        "RETURN" => json!({"return": null}),
        "QUEUE" | "NFQUEUE" => json!({"queue": null}),
        "DNAT" | "REDIRECT" | "TPROXY" => json!({"dnat": null}),
        chain if chains.contains(chain) && is_goto => json!({"goto": {"target": chain}}),
        chain if chains.contains(chain) => json!({"jump": {"target": chain}}),
        _ => return None,
    })
}

/// `None`: a mask that is no prefix.
fn network(said: &str) -> Option<Value> {
    let Some((address, length)) = said.split_once('/') else { return Some(json!(said)) };
    let length: u8 = length.parse().ok()?;
    Some(json!({"prefix": {"addr": address, "len": length}}))
}

fn ports(said: &str) -> Option<Value> {
    let one = |text: &str| -> Option<Value> {
        match text.split_once(':') {
            Some((first, last)) => Some(json!({"range": [first.parse::<u16>().ok()?, last.parse::<u16>().ok()?]})),
            None => text.parse::<u16>().ok().map(Value::from),
        }
    };
    let all: Option<Vec<Value>> = said.split(',').map(one).collect();
    Some(json!({ "set": all? }))
}

#[cfg(test)]
mod tests {
    use super::{chains, words};
    use crate::doctor::filter::{Fate, Packet, Ruleset};

    /// As `iptables-save` 1.8.9 writes it.
    const SAVED: &str = r#"# Generated by iptables-save v1.8.9 on Sat Nov 28 10:00:00 2026
*filter
:INPUT DROP [12:720]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [48:5760]
:web - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -s 192.0.2.0/24 -p tcp -m tcp --dport 8443 -m comment --comment "keep \"them\" out" -j REJECT --reject-with icmp-port-unreachable
-A INPUT -p tcp -m multiport --dports 80,443,8000:9000 -j web
-A INPUT -p tcp -m tcp --dport 22 --tcp-flags FIN,SYN,RST,ACK SYN -m limit --limit 3/min -j ACCEPT
-A INPUT ! -d 10.0.0.100/32 -p tcp -m tcp --dport 25 -j ACCEPT
-A FORWARD -o eth1 -j DROP
-A web -d 10.0.0.100/32 -i eth+ -j ACCEPT
COMMIT
# Completed on Sat Nov 28 10:00:00 2026
"#;

    fn fate(chain: &str, to: &str, port: u16, interface: Option<&str>) -> Fate {
        let ruleset = Ruleset { chains: chains("iptables-legacy", SAVED), ..Ruleset::default() };
        let to = Some(to.parse().expect("an address"));
        let packet = Packet { from: None, to, protocol: 6, source_port: None, port: Some(port), interface, state: Some("new") };
        ruleset.fate(&format!("iptables-legacy filter {chain}"), &packet)
    }

    fn lost(port: u16) -> Option<bool> {
        match fate("INPUT", "10.0.0.100", port, Some("eth0")) {
            Fate::Passes => None,
            Fate::Lost { perhaps_accepted, .. } => Some(perhaps_accepted),
        }
    }

    #[test]
    fn rules_of_the_old_kind_are_followed() {
        assert_eq!(lost(443), None, "by a list of ports and another chain");
        assert_eq!(lost(8500), None);
        assert_eq!(lost(9001), Some(false));
        assert_eq!(lost(22), Some(true), "only so many a minute");
        assert_eq!(lost(25), Some(false), "another address");
        assert!(matches!(fate("INPUT", "10.0.0.100", 443, Some("bond0")), Fate::Lost { .. }));
        assert_eq!(fate("FORWARD", "10.0.0.100", 443, None), Fate::Passes, "perhaps by eth1");
        assert_eq!(fate("INPUT", "2001:db8::100", 9001, None), Fate::Passes, "the other family does not come by");
    }

    #[test]
    fn chains_have_hooks_and_policies() {
        let chains = chains("iptables-legacy", SAVED);
        let input = &chains["iptables-legacy filter INPUT"];
        assert_eq!((input.hook.as_deref(), input.drops, input.rules.len()), (Some("input"), true, 6));
        assert_eq!(chains["iptables-legacy filter web"].hook, None);
        assert!(!chains["iptables-legacy filter FORWARD"].drops);
    }

    #[test]
    fn a_comment_is_one_word() {
        assert_eq!(words(r#"--comment "a \"b\" c" -j X"#), ["--comment", "a \"b\" c", "-j", "X"]);
    }
}
