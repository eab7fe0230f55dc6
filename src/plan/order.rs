//! When it happens: changes taken apart into steps, and the steps put into phases of fixed rank.
//!
//! There is no graph and no choice: the same changes give the same phases. What leads to a state and what leads back from
//! it are ordered by the same code.

use std::collections::{BTreeMap, BTreeSet};

use super::{Phase, Rank};
use crate::state::effects::{effects, switches};
use crate::state::{
    Action, AddressKey, Change, DestinationId, DestinationKey, Family, Key, OURS, Observed, Order, Resource, ServiceKey,
    SysctlKey, SysctlValue,
};

/// The phases that carry out `changes` on what was `observed`.
///
/// What needs no step is left out: a module is never unloaded, a sysctl and the timeouts never go away, an [`Order`] that
/// comes about by itself, an object to be put back that nothing here moves. `net/ipv4/vs/expire_nodest_conn` is 0 while
/// servers are taken away, and afterwards what it was or is to be; that is decided by the value in `changes` or `observed`,
/// so the latter should hold it ([`Scope::of`] asks).
///
/// [`Scope::of`]: crate::state::Scope::of
pub fn order(changes: &[Change], observed: &Observed) -> Vec<Phase> {
    let plan = Surroundings::of(changes);
    let mut steps: BTreeMap<Rank, Vec<Change>> = BTreeMap::new();
    let moved = moved(changes, observed);
    for change in changes.iter().filter(|change| change.action() != Action::Restore || moved.contains_key(&change.key)) {
        place(change, moved.get(&change.key), &plan, &mut steps);
    }
    add_in_order(&plan, &mut steps);
    for (service, order) in &plan.orders {
        let reseated = reseat(*service, order, &plan, observed);
        if !reseated.is_empty() {
            steps.entry(Rank::Reseat).or_default().extend(reseated);
        }
    }
    if let Some(routes) = steps.get_mut(&Rank::Routes) {
        // A router is reached by a route that leads to the link itself.
        routes.sort_by_key(|step| matches!(&step.key, Key::Route(key) if key.via.is_some()));
    }
    keep_connections(observed, &mut steps);
    let phase = |(rank, mut steps): (Rank, Vec<Change>)| {
        steps.shrink_to_fit();
        Phase { rank, steps }
    };
    steps.into_iter().map(phase).collect()
}

/// What the place of one change depends on in the others.
struct Surroundings<'a> {
    /// Devices that are made, or made anew.
    made: BTreeSet<&'a str>,
    /// Devices that are made anew: what they carried is gone when they are back.
    replaced: BTreeSet<&'a str>,
    /// Addresses that are made.
    addresses: Vec<&'a AddressKey>,
    /// Whether a destination of another family than its service is made or edited: the kernel refuses that beside a sync
    /// daemon.
    mixed: bool,
    /// The orders that are to hold.
    orders: BTreeMap<ServiceKey, &'a Order>,
    /// Destinations that are made or edited, as they will be.
    destinations: BTreeMap<DestinationKey, (Action, &'a Resource)>,
}

