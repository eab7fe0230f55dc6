//! What others made and what could not be made again as it was: a plan that would take it is refused, and where nobody is
//! asked it is left alone.

use libtest_mimic::Trial;

use crate::command::says;
use crate::director::Director;
use crate::owned::{Site, plug_in, service, shop};
use crate::world::{World, test};
use crate::wrap::{Fate, Faulty};
use crate::{hand, witness};
use lvsform::txn::Ended;

pub fn tests() -> Vec<Trial> {
    vec![
        test("spared::a_device_of_others_that_could_not_be_made_again_is_not_replaced", devices),
        test("spared::a_fou_port_of_others_that_is_not_gue_is_not_replaced", fou),
        test("spared::an_address_of_others_with_more_than_we_read_forbids_the_change_of_its_device", addresses),
        test("spared::a_vip_that_moves_keeps_the_routes_of_others", moved),
        test("spared::turning_ipv6_off_needs_a_word_where_others_use_it_and_a_rollback_brings_all_of_it_back", ipv6),
        test("spared::a_device_too_small_for_ipv6_needs_a_word_where_others_use_it", small),
        test("spared::a_revert_leaves_a_device_as_it_is_where_others_would_lose_something", reverted),
    ]
}

fn web() -> String {
    service("web", 80, "\"10.0.0.11\"")
}

/// The shop with more of its director.
fn with(more: &str) -> String {
    shop(&[web()]).replace("address=\"10.0.0.2/24\";", &format!("address=\"10.0.0.2/24\"; {more}"))
}

fn with_tunnel(settings: &str) -> String {
    with(&format!("tunnel \"far\" kind=\"ipip\" {settings} {{ address \"172.16.0.1/30\"; }};"))
}

