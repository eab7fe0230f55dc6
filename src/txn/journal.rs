//! The transaction that is under way: what it changes, from what, and how far it has come.
//!
//! The journal is complete on the disk before the first message goes out, with every `before`; marks say which phases have
//! begun and what turned out to be somebody else's. Together they are all that undoing needs, here or after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::former::Former;
use super::ledger::{Instance, Ledger, LedgerError};
use super::record::{self, Damage};
use super::store::{Record, Store, StoreError};
use crate::plan::Phase;
use crate::state::effects::effects_among;
use crate::state::{Change, Key, Observed, Resource, Scope, State};

const FORMAT: &str = "lvsform-journal/1";

/// Everything that a run may do to the kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// What is sent, in order.
    pub phases: Vec<Phase>,
    /// For each phase: what the kernel does by itself with its steps, and with their undoing.
    pub along: Vec<Vec<Change>>,
    /// The order of the servers of each hash scheduler that a step may move, as it was.
    pub orders: State,
    /// Sysctls that were not there: they come with a device or a module of this run, and may go with it.
    pub new_sysctls: BTreeSet<Key>,
}

impl Intent {
    /// What `phases` may do to what was `observed`.
    pub fn new(phases: Vec<Phase>, observed: &Observed) -> Intent {
        let mut intent = Intent::default();
        let steps: Vec<&Change> = phases.iter().flat_map(|phase| &phase.steps).collect();
        let effects = effects_among(&steps, observed);
        for phase in &phases {
            let mut along = Vec::new();
            for step in &phase.steps {
                along.extend(effects(step));
                along.extend(effects(&step.undo()));
                // Whoever touches a server of a hash scheduler may move its seat.
                if let Key::Destination(key) = &step.key
                    && let Some((key, order)) = observed.state.objects.get_key_value(&Key::Order(key.service))
                {
                    intent.orders.objects.entry(key.clone()).or_insert_with(|| order.clone());
                }
            }
            for Change { key, .. } in phase.steps.iter().chain(&along) {
                if matches!(key, Key::Sysctl(_)) && !observed.state.objects.contains_key(key) {
                    intent.new_sysctls.insert(key.clone());
                }
            }
            intent.along.push(along);
        }
        intent.phases = phases;
        intent
    }

    /// Every object that it changes; modules stay whatever becomes of it.
    pub fn keys(&self) -> BTreeSet<&Key> {
        let steps = self.phases.iter().flat_map(|phase| &phase.steps);
        steps.map(|step| &step.key).filter(|key| !matches!(key, Key::Module(_))).collect()
    }

    /// Every object that the kernel may change by itself with those.
    pub fn keys_along(&self) -> BTreeSet<&Key> {
        self.along.iter().flatten().map(|change| &change.key).collect()
    }
}

/// A run that has begun and not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// The same in the ledger that it leads to: then it is done.
    pub transaction: String,
    /// Whose.
    pub topology: String,
    /// The host of it.
    pub host: String,
    /// Where.
    pub instance: Instance,
    /// Whether it ends with no ledger at all.
    pub ends: bool,
    /// The sysctls and modules that must be read to undo it.
    pub sysctls: Vec<Key>,
    /// What it does.
    pub intent: Intent,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Mark {
    transaction: String,
    #[serde(flatten)]
    what: Progress,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Progress {
    /// The phase may have been sent. What was found only then of what was there before.
    Begun(usize, Vec<(Key, Resource)>),
    /// Refused in a way that only another writer explains.
    NotOurs(Vec<Key>),
    /// The operator has decided: whether we take it back, or it is theirs.
    Decided(Key, bool),
}

/// A run that did not end, as it is found.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfinished {
    /// What it was to do.
    pub journal: Journal,
    /// So many of its phases may have been sent.
    pub begun: usize,
    /// What is somebody else's.
    pub not_ours: BTreeSet<Key>,
    /// What the operator has decided: taken back whatever it is now (true), or left to others.
    pub decided: BTreeMap<Key, bool>,
    /// Its ledger is in place: only the tidying is left.
    pub committed: bool,
}

