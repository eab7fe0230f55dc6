//! The power goes at any moment of a run. What then lies on the disk is whole, and old or new; before the first message the
//! journal is there, after the commit the new ledger; and the next boot goes on from it.
//!
//! A run is carried out on a disk that writes down every write ([`crate::writes`]). Then that disk is made as it was after
//! each of them, and is mounted as at the next boot: in another namespace, for the kernel's objects went with the power.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write as _;
use std::mem::Discriminant;
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
use lvsform::txn::{Ended, Recovered, Signs, history};

use crate::command;
use crate::director::Director;
use crate::killed::{FIRST, SECOND, goal};
use crate::rebooted::{Found, Trace, Which};
use crate::recorded::{self, Case, Goal, TOPOLOGY};
use crate::world::{World, test, test_within};
use crate::writes::{Disk, Entry, Film, Recorder};

pub fn tests() -> Vec<Trial> {
    let of = |name: &str, lose: fn(&mut World, Way, &Losses), way: Way, losses: Losses| {
        test(format!("powerloss::{name}"), move |world| lose(world, way, &losses))
    };
    vec![
        of("at_any_write_of_a_change_the_next_boot_goes_on_from_the_old_or_the_new", lose, CHANGE, EVERY_WRITE),
        of("at_any_flush_of_the_first_run_beside_others_the_next_boot_goes_on", lose, BEGIN, EVERY_FLUSH),
        of("at_any_flush_of_the_last_run_the_next_boot_goes_on_from_the_old_or_nothing", lose, END, EVERY_FLUSH),
        of("at_any_flush_of_a_recovery_what_waited_to_be_confirmed_does_not_count", lose_again, PENDING, EVERY_FOLDER),
        test_within(Duration::from_mins(50), "powerloss::many_times_on_file_systems_that_promise_less", soak)
            .with_ignored_flag(true),
    ]
}

/// What a run leads from and to. Empty: nothing.
#[derive(Clone, Copy)]
pub struct Way {
    name: &'static str,
    first: &'static str,
    second: &'static str,
    /// It waits to be confirmed.
    pending: bool,
    /// Somebody else syncs a file of theirs before each of our syncs: then all that was begun here is on the disk too, as far
    /// as it has come. Without them, nothing is but what we sync ourselves.
    beside_others: bool,
    /// How its file system is made and mounted.
    features: &'static str,
    options: &'static str,
}

/// What ext4 has unless somebody says otherwise.
const JOURNAL: &str = "has_journal";

/// How a file system is mounted that does no more than was asked for, and nothing because time has passed.
const ORDERED: &str = "noauto_da_alloc,commit=3600";

const CHANGE: Way = Way {
    name: "a change",
    first: FIRST,
    second: SECOND,
    pending: false,
    beside_others: false,
    features: JOURNAL,
    options: ORDERED,
};
const BEGIN: Way = Way { name: "the first run", first: "", beside_others: true, ..CHANGE };
const END: Way = Way { name: "the last run", second: "", ..CHANGE };
const PENDING: Way = Way { name: "a run that waits to be confirmed", pending: true, ..CHANGE };

/// How often the power goes.
struct Losses {
    /// After every write; otherwise only before each flush.
    writes: bool,
    /// Before each flush, with so many choices of what it would have made last.
    torn: u64,
    /// In which of them the next boot also goes on.
    goes_on: Once,
    /// In each state of the run the operator goes on with the command.
    by_hand: bool,
}

/// What is tried once only: it takes its time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Once {
    /// For each content of the folder.
    Content,
    /// For each set of files in it.
    Names,
    /// For each state of the run.
    State,
}

const EVERY_WRITE: Losses = Losses { writes: true, torn: 1, goes_on: Once::Names, by_hand: true };
const EVERY_FLUSH: Losses = Losses { writes: false, torn: 1, goes_on: Once::State, by_hand: false };
const EVERY_FOLDER: Losses = Losses { goes_on: Once::Content, ..EVERY_FLUSH };
const MANY: Losses = Losses { writes: true, torn: 12, goes_on: Once::Content, by_hand: true };

/// What came to pass, as marks in the log. The first phase is noted, and that is not on the disk yet.
pub const BEGINS: &str = "begins";
/// A phase is sent.
pub const SENDS: &str = "sends";
/// The new ledger has its place, and the former one takes its own, and that is not on the disk yet.
const KEPT: &str = "kept";
/// The journal is removed, and that is not on the disk yet.
pub const COMMITTED: &str = "committed";
/// The run says that it is done.
pub const APPLIED: &str = "applied";
/// The next boot says that nothing is left of it.
pub const RECOVERED: &str = "recovered";
/// Its line of history is written.
pub const LOGGED: &str = "logged";

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

/// A run that was written down, or the recovery of one.
pub struct Recorded {
    pub title: String,
    pub way: Way,
    pub case: Case,
    pub film: Film,
    /// The name of its records.
    pub name: String,
    /// Where `revert` leads before it.
    pub former: Option<Ledger>,
    pub before: Option<Ledger>,
    pub after: Option<Ledger>,
    /// How often it sent something.
    pub sends: usize,
}

