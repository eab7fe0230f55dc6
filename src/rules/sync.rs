//! Sync daemons: a host runs one of each role.

use std::collections::BTreeMap;

use super::{Conflict, Report, View, first};
use crate::source::At;
use crate::state::SyncRole;

pub fn one_daemon_of_each_role(view: &View, report: &mut Report) {
    let mut seen = BTreeMap::new();
    for sync in &view.topology.syncs {
        let both = sync.masters.is_empty() && sync.backups.is_empty();
        let all = || view.directors.iter().map(|host| (host.name.value.as_str(), sync.span));
        let named = |names: &'_ [At<String>]| {
            let named = names.iter().map(|name| (name.value.as_str(), name.origin.span().unwrap_or(sync.span)));
            if both { all().collect() } else { named.collect::<Vec<_>>() }
        };
        for (role, hosts) in [(SyncRole::Master, named(&sync.masters)), (SyncRole::Backup, named(&sync.backups))] {
            let clash = hosts.into_iter().find_map(|(host, span)| Some((host, span, first(&mut seen, (role, host.to_owned()), span)?)));
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
