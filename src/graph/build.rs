//! From a topology to a picture, by way of what the compiler makes of it for each director.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::cluster::Sets;
use super::{Cluster, Forwarded, Group, Machine, Method, Picture, Seen, Server, Service, Vip};
use crate::compile::{self, Compiled};
use crate::state::{Action, Encapsulation, Family, Key, ServiceKey, duration};
use crate::topology::{self, Forward, Host, Listen, ListenOn, Role, Topology};

/// The picture of a topology, with what was seen of its kernels.
pub fn picture(topology: &Topology, seen: &[Seen]) -> Picture {
    let facts = Facts::new(topology, seen);
    let sets = Members::of(topology);
    let clusters = sets.into_iter().map(|members| facts.cluster(&members)).collect();
    Picture {
        topology: topology.name.value.clone(),
        about: topology.counted(),
        clusters,
        seen: seen.iter().map(|seen| seen.host.clone()).collect(),
    }
}

/// What hangs together, by name.
#[derive(Default)]
struct Members<'t> {
    directors: Vec<&'t Host>,
    vips: Vec<&'t topology::Vip>,
    services: Vec<&'t topology::Service>,
    /// Real servers of no service.
    idle: Vec<&'t Host>,
}

impl<'t> Members<'t> {
    /// In the order of names. Hosts without anything to do come together, last.
    fn of(topology: &'t Topology) -> Vec<Members<'t>> {
        let directors: Vec<&Host> = topology.hosts.values().filter(|host| host.role == Role::Director).collect();
        let vips: Vec<&topology::Vip> = topology.vips.values().collect();
        let services: Vec<&topology::Service> = topology.services.values().collect();
        let mut sets = Sets::new(directors.len() + vips.len() + services.len());
        let (of_vips, of_services) = (directors.len(), directors.len() + vips.len());
        for (at, vip) in vips.iter().enumerate() {
            for (director, _) in directors.iter().enumerate().filter(|(_, host)| compile::carries(vip, host)) {
                sets.join(director, of_vips + at);
            }
        }
        let places: BTreeMap<&str, usize> =
            vips.iter().enumerate().map(|(place, vip)| (vip.name.value.as_str(), place)).collect();
        let mut by_pool: BTreeMap<&str, usize> = BTreeMap::new();
        let mut by_host: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, service) in services.iter().enumerate() {
            let own = of_services + at;
            for vip in service.listens.iter().flat_map(|listen| compile::listen_vips(&listen.what)) {
                if let Some(vip) = places.get(vip) {
                    sets.join(of_vips + vip, own);
                }
            }
            for pool in &service.pools {
                sets.join(*by_pool.entry(&pool.value).or_insert(own), own);
            }
            for host in compile::servers(topology, service).filter_map(|server| server.host.as_ref()) {
                sets.join(*by_host.entry(&host.value).or_insert(own), own);
            }
        }
        let mut found: BTreeMap<usize, Members<'t>> = BTreeMap::new();
        for (at, host) in directors.iter().enumerate() {
            // A director that is a server too belongs where it serves.
            if let Some(service) = by_host.get(host.name.value.as_str()) {
                sets.join(at, *service);
            }
        }
        for (at, host) in directors.into_iter().enumerate() {
            found.entry(sets.of(at)).or_default().directors.push(host);
        }
        for (at, vip) in vips.into_iter().enumerate() {
            found.entry(sets.of(of_vips + at)).or_default().vips.push(vip);
        }
        for (at, service) in services.into_iter().enumerate() {
            found.entry(sets.of(of_services + at)).or_default().services.push(service);
        }
        let mut members: Vec<Members<'t>> = found.into_values().collect();
        let is_idle = |host: &&Host| host.role == Role::RealServer && !by_host.contains_key(host.name.value.as_str());
        let idle: Vec<&Host> = topology.hosts.values().filter(is_idle).collect();
        if !idle.is_empty() {
            members.push(Members { idle, ..Members::default() });
        }
        members
    }
}

/// A server of a service as its label names it.
type Label<'t> = (&'t str, String);

