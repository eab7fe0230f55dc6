//! What must stay true of a topology, whatever a pull request changes: `expect` blocks, judged.
//!
//! Pure: a captured state that a block names is read by whoever calls. A failing expectation is a problem with three places: what
//! is expected, what is there, and the block.

use std::collections::{BTreeMap, BTreeSet};

use glob::Pattern;
use ipnet::IpNet;

use crate::compile::{Carried, Compiled, carried, carries, compile, listen_vips, servers};
use crate::plan::clients::{Seat, Table, compare};
use crate::plan::{Aim, Impact, Owned, Plan, Planned, Target};
use crate::source::{At, Problem, Sources, Span};
use crate::state::{Action, DestinationId, Family, Key, Observed, Resource, ServiceKey, State};
use crate::topology::range::NameRange;
use crate::topology::{
    Called, Expectation, Forward, Host, Listen, OfServices, Ownership, Reached, Role, Server, Service, Topology,
};

/// One expectation, and why it does not hold.
#[derive(Debug)]
pub struct Judged<'t> {
    /// The block.
    pub expectation: &'t Expectation,
    /// Empty: it holds.
    pub problems: Vec<Problem>,
    /// Whether a captured state was left out.
    pub skipped: bool,
}

/// Reads a captured state by its path, as the file says it, and the place that says it.
pub type Captured<'c> = &'c dyn Fn(&At<String>) -> Result<Seen, String>;

/// Judges every expectation of a topology. Without `captured` what needs a captured state is left out.
pub fn judge<'t>(topology: &'t Topology, captured: Option<Captured<'_>>) -> Vec<Judged<'t>> {
    topology.expectations.iter().map(|expectation| one(topology, expectation, captured)).collect()
}

/// The problems of all of them, as `check` says them.
pub fn problems(topology: &Topology, sources: &Sources) -> Vec<Problem> {
    let mut problems: Vec<Problem> = judge(topology, None).into_iter().flat_map(|judged| judged.problems).collect();
    sources.settle(&mut problems);
    problems
}

/// A sentence about what does not hold, at the place that says what should.
fn fails(expectation: &Expectation, at: Option<Span>, message: String) -> Problem {
    let problem = Problem::error("expectation", message);
    let name = expectation.name.origin.span();
    let problem = at.or(name).into_iter().fold(problem, |problem, span| problem.at(span, "expected here"));
    name.filter(|name| at.is_some_and(|at| at != *name))
        .into_iter()
        .fold(problem, |problem, span| problem.at(span, "expected by this"))
}

/// With the place of what broke it.
fn because(problem: Problem, span: Option<Span>, text: &str) -> Problem {
    span.into_iter().fold(problem, |problem, span| problem.at(span, text))
}

fn one<'t>(topology: &'t Topology, expectation: &'t Expectation, captured: Option<Captured<'_>>) -> Judged<'t> {
    let mut problems = Vec::new();
    let gone: BTreeSet<&str> = expectation.without.iter().map(|host| host.value.as_str()).collect();
    for host in expectation.without.iter().filter(|host| !topology.hosts.contains_key(&host.value)) {
        let near = crate::source::problem::nearest(&host.value, topology.hosts.keys().map(String::as_str));
        let problem = fails(expectation, host.origin.span(), format!("there is no host `{}` to be without", host.value));
        let problem = taken_away(problem, topology, |path| {
            is_path(path, "director.", &host.value) || is_path(path, "real-server.", &host.value)
        });
        problems.push(match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        });
    }
    for of in &expectation.services {
        problems.extend(services(topology, expectation, of, &gone));
    }
    if let Some(most) = &expectation.moved_max {
        problems.extend(moved(topology, expectation, most, &gone));
    }
    for called in &expectation.names {
        problems.extend(names(topology, expectation, called));
    }
    for reached in &expectation.reached {
        problems.extend(reach(topology, expectation, reached, &gone));
    }
    let mut skipped = false;
    if let Some(live) = &expectation.live {
        match captured {
            Some(captured) => problems.extend(plan(topology, expectation, live, captured)),
            None => skipped = true,
        }
    }
    Judged { expectation, problems, skipped }
}

