//! What a TOML file says, with its comments.

use std::collections::HashMap;

use super::{Remark, Thing, bare};
use crate::spelling::toml::{Data, Item, List, Pair, Statement, What};
use crate::spelling::value::Value;
use crate::topology::shape::{Form, Kind};

/// Reads a whole file; the thing has no word, and what is in the file is in it. `None` where a key is none of the language's.
pub(super) fn file(items: &[Item<Statement>]) -> Option<Thing> {
    let mut root = Thing::default();
    let mut here = Place { steps: Vec::new(), spot: Spot::Block(Kind::root()) };
    let mut said = Said::default();
    for item in items {
        match &item.what {
            What::Comment(text) => said.above(item.blank, text),
            What::Some(Statement::Header { array, keys }) => {
                let end = said.take_end(item.blank);
                at(&mut root, &here.steps)?.tail.extend(end);
                said.begin(item);
                let start = Place { steps: Vec::new(), spot: Spot::Block(Kind::root()) };
                here = walk(&mut root, start, keys, *array, &mut said)?;
                if let Some(text) = said.behind.take() {
                    let thing = at(&mut root, &here.steps)?;
                    // A table of names is nothing by itself.
                    if here.steps.is_empty() { said.above(false, &format!("#{text}")) } else { thing.say_behind(text) }
                }
                said.blank &= !said.above.is_empty() || !matches!(here.spot, Spot::Block(_));
            }
            What::Some(Statement::Pair(pair)) => {
                said.begin(item);
                put(&mut root, here.clone(), &pair.keys, &pair.value, &mut said, pair.at)?;
            }
        }
    }
    root.tail.append(&mut said.above);
    Some(root)
}

/// Comments on their way to what they belong to, and what was made on the way.
#[derive(Default)]
struct Said {
    /// Where headers and dotted keys have made what: in which thing, of which word and name.
    made: HashMap<(Vec<usize>, &'static str, Option<String>), usize>,
    above: Vec<Remark>,
    blank: bool,
    behind: Option<String>,
}

impl Said {
    fn above(&mut self, blank: bool, text: &str) {
        let mut blank = blank || std::mem::take(&mut self.blank);
        self.above.extend(bare(text).into_iter().map(|text| Remark { blank: std::mem::take(&mut blank), text }));
    }

    /// What stands before and behind an item of the file.
    fn begin<T>(&mut self, item: &Item<T>) {
        self.blank |= item.blank;
        self.behind = item.trailing.as_deref().map(|text| bare(text).concat());
    }

    /// What stands behind a list of several things belongs above the first of them.
    fn behind_above(&mut self) {
        if let Some(text) = self.behind.take() {
            self.above(false, &format!("#{text}"));
        }
    }

    /// Comments that follow what is above them without a blank line, but what is below them with one.
    fn take_end(&mut self, blank: bool) -> Vec<Remark> {
        if self.above.first().is_none_or(|first| first.blank) {
            return Vec::new();
        }
        let more = self.above.iter().position(|remark| remark.blank);
        let end = more.unwrap_or(if blank { self.above.len() } else { 0 });
        self.above.drain(..end).collect()
    }

    /// Gives everything to a thing.
    fn give(&mut self, thing: &mut Thing) {
        thing.above.append(&mut self.above);
        thing.blank = std::mem::take(&mut self.blank);
        if let Some(text) = self.behind.take() {
            thing.say_behind(text);
        }
    }

