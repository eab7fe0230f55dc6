//! What is tried: every address, port and protocol that clients may ask a director for, and whom they should meet.
//!
//! Pure: from the compiled state of the directors. A *seat* is where a server listens, a *trial* is one thing that clients
//! ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::layout::{ByHand, own_addresses};
use crate::compile::Compiled;
use crate::state::{
    Destination, DestinationId, DestinationKey, Encapsulation, Family, Forward, Key, Protocol, Resource, Service, ServiceKey,
};
use crate::topology::{Host, ListenOn, ReturnMode, Topology, Vip};

/// The port that is tried where a service takes every port.
pub const ANY_PORT: u16 = 4000;

/// The first of those to which packets carry a mark that something else sets.
const MARKED_PORT: u16 = 4001;

/// Packets that carry a mark which is in no `match` of the file: in a rehearsal, those of tcp to this address and port.
#[derive(Clone, Copy, Debug)]
pub struct Marked<'t> {
    /// The mark.
    pub mark: u32,
    /// The VIP by whose directors it is put on.
    pub vip: &'t Vip,
    /// One of the VIP's addresses.
    pub target: SocketAddr,
}

/// What a rehearsal marks in the place of something else: a port for each mark, on each address of its VIP.
pub fn marked(topology: &Topology) -> Vec<Marked<'_>> {
    let listens = topology.services.values().flat_map(|service| &service.listens);
    let by_others = listens.filter_map(|listen| match &listen.what {
        ListenOn::Mark { mark, matches, vip: Some(vip) } if matches.is_empty() => {
            Some((mark.value, topology.vips.get(&vip.value)?, listen.family.as_ref().map(|family| family.value)))
        }
        _ => None,
    });
    let by_others: Vec<(u32, &Vip, Option<Family>)> = by_others.collect();
    let marks: BTreeSet<u32> = by_others.iter().map(|(mark, _, _)| *mark).collect();
    let ports: BTreeMap<u32, u16> = marks.into_iter().zip(MARKED_PORT..).collect();
    let each = by_others.into_iter().flat_map(|(mark, vip, only)| {
        let addresses = vip.addresses.iter().map(|address| address.value);
        let addresses = addresses.filter(move |address| only.is_none_or(|only| only == Family::of(*address)));
        addresses.map(move |address| (mark, vip, address))
    });
    let port = |mark: u32| ports.get(&mark).copied().unwrap_or(MARKED_PORT);
    each.map(|(mark, vip, address)| Marked { mark, vip, target: SocketAddr::new(address, port(mark)) }).collect()
}

/// Each host's compiled state, by the host's name.
pub type Cast = BTreeMap<String, Compiled>;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    /// Whose it is.
    pub host: String,
    /// tcp, udp or sctp
    pub protocol: Protocol,
    /// The VIP with dr and tun, the server's own address with nat.
    pub address: SocketAddr,
}

/// A destination of a trial's service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The kernel's identity.
    pub id: DestinationId,
    /// What it is called in the table: the host's name, or the address where the file has no such host.
    pub name: String,
    /// How packets reach it.
    pub forward: Forward,
    /// 0: no new connections
    pub weight: u32,
    /// 0: none
    pub max_connections: u32,
    /// Where it listens; `None`: it is no host of the file.
    pub seat: Option<Seat>,
}

/// One thing that clients ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The service's name in the file.
    pub name: String,
    /// Whose IPVS is asked.
    pub director: String,
    /// The service in the kernel.
    pub key: ServiceKey,
    /// Its scheduler and options.
    pub service: Service,
    /// tcp, udp or sctp
    pub protocol: Protocol,
    /// What clients connect to.
    pub target: SocketAddr,
    /// Its servers in the order in which they were added, as far as that matters.
    pub servers: Vec<Server>,
    /// Whether anybody waits for an answer: `return-path "none"` promises none.
    pub answered: bool,
}

impl Trial {
    /// The family of the clients.
    pub fn family(&self) -> Family {
        Family::of(self.target.ip())
    }

    /// What is asked for, as the table shows it.
    pub fn listen(&self) -> String {
        match self.key {
            ServiceKey::Tuple { .. } => format!("{} {}", self.protocol, self.target),
            ServiceKey::Mark { mark, .. } => format!("{} {} mark {mark}", self.protocol, self.target),
        }
    }

    /// The method or methods of its servers.
    pub fn method(&self) -> String {
        let words: BTreeSet<String> = self.servers.iter().map(|server| method(server.forward)).collect();
        words.into_iter().collect::<Vec<_>>().join(", ")
    }
}

fn method(forward: Forward) -> String {
    match forward {
        Forward::Nat => "nat".to_owned(),
        Forward::Dr => "dr".to_owned(),
        Forward::Tun(Encapsulation::Ipip) => "tun ipip".to_owned(),
        Forward::Tun(Encapsulation::Gre { .. }) => "tun gre".to_owned(),
        Forward::Tun(Encapsulation::Gue { .. }) => "tun gue".to_owned(),
        Forward::Tun(Encapsulation::Other(number)) => format!("tun {number}"),
        Forward::Other(number) => format!("method {number}"),
    }
}

