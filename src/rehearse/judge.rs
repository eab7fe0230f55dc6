//! What a scheduler promises, and whether it was kept.
//!
//! Pure. Some promises are exact: turns (rr, wrr over a full round), tables (sh, dh, mh), the first that is not full (fo, ovf).
//! Some are about shares: those that go by connections that are open. Some name nobody: then every answer is as good.
//! Sources: the kernel's `net/netfilter/ipvs/ip_vs_*.c`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::trial::{Server, Trial};
use crate::plan::clients::{Seat, Table};
use crate::state::{ClientMask, DestinationId, Protocol};

/// A round of turns that is longer is not walked to its end.
const LONGEST_ROUND: u32 = 240;

/// So many connections are held open at the same time at most.
const MOST_HELD: u32 = 48;

/// How many clients a table is asked for.
const CLIENTS: u32 = 24;

/// A client that comes back, for persistence.
const COMES_BACK: u32 = 3;

/// How clients come.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The number of each connection's source; with persistence some are there several times.
    pub sources: Vec<u32>,
    /// Whether connections stay open until the last one is there.
    pub hold: bool,
    /// Whether some server may be full in the middle of it.
    pub may_fill: bool,
    /// Whether every server was full at its end: then clients may have been refused. Connections that were closed before count
    /// for minutes.
    pub full: bool,
    /// What is to come of it.
    pub promise: Promise,
}

/// What a scheduler promises about a batch.
#[derive(Clone, Debug)]
pub enum Promise {
    /// So many for each server of the trial, by its place.
    Exactly(Vec<u32>),
    /// So many for each server, give or take.
    About {
        /// by the server's place
        expected: Vec<f64>,
        /// connections
        tolerance: f64,
    },
    /// By a table, from the client's address and port.
    Table(Box<Table>),
    /// Everybody to one of these.
    OneOf(BTreeSet<usize>),
    /// Any server that takes connections.
    Anyone,
    /// No server takes any: clients are refused.
    Nobody,
}

/// What became of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    /// The client's address.
    pub client: IpAddr,
    /// The client's port.
    pub port: u16,
    /// The place of the server that got it, among those of the trial.
    pub server: Option<usize>,
    /// Whether the client got its answer.
    pub answered: bool,
}

/// What a server got.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The server's place in the trial.
    pub server: usize,
    /// connections
    pub got: u32,
    /// connections; `None`: nothing in particular was promised
    pub promised: Option<f64>,
}

/// A batch and what came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// One for each server.
    pub shares: Vec<Share>,
    /// What is wrong, in sentences; empty: nothing.
    pub wrong: Vec<String>,
}

/// The place of the first server that listens where this one does: two destinations of one host cannot be told apart.
pub fn stands_for(servers: &[Server], at: usize) -> usize {
    let seat = servers.get(at).and_then(|server| server.seat.as_ref());
    servers.iter().position(|other| other.seat.is_some() && other.seat.as_ref() == seat).unwrap_or(at)
}

