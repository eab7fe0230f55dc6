//! TOML text to nodes, by form alone, with places and without what the language refuses.

mod nesting;
mod syntax;

use ::toml::Spanned;
use ::toml::de::{DeArray, DeInteger, DeTable, DeValue};
use std::borrow::Cow;
use std::ops::Range;

use super::{Arg, FileId, Form, Node, Problem, Scalar, Span};
use syntax::Mistakes;

/// Reads a whole file: what was understood of it, and every mistake.
pub(super) fn read(text: &str, file: FileId, problems: &mut Vec<Problem>) -> Vec<Node> {
    if let Some(at) = nesting::too_deep(text) {
        let message = format!("tables, arrays or dotted keys nested more than {} deep", nesting::CAP);
        problems.push(Problem::error("too-deep", message).at(Span::new(file, at..at + 1), "from here on"));
        return Vec::new();
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, file, mistakes: Mistakes::new(text, &errors), problems, hoisted: Vec::new() };
    let mut nodes = reader.table(table.get_ref(), None);
    nodes.append(&mut reader.hoisted);
    let Reader { mistakes, problems, .. } = reader;
    problems.extend(mistakes.problems(text, file));
    nodes
}

struct Reader<'t, 'p> {
    text: &'t str,
    file: FileId,
    mistakes: Mistakes,
    problems: &'p mut Vec<Problem>,
    /// What belongs to the top level and was written below a header.
    hoisted: Vec<Node>,
}

impl Reader<'_, '_> {
    /// The nodes of a table, in the order of the text. `parent` is its key; the file itself has none.
    fn table(&mut self, table: &DeTable<'_>, parent: Option<&str>) -> Vec<Node> {
        let mut nodes = Vec::new();
        for (key, value) in table {
            let span = self.span(key.span());
            // An overlay sets `topology`; that it includes nothing is said where it is laid.
            let of_overlay = matches!(parent, Some("set" | "add"));
            if parent.is_some() && !of_overlay && self.belongs_above(key.get_ref(), value) {
                self.misplaced(key.get_ref(), span);
                let mut hoisted = Vec::new();
                self.entry(key, value, &mut hoisted);
                self.hoisted.append(&mut hoisted);
            } else {
                self.entry(key, value, &mut nodes);
            }
        }
        nodes.sort_by_key(|node| node.span.start);
        if parent == Some("sysctl") { self.whole_sysctl_keys(nodes) } else { self.whole_addresses(nodes) }
    }

    fn entry(&mut self, key: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>, nodes: &mut Vec<Node>) {
        let span = self.span(key.span());
        let node = |args, children, form| Node { key: key.get_ref().as_ref().into(), span, args, children, form };
        match value.get_ref() {
            DeValue::Table(table) => {
                let children = self.table(table, Some(key.get_ref()));
                nodes.push(node(Vec::new(), children, Form::TomlTable));
            }
            DeValue::Array(array) if !array.is_empty() && array.iter().all(|item| item.get_ref().is_table()) => {
                for (index, item) in array.iter().enumerate() {
                    let children =
                        item.get_ref().as_table().map(|table| self.table(table, Some(key.get_ref()))).unwrap_or_default();
                    let span = if index == 0 { span } else { self.header_key(item.span(), key.get_ref()) };
                    nodes.push(Node { span, ..node(Vec::new(), children, Form::TomlTableOfArray) });
                }
            }
            DeValue::Array(array) => {
                let args = self.array(array, value.span());
                nodes.push(node(args, Vec::new(), Form::TomlArray));
            }
            _ => {
                let args = self.scalar(value).into_iter().collect();
                nodes.push(node(args, Vec::new(), Form::TomlValue));
            }
        }
    }

    fn array(&mut self, array: &DeArray<'_>, bytes: Range<usize>) -> Vec<Arg> {
        let mut args = Vec::new();
        let own = self.own_items(array, bytes);
        for item in array.iter().take(own) {
            let span = self.span(item.span());
            match item.get_ref() {
                DeValue::Array(_) => self.problems.push(
                    Problem::error("nested-array", "a list within a list")
                        .at(span, "")
                        .help("write one list with all the values"),
                ),
                DeValue::Table(_) => self.problems.push(
                    Problem::error("mixed-array", "a table in a list of values")
                        .at(span, "")
                        .help("write tables under a header of their own, and names in the list"),
                ),
                _ => args.extend(self.scalar(item)),
            }
        }
        args
    }

