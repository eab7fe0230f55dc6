//! A mistake in a topology: what, where, and what to do about it.

use super::Span;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the topology can be used all the same.
    pub severity: Severity,
    /// A stable word for the kind of mistake: `unknown-field`.
    pub code: &'static str,
    /// What was expected and what was there, in one sentence without a full stop.
    pub message: String,
    /// The tokens concerned, the culprit first. Empty only where there is no text to point at: then `message` names the file.
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
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