/// What is known of the topology's things.
struct Facts<'t> {
    topology: &'t Topology,
    /// The services of which a director was looked at.
    looked: BTreeSet<&'t str>,
    /// Addresses of servers in the kernels.
    addresses: BTreeMap<Label<'t>, BTreeSet<IpAddr>>,
    keys: BTreeMap<&'t str, BTreeSet<ServiceKey>>,
    connections: BTreeMap<Label<'t>, u64>,
    of_machines: BTreeMap<String, Action>,
    of_vips: BTreeMap<IpAddr, Action>,
    of_services: BTreeMap<&'t str, Action>,
    of_servers: BTreeMap<Label<'t>, Action>,
    /// By the host that has it.
    leaving: BTreeMap<String, Vec<String>>,
}

impl<'t> Facts<'t> {
    fn new(topology: &'t Topology, seen: &[Seen]) -> Facts<'t> {
        let mut facts = Facts {
            topology,
            looked: BTreeSet::new(),
            addresses: BTreeMap::new(),
            keys: BTreeMap::new(),
            connections: BTreeMap::new(),
            of_machines: BTreeMap::new(),
            of_vips: BTreeMap::new(),
            of_services: BTreeMap::new(),
            of_servers: BTreeMap::new(),
            leaving: BTreeMap::new(),
        };
        for host in topology.hosts.values() {
            let looked: Vec<&Seen> = seen.iter().filter(|seen| seen.host == host.name.value).collect();
            if host.role == Role::RealServer && looked.is_empty() {
                continue;
            }
            let compiled = compile::compile(topology, host);
            facts.learn(&compiled);
            for seen in looked {
                facts.look(host, &compiled, seen);
            }
        }
        facts
    }

    fn learn(&mut self, compiled: &Compiled) {
        for (key, provenance) in &compiled.names {
            match key {
                Key::Service(key) => {
                    if let Some((name, _)) = self.topology.services.get_key_value(&*provenance.name) {
                        self.keys.entry(name).or_default().insert(*key);
                    }
                }
                Key::Destination(key) => {
                    if let Some(label) = self.label(&provenance.name) {
                        self.addresses.entry(label).or_default().insert(key.address);
                    }
                }
                _ => {}
            }
        }
    }

    /// The service and the server of `shop web3`.
    fn label(&self, name: &str) -> Option<Label<'t>> {
        // A service's name has no space in it, and neither has a server's label.
        let (service, server) = name.split_once(' ')?;
        let (service, _) = self.topology.services.get_key_value(service)?;
        Some((service, server.to_owned()))
    }

    fn look(&mut self, host: &Host, compiled: &Compiled, seen: &Seen) {
        let services = compiled.names.iter().filter(|(key, _)| matches!(key, Key::Service(_)));
        let topology = self.topology;
        let names = services.filter_map(|(_, of)| topology.services.get_key_value(&*of.name));
        self.looked.extend(names.map(|(name, _)| name.as_str()));
        let strongest = |known: &mut Action, action: Action| *known = (*known).max(action);
        for (key, action) in &seen.changes {
            let name = compiled.names.get(key).map(|provenance| &*provenance.name);
            let service = match key {
                Key::Service(service) | Key::Order(service) => compiled.names.get(&Key::Service(*service)),
                _ => None,
            };
            let service = service.and_then(|of| self.topology.services.get_key_value(&*of.name)).map(|(name, _)| name.as_str());
            if let Some(service) = service {
                strongest(self.of_services.entry(service).or_insert(*action), *action);
            } else if let (Key::Destination(_), Some(label)) = (key, name.and_then(|name| self.label(name))) {
                strongest(self.of_servers.entry(label).or_insert(*action), *action);
            } else if let (Key::Address(address), Role::Director, Some(_)) = (key, host.role, name) {
                strongest(self.of_vips.entry(address.address).or_insert(*action), *action);
            } else if *action == Action::Delete {
                self.leaving.entry(host.name.value.clone()).or_default().push(format!("- {key} on {}", host.name.value));
            } else {
                // The host itself is there: something of it differs.
                self.of_machines.insert(host.name.value.clone(), Action::Change);
            }
        }
        for (key, connections) in &seen.traffic {
            let name = compiled.names.get(key).map(|provenance| &*provenance.name);
            if let Some(label) = name.and_then(|name| self.label(name)) {
                *self.connections.entry(label).or_default() += u64::from(connections.active) + u64::from(connections.inactive);
            }
        }
    }

