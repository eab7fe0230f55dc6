//! Devices, addresses and FOU ports of the model.

use nix::errno::Errno;

use super::sysctls::DEVICE;
use super::{Answer, Fake, no};
use crate::state::effects::effects;
use crate::state::{Address, AddressKey, Change, FouKey, Key, Link, LinkKind, Resource, SysctlKey, Tunnel, TunnelKind};

/// `IFNAMSIZ` without its zero byte.
const LONGEST_NAME: usize = 15;

impl Fake {
    pub(super) fn put_link(&mut self, name: &str, link: &Link, new: bool) -> Answer {
        let key = Key::Link(name.to_owned());
        match self.observed.state.objects.get(&key) {
            Some(_) if new => return Err(no(Errno::EEXIST)),
            None if !new => return Err(no(Errno::ENODEV)),
            Some(Resource::Link(live)) => {
                if live.device != link.device {
                    return Err(no(Errno::EOPNOTSUPP));
                }
                let link = Link { mtu: link.mtu.or(live.mtu), alias: link.alias.clone().or(live.alias.clone()), ..link.clone() };
                self.state().objects.insert(key, Resource::from(link));
                return Ok(());
            }
            _ => {}
        }
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(no(Errno::ERANGE));
        }
        let mtu = match &link.device {
            LinkKind::Dummy => 1500,
            LinkKind::Other(_) => return Err(no(Errno::EOPNOTSUPP)),
            LinkKind::Tunnel(tunnel) => {
                if tunnel.device.as_ref().is_some_and(|device| !self.holds(&Key::Link(device.clone()))) {
                    return Err(no(Errno::ENODEV));
                }
                if self.tunnels().any(|live| same_tunnel(live, tunnel)) {
                    return Err(no(Errno::EEXIST));
                }
                match tunnel.kind {
                    TunnelKind::Ipip | TunnelKind::Sit => 1480,
                    TunnelKind::Gre => 1476,
                    TunnelKind::Ip6gre => 1448,
                    TunnelKind::Ip6tnl => 1452,
                }
            }
        };
        let link = Link { mtu: link.mtu.or(Some(mtu)), ..link.clone() };
        self.state().objects.insert(key, Resource::from(link));
        for (family, value, default) in DEVICE {
            // A new device takes what `default` says.
            let path = |device: &str| SysctlKey::parse(&format!("net/{family}/conf/{device}/{value}"));
            let inherited = path("default").and_then(|key| self.observed.state.objects.get(&Key::Sysctl(key)).cloned());
            let text = match inherited {
                Some(Resource::Sysctl(inherited)) => inherited.value,
                _ => (*default).to_owned(),
            };
            if let Some(key) = path(name) {
                self.appears(key, &text);
            }
        }
        Ok(())
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
            self.state().objects.remove(&effect.key);
        }
        Ok(())
    }

    pub(super) fn put_address(&mut self, key: &AddressKey, address: Address, new: bool) -> Answer {
        if !self.holds(&Key::Link(key.interface.clone())) {
            return Err(no(Errno::ENODEV));
        }
        let name = Key::Address(key.clone());
        if new && self.holds(&name) {
            return Err(no(Errno::EEXIST));
        }
        self.state().objects.insert(name, Resource::Address(address));
        Ok(())
    }

    pub(super) fn delete_address(&mut self, key: &AddressKey) -> Answer {
        if !self.holds(&Key::Link(key.interface.clone())) {
            return Err(no(Errno::ENODEV));
        }
        let removed = self.state().objects.remove(&Key::Address(key.clone()));
        removed.map_or(Err(no(Errno::EADDRNOTAVAIL)), |_| Ok(()))
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

/// The kernel's identity of a tunnel (`ip_tunnel_find`, `ip6_tnl_locate`).
fn same_tunnel(live: &Tunnel, new: &Tunnel) -> bool {
    (live.kind, live.local, live.remote, live.key, &live.device) == (new.kind, new.local, new.remote, new.key, &new.device)
}
