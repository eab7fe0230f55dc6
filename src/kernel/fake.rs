//! A model of the kernel: carries out phases on a state in memory and answers with the real kernel's errnos.
//!
//! The checks are those of the kernel, in its order (reference: errno map; `net/netfilter/ipvs/ip_vs_ctl.c`,
//! `net/core/rtnetlink.c`, `net/ipv4/devinet.c`, `net/ipv4/fou_core.c`). What the kernel does not check the model takes
//! too. It knows no packets and no time, and of routes only what takes them along.

mod ipvs;
mod net;
mod sysctls;

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;

use super::{Kernel, Outcome, ReadError, Refusal};
use crate::plan::Phase;
use crate::state::effects::moves;
use crate::state::{
    Absence, AddressKey, Change, Connections, DestinationId, Key, Observed, Order, Resource, Scope, ServiceKey, State,
    order_matters,
};

/// A kernel in memory.
#[derive(Clone, Debug)]
pub struct Fake {
    /// Everything that is there, but for orders; sysctls and modules are there whether anybody asks or not.
    observed: Observed,
    /// The destinations of every service, first added first.
    seats: BTreeMap<ServiceKey, Vec<DestinationId>>,
    /// The addresses in the order in which they came: of several in one subnet the first is the primary one.
    addresses: Vec<AddressKey>,
    /// Connections of destinations that were taken away: they are back with their destination.
    trash: BTreeMap<Key, Connections>,
    /// Schedulers that are built in or can be loaded.
    schedulers: BTreeSet<String>,
    /// Modules that cannot be loaded.
    missing_modules: BTreeSet<String>,
    faults: BTreeMap<usize, Fault>,
    steps: usize,
}

/// What is to go wrong with one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The step is refused with this errno, whatever the model thinks of it.
    Refuse(i32),
    /// Nobody answers.
    Unknown {
        /// Whether it happened all the same.
        happened: bool,
    },
}

/// The schedulers of a kernel with all of IPVS.
const SCHEDULERS: [&str; 14] = ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"];

impl From<Observed> for Fake {
    /// A kernel that holds what was observed. Destinations of which no order was seen sit in the order of their keys,
    /// and so do addresses.
    fn from(mut observed: Observed) -> Fake {
        let mut seats: BTreeMap<ServiceKey, Vec<DestinationId>> = BTreeMap::new();
        let mut addresses = Vec::new();
        for key in observed.state.objects.keys() {
            match key {
                Key::Service(key) => _ = seats.entry(*key).or_default(),
                Key::Address(key) => addresses.push(key.clone()),
                Key::Destination(key) => seats.entry(key.service).or_default().push(key.id()),
                _ => {}
            }
        }
        observed.state.objects.retain(|key, resource| {
            let (Key::Order(service), Resource::Order(order)) = (key, resource) else { return true };
            if let Some(seats) = seats.get_mut(service) {
                let seen: BTreeMap<DestinationId, usize> =
                    order.servers.iter().enumerate().map(|(seat, server)| (*server, seat)).collect();
                seats.sort_by_key(|server| seen.get(server).copied());
            }
            false
        });
        let mut fake = Fake {
            observed,
            seats,
            addresses,
            trash: BTreeMap::new(),
            schedulers: SCHEDULERS.iter().map(|&name| name.to_owned()).collect(),
            missing_modules: BTreeSet::new(),
            faults: BTreeMap::new(),
            steps: 0,
        };
        if fake.observed.kernel.ipvs {
            fake.appear(sysctls::IPVS);
        }
        fake
    }
}

impl Kernel for Fake {
    fn read(&mut self, scope: &Scope) -> Result<Observed, ReadError> {
        let mut read = self.all();
        read.state.objects.retain(|key, _| match key {
            Key::Sysctl(key) => scope.sysctls.contains(key) || scope.sysctls.iter().any(|cause| moves(cause, key)),
            Key::Module(name) => scope.modules.contains(name),
            Key::Fou(_) => scope.fou,
            Key::Route(key) => scope.routes || scope.destinations.contains(&(key.destination, key.table)),
            Key::Rule(_) => scope.rules,
            Key::Nftables(table) => scope.tables.contains(table),
            _ => true,
        });
        let absent = scope.sysctls.iter().map(|key| Key::Sysctl(key.clone()));
        read.absent = absent
            .filter(|key| !read.state.objects.contains_key(key))
            .map(|key| (self.observed.absent.get(&key).copied().unwrap_or(Absence::Missing), key))
            .map(|(absence, key)| (key, absence))
            .collect();
        Ok(read)
    }

    fn run(&mut self, phase: &Phase) -> Vec<Outcome> {
        phase.steps.iter().map(|step| self.step(step)).collect()
    }
}

/// An errno, or an errno with words.
type Answer = Result<(), Refusal>;

