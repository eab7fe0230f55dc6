//! `lvsform drift`

use std::path::{Path, PathBuf};

use clap::Args;

use super::format::{self, Format, FormatArguments};
use super::input::Composition;
use super::output::Output;
use super::records::{self, Place, PlaceArguments};
use super::written::write_whole;
use super::{Exit, input, pending};
use crate::report;
use crate::report::drift::Report;
use crate::txn::ledger::Ledger;
use crate::txn::store::Store;
use crate::txn::{drift, history, lock};

/// Show what has moved since it was applied
///
/// Compares what was applied, which the ledgers know, with the kernel: drift. With FILE also the file with what was applied:
/// pending changes. Opens nothing for writing. Needs `CAP_NET_ADMIN` alone, and the group of the state directory, which
/// `chgrp -R GROUP /var/lib/lvsform` gives. For cron: --textfile.
///
/// Exit code: 0 nothing moved; 1 the kernel or the records cannot be read; 2 changes are pending; 3 drift; 4 both; 6 someone else
/// is writing; 7 a run is under way; 9 a run did not end: recover; 10 the topology is not valid.
#[derive(Debug, Args)]
pub struct Drift {
    /// A topology, to see what is pending too
    file: Option<PathBuf>,
    /// Which host of it; by default the one whose `hostname` is this machine's
    #[arg(long, value_name = "NAME", requires = "file")]
    host: Option<String>,
    #[command(flatten)]
    composition: Composition,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    format: FormatArguments,
    /// Also write metrics for Prometheus to this file
    #[arg(long, value_name = "PATH")]
    textfile: Option<PathBuf>,
}

impl Drift {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let prepared =
            self.file.as_ref().map(|file| input::prepare(file, &self.composition, self.host.as_deref(), out)).transpose()?;
        let (mut kernel, place) = self.place.open(out)?;
        let running = lock::is_held(Path::new(lock::DIRECTORY), place.instance.cookie);
        let store = place.look_beside(&mut kernel, out)?;
        let ledgers = store.as_ref().map(|store| ledgers(store, &place, out)).transpose()?.unwrap_or_default();
        if let Some(store) = &store {
            pending::say(store, &place, out)?;
        }
        let unfinished = match &store {
            Some(store) => records::unfinished(store, out)?.filter(|unfinished| !unfinished.committed),
            None => None,
        };
        let gone = unfinished.as_ref().is_some_and(|unfinished| unfinished.journal.instance != place.instance);
        let unfinished = unfinished.is_some();
        let observed = input::observe(&mut kernel, &drift::scope(&ledgers), out)?;
        let standing = |ledger: &Ledger| drift::Drift::new(ledger, &observed, ledger.instance == place.instance);
        let mut topologies: Vec<drift::Drift> = ledgers.iter().map(standing).collect();
        if let Some(prepared) = &prepared {
            let at = topologies.iter().position(|drift| drift.topology == prepared.topology()).unwrap_or_else(|| {
                topologies.push(drift::Drift::never_applied(prepared.topology(), prepared.host()));
                topologies.len() - 1
            });
            let ledger = ledgers.iter().find(|ledger| ledger.topology == prepared.topology());
            topologies[at].pending = drift::pending(ledger, &prepared.compiled.state);
        }
        let foreign = drift::foreign(&ledgers, &observed);
        let report = Report { namespace: place.name.clone(), topologies, foreign, unfinished, running, now: history::now() };
        self.say(&report, gone, out)?;
        let drifted = report.topologies.iter().any(|drift| !drift.drifted.is_empty());
        let pending = report.topologies.iter().any(|drift| !drift.pending.is_empty());
        Ok(match (drifted, pending) {
            _ if running => Exit::Locked,
            _ if unfinished => Exit::Incomplete,
            (true, true) => Exit::DriftAndChanges,
            (true, false) => Exit::Drift,
            (false, true) => Exit::Changes,
            (false, false) => Exit::Done,
        })
    }

    /// `gone`: what the run that did not end has done went with its boot or namespace.
    fn say(&self, report: &Report, gone: bool, out: &mut Output) -> Result<(), Exit> {
        match self.format.format {
            Format::Json => out.json(&report::drift::json(report)),
            Format::Text => out.say(&report::drift::text(report, out.style)),
            _ => format::say(&report::drift::review(report), &self.format, true, out),
        }
        let mut warn = |message: &str, help: &str| out.error(&report::error(message, &[], Some(help), out.error_style));
        if report.running {
            warn("a run is under way: what is shown may be half of it", "look again when it has ended");
        } else if gone {
            let (message, help) = records::GONE;
            warn(message, help);
        } else if report.unfinished {
            warn("an earlier run did not end: what is shown may be half of it", "take it back: lvsform recover");
        }
        let Some(path) = &self.textfile else { return Ok(()) };
        write_whole(path, report::drift::metrics(report).as_bytes(), report::drift::MARK, out)
    }
}

/// Every ledger of a namespace, of this life or another.
fn ledgers(store: &Store, place: &Place, out: &mut Output) -> Result<Vec<Ledger>, Exit> {
    let names = store.topologies().map_err(|error| records::unusable(&error, out))?;
    let ledger = |name: String| Ledger::standing(store, &name, &place.instance).transpose();
    names.into_iter().filter_map(ledger).collect::<Result<_, _>>().map_err(|error| {
        records::unreadable(&error, records::HELP_LEDGER, out);
        Exit::Failed
    })
}
