//! `defaults`: what holds for every service and every server that does not say it itself.

use std::collections::BTreeSet;

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
    // A return path depends on the method, which may be a default too.
    services.sort_by_key(|default| &*default.node.key == "return-path");
    let has_nat =
        |node: &&Node| &*node.key == "pool" && node.children.iter().any(|child| &*child.key == "server" && is_nat(child));
    let nat_pools: BTreeSet<Box<str>> = tree.nodes.iter().filter(has_nat).filter_map(super::name).map(Into::into).collect();
    for node in &mut tree.nodes {
        if &*node.key == "service" {
            fill(sources, node, &mut services, &nat_pools);
        }
        if matches!(&*node.key, "service" | "pool") {
            node.children
                .iter_mut()
                .filter(|child| &*child.key == "server")
                .for_each(|child| fill(sources, child, &mut servers, &nat_pools));
        }
    }
    // Said once, at the default, with the first who has it.
    for problem in &mut problems {
        let culprit = problem.labels.first().map(|label| label.span);
        let own = |default: &&Default| culprit.is_some_and(|span| stands_in(sources, &default.node, span));
        let held = services.iter().chain(&servers).find(own).and_then(|default| default.held.clone());
        problem.labels.extend(held);
    }
    super::say(loaded, problems);
}

/// A default, and the first place where it holds.
struct Default {
    node: Node,
    held: Option<Label>,
}

fn fill(sources: &mut Sources, node: &mut Node, defaults: &mut [Default], nat_pools: &BTreeSet<Box<str>>) {
    let place = sources.place(node.args.first().map_or(node.span, |name| name.span));
    let holds = Label { span: place, text: format!("this {} does not say it itself", node.key) };
    for Default { node: default, held } in defaults {
        let is_said = node.children.iter().any(|child| child.key == default.key);
        if !is_said && (&*default.key != "return-path" || translates(node, nat_pools)) {
            held.get_or_insert_with(|| holds.clone());
            node.children.push(super::used(sources, default.clone(), std::slice::from_ref(&holds)));
        }
    }
}

/// Whether packets of a service are translated, on the way to one server at least: a return path is nat's. Its own method is said,
/// or was filled in before this.
fn translates(service: &Node, nat_pools: &BTreeSet<Box<str>>) -> bool {
    let method = service.children.iter().find(|child| &*child.key == "forward").and_then(super::name);
    let own = |word: &'static str| service.children.iter().filter(move |child| &*child.key == word);
    let mut pools = own("pool").flat_map(|pool| &pool.args).filter_map(super::text);
    method.is_none_or(|method| method == "nat") || own("server").any(is_nat) || pools.any(|pool| nat_pools.contains(pool))
}

/// Whether a server says so itself.
fn is_nat(server: &Node) -> bool {
    server.children.iter().any(|child| &*child.key == "forward" && super::name(child) == Some("nat"))
}

fn stands_in(sources: &Sources, node: &Node, span: Span) -> bool {
    let is_it = |own: Span| sources.place(own) == span;
    is_it(node.span)
        || node.args.iter().any(|arg| is_it(arg.span))
        || node.children.iter().any(|child| stands_in(sources, child, span))
}
