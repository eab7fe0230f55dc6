//! `lvsform snapshot`

use std::path::PathBuf;

use clap::Args;

use super::input::Composition;
use super::output::Output;
use super::records::PlaceArguments;
use super::{Exit, input, plan};
use crate::report::captured::{Belongings, Captured};
use crate::state::Scope;

/// Print what a kernel holds, as JSON, for `plan --live` and `expect`
///
/// Reads IPVS, links and addresses in full. With a topology also the sysctls that it is about, and from its ledger what it owns
/// here: without that no plan from the captured state deletes anything, but in the IPVS table of an `exclusive` host. Changes
/// nothing.
#[derive(Debug, Args)]
pub struct Snapshot {
    /// The topology whose sysctls are captured too, and what it owns
    file: Option<PathBuf>,
    /// Which host of it; by default the one whose `hostname` is this machine's
    #[arg(long, value_name = "NAME", requires = "file")]
    host: Option<String>,
    #[command(flatten)]
    composition: Composition,
    #[command(flatten)]
    place: PlaceArguments,
}

impl Snapshot {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let (observed, owned) = match &self.file {
            None => {
                let mut kernel = input::open(self.place.netns.as_deref(), out)?;
                (input::observe(&mut kernel, &Scope { fou: true, ..Scope::default() }, out)?, None)
            }
            Some(file) => {
                let prepared = input::prepare(file, &self.composition, self.host.as_deref(), out)?;
                let (mut kernel, place) = self.place.open(out)?;
                let claims = plan::claims(&prepared, &mut kernel, &place, out)?;
                // What has left the file since is read too: a plan deletes it.
                let observed = input::observe(&mut kernel, &prepared.aim(&claims).scope(), out)?;
                (observed, Some(Belongings::of(&claims, prepared.topology(), prepared.host())))
            }
        };
        out.json(&Captured::new(observed, owned));
        Ok(Exit::Done)
    }
}