/// With the places where an overlay has taken away what `is_meant`.
fn taken_away(problem: Problem, topology: &Topology, is_meant: impl Fn(&str) -> bool) -> Problem {
    let places = topology.removed.iter().filter(|removed| is_meant(&removed.path)).map(|removed| removed.at);
    places.fold(problem, |problem, span| problem.at(span, "taken away here"))
}

/// Whether a path of an overlay's `remove` takes servers from a service: `pool.web.server.web3`, `service.shop.pool`.
fn takes_servers(path: &str, service: &Service) -> bool {
    let within = |path: &str, kind: &str, name: &str| {
        let rest = path.strip_prefix(kind).and_then(|path| path.strip_prefix('.'))?.strip_prefix(name)?.strip_prefix('.')?;
        Some(rest.starts_with("server.") || rest == "server" || rest == "pool" || rest.starts_with("pool."))
    };
    within(path, "service", &service.name.value)
        .or_else(|| service.pools.iter().find_map(|pool| within(path, "pool", &pool.value)))
        .unwrap_or_default()
}

fn is_quiesced<'t>(topology: &'t Topology, server: &Server) -> Option<&'t Host> {
    let host = server.host.as_ref().and_then(|host| topology.hosts.get(&host.value));
    host.filter(|host| host.quiesce.value)
}

fn is_gone(server: &Server, gone: &BTreeSet<&str>) -> bool {
    server.host.as_ref().is_some_and(|host| gone.contains(host.value.as_str()))
}

/// What takes a service's connections on one of its listens, for one VIP and family.
struct Taking<'t> {
    /// Where, in the kernel's words; empty where it is the same wherever the service listens.
    at: String,
    listen: Span,
    /// Who carried it; all of them are gone.
    lost: Option<&'t Host>,
    servers: Vec<(&'t Server, u32)>,
    family: Family,
}

impl Taking<'_> {
    fn weights(&self) -> u64 {
        self.servers.iter().map(|(_, weight)| u64::from(*weight)).sum()
    }

    /// The heaviest server and its share, in percent.
    fn heaviest(&self) -> Option<(&Server, f64)> {
        let (server, weight) = self.servers.iter().max_by_key(|(_, weight)| *weight)?;
        let all = self.servers.iter().map(|(_, weight)| f64::from(*weight)).sum::<f64>();
        Some((server, if all > 0.0 { 100.0 * f64::from(*weight) / all } else { 0.0 }))
    }
}

/// The servers that take connections, without the hosts that are gone: for each of the kernel's services, since no client of one
/// is served by another's servers.
fn taking<'t>(topology: &'t Topology, service: &'t Service, gone: &BTreeSet<&str>) -> Vec<Taking<'t>> {
    let of = |carried: &Carried<'t>| {
        let lost =
            carried.directors.first().copied().filter(|_| carried.directors.iter().all(|host| gone.contains(&*host.name.value)));
        let takes = |(server, weight): &&(&'t Server, u32)| *weight > 0 && lost.is_none() && !is_gone(server, gone);
        Taking {
            at: format!(" on {}", carried.key),
            listen: carried.listen.span,
            lost,
            servers: carried.servers.iter().filter(takes).copied().collect(),
            family: carried.key.family(),
        }
    };
    let mut all: Vec<Taking<'_>> = carried(topology, service).iter().map(of).collect();
    let count = |taking: &Taking<'_>| (taking.servers.len(), taking.weights());
    if all.windows(2).all(|two| matches!(two, [one, other] if count(one) == count(other))) {
        all.truncate(1);
        for taking in &mut all {
            taking.at.clear();
        }
    }
    all
}