/// How clients come to a trial, from `first` on, and what they are promised. `weights`: the last weight of each server that was
/// not 0, where it is 0 now.
pub fn batch(trial: &Trial, first: u32, weights: &BTreeMap<DestinationId, u32>) -> Batch {
    let servers = &trial.servers;
    let taking: Vec<usize> = (0..servers.len()).filter(|at| servers[*at].weight > 0).collect();
    let each = |number: u32| (first..first + number).collect::<Vec<u32>>();
    let count = u32::try_from(taking.len()).unwrap_or(u32::MAX);
    let plain = |number: u32, promise| Batch { sources: each(number), hold: false, may_fill: false, full: false, promise };
    let held = |number: u32, promise| Batch { hold: true, ..plain(number, promise) };
    // A server that may be full in the middle of it.
    let may_fill = servers.iter().any(may_be_full);
    // Nor has a stream any that is never answered.
    let counts_open = trial.protocol != Protocol::Udp && trial.answered;
    let batch = match trial.service.scheduler.as_str() {
        "sh" | "dh" | "mh" => {
            let seat = |server: &Server| Seat {
                server: server.id,
                weight: server.weight,
                last_weight: if server.weight > 0 { server.weight } else { weights.get(&server.id).copied().unwrap_or(0) },
            };
            // The kernel lists the one that was added last first.
            let table = Table::new(&trial.service, trial.key.family(), servers.iter().rev().map(seat).collect());
            plain(CLIENTS, table.map_or(Promise::Anyone, |table| Promise::Table(Box::new(table))))
        }
        _ if taking.is_empty() => plain(2, Promise::Nobody),
        _ if may_fill => Batch { may_fill, ..plain(2 * count.min(30), Promise::Anyone) },
        "rr" => {
            let turns = if count > 30 { 1 } else { 2 };
            plain(turns * count, exactly(servers, &taking, |_| turns))
        }
        "wrr" => {
            let common = taking.iter().fold(0, |common, at| gcd(common, servers[*at].weight)).max(1);
            let round = taking.iter().map(|at| servers[*at].weight / common).fold(0, u32::saturating_add);
            match round {
                0..=LONGEST_ROUND => plain(round, exactly(servers, &taking, |server| server.weight / common)),
                _ => plain(2 * count.min(30), Promise::Anyone),
            }
        }
        "fo" => {
            let most = taking.iter().map(|at| servers[*at].weight).max().unwrap_or(0);
            plain(2 * count.min(30), Promise::OneOf(taking.into_iter().filter(|at| servers[*at].weight == most).collect()))
        }
        "ovf" if trial.protocol == Protocol::Udp || trial.answered => ovf(servers, &taking, counts_open, each),
        "lc" => held((4 * count).min(MOST_HELD.max(count)), shares(servers, &taking, |_| 1.0, 4 * count)),
        "wlc" => {
            let number = (4 * count).clamp(12.min(MOST_HELD), MOST_HELD.max(count));
            held(number, shares(servers, &taking, |server| f64::from(server.weight), number))
        }
        // Both count established connections alone, and udp has none.
        "sed" | "nq" if counts_open => {
            let number = (4 * count).clamp(12.min(MOST_HELD), MOST_HELD.max(count));
            held(number, shares(servers, &taking, |server| f64::from(server.weight), number))
        }
        _ => held((2 * count).clamp(4, MOST_HELD), Promise::Anyone),
    };
    match trial.service.persistence {
        Some(_) => comes_back(batch),
        None => batch,
    }
}

/// With persistence each client comes again and again; who it meets first is the scheduler's word, where that does not depend
/// on what is open.
fn comes_back(batch: Batch) -> Batch {
    let promise = match batch.promise {
        Promise::About { .. } => Promise::Anyone,
        other => other,
    };
    let clients: Vec<u32> = batch.sources.iter().copied().take(CLIENTS as usize).collect();
    let promise = if clients.len() < batch.sources.len() { Promise::Anyone } else { promise };
    let sources = (0..COMES_BACK).flat_map(|_| clients.iter().copied()).collect();
    Batch { sources, hold: false, promise, ..batch }
}

fn exactly(servers: &[Server], taking: &[usize], of: impl Fn(&Server) -> u32) -> Promise {
    let mut counts = vec![0; servers.len()];
    for at in taking {
        counts[stands_for(servers, *at)] += of(&servers[*at]);
    }
    Promise::Exactly(counts)
}

fn shares(servers: &[Server], taking: &[usize], weight: impl Fn(&Server) -> f64, number: u32) -> Promise {
    let all: f64 = taking.iter().map(|at| weight(&servers[*at])).sum();
    let mut expected = vec![0.0; servers.len()];
    for at in taking {
        expected[stands_for(servers, *at)] += f64::from(number) * weight(&servers[*at]) / all;
    }
    // Connections of before that are not forgotten yet weigh a little.
    Promise::About { expected, tolerance: (f64::from(number) / 8.0).max(2.0) }
}

