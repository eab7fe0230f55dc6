//! Each rule where it speaks, and where it must not. How a mistake is worded is in `golden/bad`.

mod beside;
mod levels;

use super::{Asked, examine, examine_as};
use crate::source::Severity;
use crate::source::memory::load_text;

const BASE: &str = "topology \"t\"\ndirector \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; interface \"eth1\" address=\"2001:db8::2/64\"; }\n";
const PAIR: &str = "director \"lb2\" { interface \"eth0\" address=\"10.0.0.3/24\"; }\n";
const VIP: &str = "vip \"v\" address=\"10.0.0.100\"\n";

/// The codes of the errors of a text behind [`BASE`].
fn said(text: &str) -> Vec<&'static str> {
    of(text, Severity::Error)
}

/// The codes of its warnings.
fn doubted(text: &str) -> Vec<&'static str> {
    of(text, Severity::Warning)
}

/// Most texts here have directors alone.
fn beside() -> Asked {
    Asked { allow: vec!["no-real-servers"], ..Asked::default() }
}

fn of(text: &str, severity: Severity) -> Vec<&'static str> {
    let loaded = load_text("a.kdl", &format!("{BASE}{text}"));
    examine_as(loaded, &beside())
        .2
        .into_iter()
        .filter(|problem| problem.severity == severity)
        .map(|problem| problem.code)
        .collect()
}

/// A service with what is given, and a server.
fn service(listen: &str, rest: &str) -> String {
    format!("service \"s\" {{ {listen}; {rest}; server \"10.0.0.11\"; }}\n")
}

#[test]
fn a_plain_cluster_is_silent() {
    assert_eq!(said(&format!("{VIP}{}", service("listen vip=\"v\" port=80", "forward \"dr\""))), [""; 0]);
    assert_eq!(said(&format!("{PAIR}{VIP}").replace("\"10.0.0.100\"", "\"10.0.0.100\" holder=\"lb1\"")), [""; 0]);
}

#[test]
fn a_vip_in_a_subnet_of_several_directors_needs_a_holder_or_another_manager() {
    let vip = |text: &str| said(&format!("{PAIR}vip \"v\" {text}\n"));
    assert_eq!(vip("address=\"10.0.0.100\""), ["no-holder"]);
    assert_eq!(vip("address=\"10.0.0.100\" managed=#false"), [""; 0]);
    assert_eq!(vip("address=\"10.0.0.100\" directors=\"lb1\""), [""; 0]);
    assert_eq!(vip("address=\"203.0.113.1\""), [""; 0]);
    assert_eq!(vip("address=\"203.0.113.1\" interface=\"eth0\""), ["no-holder"]);
    assert_eq!(vip("address=\"203.0.113.1\" interface=\"lo\""), [""; 0]);
}

#[test]
fn vips_share_an_address_only_where_no_director_carries_both() {
    let two = |one: &str, two: &str| {
        said(&format!("{PAIR}vip \"v\" address=\"203.0.113.1\" {one}\nvip \"w\" address=\"203.0.113.1\" {two}\n"))
    };
    assert_eq!(two("", "directors=\"lb1\""), ["address-twice"]);
    assert_eq!(two("directors=\"lb2\"", "directors=\"lb1\""), [""; 0]);
}

#[test]
fn one_kernel_service_is_not_two_also_over_families_and_protocols() {
    let listens = |text: &str| said(&format!("vip \"v\" address=\"10.0.0.100\" {{}}\n{}", service(text, "forward \"dr\"")));
    assert_eq!(listens("listen vip=\"v\" port=80; listen vip=\"v\" port=80"), ["listened-twice"]);
    assert_eq!(listens("listen vip=\"v\" port=80; listen vip=\"v\" port=80 protocol=\"udp\""), [""; 0]);
    assert_eq!(listens("listen vip=\"v\" port=80; listen vip=\"v\" port=81"), [""; 0]);
}

