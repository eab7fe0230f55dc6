//! Where a director has its VIPs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Target, alias, dummy_name, server};
use crate::state::{Address, AddressKey, Family, Key, Link, LinkKind, Resource};
use crate::topology::{Host, Topology, Vip};

pub(super) fn compile(topology: &Topology, host: &Host, target: &mut Target) {
    for vip in topology.vips.values().filter(|vip| vip.managed.value && server::carries(vip, host)) {
        let alone = carriers(topology, vip).nth(1).is_none();
        for address in &vip.addresses {
            if let Some(interface) = place(topology, host, vip, alone, address.value) {
                add(topology, vip, address.value, interface, address.origin, target);
            }
        }
    }
}

fn add(topology: &Topology, vip: &Vip, address: IpAddr, interface: String, origin: crate::source::Origin, target: &mut Target) {
    let name: Arc<str> = vip.name.value.as_str().into();
    if interface == dummy_name(topology) {
        let link = Link { device: LinkKind::Dummy, up: true, mtu: None, alias: Some(alias(topology)) };
        target.share(Key::Link(interface.clone()), Resource::from(link), &name, origin);
    }
    let family = Family::of(address);
    // An IPv6 VIP that is preferred becomes the source of what the director itself sends, and health checks die.
    let lifetime = family == Family::Ipv6;
    let key = AddressKey { address, prefix: family.bits(), interface };
    target.add(Key::Address(key), Resource::Address(Address { deprecated: lifetime, nodad: lifetime }), &name, origin);
}

/// The directors that carry a VIP.
fn carriers<'t>(topology: &'t Topology, vip: &'t Vip) -> impl Iterator<Item = &'t Host> {
    topology.hosts.values().filter(|host| server::carries(vip, host))
}

/// The directors that are to have each address of the managed VIPs; without those VIPs that `host` answers for as a server.
pub(super) fn holders(topology: &Topology, host: &Host) -> BTreeMap<IpAddr, Vec<Arc<str>>> {
    let served: BTreeSet<&str> = server::served(topology, host).collect();
    let mut holders = BTreeMap::new();
    for vip in topology.vips.values().filter(|vip| vip.managed.value && !served.contains(vip.name.value.as_str())) {
        let carriers: Vec<(&Host, Arc<str>)> =
            carriers(topology, vip).map(|host| (host, host.name.value.as_str().into())).collect();
        for address in vip.addresses.iter().map(|address| address.value) {
            let has = |host| has_by_itself(host, address) || place(topology, host, vip, carriers.len() == 1, address).is_some();
            let names = carriers.iter().filter(|(host, _)| has(host)).map(|(_, name)| name.clone());
            holders.entry(address).or_insert_with(Vec::new).extend(names);
        }
    }
    holders
}

fn has_by_itself(host: &Host, address: IpAddr) -> bool {
    server::own_addresses(host).any(|own| own == address)
}

/// The device on which this host has one address of a VIP; `None`: it does not have it, or has it by itself. `alone`: nobody
/// else carries the VIP.
fn place(topology: &Topology, host: &Host, vip: &Vip, alone: bool, address: IpAddr) -> Option<String> {
    if has_by_itself(host, address) {
        return None;
    }
    let interface = vip
        .interface
        .as_ref()
        .map(|name| name.value.as_str())
        .or_else(|| server::subnet_interface(host, address))
        .map(str::to_owned);
    let here = match &vip.holder {
        Some(holder) => holder.value == host.name.value,
        // A routed VIP, or one on `lo`, answers to nobody's ARP: every director has it.
        None => interface.as_deref().is_none_or(|name| name == "lo") || alone,
    };
    here.then(|| interface.unwrap_or_else(|| dummy_name(topology)))
}

/// Whether this host has one address of a VIP as its director, or by itself.
pub(super) fn has(topology: &Topology, host: &Host, vip: &Vip, address: IpAddr) -> bool {
    let placed = || place(topology, host, vip, carriers(topology, vip).nth(1).is_none(), address).is_some();
    has_by_itself(host, address) || (vip.managed.value && server::carries(vip, host) && placed())
}
