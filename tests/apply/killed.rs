//! A run that dies at any moment, and the one that takes it back: the kernel holds what it held before or what the file says,
//! never anything else, and what others did in between stays.
//!
//! The victim is this program again, in the namespace of the test: it kills itself, so nothing of it can tidy up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::Trial;
use lvsform::kernel::linux::Linux;
use lvsform::kernel::{Kernel, Outcome, ReadError, netns};
use lvsform::plan::{Aim, Phase};
use lvsform::state::{Key, Observed, Scope};
use lvsform::txn::ledger::{Claims, Instance, Ledger};
use lvsform::txn::store::Store;
use lvsform::txn::{self, Ended, Records, Recovered, Run, Signs, history, journal};
use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;

use crate::director::Director;
use crate::world::{World, test};
use crate::{hand, witness};

/// The first argument of a victim.
pub const VICTIM: &str = "victim";

pub fn tests() -> Vec<Trial> {
    vec![
        test("killed::after_every_step_of_a_change", |world| killed(world, "step", false)),
        test("killed::before_every_sync_of_the_records", |world| killed(world, "sync", false)),
        test("killed::after_every_step_beside_somebody_who_writes", |world| killed(world, "step", true)),
        test("killed::in_another_life_of_the_namespace_nothing_is_undone", another_life),
        test("killed::a_journal_that_is_damaged_stops_everything", damaged_journal),
    ]
}

const TOPOLOGY: &str = "shop";

/// Nearly every kind of object, and changes of nearly every rank between the two.
const FIRST: &str = r#"
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
"#;
const SECOND: &str = r#"
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
"#;

