//! What others have that goes with something of ours: it is put back where that can be, and otherwise refused before anything
//! is touched.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt, socket, sockopt,
};

use crate::director::Director;
use crate::owned::{Site, plug_in, service, shop};
use crate::world::{World, key, test};
use crate::wrap::{Fate, Faulty};
use crate::{command, hand, witness};
use command::says;
use lvsform::txn::{Ended, Why};

pub fn tests() -> Vec<Trial> {
    vec![
        test("along::a_vip_whose_address_is_the_source_of_others_routes_is_not_taken_away", vip),
        test("along::the_last_two_vips_of_a_device_are_not_taken_away_from_its_routes", two_vips),
        test("along::what_nobody_is_asked_about_is_kept", reverted),
        test("along::a_device_that_others_have_a_route_through_stays", device_leaves),
        test("along::what_others_have_on_a_device_comes_back_when_it_is_made_anew", device_replaced),
        test("along::a_rollback_brings_back_what_others_had_on_a_device", device_rolled_back),
        test("along::a_route_that_cannot_come_back_forbids_the_change", several_hops),
        test("along::a_route_that_others_make_through_a_new_device_keeps_it_in_a_rollback", route_appears),
        test("along::a_rollback_gives_every_device_its_forwarding_back", forwarding),
        test("along::a_default_route_from_an_advertisement_forbids_ipv6_forwarding", advertised),
        test("along::with_accept_ra_2_a_default_route_stays", advertised_and_kept),
    ]
}

/// All routes of both families, as `ip` shows them, but for what the kernel makes itself and what moves by itself.
fn routes(world: &World) -> Vec<String> {
    let mut routes = Vec::new();
    for family in ["-4", "-6"] {
        let text = world.witness("ip", &format!("-d {family} route show table all"));
        let line = |line: &str| line.split(" expires ").next().unwrap_or_default().trim_end().to_owned();
        routes.extend(text.lines().filter(|line| !line.contains("proto kernel")).map(line));
    }
    routes.sort();
    routes
}

fn web() -> String {
    service("web", 80, "\"10.0.0.11\"")
}

/// The shop with a tunnel.
fn with_tunnel(settings: &str) -> String {
    shop(&[web()]).replace(
        "address=\"10.0.0.2/24\";",
        &format!("address=\"10.0.0.2/24\"; tunnel \"far\" kind=\"ipip\" {settings} {{ address \"172.16.0.1/30\"; }};"),
    )
}

fn vip(world: &mut World) {
    plug_in(world);
    let site = Site::new(&(shop(&[web()]) + "vip \"other\" address=\"10.0.0.101\"\n"));
    site.run("apply", "--yes", 0);
    hand::run("ip", "route add 10.77.0.0/16 via 10.0.0.1 src 10.0.0.101");
    let before = (routes(world), witness::addresses(world));
    assert_eq!(before.0.len(), 1);
    site.write(&shop(&[web()]));
    let (_, err) = site.run("apply", "--yes", 5);
    says(
        &err,
        &[
            "a rule forbids this plan; nothing was changed",
            "foreign: route 10.77.0.0/16 via 10.0.0.1 dev eth0 was made by others, and would be lost with the change of vip 10.0.0.101 eth0",
            "--allow foreign",
        ],
    );
    assert_eq!((routes(world), witness::addresses(world)), before);
    // In another table the kernel leaves it where it is.
    hand::run("ip", "route del 10.77.0.0/16");
    hand::run("ip", "route add 10.77.0.0/16 via 10.0.0.1 src 10.0.0.101 table 77");
    let before = routes(world);
    site.run("apply", "--yes", 0);
    assert_eq!(routes(world), before);
    assert!(!witness::addresses(world).contains(&"10.0.0.101/32 eth0".to_owned()));
}

