//! `lvsform recover`

use std::collections::BTreeSet;

use clap::Args;

use super::Exit;
use super::input::{self, Prepared};
use super::output::Output;
use super::pending;
use super::records::{self, LockArguments, Place, PlaceArguments};
use super::work::{Looked, Work, look, next_ledger};
use crate::kernel::linux::Linux;
use crate::plan::Aim;
use crate::report;
use crate::source::problem::nearest;
use crate::state::{Key, Scope};
use crate::txn::journal::{self, Journal, Unfinished};
use crate::txn::ledger::Ledger;
use crate::txn::store::Store;

/// How many objects of a run are named.
const SHOWN: usize = 20;

/// Take back a run that did not end
///
/// After a crash, a kill or a full disk the kernel is neither as it was nor as the file says. What the run did is taken back:
/// what is as the run left it goes back to what it was before. What somebody changed since is left alone and named; then
/// `--ours KEY` takes it back all the same, and `--theirs KEY` leaves it as it is for good.
///
/// When what is written down of the run is damaged, `--to-ledger` puts everything that the ledgers have to what they say, and
/// names what it cannot know of. After a boot, or in a namespace that was made anew, that is everything that was applied and
/// confirmed last, which it makes again from the ledgers alone.
///
/// Exit code: 0 everything is as it was before that run, or there was none; 1 failed, nothing changed; 6 someone else is writing;
/// 7 another run has the lock; 8 what the ledgers say could not be made, and the kernel is as it was; 9 not everything is as it
/// was before that run; 64 a KEY is not one of its objects.
#[derive(Debug, Args)]
pub struct Recover {
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    wait: LockArguments,
    /// Take this object back although somebody changed it: `server tcp 10.0.0.100:443 10.0.0.13:443`
    #[arg(long, value_name = "KEY")]
    ours: Vec<String>,
    /// Leave this object as it is
    #[arg(long, value_name = "KEY")]
    theirs: Vec<String>,
    /// Forget the run, and leave the kernel as it is
    #[arg(long, conflicts_with_all = ["ours", "theirs"])]
    discard: bool,
    /// Forget the run, and make everything that topologies own as their last run left it
    #[arg(long, conflicts_with_all = ["ours", "theirs", "discard"])]
    to_ledger: bool,
}

impl Recover {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let (mut kernel, place) = self.place.open(out)?;
        let _guard = place.lock(&self.wait, out)?;
        let mut store = place.open(out)?;
        if self.discard {
            return Self::discard(&mut kernel, &mut store, &place, out);
        }
        if self.to_ledger {
            return Self::to_ledger(&mut kernel, &mut store, &place, out);
        }
        if let Some(mut unfinished) = records::unfinished(&store, out)? {
            for (key, ours) in self.decisions(Some(&unfinished), &place, out)? {
                let written = unfinished.journal.mark_decided(&mut store, key.clone(), ours);
                written.map_err(|error| records::unusable(&error, out))?; // so that it holds if this run dies too
                unfinished.decided.insert(key, ours);
            }
            records::take_back(&mut kernel, &mut store, &place, &unfinished, out)?;
        } else {
            self.decisions(None, &place, out)?;
            out.say("Nothing to recover: every run has ended.\n");
        }
        pending::settle_over(&mut kernel, &mut store, &place, out)?;
        Ok(Exit::Done)
    }

    /// Forgets the run, damaged or not. Of one that was done only the records are left, and these are tidied.
    fn discard(kernel: &mut Linux, store: &mut Store, place: &Place, out: &mut Output) -> Result<Exit, Exit> {
        match journal::unfinished(store) {
            Ok(None) => out.say("Nothing to discard: every run has ended.\n"),
            Ok(Some(unfinished)) if unfinished.committed => records::take_back(kernel, store, place, &unfinished, out)?,
            _ => {
                journal::forget(store).map_err(|error| records::unusable(&error, out))?;
                out.say("Discarded: the run that had not ended is forgotten. `lvsform plan` shows where the kernel stands.\n");
            }
        }
        Ok(Exit::Done)
    }

    /// What the operator has decided: each about an object of the run, or nothing is taken for decided.
    fn decisions(&self, unfinished: Option<&Unfinished>, place: &Place, out: &mut Output) -> Result<Vec<(Key, bool)>, Exit> {
        let ours = self.ours.iter().map(|text| ("--ours", text, true));
        let all: Vec<_> = ours.chain(self.theirs.iter().map(|text| ("--theirs", text, false))).collect();
        let Some((option, text, _)) = all.first() else { return Ok(Vec::new()) };
        let plain = "say `lvsform recover` without it";
        let (why, help) = match unfinished {
            Some(unfinished) if records::is_to_be_taken_back(unfinished, place) => {
                return decisions_of(&all, unfinished, out);
            }
            None => ("every run has ended", "`lvsform plan FILE` shows where the kernel stands"),
            Some(Unfinished { committed: true, .. }) => ("the run was done, and only its records are left to tidy", plain),
            Some(_) => ("what the run did went with its boot or namespace", plain),
        };
        Err(refuse(&format!("`{option} {text}` decides nothing: {why}"), &[], help, out))
    }

    /// Makes what the ledgers have as they say. Nothing is deleted: what the run that did not end made anew is in no ledger.
    fn to_ledger(kernel: &mut Linux, store: &mut Store, place: &Place, out: &mut Output) -> Result<Exit, Exit> {
        // What it was to own, before another run has that record's place.
        let unfinished = Ledger::next(store).ok().flatten().filter(|next| next.instance == place.instance);
        let topologies = store.topologies().map_err(|error| records::unusable(&error, out))?;
        let mut owned = BTreeSet::new();
        let mut failed = None;
        for topology in &topologies {
            if let Some(standing) = standing(store, topology, place, out)? {
                let exit = make_again(&standing, kernel, store, place, out).unwrap_or_else(|exit| exit);
                failed = failed.or(Some(exit).filter(|exit| *exit != Exit::Done)); // the others come back all the same
                owned.extend(standing.entries.into_keys());
                continue;
            }
            let claims = place.claims(store, topology, None, out)?;
            let Some(own) = claims.own.clone() else { continue };
            owned.extend(own.entries.keys().cloned());
            let applied = own.applied();
            let prepared = Prepared::nothing(topology, &own.host);
            let aim = Aim::from(&applied);
            let observed = input::observe(kernel, &Scope::of(&applied), out)?;
            let plan = prepared.plan(&aim, &observed);
            if !plan.is_empty() {
                out.say(&report::text::plan(&plan, &prepared.sources, out.style));
            }
            let work = Work::new("recover", &prepared, Some(own));
            let exit = work.carry_out(kernel, store, place, Looked { claims, aim, observed, plan }, out)?;
            if exit != Exit::Done {
                return Ok(exit);
            }
        }
        if let Some(exit) = failed {
            return Ok(exit);
        }
        journal::forget(store).map_err(|error| records::unusable(&error, out))?;
        out.say("Recovered: everything that topologies own here is as their ledgers say.\n");
        let Some(next) = unfinished else { return Ok(Exit::Done) };
        let live = input::observe(kernel, &Scope::default(), out)?.state;
        let made = next.entries.iter().filter(|(key, entry)| entry.original.is_none() && !owned.contains(key));
        let made = made.filter(|(key, _)| live.objects.contains_key(key));
        let made: Vec<String> = made.map(|(key, _)| format!("  {key}\n")).collect();
        if !made.is_empty() {
            let of = &next.topology;
            out.say(&format!(
                "These are there too; the run of topology `{of}` that did not end may have made them, and no ledger has them:\n\
                 {}`lvsform apply` or `lvsform adopt` with its file makes them the topology's.\n",
                made.concat()
            ));
        }
        Ok(Exit::Done)
    }
}

