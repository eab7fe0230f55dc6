//! IPVS of the model (`ip_vs_genl_set_cmd` and what it calls).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;

use super::{Answer, Fake, no};
use crate::state::{
    ClientMask, Destination, DestinationKey, Encapsulation, Family, Forward, Key, Resource, Service, ServiceKey, SyncDaemon,
    SyncRole, Timeouts, Weight,
};

/// The largest number of seconds that fits the kernel's jiffies at 1,000 a second.
const LONGEST_TIMEOUT: u32 = i32::MAX.cast_unsigned() / 1000;

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
        let name = Key::Service(key);
        match (self.holds(&name), new) {
            (true, true) => return Err(no(Errno::EEXIST)),
            (false, false) => return Err(no(Errno::ESRCH)),
            _ => {}
        }
        if service.scheduler != "none" && !self.schedulers.contains(&service.scheduler) {
            return Err(no(Errno::ENOENT));
        }
        if service.engine.as_ref().is_some_and(|engine| engine != "sip") {
            return Err(no(Errno::ENOENT));
        }
        if let (Family::Ipv6, Some(persistence)) = (key.family(), service.persistence)
            && !matches!(persistence.clients, ClientMask::Ipv6(1..=128))
        {
            return Err(no(Errno::EINVAL));
        }
        self.state().objects.insert(name, Resource::from(service.clone()));
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
        self.check_family(&key, destination.forward)?;
        if i32::try_from(destination.weight.value()).is_err() || destination.min_connections > destination.max_connections {
            return Err(no(Errno::ERANGE));
        }
        if matches!(destination.forward, Forward::Tun(Encapsulation::Gue { port: 0, .. })) {
            return Err(no(Errno::EINVAL));
        }
        let name = Key::Destination(key);
        match (self.holds(&name), new) {
            (true, true) => return Err(no(Errno::EEXIST)),
            (false, false) => return Err(no(Errno::ENOENT)),
            _ => {}
        }
        if new {
            if !is_unicast(key.address) {
                return Err(no(Errno::EINVAL));
            }
            self.seats.entry(key.service).or_default().push(key.id());
            if let Some(connections) = self.trash.remove(&name) {
                self.observed.traffic.insert(name.clone(), connections);
            }
        }
        let weight = Weight::Owned(destination.weight.value());
        self.state().objects.insert(name, Resource::Destination(Destination { weight, ..destination.clone() }));
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
        if !daemon.group.is_multicast() {
            return Err(no(Errno::EINVAL));
        }
        let mixed = self.observed.state.objects.keys().any(
            |key| matches!(key, Key::Destination(destination) if destination.service.family() != Family::of(destination.address)),
        );
        if mixed {
            return Err(no(Errno::EINVAL));
        }
        let mtu = match self.observed.state.objects.get(&Key::Link(daemon.interface.clone())) {
            Some(Resource::Link(link)) => link.mtu.unwrap_or(1500).clamp(1, 1500),
            _ => return Err(no(Errno::ENODEV)),
        };
        if self.holds(&Key::Sync(role)) {
            return Err(no(Errno::EEXIST));
        }
        let headers = if daemon.group.is_ipv4() { 28 } else { 48 };
        let max_length = daemon.max_length.or(u16::try_from(mtu.saturating_sub(headers)).ok());
        let daemon = SyncDaemon { max_length, ..daemon.clone() };
        self.state().objects.insert(Key::Sync(role), Resource::from(daemon));
        Ok(())
    }

    pub(super) fn stop_sync(&mut self, role: SyncRole) -> Answer {
        self.ask_for_ipvs()?;
        self.state().objects.remove(&Key::Sync(role)).map_or(Err(no(Errno::ESRCH)), |_| Ok(()))
    }
}

/// IPv4: unicast or local by the routing table; IPv6: unicast and not link-local.
fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address != Ipv4Addr::UNSPECIFIED && address != Ipv4Addr::BROADCAST && !address.is_multicast(),
        IpAddr::V6(address) => address != Ipv6Addr::UNSPECIFIED && !address.is_multicast() && !address.is_unicast_link_local(),
    }
}
