//! A run that fails leaves everything as it was before, and says in the operator's words what failed.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use libtest_mimic::Trial;
use lvsform::plan::{Phase, Rank};
use lvsform::state::Key;
use lvsform::txn::{Ended, Failure, Recovered};

use crate::director::Director;
use crate::recorded::{self, Case, EXAMPLES, Folder, Goal};
use crate::world::{World, test, test_within};
use crate::wrap::{Fate, Faulty};
use crate::{hand, witness};

pub fn tests() -> Vec<Trial> {
    let mut tests = vec![
        test("rollback::a_scheduler_that_the_kernel_does_not_have", no_scheduler),
        test("rollback::a_scheduler_that_the_kernel_does_not_have_in_a_service_that_is_edited", no_scheduler_in_place),
        test("rollback::a_vip_on_a_device_that_is_missing", no_device),
        test("rollback::a_sysctl_that_does_not_take_its_value", no_value),
        test("rollback::a_sysctl_that_the_kernel_does_not_have", no_sysctl),
        test("rollback::a_sync_daemon_on_a_device_that_is_missing", no_sync_device),
        test("rollback::a_mixed_family_beside_a_sync_daemon", mixed_beside_sync),
    ];
    let steps = "with_each_step_refused_or_lost";
    let minutes = Duration::from_mins;
    tests.extend(EXAMPLES.map(|of| test(format!("rollback::{}_{steps}", of.0), move |world| example(world, of, Fates::InTurn))));
    tests.extend(EXAMPLES.map(|of| {
        let soak = test_within(minutes(10), format!("rollback::{}_{steps}_every_way", of.0), move |world| {
            example(world, of, Fates::All);
        });
        soak.with_ignored_flag(true)
    }));
    let name = format!("rollback::a_flash_sale_from_disorder_{steps}");
    tests.push(test(&name, |world| disorder(world, Fates::InTurn)));
    let soak = test_within(minutes(10), format!("{name}_every_way"), |world| disorder(world, Fates::All));
    tests.push(soak.with_ignored_flag(true));
    tests.push(test("rollback::servers_that_are_edited_and_take_another_seat_whatever_step_fails", reseated));
    tests.push(test_within(minutes(3), format!("rollback::10_random_plans_{steps}"), |_| random(10, Fates::InTurn)));
    let soak = test_within(minutes(40), format!("rollback::50_random_plans_{steps}"), |_| random(50, Fates::All));
    tests.push(soak.with_ignored_flag(true));
    tests
}

/// A shop with one more service, and whatever else a test puts in.
fn shop(more: &str) -> Director {
    Director::of_text(
        &format!(
            r#"
topology "shop"
director "lb1" {{
    interface "eth0" {{ address "10.0.0.2/24" "2001:db8:1::2/64" }}
    sysctl "net.ipv4.vs.expire_quiescent_template" 1
}}
vip "shop" {{ address "10.0.0.100" "2001:db8:1::100" }}
pool "web" {{ server "10.0.0.[11-13]" "2001:db8:1::[11-13]" }}
service "plain" {{
    listen vip="shop" port=80
    forward "nat"
    pool "web"
    return-path "none"
}}
timeouts tcp="5m"
{more}
"#
        ),
        "lb1",
    )
}

/// Applies what the kernel refuses, and expects that it is as before; returns what the operator reads.
#[track_caller]
fn refused(world: &mut World, director: &Director) -> String {
    // Devices that the kernel makes with a module stay, and so do modules.
    let before = witness::everything(world, director);
    let read = director.read(&mut world.kernel);
    let ended = director.apply(&mut world.kernel);
    let words = director.words(&ended);
    assert!(matches!(ended, Ended::RolledBack(Failure::Refused(_))), "{words}");
    assert_eq!(witness::everything(world, director), before, "{words}");
    assert_eq!(director.read(&mut world.kernel).state, read.state, "{words}");
    assert!(words.ends_with("Rolled back: the kernel was read again, and everything is as it was before.\n"), "{words}");
    words
}

#[track_caller]
fn says(words: &str, parts: &[&str]) {
    for part in parts {
        assert!(words.contains(part), "no `{part}` in:\n{words}");
    }
}

const TWOS: &str = r#"
service "dice" {
    listen vip="shop" port=81 family="ipv4"
    forward "dr"
    scheduler "twos"
    pool "web"
}
"#;

