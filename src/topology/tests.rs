//! What decoding promises, in both spellings.

use super::block::{self, Block, Context};
use super::shape::Kind;
use super::{Forward, Persistence, Topology, decode, same};
use crate::source::memory::{InMemory, load_text};
use crate::source::{At, Loaded, Problem, load};
use crate::state::Encapsulation;

const WHOLE_KDL: &str = include_str!("tests/whole.kdl");
const WHOLE_TOML: &str = include_str!("tests/whole.toml");

fn read(path: &str, text: &str) -> (Loaded, Option<Topology>, Vec<Problem>) {
    let mut loaded = load_text(path, text);
    let (topology, problems) = decode(std::mem::take(&mut loaded.tree));
    (loaded, topology, problems)
}

/// The topology of a text without a mistake.
fn good(path: &str, text: &str) -> Topology {
    let (loaded, topology, problems) = read(path, text);
    assert_eq!((loaded.problems, problems), (vec![], vec![]), "{text}");
    topology.unwrap()
}

#[test]
fn kdl_and_toml_of_one_topology_are_equal() {
    let (kdl, toml) = (good("whole.kdl", WHOLE_KDL), good("whole.toml", WHOLE_TOML));
    assert!(same(&kdl, &toml), "{}", similar::TextDiff::from_lines(kdl.plain(), toml.plain()).unified_diff());
}

/// The codes of a text's mistakes, each with the token that it points at.
fn bad(path: &str, text: &str) -> Vec<String> {
    let (loaded, _, problems) = read(path, text);
    let token = |problem: &Problem| loaded.sources.text(problem.labels[0].span).to_owned();
    problems.iter().map(|problem| format!("{} {}", problem.code, token(problem))).collect()
}

/// The codes of what is wrong with a KDL text behind `topology`.
fn kdl(text: &str) -> Vec<String> {
    bad("t.kdl", &format!("topology \"t\"\n{text}"))
}

fn toml(text: &str) -> Vec<String> {
    bad("t.toml", &format!("topology = \"t\"\n{text}"))
}

#[test]
fn every_example_of_the_table_is_one() {
    for kind in Kind::all() {
        let loaded = load_text("example.kdl", kind.example);
        assert!(loaded.problems.is_empty(), "{}", kind.example);
        let mut cx = Context { is_part: matches!(kind.word, "set" | "add"), ..Context::default() };
        let blocks: Vec<Block> = loaded.tree.nodes.iter().flat_map(|node| block::read(&mut cx, kind, node)).collect();
        assert_eq!((blocks.len(), cx.problems), (1, vec![]), "{}", kind.example);
        assert_eq!(blocks[0].kind.word, &*loaded.tree.nodes[0].key);
    }
}

#[test]
fn a_property_and_a_child_node_are_the_same() {
    let one = good(
        "a.kdl",
        "topology \"t\"\nservice \"s\" forward=\"dr\" pool=\"p\" { listen vip=\"v\" port=80; }\npool \"p\"\nvip \"v\" address=\"10.0.0.1\"",
    );
    let two = good(
        "a.kdl",
        "vip \"v\" { address \"10.0.0.1\"; }\npool \"p\" {}\nservice \"s\" { pool \"p\"; forward \"dr\"; listen { port 80; vip \"v\"; }; }\ntopology \"t\"",
    );
    assert!(same(&one, &two));
    let other = good(
        "a.kdl",
        "topology \"t\"\nservice \"s\" forward=\"dr\" pool=\"p\" { listen vip=\"v\" port=81; }\npool \"p\"\nvip \"v\" address=\"10.0.0.1\"",
    );
    assert!(!same(&one, &other));
}

#[test]
fn what_is_given_twice_is_refused_in_any_form() {
    assert_eq!(kdl("vip \"v\" address=\"10.0.0.1\" { address \"10.0.0.2\"; }"), ["twice address"]);
    assert_eq!(kdl("vip \"v\" { address \"10.0.0.1\"; address \"10.0.0.2\"; }"), ["twice address"]);
    assert_eq!(
        kdl(
            "service \"s\" scheduler=\"rr\" forward=\"dr\" { scheduler \"wrr\"; listen vip=\"v\" port=1; }\nvip \"v\" address=\"10.0.0.1\""
        ),
        ["twice scheduler"]
    );
    assert_eq!(kdl("topology \"u\""), ["twice topology"]);
    assert_eq!(kdl("ownership ipvs=\"declared\"\nownership ipvs=\"exclusive\""), ["twice ownership"]);
    assert_eq!(kdl("tuning \"director\"\ntuning \"director\""), ["twice \"director\""]);
}

#[test]
fn hosts_of_a_range_go_with_the_ranges_of_their_addresses() {
    let topology = good(
        "a.kdl",
        "topology \"t\"\nreal-server \"web[9-11]\" { interface \"eth0\" address=\"10.0.0.[19-21]/24\" gateway=\"10.0.0.1\"; }",
    );
    let told: Vec<String> = topology
        .hosts
        .values()
        .map(|host| format!("{} {} {}", host.name.value, host.hostname.value, host.interfaces["eth0"].addresses[0].value))
        .collect();
    assert_eq!(told, ["web10 web10 10.0.0.20/24", "web11 web11 10.0.0.21/24", "web9 web9 10.0.0.19/24"]);
}

