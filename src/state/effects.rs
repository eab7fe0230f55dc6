//! What the kernel does by itself when it carries out a change.
//!
//! The diff uses it to put back what is wanted and would be moved, the model of the kernel to behave like the real one.
//! Only objects that were observed are named. This module knows the kernel's rules and nothing of plans.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::{
    AddressKey, Change, DestinationKey, Family, FouKey, Key, LinkKind, MAIN_TABLE, Observed, Resource, Route, RouteKey,
    ServiceKey, State, SysctlKey, SysctlValue,
};

const IPV4: &str = "net/ipv4/";
const IPV6: &str = "net/ipv6/";

/// What follows from `change`, each an object other than its own that ends up different or gone.
///
/// - `ip_forward` (also by its other name `conf.all.forwarding`) sets `forwarding` of every device and of `default`, and
///   `conf.all.accept_redirects` to the opposite (`inet_forward_change`); writing the value that is there does nothing. IPv6
///   `conf.all.forwarding` sets `forwarding` of every device, also when it is written as it is (`addrconf_forward_change`).
/// - IPv6 `forwarding` that is written as not 0, for all devices or for one, purges the default routes that router
///   advertisements brought, but for those through devices whose `accept_ra` is 2 (`rt6_purge_dflt_routers`).
/// - IPv6 `conf.all.disable_ipv6` sets `disable_ipv6` of every device and of `default` (`addrconf_disable_ipv6`). Where it is
///   not 0, a device has no IPv6 addresses and routes.
/// - A device whose MTU falls below 1280 loses IPv6: its addresses, routes and sysctls (`addrconf_notify`).
/// - A device takes its addresses, its sysctls and the routes through it along. Made anew it has `default`'s values, so they
///   count as gone.
/// - A device that goes down takes its IPv6 addresses along (`addrconf_ifdown`), unless `keep_addr_on_down` says otherwise,
///   which is not looked at, and the routes through it.
/// - An IPv4 address that is nowhere else takes along the routes of the main table whose source it is (`fib_sync_down_addr`),
///   and the last one of a device all IPv4 routes through that (`fib_disable_ip`). Of an IPv6 address the routes through its
///   device keep everything but their source (`rt6_remove_prefsrc`).
/// - A service takes its destinations along.
pub fn effects(change: &Change, observed: &Observed) -> Vec<Change> {
    let Change { key, before, after } = change;
    match (key, before, after) {
        (Key::Sysctl(key), before, Some(Resource::Sysctl(after))) => {
            let mut effects = Vec::new();
            if *before != change.after || key.path().starts_with(IPV6) {
                effects = moved_along(key, after, observed);
            }
            if purges_routes(key) && after.value != "0" {
                effects.extend(advertised(observed).map(|(key, route)| gone(key, route)));
            }
            if let Some(device) = without_ipv6(change) {
                effects.extend(ipv6_of(device, observed));
            }
            effects
        }
        (Key::Link(name), Some(before), after) if after.as_ref().is_none_or(|after| !before.changes_in_place(after)) => {
            before_ipvs(observed)
                .filter(|(key, resource)| match (key, resource) {
                    (Key::Address(address), _) => address.interface == *name,
                    (Key::Sysctl(sysctl), _) => sysctl.device() == Some(name),
                    (Key::Route(key), Resource::Route(route)) => route.goes_through(key, name),
                    _ => false,
                })
                .map(|(key, resource)| gone(key, resource))
                .collect()
        }
        (Key::Link(name), Some(Resource::Link(before)), Some(Resource::Link(after))) => {
            let goes_down = before.up && !after.up;
            let loses_ipv6 = without_ipv6(change).is_some();
            before_ipvs(observed)
                .filter(|(key, resource)| match (key, resource) {
                    (Key::Address(key), _) => key.interface == *name && key.address.is_ipv6() && (goes_down || loses_ipv6),
                    (Key::Route(key), Resource::Route(route)) => {
                        goes_down && key.interface == *name
                            || loses_ipv6 && key.family() == Family::Ipv6 && route.goes_through(key, name)
                    }
                    (Key::Sysctl(key), _) => loses_ipv6 && key.device() == Some(name) && key.path().starts_with(IPV6),
                    _ => false,
                })
                .map(|(key, resource)| gone(key, resource))
                .collect()
        }
        (Key::Address(address), Some(before), after) if after.as_ref().is_none_or(|after| !before.changes_in_place(after)) => {
            without_address(address, observed)
        }
        (Key::Service(service), Some(_), None) => {
            let order = Key::Order(*service);
            destinations(observed, *service)
                .chain(observed.state.objects.get_key_value(&order))
                .map(|(key, resource)| gone(key, resource))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// What follows from one of `changes`. Addresses that go together leave a device together: each is taken for the last. What
/// is made keeps routes where it comes before anything goes, as an address does that no other of its subnet makes room for.
pub fn effects_among<'a>(changes: &[&Change], observed: &'a Observed) -> impl Fn(&Change) -> Vec<Change> + use<'a> {
    let addresses = || changes.iter().filter_map(|change| Some((change, change.key.address()?)));
    let going: Vec<&AddressKey> =
        addresses().filter(|(change, _)| change.before.is_some() && change.after.is_none()).map(|(_, key)| key).collect();
    let is_among = !going.is_empty() && changes.len() > 1 && routes(observed).next().is_some();
    let afterwards = is_among.then(|| {
        let mut objects = observed.state.objects.clone();
        let stays = |made: &AddressKey| !going.iter().any(|gone| gone.shares_subnet(made));
        let made = addresses().filter(|(change, key)| change.before.is_none() && stays(key));
        objects.extend(made.filter_map(|(change, _)| Some((change.key.clone(), change.after.clone()?))));
        for key in &going {
            objects.remove(&Key::Address((*key).clone()));
        }
        Observed { state: State { objects }, ..Observed::default() }
    });
    move |change| match (&afterwards, &change.key) {
        (Some(afterwards), Key::Address(_)) => effects(change, afterwards),
        _ => effects(change, observed),
    }
}

/// What is an object of its own, whoever made it, and would go with another one, lose something, or not work without it.
pub fn taken_along(key: &Key, observed: &Observed) -> impl Iterator<Item = Change> {
    let found = observed.state.objects.get(key);
    let going = found.map(|now| gone(key, now));
    let along = going.into_iter().flat_map(|going| effects(&going, observed)).filter(|effect| match &effect.key {
        Key::Destination(_) | Key::Route(_) => true,
        Key::Address(address) => !address.comes_by_itself(),
        _ => false,
    });
    let port = if let (Key::Fou(port), Some(_)) = (key, found) { Some(*port) } else { None };
    let tunnels = port.into_iter().flat_map(|port| before_ipvs(observed).filter(move |(_, link)| comes_through(link, port)));
    along.chain(tunnels.map(|(key, link)| gone(key, link)))
}

/// Whether a port takes apart what comes back to this tunnel: as a rule both ends use one number.
pub fn comes_through(link: &Resource, port: FouKey) -> bool {
    let Resource::Link(link) = link else { return false };
    let LinkKind::Tunnel(tunnel) = &link.device else { return false };
    let family = if tunnel.kind.outer_is_ipv6() { Family::Ipv6 } else { Family::Ipv4 };
    family == port.family && tunnel.gue.as_ref().is_some_and(|gue| gue.port == port.port)
}

/// Which devices have no IPv6 afterwards: `None` inside, all.
pub fn without_ipv6(change: &Change) -> Option<Option<&str>> {
    const LEAST_MTU: u32 = 1280; // IPV6_MIN_MTU
    match (&change.key, &change.before, &change.after) {
        (Key::Sysctl(key), _, Some(Resource::Sysctl(after))) if disables_ipv6(key) && after.value != "0" => Some(key.device()),
        (Key::Link(name), Some(Resource::Link(before)), Some(Resource::Link(after))) => {
            let has = |mtu: Option<u32>| mtu.is_none_or(|mtu| mtu >= LEAST_MTU);
            (has(before.mtu) && !has(after.mtu)).then_some(Some(name))
        }
        _ => None,
    }
}

/// Whether this sysctl turns IPv6 off, for all devices or for one.
pub fn disables_ipv6(key: &SysctlKey) -> bool {
    let device = key.path().strip_prefix("net/ipv6/conf/").and_then(|path| path.strip_suffix("/disable_ipv6"));
    device.is_some_and(|device| device != "default")
}

/// The IPv6 addresses and routes of a device, or of all.
fn ipv6_of(device: Option<&str>, observed: &Observed) -> impl Iterator<Item = Change> {
    before_ipvs(observed)
        .filter(move |(key, resource)| match (key, resource) {
            (Key::Address(key), _) => key.address.is_ipv6() && device.is_none_or(|device| key.interface == device),
            (Key::Route(key), Resource::Route(route)) => {
                key.family() == Family::Ipv6 && device.is_none_or(|device| route.goes_through(key, device))
            }
            _ => false,
        })
        .map(|(key, resource)| gone(key, resource))
}

/// Everything whose key is sorted before those of IPVS.
fn before_ipvs(observed: &Observed) -> impl Iterator<Item = (&Key, &Resource)> {
    observed.state.objects.range(..Key::Timeouts)
}

/// The routes that were read.
fn routes(observed: &Observed) -> impl Iterator<Item = (&RouteKey, &Route, &Key, &Resource)> {
    let first =
        RouteKey { destination: IpNet::V4(Ipv4Net::default()), via: None, interface: String::new(), table: 0, metric: 0, tos: 0 };
    observed.state.objects.range(Key::Route(first)..Key::Timeouts).filter_map(|(key, resource)| match (key, resource) {
        (Key::Route(route_key), Resource::Route(route)) => Some((route_key, &**route, key, resource)),
        _ => None,
    })
}

/// Default routes that router advertisements brought and that forwarding would take away.
fn advertised(observed: &Observed) -> impl Iterator<Item = (&Key, &Resource)> {
    let keeps = |device: &str| {
        let accept = SysctlKey::parse(&format!("net/ipv6/conf/{device}/accept_ra"));
        let value = accept.and_then(|key| observed.state.objects.get(&Key::Sysctl(key)));
        matches!(value, Some(Resource::Sysctl(value)) if value.value == "2")
    };
    routes(observed)
        .filter(move |(key, route, ..)| route.is_from_advertisement(key) && !keeps(&key.interface))
        .map(|(_, _, key, resource)| (key, resource))
}

/// What becomes of routes when an address goes.
fn without_address(gone_address: &AddressKey, observed: &Observed) -> Vec<Change> {
    let AddressKey { address, interface, .. } = gone_address;
    let family = Family::of(*address);
    let others = |all: &dyn Fn(&AddressKey) -> bool| {
        before_ipvs(observed).any(|(key, _)| matches!(key, Key::Address(other) if other != gone_address && all(other)))
    };
    let mut effects = Vec::new();
    let (mut is_elsewhere, mut is_last) = (None, None);
    for (key, route, name, resource) in routes(observed).filter(|(key, ..)| key.family() == family) {
        let is_source = route.source == Some(*address);
        if family == Family::Ipv6 {
            if is_source && key.interface == *interface {
                let after = Resource::from(Route { source: None, ..route.clone() });
                effects.push(Change { key: name.clone(), before: Some(resource.clone()), after: Some(after) });
            }
        } else if is_source
            && key.table == MAIN_TABLE
            && !*is_elsewhere.get_or_insert_with(|| others(&|other| other.address == *address))
            || key.interface == *interface
                && !*is_last.get_or_insert_with(|| others(&|other| other.interface == *interface && other.address.is_ipv4()))
        {
            effects.push(gone(name, resource));
        }
    }
    effects
}

/// The destinations of one service, in the order of their keys.
pub fn destinations(observed: &Observed, service: ServiceKey) -> impl Iterator<Item = (&Key, &Resource)> {
    let first = DestinationKey { service, address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0 };
    observed
        .state
        .objects
        .range(Key::Destination(first)..)
        .take_while(move |(key, _)| matches!(key, Key::Destination(destination) if destination.service == service))
}

/// Whether writing this sysctl turns forwarding on or off for a whole family, and with it other sysctls.
pub fn is_forwarding(key: &SysctlKey) -> bool {
    matches!(key.path(), "net/ipv4/ip_forward" | "net/ipv4/conf/all/forwarding" | "net/ipv6/conf/all/forwarding")
}

/// What of every device this sysctl switches for a whole family.
pub fn switches(key: &SysctlKey) -> Option<&'static str> {
    if is_forwarding(key) {
        Some("forwarding")
    } else if key.path() == "net/ipv6/conf/all/disable_ipv6" {
        Some("disable_ipv6")
    } else {
        None
    }
}

