//! Sysctls: what the methods need, what the tunings of the host's roles say, and what the host itself says, in this order
//! of strength. Nothing stands against what a method needs unless it is forced.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::fault::Fault;
use super::{Target, director, dummy_name, server, vip};
use crate::source::Origin;
use crate::state::{Family, Forward, Key, Resource, ServiceKey, SyncRole, SysctlKey, SysctlValue};
use crate::topology::{Host, ReturnMode, Role, Sysctl, Topology, Vip};

const NAT: &str = "forward \"nat\" needs it";
const MASQUERADE: &str = "`masquerade` needs it";

/// What a method needs of one key.
pub(super) struct Need {
    pub value: &'static str,
    /// Instead of the one value, any up to this one; `value` says it in words.
    pub at_most: Option<i64>,
    /// Whether it is set; otherwise another key sets it, and nobody may set it otherwise.
    pub set: bool,
    /// A live value that may stay as it is.
    pub unless: Option<&'static str>,
    /// In words that follow the place: `forward "nat" needs it`.
    pub reason: &'static str,
    pub name: Arc<str>,
    pub origin: Origin,
}

impl Need {
    /// A value that would do as well, or better than what is set.
    fn fits(&self, value: &str) -> bool {
        match self.at_most {
            Some(most) => value.parse::<i64>().is_ok_and(|value| value <= most),
            None => value == self.value || self.unless == Some(value),
        }
    }
}

/// What the methods of a host need. The first to need a key names it.
#[derive(Default)]
pub(super) struct Needs(BTreeMap<SysctlKey, Need>);

impl Needs {
    /// Adds what a path below `/proc/sys` must be.
    pub(super) fn add(&mut self, path: &str, need: Need) {
        if let Some(key) = SysctlKey::parse(path) {
            match self.0.entry(key) {
                // What is set is more than what is only held against.
                Entry::Occupied(mut entry) if need.set && !entry.get().set => _ = entry.insert(need),
                Entry::Occupied(_) => {}
                Entry::Vacant(entry) => _ = entry.insert(need),
            }
        }
    }

    /// Who asks for an address of this interface must be answered: from 3 on, `arp_ignore` keeps silent on more and more.
    pub(super) fn answers(&mut self, interface: &str, reason: &'static str, name: &Arc<str>, origin: Origin) {
        for device in ["all", interface] {
            let (value, name) = ("at most 2", name.clone());
            let need = Need { value, at_most: Some(2), set: false, unless: None, reason, name, origin };
            self.add(&format!("net/ipv4/conf/{device}/arp_ignore"), need);
        }
    }
}

pub(super) fn compile(topology: &Topology, host: &Host, target: &mut Target, mut needs: Needs) {
    if host.role == Role::Director {
        nat(topology, host, target, &mut needs);
        masquerade(host, &mut needs);
        snat(topology, host, &mut needs);
        held(topology, host, target, &mut needs);
    }
    let Needs(mut needs) = needs;
    let mut written = tuning(topology, host, target);
    for sysctl in &host.sysctls {
        written.insert(sysctl.key.value.clone(), sysctl);
    }
    for (key, sysctl) in written {
        let value = SysctlValue::new(&key, &sysctl.value.value);
        if let Some(need) = needs.get(&key)
            && !need.fits(&value.value)
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
        let family = Family::of(destination.address);
        let need = |value, set, unless, reason| {
            let (name, origin) = (provenance.name.clone(), provenance.origin);
            Need { value, at_most: None, set, unless, reason, name, origin }
        };
        router(host, family, needs, |value, set, unless| need(value, set, unless, NAT));
        if family == Family::Ipv4
            && let Some(interface) = server::subnet_interface(host, destination.address)
            && clients.get(&destination.service).is_some_and(|interfaces| interfaces.contains(interface))
        {
            let need = || need("0", true, None, "nat with clients and servers on one interface needs it");
            needs.add("net/ipv4/conf/all/send_redirects", need());
            needs.add(&format!("net/ipv4/conf/{interface}/send_redirects"), need());
        }
    }
}

/// `masquerade`: what it is asked for must be forwarded first.
fn masquerade(host: &Host, needs: &mut Needs) {
    for masquerade in &host.masquerades {
        let families: BTreeSet<Family> = masquerade.sources.iter().map(|source| Family::of(source.value.addr())).collect();
        for family in families {
            router(host, family, needs, |value, set, unless| {
                let (name, origin) = (masquerade.interface.value.as_str().into(), Origin::Text(masquerade.span));
                Need { value, at_most: None, set, unless, reason: MASQUERADE, name, origin }
            });
        }
    }
}

/// What a host needs that forwards packets of a family. `need` makes one of a value, whether it is set, and what may stay.
fn router(host: &Host, family: Family, needs: &mut Needs, need: impl Fn(&'static str, bool, Option<&'static str>) -> Need) {
    match family {
        Family::Ipv4 => {
            needs.add("net/ipv4/ip_forward", need("1", true, None));
            for device in std::iter::once("all").chain(host.interfaces.keys().map(String::as_str)) {
                needs.add(&format!("net/ipv4/conf/{device}/forwarding"), need("1", false, None));
            }
        }
        Family::Ipv6 => {
            // With forwarding on, the kernel forgets default routes that it learned, unless accept_ra is 2.
            for interface in host.interfaces.keys() {
                needs.add(&format!("net/ipv6/conf/{interface}/accept_ra"), need("2", true, Some("0")));
                needs.add(&format!("net/ipv6/conf/{interface}/forwarding"), need("1", false, None));
            }
            needs.add("net/ipv6/conf/all/forwarding", need("1", true, None));
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
            needs.add("net/ipv4/vs/conntrack", Need { value: "1", at_most: None, set: true, unless: None, reason, name, origin });
        }
    }
}

/// Nobody finds a VIP whose director answers no ARP, and nobody is served by one that only listens to sync messages.
fn held(topology: &Topology, host: &Host, target: &Target, needs: &mut Needs) {
    let dummy = dummy_name(topology);
    for (key, (_, provenance)) in &target.objects {
        let Key::Address(address) = key else { continue };
        let on_the_wire = address.interface != "lo" && address.interface != dummy && provenance.implied.is_none();
        if address.address.is_ipv4() && address.prefix == Family::Ipv4.bits() && on_the_wire {
            needs.answers(&address.interface, "the holder of a VIP needs it", &provenance.name, provenance.origin);
        }
    }
    let Some(backup) = target.provenance(&Key::Sync(SyncRole::Backup)) else { return };
    let has = |vip: &Vip| vip.addresses.iter().any(|address| vip::has(topology, host, vip, address.value));
    let mut served = topology.services.values().flat_map(|service| server::vips(topology, service));
    if served.any(|vip| server::carries(vip, host) && has(vip)) {
        let (name, origin) = (backup.name.clone(), backup.origin);
        let reason = "a director that has a VIP and runs a backup daemon needs it";
        let need = Need { value: "0", at_most: None, set: false, unless: None, reason, name, origin };
        needs.add("net/ipv4/vs/backup_only", need);
    }
}
