//! What a director holds: services and their destinations, timeouts, sync daemons, VIPs.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::fault::Fault;
use super::server::{self, Reached};
use super::{Target, vip};
use crate::source::Origin;
use crate::state::{
    ClientMask, Destination, DestinationId, DestinationKey, Family, Key, Order, Persistence, Resource, Service, ServiceFlags,
    ServiceKey, SyncDaemon, SyncRole, Timeouts, Weight, order_matters,
};
use crate::topology::{self, Forward, Host, Listen, ListenOn, Sync, Topology};

pub(super) fn compile(topology: &Topology, host: &Host, target: &mut Target) {
    let syncs = syncs(topology, host, target);
    for service in topology.services.values() {
        compile_service(topology, host, service, syncs, target);
    }
    vip::compile(topology, host, target);
    timeouts(topology, target);
}

fn compile_service(topology: &Topology, host: &Host, service: &topology::Service, sync: Option<&Sync>, target: &mut Target) {
    let name: Arc<str> = service.name.value.as_str().into();
    let mut families: BTreeMap<Family, Vec<Reached<'_>>> = BTreeMap::new();
    for listen in &service.listens {
        for key in keys(topology, host, listen) {
            let family = key.family();
            let servers = families.entry(family).or_insert_with(|| server::reached(topology, service, listen, family, target));
            let origin = Origin::Text(listen.span);
            let fields = fields_of_service(service, listen, family);
            target.add_with(Key::Service(key), Resource::from(compile_listen(service, listen, family)), &name, origin, &fields);
            if service.drain.value > 0 {
                target.drains.insert(key, service.drain.value);
            }
            let mut order: Vec<DestinationId> = Vec::with_capacity(servers.len());
            for reached in servers.iter() {
                if let (true, Some(sync)) = (Family::of(reached.address) != family, sync) {
                    let server = server::origin(reached.server);
                    target.fault(Fault::MixedFamilyWithSync { service: service.name.value.clone(), server, sync: sync.span });
                }
                let destination = DestinationKey { service: key, address: reached.address, port: port(reached, listen) };
                order.push(destination.id());
                add_destination(destination, reached, service, target);
            }
            if order_matters(&service.scheduler.name.value) {
                order.sort_unstable();
                target.add(Key::Order(key), Resource::Order(Order { servers: order }), &name, origin);
            }
        }
    }
}

/// A service as the kernel has it: one of its listens, for one VIP and one family. Every address of that VIP has the same servers.
pub(crate) struct Carried<'t> {
    /// Which of its listens.
    pub(crate) listen: &'t Listen,
    /// The kernel's key, with the VIP's first address of the family.
    pub(crate) key: ServiceKey,
    /// Who carries it, by name.
    pub(crate) directors: Vec<&'t Host>,
    /// Its servers of the family, each with its weight.
    pub(crate) servers: Rc<Vec<(&'t topology::Server, u32)>>,
}

