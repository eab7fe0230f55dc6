//! The ways back from an apply: by hand, by a guard when nobody confirms, and not at all when it is not the plan that was
//! saved.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use lvsform::txn::ledger::Ledger;
use lvsform::txn::store::Record;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::{lvsform, run, says};
use crate::hand::until;
use crate::killed::{Death, GOAL, goal, strike};
use crate::owned::{Site, plug_in, service, shop};
use crate::world::{World, test};
use crate::{hand, recorded, witness};

pub fn tests() -> Vec<Trial> {
    vec![
        test("confirm::revert_goes_back_to_before_the_last_apply_and_no_further", reverts),
        test("confirm::revert_of_the_first_apply_leaves_nothing", reverts_the_first),
        test("confirm::revert_brings_back_what_an_exclusive_apply_deleted_of_others", reverts_exclusive),
        test("confirm::in_another_life_of_the_namespace_there_is_nothing_to_revert", reverts_nothing),
        test("confirm::what_is_confirmed_stays", confirmed),
        test("confirm::what_nobody_confirms_is_taken_back_after_the_loss_of_its_terminal", loses_its_terminal),
        test("confirm::what_nobody_confirms_is_taken_back_after_the_loss_of_its_process_group", loses_its_group),
        test("confirm::an_apply_that_is_killed_before_its_commit_is_recovered_by_the_guard", killed_before),
        test("confirm::an_apply_that_is_killed_after_its_commit_is_taken_back_in_time", killed_after),
        test("confirm::of_confirm_and_deadline_exactly_one_wins", race),
        test("confirm::nothing_else_is_applied_while_it_waits", waits),
        test("confirm::without_its_guard_the_next_run_takes_it_back", guardless),
        test("confirm::after_a_boot_the_ledgers_alone_bring_back_what_was_confirmed", booted),
        test("confirm::resume_takes_a_run_that_died_back_before_what_nobody_confirmed", resumes),
        test("confirm::in_another_life_what_was_there_before_counts", another_life),
        test("confirm::in_another_life_there_is_nothing_to_confirm_or_to_destroy", too_late),
        test("confirm::the_guard_keeps_nothing_open", keeps_nothing),
        test("confirm::a_saved_plan_is_applied_without_its_files", saved),
        test("confirm::a_saved_plan_of_another_state_is_refused", saved_stale),
        test("confirm::a_saved_plan_with_one_byte_changed_is_refused", saved_changed),
        test("confirm::a_saved_plan_that_somebody_made_up_is_refused", saved_forged),
        test("confirm::what_lvsform_did_not_write_is_never_replaced", never_replaced),
    ]
}

/// What was applied first, and the change that the tests make.
fn two() -> (String, String) {
    let first = shop(&[service("web", 80, "\"10.0.0.[11-12]\""), service("tls", 443, "\"10.0.0.11\"")]);
    let second =
        shop(&[service("web", 80, "\"10.0.0.[12-14]\"").replace("weight=10", "weight=20"), service("dns", 53, "\"10.0.0.11\"")]);
    (first, second)
}

fn reverts(world: &mut World) {
    plug_in(world);
    let (first, second) = two();
    let site = Site::new(&first);
    site.run("apply", "--yes", 0);
    let before = (witness::table(world), witness::addresses(world));
    let ledger = std::fs::read(site.ledger("shop")).expect("a ledger");
    site.write(&second);
    site.run("apply", "--yes", 0);
    let after = witness::table(world);
    site.run("apply", "--yes", 0); // changes nothing, so the way back stays
    let (_, err) = site.run("revert", "", 1);
    says(&err, &["there is no terminal to ask on"]);
    assert_eq!(witness::table(world), after);
    let (out, _) = site.run("revert", "--yes", 0);
    says(
        &out,
        &[
            "- service dns",
            "+ service tls",
            "+ server web 10.0.0.11",
            "as before the last apply",
            "3 to add, 1 to change, 4 to delete",
        ],
    );
    assert_eq!((witness::table(world), witness::addresses(world)), before);
    site.run("drift", "", 0);
    assert_ne!(std::fs::read(site.ledger("shop")).expect("a ledger"), ledger, "it has a number of its own");
    let (_, err) = site.run("revert", "shop --yes", 1);
    says(&err, &["nothing to revert of topology `shop`", "the last run was a revert"]);
    site.write(&first);
    site.run("plan", "--exit-code", 0);
    let (out, _) = site.run("history", "", 0);
    says(out.lines().next().expect("a line"), &["revert", "shop · lb1  done"]);
    site.run("destroy", "shop --yes", 0);
    assert!(witness::table(world).is_empty(), "what was reverted is owned as before");
    let (_, err) = site.run("revert", "shop --yes", 1);
    says(&err, &["it owns nothing here"]);
}

