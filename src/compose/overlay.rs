//! Overlays: what a file sets, adds and removes in another. Whoever sets what is not there, or adds what is, is told so, and so is
//! who says something that would be lost: a second name or value, the same thing twice, what has no place in an overlay.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::source::problem::nearest;
use crate::source::{Arg, Form as Written, Label, Loaded, Node, Problem, Removed, Sources, Span, printable};
use crate::topology;
use crate::topology::range::meet;
use crate::topology::shape::{Form, Kind};
use crate::topology::unfold;

/// Lays one overlay over the tree.
pub(super) fn lay(loaded: &mut Loaded, mut nodes: Vec<Node>) {
    let Loaded { tree, sources, problems, .. } = loaded;
    nodes.retain_mut(|node| follows_nothing(node, problems));
    let said = |node: &&Node| matches!(&*node.key, "set" | "add");
    let shape = topology::misshapen(&nodes.iter().filter(said).cloned().collect::<Vec<_>>());
    let mut layer = Layer { sources, problems, removed: &mut tree.removed, given: BTreeMap::new(), lost: Vec::new() };
    let root = Kind::root();
    for (at, node) in nodes.into_iter().enumerate() {
        // Of `[[set]]` it is said that it is no table.
        let says_nothing = node.args.is_empty() && node.children.is_empty() && node.form != Written::TomlTableOfArray;
        match &*node.key {
            "set" | "add" if says_nothing => layer.refuse(node.span, format!("`{}` says nothing", node.key), SAID),
            "set" => layer.set(
                root,
                &mut tree.nodes,
                unfold(node.children),
                &Block { set: at, path: String::new(), key: String::new(), place: None },
            ),
            "add" => layer.add(root, &mut tree.nodes, unfold(node.children), None),
            "remove" if says_nothing => layer.refuse(node.span, "`remove` names nothing".to_owned(), NAMED),
            "remove" if node.children.is_empty() => {
                for arg in node.args {
                    let removed = layer.remove(&mut tree.nodes, &arg);
                    layer.removed.extend(removed);
                }
            }
            "remove" => {
                layer.refuse(node.span, "`remove` takes the names of things and nothing else".to_owned(), NAMED);
            }
            word => {
                let message = format!("an overlay says `set`, `add` or `remove`, and this is `{}`", printable(word));
                layer.refuse(node.span, message, SAID);
            }
        }
    }
    let lost = layer.lost;
    say(sources, problems, &tree.nodes, shape, &lost);
}

const SAID: &str =
    "set { service \"shop\" { drain \"2m\"; }; }, add { pool \"web\" { server \"web9\"; }; }, remove \"service.old\"";
const NAMED: &str = "remove \"service.old\" \"pool.web.server.web3\", in TOML remove = [\"service.old\"]";

/// Takes `include` out of what an overlay sets and adds, and says that it stands there; whether the node itself stays.
fn follows_nothing(node: &mut Node, problems: &mut Vec<Problem>) -> bool {
    let mut refuse = |span: Span| {
        let problem = Problem::error("overlay", "an overlay includes no files").at(span, "");
        problems.push(problem.help("say it in the topology, or lay the other file over it too: --overlay FILE"));
    };
    if &*node.key == "include" {
        refuse(node.span);
        return false;
    }
    if !matches!(&*node.key, "set" | "add") {
        return true;
    }
    let count = node.children.len();
    node.children.retain(|child| {
        let includes = &*child.key == "include";
        if includes {
            refuse(child.span);
        }
        !includes
    });
    // What had nothing else in it is no empty one: that would be said as well.
    node.children.len() == count || !node.children.is_empty()
}

/// Says what is wrong with the shape of an overlay's blocks, each with the place that it is laid over. `lost` are tokens that no
/// block took in, with the block that would have.
fn say(sources: &mut Sources, problems: &mut Vec<Problem>, nodes: &[Node], shape: Vec<Problem>, lost: &[Lost]) {
    let mut shape = shape;
    if shape.is_empty() {
        return;
    }
    let mut taken_in: HashMap<Span, Span> = HashMap::new();
    tokens(nodes, &mut |span| {
        let place = sources.place(span);
        if place != span {
            taken_in.entry(place).or_insert(span);
        }
    });
    for problem in &mut shape {
        let Some(label) = problem.labels.first_mut() else { continue };
        if let Some(span) = taken_in.get(&label.span) {
            label.span = *span;
        } else if let Some(lost) = lost.iter().find(|lost| lost.span == label.span) {
            problem.labels.push(Label { span: lost.block, text: lost.how.to_owned() });
        }
    }
    sources.settle(&mut shape);
    problems.extend(shape);
}

