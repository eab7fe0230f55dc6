//! Sync daemons: a host runs one of each role.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Conflict, Doubt, Report, View, first, place};
use crate::source::Span;
use crate::state::SyncRole;
use crate::topology::{Interface, Sync};

pub fn one_daemon_of_each_role(view: &View, report: &mut Report) {
    let mut seen = BTreeMap::new();
    for sync in &view.topology.syncs {
        let both = sync.masters.is_empty() && sync.backups.is_empty();
        for (role, names) in [(SyncRole::Master, &sync.masters), (SyncRole::Backup, &sync.backups)] {
            let hosts: Vec<(&str, Span)> = if both {
                view.directors.iter().map(|host| (host.name.value.as_str(), sync.span)).collect()
            } else {
                names.iter().map(|name| (name.value.as_str(), place(name))).collect()
            };
            let clash =
                hosts.into_iter().find_map(|(host, span)| Some((host, span, first(&mut seen, (role, host.to_owned()), span)?)));
            if let Some((host, span, first)) = clash {
                report.add(&Conflict::DaemonTwice { host, role, first }, span);
                // Every director is both: the two roles clash for one reason.
                if both {
                    break;
                }
            }
        }
    }
}

/// The hosts of a `sync` in one role. Neither given: every director is both.
fn hosts<'t>(view: &View<'t>, sync: &'t Sync, role: SyncRole) -> Vec<(&'t str, Span)> {
    if sync.masters.is_empty() && sync.backups.is_empty() {
        return view.directors.iter().map(|host| (host.name.value.as_str(), sync.span)).collect();
    }
    let names = if role == SyncRole::Master { &sync.masters } else { &sync.backups };
    names.iter().map(|name| (name.value.as_str(), place(name))).collect()
}

/// A backup takes what is sent to its group and port with its id; with id 0, with any.
pub fn daemons_hear_each_other(view: &View, report: &mut Report) {
    // Two names of each are enough to find another one than oneself.
    let mut there: BTreeMap<(SyncRole, IpAddr, u16, Option<u8>), Vec<&str>> = BTreeMap::new();
    for sync in &view.topology.syncs {
        for role in [SyncRole::Master, SyncRole::Backup] {
            for (host, _) in hosts(view, sync, role) {
                for id in [None, Some(sync.id.value)] {
                    let names = there.entry((role, sync.group.value, sync.port.value, id)).or_default();
                    if names.len() < 2 && !names.contains(&host) {
                        names.push(host);
                    }
                }
            }
        }
    }
    for sync in &view.topology.syncs {
        let id = sync.id.value;
        for (role, other, ids) in [
            (SyncRole::Master, SyncRole::Backup, [Some(id), Some(0)]),
            (SyncRole::Backup, SyncRole::Master, [Some(id), (id != 0).then_some(id)]),
        ] {
            for (host, span) in hosts(view, sync, role) {
                let names = |id| there.get(&(other, sync.group.value, sync.port.value, id)).into_iter().flatten();
                if !ids.into_iter().flat_map(names).any(|name| *name != host) {
                    report.doubt(&Doubt::SyncUnheard { id, role, host }, span);
                }
            }
        }
    }
}

/// Sync messages are multicast: with ttl 1 they stay in the subnet of the interface, as far as the file says which that is.
pub fn daemons_share_a_subnet(view: &View, report: &mut Report) {
    let interface = |host: &str, sync: &Sync| view.topology.hosts.get(host)?.interfaces.get(&sync.interface.value);
    let mut backups: BTreeMap<(IpAddr, u16), Vec<(&Sync, &str)>> = BTreeMap::new();
    for sync in &view.topology.syncs {
        let hosts = hosts(view, sync, SyncRole::Backup).into_iter().map(|(host, _)| (sync, host));
        backups.entry((sync.group.value, sync.port.value)).or_default().extend(hosts);
    }
    for sync in view.topology.syncs.iter().filter(|sync| sync.ttl.value == 1) {
        let subnets = |of: &Interface| {
            let all = of.addresses.iter().map(|network| network.value);
            all.filter(|network| network.addr().is_ipv4() == sync.group.value.is_ipv4()).collect::<Vec<_>>()
        };
        for (host, span) in hosts(view, sync, SyncRole::Master) {
            let Some(own) = interface(host, sync).map(subnets).filter(|own| !own.is_empty()) else { continue };
            let of_group = backups.get(&(sync.group.value, sync.port.value)).into_iter().flatten();
            let mut hearing = of_group
                .filter(|(other, name)| *name != host && [0, sync.id.value].contains(&other.id.value))
                .map(|(other, name)| (other, *name, interface(name, other).map(subnets)));
            let is_off = |theirs: &Option<Vec<IpNet>>| {
                theirs.as_ref().is_some_and(|theirs| {
                    let shared = |net: &IpNet| own.iter().any(|one| one.contains(&net.addr()) || net.contains(&one.addr()));
                    !theirs.is_empty() && !theirs.iter().any(shared)
                })
            };
            // One that hears it is enough.
            let Some((other, name, theirs)) = hearing.next() else { continue };
            if is_off(&theirs) && hearing.all(|(_, _, theirs)| is_off(&theirs)) {
                let (interface, other_interface) = (&sync.interface.value, &other.interface.value);
                report.doubt(&Doubt::SyncOffLink { host, interface, other: name, other_interface }, span);
            }
        }
    }
}
