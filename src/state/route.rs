//! Routes: a topology's own, and others' as far as what we change may take them along.
//!
//! What the language has no word for is kept as the kernel sent it, so that a route can be put back exactly as it was.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Family, FieldChange, Fields};

/// `RT_TABLE_MAIN`
pub const MAIN_TABLE: u32 = 254;

/// The protocol number of the addresses (`IFA_PROTO`, kernel 5.18 and later), routes and rules that we make: `L`. The kernel's
/// own are 1 to 3; iproute2's `rt_protos` has nothing between 42 and 84.
pub const OURS: u8 = 76;

/// `RTPROT_RA`: a route that a router advertisement brought.
const ROUTER_ADVERTISEMENT: u8 = 9;

/// The identity of a route: what the kernel tells routes apart by, and its first hop, since one destination may have several
/// routes that were appended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// Where it leads.
    pub destination: IpNet,
    /// The next router; `None`: the link itself, several routers, or nowhere.
    pub via: Option<IpAddr>,
    /// The device's name; empty: none, or several.
    pub interface: String,
    /// The routing table.
    pub table: u32,
    /// `RTA_PRIORITY`
    pub metric: u32,
    /// The type of service that it is for.
    pub tos: u8,
}

/// What a route is, beside its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// `RTN_*`: 1 is unicast
    #[serde(rename = "type")]
    pub kind: u8,
    /// `RTPROT_*`: who made it
    pub protocol: u8,
    /// `RT_SCOPE_*`
    pub scope: u8,
    /// `RTNH_F_ONLINK`: the router is taken to be on the link.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_link: bool,
    /// The length of the source prefix that an IPv6 route is for; the prefix is among the attributes.
    #[serde(default)]
    pub source_prefix: u8,
    /// The address that packets of this host leave with (`src`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// The devices of a route with several routers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub devices: BTreeSet<String>,
    /// The attributes that are none of the above, by their number, as the kernel sent them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(u16, Vec<u8>)>,
}

impl RouteKey {
    /// The family of its packets.
    pub fn family(&self) -> Family {
        Family::of(self.destination.addr())
    }
}

impl Route {
    /// A unicast route of ours, as the kernel tells of it.
    pub fn ours(key: &RouteKey) -> Route {
        const PREFERENCE: u16 = 20; // RTA_PREF, which every IPv6 route has: medium
        let (scope, attributes) = match (key.family(), key.via) {
            (Family::Ipv4, Some(_)) => (0, Vec::new()), // RT_SCOPE_UNIVERSE
            (Family::Ipv4, None) => (253, Vec::new()),  // RT_SCOPE_LINK
            (Family::Ipv6, _) => (0, vec![(PREFERENCE, vec![0])]),
        };
        Route {
            kind: 1, // RTN_UNICAST
            protocol: OURS,
            scope,
            on_link: false,
            source_prefix: 0,
            source: None,
            devices: BTreeSet::new(),
            attributes,
        }
    }

    /// The metric of a route for which nobody asks another one.
    pub fn metric(family: Family) -> u32 {
        match family {
            Family::Ipv4 => 0,
            Family::Ipv6 => 1024, // IP6_RT_PRIO_USER
        }
    }

    /// Whether it leads through a device.
    pub fn goes_through(&self, key: &RouteKey, device: &str) -> bool {
        key.interface == device || self.devices.contains(device)
    }

    /// Whether it is a default route that a router advertisement brought: the kernel lets go of it where the host becomes a
    /// router, and nothing that can be written is quite the same.
    pub fn is_from_advertisement(&self, key: &RouteKey) -> bool {
        self.protocol == ROUTER_ADVERTISEMENT && key.destination.prefix_len() == 0 && key.family() == Family::Ipv6
    }

    /// Whether it can be put back after its device was made anew: it names no device by its number, and no next hop that went
    /// with the device.
    pub fn survives_its_device(&self) -> bool {
        const NEXT_HOP: u16 = 30; // RTA_NH_ID
        self.devices.is_empty() && self.attributes.iter().all(|(kind, _)| *kind != NEXT_HOP)
    }

    pub(super) fn differences(&self, after: &Route) -> Vec<FieldChange> {
        let Route { kind, protocol, scope, on_link, source_prefix, source, devices, attributes } = self;
        let mut changes = Fields::default();
        changes.compare("type", kind, &after.kind);
        changes.compare("protocol", protocol, &after.protocol);
        changes.compare("scope", scope, &after.scope);
        changes.compare("onlink", on_link, &after.on_link);
        changes.compare("source prefix", source_prefix, &after.source_prefix);
        changes.compare_optional("src", source.as_ref(), after.source.as_ref());
        let names = |devices: &BTreeSet<String>| devices.iter().cloned().collect::<Vec<_>>().join(" ");
        changes.compare("devices", &names(devices), &names(&after.devices));
        changes.compare("attributes", &format!("{attributes:?}"), &format!("{:?}", after.attributes));
        changes.0
    }
}

#[cfg(test)]
mod tests {
    use crate::state::{Resource, Route};

    #[test]
    fn a_route_is_read_back_from_its_own_record() {
        let route = Route {
            kind: 1,
            protocol: 3,
            scope: 253,
            on_link: true,
            source_prefix: 64,
            source: Some([10, 0, 0, 100].into()),
            devices: ["eth0".to_owned(), "eth1".to_owned()].into(),
            attributes: vec![(8, vec![8, 0, 2, 0, 20, 5, 0, 0])],
        };
        let text = serde_json::to_string(&Resource::from(route.clone())).expect("JSON");
        assert_eq!(serde_json::from_str::<Resource>(&text).ok(), Some(Resource::from(route)), "{text}");
    }
}
