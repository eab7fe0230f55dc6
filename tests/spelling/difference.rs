//! What `diff` says of random topologies.

use std::collections::BTreeSet;

use lvsform::compile::{Compiled, compile};
use lvsform::difference::hosts;
use lvsform::plan::diff;
use lvsform::plan::{Aim, Plan};
use lvsform::state::{Action, Change, Key, Observed};
use lvsform::topology::Topology;

fn compiled(topology: &Topology, host: &str) -> Compiled {
    topology.hosts.get(host).map(|host| compile(topology, host)).unwrap_or_default()
}

/// What becomes of each service and server. The order of servers is a consequence.
fn of_ipvs(changes: impl IntoIterator<Item = (Key, Action)>) -> BTreeSet<String> {
    let is_one = |key: &Key| matches!(key, Key::Service(_) | Key::Destination(_));
    changes.into_iter().filter(|(key, _)| is_one(key)).map(|(key, action)| format!("{action:?} {key}")).collect()
}

fn planned(plan: &Plan) -> Vec<(Key, Action)> {
    plan.changes.iter().map(|planned| (planned.change.key.clone(), planned.action)).collect()
}

/// Nothing is different between a topology and itself, and between two the difference is what a plan says over a kernel that
/// holds the old one, with what the old one alone had taken away.
#[track_caller]
pub fn holds(old: &Topology, new: &Topology) {
    let (same, _) = hosts(Some(old), Some(old));
    for (name, difference) in &same {
        assert!(difference.is_empty(), "{name}: {:?} {:?}", planned(&difference.plan), difference.remarks);
    }
    let (differences, _) = hosts(Some(old), Some(new));
    for (name, difference) in &differences {
        let (before, after) = (compiled(old, name), compiled(new, name));
        let observed = Observed { state: before.state.clone(), ..Observed::default() };
        let changes: Vec<Change> = diff(&Aim::from(&after.state), &observed, false);
        let gone = before.state.objects.keys().filter(|key| !after.state.objects.contains_key(key));
        let expected = changes.iter().map(|change| (change.key.clone(), change.action()));
        let expected: Vec<(Key, Action)> = expected.chain(gone.map(|key| (key.clone(), Action::Delete))).collect();
        assert_eq!(of_ipvs(planned(&difference.plan)), of_ipvs(expected), "{name}");
    }
}