/// Every token of a tree.
pub(super) fn tokens(nodes: &[Node], see: &mut impl FnMut(Span)) {
    for node in nodes {
        see(node.span);
        node.args.iter().for_each(|arg| see(arg.span));
        tokens(&node.children, see);
    }
}

struct Layer<'l> {
    sources: &'l mut Sources,
    problems: &'l mut Vec<Problem>,
    /// What this overlay and those before it have taken away.
    removed: &'l mut Vec<Removed>,
    /// What this overlay has set, by its key, with the place and the number of the `set` that says it.
    given: BTreeMap<String, (Span, usize)>,
    lost: Vec<Lost>,
}

/// A token that no block takes in.
struct Lost {
    span: Span,
    /// The block that it stands at, in the topology.
    block: Span,
    /// What the overlay does with that block.
    how: &'static str,
}

/// The block in which something is set.
struct Block {
    /// The number of the `set` among the overlay's nodes.
    set: usize,
    /// What leads to the block, as a person says it: `service.shop.`; empty for the whole file.
    path: String,
    /// The same without two meanings: a name may have dots.
    key: String,
    /// Where the block stands; the whole file stands nowhere.
    place: Option<Span>,
}

impl Layer<'_> {
    fn refuse(&mut self, span: Span, message: String, help: &str) {
        self.problems.push(Problem::error("overlay", message).at(span, "").help(help));
    }

    fn place(&self, node: &Node) -> Span {
        self.sources.place(node.args.first().map_or(node.span, |name| name.span))
    }

    /// A node of the overlay, as it stands in the tree.
    fn used(&mut self, node: Node, over: Option<(Span, &str)>) -> Node {
        let label = over.map(|(span, text)| Label { span, text: text.to_owned() });
        super::used(self.sources, node, label.as_slice())
    }

    /// Sets each of `new` in a block of `kind`.
    fn set(&mut self, kind: &'static Kind, nodes: &mut Vec<Node>, new: Vec<Node>, block: &Block) {
        // Those without a name are one thing together: all of them are set.
        let is_nameless = |node: &Node| kind.child(&node.key).is_some_and(|child| matches!(child.kind.form, Form::Repeated));
        let nameless: BTreeSet<Box<str>> = new.iter().filter(|node| is_nameless(node)).map(|node| node.key.clone()).collect();
        let anew = |key: &str| nameless.contains(key) && !self.given.contains_key(&key_of(&block.key, key, None));
        nodes.retain(|node| !anew(&node.key));
        let index = index(kind, nodes);
        for node in new {
            let child = kind.child(&node.key).map(|child| child.kind);
            let has_name = child.is_some_and(has_name);
            let path = path(&block.path, &node, has_name);
            let key = key_of(&block.key, &node.key, super::name(&node).filter(|_| has_name));
            let place = self.place(&node);
            if nameless.contains(&node.key) {
                self.given.entry(key).or_insert((place, block.set));
                let node = self.used(node, block.place.map(|within| (within, "set in this")));
                nodes.push(node);
                continue;
            }
            if let Some((first, set)) = self.given.get(&key) {
                // Fields of one block are counted where the block's shape is looked at.
                if has_name || *set != block.set {
                    let problem = Problem::error("twice", format!("an overlay sets `{}` twice", printable(&path)));
                    let problem = problem.at(place, "again here").at(*first, "set first here");
                    self.problems.push(problem.help("keep one of the two"));
                }
                continue;
            }
            self.given.insert(key.clone(), (place, block.set));
            let same = super::name(&node).filter(|_| has_name).and_then(|name| index.get(&key_of("", &node.key, Some(name))));
            if let Some(all @ [_, _, ..]) = same.map(Vec::as_slice) {
                let all: Vec<Span> = all.iter().filter_map(|at| nodes.get(*at)).map(|other| self.place(other)).collect();
                self.which(&path, place, &all);
                continue;
            }
            let found = if has_name {
                same.and_then(|all| all.first().copied())
            } else {
                nodes.iter().position(|other| other.key == node.key)
            };
            match (found, child) {
                (None, Some(child)) if has_name => self.not_there(child, &node, nodes, &path),
                (Some(at), Some(child)) if matches!(child.form, Form::Named { .. } | Form::Once) => {
                    if let Some(existing) = nodes.get_mut(at) {
                        let place = self.place(existing);
                        let unheard = node.args.iter().skip(usize::from(has_name));
                        self.lost.extend(unheard.map(|arg| Lost { span: arg.span, block: place, how: "set in this" }));
                        let block = Block { set: block.set, path: format!("{path}."), key, place: Some(place) };
                        self.set(child, &mut existing.children, node.children, &block);
                    }
                }
                (Some(at), _) => {
                    if let Some(existing) = nodes.get_mut(at) {
                        let place = self.sources.place(existing.args.last().map_or(existing.span, |arg| arg.span));
                        *existing = self.used(node, Some((place, "set over this")));
                    }
                }
                (None, _) if outside_root(&node) => self.outside_root(&node),
                (None, _) => {
                    let node = self.used(node, block.place.map(|within| (within, "set in this")));
                    nodes.push(node);
                }
            }
        }
    }

    /// Adds each of `new` to a block of `kind`.
    fn add(&mut self, kind: &'static Kind, nodes: &mut Vec<Node>, new: Vec<Node>, within: Option<Span>) {
        let mut index = index(kind, nodes);
        for node in new {
            let child = kind.child(&node.key).map(|child| child.kind);
            let form = child.map(|child| child.form);
            let has_name = child.is_some_and(has_name);
            let key = super::name(&node).filter(|_| has_name).map(|name| key_of("", &node.key, Some(name)));
            let found = match &key {
                Some(key) => index.get(key).and_then(|all| all.first().copied()),
                None => nodes.iter().position(|other| other.key == node.key).filter(|_| !has_name),
            };
            match (found, child) {
                (Some(at), Some(child))
                    if matches!(form, Some(Form::Named { .. } | Form::Once)) && holds_things(child, &node.children) =>
                {
                    if let Some(existing) = nodes.get_mut(at) {
                        let place = self.place(existing);
                        let unheard = node.args.iter().skip(usize::from(has_name));
                        self.lost.extend(unheard.map(|arg| Lost { span: arg.span, block: place, how: "added to this" }));
                        self.add(child, &mut existing.children, node.children, Some(place));
                    }
                }
                (None, _) if outside_root(&node) => self.outside_root(&node),
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
                    if let Some(key) = key {
                        index.entry(key).or_default().push(nodes.len());
                    }
                    nodes.push(node);
                }
            }
        }
    }

    /// Only the root file says `topology`; an overlay says something else of it.
    fn outside_root(&mut self, node: &Node) {
        let problem = Problem::error("topology-outside-root", "only the root file says `topology`, and this is an overlay");
        self.problems.push(problem.at(node.span, "").help("say it in the root file"));
    }

    /// Several things of one name: nobody knows which one is meant.
    fn which(&mut self, path: &str, place: Span, all: &[Span]) {
        let message = format!("there are {} of `{}`: which one is set?", all.len(), printable(path));
        let problem = Problem::error("twice", message).at(place, "");
        let problem = all.iter().take(3).fold(problem, |problem, span| problem.at(*span, "one of them"));
        self.problems.push(problem.help("give each a name of its own; a server may have a label beside `host` or `address`"));
    }

    fn not_there(&mut self, kind: &Kind, node: &Node, nodes: &[Node], path: &str) {
        // What has no name has another shape than its kind, which is said.
        let Some(name) = super::name(node) else { return };
        let message = format!("there is no {} `{}` to set", kind.word, printable(name));
        let problem = self.gone(Problem::error("not-there", message).at(self.place(node), ""), path);
        let known = || named(nodes, &node.key);
        self.problems.push(if let Some(range) = known().find(|range| meet(range, name)) {
            problem.help(format!("it is in `{}`, which is set as it is written there", printable(range)))
        } else if let Some(near) = nearest(name, known()) {
            problem.help(format!("did you mean `{}`? what is new is said in `add`", printable(near)))
        } else {
            problem.help("what is new is said in `add`")
        });
    }

    /// The problem with the place where an overlay has taken away what it misses.
    fn gone(&self, problem: Problem, path: &str) -> Problem {
        match self.removed.iter().find(|removed| *removed.path == *path) {
            Some(removed) => {
                let Label { span, text } = removed.label();
                problem.at(span, text)
            }
            None => problem,
        }
    }

    /// Takes something away, like `pool.web.server.web3` or `service.shop.drain`: what, and where that is said.
    fn remove(&mut self, nodes: &mut Vec<Node>, arg: &Arg) -> Option<Removed> {
        let place = self.sources.place(arg.span);
        let Some(path) = super::text(arg) else {
            let problem = Problem::error("not-there", "what is removed is named by a text").at(place, "");
            self.problems.push(problem.help("remove \"service.old\""));
            return None;
        };
        if let Some((word, from)) = taken(Kind::root(), nodes, path, None) {
            return Some(Removed { path: path.into(), word: word.into(), at: place, from });
        }
        let problem = Problem::error("not-there", format!("there is no `{}` to remove", printable(path))).at(place, "");
        let labels = problem.labels.len();
        let problem = self.gone(problem, path);
        self.problems.push(if problem.labels.len() > labels {
            problem.help("remove it once")
        } else {
            problem.help(instead(Kind::root(), nodes, path, "").unwrap_or_else(|| ANYTHING.to_owned()))
        });
        None
    }
}

