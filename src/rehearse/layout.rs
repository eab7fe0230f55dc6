//! The network that a topology implies: its segments, a router between them, and a client behind the router.
//!
//! Pure. Interfaces whose subnets overlap hang on one segment. A router has an address in every subnet: the gateway that the
//! file names, unless a host of the file has it, else a free one. Clients live in a block of addresses of their own, so that
//! all that they send and get is routed. Nothing here knows how a segment is made.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::compile;
use crate::state::Family;
use crate::topology::{Forward, Host, Interface, ListenOn, ReturnMode, Role, Server, Service, Topology, Via, Vip};

/// bytes; what an interface has where the file says nothing
pub const USUAL_MTU: u32 = 1500;

/// Blocks of addresses for clients: the first that nothing of the topology lies in. Those for benchmarks come first.
const BLOCKS_V4: [&str; 4] = ["198.18.0.0/15", "100.64.0.0/15", "172.30.0.0/15", "10.254.0.0/15"];
const BLOCKS_V6: [&str; 3] = ["2001:2::/48", "2001:db8:c11e::/48", "fd6c:7673:666f::/48"];

/// The network of a whole topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Wires with what hangs on them.
    pub segments: Vec<Segment>,
    /// Every host of the file, by name.
    pub hosts: BTreeMap<String, HostPlan>,
    /// The client's two links and blocks: IPv4, IPv6.
    pub client: [ClientPlan; 2],
    /// For each routed VIP: by which address of which director the router reaches it, best first.
    pub vip_routes: BTreeMap<IpAddr, Vec<(String, IpAddr)>>,
    /// VIPs that something else places (`managed #false`), as the rehearsal does in its place.
    pub by_hand: Vec<ByHand>,
}

/// A wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The router's addresses, with the lengths of the subnets.
    pub router: Vec<IpNet>,
    /// Hosts' addresses that no subnet with room for a router has: it has a route of its own for each.
    pub alone: Vec<IpNet>,
    /// bytes; the largest of what hangs on it
    pub mtu: u32,
}

/// What a host has before anything is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPlan {
    /// Its interfaces.
    pub plugs: Vec<Plug>,
    /// The next hops of its default routes, one for a family.
    pub defaults: Vec<NextHop>,
    /// The interfaces by which clients ask for a VIP of IPv4 though the default route leads elsewhere: a strict reverse path
    /// filter would drop all of them.
    pub off_way: Vec<String>,
    /// The family of which it has no address and serves clients all the same (tun): its replies go to the router by this
    /// interface.
    pub without: Option<(Family, String)>,
}

/// Where a default route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The router.
    pub address: IpAddr,
    /// The interface whose gateway it is, where the address alone does not say it: it is link-local, or in no subnet of it.
    pub device: Option<String>,
}

/// An interface of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plug {
    /// The kernel's name.
    pub name: String,
    /// The segment's place in [`Layout::segments`]; `None`: it is `lo`.
    pub segment: Option<usize>,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// bytes
    pub mtu: u32,
}

/// The client in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientPlan {
    /// Its own address on the link.
    pub address: IpNet,
    /// The router's.
    pub router: IpNet,
    /// Addresses that clients come from; all of them are the client's.
    pub sources: IpNet,
}

/// A VIP that something else than `lvsform` places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHand {
    /// Who has it.
    pub director: String,
    /// The VIP.
    pub address: IpAddr,
    /// On which device; a dummy device where there is none.
    pub interface: Option<String>,
}

impl ClientPlan {
    /// The `number`th address that a client comes from. Neighbours are in different /24 or /64.
    pub fn source(&self, number: u32) -> IpAddr {
        match self.sources {
            IpNet::V4(net) => {
                let number = number % 65_000;
                IpAddr::V4(Ipv4Addr::from_bits(net.network().to_bits() + ((number % 256) << 8) + 1 + number / 256))
            }
            IpNet::V6(net) => IpAddr::V6(Ipv6Addr::from_bits(net.network().to_bits() + (u128::from(number % 32_768) << 64) + 1)),
        }
    }
}