#[test]
fn a_servers_name_is_a_host_an_address_or_a_label() {
    let topology = good(
        "a.kdl",
        "topology \"t\"\nreal-server \"web1\" { interface \"eth0\" address=\"10.0.0.11/24\"; }\npool \"p\" { server \"web1\"; server \"10.0.0.11\"; server \"10.0.0.12\"; server \"x\" host=\"web1\" port=1; server \"y\" address=\"10.0.0.11\"; server \"z[1-2]\" address=\"10.0.0.[11-12]\"; }",
    );
    let told: Vec<String> = topology.pools["p"]
        .servers
        .iter()
        .map(|server| {
            let host = server.host.as_ref().map_or("-", |host| &host.value);
            let address = server.address.as_ref().map_or("-".to_owned(), |address| address.value.to_string());
            format!("{} {host} {address}", server.label.value)
        })
        .collect();
    assert_eq!(
        told,
        [
            "web1 web1 -",
            "10.0.0.11 web1 10.0.0.11",
            "10.0.0.12 - 10.0.0.12",
            "x web1 -",
            "y web1 10.0.0.11",
            "z1 web1 10.0.0.11",
            "z2 - 10.0.0.12"
        ]
    );
}

#[test]
fn a_mistake_in_a_thing_does_not_make_its_name_unknown() {
    assert_eq!(
        kdl("vip \"v\" address=\"10.0.0.256\"\nservice \"s\" { listen vip=\"v\" port=80; forward \"dr\"; server \"10.0.0.9\"; }"),
        ["bad-value \"10.0.0.256\""]
    );
}

#[test]
fn names_are_of_one_kind() {
    assert_eq!(kdl("real-server \"web1\"\nvip \"v\" address=\"10.0.0.1\" holder=\"web1\""), ["unknown-name \"web1\""]);
    assert_eq!(kdl("director \"a\"\nreal-server \"a\""), ["twice \"a\""]);
    assert_eq!(kdl("director \"a\"\npool \"a\"\nvip \"a\" address=\"10.0.0.1\""), Vec::<String>::new());
}

#[test]
fn defaults_are_the_languages() {
    let topology = good(
        "a.kdl",
        "topology \"t\"\nvip \"v\" address=\"10.0.0.1\"\nservice \"s\" { listen vip=\"v\" port=80; forward \"tun\"; server \"10.0.0.9\"; persistence \"5m\"; }\nsync id=1 interface=\"eth0\"",
    );
    let service = &topology.services["s"];
    assert_eq!(service.scheduler.name, At::default("wlc".to_owned()));
    assert_eq!(service.drain, At::default(0));
    assert_eq!(service.forward.value, Forward::Tun(Encapsulation::Ipip));
    assert_eq!(service.servers[0].weight, At::default(1));
    assert!(matches!(
        service.persistence,
        Some(Persistence {
            timeout: At { value: 300, .. },
            client_prefix: At { value: 32, .. },
            client_prefix6: At { value: 128, .. },
            sip: None
        })
    ));
    assert!(topology.vips["v"].managed.value);
    let sync = &topology.syncs[0];
    assert_eq!(
        (sync.group.value.to_string(), sync.port.value, sync.ttl.value, sync.max_length.clone()),
        ("224.0.0.81".to_owned(), 8848, 1, None)
    );
}

#[test]
fn toml_tables_of_names_are_not_fields() {
    assert_eq!(toml("[pool.p]\nserver = { weight = 5 }"), ["missing-name weight"]);
    assert_eq!(toml("[director]\nhostname = \"x\""), ["missing-name hostname"]);
    assert_eq!(toml("[[director]]\nhostname = \"x\""), ["wrong-type director"]);
    assert_eq!(toml("policy = 5"), ["wrong-type policy"]);
    assert_eq!(toml("[[policy]]\nmax-deletes = 5"), ["wrong-type policy"]);
    assert_eq!(toml("sync = 5"), ["wrong-type sync"]);
    assert_eq!(toml("[director.lb1]\nsysctl = 5"), ["wrong-type sysctl"]);
    assert_eq!(toml("[director.lb1.sysctl]\n\"net.a\" = { force = true }"), ["missing-value \"net.a\""]);
    assert_eq!(toml("[director.lb1.sysctl]\n\"net.a\" = [1, 2]"), ["one-value \"net.a\""]);
}

#[test]
fn only_the_root_file_says_topology() {
    let files = InMemory::new([
        ("a.kdl", "topology \"t\"\ninclude \"b.toml\""),
        ("b.toml", "topology = \"u\"\n[pool.p]\nserver = \"10.0.0.9\"\n"),
    ]);
    let (topology, problems) = decode(load(std::path::Path::new("a.kdl"), &files).tree);
    assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["topology-outside-root"]);
    let topology = topology.unwrap();
    assert_eq!((topology.name.value.as_str(), topology.pools["p"].servers.len()), ("t", 1));
}

#[test]
fn ranges_are_counted_before_they_are_expanded() {
    let servers: Vec<String> = (0..200).map(|at| format!("server \"2001:db8:{at:x}::[0-ffff]\"")).collect();
    let pool = servers.join("\n");
    let (_, topology, problems) = read("a.kdl", &format!("topology \"t\"\npool \"p\" {{\n{pool}}}"));
    assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["too-many"]);
    assert!(topology.is_none());
}

#[test]
fn messages_never_carry_control_characters() {
    for text in [
        "director \"a\\u{1b}[2J\"",
        "vip \"v\" address=\"\\u{7}\"",
        "\"k\\u{9b}\" 1",
        "pool \"p\" { server \"x\" host=\"\\u{1b}c\"; }",
    ] {
        let (_, _, problems) = read("a.kdl", &format!("topology \"t\"\n{text}"));
        assert!(!problems.is_empty());
        for problem in problems {
            assert!(!format!("{}{:?}", problem.message, problem.help).chars().any(char::is_control), "{}", problem.message);
        }
    }
}