/// All that the kernels have of a service, in the order of the text. What cannot be compiled is said elsewhere.
pub(crate) fn carried<'t>(topology: &'t Topology, service: &'t topology::Service) -> Vec<Carried<'t>> {
    let mut of_family: BTreeMap<Family, Rc<Vec<(&'t topology::Server, u32)>>> = BTreeMap::new();
    let mut all = Vec::new();
    for listen in &service.listens {
        for vip in server::listen_vips(&listen.what).into_iter().filter_map(|name| topology.vips.get(name)) {
            let directors: Vec<&Host> = topology.hosts.values().filter(|host| server::carries(vip, host)).collect();
            for family in [Family::Ipv4, Family::Ipv6] {
                let is_taken = listen.family.as_ref().is_none_or(|only| only.value == family);
                let address = vip.addresses.iter().map(|address| address.value).find(|address| Family::of(*address) == family);
                let Some(address) = address.filter(|_| is_taken) else { continue };
                let key = match &listen.what {
                    ListenOn::Vip { port, protocol, .. } => {
                        ServiceKey::Tuple { protocol: protocol.value, address, port: port.value }
                    }
                    ListenOn::Mark { mark, .. } => ServiceKey::Mark { family, mark: mark.value },
                };
                let servers = of_family.entry(family).or_insert_with(|| {
                    let reached = server::reached(topology, service, listen, family, &mut Target::default());
                    Rc::new(reached.iter().map(|reached| (reached.server, reached.weight)).collect())
                });
                all.push(Carried { listen, key, directors: directors.clone(), servers: servers.clone() });
            }
        }
    }
    all
}

/// The kernel's keys of one listen on a director: none where another director carries the VIP.
pub(super) fn keys(topology: &Topology, host: &Host, listen: &Listen) -> Vec<ServiceKey> {
    let vips = server::listen_vips(&listen.what);
    let addresses = vips
        .iter()
        .filter_map(|name| topology.vips.get(*name))
        .filter(|vip| server::carries(vip, host))
        .flat_map(|vip| vip.addresses.iter().map(|address| address.value))
        .filter(|address| listen.family.as_ref().is_none_or(|family| family.value == Family::of(*address)));
    match &listen.what {
        ListenOn::Vip { port, protocol, .. } => {
            addresses.map(|address| ServiceKey::Tuple { protocol: protocol.value, address, port: port.value }).collect()
        }
        ListenOn::Mark { mark, .. } => {
            let mut families: Vec<Family> = addresses.map(Family::of).collect();
            families.sort_unstable();
            families.dedup();
            families.into_iter().map(|family| ServiceKey::Mark { family, mark: mark.value }).collect()
        }
    }
}

fn compile_listen(service: &topology::Service, listen: &Listen, family: Family) -> Service {
    let one_packet = matches!(&listen.what, ListenOn::Vip { one_packet, .. } if one_packet.value);
    Service {
        scheduler: service.scheduler.name.value.clone(),
        flags: ServiceFlags {
            one_packet,
            sched1: service.scheduler.fallback.value,
            sched2: service.scheduler.port.value,
            sched3: false,
        },
        persistence: service.persistence.as_ref().map(|persistence| {
            let prefix = match family {
                Family::Ipv4 => persistence.client_prefix.value,
                Family::Ipv6 => persistence.client_prefix6.value,
            };
            Persistence { timeout: persistence.timeout.value, clients: ClientMask::from_prefix(family, prefix) }
        }),
        engine: service.persistence.as_ref().and_then(|persistence| persistence.sip.as_ref()).map(|_| "sip".to_owned()),
    }
}

/// Where each field of a service is said.
fn fields_of_service(service: &topology::Service, listen: &Listen, family: Family) -> Vec<(&'static str, Origin)> {
    let mut fields = vec![("scheduler", service.scheduler.name.origin)];
    if let ListenOn::Vip { one_packet, .. } = &listen.what {
        fields.push(("one-packet", one_packet.origin));
    }
    if let Some(persistence) = &service.persistence {
        let prefix = match family {
            Family::Ipv4 => &persistence.client_prefix,
            Family::Ipv6 => &persistence.client_prefix6,
        };
        fields.extend([("persistence", persistence.timeout.origin), ("persistence clients", prefix.origin)]);
        fields.extend(persistence.sip.as_ref().map(|sip| ("persistence engine", sip.origin)));
    }
    fields
}

/// dr and tun keep the port that the client asked for, and so does a mark; nat may have another one.
pub(super) fn port(reached: &Reached<'_>, listen: &Listen) -> u16 {
    let own = reached.server.port.as_ref().map(|port| port.value);
    match (&listen.what, reached.forward) {
        (ListenOn::Mark { .. }, Forward::Nat) => own.unwrap_or(0),
        (ListenOn::Mark { .. }, Forward::Dr | Forward::Tun(_)) => 0,
        (ListenOn::Vip { port, server_port, .. }, Forward::Nat) => {
            own.or(server_port.as_ref().map(|port| port.value)).unwrap_or(port.value)
        }
        (ListenOn::Vip { port, .. }, Forward::Dr | Forward::Tun(_)) => port.value,
    }
}

fn add_destination(key: DestinationKey, reached: &Reached<'_>, service: &topology::Service, target: &mut Target) {
    let server = reached.server;
    let (whole, service, label) = (service, &service.name.value, &server.label.value);
    let name: Arc<str> = format!("{service} {label}").into();
    let first = target.provenance(&Key::Destination(key)).map(|first| (first.name.clone(), first.origin.span()));
    if let (Some((first, Some(place))), Some(second)) = (first, server.label.origin.span())
        && let Some(one) = first.strip_prefix(service.as_str()).and_then(|rest| rest.strip_prefix(' '))
    {
        let (service, one, two) = (service.clone(), one.to_owned(), label.clone());
        target.fault(Fault::ServerTwice { service, one, two, first: place, second });
        return;
    }
    let destination = Destination {
        forward: match reached.forward {
            Forward::Nat => crate::state::Forward::Nat,
            Forward::Dr => crate::state::Forward::Dr,
            Forward::Tun(encapsulation) => crate::state::Forward::Tun(encapsulation),
        },
        weight: Weight::Owned(reached.weight),
        max_connections: server.max_connections.value,
        min_connections: server.min_connections.value,
    };
    let fields = [
        ("forward", server.forward.as_ref().unwrap_or(&whole.forward).origin),
        ("weight", reached.weight_origin),
        ("max-connections", server.max_connections.origin),
        ("min-connections", server.min_connections.origin),
    ];
    target.add_with(Key::Destination(key), Resource::Destination(destination), &name, server::origin(server), &fields);
}

fn timeouts(topology: &Topology, target: &mut Target) {
    let Some(timeouts) = &topology.timeouts else { return };
    let seconds = Timeouts {
        tcp: timeouts.tcp.as_ref().map(|at| at.value),
        tcp_fin: timeouts.tcp_fin.as_ref().map(|at| at.value),
        udp: timeouts.udp.as_ref().map(|at| at.value),
    };
    if seconds != Timeouts::default() {
        let said = [("tcp", &timeouts.tcp), ("tcp-fin", &timeouts.tcp_fin), ("udp", &timeouts.udp)];
        let fields: Vec<(&'static str, Origin)> =
            said.into_iter().filter_map(|(word, at)| Some((word, at.as_ref()?.origin))).collect();
        target.add_with(Key::Timeouts, Resource::Timeouts(seconds), &"".into(), Origin::Text(timeouts.span), &fields);
    }
}

/// The sync daemons of a director, and the first of them. Neither `master` nor `backup` given: every director is both.
fn syncs<'t>(topology: &'t Topology, host: &Host, target: &mut Target) -> Option<&'t Sync> {
    let mut first = None;
    for sync in &topology.syncs {
        let everybody = sync.masters.is_empty() && sync.backups.is_empty();
        let named = |names: &[crate::source::At<String>]| names.iter().any(|name| name.value == host.name.value);
        for (role, runs) in [(SyncRole::Master, named(&sync.masters)), (SyncRole::Backup, named(&sync.backups))] {
            if !(everybody || runs) {
                continue;
            }
            first = first.or(Some(sync));
            let daemon = SyncDaemon {
                interface: sync.interface.value.clone(),
                id: sync.id.value.into(),
                group: sync.group.value,
                port: sync.port.value,
                ttl: sync.ttl.value,
                max_length: sync.max_length.as_ref().map(|length| length.value),
            };
            let name: Arc<str> = format!("id {}", sync.id.value).into();
            let mut fields = vec![
                ("interface", sync.interface.origin),
                ("id", sync.id.origin),
                ("group", sync.group.origin),
                ("port", sync.port.origin),
                ("ttl", sync.ttl.origin),
            ];
            fields.extend(sync.max_length.as_ref().map(|length| ("max-length", length.origin)));
            target.add_with(Key::Sync(role), Resource::from(daemon), &name, Origin::Text(sync.span), &fields);
        }
    }
    first
}
