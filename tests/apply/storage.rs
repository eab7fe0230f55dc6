//! Records that cannot be written, or are not what was written: the kernel is right all the same, nothing panics, and the
//! operator is told what to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libtest_mimic::Trial;
use lvsform::kernel::fake::Fake;
use lvsform::kernel::{Kernel, Outcome, ReadError};
use lvsform::plan::{Phase, Rank};
use lvsform::state::{Key, Observed, Scope, State};
use lvsform::txn::ledger::{Claims, LedgerError};
use lvsform::txn::store::{Record, Store};
use lvsform::txn::{self, Ended, Failure, Recovered, Signs, journal};
use nix::errno::Errno;

use crate::command::{lvsform, run, says};
use crate::hand;
use crate::killed::{FIRST, goal, half_done, shop};
use crate::recorded::{self, Case, Folder, Goal};
use crate::world::{World, test};
use crate::wrap::Meddled;

pub fn tests() -> Vec<Trial> {
    vec![
        test("storage::with_any_amount_of_room_a_run_is_done_or_nothing_is_changed", room),
        test("storage::a_disk_that_fills_up_at_any_write_changes_nothing", fills_up),
        test("storage::a_full_disk_and_one_that_is_read_only_are_said", said),
        test("storage::a_disk_that_turns_read_only_before_any_phase_leaves_the_kernel_as_it_was", turns_read_only),
        test("storage::marks_cut_anywhere_never_pass_for_a_clean_kernel", cut_marks),
        test("storage::a_bit_flipped_anywhere_is_damage_and_is_said", flipped),
        test("storage::a_run_beside_a_damaged_ledger_is_taken_back", damaged_ledger),
        test("storage::whichever_sync_fails_a_run_is_done_or_nothing_is_changed_and_the_failure_is_said", failing),
        test("storage::a_commit_that_the_disk_loses_after_all_is_a_run_that_did_not_end", lost_commit),
        test("storage::what_others_made_stays_whichever_sync_fails", failing_beside_others),
    ]
}

/// A small disk in place of the folder for records.
struct Disk<'a> {
    folder: &'a Path,
    size: usize,
}

const PAGE: usize = 4096;

impl<'a> Disk<'a> {
    /// The records that are there already move onto it.
    fn new(records: &'a Folder) -> Disk<'a> {
        let (folder, kept) = (records.path(), Folder::new());
        let [from, to] = [folder, kept.path()].map(|path| path.display().to_string());
        hand::run("cp", &format!("-a {from}/. {to}"));
        let size = 64 * PAGE;
        hand::run("mount", &format!("-t tmpfs -o size={size},mode=750 tmpfs {from}"));
        hand::run("cp", &format!("-a {to}/. {from}"));
        Disk { folder, size }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Leaves room for so many pages.
    fn leave(&self, pages: usize) {
        fill(&self.ballast());
        let file = std::fs::OpenOptions::new().write(true).open(self.ballast()).expect("our own file");
        let full = file.metadata().expect("our own file").len();
        file.set_len(full.saturating_sub((pages * PAGE) as u64)).expect("our own file");
    }

    fn make_room(&self) {
        let _ = std::fs::remove_file(self.ballast());
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        hand::run("umount", &self.folder.display().to_string());
    }
}

/// Writes until the disk is full.
fn fill(path: &Path) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).expect("a file");
    while std::io::Write::write_all(&mut file, &[0; PAGE]).is_ok() {}
}

/// A run failed for want of room: nothing has changed, and with room it is done and can be taken back again.
#[track_caller]
fn nothing_changed(world: &mut World, case: &Case, records: &Folder, before: &State, ended: &Ended, what: &str) {
    let refused = matches!(ended, Ended::NotBegun(_) | Ended::RolledBack(Failure::Storing(_)));
    assert!(refused, "{what}: {ended:#?}");
    let now = recorded::held(&mut world.kernel, &case.scope());
    assert!(now == *before, "{what}\n{}", recorded::shown(before, &now));
    let recovered = recorded::recover(records.path(), &mut world.kernel);
    assert!(matches!(recovered, None | Some(Recovered::TakenBack)), "{what}: {recovered:?}");
    let now = recorded::held(&mut world.kernel, &case.scope());
    assert!(now == *before, "{what}, recovered\n{}", recorded::shown(before, &now));
}

