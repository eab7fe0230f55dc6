use std::net::IpAddr;

use proptest::prelude::*;

use super::wire::{command, daemon, destination, service, stats, top, tunnel};
use super::{Request, decode};
use crate::kernel::netlink::wire::{Attributes, HEADER, Message, Messages, Writer};
use crate::state::*;

const FAMILY: u16 = 0x20;

fn encode(request: Request<'_>) -> Vec<u8> {
    let mut writer = Writer::default();
    request.write(FAMILY, &mut writer);
    writer.end(1);
    writer.bytes().to_vec()
}

fn message(bytes: &[u8]) -> Message<'_> {
    let mut messages = Messages(bytes);
    let message = messages.next().expect("one message").expect("whole");
    assert!(messages.next().is_none(), "one message alone");
    message
}

/// The value of one attribute inside the nest `outer`; `None` where it was not sent.
fn sent(bytes: &[u8], outer: u16, kind: u16) -> Option<Vec<u8>> {
    let top = message(bytes).generic().and_then(Attributes::table::<7>).expect("attributes");
    let nest = Attributes(top[usize::from(outer)].expect("the nest")).table::<16>().expect("attributes");
    nest[usize::from(kind)].map(<[u8]>::to_vec)
}

fn plain(scheduler: &str) -> Service {
    Service { scheduler: scheduler.to_owned(), flags: ServiceFlags::default(), persistence: None, engine: None }
}

fn tuple(address: &str) -> ServiceKey {
    let address: std::net::SocketAddr = address.parse().expect("a socket address");
    ServiceKey::Tuple { protocol: Protocol::Tcp, address: address.ip(), port: address.port() }
}

fn server(forward: Forward) -> Destination {
    Destination { forward, weight: Weight::Owned(1), max_connections: 0, min_connections: 0 }
}

#[test]
fn a_service_is_these_bytes() {
    let bytes = encode(Request::NewService(tuple("10.0.0.100:443"), &plain("rr")));
    let little_endian = [
        92, 0, 0, 0, 0x20, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, // nlmsghdr
        1, 1, 0, 0, // genlmsghdr: NEW_SERVICE, version 1
        72, 0, 1, 0x80, // SERVICE, nested
        6, 0, 1, 0, 2, 0, 0, 0, // AF
        6, 0, 2, 0, 6, 0, 0, 0, // PROTOCOL
        8, 0, 3, 0, 10, 0, 0, 100, // ADDR
        6, 0, 4, 0, 1, 187, 0, 0, // PORT, network order
        7, 0, 6, 0, b'r', b'r', 0, 0, // SCHED_NAME
        12, 0, 7, 0, 0, 0, 0, 0, 0x3d, 0, 0, 0, // FLAGS: all of ours are decided on, HASHED is not
        8, 0, 8, 0, 0, 0, 0, 0, // TIMEOUT
        8, 0, 9, 0, 255, 255, 255, 255, // NETMASK
    ];
    if cfg!(target_endian = "little") {
        assert_eq!(bytes, little_endian);
    }
}

#[test]
fn the_kernels_own_flag_is_never_sent_and_never_read() {
    let all = Service {
        flags: ServiceFlags { one_packet: true, sched1: true, sched2: true, sched3: true },
        persistence: Some(Persistence { timeout: 1, clients: ClientMask::from_prefix(Family::Ipv4, 24) }),
        ..plain("sh")
    };
    let mut bytes = encode(Request::SetService(tuple("10.0.0.100:443"), &all));
    let flags = sent(&bytes, top::SERVICE, service::FLAGS).expect("sent");
    assert_eq!(flags, [0x3du32.to_ne_bytes(), 0x3du32.to_ne_bytes()].concat());
    // In an answer HASHED is set.
    let at = bytes.windows(8).position(|window| window == flags).expect("there");
    bytes[at..at + 4].copy_from_slice(&0x3fu32.to_ne_bytes());
    assert_eq!(decode::service(&message(&bytes)).map(|entry| entry.service), Some(all));
}

#[test]
fn an_ipv4_mask_is_in_network_order_and_an_ipv6_prefix_in_host_order() {
    let of = |key: &str, clients| {
        let service = Service { persistence: Some(Persistence { timeout: 60, clients }), ..plain("rr") };
        sent(&encode(Request::NewService(tuple(key), &service)), top::SERVICE, service::NETMASK).expect("sent")
    };
    assert_eq!(of("10.0.0.1:80", ClientMask::Ipv4([255, 255, 240, 0].into())), [255, 255, 240, 0]);
    assert_eq!(of("[2001:db8::1]:80", ClientMask::Ipv6(64)), 64u32.to_ne_bytes());
}

