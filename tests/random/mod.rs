//! Random states that a kernel would take: small pools of names and values, so that two of them often meet.
//!
//! What a generated state asks for is legal; every pair of one [`Kind`] can follow each other in one kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lvsform::state::{
    Address, AddressKey, Checksum, ClientMask, Destination, DestinationId, DestinationKey, Encapsulation, Family, Forward, Key,
    Link, LinkKind, Order, Persistence, Protocol, Resource, Service, ServiceFlags, ServiceKey, State, SyncDaemon, SyncRole,
    SysctlKey, SysctlValue, Timeouts, Tunnel, TunnelKind, Weight, order_matters,
};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// What the kernel allows together in one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sync daemons, and no server of another family than its service.
    Synced,
    /// Servers of another family than their service, and no sync daemons.
    Mixed,
}

/// The device that is always there.
pub const INTERFACE: &str = "eth0";

/// The sysctls that a state may ask for, with values for each.
pub const SYSCTLS: [(&str, [&str; 2]); 7] = [
    ("net/ipv4/ip_forward", ["0", "1"]),
    ("net/ipv4/conf/all/accept_redirects", ["0", "1"]),
    ("net/ipv4/conf/eth0/forwarding", ["0", "1"]),
    ("net/ipv6/conf/all/forwarding", ["0", "1"]),
    ("net/ipv6/conf/eth0/accept_ra", ["1", "2"]),
    ("net/ipv4/vs/expire_nodest_conn", ["0", "1"]),
    ("net/ipv4/vs/sync_threshold", ["3 50", "0 10"]),
];

/// Schedulers that every kernel with IPVS has; hashing ones more often than not.
const SCHEDULERS: [&str; 8] = ["rr", "wrr", "wlc", "sh", "dh", "mh", "mh", "sed"];

/// A state.
pub fn state(kind: Kind) -> impl Strategy<Value = State> {
    let services = subsequence(service_keys(), 0..=6)
        .prop_flat_map(move |keys| keys.into_iter().map(|key| (Just(key), service(key), servers(key, kind))).collect::<Vec<_>>());
    let sysctls = subsequence(SYSCTLS.to_vec(), 0..=SYSCTLS.len())
        .prop_flat_map(|names| names.into_iter().map(|(name, values)| (Just(name), select(values.to_vec()))).collect::<Vec<_>>());
    (services, sysctls, links(), proptest::option::of(timeouts()), syncs(kind)).prop_map(
        |(services, sysctls, links, timeouts, syncs)| {
            let mut state = State::default();
            // Its sysctls are there only when it is loaded, and every director asks for it.
            state.objects.insert(Key::Module("ip_vs".to_owned()), Resource::Module);
            for (key, service, servers) in services {
                add_service(&mut state, key, service, servers);
            }
            for (name, value) in sysctls {
                let value = Resource::from(SysctlValue { value: value.to_owned(), unless: None });
                state.objects.insert(sysctl(name), value);
            }
            state.objects.extend(links);
            state.objects.extend(timeouts.map(|timeouts| (Key::Timeouts, Resource::Timeouts(timeouts))));
            state.objects.extend(syncs.into_iter().map(|(role, daemon)| (Key::Sync(role), Resource::from(daemon))));
            state
        },
    )
}

/// Pairs of states, always the same ones, smallest first.
pub fn pairs(count: usize) -> Vec<(State, State)> {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let pairs = select(vec![Kind::Synced, Kind::Mixed]).prop_flat_map(|kind| (state(kind), state(kind)));
    let mut pairs: Vec<_> =
        (0..count).map(|_| pairs.new_tree(&mut runner).expect("a strategy without filters").current()).collect();
    pairs.sort_by_key(|(first, second)| first.objects.len() + second.objects.len());
    pairs
}

/// The key of a sysctl by its path.
pub fn sysctl(path: &str) -> Key {
    Key::Sysctl(SysctlKey::parse(path).expect("a path below net"))
}

fn add_service(state: &mut State, key: ServiceKey, service: Service, servers: Vec<(DestinationKey, Destination)>) {
    if order_matters(&service.scheduler) {
        let order = Order { servers: servers.iter().map(|(key, _)| key.id()).collect() };
        state.objects.insert(Key::Order(key), Resource::Order(order));
    }
    state.objects.insert(Key::Service(key), Resource::from(service));
    state.objects.extend(servers.into_iter().map(|(key, server)| (Key::Destination(key), Resource::Destination(server))));
}

fn service_keys() -> Vec<ServiceKey> {
    let mut keys: Vec<ServiceKey> = [Family::Ipv4, Family::Ipv6].map(|family| ServiceKey::Mark { family, mark: 7 }).to_vec();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for address in [IpAddr::from([10, 0, 0, 100]), IpAddr::from(v6(100))] {
            keys.extend([80, 443].map(|port| ServiceKey::Tuple { protocol, address, port }));
        }
    }
    keys
}

fn v4(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 0, host)
}

fn v6(host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, host.into())
}

fn service(key: ServiceKey) -> impl Strategy<Value = Service> {
    let clients = match key.family() {
        Family::Ipv4 => select(vec![ClientMask::from_prefix(Family::Ipv4, 24), ClientMask::from_prefix(Family::Ipv4, 32)]),
        Family::Ipv6 => select(vec![ClientMask::Ipv6(64), ClientMask::Ipv6(128)]),
    };
    let persistence = (select(vec![60, 300]), clients).prop_map(|(timeout, clients)| Persistence { timeout, clients });
    let flags = (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(one_packet, sched1, sched2)| ServiceFlags {
        one_packet,
        sched1,
        sched2,
        sched3: false,
    });
    (select(&SCHEDULERS), flags, proptest::option::of(persistence)).prop_map(|(scheduler, flags, persistence)| Service {
        scheduler: scheduler.to_owned(),
        flags,
        persistence,
        engine: None,
    })
}