fn reverts_the_first(world: &mut World) {
    plug_in(world);
    hand::feed("ipvsadm", "-R", "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.0.0.30:80 -m\n");
    let before = (witness::table(world), witness::addresses(world));
    let site = Site::new(&two().0);
    site.run("apply", "--yes", 0);
    site.run("revert", "--yes", 0);
    assert_eq!((witness::table(world), witness::addresses(world)), before);
    assert!(!site.ledger("shop").exists());
    let (_, err) = site.run("revert", "", 64);
    says(&err, &["no topology owns anything here"]);
}

fn reverts_exclusive(world: &mut World) {
    plug_in(world);
    let site = Site::new(&two().0);
    site.run("apply", "--yes", 0);
    hand::feed("ipvsadm", "-R", "-A -t 10.0.0.9:25 -s rr\n-a -t 10.0.0.9:25 -r 10.0.0.30:25 -m -w 3\n");
    let before = witness::table(world);
    site.write(&two().1.replacen('\n', "\nownership ipvs=\"exclusive\"\n", 1));
    site.run("apply", "--yes", 0);
    assert!(!witness::table(world).join("\n").contains("10.0.0.9:25"), "the table is the file's");
    site.run("revert", "--yes", 0);
    assert_eq!(witness::table(world), before);
    site.run("destroy", "shop --yes", 0);
    says(&witness::table(world).join("\n"), &["-A -t 10.0.0.9:25 -s rr", "-a -t 10.0.0.9:25 -r 10.0.0.30:25 -m -w 3"]);
}

fn reverts_nothing(world: &mut World) {
    let make = || {
        world.witness("ip", "netns add former");
        world.witness("ip", "-n former link set lo up");
        world.witness("ip", "-n former link add eth0 type dummy");
        world.witness("ip", "-n former link set eth0 up");
        world.witness("ip", "-n former addr add 10.0.0.2/24 dev eth0");
    };
    make();
    let site = Site::new(&two().0);
    site.run("apply", "--yes --netns former", 0);
    world.witness("ip", "netns del former");
    make();
    let (_, err) = site.run("revert", "shop --yes --netns former", 1);
    says(&err, &["applied before the last boot, or in another namespace of this name"]);
    site.run("apply", "--yes --netns former", 0);
    let records = site.records.display();
    run(lvsform(&format!("revert --state-dir {records} --yes --netns former")), 0);
    assert_eq!(world.witness("ip", "netns exec former ipvsadm -Sn"), "");
    world.witness("ip", "netns del former");
}

/// The guards that watch over the records of a site.
fn guards(site: &Site) -> Vec<Pid> {
    let records = site.records.to_string_lossy().into_owned();
    let is_guard = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.get(1) == Some(&&b"guard"[..]) && words.contains(&records.as_bytes())
    };
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(is_guard).map(Pid::from_raw).collect()
}

fn guard_is_gone(site: &Site) {
    until("the guard ends", || guards(site).is_empty());
}

/// The command line of an apply that waits so long to be confirmed.
fn line(site: &Site, window: &str) -> String {
    let (program, records) = (env!("CARGO_BIN_EXE_lvsform"), site.records.display());
    format!("{program} apply {} --host lb1 --state-dir {records} --yes --confirm-within {window}", site.file.path())
}

/// The time is over for the last apply.
fn expire(site: &Site) {
    let mut store = recorded::store(&site.records);
    let ledger = Ledger::read(&store, "shop").expect("a ledger").expect("a ledger");
    store.put(Record::Ledger("shop"), &Ledger { pending: Some(1), ..ledger }.encode()).expect("a record");
}

