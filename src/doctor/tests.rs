//! What is found of evidence that no test can bring about on a real host.

use serde_json::{Value, json};

use super::{Chain, Device, Evidence, Patient, Ruleset, Severity, Socket, Unseen, surroundings};
use crate::compile::{Compiled, compile};
use crate::source::memory::load_text;
use crate::state::{Connections, Observed, Protocol};
use crate::topology::{Topology, decode};

const TEXT: &str = r#"topology "t"
director "lb1" { interface "eth0" address="10.0.0.2/24"; }
real-server "web[1-2]" { interface "eth0" address="10.0.0.[11-12]/24"; }
vip "v" address="10.0.0.100"
service "s" { listen vip="v" port=443; forward "nat"; scheduler "wrr"; server "web[1-2]"; }
timeouts tcp="10m"
"#;

fn topology() -> Topology {
    decode(load_text("t.kdl", TEXT).tree).0.expect("a topology")
}

/// The words of what is found beside the state.
fn found(host: &str, evidence: &Evidence, observed: &Observed) -> Vec<(&'static str, Severity)> {
    let topology = topology();
    let host = &topology.hosts[host];
    let compiled: Compiled = compile(&topology, host);
    let patient = Patient { topology: &topology, host, compiled: &compiled, observed, evidence };
    let all = [surroundings::findings(&patient), super::director::findings(&patient)].concat();
    all.into_iter().map(|finding| (finding.id, finding.severity)).collect()
}

fn quiet() -> Evidence {
    Evidence { filters: Some(Ruleset::default()), ..Evidence::default() }
}

fn on_lb1(evidence: &Evidence) -> Vec<(&'static str, Severity)> {
    found("lb1", evidence, &Observed::default())
}

/// A host with one chain of this hook.
fn chain(hook: &str, drops: bool, rules: &[Value]) -> Evidence {
    let rules =
        rules.iter().map(|expr| json!({"family": "inet", "table": "f", "chain": "c", "handle": 3, "expr": expr})).collect();
    let chain = Chain { hook: Some(hook.to_owned()), is_nat: false, drops, rules };
    let filters = Ruleset { chains: [("inet f c".to_owned(), chain)].into(), ..Ruleset::default() };
    Evidence { filters: Some(filters), ..Evidence::default() }
}

fn port(port: u16, verdict: &str) -> Value {
    let left = json!({"payload": {"protocol": "tcp", "field": "dport"}});
    json!([{"match": {"op": "==", "left": left, "right": port}}, {verdict: null}])
}

#[test]
fn a_filter_lets_a_services_packets_pass() {
    assert_eq!(on_lb1(&chain("input", true, &[])), [("dropped", Severity::Wrong)]);
    assert_eq!(on_lb1(&chain("input", true, &[port(22, "accept")])), [("dropped", Severity::Wrong)]);
    assert_eq!(on_lb1(&chain("input", true, &[port(443, "accept")])), []);
    assert_eq!(on_lb1(&chain("output", true, &[])), [], "packets do not come by there");
    assert_eq!(on_lb1(&chain("prerouting", false, &[port(443, "dnat")])), [("filtered", Severity::Wrong)]);
    assert_eq!(on_lb1(&chain("input", false, &[port(22, "drop")])), []);
    let unseen = vec![Unseen { what: "whether".to_owned(), why: "no nft".to_owned(), mend: "install it".to_owned() }];
    assert_eq!(on_lb1(&Evidence { unseen, ..Evidence::default() }), [("not-looked", Severity::Doubtful)]);
}

/// What nat's servers answer is tracked only where IPVS is told to.
#[test]
fn a_filter_of_established_connections_knows_replies_only_with_conntrack() {
    let established =
        json!([{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}]);
    let with = |conntrack: &str| {
        let sysctls = [("ipv4/vs/conntrack".to_owned(), conntrack.to_owned())].into();
        on_lb1(&Evidence { sysctls, ..chain("forward", true, std::slice::from_ref(&established)) })
    };
    assert_eq!(with("1"), []);
    assert_eq!(with("0"), [("dropped", Severity::Doubtful)]);
}

/// What is found of a server of dr, with what it has.
fn of_server(text: &str, evidence: &Evidence) -> Vec<(&'static str, Severity)> {
    let topology = decode(load_text("t.kdl", text).tree).0.expect("a topology");
    let host = &topology.hosts["web1"];
    let compiled = compile(&topology, host);
    let mut observed = Observed::default();
    observed.state.objects.extend(compiled.state.objects.clone());
    let patient = Patient { topology: &topology, host, compiled: &compiled, observed: &observed, evidence };
    let all = [super::facts::findings(&patient), super::serving::findings(&patient)].concat();
    all.into_iter().map(|finding| (finding.id, finding.severity)).collect()
}