#[test]
fn a_mark_may_be_two_listens_of_two_families_of_one_service() {
    let vip = "vip \"v\" { address \"10.0.0.100\" \"2001:db8::100\"; }\n";
    let rest = "forward \"dr\"; server \"2001:db8::11\"";
    let listens = "listen fwmark=7 vip=\"v\" family=\"ipv4\"; listen fwmark=7 vip=\"v\" family=\"ipv6\"";
    assert_eq!(said(&format!("{vip}{}", service(listens, rest))), [""; 0]);
    let same = "listen fwmark=7 vip=\"v\" family=\"ipv4\"; listen fwmark=7 vip=\"v\"";
    assert_eq!(said(&format!("{vip}{}", service(same, rest))), ["listened-twice"]);
}

#[test]
fn ports_of_servers_are_nats() {
    let with = |forward: &str, server: &str| {
        said(&format!(
            "{VIP}service \"s\" {{ listen vip=\"v\" port=80; forward \"{forward}\"; server \"10.0.0.11\" {server}; }}\n"
        ))
    };
    assert_eq!(with("nat", "port=8080"), [""; 0]);
    assert_eq!(with("dr", "port=8080"), ["port-kept"]);
    assert_eq!(with("dr", "port=8080 { forward \"nat\"; }"), [""; 0]);
    assert_eq!(with("nat", "port=8080 { forward \"tun\"; }"), ["port-kept"]);
}

#[test]
fn one_server_by_two_ways_is_there_twice() {
    let servers = |text: &str| {
        said(&format!(
            "{VIP}real-server \"web1\" {{ interface \"eth0\" address=\"10.0.0.11/24\"; }}\nservice \"s\" {{ listen vip=\"v\" port=80; forward \"nat\"; {text}; }}\n"
        ))
    };
    assert_eq!(servers("server \"web1\"; server \"10.0.0.11\""), ["server-twice"]);
    assert_eq!(servers("server \"web1\"; server \"a\" host=\"web1\" port=80"), ["server-twice"]);
    assert_eq!(servers("server \"web1\"; server \"a\" host=\"web1\" port=81"), [""; 0]);
    assert_eq!(servers("server \"10.0.0.[10-12]\"; server \"web1\""), ["server-twice"]);
}

#[test]
fn two_services_may_have_one_pool() {
    let text = format!("{VIP}pool \"p\" {{ server \"10.0.0.11\"; server \"10.0.0.11\"; }}\n");
    let two = |port| format!("service \"s{port}\" {{ listen vip=\"v\" port={port}; forward \"dr\"; pool \"p\"; }}\n");
    assert_eq!(said(&format!("{text}{}{}", two(80), two(81))), ["server-twice"]);
}

#[test]
fn a_director_serves_with_nat_or_alone() {
    let with = |directors: &str, forward: &str| {
        said(&format!(
            "{PAIR}vip \"v\" address=\"10.0.0.100\" holder=\"lb1\" {directors}\nservice \"s\" {{ listen vip=\"v\" port=80; forward \"{forward}\"; server \"lb1\"; }}\n"
        ))
    };
    assert_eq!(with("", "dr"), ["round-and-round"]);
    assert_eq!(with("", "nat"), [""; 0]);
    assert_eq!(with("directors=\"lb1\"", "dr"), [""; 0]);
    assert_eq!(with("directors=\"lb1\" interface=\"lo\"", "tun"), ["vip-off-interface"]);
}

#[test]
fn sync_pairs_are_each_others_backup_with_two_ids() {
    let one = |id, master, backup| format!("sync id={id} interface=\"eth0\" master=\"{master}\" backup=\"{backup}\"\n");
    assert_eq!(said(&format!("{PAIR}{}{}", one(1, "lb1", "lb2"), one(2, "lb2", "lb1"))), [""; 0]);
    assert_eq!(said(&format!("{PAIR}{}{}", one(1, "lb1", "lb2"), one(2, "lb1", "lb2"))), ["daemon-twice", "daemon-twice"]);
    assert_eq!(said("sync id=1 interface=\"eth0\"\nsync id=2 interface=\"eth0\"\n"), ["daemon-twice"]);
}

