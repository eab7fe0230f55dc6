//! The same for KDL 2.

use std::ops::Range;

use super::{Place, Spot, quoted, walk};
use crate::topology::shape::Kind;

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// A bare word, a number, `#true`.
    Word,
    /// A text in quotes; whether it is closed.
    Text(bool),
    /// `{`
    Open,
    /// `}`
    Close,
    /// `=`
    Equals,
    /// The end of a node: a line's, or `;`.
    End,
    /// A comment; whether it ends with its line.
    Comment(bool),
}

/// The node that is being read.
#[derive(Default)]
struct Node {
    word: String,
    /// How many values stand behind the word.
    values: usize,
    /// The property whose value comes.
    property: Option<String>,
}

pub fn spot(text: &str, at: usize) -> Option<Spot> {
    let mut open: Vec<String> = Vec::new();
    let mut node: Option<Node> = None;
    let mut tokens = Tokens { text, at: 0 };
    let mut last = String::new();
    while let Some((token, range)) = tokens.next() {
        // Behind a closed text nothing of it can be written on.
        let touches = range.start < at && at <= range.end || range.start == at && matches!(token, Token::Word | Token::Text(_));
        if range.start > at || range.start == at && !touches {
            break;
        }
        let word = text.get(range.clone()).unwrap_or_default();
        match token {
            Token::Comment(to_the_end) if range.start < at && (at < range.end || to_the_end && at == range.end) => return None,
            Token::Comment(_) => {}
            Token::Open => {
                open.push(node.take().map(|node| node.word).unwrap_or_default());
            }
            Token::Close => {
                open.pop();
                node = None;
            }
            Token::End => node = None,
            Token::Equals => {
                if let Some(node) = &mut node {
                    node.property = Some(std::mem::take(&mut last));
                }
            }
            Token::Word | Token::Text(_) => {
                let unclosed = token == Token::Text(false);
                let is_property = tokens.is_before_equals();
                if node.is_none() && begins_anew(text, &range, word, &open) {
                    open.clear();
                }
                let here = |place| found(&open, place, range.clone(), unclosed);
                match &mut node {
                    None if touches => return here(What::Word),
                    None => node = Some(Node { word: bare(word), ..Node::default() }),
                    Some(node) => {
                        if touches {
                            return match &node.property {
                                Some(property) => here(What::Property(&node.word, property)),
                                None => here(What::Behind(&node.word)),
                            };
                        }
                        if is_property {
                            last = bare(word);
                        } else {
                            node.values += 1;
                            node.property = None;
                        }
                    }
                }
            }
        }
    }
    let here = |place| found(&open, place, at..at, false);
    match &node {
        None => here(What::Word),
        Some(Node { word, property: Some(property), .. }) => here(What::Property(word, property)),
        Some(node) => here(What::Behind(&node.word)),
    }
}

/// Whether a word at the beginning of a line must be the file's, though a block is open: somebody forgot a brace.
fn begins_anew(text: &str, range: &Range<usize>, word: &str, open: &[String]) -> bool {
    let is_first = text.get(..range.start).is_some_and(|before| before.is_empty() || before.ends_with('\n'));
    let belongs = || walk(open.iter().map(String::as_str)).is_some_and(|(kind, _)| kind.words().any(|known| known == word));
    is_first && !open.is_empty() && Kind::root().child(word).is_some() && !belongs()
}

#[derive(Clone, Copy)]
enum What<'w> {
    Word,
    Behind(&'w str),
    Property(&'w str, &'w str),
}

