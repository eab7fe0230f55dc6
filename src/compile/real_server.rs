//! What a real server holds for the services that send to it: VIPs that nobody else hears of, devices that take packets out
//! of tunnels, and the sysctls of both (language: what a method implies). It reads nothing of the directors but their VIPs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::fault::Fault;
use super::server::{self, Reached};
use super::sysctl::{Need, Needs};
use super::{Target, alias, six_digits, vip};
use crate::source::Origin;
use crate::state::{
    Address, AddressKey, Checksum, Encapsulation, Family, FouKey, FouPort, Inner, Key, Link, LinkKind, Resource, Tunnel,
    TunnelKind,
};
use crate::topology::{Forward, Host, Listen, Service, Topology, Vip};

const DR: &str = "forward \"dr\" needs it";
const TUN: &str = "forward \"tun\" needs it";

/// An address of a VIP.
type Placed<'t> = (&'t Vip, IpAddr);

/// A server of one service and family that is this host.
struct Served<'t> {
    service: &'t Service,
    reached: Reached<'t>,
    /// The VIP's addresses of this family, each with its VIP.
    vips: Vec<Placed<'t>>,
}

/// Compiles the host's part as a real server, and says which sysctls its methods need.
pub(super) fn compile(topology: &Topology, host: &Host, target: &mut Target, needs: &mut Needs) {
    for served in served(topology, host) {
        match served.reached.forward {
            Forward::Nat => {} // nothing but the way back
            Forward::Dr => dr(topology, host, &served, target, needs),
            Forward::Tun(encapsulation) => tun(topology, host, &served, encapsulation, target, needs),
        }
    }
}

/// What stands for this host in the services, family by family.
fn served<'t>(topology: &'t Topology, host: &Host) -> Vec<Served<'t>> {
    let mut all = Vec::new();
    for service in topology.services.values() {
        let mut families: BTreeMap<Family, (&Listen, Vec<Placed<'_>>)> = BTreeMap::new();
        for listen in &service.listens {
            for vip in server::listen_vips(&listen.what).into_iter().filter_map(|name| topology.vips.get(name)) {
                for address in &vip.addresses {
                    let family = Family::of(address.value);
                    if listen.family.as_ref().is_none_or(|only| only.value == family) {
                        families.entry(family).or_insert((listen, Vec::new())).1.push((vip, address.value));
                    }
                }
            }
        }
        for (family, (listen, vips)) in families {
            // A director says what is wrong with the servers.
            let servers = server::reached(topology, service, listen, family, &mut Target::default());
            all.extend(servers.into_iter().filter(|reached| reached.is(host)).map(|reached| Served {
                service,
                reached,
                vips: vips.clone(),
            }));
        }
    }
    all
}

/// dr: packets come as the client sent them, to the VIP.
fn dr(topology: &Topology, host: &Host, served: &Served, target: &mut Target, needs: &mut Needs) {
    for (vip, address) in &served.vips {
        put_vip(topology, host, (vip, *address), "lo", served, target);
    }
    let Some(family) = served.family() else { return };
    silence(host, family, served, DR, needs);
    if family == Family::Ipv4
        && host.interfaces.len() > 1
        && let Some(interface) = server::subnet_interface(host, served.reached.address)
    {
        // Clients may be reached by another interface.
        needs.add(&format!("net/ipv4/conf/{interface}/rp_filter"), served.need("2", DR));
    }
}

