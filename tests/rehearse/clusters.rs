//! Clusters that work: each method with both families, every protocol and every scheduler of the kernel.

use std::fmt::Write as _;
use std::path::Path;

use libtest_mimic::Trial;

use crate::stage::{rehearse, rehearse_text};

/// Every scheduler that Debian's 6.1 has.
pub const SCHEDULERS: [&str; 13] = ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "fo", "ovf", "mh"];
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// Each method: its name, and `forward`.
const METHODS: [(&str, &str); 5] = [
    ("nat", "\"nat\""),
    ("dr", "\"dr\""),
    ("tun_ipip", "\"tun\""),
    ("tun_gre", "\"tun\" encap=\"gre\""),
    ("tun_gre_with_checksums", "\"tun\" encap=\"gre\" checksum=\"csum\""),
];

pub fn tests() -> Vec<Trial> {
    let mut tests = vec![
        test("examples::flash_sale_in_kdl", || example("examples/flash-sale.kdl")),
        test("examples::flash_sale_in_toml", || example("examples/flash-sale.toml")),
        test("servers_that_are_no_hosts_have_stand_ins_and_vips_move_to_the_other_director", stand_ins_and_failover),
        test("persistence_holds_clients_by_prefix_and_by_call", persistence),
        test("a_director_that_is_its_own_server_leaves_a_kernel_that_goes_on", own_server),
        test("what_others_place_moves_and_a_vip_may_be_off_the_default_route", off_the_way),
        test("lints_that_stand_ins_make_void_are_left_out", lints),
        test("gateways_may_be_link_local_or_in_no_subnet", gateways),
    ];
    tests.extend(
        METHODS.into_iter().enumerate().flat_map(|(shift, (name, forward))| of_method(name, forward, &SCHEDULERS, shift, &[])),
    );
    tests
}

/// A method by every scheduler, pairwise with the protocols, and, where one asks for it, the whole product.
pub fn of_method(
    name: &str,
    forward: &'static str,
    schedulers: &[&'static str],
    shift: usize,
    more: &'static [&'static str],
) -> [Trial; 2] {
    let pair = |(at, one): (usize, &&'static str)| (PROTOCOLS[(at + shift) % PROTOCOLS.len()], *one);
    let pairs: Vec<Asked> = schedulers.iter().enumerate().map(pair).collect();
    let product: Vec<Asked> = schedulers.iter().flat_map(|one| PROTOCOLS.map(|protocol| (protocol, *one))).collect();
    [
        test(&format!("methods::{name}_by_every_scheduler"), move || by(forward, &pairs, more)),
        test(&format!("methods::{name}_by_every_scheduler_and_protocol"), move || by(forward, &product, more))
            .with_ignored_flag(true),
    ]
}

fn by(forward: &str, services: &[Asked], more: &[&str]) {
    rehearse_text("methods", &cluster(forward, services), more).works(2 * services.len());
}

/// A test that panics where it fails.
fn test(name: &str, body: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        body();
        Ok(())
    })
}

fn example(file: &str) {
    let outcome = rehearse(Path::new(file), &[]);
    outcome.works(2);
    assert_eq!(outcome.acts(), ["as-written", "weights", "drain", "remove", "without-ipvs"]);
}

/// A protocol and a scheduler.
type Asked = (&'static str, &'static str);

/// A director, three servers of different weights, and a service for each that is asked for, both families.
fn cluster(forward: &str, services: &[Asked]) -> String {
    let mut text = "topology \"t\"\n\
        director \"lb1\" {\n interface \"eth0\" { address \"10.0.0.2/24\" \"2001:db8::2/64\"; }\n}\n\
        real-server \"web[1-3]\" {\n interface \"eth0\" { address \"10.0.0.[11-13]/24\" \"2001:db8::[11-13]/64\"; }\n}\n\
        vip \"v\" { address \"10.0.0.100\" \"2001:db8::100\"; }\n\
        pool \"web\" {\n server \"web1\" weight=3\n server \"web2\" weight=2\n server \"web3\" weight=1\n}\n"
        .to_owned();
    for (at, (protocol, scheduler)) in services.iter().enumerate() {
        let _ = writeln!(
            text,
            "service \"{scheduler}-{protocol}\" {{\n listen vip=\"v\" port={} protocol=\"{protocol}\"\n forward {forward}\n \
             scheduler \"{scheduler}\"\n pool \"web\"\n}}",
            8000 + at
        );
    }
    text
}

