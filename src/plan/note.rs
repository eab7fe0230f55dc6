//! What a person must know beside the changes of a plan: as data, and the words for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::diff::{guests, spared};
use super::loss::Loss;
use super::{Aim, Phase, Rank};
use crate::provenance::Elsewhere;
use crate::state::{
    Absence, Action, AddressKey, Change, DestinationKey, Family, Key, OURS, Observed, Resource, RouteKey, ServiceKey, State,
    SysctlKey, order_matters,
};

/// Something to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The kernel has no IPVS yet.
    NoIpvs,
    /// A wanted sysctl exists only for the whole host.
    HostOnly(SysctlKey),
    /// A wanted sysctl is not there, and nothing in the plan would bring it.
    NoSuchSysctl(SysctlKey),
    /// Services that are not in the file, sorted; left alone.
    ForeignServices(Vec<ServiceKey>),
    /// Servers in services of the file that are not in the file, sorted; left alone.
    ForeignServers(Vec<DestinationKey>),
    /// A VIP of the file on a device where it should not be; left alone, so two devices answer for it.
    VipElsewhere {
        /// as it is here
        here: AddressKey,
        /// where the file has it
        wanted: Place,
    },
    /// An object has left the file and stays, because others have put something into it.
    KeptForOthers(Key, Key),
    /// An object is not changed, because others would lose something, and nobody was asked.
    Spared(Loss),
    /// Servers that leave get no new connections, and are deleted when theirs have ended.
    Draining {
        /// which
        servers: Vec<DestinationKey>,
        /// what they have together
        connections: u64,
    },
    /// The scheduler goes on choosing a server without weight, for the clients that are its own: they are refused.
    DrainingByHash(ServiceKey),
    /// Somebody else's route leads the packets of one of ours elsewhere; left alone.
    RouteFirst {
        /// ours
        ours: RouteKey,
        /// the one that the kernel takes
        first: RouteKey,
    },
    /// A device of this topology that the file does not have; left alone.
    UnwantedLink(String),
    /// There will be both a sync daemon and a server of another family than its service.
    SyncBesideMixed(DestinationKey),
    /// While servers are taken away, `expire_nodest_conn` is 0.
    ConnectionsKept,
}

/// Where a VIP is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this device of this host.
    Here(String),
    /// On these directors, and not on this one.
    Hosts(Vec<Arc<str>>),
}

/// How many foreign objects a note names.
const NAMED: usize = 3;

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::NoIpvs => f.write_str("The kernel has no IPVS yet: planned as an empty table; apply loads it."),
            Note::HostOnly(key) => {
                write!(f, "Skipped: {key} exists only for the whole host, and this is a network namespace inside it.")
            }
            Note::NoSuchSysctl(key) => {
                write!(f, "This kernel does not have {key}, and nothing in this plan brings it: apply will be refused.")
            }
            Note::ForeignServices(services) => {
                let word = if services.len() == 1 { "service" } else { "services" };
                write!(f, "Left alone: {} {word} not in the file: {}.", services.len(), Few(services))
            }
            Note::ForeignServers(servers) => {
                let word = if servers.len() == 1 { "server" } else { "servers" };
                let names: Vec<String> = servers.iter().map(|key| format!("{} in {}", key.id(), key.service)).collect();
                write!(f, "Left alone: {} {word} not in the file: {}.", servers.len(), Few(&names))
            }
            Note::VipElsewhere { here: AddressKey { address, prefix, interface }, wanted } => {
                write!(f, "Left alone: {address}")?;
                if *prefix != Family::of(*address).bits() {
                    write!(f, "/{prefix}")?;
                }
                match wanted {
                    Place::Here(device) => write!(f, " is on {interface} here too, and the file puts it on {device}."),
                    Place::Hosts(hosts) => write!(f, " is on {interface} here, and the file gives it to {}.", Few(hosts)),
                }
            }
            Note::KeptForOthers(key @ Key::Fou(_), guest) => {
                write!(f, "Left alone: {key} is to go, and somebody else's {guest} needs it.")
            }
            Note::KeptForOthers(key, guest) => {
                write!(f, "Left alone: {key} is to go, and would take along what others put into it: {guest}.")
            }
            Note::Spared(loss) => write!(f, "Left alone: {}: {loss}.", loss.cause),
            Note::Draining { servers, connections } => {
                let names: Vec<String> = servers.iter().map(|key| format!("{} in {}", key.id(), key.service)).collect();
                let when = match connections {
                    0 => "deleted at once, since they have no connections".to_owned(),
                    1 => "deleted when their 1 connection has ended".to_owned(),
                    count => format!("deleted when their {count} connections have ended"),
                };
                write!(f, "Draining: {}: no new connections; {when}.", Few(&names))
            }
            Note::DrainingByHash(service) => write!(
                f,
                "The scheduler of {service} goes on choosing a server without weight for the clients that are its own: they \
                 are refused until it is deleted. `fallback` gives them to others."
            ),
            Note::RouteFirst { ours, first } => {
                write!(f, "Left alone: {}, which is not ours and comes before {}: packets go there.", Key::Route(first.clone()), Key::Route(ours.clone()))
            }
            Note::UnwantedLink(name) => {
                write!(f, "Left alone: the device {name} is this topology's by its alias, and the file has no use for it any more.")
            }
            Note::SyncBesideMixed(server) => write!(
                f,
                "The kernel refuses a sync daemon beside server {} in {}, which is of another family than its service: apply will be \
                 refused.",
                server.id(),
                server.service
            ),
            Note::ConnectionsKept => f.write_str(
                "net.ipv4.vs.expire_nodest_conn is 0 while servers are taken away, so that an undo finds their connections alive.",
            ),
        }
    }
}

