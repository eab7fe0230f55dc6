//! Taking back what a run did, three-way, from what is there now.
//!
//! Nothing is undone by replaying steps backwards: the kernel is read, each object that the run touched is compared with
//! what it was before and with every value that the run gave it, and a plan is made towards what it was before. All that
//! goes wrong on the way is collected.

use std::collections::{BTreeMap, BTreeSet};

use super::journal::Intent;
use super::same;
use crate::kernel::{Kernel, Outcome, ReadError, Refusal};
use crate::plan::order;
use crate::state::effects::taken_along;
use crate::state::{Change, Key, Observed, Order, Resource, Scope, ServiceKey, State};

/// An object that is not as it was before the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    /// Which.
    pub key: Key,
    /// What was there before.
    pub before: Option<Resource>,
    /// What is there now.
    pub now: Option<Resource>,
    /// Why it was not put back.
    pub why: Why,
}

/// Why an object was not put back.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// Somebody else changed it since; it is theirs now.
    SomebodyElse,
    /// Others have put something into it that would go with it.
    Children(Vec<Key>),
    /// The kernel refused to put it back.
    Refused(Refusal),
    /// The kernel acknowledged, and still holds something else.
    NotHeld,
}

/// One object that the run touched: what it was, and every value on its way.
struct Touched {
    before: Option<Resource>,
    /// It came with something that this run made, a device or a module, and may go with it again.
    came_along: bool,
    /// What this run touched took it along or moved it: whatever it is now, nobody wrote it.
    follows: bool,
    values: Vec<Option<Resource>>,
}

/// Two rounds are enough where the kernel answers: the second takes up what the first one's answers made possible.
const ROUNDS: usize = 2;

/// Whose an object is, beside what can be seen of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Whose {
    /// Somebody else wrote it: the kernel's answer said so.
    pub not_ours: BTreeSet<Key>,
    /// What the operator has decided: ours, whatever it is now (true), or left as it is and no more spoken of.
    pub decided: BTreeMap<Key, bool>,
}

impl Whose {
    fn is_decided(&self, key: &Key) -> bool {
        self.decided.get(key) == Some(&true)
    }
}

/// Puts back what the first `begun` phases of `intent` did. What remains otherwise is returned.
pub(super) fn undo(
    kernel: &mut dyn Kernel,
    intent: &Intent,
    begun: usize,
    whose: &Whose,
    scope: &Scope,
) -> Result<Vec<Left>, ReadError> {
    let touched = touched(intent, begun, whose);
    let mut refusals: BTreeMap<Key, Refusal> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let live = kernel.read(scope)?;
        let (changes, _) = towards_before(&touched, whose, &live);
        if changes.is_empty() {
            break;
        }
        for phase in order(&changes, &live) {
            for (step, outcome) in phase.steps.iter().zip(kernel.run(&phase)) {
                if let Outcome::Refused(refusal) = outcome {
                    refusals.insert(step.key.clone(), refusal);
                }
            }
        }
    }
    let live = kernel.read(scope)?;
    let (remaining, mut left) = towards_before(&touched, whose, &live);
    left.extend(remaining.into_iter().map(|change| Left {
        why: refusals.remove(&change.key).map_or(Why::NotHeld, Why::Refused),
        key: change.key,
        before: change.after,
        now: change.before,
    }));
    Ok(left)
}

/// Everything that the steps changed, and everything that the kernel changed by itself with them.
fn touched(intent: &Intent, begun: usize, whose: &Whose) -> BTreeMap<Key, Touched> {
    let mut touched: BTreeMap<Key, Touched> = BTreeMap::new();
    for (at, (phase, along)) in intent.phases.iter().zip(&intent.along).enumerate() {
        // A loaded module stays: unloading it would take more with it than the run brought.
        let steps = phase.steps.iter().filter(|step| !matches!(step.key, Key::Module(_)));
        let steps = steps.filter(|step| at < begun || whose.is_decided(&step.key));
        let along = if at < begun { along.as_slice() } else { &[] };
        for (change, follows) in steps.map(|step| (step, false)).chain(along.iter().map(|change| (change, true))) {
            let entry = touched.entry(change.key.clone()).or_insert_with(|| Touched {
                before: change.before.clone().map(Resource::as_found),
                came_along: intent.new_sysctls.contains(&change.key),
                follows,
                values: Vec::new(),
            });
            entry.values.push(change.after.clone());
        }
        for step in phase.steps.iter().filter(|_| at < begun) {
            if let Key::Destination(key) = &step.key
                && let Some(order) = intent.orders.objects.get(&Key::Order(key.service))
            {
                let order = Touched { before: Some(order.clone()), came_along: false, follows: true, values: Vec::new() };
                touched.entry(Key::Order(key.service)).or_insert(order);
            }
        }
    }
    touched.retain(|key, _| whose.decided.get(key) != Some(&false));
    touched
}