fn two_vips(world: &mut World) {
    plug_in(world);
    hand::feed("ip", "-batch -", "link add eth1 type dummy\nlink set eth1 up\n");
    let interfaces = "interface \"eth0\" address=\"10.0.0.2/24\"; interface \"eth1\";";
    let vips = "vip \"a\" address=\"10.0.0.101\" interface=\"eth1\"\nvip \"b\" address=\"10.0.0.102\" interface=\"eth1\"\n";
    let text = shop(&[web()]).replace("interface \"eth0\" address=\"10.0.0.2/24\";", interfaces);
    let text = text.replace("vip \"shop\" address=\"10.0.0.100\"", "vip \"shop\" address=\"10.0.0.100\" interface=\"eth0\"");
    let site = Site::new(&(text + vips));
    site.run("apply", "--yes", 0);
    hand::run("ip", "route add 10.77.0.0/16 dev eth1");
    let before = routes(world);
    let (_, err) = site.run("destroy", "shop --yes", 5);
    says(&err, &["foreign: route 10.77.0.0/16 dev eth1"]);
    assert_eq!(routes(world), before);
}

/// A revert asks no rule: it must not need one.
fn reverted(world: &mut World) {
    plug_in(world);
    let site = Site::new(&shop(&[web()]));
    site.run("apply", "--yes", 0);
    site.write(&(shop(&[web(), service("tls", 443, "\"10.0.0.12\"")]) + "vip \"other\" address=\"10.0.0.101\"\n"));
    site.run("apply", "--yes", 0);
    hand::run("ip", "route add 10.77.0.0/16 via 10.0.0.1 src 10.0.0.101");
    let before = routes(world);
    let (out, _) = site.run("revert", "shop --yes", 0);
    says(&out, &["Left alone: vip 10.0.0.101 eth0", "route 10.77.0.0/16 via", "- service tls"]);
    assert_eq!(routes(world), before);
    assert!(witness::addresses(world).contains(&"10.0.0.101/32 eth0".to_owned()));
}

fn device_leaves(world: &mut World) {
    plug_in(world);
    let site = Site::new(&with_tunnel("remote=\"192.0.2.9\""));
    site.run("apply", "--yes", 0);
    hand::run("ip", "route add 10.77.0.0/16 dev far");
    let before = routes(world);
    site.write(&shop(&[web()]));
    let (_, err) = site.run("apply", "--yes", 5);
    says(&err, &["foreign: route 10.77.0.0/16 dev far", "with the change of link far"]);
    hand::run("ip", "addr add 192.0.2.2/32 dev far");
    let (out, _) = site.run("apply", "--yes", 0);
    says(&out, &["Left alone: link far is to go, and would take along what others put into it"]);
    assert_eq!(routes(world), before);
    // Who allows it gets rid of all of it at once.
    hand::run("ip", "link del far");
    site.write(&with_tunnel("remote=\"192.0.2.9\""));
    site.run("apply", "--yes", 0);
    hand::run("ip", "route replace 10.77.0.0/16 dev far");
    site.run("destroy", "shop --yes", 5);
    site.run("destroy", "shop --yes --allow foreign", 0);
    assert!(routes(world).is_empty());
    assert!(!witness::devices(world).join("\n").contains("far"));
}

/// Routes and an address of others through a tunnel of ours.
fn theirs() {
    hand::feed(
        "ip",
        "-batch -",
        "addr add 192.0.2.2/32 dev far
route add 10.77.0.0/16 via 172.16.0.2 dev far mtu 1300 advmss 1200
route add 10.78.0.0/16 dev far src 192.0.2.2 metric 7
route append 10.78.0.0/16 via 172.16.0.2 dev far metric 7
route add 10.79.0.0/16 dev far table 77 proto 99
route add 192.168.5.0/24 dev far
route add 10.70.0.0/16 via 192.168.5.1 dev far
addr add 2001:db8:2::1/64 dev far nodad
route add 2001:db8:7::/48 via 2001:db8:2::2 dev far src 2001:db8:2::1
",
    );
}

fn device_replaced(world: &mut World) {
    plug_in(world);
    let site = Site::new(&with_tunnel("remote=\"192.0.2.9\""));
    site.run("apply", "--yes", 0);
    theirs();
    let before = (routes(world), witness::addresses(world));
    assert_eq!(before.0.len(), 7, "{before:#?}");
    site.write(&with_tunnel("remote=\"192.0.2.10\""));
    let (out, _) = site.run("apply", "--yes", 0);
    says(&out, &["± link", "10.77.0.0/16 via 172.16.0.2 dev far", "(put back)", "192.0.2.2"]);
    says(&world.witness("ip", "tunnel show far"), &["remote 192.0.2.10"]);
    assert_eq!((routes(world), witness::addresses(world)), before);
    // Nobody took them for ours.
    site.write(&shop(&[web()]));
    let (out, _) = site.run("apply", "--yes", 0);
    says(&out, &["Left alone: link far"]);
    assert_eq!(routes(world), before.0);
}

