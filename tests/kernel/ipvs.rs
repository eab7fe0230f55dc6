//! Services, destinations, timeouts and sync daemons, written and read back.

use libtest_mimic::Trial;
use lvsform::kernel::Outcome;
use lvsform::state::{
    Checksum, ClientMask, Destination, Encapsulation, Forward, Order, Persistence, Resource, Service, ServiceFlags, SyncDaemon,
    Timeouts, Weight,
};
use nix::errno::Errno;

use crate::world::{Expect, World, change, key, test};

pub fn tests() -> Vec<Trial> {
    vec![
        test("ipvs::every_service_is_read_back_as_it_was_written", services),
        test("ipvs::every_attribute_of_a_service_changes_in_place", service_edits),
        test("ipvs::every_destination_is_read_back_as_it_was_written", destinations),
        test("ipvs::every_attribute_of_a_destination_changes_in_place", destination_edits),
        test("ipvs::destinations_of_another_family_need_a_tunnel", mixed_families),
        test("ipvs::timeouts_are_set_one_by_one", timeouts),
        test("ipvs::sync_daemons_are_read_back_as_they_were_started", daemons),
        test("ipvs::the_order_of_destinations_is_first_added_first", order),
        test("ipvs::each_refusal_has_its_own_errno", refusals),
    ]
}

pub fn service(scheduler: &str) -> Service {
    Service { scheduler: scheduler.to_owned(), flags: ServiceFlags::default(), persistence: None, engine: None }
}

pub fn server(forward: Forward, weight: u32) -> Destination {
    Destination { forward, weight: Weight::Owned(weight), max_connections: 0, min_connections: 0 }
}

#[expect(clippy::unnecessary_wraps, reason = "it fills a field that is optional")]
fn persistent(timeout: u32, clients: ClientMask) -> Option<Persistence> {
    Some(Persistence { timeout, clients })
}

fn services(world: &mut World) {
    let flags = |one_packet, sched1, sched2, sched3| ServiceFlags { one_packet, sched1, sched2, sched3 };
    let wanted = [
        ("service tcp 10.0.0.100:443", service("wlc"), "-A -t 10.0.0.100:443 -s wlc"),
        (
            "service udp 10.0.0.100:53",
            Service { flags: flags(true, false, false, false), ..service("rr") },
            "-A -u 10.0.0.100:53 -s rr -o",
        ),
        ("service sctp 10.0.0.100:36412", service("wrr"), "-A --sctp-service 10.0.0.100:36412 -s wrr"),
        (
            "service tcp 10.0.0.101:80",
            Service { persistence: persistent(300, ClientMask::Ipv4([255, 255, 255, 0].into())), ..service("lc") },
            "-A -t 10.0.0.101:80 -s lc -p 300 -M 255.255.255.0",
        ),
        (
            "service tcp 10.0.0.102:0",
            Service { persistence: persistent(60, ClientMask::Ipv4([255, 255, 255, 255].into())), ..service("sed") },
            "-A -t 10.0.0.102:0 -s sed -p 60",
        ),
        ("service fwmark 7 ipv4", service("nq"), "-A -f 7 -s nq"),
        (
            "service fwmark 7 ipv6",
            Service { persistence: persistent(2_678_400, ClientMask::Ipv6(64)), ..service("fo") },
            "-A -f 7 -6 -s fo -p 2678400 -M 64",
        ),
        ("service tcp [2001:db8::1]:443", service("ovf"), "-A -t [2001:db8::1]:443 -s ovf"),
        (
            "service tcp 10.0.0.103:443",
            Service { flags: flags(false, true, true, false), ..service("sh") },
            "-A -t 10.0.0.103:443 -s sh -b sh-fallback,sh-port",
        ),
        (
            "service udp [2001:db8::2]:53",
            Service { flags: flags(true, true, true, true), ..service("mh") },
            "-A -u [2001:db8::2]:53 -s mh -o -b mh-fallback,mh-port",
        ),
        (
            "service udp 10.0.0.104:5060",
            Service {
                persistence: persistent(300, ClientMask::Ipv4([255, 255, 255, 255].into())),
                engine: Some("sip".to_owned()),
                ..service("rr")
            },
            "-A -u 10.0.0.104:5060 -s rr -p 300 --pe sip",
        ),
    ];
    let steps = wanted.iter().map(|(key, service, _)| change(key, None, Some(Resource::from(service.clone()))));
    for outcome in world.run(steps.collect()) {
        outcome.expect_done();
    }
    let observed = world.read();
    let saved = world.witness("ipvsadm", "-Sn");
    for (text, service, line) in &wanted {
        assert_eq!(observed.state.objects.get(&key(text)), Some(&Resource::from(service.clone())), "{text}");
        assert!(saved.lines().any(|saved| saved.trim() == *line), "ipvsadm -Sn does not say `{line}`:\n{saved}");
    }
    assert!(observed.kernel.ipvs);
    assert!(!observed.kernel.initial_namespace);
    for (text, service, _) in wanted {
        world.delete(text, Resource::from(service)).expect_done();
    }
    assert_eq!(world.witness("ipvsadm", "-Sn").trim(), "");
}

