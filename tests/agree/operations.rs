//! Random steps, legal and illegal, on few objects, so that they often meet.
//!
//! Not asked for, each with its reason:
//! - fwmark 0: the kernel takes it for tcp 0.0.0.0:0, and the type says 1 and up.
//! - Persistence and timeouts between what a kernel of 1,000 ticks a second can hold and what one of 100 can.
//! - A step that edits what can only be replaced, but for IPVS: a phase holds it as a delete and an add.
//! - A tunnel's settings that its kind does not have: the kernel ignores them, and no rule lets them pass.
//! - A device without a name: the kernel makes one up.
//! - Another MTU of the devices that are always there, or their going down: tunnels, sync daemons and destinations take from
//!   the routes through them what they are like, and the model knows no routes.
//! - A rule that says less than another one of its priority and table: the kernel deletes the first that fits.
//! - A write to `net.ipv4.conf.default`: the kernel hands it on to devices that nobody has touched, which cannot be seen.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lvsform::kernel::fake::Fake;
use lvsform::state::{
    Address, AddressKey, Change, Checksum, ClientMask, Destination, DestinationId, DestinationKey, Encapsulation, Family,
    Forward, Inner, Key, Link, LinkKind, Persistence, Protocol, RULE_PRIORITY, Resource, RuleKey, Scope, Service, ServiceFlags,
    ServiceKey, SyncDaemon, SyncRole, SysctlKey, SysctlValue, Timeouts, Tunnel, TunnelKind, Weight,
};

use crate::chance::Chance;
use crate::random::INTERFACE;

/// A module that does not exist.
pub const NO_MODULE: &str = "no_such_module";

const LINKS: [&str; 5] = ["lvs-d0", "lvs-t0", "lvs-t1", "lvs-t2", INTERFACE];

const SYSCTLS: [&str; 15] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/conf/all/accept_redirects",
    "net/ipv4/conf/eth0/forwarding",
    "net/ipv4/conf/eth0/rp_filter",
    "net/ipv4/conf/lvs-d0/rp_filter",
    "net/ipv4/conf/lvs-t0/forwarding",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/eth0/forwarding",
    "net/ipv6/conf/eth0/accept_ra",
    "net/ipv6/conf/lvs-d0/forwarding",
    "net/ipv4/vs/expire_nodest_conn",
    "net/ipv4/vs/sync_threshold",
    "net/ipv4/vs/drop_entry",
    "net/ipv4/vs/sync_ports",
];

/// What both kernels are asked for.
pub fn scope() -> Scope {
    let defaults = ["net/ipv4/conf/default/forwarding", "net/ipv4/conf/default/rp_filter", "net/ipv6/conf/default/forwarding"];
    let sysctls = SYSCTLS.into_iter().chain(defaults).map(|path| SysctlKey::parse(path).expect("a path below net"));
    Scope {
        sysctls: sysctls.collect(),
        modules: ["ip_vs".to_owned(), NO_MODULE.to_owned()].into(),
        rules: true,
        ..Scope::default()
    }
}

/// Steps that the kernel may be given together. A step on a device stands alone: devices are made and edited in several
/// stages, and no phase holds two steps that depend on each other.
pub fn batch(chance: &mut Chance, fake: &Fake) -> Vec<Change> {
    if chance.one_in(6) {
        return vec![link(chance, fake)];
    }
    let length = 1 + chance.pick(&[0, 5, 50, 150]);
    let length = 1 + chance.below(length);
    (0..length).map(|_| step(chance)).collect()
}

fn step(chance: &mut Chance) -> Change {
    match chance.below(200) {
        // An edit of a service waits 20 ms and more: the kernel lets every reader of the old scheduler finish.
        0..146 => destination(chance),
        146..170 => service(chance),
        170..176 => timeouts(chance),
        176..180 => sync(chance),
        180..190 => address(chance),
        190..197 => sysctl(chance),
        197..199 => rule(chance),
        _ => Change { key: Key::Module(chance.pick(&["ip_vs".to_owned()])), before: None, after: Some(Resource::Module) },
    }
}

/// A create, a set or a delete, so many of each. The kernel is told no more than that of what was before.
fn change(chance: &mut Chance, key: Key, resource: Resource, [create, set, delete]: [usize; 3]) -> Change {
    let choice = chance.below(create + set + delete);
    let (before, after) = if choice < create {
        (None, Some(resource))
    } else if choice < create + set {
        (Some(resource.clone()), Some(resource))
    } else {
        (Some(resource), None)
    };
    Change { key, before, after }
}

