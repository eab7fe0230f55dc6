//! `lvsform test`

use std::path::{Path, PathBuf};

use clap::Args;

use super::format::{self, Format, FormatArguments};
use super::input::{self, Composition};
use super::output::Output;
use super::{Exit, files};
use crate::expect::{self, Judged, Seen};
use crate::report::captured::{self, Belongings};
use crate::report::json::{self, TestedExpectation};
use crate::report::review::Review;
use crate::rules::Asked;
use crate::source::problem::{self, Problem};
use crate::source::{At, Sources, printable};
use crate::topology::Topology;

/// Say whether what is expected of a topology holds
///
/// Every `expect` block of the files is judged: servers and weights, with hosts that are gone, the share of clients that move,
/// names, subnets that are reached, and plans from captured states. `check` judges all but the last too. `--overlay` and `--var`
/// say of which stage.
///
/// Exit code: 0 all of it holds; 1 something does not; 10 the topology is not valid.
#[derive(Debug, Args)]
pub struct Test {
    /// The topology, in KDL (.kdl) or TOML (.toml)
    file: PathBuf,
    #[command(flatten)]
    composition: Composition,
    #[command(flatten)]
    format: FormatArguments,
}

impl Test {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let (sources, topology, problems) = input::examine(&self.file, &self.composition, &Asked::default());
        let name = topology.as_ref().map(|topology| topology.name.value.clone()).unwrap_or_default();
        let Some(topology) = topology.filter(|_| !input::has_errors(&problems)) else {
            self.say_invalid(&name, &problems, &sources, out);
            return Err(Exit::Invalid);
        };
        let captured = |path: &At<String>| captured(&topology, &sources, path);
        let mut judged = expect::judge(&topology, Some(&captured));
        for judged in &mut judged {
            sources.settle(&mut judged.problems);
        }
        let failed = judged.iter().filter(|judged| !judged.problems.is_empty()).count();
        match self.format.format {
            Format::Text => say(&judged, failed, &sources, out),
            Format::Json => {
                let told = judged.iter().map(|judged| told(judged, &sources)).collect();
                out.json(&json::tested(&name, told, Vec::new()));
            }
            _ => {
                let mut review = Review { command: "test", suite: Some(name), ..Review::default() };
                for Judged { expectation, problems, .. } in &judged {
                    let outcome = if problems.is_empty() { "holds" } else { "does not hold" };
                    review.add_file(&expectation.name.value, outcome, problems, &sources);
                }
                format::say(&review, &self.format, false, out);
            }
        }
        Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
    }

    /// Nothing can be judged: what is wrong with the topology is said as `check` says it.
    fn say_invalid(&self, name: &str, problems: &[Problem], sources: &Sources, out: &mut Output) {
        match self.format.format {
            Format::Text => input::say(problems, sources, out),
            Format::Json => out.json(&json::tested(name, Vec::new(), problem::json(problems, sources))),
            _ => {
                let mut review = Review { command: "test", ..Review::default() };
                review.add_file(&self.file.to_string_lossy(), &input::count(problems), problems, sources);
                format::say(&review, &self.format, false, out);
            }
        }
    }
}

/// A state that an expectation names, relative to the file that says it.
fn captured(topology: &Topology, sources: &Sources, path: &At<String>) -> Result<Seen, String> {
    let folder = path.origin.span().and_then(|span| sources.path(span).parent().map(Path::to_path_buf)).unwrap_or_default();
    let file = folder.join(&path.value);
    let shown = printable(&file.to_string_lossy()).into_owned();
    let text = files::real(&file).and_then(|path| files::text(&path)).map_err(|_| format!("{shown} cannot be read"))?;
    let captured = captured::read(&text).map_err(|error| format!("{shown} is not a captured state: {error}"))?;
    let (observed, owned) = captured.of(&topology.name.value, topology.was.as_ref().map(|was| was.value.as_str()));
    let known = owned.as_ref().map(Belongings::owned);
    let let_go = owned.map(|owned| owned.claims(&observed).debts(&observed).into_keys().collect());
    Ok(Seen { observed, owned: known, let_go: let_go.unwrap_or_default() })
}

fn say(judged: &[Judged<'_>], failed: usize, sources: &Sources, out: &mut Output) {
    for Judged { expectation, problems, .. } in judged {
        let outcome = if problems.is_empty() { "holds" } else { "does not hold" };
        out.say(&format!("{outcome:>13}  {}\n", printable(&expectation.name.value)));
    }
    let problems: Vec<Problem> = judged.iter().flat_map(|judged| judged.problems.iter().cloned()).collect();
    if !problems.is_empty() {
        out.error(&problem::render(&problems, sources, out.problem_style()));
    }
    let count = judged.len();
    out.say(&match (count, failed) {
        (0, _) => "Nothing is expected: no file has an `expect` block.\n".to_owned(),
        (_, 0) => format!("{count} expected, and all of it holds.\n"),
        _ => format!("{count} expected, and {failed} of it does not hold.\n"),
    });
}

fn told(judged: &Judged<'_>, sources: &Sources) -> TestedExpectation {
    TestedExpectation {
        name: judged.expectation.name.value.clone(),
        holds: judged.problems.is_empty(),
        problems: problem::json(&judged.problems, sources),
    }
}
