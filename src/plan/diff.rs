//! What changes: wanted against live, by key.
//!
//! The walk goes over both states once, side by side, and makes nothing for objects that are equal. What is not wanted is
//! left alone. This module decides nothing about when a change happens.

use std::collections::{BTreeMap, BTreeSet};

use super::Aim;
use super::loss::{Loss, losses};
use crate::state::effects::{comes_through, effects, taken_along, without_ipv6};
use crate::state::{Absence, Change, Key, Observed, Order, Resource, State, order_matters};

/// Every change that leads from `observed` to `wanted`, sorted by key.
///
/// What a wanted object leaves open is filled in from the live one, so `after` says everything that the kernel will be told.
/// What the topology owns and the file no longer has goes, unless others have put something into it. `exclusive`: services and
/// destinations that are not wanted are deleted, whoever made them; otherwise they are left alone.
///
/// A change of [`Order`] names our servers alone: those that are wanted, and with `exclusive` all. Foreign servers keep
/// their seats, and where they sit between ours is no difference.
///
/// A wanted object that is there already, but that another change of the result, or its undoing, takes along or moves
/// ([`effects`]), is in the result with `before` equal to `after` ([`Restore`](crate::state::Action::Restore)). So is what
/// others made and what goes with an object that is made anew.
///
/// Where nobody is asked ([`Aim::sparing`]), a change with which others would lose something is not made.
pub fn diff(aim: &Aim<'_>, observed: &Observed, exclusive: bool) -> Vec<Change> {
    let mut changes = walk(aim, observed, exclusive);
    for loss in spared(aim, observed, exclusive) {
        changes.retain(|change| change.key != loss.cause);
    }
    put_back(aim, observed, &mut changes);
    changes.shrink_to_fit();
    changes
}

/// What differs.
fn walk(aim: &Aim<'_>, observed: &Observed, exclusive: bool) -> Vec<Change> {
    let wanted: &State = &aim.wanted;
    let mut changes = Vec::new();
    let mut wanted_objects = wanted.objects.iter().peekable();
    let mut live_objects = observed.state.objects.iter().peekable();
    loop {
        match (wanted_objects.peek(), live_objects.peek()) {
            (None, None) => break,
            (Some((key, _)), Some((live_key, _))) if key == live_key => {
                if let (Some((key, after)), Some((_, before))) = (wanted_objects.next(), live_objects.next()) {
                    changes.extend(changed(key, before, after, exclusive));
                }
            }
            (Some((key, _)), live) if live.is_none_or(|(live_key, _)| key < live_key) => {
                if let Some((key, after)) = wanted_objects.next() {
                    changes.extend(added(key, after, observed));
                }
            }
            _ => {
                if let Some((key, before)) = live_objects.next() {
                    changes.extend(unwanted(key, before, aim, observed, exclusive));
                }
            }
        }
    }
    changes
}

/// What others would lose with changes that nobody is asked about: these are left out.
pub fn spared(aim: &Aim<'_>, observed: &Observed, exclusive: bool) -> Vec<Loss> {
    if !aim.sparing {
        return Vec::new();
    }
    let mut changes = walk(aim, observed, exclusive);
    put_back(aim, observed, &mut changes);
    losses(&changes.iter().collect::<Vec<_>>(), observed)
}

fn changed(key: &Key, before: &Resource, after: &Resource, exclusive: bool) -> Option<Change> {
    if before == after {
        return None;
    }
    if let (Resource::Order(before), Resource::Order(after)) = (before, after) {
        let ours = if exclusive { before.clone() } else { before.among(&after.servers) };
        return (ours != *after).then(|| change(key, Some(Resource::Order(ours)), Some(Resource::Order(after.clone()))));
    }
    let after = after.clone().over(before);
    (!before.differences(&after).is_empty()).then(|| change(key, Some(before.clone()), Some(after)))
}

