//! What a command found, before it takes the form that somebody's tools read: the same facts for every format.
//!
//! Texts are as they are; each format escapes them by its own rules.

use std::fmt;

use super::{field_span, kind_and_identity, place, text, what};
use crate::catalogue::Page;
use crate::plan::policy::Broken;
use crate::plan::{Plan, Planned, Summary};
use crate::source::problem::{self, Problem, Severity};
use crate::source::{Origin, Sources, Span};
use crate::state::{Action, Change, FieldChange};

/// Without colours; nothing is broken into lines.
const PLAIN: text::Style = text::Style { colour: false, width: usize::MAX, verbose: true };

/// All that a command found.
#[derive(Clone, Debug, Default)]
pub struct Review {
    /// `plan`
    pub command: &'static str,
    /// A file, a host or a topology each.
    pub parts: Vec<Part>,
    /// Each part is a test of a suite of this name; `None`: a part is a suite, and its findings are tests.
    pub suite: Option<String>,
    /// The files that places are in, for those who show them whole.
    pub files: Vec<Text>,
    /// The topology as SVG, for those who can show one.
    pub picture: Option<String>,
}

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its path, as places name it.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// What belongs together.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// `lb1`, `shop.kdl`
    pub name: String,
    /// What is known of it beside the name: `director · kernel 6.1.176`.
    pub about: String,
    /// How it ended, in a line.
    pub outcome: String,
    /// What becomes of each object, as people read it: incidental changes are left out.
    pub changes: Vec<Line>,
    /// How much that is.
    pub summary: Summary,
    /// What is wrong, or may be.
    pub findings: Vec<Finding>,
    /// What else one must know, a sentence each.
    pub notes: Vec<String>,
}

/// What becomes of one object.
#[derive(Clone, Debug)]
pub struct Line {
    /// What the change does with it.
    pub action: Action,
    /// `server`
    pub kind: String,
    /// In the user's words: `server shop web3`.
    pub what: String,
    /// In the kernel's: `10.0.0.13:443 dr weight 100`.
    pub identity: String,
    /// Where it comes from, in words: `shop.kdl:11`, `no longer in the file`.
    pub origin: String,
    /// The same as a place, where there is one.
    pub place: Option<Place>,
    /// The fields that differ.
    pub fields: Vec<FieldChange>,
    /// For each of them where its new value is said, if that is elsewhere than the object: in words, and as a place.
    pub places: Vec<Option<(String, Place)>>,
    /// What it does to live connections; some belong to a field.
    pub impacts: Vec<(Option<&'static str>, String)>,
    /// How many live connections end.
    pub cut: u64,
}

impl Line {
    /// Its fields, each with where its new value is said, if that is elsewhere than the object.
    pub fn placed_fields(&self) -> impl Iterator<Item = (&FieldChange, Option<&(String, Place)>)> {
        let places = self.places.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        self.fields.iter().zip(places)
    }
}

/// What is wrong, or may be.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is called for ever: `LVS503`, or a word of a plan's rules.
    pub code: String,
    /// The page that explains it, where there is one.
    pub page: Option<&'static Page>,
    /// In one sentence without a full stop.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Where.
    pub place: Option<Place>,
    /// The other places concerned, each with a few words, which may be none: what broke it, what was there first.
    pub related: Vec<(Place, String)>,
}

/// A place in a file. Lines and columns are counted from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its path.
    pub file: String,
    /// Where it begins.
    pub line: usize,
    /// Where it begins.
    pub column: usize,
    /// Where it ends.
    pub end_line: usize,
    /// The column behind its last character.
    pub end_column: usize,
}

impl Place {
    /// The place of a span.
    pub fn of(span: Span, sources: &Sources) -> Place {
        let (start, end) = (sources.position(span), sources.position(Span { start: span.end, ..span }));
        Place {
            file: sources.path(span).display().to_string(),
            line: start.line,
            column: start.column,
            end_line: end.line,
            end_column: end.column,
        }
    }
}

impl fmt::Display for Place {
    /// `shop.kdl:11`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Finding {
    /// The other places in words: `shop.kdl:11: first here`.
    pub fn related_in_words(&self) -> impl Iterator<Item = String> {
        self.related.iter().map(|(place, text)| if text.is_empty() { place.to_string() } else { format!("{place}: {text}") })
    }

    /// `LVS503 all-quiesced`
    pub fn heading(&self) -> String {
        self.page.map_or_else(|| self.code.clone(), Page::heading)
    }

    /// A problem of a file.
    pub fn of(problem: &Problem, sources: &Sources) -> Finding {
        Finding {
            severity: problem.severity,
            code: problem.page().map_or(problem.code, |page| page.code).to_owned(),
            page: problem.page(),
            message: problem.message.clone(),
            help: problem.help.clone(),
            place: problem.labels.first().map(|label| Place::of(label.span, sources)),
            related: problem.labels.iter().skip(1).map(|label| (Place::of(label.span, sources), label.text.clone())).collect(),
        }
    }

