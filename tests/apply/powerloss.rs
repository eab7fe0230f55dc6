//! The power goes at any moment of a run. What then lies on the disk is whole, and old or new; before the first message the
//! journal is there, after the commit the new ledger; and the next boot goes on from it.
//!
//! A run is carried out on a disk that writes down every write ([`crate::writes`]). Then that disk is made as it was after
//! each of them, and is mounted as at the next boot: in another namespace, for the kernel's objects went with the power.

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::Trial;
use lvsform::kernel::linux::Linux;
use lvsform::kernel::{Kernel, Outcome, ReadError, netns};
use lvsform::plan::Phase;
use lvsform::state::{Observed, Scope, State};
use lvsform::txn::former::Former;
use lvsform::txn::ledger::Ledger;
use lvsform::txn::store::{Record, Store};
use lvsform::txn::{Ended, Records, Recovered, Signs, history, journal};

use crate::command::{self, lvsform, says};
use crate::director::Director;
use crate::killed::{FIRST, SECOND, goal};
use crate::recorded::{self, Case, Goal, TOPOLOGY};
use crate::world::{World, test, test_within};
use crate::writes::{Disk, Entry, Film, Recorder};

pub fn tests() -> Vec<Trial> {
    let of =
        |name: &str, way: Way, losses: Losses| test(format!("powerloss::{name}"), move |world| lose(world, &way, &losses).show());
    vec![
        of("at_any_write_of_a_change_the_next_boot_goes_on_from_the_old_or_the_new", CHANGE, EVERY_WRITE),
        of("at_any_flush_of_the_first_run_beside_others_the_next_boot_goes_on_from_nothing_or_the_new", BEGIN, EVERY_FLUSH),
        of("at_any_flush_of_the_last_run_the_next_boot_goes_on_from_the_old_or_nothing", END, EVERY_FLUSH),
        of("what_waits_to_be_confirmed_does_not_count_after_it", PENDING, EVERY_FLUSH),
        test_within(Duration::from_mins(50), "powerloss::many_times_on_file_systems_that_promise_less", soak)
            .with_ignored_flag(true),
    ]
}

/// What a run leads from and to. Empty: nothing.
struct Way {
    name: &'static str,
    first: &'static str,
    second: &'static str,
    /// It waits to be confirmed.
    pending: bool,
    /// Somebody else syncs a file of theirs before each of our syncs: then all that was begun here is on the disk too, as far
    /// as it has come. Without them, nothing is but what we sync ourselves.
    beside_others: bool,
    options: &'static str,
}

/// How a file system is mounted that does no more than was asked for, and nothing because time has passed.
const ORDERED: &str = "noauto_da_alloc,commit=3600";

const CHANGE: Way =
    Way { name: "a change", first: FIRST, second: SECOND, pending: false, beside_others: false, options: ORDERED };
const BEGIN: Way = Way { name: "the first run", first: "", beside_others: true, ..CHANGE };
const END: Way = Way { name: "the last run", second: "", ..CHANGE };
const PENDING: Way = Way { name: "a run that waits to be confirmed", pending: true, ..CHANGE };

/// How often the power goes.
struct Losses {
    /// After every write; otherwise only before each flush, and the next boot only goes on where other files are there.
    writes: bool,
    /// Before each flush, with so many choices of what it would have made last.
    torn: u64,
    /// In each state of the run the operator goes on with the command.
    by_hand: bool,
}

const EVERY_WRITE: Losses = Losses { writes: true, torn: 1, by_hand: true };
const EVERY_FLUSH: Losses = Losses { writes: false, torn: 1, by_hand: false };
const MANY: Losses = Losses { writes: true, torn: 12, by_hand: true };

/// What came to pass, as marks in the log. The first phase is noted, and that is not on the disk yet.
const BEGINS: &str = "begins";
/// A phase is sent.
const SENDS: &str = "sends";
/// The journal is removed, and that is not on the disk yet.
const COMMITTED: &str = "committed";
/// The run says that it is done.
const APPLIED: &str = "applied";
/// Its line of history is written.
const LOGGED: &str = "logged";