/// Lays out the network of a topology.
pub fn layout(topology: &Topology) -> Layout {
    let taken = taken(topology);
    let wires = wires(topology);
    let mut segments: Vec<Segment> = Vec::new();
    let mut place: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (at, wire) in wires.iter().enumerate() {
        segments.push(segment(wire, &taken));
        place.extend(wire.iter().map(|end| ((end.host.name.value.as_str(), end.interface), at)));
    }
    let hosts = topology.hosts.values().map(|host| {
        let plugs = host.interfaces.values().map(|interface| Plug {
            name: interface.name.value.clone(),
            segment: place.get(&(host.name.value.as_str(), interface.name.value.as_str())).copied(),
            addresses: interface.addresses.iter().map(|address| address.value).collect(),
            mtu: interface.mtu.as_ref().map_or(USUAL_MTU, |mtu| mtu.value),
        });
        let plugs: Vec<Plug> = plugs.collect();
        let defaults = [Family::Ipv4, Family::Ipv6].into_iter();
        let defaults = defaults.filter_map(|family| default_route(topology, host, &plugs, &segments, family));
        let defaults: Vec<NextHop> = defaults.collect();
        let without = without(topology, host, &plugs);
        let off_way = off_way(topology, host, &defaults);
        (host.name.value.clone(), HostPlan { plugs, defaults, off_way, without })
    });
    let hosts = hosts.collect();
    Layout { segments, hosts, client: client(topology), vip_routes: vip_routes(topology), by_hand: by_hand(topology, 0) }
}

/// One end of a wire.
struct End<'t> {
    host: &'t Host,
    interface: &'t str,
    nets: Vec<IpNet>,
    gateways: Vec<IpAddr>,
    mtu: u32,
}

/// Interfaces by the wire that they hang on: those whose subnets overlap, directly or by way of others.
fn wires(topology: &Topology) -> Vec<Vec<End<'_>>> {
    let mut wires: Vec<Vec<End<'_>>> = Vec::new();
    for host in topology.hosts.values() {
        for interface in host.interfaces.values().filter(|interface| interface.name.value != "lo") {
            let end = End {
                host,
                interface: &interface.name.value,
                nets: interface.addresses.iter().map(|address| address.value).collect(),
                gateways: interface.gateways.iter().map(|gateway| gateway.value).collect(),
                mtu: interface.mtu.as_ref().map_or(USUAL_MTU, |mtu| mtu.value),
            };
            let near = |wire: &Vec<End>| wire.iter().any(|other| overlap(&other.nets, &end.nets));
            let (mut joined, apart): (Vec<_>, Vec<_>) = wires.into_iter().partition(near);
            wires = apart;
            let mut wire: Vec<End> = joined.drain(..).flatten().collect();
            wire.push(end);
            wires.push(wire);
        }
    }
    wires
}

fn overlap(a: &[IpNet], b: &[IpNet]) -> bool {
    a.iter().any(|a| b.iter().any(|b| a.contains(&b.addr()) || b.contains(&a.addr())))
}

/// Every address that the file gives to somebody, and those of `return-path … via="…"`, which are some director's.
fn taken(topology: &Topology) -> BTreeSet<IpAddr> {
    let vias = topology.services.values().filter_map(|service| match service.return_path.via.as_ref()?.value {
        Via::Address(via) => Some(via),
        Via::Vip(_) => None,
    });
    given(topology).into_iter().chain(vias).collect()
}

/// Every address that the file gives to somebody.
fn given(topology: &Topology) -> BTreeSet<IpAddr> {
    let hosts = topology.hosts.values();
    let own = hosts.clone().flat_map(own_addresses);
    let vips = topology.vips.values().flat_map(|vip| vip.addresses.iter().map(|address| address.value));
    let pools = topology.pools.values().flat_map(|pool| &pool.servers);
    let servers = pools.chain(topology.services.values().flat_map(|service| &service.servers));
    let servers = servers.filter_map(|server| server.address.as_ref().map(|address| address.value));
    own.chain(vips).chain(servers).collect()
}

pub(super) fn own_addresses(host: &Host) -> impl Iterator<Item = IpAddr> {
    host.interfaces.values().flat_map(|interface| interface.addresses.iter().map(|address| address.value.addr()))
}

