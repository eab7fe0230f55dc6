//! A director whose declared tunnels travel in GUE, and which sends to its servers in GUE: the whole of `lvsform apply`,
//! what other programs see then, and what somebody changes by hand.

use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::director::Director;
use crate::world::{World, test};
use crate::{hand, witness};

const FAR: &str = "tests/qemu/far.kdl";

pub fn tests() -> Vec<Trial> {
    vec![
        test("gue::a_director_of_tunnels_in_gue_is_what_other_programs_see", applies),
        test("gue::each_attribute_of_a_tunnel_in_gue_is_found_and_mended", |world| mends(world, &TUNNELS)),
        test("gue::each_attribute_of_ports_and_servers_in_gue_is_found_and_mended", |world| mends(world, &SERVERS)),
        test("gue::a_port_goes_with_the_last_of_its_tunnels", leaves),
        test("gue::a_port_that_somebody_elses_tunnel_needs_stays", kept),
        test("gue::a_port_of_two_topologies_goes_with_the_last", shared),
        test("gue::a_port_that_was_there_before_stays", found),
        test("gue::an_apply_whose_last_step_is_refused_takes_tunnels_and_ports_away_again", rolls_back),
    ]
}

/// Something that somebody did by hand, and what the next plan finds: that, and nothing else.
type Drift = (&'static str, &'static [&'static str]);

const TUNNELS: [Drift; 9] = [
    (
        "ip link set dc1 type ipip local 192.0.2.11 remote 198.51.100.2 ttl 64 encap gue encap-dport 6099",
        &[
            "link dc1: replace encap gue port 6099 checksum none → gue port 6080 checksum none",
            "address 172.16.0.2/30 dc1: put back",
        ],
    ),
    (
        "ip link set dc1 type ipip local 192.0.2.11 remote 198.51.100.2 ttl 64 encap gue encap-dport 6080 encap-csum",
        &[
            "link dc1: replace encap gue port 6080 checksum csum → gue port 6080 checksum none",
            "address 172.16.0.2/30 dc1: put back",
        ],
    ),
    (
        "ip link set dc1 type ipip local 192.0.2.11 remote 198.51.100.2 ttl 64 encap none",
        &["link dc1: replace encap none → gue port 6080 checksum none", "address 172.16.0.2/30 dc1: put back"],
    ),
    (
        "ip link set dc2 type gre local 192.0.2.11 remote 198.51.100.9 ttl 32 key 9 encap gue encap-dport 6081 encap-csum",
        &["link dc2: replace remote 198.51.100.9 → 198.51.100.3", "address 172.16.1.2/30 dc2: put back"],
    ),
    (
        "ip link set dc2 type gre local 192.0.2.11 remote 198.51.100.3 ttl 32 key 9 encap gue encap-dport 6081 noencap-csum",
        &[
            "link dc2: replace encap gue port 6081 checksum none → gue port 6081 checksum csum",
            "address 172.16.1.2/30 dc2: put back",
        ],
    ),
    (
        "ip link set dc6 type ip6gre local 2001:db8:f::11 remote 2001:db8:f::2 hoplimit 0 encaplimit none encap gue \
         encap-dport 6080 noencap-remcsum",
        &["link dc6: replace encap gue port 6080 checksum none → gue port 6080 checksum remcsum, mtu 1444 → 1300"],
    ),
    ("ip link set dc2 mtu 1300", &["link dc2: mtu 1300 → 1380"]),
    ("ip link del dc1", &["link dc1: add", "address 172.16.0.2/30 dc1: add"]),
    ("ip addr del 172.16.1.2/30 dev dc2", &["address 172.16.1.2/30 dc2: add"]),
];

const SERVERS: [Drift; 6] = [
    ("ip fou del port 6080", &["fou 6080 ipv4: add"]),
    ("ip -6 fou del port 6080", &["fou 6080 ipv6: add"]),
    ("ip fou del port 6081; ip fou add port 6081 ipproto 47", &["fou 6081 ipv4: replace gue false → true"]),
    (
        "ipvsadm -e -t 203.0.113.80:443 -r 198.51.100.11:443 -i -w 4 --tun-type gue --tun-port 6077",
        &["server tcp 203.0.113.80:443 198.51.100.11:443: forward tun gue port 6077 → tun gue port 6078"],
    ),
    (
        "ipvsadm -e -t 203.0.113.80:443 -r 198.51.100.12:443 -i -w 4 --tun-type gue --tun-port 6079 --tun-nocsum",
        &["server tcp 203.0.113.80:443 198.51.100.12:443: forward tun gue port 6079 → tun gue port 6079 csum"],
    ),
    (
        "ipvsadm -e -t 203.0.113.80:443 -r 198.51.100.13:443 -i -w 4 --tun-type ipip",
        &["server tcp 203.0.113.80:443 198.51.100.13:443: forward tun ipip → tun gue port 6078 remcsum"],
    ),
];

/// Runs `lvsform` on a file in the namespace of this thread, expects an exit code, and returns what it says.
#[track_caller]
fn lvsform(line: &str, code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
    command.args(line.split(' ')).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    if !line.starts_with("destroy") {
        command.args(["--host", "lb1"]);
    }
    let output = command.output().expect("it starts");
    let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert_eq!(output.status.code(), Some(code), "{line}: {words}");
    words
}

fn applied(world: &World) -> Director {
    let director = Director::of(FAR, "lb1");
    director.plug_in(world);
    let words = lvsform(&format!("apply {FAR} --yes"), 0);
    assert!(words.contains("The kernel was read back: lb1 holds what tests/qemu/far.kdl says."), "{words}");
    director
}

/// The ports that `ip` sees.
fn ports(world: &World) -> Vec<String> {
    // Its JSON names both families alike.
    let mut lines: Vec<String> = world.witness("ip", "fou show").lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}

/// The tunnels that `ip` sees, in every attribute that matters, but not their numbers.
fn tunnels(world: &World) -> Vec<Value> {
    let said = world.witness_json("ip", "-j -d link show");
    let tunnel = |name: &str| {
        let device = said.as_array().and_then(|devices| devices.iter().find(|device| device["ifname"] == name));
        let device = device.unwrap_or_else(|| panic!("no {name} in {said}"));
        json!({ "name": name, "alias": device["ifalias"], "mtu": device["mtu"], "linkinfo": device["linkinfo"] })
    };
    ["dc1", "dc2", "dc6"].into_iter().map(tunnel).collect()
}

fn applies(world: &mut World) {
    let director = applied(world);
    witness::agree(world, &director, &[]);
    assert_eq!(ports(world), ["port 6080 gue", "port 6080 gue -6", "port 6081 gue"]);
    let seen = tunnels(world);
    for (tunnel, kind, dport, set) in
        [(&seen[0], "ipip", 6080, None), (&seen[1], "gre", 6081, Some("csum")), (&seen[2], "ip6gre", 6080, Some("remcsum"))]
    {
        assert_eq!(tunnel["alias"], "lvsform:far", "{tunnel}");
        assert_eq!(tunnel["linkinfo"]["info_kind"], kind, "{tunnel}");
        let encap = &tunnel["linkinfo"]["info_data"]["encap"];
        assert_eq!((&encap["type"], &encap["dport"]), (&json!("gue"), &json!(dport)), "{tunnel}");
        for flag in ["csum", "csum6", "remcsum"] {
            assert_eq!(encap[flag], Some(flag) == set, "{flag} of {tunnel}");
        }
    }
    assert_eq!(
        witness::table(world),
        [
            "-A -t 203.0.113.80:443 -s wrr",
            "-a -t 203.0.113.80:443 -r 198.51.100.11:443 -i -w 4 --tun-type gue --tun-port 6078 --tun-nocsum",
            "-a -t 203.0.113.80:443 -r 198.51.100.12:443 -i -w 4 --tun-type gue --tun-port 6079 --tun-csum",
            "-a -t 203.0.113.80:443 -r 198.51.100.13:443 -i -w 4 --tun-type gue --tun-port 6078 --tun-remcsum",
        ]
    );
    let words = lvsform(&format!("plan {FAR} --exit-code"), 0);
    assert!(words.contains("Nothing to do: lb1 holds what tests/qemu/far.kdl says."), "{words}");
    let before = (witness::everything(world, &director), tunnels(world), ports(world));
    lvsform(&format!("apply {FAR} --yes"), 0);
    assert_eq!((witness::everything(world, &director), tunnels(world), ports(world)), before, "a second apply does nothing");
}

fn mends(world: &mut World, drifts: &[Drift]) {
    let director = applied(world);
    let seen = |world: &World| (tunnels(world), ports(world), witness::table(world), witness::addresses(world));
    let held = seen(world);
    for (commands, finds) in drifts {
        for command in commands.split("; ") {
            let (program, arguments) = command.split_once(' ').expect("a program and its arguments");
            hand::run(program, arguments);
        }
        assert_eq!(director.finds(&mut world.kernel), *finds, "{commands}");
        director.apply_all(&mut world.kernel);
        assert_eq!(seen(world), held, "{commands}");
    }
    // One of them with the command.
    hand::run("ip", "link del dc6");
    let words = lvsform(&format!("plan {FAR} --exit-code"), 2);
    assert!(words.contains("+ link dc6") && words.contains("1 to add, 0 to change, 0 to delete"), "{words}");
    lvsform(&format!("apply {FAR} --yes"), 0);
    assert_eq!(seen(world), held);
    witness::agree(world, &director, &[]);
}

fn far() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(FAR)).expect("the topology")
}

