//! Desired against live: what changes, in which order, and what it does to live connections.
//!
//! A plan leaves no choice to whoever carries it out: every value, default and position is in it already. This module is
//! pure: it does no I/O, and knows no clock and no netlink.

mod aim;
pub mod clients;
mod diff;
pub mod digest;
mod impact;
pub mod loss;
mod note;
mod order;
pub mod policy;
#[cfg(test)]
mod testing;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::provenance::{Elsewhere, LeftOut, Names, Provenance};
use crate::state::{Action, Change, DestinationKey, FieldChange, KernelFacts, Key, Observed, Resource, ServiceKey};

pub use aim::{Aim, Owned};
pub use diff::diff;
pub use impact::{Ending, Impact};
pub use note::Note;
pub use order::{order, takes_away};

/// Whom a plan is for, in the user's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The topology's name.
    pub topology: String,
    /// The root file as the user named it.
    pub file: String,
    /// The host's name in the file.
    pub host: String,
    /// `director`, `real-server`
    pub role: String,
}

/// Everything that leads one host from what it holds to what it must hold.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom it is for.
    pub target: Target,
    /// What the kernel is.
    pub kernel: KernelFacts,
    /// Sorted by key.
    pub changes: Vec<Planned>,
    /// The services that stay as they are and whose servers change.
    pub unchanged: Names,
    /// What is sent to the kernel, and when.
    pub phases: Vec<Phase>,
    /// What else a person must know.
    pub notes: Vec<Note>,
    /// What the topology says and this version does not carry out.
    pub left_out: Vec<LeftOut>,
    /// How much it is.
    pub summary: Summary,
}

/// One change of a plan with all that is known of it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The change.
    pub change: Change,
    /// What it does with its object.
    pub action: Action,
    /// The user's words; `None`: the file does not have the object.
    pub provenance: Option<Provenance>,
    /// The fields that differ.
    pub fields: Vec<FieldChange>,
    /// What it does to live connections.
    pub impacts: Vec<Impact>,
    /// Nothing is done for it: an order that comes about by itself, an object that only the undoing of the plan would have to
    /// put back. Neither counted nor shown to people.
    pub incidental: bool,
}

/// How much a plan changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Summary {
    /// objects made
    pub add: usize,
    /// objects edited in place
    pub change: usize,
    /// objects taken away and made anew
    pub replace: usize,
    /// objects that another change takes along, put back as they were
    pub restore: usize,
    /// objects taken away
    pub delete: usize,
    /// live connections that end because of it: active ones, and where udp may be among them the inactive ones too
    pub connections_cut: u64,
}

impl Plan {
    /// Compares what `aim` wants with `observed` and says everything about the difference.
    ///
    /// `exclusive`: the host's whole IPVS table is this topology's. `elsewhere`: what the host may still have and should not.
    pub fn make(
        target: Target,
        aim: &Aim<'_>,
        names: &Names,
        observed: &Observed,
        exclusive: bool,
        left_out: Vec<LeftOut>,
        elsewhere: &Elsewhere,
    ) -> Plan {
        let changes = diff(aim, observed, exclusive);
        let phases = order(&changes, observed);
        let mut notes = note::notes(aim, observed, exclusive, &changes, &phases);
        notes.extend(note::left_behind(&aim.wanted, observed, &changes, &target.host, elsewhere));
        let impacts = impact::Impacts::new(&changes, observed, reseated(&phases), clients::moves(&phases, observed));
        let unchanged = unchanged(&changes, names);
        let changes: Vec<Planned> = changes
            .into_iter()
            .map(|change| {
                let impacts = impacts.of(&change);
                let action = match change.key {
                    Key::Order(_) => Action::Change, // whatever was known of it before
                    _ => change.action(),
                };
                Planned {
                    action,
                    provenance: names
                        .get(&change.key)
                        .or_else(|| named_by_service(&change.key, names))
                        .cloned()
                        .or_else(|| aim.leaving.get(&change.key).map(Provenance::leaving)),
                    fields: change.fields(),
                    incidental: match change.key {
                        Key::Order(_) => impacts.is_empty(),
                        _ => action == Action::Restore && !is_sent(&change.key, &phases),
                    },
                    impacts,
                    change,
                }
            })
            .collect();
        let summary = Summary::of(&changes);
        Plan { target, kernel: observed.kernel.clone(), changes, unchanged, phases, notes, left_out, summary }
    }

    /// Whether the kernel holds everything already.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// The services of changed servers that do not change themselves.
fn unchanged(changes: &[Change], names: &Names) -> Names {
    let mut services = Names::new();
    let mut last = None;
    for change in changes {
        let Key::Destination(DestinationKey { service, .. }) = change.key else { continue };
        let key = Key::Service(service);
        if last.replace(service) != Some(service)
            && changes.binary_search_by(|change| change.key.cmp(&key)).is_err()
            && let Some(provenance) = names.get(&key)
        {
            services.insert(key, provenance.clone());
        }
    }
    services
}

/// An order is its service's.
fn named_by_service<'a>(key: &Key, names: &'a Names) -> Option<&'a Provenance> {
    match key {
        Key::Order(service) => names.get(&Key::Service(*service)),
        _ => None,
    }
}