    fn cluster(&self, members: &Members<'t>) -> Cluster {
        let mut cluster = Cluster {
            directors: members.directors.iter().map(|host| self.machine(host)).collect(),
            syncs: self.syncs(&members.directors),
            vips: members.vips.iter().map(|vip| self.vip(vip, members.directors.len())).collect(),
            services: members.services.iter().map(|service| self.service(service)).collect(),
            ..Cluster::default()
        };
        let mut groups = Groups::default();
        let places: BTreeMap<&str, usize> =
            members.vips.iter().enumerate().map(|(place, vip)| (vip.name.value.as_str(), place)).collect();
        for (at, service) in members.services.iter().enumerate() {
            let names = service.listens.iter().flat_map(|listen| compile::listen_vips(&listen.what));
            let vips: BTreeSet<usize> = names.filter_map(|name| places.get(name).copied()).collect();
            cluster.taken.extend(vips.into_iter().map(|vip| (vip, at)));
            let of_pools = service.pools.iter().filter_map(|pool| self.topology.pools.get(&pool.value));
            let of_pools =
                of_pools.flat_map(|pool| pool.servers.iter().map(move |server| (Some(pool.name.value.as_str()), server)));
            let mut ways: BTreeSet<(usize, Method)> = BTreeSet::new();
            for (pool, server) in of_pools.chain(service.servers.iter().map(|server| (None, server))) {
                let title = pool.map_or_else(|| format!("servers of {}", service.name.value), |pool| format!("pool {pool}"));
                let of = self.of(title, server, &service.name.value);
                let group = groups.add(&of, self.server(server, &of));
                ways.insert((group, method(server.forward.as_ref().unwrap_or(&service.forward).value)));
            }
            cluster.forwarded.extend(ways.into_iter().map(|(group, method)| Forwarded { service: at, group, method }));
        }
        cluster.groups = groups.all.into_iter().map(|(_, group)| group).collect();
        cluster.groups.extend(self.idle(&members.idle));
        let hosts = members.directors.iter().map(|host| host.name.value.as_str());
        let servers = members.services.iter().flat_map(|service| compile::servers(self.topology, service));
        let servers = servers.filter_map(|server| server.host.as_ref()).map(|host| host.value.as_str());
        let hosts: BTreeSet<&str> =
            hosts.chain(servers).chain(members.idle.iter().map(|host| host.name.value.as_str())).collect();
        cluster.leaving = hosts.into_iter().filter_map(|host| self.leaving.get(host)).flatten().cloned().collect();
        cluster
    }

    fn machine(&self, host: &Host) -> Machine {
        let addresses = host.interfaces.values().flat_map(|interface| {
            interface.addresses.iter().map(|address| format!("{} {}", interface.name.value, address.value))
        });
        Machine {
            name: host.name.value.clone(),
            addresses: addresses.collect(),
            mark: self.of_machines.get(&host.name.value).copied(),
        }
    }

    fn syncs(&self, directors: &[&Host]) -> Vec<String> {
        let here = |name: &str| directors.iter().any(|host| host.name.value == name);
        let said = |sync: &topology::Sync| {
            let names = |names: &[crate::source::At<String>]| -> Vec<String> {
                names.iter().map(|name| name.value.clone()).filter(|name| here(name)).collect()
            };
            let (masters, backups) = (names(&sync.masters), names(&sync.backups));
            let everybody = sync.masters.is_empty() && sync.backups.is_empty();
            match (masters.is_empty(), backups.is_empty()) {
                (true, true) => everybody.then(|| format!("sync id {}: each to all others", sync.id.value)),
                _ => Some(format!("sync id {}: {} to {}", sync.id.value, masters.join(", "), backups.join(", "))),
            }
        };
        if directors.is_empty() { Vec::new() } else { self.topology.syncs.iter().filter_map(said).collect() }
    }

    /// `directors`: how many there are beside it.
    fn vip(&self, vip: &topology::Vip, directors: usize) -> Vip {
        let named: Vec<&str> = vip.directors.iter().map(|name| name.value.as_str()).collect();
        let holder = match &vip.holder {
            Some(holder) if directors > 1 => Some(format!("on {}", holder.value)),
            None if !named.is_empty() && named.len() < directors => Some(format!("on {}", named.join(", "))),
            _ => None,
        };
        let marks = vip.addresses.iter().filter_map(|address| self.of_vips.get(&address.value));
        Vip {
            name: vip.name.value.clone(),
            addresses: vip.addresses.iter().map(|address| address.value.to_string()).collect(),
            holder,
            mark: marks.max().copied(),
        }
    }

