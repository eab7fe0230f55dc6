//! The changes that a rehearsal tries: other weights, a server that is drained, one that is removed, VIPs that move to another
//! director.
//!
//! Pure: each is an edit of the topology.

use std::collections::BTreeSet;

use super::trial::Trial;
use crate::compile;
use crate::source::At;
use crate::topology::{ReturnMode, Server, Topology, Vip};

/// The greatest weight of the language.
const MOST: u32 = 2_147_483_647;

/// Every list of servers of a topology.
fn lists(topology: &mut Topology) -> impl Iterator<Item = &mut Vec<Server>> {
    let pools = topology.pools.values_mut().map(|pool| &mut pool.servers);
    pools.chain(topology.services.values_mut().map(|service| &mut service.servers))
}

/// Doubles the weight of the first server of each list that has several. Returns what was done, in words.
pub fn weights(topology: &mut Topology) -> Vec<String> {
    let mut done = Vec::new();
    for list in lists(topology) {
        let takes = |server: &&mut Server| server.weight.value > 0 && server.weight.value <= MOST / 2;
        if list.len() > 1
            && let Some(server) = list.iter_mut().find(takes)
        {
            let before = server.weight.value;
            server.weight.value = before * 2;
            done.push(format!("{} {before} → {}", server.label.value, before * 2));
        }
    }
    done
}

/// Hosts that every service can do without, one for each service where that is possible.
pub fn dispensable(trials: &[Trial]) -> BTreeSet<String> {
    let mut chosen: BTreeSet<String> = BTreeSet::new();
    let host = |server: &super::trial::Server| server.seat.as_ref().map(|seat| seat.host.clone());
    for trial in trials {
        let taking = trial.servers.iter().filter(|server| server.weight > 0);
        let hosts: Vec<String> = taking.filter_map(host).filter(|host| *host != trial.director).collect();
        if hosts.iter().any(|host| chosen.contains(host)) {
            continue;
        }
        let goes_on = |without: &str| {
            trials.iter().all(|trial| {
                let mut left = trial.servers.iter().filter(|server| server.weight > 0).filter_map(host);
                left.any(|host| host != without && !chosen.contains(&host))
                    || trial.servers.iter().all(|server| server.weight == 0)
            })
        };
        if let Some(host) = hosts.iter().find(|host| goes_on(host)) {
            chosen.insert(host.clone());
        }
    }
    chosen
}

fn is_of(server: &Server, hosts: &BTreeSet<String>) -> bool {
    server.host.as_ref().is_some_and(|host| hosts.contains(&host.value))
}

/// Gives hosts weight 0 wherever they are servers.
pub fn drain(topology: &mut Topology, hosts: &BTreeSet<String>) {
    for server in lists(topology).flatten().filter(|server| is_of(server, hosts)) {
        server.weight.value = 0;
    }
}

/// Takes hosts out of every list of servers.
pub fn remove(topology: &mut Topology, hosts: &BTreeSet<String>) {
    for list in lists(topology) {
        list.retain(|server| !is_of(server, hosts));
    }
}

/// Gives every VIP that has a holder to the next of its directors. Returns what was done, and what was not because it cannot
/// be told here whether the other director is ready for it, in words.
pub fn failover(topology: &mut Topology) -> (Vec<String>, Vec<String>) {
    let (mut done, mut not) = (Vec::new(), Vec::new());
    let elsewhere = seen_to(topology);
    let next = |vip: &Vip| -> Option<(String, String)> {
        let holder = vip.holder.as_ref().filter(|_| vip.managed.value)?;
        let carriers = topology.hosts.values().filter(|host| compile::carries(vip, host)).map(|host| &host.name.value);
        let carriers: Vec<&String> = carriers.collect();
        let at = carriers.iter().position(|name| **name == holder.value)?;
        let next = carriers.get((at + 1) % carriers.len()).filter(|next| ***next != holder.value)?;
        Some((holder.value.clone(), (*next).clone()))
    };
    let moves: Vec<(String, String, String)> =
        topology.vips.values().filter_map(|vip| next(vip).map(|(from, to)| (vip.name.value.clone(), from, to))).collect();
    for (vip, from, to) in moves {
        if elsewhere.contains(&vip) {
            not.push(format!("{vip} was not moved to {to}: where nat's replies go then is not in the file (`default-route`)"));
        } else if let Some(vip) = topology.vips.get_mut(&vip) {
            done.push(format!("{} {from} → {to}", vip.name.value));
            vip.holder = vip.holder.take().map(|holder| At { value: to, ..holder });
        }
    }
    (done, not)
}

/// VIPs with services whose way back is the operator's. One of them that stays keeps all with its holder: they belong together.
fn seen_to(topology: &Topology) -> BTreeSet<String> {
    let services = topology.services.values().filter(|service| service.return_path.mode.value == ReturnMode::DefaultRoute);
    let names = services.flat_map(|service| &service.listens).flat_map(|listen| compile::listen_vips(&listen.what));
    let own: BTreeSet<String> = names.map(str::to_owned).collect();
    let holder = |vip: &Vip| vip.holder.as_ref().map(|holder| holder.value.clone());
    let stay: BTreeSet<String> = own.iter().filter_map(|name| topology.vips.get(name)).filter_map(holder).collect();
    let stays = |vip: &&Vip| own.contains(&vip.name.value) || holder(vip).is_some_and(|holder| stay.contains(&holder));
    topology.vips.values().filter(stays).map(|vip| vip.name.value.clone()).collect()
}
