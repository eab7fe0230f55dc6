//! The generic pass: from a node of the tree, in either spelling, to a block of the table's shape with typed values.
//!
//! Here TOML's naming is unfolded (`[director.lb1]` becomes what `director "lb1"` is), and everything is found that can be
//! said of one block with the table alone: unknown words, wrong types, what is given twice, what is missing. What several
//! fields or several blocks must satisfy together is said elsewhere.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Amount;
use super::fault::{Fault, Spelling};
use super::range::{AddressRange, NameRange, NetworkRange};
use super::shape::{Child, Field, Form, KEPT_FOR_LATER, Kind, Need, Target, Type};
use super::value::{self, Value};
use crate::source::problem::nearest;
use crate::source::{Arg, At, Form as Written, Node, Problem, Removed, Scalar, Span};

/// The words of overlays.
pub const OVERLAYS: [&str; 3] = ["set", "add", "remove"];

/// What decoding collects beside the topology.
#[derive(Default)]
pub struct Context {
    /// Every mistake so far.
    pub problems: Vec<Problem>,
    /// Names of other things that somebody wrote, to be looked up when all are known.
    pub references: Vec<(Target, Box<str>, Span)>,
    /// How the node that is being read was written.
    pub spelling: Spelling,
    /// Whether what is missing may be elsewhere.
    pub is_part: bool,
    /// Whether the file is an overlay.
    pub is_overlay: bool,
    /// What overlays have taken away.
    pub removed: Vec<Removed>,
    /// Whether nothing was wrong so far in the node that is being read: what is missing in it is not only misspelled.
    pub is_sound: bool,
}

impl Context {
    /// Notes a mistake.
    pub fn report(&mut self, fault: &Fault, span: Span) {
        self.problems.push(fault.at(span, self.spelling));
    }

    /// Notes that a block is nothing without `word`, with the place where an overlay has taken that away.
    pub fn miss(&mut self, fault: &Fault, word: &str, span: Span) {
        let mut problem = fault.at(span, self.spelling);
        let taken = self.removed.iter().find(|removed| removed.from == Some(span) && *removed.word == *word);
        problem.labels.extend(taken.map(Removed::label));
        self.problems.push(problem);
    }
}

/// One block with its values.
#[derive(Debug)]
pub struct Block {
    /// What it is.
    pub kind: &'static Kind,
    /// The token to point at: the name where there is one, else the word.
    pub span: Span,
    /// The name or main value; a key and its value. Shorter where one is missing or wrong.
    pub head: Vec<At<Value>>,
    /// Whether the head is as the form asks.
    pub whole: bool,
    /// The blocks in it, in the order of the text.
    pub blocks: Vec<Block>,
    slots: Vec<Slot>,
}

/// A field that was given. It is empty where its value is wrong, which has been said.
#[derive(Debug)]
struct Slot {
    word: &'static str,
    span: Span,
    values: Vec<At<Value>>,
}

/// The blocks that a node stands for.
pub fn read(cx: &mut Context, kind: &'static Kind, node: &Node) -> Vec<Block> {
    if node.form.is_toml() && node.form != Written::Unfolded {
        read_toml(cx, kind, node)
    } else {
        read_kdl(cx, kind, node).into_iter().collect()
    }
}