    fn service(&self, service: &topology::Service) -> Service {
        let name = service.name.value.as_str();
        let mut listens: Vec<String> = Vec::new();
        for text in service.listens.iter().map(listen) {
            if !listens.contains(&text) {
                listens.push(text);
            }
        }
        let scheduler = &service.scheduler;
        let mut words = vec![scheduler.name.value.clone()];
        words.extend(scheduler.port.value.then(|| "port".to_owned()));
        words.extend(scheduler.fallback.value.then(|| "fallback".to_owned()));
        words.extend(service.persistence.as_ref().map(|kept| format!("persistent {}", duration(kept.timeout.value))));
        Service {
            name: name.to_owned(),
            listens,
            method: spelled(service.forward.value),
            scheduler: words.join(", "),
            keys: self.keys.get(name).into_iter().flatten().map(ToString::to_string).collect(),
            mark: self.of_services.get(name).copied(),
        }
    }

    /// Which group a server belongs to.
    fn of(&self, title: String, server: &topology::Server, service: &'t str) -> Of<'t> {
        let label = (service, server.label.value.clone());
        let host = server.host.as_ref().and_then(|name| self.topology.hosts.get(&name.value));
        let found = self.addresses.get(&label).cloned().unwrap_or_else(|| server.address.iter().map(|at| at.value).collect());
        let subnets = found.iter().filter_map(|address| self.subnet(host, *address)).collect();
        let method = server.forward.as_ref().map(|forward| spelled(forward.value));
        Of { title, method, subnets, label, addresses: found }
    }

    /// The subnet of a server's address: its own interface's, else that of a host whose subnet it lies in.
    fn subnet(&self, host: Option<&Host>, address: IpAddr) -> Option<String> {
        let within = |host: &Host| {
            let networks = host.interfaces.values().flat_map(|interface| &interface.addresses).map(|network| network.value);
            networks
                .filter(|network| network.contains(&address))
                .max_by_key(ipnet::IpNet::prefix_len)
                .map(|network| network.trunc())
        };
        let found = match host {
            Some(host) => within(host),
            None => self.topology.hosts.values().find_map(within),
        };
        found.map(|network| network.to_string())
    }

    fn server(&self, server: &topology::Server, of: &Of<'t>) -> Server {
        let host = server.host.as_ref().and_then(|name| self.topology.hosts.get(&name.value));
        let quiesced = host.is_some_and(|host| host.quiesce.value);
        let of_host = host.and_then(|host| self.of_machines.get(&host.name.value)).copied();
        let address = |address: &IpAddr| match (&server.port, address) {
            (Some(port), IpAddr::V6(address)) => format!("[{address}]:{}", port.value),
            (Some(port), address) => format!("{address}:{}", port.value),
            (None, address) => address.to_string(),
        };
        Server {
            name: server.label.value.clone(),
            addresses: of.addresses.iter().map(address).collect(),
            weight: if quiesced { 0 } else { server.weight.value },
            // A real server's kernel knows nothing of them.
            connections: self.looked.contains(of.label.0).then(|| self.connections.get(&of.label).copied().unwrap_or_default()),
            mark: self.of_servers.get(&of.label).copied().max(of_host),
        }
    }

    /// Real servers of no service, by subnet.
    fn idle(&self, hosts: &[&Host]) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for host in hosts {
            let networks = || host.interfaces.values().flat_map(|interface| &interface.addresses).map(|network| network.value);
            let subnets: Vec<String> = networks().map(|network| network.trunc().to_string()).collect();
            let server = Server {
                name: host.name.value.clone(),
                addresses: networks().map(|network| network.addr().to_string()).collect(),
                mark: self.of_machines.get(&host.name.value).copied(),
                ..Server::default()
            };
            if let Some(group) = groups.iter_mut().find(|group| group.subnets == subnets) {
                group.servers.push(server);
            } else {
                groups.push(Group { title: "in no service".to_owned(), subnets, method: None, servers: vec![server] });
            }
        }
        groups
    }
}

