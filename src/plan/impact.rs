//! What a change does to live connections: as data with counts, and the words for it, here and nowhere else.
//!
//! Source of each fact: reference §2.2 (edits in place), §2.5 (established connections) and the measurements of §1.6 and
//! §1.11 of the notes on the transaction.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::clients::OfService;
use crate::state::effects::{destinations, is_forwarding};
use crate::state::{
    Action, Change, Connections, Destination, DestinationKey, Family, Forward, Key, Observed, Order, Protocol, Resource, Service,
    ServiceKey, SyncRole, SysctlKey,
};

/// One thing that a change does to live connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Impact {
    /// The service gets another scheduler.
    Scheduler,
    /// The same scheduler gets other options.
    SchedulerOptions,
    /// Each datagram of the service is scheduled by itself from now on, or no longer.
    OnePacket(bool),
    /// Clients of the service stay with their server from now on.
    PersistenceBegins,
    /// Clients of the service no longer stay with their server.
    PersistenceEnds {
        /// persistence templates
        templates: u64,
    },
    /// The timeout or the engine of persistence.
    PersistenceChanged {
        /// persistence templates
        templates: u64,
    },
    /// Which clients count as one.
    PersistenceClients {
        /// persistence templates
        templates: u64,
    },
    /// A server gets weight 0.
    Quiesced {
        /// what it has
        connections: Connections,
        /// Whether templates go on sending clients to it (`expire_quiescent_template` is not 1).
        templates_stay: bool,
    },
    /// A server at weight 0 takes new connections again.
    Awakened,
    /// A server gets another weight.
    Weight,
    /// Another forwarding method.
    Method {
        /// what the server has
        connections: Connections,
    },
    /// Other tunnel settings.
    Encapsulation {
        /// what the server has
        connections: Connections,
    },
    /// The server has as many connections as the new upper threshold allows, or more.
    Overloaded {
        /// what it has
        connections: u64,
        /// It takes new ones again when it has fewer than this: the lower threshold, or three quarters of the upper one.
        until: u64,
    },
    /// A server of another family than its service is made: IPVS tunnels to it across.
    OtherFamily {
        /// the family of the packets
        packets: Family,
    },
    /// A server is taken away.
    Taken {
        /// what it has
        connections: Connections,
        /// How many of these are alive: active ones; for udp and marks all but templates, since udp counts as inactive.
        alive: u64,
        /// What becomes of them.
        ending: Ending,
    },
    /// The last service of a family goes; said once for each family.
    LastOfFamily(Family),
    /// Servers are taken out and put back at once, to sit in the right order.
    Reseated {
        /// how many
        servers: usize,
    },
    /// Clients go to another server than before, since the table of sh, dh or mh becomes another one; said once for each
    /// service.
    ClientsMove(OfService),
    /// Forwarding of a family is turned on or off, on every device.
    Forwarding {
        /// the family
        family: Family,
        /// on or off
        on: bool,
    },
    /// Timeouts of connections.
    Timeouts,
    /// A VIP is taken away from this host.
    VipGone,
    /// A VIP is away for a moment.
    VipReplaced,
    /// A device is away for a moment.
    LinkReplaced,
    /// A device is taken away.
    LinkGone,
    /// A rule that leads replies back to their director is taken away.
    WayBackGone,
    /// A rule that delivers packets with a mark here is taken away.
    DeliveryGone,
    /// The rules of a table of nftables are replaced, all in one step.
    TableReplaced,
    /// A table of nftables is taken away.
    TableGone,
    /// A sync daemon is stopped.
    SyncStopped(SyncRole),
    /// A sync daemon is stopped and started.
    SyncRestarted(SyncRole),
}

/// What becomes of the connections of a server that is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `expire_nodest_conn` is 0: their packets are dropped in silence until their own timeout.
    Hang,
    /// `expire_nodest_conn` is 1: reset at their next packet.
    Reset,
    /// The family has no service any more, so its packets reach the host's own stack: reset.
    Unhooked,
    /// The value of `expire_nodest_conn` is not known.
    HangOrReset,
}

