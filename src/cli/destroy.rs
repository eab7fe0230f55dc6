//! `lvsform destroy`

use clap::Args;

use super::Exit;
use super::apply::ask;
use super::input::{self, Prepared};
use super::output::Output;
use super::pending;
use super::records::{self, LockArguments, Place, RecordArguments};
use super::work::{Looked, Work, look};
use crate::plan::policy::Broken;
use crate::report;
use crate::state::Key;
use crate::txn::store::Store;

/// Give back everything that a topology owns here, as it was found
///
/// What the topology made is deleted; what was there before it came gets its old value back. Needs no file: the ledger knows.
/// Shows the plan, and asks.
///
/// Exit code: as `apply`.
#[derive(Debug, Args)]
pub struct Destroy {
    /// The topology's name
    topology: String,
    /// A network namespace, by its name under /run/netns
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
    #[command(flatten)]
    records: RecordArguments,
    #[command(flatten)]
    wait: LockArguments,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Also what `policy` protects
    #[arg(long, value_name = "RULE", value_parser = ["protect"])]
    allow: Vec<String>,
}

impl Destroy {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let mut kernel = input::open(self.netns.as_deref(), out)?;
        let place = self.records.here(out)?;
        let mut shown = None;
        if !self.yes {
            let store = place.look(out)?;
            let prepared = self.prepare(store.as_ref(), &place, out)?;
            let looked = look(&prepared, &mut kernel, store.as_ref(), &place, out)?;
            out.print(&self.text(&looked, out));
            if !looked.plan.is_empty() {
                ask(out)?;
            }
            shown = Some(looked.plan.phases);
        }
        let _guard = place.lock(&self.wait, out)?;
        let mut store = place.open(out)?;
        if let Some(unfinished) = records::unfinished(&store, out)? {
            records::take_back(&mut kernel, &mut store, &place, &unfinished, out)?;
        }
        pending::settle(&mut kernel, &mut store, &place, None, out)?;
        let prepared = self.prepare(Some(&store), &place, out)?;
        let looked = look(&prepared, &mut kernel, Some(&store), &place, out)?;
        match shown {
            Some(shown) if shown != looked.plan.phases => {
                let message = "the kernel changed after the plan was shown; nothing was done";
                out.error(&report::error(message, &[], Some("run it again and read the new plan"), out.error_style));
                return Err(Exit::Stale);
            }
            Some(_) => {}
            None => out.say(&self.text(&looked, out)),
        }
        self.obey(&looked, out)?;
        let netns = self.netns.as_deref();
        Work {
            verb: "destroy",
            netns,
            prepared: &prepared,
            allowed: self.allow,
            next: None,
            remember: false,
            confirm_within: None,
        }
        .carry_out(&mut kernel, &mut store, &place, looked, out)
    }

    /// A topology of which nothing is wanted.
    fn prepare(&self, store: Option<&Store>, place: &Place, out: &mut Output) -> Result<Prepared, Exit> {
        let claims = store.map(|store| place.claims(store, &self.topology, None, out)).transpose()?;
        let Some(own) = claims.and_then(|claims| claims.own) else {
            let known = store.and_then(|store| store.topologies().ok()).unwrap_or_default();
            let message = format!("topology `{}` owns nothing here", self.topology);
            let help = if known.is_empty() {
                format!("nobody does: there is no ledger for `{}`", place.name)
            } else {
                format!("these do: {}", known.join(", "))
            };
            out.error(&report::error(&message, &[], Some(&help), out.error_style));
            return Err(Exit::Usage);
        };
        Ok(Prepared::nothing(&self.topology, &own.host))
    }

    fn text(&self, looked: &Looked<'_>, out: &Output) -> String {
        if looked.plan.is_empty() {
            return format!("Nothing to give back: what topology `{}` owns here is gone already.\n", self.topology);
        }
        report::text::plan(&looked.plan, &crate::source::Sources::default(), out.style)
    }

    /// What is protected stays.
    fn obey(&self, looked: &Looked<'_>, out: &mut Output) -> Result<(), Exit> {
        let is_protected = |key: &Key| looked.claims.own.as_ref().is_some_and(|own| own.protect.contains(key));
        let deleted = looked.plan.changes.iter().map(|planned| &planned.change).filter(|change| change.after.is_none());
        let protected = deleted.filter(|change| is_protected(&change.key));
        let reasons: Vec<String> = protected.map(|change| Broken::Protect(change.key.clone()).to_string()).collect();
        if reasons.is_empty() || !self.allow.is_empty() {
            return Ok(());
        }
        let help = "let this run break the rule: --allow protect";
        out.error(&report::error("a rule forbids this plan; nothing was changed", &reasons, Some(help), out.error_style));
        Err(Exit::Refused)
    }
}
