//! The real kernel: one network namespace, read and changed over netlink and `/proc/sys`.
//!
//! Reading opens nothing for writing and never loads a module: families are listed, never asked for by name.

mod run;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::marker::PhantomData;

use ipnet::IpNet;
use nix::errno::Errno;

use super::ipvs::{self, DestinationEntry, Request, ServiceEntry, decode};
use super::netlink::wire::{Malformed, Message};
use super::netlink::{Dump, Failure, Limits, Protocol, Socket, family};
use super::{Kernel, Outcome, ReadError, Refusal, fou, module, netns, nftables, rtnl, sysctl};
use crate::plan::Phase;
use crate::state::effects::disables_ipv6;
use crate::state::{
    AddressKey, Connections, DestinationKey, Family, KernelFacts, Key, LinkKind, Observed, Order, Resource, Scope, ServiceKey,
    State, SysctlKey, order_matters,
};

/// How often a reading is repeated until two in a row are alike.
const TRIES: u32 = 10;

/// A network namespace of this machine.
///
/// `/proc/sys/net` shows the namespace of the thread that looks, so a `Linux` stays on the thread that opened it.
#[derive(Debug)]
pub struct Linux {
    route: Socket,
    generic: Socket,
    release: String,
    initial_namespace: bool,
    stays_on_its_thread: PhantomData<*const ()>,
}

impl Linux {
    /// Opens the namespace that the calling thread is in, or, with a name, the one that `ip netns` calls so; the calling
    /// thread then stays in it.
    pub fn open(netns: Option<&str>) -> Result<Linux, ReadError> {
        if let Some(name) = netns {
            netns::enter(name)?;
        }
        let socket = |protocol, what: &str| Socket::open(protocol, Limits::default()).map_err(|error| failed(what, error.into()));
        Ok(Linux {
            route: socket(Protocol::Route, "the route netlink socket")?,
            generic: socket(Protocol::Generic, "the generic netlink socket")?,
            release: release()?,
            initial_namespace: netns::is_initial(),
            stays_on_its_thread: PhantomData,
        })
    }
}

impl Linux {
    /// Whether the kernel has nftables now: asking it for tables would load them.
    pub fn has_nftables(&self) -> bool {
        module::is_loaded(nftables::MODULE, &self.release)
    }
}

impl Kernel for Linux {
    fn read(&mut self, scope: &Scope) -> Result<Observed, ReadError> {
        let families = family::all(&mut self.generic).map_err(|failure| failed("the netlink families", failure))?;
        let number = |name: &str| families.iter().find(|(found, _)| found == name).map(|(_, number)| *number);
        let mut observed = Observed {
            kernel: KernelFacts {
                release: self.release.clone(),
                ipvs: number(ipvs::wire::FAMILY).is_some(),
                initial_namespace: self.initial_namespace,
            },
            ..Observed::default()
        };
        let mut objects = Objects::new();
        for name in &scope.modules {
            // What counts of these two is whether they answer.
            let there = match name.as_str() {
                "ip_vs" => number(ipvs::wire::FAMILY).is_some(),
                "fou" => number(fou::FAMILY).is_some(),
                name => module::is_loaded(name, &self.release),
            };
            if there {
                objects.push((Key::Module(name.clone()), Resource::Module));
            }
        }
        for key in &scope.sysctls {
            match sysctl::read(key, self.initial_namespace)? {
                Ok(value) => {
                    let read_only = sysctl::read_only(key).map(|why| (Key::Sysctl(key.clone()), why));
                    observed.read_only.extend(read_only);
                    objects.push((Key::Sysctl(key.clone()), Resource::from(value)));
                }
                Err(absence) => drop(observed.absent.insert(Key::Sysctl(key.clone()), absence)),
            }
        }
        for key in sysctl::moved_with(&scope.sysctls) {
            if let Ok(value) = sysctl::read(&key, self.initial_namespace)? {
                objects.push((Key::Sysctl(key), Resource::from(value)));
            }
        }
        if let Some(family) = number(fou::FAMILY).filter(|_| scope.fou) {
            self.read_fou(family, &mut objects)?;
        }
        self.read_devices(scope, &mut objects, &mut observed)?;
        if scope.rules {
            let rules = steady("the routing rules", &mut self.route, rtnl::rules, |rule| *rule)?;
            objects.extend(rules.into_iter().map(|rule| (Key::Rule(rule), Resource::Rule)));
        }
        if !scope.tables.is_empty() && self.has_nftables() {
            read_tables(scope, &mut objects)?;
        }
        if let Some(family) = number(ipvs::wire::FAMILY) {
            self.read_ipvs(family, &mut objects, &mut observed)?;
        }
        observed.state = State { objects: objects.into_iter().collect() };
        Ok(observed)
    }