const DR: &str = r#"topology "t"
director "lb1" { interface "eth0" address="10.0.0.2/24"; }
real-server "web1" { interface "eth0" address="10.0.0.11/24"; }
vip "v" address="10.0.0.100"
service "s" { listen vip="v" port=443; forward "dr"; server "web1"; }
"#;

fn eth0(mtu: u32, network: &str) -> Evidence {
    let addresses = vec![network.parse().expect("a network")];
    let device = Device { mtu, works: true, speaks_arp: true, addresses };
    Evidence { devices: [("eth0".to_owned(), device)].into(), ..quiet() }
}

#[test]
fn what_the_file_says_of_a_host_is_looked_at() {
    let found = |text: &str, evidence: &Evidence| of_server(text, evidence);
    assert_eq!(found(DR, &eth0(1500, "10.0.0.11/24")), []);
    assert_eq!(found(DR, &eth0(1500, "10.0.1.11/24")), [("wrong-address", Severity::Wrong)]);
    assert_eq!(found(DR, &eth0(1500, "10.0.0.11/16")), [("wrong-address", Severity::Wrong)]);
    assert_eq!(found(DR, &quiet()), [("interface-missing", Severity::Wrong)]);
    assert_eq!(found(DR, &eth0(1400, "10.0.0.11/24")), [("small-mtu", Severity::Doubtful)]);
    let said = DR.replace("10.0.0.11/24\"", "10.0.0.11/24\" mtu=9000");
    assert_eq!(found(&said, &eth0(9000, "10.0.0.11/24")), []);
    assert_eq!(found(&said, &eth0(1500, "10.0.0.11/24")), [("mtu-differs", Severity::Wrong)]);
}

#[test]
fn something_listens_where_packets_arrive() {
    let listening = |protocol: Protocol, address: &str, port: u16| {
        let address = address.parse().expect("an address");
        let socket = Socket { protocol, address, port };
        of_server(DR, &Evidence { listening: Some(vec![socket]), ..eth0(1500, "10.0.0.11/24") })
    };
    for taken in ["0.0.0.0", "::", "10.0.0.100", "::ffff:10.0.0.100"] {
        assert_eq!(listening(Protocol::Tcp, taken, 443), [], "{taken}");
    }
    let nobody = [("nobody-listens", Severity::Wrong)];
    assert_eq!(listening(Protocol::Tcp, "10.0.0.11", 443), nobody, "dr leaves the VIP in the packet");
    assert_eq!(listening(Protocol::Tcp, "0.0.0.0", 8443), nobody);
    assert_eq!(listening(Protocol::Udp, "0.0.0.0", 443), nobody);
    let container = chain("prerouting", false, &[port(443, "dnat")]);
    let evidence = Evidence { filters: container.filters, listening: Some(Vec::new()), ..eth0(1500, "10.0.0.11/24") };
    assert_eq!(of_server(DR, &evidence), [], "a container's sockets are elsewhere");
    let quiesced = DR.replace("server \"web1\"", "server \"web1\" weight=0");
    assert_eq!(of_server(&quiesced, &Evidence { listening: Some(Vec::new()), ..eth0(1500, "10.0.0.11/24") }), []);
}

#[test]
fn who_answers_clients_itself_needs_a_way_to_them() {
    let found = |text: &str| {
        let refused = Err("Network is unreachable".to_owned());
        of_server(text, &Evidence { routes: vec![refused], ..eth0(1500, "10.0.0.11/24") })
    };
    assert_eq!(found(DR), [("no-way-to-clients", Severity::Doubtful)]);
    let said = DR.replace("10.0.0.11/24\"", "10.0.0.11/24\" gateway=\"10.0.0.1\"");
    assert_eq!(found(&said), [("no-way-to-clients", Severity::Wrong)]);
}

#[test]
fn a_server_that_does_not_answer_its_neighbour_is_named() {
    let silent_neighbours = [("10.0.0.12".parse().expect("an address"), "eth0".to_owned())].into();
    assert_eq!(on_lb1(&Evidence { silent_neighbours, ..quiet() }), [("neighbour-silent", Severity::Wrong)]);
}

#[test]
fn tables_that_are_nearly_full_are_named() {
    let conntrack = |count: &str| {
        let values = [("netfilter/nf_conntrack_count", count), ("netfilter/nf_conntrack_max", "1000")];
        let sysctls = values.map(|(path, value)| (path.to_owned(), value.to_owned())).into();
        on_lb1(&Evidence { sysctls, ..quiet() })
    };
    assert_eq!(conntrack("899"), []);
    assert_eq!(conntrack("900"), [("conntrack-full", Severity::Wrong)]);
    let mut observed = Observed::default();
    let server = "server tcp 10.0.0.100:443 10.0.0.11:443".parse().expect("a key");
    observed.traffic.insert(server, Connections { active: 40_000, ..Connections::default() });
    let bits = |table_bits| found("lb1", &Evidence { table_bits: Some(table_bits), ..quiet() }, &observed);
    assert_eq!(bits(12), [("ipvs-table", Severity::Doubtful)]);
    assert_eq!(bits(16), []);
}

