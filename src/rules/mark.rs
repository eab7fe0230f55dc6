//! Marks that lvsform sets: each packet gets one, and a listen by address gets what no mark takes.

use super::{Conflict, Report, View, families, place};
use crate::source::Span;
use crate::state::{Family, Protocol};
use crate::topology::{Listen, ListenOn, Match};

/// One `match` with the mark that its packets get.
struct Marked<'t> {
    mark: u32,
    only: &'t Match,
    families: Vec<Family>,
}

impl Marked<'_> {
    fn span(&self) -> Span {
        place(&self.only.vip)
    }

    /// Whether it takes all packets of a VIP, protocol and port; port 0 is every port.
    fn takes(&self, vip: &str, protocol: Protocol, port: u16, families: &[Family]) -> bool {
        let ports = &self.only.ports;
        self.only.vip.value == vip
            && self.only.protocol.value == protocol
            && (ports.is_empty() || ports.iter().any(|one| one.value == port))
            && families.iter().any(|family| self.families.contains(family))
    }
}

fn marked<'t>(view: &View<'t>) -> Vec<Marked<'t>> {
    let mut found = Vec::new();
    for (_, listen) in view.listens() {
        let ListenOn::Mark { mark, matches, .. } = &listen.what else { continue };
        for only in matches {
            found.push(Marked { mark: mark.value, only, families: of_vip(view, listen, &only.vip.value) });
        }
    }
    found
}

/// The families of one of a listen's VIPs, as far as the listen takes them.
fn of_vip(view: &View, listen: &Listen, vip: &str) -> Vec<Family> {
    let has = |family: &Family| {
        let vip = view.topology.vips.get(vip);
        vip.is_some_and(|vip| vip.addresses.iter().any(|address| Family::of(address.value) == *family))
    };
    families(view, listen).into_iter().filter(has).collect()
}

/// The kernel looks for a service of the mark first (`__ip_vs_service_find` of the mark, then of the address).
pub fn no_mark_takes_a_listens_packets(view: &View, report: &mut Report) {
    let marked = marked(view);
    if marked.is_empty() {
        return;
    }
    for (_, listen) in view.listens() {
        let ListenOn::Vip { vip, port, protocol, .. } = &listen.what else { continue };
        let families = families(view, listen);
        if let Some(by) = marked.iter().find(|by| by.takes(&vip.value, protocol.value, port.value, &families)) {
            report.add(&Conflict::MarkShadows { mark: by.mark, matched: by.span() }, listen.span);
        }
    }
}

pub fn a_packet_gets_one_mark(view: &View, report: &mut Report) {
    let marked = marked(view);
    for (at, two) in marked.iter().enumerate() {
        let meets = |one: &&Marked| {
            let (vip, protocol) = (&two.only.vip.value, two.only.protocol.value);
            let every = two.only.ports.is_empty()
                && one.takes(vip, protocol, one.only.ports.first().map_or(0, |port| port.value), &two.families);
            one.mark != two.mark
                && (every || two.only.ports.iter().any(|port| one.takes(vip, protocol, port.value, &two.families)))
        };
        if let Some(one) = marked.iter().take(at).find(meets) {
            report.add(&Conflict::MarkedTwice { one: one.mark, two: two.mark, first: one.span() }, two.span());
        }
    }
}