/// The kernel below, and a mark before each phase that it is sent.
struct Marking<'a> {
    kernel: &'a mut Linux,
    mark: &'a dyn Fn(&str),
}

impl Kernel for Marking<'_> {
    fn read(&mut self, scope: &Scope) -> Result<Observed, ReadError> {
        self.kernel.read(scope)
    }

    fn run(&mut self, phase: &Phase) -> Vec<Outcome> {
        (self.mark)(SENDS);
        self.kernel.run(phase)
    }
}

/// A run that was written down.
struct Recorded {
    case: Case,
    film: Film,
    /// The name of its records.
    name: String,
    /// Where `revert` leads before it.
    former: Option<Ledger>,
    before: Option<Ledger>,
    after: Option<Ledger>,
    /// How often it sent something.
    sends: usize,
}

/// The records below a file system's root.
fn records(mounted: &Path) -> PathBuf {
    mounted.join("lvsform")
}

/// As `apply` does, so that `revert` leads to what is owned now.
fn keep_a_way_back(own: Option<&Ledger>, records: &mut Records<'_>) {
    if let (Some(own), Some(next)) = (own, &mut records.next) {
        next.former = Some(own.transaction.clone());
        records.former = Some(Former { ledger: own.clone(), lost: BTreeMap::new() });
    }
}

/// Where `revert` leads from a ledger.
fn way_back(store: &Store, ledger: &Ledger) -> Option<Ledger> {
    Former::read(store, ledger).expect("a former ledger").map(|former| former.ledger)
}

/// Somebody else's program writes a line, and waits until it is on the disk.
fn sync_a_line(path: &Path) {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    let synced = file.and_then(|mut file| file.write_all(b"theirs\n").and_then(|()| file.sync_all()));
    synced.expect("a line");
}

fn side(text: &str) -> Goal {
    if text.is_empty() { Goal { wanted: State::default(), exclusive: false } } else { goal(text).1 }
}

impl Way {
    fn case(&self) -> Case {
        let director: Director = goal(if self.first.is_empty() { self.second } else { self.first }).0;
        Case::new(self.name, side(self.first), side(self.second), director)
    }

    fn record(&self, world: &mut World, disk: &Disk) -> Recorded {
        let case = self.case();
        let name = netns::name(netns::cookie().expect("a cookie"));
        let mounted = disk.mount();
        case.start(world, &records(mounted.path()));
        if !case.first.wanted.objects.is_empty() {
            // Once more, so that there is a way back from the old ledger too.
            let mut store = recorded::store(&records(mounted.path()));
            let ended = case.first.run_kept(&mut store, &mut world.kernel, Signs::default(), keep_a_way_back);
            assert!(matches!(ended, Ended::Applied), "{}: {ended:#?}", self.name);
        }
        drop(mounted);

        let recorder = Recorder::start(world, disk);
        let (mounted, mark) = (recorder.mount(), recorder.marker());
        let folder = records(mounted.path());
        let mut store = recorded::store(&folder);
        let before = Ledger::read(&store, TOPOLOGY).expect("a ledger");
        let former = before.as_ref().and_then(|before| way_back(&store, before));
        // What is promised at a moment must be on the disk by itself, not because of what is synced after it.
        let (passes, [marks, journal]) = (recorder.marker(), [Record::Marks, Record::Journal].map(|record| store.path(record)));
        let (mut begun, mut committed) = (false, false);
        let others = self.beside_others.then(|| mounted.path().join("theirs"));
        store.before_each_sync(move || {
            if let Some(file) = &others {
                sync_a_line(file);
            }
            if !begun && marks.exists() {
                passes(BEGINS);
                begun = true;
            }
            if begun && !committed && !journal.exists() {
                passes(COMMITTED);
                committed = true;
            }
        });
        let mut transaction = String::new();
        let mut kernel = Marking { kernel: &mut world.kernel, mark: &mark };
        let ended = case.second.run_kept(&mut store, &mut kernel, Signs::default(), |own, records| {
            transaction.clone_from(&records.transaction);
            keep_a_way_back(own, records);
            if let Some(next) = &mut records.next {
                next.pending = self.pending.then_some(u64::MAX);
            }
        });
        assert!(matches!(ended, Ended::Applied), "{}: {ended:#?}", self.name);
        mark(APPLIED);
        let entry = history::Entry::new("apply", String::new(), TOPOLOGY, "lb1", &transaction);
        history::append(&mut store, &entry).expect("a line");
        mark(LOGGED);
        let after = Ledger::read(&store, TOPOLOGY).expect("a ledger");
        drop(mounted);
        let film = recorder.end();
        let sends = film.entries.iter().filter(|entry| matches!(entry, Entry::Mark(mark) if mark == SENDS)).count();
        Recorded { case, film, name, former, before, after, sends }
    }
}

