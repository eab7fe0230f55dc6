//! `lvsform guard`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use super::output::Output;
use super::records::{self, LockArguments, Place, PlaceArguments};
use super::{Exit, pending};
use crate::txn::ledger::Ledger;
use crate::txn::store::Store;
use crate::txn::{guard, lock};

/// How often taking back is tried, and how long it is left in between. What does not succeed is up to the next run.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// How often it is looked whether the applier has ended.
const TICK: Duration = Duration::from_millis(50);

/// How long another run may take before the guard gives up: a week.
const PATIENCE: Duration = Duration::from_hours(168);

/// Take an apply back unless it is confirmed; started by `apply --confirm-within`
///
/// It has nobody to tell anything; `lvsform history` does.
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Guard {
    /// The topology's name
    topology: String,
    /// Until when somebody may confirm it, in seconds since 1970, as the ledger has it
    until: u64,
    /// How long somebody may confirm it, in milliseconds from now
    milliseconds: u64,
    #[command(flatten)]
    place: PlaceArguments,
    /// Where to say that it is there
    #[arg(long)]
    ready: PathBuf,
}

impl Guard {
    #[expect(clippy::disallowed_methods, reason = "a window of time, whatever becomes of the wall clock")]
    pub(super) fn run(self, out: &mut Output) -> Exit {
        let begun = Instant::now();
        guard::detach();
        let window = Duration::from_millis(self.milliseconds);
        let mut exit = Exit::Done;
        for attempt in 0..TRIES {
            exit = self.watch(begun, window, attempt == 0, out).unwrap_or_else(|exit| exit);
            if exit == Exit::Done {
                break;
            }
            pause(PAUSE);
        }
        exit
    }

    /// Ends well when nothing is left to wait for: confirmed, taken back by others, or by us. The lock is taken only to act:
    /// whoever confirms must not meet it.
    fn watch(&self, begun: Instant, window: Duration, first: bool, out: &mut Output) -> Result<Exit, Exit> {
        let (mut kernel, place) = self.place.open(out)?;
        if first {
            guard::say_ready(&self.ready).map_err(|_| Exit::Failed)?;
        }
        let wait = LockArguments { lock_timeout: Some(PATIENCE) };
        loop {
            // The applier holds it from before we were started until it has ended, in whatever way.
            if lock::is_held(Path::new(lock::DIRECTORY), place.instance.cookie) {
                pause(TICK);
                continue;
            }
            let store = place.open(out)?;
            let left = window.saturating_sub(begun.elapsed());
            let waits = self.waits(&store, &place)?;
            if waits && !left.is_zero() {
                pause(left);
                continue;
            }
            if !waits && records::unfinished(&store, out)?.is_none() {
                return Ok(Exit::Done);
            }
            let _lock = place.lock(&wait, out)?;
            let mut store = place.open(out)?;
            if let Some(unfinished) = records::unfinished(&store, out)? {
                records::take_back(&mut kernel, &mut store, &place, &unfinished, out)?;
            }
            if left.is_zero() && self.waits(&store, &place)? {
                return pending::expire(&mut kernel, &mut store, &place, &self.topology, out);
            }
        }
    }

    /// Whether our apply is committed and not confirmed.
    fn waits(&self, store: &Store, place: &Place) -> Result<bool, Exit> {
        let ledger = Ledger::read(store, &self.topology).map_err(|_| Exit::Failed)?;
        Ok(ledger.is_some_and(|ledger| ledger.pending == Some(self.until) && ledger.instance == place.instance))
    }
}

#[expect(clippy::disallowed_methods, reason = "to wait is what a guard is for")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
