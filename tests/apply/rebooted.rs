//! What a boot finds on a disk from which the power was taken ([`crate::powerloss`]), and how it goes on from there.

use std::path::Path;

use lvsform::kernel::netns;
use lvsform::txn::former::Former;
use lvsform::txn::ledger::Ledger;
use lvsform::txn::store::{Record, Store};
use lvsform::txn::{Ended, Recovered, Signs, history, journal};

use crate::command::{self, lvsform, says};
use crate::powerloss::{APPLIED, BEGINS, COMMITTED, LOGGED, RECOVERED, Recorded, SENDS, way_back};
use crate::recorded::{self, TOPOLOGY};
use crate::world::World;
use crate::writes::Entry;

/// Which ledger is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    Old,
    New,
}

/// What is found of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trace {
    Nothing,
    /// Its journal, and so many phases that began.
    Begun(usize),
    Done,
}

/// What a boot finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub ledger: Which,
    pub trace: Trace,
    /// Of history.
    pub lines: usize,
}

impl Trace {
    pub fn words(self) -> &'static str {
        match self {
            Trace::Nothing => "no run",
            Trace::Begun(0) => "a run before its first phase",
            Trace::Begun(_) => "a run in its phases",
            Trace::Done => "a run that was done",
        }
    }
}

impl Recorded {
    /// Reads every record: what has its name is whole.
    pub fn look(&self, records: &Path, what: &str) -> Found {
        let whole = |error: &dyn std::fmt::Display| -> ! { panic!("{what}: {error}") };
        let store = Store::look(records, &self.name).unwrap_or_else(|error| whole(&error));
        let Some(store) = store else {
            assert!(self.before.is_none(), "{what}: the records are gone");
            return Found { ledger: Which::Old, trace: Trace::Nothing, lines: 0 };
        };
        let ledger = Ledger::read(&store, TOPOLOGY).unwrap_or_else(|error| whole(&error));
        let which = if ledger == self.before {
            Which::Old
        } else {
            assert!(ledger == self.after, "{what}: neither the old ledger nor the new one");
            Which::New
        };
        Ledger::next(&store).unwrap_or_else(|error| whole(&error));
        if let Some(ledger) = &ledger {
            Former::read(&store, ledger).unwrap_or_else(|error| whole(&error));
        }
        let unfinished = journal::unfinished(&store).unwrap_or_else(|error| whole(&error));
        let trace = unfinished
            .map_or(Trace::Nothing, |unfinished| if unfinished.committed { Trace::Done } else { Trace::Begun(unfinished.begun) });
        let lines = history::read(&store).unwrap_or_else(|error| whole(&error));
        Found { ledger: which, trace, lines: lines.len() }
    }

    /// What must be on the disk by now, by what has come to pass.
    pub fn judge(&self, found: Found, past: &[Entry], what: &str) {
        let count = |name| past.iter().filter(|entry| matches!(entry, Entry::Mark(mark) if mark == name)).count();
        let Found { ledger, trace, lines } = found;
        let sends = count(SENDS);
        if ledger == Which::Old {
            let begun = if let Trace::Begun(phases) = trace { Some(phases) } else { None };
            assert!(count(BEGINS) == 0 || begun.is_some(), "{what}: it was to begin, and the journal is not there: {found:?}");
            assert!(sends == 0 || begun >= Some(sends), "{what}: {sends} phases were sent: {found:?}");
            assert!(count(COMMITTED) == 0, "{what}: the journal was removed, and the old ledger is there: {found:?}");
            assert!(count(APPLIED) == 0, "{what}: it was applied, and the old ledger is there: {found:?}");
            assert_ne!(trace, Trace::Done, "{what}");
        } else {
            assert_eq!(sends, self.sends, "{what}: the new ledger is there before all was sent");
            assert!(!matches!(trace, Trace::Begun(_)), "{what}: it was applied, and would be taken back");
        }
        assert!(count(RECOVERED) == 0 || trace == Trace::Nothing, "{what}: it was recovered, and is not: {found:?}");
        assert!(lines >= count(LOGGED), "{what}: its line of history is gone");
    }

