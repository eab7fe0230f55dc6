//! Hosts: what directors alone have, and what their two roles ask of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Conflict, Doubt, Report, View, place};
use crate::source::At;
use crate::source::problem::nearest;
use crate::topology::{Host, Role, Sysctl};

pub fn masquerade_is_a_directors(view: &View, report: &mut Report) {
    let mut last = None;
    for host in view.topology.hosts.values().filter(|host| host.role == Role::RealServer) {
        if let Some(masquerade) = host.masquerades.first().filter(|first| last != Some(first.span)) {
            report.add(&Conflict::MasqueradeOfServer { host: &host.name.value }, masquerade.span);
            last = Some(masquerade.span);
        }
    }
}

/// A director that is also a server has both tunings; where they differ the host must say which value holds.
pub fn tunings_of_one_host_agree(view: &View, report: &mut Report) {
    let by_key = |sysctls: &'_ [Sysctl]| sysctls.iter().map(|s| (s.key.value.clone(), s.clone())).collect::<BTreeMap<_, _>>();
    let servers = by_key(&view.topology.tuning_real_server);
    let differ: Vec<(&Sysctl, &Sysctl)> = view
        .topology
        .tuning_director
        .iter()
        .filter_map(|one| servers.get(&one.key.value).map(|two| (one, two)))
        .filter(|(one, two)| one.value.value != two.value.value)
        .collect();
    if differ.is_empty() {
        return;
    }
    let serving: BTreeSet<&str> =
        view.all_servers().filter_map(|server| server.host.as_ref()).map(|name| name.value.as_str()).collect();
    for host in view.directors.iter().filter(|host| serving.contains(host.name.value.as_str())) {
        for (director, server) in &differ {
            if host.sysctls.iter().all(|own| own.key.value != director.key.value) {
                let conflict = Conflict::TuningsDiffer {
                    host: &host.name.value,
                    key: director.key.value.to_string(),
                    director: &director.value.value,
                    server: &server.value.value,
                    first: place(&director.value),
                };
                report.add(&conflict, place(&server.value));
            }
        }
    }
}

/// A device that is named, on a host that says which devices it has, and not this one: the kernel would say ENODEV.
pub fn named_interfaces_are_known(view: &View, report: &mut Report) {
    let mut said = BTreeSet::new();
    let mut check = |host: &Host, name: &At<String>| {
        let known = || host.interfaces.keys().map(String::as_str).chain(host.tunnels.iter().map(|t| t.name.value.as_str()));
        if host.interfaces.is_empty() || name.value == "lo" || known().any(|known| known == name.value) {
            return;
        }
        if said.insert(place(name)) {
            let conflict =
                Conflict::UnknownInterface { host: &host.name.value, name: &name.value, nearest: nearest(&name.value, known()) };
            report.add(&conflict, place(name));
        }
    };
    for vip in view.topology.vips.values() {
        for (host, name) in view.carriers(vip).iter().flat_map(|host| vip.interface.iter().map(move |name| (host, name))) {
            check(host, name);
        }
    }
    for sync in &view.topology.syncs {
        let everybody = sync.masters.is_empty() && sync.backups.is_empty();
        let named = |host: &&&Host| sync.masters.iter().chain(&sync.backups).any(|name| name.value == host.name.value);
        view.directors.iter().filter(|host| everybody || named(host)).for_each(|host| check(host, &sync.interface));
    }
    for host in view.topology.hosts.values() {
        host.masquerades.iter().for_each(|masquerade| check(host, &masquerade.interface));
        host.tunnels.iter().filter_map(|tunnel| tunnel.device.as_ref()).for_each(|device| check(host, device));
    }
}

/// A router is a neighbour. An interface that has whole addresses alone (`/32`) says nothing of its neighbours, and link-local
/// routers are on every wire.
pub fn gateways_are_on_the_wire(view: &View, report: &mut Report) {
    let mut said = BTreeSet::new();
    for host in view.topology.hosts.values() {
        for interface in host.interfaces.values() {
            for gateway in &interface.gateways {
                let of_family = |network: &&At<IpNet>| network.value.addr().is_ipv4() == gateway.value.is_ipv4();
                let subnets = || {
                    let all = interface.addresses.iter().filter(of_family).map(|network| network.value);
                    all.filter(|network| network.prefix_len() < network.max_prefix_len())
                };
                let link_local = matches!(gateway.value, IpAddr::V6(address) if address.is_unicast_link_local());
                let outside = subnets().next().is_some() && !subnets().any(|network| network.contains(&gateway.value));
                if outside && !link_local && said.insert(place(gateway)) {
                    let (host, interface, gateway_address) = (&host.name.value, &interface.name.value, gateway.value);
                    let doubt = Doubt::GatewayOutside { host, interface, gateway: gateway_address };
                    report.doubt(&doubt, place(gateway));
                }
            }
        }
    }
}
