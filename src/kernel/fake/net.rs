//! Devices, addresses and FOU ports of the model.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use nix::errno::Errno;

use super::sysctls::DEVICE;
use super::{Answer, Fake, no};
use crate::state::effects::effects;
use crate::state::{
    Address, AddressKey, Change, FouKey, Key, Link, LinkKind, Resource, Route, RouteKey, SysctlKey, Tunnel, TunnelKind,
};

/// `IFNAMSIZ` without its zero byte.
pub(super) const LONGEST_NAME: usize = 15;
/// What the policy of `IFLA_IFALIAS` takes.
const LONGEST_ALIAS: usize = 254;
/// The smallest MTU with which a device speaks IPv6.
const LEAST_MTU_OF_IPV6: u32 = 1280;

impl Fake {
    pub(super) fn put_link(&mut self, name: &str, link: &Link, new: bool) -> Answer {
        let key = Key::Link(name.to_owned());
        match &link.device {
            // Before anything is sent, a device is looked up and the kind has a request.
            LinkKind::Tunnel(Tunnel { device: Some(device), .. }) if new && !self.holds(&Key::Link(device.clone())) => {
                return Err(no(Errno::ENODEV));
            }
            LinkKind::Other(_) if new => return Err(no(Errno::EOPNOTSUPP)),
            _ => {}
        }
        check_name(name)?;
        match self.observed.state.objects.get(&key) {
            Some(_) if new => return Err(no(Errno::EEXIST)),
            None if !new => return Err(no(Errno::ENODEV)),
            Some(Resource::Link(live)) => {
                if live.device != link.device {
                    return Err(no(Errno::EOPNOTSUPP));
                }
                check_mtu(link)?;
                check_alias(link)?;
                let had_ipv6 = has_ipv6(live);
                let before = Resource::Link(live.clone());
                let link = Link { mtu: link.mtu.or(live.mtu), ..link.clone() };
                let change = Change { key: key.clone(), before: Some(before), after: Some(Resource::from(link.clone())) };
                for effect in effects(&change, &self.observed) {
                    self.follow(effect);
                }
                if has_ipv6(&link) && !had_ipv6 {
                    self.appear_on(name, "ipv6");
                }
                self.state().objects.insert(key, Resource::from(link));
                return Ok(());
            }
            _ => {}
        }
        check_mtu(link)?;
        let mtu = match &link.device {
            LinkKind::Dummy | LinkKind::Other(_) => 1500,
            LinkKind::Tunnel(tunnel) => {
                if self.tunnels().any(|live| same_tunnel(live, tunnel)) {
                    return Err(no(Errno::EEXIST));
                }
                default_mtu(tunnel)
            }
        };
        check_alias(link)?;
        let link = Link { mtu: link.mtu.or(Some(mtu)), ..link.clone() };
        let has_ipv6 = has_ipv6(&link);
        self.state().objects.insert(key, Resource::from(link));
        self.appear_on(name, "ipv4");
        if has_ipv6 {
            self.appear_on(name, "ipv6");
        }
        Ok(())
    }

    /// A new device takes what `default` says.
    fn appear_on(&mut self, device: &str, family: &str) {
        for (_, value, default) in DEVICE.iter().filter(|(of, ..)| *of == family) {
            let path = |device: &str| SysctlKey::parse(&format!("net/{family}/conf/{device}/{value}"));
            let inherited = path("default").and_then(|key| self.observed.state.objects.get(&Key::Sysctl(key)).cloned());
            let text = match inherited {
                Some(Resource::Sysctl(inherited)) => inherited.value,
                _ => (*default).to_owned(),
            };
            if let Some(key) = path(device) {
                self.appears(key, &text);
            }
        }
    }

    fn tunnels(&self) -> impl Iterator<Item = &Tunnel> {
        self.observed.state.objects.range(..Key::Timeouts).filter_map(|(_, resource)| match resource {
            Resource::Link(link) => match &link.device {
                LinkKind::Tunnel(tunnel) => Some(tunnel),
                LinkKind::Dummy | LinkKind::Other(_) => None,
            },
            _ => None,
        })
    }

    pub(super) fn delete_link(&mut self, name: &str) -> Answer {
        check_name(name)?;
        let key = Key::Link(name.to_owned());
        match self.observed.state.objects.get(&key) {
            None => return Err(no(Errno::ENODEV)),
            // A physical device and `lo` cannot be deleted.
            Some(Resource::Link(link)) if link.device.name().is_empty() => return Err(no(Errno::EOPNOTSUPP)),
            Some(_) => {}
        }
        let before = self.state().objects.remove(&key);
        let change = Change { key, before, after: None };
        for effect in effects(&change, &self.observed) {
            self.follow(effect);
        }
        self.addresses.retain(|key| key.interface != name);
        Ok(())
    }

