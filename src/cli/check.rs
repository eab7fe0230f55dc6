//! `lvsform check`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::format::{self, Format, FormatArguments};
use super::output::Output;
use super::{Exit, input};
use crate::compile;
use crate::report::review::Review;
use crate::source::{printable, problem};
use crate::topology::{Role, Topology};

/// Check topology files, without root, kernel or network
///
/// Every problem of every file is shown at its token, with what to do. Each host is compiled, so what passes here can be
/// planned everywhere.
///
/// Exit code: 0 no errors (there may be warnings), 10 the topology is not valid.
#[derive(Debug, Args)]
pub struct Check {
    /// Topologies, in KDL (.kdl) or TOML (.toml)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    format: FormatArguments,
}

impl Check {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        let mut exit = Exit::Done;
        let mut reports = Vec::new();
        let mut review = Review { command: "check", ..Review::default() };
        for file in &self.files {
            let (sources, topology, mut problems) = input::examine(file);
            // What is wrong in the text would only come back in other words.
            if let (Some(topology), false) = (&topology, input::has_errors(&problems)) {
                problems.extend(compile::problems(topology));
            }
            let valid = topology.is_some() && !input::has_errors(&problems);
            if !valid {
                exit = Exit::Invalid;
            }
            let outcome = topology.as_ref().filter(|_| valid).map(describe);
            match self.format.format {
                Format::Json => reports.push(json!({
                    "file": file.to_string_lossy(),
                    "valid": valid,
                    "problems": problem::json(&problems, &sources),
                })),
                Format::Text => {
                    input::say(&problems, &sources, out);
                    if let Some(outcome) = outcome {
                        out.say(&format!("{}: {outcome}\n", printable(&file.to_string_lossy())));
                    }
                }
                _ => {
                    let outcome = outcome.unwrap_or_else(|| input::count(&problems));
                    review.add_file(&file.to_string_lossy(), &outcome, &problems, &sources);
                }
            }
        }
        if self.format.format == Format::Json {
            out.json(&json!({ "format": "lvsform-check/1", "files": reports }));
        }
        format::say(&review, &self.format, false, out);
        exit
    }
}

/// `flash-sale: 1 director, 4 real servers, 1 VIP, 2 services`
fn describe(topology: &Topology) -> String {
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let directors = topology.hosts.values().filter(|host| host.role == Role::Director).count();
    let parts = [
        count(directors, "director"),
        count(topology.hosts.len() - directors, "real server"),
        count(topology.vips.len(), "VIP"),
        count(topology.services.len(), "service"),
    ];
    format!("topology {}: {}. No errors.", topology.name.value, parts.join(", "))
}