/// Applies `text` with records, and dies on the way where it is told to.
fn apply(text: &str, records: &Path, kernel: &mut dyn Kernel, die_before_sync: Option<usize>) -> Ended {
    let director = Director::of_text(text, "lb1");
    let cookie = netns::cookie().expect("a cookie");
    let instance = Instance { boot: netns::boot().expect("a boot"), cookie };
    let mut store = Store::open(records, &netns::name(cookie)).expect("records");
    let claims = Claims::read(&store, TOPOLOGY, None, &instance).expect("claims");
    let wanted = &director.compiled.state;
    let aim = Aim::new(wanted, &claims.owned());
    let observed = kernel.read(&Scope::of(&aim.wanted)).expect("a reading");
    let plan = director.plan_towards(&aim, &observed);
    let transaction = history::transaction();
    let next = Ledger {
        topology: TOPOLOGY.to_owned(),
        host: "lb1".to_owned(),
        instance: instance.clone(),
        transaction: transaction.clone(),
        at: 0,
        by: String::new(),
        sources: String::new(),
        exclusive: false,
        protect: BTreeSet::new(),
        debts: BTreeMap::new(),
        former: None,
        pending: None,
        entries: claims.entries(wanted, ToString::to_string, &observed),
    };
    if let Some(mut left) = die_before_sync {
        store.before_each_sync(move || if left == 0 { die() } else { left -= 1 });
    }
    let (topology, host) = (TOPOLOGY.to_owned(), "lb1".to_owned());
    let records = Records { store: &mut store, transaction, topology, host, instance, next: Some(next), former: None };
    let run = Run {
        aim: &aim,
        exclusive: false,
        observed: &observed,
        phases: plan.phases,
        records: Some(records),
        signs: Signs::default(),
    };
    txn::run(kernel, run)
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

/// `victim RECORDS step|sync COUNT`
pub fn victim(arguments: &[String]) -> ExitCode {
    let [records, what, count] = arguments else { return ExitCode::FAILURE };
    let count: usize = count.parse().expect("a number");
    let kernel = Linux::open(None).expect("sockets");
    let records = Path::new(records);
    let ended = match what.as_str() {
        "step" => apply(SECOND, records, &mut Deadly { kernel, left: count }, None),
        _ => apply(SECOND, records, &mut { kernel }, Some(count)),
    };
    match ended {
        Ended::Applied => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Everything that a test compares, by our own reading and by the witnesses.
fn all(world: &mut World, director: &Director) -> String {
    let mut state = world.read_scope(&director.scope()).state;
    // A device that is made anew has another one.
    state.objects.retain(|key, _| !matches!(key, Key::Address(address) if address.comes_by_itself()));
    serde_json::to_string_pretty(&state).expect("JSON")
}

fn folder() -> PathBuf {
    nix::unistd::mkdtemp("/tmp/lvsform-test-XXXXXX").expect("a folder")
}

fn killed(world: &mut World, what: &str, meddled: bool) {
    let (first, second) = (Director::of_text(FIRST, "lb1"), Director::of_text(SECOND, "lb1"));
    first.plug_in(world);
    let records = folder();
    let ended = apply(FIRST, &records, &mut world.kernel, None);
    assert!(matches!(ended, Ended::Applied), "{}", first.words(&ended));
    let before = all(world, &first);
    let seen = witness::everything(world, &first);
    let (mut taken_back, mut done) = (0, 0);
    for count in 0.. {
        assert!(count < 200, "a run has less steps than that");
        let status = Command::new(std::env::current_exe().expect("this program"))
            .args([VICTIM, &records.to_string_lossy(), what, &count.to_string()])
            .status()
            .expect("it starts");
        let survived = status.success();
        // Somebody else, between the crash and the recovery.
        if meddled {
            hand::feed("ipvsadm", "-R", "-A -t 10.0.0.9:25 -s rr\n-a -t 10.0.0.9:25 -r 10.0.0.30:25 -m\n");
        }
        let cookie = netns::cookie().expect("a cookie");
        let instance = Instance { boot: netns::boot().expect("a boot"), cookie };
        let mut store = Store::open(&records, &netns::name(cookie)).expect("records");
        let mut committed = survived;
        if let Some(unfinished) = journal::unfinished(&store).expect("a journal that is whole") {
            committed = unfinished.committed;
            let recovered = txn::recover(&mut world.kernel, &mut store, &unfinished, &instance).expect("a recovery");
            match recovered {
                Recovered::WasDone => assert!(committed),
                Recovered::TakenBack => assert!(!committed),
                other => panic!("{what} {count}: {other:?}"),
            }
        }
        if meddled {
            let table = witness::table(world).join("\n");
            assert!(table.contains("-a -t 10.0.0.9:25 -r 10.0.0.30:25 -m"), "{what} {count}: theirs stays: {table}");
            hand::run("ipvsadm", "-D -t 10.0.0.9:25");
        }
        let ledger = Ledger::read(&store, TOPOLOGY).expect("a ledger").expect("a ledger");
        let new =
            second.compiled.state.objects.keys().all(|key| ledger.entries.contains_key(key) || matches!(key, Key::Module(_)));
        assert!(journal::unfinished(&store).expect("records").is_none(), "{what} {count}: the records are tidy");
        if new && ledger.entries.len() != first.compiled.state.objects.len() || committed {
            done += 1;
            assert!(second.finds(&mut world.kernel).is_empty(), "{what} {count}: it holds what the file says");
            // Back, for the next one.
            let ended = apply(FIRST, &records, &mut world.kernel, None);
            assert!(matches!(ended, Ended::Applied), "{}", first.words(&ended));
        } else {
            taken_back += 1;
        }
        let now = all(world, &first);
        assert!(now == before, "{what} {count}:\n{}", similar::TextDiff::from_lines(&before, &now).unified_diff());
        if count % 8 == 0 {
            assert_eq!(witness::everything(world, &first), seen, "{what} {count}");
        }
        if survived {
            break;
        }
    }
    assert!(taken_back > 5 && done > 0, "{taken_back} taken back, {done} done");
    std::fs::remove_dir_all(records).expect("our own folder");
}

fn another_life(world: &mut World) {
    let first = Director::of_text(FIRST, "lb1");
    first.plug_in(world);
    let records = folder();
    assert!(matches!(apply(FIRST, &records, &mut world.kernel, None), Ended::Applied));
    let _ = Command::new(std::env::current_exe().expect("this program"))
        .args([VICTIM, &records.to_string_lossy(), "step", "9"])
        .status();
    let cookie = netns::cookie().expect("a cookie");
    let mut store = Store::open(&records, &netns::name(cookie)).expect("records");
    let unfinished = journal::unfinished(&store).expect("a journal").expect("the run did not end");
    let before = witness::everything(world, &first);
    let other = Instance { boot: "another".to_owned(), cookie };
    let recovered = txn::recover(&mut world.kernel, &mut store, &unfinished, &other).expect("a recovery");
    assert!(matches!(recovered, Recovered::WasGone), "{recovered:?}");
    assert_eq!(witness::everything(world, &first), before);
    assert!(journal::unfinished(&store).expect("records").is_none());
    std::fs::remove_dir_all(records).expect("our own folder");
}

fn damaged_journal(world: &mut World) {
    let first = Director::of_text(FIRST, "lb1");
    first.plug_in(world);
    let records = folder();
    assert!(matches!(apply(FIRST, &records, &mut world.kernel, None), Ended::Applied));
    let _ = Command::new(std::env::current_exe().expect("this program"))
        .args([VICTIM, &records.to_string_lossy(), "step", "9"])
        .status();
    let cookie = netns::cookie().expect("a cookie");
    let store = Store::open(&records, &netns::name(cookie)).expect("records");
    let path = journal::journal_path(&store);
    let whole = std::fs::read(&path).expect("a journal");
    let before = witness::everything(world, &first);
    // Each byte cut is tried on the record by itself; here the command must refuse whatever is wrong with it.
    for end in [0, 1, whole.len() / 3, whole.len() - 1] {
        std::fs::write(&path, &whole[..end]).expect("our own file");
        let arguments = format!("recover --state-dir {}", records.display());
        let (_, err) = crate::command::run(crate::command::lvsform(&arguments), 9);
        crate::command::says(&err, &["is damaged", "--discard"]);
    }
    assert_eq!(witness::everything(world, &first), before);
    std::fs::write(&path, &whole).expect("our own file");
    let arguments = format!("recover --state-dir {}", records.display());
    let (out, _) = crate::command::run(crate::command::lvsform(&arguments), 0);
    crate::command::says(&out, &["was taken back"]);
    assert!(first.finds(&mut world.kernel).is_empty());
    std::fs::remove_dir_all(records).expect("our own folder");
}
