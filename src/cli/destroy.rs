//! `lvsform destroy`

use clap::Args;

use super::Exit;
use super::apply::ask;
use super::input::Prepared;
use super::output::Output;
use super::records::{self, LockArguments, Place, PlaceArguments};
use super::work::{Looked, Work, as_shown, look, obey, refuse_forbidden};
use crate::plan::policy::MODEL;
use crate::report;
use crate::source::Sources;
use crate::txn::ledger::Ledger;
use crate::txn::store::Store;

/// Give back everything that a topology owns here, as it was found
///
/// What the topology made is deleted; what was there before it came gets its old value back. Needs no file: the ledger knows.
/// Shows the plan, and asks.
///
/// Exit code: as `apply`; 64 also where the topology owns nothing here.
#[derive(Debug, Args)]
pub struct Destroy {
    /// The topology's name
    topology: String,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    wait: LockArguments,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Let this run break a rule: `protect`, that what `policy` protects stays; `foreign`, that others lose no route; `model`,
    /// that a model of the kernel takes the plan. May be repeated
    #[arg(long, value_name = "RULE", value_parser = ["protect", "foreign", MODEL])]
    allow: Vec<String>,
}

impl Destroy {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let (mut kernel, place) = self.place.open(out)?;
        let mut shown = None;
        if !self.yes {
            let store = place.look_beside(&mut kernel, out)?;
            if let Some(store) = &store {
                records::refuse_unfinished(store, &place, out)?;
            }
            let prepared = self.prepare(store.as_ref(), &place, out)?;
            let looked = look(&prepared, &mut kernel, store.as_ref(), &place, out)?;
            out.print(&self.text(&looked, out));
            if !looked.plan.is_empty() {
                refuse_forbidden(&prepared, &looked.plan, out)?;
                ask(out)?;
            }
            shown = Some(looked.plan.phases);
        }
        let (_guard, mut store) = place.begin(&mut kernel, &self.wait, None, out)?;
        let prepared = self.prepare(Some(&store), &place, out)?;
        let looked = look(&prepared, &mut kernel, Some(&store), &place, out)?;
        match shown {
            Some(shown) => as_shown(&shown, &looked, out)?,
            None => out.say(&self.text(&looked, out)),
        }
        // To have nothing left is what was asked for.
        let allowed = [self.allow.as_slice(), &["empties".to_owned()]].concat();
        obey(&prepared, &looked, &allowed, out)?;
        let work = Work { allowed: self.allow, ..Work::new("destroy", &prepared, None) };
        work.carry_out(&mut kernel, &mut store, &place, looked, out)
    }

    /// A topology of which nothing is wanted.
    fn prepare(&self, store: Option<&Store>, place: &Place, out: &mut Output) -> Result<Prepared, Exit> {
        // Not what it owns: of an apply that nobody confirmed before its boot ended nothing is left but the ledger.
        let ledger = store.map(|store| Ledger::read(store, &self.topology)).transpose().map_err(|error| {
            records::unreadable(&error, records::HELP_LEDGER, out);
            Exit::Failed
        })?;
        let Some(ledger) = ledger.flatten() else {
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
        Ok(Prepared::nothing(&self.topology, &ledger.host))
    }

    fn text(&self, looked: &Looked<'_>, out: &Output) -> String {
        if looked.plan.is_empty() {
            return format!("Nothing to give back: what topology `{}` owns here is gone already.\n", self.topology);
        }
        report::text::plan(&looked.plan, &Sources::default(), out.style)
    }
}