const ANYTHING: &str = "say KIND.NAME, and what is in it behind that: \"pool.web.server.web3\"";

/// Whether it is what only the root file says.
fn outside_root(node: &Node) -> bool {
    &*node.key == "topology"
}

fn has_name(kind: &Kind) -> bool {
    matches!(kind.form, Form::Named { .. } | Form::Keyed)
}

/// `service.shop` behind what leads to it.
fn path(before: &str, node: &Node, has_name: bool) -> String {
    match super::name(node).filter(|_| has_name) {
        Some(name) => format!("{before}{}.{name}", node.key),
        None => format!("{before}{}", node.key),
    }
}

/// Where the things with names are among the nodes of a block of `kind`, by their keys: an overlay may name thousands.
fn index(kind: &Kind, nodes: &[Node]) -> HashMap<String, Vec<usize>> {
    let mut index: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        let is_named = kind.child(&node.key).is_some_and(|child| has_name(child.kind));
        if let Some(name) = super::name(node).filter(|_| is_named) {
            index.entry(key_of("", &node.key, Some(name))).or_default().push(at);
        }
    }
    index
}

/// The key of something in a block of a key.
fn key_of(before: &str, word: &str, name: Option<&str>) -> String {
    format!("{before}{word}\0{}\0", name.unwrap_or_default())
}

