//! Variables: what they are, and the texts that take them in.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::source::problem::nearest;
use crate::source::{Arg, Label, Loaded, Node, Problem, Scalar, Sources, Span, printable};
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
    /// Whether the value is said elsewhere than in the declaration.
    is_given: bool,
}

type Known = BTreeMap<Box<str>, Variable>;

/// Puts the variables into all texts, and takes them out of the tree.
pub(super) fn put_in(loaded: &mut Loaded, given: Given) {
    let declared = super::take(loaded, WORD);
    // Without any, `${` is what it always was: a mistake that is found where the value is read.
    if declared.is_empty() && given.values.is_empty() {
        return;
    }
    let mut misshapen = topology::misshapen(&declared);
    loaded.sources.settle(&mut misshapen);
    super::say(loaded, misshapen);
    let known = declare(loaded, declared, given);
    let mut nodes = std::mem::take(&mut loaded.tree.nodes);
    let mut putting = Putting { loaded, known: &known, left: ALL };
    for node in &mut nodes {
        putting.fill(node);
    }
    loaded.tree.nodes = nodes;
}

/// The most bytes of one text with its variables put in. Nothing of the language is so long.
const ONE: usize = 64 * 1024;

/// The most bytes of all such texts together: as many as one file may have.
const ALL: usize = 32 * 1024 * 1024;

/// So many variables are listed at most.
const FEW: usize = 16;

/// The most characters of a value that a message repeats.
const SHOWN: usize = 80;

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
        let mut is_said = true;
        for arg in own_texts(node).filter(|arg| super::text(arg).is_some_and(|text| text.contains("${"))) {
            loaded.problems.push(takes_none(name, arg, place, &loaded.sources));
            is_said = false;
        }
        if !is_said {
            known.insert(name.into(), Variable { declared: place, value: None, is_given: false });
            continue;
        }
        let said = values.iter().rev().find(|(given, ..)| **given == *name).map(|(_, _, arg)| arg);
        let env = field(node, "env").and_then(super::text).and_then(|env| environment.get(env));
        let default = field(node, "default");
        let mut check = |arg| checked(node, name, arg, &loaded.sources).map_err(|problem| loaded.problems.push(problem)).ok();
        // The default must hold also where today somebody gives another value.
        let default = default.map(&mut check);
        let value = if let Some(arg) = said.or(env) {
            check(arg)
        } else if let Some(default) = default {
            default
        } else {
            let message = format!("variable `{name}` has no default, and nobody gives it a value");
            let help = format!("give one: --var {name}=VALUE, or a file with it: --var-file FILE");
            loaded.problems.push(Problem::error("no-value", message).at(place, "declared here").help(help));
            None
        };
        known.insert(name.into(), Variable { declared: place, value, is_given: said.or(env).is_some() });
    }
    for (name, span, _) in &values {
        if !known.contains_key(name) {
            let message = format!("no file declares a variable `{name}`");
            let problem = Problem::error("unknown-variable", message);
            // What a command line says is in no file: the place of the one that was probably meant is.
            let meant = nearest(name, known.keys().map(|name| &**name)).and_then(|near| known.get(near));
            let problem = match meant {
                Some(meant) if !loaded.sources.is_on_disk(span.file) => {
                    problem.at(meant.declared, "one that is declared").at(*span, "given here")
                }
                _ => problem.at(*span, ""),
            };
            loaded.problems.push(near(problem, name, &known));
        }
    }
    known
}

/// All values of a declaration, its name among them.
fn own_texts(node: &Node) -> impl Iterator<Item = &Arg> {
    node.args.iter().chain(node.children.iter().flat_map(|child| &child.args))
}

fn takes_none(name: &str, arg: &Arg, declared: Span, sources: &Sources) -> Problem {
    let message = format!("variable `{}` takes in a variable, and no variable may", printable(name));
    let at = sources.place(arg.span);
    let problem = Problem::error("variable-value", message);
    let problem = match at == declared {
        true => problem.at(at, ""),
        false if sources.is_on_disk(at.file) => problem.at(at, "").at(declared, "declared here"),
        false => problem.at(declared, "declared here").at(at, "given here"),
    };
    problem.help("say the whole value here, or put both variables into the text that takes this one in")
}

fn field<'n>(node: &'n Node, word: &str) -> Option<&'n Arg> {
    node.children.iter().find(|child| &*child.key == word)?.args.first()
}