fn stand_ins_and_failover() {
    let text = "topology \"t\"\n\
        director \"lb1\" { interface \"eth0\" { address \"10.0.0.2/24\" \"2001:db8::2/64\"; }; }\n\
        director \"lb2\" { interface \"eth0\" { address \"10.0.0.3/24\" \"2001:db8::3/64\"; }; }\n\
        vip \"v\" { address \"10.0.0.100\" \"2001:db8::100\"; holder \"lb1\"; }\n\
        service \"web\" { listen vip=\"v\" port=80; forward \"dr\"; scheduler \"rr\"; server \"10.0.0.[11-12]\" \"2001:db8::11\"; }\n\
        service \"app\" { listen vip=\"v\" port=81 family=\"ipv4\" server-port=8080; forward \"nat\"; scheduler \"rr\"; \
            server \"10.0.0.[13-14]\"; }\n\
        service \"far\" { listen vip=\"v\" port=82; forward \"tun\"; scheduler \"rr\"; server \"203.0.113.[9-10]\"; }\n";
    let outcome = rehearse_text("stand-ins", text, &[]);
    outcome.works(5);
    assert_eq!(outcome.acts(), ["as-written", "weights", "drain", "remove", "failover", "without-ipvs"]);
    let acts = outcome.document["acts"].as_array().expect("acts");
    let moved = acts.iter().find(|act| act["name"] == "failover").expect("VIPs move");
    let at_lb2 = |row: &serde_json::Value| row["director"] == "lb2" && row["answered"] == row["connections"];
    assert!(moved["rows"].as_array().is_some_and(|rows| rows.len() == 5 && rows.iter().all(at_lb2)), "{moved:#}");
    let notes = outcome.document["notes"].to_string();
    assert!(notes.contains("10.0.0.11 and 6 more servers are no hosts of the file: stand-ins"), "{notes}");
}

/// With a stand-in no server is outside any more, and the line that allows one is stale.
fn lints() {
    let text = "topology \"t\"\n\
        director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\n\
        real-server \"web1\" { interface \"eth0\" address=\"10.0.0.11/24\"; }\n\
        vip \"v\" address=\"10.0.0.100\"\n\
        service \"web\" { listen vip=\"v\" port=80; forward \"dr\"; scheduler \"rr\"; server \"web1\" \"10.0.0.12\"; }\n\
        lint \"server-outside\" level=\"allow\" reason=\"others keep it\"\n\
        lint \"unused-lint\" level=\"deny\" reason=\"no stale lines\"\n";
    rehearse_text("lints", text, &[]).works(1);
}