fn kill_guards(site: &Site) {
    for guard in guards(site) {
        // It may have come to its end by itself.
        let _ = kill(guard, Signal::SIGKILL);
    }
    guard_is_gone(site);
}

/// The first of the two is applied, and the second is in the file. The table by now, with all that the next run moves.
fn ready(world: &World) -> (Site, Vec<String>) {
    plug_in(world);
    let (first, second) = two();
    let site = Site::new(&first);
    site.run("apply", "--yes", 0);
    site.write(&second);
    let table = witness::table(world);
    (site, table)
}

#[track_caller]
fn is_taken_back(world: &World, site: &Site, before: &[String]) {
    guard_is_gone(site);
    assert_eq!(witness::table(world), before);
    site.run("drift", "", 0);
    let (out, _) = site.run("history", "", 0);
    says(out.lines().next().expect("a line"), &["expired", "done"]);
    site.write(&two().0);
    site.run("plan", "--exit-code", 0);
}

fn confirmed(world: &mut World) {
    let (site, before) = ready(world);
    // Long enough for a machine that stands still for seconds; its guard goes at the latest then.
    let (out, _) = site.run("apply", "--yes --confirm-within 20s", 0);
    says(&out, &["It is taken back at ", "lvsform confirm shop"]);
    let (out, _) = site.run("confirm", "", 0);
    says(&out, &["Confirmed: what was applied of topology `shop` stays."]);
    let after = witness::table(world);
    assert_ne!(after, before);
    guard_is_gone(&site);
    assert_eq!(witness::table(world), after);
    let (_, err) = site.run("confirm", "shop", 6);
    says(&err, &["there is nothing to confirm"]);
    site.run("plan", "--exit-code", 0);
    site.run("revert", "--yes", 0);
    assert_eq!(witness::table(world), before, "what is confirmed can be reverted by hand");
}

fn loses_its_terminal(world: &mut World) {
    let (site, before) = ready(world);
    let mut command = Command::new("script");
    // The leader of the terminal's session: with it the terminal goes, and everything on it gets SIGHUP.
    command.args(["-qc", &format!("{}; kill -KILL $$", line(&site, "5s")), "/dev/null"]);
    let output = command.stdin(Stdio::null()).output().expect("script");
    says(&String::from_utf8_lossy(&output.stdout), &["Applied: "]);
    is_taken_back(world, &site, &before);
}

fn loses_its_group(world: &mut World) {
    let (site, before) = ready(world);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{}; kill -KILL 0", line(&site, "5s"))]).process_group(0);
    let output = command.stdin(Stdio::null()).output().expect("sh");
    says(&String::from_utf8_lossy(&output.stdout), &["Applied: "]);
    assert!(!output.status.success(), "the parent is dead");
    is_taken_back(world, &site, &before);
}

/// The path of a record of this site's namespace.
fn record(site: &Site, name: &str) -> PathBuf {
    site.ledger("shop").ancestors().nth(2).expect("the namespace").join(name)
}

/// Starts an apply that waits, and kills it as soon as a condition holds.
fn kills(site: &Site, what: &str, condition: impl FnMut() -> bool) {
    let line = line(site, "5s");
    let (program, arguments) = line.split_once(' ').expect("arguments");
    let mut command = Command::new(program);
    command.args(arguments.split(' ')).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    until(what, condition);
    child.kill().expect("SIGKILL");
    child.wait().expect("an end");
}

fn killed_before(world: &mut World) {
    let (site, before) = ready(world);
    // Large enough that it is met on its way.
    let many: Vec<String> = (0..40).map(|at| service(&format!("s{at}"), 1000 + at, "\"10.0.1.[1-100]\"")).collect();
    site.write(&shop(&[vec![service("web", 80, "\"10.0.0.12\"")], many].concat()));
    let (marks, ledger) = (record(&site, "marks"), site.ledger("shop"));
    let applied = std::fs::read(&ledger).expect("a ledger");
    kills(&site, "a phase begins", || marks.exists());
    assert!(std::fs::read(&ledger).expect("a ledger") == applied, "the apply died before its commit");
    guard_is_gone(&site);
    assert_eq!(witness::table(world), before);
    assert!(!record(&site, "journal").exists());
    site.write(&two().0);
    site.run("plan", "--exit-code", 0);
    let (out, _) = site.run("history", "", 0);
    says(out.lines().next().expect("a line"), &["recover", "rolled back"]);
}

