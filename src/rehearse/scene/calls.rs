//! The clients of a scene: what they ask, who answers, and by which way the answers came.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::client::{Answer, Call, Stuck};
use super::super::judge::{self, Batch, Met};
use super::super::server::Request;
use super::super::trial::{Seat, Server, Trial};
use super::super::{Failure, ReplyPath, Row, ShareOfServer};
use super::Scene;
use crate::state::{Family, Forward, Protocol};

/// bytes that each stream is answered with: more than a packet
const STREAM: usize = 4000;
/// bytes that each datagram is answered with
const DATAGRAM: usize = 1000;
/// bytes each way of the large transfer
const LARGE: usize = 40_000;
/// After so many connections that failed one after the other the rest of a batch would fail too.
const ENOUGH: usize = 3;
/// How long one waits who is to be refused.
const REFUSAL: Duration = Duration::from_millis(500);
/// How long one waits for a stream that is never answered: until IPVS knows of it.
const GLANCE: Duration = Duration::from_millis(250);

/// A call that failed, for whoever looks for the cause.
#[derive(Clone, Debug)]
pub(in crate::rehearse) struct Lost {
    pub from: SocketAddr,
    pub stuck: Stuck,
    /// The seat that saw it.
    pub reached: Option<Seat>,
    /// Whether it was the large transfer that failed.
    pub large: bool,
}

/// What came of a trial.
pub(super) struct Tried {
    pub row: Row,
    pub lost: Vec<Lost>,
}

