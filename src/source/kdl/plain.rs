//! Plain KDL 2 straight to nodes, without the `kdl` crate.
//!
//! The crate keeps every blank, so that a text could be written back as it was. That takes it some 250,000 instructions for
//! a service of eleven lines; this reader takes a fiftieth. It knows what nearly every topology is made of:
//! names and values that are words or quoted ASCII without a backslash, whole decimal numbers, `#true` and `#false`,
//! properties, blocks, and nodes that end with a line break, a `;` or their block. Comments are blank when they come here.
//!
//! Everything else it declines, and the crate reads the whole top-level node instead: escapes, raw strings, strings of
//! several lines, `/-`, type annotations, lines that continue, other numbers and keywords, a property given twice, text
//! beyond ASCII, and every mistake. So it never reports a problem, and the crate stays the authority on what KDL is.
//! `tests` hold that it reads nothing otherwise than the crate does.

#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::source::{Arg, FileId, Form, Node, Scalar, Span};

/// Reads a piece of `text`, with its places in `text`. None if it is not plain. Its blocks are nested as deep as the stack
/// bears: the scanner caps that.
pub(super) fn read(text: &str, piece: Range<usize>, file: FileId) -> Option<Vec<Node>> {
    let mut plain = Plain { text: text.get(..piece.end)?, at: piece.start, file };
    let nodes = plain.nodes()?;
    plain.next().is_none().then_some(nodes)
}

struct Plain<'t> {
    /// What ends with the piece.
    text: &'t str,
    at: usize,
    file: FileId,
}

impl Plain<'_> {
    /// Nodes up to a `}` or the end.
    fn nodes(&mut self) -> Option<Vec<Node>> {
        let mut nodes = Vec::new();
        loop {
            while self.blanks() || self.line_break() {}
            match self.next() {
                None | Some(b'}') => return Some(nodes),
                Some(_) => push(&mut nodes, self.node()?),
            }
        }
    }

    /// A node and what ends it, a `}` apart.
    fn node(&mut self) -> Option<Node> {
        let start = self.at;
        let Scalar::Text(key) = self.value()? else { return None };
        let mut node = Node { key, span: self.span(start), args: Vec::new(), children: Vec::new(), form: Form::KdlNode };
        let mut closed = false;
        loop {
            let apart = self.blanks();
            match self.next() {
                None | Some(b'}') => return Some(node),
                Some(b';') => {
                    self.at += 1;
                    return Some(node);
                }
                _ if self.line_break() => return Some(node),
                Some(b'{') if !closed => {
                    self.at += 1;
                    let children = self.nodes()?;
                    (self.next() == Some(b'}')).then(|| self.at += 1)?;
                    closed = true;
                    if node.children.is_empty() {
                        node.children = children;
                    } else {
                        node.children.extend(children);
                    }
                }
                Some(_) if apart && !closed => self.entry(&mut node)?,
                Some(_) => return None,
            }
        }
    }

    /// An argument or a property.
    fn entry(&mut self, node: &mut Node) -> Option<()> {
        let start = self.at;
        let value = self.value()?;
        let (span, end) = (self.span(start), self.at);
        self.blanks();
        if self.next() != Some(b'=') {
            self.at = end;
            push(&mut node.args, Arg { value, span });
            return Some(());
        }
        let Scalar::Text(key) = value else { return None };
        if node.children.iter().any(|property| property.key == key) {
            return None;
        }
        self.at += 1;
        self.blanks();
        let start = self.at;
        let arg = Arg { value: self.value()?, span: self.span(start) };
        let property = Node { key, span, args: vec![arg], children: Vec::new(), form: Form::KdlProperty };
        push(&mut node.children, property);
        Some(())
    }

    /// A string, a number or a truth. What may stand behind it is for the caller to see.
    fn value(&mut self) -> Option<Scalar> {
        let rest = self.text.get(self.at..)?;
        if let Some(quoted) = rest.strip_prefix('"') {
            let length = quoted.bytes().position(|byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\'))?;
            let (text, behind) = quoted.split_at_checked(length)?;
            behind.starts_with('"').then(|| self.at += length + 2)?;
            return Some(Scalar::Text(text.into()));
        }
        for (word, truth) in [("#true", true), ("#false", false)] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Some(Scalar::Boolean(truth));
            }
        }
        let length = rest.bytes().position(|byte| !of_a_word(byte)).unwrap_or(rest.len());
        let word = rest.get(..length)?;
        self.at += length;
        let digits = word.strip_prefix('-').unwrap_or(word);
        match word.as_bytes().first()? {
            b'-' | b'0'..=b'9' if digits.bytes().all(|byte| byte.is_ascii_digit()) => word.parse().ok().map(Scalar::Integer),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' if !matches!(word, "true" | "false" | "null" | "inf" | "nan") => {
                Some(Scalar::Text(word.into()))
            }
            _ => None,
        }
    }

    /// Skips blanks. Whether there were any.
    fn blanks(&mut self) -> bool {
        let start = self.at;
        while let Some(b' ' | b'\t') = self.next() {
            self.at += 1;
        }
        self.at > start
    }

    /// Skips a line break. Whether there was one.
    fn line_break(&mut self) -> bool {
        let length = match self.text.as_bytes().get(self.at..) {
            Some([b'\n', ..]) => 1,
            Some([b'\r', b'\n', ..]) => 2,
            _ => return false,
        };
        self.at += length;
        true
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// From `start` to here.
    fn span(&self, start: usize) -> Span {
        Span::new(self.file, start..self.at)
    }
}

/// What a word of ASCII may consist of, for KDL.
fn of_a_word(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'(' | b')' | b'/' | b';' | b'=' | b'[' | b'\\' | b']' | b'{' | b'}')
}

/// Appends to what mostly stays the only one: a vector would make room for four.
fn push<T>(all: &mut Vec<T>, one: T) {
    if all.is_empty() {
        all.reserve_exact(1);
    }
    all.push(one);
}
