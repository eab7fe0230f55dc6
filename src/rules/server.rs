//! Servers: that there are some, each once, with ports and thresholds that the kernel takes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::{Conflict, Report, View, families, forward, in_a_subnet, own_families, place, quiesced};
use crate::source::Span;
use crate::state::Family;
use crate::topology::{Forward, Host, ListenOn, Role, Server, Service};

/// The most servers of all services together, each counted in every kernel service that it is in.
const MOST: u64 = 1_000_000;

pub fn some_are_there(view: &View, report: &mut Report) {
    for service in view.services() {
        let name = &service.name.value;
        if service.pools.is_empty() && service.servers.is_empty() {
            report.add(&Conflict::NoServers { service: name }, place(&service.name));
            continue;
        }
        let mut servers = view.servers(service).peekable();
        if servers.peek().is_none() {
            // A pool that could not be understood is said already.
            let empty = service.pools.iter().find_map(|pool| Some((pool, view.topology.pools.get(&pool.value)?)));
            if let Some((pool, found)) = empty {
                let there = place(&found.name);
                report.add(&Conflict::EmptyPool { service: name, pool: &pool.value, there }, place(pool));
            }
        } else if servers.all(|server| quiesced(view, server)) {
            report.add(&Conflict::AllQuiesced { service: name, because: because(view, service) }, place(&service.name));
        }
    }
}

/// So many weights are shown at most.
const SHOWN: usize = 3;

/// Where it is said that the servers of a service get no clients; weights come before hosts.
fn because(view: &View, service: &Service) -> Vec<Span> {
    let weight = |server: &Server| (server.weight.value == 0).then(|| server.weight.origin.span()).flatten();
    let host = |server: &Server| {
        let host = server.host.as_ref().and_then(|host| view.topology.hosts.get(&host.value))?;
        host.quiesce.origin.span().filter(|_| host.quiesce.value)
    };
    let mut seen = BTreeSet::new();
    let places = view.servers(service).filter_map(|server| weight(server).or_else(|| host(server)));
    places.filter(|span| seen.insert(*span)).take(SHOWN).collect()
}

/// The kernel refuses a lower threshold above the upper one, also where the upper one is none (`ERANGE`).
pub fn thresholds_ascend(view: &View, report: &mut Report) {
    let mut last = None;
    for server in view.all_servers() {
        let (min, max) = (server.min_connections.value, server.max_connections.value);
        let span = place(&server.min_connections);
        if min > max && last != Some(span) {
            report.add(&Conflict::Thresholds { min, max, other: server.max_connections.origin.span() }, span);
            last = Some(span);
        }
    }
}

pub fn a_port_of_its_own_is_nats(view: &View, report: &mut Report) {
    let mut said = BTreeSet::new();
    for service in view.services() {
        let ports = ports(service);
        for server in view.servers(service) {
            let Some(port) = &server.port else { continue };
            let span = place(port);
            let forward = forward(service, server);
            let conflict = if forward.value != Forward::Nat {
                Conflict::PortKept { service: &service.name.value, method: forward.value, forward: place(forward) }
            } else if let [one, other, ..] = ports.as_slice() {
                let (first, second) = (one.1, other.1);
                Conflict::PortOfSeveral { service: &service.name.value, one: one.0, two: other.0, first, second }
            } else {
                continue;
            };
            if said.insert(span) {
                report.add(&conflict, span);
            }
        }
    }
}

/// The ports to which a service's nat listens send, each once with its token.
fn ports(service: &Service) -> Vec<(u16, Span)> {
    let mut ports: BTreeMap<u16, Span> = BTreeMap::new();
    for listen in &service.listens {
        if let ListenOn::Vip { port, server_port, .. } = &listen.what {
            let port = server_port.as_ref().unwrap_or(port);
            ports.entry(port.value).or_insert(place(port));
        }
    }
    ports.into_iter().collect()
}

/// What tells a server of a service from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Identity<'t> {
    Address(IpAddr),
    /// One of several addresses of a host; which one is the compiler's choice, and the same one each time.
    Host(&'t str, Family),
}

