//! The same for TOML.

use std::ops::Range;

use super::{Place, Spot, quoted};
use crate::topology::shape::{Form, Kind};

/// An inline table or an array that is open, and the key that it is the value of.
struct Open {
    is_table: bool,
    keys: Vec<String>,
}

/// What has been read up to a place.
#[derive(Default)]
struct Reader {
    header: Vec<String>,
    /// The present key, as far as it goes.
    keys: Vec<String>,
    /// Within `[` of a header.
    in_header: bool,
    /// Behind the present key's `=`.
    in_value: bool,
    open: Vec<Open>,
}

pub fn spot(text: &str, at: usize) -> Option<Spot> {
    let mut reader = Reader::default();
    let mut next = 0;
    while let Some(first) = text.get(next..).and_then(|rest| rest.chars().next()).filter(|_| next < at) {
        let start = next;
        next += first.len_utf8();
        match first {
            '#' => {
                next = text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |end| start + end);
                if at <= next {
                    return None;
                }
            }
            '\n' => reader.line(text.get(next..).unwrap_or_default()),
            '"' | '\'' => {
                let triple: String = [first; 3].iter().collect();
                let (end, closed) = match text.get(start..).and_then(|rest| rest.strip_prefix(&*triple)) {
                    Some(rest) => rest.find(&*triple).map_or((text.len(), false), |end| (start + end + 6, true)),
                    None => quoted(text, start, first),
                };
                next = end;
                if at <= end && !(closed && at == end && !reader.in_value) {
                    return reader.found(start..end, !closed);
                }
                reader.word(text.get(start + 1..end - usize::from(closed)).unwrap_or_default());
            }
            letter if is_bare(letter) || reader.in_value && !"[]{},= \t\r".contains(letter) => {
                let rest = text.get(start..).unwrap_or_default();
                let ends = |letter: char| {
                    if reader.in_value { letter.is_whitespace() || ",]}#=".contains(letter) } else { !is_bare(letter) }
                };
                next = rest.find(ends).map_or(text.len(), |end| start + end.max(letter.len_utf8()));
                if at <= next {
                    return reader.found(start..next, false);
                }
                reader.word(rest.get(..next - start).unwrap_or_default());
            }
            '[' | '{' | ']' | '}' | ',' | '=' => reader.mark(first),
            _ => {}
        }
    }
    // At the beginning of a token it is that token.
    let rest = text.get(at..).unwrap_or_default();
    let end = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(text, at, quote).0,
        Some(letter) if is_bare(letter) => rest.find(|letter| !is_bare(letter)).map_or(text.len(), |end| at + end),
        _ => at,
    };
    reader.found(at..end, false)
}

fn is_bare(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'
}

impl Reader {
    /// A line has ended; `rest` is what follows.
    fn line(&mut self, rest: &str) {
        // Whoever forgot a bracket goes on with a header or a key at the beginning of a line.
        let key = rest.split(['=', '\n']).next().unwrap_or_default();
        let is_key = rest.get(key.len()..).is_some_and(|rest| rest.starts_with('='))
            && key.starts_with(is_bare)
            && key.trim_end().chars().all(|letter| is_bare(letter) || letter == '.' || letter == '"');
        let is_header = rest.starts_with('[') && rest.trim_start_matches('[').starts_with(is_bare);
        if self.open.is_empty() || is_key || is_header {
            self.open.clear();
            self.keys.clear();
            self.in_value = false;
            if self.in_header {
                self.in_header = false;
            }
        }
    }

    fn word(&mut self, word: &str) {
        if self.in_header {
            self.header.push(word.to_owned());
        } else if !self.in_value {
            self.keys.push(word.to_owned());
        }
    }

    fn mark(&mut self, mark: char) {
        match mark {
            '[' if !self.in_value && self.open.is_empty() => {
                if !self.in_header {
                    self.header.clear();
                }
                self.in_header = true;
            }
            ']' if self.in_header => self.in_header = false,
            '=' => self.in_value = true,
            '[' | '{' if self.in_value => {
                self.open.push(Open { is_table: mark == '{', keys: std::mem::take(&mut self.keys) });
                self.in_value = mark == '[';
            }
            ']' | '}' => {
                if let Some(Open { keys, .. }) = self.open.pop() {
                    self.keys = keys;
                    self.in_value = true;
                }
            }
            ',' if self.open.last().is_some_and(|open| open.is_table) => {
                self.keys.clear();
                self.in_value = false;
            }
            _ => {}
        }
    }

    fn found(&self, token: Range<usize>, unclosed: bool) -> Option<Spot> {
        let of_open = self.open.iter().flat_map(|open| &open.keys);
        let header = if self.in_header { &[] } else { &*self.header };
        let keys: Vec<&str> = header.iter().chain(of_open).chain(&self.keys).map(String::as_str).collect();
        let before: Vec<&str> = if self.in_header { self.header.iter().map(String::as_str).collect() } else { keys };
        let (kind, path, place) = resolve(&before, self.in_value)?;
        Some(Spot { kind, path, place, token, unclosed })
    }
}

/// Where keys lead: names stand between the words of their kinds.
fn resolve(keys: &[&str], in_value: bool) -> Option<(&'static Kind, Vec<&'static str>, Place)> {
    let (mut kind, mut path) = (Kind::root(), Vec::new());
    let mut keys = keys.iter();
    while let Some(key) = keys.next() {
        if let Some(child) = kind.child(key) {
            kind = child.kind;
            path.push(kind.word);
            if matches!(kind.form, Form::Named { .. } | Form::Keyed) && keys.next().is_none() {
                return Some((kind, path, Place::Behind { properties: false }));
            }
            continue;
        }
        if let Form::Main { key: main, .. } = kind.form
            && main == *key
        {
            return Some((kind, path, Place::Behind { properties: false }));
        }
        return Some((kind, path, Place::Value(kind.field(key)?)));
    }
    let place = if in_value && !path.is_empty() { Place::Behind { properties: false } } else { Place::Word };
    Some((kind, path, place))
}
