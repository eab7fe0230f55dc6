//! Sysctls: IPVS's own have ranges and names, and some do nothing, or harm, on the host that they are set on.

use std::collections::BTreeSet;

use super::{Conflict, Doubt, Report, View, place};
use crate::source::problem::nearest;
use crate::topology::{Host, Role, Sysctl};

/// What a key of `net.ipv4.vs` takes.
#[derive(Clone, Copy, PartialEq)]
enum Takes {
    /// an integer
    Integer,
    /// from, to
    Range(i64, i64),
    /// a power of two, at most 64
    PowerOfTwo,
    /// two integers: 0 to less than the second; or the second is 0
    Threshold,
    /// anything: a list of CPUs
    Text,
}

/// The kernel that brought a key; `None` where it is older than any that matters, or nobody knows.
type Since = Option<(u16, u16)>;

/// Each key below `net/ipv4/vs` of any kernel up to 7.2 (`vs_vars` of `ip_vs_ctl.c`, `ip_vs_lblc.c`, `ip_vs_lblcr.c`).
const KEYS: &[(&str, Takes, Since)] = &[
    ("am_droprate", Takes::Integer, None),
    ("amemthresh", Takes::Integer, None),
    ("backup_only", Takes::Integer, None),
    ("cache_bypass", Takes::Integer, None),
    ("conn_lfactor", Takes::Range(-8, 8), Some((7, 1))),
    ("conn_max", Takes::Integer, Some((7, 2))),
    ("conn_reuse_mode", Takes::Range(0, 3), Some((4, 1))),
    ("conntrack", Takes::Integer, None),
    ("debug_level", Takes::Integer, None),
    ("drop_entry", Takes::Range(0, 3), None),
    ("drop_packet", Takes::Range(0, 3), None),
    ("est_cpulist", Takes::Text, Some((6, 2))),
    ("est_nice", Takes::Range(-20, 19), Some((6, 2))),
    ("expire_nodest_conn", Takes::Integer, None),
    ("expire_quiescent_template", Takes::Integer, None),
    ("ignore_tunneled", Takes::Integer, Some((4, 4))),
    ("lblc_expiration", Takes::Integer, None),
    ("lblcr_expiration", Takes::Integer, None),
    ("nat_icmp_send", Takes::Integer, None),
    ("pmtu_disc", Takes::Integer, None),
    ("run_estimation", Takes::Integer, Some((5, 16))),
    ("schedule_icmp", Takes::Integer, Some((4, 4))),
    ("secure_tcp", Takes::Range(0, 3), None),
    ("sloppy_sctp", Takes::Integer, Some((3, 11))),
    ("sloppy_tcp", Takes::Integer, Some((3, 11))),
    ("snat_reroute", Takes::Integer, None),
    ("svc_lfactor", Takes::Range(-8, 8), Some((7, 1))),
    ("sync_persist_mode", Takes::Integer, None),
    ("sync_ports", Takes::PowerOfTwo, None),
    ("sync_qlen_max", Takes::Integer, None),
    ("sync_refresh_period", Takes::Integer, None),
    ("sync_retries", Takes::Range(0, 3), None),
    ("sync_sock_size", Takes::Integer, None),
    ("sync_threshold", Takes::Threshold, None),
    ("sync_version", Takes::Range(0, 1), None),
];

impl Takes {
    fn takes(self, value: &str) -> bool {
        let number = |text: &str| text.parse::<i64>().ok();
        match self {
            Takes::Integer => number(value).is_some(),
            Takes::Range(least, most) => number(value).is_some_and(|number| (least..=most).contains(&number)),
            Takes::PowerOfTwo => matches!(number(value), Some(1 | 2 | 4 | 8 | 16 | 32 | 64)),
            Takes::Threshold => {
                let words: Vec<Option<i64>> = value.split_whitespace().map(number).collect();
                matches!(words.as_slice(), [Some(threshold), Some(period)] if *period == 0 || (0..*period).contains(threshold))
            }
            Takes::Text => true,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Takes::Integer => "an integer",
            Takes::Range(0, 1) => "0 or 1",
            Takes::Range(0, 3) => "an integer from 0 to 3",
            Takes::Range(-8, 8) => "an integer from -8 to 8",
            Takes::Range(..) => "an integer from -20 to 19",
            Takes::PowerOfTwo => "a power of two from 1 to 64",
            Takes::Threshold => "two integers, the first from 0 to less than the second",
            Takes::Text => "a list of CPUs",
        }
    }
}

