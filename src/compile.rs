//! From a topology to what one host's kernel must hold.
//!
//! Pure: the same topology gives the same state, byte for byte. What a host must hold is decided here and
//! nowhere later; a plan only compares. What this version does not compile is named in [`Compiled::left_out`].

mod director;
mod fault;
mod nftables;
mod real_server;
mod return_path;
mod server;
mod sysctl;
#[cfg(test)]
mod tests;
mod tunnel;
mod vip;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::provenance::{Elsewhere, Fields, LeftOut, Names, Provenance};
use crate::source::{Origin, Problem, Span};
use crate::state::{Family, Key, Resource, ServiceKey, State};
use crate::topology::{Host, Role, Topology};
pub(crate) use director::{Carried, carried};
use fault::Fault;
pub(crate) use server::{carries, listen_vips, servers};
use sysctl::Needs;

/// What a host must hold, in the kernel's terms and in the user's.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The kernel's objects.
    pub state: State,
    /// The user's words for each of them.
    pub names: Names,
    /// What the topology says of this host and nobody carries out yet.
    pub left_out: Vec<LeftOut>,
    /// How long the servers of a service are let go, in seconds; services that let them go at once are left out.
    pub drains: BTreeMap<ServiceKey, u32>,
    /// Whose everything is that this host may still have and should not.
    pub elsewhere: Elsewhere,
    /// What of the topology could not be compiled.
    pub problems: Vec<Problem>,
}

/// Compiles `host`, which must be one of the topology's.
pub fn compile(topology: &Topology, host: &Host) -> Compiled {
    let mut target = Target::default();
    tunnel::compile(topology, host, &mut target);
    let mut elsewhere = Elsewhere { mark: alias(topology), ..Elsewhere::default() };
    if host.role == Role::Director {
        director::compile(topology, host, &mut target);
        nftables::compile(topology, host, &mut target);
        elsewhere.holders = vip::holders(topology, host);
    }
    let mut needs = Needs::default();
    real_server::compile(topology, host, &mut target, &mut needs);
    return_path::compile(topology, host, &mut target, &mut needs);
    sysctl::compile(topology, host, &mut target, needs);
    modules(&mut target);
    target.compiled(elsewhere)
}

/// Compiles every host, for what only a compilation finds wrong.
pub fn problems(topology: &Topology) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for host in topology.hosts.values() {
        for problem in compile(topology, host).problems {
            push(&mut problems, problem);
        }
    }
    problems
}

/// Adds a problem, unless it has been said: for another listen, another address, another director.
fn push(problems: &mut Vec<Problem>, problem: Problem) {
    if !problems.contains(&problem) {
        problems.push(problem);
    }
}

/// The state while it is being put together.
#[derive(Default)]
struct Target {
    objects: BTreeMap<Key, (Resource, Provenance)>,
    drains: BTreeMap<ServiceKey, u32>,
    left_out: Vec<LeftOut>,
    problems: Vec<Problem>,
    /// What was said elsewhere of the last object of which anything was.
    fields: Fields,
}

impl Target {
    /// Adds an object. Two things of the file that compile to one key are an error at both.
    fn add(&mut self, key: Key, resource: Resource, name: &Arc<str>, origin: Origin) {
        self.put(key, resource, Provenance { name: name.clone(), origin, implied: None, fields: None });
    }

