//! Services: schedulers, persistence engines, return paths.

use super::{Conflict, Report, View, forward, in_a_subnet, place};
use crate::source::Span;
use crate::state::Protocol;
use crate::topology::{Forward, Listen, ListenOn, ReturnMode, Service, Vip};

pub fn scheduler_has_its_options(view: &View, report: &mut Report) {
    for service in view.services() {
        let scheduler = &service.scheduler;
        if matches!(scheduler.name.value.as_str(), "sh" | "mh") {
            continue;
        }
        for (word, option) in [("port", &scheduler.port), ("fallback", &scheduler.fallback)] {
            if let Some(span) = option.origin.span() {
                report.add(&Conflict::SchedulerOption { word, scheduler: &scheduler.name.value }, span);
            }
        }
    }
}

pub fn sip_listens_on_udp(view: &View, report: &mut Report) {
    for service in view.services() {
        let Some(engine) = service.persistence.as_ref().and_then(|persistence| persistence.sip.as_ref()) else { continue };
        if let Some(listen) = service.listens.iter().find(|listen| !only_udp(listen)) {
            report.add(&Conflict::SipWithoutUdp { listen: listen.span }, place(engine));
        }
    }
}

/// Where something else marks, nobody here knows what.
fn only_udp(listen: &Listen) -> bool {
    match &listen.what {
        ListenOn::Vip { protocol, .. } => protocol.value == Protocol::Udp,
        ListenOn::Mark { matches, vip, .. } => vip.is_some() || matches.iter().all(|one| one.protocol.value == Protocol::Udp),
    }
}

/// Replies of nat servers must pass the director that translated the packet.
pub fn return_path_leads_back(view: &View, report: &mut Report) {
    for service in view.services() {
        let path = &service.return_path;
        let nat = view.servers(service).any(|server| forward(service, server).value == Forward::Nat);
        if service.forward.value != Forward::Nat && !nat {
            if let Some(span) = path.mode.origin.span() {
                let forward = place(&service.forward);
                report.add(&Conflict::ReturnPathKept { method: service.forward.value, forward }, span);
            }
            continue;
        }
        if let (Some(via), false) = (&path.via, path.mode.value == ReturnMode::Policy) {
            report.add(&Conflict::ViaWithoutPolicy { mode: place(&path.mode) }, place(via));
        }
        if let Some((vip, named)) =
            vips(view, service).into_iter().find(|(vip, _)| view.carriers(vip).len() > 1 && vip.holder.is_none())
        {
            let at = path.mode.origin.span().unwrap_or(place(&service.forward));
            match path.mode.value {
                ReturnMode::Policy | ReturnMode::DefaultRoute if held_at_once(view, vip) => {
                    report.add(&Conflict::HeldAtOnce { vip: &vip.name.value, named }, at);
                }
                ReturnMode::Policy if path.via.is_none() => {
                    report.add(&Conflict::ReturnToWhom { vip: &vip.name.value, named }, at);
                }
                ReturnMode::Policy | ReturnMode::DefaultRoute | ReturnMode::None | ReturnMode::Snat => {}
            }
        }
    }
}

fn vips<'t>(view: &View<'t>, service: &'t Service) -> Vec<(&'t Vip, Span)> {
    service.listens.iter().flat_map(|listen| view.vips(listen)).collect()
}

/// A routed VIP without a holder is on every director that carries it, at the same time.
fn held_at_once(view: &View, vip: &Vip) -> bool {
    let local = |host| vip.addresses.iter().any(|address| in_a_subnet(host, address.value));
    vip.managed.value && !view.carriers(vip).iter().any(|host| local(host))
}
