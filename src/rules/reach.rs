//! Whether packets reach servers: addresses, subnets, families, and room for outer headers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Conflict, Doubt, Report, View, families, forward, in_a_subnet, own_families, place, sysctl};
use crate::source::At;
use crate::state::{Checksum, Encapsulation, Family};
use crate::topology::{Forward, Host, Interface, ReturnMode, Role, Server, Service, Via, Vip};

/// The VIPs of a service, with the tokens that name them.
fn vips<'t>(view: &View<'t>, service: &'t Service) -> Vec<(&'t Vip, crate::source::Span)> {
    service.listens.iter().flat_map(|listen| view.vips(listen)).collect()
}

/// The VIPs of a service, each once, however many ports it has.
fn each_vip<'t>(view: &View<'t>, service: &'t Service) -> Vec<&'t Vip> {
    let mut seen = BTreeSet::new();
    vips(view, service).into_iter().map(|(vip, _)| vip).filter(|vip| seen.insert(vip.name.value.as_str())).collect()
}

/// Who carries any of a service's VIPs, each once.
fn carriers<'t>(view: &View<'t>, service: &'t Service) -> Vec<&'t Host> {
    let mut seen = BTreeSet::new();
    let all = vips(view, service).into_iter().flat_map(|(vip, _)| view.carriers(vip)).copied();
    all.filter(|host| seen.insert(host.name.value.as_str())).collect()
}

/// The families that a service listens on.
fn listened(view: &View, service: &Service) -> BTreeSet<Family> {
    service.listens.iter().flat_map(|listen| families(view, listen)).collect()
}

/// The addresses that a server may have, as far as the file knows.
fn addresses(view: &View, server: &Server) -> Vec<IpAddr> {
    if let Some(address) = &server.address {
        return vec![address.value];
    }
    let host = server.host.as_ref().and_then(|name| view.topology.hosts.get(&name.value));
    let interfaces = host.into_iter().flat_map(|host| host.interfaces.values());
    interfaces.flat_map(|interface| &interface.addresses).map(|network| network.value.addr()).collect()
}

pub fn no_server_is_the_vip(view: &View, report: &mut Report) {
    let mut said = BTreeSet::new();
    for service in view.services() {
        let vips = vips(view, service);
        for server in view.servers(service).filter(|server| server.host.is_none()) {
            let Some(address) = &server.address else { continue };
            let own = vips.iter().find(|(vip, _)| vip.addresses.iter().any(|own| own.value == address.value));
            if let Some((vip, named)) = own.filter(|_| said.insert(place(address))) {
                let conflict = Conflict::ServerIsVip { address: address.value, vip: &vip.name.value, named: *named };
                report.add(&conflict, place(address));
            }
        }
    }
}

/// Whether the file says somewhere that a host takes IPv4 packets from addresses of its own.
fn takes_from_itself(view: &View) -> bool {
    sysctl::all(view).any(|sysctl| sysctl.key.value.path().ends_with("/accept_local") && sysctl.value.value != "0")
}

/// A server of dr or tun has the VIP. IPv4 takes no packet, and answers no ARP, from an address of its own: a director that has
/// nothing but the VIP cannot reach it.
pub fn a_director_has_more_than_the_vip(view: &View, report: &mut Report) {
    if takes_from_itself(view) {
        return;
    }
    let mut said = BTreeSet::new();
    for service in view.services().filter(|service| listened(view, service).contains(&Family::Ipv4)) {
        for vip in each_vip(view, service) {
            for host in view.carriers(vip) {
                let all = host.interfaces.values().flat_map(|interface| &interface.addresses);
                let own: Vec<_> = all.filter(|network| network.value.addr().is_ipv4()).collect();
                let [own] = own.as_slice() else { continue };
                let Some(address) = vip.addresses.iter().find(|address| address.value == own.value.addr()) else { continue };
                let takes = |server: &&Server| {
                    forward(service, server).value != Forward::Nat
                        && server.host.as_ref().is_none_or(|name| name.value != host.name.value)
                        && addresses(view, server).iter().any(IpAddr::is_ipv4)
                };
                if let Some(server) = view.servers(service).find(takes).filter(|_| said.insert(place(address))) {
                    let forward = forward(service, server);
                    let conflict = Conflict::VipIsOwn {
                        address: address.value,
                        vip: &vip.name.value,
                        host: &host.name.value,
                        server: &server.label.value,
                        method: forward.value,
                        own: place(own),
                        forward: place(forward),
                    };
                    report.add(&conflict, place(address));
                }
            }
        }
    }
}