fn without(gone: &BTreeSet<&str>) -> String {
    match gone.iter().copied().collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        [one] => format!(" without {one}"),
        [first, more @ ..] => format!(" without {first} and {} more", more.len()),
    }
}

/// `1 server`, `2 servers`
fn counted(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// A share with one decimal; with more where it would read as what is allowed.
fn percent(share: f64, most: u32) -> String {
    let text = format!("{share:.1}%");
    if text == format!("{most}.0%") { format!("{share:.4}%") } else { text }
}

/// With what keeps servers from counting: the first that does not take connections, and what an overlay has taken away; where all
/// of them count, the place where more would stand.
fn with_culprit(problem: Problem, topology: &Topology, service: &Service, taking: &Taking<'_>, gone: &BTreeSet<&str>) -> Problem {
    let (span, text) = culprit(topology, service, taking, gone);
    let problem = because(problem, span, &text);
    let problem = if taking.at.is_empty() { problem } else { problem.at(taking.listen, "on this listen") };
    taken_away(problem, topology, |path| takes_servers(path, service))
}

fn culprit(topology: &Topology, service: &Service, taking: &Taking<'_>, gone: &BTreeSet<&str>) -> (Option<Span>, String) {
    if let Some(host) = taking.lost {
        return (host.name.origin.span(), "this director is gone, and no other carries it".to_owned());
    }
    let takes = |server: &Server| taking.servers.iter().any(|(one, _)| std::ptr::eq(*one, server));
    let Some(server) = servers(topology, service).find(|server| !takes(server)) else {
        return match (service.pools.last().and_then(|pool| topology.pools.get(&pool.value)), service.servers.last()) {
            (_, Some(last)) => (last.label.origin.span(), "the last of its servers, and all of them count".to_owned()),
            (Some(pool), None) => (pool.name.origin.span(), "all of its servers count".to_owned()),
            (None, None) => (service.name.origin.span(), "it has no other servers".to_owned()),
        };
    };
    let label = server.label.origin.span();
    if is_gone(server, gone) {
        (label, "this server is gone".to_owned())
    } else if server.weight.value == 0 {
        (server.weight.origin.span().or(label), "this server takes no connections".to_owned())
    } else if let Some(host) = is_quiesced(topology, server) {
        (host.quiesce.origin.span().or(label), "this host takes no connections".to_owned())
    } else {
        (label, format!("this server has no {} address for it", taking.family))
    }
}

fn services(topology: &Topology, expectation: &Expectation, of: &OfServices, gone: &BTreeSet<&str>) -> Vec<Problem> {
    let pattern = match Pattern::new(&of.pattern.value) {
        Ok(pattern) => pattern,
        Err(error) => return vec![fails(expectation, of.pattern.origin.span(), format!("no pattern: {}", error.msg))],
    };
    let mut found: Vec<Problem> = Vec::new();
    let mut any = false;
    for service in topology.services.iter().filter(|(name, _)| pattern.matches(name)).map(|(_, service)| service) {
        any = true;
        found.extend(amounts(topology, expectation, of, service, gone));
        found.extend(settings(topology, expectation, of, service));
    }
    if !any {
        let near = crate::source::problem::nearest(&of.pattern.value, topology.services.keys().map(String::as_str));
        let problem = fails(expectation, of.pattern.origin.span(), format!("no service is called `{}`", of.pattern.value));
        let is_meant = |path: &str| path.strip_prefix("service.").is_some_and(|name| pattern.matches(name));
        let problem = taken_away(problem, topology, is_meant);
        found.push(match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        });
    }
    found
}