fn read_kdl(cx: &mut Context, kind: &'static Kind, node: &Node) -> Vec<Block> {
    let word = kind.word;
    let wanted = match kind.form {
        Form::Once | Form::Repeated => 0,
        Form::Named { several: true, .. } if !node.args.is_empty() => node.args.len(),
        Form::Named { .. } | Form::Main { .. } => 1,
        Form::Keyed => 2,
    };
    if let Some(extra) = node.args.get(wanted) {
        cx.report(&Fault::TooManyValues { word, form: kind.form }, extra.span);
    }
    match kind.form {
        Form::Named { label, several } if several && node.args.len() > 1 => {
            if let Some(child) = node.children.first() {
                cx.report(&Fault::FieldsOfSeveral { word }, child.span);
            }
            node.args.iter().map(|arg| named(cx, kind, label, arg, &[])).collect()
        }
        Form::Named { label, .. } => {
            if let Some(arg) = node.args.first() {
                return vec![named(cx, kind, label, arg, &node.children)];
            }
            cx.report(&Fault::NoName { word }, node.span);
            vec![block(cx, kind, node.span, &node.children)]
        }
        Form::Main { key, value } => {
            let mut found = block(cx, kind, node.span, &node.children);
            match node.args.first() {
                Some(arg) => head(cx, &mut found, value, word, arg),
                None if node.children.iter().any(|child| *child.key == *key) => {}
                None => cx.report(&Fault::NoValue { word, wanted: value }, node.span),
            }
            vec![found]
        }
        Form::Keyed => {
            let (key, value) = (node.args.first(), node.args.get(1));
            vec![keyed(cx, kind, node.span, key, value, &node.children)]
        }
        Form::Once | Form::Repeated => vec![block(cx, kind, node.span, &node.children)],
    }
}

fn read_toml(cx: &mut Context, kind: &'static Kind, node: &Node) -> Vec<Block> {
    let word = kind.word;
    match (kind.form, node.form) {
        (Form::Once, Written::TomlTable) | (Form::Repeated, Written::TomlTable | Written::TomlTableOfArray) => {
            vec![block(cx, kind, node.span, &node.children)]
        }
        (Form::Named { label, .. }, Written::TomlTable) => {
            node.children.iter().filter_map(|child| toml_named(cx, kind, label, child)).collect()
        }
        (Form::Named { label, several: true }, Written::TomlValue | Written::TomlArray) => {
            node.args.iter().map(|arg| named(cx, kind, label, arg, &[])).collect()
        }
        (Form::Main { value, .. }, Written::TomlValue) => {
            let mut found = block(cx, kind, node.span, &[]);
            if let Some(arg) = node.args.first() {
                head(cx, &mut found, value, word, arg);
            }
            vec![found]
        }
        (Form::Main { key, value }, Written::TomlTable) => {
            let mut found = block(cx, kind, node.span, &node.children);
            match node.children.iter().find(|child| *child.key == *key) {
                Some(child) => match child.args.as_slice() {
                    [arg] if child.form == Written::TomlValue => head(cx, &mut found, value, word, arg),
                    _ => cx.report(&Fault::NoValue { word: key, wanted: value }, child.span),
                },
                None => cx.report(&Fault::Missing { kind: word, word: key }, node.span),
            }
            vec![found]
        }
        (Form::Keyed, Written::TomlTable) => node.children.iter().filter_map(|child| toml_keyed(cx, kind, child)).collect(),
        _ => {
            cx.report(&Fault::NotATable { word, form: kind.form }, node.span);
            Vec::new()
        }
    }
}

fn toml_named(cx: &mut Context, kind: &'static Kind, label: Type, node: &Node) -> Option<Block> {
    if node.form != Written::TomlTable {
        cx.report(&Fault::NameExpected { word: kind.word, found: node.key.clone() }, node.span);
        return None;
    }
    // `[pool.web.server.10.0.0.11]`: the dots have made tables of the octets.
    let octet = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    if octet(&node.key) && node.children.first().is_some_and(|child| octet(&child.key) && child.form == Written::TomlTable) {
        cx.report(&Fault::UnquotedKey { key: dotted(node) }, node.span);
        return None;
    }
    let name = Arg { value: Scalar::Text(node.key.clone()), span: node.span };
    Some(named(cx, kind, label, &name, &node.children))
}