#[test]
fn other_managers_are_named() {
    let runs = |host: &str, program: &str| {
        found(host, &Evidence { programs: vec![program.to_owned()], ..quiet() }, &Observed::default())
    };
    assert_eq!(runs("lb1", "keepalived"), [("another-manager", Severity::Doubtful)]);
    assert_eq!(runs("lb1", "ipvsadm-restore"), [("another-manager", Severity::Doubtful)]);
    assert_eq!(runs("lb1", "systemd-network"), [], "there are no routes and rules to take away");
    assert_eq!(runs("web1", "systemd-network"), [("another-manager", Severity::Doubtful)], "the kernel cuts names");
    assert_eq!(runs("lb1", "bash"), []);
    let restored = |host: &str| {
        let evidence = Evidence { restored_at_boot: Some("AUTO=true".to_owned()), ..quiet() };
        found(host, &evidence, &Observed::default())
    };
    assert_eq!(restored("lb1"), [("another-manager", Severity::Doubtful)]);
    assert_eq!(restored("web1"), [], "it has no services");
}

#[test]
fn a_server_that_asks_too_late_is_named() {
    let after = |seconds: &str| {
        let sysctls = [("ipv4/tcp_keepalive_time".to_owned(), seconds.to_owned())].into();
        found("web1", &Evidence { sysctls, ..quiet() }, &Observed::default())
    };
    assert_eq!(after("7200"), [("idle", Severity::Doubtful)]);
    assert_eq!(after("300"), []);
}

#[test]
fn shares_are_judged_where_there_are_enough_connections() {
    let spread = |scheduler: &str, counts: [u32; 2]| {
        let server = |host: u8| format!("server tcp 10.0.0.100:443 10.0.0.{host}:443");
        let service = json!({"kind": "service", "scheduler": scheduler});
        let value = json!({"kind": "destination", "forward": "nat", "weight": 1});
        let state = json!({
            "service tcp 10.0.0.100:443": service, server(11): value, server(12): value
        });
        let mut observed = Observed { state: serde_json::from_value(state).expect("a state"), ..Observed::default() };
        for (host, active) in [11, 12].into_iter().zip(counts) {
            let key = server(host).parse().expect("a key");
            observed.traffic.insert(key, Connections { active, ..Connections::default() });
        }
        found("lb1", &quiet(), &observed).len()
    };
    assert_eq!(spread("wrr", [100, 100]), 0);
    assert_eq!(spread("wrr", [20, 180]), 1, "180 are less than twice its share");
    assert_eq!(spread("wrr", [5, 45]), 0, "too few to judge");
    assert_eq!(spread("mh", [20, 180]), 0, "clients decide");
}

#[test]
fn a_vip_answers() {
    let with = |speaks_arp: bool, ignore: &str| {
        let device = Device { mtu: 1500, works: true, speaks_arp, addresses: Vec::new() };
        let sysctls = [("ipv4/conf/eth0/arp_ignore".to_owned(), ignore.to_owned())].into();
        on_lb1(&Evidence { devices: [("eth0".to_owned(), device)].into(), sysctls, ..quiet() })
    };
    assert_eq!(with(true, "1"), []);
    assert_eq!(with(false, "0"), [("vip-silent", Severity::Wrong)]);
    assert_eq!(with(true, "8"), [("vip-silent", Severity::Wrong)]);
}

#[test]
fn tracking_remembers_at_least_as_long_as_ipvs() {
    let mut observed = Observed::default();
    let timeouts = json!({"timeouts": {"kind": "timeouts", "tcp": 900}});
    observed.state = serde_json::from_value(timeouts).expect("a state");
    let with = |tracked: &str, seconds: &str| {
        let values = [("ipv4/vs/conntrack", tracked), ("netfilter/nf_conntrack_tcp_timeout_established", seconds)];
        let sysctls = values.map(|(path, value)| (path.to_owned(), value.to_owned())).into();
        found("lb1", &Evidence { sysctls, ..quiet() }, &observed)
    };
    assert_eq!(with("1", "600"), [("tracking-forgets", Severity::Doubtful)]);
    assert_eq!(with("1", "900"), []);
    assert_eq!(with("0", "600"), []);
}

