//! The way of a packet, hop by hop, as routes and neighbours have it.

use std::net::{IpAddr, SocketAddr};

use super::Finding;
use crate::rehearse::layout::own_addresses;
use crate::rehearse::net::Namespace;
use crate::rehearse::scene::Scene;
use crate::rehearse::trial::{Server, Trial};
use crate::state::{Family, Forward, Protocol};

/// From the router to the director.
pub(super) fn to_director(scene: &Scene<'_>, trial: &Trial) -> Vec<Finding> {
    let vip = trial.target.ip();
    if scene.layout.vip_routes.contains_key(&vip) {
        return Vec::new();
    }
    let said = scene.net.router.ip_says(&format!("neigh show {vip}"));
    let said = said.trim();
    if said.contains("FAILED") || said.contains("INCOMPLETE") {
        return vec![Finding {
            cause: "vip-unanswered",
            host: trial.director.clone(),
            text: format!("nobody says that {vip} is his when the router asks for it"),
            evidence: vec![format!("the router's neighbour: {said}")],
            remedy: format!("see that {vip} is on an interface of {} that faces the router", trial.director),
        }];
    }
    let answered = said.split(' ').skip_while(|word| *word != "lladdr").nth(1);
    let owner = answered.and_then(|address| scene.net.link_addresses.get(address));
    owner.filter(|owner| **owner != trial.director).map_or_else(Vec::new, |owner| {
        vec![Finding {
            cause: "arp-not-silenced",
            host: owner.clone(),
            text: format!("{owner} answers for {vip}, which is {}'s", trial.director),
            evidence: vec![format!("the router's neighbour: {said}")],
            remedy: format!("`lvsform apply --host {owner}`: a server must not answer ARP for a VIP"),
        }]
    })
}

/// From the director to a server.
pub(super) fn to_server(scene: &Scene<'_>, trial: &Trial, server: &Server) -> Vec<Finding> {
    let Some(director) = scene.net.hosts.get(&trial.director) else { return Vec::new() };
    let Some(seat) = &server.seat else { return Vec::new() };
    if seat.host == trial.director {
        return closed(scene, server).into_iter().collect();
    }
    let address = server.id.0.ip();
    let route = route(director, &format!("{address}"));
    let (via, device) = match hop(&route) {
        Ok(hop) => hop,
        Err(error) => {
            return vec![Finding {
                cause: "no-route-to-server",
                host: trial.director.clone(),
                text: format!("{} has no route to {} ({address})", trial.director, server.name),
                evidence: vec![format!("ip route get {address}: {error}")],
                remedy: "give the director a route, or the server an address in one of its subnets".to_owned(),
            }];
        }
    };
    let mut found = Vec::new();
    if server.forward == Forward::Dr && via.is_some() {
        found.push(Finding {
            cause: "server-behind-router",
            host: seat.host.clone(),
            text: format!(
                "dr reaches servers on the director's own wire alone, and {} ({address}) is behind a router",
                server.name
            ),
            evidence: vec![format!("ip route get {address}: {route}")],
            remedy: "put the server into the director's subnet, or say `forward \"tun\"`".to_owned(),
        });
    }
    let next = via.unwrap_or(address);
    let neighbour = director.ip_says(&format!("neigh show {next}"));
    if neighbour.contains("FAILED") || neighbour.contains("INCOMPLETE") {
        found.push(Finding {
            cause: "server-unreachable",
            host: seat.host.clone(),
            text: format!("nobody on the wire of {device} has {next}, where {} should be", server.name),
            evidence: vec![format!("{}'s neighbour: {}", trial.director, neighbour.trim())],
            remedy: "see that the server is up and has this address in this subnet".to_owned(),
        });
    }
    found.extend(closed(scene, server));
    found
}

/// Whether nobody listens where the director sends to.
fn closed(scene: &Scene<'_>, server: &Server) -> Option<Finding> {
    let seat = server.seat.as_ref()?;
    let namespace = scene.net.hosts.get(&seat.host)?;
    let port = seat.address.port();
    if listens(namespace, seat.protocol, seat.address) {
        return None;
    }
    let others: Vec<String> = ports(namespace, seat.protocol, seat.address).iter().map(u16::to_string).collect();
    let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
    Some(Finding {
        cause: "port-closed",
        host: seat.host.clone(),
        text: format!("nobody listens on {} port {port}, where {} is sent to", seat.protocol, server.name),
        evidence: vec![format!("{} ports that somebody listens on: {others}", seat.protocol)],
        remedy: "start the server on this port, or correct `port` or `server-port` in the file".to_owned(),
    })
}