/// All that there is of devices, addresses and routes.
fn all(world: &World) -> Vec<String> {
    let text = ["-d -o addr", "-d -o link", "-d -4 route show table all", "-d -6 route show table all"].map(|arguments| {
        let text = world.witness("ip", arguments);
        // What moves by itself.
        let is_still = |word: &&str| !word.ends_with("sec") && *word != "tentative" && *word != "dadfailed";
        text.lines().map(|line| line.split_whitespace().filter(is_still).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    });
    let mut lines = text.concat();
    lines.sort();
    lines
}

fn devices(world: &mut World) {
    plug_in(world);
    let site = Site::new(&with_tunnel("remote=\"192.0.2.9\""));
    for theirs in [
        "type bridge",
        "type ipip remote 192.0.2.10 mode ipip tos 8",
        "type ipip remote 192.0.2.10 mode ipip nopmtudisc",
        "type ipip remote 192.0.2.10 mode any",
        "type ipip external",
        "type gre remote 192.0.2.10 seq",
        "type gre remote 192.0.2.10 ikey 1 okey 2",
        "type ip6tnl remote 2001:db8::9 encaplimit 4",
        "type ip6gre remote 2001:db8::9 encaplimit none flowlabel 5",
    ] {
        hand::run("ip", &format!("link add far {theirs}"));
        let before = all(world);
        let (_, err) = site.run("apply", "--yes", 5);
        says(&err, &["foreign: link far would be replaced, and has settings that others made", "--allow foreign"]);
        assert_eq!(all(world), before, "{theirs}");
        site.run("apply", "--yes --allow foreign", 0);
        says(&world.witness("ip", "tunnel show far"), &["remote 192.0.2.9"]);
        hand::run("ip", "link del far");
    }
    // Of these all is known, and they are given back.
    for theirs in [
        "type dummy",
        "type ipip remote 192.0.2.10 mode ipip ttl 7",
        "type gre remote 192.0.2.10 key 7 csum",
        "type ip6tnl remote 2001:db8::9 encaplimit none hoplimit 0",
    ] {
        std::fs::remove_dir_all(&site.records).expect("our own records");
        hand::run("ip", &format!("link add far {theirs}"));
        let kind = || world.witness("ip", "-d link show far").lines().skip(2).map(str::trim).collect::<String>();
        let before = kind();
        site.run("apply", "--yes", 0);
        assert_ne!(kind(), before, "{theirs}");
        site.run("destroy", "shop --yes", 0);
        assert_eq!(kind(), before, "{theirs}");
        hand::run("ip", "link del far");
    }
}

fn fou(world: &mut World) {
    plug_in(world);
    hand::run("modprobe", "fou");
    hand::run("ip", "fou add port 6080 ipproto 4");
    let site = Site::new(&with("tunnel \"far\" kind=\"ipip\" remote=\"192.0.2.9\" { encap \"gue\" port=6080; };"));
    let before = world.witness("ip", "fou show");
    let (_, err) = site.run("apply", "--yes", 5);
    says(&err, &["foreign: fou 6080 ipv4 would be replaced"]);
    assert_eq!(world.witness("ip", "fou show"), before);
}

fn addresses(world: &mut World) {
    plug_in(world);
    let site = Site::new(&with_tunnel("remote=\"192.0.2.9\""));
    site.run("apply", "--yes", 0);
    for theirs in [
        "192.0.2.2/24 brd + label far:7",
        "192.0.2.2 peer 192.0.2.3",
        "192.0.2.2/24 brd + scope link",
        "192.0.2.2/24 brd + valid_lft 1000 preferred_lft 1000",
        "192.0.2.2/24 brd + metric 77",
        "192.0.2.2/24 brd + noprefixroute",
        "192.0.2.2/24",
        "2001:db8:6::2/64 noprefixroute",
        "2001:db8:6::2 peer 2001:db8:6::3",
        "2001:db8:6::2/64 preferred_lft 1000",
        "2001:db8:6::2/64 metric 77",
    ] {
        hand::run("ip", &format!("addr add {theirs} dev far"));
        let before = all(world);
        site.write(&with_tunnel("remote=\"192.0.2.10\""));
        let (_, err) = site.run("apply", "--yes", 5);
        says(&err, &["foreign: ", "was made by others, and would be lost with the change of link far"]);
        assert_eq!(all(world), before, "{theirs}");
        let own = theirs.split(' ').next().unwrap_or_default();
        hand::run("ip", &format!("addr del {own} dev far"));
    }
    // These come back as they were.
    for theirs in ["192.0.2.2/24 brd +", "192.0.2.2/32", "2001:db8:6::2/64", "2001:db8:6::2/64 preferred_lft 0 nodad"] {
        hand::run("ip", &format!("addr add {theirs} dev far"));
        let show = || world.witness("ip", "-o addr show dev far").replace(" tentative", "");
        let before: Vec<String> = show().lines().filter(|line| !line.contains("fe80::")).map(str::to_owned).collect();
        site.run("apply", "--yes", 0);
        site.write(&with_tunnel("remote=\"192.0.2.9\""));
        site.run("apply", "--yes", 0);
        let number = |line: &str| line.split_once(':').map(|(_, rest)| rest.to_owned());
        let after: Vec<String> = show().lines().filter(|line| !line.contains("fe80::")).map(str::to_owned).collect();
        let plain = |lines: &[String]| {
            let mut lines: Vec<_> = lines.iter().map(|line| number(line)).collect();
            lines.sort();
            lines
        };
        assert_eq!(plain(&after), plain(&before), "{theirs}");
        site.write(&with_tunnel("remote=\"192.0.2.10\""));
        let own = theirs.split(' ').next().unwrap_or_default();
        hand::run("ip", &format!("addr del {own} dev far"));
    }
}

fn moved(world: &mut World) {
    plug_in(world);
    hand::feed("ip", "-batch -", "link add eth1 type dummy\nlink set eth1 up\naddr add 10.1.0.2/24 dev eth1\n");
    let text = |device: &str| {
        with("interface \"eth1\" address=\"10.1.0.2/24\";")
            .replace("address=\"10.0.0.100\"", &format!("address=\"10.0.0.100\" interface=\"{device}\""))
    };
    let site = Site::new(&text("eth0"));
    site.run("apply", "--yes", 0);
    hand::run("ip", "route add 10.77.0.0/16 via 10.0.0.1 src 10.0.0.100");
    let before = world.witness("ip", "route");
    site.write(&text("eth1"));
    let (out, _) = site.run("apply", "--yes", 0);
    says(&out, &["+ vip shop", "- vip shop"]);
    assert_eq!(world.witness("ip", "route"), before);
}

/// A device of others that speaks IPv6.
fn speaker() {
    hand::feed(
        "ip",
        "-batch -",
        "link add d1 type dummy\nlink set d1 up\naddr add 2001:db8:6::2/64 dev d1 nodad\n\
         route add 2001:db8:77::/48 via 2001:db8:6::1 dev d1\n",
    );
}

fn ipv6(world: &mut World) {
    plug_in(world);
    speaker();
    for (path, named) in [("net.ipv6.conf.d1.disable_ipv6", "d1"), ("net.ipv6.conf.all.disable_ipv6", "all")] {
        let text = with(&format!("sysctl \"{path}\" 1;"));
        let site = Site::new(&text);
        let before = all(world);
        let (_, err) = site.run("apply", "--yes", 5);
        says(
            &err,
            &[
                "foreign: address 2001:db8:6::2/64 d1 was made by others, and would be lost with the change of sysctl",
                "foreign: route 2001:db8:77::/48 via 2001:db8:6::1 dev d1 metric 1024 was made by others",
                &format!("net.ipv6.conf.{named}.disable_ipv6"),
            ],
        );
        assert_eq!(all(world), before);
        let director = Director::of_text(&text, "lb1");
        let observed = director.read(&mut world.kernel);
        let plan = director.plan_from(&observed);
        let last = plan.phases.iter().map(|phase| phase.steps.len()).sum::<usize>() - 1;
        let mut faulty = Faulty::new(&mut world.kernel, &[(last, Fate::Refused)]);
        let ended = director.carry_out(&mut faulty, &observed, &plan);
        assert!(matches!(ended, Ended::RolledBack(_)), "{}", director.words(&ended));
        assert_eq!(all(world), before, "{path}");
    }
}

fn small(world: &mut World) {
    plug_in(world);
    let site = Site::new(&with_tunnel("remote=\"192.0.2.9\" mtu=1400"));
    site.run("apply", "--yes", 0);
    site.write(&with_tunnel("remote=\"192.0.2.9\" mtu=1200"));
    hand::run("ip", "addr add 2001:db8:6::2/64 dev far nodad");
    let before = all(world);
    let (_, err) = site.run("apply", "--yes", 5);
    says(&err, &["foreign: address 2001:db8:6::2/64 far was made by others", "with the change of link far"]);
    assert_eq!(all(world), before);
    hand::run("ip", "addr del 2001:db8:6::2/64 dev far");
    site.run("apply", "--yes", 0);
    says(&witness::devices(world).join("\n"), &["far"]);
}

fn reverted(world: &mut World) {
    plug_in(world);
    let site = Site::new(&with_tunnel("remote=\"192.0.2.9\""));
    site.run("apply", "--yes", 0);
    let tls = service("tls", 443, "\"10.0.0.11\"");
    site.write(&(with_tunnel("remote=\"192.0.2.10\"") + &tls));
    site.run("apply", "--yes", 0);
    hand::run("ip", "route add 10.77.0.0/16 nexthop via 172.16.0.2 dev far nexthop via 10.0.0.1 dev eth0");
    let before = world.witness("ip", "route");
    let (out, _) = site.run("revert", "shop --yes", 0);
    says(&out, &["Left alone: link far: route 10.77.0.0/16 was made by others", "- service tls"]);
    assert_eq!(world.witness("ip", "route"), before);
    says(&world.witness("ip", "tunnel show far"), &["remote 192.0.2.10"]);
    // What was not done is drift, and once the route is gone the next revert of it is an apply of the old file.
    let (out, _) = site.run("drift", "", 3);
    says(&out, &["far"]);
    hand::run("ip", "route del 10.77.0.0/16");
    site.write(&with_tunnel("remote=\"192.0.2.9\""));
    site.run("apply", "--yes", 0);
    says(&world.witness("ip", "tunnel show far"), &["remote 192.0.2.9"]);
}
