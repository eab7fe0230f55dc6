//! Variables: what they are, and the texts that take them in.

use std::collections::BTreeMap;

use crate::source::problem::nearest;
use crate::source::{Arg, Label, Loaded, Node, Problem, Scalar, Sources, Span};
use crate::topology;

const WORD: &str = "variable";

/// The values that were given, the strongest last.
pub(super) struct Given {
    pub values: Vec<(Box<str>, Span, Arg)>,
    pub environment: BTreeMap<Box<str>, Arg>,
}

/// A variable with its value; none where that is wrong, which has been said.
struct Variable {
    declared: Span,
    value: Option<Arg>,
}

type Known = BTreeMap<Box<str>, Variable>;

/// Puts the variables into all texts, and takes them out of the tree.
pub(super) fn put_in(loaded: &mut Loaded, given: Given) {
    let declared = super::take(loaded, WORD);
    // Without any, `${` is what it always was: a mistake that is found where the value is read.
    if declared.is_empty() && given.values.is_empty() {
        return;
    }
    loaded.problems.extend(topology::misshapen(&declared));
    let known = declare(loaded, declared, given);
    let mut nodes = std::mem::take(&mut loaded.tree.nodes);
    for node in &mut nodes {
        into_node(loaded, &known, node);
    }
    loaded.tree.nodes = nodes;
}

fn declare(loaded: &mut Loaded, nodes: Vec<Node>, given: Given) -> Known {
    let Given { values, environment } = given;
    let nodes = topology::unfold(nodes);
    let mut known = Known::new();
    for node in &nodes {
        let (Some(name), Some(label)) = (super::name(node), node.args.first()) else { continue };
        let place = loaded.sources.place(label.span);
        if let Some(first) = known.get(name) {
            let message = format!("variable {name} is given twice");
            loaded.problems.push(Problem::error("twice", message).at(place, "again here").at(first.declared, "given first here"));
            continue;
        }
        let said = values.iter().rev().find(|(given, ..)| **given == *name).map(|(_, _, arg)| arg);
        let env = field(node, "env").and_then(super::text).and_then(|env| environment.get(env));
        let value = if let Some(arg) = said.or(env).or(field(node, "default")) {
            checked(node, name, arg, &loaded.sources).map_err(|problem| loaded.problems.push(problem)).ok()
        } else {
            let message = format!("variable `{name}` has no default, and nobody gives it a value");
            let help = format!("give one: --var {name}=VALUE, or a file with it: --var-file FILE");
            loaded.problems.push(Problem::error("no-value", message).at(place, "declared here").help(help));
            None
        };
        known.insert(name.into(), Variable { declared: place, value });
    }
    for (name, span, _) in &values {
        if !known.contains_key(name) {
            let message = format!("no file declares a variable `{name}`");
            loaded.problems.push(near(Problem::error("unknown-variable", message).at(*span, ""), name, &known));
        }
    }
    known
}

fn field<'n>(node: &'n Node, word: &str) -> Option<&'n Arg> {
    node.children.iter().find(|child| &*child.key == word)?.args.first()
}

fn near(problem: Problem, name: &str, known: &Known) -> Problem {
    match nearest(name, known.keys().map(|name| &**name)) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => problem.help(format!("declare it: variable \"{name}\" default=\"VALUE\"")),
        None => {
            let names: Vec<String> = known.keys().map(|name| format!("`{name}`")).collect();
            problem.help(format!("the variables are: {}", names.join(", ")))
        }
    }
}

