//! What must stay true of a topology, whatever a pull request changes: `expect` blocks, judged.
//!
//! Pure: a captured state that a block names is read by whoever calls. A failing expectation is a problem with three places: what
//! is expected, what is there, and the block.

use std::collections::{BTreeMap, BTreeSet};

use glob::Pattern;

use crate::compile::compile;
use crate::plan::clients::{Seat, Table, compare};
use crate::plan::{Aim, Impact, Plan, Target};
use crate::source::{At, Problem, Sources, Span};
use crate::state::{Action, DestinationId, Family, Key, Observed, Resource, ServiceKey, State};
use crate::topology::{Called, Expectation, Host, OfServices, Ownership, Reached, Role, Server, Service, Topology};

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
pub type Captured<'c> = &'c dyn Fn(&At<String>) -> Result<Observed, String>;

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
    name.filter(|name| at.is_some_and(|at| at != *name)).into_iter().fold(problem, |problem, span| problem.at(span, "by this"))
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

/// The servers that take connections, without the hosts that are gone.
fn taking<'t>(topology: &'t Topology, service: &'t Service, gone: &BTreeSet<&str>) -> Vec<&'t Server> {
    let is_up = |server: &&Server| {
        let host = server.host.as_ref().map(|host| host.value.as_str());
        let quiesced = host.and_then(|host| topology.hosts.get(host)).is_some_and(|host| host.quiesce.value);
        server.weight.value > 0 && !quiesced && host.is_none_or(|host| !gone.contains(host))
    };
    all(topology, service).into_iter().filter(is_up).collect()
}

fn all<'t>(topology: &'t Topology, service: &'t Service) -> Vec<&'t Server> {
    let pools = service.pools.iter().filter_map(|pool| topology.pools.get(&pool.value));
    pools.flat_map(|pool| &pool.servers).chain(&service.servers).collect()
}

fn without(gone: &BTreeSet<&str>) -> String {
    match gone.iter().copied().collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        [one] => format!(" without {one}"),
        [first, more @ ..] => format!(" without {first} and {} more", more.len()),
    }
}

/// What keeps servers from counting: the first that does not take connections.
fn culprit(topology: &Topology, service: &Service, gone: &BTreeSet<&str>) -> (Option<Span>, &'static str) {
    let taking = taking(topology, service, gone);
    let lost = all(topology, service).into_iter().find(|server| !taking.iter().any(|one| std::ptr::eq(*one, *server)));
    match lost {
        Some(server) if server.weight.value == 0 => (server.weight.origin.span(), "this server takes no connections"),
        Some(server) => {
            let host = server.host.as_ref().and_then(|host| topology.hosts.get(&host.value));
            match host.filter(|host| host.quiesce.value) {
                Some(host) => (host.quiesce.origin.span(), "this host takes no connections"),
                None => (server.label.origin.span(), "this server is gone"),
            }
        }
        None => (service.name.origin.span(), "all of its servers count"),
    }
}

