//! TOML as KDL would have it: `[service.shop]` becomes what `service "shop"` is. What is misshapen stays as it was written, and
//! whoever decodes it says what is wrong.

use super::shape::{Form, Kind};
use crate::source::{Arg, Form as Written, Node, Scalar};

/// The nodes of a file's top level.
pub fn unfold(nodes: Vec<Node>) -> Vec<Node> {
    children(Kind::root(), nodes)
}

/// The nodes in a block of `kind`.
fn children(kind: &Kind, nodes: Vec<Node>) -> Vec<Node> {
    let unfold = |node: Node| match kind.child(&node.key) {
        Some(child) => one(child.kind, node),
        None => vec![node],
    };
    nodes.into_iter().flat_map(unfold).collect()
}

fn one(kind: &Kind, mut node: Node) -> Vec<Node> {
    if !node.form.is_toml() || node.form == Written::Unfolded {
        return several(kind, node);
    }
    let key = node.key.clone();
    let plain = |node: Node| Node { form: Written::Unfolded, children: children(kind, node.children), ..node };
    match (kind.form, node.form) {
        (Form::Once, Written::TomlTable)
        | (Form::Repeated, Written::TomlTable | Written::TomlTableOfArray)
        | (Form::Main { .. }, Written::TomlValue) => vec![plain(node)],
        (Form::Named { .. }, Written::TomlTable) if node.children.iter().all(|child| child.form == Written::TomlTable) => {
            let named = |child: Node| {
                let label = Arg { value: Scalar::Text(child.key.clone()), span: child.span };
                plain(Node { key: key.clone(), args: vec![label], ..child })
            };
            node.children.into_iter().map(named).collect()
        }
        (Form::Named { several: true, .. }, Written::TomlValue | Written::TomlArray) => {
            let span = node.span;
            let named =
                |arg: Arg| Node { key: key.clone(), span, args: vec![arg], children: Vec::new(), form: Written::Unfolded };
            node.args.into_iter().map(named).collect()
        }
        (Form::Main { key: main, .. }, Written::TomlTable) => {
            let value = node.children.iter().position(|child| *child.key == *main && child.form == Written::TomlValue);
            if let Some(at) = value {
                node.args = node.children.remove(at).args;
            }
            vec![plain(node)]
        }
        (Form::Keyed, Written::TomlTable) if node.children.iter().all(|child| is_keyed(kind, child)) => {
            let keyed = |mut child: Node| {
                let mut args = vec![Arg { value: Scalar::Text(child.key.clone()), span: child.span }];
                match child.children.iter().position(|field| &*field.key == "value") {
                    Some(at) => args.append(&mut child.children.remove(at).args),
                    None => args.append(&mut child.args),
                }
                plain(Node { key: key.clone(), args, ..child })
            };
            node.children.into_iter().map(keyed).collect()
        }
        _ => vec![node],
    }
}

/// A key with its value or its options. One without a value is named all the same: whoever decodes it says what it lacks.
fn is_keyed(kind: &Kind, node: &Node) -> bool {
    let value = |child: &Node| &*child.key == "value" && child.form == Written::TomlValue;
    match node.form {
        Written::TomlValue => true,
        Written::TomlTable => node.children.iter().all(|child| value(child) || kind.field(&child.key).is_some()),
        _ => false,
    }
}

/// `server "web2" "web3"` is two.
fn several(kind: &Kind, mut node: Node) -> Vec<Node> {
    node.children = children(kind, node.children);
    if !matches!(kind.form, Form::Named { several: true, .. }) || node.args.len() < 2 || !node.children.is_empty() {
        return vec![node];
    }
    let Node { key, span, args, form, .. } = node;
    let named = |arg| Node { key: key.clone(), span, args: vec![arg], children: Vec::new(), form };
    args.into_iter().map(named).collect()
}
