//! `lvsform adopt`

use clap::Args;

use super::Exit;
use super::input::{self, HostArguments};
use super::output::Output;
use super::pending;
use super::records::{self, LockArguments, PlaceArguments};
use super::work::{forget_former_name, look, next_ledger};
use crate::txn::history;
use crate::txn::store::Record;

/// Make what is there already, and is in the file, the topology's own
///
/// What a topology finds is given back as it was found when it leaves the file. Adopted, it is deleted, as if the topology had
/// made it. Nothing of the kernel is changed. This is also the way back after a ledger was lost. A topology with `was` takes over
/// what it owned under its former name, as with `apply`.
///
/// Exit code: 0 done; 1 failed, nothing changed; 5 it is another topology's; 6 someone else is writing; 7 another run has the
/// lock, or an apply waits to be confirmed; 9 an earlier run did not end; 10 the topology is not valid.
#[derive(Debug, Args)]
pub struct Adopt {
    #[command(flatten)]
    host: HostArguments,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    wait: LockArguments,
}

impl Adopt {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let prepared = input::prepare(&self.host.file, &self.host.composition, self.host.host.as_deref(), out)?;
        let (mut kernel, place) = self.place.open(out)?;
        let _guard = place.lock(&self.wait, out)?;
        let mut store = place.open(out)?;
        records::refuse_unfinished(&store, &place, out)?;
        if let Some(unfinished) = records::unfinished(&store, out)? {
            // It touches no kernel: beside it another ledger would make a run that was done look as if it had not ended.
            records::take_back(&mut kernel, &mut store, &place, &unfinished, out)?;
        }
        pending::refuse(&store, &place, out)?;
        let looked = look(&prepared, &mut kernel, Some(&store), &place, out)?;
        let mut ledger = next_ledger(&prepared, &place, &looked, &history::transaction(), false);
        let live = &looked.observed.state.objects;
        // Nothing of the kernel is changed, so nothing more is let go; what the file has again is let go no more.
        ledger.debts = looked.claims.debts(&looked.observed);
        ledger.debts.retain(|key, _| !prepared.compiled.state.objects.contains_key(key));
        // What is not there is not owned: an apply will make it. What is there differently is ours all the same.
        let renamed = looked.claims.renamed;
        let known = looked.claims.own.map(|own| own.entries).unwrap_or_default();
        ledger.entries.retain(|key, _| live.contains_key(key) || known.contains_key(key));
        let mut adopted = 0;
        for (key, entry) in &mut ledger.entries {
            // A value of the namespace cannot be deleted, so it keeps what to go back to.
            if !key.is_value() && entry.original.take().is_some() {
                adopted += 1;
            }
        }
        ledger.entries.extend(known.into_iter().filter(|(key, _)| !prepared.compiled.state.objects.contains_key(key)));
        let record = Record::Ledger(prepared.topology());
        store.put(record, &ledger.encode()).map_err(|error| records::unusable(&error, out))?;
        forget_former_name(&mut store, &prepared, renamed);
        let was = prepared.was.as_ref().filter(|_| renamed).map(|was| format!(", which was `{was}`,")).unwrap_or_default();
        let (topology, owned) = (prepared.topology(), ledger.entries.len());
        out.say(&format!("Adopted: {adopted}. Topology `{topology}`{was} owns {owned} objects here.\n"));
        Ok(Exit::Done)
    }
}
