//! The TOML that says what a file says.
//!
//! What fits on a line stands on one, fields and short blocks, and comes first; what does not, or has comments in it, gets a
//! header of its own behind them. A table whose header would stand alone has none.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{Remark, Thing};
use crate::spelling::lines::{INDENT, WIDTH, width};
use crate::spelling::toml::{Data, Item, List, Pair, Statement, flat};
use crate::spelling::value::{Value, toml_path};
use crate::topology::shape::{Form, Kind};

/// What TOML cannot say: two things with one key.
#[derive(Debug)]
pub(super) struct Twice {
    /// The byte at which the second begins.
    pub(super) at: usize,
    /// ``server `web1` ``
    pub(super) what: String,
}

/// Writes a whole file.
pub(super) fn file(root: &Thing) -> Result<Vec<Item<Statement>>, Twice> {
    let mut out = Vec::new();
    let (above, below): (Vec<&Thing>, Vec<&Thing>) =
        root.inner.iter().partition(|thing| matches!(thing.word.as_str(), "topology" | "include" | "remove"));
    once(&root.inner, Kind::root())?;
    let is_first = |index: usize, thing: &Thing| above.iter().position(|other| other.word == thing.word) == Some(index);
    for (index, thing) in above.iter().enumerate() {
        if thing.word == "topology" {
            let thing = hoisted(thing);
            line(&mut out, std::slice::from_ref(&thing.word), &thing, main(Kind::root(), &thing));
        } else if is_first(index, thing) {
            together(&mut out, &above, &thing.word);
        }
    }
    let mut pending = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for thing in &root.inner {
        *counts.entry(&thing.word).or_default() += 1;
    }
    for thing in below {
        let Some(kind) = Kind::root().child(&thing.word).map(|child| child.kind) else { continue };
        let several = counts.get(thing.word.as_str()).is_some_and(|count| *count > 1);
        section(&mut out, &[], kind, thing, several, &mut pending)?;
    }
    remarks(&mut out, &root.tail);
    Ok(out)
}

/// All that is included, or removed, in one list.
fn together(out: &mut Vec<Item<Statement>>, above: &[&Thing], word: &str) {
    let all: Vec<&&Thing> = above.iter().filter(|thing| thing.word == word).collect();
    let path = [word.to_owned()];
    if let [one] = all.as_slice() {
        return line(out, &path, one, list(one.heads.iter().cloned().map(Data::Scalar), false));
    }
    let mut items = Vec::new();
    for thing in &all {
        remarks(&mut items, &thing.above);
        for (index, head) in thing.heads.iter().enumerate() {
            items.push(Item::new(index == 0 && thing.blank, Data::Scalar(head.clone())));
        }
        if let Some(last) = items.last_mut() {
            last.trailing = thing.trailing.as_ref().map(|text| format!("#{text}"));
        }
    }
    let blank = items.first().is_some_and(|first| first.blank);
    let pair = Pair { keys: path.to_vec(), value: Data::Array(List { lines: true, items }), at: 0 };
    out.push(Item::new(blank, Statement::Pair(pair)));
}

/// Refuses two things of one key in a block.
fn once(things: &[Thing], kind: &Kind) -> Result<(), Twice> {
    let mut seen = BTreeSet::new();
    for thing in things {
        let names: Vec<String> = match kind.child(&thing.word).map(|child| child.kind.form) {
            Some(Form::Repeated) | None => continue,
            Some(Form::Named { .. }) => thing.heads.iter().map(|head| format!(" `{}`", text(head))).collect(),
            Some(Form::Keyed) => vec![format!(" `{}`", thing.name())],
            Some(Form::Once | Form::Main { .. }) => vec![String::new()],
        };
        for name in names {
            let what = format!("{}{name}", thing.word);
            if !seen.insert(what.clone()) {
                return Err(Twice { at: thing.at, what });
            }
        }
    }
    Ok(())
}