    pub(super) fn put_address(&mut self, key: &AddressKey, address: Address, new: bool) -> Answer {
        if !self.holds(&Key::Link(key.interface.clone())) {
            return Err(no(Errno::ENODEV));
        }
        if key.address.is_multicast() {
            return Err(no(Errno::EINVAL));
        }
        let there = self.addresses.iter().find(|live| same_address(live, key)).cloned();
        if new && there.is_some() {
            return Err(no(Errno::EEXIST));
        }
        let value = match key.address {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => return Ok(()), // taken, and nothing becomes of it
            IpAddr::V4(_) => Address::default(),                // has neither
            IpAddr::V6(_) => {
                self.speaks_ipv6(&key.interface)?;
                assignable(key)?;
                address
            }
        };
        if there.is_none() {
            self.addresses.push(key.clone());
        }
        // An edit of an IPv6 address leaves its prefix as it is.
        self.state().objects.insert(Key::Address(there.unwrap_or_else(|| key.clone())), Resource::Address(value));
        Ok(())
    }

    pub(super) fn delete_address(&mut self, key: &AddressKey) -> Answer {
        if !self.holds(&Key::Link(key.interface.clone())) {
            return Err(no(Errno::ENODEV));
        }
        if key.address.is_multicast() {
            return Err(no(Errno::EINVAL));
        }
        let Some(at) = self.addresses.iter().position(|live| live == key) else { return Err(no(Errno::EADDRNOTAVAIL)) };
        let siblings = |live: &AddressKey| same_subnet(live, key);
        let primary = !self.addresses.get(..at).unwrap_or_default().iter().any(siblings);
        let takes_along = primary && !self.promotes_secondaries(&key.interface);
        let gone: Vec<AddressKey> =
            self.addresses.iter().filter(|live| *live == key || (takes_along && siblings(live))).cloned().collect();
        for key in gone {
            let before = self.observed.state.objects.get(&Key::Address(key.clone())).cloned();
            let change = Change { key: Key::Address(key.clone()), before, after: None };
            for effect in effects(&change, &self.observed) {
                self.follow(effect);
            }
            self.remove_addresses(|live| *live == key);
        }
        Ok(())
    }

    /// Whether the router can be reached is not looked at.
    pub(super) fn put_route(&mut self, key: &RouteKey, route: &Route, new: bool) -> Answer {
        let name = Key::Route(key.clone());
        let is_local = |source: IpAddr| self.addresses.iter().any(|address| address.address == source);
        match self.observed.state.objects.get(&Key::Link(key.interface.clone())) {
            _ if key.interface.is_empty() => {}
            None => return Err(no(Errno::ENODEV)),
            Some(Resource::Link(link)) if !link.up => return Err(no(Errno::ENETDOWN)),
            Some(_) => {}
        }
        if route.source.is_some_and(|source| !is_local(source)) {
            return Err(no(Errno::EINVAL));
        }
        match (new, self.holds(&name)) {
            (true, true) => return Err(no(Errno::EEXIST)),
            (false, false) => return Err(no(Errno::ENOENT)),
            _ => {}
        }
        self.state().objects.insert(name, Resource::from(route.clone()));
        Ok(())
    }

    pub(super) fn delete_route(&mut self, name: &Key) -> Answer {
        self.state().objects.remove(name).map(drop).ok_or_else(|| no(Errno::ESRCH))
    }

    fn remove_addresses(&mut self, goes: impl Fn(&AddressKey) -> bool) {
        self.addresses.retain(|key| !goes(key));
        self.state().objects.retain(|key, _| !matches!(key, Key::Address(key) if goes(key)));
    }

    /// What an IPv6 address is refused with on a device that speaks no IPv6 (`addrconf_add_dev`).
    fn speaks_ipv6(&self, device: &str) -> Answer {
        match self.observed.state.objects.get(&Key::Link(device.to_owned())) {
            Some(Resource::Link(link)) if !has_ipv6(link) => return Err(no(Errno::EINVAL)),
            _ => {}
        }
        let disabled = SysctlKey::parse(&format!("net/ipv6/conf/{device}/disable_ipv6"));
        match disabled.and_then(|key| self.observed.state.objects.get(&Key::Sysctl(key))) {
            Some(Resource::Sysctl(value)) if value.value != "0" => Err(no(Errno::EACCES)),
            _ => Ok(()),
        }
    }