fn no(errno: Errno) -> Refusal {
    Refusal { errno: errno as i32, text: None }
}

impl Fake {
    /// Everything that is there.
    pub fn all(&self) -> Observed {
        let mut all = self.observed.clone();
        for (service, servers) in &self.seats {
            if let Some(Resource::Service(found)) = all.state.objects.get(&Key::Service(*service))
                && order_matters(&found.scheduler)
            {
                all.state.objects.insert(Key::Order(*service), Resource::Order(Order { servers: servers.clone() }));
            }
        }
        all
    }

    /// Makes the `step`-th step from now on go wrong; the first is 0. Steps are counted over all phases.
    pub fn fail(&mut self, step: usize, fault: Fault) {
        self.faults.insert(self.steps + step, fault);
    }

    /// Takes a scheduler away: its module is missing.
    pub fn without_scheduler(&mut self, name: &str) {
        self.schedulers.remove(name);
    }

    /// Takes a module away: loading it fails.
    pub fn without_module(&mut self, name: &str) {
        self.missing_modules.insert(name.to_owned());
    }

    fn step(&mut self, step: &Change) -> Outcome {
        let fault = self.faults.remove(&self.steps);
        self.steps += 1;
        match fault {
            Some(Fault::Refuse(errno)) => Outcome::Refused(Refusal { errno, text: None }),
            Some(Fault::Unknown { happened: false }) => Outcome::Unknown,
            Some(Fault::Unknown { happened: true }) => {
                _ = self.carry_out(step);
                Outcome::Unknown
            }
            None => self.carry_out(step).map_or_else(Outcome::Refused, |()| Outcome::Done),
        }
    }

    fn carry_out(&mut self, step: &Change) -> Answer {
        match (&step.key, &step.after) {
            // A module stays, and so does a value that nobody wants any more.
            (Key::Module(_) | Key::Sysctl(_) | Key::Timeouts, None) => Ok(()),
            // Only a delete and an add change these.
            (Key::Sync(_) | Key::Fou(_), Some(_)) if step.before.is_some() => Err(no(Errno::EINVAL)),
            (Key::Module(name), Some(_)) => self.load(name),
            (Key::Sysctl(key), Some(Resource::Sysctl(value))) => self.write(key, value),
            (Key::Link(name), Some(Resource::Link(link))) => self.put_link(name, link, step.before.is_none()),
            (Key::Link(name), None) => self.delete_link(name),
            (Key::Fou(key), after) => self.fou(*key, after.as_ref()),
            (Key::Address(key), Some(Resource::Address(address))) => self.put_address(key, *address, step.before.is_none()),
            (Key::Address(key), None) => self.delete_address(key),
            (Key::Route(key), Some(Resource::Route(route))) => self.put_route(key, route, step.before.is_none()),
            (Key::Route(_), None) => self.delete_route(&step.key),
            (Key::Rule(_) | Key::Nftables(_), after @ (None | Some(Resource::Rule | Resource::Nftables(_)))) => {
                self.whole(&step.key, step.before.is_some(), after.as_ref())
            }
            (Key::Timeouts, Some(Resource::Timeouts(timeouts))) => self.set_timeouts(*timeouts),
            (Key::Service(key), Some(Resource::Service(service))) => self.put_service(*key, service, step.before.is_none()),
            (Key::Service(key), None) => self.delete_service(*key),
            (Key::Destination(key), Some(Resource::Destination(after))) => {
                self.put_destination(*key, after, step.before.is_none())
            }
            (Key::Destination(key), None) => self.delete_destination(*key),
            (Key::Sync(role), Some(Resource::Sync(daemon))) => self.start_sync(*role, daemon),
            (Key::Sync(role), None) => self.stop_sync(*role),
            // No executor has a request for the rest, or a resource is of another kind than its key: a plan has neither.
            (Key::Order(_), None) | (_, Some(_)) => Err(no(Errno::EINVAL)),
        }
    }

    /// What the kernel knows by its key alone: made where it is not there, taken away where it is, or both.
    fn whole(&mut self, key: &Key, replaces: bool, after: Option<&Resource>) -> Answer {
        match (replaces, self.holds(key)) {
            (false, true) => return Err(no(Errno::EEXIST)),
            (true, false) => return Err(no(Errno::ENOENT)),
            _ => {}
        }
        match after {
            Some(after) => drop(self.state().objects.insert(key.clone(), after.clone())),
            None => drop(self.state().objects.remove(key)),
        }
        Ok(())
    }

    fn state(&mut self) -> &mut State {
        &mut self.observed.state
    }

    /// What comes by itself with a change.
    fn follow(&mut self, effect: Change) {
        if let Some(after) = effect.after {
            self.state().objects.insert(effect.key, after);
        } else {
            self.state().objects.remove(&effect.key);
            self.addresses.retain(|live| effect.key.address() != Some(live));
        }
    }