fn segment(wire: &[End<'_>], taken: &BTreeSet<IpAddr>) -> Segment {
    let has_room = |subnet: &IpNet| subnet.prefix_len() + 1 < subnet.max_prefix_len();
    let subnets: BTreeSet<IpNet> = wire.iter().flat_map(|end| end.nets.iter().map(IpNet::trunc)).collect();
    let mut router = Vec::new();
    for subnet in subnets.iter().copied().filter(has_room) {
        let named = wire.iter().flat_map(|end| &end.gateways).filter(|gateway| subnet.contains(*gateway));
        let named: BTreeSet<IpAddr> = named.copied().filter(|gateway| !taken.contains(gateway)).collect();
        let own = if named.is_empty() { free(subnet, taken).into_iter().collect() } else { named };
        for address in own {
            if !router.iter().any(|net: &IpNet| net.addr() == address) {
                router.extend(IpNet::new(address, subnet.prefix_len()));
            }
        }
    }
    // Gateways in no subnet of the wire, and in none with room: hosts reach them by the interface.
    for gateway in wire.iter().flat_map(|end| &end.gateways).filter(|gateway| !taken.contains(gateway)) {
        if !router.iter().any(|net| net.addr() == *gateway) {
            router.extend(if is_link_local(*gateway) { IpNet::new(*gateway, 64).ok() } else { Some(IpNet::from(*gateway)) });
        }
    }
    let alone = wire.iter().flat_map(|end| &end.nets).filter(|net| !has_room(net)).map(|net| IpNet::from(net.addr())).collect();
    Segment { router, alone, mtu: wire.iter().map(|end| end.mtu).max().unwrap_or(USUAL_MTU) }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// A gateway, with its interface where one must say it.
fn next_hop(interface: &Interface, gateway: IpAddr) -> NextHop {
    let near = !is_link_local(gateway) && interface.addresses.iter().any(|net| net.value.contains(&gateway));
    NextHop { address: gateway, device: (!near).then(|| interface.name.value.clone()) }
}

/// The interface that a host's default route of a family leads by.
fn default_interface<'t>(host: &'t Host, defaults: &[NextHop], family: Family) -> Option<&'t str> {
    let hop = defaults.iter().find(|hop| Family::of(hop.address) == family)?;
    let named = hop.device.as_ref().and_then(|name| host.interfaces.get(name));
    named.map(|interface| interface.name.value.as_str()).or_else(|| on_link(host, hop.address))
}

/// The interfaces by which clients ask a director for a VIP of IPv4, while it would answer them by another.
fn off_way(topology: &Topology, host: &Host, defaults: &[NextHop]) -> Vec<String> {
    if host.role != Role::Director {
        return Vec::new();
    }
    let Some(default) = default_interface(host, defaults, Family::Ipv4) else { return Vec::new() };
    let listens = topology.services.values().flat_map(|service| &service.listens);
    let asked: BTreeSet<&str> = listens.flat_map(|listen| compile::listen_vips(&listen.what)).collect();
    let vips = topology.vips.values().filter(|vip| asked.contains(vip.name.value.as_str()));
    let vips = vips.filter(|vip| carriers(topology, vip).iter().any(|of| of.name.value == host.name.value));
    let vips = vips.flat_map(|vip| &vip.addresses).map(|address| address.value).filter(IpAddr::is_ipv4);
    let asked = vips.filter_map(|vip| on_link(host, vip)).filter(|interface| *interface != default);
    asked.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

/// An address of a subnet that nobody has, from its end on.
fn free(subnet: IpNet, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let found = |address: &IpAddr| subnet.contains(address) && !taken.contains(address);
    match subnet {
        IpNet::V4(net) => {
            let last = net.broadcast().to_bits();
            let candidates = (1..net.hosts().count().min(4096)).filter_map(|back| last.checked_sub(u32::try_from(back).ok()?));
            candidates.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))).find(found)
        }
        IpNet::V6(net) => {
            let first = net.network().to_bits();
            let last = net.broadcast().to_bits().min(first + 0xffff);
            (1..4096).map(|back| IpAddr::V6(Ipv6Addr::from_bits(last - back))).find(found)
        }
    }
}