/// tun: packets come inside others, to the host's own address.
fn tun(topology: &Topology, host: &Host, served: &Served, encapsulation: Encapsulation, target: &mut Target, needs: &mut Needs) {
    let Some(inner) = served.family() else { return };
    let local = served.reached.address;
    let (kind, checksum) = match (Family::of(local), encapsulation, inner) {
        (Family::Ipv4, Encapsulation::Gre { checksum }, _) => (TunnelKind::Gre, checksum == Checksum::Csum),
        (Family::Ipv6, Encapsulation::Gre { checksum }, _) => (TunnelKind::Ip6gre, checksum == Checksum::Csum),
        (Family::Ipv4, _, Family::Ipv4) => (TunnelKind::Ipip, false),
        (Family::Ipv4, _, Family::Ipv6) => (TunnelKind::Sit, false),
        (Family::Ipv6, _, _) => (TunnelKind::Ip6tnl, false),
    };
    let name = format!("{kind}-{}", six_digits(local.to_string().as_bytes()));
    let tunnel = Tunnel {
        kind,
        local: Some(local),
        remote: None,
        device: None,
        ttl: 0,
        inner: (kind == TunnelKind::Ip6tnl).then_some(Inner::Any),
        key: None,
        checksum,
        gue: None,
    };
    if let Some(declared) = host.tunnels.iter().find(|declared| {
        declared.kind.value == kind && declared.remote.is_none() && declared.local.as_ref().is_some_and(|own| own.value == local)
    }) {
        let fault = Fault::DeviceTwice { kind, local, declared: declared.name.origin, server: served.origin() };
        target.fault(fault);
        return;
    }
    let key = Key::Link(name.clone());
    let link = Link { device: LinkKind::Tunnel(tunnel), up: true, mtu: None, alias: Some(alias(topology)) };
    if let Some((Resource::Link(first), provenance)) = target.objects.get(&key)
        && first.device != link.device
    {
        let fault = Fault::GreChecksums { local, first: provenance.origin, second: served.origin() };
        target.fault(fault);
        return;
    }
    target.share_implied(key, Resource::from(link), &served.name(), served.origin(), TUN);
    if let Encapsulation::Gue { port, .. } = encapsulation {
        let key = Key::Fou(FouKey { port, family: Family::of(local) });
        target.share_implied(key, Resource::Fou(FouPort { gue: true }), &served.name(), served.origin(), TUN);
    }
    let device = match inner {
        Family::Ipv4 => name.as_str(),
        Family::Ipv6 => "lo",
    };
    for (vip, address) in &served.vips {
        put_vip(topology, host, (vip, *address), device, served, target);
    }
    silence(host, inner, served, TUN, needs);
    if inner == Family::Ipv4 {
        // No route leads back through the tunnel.
        needs.add(&format!("net/ipv4/conf/{name}/rp_filter"), served.need("2", TUN));
    }
}

/// A VIP on a device of this host, unless the host has it already: as its director, or as an address of its own.
fn put_vip(topology: &Topology, host: &Host, (vip, address): Placed, device: &str, served: &Served, target: &mut Target) {
    if vip::has(topology, host, vip, address) {
        return;
    }
    let family = Family::of(address);
    // Never the source of what the host itself sends; nobody is asked whether it has the address.
    let lifetime = family == Family::Ipv6;
    let key = Key::Address(AddressKey { address, prefix: family.bits(), interface: device.to_owned() });
    let name: Arc<str> = vip.name.value.as_str().into();
    let resource = Resource::Address(Address { deprecated: lifetime, nodad: lifetime });
    target.share_implied(key, resource, &name, served.origin(), served.reason());
}

/// The ARP of IPv4: nobody is told of the VIP, and nobody who asks for it is answered.
fn silence(host: &Host, family: Family, served: &Served, reason: &'static str, needs: &mut Needs) {
    if family == Family::Ipv4 {
        // 2 answers fewer still.
        needs.add("net/ipv4/conf/all/arp_ignore", Need { unless: Some("2"), ..served.need("1", reason) });
        needs.add("net/ipv4/conf/all/arp_announce", served.need("2", reason));
    }
    // The host's own address is asked for all the same.
    if served.reached.address.is_ipv4()
        && let Some(interface) = server::subnet_interface(host, served.reached.address)
    {
        needs.answers(interface, reason, &served.name(), served.origin());
    }
}

impl Served<'_> {
    /// The family of the VIPs.
    fn family(&self) -> Option<Family> {
        self.vips.first().map(|(_, address)| Family::of(*address))
    }

    fn reason(&self) -> &'static str {
        if self.reached.forward == Forward::Dr { DR } else { TUN }
    }

    fn name(&self) -> Arc<str> {
        self.service.name.value.as_str().into()
    }

    fn origin(&self) -> Origin {
        server::origin(self.reached.server)
    }

    fn need(&self, value: &'static str, reason: &'static str) -> Need {
        Need { value, at_most: None, set: true, unless: None, reason, name: self.name(), origin: self.origin() }
    }
}
