//! A TOML file as it is laid out, comments and all, and its canonical text.

mod parse;

use super::lines::{INDENT, Line, WIDTH, render, width};
use super::value::{Value, toml_key, toml_path};

pub(super) use parse::parse;

/// A line, or an element of an array or inline table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item<T> {
    /// Whether a blank line stands before it.
    pub(super) blank: bool,
    pub(super) what: What<T>,
    /// The comment behind it on its line, with its mark.
    pub(super) trailing: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What<T> {
    /// A comment on a line of its own, with its mark.
    Comment(String),
    Some(T),
}

/// What a line of a file says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Statement {
    /// `[a.b]`, or `[[a.b]]`
    Header {
        array: bool,
        keys: Vec<String>,
    },
    Pair(Pair),
}

/// `key = value`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) keys: Vec<String>,
    pub(super) value: Data,
    /// Where its key begins in the text.
    pub(super) at: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Scalar(Value),
    Array(List<Data>),
    Table(List<Pair>),
}

/// What stands between brackets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct List<T> {
    /// Its author wrote it on several lines.
    pub(super) lines: bool,
    pub(super) items: Vec<Item<T>>,
}

impl<T> Item<T> {
    pub(super) fn new(blank: bool, value: T) -> Item<T> {
        Item { blank, what: What::Some(value), trailing: None }
    }

    pub(super) fn comment(blank: bool, text: String) -> Item<T> {
        Item { blank, what: What::Comment(text), trailing: None }
    }
}

/// The canonical text.
pub(super) fn print(file: &[Item<Statement>]) -> String {
    let mut lines = Vec::new();
    for item in file {
        let first = lines.len();
        match &item.what {
            What::Comment(text) => lines.push(Line::new(0, text.as_str())),
            What::Some(Statement::Header { array, keys }) => {
                let path = toml_path(keys);
                let mut line = Line::new(0, if *array { format!("[[{path}]]") } else { format!("[{path}]") });
                line.alone = true;
                lines.push(line);
            }
            What::Some(Statement::Pair(pair)) => write(&mut lines, 0, &prefix(pair), &pair.value, ""),
        }
        finish(&mut lines, first, item.blank, item.trailing.as_ref());
    }
    render(&lines)
}

/// Every comment, in the order of the text.
pub(super) fn comments(file: &[Item<Statement>]) -> Vec<String> {
    let mut found = Vec::new();
    of_items(file, &mut found, &mut |statement, found| {
        if let Statement::Pair(pair) = statement {
            of_data(&pair.value, found);
        }
    });
    found
}

fn of_items<T>(items: &[Item<T>], found: &mut Vec<String>, inside: &mut impl FnMut(&T, &mut Vec<String>)) {
    for item in items {
        match &item.what {
            What::Comment(text) => found.push(text.clone()),
            What::Some(value) => inside(value, found),
        }
        found.extend(item.trailing.clone());
    }
}

fn of_data(data: &Data, found: &mut Vec<String>) {
    match data {
        Data::Scalar(_) => {}
        Data::Array(list) => of_items(&list.items, found, &mut |data, found| of_data(data, found)),
        Data::Table(list) => of_items(&list.items, found, &mut |pair, found| of_data(&pair.value, found)),
    }
}

/// A value on one line. `None` where a comment stands in it.
pub(super) fn flat(data: &Data) -> Option<String> {
    match data {
        Data::Scalar(value) => Some(value.toml()),
        Data::Array(list) => {
            let items = flat_items(list, flat)?;
            Some(format!("[{}]", items.join(", ")))
        }
        Data::Table(list) => {
            let items = flat_items(list, |pair| Some(prefix(pair) + &flat(&pair.value)?))?;
            Some(if items.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", items.join(", ")) })
        }
    }
}

fn flat_items<T>(list: &List<T>, flat: impl Fn(&T) -> Option<String>) -> Option<Vec<String>> {
    let flat = |item: &Item<T>| match &item.what {
        What::Some(value) if item.trailing.is_none() => flat(value),
        _ => None,
    };
    list.items.iter().map(flat).collect()
}

fn prefix(pair: &Pair) -> String {
    format!("{} = ", pair.keys.iter().map(|key| toml_key(key)).collect::<Vec<_>>().join("."))
}

/// Writes a value behind what stands before it, and `end` behind it. A list stays on one line if its author wrote it so and it
/// fits; an inline table always, since before TOML 1.1 it had to.
fn write(lines: &mut Vec<Line>, depth: usize, before: &str, data: &Data, end: &str) {
    let text = flat(data).map(|text| format!("{before}{text}{end}"));
    let fits = |text: &String| depth * INDENT + width(text) <= WIDTH;
    let one_line = match data {
        Data::Scalar(_) => text,
        Data::Array(list) if list.items.is_empty() => text,
        Data::Table(list) if list.items.is_empty() => text,
        Data::Array(list) => text.filter(|text| !list.lines && fits(text)),
        Data::Table(list) => text.filter(|_| !list.lines),
    };
    if let Some(text) = one_line {
        lines.push(Line::new(depth, text));
        return;
    }
    let (open, close) = if matches!(data, Data::Table(_)) { ('{', '}') } else { ('[', ']') };
    let mut line = Line::new(depth, format!("{before}{open}"));
    line.alone = true;
    lines.push(line);
    match data {
        Data::Array(list) => inside(lines, depth + 1, list, |lines, data| write(lines, depth + 1, "", data, ",")),
        Data::Table(list) => {
            inside(lines, depth + 1, list, |lines, pair| write(lines, depth + 1, &prefix(pair), &pair.value, ","));
        }
        Data::Scalar(_) => {}
    }
    lines.push(Line::new(depth, format!("{close}{end}")));
}

fn inside<T>(lines: &mut Vec<Line>, depth: usize, list: &List<T>, write: impl Fn(&mut Vec<Line>, &T)) {
    for item in &list.items {
        let first = lines.len();
        match &item.what {
            What::Comment(text) => lines.push(Line::new(depth, text.as_str())),
            What::Some(value) => write(lines, value),
        }
        finish(lines, first, item.blank, item.trailing.as_ref());
    }
}

fn finish(lines: &mut [Line], first: usize, blank: bool, trailing: Option<&String>) {
    if let Some(line) = lines.get_mut(first) {
        line.blank = blank;
    }
    if let Some(line) = lines.last_mut() {
        line.trailing.extend(trailing.cloned());
    }
}