/// dr writes a hardware address: the server is on the director's wire.
pub fn dr_servers_are_on_the_wire(view: &View, report: &mut Report) {
    let mut said = BTreeSet::new();
    for service in view.services() {
        let (carriers, listened) = (carriers(view, service), listened(view, service));
        for server in view.servers(service) {
            let forward = forward(service, server);
            if forward.value != Forward::Dr || said.contains(&place(&server.label)) {
                continue;
            }
            let own = addresses(view, server);
            let mut families = listened.iter().filter(|family| own.iter().any(|address| Family::of(*address) == **family));
            let off = families.find_map(|family| {
                let own = || own.iter().filter(|address| Family::of(**address) == *family);
                let off = |host: &&&Host| has_family(host, *family) && !own().any(|address| in_a_subnet(host, *address));
                carriers.iter().find(off)
            });
            if let Some(host) = off {
                said.insert(place(&server.label));
                let doubt = Doubt::DrOffLink { server: &server.label.value, host: &host.name.value, forward: place(forward) };
                report.doubt(&doubt, place(&server.label));
            }
        }
    }
}

/// `return-path "policy"`: the route to the director is the link itself, or nothing.
pub fn replies_reach_their_director(view: &View, report: &mut Report) {
    let mut said = BTreeSet::new();
    for service in view.services().filter(|service| service.return_path.mode.value == ReturnMode::Policy) {
        let (carriers, listened) = (carriers(view, service), listened(view, service));
        let ways = ways_back(view, service, &carriers);
        for server in view.servers(service).filter(|server| forward(service, server).value == Forward::Nat) {
            let Some(host) = server.host.as_ref().and_then(|name| view.topology.hosts.get(&name.value)) else { continue };
            let own = addresses(view, server);
            // A director reaches itself where it has the VIP.
            let all = || vips(view, service).into_iter();
            if all().all(|(vip, _)| having(view, vip).any(|one| one.name.value == host.name.value))
                || said.contains(&place(&server.label))
            {
                continue;
            }
            let off =
                listened.iter().filter(|family| own.iter().any(|address| Family::of(*address) == **family)).find_map(|family| {
                    let mut of_family = ways.iter().filter(|via| Family::of(**via) == *family).peekable();
                    let first = **of_family.peek()?;
                    (!of_family.any(|via| in_a_subnet(host, *via))).then_some(first)
                });
            if let Some(via) = off {
                said.insert(place(&server.label));
                let policy = service.return_path.via.as_ref().and_then(|via| via.origin.span());
                report.doubt(&Doubt::WayBackOffLink { host: &host.name.value, via, policy }, place(&server.label));
            }
        }
    }
}

/// The directors that have a VIP, or may have it: nobody knows where something else places it.
fn having<'v>(view: &'v View, vip: &'v Vip) -> impl Iterator<Item = &'v Host> {
    let may = |host: &&&Host| !vip.managed.value || vip.holder.as_ref().is_none_or(|holder| holder.value == host.name.value);
    view.carriers(vip).iter().filter(may).copied()
}

/// Replies of dr and tun come from the VIP. IPv4 drops what comes from an address of its own: the director that has the VIP
/// cannot be their router.
pub fn replies_of_dr_and_tun_pass_their_director_by(view: &View, report: &mut Report) {
    if takes_from_itself(view) {
        return;
    }
    let mut said = BTreeSet::new();
    for service in view.services() {
        let vips = each_vip(view, service);
        let of_ipv4 = || vips.iter().filter_map(|vip| Some((*vip, vip.addresses.iter().find(|one| one.value.is_ipv4())?)));
        for server in view.servers(service).filter(|server| forward(service, server).value != Forward::Nat) {
            let Some(host) = server.host.as_ref().and_then(|name| view.topology.hosts.get(&name.value)) else { continue };
            let all = host.interfaces.values().flat_map(|interface| &interface.gateways);
            let gateways: Vec<&At<IpAddr>> = all.filter(|gateway| gateway.value.is_ipv4()).collect();
            if gateways.is_empty() {
                continue;
            }
            // One router that is none of the directors is enough.
            let found = of_ipv4().find_map(|(vip, address)| {
                let leads_to = |gateway: &At<IpAddr>| {
                    let is_own = |director: &&Host| {
                        let mut own = director.interfaces.values().flat_map(|interface| &interface.addresses);
                        own.any(|network| network.value.addr() == gateway.value)
                    };
                    let floats = vip.addresses.iter().any(|own| own.value == gateway.value);
                    having(view, vip).find(|director| floats || is_own(director))
                };
                let directors: Option<Vec<&Host>> = gateways.iter().map(|gateway| leads_to(gateway)).collect();
                let director = *directors?.first()?;
                (director.name.value != host.name.value).then_some((address, director))
            });
            let Some(((address, director), gateway)) = found.zip(gateways.first()) else { continue };
            if said.insert(place(gateway)) {
                let doubt = Doubt::GatewayIsDirector {
                    host: &host.name.value,
                    gateway: gateway.value,
                    vip: address.value,
                    director: &director.name.value,
                    forward: place(forward(service, server)),
                };
                report.doubt(&doubt, place(gateway));
            }
        }
    }
}

