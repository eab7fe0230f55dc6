//! Everything that IPVS has, changed by hand one at a time: the next plan finds exactly that, apply mends it where it is,
//! and nothing else moves.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use libtest_mimic::Trial;

use crate::director::{Director, WHOLE};
use crate::world::{World, test};
use crate::{hand, witness};

/// Something that somebody did by hand to a director that held [`WHOLE`].
struct Drift {
    name: &'static str,
    /// Commands, and `write FILE VALUE` for a file below `/proc/sys`.
    hand: &'static [&'static str],
    /// What the next plan finds, and nothing else.
    finds: &'static [&'static str],
    /// Whether no counter of any service or server is lost.
    counted_on: bool,
}

/// A drift that is mended in place.
const fn drift(name: &'static str, hand: &'static [&'static str], finds: &'static [&'static str]) -> Drift {
    Drift { name, hand, finds, counted_on: true }
}

/// A drift that took a whole service, and its counters with it.
const fn loss(name: &'static str, hand: &'static [&'static str], finds: &'static [&'static str]) -> Drift {
    Drift { name, hand, finds, counted_on: false }
}

const DRIFTS: &[Drift] = &[
    // Services.
    drift("a_scheduler", &["ipvsadm -E -t 10.0.0.100:80 -s rr"], &["service tcp 10.0.0.100:80: scheduler rr → wlc"]),
    drift(
        "a_scheduler_to_one_that_hashes",
        &["ipvsadm -E -t 10.0.0.100:80 -s sh"],
        &["service tcp 10.0.0.100:80: scheduler sh → wlc"],
    ),
    drift(
        "a_scheduler_from_one_that_hashes",
        &["ipvsadm -E -t 10.0.0.100:81 -s wlc"],
        &["service tcp 10.0.0.100:81: scheduler wlc → mh (port, fallback)", "order tcp 10.0.0.100:81: put in order"],
    ),
    drift(
        "the_flag_fallback",
        &["ipvsadm -E -t 10.0.0.100:81 -s mh -b mh-port"],
        &["service tcp 10.0.0.100:81: scheduler mh (port) → mh (port, fallback)"],
    ),
    drift(
        "the_flag_port",
        &["ipvsadm -E -t 10.0.0.100:81 -s mh -b mh-fallback"],
        &["service tcp 10.0.0.100:81: scheduler mh (fallback) → mh (port, fallback)"],
    ),
    drift(
        "the_third_flag",
        &["ipvsadm -E -t 10.0.0.100:81 -s mh -b mh-fallback,mh-port,flag-3"],
        &["service tcp 10.0.0.100:81: scheduler mh (port, fallback, flag-3) → mh (port, fallback)"],
    ),
    drift(
        "persistence_turned_on",
        &["ipvsadm -E -t 10.0.0.100:80 -s wlc -p 60"],
        &["service tcp 10.0.0.100:80: persistence 1m → none, persistence clients /32 → none"],
    ),
    drift(
        "persistence_turned_off",
        &["ipvsadm -E -t 10.0.0.100:82 -s wlc"],
        &["service tcp 10.0.0.100:82: persistence none → 5m, persistence clients none → /24"],
    ),
    drift(
        "the_timeout_of_persistence",
        &["ipvsadm -E -t 10.0.0.100:82 -s wlc -p 301 -M 255.255.255.0"],
        &["service tcp 10.0.0.100:82: persistence 5m1s → 5m"],
    ),
    drift(
        "the_netmask_of_persistence",
        &["ipvsadm -E -t 10.0.0.100:82 -s wlc -p 300 -M 255.255.0.0"],
        &["service tcp 10.0.0.100:82: persistence clients /16 → /24"],
    ),
    drift(
        "the_ipv6_prefix_of_persistence",
        &["ipvsadm -E -t [2001:db8:1::100]:82 -s wlc -p 300 -M 48"],
        &["service tcp [2001:db8:1::100]:82: persistence clients /48 → /64"],
    ),
    drift(
        "the_persistence_engine_removed",
        &["ipvsadm -E -u 10.0.0.100:5060 -s wlc -p 300"],
        &["service udp 10.0.0.100:5060: persistence engine none → sip"],
    ),
    drift(
        "a_persistence_engine_added",
        &["ipvsadm -E -u 203.0.113.5:514 -s rr -o -p 300 --pe sip"],
        &["service udp 203.0.113.5:514: persistence 5m → none, persistence clients /32 → none, persistence engine sip → none"],
    ),
    drift(
        "one_packet_turned_off",
        &["ipvsadm -E -u 203.0.113.5:514 -s rr"],
        &["service udp 203.0.113.5:514: one-packet false → true"],
    ),
    drift(
        "one_packet_turned_on",
        &["ipvsadm -E -u 10.0.0.100:5060 -s wlc -p 300 --pe sip -o"],
        &["service udp 10.0.0.100:5060: one-packet true → false"],
    ),
    drift("a_service_of_a_mark", &["ipvsadm -E -f 7 -s rr"], &["service fwmark 7 ipv4: scheduler rr → wlc"]),
    drift("an_ipv6_service_of_a_mark", &["ipvsadm -E -f 7 -6 -s rr"], &["service fwmark 7 ipv6: scheduler rr → wlc"]),
    loss(
        "a_service_removed",
        &["ipvsadm -D -u 203.0.113.5:514"],
        &[
            "service udp 203.0.113.5:514: add",
            "server udp 203.0.113.5:514 10.9.0.11:514: add",
            "server udp 203.0.113.5:514 10.9.0.12:514: add",
        ],
    ),
    // Servers.
    drift(
        "a_weight",
        &["ipvsadm -e -t 10.0.0.100:80 -r 10.0.0.11 -g -w 7 -x 1000 -y 800"],
        &["server tcp 10.0.0.100:80 10.0.0.11:80: weight 7 → 3"],
    ),
    drift(
        "a_weight_of_0",
        &["ipvsadm -e -t [2001:db8:1::100]:80 -r [2001:db8:1::11]:80 -g -w 0"],
        &["server tcp [2001:db8:1::100]:80 [2001:db8:1::11]:80: weight 0 → 3"],
    ),
    drift(
        "the_upper_threshold",
        &["ipvsadm -e -t 10.0.0.100:80 -r 10.0.0.11 -g -w 3 -x 1001 -y 800"],
        &["server tcp 10.0.0.100:80 10.0.0.11:80: max-connections 1001 → 1000"],
    ),
    drift(
        "the_lower_threshold",
        &["ipvsadm -e -t 10.0.0.100:80 -r 10.0.0.11 -g -w 3 -x 1000 -y 799"],
        &["server tcp 10.0.0.100:80 10.0.0.11:80: min-connections 799 → 800"],
    ),
    drift(
        "both_thresholds_removed",
        &["ipvsadm -e -t 10.0.0.100:80 -r 10.0.0.11 -g -w 3"],
        &["server tcp 10.0.0.100:80 10.0.0.11:80: max-connections 0 → 1000, min-connections 0 → 800"],
    ),
    drift(
        "a_threshold_where_none_is_wanted",
        &["ipvsadm -e -t 10.0.0.100:83 -r 198.51.100.11 -i -w 1 -x 9"],
        &["server tcp 10.0.0.100:83 198.51.100.11:83: max-connections 9 → 0"],
    ),
    drift(
        "dr_to_nat",
        &["ipvsadm -e -t 10.0.0.100:80 -r 10.0.0.11 -m -w 3 -x 1000 -y 800"],
        &["server tcp 10.0.0.100:80 10.0.0.11:80: forward nat → dr"],
    ),
    drift(
        "dr_to_tun",
        &["ipvsadm -e -t 10.0.0.100:80 -r 10.0.0.11 -i -w 3 -x 1000 -y 800"],
        &["server tcp 10.0.0.100:80 10.0.0.11:80: forward tun ipip → dr"],
    ),
    drift(
        "nat_to_dr",
        &["ipvsadm -e -u 203.0.113.5:514 -r 10.9.0.11 -g -w 1"],
        &["server udp 203.0.113.5:514 10.9.0.11:514: forward dr → nat"],
    ),
    drift(
        "nat_to_tun",
        &["ipvsadm -e -u 203.0.113.5:514 -r 10.9.0.11 -i -w 1 --tun-type gue --tun-port 6080"],
        &["server udp 203.0.113.5:514 10.9.0.11:514: forward tun gue port 6080 → nat"],
    ),
    drift(
        "tun_to_dr",
        &["ipvsadm -e -t 10.0.0.100:83 -r 198.51.100.12 -g -w 1"],
        &["server tcp 10.0.0.100:83 198.51.100.12:83: forward dr → tun gue port 6080 csum"],
    ),
    drift(
        "tun_to_nat",
        &["ipvsadm -e -t 10.0.0.100:83 -r 198.51.100.13 -m -w 1"],
        &["server tcp 10.0.0.100:83 198.51.100.13:83: forward nat → tun gre csum"],
    ),
    drift(
        "the_tunnel_type",
        &["ipvsadm -e -t 10.0.0.100:83 -r 198.51.100.11 -i -w 1 --tun-type gre"],
        &["server tcp 10.0.0.100:83 198.51.100.11:83: forward tun gre → tun ipip"],
    ),
    drift(
        "the_tunnel_type_that_others_leave_out",
        &["ipvsadm -e -t 10.0.0.100:83 -r 198.51.100.12 -i -w 1"],
        &["server tcp 10.0.0.100:83 198.51.100.12:83: forward tun ipip → tun gue port 6080 csum"],
    ),
    drift(
        "the_tunnel_port",
        &["ipvsadm -e -t 10.0.0.100:83 -r 198.51.100.12 -i -w 1 --tun-type gue --tun-port 6081 --tun-csum"],
        &["server tcp 10.0.0.100:83 198.51.100.12:83: forward tun gue port 6081 csum → tun gue port 6080 csum"],
    ),
    drift(
        "the_checksum_of_gue",
        &["ipvsadm -e -t 10.0.0.100:83 -r 198.51.100.12 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum"],
        &["server tcp 10.0.0.100:83 198.51.100.12:83: forward tun gue port 6080 remcsum → tun gue port 6080 csum"],
    ),
    drift(
        "the_checksum_of_gre",
        &["ipvsadm -e -t 10.0.0.100:83 -r 198.51.100.13 -i -w 1 --tun-type gre"],
        &["server tcp 10.0.0.100:83 198.51.100.13:83: forward tun gre → tun gre csum"],
    ),
    drift("a_server_removed", &["ipvsadm -d -t 10.0.0.100:80 -r 10.0.0.11"], &["server tcp 10.0.0.100:80 10.0.0.11:80: add"]),
    drift(
        "a_server_of_a_mark_removed",
        &["ipvsadm -d -f 7 -6 -r [2001:db8:1::11]:0"],
        &["server fwmark 7 ipv6 [2001:db8:1::11]:0: add"],
    ),
    drift(
        "the_order_of_a_hash",
        &["ipvsadm -d -t 10.0.0.100:81 -r 10.0.0.11", "ipvsadm -a -t 10.0.0.100:81 -r 10.0.0.11 -g -w 3 -x 1000 -y 800"],
        &[
            "order tcp 10.0.0.100:81: order of servers 10.0.0.12:81 10.0.0.13:81 10.0.0.11:81 → 10.0.0.11:81 10.0.0.12:81 10.0.0.13:81",
        ],
    ),
    // The namespace.
    drift("the_timeout_of_tcp", &["ipvsadm --set 301 0 0"], &["timeouts: tcp 5m1s → 5m"]),
    drift("the_timeout_after_a_fin", &["ipvsadm --set 0 31 0"], &["timeouts: tcp-fin 31s → 30s"]),
    drift("the_timeout_of_udp", &["ipvsadm --set 0 0 61"], &["timeouts: udp 1m1s → 1m"]),
    drift("the_master_stopped", &["ipvsadm --stop-daemon master"], &["sync master: add"]),
    drift("the_backup_stopped", &["ipvsadm --stop-daemon backup"], &["sync backup: add"]),
    drift(
        "the_interface_of_sync",
        &[
            "ipvsadm --stop-daemon master",
            "ipvsadm --start-daemon master --mcast-interface eth1 --syncid 5 --sync-maxlen 1400 --mcast-group 224.0.0.90 --mcast-port 9000 --mcast-ttl 2",
        ],
        &["sync master: replace interface eth1 → eth0"],
    ),
    drift(
        "the_id_of_sync",
        &[
            "ipvsadm --stop-daemon backup",
            "ipvsadm --start-daemon backup --mcast-interface eth0 --syncid 6 --sync-maxlen 1400 --mcast-group 224.0.0.90 --mcast-port 9000 --mcast-ttl 2",
        ],
        &["sync backup: replace id 6 → 5"],
    ),
    drift(
        "the_group_of_sync",
        &[
            "ipvsadm --stop-daemon master",
            "ipvsadm --start-daemon master --mcast-interface eth0 --syncid 5 --sync-maxlen 1400 --mcast-group 224.0.0.91 --mcast-port 9000 --mcast-ttl 2",
        ],
        &["sync master: replace group 224.0.0.91 → 224.0.0.90"],
    ),
    drift(
        "the_port_of_sync",
        &[
            "ipvsadm --stop-daemon master",
            "ipvsadm --start-daemon master --mcast-interface eth0 --syncid 5 --sync-maxlen 1400 --mcast-group 224.0.0.90 --mcast-port 9001 --mcast-ttl 2",
        ],
        &["sync master: replace port 9001 → 9000"],
    ),
    drift(
        "the_ttl_of_sync",
        &[
            "ipvsadm --stop-daemon master",
            "ipvsadm --start-daemon master --mcast-interface eth0 --syncid 5 --sync-maxlen 1400 --mcast-group 224.0.0.90 --mcast-port 9000 --mcast-ttl 3",
        ],
        &["sync master: replace ttl 3 → 2"],
    ),
    drift(
        "the_longest_message_of_sync",
        &[
            "ipvsadm --stop-daemon master",
            "ipvsadm --start-daemon master --mcast-interface eth0 --syncid 5 --sync-maxlen 1300 --mcast-group 224.0.0.90 --mcast-port 9000 --mcast-ttl 2",
        ],
        &["sync master: replace max-length 1300 → 1400"],
    ),
    // Around it.
    drift("a_vip_removed", &["ip addr del 10.0.0.100/32 dev eth0"], &["vip 10.0.0.100 eth0: add"]),
    drift("an_ipv6_vip_removed", &["ip addr del 2001:db8:1::100/128 dev eth0"], &["vip 2001:db8:1::100 eth0: add"]),
    drift(
        "an_ipv6_vip_that_is_preferred",
        &["ip addr change 2001:db8:1::100/128 dev eth0 nodad preferred_lft forever valid_lft forever"],
        &["vip 2001:db8:1::100 eth0: preferred_lft 0 false → true"],
    ),
    drift(
        "an_ipv6_vip_that_asks_the_link",
        &["ip addr del 2001:db8:1::100/128 dev eth0", "ip addr add 2001:db8:1::100/128 dev eth0 preferred_lft 0"],
        &["vip 2001:db8:1::100 eth0: replace nodad false → true"],
    ),
    drift("a_device_down", &["ip link set lvs-5b9791 down"], &["link lvs-5b9791: up false → true"]),
    drift("the_mark_of_a_device", &["ip link set lvs-5b9791 alias mine"], &["link lvs-5b9791: alias mine → lvsform:whole"]),
    drift("a_device_removed", &["ip link del lvs-5b9791"], &["link lvs-5b9791: add", "vip 203.0.113.5 lvs-5b9791: add"]),
    drift("the_mtu_of_a_tunnel", &["ip link set dc2 mtu 1300"], &["link dc2: mtu 1300 → 1400"]),
    drift("the_address_of_a_tunnel", &["ip addr del 172.16.0.2/30 dev dc2"], &["address 172.16.0.2/30 dc2: add"]),
    drift(
        "the_ttl_of_a_tunnel",
        &["ip link change dc2 type gre local 10.0.0.2 remote 198.51.100.1 ttl 65 key 7"],
        &["link dc2: replace ttl 65 → 64", "address 172.16.0.2/30 dc2: put back"],
    ),
    drift("forwarding", &["write /proc/sys/net/ipv4/ip_forward 0"], &["sysctl net.ipv4.ip_forward: value 0 → 1"]),
    drift(
        "a_sysctl_of_ipvs",
        &["write /proc/sys/net/ipv4/vs/expire_quiescent_template 0"],
        &["sysctl net.ipv4.vs.expire_quiescent_template: value 0 → 1"],
    ),
    drift(
        "a_sysctl_of_a_device",
        &["write /proc/sys/net/ipv4/conf/eth0/rp_filter 1"],
        &["sysctl net.ipv4.conf.eth0.rp_filter: value 1 → 2"],
    ),
];

pub fn tests() -> Vec<Trial> {
    // A boundary is the first drift of a group. All of one group happen to one director, one after the other.
    let groups = [
        ("drift::each_attribute_of_a_service_is_found_and_mended_in_place", "a_scheduler"),
        ("drift::each_attribute_of_a_server_is_found_and_mended_in_place", "a_weight"),
        ("drift::timeouts_and_each_attribute_of_a_sync_daemon_are_found_and_mended", "the_timeout_of_tcp"),
        ("drift::vips_devices_and_sysctls_are_found_and_mended", "a_vip_removed"),
    ];
    let at = |first: &str| DRIFTS.iter().position(|drift| drift.name == first).unwrap_or(DRIFTS.len());
    let ends = groups.iter().skip(1).map(|(_, first)| at(first)).chain([DRIFTS.len()]);
    let ranges = groups.iter().zip(ends).map(|((name, first), end)| (*name, &DRIFTS[at(first)..end]));
    ranges.map(|(name, drifts)| test(name, |world| mends(world, drifts))).collect()
}

fn mends(world: &mut World, drifts: &[Drift]) {
    let director = Director::of(WHOLE, "lb1");
    let start = |world: &mut World| {
        director.plug_in(world);
        director.apply_all(&mut world.kernel);
        witness::agree(world, &director, &[]);
        knock(world);
        witness::everything(world, &director)
    };
    let mut held = start(world);
    let mut failed = Vec::new();
    for drift in drifts {
        let mended = catch_unwind(AssertUnwindSafe(|| mend(world, &director, drift)));
        if mended.is_err() {
            failed.push(drift.name);
            *world = World::new();
            held = start(world);
        }
    }
    assert!(failed.is_empty(), "not mended as it should be: {failed:?}");
    assert_eq!(witness::everything(world, &director), held);
    witness::agree(world, &director, &[]);
}

fn mend(world: &mut World, director: &Director, drift: &Drift) {
    let name = drift.name;
    let before = seen(world);
    let counted = witness::counters(world);
    drift.hand.iter().for_each(|command| by_hand(command));
    assert_eq!(director.finds(&mut world.kernel), drift.finds, "{name}");
    director.apply_all(&mut world.kernel);
    assert_eq!(seen(world), before, "{name}");
    let now = witness::counters(world);
    if drift.counted_on {
        assert_eq!(now, counted, "{name}");
    } else {
        let kept = |lines: &[String]| -> Vec<String> {
            lines.iter().filter(|line| !line.starts_with("UDP 203.0.113.5:514")).cloned().collect()
        };
        assert_eq!(kept(&now), kept(&counted), "{name}: others lost their counters too");
    }
}

/// The witnesses of what a drift may touch.
fn seen(world: &World) -> [Vec<String>; 4] {
    [witness::table(world), witness::thresholds(world), witness::addresses(world), witness::devices(world)]
}

/// Lines of the counters that say that something was counted.
fn busy(counters: &[String]) -> usize {
    counters.iter().filter(|line| !line.ends_with(" 0 0 0 0 0")).count()
}

/// Packets of a local client to every service: connections that begin, and datagrams. The kernel adds up its counters
/// every two seconds.
fn knock(world: &World) {
    for vip in ["10.0.0.100", "2001:db8:1::100"] {
        for port in [80, 82] {
            knock_at(vip, port);
        }
    }
    for port in [81, 83] {
        knock_at("10.0.0.100", port);
    }
    let client = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    for server in ["203.0.113.5:514", "203.0.113.5:514"] {
        client.send_to(b"datagram", server).expect("a datagram");
    }
    // Seven services, each with at least one server.
    hand::until("traffic is counted", || busy(&witness::counters(world)) >= 14);
}

/// Nobody answers: the servers of these tests are addresses.
fn knock_at(vip: &str, port: u16) {
    let address = SocketAddr::new(vip.parse().expect("an address"), port);
    let _ = TcpStream::connect_timeout(&address, Duration::from_millis(1));
}

fn by_hand(command: &str) {
    if let Some((file, value)) = command.strip_prefix("write ").and_then(|rest| rest.split_once(' ')) {
        std::fs::write(file, value).expect(file);
    } else {
        let (program, arguments) = command.split_once(' ').expect("a program and its arguments");
        hand::run(program, arguments);
    }
}
