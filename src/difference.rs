//! What a change of the files means: two topologies, compiled host by host, and a plan from the one to the other.
//!
//! No kernel is asked, so nothing is said of connections that there may be. Objects are the same where the kernel's key is the
//! same: what only has another name is renamed, not replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::compile::{self, Compiled};
use crate::plan::{Aim, Owned, Plan, Summary, Target};
use crate::provenance::{Elsewhere, Provenance};
use crate::source::Problem;
use crate::state::{KernelFacts, Key, Observed};
use crate::topology::{Host, Ownership, Role, Topology};

/// What becomes of one host.
#[derive(Debug)]
pub struct HostDifference {
    /// Which files have the host.
    pub presence: Presence,
    /// From what it had to what it is to have.
    pub plan: Plan,
    /// What else is to be known.
    pub remarks: Vec<Remark>,
}

/// Which of two topologies has a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Both.
    Both,
    /// The new one alone.
    New,
    /// The old one alone.
    Old,
}

/// What is neither made nor taken away.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remark {
    /// The same object of the kernel has another name.
    Renamed {
        /// `service`
        kind: String,
        /// as it was
        old: String,
        /// as it is
        new: String,
    },
    /// What has this name is another object of the kernel.
    Moved {
        /// `service`
        kind: String,
        /// the name
        name: String,
        /// where it was, in the kernel's words
        from: String,
        /// where it is
        to: String,
    },
    /// A value that the old file set and the new one leaves as it is found.
    Released(Key),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remark::Renamed { kind, old, new } => write!(f, "Renamed: {kind} {old} → {new}."),
            Remark::Moved { kind, name, from, to } => write!(f, "Moved: {kind} {name}: {from} → {to}."),
            Remark::Released(key) => write!(f, "No longer set: {key}; it is given back as it was found."),
        }
    }
}

impl HostDifference {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.plan.is_empty() && self.remarks.is_empty() && self.presence == Presence::Both
    }

    /// How much it is.
    pub fn summary(&self) -> Summary {
        self.plan.summary
    }
}

/// What becomes of each host of either topology, by name; and what could not be compiled, of the old one and the new one.
pub fn hosts(old: Option<&Topology>, new: Option<&Topology>) -> (BTreeMap<String, HostDifference>, [Vec<Problem>; 2]) {
    let names = |topology: Option<&Topology>| topology.into_iter().flat_map(|all| all.hosts.keys().cloned()).collect::<Vec<_>>();
    let all: BTreeSet<String> = names(old).into_iter().chain(names(new)).collect();
    let mut problems = [Vec::new(), Vec::new()];
    let mut differences = BTreeMap::new();
    for name in all {
        let before = compiled(old, &name);
        let after = compiled(new, &name);
        for (side, compiled) in problems.iter_mut().zip([&before, &after]) {
            side.extend(compiled.iter().flat_map(|(_, compiled)| compiled.problems.iter().cloned()));
        }
        differences.insert(name, difference(new, before, after));
    }
    (differences, problems)
}

fn compiled<'t>(topology: Option<&'t Topology>, name: &str) -> Option<(&'t Host, Compiled)> {
    let topology = topology?;
    let host = topology.hosts.get(name)?;
    Some((host, compile::compile(topology, host)))
}

fn difference(new: Option<&Topology>, before: Option<(&Host, Compiled)>, after: Option<(&Host, Compiled)>) -> HostDifference {
    let presence = match (&before, &after) {
        (Some(_), None) => Presence::Old,
        (None, Some(_)) => Presence::New,
        _ => Presence::Both,
    };
    let host = after.as_ref().or(before.as_ref()).map(|(host, _)| *host);
    let (before, after) = (before.map(|(_, it)| it).unwrap_or_default(), after.map(|(_, it)| it).unwrap_or_default());
    let remarks = remarks(&before, &after);
    let name = |key: &Key| before.names.get(key).map(|provenance| provenance.name.clone()).unwrap_or_default();
    let owned: Owned = before.state.objects.keys().map(|key| (key.clone(), (name(key), None))).collect();
    let observed = Observed {
        kernel: KernelFacts { ipvs: true, initial_namespace: true, ..KernelFacts::default() },
        state: before.state,
        ..Observed::default()
    };
    let target = Target {
        topology: new.map(|topology| topology.name.value.clone()).unwrap_or_default(),
        file: String::new(),
        host: host.map(|host| host.name.value.clone()).unwrap_or_default(),
        role: match host.map(|host| host.role) {
            Some(Role::RealServer) => "real-server".to_owned(),
            _ => "director".to_owned(),
        },
    };
    let exclusive = new.is_some_and(|topology| topology.ownership.value == Ownership::Exclusive);
    let aim = Aim::new(&after.state, &owned);
    let mut plan = Plan::make(target, &aim, &after.names, &observed, exclusive, Vec::new(), &Elsewhere::default());
    for planned in &mut plan.changes {
        // Nobody has counted any connections.
        planned.impacts.retain(|impact| impact.connections().is_none());
    }
    HostDifference { presence, plan, remarks }
}

/// Names that go from one object to another, or from one name to another, and values that are let go.
fn remarks(before: &Compiled, after: &Compiled) -> Vec<Remark> {
    let mut remarks: BTreeSet<Remark> = BTreeSet::new();
    for (key, old) in before.names.iter().filter(|(key, _)| is_named(key)) {
        if let Some(new) = after.names.get(key).filter(|new| new.name != old.name) {
            let (kind, ..) = kind_and_identity(key);
            remarks.insert(Remark::Renamed { kind, old: old.name.to_string(), new: new.name.to_string() });
        }
    }
    let (gone, come) = (only(before, after), only(after, before));
    for ((kind, name), from) in &gone {
        // Several objects of one name have no order in which they could have moved.
        if let ([from], Some([to])) = (from.as_slice(), come.get(&(kind.clone(), name.clone())).map(Vec::as_slice)) {
            remarks.insert(Remark::Moved { kind: kind.clone(), name: name.clone(), from: from.clone(), to: to.clone() });
        }
    }
    let released = before.state.objects.keys().filter(|key| key.is_value() && !after.state.objects.contains_key(key));
    remarks.extend(released.cloned().map(Remark::Released));
    remarks.into_iter().collect()
}

/// By kind and name: the objects that one has and the other has not, in the kernel's words.
fn only(one: &Compiled, other: &Compiled) -> BTreeMap<(String, String), Vec<String>> {
    let mut only: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (key, Provenance { name, .. }) in one.names.iter().filter(|(key, _)| is_named(key)) {
        if one.state.objects.contains_key(key) && !other.state.objects.contains_key(key) {
            let (kind, identity) = kind_and_identity(key);
            only.entry((kind, name.to_string())).or_default().push(identity);
        }
    }
    only
}

/// Whether people give it a name of its own.
fn is_named(key: &Key) -> bool {
    matches!(key, Key::Service(_) | Key::Address(_) | Key::Link(_))
}

fn kind_and_identity(key: &Key) -> (String, String) {
    let text = key.to_string();
    text.split_once(' ').map_or_else(|| (text.clone(), String::new()), |(kind, rest)| (kind.to_owned(), rest.to_owned()))
}
