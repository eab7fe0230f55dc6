//! A run that dies at any moment, and the one that takes it back: the kernel holds what it held before or what the file says,
//! never anything else, and what others did in between stays.
//!
//! The victim is this program again, in the namespace of the test: it kills itself, so nothing of it can tidy up.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use libtest_mimic::Trial;
use lvsform::kernel::linux::Linux;
use lvsform::kernel::{Kernel, Outcome, ReadError};
use lvsform::plan::Phase;
use lvsform::state::{Observed, Scope, State};
use lvsform::txn::ledger::Instance;
use lvsform::txn::{self, Ended, Recovered, Signs, journal};
use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;

use crate::director::Director;
use crate::recorded::{self, Case, EXAMPLES, Folder, Goal};
use crate::world::{World, test, test_within};
use crate::{hand, witness};

/// The first argument of a victim.
pub const VICTIM: &str = "victim";

pub fn tests() -> Vec<Trial> {
    let mut tests = vec![
        test("killed::after_every_step_of_a_change", |world| killed(world, Death::Step, false)),
        test("killed::before_every_sync_of_the_records", |world| killed(world, Death::Sync, false)),
        test("killed::after_every_step_beside_somebody_who_writes", |world| killed(world, Death::Step, true)),
        test("killed::here_and_there_in_random_plans", random_pairs),
        test_within(Duration::from_mins(50), "killed::1000_times", a_thousand).with_ignored_flag(true),
        test("killed::in_another_life_of_the_namespace_nothing_is_undone", another_life),
        test("killed::a_journal_that_is_damaged_stops_everything", damaged_journal),
    ];
    tests
        .extend(EXAMPLES.map(|of| test(format!("killed::here_and_there_to_and_from_{}", of.0), move |world| example(world, of))));
    tests
}

/// Nearly every kind of object, and changes of nearly every rank between the two.
pub const FIRST: &str = r#"
topology "shop"
director "lb1" {
    interface "eth0" address="10.0.0.2/24"
    sysctl "net.ipv4.vs.expire_quiescent_template" 1
}
vip "a" address="10.0.0.100"
vip "b" address="192.0.2.101"
timeouts tcp="5m"
service "web" { listen vip="a" port=80; forward "dr"; scheduler "sh"; server "10.0.0.[11-13]" weight=10; }
service "old" { listen vip="a" port=81; forward "dr"; server "10.0.0.11" weight=1; }
lint "no-real-servers" level="allow" reason="the director alone"
"#;
pub const SECOND: &str = r#"
topology "shop"
director "lb1" {
    interface "eth0" address="10.0.0.2/24"
    sysctl "net.ipv4.vs.expire_quiescent_template" 0
}
vip "a" address="10.0.0.100"
vip "c" address="10.0.0.102"
timeouts tcp="6m"
service "web" { listen vip="a" port=80; forward "dr"; scheduler "sh"; server "10.0.0.10" weight=5; server "10.0.0.[12-13]" weight=20; }
service "new" { listen vip="c" port=82; forward "nat"; return-path "none"; server "10.0.0.11" weight=1; }
lint "no-real-servers" level="allow" reason="the director alone"
"#;

pub fn goal(text: &str) -> (Director, Goal) {
    let director = Director::of_text(text, "lb1");
    let wanted = director.compiled.state.clone();
    (director, Goal { wanted, exclusive: false })
}

fn die() -> ! {
    let _ = kill(getpid(), Signal::SIGKILL);
    unreachable!("SIGKILL cannot be held back")
}

/// The kernel below, in which this process dies after so many steps.
struct Deadly {
    kernel: Linux,
    left: usize,
}

impl Kernel for Deadly {
    fn read(&mut self, scope: &Scope) -> Result<Observed, ReadError> {
        self.kernel.read(scope)
    }

    fn run(&mut self, phase: &Phase) -> Vec<Outcome> {
        if self.left >= phase.steps.len() {
            self.left -= phase.steps.len();
            return self.kernel.run(phase);
        }
        let steps = phase.steps.iter().take(self.left).cloned().collect();
        self.kernel.run(&Phase { rank: phase.rank, steps });
        die()
    }
}

/// Where a run dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Death {
    /// After so many steps.
    Step(usize),
    /// Before a sync of the records, after so many of them.
    Sync(usize),
}

impl Death {
    fn words(self) -> (&'static str, usize) {
        match self {
            Death::Step(count) => ("step", count),
            Death::Sync(count) => ("sync", count),
        }
    }
}