    fn run(&mut self, phase: &Phase) -> Vec<Outcome> {
        run::run(self, phase)
    }
}

/// What was read, in no order. A map that is made of all of it at once has full nodes.
type Objects = Vec<(Key, Resource)>;

impl Linux {
    fn read_fou(&mut self, family: u16, objects: &mut Objects) -> Result<(), ReadError> {
        let write = |writer: &mut _| fou::Request::Get.write(family, writer);
        let each = |message: Message<'_>| {
            let (key, port) = fou::decode(&message).ok_or(Malformed)?;
            objects.push((Key::Fou(key), Resource::Fou(port)));
            Ok(())
        };
        self.generic.dump(write, each).map(drop).map_err(|failure| failed("the FOU ports", failure))
    }

    /// Devices, their addresses, and the routes of others that may go with one of them; what of these does not fit together
    /// was read around somebody's change, and is read again.
    fn read_devices(&mut self, scope: &Scope, objects: &mut Objects, observed: &mut Observed) -> Result<(), ReadError> {
        const WHAT: &str = "the network devices";
        for _ in 0..TRIES {
            let devices = steady(WHAT, &mut self.route, rtnl::devices, |device| (device.index, device.name.clone()))?;
            let addresses = steady("the addresses", &mut self.route, rtnl::addresses, |found| (found.device, found.key.clone()))?;
            let names: HashMap<u32, String> = devices.iter().map(|device| (device.index, device.name.clone())).collect();
            let routes = if scope.routes || !scope.destinations.is_empty() {
                let at_risk = AtRisk::new(scope, &devices, &addresses);
                let dump = |socket: &mut Socket| rtnl::routes(socket, |route| at_risk.has(route));
                steady("the routes", &mut self.route, dump, |route| (route.key.clone(), route.device))?
            } else {
                Vec::new()
            };
            let is_known = |device: &u32| names.contains_key(device);
            if !addresses.iter().all(|found| is_known(&found.device)) || !routes.iter().flat_map(numbers).all(is_known) {
                continue;
            }
            for mut device in devices {
                if device.partly {
                    observed.partly.insert(Key::Link(device.name.clone()));
                }
                if let LinkKind::Tunnel(tunnel) = &mut device.link.device {
                    // A device that lives in another namespace has no name here.
                    tunnel.device =
                        device.bound_to.map(|index| names.get(&index).cloned().unwrap_or_else(|| format!("if{index}")));
                }
                objects.push((Key::Link(device.name), Resource::Link(Box::new(device.link))));
            }
            for rtnl::OnDevice { device, mut key, address, label, partly } in addresses {
                key.interface = names.get(&device).cloned().unwrap_or_default();
                if partly || label.is_some_and(|label| label != key.interface) {
                    observed.partly.insert(Key::Address(key.clone()));
                }
                objects.push((Key::Address(key), Resource::Address(address)));
            }
            for rtnl::Numbered { mut key, mut route, device, devices } in routes {
                let name = |device: &u32| names.get(device).cloned().unwrap_or_default();
                key.interface = device.as_ref().map(name).unwrap_or_default();
                route.devices = devices.iter().map(name).collect();
                if route.is_from_advertisement(&key) {
                    self.read_accept_ra(&key.interface, objects)?;
                }
                objects.push((Key::Route(key), Resource::from(route)));
            }
            return Ok(());
        }
        Err(ReadError::Unsteady { what: WHAT, tries: TRIES })
    }

    /// What decides whether a default route stays when the host becomes a router.
    fn read_accept_ra(&self, device: &str, objects: &mut Objects) -> Result<(), ReadError> {
        let Some(key) = SysctlKey::parse(&format!("net/ipv6/conf/{device}/accept_ra")) else { return Ok(()) };
        if let Ok(value) = sysctl::read(&key, self.initial_namespace)? {
            objects.push((Key::Sysctl(key), Resource::from(value)));
        }
        Ok(())
    }

    fn read_ipvs(&mut self, family: u16, objects: &mut Objects, observed: &mut Observed) -> Result<(), ReadError> {
        let services = steady("the services", &mut self.generic, |socket| services(socket, family), |entry| entry.key)?;
        for ServiceEntry { key, service, stats: _ } in services {
            let dump = |socket: &mut Socket| destinations(socket, family, key);
            let destinations = steady("the destinations", &mut self.generic, dump, |entry| entry.id)?;
            if order_matters(&service.scheduler) {
                // The kernel lists the newest first.
                let order = Order { servers: destinations.iter().rev().map(|entry| entry.id).collect() };
                objects.push((Key::Order(key), Resource::Order(order)));
            }
            objects.push((Key::Service(key), Resource::from(service)));
            for DestinationEntry { id, destination, connections, stats: _ } in destinations {
                let key = Key::Destination(DestinationKey::new(key, id));
                if connections != Connections::default() {
                    observed.traffic.insert(key.clone(), connections);
                }
                objects.push((key, Resource::Destination(destination)));
            }
        }
        let mut timeouts = None;
        let write = |writer: &mut _| Request::GetTimeouts.write(family, writer);
        let each = |message: Message<'_>| {
            timeouts = Some(decode::timeouts(&message).ok_or(Malformed)?);
            Ok(())
        };
        self.generic.request(write, each).map_err(|failure| ipvs_failed("the timeouts", failure))?;
        objects.extend(timeouts.map(|timeouts| (Key::Timeouts, Resource::Timeouts(timeouts))));
        let write = |writer: &mut _| Request::GetDaemons.write(family, writer);
        let each = |message: Message<'_>| {
            let (role, daemon) = decode::daemon(&message).ok_or(Malformed)?;
            objects.push((Key::Sync(role), Resource::from(daemon)));
            Ok(())
        };
        self.generic.dump(write, each).map(drop).map_err(|failure| ipvs_failed("the sync daemons", failure))
    }
}

