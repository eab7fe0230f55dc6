//! From what several people wrote to the one plain topology: overlays are laid over it, variables put in, defaults filled in.
//!
//! All of it happens on the tree, before anything is decoded, so that every later message still points at what somebody wrote:
//! at the value, and at the place where it holds ([`Sources::used`](crate::source::Sources::used)). Nothing is computed here but
//! texts, nothing is repeated, and nothing is read.

mod defaults;
pub mod expand;
mod overlay;
mod variables;

use std::collections::{HashMap, HashSet};
use std::mem;

use crate::source::{Arg, FileId, Loaded, Node, Problem, Scalar, Sources, Span};
use crate::topology::unfold;

/// Makes the plain topology of what was loaded. Without anything to compose the tree stays as it is.
pub fn compose(loaded: &mut Loaded) {
    let given = mem::take(&mut loaded.given);
    let has_defaults = loaded.tree.nodes.iter().any(|node| &*node.key == defaults::WORD);
    if has_defaults || !given.overlays.is_empty() {
        loaded.tree.nodes = unfold(mem::take(&mut loaded.tree.nodes));
    }
    for nodes in given.overlays {
        overlay::lay(loaded, nodes);
    }
    let values = variables::Given { values: given.values, environment: given.environment };
    variables::put_in(loaded, values);
    keep_up(loaded);
    defaults::fill_in(loaded);
}

/// Lets what was taken away speak of its block by the token that the block has now: a name with a variable in it is another.
fn keep_up(loaded: &mut Loaded) {
    let Loaded { tree, sources, .. } = loaded;
    let mut blocks: HashMap<Span, Vec<&mut Span>> = HashMap::new();
    for from in tree.removed.iter_mut().filter_map(|removed| removed.from.as_mut()) {
        blocks.entry(sources.place(*from)).or_default().push(from);
    }
    if !blocks.is_empty() {
        overlay::tokens(&tree.nodes, &mut |token| {
            if let Some(removed) = blocks.get_mut(&sources.place(token)) {
                for from in removed {
                    **from = token;
                }
            }
        });
    }
}

/// Notes problems, but for those of which the same was said at the same place.
fn say(loaded: &mut Loaded, problems: Vec<Problem>) {
    let key = |problem: &Problem| (problem.code, problem.labels.first().map(|label| label.span));
    let said: HashSet<_> = loaded.problems.iter().map(key).collect();
    loaded.problems.extend(problems.into_iter().filter(|problem| !said.contains(&key(problem))));
}

/// Takes the nodes of a kind out of the tree.
fn take(loaded: &mut Loaded, word: &str) -> Vec<Node> {
    let nodes = mem::take(&mut loaded.tree.nodes);
    let (taken, left) = nodes.into_iter().partition(|node| &*node.key == word);
    loaded.tree.nodes = left;
    taken
}

/// The name of an unfolded node.
fn name(node: &Node) -> Option<&str> {
    node.args.first().and_then(text)
}

fn text(arg: &Arg) -> Option<&str> {
    if let Scalar::Text(text) = &arg.value { Some(text) } else { None }
}

/// The node as another use of its text, with all that is in it.
fn used(sources: &mut Sources, mut node: Node, labels: &[crate::source::Label]) -> Node {
    fn with(node: &mut Node, of: &mut impl FnMut(FileId) -> FileId) {
        node.span.file = of(node.span.file);
        node.args.iter_mut().for_each(|arg| arg.span.file = of(arg.span.file));
        node.children.iter_mut().for_each(|child| with(child, of));
    }
    // A node is of one file, but for what has variables in it.
    let mut known: Vec<(FileId, FileId)> = Vec::new();
    with(&mut node, &mut |file| {
        if let Some((_, to)) = known.iter().find(|(from, to)| *from == file || *to == file) {
            return *to;
        }
        let to = sources.used(file, labels.to_vec(), true);
        known.push((file, to));
        to
    });
    node
}
