//! A rehearsal as it goes on: the network that stands, what was applied last, and the acts so far.

mod calls;

pub(super) use calls::Lost;
use calls::Tried;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use super::layout::{self, Layout};
use super::net::Net;
use super::server::{Seen, Servers, start};
use super::trial::{Cast, Seat, Trial, marked, seats, trials};
use super::{Act, Audience, Failure, Finding, Outcome, Rehearsal, Row, change, diagnose, judge, written};
use crate::compile;
use crate::kernel::Kernel as _;
use crate::kernel::linux::Linux;
use crate::plan::{Phase, Rank};
use crate::state::{Change, DestinationId, Key, Protocol, State};
use crate::topology::{Role, Topology};

/// So many trials tell that a director has no IPVS.
const PROBES: usize = 8;

/// A rehearsal under way.
pub struct Scene<'a> {
    rehearsal: &'a Rehearsal<'a>,
    folder: &'a Path,
    pub(super) layout: Layout,
    pub(super) net: Net,
    pub(super) cast: Cast,
    pub(super) topology: Topology,
    seats: Vec<Seat>,
    seen: Seen,
    /// Held for its threads.
    _servers: Vec<Servers>,
    /// The last weight of each destination that was not 0.
    weights: BTreeMap<DestinationId, u32>,
    requests: u32,
    sources: u32,
    outcome: Outcome,
}

