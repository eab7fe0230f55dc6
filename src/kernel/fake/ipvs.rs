//! IPVS of the model (`ip_vs_genl_set_cmd` and what it calls).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;

use super::net::{LONGEST_NAME, broadcast};
use super::{Answer, Fake, no};
use crate::state::{
    Checksum, ClientMask, Destination, DestinationKey, Encapsulation, Family, Forward, Key, Persistence, Resource, Service,
    ServiceKey, SyncDaemon, SyncRole, Timeouts, Weight,
};

/// The largest number of seconds that fits the kernel's jiffies at 1,000 a second.
const LONGEST_TIMEOUT: u32 = i32::MAX.cast_unsigned() / 1000;
/// `IP_VS_SCHEDNAME_MAXLEN` without its zero byte.
const LONGEST_SCHEDULER: usize = 15;
/// `IP_VS_PENAME_MAXLEN`
const LONGEST_ENGINE: usize = 16;

impl Fake {
    pub(super) fn set_timeouts(&mut self, wanted: Timeouts) -> Answer {
        self.ask_for_ipvs()?;
        let live = match self.observed.state.objects.get(&Key::Timeouts) {
            Some(Resource::Timeouts(live)) => *live,
            _ => Timeouts::default(),
        };
        if [wanted.tcp, wanted.tcp_fin, wanted.udp].into_iter().flatten().any(|seconds| seconds > LONGEST_TIMEOUT) {
            return Err(no(Errno::EINVAL));
        }
        // 0 keeps what is there.
        let or = |wanted: Option<u32>, live| wanted.filter(|seconds| *seconds != 0).or(live);
        let set =
            Timeouts { tcp: or(wanted.tcp, live.tcp), tcp_fin: or(wanted.tcp_fin, live.tcp_fin), udp: or(wanted.udp, live.udp) };
        self.state().objects.insert(Key::Timeouts, Resource::Timeouts(set));
        Ok(())
    }

    pub(super) fn put_service(&mut self, key: ServiceKey, service: &Service, new: bool) -> Answer {
        self.ask_for_ipvs()?;
        // What does not fit its attribute is refused before anything is looked up.
        if service.scheduler.len() > LONGEST_SCHEDULER
            || service.engine.as_ref().is_some_and(|engine| engine.len() > LONGEST_ENGINE)
        {
            return Err(no(Errno::EINVAL));
        }
        let engine = service.engine.clone().filter(|engine| !engine.is_empty());
        let name = Key::Service(key);
        match (self.holds(&name), new) {
            (true, true) => return Err(no(Errno::EEXIST)),
            (false, false) => return Err(no(Errno::ESRCH)),
            _ => {}
        }
        if service.scheduler != "none" && !self.schedulers.contains(&service.scheduler) {
            return Err(no(Errno::ENOENT));
        }
        if engine.as_ref().is_some_and(|engine| engine != "sip") {
            return Err(no(Errno::ENOENT));
        }
        let persistence =
            service.persistence.map(|it| Persistence { timeout: it.timeout, clients: mask_in(key.family(), it.clients) });
        if persistence.is_some_and(|it| matches!(it.clients, ClientMask::Ipv6(0 | 129..))) {
            return Err(no(Errno::EINVAL));
        }
        self.state().objects.insert(name, Resource::from(Service { persistence, engine, ..service.clone() }));
        self.seats.entry(key).or_default();
        Ok(())
    }

    pub(super) fn delete_service(&mut self, key: ServiceKey) -> Answer {
        self.ask_for_ipvs()?;
        if !self.holds(&Key::Service(key)) {
            return Err(no(Errno::ESRCH));
        }
        for server in self.seats.get(&key).cloned().unwrap_or_default() {
            self.remove_destination(DestinationKey::new(key, server));
        }
        self.seats.remove(&key);
        self.state().objects.remove(&Key::Service(key));
        Ok(())
    }

