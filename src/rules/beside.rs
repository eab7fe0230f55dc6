//! Topologies of several files beside each other: two hosts that answer for one address. Each file by itself is right.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Asked, Doubt, View, in_a_subnet, level, place};
use crate::source::{Problem, Sources, Span, printable, problem};
use crate::topology::{Host, Topology};

/// Who answers for addresses in the topologies that were met so far.
#[derive(Debug, Default)]
pub struct Beside(BTreeMap<IpAddr, Vec<Answering>>);

/// A host that answers for an address.
#[derive(Debug)]
struct Answering {
    topology: String,
    hostname: String,
    vip: bool,
    /// `flash-sale.kdl:27`
    place: String,
}

impl Beside {
    /// What is to be said of a topology that has no errors, beside those that came before it. One of the same name is the same
    /// topology; a host of the same `hostname` is the same host, where topologies share what they agree on.
    pub fn meet(&mut self, topology: &Topology, sources: &Sources, asked: &Asked) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (address, host, vip, span) in answering(topology) {
            let others = self.0.entry(address).or_default();
            let clash = others.iter().find(|other| {
                other.topology != topology.name.value && other.hostname != host.hostname.value && (vip || other.vip)
            });
            if let Some(other) = clash {
                let doubt = Doubt::VipElsewhere {
                    address,
                    host: &host.name.value,
                    other: &other.hostname,
                    topology: &other.topology,
                    place: &other.place,
                };
                problems.push(doubt.at(span));
            }
            others.push(Answering {
                topology: topology.name.value.clone(),
                hostname: host.hostname.value.clone(),
                vip,
                place: format!("{}:{}", printable(&sources.path(span).to_string_lossy()), sources.position(span).line),
            });
        }
        level::settle(&mut problems, topology, asked, false);
        problem::sort(&mut problems);
        problems
    }
}

/// Who answers for what on a wire: the host that has a VIP in one of its subnets, and every host for its own addresses.
fn answering(topology: &Topology) -> Vec<(IpAddr, &Host, bool, Span)> {
    let view = View::new(topology, None);
    let own = topology.hosts.values().flat_map(|host| {
        let interfaces = host.interfaces.iter().filter(|(name, _)| *name != "lo");
        let addresses = interfaces.flat_map(|(_, interface)| &interface.addresses);
        addresses.map(move |network| (network.value.addr(), host, false, place(network)))
    });
    let vips = topology.vips.values().filter(|vip| vip.managed.value).filter_map(|vip| {
        let carriers = view.carriers(vip);
        let holder = match &vip.holder {
            Some(holder) => carriers.iter().find(|host| host.name.value == holder.value),
            None => carriers.first().filter(|_| carriers.len() == 1),
        };
        holder.map(|host| (vip, *host))
    });
    let vips = vips.flat_map(|(vip, host)| {
        let on_the_wire = vip.interface.as_ref().is_none_or(|interface| interface.value != "lo");
        let addresses = vip.addresses.iter().filter(move |address| on_the_wire && in_a_subnet(host, address.value));
        addresses.map(move |address| (address.value, host, true, place(address)))
    });
    vips.chain(own).collect()
}
