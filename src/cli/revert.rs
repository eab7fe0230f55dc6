//! `lvsform revert`

use clap::Args;

use super::Exit;
use super::apply::ask;
use super::input::Prepared;
use super::output::Output;
use super::records::{self, LockArguments, Place, PlaceArguments};
use super::work::{Looked, Work, as_shown, look, next_ledger};
use crate::report;
use crate::source::Sources;
use crate::txn::former::Former;
use crate::txn::ledger::Ledger;
use crate::txn::store::Store;

/// Go back to what a topology had before its last apply
///
/// What that apply made is deleted, what it changed gets its old value, and what it deleted is there again. Needs no file: it
/// is kept beside the ledger, until the next apply that changes something, and in this boot. Only one step goes back: what was
/// reverted is not kept. Shows the plan, and asks. The rules of `policy` are not asked.
///
/// Exit code: as `apply`; 1 also where there is nothing to go back to; 64 also where no topology owns anything here, or several
/// do and none is named.
#[derive(Debug, Args)]
pub struct Revert {
    /// The topology's name; may be left out where there is only one
    topology: Option<String>,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    wait: LockArguments,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Revert {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let (mut kernel, place) = self.place.open(out)?;
        let topology = records::the_topology(self.topology.as_deref(), &place, out)?;
        let mut shown = None;
        if !self.yes {
            let Some(store) = place.look(out)? else { return Err(no_way_back(&topology, "it owns nothing here", out)) };
            records::refuse_unfinished(&store, &place, out)?;
            let back = Back::of(&store, &place, &topology, out)?;
            let looked = look(&back.prepared, &mut kernel, Some(&store), &place, out)?;
            out.print(&report::text::plan(&looked.plan, &Sources::default(), out.style));
            if !looked.plan.is_empty() {
                ask(out)?;
            }
            shown = Some(looked.plan.phases);
        }
        let (_guard, mut store) = place.begin(&mut kernel, &self.wait, Some(&topology), out)?;
        let back = Back::of(&store, &place, &topology, out)?;
        let looked = look(&back.prepared, &mut kernel, Some(&store), &place, out)?;
        match shown {
            Some(shown) => as_shown(&shown, &looked, out)?,
            None => out.say(&report::text::plan(&looked.plan, &Sources::default(), out.style)),
        }
        let work = back.work("revert", &place, &looked);
        work.carry_out(&mut kernel, &mut store, &place, looked, out)
    }
}

/// The way back to before the last apply of a topology.
pub struct Back {
    /// As if a file said it.
    pub prepared: Prepared,
    former: Former,
}

impl Back {
    /// Says why, where there is none.
    pub fn of(store: &Store, place: &Place, topology: &str, out: &mut Output) -> Result<Back, Exit> {
        let unreadable = |error, out: &mut Output| {
            records::unreadable(&error, "without it there is no way back; apply the file that you want", out);
            Exit::Failed
        };
        let present = Ledger::read(store, topology).map_err(|error| unreadable(error, out))?;
        let Some(present) = present else { return Err(no_way_back(topology, "it owns nothing here", out)) };
        if present.instance != place.instance {
            let why = "it was applied before the last boot, or in another namespace of this name, and its objects went with that";
            return Err(no_way_back(topology, why, out));
        }
        match Former::read(store, &present).map_err(|error| unreadable(error, out))? {
            Some(former) => Ok(Back { prepared: Prepared::former(&former, &present), former }),
            None => Err(no_way_back(topology, "what it had before is not kept: the last run was a revert or an adopt", out)),
        }
    }

    /// What goes it, as one transaction.
    pub fn work<'a>(&'a self, verb: &'static str, place: &Place, looked: &Looked<'_>) -> Work<'a> {
        let Back { prepared, former: Former { ledger, lost } } = self;
        let owns = !ledger.transaction.is_empty() || !looked.aim.draining.is_empty();
        let next = owns.then(|| {
            let mut next = next_ledger(prepared, place, looked, "", false);
            next.entries.retain(|key, _| !lost.contains_key(key));
            Ledger { protect: ledger.protect.clone(), sources: ledger.sources.clone(), ..next }
        });
        Work::new(verb, prepared, next)
    }
}

fn no_way_back(topology: &str, why: &str, out: &mut Output) -> Exit {
    let message = format!("there is nothing to revert of topology `{topology}`: {why}; nothing was changed");
    out.error(&report::error(&message, &[], Some("apply the file that you want"), out.error_style));
    Exit::Failed
}