/// Two servers of one service with the same address and port, by whatever way.
pub fn each_is_there_once(view: &View, report: &mut Report) {
    let mut count: u64 = 0;
    let mut said: BTreeSet<(Span, Span)> = BTreeSet::new();
    let of_hosts: HashMap<&str, Vec<Identity>> =
        view.topology.hosts.values().map(|host| (host.name.value.as_str(), identities(host))).collect();
    let mut seen: HashMap<(Identity, Option<u16>), (Span, &str)> = HashMap::new();
    for service in view.services() {
        let services: usize =
            service.listens.iter().flat_map(|listen| view.vips(listen)).map(|(vip, _)| vip.addresses.len()).sum();
        let servers: usize =
            service.pools.iter().filter_map(|name| view.topology.pools.get(&name.value)).map(|pool| pool.servers.len()).sum();
        count = count.saturating_add(services as u64 * (servers + service.servers.len()) as u64);
        if count > MOST {
            report.add(&Conflict::TooManyServers { most: MOST }, place(&service.name));
            return;
        }
        let port = match ports(service).as_slice() {
            [(port, _)] => Some(*port),
            _ => None,
        };
        seen.clear();
        for server in view.servers(service) {
            let span = place(&server.label);
            let address = server.address.as_ref().map(|address| [Identity::Address(address.value)]);
            let host = || server.host.as_ref().and_then(|host| of_hosts.get(host.value.as_str()));
            let own: &[Identity] = match &address {
                Some(address) => address,
                None => host().map_or(&[], Vec::as_slice),
            };
            let port = server.port.as_ref().map(|port| port.value).or(port);
            for identity in own {
                let Some((first, label)) = seen.insert((*identity, port), (span, &server.label.value)) else { continue };
                if said.insert((first, span)) {
                    let conflict = Conflict::ServerTwice {
                        service: &service.name.value,
                        address: match identity {
                            Identity::Address(address) => Some(*address),
                            Identity::Host(..) => None,
                        },
                        one: label,
                        two: &server.label.value,
                        first,
                    };
                    report.add(&conflict, span);
                }
                break;
            }
        }
    }
}

fn identities(host: &Host) -> Vec<Identity<'_>> {
    let addresses = || host.interfaces.values().flat_map(|interface| &interface.addresses).map(|network| network.value.addr());
    let of = |family| {
        let mut own = addresses().filter(move |address| Family::of(*address) == family);
        match (own.next(), own.next()) {
            (Some(only), None) => Some(Identity::Address(only)),
            (Some(_), Some(_)) => Some(Identity::Host(&host.name.value, family)),
            _ => None,
        }
    };
    let known: Vec<Identity> = [Family::Ipv4, Family::Ipv6].into_iter().filter_map(of).collect();
    if known.is_empty() { vec![Identity::Host(&host.name.value, Family::Ipv4)] } else { known }
}

/// With dr or tun two directors that carry one VIP and serve each other would send its packets round and round.
pub fn a_director_serves_what_no_other_carries(view: &View, report: &mut Report) {
    let mut said = BTreeSet::new();
    for service in view.services() {
        for server in view.servers(service) {
            let Some(host) = server.host.as_ref().and_then(|name| view.topology.hosts.get(&name.value)) else { continue };
            let forward = forward(service, server);
            if host.role != Role::Director || forward.value == Forward::Nat {
                continue;
            }
            for (vip, named) in service.listens.iter().flat_map(|listen| view.vips(listen)) {
                let carriers = view.carriers(vip);
                let own = carriers.iter().any(|carrier| carrier.name.value == host.name.value);
                let other = carriers.iter().find(|carrier| carrier.name.value != host.name.value);
                let span = place(&server.label);
                if !own || !said.insert((span, named)) {
                    continue;
                }
                let (name, vip_name) = (host.name.value.as_str(), vip.name.value.as_str());
                if let Some(other) = other {
                    let conflict = Conflict::RoundAndRound {
                        host: name,
                        vip: vip_name,
                        other: &other.name.value,
                        method: forward.value,
                        named,
                    };
                    report.add(&conflict, span);
                } else if vip.managed.value && off_interface(host, vip) {
                    report.add(&Conflict::VipOffInterface { host: name, vip: vip_name, method: forward.value, named }, span);
                }
            }
        }
    }
}

fn off_interface(host: &Host, vip: &crate::topology::Vip) -> bool {
    match &vip.interface {
        Some(interface) => interface.value == "lo",
        None => vip.addresses.iter().any(|address| !in_a_subnet(host, address.value)),
    }
}

/// The kernel refuses a destination of another family than its service while a sync daemon runs, and the other way round.
pub fn sync_daemons_need_one_family(view: &View, report: &mut Report) {
    let Some(sync) = view.topology.syncs.first() else { return };
    for service in view.services() {
        for server in view.servers(service) {
            let tunnelled = matches!(forward(service, server).value, Forward::Tun(_));
            let own = own_families(view, server);
            if !tunnelled || own.is_empty() {
                continue;
            }
            let listened = service.listens.iter().flat_map(|listen| families(view, listen));
            if let Some(family) = listened.into_iter().find(|family| !own.contains(family)) {
                let conflict = Conflict::SyncOfTwoFamilies {
                    service: &service.name.value,
                    server: &server.label.value,
                    family,
                    sync: sync.span,
                };
                report.add(&conflict, place(&server.label));
                break;
            }
        }
    }
}
