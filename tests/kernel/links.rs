//! Devices, addresses and FOU ports, written, read back, and seen by `ip`.

use std::net::IpAddr;

use libtest_mimic::Trial;
use lvsform::kernel::Outcome;
use lvsform::kernel::netlink::wire::{Attributes, Writer};
use lvsform::kernel::netlink::{Limits, Protocol, Socket};
use lvsform::state::OURS;
use lvsform::state::{Address, Checksum, FouPort, GueEncap, Inner, Link, LinkKind, Resource, Scope, Tunnel, TunnelKind};
use nix::errno::Errno;
use serde_json::{Value, json};

use crate::world::{Expect, World, change, key, test};

pub fn tests() -> Vec<Trial> {
    vec![
        test("links::a_dummy_device_carries_our_alias_mtu_and_state", dummy),
        test("links::a_device_is_edited_in_place_field_by_field", edits),
        test("links::a_refused_step_leaves_nothing_behind", refused_stage),
        test("links::a_tunnel_of_each_kind_is_read_back_as_it_was_made", tunnels),
        test("links::the_outer_addresses_of_a_tunnel_are_of_its_family", wrong_family),
        test("links::a_tunnel_over_ipv6_has_no_encapsulation_limit", encap_limit),
        test("links::what_others_made_is_read_and_not_misread", foreign),
        test("links::an_ipv4_vip_is_a_whole_address_with_our_mark", vip4),
        test("links::an_ipv6_vip_is_never_a_source_from_its_first_moment", vip6),
        test("links::many_addresses_are_made_and_deleted_together", many),
        test("links::each_refusal_has_its_own_errno", refusals),
        test("gue::a_fou_port_is_opened_read_and_closed", fou),
        test("gue::a_tunnel_in_gue_is_read_back_as_it_was_made", gue_tunnels),
    ]
}

fn link(device: LinkKind) -> Link {
    Link { device, up: true, mtu: None, alias: None }
}

fn boxed(link: &Link) -> Resource {
    Resource::from(link.clone())
}

fn tunnel(kind: TunnelKind) -> Tunnel {
    let address = |four: [u8; 4], six: &str| -> Option<IpAddr> {
        Some(if kind.outer_is_ipv6() { six.parse().expect("an address") } else { four.into() })
    };
    Tunnel {
        kind,
        local: address([192, 0, 2, 1], "2001:db8::1"),
        remote: None,
        device: None,
        ttl: 0,
        inner: (kind == TunnelKind::Ip6tnl).then_some(Inner::Any),
        key: None,
        checksum: false,
        gue: None,
    }
}

/// `ip` about one device.
fn ip(world: &World, name: &str) -> Value {
    world.witness_json("ip", &format!("-j -d link show dev {name}"))[0].take()
}

fn dummy(world: &mut World) {
    let wanted = Link { mtu: Some(1400), alias: Some("lvsform:web".to_owned()), ..link(LinkKind::Dummy) };
    world.add("link lvs-1c9a04", boxed(&wanted)).expect_done();
    assert_eq!(world.get("link lvs-1c9a04"), Some(boxed(&wanted)));
    let said = ip(world, "lvs-1c9a04");
    assert_eq!(said["ifalias"], "lvsform:web");
    assert_eq!(said["mtu"], 1400);
    assert_eq!(said["linkinfo"]["info_kind"], "dummy");
    assert!(said["flags"].as_array().is_some_and(|flags| flags.contains(&json!("UP"))), "{said}");
    world.delete("link lvs-1c9a04", boxed(&wanted)).expect_done();
    assert_eq!(world.get("link lvs-1c9a04"), None);
}

fn edits(world: &mut World) {
    let mut now = Link { mtu: Some(1500), ..link(LinkKind::Dummy) };
    world.add("link d1", boxed(&now)).expect_done();
    let edits: [fn(&mut Link); 6] = [
        |link| link.alias = Some("lvsform:web".to_owned()),
        |link| link.mtu = Some(1280),
        |link| link.up = false,
        |link| link.alias = Some("lvsform:other".to_owned()),
        |link| link.alias = None,
        |link| *link = Link { up: true, mtu: Some(9000), alias: Some("x".to_owned()), device: LinkKind::Dummy },
    ];
    for edit in edits {
        let before = boxed(&now);
        edit(&mut now);
        world.set("link d1", &before, &boxed(&now)).expect_done();
        assert_eq!(world.get("link d1"), Some(boxed(&now)));
    }
}

