//! Problems as a person reads them, at their tokens, and as a machine does.
//!
//! What is shown of a file passes `printable` first, and only the lines around a label are taken: a file of 30 MB costs no
//! more than a small one.

mod excerpt;

use std::fmt::{self, Write};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Edit, Label, Problem, Severity, sort};
use crate::catalogue::Page;
use crate::source::{Sources, Span, printable};
use excerpt::Excerpt;

/// Problems that are shown; a reader repairs these first.
const CAP: usize = 100;

/// How problems are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether the terminal takes colours; the text means the same without.
    pub colour: bool,
    /// Columns of the terminal.
    pub width: usize,
}

/// Every problem with its place, its lines, the tokens underlined, and its help. By file and place, without repetitions.
pub fn render(problems: &[Problem], sources: &Sources, style: Style) -> String {
    let mut problems = problems.to_vec();
    sources.settle(&mut problems);
    sort(&mut problems);
    let theme = if style.colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler =
        GraphicalReportHandler::new_themed(theme).with_width(style.width.max(40)).with_links(false).without_primary_span_start();
    let mut out = String::new();
    for problem in problems.iter().take(CAP) {
        if handler.render_report(&mut out, &Shown::new(problem, sources)).is_err() {
            // Should miette ever fail, what is wrong is said all the same.
            out.push_str(&printable(&problem.message));
        }
        out.push('\n');
    }
    if problems.len() > CAP {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "and {} more", problems.len() - CAP);
    }
    out
}

/// A problem for machines. Offsets count bytes, lines and columns from 1.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Told {
    /// `LVS503`; the name where there is no page.
    code: &'static str,
    /// `all-quiesced`
    name: &'static str,
    /// `error` or `warning`
    severity: &'static str,
    /// What was expected and what was there.
    message: String,
    /// What to do.
    help: Option<String>,
    /// What would mend it.
    edit: Option<ToldEdit>,
    /// The file of the culprit; null where there is no text to point at.
    file: Option<String>,
    /// The culprit.
    span: Option<ToldSpan>,
    /// A few words beside it.
    label: Option<String>,
    /// The other places concerned.
    related: Vec<ToldPlace>,
}

/// What would mend a problem.
#[derive(Debug, Serialize, JsonSchema)]
struct ToldEdit {
    file: String,
    /// What is replaced.
    span: ToldSpan,
    /// By what.
    text: String,
    /// Whether it can be meant in this way only: then `check --fix` writes it.
    certain: bool,
}

/// Another place.
#[derive(Debug, Serialize, JsonSchema)]
struct ToldPlace {
    file: String,
    span: ToldSpan,
    /// A few words beside it; may be empty.
    label: String,
}

/// A piece of a file.
#[derive(Debug, Serialize, JsonSchema)]
struct ToldSpan {
    /// bytes from the beginning of the file
    offset: u32,
    /// bytes
    length: u32,
    /// from 1
    line: usize,
    /// from 1, in characters
    column: usize,
}

/// The same problems for machines.
pub fn json(problems: &[Problem], sources: &Sources) -> Vec<Told> {
    let mut problems = problems.to_vec();
    sources.settle(&mut problems);
    sort(&mut problems);
    problems.into_iter().map(|problem| one(problem, sources)).collect()
}

fn one(problem: Problem, sources: &Sources) -> Told {
    let path = |span: Span| sources.path(span).to_string_lossy().into_owned();
    let first = problem.labels.first();
    let edit = |edit: &Edit| ToldEdit {
        file: path(edit.span),
        span: span(edit.span, sources),
        text: edit.text.clone(),
        certain: edit.certain,
    };
    let place = |label: &Label| ToldPlace { file: path(label.span), span: span(label.span, sources), label: label.text.clone() };
    Told {
        code: problem.page().map_or(problem.code, |page| page.code),
        name: problem.code,
        severity: match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        edit: problem.edit.as_deref().map(edit),
        file: first.map(|label| path(label.span)),
        span: first.map(|label| span(label.span, sources)),
        label: first.map(|label| label.text.clone()),
        related: problem.labels.iter().skip(1).map(place).collect(),
        message: problem.message,
        help: problem.help,
    }
}

fn span(span: Span, sources: &Sources) -> ToldSpan {
    let position = sources.position(span);
    ToldSpan { offset: span.start, length: span.end.saturating_sub(span.start), line: position.line, column: position.column }
}

/// A problem as miette takes it.
#[derive(Debug)]
struct Shown<'p> {
    problem: &'p Problem,
    message: String,
    excerpt: Excerpt,
}

impl<'p> Shown<'p> {
    fn new(problem: &'p Problem, sources: &Sources) -> Shown<'p> {
        Shown { problem, message: printable(&problem.message).into_owned(), excerpt: Excerpt::new(&problem.labels, sources) }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.problem.page().map_or_else(|| self.problem.code.to_owned(), Page::heading)))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_deref().map(|help| Box::new(printable(help)) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.problem.labels.is_empty()).then_some(&self.excerpt as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let texts =
            self.problem.labels.iter().map(|label| Some(printable(&label.text).into_owned()).filter(|text| !text.is_empty()));
        let labels = texts.zip(self.excerpt.marks()).map(|(text, bytes)| LabeledSpan::new(text, bytes.start, bytes.len()));
        (!self.problem.labels.is_empty()).then(|| Box::new(labels) as Box<dyn Iterator<Item = LabeledSpan>>)
    }
}
