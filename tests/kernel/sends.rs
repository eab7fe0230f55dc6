//! What becomes of many requests in one send, and of readings beside a writer.

use libtest_mimic::Trial;
use lvsform::kernel::ipvs::Request;
use lvsform::kernel::linux::Linux;
use lvsform::kernel::netlink::{Limits, Protocol, Socket, family};
use lvsform::kernel::{Kernel, Outcome, ReadError};
use lvsform::state::{Destination, Forward, Resource, Scope, ServiceKey};
use nix::errno::Errno;

use crate::ipvs::{make_local, server, service};
use crate::world::{Expect, World, change, key, test};

pub fn tests() -> Vec<Trial> {
    vec![
        test("sends::each_of_many_outcomes_belongs_to_its_own_step", mixed_outcomes),
        test("sends::two_thousand_refusals_neither_hang_nor_get_lost", two_thousand),
        test("sends::an_overflow_leaves_what_was_not_answered_unknown", overflow),
        test("sends::a_thousand_services_with_ten_servers_each_are_all_read_back", ten_thousand),
        test("sends::fifteen_hundred_servers_of_one_service_come_in_order", wide),
        test("sends::a_reading_without_the_capability_says_which_one", no_capability),
        test("sends::a_phase_of_many_kinds_keeps_its_order", kinds),
    ]
}

fn nth(number: u32) -> String {
    format!("service tcp 10.{}.{}.{}:80", number >> 16, (number >> 8) & 255, number & 255)
}

fn mixed_outcomes(world: &mut World) {
    // Every third service is there already.
    let value = || Some(Resource::from(service("rr")));
    world.run((0..3000).step_by(3).map(|number| change(&nth(number), None, value())).collect());
    let outcomes = world.run((0..3000).map(|number| change(&nth(number), None, value())).collect());
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Refused(refusal) => assert_eq!((number % 3, refusal.errno), (0, Errno::EEXIST as i32), "{number}"),
            outcome => assert!(number % 3 != 0 && *outcome == Outcome::Done, "{number}: {outcome:?}"),
        }
    }
}

fn two_thousand(world: &mut World) {
    let gone = |number| change(&nth(number), Some(Resource::from(service("rr"))), None);
    let outcomes = world.run((0..2000).map(gone).collect());
    assert!(outcomes.iter().all(|outcome| outcome.errno() == Errno::ESRCH as i32));
}

fn overflow(_: &mut World) {
    // A socket that sends more than its receive buffer can answer: what no Linux ever does.
    let limits = Limits { receive_buffer: 64 << 10, answer: 5, messages: 1400 };
    let mut socket = Socket::open_unbounded(Protocol::Generic, limits).expect("a socket");
    let number = family::load(&mut socket, "IPVS").expect("IPVS");
    let of = |number: u32| ServiceKey::Tuple {
        protocol: lvsform::state::Protocol::Tcp,
        address: std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into(),
        port: 80,
    };
    let keys: Vec<ServiceKey> = (0..1000).map(of).collect();
    let delete = |socket: &mut Socket, keys: &[ServiceKey]| {
        let mut outcomes = Vec::new();
        socket.transact(keys, &mut outcomes, |writer, key| {
            Request::DeleteService(*key).write(number, writer);
            None
        });
        outcomes
    };
    let outcomes = delete(&mut socket, &keys);
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Refused(_))).count();
    let unknown = outcomes.iter().filter(|outcome| **outcome == Outcome::Unknown).count();
    assert_eq!(refused + unknown, 1000, "nothing is taken for done");
    assert!(unknown > 0, "the buffer did not overflow");
    assert!(outcomes.iter().take(refused).all(|outcome| matches!(outcome, Outcome::Refused(_))), "the first were answered");
    // The socket still works, and late answers do not count for later requests.
    let again = delete(&mut socket, &keys[..3]);
    assert!(again.iter().all(|outcome| outcome.errno() == Errno::ESRCH as i32), "{again:?}");
}