fn listens(namespace: &Namespace, protocol: Protocol, address: SocketAddr) -> bool {
    protocol == Protocol::Sctp || ports(namespace, protocol, address).contains(&address.port())
}

/// The ports that somebody listens on, of all addresses of the family.
fn ports(namespace: &Namespace, protocol: Protocol, address: SocketAddr) -> Vec<u16> {
    let (name, listening) = match protocol {
        Protocol::Udp => ("udp", "07"),
        _ => ("tcp", "0A"),
    };
    let files = if Family::of(address.ip()) == Family::Ipv4 { vec![name.to_owned()] } else { vec![format!("{name}6")] };
    let mut ports: Vec<u16> = Vec::new();
    for file in files {
        for line in namespace.proc(&file).lines().skip(1) {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            if let [_, local, _, state, ..] = words.as_slice()
                && *state == listening
                && let Some((_, port)) = local.rsplit_once(':')
            {
                ports.extend(u16::from_str_radix(port, 16));
            }
        }
    }
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// From a server back to the client.
pub(super) fn back(scene: &Scene<'_>, trial: &Trial, server: &Server) -> Vec<Finding> {
    let Some(seat) = &server.seat else { return Vec::new() };
    let Some(namespace) = scene.net.hosts.get(&seat.host) else { return Vec::new() };
    if seat.host == trial.director || !trial.answered {
        return Vec::new();
    }
    let [v4, v6] = &scene.layout.client;
    let client = if trial.family() == Family::Ipv4 { v4.source(7) } else { v6.source(7) };
    let local = seat.address;
    let asked = format!("{client} from {} ipproto {} sport {}", local.ip(), trial.protocol, local.port());
    // A VIP of another device than the one that it leaves by is no local source to the command: then without it.
    let mut route_said = route(namespace, &asked);
    if hop(&route_said).is_err() {
        // Nor can the command ask for sctp.
        if server.forward == Forward::Nat && trial.protocol == Protocol::Sctp {
            return Vec::new();
        }
        route_said = route(namespace, &client.to_string());
    }
    let no_way = |text: String, remedy: &str| Finding {
        cause: "no-return-path",
        host: seat.host.clone(),
        text,
        evidence: vec![format!("ip route get {asked}: {route_said}")],
        remedy: remedy.to_owned(),
    };
    let Ok((via, _)) = hop(&route_said) else {
        return vec![no_way(format!("{} has no route to its clients", seat.host), "give it a default route")];
    };
    if server.forward != Forward::Nat {
        return Vec::new();
    }
    let director = scene.topology.hosts.get(&trial.director);
    let vips = scene.topology.vips.values().flat_map(|vip| vip.addresses.iter().map(|address| address.value));
    let mut own: Vec<IpAddr> = director.into_iter().flat_map(own_addresses).chain(vips).collect();
    own.sort_unstable();
    // Where the director masquerades, clients are the director itself.
    let masqueraded = scene
        .topology
        .services
        .get(&trial.name)
        .is_some_and(|service| service.return_path.mode.value == crate::topology::ReturnMode::Snat);
    if masqueraded || via.is_some_and(|via| own.binary_search(&via).is_ok()) {
        return Vec::new();
    }
    let text = format!("replies of {} do not go back to {}, which must translate their addresses", server.name, trial.director);
    vec![no_way(text, "say `return-path \"policy\"` in the file, or make the director the server's default route")]
}

fn route(namespace: &Namespace, to: &str) -> String {
    namespace.ip_says(&format!("route get {to}")).lines().next().unwrap_or_default().trim().to_owned()
}

/// The next router, if any, and the device of what `ip route get` says.
fn hop(said: &str) -> Result<(Option<IpAddr>, String), String> {
    let words: Vec<&str> = said.split(' ').collect();
    let after = |word: &str| words.iter().skip_while(|own| **own != word).nth(1).copied();
    match after("dev") {
        Some(device) if !said.starts_with("unreachable") && !said.starts_with("blackhole") => {
            Ok((after("via").and_then(|via| via.parse().ok()), device.to_owned()))
        }
        _ => Err(if said.is_empty() { "no route".to_owned() } else { said.to_owned() }),
    }
}