fn room(world: &mut World) {
    let (case, records) = shop(world);
    let before = recorded::held(&mut world.kernel, &case.scope());
    let disk = Disk::new(&records);
    let mut refused = 0;
    for pages in 0..disk.size / PAGE {
        disk.leave(pages);
        let ended = case.second.run(records.path(), &mut world.kernel);
        disk.make_room();
        if matches!(ended, Ended::Applied) {
            break;
        }
        refused += 1;
        nothing_changed(world, &case, &records, &before, &ended, &format!("{pages} pages"));
    }
    assert!(refused > 1, "{refused} refused");
    assert_eq!(case.second.finds(&mut world.kernel), Vec::<String>::new());
    assert!(records.is_tidy());
}

fn fills_up(world: &mut World) {
    let (case, records) = shop(world);
    let before = recorded::held(&mut world.kernel, &case.scope());
    let disk = Disk::new(&records);
    let (mut refused, mut applied) = (0, 0);
    for at in 0..40_usize {
        let mut store = records.store();
        let (ballast, mut left) = (disk.ballast(), at);
        store.before_each_sync(move || {
            if left == 0 {
                fill(&ballast);
            }
            left = left.wrapping_sub(1);
            Ok(())
        });
        let ended = case.second.run_with(&mut store, &mut world.kernel, Signs::default());
        disk.make_room();
        if matches!(ended, Ended::Applied) {
            applied += 1;
            assert_eq!(case.second.finds(&mut world.kernel), Vec::<String>::new(), "sync {at}");
            assert!(records.is_tidy(), "sync {at}");
            assert!(matches!(case.first.run(records.path(), &mut world.kernel), Ended::Applied), "sync {at}: and back");
        } else {
            refused += 1;
            nothing_changed(world, &case, &records, &before, &ended, &format!("sync {at}"));
        }
    }
    assert!(refused > 1 && applied > 1, "{refused} refused, {applied} applied");
}

fn said(world: &mut World) {
    let director = crate::director::Director::of("examples/flash-sale.kdl", "lb1");
    director.plug_in(world);
    let records = Folder::new();
    let disk = Disk::new(&records);
    let seen = crate::witness::everything(world, &director);
    let line = |verb: &str| format!("{verb} examples/flash-sale.kdl --host lb1 --state-dir {}", records.path().display());
    let apply = || lvsform(&format!("{} --yes", line("apply")));
    disk.leave(0);
    let (_, err) = run(apply(), 1);
    says(&err, &["No space left on device", "nothing was changed", "help: make room"]);
    disk.make_room();
    hand::run("mount", &format!("-o remount,ro {}", records.path().display()));
    let (_, err) = run(apply(), 1);
    says(&err, &["Read-only file system", "nothing was changed", "help:"]);
    run(lvsform(&line("plan")), 0);
    assert_eq!(crate::witness::everything(world, &director), seen);
    hand::run("mount", &format!("-o remount,rw {}", records.path().display()));
    run(apply(), 0);
    director.apply_all(&mut world.kernel);
}

/// As a disk with a bad sector is mounted anew.
fn turns_read_only(world: &mut World) {
    let (case, records) = shop(world);
    let before = recorded::held(&mut world.kernel, &case.scope());
    let _disk = Disk::new(&records);
    let folder = records.path().display();
    let (_, _, phases) = case.second.plan(records.path(), &mut world.kernel);
    for phase in &phases {
        let what = format!("before {:?}", phase.rank);
        let write = || hand::run("mount", &format!("-o remount,ro {folder}"));
        let mut kernel = Meddled { kernel: &mut world.kernel, before: phase.rank, write: Some(Box::new(write)) };
        let ended = case.second.run(records.path(), &mut kernel);
        drop(kernel);
        assert!(matches!(ended.apart(), (Ended::RolledBack(Failure::Storing(_)), Some(_))), "{what}: {ended:#?}");
        let now = recorded::held(&mut world.kernel, &case.scope());
        assert!(now == before, "{what}\n{}", recorded::shown(&before, &now));
        hand::run("mount", &format!("-o remount,rw {folder}"));
        let recovered = recorded::recover(records.path(), &mut world.kernel);
        assert!(matches!(recovered, Some(Recovered::TakenBack)), "{what}: {recovered:?}");
        let now = recorded::held(&mut world.kernel, &case.scope());
        assert!(now == before && records.is_tidy(), "{what}, recovered\n{}", recorded::shown(&before, &now));
    }
    assert!(phases.len() > 5);
    assert!(matches!(case.second.run(records.path(), &mut world.kernel), Ended::Applied));
}

/// A kernel that is gone after so many steps: as if the program had died, but its test goes on.
struct Gone<'a> {
    kernel: &'a mut Fake,
    left: usize,
    is_over: bool,
}