#[test]
fn tunings_that_differ_are_settled_by_the_host() {
    let service = "service \"s\" { listen vip=\"v\" port=80; forward \"nat\"; server \"lb1\"; }\n";
    let tunings =
        "tuning \"director\" { sysctl \"net.core.somaxconn\" 1; }\ntuning \"real-server\" { sysctl \"net/core/somaxconn\" 2; }\n";
    assert_eq!(said(&format!("{VIP}{service}{tunings}")), ["tunings-differ"]);
    let base = BASE.replace("interface \"eth1\"", "sysctl \"net.core.somaxconn\" 3; interface \"eth1\"");
    let loaded = load_text("a.kdl", &format!("{base}{VIP}{service}{tunings}"));
    assert_eq!(examine(loaded).2, []);
}

#[test]
fn nothing_is_said_to_be_missing_from_a_torn_file() {
    let codes =
        said("service \"s\" { listen vip=\"v\" port=80; forward \"dr\"; server \"web1\"; }\nvip \"v\" address=10.0.0.1\n");
    assert_eq!(codes, ["unquoted"]);
}

#[test]
fn two_tunnels_that_are_one_in_the_kernel_are_refused() {
    let with = |text: &str| {
        said(&format!(
            "real-server \"e\" {{ tunnel \"a\" kind=\"gre\" remote=\"10.0.0.9\"; tunnel \"b\" kind=\"gre\" {text}; }}\n"
        ))
    };
    assert_eq!(with("remote=\"10.0.0.9\""), ["tunnel-twice"]);
    assert_eq!(with("remote=\"10.0.0.9\" key=1"), [""; 0]);
    assert_eq!(with("remote=\"2001:db8::9\""), ["tunnel-end"]);
}

#[test]
fn a_routed_vip_of_several_directors_is_meant_so_and_a_held_one_hardly() {
    let vip = |text: &str| doubted(&format!("{PAIR}vip \"v\" address=\"203.0.113.1\" {text}\n"));
    assert_eq!(vip(""), [""; 0]);
    assert_eq!(vip("holder=\"lb1\""), ["vip-outside"]);
    assert_eq!(vip("directors=\"lb1\""), ["vip-outside"]);
    assert_eq!(vip("directors=\"lb1\" interface=\"lo\""), [""; 0]);
    assert_eq!(vip("directors=\"lb1\" managed=#false"), [""; 0]);
}

#[test]
fn a_mark_that_takes_some_packets_leaves_the_others() {
    let with = |matched: &str, listen: &str| {
        let mark = service(&format!("listen fwmark=1 {{ match vip=\"v\" {matched}; }}"), "forward \"dr\"");
        let own = service(&format!("listen vip=\"v\" {listen}"), "forward \"dr\"").replace("\"s\"", "\"t\"");
        said(&format!("{VIP}{mark}{own}"))
    };
    assert_eq!(with("port=80", "port=80"), ["mark-shadows"]);
    assert_eq!(with("", "port=80"), ["mark-shadows"]);
    assert_eq!(with("port=80", "port=443"), [""; 0]);
    assert_eq!(with("port=80 protocol=\"udp\"", "port=80"), [""; 0]);
}

#[test]
fn a_hash_counts_weights_only_where_it_fills_its_table_with_them() {
    let with = |scheduler: &str, weight: u32| {
        let service = format!(
            "service \"s\" {{ listen vip=\"v\" port=80; forward \"dr\"; scheduler \"{scheduler}\"; server \"10.0.0.[11-14]\" weight={weight}; }}\n"
        );
        doubted(&format!("{VIP}{service}"))
    };
    assert_eq!(with("sh", 64), [""; 0]);
    assert_eq!(with("sh", 65), ["hash-slots"]);
    assert_eq!(with("mh", 65), [""; 0]);
}

#[test]
fn a_server_beyond_a_router_is_for_tun() {
    let with = |forward: &str| {
        doubted(&format!("{VIP}service \"s\" {{ listen vip=\"v\" port=80; forward \"{forward}\"; server \"10.0.1.11\"; }}\n"))
    };
    assert_eq!(with("dr"), ["dr-off-link"]);
    assert_eq!(with("tun"), [""; 0]);
    assert_eq!(with("nat"), [""; 0]);
}