/// How many servers, and how much of them: of each of the kernel's services, the worst.
fn amounts<'t>(
    topology: &'t Topology,
    expectation: &Expectation,
    of: &OfServices,
    service: &'t Service,
    gone: &BTreeSet<&str>,
) -> Vec<Problem> {
    let mut found: Vec<Problem> = Vec::new();
    let name = &service.name.value;
    let all = taking(topology, service, gone);
    let without = without(gone);
    let number = |taking: &Taking<'_>| u32::try_from(taking.servers.len()).unwrap_or(u32::MAX);
    let few = all.iter().min_by_key(|taking| taking.servers.len());
    if let (Some(least), Some(taking)) = (&of.servers_min, few)
        && number(taking) < least.value
    {
        let count = counted(taking.servers.len(), "server");
        let message = format!("service {name} has {count}{}{without}, and at least {} are expected", taking.at, least.value);
        found.push(with_culprit(fails(expectation, least.origin.span(), message), topology, service, taking, gone));
    }
    let many = all.iter().max_by_key(|taking| taking.servers.len());
    if let (Some(most), Some(taking)) = (&of.servers_max, many)
        && number(taking) > most.value
    {
        let count = counted(taking.servers.len(), "server");
        let message = format!("service {name} has {count}{}{without}, and at most {} are expected", taking.at, most.value);
        let last = taking.servers.last().and_then(|(server, _)| server.label.origin.span());
        let problem = fails(expectation, most.origin.span(), message);
        found.push(because(problem, last.or(service.name.origin.span()), "the last of them"));
    }
    if let (Some(least), Some(taking)) = (&of.weight_min, all.iter().min_by_key(|taking| taking.weights()))
        && taking.weights() < u64::from(least.value)
    {
        let (weights, at) = (taking.weights(), &taking.at);
        let message = format!("the servers of {name} weigh {weights}{at}{without}, and at least {} are expected", least.value);
        found.push(with_culprit(fails(expectation, least.origin.span(), message), topology, service, taking, gone));
    }
    let shares = all.iter().filter_map(|taking| taking.heaviest().map(|(server, share)| (taking, server, share)));
    let heaviest = shares.max_by(|(.., one), (.., other)| one.total_cmp(other));
    if let (Some(most), Some((taking, server, share))) = (&of.share_max, heaviest)
        && share > f64::from(most.value)
    {
        let (label, share, at) = (&server.label.value, percent(share, most.value), &taking.at);
        let message = format!("{label} has {share} of {name}{at}{without}, and at most {}% are expected", most.value);
        let heavy = server.weight.origin.span().or(server.label.origin.span());
        let problem = because(fails(expectation, most.origin.span(), message), heavy, "this much");
        found.push(if at.is_empty() { problem } else { problem.at(taking.listen, "on this listen") });
    }
    found
}

/// What is said of a service and holds for all of it.
fn settings(topology: &Topology, expectation: &Expectation, of: &OfServices, service: &Service) -> Vec<Problem> {
    let mut found: Vec<Problem> = Vec::new();
    let name = &service.name.value;
    let mut say = |at: Option<Span>, message: String, there: Option<Span>, field: &str| {
        let problem = because(fails(expectation, at, message), there.or(service.name.origin.span()), "this one");
        found.push(taken_away(problem, topology, |path| path == format!("service.{name}.{field}")));
    };
    let word = format!("{:?}", service.forward.value).to_lowercase();
    let word = word.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_owned();
    if !of.methods.is_empty() && of.methods.iter().all(|method| method.value != word) {
        let expected: Vec<&str> = of.methods.iter().map(|method| method.value).collect();
        let message = format!("service {name} forwards by {word}, and {} is expected", expected.join(" or "));
        say(of.methods.first().and_then(|first| first.origin.span()), message, service.forward.origin.span(), "forward");
    }
    let scheduler = service.scheduler.name.value.as_str();
    if !of.schedulers.is_empty() && of.schedulers.iter().all(|one| one.value != scheduler) {
        let expected: Vec<&str> = of.schedulers.iter().map(|one| one.value).collect();
        let message = format!("service {name} schedules by {scheduler}, and {} is expected", expected.join(" or "));
        let there = service.scheduler.name.origin.span();
        say(of.schedulers.first().and_then(|first| first.origin.span()), message, there, "scheduler");
    }
    if let Some(least) = of.drain_min.as_ref().filter(|least| service.drain.value < least.value) {
        let message = format!(
            "service {name} lets its servers go within {}, and at least {} are expected",
            crate::state::duration(service.drain.value),
            crate::state::duration(least.value)
        );
        say(least.origin.span(), message, service.drain.origin.span(), "drain");
    }
    found
}