fn rule(chance: &mut Chance) -> Change {
    let (family, from) = chance.pick(&[(Family::Ipv4, IpAddr::from([10, 0, 0, 11])), (Family::Ipv6, v6("2001:db8::11"))]);
    let (from, mark, protocol, source_port) = chance.pick(&[
        (Some(from), None, Some(Protocol::Tcp), Some(80)),
        (None, None, Some(Protocol::Udp), Some(53)),
        (None, Some(7), None, None),
    ]);
    let key = RuleKey { family, priority: RULE_PRIORITY, from, mark, protocol, source_port, table: 1000 };
    let create = chance.one_in(2);
    let (before, after) = if create { (None, Some(Resource::Rule)) } else { (Some(Resource::Rule), None) };
    Change { key: Key::Rule(key), before, after }
}

fn v6(text: &str) -> IpAddr {
    IpAddr::V6(text.parse().expect("an address"))
}

fn service_key(chance: &mut Chance) -> ServiceKey {
    let families = [Family::Ipv4, Family::Ipv6];
    if chance.one_in(4) {
        return ServiceKey::Mark { family: chance.pick(&families), mark: chance.pick(&[7, 7, u32::MAX]) };
    }
    ServiceKey::Tuple {
        protocol: chance.mostly(8, &[Protocol::Tcp, Protocol::Udp], &[Protocol::Sctp, Protocol::Other(50), Protocol::Other(0)]),
        address: chance.mostly(
            8,
            &[[10, 0, 0, 100].into(), v6("2001:db8::100")],
            &[[0, 0, 0, 0].into(), [224, 0, 0, 1].into(), v6("::"), v6("fe80::1")],
        ),
        port: chance.mostly(8, &[80, 443], &[0, 21]),
    }
}

fn service(chance: &mut Chance) -> Change {
    let key = service_key(chance);
    let length = chance.mostly(10, &[24, 32], &[0, 1]);
    let usual = match key.family() {
        Family::Ipv4 => ClientMask::from_prefix(Family::Ipv4, length),
        Family::Ipv6 => ClientMask::Ipv6(chance.mostly(10, &[64, 128], &[0, 1, 129, u32::MAX])),
    };
    let odd =
        [ClientMask::Ipv4(Ipv4Addr::new(255, 0, 255, 0)), ClientMask::Ipv6(24), ClientMask::Ipv4(Ipv4Addr::new(24, 0, 0, 0))];
    let clients = chance.mostly(20, &[usual], &odd);
    let persistence = chance.one_in(3).then(|| Persistence { timeout: chance.mostly(10, &[60, 300], &[0, 2_678_400]), clients });
    let flags = ServiceFlags {
        one_packet: chance.one_in(4),
        sched1: chance.one_in(3),
        sched2: chance.one_in(3),
        sched3: chance.one_in(9),
    };
    // Not twos, which User-Mode Linux lacks. The kernel runs a program for each name that it does not know.
    let schedulers = ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "sh", "mh"];
    let odd = ["none", "none", "none", "none", "a-name-of-16-bytes", "nonsense"];
    let scheduler = chance.mostly(20, &schedulers, &odd).to_owned();
    let engine = match chance.below(400) {
        0..60 => Some("sip".to_owned()),
        60..65 => Some(String::new()),
        65 => Some("nonsense".to_owned()),
        66 => Some("x".repeat(17)),
        _ => None,
    };
    let service = Service { scheduler, flags, persistence, engine };
    change(chance, Key::Service(key), Resource::from(service), [45, 40, 15])
}

fn server_address(chance: &mut Chance) -> IpAddr {
    let v4 = |host| IpAddr::from([10, 1, 0, host]);
    let odd: [IpAddr; 15] = [
        [127, 0, 0, 1].into(),
        [10, 1, 0, 1].into(),
        [0, 0, 0, 0].into(),
        [0, 0, 0, 7].into(),
        [224, 0, 0, 1].into(),
        [240, 0, 0, 1].into(),
        [255, 255, 255, 255].into(),
        [10, 1, 255, 255].into(),
        [10, 1, 0, 0].into(),
        v6("::1"),
        v6("::"),
        v6("ff02::1"),
        v6("fe80::1"),
        v6("::ffff:10.1.0.11"),
        v6("::10.1.0.11"),
    ];
    chance.mostly(8, &[v4(11), v4(12), v4(13), v4(14), v6("2001:db8:1::11"), v6("2001:db8:1::12"), v6("2001:db8:1::13")], &odd)
}

