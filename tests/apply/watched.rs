//! What somebody sees who only watches: beside a run, after one that died, after another boot, and without being root.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use lvsform::kernel::netns;
use lvsform::txn::ledger::{Instance, Ledger};
use lvsform::txn::lock;
use lvsform::txn::store::Record;

use crate::command::{File, lvsform, run, says};
use crate::killed::{FIRST, half_done};
use crate::owned::{Site, plug_in, service, shop};
use crate::recorded;
use crate::world::{World, test};
use crate::{hand, witness};

pub fn tests() -> Vec<Trial> {
    vec![
        test("watched::drift_beside_a_run_says_so_and_waits_for_nothing", beside),
        test("watched::after_a_run_that_died_drift_and_plan_say_that_recover_is_needed", died),
        test("watched::an_approved_plan_is_not_done_after_a_run_that_died", approved),
        test("watched::after_another_boot_drift_says_since_when", rebooted),
        test("watched::a_user_with_cap_net_admin_alone_sees_all_of_it", unprivileged),
    ]
}

/// Somebody who is neither root nor in root's group.
const WATCHER: u32 = 65534;

/// The same command with `CAP_NET_ADMIN` and nothing else.
fn watching(arguments: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={WATCHER}"), &format!("--regid={WATCHER}"), "--clear-groups"]);
    command.args(["--inh-caps=-all,+net_admin", "--ambient-caps=+net_admin", "--no-new-privs", env!("CARGO_BIN_EXE_lvsform")]);
    command.args(arguments.split(' ')).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// What a cron job finds in the text file.
fn metrics(path: &Path) -> String {
    std::fs::read_to_string(path).expect("metrics")
}

fn site(world: &World) -> Site {
    plug_in(world);
    let site = Site::new(&shop(&[service("web", 80, "\"10.0.0.[11-12]\"")]));
    site.run("apply", "--yes", 0);
    site
}

fn beside(world: &mut World) {
    let site = site(world);
    let file = site.records.with_file_name("lvsform.prom");
    let line = format!("--textfile {}", file.display());
    let lock = lock::take(Path::new(lock::DIRECTORY), netns::cookie().expect("a cookie"), None).expect("the lock");
    let (out, err) = site.run("drift", &line, 7);
    says(&out, &["shop · lb1: no drift."]);
    says(&err, &["a run is under way: what is shown may be half of it", "look again when it has ended"]);
    says(&metrics(&file), &["lvsform_apply_in_progress 1\n", "lvsform_unfinished_transactions 0\n"]);
    let (json, _) = site.run("drift", "--format json", 7);
    says(&json, &["\"running\": true", "\"unfinished\": false"]);
    hand::run("ipvsadm", "-d -t 10.0.0.100:80 -r 10.0.0.12:80");
    site.run("drift", "", 7);
    drop(lock);
    site.run("drift", &line, 3);
    says(&metrics(&file), &["lvsform_apply_in_progress 0\n"]);
}

/// The first state's file beside the records of a run that died on the way to the second one.
fn file() -> File {
    File::new("shop.kdl", FIRST.as_bytes())
}

fn died(world: &mut World) {
    let (director, records) = half_done(world);
    let before = witness::everything(world, &director);
    let (file, state) = (file(), format!("--state-dir {}", records.path().display()));
    let prom = records.path().join("lvsform.prom");
    let (_, err) = run(lvsform(&format!("drift {state} --textfile {}", prom.display())), 9);
    says(&err, &["an earlier run did not end: what is shown may be half of it", "take it back: lvsform recover"]);
    says(&metrics(&prom), &["lvsform_unfinished_transactions 1\n", "lvsform_apply_in_progress 0\n"]);
    let (json, _) = run(lvsform(&format!("drift {state} --format json")), 9);
    says(&json, &["\"unfinished\": true", "\"running\": false"]);
    let (_, err) = run(lvsform(&format!("plan {} --host lb1 {state}", file.path())), 0);
    says(&err, &["an earlier run did not end", "take it back first: lvsform recover"]);
    assert_eq!(witness::everything(world, &director), before, "to look changes nothing");
    run(lvsform(&format!("recover {state}")), 0);
    let (_, err) = run(lvsform(&format!("drift {state} --textfile {}", prom.display())), 0);
    assert_eq!(err, "");
    says(&metrics(&prom), &["lvsform_unfinished_transactions 0\n"]);
}

fn approved(world: &mut World) {
    let (director, records) = half_done(world);
    let before = (witness::everything(world, &director), records.ledger());
    let (file, state) = (file(), format!("--state-dir {}", records.path().display()));
    let (json, _) = run(lvsform(&format!("plan {} --host lb1 {state} --format json", file.path())), 0);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let digest = json["digest"].as_str().expect("a digest");
    let approved = format!("apply {} --host lb1 {state} --expect {digest}", file.path());
    let (_, err) = run(lvsform(&approved), 9);
    says(&err, &["an earlier run did not end, and taking it back was not approved; nothing was changed", "lvsform recover"]);
    assert_eq!((witness::everything(world, &director), records.ledger()), before);
    assert!(!records.has_ended(), "it is still to be recovered");
    run(lvsform(&format!("recover {state}")), 0);
    let (_, err) = run(lvsform(&approved), 6);
    says(&err, &["this is not the plan that was approved", "nothing was done"]);
}

fn rebooted(world: &mut World) {
    let site = site(world);
    // What a boot does to the records is nothing: they name another one then.
    let mut store = recorded::store(&site.records);
    let ledger = Ledger::read(&store, "shop").expect("a ledger").expect("a ledger");
    let instance = Instance { boot: "5a4ef1d0-0000-4000-8000-000000000000".to_owned(), ..ledger.instance.clone() };
    store.put(Record::Ledger("shop"), &Ledger { instance, ..ledger }.encode()).expect("a record");
    hand::run("ipvsadm", "-C");
    hand::run("ip", "addr del 10.0.0.100/32 dev eth0");
    let (out, err) = site.run("drift", "", 3);
    says(&out, &["It was applied before the last boot, and not since.", "- service web", "- server web 10.0.0.12", "- vip"]);
    assert_eq!(err, "");
    let (json, _) = site.run("drift", "--format json", 3);
    says(&json, &["\"of_another_life\": true"]);
    // Somebody else's by now: what was there before the last boot is nobody's.
    hand::feed("ipvsadm", "-R", "-A -t 10.0.0.100:443 -s rr\n");
    site.run("apply", "--yes", 0);
    let (out, _) = site.run("drift", "", 0);
    says(&out, &["shop · lb1: no drift.", "service tcp 10.0.0.100:443"]);
}

/// The directory is root's, and its group may read it: so may whoever watches, whatever root's umask is.
fn unprivileged(world: &mut World) {
    plug_in(world);
    let site = Site::new(&shop(&[service("web", 80, "\"10.0.0.[11-12]\"")]));
    std::fs::create_dir(&site.records).expect("our own folder");
    std::fs::set_permissions(&site.records, PermissionsExt::from_mode(0o750)).expect("our own folder");
    chown(&site.records, Some(0), Some(WATCHER)).expect("root gives to whom it likes");
    let state = format!("--state-dir {}", site.records.display());
    let line = format!("apply {} --host lb1 --yes {state}", site.file.path());
    let program = env!("CARGO_BIN_EXE_lvsform");
    for umask in ["077", "000"] {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec {program} {line}")]).stdin(Stdio::null());
        run(command, 0);
        let (out, err) = run(watching(&format!("drift {state}")), 0);
        says(&out, &["shop · lb1: no drift."]);
        assert_eq!(err, "");
        site.write(&shop(&[service("web", 80, "\"10.0.0.[11-13]\"")]));
    }
    for entry in walk(&site.records) {
        let metadata = entry.symlink_metadata().expect("our own file");
        let mode = if metadata.is_dir() { 0o750 } else { 0o640 };
        assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (mode, 0, WATCHER), "{}", entry.display());
    }
    // Everything that it has to say.
    hand::run("ipvsadm", "-d -t 10.0.0.100:80 -r 10.0.0.12:80");
    let folder = File::new("empty", b"");
    let prom = Path::new(&*folder.path()).with_file_name("lvsform.prom");
    chown(prom.parent().expect("a folder"), Some(WATCHER), None).expect("root gives to whom it likes");
    let (out, _) = run(watching(&format!("drift {state} --textfile {}", prom.display())), 3);
    says(&out, &["- server web 10.0.0.12"]);
    says(&metrics(&prom), &["lvsform_drifted_objects{topology=\"shop\",host=\"lb1\",kind=\"server\"} 1\n"]);
    let (out, _) = run(watching(&format!("plan {} --host lb1 {state}", site.file.path())), 0);
    says(&out, &["+ server web 10.0.0.12"]);
    run(watching(&format!("history {state}")), 0);
    // A run of root's, which it may not wait for nor hold up.
    let cookie = netns::cookie().expect("a cookie");
    let lock = lock::take(Path::new(lock::DIRECTORY), cookie, None).expect("the lock");
    let (_, err) = run(watching(&format!("drift {state}")), 7);
    says(&err, &["a run is under way"]);
    drop(lock);
    run(watching(&format!("drift {state}")), 3);
    let file = Path::new(lock::DIRECTORY).join(cookie.to_string());
    let mut holds = Command::new("setpriv");
    holds.args([&format!("--reuid={WATCHER}"), &format!("--regid={WATCHER}"), "--clear-groups", "flock", "-n"]);
    let held = holds.arg(&file).arg("true").stderr(Stdio::null()).status().expect("it starts");
    assert!(!held.success(), "only root can hold the lock");
    // It changes nothing, and what it has no right to read is said.
    let (_, err) = run(watching(&format!("apply {} --host lb1 --yes {state}", site.file.path())), 1);
    says(&err, &["nothing was changed"]);
    chown(&site.records, Some(0), Some(0)).expect("root gives to whom it likes");
    let (_, err) = run(watching(&format!("drift {state}")), 1);
    says(&err, &["Permission denied", "as a user who may read it"]);
}

/// Everything in a folder, and the folder.
fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("our own folder").flatten();
    let below = entries.flat_map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { vec![entry.path()] });
    std::iter::once(folder.to_owned()).chain(below).collect()
}