    /// The same, with where each of its fields is said.
    fn add_with(&mut self, key: Key, resource: Resource, name: &Arc<str>, origin: Origin, fields: &[(&'static str, Origin)]) {
        let fields = self.elsewhere(origin, fields);
        self.put(key, resource, Provenance { name: name.clone(), origin, implied: None, fields });
    }

    /// The fields that are in another file than the object, or in this one for more than the object: nearly always none.
    fn elsewhere(&mut self, origin: Origin, fields: &[(&'static str, Origin)]) -> Fields {
        let own = origin.span()?.file;
        let elsewhere = |(word, origin): &(&'static str, Origin)| Some((*word, origin.span().filter(|span| span.file != own)?));
        if fields.iter().all(|field| elsewhere(field).is_none()) {
            return None;
        }
        let found: Vec<(&'static str, Span)> = fields.iter().filter_map(elsewhere).collect();
        // One default is that of very many servers.
        if self.fields.as_deref() != Some(&found) {
            self.fields = Some(Arc::new(found));
        }
        self.fields.clone()
    }

    /// Adds an object that nobody wrote.
    fn imply(&mut self, key: Key, resource: Resource, name: &Arc<str>, origin: Origin, reason: &'static str) {
        self.put(key, resource, Provenance { name: name.clone(), origin, implied: Some(reason), fields: None });
    }

    fn put(&mut self, key: Key, resource: Resource, provenance: Provenance) {
        match self.objects.entry(key) {
            Entry::Occupied(entry) => {
                let (_, first) = entry.get();
                let fault = Fault::OneKeyTwice { key: entry.key().clone(), second: provenance, first: first.clone() };
                self.fault(fault);
            }
            Entry::Vacant(entry) => _ = entry.insert((resource, provenance)),
        }
    }

    /// Where an object comes from that is there already.
    fn provenance(&self, key: &Key) -> Option<&Provenance> {
        self.objects.get(key).map(|(_, provenance)| provenance)
    }

    /// The whole, taken apart. A map that is made of all its entries at once has full nodes; one after the other, so that
    /// the second finds the room of the first one's entries.
    fn compiled(mut self, elsewhere: Elsewhere) -> Compiled {
        let names = self.objects.iter().map(|(key, (_, provenance))| (key.clone(), provenance.clone())).collect();
        let objects = std::mem::take(&mut self.objects).into_iter().map(|(key, (resource, _))| (key, resource)).collect();
        let Target { drains, left_out, problems, .. } = self;
        Compiled { state: State { objects }, names, drains, left_out, elsewhere, problems }
    }

    /// Adds an object that several things of the file may need alike: the first names it.
    fn share(&mut self, key: Key, resource: Resource, name: &Arc<str>, origin: Origin) {
        if !self.objects.contains_key(&key) {
            self.add(key, resource, name, origin);
        }
    }

    /// The same for an object that nobody wrote.
    fn share_implied(&mut self, key: Key, resource: Resource, name: &Arc<str>, origin: Origin, reason: &'static str) {
        if !self.objects.contains_key(&key) {
            self.imply(key, resource, name, origin, reason);
        }
    }

    fn fault(&mut self, fault: Fault) {
        push(&mut self.problems, fault.problem());
    }

    fn leave_out(&mut self, what: impl Into<String>, origin: Origin) {
        let left = LeftOut { text: what.into(), span: origin.span() };
        if !self.left_out.contains(&left) {
            self.left_out.push(left);
        }
    }
}

/// The mark that our links carry in their alias.
pub fn alias(topology: &Topology) -> String {
    format!("lvsform:{}", topology.name.value)
}

/// The name of a topology's dummy device: `lvs-` and six hexadecimal digits of the topology's name, so that two topologies
/// of one host have two, and the name never depends on anything else.
pub fn dummy_name(topology: &Topology) -> String {
    format!("lvs-{}", six_digits(topology.name.value.as_bytes()))
}

/// Six hexadecimal digits of a text: FNV-1a, folded to 24 bits. Fixed for ever, since names of devices come from it.
fn six_digits(text: &[u8]) -> String {
    let hash = fnv(text);
    let mut digits = String::new();
    let _ = write!(digits, "{:06x}", (hash >> 24) ^ (hash & 0x00ff_ffff));
    digits
}

/// FNV-1a, 32 bits.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Everywhere.
fn default_of(family: Family) -> IpNet {
    match family {
        Family::Ipv4 => IpNet::V4(Ipv4Net::default()),
        Family::Ipv6 => IpNet::V6(Ipv6Net::default()),
    }
}

/// Modules that nothing loads by itself in time, each because of the first object that needs it.
fn modules(target: &mut Target) {
    let needed: Vec<(&str, Key)> = target.objects.keys().filter_map(|key| Some((key.module()?, key.clone()))).collect();
    for (module, because) in needed {
        let Some(Provenance { origin, .. }) = target.provenance(&because).cloned() else { continue };
        let key = Key::Module(module.to_owned());
        if !target.objects.contains_key(&key) {
            target.imply(key, Resource::Module, &"".into(), origin, "needs it");
        }
    }
}
