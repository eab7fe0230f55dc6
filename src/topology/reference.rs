//! The reference of the language as Markdown, from the table of kinds.

use std::fmt::Write as _;

use super::kinds::ROOT;
use super::shape::{Field, Form, Kind, Need};

/// Each kind with its form, an example, and a table of its fields.
pub fn reference() -> String {
    let mut text = String::new();
    for kind in Kind::all() {
        let _ = write!(text, "### {}\n\n{} {}\n\n```kdl\n{}\n```\n\n", kind.word, kind.doc, form(kind), kind.example);
        if !kind.fields.is_empty() {
            text.push_str("| field | takes | default | meaning |\n|---|---|---|---|\n");
            for field in kind.fields {
                row(&mut text, field);
            }
            text.push('\n');
        }
        if !kind.kinds.is_empty() {
            let inside: Vec<String> = kind
                .kinds
                .iter()
                .map(|child| format!("[`{0}`](#{0}){1}", child.kind.word, if child.required { " (required)" } else { "" }))
                .collect();
            let _ = write!(text, "In it: {}.\n\n", inside.join(", "));
        }
    }
    text
}

fn row(text: &mut String, field: &Field) {
    let list = if field.list { "; one or more" } else { "" };
    let default = match field.need {
        Need::Required => "required".to_owned(),
        Need::Optional => String::new(),
        Need::Default(default) => format!("`{default}`"),
    };
    let _ = writeln!(text, "| `{}` | {}{list} | {default} | {} |", field.word, field.value, field.doc);
}

fn form(kind: &Kind) -> String {
    let path = path(&ROOT, kind).unwrap_or_else(|| segment(kind));
    match kind.form {
        Form::Once => format!("There once. In TOML `[{path}]`."),
        Form::Repeated => format!("There any number of times. In TOML `[[{path}]]`, or `[{path}]` for one alone."),
        Form::Named { label, .. } => format!("Its name: {label}. In TOML `[{path}]`."),
        Form::Main { key, value } => {
            format!("Its main value: {value}. In TOML `{0} = …`, or `{0} = {{ {key} = …, … }}`.", kind.word)
        }
        Form::Keyed => format!("In TOML a table `[{path}]` of `\"KEY\" = VALUE`, or `{{ value = VALUE, … }}`."),
    }
}

/// The header of a TOML table of this kind, in the first kind that may have it.
fn path(within: &Kind, wanted: &Kind) -> Option<String> {
    within.kinds.iter().find_map(|child| {
        if child.kind.word == wanted.word {
            return Some(segment(child.kind));
        }
        path(child.kind, wanted).map(|rest| format!("{}.{rest}", segment(child.kind)))
    })
}

fn segment(kind: &Kind) -> String {
    match kind.form {
        Form::Named { .. } => format!("{}.NAME", kind.word),
        _ => kind.word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{path, reference};
    use crate::topology::kinds::{INTERFACE, MATCH, ROOT, SERVER, SYSCTL, TIMEOUTS};
    use crate::topology::shape::Kind;

    #[test]
    fn a_table_is_said_with_its_whole_path() {
        for (kind, header) in [
            (&TIMEOUTS, "timeouts"),
            (&INTERFACE, "director.NAME.interface.NAME"),
            (&SYSCTL, "director.NAME.sysctl"),
            (&SERVER, "pool.NAME.server.NAME"),
            (&MATCH, "service.NAME.listen.match"),
        ] {
            assert_eq!(path(&ROOT, kind).as_deref(), Some(header));
            assert!(reference().contains(&format!("[{header}]")), "{header}");
        }
    }

    #[test]
    fn every_kind_and_field_is_in_it() {
        let text = reference();
        for kind in Kind::all() {
            assert!(text.contains(&format!("### {}\n", kind.word)));
            assert!(kind.fields.iter().all(|field| text.contains(&format!("| `{}` |", field.word))));
        }
    }
}
