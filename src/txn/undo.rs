//! Taking back what a run did, three-way, from what is there now.
//!
//! Nothing is undone by replaying steps backwards: the kernel is read, each object that the run touched is compared with
//! what it was before and with every value that the run gave it, and a plan is made towards what it was before. All that
//! goes wrong on the way is collected.

use std::collections::{BTreeMap, BTreeSet};

use super::same;
use crate::kernel::{Kernel, Outcome, ReadError, Refusal};
use crate::plan::{Phase, order};
use crate::state::effects::effects;
use crate::state::{Change, Key, Observed, Resource, Scope, ServiceKey, State};

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
struct Touched<'a> {
    before: Option<&'a Resource>,
    /// It came with something that this run made, a device or a module, and may go with it again.
    came_along: bool,
    /// It has no writer of its own: what this run touched took it along or moved it.
    follows: bool,
    values: Vec<Option<&'a Resource>>,
}

/// Two rounds are enough where the kernel answers: the second takes up what the first one's answers made possible.
const ROUNDS: usize = 2;

/// Puts back what `begun` did to a kernel that was `observed` before. What remains otherwise is returned.
pub(super) fn undo(
    kernel: &mut dyn Kernel,
    observed: &Observed,
    begun: &[Phase],
    not_ours: &BTreeSet<Key>,
    scope: &Scope,
) -> Result<Vec<Left>, ReadError> {
    let touched = touched(observed, begun);
    let mut refusals: BTreeMap<Key, Refusal> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let live = kernel.read(scope)?;
        let (changes, _) = towards_before(&touched, not_ours, &live.state);
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
    let (remaining, mut left) = towards_before(&touched, not_ours, &live.state);
    left.extend(remaining.into_iter().map(|change| Left {
        why: refusals.remove(&change.key).map_or(Why::NotHeld, Why::Refused),
        key: change.key,
        before: change.after,
        now: change.before,
    }));
    Ok(left)
}

fn touched<'a>(observed: &'a Observed, begun: &'a [Phase]) -> BTreeMap<Key, Touched<'a>> {
    let mut touched: BTreeMap<Key, Touched<'a>> = BTreeMap::new();
    for step in begun.iter().flat_map(|phase| &phase.steps) {
        // A loaded module stays: unloading it would take more with it than the run brought.
        if matches!(step.key, Key::Module(_)) {
            continue;
        }
        let entry = touched.entry(step.key.clone()).or_insert_with(|| Touched {
            before: step.before.as_ref(),
            came_along: matches!(step.key, Key::Sysctl(_)) && !observed.state.objects.contains_key(&step.key),
            follows: false,
            values: Vec::new(),
        });
        entry.values.push(step.after.as_ref());
        // What the kernel took along or moved by itself, wanted or not, or will when this step is taken back.
        for effect in effects(step, observed).into_iter().chain(effects(&step.undo(), observed)) {
            if let Some((key, before)) = observed.state.objects.get_key_value(&effect.key) {
                let moved = Touched { before: Some(before), came_along: false, follows: true, values: Vec::new() };
                touched.entry(key.clone()).or_insert(moved);
            }
        }
        // Whoever touches a server of a hash scheduler may have moved its seat.
        if let Key::Destination(key) = &step.key
            && let Some(order) = observed.state.objects.get(&Key::Order(key.service))
        {
            let order = Touched { before: Some(order), came_along: false, follows: true, values: Vec::new() };
            touched.entry(Key::Order(key.service)).or_insert(order);
        }
    }
    touched
}

/// What leads back to what was there before, and what cannot be led back because it is somebody else's.
fn towards_before(touched: &BTreeMap<Key, Touched<'_>>, not_ours: &BTreeSet<Key>, live: &State) -> (Vec<Change>, Vec<Left>) {
    let mut changes = Vec::new();
    let mut left = Vec::new();
    for (key, Touched { before, came_along, follows, values }) in touched {
        let now = live.objects.get(key);
        if same(*before, now) || (*came_along && now.is_none()) {
            continue;
        }
        let mut leave = |why| left.push(Left { key: key.clone(), before: before.cloned(), now: now.cloned(), why });
        let ours = *follows || values.iter().any(|value| same(*value, now));
        if !ours || not_ours.contains(key) {
            leave(Why::SomebodyElse);
            continue;
        }
        if before.is_none() {
            let children = foreign_children(key, touched, live);
            if !children.is_empty() {
                leave(Why::Children(children));
                continue;
            }
        }
        changes.push(Change { key: key.clone(), before: now.cloned(), after: before.cloned() });
    }
    (changes, left)
}

/// What would go with an object and is not of this run.
fn foreign_children(key: &Key, touched: &BTreeMap<Key, Touched<'_>>, live: &State) -> Vec<Key> {
    let belongs: Box<dyn Fn(&Key) -> bool> = match key {
        Key::Service(service) => Box::new(|other| is_server_of(other, service)),
        Key::Link(name) => {
            Box::new(move |other| matches!(other, Key::Address(address) if address.interface == *name && !by_kernel(other)))
        }
        _ => return Vec::new(),
    };
    live.objects.keys().filter(|other| belongs(other) && !touched.contains_key(*other)).cloned().collect()
}

fn is_server_of(key: &Key, service: &ServiceKey) -> bool {
    matches!(key, Key::Destination(destination) if destination.service == *service)
}

/// Link-local addresses come with a device that is up.
fn by_kernel(key: &Key) -> bool {
    matches!(key, Key::Address(address) if matches!(address.address, std::net::IpAddr::V6(address) if address.is_unicast_link_local()))
}