fn no_scheduler(world: &mut World) {
    let director = shop(TWOS);
    director.plug_in(world);
    let words = refused(world, &director);
    says(
        &words,
        &["to add service dice (tcp 10.0.0.100:81, ", "topology.kdl:", "ENOENT", "scheduler `twos`", "ip_vs_twos", "modprobe"],
    );
    // The same among services that are there, with traffic of their own.
    shop("").apply_all(&mut world.kernel);
    refused(world, &director);
}

fn no_scheduler_in_place(world: &mut World) {
    shop(&TWOS.replace("twos", "wrr")).plug_in(world);
    shop(&TWOS.replace("twos", "wrr")).apply_all(&mut world.kernel);
    let words = refused(world, &shop(TWOS));
    says(&words, &["to change service dice", "ENOENT", "ip_vs_twos"]);
    assert!(witness::table(world).contains(&"-A -t 10.0.0.100:81 -s wrr".to_owned()), "its scheduler is back");
}

fn no_device(world: &mut World) {
    let director = shop(r#"vip "lost" address="10.0.0.105" interface="eth7""#);
    director.plug_in(world);
    let words = refused(world, &director);
    says(&words, &["to add vip lost (10.0.0.105 eth7, ", "ENODEV", "there is no device `eth7`", "ip link"]);
}

fn no_value(world: &mut World) {
    let director = shop(r#"tuning "director" { sysctl "net.ipv4.ip_default_ttl" 256 }"#);
    director.plug_in(world);
    let words = refused(world, &director);
    says(&words, &["to change sysctl", "net.ipv4.ip_default_ttl", "EINVAL", "does not take this value"]);
}

fn no_sysctl(world: &mut World) {
    let director = shop(r#"tuning "director" { sysctl "net.ipv4.vs.sloppy_tpc" 1 }"#);
    director.plug_in(world);
    let words = refused(world, &director);
    says(&words, &["net.ipv4.vs.sloppy_tpc", "ENOENT", "mend the key"]);
}

fn no_sync_device(world: &mut World) {
    let director = shop(r#"sync id=7 interface="eth7""#);
    director.plug_in(world);
    let words = refused(world, &director);
    says(&words, &["to add sync id 7 (master, ", "ENODEV", "the device that it is to multicast on does not exist"]);
}

/// Somebody's sync daemon, and a server of another family than its service.
fn mixed_beside_sync(world: &mut World) {
    let director = shop(
        r#"
service "far" {
    listen vip="shop" port=81 family="ipv4"
    forward "tun"
    server "2001:db8:9::11"
}
"#,
    );
    director.plug_in(world);
    world.witness("ipvsadm", "--start-daemon master --mcast-interface eth0 --syncid 9");
    let words = refused(world, &director);
    says(&words, &["to add server far 2001:db8:9::11", "EINVAL", "sync daemon"]);
}

/// Something to add, to change, to replace and to delete, in one plan.
fn from_disorder(world: &mut World, records: &Path) -> Case {
    let director = Director::of("examples/flash-sale.kdl", "lb1");
    director.plug_in(world);
    let goal = Goal { wanted: director.compiled.state.clone(), exclusive: director.exclusive() };
    assert!(matches!(goal.run(records, &mut world.kernel), Ended::Applied));
    hand::feed(
        "ipvsadm",
        "-R",
        "-E -t 10.0.0.100:443 -s mh -b mh-port
         -d -t 10.0.0.100:443 -r 10.0.0.12:443
         -e -t 10.0.0.100:443 -r 10.0.0.13:443 -i -w 90
         -a -t 10.0.0.100:443 -r 10.0.0.99:443 -g -w 4
         -D -t 10.0.0.100:80
         -A -u 10.0.0.100:53 -s sh
         -a -u 10.0.0.100:53 -r 10.0.0.12:53 -m -w 1
         -a -u 10.0.0.100:53 -r 10.0.0.11:53 -m -w 1
         -A -t [2001:db8::1]:80 -s wlc -p 50 -M 64
",
    );
    world.witness("ipvsadm", "--set 77 0 0");
    world.witness("ip", "addr del 10.0.0.100/32 dev eth0");
    std::fs::write("/proc/sys/net/ipv4/vs/expire_nodest_conn", "1").expect("a sysctl");
    Case::new("a flash sale from disorder", goal.clone(), goal, director)
}

/// An example from nothing; and where every fate is tried, then to nothing.
fn example(world: &mut World, (file, host): (&str, &str), fates: Fates) {
    let records = Folder::new();
    let case = Case::example(file, host);
    case.start(world, records.path());
    each_step(world, &case, &records, fates).show(&case.name);
    if matches!(fates, Fates::InTurn) {
        return;
    }
    let ended = case.second.run(records.path(), &mut world.kernel);
    assert!(matches!(ended, Ended::Applied), "{}: {ended:#?}", case.name);
    let case = case.turned();
    each_step(world, &case, &records, fates).show(&case.name);
}

fn disorder(world: &mut World, fates: Fates) {
    let records = Folder::new();
    let case = from_disorder(world, records.path());
    each_step(world, &case, &records, fates).show(&case.name);
}

/// A step that is refused is in the way of the one behind it: that is nobody else's doing.
fn reseated(world: &mut World) {
    let director = shop(
        "service \"hashed\" { listen vip=\"shop\" port=81 family=\"ipv4\"; forward \"dr\"; scheduler \"sh\"; pool \"web\"; }",
    );
    director.plug_in(world);
    let records = Folder::new();
    let goal = Goal { wanted: director.compiled.state.clone(), exclusive: false };
    assert!(matches!(goal.run(records.path(), &mut world.kernel), Ended::Applied));
    let server = |verb: &str, host: u8| format!("-{verb} -t 10.0.0.100:81 -r 10.0.0.{host}:81 -i -w 7\n");
    let moved = |host| format!("-d -t 10.0.0.100:81 -r 10.0.0.{host}:81\n{}", server("a", host));
    hand::feed("ipvsadm", "-R", &[moved(11), moved(12), server("e", 13)].concat());
    let case = Case::new("a shop in another order", goal.clone(), goal, director);
    let (_, _, phases) = case.second.plan(records.path(), &mut world.kernel);
    assert!(phases.iter().any(|phase| phase.rank == Rank::Reseat), "{phases:#?}");
    each_step(world, &case, &records, Fates::All).show(&case.name);
}

fn random(count: usize, fates: Fates) {
    let mut counts = Counts::default();
    for case in Case::random(count) {
        let records = Folder::new();
        let mut world = World::new();
        case.start(&mut world, records.path());
        let Counts { failed, twice, left } = each_step(&mut world, &case, &records, fates);
        counts = Counts { failed: counts.failed + failed, twice: counts.twice + twice, left: counts.left + left };
    }
    counts.show(&format!("{count} random plans"));
}

/// What becomes of each step.
#[derive(Clone, Copy, Debug)]
enum Fates {
    /// Everything that can, one run for each.
    All,
    /// One of them.
    InTurn,
}

/// How the runs ended.
#[derive(Default)]
struct Counts {
    /// As they were before.
    failed: usize,
    /// With a step of the rollback refused too; those of them that left something.
    twice: usize,
    left: usize,
}

impl Counts {
    #[expect(clippy::disallowed_macros, reason = "the table of a test is its result")]
    fn show(&self, title: &str) {
        let Counts { failed, twice, left } = self;
        println!(
            "\n{title}: {failed} runs failed and were rolled back; of {twice} that failed again in the rollback {left} left something, and were recovered"
        );
    }
}

/// Runs the plan once for each of its steps and fates, with that step not going well, and looks at what is left: nothing of
/// the run, in the kernel and in the records. Then once more with a step of the rollback refused too.
fn each_step(world: &mut World, case: &Case, records: &Folder, fates: Fates) -> Counts {
    let mut counts = Counts::default();
    let (scope, _, mut phases) = case.second.plan(records.path(), &mut world.kernel);
    let mut before = recorded::held(&mut world.kernel, &scope);
    let (seen, mut ledger) = (case.seen(world), records.ledger());
    for step in 0.. {
        let steps = phases.iter().map(|phase| phase.steps.len()).sum::<usize>();
        if step >= steps {
            break;
        }
        let what = format!("{}: {}", case.name, name(&phases, step));
        let mut taken_back = Vec::new();
        let all = [Fate::Refused, Fate::LostUndone, Fate::LostDone];
        let fates = match fates {
            Fates::All => all.as_slice(),
            Fates::InTurn => &all[step % 3..=step % 3],
        };
        for fate in fates.iter().copied() {
            let what = format!("{what} {fate:?}");
            // A step that happened without an answer is no failure; the last one is, unless it is that very step.
            let faults = match fate {
                Fate::LostDone if step == steps - 1 => continue,
                Fate::LostDone => vec![(step, fate), (steps - 1, Fate::Refused)],
                _ => vec![(step, fate)],
            };
            let mut kernel = Faulty::new(&mut world.kernel, &faults);
            let ended = case.second.run(records.path(), &mut kernel);
            if fate == Fate::Refused {
                taken_back = kernel.taken_back;
            }
            if fate == Fate::LostUndone && matches!(ended, Ended::Applied) {
                // Another step has done it too, as one sysctl moves another.
                assert_eq!(case.second.finds(&mut world.kernel), Vec::<String>::new(), "{what}");
                assert!(matches!(case.first.run(records.path(), &mut world.kernel), Ended::Applied), "{what}: and back");
                (before, ledger) = (recorded::held(&mut world.kernel, &scope), records.ledger());
                phases = case.second.plan(records.path(), &mut world.kernel).2;
                break;
            }
            assert!(matches!(ended, Ended::RolledBack(_)), "{what}: {ended:#?}");
            let now = recorded::held(&mut world.kernel, &scope);
            assert!(now == before, "{what}\n{}", recorded::shown(&before, &now));
            assert!(records.is_tidy() && records.ledger() == ledger, "{what}: the records are as they were");
            counts.failed += 1;
        }
        if let Some(stuck) = taken_back.get(step % taken_back.len().max(1)) {
            let what = format!("{what}, then {stuck}");
            counts.twice += 1;
            counts.left += usize::from(fails_twice(world, case, records, (step, stuck), &what));
            let now = recorded::held(&mut world.kernel, &scope);
            assert!(now == before, "{what}\n{}", recorded::shown(&before, &now));
            assert!(records.is_tidy() && records.ledger() == ledger, "{what}: the records are as they were");
        }
        // Programs take their time: all of them see it now and then, and at the end.
        if step % 16 == 0 || step + 1 == steps {
            assert_eq!(case.seen(world), seen, "{what}");
        }
    }
    counts
}

/// A step fails, and then what would take back `stuck`: what is left is named, no more and no less, and a later run takes
/// it back. Whether anything was left.
fn fails_twice(world: &mut World, case: &Case, records: &Folder, (step, stuck): (usize, &Key), what: &str) -> bool {
    let (scope, _, _) = case.second.plan(records.path(), &mut world.kernel);
    let before = recorded::held(&mut world.kernel, &scope);
    let mut kernel = Faulty::new(&mut world.kernel, &[(step, Fate::Refused)]);
    kernel.stuck = Some(stuck.clone());
    let ended = case.second.run(records.path(), &mut kernel);
    let now = recorded::held(&mut world.kernel, &scope);
    let mut differs = recorded::differences(&before, &now);
    let Ended::Incomplete(_, left) = ended else {
        assert!(matches!(ended, Ended::RolledBack(_)), "{what}: {ended:#?}");
        assert!(differs.is_empty(), "{what}: claimed to be as before\n{}", recorded::shown(&before, &now));
        return false;
    };
    let mut named: BTreeSet<Key> = left.iter().map(|left| left.key.clone()).collect();
    // A server that is missing or too many is named; that it has no seat, or has one, goes without saying, and so do the
    // sysctls of a device that is named.
    let devices = named.clone();
    for keys in [&mut differs, &mut named] {
        keys.retain(|key| match key {
            Key::Order(_) => false,
            Key::Sysctl(sysctl) => !sysctl.device().is_some_and(|device| devices.contains(&Key::Link(device.to_owned()))),
            _ => true,
        });
    }
    assert_eq!(named, differs, "{what}: what is left is named\n{left:#?}\n{}", recorded::shown(&before, &now));
    assert!(!records.is_tidy(), "{what}: the journal stays");
    let recovered = recorded::recover(records.path(), &mut world.kernel);
    assert!(matches!(recovered, Some(Recovered::TakenBack)), "{what}: {recovered:#?}");
    true
}

fn name(phases: &[Phase], step: usize) -> String {
    let found = phases.iter().flat_map(|phase| phase.steps.iter().map(|step| (phase.rank, &step.key))).nth(step);
    found.map_or_else(String::new, |(rank, key)| format!("step {step}, {rank:?} {key}"))
}
