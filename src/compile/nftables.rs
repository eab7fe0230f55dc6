//! What a director does to packets before and behind IPVS: marks (`match`), masquerading, `return-path "snat"`; and how a
//! packet with a mark is delivered where the host does not hold its VIP. One table of nftables for each topology.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Target, default_of, director, server, vip};
use crate::source::Origin;
use crate::state::{
    Base, Chain, Family, Key, Match, RULE_PRIORITY, Resource, Route, RouteKey, RuleKey, Statement, Table, TableRule,
};
use crate::topology::{Forward, Host, Listen, ListenOn, ReturnMode, Topology};

/// The table whose one route delivers packets to this host: `lvs` in ASCII. It is the same for all marks and topologies.
const LOCAL_TABLE: u32 = 0x006c_7673;

const REASON: &str = "a mark whose VIP is not on this host needs it";

/// The name of a topology's table.
pub fn table_name(topology: &Topology) -> String {
    format!("lvsform-{}", topology.name.value)
}

/// The rules of the two chains as they are found, and what asked for the first of them.
#[derive(Default)]
struct Rules {
    prerouting: Vec<TableRule>,
    postrouting: Vec<TableRule>,
    because: Option<(Arc<str>, Origin)>,
}

pub(super) fn compile(topology: &Topology, host: &Host, target: &mut Target) {
    let mut rules = Rules::default();
    for service in topology.services.values() {
        let name: Arc<str> = service.name.value.as_str().into();
        for listen in &service.listens {
            if let ListenOn::Mark { mark, .. } = &listen.what {
                let added = marks(topology, host, listen, mark.value, &mut rules.prerouting);
                rules.because(added, &name, mark.origin);
                deliver(topology, host, listen, (mark.value, mark.origin), &name, target);
            }
            if service.return_path.mode.value == ReturnMode::Snat {
                for family in server::families(topology, listen) {
                    let reached = server::reached(topology, service, listen, family, &mut Target::default());
                    let nat = reached.iter().filter(|reached| reached.forward == Forward::Nat);
                    for (reached, original) in
                        nat.flat_map(|one| originals(topology, host, listen, family).map(move |to| (one, to)))
                    {
                        let port = director::port(reached, listen);
                        let rule = towards(reached.address, (port != 0).then_some(port), &original);
                        rules.postrouting.push(rule);
                        rules.because(true, &name, service.return_path.mode.origin);
                    }
                }
            }
        }
    }
    for masquerade in &host.masquerades {
        let out = Match::Out(masquerade.interface.value.clone());
        for source in &masquerade.sources {
            let matches = vec![out.clone(), Match::From(source.value.trunc())];
            rules.postrouting.push(TableRule::Known { matches, statement: Statement::Masquerade });
        }
        rules.because(true, &masquerade.interface.value.as_str().into(), Origin::Text(masquerade.span));
    }
    rules.into_table(topology, target);
}

impl Rules {
    fn because(&mut self, added: bool, name: &Arc<str>, origin: Origin) {
        if added {
            self.because.get_or_insert((name.clone(), origin));
        }
    }

    /// Order means nothing in the file, and no packet fits two of these rules, so they are sorted.
    fn into_table(self, topology: &Topology, target: &mut Target) {
        let Some((name, origin)) = self.because else { return };
        let chain = |name: &str, base, mut rules: Vec<TableRule>| {
            rules.sort_unstable();
            rules.dedup();
            (!rules.is_empty()).then(|| (name.to_owned(), Chain { base: Some(base), rules }))
        };
        let chains = [
            chain("prerouting", Base::prerouting(), self.prerouting),
            chain("postrouting", Base::postrouting(), self.postrouting),
        ];
        let table = Table { chains: chains.into_iter().flatten().collect() };
        target.add(Key::Nftables(table_name(topology)), Resource::from(table), &name, origin);
    }
}

/// Marks the packets of the VIPs that this host carries. Whether there were any.
fn marks(topology: &Topology, host: &Host, listen: &Listen, mark: u32, rules: &mut Vec<TableRule>) -> bool {
    let before = rules.len();
    for family in server::families(topology, listen) {
        for original in originals(topology, host, listen, family) {
            // Where something else marks, there is nothing to do.
            let Some(protocol) = original.protocol else { continue };
            let mut matches = vec![Match::To(original.address), Match::Protocol(protocol)];
            matches.extend(original.port.map(Match::ToPort));
            rules.push(TableRule::Known { matches, statement: Statement::Mark(mark) });
        }
    }
    rules.len() > before
}

