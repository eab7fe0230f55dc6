//! Stand-ins for servers that are no hosts of the file: in a rehearsal they are hosts that are compiled and applied like any
//! other, as whoever keeps them has made them by hand.
//!
//! Pure. What they are is said as text beside the file's own, so that the file is read as one that always had them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::topology::{Interface, Role, Topology};

/// A host in a server's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// What it is called: `stand-in-10.0.0.11`.
    pub name: String,
    /// The server's address, with the length of the subnet that it is in.
    pub address: IpNet,
    /// bytes; of the interfaces in that subnet, where the file says it
    pub mtu: Option<u32>,
}

/// A stand-in for each address of a server that no host of the file has. Of a director's own addresses (`127.0.0.1`) there is
/// none.
pub fn stand_ins(topology: &Topology) -> Vec<StandIn> {
    let pools = topology.pools.values().flat_map(|pool| &pool.servers);
    let servers = pools.chain(topology.services.values().flat_map(|service| &service.servers));
    let outside = servers.filter(|server| server.host.is_none()).filter_map(|server| server.address.as_ref());
    let outside: BTreeSet<IpAddr> = outside.map(|address| address.value).filter(|address| !address.is_loopback()).collect();
    outside.into_iter().map(|address| stand_in(topology, address)).collect()
}

fn stand_in(topology: &Topology, address: IpAddr) -> StandIn {
    let mut name = format!("stand-in-{}", address.to_string().replace(':', "-"));
    while topology.hosts.contains_key(&name) {
        name.push('x');
    }
    let (subnet, mtu) = near(topology, address).unwrap_or((if address.is_ipv4() { 24 } else { 64 }, None));
    // The length is of an address of the same family, or one that every address has.
    let address = IpNet::new(address, subnet).unwrap_or_else(|_| IpNet::from(address));
    StandIn { name, address, mtu }
}

/// The subnet of the file that an address lies in, directors' before others', and the MTU there.
fn near(topology: &Topology, address: IpAddr) -> Option<(u8, Option<u32>)> {
    let of = |role: Role| {
        let hosts = topology.hosts.values().filter(move |host| host.role == role);
        let interfaces = hosts.flat_map(|host| host.interfaces.values());
        let nets = |interface: &'_ Interface| {
            let mtu = interface.mtu.as_ref().map(|mtu| mtu.value);
            let nets: Vec<(IpNet, Option<u32>)> = interface.addresses.iter().map(|net| (net.value, mtu)).collect();
            nets
        };
        interfaces.flat_map(nets).find(|(net, _)| net.contains(&address)).map(|(net, mtu)| (net.prefix_len(), mtu))
    };
    of(Role::Director).or_else(|| of(Role::RealServer))
}

/// The text that makes them hosts of the file, in KDL.
pub fn kdl(stand_ins: &[StandIn]) -> String {
    stand_ins.iter().fold(String::new(), |mut text, StandIn { name, address, mtu }| {
        let mtu = mtu.map_or_else(String::new, |mtu| format!(" mtu={mtu}"));
        let _ = writeln!(text, "real-server \"{name}\" {{ interface \"eth0\" address=\"{address}\"{mtu}; }}");
        text
    })
}

/// What a rehearsal says of them.
pub fn note(stand_ins: &[StandIn]) -> Option<String> {
    let (first, more) = stand_ins.split_first()?;
    let first = first.address.addr();
    let who = match more.len() {
        0 => format!("{first} is no host of the file: a stand-in was in its place"),
        count => format!("{first} and {count} more servers are no hosts of the file: stand-ins were in their place"),
    };
    Some(format!("{who}, with all that their method needs: see that the real ones have it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::load_text;
    use crate::topology::decode;

    const TEXT: &str = r#"topology "t"
director "lb1" { interface "eth0" mtu=9000 { address "10.0.0.2/20" "2001:db8::2/64"; }; }
real-server "web1" { interface "eth0" address="10.0.0.11/20"; }
vip "v" { address "10.0.0.100" "2001:db8::100"; }
pool "web" { server "web1"; server "10.0.0.[12-13]"; server "2001:db8::12"; server "127.0.0.1"; }
service "s" { listen vip="v" port=80; forward "tun"; pool "web"; server "far" address="203.0.113.9"; }
"#;

    fn read(text: &str) -> Topology {
        let (topology, problems) = decode(load_text("t.kdl", text).tree);
        topology.unwrap_or_else(|| panic!("{problems:?}"))
    }

    #[test]
    fn each_address_that_is_nobodys_has_one_in_its_subnet() {
        let found: Vec<(String, Option<u32>)> =
            stand_ins(&read(TEXT)).iter().map(|of| (of.address.to_string(), of.mtu)).collect();
        let expected = [
            ("10.0.0.12/20", Some(9000)),
            ("10.0.0.13/20", Some(9000)),
            ("203.0.113.9/24", None),
            ("2001:db8::12/64", Some(9000)),
        ];
        assert_eq!(found, expected.map(|(address, mtu)| (address.to_owned(), mtu)));
    }

    #[test]
    fn beside_the_file_they_are_its_hosts() {
        let topology = read(TEXT);
        let all = read(&format!("{TEXT}{}", kdl(&stand_ins(&topology))));
        assert!(all.hosts.contains_key("stand-in-10.0.0.12") && all.hosts.contains_key("stand-in-2001-db8--12"));
        assert_eq!(stand_ins(&all), []);
    }
}