/// The topology without some hosts: they are gone from every list of servers. Directors are left out by whoever compiles.
fn smaller(topology: &Topology, gone: &BTreeSet<&str>) -> Topology {
    let mut smaller = topology.clone();
    smaller.pools.values_mut().for_each(|pool| pool.servers.retain(|server| !is_gone(server, gone)));
    smaller.services.values_mut().for_each(|service| service.servers.retain(|server| !is_gone(server, gone)));
    smaller
}

type Servers = Vec<(DestinationId, u32)>;

/// The servers of each of the kernel's services. Marks are every director's own, so the user's name belongs to the key.
fn servers_of(compiled: &Compiled) -> BTreeMap<(String, ServiceKey), Servers> {
    let name = |key: ServiceKey| compiled.names.get(&Key::Service(key)).map(|known| known.name.to_string());
    let mut found: BTreeMap<(String, ServiceKey), Servers> = BTreeMap::new();
    let mut last: Option<(ServiceKey, String)> = None;
    for (key, resource) in &compiled.state.objects {
        if let (Key::Destination(key), Resource::Destination(server)) = (key, resource) {
            let service = key.service;
            if last.as_ref().is_none_or(|(of, _)| *of != service) {
                last = Some((service, name(service).unwrap_or_else(|| service.to_string())));
            }
            let Some((_, name)) = &last else { continue };
            found.entry((name.clone(), service)).or_default().push((key.id(), server.weight.value()));
        }
    }
    found
}

/// How many percent of a service's clients go elsewhere: by its table where the scheduler has one, else those whose server is gone.
fn share_moved(state: &State, key: ServiceKey, before: &Servers, after: &Servers) -> f64 {
    if after.is_empty() {
        return if before.iter().any(|(_, weight)| *weight > 0) { 100.0 } else { 0.0 };
    }
    let table = |servers: &Servers| {
        let Some(Resource::Service(service)) = state.objects.get(&Key::Service(key)) else { return None };
        let seat = |(server, weight): &(DestinationId, u32)| Seat { server: *server, weight: *weight, last_weight: *weight };
        let family: Family = key.family();
        Table::new(service, family, servers.iter().rev().map(seat).collect())
    };
    if let (Some(before), Some(after)) = (table(before), table(after))
        && let Some(moves) = compare(&before, &after, key)
    {
        return moves.another.percent() + moves.refused.percent();
    }
    let weight = |servers: &Servers| servers.iter().map(|(_, weight)| f64::from(*weight)).sum::<f64>();
    let left: Servers = before.iter().filter(|(id, _)| after.iter().any(|(other, _)| other == id)).copied().collect();
    let all = weight(before);
    if all == 0.0 { 0.0 } else { 100.0 * (all - weight(&left)) / all }
}