impl Kernel for Gone<'_> {
    fn read(&mut self, scope: &Scope) -> Result<Observed, ReadError> {
        if self.is_over { Err(ReadError::Malformed { what: "nothing".to_owned() }) } else { self.kernel.read(scope) }
    }

    fn run(&mut self, phase: &Phase) -> Vec<Outcome> {
        let outcome = |step: &lvsform::state::Change| {
            if self.is_over || self.left == 0 {
                self.is_over = true;
                return Outcome::Unknown;
            }
            self.left -= 1;
            self.kernel.run(&Phase { rank: phase.rank, steps: vec![step.clone()] }).remove(0)
        };
        phase.steps.iter().map(outcome).collect()
    }
}

/// Every way in which the end of the marks can be lost, on the model.
fn cut_marks(world: &mut World) {
    let (case, records) = shop(world);
    let scope = case.scope();
    let whole_kernel = world.kernel.read(&scope).expect("a reading");
    let before = recorded::held(&mut Fake::from(whole_kernel.clone()), &scope);
    let (_, _, phases) = case.second.plan(records.path(), &mut world.kernel);
    let steps: usize = phases.iter().map(|phase| phase.steps.len()).sum();
    let (mut clean, mut named) = (0, 0);
    for died_at in 0..steps {
        let mut fake = Fake::from(whole_kernel.clone());
        let mut gone = Gone { kernel: &mut fake, left: died_at, is_over: false };
        let ended = case.second.run(records.path(), &mut gone);
        assert!(matches!(ended, Ended::Unreadable(..)), "{ended:?}");
        let half = fake.read(&scope).expect("a reading");
        let store = records.store();
        let [journal, marks] = [Record::Journal, Record::Marks].map(|record| store.path(record));
        let whole = [&journal, &marks].map(|path| std::fs::read(path).expect("a record"));
        let breaks: Vec<usize> = (0..=whole[1].len()).filter(|end| *end == 0 || whole[1][end - 1] == b'\n').collect();
        // Where a line ends, and in the middle of each.
        for end in breaks.iter().flat_map(|end| [*end, (*end + 17).min(whole[1].len())]) {
            let what = format!("died at step {died_at}, marks cut at {end}");
            std::fs::write(&journal, &whole[0]).expect("our own file");
            std::fs::write(&marks, &whole[1][..end]).expect("our own file");
            let mut fake = Fake::from(half.clone());
            let recovered = recorded::recover(records.path(), &mut fake).expect("a run that did not end");
            let now = recorded::held(&mut fake, &scope);
            let differs = recorded::differences(&before, &now);
            match recovered {
                Recovered::TakenBack => {
                    assert!(differs.is_empty(), "{what}: called clean\n{}", recorded::shown(&before, &now));
                    clean += 1;
                }
                Recovered::Incomplete(_) => named += 1,
                other => panic!("{what}: {other:?}"),
            }
        }
        journal::forget(&mut records.store()).expect("our own files");
    }
    assert!(clean > 10 && named > 10, "{clean} clean, {named} named");
}

fn flipped(world: &mut World) {
    let (director, records) = half_done(world);
    let store = records.store();
    let seen = crate::witness::everything(world, &director);
    let recover = format!("recover --state-dir {}", records.path().display());
    for (record, every) in [(Record::Journal, 29), (Record::Marks, 1), (Record::Ledger(recorded::TOPOLOGY), 13)] {
        let path = store.path(record);
        let whole = std::fs::read(&path).expect("a record");
        let bits = (0..whole.len()).step_by(every).map(|byte| byte * 8 + byte % 8);
        for (number, bit) in bits.enumerate() {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).expect("our own file");
            let torn = record == Record::Marks && bit / 8 == whole.len() - 1;
            let damaged = match record {
                Record::Ledger(_) => Claims::read(&store, recorded::TOPOLOGY, None, &recorded::here()).map(drop),
                _ => journal::unfinished(&store).map(drop),
            };
            assert!(torn || matches!(damaged, Err(LedgerError::Damaged(..))), "{record:?}, bit {bit}: {damaged:?}");
            // The command takes its time: now and then.
            if number % 200 == 0 && !matches!(record, Record::Ledger(_)) {
                let (_, err) = run(lvsform(&recover), 9);
                says(&err, &["is damaged", "--to-ledger", "--discard", "nothing was changed"]);
                let apply = format!("apply examples/flash-sale.kdl --host lb1 --yes --state-dir {}", records.path().display());
                let (_, err) = run(lvsform(&apply), 9);
                says(&err, &["is damaged", "--to-ledger"]);
            }
        }
        std::fs::write(&path, &whole).expect("our own file");
    }
    assert_eq!(crate::witness::everything(world, &director), seen, "nothing was touched");
    run(lvsform(&recover), 0);
    assert!(director.finds(&mut world.kernel).is_empty());
}

