//! `lvsform snapshot`

use std::path::PathBuf;

use clap::Args;

use super::input::Composition;
use super::output::Output;
use super::{Exit, input};
use crate::report;
use crate::state::Scope;

/// Print what a kernel holds, as JSON, for `plan --live`
///
/// Reads IPVS, links and addresses in full, and the sysctls that the topology is about. Changes nothing.
#[derive(Debug, Args)]
pub struct Snapshot {
    /// The topology whose sysctls are captured too
    file: Option<PathBuf>,
    /// Which host of it; by default the one whose `hostname` is this machine's
    #[arg(long, value_name = "NAME", requires = "file")]
    host: Option<String>,
    #[command(flatten)]
    composition: Composition,
    /// A network namespace, by its name under /run/netns
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
}

impl Snapshot {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let scope = match &self.file {
            None => Scope { fou: true, ..Scope::default() },
            Some(file) => Scope::of(&input::prepare(file, &self.composition, self.host.as_deref(), out)?.compiled.state),
        };
        let mut kernel = input::open(self.netns.as_deref(), out)?;
        let observed = input::observe(&mut kernel, &scope, out)?;
        out.json(&report::captured::Captured::new(observed));
        Ok(Exit::Done)
    }
}
