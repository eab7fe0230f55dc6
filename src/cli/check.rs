//! `lvsform check`

use std::path::PathBuf;

use clap::Args;

use super::format::{self, Format, FormatArguments};
use super::input::Composition;
use super::output::Output;
use super::{Exit, fix, input};
use crate::report::json::CheckedFile;
use crate::report::{self, review::Review};
use crate::rules::{self, Asked, Kernel};
use crate::source::{printable, problem};
use crate::topology::Topology;
use crate::{compile, expect, graph};

/// Check topology files, without root, kernel or network
///
/// Every problem of every file is shown at its token, with what to do. Each host is compiled, so what passes here can be
/// planned everywhere. Several topologies are compared: no two hosts may answer for one VIP.
///
/// Exit code: 0 no errors (there may be warnings), 10 the topology is not valid.
#[derive(Debug, Args)]
pub struct Check {
    /// Topologies, in KDL (.kdl) or TOML (.toml)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Make a warning an error: a code, a name, or `warnings` for all that the file does not allow
    #[arg(long, value_name = "CODE")]
    deny: Vec<String>,
    /// Do not say a warning: a code or a name
    #[arg(long, value_name = "CODE")]
    allow: Vec<String>,
    /// Mend in the files what can be meant in one way only: quotes, `#true`, a prefix length of a VIP
    #[arg(long)]
    fix: bool,
    /// Refuse what this kernel lacks: `5.10`, or what `uname -r` says on the director
    #[arg(long, value_name = "RELEASE", value_parser = release)]
    target_kernel: Option<Kernel>,
    #[command(flatten)]
    composition: Composition,
    #[command(flatten)]
    format: FormatArguments,
}

impl Check {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        let asked = match self.asked() {
            Ok(asked) => asked,
            Err(message) => {
                out.error(&report::error(&message, &[], None, out.error_style));
                return Exit::Usage;
            }
        };
        let mut exit = Exit::Done;
        let mut reports = Vec::new();
        let mut beside = rules::Beside::default();
        let mut review = Review { command: "check", ..Review::default() };
        for file in &self.files {
            if self.fix && !fix::fix(file, &self.composition, &asked, out) {
                return Exit::Failed;
            }
            let (sources, topology, mut problems) = input::examine(file, &self.composition, &asked);
            // What is wrong in the text would only come back in other words.
            if let (Some(topology), false) = (&topology, input::has_errors(&problems)) {
                problems.extend(compile::problems(topology));
                problems.extend(expect::problems(topology, &sources));
                sources.settle(&mut problems);
                problems.extend(beside.meet(topology, &sources, &asked));
            }
            let valid = topology.is_some() && !input::has_errors(&problems);
            if !valid {
                exit = Exit::Invalid;
            }
            let outcome = topology.as_ref().filter(|_| valid).map(describe);
            match self.format.format {
                Format::Json => {
                    let problems = problem::json(&problems, &sources);
                    reports.push(CheckedFile { file: file.to_string_lossy().into_owned(), valid, problems });
                }
                Format::Text => {
                    input::say(&problems, &sources, out);
                    if let Some(outcome) = outcome {
                        out.say(&format!("{}: {outcome}\n", printable(&file.to_string_lossy())));
                    }
                }
                _ => {
                    let outcome = outcome.unwrap_or_else(|| input::count(&problems));
                    review.add_file(&file.to_string_lossy(), &outcome, &problems, &sources);
                    if let (Format::Html, Some(topology), [_]) = (self.format.format, topology.filter(|_| valid), &*self.files) {
                        review.picture = Some(graph::figure(&graph::picture(&topology, &[])));
                    }
                }
            }
        }
        if self.format.format == Format::Json {
            out.json(&report::json::checked(reports));
        }
        format::say(&review, &self.format, false, out);
        exit
    }

    fn asked(&self) -> Result<Asked, String> {
        let (every, deny): (Vec<String>, Vec<String>) = self.deny.iter().cloned().partition(|word| word == "warnings");
        Ok(Asked {
            allow: rules::names(&self.allow, true)?,
            deny: rules::names(&deny, false)?,
            deny_warnings: !every.is_empty(),
            kernel: self.target_kernel,
        })
    }
}

fn release(text: &str) -> Result<Kernel, String> {
    Kernel::parse(text).ok_or_else(|| "expected a release like 5.10".to_owned())
}

/// `flash-sale: 1 director, 4 real servers, 1 VIP, 2 services`
fn describe(topology: &Topology) -> String {
    format!("topology {}: {}. No errors.", topology.name.value, topology.counted())
}
