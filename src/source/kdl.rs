//! KDL 2 text to nodes, with places and without what the language refuses: of the scanner's top-level nodes the plain ones
//! by our own reader, the others by the `kdl` crate.

mod plain;

use std::collections::BTreeMap;
use std::ops::Range;

use ::kdl::{KdlDiagnostic, KdlDocument, KdlEntry, KdlIdentifier, KdlNode, KdlValue};

use super::{Arg, FileId, Form, Node, Problem, Scalar, Span, scan};

/// Reads a whole file: what was understood of it, and every mistake.
pub(super) fn read(text: &str, file: FileId, problems: &mut Vec<Problem>) -> Vec<Node> {
    let mut scanned = scan::scan(text, file);
    problems.append(&mut scanned.problems);
    let reader = Reader { text, clean: &scanned.clean, file, repairs: &scanned.repairs };
    let mut nodes = Vec::new();
    for node in &scanned.nodes {
        match reader.plain(node) {
            Some(read) => nodes.extend(read),
            None => nodes.extend(reader.any(node, problems)),
        }
    }
    nodes
}

struct Reader<'t> {
    text: &'t str,
    clean: &'t str,
    file: FileId,
    repairs: &'t BTreeMap<usize, Scalar>,
}

impl Reader<'_> {
    /// Reads a top-level node without the crate, if it is plain.
    fn plain(&self, node: &Range<usize>) -> Option<Vec<Node>> {
        let repaired = self.repairs.range(node.clone()).next().is_some();
        if repaired { None } else { plain::read(self.clean, node.clone(), self.file) }
    }

    /// Reads a top-level node with the crate.
    fn any(&self, node: &Range<usize>, problems: &mut Vec<Problem>) -> Vec<Node> {
        match self.parse(node.clone()) {
            Ok(document) => self.nodes(&document, node.start, problems),
            Err(diagnostics) => {
                problems.extend(self.syntax(diagnostics, node));
                Vec::new()
            }
        }
    }

    fn parse(&self, piece: Range<usize>) -> Result<KdlDocument, Vec<KdlDiagnostic>> {
        KdlDocument::parse_v2(self.clean.get(piece).unwrap_or_default()).map_err(|error| error.diagnostics)
    }

    /// The crate's mistakes of one node, in our words. One mistake often gives several diagnostics, of which the narrowest tell.
    fn syntax(&self, diagnostics: Vec<KdlDiagnostic>, node: &Range<usize>) -> Vec<Problem> {
        let spans: Vec<_> = diagnostics.iter().map(|diagnostic| diagnostic.span).collect();
        let encloses = |outer: miette::SourceSpan, inner: miette::SourceSpan| {
            outer != inner && outer.offset() <= inner.offset() && outer.offset() + outer.len() >= inner.offset() + inner.len()
        };
        let mut problems: Vec<Problem> = Vec::new();
        for diagnostic in diagnostics {
            if diagnostic.span.offset() == 0 && spans.iter().any(|other| encloses(diagnostic.span, *other)) {
                continue;
            }
            let start = node.start + diagnostic.span.offset();
            let span = self.span(start..start + diagnostic.span.len().max(1));
            if problems
                .iter()
                .any(|problem| problem.labels.iter().any(|label| label.span.start <= span.start && span.end <= label.span.end))
            {
                continue;
            }
            let (message, help) = in_our_words(&diagnostic);
            let problem = Problem::error("syntax", message).at(span, "");
            problems.push(Problem { help, ..problem });
        }
        if problems.is_empty() {
            problems.push(Problem::error("syntax", "a node that is not KDL 2").at(self.span(node.start..node.start + 1), ""));
        }
        problems
    }

    fn nodes(&self, document: &KdlDocument, base: usize, problems: &mut Vec<Problem>) -> Vec<Node> {
        document.nodes().iter().map(|node| self.node(node, base, problems)).collect()
    }

    fn node(&self, node: &KdlNode, base: usize, problems: &mut Vec<Problem>) -> Node {
        if let Some(annotation) = node.ty() {
            problems.push(self.annotation(annotation, base));
        }
        let (key, span) = self.name(node.name(), base);
        let mut args = Vec::new();
        let mut children: Vec<Node> = Vec::new();
        for entry in node.entries() {
            let value = self.value(entry, base, problems);
            let Some(name) = entry.name() else {
                args.extend(value);
                continue;
            };
            let (key, span) = self.name(name, base);
            if let Some(first) = children.iter().find(|child| child.key == key) {
                problems.push(
                    Problem::error("duplicate-property", format!("`{key}` is given twice"))
                        .at(span, "again here")
                        .at(first.span, "first here")
                        .help("keep one of the two"),
                );
                continue;
            }
            children.push(Node { key, span, args: value.into_iter().collect(), children: Vec::new(), form: Form::KdlProperty });
        }
        if let Some(block) = node.children() {
            children.extend(block.nodes().iter().map(|child| self.node(child, base, problems)));
        }
        Node { key, span, args, children, form: Form::KdlNode }
    }

    fn name(&self, name: &KdlIdentifier, base: usize) -> (Box<str>, Span) {
        let start = base + name.span().offset();
        let key = match self.repairs.get(&start) {
            Some(_) => self.text.get(start..start + name.span().len()).unwrap_or(name.value()),
            None => name.value(),
        };
        (key.into(), self.span(start..start + name.span().len()))
    }

    /// A value and its token. The crate's span covers the key, too, and sometimes blanks before it: the token is its end.
    fn value(&self, entry: &KdlEntry, base: usize, problems: &mut Vec<Problem>) -> Option<Arg> {
        let end = base + entry.span().offset() + entry.span().len();
        let token = entry.format().map_or(0, |format| format.value_repr.len());
        let start = end.saturating_sub(token);
        let span = self.span(start..end);
        if let Some(annotation) = entry.ty() {
            problems.push(self.annotation(annotation, base));
        }
        if let Some(value) = self.repairs.get(&start) {
            return Some(Arg { value: value.clone(), span });
        }
        let value = match entry.value() {
            KdlValue::String(text) => Scalar::Text(text.as_str().into()),
            // What is beyond the range the scanner has told and replaced.
            KdlValue::Integer(number) => Scalar::Integer(i64::try_from(*number).ok()?),
            KdlValue::Bool(value) => Scalar::Boolean(*value),
            KdlValue::Float(_) => {
                let token = self.text.get(start..end).unwrap_or_default();
                problems.push(
                    Problem::error("float", format!("`{token}` is not a whole number"))
                        .at(span, "")
                        .help(format!("write a whole number, or quote it if it is a text: \"{token}\"")),
                );
                return None;
            }
            KdlValue::Null => {
                problems.push(
                    Problem::error("null", "`#null` is no value here")
                        .at(span, "")
                        .help("leave it out: what is not given has its default"),
                );
                return None;
            }
        };
        Some(Arg { value, span })
    }

    fn annotation(&self, annotation: &KdlIdentifier, base: usize) -> Problem {
        let start = base + annotation.span().offset();
        Problem::error("type-annotation", format!("a type annotation, `({})`; the language has none", annotation.value()))
            .at(self.span(start..start + annotation.span().len()), "")
            .help("remove it, with its parentheses")
    }

    /// A place within the file and between characters, wherever the crate says it is.
    fn span(&self, bytes: Range<usize>) -> Span {
        let start = self.text.floor_char_boundary(bytes.start);
        let end = self.text.ceil_char_boundary(bytes.end).max(start);
        Span::new(self.file, start..end)
    }
}

/// What the crate found, said as this language says it.
fn in_our_words(diagnostic: &KdlDiagnostic) -> (String, Option<String>) {
    let said = diagnostic.message.as_deref().unwrap_or("Unexpected text");
    let help = diagnostic.help.clone();
    if help.as_deref().is_some_and(|help| help.contains("value terminator")) {
        return ("two values without a blank between them".into(), Some("put a blank between them".into()));
    }
    match said {
        "Expected end of document" => ("this does not belong here".into(), help),
        "Expected quoted string" => (
            "a string with an escape that KDL does not know".into(),
            Some(r##"the escapes are \n \r \t \\ \" \b \f \s \u{…}; a raw string has none: #"…"#"##.into()),
        ),
        "Expected property value" => ("a property without a value that can be read".into(), help),
        "Found invalid node name" => ("this is no name of a node".into(), help),
        _ => {
            let mut message = said.trim_end_matches('.').to_owned();
            if let Some(first) = message.get_mut(..1) {
                first.make_ascii_lowercase();
            }
            (message, help)
        }
    }
}