    /// The next boot: the run is forgotten or done, nothing of the kernel is touched for that, and a run after it ends well.
    pub fn goes_on(&self, records: &Path, found: Found, what: &str) {
        let world = &mut self.reboot(records);
        let untouched = recorded::held(&mut world.kernel, &self.case.scope());
        let recovered = recorded::recover(records, &mut world.kernel);
        match found.trace {
            Trace::Nothing => assert!(recovered.is_none(), "{what}: {recovered:?}"),
            Trace::Begun(_) => assert!(matches!(recovered, Some(Recovered::WasGone)), "{what}: {recovered:?}"),
            Trace::Done => assert!(matches!(recovered, Some(Recovered::WasDone)), "{what}: {recovered:?}"),
        }
        let now = recorded::held(&mut world.kernel, &self.case.scope());
        assert!(now == untouched, "{what}: the kernel was touched\n{}", recorded::shown(&untouched, &now));
        let mut store = recorded::store(records);
        let ledger = Ledger::read(&store, TOPOLOGY).expect("a ledger");
        let (expected, former) = match found.ledger {
            Which::Old => (&self.before, &self.former),
            Which::New => (&self.after, &self.before),
        };
        assert!(ledger == *expected, "{what}: the ledger is as it was");
        if let Some(ledger) = &ledger {
            assert!(way_back(&store, ledger) == *former, "{what}: the way back from the ledger that is there is gone: {found:?}");
        }
        if self.after.as_ref().is_some_and(|after| after.pending.is_some()) {
            let standing = Ledger::standing(&store, TOPOLOGY, &recorded::here()).expect("a ledger");
            assert!(standing == self.before, "{what}: what was there before counts: {found:?}");
        }
        let ended = self.case.second.run_with(&mut store, &mut world.kernel, Signs::default());
        assert!(matches!(ended, Ended::Applied), "{what}: {ended:#?}");
        assert_eq!(self.case.second.finds(&mut world.kernel), Vec::<String>::new(), "{what}: it holds what the file says");
        let is_there = |record| store.path(record).exists();
        let left =
            [Record::Journal, Record::Marks, Record::NextLedger, Record::NextFormer].into_iter().filter(|of| is_there(*of));
        assert_eq!(left.collect::<Vec<_>>(), [], "{what}: nothing is left of any run");
    }

    /// Another namespace, with nothing in it but the host's devices; the records get its name.
    pub fn reboot(&self, records: &Path) -> World {
        let mut world = World::new();
        let name = netns::name(netns::cookie().expect("a cookie"));
        if records.join(&self.name).exists() {
            std::fs::rename(records.join(&self.name), records.join(name)).expect("our own folder");
        }
        self.case.plug_in(&mut world);
        world
    }

    /// The same with the command, step by step as an operator takes them.
    pub fn says_what_to_do(&self, records: &Path, found: Found, file: &str, what: &str) {
        let _world = self.reboot(records);
        let run = |line: &str, code: i32| command::run(lvsform(&format!("{line} --state-dir {}", records.display())), code);
        let (ends, host) = (self.after.is_none(), format!("{file} --host lb1"));
        if matches!(found.trace, Trace::Begun(_)) {
            let gone =
                ["an earlier run did not end, and what it did went with its boot or namespace", "forget it: lvsform recover"];
            let (_, err) = run("drift", 9);
            says(&err, &gone);
            if !ends {
                let (_, err) = run(&format!("plan {host}"), 0);
                says(&err, &gone);
            }
        } else if !ends {
            let (_, err) = run(&format!("plan {host}"), 0);
            assert_eq!(err, "", "{what}");
        }
        let (out, err) = run("recover", 0);
        let words = match found.trace {
            Trace::Nothing => "Nothing to recover",
            Trace::Begun(_) => "was in another boot or namespace, and its objects went with that",
            Trace::Done => "was done but for its records",
        };
        says(&out, &[words]);
        assert_eq!(err, "", "{what}");
        if !ends {
            run(&format!("apply {host} --yes"), 0);
            run(&format!("drift {host}"), 0);
        } else if found.ledger == Which::Old {
            let (out, _) = run(&format!("destroy {TOPOLOGY} --yes"), 0);
            says(&out, &["Nothing to give back"]);
        } else {
            let (_, err) = run(&format!("destroy {TOPOLOGY} --yes"), 64);
            says(&err, &["owns nothing here"]);
        }
    }
}