/// ovf: the greatest weight until it has one connection more than that, then the next one.
fn ovf(servers: &[Server], taking: &[usize], counts_open: bool, each: impl Fn(u32) -> Vec<u32>) -> Batch {
    let mut by_weight: Vec<usize> = taking.to_vec();
    by_weight.sort_by_key(|at| std::cmp::Reverse(servers[*at].weight));
    let distinct = by_weight.windows(2).all(|pair| servers[pair[0]].weight != servers[pair[1]].weight);
    // When all have one more than their weight, nobody takes any.
    let room = taking.iter().fold(0, |room: u32, at| room.saturating_add(servers[*at].weight.saturating_add(1)));
    let number = (2 * u32::try_from(taking.len()).unwrap_or(1) + 4).min(MOST_HELD).min(room);
    let promise = if counts_open && distinct {
        let mut left = number;
        let mut counts = vec![0; servers.len()];
        for at in by_weight {
            let takes = servers[at].weight.saturating_add(1).min(left);
            counts[stands_for(servers, at)] += takes;
            left -= takes;
        }
        if left == 0 { Promise::Exactly(counts) } else { Promise::Anyone }
    } else if counts_open {
        Promise::Anyone
    } else {
        let most = by_weight.first().map_or(0, |at| servers[*at].weight);
        Promise::OneOf(by_weight.into_iter().filter(|at| servers[*at].weight == most).collect())
    };
    Batch { sources: each(number), hold: true, may_fill: false, full: false, promise }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Batch {
    /// Whether a client is to be refused: no server takes it.
    pub fn refuses(&self, trial: &Trial, client: IpAddr, port: u16) -> bool {
        match &self.promise {
            Promise::Nobody => true,
            Promise::Table(table) => table.server(client, port, trial.target.ip()).is_none(),
            _ => false,
        }
    }

    /// Whether a client may be refused.
    pub fn may_refuse(&self, trial: &Trial, client: IpAddr, port: u16) -> bool {
        self.may_fill || self.refuses(trial, client, port)
    }
}

/// Whether a server has room for so few that a rehearsal may fill it.
pub fn may_be_full(server: &Server) -> bool {
    (1..=LONGEST_ROUND).contains(&server.max_connections)
}

/// Whether a server has taken so many connections that it takes no more: with `open` that IPVS remembers. Once it is full it
/// stays so until three quarters are left, or as many as its lower threshold (`ip_vs_dest_update_overload`); here always three
/// quarters, since what is asked is whether it may be.
pub fn is_full(server: &Server, open: u32) -> bool {
    server.weight == 0 || (server.max_connections > 0 && u64::from(open) * 4 >= u64::from(server.max_connections) * 3)
}

/// Whether a promise was kept.
pub fn judge(trial: &Trial, batch: &Batch, met: &[Met]) -> Judgement {
    let servers = &trial.servers;
    let name = |at: usize| servers.get(at).map_or("?", |server| server.name.as_str());
    let mut got = vec![0_u32; servers.len()];
    for at in met.iter().filter_map(|met| met.server) {
        got[stands_for(servers, at)] += 1;
    }
    let mut wrong = Vec::new();
    let refused = |met: &Met| batch.refuses(trial, met.client, met.port);
    let is_lost = |met: &&Met| !refused(met) && !met.answered && (trial.answered || met.server.is_none());
    let lost = if batch.full { 0 } else { met.iter().filter(is_lost).count() };
    if lost > 0 || met.len() < batch.sources.len() {
        wrong.push(format!("{} of {} connections got no answer", lost + batch.sources.len() - met.len(), batch.sources.len()));
    }
    let beyond = met.iter().filter(|met| refused(met) && met.server.is_some()).count();
    if beyond > 0 {
        wrong.push(format!("{beyond} connections were answered, and no server should take them"));
    }
    for at in (0..servers.len()).filter(|at| servers[*at].weight == 0 && got[*at] > 0 && stands_for(servers, *at) == *at) {
        let shared = (0..servers.len()).any(|other| servers[other].weight > 0 && stands_for(servers, other) == at);
        if !shared {
            wrong.push(format!("{} has weight 0 and got {} new connections", name(at), got[at]));
        }
    }
    if wrong.is_empty() {
        wrong.extend(by_promise(trial, batch, met, &got));
        wrong.extend(strays(trial, met));
    }
    let promised = promised(trial, batch, met);
    let shares = (0..servers.len())
        .filter(|at| stands_for(servers, *at) == *at)
        .map(|server| Share { server, got: got[server], promised: promised.as_ref().map(|promised| promised[server]) })
        .collect();
    Judgement { shares, wrong }
}

/// The connections that the promise is about: with persistence the first of each client.
fn first_ones<'a>(trial: &Trial, met: &'a [Met]) -> Vec<&'a Met> {
    let Some(persistence) = trial.service.persistence else { return met.iter().collect() };
    let mut seen = BTreeSet::new();
    met.iter().filter(|met| seen.insert(masked(met.client, persistence.clients))).collect()
}

fn masked(client: IpAddr, mask: ClientMask) -> IpAddr {
    match (client, mask) {
        (IpAddr::V4(client), ClientMask::Ipv4(mask)) => IpAddr::V4(Ipv4Addr::from_bits(client.to_bits() & mask.to_bits())),
        (IpAddr::V6(client), ClientMask::Ipv6(length)) => {
            IpAddr::V6(Ipv6Addr::from_bits(client.to_bits() & u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0)))
        }
        _ => client,
    }
}