/// Writes a block under a header, and what is in it. `pending`: comments of blocks around it that got no header.
fn section(
    out: &mut Vec<Item<Statement>>,
    within: &[String],
    kind: &'static Kind,
    thing: &Thing,
    several: bool,
    pending: &mut Vec<Remark>,
) -> Result<(), Twice> {
    let mut path = within.to_vec();
    path.push(kind.word.to_owned());
    if matches!(kind.form, Form::Named { .. }) {
        path.push(thing.name());
    }
    pending.extend(thing.above.iter().cloned());
    let array = several && kind.form == Form::Repeated;
    body(out, &path, kind, thing, array, pending)
}

/// The header of a table, with the comments above it.
fn header(out: &mut Vec<Item<Statement>>, path: &[String], array: bool, blank: bool, pending: &mut Vec<Remark>) {
    let alone = pending.is_empty();
    if let Some(first) = pending.first_mut() {
        first.blank = true;
    }
    remarks(out, pending);
    pending.clear();
    out.push(Item::new(blank || alone, Statement::Header { array, keys: path.to_vec() }));
}

/// Things of one word in a block.
struct Group<'t> {
    word: &'t str,
    kind: Option<&'static Kind>,
    things: Vec<&'t Thing>,
}

impl Group<'_> {
    fn named(&self) -> Option<&'static Kind> {
        self.kind.filter(|kind| matches!(kind.form, Form::Named { .. }))
    }

    /// Whether it is a list of names, without any fields.
    fn only_names(&self) -> bool {
        matches!(self.kind.map(|kind| kind.form), Some(Form::Named { several: true, .. }))
            && self.things.iter().all(|thing| thing.inner.is_empty() && thing.tail.is_empty())
    }
}

fn groups<'t>(thing: &'t Thing, kind: &Kind) -> Vec<Group<'t>> {
    let mut groups: Vec<Group> = Vec::new();
    for inner in &thing.inner {
        match groups.iter_mut().find(|group| group.word == inner.word) {
            Some(group) => group.things.push(inner),
            None => groups.push(Group {
                word: &inner.word,
                kind: kind.child(&inner.word).map(|child| child.kind),
                things: vec![inner],
            }),
        }
    }
    groups
}

fn body(
    out: &mut Vec<Item<Statement>>,
    path: &[String],
    kind: &'static Kind,
    thing: &Thing,
    array: bool,
    pending: &mut Vec<Remark>,
) -> Result<(), Twice> {
    once(&thing.inner, kind)?;
    let groups = groups(thing, kind);
    let alone = groups.len() == 1;
    let (pairs, sections): (Vec<&Group>, Vec<&Group>) = groups.iter().partition(|group| fits_in_pairs(group, alone));
    if !pairs.is_empty() || sections.is_empty() || array || thing.trailing.is_some() || !thing.tail.is_empty() {
        header(out, path, array, thing.blank, pending);
        behind(out, thing);
    }
    for group in &pairs {
        for (pair, of) in written(group, kind) {
            line(out, &pair.keys, &of, pair.value);
        }
    }
    if !pairs.is_empty() || sections.is_empty() || !thing.tail.is_empty() {
        remarks(out, &thing.tail);
    }
    for group in sections {
        match group.kind {
            Some(kind) if group.named().is_some() && !(alone && group.things.len() == 1) => {
                names(out, path, kind, group, pending)?;
            }
            Some(kind) if kind.form == Form::Keyed => {
                let table = [path, &[kind.word.to_owned()]].concat();
                header(out, &table, false, false, pending);
                for thing in &group.things {
                    let thing = hoisted(thing);
                    let (key, value) = keyed(kind, &thing);
                    line(out, &[key], &thing, value);
                }
            }
            Some(kind) => {
                for thing in &group.things {
                    section(out, path, kind, thing, group.things.len() > 1, pending)?;
                }
            }
            None => {}
        }
    }
    Ok(())
}

