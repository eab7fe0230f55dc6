//! `lvsform schema`

use clap::{Args, ValueEnum};

use super::Exit;
use super::output::Output;
use crate::report::{drift, json};
use crate::topology;

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
    /// what `check --format json` prints
    Check,
    /// what `drift --format json` prints
    Drift,
    /// what `diff --format json` prints
    Diff,
}

impl Schema {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        out.json(&match self.of {
            Of::Topology => topology::schema(),
            Of::Plan => json::schema_of::<json::Document>(),
            Of::Check => json::schema_of::<json::Checked>(),
            Of::Drift => json::schema_of::<drift::Document<'_>>(),
            Of::Diff => json::schema_of::<json::Differences>(),
        });
        Exit::Done
    }
}