fn destination(chance: &mut Chance) -> Change {
    let service = service_key(chance);
    let mut address = server_address(chance);
    // Of the other family only sometimes.
    while Family::of(address) != service.family() && !chance.one_in(6) {
        address = server_address(chance);
    }
    let port = chance.mostly(8, &[80, 8080], &[0, 65535]);
    let key = DestinationKey::new(service, DestinationId(SocketAddr::new(address, port)));
    let gue = |port, checksum| Forward::Tun(Encapsulation::Gue { port, checksum });
    let gre = |checksum| Forward::Tun(Encapsulation::Gre { checksum });
    let ipip = Forward::Tun(Encapsulation::Ipip);
    let forward = chance.mostly(
        8,
        &[Forward::Nat, Forward::Dr, ipip, ipip, gue(6080, Checksum::None), gue(6081, Checksum::Csum), gre(Checksum::Csum)],
        &[
            gue(0, Checksum::None),
            gue(6082, Checksum::Remcsum),
            gue(6083, Checksum::Other(7)),
            gre(Checksum::Remcsum),
            gre(Checksum::Other(1)),
            Forward::Tun(Encapsulation::Other(1)),
            Forward::Tun(Encapsulation::Other(2)),
            Forward::Tun(Encapsulation::Other(9)),
            Forward::Other(0),
            Forward::Other(1),
            Forward::Other(2),
            Forward::Other(4),
            Forward::Other(8),
            Forward::Other(10),
        ],
    );
    let weights = [Weight::Owned(0), Weight::Owned(1), Weight::Owned(100), Weight::Shared { base: 7 }];
    let odd = [i32::MAX.cast_unsigned(), 1 << 31, u32::MAX].map(Weight::Owned);
    let weight = chance.mostly(12, &weights, &odd);
    let (max_connections, min_connections) =
        chance.mostly(12, &[(0, 0), (0, 0), (100, 80), (100, 100)], &[(0, 1), (80, 100), (u32::MAX, u32::MAX)]);
    let destination = Destination { forward, weight, max_connections, min_connections };
    change(chance, Key::Destination(key), Resource::Destination(destination), [50, 30, 20])
}

fn timeouts(chance: &mut Chance) -> Change {
    // 2,147,483 s is the most at 1,000 ticks a second.
    let mut seconds =
        || chance.mostly(10, &[None, Some(60), Some(900)], &[Some(0), Some(2_147_483), Some(u32::MAX), Some(1 << 31)]);
    let timeouts = Timeouts { tcp: seconds(), tcp_fin: seconds(), udp: seconds() };
    change(chance, Key::Timeouts, Resource::Timeouts(timeouts), [1, 5, 1])
}

fn sync(chance: &mut Chance) -> Change {
    let daemon = SyncDaemon {
        interface: chance.mostly(8, &[INTERFACE], &["nowhere", "", "a-name-of-16-byt"]).to_owned(),
        id: chance.mostly(8, &[0, 1, 255], &[256, u32::MAX]),
        group: chance.mostly(8, &[[224, 0, 0, 81].into(), v6("ff02::81")], &[[10, 0, 0, 1].into(), v6("2001:db8::1")]),
        port: chance.mostly(8, &[8848, 9999], &[0]),
        ttl: chance.mostly(8, &[1, 7], &[0, 255]),
        max_length: chance.mostly(4, &[None, Some(1400)], &[Some(0), Some(1), Some(500), Some(65_535)]),
    };
    let role = chance.pick(&[SyncRole::Master, SyncRole::Backup]);
    change(chance, Key::Sync(role), Resource::from(daemon), [5, 1, 8])
}