fn refused_stage(world: &mut World) {
    let too_long = Link { alias: Some("x".repeat(300)), ..link(LinkKind::Dummy) };
    assert!(world.add("link d1", boxed(&too_long)).errno() > 0);
    assert_eq!(world.get("link d1"), None, "a device whose alias was refused goes again");

    let before = Link { mtu: Some(1500), ..link(LinkKind::Dummy) };
    world.add("link d1", boxed(&before)).expect_done();
    let after = Link { mtu: Some(1400), alias: Some("x".repeat(300)), ..before.clone() };
    assert!(world.set("link d1", &boxed(&before), &boxed(&after)).errno() > 0);
    assert_eq!(world.get("link d1"), Some(boxed(&before)), "the MTU is put back");
}

fn tunnels(world: &mut World) {
    world.add("link d0", boxed(&link(LinkKind::Dummy))).expect_done();
    for kind in [TunnelKind::Ipip, TunnelKind::Sit, TunnelKind::Gre, TunnelKind::Ip6gre, TunnelKind::Ip6tnl] {
        let is_gre = matches!(kind, TunnelKind::Gre | TunnelKind::Ip6gre);
        let far: IpAddr = if kind.outer_is_ipv6() { "2001:db8::2".parse().expect("an address") } else { [192, 0, 2, 2].into() };
        let mut cases = vec![
            tunnel(kind),
            Tunnel { remote: Some(far), ttl: 64, ..tunnel(kind) },
            Tunnel { remote: Some(far), device: Some("d0".to_owned()), ttl: 255, ..tunnel(kind) },
        ];
        if kind == TunnelKind::Ip6tnl {
            cases.push(Tunnel { inner: Some(Inner::Ipip6), ..tunnel(kind) });
            cases.push(Tunnel { inner: Some(Inner::Ip6ip6), ..tunnel(kind) });
        }
        if is_gre {
            cases.push(Tunnel { key: Some(0x0102_0304), ..tunnel(kind) });
            cases.push(Tunnel { checksum: true, ..tunnel(kind) });
            cases.push(Tunnel { checksum: true, key: Some(7), remote: Some(far), ..tunnel(kind) });
        }
        for case in cases {
            let wanted = Link { mtu: Some(1300), alias: Some("lvsform:web".to_owned()), ..link(LinkKind::Tunnel(case.clone())) };
            world.add("link t1", boxed(&wanted)).expect_done_or(&format!("{case:?}"));
            assert_eq!(world.get("link t1"), Some(boxed(&wanted)));
            let said = ip(world, "t1");
            let data = &said["linkinfo"]["info_data"];
            assert_eq!(said["linkinfo"]["info_kind"], kind.name());
            assert_eq!(data["local"], case.local.expect("set").to_string(), "{said}");
            match case.remote {
                Some(remote) => assert_eq!(data["remote"], remote.to_string(), "{said}"),
                None => assert!(matches!(data["remote"].as_str(), None | Some("any" | "::")), "{said}"),
            }
            assert_eq!(data["ttl"].as_u64().unwrap_or(0), u64::from(case.ttl), "{said}");
            assert_eq!(data["link"].as_str(), case.device.as_deref(), "{said}");
            if is_gre {
                let key = case.key.map(|key| std::net::Ipv4Addr::from(key).to_string());
                assert_eq!((data["ikey"].as_str(), data["okey"].as_str()), (key.as_deref(), key.as_deref()), "{said}");
                assert_eq!(data["icsum"].as_bool().unwrap_or(false), case.checksum, "{said}");
                assert_eq!(data["ocsum"].as_bool().unwrap_or(false), case.checksum, "{said}");
            }
            if let Some(inner) = case.inner {
                let mode = match inner {
                    Inner::Any => "any",
                    Inner::Ip6ip6 => "ip6ip6",
                    Inner::Ipip6 => "ipip6",
                };
                assert_eq!(data["proto"], mode, "{said}");
            }
            world.delete("link t1", boxed(&wanted)).expect_done();
        }
    }
}

