//! What a KDL file says, with its comments.

use super::{Remark, Thing, bare};
use crate::spelling::kdl::{Block, Item, Node, Part, What, print};
use crate::spelling::value::Value;

/// Reads a whole file; the thing has no word, and what is in the file is in it.
pub(super) fn file(block: &Block) -> Thing {
    let mut root = Thing::default();
    inside(&mut root, block);
    root
}

fn inside(thing: &mut Thing, block: &Block) {
    let mut above: Vec<Remark> = Vec::new();
    for item in &block.items {
        let mut blank = item.blank;
        let mut say = |text: &str| {
            for text in bare(text) {
                above.push(Remark { blank: std::mem::take(&mut blank), text });
            }
        };
        match &item.what {
            What::Comment(text) => {
                say(text);
                item.trailing.iter().for_each(|text| say(text));
            }
            What::Node(node) if node.dashed => {
                let item = Item { blank: false, ..item.clone() };
                for text in left_out(&Block { items: vec![item], ..Block::default() }) {
                    say(&text);
                }
            }
            What::Node(node) => {
                let mut found = Thing { above: std::mem::take(&mut above), blank, ..Thing::default() };
                read(&mut found, node);
                say_behind(&mut found, &item.trailing);
                thing.inner.push(found);
            }
        }
    }
    thing.tail.append(&mut above);
}

fn read(thing: &mut Thing, node: &Node) {
    thing.word = word(&node.name);
    thing.at = node.at;
    for text in node.before.iter().flat_map(|text| bare(text)) {
        thing.say_above(text);
    }
    for part in &node.parts {
        match part {
            Part::Comment(text) => bare(text).into_iter().for_each(|text| thing.say_above(text)),
            Part::Entry { dashed: true, .. } | Part::Block { dashed: true, .. } => {
                let bare_node = Node { before: Vec::new(), parts: vec![part.clone()], ..node.clone() };
                let item = Item { blank: false, what: What::Node(bare_node), trailing: Vec::new() };
                let block = Block { items: vec![item], ..Block::default() };
                left_out(&block).iter().flat_map(|text| bare(text)).for_each(|text| thing.say_above(text));
            }
            Part::Entry { dashed: false, key: None, value } => thing.heads.push(value.clone()),
            Part::Entry { dashed: false, key: Some(key), value } => {
                thing.inner.push(Thing { word: word(key), heads: vec![value.clone()], at: node.at, ..Thing::default() });
            }
            Part::Block { dashed: false, block } => {
                say_behind(thing, &block.opening);
                inside(thing, block);
            }
        }
    }
}

fn say_behind(thing: &mut Thing, comments: &[String]) {
    let texts: Vec<String> = comments.iter().flat_map(|text| bare(text)).collect();
    if !texts.is_empty() {
        thing.say_behind(texts.concat());
    }
}

/// Text that is left out, as comments.
fn left_out(block: &Block) -> Vec<String> {
    print(block).lines().map(|line| format!("// {line}")).collect()
}

fn word(name: &Value) -> String {
    match name {
        Value::Text(text) => text.clone(),
        other => other.kdl(),
    }
}
