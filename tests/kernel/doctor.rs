//! `lvsform doctor` on a cluster: it finds nothing where nothing is wrong, and names what somebody broke, with what mends it.

use libtest_mimic::Trial;

use crate::cluster::{self, Cluster};
use crate::hand;
use crate::world::test;

/// On a way to the servers, what a hand does to a host after apply, and what is found: the word, and a part of the mend.
type Case = (&'static str, usize, &'static str, &'static str, &'static str);

const NAMES: [&str; 3] = ["lb1", "web1", "web2"];

const CASES: [Case; 22] = [
    ("dr", 1, "sysctl -qw net.ipv4.conf.all.arp_ignore=0", "arp-ignore", "net.ipv4.conf.all.arp_ignore=1"),
    ("dr", 1, "sysctl -qw net.ipv4.conf.all.arp_announce=0", "arp-announce", "net.ipv4.conf.all.arp_announce=2"),
    ("dr", 1, "ip address add 10.0.0.100/32 dev eth0", "vip-answers", "ip address del 10.0.0.100/32 dev eth0"),
    ("dr", 1, "ip address del 10.0.0.100/32 dev lo", "differs", "lvsform apply"),
    ("dr", 0, "ipvsadm -C", "differs", "lvsform apply"),
    ("dr", 0, "ip route add 10.0.0.11/32 via 10.0.0.3", "beyond-router", "forward \"tun\""),
    ("dr", 0, "ip route add unreachable 10.0.0.11/32", "no-route", "ip route add 10.0.0.11/32"),
    ("dr", 0, "ip link set eth0 down", "interface-down", "ip link set eth0 up"),
    ("dr", 0, "ip link set eth0 arp off", "vip-silent", "ip link set eth0 arp on"),
    ("dr", 0, "sysctl -qw net.ipv4.conf.all.arp_ignore=8", "vip-silent", "net.ipv4.conf.all.arp_ignore=0"),
    ("dr", 0, "ip link set eth0 mtu 1400", "small-mtu", "ip link set eth0 mtu 1500"),
    ("dr", 0, "ip neigh replace 10.0.0.11 dev eth0 nud failed", "neighbour-silent", "weight=0"),
    ("dr", 1, "ip link set eth0 down", "interface-down", "ip link set eth0 up"),
    ("dr", 2, "ip address del 10.0.0.12/24 dev eth0", "wrong-address", "ip address add 10.0.0.12/24 dev eth0"),
    ("tun_in_ipv4", 1, "ip link set eth0 mtu 1400", "no-room", "clamp"),
    ("tun_in_ipv4", 1, "sysctl -qw net.ipv4.conf.ipip-464196.rp_filter=0", "reverse-path", "rp_filter=2"),
    ("tun_in_ipv4", 0, "ip link set eth0 mtu 1400", "no-room", "clamp"),
    ("nat", 1, "ip rule del priority 30000", "way-back", "ip rule"),
    ("nat", 1, "ip rule add blackhole from 10.0.0.11 priority 100", "way-back", "ip rule"),
    ("nat", 1, "ip -6 route flush table 1901791661", "way-back", "ip rule"),
    ("dr", 2, "ip link set eth0 mtu 1000", "small-mtu", "ip link set eth0 mtu 1500"),
    ("nat", 0, "sysctl -qw net.ipv4.conf.eth0.forwarding=0", "forwarding-off", "net.ipv4.conf.eth0.forwarding=1"),
];

/// `whole`: the kernel has nftables, which User-Mode Linux has not.
pub fn tests(whole: bool) -> Vec<Trial> {
    if whole {
        return vec![test("doctor::what_a_filter_takes_away_is_named_and_what_it_lets_pass_is_not", |_| filtered())];
    }
    let healthy = ["dr", "tun_in_ipv4", "gre_in_ipv6", "nat"]
        .map(|way| test(format!("doctor::{way}_that_was_applied_and_left_alone_has_nothing_wrong"), move |_| healthy(way)));
    let deaf =
        ["dr", "nat"].map(|way| test(format!("doctor::a_port_of_{way}_that_nobody_listens_on_is_named"), move |_| deaf(way)));
    let broken = CASES.iter().map(|case| {
        let (way, host, line, id, _) = case;
        let after = line.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        test(format!("doctor::{id}_of_{way}_on_{}_after_{after}", NAMES[*host]), move |_| broken(case))
    });
    healthy.into_iter().chain(deaf).chain(broken).collect()
}

fn apply(cluster: &Cluster) {
    for host in [1, 2, 0] {
        cluster.lvsform(host, &["apply", "cluster.kdl", "--host", NAMES[host], "--yes"], 0);
    }
}

