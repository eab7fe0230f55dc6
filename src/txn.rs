//! Run a plan, or leave the kernel as it was.
//!
//! What a run may do is on the disk before its first message ([`journal`]). Phases go out one after the other; the answers
//! of one are read before the next. At the first phase that is refused or not answered, and when the run is interrupted,
//! everything that it did is taken back, three-way: what is as it was before needs nothing, what is as this run left it
//! goes back, and anything else is somebody else's since, and is left alone and named. At the end the kernel is read again
//! and compared; then the new ledger takes the old one's place, which is the commit. A run that dies is taken back by the
//! next one ([`recover`]). Nothing here prints, and nothing asks.

pub mod debt;
pub mod drift;
pub mod former;
pub mod guard;
pub mod history;
pub mod journal;
pub mod ledger;
pub mod lock;
pub mod preflight;
pub mod record;
pub mod store;
mod undo;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ipnet::IpNet;
use nix::errno::Errno;

use crate::kernel::{Kernel, Outcome, ReadError, Refusal};
use crate::plan::{Aim, Phase, diff};
use crate::state::{Change, Key, Observed, Resource, Scope};
use former::Former;
use journal::{Intent, Journal, Unfinished};
use ledger::Ledger;
use store::{Store, StoreError};
use undo::Whose;
pub use undo::{Left, Why};

/// What a run is to reach, and from where.
pub struct Run<'a> {
    /// What the kernel must hold, and what no longer.
    pub aim: &'a Aim<'a>,
    /// `ownership ipvs="exclusive"`
    pub exclusive: bool,
    /// What the plan was made from.
    pub observed: &'a Observed,
    /// The plan's phases.
    pub phases: Vec<Phase>,
    /// What is kept of it; without, a run that dies is not taken back by anybody.
    pub records: Option<Records<'a>>,
    /// Looked at between two phases.
    pub signs: Signs<'a>,
}

/// What is kept of a run.
#[derive(Debug)]
pub struct Records<'a> {
    /// Where.
    pub store: &'a mut Store,
    /// Its number.
    pub transaction: String,
    /// Whose it is.
    pub topology: String,
    /// The host of it.
    pub host: String,
    /// Where the kernel is.
    pub instance: ledger::Instance,
    /// What is owned afterwards; `None`: nothing, the topology ends.
    pub next: Option<Ledger>,
    /// What `revert` would go back to; `None`: what it would go back to now.
    pub former: Option<Former>,
}

/// What a run asks its surroundings.
#[derive(Clone, Copy)]
pub struct Signs<'a> {
    /// Whether somebody wants it to end.
    pub interrupted: &'a dyn Fn() -> bool,
    /// Whether the namespace's name still leads to it. One that was deleted goes on acknowledging.
    pub still_here: &'a dyn Fn() -> bool,
}

impl Default for Signs<'_> {
    fn default() -> Self {
        Signs { interrupted: &|| false, still_here: &|| true }
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// The kernel was read back and holds what was wanted.
    Applied,
    /// It could not be written down, so it did not begin.
    NotBegun(StoreError),
    /// It failed, and the kernel is as it was before.
    RolledBack(Failure),
    /// It failed, and these objects are not as they were before.
    Incomplete(Failure, Vec<Left>),
    /// It failed, and the kernel could not be read, so nobody knows what is left.
    Unreadable(Failure, ReadError),
    /// It ended so, but the disk does not confirm it, or did not let its records be tidied. The journal stays where it matters:
    /// the next run tidies.
    Untidy(Box<Ended>, StoreError),
}

impl Ended {
    /// How it ended, and what was not tidied.
    pub fn apart(&self) -> (&Ended, Option<&StoreError>) {
        match self {
            Ended::Untidy(ended, error) => (ended, Some(error)),
            ended => (ended, None),
        }
    }

    /// How it ended, in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Ended::Applied => "done",
            Ended::NotBegun(_) => "not begun",
            Ended::RolledBack(_) => "rolled back",
            Ended::Incomplete(..) | Ended::Unreadable(..) => "incomplete",
            Ended::Untidy(ended, _) => ended.word(),
        }
    }
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
    /// The run could not be written down in between.
    Storing(StoreError),
    /// A signal asked it to end.
    Interrupted,
    /// The namespace was deleted, or another one has its name.
    NamespaceGone,
    /// A mistake of this program; its words.
    Panicked(String),
}

