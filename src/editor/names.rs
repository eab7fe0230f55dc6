//! Who is named where: every name that a file gives and every place that uses one, found by the table of kinds alone. So a file
//! with mistakes has its names too, and overlays, which are no topology by themselves, have theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use crate::source::{Arg, FileId, Loaded, Node, Scalar, Sources};
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
    pub fn of(word: &str) -> Option<Thing> {
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
    /// As it was written, with the variables in it as they are: `web1`, `web[1-3]`.
    pub name: Box<str>,
    /// The text itself, where variables are in it: `web-${dc}`.
    pub made_of: Option<Box<str>>,
    /// In which file.
    pub file: FileId,
    /// The name's own bytes, without quotes where it is `Bare` or `Quoted`.
    pub bytes: Range<usize>,
    /// Whether it is given here.
    pub defines: bool,
    /// How it stands there.
    pub written: Written,
    /// The kind whose name it is, where it is given here: `real-server`.
    pub kind: &'static str,
}

/// How a name stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Without quotes.
    Bare,
    /// Letter by letter within quotes of any sort, or a piece of such a text.
    Quoted,
    /// With escapes, or over several lines: its place is the whole token, with quotes.
    Token,
    /// A piece of such a token: where in it nobody knows.
    Within,
}

impl Mention {
    /// Whether the two name the same thing, or several the same ones.
    pub fn is(&self, other: &Mention) -> bool {
        let range = |text: &str| NameRange::parse(text).unwrap_or_else(|_| NameRange::one(text));
        let is_text = || self.made_of.is_some() && self.made_of == other.made_of;
        self.thing == other.thing && (self.name == other.name || is_text() || range(&self.name).meets(&range(&other.name)))
    }

    /// What a person writes to name it.
    pub fn text(&self) -> &str {
        self.made_of.as_deref().unwrap_or(&self.name)
    }
}

/// All names of what was loaded, its overlays too.
pub fn mentions(loaded: &Loaded) -> Vec<Mention> {
    let parts: Vec<Vec<Node>> =
        std::iter::once(&loaded.tree.nodes).chain(&loaded.given.overlays).map(|nodes| unfold(nodes.clone())).collect();
    let mut known = Known::default();
    for node in parts.iter().flatten() {
        known.node(Kind::root(), node);
    }
    let env = |name: &&str| known.env.get(name).and_then(|env| loaded.given.environment.get(*env));
    let by_env: Vec<(&str, &Scalar)> = known.variables.keys().filter_map(|name| Some((*name, &env(name)?.value))).collect();
    known.variables.extend(by_env.into_iter().map(|(name, value)| (name, Some(value))));
    for (name, _, arg) in &loaded.given.values {
        known.variables.insert(name, Some(&arg.value));
    }
    let mut found = Found { sources: &loaded.sources, known: &known, mentions: Vec::new() };
    for node in parts.iter().flatten() {
        found.node(Kind::root(), node, true);
    }
    found.mentions
}

/// What is named anywhere in the files, as it is written there.
#[derive(Default)]
struct Known<'n> {
    /// By the kind's word; servers by their labels.
    names: BTreeMap<&'static str, BTreeSet<&'n str>>,
    variables: BTreeMap<&'n str, Option<&'n Scalar>>,
    /// The variables of the environment that give them.
    env: BTreeMap<&'n str, &'n str>,
}

impl<'n> Known<'n> {
    fn node(&mut self, within: &'static Kind, node: &'n Node) {
        let Some(kind) = within.child(&node.key).map(|child| child.kind) else { return };
        if let (Form::Named { .. }, Some(name)) = (kind.form, node.args.first().and_then(text)) {
            self.names.entry(kind.word).or_default().insert(name);
            if kind.word == "variable" {
                let field = |word: &str| node.children.iter().find(|child| &*child.key == word)?.args.first();
                let value = field("default").map(|arg| &arg.value);
                let known = self.variables.entry(name).or_default();
                *known = value.or(*known);
                self.env.extend(field("env").and_then(text).map(|env| (name, env)));
            }
        }
        for inner in &node.children {
            self.node(kind, inner);
        }
    }

    /// A text with its variables put in; as it is where one is not known.
    fn put_in(&self, text: &str) -> Box<str> {
        let mut made = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${") {
            let Some((Some(value), behind)) =
                behind.split_once('}').map(|(name, behind)| (self.variables.get(name).copied().flatten(), behind))
            else {
                return text.into();
            };
            made.push_str(before);
            match value {
                Scalar::Text(text) => made.push_str(text),
                Scalar::Integer(number) => made.push_str(&number.to_string()),
                Scalar::Boolean(truth) => made.push_str(&truth.to_string()),
            }
            rest = behind;
        }
        made.push_str(rest);
        made.into()
    }
}

fn text(arg: &Arg) -> Option<&str> {
    if let Scalar::Text(text) = &arg.value { Some(text) } else { None }
}

struct Found<'s> {
    sources: &'s Sources,
    known: &'s Known<'s>,
    mentions: Vec<Mention>,
}

