//! The way of a packet, hop by hop, as routes and neighbours have it.

use std::net::{IpAddr, SocketAddr};

use super::Finding;
use crate::rehearse::layout::own_addresses;
use crate::rehearse::net::Namespace;
use crate::rehearse::scene::Scene;
use crate::rehearse::trial::{Server, Trial};
use crate::state::{Family, Forward, Protocol};
use crate::topology::{ReturnMode, Via};

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
    let director = scene.topology.hosts.get(&trial.director);
    let vips = scene.topology.vips.values().flat_map(|vip| vip.addresses.iter().map(|address| address.value));
    let mut own: Vec<IpAddr> = director.into_iter().flat_map(own_addresses).chain(vips).collect();
    let by_hand = scene.layout.by_hand.iter().filter(|placed| placed.director == trial.director);
    own.extend(by_hand.map(|placed| placed.address));
    own.sort_unstable();
    if server.forward != Forward::Nat {
        let through = via.filter(|via| own.binary_search(via).is_ok());
        return through.map(|via| through_director(trial, server, &seat.host, via, &route_said)).into_iter().collect();
    }
    // Where the director masquerades, clients are the director itself.
    let said = scene.topology.services.get(&trial.name).map(|service| &service.return_path);
    let mode = said.map(|said| said.mode.value);
    let masqueraded = mode == Some(ReturnMode::Snat);
    if masqueraded || via.is_some_and(|via| own.binary_search(&via).is_ok()) {
        return Vec::new();
    }
    let text = format!("replies of {} do not go back to {}, which must translate their addresses", server.name, trial.director);
    vec![no_way(text, &remedy(mode, said.and_then(|said| said.via.as_ref()).map(|via| &via.value), &trial.director))]
}

/// What mends replies of nat that do not come to the director.
fn remedy(mode: Option<ReturnMode>, via: Option<&Via>, director: &str) -> String {
    let via = match via {
        None => None,
        Some(Via::Vip(name)) => Some(name.clone()),
        Some(Via::Address(address)) => Some(address.to_string()),
    };
    match (mode, via) {
        (Some(ReturnMode::Policy), Some(via)) => {
            format!("see that `via=\"{via}\"` is an address of {director} that the server reaches on its own wire")
        }
        (Some(ReturnMode::Policy), None) => format!(
            "see that the server and {director} share a wire, and say by which address: `return-path \"policy\" via=\"…\"`"
        ),
        _ => "say `return-path \"policy\"` in the file, or make the director the server's default route".to_owned(),
    }
}

/// Replies of dr or tun that come to the director, whose own address the VIP is.
fn through_director(trial: &Trial, server: &Server, host: &str, via: IpAddr, route: &str) -> Finding {
    Finding {
        cause: "replies-to-director",
        host: host.to_owned(),
        text: format!("replies of {} reach {}, which has the VIP itself and drops them", server.name, trial.director),
        evidence: vec![format!("ip route get from {}: {route}", trial.target.ip()), format!("{via} is {}'s", trial.director)],
        remedy: "give the server a gateway that is no director: with dr and tun replies go to clients directly; or say \
                 `forward \"nat\"`"
            .to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::{hop, remedy};
    use crate::topology::{ReturnMode, Via};

    #[test]
    fn the_remedy_is_of_the_mode_that_the_file_says() {
        let via = Via::Address("10.0.0.1".parse().expect("an address"));
        assert!(remedy(Some(ReturnMode::Policy), Some(&via), "lb1").contains("`via=\"10.0.0.1\"` is an address of lb1"));
        assert!(!remedy(Some(ReturnMode::Policy), None, "lb1").starts_with("say"));
        assert!(remedy(Some(ReturnMode::DefaultRoute), None, "lb1").starts_with("say `return-path \"policy\"`"));
    }

    #[test]
    fn a_route_is_read_as_ip_says_it() {
        let (via, device) = hop("198.18.7.1 from 10.0.0.100 via 10.0.0.1 dev eth0 uid 0").expect("a hop");
        assert_eq!((via.map(|via| via.to_string()), device.as_str()), (Some("10.0.0.1".to_owned()), "eth0"));
        assert!(hop("unreachable 198.18.7.1 dev lo").is_err());
    }
}
