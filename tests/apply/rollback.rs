//! A run that fails leaves everything as it was before, and says in the operator's words what failed.

use libtest_mimic::Trial;
use lvsform::plan::Plan;
use lvsform::txn::{Ended, Failure};

use crate::director::Director;
use crate::world::{World, test};
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
    for (name, start) in STARTS {
        for (fate, word) in [(Fate::Refused, "refused"), (Fate::LostUndone, "lost"), (Fate::LostDone, "done_without_an_answer")] {
            let test_name = format!("rollback::{name}_with_each_step_{word}");
            tests.push(test(test_name, move |world| each_step(world, start, fate)));
        }
    }
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
    let director = shop(r#"tuning "director" { sysctl "net.ipv4.vs.sync_ports" 3 }"#);
    director.plug_in(world);
    let words = refused(world, &director);
    says(&words, &["to change sysctl", "net.ipv4.vs.sync_ports", "EINVAL", "does not take this value"]);
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

/// Where a run starts from: what is done to a fresh namespace, and the director whose apply follows.
type Start = fn(&mut World) -> Director;

const STARTS: [(&str, Start); 2] = [("an_api_gateway_from_nothing", from_nothing), ("a_flash_sale_from_disorder", from_disorder)];

fn from_nothing(world: &mut World) -> Director {
    let director = Director::of("examples/api-gateway.kdl", "lb1");
    director.plug_in(world);
    director
}

/// Something to add, to change, to replace and to delete, in one plan.
fn from_disorder(world: &mut World) -> Director {
    let director = Director::of("examples/flash-sale.kdl", "lb1");
    director.plug_in(world);
    director.apply_all(&mut world.kernel);
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
    director
}

/// Runs the plan once for each of its steps, with that step not going well, and looks at what is left.
fn each_step(world: &mut World, start: Start, fate: Fate) {
    let director = start(world);
    let before = director.read(&mut world.kernel);
    let plan = director.plan_from(&before);
    let steps = plan.phases.iter().map(|phase| phase.steps.len()).sum::<usize>();
    assert!(steps > 10, "{steps} steps");
    let seen = witness::everything(world, &director);
    let table = witness::table(world);
    for step in 0..steps {
        let what = name(&plan, step);
        let unanswered = fate == Fate::LostDone;
        // A step that happened without an answer is no failure; the last one is, unless it is that very step.
        let mut faults = vec![(step, fate)];
        if unanswered {
            faults.push((steps - 1, Fate::Refused));
        }
        let ended = director.carry_out(&mut Faulty::new(&mut world.kernel, &faults), &before, &plan);
        if unanswered && step == steps - 1 {
            assert!(matches!(ended, Ended::Applied), "{what}: {}", director.words(&ended));
            continue;
        }
        assert!(matches!(ended, Ended::RolledBack(_)), "{what}: {}", director.words(&ended));
        assert_eq!(director.read(&mut world.kernel).state, before.state, "{what}");
        // Programs take their time: all of them see it now and then, and at the end.
        if step % 8 == 0 || step + 2 >= steps {
            assert_eq!(witness::everything(world, &director), seen, "{what}");
        } else {
            assert_eq!(witness::table(world), table, "{what}");
        }
    }
}

fn name(plan: &Plan, step: usize) -> String {
    let found = plan.phases.iter().flat_map(|phase| phase.steps.iter().map(|step| (phase.rank, &step.key))).nth(step);
    found.map_or_else(String::new, |(rank, key)| format!("step {step}, {rank:?} {key}"))
}