/// The routes that are of interest: ours, and what a change of ours may take along. A host may have a million of others.
struct AtRisk<'a> {
    /// Where ours lead.
    destinations: &'a BTreeSet<(IpNet, u32)>,
    /// Whether others' are of interest.
    others: bool,
    /// Devices of kinds that we make.
    made: HashSet<u32>,
    /// Devices whose IPv4 addresses are VIPs or a tunnel's own, if they have any.
    bare: HashSet<u32>,
    /// IPv6 may be turned off.
    ipv6: bool,
}

impl AtRisk<'_> {
    fn new<'a>(scope: &'a Scope, devices: &[rtnl::Device], addresses: &[rtnl::OnDevice]) -> AtRisk<'a> {
        let stays = |key: &AddressKey| key.address.is_ipv4() && key.prefix < 30; // a tunnel's own may have 30 or 31
        let kept: HashSet<u32> = addresses.iter().filter(|found| stays(&found.key)).map(|found| found.device).collect();
        let is_made = |device: &&rtnl::Device| !matches!(device.link.device, LinkKind::Other(_));
        AtRisk {
            destinations: &scope.destinations,
            others: scope.routes,
            made: devices.iter().filter(is_made).map(|device| device.index).collect(),
            bare: devices.iter().map(|device| device.index).filter(|device| !kept.contains(device)).collect(),
            ipv6: scope.sysctls.iter().any(disables_ipv6),
        }
    }

    fn has(&self, route: &rtnl::Numbered) -> bool {
        let is_ipv4 = route.key.family() == Family::Ipv4;
        let through = |device: &u32| self.made.contains(device) || if is_ipv4 { self.bare.contains(device) } else { self.ipv6 };
        self.destinations.contains(&(route.key.destination, route.key.table))
            || self.others
                && (route.route.source.is_some() || route.route.is_from_advertisement(&route.key) || numbers(route).any(through))
    }
}

fn numbers(route: &rtnl::Numbered) -> impl Iterator<Item = &u32> {
    route.device.iter().chain(&route.devices)
}

/// The tables that are of interest, if they are there.
fn read_tables(scope: &Scope, objects: &mut Objects) -> Result<(), ReadError> {
    const WHAT: &str = "the nftables tables";
    let mut socket =
        Socket::open(Protocol::Netfilter, Limits::default()).map_err(|error| failed("the netfilter socket", error.into()))?;
    for name in &scope.tables {
        if nftables::exists(&mut socket, name).map_err(|failure| ipvs_failed(WHAT, failure))? {
            let chains = steady(WHAT, &mut socket, |socket| nftables::chains(socket, name), |chain| chain.0.clone())?;
            let rules = steady(WHAT, &mut socket, |socket| nftables::rules(socket, name), Clone::clone)?;
            objects.push((Key::Nftables(name.clone()), Resource::from(nftables::table(chains, rules))));
        }
    }
    Ok(())
}

