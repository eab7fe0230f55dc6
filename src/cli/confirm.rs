//! `lvsform confirm`

use clap::Args;

use super::Exit;
use super::output::Output;
use super::pending;
use super::records::{self, LockArguments, Place, PlaceArguments};
use crate::report;
use crate::txn::history;
use crate::txn::ledger::Ledger;
use crate::txn::store::{Record, Store, StoreError};

/// Keep what an apply with --confirm-within made
///
/// Without it, the apply is taken back when its time is over.
///
/// Exit code: 0 it stays; 1 failed, nothing changed; 6 there is nothing to confirm, or it is too late; 7 another run has the
/// lock; 8 it is too late, and taking it back failed: it is all there still; 9 a run could not be taken back whole.
#[derive(Debug, Args)]
pub struct Confirm {
    /// The topology's name; may be left out
    topology: Option<String>,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    wait: LockArguments,
}

impl Confirm {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let (mut kernel, place) = self.place.open(out)?;
        let _guard = place.lock(&self.wait, out)?;
        let mut store = place.open(out)?;
        if let Some(unfinished) = records::unfinished(&store, out)? {
            records::take_back(&mut kernel, &mut store, &place, &unfinished, out)?;
        }
        let is_meant = |topology: &str| self.topology.as_deref().is_none_or(|named| named == topology);
        let Some(pending) = pending::waiting(&store, &place, out)?.into_iter().find(|pending| is_meant(&pending.topology)) else {
            return Err(self.nothing(&store, &place, out)?);
        };
        if pending.is_over() {
            pending::settle(&mut kernel, &mut store, &place, None, out)?;
            let message = format!("it is too late: it was to be confirmed until {}", pending.time());
            out.error(&report::error(&message, &[], Some("apply it again, and confirm it in time"), out.error_style));
            return Err(Exit::Stale);
        }
        let unreadable = |error| {
            records::unreadable(&error, records::HELP_LEDGER, out);
            Exit::Failed
        };
        let Some(ledger) = Ledger::read(&store, &pending.topology).map_err(unreadable)? else { return Err(Exit::Stale) };
        let ledger = Ledger { pending: None, ..ledger };
        let record = Record::Ledger(&pending.topology);
        let unsynced = match store.put(record, &ledger.encode()) {
            Err(error @ StoreError::Unsynced(..)) => Some(error), // whoever reads the ledger finds it confirmed
            written => written.map(|()| None).map_err(|error| records::unusable(&error, out))?,
        };
        let Ledger { topology, host, transaction, sources, .. } = ledger;
        let entry =
            history::Entry { sources, ..history::Entry::new("confirm", records::operator(), &topology, &host, &transaction) };
        let _ = history::append(&mut store, &entry); // it is confirmed; a line less is no reason to say otherwise
        out.say(&format!("Confirmed: what was applied of topology `{}` stays.\n", pending.topology));
        if let Some(error) = unsynced {
            out.error(&report::error(&error.to_string(), &[], Some(records::HELP_DISK), out.error_style));
        }
        Ok(Exit::Done)
    }
    /// Says why there is nothing to confirm.
    fn nothing(&self, store: &Store, place: &Place, out: &mut Output) -> Result<Exit, Exit> {
        let (message, help) = if let Some((ledger, before)) = self.of_another_life(store, place, out)? {
            let message = format!(
                "there is nothing to confirm: the apply of topology `{}` that waited to be confirmed went with its boot or \
                 namespace",
                ledger.topology
            );
            let help = if before {
                "what was confirmed before it counts: `lvsform recover --to-ledger` makes that again; or apply the file \
                 that you want"
            } else {
                "there was nothing before it: `lvsform apply` with its file makes it again"
            };
            (message, help.to_owned())
        } else {
            let waiting = pending::waiting(store, place, out)?.into_iter().next();
            match (&self.topology, waiting) {
                (Some(named), Some(other)) => {
                    let other = other.topology;
                    (format!("topology `{named}` has nothing to confirm"), format!("`{other}` waits: lvsform confirm {other}"))
                }
                _ => (
                    "there is nothing to confirm: it is confirmed already, or it was taken back".to_owned(),
                    "`lvsform history` says which".to_owned(),
                ),
            }
        };
        out.error(&report::error(&message, &[], Some(&help), out.error_style));
        Ok(Exit::Stale)
    }

    /// What waited when its life of the namespace ended, and whether there was anything before it.
    fn of_another_life(&self, store: &Store, place: &Place, out: &mut Output) -> Result<Option<(Ledger, bool)>, Exit> {
        let mut unreadable = |error| {
            records::unreadable(&error, records::HELP_LEDGER, out);
            Exit::Failed
        };
        for topology in store.topologies().map_err(|error| unreadable(error.into()))? {
            let is_meant = self.topology.as_ref().is_none_or(|named| *named == topology);
            let Some(ledger) = Ledger::read(store, &topology).map_err(&mut unreadable)? else { continue };
            if is_meant && ledger.pending.is_some() && ledger.instance != place.instance {
                let before = Ledger::standing(store, &topology, &place.instance).map_err(&mut unreadable)?;
                return Ok(Some((ledger, before.is_some())));
            }
        }
        Ok(None)
    }
}