#[test]
fn ipv6_without_persistence_still_sends_a_prefix_that_the_kernel_takes() {
    for key in [tuple("[2001:db8::1]:80"), ServiceKey::Mark { family: Family::Ipv6, mark: 1 }] {
        let bytes = encode(Request::NewService(key, &plain("rr")));
        assert_eq!(sent(&bytes, top::SERVICE, service::NETMASK), Some(128u32.to_ne_bytes().to_vec()));
        assert_eq!(sent(&bytes, top::SERVICE, service::TIMEOUT), Some(vec![0; 4]));
    }
}

#[test]
fn timeout_and_mask_count_only_with_persistence() {
    let service = Service {
        persistence: Some(Persistence { timeout: 300, clients: ClientMask::Ipv4([255, 0, 0, 0].into()) }),
        ..plain("rr")
    };
    let mut bytes = encode(Request::NewService(tuple("10.0.0.1:80"), &service));
    let flags = [1u32.to_ne_bytes(), 0x3du32.to_ne_bytes()].concat();
    let at = bytes.windows(8).position(|window| window == flags).expect("there");
    bytes[at..at + 4].fill(0);
    assert_eq!(decode::service(&message(&bytes)).map(|entry| entry.service), Some(plain("rr")));
}

#[test]
fn a_fwmark_has_neither_protocol_nor_address_nor_port() {
    let key = ServiceKey::Mark { family: Family::Ipv6, mark: 0xffff_fffe };
    let bytes = encode(Request::NewService(key, &plain("rr")));
    assert_eq!(sent(&bytes, top::SERVICE, service::FWMARK), Some(0xffff_fffeu32.to_ne_bytes().to_vec()));
    for kind in [service::PROTOCOL, service::ADDR, service::PORT] {
        assert_eq!(sent(&bytes, top::SERVICE, kind), None);
    }
    assert_eq!(decode::service(&message(&bytes)).map(|entry| entry.key), Some(key));
}

#[test]
fn a_delete_sends_keys_and_nothing_else() {
    let service_key = tuple("10.0.0.1:80");
    let key = DestinationKey { service: service_key, address: [10, 0, 1, 1].into(), port: 8080 };
    let bytes = encode(Request::DeleteDestination(key));
    for kind in 0..16 {
        let is_key = [destination::ADDR, destination::PORT, destination::ADDR_FAMILY].contains(&kind);
        assert_eq!(sent(&bytes, top::DEST, kind).is_some(), is_key, "{kind}");
        let is_key = [service::AF, service::PROTOCOL, service::ADDR, service::PORT].contains(&kind);
        assert_eq!(sent(&bytes, top::SERVICE, kind).is_some(), is_key, "{kind}");
    }
    assert_eq!(sent(&bytes, top::DEST, destination::PORT), Some(vec![0x1f, 0x90]));
}

#[test]
fn tunnel_attributes_are_sent_where_they_mean_something() {
    let key = DestinationKey { service: tuple("10.0.0.1:80"), address: [10, 0, 1, 1].into(), port: 80 };
    let kinds = [destination::TUN_TYPE, destination::TUN_PORT, destination::TUN_FLAGS];
    let of = |forward| {
        let destination = server(forward);
        let bytes = encode(Request::SetDestination(key, &destination));
        kinds.map(|kind| sent(&bytes, top::DEST, kind))
    };
    assert_eq!(of(Forward::Nat), [None, None, None]);
    assert_eq!(of(Forward::Tun(Encapsulation::Ipip)), [None, None, None]);
    assert_eq!(
        of(Forward::Tun(Encapsulation::Gue { port: 6080, checksum: Checksum::Remcsum })),
        [Some(vec![tunnel::GUE]), Some(vec![0x17, 0xc0]), Some(2u16.to_ne_bytes().to_vec())]
    );
    assert_eq!(
        of(Forward::Tun(Encapsulation::Gre { checksum: Checksum::Csum })),
        [Some(vec![tunnel::GRE]), None, Some(1u16.to_ne_bytes().to_vec())]
    );
}