/// Whether writing this sysctl lets go of default routes: IPv6 forwarding, of all devices or of one.
pub fn purges_routes(key: &SysctlKey) -> bool {
    let device = key.path().strip_prefix("net/ipv6/conf/").and_then(|path| path.strip_suffix("/forwarding"));
    device.is_some_and(|device| device != "default")
}

fn gone(key: &Key, resource: &Resource) -> Change {
    Change { key: key.clone(), before: Some(resource.clone()), after: None }
}

/// Whether writing one sysctl may move the other: the switches of a whole family, and what `inet_forward_change`,
/// `addrconf_forward_change` and `addrconf_disable_change` set with them.
pub fn moves(cause: &SysctlKey, other: &SysctlKey) -> bool {
    let Some(switch) = switches(cause).filter(|_| cause != other) else { return false };
    let family = if cause.path().starts_with(IPV6) { IPV6 } else { IPV4 };
    let Some(path) = other.path().strip_prefix(family) else { return false };
    let is_device = path.strip_prefix("conf/").and_then(|path| path.split_once('/')).is_some_and(|(_, name)| name == switch);
    is_device || family == IPV4 && matches!(path, "ip_forward" | "conf/all/accept_redirects")
}

/// What moves with `cause` when it is set to `value`.
fn moved_along(cause: &SysctlKey, value: &SysctlValue, observed: &Observed) -> Vec<Change> {
    if switches(cause).is_none() {
        return Vec::new();
    }
    let opposite = || SysctlValue { value: if value.value == "0" { "1" } else { "0" }.to_owned(), unless: None };
    let moved = before_ipvs(observed).filter_map(|(key, before)| {
        let Key::Sysctl(sysctl) = key else { return None };
        let after = if sysctl.path().ends_with("/accept_redirects") { opposite() } else { value.clone() };
        let after = Resource::from(after);
        (moves(cause, sysctl) && after != *before).then(|| Change {
            key: key.clone(),
            before: Some(before.clone()),
            after: Some(after),
        })
    });
    moved.collect()
}

