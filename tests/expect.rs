//! Expectations: the fleet's hold, and each of ten changes that somebody may ask for is caught, with the place of what broke it.
#![expect(clippy::disallowed_methods, reason = "tests read and write their own files")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// A change of a file of the fleet, and what is said of it.
struct Mutation {
    name: &'static str,
    file: &'static str,
    before: &'static str,
    after: &'static str,
    said: &'static str,
    /// What broke it: the file, how its line begins, the token, and what is said beside it.
    broke: (&'static str, &'static str, &'static str, &'static str),
}

#[rustfmt::skip]
const MUTATIONS: [Mutation; 10] = [
    Mutation { name: "a_site_loses_servers", file: "fleet.kdl", before: "pool \"fra\" { server \"fra-web[1-20]\"", after: "pool \"fra\" { server \"fra-web[1-19]\"", said: "service fra-shop has 19 servers, and at least 20 are expected", broke: ("fleet.kdl", "pool \"fra\"", "\"fra\"", "all of its servers count") },
    Mutation { name: "hosts_are_quiesced", file: "fleet.kdl", before: "real-server \"lon-web[1-20]\" {", after: "real-server \"lon-web[1-20]\" quiesce=#true {", said: "service lon-shop has 0 servers, and at least 20 are expected", broke: ("fleet.kdl", "real-server \"lon-web", "#true", "this host takes no connections") },
    Mutation { name: "one_server_carries_a_site", file: "fleet.kdl", before: "pool \"ams\" { server \"ams-web[1-20]\" }", after: "pool \"ams\" { server \"ams-web1\" weight=500; server \"ams-web[2-20]\" }", said: "ams-web1 has 20.8% of ams-shop, and at most 6% are expected", broke: ("fleet.kdl", "pool \"ams\"", "500", "this much") },
    Mutation { name: "too_many_clients_move", file: "fleet.kdl", before: "pool \"syd\" { server \"syd-web[1-20]\" }", after: "pool \"syd\" { server \"syd-web[1-2]\" weight=200; server \"syd-web[3-20]\" }", said: "18.2% of the clients of syd-shop go elsewhere", broke: ("fleet.kdl", "pool \"syd\"", "\"syd-web[1-2]\"", "this server is gone") },
    Mutation { name: "another_method", file: "fleet.kdl", before: "service \"nyc-shop\" { listen", after: "service \"nyc-shop\" { forward \"tun\"; listen", said: "service nyc-shop forwards by tun, and dr is expected", broke: ("fleet.kdl", "service \"nyc-shop\"", "\"tun\"", "this one") },
    Mutation { name: "another_scheduler", file: "fleet.kdl", before: "service \"sin-shop\" { listen", after: "service \"sin-shop\" { scheduler \"rr\"; listen", said: "service sin-shop schedules by rr, and wlc or mh is expected", broke: ("fleet.kdl", "service \"sin-shop\"", "\"rr\"", "this one") },
    Mutation { name: "another_default", file: "fleet.kdl", before: "scheduler \"wlc\"", after: "scheduler \"sed\"", said: "schedules by sed, and wlc or mh is expected", broke: ("fleet.kdl", "    service drain=", "\"sed\"", "this one") },
    Mutation { name: "a_name_that_says_nothing", file: "fleet.kdl", before: "vip \"syd\" {", after: "vip \"sydney\" {", said: "vip `sydney` is not called `[a-z][a-z][a-z]`", broke: ("fleet.kdl", "vip \"sydney\"", "\"sydney\"", "this name") },
    Mutation { name: "a_site_without_a_router", file: "fleet.kdl", before: "address=\"10.5.0.[2-3]/24\" gateway=\"10.5.0.1\"", after: "address=\"10.5.0.[2-3]/24\"", said: "no director that carries VIP sin is in 198.18.0.0/15 or has a router", broke: ("fleet.kdl", "vip \"sin\"", "\"sin\"", "this VIP") },
    Mutation { name: "a_service_that_is_gone", file: "expectations.kdl", before: "service \"*-shop\"", after: "service \"*-shops\"", said: "no service is called `*-shops`", broke: ("expectations.kdl", "expect \"no server", "\"no server carries a site\"", "expected by this") },
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
        if let Some(Mutation { name, file, before, after, .. }) = change
            && entry.file_name() == **file
        {
            assert!(text.contains(before), "{name}");
            text = text.replace(before, after);
            text =
                text.replace("vip=\"syd\"", if *name == "a_name_that_says_nothing" { "vip=\"sydney\"" } else { "vip=\"syd\"" });
        } else if change.is_some_and(|change| change.name == "a_name_that_says_nothing") {
            text = text.replace("vip=\"syd\"", "vip=\"sydney\"");
        }
        fs::write(folder.join(entry.file_name()), text).expect("our own file");
    }
    folder
}

