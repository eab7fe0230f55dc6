//! What one host's plan may do at most: the rules of `policy`, and those that nobody has to write.
//!
//! They are asked before anything is touched, of a plan that was made under the lock. Each has a word by which one run may
//! break it.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::Plan;
use crate::state::effects::{destinations, effects};
use crate::state::{Action, DestinationKey, Key, Observed, Resource, ServiceKey, State, SysctlKey};

/// A number, or a share of what was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// so many
    Count(u32),
    /// percent, 0 to 100
    Percent(u8),
}

/// The limits of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Objects that a plan may delete; a share of what the topology owns there.
    pub max_deletes: Option<Amount>,
    /// Active connections of servers that are deleted.
    pub max_connections_cut: Option<u32>,
    /// Servers of weight over 0 that each service keeps; a share of those before.
    pub min_servers: Option<Amount>,
    /// What no plan deletes, in the file's words: `service.shop`.
    pub protect: Vec<String>,
}

/// What a plan is measured by.
#[derive(Clone, Debug)]
pub struct Measure<'a> {
    /// The file's limits.
    pub policy: &'a Policy,
    /// What no plan deletes, by what the ledger and the file say.
    pub protected: &'a BTreeSet<Key>,
    /// What the topology owns there.
    pub owned: &'a BTreeSet<Key>,
    /// The host as which it was applied, where it was.
    pub host: Option<&'a str>,
    /// What is there.
    pub observed: &'a Observed,
    /// What is to be there.
    pub wanted: &'a State,
}

/// A rule that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It deletes more than `most` objects.
    MaxDeletes {
        /// what it deletes
        deletes: usize,
        /// what it may
        most: usize,
    },
    /// It cuts more than `most` connections.
    MaxConnectionsCut {
        /// what it cuts
        cut: u64,
        /// what it may
        most: u32,
    },
    /// A service is left with less than `least` servers of weight over 0.
    MinServers {
        /// which service
        service: ServiceKey,
        /// what it is left with
        left: usize,
        /// what it needs
        least: usize,
    },
    /// It deletes what is protected.
    Protect(Key),
    /// It deletes every service that the topology owns.
    Empties(usize),
    /// Others have a route that goes with what it takes away, and cannot be put back.
    Foreign {
        /// what is taken away, or written
        cause: Key,
        /// the route
        route: Key,
        /// Whether the route is lost; otherwise it loses its source address.
        lost: bool,
    },
    /// What is here was applied as another host of the topology.
    Host {
        /// that host
        here: String,
        /// the plan's host
        asked: String,
    },
}

impl Broken {
    /// The rule's word, by which one run may break it.
    pub fn rule(&self) -> &'static str {
        match self {
            Broken::MaxDeletes { .. } => "max-deletes",
            Broken::MaxConnectionsCut { .. } => "max-connections-cut",
            Broken::MinServers { .. } => "min-servers",
            Broken::Protect(_) => "protect",
            Broken::Empties(_) => "empties",
            Broken::Foreign { .. } => "foreign",
            Broken::Host { .. } => "host",
        }
    }
}

/// The words of all rules.
pub const RULES: [&str; 8] =
    ["max-deletes", "max-connections-cut", "min-servers", "protect", "empties", "foreign", "host", MODEL];

/// The word by which a plan goes to the kernel although a model of it refuses it.
pub const MODEL: &str = "model";

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::MaxDeletes { deletes, most } => {
                write!(f, "max-deletes: the plan deletes {deletes} objects, and may delete {most}")
            }
            Broken::MaxConnectionsCut { cut, most } => {
                write!(f, "max-connections-cut: the plan cuts {cut} established connections, and may cut {most}")
            }
            Broken::MinServers { service, left, least } => {
                write!(f, "min-servers: service {service} would keep {left} servers of weight over 0, and must keep {least}")
            }
            Broken::Protect(key) => write!(f, "protect: the plan deletes {key}, which is protected"),
            Broken::Foreign { cause, route, lost } => {
                let fate = if *lost { "would be lost" } else { "would lose its source address" };
                write!(f, "foreign: {route} was made by others, and {fate} with the change of {cause}")
            }
            Broken::Host { here, asked } => {
                write!(f, "host: this is `{here}` by what was applied here, and the plan is for `{asked}`")
            }
            Broken::Empties(services) => {
                write!(f, "empties: the plan deletes every service that the topology owns here: {services}")
            }
        }
    }
}

