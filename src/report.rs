//! What people and machines read of a plan.
//!
//! Each format escapes by its own rules. Nothing here prints: every function returns what is to be printed.

pub mod json;
pub mod text;

use std::borrow::Cow;

use crate::plan::Provenance;
use crate::source::{Origin, Sources, Span};
use crate::state::Key;

/// Where an object of a plan comes from, in words: `flash-sale.kdl:31`.
fn place(provenance: Option<&Provenance>, sources: &Sources) -> String {
    match provenance.map(|provenance| provenance.origin) {
        None => "not in the file".to_owned(),
        Some(Origin::Default) => "by default".to_owned(),
        Some(Origin::Text(span)) => line(span, sources),
        Some(Origin::Implied(reason, span)) => format!("{}: {reason}", line(span, sources)),
    }
}

/// `flash-sale.kdl:31`
fn line(span: Span, sources: &Sources) -> String {
    format!("{}:{}", sources.path(span).display(), sources.position(span).line)
}

/// The kind of an object and its identity within the kind, in the spelling of [`Key`].
fn kind_and_identity(key: &Key) -> (String, String) {
    let text = key.to_string();
    text.split_once(' ').map_or_else(|| (text.clone(), String::new()), |(kind, rest)| (kind.to_owned(), rest.to_owned()))
}

/// Text from outside with everything visible that would move a terminal's cursor or turn the direction of writing.
fn printable(text: &str) -> Cow<'_, str> {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
    };
    if !text.contains(hostile) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if hostile(c) { format!("\\u{{{:x}}}", u32::from(c)) } else { c.to_string() }).collect())
}