/// The name of a key of IPVS's own.
pub fn own(sysctl: &Sysctl) -> Option<&str> {
    sysctl.key.value.path().strip_prefix("net/ipv4/vs/")
}

/// The kernel that brought a key of IPVS's own.
pub fn since(name: &str) -> Since {
    KEYS.iter().find(|(known, ..)| *known == name).and_then(|(_, _, since)| *since)
}

/// Every sysctl of the file once, whoever it is for.
pub fn all<'t>(view: &View<'t>) -> impl Iterator<Item = &'t Sysctl> {
    let mut seen = BTreeSet::new();
    let tunings = view.topology.tuning_director.iter().chain(&view.topology.tuning_real_server);
    let hosts = view.topology.hosts.values().flat_map(|host| &host.sysctls);
    tunings.chain(hosts).filter(move |sysctl| seen.insert(place(&sysctl.key)))
}

/// What a host sets a key to: by itself, or by the tuning of its role.
pub fn effective<'t>(view: &View<'t>, host: &'t Host, path: &str) -> Option<&'t Sysctl> {
    let tuning = match host.role {
        Role::Director => &view.topology.tuning_director,
        Role::RealServer => &view.topology.tuning_real_server,
    };
    host.sysctls.iter().chain(tuning).find(|sysctl| sysctl.key.value.path() == path)
}

pub fn values_of_ipvs_are_taken(view: &View, report: &mut Report) {
    for sysctl in all(view) {
        let Some(name) = own(sysctl) else { continue };
        if let Some((_, takes, _)) = KEYS.iter().find(|(known, ..)| *known == name) {
            if !takes.takes(&sysctl.value.value) {
                let (key, value) = (sysctl.key.value.to_string(), &sysctl.value.value);
                report.add(&Conflict::SysctlValue { key, value, wanted: takes.words() }, place(&sysctl.value));
            }
        } else {
            let near = nearest(name, KEYS.iter().map(|(known, ..)| *known)).map(|near| format!("net.ipv4.vs.{near}"));
            let doubt = Doubt::UnknownSysctl { key: sysctl.key.value.to_string(), nearest: near };
            report.doubt(&doubt, place(&sysctl.key));
        }
    }
}

/// What matters to whoever accepts connections.
const OF_SERVERS: [&str; 3] = ["net/core/somaxconn", "net/ipv4/tcp_max_syn_backlog", "net/ipv4/tcp_syncookies"];

pub fn each_role_has_its_own(view: &View, report: &mut Report) {
    let serving: BTreeSet<&str> =
        view.all_servers().filter_map(|server| server.host.as_ref()).map(|name| name.value.as_str()).collect();
    let has_work = |host: &Host| serving.contains(host.name.value.as_str());
    let nobody_serves = !view.directors.is_empty() && !view.directors.iter().any(|host| has_work(host));
    let tuning = view.topology.tuning_director.iter().filter(|_| nobody_serves);
    let directors = view.directors.iter().filter(|host| !has_work(host)).flat_map(|host| &host.sysctls);
    let mut said = BTreeSet::new();
    for sysctl in tuning.chain(directors).filter(|sysctl| OF_SERVERS.contains(&sysctl.key.value.path())) {
        if said.insert(place(&sysctl.key)) {
            report.doubt(&Doubt::SysctlOfServers { key: sysctl.key.value.to_string() }, place(&sysctl.key));
        }
    }
    let servers = view.topology.hosts.values().filter(|host| host.role == Role::RealServer).flat_map(|host| &host.sysctls);
    for sysctl in view.topology.tuning_real_server.iter().chain(servers).filter(|sysctl| own(sysctl).is_some()) {
        if said.insert(place(&sysctl.key)) {
            report.doubt(&Doubt::SysctlOfDirectors { key: sysctl.key.value.to_string() }, place(&sysctl.key));
        }
    }
}

/// Before 5.9 it was set for a reason.
const REUSE_MENDED: (u16, u16) = (5, 9);

pub fn reused_ports_are_rescheduled(view: &View, report: &mut Report) {
    if view.kernel.as_ref().is_some_and(|kernel| kernel.lacks(REUSE_MENDED)) {
        return;
    }
    for sysctl in all(view).filter(|sysctl| own(sysctl) == Some("conn_reuse_mode") && sysctl.value.value == "0") {
        report.doubt(&Doubt::ConnReuseMode, place(&sysctl.value));
    }
}