fn services(topology: &Topology, expectation: &Expectation, of: &OfServices, gone: &BTreeSet<&str>) -> Vec<Problem> {
    let pattern = match Pattern::new(&of.pattern.value) {
        Ok(pattern) => pattern,
        Err(error) => return vec![fails(expectation, of.pattern.origin.span(), format!("no pattern: {}", error.msg))],
    };
    let mut found: Vec<Problem> = Vec::new();
    let mut any = false;
    for (name, service) in topology.services.iter().filter(|(name, _)| pattern.matches(name)) {
        any = true;
        let taking = taking(topology, service, gone);
        let (place, text) = culprit(topology, service, gone);
        let count = u32::try_from(taking.len()).unwrap_or(u32::MAX);
        let weights: u64 = taking.iter().map(|server| u64::from(server.weight.value)).sum();
        let without = without(gone);
        let mut say = |at: Option<Span>, message: String, span: Option<Span>, text: &str| {
            found.push(because(fails(expectation, at, message), span, text));
        };
        if let Some(least) = of.servers_min.as_ref().filter(|least| count < least.value) {
            let message = format!("service {name} has {count} servers{without}, and at least {} are expected", least.value);
            say(least.origin.span(), message, place, text);
        }
        if let Some(most) = of.servers_max.as_ref().filter(|most| count > most.value) {
            let message = format!("service {name} has {count} servers{without}, and at most {} are expected", most.value);
            say(most.origin.span(), message, service.name.origin.span(), "this one");
        }
        if let Some(least) = of.weight_min.as_ref().filter(|least| weights < u64::from(least.value)) {
            let message = format!("the servers of {name} weigh {weights}{without}, and at least {} are expected", least.value);
            say(least.origin.span(), message, place, text);
        }
        let heaviest = taking.iter().max_by_key(|server| server.weight.value);
        if let (Some(most), Some(server)) = (&of.share_max, heaviest)
            && u64::from(server.weight.value) * 100 > u64::from(most.value) * weights
        {
            let share = u64::from(server.weight.value) * 100 / weights.max(1);
            let message =
                format!("{} has {share}% of {name}{without}, and at most {}% are expected", server.label.value, most.value);
            let heavy = server.weight.origin.span().or(server.label.origin.span());
            say(most.origin.span(), message, heavy, "this much");
        }
        let word = format!("{:?}", service.forward.value).to_lowercase();
        let word = word.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_owned();
        if !of.methods.is_empty() && of.methods.iter().all(|method| method.value != word) {
            let expected: Vec<&str> = of.methods.iter().map(|method| method.value).collect();
            let message = format!("service {name} forwards by {word}, and {} is expected", expected.join(" or "));
            say(of.methods.first().and_then(|first| first.origin.span()), message, service.forward.origin.span(), "this one");
        }
        let scheduler = service.scheduler.name.value.as_str();
        if !of.schedulers.is_empty() && of.schedulers.iter().all(|one| one.value != scheduler) {
            let expected: Vec<&str> = of.schedulers.iter().map(|one| one.value).collect();
            let message = format!("service {name} schedules by {scheduler}, and {} is expected", expected.join(" or "));
            let there = service.scheduler.name.origin.span().or(service.name.origin.span());
            say(of.schedulers.first().and_then(|first| first.origin.span()), message, there, "this one");
        }
        if let Some(least) = of.drain_min.as_ref().filter(|least| service.drain.value < least.value) {
            let message = format!(
                "service {name} lets its servers go within {}, and at least {} are expected",
                crate::state::duration(service.drain.value),
                crate::state::duration(least.value)
            );
            let there = service.drain.origin.span().or(service.name.origin.span());
            say(least.origin.span(), message, there, "this one");
        }
    }
    if !any {
        let near = crate::source::problem::nearest(&of.pattern.value, topology.services.keys().map(String::as_str));
        let problem = fails(expectation, of.pattern.origin.span(), format!("no service is called `{}`", of.pattern.value));
        found.push(match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        });
    }
    found
}

/// The topology without some hosts: they are gone from every list of servers, and directors carry nothing.
fn smaller(topology: &Topology, gone: &BTreeSet<&str>) -> Topology {
    let mut smaller = topology.clone();
    let is_gone = |server: &Server| server.host.as_ref().is_some_and(|host| gone.contains(host.value.as_str()));
    smaller.pools.values_mut().for_each(|pool| pool.servers.retain(|server| !is_gone(server)));
    smaller.services.values_mut().for_each(|service| service.servers.retain(|server| !is_gone(server)));
    smaller
}

type Servers = Vec<(DestinationId, u32)>;

fn servers_of(state: &State) -> BTreeMap<ServiceKey, Servers> {
    let mut found: BTreeMap<ServiceKey, Servers> = BTreeMap::new();
    for (key, resource) in &state.objects {
        if let (Key::Destination(key), Resource::Destination(server)) = (key, resource) {
            found.entry(key.service).or_default().push((key.id(), server.weight.value()));
        }
    }
    found
}