/// Every rule that a plan breaks.
pub fn broken(plan: &Plan, measure: &Measure<'_>) -> Vec<Broken> {
    let Measure { policy, protected, owned, host, observed, wanted } = measure;
    let mut broken = Vec::new();
    if let Some(here) = host.filter(|here| **here != plan.target.host && !owned.is_empty()) {
        broken.push(Broken::Host { here: here.to_owned(), asked: plan.target.host.clone() });
    }
    let counted = || plan.changes.iter().filter(|planned| !planned.incidental);
    let deleted = || counted().filter(|planned| planned.action == Action::Delete).map(|planned| &planned.change.key);
    if let Some(most) = policy.max_deletes.map(|most| most.of(owned.len(), usize::min)) {
        let count = deleted().count();
        if count > most {
            broken.push(Broken::MaxDeletes { deletes: count, most });
        }
    }
    if let Some(most) = policy.max_connections_cut.filter(|most| plan.summary.connections_cut > u64::from(*most)) {
        broken.push(Broken::MaxConnectionsCut { cut: plan.summary.connections_cut, most });
    }
    if let Some(least) = policy.min_servers {
        broken.extend(too_few_servers(plan, least, observed, wanted));
    }
    let replaced = counted().filter(|planned| matches!(planned.action, Action::Delete | Action::Replace));
    broken
        .extend(replaced.map(|planned| &planned.change.key).filter(|key| protected.contains(key)).cloned().map(Broken::Protect));
    broken.extend(foreign(plan, observed));
    let services = || owned.iter().filter(|key| matches!(key, Key::Service(_)));
    let gone: BTreeSet<&Key> = deleted().collect();
    if services().next().is_some() && services().all(|key| gone.contains(key)) {
        broken.push(Broken::Empties(services().count()));
    }
    broken
}

/// Routes of others that go along and are not put back.
fn foreign(plan: &Plan, observed: &Observed) -> Vec<Broken> {
    let change_of = |key: &Key| plan.changes.binary_search_by(|planned| planned.change.key.cmp(key)).ok();
    let keeps_routes = |device: &str| {
        let accept = SysctlKey::parse(&format!("net/ipv6/conf/{device}/accept_ra"));
        let change = accept.and_then(|key| plan.changes.get(change_of(&Key::Sysctl(key))?));
        matches!(change.and_then(|planned| planned.change.after.as_ref()), Some(Resource::Sysctl(value)) if value.value == "2")
    };
    let mut foreign = Vec::new();
    for planned in plan.changes.iter().filter(|planned| planned.action != Action::Restore) {
        for effect in effects(&planned.change, observed) {
            let (Key::Route(key), Some(Resource::Route(route))) = (&effect.key, &effect.before) else { continue };
            let kept = change_of(&effect.key).is_some() || route.is_from_advertisement(key) && keeps_routes(&key.interface);
            if !kept && !foreign.iter().any(|broken| matches!(broken, Broken::Foreign { route, .. } if *route == effect.key)) {
                foreign.push(Broken::Foreign {
                    cause: planned.change.key.clone(),
                    lost: effect.after.is_none(),
                    route: effect.key,
                });
            }
        }
    }
    foreign
}

/// Services of which servers go or lose their weight. What goes as a whole needs none.
fn too_few_servers(plan: &Plan, least: Amount, observed: &Observed, wanted: &State) -> Vec<Broken> {
    let touched: BTreeSet<ServiceKey> = plan
        .changes
        .iter()
        .filter_map(|planned| match planned.change.key {
            Key::Destination(DestinationKey { service, .. }) => Some(service),
            _ => None,
        })
        .collect();
    let serves =
        |resource: Option<&Resource>| matches!(resource, Some(Resource::Destination(server)) if server.weight.value() > 0);
    let few = touched.into_iter().filter(|service| wanted.objects.contains_key(&Key::Service(*service))).filter_map(|service| {
        let before: Vec<&Key> =
            destinations(observed, service).filter(|(_, server)| serves(Some(server))).map(|(key, _)| key).collect();
        let changed = |key: &Key| plan.changes.binary_search_by(|planned| planned.change.key.cmp(key)).ok();
        let after = |key: &Key| match changed(key).and_then(|at| plan.changes.get(at)) {
            Some(planned) => serves(planned.change.after.as_ref()),
            None => true,
        };
        let kept = before.iter().filter(|key| after(key)).count();
        let come = plan.changes.iter().filter(|planned| {
            matches!(planned.change.key, Key::Destination(key) if key.service == service)
                && serves(planned.change.after.as_ref())
                && !before.contains(&&planned.change.key)
        });
        let left = kept + come.count();
        let least = least.of(before.len(), usize::max);
        // A service that never had so many is not made worse.
        (left < least && left < before.len()).then_some(Broken::MinServers { service, left, least })
    });
    few.collect()
}

impl Amount {
    /// How much it is of `all`; a share is rounded to the safe side: `usize::min` down, `usize::max` up.
    fn of(self, all: usize, side: fn(usize, usize) -> usize) -> usize {
        match self {
            Amount::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Amount::Percent(percent) => {
                let share = all * usize::from(percent);
                side(share / 100, share.div_ceil(100))
            }
        }
    }
}

/// Whether `service.shop` means this object, which has this name in the file.
pub fn means(words: &str, key: &Key, name: &str) -> bool {
    let text = key.to_string();
    let kind = text.split(' ').next().unwrap_or_default();
    words.split_once('.').is_some_and(|(wanted, of)| wanted == kind && of == name)
}