impl<'a> Surroundings<'a> {
    fn of(changes: &'a [Change]) -> Surroundings<'a> {
        let mut all = Surroundings {
            made: BTreeSet::new(),
            replaced: BTreeSet::new(),
            addresses: Vec::new(),
            mixed: false,
            orders: BTreeMap::new(),
            destinations: BTreeMap::new(),
        };
        let ordered: BTreeSet<ServiceKey> = changes
            .iter()
            .filter_map(|change| match (&change.key, &change.after) {
                (Key::Order(service), Some(_)) => Some(*service),
                _ => None,
            })
            .collect();
        for change in changes {
            match (&change.key, &change.after) {
                (Key::Link(name), Some(_)) => match change.action() {
                    Action::Add => _ = all.made.insert(name),
                    Action::Replace => {
                        all.made.insert(name);
                        all.replaced.insert(name);
                    }
                    Action::Change | Action::Restore | Action::Delete => {}
                },
                (Key::Address(key), Some(_)) if change.action() == Action::Add => all.addresses.push(key),
                (Key::Destination(key), Some(after)) => {
                    all.mixed |= key.service.family() != Family::of(key.address);
                    if ordered.contains(&key.service) {
                        all.destinations.insert(*key, (change.action(), after));
                    }
                }
                (Key::Order(service), Some(Resource::Order(order))) => _ = all.orders.insert(*service, order),
                _ => {}
            }
        }
        all
    }
}

/// What these changes take along or move, and what is there of it then, where something is to be put back.
fn moved(changes: &[Change], observed: &Observed) -> BTreeMap<Key, Option<Resource>> {
    if !changes.iter().any(|change| change.action() == Action::Restore) {
        return BTreeMap::new();
    }
    changes.iter().flat_map(|change| effects(change, observed)).map(|effect| (effect.key, effect.after)).collect()
}

/// Appends the steps of one change to the phases they belong to. `moved`: what another change makes of the object.
fn place(change: &Change, moved: Option<&Option<Resource>>, plan: &Surroundings, steps: &mut BTreeMap<Rank, Vec<Change>>) {
    let action = change.action();
    let Some(ranks) = ranks(change, action, plan) else { return };
    let mut push = |rank, before: &Option<Resource>, after: &Option<Resource>| {
        steps.entry(rank).or_default().push(Change { key: change.key.clone(), before: before.clone(), after: after.clone() });
    };
    match (ranks, action) {
        (Ranks { first: Some(first), then: Some(then) }, _) => {
            push(first, &change.before, &None);
            push(then, &None, &change.after);
        }
        (Ranks { first: Some(first), then: None }, _) => push(first, &change.before, &None),
        (Ranks { first: None, then: Some(then) }, Action::Restore) => push(then, moved.unwrap_or(&None), &change.after),
        // It went with its device.
        (Ranks { first: None, then: Some(then) }, Action::Replace) => push(then, &None, &change.after),
        (Ranks { first: None, then: Some(then) }, _) => push(then, &change.before, &change.after),
        (Ranks { first: None, then: None }, _) => {}
    }
}

/// The rank in which an object is taken away and the one in which it is made or edited.
struct Ranks {
    first: Option<Rank>,
    then: Option<Rank>,
}

/// `None`: no step is needed, or none is possible.
fn ranks(change: &Change, action: Action, plan: &Surroundings) -> Option<Ranks> {
    let then = |rank| Some(Ranks { first: None, then: Some(rank) });
    let delete = |rank| Some(Ranks { first: Some(rank), then: None });
    let by_action = |add, edit, replace, gone| match action {
        Action::Add => then(add),
        Action::Change | Action::Restore => then(edit),
        Action::Replace => Some(Ranks { first: Some(replace), then: Some(add) }),
        Action::Delete => delete(gone),
    };
    match (&change.key, &change.before, &change.after) {
        // A module stays, and there is no such thing as a sysctl or a timeout that goes away.
        (Key::Module(_) | Key::Sysctl(_) | Key::Timeouts, _, None) | (Key::Order(_), _, _) => None,
        (Key::Module(_), _, _) => then(Rank::Modules),
        (Key::Sysctl(key), before, Some(after)) => then(rank_of_sysctl(key, before.as_ref(), after, plan)),
        (Key::Fou(_), _, _) => by_action(Rank::FouPorts, Rank::FouPorts, Rank::FouPortsReplaced, Rank::FouPortsDeleted),
        (Key::Link(_), _, _) => by_action(Rank::Links, Rank::Links, Rank::LinksDeleted, Rank::LinksGone),
        (Key::Address(key), _, after) if plan.replaced.contains(key.interface.as_str()) => {
            // It went with its device.
            after.as_ref().and_then(|_| then(if is_vip(key) { Rank::Vips } else { Rank::LinkAddresses }))
        }
        (Key::Address(key), _, _) if is_vip(key) => by_action(Rank::Vips, Rank::Vips, Rank::VipsReplaced, Rank::VipsDeleted),
        // The first address of a subnet would take along what came after it (`__inet_del_ifa`).
        (Key::Address(key), _, None) if plan.addresses.iter().any(|made| made.shares_subnet(key)) => {
            delete(Rank::LinkAddressesReplaced)
        }
        (Key::Address(_), _, _) => {
            by_action(Rank::LinkAddresses, Rank::LinkAddresses, Rank::LinkAddressesReplaced, Rank::LinkAddressesDeleted)
        }
        (Key::Route(_), _, Some(_)) if action == Action::Restore => then(Rank::Routes),
        // A rollback brings others' routes back: they may need every address that is put back.
        (Key::Route(_), _, Some(Resource::Route(after))) if after.protocol != OURS => then(Rank::Routes),
        // It went with its device.
        (Key::Route(key), _, None) if plan.replaced.contains(key.interface.as_str()) => None,
        // What was written to others' routes is given back; that they went is not undone by anybody.
        (Key::Route(_), Some(Resource::Route(before)), None) if before.protocol != OURS => None,
        (Key::Route(_), _, _) => by_action(Rank::RoutesAdded, Rank::RoutesAdded, Rank::RoutesDeleted, Rank::RoutesDeleted),
        (Key::Rule(_), _, _) => by_action(Rank::Rules, Rank::Rules, Rank::RulesDeleted, Rank::RulesDeleted),
        (Key::Nftables(_), _, _) => by_action(Rank::Nftables, Rank::Nftables, Rank::NftablesDeleted, Rank::NftablesDeleted),
        (Key::Timeouts, _, _) => then(Rank::Timeouts),
        (Key::Service(_), _, _) => {
            by_action(Rank::ServicesAdded, Rank::ServicesChanged, Rank::ServicesDeleted, Rank::ServicesDeleted)
        }
        (Key::Destination(_), before, after) => {
            let weight = |resource: &Option<Resource>| match resource {
                Some(Resource::Destination(destination)) => destination.weight.value(),
                _ => 0,
            };
            let edited = if weight(after) < weight(before) { Rank::DestinationsLowered } else { Rank::DestinationsRaised };
            by_action(Rank::DestinationsAdded, edited, Rank::DestinationsDeleted, Rank::DestinationsDeleted)
        }
        (Key::Sync(_), _, _) => {
            let gone = if plan.mixed { Rank::SyncStopped } else { Rank::SyncDeleted };
            by_action(Rank::Sync, Rank::Sync, Rank::SyncDeleted, gone)
        }
    }
}

fn rank_of_sysctl(key: &SysctlKey, before: Option<&Resource>, after: &Resource, plan: &Surroundings) -> Rank {
    if key.device().is_some_and(|device| plan.made.contains(device)) {
        return Rank::LinkSysctls;
    }
    if switches(key).is_some() {
        return Rank::Forwarding;
    }
    if before.is_some_and(|before| speaks_more(key, before, after)) {
        return Rank::ArpReleased;
    }
    // With `accept_ra` 2 a device keeps its default route when forwarding is turned on; afterwards is too late.
    let keeps_routes = key.path().starts_with("net/ipv6/conf/") && key.path().ends_with("/accept_ra");
    match after {
        Resource::Sysctl(sysctl) if keeps_routes && sysctl.value == "2" => Rank::RouterAdvertisements,
        _ => Rank::Sysctls,
    }
}

/// Whether a host answers more questions for its addresses, or tells more of them, than before.
fn speaks_more(key: &SysctlKey, before: &Resource, after: &Resource) -> bool {
    let level = |resource: &Resource| match resource {
        Resource::Sysctl(sysctl) => sysctl.value.parse::<u32>().ok(),
        _ => None,
    };
    let arp = key.path().ends_with("/arp_ignore") || key.path().ends_with("/arp_announce");
    arp && level(after).zip(level(before)).is_some_and(|(after, before)| after < before)
}

/// Whether an address stands for services: the whole address is its prefix.
fn is_vip(key: &AddressKey) -> bool {
    key.prefix == Family::of(key.address).bits()
}

/// Puts the new destinations of a service whose order matters into that order.
fn add_in_order(plan: &Surroundings, steps: &mut BTreeMap<Rank, Vec<Change>>) {
    if plan.orders.is_empty() {
        return;
    }
    let seats: BTreeMap<DestinationKey, usize> = plan
        .orders
        .iter()
        .flat_map(|(service, order)| {
            order.servers.iter().enumerate().map(|(seat, server)| (DestinationKey::new(*service, *server), seat))
        })
        .collect();
    if let Some(added) = steps.get_mut(&Rank::DestinationsAdded) {
        added.sort_by_cached_key(|step| match &step.key {
            Key::Destination(key) => (Some(key.service), seats.get(key).copied()),
            _ => (None, None),
        });
    }
}

/// Deletes and adds, in pairs, that bring the destinations of one service into `order`: as few as possible. Each add goes
/// to the end, so those before the first that is out of order keep their seats, and so do all that `order` does not name.
fn reseat(service: ServiceKey, order: &Order, plan: &Surroundings, observed: &Observed) -> Vec<Change> {
    let added = |server: &DestinationId| {
        plan.destinations.get(&DestinationKey::new(service, *server)).is_some_and(|(action, _)| *action == Action::Add)
    };
    let live: BTreeMap<DestinationId, usize> = match observed.state.objects.get(&Key::Order(service)) {
        Some(Resource::Order(live)) => live.servers.iter().enumerate().map(|(seat, server)| (*server, seat)).collect(),
        _ => BTreeMap::new(),
    };
    // What was not seen in an order may sit anywhere, so no two of them are in order; what is added comes after all.
    let seat = |server: &DestinationId| {
        if added(server) { usize::MAX } else { live.get(server).copied().unwrap_or_default() }
    };
    let in_order = |pair: &[DestinationId]| match pair {
        [first, second] => seat(first) < seat(second) || added(second),
        _ => true,
    };
    let kept = order.servers.windows(2).position(|pair| !in_order(pair)).map_or(order.servers.len(), |at| at + 1);
    order.servers.iter().skip(kept).flat_map(|server| pair(service, *server, plan, observed)).collect()
}

/// Takes a destination away and puts it back as it is to be.
fn pair(service: ServiceKey, server: DestinationId, plan: &Surroundings, observed: &Observed) -> Vec<Change> {
    let destination = DestinationKey::new(service, server);
    let key = Key::Destination(destination);
    let value = plan.destinations.get(&destination).map(|(_, after)| *after).or_else(|| observed.state.objects.get(&key));
    value.map_or_else(Vec::new, |value| {
        vec![
            Change { key: key.clone(), before: Some(value.clone()), after: None },
            Change { key, before: None, after: Some(value.clone()) },
        ]
    })
}

/// While a destination is away its connections must wait for it: with `expire_nodest_conn` 1 they are reset at their next
/// packet, and nothing that is put back, by this plan or by its undoing, brings them back.
fn keep_connections(observed: &Observed, steps: &mut BTreeMap<Rank, Vec<Change>>) {
    let takes_away = [Rank::Reseat, Rank::DestinationsDeleted, Rank::ServicesDeleted].iter().any(|rank| steps.contains_key(rank));
    if !takes_away {
        return;
    }
    let key = Key::Sysctl(SysctlKey::expire_nodest_conn());
    let step = steps.get_mut(&Rank::Sysctls).and_then(|steps| {
        let at = steps.iter().position(|step| step.key == key)?;
        Some(steps.remove(at))
    });
    steps.retain(|_, steps| !steps.is_empty());
    let before = step.as_ref().and_then(|step| step.before.clone()).or_else(|| observed.state.objects.get(&key).cloned());
    let after = step.and_then(|step| step.after).or_else(|| before.clone());
    let kept = Some(Resource::from(SysctlValue { value: "0".to_owned(), unless: None }));
    let mut put = |rank, before, after| steps.entry(rank).or_default().push(Change { key: key.clone(), before, after });
    // Unknown before and not wanted: there is nothing to put back, so it is not touched.
    if before != kept && after.is_some() {
        put(Rank::ConnectionsKept, before, kept.clone());
    }
    if after != kept && after.is_some() {
        put(Rank::ConnectionsReleased, kept, after);
    }
}

/// Whether a step of this rank takes an object away.
pub fn takes_away(rank: Rank) -> bool {
    matches!(
        rank,
        Rank::FouPortsReplaced
            | Rank::LinksDeleted
            | Rank::LinkAddressesReplaced
            | Rank::SyncStopped
            | Rank::VipsReplaced
            | Rank::VipsDeleted
            | Rank::NftablesDeleted
            | Rank::DestinationsDeleted
            | Rank::ServicesDeleted
            | Rank::SyncDeleted
            | Rank::RulesDeleted
            | Rank::RoutesDeleted
            | Rank::LinkAddressesDeleted
            | Rank::LinksGone
            | Rank::FouPortsDeleted
    )
}

#[cfg(test)]
mod tests {
    use super::order;
    use crate::plan::testing::{observed, state};
    use crate::plan::{Aim, diff};
    use crate::state::Change;

