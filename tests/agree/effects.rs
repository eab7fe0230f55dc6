//! What the kernel does by itself with a change: the model does the same, and [`effects`] foretells it.

use std::time::Duration;

use libtest_mimic::Trial;
use lvsform::state::effects::effects;
use lvsform::state::{Address, Change, Key, Link, LinkKind, Resource, Route, Scope, State, SysctlKey, Tunnel, TunnelKind};

use crate::both::{Both, differences, modelled};
use crate::world::{add, key, load_modules, phase, service, sysctl, test, value};

const LIMIT: Duration = Duration::from_mins(1);

pub fn tests() -> Vec<Trial> {
    vec![
        test("forwarding_moves_what_the_model_says_it_moves", LIMIT, forwarding),
        test("ipv6_forwarding_moves_what_the_model_says_it_moves", LIMIT, ipv6_forwarding),
        test("a_new_device_has_the_forwarding_of_default", LIMIT, new_device),
        test("a_device_takes_its_addresses_and_sysctls_along", LIMIT, link_deleted),
        test("a_device_that_goes_down_loses_its_ipv6_addresses", LIMIT, link_down),
        test("a_device_whose_mtu_is_too_small_loses_ipv6", LIMIT, small_mtu),
        test("a_device_without_ipv6_has_no_ipv6_addresses_and_routes", LIMIT, ipv6_disabled),
        test("the_first_address_of_a_subnet_takes_the_others_along", LIMIT, secondaries),
        test("a_service_takes_its_servers_along", LIMIT, service_deleted),
        test("a_device_takes_the_routes_through_it_along", LIMIT, routes_of_a_device),
        test("an_ipv4_address_takes_along_the_routes_whose_source_it_is", LIMIT, routes_of_an_address),
        test("the_last_ipv4_address_of_a_device_takes_all_its_ipv4_routes_along", LIMIT, routes_of_a_last_address),
        test("an_ipv6_address_leaves_routes_without_their_source", LIMIT, routes_of_an_ipv6_address),
    ]
}

const SYSCTLS: [&str; 18] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/conf/all/accept_redirects",
    "net/ipv4/conf/all/promote_secondaries",
    "net/ipv4/conf/default/forwarding",
    "net/ipv4/conf/eth0/forwarding",
    "net/ipv4/conf/eth0/accept_redirects",
    "net/ipv4/conf/eth0/promote_secondaries",
    "net/ipv4/conf/lvs-d0/forwarding",
    "net/ipv4/conf/lvs-d0/rp_filter",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/default/forwarding",
    "net/ipv6/conf/eth0/forwarding",
    "net/ipv6/conf/lvs-d0/forwarding",
    "net/ipv6/conf/all/disable_ipv6",
    "net/ipv6/conf/default/disable_ipv6",
    "net/ipv6/conf/eth0/disable_ipv6",
    "net/ipv6/conf/lvs-d0/disable_ipv6",
];

fn both() -> Both {
    load_modules();
    let sysctls = SYSCTLS.into_iter().filter_map(SysctlKey::parse).collect();
    Both::fresh(&Scope { sysctls, routes: true, ..Scope::default() })
}

/// Carries out one step on both, and compares both with what `effects` foretells.
#[track_caller]
fn both_do(both: &mut Both, step: Change) {
    let before = both.read_real();
    let mut foretold = before.state.clone();
    for effect in effects(&step, &before) {
        put(&mut foretold, effect);
    }
    both_follow(both, &step);
    let text = format!("{step:?}");
    put(&mut foretold, step);
    let after = both.read_real();
    let differing = differences("foretold", &modelled(&foretold), "real", &modelled(&after.state));
    assert!(differing.is_empty(), "{text}\n{differing}");
}

/// Carries out one step on both and compares them.
#[track_caller]
fn both_follow(both: &mut Both, step: &Change) {
    if let Err(disagreement) = both.run(&phase(vec![step.clone()])).and_then(|()| both.compare()) {
        panic!("{step:?}\n{}", disagreement.0);
    }
}

fn put(state: &mut State, change: Change) {
    match change.after {
        Some(after) => drop(state.objects.insert(change.key, after)),
        None => drop(state.objects.remove(&change.key)),
    }
}