/// What is as the run was to leave it, although no mark says that it came so far: somebody else made it so, or the end of
/// the marks was lost. It is not touched, and it is not called clean.
pub(super) fn unmarked(
    kernel: &mut dyn Kernel,
    intent: &Intent,
    begun: usize,
    whose: &Whose,
    scope: &Scope,
) -> Result<Vec<Left>, ReadError> {
    let (marked, all) = (touched(intent, begun, whose), touched(intent, intent.phases.len(), whose));
    let live = kernel.read(scope)?.state;
    let looks_done = |(key, Touched { before, follows, values, .. }): &(Key, Touched)| {
        let now = live.objects.get(key);
        // A value whose module or device was not there has one by now, whoever brought that.
        let unknown = key.is_value() && before.is_none();
        !unknown && !follows && !same(before.as_ref(), now) && values.iter().any(|value| same(value.as_ref(), now))
    };
    let left = all.into_iter().filter(|(key, _)| !marked.contains_key(key)).filter(looks_done).map(|(key, touched)| Left {
        now: live.objects.get(&key).cloned(),
        key,
        before: touched.before,
        why: Why::SomebodyElse,
    });
    Ok(left.collect())
}

/// What leads back to what was there before, and what cannot be led back because it is somebody else's.
fn towards_before(touched: &BTreeMap<Key, Touched>, whose: &Whose, observed: &Observed) -> (Vec<Change>, Vec<Left>) {
    let live = &observed.state;
    let mut changes: Vec<Change> = Vec::new();
    let mut left = Vec::new();
    for (key, Touched { before, came_along, follows, values }) in touched {
        let now = live.objects.get(key);
        if let (Key::Order(service), Some(Resource::Order(before))) = (key, before) {
            changes.extend(seats(*service, before, &changes, live));
            continue;
        }
        if same(before.as_ref(), now) || (*came_along && now.is_none()) {
            continue;
        }
        // Nothing is put into what is somebody else's by now.
        let inside = container(key).filter(|_| now.is_none());
        let in_theirs = inside.is_some_and(|container| left.iter().any(|left: &Left| left.key == container));
        let mut leave = |why| left.push(Left { key: key.clone(), before: before.clone(), now: now.cloned(), why });
        let theirs = !(*follows || is_ours(key, values, now, whose)) || whose.not_ours.contains(key) && !whose.is_decided(key);
        if theirs || in_theirs {
            leave(Why::SomebodyElse);
            continue;
        }
        let is_taken_away = match (now, before) {
            (Some(now), Some(before)) => !now.changes_in_place(before),
            _ => before.is_none(),
        };
        if is_taken_away {
            let children = foreign_children(key, touched, whose, observed);
            if !children.is_empty() {
                leave(Why::Children(children));
                continue;
            }
        }
        changes.push(Change { key: key.clone(), before: now.cloned(), after: before.clone() });
    }
    (changes, left)
}

/// What puts the servers of a hash scheduler back on their seats, as far as they are there or `changes` bring them back;
/// servers of others keep theirs. Keys sort servers before their order, so `changes` has them already.
fn seats(service: ServiceKey, before: &Order, changes: &[Change], live: &State) -> Option<Change> {
    let Some(Resource::Order(now)) = live.objects.get(&Key::Order(service)) else { return None };
    let mut there = now.servers.clone();
    there.extend(changes.iter().filter_map(|change| match &change.key {
        Key::Destination(key) if key.service == service && change.after.is_some() => Some(key.id()),
        _ => None,
    }));
    let (before, now) = (before.among(&there), now.among(&before.servers));
    let order = |order| Some(Resource::Order(order));
    (before != now).then(|| Change { key: Key::Order(service), before: order(now), after: order(before) })
}

/// Whether what is there now is what this run made of it.
fn is_ours(key: &Key, values: &[Option<Resource>], now: Option<&Resource>, whose: &Whose) -> bool {
    whose.is_decided(key) || !whose.not_ours.contains(key) && values.iter().any(|value| same(value.as_ref(), now))
}

/// What would go with an object and is not of this run, or no longer.
fn foreign_children(key: &Key, touched: &BTreeMap<Key, Touched>, whose: &Whose, observed: &Observed) -> Vec<Key> {
    let is_foreign = |Change { key, before, .. }: &Change| {
        touched.get(key).is_none_or(|Touched { values, follows, .. }| !follows && !is_ours(key, values, before.as_ref(), whose))
    };
    taken_along(key, observed).filter(is_foreign).map(|effect| effect.key).collect()
}

/// What an object is in.
fn container(key: &Key) -> Option<Key> {
    match key {
        Key::Destination(server) => Some(Key::Service(server.service)),
        Key::Address(address) => Some(Key::Link(address.interface.clone())),
        _ => None,
    }
}
