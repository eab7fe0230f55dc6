//! Clusters that are broken on purpose after their apply: the rehearsal is red and names the cause.

use std::path::Path;

use libtest_mimic::Trial;

use crate::stage::{rehearse, rehearse_text};

/// What is done to a host (as the command line takes it, or `deaf HOST:PORT`) of which cluster, and a cause with its host that is
/// to be named; and what `lvsform doctor` finds on that host.
type Variant = (&'static str, &'static str, &'static [&'static str], &'static str, &'static str);

const SALE: &str = "examples/flash-sale.kdl";
const NAT: &str = "tests/rehearse/nat.kdl";
const TUN: &str = "tests/rehearse/tun.kdl";

#[rustfmt::skip]
const VARIANTS: [Variant; 29] = [
    ("arp_that_is_not_silenced", SALE, &["web1: sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.all.arp_announce=0", "lb1: ip addr del 10.0.0.100/32 dev eth0"], "arp-not-silenced web1", "arp-ignore"),
    ("a_vip_that_the_director_lacks", SALE, &["lb1: ip addr del 10.0.0.100/32 dev eth0"], "vip-missing lb1", "differs"),
    ("a_vip_that_a_server_lacks", SALE, &["web1: ip addr del 10.0.0.100/32 dev lo"], "vip-missing web1", "differs"),
    ("a_server_in_the_wrong_subnet", SALE, &["web1: ip addr flush dev eth0; ip addr add 10.9.0.11/24 dev eth0"], "wrong-address web1", "wrong-address"),
    ("a_director_in_the_wrong_subnet", SALE, &["lb1: ip addr flush dev eth0; ip addr add 10.9.0.2/24 dev eth0"], "wrong-address lb1", "wrong-address"),
    ("a_server_whose_link_is_down", SALE, &["web1: ip link set eth0 down"], "interface-down web1", "interface-down"),
    ("a_director_whose_link_is_down", SALE, &["lb1: ip link set eth0 down"], "interface-down lb1", "interface-down"),
    ("a_server_without_a_way_to_its_clients", SALE, &["web1: ip route del default"], "no-return-path web1", "no-way-to-clients"),
    ("replies_that_reach_the_director", SALE, &["web1: ip route replace default via 10.0.0.2"], "replies-to-director web1", "replies-to-director"),
    ("a_port_that_nobody_listens_on", SALE, &["deaf web1:443"], "port-closed web1", "nobody-listens"),
    ("a_service_that_somebody_deleted", SALE, &["lb1: ipvsadm -D -t 10.0.0.100:443"], "service-missing lb1", "differs"),
    ("a_server_that_somebody_deleted", SALE, &["lb1: ipvsadm -d -t 10.0.0.100:443 -r 10.0.0.12:443"], "server-missing lb1", "differs"),
    ("a_weight_that_somebody_changed", SALE, &["lb1: ipvsadm -e -t 10.0.0.100:443 -r 10.0.0.11:443 -g -w 0"], "ipvs-differs lb1", "differs"),
    ("an_mtu_that_is_too_small", SALE, &["lb1: ip link set eth0 mtu 600"], "mtu lb1", "small-mtu"),
    ("a_director_that_does_not_forward", NAT, &["lb1: sysctl -qw net.ipv4.ip_forward=0"], "forwarding-off lb1", "forwarding-off"),
    ("a_director_that_does_not_forward_ipv6", NAT, &["lb1: sysctl -qw net.ipv6.conf.all.forwarding=0"], "forwarding-off lb1", "forwarding-off"),
    ("replies_that_do_not_come_back", NAT, &["web1: while ip rule del pref 30000 2>/dev/null; do :; done"], "no-return-path web1", "way-back"),
    ("replies_of_ipv6_that_do_not_come_back", NAT, &["web2: while ip -6 rule del pref 30000 2>/dev/null; do :; done"], "no-return-path web2", "way-back"),
    ("a_server_that_listens_elsewhere", NAT, &["deaf web2:8080"], "port-closed web2", "nobody-listens"),
    ("a_server_that_is_sent_to_another_port", NAT, &["lb1: ipvsadm -d -t 198.51.100.10:80 -r 10.1.0.11:8080; ipvsadm -a -t 198.51.100.10:80 -r 10.1.0.11:8081 -m"], "server-missing lb1", "differs"),
    ("an_ipvs_that_somebody_cleared", NAT, &["lb1: ipvsadm -C"], "service-missing lb1", "differs"),
    ("an_mtu_below_what_ipv6_needs", NAT, &["web1: ip link set eth0 mtu 1000"], "mtu web1", "small-mtu"),
    ("a_reverse_path_that_is_looked_up", TUN, &["web1: echo 1 >/proc/sys/net/ipv4/conf/$(ls /proc/sys/net/ipv4/conf | grep '^ipip-')/rp_filter"], "rp-filter web1", "reverse-path"),
    ("a_tunnel_that_somebody_deleted", TUN, &["web1: ip link del $(ls /proc/sys/net/ipv4/conf | grep '^ipip-')"], "tunnel-missing web1", "differs"),
    ("a_tunnel_that_is_down", TUN, &["web2: ip link set $(ls /proc/sys/net/ipv4/conf | grep '^ip6tnl-') down"], "tunnel-differs web2", "differs"),
    ("a_server_that_the_director_has_no_route_to", TUN, &["lb1: ip route add blackhole 198.51.100.0/24"], "no-route-to-server lb1", "no-route"),
    ("a_vip_that_a_tunnel_lacks", TUN, &["web1: ip addr del 203.0.113.80/32 dev $(ls /proc/sys/net/ipv4/conf | grep '^ipip-')"], "vip-missing web1", "differs"),
    ("a_vip_of_ipv6_that_a_server_lacks", TUN, &["web2: ip addr del 2001:db8:ed::80/128 dev lo"], "vip-missing web2", "differs"),
    ("packets_that_are_too_large_and_nobody_is_told", TUN, &["lb1: ip link set eth0 mtu 1500; ip route del default; ip route add 198.51.100.0/24 via 192.0.2.254"], "mtu lb1", "mtu-differs"),
];

