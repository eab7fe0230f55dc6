//! `lvsform resume`

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;

use super::Exit;
use super::input::{self, Prepared};
use super::output::Output;
use super::pending;
use super::records::{self, LockArguments, Place, PlaceArguments};
use super::work::{Looked, Work};
use crate::kernel::linux::Linux;
use crate::plan::Aim;
use crate::state::{Connections, Key, State, duration};
use crate::txn::ledger::Ledger;
use crate::txn::{debt, history};

/// How often the kernel is asked how many connections are left.
const PAUSE: Duration = Duration::from_millis(500);

/// Delete the servers that earlier runs let go and that are drained
///
/// A server that leaves a service with `drain` gets weight 0, and is deleted when its connections have ended, or when the time
/// is over. `apply` waits for that; with --no-wait, or when it was interrupted, this does it. A server to which somebody gave
/// weight again stays. Needs no file.
///
/// Exit code: 0 done, or nothing to do; 1 failed, nothing changed; 6 someone else is writing; 7 another run has the lock, or an
/// apply waits to be confirmed; 8 failed and rolled back; 9 failed, and not everything is as it was.
#[derive(Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    wait: LockArguments,
    /// Delete what is drained, and do not wait for the rest
    #[arg(long)]
    no_wait: bool,
}

impl Resume {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let (mut kernel, place) = self.place.open(out)?;
        let Some(store) = place.look(out)? else {
            out.say("Nothing to resume: no topology owns anything here.\n");
            return Ok(Exit::Done);
        };
        if !pending::waiting(&store, &place, out)?.is_empty() {
            place.begin(&mut kernel, &self.wait, None, out)?;
        }
        let topologies = store.topologies().map_err(|error| records::unusable(&error, out))?;
        let pay = Pay { place: &place, wait: &self.wait, until_paid: !self.no_wait };
        for topology in &topologies {
            let exit = pay.run(topology, &mut kernel, out)?;
            if exit != Exit::Done {
                return Ok(exit);
            }
        }
        Ok(Exit::Done)
    }
}

/// Paying what a topology owes.
pub struct Pay<'a> {
    /// Where.
    pub place: &'a Place,
    /// How long to wait for another run.
    pub wait: &'a LockArguments,
    /// Whether to wait until everything is paid.
    pub until_paid: bool,
}

/// A server that still has connections.
struct Owed {
    connections: Connections,
    /// It has so many seconds.
    seconds: u64,
}

impl Pay<'_> {
    /// Deletes what is drained, and waits for the rest. The lock is not held while connections end.
    pub fn run(&self, topology: &str, kernel: &mut Linux, out: &mut Output) -> Result<Exit, Exit> {
        loop {
            let (exit, left) = self.once(topology, kernel, out)?;
            if exit != Exit::Done || left.is_empty() {
                return Ok(exit);
            }
            if !self.until_paid {
                out.say(&format!("Draining: {}. `lvsform resume`, or the next apply, deletes them.\n", said(&left)));
                return Ok(Exit::Done);
            }
            out.progress(&format!("draining: {}", said(&left)));
            pause();
        }
    }

    /// Deletes what is drained by now. What is left, each with its connections and how many seconds it has.
    fn once(&self, topology: &str, kernel: &mut Linux, out: &mut Output) -> Result<(Exit, Vec<Owed>), Exit> {
        // Most have no debts: then nothing is locked.
        let owes = |ledger: &Ledger| !ledger.debts.is_empty();
        match self.place.look(out)? {
            Some(store) if self.place.claims(&store, topology, None, out)?.own.as_ref().is_some_and(owes) => {}
            _ => return Ok((Exit::Done, Vec::new())),
        }
        let (_guard, mut store) = self.place.begin(kernel, self.wait, None, out)?;
        let claims = self.place.claims(&store, topology, None, out)?;
        let Some(own) = claims.own.clone() else { return Ok((Exit::Done, Vec::new())) };
        let observed = input::observe(kernel, &debt::scope(), out)?;
        let now = history::now();
        let payable = debt::payable(&own, &observed, now);
        let standing = debt::standing(&own, &observed);
        let void: Vec<Key> = own.debts.keys().filter(|key| !standing.contains_key(*key)).cloned().collect();
        let left = standing.iter().filter(|(key, _)| !payable.contains_key(*key)).map(|(key, debt)| {
            let connections = observed.traffic.get(key).copied().unwrap_or_default();
            Owed { connections, seconds: debt.until.saturating_sub(now) }
        });
        let left = left.collect();
        if payable.is_empty() && void.is_empty() {
            return Ok((Exit::Done, left));
        }
        let mut next = own.clone();
        next.entries.retain(|key, _| !payable.contains_key(key));
        next.debts.retain(|key, _| !payable.contains_key(key));
        let nothing = State::default();
        let mut aim = Aim::from(&nothing);
        let owned: BTreeSet<&Key> = payable.keys().collect();
        let names = own.entries.iter().filter(|(key, _)| owned.contains(key));
        aim.leaving = names.map(|(key, entry)| (key.clone(), entry.name.as_str().into())).collect();
        let prepared = Prepared::nothing(topology, &own.host);
        let plan = prepared.plan(&aim, &observed);
        let used = void.iter().filter_map(|key| Some(used_again(key, debt::weight_again(key, &observed)?)));
        let words: String = used.chain(payable.iter().map(|(key, connections)| paid(key, *connections))).collect();
        debt::forgive(&mut next, void);
        out.progress("");
        out.say(&words);
        let work = Work::new("resume", &prepared, Some(next));
        let exit = work.carry_out(kernel, &mut store, self.place, Looked { claims, aim, observed, plan }, out)?;
        Ok((exit, left))
    }
}

fn used_again(key: &Key, weight: u32) -> String {
    format!(
        "Left alone: {key} has weight {weight} again, so somebody uses it, and it is let go no more. An apply of a file without \
         it lets it go again.\n"
    )
}

fn paid(key: &Key, Connections { active, inactive, .. }: Connections) -> String {
    match u64::from(active) + u64::from(inactive) {
        0 => format!("Drained: {key} is deleted.\n"),
        _ if active == 0 => format!("Drained: {key} is deleted; what it still counts has ended.\n"),
        _ => format!("Time is over: {key} is deleted with {active} established connections, which are cut.\n"),
    }
}

/// `12 connections on 2 servers, 1m40s at most`
fn said(left: &[Owed]) -> String {
    let connections: u64 =
        left.iter().map(|Owed { connections, .. }| u64::from(connections.active) + u64::from(connections.inactive)).sum();
    let seconds = left.iter().map(|owed| owed.seconds).max().unwrap_or_default();
    let servers = if left.len() == 1 { "1 server".to_owned() } else { format!("{} servers", left.len()) };
    format!("{connections} connections on {servers}, {} at most", duration(u32::try_from(seconds).unwrap_or(u32::MAX)))
}

/// Connections end when they end; the kernel tells nobody.
#[expect(clippy::disallowed_methods, reason = "the kernel has no event for the end of a connection")]
fn pause() {
    std::thread::sleep(PAUSE);
}