/// The first of a list, and how many more.
struct Few<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Few<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().take(NAMED).enumerate() {
            write!(f, "{}{name}", if at == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Of two routes to one destination in one table the kernel takes the one with the lower metric, of two with one metric the
/// older (`fib_insert_alias`); IPv6 shares between the latter.
fn routes_that_come_first(wanted: &State, observed: &Observed) -> Vec<Note> {
    let routes = |state: &State| {
        let routes = state.objects.range(..Key::Timeouts).filter_map(|(key, value)| match (key, value) {
            (Key::Route(key), Resource::Route(route)) => Some((key.clone(), route.protocol)),
            _ => None,
        });
        routes.collect::<Vec<_>>()
    };
    let live = routes(&observed.state);
    let mut notes = Vec::new();
    for (ours, _) in routes(wanted).into_iter().filter(|(_, protocol)| *protocol == OURS) {
        let is_before = |other: &RouteKey| {
            (other.destination, other.table, other.tos) == (ours.destination, ours.table, ours.tos) && other.metric <= ours.metric
        };
        let first = live.iter().find(|(other, protocol)| *protocol != OURS && *other != ours && is_before(other));
        notes.extend(first.map(|(first, _)| Note::RouteFirst { ours, first: first.clone() }));
    }
    notes
}

pub(super) fn notes(aim: &Aim<'_>, observed: &Observed, exclusive: bool, changes: &[Change], phases: &[Phase]) -> Vec<Note> {
    let wanted: &State = &aim.wanted;
    let mut notes = Vec::new();
    let wants_ipvs = wanted.objects.range(Key::Timeouts..).next().is_some();
    if wants_ipvs && !observed.kernel.ipvs {
        notes.push(Note::NoIpvs);
    }
    notes.extend(wanted.objects.range(..Key::Timeouts).filter_map(|(key, _)| match (key, observed.absent.get(key)) {
        (Key::Sysctl(sysctl), Some(Absence::HostOnly)) => Some(Note::HostOnly(sysctl.clone())),
        (Key::Sysctl(sysctl), Some(Absence::Missing)) if !is_brought(sysctl, changes, wants_ipvs && !observed.kernel.ipvs) => {
            Some(Note::NoSuchSysctl(sysctl.clone()))
        }
        _ => None,
    }));
    if !exclusive {
        notes.extend(foreign(aim, observed));
        notes.extend(kept_for_others(aim, observed));
    }
    notes.extend(routes_that_come_first(wanted, observed));
    notes.extend(spared(aim, observed, exclusive).into_iter().map(Note::Spared));
    notes.extend(draining(aim, observed));
    notes.extend(sync_beside_mixed(observed, changes));
    if phases.iter().any(|phase| phase.rank == Rank::ConnectionsKept) {
        notes.push(Note::ConnectionsKept);
    }
    notes
}

/// Whether a change of the plan may make a sysctl appear: a module, a device, the first use of IPVS.
fn is_brought(key: &SysctlKey, changes: &[Change], brings_ipvs: bool) -> bool {
    brings_ipvs && key.path().starts_with("net/ipv4/vs/")
        || changes.iter().take_while(|change| change.key < Key::Timeouts).any(|change| match &change.key {
            Key::Module(_) => key.device().is_none(),
            Key::Link(name) => change.action() == Action::Add && key.device() == Some(name),
            _ => false,
        })
}

/// What will be there is what is there and what the changes make of it.
fn sync_beside_mixed(observed: &Observed, changes: &[Change]) -> Option<Note> {
    let gone = |key: &Key| {
        let at = changes.binary_search_by(|change| change.key.cmp(key));
        at.ok().and_then(|at| changes.get(at)).is_some_and(|change| change.after.is_none())
    };
    let made = changes.iter().filter(|change| change.after.is_some()).map(|change| &change.key);
    let concerns = |key: &&Key| matches!(key, Key::Sync(_)) || mixed(key).is_some();
    let mut made = made.filter(concerns).peekable();
    made.peek()?;
    let will_be: Vec<&Key> = observed.state.objects.keys().filter(concerns).filter(|key| !gone(key)).chain(made).collect();
    let synced = will_be.iter().any(|key| matches!(key, Key::Sync(_)));
    will_be.iter().find_map(|key| mixed(key)).filter(|_| synced).map(Note::SyncBesideMixed)
}

/// What this topology's VIPs and devices left behind on the host: nothing deletes it before it is recorded what is ours.
pub(super) fn left_behind(
    wanted: &State,
    observed: &Observed,
    changes: &[Change],
    host: &str,
    elsewhere: &Elsewhere,
) -> Vec<Note> {
    let mut notes = Vec::new();
    // Where each VIP is to be on this host.
    let mut devices: BTreeMap<IpAddr, &str> = BTreeMap::new();
    for key in wanted.objects.keys() {
        if let Key::Address(AddressKey { address, interface, .. }) = key {
            devices.insert(*address, interface);
        }
    }
    for (key, resource) in &observed.state.objects {
        if wanted.objects.contains_key(key) || changes.binary_search_by(|change| change.key.cmp(key)).is_ok() {
            continue;
        }
        match (key, resource) {
            (Key::Address(here), _) => {
                let Some(hosts) = elsewhere.holders.get(&here.address) else { continue };
                let place = match devices.get(&here.address) {
                    Some(device) => Place::Here((*device).to_owned()),
                    None if hosts.is_empty() || hosts.iter().any(|name| **name == *host) => continue,
                    None => Place::Hosts(hosts.clone()),
                };
                notes.push(Note::VipElsewhere { here: here.clone(), wanted: place });
            }
            (Key::Link(name), Resource::Link(link))
                if !elsewhere.mark.is_empty() && link.alias.as_ref() == Some(&elsewhere.mark) =>
            {
                notes.push(Note::UnwantedLink(name.clone()));
            }
            _ => {}
        }
    }
    notes
}

fn mixed(key: &Key) -> Option<DestinationKey> {
    match key {
        Key::Destination(server) if server.service.family() != Family::of(server.address) => Some(*server),
        _ => None,
    }
}

/// What leaves slowly, and where that is felt.
fn draining(aim: &Aim<'_>, observed: &Observed) -> Vec<Note> {
    if aim.draining.is_empty() {
        return Vec::new();
    }
    let servers: Vec<DestinationKey> = aim.draining.iter().copied().collect();
    let traffic = servers.iter().filter_map(|server| observed.traffic.get(&Key::Destination(*server)));
    let connections = traffic.map(|connections| u64::from(connections.active) + u64::from(connections.inactive)).sum();
    let services: BTreeSet<ServiceKey> = servers.iter().map(|server| server.service).collect();
    let without_fallback = |service: &ServiceKey| match aim.wanted.objects.get(&Key::Service(*service)) {
        Some(Resource::Service(settings)) => order_matters(&settings.scheduler) && !settings.flags.sched1,
        _ => false,
    };
    let hashed = services.into_iter().filter(without_fallback).map(Note::DrainingByHash);
    std::iter::once(Note::Draining { servers, connections }).chain(hashed).collect()
}

/// What leaves the file and has to stay, since others use it.
fn kept_for_others(aim: &Aim<'_>, observed: &Observed) -> impl Iterator<Item = Note> {
    let goes = aim.leaving.keys().filter(|key| aim.goes(key) && observed.state.objects.contains_key(key));
    goes.filter_map(|key| Some(Note::KeptForOthers(key.clone(), guests(key, aim, observed).into_iter().next()?)))
}

fn foreign(aim: &Aim<'_>, observed: &Observed) -> Vec<Note> {
    let wanted = &aim.wanted;
    let mut services = Vec::new();
    let mut servers = Vec::new();
    for key in observed.state.objects.range(Key::Timeouts..).map(|(key, _)| key) {
        match key {
            Key::Service(service) if !wanted.objects.contains_key(key) && !aim.goes(key) => services.push(*service),
            Key::Destination(server) if !wanted.objects.contains_key(key) && !aim.goes(key) => {
                // The servers of a foreign service are not worth a line of their own.
                let ours = wanted.objects.contains_key(&Key::Service(server.service));
                servers.extend(ours.then_some(*server));
            }
            _ => {}
        }
    }
    let mut notes = Vec::new();
    if !services.is_empty() {
        notes.push(Note::ForeignServices(services));
    }
    if !servers.is_empty() {
        notes.push(Note::ForeignServers(servers));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::{Note, notes};
    use crate::plan::testing::{observed, state};
    use crate::plan::{Aim, diff};
    use crate::state::{Absence, Key};

    #[test]
    fn a_sysctl_that_nothing_brings_is_told_before_apply_is_refused() {
        let text = |name: &str| format!(r#""sysctl {name}": {{"kind": "sysctl", "value": "1"}}"#);
        let device = r#""link d0": {"kind": "link", "device": "dummy", "up": true}"#;
        for (name, told) in [("net.ipv4.nosuch", true), ("net.ipv4.conf.d0.arp_ignore", false), ("net.ipv4.vs.nosuch", true)] {
            let wanted = state(&[device, &text(name), r#""timeouts": {"kind": "timeouts"}"#]);
            let mut live = observed(&[]);
            let key: Key = format!("sysctl {name}").parse().expect("a key");
            live.absent.insert(key, Absence::Missing);
            let notes = notes(&Aim::from(&wanted), &live, false, &diff(&Aim::from(&wanted), &live, false), &[]);
            assert_eq!(notes.iter().any(|note| matches!(note, Note::NoSuchSysctl(_))), told, "{name}");
        }
    }

    #[test]
    fn a_daemon_of_others_beside_a_server_of_another_family_is_told() {
        let service = r#""service tcp 10.0.0.100:80": {"kind": "service", "scheduler": "rr"}"#;
        let mixed =
            r#""server tcp 10.0.0.100:80 [2001:db8::1]:80": {"kind": "destination", "forward": {"tun": "ipip"}, "weight": 1}"#;
        let sync =
            r#""sync master": {"kind": "sync", "interface": "eth0", "id": 1, "group": "224.0.0.81", "port": 8848, "ttl": 1}"#;
        for (live, told) in [(vec![service, sync], true), (vec![service], false)] {
            let (wanted, live) = (state(&[service, mixed]), observed(&live));
            let notes = notes(&Aim::from(&wanted), &live, false, &diff(&Aim::from(&wanted), &live, false), &[]);
            assert_eq!(notes.iter().any(|note| matches!(note, Note::SyncBesideMixed(_))), told);
        }
    }
}
