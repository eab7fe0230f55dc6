//! From the tree to the topology: the top level, and the names that lead from one thing to another.
//!
//! Decoding never fails early. What is wrong is said at its token and left out or left at its default; what is right is
//! there. A topology that comes with an error is for finding more errors, never for compiling.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::block::{self, Block, Context, OVERLAYS};
use super::fault::{Fault, Spelling};
use super::kinds::ROOT;
use super::range::NameRange;
use super::shape::{Form, Target};
use super::{Host, Ownership, Policy, Role, Server, Topology, cluster, expectation, host, server, service, tuning, vip};
use crate::source::problem::nearest;
use crate::source::{At, FileId, Label, Node, Origin, Problem, Removed, Span, Tree};

/// The most hosts, addresses and servers of a topology. They are counted before a range is expanded.
const MOST: u64 = 1_000_000;

/// Reads a tree. `None` where it is empty or asks for too much; otherwise a topology, as far as it was understood.
///
/// The tree goes node by node: it is several times the size of what is made of it.
pub fn decode(tree: Tree) -> (Option<Topology>, Vec<Problem>) {
    let mut cx = Context { removed: tree.removed, ..Context::default() };
    let begin = Span { file: FileId(0), start: 0, end: 0 };
    if tree.nodes.is_empty() {
        cx.report(&Fault::NoTopology, begin);
        return (None, cx.problems);
    }
    let mut topology = empty();
    let mut names = Names::default();
    let mut once: HashMap<&'static str, Span> = HashMap::new();
    let mut count = 0u64;
    let mut in_root = None;
    for node in tree.nodes {
        if node.span.file == FileId(0) {
            in_root.get_or_insert(node.span);
        }
        cx.spelling = if node.form.is_toml() { Spelling::Toml } else { Spelling::Kdl };
        if &*node.key == "include" {
            continue; // followed already, when the files were read
        }
        if OVERLAYS.contains(&&*node.key) {
            cx.report(&Fault::Overlay { word: node.key.clone() }, node.span);
            continue;
        }
        let Some(child) = ROOT.child(&node.key) else {
            block::unknown(&mut cx, &ROOT, &node);
            continue;
        };
        let kind = child.kind;
        if kind.word == "topology" && node.span.file != FileId(0) && !node.span.file.is_use() {
            cx.report(&Fault::TopologyOutsideRoot, node.span);
            continue;
        }
        if matches!(kind.form, Form::Once | Form::Main { .. }) {
            if let Some(first) = once.get(kind.word) {
                cx.report(&Fault::Twice { what: kind.word.into(), first: *first }, node.span);
                continue;
            }
            once.insert(kind.word, node.span);
        }
        let said = cx.problems.len();
        let blocks = block::read(&mut cx, kind, &node);
        cx.is_sound = cx.problems.len() == said;
        for block in blocks {
            count = count.saturating_add(block.count());
            if count > MOST {
                cx.report(&Fault::TooMany { most: MOST }, block.span);
                return (None, cx.problems);
            }
            place(&mut cx, &mut topology, &mut names, &block);
        }
    }
    if !once.contains_key("topology") {
        cx.report(&Fault::NoTopology, in_root.unwrap_or(begin));
        let taken = cx.removed.iter().find(|removed| &*removed.path == "topology").map(Removed::label);
        cx.problems.last_mut().into_iter().for_each(|problem| problem.labels.extend(taken.clone()));
    }
    let removed = std::mem::take(&mut cx.removed);
    link(&mut cx, &mut topology, &names, &removed);
    topology.removed = removed;
    (Some(topology), cx.problems)
}

/// What is wrong with each block of a file by itself, whatever other files say: for what works on single files.
pub fn misshapen(nodes: &[Node]) -> Vec<Problem> {
    // What is missing may be a default, or in the file that an overlay is laid over.
    let has = |words: &[&str]| nodes.iter().any(|node| words.contains(&&*node.key));
    let is_overlay = has(&OVERLAYS) && !has(&["topology"]);
    let mut cx = Context { is_part: true, is_overlay, ..Context::default() };
    for node in nodes.iter().filter(|node| !matches!(&*node.key, "include" | "remove")) {
        cx.spelling = if node.form.is_toml() { Spelling::Toml } else { Spelling::Kdl };
        match ROOT.child(&node.key) {
            Some(child) => drop(block::read(&mut cx, child.kind, node)),
            None => drop(block::unknown(&mut cx, &ROOT, node)),
        }
    }
    // A variable's value may be of any type: which one it is, a file alone does not say.
    cx.problems.retain(|problem| problem.code != "reserved-text");
    cx.problems
}