impl Impact {
    /// The field of the change that does it, by [`FieldChange::field`](crate::state::FieldChange::field); `None`: the change
    /// as a whole.
    pub fn field(&self) -> Option<&'static str> {
        Some(match self {
            Impact::Scheduler | Impact::SchedulerOptions => "scheduler",
            Impact::OnePacket(_) => "one-packet",
            Impact::PersistenceBegins | Impact::PersistenceEnds { .. } | Impact::PersistenceChanged { .. } => "persistence",
            Impact::PersistenceClients { .. } => "persistence clients",
            Impact::Quiesced { .. } | Impact::Awakened | Impact::Weight => "weight",
            Impact::Method { .. } | Impact::Encapsulation { .. } => "forward",
            Impact::Overloaded { .. } => "max-connections",
            Impact::OtherFamily { .. }
            | Impact::Taken { .. }
            | Impact::LastOfFamily(_)
            | Impact::Reseated { .. }
            | Impact::ClientsMove(_)
            | Impact::Forwarding { .. }
            | Impact::Timeouts
            | Impact::VipGone
            | Impact::WayBackGone
            | Impact::DeliveryGone
            | Impact::TableReplaced
            | Impact::TableGone
            | Impact::VipReplaced
            | Impact::LinkReplaced
            | Impact::LinkGone
            | Impact::SyncStopped(_)
            | Impact::SyncRestarted(_) => return None,
        })
    }

    /// The connections concerned, as the kernel counts them; `None` where counts mean nothing.
    pub fn connections(&self) -> Option<Connections> {
        match self {
            Impact::Quiesced { connections, .. }
            | Impact::Method { connections }
            | Impact::Encapsulation { connections }
            | Impact::Taken { connections, .. } => Some(*connections),
            _ => None,
        }
    }

    /// How many live connections end because of it, at once or at their next packet.
    pub fn cut(&self) -> u64 {
        match self {
            Impact::Taken { alive, .. } => *alive,
            _ => 0,
        }
    }
}

