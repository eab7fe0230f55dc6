//! What has moved since it was applied: the ledger against the kernel, and the file against the ledger.
//!
//! It needs no topology file, since the ledger knows what was applied. Nothing here writes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::debt;
use super::ledger::{Debt, Ledger};
use crate::plan::{Aim, diff};
use crate::state::{Absence, Change, Key, Observed, Scope, ServiceKey, State};

/// How a namespace stands to one ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// The topology's name.
    pub topology: String,
    /// The host of it.
    pub host: String,
    /// When it was applied, in seconds since 1970.
    pub applied: u64,
    /// It was applied in another boot, or another namespace of this name.
    pub of_another_life: bool,
    /// From what was applied to what is there, with the user's words.
    pub drifted: Vec<(String, Change)>,
    /// From what was applied to what the file says; none where no file was given.
    pub pending: Vec<Change>,
    /// Servers without weight that are deleted when their connections have ended.
    pub debts: BTreeMap<Key, Debt>,
    /// Until when somebody must confirm what was applied, in seconds since 1970; `None`: nobody has to.
    pub confirm_until: Option<u64>,
}

impl Drift {
    /// How a ledger stands. `lives`: whether it is of this life of the namespace.
    pub fn new(ledger: &Ledger, observed: &Observed, lives: bool) -> Drift {
        Drift {
            topology: ledger.topology.clone(),
            host: ledger.host.clone(),
            applied: ledger.at,
            of_another_life: !lives,
            drifted: drifted(ledger, observed),
            pending: Vec::new(),
            debts: if lives { debt::standing(ledger, observed) } else { BTreeMap::new() },
            confirm_until: ledger.pending.filter(|_| lives),
        }
    }

    /// How a topology stands that was never applied here.
    pub fn never_applied(topology: &str, host: &str) -> Drift {
        Drift {
            topology: topology.to_owned(),
            host: host.to_owned(),
            applied: 0,
            of_another_life: false,
            drifted: Vec::new(),
            pending: Vec::new(),
            debts: BTreeMap::new(),
            confirm_until: None,
        }
    }
}

/// What must be read to see the drift of these ledgers.
pub fn scope(ledgers: &[Ledger]) -> Scope {
    let mut scope = Scope::default();
    for ledger in ledgers {
        let Scope { sysctls, modules, fou, routes: _, destinations, rules, tables } = Scope::of(&ledger.applied());
        scope.sysctls.extend(sysctls);
        scope.modules.extend(modules);
        scope.fou |= fou;
        scope.destinations.extend(destinations);
        scope.rules |= rules;
        scope.tables.extend(tables);
    }
    scope
}

/// What somebody else did to what one topology owns.
pub fn drifted(ledger: &Ledger, observed: &Observed) -> Vec<(String, Change)> {
    let applied = ledger.applied();
    // What is only in the host's first namespace was not written, so it cannot have moved.
    let is_here = |key: &Key| observed.absent.get(key) != Some(&Absence::HostOnly);
    let wanted = State { objects: applied.objects.into_iter().filter(|(key, _)| is_here(key)).collect() };
    let changes = diff(&Aim::from(&wanted), observed, false);
    let name = |key: &Key| ledger.entries.get(key).map(|entry| entry.name.clone()).unwrap_or_default();
    changes.into_iter().filter(|change| change.before != change.after).map(|change| (name(&change.key), change.undo())).collect()
}

/// What applying a file would change in what was applied: `wanted` against the ledger.
pub fn pending(ledger: Option<&Ledger>, wanted: &State) -> Vec<Change> {
    let applied = ledger.map(Ledger::applied).unwrap_or_default();
    let leaving = ledger.iter().flat_map(|ledger| &ledger.entries).map(|(key, entry)| (key.clone(), entry.name.as_str().into()));
    let aim = Aim { leaving: leaving.collect(), ..Aim::from(wanted) };
    let mut changes = diff(&aim, &Observed { state: applied, ..Observed::default() }, false);
    changes.retain(|change| !matches!(change.key, Key::Module(_)) && change.before != change.after);
    changes
}

/// Services on the addresses and marks of these ledgers, and servers in their services, that none of them has.
pub fn foreign(ledgers: &[Ledger], observed: &Observed) -> Vec<Key> {
    let owned: BTreeSet<&Key> = ledgers.iter().flat_map(|ledger| ledger.entries.keys()).collect();
    let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
    let mut marks: BTreeSet<u32> = BTreeSet::new();
    for key in &owned {
        match key {
            Key::Service(ServiceKey::Tuple { address, .. }) => _ = addresses.insert(*address),
            Key::Service(ServiceKey::Mark { mark, .. }) => _ = marks.insert(*mark),
            _ => {}
        }
    }
    let in_scope = |key: &&Key| match key {
        Key::Service(ServiceKey::Tuple { address, .. }) => addresses.contains(address),
        Key::Service(ServiceKey::Mark { mark, .. }) => marks.contains(mark),
        Key::Destination(server) => owned.contains(&Key::Service(server.service)),
        _ => false,
    };
    observed.state.objects.keys().filter(|key| !owned.contains(key)).filter(in_scope).cloned().collect()
}