fn killed_after(world: &mut World) {
    let (site, before) = ready(world);
    let ledger = site.ledger("shop");
    let applied = std::fs::read(&ledger).expect("a ledger");
    kills(&site, "the commit", || std::fs::read(&ledger).is_ok_and(|now| now != applied));
    is_taken_back(world, &site, &before);
}

fn race(world: &mut World) {
    let (site, before) = ready(world);
    let (mut confirmed, mut expired) = (0, 0);
    // The first is confirmed in any case, and for the last it is too late in any case.
    for (late, window) in
        [(0, "30s"), (700, "1s"), (900, "1s"), (960, "1s"), (1000, "1s"), (1040, "1s"), (1100, "1s"), (2200, "1s")]
    {
        let begun = Instant::now();
        site.run("apply", &format!("--yes --confirm-within {window}"), 0);
        let after = witness::table(world);
        // The race is one of times.
        std::thread::sleep(Duration::from_millis(late).saturating_sub(begun.elapsed()));
        if late == 2200 {
            until("it is taken back", || witness::table(world) == before);
        }
        let confirm = lvsform(&format!("confirm --state-dir {} --lock-timeout 20s", site.records.display())).output();
        let code = confirm.expect("it starts").status.code();
        if late == 0 {
            kill_guards(&site);
        }
        guard_is_gone(&site);
        let now = witness::table(world);
        match code {
            Some(0) => {
                confirmed += 1;
                assert_eq!(now, after, "{late} ms: confirmed");
                site.run("drift", "", 0);
                site.run("revert", "--yes", 0);
            }
            Some(6) => {
                expired += 1;
                assert_eq!(now, before, "{late} ms: taken back");
                site.run("drift", "", 0);
            }
            other => panic!("{late} ms: exit code {other:?}"),
        }
        assert_eq!(witness::table(world), before);
    }
    assert!(confirmed > 0 && expired > 0, "{confirmed} confirmed, {expired} taken back");
}

fn waits(world: &mut World) {
    let (site, before) = ready(world);
    site.run("apply", "--yes --confirm-within 1h", 0);
    let after = witness::table(world);
    for (verb, more) in [("apply", "--yes"), ("apply", "--yes --confirm-within 2s"), ("destroy", "shop --yes"), ("adopt", "")] {
        let (_, err) = site.run(verb, more, 7);
        says(&err, &["topology `shop` waits to be confirmed until ", "nothing was changed", "lvsform confirm shop"]);
    }
    site.write(&two().1.replace("topology \"shop\"", "topology \"other\"").replace("10.0.0.100", "10.0.0.101"));
    site.run("apply", "--yes", 7);
    site.write(&two().1);
    for (verb, code) in [("plan", 0), ("drift", 0)] {
        let (_, err) = site.run(verb, "", code);
        says(&err, &["the last apply of topology `shop` is taken back at ", "lvsform confirm shop"]);
    }
    let (_, err) = site.run("confirm", "shp", 6);
    says(&err, &["topology `shp` has nothing to confirm", "`shop` waits: lvsform confirm shop"]);
    assert_eq!(witness::table(world), after);
    let metrics = site.records.with_file_name("lvsform.prom");
    site.run("drift", &format!("--textfile {}", metrics.display()), 0);
    let metrics = std::fs::read_to_string(metrics).expect("metrics");
    says(&metrics, &["lvsform_waits_for_confirmation{topology=\"shop\",host=\"lb1\"} 1\n"]);
    site.run("revert", "--yes", 0);
    assert_eq!(witness::table(world), before, "it is taken back by hand before its time");
    site.run("confirm", "", 6);
    site.run("apply", "--yes", 0);
    kill_guards(&site);
}

