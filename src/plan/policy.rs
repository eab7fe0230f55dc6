//! What one host's plan may do at most: the rules of `policy`, and those that nobody has to write.
//!
//! They are asked before anything is touched, of a plan that was made under the lock. Each has a word by which one run may
//! break it.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::Plan;
use super::loss::{Loss, losses};
use crate::state::effects::destinations;
use crate::state::{Action, Change, DestinationKey, Key, Observed, Resource, ServiceKey, State};

/// A number, or a share of what was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// so many
    Count(u32),
    /// percent, 0 to 100
    Percent(u8),
}

/// The limits of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Objects that a plan may delete; a share of what the topology owns there.
    pub max_deletes: Option<Amount>,
    /// Connections that end with servers that are deleted: active ones, and where udp may be among them the inactive ones too.
    pub max_connections_cut: Option<u32>,
    /// Servers of weight over 0 that each service keeps; a share of those before.
    pub min_servers: Option<Amount>,
    /// What no plan deletes, in the file's words: `service.shop`.
    pub protect: Vec<String>,
}

/// What a plan is measured by.
#[derive(Clone, Debug)]
pub struct Measure<'a> {
    /// The file's limits.
    pub policy: &'a Policy,
    /// What no plan deletes, by what the ledger and the file say.
    pub protected: &'a BTreeSet<Key>,
    /// What the topology owns there.
    pub owned: &'a BTreeSet<Key>,
    /// The host as which it was applied, where it was.
    pub host: Option<&'a str>,
    /// What is there.
    pub observed: &'a Observed,
    /// What is to be there.
    pub wanted: &'a State,
}

/// A rule that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It deletes more than `most` objects.
    MaxDeletes {
        /// what it deletes
        deletes: usize,
        /// what it may
        most: usize,
    },
    /// It cuts more than `most` connections.
    MaxConnectionsCut {
        /// what it cuts
        cut: u64,
        /// what it may
        most: u32,
    },
    /// A service is left with less than `least` servers of weight over 0.
    MinServers {
        /// which service
        service: ServiceKey,
        /// what it is left with
        left: usize,
        /// what it needs
        least: usize,
    },
    /// It deletes what is protected.
    Protect(Key),
    /// It deletes every service that the topology owns.
    Empties(usize),
    /// Others lose something with what it takes away.
    Foreign(Loss),
    /// What is here was applied as another host of the topology.
    Host {
        /// that host
        here: String,
        /// the plan's host
        asked: String,
    },
}

impl Broken {
    /// The rule's word, by which one run may break it.
    pub fn rule(&self) -> &'static str {
        match self {
            Broken::MaxDeletes { .. } => "max-deletes",
            Broken::MaxConnectionsCut { .. } => "max-connections-cut",
            Broken::MinServers { .. } => "min-servers",
            Broken::Protect(_) => "protect",
            Broken::Empties(_) => "empties",
            Broken::Foreign(_) => "foreign",
            Broken::Host { .. } => "host",
        }
    }
}

/// The words of all rules.
pub const RULES: [&str; 8] =
    ["max-deletes", "max-connections-cut", "min-servers", "protect", "empties", "foreign", "host", MODEL];

/// The word by which a plan goes to the kernel although a model of it refuses it.
pub const MODEL: &str = "model";

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::MaxDeletes { deletes, most } => {
                write!(f, "max-deletes: the plan deletes {deletes} objects, and may delete {most}")
            }
            Broken::MaxConnectionsCut { cut, most } => {
                write!(f, "max-connections-cut: the plan cuts {cut} established connections, and may cut {most}")
            }
            Broken::MinServers { service, left, least } => {
                write!(f, "min-servers: service {service} would keep {left} servers of weight over 0, and must keep {least}")
            }
            Broken::Protect(key) => write!(f, "protect: the plan deletes {key}, which is protected"),
            Broken::Foreign(loss) => write!(f, "foreign: {loss}"),
            Broken::Host { here, asked } => {
                write!(f, "host: this is `{here}` by what was applied here, and the plan is for `{asked}`")
            }
            Broken::Empties(services) => {
                write!(f, "empties: the plan deletes every service that the topology owns here: {services}")
            }
        }
    }
}