fn damaged_ledger(world: &mut World) {
    let (director, records) = half_done(world);
    let store: Store = records.store();
    let path = store.path(Record::Ledger(recorded::TOPOLOGY));
    let whole = std::fs::read(&path).expect("a ledger");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("our own file");
    let unfinished = journal::unfinished(&store).expect("a journal").expect("a run");
    assert!(!unfinished.committed);
    let mut store = records.store();
    let recovered = txn::recover(&mut world.kernel, &mut store, &unfinished, &recorded::here()).expect("a recovery");
    assert!(matches!(recovered, Recovered::TakenBack), "{recovered:?}");
    assert!(director.finds(&mut world.kernel).is_empty());
}

/// A disk of which syncs fail, the one of this number, and all after it if it is `for_good`, and which has lost what was appended
/// then. Whether one has failed.
fn fail(store: &mut Store, mut left: usize, for_good: bool) -> Arc<AtomicBool> {
    let failed = Arc::new(AtomicBool::new(false));
    let said = Arc::clone(&failed);
    let marks = store.path(Record::Marks);
    let mut confirmed = 0;
    store.before_each_sync(move || {
        let file = std::fs::OpenOptions::new().write(true).open(&marks);
        if left > 0 {
            left -= 1;
            confirmed = file.map_or(0, |file| file.metadata().expect("our own file").len());
            return Ok(());
        }
        left = if for_good { 0 } else { usize::MAX };
        said.store(true, Ordering::Relaxed);
        if let Ok(file) = file {
            file.set_len(confirmed).expect("our own file");
        }
        Err(Errno::EIO.into())
    });
    failed
}

/// The shop on the model, and where it is to go: to its second state, and to nothing.
fn two_ways(world: &mut World) -> (Case, Folder, Observed, [Goal; 2]) {
    let (case, records) = shop(world);
    let start = world.kernel.read(&case.scope()).expect("a reading");
    let goals = [case.second.clone(), Goal { wanted: State::default(), exclusive: false }];
    (case, records, start, goals)
}

fn failing(world: &mut World) {
    let (case, records, start, goals) = two_ways(world);
    let scope = case.scope();
    let (mut done, mut undone) = (0, 0);
    for (goal, for_good) in goals.iter().flat_map(|goal| [(goal, false), (goal, true)]) {
        for at in 0.. {
            let what =
                format!("to {} objects, sync {at}{}", goal.wanted.objects.len(), if for_good { " and all later" } else { "" });
            let mut fake = Fake::from(start.clone());
            let (before, ledger) = (recorded::held(&mut fake, &scope), records.ledger());
            let mut store = records.store();
            let failed = fail(&mut store, at, for_good);
            let ended = goal.run_with(&mut store, &mut fake, Signs::default());
            let failed = failed.load(Ordering::Relaxed);
            let committed = records.ledger() != ledger;
            let after = recorded::held(&mut fake, &scope);
            match ended.apart() {
                (Ended::Applied, untidy) => {
                    assert!(committed && goal.finds(&mut fake).is_empty(), "{what}: {ended:?}");
                    assert_eq!(untidy.is_some(), failed, "{what}: a failure that nobody hears of");
                    done += 1;
                }
                (outcome @ (Ended::NotBegun(_) | Ended::RolledBack(Failure::Storing(_))), _) => {
                    assert!(failed && !committed, "{what}: {ended:?}");
                    assert!(
                        records.has_ended() || !matches!(outcome, Ended::NotBegun(_)),
                        "{what}: what did not begin has ended"
                    );
                    assert!(after == before, "{what}\n{}", recorded::shown(&before, &after));
                    undone += 1;
                }
                _ => panic!("{what}: {ended:?}"),
            }
            match recorded::recover(records.path(), &mut fake) {
                None => {}
                Some(Recovered::WasDone) => assert!(committed, "{what}"),
                Some(Recovered::TakenBack) => assert!(!committed, "{what}"),
                Some(other) => panic!("{what}: {other:?}"),
            }
            let recovered = recorded::held(&mut fake, &scope);
            assert!(recovered == after, "{what}, recovered\n{}", recorded::shown(&after, &recovered));
            assert!(records.has_ended() && records.has_way_back(), "{what}");
            for (goal, way) in [(goal, "once more"), (&case.first, "and back")] {
                let ended = goal.run(records.path(), &mut fake);
                assert!(matches!(ended, Ended::Applied), "{what}, {way}: {ended:?}");
                assert!(records.is_tidy() && records.has_way_back(), "{what}, {way}");
            }
            let now = recorded::held(&mut fake, &scope);
            assert!(now == before, "{what}, and back\n{}", recorded::shown(&before, &now));
            if !failed {
                break;
            }
        }
    }
    assert!(done > 12 && undone > 40, "{done} done, {undone} undone");
}

