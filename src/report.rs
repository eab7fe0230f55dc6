//! What people and machines read of a plan.
//!
//! Each format escapes by its own rules. Nothing here prints: every function returns what is to be printed.

pub mod captured;
pub mod doctor;
pub mod drift;
pub mod failure;
pub mod github;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod rehearsal;
pub mod review;
pub mod sarif;
pub mod text;

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style as Ansi};

use crate::plan::Planned;
use crate::provenance::Provenance;
use crate::source::printable;
use crate::source::{Origin, Sources, Span};
use crate::state::{Action, FieldChange, Key};

/// Where an object of a plan comes from, in words: `flash-sale.kdl:31`.
fn place(provenance: Option<&Provenance>, sources: &Sources) -> String {
    let Some(provenance) = provenance else { return "not in the file".to_owned() };
    let place = match provenance.origin {
        Origin::Default => "by default".to_owned(),
        Origin::Ledger if sources.files().is_empty() => "by the ledger".to_owned(), // nobody reads a file to destroy or revert
        Origin::Ledger => "no longer in the file".to_owned(),
        Origin::Former => "as before the last apply".to_owned(),
        Origin::Text(span) => line(span, sources),
    };
    match provenance.implied {
        None => place,
        Some(reason) => format!("{place}: {reason}"),
    }
}

/// `flash-sale.kdl:31`, `services/shop.toml:3`: the file is named from the root file's folder.
fn line(span: Span, sources: &Sources) -> String {
    let path = sources.path(span);
    let folder = sources.files().first().and_then(|root| root.path.parent());
    let path = folder.and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path);
    format!("{}:{}", path.display(), sources.position(span).line)
}

/// Where the new value of a field is said, if that is elsewhere than its object.
fn field_span(planned: &Planned, field: &FieldChange, sources: &Sources) -> Option<Span> {
    let provenance = planned.provenance.as_ref()?;
    let span = sources.said(provenance.field(field.field)?);
    let object = provenance.origin.span().map(|span| sources.place(span));
    let line = |span: Span| (span.file, sources.position(span).line);
    (field.after.is_some() && object.map(line) != Some(line(span))).then_some(span)
}

/// The kind of an object and its identity within the kind, in the spelling of [`Key`].
fn kind_and_identity(key: &Key) -> (String, String) {
    let text = key.to_string();
    text.split_once(' ').map_or_else(|| (text.clone(), String::new()), |(kind, rest)| (kind.to_owned(), rest.to_owned()))
}

/// `server shop web3`; a name that begins with its kind is not said twice.
fn what(key: &Key, provenance: Option<&Provenance>) -> String {
    let (kind, _) = kind_and_identity(key);
    let what = match provenance {
        Some(Provenance { name, .. }) if name.split(' ').next() == Some(&*kind) => name.to_string(),
        Some(Provenance { name, .. }) if !name.is_empty() => format!("{kind} {name}"),
        _ => kind,
    };
    printable(&what).into_owned()
}

const RED: Ansi = AnsiColor::Red.on_default().bold();
const CYAN: Ansi = AnsiColor::Cyan.on_default();

/// A message about a command: what went wrong, what is known of it, and what to do.
pub fn error(message: &str, details: &[String], help: Option<&str>, style: text::Style) -> String {
    let painted = |ansi: Ansi, word: &str| if style.colour { format!("{ansi}{word}{ansi:#}") } else { word.to_owned() };
    let mut text = format!("{}: {}\n", painted(RED, "error"), printable(message));
    for detail in details {
        let _ = writeln!(text, "  {}", printable(detail));
    }
    if let Some(help) = help {
        let _ = writeln!(text, "  {}: {}", painted(CYAN, "help"), printable(help));
    }
    text
}

/// The sign of a change.
fn symbol(action: Action) -> char {
    match action {
        Action::Add => '+',
        Action::Change => '~',
        Action::Replace | Action::Restore => '±',
        Action::Delete => '-',
    }
}