fn services(socket: &mut Socket, family: u16) -> Result<(Vec<ServiceEntry>, Dump), Failure> {
    let mut services = Vec::new();
    let write = |writer: &mut _| Request::GetServices.write(family, writer);
    let dump = socket.dump(write, |message| {
        services.push(decode::service(&message).ok_or(Malformed)?);
        Ok(())
    })?;
    let torn = has_twice(services.iter().map(|entry| entry.key));
    Ok((services, Dump { interrupted: dump.interrupted || torn, ..dump }))
}

fn destinations(socket: &mut Socket, family: u16, service: ServiceKey) -> Result<(Vec<DestinationEntry>, Dump), Failure> {
    let mut destinations = Vec::new();
    let write = |writer: &mut _| Request::GetDestinations(service).write(family, writer);
    let dump = socket.dump(write, |message| {
        destinations.push(decode::destination(&message, service.family()).ok_or(Malformed)?);
        Ok(())
    })?;
    let torn = has_twice(destinations.iter().map(|entry| entry.id));
    Ok((destinations, Dump { interrupted: dump.interrupted || torn, ..dump }))
}

/// Whether something stands in a dump twice: a writer in between has moved it behind the reader, and two dumps that are torn
/// alike look steady.
fn has_twice<T: Eq + Hash>(keys: impl Iterator<Item = T>) -> bool {
    let mut seen = HashSet::new();
    keys.into_iter().any(|key| !seen.insert(key))
}

/// Repeats a dump of several parts until two in a row have the same keys in the same order: between two parts a writer may
/// have moved entries past the reader or behind it, and IPVS never says so.
///
/// A writer that goes to and fro in step with the parts would tear two dumps alike. So every other dump is the first of a
/// socket: its first part is smaller than those of a socket that has received before (`netlink_dump` of the kernel), and
/// so all its parts end elsewhere.
fn steady<T, K: PartialEq>(
    what: &'static str,
    socket: &mut Socket,
    mut dump: impl FnMut(&mut Socket) -> Result<(Vec<T>, Dump), Failure>,
    key: impl Fn(&T) -> K,
) -> Result<Vec<T>, ReadError> {
    let mut last: Option<Vec<K>> = None;
    for number in 0..TRIES {
        let dumped = if number % 2 == 0 {
            dump(socket)
        } else {
            socket.fresh().map_err(Failure::from).and_then(|mut fresh| dump(&mut fresh))
        };
        let (entries, dump) = match dumped {
            Ok(dumped) => dumped,
            // Route netlink says with this errno, too, that a writer came in between.
            Err(Failure::Refused(Refusal { errno, .. })) if errno == Errno::EINTR as i32 => continue,
            Err(failure) => return Err(ipvs_failed(what, failure)),
        };
        if dump.parts <= 1 && !dump.interrupted {
            return Ok(entries);
        }
        let keys: Vec<K> = entries.iter().map(&key).collect();
        if !dump.interrupted && last.as_ref() == Some(&keys) {
            return Ok(entries);
        }
        last = Some(keys).filter(|_| !dump.interrupted);
    }
    Err(ReadError::Unsteady { what, tries: TRIES })
}

fn failed(what: &str, failure: Failure) -> ReadError {
    match failure {
        Failure::Refused(Refusal { errno, text }) => ReadError::Failed { what: what.to_owned(), errno, text },
        Failure::Malformed => ReadError::Malformed { what: what.to_owned() },
    }
}

/// IPVS shows nothing without the capability.
fn ipvs_failed(what: &str, failure: Failure) -> ReadError {
    match failure {
        Failure::Refused(Refusal { errno, .. }) if errno == Errno::EPERM as i32 => ReadError::Capability("CAP_NET_ADMIN"),
        failure => failed(what, failure),
    }
}

/// What `uname -r` says.
#[expect(clippy::disallowed_methods, reason = "kernel/ is where files are opened")]
fn release() -> Result<String, ReadError> {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|text| text.trim().to_owned())
        .map_err(|error| failed("the kernel's release", error.into()))
}