#[test]
fn an_outer_header_needs_its_own_room() {
    let with = |mtu: u32, forward: &str| {
        let base = BASE.replace("address=\"10.0.0.2/24\"", &format!("address=\"10.0.0.2/24\" mtu={mtu}"));
        let text = format!("{base}{VIP}service \"s\" {{ listen vip=\"v\" port=80; forward {forward}; server \"10.0.0.11\"; }}\n");
        examine_as(load_text("a.kdl", &text), &beside()).2.into_iter().map(|problem| problem.code).collect::<Vec<_>>()
    };
    assert_eq!(with(1519, "\"tun\""), ["tunnel-mtu"]);
    assert_eq!(with(1520, "\"tun\""), [""; 0]);
    assert_eq!(with(1520, "\"tun\" encap=\"gue\" port=6080"), ["tunnel-mtu"]);
    assert_eq!(with(1532, "\"tun\" encap=\"gue\" port=6080"), [""; 0]);
    assert_eq!(with(1400, "\"dr\""), [""; 0]);
}

#[test]
fn a_backup_with_id_0_hears_every_master() {
    let pair = |master: u8, backup: u8| {
        doubted(&format!(
            "{PAIR}sync id={master} interface=\"eth0\" {{ master \"lb1\"; }}\nsync id={backup} interface=\"eth0\" {{ backup \"lb2\"; }}\n"
        ))
    };
    assert_eq!(pair(51, 51), [""; 0]);
    assert_eq!(pair(51, 0), [""; 0]);
    assert_eq!(pair(51, 52), ["sync-unheard", "sync-unheard"]);
    assert_eq!(pair(0, 52), ["sync-unheard", "sync-unheard"]);
}

#[test]
fn values_of_ipvs_are_checked_as_the_kernel_does() {
    let with = |key: &str, value: &str| {
        of(&format!("tuning \"director\" {{ sysctl \"net.ipv4.vs.{key}\" {value}; }}\n"), Severity::Error)
    };
    for (key, good) in [
        ("sync_ports", "64"),
        ("sync_threshold", "\"3 50\""),
        ("sync_threshold", "\"9 0\""),
        ("drop_entry", "3"),
        ("est_nice", "-20"),
    ] {
        assert_eq!(with(key, good), [""; 0], "{key} {good}");
    }
    for (key, bad) in [
        ("sync_ports", "128"),
        ("sync_ports", "0"),
        ("sync_threshold", "\"50 3\""),
        ("drop_entry", "4"),
        ("conn_reuse_mode", "7"),
        ("conntrack", "\"yes\""),
    ] {
        assert_eq!(with(key, bad), ["sysctl-value"], "{key} {bad}");
    }
}

/// What the kernel would take, or half take, without a word (`IPVS_CMD_NEW_SERVICE` and the rest check little): no text of the
/// language says it.
#[test]
fn what_the_kernel_takes_in_silence_cannot_be_written() {
    let of =
        |listen: &str, rest: &str, server: &str| said(&format!("{VIP}service \"s\" {{ {listen}; {rest}; server {server}; }}\n"));
    let (listen, dr, server) = ("listen vip=\"v\" port=80", "forward \"dr\"", "\"10.0.0.11\"");
    for (bad, code) in [
        ("listen fwmark=0 vip=\"v\"", "out-of-range"),
        ("listen vip=\"v\" port=80 protocol=\"icmp\"", "unknown-value"),
        ("listen fwmark=1", "mark-or-match"),
    ] {
        assert_eq!(of(bad, dr, server), [code], "{bad}");
    }
    for (bad, code) in [
        ("forward \"dr\"; persistence \"0s\"", "out-of-range"),
        ("forward \"dr\"; persistence \"32d\"", "out-of-range"),
        ("forward \"dr\"; persistence \"5m\" client-prefix=33", "out-of-range"),
        ("forward \"dr\"; persistence \"5m\" client-prefix6=0", "out-of-range"),
        ("forward \"dr\"; persistence engine=\"sip\"", "missing-value"),
        ("forward \"tun\" encap=\"vxlan\"", "unknown-value"),
        ("forward \"tun\" encap=\"gre\" checksum=\"remcsum\"", "encap-checksum"),
        ("forward \"tun\" checksum=\"csum\"", "encap-checksum"),
        ("forward \"tun\" encap=\"gue\"", "encap-port"),
        ("forward \"tun\" port=6080", "encap-port"),
        ("forward \"dr\"; scheduler \"none\"", "unknown-value"),
    ] {
        assert_eq!(of(listen, bad, server), [code], "{bad}");
    }
    for (bad, code) in [
        ("\"10.0.0.11\" weight=2147483648", "out-of-range"),
        ("\"fe80::1\"", "bad-value"),
        ("\"224.0.0.1\"", "bad-value"),
        ("\"0.0.0.0\"", "bad-value"),
    ] {
        assert_eq!(of(listen, dr, bad)[..1], [code], "{bad}");
    }
    for (bad, code) in [
        ("id=256", "out-of-range"),
        ("id=1 ttl=0", "out-of-range"),
        ("id=1 port=0", "out-of-range"),
        ("id=1 max-length=65535", "out-of-range"),
        ("id=1 group=\"10.0.0.1\"", "bad-value"),
    ] {
        assert_eq!(said(&format!("sync {bad} interface=\"eth0\"\n")), [code], "{bad}");
    }
    assert_eq!(said("vip \"v\" address=\"0.0.0.0\"\n"), ["bad-value"]);
}