pub fn tests() -> Vec<Trial> {
    let test = |(name, file, breaks, cause, found): Variant| {
        Trial::test(format!("broken::{name}"), move || {
            let mut words = vec!["--patience", "800ms"];
            for broken in breaks {
                match broken.strip_prefix("deaf ") {
                    Some(port) => words.extend(["--deaf", port]),
                    None => words.extend(["--break", broken]),
                }
            }
            // The last that is done to the host is to ask the doctor, who changes nothing.
            let host = cause.split_once(' ').map_or("", |(_, host)| host);
            let seen = std::env::temp_dir().join(format!("doctor-{name}-{}.json", std::process::id()));
            let doctor = format!(
                "{host}: {} doctor {file} --host {host} --format json >{} || true",
                env!("CARGO_BIN_EXE_lvsform"),
                seen.display()
            );
            words.extend(["--break", &doctor]);
            let outcome = rehearse(Path::new(file), &words);
            let doctor = std::fs::read_to_string(&seen).unwrap_or_default();
            let _ = std::fs::remove_file(&seen);
            assert_eq!(outcome.code, Some(1), "{}", outcome.said);
            assert!(doctor.contains(&format!("\"id\": \"{found}\"")), "{found}: {doctor}");
            assert!(
                outcome.causes().contains(cause),
                "{:?} {:#} {}",
                outcome.causes(),
                outcome.document["findings"],
                outcome.said
            );
            Ok(())
        })
    };
    let mut tests: Vec<Trial> = VARIANTS.into_iter().map(test).collect();
    tests.push(Trial::test("broken::a_scheduler_that_the_kernel_lacks", || {
        let topology = std::fs::read_to_string(NAT).expect("our own file").replace("\"rr\"", "\"twos\"");
        let outcome = rehearse_text("twos", &topology, &[]);
        assert!(outcome.causes().contains("module-missing lb1"), "{:?} {}", outcome.causes(), outcome.said);
        Ok(())
    }));
    tests
}