impl<'a> Scene<'a> {
    /// Builds the network, starts the servers and applies the file on every host.
    pub(super) fn set(rehearsal: &'a Rehearsal<'a>, folder: &'a Path, audience: &mut dyn Audience) -> Result<Scene<'a>, Failure> {
        let topology = rehearsal.topology.clone();
        let layout = layout::layout(&topology);
        let cast = cast(&topology);
        let (trials, mut notes) = trials(&topology, &layout.by_hand, &cast);
        let wires = layout.segments.len();
        audience.step(&format!("{} hosts on {wires} wire{}", layout.hosts.len(), if wires == 1 { "" } else { "s" }));
        let net = Net::build(&layout)?;
        for host in topology.hosts.values() {
            let marks = marked(&topology).into_iter().filter(|of| compile::carries(of.vip, host));
            let marks: Vec<(SocketAddr, u32)> = marks.map(|of| (of.target, of.mark)).collect();
            if !marks.is_empty() {
                net.mark(&host.name.value, &marks)?;
            }
        }
        let seats = seats(&trials);
        let seen = Seen::default();
        let mut servers = Vec::new();
        for (host, namespace) in &net.hosts {
            let is_deaf = |seat: &Seat| rehearsal.deaf.iter().any(|(deaf, port)| deaf == host && *port == seat.address.port());
            let own: Vec<(usize, Seat)> =
                seats.iter().cloned().enumerate().filter(|(_, seat)| seat.host == *host && !is_deaf(seat)).collect();
            if !own.is_empty() {
                servers.push(start(namespace, &own, &seen)?);
            }
        }
        notes.extend(rehearsal.notes.iter().cloned());
        notes.extend(layout.hosts.iter().filter_map(|(host, plan)| {
            let (family, _) = plan.without.as_ref()?;
            Some(format!(
                "{host} serves {family} clients and has no {family} address in the file: here its replies go to the router all the \
                 same, there it needs a route for them"
            ))
        }));
        notes.extend(layout.hosts.iter().filter(|(_, plan)| !plan.off_way.is_empty()).map(|(host, plan)| {
            format!(
                "{host} has VIPs on {}, and its default route leads elsewhere: here its reverse path filter is loose (2), since \
                 clients come from behind a router",
                plan.off_way.join(", ")
            )
        }));
        let outcome = Outcome { kernel: release(), hosts: layout.hosts.len(), notes, ..Outcome::default() };
        let mut scene = Scene {
            rehearsal,
            folder,
            layout,
            net,
            cast,
            topology,
            seats,
            seen,
            _servers: servers,
            weights: BTreeMap::new(),
            requests: 1,
            sources: 1,
            outcome,
        };
        scene.apply_all(rehearsal.file, audience)?;
        for broken in rehearsal.breaks {
            scene.break_it(&broken.host, &broken.line)?;
        }
        Ok(scene)
    }

    /// Plays the acts.
    pub(super) fn play(&mut self, audience: &mut dyn Audience) -> Result<(), Failure> {
        if !self.outcome.findings.is_empty() {
            return Ok(());
        }
        let clients = "clients come";
        if !self.act("as-written", "The file as it is written.".to_owned(), clients, audience)? {
            return Ok(());
        }
        let mut changed = self.topology.clone();
        let done = change::weights(&mut changed);
        if !done.is_empty() {
            self.become_(changed.clone(), "weights", audience)?;
            let what = format!("Weights: {}.", done.join(", "));
            if !self.act("weights", what, "weights have changed, clients come", audience)? {
                return Ok(());
            }
        }
        let hosts = change::dispensable(&self.trials());
        if !hosts.is_empty() {
            let names = hosts.iter().cloned().collect::<Vec<_>>().join(", ");
            let held = self.hold(&hosts)?;
            change::drain(&mut changed, &hosts);
            self.become_(changed.clone(), "drain", audience)?;
            if !self.act("drain", format!("Drained: {names} at weight 0."), "servers are drained, clients come", audience)? {
                return Ok(());
            }
            self.hold_on(held);
            change::remove(&mut changed, &hosts);
            self.become_(changed.clone(), "remove", audience)?;
            if !self.act("remove", format!("Removed: {names}."), "servers are removed, clients come", audience)? {
                return Ok(());
            }
        }
        let moved = change::failover(&mut changed);
        self.outcome.notes.extend(moved.not);
        if !moved.done.is_empty() {
            self.layout.vip_routes = layout::vip_routes(&changed);
            let placed = layout::by_hand(&changed, usize::from(moved.by_hand));
            self.become_(changed, "failover", audience)?;
            self.net.place_by_hand(&self.layout.by_hand, &placed)?;
            self.layout.by_hand = placed;
            let what = format!("Moved: {}.", moved.done.join(", "));
            if !self.act("failover", what, "VIPs have moved, clients come", audience)? {
                return Ok(());
            }
        }
        self.without_ipvs(audience)
    }

    /// What came of it.
    pub(super) fn outcome(mut self) -> Outcome {
        self.outcome.findings.sort();
        self.outcome.findings.dedup();
        let works = |act: &Act| act.rows.iter().all(|row| row.works);
        self.outcome.works = self.outcome.findings.is_empty() && self.outcome.acts.iter().all(works);
        self.outcome
    }

    fn trials(&self) -> Vec<Trial> {
        trials(&self.topology, &self.layout.by_hand, &self.cast).0
    }

    /// Applies a file on every host, servers first: a director that is ready sends to them.
    fn apply_all(&mut self, file: &Path, audience: &mut dyn Audience) -> Result<(), Failure> {
        let mut hosts: Vec<(Role, String)> =
            self.topology.hosts.values().map(|host| (host.role, host.name.value.clone())).collect();
        hosts.sort_by_key(|(role, _)| *role == Role::Director);
        let count = hosts.len();
        for (at, (_, host)) in hosts.into_iter().enumerate() {
            leave(audience)?;
            audience.step(&format!("apply {} of {count}: {host}", at + 1));
            self.apply(file, &host)?;
        }
        Ok(())
    }

    /// `lvsform apply FILE --host HOST --yes` in the host's namespace. What it says when it fails is a finding.
    fn apply(&mut self, file: &Path, host: &str) -> Result<bool, Failure> {
        let Some(namespace) = self.net.hosts.get(host) else { return Ok(false) };
        let records = self.folder.join(format!("records-{host}"));
        let mut command = Command::new(self.rehearsal.program);
        command.args(["apply", "--yes", "--no-wait", "--color", "never", "--host", host, "--state-dir"]);
        command.arg(records).stdin(Stdio::null());
        if file != self.rehearsal.file {
            // What is removed here on purpose may be protected in earnest.
            command.args(["--allow", "protect"]);
        }
        command.arg("--").arg(file);
        let output = namespace.run(|| command.output()).map_err(|error| Failure::new("run lvsform apply", &error))?;
        if output.status.success() {
            return Ok(true);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let evidence: Vec<String> = said.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        self.outcome.findings.push(diagnose::not_applied(host, output.status.code(), evidence));
        Ok(false)
    }

    fn break_it(&self, host: &str, line: &str) -> Result<(), Failure> {
        let namespace = match host {
            "router" => Some(&self.net.router),
            _ => self.net.hosts.get(host),
        };
        let namespace = namespace.ok_or_else(|| Failure(format!("there is no host `{host}` to break")))?;
        let mut command = Command::new("/bin/sh");
        command.args(["-ec", line]).stdin(Stdio::null());
        let output = namespace.run(|| command.output()).map_err(|error| Failure::new("run sh", &error))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure(format!("`{line}` on {host}: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    /// Applies a changed topology where it changes something.
    fn become_(&mut self, topology: Topology, name: &str, audience: &mut dyn Audience) -> Result<(), Failure> {
        let path = self.folder.join(format!("{name}.kdl"));
        std::fs::write(&path, written::kdl(&topology)).map_err(|error| Failure::new("write a file in /tmp", &error))?;
        let before = std::mem::replace(&mut self.cast, cast(&topology));
        for (key, destination) in before.values().flat_map(|compiled| &compiled.state.objects) {
            if let (Key::Destination(key), crate::state::Resource::Destination(destination)) = (key, destination)
                && destination.weight.value() > 0
            {
                self.weights.insert(key.id(), destination.weight.value());
            }
        }
        self.topology = topology;
        let differs = |host: &&String| {
            let state = |cast: &Cast| cast.get(*host).map(|compiled| compiled.state.clone());
            state(&before) != state(&self.cast)
        };
        let hosts: Vec<String> = self.cast.keys().filter(differs).cloned().collect();
        let (directors, servers): (Vec<String>, Vec<String>) = hosts.into_iter().partition(|host| self.is_director(host));
        // A server that is no longer sent to goes last.
        let (first, last) = if name == "remove" { (directors, servers) } else { (servers, directors) };
        for host in first.into_iter().chain(last) {
            leave(audience)?;
            audience.step(&format!("{name}: apply {host}"));
            self.apply(&path, &host)?;
        }
        Ok(())
    }

    fn is_director(&self, host: &str) -> bool {
        self.topology.hosts.get(host).is_some_and(|host| host.role == Role::Director)
    }

    /// Tries everything. Returns whether it works.
    fn act(&mut self, name: &'static str, what: String, step: &str, audience: &mut dyn Audience) -> Result<bool, Failure> {
        let trials = self.trials();
        let mut act = Act { name, what, rows: Vec::new() };
        for (at, trial) in trials.iter().enumerate() {
            leave(audience)?;
            audience.step(&format!("{step}: {} of {}, {} at {}", at + 1, trials.len(), trial.listen(), trial.director));
            self.lead(trial)?;
            let Tried { mut row, lost } = self.try_(trial);
            if !row.works {
                let mut found = diagnose::find(self, trial, &row, &lost);
                if found.iter().all(|finding| finding.cause == diagnose::UNKNOWN) {
                    // A machine that is busy elsewhere loses a client's patience too.
                    let again = self.try_(trial);
                    if again.row.works {
                        found.clear();
                        let first = row.wrong.join("; ");
                        self.outcome.notes.push(format!("{} at {}: {first}; another try worked", row.listen, row.director));
                        row = again.row;
                    }
                }
                self.outcome.findings.extend(found);
            }
            act.rows.push(row);
        }
        let works = act.rows.iter().all(|row| row.works);
        self.outcome.acts.push(act);
        Ok(works && self.outcome.findings.is_empty())
    }

    /// Opens connections that are to outlive the draining of a server: one for each stream that meets one of `hosts`.
    fn hold(&mut self, hosts: &BTreeSet<String>) -> Result<Vec<Held>, Failure> {
        let mut held = Vec::new();
        for trial in self.trials().into_iter().filter(|trial| trial.protocol != Protocol::Udp && trial.answered) {
            let on = |server: &super::trial::Server| server.seat.as_ref().is_some_and(|seat| hosts.contains(&seat.host));
            if !trial.servers.iter().any(|server| on(server) && server.weight > 0) {
                continue;
            }
            self.lead(&trial)?;
            for _ in 0..4 * trial.servers.len() {
                let call = self.next_call(&trial, 0);
                let answer = self.net.client.run(|| call.call());
                let seat = answer.seat.and_then(|at| self.seats.get(at).cloned());
                if let (Some(seat), Some(stream)) = (seat, answer.open)
                    && hosts.contains(&seat.host)
                {
                    held.push(Held { trial, seat, stream });
                    break;
                }
            }
        }
        Ok(held)
    }

    /// Sees whether connections go on that were opened before.
    fn hold_on(&mut self, held: Vec<Held>) {
        for Held { trial, seat, mut stream } in held {
            if self.lead(&trial).is_err() {
                continue;
            }
            let call = self.call(&trial, 0, 0, 0);
            // It has nobody else to ask, and a machine that is busy elsewhere is no lost connection.
            let _ = stream.set_read_timeout(Some(self.rehearsal.patience * 4));
            if call.again(&mut stream).is_none() {
                self.outcome.findings.push(Finding {
                    cause: "held-connection-lost",
                    host: seat.host.clone(),
                    text: format!(
                        "a connection to {} was open when {} was drained, and did not go on",
                        trial.listen(),
                        seat.host
                    ),
                    ..Finding::default()
                });
            }
        }
    }

    /// Takes the services of the first director away, sees that clients notice, and applies again.
    fn without_ipvs(&mut self, audience: &mut dyn Audience) -> Result<(), Failure> {
        let trials = self.trials();
        let Some(director) = trials.iter().find(|trial| tells(trial, &self.seats)).map(|trial| trial.director.clone()) else {
            return Ok(());
        };
        audience.step(&format!("{director} loses its IPVS, clients come"));
        let state = self.cast.get(&director).map(|compiled| compiled.state.clone()).unwrap_or_default();
        let Some(namespace) = self.net.hosts.get(&director) else { return Ok(()) };
        namespace
            .run(|| forget_services(&state))
            .map_err(|error| Failure(format!("cannot take {director}'s IPVS away: {error}")))?;
        let mut act =
            Act { name: "without-ipvs", what: format!("{director} without IPVS, and with it again."), rows: Vec::new() };
        let probes: Vec<&Trial> =
            trials.iter().filter(|trial| trial.director == director && tells(trial, &self.seats)).take(PROBES).collect();
        for trial in &probes {
            leave(audience)?;
            self.lead(trial)?;
            let noticed = self.probe(trial).is_none();
            let wrong = if noticed { Vec::new() } else { vec!["it was answered though its director has no IPVS".to_owned()] };
            act.rows.push(Row { answered: usize::from(!noticed), works: noticed, wrong, ..row(trial) });
        }
        let path = self.folder.join("again.kdl");
        std::fs::write(&path, written::kdl(&self.topology)).map_err(|error| Failure::new("write a file in /tmp", &error))?;
        self.apply(&path, &director)?;
        for trial in &probes {
            leave(audience)?;
            self.lead(trial)?;
            let back = trial.servers.iter().all(|server| server.weight == 0) || (0..6).any(|_| self.probe(trial).is_some());
            let wrong = if back { Vec::new() } else { vec!["it is not back after another apply".to_owned()] };
            act.rows.push(Row { answered: usize::from(back), works: back, wrong, ..row(trial) });
        }
        self.outcome.acts.push(act);
        Ok(())
    }
}

/// Whether one connection to a trial's target tells that its director has no IPVS, and that it has it again. A director where
/// a server listens on the VIP answers without; servers with room for few may be full still.
fn tells(trial: &Trial, seats: &[Seat]) -> bool {
    let listens = |seat: &Seat| seat.host == trial.director && seat.protocol == trial.protocol && seat.address == trial.target;
    trial.answered && !seats.iter().any(listens) && !trial.servers.iter().any(judge::may_be_full)
}

/// A connection that stays open.
struct Held {
    trial: Trial,
    seat: Seat,
    stream: TcpStream,
}

/// What a trial is, before anything came of it: one connection.
fn row(trial: &Trial) -> Row {
    Row {
        service: trial.name.clone(),
        listen: trial.listen(),
        family: trial.family().to_string(),
        director: trial.director.clone(),
        method: trial.method(),
        scheduler: trial.service.scheduler_text(),
        connections: 1,
        ..Row::default()
    }
}

fn cast(topology: &Topology) -> Cast {
    let compile = |host: &crate::topology::Host| compile::compile(topology, host);
    topology.hosts.values().map(|host| (host.name.value.clone(), compile(host))).collect()
}

/// Deletes every service of a state from the calling thread's namespace.
fn forget_services(state: &State) -> Result<(), String> {
    let mut kernel = Linux::open(None).map_err(|error| error.to_string())?;
    let services = state.objects.iter().filter(|(key, _)| matches!(key, Key::Service(_)));
    let steps = services.map(|(key, resource)| Change { key: key.clone(), before: Some(resource.clone()), after: None });
    kernel.run(&Phase { rank: Rank::ServicesDeleted, steps: steps.collect() });
    Ok(())
}

fn release() -> String {
    nix::sys::utsname::uname().map(|names| names.release().to_string_lossy().into_owned()).unwrap_or_default()
}

fn leave(audience: &dyn Audience) -> Result<(), Failure> {
    if audience.wants_to_leave() { Err(Failure("interrupted; all of it is gone".to_owned())) } else { Ok(()) }
}
