//! A plain topology as one file again: what the composed files, overlays, variables and defaults come to.

use std::fmt::Write as _;
use std::path::Path;

use super::compose;
use crate::source::{Loaded, Node, Scalar, Spelling};
use crate::spelling;
use crate::topology::shape::{Kind, Type};
use crate::topology::unfold;

/// The text in a spelling; or what could not be written, with the reason.
///
/// Comments are not kept, since what they stood beside may be elsewhere now; ranges are, and so is the order of blocks.
pub fn expand(mut loaded: Loaded, to: Spelling) -> Result<String, Box<Loaded>> {
    compose(&mut loaded);
    let root = Kind::root();
    let nodes = unfold(std::mem::take(&mut loaded.tree.nodes));
    let mut text = String::new();
    for node in nodes.iter().filter(|node| &*node.key != "include") {
        block(&mut text, root.child(&node.key).map(|child| child.kind), node);
    }
    let path = Path::new("expanded.kdl");
    match to {
        Spelling::Kdl => spelling::format(path, Spelling::Kdl, &text),
        Spelling::Toml => spelling::convert::convert(path, Spelling::Kdl, &text, Spelling::Toml),
    }
}

/// A node that is no field: its fields of one value as properties, but for names of other things; everything else in braces.
fn block(text: &mut String, kind: Option<&'static Kind>, node: &Node) {
    word(text, node);
    let is_property = |child: &&Node| {
        let field = kind.and_then(|kind| kind.field(&child.key));
        child.children.is_empty()
            && child.args.len() == 1
            && field.is_some_and(|field| !field.list || !matches!(field.value, Type::Reference(_)))
    };
    for child in node.children.iter().filter(is_property) {
        let _ = write!(text, " {}=", child.key);
        child.args.iter().for_each(|arg| scalar(text, &arg.value));
    }
    let inner: Vec<&Node> = node.children.iter().filter(|child| !is_property(child)).collect();
    if !inner.is_empty() {
        text.push_str(" {\n");
        for child in inner {
            block(text, kind.and_then(|kind| kind.child(&child.key)).map(|child| child.kind), child);
        }
        text.push('}');
    }
    text.push('\n');
}

fn word(text: &mut String, node: &Node) {
    text.push_str(&node.key);
    for arg in &node.args {
        text.push(' ');
        scalar(text, &arg.value);
    }
}

fn scalar(text: &mut String, value: &Scalar) {
    match value {
        Scalar::Text(said) => {
            text.push('"');
            for char in said.chars() {
                match char {
                    '"' | '\\' => text.extend(['\\', char]),
                    '\n' => text.push_str("\\n"),
                    '\t' => text.push_str("\\t"),
                    char if char.is_control() => _ = write!(text, "\\u{{{:x}}}", u32::from(char)),
                    char => text.push(char),
                }
            }
            text.push('"');
        }
        Scalar::Integer(number) => _ = write!(text, "{number}"),
        Scalar::Boolean(truth) => text.push_str(if *truth { "#true" } else { "#false" }),
    }
}