/// Which ledger is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Which {
    Old,
    New,
}

/// What is found of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trace {
    Nothing,
    /// Its journal, and so many phases that began.
    Begun(usize),
    Done,
}

/// What a boot finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    ledger: Which,
    trace: Trace,
    lines: usize,
}

impl Recorded {
    /// Reads every record: what has its name is whole.
    fn look(&self, records: &Path, what: &str) -> Found {
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
    fn judge(&self, found: Found, past: &[Entry], what: &str) {
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
        assert!(lines >= count(LOGGED), "{what}: its line of history is gone");
    }

    /// The next boot: the run is forgotten or done, nothing of the kernel is touched for that, and a run after it ends well.
    fn goes_on(&self, records: &Path, found: Found, what: &str) {
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
    fn reboot(&self, records: &Path) -> World {
        let mut world = World::new();
        let name = netns::name(netns::cookie().expect("a cookie"));
        if records.join(&self.name).exists() {
            std::fs::rename(records.join(&self.name), records.join(name)).expect("our own folder");
        }
        self.case.plug_in(&mut world);
        world
    }

    /// The same with the command, step by step as an operator takes them.
    fn says_what_to_do(&self, records: &Path, found: Found, file: &str, what: &str) {
        let _world = self.reboot(records);
        let run = |line: &str, code: i32| command::run(lvsform(&format!("{line} --state-dir {}", records.display())), code);
        let (ends, host) = (self.after.is_none(), format!("{file} --host lb1"));
        if matches!(found.trace, Trace::Begun(_)) {
            let (_, err) = run("drift", 9);
            says(&err, &["an earlier run did not end", "lvsform recover"]);
            if !ends {
                let (_, err) = run(&format!("plan {host}"), 0);
                says(&err, &["an earlier run did not end", "lvsform recover"]);
                let (_, err) = run(&format!("apply {host} --expect 0000"), 9);
                says(&err, &["nothing was changed", "lvsform recover"]);
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

    /// Every file, to know a disk again.
    fn files(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for path in entries.map(|entry| entry.expect("a file").path()) {
            if path.is_dir() {
                Recorded::files(&path, files);
            } else {
                files.insert(path.clone(), std::fs::read(&path).expect("a file"));
            }
        }
    }
}

/// What was tried, and what was found.
#[derive(Default)]
struct Counts {
    name: String,
    writes: usize,
    flushes: usize,
    moments: usize,
    folders: usize,
    commands: usize,
    found: BTreeMap<(Which, &'static str), usize>,
}

impl Counts {
    #[expect(clippy::disallowed_macros, reason = "the table of a test is its result")]
    fn show(&self) {
        let Counts { name, writes, flushes, moments, folders, commands, found } = self;
        println!(
            "\n{name}: {writes} writes, {flushes} flushes; the power went {moments} times and left {folders} different folders"
        );
        for ((ledger, trace), count) in found {
            println!("  {:<12} {trace:<24} {count:>6}", if *ledger == Which::Old { "old ledger" } else { "new ledger" });
        }
        println!("  {commands} times the operator went on by hand");
    }
}

/// Carries out a run, and takes the power away at its moments.
fn lose(world: &mut World, way: &Way, losses: &Losses) -> Counts {
    let disk = Disk::new(world, way.options);
    let recorded = way.record(world, &disk);
    let film = &recorded.film;
    let is_flush = |count: usize| matches!(film.entries.get(count), Some(Entry::Flush));
    let of = |wanted: fn(&Entry) -> bool| film.entries.iter().filter(|entry| wanted(entry)).count();
    let mut counts = Counts {
        name: format!("{}{} ({})", way.name, if way.beside_others { ", beside others" } else { "" }, way.options),
        writes: of(|entry| matches!(entry, Entry::Write { .. })),
        flushes: of(|entry| matches!(entry, Entry::Flush)),
        ..Counts::default()
    };
    let topology = command::File::new("shop.kdl", way.second.as_bytes());
    let (mut seen, mut kinds, mut said) = (BTreeMap::new(), HashSet::new(), HashSet::new());
    let mut at = |count: usize, image: &[u8], what: &str| {
        counts.moments += 1;
        disk.put(image);
        let mounted = disk.mount();
        let records = records(mounted.path());
        let mut files = BTreeMap::new();
        Recorded::files(&records, &mut files);
        let known = seen.get(&files).copied();
        let found = known.unwrap_or_else(|| recorded.look(&records, what));
        recorded.judge(found, &film.entries[..count], what);
        let trace = match found.trace {
            Trace::Nothing => "no run",
            Trace::Begun(0) => "a run before its first phase",
            Trace::Begun(_) => "a run between its phases",
            Trace::Done => "a run that was done",
        };
        *counts.found.entry((found.ledger, trace)).or_default() += 1;
        if known.is_some() {
            return;
        }
        counts.folders += 1;
        let kind = (found.ledger, std::mem::discriminant(&found.trace));
        let names: Vec<PathBuf> = files.keys().cloned().collect();
        seen.insert(files, found);
        if !(kinds.insert((kind, names)) || losses.writes) {
            return;
        }
        recorded.goes_on(&records, found, what);
        drop(mounted);
        if losses.by_hand && said.insert(kind) {
            counts.commands += 1;
            disk.put(image);
            recorded.says_what_to_do(&self::records(disk.mount().path()), found, &topology.path(), what);
        }
    };
    for count in 0..=film.entries.len() {
        let is_due = match count.checked_sub(1).map(|last| &film.entries[last]) {
            None | Some(Entry::Mark(_)) => true,
            Some(Entry::Flush) => false, // it is the same disk
            Some(Entry::Write { .. }) => losses.writes || is_flush(count),
        };
        if is_due {
            at(count, &film.image(count), &format!("{}: after {count} entries", way.name));
        }
        if is_flush(count) && film.unflushed(count) > 0 {
            for seed in 0..losses.torn {
                let mut coin = Coin(seed << 32 | count as u64);
                let image = film.torn(count, |_| coin.toss());
                at(count, &image, &format!("{}: torn after {count} entries, seed {seed}", way.name));
            }
        }
    }
    counts
}

/// Always the same tosses (splitmix64).
struct Coin(u64);

impl Coin {
    fn toss(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ number >> 31) & 1 == 1
    }
}

fn soak(_: &mut World) {
    for options in [ORDERED, "data=writeback,noauto_da_alloc,commit=3600", "data=journal,commit=3600", "nodelalloc,commit=3600"] {
        for way in [CHANGE, BEGIN, END, PENDING] {
            for beside_others in [false, true] {
                lose(&mut World::new(), &Way { beside_others, options, ..way }, &MANY).show();
            }
        }
    }
}