impl Journal {
    /// Reads what [`Journal::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Journal, Damage> {
        record::decode(FORMAT, bytes)
    }

    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        record::encode(FORMAT, self)
    }

    /// What must be read to undo it.
    pub fn scope(&self) -> Scope {
        Scope { fou: true, routes: true, ..Scope::of_keys(self.sysctls.iter().chain(self.intent.keys())) }
    }

    /// Makes the record, whole. Nothing of the kernel may be touched before this is done.
    pub fn begin(&self, store: &mut Store, next: Option<&Ledger>, former: Option<&Former>) -> Result<(), StoreError> {
        store.remove(Record::Marks)?;
        match former {
            Some(former) => store.put(Record::NextFormer, &former.encode())?,
            None => store.remove(Record::NextFormer)?,
        }
        if let Some(next) = next {
            store.put(Record::NextLedger, &next.encode())?;
        }
        let written = store.put(Record::Journal, &self.encode());
        if matches!(written, Err(StoreError::Unsynced(..))) {
            let _ = forget(store); // it has its place, and the run does not begin: the next one would take it up
        }
        written
    }

    /// Notes that a phase is about to be sent.
    pub fn mark_begun(&self, store: &mut Store, phase: usize, found: Vec<(Key, Resource)>) -> Result<(), StoreError> {
        self.mark(store, Progress::Begun(phase, found))
    }

    /// Notes what is somebody else's, before anything is taken back.
    pub fn mark_not_ours(&self, store: &mut Store, keys: Vec<Key>) -> Result<(), StoreError> {
        self.mark(store, Progress::NotOurs(keys))
    }

    /// Notes what the operator has decided of an object. The run may have died in the middle of a mark, which goes.
    pub fn mark_decided(&self, store: &mut Store, key: Key, ours: bool) -> Result<(), StoreError> {
        let marks = store.read(Record::Marks)?.unwrap_or_default();
        let mut marks = record::whole_lines(&marks).to_vec();
        marks.extend(self.line(Progress::Decided(key, ours)));
        store.put(Record::Marks, &marks)
    }

    fn mark(&self, store: &mut Store, what: Progress) -> Result<(), StoreError> {
        store.append(Record::Marks, &self.line(what))
    }

    fn line(&self, what: Progress) -> Vec<u8> {
        record::encode_line(&Mark { transaction: self.transaction.clone(), what })
    }

    /// Whether the commit has come.
    pub fn is_committed(&self, store: &Store) -> Result<bool, LedgerError> {
        match Ledger::read(store, &self.topology) {
            Ok(Some(ledger)) => Ok(ledger.transaction == self.transaction),
            Ok(None) => Ok(self.ends),
            // Which of the two ledgers it was is not known; the commit takes the next one away.
            Err(LedgerError::Damaged(_, Damage::Broken)) => Ok(!self.ends && store.read(Record::NextLedger)?.is_none()),
            Err(error) => Err(error),
        }
    }

    /// The commit: from here on the run is done, whatever dies. What is returned then is no failure of the run: the disk does
    /// not confirm the commit, or the way back is not in its place. So the journal must stay; whoever finds it tries again, and
    /// if the disk has lost the commit by then, it is a run that did not end.
    pub fn commit(&self, store: &mut Store) -> Result<Option<StoreError>, StoreError> {
        let ledger = Record::Ledger(&self.topology);
        let committed = if self.ends { store.remove(ledger) } else { store.replace(Record::NextLedger, ledger) };
        let unsure = match committed {
            Ok(()) => None,
            Err(error @ StoreError::Unsynced(..)) => Some(error),
            Err(error) => return Err(error),
        };
        // Without its ledger a former one means nothing.
        let rest = if self.ends { store.remove(Record::Former(&self.topology)) } else { self.keep_former(store) };
        Ok(unsure.or(rest.err()))
    }

    /// What the run came from takes its place beside the ledger that the run led to. A run that died in between does this
    /// when it is recovered; until then the ledger names another transaction than the former one has.
    pub fn keep_former(&self, store: &mut Store) -> Result<(), StoreError> {
        if store.read(Record::NextFormer)?.is_none() {
            return Ok(());
        }
        store.replace(Record::NextFormer, Record::Former(&self.topology))
    }
}