/// The file system is mended, or mounted again, without the rename that was the commit; the kernel has gone on.
fn lost_commit(world: &mut World) {
    let (case, records, start, goals) = two_ways(world);
    let scope = case.scope();
    let mut lost = 0;
    for (goal, for_good) in goals.iter().flat_map(|goal| [(goal, false), (goal, true)]) {
        for at in 0.. {
            let what = format!("to {} objects, sync {at}", goal.wanted.objects.len());
            let mut fake = Fake::from(start.clone());
            let (before, ledger) = (recorded::held(&mut fake, &scope), records.ledger().expect("a ledger"));
            let mut store = records.store();
            let failed = fail(&mut store, at, for_good);
            let ended = goal.run_with(&mut store, &mut fake, Signs::default());
            let applied = matches!(ended.apart(), (Ended::Applied, _));
            if applied && !records.has_ended() {
                std::fs::write(store.path(Record::Ledger(recorded::TOPOLOGY)), &ledger).expect("our own file");
                let recovered = recorded::recover(records.path(), &mut fake);
                assert!(matches!(recovered, Some(Recovered::TakenBack)), "{what}: {recovered:?}");
                let now = recorded::held(&mut fake, &scope);
                assert!(now == before, "{what}\n{}", recorded::shown(&before, &now));
                lost += 1;
            } else if applied {
                let ended = case.first.run(records.path(), &mut fake);
                assert!(matches!(ended, Ended::Applied), "{what}, and back: {ended:?}");
            }
            if !failed.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    assert!(lost >= 4, "{lost} commits lost");
}

/// Somebody makes exactly what the run is to make, just before it does; that it is theirs must be written down on a disk that
/// fails.
fn failing_beside_others(world: &mut World) {
    let (director, first) = goal(FIRST);
    director.plug_in(world);
    let records = Folder::new();
    let key: Key = "service tcp 10.0.0.100:80".parse().expect("a key");
    let theirs = ["-A -t 10.0.0.100:80 -s sh"];
    let mut named = 0;
    for for_good in [false, true] {
        for at in 0.. {
            let what = format!("sync {at}{}", if for_good { " and all later" } else { "" });
            let seen = crate::witness::addresses(world);
            let mut store = records.store();
            let failed = fail(&mut store, at, for_good);
            let mut meddled = false;
            let write = || {
                hand::run("ipvsadm", "-A -t 10.0.0.100:80 -s sh");
                meddled = true;
            };
            let mut beside = Meddled { kernel: &mut world.kernel, before: Rank::ServicesAdded, write: Some(Box::new(write)) };
            let ended = first.run_with(&mut store, &mut beside, Signs::default());
            drop((beside, store));
            let recovered = recorded::recover(records.path(), &mut world.kernel);
            if meddled {
                assert!(matches!(&ended, Ended::Incomplete(..)), "{what}: {ended:?}");
                assert!(matches!(&recovered, Some(Recovered::Incomplete(left)) if left.len() == 1), "{what}: {recovered:?}");
                assert_eq!(crate::witness::table(world), theirs, "{what}");
                named += 1;
                let mut store = records.store();
                let unfinished = journal::unfinished(&store).expect("a journal").expect("a run");
                unfinished.journal.mark_decided(&mut store, key.clone(), false).expect("a mark");
                let recovered = recorded::recover(records.path(), &mut world.kernel);
                assert!(matches!(recovered, Some(Recovered::TakenBack)), "{what}: {recovered:?}");
                assert_eq!(crate::witness::table(world), theirs, "{what}");
                hand::run("ipvsadm", "-C");
            } else {
                assert!(matches!(recovered, None | Some(Recovered::TakenBack)), "{what}: {recovered:?}");
            }
            assert_eq!(crate::witness::addresses(world), seen, "{what}");
            assert!(crate::witness::table(world).is_empty() && records.has_ended(), "{what}");
            if !failed.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    assert!(named > 2, "{named} named");
}