    /// How many items of a list are its own: one that is not closed takes in what follows it, headers and keys. Of these
    /// nothing is said but that.
    fn own_items(&mut self, array: &DeArray<'_>, bytes: Range<usize>) -> usize {
        let text = |bytes: Range<usize>| self.text.get(bytes).unwrap_or_default();
        let is_key =
            |item: &Spanned<DeValue<'_>>| text(item.span().end..self.text.len()).trim_start_matches([' ', '\t']).starts_with('=');
        let Some(key) = array.iter().position(is_key) else { return array.len() };
        let no_comma = |at: &usize| match (array.get(at - 1), array.get(*at)) {
            (Some(one), Some(next)) => !text(one.span().end..next.span().start).contains(','),
            _ => false,
        };
        let own = (1..=key).find(no_comma).unwrap_or(key);
        let foreign = array.get(own).map_or(bytes.end, |item| item.span().start);
        self.mistakes.take(&(foreign..bytes.end.saturating_add(1)));
        let key = array.get(key).map_or(bytes.clone(), Spanned::span);
        let (open, key) = (self.span(bytes.start..bytes.start + 1), self.span(key));
        let problem = Problem::error("syntax", "a list that is not closed, expected `]`");
        self.problems.push(problem.at(open, "begins here").at(key, "a key, which no list has"));
        own
    }

