//! Sysctls: what the methods need, what the tunings of the host's roles say, and what the host itself says, in this order
//! of strength. Nothing stands against what a method needs unless it is forced.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::fault::Fault;
use super::{Target, director, server};
use crate::source::Origin;
use crate::state::{Family, Forward, Key, Resource, ServiceKey, SysctlKey, SysctlValue};
use crate::topology::{Host, ReturnMode, Role, Sysctl, Topology, Vip};

const NAT: &str = "forward \"nat\" needs it";

/// What a method needs of one key.
pub(super) struct Need {
    pub value: &'static str,
    /// Whether it is set; otherwise another key sets it, and nobody may set it otherwise.
    pub set: bool,
    /// A live value that may stay as it is.
    pub unless: Option<&'static str>,
    /// In words that follow the place: `forward "nat" needs it`.
    pub reason: &'static str,
    pub name: Arc<str>,
    pub origin: Origin,
}

/// What the methods of a host need. The first to need a key names it.
#[derive(Default)]
pub(super) struct Needs(BTreeMap<SysctlKey, Need>);

impl Needs {
    /// Adds what a path below `/proc/sys` must be.
    pub(super) fn add(&mut self, path: &str, need: Need) {
        if let Some(key) = SysctlKey::parse(path) {
            self.0.entry(key).or_insert(need);
        }
    }
}

pub(super) fn compile(topology: &Topology, host: &Host, target: &mut Target, mut needs: Needs) {
    if host.role == Role::Director {
        nat(topology, host, target, &mut needs);
        snat(topology, host, &mut needs);
    }
    let Needs(mut needs) = needs;
    let mut written = tuning(topology, host, target);
    for sysctl in &host.sysctls {
        written.insert(sysctl.key.value.clone(), sysctl);
    }
    for (key, sysctl) in written {
        let value = SysctlValue::new(&key, &sysctl.value.value);
        if let Some(need) = needs.get(&key)
            && value.value != need.value
            && need.unless != Some(value.value.as_str())
            && !sysctl.force.value
        {
            let fault = Fault::AgainstMethod {
                key: key.to_string(),
                value: value.value.clone(),
                needed: need.value.to_owned(),
                reason: need.reason,
                origin: sysctl.value.origin,
                cause: need.origin,
            };
            target.fault(fault);
        }
        needs.remove(&key);
        let name: Arc<str> = host.name.value.as_str().into();
        target.add(Key::Sysctl(key), Resource::from(value), &name, sysctl.key.origin);
    }
    for (key, need) in needs.into_iter().filter(|(_, need)| need.set) {
        let mut value = SysctlValue::new(&key, need.value);
        value.unless = need.unless.map(str::to_owned);
        target.imply(Key::Sysctl(key), Resource::from(value), &need.name, need.origin, need.reason);
    }
}

/// The tunings of the host's roles. A director that is also a server has both.
fn tuning<'t>(topology: &'t Topology, host: &Host, target: &mut Target) -> BTreeMap<SysctlKey, &'t Sysctl> {
    let mut written: BTreeMap<SysctlKey, &Sysctl> = BTreeMap::new();
    let director = host.role == Role::Director;
    let tunings =
        [(director, &topology.tuning_director), (!director || server::serves(topology, host), &topology.tuning_real_server)];
    for sysctl in tunings.iter().filter(|(applies, _)| *applies).flat_map(|(_, tuning)| *tuning) {
        let own = host.sysctls.iter().any(|own| own.key.value == sysctl.key.value);
        match written.get(&sysctl.key.value) {
            Some(first) if first.value.value != sysctl.value.value && !own => target.fault(Fault::TwoTunings {
                key: sysctl.key.value.to_string(),
                first: first.value.origin,
                second: sysctl.value.origin,
            }),
            _ => {
                written.insert(sysctl.key.value.clone(), sysctl);
            }
        }
    }
    written
}

/// nat: the director is the servers' router.
fn nat(topology: &Topology, host: &Host, target: &Target, needs: &mut Needs) {
    let clients = clients(topology, host);
    for (key, (resource, provenance)) in &target.objects {
        let (Key::Destination(destination), Resource::Destination(settings)) = (key, resource) else { continue };
        if settings.forward != Forward::Nat {
            continue;
        }
        let mut need = |path: &str, value, set, unless, reason| {
            let (name, origin) = (provenance.name.clone(), provenance.origin);
            needs.add(path, Need { value, set, unless, reason, name, origin });
        };
        match Family::of(destination.address) {
            Family::Ipv4 => {
                need("net/ipv4/ip_forward", "1", true, None, NAT);
                for device in std::iter::once("all").chain(host.interfaces.keys().map(String::as_str)) {
                    need(&format!("net/ipv4/conf/{device}/forwarding"), "1", false, None, NAT);
                }
                let towards_server = server::subnet_interface(host, destination.address);
                if let Some(interface) = towards_server
                    && clients.get(&destination.service).is_some_and(|interfaces| interfaces.contains(interface))
                {
                    let reason = "nat with clients and servers on one interface needs it";
                    need("net/ipv4/conf/all/send_redirects", "0", true, None, reason);
                    need(&format!("net/ipv4/conf/{interface}/send_redirects"), "0", true, None, reason);
                }
            }
            Family::Ipv6 => {
                // With forwarding on, the kernel forgets default routes that it learned, unless accept_ra is 2.
                for interface in host.interfaces.keys() {
                    need(&format!("net/ipv6/conf/{interface}/accept_ra"), "2", true, Some("0"), NAT);
                    need(&format!("net/ipv6/conf/{interface}/forwarding"), "1", false, None, NAT);
                }
                need("net/ipv6/conf/all/forwarding", "1", true, None, NAT);
            }
        }
    }
}

/// The interfaces by which the clients of each service come, as far as the file says: those of its VIPs.
fn clients<'t>(topology: &'t Topology, host: &'t Host) -> BTreeMap<ServiceKey, BTreeSet<&'t str>> {
    let mut clients: BTreeMap<ServiceKey, BTreeSet<&str>> = BTreeMap::new();
    for listen in topology.services.values().flat_map(|service| &service.listens) {
        let vips: Vec<&Vip> = server::listen_vips(&listen.what).into_iter().filter_map(|name| topology.vips.get(name)).collect();
        for key in director::keys(topology, host, listen) {
            let interfaces = vips.iter().flat_map(|vip| {
                let addresses: Vec<IpAddr> = match key {
                    ServiceKey::Tuple { address, .. } => vec![address],
                    ServiceKey::Mark { family, .. } => {
                        vip.addresses.iter().map(|address| address.value).filter(|one| Family::of(*one) == family).collect()
                    }
                };
                let named = vip.interface.as_ref().map(|name| name.value.as_str());
                addresses.into_iter().filter_map(move |address| named.or_else(|| server::subnet_interface(host, address)))
            });
            clients.entry(key).or_default().extend(interfaces);
        }
    }
    clients
}

/// `return-path "snat"`: masquerading needs connection tracking of IPVS's packets.
fn snat(topology: &Topology, host: &Host, needs: &mut Needs) {
    for service in topology.services.values() {
        let mode = &service.return_path.mode;
        if mode.value == ReturnMode::Snat && server::vips(topology, service).any(|vip| server::carries(vip, host)) {
            let (name, origin, reason) = (service.name.value.as_str().into(), mode.origin, "return-path \"snat\" needs it");
            needs.add("net/ipv4/vs/conntrack", Need { value: "1", set: true, unless: None, reason, name, origin });
        }
    }
}
