//! Rehearsals that need nftables or GUE, which User-Mode Linux lacks.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;

use crate::clusters::{SCHEDULERS, of_method};
use crate::stage::{Outcome, rehearse, rehearse_text};

/// An emulated processor that others use too.
const PATIENCE: [&str; 2] = ["--patience", "8s"];

/// What is done to a host of a cluster, and a cause with its host that is to be named.
#[rustfmt::skip]
const BROKEN: [(&str, &str, &str, &str); 4] = [
    ("marks_that_nobody_sets", "push", "lb1: nft delete table inet lvsform-push", "nftables-differ lb1"),
    ("a_firewall_that_drops", "push", "web1: nft 'add table inet f; add chain inet f in { type filter hook input priority 0; }; add rule inet f in tcp dport 5222 drop'", "firewall web1"),
    ("a_port_of_gue_that_is_closed", "gue", "web1: ip fou del port 6080", "fou-port-closed web1"),
    ("conntrack_that_snat_needs", "snat", "lb1: sysctl -qw net.ipv4.vs.conntrack=0", "conntrack-off lb1"),
];

pub fn tests() -> Vec<Trial> {
    let example = |name: &'static str, spelling: &'static str, trials: usize| {
        let work = move || {
            let outcome = rehearse(Path::new(&format!("examples/{name}.{spelling}")), &PATIENCE);
            outcome.works(trials);
            // Of the three this one has a VIP with a holder and another director.
            let moves: &[&str] = if name == "api-gateway" { &["failover"] } else { &[] };
            assert_eq!(outcome.acts(), [&["as-written", "weights", "drain", "remove"], moves, &["without-ipvs"]].concat());
            Ok(())
        };
        Trial::test(format!("rehearsals::{}_in_{spelling}", name.replace('-', "_")), work).with_ignored_flag(spelling == "toml")
    };
    let mut tests: Vec<Trial> = [("game", 6), ("api-gateway", 9), ("cdn", 12)]
        .into_iter()
        .flat_map(|(name, trials)| ["kdl", "toml"].map(|spelling| example(name, spelling, trials)))
        .collect();
    let mut schedulers = SCHEDULERS.to_vec();
    // Newer kernels have it.
    if Command::new("modprobe").args(["-nq", "ip_vs_twos"]).status().is_ok_and(|status| status.success()) {
        schedulers.push("twos");
    }
    tests.extend(of_method("tun_gue", "\"tun\" encap=\"gue\" port=6080", &schedulers, 0, &PATIENCE));
    for (name, trials) in [("snat", 6), ("push", 2), ("marked-elsewhere", 4)] {
        tests.push(Trial::test(format!("rehearsals::{}_works", name.replace('-', "_")), move || {
            of(name, &PATIENCE).works(trials);
            Ok(())
        }));
    }
    tests.extend(BROKEN.map(|(name, cluster, line, cause)| {
        Trial::test(format!("rehearsals::broken_{name}"), move || {
            let outcome = of(cluster, &["--patience", "2s", "--break", line]);
            assert_eq!(outcome.code, Some(1), "{}", outcome.said);
            assert!(outcome.causes().contains(cause), "{:?} {:#}", outcome.causes(), outcome.document["findings"]);
            Ok(())
        })
    }));
    tests
}

/// A director and three servers, and what the name says.
fn of(name: &str, more: &[&str]) -> Outcome {
    let mut text = format!(
        "topology \"{name}\"\n\
         director \"lb1\" {{\n interface \"eth0\" {{ address \"10.0.0.2/24\" \"2001:db8::2/64\"; }}\n}}\n\
         real-server \"web[1-3]\" {{\n interface \"eth0\" {{ address \"10.0.0.[11-13]/24\" \"2001:db8::[11-13]/64\"; }}\n}}\n\
         vip \"v\" {{ address \"10.0.0.100\" \"2001:db8::100\"; }}\n\
         pool \"web\" {{ server \"web[1-3]\"; }}\n"
    );
    let mut service = |name: &str, listen: &str, more: &str| {
        let _ = writeln!(text, "service \"{name}\" {{\n listen {listen}\n pool \"web\"\n {more}\n}}");
    };
    match name {
        "gue" => service("web", "vip=\"v\" port=80", "forward \"tun\" encap=\"gue\" port=6080\n scheduler \"rr\""),
        "snat" => {
            for protocol in ["tcp", "udp", "sctp"] {
                let listen = format!("vip=\"v\" port=80 protocol=\"{protocol}\" server-port=8080");
                service(protocol, &listen, "forward \"nat\"\n scheduler \"rr\"\n return-path \"snat\"");
            }
        }
        "marked-elsewhere" => {
            service("one", "fwmark=8 vip=\"v\"", "forward \"dr\"\n scheduler \"rr\"");
            service("two", "fwmark=9 vip=\"v\"", "forward \"nat\"\n scheduler \"rr\"\n return-path \"snat\"");
        }
        _ => service("push", "fwmark=7 { match vip=\"v\" { port 5222; }; }", "forward \"dr\"\n scheduler \"rr\""),
    }
    rehearse_text(name, &text, more)
}