fn guardless(world: &mut World) {
    let (site, before) = ready(world);
    site.run("apply", "--yes --confirm-within 1h", 0);
    kill_guards(&site);
    expire(&site);
    says(&site.run("plan", "", 0).1, &["nobody confirmed the last apply of topology `shop` until "]);
    let (_, err) = site.run("drift", "", 0);
    says(&err, &["nobody confirmed", "the next run takes it back"]);
    let (_, err) = site.run("apply", "", 9);
    says(&err, &["take it back first: lvsform revert shop", "nothing was changed"]);
    let (_, err) = site.run("apply", "--expect 00000000000000000000000000000000", 9);
    says(&err, &["take it back first: lvsform revert shop"]);
    let (out, err) = site.run("confirm", "", 6);
    says(&out, &["it is taken back"]);
    says(&err, &["it is too late"]);
    assert_eq!(witness::table(world), before);
    site.run("drift", "", 0);
}

/// A namespace with a name, which can be made again as a boot makes the host's.
fn make_life(world: &World) {
    world.witness("ip", "netns add life");
    world.witness("ip", "-n life link set lo up");
    world.witness("ip", "-n life link add eth0 type dummy");
    world.witness("ip", "-n life link set eth0 up");
    world.witness("ip", "-n life addr add 10.0.0.2/24 dev eth0");
}

/// One apply is confirmed, another one waits, and the life of the namespace ends. What was there at first, and what was
/// confirmed.
fn dies_unconfirmed(world: &World) -> (Site, [String; 2]) {
    make_life(world);
    let empty = life(world);
    let (first, second) = two();
    let site = Site::new(&first);
    site.run("apply", "--yes --netns life", 0);
    let confirmed = life(world);
    site.write(&second);
    site.run("apply", "--yes --netns life --confirm-within 1h", 0);
    ends_life(world, &site);
    make_life(world);
    assert_ne!(life(world), confirmed);
    (site, [empty, confirmed])
}

/// What other programs see there.
fn life(world: &World) -> String {
    world.witness("ip", "netns exec life ipvsadm -Sn") + &world.witness("ip", "-n life -br -4 addr show eth0")
}

/// The guard of an apply that waits goes with its boot.
fn ends_life(world: &World, site: &Site) {
    let guard = guards(site);
    assert_eq!(guard.len(), 1);
    kill(guard[0], Signal::SIGKILL).expect("our own guard");
    world.witness("ip", "netns del life");
}

/// Nobody confirmed the last apply before the boot: what was confirmed comes back, without any file.
fn booted(world: &mut World) {
    let (site, [empty, confirmed]) = dies_unconfirmed(world);
    let (out, _) = site.run("recover", "--to-ledger --netns life", 0);
    says(&out, &["+ service tls", "Recovered"]);
    assert_eq!(life(world), confirmed);
    site.run("drift", "--netns life", 0);
    site.write(&two().0);
    site.run("plan", "--exit-code --netns life", 0);
    let (out, _) = site.run("recover", "--to-ledger --netns life", 0);
    assert!(!out.contains('+'), "a second one finds nothing to do: {out}");
    site.run("destroy", "shop --yes --netns life", 0);
    assert_eq!(life(world), empty, "what was there when it came back is what it was found as");
    world.witness("ip", "netns del life");
}

fn too_late(world: &mut World) {
    let (site, [empty, _]) = dies_unconfirmed(world);
    for named in ["", "shop "] {
        let (_, err) = site.run("confirm", &format!("{named}--netns life"), 6);
        says(
            &err,
            &[
                "the apply of topology `shop` that waited to be confirmed went with its boot or namespace",
                "what was confirmed before it counts",
                "lvsform recover --to-ledger",
            ],
        );
    }
    let (out, err) = site.run("destroy", "shop --yes --netns life", 0);
    says(&out, &["Nothing to give back: what topology `shop` owns here is gone already"]);
    assert_eq!(err, "");
    let (_, err) = site.run("destroy", "shop --yes --netns life", 64);
    says(&err, &["topology `shop` owns nothing here"]);
    // And the very first one.
    site.run("apply", "--yes --netns life --confirm-within 1h", 0);
    ends_life(world, &site);
    make_life(world);
    let (_, err) = site.run("confirm", "--netns life", 6);
    says(&err, &["went with its boot or namespace", "there was nothing before it", "lvsform apply"]);
    let (out, _) = site.run("destroy", "shop --yes --netns life", 0);
    says(&out, &["Nothing to give back"]);
    assert!(!site.ledger("shop").exists());
    assert_eq!(life(world), empty);
    world.witness("ip", "netns del life");
}