/// Every rule that a plan breaks.
pub fn broken(plan: &Plan, measure: &Measure<'_>) -> Vec<Broken> {
    let Measure { policy, protected, owned, host, observed, wanted } = measure;
    let mut broken = Vec::new();
    if let Some(here) = host.filter(|here| **here != plan.target.host && !owned.is_empty()) {
        broken.push(Broken::Host { here: here.to_owned(), asked: plan.target.host.clone() });
    }
    let counted = || plan.changes.iter().filter(|planned| !planned.incidental);
    let deleted = || counted().filter(|planned| planned.action == Action::Delete).map(|planned| &planned.change.key);
    if let Some(most) = policy.max_deletes.map(|most| most.of(owned.len(), usize::min)) {
        let count = deleted().count();
        if count > most {
            broken.push(Broken::MaxDeletes { deletes: count, most });
        }
    }
    if let Some(most) = policy.max_connections_cut.filter(|most| plan.summary.connections_cut > u64::from(*most)) {
        broken.push(Broken::MaxConnectionsCut { cut: plan.summary.connections_cut, most });
    }
    if let Some(least) = policy.min_servers {
        broken.extend(too_few_servers(plan, least, observed, wanted));
    }
    let replaced = counted().filter(|planned| matches!(planned.action, Action::Delete | Action::Replace));
    broken
        .extend(replaced.map(|planned| &planned.change.key).filter(|key| protected.contains(key)).cloned().map(Broken::Protect));
    let changes: Vec<&Change> = plan.changes.iter().map(|planned| &planned.change).collect();
    broken.extend(losses(&changes, observed).into_iter().map(Broken::Foreign));
    let services = || owned.iter().filter(|key| matches!(key, Key::Service(_)));
    let gone: BTreeSet<&Key> = deleted().collect();
    if services().next().is_some() && services().all(|key| gone.contains(key)) {
        broken.push(Broken::Empties(services().count()));
    }
    broken
}

/// Services of which servers go or lose their weight. What goes as a whole needs none.
fn too_few_servers(plan: &Plan, least: Amount, observed: &Observed, wanted: &State) -> Vec<Broken> {
    let touched: BTreeSet<ServiceKey> = plan
        .changes
        .iter()
        .filter_map(|planned| match planned.change.key {
            Key::Destination(DestinationKey { service, .. }) => Some(service),
            _ => None,
        })
        .collect();
    let serves =
        |resource: Option<&Resource>| matches!(resource, Some(Resource::Destination(server)) if server.weight.value() > 0);
    let few = touched.into_iter().filter(|service| wanted.objects.contains_key(&Key::Service(*service))).filter_map(|service| {
        let before: Vec<&Key> =
            destinations(observed, service).filter(|(_, server)| serves(Some(server))).map(|(key, _)| key).collect();
        let changed = |key: &Key| plan.changes.binary_search_by(|planned| planned.change.key.cmp(key)).ok();
        let after = |key: &Key| match changed(key).and_then(|at| plan.changes.get(at)) {
            Some(planned) => serves(planned.change.after.as_ref()),
            None => true,
        };
        let kept = before.iter().filter(|key| after(key)).count();
        let come = plan.changes.iter().filter(|planned| {
            matches!(planned.change.key, Key::Destination(key) if key.service == service)
                && serves(planned.change.after.as_ref())
                && !before.contains(&&planned.change.key)
        });
        let left = kept + come.count();
        let least = least.of(before.len(), usize::max);
        // A service that never had so many is not made worse.
        (left < least && left < before.len()).then_some(Broken::MinServers { service, left, least })
    });
    few.collect()
}

impl Amount {
    /// How much it is of `all`; a share is rounded to the safe side: `usize::min` down, `usize::max` up.
    fn of(self, all: usize, side: fn(usize, usize) -> usize) -> usize {
        match self {
            Amount::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Amount::Percent(percent) => {
                let share = all * usize::from(percent);
                side(share / 100, share.div_ceil(100))
            }
        }
    }
}

