//! What the kernel does by itself when it carries out a change.
//!
//! The diff uses it to put back what is wanted and would be moved, the model of the kernel to behave like the real one.
//! Only objects that were observed are named. This module knows the kernel's rules and nothing of plans.

use std::net::{IpAddr, Ipv4Addr};

use super::{Change, DestinationKey, Key, Observed, Resource, ServiceKey, SysctlKey, SysctlValue};

const IPV6: &str = "net/ipv6/";

/// What follows from `change`, each an object other than its own that ends up different or gone.
///
/// - `ip_forward` (also by its other name `conf.all.forwarding`) sets `forwarding` of every device and of `default`, and
///   `conf.all.accept_redirects` to the opposite (`inet_forward_change`); writing the value that is there does nothing. IPv6
///   `conf.all.forwarding` sets `forwarding` of every device, also when it is written as it is (`addrconf_forward_change`).
/// - A device takes its addresses and its sysctls along. Made anew it has `default`'s values, so they count as gone.
/// - A device that goes down takes its IPv6 addresses along (`addrconf_ifdown`), unless `keep_addr_on_down` says otherwise,
///   which is not looked at.
/// - A service takes its destinations along.
pub fn effects(change: &Change, observed: &Observed) -> Vec<Change> {
    match (&change.key, &change.before, &change.after) {
        (Key::Sysctl(key), before, Some(Resource::Sysctl(after)))
            if is_forwarding(key) && (*before != change.after || key.path().starts_with(IPV6)) =>
        {
            moved_by_forwarding(key, after, observed)
        }
        (Key::Link(name), Some(before), after) if after.as_ref().is_none_or(|after| !before.changes_in_place(after)) => observed
            .state
            .objects
            .range(..Key::Timeouts)
            .filter(|(key, _)| match key {
                Key::Address(address) => address.interface == *name,
                Key::Sysctl(sysctl) => sysctl.device() == Some(name),
                _ => false,
            })
            .map(|(key, resource)| gone(key, resource))
            .collect(),
        (Key::Link(name), Some(Resource::Link(before)), Some(Resource::Link(after))) if before.up && !after.up => observed
            .state
            .objects
            .range(..Key::Timeouts)
            .filter(|(key, _)| matches!(key, Key::Address(address) if address.interface == *name && address.address.is_ipv6()))
            .map(|(key, resource)| gone(key, resource))
            .collect(),
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

fn gone(key: &Key, resource: &Resource) -> Change {
    Change { key: key.clone(), before: Some(resource.clone()), after: None }
}

/// The sysctls that forwarding of a family moves when `cause` is set to `value`.
fn moved_by_forwarding(cause: &SysctlKey, value: &SysctlValue, observed: &Observed) -> Vec<Change> {
    let family = if cause.path().starts_with(IPV6) { IPV6 } else { "net/ipv4/" };
    let moved = |key: &SysctlKey| {
        let path = key.path().strip_prefix(family)?;
        if path == "ip_forward" || (path.starts_with("conf/") && path.ends_with("/forwarding")) {
            Some(value.clone())
        } else if key.path() == "net/ipv4/conf/all/accept_redirects" {
            Some(SysctlValue { value: if value.value == "0" { "1" } else { "0" }.to_owned(), unless: None })
        } else {
            None
        }
    };
    let state = observed.state.objects.range(..Key::Timeouts);
    state
        .filter_map(|(key, before)| {
            let Key::Sysctl(sysctl) = key else { return None };
            let after = Resource::Sysctl(moved(sysctl)?);
            (sysctl != cause && after != *before).then(|| Change {
                key: key.clone(),
                before: Some(before.clone()),
                after: Some(after),
            })
        })
        .collect()
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