    fn scalar(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Arg> {
        let bytes = value.span();
        let span = self.span(bytes.clone());
        let token = self.text.get(bytes.clone()).unwrap_or_default();
        if token.is_empty() {
            return None; // where a value is missing the crate supposes one
        }
        if self.mistakes.touch(&bytes) && !token.starts_with(['"', '\'']) && !matches!(token, "true" | "false") {
            self.mistakes.take(&bytes);
            self.problems.push(unquoted(token, span));
            return Some(Arg { value: Scalar::Text(token.into()), span });
        }
        let value = match value.get_ref() {
            DeValue::String(text) => Scalar::Text(text.as_ref().into()),
            DeValue::Boolean(value) => Scalar::Boolean(*value),
            DeValue::Integer(number) => Scalar::Integer(self.integer(number, span)),
            DeValue::Float(_) => {
                self.problems.push(
                    Problem::error("float", format!("`{token}` is not a whole number"))
                        .at(span, "")
                        .help(format!("write a whole number, or quote it if it is a text: \"{token}\"")),
                );
                return None;
            }
            DeValue::Datetime(_) => {
                self.problems.push(
                    Problem::error("date", format!("`{token}` is a date or time, which the language does not have"))
                        .at(span, "")
                        .help(format!("quote it if it is a text: \"{token}\"")),
                );
                return None;
            }
            DeValue::Array(_) | DeValue::Table(_) => return None,
        };
        Some(Arg { value, span })
    }

    fn integer(&mut self, number: &DeInteger<'_>, span: Span) -> i64 {
        i64::from_str_radix(number.as_str(), number.radix()).unwrap_or_else(|_| {
            let message = format!("`{number}` is larger than any number here may be");
            self.problems.push(Problem::error("integer-too-large", message).at(span, ""));
            if number.as_str().starts_with('-') { i64::MIN } else { i64::MAX }
        })
    }

    /// Whether a key below a header is one that only the top level has: `include` with paths, `topology` with a name.
    fn belongs_above(&self, key: &str, value: &Spanned<DeValue<'_>>) -> bool {
        let inline = || self.text.get(value.span()).is_some_and(|text| text.starts_with('{'));
        match key {
            "include" => {
                value.get_ref().is_str()
                    || value.get_ref().as_array().is_some_and(|array| !array.iter().any(|item| item.get_ref().is_table()))
            }
            "topology" => value.get_ref().is_str() || (value.get_ref().is_table() && inline()),
            _ => false,
        }
    }

    fn misplaced(&mut self, key: &str, span: Span) {
        let before = self.text.get(..span.start as usize).unwrap_or_default();
        let header = before.lines().rev().map(str::trim).find(|line| line.starts_with('[')).unwrap_or("a table").to_owned();
        self.problems.push(
            Problem::error("below-header", format!("`{key}` below a header: TOML makes it a part of {header}"))
                .at(span, "")
                .help(format!("move `{key}` above the first header of the file")),
        );
    }

    /// In a table of sysctls, joins what an unquoted dotted key took apart.
    fn whole_sysctl_keys(&mut self, nodes: Vec<Node>) -> Vec<Node> {
        let is_option = |node: &Node| matches!(&*node.key, "value" | "force");
        let taken_apart = |node: &Node| node.form == Form::TomlTable && !node.children.iter().any(is_option);
        let mut whole = Vec::with_capacity(nodes.len());
        for node in nodes {
            if !taken_apart(&node) || node.children.is_empty() {
                whole.push(node);
                continue;
            }
            for (key, leaf) in leaves(node, &taken_apart) {
                whole.push(self.joined(key, leaf));
            }
        }
        whole
    }

    /// Joins an address that dots took apart: `[pool.web.server.10.0.0.11]`.
    fn whole_addresses(&mut self, nodes: Vec<Node>) -> Vec<Node> {
        let octet =
            |node: &Node| !node.key.is_empty() && node.key.len() <= 3 && node.key.bytes().all(|byte| byte.is_ascii_digit());
        let taken_apart = |node: &Node| {
            let mut level = vec![node];
            (1..4).all(|_| {
                level = level.iter().flat_map(|node| &node.children).collect();
                !level.is_empty() && level.iter().all(|node| octet(node))
            })
        };
        let mut whole = Vec::with_capacity(nodes.len());
        for node in nodes {
            if !(octet(&node) && taken_apart(&node)) {
                whole.push(node);
                continue;
            }
            let mut level = vec![(node.key.to_string(), node)];
            for _ in 1..4 {
                level = level
                    .into_iter()
                    .flat_map(|(path, node)| node.children.into_iter().map(move |child| (format!("{path}.{}", child.key), child)))
                    .collect();
            }
            whole.extend(level.into_iter().map(|(key, leaf)| self.joined(key, leaf)));
        }
        whole
    }

    /// A node under the key that was meant, and the mistake.
    fn joined(&mut self, key: String, leaf: Node) -> Node {
        let before = self.text.get(..leaf.span.start as usize).unwrap_or_default();
        let dotted = before.len()
            - before.trim_end_matches(|char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-')).len();
        // A header may repeat the whole path; only the end of it is the key.
        let dotted = dotted.min(key.len() - leaf.key.len());
        let span = self.span(leaf.span.start as usize - dotted..leaf.span.end as usize);
        self.problems.push(
            Problem::error("unquoted-dotted-key", "a key with dots and without quotes: TOML reads tables within tables")
                .at(span, "")
                .help(format!("quote it: \"{key}\"")),
        );
        Node { key: key.into(), span, ..leaf }
    }

    /// The last key of an `[[array.of.tables]]` header, or the whole inline table.
    fn header_key(&self, bytes: Range<usize>, key: &str) -> Span {
        let header = self.text.get(bytes.clone()).unwrap_or_default();
        match header.rfind(key).filter(|_| header.starts_with("[[")) {
            Some(at) => self.span(bytes.start + at..bytes.start + at + key.len()),
            None => self.span(bytes),
        }
    }

    fn span(&self, bytes: Range<usize>) -> Span {
        Span::new(self.file, within(self.text, bytes))
    }
}

/// The end nodes of a tree of tables, each with its path.
fn leaves(node: Node, taken_apart: &impl Fn(&Node) -> bool) -> Vec<(String, Node)> {
    let key = node.key.to_string();
    if !taken_apart(&node) {
        return vec![(key, node)];
    }
    node.children
        .into_iter()
        .flat_map(|child| leaves(child, taken_apart))
        .map(|(path, leaf)| (format!("{key}.{path}"), leaf))
        .collect()
}

fn unquoted(token: &str, span: Span) -> Problem {
    let help = match token.to_ascii_lowercase().as_str() {
        word @ ("true" | "false") => format!("write {word}"),
        _ => format!("quote it: \"{token}\""),
    };
    let text = match token.to_ascii_lowercase().as_str() {
        word @ ("true" | "false") => word.to_owned(),
        _ => format!("\"{token}\""),
    };
    let problem = Problem::error("unquoted", "a value that is not quoted").at(span, "").help(help);
    // Of two words one may have been meant for something else: `[80 443]` lacks a comma.
    let certain = !token.contains([' ', '\t']);
    if token.contains(['"', '\\', '\'']) { problem } else { problem.edit(span, text, certain) }
}

/// The nearest place within the text and between characters.
fn within(text: &str, bytes: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(bytes.start);
    start..text.ceil_char_boundary(bytes.end).max(start)
}