impl Found<'_> {
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
                        (Type::Name { .. }, Some(thing)) => self.add(arg, thing, gives, kind.word),
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
        let Some(text) = text(arg) else { return };
        let said = if text.contains("${") { self.known.put_in(text) } else { text.into() };
        let is_address =
            || said.parse::<IpAddr>().is_ok() || said.contains(['.', ':', '/']) && !said.contains(char::is_alphabetic);
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
            // The services that it is of are a pattern, or one by its name.
            Type::Sentence if (kind, word) == ("expect", "service") && !text.contains(['*', '?', '[']) => {
                self.add(arg, Thing::Service, false, "");
            }
            Type::Object | Type::Sentence if value == Type::Object || (kind, word) == ("", "remove") => {
                self.path(arg, text, value == Type::Object);
            }
            _ => {}
        }
    }

    /// `service.shop`, and in an overlay `pool.web.server.web3`. `is_whole`: what stands behind the kind's word is a name.
    ///
    /// A name may have dots in it: as where an overlay is laid, the longest one that there is counts.
    fn path(&mut self, arg: &Arg, text: &str, is_whole: bool) {
        let inner = self.inner(arg).filter(|(_, inner)| *inner == text).map(|(bytes, _)| bytes.start);
        let (mut kind, mut at) = (Kind::root(), 0);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let (word, rest) = rest.split_once('.').unwrap_or((rest, ""));
            // A host is said by its kind, and `protect` knows the same words.
            let Some(child) = kind.child(word).map(|child| child.kind) else { return };
            at += word.len() + 1;
            kind = child;
            if !matches!(kind.form, Form::Named { .. } | Form::Keyed) || rest.is_empty() {
                continue;
            }
            let name = if is_whole { rest } else { self.first_name(kind, rest) };
            let thing = if kind.word == "server" { Some(Thing::Host) } else { Thing::of(kind.word) };
            if let Some(thing) = thing {
                let (bytes, written) = match inner {
                    Some(start) => (start + at..start + at + name.len(), Written::Quoted),
                    None => (arg.span.start as usize..arg.span.end as usize, Written::Within),
                };
                self.push(arg, thing, name, bytes, written);
            }
            at += name.len() + 1;
        }
    }

    /// The name with which a path goes on.
    fn first_name<'t>(&self, kind: &Kind, rest: &'t str) -> &'t str {
        let is_first =
            |name: &&&str| rest.strip_prefix(**name).is_some_and(|behind| behind.is_empty() || behind.starts_with('.'));
        let names = self.known.names.get(kind.word).into_iter().flatten();
        let longest = names.filter(is_first).map(|name| name.len()).max();
        let end = longest.or_else(|| rest.find('.')).unwrap_or(rest.len());
        rest.get(..end).unwrap_or(rest)
    }

    fn add(&mut self, arg: &Arg, thing: Thing, defines: bool, kind: &'static str) {
        let Some(text) = text(arg) else { return };
        let token = arg.span.start as usize..arg.span.end as usize;
        let (bytes, written) = match self.inner(arg).filter(|(_, inner)| *inner == text) {
            Some((bytes, _)) if bytes == token => (bytes, Written::Bare),
            Some((bytes, _)) => (bytes, Written::Quoted),
            None => (token, Written::Token),
        };
        self.push(arg, thing, text, bytes, written);
        if let Some(last) = self.mentions.last_mut() {
            (last.defines, last.kind) = (defines, kind);
        }
    }

    fn push(&mut self, arg: &Arg, thing: Thing, text: &str, bytes: Range<usize>, written: Written) {
        let has_variables = text.contains("${");
        let name = if has_variables { self.known.put_in(text) } else { text.into() };
        let made_of = has_variables.then(|| text.into());
        let file = self.sources.plain(arg.span.file);
        self.mentions.push(Mention { thing, name, made_of, file, bytes, defines: false, written, kind: "" });
    }

    /// `${NAME}` in any text.
    fn variables(&mut self, arg: &Arg) {
        let Some(text) = text(arg).filter(|text| text.contains("${")) else { return };
        let (start, end) = (arg.span.start as usize, arg.span.end as usize);
        let token = self.sources.text(arg.span);
        let (there, said) = (variables(token), variables(text));
        // Whoever writes one with escapes has it in a token that is not looked into.
        let is_plain = there.iter().map(|bytes| token.get(bytes.clone())).eq(said.iter().map(|bytes| text.get(bytes.clone())));
        for (at, bytes) in said.into_iter().enumerate() {
            let place = there.get(at).filter(|_| is_plain).map(|place| start + place.start..start + place.end);
            let written = if place.is_some() { Written::Quoted } else { Written::Within };
            let name: Box<str> = text.get(bytes).unwrap_or_default().into();
            let file = self.sources.plain(arg.span.file);
            self.mentions.push(Mention {
                thing: Thing::Variable,
                name,
                made_of: None,
                file,
                bytes: place.unwrap_or(start..end),
                defines: false,
                written,
                kind: "",
            });
        }
    }

    /// A token without its quotes, raw ones too. Of texts with escapes or several lines it is not what they say.
    fn inner(&self, arg: &Arg) -> Option<(Range<usize>, &str)> {
        let token = self.sources.text(arg.span);
        let hashes = token.len() - token.trim_start_matches('#').len();
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        let rest = token.get(hashes..).unwrap_or_default();
        let quote = quotes.iter().find(|quote| rest.len() >= 2 * quote.len() && rest.starts_with(**quote));
        let marks = quote.map_or(0, |quote| hashes + quote.len());
        let inner = token.get(marks..token.len().checked_sub(marks)?)?;
        let start = arg.span.start as usize + marks;
        Some((start..start + inner.len(), inner))
    }
}

/// The names behind `${` in a text, by their bytes.
fn variables(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text.get(at..).and_then(|rest| rest.find("${")).map(|open| at + open + 2) {
        let Some(length) = text.get(start..).and_then(|rest| rest.find('}')) else { break };
        found.push(start..start + length);
        at = start + length;
    }
    found
}