fn toml_keyed(cx: &mut Context, kind: &'static Kind, node: &Node) -> Option<Block> {
    let key = Arg { value: Scalar::Text(node.key.clone()), span: node.span };
    match node.form {
        Written::TomlValue => Some(keyed(cx, kind, node.span, Some(&key), node.args.first(), &[])),
        Written::TomlTable if node.children.iter().all(|child| &*child.key == "value" || kind.field(&child.key).is_some()) => {
            let value = node.children.iter().find(|child| &*child.key == "value").and_then(|child| child.args.first());
            Some(keyed(cx, kind, node.span, Some(&key), value, &node.children))
        }
        Written::TomlTable if !node.key.contains(['.', '/']) => {
            cx.report(&Fault::UnquotedKey { key: dotted(node) }, node.span);
            None
        }
        Written::TomlTable => Some(keyed(cx, kind, node.span, Some(&key), None, &node.children)),
        _ => {
            cx.report(&Fault::TooManyValues { word: kind.word, form: kind.form }, node.span);
            None
        }
    }
}

/// The dotted key that its dots have taken apart: the first way down.
fn dotted(node: &Node) -> String {
    let mut key = node.key.to_string();
    let mut at = node;
    while let (Written::TomlTable, Some(child)) = (at.form, at.children.first()) {
        if child.form == Written::TomlValue && at.key.bytes().all(|byte| byte.is_ascii_digit()) {
            break;
        }
        key.push('.');
        key.push_str(&child.key);
        at = child;
    }
    key
}

fn named(cx: &mut Context, kind: &'static Kind, label: Type, name: &Arg, children: &[Node]) -> Block {
    let mut found = block(cx, kind, name.span, children);
    head(cx, &mut found, label, kind.word, name);
    found
}

fn keyed(cx: &mut Context, kind: &'static Kind, span: Span, key: Option<&Arg>, value: Option<&Arg>, children: &[Node]) -> Block {
    let mut found = block(cx, kind, key.map_or(span, |key| key.span), children);
    let Some(key) = key else {
        cx.report(&Fault::NoName { word: kind.word }, span);
        return found;
    };
    let Scalar::Text(text) = &key.value else {
        cx.report(&Fault::SysctlKey { text: found_text(&key.value) }, key.span);
        return found;
    };
    found.head.push(At::new(Value::Text(text.clone()), key.span));
    match value {
        Some(value) => head(cx, &mut found, Type::SysctlValue, kind.word, value),
        None => cx.report(&Fault::NoValue { word: kind.word, wanted: Type::SysctlValue }, key.span),
    }
    found
}

fn found_text(value: &Scalar) -> Box<str> {
    match value {
        Scalar::Text(text) => text.clone(),
        Scalar::Integer(number) => number.to_string().into(),
        Scalar::Boolean(truth) => truth.to_string().into(),
    }
}

fn head(cx: &mut Context, block: &mut Block, wanted: Type, word: &'static str, arg: &Arg) {
    match value(cx, wanted, word, arg) {
        Some(value) => {
            block.head.reserve_exact(1);
            block.head.push(value);
            block.whole = true;
        }
        None => block.whole = false,
    }
}

fn value(cx: &mut Context, wanted: Type, what: &'static str, arg: &Arg) -> Option<At<Value>> {
    match value::read(wanted, what, arg) {
        Ok(value) => {
            let reference = match (wanted, &value) {
                (Type::Reference(target), Value::Text(name)) => Some((target, name)),
                (Type::Via, Value::Text(name)) => Some((Target::Vip, name)),
                (_, Value::Object(target, name)) => Some((*target, name)),
                _ => None,
            };
            cx.references.extend(reference.map(|(target, name)| (target, name.clone(), arg.span)));
            Some(At::new(value, arg.span))
        }
        Err(fault) => {
            cx.report(&fault, arg.span);
            None
        }
    }
}

