//! Overlays: what a file sets, adds and removes in another. Whoever sets what is not there, or adds what is, is told so.

use std::collections::BTreeSet;

use crate::source::problem::nearest;
use crate::source::{Arg, Label, Loaded, Node, Problem, Sources, Span, printable};
use crate::topology::shape::{Form, Kind};
use crate::topology::unfold;

/// Lays one overlay over the tree.
pub(super) fn lay(loaded: &mut Loaded, nodes: Vec<Node>) {
    let Loaded { tree, sources, problems, .. } = loaded;
    let mut layer = Layer { sources, problems };
    let root = Kind::root();
    for Node { key, span, args, children, .. } in nodes {
        match &*key {
            "set" => layer.set(root, &mut tree.nodes, unfold(children), None),
            "add" => layer.add(root, &mut tree.nodes, unfold(children), None),
            "remove" if children.is_empty() => {
                for arg in args {
                    tree.removed.extend(layer.remove(&mut tree.nodes, &arg));
                }
            }
            word => layer.problems.push(
                Problem::error("overlay", format!("an overlay says `set`, `add` or `remove`, and this is `{}`", printable(word)))
                    .at(span, "")
                    .help("set { service \"shop\" { drain \"2m\"; }; }, add { pool \"web\" { server \"web9\"; }; }, remove \"service.old\""),
            ),
        }
    }
}

struct Layer<'l> {
    sources: &'l mut Sources,
    problems: &'l mut Vec<Problem>,
}

impl Layer<'_> {
    fn place(&self, node: &Node) -> Span {
        self.sources.place(node.args.first().map_or(node.span, |name| name.span))
    }

    /// A node of the overlay, as it stands in the tree.
    fn used(&mut self, node: Node, over: Option<(Span, &str)>) -> Node {
        let label = over.map(|(span, text)| Label { span, text: text.to_owned() });
        super::used(self.sources, node, label.as_slice())
    }

    /// Sets each of `new` in a block of `kind`. `within` is the block's own place.
    fn set(&mut self, kind: &'static Kind, nodes: &mut Vec<Node>, new: Vec<Node>, within: Option<Span>) {
        // Those without a name are one thing together: all of them are set.
        let is_nameless = |node: &Node| kind.child(&node.key).is_some_and(|child| matches!(child.kind.form, Form::Repeated));
        let nameless: BTreeSet<Box<str>> = new.iter().filter(|node| is_nameless(node)).map(|node| node.key.clone()).collect();
        nodes.retain(|node| !nameless.contains(&node.key));
        for node in new {
            let child = kind.child(&node.key).map(|child| child.kind);
            let has_name = child.is_some_and(|child| matches!(child.form, Form::Named { .. } | Form::Keyed));
            let found = nodes.iter().position(|other| {
                other.key == node.key && (!has_name || super::name(other) == super::name(&node)) && !nameless.contains(&node.key)
            });
            match (found, child) {
                (None, Some(child)) if has_name => self.not_there(child, &node, nodes),
                (Some(at), Some(child)) if matches!(child.form, Form::Named { .. } | Form::Once) => {
                    if let Some(existing) = nodes.get_mut(at) {
                        let place = self.place(existing);
                        self.set(child, &mut existing.children, node.children, Some(place));
                    }
                }
                (Some(at), _) => {
                    if let Some(existing) = nodes.get_mut(at) {
                        let place = self.sources.place(existing.args.last().map_or(existing.span, |arg| arg.span));
                        // Where the word itself stands stays: only the root says `topology`.
                        let span = existing.span;
                        *existing = self.used(node, Some((place, "set over this")));
                        if kind.word.is_empty() {
                            existing.span = span;
                        }
                    }
                }
                (None, _) => {
                    let node = self.used(node, within.map(|within| (within, "set in this")));
                    nodes.push(node);
                }
            }
        }
    }

    /// Adds each of `new` to a block of `kind`.
    fn add(&mut self, kind: &'static Kind, nodes: &mut Vec<Node>, new: Vec<Node>, within: Option<Span>) {
        for node in new {
            let child = kind.child(&node.key).map(|child| child.kind);
            let form = child.map(|child| child.form);
            let has_name = matches!(form, Some(Form::Named { .. } | Form::Keyed));
            let found =
                nodes.iter().position(|other| other.key == node.key && (!has_name || super::name(other) == super::name(&node)));
            match (found, child) {
                (Some(at), Some(child))
                    if matches!(form, Some(Form::Named { .. } | Form::Once)) && holds_things(child, &node.children) =>
                {
                    if let Some(existing) = nodes.get_mut(at) {
                        let place = self.place(existing);
                        self.add(child, &mut existing.children, node.children, Some(place));
                    }
                }
                (Some(at), _) if !matches!(form, Some(Form::Repeated)) => {
                    let first = nodes.get(at).map(|existing| self.place(existing));
                    let what = super::name(&node).filter(|_| has_name).map(|name| format!(" `{}`", printable(name)));
                    let message = format!("{}{} is there already", printable(&node.key), what.unwrap_or_default());
                    let problem = Problem::error("already-there", message).at(self.place(&node), "added here");
                    let problem = first.into_iter().fold(problem, |problem, first| problem.at(first, "there already"));
                    self.problems.push(problem.help("say it in `set` to change it"));
                }
                _ => {
                    let node = self.used(node, within.map(|within| (within, "added to this")));
                    nodes.push(node);
                }
            }
        }
    }

    fn not_there(&mut self, kind: &Kind, node: &Node, nodes: &[Node]) {
        let Some(name) = super::name(node) else {
            let problem = Problem::error("not-there", format!("which {} is set?", kind.word)).at(self.place(node), "");
            self.problems.push(problem.help("say its name"));
            return;
        };
        let known = nodes.iter().filter(|other| other.key == node.key).filter_map(super::name);
        let problem = Problem::error("not-there", format!("there is no {} `{}` to set", kind.word, printable(name)));
        let problem = problem.at(self.place(node), "");
        self.problems.push(match nearest(name, known) {
            Some(near) => problem.help(format!("did you mean `{near}`? what is new is said in `add`")),
            None => problem.help("what is new is said in `add`"),
        });
    }

    /// `pool.web.server.web3`, `service.shop.drain`
    /// Takes something away: what, and where that is said.
    fn remove(&mut self, nodes: &mut Vec<Node>, arg: &Arg) -> Option<(Box<str>, Span)> {
        let place = self.sources.place(arg.span);
        let Some(path) = super::text(arg) else {
            let problem = Problem::error("not-there", "what is removed is named by a text").at(place, "");
            self.problems.push(problem.help("remove \"service.old\""));
            return None;
        };
        if taken(Kind::root(), nodes, path) {
            return Some((path.into(), place));
        }
        let mut known = Vec::new();
        paths(Kind::root(), nodes, "", &mut known);
        let problem = Problem::error("not-there", format!("there is no `{}` to remove", printable(path))).at(place, "");
        self.problems.push(match nearest(path, known.iter().map(String::as_str)) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("say KIND.NAME, and what is in it behind that: \"pool.web.server.web3\""),
        });
        None
    }
}