/// The next hop of a host's default route: the file's gateway; where a nat server's operator has seen to the way back, the
/// director; else the router.
fn default_route(topology: &Topology, host: &Host, plugs: &[Plug], segments: &[Segment], family: Family) -> Option<NextHop> {
    let of_family = |address: &IpAddr| Family::of(*address) == family;
    let gateways = host.interfaces.values().flat_map(|of| of.gateways.iter().map(move |gateway| next_hop(of, gateway.value)));
    if let Some(hop) = gateways.into_iter().find(|hop| of_family(&hop.address)) {
        return Some(hop);
    }
    let near = |address| NextHop { address, device: None };
    if let Some(director) = director_of(topology, host, family) {
        return Some(near(director));
    }
    let vips: Vec<IpAddr> = topology.vips.values().flat_map(|vip| vip.addresses.iter().map(|address| address.value)).collect();
    let faces_clients = |plug: &&Plug| {
        host.role == Role::Director && vips.iter().any(|vip| of_family(vip) && plug.addresses.iter().any(|net| net.contains(vip)))
    };
    let router = |plug: &Plug| {
        let own = |net: &&IpNet| plug.addresses.iter().any(|address| net.contains(&address.addr()));
        let segment = plug.segment.and_then(|at| segments.get(at))?;
        segment.router.iter().filter(own).map(IpNet::addr).find(of_family)
    };
    let first = plugs.iter().filter(faces_clients).find_map(router);
    first.or_else(|| plugs.iter().find_map(router)).map(near)
}

/// The servers of a service that are this host.
fn servers_on<'t>(topology: &'t Topology, service: &'t Service, host: &'t Host) -> impl Iterator<Item = &'t Server> {
    let pools = service.pools.iter().filter_map(|pool| topology.pools.get(&pool.value)).flat_map(|pool| &pool.servers);
    let is_host = |server: &&Server| server.host.as_ref().is_some_and(|name| name.value == host.name.value);
    pools.chain(&service.servers).filter(is_host)
}

/// Whether a host of the other family serves all the clients of a service: only with tun.
fn serves_other_family(topology: &Topology, service: &Service, host: &Host) -> bool {
    let method = |server: &Server| server.forward.as_ref().unwrap_or(&service.forward).value;
    servers_on(topology, service, host).any(|server| matches!(method(server), Forward::Tun(_)))
}

/// A family of clients that a host serves and has no address of.
fn without(topology: &Topology, host: &Host, plugs: &[Plug]) -> Option<(Family, String)> {
    let lacks = |family: &Family| own_addresses(host).all(|address| Family::of(address) != *family);
    let family = [Family::Ipv4, Family::Ipv6].into_iter().find(lacks)?;
    let vips = topology.services.values().filter(|service| serves_other_family(topology, service, host)).flat_map(|service| {
        service.listens.iter().flat_map(|listen| match &listen.what {
            ListenOn::Vip { vip, .. } => vec![&vip.value],
            ListenOn::Mark { matches, vip, .. } => {
                matches.iter().map(|of| &of.vip.value).chain(vip.iter().map(|vip| &vip.value)).collect()
            }
        })
    });
    let vips = vips.filter_map(|name| topology.vips.get(name));
    let asked = vips.flat_map(|vip| &vip.addresses).any(|address| Family::of(address.value) == family);
    let plug = plugs.iter().find(|plug| plug.segment.is_some())?;
    asked.then(|| (family, plug.name.clone()))
}

/// The director to which a server of `return-path "default-route"` sends its replies, where the file names no gateway.
fn director_of(topology: &Topology, host: &Host, family: Family) -> Option<IpAddr> {
    let services = topology.services.values().filter(|service| service.return_path.mode.value == ReturnMode::DefaultRoute);
    let services = services.filter(|service| servers_on(topology, service, host).next().is_some());
    services.flat_map(|_| topology.hosts.values().filter(|other| other.role == Role::Director)).find_map(|director| {
        let near =
            |address: &IpAddr| host.interfaces.values().any(|own| own.addresses.iter().any(|net| net.value.contains(address)));
        own_addresses(director).filter(|address| Family::of(*address) == family).find(near)
    })
}