fn resumes(world: &mut World) {
    let (site, before) = ready(world);
    site.run("apply", "--yes --confirm-within 1h", 0);
    kill_guards(&site);
    // Somebody went around it, and died when one service was there that no ledger has.
    let (_, third) = goal(&format!("{}{}", two().1, service("mail", 25, "\"10.0.0.11\"")));
    assert!(!strike(&site.records, &third, Death::Step(1)));
    std::fs::remove_file(site.records.join(GOAL)).expect("our own file");
    says(&witness::table(world).join("\n"), &["-A -t 10.0.0.100:25"]);
    expire(&site);
    let (out, _) = site.run("resume", "", 0);
    says(&out, &["was taken back; the kernel is as it was before it", "Nobody confirmed the last apply"]);
    assert_eq!(witness::table(world), before);
    site.run("drift", "", 0);
}

fn another_life(world: &mut World) {
    let (site, _) = dies_unconfirmed(world);
    let (out, err) = site.run("drift", "--netns life", 3);
    says(&out, &["service tls", "before the last boot"]);
    assert!(!out.contains("dns") && err.is_empty(), "only what was confirmed was to be there:\n{out}\n{err}");
    site.run("revert", "shop --yes --netns life", 1);
    site.write(&two().0);
    site.run("apply", "--yes --netns life", 0);
    says(&life(world), &["-A -t 10.0.0.100:443"]);
    world.witness("ip", "netns del life");
}

fn keeps_nothing(world: &mut World) {
    let (site, before) = ready(world);
    let mut command = Command::new("sh");
    // Our pipe, also under another number: reading it ends when nobody has it any more.
    let output = command.args(["-c", &format!("{} 5>&1", line(&site, "1h"))]).stdin(Stdio::null()).output().expect("sh");
    assert!(output.status.success());
    let guard = guards(&site);
    assert_eq!(guard.len(), 1, "it is still there when the apply's reader has come to the end");
    let folder = format!("/proc/{}/fd", guard[0]);
    let opened: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a process").flatten().filter_map(|fd| fd.path().read_link().ok()).collect();
    assert!(opened.iter().filter(|path| *path == Path::new("/dev/null")).count() == 3, "{opened:?}");
    assert!(!opened.iter().any(|path| path.to_string_lossy().starts_with("pipe:")), "{opened:?}");
    site.run("revert", "--yes", 0);
    assert_eq!(witness::table(world), before);
    kill_guards(&site);
}

/// A plan of the site's file, saved; and what applies it.
fn save(site: &Site) -> (PathBuf, impl Fn(&str, i32) -> (String, String)) {
    let plan = site.records.with_file_name("shop.plan");
    let (out, _) = site.run("plan", &format!("--out {}", plan.display()), 0);
    says(&out, &[&format!("Apply exactly this:  lvsform apply {}\n", plan.display())]);
    let (path, records) = (plan.clone(), site.records.clone());
    let apply =
        move |more: &str, code| run(lvsform(&format!("apply {} --state-dir {}{more}", path.display(), records.display())), code);
    (plan, apply)
}

fn saved(world: &mut World) {
    plug_in(world);
    let site = Site::new(&shop(&["include \"sites/*.kdl\" \"more/tls.kdl\"\n".to_owned()]));
    let folder = site.records.with_file_name("");
    for (file, text) in [
        ("sites/a.kdl", service("web", 80, "\"10.0.0.[11-12]\"")),
        ("sites/b.kdl", "include \"../more/tls.kdl\"\n".to_owned()),
        ("more/tls.kdl", service("tls", 443, "\"10.0.0.11\"")),
    ] {
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("our own folder");
        std::fs::write(path, text).expect("our own file");
    }
    let (plan, apply) = save(&site);
    for gone in ["sites", "more"] {
        std::fs::remove_dir_all(folder.join(gone)).expect("our own folder");
    }
    site.write("nothing of this is read");
    let (_, err) = apply(" --host lb2", 64);
    says(&err, &["made for host `lb1`"]);
    let (_, err) = apply(" --expect 00000000000000000000000000000000", 6);
    says(&err, &["is not the one that was approved", "nothing was done"]);
    assert!(witness::table(world).is_empty());
    let (out, _) = apply("", 0);
    says(&out, &["+ service web", "+ service tls", "Applied: 6 added"]);
    let table = witness::table(world).join("\n");
    says(&table, &["-a -t 10.0.0.100:80 -r 10.0.0.12:80 -g -w 10", "-A -t 10.0.0.100:443"]);
    let text = std::fs::read_to_string(plan).expect("a plan");
    assert!(text.starts_with("lvsform-saved-plan/1 ") && !text.contains("ipvs"), "sources, and no operations: {text}");
    let (_, err) = apply("", 6);
    says(&err, &["this is not the plan that was approved"]);
}

