//! Variables' values while one edits: those that the editor was given, and something for each that nobody gives one.

use std::collections::BTreeSet;
use std::path::Path;

use crate::source::{Arg, Loaded, Node, Problem, Scalar, Span};
use crate::topology::unfold;

/// The name of what stands in for a value, where files have theirs.
const STANDS_IN: &str = "a value that somebody will give";

/// Whether a path is that of a value which nobody gave.
pub fn stands_in(path: &Path) -> bool {
    path == Path::new(STANDS_IN)
}

/// Leaves of the given values those that the topology declares, and gives one to each variable that has none. Whom nobody gives
/// one, at its declaration.
pub fn stand_in(loaded: &mut Loaded) -> Vec<Problem> {
    let mut declared: Vec<Node> = Vec::new();
    let is_variable = |node: &Node| &*node.key == "variable";
    for nodes in std::iter::once(&loaded.tree.nodes).chain(&loaded.given.overlays) {
        let within = nodes.iter().filter(|node| matches!(&*node.key, "set" | "add")).flat_map(|node| &node.children);
        let own = nodes.iter().chain(within).filter(|node| is_variable(node));
        declared.extend(unfold(own.cloned().collect()));
    }
    let name = |node: &Node| match node.args.first() {
        Some(Arg { value: Scalar::Text(name), .. }) => Some(name.clone()),
        _ => None,
    };
    let known: BTreeSet<Box<str>> = declared.iter().filter_map(name).collect();
    loaded.given.values.retain(|(name, ..)| known.contains(name));
    let mut problems = Vec::new();
    let mut has_one: BTreeSet<Box<str>> = loaded.given.values.iter().map(|(name, ..)| name.clone()).collect();
    for node in &declared {
        let by_env = |arg: &Arg| matches!(&arg.value, Scalar::Text(env) if loaded.given.environment.contains_key(env));
        if field(node, "default").is_some() || field(node, "env").is_some_and(by_env) {
            has_one.extend(name(node));
        }
    }
    for node in &declared {
        let (Some(name), Some(label)) = (name(node), node.args.first()) else { continue };
        if !has_one.insert(name.clone()) {
            continue;
        }
        let wanted = field(node, "type").map(|arg| &arg.value);
        let value = match (field(node, "one-of"), wanted) {
            (Some(first), _) => first.value.clone(),
            (None, Some(Scalar::Text(kind))) if &**kind == "integer" => Scalar::Integer(1),
            (None, Some(Scalar::Text(kind))) if &**kind == "boolean" => Scalar::Boolean(true),
            _ => Scalar::Text(name.clone()),
        };
        let file = loaded.sources.add(STANDS_IN.into(), String::new());
        let span = Span::new(file, 0..0);
        loaded.given.values.push((name.clone(), span, Arg { value, span }));
        let message = format!("nobody gives variable `{name}` a value here; something stands in for it");
        let help = "the initialization options `var` and `var-files` give one: docs/editor.md";
        problems.push(Problem::warning("no-value", message).at(loaded.sources.place(label.span), "declared here").help(help));
    }
    problems
}

fn field<'n>(node: &'n Node, word: &str) -> Option<&'n Arg> {
    node.children.iter().find(|child| &*child.key == word)?.args.first()
}
