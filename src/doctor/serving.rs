//! What the directors send to a host: does something listen there, does it have room, and do replies find clients?

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::filter::{Fate, Packet};
use super::{Finding, Patient, Question, Severity, Socket, Way, outer_header, outsider, questions};
use crate::compile::{carries, compile};
use crate::state::{Destination, DestinationKey, Encapsulation, Family, Forward, Key, Protocol, Resource, ServiceKey};
use crate::topology::{Host, Role, Topology, Vip};

/// The destinations that are addresses of a host, as its directors hold them.
pub(super) fn served(topology: &Topology, host: &Host) -> Vec<(DestinationKey, Destination)> {
    let own: BTreeSet<IpAddr> =
        host.interfaces.values().flat_map(|interface| &interface.addresses).map(|network| network.value.addr()).collect();
    let directors = topology.hosts.values().filter(|host| host.role == Role::Director);
    let mut all: Vec<(DestinationKey, Destination)> = directors
        .flat_map(|director| compile(topology, director).state.objects)
        .filter_map(|(key, resource)| match (key, resource) {
            (Key::Destination(key), Resource::Destination(server)) if own.contains(&key.address) => Some((key, server)),
            _ => None,
        })
        .collect();
    all.sort_by_key(|(key, _)| *key);
    all.dedup_by_key(|(key, _)| *key);
    all
}

pub(super) fn findings(patient: &Patient<'_>) -> Vec<Finding> {
    let served = served(patient.topology, patient.host);
    let mut findings = Vec::new();
    findings.extend(listeners(patient, &served));
    findings.extend(ways_to_clients(patient));
    if patient.host.role == Role::RealServer {
        findings.extend(room(patient, &served));
    }
    findings
}

/// Where a program must listen: nat has translated the address, dr and tun have not. `None`: on more than one port.
pub(super) fn target(key: &DestinationKey, server: &Destination) -> Option<(Protocol, IpAddr, u16)> {
    let ServiceKey::Tuple { protocol, address, port } = key.service else { return None };
    let (address, port) = if server.forward == Forward::Nat { (key.address, key.port) } else { (address, port) };
    (port != 0).then_some((protocol, address, port))
}

fn listeners(patient: &Patient<'_>, served: &[(DestinationKey, Destination)]) -> Vec<Finding> {
    let Some(sockets) = &patient.evidence.listening else { return Vec::new() };
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for (key, server) in served.iter().filter(|(_, server)| server.weight.value() > 0) {
        let Some((protocol, address, port)) = target(key, server) else { continue };
        if !matches!(protocol, Protocol::Tcp | Protocol::Udp) || !seen.insert((protocol, address, port)) {
            continue;
        }
        let on_port = || sockets.iter().filter(|socket| socket.protocol == protocol && socket.port == port);
        if on_port().any(|socket| takes(socket, address)) || goes_elsewhere(patient, protocol, address, port) {
            continue;
        }
        let others: Vec<String> = on_port().map(|socket| socket.address.to_string()).collect();
        findings.push(Finding::wrong(
            "nobody-listens",
            format!("nothing listens on {protocol} {address} port {port}: clients of {} are refused", key.service),
            if others.is_empty() { "`ss -ln`: nothing has this port".to_owned() } else { format!("only {}", others.join(", ")) },
            "start the server, and let it listen on every address; or correct the port, or say `weight=0`".to_owned(),
        ));
    }
    findings
}

/// A socket of every IPv6 address takes IPv4 too, unless it says otherwise, which nobody can see.
fn takes(socket: &Socket, address: IpAddr) -> bool {
    let own = socket.address.to_canonical();
    own == address || (own.is_unspecified() && (own.is_ipv6() || address.is_ipv4()))
}

/// Whether a rule sends it to a container, say, whose sockets are none of this namespace's.
fn goes_elsewhere(patient: &Patient<'_>, protocol: Protocol, address: IpAddr, port: u16) -> bool {
    let Some(rules) = &patient.evidence.filters else { return true };
    let packet = Packet {
        from: None,
        to: Some(address),
        protocol: protocol.number(),
        source_port: None,
        port: Some(port),
        interface: None,
        state: Some("new"),
    };
    let prerouting = rules.chains.iter().filter(|(_, chain)| chain.hook.as_deref() == Some("prerouting"));
    prerouting.map(|(name, _)| rules.fate(name, &packet)).any(|fate| fate != Fate::Passes)
}

/// The VIPs that the host has and answers clients from, each with the question where such an answer goes.
pub(super) fn replies(topology: &Topology, host: &Host) -> Vec<Question> {
    let served = served(topology, host);
    let direct = served.iter().filter(|(_, server)| server.forward != Forward::Nat);
    let vips: BTreeSet<IpAddr> = direct
        .filter_map(|(key, _)| match key.service {
            ServiceKey::Tuple { address, .. } => Some(address),
            ServiceKey::Mark { .. } => None,
        })
        .collect();
    vips.into_iter().map(|vip| Question { to: outsider(Family::of(vip)), from: Some(vip), leaving: None }).collect()
}

