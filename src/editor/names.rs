//! Who is named where: every name that a file gives and every place that uses one, found by the table of kinds alone. So a file
//! with mistakes has its names too, and overlays, which are no topology by themselves, have theirs.

use std::net::IpAddr;
use std::ops::Range;

use crate::source::{Arg, FileId, Node, Scalar, Sources};
use crate::topology::range::NameRange;
use crate::topology::shape::{Form, Kind, Target, Type};
use crate::topology::unfold;

/// What is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// a director or a real server
    Host,
    /// a VIP
    Vip,
    /// a pool
    Pool,
    /// a service
    Service,
    /// a variable
    Variable,
}

impl Thing {
    /// The word that people say.
    pub fn word(self) -> &'static str {
        match self {
            Thing::Host => "host",
            Thing::Vip => "vip",
            Thing::Pool => "pool",
            Thing::Service => "service",
            Thing::Variable => "variable",
        }
    }

    /// What a kind's name names.
    fn of(word: &str) -> Option<Thing> {
        Some(match word {
            "director" | "real-server" | "host" => Thing::Host,
            "vip" => Thing::Vip,
            "pool" => Thing::Pool,
            "service" => Thing::Service,
            "variable" => Thing::Variable,
            _ => return None,
        })
    }

    /// What a reference names; tunnels are their host's own affair.
    pub fn of_target(target: Target) -> Option<Thing> {
        match target {
            Target::Director | Target::Host | Target::RealServer => Some(Thing::Host),
            Target::Vip => Some(Thing::Vip),
            Target::Pool => Some(Thing::Pool),
            Target::Service => Some(Thing::Service),
            Target::Tunnel => None,
        }
    }
}

/// A name at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// What is named.
    pub thing: Thing,
    /// As it was written: `web1`, `web[1-3]`.
    pub name: Box<str>,
    /// In which file.
    pub file: FileId,
    /// The name's own bytes, without quotes.
    pub bytes: Range<usize>,
    /// Whether it is given here.
    pub defines: bool,
    /// Whether it stands without quotes.
    pub is_bare: bool,
    /// The kind whose name it is, where it is given here: `real-server`.
    pub kind: &'static str,
}

impl Mention {
    /// Whether the two name the same thing, or several the same ones.
    pub fn is(&self, other: &Mention) -> bool {
        let range = |text: &str| NameRange::parse(text).unwrap_or_else(|_| NameRange::one(text));
        self.thing == other.thing && (self.name == other.name || range(&self.name).meets(&range(&other.name)))
    }
}

/// All names of some files' nodes.
pub fn mentions(nodes: &[Node], sources: &Sources) -> Vec<Mention> {
    let mut found = Found { sources, mentions: Vec::new() };
    for node in unfold(nodes.to_vec()) {
        found.node(Kind::root(), &node, true);
    }
    found.mentions
}

struct Found<'s> {
    sources: &'s Sources,
    mentions: Vec<Mention>,
}

impl<'s> Found<'s> {
    /// `gives`: whether a name behind a kind's word is given there, or is that of something in another file.
    fn node(&mut self, within: &'static Kind, node: &Node, gives: bool) {
        for arg in &node.args {
            self.variables(arg);
        }
        if let Some(field) = within.field(&node.key) {
            for arg in &node.args {
                self.value(arg, field.value, within.word, field.word);
            }
            return;
        }
        let Some(child) = within.child(&node.key) else { return };
        let kind = child.kind;
        match kind.form {
            Form::Named { label, .. } => {
                for arg in &node.args {
                    match (label, Thing::of(kind.word)) {
                        // In `expect` it is a pattern.
                        (Type::Name { .. }, Some(thing)) if within.word != "expect" => self.add(arg, thing, gives, kind.word),
                        _ => self.value(arg, label, within.word, kind.word),
                    }
                }
            }
            Form::Main { value, .. } => node.args.iter().for_each(|arg| self.value(arg, value, within.word, kind.word)),
            Form::Once | Form::Repeated | Form::Keyed => {}
        }
        // A name that `set` has is another file's.
        let gives = gives && kind.word != "set";
        for inner in &node.children {
            self.node(kind, inner, gives);
        }
    }