impl Scene<'_> {
    /// Leads a routed VIP to the director that is tried.
    pub(super) fn lead(&self, trial: &Trial) -> Result<(), Failure> {
        let vip = trial.target.ip();
        let hops = self.layout.vip_routes.get(&vip);
        let Some((_, hop)) = hops.and_then(|hops| hops.iter().find(|(director, _)| *director == trial.director)) else {
            return Ok(());
        };
        self.net.lead(vip, *hop)
    }

    /// A call to a trial's target from the client with this number.
    pub(super) fn call(&mut self, trial: &Trial, source: u32, follow: usize, want: usize) -> Call {
        let number = self.requests;
        self.requests += 1;
        let [v4, v6] = &self.layout.client;
        let client = if trial.family() == Family::Ipv4 { v4 } else { v6 };
        let port = 1024 + u16::try_from(number % 60_000).unwrap_or_default();
        let sip = trial.service.engine.is_some();
        Call {
            from: SocketAddr::new(client.source(source), port),
            to: trial.target,
            protocol: trial.protocol,
            request: Request { number, follow, want },
            preface: if sip {
                format!("OPTIONS sip:lvsform SIP/2.0\r\nCall-ID: {source}@lvsform\r\n\r\n")
            } else {
                String::new()
            },
            patience: self.rehearsal.patience,
            answered: trial.answered,
        }
    }

    /// A call of a client that was never there, with so many bytes each way.
    pub(super) fn next_call(&mut self, trial: &Trial, bytes: usize) -> Call {
        let source = self.sources;
        self.sources += 1;
        self.call(trial, source, bytes, bytes)
    }

    pub(super) fn try_(&mut self, trial: &Trial) -> Tried {
        let mut batch = judge::batch(trial, self.sources, &self.weights);
        self.sources += u32::try_from(batch.sources.len()).unwrap_or(0) + 1;
        let want = if trial.protocol == Protocol::Udp { DATAGRAM } else { STREAM };
        let sources = std::mem::take(&mut batch.sources);
        let mut refused = 0;
        let mut calls = Vec::new();
        for source in sources {
            let mut call = self.call(trial, source, 0, want);
            // Nobody refuses an sctp client in words: it would wait. A few show it.
            if batch.refuses(trial, call.from.ip(), call.from.port()) {
                refused += 1;
                if refused > ENOUGH {
                    continue;
                }
                call.patience = call.patience.min(REFUSAL);
            }
            if never_answered(trial) {
                call.patience = call.patience.min(GLANCE);
            }
            batch.sources.push(source);
            calls.push(call);
        }
        let before = self.received(&trial.director);
        let (met, mut lost) = self.call_all(trial, &batch, &calls);
        let back = self.received(&trial.director).saturating_sub(before);
        batch.full = batch.may_fill && self.is_full(trial);
        let judgement = judge::judge(trial, &batch, &met);
        let mut wrong = judgement.wrong;
        let path = reply_path(trial, &met, back, want as u64);
        wrong.extend(path.wrong(trial));
        if wrong.is_empty() && trial.protocol != Protocol::Udp && !batch.full && met.iter().any(|met| met.answered) {
            let mut large = || {
                let mut call = self.next_call(trial, LARGE);
                // Of those that a table refuses there may be many; not all are.
                while batch.refuses(trial, call.from.ip(), call.from.port()) {
                    call = self.next_call(trial, LARGE);
                }
                let failed = self.net.client.run(|| call.call()).failed;
                failed.map(|stuck| (call, stuck))
            };
            // A machine that is busy elsewhere loses a client's patience too; a packet that is too large is lost each time.
            if let Some((call, stuck)) = large().and_then(|_| large()) {
                wrong.push(format!("small requests are answered, and a transfer of {LARGE} bytes gets stuck"));
                lost.push(Lost { from: call.from, stuck, reached: self.reached(call.request.number), large: true });
            }
        }
        let shares = judgement.shares.iter().filter_map(|share| {
            let server = trial.servers.get(share.server)?;
            Some(ShareOfServer { server: server.name.clone(), weight: server.weight, got: share.got, promised: share.promised })
        });
        let row = Row {
            connections: batch.sources.len(),
            answered: met.iter().filter(|met| met.answered).count(),
            shares: shares.collect(),
            path: path.0,
            works: wrong.is_empty(),
            wrong,
            ..super::row(trial)
        };
        Tried { row, lost }
    }

    fn call_all(&self, trial: &Trial, batch: &Batch, calls: &[Call]) -> (Vec<Met>, Vec<Lost>) {
        let answers: Vec<Answer> = self.net.client.run(|| {
            let mut open = Vec::new();
            let mut failed = 0;
            let mut answers = Vec::new();
            for call in calls {
                let mut answer = call.call();
                let may_fail = never_answered(trial) || batch.may_refuse(trial, call.from.ip(), call.from.port());
                failed = if answer.failed.is_some() && !may_fail { failed + 1 } else { 0 };
                if batch.hold {
                    open.extend(answer.open.take());
                } else {
                    answer.open = None;
                }
                answers.push(answer);
                if failed >= ENOUGH {
                    break;
                }
            }
            answers
        });
        let mut met = Vec::new();
        let mut lost = Vec::new();
        // A stream that is not answered never stands: what IPVS remembers of it is all that there is of it.
        let chosen = if never_answered(trial) { self.connections(&trial.director) } else { BTreeMap::new() };
        for (call, answer) in calls.iter().zip(answers) {
            let reached = if answer.seat.is_some() { None } else { self.reached_soon(call, &answer) };
            let seat = answer.seat.and_then(|at| self.seats.get(at)).or(reached.as_ref());
            let by_seat = seat.and_then(|seat| trial.servers.iter().position(|server| server.seat.as_ref() == Some(seat)));
            let by_ipvs = || chosen.get(&call.from).and_then(|to| trial.servers.iter().position(|server| is_to(server, *to)));
            let server = by_seat.or_else(by_ipvs);
            met.push(Met { client: call.from.ip(), port: call.from.port(), server, answered: answer.seat.is_some() });
            if let Some(stuck) = answer.failed {
                lost.push(Lost { from: call.from, stuck, reached, large: false });
            }
        }
        (met, lost)
    }

    /// The seat that a request came to though nobody was told so.
    fn reached_soon(&self, call: &Call, answer: &Answer) -> Option<Seat> {
        let patience = if call.answered || answer.failed.is_some() { Duration::ZERO } else { self.rehearsal.patience };
        let (seat, _) = self.seen.of(call.request.number, patience)?;
        self.seats.get(seat).cloned()
    }

    fn reached(&self, number: u32) -> Option<Seat> {
        let (seat, _) = self.seen.of(number, Duration::ZERO)?;
        self.seats.get(seat).cloned()
    }

    /// The connections that a director's IPVS knows: by the client's address and port, the server's.
    pub(in crate::rehearse) fn connections(&self, director: &str) -> BTreeMap<SocketAddr, SocketAddr> {
        let Some(namespace) = self.net.hosts.get(director) else { return BTreeMap::new() };
        let text = namespace.proc("ip_vs_conn");
        text.lines().filter_map(connection).map(|Connection { client, server, .. }| (client, server)).collect()
    }

    /// Whether each server of a trial may have as many connections as it takes. Those of other ports of a VIP are counted too,
    /// since a service may have several.
    fn is_full(&self, trial: &Trial) -> bool {
        let Some(namespace) = self.net.hosts.get(&trial.director) else { return false };
        let text = namespace.proc("ip_vs_conn");
        let all: Vec<Connection> = text.lines().filter_map(connection).collect();
        let of_vip = || all.iter().filter(|of| of.vip.ip() == trial.target.ip());
        let open = |server: &Server| u32::try_from(of_vip().filter(|of| is_to(server, of.server)).count()).unwrap_or(u32::MAX);
        trial.servers.iter().all(|server| judge::is_full(server, open(server)))
    }

    /// bytes that a host's interfaces have received
    fn received(&self, host: &str) -> u64 {
        let Some(namespace) = self.net.hosts.get(host) else { return 0 };
        let text = namespace.proc("dev");
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let own =
            |name: &str| self.layout.hosts.get(host).is_some_and(|plan| plan.plugs.iter().any(|plug| plug.name == name.trim()));
        lines
            .filter(|(name, _)| own(name))
            .filter_map(|(_, rest)| rest.split_ascii_whitespace().next()?.parse::<u64>().ok())
            .sum()
    }

    /// Whether anybody answers.
    pub(super) fn probe(&mut self, trial: &Trial) -> Option<usize> {
        let call = self.next_call(trial, 0);
        let call = Call { patience: self.rehearsal.patience.min(Duration::from_secs(1)), ..call };
        self.net.client.run(|| call.call()).seat
    }
}

