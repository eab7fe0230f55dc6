//! Readings while somebody else writes. A dump of several receives can be torn by a writer, and IPVS never says so: what is
//! returned has all that stood still, or nothing is returned.
//!
//! In User-Mode Linux the two share one CPU and take turns; under QEMU, for which the test named `smp::…` is, they run at
//! once.
#![expect(clippy::disallowed_methods, reason = "a reading must end in bounded time, and a witness is a program")]

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use lvsform::kernel::linux::Linux;
use lvsform::kernel::netlink::wire::{Malformed, Message};
use lvsform::kernel::netlink::{Limits, Protocol, Socket, family};
use lvsform::kernel::{Kernel, Outcome, ReadError, ipvs};
use lvsform::plan::{Phase, Rank};
use lvsform::state::{Change, Forward, Key, Resource, Scope, ServiceKey, State};

use crate::ipvs::{server, service};
use crate::world::{World, change, key, test_alone};

/// Services that stand still: several receives for one dump of them.
const SERVICES: u32 = 400;
/// Servers that stand still, all in one service.
const SERVERS: u32 = 600;
/// Ten dumps take far less, wherever they run.
const BOUND: Duration = Duration::from_mins(1);

/// The tests, with so many readings beside each writer.
pub fn tests(readings: u32) -> Vec<Trial> {
    vec![
        test_alone("torn::a_reading_beside_a_writer_of_services_has_every_service_that_stands_still", move |world| {
            services(world, readings);
        }),
        test_alone("torn::a_reading_beside_a_writer_of_servers_has_every_server_that_stands_still_in_order", move |world| {
            servers(world, readings);
        }),
        test_alone("torn::a_reading_beside_a_writer_that_never_pauses_comes_to_an_end", never_pauses),
        test_alone("torn::a_writer_in_step_tears_dumps_of_one_socket_alike_and_that_of_a_fresh_one_otherwise", in_step),
        test_alone("smp::a_plan_beside_a_writer_that_never_pauses_ends_with_6_and_says_so", ends_with_6),
    ]
}

/// A service that stands still, or one of a writer.
fn one(whose: u32, number: u32) -> String {
    format!("service tcp 10.{whose}.{}.{}:80", number >> 8, number & 255)
}

const STILL: u32 = 1;
const WRITERS: u32 = 2;

fn rr() -> Resource {
    Resource::from(service("rr"))
}

#[track_caller]
fn done(world: &mut World, steps: Vec<Change>) {
    assert!(world.run(steps).iter().all(|outcome| *outcome == Outcome::Done));
}

/// Sets a flag when the reader is through, also where it panics.
struct Set<'a>(&'a AtomicBool);

impl Drop for Set<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `read` while another thread of this namespace carries out what `turn` says, turn after turn, without a pause.
/// Returns the number of turns with what was read.
fn beside<T>(turn: impl Fn(u32) -> Vec<Change> + Sync, read: impl FnOnce() -> T) -> (T, u32) {
    let over = AtomicBool::new(false);
    let (begun, first) = mpsc::channel();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut kernel = Linux::open(None).expect("sockets");
            let mut turns = 0;
            while !over.load(Ordering::Relaxed) {
                let outcomes = kernel.run(&Phase { rank: Rank::ServicesAdded, steps: turn(turns) });
                assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "turn {turns}: {outcomes:?}");
                turns += 1;
                let _ = begun.send(());
            }
            turns
        });
        let result = {
            let _over = Set(&over);
            first.recv().expect("a writer");
            read()
        };
        (result, writer.join().expect("a writer"))
    })
}

/// What undoes a step.
fn back(step: &Change) -> Change {
    Change { key: step.key.clone(), before: step.after.clone(), after: step.before.clone() }
}

/// A writer that adds so many, deletes them, adds them …
fn to_and_fro(steps: Vec<Change>) -> impl Fn(u32) -> Vec<Change> + Sync {
    let back: Vec<Change> = steps.iter().map(back).collect();
    move |turn| if turn % 2 == 0 { steps.clone() } else { back.clone() }
}

/// Reads so often beside the writer, hands each reading that there was to `each`, and takes away what the writer left.
fn read_beside(world: &mut World, readings: u32, steps: Vec<Change>, each: impl Fn(&State)) {
    let theirs: BTreeSet<Key> = steps.iter().map(|step| step.key.clone()).collect();
    let mut read = 0;
    let ((), turns) = beside(to_and_fro(steps), || {
        for _ in 0..readings {
            let start = Instant::now();
            match world.kernel.read(&Scope::default()) {
                Ok(observed) => {
                    read += 1;
                    each(&observed.state);
                }
                Err(ReadError::Unsteady { tries, .. }) => assert_eq!(tries, 10),
                Err(error) => panic!("{error}"),
            }
            assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
        }
    });
    assert!(turns > 1, "nobody wrote");
    // With one CPU the writer goes on between two parts only, and some readings are whole. With several all of them may be torn:
    // then there is nothing to look at but that none was believed.
    let several = std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1);
    assert!(read > 0 || several, "no reading was whole");
    let left = world.read().state.objects.into_iter().filter(|(key, _)| theirs.contains(key));
    let left = left.map(|(key, before)| Change { key, before: Some(before), after: None }).collect();
    done(world, left);
}

fn still_services(world: &mut World) -> BTreeSet<Key> {
    let names: Vec<String> = (0..SERVICES).map(|number| one(STILL, number)).collect();
    done(world, names.iter().map(|name| change(name, None, Some(rr()))).collect());
    names.iter().map(|name| key(name)).collect()
}

