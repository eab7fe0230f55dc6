//! The reference of the language as Markdown, from the table of kinds.

use std::fmt::Write as _;

use super::kinds::{INCLUDE, ROOT};
use super::shape::{Field, Form, Kind, Need};

/// Each kind with its form, an example, and a table of its fields.
pub fn reference() -> String {
    let mut text = String::new();
    for kind in Kind::all() {
        let _ = write!(text, "### {}\n\n{} {}\n\n```kdl\n{}\n```\n\n", title(kind), kind.doc, form(kind), kind.example);
        if !kind.fields.is_empty() {
            text.push_str("| field | takes | default | meaning |\n|---|---|---|---|\n");
            for field in kind.fields {
                let _ = writeln!(text, "| `{}` | {} | {} | {} |", example(field), takes(field), default(field, "`"), field.doc);
            }
            text.push('\n');
        }
        if !kind.kinds.is_empty() {
            let _ = write!(
                text,
                "In it: {}.\n\n",
                inside(kind, |child| format!("[`{}`](#{})", child.word, title(child).replace(' ', "-")))
            );
        }
    }
    text
}

/// The same of one kind or field, as plain text: `service`, `service.listen`, `service.listen.port`, also `listen.port`. `None`
/// where there is no such thing.
pub fn explain(path: &str) -> Option<String> {
    let words: Vec<&str> = path.split('.').collect();
    let (first, rest) = words.split_first()?;
    if let Some(field) = of_file(first).filter(|_| rest.is_empty()) {
        return Some(file_text(field));
    }
    let mut kind = Kind::all().into_iter().find(|kind| kind.word == *first)?;
    for (at, word) in rest.iter().enumerate() {
        if let Some(field) = kind.field(word) {
            return (at + 1 == rest.len()).then(|| field_text(kind, field));
        }
        kind = kind.child(word)?.kind;
    }
    let mut text = format!("{}\n\n{} {}\n\n{}\n", title(kind), kind.doc, form(kind), indented(kind.example));
    for field in kind.fields {
        let _ = write!(text, "\n    {}\n        {}", example(field), field.doc);
    }
    if !kind.fields.is_empty() {
        text.push('\n');
    }
    if !kind.kinds.is_empty() {
        let _ = write!(text, "\nIn it: {}.\n", inside(kind, |child| child.word.to_owned()));
    }
    Some(text)
}

/// Everything that can be explained, by its shortest path.
pub fn paths() -> Vec<String> {
    let of = |kind: &'static Kind| {
        let title = title(kind);
        let own = title.split_once(" in ").map_or_else(|| title.clone(), |(word, home)| format!("{home}.{word}"));
        let mut paths: Vec<String> = kind.words().map(|word| format!("{own}.{word}")).collect();
        paths.push(own);
        paths
    };
    let of_file = ROOT.fields.iter().chain([&INCLUDE]).map(|field| field.word.to_owned());
    of_file.chain(Kind::all().into_iter().flat_map(of)).collect()
}

/// What stands in a file beside its blocks.
fn of_file(word: &str) -> Option<&'static Field> {
    ROOT.field(word).or((word == INCLUDE.word).then_some(&INCLUDE))
}

fn file_text(field: &Field) -> String {
    let (first, more) = field.example.split_once(' ').unwrap_or((field.example, ""));
    let listed = [first, more].join(", ");
    format!(
        "{0}, at the top level of a file\n\n{1}\nIt takes texts; one or more.\n\n    {2}\n\nIn TOML, before the first header:\n\n    {0} = [{listed}]\n",
        field.word,
        field.doc,
        example(field)
    )
}

fn field_text(kind: &Kind, field: &Field) -> String {
    let default = match field.need {
        Need::Required => "\nIt is required.".to_owned(),
        Need::Optional => String::new(),
        Need::Default(_) => format!("\nDefault: {}.", default(field, "")),
    };
    format!("{} of {}\n\n{}\nIt takes {}.{default}\n\n    {}\n", field.word, title(kind), field.doc, takes(field), example(field))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// `weight 100`
fn example(field: &Field) -> String {
    format!("{} {}", field.word, field.example)
}

fn takes(field: &Field) -> String {
    format!("{}{}", field.value, if field.list { "; one or more" } else { "" })
}

fn default(field: &Field, quote: &str) -> String {
    match field.need {
        Need::Required => "required".to_owned(),
        Need::Optional => String::new(),
        Need::Default(default) => format!("{quote}{default}{quote}"),
    }
}

fn inside(kind: &Kind, name: impl Fn(&Kind) -> String) -> String {
    let required = |required: bool| if required { " (required)" } else { "" };
    let all: Vec<String> = kind.kinds.iter().map(|child| format!("{}{}", name(child.kind), required(child.required))).collect();
    all.join(", ")
}

/// A kind's word; where another kind has it too, with where it stands.
fn title(kind: &Kind) -> String {
    let all = Kind::all();
    match all.iter().find(|other| other.word == kind.word) {
        Some(first) if std::ptr::eq(*first, kind) => kind.word.to_owned(),
        _ => {
            let home = all.iter().find(|other| other.kinds.iter().any(|child| std::ptr::eq(child.kind, kind)));
            home.map_or_else(|| kind.word.to_owned(), |home| format!("{} in {}", kind.word, home.word))
        }
    }
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
        if std::ptr::eq(child.kind, wanted) {
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
    use super::{example, explain, path, paths, reference, title};
    use crate::source::memory::load_text;
    use crate::topology::block::{self, Context};
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
            assert!(text.contains(&format!("### {}\n", title(kind))), "{}", title(kind));
            assert!(kind.fields.iter().all(|field| text.contains(&format!("| `{} ", field.word))));
        }
    }

    #[test]
    fn the_example_of_each_field_is_one() {
        for kind in Kind::all() {
            for field in kind.fields {
                let loaded = load_text("example.kdl", &format!("{} {{\n{}\n}}", kind.word, example(field)));
                assert!(loaded.problems.is_empty(), "{}", example(field));
                let mut cx = Context { is_part: true, ..Context::default() };
                block::block(&mut cx, kind, loaded.tree.nodes[0].span, &loaded.tree.nodes[0].children);
                assert_eq!(cx.problems, [], "{}: {}", kind.word, example(field));
            }
        }
    }

    #[test]
    fn whatever_is_explained_is_said_as_the_reference_says_it() {
        let reference = reference();
        for path in paths() {
            let text = explain(&path).unwrap_or_else(|| panic!("{path}"));
            assert!(text.lines().count() > 3, "{path}: {text}");
        }
        let text = explain("service.listen.server-port").expect("a field");
        assert!(
            text.contains("server-port of listen") && text.contains("nat only") && text.contains("server-port 8443"),
            "{text}"
        );
        assert!(reference.contains("| `server-port 8443` |"));
        assert!(explain("service.scheduler").is_some_and(|text| text.contains("Which server gets a new connection")));
        assert_eq!(explain("service.colour"), None);
        for (word, toml) in [
            ("remove", "remove = [\"service.old\", \"pool.web.server.web3\"]"),
            ("include", "include = [\"hosts.kdl\", \"sites/*.kdl\"]"),
        ] {
            assert!(explain(word).is_some_and(|text| text.contains(toml)), "{word}");
        }
    }
}
