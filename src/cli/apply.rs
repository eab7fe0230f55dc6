//! `lvsform apply`

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::Exit;
use super::input::{self, HostArguments, Prepared};
use super::output::Output;
use super::pending;
use super::records::{self, LockArguments, Place, PlaceArguments};
use super::resume::Pay;
use super::saved::Saved;
use super::work::{Looked, Work, as_shown, differ, look, next_ledger, obey, refuse_forbidden, stale};
use crate::kernel::linux::Linux;
use crate::plan::policy;
use crate::report;
use crate::txn::store::Store;

/// Make a host's kernel hold what a topology says
///
/// Shows the plan, asks, carries it out in order, reads the kernel back and compares. If the kernel refuses anything, or a
/// signal comes, everything that this run did is taken back; if the run dies, the next one takes it back. What the topology
/// made and the file no longer has is deleted, or given back as it was found. What others made is left alone, but for the
/// IPVS table where the file says `ownership ipvs="exclusive"`.
///
/// Exit code: 0 done, or nothing to do; 1 failed, nothing changed; 5 refused by a rule, by a model of the kernel, or because
/// another topology owns it; 6 the kernel moved since the plan was shown or approved; 7 another run has the lock, or an apply
/// waits to be confirmed; 8 failed and rolled back; 9 failed, and not everything is as it was; 10 the topology is not valid.
#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    host: HostArguments,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    wait: LockArguments,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Do not ask, and do exactly the plan that has this digest, or nothing
    #[arg(long, value_name = "DIGEST", conflicts_with = "yes")]
    expect: Option<String>,
    /// Do not wait until servers that leave are drained; the next apply, or `lvsform resume`, deletes them
    #[arg(long)]
    no_wait: bool,
    /// Take everything back after this time, counted from the first step, unless `lvsform confirm` comes: `60s`
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    confirm_within: Option<Duration>,
    /// Let this run break a rule of `policy`, or one that needs no file: `empties`, that a plan does not delete every service;
    /// `foreign`, that others lose no route; `host`, that a namespace stays the same host of a topology; `model`, that a
    /// model of the kernel takes the plan before the kernel is asked. May be repeated
    #[arg(long, value_name = "RULE", value_parser = policy::RULES)]
    allow: Vec<String>,
}

impl Apply {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(mut self, out: &mut Output) -> Result<Exit, Exit> {
        let prepared = match Saved::read(&self.host.file, out)? {
            Some(saved) => self.approve(saved, out)?,
            None => input::prepare(&self.host.file, &self.host.composition, self.host.host.as_deref(), out)?,
        };
        let (mut kernel, place) = self.place.open(out)?;

        let mut shown = None;
        if !self.yes && self.expect.is_none() {
            let looked = Self::ask(&prepared, &mut kernel, &place, out)?;
            let next = next_ledger(&prepared, &place, &looked, "", false);
            if looked.plan.is_empty() && next.debts.is_empty() && !differ(looked.claims.own.as_ref(), &next) {
                return Ok(Exit::Done);
            }
            shown = Some(looked.plan.phases);
        }
        // The lock is not held while somebody thinks, so the kernel may have moved since.
        let guard = place.lock(&self.wait, out)?;
        let mut store = place.open(out)?;
        self.recover(&mut kernel, &mut store, &place, out)?;
        match &self.expect {
            // Whoever approved a plan did not approve taking back another one.
            Some(_) => pending::refuse(&store, &place, out)?,
            None => pending::settle(&mut kernel, &mut store, &place, None, out)?,
        }
        let looked = look(&prepared, &mut kernel, Some(&store), &place, out)?;
        match (&shown, &self.expect) {
            (Some(shown), _) => as_shown(shown, &looked, out)?,
            (None, Some(expected)) if *expected != prepared.digest(&looked.aim, &looked.plan) => {
                out.say(&report::text::plan(&looked.plan, &prepared.sources, out.style));
                return Err(stale("this is not the plan that was approved: the file or the kernel changed", out));
            }
            (None, _) => out.say(&report::text::plan(&looked.plan, &prepared.sources, out.style)),
        }
        obey(&prepared, &looked, &self.allow, out)?;
        let unprotect = self.allow.iter().any(|rule| rule == "protect");
        let next = next_ledger(&prepared, &place, &looked, "", unprotect);
        let work = Work {
            allowed: self.allow,
            remember: true,
            confirm_within: self.confirm_within,
            ..Work::new("apply", &prepared, Some(next))
        };
        let exit = work.carry_out(&mut kernel, &mut store, &place, looked, out)?;
        drop((guard, store));
        if exit != Exit::Done || self.confirm_within.is_some() {
            return Ok(exit); // nothing is deleted for good before it is confirmed
        }
        let pay = Pay { place: &place, wait: &self.wait, until_paid: !self.no_wait };
        pay.run(prepared.topology(), &mut kernel, out)
    }

