//! Desired against live: what changes, in which order, and what it does to live connections.
//!
//! A plan leaves no choice to whoever carries it out: every value, default and position is in it already. This module is
//! pure: it does no I/O, and knows no clock and no netlink.

use serde::{Deserialize, Serialize};

use crate::state::Change;

/// Steps that the kernel may be given together: no step of a phase depends on another one's answer, and a phase never both
/// adds and takes away, but for [`Rank::Reseat`], whose pairs are in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Which part of a plan this is.
    pub rank: Rank,
    /// In the order in which they are sent. Each adds, changes in place or deletes one object; a replacement has been taken
    /// apart into a delete and an add of different phases.
    pub steps: Vec<Change>,
}

/// The fixed order of phases (architecture: order). There is no graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rank {
    /// Modules.
    Modules,
    /// `ip_forward` and IPv6 `forwarding`: writing them moves other sysctls.
    Forwarding,
    /// All other sysctls that do not belong to a device of ours.
    Sysctls,
    /// FOU ports, before the devices that use them.
    FouPorts,
    /// Devices that must make room: the first half of a replacement.
    LinksDeleted,
    /// Devices made and edited.
    Links,
    /// Sysctls of devices that did not exist before.
    LinkSysctls,
    /// Addresses of tunnels.
    LinkAddresses,
    /// IPVS timeouts.
    Timeouts,
    /// Sync daemons that must stop first: the first half of a replacement.
    SyncStopped,
    /// Services made.
    ServicesAdded,
    /// Services edited in place.
    ServicesChanged,
    /// Destinations made.
    DestinationsAdded,
    /// Destinations edited in place whose weight grows or stays.
    DestinationsRaised,
    /// Destinations edited in place whose weight falls.
    DestinationsLowered,
    /// Destinations taken away and put back at once, pair by pair, where their order matters.
    Reseat,
    /// VIPs.
    Vips,
    /// Sync daemons.
    Sync,
    /// Sync daemons that go.
    SyncDeleted,
    /// VIPs that go.
    VipsDeleted,
    /// Destinations that go.
    DestinationsDeleted,
    /// Services that go, after their destinations.
    ServicesDeleted,
    /// Addresses of tunnels, and then devices and ports that go.
    LinkAddressesDeleted,
    /// Devices that go.
    LinksGone,
    /// FOU ports that go.
    FouPortsDeleted,
}