/// Clients of a director that is gone are at another one that carries the same, with the same table; without one they are lost.
fn moved(topology: &Topology, expectation: &Expectation, most: &At<u32>, gone: &BTreeSet<&str>) -> Vec<Problem> {
    let after = smaller(topology, gone);
    let directors = || topology.hosts.values().filter(|host| host.role == Role::Director);
    let mut left: BTreeMap<(String, ServiceKey), Servers> = BTreeMap::new();
    for host in directors().filter(|host| !gone.contains(host.name.value.as_str())) {
        left.extend(servers_of(&compile(&after, host)));
    }
    let mut worst: BTreeMap<String, f64> = BTreeMap::new();
    for host in directors() {
        let compiled = compile(topology, host);
        for ((name, key), servers) in servers_of(&compiled) {
            let none = Servers::new();
            let share = share_moved(&compiled.state, key, &servers, left.get(&(name.clone(), key)).unwrap_or(&none));
            let known = worst.entry(name).or_default();
            *known = known.max(share);
        }
    }
    let too_many = worst.into_iter().filter(|(_, share)| *share > f64::from(most.value));
    too_many
        .map(|(name, share)| {
            let (share, without) = (percent(share, most.value), without(gone));
            let message =
                format!("{share} of the clients of {name} go elsewhere{without}, and at most {}% are expected", most.value);
            let problem = fails(expectation, most.origin.span(), message);
            let Some(service) = topology.services.get(&name) else { return problem };
            let all = taking(topology, service, gone);
            let lost = all.iter().find_map(|taking| taking.lost).map(|host| (host.name.origin.span(), "this director is gone"));
            let server = || servers(topology, service).find(|server| is_gone(server, gone));
            let (span, text) = lost
                .or_else(|| server().map(|server| (server.label.origin.span(), "this server is gone")))
                .unwrap_or((service.name.origin.span(), "this one"));
            because(problem, span, text)
        })
        .collect()
}

fn names(topology: &Topology, expectation: &Expectation, called: &Called) -> Vec<Problem> {
    let mut patterns = Vec::new();
    for pattern in &called.patterns {
        match Pattern::new(&pattern.value) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => return vec![fails(expectation, pattern.origin.span(), format!("no pattern: {}", error.msg))],
        }
    }
    let hosts = |role: Role| topology.hosts.values().filter(move |host| host.role == role).map(|host| &host.name).collect();
    let all: Vec<&At<String>> = match called.kind.value {
        "director" => hosts(Role::Director),
        "real-server" => hosts(Role::RealServer),
        "vip" => topology.vips.values().map(|vip| &vip.name).collect(),
        "pool" => topology.pools.values().map(|pool| &pool.name).collect(),
        _ => topology.services.values().map(|service| &service.name).collect(),
    };
    let expected: Vec<String> = called.patterns.iter().map(|pattern| format!("`{}`", pattern.value)).collect();
    let at = called.patterns.first().and_then(|first| first.origin.span());
    let other = all.into_iter().filter(|name| !patterns.iter().any(|pattern| pattern.matches(&name.value)));
    other
        .map(|name| {
            let message = format!("{} `{}` is not called {}", called.kind.value, name.value, expected.join(" or "));
            because(fails(expectation, at, message), name.origin.span(), "this name")
        })
        .collect()
}

/// Whether a host can send to a subnet: one of its own has all of it in it, a route of the file leads there, or it has a router.
fn sends_to(host: &Host, to: IpNet) -> bool {
    let family = Family::of(to.addr());
    let of_tunnels = host.tunnels.iter().flat_map(|tunnel| &tunnel.addresses);
    let mut own = host.interfaces.values().flat_map(|interface| &interface.addresses).chain(of_tunnels);
    let mut routers = host.interfaces.values().flat_map(|interface| &interface.gateways);
    own.any(|own| own.value.contains(&to))
        || host.routes.iter().any(|route| route.destination.value.contains(&to))
        || routers.any(|router| Family::of(router.value) == family)
}