#[test]
fn an_answer_has_sixteen_bytes_for_an_ipv4_address() {
    let mut writer = Writer::default();
    writer.begin_generic(FAMILY, command::NEW_DEST, 1);
    writer.nested(top::DEST, |writer| {
        writer.attribute(destination::ADDR, &[10, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        writer.be16(destination::PORT, 80);
        writer.u32(destination::FWD_METHOD, 0x100); // bits beyond the method
        for kind in [destination::WEIGHT, destination::U_THRESH, destination::L_THRESH] {
            writer.u32(kind, u32::from(kind));
        }
        writer.u32(destination::ACTIVE_CONNS, 7);
        writer.u32(destination::INACT_CONNS, 8);
        writer.u32(destination::PERSIST_CONNS, 9);
        writer.u8(destination::TUN_TYPE, tunnel::GUE); // and a tunnel that a NAT server does not have
        writer.nested(destination::STATS, |writer| writer.u32(stats::CONNS, 1));
        writer.nested(destination::STATS64, |writer| writer.attribute(stats::CONNS, &(1u64 << 40).to_ne_bytes()));
    });
    writer.end(1);
    let entry = decode::destination(&message(writer.bytes()), Family::Ipv4).expect("an entry");
    assert_eq!(entry.id.to_string(), "10.0.1.1:80");
    assert_eq!(entry.destination.forward, Forward::Nat);
    assert_eq!(entry.connections, Connections { active: 7, inactive: 8, persistent: 9 });
    assert_eq!(entry.stats.connections, 1 << 40, "64 bits are preferred");
}

#[test]
fn the_port_of_a_sync_daemon_is_in_host_order() {
    let value = SyncDaemon {
        interface: "eth0".to_owned(),
        id: 255,
        group: IpAddr::from([224, 0, 0, 81]),
        port: 8848,
        ttl: 1,
        max_length: Some(1472),
    };
    let bytes = encode(Request::NewDaemon(SyncRole::Backup, &value));
    assert_eq!(sent(&bytes, top::DAEMON, daemon::MCAST_PORT), Some(8848u16.to_ne_bytes().to_vec()));
    assert_eq!(decode::daemon(&message(&bytes)), Some((SyncRole::Backup, value)));
}

#[test]
fn only_the_timeouts_that_are_there_are_sent() {
    let bytes = encode(Request::SetTimeouts(Timeouts { tcp: None, tcp_fin: Some(60), udp: None }));
    let table = message(&bytes).generic().and_then(Attributes::table::<7>).expect("attributes");
    assert_eq!(table.map(|value| value.is_some()), [false, false, false, false, false, true, false]);
    let all = Timeouts { tcp: Some(1), tcp_fin: Some(2), udp: Some(3) };
    assert_eq!(decode::timeouts(&message(&encode(Request::SetTimeouts(all)))), Some(all));
}

#[test]
fn every_command_has_its_number() {
    let (key, value) = (tuple("10.0.0.1:80"), plain("rr"));
    let (member, destination) = (DestinationKey { service: key, address: [10, 0, 0, 2].into(), port: 80 }, server(Forward::Nat));
    let sync =
        SyncDaemon { interface: "lo".to_owned(), id: 0, group: IpAddr::from([224, 0, 0, 81]), port: 1, ttl: 1, max_length: None };
    let requests = [
        (Request::NewService(key, &value), 1),
        (Request::SetService(key, &value), 2),
        (Request::DeleteService(key), 3),
        (Request::GetService(key), 4),
        (Request::GetServices, 4),
        (Request::NewDestination(member, &destination), 5),
        (Request::SetDestination(member, &destination), 6),
        (Request::DeleteDestination(member), 7),
        (Request::GetDestinations(key), 8),
        (Request::NewDaemon(SyncRole::Master, &sync), 9),
        (Request::DeleteDaemon(SyncRole::Master), 10),
        (Request::GetDaemons, 11),
        (Request::SetTimeouts(Timeouts::default()), 12),
        (Request::GetTimeouts, 13),
        (Request::GetInfo, 15),
        (Request::Zero(None), 16),
        (Request::Zero(Some(key)), 16),
        (Request::Flush, 17),
    ];
    for (request, number) in requests {
        assert_eq!(message(&encode(request)).payload.first(), Some(&number), "{request:?}");
    }
    assert_eq!(encode(Request::Flush).len(), HEADER + 4, "nothing but the command");
    assert_eq!(encode(Request::Zero(None)).len(), HEADER + 4);
}

fn any_key() -> impl Strategy<Value = ServiceKey> {
    let family = prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)];
    prop_oneof![
        (any::<u16>(), any::<IpAddr>(), any::<u16>()).prop_map(|(protocol, address, port)| ServiceKey::Tuple {
            protocol: Protocol::from_number(protocol),
            address,
            port
        }),
        (family, any::<u32>()).prop_map(|(family, mark)| ServiceKey::Mark { family, mark }),
    ]
}