/// Up to five servers in any order.
fn servers(service: ServiceKey, kind: Kind) -> impl Strategy<Value = Vec<(DestinationKey, Destination)>> {
    subsequence((11..=16).collect::<Vec<u8>>(), 0..=5)
        .prop_shuffle()
        .prop_flat_map(move |hosts| hosts.into_iter().map(|host| server(service, host, kind)).collect::<Vec<_>>())
}

fn server(service: ServiceKey, host: u8, kind: Kind) -> impl Strategy<Value = (DestinationKey, Destination)> {
    // The last two hosts are of the other family, where that is allowed.
    let other = kind == Kind::Mixed && host > 14;
    let address = match (service.family(), other) {
        (Family::Ipv4, false) | (Family::Ipv6, true) => IpAddr::V4(v4(host)),
        (Family::Ipv6, false) | (Family::Ipv4, true) => IpAddr::V6(v6(host)),
    };
    let key = DestinationKey::new(service, DestinationId(SocketAddr::new(address, 8080)));
    let tunnel = prop_oneof![
        Just(Encapsulation::Ipip),
        Just(Encapsulation::Gue { port: 6080, checksum: Checksum::None }),
        Just(Encapsulation::Gre { checksum: Checksum::Csum }),
    ]
    .prop_map(Forward::Tun);
    let forward = if other { tunnel.boxed() } else { prop_oneof![Just(Forward::Nat), Just(Forward::Dr), tunnel].boxed() };
    let thresholds = select(vec![(0, 0), (100, 0), (100, 80), (200, 80)]);
    (forward, select(vec![0, 1, 2, 100]), thresholds).prop_map(move |(forward, weight, (max_connections, min_connections))| {
        (key, Destination { forward, weight: Weight::Owned(weight), max_connections, min_connections })
    })
}

/// Devices with addresses, and VIPs on the device that is always there.
fn links() -> impl Strategy<Value = Vec<(Key, Resource)>> {
    let tunnel = |kind| {
        move |remote: u8| {
            LinkKind::Tunnel(Tunnel {
                kind,
                local: Some(v4(1).into()),
                remote: Some(v4(remote).into()),
                device: None,
                ttl: 64,
                inner: None,
                key: None,
                checksum: false,
                gue: None,
            })
        }
    };
    let link = |name: &'static str, device: proptest::strategy::BoxedStrategy<LinkKind>| {
        (device, any::<bool>(), proptest::option::of(select(vec![1300, 1400])), vec(1_u8..4, 0..3), any::<bool>()).prop_map(
            move |(device, up, mtu, addresses, quiet)| {
                let link = Link { device, up, mtu, alias: Some("lvsform:random".to_owned()) };
                let mut objects = vec![(Key::Link(name.to_owned()), Resource::from(link))];
                objects
                    .extend(addresses.into_iter().map(|host| address(name, Ipv4Addr::new(172, 16, 0, host).into(), 30, false)));
                if quiet {
                    let path = format!("net/ipv4/conf/{name}/rp_filter");
                    objects.push((sysctl(&path), Resource::from(SysctlValue { value: "2".to_owned(), unless: None })));
                }
                objects
            },
        )
    };
    let some = proptest::option::of;
    let vips = vec((100_u8..104, any::<bool>(), any::<bool>()), 0..4).prop_map(|vips| {
        let vips = vips.into_iter().map(|(host, six, flag)| {
            if six { address(INTERFACE, v6(host).into(), 128, flag) } else { address(INTERFACE, v4(host).into(), 32, false) }
        });
        vips.collect::<Vec<_>>()
    });
    (
        some(link("lvs-d0", Just(LinkKind::Dummy).boxed())),
        some(link("lvs-t0", select(vec![21_u8, 22]).prop_map(tunnel(TunnelKind::Ipip)).boxed())),
        some(link("lvs-t1", select(vec![23_u8, 24]).prop_map(tunnel(TunnelKind::Gre)).boxed())),
        vips,
    )
        .prop_map(|(dummy, ipip, gre, vips)| [dummy, ipip, gre, Some(vips)].into_iter().flatten().flatten().collect())
}

fn address(interface: &str, address: IpAddr, prefix: u8, flag: bool) -> (Key, Resource) {
    let key = AddressKey { address, prefix, interface: interface.to_owned() };
    (Key::Address(key), Resource::Address(Address { deprecated: flag, nodad: flag }))
}

fn timeouts() -> impl Strategy<Value = Timeouts> {
    let seconds = || proptest::option::of(select(vec![60, 900]));
    (seconds(), seconds(), seconds()).prop_map(|(tcp, tcp_fin, udp)| Timeouts { tcp, tcp_fin, udp })
}

fn syncs(kind: Kind) -> impl Strategy<Value = Vec<(SyncRole, SyncDaemon)>> {
    let roles = match kind {
        Kind::Synced => subsequence(vec![SyncRole::Master, SyncRole::Backup], 0..=2).boxed(),
        Kind::Mixed => Just(Vec::new()).boxed(),
    };
    roles.prop_flat_map(|roles| {
        let daemon = (0_u32..3, proptest::option::of(select(vec![1400_u16, 1450]))).prop_map(|(id, max_length)| SyncDaemon {
            interface: INTERFACE.to_owned(),
            id,
            group: Ipv4Addr::new(224, 0, 0, 81).into(),
            port: 8848,
            ttl: 1,
            max_length,
        });
        roles.into_iter().map(move |role| (Just(role), daemon.clone())).collect::<Vec<_>>()
    })
}
