//! `lvsform recover`

use clap::Args;

use super::Exit;
use super::input;
use super::output::Output;
use super::records::{self, LockArguments, RecordArguments};
use crate::report;
use crate::state::{Key, ParseKeyError};
use crate::txn::journal::{self, Unfinished};
use crate::txn::store::Store;

/// Take back a run that did not end
///
/// After a crash, a kill or a full disk the kernel is neither as it was nor as the file says. What the run did is taken back:
/// what is as the run left it goes back to what it was before. What somebody changed since is left alone and named; then
/// `--ours KEY` takes it back all the same, and `--theirs KEY` leaves it as it is for good.
///
/// Exit code: 0 everything is as it was before that run, or there was none; 7 another run has the lock; 9 not everything is.
#[derive(Debug, Args)]
pub struct Recover {
    /// A network namespace, by its name under /run/netns
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
    #[command(flatten)]
    records: RecordArguments,
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
}

impl Recover {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let mut kernel = input::open(self.netns.as_deref(), out)?;
        let place = self.records.here(out)?;
        let _guard = place.lock(&self.wait, out)?;
        let mut store = place.open(out)?;
        if self.discard {
            journal::forget(&mut store).map_err(|error| records::unusable(&error, out))?;
            out.say("Discarded: the run that had not ended is forgotten. `lvsform plan` shows where the kernel stands.\n");
            return Ok(Exit::Done);
        }
        let Some(mut unfinished) = records::unfinished(&store, out)? else {
            out.say("Nothing to recover: every run has ended.\n");
            return Ok(Exit::Done);
        };
        for (keys, ours) in [(&self.ours, true), (&self.theirs, false)] {
            for text in keys {
                decide(&mut store, &mut unfinished, text, ours, out)?;
            }
        }
        records::take_back(&mut kernel, &mut store, &place, &unfinished, out)?;
        Ok(Exit::Done)
    }
}

/// Writes down what the operator says of an object, so that it holds if this run dies too.
fn decide(store: &mut Store, unfinished: &mut Unfinished, text: &str, ours: bool, out: &mut Output) -> Result<(), Exit> {
    let key: Key = text.parse().map_err(|error: ParseKeyError| {
        out.error(&report::error(&error.to_string(), &[], None, out.error_style));
        Exit::Usage
    })?;
    unfinished.journal.mark_decided(store, key.clone(), ours).map_err(|error| records::unusable(&error, out))?;
    unfinished.decided.insert(key, ours);
    Ok(())
}
