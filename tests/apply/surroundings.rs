//! What a run meets from outside while it goes on: signals, mistakes of its own, other runs, a namespace that goes away.

use std::cell::Cell;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;
use lvsform::kernel::linux::Linux;
use lvsform::kernel::{Kernel, Outcome, ReadError, netns};
use lvsform::plan::Phase;
use lvsform::state::{Observed, Scope};
use lvsform::txn::{Ended, Failure, Signs, lock};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::{File, lvsform, run, says};
use crate::killed::{VICTIM, goal, shop};
use crate::owned::Site;
use crate::recorded::{self, Folder};
use crate::world::{World, test};
use crate::{hand, killed, witness};

pub fn tests() -> Vec<Trial> {
    vec![
        test("surroundings::an_interrupt_before_any_phase_is_rolled_back", interrupted),
        test("surroundings::a_mistake_in_any_phase_is_rolled_back", panicked),
        test("surroundings::signals_to_the_command_end_it_with_8_and_nothing_changed", signals),
        test("surroundings::twenty_runs_at_once_that_wait_are_all_done", |world| at_once(world, true)),
        test("surroundings::twenty_runs_at_once_that_do_not_wait_are_done_or_were_not_begun", |world| at_once(world, false)),
        test("surroundings::a_namespace_deleted_meanwhile_is_not_called_applied", deleted_meanwhile),
        test("surroundings::a_sysctl_that_nobody_may_write_is_said_with_what_to_do", read_only_sysctls),
        test("surroundings::in_another_namespace_of_the_same_name_nothing_is_taken_back", made_anew),
    ]
}

fn read_only_sysctls(world: &mut World) {
    let try_it = |program: &str, sysctl: &str, said: &[&str]| {
        let text =
            format!("topology \"shop\"\ndirector \"lb1\" {{ interface \"eth0\" address=\"10.0.0.2/24\"; sysctl {sysctl}; }}\n");
        let site = Site::new(&text);
        let lvsform = |verb: &str, more: &str, code| {
            let (file, records) = (site.file.path(), site.records.display());
            let line =
                format!("{program} {} {verb} {file} --host lb1 --state-dir {records} {more}", env!("CARGO_BIN_EXE_lvsform"));
            let mut command = Command::new("sh");
            command.args(["-c", &line]).stdin(Stdio::null());
            run(command, code)
        };
        let (out, _) = lvsform("plan", "", 0);
        says(&out, &["Apply would refuse: model: the kernel would not change sysctl"]);
        says(&out, said);
        let (_, err) = lvsform("apply", "--yes", 5);
        says(&err, &["a model of the kernel refuses to change sysctl", "nothing was changed"]);
        says(&err, said);
        let (_, err) = lvsform("apply", "--yes --allow model", 8);
        says(&err, &["the kernel refused to change sysctl", "Rolled back"]);
        says(&err, said);
    };
    // A namespace inside the host's shows it too, and there it is taken for the host's.
    try_it(
        "nsenter --net=/proc/1/ns/net",
        "\"net.ipv4.tcp_available_congestion_control\" \"nonsense\"",
        &[
            "it is read-only here: its mode lets nobody write it",
            "take it out of the file",
            "`ls -l /proc/sys/net/ipv4/tcp_available_congestion_control`",
        ],
    );
    world.witness("sysctl", "-qw net.ipv4.vs.sloppy_tcp=0");
    let read_only = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec";
    try_it(
        &format!("exec unshare -m sh -c '{read_only} \"$@\"' sh"),
        "\"net.ipv4.vs.sloppy_tcp\" 1",
        &["/proc/sys is mounted read-only here", "outside the container"],
    );
}

fn interrupted(world: &mut World) {
    let (case, records) = shop(world);
    let before = recorded::held(&mut world.kernel, &case.scope());
    let (_, _, phases) = case.second.plan(records.path(), &mut world.kernel);
    let ledger = records.ledger();
    // Before each phase, and after the last.
    for at in 0..=phases.len() {
        let left = Cell::new(at);
        let interrupted = || left.replace(left.get().wrapping_sub(1)) == 0;
        let signs = Signs { interrupted: &interrupted, ..Signs::default() };
        let ended = case.second.run_with(&mut records.store(), &mut world.kernel, signs);
        assert!(matches!(ended, Ended::RolledBack(Failure::Interrupted)), "phase {at}: {ended:?}");
        let now = recorded::held(&mut world.kernel, &case.scope());
        assert!(now == before, "phase {at}\n{}", recorded::shown(&before, &now));
        assert!(records.is_tidy() && records.ledger() == ledger, "phase {at}");
    }
}