/// Writes a sysctl whose value is known.
fn write(both: &mut Both, path: &str, text: &str) -> Change {
    let key = sysctl(path);
    let before = both.read_real().state.objects.remove(&key);
    Change { key, before, after: Some(value(text)) }
}

fn forwarding() {
    let mut both = both();
    for (path, text) in [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/eth0/forwarding", "0"),
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/all/accept_redirects", "1"),
        ("net/ipv4/conf/all/forwarding", "1"),
        ("net/ipv4/ip_forward", "0"),
        ("net/ipv4/conf/eth0/forwarding", "1"),
        ("net/ipv4/conf/all/forwarding", "0"),
        ("net/ipv4/conf/all/forwarding", "2"),
        ("net/ipv4/conf/all/forwarding", "0"),
    ] {
        let step = write(&mut both, path, text);
        both_do(&mut both, step);
    }
}

fn ipv6_forwarding() {
    let mut both = both();
    for (path, text) in [
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv6/conf/eth0/forwarding", "0"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv6/conf/all/forwarding", "0"),
        ("net/ipv6/conf/eth0/forwarding", "1"),
        ("net/ipv6/conf/all/forwarding", "0"),
    ] {
        let step = write(&mut both, path, text);
        both_do(&mut both, step);
    }
}

fn dummy(up: bool) -> Resource {
    Resource::Link(Box::new(Link { device: LinkKind::Dummy, up, mtu: Some(1400), alias: None }))
}

fn address(text: &str) -> Change {
    add(key(text), Resource::Address(Address::default()))
}

fn delete(change: &Change) -> Change {
    Change { key: change.key.clone(), before: change.after.clone(), after: None }
}

fn new_device() {
    let mut both = both();
    let step = add(key("link lvs-d0"), dummy(true));
    for on in ["1", "0"] {
        for path in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            let write = write(&mut both, path, on);
            both_do(&mut both, write);
        }
        both_follow(&mut both, &step); // its sysctls appear
        both_do(&mut both, delete(&step));
    }
}

fn link_deleted() {
    let mut both = both();
    let tunnel = Tunnel {
        kind: TunnelKind::Gre,
        local: Some([10, 1, 0, 1].into()),
        remote: Some([10, 1, 0, 21].into()),
        device: None,
        ttl: 64,
        inner: None,
        key: None,
        checksum: false,
        gue: None,
    };
    let tunnel = Link { device: LinkKind::Tunnel(tunnel), up: true, mtu: Some(1400), alias: None };
    for link in [dummy(true), Resource::Link(Box::new(tunnel))] {
        let link = add(key("link lvs-d0"), link);
        both_follow(&mut both, &link);
        for text in ["vip 10.0.0.100 lvs-d0", "vip 10.0.0.100 eth0", "address 172.16.0.1/30 lvs-d0", "vip 2001:db8::1 lvs-d0"] {
            if !both.read_real().state.objects.contains_key(&key(text)) {
                both_do(&mut both, address(text));
            }
        }
        let write = write(&mut both, "net/ipv4/conf/lvs-d0/rp_filter", "2");
        both_do(&mut both, write);
        both_do(&mut both, delete(&link));
    }
}

fn link_down() {
    let mut both = both();
    both_follow(&mut both, &add(key("link lvs-d0"), dummy(true)));
    for text in ["vip 10.0.0.100 lvs-d0", "vip 2001:db8::1 lvs-d0", "address 2001:db8:2::1/64 lvs-d0"] {
        both_do(&mut both, address(text));
    }
    let change = |before, after| Change { key: key("link lvs-d0"), before: Some(dummy(before)), after: Some(dummy(after)) };
    both_do(&mut both, change(true, false));
    both_do(&mut both, address("vip 2001:db8::1 lvs-d0"));
    both_do(&mut both, change(false, true));
    both_do(&mut both, change(true, false));
}

/// Two devices with addresses and routes of both families.
fn with_both_families(both: &mut Both) -> Vec<Change> {
    let steps = vec![
        add(key("link lvs-d0"), dummy(true)),
        address("address 172.16.0.1/24 lvs-d0"),
        address("vip 2001:db8::1 lvs-d0"),
        address("address 2001:db8:2::1/64 lvs-d0"),
        route("route 10.77.0.0/16 via 172.16.0.2 dev lvs-d0", None),
        route("route 2001:db8:7::/48 via 2001:db8:2::2 dev lvs-d0 metric 1024", None),
        address("address 2001:db8:3::1/64 eth0"),
        route("route 2001:db8:8::/48 dev eth0 metric 1024", None),
    ];
    all_of(both, &steps);
    steps
}