fn ten_thousand(world: &mut World) {
    for number in 1..=10 {
        make_local(world, &format!("192.168.0.{number}:80"));
    }
    let services = (0..1000).map(|number| change(&nth(number), None, Some(Resource::from(service("wlc")))));
    assert!(world.run(services.collect()).iter().all(|outcome| *outcome == Outcome::Done));
    let weight = |number: u32, server: u32| number * 10 + server;
    let value = |number, member| -> Destination { server(Forward::Nat, weight(number, member)) };
    let name = |number: u32, member: u32| format!("{} 192.168.0.{member}:80", nth(number).replacen("service", "server", 1));
    let steps = (0..1000).flat_map(|number| (1..=10).map(move |member| (number, member)));
    let steps =
        steps.map(|(number, member)| change(&name(number, member), None, Some(Resource::Destination(value(number, member)))));
    assert!(world.run(steps.collect()).iter().all(|outcome| *outcome == Outcome::Done));
    let state = world.read().state;
    for number in 0..1000 {
        for member in 1..=10 {
            assert_eq!(state.objects.get(&key(&name(number, member))), Some(&Resource::Destination(value(number, member))));
        }
    }
    assert_eq!(world.witness("ipvsadm", "-Sn").lines().count(), 11_000);
}

fn wide(world: &mut World) {
    world.add("service tcp 10.0.0.100:80", Resource::from(service("mh"))).expect_done();
    make_local(world, "192.168.0.1:80");
    let names: Vec<String> = (1..=1500).map(|port| format!("192.168.0.1:{port}")).collect();
    let steps = names.iter().map(|name| {
        change(&format!("server tcp 10.0.0.100:80 {name}"), None, Some(Resource::Destination(server(Forward::Nat, 1))))
    });
    assert!(world.run(steps.collect()).iter().all(|outcome| *outcome == Outcome::Done));
    let Some(Resource::Order(order)) = world.get("order tcp 10.0.0.100:80") else { panic!("no order") };
    assert_eq!(order.servers.iter().map(ToString::to_string).collect::<Vec<_>>(), names);
}

fn no_capability(world: &mut World) {
    // Another user than root has no capability. A thread cannot become one alone, so a process does.
    let this = std::env::current_exe().expect("this program");
    let said = world.witness("setpriv", &format!("--reuid 65534 --clear-groups {} {READ}", this.display()));
    assert_eq!(said.trim(), ReadError::Capability("CAP_NET_ADMIN").to_string());
}

/// The argument that makes this program read its namespace and say the error.
pub const READ: &str = "read-and-say-the-error";

/// Reads the namespace and answers with the error.
pub fn read() -> String {
    let result = Linux::open(None).and_then(|mut kernel| kernel.read(&Scope::default()));
    result.map_or_else(|error| error.to_string(), |_| "no error".to_owned())
}

fn kinds(world: &mut World) {
    use lvsform::state::{Address, Link, LinkKind, SysctlValue};
    let link = Link { device: LinkKind::Dummy, up: true, mtu: None, alias: None };
    let sysctl = |value: &str| Resource::from(SysctlValue { value: value.to_owned(), unless: None });
    let outcomes = world.run(vec![
        change("link d1", None, Some(Resource::from(link))),
        change("sysctl net/ipv4/conf/d1/rp_filter", None, Some(sysctl("2"))),
        change("vip 10.0.1.1 d1", None, Some(Resource::Address(Address { deprecated: false, nodad: false }))),
        change("service tcp 10.0.0.100:80", None, Some(Resource::from(service("rr")))),
        change("server tcp 10.0.0.100:80 10.0.1.1:80", None, Some(Resource::Destination(server(Forward::Dr, 1)))),
        change("vip 10.0.1.2 d1", None, Some(Resource::Address(Address { deprecated: false, nodad: false }))),
        change("server tcp 10.0.0.100:80 10.0.1.2:80", None, Some(Resource::Destination(server(Forward::Dr, 1)))),
    ]);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
}