    /// Gives it to a thing that has been there before.
    fn add(&mut self, thing: &mut Thing) {
        for remark in self.above.drain(..) {
            thing.say_above(remark.text);
        }
        if let Some(text) = self.behind.take() {
            thing.say_behind(text);
        }
        self.blank = false;
    }
}

/// What the keys of a table are.
#[derive(Clone, Copy)]
enum Spot {
    /// Fields and kinds of a kind.
    Block(&'static Kind),
    /// Names of things of a kind.
    Names(&'static Kind),
    /// Keys of a keyed kind.
    Keys(&'static Kind),
}

/// A table: the thing in which it is, by its way from the root, and what its keys are.
#[derive(Clone)]
struct Place {
    steps: Vec<usize>,
    spot: Spot,
}

fn at<'t>(root: &'t mut Thing, steps: &[usize]) -> Option<&'t mut Thing> {
    steps.iter().try_fold(root, |thing, step| thing.inner.get_mut(*step))
}

/// Follows keys, and makes what they name where it is not there. The first thing made gets what is said above it.
fn walk(root: &mut Thing, mut place: Place, keys: &[String], array: bool, said: &mut Said) -> Option<Place> {
    for (index, key) in keys.iter().enumerate() {
        let thing = at(root, &place.steps)?;
        let (word, head, next) = match place.spot {
            Spot::Block(kind) => {
                let child = kind.child(key)?.kind;
                match child.form {
                    Form::Named { .. } => {
                        place.spot = Spot::Names(child);
                        continue;
                    }
                    Form::Keyed => {
                        place.spot = Spot::Keys(child);
                        continue;
                    }
                    Form::Once | Form::Main { .. } | Form::Repeated => (child.word, None, child),
                }
            }
            Spot::Names(kind) | Spot::Keys(kind) => (kind.word, Some(key), kind),
        };
        let again = array && index + 1 == keys.len();
        // What an inline table made nobody may open again: the others are in the index.
        let identity = (place.steps.clone(), word, head.cloned());
        let known = if again { None } else { said.made.get(&identity).copied() };
        place.steps.push(known.unwrap_or(thing.inner.len()));
        said.made.insert(identity, known.unwrap_or(thing.inner.len()));
        if known.is_none() {
            let heads = head.map(|head| Value::Text(head.clone())).into_iter().collect();
            let mut made = Thing { word: word.to_owned(), heads, ..Thing::default() };
            made.above.append(&mut said.above);
            made.blank = std::mem::take(&mut said.blank);
            thing.inner.push(made);
        }
        place.spot = Spot::Block(next);
    }
    Some(place)
}

/// Puts a value where its keys lead.
fn put(root: &mut Thing, place: Place, keys: &[String], value: &Data, said: &mut Said, from: usize) -> Option<()> {
    let (key, way) = keys.split_last()?;
    let behind = said.behind.take();
    let before = place.steps.len();
    let had = at(root, &place.steps)?.inner.len();
    let place = walk(root, place, way, false, said)?;
    // What this line alone makes has its comment, too.
    match place.steps.get(before) {
        Some(step) if *step == had => at(root, &place.steps[..=before])?.trailing = behind,
        _ => said.behind = behind,
    }
    let thing = at(root, &place.steps)?;
    match place.spot {
        Spot::Block(kind) => entry(thing, kind, key, value, said, from),
        Spot::Names(kind) => {
            let Data::Table(list) = value else { return None };
            named(thing, kind, key, list, said, from)
        }
        Spot::Keys(kind) => keyed(thing, kind, key, value, said, from),
    }
}

fn entry(thing: &mut Thing, kind: &'static Kind, key: &str, value: &Data, said: &mut Said, from: usize) -> Option<()> {
    let main = match kind.form {
        Form::Main { key, .. } => Some(key),
        Form::Keyed => Some("value"),
        Form::Once | Form::Repeated | Form::Named { .. } => None,
    };
    if main == Some(key) {
        let Data::Scalar(value) = value else { return None };
        thing.heads.push(value.clone());
        said.add(thing);
        return Some(());
    }
    let mut made = Thing { word: key.to_owned(), at: from, ..Thing::default() };
    // Included files are no kind and no field.
    let Some(child) = kind.child(key).map(|child| child.kind) else {
        said.give(&mut made);
        values(&mut made, value)?;
        thing.inner.push(made);
        return Some(());
    };
    match (child.form, value) {
        (Form::Main { .. }, Data::Scalar(value)) => {
            made.heads.push(value.clone());
            said.give(&mut made);
            thing.inner.push(made);
        }
        (Form::Main { .. } | Form::Once | Form::Repeated, Data::Table(list)) => {
            said.give(&mut made);
            table(&mut made, Spot::Block(child), list)?;
            thing.inner.push(made);
        }
        (Form::Repeated, Data::Array(list)) => {
            said.behind_above();
            each(list, said, |said, value| {
                let Data::Table(list) = value else { return None };
                let mut one = made.clone();
                said.give(&mut one);
                table(&mut one, Spot::Block(child), list)?;
                thing.inner.push(one);
                Some(())
            })?;
            finish(thing, said);
        }
        (Form::Named { several: true, .. }, Data::Scalar(_)) => {
            said.give(&mut made);
            values(&mut made, value)?;
            thing.inner.push(made);
        }
        (Form::Named { several: true, .. }, Data::Array(list)) => {
            let commented = list.items.iter().any(|item| item.trailing.is_some() || matches!(item.what, What::Comment(_)));
            if !commented {
                said.give(&mut made);
                values(&mut made, value)?;
                if !made.heads.is_empty() {
                    thing.inner.push(made);
                }
                return Some(());
            }
            said.behind_above();
            each(list, said, |said, value| {
                let Data::Scalar(value) = value else { return None };
                let mut one = Thing { heads: vec![value.clone()], ..made.clone() };
                said.give(&mut one);
                thing.inner.push(one);
                Some(())
            })?;
            finish(thing, said);
        }
        (Form::Named { .. }, Data::Table(list)) => table_in(thing, Spot::Names(child), list, said)?,
        (Form::Keyed, Data::Table(list)) => table_in(thing, Spot::Keys(child), list, said)?,
        _ => return None,
    }
    Some(())
}

/// What nobody took of the comments around a list.
fn finish(thing: &mut Thing, said: &mut Said) {
    thing.tail.append(&mut said.above);
    said.blank = false;
}

fn named(thing: &mut Thing, kind: &'static Kind, name: &str, list: &List<Pair>, said: &mut Said, from: usize) -> Option<()> {
    let heads = vec![Value::Text(name.to_owned())];
    let mut made = Thing { word: kind.word.to_owned(), heads, at: from, ..Thing::default() };
    said.give(&mut made);
    table(&mut made, Spot::Block(kind), list)?;
    thing.inner.push(made);
    Some(())
}

fn keyed(thing: &mut Thing, kind: &'static Kind, key: &str, value: &Data, said: &mut Said, from: usize) -> Option<()> {
    let heads = vec![Value::Text(key.to_owned())];
    let mut made = Thing { word: kind.word.to_owned(), heads, at: from, ..Thing::default() };
    said.give(&mut made);
    match value {
        Data::Scalar(value) => made.heads.push(value.clone()),
        Data::Table(list) => table(&mut made, Spot::Block(kind), list)?,
        Data::Array(_) => return None,
    }
    thing.inner.push(made);
    Some(())
}

/// Reads an inline table into the thing that it is.
fn table(thing: &mut Thing, spot: Spot, list: &List<Pair>) -> Option<()> {
    table_in(thing, spot, list, &mut Said::default())
}

fn table_in(thing: &mut Thing, spot: Spot, list: &List<Pair>, said: &mut Said) -> Option<()> {
    said.behind_above();
    let outer = std::mem::take(&mut said.made);
    for item in &list.items {
        match &item.what {
            What::Comment(text) => said.above(item.blank, text),
            What::Some(pair) => {
                said.begin(item);
                put(thing, Place { steps: Vec::new(), spot }, &pair.keys, &pair.value, said, pair.at)?;
            }
        }
    }
    said.made = outer;
    finish(thing, said);
    Some(())
}

fn each(list: &List<Data>, said: &mut Said, mut put: impl FnMut(&mut Said, &Data) -> Option<()>) -> Option<()> {
    for item in &list.items {
        match &item.what {
            What::Comment(text) => said.above(item.blank, text),
            What::Some(value) => {
                said.begin(item);
                put(said, value)?;
            }
        }
    }
    Some(())
}

/// Reads the value or values of a field; comments among them go above it.
fn values(thing: &mut Thing, value: &Data) -> Option<()> {
    let list = match value {
        Data::Scalar(value) => {
            thing.heads.push(value.clone());
            return Some(());
        }
        Data::Array(list) => list,
        Data::Table(_) => return None,
    };
    for item in &list.items {
        match &item.what {
            What::Comment(text) => bare(text).into_iter().for_each(|text| thing.say_above(text)),
            What::Some(Data::Scalar(value)) => thing.heads.push(value.clone()),
            What::Some(_) => return None,
        }
        for text in item.trailing.iter().flat_map(|text| bare(text)) {
            thing.say_above(text);
        }
    }
    Some(())
}
