//! A real server: is it silent about its VIPs, does it take what comes out of tunnels, do replies find the director?

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Finding, Patient, Question, Way, by_default_route, outsider, questions};
use crate::state::{Family, Key};
use crate::topology::{Forward, Host, Role, Topology};

pub(super) fn findings(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if patient.host.role == Role::RealServer {
        findings.extend(silence(patient));
    }
    findings.extend(reverse_paths(patient));
    findings.extend(ways_back(patient));
    findings.extend(default_route(patient));
    findings
}

/// The VIPs that this host has as a real server.
fn vips(patient: &Patient<'_>) -> BTreeSet<IpAddr> {
    let objects = patient.compiled.state.objects.keys();
    objects.filter_map(Key::address).filter(|key| key.prefix == Family::of(key.address).bits()).map(|key| key.address).collect()
}

/// A VIP that a real server answers for draws packets past the director.
fn silence(patient: &Patient<'_>) -> Vec<Finding> {
    let vips = vips(patient);
    let mut findings = Vec::new();
    for key in patient.observed.state.objects.keys().filter_map(Key::address).filter(|key| vips.contains(&key.address)) {
        let speaks = patient.evidence.devices.get(&key.interface).is_some_and(|device| device.speaks_arp);
        if speaks {
            findings.push(Finding::wrong(
                "vip-answers",
                format!("{} is on {}, where this real server answers for it", key.address, key.interface),
                format!("ip address show {}", key.interface),
                format!("ip address del {}/{} dev {}", key.address, key.prefix, key.interface),
            ));
        }
    }
    if !vips.iter().any(IpAddr::is_ipv4) {
        return findings;
    }
    for (name, _) in patient.evidence.devices.iter().filter(|(_, device)| device.speaks_arp) {
        for (sysctl, least, does) in [("arp_ignore", 1, "answers for"), ("arp_announce", 2, "speaks of")] {
            if let Some(value) = patient.evidence.larger(name, sysctl).filter(|value| *value < least) {
                findings.push(Finding::wrong(
                    sysctl_id(sysctl),
                    format!("{name} {does} the VIPs, which are the director's to answer for"),
                    format!("the larger of net.ipv4.conf.{{all,{name}}}.{sysctl} is {value}"),
                    format!("sysctl -w net.ipv4.conf.all.{sysctl}={least}"),
                ));
            }
        }
    }
    findings
}

fn sysctl_id(sysctl: &str) -> &'static str {
    if sysctl == "arp_ignore" { "arp-ignore" } else { "arp-announce" }
}

/// With 1 a packet is dropped whose source no route leads to by the device that it came by.
fn reverse_paths(patient: &Patient<'_>) -> Vec<Finding> {
    let objects = &patient.compiled.state.objects;
    // Where it decides, it is in the state.
    let needed = objects.keys().filter_map(|key| match key {
        Key::Sysctl(sysctl) if sysctl.path().starts_with("net/ipv4/conf/") && sysctl.path().ends_with("/rp_filter") => {
            sysctl.device()
        }
        _ => None,
    });
    needed
        .filter(|device| patient.evidence.larger(device, "rp_filter") == Some(1))
        .map(|device| {
            Finding::wrong(
                "reverse-path",
                format!("{device} drops what comes from clients: by its routes they are elsewhere"),
                format!(
                    "the larger of net.ipv4.conf.{{all,{device}}}.rp_filter is 1; `nstat -az TcpExtIPReversePathFilter` counts"
                ),
                format!("sysctl -w net.ipv4.conf.{device}.rp_filter=2"),
            )
        })
        .collect()
}

/// `return-path "policy"`: each rule leads to a route that leads to the director.
fn ways_back(patient: &Patient<'_>) -> Vec<Finding> {
    let questions = questions(patient.topology, patient.host, patient.compiled);
    let mut findings = Vec::new();
    for key in patient.compiled.state.objects.keys() {
        let Key::Rule(rule) = key else { continue };
        if rule.mark.is_some() {
            continue;
        }
        let director = patient.compiled.state.objects.keys().find_map(|key| match key {
            Key::Route(route) if route.table == rule.table && route.family() == rule.family => route.via,
            _ => None,
        });
        let leaving = rule.protocol.map(|protocol| (protocol, rule.source_port.unwrap_or(0)));
        let question = Question { to: outsider(rule.family), from: rule.from, leaving };
        let Some(answer) = patient.evidence.way(&questions, &question) else { continue };
        let is_right = matches!(answer, Ok(Way { via, .. }) if *via == director);
        if let (false, Some(director)) = (is_right, director) {
            let seen = match answer {
                Ok(Way { device, via: Some(via) }) => format!("they leave via {via} dev {device}"),
                Ok(Way { device, via: None }) => format!("they leave by {device}, past every router"),
                Err(said) => format!("ip route get: {said}"),
            };
            findings.push(Finding::wrong(
                "way-back",
                format!("replies ({}) do not go to the director {director}: clients drop them", Key::Rule(*rule)),
                seen,
                "lvsform apply; where a rule of others comes first, `ip rule` shows it".to_owned(),
            ));
        }
    }
    findings
}

/// Whether some service has this host as a nat server whose default route leads back.
pub(super) fn needs_default_route(topology: &Topology, host: &Host) -> bool {
    topology.services.values().any(|service| {
        let pools = service.pools.iter().filter_map(|pool| topology.pools.get(&pool.value));
        let servers = pools.flat_map(|pool| &pool.servers).chain(&service.servers);
        let is_own = |server: &crate::topology::Server| server.host.as_ref().is_some_and(|name| name.value == host.name.value);
        by_default_route(service.return_path.mode.value)
            && servers
                .into_iter()
                .any(|server| is_own(server) && server.forward.as_ref().unwrap_or(&service.forward).value == Forward::Nat)
    })
}

fn default_route(patient: &Patient<'_>) -> Vec<Finding> {
    if patient.host.role == Role::Director || !needs_default_route(patient.topology, patient.host) {
        return Vec::new();
    }
    let directors = patient.topology.hosts.values().filter(|host| host.role == Role::Director);
    let own = directors.flat_map(|host| host.interfaces.values()).flat_map(|interface| &interface.addresses);
    let floating = patient.topology.vips.values().flat_map(|vip| &vip.addresses).map(|address| address.value);
    let known: BTreeSet<IpAddr> = own.map(|network| network.value.addr()).chain(floating).collect();
    let questions = questions(patient.topology, patient.host, patient.compiled);
    let mut findings = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let has_family = patient.host.interfaces.values().flat_map(|interface| &interface.addresses);
        if !has_family.into_iter().any(|network| Family::of(network.value.addr()) == family) {
            continue;
        }
        let question = Question { to: outsider(family), from: None, leaving: None };
        let answer = patient.evidence.way(&questions, &question);
        let via = match answer {
            Some(Ok(Way { via, .. })) => *via,
            _ => None,
        };
        if answer.is_some() && !via.is_some_and(|via| known.contains(&via)) {
            let director = known.iter().find(|address| Family::of(**address) == family);
            let Some(director) = director else { continue };
            findings.push(Finding::wrong(
                "default-route",
                format!("the {family} default route leads to no director: clients drop the replies"),
                via.map_or("there is none".to_owned(), |via| format!("it leads to {via}")),
                format!("ip route replace default via {director}, or return-path \"policy\""),
            ));
        }
    }
    findings
}
