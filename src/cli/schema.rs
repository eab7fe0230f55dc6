//! `lvsform schema`

use clap::{Args, ValueEnum};

use super::Exit;
use super::output::Output;
use crate::report::{doctor, drift, json, rehearsal};
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
    /// what `test --format json` prints
    Test,
    /// what `drift --format json` prints
    Drift,
    /// what `diff --format json` prints
    Diff,
    /// what `doctor --format json` prints
    Doctor,
    /// what `rehearse --format json` prints
    Rehearsal,
}

impl Schema {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        out.json(&match self.of {
            Of::Topology => topology::schema(),
            Of::Plan => json::schema_of::<json::Document>(),
            Of::Check => json::schema_of::<json::Checked>(),
            Of::Test => json::schema_of::<json::Tested>(),
            Of::Drift => json::schema_of::<drift::Document<'_>>(),
            Of::Rehearsal => json::schema_of::<rehearsal::Document<'_>>(),
            Of::Diff => json::schema_of::<json::Differences>(),
            Of::Doctor => json::schema_of::<doctor::Document<'_>>(),
        });
        Exit::Done
    }
}