/// How many percent of a service's clients go elsewhere: by its table where the scheduler has one, else those whose server is gone.
fn share_moved(state: &State, key: ServiceKey, before: &Servers, after: &Servers) -> f64 {
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

fn moved(topology: &Topology, expectation: &Expectation, most: &At<u32>, gone: &BTreeSet<&str>) -> Vec<Problem> {
    let after = smaller(topology, gone);
    let mut worst: BTreeMap<String, f64> = BTreeMap::new();
    for host in topology.hosts.values().filter(|host| host.role == Role::Director) {
        let compiled = compile(topology, host);
        let (before, left) = (servers_of(&compiled.state), servers_of(&compile(&after, host).state));
        for (key, servers) in &before {
            let named = compiled.names.get(&Key::Service(*key)).map(|provenance| provenance.name.to_string());
            let none = Servers::new();
            let share = share_moved(&compiled.state, *key, servers, left.get(key).unwrap_or(&none));
            let known = worst.entry(named.unwrap_or_else(|| key.to_string())).or_default();
            *known = known.max(share);
        }
    }
    let too_many = worst.into_iter().filter(|(_, share)| *share > f64::from(most.value));
    too_many
        .map(|(name, share)| {
            let message = format!(
                "{share:.1}% of the clients of {name} go elsewhere{}, and at most {}% are expected",
                without(gone),
                most.value
            );
            let service = topology.services.get(&name);
            let place = service.map(|service| culprit(topology, service, gone));
            let (span, text) = place.unwrap_or((None, ""));
            because(fails(expectation, most.origin.span(), message), span, text)
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

fn reach(topology: &Topology, expectation: &Expectation, reached: &Reached, gone: &BTreeSet<&str>) -> Option<Problem> {
    let vip = topology.vips.get(&reached.vip.value)?;
    let from = reached.from.value;
    let family = Family::of(from.addr());
    let carries = |host: &&Host| {
        host.role == Role::Director
            && !gone.contains(host.name.value.as_str())
            && (vip.directors.is_empty() || vip.directors.iter().any(|one| one.value == host.name.value))
    };
    let is_there = |host: &Host| {
        host.interfaces.values().any(|interface| {
            let within = interface.addresses.iter().any(|own| own.value.contains(&from) || from.contains(&own.value.addr()));
            within || interface.gateways.iter().any(|gateway| Family::of(gateway.value) == family)
        })
    };
    let mut problem = None;
    if !vip.addresses.iter().any(|address| Family::of(address.value) == family) {
        problem = Some(format!("VIP {} has no {family} address, and clients in {from} are expected", vip.name.value));
    } else if !topology.hosts.values().filter(carries).any(is_there) {
        problem = Some(format!(
            "no director that carries VIP {}{} is in {from} or has a router: its replies do not get there",
            vip.name.value,
            without(gone)
        ));
    }
    let problem = fails(expectation, reached.from.origin.span(), problem?);
    Some(because(problem, vip.name.origin.span(), "this VIP"))
}

fn plan(topology: &Topology, expectation: &Expectation, live: &At<String>, captured: Captured<'_>) -> Vec<Problem> {
    let at = live.origin.span();
    let Some(name) = &expectation.host else {
        return vec![
            fails(expectation, at, "a captured state is of a host, and none is named".to_owned()).help("say host=\"lb1\""),
        ];
    };
    // Somebody has said that there is no such host.
    let Some(host) = topology.hosts.get(&name.value) else { return Vec::new() };
    let observed = match captured(live) {
        Ok(observed) => observed,
        Err(error) => return vec![fails(expectation, at, error)],
    };
    let compiled = compile(topology, host);
    let aim = Aim::from(&compiled.state);
    let target =
        Target { topology: topology.name.value.clone(), file: String::new(), host: host.name.value.clone(), role: String::new() };
    let exclusive = topology.ownership.value == Ownership::Exclusive;
    let plan = Plan::make(target, &aim, &compiled.names, &observed, exclusive, Vec::new(), &compiled.elsewhere);
    let shown: Vec<_> = plan.changes.iter().filter(|planned| !planned.incidental).collect();
    let deleted: Vec<_> = shown.iter().filter(|planned| planned.action == Action::Delete).collect();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let cut = plan.changes.iter().flat_map(|planned| &planned.impacts).map(Impact::cut).sum::<u64>();
    let mut problems = Vec::new();
    let first = |list: &[&&crate::plan::Planned]| list.first().map(|planned| planned.change.key.to_string()).unwrap_or_default();
    let all: Vec<_> = shown.iter().collect();
    if let Some(most) = expectation.changes.as_ref().filter(|most| count(shown.len()) > most.value) {
        let message = format!(
            "the plan from {} has {} changes, {} first, and at most {} are expected",
            live.value,
            shown.len(),
            first(&all),
            most.value
        );
        problems.push(because(fails(expectation, most.origin.span(), message), at, "from this state"));
    }
    if let Some(most) = expectation.deletes.as_ref().filter(|most| count(deleted.len()) > most.value) {
        let message = format!(
            "the plan from {} deletes {} objects, {} first, and at most {} are expected",
            live.value,
            deleted.len(),
            first(&deleted),
            most.value
        );
        problems.push(because(fails(expectation, most.origin.span(), message), at, "from this state"));
    }
    if let Some(most) = expectation.connections_cut.as_ref().filter(|most| cut > u64::from(most.value)) {
        let message = format!("the plan from {} ends {cut} connections, and at most {} are expected", live.value, most.value);
        problems.push(because(fails(expectation, most.origin.span(), message), at, "from this state"));
    }
    problems
}