/// Whether `service.shop` means this object, which has this name in the file.
pub fn means(words: &str, key: &Key, name: &str) -> bool {
    let text = key.to_string();
    let kind = text.split(' ').next().unwrap_or_default();
    words.split_once('.').is_some_and(|(wanted, of)| wanted == kind && of == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Amount, Broken, Measure, Policy, broken, means};
    use crate::plan::testing::{observed, state};
    use crate::plan::{Aim, Owned, Plan, Target};
    use crate::provenance::{Elsewhere, Names};
    use crate::state::{Connections, Key, Observed};

    const WEB: &str = r#""service tcp 10.0.0.100:80": {"kind": "service", "scheduler": "rr"}"#;
    const DNS: &str = r#""service udp 10.0.0.100:53": {"kind": "service", "scheduler": "rr"}"#;

    /// A server of [`WEB`].
    fn web(last: u8, weight: u32) -> String {
        server("tcp 10.0.0.100:80", last, 80, weight)
    }

    fn server(service: &str, last: u8, port: u16, weight: u32) -> String {
        format!(r#""server {service} 10.0.0.{last}:{port}": {{"kind": "destination", "forward": "dr", "weight": {weight}}}"#)
    }

    /// [`WEB`] with servers of these weights, the first of which is 10.0.0.1.
    fn weights(weights: &[u32]) -> Vec<String> {
        let servers = (1..).zip(weights).map(|(last, weight)| web(last, *weight));
        std::iter::once(WEB.to_owned()).chain(servers).collect()
    }

    fn kernel(objects: &[String]) -> Observed {
        observed(&objects.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn key(text: &str) -> Key {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    /// What a plan breaks that makes `wanted` of a kernel in which everything is the topology's own.
    fn breaks(policy: &Policy, protected: &[&str], live: &Observed, wanted: &[String]) -> Vec<Broken> {
        let wanted = state(&wanted.iter().map(String::as_str).collect::<Vec<_>>());
        let owned: Owned = live.state.objects.keys().map(|key| (key.clone(), ("".into(), None))).collect();
        let aim = Aim::new(&wanted, &owned);
        let target = Target { topology: "shop".into(), file: String::new(), host: "lb1".into(), role: "director".into() };
        let plan = Plan::make(target, &aim, &Names::new(), live, false, Vec::new(), &Elsewhere::default());
        let owned: BTreeSet<Key> = owned.into_keys().collect();
        let protected = protected.iter().map(|text| key(text)).collect();
        let (wanted, host) = (&*aim.wanted, Some("lb1"));
        broken(&plan, &Measure { policy, protected: &protected, owned: &owned, host, observed: live, wanted })
    }

    #[test]
    fn deletes_are_counted_against_a_number_or_a_share_of_what_is_owned_rounded_down() {
        let live = kernel(&weights(&[1, 1, 1, 1, 1])); // six objects
        for (most, deletes, allowed) in [
            (Amount::Count(2), 2, Some(2)),
            (Amount::Count(2), 3, None),
            (Amount::Count(0), 0, Some(0)),
            (Amount::Percent(50), 3, Some(3)),
            (Amount::Percent(49), 3, None), // 2.94 are 2
            (Amount::Percent(49), 2, Some(2)),
            (Amount::Percent(0), 1, None),
            (Amount::Percent(100), 5, Some(5)),
        ] {
            let policy = Policy { max_deletes: Some(most), ..Policy::default() };
            let broken = breaks(&policy, &[], &live, &weights(&vec![1; 5 - deletes]));
            let is_allowed = !broken.iter().any(|broken| matches!(broken, Broken::MaxDeletes { .. }));
            assert_eq!(is_allowed, allowed.is_some(), "{deletes} of {most:?}: {broken:?}");
        }
    }

    #[test]
    fn what_is_only_changed_is_not_deleted() {
        let policy = Policy { max_deletes: Some(Amount::Count(0)), ..Policy::default() };
        let live = kernel(&weights(&[1, 1]));
        assert_eq!(breaks(&policy, &["server tcp 10.0.0.100:80 10.0.0.1:80"], &live, &weights(&[7, 0])), []);
    }

    #[test]
    fn connections_cut_are_the_kernels_own_counts_of_the_servers_that_go() {
        let mut live = kernel(&[weights(&[1, 1, 1]), vec![DNS.to_owned(), server("udp 10.0.0.100:53", 1, 53, 1)]].concat());
        let mut counts = |text: &str, active, inactive| {
            live.traffic.insert(key(text), Connections { active, inactive, persistent: 9 });
        };
        counts("server tcp 10.0.0.100:80 10.0.0.1:80", 1000, 5000);
        counts("server tcp 10.0.0.100:80 10.0.0.2:80", 30, 400);
        counts("server tcp 10.0.0.100:80 10.0.0.3:80", 7, 100);
        counts("server udp 10.0.0.100:53 10.0.0.1:53", 0, 20);
        let dns = [DNS.to_owned(), server("udp 10.0.0.100:53", 1, 53, 1)];
        let cut = |wanted: &[String], most| {
            let policy = Policy { max_connections_cut: Some(most), ..Policy::default() };
            breaks(&policy, &[], &live, wanted).into_iter().find_map(|broken| match broken {
                Broken::MaxConnectionsCut { cut, most: said } => {
                    assert_eq!(said, most);
                    Some(cut)
                }
                _ => None,
            })
        };
        // Of tcp those that are established; what has ended is only waited for.
        assert_eq!(cut(&[weights(&[1]), dns.to_vec()].concat(), 36), Some(37));
        assert_eq!(cut(&[weights(&[1]), dns.to_vec()].concat(), 37), None, "as many as it may");
        // The servers of a service that goes, and all of udp, which counts as inactive.
        assert_eq!(cut(&weights(&[1, 1, 1]), 0), Some(20));
        assert_eq!(cut(&dns, 1036), Some(1037));
        // Without weight they go on.
        assert_eq!(cut(&[weights(&[0, 0, 0]), dns.to_vec()].concat(), 0), None);
    }

    #[test]
    fn a_service_keeps_a_number_of_servers_or_a_share_rounded_up() {
        let live = kernel(&weights(&[1, 1, 1, 1, 1]));
        for (least, wanted, needs) in [
            (Amount::Count(3), vec![1, 1, 1], None),
            (Amount::Count(3), vec![1, 1], Some(3)),
            (Amount::Percent(50), vec![1, 1, 1], None),
            (Amount::Percent(50), vec![1, 1], Some(3)), // 2.5 are 3
            (Amount::Percent(1), vec![], Some(1)),
            (Amount::Percent(0), vec![], None),
            (Amount::Percent(100), vec![1, 1, 1, 1], Some(5)),
            // Without weight is without.
            (Amount::Count(3), vec![1, 1, 0, 0, 0], Some(3)),
            (Amount::Count(3), vec![1, 1, 9, 0, 0], None),
        ] {
            let policy = Policy { min_servers: Some(least), ..Policy::default() };
            let left = wanted.iter().filter(|weight| **weight > 0).count();
            let service = key("service tcp 10.0.0.100:80");
            let expected: Vec<Broken> = needs
                .and_then(|least| match service {
                    Key::Service(service) => Some(Broken::MinServers { service, left, least }),
                    _ => None,
                })
                .into_iter()
                .collect();
            assert_eq!(breaks(&policy, &[], &live, &weights(&wanted)), expected, "{least:?} of {wanted:?}");
        }
    }

    #[test]
    fn servers_that_come_count_and_a_service_that_never_had_so_many_is_not_made_worse() {
        let policy = Policy { min_servers: Some(Amount::Count(3)), ..Policy::default() };
        let live = kernel(&weights(&[1, 1, 1]));
        let others = [vec![WEB.to_owned()], vec![web(11, 1), web(12, 1), web(13, 1)]].concat();
        assert_eq!(breaks(&policy, &[], &live, &others), [], "three go and three come");
        assert_eq!(breaks(&policy, &[], &live, &others[..3]).len(), 1, "three go and two come");
        let few = kernel(&weights(&[1, 1]));
        assert_eq!(breaks(&policy, &[], &few, &weights(&[5, 1])), [], "it had two, and keeps them");
        assert_eq!(breaks(&policy, &[], &few, &weights(&[1])).len(), 1, "it had two, and would have one");
        let beside = [weights(&[1, 1, 1]), vec![DNS.to_owned()]].concat();
        assert_eq!(breaks(&policy, &[], &kernel(&beside), &[DNS.to_owned()]), [], "a service that goes needs none");
    }

    #[test]
    fn servers_that_others_put_into_a_service_serve_too() {
        let policy = Policy { min_servers: Some(Amount::Count(2)), ..Policy::default() };
        let live = kernel(&weights(&[1, 1, 1]));
        let wanted = state(&[WEB, &web(1, 1)]);
        // Only the second one is the topology's; the third is somebody's.
        let owned: Owned = [(key("server tcp 10.0.0.100:80 10.0.0.2:80"), ("".into(), None))].into();
        let aim = Aim::new(&wanted, &owned);
        let target = Target { topology: "shop".into(), file: String::new(), host: "lb1".into(), role: "director".into() };
        let plan = Plan::make(target, &aim, &Names::new(), &live, false, Vec::new(), &Elsewhere::default());
        let owned = owned.into_keys().collect();
        let (wanted, protected) = (&*aim.wanted, &BTreeSet::new());
        let measure = Measure { policy: &policy, protected, owned: &owned, host: None, observed: &live, wanted };
        assert_eq!(broken(&plan, &measure), [], "two are left");
    }

    #[test]
    fn what_is_protected_is_neither_deleted_nor_replaced() {
        let live = kernel(&weights(&[1, 1]));
        let service = "service tcp 10.0.0.100:80";
        let server = "server tcp 10.0.0.100:80 10.0.0.2:80";
        let policy = Policy::default();
        assert_eq!(breaks(&policy, &[server, service], &live, &weights(&[1])), [Broken::Protect(key(server))]);
        assert_eq!(breaks(&policy, &[service], &live, &weights(&[1])), []);
        let sync = |id: u8| {
            let rest = r#""interface": "eth0", "group": "224.0.0.81", "port": 8848, "ttl": 1"#;
            vec![format!(r#""sync master": {{"kind": "sync", "id": {id}, {rest}}}"#)]
        };
        let broken = breaks(&policy, &["sync master"], &kernel(&sync(1)), &sync(2));
        assert_eq!(broken, [Broken::Protect(key("sync master"))], "another id is another daemon");
    }

    #[test]
    fn the_last_service_that_is_owned_is_not_deleted_unasked() {
        let live = kernel(&[weights(&[1]), vec![DNS.to_owned()]].concat());
        let policy = Policy::default();
        assert_eq!(breaks(&policy, &[], &live, &[]), [Broken::Empties(2)]);
        assert_eq!(breaks(&policy, &[], &live, &[DNS.to_owned()]), [], "one is left");
        assert_eq!(breaks(&policy, &[], &live, &weights(&[])), [], "one is left, without servers");
        let address = vec![r#""vip 10.0.0.100 eth0": {"kind": "address"}"#.to_owned()];
        assert_eq!(breaks(&policy, &[], &kernel(&address), &[]), [], "it had none");
    }

    #[test]
    fn a_word_of_protect_is_a_kind_and_a_name() {
        let service = key("service tcp 10.0.0.100:80");
        assert!(means("service.shop", &service, "shop"));
        assert!(means("service.shop.example", &service, "shop.example"), "the first dot parts them");
        for words in ["service.shop2", "server.shop", "shop", "service", "service.", ".shop", ""] {
            assert!(!means(words, &service, "shop"), "{words}");
        }
    }
}
