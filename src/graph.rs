//! A topology as a picture: who has which VIP, which service takes its packets, which servers answer, and which way the
//! answers go.
//!
//! Pure, and of what the compiler makes of the file: addresses, weights and methods are those that the kernels get. `build`
//! makes a [`Picture`] of a topology; `svg`, `mermaid` and `dot` write it down. `place` says where things are in the first;
//! the others leave that to who draws them. Nothing here measures text: names are set in letters of equal width.

mod build;
mod cluster;
mod columns;
mod dot;
mod mermaid;
mod place;
mod svg;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::state::{Action, Key, Traffic};

pub use build::picture;
pub use dot::dot;
pub use mermaid::mermaid;
pub use svg::{figure, svg};

/// What a host's kernel holds beside what the file says, to colour a picture by.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The host's name in the file.
    pub host: String,
    /// What applying the file would change there.
    pub changes: Vec<(Key, Action)>,
    /// How many connections its destinations have.
    pub traffic: Traffic,
}

/// A topology, ready to be drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// The topology's name.
    pub topology: String,
    /// How much it is: `2 directors, 4 real servers, 1 VIP, 2 services`.
    pub about: String,
    /// What hangs together, each apart from the others.
    pub clusters: Vec<Cluster>,
    /// Whose kernels were looked at; empty: none, and nothing has a mark or connections.
    pub seen: Vec<String>,
}

/// Directors, VIPs, services and servers that hang together. Places in the lists are what edges name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Those who carry the services.
    pub directors: Vec<Machine>,
    /// How the directors tell each other of connections: `sync id 1: lb1 to lb2`.
    pub syncs: Vec<String>,
    /// Virtual addresses.
    pub vips: Vec<Vip>,
    /// Services.
    pub services: Vec<Service>,
    /// Servers of one pool in one subnet.
    pub groups: Vec<Group>,
    /// From a VIP to a service.
    pub taken: Vec<(usize, usize)>,
    /// From a service to its servers.
    pub forwarded: Vec<Forwarded>,
    /// What the kernels have and the file does not: `- server tcp 10.0.0.100:443 10.0.0.14:443 on lb1`.
    pub leaving: Vec<String>,
}

/// A host that carries services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its name in the file.
    pub name: String,
    /// `eth0 10.0.0.2/24`
    pub addresses: Vec<String>,
    /// What would change of it beside VIPs, services and servers.
    pub mark: Option<Action>,
}

/// A virtual address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vip {
    /// Its name in the file.
    pub name: String,
    /// All of its addresses.
    pub addresses: Vec<String>,
    /// `on lb1`, where not every director of the cluster has it.
    pub holder: Option<String>,
    /// What would change.
    pub mark: Option<Action>,
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its name in the file.
    pub name: String,
    /// `tcp 443`, `tcp 443 to 8443`, `mark 7`
    pub listens: Vec<String>,
    /// `nat`, `dr`, `tun gue port 6080`
    pub method: String,
    /// `wlc`, `mh, port, fallback`, `wlc, persistent 30m`
    pub scheduler: String,
    /// The kernel's services: `tcp 10.0.0.100:443`.
    pub keys: Vec<String>,
    /// What would change.
    pub mark: Option<Action>,
}

/// Servers of one pool, or of one service, in one subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// `pool web`, `servers of shop`, `in no service`
    pub title: String,
    /// The subnets that all of them are in: `10.0.0.0/24`; empty: in none of the file.
    pub subnets: Vec<String>,
    /// The method of these servers, where it is not that of their services.
    pub method: Option<String>,
    /// In the order of the file.
    pub servers: Vec<Server>,
}

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// What the file calls it.
    pub name: String,
    /// Its addresses, with its port where it has one of its own.
    pub addresses: Vec<String>,
    /// 0: no new connections.
    pub weight: u32,
    /// Established connections and all others together, where a kernel was looked at.
    pub connections: Option<u64>,
    /// What would change.
    pub mark: Option<Action>,
}

/// A service's packets on their way to servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// In [`Cluster::services`].
    pub service: usize,
    /// In [`Cluster::groups`].
    pub group: usize,
    /// The method.
    pub method: Method,
}

/// The three methods, apart from how tunnels wrap packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Answers come back through the director.
    Nat,
    /// Answers go straight to clients.
    Dr,
    /// Answers go straight to clients.
    Tun,
}

impl Method {
    /// The word of the language.
    pub fn word(self) -> &'static str {
        match self {
            Method::Nat => "nat",
            Method::Dr => "dr",
            Method::Tun => "tun",
        }
    }

    /// Whether answers go straight to clients.
    pub fn is_direct(self) -> bool {
        self != Method::Nat
    }
}

impl Cluster {
    /// The methods by which packets are forwarded here.
    fn methods(&self) -> BTreeSet<Method> {
        self.forwarded.iter().map(|edge| edge.method).collect()
    }

