//! Network devices: dummy devices for VIPs and the tunnels that a host declares.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Checksum, FieldChange, Fields};

/// A network device. What is `None` in a wanted link is left as it is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What the device is.
    pub device: LinkKind,
    /// `IFF_UP`
    pub up: bool,
    /// bytes
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// `IFLA_IFALIAS`, our mark of ownership: `lvsform:TOPOLOGY`. In a wanted link an empty one is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

/// What a device is (`IFLA_INFO_KIND` and its data).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// `dummy`
    Dummy,
    /// One of the tunnels that the language knows.
    Tunnel(Tunnel),
    /// Anything else, by its kernel name; empty for a physical device or `lo`.
    Other(String),
}

/// The settings of a tunnel device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Which encapsulation.
    pub kind: TunnelKind,
    /// `None`: any
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<IpAddr>,
    /// `None`: any
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<IpAddr>,
    /// The device that the outer packets are bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Outer TTL or hop limit; 0: inherited from the inner packet.
    #[serde(default)]
    pub ttl: u8,
    /// What an ip6tnl carries; `None` for the other kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner: Option<Inner>,
    /// The key of both directions of a gre kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<u32>,
    /// Checksums in both directions of a gre kind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checksum: bool,
    /// Outer UDP encapsulation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gue: Option<GueEncap>,
}

/// The tunnel kinds of the language, by the kernel's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelKind {
    /// IPv4 in IPv4
    Ipip,
    /// IPv6 in IPv4
    Sit,
    /// anything in IPv4
    Gre,
    /// anything in IPv6
    Ip6gre,
    /// IPv4 or IPv6 in IPv6
    Ip6tnl,
}

/// What an ip6tnl carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inner {
    /// both
    Any,
    /// IPv6 alone
    Ip6ip6,
    /// IPv4 alone
    Ipip6,
}

/// GUE around a tunnel's outer packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GueEncap {
    /// destination port, host byte order
    pub port: u16,
    /// checksum of the outer UDP header
    pub checksum: Checksum,
}

impl TunnelKind {
    /// The kernel's name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            TunnelKind::Ipip => "ipip",
            TunnelKind::Sit => "sit",
            TunnelKind::Gre => "gre",
            TunnelKind::Ip6gre => "ip6gre",
            TunnelKind::Ip6tnl => "ip6tnl",
        }
    }

    /// Whether the outer packets are IPv6.
    pub fn outer_is_ipv6(self) -> bool {
        matches!(self, TunnelKind::Ip6gre | TunnelKind::Ip6tnl)
    }
}

impl fmt::Display for TunnelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Inner::Any => "any",
            Inner::Ip6ip6 => "ip6ip6",
            Inner::Ipip6 => "ipip6",
        })
    }
}

impl fmt::Display for GueEncap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gue port {} checksum {}", self.port, self.checksum)
    }
}

impl LinkKind {
    /// The kernel's name of the kind; empty for a physical device.
    pub fn name(&self) -> &str {
        match self {
            LinkKind::Dummy => "dummy",
            LinkKind::Tunnel(tunnel) => tunnel.kind.name(),
            LinkKind::Other(name) => name,
        }
    }
}

impl Link {
    /// Another kind of device, or other tunnel settings, need another device: `rtnl_changelink` could edit some of them, but
    /// which ones depends on the kernel.
    pub(super) fn changes_in_place(&self, after: &Link) -> bool {
        self.device == after.device
    }

    pub(super) fn over(self, live: &Link) -> Link {
        let alias = self.alias.or_else(|| live.alias.clone()).filter(|alias| !alias.is_empty());
        Link { mtu: self.mtu.or(live.mtu), alias, ..self }
    }

    pub(super) fn differences(&self, after: &Link) -> Vec<FieldChange> {
        let Link { device, up, mtu, alias } = self;
        let mut changes = Fields::default();
        changes.compare("kind", &device.name(), &after.device.name());
        if let (LinkKind::Tunnel(before), LinkKind::Tunnel(after)) = (device, &after.device) {
            let Tunnel { kind: _, local, remote, device, ttl, inner, key, checksum, gue } = before;
            changes.compare_optional("local", local.as_ref(), after.local.as_ref());
            changes.compare_optional("remote", remote.as_ref(), after.remote.as_ref());
            changes.compare_optional("device", device.as_ref(), after.device.as_ref());
            changes.compare("ttl", ttl, &after.ttl);
            changes.compare_optional("mode", inner.as_ref(), after.inner.as_ref());
            changes.compare_optional("key", key.as_ref(), after.key.as_ref());
            changes.compare("checksum", checksum, &after.checksum);
            changes.compare_optional("encap", gue.as_ref(), after.gue.as_ref());
        }
        changes.compare("up", up, &after.up);
        changes.compare_optional("mtu", mtu.as_ref(), after.mtu.as_ref());
        changes.compare_optional("alias", alias.as_ref(), after.alias.as_ref());
        changes.0
    }
}
