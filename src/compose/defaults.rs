//! `defaults`: what holds for every service and every server that does not say it itself.

use crate::source::{Label, Loaded, Node, Problem, Sources, Span};
use crate::topology;

pub(super) const WORD: &str = "defaults";

/// Fills the defaults in, and takes them out of the tree.
pub(super) fn fill_in(loaded: &mut Loaded) {
    let blocks = super::take(loaded, WORD);
    let mut problems = topology::misshapen(&blocks);
    if let [first, more @ ..] = blocks.as_slice() {
        let twice = |block: &Node| {
            Problem::error("twice", "`defaults` is given twice").at(block.span, "again here").at(first.span, "given first here")
        };
        problems.extend(more.iter().map(twice));
    }
    let Loaded { tree, sources, .. } = loaded;
    sources.settle(&mut problems);
    let of = |word: &str| -> Vec<Default> {
        let own = blocks.iter().take(1).flat_map(|block| &block.children).filter(|child| &*child.key == word);
        own.flat_map(|child| &child.children).map(|node| Default { node: node.clone(), held: None }).collect()
    };
    let (mut services, mut servers) = (of("service"), of("server"));
    for node in &mut tree.nodes {
        if &*node.key == "service" {
            fill(sources, node, &mut services);
        }
        if matches!(&*node.key, "service" | "pool") {
            node.children.iter_mut().filter(|child| &*child.key == "server").for_each(|child| fill(sources, child, &mut servers));
        }
    }
    // Said once, at the default, with the first who has it.
    for problem in &mut problems {
        let culprit = problem.labels.first().map(|label| label.span);
        let own = |default: &&Default| culprit.is_some_and(|span| stands_in(sources, &default.node, span));
        let held = services.iter().chain(&servers).find(own).and_then(|default| default.held.clone());
        problem.labels.extend(held);
    }
    loaded.problems.extend(problems);
}

/// A default, and the first place where it holds.
struct Default {
    node: Node,
    held: Option<Label>,
}

fn fill(sources: &mut Sources, node: &mut Node, defaults: &mut [Default]) {
    let place = sources.place(node.args.first().map_or(node.span, |name| name.span));
    let holds = Label { span: place, text: format!("this {} does not say it itself", node.key) };
    for Default { node: default, held } in defaults {
        if node.children.iter().all(|child| child.key != default.key) {
            held.get_or_insert_with(|| holds.clone());
            node.children.push(super::used(sources, default.clone(), std::slice::from_ref(&holds)));
        }
    }
}

fn stands_in(sources: &Sources, node: &Node, span: Span) -> bool {
    let is_it = |own: Span| sources.place(own) == span;
    is_it(node.span)
        || node.args.iter().any(|arg| is_it(arg.span))
        || node.children.iter().any(|child| stands_in(sources, child, span))
}
