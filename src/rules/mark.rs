//! Marks that lvsform sets: each packet gets one, and a listen by address gets what no mark takes.

use std::collections::HashMap;

use super::{Conflict, Report, View, families, place};
use crate::source::Span;
use crate::state::{Family, Protocol};
use crate::topology::{Listen, ListenOn};

/// Packets to a VIP of one family and protocol; to one port, or to every.
type Packets<'t> = (&'t str, Family, Protocol, Option<u16>);

/// Who takes which packets: for each kind of them the first two that set different marks.
#[derive(Default)]
struct Taken<'t> {
    /// What a `match` names: a port, or all of them.
    named: HashMap<Packets<'t>, Vec<(u32, Span)>>,
    /// The same without the port: whoever takes at least one.
    some: HashMap<Packets<'t>, Vec<(u32, Span)>>,
}

impl<'t> Taken<'t> {
    fn add(&mut self, packets: Packets<'t>, by: (u32, Span)) {
        let (vip, family, protocol, _) = packets;
        for list in [self.named.entry(packets).or_default(), self.some.entry((vip, family, protocol, None)).or_default()] {
            if list.len() < 2 && list.iter().all(|(mark, _)| *mark != by.0) {
                list.push(by);
            }
        }
    }

    /// Who takes all of these packets.
    fn all(&self, (vip, family, protocol, port): Packets<'t>) -> impl Iterator<Item = (u32, Span)> {
        let one = self.named.get(&(vip, family, protocol, port)).filter(|_| port.is_some());
        let every = self.named.get(&(vip, family, protocol, None));
        one.into_iter().chain(every).flatten().copied()
    }

    /// Who takes any of them.
    fn any(&self, packets: Packets<'t>) -> impl Iterator<Item = (u32, Span)> {
        let (vip, family, protocol, port) = packets;
        let some = self.some.get(&(vip, family, protocol, None)).filter(|_| port.is_none());
        self.all(packets).chain(some.into_iter().flatten().copied())
    }
}

/// Each kind of packets that a mark is set on.
fn marked<'t>(view: &View<'t>) -> impl Iterator<Item = (Packets<'t>, (u32, Span))> {
    let mut found = Vec::new();
    for (_, listen) in view.listens() {
        let ListenOn::Mark { mark, matches, .. } = &listen.what else { continue };
        for one in matches {
            let (vip, protocol, by) = (one.vip.value.as_str(), one.protocol.value, (mark.value, place(&one.vip)));
            for family in of_vip(view, listen, vip) {
                let every = one.ports.is_empty().then_some(None);
                let ports = one.ports.iter().map(|port| Some(port.value));
                found.extend(ports.chain(every).map(|port| ((vip, family, protocol, port), by)));
            }
        }
    }
    found.into_iter()
}

/// The families of one of a listen's VIPs, as far as the listen takes them.
fn of_vip(view: &View, listen: &Listen, vip: &str) -> Vec<Family> {
    let has = |family: &Family| {
        let vip = view.topology.vips.get(vip);
        vip.is_some_and(|vip| vip.addresses.iter().any(|address| Family::of(address.value) == *family))
    };
    families(view, listen).into_iter().filter(has).collect()
}

/// The kernel looks for a service of the mark first, then for one of the address (`ip_vs_service_find`).
pub fn no_mark_takes_a_listens_packets(view: &View, report: &mut Report) {
    let mut taken = Taken::default();
    marked(view).for_each(|(packets, by)| taken.add(packets, by));
    if taken.named.is_empty() {
        return;
    }
    for (_, listen) in view.listens() {
        let ListenOn::Vip { vip, port, protocol, .. } = &listen.what else { continue };
        let port = (port.value != 0).then_some(port.value);
        let by = families(view, listen)
            .into_iter()
            .find_map(|family| taken.all((vip.value.as_str(), family, protocol.value, port)).next());
        if let Some((mark, matched)) = by {
            report.add(&Conflict::MarkShadows { mark, matched }, listen.span);
        }
    }
}

pub fn a_packet_gets_one_mark(view: &View, report: &mut Report) {
    let mut taken = Taken::default();
    let mut last = None;
    for (packets, (mark, span)) in marked(view) {
        let other = taken.any(packets).find(|(other, _)| *other != mark);
        if let Some((one, first)) = other.filter(|_| last != Some(span)) {
            report.add(&Conflict::MarkedTwice { one, two: mark, first }, span);
            last = Some(span);
        }
        taken.add(packets, (mark, span));
    }
}