fn near(problem: Problem, name: &str, known: &Known) -> Problem {
    match nearest(name, known.keys().map(|name| &**name)) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => problem.help(format!("declare it: variable \"{name}\" default=\"VALUE\"")),
        None => {
            let names: Vec<String> = known.keys().take(FEW).map(|name| format!("`{name}`")).collect();
            let more = if known.len() > FEW { " …" } else { "" };
            problem.help(format!("the variables are: {}{more}", names.join(", ")))
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
        // Who reads the message in a list of files must find one.
        match here == declared {
            true => problem.at(here, ""),
            false if sources.is_on_disk(here.file) => problem.at(here, "").at(declared, "declared here"),
            false => problem.at(declared, "declared here").at(here, "given here"),
        }
    };
    if super::text(arg).is_some_and(|text| text.contains("${")) {
        let declared = sources.place(node.args.first().map_or(node.span, |label| label.span));
        return Err(takes_none(name, arg, declared, sources));
    }
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
    let Scalar::Text(text) = value else { return plain(value) };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("\"{}…\"", printable(text.get(..end).unwrap_or_default())),
        None => format!("\"{}\"", printable(text)),
    }
}

/// How a text is written out, in bytes.
fn length(value: &Scalar) -> usize {
    if let Scalar::Text(text) = value { text.len() } else { plain(value).len() }
}

/// Putting variables into a tree.
struct Putting<'l> {
    loaded: &'l mut Loaded,
    known: &'l Known,
    /// How many bytes all texts may still become.
    left: usize,
}

impl Putting<'_> {
    fn fill(&mut self, node: &mut Node) {
        if node.key.contains("${") {
            let key = Arg { value: Scalar::Text(node.key.clone()), span: node.span };
            if let Some(Arg { value, span }) = self.put_into(&key) {
                (node.key, node.span) = (plain(&value).into(), span);
            }
        }
        for arg in &mut node.args {
            if let Some(found) = self.put_into(arg) {
                *arg = found;
            }
        }
        for child in &mut node.children {
            self.fill(child);
        }
    }

    fn refuse(&mut self, problem: Problem) -> Option<Arg> {
        self.loaded.problems.push(problem);
        None
    }

    /// A text with its variables put in; `None` where it has none, or where they are wrong. A text that is one variable and
    /// nothing else is of that variable's type.
    fn put_into(&mut self, arg: &Arg) -> Option<Arg> {
        let text = super::text(arg).filter(|text| text.contains("${"))?;
        let place = self.loaded.sources.place(arg.span);
        let mut labels: Vec<Label> = Vec::new();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut parts: Vec<Cow<'_, Scalar>> = Vec::new();
        let mut size = 0usize;
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${") {
            if !before.is_empty() {
                parts.push(Cow::Owned(Scalar::Text(before.into())));
            }
            let Some((name, behind)) = behind.split_once('}') else {
                let problem = Problem::error("unknown-variable", "`${` without its `}`");
                return self.refuse(problem.at(place, "").help("say ${NAME}"));
            };
            let Some(variable) = self.known.get(name) else {
                let message = format!("no file declares a variable `{}`", printable(name));
                return self.refuse(near(Problem::error("unknown-variable", message).at(place, ""), name, self.known));
            };
            let value = variable.value.as_ref()?;
            if seen.insert(name) {
                labels.push(self.label(name, value));
            }
            size = size.saturating_add(before.len()).saturating_add(length(&value.value));
            if size > ONE.min(self.left) {
                return self.too_large(place);
            }
            parts.push(Cow::Borrowed(&value.value));
            rest = behind;
        }
        size = size.saturating_add(rest.len());
        if size > ONE.min(self.left) {
            return self.too_large(place);
        }
        self.left -= size;
        if !rest.is_empty() {
            parts.push(Cow::Owned(Scalar::Text(rest.into())));
        }
        let value = match parts.as_slice() {
            [one] => {
                // Its type is the variable's, and only the declaration says which.
                let given = seen.first().and_then(|name| self.known.get(*name)).filter(|variable| variable.is_given);
                labels.extend(given.map(|variable| Label { span: variable.declared, text: "declared here".to_owned() }));
                one.as_ref().clone()
            }
            parts => Scalar::Text(parts.iter().map(|part| plain(part)).collect::<String>().into()),
        };
        let file = self.loaded.sources.used(arg.span.file, labels, false);
        Some(Arg { value, span: Span { file, ..arg.span } })
    }

    fn label(&self, name: &str, value: &Arg) -> Label {
        Label { span: self.loaded.sources.place(value.span), text: format!("`{name}` is {}", shown(&value.value)) }
    }

    /// Says so of the first text for which there is no room, and of each that is too long itself.
    fn too_large(&mut self, place: Span) -> Option<Arg> {
        let what = if self.left < ONE {
            let first = self.left > 0;
            self.left = 0;
            if !first {
                return None;
            }
            format!("up to here all texts with their variables put in have more than {ALL} bytes")
        } else {
            format!("with its variables put in this text has more than {ONE} bytes")
        };
        self.refuse(Problem::error("too-large", what).at(place, "").help("use shorter values"))
    }
}