/// Whether it is a stream of whose server's answers the client gets none, so that it never stands.
fn never_answered(trial: &Trial) -> bool {
    !trial.answered && trial.protocol != Protocol::Udp
}

/// Whether a connection of IPVS goes to a server.
fn is_to(server: &Server, to: SocketAddr) -> bool {
    let port = server.id.0.port();
    server.id.0.ip() == to.ip() && (port == 0 || port == to.port())
}

/// A connection that IPVS remembers.
struct Connection {
    client: SocketAddr,
    vip: SocketAddr,
    server: SocketAddr,
}

/// A line of `/proc/net/ip_vs_conn`: protocol, client, VIP and server, each address with its port in hexadecimal digits.
fn connection(line: &str) -> Option<Connection> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let address = |at: usize| {
        let text = words.get(at)?.trim_matches(['[', ']']);
        let address = match text.parse::<std::net::Ipv6Addr>() {
            Ok(address) => address.into(),
            Err(_) => std::net::Ipv4Addr::from_bits(u32::from_str_radix(text, 16).ok()?).into(),
        };
        Some(SocketAddr::new(address, u16::from_str_radix(words.get(at + 1)?, 16).ok()?))
    };
    Some(Connection { client: address(1)?, vip: address(3)?, server: address(5)? })
}

/// The way of replies, and what it should have been.
struct Way(ReplyPath, Option<ReplyPath>);

impl Way {
    fn wrong(&self, trial: &Trial) -> Option<String> {
        let Way(seen, Some(expected)) = self else { return None };
        if seen == expected || *seen == ReplyPath::None {
            return None;
        }
        Some(match expected {
            ReplyPath::Direct => format!("replies pass through {}, and should not", trial.director),
            ReplyPath::Director => format!("replies do not come back through {}", trial.director),
            _ => "replies do not take the ways that their methods say".to_owned(),
        })
    }
}

/// How replies came, from the bytes that reached the director: without replies they are a small part of those.
fn reply_path(trial: &Trial, met: &[Met], back: u64, want: u64) -> Way {
    let forward = |met: &&Met| met.server.and_then(|at| trial.servers.get(at));
    let elsewhere = |server: &&Server| server.seat.as_ref().is_some_and(|seat| seat.host != trial.director);
    let answered: Vec<Forward> = met
        .iter()
        .filter(|met| met.answered)
        .collect::<Vec<_>>()
        .iter()
        .copied()
        .filter_map(|met| forward(&met))
        .filter(elsewhere)
        .map(|server| server.forward)
        .collect();
    if answered.is_empty() {
        return Way(ReplyPath::None, None);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
    let (ratio, through) = (
        back as f64 / (answered.len() as f64 * want as f64),
        answered.iter().filter(|forward| **forward == Forward::Nat).count() as f64 / answered.len() as f64,
    );
    let path = |share: f64| match share {
        share if share < 0.05 => ReplyPath::Direct,
        share if share > 0.95 => ReplyPath::Director,
        _ => ReplyPath::Both,
    };
    let expected = path(through);
    // Requests are counted too: about a tenth of an answer.
    let near = (ratio - 0.15 - through).abs() < 0.4;
    let seen = if near { expected } else { path((ratio - 0.3).clamp(0.0, 1.0)) };
    Way(seen, Some(expected))
}