/// How many each server was promised.
fn promised(trial: &Trial, batch: &Batch, met: &[Met]) -> Option<Vec<f64>> {
    let servers = &trial.servers;
    let again = if trial.service.persistence.is_some() { f64::from(COMES_BACK) } else { 1.0 };
    match &batch.promise {
        Promise::Exactly(counts) => Some(counts.iter().map(|count| f64::from(*count) * again).collect()),
        Promise::About { expected, .. } => Some(expected.clone()),
        Promise::Table(table) => {
            let mut counts = vec![0.0; servers.len()];
            for met in met {
                let server = table.server(met.client, met.port, trial.target.ip());
                if let Some(at) = servers.iter().position(|of| Some(of.id) == server) {
                    counts[stands_for(servers, at)] += 1.0;
                }
            }
            trial.service.persistence.is_none().then_some(counts)
        }
        Promise::Nobody => Some(vec![0.0; servers.len()]),
        Promise::OneOf(_) | Promise::Anyone => None,
    }
}

fn by_promise(trial: &Trial, batch: &Batch, met: &[Met], got: &[u32]) -> Option<String> {
    let servers = &trial.servers;
    let first = first_ones(trial, met);
    let mut counts = vec![0_u32; servers.len()];
    for at in first.iter().filter_map(|met| met.server) {
        counts[stands_for(servers, at)] += 1;
    }
    let scheduler = &trial.service.scheduler;
    match &batch.promise {
        // Clients that a short prefix makes one are fewer than was thought.
        Promise::Exactly(_) if trial.service.persistence.is_some() && first.len() * (COMES_BACK as usize) != met.len() => None,
        Promise::Exactly(expected) => {
            (counts != *expected).then(|| format!("{scheduler} promises {} and gave {}", list(expected), list(&counts)))
        }
        Promise::About { expected, tolerance } => {
            let far = |(got, expected): (&u32, &f64)| (f64::from(*got) - expected).abs() > *tolerance;
            let far = got.iter().zip(expected).any(far);
            let rounded: Vec<String> = expected.iter().map(|expected| format!("{expected:.1}")).collect();
            far.then(|| format!("{scheduler} promises about {} and gave {}", rounded.join(", "), list(got)))
        }
        Promise::Table(table) => {
            let expected = |met: &Met| {
                let server = table.server(met.client, met.port, trial.target.ip());
                server.and_then(|server| servers.iter().position(|of| of.id == server)).map(|at| stands_for(servers, at))
            };
            let of = |at: Option<usize>| at.and_then(|at| servers.get(at)).map_or("nobody", |server| server.name.as_str());
            let stray = first.iter().find(|met| met.server.map(|at| stands_for(servers, at)) != expected(met))?;
            let (client, to, met) = (stray.client, of(expected(stray)), of(stray.server));
            Some(format!("by the table of {scheduler} client {client} goes to {to}; it met {met}"))
        }
        Promise::OneOf(allowed) => {
            let stray = first.iter().filter_map(|met| met.server).find(|at| !allowed.contains(at))?;
            Some(format!("{scheduler} sends everybody to the greatest weight; somebody met {}", servers.get(stray)?.name))
        }
        Promise::Anyone | Promise::Nobody => None,
    }
}

/// Clients that persistence did not hold.
fn strays(trial: &Trial, met: &[Met]) -> Option<String> {
    let persistence = trial.service.persistence.filter(|_| trial.service.engine.is_none())?;
    let mut held: BTreeMap<IpAddr, usize> = BTreeMap::new();
    let stray = met.iter().find(|met| {
        let Some(server) = met.server.map(|at| stands_for(&trial.servers, at)) else { return false };
        *held.entry(masked(met.client, persistence.clients)).or_insert(server) != server
    })?;
    Some(format!("client {} is persistent and met two servers", stray.client))
}