    pub(super) fn put_destination(&mut self, key: DestinationKey, destination: &Destination, new: bool) -> Answer {
        self.ask_for_ipvs()?;
        if !self.holds(&Key::Service(key.service)) {
            return Err(no(Errno::ESRCH));
        }
        let forward = method(destination.forward);
        self.check_family(&key, forward)?;
        if i32::try_from(destination.weight.value()).is_err() || destination.min_connections > destination.max_connections {
            return Err(no(Errno::ERANGE));
        }
        if matches!(forward, Forward::Tun(Encapsulation::Gue { port: 0, .. })) {
            return Err(no(Errno::EINVAL));
        }
        let name = Key::Destination(key);
        match (self.holds(&name), new) {
            (true, true) => return Err(no(Errno::EEXIST)),
            (false, false) => return Err(no(Errno::ENOENT)),
            _ => {}
        }
        if new {
            if !self.is_unicast(key.address) {
                return Err(no(Errno::EINVAL));
            }
            self.seats.entry(key.service).or_default().push(key.id());
            if let Some(connections) = self.trash.remove(&name) {
                self.observed.traffic.insert(name.clone(), connections);
            }
        }
        let weight = Weight::Owned(destination.weight.value());
        self.state().objects.insert(name, Resource::Destination(Destination { forward, weight, ..destination.clone() }));
        Ok(())
    }

    pub(super) fn delete_destination(&mut self, key: DestinationKey) -> Answer {
        self.ask_for_ipvs()?;
        if !self.holds(&Key::Service(key.service)) {
            return Err(no(Errno::ESRCH));
        }
        if !self.holds(&Key::Destination(key)) {
            return Err(no(Errno::ENOENT));
        }
        self.remove_destination(key);
        Ok(())
    }

    /// The kernel takes a destination of another family than its service only in a tunnel and without sync daemons. A
    /// delete is not checked.
    fn check_family(&self, key: &DestinationKey, forward: Forward) -> Answer {
        if key.service.family() == Family::of(key.address) {
            return Ok(());
        }
        let synced = [SyncRole::Master, SyncRole::Backup].into_iter().any(|role| self.holds(&Key::Sync(role)));
        if synced || !matches!(forward, Forward::Tun(_)) { Err(no(Errno::EINVAL)) } else { Ok(()) }
    }

    fn remove_destination(&mut self, key: DestinationKey) {
        let name = Key::Destination(key);
        if let Some(connections) = self.observed.traffic.remove(&name) {
            self.trash.insert(name.clone(), connections);
        }
        self.state().objects.remove(&name);
        if let Some(seats) = self.seats.get_mut(&key.service) {
            seats.retain(|server| *server != key.id());
        }
    }

    pub(super) fn start_sync(&mut self, role: SyncRole, daemon: &SyncDaemon) -> Answer {
        self.ask_for_ipvs()?;
        if daemon.interface.len() > LONGEST_NAME || !daemon.group.is_multicast() {
            return Err(no(Errno::EINVAL));
        }
        let mixed = self.observed.state.objects.keys().any(
            |key| matches!(key, Key::Destination(destination) if destination.service.family() != Family::of(destination.address)),
        );
        if mixed {
            return Err(no(Errno::EINVAL));
        }
        let (up, mtu) = match self.observed.state.objects.get(&Key::Link(daemon.interface.clone())) {
            Some(Resource::Link(link)) => (link.up, link.mtu.unwrap_or(LONGEST_SYNC)),
            _ => return Err(no(Errno::ENODEV)),
        };
        if self.holds(&Key::Sync(role)) {
            return Err(no(Errno::EEXIST));
        }
        if role == SyncRole::Master && !up {
            return Err(no(Errno::ENETUNREACH));
        }
        // A master over IPv6 finds no source address; over IPv4 it takes another device's, or none.
        let sends_ipv6 = role == SyncRole::Master && daemon.group.is_ipv6();
        if sends_ipv6 && !self.addresses.iter().any(|key| key.address.is_ipv6() && key.interface == daemon.interface) {
            return Err(no(Errno::EADDRNOTAVAIL));
        }
        let headers = if daemon.group.is_ipv4() { 28 } else { 48 };
        let longest = u32::from(u16::MAX);
        let (least, mtu) = match role {
            SyncRole::Master => (1, LONGEST_SYNC),
            SyncRole::Backup => (1024, mtu.clamp(LONGEST_SYNC, longest)),
        };
        // What is 0 is the kernel's to choose.
        let length = match daemon.max_length.unwrap_or(0) {
            0 => mtu - headers,
            length => u32::from(length).clamp(least, longest - headers),
        };
        let daemon = SyncDaemon {
            max_length: u16::try_from(length).ok(),
            port: if daemon.port == 0 { 8848 } else { daemon.port },
            ttl: daemon.ttl.max(1),
            ..daemon.clone()
        };
        self.state().objects.insert(Key::Sync(role), Resource::from(daemon));
        Ok(())
    }