/// All that is tried, director by director, and what is not, in sentences.
pub fn trials(topology: &Topology, by_hand: &[ByHand], cast: &Cast) -> (Vec<Trial>, Vec<String>) {
    let mut trials = Vec::new();
    let mut notes = BTreeSet::new();
    let owners = owners(topology);
    for (director, compiled) in cast {
        let Some(host) = topology.hosts.get(director) else { continue };
        for (key, resource) in &compiled.state.objects {
            let (Key::Service(key), Resource::Service(service)) = (key, resource) else { continue };
            let name = compiled.names.get(&Key::Service(*key)).map_or_else(String::new, |provenance| provenance.name.to_string());
            let said = topology.services.get(&name);
            let targets = targets(topology, *key, said, &mut notes);
            for (protocol, target) in targets {
                if !has(host, by_hand, compiled, target.ip()) {
                    continue;
                }
                let servers = servers(compiled, *key, protocol, target, &owners);
                for server in servers.iter().filter(|server| server.seat.is_none()) {
                    notes.insert(format!(
                        "server {} of service `{name}` is no host of the file: it is not there, and whoever is sent to it gets no answer",
                        server.name
                    ));
                }
                trials.push(Trial {
                    name: name.clone(),
                    director: director.clone(),
                    key: *key,
                    service: (**service).clone(),
                    protocol,
                    target,
                    servers,
                    answered: said.is_none_or(|said| said.return_path.mode.value != ReturnMode::None),
                });
            }
        }
    }
    (trials, notes.into_iter().collect())
}

/// The addresses and ports that stand for a service.
fn targets(
    topology: &Topology,
    key: ServiceKey,
    said: Option<&crate::topology::Service>,
    notes: &mut BTreeSet<String>,
) -> Vec<(Protocol, SocketAddr)> {
    let port = |port: u16| if port == 0 { ANY_PORT } else { port };
    match key {
        ServiceKey::Tuple { protocol, address, port: number } => vec![(protocol, SocketAddr::new(address, port(number)))],
        ServiceKey::Mark { family, mark } => {
            let of_others = marked(topology).into_iter().filter(|of| of.mark == mark && Family::of(of.target.ip()) == family);
            let mut found: Vec<(Protocol, SocketAddr)> = of_others.map(|of| (Protocol::Tcp, of.target)).collect();
            if let Some((_, target)) = found.first() {
                notes.insert(format!(
                    "mark {mark}: something that is not in the file puts it on packets; here those of tcp to port {} have it",
                    target.port()
                ));
            }
            for listen in said.into_iter().flat_map(|service| &service.listens) {
                let ListenOn::Mark { mark: own, matches, .. } = &listen.what else { continue };
                if own.value != mark {
                    continue;
                }
                for of in matches {
                    let addresses = topology.vips.get(&of.vip.value).into_iter().flat_map(|vip| &vip.addresses);
                    let ports: Vec<u16> =
                        if of.ports.is_empty() { vec![ANY_PORT] } else { of.ports.iter().map(|port| port.value).collect() };
                    for address in addresses.map(|address| address.value).filter(|address| Family::of(*address) == family) {
                        found.extend(ports.iter().map(|port| (of.protocol.value, SocketAddr::new(address, *port))));
                    }
                }
            }
            found
        }
    }
}

/// Whether a director has a VIP, so that clients reach it there.
fn has(host: &Host, by_hand: &[ByHand], compiled: &Compiled, vip: IpAddr) -> bool {
    let placed = compiled.state.objects.keys().filter_map(Key::address).any(|key| key.address == vip);
    let by_hand = || by_hand.iter().any(|placed| placed.director == host.name.value && placed.address == vip);
    placed || own_addresses(host).any(|own| own == vip) || by_hand()
}

/// Whose each address is.
fn owners(topology: &Topology) -> BTreeMap<IpAddr, String> {
    let own = |host: &Host| own_addresses(host).map(|address| (address, host.name.value.clone())).collect::<Vec<_>>();
    topology.hosts.values().flat_map(own).collect()
}

fn servers(
    compiled: &Compiled,
    service: ServiceKey,
    protocol: Protocol,
    target: SocketAddr,
    owners: &BTreeMap<IpAddr, String>,
) -> Vec<Server> {
    let server = |key: &DestinationKey, destination: &Destination| {
        let owner = owners.get(&key.address);
        let address = match destination.forward {
            Forward::Nat => SocketAddr::new(key.address, if key.port == 0 { target.port() } else { key.port }),
            _ => target,
        };
        Server {
            id: key.id(),
            name: owner.cloned().unwrap_or_else(|| key.address.to_string()),
            forward: destination.forward,
            weight: destination.weight.value(),
            max_connections: destination.max_connections,
            seat: owner.map(|host| Seat { host: host.clone(), protocol, address }),
        }
    };
    let objects = &compiled.state.objects;
    let mut servers: Vec<Server> = objects
        .iter()
        .filter_map(|(key, resource)| match (key, resource) {
            (Key::Destination(key), Resource::Destination(destination)) if key.service == service => {
                Some(server(key, destination))
            }
            _ => None,
        })
        .collect();
    if let Some(Resource::Order(order)) = objects.get(&Key::Order(service)) {
        let place = |server: &Server| order.servers.iter().position(|id| *id == server.id);
        servers.sort_by_key(place);
    }
    // One host and port twice in a table are told apart by their ports.
    let names: Vec<String> = servers.iter().map(|server| server.name.clone()).collect();
    for server in &mut servers {
        if names.iter().filter(|name| **name == server.name).count() > 1 {
            server.name = format!("{}:{}", server.name, server.id.0.port());
        }
    }
    servers
}

/// Every place where some server of some trial listens.
pub fn seats(trials: &[Trial]) -> Vec<Seat> {
    let seats = trials.iter().flat_map(|trial| trial.servers.iter().filter_map(|server| server.seat.clone()));
    seats.collect::<BTreeSet<_>>().into_iter().collect()
}