#[test]
fn a_director_keeps_an_address_beside_the_vip_of_dr_and_tun() {
    let with = |vip: &str, forward: &str, server: &str| {
        let service = format!("service \"s\" {{ listen vip=\"v\" port=80; forward \"{forward}\"; server {server}; }}\n");
        said(&format!("vip \"v\" {vip}\n{service}"))
    };
    let own = "address=\"10.0.0.2\"";
    assert_eq!(with(own, "dr", "\"10.0.0.11\""), ["vip-is-own-address"]);
    assert_eq!(with(own, "tun", "\"10.0.0.11\""), ["vip-is-own-address"]);
    assert_eq!(with(own, "tun", "\"2001:db8::11\""), [""; 0], "the outer packet is IPv6");
    let takes = "\"10.0.0.11\"; }\ntuning \"real-server\" { sysctl \"net.ipv4.conf.all.accept_local\" 1";
    assert_eq!(with(own, "dr", takes), [""; 0], "the servers are told to");
    assert_eq!(with(own, "nat", "\"10.0.0.11\""), [""; 0]);
    assert_eq!(with(own, "dr", "\"lb1\""), [""; 0]);
    assert_eq!(with("address=\"2001:db8::2\"", "dr", "\"2001:db8::11\""), [""; 0]);
    let two = BASE.replace(" address=\"10.0.0.2/24\";", " { address \"10.0.0.2/24\" \"10.0.0.9/24\"; };");
    let text = format!("{two}vip \"v\" {own}\n{}", service("listen vip=\"v\" port=80", "forward \"dr\""));
    assert_eq!(examine_as(load_text("a.kdl", &text), &beside()).2, [], "{text}");
}

#[test]
fn the_director_is_no_router_of_what_answers_as_its_vip() {
    let with = |gateway: &str, forward: &str, vip: &str| {
        let host = format!("real-server \"web1\" {{ interface \"eth0\" address=\"10.0.0.31/24\" {{ gateway {gateway}; }}; }}\n");
        let service = format!("service \"s\" {{ listen vip=\"v\" port=80; forward \"{forward}\"; server \"web1\"; }}\n");
        doubted(&format!("{PAIR}{host}vip \"v\" address=\"10.0.0.100\" {vip}\n{service}"))
    };
    let held = "holder=\"lb1\"";
    assert_eq!(with("\"10.0.0.2\"", "dr", held), ["gateway-is-director"]);
    assert_eq!(with("\"10.0.0.100\"", "tun", held), ["gateway-is-director"]);
    assert_eq!(with("\"10.0.0.2\"", "nat", held), [""; 0]);
    assert_eq!(with("\"10.0.0.3\"", "dr", held), [""; 0], "it has not the VIP");
    assert_eq!(with("\"10.0.0.3\"", "dr", "managed=#false"), ["gateway-is-director"], "it may have it");
    assert_eq!(with("\"10.0.0.2\" \"10.0.0.254\"", "dr", held), [""; 0], "there is another router");
}

