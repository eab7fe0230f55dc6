//! The changes that a rehearsal tries: other weights, a server that is drained, one that is removed, VIPs that move to another
//! director.
//!
//! Pure: each is an edit of the topology.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::trial::Trial;
use crate::compile;
use crate::source::At;
use crate::topology::{ReturnMode, Server, Service, Topology, Vip};

/// The greatest weight of the language.
const MOST: u32 = 2_147_483_647;

/// Every list of servers of a topology.
fn lists(topology: &mut Topology) -> impl Iterator<Item = &mut Vec<Server>> {
    let pools = topology.pools.values_mut().map(|pool| &mut pool.servers);
    pools.chain(topology.services.values_mut().map(|service| &mut service.servers))
}

/// Doubles the weight of the first server of each list that has several. Returns what was done, in words, with the list's name
/// where there is more than one.
pub fn weights(topology: &mut Topology) -> Vec<String> {
    let mut done: Vec<(String, String)> = Vec::new();
    let pools = topology.pools.values_mut().map(|pool| (format!("pool {}", pool.name.value), &mut pool.servers));
    let services = topology.services.values_mut().map(|of| (format!("service {}", of.name.value), &mut of.servers));
    for (name, list) in pools.chain(services) {
        let takes = |server: &&mut Server| server.weight.value > 0 && server.weight.value <= MOST / 2;
        if list.len() > 1
            && let Some(server) = list.iter_mut().find(takes)
        {
            let before = server.weight.value;
            server.weight.value = before * 2;
            done.push((name, format!("{} {before} → {}", server.label.value, before * 2)));
        }
    }
    let alone = done.len() == 1;
    done.into_iter().map(|(name, what)| if alone { what } else { format!("{what} ({name})") }).collect()
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

/// What a failover does.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Failover {
    /// What was moved, in words.
    pub done: Vec<String>,
    /// What was not, because it cannot be told here whether the other director is ready for it, in words.
    pub not: Vec<String>,
    /// Whether what something else places (`managed #false`) goes to the next director too.
    pub by_hand: bool,
}

/// Gives every VIP to the next of its directors: the file says the holder of those that `lvsform` places, and whoever rehearses
/// places the others.
pub fn failover(topology: &mut Topology) -> Failover {
    let mut failover = Failover::default();
    let elsewhere = seen_to(topology);
    let moves: Vec<(String, Move)> =
        topology.vips.values().filter_map(|vip| Some((vip.name.value.clone(), next(topology, vip)?))).collect();
    // What is placed by hand moves together.
    let is_unmanaged = |name: &String| topology.vips.get(name).is_some_and(|vip| !vip.managed.value);
    let by_hand = !moves.iter().any(|(name, _)| is_unmanaged(name) && elsewhere.contains(name));
    let moves: Vec<(String, Move, bool)> = moves
        .into_iter()
        .map(|(name, to)| {
            let stays = elsewhere.contains(&name) || (is_unmanaged(&name) && !by_hand);
            (name, to, stays)
        })
        .collect();
    for (name, Move { from, to }, stays) in moves {
        if stays {
            let why = "where nat's replies go then is not in the file (`default-route`)";
            failover.not.push(format!("{name} was not moved to {to}: {why}"));
        } else if let Some(vip) = topology.vips.get_mut(&name) {
            failover.done.push(format!("{name} {from} → {to}"));
            if vip.managed.value {
                vip.holder = vip.holder.take().map(|holder| At { value: to, ..holder });
            } else {
                failover.by_hand = true;
            }
        }
    }
    failover
}

/// From which director a VIP goes to which.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Move {
    from: String,
    to: String,
}

fn next(topology: &Topology, vip: &Vip) -> Option<Move> {
    let carriers: Vec<&String> =
        topology.hosts.values().filter(|host| compile::carries(vip, host)).map(|host| &host.name.value).collect();
    let holder = vip.holder.as_ref().map(|holder| &holder.value);
    // Of those that something else places the first director has it.
    let from = if vip.managed.value { holder? } else { holder.or(carriers.first().copied())? };
    let at = carriers.iter().position(|name| *name == from)?;
    let to = *carriers.get((at + 1) % carriers.len())?;
    (to != from).then(|| Move { from: from.clone(), to: to.clone() })
}