    fn holds(&self, key: &Key) -> bool {
        self.observed.state.objects.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::{Fake, Fault};
    use crate::kernel::{Kernel, Outcome, Refusal};
    use crate::plan::{Phase, Rank};
    use crate::state::{Change, Key, Observed, Resource, Scope};

    const SERVICE: &str = "service tcp 10.0.0.100:80";
    const SERVER: &str = "server tcp 10.0.0.100:80 10.0.0.11:80";
    const WLC: &str = r#"{"kind": "service", "scheduler": "wlc"}"#;
    const DR: &str = r#"{"kind": "destination", "forward": "dr", "weight": 1}"#;
    const SYNC: &str = r#"{"kind": "sync", "interface": "eth0", "id": 1, "group": "224.0.0.81", "port": 8848, "ttl": 1}"#;

    fn kernel(objects: &str) -> Fake {
        let state = format!(r#"{{"link eth0": {{"kind": "link", "device": {{"other": ""}}, "up": true}}{objects}}}"#);
        let mut observed = Observed { state: serde_json::from_str(&state).expect("a state"), ..Observed::default() };
        observed.kernel.ipvs = true;
        Fake::from(observed)
    }

    fn with_service() -> Fake {
        kernel(&format!(r#", "{SERVICE}": {WLC}, "{SERVER}": {DR}"#))
    }

    fn send(kernel: &mut Fake, key: &str, before: Option<&str>, after: Option<&str>) -> Outcome {
        let resource = |text| serde_json::from_str::<Resource>(text).expect("a resource");
        let key: Key = key.parse().expect("a key");
        let step = Change { key, before: before.map(resource), after: after.map(resource) };
        kernel.run(&Phase { rank: Rank::ServicesAdded, steps: vec![step] }).pop().expect("an outcome for each step")
    }

    fn refused(errno: Errno) -> Outcome {
        Outcome::Refused(Refusal { errno: errno as i32, text: None })
    }

    #[test]
    fn services_are_refused_as_the_kernel_refuses_them() {
        let mut kernel = with_service();
        let nosuch = r#"{"kind": "service", "scheduler": "nosuch"}"#;
        assert_eq!(send(&mut kernel, SERVICE, None, Some(nosuch)), refused(Errno::EEXIST), "before the scheduler is looked for");
        assert_eq!(send(&mut kernel, SERVICE, Some(WLC), Some(nosuch)), refused(Errno::ENOENT));
        assert_eq!(send(&mut kernel, "service tcp 10.0.0.9:80", Some(WLC), Some(nosuch)), refused(Errno::ESRCH));
        assert_eq!(send(&mut kernel, "service tcp 10.0.0.9:80", Some(WLC), None), refused(Errno::ESRCH));
        assert_eq!(send(&mut kernel, "service tcp 10.0.0.9:80", None, Some(nosuch)), refused(Errno::ENOENT));
    }

    #[test]
    fn servers_are_refused_as_the_kernel_refuses_them() {
        let mut kernel = with_service();
        let below = r#"{"kind": "destination", "forward": "dr", "weight": 1, "max_connections": 1, "min_connections": 2}"#;
        let other = "server tcp 10.0.0.100:80 10.0.0.12:80";
        assert_eq!(send(&mut kernel, SERVER, None, Some(below)), refused(Errno::ERANGE), "before the server is looked for");
        assert_eq!(send(&mut kernel, SERVER, None, Some(DR)), refused(Errno::EEXIST));
        assert_eq!(send(&mut kernel, other, Some(DR), Some(DR)), refused(Errno::ENOENT));
        assert_eq!(send(&mut kernel, other, Some(DR), None), refused(Errno::ENOENT));
        assert_eq!(send(&mut kernel, "server tcp 10.0.0.9:80 10.0.0.12:80", None, Some(DR)), refused(Errno::ESRCH));
        assert_eq!(send(&mut kernel, "server tcp 10.0.0.100:80 0.0.0.0:80", None, Some(DR)), refused(Errno::EINVAL));
        assert_eq!(send(&mut kernel, "server tcp 10.0.0.100:80 [2001:db8::1]:80", None, Some(DR)), refused(Errno::EINVAL));
    }

    #[test]
    fn a_sync_daemon_and_a_server_of_another_family_exclude_each_other() {
        let (mixed, ipip) =
            ("server tcp 10.0.0.100:80 [2001:db8::1]:80", r#"{"kind": "destination", "forward": {"tun": "ipip"}, "weight": 1}"#);
        let mut kernel = with_service();
        assert_eq!(send(&mut kernel, "sync master", None, Some(SYNC)), Outcome::Done);
        assert_eq!(send(&mut kernel, "sync master", None, Some(SYNC)), refused(Errno::EEXIST));
        assert_eq!(send(&mut kernel, mixed, None, Some(ipip)), refused(Errno::EINVAL));
        assert_eq!(send(&mut kernel, "sync master", Some(SYNC), None), Outcome::Done);
        assert_eq!(send(&mut kernel, "sync master", Some(SYNC), None), refused(Errno::ESRCH));
        assert_eq!(send(&mut kernel, mixed, None, Some(ipip)), Outcome::Done);
        assert_eq!(send(&mut kernel, "sync master", None, Some(SYNC)), refused(Errno::EINVAL));
        let elsewhere = SYNC.replace("eth0", "eth9");
        assert_eq!(send(&mut with_service(), "sync backup", None, Some(&elsewhere)), refused(Errno::ENODEV));
    }

    #[test]
    fn devices_addresses_and_sysctls_are_refused_as_the_kernel_refuses_them() {
        let mut kernel = kernel("");
        let (dummy, address) = (r#"{"kind": "link", "device": "dummy", "up": true}"#, r#"{"kind": "address"}"#);
        let one = r#"{"kind": "sysctl", "value": "4"}"#;
        assert_eq!(send(&mut kernel, "link eth0", None, Some(dummy)), refused(Errno::EEXIST));
        assert_eq!(send(&mut kernel, "link d0", Some(dummy), None), refused(Errno::ENODEV));
        assert_eq!(send(&mut kernel, "link eth0", Some(dummy), None), refused(Errno::EOPNOTSUPP));
        assert_eq!(send(&mut kernel, "vip 10.0.0.1 d0", None, Some(address)), refused(Errno::ENODEV));
        assert_eq!(send(&mut kernel, "vip 10.0.0.1 eth0", Some(address), None), refused(Errno::EADDRNOTAVAIL));
        assert_eq!(send(&mut kernel, "vip 10.0.0.1 eth0", None, Some(address)), Outcome::Done);
        assert_eq!(send(&mut kernel, "vip 10.0.0.1 eth0", None, Some(address)), refused(Errno::EEXIST));
        assert_eq!(send(&mut kernel, "sysctl net.core.nosuch", None, Some(one)), refused(Errno::ENOENT));
        assert_eq!(send(&mut kernel, "sysctl net.ipv4.vs.drop_entry", None, Some(one)), refused(Errno::EINVAL));
    }

    #[test]
    fn a_service_takes_its_servers_along_and_they_come_back_with_their_connections() {
        let mut held = with_service().all();
        let server: Key = SERVER.parse().expect("a key");
        held.traffic.entry(server.clone()).or_default().active = 7;
        let mut kernel = Fake::from(held);
        assert_eq!(send(&mut kernel, SERVICE, Some(WLC), None), Outcome::Done);
        assert!(!kernel.all().state.objects.contains_key(&server));
        send(&mut kernel, SERVICE, None, Some(WLC));
        send(&mut kernel, SERVER, None, Some(DR));
        assert_eq!(kernel.all().traffic.get(&server).map(|connections| connections.active), Some(7));
    }

    #[test]
    fn loading_ipvs_brings_its_sysctls_and_a_missing_module_brings_nothing() {
        let mut kernel = Fake::from(Observed::default());
        let scope = Scope {
            sysctls: ["net.ipv4.vs.conntrack"].iter().filter_map(|key| crate::state::SysctlKey::parse(key)).collect(),
            ..Scope::default()
        };
        assert_eq!(kernel.read(&scope).expect("readable").absent.len(), 1);
        kernel.without_module("ip_vs");
        assert!(matches!(send(&mut kernel, "module ip_vs", None, Some(r#"{"kind": "module"}"#)), Outcome::Refused(_)));
        assert_eq!(send(&mut kernel, SERVICE, None, Some(WLC)), refused(Errno::ENOENT));
        let mut kernel = Fake::from(Observed::default());
        send(&mut kernel, "module ip_vs", None, Some(r#"{"kind": "module"}"#));
        assert!(kernel.read(&scope).expect("readable").absent.is_empty());
    }

    #[test]
    fn a_step_can_be_made_to_go_wrong() {
        let mut kernel = kernel("");
        kernel.fail(0, Fault::Refuse(Errno::ENOMEM as i32));
        kernel.fail(1, Fault::Unknown { happened: true });
        assert_eq!(send(&mut kernel, SERVICE, None, Some(WLC)), refused(Errno::ENOMEM));
        assert_eq!(send(&mut kernel, SERVICE, None, Some(WLC)), Outcome::Unknown);
        assert_eq!(send(&mut kernel, SERVICE, None, Some(WLC)), refused(Errno::EEXIST), "it happened");
    }
}