/// The records below a file system's root.
fn records(mounted: &Path) -> PathBuf {
    mounted.join("lvsform")
}

/// Where `revert` leads from a ledger; `None`: nowhere, or to nothing.
pub fn way_back(store: &Store, ledger: &Ledger) -> Option<Ledger> {
    let former = Former::read(store, ledger).expect("a former ledger").map(|former| former.ledger);
    former.filter(|former| !former.transaction.is_empty())
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
    fn case(self) -> Case {
        let director: Director = goal(if self.first.is_empty() { self.second } else { self.first }).0;
        Case::new(self.name, side(self.first), side(self.second), director)
    }

    fn record(self, world: &mut World, disk: &Disk) -> Recorded {
        let case = self.case();
        let name = netns::name(netns::cookie().expect("a cookie"));
        let mounted = disk.mount();
        case.start(world, &records(mounted.path()));
        if !case.first.wanted.objects.is_empty() {
            // Once more, so that there is a way back from the old ledger too.
            let mut store = recorded::store(&records(mounted.path()));
            let ended = case.first.run_with(&mut store, &mut world.kernel, Signs::default());
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
        let watched = [Record::Marks, Record::NextLedger, Record::NextFormer, Record::Journal].map(|record| store.path(record));
        let (note, mut passed) = (recorder.marker(), HashSet::new());
        let others = self.beside_others.then(|| mounted.path().join("theirs"));
        store.before_each_sync(move || {
            let [marks, next, former, journal] = watched.each_ref().map(|path| path.exists());
            let begun = marks || passed.contains(BEGINS);
            for (mark, is_now) in [(BEGINS, begun), (KEPT, begun && !next && !former), (COMMITTED, begun && !journal)] {
                if is_now && passed.insert(mark) {
                    note(mark);
                }
            }
            if let Some(file) = &others {
                sync_a_line(file);
            }
            Ok(())
        });
        let mut transaction = String::new();
        let mut kernel = Marking { kernel: &mut world.kernel, mark: &mark };
        let ended = case.second.run_kept(&mut store, &mut kernel, Signs::default(), |records| {
            transaction.clone_from(&records.transaction);
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
        let others = if self.beside_others { ", beside others" } else { "" };
        let title = format!("{}{others} ({}; {})", self.name, self.features, self.options);
        Recorded { title, way: self, case, film, name, former, before, after, sends }
    }
}

impl Recorded {
    /// What was there after so many entries is recovered.
    fn recovery(&self, count: usize, mark: &str, disk: &Disk) -> Recorded {
        disk.put(&self.film.image(count));
        let mut world = self.reboot(&records(disk.mount().path()));
        let recorder = Recorder::start(&world, disk);
        let mounted = recorder.mount();
        let recovered = recorded::recover(&records(mounted.path()), &mut world.kernel);
        assert!(matches!(recovered, Some(Recovered::WasGone | Recovered::WasDone)), "{recovered:?}");
        recorder.marker()(RECOVERED);
        drop(mounted);
        Recorded {
            title: format!("the recovery after \"{mark}\" of {}", self.title),
            way: self.way,
            case: self.way.case(),
            film: recorder.end(),
            name: netns::name(netns::cookie().expect("a cookie")),
            former: self.former.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            sends: 0,
        }
    }
}

/// What was tried, and what was found.
#[derive(Default)]
struct Counts {
    moments: usize,
    folders: usize,
    went_on: usize,
    by_hand: usize,
    found: BTreeMap<(Which, &'static str), usize>,
}

impl Counts {
    #[expect(clippy::disallowed_macros, reason = "the table of a test is its result")]
    fn show(&self, recorded: &Recorded) {
        let of = |wanted: fn(&Entry) -> bool| recorded.film.entries.iter().filter(|entry| wanted(entry)).count();
        let (writes, flushes) = (of(|entry| matches!(entry, Entry::Write { .. })), of(|entry| matches!(entry, Entry::Flush)));
        let Counts { moments, folders, went_on, by_hand, found } = self;
        assert!(writes > 0 && flushes > 0 && *moments > 0, "{}: nothing was lost", recorded.title);
        println!("\n{}: {writes} writes, {flushes} flushes", recorded.title);
        println!("  the power went {moments} times and left {folders} different folders");
        println!("  the next boot went on from {went_on} of them, {by_hand} times with the command");
        for ((ledger, trace), count) in found {
            println!("  {:<12} {trace:<28} {count:>6}", if *ledger == Which::Old { "old ledger" } else { "new ledger" });
        }
    }
}

/// Carries out a run, and takes the power away at its moments.
fn lose(world: &mut World, way: Way, losses: &Losses) {
    let disk = Disk::new(world, way.features, way.options);
    way.record(world, &disk).lose(losses, &disk);
}

/// The power goes after the last message, and in the middle of the commit; and again at the moments of its recovery.
fn lose_again(world: &mut World, way: Way, losses: &Losses) {
    let disk = Disk::new(world, way.features, way.options);
    let recorded = way.record(world, &disk);
    for mark in [SENDS, KEPT] {
        let last = recorded.film.entries.iter().rposition(|entry| matches!(entry, Entry::Mark(name) if name == mark));
        recorded.recovery(last.map_or(0, |last| last + 1), mark, &disk).lose(losses, &disk);
    }
}

impl Recorded {
    /// Takes the power away at its moments.
    fn lose(&self, losses: &Losses, disk: &Disk) {
        let mut seen = Seen::new(self, losses, disk);
        let entries = &self.film.entries;
        for count in 0..=entries.len() {
            let is_flushed = matches!(entries.get(count), Some(Entry::Flush));
            let is_due = match count.checked_sub(1).map(|last| &entries[last]) {
                None | Some(Entry::Mark(_)) => true,
                Some(Entry::Flush) => false, // it is the same disk
                Some(Entry::Write { .. }) => losses.writes || is_flushed,
            };
            if is_due {
                seen.at(count, &self.film.image(count), &format!("{}, after {count} entries", self.title));
            }
            if is_flushed && self.film.unflushed(count) > 0 {
                for seed in 0..losses.torn {
                    let mut coin = Coin(seed << 32 | count as u64);
                    let image = self.film.torn(count, |_| coin.toss());
                    seen.at(count, &image, &format!("{}, torn after {count} entries by seed {seed}", self.title));
                }
            }
        }
        seen.counts.show(self);
    }
}

/// What was seen already: the same folder is judged once.
struct Seen<'a> {
    recorded: &'a Recorded,
    losses: &'a Losses,
    disk: &'a Disk,
    topology: command::File,
    folders: BTreeMap<BTreeMap<PathBuf, Vec<u8>>, Found>,
    kinds: BTreeSet<(Which, &'static str, Vec<PathBuf>)>,
    by_hand: HashSet<(Which, Discriminant<Trace>)>,
    counts: Counts,
}

impl<'a> Seen<'a> {
    fn new(recorded: &'a Recorded, losses: &'a Losses, disk: &'a Disk) -> Seen<'a> {
        let topology = command::File::new("shop.kdl", recorded.way.second.as_bytes());
        let (folders, kinds, by_hand) = (BTreeMap::new(), BTreeSet::new(), HashSet::new());
        Seen { recorded, losses, disk, topology, folders, kinds, by_hand, counts: Counts::default() }
    }

    /// The disk holds this after so many entries.
    fn at(&mut self, count: usize, image: &[u8], what: &str) {
        let (recorded, counts) = (self.recorded, &mut self.counts);
        self.disk.put(image);
        let mounted = self.disk.mount();
        let records = records(mounted.path());
        let mut files = BTreeMap::new();
        read_all(&records, &mut files);
        let known = self.folders.get(&files).copied();
        let found = known.unwrap_or_else(|| recorded.look(&records, what));
        recorded.judge(found, &recorded.film.entries[..count], what);
        counts.moments += 1;
        let kind = (found.ledger, found.trace.words());
        *counts.found.entry(kind).or_default() += 1;
        if known.is_some() {
            return;
        }
        counts.folders += 1;
        let names: Vec<PathBuf> = files.keys().filter(|_| self.losses.goes_on != Once::State).cloned().collect();
        self.folders.insert(files, found);
        if !self.kinds.insert((kind.0, kind.1, names)) && self.losses.goes_on != Once::Content {
            return;
        }
        counts.went_on += 1;
        recorded.goes_on(&records, found, what);
        drop(mounted);
        if self.losses.by_hand && self.by_hand.insert((found.ledger, std::mem::discriminant(&found.trace))) {
            counts.by_hand += 1;
            self.disk.put(image);
            recorded.says_what_to_do(&self::records(self.disk.mount().path()), found, &self.topology.path(), what);
        }
    }
}

/// Every file, to know a folder again.
fn read_all(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("a file").path()) {
        if path.is_dir() {
            read_all(&path, files);
        } else {
            files.insert(path.clone(), std::fs::read(&path).expect("a file"));
        }
    }
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

/// Without `fast_commit`: Linux 6.1 itself cannot mount every such file system again whose last writes were torn (EIO).
fn soak(_: &mut World) {
    let file_systems = [
        (JOURNAL, ORDERED),
        (JOURNAL, "data=writeback,noauto_da_alloc,commit=3600"),
        (JOURNAL, "data=journal,commit=3600"),
        (JOURNAL, "nodelalloc,commit=3600"),
    ];
    for (features, options) in file_systems {
        for way in [CHANGE, BEGIN, END, PENDING] {
            for beside_others in [false, true] {
                let way = Way { beside_others, features, options, ..way };
                lose(&mut World::new(), way, &MANY);
                lose_again(&mut World::new(), way, &MANY);
            }
        }
    }
}