fn service_edits(world: &mut World) {
    for (text, mask) in [
        ("service udp 10.0.0.100:53", ClientMask::Ipv4([255, 255, 0, 0].into())),
        ("service udp [2001:db8::1]:53", ClientMask::Ipv6(48)),
        ("service fwmark 9 ipv6", ClientMask::Ipv6(1)),
    ] {
        let mut now = service("wlc");
        world.add(text, Resource::from(now.clone())).expect_done();
        let edits: [fn(&mut Service, ClientMask); 10] = [
            |service, _| "mh".clone_into(&mut service.scheduler),
            |service, _| service.flags.one_packet = true,
            |service, _| service.flags.sched1 = true,
            |service, _| service.flags.sched2 = true,
            |service, _| service.flags.sched3 = true,
            |service, mask| service.persistence = persistent(360, mask),
            |service, mask| service.persistence = persistent(60, mask),
            |service, _| service.engine = Some("sip".to_owned()),
            |service, _| service.engine = None,
            |service, _| *service = self::service("none"),
        ];
        for edit in edits {
            let before = Resource::from(now.clone());
            edit(&mut now, mask);
            let after = Resource::from(now.clone());
            world.set(text, &before, &after).expect_done();
            assert_eq!(world.get(text), Some(after));
        }
    }
}

fn all_forwards() -> Vec<(Forward, &'static str)> {
    use Encapsulation::{Gre, Gue, Ipip};
    vec![
        (Forward::Nat, "-m"),
        (Forward::Dr, "-g"),
        (Forward::Tun(Ipip), "-i"),
        (Forward::Tun(Gue { port: 6080, checksum: Checksum::None }), "-i"),
        (Forward::Tun(Gue { port: 6081, checksum: Checksum::Csum }), "-i"),
        (Forward::Tun(Gue { port: 6082, checksum: Checksum::Remcsum }), "-i"),
        (Forward::Tun(Gre { checksum: Checksum::None }), "-i"),
        (Forward::Tun(Gre { checksum: Checksum::Csum }), "-i"),
    ]
}

fn tunnel_words(forward: Forward) -> String {
    let words = |checksum| match checksum {
        Checksum::Csum => " --tun-csum",
        Checksum::Remcsum => " --tun-remcsum",
        _ => " --tun-nocsum",
    };
    match forward {
        Forward::Tun(Encapsulation::Gue { port, checksum }) => format!(" --tun-type gue --tun-port {port}{}", words(checksum)),
        Forward::Tun(Encapsulation::Gre { checksum }) => format!(" --tun-type gre{}", words(checksum)),
        Forward::Tun(_) => " --tun-type ipip".to_owned(),
        _ => String::new(),
    }
}