#[test]
fn replies_of_dr_that_go_to_a_director_with_the_vip_are_named() {
    let found = |text: &str, via: &str| {
        let way = super::Way { device: "eth0".to_owned(), via: Some(via.parse().expect("an address")) };
        of_server(text, &Evidence { routes: vec![Ok(way)], ..eth0(1500, "10.0.0.11/24") })
    };
    assert_eq!(found(DR, "10.0.0.2"), [("replies-to-director", Severity::Wrong)]);
    assert_eq!(found(DR, "10.0.0.1"), []);
    let pair = DR
        .replace("vip \"v\" address=\"10.0.0.100\"", "vip \"v\" { address \"10.0.0.100\"; holder \"lb1\"; }")
        .replace("real-server", "director \"lb2\" { interface \"eth0\" address=\"10.0.0.3/24\"; }\nreal-server");
    assert_eq!(found(&pair, "10.0.0.2"), [("replies-to-director", Severity::Wrong)]);
    assert_eq!(found(&pair, "10.0.0.3"), [("replies-to-director", Severity::Doubtful)], "the VIP is at the other now");
    let floating = pair.replace("service", "vip \"gw\" { address \"10.0.0.9\"; holder \"lb1\"; }\nservice");
    assert_eq!(found(&floating, "10.0.0.9"), [("replies-to-director", Severity::Wrong)]);
}

#[test]
fn persistence_that_holds_a_drained_server_is_named() {
    let with = |value: &str, weight: u32, persistent: u32| {
        let key = "server tcp 10.0.0.100:443 10.0.0.11:443";
        let state = json!({ key: {"kind": "destination", "forward": "nat", "weight": weight} });
        let mut observed = Observed { state: serde_json::from_value(state).expect("a state"), ..Observed::default() };
        observed.traffic.insert(key.parse().expect("a key"), Connections { persistent, ..Connections::default() });
        let sysctls = [("ipv4/vs/expire_quiescent_template".to_owned(), value.to_owned())].into();
        found("lb1", &Evidence { sysctls, ..quiet() }, &observed)
    };
    assert_eq!(with("0", 0, 3), [("persistence-holds", Severity::Doubtful)]);
    assert_eq!(with("1", 0, 3), []);
    assert_eq!(with("0", 1, 3), []);
    assert_eq!(with("0", 0, 0), []);
}

#[test]
fn a_networkd_that_takes_vips_away_is_named() {
    let with = |device: &str, programs: &[&str]| {
        let networkd_takes_addresses = [(device.to_owned(), "/etc/systemd/network/lan.network".to_owned())].into();
        let programs = programs.iter().map(|name| (*name).to_owned()).collect();
        on_lb1(&Evidence { programs, networkd_takes_addresses, ..quiet() })
    };
    assert_eq!(with("eth0", &["systemd-network"]), [("another-manager", Severity::Doubtful)]);
    assert_eq!(with("eth0", &[]), []);
    assert_eq!(with("eth1", &["systemd-network"]), []);
}

#[test]
fn a_device_without_room_is_named_once() {
    let text = TEXT.replace("forward \"nat\"", "forward \"tun\"");
    let topology = decode(load_text("t.kdl", &text).tree).0.expect("a topology");
    let host = &topology.hosts["lb1"];
    let compiled = compile(&topology, host);
    let asked = super::questions(&topology, host, &compiled);
    let way = super::Way { device: "eth0".to_owned(), via: None };
    let evidence = Evidence { routes: asked.iter().map(|_| Ok(way.clone())).collect(), ..eth0(1500, "10.0.0.2/24") };
    let patient = Patient { topology: &topology, host, compiled: &compiled, observed: &Observed::default(), evidence: &evidence };
    let found = super::director::findings(&patient);
    let found: Vec<&str> = found.iter().filter(|one| one.id == "no-room").map(|one| one.what.as_str()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("towards 10.0.0.11 and 1 more"), "{found:?}");
}

#[test]
fn a_filter_of_the_old_kind_is_named_with_the_command_that_mends_it() {
    let mends = |saved: &str| {
        let chains = super::legacy::chains("iptables-legacy", saved);
        let evidence = Evidence { filters: Some(Ruleset { chains, ..Ruleset::default() }), ..Evidence::default() };
        let topology = topology();
        let host = &topology.hosts["lb1"];
        let compiled = compile(&topology, host);
        let observed = Observed::default();
        let patient = Patient { topology: &topology, host, compiled: &compiled, observed: &observed, evidence: &evidence };
        surroundings::findings(&patient).into_iter().map(|finding| finding.mend).collect::<Vec<String>>()
    };
    let drops = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
    assert_eq!(mends(drops), ["iptables-legacy -t filter -I INPUT -d 10.0.0.100 -p tcp --dport 443 -j ACCEPT"]);
    let rule = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 443 -j DROP\nCOMMIT\n";
    assert_eq!(mends(rule), ["iptables-legacy -t filter -D INPUT -p tcp -m tcp --dport 443 -j DROP"]);
    assert!(mends("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n").is_empty());
}
