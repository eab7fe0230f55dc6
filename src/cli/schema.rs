//! `lvsform schema`

use clap::{Args, ValueEnum};

use super::Exit;
use super::output::Output;
use crate::{report, topology};

/// Print a JSON Schema
#[derive(Debug, Args)]
pub struct Schema {
    /// Of what
    #[arg(value_enum)]
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Of {
    /// a topology in TOML, for editors
    Topology,
    /// what `plan --format json` prints
    Plan,
}

impl Schema {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        match self.of {
            Of::Topology => out.json(&topology::schema()),
            Of::Plan => out.json(&report::json::schema()),
        }
        Exit::Done
    }
}