/// Without records: a doctor asks the kernel alone.
fn examine(cluster: &Cluster, host: usize, code: i32) -> serde_json::Value {
    let said = cluster.without_records(host, &["doctor", "cluster.kdl", "--host", NAMES[host], "--format", "json"], code);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn found(document: &serde_json::Value) -> Vec<(String, String)> {
    let word = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = document["findings"].as_array().into_iter().flatten();
    findings.map(|finding| (word(finding, "id"), word(finding, "mend"))).collect()
}

fn healthy(way: &str) {
    let cluster = Cluster::new(&format!("healthy-{way}"), &cluster::topology(cluster::way(way)));
    apply(&cluster);
    for host in [0, 1, 2] {
        let found = found(&examine(&cluster, host, 0));
        // Every Ethernet of 1500 bytes has no room for two headers, and nobody here has a router.
        let wrong: Vec<_> = found.iter().filter(|(id, _)| !matches!(id.as_str(), "no-room" | "no-way-to-clients")).collect();
        assert!(wrong.is_empty(), "{way} {}: {wrong:?}", NAMES[host]);
    }
}

/// The servers listen on [`cluster::PORT`].
fn deaf(way: &str) {
    let place = if way == "nat" { "tcp 10.0.0.11 port 9999" } else { "tcp 10.0.0.100 port 9999" };
    let topology = cluster::topology(cluster::way(way)).replace("port=8080", "port=9999");
    let cluster = Cluster::new("deaf", &topology);
    apply(&cluster);
    let document = examine(&cluster, 1, 3);
    let what = |finding: &serde_json::Value| finding["what"].as_str().unwrap_or_default().to_owned();
    let said: Vec<String> = document["findings"].as_array().into_iter().flatten().map(what).collect();
    assert!(said.iter().any(|what| what.contains(&format!("nothing listens on {place}"))), "{way}: {document:#}");
}

/// What stands in the chain `input`, and in `forward`, of a director of nat; and what is said of it.
const FILTERS: [(&str, &str, &[&str]); 6] = [
    ("", "", &["dropped inet f input", "dropped inet f forward"]),
    ("tcp dport 8080 accept", "tcp sport 8080 accept", &[]),
    ("tcp dport { 22, 8000-9000 } accept", "ip saddr 10.0.0.0/24 accept; ip6 saddr 2001:db8::/64 accept", &[]),
    ("tcp dport vmap { 8080 : jump ours }", "jump ours", &[]),
    ("tcp dport 8080 counter reject", "accept", &["filtered inet f input handle"]),
    ("ip saddr 192.0.2.1 drop; ct state new accept", "accept", &[]),
];

/// The tables are those of nft itself: how it says them is part of what is tested.
fn filtered() {
    let cluster = Cluster::new("filtered", &cluster::topology(cluster::way("nat")));
    apply(&cluster);
    for (input, forward, expected) in FILTERS {
        let table = format!(
            "add table inet f\ndelete table inet f\ntable inet f {{\nchain ours {{ accept; }}\n\
             chain input {{ type filter hook input priority 0; policy drop; {input}; }}\n\
             chain forward {{ type filter hook forward priority 0; policy drop; {forward}; }}\n}}\n"
        );
        cluster.hosts[0].1.run(|| hand::feed("nft", "-f -", &table.replace("drop; ; }", "drop; }")));
        let document = examine(&cluster, 0, if expected.is_empty() { 0 } else { 3 });
        let text = |finding: &serde_json::Value| {
            let word = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            format!("{} {}", word("id"), if word("id") == "dropped" { word("what") } else { word("evidence") })
        };
        let found: Vec<String> = document["findings"].as_array().into_iter().flatten().map(text).collect();
        let filtered = found.iter().filter(|text| text.starts_with("dropped") || text.starts_with("filtered")).count();
        let named = |part: &&&str| {
            let (id, rest) = part.split_once(' ').unwrap_or_default();
            found.iter().any(|text| text.starts_with(id) && text.contains(rest))
        };
        assert!(expected.iter().all(|part| named(&part)), "{input}: {document:#}");
        assert_eq!(filtered > 0, !expected.is_empty(), "{input}: {document:#}");
    }
    cluster.hosts[0].1.run(|| hand::run("nft", "delete table inet f"));
}

fn broken(case: &Case) {
    let (way, host, line, id, mend) = *case;
    let cluster = Cluster::new("broken", &cluster::topology(cluster::way(way)));
    apply(&cluster);
    let (program, words) = line.split_once(' ').expect("a program and its arguments");
    cluster.hosts[host].1.run(|| hand::run(program, words));
    let doubtful = id == "no-room" || line.ends_with("mtu 1400");
    let document = examine(&cluster, host, if doubtful { 0 } else { 3 });
    let found = found(&document);
    assert!(found.iter().any(|(found, mends)| found == id && mends.contains(mend)), "{line}: {document:#}");
}
