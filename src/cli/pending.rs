//! An apply that waits to be confirmed, as other commands meet it: a run ends there, or takes it back when its time is over.

use std::time::{Duration, UNIX_EPOCH};

use super::Exit;
use super::output::Output;
use super::records::{self, Place};
use super::revert::Back;
use super::work::look;
use crate::kernel::linux::Linux;
use crate::report;
use crate::txn::history;
use crate::txn::ledger::Ledger;
use crate::txn::store::Store;

/// An apply that waits to be confirmed.
#[derive(Debug)]
pub struct Pending {
    /// Whose.
    pub topology: String,
    /// Until when, in seconds since 1970.
    pub until: u64,
}

impl Pending {
    /// Whether nobody may confirm it any more.
    pub fn is_over(&self) -> bool {
        history::now() >= self.until
    }

    /// When that is, for people.
    pub fn time(&self) -> String {
        time(self.until)
    }
}

/// A time for people.
pub fn time(at: u64) -> String {
    // A damaged year must not panic in the formatter.
    let at = UNIX_EPOCH + Duration::from_secs(at.min(253_402_300_799));
    humantime::format_rfc3339_seconds(at).to_string()
}

/// What waits to be confirmed in this life of the namespace: one at most, unless somebody went around it.
pub fn waiting(store: &Store, place: &Place, out: &mut Output) -> Result<Vec<Pending>, Exit> {
    let mut waiting = Vec::new();
    for topology in store.topologies().map_err(|error| records::unusable(&error, out))? {
        let ledger = Ledger::read(store, &topology).map_err(|error| {
            records::unreadable(&error, records::HELP_LEDGER, out);
            Exit::Failed
        })?;
        if let Some(Ledger { pending: Some(until), instance, .. }) = ledger
            && instance == place.instance
        {
            waiting.push(Pending { topology, until });
        }
    }
    Ok(waiting)
}

/// Refuses to go on beside one.
pub fn refuse(store: &Store, place: &Place, out: &mut Output) -> Result<(), Exit> {
    let Some(pending) = waiting(store, place, out)?.into_iter().next() else { return Ok(()) };
    if !pending.is_over() {
        return Err(locked(&pending, out));
    }
    let Pending { topology, .. } = &pending;
    let message =
        format!("nobody confirmed the last apply of topology `{topology}` until {}; nothing was changed", pending.time());
    out.error(&report::error(&message, &[], Some(&format!("take it back first: lvsform revert {topology}")), out.error_style));
    Err(Exit::Incomplete)
}

/// Takes back what nobody confirmed in time, and ends where somebody still may. `but`: a topology that is not asked for.
pub fn settle(kernel: &mut Linux, store: &mut Store, place: &Place, but: Option<&str>, out: &mut Output) -> Result<(), Exit> {
    for pending in waiting(store, place, out)? {
        if but == Some(&pending.topology) {
            continue;
        }
        if !pending.is_over() {
            return Err(locked(&pending, out));
        }
        over(&pending, kernel, store, place, out)?;
    }
    Ok(())
}

/// Takes back what nobody confirmed in time, and leaves alone what somebody still may.
pub fn settle_over(kernel: &mut Linux, store: &mut Store, place: &Place, out: &mut Output) -> Result<(), Exit> {
    for pending in waiting(store, place, out)?.into_iter().filter(Pending::is_over) {
        over(&pending, kernel, store, place, out)?;
    }
    Ok(())
}

fn over(pending: &Pending, kernel: &mut Linux, store: &mut Store, place: &Place, out: &mut Output) -> Result<(), Exit> {
    let Pending { topology, .. } = pending;
    out.say(&format!("Nobody confirmed the last apply of topology `{topology}` until {}: it is taken back.\n", pending.time()));
    match expire(kernel, store, place, topology, out)? {
        Exit::Done => Ok(()),
        exit => Err(exit),
    }
}

/// Takes back the last apply of a topology, which nobody confirmed.
pub fn expire(kernel: &mut Linux, store: &mut Store, place: &Place, topology: &str, out: &mut Output) -> Result<Exit, Exit> {
    let back = Back::of(store, place, topology, out)?;
    let looked = look(&back.prepared, kernel, Some(store), place, out)?;
    back.work("expired", place, &looked).carry_out(kernel, store, place, looked, out)
}

/// Says it, where nothing is changed anyway.
pub fn say(store: &Store, place: &Place, out: &mut Output) -> Result<(), Exit> {
    for pending in waiting(store, place, out)? {
        let Pending { topology, .. } = &pending;
        let (message, help) = if pending.is_over() {
            let message = format!("nobody confirmed the last apply of topology `{topology}` until {}", pending.time());
            (message, "the next run takes it back".to_owned())
        } else {
            let message =
                format!("the last apply of topology `{topology}` is taken back at {}, unless it is confirmed", pending.time());
            (message, format!("confirm it: lvsform confirm {topology}"))
        };
        out.error(&report::error(&message, &[], Some(&help), out.error_style));
    }
    Ok(())
}

fn locked(pending: &Pending, out: &mut Output) -> Exit {
    let Pending { topology, .. } = pending;
    let until = pending.time();
    let message = format!("the last apply of topology `{topology}` waits to be confirmed until {until}; nothing was changed");
    let help = format!("confirm it: lvsform confirm {topology}; or take it back: lvsform revert {topology}");
    out.error(&report::error(&message, &[], Some(&help), out.error_style));
    Exit::Locked
}