/// So many dots of a name are looked at, where a range may contain what stands before them.
const DEEPEST: usize = 16;

/// So many names are compared at most where one leads nowhere.
const COMPARED: usize = 50_000;

/// The names of a kind's blocks.
fn named<'n>(nodes: &'n [Node], word: &str) -> impl Iterator<Item = &'n str> {
    nodes.iter().filter(move |node| *node.key == *word).filter_map(super::name).take(COMPARED)
}

/// Whether a block holds things and says nothing itself: then things are added to it.
fn holds_things(kind: &Kind, nodes: &[Node]) -> bool {
    let is_thing = |node: &Node| kind.child(&node.key).is_some_and(|child| !matches!(child.kind.form, Form::Main { .. }));
    !nodes.is_empty() && nodes.iter().all(is_thing)
}

/// Those blocks of a kind whose name begins a path, with what is left of it; the longest name first, since a name may have dots.
fn within<'p>(nodes: &[Node], word: &str, path: &'p str) -> Vec<(usize, &'p str)> {
    let behind = |node: &Node| {
        let name = super::name(node).filter(|_| *node.key == *word)?;
        Some((name.len(), path.strip_prefix(name)?.strip_prefix('.')?))
    };
    let found = nodes.iter().enumerate().filter_map(|(at, node)| behind(node).map(|(length, rest)| (length, at, rest)));
    let mut found: Vec<(usize, usize, &str)> = found.collect();
    found.sort_by_key(|(length, ..)| std::cmp::Reverse(*length));
    found.into_iter().map(|(_, at, rest)| (at, rest)).collect()
}