fn destinations(world: &mut World) {
    for (parent, network, port) in [
        ("tcp 10.0.0.100:443", "10.0.1.", ":443"),
        ("tcp [2001:db8::1]:443", "[2001:db8:1::", "]:443"),
        ("fwmark 7 ipv4", "10.0.2.", ":0"),
    ] {
        // A destination must be routed: the addresses are lo's.
        world.add(&format!("service {parent}"), Resource::from(service("wlc"))).expect_done();
        for (number, (forward, word)) in (1..).zip(all_forwards()) {
            let address = format!("{network}{number}{port}");
            make_local(world, &address);
            let text = format!("server {parent} {address}");
            let wanted = Destination {
                max_connections: 100 + number,
                min_connections: number,
                ..server(forward, if number == 1 { i32::MAX.cast_unsigned() } else { number - 2 })
            };
            world.add(&text, Resource::Destination(wanted.clone())).expect_done_or(&text);
            assert_eq!(world.get(&text), Some(Resource::Destination(wanted.clone())));
            let line = format!("-r {address} {word} -w {}{}", wanted.weight.value(), tunnel_words(forward));
            let saved = world.witness("ipvsadm", "-Sn");
            assert!(saved.lines().any(|saved| saved.trim().ends_with(&line)), "ipvsadm -Sn does not say `{line}`:\n{saved}");
            let thresholds = world.witness("ipvsadm", "-Ln --thresholds");
            let row = thresholds.lines().find(|row| row.contains(&address)).expect("a row");
            let words: Vec<&str> = row.split_whitespace().collect();
            assert_eq!(words.get(2..4), Some(&[&*(100 + number).to_string(), &*number.to_string()][..]), "{thresholds}");
        }
    }
    let text = "server tcp 10.0.0.100:443 10.0.1.3:443";
    let found = world.get(text).expect("there");
    world.delete(text, found).expect_done();
    assert_eq!(world.get(text), None);
}

/// Gives `lo` the address of `1.2.3.4:80` or `[2001:db8::1]:80`.
pub fn make_local(world: &mut World, socket: &str) {
    let address = socket.parse::<std::net::SocketAddr>().expect("a socket address").ip();
    let v6 = address.is_ipv6();
    let value = Resource::Address(lvsform::state::Address { deprecated: false, nodad: v6 });
    match world.add(&format!("vip {address} lo"), value) {
        Outcome::Refused(refusal) if refusal.errno == Errno::EEXIST as i32 => {}
        outcome => outcome.expect_done(),
    }
}

fn destination_edits(world: &mut World) {
    world.add("service tcp 10.0.0.100:443", Resource::from(service("wlc"))).expect_done();
    make_local(world, "10.0.1.1:443");
    let text = "server tcp 10.0.0.100:443 10.0.1.1:443";
    let mut now = server(Forward::Nat, 1);
    world.add(text, Resource::Destination(now.clone())).expect_done();
    let set = |world: &mut World, now: &mut Destination, edit: &dyn Fn(&mut Destination)| {
        let before = Resource::Destination(now.clone());
        edit(now);
        let after = Resource::Destination(now.clone());
        world.set(text, &before, &after).expect_done_or(&format!("{before:?} to {after:?}"));
        assert_eq!(world.get(text), Some(after));
    };
    set(world, &mut now, &|server| server.weight = Weight::Owned(0));
    set(world, &mut now, &|server| server.weight = Weight::Owned(65_536));
    set(world, &mut now, &|server| server.max_connections = i32::MAX.cast_unsigned());
    set(world, &mut now, &|server| server.min_connections = 7);
    for (forward, _) in all_forwards().into_iter().chain(all_forwards().into_iter().rev()) {
        set(world, &mut now, &|server| server.forward = forward);
    }
}

fn mixed_families(world: &mut World) {
    world.add("service tcp 10.0.0.100:443", Resource::from(service("wlc"))).expect_done();
    make_local(world, "[2001:db8::9]:443");
    let text = "server tcp 10.0.0.100:443 [2001:db8::9]:443";
    assert_eq!(world.add(text, Resource::Destination(server(Forward::Dr, 1))).errno(), Errno::EINVAL as i32);
    let wanted = Resource::Destination(server(Forward::Tun(Encapsulation::Ipip), 1));
    world.add(text, wanted.clone()).expect_done();
    assert_eq!(world.get(text), Some(wanted.clone()));
    world.delete(text, wanted).expect_done();
    assert_eq!(world.get(text), None);
}

