//! VIPs: who carries them and who answers for them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Conflict, Doubt, Report, View, in_a_subnet, place};
use crate::source::Span;
use crate::topology::Vip;

pub fn somebody_carries_it(view: &View, report: &mut Report) {
    if !view.directors.is_empty() {
        return;
    }
    // A director that is misspelled is said once, by its name.
    for vip in view.topology.vips.values().filter(|vip| vip.directors.is_empty()) {
        report.add(&Conflict::NoDirector { vip: &vip.name.value }, place(&vip.name));
    }
}

pub fn holder_carries_it(view: &View, report: &mut Report) {
    for vip in view.topology.vips.values() {
        let Some(holder) = &vip.holder else { continue };
        let known = view.directors.iter().any(|host| host.name.value == holder.value);
        if known && view.carriers(vip).iter().all(|host| host.name.value != holder.value) {
            let directors = vip.directors.iter().map(|name| name.value.as_str()).collect();
            let listed = vip.directors.first().map(place);
            report.add(&Conflict::HolderElsewhere { holder: &holder.value, directors, listed }, place(holder));
        }
    }
}

/// Two hosts with one address in one subnet: IPv4 goes to one of them at random, IPv6 fails its duplicate address detection.
pub fn one_host_answers_for_it(view: &View, report: &mut Report) {
    for vip in view.topology.vips.values() {
        let carriers = view.carriers(vip);
        if carriers.len() < 2 || vip.holder.is_some() || !vip.managed.value {
            continue;
        }
        let count = carriers.len();
        if let Some(interface) = vip.interface.as_ref().filter(|interface| interface.value != "lo") {
            report.add(&Conflict::NoHolderOn { vip: &vip.name.value, count, interface: &interface.value }, place(interface));
            continue;
        }
        let local = vip.addresses.iter().find(|address| carriers.iter().any(|host| in_a_subnet(host, address.value)));
        if let (Some(address), None) = (local, &vip.interface) {
            report.add(&Conflict::NoHolder { vip: &vip.name.value, count, address: address.value }, place(address));
        }
    }
}

/// What the file says of a host that does not carry the VIP. On `lo` nobody is asked for it.
pub fn no_other_host_has_it(view: &View, report: &mut Report) {
    let own: BTreeMap<IpAddr, (&str, Span)> = view
        .topology
        .hosts
        .values()
        .flat_map(|host| {
            let interfaces = host.interfaces.iter().filter(|(name, _)| *name != "lo");
            let addresses = interfaces.flat_map(|(_, interface)| &interface.addresses);
            addresses.map(|network| (network.value.addr(), (host.name.value.as_str(), place(network))))
        })
        .collect();
    for vip in view.topology.vips.values() {
        for address in &vip.addresses {
            let Some((host, own)) = own.get(&address.value) else { continue };
            if view.carriers(vip).iter().all(|carrier| carrier.name.value != *host) {
                report.doubt(&Doubt::VipOfAnotherHost { address: address.value, host, own: *own }, place(address));
            }
        }
    }
}

/// One address is placed once on a host. Two VIPs may share one where no director carries both.
pub fn an_address_is_one_vips(view: &View, report: &mut Report) {
    let mut seen: BTreeMap<IpAddr, Vec<(&Vip, Span)>> = BTreeMap::new();
    for vip in view.topology.vips.values() {
        for address in &vip.addresses {
            let others = seen.entry(address.value).or_default();
            let span = place(address);
            let clash = others.iter().find(|(other, _)| {
                other.name.value == vip.name.value
                    || view
                        .carriers(other)
                        .iter()
                        .any(|host| view.carriers(vip).iter().any(|own| own.name.value == host.name.value))
            });
            match clash {
                Some((other, first)) => {
                    let conflict = Conflict::AddressOfTwoVips {
                        address: address.value,
                        one: &other.name.value,
                        two: &vip.name.value,
                        first: *first,
                    };
                    report.add(&conflict, span);
                }
                None => others.push((vip, span)),
            }
        }
    }
}

/// A VIP with one place is usually in a subnet of it. One that several directors have at once is routed, and meant so.
pub fn somebody_on_the_wire_has_it(view: &View, report: &mut Report) {
    for vip in view.topology.vips.values().filter(|vip| vip.managed.value && vip.interface.is_none()) {
        let carriers = view.carriers(vip);
        let host = match &vip.holder {
            Some(holder) => carriers.iter().find(|host| host.name.value == holder.value),
            None => carriers.first().filter(|_| carriers.len() == 1),
        };
        let Some(host) = host else { continue };
        let outside = |address: IpAddr| {
            let mut networks = host.interfaces.values().flat_map(|interface| &interface.addresses);
            networks.any(|network| network.value.addr().is_ipv4() == address.is_ipv4()) && !in_a_subnet(host, address)
        };
        // One range, one doubt.
        let mut last = None;
        for address in vip.addresses.iter().filter(|address| outside(address.value)) {
            if last.replace(place(address)) != Some(place(address)) {
                report.doubt(&Doubt::VipOutside { address: address.value, host: &host.name.value }, place(address));
            }
        }
    }
}
