//! Sync daemons: a host runs one of each role.

use std::collections::BTreeMap;

use super::{Conflict, Report, View, first, place};
use crate::source::Span;
use crate::state::SyncRole;

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