fn address(chance: &mut Chance) -> Change {
    let interface = chance.mostly(10, &LINKS, &["nowhere", "lo"]).to_owned();
    let (address, prefix) = chance.mostly(
        10,
        &[
            ([10, 0, 0, 100].into(), 32),
            ([10, 0, 0, 101].into(), 32),
            ([172, 16, 0, 1].into(), 30),
            ([172, 16, 0, 2].into(), 30),
            ([172, 16, 0, 3].into(), 30),
            (v6("2001:db8::100"), 128),
            (v6("2001:db8::101"), 128),
            (v6("2001:db8:2::1"), 64),
        ],
        &[
            ([172, 16, 0, 1].into(), 24),
            ([0, 0, 0, 0].into(), 32),
            ([224, 0, 0, 9].into(), 32),
            (v6("2001:db8::100"), 64),
            (v6("::"), 128),
            (v6("::1"), 128),
            (v6("ff02::9"), 128),
        ],
    );
    let (deprecated, nodad) = chance.pick(&[(false, false), (true, true), (false, true), (true, false)]);
    let key = AddressKey { address, prefix, interface };
    change(chance, Key::Address(key), Resource::Address(Address { deprecated, nodad }), [5, 2, 3])
}

fn sysctl(chance: &mut Chance) -> Change {
    let path = chance.pick(&SYSCTLS);
    let words: &[&str] = if path.ends_with("sync_threshold") { &["3 50", "0 10", "0 0"] } else { &["0", "1", "1", "0", "2"] };
    let odd = ["yes", "", "4", "-1", "007", "3 50", "50 3", "99999999999"];
    let value = SysctlValue { value: chance.mostly(10, words, &odd).to_owned(), unless: None };
    change(chance, Key::Sysctl(SysctlKey::parse(path).expect("a path below net")), Resource::from(value), [5, 5, 1])
}

fn device(chance: &mut Chance, name: &str) -> LinkKind {
    if name == "lvs-d0" {
        return LinkKind::Dummy;
    }
    let kind = chance.pick(&[TunnelKind::Ipip, TunnelKind::Sit, TunnelKind::Gre, TunnelKind::Ip6gre, TunnelKind::Ip6tnl]);
    let ends: [[Option<IpAddr>; 2]; 4] = if kind.outer_is_ipv6() {
        [
            [Some(v6("2001:db8::1")), Some(v6("2001:db8::21"))],
            [Some(v6("2001:db8::1")), Some(v6("2001:db8::22"))],
            [Some(v6("2001:db8::1")), None],
            [None, None],
        ]
    } else {
        let local = Some(IpAddr::from([10, 1, 0, 1]));
        [[local, Some([10, 1, 0, 21].into())], [local, Some([10, 1, 0, 22].into())], [local, None], [None, None]]
    };
    let gre = matches!(kind, TunnelKind::Gre | TunnelKind::Ip6gre);
    let [local, remote] = chance.pick(&ends);
    LinkKind::Tunnel(Tunnel {
        kind,
        local,
        remote,
        device: chance.mostly(10, &[None, None, Some(INTERFACE.to_owned())], &[Some("nowhere".to_owned())]),
        ttl: chance.pick(&[0, 64]),
        inner: (kind == TunnelKind::Ip6tnl).then(|| chance.pick(&[Inner::Any, Inner::Ip6ip6, Inner::Ipip6])),
        key: if gre { chance.pick(&[None, Some(7)]) } else { None },
        checksum: gre && chance.one_in(3),
        gue: None,
    })
}

fn link(chance: &mut Chance, fake: &Fake) -> Change {
    let name = chance.mostly(20, &LINKS[..4], &["lo", INTERFACE, "nowhere", "a-name-of-16-byt"]).to_owned();
    let key = Key::Link(name.clone());
    let mut link = Link {
        device: device(chance, &name),
        up: chance.one_in(2),
        mtu: chance.mostly(12, &[None, Some(1300), Some(1400)], &[Some(9000), Some(u32::MAX)]),
        alias: chance.mostly(12, &[None, Some("lvsform:random".to_owned())], &[Some("x".repeat(254)), Some("x".repeat(255))]),
    };
    let live = match fake.all().state.objects.remove(&key) {
        Some(Resource::Link(live)) => Some(live),
        _ => None,
    };
    let resource = |link| Some(Resource::Link(Box::new(link)));
    match chance.below(10) {
        0..5 => Change { key, before: None, after: resource(link) },
        // Only what differs from what was there is sent, so that must be true.
        5..8 => {
            let before = live.map_or_else(|| Link { up: !link.up, ..link.clone() }, |live| *live);
            link.device = before.device.clone();
            if name == "lo" || name == INTERFACE {
                (link.up, link.mtu) = (before.up, before.mtu);
            }
            Change { key, before: resource(before), after: resource(link) }
        }
        _ if name == INTERFACE => Change { key: Key::Link("lo".to_owned()), before: resource(link), after: None },
        _ => Change { key, before: resource(link), after: None },
    }
}