/// Several named things under one header, each on its line if it can be, else under a header of its own.
fn names(
    out: &mut Vec<Item<Statement>>,
    path: &[String],
    kind: &'static Kind,
    group: &Group,
    pending: &mut Vec<Remark>,
) -> Result<(), Twice> {
    let table = [path, &[kind.word.to_owned()]].concat();
    let (short, long): (Vec<&Thing>, Vec<&Thing>) = group.things.iter().partition(|thing| {
        let longest = thing.heads.iter().map(text).max_by_key(|name| width(name)).unwrap_or_default();
        thing.heads.len() > 1 || is_short(&[longest], thing, &inline(kind, thing))
    });
    if !short.is_empty() {
        header(out, &table, false, false, pending);
    }
    for thing in short {
        let thing = &hoisted(thing);
        for (index, head) in thing.heads.iter().enumerate() {
            let first = if index == 0 { thing.clone() } else { Thing::default() };
            line(out, &[text(head)], &first, inline(kind, thing));
        }
    }
    for thing in long {
        section(out, path, kind, thing, false, pending)?;
    }
    Ok(())
}

/// Whether all of a group can stand on lines of the table itself.
fn fits_in_pairs(group: &Group, alone: bool) -> bool {
    let Some(kind) = group.kind else { return true };
    match kind.form {
        Form::Main { .. } => true,
        Form::Keyed | Form::Once => false,
        Form::Named { .. } if group.only_names() => true,
        Form::Named { .. } => {
            !alone
                && group.things.iter().all(|thing| is_short(&[kind.word.to_owned(), thing.name()], thing, &inline(kind, thing)))
        }
        Form::Repeated => match group.things.as_slice() {
            [one] => is_short(&[kind.word.to_owned()], one, &inline(kind, one)),
            several => several.iter().all(|thing| {
                let width = flat(&inline(kind, thing)).map_or(usize::MAX, |text| INDENT + width(&text) + 1);
                !thing.has_inner_comments() && width <= WIDTH
            }),
        },
    }
}

fn is_short(keys: &[String], thing: &Thing, value: &Data) -> bool {
    let fits = |text: String| width(&toml_path(keys)) + 3 + width(&text) <= WIDTH;
    !thing.has_inner_comments() && flat(value).is_some_and(fits)
}

/// The lines of a group, each with what it is for the sake of its comments.
fn written<'t>(group: &Group<'t>, within: &'static Kind) -> Vec<(Pair, Cow<'t, Thing>)> {
    let word = group.word.to_owned();
    let pair = |keys: Vec<String>, value| Pair { keys, value, at: 0 };
    let Some(kind) = group.kind else {
        let one = |thing: &&'t Thing| (pair(vec![word.clone()], values(thing)), Cow::Borrowed(*thing));
        return group.things.iter().map(one).collect();
    };
    match kind.form {
        Form::Main { .. } => {
            let one = |thing: &&'t Thing| {
                let thing = hoisted(thing);
                (pair(vec![word.clone()], main(within, &thing)), Cow::Owned(thing))
            };
            group.things.iter().map(one).collect()
        }
        Form::Named { .. } if group.only_names() => match group.things.as_slice() {
            [one] => vec![(pair(vec![word], values(one)), Cow::Borrowed(*one))],
            several => {
                let commented = several.iter().any(|thing| thing.has_own_comments());
                let heads = |thing: &&Thing| thing.heads.iter().cloned().map(Data::Scalar).collect::<Vec<_>>();
                vec![rows(word, several, commented, heads)]
            }
        },
        Form::Repeated if group.things.len() > 1 => {
            vec![rows(word, &group.things, true, |thing| vec![inline(kind, thing)])]
        }
        Form::Named { .. } => {
            let each = |thing: &&'t Thing| {
                let first = Cow::Borrowed(*thing);
                let rest = std::iter::repeat_with(|| Cow::Owned(Thing::default()));
                let keys = thing.heads.iter().map(|head| vec![word.clone(), text(head)]);
                keys.zip(std::iter::once(first).chain(rest))
                    .map(|(keys, of)| (pair(keys, inline(kind, thing)), of))
                    .collect::<Vec<_>>()
            };
            group.things.iter().flat_map(each).collect()
        }
        Form::Once | Form::Repeated | Form::Keyed => {
            let one = |thing: &&'t Thing| (pair(vec![word.clone()], inline(kind, thing)), Cow::Borrowed(*thing));
            group.things.iter().map(one).collect()
        }
    }
}