fn timeouts(world: &mut World) {
    let all = Timeouts { tcp: Some(900), tcp_fin: Some(120), udp: Some(300) };
    assert_eq!(world.get("timeouts"), Some(Resource::Timeouts(all)));
    let mut now = all;
    for edit in [
        Timeouts { tcp: Some(1000), ..Timeouts::default() },
        Timeouts { tcp_fin: Some(60), ..Timeouts::default() },
        Timeouts { udp: Some(10), ..Timeouts::default() },
    ] {
        world.set("timeouts", &Resource::Timeouts(now), &Resource::Timeouts(edit)).expect_done();
        now = Timeouts { tcp: edit.tcp.or(now.tcp), tcp_fin: edit.tcp_fin.or(now.tcp_fin), udp: edit.udp.or(now.udp) };
        assert_eq!(world.get("timeouts"), Some(Resource::Timeouts(now)));
    }
    assert!(world.witness("ipvsadm", "-L --timeout").contains("1000 60 10"));
    world.delete("timeouts", Resource::Timeouts(now)).expect_done();
    assert_eq!(world.get("timeouts"), Some(Resource::Timeouts(now)), "there are always timeouts");
}

fn daemons(world: &mut World) {
    let master = SyncDaemon {
        interface: "lo".to_owned(),
        id: 0,
        group: [224, 0, 0, 99].into(),
        port: 9999,
        ttl: 7,
        max_length: Some(1400),
    };
    let backup = SyncDaemon {
        interface: "lo".to_owned(),
        id: 255,
        group: "ff02::99".parse().expect("an address"),
        port: 8848,
        ttl: 1,
        max_length: None,
    };
    world.add("sync master", Resource::from(master.clone())).expect_done();
    world.add("sync backup", Resource::from(backup.clone())).expect_done();
    assert_eq!(world.get("sync master"), Some(Resource::from(master.clone())));
    let Some(Resource::Sync(read)) = world.get("sync backup") else { panic!("no backup") };
    assert!(read.max_length.is_some(), "the kernel fills in the length");
    assert_eq!(SyncDaemon { max_length: None, ..*read }, backup);
    let said = world.witness("ipvsadm", "-L --daemon");
    assert!(said.contains("master sync daemon (mcast=lo, syncid=0, maxlen=1400, group=224.0.0.99, port=9999, ttl=7)"), "{said}");
    assert!(said.contains("group=ff02::99, port=8848, ttl=1"), "{said}");
    assert_eq!(world.add("sync master", Resource::from(master.clone())).errno(), Errno::EEXIST as i32);
    let other = Resource::from(SyncDaemon { id: 3, ..master.clone() });
    let edit = world.set("sync master", &Resource::from(master.clone()), &other);
    assert_eq!(edit.errno(), Errno::EINVAL as i32, "a daemon cannot be edited");
    world.delete("sync master", Resource::from(master.clone())).expect_done();
    assert_eq!(world.get("sync master"), None);
    assert_eq!(world.delete("sync master", Resource::from(master.clone())).errno(), Errno::ESRCH as i32);
    let nowhere = SyncDaemon { interface: "nowhere".to_owned(), ..master.clone() };
    assert_eq!(world.add("sync master", Resource::from(nowhere)).errno(), Errno::ENODEV as i32);
    let unicast = SyncDaemon { group: [10, 0, 0, 1].into(), ..master };
    assert_eq!(world.add("sync master", Resource::from(unicast)).errno(), Errno::EINVAL as i32);
    world.delete("sync backup", Resource::from(backup)).expect_done();
}

fn order(world: &mut World) {
    let text = "service tcp 10.0.0.100:443";
    world.add(text, Resource::from(service("sh"))).expect_done();
    let names = ["10.0.1.3:443", "10.0.1.1:443", "10.0.1.2:443"];
    for name in names {
        make_local(world, name);
        let server = Resource::Destination(server(Forward::Dr, 1));
        world.add(&format!("server tcp 10.0.0.100:443 {name}"), server).expect_done();
    }
    let order = "order tcp 10.0.0.100:443";
    let servers = |names: [&str; 3]| names.map(|name| lvsform::state::DestinationId(name.parse().expect("an address"))).to_vec();
    assert_eq!(world.get(order), Some(Resource::Order(Order { servers: servers(names) })));
    // Re-seating: delete and add, pair by pair, in one phase.
    let sorted = ["10.0.1.1:443", "10.0.1.2:443", "10.0.1.3:443"];
    let seat = |name: &&str| {
        let (text, value) = (format!("server tcp 10.0.0.100:443 {name}"), Resource::Destination(server(Forward::Dr, 1)));
        [change(&text, Some(value.clone()), None), change(&text, None, Some(value))]
    };
    for outcome in world.run(sorted.iter().flat_map(seat).collect()) {
        outcome.expect_done();
    }
    assert_eq!(world.get(order), Some(Resource::Order(Order { servers: servers(sorted) })));
    world.set(text, &Resource::from(service("sh")), &Resource::from(service("wlc"))).expect_done();
    assert_eq!(world.get(order), None, "the order matters to few schedulers");
    let step = world.add(order, Resource::Order(Order { servers: servers(names) }));
    assert_eq!(step.errno(), Errno::EINVAL as i32, "no step may carry an order");
}

