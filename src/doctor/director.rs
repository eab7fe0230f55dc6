//! A director: does it forward, does it reach its servers, do packets fit, are connections spread as the weights promise?

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{CLIENTS, Finding, Patient, Question, Way, outer_header, questions};
use crate::state::{Connections, Destination, DestinationKey, Family, Forward, Key, Resource, ServiceKey};

pub(super) fn findings(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let servers = servers(patient);
    findings.extend(forwarding(patient, &servers));
    findings.extend(reached(patient, &servers));
    findings.extend(vips_answer(patient));
    findings.extend(tracked(patient));
    findings.extend(spread(patient));
    findings.extend(held_by_persistence(patient));
    findings
}

type Servers<'a> = Vec<(DestinationKey, &'a Destination)>;

fn servers<'a>(patient: &Patient<'a>) -> Servers<'a> {
    let objects = patient.compiled.state.objects.iter();
    objects
        .filter_map(|(key, resource)| match (key, resource) {
            (Key::Destination(key), Resource::Destination(server)) => Some((*key, server)),
            _ => None,
        })
        .collect()
}

/// nat: `ip_forward` is of all devices, and each has its own, which somebody may have turned off again.
fn forwarding(patient: &Patient<'_>, servers: &Servers<'_>) -> Vec<Finding> {
    let families: BTreeSet<Family> =
        servers.iter().filter(|(_, server)| server.forward == Forward::Nat).map(|(key, _)| Family::of(key.address)).collect();
    let mut findings = Vec::new();
    for family in families {
        let folder = if family == Family::Ipv4 { "ipv4" } else { "ipv6" };
        for interface in patient.host.interfaces.keys() {
            let path = format!("{folder}/conf/{interface}/forwarding");
            if patient.evidence.number(&path) == Some(0) {
                findings.push(Finding::wrong(
                    "forwarding-off",
                    format!("{interface} does not forward {family}: packets of nat that come by it are dropped"),
                    format!("net/{path} = 0"),
                    format!("sysctl -w net.{folder}.conf.{interface}.forwarding=1"),
                ));
            }
        }
    }
    findings
}

fn reached(patient: &Patient<'_>, servers: &Servers<'_>) -> Vec<Finding> {
    let questions = questions(patient.topology, patient.host, patient.compiled);
    let mut seen: BTreeSet<(IpAddr, &str)> = BTreeSet::new();
    // By device and its MTU: the bytes that are needed, and for which servers.
    let mut narrow: BTreeMap<(&str, u32), (u32, BTreeSet<IpAddr>)> = BTreeMap::new();
    let mut findings = Vec::new();
    for (key, server) in servers {
        let method = match server.forward {
            Forward::Dr => "dr",
            Forward::Tun(_) => "tun",
            _ => "nat",
        };
        if !seen.insert((key.address, method)) {
            continue;
        }
        let question = Question { to: key.address, from: None, leaving: None };
        let answer = patient.evidence.way(&questions, &question);
        let next = match answer {
            Some(Ok(Way { via, .. })) => via.unwrap_or(key.address),
            _ => key.address,
        };
        if let Some(device) = patient.evidence.silent_neighbours.get(&next) {
            let who = if next == key.address { String::new() } else { format!(", the router before {}", key.address) };
            findings.push(Finding::wrong(
                "neighbour-silent",
                format!("{next}{who} does not answer on {device}: what is sent there is lost"),
                format!("ip neigh show {next}: FAILED"),
                "look whether the host is up, and has this address; until then `weight=0`, or `quiesce` in its block".to_owned(),
            ));
        }
        match (answer, server.forward) {
            (Some(Err(said)), _) => findings.push(Finding::wrong(
                "no-route",
                format!("no route leads to the server {}", key.address),
                format!("ip route get {}: {said}", key.address),
                format!("ip route add {}/{} via ROUTER", key.address, Family::of(key.address).bits()),
            )),
            (Some(Ok(Way { device, via: Some(via) })), Forward::Dr) => findings.push(Finding::wrong(
                "beyond-router",
                format!("the server {} is behind the router {via}, which sends the VIP's packets back", key.address),
                format!("ip route get {}: via {via} dev {device}", key.address),
                "forward \"tun\", or an interface in the server's own subnet".to_owned(),
            )),
            (Some(Ok(way)), Forward::Tun(encapsulation)) => {
                let needed = CLIENTS + outer_header(encapsulation, key.address);
                if let Some(device) = patient.evidence.devices.get(&way.device).filter(|device| device.mtu < needed) {
                    let of = narrow.entry((&way.device, device.mtu)).or_insert((0, BTreeSet::new()));
                    of.0 = of.0.max(needed);
                    of.1.insert(key.address);
                }
            }
            _ => {}
        }
    }
    findings.extend(narrow.into_iter().map(|((device, mtu), (needed, servers))| no_room(device, mtu, needed, &servers)));
    findings
}

