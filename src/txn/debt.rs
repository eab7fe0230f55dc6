//! Servers that are let go: when one may be deleted.
//!
//! A run ends with such a server at weight 0 and a debt in the ledger; deleting it is a run of its own, whoever does it: the
//! same command, `resume`, or the next apply. A debt of another boot is void, since the server is gone.

use std::collections::BTreeMap;

use super::ledger::{Debt, Ledger};
use crate::state::{Connections, Key, Observed, Protocol, Resource, Scope, ServiceKey, SysctlKey};

/// With this sysctl on, templates of a server without weight expire by themselves.
const TEMPLATES_EXPIRE: &str = "net/ipv4/vs/expire_quiescent_template";

/// What must be read to know whether a debt can be paid, and to pay it.
pub fn scope() -> Scope {
    let sysctls = SysctlKey::parse(TEMPLATES_EXPIRE).into_iter().chain([SysctlKey::expire_nodest_conn()]);
    Scope { sysctls: sysctls.collect(), ..Scope::default() }
}

/// The debts that can be paid now, each with the connections that end with its server.
pub fn payable(ledger: &Ledger, observed: &Observed, now: u64) -> BTreeMap<Key, Connections> {
    let connections = |key: &Key| observed.traffic.get(key).copied().unwrap_or_default();
    let payable = ledger.debts.iter().filter(|(key, Debt { until, .. })| {
        now >= *until || !observed.state.objects.contains_key(key) || is_drained(key, connections(key), observed)
    });
    payable.map(|(key, _)| (key.clone(), connections(key))).collect()
}

/// Whether nobody is served any more. UDP counts as inactive, and a mark may be of any protocol.
fn is_drained(key: &Key, connections: Connections, observed: &Observed) -> bool {
    let Connections { active, inactive, persistent } = connections;
    let Some(server) = key.server() else { return true };
    let only_active = matches!(server.service, ServiceKey::Tuple { protocol: Protocol::Tcp | Protocol::Sctp, .. });
    let templates_expire = SysctlKey::parse(TEMPLATES_EXPIRE)
        .map(Key::Sysctl)
        .is_some_and(|key| matches!(observed.state.objects.get(&key), Some(Resource::Sysctl(sysctl)) if sysctl.value != "0"));
    active == 0 && (only_active || inactive == 0) && (templates_expire || persistent == 0)
}