fn reach(topology: &Topology, expectation: &Expectation, reached: &Reached, gone: &BTreeSet<&str>) -> Option<Problem> {
    let vip = topology.vips.get(&reached.vip.value)?;
    let from = reached.from.value;
    let family = Family::of(from.addr());
    let without = without(gone);
    let is_left = |host: &Host| !gone.contains(host.name.value.as_str());
    let this_vip =
        |message: String| because(fails(expectation, reached.from.origin.span(), message), vip.name.origin.span(), "this VIP");
    if !vip.addresses.iter().any(|address| Family::of(address.value) == family) {
        return Some(this_vip(format!("VIP {} has no {family} address, and clients in {from} are expected", vip.name.value)));
    }
    let mut directors = topology.hosts.values().filter(|host| carries(vip, host) && is_left(host));
    if !directors.any(|host| sends_to(host, from)) {
        let name = &vip.name.value;
        let problem = this_vip(format!(
            "no director that carries VIP {name}{without} is in {from} or has a router: clients there do not reach it"
        ));
        let carriers = || topology.hosts.values().filter(|host| carries(vip, host));
        let is_director = |path: &str| match path.strip_prefix("director.").map(|path| path.split_once(".interface.")) {
            Some(Some((name, _))) => carriers().any(|host| is_path(name, "", &host.name.value)),
            Some(None) => vip.directors.is_empty(),
            None => false,
        };
        return Some(taken_away(problem, topology, is_director));
    }
    // With dr and tun replies leave from the servers.
    for service in topology.services.values() {
        let takes_from = |listen: &Listen| {
            let is_of = listen.family.as_ref().is_none_or(|only| only.value == family);
            is_of && listen_vips(&listen.what).contains(&vip.name.value.as_str())
        };
        if !service.listens.iter().any(takes_from) {
            continue;
        }
        for server in servers(topology, service) {
            let forward = server.forward.as_ref().unwrap_or(&service.forward);
            let host = server.host.as_ref().and_then(|host| topology.hosts.get(&host.value));
            let Some(host) = host.filter(|host| is_left(host) && forward.value != Forward::Nat) else { continue };
            // Of a host without any address of the family the file says nothing.
            let mut known = host.interfaces.values().flat_map(|interface| &interface.addresses);
            if known.any(|own| Family::of(own.value.addr()) == family) && !sends_to(host, from) {
                let (service, server) = (&service.name.value, &host.name.value);
                let message = format!(
                    "{server} answers clients of {service} itself and is not in {from} and has no router: its replies do not get there"
                );
                let problem = fails(expectation, reached.from.origin.span(), message);
                let problem = because(problem, host.name.origin.span(), "this server");
                return Some(because(problem, forward.origin.span(), "replies do not go by the director"));
            }
        }
    }
    None
}

/// What a plan from a captured state looks at.
#[derive(Debug)]
pub struct Seen {
    /// What was there.
    pub observed: Observed,
    /// What the topology owned there; `None`: the state does not say it.
    pub owned: Option<Owned>,
    /// Servers that were being let go.
    pub let_go: BTreeSet<Key>,
}