/// A device by which packets to these servers leave, and which has less room than they need.
fn no_room(device: &str, mtu: u32, needed: u32, servers: &BTreeSet<IpAddr>) -> Finding {
    let first = servers.first().map(ToString::to_string).unwrap_or_default();
    let more = if servers.len() > 1 { format!(" and {} more", servers.len() - 1) } else { String::new() };
    Finding::doubtful(
        "no-room",
        format!("a client's packets of {CLIENTS} bytes do not fit with their outer header towards {first}{more}"),
        format!("mtu of {device} is {mtu}, and {needed} are needed"),
        format!("ip link set {device} mtu {needed} on the whole way, or clamp the clients' MSS"),
    )
}

/// A VIP answers by a device that works and speaks. Devices of the file that are down are said already.
fn vips_answer(patient: &Patient<'_>) -> Vec<Finding> {
    let objects = patient.compiled.state.objects.keys();
    let vips = objects.filter_map(Key::address).filter(|key| key.prefix == Family::of(key.address).bits());
    vips.filter_map(|key| {
        let (address, name) = (key.address, key.interface.as_str());
        let device = patient.evidence.devices.get(name)?;
        let is_of_file = patient.host.interfaces.contains_key(name);
        if !device.works && !is_of_file {
            return Some(Finding::wrong(
                "vip-down",
                format!("{address} is on {name}, which is down: nobody hears of it"),
                format!("ip link show {name}"),
                format!("ip link set {name} up"),
            ));
        }
        if is_of_file && device.works && !device.speaks_arp && name != "lo" {
            return Some(Finding::wrong(
                "vip-silent",
                format!("{address} is on {name}, which does not speak ARP: clients and routers do not find it"),
                format!("ip link show {name}: NOARP, or no Ethernet"),
                format!("ip link set {name} arp on"),
            ));
        }
        let mute = address.is_ipv4() && patient.evidence.larger(name, "arp_ignore") == Some(8);
        mute.then(|| {
            Finding::wrong(
                "vip-silent",
                format!("{address} is on {name}, which answers no ARP request: clients and routers do not find it"),
                format!("the larger of net.ipv4.conf.{{all,{name}}}.arp_ignore is 8"),
                format!("sysctl -w net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.{name}.arp_ignore=0"),
            )
        })
    })
    .collect()
}

/// Connection tracking that forgets a connection before IPVS does: its next packet is none of a connection that it knows.
fn tracked(patient: &Patient<'_>) -> Option<Finding> {
    let Some(Resource::Timeouts(timeouts)) = patient.observed.state.objects.get(&Key::Timeouts) else { return None };
    let ipvs = u64::from(timeouts.tcp?);
    let tracking = patient.evidence.number("netfilter/nf_conntrack_tcp_timeout_established")?;
    (patient.evidence.number("ipv4/vs/conntrack") == Some(1) && tracking < ipvs).then(|| {
        Finding::doubtful(
            "tracking-forgets",
            "connection tracking forgets idle connections before IPVS does: they hang".to_owned(),
            format!("net.netfilter.nf_conntrack_tcp_timeout_established {tracking} s, the timeout of IPVS for tcp {ipvs} s"),
            format!("sysctl \"net.netfilter.nf_conntrack_tcp_timeout_established\" {ipvs} in `tuning \"director\"`"),
        )
    })
}

