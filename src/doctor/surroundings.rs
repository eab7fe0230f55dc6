//! What else lives on the host: filters that drop, tables that are full, programs that manage the same things.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::filter::{Fate, Packet};
use super::{Finding, Patient, Unseen, serving};
use crate::state::{Forward, Key, Protocol, Resource, ServiceKey};
use crate::topology::Role;

pub(super) fn findings(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(filters(patient));
    findings.extend(full(patient));
    findings.extend(managers(patient));
    findings.extend(idle(patient));
    findings
}

/// A packet of ours, and what it is for people.
struct Passing<'a> {
    packet: Packet<'a>,
    /// The hooks that it passes.
    hooks: &'static [&'static str],
    what: String,
    /// What tells it from others, as nft writes it.
    words: String,
}

/// The packets that must pass. IPVS takes clients' packets behind the filters of `input` (`NF_IP_PRI_NAT_SRC - 2`); what nat's
/// servers answer passes those of `forward` before IPVS (100) gives it the VIP's address back.
fn passing<'a>(patient: &Patient<'a>) -> Vec<Passing<'a>> {
    let mut interfaces = patient.host.interfaces.keys();
    let interface = match (interfaces.next(), interfaces.next()) {
        (Some(only), None) => Some(only.as_str()),
        _ => None,
    };
    let plain = |number: u16| Packet {
        from: None,
        to: None,
        protocol: number,
        source_port: None,
        port: None,
        interface,
        state: Some("new"),
    };
    // IPVS takes its packets out of tracking, unless it is told otherwise: then a reply is the second of a connection.
    let tracked = (patient.evidence.number("ipv4/vs/conntrack") == Some(1)).then_some("established");
    let ip = |address: IpAddr| if address.is_ipv4() { "ip" } else { "ip6" };
    let to = |protocol: Protocol, address: IpAddr, port: u16| {
        let known = Some(port).filter(|port| *port != 0);
        let words = match known {
            Some(port) => format!("{} daddr {address} {protocol} dport {port}", ip(address)),
            None => format!("{} daddr {address} meta l4proto {protocol}", ip(address)),
        };
        let packet = Packet { to: Some(address), port: known, ..plain(protocol.number()) };
        Passing { packet, hooks: &["prerouting", "input"], what: format!("{protocol} to {address} port {port}"), words }
    };
    let mut all = Vec::new();
    for (key, resource) in &patient.compiled.state.objects {
        match (key, resource) {
            (Key::Service(ServiceKey::Tuple { protocol, address, port }), _) => all.push(to(*protocol, *address, *port)),
            (Key::Destination(key), Resource::Destination(server)) if server.forward == Forward::Nat => {
                let ServiceKey::Tuple { protocol, .. } = key.service else { continue };
                let source_port = Some(key.port).filter(|port| *port != 0);
                let packet =
                    Packet { from: Some(key.address), source_port, state: tracked, interface: None, ..plain(protocol.number()) };
                let port = source_port.map(|port| format!(" {protocol} sport {port}")).unwrap_or_default();
                let words = format!("{} saddr {}{port}", ip(key.address), key.address);
                all.push(Passing {
                    packet,
                    hooks: &["forward"],
                    what: format!("{protocol} from the server {}", key.id()),
                    words,
                });
            }
            _ => {}
        }
    }
    if patient.host.role == Role::Director {
        return all;
    }
    for (key, server) in serving::served(patient.topology, patient.host) {
        if let Some((protocol, address, port)) = serving::target(&key, &server) {
            all.push(Passing { hooks: &["input"], ..to(protocol, address, port) });
        }
        if let Forward::Tun(encapsulation) = server.forward {
            let (number, port) = serving::outer(encapsulation, key.service.family());
            let packet = Packet { to: Some(key.address), port, ..plain(number) };
            let words = match port {
                Some(port) => format!("{} daddr {} udp dport {port}", ip(key.address), key.address),
                None => format!("{} daddr {} meta l4proto {number}", ip(key.address), key.address),
            };
            let what = format!("what is wrapped for {}", key.address);
            all.push(Passing { packet, hooks: &["prerouting", "input"], what, words });
        }
    }
    all
}

