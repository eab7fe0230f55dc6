//! Kernel objects by key: what a host must hold, and what it holds.
//!
//! A [`State`] is a map from [`Key`] to [`Resource`]. A key is the kernel's own identity of an object and nothing else;
//! the words of a topology file never appear here. The same types describe what a file asks for, what a kernel was seen
//! to hold, and what a plan changes, so that comparing, undoing and storing each need one piece of code.
//!
//! This module never does I/O and knows nothing of netlink.

mod address;
mod destination;
mod duration;
pub mod effects;
mod fou;
mod key;
mod link;
mod nftables;
mod observed;
mod route;
mod rule;
mod service;
mod sync;
mod sysctl;
mod timeouts;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use address::{Address, AddressKey};
pub use destination::{Checksum, Destination, DestinationId, DestinationKey, Encapsulation, Forward, Weight};
pub use duration::{UNITS, duration};
pub use fou::{FouKey, FouPort};
pub use key::{Family, Key, ParseKeyError};
pub use link::{GueEncap, Inner, Link, LinkKind, Tunnel, TunnelKind};
pub use nftables::{Base, Chain, Match, Statement, Table, TableRule};
pub use observed::{Absence, Connections, KernelFacts, Observed, ReadOnly, Scope, Traffic};
pub use route::{MAIN_TABLE, OURS, Route, RouteKey};
pub use rule::{RULE_PRIORITY, RuleKey};
pub use service::{ClientMask, Persistence, Protocol, Service, ServiceFlags, ServiceKey, order_matters};
pub use sync::{SyncDaemon, SyncRole};
pub use sysctl::{SysctlKey, SysctlValue};
pub use timeouts::Timeouts;

/// Everything that one network namespace holds, or should hold, by key.
///
/// Sysctls are there only where they were asked for; links, addresses and IPVS objects are there in full in an observed
/// state, ours or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State {
    /// The objects, in the order of their keys.
    pub objects: BTreeMap<Key, Resource>,
}

/// One object of the kernel. The variant always belongs to the variant of the [`Key`] beside it.
///
/// There are many destinations and few of anything else, so what is larger than a destination is boxed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Resource {
    /// A kernel module that must be loaded because nothing loads it by itself in time.
    Module,
    /// A value below `/proc/sys/net`.
    Sysctl(Box<SysctlValue>),
    /// A network device.
    Link(Box<Link>),
    /// A UDP port on which the kernel decapsulates GUE.
    Fou(FouPort),
    /// An address on a device.
    Address(Address),
    /// A route.
    Route(Box<Route>),
    /// A rule of the routing policy.
    Rule,
    /// A table of nftables.
    Nftables(Box<Table>),
    /// The IPVS connection timeouts of the namespace.
    Timeouts(Timeouts),
    /// A virtual service.
    Service(Box<Service>),
    /// A real server of a virtual service.
    Destination(Destination),
    /// The order in which a service's destinations were added, first added first; only where the scheduler makes it matter.
    Order(Order),
    /// An IPVS sync daemon.
    Sync(Box<SyncDaemon>),
}

impl From<SysctlValue> for Resource {
    fn from(value: SysctlValue) -> Resource {
        Resource::Sysctl(Box::new(value))
    }
}

impl From<Link> for Resource {
    fn from(link: Link) -> Resource {
        Resource::Link(Box::new(link))
    }
}

impl From<Route> for Resource {
    fn from(route: Route) -> Resource {
        Resource::Route(Box::new(route))
    }
}

impl From<Table> for Resource {
    fn from(table: Table) -> Resource {
        Resource::Nftables(Box::new(table))
    }
}

impl From<Service> for Resource {
    fn from(service: Service) -> Resource {
        Resource::Service(Box::new(service))
    }
}

impl From<SyncDaemon> for Resource {
    fn from(daemon: SyncDaemon) -> Resource {
        Resource::Sync(Box::new(daemon))
    }
}

/// The destinations of one service in the order in which they were added. The kernel lists them the other way round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// First added first.
    pub servers: Vec<DestinationId>,
}

/// What becomes of one object: absent or one value before, absent or another value after.
///
/// Undo is the same change with the two swapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which object.
    pub key: Key,
    /// What was there; `None`: nothing.
    pub before: Option<Resource>,
    /// What is to be there; `None`: nothing.
    pub after: Option<Resource>,
}

/// What a change does with its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// There was nothing under this key.
    Add,
    /// The kernel can change the object where it is.
    Change,
    /// The kernel can only take the object away and make it anew.
    Replace,
    /// The same before and after, but another change of the plan takes it along or moves it: it is put back.
    Restore,
    /// Nothing is to remain under this key.
    Delete,
}

/// How long an object lives without anybody's help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until the kernel is booted again.
    Boot,
    /// Files: until somebody removes them.
    Disk,
}

/// One field of an object that a change touches, as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct FieldChange {
    /// The language's word for the field.
    pub field: &'static str,
    /// The value before; `None`: it was not set.
    pub before: Option<String>,
    /// The value after; `None`: it is no longer set.
    pub after: Option<String>,
}