fn empty() -> Topology {
    Topology {
        name: At::default(String::new()),
        was: None,
        hosts: BTreeMap::new(),
        vips: BTreeMap::new(),
        pools: BTreeMap::new(),
        services: BTreeMap::new(),
        timeouts: None,
        syncs: Vec::new(),
        tuning_director: Vec::new(),
        tuning_real_server: Vec::new(),
        ownership: At::default(Ownership::Declared),
        policy: Policy::default(),
        lints: Vec::new(),
        expectations: Vec::new(),
        removed: Vec::new(),
    }
}

/// Every name that the files give, also of things that could not be understood: a mistake in a VIP does not make each
/// `listen` that names it another one.
#[derive(Default)]
struct Names {
    hosts: BTreeMap<String, (Role, Span)>,
    hostnames: HashMap<String, Span>,
    others: BTreeMap<(&'static str, String), Span>,
}

impl Names {
    /// Notes a name; says so where somebody else has it.
    fn claim(&mut self, cx: &mut Context, block: &Block) -> bool {
        let Some(label) = block.label() else { return false };
        let word = block.kind.word;
        if let Some(first) = self.others.get(&(word, label.value.clone())) {
            cx.report(&Fault::Twice { what: format!("{word} {}", label.value).into(), first: *first }, block.span);
            return false;
        }
        self.others.insert((word, label.value), block.span);
        true
    }

    fn of(&self, word: &'static str) -> impl Iterator<Item = &str> {
        self.others.keys().filter(move |(kind, _)| *kind == word).map(|(_, name)| name.as_str())
    }

    fn has(&self, target: Target, name: &str) -> bool {
        match target {
            Target::Director => matches!(self.hosts.get(name), Some((Role::Director, _))),
            Target::RealServer => matches!(self.hosts.get(name), Some((Role::RealServer, _))),
            Target::Host => self.hosts.contains_key(name),
            Target::Vip | Target::Pool | Target::Service => self.others.contains_key(&(target.word(), name.to_owned())),
            Target::Tunnel => true, // looked up in its host
        }
    }

