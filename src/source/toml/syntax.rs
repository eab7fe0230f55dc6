//! What the `toml` crate found wrong with a text, in our words.

use std::ops::Range;

use ::toml::de::Error;

use super::{Problem, Span, within};
use crate::source::FileId;

/// Mistakes of one file that are told; a reader repairs the first ones and runs again.
const CAP: usize = 200;

/// The crate's errors by place.
pub(super) struct Mistakes {
    found: Vec<Mistake>,
}

struct Mistake {
    bytes: Range<usize>,
    message: String,
    told: bool,
}

impl Mistakes {
    pub(super) fn new(text: &str, errors: &[Error]) -> Mistakes {
        let place = |error: &Error| within(text, error.span().unwrap_or_default());
        let mut found: Vec<Mistake> = errors
            .iter()
            .map(|error| Mistake { bytes: place(error), message: error.message().to_owned(), told: false })
            .collect();
        found.sort_by_key(|mistake| mistake.bytes.start);
        Mistakes { found }
    }

    /// Whether one of them begins within a token.
    pub(super) fn touch(&self, token: &Range<usize>) -> bool {
        let first = self.found.partition_point(|mistake| mistake.bytes.start < token.start);
        self.found.get(first).is_some_and(|mistake| mistake.bytes.start < token.end)
    }

    /// Somebody tells those within this token in better words.
    pub(super) fn take(&mut self, token: &Range<usize>) {
        let first = self.found.partition_point(|mistake| mistake.bytes.start < token.start);
        self.found[first..]
            .iter_mut()
            .take_while(|mistake| mistake.bytes.start < token.end)
            .for_each(|mistake| mistake.told = true);
    }

    /// All that nobody has told.
    pub(super) fn problems(self, text: &str, file: FileId) -> Vec<Problem> {
        let mut problems = Vec::new();
        // Behind a header that is there twice, every key of it is, too: until the next header nothing more is said of that.
        let mut merged = 0..0;
        for mistake in self.found.into_iter().filter(|mistake| !mistake.told).take(CAP) {
            let bytes = mistake.bytes;
            if mistake.message != "duplicate key" {
                let span = Span::new(file, visible(text, &bytes));
                problems.push(Problem::error("syntax", mistake.message).at(span, ""));
                continue;
            }
            if merged.contains(&bytes.start) {
                continue;
            }
            let line = line_of(text, bytes.start);
            let said = text.get(line.clone()).unwrap_or_default().trim();
            let key = text.get(bytes.clone()).unwrap_or_default();
            let problem = if said.starts_with('[') {
                let next = text.get(line.end..).and_then(|rest| rest.find("\n[")).map_or(text.len(), |at| line.end + at);
                merged = line.end..next;
                let name = said.trim_matches(['[', ']']);
                Problem::error("duplicate-table", format!("`{key}` is there twice"))
                    .at(Span::new(file, bytes.clone()), "again here")
                    .help(format!("write [[{name}]] in each place if it may be there several times; else join the two"))
            } else {
                Problem::error("duplicate-key", format!("`{key}` is given twice"))
                    .at(Span::new(file, bytes.clone()), "again here")
                    .help("keep one of the two")
            };
            problems.push(match first_place(text, &line, said, key) {
                Some(first) => problem.at(Span::new(file, first), "first here"),
                None => problem,
            });
        }
        problems
    }
}

/// Where a header or key that is there again was said first, if that was on a line of its own.
fn first_place(text: &str, line: &Range<usize>, said: &str, key: &str) -> Option<Range<usize>> {
    let header = said.starts_with('[');
    let mut end = line.start;
    while end > 0 {
        let earlier = line_of(text, end - 1);
        let content = text.get(earlier.clone()).unwrap_or_default();
        let trimmed = content.trim_start();
        let indent = earlier.start + content.len() - trimmed.len();
        if header && trimmed.trim_end() == said {
            return trimmed.rfind(key).map(|at| indent + at..indent + at + key.len());
        }
        if !header && trimmed.starts_with('[') {
            return None;
        }
        if !header && trimmed.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')) {
            return Some(indent..indent + key.len());
        }
        end = earlier.start;
    }
    None
}

/// The line around a byte, without its line break.
fn line_of(text: &str, at: usize) -> Range<usize> {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    start..text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| at + length)
}

/// A place of at least one character, where there is one: the crate points between characters when something is missing.
fn visible(text: &str, bytes: &Range<usize>) -> Range<usize> {
    if !bytes.is_empty() {
        return bytes.clone();
    }
    let line = line_of(text, bytes.start.min(text.len()));
    let content = line.start + text.get(line.clone()).unwrap_or_default().trim_end().len();
    if bytes.start < content {
        within(text, bytes.start..bytes.start + 1)
    } else {
        within(text, content.saturating_sub(1).max(line.start)..content)
    }
}