/// Carries out a plan.
pub fn run(kernel: &mut dyn Kernel, run: Run<'_>) -> Ended {
    let Run { aim, exclusive, observed, phases, records, signs } = run;
    let mut scope = aim.scope();
    scope.sysctls.extend(phases.iter().flat_map(|phase| &phase.steps).filter_map(|step| match &step.key {
        Key::Sysctl(key) => Some(key.clone()),
        _ => None,
    }));
    let mut intent = Intent::new(phases, observed);
    let mut diary = match records.map(|records| Diary::begin(records, &mut intent, &scope)).transpose() {
        Ok(diary) => diary,
        Err(error) => return Ended::NotBegun(error),
    };
    let mut begun = 0;
    let mut whose = Whose::default();
    let forwards = catch_unwind(AssertUnwindSafe(|| {
        forwards(kernel, &mut intent, &mut begun, &mut whose, diary.as_mut(), &scope, signs)?;
        verify(kernel, aim, exclusive, &intent, &scope)?;
        if !(signs.still_here)() {
            return Err(Failure::NamespaceGone);
        }
        diary.as_mut().map_or(Ok(()), Diary::commit).map_err(Failure::Storing)
    }));
    let failure = match forwards {
        Ok(Ok(())) => return close(diary, Ended::Applied),
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::Panicked(words(panic.as_ref())),
    };
    // Whatever was answered, the new ledger may have its place: then the run is done, nothing may be undone, and the next run
    // finds the journal.
    if diary.as_ref().is_some_and(|diary| diary.committing && matches!(diary.journal.is_committed(diary.store), Ok(true))) {
        return Ended::Applied;
    }
    let undone = undo::undo(kernel, &intent, begun, &whose, &scope);
    match undone {
        Ok(left) if left.is_empty() => close(diary, Ended::RolledBack(failure)),
        Ok(left) => {
            if let Some(diary) = diary.filter(|diary| !diary.noted) {
                // What is somebody else's could not be written down. Without any mark a recovery touches nothing, and names
                // all that looks like this run's.
                let _ = diary.store.remove(store::Record::Marks);
            }
            Ended::Incomplete(failure, left)
        }
        Err(error) => Ended::Unreadable(failure, error),
    }
}

/// Forgets a run that ended so, unless its journal must stay.
fn close(diary: Option<Diary<'_>>, ended: Ended) -> Ended {
    let Some(Diary { store, unsure, .. }) = diary else { return ended };
    match unsure.or_else(|| journal::forget(store).err()) {
        None => ended,
        Some(error) => Ended::Untidy(Box::new(ended), error),
    }
}

/// How a run that had not ended was taken up.
#[derive(Debug)]
pub enum Recovered {
    /// It was done; only its records were left to tidy.
    WasDone,
    /// Its kernel objects went with the boot or the namespace.
    WasGone,
    /// Everything is as it was before.
    TakenBack,
    /// These objects are not.
    Incomplete(Vec<Left>),
}

/// Takes back a run that did not end. `ours` and `theirs` decide what is neither as it was nor as the run left it.
pub fn recover(
    kernel: &mut dyn Kernel,
    store: &mut Store,
    unfinished: &Unfinished,
    instance: &ledger::Instance,
) -> Result<Recovered, RecoverError> {
    let journal = &unfinished.journal;
    let recovered = if unfinished.committed {
        if let Err(error) = journal.keep_former(store) {
            return Err(RecoverError::Untidy(Recovered::WasDone, error));
        }
        Recovered::WasDone
    } else if journal.instance != *instance {
        Recovered::WasGone
    } else {
        let left = take_back(kernel, unfinished).map_err(RecoverError::Reading)?;
        if !left.is_empty() {
            return Ok(Recovered::Incomplete(left));
        }
        Recovered::TakenBack
    };
    match journal::forget(store) {
        Ok(()) => Ok(recovered),
        Err(error) => Err(RecoverError::Untidy(recovered, error)),
    }
}