fn filters(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for Unseen { what, why, mend } in &patient.evidence.unseen {
        let what = format!("{what} was not looked at");
        findings.push(Finding::doubtful("not-looked", what, why.clone(), mend.clone()));
    }
    let Some(rules) = &patient.evidence.filters else { return findings };
    // One finding for each rule: what else it takes is mended with it.
    let mut seen: BTreeSet<(&str, String, bool)> = BTreeSet::new();
    let passing = passing(patient);
    let hooked = rules.chains.iter().filter_map(|(name, chain)| Some((name, chain, chain.hook.as_deref()?)));
    for (name, chain, hook) in hooked {
        for Passing { packet, what, words, .. } in passing.iter().filter(|one| one.hooks.contains(&hook)) {
            if chain.is_nat && packet.state != Some("new") {
                continue;
            }
            let Fate::Lost { rule, perhaps_accepted } = rules.fate(name, packet) else { continue };
            let by = rule.as_ref().map(|rule| rule["expr"].to_string());
            if !seen.insert((name, by.clone().unwrap_or_default(), perhaps_accepted)) {
                continue;
            }
            let (id, evidence, mend) = match (&rule, by) {
                (Some(rule), _) if rule["said"].is_string() => {
                    let word = |key: &str| rule[key].as_str().unwrap_or_default();
                    let (program, table, said) = (word("family"), word("table"), word("said"));
                    ("filtered", format!("{program}-save, table {table}: -A {said}"), format!("{program} -t {table} -D {said}"))
                }
                (None, _) if name.contains("-legacy ") => {
                    let mut words = name.split(' ');
                    let mut word = || words.next().unwrap_or_default();
                    let (program, table, chain) = (word(), word(), word());
                    let mend = format!("{program} -t {table} -I {chain} {} -j ACCEPT", of_iptables(packet));
                    ("dropped", format!("{program} -t {table} -S {chain}: policy DROP"), mend)
                }
                (Some(rule), Some(by)) => {
                    let word = |key: &str| rule[key].as_str().unwrap_or_default();
                    let place = format!("{} {} {}", word("family"), word("table"), word("chain"));
                    let handle = &rule["handle"];
                    ("filtered", format!("{place} handle {handle}: {by}"), format!("nft delete rule {place} handle {handle}"))
                }
                _ => {
                    ("dropped", format!("`nft list chain {name}`: policy drop"), format!("nft insert rule {name} {words} accept"))
                }
            };
            findings.push(if perhaps_accepted {
                Finding::doubtful(id, format!("the chain {name} ({hook}) may take {what} away"), evidence, mend)
            } else {
                Finding::wrong(id, format!("the chain {name} ({hook}) takes {what} away"), evidence, mend)
            });
        }
    }
    findings
}

/// What tells a packet from others, as iptables writes it.
fn of_iptables(packet: &Packet<'_>) -> String {
    let mut words = Vec::new();
    words.extend(packet.from.map(|from| format!("-s {from}")));
    words.extend(packet.to.map(|to| format!("-d {to}")));
    words.push(match packet.protocol {
        6 => "-p tcp".to_owned(),
        17 => "-p udp".to_owned(),
        132 => "-p sctp".to_owned(),
        number => format!("-p {number}"),
    });
    words.extend(packet.source_port.map(|port| format!("--sport {port}")));
    words.extend(packet.port.map(|port| format!("--dport {port}")));
    words.join(" ")
}

fn full(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (count, most) =
        (patient.evidence.number("netfilter/nf_conntrack_count"), patient.evidence.number("netfilter/nf_conntrack_max"));
    if let (Some(count), Some(most)) = (count, most)
        && most > 0
        && count * 10 >= most * 9
    {
        findings.push(Finding::wrong(
            "conntrack-full",
            "the table of connection tracking is nearly full: new connections will be dropped".to_owned(),
            format!("nf_conntrack_count {count} of nf_conntrack_max {most}"),
            format!("sysctl \"net.netfilter.nf_conntrack_max\" {} in `tuning \"director\"`", most * 2),
        ));
    }
    let connections: u64 = patient
        .observed
        .traffic
        .values()
        .map(|one| u64::from(one.active) + u64::from(one.inactive) + u64::from(one.persistent))
        .sum();
    if let Some(bits) = patient.evidence.table_bits.filter(|bits| *bits < 63 && connections > (1_u64 << bits) * 8) {
        findings.push(Finding::doubtful(
            "ipvs-table",
            format!("IPVS has {connections} connections in a table of {} rows: each packet looks through many", 1_u64 << bits),
            format!("/sys/module/ip_vs/parameters/conn_tab_bits is {bits}"),
            format!("options ip_vs conn_tab_bits={} in /etc/modprobe.d, and a boot", (bits + 4).min(20)),
        ));
    }
    findings
}

