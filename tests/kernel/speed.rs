//! How fast we are beside a bare loop that sends the same bytes. Run with `--ignored speed::`.

use std::fs::File;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use lvsform::kernel::Kernel;
use lvsform::kernel::Outcome;
use lvsform::kernel::ipvs::Request;
use lvsform::kernel::netlink::wire::{ACK, DUMP, Writer};
use lvsform::kernel::netlink::{Limits, Protocol, Socket, family};
use lvsform::plan::{Phase, Rank};
use lvsform::state::{Change, DestinationKey, Forward, Key, Resource, Scope, ServiceKey};
use rtnetlink::sys;

use crate::ipvs::{make_local, server, service};
use crate::world::{World, test};

const SERVICES: u32 = 10_000;
const SERVERS: u16 = 10;

pub fn tests() -> Vec<Trial> {
    vec![test("speed::ten_thousand_services_with_ten_servers_each", speed).with_ignored_flag(true)]
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn timed<T>(body: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = body();
    (value, start.elapsed())
}

fn of(number: u32) -> ServiceKey {
    let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into();
    ServiceKey::Tuple { protocol: lvsform::state::Protocol::Tcp, address, port: 80 }
}

fn changes() -> (Vec<Change>, Vec<Change>) {
    let add = |key, after| Change { key, before: None, after: Some(after) };
    let services = (0..SERVICES).map(|number| add(Key::Service(of(number)), Resource::Service(service("wlc")))).collect();
    let member = |number, port| {
        let key = DestinationKey { service: of(number), address: [192, 168, 0, 1].into(), port };
        add(Key::Destination(key), Resource::Destination(server(Forward::Nat, 1)))
    };
    let servers = (0..SERVICES).flat_map(|number| (1..=SERVERS).map(move |port| (number, port)));
    (services, servers.map(|(number, port)| member(number, port)).collect())
}

/// A part of the measurement in a namespace of its own: deleting everything and adding it again is quadratic in the kernel.
/// The namespace lives as long as the file, so that clearing it away counts for nobody.
#[expect(clippy::disallowed_methods, reason = "an open file keeps a namespace alive")]
fn elsewhere<T: Send + 'static>(body: impl FnOnce(&mut World) -> T + Send + 'static) -> (T, File) {
    let thread = std::thread::spawn(|| {
        let mut world = World::new();
        make_local(&mut world, "192.168.0.1:80");
        (body(&mut world), File::open("/proc/thread-self/ns/net").expect("the namespace"))
    });
    thread.join().expect("no panic")
}

#[expect(clippy::disallowed_macros, reason = "a measurement is printed")]
fn speed(_: &mut World) {
    let mut namespaces = Vec::new();
    // More than once, so that what is loaded and touched for the first time can be told from the rest.
    for _ in 0..3 {
        let ((bare_written, bare_read), namespace) = elsewhere(|_| {
            let (services, servers) = changes();
            let ((), written) = timed(|| bare_write(services.iter().chain(&servers)));
            (written, bare_read(&services))
        });
        namespaces.push(namespace);
        let ((written, read, count), namespace) = elsewhere(|world| {
            let (services, servers) = changes();
            let phases = [(Rank::ServicesAdded, services), (Rank::DestinationsAdded, servers)];
            let phases = phases.map(|(rank, steps)| Phase { rank, steps });
            let (answers, written) = timed(|| phases.iter().map(|phase| world.kernel.run(phase)).collect::<Vec<_>>());
            assert!(answers.iter().flatten().all(|outcome| *outcome == Outcome::Done));
            let (observed, read) = timed(|| world.kernel.read(&Scope::default()).expect("a reading"));
            (written, read, observed.state.objects.len())
        });
        namespaces.push(namespace);
        println!("{count} objects: written {written:?}, bare {bare_written:?}; read {read:?}, bare {bare_read:?}");
    }
}

fn raw() -> (sys::Socket, u16) {
    let mut socket = Socket::open(Protocol::Generic, Limits::default()).expect("a socket");
    let number = family::load(&mut socket, "IPVS").expect("IPVS");
    let mut raw = sys::Socket::new(sys::protocols::NETLINK_GENERIC).expect("a socket");
    raw.bind_auto().expect("bound");
    raw.connect(&sys::SocketAddr::new(0, 0)).expect("connected");
    (raw, number)
}

/// The same messages: 1,000 a send, one acknowledgement.
fn bare_write<'a>(changes: impl Iterator<Item = &'a Change>) {
    let (socket, number) = raw();
    let mut writer = Writer::default();
    let mut answer = vec![0; 64 << 10];
    let mut waiting = 0;
    let mut send = |writer: &mut Writer| {
        writer.add_flags(ACK);
        socket.send(writer.bytes(), 0).expect("sent");
        writer.clear();
        socket.recv(&mut answer.as_mut_slice(), 0).expect("answered");
    };
    for change in changes {
        match (&change.key, &change.after) {
            (Key::Service(key), Some(Resource::Service(value))) => Request::NewService(*key, value).write(number, &mut writer),
            (Key::Destination(key), Some(Resource::Destination(value))) => {
                Request::NewDestination(*key, value).write(number, &mut writer);
            }
            _ => unreachable!("only these two"),
        }
        writer.end(waiting);
        waiting += 1;
        if waiting % 1000 == 0 {
            send(&mut writer);
        }
    }
    if !writer.bytes().is_empty() {
        send(&mut writer);
    }
}

/// The same dumps, their answers thrown away.
fn bare_read(services: &[Change]) -> Duration {
    let (socket, number) = raw();
    let mut writer = Writer::default();
    let mut answer = vec![0; 64 << 10];
    let mut dump = |request: Request<'_>| {
        writer.clear();
        request.write(number, &mut writer);
        writer.add_flags(DUMP);
        writer.end(1);
        socket.send(writer.bytes(), 0).expect("sent");
        loop {
            let length = socket.recv(&mut answer.as_mut_slice(), 0).expect("answered");
            if length < 64 && answer[4] == 3 {
                break;
            }
        }
    };
    let ((), time) = timed(|| {
        dump(Request::GetServices);
        for change in services {
            if let Key::Service(key) = change.key {
                dump(Request::GetDestinations(key));
            }
        }
    });
    time
}
