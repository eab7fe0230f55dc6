//! Sync daemons: a host runs one of each role.

use std::collections::BTreeMap;

use super::{Conflict, Doubt, Report, View, first, place};
use crate::source::Span;
use crate::state::SyncRole;
use crate::topology::Sync;

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
    let syncs = &view.topology.syncs;
    for sync in syncs {
        for (role, other_role) in [(SyncRole::Master, SyncRole::Backup), (SyncRole::Backup, SyncRole::Master)] {
            for (host, span) in hosts(view, sync, role) {
                let meets = |other: &&Sync| {
                    let backup = if role == SyncRole::Backup { sync } else { other };
                    let ids = sync.id.value == other.id.value || backup.id.value == 0;
                    ids && sync.group.value == other.group.value && sync.port.value == other.port.value
                };
                let peer = |other: &Sync| hosts(view, other, other_role).iter().any(|(name, _)| *name != host);
                if !syncs.iter().filter(meets).any(peer) {
                    report.doubt(&Doubt::SyncUnheard { id: sync.id.value, role, host }, span);
                }
            }
        }
    }
}