/// Takes back what a run did that did not end, whatever its records say beside: what is not as it was before it.
pub fn take_back(kernel: &mut dyn Kernel, unfinished: &Unfinished) -> Result<Vec<Left>, ReadError> {
    let Unfinished { journal, begun, not_ours, decided, committed: _ } = unfinished;
    let whose = Whose { not_ours: not_ours.clone(), decided: decided.clone() };
    let (intent, scope) = (&journal.intent, journal.scope());
    let mut left = undo::undo(kernel, intent, *begun, &whose, &scope)?;
    left.extend(undo::unmarked(kernel, intent, *begun, &whose, &scope)?);
    Ok(left)
}

/// Why a run could not be taken up.
#[derive(Debug)]
pub enum RecoverError {
    /// The kernel could not be read.
    Reading(ReadError),
    /// It was taken up so, but its records could not be tidied.
    Untidy(Recovered, StoreError),
}

/// A run's records while it goes on.
struct Diary<'a> {
    store: &'a mut Store,
    journal: Journal,
    next: Option<Ledger>,
    /// What was found only on the way of what was there before.
    found: Vec<(Key, Resource)>,
    /// All that turned out to be somebody else's is written down.
    noted: bool,
    /// The new ledger may have its place already.
    committing: bool,
    /// What went wrong after the commit, so that the journal must stay.
    unsure: Option<StoreError>,
}