    /// The VIPs that clients ask, by their places.
    fn asked(&self) -> BTreeSet<usize> {
        self.taken.iter().map(|(vip, _)| *vip).collect()
    }

    /// Where the answers of groups go: straight to clients, or to the service that they came by.
    fn answers(&self) -> BTreeSet<(usize, Option<usize>)> {
        self.forwarded.iter().map(|edge| (edge.group, (!edge.method.is_direct()).then_some(edge.service))).collect()
    }
}

/// A name with the sign of what becomes of it.
fn signed(name: &str, mark: Option<Action>) -> String {
    mark.map_or_else(|| name.to_owned(), |mark| format!("{} {name}", sign(mark)))
}

impl Machine {
    /// All that is said of it, its name first.
    fn lines(&self) -> Vec<String> {
        [signed(&self.name, self.mark)].into_iter().chain(self.addresses.iter().cloned()).collect()
    }
}

impl Vip {
    /// All that is said of it, its name first.
    fn lines(&self) -> Vec<String> {
        [signed(&self.name, self.mark)].into_iter().chain(self.addresses.iter().chain(&self.holder).cloned()).collect()
    }
}

impl Service {
    /// `dr · wlc`
    fn how(&self) -> String {
        format!("{} · {}", self.method, self.scheduler)
    }

    /// All that is said of it, its name first and how it works last.
    fn lines(&self) -> Vec<String> {
        [signed(&self.name, self.mark)].into_iter().chain(self.listens.iter().cloned()).chain([self.how()]).collect()
    }
}

impl Picture {
    /// Whether any server's connections are known.
    pub fn has_connections(&self) -> bool {
        let groups = self.clusters.iter().flat_map(|cluster| &cluster.groups);
        groups.flat_map(|group| &group.servers).any(|server| server.connections.is_some())
    }
}

impl Group {
    /// All that is said of its servers, a line for each that is drawn.
    fn lines(&self) -> Vec<String> {
        let line = |shown: Shown<'_>| {
            let mut words = vec![signed(&shown.name(), shown.mark()), shown.address(), format!("weight {}", shown.weight())];
            words.extend(shown.connections().map(|count| format!("{count} connections")));
            words.retain(|word| !word.is_empty());
            words.join(" ")
        };
        let by = self.method.iter().map(|method| format!("by {method}"));
        self.shown().into_iter().map(line).chain(by).collect()
    }

    /// `pool web · 10.0.0.0/24`
    pub fn heading(&self) -> String {
        let mut parts = vec![self.title.clone()];
        parts.extend(self.subnets.iter().cloned());
        parts.join(" · ")
    }

    /// What becomes of any of its servers, at the worst.
    fn mark(&self) -> Option<Action> {
        self.servers.iter().filter_map(|server| server.mark).max()
    }

    /// The servers as they are drawn: alike neighbours as one where there are very many.
    pub fn shown(&self) -> Vec<Shown<'_>> {
        let fold = self.servers.len() > MANY;
        let alike = |one: &Server, other: &Server| fold && one.weight == other.weight && one.mark == other.mark;
        self.servers.chunk_by(alike).map(|servers| Shown { servers }).collect()
    }
}

/// More servers than these are drawn as runs of alike ones.
const MANY: usize = 60;

/// Servers that are drawn as one thing; mostly one.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'g> {
    /// At least one; all of one weight and mark.
    pub servers: &'g [Server],
}

impl Shown<'_> {
    /// `web1`, `web1 to web200`
    pub fn name(&self) -> String {
        match self.servers {
            [first, .., last] => format!("{} to {}", first.name, last.name),
            servers => servers.iter().map(|server| server.name.clone()).collect(),
        }
    }

    /// `10.0.0.11`; of many `200 servers`
    pub fn address(&self) -> String {
        match self.servers {
            // What is drawn in a name's place already need not be said twice.
            [server] => server.addresses.first().filter(|address| **address != server.name).cloned().unwrap_or_default(),
            servers => format!("{} servers", servers.len()),
        }
    }

    /// Of each of them.
    pub fn weight(&self) -> u32 {
        self.servers.first().map_or(0, |server| server.weight)
    }

    /// Of each of them.
    pub fn mark(&self) -> Option<Action> {
        self.servers.first().and_then(|server| server.mark)
    }

    /// Of all of them together.
    pub fn connections(&self) -> Option<u64> {
        self.servers.iter().map(|server| server.connections).sum()
    }
}

/// The colours of what becomes of things, where a picture's drawer has no other: those of the light SVG.
fn colour(mark: Action) -> &'static str {
    match mark {
        Action::Add => "#116b3a",
        Action::Change => "#8a5a00",
        Action::Replace | Action::Restore => "#7a2ea0",
        Action::Delete => "#b3261e",
    }
}

/// What stands before something that changes.
fn sign(mark: Action) -> &'static str {
    match mark {
        Action::Add => "+",
        Action::Change => "~",
        Action::Replace | Action::Restore => "±",
        Action::Delete => "-",
    }
}