/// The value, in the type that the declaration asks for: what a command line or an environment says is a text so far.
fn checked(node: &Node, name: &str, arg: &Arg, sources: &Sources) -> Result<Arg, Problem> {
    let wrong = |expected: String| {
        let declared = sources.place(node.args.first().map_or(node.span, |label| label.span));
        let problem =
            Problem::error("variable-value", format!("variable `{name}` is {expected}, and this is {}", shown(&arg.value)));
        let here = sources.place(arg.span);
        let problem = problem.at(here, "");
        if here == declared { problem } else { problem.at(declared, "declared here") }
    };
    let by_default = field(node, "default").map_or("text", |default| type_of(&default.value));
    let wanted = field(node, "type").and_then(super::text).unwrap_or(by_default);
    let value = match (wanted, &arg.value) {
        ("integer", Scalar::Text(text)) => match text.parse() {
            Ok(number) => Scalar::Integer(number),
            Err(_) => return Err(wrong("an integer".to_owned())),
        },
        ("boolean", Scalar::Text(text)) => match text.parse() {
            Ok(truth) => Scalar::Boolean(truth),
            Err(_) => return Err(wrong("true or false".to_owned())),
        },
        ("integer", Scalar::Boolean(_)) => return Err(wrong("an integer".to_owned())),
        ("boolean", Scalar::Integer(_)) => return Err(wrong("true or false".to_owned())),
        ("text", Scalar::Integer(_) | Scalar::Boolean(_)) => return Err(wrong("a text".to_owned())),
        (_, value) => value.clone(),
    };
    let one_of = node.children.iter().find(|child| &*child.key == "one-of").map(|child| &child.args);
    if let Some(all) = one_of
        && all.iter().all(|one| one.value != value)
    {
        let all: Vec<String> = all.iter().map(|one| shown(&one.value)).collect();
        return Err(wrong(format!("one of {}", all.join(", "))));
    }
    Ok(Arg { value, span: arg.span })
}

fn type_of(value: &Scalar) -> &'static str {
    match value {
        Scalar::Text(_) => "text",
        Scalar::Integer(_) => "integer",
        Scalar::Boolean(_) => "boolean",
    }
}

fn plain(value: &Scalar) -> String {
    match value {
        Scalar::Text(text) => text.to_string(),
        Scalar::Integer(number) => number.to_string(),
        Scalar::Boolean(truth) => truth.to_string(),
    }
}

fn shown(value: &Scalar) -> String {
    if let Scalar::Text(text) = value { format!("\"{}\"", crate::source::printable(text)) } else { plain(value) }
}

fn into_node(loaded: &mut Loaded, known: &Known, node: &mut Node) {
    if node.key.contains("${") {
        let key = Arg { value: Scalar::Text(node.key.clone()), span: node.span };
        if let Some(Arg { value, span }) = into(loaded, known, &key) {
            (node.key, node.span) = (plain(&value).into(), span);
        }
    }
    for arg in &mut node.args {
        if let Some(found) = into(loaded, known, arg) {
            *arg = found;
        }
    }
    for child in &mut node.children {
        into_node(loaded, known, child);
    }
}

/// A text with its variables put in; `None` where it has none, or where they are wrong. A text that is one variable and nothing
/// else is of that variable's type.
fn into(loaded: &mut Loaded, known: &Known, arg: &Arg) -> Option<Arg> {
    let text = super::text(arg).filter(|text| text.contains("${"))?;
    let place = loaded.sources.place(arg.span);
    let mut labels: Vec<Label> = Vec::new();
    let mut parts: Vec<Scalar> = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        if !before.is_empty() {
            parts.push(Scalar::Text(before.into()));
        }
        let Some((name, behind)) = behind.split_once('}') else {
            let message = "`${` without its `}`";
            loaded.problems.push(Problem::error("unknown-variable", message).at(place, "").help("say ${NAME}"));
            return None;
        };
        let Some(variable) = known.get(name) else {
            let message = format!("no file declares a variable `{}`", crate::source::printable(name));
            loaded.problems.push(near(Problem::error("unknown-variable", message).at(place, ""), name, known));
            return None;
        };
        let value = variable.value.as_ref()?;
        labels.push(Label { span: loaded.sources.place(value.span), text: format!("`{name}` is {}", shown(&value.value)) });
        parts.push(value.value.clone());
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(Scalar::Text(rest.into()));
    }
    let value = match <[Scalar; 1]>::try_from(parts) {
        Ok([one]) => one,
        Err(parts) => Scalar::Text(parts.iter().map(plain).collect::<String>().into()),
    };
    labels.dedup_by(|one, other| one.span == other.span);
    let file = loaded.sources.used(arg.span.file, labels, false);
    Some(Arg { value, span: Span { file, ..arg.span } })
}