/// What a topology had in another life of the namespace, where it has nothing in this one.
fn standing(store: &Store, topology: &str, place: &Place, out: &mut Output) -> Result<Option<Ledger>, Exit> {
    let standing = Ledger::standing(store, topology, &place.instance).map_err(|error| {
        records::unreadable(&error, records::HELP_LEDGER, out);
        Exit::Failed
    })?;
    Ok(standing.filter(|ledger| ledger.instance != place.instance))
}

/// Makes what a topology had, as if a file said it.
fn make_again(standing: &Ledger, kernel: &mut Linux, store: &mut Store, place: &Place, out: &mut Output) -> Result<Exit, Exit> {
    let prepared = Prepared::standing(standing);
    let looked = look(&prepared, kernel, Some(store), place, out)?;
    out.say(&report::text::plan(&looked.plan, &prepared.sources, out.style));
    let next = Ledger {
        protect: standing.protect.clone(),
        sources: standing.sources.clone(),
        ..next_ledger(&prepared, place, &looked, "", false)
    };
    Work::new("recover", &prepared, Some(next)).carry_out(kernel, store, place, looked, out)
}

/// The same of a run that is to be taken back.
fn decisions_of(all: &[(&str, &String, bool)], unfinished: &Unfinished, out: &mut Output) -> Result<Vec<(Key, bool)>, Exit> {
    let Journal { intent, topology, .. } = &unfinished.journal;
    let (keys, along) = (intent.keys(), intent.keys_along());
    let mut decisions: Vec<(Key, bool)> = Vec::new();
    for (_, text, ours) in all {
        let message = match text.parse::<Key>() {
            Ok(key) if decisions.contains(&(key.clone(), !ours)) => {
                return Err(refuse(&format!("{key} cannot be both ours and theirs"), &[], "say one of the two", out));
            }
            Ok(key) if keys.contains(&key) || along.contains(&key) => {
                decisions.push((key, *ours));
                continue;
            }
            Ok(key) => format!("the run of topology `{topology}` did nothing to {key}"),
            Err(error) => error.to_string(),
        };
        let texts: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let help = match nearest(text, texts.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "KEY is one of these, in quotes".to_owned(),
        };
        return Err(refuse(&message, &objects(topology, &texts), &help, out));
    }
    Ok(decisions)
}

/// What may be decided, for people.
fn objects(topology: &str, keys: &[String]) -> Vec<String> {
    let mut lines = vec![format!("the run of topology `{topology}` is about these:")];
    lines.extend(keys.iter().take(SHOWN).map(|key| format!("  {key}")));
    if keys.len() > SHOWN {
        lines.push(format!("  … and {} more; `lvsform recover` names those that it cannot take back", keys.len() - SHOWN));
    }
    lines
}

fn refuse(message: &str, details: &[String], help: &str, out: &mut Output) -> Exit {
    out.error(&report::error(&format!("{message}; nothing was changed"), details, Some(help), out.error_style));
    Exit::Usage
}
