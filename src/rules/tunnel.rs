//! Tunnels: what each kind has, and what makes two of them one in the kernel.

use std::collections::{BTreeMap, BTreeSet};

use super::{Conflict, Report, View, first, place};
use crate::source::Span;
use crate::state::{Family, TunnelKind};
use crate::topology::TunnelDevice;

/// Every tunnel, those of a range of hosts once.
fn tunnels<'t>(view: &View<'t>) -> impl Iterator<Item = &'t TunnelDevice> {
    let mut seen = BTreeSet::new();
    let all = view.topology.hosts.values().flat_map(|host| &host.tunnels);
    all.filter(move |tunnel| seen.insert(place(&tunnel.name)))
}

pub fn fields_fit_the_kind(view: &View, report: &mut Report) {
    for tunnel in tunnels(view) {
        let kind = tunnel.kind.value;
        let gre = matches!(kind, TunnelKind::Gre | TunnelKind::Ip6gre);
        let given: [(&'static str, Option<Span>, bool, &'static str); 3] = [
            ("mode", tunnel.mode.as_ref().map(place), kind == TunnelKind::Ip6tnl, "\"ip6tnl\""),
            ("key", tunnel.key.as_ref().map(place), gre, "\"gre\" and \"ip6gre\""),
            ("checksum", tunnel.checksum.origin.span(), gre, "\"gre\" and \"ip6gre\""),
        ];
        for (word, span, fits, kinds) in given {
            if let (Some(span), false) = (span, fits) {
                report.add(&Conflict::TunnelField { word, kind, kinds, said: place(&tunnel.kind) }, span);
            }
        }
    }
}

/// The outer addresses are of the kind's family. Without either the device is the module's own fallback device: EEXIST.
pub fn ends_fit_the_kind(view: &View, report: &mut Report) {
    for tunnel in tunnels(view) {
        let kind = tunnel.kind.value;
        let family = if kind.outer_is_ipv6() { Family::Ipv6 } else { Family::Ipv4 };
        for (word, end) in [("local", &tunnel.local), ("remote", &tunnel.remote)] {
            if let Some(end) = end.as_ref().filter(|end| Family::of(end.value) != family) {
                let conflict = Conflict::TunnelEnd { word, kind, family, address: end.value, said: place(&tunnel.kind) };
                report.add(&conflict, place(end));
            }
        }
        if tunnel.local.is_none() && tunnel.remote.is_none() && tunnel.key.is_none() {
            report.add(&Conflict::TunnelWithoutEnds { name: &tunnel.name.value }, place(&tunnel.name));
        }
    }
}

pub fn the_kernel_tells_them_apart(view: &View, report: &mut Report) {
    let mut said = BTreeSet::new();
    for host in view.topology.hosts.values() {
        let mut seen = BTreeMap::new();
        for tunnel in &host.tunnels {
            let end = |end: &Option<crate::source::At<std::net::IpAddr>>| end.as_ref().map(|end| end.value);
            let key = (tunnel.kind.value, end(&tunnel.local), end(&tunnel.remote), tunnel.key.as_ref().map(|key| key.value));
            let span = place(&tunnel.name);
            if let Some(first) = first(&mut seen, key, span).filter(|_| said.insert(span)) {
                report.add(&Conflict::TunnelTwice { name: &tunnel.name.value, kind: tunnel.kind.value, first }, span);
            }
        }
    }
}