/// Reads what stands in a block: fields, blocks, and in TOML the key of the main value, which the caller has read.
pub(super) fn block(cx: &mut Context, kind: &'static Kind, span: Span, children: &[Node]) -> Block {
    let mut found = Block {
        kind,
        span,
        head: Vec::new(),
        whole: false,
        blocks: Vec::new(),
        slots: Vec::with_capacity(children.len().min(kind.fields.len())),
    };
    let mut once: Vec<(&'static str, Span)> = Vec::new();
    // Words that a misspelled one probably is: not missing as well.
    let mut meant: Vec<String> = Vec::new();
    for node in children {
        if let Some(field) = kind.field(&node.key) {
            if let Some(slot) = found.slots.iter().find(|slot| slot.word == field.word) {
                cx.report(&Fault::Twice { what: field.word.into(), first: slot.span }, node.span);
                continue;
            }
            let values = read_field(cx, kind, field, node);
            found.slots.push(Slot { word: field.word, span: node.span, values });
        } else if let Some(child) = kind.child(&node.key) {
            let single = matches!(child.kind.form, Form::Once | Form::Main { .. });
            if let Some((_, first)) = once.iter().find(|(word, _)| single && *word == child.kind.word) {
                cx.report(&Fault::Twice { what: child.kind.word.into(), first: *first }, node.span);
                continue;
            }
            once.push((child.kind.word, node.span));
            found.blocks.extend(read(cx, child.kind, node));
        } else {
            meant.extend(unknown(cx, kind, node));
        }
    }
    let is_whole = !cx.is_part;
    let missing = |word: &str| is_whole && meant.iter().all(|meant| meant != word);
    for field in kind.fields {
        if matches!(field.need, Need::Required) && found.given(field.word).is_none() && missing(field.word) {
            cx.miss(&Fault::Missing { kind: kind.word, word: field.word }, field.word, span);
        }
    }
    for Child { kind: child, required } in kind.kinds {
        if *required && once.iter().all(|(word, _)| *word != child.word) && missing(child.word) {
            cx.miss(&Fault::Missing { kind: kind.word, word: child.word }, child.word, span);
        }
    }
    found
}

fn read_field(cx: &mut Context, kind: &'static Kind, field: &'static Field, node: &Node) -> Vec<At<Value>> {
    let word = field.word;
    if matches!(node.form, Written::TomlTable | Written::TomlTableOfArray) {
        cx.report(&Fault::FieldIsTable { word, wanted: field.value }, node.span);
        return Vec::new();
    }
    if let Some(child) = node.children.first() {
        cx.report(&Fault::NoFields { word, found: child.key.clone() }, child.span);
    }
    if node.args.is_empty() {
        cx.report(&Fault::NoValue { word, wanted: field.value }, node.span);
        return Vec::new();
    }
    if !field.list {
        if let Some(extra) = node.args.get(1) {
            let each = (kind.form == Form::Repeated).then_some(kind.word);
            cx.report(&Fault::OneValue { word, each }, extra.span);
        } else if node.form == Written::TomlArray {
            cx.report(&Fault::OneValue { word, each: None }, node.span);
        }
        // A vector that grows by itself begins with place for four.
        let mut values = Vec::with_capacity(1);
        values.extend(node.args.first().and_then(|arg| value(cx, field.value, word, arg)));
        return values;
    }
    let mut values: Vec<_> = node.args.iter().filter_map(|arg| value(cx, field.value, word, arg)).collect();
    if values.len() > 1 {
        let mut seen = BTreeSet::new();
        values.retain(|item| {
            let new = seen.insert(format!("{:?}", item.value));
            if let (false, Some(span)) = (new, item.origin.span()) {
                cx.report(&Fault::ListedTwice { word }, span);
            }
            new
        });
    }
    values
}

/// Says that nothing of this word may stand in a block of `kind`; gives the word that it probably is.
pub fn unknown(cx: &mut Context, kind: &'static Kind, node: &Node) -> Option<String> {
    let word = &*node.key;
    let main = match kind.form {
        Form::Main { key, .. } => Some(key),
        Form::Keyed => Some("value"),
        Form::Once | Form::Repeated | Form::Named { .. } => None,
    };
    let toml = node.form.is_toml();
    if main == Some(word) {
        if !toml {
            cx.report(&Fault::MainValueByKey { kind: kind.word, key: main.unwrap_or_default() }, node.span);
        }
        return None;
    }
    let mut meant = None;
    let fault = if matches!(word, "topology" | "include") && toml && !kind.word.is_empty() {
        Fault::AfterHeader { word: node.key.clone(), kind: kind.word }
    } else if KEPT_FOR_LATER.contains(&word) {
        Fault::KeptForLater { word: node.key.clone() }
    } else {
        let known: Vec<&'static str> = match (kind.word, cx.is_overlay) {
            ("", true) => OVERLAYS.to_vec(),
            ("", false) => kind.words().filter(|word| !OVERLAYS.contains(word)).chain(["include"]).collect(),
            _ => kind.words().chain(main.filter(|_| toml)).collect(),
        };
        let near = nearest(word, known.iter().copied()).map(str::to_owned);
        meant.clone_from(&near);
        Fault::Unknown { kind: kind.word, word: node.key.clone(), nearest: near, homes: Kind::homes(word), known }
    };
    cx.report(&fault, node.span);
    meant
}