/// Whether a block holds things and says nothing itself: then things are added to it.
fn holds_things(kind: &Kind, nodes: &[Node]) -> bool {
    let is_thing = |node: &Node| kind.child(&node.key).is_some_and(|child| !matches!(child.kind.form, Form::Main { .. }));
    !nodes.is_empty() && nodes.iter().all(is_thing)
}

/// Takes a thing out of a block of `kind`; whether it was there. A name may have dots in it: the longest one counts.
fn taken(kind: &'static Kind, nodes: &mut Vec<Node>, path: &str) -> bool {
    let (word, rest) = path.split_once('.').unwrap_or((path, ""));
    let child = kind.child(word).map(|child| child.kind);
    let count = nodes.len();
    if let Some(child) = child.filter(|child| matches!(child.form, Form::Named { .. } | Form::Keyed)) {
        let is_whole = |node: &Node| &*node.key == word && super::name(node) == Some(rest);
        nodes.retain(|node| !is_whole(node));
        if nodes.len() < count {
            return true;
        }
        let behind = |node: &Node| {
            let name = super::name(node).filter(|_| &*node.key == word)?;
            Some((name.len(), rest.strip_prefix(name)?.strip_prefix('.')?.to_owned()))
        };
        let mut within: Vec<(usize, usize, String)> =
            nodes.iter().enumerate().filter_map(|(at, node)| behind(node).map(|(length, rest)| (length, at, rest))).collect();
        within.sort_by_key(|(length, ..)| std::cmp::Reverse(*length));
        return within
            .into_iter()
            .any(|(_, at, rest)| nodes.get_mut(at).is_some_and(|node| taken(child, &mut node.children, &rest)));
    }
    if rest.is_empty() {
        nodes.retain(|node| &*node.key != word);
        return nodes.len() < count;
    }
    let Some(child) = child else { return false };
    nodes.iter_mut().filter(|node| &*node.key == word).any(|node| taken(child, &mut node.children, rest))
}

/// So many things are compared at most where a name leads nowhere.
const COMPARED: usize = 50_000;

/// What could be removed.
fn paths(kind: &'static Kind, nodes: &[Node], before: &str, known: &mut Vec<String>) {
    for node in nodes {
        if known.len() >= COMPARED {
            return;
        }
        let child = kind.child(&node.key).map(|child| child.kind);
        let has_name = child.is_some_and(|child| matches!(child.form, Form::Named { .. } | Form::Keyed));
        let path = match super::name(node).filter(|_| has_name) {
            Some(name) => format!("{before}{}.{name}", node.key),
            None => format!("{before}{}", node.key),
        };
        if let Some(child) = child {
            paths(child, &node.children, &format!("{path}."), known);
        }
        known.push(path);
    }
}