/// Several things as a list; the comments of each stay with it.
fn rows<'t>(word: String, things: &[&Thing], lines: bool, data: impl Fn(&&Thing) -> Vec<Data>) -> (Pair, Cow<'t, Thing>) {
    let mut items = Vec::new();
    for thing in things {
        remarks(&mut items, &thing.above);
        for (index, data) in data(thing).into_iter().enumerate() {
            items.push(Item::new(index == 0 && thing.blank, data));
        }
        if let Some(last) = items.last_mut() {
            last.trailing = thing.trailing.as_ref().map(|text| format!("#{text}"));
        }
    }
    let blank = items.first_mut().is_some_and(|first| std::mem::take(&mut first.blank));
    let pair = Pair { keys: vec![word], value: Data::Array(List { lines, items }), at: 0 };
    (pair, Cow::Owned(Thing { blank, ..Thing::default() }))
}

/// A line of a table, with its comments.
fn line(out: &mut Vec<Item<Statement>>, keys: &[String], thing: &Thing, value: Data) {
    remarks(out, &thing.above);
    out.push(Item::new(thing.blank, Statement::Pair(Pair { keys: keys.to_vec(), value, at: 0 })));
    behind(out, thing);
}

fn behind<T>(out: &mut [Item<T>], thing: &Thing) {
    if let (Some(text), Some(last)) = (&thing.trailing, out.last_mut()) {
        last.trailing = Some(format!("#{text}"));
    }
}

fn remarks<T>(out: &mut Vec<Item<T>>, remarks: &[Remark]) {
    out.extend(remarks.iter().map(|remark| Item::comment(remark.blank, format!("#{}", remark.text))));
}

/// A thing that is to stand on one line, the comments within it above it.
fn hoisted(thing: &Thing) -> Thing {
    let mut thing = thing.clone();
    thing.hoist();
    thing
}

fn list(items: impl Iterator<Item = Data>, lines: bool) -> Data {
    Data::Array(List { lines, items: items.map(|data| Item::new(false, data)).collect() })
}

/// A field's value, or its list.
fn values(thing: &Thing) -> Data {
    match thing.heads.as_slice() {
        [one] => Data::Scalar(one.clone()),
        heads => list(heads.iter().cloned().map(Data::Scalar), false),
    }
}

/// A main value, or a table of it and its options.
fn main(within: &Kind, thing: &Thing) -> Data {
    let Some(kind) = within.child(&thing.word).map(|child| child.kind) else { return values(thing) };
    if thing.inner.is_empty() { values(thing) } else { inline(kind, thing) }
}

/// A key and its value, or a table of it and its options.
fn keyed(kind: &'static Kind, thing: &Thing) -> (String, Data) {
    let value = thing.heads.get(1).cloned().map(Data::Scalar);
    match value {
        Some(value) if thing.inner.is_empty() => (thing.name(), value),
        _ => (thing.name(), inline(kind, thing)),
    }
}

/// A block as an inline table, without its name and its comments.
fn inline(kind: &'static Kind, thing: &Thing) -> Data {
    let mut items = Vec::new();
    let mut push = |keys: Vec<String>, value: Data| items.push(Item::new(false, Pair { keys, value, at: 0 }));
    match (kind.form, thing.heads.as_slice()) {
        (Form::Main { key, .. }, [value, ..]) => push(vec![key.to_owned()], Data::Scalar(value.clone())),
        (Form::Keyed, [_, value, ..]) => push(vec!["value".to_owned()], Data::Scalar(value.clone())),
        _ => {}
    }
    for group in groups(thing, kind) {
        let several = group.things.len() > 1;
        match group.kind.filter(|kind| kind.form == Form::Keyed) {
            Some(kind) => {
                for thing in &group.things {
                    let (key, value) = keyed(kind, thing);
                    push(vec![group.word.to_owned(), key], value);
                }
            }
            None => {
                for (pair, _) in written(&group, kind) {
                    push(pair.keys, if several { plain(pair.value) } else { pair.value });
                }
            }
        }
    }
    Data::Table(List { lines: false, items })
}

/// A list on one line.
fn plain(data: Data) -> Data {
    match data {
        Data::Array(List { items, .. }) => Data::Array(List { lines: false, items }),
        other => other,
    }
}

fn text(head: &Value) -> String {
    match head {
        Value::Text(text) => text.clone(),
        other => other.toml(),
    }
}