/// Where replies may be sent, as far as the file says it: `via`, or what the only director or the holder has.
fn ways_back(view: &View, service: &Service, carriers: &[&Host]) -> Vec<IpAddr> {
    match service.return_path.via.as_ref().map(|via| &via.value) {
        Some(Via::Address(address)) => vec![*address],
        Some(Via::Vip(name)) => {
            let vip = view.topology.vips.get(name);
            vip.into_iter().flat_map(|vip| &vip.addresses).map(|address| address.value).collect()
        }
        None => {
            let holders: BTreeSet<&str> = vips(view, service)
                .iter()
                .filter_map(|(vip, _)| vip.holder.as_ref().map(|holder| holder.value.as_str()))
                .collect();
            let director = |host: &&&Host| holders.is_empty() || holders.contains(host.name.value.as_str());
            let interfaces = carriers.iter().filter(director).flat_map(|host| host.interfaces.values());
            interfaces.flat_map(|interface| &interface.addresses).map(|network| network.value.addr()).collect()
        }
    }
}

/// What a method needs on a real server is done where the file has it as a host. Said once for each method; once for all where
/// the file has no real server: then it is of directors alone, as all of LVS's older tools have it.
pub fn servers_are_hosts_of_the_file(view: &View, report: &mut Report) {
    /// The first of them, and how many.
    type Found<'t> = (&'t Service, &'t Server, IpAddr, IpAddr, usize);
    let mut found: Vec<(Forward, Found<'_>)> = Vec::new();
    let mut seen = BTreeSet::new();
    for service in view.services() {
        let all = vips(view, service);
        for server in view.servers(service).filter(|server| server.host.is_none()) {
            let method = forward(service, server).value;
            let seen_to = method == Forward::Nat && service.return_path.mode.value != ReturnMode::Policy;
            let Some(address) = server.address.as_ref().map(|address| address.value).filter(|_| !seen_to) else { continue };
            let vips = || all.iter().flat_map(|(vip, _)| &vip.addresses).map(|vip| vip.value);
            let Some(vip) = vips().find(|vip| Family::of(*vip) == Family::of(address)).or_else(|| vips().next()) else {
                continue;
            };
            if !seen.insert((address, place(&server.label))) {
                continue;
            }
            match found.iter_mut().find(|(known, _)| *known == method) {
                Some((_, (.., count))) => *count += 1,
                None => found.push((method, (service, server, address, vip, 1))),
            }
        }
    }
    if view.topology.hosts.values().all(|host| host.role == Role::Director) {
        let count = found.iter().map(|(_, (.., count))| count).sum();
        if let Some((method, (_, server, address, vip, _))) = found.into_iter().next() {
            report.doubt(&Doubt::NoRealServers { count, method, address, vip }, place(&server.label));
        }
        return;
    }
    for (method, (service, server, address, vip, count)) in found {
        let doubt = Doubt::ServerOutside { service: &service.name.value, count, method, address, vip };
        report.doubt(&doubt, place(&server.label));
    }
}

/// Whether a host says an address of a family: otherwise nobody knows where it is.
fn has_family(host: &Host, family: Family) -> bool {
    host.interfaces.values().any(|interface| has_address(interface, family))
}

fn has_address(interface: &Interface, family: Family) -> bool {
    interface.addresses.iter().any(|network| Family::of(network.value.addr()) == family)
}

pub fn every_server_has_a_family_that_is_listened_on(view: &View, report: &mut Report) {
    let mut said = BTreeSet::new();
    for service in view.services() {
        let listened = listened(view, service);
        for server in view.servers(service) {
            let method = forward(service, server).value;
            let own = own_families(view, server);
            let unused = !own.is_empty() && !own.iter().any(|family| listened.contains(family));
            if matches!(method, Forward::Tun(_)) || listened.is_empty() || !unused || !said.insert(place(&server.label)) {
                continue;
            }
            let (service, server_name) = (&service.name.value, &server.label.value);
            report.doubt(&Doubt::UnusedServer { service, server: server_name, families: own, method }, place(&server.label));
        }
    }
}

/// What ipvsadm before 1.30 reads.
const OLD_MOST: u32 = 65_535;

pub fn weights_are_for_every_tool(view: &View, report: &mut Report) {
    let mut said = BTreeSet::new();
    for service in view.services().filter(|service| service.scheduler.name.value != "ovf") {
        for server in view.servers(service).filter(|server| server.weight.value > OLD_MOST) {
            if said.insert(place(&server.weight)) {
                report.doubt(&Doubt::LargeWeight { weight: server.weight.value }, place(&server.weight));
            }
        }
    }
}

/// What a client sends at most, as everybody's Ethernet has it.
const CLIENTS: u32 = 1500;

/// The bytes of an outer header: IP, and what the encapsulation puts between the two.
fn outer(encapsulation: Encapsulation, family: Family) -> u32 {
    let ip = if family == Family::Ipv4 { 20 } else { 40 };
    ip + match encapsulation {
        Encapsulation::Ipip | Encapsulation::Other(_) => 0,
        Encapsulation::Gue { .. } => 8 + 4,
        Encapsulation::Gre { checksum: Checksum::Csum } => 8,
        Encapsulation::Gre { .. } => 4,
    }
}

pub fn outer_headers_have_room(view: &View, report: &mut Report) {
    let mut said = BTreeSet::new();
    for service in view.services() {
        let carriers = carriers(view, service);
        for server in view.servers(service) {
            let forward = forward(service, server);
            let Forward::Tun(encapsulation) = forward.value else { continue };
            let host = server.host.as_ref().and_then(|name| view.topology.hosts.get(&name.value));
            for address in addresses(view, server).into_iter().take(2) {
                let needed = CLIENTS + outer(encapsulation, Family::of(address));
                let ways = carriers.iter().chain(host.iter()).filter_map(|host| way(host, address));
                for mtu in ways.filter(|mtu| mtu.value < needed) {
                    if said.insert(place(mtu)) {
                        let doubt = Doubt::TunnelMtu { mtu: mtu.value, needed, forward: place(forward) };
                        report.doubt(&doubt, place(mtu));
                    }
                }
            }
        }
    }
}

/// The MTU of a host's way to an address: of the interface in its subnet, else the largest of its family. `None` where the
/// file does not say it.
fn way(host: &Host, address: IpAddr) -> Option<&At<u32>> {
    let near = |interface: &&Interface| interface.addresses.iter().any(|network| network.value.contains(&address));
    if let Some(interface) = host.interfaces.values().find(near) {
        return interface.mtu.as_ref();
    }
    let of_family = host.interfaces.values().filter(|interface| has_address(interface, Family::of(address)));
    let all: Option<Vec<&At<u32>>> = of_family.map(|interface| interface.mtu.as_ref()).collect();
    all?.into_iter().max_by_key(|mtu| mtu.value)
}

/// `return-path "default-route"`: checked as far as the file says the servers' gateways.
pub fn default_routes_lead_back(view: &View, report: &mut Report) {
    let own = view.directors.iter().flat_map(|host| host.interfaces.values()).flat_map(|interface| &interface.addresses);
    let floating = view.topology.vips.values().flat_map(|vip| &vip.addresses).map(|address| address.value);
    let known: BTreeSet<IpAddr> = own.map(|network| network.value.addr()).chain(floating).collect();
    let mut said = BTreeSet::new();
    for service in view.services().filter(|service| service.return_path.mode.value == ReturnMode::DefaultRoute) {
        let listened = listened(view, service);
        for server in view.servers(service).filter(|server| forward(service, server).value == Forward::Nat) {
            let Some(host) = server.host.as_ref().and_then(|name| view.topology.hosts.get(&name.value)) else { continue };
            for family in &listened {
                let gateways = || {
                    let all = host.interfaces.values().flat_map(|interface| &interface.gateways);
                    all.filter(|gateway| Family::of(gateway.value) == *family)
                };
                if gateways().any(|gateway| known.contains(&gateway.value)) {
                    continue;
                }
                if let Some(gateway) = gateways().next().filter(|gateway| said.insert(place(gateway))) {
                    let mode = place(&service.return_path.mode);
                    let doubt = Doubt::GatewayElsewhere { host: &host.name.value, gateway: gateway.value, mode };
                    report.doubt(&doubt, place(gateway));
                }
            }
        }
    }
}