    fn promotes_secondaries(&self, device: &str) -> bool {
        ["all", device].into_iter().any(|device| {
            let key = SysctlKey::parse(&format!("net/ipv4/conf/{device}/promote_secondaries"));
            let value = key.and_then(|key| self.observed.state.objects.get(&Key::Sysctl(key)));
            matches!(value, Some(Resource::Sysctl(value)) if value.value != "0")
        })
    }

    /// The socket of a port that is taken cannot be bound; a port that is not there is EINVAL.
    pub(super) fn fou(&mut self, key: FouKey, after: Option<&Resource>) -> Answer {
        let name = Key::Fou(key);
        match (after, self.holds(&name)) {
            (Some(_), true) => Err(no(Errno::EADDRINUSE)),
            (None, false) => Err(no(Errno::EINVAL)),
            (Some(port), false) => {
                self.state().objects.insert(name, port.clone());
                Ok(())
            }
            (None, true) => {
                self.state().objects.remove(&name);
                Ok(())
            }
        }
    }
}

/// A smaller MTU is not enough for IPv6.
fn has_ipv6(link: &Link) -> bool {
    link.mtu.is_none_or(|mtu| mtu >= LEAST_MTU_OF_IPV6)
}

/// What is left of 1500 bytes behind the outer headers.
fn default_mtu(tunnel: &Tunnel) -> u32 {
    // A gre header is 4 bytes, and 4 more for each of its options.
    let gre = 4 + if tunnel.key.is_some() { 4 } else { 0 } + if tunnel.checksum { 4 } else { 0 };
    1500 - match tunnel.kind {
        TunnelKind::Ipip | TunnelKind::Sit => 20,
        TunnelKind::Gre => 20 + gre,
        TunnelKind::Ip6gre => 40 + gre,
        TunnelKind::Ip6tnl => 40,
    }
}

/// The policy of `IFLA_IFNAME`.
fn check_name(name: &str) -> Answer {
    if name.is_empty() || name.len() > LONGEST_NAME { Err(no(Errno::ERANGE)) } else { Ok(()) }
}

/// The first of the requests that make or edit a device: the settings.
fn check_mtu(link: &Link) -> Answer {
    if link.mtu.is_some_and(|mtu| i32::try_from(mtu).is_err()) { Err(no(Errno::EINVAL)) } else { Ok(()) }
}

/// The second one: the alias. Where it is refused the first is taken back.
fn check_alias(link: &Link) -> Answer {
    if link.alias.as_ref().is_some_and(|alias| alias.len() > LONGEST_ALIAS) { Err(no(Errno::ERANGE)) } else { Ok(()) }
}

/// An IPv6 address is one and the same with any prefix.
fn same_address(live: &AddressKey, new: &AddressKey) -> bool {
    live.interface == new.interface && live.address == new.address && (live.prefix == new.prefix || live.address.is_ipv6())
}

/// Whether of two IPv4 addresses on one device one is secondary to the other (`__inet_insert_ifa`).
fn same_subnet(one: &AddressKey, other: &AddressKey) -> bool {
    let network = |key: &AddressKey| subnet(key).map(|subnet| subnet.trunc());
    one.interface == other.interface && network(one).is_some() && network(one) == network(other)
}

fn subnet(key: &AddressKey) -> Option<Ipv4Net> {
    match key.address {
        IpAddr::V4(address) => Ipv4Net::new(address, key.prefix).ok(),
        IpAddr::V6(_) => None,
    }
}

/// The broadcast address that comes with an address (`fib_add_ifaddr`).
pub(super) fn broadcast(key: &AddressKey) -> Option<Ipv4Addr> {
    subnet(key).filter(|subnet| subnet.prefix_len() < 31).map(|subnet| subnet.broadcast())
}

/// Whether a device may have this IPv6 address (`ipv6_add_addr`).
fn assignable(key: &AddressKey) -> Answer {
    let address = key.address;
    let elsewhere = address.is_loopback() && key.interface != "lo";
    if address.is_unspecified() || elsewhere { Err(no(Errno::EADDRNOTAVAIL)) } else { Ok(()) }
}

/// The kernel's identity of a tunnel (`ip_tunnel_find`, `ip6_tnl_locate`).
fn same_tunnel(live: &Tunnel, new: &Tunnel) -> bool {
    (live.kind, live.local, live.remote, live.key, &live.device) == (new.kind, new.local, new.remote, new.key, &new.device)
}
