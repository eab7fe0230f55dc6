//! Expectations: the fleet's hold, and each of ten changes that somebody may ask for is caught, with the place of what broke it.
#![expect(clippy::disallowed_methods, reason = "tests read and write their own files")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// A change of a file of the fleet, and what is said of it.
type Mutation = (&'static str, &'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const MUTATIONS: [Mutation; 10] = [
    ("a_site_loses_servers", "fleet.kdl", "pool \"fra\" { server \"fra-web[1-20]\"", "pool \"fra\" { server \"fra-web[1-19]\"", "service fra-shop has 19 servers, and at least 20 are expected"),
    ("hosts_are_quiesced", "fleet.kdl", "real-server \"lon-web[1-20]\" {", "real-server \"lon-web[1-20]\" quiesce=#true {", "service lon-shop has 0 servers, and at least 20 are expected"),
    ("one_server_carries_a_site", "fleet.kdl", "pool \"ams\" { server \"ams-web[1-20]\" }", "pool \"ams\" { server \"ams-web1\" weight=500; server \"ams-web[2-20]\" }", "ams-web1 has 20% of ams-shop, and at most 6% are expected"),
    ("too_many_clients_move", "fleet.kdl", "pool \"syd\" { server \"syd-web[1-20]\" }", "pool \"syd\" { server \"syd-web[1-2]\" weight=200; server \"syd-web[3-20]\" }", "18.2% of the clients of syd-shop go elsewhere"),
    ("another_method", "fleet.kdl", "service \"nyc-shop\" { listen", "service \"nyc-shop\" { forward \"tun\"; listen", "service nyc-shop forwards by tun, and dr is expected"),
    ("another_scheduler", "fleet.kdl", "service \"sin-shop\" { listen", "service \"sin-shop\" { scheduler \"rr\"; listen", "service sin-shop schedules by rr, and wlc or mh is expected"),
    ("another_default", "fleet.kdl", "scheduler \"wlc\"", "scheduler \"sed\"", "schedules by sed, and wlc or mh is expected"),
    ("a_name_that_says_nothing", "fleet.kdl", "vip \"syd\" {", "vip \"sydney\" {", "vip `sydney` is not called `[a-z][a-z][a-z]`"),
    ("a_site_without_a_router", "fleet.kdl", "address=\"10.5.0.[2-3]/24\" gateway=\"10.5.0.1\"", "address=\"10.5.0.[2-3]/24\"", "no director that carries VIP sin is in 198.18.0.0/15 or has a router"),
    ("a_service_that_is_gone", "expectations.kdl", "service \"*-shop\"", "service \"*-shops\"", "no service is called `*-shops`"),
];

fn lvsform(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lvsform")).args(arguments).current_dir(folder).output().expect("it starts")
}

/// The fleet in a folder of its own, with a change of one of its files.
fn fleet(change: Option<&Mutation>) -> std::path::PathBuf {
    let folder = nix::unistd::mkdtemp(&std::env::temp_dir().join("lvsform-test-XXXXXX")).expect("a folder");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fleet");
    for entry in fs::read_dir(from).expect("the fleet").flatten() {
        let mut text = fs::read_to_string(entry.path()).expect("a text");
        if let Some((name, file, before, after, _)) = change
            && entry.file_name() == **file
        {
            assert!(text.contains(before), "{name}");
            text = text.replace(before, after);
            text =
                text.replace("vip=\"syd\"", if *name == "a_name_that_says_nothing" { "vip=\"sydney\"" } else { "vip=\"syd\"" });
        } else if let Some(("a_name_that_says_nothing", ..)) = change {
            text = text.replace("vip=\"syd\"", "vip=\"sydney\"");
        }
        fs::write(folder.join(entry.file_name()), text).expect("our own file");
    }
    folder
}

#[test]
fn each_of_ten_changes_is_caught_by_test_and_by_check() {
    let schema = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/test.schema.json")).expect("a schema");
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).expect("JSON")).expect("a schema");
    for mutation in &MUTATIONS {
        let (name, .., expected) = mutation;
        let folder = fleet(Some(mutation));
        let tested = lvsform(&["test", "fleet.kdl", "--format", "json"], &folder);
        let checked = lvsform(&["check", "fleet.kdl"], &folder);
        fs::remove_dir_all(&folder).expect("our own folder");
        let document: Value = serde_json::from_slice(&tested.stdout)
            .unwrap_or_else(|error| panic!("{name}: {error} {}", String::from_utf8_lossy(&tested.stderr)));
        assert!(schema.is_valid(&document), "{name}: {document:#}");
        let problems: Vec<&Value> = document["expectations"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|one| one["problems"].as_array().into_iter().flatten())
            .collect();
        let found = problems.iter().find(|one| one["message"].as_str().is_some_and(|message| message.contains(expected)));
        let Some(found) = found else { panic!("{name}: {document:#}") };
        assert_eq!(tested.status.code(), Some(1), "{name}");
        assert_eq!(found["file"].as_str(), Some("expectations.kdl"), "{name}: the expectation's place");
        assert!(
            found["related"].as_array().is_some_and(|related| !related.is_empty()),
            "{name}: the place of what broke it: {found:#}"
        );
        assert_eq!(checked.status.code(), Some(10), "{name}: check says it too");
    }
}