    /// Takes a saved plan's word for what is approved. Its texts are compiled again, as if they were files.
    fn approve(&mut self, saved: Saved, out: &mut Output) -> Result<Prepared, Exit> {
        let Saved { file, host, topology, digest, texts } = saved;
        if self.host.host.as_ref().is_some_and(|named| *named != host) {
            let message = format!("this plan was made for host `{host}`; nothing was done");
            out.error(&report::error(&message, &[], Some("leave --host out: the plan has it"), out.error_style));
            return Err(Exit::Usage);
        }
        let prepared = input::prepare_of(Path::new(&file), &texts, Some(&host), out)?;
        if self.expect.as_ref().is_some_and(|expected| *expected != digest) || prepared.topology() != topology {
            return Err(stale("this saved plan is not the one that was approved", out));
        }
        self.expect = Some(digest);
        Ok(prepared)
    }

    /// Shows the plan, and asks unless there is nothing to do.
    fn ask<'a>(prepared: &'a Prepared, kernel: &mut Linux, place: &Place, out: &mut Output) -> Result<Looked<'a>, Exit> {
        let store = place.look_beside(kernel, out)?;
        if let Some(store) = &store {
            records::refuse_unfinished(store, place, out)?;
            pending::refuse(store, place, out)?;
        }
        let looked = look(prepared, kernel, store.as_ref(), place, out)?;
        let text = report::text::plan(&looked.plan, &prepared.sources, out.style);
        if looked.plan.is_empty() {
            out.say(&text);
        } else {
            refuse_forbidden(prepared, &looked.plan, out)?;
            out.print(&text); // also with --quiet: nobody says yes to what was not shown
            ask(out)?;
        }
        Ok(looked)
    }

    /// Takes back a run that did not end; whoever approved a plan did not approve that.
    fn recover(&self, kernel: &mut Linux, store: &mut Store, place: &Place, out: &mut Output) -> Result<(), Exit> {
        let Some(unfinished) = records::unfinished(store, out)? else { return Ok(()) };
        if self.expect.is_some() && records::is_to_be_taken_back(&unfinished, place) {
            let message = "an earlier run did not end, and taking it back was not approved; nothing was changed";
            out.error(&report::error(message, &[], Some("run `lvsform recover`, then plan again"), out.error_style));
            return Err(Exit::Incomplete);
        }
        records::take_back(kernel, store, place, &unfinished, out)
    }
}

/// Asks on the terminal. Without one there is nobody to ask.
pub fn ask(out: &mut Output) -> Result<(), Exit> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() || !std::io::stderr().is_terminal() {
        let message = "there is no terminal to ask on; nothing was changed";
        out.error(&report::error(message, &[], Some("say --yes to apply without being asked"), out.error_style));
        return Err(Exit::Failed);
    }
    if !out.arrived() {
        let message = "the plan could not be shown; nothing was changed";
        out.error(&report::error(message, &[], Some("see where standard output leads"), out.error_style));
        return Err(Exit::Failed);
    }
    out.error("\nApply these changes? Only `yes` is taken for yes: ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    if stdin.lock().read_line(&mut answer).is_ok() && answer.trim() == "yes" {
        return Ok(());
    }
    out.error("Nothing was changed.\n");
    Err(Exit::Failed)
}