fn plan(topology: &Topology, expectation: &Expectation, live: &At<String>, captured: Captured<'_>) -> Vec<Problem> {
    let at = live.origin.span();
    // Somebody has said that there is no such host, or that none is named.
    let Some(host) = expectation.host.as_ref().and_then(|name| topology.hosts.get(&name.value)) else { return Vec::new() };
    let Seen { observed, owned, let_go } = match captured(live) {
        Ok(seen) => seen,
        Err(error) => return vec![fails(expectation, at, error)],
    };
    let exclusive = topology.ownership.value == Ownership::Exclusive;
    let compiled = compile(topology, host);
    let mut aim = Aim::new(&compiled.state, owned.as_ref().unwrap_or(&Owned::new()));
    aim.drain(&compiled.drains, &let_go.iter().collect(), &observed);
    let target =
        Target { topology: topology.name.value.clone(), file: String::new(), host: host.name.value.clone(), role: String::new() };
    let plan = Plan::make(target, &aim, &compiled.names, &observed, exclusive, Vec::new(), &compiled.elsewhere);
    let mut problems = Vec::new();
    // What is wrong with the first of `those`: where it comes from, or where it was taken away.
    let mut say = |most: &At<u32>, message: String, first: Option<&Planned>| {
        let problem = because(fails(expectation, most.origin.span(), message), at, "from this state");
        problems.push(first.into_iter().fold(problem, |problem, planned| with_place(problem, topology, planned)));
    };
    let shown = || plan.changes.iter().filter(|planned| !planned.incidental);
    let called = |planned: Option<&Planned>| planned.map(|planned| planned.change.key.to_string()).unwrap_or_default();
    let (count, first) = (shown().count(), shown().next());
    if let Some(most) = expectation.changes.as_ref().filter(|most| count as u64 > u64::from(most.value)) {
        let (live, changes) = (&live.value, counted(count, "change"));
        let message =
            format!("the plan from {live} has {changes}, {} first, and at most {} are expected", called(first), most.value);
        say(most, message, first);
    }
    // Without a ledger nothing is known to be ours, and nothing is deleted: that would hold whatever the file says.
    if owned.is_none() && !exclusive {
        for most in [&expectation.deletes, &expectation.connections_cut].into_iter().flatten() {
            let message = format!(
                "{} does not say what topology {} owns on {}, so no delete is seen",
                live.value, topology.name.value, host.name.value
            );
            let problem = because(fails(expectation, most.origin.span(), message), at, "this state");
            let help =
                format!("capture it with the topology, on {}, as root: lvsform snapshot FILE > {}", host.name.value, live.value);
            problems.push(problem.help(help));
        }
        return problems;
    }
    let deletes = || shown().filter(|planned| planned.action == Action::Delete);
    let (count, first) = (deletes().count(), deletes().next());
    if let Some(most) = expectation.deletes.as_ref().filter(|most| count as u64 > u64::from(most.value)) {
        let (live, objects) = (&live.value, counted(count, "object"));
        let message =
            format!("the plan from {live} deletes {objects}, {} first, and at most {} are expected", called(first), most.value);
        say(most, message, first);
    }
    let cut = plan.summary.connections_cut;
    if let Some(most) = expectation.connections_cut.as_ref().filter(|most| cut > u64::from(most.value)) {
        let first = shown().find(|planned| planned.impacts.iter().map(Impact::cut).sum::<u64>() > 0);
        let (live, connections) = (&live.value, counted(usize::try_from(cut).unwrap_or(usize::MAX), "connection"));
        let message =
            format!("the plan from {live} ends {connections}, {} first, and at most {} are expected", called(first), most.value);
        say(most, message, first);
    }
    problems
}

/// With the place of a change: where its object comes from, or where an overlay has taken it away.
fn with_place(problem: Problem, topology: &Topology, planned: &Planned) -> Problem {
    let provenance = planned.provenance.as_ref();
    let problem = because(problem, provenance.and_then(|known| known.origin.span()), "the first comes from here");
    let Some(name) = provenance.map(|known| &*known.name).filter(|_| planned.action == Action::Delete) else { return problem };
    let (service, server) = name.split_once(' ').unwrap_or((name, ""));
    taken_away(problem, topology, |path| match &planned.change.key {
        Key::Service(_) => is_path(path, "service.", name),
        Key::Destination(_) => {
            let of_pool = |path: &str| {
                path.starts_with("pool.")
                    .then(|| path.split_once(".server."))
                    .flatten()
                    .is_some_and(|(_, label)| is_path(label, "", server))
            };
            is_path(path, "service.", service) || is_path(path, &format!("service.{service}.server."), server) || of_pool(path)
        }
        Key::Address(_) => is_path(path, "vip.", name),
        _ => false,
    })
}

/// Whether a path of an overlay's `remove` is of this name; a range in it stands for several.
fn is_path(path: &str, before: &str, name: &str) -> bool {
    let range = |text: &str| NameRange::parse(text).unwrap_or_else(|_| NameRange::one(text));
    path.strip_prefix(before).is_some_and(|rest| range(rest).meets(&NameRange::one(name)))
}