/// A text without its block of this tunnel.
fn without(text: &str, tunnel: &str) -> String {
    let (before, rest) = text.split_once(&format!("    tunnel \"{tunnel}\"")).expect("it has this tunnel");
    let (_, after) = rest.split_once("\n    }\n").expect("a block has an end");
    format!("{before}{after}")
}

/// Applies a text, expects an exit code, and returns what is said.
#[track_caller]
fn apply(text: &str, code: i32) -> String {
    apply_with(text, "", code)
}

fn apply_with(text: &str, words: &str, code: i32) -> String {
    let folder = nix::unistd::mkdtemp("/tmp/lvsform-test-XXXXXX").expect("a folder");
    let file = folder.join("far.kdl");
    std::fs::write(&file, text).expect("a file");
    let words = lvsform(format!("apply {} --yes {words}", file.display()).trim_end(), code);
    std::fs::remove_dir_all(folder).expect("our own folder");
    words
}

fn leaves(world: &mut World) {
    applied(world);
    let text = without(&far(), "dc2");
    let words = apply(&text, 0);
    assert!(words.contains("- fou 6081") || words.contains("- fou dc2"), "{words}");
    assert_eq!(ports(world), ["port 6080 gue", "port 6080 gue -6"], "nobody else uses 6081");
    let text = without(&text, "dc1");
    apply(&text, 0);
    assert_eq!(ports(world), ["port 6080 gue -6"], "dc6 uses it in the other family");
    apply(&text.replace("port=6080", "port=6090"), 0);
    assert_eq!(ports(world), ["port 6090 gue -6"], "another port is another object");
    lvsform("destroy far --yes", 0);
    assert_eq!(ports(world), Vec::<String>::new());
    assert!(!world.witness("ip", "link show").contains("dc"), "and no tunnel is left");
}