/// The links and blocks of the client.
fn client(topology: &Topology) -> [ClientPlan; 2] {
    let used: Vec<IpNet> = topology
        .hosts
        .values()
        .flat_map(|host| {
            let interfaces = host.interfaces.values().flat_map(|interface| interface.addresses.iter().map(|net| net.value));
            let tunnels = host.tunnels.iter().flat_map(|tunnel| tunnel.addresses.iter().map(|net| net.value));
            interfaces.chain(tunnels).chain(host.routes.iter().map(|route| route.destination.value))
        })
        .chain(topology.vips.values().flat_map(|vip| vip.addresses.iter().map(|address| IpNet::from(address.value))))
        .collect();
    let block = |candidates: &[&str]| {
        let parsed: Vec<IpNet> = candidates.iter().filter_map(|text| text.parse().ok()).collect();
        let is_free = |block: &&IpNet| !used.iter().any(|net| net.contains(&block.addr()) || block.contains(&net.addr()));
        parsed.iter().find(is_free).or(parsed.first()).copied()
    };
    let v4 = match block(&BLOCKS_V4) {
        Some(IpNet::V4(net)) => net.network().to_bits(),
        _ => 0,
    };
    let v6 = match block(&BLOCKS_V6) {
        Some(IpNet::V6(net)) => net.network().to_bits(),
        _ => 0,
    };
    // The link is the end of the block, the clients' addresses are its beginning.
    let net4 = |bits: u32, length| IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_bits(bits), length));
    let net6 = |bits: u128, length| IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), length));
    let (link4, link6) = (v4 + 0x0001_fffc, v6 + (0xffff << 64));
    [
        ClientPlan { address: net4(link4 + 2, 30), router: net4(link4 + 1, 30), sources: net4(v4, 16) },
        ClientPlan { address: net6(link6 + 2, 64), router: net6(link6 + 1, 64), sources: net6(v6, 49) },
    ]
}

/// The directors that carry a VIP, its holder first.
fn carriers<'t>(topology: &'t Topology, vip: &Vip) -> Vec<&'t Host> {
    let carries = |host: &&Host| {
        host.role == Role::Director
            && (vip.directors.is_empty() || vip.directors.iter().any(|name| name.value == host.name.value))
    };
    let mut found: Vec<&Host> = topology.hosts.values().filter(carries).collect();
    found.sort_by_key(|host| vip.holder.as_ref().is_none_or(|holder| holder.value != host.name.value));
    found
}

/// Whether an address lies in a subnet of one of a host's interfaces, and in which.
fn on_link(host: &Host, address: IpAddr) -> Option<&str> {
    let interfaces = host.interfaces.values();
    let near = interfaces.filter(|interface| interface.addresses.iter().any(|net| net.value.contains(&address)));
    near.map(|interface| interface.name.value.as_str()).next()
}

/// By which address of which director the router reaches each routed VIP, best first.
pub fn vip_routes(topology: &Topology) -> BTreeMap<IpAddr, Vec<(String, IpAddr)>> {
    let mut routes = BTreeMap::new();
    for vip in topology.vips.values() {
        let carriers = carriers(topology, vip);
        let holder = vip.holder.as_ref().map(|holder| &holder.value);
        for address in vip.addresses.iter().map(|address| address.value) {
            if carriers.iter().any(|host| on_link(host, address).is_some()) {
                continue;
            }
            let who = carriers.iter().filter(|host| holder.is_none_or(|holder| *holder == host.name.value));
            let hops = who.filter_map(|host| Some((host.name.value.clone(), facing_clients(host, Family::of(address))?)));
            routes.insert(address, hops.collect());
        }
    }
    routes
}

/// A director's address by which a router reaches it: on the interface that has the gateway, where one has it.
fn facing_clients(host: &Host, family: Family) -> Option<IpAddr> {
    let of_family = |address: &IpAddr| Family::of(*address) == family;
    let has_gateway = |interface: &&Interface| interface.gateways.iter().any(|gateway| of_family(&gateway.value));
    let own = |interface: &Interface| interface.addresses.iter().map(|net| net.value.addr()).find(of_family);
    host.interfaces.values().filter(has_gateway).find_map(own).or_else(|| own_addresses(host).find(of_family))
}

