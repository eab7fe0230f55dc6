//! What a director's table of nftables and its routing rules do to packets that are not simply its VIPs'.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use libtest_mimic::Trial;

use crate::cluster::{self, Cluster, PATIENCE, PORT, VIPS};
use crate::hand;
use crate::world::test;

pub fn tests() -> Vec<Trial> {
    vec![
        test("packets::a_mark_delivers_those_of_a_vip_that_the_director_has_not", |_| delivered()),
        test("packets::what_real_servers_send_out_is_masqueraded_and_nothing_else", |_| masqueraded()),
    ]
}

/// `managed #false`: a router sends the VIPs' packets to the director, and nobody has put them there.
fn delivered() {
    let file = cluster::topology(cluster::way("dr_by_mark")).replace("vip \"shop\" {", "vip \"shop\" {\n    managed #false");
    let cluster = Cluster::new("delivered", &file);
    cluster.client.run(|| {
        hand::run("ip", "route add 10.0.0.100 via 10.0.0.2");
        hand::run("ip", "route add 2001:db8::100 via 2001:db8::2");
    });
    for (host, name) in [(1, "web1"), (2, "web2"), (0, "lb1")] {
        cluster.lvsform(host, &["apply", "cluster.kdl", "--host", name, "--yes"], 0);
    }
    for vip in VIPS {
        let answers = cluster.ask(vip, PORT, 10);
        assert_eq!([1, 2].map(|server| answers.iter().filter(|one| **one == server).count()), [5, 5], "{vip}: {answers:?}");
    }
    cluster.lvsform(0, &["destroy", "cluster", "--yes"], 0);
    let refused =
        cluster.client.run(|| TcpStream::connect_timeout(&SocketAddr::new(VIPS[0].parse().expect("an address"), PORT), PATIENCE));
    assert!(refused.is_err(), "without the rule nobody takes them");
}

/// A server's own connection to somebody outside; the reply of a service is not touched.
fn masqueraded() {
    let file = cluster::topology(cluster::way("nat")).replace(
        "        address \"10.0.0.2/24\" \"2001:db8::2/64\"\n    }\n",
        "        address \"10.0.0.2/24\" \"2001:db8::2/64\"\n    }\n    masquerade interface=\"eth0\" { source \"10.0.0.0/24\" \"2001:db8::/64\"; }\n",
    );
    let cluster = Cluster::new("masqueraded", &file);
    for (host, name) in [(1, "web1"), (2, "web2"), (0, "lb1")] {
        cluster.lvsform(host, &["apply", "cluster.kdl", "--host", name, "--yes"], 0);
    }
    // Somebody outside, whom the director alone reaches.
    let outside = ["10.9.9.9", "2001:db8:9::9"];
    cluster.client.run(|| outside.map(|address| hand::run("ip", &format!("address add {address} dev lo"))));
    cluster.hosts[0].1.run(|| {
        hand::run("ip", "route add 10.9.9.9 via 10.0.0.200");
        hand::run("ip", "route add 2001:db8:9::9 via 2001:db8::200");
    });
    cluster.hosts[1].1.run(|| {
        hand::run("ip", "route add 10.9.9.9 via 10.0.0.2");
        hand::run("ip", "route add 2001:db8:9::9 via 2001:db8::2");
    });
    for (address, director) in outside.into_iter().zip(["10.0.0.2", "2001:db8::2"]) {
        let to = SocketAddr::new(address.parse().expect("an address"), 9);
        let listener = cluster.client.run(|| TcpListener::bind(to).expect("a port"));
        let asked = thread::spawn(move || listener.accept().map(|(_, peer)| peer.ip().to_string()).expect("a connection"));
        let connected = cluster.hosts[1].1.run(|| TcpStream::connect_timeout(&to, PATIENCE));
        let mut stream = connected.unwrap_or_else(|error| panic!("{address}: {error}"));
        assert_eq!(asked.join().expect("a peer"), director, "whom {address} sees");
        let _ = stream.read(&mut [0]);
    }
    // IPVS's own connections keep their clients' addresses: their replies are the VIP's, and come back.
    for vip in VIPS {
        assert_eq!(cluster.ask(vip, PORT, 4).len(), 4);
    }
}
