//! `lvsform expand`

use std::path::PathBuf;

use clap::Args;

use super::files::DiskFiles;
use super::input::{self, Composition};
use super::output::Output;
use super::spelled::Word;
use super::{Exit, written};
use crate::compose::expand::expand;
use crate::rules::Asked;
use crate::source::{self, Spelling};

/// Print the one plain topology that a composed one comes to
///
/// Includes are followed, overlays laid over, variables put in and defaults filled in. What is printed needs none of them and
/// means the same, in the folder of FILE: paths in it are relative to that. Comments are left out: what they stood beside may be
/// elsewhere now.
///
/// Exit code: 0 done; 1 the file could not be written; 10 the topology is not valid.
#[derive(Debug, Args)]
pub struct Expand {
    /// The topology, in KDL (.kdl) or TOML (.toml)
    file: PathBuf,
    #[command(flatten)]
    composition: Composition,
    /// In which spelling; by default that of the file
    #[arg(long, value_enum, value_name = "SPELLING")]
    to: Option<Word>,
    /// Write a new file instead of printing; one that is there already is not replaced
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
}

impl Expand {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let (sources, topology, problems) = input::examine(&self.file, &self.composition, &Asked::default());
        if topology.is_none() || input::has_errors(&problems) {
            input::say(&problems, &sources, out);
            return Err(Exit::Invalid);
        }
        let by_name = self.out.as_deref().and_then(Spelling::of).or(Spelling::of(&self.file));
        let to = self.to.map(Spelling::from).or(by_name).unwrap_or(Spelling::Kdl);
        let loaded = source::load(&self.file, &self.composition.with(DiskFiles));
        let text = expand(loaded, to).map_err(|loaded| {
            input::say(&loaded.problems, &loaded.sources, out);
            Exit::Invalid
        })?;
        written::print_or_new(&text, self.out.as_deref(), out)?;
        Ok(Exit::Done)
    }
}
