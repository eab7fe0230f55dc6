//! From a KDL text without mistakes to its layout.
//!
//! Total all the same: what it does not know, within something that is left out by `/-` for example, it keeps as it stands.

use ::kdl::{KdlDocument, KdlValue};

use super::{Block, Item, Node, Part, What};
use crate::spelling::value::{Value, number};

/// Reads a whole file.
pub(in crate::spelling) fn parse(text: &str) -> Block {
    let mut parser = Parser { text, at: 0 };
    parser.eat("\u{feff}");
    let mut block = Block::default();
    while parser.at < text.len() {
        parser.block_items(&mut block, false);
        // One that closes nothing: only within a text with mistakes.
        parser.eat("}");
    }
    block
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

/// A node that is being read, and comments within it that must stand above it.
#[derive(Default)]
struct Open {
    above: Vec<String>,
    before: Vec<String>,
    parts: Vec<Part>,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn skip(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(wanted).len();
    }

    fn newline(&mut self) -> bool {
        if self.eat("\r\n") {
            return true;
        }
        match self.peek().filter(|char| is_newline(*char)) {
            Some(char) => {
                self.at += char.len_utf8();
                true
            }
            None => false,
        }
    }

    /// Reads a comment, with its marks.
    fn comment(&mut self) -> Option<String> {
        let rest = self.rest();
        if rest.starts_with("//") {
            let end = rest.find(is_newline).unwrap_or(rest.len());
            let text = rest[..end].trim_end().to_owned();
            self.at += end;
            return Some(text);
        }
        if !rest.starts_with("/*") {
            return None;
        }
        let bytes = rest.as_bytes();
        let (mut at, mut open) = (2, 1_usize);
        while open > 0 && at < bytes.len() {
            (open, at) = match bytes.get(at..at + 2) {
                Some(b"*/") => (open - 1, at + 2),
                Some(b"/*") => (open + 1, at + 2),
                _ => (open, at + 1),
            };
        }
        let text = rest.get(..at).unwrap_or(rest).replace("\r\n", "\n");
        self.at += at;
        Some(text)
    }

    /// Reads nodes and comments up to the `}` of the block, which is left, or the end of the text.
    fn block_items(&mut self, block: &mut Block, nested: bool) {
        let mut lines = 0;
        // Comments on the line that is being read, before anything else of it.
        let mut pending: Vec<String> = Vec::new();
        loop {
            self.skip(is_blank);
            let ends_line = self.at >= self.text.len() || self.rest().starts_with('}') || self.peek().is_some_and(is_newline);
            if ends_line || self.rest().starts_with("//") {
                pending.extend(if ends_line { None } else { self.comment() });
                if lines == 0 && !pending.is_empty() {
                    let opening = nested && block.items.is_empty() && !self.rest().starts_with('}');
                    match block.items.last_mut() {
                        Some(item) => item.trailing.append(&mut pending),
                        None if opening => block.opening.append(&mut pending),
                        None => {}
                    }
                }
                for text in pending.drain(..) {
                    push(block, lines, What::Comment(text));
                    lines = 0;
                }
            }
            if self.newline() {
                lines += 1;
            } else if self.at >= self.text.len() || self.rest().starts_with('}') {
                return;
            } else if self.rest().starts_with("/*") {
                let comment = self.comment().unwrap_or_default();
                let several = comment.contains(is_newline);
                pending.push(comment);
                if several {
                    for text in pending.drain(..) {
                        push(block, lines, What::Comment(text));
                        lines = 0;
                    }
                }
            } else if self.eat(";") || self.eat("\\") {
                // A `\` continues a line also where no node has begun.
            } else if !self.rest().starts_with("//") {
                let mut open = Open { before: std::mem::take(&mut pending), ..Open::default() };
                let (node, trailing) = self.node(&mut open);
                for text in open.above {
                    push(block, lines, What::Comment(text));
                    lines = 0;
                }
                push(block, lines, What::Node(node));
                if let Some(item) = block.items.last_mut() {
                    item.trailing = trailing;
                }
                lines = 0;
            }
        }
    }

    /// Reads a node up to what ends it, with the comments behind it.
    fn node(&mut self, open: &mut Open) -> (Node, Vec<String>) {
        let mut dashed = false;
        while self.eat("/-") {
            dashed = true;
            self.line_space(open, true);
        }
        let at = self.at;
        let name = self.value();
        loop {
            self.skip(is_blank);
            match self.peek() {
                None | Some(';' | '}') => break,
                Some(char) if is_newline(char) => break,
                Some('/') if self.rest().starts_with("//") => break,
                Some('/') if self.rest().starts_with("/*") => self.gap(open),
                Some('\\') => self.gap(open),
                Some('/') if self.rest().starts_with("/-") => {
                    while self.eat("/-") {
                        self.line_space(open, false);
                    }
                    if self.peek() == Some('{') { self.children(open, true) } else { self.entry(open, true) }
                }
                Some('{') => self.children(open, false),
                Some(_) => self.entry(open, false),
            }
        }
        let comments = open.parts.iter().rev().take_while(|part| matches!(part, Part::Comment(_))).count();
        let trailing = open.parts.split_off(open.parts.len() - comments);
        let text = |part| if let Part::Comment(text) = part { Some(text) } else { None };
        let node = Node { dashed, before: std::mem::take(&mut open.before), name, at, parts: std::mem::take(&mut open.parts) };
        (node, trailing.into_iter().filter_map(text).collect())
    }

    fn children(&mut self, open: &mut Open, dashed: bool) {
        let start = self.at;
        self.eat("{");
        let mut block = Block::default();
        self.block_items(&mut block, true);
        let inside = self.text.get(start..self.at).unwrap_or_default();
        block.one_line = !inside.contains(is_newline);
        self.eat("}");
        open.parts.push(Part::Block { dashed, block });
    }

    fn entry(&mut self, open: &mut Open, dashed: bool) {
        let first = self.value();
        let back = self.at;
        let mut gap = Open::default();
        self.gap(&mut gap);
        if !self.eat("=") {
            self.at = back;
            open.parts.push(Part::Entry { dashed, key: None, value: first });
            return;
        }
        self.gap(&mut gap);
        open.above.append(&mut gap.above);
        open.parts.append(&mut gap.parts);
        let value = self.value();
        open.parts.push(Part::Entry { dashed, key: Some(first), value });
    }

    /// Skips blanks, comments and continued lines within a node.
    fn gap(&mut self, open: &mut Open) {
        loop {
            self.skip(is_blank);
            if self.rest().starts_with("/*") {
                let comment = self.comment().unwrap_or_default();
                place(open, comment, false);
            } else if self.eat("\\") {
                loop {
                    self.skip(is_blank);
                    match self.comment() {
                        Some(comment) => place(open, comment, false),
                        None => break,
                    }
                }
                self.newline();
            } else {
                return;
            }
        }
    }

    /// Skips what may stand between a `/-` and what it leaves out.
    fn line_space(&mut self, open: &mut Open, before: bool) {
        loop {
            self.skip(|char| is_blank(char) || is_newline(char));
            match self.comment() {
                Some(comment) => place(open, comment, before),
                None if self.rest().starts_with('\\') => self.at += 1,
                None => return,
            }
        }
    }

    /// Reads a string or a word.
    fn value(&mut self) -> Value {
        let rest = self.rest();
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        if rest[hashes..].starts_with('"') {
            let end = string_end(rest, hashes);
            let token = rest.get(..end).unwrap_or(rest).to_owned();
            self.at += token.len();
            return text(token);
        }
        let ends = |at: usize, char: char| {
            matches!(char, '"' | ';' | '{' | '}' | '=' | '\\')
                || is_newline(char)
                || is_blank(char)
                || rest[at..].starts_with("//")
                || rest[at..].starts_with("/*")
        };
        let end = rest.char_indices().find(|(at, char)| ends(*at, *char)).map_or(rest.len(), |(at, _)| at);
        // Something that begins no word would be met for ever.
        let end = if end == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { end };
        let token = rest[..end].to_owned();
        self.at += end;
        word(token)
    }
}

fn push(block: &mut Block, lines: usize, what: What) {
    let blank = lines > 1 && !block.items.is_empty();
    block.items.push(Item { blank, what, trailing: Vec::new() });
}

/// A comment within a node stays there if it can.
fn place(open: &mut Open, comment: String, before: bool) {
    if comment.starts_with("//") || comment.contains(is_newline) {
        open.above.push(comment);
    } else if before {
        open.before.push(comment);
    } else {
        open.parts.push(Part::Comment(comment));
    }
}

/// The length of the string at the start of a text.
fn string_end(text: &str, hashes: usize) -> usize {
    let bytes = text.as_bytes();
    let fence: &[u8] = if bytes[hashes..].starts_with(b"\"\"\"") { b"\"\"\"" } else { b"\"" };
    let mut at = hashes + fence.len();
    while at < bytes.len() {
        if hashes == 0 && bytes[at] == b'\\' {
            at += 2;
        } else if bytes[at..].starts_with(fence)
            && bytes[at + fence.len()..].iter().take_while(|byte| **byte == b'#').count() >= hashes
        {
            return at + fence.len() + hashes;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn text(token: String) -> Value {
    let inner = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    if let Some(inner) = inner.filter(|inner| !inner.contains(['\\', '"'])) {
        return Value::Text(inner.to_owned());
    }
    let document = KdlDocument::parse_v2(&format!("n {token}\n")).ok();
    let entry = document.as_ref().and_then(|document| document.nodes().first()).and_then(|node| node.entries().first());
    match entry.map(::kdl::KdlEntry::value) {
        Some(KdlValue::String(text)) => Value::Text(text.clone()),
        _ => Value::Raw(token),
    }
}

fn word(token: String) -> Value {
    let unsigned = token.strip_prefix(['+', '-']).unwrap_or(&token);
    match token.as_str() {
        "#true" => Value::Boolean(true),
        "#false" => Value::Boolean(false),
        _ if token.contains(['#', '(', ')', '/', '[', ']']) || token.starts_with('.') => Value::Raw(token),
        "true" | "false" | "null" | "inf" | "-inf" | "nan" => Value::Raw(token),
        _ if !unsigned.starts_with(|char: char| char.is_ascii_digit()) => Value::Text(token),
        _ if whole(unsigned) => Value::Number(number(&token)),
        _ => Value::Raw(token),
    }
}

/// Whether this is a whole number without its sign.
fn whole(unsigned: &str) -> bool {
    let (digits, radix) = match unsigned.get(..2) {
        Some("0x" | "0X") => (&unsigned[2..], 16),
        Some("0o" | "0O") => (&unsigned[2..], 8),
        Some("0b" | "0B") => (&unsigned[2..], 2),
        _ => (unsigned, 10),
    };
    digits.starts_with(|char: char| char.is_digit(radix)) && digits.chars().all(|char| char == '_' || char.is_digit(radix))
}

fn is_newline(char: char) -> bool {
    matches!(char, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank(char: char) -> bool {
    matches!(char, '\t' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}