fn list(counts: &[u32]) -> String {
    counts.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Forward, Service, ServiceFlags, ServiceKey};

    fn trial(scheduler: &str, weights: &[u32]) -> Trial {
        let target: std::net::SocketAddr = "10.0.0.100:80".parse().expect("an address");
        let server = |(at, weight): (u16, &u32)| {
            let address = std::net::SocketAddr::new("10.0.0.11".parse().expect("one"), 8000 + at);
            let seat = super::super::trial::Seat { host: format!("web{at}"), protocol: Protocol::Tcp, address };
            let (id, name, seat) = (DestinationId(address), format!("web{at}"), Some(seat));
            Server { id, name, forward: Forward::Nat, weight: *weight, max_connections: 0, seat }
        };
        Trial {
            name: "shop".to_owned(),
            director: "lb1".to_owned(),
            key: ServiceKey::Tuple { protocol: Protocol::Tcp, address: target.ip(), port: 80 },
            service: Service { scheduler: scheduler.to_owned(), flags: ServiceFlags::default(), persistence: None, engine: None },
            protocol: Protocol::Tcp,
            target,
            servers: (0..).zip(weights).map(server).collect(),
            answered: true,
        }
    }

    /// What is wrong where clients met these servers, in turn.
    fn wrong(scheduler: &str, weights: &[u32], met: &[usize]) -> Vec<String> {
        let trial = trial(scheduler, weights);
        let batch = batch(&trial, 1, &BTreeMap::new());
        assert_eq!(batch.sources.len(), met.len(), "{scheduler} {weights:?}");
        let client = "198.18.1.1".parse().expect("an address");
        let met = (1024..).zip(met).map(|(port, server)| Met { client, port, server: Some(*server), answered: true });
        judge(&trial, &batch, &met.collect::<Vec<_>>()).wrong
    }

    #[test]
    fn turns_are_exact() {
        assert!(wrong("rr", &[1, 1], &[1, 0, 1, 0]).is_empty());
        assert_eq!(wrong("rr", &[1, 1], &[1, 0, 1, 1]), ["rr promises 2, 2 and gave 1, 3"]);
        assert!(wrong("wrr", &[100, 50], &[0, 1, 0]).is_empty());
        assert_eq!(wrong("wrr", &[100, 50], &[0, 1, 1]), ["wrr promises 2, 1 and gave 1, 2"]);
    }

    #[test]
    fn clients_are_refused_where_every_server_is_full() {
        let mut trial = trial("rr", &[1, 1]);
        for server in &mut trial.servers {
            server.max_connections = 4;
        }
        assert!(!is_full(&trial.servers[0], 2) && is_full(&trial.servers[0], 3));
        let mut batch = batch(&trial, 1, &BTreeMap::new());
        assert!(batch.may_fill);
        let client = "198.18.1.1".parse().expect("an address");
        let met: Vec<Met> =
            (0..4).map(|at| Met { client, port: 1024 + at, server: (at < 3).then_some(0), answered: at < 3 }).collect();
        assert_eq!(judge(&trial, &batch, &met).wrong, ["1 of 4 connections got no answer"]);
        batch.full = true;
        assert!(judge(&trial, &batch, &met).wrong.is_empty());
    }

    #[test]
    fn a_stream_that_is_never_answered_is_judged_by_who_was_chosen() {
        let mut trial = trial("rr", &[1, 1]);
        trial.answered = false;
        let batch_of = batch(&trial, 1, &BTreeMap::new());
        let client = "198.18.1.1".parse().expect("an address");
        let met = |chosen: [Option<usize>; 4]| {
            let met = chosen.into_iter().zip(1024..).map(|(server, port)| Met { client, port, server, answered: false });
            judge(&trial, &batch_of, &met.collect::<Vec<_>>()).wrong.len()
        };
        assert_eq!(met([Some(0), Some(1), Some(0), Some(1)]), 0);
        assert_eq!(met([Some(0), Some(1), Some(0), None]), 1);
        let promise = |name: &str| {
            batch(
                &Trial { service: Service { scheduler: name.to_owned(), ..trial.service.clone() }, ..trial.clone() },
                1,
                &BTreeMap::new(),
            )
            .promise
        };
        assert!(matches!(promise("sed"), Promise::Anyone) && matches!(promise("ovf"), Promise::Anyone));
    }

    #[test]
    fn a_server_of_weight_0_gets_nobody() {
        assert_eq!(wrong("rr", &[1, 0], &[0, 1]), ["web1 has weight 0 and got 1 new connections"]);
    }

    #[test]
    fn the_greatest_weight_gets_all_with_fo_and_one_more_than_that_with_ovf() {
        assert!(wrong("fo", &[1, 2], &[1, 1, 1, 1]).is_empty());
        assert_eq!(wrong("fo", &[1, 2], &[1, 1, 0, 1]).len(), 1);
        assert!(wrong("ovf", &[1, 2], &[1, 1, 1, 0, 0]).is_empty());
        assert_eq!(wrong("ovf", &[1, 2], &[1, 1, 0, 0, 0]).len(), 1);
    }

    #[test]
    fn open_connections_are_spread_about_as_the_weights_say() {
        assert!(wrong("wlc", &[3, 1], &[0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0]).is_empty());
        assert_eq!(wrong("wlc", &[3, 1], &[1; 12]).len(), 1);
    }
}