/// Forgets a run that is committed or taken back. As long as its journal is there, so is all that belongs to it.
pub fn forget(store: &mut Store) -> Result<(), StoreError> {
    let mut unsynced = Ok(());
    for record in [Record::Journal, Record::Marks, Record::NextLedger, Record::NextFormer] {
        match store.remove(record) {
            Err(error @ StoreError::Unsynced(..)) => unsynced = Err(error),
            removed => removed?,
        }
    }
    unsynced
}

/// The run that did not end, if there is one.
pub fn unfinished(store: &Store) -> Result<Option<Unfinished>, LedgerError> {
    let Some(bytes) = store.read(Record::Journal)? else { return Ok(None) };
    let damaged = |record| move |damage| LedgerError::Damaged(store.path(record), damage);
    let journal = Journal::decode(&bytes).map_err(damaged(Record::Journal))?;
    let committed = journal.is_committed(store)?;
    let marks = store.read(Record::Marks)?.unwrap_or_default();
    Unfinished::new(journal, &marks, committed).map(Some).map_err(damaged(Record::Marks))
}

impl Unfinished {
    /// A run of which the marks say how far it has come: the lines of its record.
    pub fn new(mut journal: Journal, marks: &[u8], committed: bool) -> Result<Unfinished, Damage> {
        let (mut begun, mut not_ours, mut decided) = (0, BTreeSet::new(), BTreeMap::new());
        let marks: Vec<Mark> = record::decode_lines(marks)?;
        for Mark { what, .. } in marks.into_iter().filter(|mark| mark.transaction == journal.transaction) {
            match what {
                Progress::Begun(phase, found) => {
                    begun = begun.max(phase.saturating_add(1));
                    let Some(phase) = journal.intent.phases.get_mut(phase) else { continue };
                    fill_in(phase, found);
                }
                Progress::NotOurs(keys) => not_ours.extend(keys),
                Progress::Decided(key, ours) => _ = decided.insert(key, ours),
            }
        }
        Ok(Unfinished { journal, begun, not_ours, decided, committed })
    }
}

/// Gives the steps of a phase what was found only just before it was sent.
pub fn fill_in(phase: &mut Phase, found: Vec<(Key, Resource)>) {
    for (key, value) in found {
        for step in phase.steps.iter_mut().filter(|step| step.key == key) {
            step.before = Some(value.clone());
        }
    }
}

/// Where the journal lies, to name it.
pub fn journal_path(store: &Store) -> PathBuf {
    store.path(Record::Journal)
}

#[cfg(test)]
mod tests {
    use super::{Intent, Journal, Mark, Progress, Unfinished, record};
    use crate::txn::ledger::Instance;

    #[test]
    fn a_mark_of_a_phase_that_the_journal_does_not_have_means_that_every_phase_may_have_been_sent() {
        let journal = Journal {
            transaction: "2".to_owned(),
            topology: "shop".to_owned(),
            host: "lb1".to_owned(),
            instance: Instance { boot: "1".to_owned(), cookie: 1 },
            ends: false,
            sysctls: Vec::new(),
            intent: Intent::default(),
        };
        for phase in [0, 7, usize::MAX] {
            let mark = Mark { transaction: "2".to_owned(), what: Progress::Begun(phase, Vec::new()) };
            let unfinished = Unfinished::new(journal.clone(), &record::encode_line(&mark), false);
            assert_eq!(unfinished.map(|unfinished| unfinished.begun > 0), Ok(true), "{phase}");
        }
    }
}