impl fmt::Display for Impact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Impact::Scheduler => f.write_str("new connections only; up to 30 ms without a scheduler"),
            Impact::SchedulerOptions | Impact::Weight | Impact::PersistenceBegins => f.write_str("new connections only"),
            Impact::OnePacket(true) => f.write_str("new flows only; each datagram is scheduled by itself"),
            Impact::OnePacket(false) => f.write_str("new flows only; they stay with their server again"),
            Impact::PersistenceEnds { templates } => write!(f, "new connections only{}", Templates(*templates, "are not used")),
            Impact::PersistenceChanged { templates } => {
                write!(f, "new connections only{}", Templates(*templates, "keep their timer until renewed"))
            }
            Impact::PersistenceClients { templates } => {
                write!(f, "clients are placed anew{}", Templates(*templates, "are not found again"))
            }
            Impact::Quiesced { connections, templates_stay } => {
                write!(f, "no new connections; {} stay", Count(u64::from(connections.active), "active connection"))?;
                match (connections.persistent, templates_stay) {
                    (0, _) => Ok(()),
                    (templates, true) => {
                        write!(f, "; {} go on sending clients here", Count(templates.into(), "persistence template"))
                    }
                    (templates, false) => write!(f, "; {} expire", Count(templates.into(), "persistence template")),
                }
            }
            Impact::Awakened => f.write_str("takes new connections again"),
            Impact::Method { connections } => match u64::from(connections.active) + u64::from(connections.inactive) {
                0 => f.write_str("new connections only"),
                all => write!(f, "new connections only; {} keep the old method", Count(all, "connection")),
            },
            Impact::Encapsulation { connections } => match u64::from(connections.active) + u64::from(connections.inactive) {
                0 => f.write_str("at once"),
                all => write!(f, "at once, also for {}", Count(all, "connection")),
            },
            Impact::Overloaded { connections, until } => {
                write!(f, "{} now: no new ones until there are fewer than {until}", Count(*connections, "connection"))
            }
            Impact::OtherFamily { packets } => {
                let outer = if *packets == Family::Ipv4 { Family::Ipv6 } else { Family::Ipv4 };
                let (packets, outer) = (spelled(*packets), spelled(outer));
                write!(f, "{packets} packets reach it inside {outer}: the file has no {packets} address for it")
            }
            Impact::Taken { connections, alive, ending } => {
                match (connections.active, connections.inactive) {
                    (active, 0) => write!(f, "{}", Count(active.into(), "active connection"))?,
                    (0, inactive) => write!(f, "{}", Count(inactive.into(), "inactive connection"))?,
                    (active, inactive) => write!(f, "{active} active and {inactive} inactive connections")?,
                }
                match (alive, ending) {
                    (0, _) => f.write_str(": none of them is established"),
                    (_, Ending::Hang) => f.write_str(": cut; packets are dropped until their own timeout"),
                    (_, Ending::Reset) => f.write_str(": cut; reset at their next packet"),
                    (_, Ending::Unhooked) => f.write_str(": cut; reset by the host's own stack"),
                    (_, Ending::HangOrReset) => {
                        f.write_str(": cut; reset where expire_nodest_conn is 1, otherwise dropped until their own timeout")
                    }
                }
            }
            Impact::LastOfFamily(family) => write!(
                f,
                "no {} service is left: IPVS lets go of the family, and packets of its connections reach this host's own stack",
                spelled(*family)
            ),
            Impact::Reseated { servers } => write!(
                f,
                "{} taken out and put back at once, since the order decides which client goes where: no connection is lost",
                Count(*servers as u64, "server")
            ),
            Impact::ClientsMove(moves) => moves.fmt(f),
            Impact::Forwarding { family, on } => {
                let (word, redirects) = if *on { ("on", "off") } else { ("off", "on") };
                write!(f, "turns {} forwarding {word} for every device", spelled(*family))?;
                match family {
                    Family::Ipv4 => write!(f, ", and conf.all.accept_redirects {redirects}"),
                    Family::Ipv6 if *on => {
                        f.write_str("; default routes from router advertisements are lost where accept_ra is not 2")
                    }
                    Family::Ipv6 => Ok(()),
                }
            }
            Impact::Timeouts => f.write_str("existing connections: from their next packet"),
            Impact::VipGone => f.write_str("clients no longer reach this address here"),
            Impact::VipReplaced => f.write_str("the address is away for a moment"),
            Impact::LinkReplaced => f.write_str("the device is away for a moment, with its addresses and the routes through it"),
            Impact::LinkGone => f.write_str("takes its addresses along"),
            Impact::WayBackGone => f.write_str("replies of its services no longer pass their director: their connections end"),
            Impact::DeliveryGone => f.write_str("packets with this mark are no longer delivered here"),
            Impact::TableReplaced => {
                f.write_str("all in one step; established connections keep their server and their source address")
            }
            Impact::TableGone => {
                f.write_str("packets get no mark any more; connections that are masqueraded already stay so until they end")
            }
            Impact::SyncStopped(SyncRole::Master) => f.write_str("other directors no longer hear of connections"),
            Impact::SyncStopped(SyncRole::Backup) => f.write_str("connections of other directors are no longer heard of"),
            Impact::SyncRestarted(_) => f.write_str("what is said between stop and start is missed"),
        }
    }
}

/// Which change says for its service that clients move: that of the service, or that of its order, or that of its first server.
fn spokesmen(
    changes: &[Change],
    reseated: &BTreeMap<ServiceKey, usize>,
    moves: BTreeMap<ServiceKey, OfService>,
) -> BTreeMap<Key, OfService> {
    let has = |key: &Key| changes.binary_search_by(|change| change.key.cmp(key)).is_ok();
    let first_server = |service| {
        let first = Key::Destination(DestinationKey { service, address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0 });
        let rest = changes.get(changes.partition_point(|change| change.key < first)..)?;
        let mut servers = rest.iter().take_while(|change| change.key.server().is_some_and(|server| server.service == service));
        servers.find(|change| change.action() != Action::Restore).map(|change| change.key.clone())
    };
    let spokesman = |service| {
        let [own, order] = [Key::Service(service), Key::Order(service)];
        match () {
            () if has(&own) => Some(own),
            () if reseated.contains_key(&service) && has(&order) => Some(order),
            () => first_server(service),
        }
    };
    moves.into_iter().filter_map(|(service, moves)| Some((spokesman(service)?, moves))).collect()
}

fn spelled(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// `1 server`, `2 servers`
struct Count(u64, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count(number, word) = self;
        write!(f, "{number} {word}{}", if *number == 1 { "" } else { "s" })
    }
}

/// `; 12 templates keep their timer`, or nothing where there are none.
struct Templates(u64, &'static str);

impl fmt::Display for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Templates(0, _) => Ok(()),
            Templates(number, fate) => write!(f, "; {} {fate}", Count(*number, "persistence template")),
        }
    }
}