fn refusals(world: &mut World) {
    let of = |errno: Errno| errno as i32;
    let (text, other) = ("service tcp 10.0.0.100:443", "service tcp 10.0.0.200:443");
    let plain = Resource::from(service("wlc"));
    world.add(text, plain.clone()).expect_done();
    assert_eq!(world.add(text, plain.clone()).errno(), of(Errno::EEXIST));
    assert_eq!(world.set(other, &plain, &plain).errno(), of(Errno::ESRCH));
    assert_eq!(world.delete(other, plain.clone()).errno(), of(Errno::ESRCH));
    assert_eq!(world.add(other, Resource::from(service("nonsense"))).errno(), of(Errno::ENOENT));
    let engine = Service { engine: Some("nonsense".to_owned()), ..service("wlc") };
    assert_eq!(world.add(other, Resource::from(engine)).errno(), of(Errno::ENOENT));
    let prefix = Service { persistence: persistent(1, ClientMask::Ipv6(0)), ..service("wlc") };
    assert_eq!(world.add("service tcp [2001:db8::1]:1", Resource::from(prefix)).errno(), of(Errno::EINVAL));
    let too_long = Service { scheduler: "x".repeat(16), ..service("wlc") };
    assert!(world.add(other, Resource::from(too_long)).errno() > 0, "the scheduler's name is too long");

    for address in ["10.0.1.1:443", "10.0.1.2:443"] {
        make_local(world, address);
    }
    let good = Resource::Destination(server(Forward::Nat, 1));
    let (one, two) = ("server tcp 10.0.0.100:443 10.0.1.1:443", "server tcp 10.0.0.100:443 10.0.1.2:443");
    world.add(one, good.clone()).expect_done();
    assert_eq!(world.add(one, good.clone()).errno(), of(Errno::EEXIST));
    assert_eq!(world.set(two, &good, &good).errno(), of(Errno::ENOENT));
    assert_eq!(world.delete(two, good.clone()).errno(), of(Errno::ENOENT));
    let orphan = "server tcp 10.0.0.200:443 10.0.1.1:443";
    assert_eq!(world.add(orphan, good.clone()).errno(), of(Errno::ESRCH));
    assert_eq!(world.set(orphan, &good, &good).errno(), of(Errno::ESRCH));
    assert_eq!(world.delete(orphan, good.clone()).errno(), of(Errno::ESRCH));
    let negative = Resource::Destination(server(Forward::Nat, 1 << 31));
    assert_eq!(world.add(two, negative.clone()).errno(), of(Errno::ERANGE));
    assert_eq!(world.set(one, &good, &negative).errno(), of(Errno::ERANGE));
    let crossed = Resource::Destination(Destination { min_connections: 1, ..server(Forward::Nat, 1) });
    assert_eq!(world.add(two, crossed).errno(), of(Errno::ERANGE));
    let gue = Forward::Tun(Encapsulation::Gue { port: 0, checksum: Checksum::None });
    assert_eq!(world.add(two, Resource::Destination(server(gue, 1))).errno(), of(Errno::EINVAL));
    for address in ["224.0.0.1:443", "0.0.0.0:443"] {
        assert_eq!(world.add(&format!("server tcp 10.0.0.100:443 {address}"), good.clone()).errno(), of(Errno::EINVAL));
    }
    let long = Timeouts { tcp: Some(u32::MAX), ..Timeouts::default() };
    assert_eq!(world.add("timeouts", Resource::Timeouts(long)).errno(), of(Errno::EINVAL));
    assert_eq!(world.add(text, good).errno(), of(Errno::EINVAL), "a destination under a service's key");
}