/// The other places of a problem: the file, its line, the token, and what is said beside it. Of files that are not given the texts
/// are empty.
fn related(problem: &Value, texts: &[(&str, &str)]) -> Vec<(String, String, String, String)> {
    let place = |one: &Value| {
        let file = one["file"].as_str().unwrap_or_default();
        let file = file.rsplit('/').next().unwrap_or_default();
        let text = texts.iter().find(|(name, _)| *name == file).map(|(_, text)| *text).unwrap_or_default();
        let number = |word: &str| usize::try_from(one["span"][word].as_u64().unwrap_or_default()).expect("a small number");
        let (start, length) = (number("offset"), number("length"));
        let line = text.lines().nth(number("line") - 1).unwrap_or_default();
        let token = text.get(start..start + length).unwrap_or_default();
        [file, line, token, one["label"].as_str().unwrap_or_default()].map(str::to_owned).into()
    };
    problem["related"].as_array().into_iter().flatten().map(place).collect()
}

#[test]
fn each_of_ten_changes_is_caught_by_test_and_by_check() {
    let schema = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/test.schema.json")).expect("a schema");
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).expect("JSON")).expect("a schema");
    for mutation in &MUTATIONS {
        let Mutation { name, said: expected, broke, .. } = mutation;
        let folder = fleet(Some(mutation));
        let tested = lvsform(&["test", "fleet.kdl", "--format", "json"], &folder);
        let checked = lvsform(&["check", "fleet.kdl"], &folder);
        let text = fs::read_to_string(folder.join(broke.0)).expect("a text");
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
        let (file, line, token, label) = *broke;
        let is_it = |(of, found_line, found, said): &(String, String, String, String)| {
            of == file && found_line.starts_with(line) && found == token && said == label
        };
        let places = related(found, &[(broke.0, &text)]);
        assert!(places.iter().any(is_it), "{name}: the place of what broke it: {places:#?}");
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

/// A folder that goes with its test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(nix::unistd::mkdtemp(&std::env::temp_dir().join("lvsform-test-XXXXXX")).expect("a folder"));
        for (name, text) in files {
            fs::write(folder.0.join(name), text).expect("our own file");
        }
        folder
    }

    /// What `test --format json` says of `t.kdl`, and its exit code.
    fn tested(&self, more: &[&str]) -> (Value, Option<i32>) {
        let done = lvsform(&[&["test", "t.kdl", "--format", "json"], more].concat(), &self.0);
        let document = serde_json::from_slice(&done.stdout)
            .unwrap_or_else(|error| panic!("{error} {}", String::from_utf8_lossy(&done.stderr)));
        (document, done.status.code())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The problems of all expectations of a document.
fn problems(document: &Value) -> Vec<Value> {
    let all = document["expectations"].as_array().into_iter().flatten();
    all.flat_map(|one| one["problems"].as_array().into_iter().flatten()).cloned().collect()
}

fn messages(problems: &[Value]) -> Vec<&str> {
    problems.iter().filter_map(|one| one["message"].as_str()).collect()
}

/// What is said of a topology with an expectation: messages, and for each the tokens and labels of its other places.
fn judged(topology: &str, expect: &str) -> Vec<(String, Vec<(String, String)>)> {
    let text = format!("{topology}{expect}\n");
    let (document, code) = Folder::new(&[("t.kdl", &text)]).tested(&[]);
    assert_eq!(document["problems"].as_array().map(Vec::len), Some(0), "it is valid: {document:#}");
    let problems = problems(&document);
    assert_eq!(code, Some(i32::from(!problems.is_empty())));
    let told = |one: &Value| {
        let places = related(one, &[("t.kdl", &text)]).into_iter().map(|(_, _, token, label)| (token, label));
        (one["message"].as_str().unwrap_or_default().to_owned(), places.collect())
    };
    problems.iter().map(told).collect()
}

/// The only message, and the place with this label.
fn one(topology: &str, expect: &str, label: &str) -> (String, String) {
    let mut all = judged(topology, expect);
    assert_eq!(all.len(), 1, "{expect}: {all:#?}");
    let (message, places) = all.remove(0);
    let token = places.iter().find(|(_, said)| said == label).map(|(token, _)| token.clone());
    (message, token.unwrap_or_else(|| panic!("{expect}: {label}: {places:#?}")))
}

const SHOP: &str = "topology \"t\"\ndirector \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\n\
    vip \"v\" address=\"10.0.0.100\"\nservice \"s\" { listen vip=\"v\" port=80; forward \"dr\"; server \"10.0.0.11\"; }\n";

/// Two VIPs on two directors, three servers of which one has no IPv6.
const SITE: &str = "topology \"t\"
director \"lb[1-2]\" { interface \"eth0\" { address \"10.0.0.[2-3]/24\" \"2001:db8::[2-3]/64\"; gateway \"10.0.0.1\"; }; }
real-server \"web[1-2]\" { interface \"eth0\" { address \"10.0.0.[11-12]/24\" \"2001:db8::[11-12]/64\"; gateway \"10.0.0.1\"; }; }
real-server \"web3\" { interface \"eth0\" { address \"10.0.0.13/24\"; gateway \"10.0.0.1\"; }; }
vip \"v\" { address \"10.0.0.100\" \"2001:db8::100\"; directors \"lb1\"; holder \"lb1\"; }
vip \"w\" { address \"10.0.0.101\"; holder \"lb2\"; }
pool \"web\" { server \"web[1-3]\"; }
service \"shop\" { listen vip=\"v\" port=443; forward \"dr\"; pool \"web\"; }
service \"other\" { listen vip=\"w\" port=443; forward \"dr\"; pool \"web\"; }
";

#[test]
fn each_of_the_kernels_services_is_counted_alone_and_the_worst_is_said() {
    let (message, token) =
        one(SITE, "expect \"e\" { service \"shop\" servers-min=3; }", "this server has no ipv6 address for it");
    assert_eq!(message, "service shop has 2 servers on tcp [2001:db8::100]:443, and at least 3 are expected");
    assert_eq!(token, "\"web[1-3]\"");
    let (_, token) = one(SITE, "expect \"e\" { service \"shop\" servers-min=3; }", "on this listen");
    assert_eq!(token, "listen");
    assert!(
        judged(SITE, "expect \"e\" { service \"shop\" servers-min=2 servers-max=3; service \"other\" servers-min=3; }")
            .is_empty()
    );
    let (message, _) = one(SITE, "expect \"e\" { service \"shop\" servers-max=2; }", "the last of them");
    assert_eq!(message, "service shop has 3 servers on tcp 10.0.0.100:443, and at most 2 are expected");
    let (message, _) = one(SITE, "expect \"e\" { service \"shop\" weight-min=3; }", "on this listen");
    assert_eq!(message, "the servers of shop weigh 2 on tcp [2001:db8::100]:443, and at least 3 are expected");
    let (message, _) = one(SITE, "expect \"e\" { service \"shop\" share-max=\"40%\"; }", "on this listen");
    assert!(message.ends_with("has 50.0% of shop on tcp [2001:db8::100]:443, and at most 40% are expected"), "{message}");
}

#[test]
fn a_share_never_reads_as_what_is_allowed_and_one_server_is_one() {
    let (message, _) = one(SITE, "expect \"e\" { service \"other\" share-max=\"33%\"; }", "this much");
    assert!(message.ends_with("has 33.3% of other, and at most 33% are expected"), "{message}");
    let site = SITE.replace("server \"web[1-3]\"", "server \"web1\" weight=3301; server \"web2\" weight=6699");
    let (message, token) =
        one(&site, "expect \"e\" without=\"web2\" { service \"other\" servers-min=2; }", "this server is gone");
    assert_eq!(message, "service other has 1 server without web2, and at least 2 are expected");
    assert_eq!(token, "\"web2\"");
    let site = SITE.replace("server \"web[1-3]\"", "server \"web1\" weight=33004; server \"web2\" weight=32996");
    let (message, _) = one(&site, "expect \"e\" { service \"other\" share-max=\"50%\"; }", "this much");
    assert_eq!(message, "web1 has 50.0061% of other, and at most 50% are expected");
}

#[test]
fn a_service_without_enough_servers_that_all_count_is_broken_where_more_would_stand() {
    let (_, token) = one(SITE, "expect \"e\" { service \"other\" servers-min=4; }", "all of its servers count");
    assert_eq!(token, "\"web\"");
    let own = SITE.replace("pool \"web\"; }\n", "server \"web[1-2]\"; }\n");
    let (_, token) =
        one(&own, "expect \"e\" { service \"other\" servers-min=4; }", "the last of its servers, and all of them count");
    assert_eq!(token, "\"web[1-2]\"");
}

#[test]
fn weights_and_drains_have_their_places() {
    let site = SITE.replace("server \"web[1-3]\"", "server \"web[1-2]\" weight=10; server \"web3\" weight=0");
    let (message, token) = one(&site, "expect \"e\" { service \"other\" weight-min=21; }", "this server takes no connections");
    assert_eq!((message.as_str(), token.as_str()), ("the servers of other weigh 20, and at least 21 are expected", "0"));
    let (message, token) = one(SITE, "expect \"e\" { service \"other\" drain-min=\"30s\"; }", "this one");
    assert_eq!(message, "service other lets its servers go within 0s, and at least 30s are expected");
    assert_eq!(token, "\"other\"", "nobody wrote a drain");
    let site = SITE.replace("service \"other\" {", "service \"other\" drain=\"20s\" {");
    assert_eq!(one(&site, "expect \"e\" { service \"other\" drain-min=\"30s\"; }", "this one").1, "\"20s\"");
    assert!(judged(&site, "expect \"e\" { service \"other\" drain-min=\"20s\"; }").is_empty());
}

#[test]
fn without_its_directors_a_service_has_no_servers_and_its_clients_move() {
    let lost = "this director is gone, and no other carries it";
    let (message, token) = one(SITE, "expect \"e\" without=\"lb1\" { service \"shop\" servers-min=1; }", lost);
    assert_eq!(message, "service shop has 0 servers without lb1, and at least 1 are expected");
    assert_eq!(token, "\"lb[1-2]\"");
    assert!(judged(SITE, "expect \"e\" without=\"lb1\" { service \"other\" servers-min=3; }").is_empty(), "lb2 has it too");
    let (message, token) = one(SITE, "expect \"e\" without=\"lb1\" moved-max=\"99%\"", "this director is gone");
    assert_eq!(message, "100.0% of the clients of shop go elsewhere without lb1, and at most 99% are expected");
    assert_eq!(token, "\"lb[1-2]\"");
    assert!(judged(SITE, "expect \"e\" without=\"lb2\" moved-max=\"0%\"").is_empty());
}

#[test]
fn names_that_lead_nowhere_and_patterns_that_are_none_are_said() {
    let all = judged(SITE, "expect \"e\" without=\"web9\" { service \"*\" servers-min=1; }");
    assert_eq!(all.iter().map(|(message, _)| message.as_str()).collect::<Vec<_>>(), ["there is no host `web9` to be without"]);
    let all = judged(SITE, "expect \"e\" { service \"[\" servers-min=1; names \"vip\" pattern=\"[\"; }");
    assert_eq!(all.len(), 2, "{all:#?}");
    assert!(all.iter().all(|(message, _)| message.starts_with("no pattern: ")), "{all:#?}");
}

#[test]
fn a_subnet_is_reached_by_one_that_has_all_of_it_or_by_a_router() {
    let reach = |site: &str, from: &str| judged(site, &format!("expect \"e\" {{ reach vip=\"v\" from=\"{from}\"; }}"));
    assert!(reach(SITE, "10.0.0.0/24").is_empty());
    assert!(reach(SITE, "198.18.0.0/15").is_empty(), "by the router");
    assert!(reach(SITE, "2001:db8::/64").is_empty());
    // Of 2001:db8::/48 a director has one subnet, and no router to the others.
    let said = "no director that carries VIP v is in 2001:db8::/48 or has a router: clients there do not reach it";
    assert_eq!(reach(SITE, "2001:db8::/48").first().map(|(message, _)| message.as_str()), Some(said));
    assert_eq!(reach(SITE, "2001:db8:9::/64").len(), 1);
    let routed = SITE.replace("gateway \"10.0.0.1\"", "gateway \"10.0.0.1\" \"fe80::1\"");
    assert!(reach(&routed, "2001:db8:9::/64").is_empty(), "{:#?}", reach(&routed, "2001:db8:9::/64"));
    let all = judged(SITE, "expect \"e\" { reach vip=\"w\" from=\"2001:db8::/64\"; }");
    assert_eq!(all.len(), 1, "the VIP has no IPv6 address: {all:#?}");
    let gone = judged(SITE, "expect \"e\" without=\"lb1\" { reach vip=\"v\" from=\"10.0.0.0/24\"; }");
    assert_eq!(gone.len(), 1, "{gone:#?}");
}

#[test]
fn replies_of_dr_leave_from_the_servers_and_those_of_nat_do_not() {
    let expect = "expect \"e\" { reach vip=\"w\" from=\"198.18.0.0/15\"; }";
    let lost = SITE.replace("address \"10.0.0.13/24\"; gateway \"10.0.0.1\";", "address \"10.0.0.13/24\";");
    let (message, token) = one(&lost, expect, "this server");
    let said = "web3 answers clients of other itself and is not in 198.18.0.0/15 and has no router: its replies do not get there";
    assert_eq!((message.as_str(), token.as_str()), (said, "\"web3\""));
    assert!(judged(&lost, "expect \"e\" without=\"web3\" { reach vip=\"w\" from=\"198.18.0.0/15\"; }").is_empty());
    let nat = lost.replace("forward \"dr\"", "forward \"nat\"; return-path \"none\"");
    assert!(judged(&nat, expect).is_empty());
}

#[test]
fn what_expects_nothing_is_an_error_at_its_token() {
    #[rustfmt::skip]
    let cases = [
        ("expect \"e\"", "\"e\"", "nothing is expected here"),
        ("expect \"e\" without=\"web1\"", "\"e\"", "nothing is expected here"),
        ("expect \"e\" { service \"shop\"; }", "\"shop\"", "nothing is expected of these services"),
        ("expect \"e\" deletes=0", "deletes", "`deletes` is about the plan from a captured state"),
        ("expect \"e\" changes=0", "changes", "`changes` is about the plan from a captured state"),
        ("expect \"e\" connections-cut=0", "connections-cut", "`connections-cut` is about the plan from a captured state"),
        ("expect \"e\" host=\"lb1\"", "host", "`host` is about the plan from a captured state"),
        ("expect \"e\" live=\"x.json\" host=\"lb1\"", "live", "nothing is expected of the plan"),
        ("expect \"e\" live=\"x.json\" deletes=0", "live", "`live` is the captured state of a host"),
        ("expect \"e\" moved-max=\"40%\"", "moved-max", "`moved-max` is about the loss of hosts"),
    ];
    for (expect, token, said) in cases {
        let text = format!("{SITE}{expect}\n");
        let folder = Folder::new(&[("t.kdl", &text)]);
        let (document, code) = folder.tested(&[]);
        let all = document["problems"].as_array().cloned().unwrap_or_default();
        assert_eq!((code, all.len()), (Some(10), 1), "{expect}: {document:#}");
        let (one, number) =
            (&all[0], |word: &str| usize::try_from(all[0]["span"][word].as_u64().unwrap_or_default()).expect("small"));
        assert!(one["message"].as_str().is_some_and(|message| message.starts_with(said)), "{expect}: {one:#}");
        assert_eq!(text.get(number("offset")..number("offset") + number("length")), Some(token), "{expect}: {one:#}");
        assert!(one["help"].is_string(), "{expect}");
        assert_eq!(lvsform(&["check", "t.kdl"], &folder.0).status.code(), Some(10), "{expect}");
    }
    // A misspelled limit is one mistake, not two.
    let folder = Folder::new(&[("t.kdl", &format!("{SITE}expect \"e\" {{ service \"shop\" server-min=1; }}\n"))]);
    assert_eq!(folder.tested(&[]).0["problems"].as_array().map(Vec::len), Some(1));
}

/// A state of lb1 of [`SHOP`], with a service that is not in the file any more, and whose it is.
fn state(owned: Option<&str>) -> String {
    let service = |port: u16| format!("service tcp 10.0.0.100:{port}");
    let server = |port: u16| format!("server tcp 10.0.0.100:{port} 10.0.0.11:{port}");
    let destination = serde_json::json!({"kind": "destination", "forward": "dr", "weight": 1});
    let wlc = serde_json::json!({"kind": "service", "scheduler": "wlc"});
    let mut document = serde_json::json!({
        "format": "lvsform-live/1",
        "observed": {
            "kernel": {"release": "6.1.176", "ipvs": true, "initial_namespace": true},
            "state": {
                "module ip_vs": {"kind": "module"},
                "link eth0": {"kind": "link", "device": {"other": ""}, "up": true, "mtu": 1500},
                "address 10.0.0.2/24 eth0": {"kind": "address"},
                "vip 10.0.0.100 eth0": {"kind": "address"},
                service(80): wlc, server(80): destination, service(90): wlc, server(90): destination,
            },
            "traffic": {server(90): {"active": 7, "inactive": 0, "persistent": 0}},
        },
    });
    if let Some(topology) = owned {
        document["owned"] = serde_json::json!({
            "topology": topology, "host": "lb1",
            "objects": {
                service(80): {"name": "s"}, server(80): {"name": "s 10.0.0.11"},
                service(90): {"name": "old"}, server(90): {"name": "old 10.0.0.11"},
            },
        });
    }
    document.to_string()
}

#[test]
fn a_plan_from_a_captured_state_deletes_what_the_topology_owned() {
    let expect = "expect \"monday\" live=\"monday.json\" host=\"lb1\" deletes=1 connections-cut=6\n";
    let folder = Folder::new(&[("t.kdl", &format!("{SHOP}{expect}")), ("monday.json", &state(Some("t")))]);
    let (document, code) = folder.tested(&[]);
    assert_eq!(code, Some(1));
    let expected = [
        "the plan from monday.json deletes 2 objects, service tcp 10.0.0.100:90 first, and at most 1 are expected",
        "the plan from monday.json ends 7 connections, server tcp 10.0.0.100:90 10.0.0.11:90 first, and at most 6 are expected",
    ];
    assert_eq!(messages(&problems(&document)), expected);
    let loose = expect.replace("deletes=1 connections-cut=6", "deletes=2 connections-cut=7");
    fs::write(folder.0.join("t.kdl"), format!("{SHOP}{loose}")).expect("our own file");
    assert_eq!(folder.tested(&[]).1, Some(0));
    // The same plan on the command line; and under its former name.
    let words = ["plan", "t.kdl", "--host", "lb1", "--live", "monday.json", "--format", "json"];
    let count = || {
        let plan: Value = serde_json::from_slice(&lvsform(&words, &folder.0).stdout).expect("JSON");
        plan["summary"]["delete"].clone()
    };
    assert_eq!(count(), 2);
    fs::write(folder.0.join("t.kdl"), SHOP.replace("topology \"t\"", "topology \"u\" was=\"t\"")).expect("our own file");
    assert_eq!(count(), 2);
    fs::write(folder.0.join("t.kdl"), SHOP.replace("topology \"t\"", "topology \"u\"")).expect("our own file");
    assert_eq!(count(), 0);
}

#[test]
fn a_state_that_does_not_say_what_is_owned_cannot_tell_that_nothing_is_deleted() {
    let expect = "expect \"monday\" live=\"monday.json\" host=\"lb1\" deletes=9 connections-cut=99\n";
    for owned in [None, Some("another")] {
        let folder = Folder::new(&[("t.kdl", &format!("{SHOP}{expect}")), ("monday.json", &state(owned))]);
        let (document, code) = folder.tested(&[]);
        assert_eq!(code, Some(1));
        let said = "monday.json does not say what topology t owns on lb1, so no delete is seen";
        assert_eq!(messages(&problems(&document)), [said, said]);
        for problem in problems(&document) {
            assert!(
                problem["help"].as_str().is_some_and(|help| help.contains("lvsform snapshot FILE > monday.json")),
                "{problem:#}"
            );
        }
        // Of an exclusive host the whole table is known.
        let exclusive = format!("{SHOP}ownership ipvs=\"exclusive\"\n{expect}");
        fs::write(folder.0.join("t.kdl"), exclusive).expect("our own file");
        assert_eq!(folder.tested(&[]).1, Some(0));
        // How much changes can be told without.
        let changes = expect.replace("deletes=9 connections-cut=99", "changes=99");
        fs::write(folder.0.join("t.kdl"), format!("{SHOP}{changes}")).expect("our own file");
        assert_eq!(folder.tested(&[]).1, Some(0));
    }
}

#[test]
fn a_plan_that_does_too_much_names_the_place_of_the_first_that_it_does() {
    let shop = SHOP.replace("server \"10.0.0.11\"", "server \"10.0.0.11\" weight=5");
    let expect = "expect \"monday\" live=\"monday.json\" host=\"lb1\" changes=0\n";
    let text = format!("{shop}{expect}");
    let folder = Folder::new(&[("t.kdl", &text), ("monday.json", &state(None))]);
    let (document, _) = folder.tested(&[]);
    let all = problems(&document);
    assert_eq!(all.len(), 1, "{document:#}");
    let places = related(&all[0], &[("t.kdl", &text)]);
    let place = places.iter().find(|(.., label)| label == "the first comes from here");
    let (_, line, token, _) = place.unwrap_or_else(|| panic!("{places:#?}"));
    assert_eq!((line.split('"').nth(1), token.as_str()), (Some("s"), "\"10.0.0.11\""), "{places:#?}");
    let first = all[0]["message"].as_str().unwrap_or_default();
    assert!(first.contains("server tcp 10.0.0.100:80 10.0.0.11:80 first"), "{first}");
    // What is deleted and was taken away by nobody's overlay is nowhere any more.
    let gone = format!("{shop}{}", expect.replace("changes=0", "deletes=0"));
    fs::write(folder.0.join("t.kdl"), &gone).expect("our own file");
    fs::write(folder.0.join("monday.json"), state(Some("t"))).expect("our own file");
    let all = problems(&folder.tested(&[]).0);
    assert_eq!(all.len(), 1, "{all:#?}");
    let labels: Vec<String> = related(&all[0], &[("t.kdl", &gone)]).into_iter().map(|(.., label)| label).collect();
    assert_eq!(labels, ["expected by this", "from this state"]);
}

#[test]
fn what_an_overlay_has_taken_away_is_shown_where_it_says_so() {
    let shop = format!(
        "{}{}\n{}",
        SHOP.replace("server \"10.0.0.11\";", "pool \"web\";"),
        "pool \"web\" { server \"10.0.0.11\"; server \"10.0.0.12\"; }\nservice \"old\" { listen vip=\"v\" port=90; forward \"dr\"; server \"10.0.0.11\"; }",
        "expect \"servers\" { service \"s\" servers-min=2; service \"old\" servers-min=1; }\n\
         expect \"monday\" live=\"monday.json\" host=\"lb1\" deletes=0\n",
    );
    let shop = shop.replace("server \"10.0.0.12\"", "server \"10.0.0.[12-13]\"");
    let overlay = "remove \"pool.web.server.10.0.0.[12-13]\" \"service.old\"\n";
    let folder = Folder::new(&[("t.kdl", &shop), ("less.kdl", overlay), ("monday.json", &state(Some("t")))]);
    let (document, code) = folder.tested(&["--overlay", "less.kdl"]);
    assert_eq!(code, Some(1), "{document:#}");
    let all = problems(&document);
    assert_eq!(all.len(), 3, "{document:#}");
    for (problem, token) in all.iter().zip(["\"pool.web.server.10.0.0.[12-13]\"", "\"service.old\"", "\"service.old\""]) {
        let places = related(problem, &[("less.kdl", overlay)]);
        let taken: Vec<&str> =
            places.iter().filter(|(.., label)| label == "taken away here").map(|(_, _, token, _)| &**token).collect();
        assert_eq!(taken, [token], "{problem:#}");
    }
}

/// What each of the other formats says of a folder's `t.kdl`.
fn said(folder: &Folder, command: &str, format: &str) -> (String, Option<i32>) {
    let done = lvsform(&[command, "t.kdl", "--format", format], &folder.0);
    (String::from_utf8_lossy(&done.stdout).into_owned(), done.status.code())
}

#[test]
fn an_expectation_is_one_test_of_junit_and_its_places_are_in_every_format() {
    let expect = "expect \"holds\" { service \"shop\" servers-min=1; }\n\
                  expect \"fails\" without=\"web2\" { service \"other\" servers-min=9 share-max=\"1%\"; }\n";
    let folder = Folder::new(&[("t.kdl", &format!("{SITE}{expect}"))]);
    let (junit, code) = said(&folder, "test", "junit");
    assert_eq!(code, Some(1));
    assert_eq!(junit.matches("<testcase ").count(), 2, "{junit}");
    assert!(junit.contains("<testsuite name=\"t\" tests=\"2\" failures=\"1\" errors=\"0\">"), "{junit}");
    let (_, failed) = junit.split_once("<testcase name=\"fails\" classname=\"t\">").unwrap_or_else(|| panic!("{junit}"));
    let passed = junit.split("<testcase name=\"fails\"").next().unwrap_or_default();
    assert!(passed.contains("<testcase name=\"holds\" classname=\"t\">") && !passed.contains("<failure"), "{junit}");
    assert_eq!(failed.matches("<failure ").count(), 1, "{junit}");
    let expected =
        ["t.kdl:11: service other has 2 servers", "t.kdl:7: this server is gone", "t.kdl:11: web", "t.kdl:7: this much"];
    for words in expected {
        assert!(failed.contains(words), "{words}: {junit}");
    }
    for command in ["test", "check"] {
        let (github, _) = said(&folder, command, "github");
        assert!(
            github
                .lines()
                .any(|line| line.starts_with("::error file=t.kdl,line=11") && line.contains("%0At.kdl:7: this server is gone")),
            "{github}"
        );
        let (markdown, _) = said(&folder, command, "markdown");
        assert!(markdown.contains("<br>t.kdl:7: this server is gone"), "{markdown}");
        let (html, _) = said(&folder, command, "html");
        assert!(html.contains("this server is gone:") && html.contains("#file-0-7"), "{html}");
        let (sarif, _) = said(&folder, command, "sarif");
        let sarif: Value = serde_json::from_str(&sarif).expect("JSON");
        let results = sarif["runs"][0]["results"].as_array().cloned().unwrap_or_default();
        let is_it = |place: &Value| {
            place["message"]["text"] == "this server is gone" && place["physicalLocation"]["region"]["startLine"] == 7
        };
        let has = |result: &Value| result["relatedLocations"].as_array().is_some_and(|places| places.iter().any(is_it));
        assert!(results.iter().any(has), "{sarif:#}");
    }
}

#[test]
fn of_an_invalid_topology_every_format_says_what_is_wrong() {
    let folder = Folder::new(&[("t.kdl", &SITE.replace("forward \"dr\"", "forward \"drr\""))]);
    for format in ["json", "junit", "sarif", "github", "markdown", "html"] {
        let (said, code) = said(&folder, "test", format);
        assert_eq!(code, Some(10), "{format}");
        assert!(said.contains("drr"), "{format}: {said}");
    }
    let (document, _) = folder.tested(&[]);
    let schema = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/test.schema.json")).expect("a schema");
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).expect("JSON")).expect("a schema");
    assert!(schema.is_valid(&document), "{document:#}");
    assert_eq!(document["expectations"].as_array().map(Vec::len), Some(0));
    let (junit, _) = said(&folder, "test", "junit");
    assert!(junit.contains("<failure"), "{junit}");
    let text = lvsform(&["test", "t.kdl"], &folder.0);
    assert!(text.stdout.is_empty() && String::from_utf8_lossy(&text.stderr).contains("drr"));
}