fn saved_stale(world: &mut World) {
    let (site, before) = ready(world);
    let (_, apply) = save(&site);
    hand::run("ipvsadm", "-e -t 10.0.0.100:80 -r 10.0.0.12:80 -g -w 77");
    let meddled = witness::table(world);
    for more in ["", " --yes"] {
        let (_, err) = apply(more, 6);
        says(&err, &["this is not the plan that was approved: the file or the kernel changed", "nothing was done"]);
        assert_eq!(witness::table(world), meddled);
    }
    hand::run("ipvsadm", "-e -t 10.0.0.100:80 -r 10.0.0.12:80 -g -w 10");
    assert_eq!(witness::table(world), before);
    apply(" --confirm-within 1h", 0);
    site.run("plan", "--exit-code", 0);
    site.run("revert", "--yes", 0);
    assert_eq!(witness::table(world), before);
    for guard in guards(&site) {
        kill(guard, Signal::SIGKILL).expect("our own guard");
    }
}

fn saved_changed(world: &mut World) {
    let (site, before) = ready(world);
    let (plan, apply) = save(&site);
    let whole = std::fs::read(&plan).expect("a plan");
    let mark = "lvsform-saved-plan/".len();
    for at in (0..20).map(|part| mark + part * (whole.len() - mark) / 20).chain([whole.len() - 1]) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&plan, &changed).expect("our own file");
        let (_, err) = apply("", 1);
        assert!(err.contains("is damaged") || err.contains("this version of lvsform reads"), "byte {at}: {err}");
    }
    for end in [mark, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&plan, &whole[..end]).expect("our own file");
        says(&apply("", 1).1, &["is damaged; nothing was done", "--out"]);
    }
    // What does not even begin like one is a topology of an unknown spelling.
    std::fs::write(&plan, &whole[1..]).expect("our own file");
    apply("", 10);
    assert_eq!(witness::table(world), before);
    std::fs::write(&plan, &whole).expect("our own file");
    apply("", 0);
}

/// Whole and well formed, with another text than the digest is of.
fn saved_forged(world: &mut World) {
    let (site, before) = ready(world);
    let (plan, apply) = save(&site);
    let text = std::fs::read_to_string(&plan).expect("a plan");
    let content = text.split_once('\n').expect("two lines").1.replace("weight=20", "weight=21");
    let content: serde_json::Value = serde_json::from_str(&content).expect("JSON");
    std::fs::write(&plan, lvsform::txn::record::encode("lvsform-saved-plan/1", &content)).expect("our own file");
    let (out, err) = apply("", 6);
    says(&out, &["weight", "21"]);
    says(&err, &["this is not the plan that was approved"]);
    assert_eq!(witness::table(world), before);
}

fn never_replaced(world: &mut World) {
    let (site, _) = ready(world);
    let other = site.records.with_file_name("other");
    std::fs::write(&other, "somebody else's").expect("our own file");
    let link = site.records.with_file_name("link");
    std::os::unix::fs::symlink(&other, &link).expect("a link");
    for path in [&other, &link, &site.records] {
        for (verb, option) in [("plan", "--out"), ("drift", "--textfile")] {
            let (_, err) = site.run(verb, &format!("{option} {}", path.display()), 1);
            says(&err, &["cannot write ", "what lvsform did not write is never replaced"]);
        }
    }
    assert_eq!(std::fs::read_to_string(&other).expect("a file"), "somebody else's");
    for _ in 0..2 {
        let _ = save(&site); // its own it replaces
    }
}
