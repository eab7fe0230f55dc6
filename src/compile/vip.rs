//! Where a director has its VIPs.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Target, alias, dummy_name, server};
use crate::state::{Address, AddressKey, Family, Key, Link, LinkKind, Resource};
use crate::topology::{Host, Role, Topology, Vip};

pub(super) fn compile(topology: &Topology, host: &Host, target: &mut Target) {
    for vip in topology.vips.values().filter(|vip| vip.managed.value && server::carries(vip, host)) {
        for address in &vip.addresses {
            if let Some(interface) = place(topology, host, vip, address.value) {
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

/// The device on which this host has one address of a VIP; `None`: it does not have it, or has it by itself.
fn place(topology: &Topology, host: &Host, vip: &Vip, address: IpAddr) -> Option<String> {
    if server::own_addresses(host).any(|own| own == address) {
        return None;
    }
    let interface = vip
        .interface
        .as_ref()
        .map(|name| name.value.as_str())
        .or_else(|| server::subnet_interface(host, address))
        .map(str::to_owned);
    let mut directors = topology.hosts.values().filter(|other| other.role == Role::Director && server::carries(vip, other));
    let here = match &vip.holder {
        Some(holder) => holder.value == host.name.value,
        // A routed VIP, or one on `lo`, answers to nobody's ARP: every director has it.
        None => interface.as_deref().is_none_or(|name| name == "lo") || directors.nth(1).is_none(),
    };
    here.then(|| interface.unwrap_or_else(|| dummy_name(topology)))
}

/// Whether packets for a VIP are local on this host: because it is placed there, or is one of the host's own addresses.
pub(super) fn holds(topology: &Topology, host: &Host, vip: &Vip) -> bool {
    server::carries(vip, host)
        && vip.addresses.iter().all(|address| {
            server::own_addresses(host).any(|own| own == address.value)
                || (vip.managed.value && place(topology, host, vip, address.value).is_some())
        })
}
