//! Servers that are let go: when one may be deleted.
//!
//! A run ends with such a server at weight 0 and a debt in the ledger; deleting it is a run of its own, whoever does it: the
//! same command, `resume`, or the next apply. A debt of another boot is void, since the server is gone; so is one of a server to
//! which somebody gave weight again: they use it.

use std::collections::BTreeMap;

use super::ledger::{Debt, Entry, Ledger};
use crate::state::{Connections, Key, Observed, Protocol, Resource, Scope, ServiceKey, SysctlKey, Weight};

/// With this sysctl on, templates of a server without weight expire by themselves.
const TEMPLATES_EXPIRE: &str = "net/ipv4/vs/expire_quiescent_template";

/// What must be read to know whether a debt can be paid, and to pay it.
pub fn scope() -> Scope {
    let sysctls = SysctlKey::parse(TEMPLATES_EXPIRE).into_iter().chain([SysctlKey::expire_nodest_conn()]);
    Scope { sysctls: sysctls.collect(), ..Scope::default() }
}

/// The weight that somebody gave to a server which was let go; `None`: nobody did.
pub fn weight_again(key: &Key, observed: &Observed) -> Option<u32> {
    match observed.state.objects.get(key) {
        Some(Resource::Destination(server)) => Some(server.weight.value()).filter(|weight| *weight > 0),
        _ => None,
    }
}

/// The debts that still hold.
pub fn standing(ledger: &Ledger, observed: &Observed) -> BTreeMap<Key, Debt> {
    let debts = ledger.debts.iter().filter(|(key, _)| weight_again(key, observed).is_none());
    debts.map(|(key, debt)| (key.clone(), debt.clone())).collect()
}

/// Takes debts back which do not hold: as the ledger has them then, the servers were never let go, so that a weight of 0 is
/// nobody's wish.
pub fn forgive(ledger: &mut Ledger, void: impl IntoIterator<Item = Key>) {
    for key in void {
        let Some(Debt { weight, until: _ }) = ledger.debts.remove(&key) else { continue };
        if let Some(Entry { applied: Resource::Destination(server), .. }) = ledger.entries.get_mut(&key) {
            server.weight = Weight::Owned(weight);
        }
    }
}

