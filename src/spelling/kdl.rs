//! A KDL file as it is laid out, comments and all, and its canonical text.

mod parse;

use super::lines::{INDENT, Line, WIDTH, render, width};
use super::value::Value;

pub(super) use parse::parse;

/// A file, or what stands between `{` and `}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Block {
    /// Comments behind the `{` on its line.
    pub(super) opening: Vec<String>,
    pub(super) items: Vec<Item>,
    /// Its author wrote it on one line.
    pub(super) one_line: bool,
}

/// A node or comment of a block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// Whether a blank line stands before it.
    pub(super) blank: bool,
    pub(super) what: What,
    /// Comments behind it on its line.
    pub(super) trailing: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// A comment on lines of its own, with its marks.
    Comment(String),
    Node(Node),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// Left out by `/-`.
    pub(super) dashed: bool,
    /// Comments before the name on its line.
    pub(super) before: Vec<String>,
    pub(super) name: Value,
    /// Where the name begins in the text.
    pub(super) at: usize,
    pub(super) parts: Vec<Part>,
}

/// What stands behind a node's name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// An argument, or a property where it has a key.
    Entry { dashed: bool, key: Option<Value>, value: Value },
    /// A comment between others, on one line.
    Comment(String),
    /// The children.
    Block { dashed: bool, block: Block },
}

/// The canonical text.
pub(super) fn print(file: &Block) -> String {
    let mut lines = Vec::new();
    items(&mut lines, &file.items, 0);
    render(&lines)
}

/// Every comment, in the order of the text; of a node that is left out, what is a comment in it.
pub(super) fn comments(block: &Block) -> Vec<String> {
    let mut found = block.opening.clone();
    for item in &block.items {
        match &item.what {
            What::Comment(text) => found.push(text.clone()),
            What::Node(node) => {
                found.extend(node.before.iter().cloned());
                for part in &node.parts {
                    match part {
                        Part::Comment(text) => found.push(text.clone()),
                        Part::Block { block, .. } => found.extend(comments(block)),
                        Part::Entry { .. } => {}
                    }
                }
            }
        }
        found.extend(item.trailing.iter().cloned());
    }
    found
}

/// A node on one line, if its author wrote all its blocks so.
pub(super) fn flat(node: &Node) -> Option<String> {
    let mut text = before_name(node);
    for part in &node.parts {
        text.push(' ');
        match part {
            Part::Entry { .. } | Part::Comment(_) => text.push_str(&piece(part)),
            Part::Block { dashed, block } => {
                if *dashed {
                    text.push_str("/-");
                }
                text.push_str(&flat_block(block)?);
            }
        }
    }
    Some(text)
}

fn flat_block(block: &Block) -> Option<String> {
    if block.items.is_empty() && block.opening.is_empty() {
        return Some("{}".to_owned());
    }
    if !block.one_line || !block.opening.is_empty() {
        return None;
    }
    let mut inside = Vec::new();
    for item in &block.items {
        let text = match &item.what {
            What::Comment(text) => text.clone(),
            What::Node(node) => flat(node)?,
        };
        let texts: Vec<&str> = std::iter::once(text.as_str()).chain(item.trailing.iter().map(String::as_str)).collect();
        if texts.iter().any(|text| text.starts_with("//") || text.contains('\n')) {
            return None;
        }
        inside.push(texts.join(" "));
    }
    Some(format!("{{ {} }}", inside.join("; ")))
}

fn before_name(node: &Node) -> String {
    let mut text = String::new();
    for comment in &node.before {
        text.push_str(comment);
        text.push(' ');
    }
    if node.dashed {
        text.push_str("/-");
    }
    text.push_str(&node.name.kdl_name());
    text
}

fn piece(part: &Part) -> String {
    match part {
        Part::Entry { dashed, key, value } => {
            let dash = if *dashed { "/-" } else { "" };
            match key {
                Some(key) => format!("{dash}{}={}", key.kdl_name(), value.kdl()),
                None => format!("{dash}{}", value.kdl()),
            }
        }
        Part::Comment(text) => text.clone(),
        Part::Block { .. } => String::new(),
    }
}

fn items(lines: &mut Vec<Line>, items: &[Item], depth: usize) {
    for item in items {
        let first = lines.len();
        match &item.what {
            What::Comment(text) => lines.push(Line::new(depth, text.as_str())),
            What::Node(node) => write_node(lines, node, depth),
        }
        if let Some(line) = lines.get_mut(first) {
            line.blank = item.blank;
        }
        if let Some(line) = lines.last_mut() {
            line.trailing.extend(item.trailing.iter().cloned());
            line.alone |= line.text.contains('\n');
        }
    }
}

fn write_node(lines: &mut Vec<Line>, node: &Node, depth: usize) {
    let has_block = node.parts.iter().any(|part| matches!(part, Part::Block { .. }));
    if let Some(text) = flat(node).filter(|text| depth * INDENT + width(text) <= WIDTH) {
        lines.push(Line::new(depth, text));
        return;
    }
    let mut line = Line::new(depth, before_name(node));
    for (at, part) in node.parts.iter().enumerate() {
        if let Part::Block { dashed, block } = part {
            line.text.push_str(if *dashed { " /-{" } else { " {" });
            if block.items.is_empty() && block.opening.is_empty() {
                line.text.push('}');
                continue;
            }
            line.trailing.clone_from(&block.opening);
            line.alone = true;
            lines.push(line);
            items(lines, &block.items, depth + 1);
            line = Line::new(depth, "}");
            continue;
        }
        let piece = piece(part);
        // The last word of a line keeps room for what ends the line: `\`, or the `{` behind it.
        let last = at + 1 == node.parts.len() && !has_block;
        let room = if last { 0 } else { 2 };
        if line.depth * INDENT + width(&line.text) + 1 + width(&piece) + room > WIDTH && width(&line.text) > 0 {
            line.text.push_str(" \\");
            line.alone = true;
            lines.push(line);
            line = Line::new(depth + 1, piece);
            line.alone = true;
        } else {
            line.text.push(' ');
            line.text.push_str(&piece);
        }
    }
    lines.push(line);
}