/// Programs that write the same objects, each with what they do.
const MANAGERS: [(&str, &str); 5] = [
    ("keepalived", "writes services, servers and VIPs of its own, and takes its VIPs away when it stops"),
    ("ldirectord", "adds and removes servers"),
    ("kube-proxy", "deletes services that it did not make, where it runs in mode ipvs without --ipvs-exclude-cidrs"),
    ("kube-router", "deletes services that it did not make"),
    ("ipvsadm-restore", "empties the table before it fills it"),
];

fn managers(patient: &Patient<'_>) -> Vec<Finding> {
    let runs = |name: &str| patient.evidence.programs.iter().any(|program| program == name.get(..15).unwrap_or(name));
    let mut findings: Vec<Finding> = MANAGERS
        .into_iter()
        .filter(|(name, _)| runs(name))
        .map(|(name, does)| {
            Finding::doubtful(
                "another-manager",
                format!("{name} runs here: it {does}"),
                format!("pgrep {name}"),
                "let one of the two have each object: `managed #false` for VIPs of keepalived's, no services in its file"
                    .to_owned(),
            )
        })
        .collect();
    let carries = patient.compiled.state.objects.keys().any(|key| matches!(key, Key::Service(_)));
    if let Some(evidence) = patient.evidence.restored_at_boot.as_ref().filter(|_| carries) {
        findings.push(Finding::doubtful(
            "another-manager",
            "ipvsadm-restore fills the table when this host starts, with what somebody saved".to_owned(),
            evidence.clone(),
            "switch it off (`systemctl disable ipvsadm`); `lvsform recover --to-ledger` makes what was applied".to_owned(),
        ));
    }
    let own =
        patient.compiled.state.objects.iter().any(|(key, resource)| {
            matches!((key, resource), (Key::Route(_), Resource::Route(_)) | (Key::Rule(_), Resource::Rule))
        });
    if own && runs("systemd-networkd") && !patient.evidence.networkd_spares_others {
        findings.push(Finding::doubtful(
            "another-manager",
            "systemd-networkd runs here: when it starts again it takes away routes and rules that it did not make".to_owned(),
            "no ManageForeignRoutes=no and ManageForeignRoutingPolicyRules=no in networkd.conf".to_owned(),
            "[Network] ManageForeignRoutes=no ManageForeignRoutingPolicyRules=no in /etc/systemd/networkd.conf.d/lvsform.conf"
                .to_owned(),
        ));
    }
    if runs("systemd-networkd") {
        findings.extend(
            patient.evidence.networkd_takes_addresses.iter().filter_map(|(device, file)| takes_vips(patient, device, file)),
        );
    }
    findings
}

/// The VIPs on a device from which systemd-networkd takes what it did not make.
fn takes_vips(patient: &Patient<'_>, device: &str, file: &str) -> Option<Finding> {
    let keys = patient.compiled.state.objects.keys().filter_map(Key::address);
    let vips: Vec<String> = keys.filter(|key| key.interface == device).map(|key| key.address.to_string()).collect();
    (!vips.is_empty()).then(|| {
        Finding::doubtful(
            "another-manager",
            format!("systemd-networkd has {device}: when it configures it anew it takes away {}", vips.join(", ")),
            format!("no KeepConfiguration=static in {file}"),
            format!("[Network] KeepConfiguration=static in {file}"),
        )
    })
}

/// IPVS forgets an idle connection before the server's keepalive asks: it hangs, and nobody is told.
fn idle(patient: &Patient<'_>) -> Option<Finding> {
    let timeout = u64::from(patient.topology.timeouts.as_ref()?.tcp.as_ref()?.value);
    let keepalive = patient.evidence.number("ipv4/tcp_keepalive_time")?;
    (patient.host.role == Role::RealServer && keepalive > timeout).then(|| {
        Finding::doubtful(
            "idle",
            "the directors forget idle connections before this server's keepalive asks for them: they hang".to_owned(),
            format!("timeouts tcp is {timeout} s, net.ipv4.tcp_keepalive_time {keepalive} s"),
            format!("sysctl \"net.ipv4.tcp_keepalive_time\" {} in `tuning \"real-server\"`", (timeout / 2).max(1)),
        )
    })
}