    pub(super) fn stop_sync(&mut self, role: SyncRole) -> Answer {
        self.ask_for_ipvs()?;
        self.state().objects.remove(&Key::Sync(role)).map_or(Err(no(Errno::ESRCH)), |_| Ok(()))
    }

    /// IPv4: unicast or local by the routing table; IPv6: unicast and not link-local, and no IPv4 address in IPv6's clothes.
    fn is_unicast(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                let broadcast = |key: &Key| matches!(key, Key::Address(key) if broadcast(key) == Some(address));
                address != Ipv4Addr::UNSPECIFIED
                    && address != Ipv4Addr::BROADCAST
                    && !address.is_multicast()
                    && !self.observed.state.objects.range(..Key::Timeouts).any(|(key, _)| broadcast(key))
            }
            IpAddr::V6(address) => {
                address != Ipv6Addr::UNSPECIFIED
                    && !address.is_multicast()
                    && !address.is_unicast_link_local()
                    && address.to_ipv4_mapped().is_none()
            }
        }
    }
}

/// `IP_VS_SYNC_*`: what a sync message is at most unless asked for, headers included.
const LONGEST_SYNC: u32 = 1500;

/// The mask as the kernel keeps it: one number, whose meaning the service's family decides.
fn mask_in(family: Family, mask: ClientMask) -> ClientMask {
    let number = match mask {
        ClientMask::Ipv4(mask) => u32::from_ne_bytes(mask.octets()),
        ClientMask::Ipv6(length) => length,
    };
    match family {
        Family::Ipv4 => ClientMask::Ipv4(number.to_ne_bytes().into()),
        Family::Ipv6 => ClientMask::Ipv6(number),
    }
}

/// The forwarding method as the kernel keeps it: numbers that have a name by their name.
fn method(forward: Forward) -> Forward {
    match forward {
        Forward::Other(number) => match number & 7 {
            0 => Forward::Nat,
            2 => Forward::Tun(Encapsulation::Ipip),
            3 => Forward::Dr,
            other => Forward::Other(other),
        },
        Forward::Tun(Encapsulation::Other(0)) => Forward::Tun(Encapsulation::Ipip),
        Forward::Tun(Encapsulation::Other(1)) => Forward::Tun(Encapsulation::Gue { port: 0, checksum: Checksum::None }),
        Forward::Tun(Encapsulation::Other(2)) => Forward::Tun(Encapsulation::Gre { checksum: Checksum::None }),
        Forward::Tun(Encapsulation::Gue { port, checksum }) => {
            Forward::Tun(Encapsulation::Gue { port, checksum: flags(checksum) })
        }
        Forward::Tun(Encapsulation::Gre { checksum }) => Forward::Tun(Encapsulation::Gre { checksum: flags(checksum) }),
        other => other,
    }
}

fn flags(checksum: Checksum) -> Checksum {
    match checksum {
        Checksum::Other(0) => Checksum::None,
        Checksum::Other(1) => Checksum::Csum,
        Checksum::Other(2) => Checksum::Remcsum,
        other => other,
    }
}
