//! A mistake in a topology: what, where, and what to do about it.

pub mod edit;
pub mod nearest;
pub mod render;

pub use edit::Edit;
pub use nearest::nearest;
pub use render::{Style, Told, json, render};

use super::Span;
use crate::catalogue::{self, Page};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the topology can be used all the same.
    pub severity: Severity,
    /// The name of its code in the catalogue: `unknown-field`.
    pub code: &'static str,
    /// What was expected and what was there, in one sentence without a full stop.
    pub message: String,
    /// The tokens concerned, the culprit first. Empty only where there is no text to point at: then `message` names the file.
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
    /// The same as a change of the text, where it is one.
    pub edit: Option<Box<Edit>>,
}

/// Whether the topology can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but it will hardly do what was meant.
    Warning,
}

/// A token and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The token.
    pub span: Span,
    /// A few words beside it; may be empty.
    pub text: String,
}

impl Problem {
    /// A mistake with which the topology cannot be used. Without a label so far.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Error, code, message: message.into(), labels: Vec::new(), help: None, edit: None }
    }

    /// A mistake that the topology survives. Without a label so far.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(code, message) }
    }

    /// Its page in the catalogue.
    pub fn page(&self) -> Option<&'static Page> {
        catalogue::find(self.code)
    }

    /// Points at one more token; the first is the culprit. `text` may be empty.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Problem {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// Says what would mend it in the text: one token in place of another.
    #[must_use]
    pub fn edit(mut self, span: Span, text: impl Into<String>, certain: bool) -> Problem {
        self.edit = Some(Box::new(Edit { span, text: text.into(), certain }));
        self
    }

    /// Offers the nearest known word, where there is one.
    #[must_use]
    pub fn did_you_mean<'a>(self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Problem {
        match nearest(word, candidates) {
            Some(known) => self.help(format!("did you mean `{known}`?")),
            None => self,
        }
    }
}

/// Sorts by file and place and leaves out exact repetitions. What has no place comes first.
pub fn sort(problems: &mut Vec<Problem>) {
    problems.sort_by_key(|problem| problem.labels.first().map(|label| label.span));
    let mut seen: Vec<Problem> = Vec::with_capacity(problems.len());
    for problem in problems.drain(..) {
        let place = |of: &Problem| of.labels.first().map(|label| label.span);
        let here = seen.iter().rev().take_while(|other| place(other) == place(&problem));
        if !here.into_iter().any(|other| *other == problem) {
            seen.push(problem);
        }
    }
    *problems = seen;
}