impl<'a> Diary<'a> {
    /// Writes everything down before anything is sent.
    fn begin(records: Records<'a>, intent: &mut Intent, scope: &Scope) -> Result<Diary<'a>, StoreError> {
        let Records { store, transaction, topology, host, instance, next, former } = records;
        let sysctls = scope.sysctls.iter().map(|key| Key::Sysctl(key.clone()));
        let sysctls = sysctls.chain(scope.modules.iter().map(|name| Key::Module(name.clone()))).collect();
        let ends = next.is_none();
        let mut journal = Journal { transaction, topology, host, instance, ends, sysctls, intent: std::mem::take(intent) };
        let begun = journal.begin(store, next.as_ref(), former.as_ref());
        *intent = std::mem::take(&mut journal.intent);
        begun?;
        Ok(Diary { store, journal, next, found: Vec::new(), noted: true, committing: false, unsure: None })
    }

    fn begun(&mut self, phase: usize, found: Vec<(Key, Resource)>) -> Result<(), StoreError> {
        self.found.extend(found.iter().cloned());
        self.journal.mark_begun(self.store, phase, found)
    }

    fn not_ours(&mut self, keys: &BTreeSet<Key>) -> Result<(), StoreError> {
        let noted = self.journal.mark_not_ours(self.store, keys.iter().cloned().collect());
        self.noted = noted.is_ok();
        noted
    }

    /// The ledger learns what was found on the way, and takes its place.
    fn commit(&mut self) -> Result<(), StoreError> {
        if let (Some(next), false) = (&mut self.next, self.found.is_empty()) {
            for (key, value) in self.found.drain(..) {
                if let Some(entry) = next.entries.get_mut(&key) {
                    entry.original.get_or_insert(value);
                }
            }
            self.store.put(store::Record::NextLedger, &next.encode())?;
        }
        self.committing = true;
        self.unsure = self.journal.commit(self.store)?;
        Ok(())
    }
}

/// Sends the phases, one after the other.
fn forwards(
    kernel: &mut dyn Kernel,
    intent: &mut Intent,
    begun: &mut usize,
    whose: &mut Whose,
    mut diary: Option<&mut Diary<'_>>,
    scope: &Scope,
    signs: Signs<'_>,
) -> Result<(), Failure> {
    for (at, phase) in intent.phases.iter_mut().enumerate() {
        if (signs.interrupted)() {
            return Err(Failure::Interrupted);
        }
        let found = complete(kernel, phase, scope).map_err(Failure::Reading)?;
        if let Some(diary) = &mut diary {
            diary.begun(at, found).map_err(Failure::Storing)?;
        }
        *begun += 1;
        let outcomes = kernel.run(phase);
        let judged = judge(kernel, phase, outcomes, scope, &mut whose.not_ours);
        if let (Some(diary), false) = (&mut diary, whose.not_ours.is_empty()) {
            diary.not_ours(&whose.not_ours).map_err(Failure::Storing)?;
        }
        judged?;
    }
    if (signs.interrupted)() { Err(Failure::Interrupted) } else { Ok(()) }
}

/// Sysctls and timeouts that did not exist when the plan was made, because their module or device came after, have values
/// by now: they are read before they are written, or there would be nothing to go back to.
fn complete(kernel: &mut dyn Kernel, phase: &mut Phase, scope: &Scope) -> Result<Vec<(Key, Resource)>, ReadError> {
    let open = |step: &Change| matches!(step.key, Key::Sysctl(_) | Key::Timeouts) && step.before.is_none();
    if !phase.steps.iter().any(open) {
        return Ok(Vec::new());
    }
    let live = kernel.read(scope)?.state;
    let open = phase.steps.iter().filter(|step| open(step));
    let found: Vec<(Key, Resource)> =
        open.filter_map(|step| live.objects.get_key_value(&step.key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    journal::fill_in(phase, found.clone());
    Ok(found)
}

/// What the answers to a phase mean. Refusals that prove another writer mark their objects as not ours.
fn judge(
    kernel: &mut dyn Kernel,
    phase: &Phase,
    outcomes: Vec<Outcome>,
    scope: &Scope,
    not_ours: &mut BTreeSet<Key>,
) -> Result<(), Failure> {
    let mut refused = Vec::new();
    let mut unknown = Vec::new();
    // What this phase was to take away and may still be there: that it is in the way of what replaces it proves nothing.
    let mut in_the_way: BTreeSet<&Key> = BTreeSet::new();
    for (step, outcome) in phase.steps.iter().zip(outcomes) {
        if step.after.is_none() && outcome != Outcome::Done {
            in_the_way.insert(&step.key);
        }
        match outcome {
            Outcome::Done => {}
            Outcome::Refused(refusal) if refusal.errno == Errno::EEXIST as i32 && in_the_way.contains(&step.key) => {
                unknown.push(step);
            }
            Outcome::Refused(refusal) if refusal.errno == Errno::EADDRNOTAVAIL as i32 && went_along(step, phase) => {}
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
        return Err(Failure::Refused(refused));
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let live = kernel.read(scope).map_err(Failure::Reading)?.state;
    // Of a pair that takes an object away and puts it back, the second one says what is to be there.
    let last = |key: &Key| phase.steps.iter().rev().find(|step| step.key == *key);
    let is_done = |step: &Change| {
        let after = last(&step.key).and_then(|last| last.after.as_ref());
        same(after, live.objects.get(&step.key))
    };
    let not_done: Vec<Change> = unknown.into_iter().filter(|step| !is_done(step)).cloned().collect();
    if not_done.is_empty() { Ok(()) } else { Err(Failure::NotDone(not_done)) }
}

/// Whether an address that was to go may have gone with another one of the same phase: a subnet's first address on a device
/// takes the others along (`inet_del_ifa`).
fn went_along(step: &Change, phase: &Phase) -> bool {
    let subnet = |step: &Change| match &step.key {
        Key::Address(key) if step.after.is_none() => {
            Some((key.interface.clone(), IpNet::new(key.address, key.prefix).ok()?.trunc()))
        }
        _ => None,
    };
    let own = subnet(step);
    own.is_some() && phase.steps.iter().any(|other| other.key != step.key && subnet(other) == own)
}

/// Reads the kernel back. Only what is wanted or was touched counts: what others do beside us is theirs.
fn verify(kernel: &mut dyn Kernel, aim: &Aim<'_>, exclusive: bool, intent: &Intent, scope: &Scope) -> Result<(), Failure> {
    let live = kernel.read(scope).map_err(Failure::Reading)?;
    let mut differences = diff(aim, &live, exclusive);
    if !differences.is_empty() {
        let touched: BTreeSet<&Key> = intent.phases.iter().flat_map(|phase| &phase.steps).map(|step| &step.key).collect();
        differences.retain(|change| change.after.is_some() || touched.contains(&change.key));
    }
    if differences.is_empty() { Ok(()) } else { Err(Failure::NotHeld(differences)) }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Whether an object is as expected; what the expectation leaves open may be anything.
fn same(expected: Option<&Resource>, live: Option<&Resource>) -> bool {
    match (expected, live) {
        (None, None) => true,
        (Some(expected), Some(live)) => expected == live || expected.clone().over(live).differences(live).is_empty(),
        _ => false,
    }
}
