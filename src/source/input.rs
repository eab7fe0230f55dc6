//! What is given beside a topology's files: overlays, and values of variables. Read here, put in where it is composed.

use std::path::Path;

use super::include::{nodes, root};
use super::{Arg, FileId, Files, Form, Inputs, Loaded, Node, Problem, Scalar, Span, printable};

/// Reads what [`Files::inputs`] asks for. What the command line says is a file too, so that a message can point at it.
pub(super) fn read(files: &dyn Files, loaded: &mut Loaded) {
    let Inputs { overlays, variable_files, variables } = files.inputs();
    for path in &overlays {
        let before = loaded.problems.len();
        if let Some(nodes) = one(path, files, loaded) {
            if nodes.is_empty() && loaded.problems.len() == before {
                let id = u32::try_from(loaded.sources.files().len()).map_or(FileId(0), |count| FileId(count.saturating_sub(1)));
                let problem = Problem::error("overlay", "this overlay says nothing").at(Span::new(id, 0..0), "");
                loaded.problems.push(problem.help("an overlay says `set`, `add` or `remove`"));
            }
            loaded.given.overlays.push(nodes);
        }
    }
    for path in &variable_files {
        for node in one(path, files, loaded).unwrap_or_default() {
            value_of(node, loaded);
        }
    }
    for text in variables {
        of_command_line(&text, loaded);
    }
    environment(files, loaded);
}

fn one(path: &Path, files: &dyn Files, loaded: &mut Loaded) -> Option<Vec<Node>> {
    match root(path, files) {
        Ok((spelling, file)) => {
            let id = loaded.sources.add(path.to_owned(), file.text);
            Some(nodes(spelling, &loaded.sources.file(id).text, id, &mut loaded.problems))
        }
        Err(problem) => {
            loaded.problems.push(problem);
            None
        }
    }
}

/// `dc "fra1"`, in TOML `dc = "fra1"`.
fn value_of(node: Node, loaded: &mut Loaded) {
    let is_plain = node.children.is_empty() && matches!(node.form, Form::KdlNode | Form::TomlValue);
    match <[Arg; 1]>::try_from(node.args) {
        Ok([arg]) if is_plain => loaded.given.values.push((node.key, node.span, arg)),
        _ => loaded.problems.push(
            Problem::error(
                "variable-value",
                format!("a variable has one value, and `{}` is something else", printable(&node.key)),
            )
            .at(node.span, "")
            .help("write dc \"fra1\", in TOML dc = \"fra1\""),
        ),
    }
}

/// A text that is a file of its own, under the words that gave it.
fn source(name: &str, text: &str, loaded: &mut Loaded) -> Arg {
    let id = loaded.sources.add_given(name, text.to_owned());
    Arg { value: Scalar::Text(text.into()), span: Span::new(id, 0..text.len()) }
}

fn of_command_line(text: &str, loaded: &mut Loaded) {
    let Some((name, value)) = text.split_once('=') else {
        let arg = source("--var", text, loaded);
        let problem = Problem::error("variable-value", "`--var` takes a name and a value").at(arg.span, "");
        loaded.problems.push(problem.help("say it as NAME=VALUE: --var dc=fra1"));
        return;
    };
    let arg = source(&format!("--var {name}"), value, loaded);
    loaded.given.values.push((name.into(), arg.span, arg));
}

/// Asks for the variables of the environment that the files name, and for no others.
fn environment(files: &dyn Files, loaded: &mut Loaded) {
    let mut names: Vec<Box<str>> = Vec::new();
    let overlays = loaded.given.overlays.iter().flatten().flat_map(|node| &node.children);
    for node in loaded.tree.nodes.iter().chain(overlays).filter(|node| &*node.key == "variable") {
        let own = node.children.iter().chain(node.children.iter().flat_map(|child| &child.children));
        for env in own.filter(|child| &*child.key == "env") {
            names.extend(
                env.args.first().and_then(|arg| if let Scalar::Text(name) = &arg.value { Some(name.clone()) } else { None }),
            );
        }
    }
    for name in names {
        if let (false, Some(value)) = (loaded.given.environment.contains_key(&name), files.environment(&name)) {
            let arg = source(&format!("environment variable {name}"), &value, loaded);
            loaded.given.environment.insert(name, arg);
        }
    }
}