fn any_service() -> impl Strategy<Value = (ServiceKey, Service)> {
    let engine = prop::option::of("[a-z]{1,15}");
    (any_key(), "[a-z]{1,15}", any::<[bool; 4]>(), prop::option::of((any::<u32>(), any::<u32>())), engine).prop_map(
        |(key, scheduler, [one_packet, sched1, sched2, sched3], persistence, engine)| {
            let persistence = persistence.map(|(timeout, mask)| Persistence {
                timeout,
                clients: match key.family() {
                    Family::Ipv4 => ClientMask::Ipv4(mask.into()),
                    Family::Ipv6 => ClientMask::Ipv6(mask),
                },
            });
            (key, Service { scheduler, flags: ServiceFlags { one_packet, sched1, sched2, sched3 }, persistence, engine })
        },
    )
}

fn any_forward() -> impl Strategy<Value = Forward> {
    let checksum =
        prop_oneof![Just(Checksum::None), Just(Checksum::Csum), Just(Checksum::Remcsum), (3u16..).prop_map(Checksum::Other)];
    prop_oneof![
        Just(Forward::Nat),
        Just(Forward::Dr),
        Just(Forward::Tun(Encapsulation::Ipip)),
        (any::<u16>(), checksum.clone()).prop_map(|(port, checksum)| Forward::Tun(Encapsulation::Gue { port, checksum })),
        checksum.prop_map(|checksum| Forward::Tun(Encapsulation::Gre { checksum })),
        (3u8..).prop_map(|number| Forward::Tun(Encapsulation::Other(number))),
        prop_oneof![Just(1u32), Just(4)].prop_map(Forward::Other),
    ]
}

proptest! {
    #[test]
    fn every_service_is_read_back_as_it_was_written((key, service) in any_service()) {
        let bytes = encode(Request::NewService(key, &service));
        let entry = decode::service(&message(&bytes)).expect("an entry");
        prop_assert_eq!((entry.key, entry.service), (key, service));
    }

    #[test]
    fn every_destination_is_read_back_as_it_was_written(
        parent in any_key(),
        address: IpAddr,
        port: u16,
        forward in any_forward(),
        numbers: [u32; 3],
    ) {
        let key = DestinationKey { service: parent, address, port };
        let [weight, max_connections, min_connections] = numbers;
        let value = Destination { forward, weight: Weight::Owned(weight), max_connections, min_connections };
        let bytes = encode(Request::NewDestination(key, &value));
        let entry = decode::destination(&message(&bytes), parent.family()).expect("an entry");
        prop_assert_eq!((entry.id, entry.destination), (key.id(), value));
    }

    #[test]
    fn no_answer_makes_a_reader_panic(bytes: Vec<u8>, family in prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]) {
        read_everything(&bytes, family);
    }

    #[test]
    fn no_cut_or_flipped_answer_makes_a_reader_panic(
        (key, service) in any_service(),
        forward in any_forward(),
        cut: prop::sample::Index,
        flip: prop::sample::Index,
        byte: u8,
    ) {
        let member = DestinationKey { service: key, address: [10, 0, 0, 1].into(), port: 1 };
        let destination = server(forward);
        for request in [Request::NewService(key, &service), Request::NewDestination(member, &destination)] {
            let mut bytes = encode(request);
            bytes.drain(..HEADER);
            read_everything(&bytes[..cut.index(bytes.len())], key.family());
            let at = flip.index(bytes.len());
            bytes[at] = byte;
            read_everything(&bytes, key.family());
        }
    }
}

fn read_everything(payload: &[u8], family: Family) {
    let message = Message { kind: FAMILY, flags: 0, sequence: 1, payload };
    let _ = (decode::service(&message), decode::destination(&message, family), decode::daemon(&message));
    let _ = (decode::timeouts(&message), decode::info(&message), crate::kernel::fou::decode(&message));
}