#[test]
fn the_fleet_holds_on_every_stage() {
    let folder = fleet(None);
    for overlay in [&[][..], &["--overlay", "staging.kdl"], &["--overlay", "production.kdl"]] {
        let mut words = vec!["test", "fleet.kdl"];
        words.extend(overlay);
        let done = lvsform(&words, &folder);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(String::from_utf8_lossy(&done.stdout).contains("5 expected, and all of it holds."));
    }
    fs::remove_dir_all(&folder).expect("our own folder");
}

const SHOP: &str = "topology \"t\"\ndirector \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\n\
    vip \"v\" address=\"10.0.0.100\"\nservice \"s\" { listen vip=\"v\" port=80; forward \"dr\"; server \"10.0.0.11\"; }\n";

#[test]
fn a_plan_from_a_captured_state_is_looked_at() {
    let folder = nix::unistd::mkdtemp(&std::env::temp_dir().join("lvsform-test-XXXXXX")).expect("a folder");
    let live = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/readme/lb1.json");
    fs::copy(live, folder.join("monday.json")).expect("a copy");
    let write = |limit: &str| {
        let expect = format!("expect \"monday\" live=\"monday.json\" host=\"lb1\" {limit}\n");
        fs::write(folder.join("t.kdl"), format!("{SHOP}{expect}")).expect("our own file");
        lvsform(&["test", "t.kdl", "--format", "junit"], &folder)
    };
    let holds = write("deletes=0 connections-cut=0");
    assert!(holds.status.success(), "{}", String::from_utf8_lossy(&holds.stderr));
    let fails = write("changes=0");
    assert_eq!(fails.status.code(), Some(1));
    let said = String::from_utf8_lossy(&fails.stdout).into_owned();
    assert!(said.contains("<failure") && said.contains("the plan from monday.json has"), "{said}");
    fs::remove_dir_all(&folder).expect("our own folder");
}

#[test]
fn a_plan_of_a_composed_topology_is_applied_with_the_same_words() {
    let live = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/readme/lb1.json");
    let folder = fleet(None);
    let live = live.to_string_lossy().into_owned();
    let words = ["plan", "fleet.kdl", "--overlay", "production.kdl", "--var", "drain=9s", "--host", "fra-lb1", "--live", &live];
    let done = lvsform(&words, &folder);
    fs::remove_dir_all(&folder).expect("our own folder");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let expected = "lvsform apply fleet.kdl --overlay production.kdl --var 'drain=9s' --host fra-lb1 --expect ";
    assert!(said.contains(expected), "{said} {}", String::from_utf8_lossy(&done.stderr));
}