fn added(key: &Key, after: &Resource, observed: &Observed) -> Option<Change> {
    match after {
        Resource::Sysctl(_) if observed.absent.get(key) == Some(&Absence::HostOnly) => None,
        Resource::Order(Order { servers }) if servers.len() < 2 => None, // nothing that could be out of order
        after => Some(change(key, None, Some(after.clone()))),
    }
}

/// A change for what is there and not wanted: none, unless all of IPVS is ours. That an order no longer matters is
/// recorded beside the change of its scheduler, so that taking both back restores it.
fn unwanted(key: &Key, before: &Resource, aim: &Aim<'_>, observed: &Observed, exclusive: bool) -> Option<Change> {
    let wanted = &aim.wanted;
    let goes = match key {
        Key::Service(_) | Key::Destination(_) if exclusive => true,
        Key::Order(service) => {
            scheduler(observed.state.objects.get(&Key::Service(*service))).is_some_and(order_matters)
                && scheduler(wanted.objects.get(&Key::Service(*service)))
                    .map_or(exclusive || aim.goes(&Key::Service(*service)), |wanted| !order_matters(wanted))
        }
        // A value does not go; it is given back, or goes with its device.
        key => !key.is_value() && aim.goes(key) && guests(key, aim, observed).is_empty(),
    };
    goes.then(|| change(key, Some(before.clone()), None))
}

/// What others have put into an object: it would go with it, or not work without it.
pub fn guests(key: &Key, aim: &Aim<'_>, observed: &Observed) -> Vec<Key> {
    let mut guests: Vec<Key> = taken_along(key, observed)
        .map(|effect| effect.key)
        .filter(|other| aim.sparing || !matches!((key, other), (Key::Address(_), Key::Route(_))))
        .collect();
    if let Key::Address(address) = key {
        // The first address of a subnet takes the others along, and which is the first is not seen.
        let addresses = observed.state.objects.range(..Key::Timeouts).map(|(other, _)| other).filter(|other| *other != key);
        guests.extend(addresses.filter(|other| matches!(other, Key::Address(other) if address.shares_subnet(other))).cloned());
    }
    if let (Key::Link(name), false) = (key, aim.sparing) {
        // What is lost with an address that goes does not keep its device: a rule forbids that, or somebody allowed it.
        let addresses = observed.state.objects.range(..Key::Timeouts).map(|(other, _)| other);
        let going = addresses.filter(|other| matches!(other, Key::Address(own) if own.interface == *name) && aim.goes(other));
        let lost: BTreeSet<Key> = going.flat_map(|address| taken_along(address, observed)).map(|effect| effect.key).collect();
        guests.retain(|other| !lost.contains(other));
    }
    if let Key::Fou(port) = key {
        // As it will be.
        guests.retain(|other| aim.wanted.objects.get(other).is_none_or(|link| comes_through(link, *port)));
    }
    guests.retain(|other| !aim.leaving.contains_key(other));
    guests
}

fn scheduler(service: Option<&Resource>) -> Option<&str> {
    match service {
        Some(Resource::Service(service)) => Some(&service.scheduler),
        _ => None,
    }
}

fn change(key: &Key, before: Option<Resource>, after: Option<Resource>) -> Change {
    Change { key: key.clone(), before, after }
}

/// Adds what is wanted as it is and would not stay so, and what is others' and comes back with what is made anew.
fn put_back(aim: &Aim<'_>, observed: &Observed, changes: &mut Vec<Change>) {
    let mut moved: BTreeMap<Key, Resource> = BTreeMap::new();
    // Nothing that goes with a service outlives it.
    for change in changes.iter().filter(|change| !matches!(change.key, Key::Service(_))) {
        let makes_room = change.after.is_some() && without_ipv6(change).is_none();
        for effect in [effects(change, observed), effects(&change.undo(), observed)].concat() {
            let Some(before) = &effect.before else { continue };
            let comes_back = makes_room
                && matches!(effect.key, Key::Address(_) | Key::Route(_))
                && observed.can_make_again(&effect.key, before)
                && !aim.leaving.contains_key(&effect.key);
            let stays = comes_back || aim.wanted.objects.contains_key(&effect.key);
            if stays && changes.binary_search_by(|change| change.key.cmp(&effect.key)).is_err() {
                moved.extend(effect.before.map(|before| (effect.key, before)));
            }
        }
    }
    if !moved.is_empty() {
        changes.extend(moved.into_iter().map(|(key, value)| change(&key, Some(value.clone()), Some(value))));
        changes.sort_by(|a, b| a.key.cmp(&b.key));
    }
}