/// The debts that can be paid now, each with the connections that end with its server.
pub fn payable(ledger: &Ledger, observed: &Observed, now: u64) -> BTreeMap<Key, Connections> {
    let connections = |key: &Key| observed.traffic.get(key).copied().unwrap_or_default();
    let mut payable = standing(ledger, observed);
    payable.retain(|key, Debt { until, .. }| {
        now >= *until || !observed.state.objects.contains_key(key) || is_drained(key, connections(key), observed)
    });
    payable.into_keys().map(|key| (key.clone(), connections(&key))).collect()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{TEMPLATES_EXPIRE, forgive, payable, standing, weight_again};
    use crate::state::{Connections, Key, Observed, Resource, State, Weight};
    use crate::txn::ledger::Ledger;

    const TCP: &str = "server tcp 10.0.0.100:80 10.0.0.1:80";
    const SCTP: &str = "server sctp 10.0.0.100:80 10.0.0.1:80";
    const UDP: &str = "server udp 10.0.0.100:80 10.0.0.1:80";
    const MARK: &str = "server fwmark 7 ipv4 10.0.0.1:0";

    fn key(text: &str) -> Key {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The debts of these servers, whose time is over at 100.
    fn ledger(servers: &[&str]) -> Ledger {
        let debts: serde_json::Map<String, serde_json::Value> =
            servers.iter().map(|server| ((*server).to_owned(), serde_json::json!({"weight": 3, "until": 100}))).collect();
        let text = serde_json::json!({
            "topology": "shop", "host": "lb1", "instance": {"boot": "1", "cookie": 1}, "transaction": "1", "at": 0, "by": "",
            "sources": "", "entries": {}, "debts": debts,
        });
        serde_json::from_value(text).expect("a ledger")
    }

    /// A kernel that holds these servers, each with its active, inactive and persistent connections.
    fn kernel(servers: &[(&str, [u32; 3])]) -> Observed {
        let mut observed = Observed::default();
        for (server, [active, inactive, persistent]) in servers {
            let resource = serde_json::json!({"kind": "destination", "forward": "dr", "weight": 0});
            observed.state.objects.insert(key(server), serde_json::from_value(resource).expect("a server"));
            let connections = Connections { active: *active, inactive: *inactive, persistent: *persistent };
            observed.traffic.insert(key(server), connections);
        }
        observed
    }

    /// Whether a server with these connections may go before its time is over.
    fn is_drained(server: &str, counts: [u32; 3]) -> bool {
        !payable(&ledger(&[server]), &kernel(&[(server, counts)]), 99).is_empty()
    }

    #[test]
    fn tcp_and_sctp_have_ended_when_nothing_is_active() {
        for server in [TCP, SCTP] {
            assert!(is_drained(server, [0, 0, 0]));
            assert!(is_drained(server, [0, 500, 0]), "they have ended, and only wait");
            assert!(!is_drained(server, [1, 0, 0]));
        }
    }

    #[test]
    fn udp_and_what_a_mark_collects_have_ended_when_nothing_is_counted_at_all() {
        for server in [UDP, MARK] {
            assert!(is_drained(server, [0, 0, 0]));
            assert!(!is_drained(server, [0, 1, 0]), "udp is never active");
            assert!(!is_drained(server, [1, 0, 0]));
        }
    }

    #[test]
    fn clients_that_would_come_back_are_waited_for_unless_the_kernel_lets_them_go_elsewhere() {
        let sysctl = |value: &str| -> State {
            let text = format!(r#"{{"sysctl {TEMPLATES_EXPIRE}": {{"kind": "sysctl", "value": "{value}"}}}}"#);
            serde_json::from_str(&text).expect("a state")
        };
        for server in [TCP, SCTP, UDP, MARK] {
            assert!(!is_drained(server, [0, 0, 1]));
            for (value, drained) in [("0", false), ("1", true)] {
                let mut observed = kernel(&[(server, [0, 0, 1])]);
                observed.state.objects.extend(sysctl(value).objects);
                assert_eq!(!payable(&ledger(&[server]), &observed, 99).is_empty(), drained, "{server}, {value}");
            }
        }
    }

    #[test]
    fn a_server_to_which_somebody_gave_weight_again_is_owed_no_more() {
        let (mut ledger, mut observed) = (ledger(&[TCP, UDP]), kernel(&[(TCP, [0, 0, 0]), (UDP, [0, 0, 0])]));
        if let Some(Resource::Destination(server)) = observed.state.objects.get_mut(&key(TCP)) {
            server.weight = Weight::Owned(7);
        }
        let entry = serde_json::json!({"name": "web", "applied": {"kind": "destination", "forward": "dr", "weight": 0}});
        ledger.entries.insert(key(TCP), serde_json::from_value(entry).expect("an entry"));
        assert_eq!((weight_again(&key(TCP), &observed), weight_again(&key(UDP), &observed)), (Some(7), None));
        assert_eq!(weight_again(&key(TCP), &kernel(&[])), None, "it is gone");
        for now in [99, 100] {
            assert!(payable(&ledger, &observed, now).into_keys().eq([key(UDP)]), "at {now}");
        }
        assert!(standing(&ledger, &observed).into_keys().eq([key(UDP)]));
        forgive(&mut ledger, [key(TCP)]);
        assert!(ledger.debts.keys().eq([&key(UDP)]));
        let applied = &ledger.entries[&key(TCP)].applied;
        assert!(matches!(applied, Resource::Destination(server) if server.weight == Weight::Owned(3)), "{applied:?}");
    }

    #[test]
    fn a_server_goes_when_its_time_is_over_or_when_somebody_took_it_away_and_no_other_does() {
        let (ledger, busy) = (ledger(&[TCP, UDP]), [(TCP, [7, 1, 1]), (UDP, [0, 2, 0])]);
        let keys = |observed: &Observed, now| -> BTreeSet<Key> { payable(&ledger, observed, now).into_keys().collect() };
        assert_eq!(keys(&kernel(&busy), 99), [].into());
        assert_eq!(keys(&kernel(&busy), 100), [key(TCP), key(UDP)].into(), "whatever is left");
        assert_eq!(keys(&kernel(&busy[..1]), 99), [key(UDP)].into(), "it is gone already");
        let connections = payable(&ledger, &kernel(&busy), 100).remove(&key(TCP));
        assert_eq!(connections, Some(Connections { active: 7, inactive: 1, persistent: 1 }), "what it cuts is said");
        let others = [(TCP, [0, 0, 0]), (UDP, [0, 0, 0]), (MARK, [0, 0, 0])];
        assert_eq!(keys(&kernel(&others), 100), [key(TCP), key(UDP)].into(), "what is not owed stays");
    }
}
