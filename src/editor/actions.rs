//! What is wrong, as editors show it, and what mends it.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use lsp_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, Location,
    NumberOrString, TextEdit, WorkspaceEdit,
};

use super::text::Document;
use super::{Editor, uri};
use crate::source::problem::Edit;
use crate::source::{FileId, Label, Problem, Severity, Span, Spelling, printable};
use crate::spelling;

/// A problem, as an editor shows it at its label `first`. `place`: where another piece is.
pub fn diagnostic(
    problem: &Problem,
    first: Option<&Label>,
    document: &Document,
    place: impl Fn(FileId, Range<usize>) -> Option<Location>,
) -> Diagnostic {
    let range = first.map_or_else(|| document.range(0..0), |label| document.range(bytes(label.span)));
    let others = problem.labels.iter().filter(|label| !first.is_some_and(|first| std::ptr::eq(*label, first)));
    let related = others.filter_map(|label| {
        let location = place(label.span.file, bytes(label.span))?;
        let message = if label.text.is_empty() { "here too".to_owned() } else { label.text.clone() };
        Some(DiagnosticRelatedInformation { location, message })
    });
    let help = problem.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    Diagnostic {
        range,
        severity: Some(match problem.severity {
            Severity::Error => DiagnosticSeverity::ERROR,
            Severity::Warning => DiagnosticSeverity::WARNING,
        }),
        code: Some(NumberOrString::String(problem.page().map_or(problem.code, |page| page.code).to_owned())),
        source: Some("lvsform".to_owned()),
        message: printable(&problem.message).into_owned() + &help,
        related_information: Some(related.collect::<Vec<_>>()).filter(|all| !all.is_empty()),
        ..Diagnostic::default()
    }
}

pub fn bytes(span: Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

impl Editor {
    /// What mends the problems of some lines of a file, and of all of it at once what can be meant in one way only. `only`: the
    /// kinds that are asked for, `source` also for `source.fixAll`; none: all.
    pub fn actions(&self, path: &Path, range: lsp_types::Range, only: Option<&[CodeActionKind]>) -> Vec<CodeActionOrCommand> {
        let Some(document) = self.documents.get(path) else { return Vec::new() };
        let is_asked_for = |kind: &CodeActionKind| {
            let is_it = |of: &CodeActionKind| {
                let rest = kind.as_str().strip_prefix(of.as_str());
                rest.is_some_and(|rest| of.as_str().is_empty() || rest.is_empty() || rest.starts_with('.'))
            };
            only.is_none_or(|only| only.iter().any(is_it))
        };
        let (start, end) = (document.offset(range.start), document.offset(range.end));
        let mut found: Vec<CodeActionOrCommand> = Vec::new();
        let mut certain: Vec<TextEdit> = Vec::new();
        for (known, file) in self.of(path) {
            for problem in &known.now.problems {
                let Some(edit) = problem.edit.as_deref().filter(|edit| edit.span.file == file) else { continue };
                let text_edit = TextEdit { range: document.range(bytes(edit.span)), new_text: edit.text.clone() };
                if edit.certain && !certain.contains(&text_edit) {
                    certain.push(text_edit.clone());
                }
                let touches = problem.labels.iter().map(|label| label.span).chain([edit.span]);
                let touches = touches.filter(|span| span.file == file).map(bytes);
                if !touches.into_iter().any(|of| of.start <= end && start <= of.end) || !is_asked_for(&CodeActionKind::QUICKFIX) {
                    continue;
                }
                let action = CodeAction {
                    title: title(edit, document),
                    kind: Some(CodeActionKind::QUICKFIX),
                    diagnostics: Some(vec![diagnostic(problem, problem.labels.first(), document, |_, _| None)]),
                    edit: change(path, vec![text_edit]),
                    is_preferred: Some(edit.certain),
                    ..CodeAction::default()
                };
                let action = CodeActionOrCommand::CodeAction(action);
                if !found.contains(&action) {
                    found.push(action);
                }
            }
        }
        if !certain.is_empty() && is_asked_for(&CodeActionKind::SOURCE_FIX_ALL) {
            found.push(CodeActionOrCommand::CodeAction(CodeAction {
                title: "Mend all that can be meant in one way only".to_owned(),
                kind: Some(CodeActionKind::SOURCE_FIX_ALL),
                edit: change(path, certain),
                ..CodeAction::default()
            }));
        }
        found
    }

    /// A file in its canonical form, with the ends of lines that it has; nothing where it is so already, or has mistakes in its
    /// syntax.
    pub fn format(&self, path: &Path) -> Option<Vec<TextEdit>> {
        let document = self.documents.get(path)?;
        let formatted = spelling::format(path, Spelling::of(path)?, document.text()).ok()?;
        let first = document.text().find('\n').and_then(|end| document.text().get(..end));
        let is_dos = first.is_some_and(|line| line.ends_with('\r'));
        let formatted = if is_dos { formatted.replace('\n', "\r\n") } else { formatted };
        if formatted == document.text() {
            return Some(Vec::new());
        }
        Some(vec![TextEdit { range: document.whole(), new_text: formatted }])
    }
}

fn title(edit: &Edit, document: &Document) -> String {
    let there = document.text().get(bytes(edit.span)).unwrap_or_default();
    let (there, new) = (printable(there).into_owned(), printable(&edit.text).into_owned());
    match (there.is_empty(), new.is_empty()) {
        (_, true) => format!("Take `{there}` away"),
        (true, false) => format!("Insert `{new}`"),
        (false, false) => format!("Write `{new}` for `{there}`"),
    }
}

/// A change of one file.
pub fn change(path: &Path, edits: Vec<TextEdit>) -> Option<WorkspaceEdit> {
    Some(WorkspaceEdit { changes: Some(HashMap::from([(uri::uri(path)?, edits)])), ..WorkspaceEdit::default() })
}