fn is_sent(key: &Key, phases: &[Phase]) -> bool {
    phases.iter().flat_map(|phase| &phase.steps).any(|step| step.key == *key)
}

/// How many servers of each service are taken out and put back.
fn reseated(phases: &[Phase]) -> BTreeMap<ServiceKey, usize> {
    let mut servers = BTreeMap::new();
    for step in phases.iter().filter(|phase| phase.rank == Rank::Reseat).flat_map(|phase| &phase.steps) {
        if let (Key::Destination(key), Some(Resource::Destination(_))) = (&step.key, &step.after) {
            *servers.entry(key.service).or_insert(0) += 1;
        }
    }
    servers
}

impl Summary {
    /// So many of each; nothing is said of connections.
    pub fn counting(actions: impl Iterator<Item = Action>) -> Summary {
        let mut summary = Summary::default();
        for action in actions {
            *match action {
                Action::Add => &mut summary.add,
                Action::Change => &mut summary.change,
                Action::Replace => &mut summary.replace,
                Action::Restore => &mut summary.restore,
                Action::Delete => &mut summary.delete,
            } += 1;
        }
        summary
    }

    fn of(changes: &[Planned]) -> Summary {
        let shown = || changes.iter().filter(|planned| !planned.incidental);
        let connections_cut = shown().flat_map(|planned| &planned.impacts).map(Impact::cut).sum();
        Summary { connections_cut, ..Summary::counting(shown().map(|planned| planned.action)) }
    }
}

/// Steps that the kernel may be given together: no step of a phase depends on another one's answer, and a phase never both
/// adds and takes away, but for [`Rank::Reseat`], whose pairs are in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Which part of a plan this is.
    pub rank: Rank,
    /// In the order in which they are sent. Each adds, changes in place or deletes one object; a replacement has been taken
    /// apart into a delete and an add of different phases.
    pub steps: Vec<Change>,
}

/// The fixed order of phases (architecture: order). There is no graph.
///
/// What is made comes before what goes away, so that no family passes through zero services while it will have one again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rank {
    /// Modules: others bring their sysctls and device kinds.
    Modules,
    /// `accept_ra` 2, with which a device keeps its default route when IPv6 forwarding is turned on.
    RouterAdvertisements,
    /// `ip_forward`, IPv6 `forwarding` and `disable_ipv6` of all devices: writing them moves other sysctls.
    Forwarding,
    /// All other sysctls that do not belong to a device of ours.
    Sysctls,
    /// FOU ports that must make room: the first half of a replacement.
    FouPortsReplaced,
    /// FOU ports, before the devices that use them.
    FouPorts,
    /// Devices that must make room: the first half of a replacement.
    LinksDeleted,
    /// Devices made and edited.
    Links,
    /// Sysctls of devices that did not exist before.
    LinkSysctls,
    /// Addresses of tunnels that must make room: the first half of a replacement.
    LinkAddressesReplaced,
    /// Addresses of tunnels.
    LinkAddresses,
    /// Routes of ours, when the devices that they lead through are there.
    RoutesAdded,
    /// Rules that lead to them.
    Rules,
    /// IPVS timeouts.
    Timeouts,
    /// Sync daemons that must stop before there can be a destination of another family than its service.
    SyncStopped,
    /// Services made.
    ServicesAdded,
    /// Services edited in place.
    ServicesChanged,
    /// Destinations made.
    DestinationsAdded,
    /// Destinations edited in place whose weight grows or stays.
    DestinationsRaised,
    /// Destinations edited in place whose weight falls.
    DestinationsLowered,
    /// Tables of nftables: a mark, when there is a service for it.
    Nftables,
    /// `expire_nodest_conn` set to 0 before a destination is taken away.
    ConnectionsKept,
    /// Destinations taken away and put back at once, pair by pair, where their order matters.
    Reseat,
    /// VIPs that must make room: the first half of a replacement.
    VipsReplaced,
    /// VIPs, when everything that they lead to is there.
    Vips,
    /// Routes that went with a device or an address, put back.
    Routes,
    /// VIPs that go, before anything that they lead to.
    VipsDeleted,
    /// `arp_ignore` and `arp_announce` that say more than before: nobody may hear of a VIP that is about to go.
    ArpReleased,
    /// Tables of nftables that go.
    NftablesDeleted,
    /// Destinations that go.
    DestinationsDeleted,
    /// Services that go, after their destinations.
    ServicesDeleted,
    /// `expire_nodest_conn` as it was or is to be.
    ConnectionsReleased,
    /// Sync daemons that go: for good, or the first half of a replacement.
    SyncDeleted,
    /// Sync daemons, when no destination of another family than its service is left.
    Sync,
    /// Rules that go, before the routes that they lead to.
    RulesDeleted,
    /// Routes of ours that go.
    RoutesDeleted,
    /// Addresses of tunnels that go.
    LinkAddressesDeleted,
    /// Devices that go.
    LinksGone,
    /// FOU ports that go.
    FouPortsDeleted,
}