fn small_mtu() {
    let mut both = both();
    let steps = with_both_families(&mut both);
    let with = |mtu| Resource::Link(Box::new(Link { device: LinkKind::Dummy, up: true, mtu: Some(mtu), alias: None }));
    let change = |before, after| Change { key: key("link lvs-d0"), before: Some(with(before)), after: Some(with(after)) };
    both_do(&mut both, change(1400, 1280));
    both_do(&mut both, change(1280, 1279));
    both_follow(&mut both, &steps[2]); // refused
    both_do(&mut both, change(1279, 1000));
    both_follow(&mut both, &change(1000, 1280)); // its sysctls appear
    all_of(&mut both, &steps[2..4]);
    both_do(&mut both, delete(&steps[0]));
}

fn ipv6_disabled() {
    let mut both = both();
    let steps = with_both_families(&mut both);
    let mut set = |path: &str, text: &str| {
        let step = write(&mut both, path, text);
        both_do(&mut both, step);
        // Made again, or refused because it is there, or because it cannot be.
        let again = steps[1..].iter().filter(|step| matches!(step.key, Key::Address(_)) || text == "0" && !path.contains("eth0"));
        again.for_each(|step| both_follow(&mut both, step));
    };
    for (path, text) in [
        ("net/ipv6/conf/lvs-d0/disable_ipv6", "1"),
        ("net/ipv6/conf/lvs-d0/disable_ipv6", "0"),
        ("net/ipv6/conf/default/disable_ipv6", "1"),
        ("net/ipv6/conf/all/disable_ipv6", "1"),
        ("net/ipv6/conf/eth0/disable_ipv6", "0"),
        ("net/ipv6/conf/all/disable_ipv6", "1"),
        ("net/ipv6/conf/all/disable_ipv6", "0"),
    ] {
        set(path, text);
    }
}

fn secondaries() {
    let mut both = both();
    let all = ["172.16.0.1/29", "172.16.0.2/29", "172.16.0.3/29", "172.16.0.1/30", "172.16.0.2/32"];
    let all = all.map(|text| address(&format!("address {text} eth0").replace("address 172.16.0.2/32", "vip 172.16.0.2")));
    for promote in ["0", "1"] {
        let write = write(&mut both, "net/ipv4/conf/all/promote_secondaries", promote);
        both_do(&mut both, write);
        for step in &all {
            both_follow(&mut both, step);
        }
        // The second is secondary and goes alone, then the first one and what is left of its subnet.
        for step in [&all[1], &all[0], &all[2], &all[3], &all[4]] {
            both_follow(&mut both, &delete(step));
        }
    }
}

fn service_deleted() {
    let mut both = both();
    let parent = add(key("service tcp 10.0.0.100:80"), Resource::from(service("mh")));
    both_follow(&mut both, &parent); // its order appears
    for host in [13, 11, 12] {
        let server = r#"{"kind": "destination", "forward": "dr", "weight": 1}"#;
        let server: Resource = serde_json::from_str(server).expect("a destination");
        both_follow(&mut both, &add(key(&format!("server tcp 10.0.0.100:80 10.1.0.{host}:80")), server));
    }
    both_do(&mut both, delete(&parent));
}

/// A route that somebody made (`proto boot`): unicast, and with a router of global scope.
fn route(text: &str, source: Option<&str>) -> Change {
    let key = key(text);
    let Key::Route(route) = &key else { panic!("no route: {text}") };
    let ipv6 = route.destination.addr().is_ipv6();
    let scope = if ipv6 || route.via.is_some() { 0 } else { 253 };
    let attributes = if ipv6 { vec![(20, vec![0])] } else { Vec::new() }; // RTA_PREF
    let value = Route {
        kind: 1,
        protocol: 3,
        scope,
        on_link: false,
        source_prefix: 0,
        source: source.map(|source| source.parse().expect("an address")),
        devices: std::collections::BTreeSet::new(),
        attributes,
    };
    add(key, Resource::from(value))
}

fn all_of(both: &mut Both, steps: &[Change]) {
    for step in steps {
        both_follow(both, step);
    }
}