/// What all changes of a plan have in common.
pub(super) struct Impacts<'a> {
    observed: &'a Observed,
    /// `None`: not known.
    expires: Option<bool>,
    templates_stay: bool,
    /// How many services each family will have.
    services: BTreeMap<Family, usize>,
    /// The first service that goes, of each family: it stands for all of them.
    going: BTreeMap<Family, ServiceKey>,
    /// How many servers of each service are taken out and put back.
    reseated: BTreeMap<ServiceKey, usize>,
    /// The clients that move, by the change that says so.
    moves: BTreeMap<Key, OfService>,
}

impl<'a> Impacts<'a> {
    /// `reseated`: how many servers of each service are taken out and put back. `moves`: the clients of each service that move.
    pub(super) fn new(
        changes: &[Change],
        observed: &'a Observed,
        reseated: BTreeMap<ServiceKey, usize>,
        moves: BTreeMap<ServiceKey, OfService>,
    ) -> Impacts<'a> {
        let mut services = BTreeMap::new();
        let mut going = BTreeMap::new();
        for key in observed.state.objects.keys() {
            if let Key::Service(service) = key {
                *services.entry(service.family()).or_insert(0) += 1;
            }
        }
        for change in changes {
            if let Key::Service(service) = change.key {
                let count: &mut usize = services.entry(service.family()).or_insert(0);
                match change.action() {
                    Action::Add => *count += 1,
                    Action::Delete => {
                        *count = count.saturating_sub(1);
                        going.entry(service.family()).or_insert(service);
                    }
                    Action::Change | Action::Replace | Action::Restore => {}
                }
            }
        }
        let afterwards = |key: Option<SysctlKey>| {
            let key = Key::Sysctl(key?);
            let change = changes.binary_search_by(|change| change.key.cmp(&key)).ok().and_then(|at| changes.get(at));
            match change.and_then(|change| change.after.as_ref()).or_else(|| observed.state.objects.get(&key)) {
                Some(Resource::Sysctl(value)) => Some(value.value != "0"),
                _ => None,
            }
        };
        Impacts {
            observed,
            expires: afterwards(Some(SysctlKey::expire_nodest_conn())),
            templates_stay: afterwards(SysctlKey::parse("net/ipv4/vs/expire_quiescent_template")) != Some(true),
            services,
            going,
            moves: spokesmen(changes, &reseated, moves),
            reseated,
        }
    }

    /// What `change` does to live connections; empty where it does nothing to them.
    pub(super) fn of(&self, change: &Change) -> Vec<Impact> {
        let mut impacts = self.by_itself(change);
        impacts.extend(self.moves.get(&change.key).copied().map(Impact::ClientsMove));
        impacts
    }

    /// What `change` does alone.
    fn by_itself(&self, change: &Change) -> Vec<Impact> {
        match (&change.key, &change.before, &change.after) {
            (Key::Sysctl(key), before, Some(Resource::Sysctl(after))) if is_forwarding(key) && *before != change.after => {
                let family = if key.path().starts_with("net/ipv4/") { Family::Ipv4 } else { Family::Ipv6 };
                vec![Impact::Forwarding { family, on: after.value != "0" }]
            }
            (Key::Timeouts, Some(_), Some(_)) => vec![Impact::Timeouts],
            (Key::Address(key), Some(_), after) if key.prefix == Family::of(key.address).bits() => match (after, change.action())
            {
                (None, _) => vec![Impact::VipGone],
                (Some(_), Action::Replace | Action::Restore) => vec![Impact::VipReplaced],
                _ => Vec::new(),
            },
            (Key::Link(_), Some(_), after) => match (after, change.action()) {
                (None, _) => vec![Impact::LinkGone],
                (Some(_), Action::Replace) => vec![Impact::LinkReplaced],
                _ => Vec::new(),
            },
            (Key::Rule(rule), Some(_), None) => {
                vec![if rule.mark.is_some() { Impact::DeliveryGone } else { Impact::WayBackGone }]
            }
            (Key::Nftables(_), Some(_), after) => {
                vec![if after.is_some() { Impact::TableReplaced } else { Impact::TableGone }]
            }
            (Key::Sync(role), Some(_), after) => {
                vec![if after.is_some() { Impact::SyncRestarted(*role) } else { Impact::SyncStopped(*role) }]
            }
            (Key::Service(key), Some(_), None) => {
                let family = key.family();
                let says_it = self.is_last(family) && self.going.get(&family) == Some(key);
                says_it.then_some(Impact::LastOfFamily(family)).into_iter().collect()
            }
            (Key::Service(key), Some(Resource::Service(before)), Some(Resource::Service(after))) => {
                self.service(*key, before, after)
            }
            (Key::Destination(key), None, Some(_)) if key.service.family() != Family::of(key.address) => {
                vec![Impact::OtherFamily { packets: key.service.family() }]
            }
            (Key::Destination(key), Some(_), None) => self.taken(key, &change.key),
            (Key::Destination(_), Some(Resource::Destination(before)), Some(Resource::Destination(after))) => {
                self.destination(&change.key, before, after)
            }
            (Key::Order(service), _, Some(Resource::Order(Order { .. }))) => {
                let servers = self.reseated.get(service).copied();
                servers.map(|servers| Impact::Reseated { servers }).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn is_last(&self, family: Family) -> bool {
        self.services.get(&family).is_none_or(|left| *left == 0)
    }

    fn connections(&self, key: &Key) -> Connections {
        self.observed.traffic.get(key).copied().unwrap_or_default()
    }

    fn templates(&self, service: ServiceKey) -> u64 {
        destinations(self.observed, service).map(|(key, _)| u64::from(self.connections(key).persistent)).sum()
    }

    fn service(&self, key: ServiceKey, before: &Service, after: &Service) -> Vec<Impact> {
        let mut impacts = Vec::new();
        if before.scheduler != after.scheduler {
            impacts.push(Impact::Scheduler);
        } else if before.scheduler_text() != after.scheduler_text() {
            impacts.push(Impact::SchedulerOptions);
        }
        if before.flags.one_packet != after.flags.one_packet {
            impacts.push(Impact::OnePacket(after.flags.one_packet));
        }
        match (before.persistence, after.persistence) {
            (None, Some(_)) => impacts.push(Impact::PersistenceBegins),
            (Some(_), None) => impacts.push(Impact::PersistenceEnds { templates: self.templates(key) }),
            (Some(before), Some(after)) => {
                if before.timeout != after.timeout {
                    impacts.push(Impact::PersistenceChanged { templates: self.templates(key) });
                }
                if before.clients != after.clients {
                    impacts.push(Impact::PersistenceClients { templates: self.templates(key) });
                }
            }
            (None, None) => {}
        }
        impacts
    }

    fn destination(&self, key: &Key, before: &Destination, after: &Destination) -> Vec<Impact> {
        let connections = self.connections(key);
        let mut impacts = Vec::new();
        match (before.forward, after.forward) {
            (before, after) if before == after => {}
            (Forward::Tun(_), Forward::Tun(_)) => impacts.push(Impact::Encapsulation { connections }),
            _ => impacts.push(Impact::Method { connections }),
        }
        match (before.weight.value(), after.weight.value()) {
            (before, after) if before == after => {}
            (_, 0) => impacts.push(Impact::Quiesced { connections, templates_stay: self.templates_stay }),
            (0, _) => impacts.push(Impact::Awakened),
            _ => impacts.push(Impact::Weight),
        }
        let now = u64::from(connections.active) + u64::from(connections.inactive);
        let limit = u64::from(after.max_connections);
        if before.max_connections != after.max_connections && limit > 0 && now >= limit {
            let until = if after.min_connections > 0 { u64::from(after.min_connections) } else { limit * 3 / 4 };
            impacts.push(Impact::Overloaded { connections: now, until });
        }
        impacts
    }

    fn taken(&self, destination: &DestinationKey, key: &Key) -> Vec<Impact> {
        let connections = self.connections(key);
        let active = u64::from(connections.active);
        let inactive = u64::from(connections.inactive);
        if active + inactive == 0 {
            return Vec::new();
        }
        let alive = match destination.service {
            ServiceKey::Tuple { protocol: Protocol::Tcp | Protocol::Sctp, .. } => active,
            ServiceKey::Tuple { .. } | ServiceKey::Mark { .. } => active + inactive,
        };
        let ending = match self.expires {
            _ if self.is_last(destination.service.family()) => Ending::Unhooked,
            Some(false) => Ending::Hang,
            Some(true) => Ending::Reset,
            None => Ending::HangOrReset,
        };
        vec![Impact::Taken { connections, alive, ending }]
    }
}