/// A kernel like 6.1 waits for ever for an interface of a namespace that ended while `lo` was up, and every program that makes
/// or deletes one waits with it.
fn own_server() {
    let text = "topology \"t\"\n\
        director \"lb1\" { interface \"eth0\" { address \"10.0.0.2/24\" \"2001:db8::2/64\"; gateway \"10.0.0.1\" \"2001:db8::1\"; }; }\n\
        vip \"v\" { address \"10.0.0.100\" \"2001:db8::100\"; }\n\
        service \"web\" { listen vip=\"v\" port=80; forward \"dr\"; scheduler \"rr\"; server \"lb1\"; }\n";
    rehearse_text("own-server", text, &[]).works(2);
    // What brings a part of every namespace waits for those that end. Nobody ends it where it waits for ever.
    let line = "modprobe ip_gre && modprobe -r ip_gre && modprobe ip_gre && unshare --net true";
    let mut child = std::process::Command::new("/bin/sh").args(["-ec", line]).spawn().expect("a shell");
    for _ in 0..200 {
        if let Some(status) = child.try_wait().expect("our own child") {
            assert!(status.success(), "{status}");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the kernel waits for an interface");
}

/// Two directors whose VIPs something else places, on a wire without the default route; an address of `via` that is nobody's; a
/// way back that nobody sees to; servers with room for few.
fn off_the_way() {
    let text = "topology \"t\"\n\
        director \"lb[1-2]\" {\n interface \"eth0\" address=\"10.0.0.[2-3]/24\"\n \
            interface \"eth1\" address=\"192.0.2.[2-3]/24\" gateway=\"192.0.2.1\"\n}\n\
        real-server \"web[1-2]\" { interface \"eth0\" address=\"10.0.0.[11-12]/24\" gateway=\"10.0.0.254\"; }\n\
        vip \"in\" { address \"10.0.0.100\"; managed #false; }\n\
        vip \"out\" { address \"192.0.2.100\"; holder \"lb1\"; }\n\
        vip \"far\" { address \"203.0.113.80\"; managed #false; }\n\
        service \"db\" { listen vip=\"in\" port=5432; forward \"dr\"; scheduler \"rr\"; server \"web[1-2]\"; }\n\
        service \"web\" { listen vip=\"out\" port=80; forward \"nat\"; scheduler \"rr\"; return-path \"policy\" via=\"10.0.0.1\"; \
            server \"web[1-2]\"; }\n\
        service \"log\" { listen vip=\"far\" port=514; forward \"nat\"; scheduler \"rr\"; return-path \"none\"; \
            server \"web[1-2]\"; }\n\
        service \"few\" { listen vip=\"in\" port=81; forward \"dr\"; scheduler \"wlc\"; server \"web[1-2]\" max-connections=3; }\n";
    let outcome = rehearse_text("off-the-way", text, &[]);
    outcome.works(4);
    let acts = outcome.document["acts"].as_array().expect("acts");
    let moved = acts.iter().find(|act| act["name"] == "failover").expect("VIPs move");
    assert_eq!(moved["what"], "Moved: far lb1 → lb2, in lb1 → lb2, out lb1 → lb2.");
    let at_lb2 = |row: &serde_json::Value| row["director"] == "lb2";
    assert!(moved["rows"].as_array().is_some_and(|rows| rows.len() == 4 && rows.iter().all(at_lb2)), "{moved:#}");
    let notes = outcome.document["notes"].to_string();
    assert!(notes.contains("reverse path filter is loose"), "{notes}");
}

fn gateways() {
    let text = "topology \"t\"\n\
        director \"lb1\" { interface \"eth0\" { address \"10.0.0.2/32\" \"2001:db8::2/64\"; gateway \"10.0.0.1\" \"fe80::1\"; }; }\n\
        real-server \"web[1-2]\" {\n interface \"eth0\" { address \"10.0.0.[11-12]/32\" \"2001:db8::[11-12]/64\"; \
            gateway \"10.0.0.1\" \"fe80::1\"; }\n}\n\
        vip \"v\" { address \"10.0.0.100\" \"2001:db8::100\"; }\n\
        service \"web\" { listen vip=\"v\" port=80; forward \"tun\"; scheduler \"rr\"; server \"web[1-2]\"; }\n";
    rehearse_text("gateways", text, &[]).works(2);
}

fn persistence() {
    let mut text = cluster("\"dr\"", &[]);
    text += "service \"by-prefix\" {\n listen vip=\"v\" port=80\n forward \"dr\"\n scheduler \"rr\"\n pool \"web\"\n \
        persistence \"5m\" client-prefix=24 client-prefix6=64\n}\n\
        service \"by-table\" {\n listen vip=\"v\" port=81\n forward \"dr\"\n scheduler \"sh\"\n pool \"web\"\n persistence \"5m\"\n}\n\
        service \"every-port\" {\n listen vip=\"v\" port=0 protocol=\"udp\"\n forward \"dr\"\n scheduler \"wrr\"\n pool \"web\"\n \
        persistence \"5m\"\n}\n\
        service \"calls\" {\n listen vip=\"v\" port=5060 protocol=\"udp\"\n forward \"dr\"\n scheduler \"rr\"\n pool \"web\"\n \
        persistence \"5m\" engine=\"sip\"\n}\n\
        service \"datagrams\" {\n listen vip=\"v\" port=53 protocol=\"udp\" one-packet=#true\n forward \"dr\"\n scheduler \"rr\"\n \
        pool \"web\"\n}\n";
    rehearse_text("persistence", &text, &[]).works(10);
}