/// A drained server to which persistence still brings new connections: the scheduler is not asked for them. That a template's
/// timeout is shorter than that of tcp does no harm: it stays as long as connections hang on it (`ip_vs_conn_expire`).
fn held_by_persistence(patient: &Patient<'_>) -> Option<Finding> {
    let path = "ipv4/vs/expire_quiescent_template";
    if patient.evidence.number(path) != Some(0) {
        return None;
    }
    let held = patient.observed.state.objects.iter().filter_map(|(key, resource)| {
        let (Key::Destination(server), Resource::Destination(value)) = (key, resource) else { return None };
        let persistent = patient.observed.traffic.get(key)?.persistent;
        (value.weight.value() == 0 && persistent > 0).then(|| format!("{persistent} of {} at {}", server.service, server.id()))
    });
    let held: Vec<String> = held.collect();
    (!held.is_empty()).then(|| {
        Finding::doubtful(
            "persistence-holds",
            "persistent clients go on opening connections to servers at weight 0, and renew their stay with each".to_owned(),
            format!("net/{path} = 0; persistent clients: {}", held.join(", ")),
            "sysctl \"net.ipv4.vs.expire_quiescent_template\" 1 in `tuning \"director\"`".to_owned(),
        )
    })
}

/// Fewer connections than this say nothing of shares.
const ENOUGH: u64 = 100;

/// Schedulers that spread by weight and by nothing else. Without weights rr and lc count each server as one.
const BY_WEIGHT: [&str; 7] = ["rr", "wrr", "lc", "wlc", "sed", "nq", "twos"];

fn spread(patient: &Patient<'_>) -> Vec<Finding> {
    let mut services: BTreeMap<ServiceKey, Vec<(DestinationKey, u64, u64)>> = BTreeMap::new();
    for (key, resource) in &patient.observed.state.objects {
        let (Key::Destination(server), Resource::Destination(value)) = (key, resource) else { continue };
        let Connections { active, inactive, .. } = patient.observed.traffic.get(key).copied().unwrap_or_default();
        // What a drained server still holds is none of the scheduler's choices.
        let count = if value.weight.value() == 0 { 0 } else { u64::from(active) + u64::from(inactive) };
        services.entry(server.service).or_default().push((*server, u64::from(value.weight.value()), count));
    }
    let mut findings = Vec::new();
    for (key, servers) in services {
        let Some(Resource::Service(service)) = patient.observed.state.objects.get(&Key::Service(key)) else { continue };
        let unweighted = matches!(service.scheduler.as_str(), "rr" | "lc");
        let weight = |weight: u64| if unweighted { u64::from(weight > 0) } else { weight };
        let all: u64 = servers.iter().map(|(_, _, count)| count).sum();
        let weights: u64 = servers.iter().map(|(_, own, _)| weight(*own)).sum();
        let by_weight = BY_WEIGHT.contains(&service.scheduler.as_str()) && service.persistence.is_none();
        if !by_weight || all < ENOUGH || weights == 0 {
            continue;
        }
        for (server, own, count) in servers {
            let (share, promised) = (100 * count / all, 100 * weight(own) / weights);
            if promised > 0 && (share * 2 < promised || share > promised * 2) && share.abs_diff(promised) >= 10 {
                findings.push(Finding::doubtful(
                    "uneven",
                    format!("{} of {key} has {share}% of the connections, and its weight promises {promised}%", server.id()),
                    format!("{count} of {all} connections by {}", service.scheduler),
                    "see whether the server answers: connections that fail end sooner, or stay for ever; `ipvsadm -Lnc`"
                        .to_owned(),
                ));
            }
        }
    }
    findings
}