    /// The nearest known name, and all of them where they are few.
    fn nearest(&self, target: Target, name: &str, budget: &mut usize) -> (Option<String>, Vec<String>) {
        let role = |wanted| move |(name, (role, _)): (&'_ String, &'_ (Role, Span))| (*role == wanted).then(|| name.clone());
        let known: Vec<String> = match target {
            Target::Director => self.hosts.iter().filter_map(role(Role::Director)).collect(),
            Target::RealServer => self.hosts.iter().filter_map(role(Role::RealServer)).collect(),
            Target::Host | Target::Tunnel => self.hosts.keys().cloned().collect(),
            Target::Vip | Target::Pool | Target::Service => self.of(target.word()).map(str::to_owned).collect(),
        };
        let Some(left) = budget.checked_sub(known.len()) else { return (None, Vec::new()) };
        *budget = left;
        let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        (near, if known.len() <= FEW { known } else { Vec::new() })
    }
}

fn place(cx: &mut Context, topology: &mut Topology, names: &mut Names, block: &Block) {
    match block.kind.word {
        "topology" => {
            if let Some(name) = block.label() {
                topology.name = name;
            }
            topology.was = block.names("was").map(|At { value, origin }| At { value: value.at(0), origin });
        }
        "director" => add_hosts(cx, topology, names, block, Role::Director),
        "real-server" => add_hosts(cx, topology, names, block, Role::RealServer),
        "vip" => {
            let vip = vip::vip(block);
            if let (true, Some(vip)) = (names.claim(cx, block), vip) {
                topology.vips.insert(vip.name.value.clone(), vip);
            }
        }
        "pool" => {
            let pool = server::pool(cx, block);
            if let (true, Some(pool)) = (names.claim(cx, block), pool) {
                topology.pools.insert(pool.name.value.clone(), pool);
            }
        }
        "service" => {
            let service = service::service(cx, block);
            if let (true, Some(service)) = (names.claim(cx, block), service) {
                topology.services.insert(service.name.value.clone(), service);
            }
        }
        "timeouts" => topology.timeouts = Some(cluster::timeouts(block)),
        "sync" => topology.syncs.extend(cluster::sync(block)),
        "tuning" => {
            let sysctls = tuning::sysctls(cx, block);
            let Some(role) = block.main_word() else { return };
            let word = ("tuning", role.value.to_owned());
            if let Some(first) = names.others.get(&word) {
                cx.report(&Fault::Twice { what: format!("tuning {}", role.value).into(), first: *first }, block.span);
                return;
            }
            names.others.insert(word, block.span);
            if role.value == "director" {
                topology.tuning_director = sysctls;
            } else {
                topology.tuning_real_server = sysctls;
            }
        }
        "lint" => {
            let lint = cluster::lint(cx, block);
            let Some(name) = block.main_word() else { return };
            if let Some(first) = names.others.insert(("lint", name.value.to_owned()), block.span) {
                cx.report(&Fault::Twice { what: format!("lint {}", name.value).into(), first }, block.span);
            } else {
                topology.lints.extend(lint);
            }
        }
        "expect" if names.claim(cx, block) => topology.expectations.extend(expectation::expectation(cx, block)),
        "ownership" => topology.ownership = cluster::ownership(block),
        "policy" => topology.policy = cluster::policy(block),
        _ => {}
    }
}

fn add_hosts(cx: &mut Context, topology: &mut Topology, names: &mut Names, block: &Block, role: Role) {
    // A range that meets another one meets it many times; once is enough.
    let (mut name_twice, mut hostname_twice) = (false, false);
    for host in host::hosts(cx, block, role) {
        if let Some((_, first)) = names.hosts.get(&host.name.value) {
            if !name_twice {
                cx.report(&Fault::HostTwice { name: host.name.value.clone(), first: *first }, block.span);
            }
            name_twice = true;
            continue;
        }
        let at = host.hostname.origin.span().unwrap_or(block.span);
        if let Some(first) = names.hostnames.insert(host.hostname.value.clone(), at) {
            if !hostname_twice {
                cx.report(&Fault::HostnameTwice { hostname: host.hostname.value.clone(), first }, at);
            }
            hostname_twice = true;
        }
        names.hosts.insert(host.name.value.clone(), (role, block.span));
        topology.hosts.insert(host.name.value.clone(), host);
    }
}

/// So many known names are compared at most: with more that lead nowhere, the nearest of each helps nobody.
const COMPARED: usize = 50_000;

/// So many names are listed where none is near.
const FEW: usize = 8;

/// Looks up every name, and finds the host of each server.
fn link(cx: &mut Context, topology: &mut Topology, names: &Names, removed: &[Removed]) {
    let mut budget = COMPARED;
    let mut near = |target: Target, name: &str| names.nearest(target, name, &mut budget);
    for (target, name, span) in std::mem::take(&mut cx.references) {
        if !names.has(target, &name) {
            let gone = taken_away(removed, target, &name);
            let elsewhere = [Target::Director, Target::RealServer, Target::Vip, Target::Pool, Target::Service]
                .into_iter()
                .find(|other| *other != target && names.has(*other, &name));
            let fault = if let Some(is) = elsewhere {
                Fault::NamesAnother { target, is, name }
            } else {
                let (nearest, known) = near(target, &name);
                Fault::Unresolved { target, nearest, known, name }
            };
            cx.report(&fault, span);
            cx.problems.last_mut().into_iter().for_each(|problem| problem.labels.extend(gone.clone()));
        }
    }
    let owners = owners(cx, &topology.hosts);
    let hosts = &topology.hosts;
    let pools = topology.pools.values_mut().flat_map(|pool| &mut pool.servers);
    let own = topology.services.values_mut().flat_map(|service| &mut service.servers);
    let mut last_unknown = None;
    for server in pools.chain(own) {
        let span = server.label.origin.span();
        match find_host(server, hosts, &owners) {
            Ok(Some(host)) => server.host = Some(host),
            Ok(None) => {}
            // One range, one mistake.
            Err(_) if span.is_some() && last_unknown == span => {}
            Err(Lost { name, origin, address }) => {
                last_unknown = span;
                let Some(at) = origin.span() else { continue };
                let gone = taken_away(removed, Target::Host, &name);
                let fault = match address {
                    Some(address) => Fault::NotItsAddress { host: name, address },
                    None => Fault::UnknownServer { nearest: near(Target::Host, &name).0, name },
                };
                cx.report(&fault, at);
                cx.problems.last_mut().into_iter().for_each(|problem| problem.labels.extend(gone.clone()));
            }
        }
    }
}

/// Where an overlay says that what is named is there no more.
fn taken_away(removed: &[Removed], target: Target, name: &str) -> Option<Label> {
    let words: &[&str] = match target {
        Target::Director => &["director"],
        Target::RealServer => &["real-server"],
        Target::Host => &["director", "real-server"],
        _ => &[target.word()],
    };
    let of = NameRange::parse(name).unwrap_or_else(|_| NameRange::one(name));
    let is = |path: &str| {
        let (word, gone) = path.split_once('.').unwrap_or_default();
        words.contains(&word) && NameRange::parse(gone).is_ok_and(|gone| gone.meets(&of))
    };
    removed.iter().find(|removed| is(&removed.path)).map(Removed::label)
}

/// A server that is no host, or an address that is not its host's.
struct Lost {
    name: String,
    origin: Origin,
    address: Option<IpAddr>,
}

fn find_host(
    server: &Server,
    hosts: &BTreeMap<String, Host>,
    owners: &HashMap<IpAddr, &str>,
) -> Result<Option<At<String>>, Lost> {
    match (&server.host, &server.address) {
        (Some(At { value: name, origin }), address) => {
            let Some(host) = hosts.get(name) else { return Err(Lost { name: name.clone(), origin: *origin, address: None }) };
            match address {
                Some(At { value: address, origin }) if has_addresses(host) && !has_address(host, *address) => {
                    Err(Lost { name: name.clone(), origin: *origin, address: Some(*address) })
                }
                _ => Ok(server.host.clone()),
            }
        }
        (None, Some(At { value: address, origin })) => {
            Ok(owners.get(address).map(|owner| At { value: (*owner).to_owned(), origin: *origin }))
        }
        (None, None) if hosts.contains_key(&server.label.value) => Ok(Some(server.label.clone())),
        (None, None) => Err(Lost { name: server.label.value.clone(), origin: server.label.origin, address: None }),
    }
}

fn has_addresses(host: &Host) -> bool {
    host.interfaces.values().any(|interface| !interface.addresses.is_empty())
}

fn has_address(host: &Host, address: IpAddr) -> bool {
    let interfaces = host.interfaces.values().flat_map(|interface| &interface.addresses);
    let tunnels = host.tunnels.iter().flat_map(|tunnel| &tunnel.addresses);
    interfaces.chain(tunnels).any(|known| known.value.addr() == address)
}

/// Which host has an address. Two hosts with one address are a mistake; loopback and link-local addresses are everybody's.
fn owners<'t>(cx: &mut Context, hosts: &'t BTreeMap<String, Host>) -> HashMap<IpAddr, &'t str> {
    let mut owners: HashMap<IpAddr, (&str, Option<Span>)> = HashMap::new();
    for (name, host) in hosts {
        for known in host.interfaces.values().flat_map(|interface| &interface.addresses) {
            let address = known.value.addr();
            let everybodys = address.is_loopback()
                || match address {
                    IpAddr::V4(address) => address.is_link_local(),
                    IpAddr::V6(address) => address.is_unicast_link_local(),
                };
            if everybodys {
                continue;
            }
            let span = known.origin.span();
            if let (Some((other, Some(first))), Some(span)) = (owners.insert(address, (name, span)), span) {
                let fault = Fault::AddressOfTwoHosts { address, one: other.to_owned(), two: name.clone(), first };
                cx.report(&fault, span);
            }
        }
    }
    owners.into_iter().map(|(address, (name, _))| (address, name)).collect()
}
