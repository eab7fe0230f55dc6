//! The KDL that says what a file says.

use super::{Remark, Thing};
use crate::spelling::kdl::{Block, Item, Node, Part, What};
use crate::spelling::value::Value;
use crate::topology::shape::{Form, Kind};

/// Writes a whole file.
pub(super) fn file(root: &Thing) -> Block {
    inside(root.inner.iter(), &root.tail, Some(Kind::root()))
}

fn inside<'t>(things: impl Iterator<Item = &'t Thing>, tail: &[Remark], kind: Option<&'static Kind>) -> Block {
    let mut block = Block::default();
    for thing in things {
        let promoted = promoted(thing, kind);
        let thing = promoted.as_ref().unwrap_or(thing);
        remarks(&mut block, &thing.above);
        let mut node = node(thing, kind);
        let mut trailing: Vec<String> = thing.trailing.iter().map(|text| format!("//{text}")).collect();
        // What is said of a block stands where it begins.
        if let Some(Part::Block { block: Block { opening, one_line: false, .. }, .. }) = node.parts.last_mut() {
            opening.append(&mut trailing);
        }
        block.items.push(Item { blank: thing.blank, what: What::Node(node), trailing });
    }
    remarks(&mut block, tail);
    block
}

/// A block of one field, with the field's comment behind it: so the two stand on one line.
fn promoted(thing: &Thing, within: Option<&'static Kind>) -> Option<Thing> {
    let kind = within?.child(&thing.word)?.kind;
    let [one] = thing.inner.as_slice() else { return None };
    let alone = one.above.is_empty() && thing.trailing.is_none() && thing.tail.is_empty() && kind.field(&one.word).is_some();
    if has_lines(kind) || !alone || one.trailing.is_none() {
        return None;
    }
    let mut thing = thing.clone();
    thing.trailing = thing.inner.first_mut()?.trailing.take();
    Some(thing)
}

fn remarks(block: &mut Block, remarks: &[Remark]) {
    for Remark { blank, text } in remarks {
        let what = What::Comment(format!("//{text}"));
        block.items.push(Item { blank: *blank, what, trailing: Vec::new() });
    }
}

/// `within`: the kind of the block around it; none within something that is no kind.
fn node(thing: &Thing, within: Option<&'static Kind>) -> Node {
    let kind = within.and_then(|kind| kind.child(&thing.word)).map(|child| child.kind);
    let mut parts: Vec<Part> =
        thing.heads.iter().map(|value| Part::Entry { dashed: false, key: None, value: value.clone() }).collect();
    let is_property = |inner: &&Thing| {
        kind.is_some_and(|kind| !has_lines(kind) && kind.field(&inner.word).is_some())
            && inner.heads.len() == 1
            && !inner.has_own_comments()
    };
    parts.extend(thing.inner.iter().filter(is_property).filter_map(|inner| {
        let value = inner.heads.first()?.clone();
        Some(Part::Entry { dashed: false, key: Some(Value::Text(inner.word.clone())), value })
    }));
    let children: Vec<&Thing> = thing.inner.iter().filter(|inner| !is_property(inner)).collect();
    if !children.is_empty() || !thing.tail.is_empty() {
        let one_line = children.len() == 1 && !thing.has_inner_comments();
        let mut block = Block { one_line, ..inside(children.into_iter(), &thing.tail, kind) };
        if let Some(first) = block.items.first_mut() {
            first.blank = false;
        }
        parts.push(Part::Block { dashed: false, block });
    }
    Node { dashed: false, before: Vec::new(), name: Value::Text(thing.word.clone()), at: thing.at, parts }
}

/// Whether each field of a kind stands on a line of its own: so it is in what has much in it.
fn has_lines(kind: &Kind) -> bool {
    let named = matches!(kind.form, Form::Named { .. });
    (named && !matches!(kind.word, "interface" | "server" | "tunnel" | "route")) || kind.word == "policy"
}