fn wrong_family(world: &mut World) {
    for (kind, other) in [(TunnelKind::Ipip, TunnelKind::Ip6tnl), (TunnelKind::Ip6gre, TunnelKind::Gre)] {
        let crossed = Tunnel { local: tunnel(other).local, ..tunnel(kind) };
        assert_eq!(world.add("link t1", boxed(&link(LinkKind::Tunnel(crossed)))).errno(), Errno::EINVAL as i32);
    }
}

fn encap_limit(world: &mut World) {
    for kind in [TunnelKind::Ip6tnl, TunnelKind::Ip6gre] {
        let wanted = link(LinkKind::Tunnel(tunnel(kind)));
        world.add("link t1", boxed(&wanted)).expect_done();
        let said = world.witness("ip", "-d link show dev t1");
        assert!(said.contains("encaplimit none"), "{said}");
        world.delete("link t1", boxed(&wanted)).expect_done();
    }
}

fn foreign(world: &mut World) {
    for arguments in [
        "link add v1 type veth peer name v2",
        "link add b1 type bridge",
        "link add e1 type ipip external",
        "link add vx1 type vxlan id 7 dstport 4789",
        "link set v1 alias two\twords",
        "addr add 10.9.0.1 peer 10.9.0.2 dev v1",
        "addr add 2001:db8:9::1/64 dev v1",
        "link set v1 up",
    ] {
        world.witness("ip", arguments);
    }
    let observed = world.read();
    let kind = |name: &str| match observed.state.objects.get(&key(&format!("link {name}"))) {
        Some(Resource::Link(link)) => link.device.name().to_owned(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!([kind("v1"), kind("b1"), kind("e1"), kind("vx1"), kind("lo")], ["veth", "bridge", "ipip", "vxlan", ""]);
    let lasting = Address { deprecated: false, nodad: false };
    for text in ["vip 10.9.0.1 v1", "address 2001:db8:9::1/64 v1", "address 127.0.0.1/8 lo", "vip ::1 lo"] {
        assert_eq!(observed.state.objects.get(&key(text)), Some(&Resource::Address(lasting)), "{text}");
    }
    assert_eq!(world.read(), observed, "nothing of it moves by itself");
}

/// `ip` about the addresses of one device.
fn ip_addresses(world: &World, name: &str) -> Vec<Value> {
    let mut said = world.witness_json("ip", &format!("-j addr show dev {name}"));
    said[0]["addr_info"].as_array_mut().map(std::mem::take).unwrap_or_default()
}

/// `IFA_PROTO` of an address; the `ip` of Debian 12 does not show it.
fn mark(text: &str) -> Option<u8> {
    const GET_ADDRESS: u16 = 22;
    let address: IpAddr = text.parse().expect("an address");
    let mut found = None;
    let mut socket = Socket::open(Protocol::Route, Limits::default()).expect("a socket");
    let write = |writer: &mut Writer| {
        writer.begin(GET_ADDRESS, 0);
        writer.raw(&[0; 8]);
    };
    let dump = socket.dump(write, |message| {
        let table = Attributes(&message.payload[8..]).table::<12>().expect("attributes");
        let is_it = match address {
            IpAddr::V4(address) => table[1] == Some(&address.octets()[..]),
            IpAddr::V6(address) => table[1] == Some(&address.octets()[..]),
        };
        if is_it {
            found = table[11].map(|value| value[0]);
        }
        Ok(())
    });
    dump.expect("a dump");
    found
}

fn vip4(world: &mut World) {
    world.add("link d1", boxed(&link(LinkKind::Dummy))).expect_done();
    let plain = Resource::Address(Address { deprecated: false, nodad: false });
    for text in ["vip 10.0.0.100 d1", "address 172.16.0.2/30 d1"] {
        world.add(text, plain.clone()).expect_done();
        assert_eq!(world.get(text), Some(plain.clone()));
        assert_eq!(world.add(text, plain.clone()).errno(), Errno::EEXIST as i32);
    }
    let said = ip_addresses(world, "d1");
    let vip = said.iter().find(|address| address["local"] == "10.0.0.100").expect("there");
    assert_eq!(vip["prefixlen"], 32);
    assert_eq!(mark("10.0.0.100"), Some(OURS));
    world.delete("vip 10.0.0.100 d1", plain.clone()).expect_done();
    assert_eq!(world.get("vip 10.0.0.100 d1"), None);
    assert_eq!(world.delete("vip 10.0.0.100 d1", plain).errno(), Errno::EADDRNOTAVAIL as i32);
}

fn vip6(world: &mut World) {
    world.add("link d1", boxed(&link(LinkKind::Dummy))).expect_done();
    let text = "vip 2001:db8::100 d1";
    let vip = Resource::Address(Address { deprecated: true, nodad: true });
    world.add(text, vip.clone()).expect_done();
    assert_eq!(world.get(text), Some(vip.clone()));
    let find = |world: &World| ip_addresses(world, "d1").into_iter().find(|it| it["local"] == "2001:db8::100").expect("there");
    let said = find(world);
    assert_eq!(said["prefixlen"], 128);
    assert_eq!(said["preferred_life_time"], 0);
    assert_eq!(said["valid_life_time"], u32::MAX);
    assert_eq!((&said["deprecated"], &said["nodad"], &said["tentative"]), (&json!(true), &json!(true), &Value::Null), "{said}");
    assert_eq!(mark("2001:db8::100"), Some(OURS));

    let lasting = Resource::Address(Address { deprecated: false, nodad: true });
    world.set(text, &vip, &lasting).expect_done();
    assert_eq!(world.get(text), Some(lasting.clone()));
    assert_eq!(find(world)["preferred_life_time"], u32::MAX);
    world.set(text, &lasting, &vip).expect_done();
    assert_eq!(world.get(text), Some(vip.clone()));
    world.delete(text, vip).expect_done();
    assert_eq!(world.get(text), None);

    let plain = Resource::Address(Address { deprecated: false, nodad: false });
    world.add("address 2001:db8:1::2/64 d1", plain.clone()).expect_done();
    assert_eq!(world.get("address 2001:db8:1::2/64 d1"), Some(plain));
}

fn many(world: &mut World) {
    world.add("link d1", boxed(&link(LinkKind::Dummy))).expect_done();
    let value = |v6| Resource::Address(Address { deprecated: v6, nodad: v6 });
    let names: Vec<(String, bool)> = (0..1500u32)
        .map(|number| {
            let v6 = number % 2 == 1;
            let (high, low) = (number / 250, number % 250 + 1);
            (if v6 { format!("vip 2001:db8::{number:x} d1") } else { format!("vip 10.1.{high}.{low} d1") }, v6)
        })
        .collect();
    let made = world.run(names.iter().map(|(text, v6)| change(text, None, Some(value(*v6)))).collect());
    assert!(made.iter().all(|outcome| *outcome == Outcome::Done));
    let state = world.read().state;
    assert!(names.iter().all(|(text, v6)| state.objects.get(&key(text)) == Some(&value(*v6))));
    let gone = world.run(names.iter().map(|(text, v6)| change(text, Some(value(*v6)), None)).collect());
    assert!(gone.iter().all(|outcome| *outcome == Outcome::Done));
    let state = world.read().state;
    assert!(names.iter().all(|(text, _)| !state.objects.contains_key(&key(text))));
}

fn refusals(world: &mut World) {
    let dummy = link(LinkKind::Dummy);
    world.add("link d1", boxed(&dummy)).expect_done();
    assert_eq!(world.add("link d1", boxed(&dummy)).errno(), Errno::EEXIST as i32);
    assert_eq!(world.delete("link d2", boxed(&dummy)).errno(), Errno::ENODEV as i32);
    let plain = Resource::Address(Address { deprecated: false, nodad: false });
    assert_eq!(world.add("vip 10.0.0.1 nowhere", plain.clone()).errno(), Errno::ENODEV as i32);
    let bridge = link(LinkKind::Other("bridge".to_owned()));
    assert_eq!(world.add("link b1", boxed(&bridge)).errno(), Errno::EOPNOTSUPP as i32);
    let bound = Tunnel { device: Some("nowhere".to_owned()), ..tunnel(TunnelKind::Ipip) };
    assert_eq!(world.add("link t1", boxed(&link(LinkKind::Tunnel(bound)))).errno(), Errno::ENODEV as i32);
    world.add("link t1", boxed(&link(LinkKind::Tunnel(tunnel(TunnelKind::Ipip))))).expect_done();
    let same = world.add("link t2", boxed(&link(LinkKind::Tunnel(tunnel(TunnelKind::Ipip)))));
    assert_eq!(same.errno(), Errno::EEXIST as i32, "a second tunnel with the same endpoints");
    let tiny = world.add("link d3", boxed(&Link { mtu: Some(u32::MAX), ..dummy }));
    let Outcome::Refused(refusal) = tiny else { panic!("{tiny:?}") };
    assert_eq!(refusal.errno, Errno::EINVAL as i32);
    assert!(refusal.text.is_some_and(|text| text.contains("mtu")), "the kernel says why in words");
}

fn needs_fou(world: &mut World) {
    let loaded = world.add("module fou", Resource::Module);
    assert_eq!(loaded, Outcome::Done, "this kernel has no FOU");
}

fn fou(world: &mut World) {
    needs_fou(world);
    let scope = Scope { fou: true, modules: ["fou".to_owned()].into(), ..Scope::default() };
    for text in ["fou 6080 ipv4", "fou 6080 ipv6", "fou 6081 ipv4"] {
        let port = Resource::Fou(FouPort { gue: true });
        world.add(text, port.clone()).expect_done_or(text);
        let state = world.read_scope(&scope).state;
        assert_eq!(state.objects.get(&key(text)), Some(&port));
        assert!(state.objects.contains_key(&key("module fou")));
        assert!(!world.add(text, port).eq(&Outcome::Done), "a port is opened once");
    }
    let said = world.witness("ip", "fou show");
    assert!(said.contains("port 6080 gue"), "{said}");
    let port = Resource::Fou(FouPort { gue: true });
    world.delete("fou 6080 ipv4", port.clone()).expect_done();
    let state = world.read_scope(&scope).state;
    assert!(!state.objects.contains_key(&key("fou 6080 ipv4")) && state.objects.contains_key(&key("fou 6080 ipv6")));
    assert!(world.delete("fou 6080 ipv4", port).errno() > 0);
    let plain = world.add("fou 7000 ipv4", Resource::Fou(FouPort { gue: false }));
    assert_eq!(plain.errno(), Errno::EOPNOTSUPP as i32);
    assert!(!world.read().state.objects.contains_key(&key("fou 6081 ipv4")), "ports are read only when asked for");
}

fn gue_tunnels(world: &mut World) {
    needs_fou(world);
    let _ = world.add("module fou6", Resource::Module);
    for kind in [TunnelKind::Ipip, TunnelKind::Sit, TunnelKind::Gre, TunnelKind::Ip6gre, TunnelKind::Ip6tnl] {
        for checksum in [Checksum::None, Checksum::Csum, Checksum::Remcsum] {
            let far: IpAddr = if kind.outer_is_ipv6() { "2001:db8::2".parse().expect("one") } else { [192, 0, 2, 2].into() };
            let case = Tunnel { remote: Some(far), gue: Some(GueEncap { port: 6080, checksum }), ..tunnel(kind) };
            let wanted = Link { mtu: Some(1300), ..link(LinkKind::Tunnel(case)) };
            world.add("link t1", boxed(&wanted)).expect_done_or(&format!("{kind} {checksum}"));
            assert_eq!(world.get("link t1"), Some(boxed(&wanted)));
            let said = ip(world, "t1");
            let encap = &said["linkinfo"]["info_data"]["encap"];
            assert_eq!((&encap["type"], &encap["dport"]), (&json!("gue"), &json!(6080)), "{said}");
            let csum = if kind.outer_is_ipv6() { "csum6" } else { "csum" };
            assert_eq!(encap[csum].as_bool().unwrap_or(false), checksum == Checksum::Csum, "{said}");
            assert_eq!(encap["remcsum"].as_bool().unwrap_or(false), checksum == Checksum::Remcsum, "{said}");
            world.delete("link t1", boxed(&wanted)).expect_done();
        }
    }
}
