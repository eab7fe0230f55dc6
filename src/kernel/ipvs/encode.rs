//! Requests to IPVS.

use std::net::Ipv4Addr;

use super::wire::{self, command, daemon, destination, flag, forward, service, top, tunnel};
use crate::kernel::netlink::wire::Writer;
use crate::state::{
    Checksum, ClientMask, Destination, DestinationKey, Encapsulation, Family, Forward, Service, ServiceFlags, ServiceKey,
    SyncDaemon, SyncRole, Timeouts,
};

/// Everything that IPVS can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Make a service.
    NewService(ServiceKey, &'a Service),
    /// Replace all of a service but its key: what is left out is reset.
    SetService(ServiceKey, &'a Service),
    /// Delete a service and its destinations.
    DeleteService(ServiceKey),
    /// One service.
    GetService(ServiceKey),
    /// All services; a dump.
    GetServices,
    /// Make a destination.
    NewDestination(DestinationKey, &'a Destination),
    /// Replace all of a destination but its key: what is left out is reset.
    SetDestination(DestinationKey, &'a Destination),
    /// Delete a destination.
    DeleteDestination(DestinationKey),
    /// The destinations of a service, newest first; a dump.
    GetDestinations(ServiceKey),
    /// Start a sync daemon.
    NewDaemon(SyncRole, &'a SyncDaemon),
    /// Stop a sync daemon.
    DeleteDaemon(SyncRole),
    /// The sync daemons; a dump.
    GetDaemons,
    /// Set the timeouts that are there.
    SetTimeouts(Timeouts),
    /// The timeouts.
    GetTimeouts,
    /// The version of IPVS and the size of its connection table.
    GetInfo,
    /// Set the counters of a service, or of everything, to zero.
    Zero(Option<ServiceKey>),
    /// Delete everything. No plan ever asks for it.
    Flush,
}

impl Request<'_> {
    /// Writes the request for the family number `family`. Its flags and its end are the socket's.
    pub fn write(&self, family: u16, writer: &mut Writer) {
        writer.begin_generic(family, self.command(), wire::VERSION);
        match *self {
            Request::NewService(key, service) | Request::SetService(key, service) => whole_service(writer, key, service),
            Request::DeleteService(key) | Request::GetService(key) | Request::GetDestinations(key) | Request::Zero(Some(key)) => {
                bare_service(writer, key);
            }
            Request::NewDestination(key, destination) | Request::SetDestination(key, destination) => {
                whole_destination(writer, key, destination);
            }
            Request::DeleteDestination(key) => {
                bare_service(writer, key.service);
                writer.nested(top::DEST, |writer| destination_key(writer, key));
            }
            Request::NewDaemon(role, daemon) => whole_daemon(writer, role, daemon),
            Request::DeleteDaemon(role) => {
                writer.nested(top::DAEMON, |writer| writer.u32(daemon::STATE, state(role)));
            }
            Request::SetTimeouts(timeouts) => self::timeouts(writer, timeouts),
            Request::GetServices
            | Request::GetDaemons
            | Request::GetTimeouts
            | Request::GetInfo
            | Request::Zero(None)
            | Request::Flush => {}
        }
    }

    fn command(&self) -> u8 {
        match self {
            Request::NewService(..) => command::NEW_SERVICE,
            Request::SetService(..) => command::SET_SERVICE,
            Request::DeleteService(_) => command::DEL_SERVICE,
            Request::GetService(_) | Request::GetServices => command::GET_SERVICE,
            Request::NewDestination(..) => command::NEW_DEST,
            Request::SetDestination(..) => command::SET_DEST,
            Request::DeleteDestination(_) => command::DEL_DEST,
            Request::GetDestinations(_) => command::GET_DEST,
            Request::NewDaemon(..) => command::NEW_DAEMON,
            Request::DeleteDaemon(_) => command::DEL_DAEMON,
            Request::GetDaemons => command::GET_DAEMON,
            Request::SetTimeouts(_) => command::SET_CONFIG,
            Request::GetTimeouts => command::GET_CONFIG,
            Request::GetInfo => command::GET_INFO,
            Request::Zero(_) => command::ZERO,
            Request::Flush => command::FLUSH,
        }
    }
}

fn af(family: Family) -> u16 {
    match family {
        Family::Ipv4 => wire::INET,
        Family::Ipv6 => wire::INET6,
    }
}

fn bare_service(writer: &mut Writer, key: ServiceKey) {
    writer.nested(top::SERVICE, |writer| service_key(writer, key));
}

fn service_key(writer: &mut Writer, key: ServiceKey) {
    writer.u16(service::AF, af(key.family()));
    match key {
        ServiceKey::Tuple { protocol, address, port } => {
            writer.u16(service::PROTOCOL, protocol.number());
            writer.address(service::ADDR, address);
            writer.be16(service::PORT, port);
        }
        ServiceKey::Mark { family: _, mark } => writer.u32(service::FWMARK, mark),
    }
}

fn whole_service(writer: &mut Writer, key: ServiceKey, value: &Service) {
    let Service { scheduler, flags, persistence, engine } = value;
    let ServiceFlags { one_packet, sched1, sched2, sched3 } = *flags;
    let flags = [
        (persistence.is_some(), flag::PERSISTENT),
        (one_packet, flag::ONEPACKET),
        (sched1, flag::SCHED1),
        (sched2, flag::SCHED2),
        (sched3, flag::SCHED3),
    ]
    .into_iter()
    .filter_map(|(set, flag)| set.then_some(flag))
    .sum::<u32>();
    writer.nested(top::SERVICE, |writer| {
        service_key(writer, key);
        writer.string(service::SCHED_NAME, scheduler);
        let [f0, f1, f2, f3] = flags.to_ne_bytes();
        let [m0, m1, m2, m3] = flag::MASK.to_ne_bytes();
        writer.attribute(service::FLAGS, &[f0, f1, f2, f3, m0, m1, m2, m3]);
        writer.u32(service::TIMEOUT, persistence.map_or(0, |persistence| persistence.timeout));
        // A whole address where there is no persistence: IPv6 refuses length 0 even then.
        match persistence.map_or_else(|| ClientMask::from_prefix(key.family(), key.family().bits()), |it| it.clients) {
            ClientMask::Ipv4(mask) => writer.attribute(service::NETMASK, &Ipv4Addr::octets(&mask)),
            ClientMask::Ipv6(length) => writer.u32(service::NETMASK, length),
        }
        if let Some(engine) = engine {
            writer.string(service::PE_NAME, engine);
        }
    });
}

fn destination_key(writer: &mut Writer, key: DestinationKey) {
    writer.address(destination::ADDR, key.address);
    writer.be16(destination::PORT, key.port);
    writer.u16(destination::ADDR_FAMILY, af(Family::of(key.address)));
}

fn whole_destination(writer: &mut Writer, key: DestinationKey, value: &Destination) {
    let Destination { forward, weight, max_connections, min_connections } = value;
    let (method, encapsulation) = match *forward {
        Forward::Nat => (forward::MASQ, None),
        Forward::Dr => (forward::DROUTE, None),
        Forward::Tun(encapsulation) => (forward::TUNNEL, Some(encapsulation)),
        Forward::Other(method) => (method, None),
    };
    bare_service(writer, key.service);
    writer.nested(top::DEST, |writer| {
        destination_key(writer, key);
        writer.u32(destination::FWD_METHOD, method);
        writer.u32(destination::WEIGHT, weight.value());
        writer.u32(destination::U_THRESH, *max_connections);
        writer.u32(destination::L_THRESH, *min_connections);
        // What is not sent is ipip, port 0, no flags, in an edit too.
        match encapsulation {
            None | Some(Encapsulation::Ipip) => {}
            Some(Encapsulation::Gue { port, checksum }) => {
                writer.u8(destination::TUN_TYPE, tunnel::GUE);
                writer.be16(destination::TUN_PORT, port);
                writer.u16(destination::TUN_FLAGS, tunnel_flags(checksum));
            }
            Some(Encapsulation::Gre { checksum }) => {
                writer.u8(destination::TUN_TYPE, tunnel::GRE);
                writer.u16(destination::TUN_FLAGS, tunnel_flags(checksum));
            }
            Some(Encapsulation::Other(number)) => writer.u8(destination::TUN_TYPE, number),
        }
    });
}

fn tunnel_flags(checksum: Checksum) -> u16 {
    match checksum {
        Checksum::None => tunnel::NOCSUM,
        Checksum::Csum => tunnel::CSUM,
        Checksum::Remcsum => tunnel::REMCSUM,
        Checksum::Other(flags) => flags,
    }
}

fn state(role: SyncRole) -> u32 {
    match role {
        SyncRole::Master => daemon::MASTER,
        SyncRole::Backup => daemon::BACKUP,
    }
}

fn whole_daemon(writer: &mut Writer, role: SyncRole, value: &SyncDaemon) {
    let SyncDaemon { interface, id, group, port, ttl, max_length } = value;
    writer.nested(top::DAEMON, |writer| {
        writer.u32(daemon::STATE, state(role));
        writer.string(daemon::MCAST_IFN, interface);
        writer.u32(daemon::SYNC_ID, *id);
        if let Some(length) = max_length {
            writer.u16(daemon::SYNC_MAXLEN, *length);
        }
        writer.address(if group.is_ipv4() { daemon::MCAST_GROUP } else { daemon::MCAST_GROUP6 }, *group);
        writer.u16(daemon::MCAST_PORT, *port);
        writer.u8(daemon::MCAST_TTL, *ttl);
    });
}

fn timeouts(writer: &mut Writer, timeouts: Timeouts) {
    let Timeouts { tcp, tcp_fin, udp } = timeouts;
    for (kind, seconds) in [(top::TIMEOUT_TCP, tcp), (top::TIMEOUT_TCP_FIN, tcp_fin), (top::TIMEOUT_UDP, udp)] {
        if let Some(seconds) = seconds {
            writer.u32(kind, seconds);
        }
    }
}