/// Takes a thing out of a block of `kind`: its word, and the token of the block that it was in; `from` is that of this one.
fn taken(kind: &'static Kind, nodes: &mut Vec<Node>, path: &str, from: Option<Span>) -> Option<(&'static str, Option<Span>)> {
    let (word, rest) = path.split_once('.').unwrap_or((path, ""));
    let child = kind.child(word).map(|child| child.kind);
    let count = nodes.len();
    if let Some(child) = child.filter(|child| has_name(child)) {
        nodes.retain(|node| !(&*node.key == word && super::name(node) == Some(rest)));
        if nodes.len() < count {
            return Some((child.word, from));
        }
        return within(nodes, word, rest).into_iter().find_map(|(at, rest)| {
            let node = nodes.get_mut(at)?;
            let token = token(child, node);
            taken(child, &mut node.children, rest, Some(token))
        });
    }
    if rest.is_empty() {
        nodes.retain(|node| &*node.key != word);
        let word = child.map(|child| child.word).or(kind.field(word).map(|field| field.word));
        return (nodes.len() < count).then(|| (word.unwrap_or_default(), from));
    }
    let child = child?;
    let mut blocks = nodes.iter_mut().filter(|node| &*node.key == word);
    blocks.find_map(|node| {
        let token = token(child, node);
        taken(child, &mut node.children, rest, Some(token))
    })
}

/// The token by which decoding speaks of a block.
fn token(kind: &Kind, node: &Node) -> Span {
    node.args.first().filter(|_| has_name(kind)).map_or(node.span, |name| name.span)
}

/// Whether a path leads to something.
fn is_there(kind: &'static Kind, nodes: &[Node], path: &str) -> bool {
    let (word, rest) = path.split_once('.').unwrap_or((path, ""));
    let child = kind.child(word).map(|child| child.kind);
    let mut of_word = nodes.iter().filter(|node| &*node.key == word);
    match child {
        Some(child) if has_name(child) => {
            named(nodes, word).any(|name| name == rest)
                || within(nodes, word, rest)
                    .into_iter()
                    .any(|(at, rest)| nodes.get(at).is_some_and(|node| is_there(child, &node.children, rest)))
        }
        _ if rest.is_empty() => of_word.next().is_some(),
        Some(child) => of_word.any(|node| is_there(child, &node.children, rest)),
        None => false,
    }
}

/// What whoever wants to remove `path` may have meant: of the same kind and in the same block, never anything else. `before` is
/// what leads to the block.
fn instead(kind: &'static Kind, nodes: &[Node], path: &str, before: &str) -> Option<String> {
    let (word, rest) = path.split_once('.').unwrap_or((path, ""));
    let child = kind.child(word).map(|child| child.kind);
    let meant = |path: String| format!("did you mean `{}`?", printable(&path));
    if let Some(child) = child.filter(|child| has_name(child)) {
        if let Some((node, rest)) = within(nodes, word, rest).first().and_then(|(at, rest)| Some((nodes.get(*at)?, *rest))) {
            return instead(child, &node.children, rest, &format!("{}.", self::path(before, node, true)));
        }
        let ends = rest.match_indices('.').map(|(at, _)| at).chain([rest.len()]);
        let begins: Vec<&str> = ends.filter_map(|end| rest.get(..end)).take(DEEPEST).collect();
        if let Some(range) = named(nodes, word).find(|range| begins.iter().any(|name| meet(range, name))) {
            let range = printable(range);
            return Some(format!("it is in `{before}{word}.{range}`, which goes as a whole: what stays of it is said in `add`"));
        }
        return nearest(rest, named(nodes, word)).map(|near| meant(format!("{before}{word}.{near}")));
    }
    let block = nodes.iter().find(|node| &*node.key == word).filter(|_| !rest.is_empty());
    if let (Some(child), Some(block)) = (child, block) {
        return instead(child, &block.children, rest, &format!("{before}{word}."));
    }
    let words: BTreeSet<&str> = nodes.iter().map(|node| &*node.key).collect();
    let near = nearest(word, words)?;
    let behind = path.get(word.len()..).unwrap_or_default();
    let whole = format!("{near}{behind}");
    is_there(kind, nodes, &whole).then(|| meant(format!("{before}{whole}")))
}