fn services(world: &mut World, readings: u32) {
    let still = still_services(world);
    for many in [1, 40, 300] {
        let steps = (0..many).map(|number| change(&one(WRITERS, number), None, Some(rr()))).collect();
        read_beside(world, readings, steps, |state| {
            let missing: Vec<&Key> = still.iter().filter(|key| !state.objects.contains_key(key)).collect();
            assert!(missing.is_empty(), "beside a writer of {many} these were not seen: {missing:?}");
        });
    }
}

fn servers(world: &mut World, readings: u32) {
    world.witness("ip", "route add local 10.200.0.0/16 dev lo");
    let name = |whose: u32, number: u32| format!("10.200.{}.{}:{}", number >> 8, number & 255, 80 + whose);
    let step = |whose: u32, number: u32| {
        let key = format!("server tcp 10.0.0.100:80 {}", name(whose, number));
        change(&key, None, Some(Resource::Destination(server(Forward::Dr, 1))))
    };
    // The order of its servers is read.
    done(world, vec![change("service tcp 10.0.0.100:80", None, Some(Resource::from(service("sh"))))]);
    done(world, (0..SERVERS).map(|number| step(STILL, number)).collect());
    let still: Vec<String> = (0..SERVERS).map(|number| name(STILL, number)).collect();
    let order = key("order tcp 10.0.0.100:80");
    for many in [1, 40] {
        let steps = (0..many).map(|number| step(WRITERS, number)).collect();
        read_beside(world, readings, steps, |state| {
            let Some(Resource::Order(order)) = state.objects.get(&order) else { panic!("no order") };
            let seen: Vec<String> = order.servers.iter().map(ToString::to_string).collect();
            let (kept, theirs): (Vec<&String>, Vec<&String>) = seen.iter().partition(|name| name.ends_with(":81"));
            assert!(kept.iter().copied().eq(&still), "beside a writer of {many}: {kept:?}");
            assert_eq!(theirs.iter().collect::<BTreeSet<_>>().len(), theirs.len(), "one is listed twice: {theirs:?}");
        });
    }
}

/// A writer of whose states no two are alike.
fn forward(turn: u32) -> Vec<Change> {
    const BEHIND: u32 = 20;
    let number = turn + BEHIND;
    let mut steps = vec![change(&one(WRITERS + (number >> 16), number & 65535), None, Some(rr()))];
    steps.extend((turn >= BEHIND).then(|| change(&one(WRITERS + (turn >> 16), turn & 65535), Some(rr()), None)));
    steps
}

/// Dumps the services while, behind its second part, a writer takes away what it had put in.
fn torn(world: &mut World, socket: &mut Socket, family: u16, theirs: &[Change]) -> Vec<ServiceKey> {
    done(world, theirs.to_vec());
    let mut seen = Vec::new();
    let each = |message: Message<'_>| {
        if seen.is_empty() {
            // The kernel makes the second part while it hands out the first.
            done(world, theirs.iter().map(back).collect());
        }
        seen.push(ipvs::decode::service(&message).ok_or(Malformed)?.key);
        Ok(())
    };
    let dump = socket.dump(|writer| ipvs::Request::GetServices.write(family, writer), each).expect("a dump");
    // With several CPUs the second part may be made when theirs are gone already.
    assert!(dump.parts > 1, "{} parts", dump.parts);
    seen
}

fn in_step(world: &mut World) {
    let still = still_services(world);
    let theirs: Vec<Change> = (0..300).map(|number| change(&one(WRITERS, number), None, Some(rr()))).collect();
    let mut socket = Socket::open(Protocol::Generic, Limits::default()).expect("a socket");
    let family = family::load(&mut socket, ipvs::wire::FAMILY).expect("IPVS");
    let is_torn = |seen: &[ServiceKey]| still.iter().any(|key| !seen.iter().any(|seen| Key::Service(*seen) == *key));
    // With several CPUs it is not so each time.
    let mut last = torn(world, &mut socket, family, &theirs);
    let alike = (0..20).any(|_| {
        let next = torn(world, &mut socket, family, &theirs);
        let alike = next == last && is_torn(&next);
        last = next;
        alike
    });
    assert!(alike, "two in a row are alike, and neither is whole");
    let mut fresh = socket.fresh().expect("a socket");
    assert_ne!(torn(world, &mut fresh, family, &theirs), last, "its parts end elsewhere");
}

fn never_pauses(world: &mut World) {
    let still = still_services(world);
    let start = Instant::now();
    let (result, turns) = beside(forward, || world.kernel.read(&Scope::default()));
    assert!(start.elapsed() < BOUND && turns > 1, "{turns} turns in {:?}", start.elapsed());
    match result {
        Ok(observed) => assert!(still.iter().all(|key| observed.state.objects.contains_key(key))),
        Err(error) => assert_eq!(error, ReadError::Unsteady { what: "the services", tries: 10 }),
    }
}

fn ends_with_6(world: &mut World) {
    still_services(world);
    let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
    command.args(["plan", "examples/flash-sale.kdl", "--host", "lb1"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let mut runs = (0..20).map(|_| {
        let start = Instant::now();
        let (output, _) = beside(forward, || command.output().expect("it starts"));
        assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    });
    // Where the writer's CPU stands still for two readings, they are equal and there is a plan.
    let (_, words) = runs.find(|(code, _)| *code == Some(6)).expect("a run that ends with 6");
    assert!(words.contains("someone else is writing: the services differed in each of 10 readings"), "{words}");
    assert!(words.contains("run this again when it is quiet"), "{words}");
}