/// A kernel that has a mistake in one of its phases, when half of that is done.
struct Mistaken<'a> {
    kernel: &'a mut Linux,
    left: Option<usize>,
}

impl Kernel for Mistaken<'_> {
    fn read(&mut self, scope: &Scope) -> Result<Observed, ReadError> {
        self.kernel.read(scope)
    }

    fn run(&mut self, phase: &Phase) -> Vec<Outcome> {
        let left = self.left.take();
        if left == Some(0) {
            let steps = phase.steps.iter().take(phase.steps.len().div_ceil(2)).cloned().collect();
            self.kernel.run(&Phase { rank: phase.rank, steps });
            // Without the words that the hook would print: who reads a log for what failed is not to find this.
            std::panic::resume_unwind(Box::new("a mistake"));
        }
        self.left = left.map(|left| left - 1);
        self.kernel.run(phase)
    }
}

fn panicked(world: &mut World) {
    let (case, records) = shop(world);
    let before = recorded::held(&mut world.kernel, &case.scope());
    let (_, _, phases) = case.second.plan(records.path(), &mut world.kernel);
    for at in 0..phases.len() {
        let ended = case.second.run(records.path(), &mut Mistaken { kernel: &mut world.kernel, left: Some(at) });
        assert!(matches!(&ended, Ended::RolledBack(Failure::Panicked(words)) if words == "a mistake"), "phase {at}: {ended:?}");
        let now = recorded::held(&mut world.kernel, &case.scope());
        assert!(now == before, "phase {at}\n{}", recorded::shown(&before, &now));
        assert!(records.is_tidy(), "phase {at}");
    }
}

/// A topology with one service on a VIP that all of them have.
fn one_of_many(name: &str, port: usize, servers: &str) -> File {
    let text = format!(
        r#"
topology "{name}"
director "lb1" {{ interface "eth0" address="10.0.0.2/24"; }}
vip "shop" address="10.0.0.100"
timeouts tcp="10m"
service "{name}" {{ listen vip="shop" port={port}; forward "nat"; return-path "none"; {servers} }}
"#
    );
    File::new("shop.kdl", text.as_bytes())
}

fn plug_in() {
    hand::feed("ip", "-batch -", "link add eth0 type dummy\nlink set eth0 up\naddr add 10.0.0.2/24 dev eth0\n");
}

/// An apply in a process of its own.
fn start(file: &File, records: &Path, more: &str) -> Child {
    let line = format!("apply {} --host lb1 --yes --state-dir {}{more}", file.path(), records.display());
    let mut command = lvsform(&line);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// How it ended, and what it said.
fn end(mut child: Child) -> (Option<i32>, String) {
    let mut words = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut words).expect("text");
    (child.wait().expect("our own child").code(), words)
}

fn signals(world: &mut World) {
    plug_in();
    // Large, so that there is time to come in between.
    let servers: Vec<String> = (1..=9).map(|net| format!("server \"10.{net}.0.[1-250]\" weight=1; ")).collect();
    let file = one_of_many("big", 80, &servers.concat());
    let records = Folder::new();
    let seen = [witness::addresses(world), vec![world.witness("ipvsadm", "-l --timeout")]];
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut child = start(&file, records.path(), "");
        let marks = records.store().path(lvsform::txn::store::Record::Marks);
        while !marks.exists() {
            assert!(child.try_wait().expect("our own child").is_none(), "{signal}: it ended before it began");
            std::thread::yield_now();
        }
        kill(Pid::from_raw(i32::try_from(child.id()).expect("a number")), signal).expect("our own child");
        let (code, words) = end(child);
        assert_eq!(code, Some(8), "{signal}: {words}");
        says(&words, &["interrupted by a signal", "Rolled back: "]);
        assert!(witness::table(world).is_empty(), "{signal}");
        assert_eq!([witness::addresses(world), vec![world.witness("ipvsadm", "-l --timeout")]], seen, "{signal}");
        assert!(records.is_tidy() && records.ledger().is_none(), "{signal}");
    }
}

