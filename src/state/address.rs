//! Addresses on devices: the VIPs, and the addresses of declared tunnels.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{FieldChange, Fields};

/// The kernel's identity of an address. One IPv4 address with two prefix lengths on one device is two addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey {
    /// The address without its prefix.
    pub address: IpAddr,
    /// Length of the prefix: 32 and 128 for a VIP.
    pub prefix: u8,
    /// The device's name.
    pub interface: String,
}

impl AddressKey {
    /// Whether two IPv4 addresses of a device are of one subnet: then the first of them takes the others along when it is deleted
    /// (`__inet_del_ifa`, without `promote_secondaries`).
    pub fn shares_subnet(&self, other: &AddressKey) -> bool {
        let network = |key: &AddressKey| match key.address {
            IpAddr::V4(address) => ipnet::Ipv4Net::new(address, key.prefix).ok().map(|network| network.trunc()),
            IpAddr::V6(_) => None,
        };
        self.interface == other.interface && network(self).is_some_and(|own| network(other) == Some(own))
    }

    /// A link-local address comes with a device that is up, and so does `::1`; a `sit` device brings its local address as
    /// `::10.0.0.11/96` (`add_v4_addrs`).
    pub fn comes_by_itself(&self) -> bool {
        let compatible = |address: Ipv6Addr| address.octets().starts_with(&[0; 12]);
        matches!(self.address, IpAddr::V6(address) if address.is_unicast_link_local() || compatible(address))
    }
}

/// What an address is, beside its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// IPv6 `preferred_lft 0`: never chosen as the source of what the host itself sends. Always false for IPv4.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deprecated: bool,
    /// IPv6 `IFA_F_NODAD`: usable at once, without asking the link whether somebody else has it. Always false for IPv4.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nodad: bool,
}

impl Address {
    /// The lifetime can be edited. So can `IFA_F_NODAD` (`inet6_addr_modify`), but what came of asking the link would stay: an
    /// address that somebody else had too would go on being unusable. It is made anew.
    pub(super) fn changes_in_place(self, after: Address) -> bool {
        self.nodad == after.nodad
    }

    pub(super) fn differences(self, after: Address) -> Vec<FieldChange> {
        let Address { deprecated, nodad } = self;
        let mut changes = Fields::default();
        changes.compare("preferred_lft 0", &deprecated, &after.deprecated);
        changes.compare("nodad", &nodad, &after.nodad);
        changes.0
    }
}