/// The digest of a plan from a state.
fn digest(folder: &Folder, more: &[&str]) -> String {
    let words = ["plan", "t.kdl", "--host", "lb1", "--live", "monday.json", "--format", "json"];
    let done = lvsform(&[&words, more].concat(), &folder.0);
    let plan: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error} {done:?}"));
    plan["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn a_digest_changes_with_how_long_servers_are_let_go_and_not_with_names_and_comments() {
    // The service of port 90 stays, and its server is another one.
    let text = |name: &str, drain: &str| {
        format!(
            "{SHOP}variable \"drain\" default=\"1m\"\nservice \"{name}\" drain={drain} {{ listen vip=\"v\" port=90; forward \"dr\"; server \"10.0.0.12\"; }}\n"
        )
    };
    let folder = Folder::new(&[("t.kdl", &text("old", "\"${drain}\"")), ("monday.json", &state(Some("t")))]);
    fs::write(folder.0.join("slow.kdl"), "set { service \"old\" drain=\"2m\"; }\n").expect("our own file");
    let minute = digest(&folder, &[]);
    assert_ne!(digest(&folder, &["--var", "drain=9m"]), minute);
    assert_ne!(digest(&folder, &["--var", "drain=0s"]), minute);
    assert_eq!(digest(&folder, &["--overlay", "slow.kdl"]), digest(&folder, &["--var", "drain=2m"]));
    assert_ne!(digest(&folder, &["--overlay", "slow.kdl"]), minute);
    let write = |text: &str| fs::write(folder.0.join("t.kdl"), text).expect("our own file");
    write(&text("old", "\"2m\""));
    assert_ne!(digest(&folder, &[]), minute);
    write(&text("old", "\"60s\""));
    assert_eq!(digest(&folder, &[]), minute);
    write(&format!("// a comment\n{}// another\n", text("new", "\"1m\"")));
    assert_eq!(digest(&folder, &[]), minute);
    // Nobody is let go: how long that would take is nobody's concern.
    let quiet = |drain: &str| text("old", drain).replace("10.0.0.12", "10.0.0.11");
    write(&quiet("\"1m\""));
    let nobody = digest(&folder, &[]);
    write(&quiet("\"9m\""));
    assert_eq!(digest(&folder, &[]), nobody);
}

#[test]
fn no_variable_of_the_environment_counts_that_the_file_does_not_name() {
    let text = format!("{}variable \"port\" default=80\n", SHOP.replace("port=80", "port=\"${port}\""));
    let named = text.replace("default=80", "default=80 env=\"LVSFORM_TEST_PORT\"");
    for (text, holds) in [(&text, true), (&named, false)] {
        let folder = Folder::new(&[("t.kdl", text)]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
        for name in ["port", "PORT", "LVSFORM_VAR_port", "LVSFORM_PORT", "LVSFORM_TEST_PORT", "TF_VAR_port"] {
            command.env(name, "81");
        }
        let done = command.args(["expand", "t.kdl"]).current_dir(&folder.0).output().expect("it starts");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert_eq!(said.contains("port=80"), holds, "{said} {}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(said.contains("port=81"), !holds, "{said}");
    }
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
