//! The network that a topology implies: its segments, a router between them, and a client behind the router.
//!
//! Pure. Interfaces whose subnets overlap hang on one segment. A router has an address in every subnet: the gateway that the
//! file names, unless a host of the file has it, else a free one. Clients live in a block of addresses of their own, so that
//! all that they send and get is routed. Nothing here knows how a segment is made.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::state::Family;
use crate::topology::{Forward, Host, ListenOn, ReturnMode, Role, Server, Service, Topology, Vip};

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
    /// bytes; the largest of what hangs on it
    pub mtu: u32,
}

/// What a host has before anything is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPlan {
    /// Its interfaces.
    pub plugs: Vec<Plug>,
    /// The next hops of its default routes, one for a family.
    pub defaults: Vec<IpAddr>,
    /// The family of which it has no address and serves clients all the same (tun): its replies go to the router by this
    /// interface.
    pub without: Option<(Family, String)>,
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
        let defaults = defaults.filter_map(|family| default_route(topology, host, &plugs, &segments, family)).collect();
        let without = without(topology, host, &plugs);
        (host.name.value.clone(), HostPlan { plugs, defaults, without })
    });
    let hosts = hosts.collect();
    Layout { segments, hosts, client: client(topology), vip_routes: vip_routes(topology), by_hand: by_hand(topology) }
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

/// Every address that the file gives to somebody.
fn taken(topology: &Topology) -> BTreeSet<IpAddr> {
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
    let subnets: BTreeSet<IpNet> = wire.iter().flat_map(|end| end.nets.iter().map(IpNet::trunc)).collect();
    let mut router = Vec::new();
    for subnet in subnets.into_iter().filter(|subnet| subnet.prefix_len() + 1 < subnet.max_prefix_len()) {
        let named = wire.iter().flat_map(|end| &end.gateways).filter(|gateway| subnet.contains(*gateway));
        let named: BTreeSet<IpAddr> = named.copied().filter(|gateway| !taken.contains(gateway)).collect();
        let own = if named.is_empty() { free(subnet, taken).into_iter().collect() } else { named };
        for address in own {
            if !router.iter().any(|net: &IpNet| net.addr() == address) {
                router.extend(IpNet::new(address, subnet.prefix_len()));
            }
        }
    }
    Segment { router, mtu: wire.iter().map(|end| end.mtu).max().unwrap_or(USUAL_MTU) }
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
fn default_route(topology: &Topology, host: &Host, plugs: &[Plug], segments: &[Segment], family: Family) -> Option<IpAddr> {
    let of_family = |address: &IpAddr| Family::of(*address) == family;
    let gateways = host.interfaces.values().flat_map(|interface| interface.gateways.iter().map(|gateway| gateway.value));
    if let Some(gateway) = gateways.into_iter().find(of_family) {
        return Some(gateway);
    }
    if let Some(director) = director_of(topology, host, family) {
        return Some(director);
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
    first.or_else(|| plugs.iter().find_map(router))
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
            let hops = who.filter_map(|host| {
                let hop = own_addresses(host).find(|own| Family::of(*own) == Family::of(address))?;
                Some((host.name.value.clone(), hop))
            });
            routes.insert(address, hops.collect());
        }
    }
    routes
}

fn by_hand(topology: &Topology) -> Vec<ByHand> {
    let mut placed = Vec::new();
    for vip in topology.vips.values().filter(|vip| !vip.managed.value) {
        let Some(director) = carriers(topology, vip).first().copied() else { continue };
        for address in vip.addresses.iter().map(|address| address.value) {
            if own_addresses(director).all(|own| own != address) {
                let named = vip.interface.as_ref().map(|name| name.value.clone());
                let interface = named.or_else(|| on_link(director, address).map(str::to_owned));
                placed.push(ByHand { director: director.name.value.clone(), address, interface });
            }
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
        assert_eq!(layout.hosts["a1"].defaults, ["10.1.0.1".parse::<IpAddr>().expect("an address")]);
    }

    #[test]
    fn a_vip_in_nobodys_subnet_is_routed_to_its_director() {
        let layout = of(TWO_SITES);
        let routed =
            [("203.0.113.80".parse().expect("an address"), vec![("lb".to_owned(), "198.51.100.2".parse().expect("one"))])];
        assert_eq!(layout.vip_routes, BTreeMap::from(routed));
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