fn routes_of_a_device() {
    let mut both = both();
    let link = add(key("link lvs-d0"), dummy(true));
    let routes = [
        address("address 172.16.0.1/24 lvs-d0"),
        address("address 2001:db8:2::1/64 lvs-d0"),
        route("route 10.77.0.0/16 via 172.16.0.2 dev lvs-d0", None),
        route("route 10.77.0.0/16 via 172.16.0.3 dev lvs-d0", None),
        route("route 10.78.0.0/16 dev lvs-d0 table 100 metric 5 tos 8", Some("172.16.0.1")),
        route("route 2001:db8:7::/48 via 2001:db8:2::2 dev lvs-d0 metric 1024", None),
        route("route ::/0 dev lvs-d0 metric 7", None),
    ];
    both_follow(&mut both, &link);
    all_of(&mut both, &routes);
    let down = |before, after| Change { key: link.key.clone(), before: Some(dummy(before)), after: Some(dummy(after)) };
    both_do(&mut both, down(true, false));
    both_do(&mut both, down(false, true));
    all_of(&mut both, &routes[1..]); // the IPv4 address stays with a device that goes down
    both_do(&mut both, delete(&routes[3]));
    both_do(&mut both, delete(&link));
}

fn routes_of_an_address() {
    let mut both = both();
    let routes = [
        add(key("link lvs-d0"), dummy(true)),
        address("address 172.16.0.1/24 lvs-d0"),
        address("vip 10.0.0.100 lvs-d0"),
        address("vip 10.0.0.100 eth0"),
        route("route 10.77.0.0/16 via 172.16.0.2 dev lvs-d0", Some("10.0.0.100")),
        route("route 10.78.0.0/16 via 172.16.0.2 dev lvs-d0", Some("172.16.0.1")),
        route("route 10.79.0.0/16 via 172.16.0.2 dev lvs-d0 table 100", Some("10.0.0.100")),
    ];
    all_of(&mut both, &routes);
    both_do(&mut both, delete(&routes[2])); // it is on the other device yet
    both_do(&mut both, delete(&routes[3]));
    all_of(&mut both, &routes[2..5]);
    both_do(&mut both, delete(&routes[1]));
}

fn routes_of_a_last_address() {
    let mut both = both();
    let routes = [
        add(key("link lvs-d0"), dummy(true)),
        address("vip 10.0.0.100 lvs-d0"),
        address("vip 10.0.0.101 lvs-d0"),
        address("vip 2001:db8::1 lvs-d0"),
        route("route 10.77.0.0/16 dev lvs-d0", None),
        route("route 10.78.0.0/16 dev lvs-d0 table 100", None),
        route("route 2001:db8:7::/48 dev lvs-d0 metric 1024", None),
    ];
    all_of(&mut both, &routes);
    both_do(&mut both, delete(&routes[1]));
    both_do(&mut both, delete(&routes[3]));
    both_do(&mut both, delete(&routes[2]));
}

fn routes_of_an_ipv6_address() {
    let mut both = both();
    let nodad = Resource::Address(Address { deprecated: false, nodad: true });
    let vip = |text: &str| add(key(text), nodad.clone());
    let routes = [
        add(key("link lvs-d0"), dummy(true)),
        add(key("link lvs-d1"), dummy(true)),
        vip("vip 2001:db8::1 lvs-d0"),
        vip("vip 2001:db8::1 lvs-d1"),
        route("route 2001:db8:7::/48 dev lvs-d0 metric 1024", Some("2001:db8::1")),
        route("route 2001:db8:8::/48 dev lvs-d1 metric 1024", Some("2001:db8::1")),
        route("route 2001:db8:9::/48 dev lvs-d0 table 100 metric 1024", Some("2001:db8::1")),
    ];
    all_of(&mut both, &routes);
    both_do(&mut both, delete(&routes[2]));
    both_follow(&mut both, &routes[2]);
    // The source can be given back in place.
    let (source, bare) = (routes[4].after.clone(), route("route 2001:db8:7::/48 dev lvs-d0 metric 1024", None).after);
    both_follow(&mut both, &Change { key: routes[4].key.clone(), before: bare, after: source });
    both_do(&mut both, delete(&routes[3]));
    both_do(&mut both, delete(&routes[0]));
}