fn found(open: &[String], what: What<'_>, token: Range<usize>, unclosed: bool) -> Option<Spot> {
    let (kind, path) = walk(open.iter().map(String::as_str))?;
    let spot = |kind, path, place| Some(Spot { kind, path, place, token, unclosed });
    match what {
        What::Word => spot(kind, path, Place::Word),
        What::Behind(word) | What::Property(word, _) => {
            if let (Some(field), What::Behind(_)) = (kind.field(word), &what) {
                return spot(kind, path, Place::Value(field));
            }
            let child = kind.child(word)?.kind;
            let mut path: Vec<&'static str> = path.into_iter().chain([child.word]).collect();
            match what {
                What::Property(_, property) => match child.child(property).map(|child| child.kind) {
                    // `scheduler="mh"` is `scheduler "mh"`.
                    Some(main) => {
                        path.push(main.word);
                        spot(main, path, Place::Behind { properties: false })
                    }
                    None => spot(child, path, Place::Value(child.field(property)?)),
                },
                _ => spot(child, path, Place::Behind { properties: true }),
            }
        }
    }
}

/// A word without its quotes.
fn bare(word: &str) -> String {
    word.trim_start_matches('#').trim_matches(['"', '#']).to_owned()
}

/// A raw text from its first `#` to its end, and whether it is closed. One that is not ends with its line.
fn raw(text: &str, start: usize) -> Option<(usize, bool)> {
    let rest = text.get(start..)?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let (marks, behind) = rest.split_at_checked(hashes)?;
    if let Some(inner) = behind.strip_prefix("\"\"\"").filter(|_| hashes > 0) {
        let end = format!("\"\"\"{marks}");
        return Some(inner.find(&end).map_or((text.len(), false), |at| (start + hashes + 3 + at + end.len(), true)));
    }
    let inner = behind.strip_prefix('"').filter(|_| hashes > 0)?;
    let begin = start + hashes + 1;
    for (at, found) in inner.match_indices(['"', '\n', '\r']) {
        if found != "\"" {
            return Some((begin + at, false));
        }
        if inner.get(at + 1..).is_some_and(|behind| behind.starts_with(marks)) {
            return Some((begin + at + 1 + hashes, true));
        }
    }
    Some((text.len(), false))
}

struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl Tokens<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn is_before_equals(&self) -> bool {
        self.rest().trim_start_matches([' ', '\t']).starts_with('=')
    }

    fn next(&mut self) -> Option<(Token, Range<usize>)> {
        loop {
            let start = self.at;
            let first = self.rest().chars().next()?;
            if let Some((end, closed)) = raw(self.text, start) {
                self.at = end;
                return Some((Token::Text(closed), start..end));
            }
            let mut one = |token| {
                self.at += first.len_utf8();
                Some((token, start..start + first.len_utf8()))
            };
            match first {
                '{' => return one(Token::Open),
                '}' => return one(Token::Close),
                '=' => return one(Token::Equals),
                '\n' | '\r' | ';' => return one(Token::End),
                '\\' => {
                    // What stands behind it to the end of the line is a comment, and the node goes on.
                    let line = self.rest().find('\n').map_or(self.text.len(), |at| self.at + at + 1);
                    self.at = line;
                }
                letter if letter.is_whitespace() || letter == '\u{feff}' => self.at += letter.len_utf8(),
                '/' if self.rest().starts_with("//") => {
                    self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                    return Some((Token::Comment(true), start..self.at));
                }
                '/' if self.rest().starts_with("/*") => {
                    self.at += within(self.rest());
                    return Some((Token::Comment(false), start..self.at));
                }
                '/' if self.rest().starts_with("/-") => self.at += 2,
                '"' if self.rest().starts_with("\"\"\"") => {
                    let end = self.rest().get(3..).and_then(|rest| rest.find("\"\"\""));
                    self.at = end.map_or(self.text.len(), |end| start + end + 6);
                    return Some((Token::Text(end.is_some()), start..self.at));
                }
                '"' => {
                    let (end, closed) = quoted(self.text, start, '"');
                    self.at = end;
                    return Some((Token::Text(closed), start..end));
                }
                _ => {
                    let ends = |letter: char| letter.is_whitespace() || "{}=;\"\\".contains(letter);
                    let end = self.rest().char_indices().skip(1).find(|(_, letter)| ends(*letter)).map(|(at, _)| at);
                    self.at += end.unwrap_or(self.rest().len());
                    return Some((Token::Word, start..self.at));
                }
            }
        }
    }
}

/// How long a comment is that may have others within it.
fn within(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}
