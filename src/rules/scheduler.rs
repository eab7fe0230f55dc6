//! Schedulers: what each does with weights, addresses and protocols that it was not made for.

use super::{Doubt, Report, View, own_families, place, quiesced};
use crate::source::{Origin, Span};
use crate::state::{Family, Protocol};
use crate::topology::{Listen, ListenOn, Server, Service};

/// `IP_VS_SH_TAB_BITS` 8 and `IP_VS_DH_TAB_BITS` 8, and the prime of `IP_VS_MH_TAB_INDEX` 12: what distributions build.
const SLOTS: [(&str, u64); 3] = [("sh", 256), ("dh", 256), ("mh", 4093)];

pub fn hashes_pass_over_quiesced_servers(view: &View, report: &mut Report) {
    for service in view.services() {
        let scheduler = &service.scheduler;
        if !matches!(scheduler.name.value.as_str(), "sh" | "mh") || scheduler.fallback.value {
            continue;
        }
        // Where all of them are, that is said instead.
        let serving = view.servers(service).any(|server| !quiesced(view, server));
        if let Some(server) = view.servers(service).find(|server| quiesced(view, server)).filter(|_| serving) {
            let (service, name) = (&service.name.value, &scheduler.name.value);
            let weight = server.weight.origin.span().unwrap_or(place(&server.label));
            report.doubt(&Doubt::HashFallback { service, scheduler: name, server: weight }, place(&scheduler.name));
        }
    }
}

pub fn hash_tables_have_room(view: &View, report: &mut Report) {
    for service in view.services() {
        let scheduler = service.scheduler.name.value.as_str();
        let Some((_, slots)) = SLOTS.iter().find(|(name, _)| *name == scheduler) else { continue };
        let each = |server: &Server| if scheduler == "sh" { u64::from(server.weight.value) } else { 1 };
        // A kernel service has one family; a server whose address nobody knows may be of either.
        let of = |family: Family| {
            let servers = view.servers(service).filter(|server| {
                let own = own_families(view, server);
                own.is_empty() || own.contains(&family)
            });
            servers.map(each).sum::<u64>()
        };
        let count = of(Family::Ipv4).max(of(Family::Ipv6));
        if count > *slots {
            let doubt = Doubt::HashSlots { service: &service.name.value, scheduler, count, slots: *slots };
            report.doubt(&doubt, place(&service.scheduler.name));
        }
    }
}

pub fn destinations_differ_where_they_decide(view: &View, report: &mut Report) {
    for service in view.services() {
        let scheduler = service.scheduler.name.value.as_str();
        if !matches!(scheduler, "dh" | "lblc" | "lblcr") {
            continue;
        }
        if let Some(listen) = service.listens.iter().find(|listen| one_destination(view, listen)) {
            report.doubt(&Doubt::DestinationHash { scheduler, listen: listen.span }, place(&service.scheduler.name));
        }
    }
}

fn one_destination(view: &View, listen: &Listen) -> bool {
    match &listen.what {
        ListenOn::Vip { .. } => true,
        ListenOn::Mark { .. } => {
            let vips = view.vips(listen);
            let addresses = |family| {
                let all = vips.iter().flat_map(|(vip, _)| &vip.addresses);
                all.filter(move |address| Family::of(address.value) == family).count()
            };
            addresses(Family::Ipv4) <= 1 && addresses(Family::Ipv6) <= 1
        }
    }
}

fn overflows(service: &Service) -> bool {
    service.scheduler.name.value == "ovf"
}

pub fn overflow_counts_connections_that_end(view: &View, report: &mut Report) {
    for service in view.services().filter(|service| overflows(service)) {
        if let Some(listen) = service.listens.iter().find_map(udp) {
            report.doubt(&Doubt::OverflowUdp { listen }, place(&service.scheduler.name));
        }
    }
}

fn udp(listen: &Listen) -> Option<Span> {
    match &listen.what {
        ListenOn::Vip { protocol, .. } => (protocol.value == Protocol::Udp).then_some(listen.span),
        ListenOn::Mark { matches, .. } => {
            matches.iter().find(|one| one.protocol.value == Protocol::Udp).map(|one| place(&one.protocol))
        }
    }
}

pub fn overflow_has_weights(view: &View, report: &mut Report) {
    for service in view.services().filter(|service| overflows(service)) {
        let mut servers = view.servers(service).peekable();
        if servers.peek().is_some() && servers.all(|server| server.weight.origin == Origin::Default) {
            report.doubt(&Doubt::OverflowWeight { service: &service.name.value }, place(&service.scheduler.name));
        }
    }
}
