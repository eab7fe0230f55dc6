//! Problems as a person reads them, at their tokens, and as a machine does.
//!
//! What is shown of a file passes `printable` first, and only the lines around a label are taken: a file of 30 MB costs no
//! more than a small one.

mod excerpt;

use std::fmt::{self, Write};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use serde_json::{Value, json};

use super::{Label, Problem, Severity, sort};
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

/// The same problems for machines: `code`, `name`, `severity`, `message`, `help`, `edit` (what `check --fix` writes, where `certain`), then `file`, `span` and `label` of the culprit (null
/// where there is no text to point at), and the other places in `related`. Offsets count bytes, lines and columns from 1.
pub fn json(problems: &[Problem], sources: &Sources) -> Value {
    let mut problems = problems.to_vec();
    sort(&mut problems);
    problems.iter().map(|problem| one(problem, sources)).collect()
}

fn one(problem: &Problem, sources: &Sources) -> Value {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let first = problem.labels.first();
    json!({
        "code": problem.page().map_or(problem.code, |page| page.code),
        "name": problem.code,
        "severity": severity,
        "message": problem.message,
        "help": problem.help,
        "edit": problem.edit.as_ref().map(|edit| {
            json!({ "file": sources.path(edit.span).to_string_lossy(), "span": span(edit.span, sources), "text": edit.text, "certain": edit.certain })
        }),
        "file": first.map(|label| sources.path(label.span).to_string_lossy()),
        "span": first.map(|label| span(label.span, sources)),
        "label": first.map(|label| &label.text),
        "related": problem.labels.iter().skip(1).map(|label| place(label, sources)).collect::<Vec<_>>(),
    })
}

fn place(label: &Label, sources: &Sources) -> Value {
    json!({ "file": sources.path(label.span).to_string_lossy(), "span": span(label.span, sources), "label": label.text })
}

fn span(span: Span, sources: &Sources) -> Value {
    let position = sources.position(span);
    json!({ "offset": span.start, "length": span.end.saturating_sub(span.start), "line": position.line, "column": position.column })
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