/// Where clients send a service's packets.
struct Original {
    address: IpAddr,
    /// `None`: every protocol
    protocol: Option<crate::state::Protocol>,
    /// `None`: every port
    port: Option<u16>,
}

/// Where the clients of one listen send their packets of a family, as far as this host carries it. Where something else
/// marks, nobody here knows more than the VIP.
fn originals<'t>(topology: &'t Topology, host: &'t Host, listen: &'t Listen, family: Family) -> impl Iterator<Item = Original> {
    let all: Vec<(&str, _, Vec<Option<u16>>)> = match &listen.what {
        ListenOn::Vip { vip, port, protocol, .. } => {
            vec![(&vip.value, Some(protocol.value), vec![Some(port.value).filter(|port| *port != 0)])]
        }
        ListenOn::Mark { vip: Some(vip), .. } => vec![(&vip.value, None, vec![None])],
        ListenOn::Mark { matches, .. } => matches
            .iter()
            .map(|one| {
                let ports: Vec<Option<u16>> = one.ports.iter().map(|port| Some(port.value)).collect();
                (one.vip.value.as_str(), Some(one.protocol.value), if ports.is_empty() { vec![None] } else { ports })
            })
            .collect(),
    };
    all.into_iter().flat_map(move |(name, protocol, ports)| {
        let vip = topology.vips.get(name).filter(|vip| server::carries(vip, host));
        let addresses = vip.into_iter().flat_map(|vip| vip.addresses.iter().map(|address| address.value));
        let addresses: Vec<IpAddr> = addresses.filter(|address| Family::of(*address) == family).collect();
        addresses
            .into_iter()
            .flat_map(move |address| ports.clone().into_iter().map(move |port| Original { address, protocol, port }))
    })
}

/// Masquerades what IPVS sends to a server, and nothing else that goes there.
fn towards(server: IpAddr, port: Option<u16>, original: &Original) -> TableRule {
    let mut matches = vec![Match::To(server)];
    if let Some(protocol) = original.protocol {
        matches.push(Match::Protocol(protocol));
        matches.extend(port.map(Match::ToPort));
    }
    matches.push(Match::OriginallyTo(original.address));
    matches.extend(original.port.map(Match::OriginallyToPort));
    TableRule::Known { matches, statement: Statement::Masquerade }
}

/// A packet whose address is not on this host would be forwarded: its mark leads it to a table that delivers everything here.
fn deliver(
    topology: &Topology,
    host: &Host,
    listen: &Listen,
    (mark, origin): (u32, Origin),
    name: &Arc<str>,
    target: &mut Target,
) {
    for family in server::families(topology, listen) {
        let vips = server::listen_vips(&listen.what).into_iter().filter_map(|name| topology.vips.get(name));
        let is_missing = |address: &IpAddr, of: &crate::topology::Vip| {
            Family::of(*address) == family && !vip::has(topology, host, of, *address)
        };
        let missing = vips
            .filter(|vip| server::carries(vip, host))
            .any(|vip| vip.addresses.iter().any(|address| is_missing(&address.value, vip)));
        if !missing {
            continue;
        }
        let key = RouteKey {
            destination: default_of(family),
            via: None,
            interface: "lo".to_owned(),
            table: LOCAL_TABLE,
            metric: Route::metric(family),
            tos: 0,
        };
        let route = Resource::from(Route { kind: LOCAL, scope: scope(family), ..Route::ours(&key) });
        target.share_implied(Key::Route(key), route, name, origin, REASON);
        let mark = Some(mark);
        let (priority, table) = (RULE_PRIORITY, LOCAL_TABLE);
        let rule = RuleKey { family, priority, from: None, mark, protocol: None, source_port: None, table };
        target.share_implied(Key::Rule(rule), Resource::Rule, name, origin, REASON);
    }
}

/// `RTN_LOCAL`
const LOCAL: u8 = 2;

/// `RT_SCOPE_HOST`; IPv6 knows no scopes.
fn scope(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 254,
        Family::Ipv6 => 0,
    }
}