#[cfg(test)]
mod tests {
    use super::effects;
    use crate::state::{Change, Observed, Resource};

    fn observed(state: &str) -> Observed {
        Observed { state: serde_json::from_str(state).expect("a state"), ..Observed::default() }
    }

    fn change(key: &str, before: Option<&str>, after: Option<&str>) -> Change {
        let resource = |text| serde_json::from_str::<Resource>(text).expect("a resource");
        Change { key: key.parse().expect("a key"), before: before.map(resource), after: after.map(resource) }
    }

    fn names(changes: &[Change]) -> Vec<String> {
        changes.iter().map(|change| change.key.to_string()).collect()
    }

    #[test]
    fn turning_ipv4_forwarding_on_moves_every_device_and_forbids_redirects() {
        let observed = observed(
            r#"{"sysctl net.ipv4.ip_forward": {"kind": "sysctl", "value": "0"},
                "sysctl net.ipv4.conf.all.accept_redirects": {"kind": "sysctl", "value": "1"},
                "sysctl net.ipv4.conf.eth0.forwarding": {"kind": "sysctl", "value": "0"},
                "sysctl net.ipv4.conf.eth0.rp_filter": {"kind": "sysctl", "value": "0"},
                "sysctl net.ipv6.conf.eth0.forwarding": {"kind": "sysctl", "value": "0"}}"#,
        );
        let on = change(
            "sysctl net.ipv4.ip_forward",
            Some(r#"{"kind": "sysctl", "value": "0"}"#),
            Some(r#"{"kind": "sysctl", "value": "1"}"#),
        );
        assert_eq!(
            names(&effects(&on, &observed)),
            ["sysctl net.ipv4.conf.all.accept_redirects", "sysctl net.ipv4.conf.eth0.forwarding"]
        );
        let again = Change { before: on.after.clone(), ..on };
        assert!(effects(&again, &observed).is_empty(), "writing the value that is there does nothing");
    }

    #[test]
    fn a_device_takes_its_addresses_and_sysctls_along_and_no_others() {
        let observed = observed(
            r#"{"sysctl net.ipv4.conf.dc2.rp_filter": {"kind": "sysctl", "value": "0"},
                "sysctl net.ipv4.conf.dc20.rp_filter": {"kind": "sysctl", "value": "0"},
                "address 172.16.0.2/30 dc2": {"kind": "address"},
                "vip 10.0.0.100 eth0": {"kind": "address"}}"#,
        );
        let deleted = change("link dc2", Some(r#"{"kind": "link", "device": "dummy", "up": true}"#), None);
        assert_eq!(names(&effects(&deleted, &observed)), ["sysctl net.ipv4.conf.dc2.rp_filter", "address 172.16.0.2/30 dc2"]);
    }

    #[test]
    fn a_service_takes_its_own_servers_along() {
        let observed = observed(
            r#"{"service tcp 10.0.0.100:80": {"kind": "service", "scheduler": "mh"},
                "server tcp 10.0.0.100:80 10.0.0.11:80": {"kind": "destination", "forward": "dr", "weight": 1},
                "server tcp 10.0.0.100:81 10.0.0.11:81": {"kind": "destination", "forward": "dr", "weight": 1},
                "order tcp 10.0.0.100:80": {"kind": "order", "servers": ["10.0.0.11:80"]}}"#,
        );
        let deleted = change("service tcp 10.0.0.100:80", Some(r#"{"kind": "service", "scheduler": "mh"}"#), None);
        assert_eq!(names(&effects(&deleted, &observed)), ["server tcp 10.0.0.100:80 10.0.0.11:80", "order tcp 10.0.0.100:80"]);
    }
}
