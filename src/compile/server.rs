//! The servers of a service: which hosts they are, and under which address a director reaches each.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Target;
use super::fault::Fault;
use crate::source::Origin;
use crate::state::Family;
use crate::topology::{Forward, Host, Listen, ListenOn, Role, Server, Service, Topology, Vip};

/// A server as one family of a service sees it.
pub(super) struct Reached<'t> {
    pub server: &'t Server,
    pub address: IpAddr,
    pub forward: Forward,
    /// The server's weight, or 0 where its host is quiesced.
    pub weight: u32,
    /// Where that is said.
    pub weight_origin: Origin,
}

impl Reached<'_> {
    /// Whether it is this host.
    pub(super) fn is(&self, host: &Host) -> bool {
        self.server.host.as_ref().is_some_and(|name| name.value == host.name.value)
    }
}

/// All servers of a service, those of its pools first.
pub(crate) fn servers<'t>(topology: &'t Topology, service: &'t Service) -> impl Iterator<Item = &'t Server> {
    let pools = service.pools.iter().filter_map(|pool| topology.pools.get(&pool.value));
    pools.flat_map(|pool| &pool.servers).chain(&service.servers)
}

/// Whether a VIP is carried by `host`.
pub(crate) fn carries(vip: &Vip, host: &Host) -> bool {
    host.role == Role::Director && (vip.directors.is_empty() || vip.directors.iter().any(|name| name.value == host.name.value))
}

/// The VIPs that a service listens on, by whatever kind of listen.
pub(super) fn vips<'t>(topology: &'t Topology, service: &'t Service) -> impl Iterator<Item = &'t Vip> {
    service.listens.iter().flat_map(|listen| listen_vips(&listen.what)).filter_map(|name| topology.vips.get(name))
}

/// The names of the VIPs of one listen.
pub(crate) fn listen_vips(listen: &ListenOn) -> Vec<&str> {
    match listen {
        ListenOn::Vip { vip, .. } => vec![&vip.value],
        ListenOn::Mark { matches, vip, .. } => {
            matches.iter().map(|of| &of.vip).chain(vip).map(|vip| vip.value.as_str()).collect()
        }
    }
}

/// The families that one listen takes packets of.
pub(super) fn families(topology: &Topology, listen: &Listen) -> BTreeSet<Family> {
    let vips = listen_vips(&listen.what).into_iter().filter_map(|name| topology.vips.get(name));
    let families = vips.flat_map(|vip| vip.addresses.iter().map(|address| Family::of(address.value)));
    families.filter(|family| listen.family.as_ref().is_none_or(|only| only.value == *family)).collect()
}

/// The directors of a service: those that carry any of its VIPs.
fn directors<'t>(topology: &'t Topology, service: &'t Service) -> Vec<&'t Host> {
    let vips: Vec<&Vip> = vips(topology, service).collect();
    topology.hosts.values().filter(|host| vips.iter().any(|vip| carries(vip, host))).collect()
}

/// Whether some service has `host` as its server.
pub(super) fn serves(topology: &Topology, host: &Host) -> bool {
    host.role == Role::RealServer || topology.services.values().any(|service| is_server(topology, service, host))
}

fn is_server(topology: &Topology, service: &Service, host: &Host) -> bool {
    servers(topology, service).any(|server| server.host.as_ref().is_some_and(|name| name.value == host.name.value))
}

/// The names of the VIPs of those services that have `host` as their server.
pub(super) fn served<'t>(topology: &'t Topology, host: &Host) -> impl Iterator<Item = &'t str> {
    let services = topology.services.values().filter(|service| is_server(topology, service, host));
    services.flat_map(|service| vips(topology, service)).map(|vip| vip.name.value.as_str())
}

/// The servers of `service` for its packets of `family`, each with its address (language: pool and server).
///
/// nat and dr take servers of the family alone; tun takes a server's other family where it has none of this one.
///
/// `listen` is the first that takes packets of the family.
pub(super) fn reached<'t>(
    topology: &'t Topology,
    service: &'t Service,
    listen: &Listen,
    family: Family,
    target: &mut Target,
) -> Vec<Reached<'t>> {
    let directors = directors(topology, service);
    let mut found = Vec::new();
    let mut unsettled = false;
    for server in servers(topology, service) {
        let forward = server.forward.as_ref().unwrap_or(&service.forward).value;
        let host = server.host.as_ref().and_then(|name| topology.hosts.get(&name.value));
        let mut address = address_of(server, host, family, &directors, service);
        if let (Ok(None), Forward::Tun(_)) = (&address, forward) {
            let other = if family == Family::Ipv4 { Family::Ipv6 } else { Family::Ipv4 };
            address = address_of(server, host, other, &directors, service);
        }
        match address {
            Ok(Some(address)) => {
                let quiesced = host.map(|host| &host.quiesce).filter(|quiesce| quiesce.value);
                let (weight, weight_origin) =
                    quiesced.map_or((server.weight.value, server.weight.origin), |quiesce| (0, quiesce.origin));
                found.push(Reached { server, address, forward, weight, weight_origin });
            }
            Ok(None) => {}
            Err(fault) => {
                unsettled = true;
                target.fault(*fault);
            }
        }
    }
    if found.is_empty() && !unsettled {
        target.fault(Fault::NoServer { service: service.name.value.clone(), family, listen: listen.span });
    }
    found
}

/// The server's `address`; else the host's only one of the family in a subnet of the directors; else its only one of the
/// family.
fn address_of(
    server: &Server,
    host: Option<&Host>,
    family: Family,
    directors: &[&Host],
    service: &Service,
) -> Result<Option<IpAddr>, Box<Fault>> {
    if let Some(address) = &server.address {
        return Ok((Family::of(address.value) == family).then_some(address.value));
    }
    let Some(host) = host else { return Ok(None) };
    let all: Vec<IpAddr> = own_addresses(host).filter(|address| Family::of(*address) == family).collect();
    let near: Vec<IpAddr> = all
        .iter()
        .copied()
        .filter(|address| directors.iter().any(|director| subnet_interface(director, *address).is_some()))
        .collect();
    let candidates = if near.is_empty() { all } else { near };
    match candidates.as_slice() {
        [] => Ok(None),
        [address] => Ok(Some(*address)),
        _ => Err(Box::new(Fault::SeveralAddresses {
            host: host.name.value.clone(),
            family,
            addresses: candidates,
            server: server.label.origin,
            service: service.name.value.clone(),
        })),
    }
}

/// The addresses that a host has by itself.
pub(super) fn own_addresses(host: &Host) -> impl Iterator<Item = IpAddr> {
    host.interfaces.values().flat_map(|interface| &interface.addresses).map(|network| network.value.addr())
}

/// The name of the host's interface in whose subnet an address lies; the longest prefix wins.
pub(super) fn subnet_interface(host: &Host, address: IpAddr) -> Option<&str> {
    host.interfaces
        .values()
        .flat_map(|interface| interface.addresses.iter().map(move |network| (network.value, interface)))
        .filter(|(network, _)| network.contains(&address))
        .max_by_key(|(network, _)| network.prefix_len())
        .map(|(_, interface)| interface.name.value.as_str())
}

/// Where a server was written.
pub(super) fn origin(server: &Server) -> Origin {
    server.label.origin
}