fn kept(world: &mut World) {
    applied(world);
    let theirs = "type gre local 192.0.2.11 remote 198.51.100.77 ttl 32 key 10 encap gue encap-dport 6081";
    hand::run("ip", &format!("link add theirs {theirs}"));
    let link = || world.witness_json("ip", "-j -d link show dev theirs")[0]["linkinfo"].clone();
    let before = link();
    let words = apply(&without(&far(), "dc2"), 0);
    assert!(words.contains("Left alone: fou 6081 ipv4 is to go, and somebody else's link theirs needs it."), "{words}");
    assert_eq!(ports(world), ["port 6080 gue", "port 6080 gue -6", "port 6081 gue"]);
    assert_eq!(link(), before);
    // Of the other family, of another port, and without GUE: these need it not.
    hand::run("ip", "link add other type ip6gre local 2001:db8:f::11 remote 2001:db8:f::77 encap gue encap-dport 6099");
    hand::run("ip", "link add plain type ipip local 192.0.2.11 remote 198.51.100.78");
    lvsform("destroy far --yes", 0);
    assert_eq!(ports(world), ["port 6081 gue"], "nobody's by now");
}

/// A topology with one tunnel of its own through the port of `dc2`.
const NEAR: &str = r#"
topology "near"
director "lb1" {
    interface "eth0" { address "192.0.2.11/24" "2001:db8:f::11/64" }
    tunnel "near1" kind="gre" local="192.0.2.11" remote="198.51.100.88" ttl=32 key=11 { encap "gue" port=6081; }
}
"#;

fn shared(world: &mut World) {
    applied(world);
    apply(NEAR, 0);
    apply(&without(&far(), "dc2"), 0);
    assert_eq!(ports(world), ["port 6080 gue", "port 6080 gue -6", "port 6081 gue"], "`near` has it too");
    lvsform("destroy far --yes", 0);
    assert_eq!(ports(world), ["port 6081 gue"]);
    lvsform("destroy near --yes", 0);
    assert_eq!(ports(world), Vec::<String>::new(), "the last one takes it along");
}

fn found(world: &mut World) {
    world.witness("modprobe", "fou");
    hand::run("ip", "fou add port 6081 gue");
    applied(world);
    apply(&without(&far(), "dc2"), 0);
    assert_eq!(ports(world), ["port 6080 gue", "port 6080 gue -6", "port 6081 gue"]);
    lvsform("destroy far --yes", 0);
    assert_eq!(ports(world), ["port 6081 gue"], "as it was found");
}

fn rolls_back(world: &mut World) {
    world.witness("modprobe", "fou");
    let director = Director::of(FAR, "lb1");
    director.plug_in(world);
    let seen = |world: &World| (witness::everything(world, &director), ports(world));
    let before = seen(world);
    let words = apply_with(&format!("{}sync id=5 interface=\"nowhere\"\n", far()), "--allow model", 8);
    assert!(words.contains("sync") && words.contains("Rolled back"), "{words}");
    assert_eq!(seen(world), before);
}
