//! How the replies of a nat server come back to the director that translated the packet: rules for what the server sends
//! from its ports, and a table for each director whose one route leads there (language: what a method implies).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::fault::Fault;
use super::sysctl::{Need, Needs};
use super::{Target, default_of, fnv, server, vip};
use crate::source::{At, Origin};
use crate::state::{Family, Key, MAIN_TABLE, Protocol, RULE_PRIORITY, Resource, Route, RouteKey, RuleKey};
use crate::topology::{Forward, Host, Listen, ListenOn, ReturnMode, Service, Topology, Via, Vip};

const REASON: &str = "return-path \"policy\" needs it";

pub(super) fn compile(topology: &Topology, host: &Host, target: &mut Target, needs: &mut Needs) {
    let mut said = Said::default();
    for service in topology.services.values().filter(|service| service.return_path.mode.value == ReturnMode::Policy) {
        for listen in &service.listens {
            let asked = asked(topology, listen);
            for family in server::families(topology, listen) {
                // A director says what is wrong with the servers.
                let reached = server::reached(topology, service, listen, family, &mut Target::default());
                for reached in reached.iter().filter(|reached| reached.is(host) && reached.forward == Forward::Nat) {
                    let own_port = reached.server.port.as_ref().map(|port| port.value);
                    let way = Way { service, rip: reached.address, origin: server::origin(reached.server) };
                    // A director reaches itself.
                    for asked in asked.iter().filter(|asked| asked.has(family) && !holds(topology, host, asked.vip, family)) {
                        way.compile(topology, host, asked, own_port, &mut said, target, needs);
                    }
                }
            }
        }
    }
    spare(topology, host, &said, target);
}

/// Whether the host itself has the VIP, or may have it where something else places it.
fn holds(topology: &Topology, host: &Host, vip: &Vip, family: Family) -> bool {
    let addresses = vip.addresses.iter().map(|address| address.value);
    let placed = || addresses.filter(|one| Family::of(*one) == family).any(|one| vip::has(topology, host, vip, one));
    (server::carries(vip, host) && !vip.managed.value) || placed()
}

/// What clients of one VIP ask for.
struct Asked<'t> {
    vip: &'t Vip,
    /// Where the listen names the VIP.
    named: Origin,
    /// Empty: something else marks the packets, so nobody here knows. Port 0 is every port.
    ports: Vec<(Protocol, u16)>,
    /// Where the servers take it; `None`: on the same port.
    server_port: Option<u16>,
}

fn asked<'t>(topology: &'t Topology, listen: &'t Listen) -> Vec<Asked<'t>> {
    let of = |name: &At<String>, ports: Vec<(Protocol, u16)>, server_port| {
        let vip = topology.vips.get(&name.value)?;
        Some(Asked { vip, named: name.origin, ports, server_port })
    };
    match &listen.what {
        ListenOn::Vip { vip, port, protocol, server_port, .. } => {
            let server_port = server_port.as_ref().map(|port| port.value);
            of(vip, vec![(protocol.value, port.value)], server_port).into_iter().collect()
        }
        ListenOn::Mark { matches, vip, .. } => {
            let of_match = |one: &crate::topology::Match| match one.ports.as_slice() {
                [] => vec![(one.protocol.value, 0)],
                ports => ports.iter().map(|port| (one.protocol.value, port.value)).collect(),
            };
            let matched = matches.iter().filter_map(|one| of(&one.vip, of_match(one), None));
            matched.chain(vip.iter().filter_map(|vip| of(vip, Vec::new(), None))).collect()
        }
    }
}

impl Asked<'_> {
    fn has(&self, family: Family) -> bool {
        self.vip.addresses.iter().any(|address| Family::of(address.value) == family)
    }

    /// What replies leave from; `None`: nobody knows.
    fn replies(&self, own: Option<u16>) -> Option<BTreeSet<(Protocol, u16)>> {
        let port = |asked| own.or(self.server_port).unwrap_or(asked);
        (!self.ports.is_empty()).then(|| self.ports.iter().map(|(protocol, asked)| (*protocol, port(*asked))).collect())
    }
}

/// The rules so far: what each asks of a packet (its table is 0), where it leads, and because of what.
#[derive(Default)]
struct Said(BTreeMap<RuleKey, Led>);

#[derive(Clone)]
struct Led {
    via: IpAddr,
    service: Arc<str>,
    named: Origin,
    server: Origin,
}

impl Said {
    /// Notes a rule. One that asks for the same and leads elsewhere would never be reached: that is an error at both.
    fn add(&mut self, rule: RuleKey, led: Led, target: &mut Target) {
        let key = RuleKey { table: 0, ..rule };
        match self.0.get(&key) {
            Some(first) if first.via != led.via => target.fault(Fault::TwoWaysBack {
                protocol: rule.protocol.unwrap_or(Protocol::Tcp),
                port: rule.source_port,
                services: [first.service.to_string(), led.service.to_string()],
                vias: [first.via, led.via],
                first: first.named,
                second: led.named,
            }),
            Some(_) => {}
            None => _ = self.0.insert(key, led),
        }
    }
}

