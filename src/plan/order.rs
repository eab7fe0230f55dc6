//! When it happens: changes taken apart into steps, and the steps put into phases of fixed rank.
//!
//! There is no graph and no choice: the same changes give the same phases. What leads to a state and what leads back from
//! it are ordered by the same code.

use std::collections::{BTreeMap, BTreeSet};

use super::{Phase, Rank};
use crate::state::effects::is_forwarding;
use crate::state::{
    Action, AddressKey, Change, DestinationId, DestinationKey, Family, Key, Observed, Order, Resource, ServiceKey, SysctlKey,
    SysctlValue,
};

/// The phases that carry out `changes` on what was `observed`.
///
/// What needs no step is left out: a module is never unloaded, a sysctl and the timeouts never go away, an [`Order`] that
/// comes about by itself. `net/ipv4/vs/expire_nodest_conn` is 0 while servers are taken away, and afterwards what it was or
/// is to be; that is decided by the value in `changes` or `observed`, so the latter should hold it ([`Scope::of`] asks).
///
/// [`Scope::of`]: crate::state::Scope::of
pub fn order(changes: &[Change], observed: &Observed) -> Vec<Phase> {
    let plan = Surroundings::of(changes);
    let mut steps: BTreeMap<Rank, Vec<Change>> = BTreeMap::new();
    for change in changes {
        place(change, &plan, &mut steps);
    }
    add_in_order(&plan, &mut steps);
    for (service, order) in &plan.orders {
        let reseated = reseat(*service, order, &plan, observed);
        if !reseated.is_empty() {
            steps.entry(Rank::Reseat).or_default().extend(reseated);
        }
    }
    keep_connections(observed, &mut steps);
    steps.into_iter().map(|(rank, steps)| Phase { rank, steps }).collect()
}

/// What the place of one change depends on in the others.
struct Surroundings<'a> {
    /// Devices that are made, or made anew.
    made: BTreeSet<&'a str>,
    /// Devices that are made anew: what they carried is gone when they are back.
    replaced: BTreeSet<&'a str>,
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

/// Appends the steps of one change to the phases they belong to.
fn place(change: &Change, plan: &Surroundings, steps: &mut BTreeMap<Rank, Vec<Change>>) {
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
        // What another change took along is not there any more when it is put back.
        (Ranks { first: None, then: Some(then) }, Action::Restore | Action::Replace) => push(then, &None, &change.after),
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
        (Key::Sysctl(key), _, Some(after)) => then(rank_of_sysctl(key, after, plan)),
        (Key::Fou(_), _, _) => by_action(Rank::FouPorts, Rank::FouPorts, Rank::FouPortsReplaced, Rank::FouPortsDeleted),
        (Key::Link(_), _, _) => by_action(Rank::Links, Rank::Links, Rank::LinksDeleted, Rank::LinksGone),
        (Key::Address(key), _, after) if plan.replaced.contains(key.interface.as_str()) => {
            // It went with its device.
            after.as_ref().and_then(|_| then(if is_vip(key) { Rank::Vips } else { Rank::LinkAddresses }))
        }
        (Key::Address(key), _, _) if is_vip(key) => by_action(Rank::Vips, Rank::Vips, Rank::VipsReplaced, Rank::VipsDeleted),
        (Key::Address(_), _, _) => {
            by_action(Rank::LinkAddresses, Rank::LinkAddresses, Rank::LinkAddressesReplaced, Rank::LinkAddressesDeleted)
        }
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

fn rank_of_sysctl(key: &SysctlKey, after: &Resource, plan: &Surroundings) -> Rank {
    if key.device().is_some_and(|device| plan.made.contains(device)) {
        return Rank::LinkSysctls;
    }
    if is_forwarding(key) {
        return Rank::Forwarding;
    }
    // With `accept_ra` 2 a device keeps its default route when forwarding is turned on; afterwards is too late.
    let keeps_routes = key.path().starts_with("net/ipv6/conf/") && key.path().ends_with("/accept_ra");
    match after {
        Resource::Sysctl(SysctlValue { value, .. }) if keeps_routes && value == "2" => Rank::RouterAdvertisements,
        _ => Rank::Sysctls,
    }
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
        added.sort_by_key(|step| match &step.key {
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
    let seat = |server: &DestinationId| match added(server) {
        true => usize::MAX,
        false => live.get(server).copied().unwrap_or_default(),
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
    let kept = Some(Resource::Sysctl(SysctlValue { value: "0".to_owned(), unless: None }));
    let mut put = |rank, before, after| _ = steps.entry(rank).or_default().push(Change { key: key.clone(), before, after });
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
            | Rank::DestinationsDeleted
            | Rank::ServicesDeleted
            | Rank::SyncDeleted
            | Rank::LinkAddressesDeleted
            | Rank::LinksGone
            | Rank::FouPortsDeleted
    )
}
