//! A plain topology as one file again: what the composed files, overlays, variables and defaults come to.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use super::compose;
use crate::source::{Arg, FileId, Loaded, Node, Problem, Scalar, Sources, Span, Spelling};
use crate::spelling;
use crate::topology::shape::{Kind, Type};
use crate::topology::unfold;

/// The text in a spelling; or what could not be written, with the reason, said of the files that were loaded.
///
/// Comments are not kept, since what they stood beside may be elsewhere now; ranges are, and so is the order of blocks. Paths in it
/// are relative to the root file's folder: there it is to be read.
pub fn expand(loaded: Loaded, to: Spelling) -> Result<String, Box<Loaded>> {
    expand_without(loaded, to, &[])
}

/// The same without the blocks of these kinds: `lint`.
pub fn expand_without(mut loaded: Loaded, to: Spelling, kinds: &[&str]) -> Result<String, Box<Loaded>> {
    compose(&mut loaded);
    let root = Kind::root();
    let mut nodes = unfold(std::mem::take(&mut loaded.tree.nodes));
    let mut unreachable = Vec::new();
    for node in nodes.iter_mut().filter(|node| &*node.key == "expect") {
        let fields = node.children.iter_mut().filter(|field| &*field.key == "live");
        for arg in fields.flat_map(|field| &mut field.args) {
            unreachable.extend(from_root(arg, &loaded.sources).err());
        }
    }
    if !unreachable.is_empty() {
        loaded.problems.extend(unreachable);
        return Err(Box::new(loaded));
    }
    let mut written = Written::default();
    for node in nodes.iter().filter(|node| &*node.key != "include" && !kinds.contains(&&*node.key)) {
        block(&mut written, root.child(&node.key).map(|child| child.kind), node);
    }
    let Written { text, places } = written;
    let path = Path::new("expanded.kdl");
    let made = match to {
        Spelling::Kdl => spelling::format(path, Spelling::Kdl, &text),
        Spelling::Toml => spelling::convert::convert(path, Spelling::Kdl, &text, Spelling::Toml),
    };
    made.map_err(|mistaken| {
        // Nobody has the text that was made: the mistake is one of what it was made of.
        let place = |span: Span| {
            let before = places.partition_point(|(at, _)| *at <= span.start as usize);
            places.get(before.saturating_sub(1)).map_or(span, |(_, place)| *place)
        };
        let mut problems = mistaken.problems;
        problems.iter_mut().flat_map(|problem| &mut problem.labels).for_each(|label| label.span = place(label.span));
        for problem in &mut problems {
            problem.edit = None;
        }
        loaded.sources.settle(&mut problems);
        loaded.problems.extend(problems);
        Box::new(loaded)
    })
}

/// The text so far.
#[derive(Default)]
struct Written {
    text: String,
    /// Where each word begins, in bytes, and where it stands in the files.
    places: Vec<(usize, Span)>,
}

/// Makes a path that is relative to the file that says it one that is relative to the root file.
fn from_root(arg: &mut Arg, sources: &Sources) -> Result<(), Problem> {
    let folder = |file: FileId| sources.file(file).path.parent().unwrap_or(Path::new("")).to_owned();
    let Scalar::Text(text) = &arg.value else { return Ok(()) };
    let (root, own) = (folder(FileId(0)), folder(arg.span.file));
    if Path::new(&**text).is_absolute() || root == own {
        return Ok(());
    }
    let there = relative(&own.join(&**text), &root).and_then(|path| path.to_str().map(Into::into)).ok_or_else(|| {
        let message = "this path is relative to its own file, and nobody knows the way there from the root file's folder";
        let problem = Problem::error("file", message).at(sources.place(arg.span), "");
        problem.help("name the topology and its overlays both from one folder, or both by their whole paths")
    })?;
    arg.value = Scalar::Text(there);
    Ok(())
}

/// The way to a path from a folder, by their words alone; `None` where these do not say it.
fn relative(path: &Path, folder: &Path) -> Option<PathBuf> {
    if path.is_absolute() != folder.is_absolute() {
        return None;
    }
    let words = |path: &Path| -> Vec<PathBuf> {
        let mut words: Vec<PathBuf> = Vec::new();
        for part in path.components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir if words.last().is_some_and(|last| last.as_os_str() != ".." && !last.is_absolute()) => {
                    words.pop();
                }
                part => words.push(part.as_os_str().into()),
            }
        }
        words
    };
    let (path, folder) = (words(path), words(folder));
    let common = path.iter().zip(&folder).take_while(|(one, other)| one == other).count();
    let (down, up) = (path.get(common..)?, folder.get(common..)?);
    if up.iter().any(|word| word.as_os_str() == "..") {
        return None;
    }
    Some(up.iter().map(|_| PathBuf::from("..")).chain(down.iter().cloned()).collect())
}

/// A node that is no field: its fields of one value as properties, but for names of other things; everything else in braces.
fn block(written: &mut Written, kind: Option<&'static Kind>, node: &Node) {
    word(written, node);
    let is_property = |child: &&Node| {
        let field = kind.and_then(|kind| kind.field(&child.key));
        child.children.is_empty()
            && child.args.len() == 1
            && field.is_some_and(|field| !field.list || !matches!(field.value, Type::Reference(_)))
    };
    for child in node.children.iter().filter(is_property) {
        written.text.push(' ');
        written.places.push((written.text.len(), child.span));
        let _ = write!(written.text, "{}=", child.key);
        child.args.iter().for_each(|arg| scalar(&mut written.text, &arg.value));
    }
    let inner: Vec<&Node> = node.children.iter().filter(|child| !is_property(child)).collect();
    if !inner.is_empty() {
        written.text.push_str(" {\n");
        for child in inner {
            block(written, kind.and_then(|kind| kind.child(&child.key)).map(|child| child.kind), child);
        }
        written.text.push('}');
    }
    written.text.push('\n');
}

fn word(written: &mut Written, node: &Node) {
    let place = node.args.first().map_or(node.span, |name| name.span);
    written.places.push((written.text.len(), place));
    written.text.push_str(&node.key);
    for arg in &node.args {
        written.text.push(' ');
        scalar(&mut written.text, &arg.value);
    }
}

fn scalar(text: &mut String, value: &Scalar) {
    match value {
        Scalar::Text(said) => {
            text.push('"');
            for char in said.chars() {
                match char {
                    '"' | '\\' => text.extend(['\\', char]),
                    '\n' => text.push_str("\\n"),
                    '\t' => text.push_str("\\t"),
                    char if char.is_control() => _ = write!(text, "\\u{{{:x}}}", u32::from(char)),
                    char => text.push(char),
                }
            }
            text.push('"');
        }
        Scalar::Integer(number) => _ = write!(text, "{number}"),
        Scalar::Boolean(truth) => text.push_str(if *truth { "#true" } else { "#false" }),
    }
}

#[cfg(test)]
mod tests {
    use super::expand_without;
    use crate::source::Spelling;
    use crate::source::memory::load_text;

    #[test]
    fn blocks_of_a_kind_may_be_left_out() {
        let text =
            "topology \"t\"\nlint \"unused-lint\" level=\"deny\" reason=\"no stale lines\"\nvip \"v\" address=\"10.0.0.100\"\n";
        let expanded = |kinds: &[&str]| expand_without(load_text("t.kdl", text), Spelling::Kdl, kinds).expect("a text");
        assert!(expanded(&[]).contains("lint"));
        let without = expanded(&["lint"]);
        assert!(!without.contains("lint") && without.contains("10.0.0.100"), "{without}");
    }
}