/// Groups while they are being found.
#[derive(Default)]
struct Groups<'t> {
    all: Vec<(Of<'t>, Group)>,
    /// Those of a title and a method.
    alike: BTreeMap<(String, Option<String>), Vec<usize>>,
    /// Where each server of a group is.
    servers: BTreeMap<(usize, String), usize>,
}

impl<'t> Groups<'t> {
    /// Adds a server to its group, and says which that is.
    fn add(&mut self, of: &Of<'t>, server: Server) -> usize {
        let alike = self.alike.entry((of.title.clone(), of.method.clone())).or_default();
        let known = alike.iter().copied().find(|group| self.all.get(*group).is_some_and(|(known, _)| known.is_near(of)));
        let group = known.unwrap_or_else(|| {
            self.all.push((of.clone(), of.group()));
            alike.push(self.all.len() - 1);
            self.all.len() - 1
        });
        let servers = &mut self.all[group].1.servers;
        let place = *self.servers.entry((group, server.name.clone())).or_insert(servers.len());
        match servers.get_mut(place) {
            Some(known) => known.add(&server),
            None => servers.push(server),
        }
        group
    }
}

/// What makes servers a group, and who one of them is.
#[derive(Clone)]
struct Of<'t> {
    title: String,
    method: Option<String>,
    subnets: BTreeSet<String>,
    label: Label<'t>,
    addresses: BTreeSet<IpAddr>,
}

impl Of<'_> {
    /// Two services may see one server by different families: any subnet in common is the same place.
    fn is_near(&self, other: &Of) -> bool {
        self.subnets.is_empty() && other.subnets.is_empty() || !self.subnets.is_disjoint(&other.subnets)
    }

    fn group(&self) -> Group {
        let mut subnets: Vec<String> = self.subnets.iter().cloned().collect();
        // IPv4 first, as everywhere.
        subnets.sort_by_key(|subnet| subnet.contains(':'));
        Group { title: self.title.clone(), subnets, method: self.method.clone(), servers: Vec::new() }
    }
}

impl Server {
    /// What another service knows of the same server.
    fn add(&mut self, other: &Server) {
        for address in &other.addresses {
            if !self.addresses.contains(address) {
                self.addresses.push(address.clone());
            }
        }
        self.mark = self.mark.max(other.mark);
        let both = self.connections.zip(other.connections).map(|(one, other)| one + other);
        self.connections = both.or(self.connections).or(other.connections);
    }
}

fn method(forward: Forward) -> Method {
    match forward {
        Forward::Nat => Method::Nat,
        Forward::Dr => Method::Dr,
        Forward::Tun(_) => Method::Tun,
    }
}

fn spelled(forward: Forward) -> String {
    match forward {
        Forward::Tun(Encapsulation::Ipip) => "tun".to_owned(),
        Forward::Tun(encapsulation) => format!("tun {encapsulation}"),
        other => method(other).word().to_owned(),
    }
}

fn listen(listen: &Listen) -> String {
    let family = match listen.family.as_ref().map(|family| family.value) {
        None => "",
        Some(Family::Ipv4) => " ipv4",
        Some(Family::Ipv6) => " ipv6",
    };
    match &listen.what {
        ListenOn::Vip { port, protocol, server_port, one_packet, .. } => {
            let ports = match (port.value, server_port.as_ref().map(|port| port.value)) {
                (0, _) => "every port".to_owned(),
                (port, Some(other)) if other != port => format!("{port} to {other}"),
                (port, _) => port.to_string(),
            };
            let one_packet = if one_packet.value { ", one packet" } else { "" };
            format!("{} {ports}{family}{one_packet}", protocol.value)
        }
        ListenOn::Mark { mark, matches, .. } => {
            let of = |matching: &topology::Match| {
                let ports: Vec<String> = matching.ports.iter().map(|port| port.value.to_string()).collect();
                let ports = if ports.is_empty() { "every port".to_owned() } else { ports.join(" ") };
                format!("{} {ports}", matching.protocol.value)
            };
            let matched: Vec<String> = matches.iter().map(of).collect();
            let matched = if matched.is_empty() { String::new() } else { format!(": {}", matched.join(", ")) };
            format!("mark {}{family}{matched}", mark.value)
        }
    }
}
