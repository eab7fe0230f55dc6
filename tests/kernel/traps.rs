//! The traps of sysctls: what the kernel does by itself with some of them, and what decides where there are several. Each is
//! written by `lvsform apply` in one run, and looked at in `/proc/sys` afterwards.

#![allow(clippy::disallowed_methods, reason = "tests run programs and look at files")]

use std::process::{Command, Stdio};

use libtest_mimic::Trial;

use crate::hand;
use crate::host::Host;
use crate::world::test;

pub fn tests() -> Vec<Trial> {
    vec![
        test("traps::what_forwarding_resets_is_written_after_it", |_| forwarding()),
        test("traps::a_new_device_gets_its_own_value_and_not_that_of_default", |_| defaults()),
        test("traps::of_all_and_an_interface_the_larger_counts_and_says_so", |_| larger()),
        test("traps::an_interface_may_have_a_dot_in_its_name", |_| dots()),
    ]
}

/// Applies a file to one of its hosts, whose one interface has this name, and reads sysctls afterwards.
fn applied(file: &str, host: &str, interface: &str, before: &[(&str, &str)], code: i32, read: &[&str]) -> (String, Vec<String>) {
    let place = Host::new();
    let folder = nix::unistd::mkdtemp("/tmp/lvsform-test-XXXXXX").expect("a folder");
    std::fs::write(folder.join("t.kdl"), file).expect("our own file");
    let lines = format!(
        "link add {interface} type veth peer name other\nlink set other up\naddr add 10.0.0.11/24 dev {interface}\n\
         addr add 2001:db8::11/64 dev {interface} nodad\nlink set {interface} up\n"
    );
    let seen = place.run(|| {
        hand::feed("ip", "-batch -", &lines);
        for (path, value) in before {
            std::fs::write(format!("/proc/sys/net/{path}"), value).expect("a sysctl");
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
        command.args(["apply", "t.kdl", "--yes", "--host", host, "--state-dir"]).arg(folder.join("records"));
        let done = command.current_dir(&folder).stdin(Stdio::null()).output().expect("it starts");
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(code), "{said}");
        let value = |path: &&str| std::fs::read_to_string(format!("/proc/sys/net/{path}")).expect("a sysctl").trim().to_owned();
        (said, read.iter().map(value).collect())
    });
    std::fs::remove_dir_all(folder).expect("our own folder");
    seen
}

/// `inet_forward_change` turns `accept_redirects` off, and older guides saw `send_redirects` come back.
fn forwarding() {
    let file = "topology \"t\"\n\
        director \"lb1\" {\n    interface \"eth0\" address=\"10.0.0.11/24\"\n    sysctl \"net.ipv4.conf.all.accept_redirects\" 1\n}\n\
        vip \"v\" address=\"10.0.0.100\"\n\
        service \"s\" {\n    listen vip=\"v\" port=80\n    forward \"nat\"\n    server \"10.0.0.20\"\n}\n";
    let read =
        ["ipv4/ip_forward", "ipv4/conf/all/accept_redirects", "ipv4/conf/all/send_redirects", "ipv4/conf/eth0/send_redirects"];
    let (said, values) = applied(file, "lb1", "eth0", &[("ipv4/conf/all/send_redirects", "1")], 0, &read);
    assert_eq!(values, ["1", "1", "0", "0"], "{said}");
}

const TUN: &str = "topology \"t\"\n\
    director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\n\
    real-server \"web1\" { interface \"eth0\" address=\"10.0.0.11/24\"; }\n\
    vip \"v\" address=\"10.0.0.100\"\n\
    service \"s\" {\n    listen vip=\"v\" port=80\n    forward \"tun\"\n    server \"web1\"\n}\n";

fn defaults() {
    let strict = [("ipv4/conf/default/rp_filter", "1"), ("ipv4/conf/all/rp_filter", "1")];
    let (said, values) =
        applied(TUN, "web1", "eth0", &strict, 0, &["ipv4/conf/ipip-464196/rp_filter", "ipv4/conf/all/rp_filter"]);
    assert_eq!(values, ["2", "1"], "{said}");
}

/// `IN_DEV_MAXCONF`: what `all` forbids no interface allows, and what `all` allows no interface forbids.
fn larger() {
    let tuned = format!("{TUN}tuning \"real-server\" {{\n    sysctl \"net.ipv4.conf.all.arp_ignore\" 0\n}}\n");
    let (said, values) = applied(&tuned, "web1", "eth0", &[], 10, &["ipv4/conf/all/arp_ignore"]);
    assert!(said.contains("LVS602"), "{said}");
    assert_eq!(values, ["0"], "nothing was written");
}

fn dots() {
    let file = "topology \"t\"\n\
        director \"lb1\" { interface \"eth0\" address=\"2001:db8::2/64\"; }\n\
        real-server \"web1\" {\n    interface \"eth0.100\" address=\"2001:db8::11/64\"\n    sysctl \"net/ipv4/conf/eth0.100/rp_filter\" 2\n}\n\
        vip \"v\" address=\"2001:db8::100\"\n\
        service \"s\" {\n    listen vip=\"v\" port=80\n    forward \"nat\"\n    server \"web1\"\n}\n";
    let read = ["ipv6/conf/eth0.100/accept_redirects", "ipv4/conf/eth0.100/rp_filter"];
    let (said, values) = applied(file, "web1", "eth0.100", &[], 0, &read);
    assert_eq!(values, ["0", "2"], "{said}");
}