fn at_once(world: &mut World, wait: bool) {
    plug_in();
    let records = Folder::new();
    let files: Vec<File> =
        (0..20).map(|number| one_of_many(&format!("t{number}"), 8000 + number, "server \"10.0.0.11\" weight=1;")).collect();
    let more = if wait { " --lock-timeout 10m" } else { "" };
    let children: Vec<Child> = files.iter().map(|file| start(file, records.path(), more)).collect();
    let ends: Vec<(Option<i32>, String)> = children.into_iter().map(end).collect();
    let table = witness::table(world).join("\n");
    let mut done = 0;
    for (number, (code, words)) in ends.iter().enumerate() {
        let lines = [format!("-A -t 10.0.0.100:{} -s wlc", 8000 + number), format!("-r 10.0.0.11:{} -m -w 1", 8000 + number)];
        let there = lines.each_ref().map(|line| table.contains(line));
        match code {
            Some(0) => {
                done += 1;
                assert_eq!(there, [true; 2], "{number}: {words}\n{table}");
            }
            Some(7) if !wait => {
                says(words, &["another run is at work", "nothing was changed"]);
                assert_eq!(there, [false; 2], "{number}: {words}\n{table}");
            }
            other => panic!("{number}: {other:?}: {words}"),
        }
    }
    assert!(if wait { done == 20 } else { done > 0 }, "{done} done");
    assert_eq!(table.lines().count(), 2 * done, "{table}");
    // Each is told from the others, and the last that goes gives back what they shared.
    if wait {
        let timeouts = world.witness("ipvsadm", "-l --timeout");
        says(&timeouts, &["600 "]);
        for number in 0..20 {
            run(lvsform(&format!("destroy t{number} --yes --state-dir {}", records.path().display())), 0);
        }
        assert!(witness::table(world).is_empty());
        assert_ne!(world.witness("ipvsadm", "-l --timeout"), timeouts);
        assert!(!witness::addresses(world).contains(&"10.0.0.100/32 eth0".to_owned()));
    }
}

/// A namespace with a name, and an interface in it.
fn named(world: &World, name: &str) -> u64 {
    world.witness("ip", &format!("netns add {name}"));
    let lines = format!(
        "netns exec {name} ip link set lo up\nnetns exec {name} ip link add eth0 type dummy\n\
         netns exec {name} ip link set eth0 up\nnetns exec {name} ip addr add 10.0.0.2/24 dev eth0"
    );
    for line in lines.lines() {
        world.witness("ip", line);
    }
    let of = name.to_owned();
    let cookie = std::thread::spawn(move || {
        netns::enter(&of).expect("a namespace");
        netns::cookie().expect("a cookie")
    });
    cookie.join().expect("a cookie")
}

fn deleted_meanwhile(world: &mut World) {
    let cookie = named(world, "goes");
    let records = Folder::new();
    let file = one_of_many("shop", 80, "server \"10.0.0.[11-13]\" weight=1;");
    // It waits in the namespace until we let it go on.
    let held = lock::take(Path::new(lock::DIRECTORY), cookie, None).expect("the lock");
    let mut child = start(&file, records.path(), " --netns goes --lock-timeout 10m");
    let inode = |path: String| std::fs::metadata(path).map(|file| file.ino()).ok();
    let there = inode("/run/netns/goes".to_owned());
    while inode(format!("/proc/{}/ns/net", child.id())) != there {
        assert!(child.try_wait().expect("our own child").is_none(), "it ended");
        std::thread::yield_now();
    }
    world.witness("ip", "netns del goes");
    drop(held);
    let (code, words) = end(child);
    assert_eq!(code, Some(8), "{words}");
    says(&words, &["the network namespace was deleted meanwhile"]);
}

fn made_anew(world: &mut World) {
    named(world, "again");
    let records = Folder::new();
    let file = one_of_many("shop", 80, "server \"10.0.0.[11-13]\" weight=1;");
    let arguments = format!("--netns again --state-dir {}", records.path().display());
    run(lvsform(&format!("apply {} --host lb1 --yes {arguments}", file.path())), 0);
    // A run that dies in it.
    let (_, second) = goal(killed::FIRST);
    std::fs::write(records.path().join(killed::GOAL), serde_json::to_vec(&second).expect("JSON")).expect("our own folder");
    let program = std::env::current_exe().expect("this program");
    let mut victim = std::process::Command::new("ip");
    victim.args(["netns", "exec", "again"]).arg(program).arg(VICTIM).arg(records.path()).args(["step", "6"]);
    assert!(!victim.status().expect("ip").success());
    world.witness("ip", "netns del again");
    named(world, "again");
    // Somebody makes the very same things in the new one.
    world.witness("ip", "netns exec again ipvsadm -A -t 10.0.0.100:80 -s sh");
    world.witness("ip", "netns exec again ip addr add 10.0.0.100/32 dev eth0");
    let seen = || {
        let table = world.witness("ip", "netns exec again ipvsadm -Sn");
        [table, world.witness("ip", "-n again -o addr show dev eth0")]
    };
    let before = seen();
    let (out, _) = run(lvsform(&format!("recover {arguments}")), 0);
    says(&out, &["another boot or namespace"]);
    assert_eq!(seen(), before);
    let (out, _) = run(lvsform(&format!("recover {arguments}")), 0);
    says(&out, &["Nothing to recover"]);
    world.witness("ip", "netns del again");
}
