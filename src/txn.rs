//! Run a plan, or leave the kernel as it was.
//!
//! Phases go out one after the other; the answers of one are read before the next. At the first phase that is refused or
//! not answered, everything that this run did is taken back, three-way: what is as it was before needs nothing, what is as
//! this run left it goes back, and anything else is somebody else's since, and is left alone and named. At the end the
//! kernel is read again and compared. Nothing here prints, and nothing asks.

pub mod lock;
mod undo;

use std::collections::BTreeSet;

use crate::kernel::{Kernel, Outcome, ReadError, Refusal};
use crate::plan::{Phase, diff};
use crate::state::{Change, Key, Observed, Resource, Scope, State};
pub use undo::{Left, Why};

/// What a run is to reach, and from where.
#[derive(Debug)]
pub struct Run<'a> {
    /// What the kernel must hold.
    pub wanted: &'a State,
    /// `ownership ipvs="exclusive"`
    pub exclusive: bool,
    /// What the plan was made from.
    pub observed: &'a Observed,
    /// The plan's phases.
    pub phases: Vec<Phase>,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// The kernel was read back and holds what was wanted.
    Applied,
    /// It failed, and the kernel is as it was before.
    RolledBack(Failure),
    /// It failed, and these objects are not as they were before.
    Incomplete(Failure, Vec<Left>),
    /// It failed, and the kernel could not be read, so nobody knows what is left.
    Unreadable(Failure, ReadError),
}

/// What went wrong first.
#[derive(Debug)]
pub enum Failure {
    /// The kernel refused these steps of one phase.
    Refused(Vec<(Change, Refusal)>),
    /// The kernel did not answer, and reading it shows that these steps did not happen.
    NotDone(Vec<Change>),
    /// The kernel acknowledged everything, and still differs from what was wanted in this.
    NotHeld(Vec<Change>),
    /// The kernel could not be read in between.
    Reading(ReadError),
}

/// Carries out a plan.
pub fn run(kernel: &mut dyn Kernel, mut run: Run<'_>) -> Ended {
    let mut scope = Scope::of(run.wanted);
    scope.sysctls.extend(run.phases.iter().flat_map(|phase| &phase.steps).filter_map(|step| match &step.key {
        Key::Sysctl(key) => Some(key.clone()),
        _ => None,
    }));
    let mut begun = 0;
    let mut not_ours = BTreeSet::new();
    let failure = loop {
        let Some(phase) = run.phases.get_mut(begun) else { break verify(kernel, &run, &scope) };
        if let Err(error) = complete(kernel, phase, &scope) {
            break Some(Failure::Reading(error));
        }
        begun += 1;
        let outcomes = kernel.run(phase);
        if let Some(failure) = judge(kernel, phase, outcomes, &scope, &mut not_ours) {
            break Some(failure);
        }
    };
    let Some(failure) = failure else { return Ended::Applied };
    match undo::undo(kernel, run.observed, &run.phases[..begun], &not_ours, &scope) {
        Ok(left) if left.is_empty() => Ended::RolledBack(failure),
        Ok(left) => Ended::Incomplete(failure, left),
        Err(error) => Ended::Unreadable(failure, error),
    }
}

/// Sysctls and timeouts that did not exist when the plan was made, because their module or device came after, have values
/// by now: they are read before they are written, or there would be nothing to go back to.
fn complete(kernel: &mut dyn Kernel, phase: &mut Phase, scope: &Scope) -> Result<(), ReadError> {
    let open = |step: &Change| matches!(step.key, Key::Sysctl(_) | Key::Timeouts) && step.before.is_none();
    if !phase.steps.iter().any(open) {
        return Ok(());
    }
    let live = kernel.read(scope)?.state;
    for step in phase.steps.iter_mut().filter(|step| open(step)) {
        step.before = live.objects.get(&step.key).cloned();
    }
    Ok(())
}

/// What the answers to a phase mean. Refusals that prove another writer mark their objects as not ours.
fn judge(
    kernel: &mut dyn Kernel,
    phase: &Phase,
    outcomes: Vec<Outcome>,
    scope: &Scope,
    not_ours: &mut BTreeSet<Key>,
) -> Option<Failure> {
    let mut refused = Vec::new();
    let mut unknown = Vec::new();
    for (step, outcome) in phase.steps.iter().zip(outcomes) {
        match outcome {
            Outcome::Done => {}
            Outcome::Refused(refusal) => {
                if refusal.proves_another_writer(step) {
                    not_ours.insert(step.key.clone());
                }
                refused.push((step.clone(), refusal));
            }
            Outcome::Unknown => unknown.push(step),
        }
    }
    if !refused.is_empty() {
        return Some(Failure::Refused(refused));
    }
    if unknown.is_empty() {
        return None;
    }
    let live = match kernel.read(scope) {
        Ok(live) => live.state,
        Err(error) => return Some(Failure::Reading(error)),
    };
    let not_done: Vec<Change> =
        unknown.into_iter().filter(|step| !same(step.after.as_ref(), live.objects.get(&step.key))).cloned().collect();
    (!not_done.is_empty()).then_some(Failure::NotDone(not_done))
}

/// Reads the kernel back. Only what is wanted or was touched counts: what others do beside us is theirs.
fn verify(kernel: &mut dyn Kernel, run: &Run<'_>, scope: &Scope) -> Option<Failure> {
    let live = match kernel.read(scope) {
        Ok(live) => live,
        Err(error) => return Some(Failure::Reading(error)),
    };
    let mut differences = diff(run.wanted, &live, run.exclusive);
    if !differences.is_empty() {
        let touched: BTreeSet<&Key> = run.phases.iter().flat_map(|phase| &phase.steps).map(|step| &step.key).collect();
        differences.retain(|change| change.after.is_some() || touched.contains(&change.key));
    }
    (!differences.is_empty()).then_some(Failure::NotHeld(differences))
}

/// Whether an object is as expected; what the expectation leaves open may be anything.
fn same(expected: Option<&Resource>, live: Option<&Resource>) -> bool {
    match (expected, live) {
        (None, None) => true,
        (Some(expected), Some(live)) => expected == live || expected.clone().over(live).differences(live).is_empty(),
        _ => false,
    }
}