/// The director whose address a server's gateway is while that director has the VIP: replies to clients come to it as packets
/// from an address of its own. In doubt where the VIP is at another now.
fn director_with<'a>(patient: &Patient<'a>, vip: IpAddr, gateway: IpAddr) -> Option<(&'a str, Severity)> {
    if patient.host.role == Role::Director {
        return None;
    }
    let vips = || patient.topology.vips.values();
    let has = |vip: &Vip, address: IpAddr| vip.addresses.iter().any(|own| own.value == address);
    let of = vips().find(|one| has(one, vip))?;
    let mut directors = patient.topology.hosts.values().filter(|host| carries(of, host));
    let director = directors.find(|host| {
        let own = host.interfaces.values().flat_map(|interface| &interface.addresses);
        let holds = |one: &&Vip| has(one, gateway) && holder(one).is_none_or(|name| *name == host.name.value);
        own.into_iter().any(|network| network.value.addr() == gateway) || vips().any(|one| carries(one, host) && holds(&one))
    })?;
    let is_here = holder(of).is_none_or(|name| *name == director.name.value);
    Some((&director.name.value, if is_here { Severity::Wrong } else { Severity::Doubtful }))
}

fn holder(vip: &Vip) -> Option<&String> {
    vip.holder.as_ref().map(|holder| &holder.value)
}

/// dr and tun: the server answers clients itself, so it needs a way to all of them.
fn ways_to_clients(patient: &Patient<'_>) -> Vec<Finding> {
    let questions = questions(patient.topology, patient.host, patient.compiled);
    let has = |vip: IpAddr| patient.observed.state.objects.keys().filter_map(Key::address).any(|key| key.address == vip);
    let gateway = |family: Family| {
        let all = patient.host.interfaces.values().flat_map(|interface| &interface.gateways);
        all.map(|gateway| gateway.value).find(|gateway| Family::of(*gateway) == family)
    };
    let mut seen = BTreeSet::new();
    let mut to_directors = BTreeSet::new();
    let mut findings = Vec::new();
    for question in replies(patient.topology, patient.host) {
        // Without the VIP the kernel refuses the question; that it lacks is said otherwise.
        let Some(vip) = question.from.filter(|vip| has(*vip)) else { continue };
        let family = Family::of(vip);
        let said = match patient.evidence.way(&questions, &question) {
            Some(Err(said)) => said,
            Some(Ok(Way { via: Some(via), .. })) => {
                let director = director_with(patient, vip, *via);
                findings.extend(director.filter(|_| to_directors.insert(*via)).map(|(director, severity)| Finding {
                    severity,
                    ..Finding::wrong(
                        "replies-to-director",
                        format!("replies from {vip} go to {director}, which has it itself and drops them"),
                        format!("ip route get {} from {vip}: via {via}", question.to),
                        "give this host a gateway that is no director, or say forward \"nat\"".to_owned(),
                    )
                }));
                continue;
            }
            _ => continue,
        };
        if !seen.insert(family) {
            continue;
        }
        let what = format!("replies from {vip} reach only clients of this host's own subnets: it has no {family} default route");
        let evidence = format!("ip route get {} from {vip}: {said}", question.to);
        findings.push(match gateway(family) {
            Some(via) => Finding::wrong("no-way-to-clients", what, evidence, format!("ip route add default via {via}")),
            None => Finding::doubtful("no-way-to-clients", what, evidence, "ip route add default via ROUTER".to_owned()),
        });
    }
    findings
}

/// What comes out of a tunnel came in by an interface.
fn room(patient: &Patient<'_>, served: &[(DestinationKey, Destination)]) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for (key, server) in served {
        let Forward::Tun(encapsulation) = server.forward else { continue };
        let holds = |(_, device): &(&String, &super::Device)| device.addresses.iter().any(|one| one.addr() == key.address);
        let Some((name, device)) = patient.evidence.devices.iter().find(holds) else { continue };
        let needed = super::CLIENTS + outer_header(encapsulation, key.address);
        if device.mtu < needed && seen.insert(name) {
            findings.push(Finding::doubtful(
                "no-room",
                format!("a client's packets of {} bytes do not fit with their outer header", super::CLIENTS),
                format!("mtu of {name} is {}, and {needed} are needed", device.mtu),
                format!("ip link set {name} mtu {needed} on the whole way, or clamp the clients' MSS"),
            ));
        }
    }
    findings
}

/// The protocol of what arrives in a tunnel, and its port.
pub(super) fn outer(encapsulation: Encapsulation, inner: Family) -> (u16, Option<u16>) {
    match (encapsulation, inner) {
        (Encapsulation::Gue { port, .. }, _) => (17, Some(port)),
        (Encapsulation::Gre { .. }, _) => (47, None),
        (_, Family::Ipv6) => (41, None),
        (_, Family::Ipv4) => (4, None),
    }
}
