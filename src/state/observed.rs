//! What a kernel was seen to hold: its state, and apart from it what moves by itself.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::effects::{disables_ipv6, purges_routes};
use super::{Key, LinkKind, Resource, State, SysctlKey};

/// One reading of one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// What the kernel is.
    pub kernel: KernelFacts,
    /// What it holds.
    pub state: State,
    /// How many connections each destination has. Never part of a comparison.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traffic: Traffic,
    /// Wanted sysctls that the namespace does not have, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub absent: BTreeMap<Key, Absence>,
    /// Devices and addresses that have settings which are not read: a label, a peer, a lifetime; a tunnel's TOS, a bridge that
    /// a device belongs to. Made anew they would lack them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub partly: BTreeSet<Key>,
    /// Wanted sysctls that are there and cannot be written, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub read_only: BTreeMap<Key, ReadOnly>,
}

impl Observed {
    /// Whether an object could be made again just as it is.
    pub fn can_make_again(&self, key: &Key, resource: &Resource) -> bool {
        let is_known = match (key, resource) {
            (_, Resource::Link(link)) => !matches!(link.device, LinkKind::Other(_)),
            (_, Resource::Fou(port)) => port.gue,
            (Key::Address(key), _) => !key.comes_by_itself(),
            (Key::Route(key), Resource::Route(route)) => route.survives_its_device() && !route.is_from_advertisement(key),
            _ => true,
        };
        is_known && !self.partly.contains(key)
    }
}

/// Connections by the key of their destination; destinations without any are left out.
pub type Traffic = BTreeMap<Key, Connections>;

/// The kernel's own counts of a destination (`IPVS_DEST_ATTR_*_CONNS`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// established tcp and sctp connections
    pub active: u32,
    /// all others; udp counts here
    pub inactive: u32,
    /// persistence templates
    pub persistent: u32,
}

/// What a kernel is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelFacts {
    /// `uname -r`
    pub release: String,
    /// Whether IPVS is there. A kernel without it is an empty one; looking never loads it.
    pub ipvs: bool,
    /// Whether this is the host's first network namespace: some sysctls exist only there.
    pub initial_namespace: bool,
}

/// Why a sysctl is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Absence {
    /// It exists only for the whole host, and this is a namespace inside it.
    HostOnly,
    /// The kernel does not have it, or not yet: its module or device is missing.
    Missing,
}

/// Why a sysctl cannot be written, whoever tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadOnly {
    /// The kernel lets nobody (mode 0444).
    Mode,
    /// `/proc/sys` is mounted so, as in most containers.
    Mount,
}

/// What a reading must look at beside IPVS, links and addresses, which are always read whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The sysctls of interest. What writing one of them moves is read too.
    pub sysctls: BTreeSet<SysctlKey>,
    /// The modules of interest.
    pub modules: BTreeSet<String>,
    /// Whether FOU ports are of interest.
    pub fou: bool,
    /// Whether routes are of interest: those of others that may go with an address or a device. Routes that the kernel makes
    /// itself are never read.
    pub routes: bool,
    /// Where routes of ours lead, and in which table; all routes of this kind are read.
    pub destinations: BTreeSet<(IpNet, u32)>,
    /// Whether rules of the routing policy are of interest.
    pub rules: bool,
    /// The tables of nftables that are of interest.
    pub tables: BTreeSet<String>,
}

impl Scope {
    /// What must be read to compare with `wanted`.
    pub fn of(wanted: &State) -> Scope {
        Scope::of_keys(wanted.objects.keys())
    }

    /// What must be read to know these objects.
    pub fn of_keys<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Scope {
        let mut scope = Scope::default();
        for key in keys {
            match key {
                Key::Sysctl(key) => {
                    scope.routes |= purges_routes(key) || disables_ipv6(key);
                    scope.sysctls.insert(key.clone());
                }
                Key::Module(name) => {
                    scope.modules.insert(name.clone());
                }
                Key::Fou(_) => scope.fou = true,
                // Every plan that takes servers away must know what that does to their connections.
                Key::Service(_) | Key::Destination(_) => {
                    scope.sysctls.insert(SysctlKey::expire_nodest_conn());
                }
                Key::Link(_) | Key::Address(_) => scope.routes = true,
                Key::Route(key) => {
                    scope.routes = true;
                    scope.destinations.insert((key.destination, key.table));
                }
                Key::Rule(_) => scope.rules = true,
                Key::Nftables(table) => _ = scope.tables.insert(table.clone()),
                Key::Timeouts | Key::Order(_) | Key::Sync(_) => {}
            }
        }
        scope
    }
}