/// `victim RECORDS step|sync COUNT`: a run towards what lies in the folder.
pub fn victim(arguments: &[String]) -> ExitCode {
    let [records, what, count] = arguments else { return ExitCode::FAILURE };
    let mut left: usize = count.parse().expect("a number");
    let mut kernel = Linux::open(None).expect("sockets");
    let records = Path::new(records);
    let goal = std::fs::read(records.join(GOAL)).expect("a goal");
    let goal: Goal = serde_json::from_slice(&goal).expect("a goal");
    let mut store = recorded::store(records);
    let ended = if what == "step" {
        goal.run_with(&mut store, &mut Deadly { kernel, left }, Signs::default())
    } else {
        store.before_each_sync(move || {
            if left == 0 {
                die();
            }
            left -= 1;
            Ok(())
        });
        goal.run_with(&mut store, &mut kernel, Signs::default())
    };
    match ended {
        Ended::Applied => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The file that says where a victim runs to.
pub const GOAL: &str = "goal.json";

/// Runs towards a goal, and dies there. Whether it came to its end all the same.
pub fn strike(records: &Path, goal: &Goal, death: Death) -> bool {
    std::fs::write(records.join(GOAL), serde_json::to_vec(goal).expect("JSON")).expect("our own folder");
    let (what, count) = death.words();
    let status = Command::new(std::env::current_exe().expect("this program"))
        .args([VICTIM, &records.to_string_lossy(), what, &count.to_string()])
        .status()
        .expect("it starts");
    assert!(status.success() || status.signal() == Some(Signal::SIGKILL as i32), "{death:?}: {status}");
    status.success()
}

/// How the runs ended.
#[derive(Default)]
struct Counts {
    /// Taken back and finished, by what they died at; the last: those that did not die.
    rows: BTreeMap<&'static str, [usize; 2]>,
}

impl Counts {
    fn add(&mut self, what: &'static str, finished: bool) {
        self.rows.entry(what).or_default()[usize::from(finished)] += 1;
    }

    fn add_all(&mut self, other: &Counts) {
        for (what, [taken_back, finished]) in &other.rows {
            let row = self.rows.entry(what).or_default();
            row[0] += taken_back;
            row[1] += finished;
        }
    }

    fn kills(&self) -> usize {
        self.rows.iter().filter(|(what, _)| **what != SURVIVED).flat_map(|(_, row)| row).sum()
    }

    #[expect(clippy::disallowed_macros, reason = "the table of a test is its result")]
    fn show(&self, title: &str) {
        println!("\n{title}: {} kills\n  {:<24} {:>10} {:>10}", self.kills(), "", "taken back", "finished");
        for (what, [taken_back, finished]) in &self.rows {
            println!("  {what:<24} {taken_back:>10} {finished:>10}");
        }
    }
}

const SURVIVED: &str = "did not die";

/// One run from `first` to `second` that dies, and what becomes of it: the kernel holds `before`, which is the first state,
/// or the second. Then it holds the first again. Whether it survived.
fn once(world: &mut World, case: &Case, records: &Folder, before: &State, death: Death, counts: &mut Counts) -> bool {
    let what = format!("{}, {death:?}", case.name);
    let ledger = records.ledger();
    let survived = strike(records.path(), &case.second, death);
    let finished = match recorded::recover(records.path(), &mut world.kernel) {
        None => records.ledger() != ledger,
        Some(Recovered::WasDone) => true,
        Some(Recovered::TakenBack) => false,
        Some(other) => panic!("{what}: {other:?}"),
    };
    assert!(finished || !survived, "{what}: what was applied stays applied");
    assert!(records.has_ended(), "{what}: the journal is gone");
    assert!(records.has_way_back(), "{what}: what there was before is kept");
    assert_eq!(records.ledger() != ledger, finished, "{what}: the ledger says what is there");
    counts.add(if survived { SURVIVED } else { death.words().0 }, finished);
    if finished {
        assert_eq!(case.second.finds(&mut world.kernel), Vec::<String>::new(), "{what}: it holds what the file says");
        let ended = case.first.run(records.path(), &mut world.kernel);
        assert!(matches!(ended, Ended::Applied), "{what}: {ended:#?}");
    }
    let now = recorded::held(&mut world.kernel, &case.scope());
    assert!(now == *before, "{what}, {}:\n{}", if finished { "and back" } else { "taken back" }, recorded::shown(before, &now));
    survived
}

/// Dies at `deaths`, or with none given at every step and sync.
fn all_deaths(world: &mut World, case: &Case, records: &Folder, deaths: Option<Vec<Death>>) -> Counts {
    let before = recorded::held(&mut world.kernel, &case.scope());
    let seen = case.seen(world);
    let mut counts = Counts::default();
    if let Some(deaths) = deaths {
        for death in deaths {
            once(world, case, records, &before, death, &mut counts);
        }
    } else {
        for of in [Death::Step, Death::Sync] {
            let survives = (0..400).any(|count| once(world, case, records, &before, of(count), &mut counts));
            assert!(survives, "a run has less steps and syncs than that");
        }
    }
    assert_eq!(case.seen(world), seen, "{}", case.name);
    counts
}

/// So many steps and syncs, spread over a run.
fn spread(world: &mut World, case: &Case, records: &Folder, count: usize) -> Vec<Death> {
    let (_, _, phases) = case.second.plan(records.path(), &mut world.kernel);
    let steps: usize = phases.iter().map(|phase| phase.steps.len()).sum();
    // The journal, and two ledgers unless it ends with none, of two syncs each; a mark for each phase; the commit in two, and
    // two that are removed.
    let ends = case.second.wanted.objects.is_empty();
    let syncs = if ends { 2 } else { 6 } + phases.len() + 4;
    let at = |all: usize, number: usize| all * (2 * number + 1) / (2 * count);
    (0..count).flat_map(|number| [Death::Step(at(steps, number)), Death::Sync(at(syncs, number))]).collect()
}

/// There and back: from the first state to the second, and from the second to the first.
fn both_ways(world: &mut World, case: Case, count: Option<usize>) -> Counts {
    let records = Folder::new();
    case.start(world, records.path());
    let mut counts = Counts::default();
    let mut one_way = |world: &mut World, case: &Case| {
        let deaths = count.map(|count| spread(world, case, &records, count));
        counts.add_all(&all_deaths(world, case, &records, deaths));
    };
    one_way(world, &case);
    let ended = case.second.run(records.path(), &mut world.kernel);
    assert!(matches!(ended, Ended::Applied), "{}: {ended:#?}", case.name);
    one_way(world, &case.turned());
    counts
}

fn example(world: &mut World, (file, host): (&str, &str)) {
    both_ways(world, Case::example(file, host), Some(2)).show(file);
}

fn random_pairs(_: &mut World) {
    let mut counts = Counts::default();
    for case in Case::random(6) {
        counts.add_all(&both_ways(&mut World::new(), case, Some(1)));
    }
    counts.show("random pairs");
}

/// Every step and sync of every example, there and back, and of random pairs until there are a thousand.
fn a_thousand(_: &mut World) {
    let mut counts = Counts::default();
    for (file, host) in EXAMPLES {
        counts.add_all(&both_ways(&mut World::new(), Case::example(file, host), None));
    }
    for case in Case::random(200) {
        if counts.kills() >= 1000 {
            break;
        }
        counts.add_all(&both_ways(&mut World::new(), case, Some(6)));
    }
    counts.show("all examples and random pairs");
    assert!(counts.kills() >= 1000);
}

/// The shop of this module, with somebody else who writes between the crash and the recovery.
fn killed(world: &mut World, of: fn(usize) -> Death, meddled: bool) {
    let (case, records) = shop(world);
    if meddled {
        hand::feed("ipvsadm", "-R", "-A -t 10.0.0.9:25 -s rr\n-a -t 10.0.0.9:25 -r 10.0.0.30:25 -m\n");
    }
    let before = recorded::held(&mut world.kernel, &case.scope());
    let seen = case.seen(world);
    let mut counts = Counts::default();
    let survives = (0..200).any(|count| {
        if count % 8 == 0 {
            assert_eq!(case.seen(world), seen, "{count}");
        }
        once(world, &case, &records, &before, of(count), &mut counts)
    });
    assert!(survives && counts.kills() > 10, "a run has less than 200 steps");
    counts.show(if meddled { "the shop, beside somebody who writes" } else { "the shop" });
}

/// The shop as it is at first.
pub fn shop(world: &mut World) -> (Case, Folder) {
    let ((director, first), (_, second)) = (goal(FIRST), goal(SECOND));
    director.plug_in(world);
    let records = Folder::new();
    let ended = first.run(records.path(), &mut world.kernel);
    assert!(matches!(ended, Ended::Applied), "{}", director.words(&ended));
    (Case::new("the shop", first, second, director), records)
}

/// The shop, changed by a run that died in the middle.
pub fn half_done(world: &mut World) -> (Director, Folder) {
    let (case, records) = shop(world);
    assert!(!strike(records.path(), &case.second, Death::Step(9)));
    (goal(FIRST).0, records)
}

fn another_life(world: &mut World) {
    let (first, records) = half_done(world);
    let mut store = records.store();
    let unfinished = journal::unfinished(&store).expect("a journal").expect("the run did not end");
    let before = witness::everything(world, &first);
    let other = Instance { boot: "another".to_owned(), ..recorded::here() };
    let recovered = txn::recover(&mut world.kernel, &mut store, &unfinished, &other).expect("a recovery");
    assert!(matches!(recovered, Recovered::WasGone), "{recovered:?}");
    assert_eq!(witness::everything(world, &first), before);
    assert!(journal::unfinished(&store).expect("records").is_none());
}

fn damaged_journal(world: &mut World) {
    let (first, records) = half_done(world);
    let store = records.store();
    let path = journal::journal_path(&store);
    let whole = std::fs::read(&path).expect("a journal");
    let before = witness::everything(world, &first);
    // Each byte cut is tried on the record by itself; here the command must refuse whatever is wrong with it.
    for end in [0, 1, whole.len() / 3, whole.len() - 1] {
        std::fs::write(&path, &whole[..end]).expect("our own file");
        let arguments = format!("recover --state-dir {}", records.path().display());
        let (_, err) = crate::command::run(crate::command::lvsform(&arguments), 9);
        crate::command::says(&err, &["is damaged", "--discard"]);
    }
    assert_eq!(witness::everything(world, &first), before);
    std::fs::write(&path, &whole).expect("our own file");
    let arguments = format!("recover --state-dir {}", records.path().display());
    let (out, _) = crate::command::run(crate::command::lvsform(&arguments), 0);
    crate::command::says(&out, &["was taken back"]);
    assert!(first.finds(&mut world.kernel).is_empty());
}