/// The director that a VIP's traffic goes to after so many turns of what places VIPs beside `lvsform`; one that `lvsform`
/// places goes to its holder.
fn at_turn<'t>(topology: &'t Topology, vip: &Vip, turn: usize) -> Option<&'t Host> {
    let carriers = carriers(topology, vip);
    let turn = if vip.managed.value { 0 } else { turn };
    carriers.get(turn.checked_rem(carriers.len())?).copied()
}

/// What something else than `lvsform` places, after so many turns: VIPs, and the address of `return-path … via="…"` where that
/// is nobody's, which goes with the VIPs of its service.
pub fn by_hand(topology: &Topology, turn: usize) -> Vec<ByHand> {
    let mut placed: Vec<ByHand> = Vec::new();
    let mut place = |director: &Host, address: IpAddr, named: Option<String>| {
        if own_addresses(director).all(|own| own != address) && placed.iter().all(|of| of.address != address) {
            let interface = named.or_else(|| on_link(director, address).map(str::to_owned));
            placed.push(ByHand { director: director.name.value.clone(), address, interface });
        }
    };
    for vip in topology.vips.values().filter(|vip| !vip.managed.value) {
        let Some(director) = at_turn(topology, vip, turn) else { continue };
        for address in vip.addresses.iter().map(|address| address.value) {
            place(director, address, vip.interface.as_ref().map(|name| name.value.clone()));
        }
    }
    let given = given(topology);
    for service in topology.services.values() {
        let Some(Via::Address(via)) = service.return_path.via.as_ref().map(|via| &via.value) else { continue };
        let names = service.listens.iter().flat_map(|listen| compile::listen_vips(&listen.what));
        let vip = names.into_iter().find_map(|name| topology.vips.get(name));
        if let Some(director) = vip.and_then(|vip| at_turn(topology, vip, turn)).filter(|_| !given.contains(via)) {
            place(director, *via, None);
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::load_text;
    use crate::topology::decode;

    fn of(text: &str) -> Layout {
        let (topology, problems) = decode(load_text("t.kdl", text).tree);
        layout(&topology.unwrap_or_else(|| panic!("{problems:?}")))
    }

    const TWO_SITES: &str = "topology \"t\"\n\
        director \"lb\" {\n interface \"eth0\" address=\"198.51.100.2/24\" gateway=\"198.51.100.1\"\n interface \"eth1\" address=\"10.1.0.1/24\"\n}\n\
        real-server \"a[1-2]\" { interface \"eth0\" address=\"10.1.0.[11-12]/24\" gateway=\"10.1.0.1\"; }\n\
        vip \"v\" { address \"198.51.100.10\" \"203.0.113.80\"; }\n";

    #[test]
    fn interfaces_of_one_subnet_hang_on_one_wire() {
        let layout = of(TWO_SITES);
        assert_eq!(layout.segments.len(), 2);
        let of = |host: &str, at: usize| layout.hosts[host].plugs[at].segment;
        assert_eq!(of("a1", 0), of("a2", 0));
        assert_eq!(of("a1", 0), of("lb", 1));
        assert_ne!(of("lb", 0), of("lb", 1));
    }

    #[test]
    fn the_router_is_the_gateway_of_the_file_where_no_host_is() {
        let layout = of(TWO_SITES);
        let routers: BTreeSet<String> =
            layout.segments.iter().flat_map(|segment| &segment.router).map(ToString::to_string).collect();
        assert_eq!(routers, BTreeSet::from(["10.1.0.254/24".to_owned(), "198.51.100.1/24".to_owned()]));
        let address = "10.1.0.1".parse::<IpAddr>().expect("an address");
        assert_eq!(layout.hosts["a1"].defaults, [NextHop { address, device: None }]);
    }

    #[test]
    fn a_vip_in_nobodys_subnet_is_routed_to_its_director() {
        let layout = of(TWO_SITES);
        let routed =
            [("203.0.113.80".parse().expect("an address"), vec![("lb".to_owned(), "198.51.100.2".parse().expect("one"))])];
        assert_eq!(layout.vip_routes, BTreeMap::from(routed));
    }

    #[test]
    fn a_gateway_outside_of_every_subnet_is_the_routers_all_the_same() {
        let layout = of("topology \"t\"\n\
            director \"lb\" { interface \"eth0\" { address \"10.0.0.2/32\" \"2001:db8::2/64\"; gateway \"10.0.0.1\" \"fe80::7\"; }; }\n");
        let segment = &layout.segments[0];
        let router: BTreeSet<String> = segment.router.iter().map(ToString::to_string).collect();
        assert!(router.contains("10.0.0.1/32") && router.contains("fe80::7/64"), "{router:?}");
        assert_eq!(segment.alone, ["10.0.0.2/32".parse::<IpNet>().expect("a network")]);
        let devices: Vec<Option<&str>> = layout.hosts["lb"].defaults.iter().map(|hop| hop.device.as_deref()).collect();
        assert_eq!(devices, [Some("eth0"), Some("eth0")]);
    }

    const INNER_FIRST: &str = "topology \"t\"\n\
        director \"lb[1-2]\" {\n interface \"eth0\" address=\"10.1.0.[1-2]/24\"\n\
        interface \"eth1\" address=\"198.51.100.[1-2]/24\" gateway=\"198.51.100.254\"\n}\n\
        real-server \"a\" { interface \"eth0\" address=\"10.1.0.11/24\"; }\n\
        vip \"v\" { address \"203.0.113.80\"; holder \"lb1\"; }\n\
        vip \"w\" { address \"10.1.0.80\"; managed #false; }\n\
        service \"s\" { listen vip=\"v\" port=80; forward \"nat\"; server \"a\"; return-path \"policy\" via=\"10.1.0.254\"; }\n\
        service \"t\" { listen vip=\"w\" port=80; forward \"dr\"; server \"a\"; }\n";

    #[test]
    fn a_routed_vip_is_reached_by_the_interface_that_has_the_gateway() {
        let layout = of(INNER_FIRST);
        let hop = |vip: &str| layout.vip_routes[&vip.parse::<IpAddr>().expect("an address")][0].1.to_string();
        assert_eq!(hop("203.0.113.80"), "198.51.100.1");
        assert_eq!(layout.hosts["lb1"].off_way, ["eth0"]);
        assert!(layout.hosts["a"].off_way.is_empty());
    }

    #[test]
    fn what_others_place_goes_to_the_next_director_in_turn_and_via_with_its_vip() {
        let (mut topology, _) = decode(load_text("t.kdl", INNER_FIRST).tree);
        let topology = topology.as_mut().expect("a topology");
        let placed = |topology: &Topology, turn| -> Vec<(String, String)> {
            let shown = |of: ByHand| (of.director, of.address.to_string());
            by_hand(topology, turn).into_iter().map(shown).collect()
        };
        let on = |director: &str, address: &str| (director.to_owned(), address.to_owned());
        assert_eq!(placed(topology, 0), [on("lb1", "10.1.0.80"), on("lb1", "10.1.0.254")]);
        crate::rehearse::change::failover(topology);
        assert_eq!(placed(topology, 1), [on("lb2", "10.1.0.80"), on("lb2", "10.1.0.254")]);
    }

    #[test]
    fn clients_come_from_a_block_that_nothing_of_the_topology_lies_in() {
        let block = |text: &str| of(text).client[0].sources.to_string();
        assert_eq!(block(TWO_SITES), "198.18.0.0/16");
        assert_eq!(block("topology \"t\"\ndirector \"lb\" { interface \"eth0\" address=\"198.18.7.2/24\"; }\n"), "100.64.0.0/16");
    }

    #[test]
    fn neighbouring_clients_are_in_different_subnets() {
        let client = of(TWO_SITES).client;
        assert_eq!(client[0].source(1).to_string(), "198.18.1.1");
        assert_eq!(client[0].source(257).to_string(), "198.18.1.2");
        assert_eq!(client[1].source(3).to_string(), "2001:2:0:3::1");
    }
}