fn device_rolled_back(world: &mut World) {
    let text = |settings: &str| with_tunnel(settings);
    let (first, second) =
        (Director::of_text(&text("remote=\"192.0.2.9\""), "lb1"), Director::of_text(&text("remote=\"192.0.2.10\""), "lb1"));
    first.plug_in(world);
    first.apply_all(&mut world.kernel);
    theirs();
    let before = (routes(world), witness::everything(world, &first));
    let observed = second.read(&mut world.kernel);
    let plan = second.plan_from(&observed);
    let steps = plan.phases.iter().map(|phase| phase.steps.len()).sum::<usize>();
    for (step, fate) in (0..steps).flat_map(|step| [Fate::Refused, Fate::LostUndone, Fate::LostDone].map(|fate| (step, fate))) {
        let observed = second.read(&mut world.kernel);
        let plan = second.plan_from(&observed);
        let mut faulty = Faulty::new(&mut world.kernel, &[(step, fate)]);
        let ended = second.carry_out(&mut faulty, &observed, &plan);
        match ended {
            Ended::Applied => first.apply_all(&mut world.kernel),
            Ended::RolledBack(_) => {}
            ended => panic!("{step} {fate:?}: {}", second.words(&ended)),
        }
        assert_eq!((routes(world), witness::everything(world, &first)), before, "{step} {fate:?}");
    }
}

fn several_hops(world: &mut World) {
    plug_in(world);
    let site = Site::new(&with_tunnel("remote=\"192.0.2.9\""));
    site.run("apply", "--yes", 0);
    hand::run("ip", "route add 10.77.0.0/16 nexthop via 172.16.0.2 dev far nexthop via 10.0.0.1 dev eth0");
    let before = routes(world);
    site.write(&with_tunnel("remote=\"192.0.2.10\""));
    let (_, err) = site.run("apply", "--yes", 5);
    says(&err, &["foreign: route 10.77.0.0/16 was made by others, and would be lost with the change of link far"]);
    assert_eq!(routes(world), before);
    let (_, _) = site.run("apply", "--yes --allow foreign", 0);
    assert!(routes(world).is_empty());
}

fn route_appears(world: &mut World) {
    let director = Director::of_text(&with_tunnel("remote=\"192.0.2.9\""), "lb1");
    director.plug_in(world);
    let observed = director.read(&mut world.kernel);
    let plan = director.plan_from(&observed);
    let steps: Vec<_> = plan.phases.iter().flat_map(|phase| &phase.steps).collect();
    let vip = steps.iter().position(|step| step.key == key("vip 10.0.0.100 eth0")).expect("a step");
    let mut faulty = Faulty::new(&mut world.kernel, &[(vip, Fate::Refused)]);
    let write = || hand::run("ip", "route add 10.77.0.0/16 dev far");
    let before = lvsform::plan::Rank::Vips;
    let mut kernel = crate::wrap::Meddled { kernel: &mut faulty, before, write: Some(Box::new(write)) };
    let ended = director.carry_out(&mut kernel, &observed, &plan);
    drop(kernel);
    let words = director.words(&ended);
    let Ended::Incomplete(_, left) = &ended else { panic!("{words}") };
    let theirs = key("route 10.77.0.0/16 dev far");
    let why = Why::Children(vec![theirs]);
    assert!(left.iter().any(|left| left.key == key("link far") && left.why == why), "{words}");
    says(&routes(world).join("\n"), &["10.77.0.0/16 dev far"]);
}