    /// A rule that forbids a plan.
    pub fn of_rule(broken: &Broken) -> Finding {
        let text = broken.to_string();
        let message = text.split_once(": ").map_or(text.as_str(), |(_, message)| message).to_owned();
        let help = format!("do not ask for that, or let one run break the rule: --allow {}", broken.rule());
        Finding {
            severity: Severity::Error,
            code: broken.rule().to_owned(),
            page: None,
            message,
            help: Some(help),
            place: None,
            related: Vec::new(),
        }
    }
}

impl Review {
    /// What a plan is, with the rules that it breaks, and what else would be refused.
    pub fn of_plan(plan: &Plan, broken: &[Broken], refused: Vec<String>, sources: &Sources) -> Review {
        let model = refused.into_iter().map(|message| Finding {
            severity: Severity::Error,
            code: crate::plan::policy::MODEL.to_owned(),
            page: None,
            message,
            help: Some(format!("--allow {} lets the kernel decide", crate::plan::policy::MODEL)),
            place: None,
            related: Vec::new(),
        });
        let part = Part {
            name: plan.target.host.clone(),
            about: format!("{} · kernel {}", plan.target.role, plan.kernel.release),
            outcome: text::ending(plan, PLAIN),
            changes: text::in_order(plan).map(|planned| line(planned, sources)).collect(),
            summary: plan.summary,
            findings: broken.iter().map(Finding::of_rule).chain(model).collect(),
            notes: plan.notes.iter().map(ToString::to_string).chain(text::not_carried_out(plan, sources, true)).collect(),
        };
        Review { command: "plan", parts: vec![part], suite: None, files: files(sources), picture: None }
    }

    /// What becomes of each host between two files, with what else is to be known of it.
    pub fn of_difference<'a>(hosts: impl Iterator<Item = (&'a Plan, Vec<String>)>, sources: &Sources) -> Review {
        let part = |(plan, notes): (&Plan, Vec<String>)| Part {
            name: plan.target.host.clone(),
            about: plan.target.role.clone(),
            outcome: format!("{}.", text::counts(&plan.summary)),
            changes: text::in_order(plan).map(|planned| line(planned, sources)).collect(),
            summary: plan.summary,
            findings: Vec::new(),
            notes,
        };
        Review { command: "diff", parts: hosts.map(part).collect(), suite: None, files: files(sources), picture: None }
    }

    /// What is wrong in a file. `outcome`: what is to be said of it in a line.
    pub fn add_file(&mut self, name: &str, outcome: &str, problems: &[Problem], sources: &Sources) {
        let mut problems = problems.to_vec();
        problem::sort(&mut problems);
        self.parts.push(Part {
            name: name.to_owned(),
            outcome: outcome.to_owned(),
            findings: problems.iter().map(|problem| Finding::of(problem, sources)).collect(),
            ..Part::default()
        });
        for file in files(sources) {
            if !self.files.contains(&file) {
                self.files.push(file);
            }
        }
    }

    /// All findings of all parts.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.parts.iter().flat_map(|part| &part.findings)
    }

    /// How many errors and warnings there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings().filter(|finding| finding.severity == severity).count()
    }
}

/// What a change of an object is, without any file.
pub fn bare_line(name: &str, change: &Change, origin: &str) -> Line {
    let (kind, identity) = kind_and_identity(&change.key);
    Line {
        action: change.action(),
        what: if name.is_empty() { kind.clone() } else { format!("{kind} {name}") },
        kind,
        identity,
        origin: origin.to_owned(),
        place: None,
        fields: change.fields(),
        places: Vec::new(),
        impacts: Vec::new(),
        cut: 0,
    }
}

fn line(planned: &Planned, sources: &Sources) -> Line {
    let provenance = planned.provenance.as_ref();
    let place_of = provenance.and_then(|provenance| match provenance.origin {
        Origin::Text(span) => Some(Place::of(span, sources)),
        Origin::Default | Origin::Ledger | Origin::Former => None,
    });
    Line {
        action: planned.action,
        kind: kind_and_identity(&planned.change.key).0,
        what: what(&planned.change.key, provenance),
        identity: text::identity(planned),
        origin: place(provenance, sources),
        place: place_of,
        fields: text::fields(planned).to_vec(),
        places: text::fields(planned)
            .iter()
            .map(|field| field_span(planned, field, sources))
            .map(|span| span.map(|span| (super::line(span, sources), Place::of(span, sources))))
            .collect(),
        impacts: planned.impacts.iter().map(|impact| (impact.field(), impact.to_string())).collect(),
        cut: planned.impacts.iter().map(crate::plan::Impact::cut).sum(),
    }
}

fn files(sources: &Sources) -> Vec<Text> {
    let text = |file: &crate::source::SourceFile| Text { path: file.path.display().to_string(), text: file.text.clone() };
    sources.files().iter().map(text).collect()
}