/// VIPs with services whose way back is the operator's. One of them that stays keeps all with its holder: they belong together.
fn seen_to(topology: &Topology) -> BTreeSet<String> {
    let services = topology.services.values().filter(|service| service.return_path.mode.value == ReturnMode::DefaultRoute);
    let services = services.filter(|service| !gateway_moves(topology, service));
    let names = services.flat_map(|service| &service.listens).flat_map(|listen| compile::listen_vips(&listen.what));
    let own: BTreeSet<String> = names.map(str::to_owned).collect();
    let holder = |vip: &Vip| vip.holder.as_ref().map(|holder| holder.value.clone());
    let stay: BTreeSet<String> = own.iter().filter_map(|name| topology.vips.get(name)).filter_map(holder).collect();
    let stays = |vip: &&Vip| own.contains(&vip.name.value) || holder(vip).is_some_and(|holder| stay.contains(&holder));
    topology.vips.values().filter(stays).map(|vip| vip.name.value.clone()).collect()
}

/// Whether the gateway of each server of a service is a VIP of the file that moves as the service's own do.
fn gateway_moves(topology: &Topology, service: &Service) -> bool {
    let names = service.listens.iter().flat_map(|listen| compile::listen_vips(&listen.what));
    let moves: BTreeSet<Option<Move>> = names.filter_map(|name| topology.vips.get(name)).map(|vip| next(topology, vip)).collect();
    let is_with_them = |gateway: &IpAddr| {
        let is_own = |vip: &&Vip| vip.addresses.iter().any(|address| address.value == *gateway);
        let vip = topology.vips.values().find(is_own);
        vip.is_some_and(|vip| moves.iter().all(|of| *of == next(topology, vip)))
    };
    let pools = service.pools.iter().filter_map(|pool| topology.pools.get(&pool.value)).flat_map(|pool| &pool.servers);
    let mut servers = pools.chain(&service.servers);
    servers.all(|server| {
        let host = server.host.as_ref().and_then(|host| topology.hosts.get(&host.value));
        let interfaces = host.into_iter().flat_map(|host| host.interfaces.values());
        let gateways: Vec<IpAddr> = interfaces.flat_map(|of| &of.gateways).map(|gateway| gateway.value).collect();
        !gateways.is_empty() && gateways.iter().all(is_with_them)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::load_text;
    use crate::topology::decode;

    fn read(text: &str) -> Topology {
        let (topology, problems) = decode(load_text("t.kdl", text).tree);
        topology.unwrap_or_else(|| panic!("{problems:?}"))
    }

    fn pair(vips: &str) -> Topology {
        read(&format!(
            "topology \"t\"\ndirector \"lb[1-2]\" {{\n interface \"eth0\" address=\"192.0.2.[2-3]/24\"\n \
             interface \"eth1\" address=\"10.0.0.[2-3]/24\"\n}}\n\
             real-server \"web\" {{ interface \"eth0\" address=\"10.0.0.11/24\" gateway=\"10.0.0.1\"; }}\n{vips}\
             service \"s\" {{ listen vip=\"out\" port=80; forward \"nat\"; return-path \"default-route\"; server \"web\"; }}\n"
        ))
    }

    #[test]
    fn a_gateway_that_moves_with_the_vip_is_no_reason_to_stay() {
        let with =
            |inner: &str| failover(&mut pair(&format!("vip \"out\" {{ address \"192.0.2.100\"; holder \"lb1\"; }}\n{inner}")));
        let both = with("vip \"in\" { address \"10.0.0.1\"; holder \"lb1\"; }\n");
        assert_eq!(both.done, ["in lb1 → lb2", "out lb1 → lb2"]);
        assert!(both.not.is_empty());
        assert_eq!(with("vip \"in\" { address \"10.0.0.1\"; holder \"lb2\"; }\n").done, ["in lb2 → lb1"]);
        assert_eq!(with("").not.len(), 1);
    }

    #[test]
    fn what_something_else_places_moves_by_hand() {
        let moved = failover(&mut pair(
            "vip \"out\" { address \"192.0.2.100\"; managed #false; }\nvip \"in\" { address \"10.0.0.1\"; managed #false; }\n",
        ));
        assert_eq!((moved.done.len(), moved.not.len(), moved.by_hand), (2, 0, true));
        let stays = failover(&mut pair("vip \"out\" { address \"192.0.2.100\"; managed #false; }\n"));
        assert_eq!((stays.done.len(), stays.not.len(), stays.by_hand), (0, 1, false));
    }

    #[test]
    fn weights_of_several_pools_are_told_apart() {
        let one = "topology \"t\"\nreal-server \"web[1-2]\" { interface \"eth0\" address=\"10.0.0.[11-12]/24\"; }\n\
            pool \"a\" { server \"web[1-2]\"; }\n";
        assert_eq!(weights(&mut read(one)), ["web1 1 → 2"]);
        let two = format!("{one}pool \"b\" {{ server \"web[1-2]\"; }}\n");
        assert_eq!(weights(&mut read(&two)), ["web1 1 → 2 (pool a)", "web1 1 → 2 (pool b)"]);
    }
}