/// A rule for UDP asks for no source, so it would take what this host sends from VIPs too: as a dr or tun server of the same
/// port, or as the director that has them. A rule before it leaves those packets alone.
fn spare(topology: &Topology, host: &Host, said: &Said, target: &mut Target) {
    let of_udp = |(rule, led): (&RuleKey, &Led)| {
        let port = rule.source_port.filter(|_| rule.from.is_none() && rule.protocol == Some(Protocol::Udp))?;
        Some((rule.family, port, led.clone()))
    };
    let taken: Vec<(Family, u16, Led)> = said.0.iter().filter_map(of_udp).collect();
    if taken.is_empty() {
        return;
    }
    let sent = sent_from_vips(topology, host);
    for (family, port, led) in taken {
        for (address, _) in sent.iter().filter(|(one, own)| Family::of(*one) == family && (*own == 0 || *own == port)) {
            let (priority, from) = (RULE_PRIORITY - 1, Some(*address));
            let (protocol, source_port) = (Some(Protocol::Udp), Some(port));
            let rule = RuleKey { family, priority, from, mark: None, protocol, source_port, table: MAIN_TABLE };
            target.share_implied(Key::Rule(rule), Resource::Rule, &led.service, led.server, REASON);
        }
    }
}

/// The VIPs' addresses and UDP ports from which packets leave this host by its own routes. Port 0 is every port.
fn sent_from_vips(topology: &Topology, host: &Host) -> BTreeSet<(IpAddr, u16)> {
    let mut sent = BTreeSet::new();
    for service in topology.services.values() {
        for listen in &service.listens {
            let asked = asked(topology, listen);
            for family in server::families(topology, listen) {
                let reached = server::reached(topology, service, listen, family, &mut Target::default());
                let serves = reached.iter().any(|reached| reached.is(host) && reached.forward != Forward::Nat);
                for asked in &asked {
                    let addresses = asked.vip.addresses.iter().map(|address| address.value);
                    let own = addresses
                        .filter(|one| Family::of(*one) == family)
                        .filter(|one| serves || (server::carries(asked.vip, host) && vip::has(topology, host, asked.vip, *one)));
                    let udp = asked.ports.iter().filter(|(protocol, _)| *protocol == Protocol::Udp).map(|(_, port)| *port);
                    let ports: Vec<u16> = udp.chain(asked.ports.is_empty().then_some(0)).collect();
                    sent.extend(own.flat_map(|address| ports.iter().map(move |port| (address, *port))));
                }
            }
        }
    }
    sent
}

/// Replies of one server.
struct Way<'t> {
    service: &'t Service,
    rip: IpAddr,
    origin: Origin,
}

impl Way<'_> {
    #[expect(clippy::too_many_arguments, reason = "what is asked, and the three that everything is added to")]
    fn compile(
        &self,
        topology: &Topology,
        host: &Host,
        asked: &Asked,
        own_port: Option<u16>,
        said: &mut Said,
        target: &mut Target,
        needs: &mut Needs,
    ) {
        let name: Arc<str> = self.service.name.value.as_str().into();
        let family = Family::of(self.rip);
        let via = self.via(topology, host, asked.vip, family);
        let Some((via, interface)) = via.and_then(|via| Some((via, server::subnet_interface(host, via)?))) else {
            let text = format!("the way back of service `{name}`: no interface of `{}` reaches its director", host.name.value);
            target.leave_out(text, self.origin);
            return;
        };
        let Some(ports) = asked.replies(own_port) else {
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
            said.add(rule, Led { via, service: name.clone(), named: asked.named, server: self.origin }, target);
            target.share_implied(Key::Rule(rule), Resource::Rule, &name, self.origin, REASON);
        }
        if family == Family::Ipv6 {
            // Otherwise the director's redirect sends replies to clients of the same subnet past it.
            let (value, set, unless, reason) = ("0", true, None, REASON);
            let need = Need { value, at_most: None, set, unless, reason, name, origin: self.origin };
            needs.add(&format!("net/ipv6/conf/{interface}/accept_redirects"), need);
        }
    }

    /// `via`; else the address, in the server's subnet, of the only director or the holder.
    fn via(&self, topology: &Topology, host: &Host, vip: &Vip, family: Family) -> Option<IpAddr> {
        let of_family = |address: &IpAddr| Family::of(*address) == family;
        match self.service.return_path.via.as_ref().map(|via| &via.value) {
            Some(Via::Address(address)) => Some(*address).filter(of_family),
            Some(Via::Vip(name)) => {
                topology.vips.get(name)?.addresses.iter().map(|address| address.value).find(|address| of_family(address))
            }
            None => {
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

/// The table whose one route leads to this address. A number that depends on nothing else: it stays as it is when the file is
/// edited, and two topologies that send to one director share it. The first 255 are the kernel's and everybody's.
fn table(via: IpAddr) -> u32 {
    match via {
        IpAddr::V4(via) => u32::from(via).max(256),
        IpAddr::V6(via) => fnv(&via.octets()).max(256),
    }
}
