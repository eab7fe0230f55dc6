//! Listens: ports, protocols, marks, and the kernel services that they become.

use std::collections::BTreeMap;

use super::{Conflict, Report, View, families, first, place};
use crate::source::Span;
use crate::state::{Family, Protocol, ServiceKey};
use crate::topology::{Forward, ListenOn};

pub fn server_port_is_nats(view: &View, report: &mut Report) {
    for (service, listen) in view.listens() {
        let ListenOn::Vip { server_port: Some(port), .. } = &listen.what else { continue };
        if service.forward.value != Forward::Nat {
            let conflict = Conflict::ServerPortKept { method: service.forward.value, forward: place(&service.forward) };
            report.add(&conflict, place(port));
        }
    }
}

pub fn every_port_needs_persistence(view: &View, report: &mut Report) {
    for (service, listen) in view.listens() {
        let ListenOn::Vip { port, server_port, .. } = &listen.what else { continue };
        if port.value != 0 {
            continue;
        }
        if service.persistence.is_none() {
            report.add(&Conflict::EveryPort { service: &service.name.value }, place(port));
        }
        if let Some(server_port) = server_port {
            report.add(&Conflict::EveryPortToOne { port: place(port) }, place(server_port));
        }
    }
}

pub fn one_packet_is_udps(view: &View, report: &mut Report) {
    for (_, listen) in view.listens() {
        let ListenOn::Vip { protocol, one_packet, .. } = &listen.what else { continue };
        if one_packet.value && protocol.value != Protocol::Udp {
            let conflict = Conflict::OnePacket { protocol: protocol.value, said: protocol.origin.span() };
            report.add(&conflict, place(one_packet));
        }
    }
}

pub fn the_vip_has_the_family(view: &View, report: &mut Report) {
    for (_, listen) in view.listens() {
        let Some(family) = &listen.family else { continue };
        let vips = view.vips(listen);
        if let (Some((vip, span)), true) = (vips.first(), families(view, listen).is_empty()) {
            let conflict = Conflict::NoSuchFamily { vip: &vip.name.value, family: family.value, named: *span };
            report.add(&conflict, place(family));
        }
    }
}

/// Packets carry one mark, and a mark leads to one service.
pub fn a_mark_belongs_to_one_service(view: &View, report: &mut Report) {
    let mut seen: BTreeMap<u32, (&str, Span)> = BTreeMap::new();
    for (service, listen) in view.listens() {
        let ListenOn::Mark { mark, .. } = &listen.what else { continue };
        let (other, first) = *seen.entry(mark.value).or_insert((&service.name.value, place(mark)));
        if other != service.name.value {
            report.add(&Conflict::MarkOfTwo { mark: mark.value, other, first }, place(mark));
        }
    }
}

/// Two listens that compile to one service of a director's kernel.
pub fn a_kernel_service_is_listened_once(view: &View, report: &mut Report) {
    let mut tuples: BTreeMap<(ServiceKey, &str), (&str, Span)> = BTreeMap::new();
    let mut marks: BTreeMap<(u32, Family), Span> = BTreeMap::new();
    for (service, listen) in view.listens() {
        let (port, protocol) = match &listen.what {
            ListenOn::Vip { port, protocol, .. } => (port, protocol),
            ListenOn::Mark { mark, .. } => {
                for family in families(view, listen) {
                    // In two services it is a mark of two, which is said already.
                    let clash = first(&mut marks, (mark.value, family), place(mark));
                    let own = |span: &Span| service.listens.iter().any(|other| mark_of(&other.what) == Some(*span));
                    if let Some(first) = clash.filter(own) {
                        let key = ServiceKey::Mark { family, mark: mark.value };
                        report.add(&Conflict::ListenedTwice { key, other: &service.name.value, first }, place(mark));
                        break;
                    }
                }
                continue;
            }
        };
        let vips = view.vips(listen);
        let addresses = vips.iter().flat_map(|(vip, _)| vip.addresses.iter().map(move |address| (vip, address.value)));
        'listen: for (vip, address) in addresses {
            if listen.family.as_ref().is_some_and(|only| only.value != Family::of(address)) {
                continue;
            }
            let key = ServiceKey::Tuple { protocol: protocol.value, address, port: port.value };
            for host in view.carriers(vip) {
                let here = (service.name.value.as_str(), place(port));
                let (other, first) = *tuples.entry((key, &host.name.value)).or_insert(here);
                if (other, first) != here {
                    report.add(&Conflict::ListenedTwice { key, other, first }, place(port));
                    break 'listen;
                }
            }
        }
    }
}

fn mark_of(what: &ListenOn) -> Option<Span> {
    match what {
        ListenOn::Mark { mark, .. } => Some(place(mark)),
        ListenOn::Vip { .. } => None,
    }
}
