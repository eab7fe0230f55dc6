//! From one spelling to the other, comments and all.
//!
//! Both are read into the same [`Thing`]s: what the language says, free of how it is spelled, with the comments that belong to
//! it. Which key of a TOML table is a name and which a field is known to the table of kinds.

mod from_kdl;
mod from_toml;
mod to_kdl;
mod to_toml;

use std::path::Path;

use super::value::Value;
use super::{format, kdl, ours, toml, well_formed};
use crate::source::{self, Loaded, Node, Problem, Scalar, Span, Spelling, Tree, printable};
use crate::topology;

/// A file's text in another spelling, canonical there; or why there is none, with every mistake of the file.
///
/// The order of blocks stays where the other spelling has one. A comment that has no place there stands above what it belongs to;
/// so does what KDL leaves out by `/-`.
pub fn convert(path: &Path, from: Spelling, text: &str, to: Spelling) -> Result<String, Box<Loaded>> {
    if from == to {
        return format(path, from, text);
    }
    let mut loaded = well_formed(path, from, text)?;
    loaded.problems.extend(topology::misshapen(&loaded.tree.nodes));
    loaded.problems.extend(loaded.tree.nodes.iter().filter_map(bad_include));
    if !loaded.problems.is_empty() {
        return Err(Box::new(loaded));
    }
    let written = match from {
        Spelling::Kdl => match to_toml::file(&from_kdl::file(&kdl::parse(text))) {
            Ok(file) => toml::print(&file),
            Err(to_toml::Twice { at, what }) => {
                let file = loaded.tree.nodes.first().map_or(source::FileId(0), |node| node.span.file);
                let problem = Problem::error("twice", format!("{what} is there twice, and a TOML table has each key once"))
                    .at(Span::new(file, at..at + 1), "again here")
                    .help("give one of them another name; a server may have a label beside `host` or `address`");
                loaded.problems.push(problem);
                return Err(Box::new(loaded));
            }
        },
        Spelling::Toml => from_toml::file(&toml::parse(text))
            .map(|file| kdl::print(&to_kdl::file(&file)))
            .ok_or_else(|| Box::new(ours(path, text)))?,
    };
    let written = format(path, to, &written).map_err(|_| Box::new(ours(path, text)))?;
    let back = source::one(path, to, written.clone());
    if means(loaded.tree) == means(back.tree) { Ok(written) } else { Err(Box::new(ours(path, text))) }
}

/// What a file says, in whatever spelling: its topology and what it includes.
fn means(tree: Tree) -> (Option<String>, Vec<String>, Vec<String>) {
    // What is still to be composed means what it says.
    let composing = |node: &Node| matches!(&*node.key, "variable" | "defaults" | "set" | "add" | "remove");
    let (composed, nodes) = tree.nodes.into_iter().partition::<Vec<Node>, _>(composing);
    let tree = Tree { nodes, ..Tree::default() };
    let mut composed: Vec<String> = topology::unfold(composed).iter().map(said).collect();
    composed.sort();
    let included = tree.nodes.iter().filter(|node| &*node.key == "include").flat_map(|node| &node.args);
    let mut included: Vec<String> = included.map(|arg| format!("{:?}", arg.value)).collect();
    included.sort();
    (topology::decode(tree).0.map(|topology| topology.plain()), composed, included)
}

/// What a node says, in whatever order.
fn said(node: &Node) -> String {
    let args: Vec<&Scalar> = node.args.iter().map(|arg| &arg.value).collect();
    let mut inner: Vec<String> = node.children.iter().map(said).collect();
    inner.sort();
    format!("{} {args:?} {{{}}}", node.key, inner.join(";"))
}

fn bad_include(node: &Node) -> Option<Problem> {
    let texts = node.args.iter().all(|arg| matches!(arg.value, Scalar::Text(_)));
    let good = &*node.key != "include" || (texts && !node.args.is_empty() && node.children.is_empty());
    (!good).then(|| Problem::error("include", "`include` takes paths or patterns and nothing else").at(node.span, ""))
}

/// A block or field, with what was said of it.
#[derive(Clone, Debug, Default)]
struct Thing {
    /// `director`, `port`
    word: String,
    /// The name, main value, key and value, or values of a field.
    heads: Vec<Value>,
    /// Fields and blocks in it.
    inner: Vec<Thing>,
    /// Comments above it.
    above: Vec<Remark>,
    /// Whether a blank line stands before it, below its comments.
    blank: bool,
    /// The comment behind it on its line, without its mark.
    trailing: Option<String>,
    /// Comments at its end.
    tail: Vec<Remark>,
    /// Where it stands in the text.
    at: usize,
}

/// A comment on a line of its own.
#[derive(Clone, Debug)]
struct Remark {
    /// Whether a blank line stands before it.
    blank: bool,
    /// What is behind the mark, a blank included.
    text: String,
}

impl Thing {
    /// Adds a comment above it, below those that are there.
    fn say_above(&mut self, text: String) {
        let blank = self.above.is_empty() && std::mem::take(&mut self.blank);
        self.above.push(Remark { blank, text });
    }

    /// Adds a comment behind it; where one is already, above it.
    fn say_behind(&mut self, text: String) {
        if self.trailing.is_none() { self.trailing = Some(text) } else { self.say_above(text) }
    }

    fn has_own_comments(&self) -> bool {
        !self.above.is_empty() || self.trailing.is_some()
    }

    /// Whether there are comments within it.
    fn has_inner_comments(&self) -> bool {
        !self.tail.is_empty() || self.inner.iter().any(|thing| thing.has_own_comments() || thing.has_inner_comments())
    }

    /// Takes the comments within it above it.
    fn hoist(&mut self) {
        let mut found = Vec::new();
        for thing in &mut self.inner {
            thing.hoist();
            found.extend(thing.above.drain(..).map(|remark| remark.text));
            found.extend(thing.trailing.take());
        }
        found.extend(self.tail.drain(..).map(|remark| remark.text));
        for text in found {
            self.say_above(text);
        }
    }

    fn name(&self) -> String {
        match self.heads.first() {
            Some(Value::Text(text)) => text.clone(),
            Some(other) => other.toml(),
            None => String::new(),
        }
    }
}

/// What is behind a comment's mark, on one line for each of its lines. Only what is a comment in both spellings is in it.
fn bare(comment: &str) -> Vec<String> {
    let visible = |text: &str| {
        let mut shown = String::with_capacity(text.len());
        for char in text.chars() {
            match char {
                '\t' => shown.push(char),
                _ if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}') => shown += &printable(&char.to_string()),
                _ => shown.push(char),
            }
        }
        shown
    };
    if let Some(text) = comment.strip_prefix("//").or_else(|| comment.strip_prefix('#')) {
        return vec![visible(text)];
    }
    let inside = comment.strip_prefix("/*").unwrap_or(comment);
    let inside = inside.strip_suffix("*/").unwrap_or(inside);
    let lines: Vec<&str> = inside.lines().map(|line| line.trim().trim_start_matches('*').trim()).collect();
    let begin = lines.iter().take_while(|line| line.is_empty()).count();
    let end = lines.len() - lines.iter().rev().take_while(|line| line.is_empty()).count();
    lines.get(begin..end).unwrap_or_default().iter().map(|line| visible(&format!(" {line}")).trim_end().to_owned()).collect()
}