impl Block {
    /// Where a field was given, however wrong its value.
    pub fn given(&self, word: &str) -> Option<Span> {
        self.slots.iter().find(|slot| slot.word == word).map(|slot| slot.span)
    }

    /// The blocks of a kind in it.
    pub fn of(&self, word: &str) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(move |block| block.kind.word == word)
    }

    fn values(&self, word: &str) -> &[At<Value>] {
        self.slots.iter().find(|slot| slot.word == word).map_or(&[], |slot| &slot.values)
    }

    /// The first value of a field that `read` takes, else the table's default.
    fn one<T>(&self, word: &str, read: impl Fn(&Value) -> Option<T>) -> Option<At<T>> {
        if let Some(At { value, origin }) = self.values(word).first() {
            return read(value).map(|value| At { value, origin: *origin });
        }
        match self.kind.field(word)?.need {
            Need::Default(default) => read(&default.into()).map(At::default),
            Need::Required | Need::Optional => None,
        }
    }

    fn every<T>(&self, word: &str, read: impl Fn(&Value) -> Option<T>) -> Vec<At<T>> {
        let read = |At { value, origin }: &At<Value>| read(value).map(|value| At { value, origin: *origin });
        self.values(word).iter().filter_map(read).collect()
    }

    /// An integer field, or a duration in seconds. The table keeps it within `T`.
    pub fn integer<T: TryFrom<i64>>(&self, word: &str) -> Option<At<T>> {
        self.one(word, integer)
    }

    /// A list of integers.
    pub fn integers<T: TryFrom<i64>>(&self, word: &str) -> Vec<At<T>> {
        self.every(word, integer)
    }

    /// A boolean field; false where neither the file nor the table says anything.
    pub fn boolean(&self, word: &str) -> At<bool> {
        let read = |value: &Value| if let Value::Boolean(truth) = value { Some(*truth) } else { None };
        self.one(word, read).unwrap_or(At::default(false))
    }

    /// One of the table's words.
    pub fn word(&self, word: &str) -> Option<At<&'static str>> {
        self.one(word, |value| if let Value::Word(word) = value { Some(*word) } else { None })
    }

    /// A text.
    pub fn text(&self, word: &str) -> Option<At<String>> {
        self.one(word, text)
    }

    /// A list of texts.
    pub fn texts(&self, word: &str) -> Vec<At<String>> {
        self.every(word, text)
    }

    /// Names.
    pub fn names(&self, word: &str) -> Option<At<NameRange>> {
        self.one(word, |value| if let Value::Names(names) = value { Some(names.clone()) } else { None })
    }

    /// A single address, or the first of a range.
    pub fn address(&self, word: &str) -> Option<At<IpAddr>> {
        self.one(word, |value| if let Value::Addresses(range) = value { Some(range.at(0)) } else { None })
    }

    /// Addresses.
    pub fn addresses(&self, word: &str) -> Vec<At<AddressRange>> {
        self.every(word, |value| if let Value::Addresses(range) = value { Some(*range) } else { None })
    }

    /// Lists of names.
    pub fn many_names(&self, word: &str) -> Vec<At<NameRange>> {
        self.every(word, |value| if let Value::Names(names) = value { Some(names.clone()) } else { None })
    }

    /// Several of the table's words.
    pub fn words(&self, word: &str) -> Vec<At<&'static str>> {
        self.every(word, |value| if let Value::Word(word) = value { Some(*word) } else { None })
    }

    /// Addresses with prefix lengths.
    pub fn networks(&self, word: &str) -> Vec<At<NetworkRange>> {
        self.every(word, |value| if let Value::Networks(range) = value { Some(*range) } else { None })
    }

    /// A number or a share.
    pub fn amount(&self, word: &str) -> Option<At<Amount>> {
        self.one(word, |value| if let Value::Amount(amount) = value { Some(*amount) } else { None })
    }

    /// `KIND.NAME`
    pub fn objects(&self, word: &str) -> Vec<At<String>> {
        self.every(
            word,
            |value| {
                if let Value::Object(target, name) = value { Some(format!("{}.{name}", target.word())) } else { None }
            },
        )
    }

    /// The name, main value or key; `None` where it is wrong.
    pub fn main(&self) -> Option<&At<Value>> {
        self.head.first().filter(|_| self.whole)
    }

    /// The main value where it is one of the table's words.
    pub fn main_word(&self) -> Option<At<&'static str>> {
        match self.main()? {
            At { value: Value::Word(word), origin } => Some(At { value: word, origin: *origin }),
            _ => None,
        }
    }

    /// The name where it is one text: of a device, of something without ranges.
    pub fn label(&self) -> Option<At<String>> {
        let At { value, origin } = self.main()?;
        let value = match value {
            Value::Text(text) => text.to_string(),
            Value::Names(names) => names.at(0),
            _ => return None,
        };
        Some(At { value, origin: *origin })
    }

    /// How many hosts, addresses and servers it stands for, with those in it: so many things are made of it.
    pub fn count(&self) -> u64 {
        let own = match self.head.first().map(|head| &head.value) {
            Some(Value::Names(names)) => u64::from(names.count()),
            Some(Value::Addresses(range)) => u64::from(range.count()),
            _ => 1,
        };
        let listed = |slot: &Slot| {
            slot.values
                .iter()
                .filter_map(|At { value, .. }| match value {
                    Value::Addresses(range) => Some(u64::from(range.count())),
                    _ => None,
                })
                .sum::<u64>()
        };
        own.saturating_add(self.slots.iter().map(listed).sum()).saturating_add(self.blocks.iter().map(Block::count).sum())
    }

    /// The ranges in its fields and in the blocks in it, with their counts.
    pub fn ranges(&self) -> Vec<(u32, Span)> {
        let values = self.slots.iter().flat_map(|slot| &slot.values);
        let counted = values.filter_map(|At { value, origin }| {
            let count = match value {
                Value::Names(names) if names.is_range() => names.count(),
                Value::Addresses(range) if range.count() > 1 => range.count(),
                Value::Networks(range) if range.count() > 1 => range.count(),
                _ => return None,
            };
            origin.span().map(|span| (count, span))
        });
        counted.chain(self.blocks.iter().flat_map(Block::ranges)).collect()
    }
}

fn integer<T: TryFrom<i64>>(value: &Value) -> Option<T> {
    if let Value::Integer(number) = value { T::try_from(*number).ok() } else { None }
}

fn text(value: &Value) -> Option<String> {
    if let Value::Text(text) = value { Some(text.to_string()) } else { None }
}