    fn value(&mut self, arg: &Arg, value: Type, kind: &str, word: &str) {
        let Scalar::Text(text) = &arg.value else { return };
        let is_address =
            || text.parse::<IpAddr>().is_ok() || text.contains(['.', ':', '/']) && !text.contains(char::is_alphabetic);
        match value {
            Type::Reference(target) => {
                if let Some(thing) = Thing::of_target(target) {
                    self.add(arg, thing, false, "");
                }
            }
            Type::Server if !is_address() => self.add(arg, Thing::Host, false, ""),
            Type::Via if !is_address() => self.add(arg, Thing::Vip, false, ""),
            // Hosts that an expectation does without.
            Type::Name { .. } if (kind, word) == ("expect", "without") => self.add(arg, Thing::Host, false, ""),
            Type::Object => self.path(arg),
            Type::Sentence if (kind, word) == ("", "remove") => self.path(arg),
            _ => {}
        }
    }

    /// `service.shop`, and in an overlay `pool.web.server.web3`.
    fn path(&mut self, arg: &Arg) {
        let Some((bytes, text)) = self.inner(arg) else { return };
        let words: Vec<&str> = text.split('.').collect();
        let mut at = bytes.start;
        for pair in words.chunks(2) {
            if let [word, name] = pair {
                let start = at + word.len() + 1;
                let thing = if *word == "server" { Some(Thing::Host) } else { Thing::of(word) };
                if let Some(thing) = thing.filter(|_| !name.is_empty()) {
                    let (file, bytes) = (self.sources.plain(arg.span.file), start..start + name.len());
                    self.mentions.push(Mention {
                        thing,
                        name: (*name).into(),
                        file,
                        bytes,
                        defines: false,
                        is_bare: false,
                        kind: "",
                    });
                }
                at = start + name.len() + 1;
            }
        }
    }

    fn add(&mut self, arg: &Arg, thing: Thing, defines: bool, kind: &'static str) {
        let Scalar::Text(text) = &arg.value else { return };
        if let Some((bytes, inner)) = self.inner(arg)
            && inner == &**text
            && !text.contains("${")
        {
            let file = self.sources.plain(arg.span.file);
            let is_bare = bytes == (arg.span.start as usize..arg.span.end as usize);
            self.mentions.push(Mention { thing, name: text.clone(), file, bytes, defines, is_bare, kind });
        }
    }

    /// `${NAME}` in any text.
    fn variables(&mut self, arg: &Arg) {
        let Some((bytes, text)) = self.inner(arg) else { return };
        let mut at = 0;
        while let Some(open) = text.get(at..).and_then(|rest| rest.find("${")) {
            let start = at + open + 2;
            let Some(length) = text.get(start..).and_then(|rest| rest.find('}')) else { return };
            if let Some(name) = text.get(start..start + length) {
                let bytes = bytes.start + start..bytes.start + start + length;
                let file = self.sources.plain(arg.span.file);
                self.mentions.push(Mention {
                    thing: Thing::Variable,
                    name: name.into(),
                    file,
                    bytes,
                    defines: false,
                    is_bare: false,
                    kind: "",
                });
            }
            at = start + length;
        }
    }

    /// A token without its quotes. Texts with escapes or several lines are not looked into.
    fn inner(&self, arg: &Arg) -> Option<(Range<usize>, &'s str)> {
        let token = self.sources.text(arg.span);
        let (start, end) = (arg.span.start as usize, arg.span.end as usize);
        let quoted = ['"', '\''].iter().find_map(|quote| token.strip_prefix(*quote)?.strip_suffix(*quote));
        match quoted {
            Some(inner) if inner.contains(['\\', '\n', '"']) => None,
            Some(inner) => Some((start + 1..end - 1, inner)),
            None if token.starts_with('#') => None,
            None => Some((start..end, token)),
        }
    }
}