    const SERVICE: &str = r#""service tcp 10.0.0.100:80": {"kind": "service", "scheduler": "mh"}"#;
    const DUMMY: &str = r#""link d0": {"kind": "link", "device": "dummy", "up": true}"#;
    const VIP: &str = r#""vip 10.0.0.100 d0": {"kind": "address"}"#;
    const EXPIRES: &str = r#""sysctl net.ipv4.vs.expire_nodest_conn": {"kind": "sysctl", "value": "1"}"#;
    const KEEPS: &str = r#""sysctl net.ipv4.vs.expire_nodest_conn": {"kind": "sysctl", "value": "0"}"#;

    fn server(host: u8, weight: u32) -> String {
        format!(r#""server tcp 10.0.0.100:80 10.0.0.{host}:80": {{"kind": "destination", "forward": "dr", "weight": {weight}}}"#)
    }

    fn seats(servers: &[u8]) -> String {
        let servers: Vec<String> = servers.iter().map(|host| format!("\"10.0.0.{host}:80\"")).collect();
        format!(r#""order tcp 10.0.0.100:80": {{"kind": "order", "servers": [{}]}}"#, servers.join(", "))
    }

    fn sysctl(name: &str, value: &str) -> String {
        format!(r#""sysctl {name}": {{"kind": "sysctl", "value": "{value}"}}"#)
    }

    fn sync(id: u8) -> String {
        format!(
            r#""sync master": {{"kind": "sync", "interface": "eth0", "id": {id}, "group": "224.0.0.81", "port": 8848, "ttl": 1}}"#
        )
    }

    /// `rank: + key`
    fn lines(changes: &[Change], live: &[&str]) -> Vec<String> {
        let symbol = |step: &Change| match (&step.before, &step.after) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        order(changes, &observed(live))
            .iter()
            .flat_map(|phase| phase.steps.iter().map(|step| format!("{:?}: {} {}", phase.rank, symbol(step), step.key)))
            .collect()
    }

    fn plan(wanted: &[&str], live: &[&str]) -> Vec<String> {
        lines(&diff(&Aim::from(&state(wanted)), &observed(live), true), live)
    }

    fn undo(wanted: &[&str], live: &[&str]) -> Vec<String> {
        let undone: Vec<Change> = diff(&Aim::from(&state(wanted)), &observed(live), true).iter().map(Change::undo).collect();
        lines(&undone, wanted)
    }

    #[test]
    fn everything_is_there_before_the_address_that_leads_to_it() {
        let wanted = [SERVICE, DUMMY, VIP, &server(11, 1)];
        assert_eq!(
            plan(&wanted, &[]),
            [
                "Links: + link d0",
                "ServicesAdded: + service tcp 10.0.0.100:80",
                "DestinationsAdded: + server tcp 10.0.0.100:80 10.0.0.11:80",
                "Vips: + vip 10.0.0.100 d0"
            ]
        );
        assert_eq!(
            undo(&wanted, &[]),
            [
                "VipsDeleted: - vip 10.0.0.100 d0",
                "DestinationsDeleted: - server tcp 10.0.0.100:80 10.0.0.11:80",
                "ServicesDeleted: - service tcp 10.0.0.100:80",
                "LinksGone: - link d0"
            ]
        );
    }

    #[test]
    fn routes_come_before_the_rules_that_lead_to_them_and_go_after_them() {
        let route = r#""route 0.0.0.0/0 via 10.0.0.2 dev eth0 table 167772162": {"kind": "route", "type": 1, "protocol": 76, "scope": 0}"#;
        let rule = r#""rule ipv4 30000 ipproto udp sport 53 lookup 167772162": {"kind": "rule"}"#;
        let [route_key, rule_key] = [route, rule].map(|object| object.split('"').nth(1).expect("a key"));
        assert_eq!(plan(&[route, rule], &[]), [format!("RoutesAdded: + {route_key}"), format!("Rules: + {rule_key}")]);
        assert_eq!(undo(&[route, rule], &[]), [format!("RulesDeleted: - {rule_key}"), format!("RoutesDeleted: - {route_key}")]);
    }

    #[test]
    fn a_mark_is_set_when_there_is_a_service_for_it() {
        let table = r#""nftables lvsform-t": {"kind": "nftables", "chains": {}}"#;
        let service = r#""service fwmark 7 ipv4": {"kind": "service", "scheduler": "rr"}"#;
        let wanted = [table, service, DUMMY, VIP];
        let there = [
            "Links: + link d0",
            "ServicesAdded: + service fwmark 7 ipv4",
            "Nftables: + nftables lvsform-t",
            "Vips: + vip 10.0.0.100 d0",
        ];
        assert_eq!(plan(&wanted, &[]), there);
        let gone = [
            "VipsDeleted: - vip 10.0.0.100 d0",
            "NftablesDeleted: - nftables lvsform-t",
            "ServicesDeleted: - service fwmark 7 ipv4",
            "LinksGone: - link d0",
        ];
        assert_eq!(undo(&wanted, &[]), gone);
    }

    #[test]
    fn a_route_that_leaves_with_a_device_that_is_made_anew_is_gone_by_then() {
        let tunnel = |ttl: u8| {
            format!(
                r#""link a": {{"kind": "link", "device": {{"tunnel": {{"kind": "gre", "remote": "192.0.2.{ttl}"}}}}, "up": true}}"#
            )
        };
        let route = r#""route 10.2.0.0/16 dev a": {"kind": "route", "type": 1, "protocol": 76, "scope": 253}"#;
        let (before, after) = (tunnel(1), tunnel(2));
        let live = observed(&[&before, route]);
        let wanted = state(&[&after]);
        let mut aim = Aim::from(&wanted);
        aim.leaving.insert("route 10.2.0.0/16 dev a".parse().expect("a key"), "a".into());
        let steps = order(&diff(&aim, &live, false), &live);
        assert!(steps.iter().flat_map(|phase| &phase.steps).all(|step| !step.key.to_string().starts_with("route")), "{steps:#?}");
    }

    #[test]
    fn nobody_is_asked_for_a_vip_that_is_a_real_servers() {
        let [ignore, announce] = ["arp_ignore", "arp_announce"].map(|name| format!("net.ipv4.conf.all.{name}"));
        let silent = [sysctl(&ignore, "1"), sysctl(&announce, "2")];
        let loud = [sysctl(&ignore, "0"), sysctl(&announce, "0")];
        let lo = r#""vip 10.0.0.100 lo": {"kind": "address"}"#;
        let serving = [&*silent[0], &*silent[1], lo];
        let idle = loud.each_ref().map(String::as_str);
        assert_eq!(
            plan(&serving, &idle),
            [
                "Sysctls: ~ sysctl net.ipv4.conf.all.arp_announce",
                "Sysctls: ~ sysctl net.ipv4.conf.all.arp_ignore",
                "Vips: + vip 10.0.0.100 lo"
            ]
        );
        assert_eq!(
            undo(&serving, &idle),
            [
                "VipsDeleted: - vip 10.0.0.100 lo",
                "ArpReleased: ~ sysctl net.ipv4.conf.all.arp_announce",
                "ArpReleased: ~ sysctl net.ipv4.conf.all.arp_ignore"
            ]
        );
    }

    #[test]
    fn forwarding_is_written_before_what_it_would_move_and_after_what_keeps_routes() {
        let wanted = [
            sysctl("net.ipv4.conf.all.send_redirects", "0"),
            sysctl("net.ipv4.ip_forward", "1"),
            sysctl("net.ipv6.conf.all.forwarding", "1"),
            sysctl("net.ipv6.conf.eth0.accept_ra", "2"),
        ];
        assert_eq!(
            plan(&wanted.each_ref().map(String::as_str), &[]),
            [
                "RouterAdvertisements: + sysctl net.ipv6.conf.eth0.accept_ra",
                "Forwarding: + sysctl net.ipv4.ip_forward",
                "Forwarding: + sysctl net.ipv6.conf.all.forwarding",
                "Sysctls: + sysctl net.ipv4.conf.all.send_redirects"
            ]
        );
    }

    #[test]
    fn a_sysctl_of_a_device_of_ours_is_written_when_the_device_is_there() {
        assert_eq!(
            plan(&[DUMMY, &sysctl("net.ipv4.conf.d0.rp_filter", "2"), &sysctl("net.ipv4.conf.eth0.rp_filter", "2")], &[]),
            [
                "Sysctls: + sysctl net.ipv4.conf.eth0.rp_filter",
                "Links: + link d0",
                "LinkSysctls: + sysctl net.ipv4.conf.d0.rp_filter"
            ]
        );
    }

    #[test]
    fn weights_grow_before_they_fall() {
        assert_eq!(
            plan(&[SERVICE, &server(11, 1), &server(12, 2)], &[SERVICE, &server(11, 2), &server(12, 1)]),
            [
                "DestinationsRaised: ~ server tcp 10.0.0.100:80 10.0.0.12:80",
                "DestinationsLowered: ~ server tcp 10.0.0.100:80 10.0.0.11:80"
            ]
        );
    }

    #[test]
    fn a_changed_sync_daemon_is_away_as_shortly_as_possible() {
        assert_eq!(plan(&[&sync(2)], &[&sync(1)]), ["SyncDeleted: - sync master", "Sync: + sync master"]);
    }

    #[test]
    fn a_sync_daemon_that_goes_stops_before_there_is_a_server_of_another_family() {
        let mixed =
            r#""server tcp 10.0.0.100:80 [2001:db8::1]:80": {"kind": "destination", "forward": {"tun": "ipip"}, "weight": 1}"#;
        // Only the undoing of a plan stops a daemon.
        assert_eq!(
            undo(&[SERVICE, &sync(1)], &[SERVICE, mixed]),
            ["SyncStopped: - sync master", "DestinationsAdded: + server tcp 10.0.0.100:80 [2001:db8::1]:80"]
        );
        assert_eq!(
            plan(&[SERVICE, &sync(1)], &[SERVICE, mixed]),
            ["DestinationsDeleted: - server tcp 10.0.0.100:80 [2001:db8::1]:80", "Sync: + sync master"]
        );
    }

    /// The hosts of the servers that are added, and of those that are taken out and put back.
    fn moves(wanted: &[u8], live: &[u8]) -> (Vec<String>, Vec<String>) {
        let objects = |hosts: &[u8]| -> Vec<String> {
            hosts.iter().map(|host| server(*host, 1)).chain([SERVICE.to_owned(), seats(hosts)]).collect()
        };
        let (wanted, live) = (objects(wanted), objects(live));
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let live: Vec<&str> = live.iter().map(String::as_str).collect();
        let lines = plan(&wanted, &live);
        let of = |prefix: &str| {
            let hosts = lines.iter().filter_map(|line| line.strip_prefix(prefix));
            hosts.map(|host| host.trim_end_matches(":80").to_owned()).collect()
        };
        (of("DestinationsAdded: + server tcp 10.0.0.100:80 10.0.0."), of("Reseat: + server tcp 10.0.0.100:80 10.0.0."))
    }

    #[test]
    fn only_servers_from_the_first_one_out_of_order_are_taken_out_and_put_back() {
        let hosts = |hosts: &[&str]| hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>();
        assert_eq!(moves(&[11, 12, 13], &[11, 12]), (hosts(&["13"]), hosts(&[])), "at the end");
        assert_eq!(moves(&[11, 12, 13], &[11, 13]), (hosts(&["12"]), hosts(&["13"])), "in the middle");
        assert_eq!(moves(&[11, 12, 13], &[12, 11, 13]), (hosts(&[]), hosts(&["12", "13"])));
        assert_eq!(moves(&[11, 12, 13], &[11, 13, 12]), (hosts(&[]), hosts(&["13"])));
        assert_eq!(moves(&[11, 13], &[11, 12, 13]), (hosts(&[]), hosts(&[])), "a server that goes moves nobody");
        assert_eq!(moves(&[13, 11, 12], &[]), (hosts(&["13", "11", "12"]), hosts(&[])), "new ones are added in order");
    }

    #[test]
    fn where_no_order_was_seen_all_but_the_first_server_take_their_seats() {
        let live = [r#""service tcp 10.0.0.100:80": {"kind": "service", "scheduler": "rr"}"#, &server(11, 1), &server(12, 1)];
        assert_eq!(
            plan(&[SERVICE, &server(11, 1), &server(12, 1), &seats(&[11, 12])], &live),
            [
                "ServicesChanged: ~ service tcp 10.0.0.100:80",
                "Reseat: - server tcp 10.0.0.100:80 10.0.0.12:80",
                "Reseat: + server tcp 10.0.0.100:80 10.0.0.12:80"
            ]
        );
    }

    #[test]
    fn connections_wait_for_their_server_while_it_is_away() {
        let kept = "ConnectionsKept: ~ sysctl net.ipv4.vs.expire_nodest_conn";
        let deleted = "DestinationsDeleted: - server tcp 10.0.0.100:80 10.0.0.11:80";
        let released = "ConnectionsReleased: ~ sysctl net.ipv4.vs.expire_nodest_conn";
        let web1 = server(11, 1);
        assert_eq!(plan(&[SERVICE], &[SERVICE, &web1, EXPIRES]), [kept, deleted, released], "it was 1");
        assert_eq!(plan(&[SERVICE, EXPIRES], &[SERVICE, &web1, KEEPS]), [deleted, released], "it will be 1");
        assert_eq!(plan(&[SERVICE, KEEPS], &[SERVICE, &web1, EXPIRES]), [kept, deleted], "it will be 0");
        assert_eq!(plan(&[SERVICE], &[SERVICE, &web1, KEEPS]), [deleted], "it is 0 and stays 0");
        assert_eq!(plan(&[SERVICE], &[SERVICE, &web1]), [deleted], "nobody knows: it is not touched");
        assert_eq!(
            plan(&[SERVICE, EXPIRES], &[SERVICE, KEEPS]),
            ["Sysctls: ~ sysctl net.ipv4.vs.expire_nodest_conn"],
            "nothing is taken away"
        );
    }

    #[test]
    fn what_cannot_go_away_has_no_step() {
        let wanted = [
            r#""module ip_vs": {"kind": "module"}"#,
            r#""timeouts": {"kind": "timeouts", "tcp": 600}"#,
            &sysctl("net.ipv4.vs.conntrack", "1"),
        ];
        assert_eq!(plan(&wanted, &[]).len(), 3);
        assert!(undo(&wanted, &[]).is_empty());
    }

    #[test]
    fn an_address_makes_room_for_another_one_of_its_subnet() {
        let address = |text: &str| format!(r#""address {text} dc2": {{"kind": "address"}}"#);
        assert_eq!(
            plan(&[&address("172.16.0.2/30")], &[&address("172.16.0.1/30")]),
            ["LinkAddresses: + address 172.16.0.2/30 dc2"],
            "what others made stays"
        );
        let changes: Vec<Change> = diff(&Aim::from(&state(&[&address("172.16.0.2/30")])), &observed(&[]), true)
            .into_iter()
            .chain(diff(&Aim::from(&state(&[&address("172.16.0.1/30")])), &observed(&[]), true).iter().map(Change::undo))
            .collect();
        assert_eq!(
            lines(&changes, &[]),
            ["LinkAddressesReplaced: - address 172.16.0.1/30 dc2", "LinkAddresses: + address 172.16.0.2/30 dc2"]
        );
    }

    #[test]
    fn what_a_replaced_device_carried_is_put_back() {
        let link = |remote: &str| {
            format!(
                r#""link dc2": {{"kind": "link", "device": {{"tunnel": {{"kind": "gre", "remote": "{remote}"}}}}, "up": true}}"#
            )
        };
        let address = r#""address 172.16.0.2/30 dc2": {"kind": "address"}"#;
        let filter = sysctl("net.ipv4.conf.dc2.rp_filter", "2");
        assert_eq!(
            plan(&[&link("10.0.0.2"), address, &filter], &[&link("10.0.0.1"), address, &filter]),
            [
                "LinksDeleted: - link dc2",
                "Links: + link dc2",
                "LinkSysctls: + sysctl net.ipv4.conf.dc2.rp_filter",
                "LinkAddresses: + address 172.16.0.2/30 dc2"
            ]
        );
    }
}