impl Change {
    /// What this change does with its object.
    pub fn action(&self) -> Action {
        match (&self.before, &self.after) {
            (None, _) => Action::Add,
            (_, None) => Action::Delete,
            (Some(before), Some(after)) if before == after => Action::Restore,
            (Some(before), Some(after)) if before.changes_in_place(after) => Action::Change,
            _ => Action::Replace,
        }
    }

    /// The change that takes this one back.
    #[must_use]
    pub fn undo(&self) -> Change {
        Change { key: self.key.clone(), before: self.after.clone(), after: self.before.clone() }
    }

    /// The fields that differ; empty unless the object is there before and after, but for the rules of a new table.
    pub fn fields(&self) -> Vec<FieldChange> {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => before.differences(after),
            // What a table does is in its rules alone.
            (None, Some(Resource::Nftables(after))) => Table::default().differences(after),
            _ => Vec::new(),
        }
    }
}

impl Resource {
    /// Whether the kernel can turn `self` into `after` without taking it away (reference: `ip_vs_genl_set_cmd`,
    /// `rtnl_changelink`). An IPVS daemon and a tunnel's kind cannot be edited.
    pub fn changes_in_place(&self, after: &Resource) -> bool {
        match (self, after) {
            (Resource::Link(before), Resource::Link(after)) => before.changes_in_place(after),
            (Resource::Address(before), Resource::Address(after)) => before.changes_in_place(*after),
            (Resource::Sync(_), Resource::Sync(_)) | (Resource::Fou(_), Resource::Fou(_)) => false,
            _ => true,
        }
    }

    /// Every field in which `after` differs from `self`.
    pub fn differences(&self, after: &Resource) -> Vec<FieldChange> {
        match (self, after) {
            (Resource::Module, Resource::Module) | (Resource::Rule, Resource::Rule) => Vec::new(),
            (Resource::Sysctl(before), Resource::Sysctl(after)) => before.differences(after),
            (Resource::Link(before), Resource::Link(after)) => before.differences(after),
            (Resource::Fou(before), Resource::Fou(after)) => before.differences(*after),
            (Resource::Address(before), Resource::Address(after)) => before.differences(*after),
            (Resource::Route(before), Resource::Route(after)) => before.differences(after),
            (Resource::Nftables(before), Resource::Nftables(after)) => before.differences(after),
            (Resource::Timeouts(before), Resource::Timeouts(after)) => before.differences(after),
            (Resource::Service(before), Resource::Service(after)) => before.differences(after),
            (Resource::Destination(before), Resource::Destination(after)) => before.differences(after),
            (Resource::Order(before), Resource::Order(after)) => before.differences(after),
            (Resource::Sync(before), Resource::Sync(after)) => before.differences(after),
            // A key has one kind of resource; two kinds under one key differ in everything.
            _ => vec![FieldChange { field: "kind", before: None, after: None }],
        }
    }

    /// `self` with what it leaves open filled in from what is there, so that an unmanaged field is never a difference.
    #[must_use]
    pub fn over(self, live: &Resource) -> Resource {
        match (self, live) {
            (Resource::Sysctl(wanted), Resource::Sysctl(live)) => Resource::from(wanted.over(live)),
            (Resource::Link(wanted), Resource::Link(live)) => Resource::from(wanted.over(live)),
            (Resource::Timeouts(wanted), Resource::Timeouts(live)) => Resource::Timeouts(wanted.over(live)),
            (Resource::Sync(wanted), Resource::Sync(live)) => Resource::from(wanted.over(live)),
            (Resource::Destination(wanted), Resource::Destination(live)) => Resource::Destination(wanted.over(live)),
            (wanted, _) => wanted,
        }
    }

    /// What was read, as what is to be there again: what it lacks is to be lacking.
    #[must_use]
    pub fn as_found(self) -> Resource {
        match self {
            Resource::Link(link) => Resource::from(Link { alias: Some(link.alias.unwrap_or_default()), ..*link }),
            other => other,
        }
    }

    /// How long the object lives without anybody's help.
    pub fn lifetime(&self) -> Lifetime {
        Lifetime::Boot
    }
}

impl Order {
    /// The order of `servers` alone: where the others sit does not matter.
    #[must_use]
    pub fn among(&self, servers: &[DestinationId]) -> Order {
        let servers: BTreeSet<&DestinationId> = servers.iter().collect();
        Order { servers: self.servers.iter().filter(|server| servers.contains(server)).copied().collect() }
    }

    fn differences(&self, after: &Order) -> Vec<FieldChange> {
        let Order { servers } = self;
        let mut changes = Fields::default();
        changes.compare("order of servers", &list(servers), &list(&after.servers));
        changes.0
    }
}

fn list(servers: &[DestinationId]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Collects the fields that differ, each as text.
#[derive(Default)]
struct Fields(Vec<FieldChange>);

impl Fields {
    fn compare<T: PartialEq + ToString>(&mut self, field: &'static str, before: &T, after: &T) {
        if before != after {
            self.0.push(FieldChange { field, before: Some(before.to_string()), after: Some(after.to_string()) });
        }
    }

    fn compare_optional<T: PartialEq + ToString>(&mut self, field: &'static str, before: Option<&T>, after: Option<&T>) {
        if before != after {
            self.0.push(FieldChange { field, before: before.map(T::to_string), after: after.map(T::to_string) });
        }
    }
}
