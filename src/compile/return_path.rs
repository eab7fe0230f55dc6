//! How the replies of a nat server come back to the director that translated the packet: rules for what the server sends
//! from its ports, and a table for each director whose one route leads there (language: what a method implies).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::sysctl::{Need, Needs};
use super::{Target, default_of, fnv, server};
use crate::source::Origin;
use crate::state::{Family, Key, Protocol, RULE_PRIORITY, Resource, Route, RouteKey, RuleKey};
use crate::topology::{Forward, Host, Listen, ListenOn, ReturnMode, Service, Topology, Via, Vip};

const REASON: &str = "return-path \"policy\" needs it";

pub(super) fn compile(topology: &Topology, host: &Host, target: &mut Target, needs: &mut Needs) {
    for service in topology.services.values().filter(|service| service.return_path.mode.value == ReturnMode::Policy) {
        for listen in &service.listens {
            let vips: Vec<&Vip> =
                server::listen_vips(&listen.what).into_iter().filter_map(|name| topology.vips.get(name)).collect();
            // A director reaches itself.
            if vips.iter().any(|vip| server::carries(vip, host)) {
                continue;
            }
            for family in server::families(topology, listen) {
                // A director says what is wrong with the servers.
                let reached = server::reached(topology, service, listen, family, &mut Target::default());
                for reached in reached.iter().filter(|reached| reached.is(host) && reached.forward == Forward::Nat) {
                    let own_port = reached.server.port.as_ref().map(|port| port.value);
                    let way = Way { service, rip: reached.address, origin: server::origin(reached.server) };
                    way.compile(topology, host, (listen, &vips), own_port, target, needs);
                }
            }
        }
    }
}

/// Replies of one server.
struct Way<'t> {
    service: &'t Service,
    rip: IpAddr,
    origin: Origin,
}

impl Way<'_> {
    fn compile(
        &self,
        topology: &Topology,
        host: &Host,
        (listen, vips): (&Listen, &[&Vip]),
        own_port: Option<u16>,
        target: &mut Target,
        needs: &mut Needs,
    ) {
        let name: Arc<str> = self.service.name.value.as_str().into();
        let family = Family::of(self.rip);
        let via = self.via(topology, host, vips, family);
        let Some((via, interface)) = via.and_then(|via| Some((via, server::subnet_interface(host, via)?))) else {
            let text = format!("the way back of service `{name}`: no interface of `{}` reaches its director", host.name.value);
            target.leave_out(text, self.origin);
            return;
        };
        let Some(ports) = ports(listen, own_port) else {
            let text = format!(
                "the way back of service `{name}`: something else marks its packets, so nobody here knows their ports. With `match` blocks instead of `vip`, or return-path \"default-route\", it is known"
            );
            target.leave_out(text, self.origin);
            return;
        };
        let table = table(via);
        let key = RouteKey {
            destination: default_of(family),
            via: Some(via),
            interface: interface.to_owned(),
            table,
            metric: Route::metric(family),
            tos: 0,
        };
        let route = Resource::from(Route::ours(&key));
        target.share_implied(Key::Route(key), route, &name, self.origin, REASON);
        for (protocol, port) in ports {
            // An unbound UDP socket looks its route up before it has a source. Without a port, the source is all there is.
            let from = (protocol != Protocol::Udp || port == 0).then_some(self.rip);
            let source_port = (port != 0).then_some(port);
            let protocol = Some(protocol);
            // The kernel deletes the first rule that fits what a request says: one that says less comes later.
            let priority = RULE_PRIORITY + u32::from(port == 0);
            let rule = RuleKey { family, priority, from, mark: None, protocol, source_port, table };
            target.share_implied(Key::Rule(rule), Resource::Rule, &name, self.origin, REASON);
        }
        if family == Family::Ipv6 {
            // Otherwise the director's redirect sends replies to clients of the same subnet past it.
            let (value, set, unless, reason) = ("0", true, None, REASON);
            let need = Need { value, set, unless, reason, name, origin: self.origin };
            needs.add(&format!("net/ipv6/conf/{interface}/accept_redirects"), need);
        }
    }

    /// `via`; else the address, in the server's subnet, of the only director or the holder.
    fn via(&self, topology: &Topology, host: &Host, vips: &[&Vip], family: Family) -> Option<IpAddr> {
        let of_family = |address: &IpAddr| Family::of(*address) == family;
        match self.service.return_path.via.as_ref().map(|via| &via.value) {
            Some(Via::Address(address)) => Some(*address).filter(of_family),
            Some(Via::Vip(name)) => {
                topology.vips.get(name)?.addresses.iter().map(|address| address.value).find(|address| of_family(address))
            }
            None => {
                let vip = vips.first()?;
                let mut carriers = topology.hosts.values().filter(|host| server::carries(vip, host));
                let director = match &vip.holder {
                    Some(holder) => topology.hosts.get(&holder.value)?,
                    None => carriers.next().filter(|_| carriers.next().is_none())?,
                };
                let near = server::subnet_interface(host, self.rip)?;
                let is_near = |address: &IpAddr| server::subnet_interface(host, *address) == Some(near);
                server::own_addresses(director).find(|address| of_family(address) && is_near(address))
            }
        }
    }
}

/// The protocols and ports that replies leave from; port 0 is every port. `None`: nobody knows.
fn ports(listen: &Listen, own: Option<u16>) -> Option<BTreeSet<(Protocol, u16)>> {
    match &listen.what {
        ListenOn::Vip { port, protocol, server_port, .. } => {
            let port = own.or(server_port.as_ref().map(|port| port.value)).unwrap_or(port.value);
            Some([(protocol.value, port)].into())
        }
        ListenOn::Mark { matches, .. } if matches.is_empty() => None,
        ListenOn::Mark { matches, .. } => {
            let of_match = |one: &crate::topology::Match| match (own, one.ports.is_empty()) {
                (Some(port), _) => vec![(one.protocol.value, port)],
                (None, true) => vec![(one.protocol.value, 0)],
                (None, false) => one.ports.iter().map(|port| (one.protocol.value, port.value)).collect(),
            };
            Some(matches.iter().flat_map(of_match).collect())
        }
    }
}

/// The table whose one route leads to this address. A number that depends on nothing else: it stays as it is when the file is
/// edited, and two topologies that send to one director share it. The first 255 are the kernel's and everybody's.
fn table(via: IpAddr) -> u32 {
    match via {
        IpAddr::V4(via) => u32::from(via).max(256),
        IpAddr::V6(via) => fnv(&via.octets()).max(256),
    }
}