#[cfg(test)]
mod tests {
    use super::diff;
    use crate::plan::testing::{observed, state};
    use crate::plan::{Aim, Owned};
    use crate::state::{Absence, Action, Key, Observed};

    const SERVICE: &str = r#""service tcp 10.0.0.100:80": {"kind": "service", "scheduler": "mh"}"#;
    const WEB1: &str = r#""server tcp 10.0.0.100:80 10.0.0.11:80": {"kind": "destination", "forward": "dr", "weight": 1}"#;
    const WEB2: &str = r#""server tcp 10.0.0.100:80 10.0.0.12:80": {"kind": "destination", "forward": "dr", "weight": 1}"#;
    const WEB3: &str = r#""server tcp 10.0.0.100:80 10.0.0.13:80": {"kind": "destination", "forward": "dr", "weight": 1}"#;

    fn order(servers: &[u8]) -> String {
        let servers: Vec<String> = servers.iter().map(|host| format!("\"10.0.0.{host}:80\"")).collect();
        format!(r#""order tcp 10.0.0.100:80": {{"kind": "order", "servers": [{}]}}"#, servers.join(", "))
    }

    fn changes(wanted: &[&str], live: &[&str], exclusive: bool) -> Vec<String> {
        let changes = diff(&Aim::from(&state(wanted)), &observed(live), exclusive);
        changes.iter().map(|change| format!("{:?} {}", change.action(), change.key)).collect()
    }

    #[test]
    fn equal_states_have_no_changes() {
        let all = [SERVICE, WEB1, WEB2, &order(&[11, 12])];
        assert!(changes(&all, &all, true).is_empty());
    }

    #[test]
    fn what_is_not_wanted_is_left_alone_unless_all_of_ipvs_is_ours() {
        let live = [
            SERVICE,
            WEB1,
            r#""vip 10.0.0.9 eth0": {"kind": "address"}"#,
            r#""link eth9": {"kind": "link", "device": "dummy", "up": true}"#,
        ];
        assert!(changes(&[], &live, false).is_empty());
        assert_eq!(
            changes(&[], &live, true),
            ["Delete service tcp 10.0.0.100:80", "Delete server tcp 10.0.0.100:80 10.0.0.11:80"]
        );
        assert!(changes(&[SERVICE], &[SERVICE, WEB1], false).is_empty());
        assert_eq!(changes(&[SERVICE], &[SERVICE, WEB1], true), ["Delete server tcp 10.0.0.100:80 10.0.0.11:80"]);
    }

    #[test]
    fn what_a_wanted_object_leaves_open_is_filled_in_from_what_is_there() {
        let wanted = state(&[r#""timeouts": {"kind": "timeouts", "tcp": 600}"#]);
        let live = observed(&[r#""timeouts": {"kind": "timeouts", "tcp": 900, "tcp_fin": 120, "udp": 300}"#]);
        let filled = state(&[r#""timeouts": {"kind": "timeouts", "tcp": 600, "tcp_fin": 120, "udp": 300}"#]);
        let changes = diff(&Aim::from(&wanted), &live, false);
        assert_eq!(changes.first().and_then(|change| change.after.as_ref()), filled.objects.get(&Key::Timeouts));
        assert!(diff(&Aim::from(&wanted), &Observed { state: filled, ..live }, false).is_empty());
    }

    #[test]
    fn a_sysctl_of_the_whole_host_is_no_change_inside_a_namespace_and_a_missing_one_is() {
        let text = r#""sysctl net.core.netdev_max_backlog": {"kind": "sysctl", "value": "1"}"#;
        let key: Key = "sysctl net.core.netdev_max_backlog".parse().expect("a key");
        for (absence, count) in [(Absence::HostOnly, 0), (Absence::Missing, 1)] {
            let live = Observed { absent: [(key.clone(), absence)].into(), ..Observed::default() };
            assert_eq!(diff(&Aim::from(&state(&[text])), &live, false).len(), count, "{absence:?}");
        }
    }

    #[test]
    fn only_our_own_servers_have_an_order() {
        let wanted = [SERVICE, WEB1, WEB2, &order(&[11, 12])];
        assert!(changes(&wanted, &[SERVICE, WEB1, WEB2, WEB3, &order(&[11, 13, 12])], false).is_empty(), "13 is foreign");
        assert_eq!(
            changes(&wanted, &[SERVICE, WEB1, WEB2, WEB3, &order(&[12, 13, 11])], false),
            ["Change order tcp 10.0.0.100:80"]
        );
    }

    #[test]
    fn taking_a_change_back_also_takes_back_what_the_kernel_does_by_itself() {
        // Turning forwarding on does not move the redirects, which are off; turning it off again would.
        let redirects = r#""sysctl net.ipv4.conf.all.accept_redirects": {"kind": "sysctl", "value": "0"}"#;
        let on = r#""sysctl net.ipv4.ip_forward": {"kind": "sysctl", "value": "1"}"#;
        let off = r#""sysctl net.ipv4.ip_forward": {"kind": "sysctl", "value": "0"}"#;
        let changes = diff(&Aim::from(&state(&[redirects, on])), &observed(&[redirects, off]), false);
        let actions: Vec<Action> = changes.iter().map(crate::state::Change::action).collect();
        assert_eq!(actions, [Action::Restore, Action::Change]);
    }

    #[test]
    fn a_fou_port_that_leaves_stays_while_somebody_elses_tunnel_needs_it() {
        let port = r#""fou 6080 ipv4": {"kind": "fou", "gue": true}"#;
        let tunnel = |name: &str, kind: &str, port: u16| {
            let gue = format!(r#""gue": {{"port": {port}, "checksum": "none"}}"#);
            let device = format!(r#"{{"tunnel": {{"kind": "{kind}", {gue}}}}}"#);
            format!(r#""link {name}": {{"kind": "link", "device": {device}, "up": true}}"#)
        };
        let owned: Owned = ["fou 6080 ipv4", "link ours"]
            .map(|key| (key.parse().unwrap_or_else(|error| panic!("{error}")), ("t".into(), None)))
            .into();
        let deletes_with = |wanted: &[&str], theirs: &str| {
            let (wanted, live) = (state(wanted), observed(&[port, &tunnel("ours", "gre", 6080), theirs]));
            let changes = diff(&Aim::new(&wanted, &owned), &live, false).into_iter();
            changes.filter(|change| change.after.is_none()).map(|change| change.key.to_string()).collect::<Vec<_>>()
        };
        let deletes = |theirs: &str| deletes_with(&[], theirs);
        assert_eq!(deletes(&tunnel("theirs", "ipip", 6080)), ["link ours"]);
        for needless in [tunnel("theirs", "ip6gre", 6080), tunnel("theirs", "gre", 6081)] {
            assert_eq!(deletes(&needless), ["fou 6080 ipv4", "link ours"], "{needless}");
        }
        let moved = [&*tunnel("ours", "gre", 6090), r#""fou 6090 ipv4": {"kind": "fou", "gue": true}"#];
        assert_eq!(deletes_with(&moved, &tunnel("theirs", "gre", 6081)), ["fou 6080 ipv4"], "our own goes through another one");
    }
}