#[test]
fn a_gateway_is_a_neighbour() {
    let with = |interface: &str| doubted(&format!("real-server \"web1\" {{ interface \"eth0\" {interface}; }}\n"));
    assert_eq!(with("address=\"10.0.0.31/24\" gateway=\"10.0.1.1\""), ["gateway-outside"]);
    assert_eq!(with("address=\"10.0.0.31/24\" gateway=\"10.0.0.1\""), [""; 0]);
    assert_eq!(with("address=\"10.0.0.31/32\" gateway=\"10.0.1.1\""), [""; 0]);
    assert_eq!(with("address=\"10.0.0.31/24\" gateway=\"2001:db8:1::1\""), [""; 0]);
    assert_eq!(with("address=\"2001:db8:1::31/64\" gateway=\"fe80::1\""), [""; 0]);
    assert_eq!(with("address=\"2001:db8:1::31/64\" gateway=\"2001:db8:2::1\""), ["gateway-outside"]);
}

#[test]
fn sync_messages_with_ttl_1_stay_in_their_subnet() {
    let with = |other: &str, sync: &str| {
        doubted(&format!(
            "director \"lb2\" {{ interface \"eth0\" {other}; }}\nsync id=1 interface=\"eth0\" {sync} {{ master \"lb1\"; backup \"lb2\"; }}\n"
        ))
    };
    assert_eq!(with("address=\"10.0.1.3/24\"", ""), ["sync-off-link"]);
    assert_eq!(with("address=\"10.0.1.3/24\"", "ttl=2"), [""; 0]);
    assert_eq!(with("address=\"10.0.0.3/24\"", ""), [""; 0]);
    assert_eq!(with("address=\"2001:db8:1::3/64\"", ""), [""; 0], "nobody knows its IPv4 addresses");
}

#[test]
fn what_is_to_be_done_by_hand_is_what_apply_would_do() {
    let by_hand = |forward: &str, server: &str| {
        let text = format!(
            "{BASE}real-server \"web1\" {{ interface \"eth0\" address=\"10.0.0.31/24\"; }}\n{VIP}service \"s\" {{ listen vip=\"v\" port=80; forward {forward}; server \"{server}\"; }}\n"
        );
        let problems = examine_as(load_text("a.kdl", &text), &beside()).2;
        problems
            .into_iter()
            .filter(|problem| problem.code == "server-outside")
            .filter_map(|problem| problem.help)
            .collect::<String>()
    };
    let gue = "\"tun\" encap=\"gue\" port=6080";
    assert!(by_hand(gue, "10.0.0.32").contains("`ip fou add port 6080 gue`"));
    assert!(by_hand(gue, "2001:db8::32").contains("`ip fou add port 6080 gue -6`"));
    let gre = |checksum: &str| by_hand(&format!("\"tun\" encap=\"gre\" {checksum}"), "10.0.0.32");
    assert!(gre("").contains("`ip link add lvs type gre local 10.0.0.32`"));
    assert!(gre("checksum=\"csum\"").contains("`ip link add lvs type gre local 10.0.0.32 icsum`"));
}

#[test]
fn a_file_of_directors_alone_is_told_once_what_it_leaves_to_others() {
    let with = |text: &str| {
        let problems = examine(load_text("a.kdl", &format!("{BASE}{VIP}{text}"))).2;
        problems.into_iter().map(|problem| problem.code).collect::<Vec<_>>()
    };
    let dr = service("listen vip=\"v\" port=80", "forward \"dr\"");
    let tun = service("listen vip=\"v\" port=81", "forward \"tun\"").replace("\"s\"", "\"t\"");
    assert_eq!(with(&format!("{dr}{tun}")), ["no-real-servers"]);
    assert_eq!(with(&service("listen vip=\"v\" port=80", "forward \"nat\"; return-path \"none\"")), [""; 0]);
    let lint = "lint \"no-real-servers\" level=\"allow\" reason=\"puppet has them\"\n";
    assert_eq!(with(&format!("{dr}{lint}")), [""; 0]);
    assert_eq!(with(&format!("{dr}{}", lint.replace("allow", "deny"))), ["no-real-servers"]);
    assert!(!with(&format!("{dr}{dr}")).contains(&"no-real-servers"), "not beside an error");
    let web = "real-server \"web1\" { interface \"eth0\" address=\"10.0.0.31/24\"; }\n";
    assert_eq!(with(&format!("{dr}{tun}{web}")), ["server-outside", "server-outside"]);
}
