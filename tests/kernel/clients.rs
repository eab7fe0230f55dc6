//! Where the kernel sends clients, and where the model of its tables says that they go: the same server for each.
//!
//! The clients are addresses of the namespace itself, so that one socket after another can be bound to them; what they send
//! goes to a service, and from there into a device that swallows it. The table of connections says who went where. Clients
//! that no server takes have no connection.

#![expect(clippy::disallowed_methods, reason = "the table of connections is a file")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use libtest_mimic::Trial;
use lvsform::plan::clients::{Seat, Table, compare};
use lvsform::state::{
    Change, DestinationId, DestinationKey, Family, Forward, Key, Order, Protocol, Resource, Service, ServiceFlags, ServiceKey,
};

use crate::ipvs::{server, service};
use crate::world::{Expect, World, test_within};

/// The weights of servers, one table after the other; a server is its place. `None`: it is not there.
const TABLES: [&[Option<u32>]; 8] = [
    &[Some(1), Some(1), Some(1)],
    &[Some(1), Some(1), Some(1), Some(1)],
    &[Some(3), Some(1), Some(7), Some(1)],
    &[Some(3), Some(0), Some(7), Some(1)],
    &[Some(3), Some(0), None, Some(200), Some(0)],
    &[Some(3000), Some(2), Some(70), Some(200), Some(6)],
    &[None, Some(0), Some(0), Some(0), None],
    &[Some(4), Some(0), None, None, Some(6)],
];

pub fn tests() -> Vec<Trial> {
    let flags = |sched1, sched2| ServiceFlags { sched1, sched2, ..ServiceFlags::default() };
    let mut tests = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        for scheduler in ["dh", "sh", "mh"] {
            for flags in [flags(false, false), flags(true, false), flags(false, true), flags(true, true)] {
                let service = Service { flags, ..service(scheduler) };
                if scheduler == "dh" && flags != ServiceFlags::default() {
                    continue;
                }
                let words = service.scheduler_text().replace([' ', ','], "_").replace(['(', ')'], "");
                for (clients, soak) in [(250, false), (2_000, true)] {
                    let name = format!("clients::{words}_sends_each_of_{clients}_over_{family}_where_the_model_says");
                    let service = service.clone();
                    let limit = Duration::from_mins(if soak { 15 } else { 2 });
                    let trial =
                        test_within(limit, name, move |world| each_goes_where_the_model_says(world, family, &service, clients));
                    tests.push(trial.with_ignored_flag(soak));
                }
            }
        }
    }
    tests
}

/// Which server each client got.
type Answers = BTreeMap<(IpAddr, SocketAddr), Option<DestinationId>>;

fn each_goes_where_the_model_says(world: &mut World, family: Family, service: &Service, clients: u16) {
    network(world, family);
    // dh has one server for each address that is asked for.
    let vips: u16 = if service.scheduler == "dh" { 40 } else { 1 };
    let services: Vec<ServiceKey> = (0..vips).map(|number| key(vip(family, number))).collect();
    for key in &services {
        add(world, Key::Service(*key), Resource::Service(Box::new(service.clone())));
    }
    let mut seats: Vec<Seat> = Vec::new();
    let mut before: Option<(Table, Answers)> = None;
    for (round, weights) in (0..).zip(TABLES) {
        let mut changed = seats.clone();
        for key in &services {
            changed.clone_from(&seats);
            give(world, *key, &mut changed, weights);
            let order = Order { servers: changed.iter().map(|seat| seat.server).collect() };
            let read = world.read().state.objects.remove(&Key::Order(*key));
            assert_eq!(read, Some(Resource::Order(order)), "the order that the model starts from");
        }
        seats = changed;
        let table = Table::new(service, family, seats.iter().rev().copied().collect()).expect("a table");
        let answers = ask(world, family, &services, clients, round);
        let mut unlike = Vec::new();
        for ((client, vip), server) in &answers {
            let said = table.server(*client, port(*client, round), vip.ip());
            if said != *server {
                unlike.push(format!("{client} to {vip}: the model says {said:?}, the kernel {server:?}"));
            }
        }
        assert!(unlike.is_empty(), "{} of {}: {} with {seats:?}", unlike.len(), answers.len(), unlike[0]);
        if let Some((before, first)) = before.replace((table.clone(), answers.clone()))
            && vips == 1
            && !service.flags.sched2
        {
            says_how_many_move(&before, &table, services[0], &first, &answers);
        }
    }
}

/// The shares that a plan shows are those of the clients that were asked for, but for chance.
fn says_how_many_move(before: &Table, after: &Table, service: ServiceKey, first: &Answers, then: &Answers) {
    let shares = compare(before, after, service).expect("two tables of one service");
    let clients = f64::from(u32::try_from(first.len()).expect("few"));
    let chance = 200.0 / clients.sqrt(); // four times the deviation of a half
    let count = |is: fn(&Option<DestinationId>, &Option<DestinationId>) -> bool| {
        let moved = first.iter().filter(|(client, server)| is(server, &then[client])).count();
        f64::from(u32::try_from(moved).expect("few")) * 100.0 / clients
    };
    for (said, seen) in [
        (shares.another, count(|before, after| before.is_some() && after.is_some() && before != after)),
        (shares.refused, count(|before, after| before.is_some() && after.is_none())),
        (shares.served, count(|before, after| before.is_none() && after.is_some())),
    ] {
        assert!((said.percent() - seen).abs() < chance, "{shares:?} says {said}, and {seen} % of the clients were seen to");
    }
}