fn forwarding(world: &mut World) {
    let text = shop(&[web()]).replace(
        "address=\"10.0.0.2/24\";",
        "address=\"10.0.0.2/24\"; sysctl \"net.ipv4.ip_forward\" 1; sysctl \"net.ipv6.conf.all.forwarding\" 1;",
    );
    let director = Director::of_text(&text, "lb1");
    director.plug_in(world);
    hand::feed("ip", "-batch -", "link add d1 type dummy\nlink add d2 type dummy\n");
    let paths = |family: &str, names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("net/{family}/conf/{name}/forwarding")).collect()
    };
    let names = ["all", "default", "lo", "eth0", "d1", "d2"];
    let mut all = [paths("ipv4", &names), paths("ipv6", &names)].concat();
    all.push("net/ipv4/conf/all/accept_redirects".to_owned());
    let seen = || -> Vec<Option<String>> { all.iter().map(|path| witness::sysctl(path)).collect() };
    for (path, value) in [
        ("ipv4/conf/d1/forwarding", "1"),
        ("ipv6/conf/d1/forwarding", "1"),
        ("ipv4/conf/all/accept_redirects", "0"),
        ("ipv4/conf/default/forwarding", "1"),
    ] {
        std::fs::write(format!("/proc/sys/net/{path}"), value).expect("a sysctl");
    }
    let before = seen();
    let observed = director.read(&mut world.kernel);
    let plan = director.plan_from(&observed);
    let last = plan.phases.iter().map(|phase| phase.steps.len()).sum::<usize>() - 1;
    let mut faulty = Faulty::new(&mut world.kernel, &[(last, Fate::Refused)]);
    let ended = director.carry_out(&mut faulty, &observed, &plan);
    assert!(matches!(ended, Ended::RolledBack(_)), "{}", director.words(&ended));
    assert_eq!(seen(), before);
}

/// Two ends of a wire, and a router's advertisement at the far one.
fn advertise(world: &World) {
    for (path, value) in [("accept_dad", "0"), ("dad_transmits", "0")] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/default/{path}"), value).expect("a sysctl");
    }
    hand::feed(
        "ip",
        "-batch -",
        "link add eth0 type veth peer name router\nlink set eth0 up\nlink set router up\naddr add 10.0.0.2/24 dev eth0\n",
    );
    let raw = socket(AddressFamily::Inet6, SockType::Raw, SockFlag::empty(), SockProtocol::IcmpV6).expect("a socket");
    setsockopt(&raw, sockopt::Ipv6MulticastHops, &255).expect("hops");
    let device = nix::net::if_::if_nametoindex("router").expect("a device");
    let all_nodes: Ipv6Addr = "ff02::1".parse().expect("an address");
    let to: SockaddrIn6 = std::net::SocketAddrV6::new(all_nodes, 0, 0, device).into();
    // Type 134, hop limit 64, a lifetime of 1800 s; the kernel reckons the checksum (RFC 4861, 4.2).
    let advertisement = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    let until = Instant::now() + Duration::from_secs(100);
    while !routes(world).iter().any(|route| route.contains("proto ra")) {
        assert!(Instant::now() < until, "no default route: {:#?}", routes(world));
        // The device may not have its own address yet.
        let _ = sendto(std::os::fd::AsRawFd::as_raw_fd(&raw), &advertisement, &to, MsgFlags::empty());
        std::thread::yield_now();
    }
}

/// The shop on a host that becomes a router.
fn router(more: &str) -> String {
    let sysctls = format!("address=\"10.0.0.2/24\"; sysctl \"net.ipv6.conf.all.forwarding\" 1; {more}");
    shop(&[web()]).replace("address=\"10.0.0.2/24\";", &sysctls)
}

fn advertised(world: &mut World) {
    advertise(world);
    let site = Site::new(&router(""));
    let before = routes(world);
    let (_, err) = site.run("apply", "--yes", 5);
    says(
        &err,
        &[
            "foreign: route ::/0 via fe80::",
            "dev eth0 metric 1024 was made by others, and would be lost with the change of sysctl net.ipv6.conf.all.forwarding",
        ],
    );
    assert_eq!(routes(world), before);
    site.run("apply", "--yes --allow foreign", 0);
    assert!(!routes(world).iter().any(|route| route.contains("proto ra")));
    let (out, _) = site.run("history", "", 0);
    says(&out, &["allowed: foreign"]);
}

fn advertised_and_kept(world: &mut World) {
    advertise(world);
    let site = Site::new(&router("sysctl \"net.ipv6.conf.eth0.accept_ra\" 2;"));
    let before = routes(world);
    site.run("apply", "--yes", 0);
    assert_eq!(routes(world), before);
    // Where it is 2 already nobody need say so.
    site.run("destroy", "shop --yes", 0);
    std::fs::write("/proc/sys/net/ipv6/conf/eth0/accept_ra", "2").expect("a sysctl");
    site.write(&router(""));
    site.run("apply", "--yes", 0);
    assert_eq!(routes(world), before);
}
