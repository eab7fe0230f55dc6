//! What a director is promised, a real server is too: a change by hand is found and put right, and what cannot be finished is
//! taken back. The table of nftables of a director is among it.

use libtest_mimic::Trial;

use crate::cluster::{self, Cluster, Way};
use crate::hand;
use crate::world::test;

/// What a hand does to a host that was applied, on a way to the servers.
struct Meddling {
    way: &'static str,
    /// The name of the host in the file: 0 is the director, 1 a real server.
    host: usize,
    /// `program arguments`
    hands: &'static [&'static str],
}

/// Each is found by `drift` and put right by `apply`.
const MEDDLINGS: [Meddling; 4] = [
    Meddling {
        way: "dr",
        host: 1,
        hands: &[
            "ip address del 10.0.0.100/32 dev lo",
            "ip address del 2001:db8::100/128 dev lo",
            "sysctl -q net.ipv4.conf.all.arp_ignore=0",
            "sysctl -q net.ipv4.conf.all.arp_announce=0",
        ],
    },
    Meddling {
        way: "tun_in_ipv4",
        host: 1,
        hands: &[
            "ip link del ipip-464196",
            "ip link set sit-464196 down",
            "ip address del 10.0.0.100/32 dev ipip-464196",
            "sysctl -q net.ipv4.conf.ipip-464196.rp_filter=1",
        ],
    },
    Meddling {
        way: "nat",
        host: 1,
        hands: &[
            "ip rule del priority 30000",
            "ip -6 rule del priority 30000",
            "ip route flush table 167772162",
            "ip -6 route flush table 1901791661",
            "sysctl -q net.ipv6.conf.eth0.accept_redirects=1",
        ],
    },
    Meddling {
        way: "dr_by_mark",
        host: 0,
        hands: &[
            "nft delete table inet lvsform-cluster",
            "nft flush chain inet lvsform-cluster prerouting",
            "nft insert rule inet lvsform-cluster prerouting counter drop",
            "nft add rule inet lvsform-cluster prerouting ip daddr 10.0.0.100 meta mark set 8",
            "nft add chain inet lvsform-cluster more",
        ],
    },
];

/// What stands in the way of a host's apply, and its last step but one or so.
const OBSTACLES: [(&str, &str); 3] = [
    // The kernel knows tunnels by their addresses.
    ("tun_in_ipv4", "ip tunnel add other mode ipip local 10.0.0.11"),
    ("gre_in_ipv6", "ip link add other type ip6gre local 2001:db8::11"),
    // Where no route leads to the director, none leads through it.
    ("nat", "ip address del 2001:db8::11/64 dev eth0"),
];

pub fn tests(whole: bool) -> Vec<Trial> {
    let needs = |name: &str| cluster::way(name).needs == cluster::Needs::Nothing;
    let meddlings = MEDDLINGS
        .iter()
        .filter(|one| needs(one.way) != whole)
        .map(|one| test(format!("servers::a_hand_that_meddles_with_{}_is_found_and_put_right", one.way), move |_| meddled(one)));
    let obstacles = OBSTACLES.iter().filter(|_| !whole).map(|(way, hand)| {
        test(format!("servers::{way}_that_cannot_be_finished_is_taken_back"), move |_| taken_back(cluster::way(way), hand))
    });
    let others = test("servers::a_route_of_others_that_comes_first_is_named", |_| route_of_others());
    meddlings.chain(obstacles).chain((!whole).then_some(others)).collect()
}

const NAMES: [&str; 3] = ["lb1", "web1", "web2"];

fn meddled(meddling: &Meddling) {
    let way: &Way = cluster::way(meddling.way);
    let (host, cluster) = (meddling.host, Cluster::new(&format!("meddled-{}", way.name), &cluster::topology(way)));
    let apply = ["apply", "cluster.kdl", "--host", NAMES[host], "--yes"];
    cluster.lvsform(host, &apply, 0);
    let applied = cluster.seen(host);
    for line in meddling.hands {
        let (program, words) = line.split_once(' ').expect("a program and its arguments");
        cluster.hosts[host].1.run(|| hand::run(program, words));
        assert_ne!(cluster.seen(host), applied, "{line}");
        let drift = cluster.lvsform(host, &["drift"], 3);
        cluster.lvsform(host, &["plan", "cluster.kdl", "--host", NAMES[host], "--exit-code"], 2);
        cluster.lvsform(host, &apply, 0);
        cluster.lvsform(host, &["drift"], 0);
        assert_eq!(cluster.seen(host), applied, "{line}\n{drift}");
    }
}

/// What is not ours is not touched, and not hidden either.
fn route_of_others() {
    let way = cluster::way("nat");
    let cluster = Cluster::new("route-of-others", &cluster::topology(way));
    cluster.hosts[1].1.run(|| hand::run("ip", "route add default via 10.0.0.3 table 167772162"));
    let said = cluster.lvsform(1, &["apply", "cluster.kdl", "--host", "web1", "--yes"], 0);
    let note = "Left alone: route 0.0.0.0/0 via 10.0.0.3 dev eth0 table 167772162, which is not ours and comes before route \
                0.0.0.0/0 via 10.0.0.2 dev eth0 table 167772162: packets go there.";
    assert!(said.split_whitespace().collect::<Vec<_>>().join(" ").contains(note), "{said}");
    let plan = cluster.lvsform(1, &["plan", "cluster.kdl", "--host", "web1", "--exit-code"], 0);
    assert!(plan.contains("which is not ours"), "{plan}");
}

fn taken_back(way: &Way, line: &str) {
    let cluster = Cluster::new(&format!("back-{}", way.name), &cluster::topology(way));
    for module in ["ipip", "sit", "ip_gre", "ip6_gre", "ip6_tunnel"] {
        hand::run("modprobe", module);
    }
    let (program, words) = line.split_once(' ').expect("a program and its arguments");
    cluster.hosts[1].1.run(|| hand::run(program, words));
    let before = cluster.seen(1);
    let said = cluster.lvsform(1, &["apply", "cluster.kdl", "--host", "web1", "--yes", "--allow", "model"], 8);
    assert_eq!(cluster.seen(1), before, "{said}");
    cluster.lvsform(1, &["recover"], 0);
}