/// Gives the servers of a service these weights: new ones come last, others are edited where they are.
fn give(world: &mut World, service: ServiceKey, seats: &mut Vec<Seat>, weights: &[Option<u32>]) {
    let ids = (0u16..).map(|number| DestinationId(SocketAddr::new(real(service.family(), number), 9000 + number)));
    for (id, weight) in ids.zip(weights.iter().chain(std::iter::repeat(&None)).take(8)) {
        let destination = |weight| Resource::Destination(server(Forward::Nat, weight));
        let key = Key::Destination(DestinationKey::new(service, id));
        match (seats.iter().position(|seat| seat.server == id), weight) {
            (None, None) => {}
            (None, Some(weight)) => {
                add(world, key, destination(*weight));
                seats.push(Seat { server: id, weight: *weight, last_weight: *weight });
            }
            (Some(at), None) => {
                let gone = seats.remove(at);
                step(world, key, Some(destination(gone.weight)), None);
            }
            (Some(at), Some(weight)) => {
                let seat = &mut seats[at];
                if seat.weight != *weight {
                    step(world, key, Some(destination(seat.weight)), Some(destination(*weight)));
                }
                seat.weight = *weight;
                seat.last_weight = if *weight == 0 { seat.last_weight } else { *weight };
            }
        }
    }
}

/// Sends something from every client and looks who got it.
fn ask(world: &mut World, family: Family, services: &[ServiceKey], clients: u16, round: u16) -> Answers {
    let mut answers = Answers::new();
    let earlier = connections(world);
    for number in 0..clients {
        let client = client(family, number);
        let asked = services[usize::from(number) % services.len()];
        let ServiceKey::Tuple { address, port: vip_port, .. } = asked else { unreachable!("services of the test have a VIP") };
        let vip = SocketAddr::new(address, vip_port);
        let socket = UdpSocket::bind((client, port(client, round))).expect("an address of this namespace");
        let _ = socket.send_to(b"?", vip); // refused where no server takes it
        answers.insert((client, vip), None);
    }
    // The table is of all namespaces, and what others do in it moves the place from which the next page is read.
    let new = connections(world) - earlier;
    for _ in 0..50 {
        look(&mut answers, round);
        if answers.values().flatten().count() == new {
            return answers;
        }
    }
    panic!("the servers have {new} new connections, and the table shows {}", answers.values().flatten().count());
}

/// How many connections the servers have that are there now.
fn connections(world: &mut World) -> usize {
    world.read().traffic.values().map(|one| (one.active + one.inactive) as usize).sum()
}

/// Looks who got what the clients sent.
fn look(answers: &mut Answers, round: u16) {
    // A thread has its own namespace, and `/proc/net` is the process's.
    let table = std::fs::read_to_string("/proc/thread-self/net/ip_vs_conn").expect("the table of connections");
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let end = |at: usize| SocketAddr::new(address(words[at]), u16::from_str_radix(words[at + 1], 16).expect("a port"));
        let from = end(1);
        if from.port() == port(from.ip(), round) {
            let (to, server) = (end(3), DestinationId(end(5)));
            let answer = answers.get_mut(&(from.ip(), to)).expect("a client that was asked for");
            assert!(answer.replace(server).is_none_or(|other| other == server), "one server for each client");
        }
    }
}

/// `0A140001` or `2001:0db8:…`
fn address(text: &str) -> IpAddr {
    match u32::from_str_radix(text, 16) {
        Ok(bits) => Ipv4Addr::from_bits(bits).into(),
        Err(_) => text.parse::<Ipv6Addr>().expect("an address").into(),
    }
}

/// From where a client asks: from another port each time, so that no connection of an earlier time is found.
fn port(client: IpAddr, round: u16) -> u16 {
    let last = match client {
        IpAddr::V4(client) => client.octets()[3],
        IpAddr::V6(client) => client.octets()[15],
    };
    20_000 + u16::from(last) * 16 + round
}

fn client(family: Family, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    match family {
        Family::Ipv4 => Ipv4Addr::new(10, 20, high, low).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, number.wrapping_mul(7919), 0, number).into(),
    }
}

fn vip(family: Family, number: u16) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(10, 30, 1, u8::try_from(number).expect("few")).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0x30, 1, 0, 0, 0, number + 1).into(),
    }
}

fn real(family: Family, number: u16) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(10, 30, 2, u8::try_from(number).expect("few")).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0x30, 2, 0, 0, 0, number + 1).into(),
    }
}

fn key(vip: IpAddr) -> ServiceKey {
    ServiceKey::Tuple { protocol: Protocol::Udp, address: vip, port: 8000 }
}

/// Clients of this namespace, and a device behind which VIPs and servers seem to be.
fn network(world: &mut World, family: Family) {
    world.witness("ip", "link add sink type dummy");
    world.witness("ip", "link set sink up");
    match family {
        Family::Ipv4 => {
            world.witness("ip", "address add 10.30.0.1/16 dev sink");
            world.witness("ip", "route add local 10.20.0.0/16 dev lo");
        }
        Family::Ipv6 => {
            world.witness("ip", "address add 2001:db8:30::1/48 dev sink nodad");
            world.witness("ip", "route add local 2001:db8:20::/48 dev lo");
            // Unlike those of IPv4, addresses of such a route are not yet everybody's.
            std::fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").expect("a sysctl of this namespace");
        }
    }
}

fn add(world: &mut World, key: Key, resource: Resource) {
    step(world, key, None, Some(resource));
}

fn step(world: &mut World, key: Key, before: Option<Resource>, after: Option<Resource>) {
    let text = key.to_string();
    world.run(vec![Change { key, before, after }]).remove(0).expect_done_or(&text);
}
