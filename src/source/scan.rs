//! A scanner of KDL 2 text, before the `kdl` crate sees it.
//!
//! It cuts a file at its top-level nodes, caps what would overflow the crate's stack or time (nesting, comments, `/-`), and
//! finds the mistakes that the crate reports at a wrong place. What it can repair it replaces by other text of the same
//! length, so that places stay true and the rest of the node is still read. It knows tokens only, never what they mean.

mod word;

use std::collections::BTreeMap;
use std::ops::Range;

use super::problem::Edit;
use super::{FileId, Problem, Scalar, Span};
use word::{Word, word};

/// Blocks within blocks; the language itself needs five. The crate overflows a 2 MiB stack at about 60 in a debug build.
pub(super) const DEPTH_CAP: usize = 32;

/// Bytes of one top-level node; the crate takes about 115 times as much memory.
pub(super) const NODE_CAP: usize = 1024 * 1024;

/// Mistakes in one file after which scanning it ends: a reader repairs the first ones and runs again.
const PROBLEM_CAP: usize = 200;

/// What a file's text turned out to be.
pub(super) struct Scanned {
    /// The text as the crate is to see it: of the same length, comments blank, repaired tokens replaced.
    pub(super) clean: String,
    /// The top-level nodes that the crate can read, in order.
    pub(super) nodes: Vec<Range<usize>>,
    /// What stood at the start of a replaced token.
    pub(super) repairs: BTreeMap<usize, Scalar>,
    /// Every mistake found.
    pub(super) problems: Vec<Problem>,
}

/// Where in its node the scanner is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the name.
    Start,
    /// Behind the name.
    Named,
    /// Behind an argument or property.
    Entries,
    /// Behind the children: only the end of the node may follow.
    Closed,
}

/// A block that is open; the first is the file.
struct Frame {
    /// Where its `{` stands.
    brace: usize,
    /// Where the `/-` before its `{` stands.
    dashed_block: Option<usize>,
    /// Where the `/-` before its present node stands.
    dashed_node: Option<usize>,
    place: Place,
}

struct Scanner<'t> {
    text: &'t str,
    bytes: &'t [u8],
    file: FileId,
    at: usize,
    frames: Vec<Frame>,
    /// A property's `=` that waits for its value.
    equals: Option<usize>,
    /// Whether the present value belongs to a property.
    property: bool,
    /// The present top-level node cannot be read by the crate.
    broken: bool,
    /// A token that began a line while a block was open, and that block: where a missing `}` is noticed.
    suspect: Option<(usize, usize)>,
    /// A string or comment was not closed, so braces may not add up.
    lost: bool,
    clean: Vec<u8>,
    repairs: BTreeMap<usize, Scalar>,
    problems: Vec<Problem>,
}

/// Scans a whole file.
pub(super) fn scan(text: &str, file: FileId) -> Scanned {
    let mut scanner = Scanner {
        text,
        bytes: text.as_bytes(),
        file,
        at: 0,
        frames: Vec::new(),
        equals: None,
        property: false,
        broken: false,
        suspect: None,
        lost: false,
        clean: text.as_bytes().to_vec(),
        repairs: BTreeMap::new(),
        problems: Vec::new(),
    };
    if text.starts_with('\u{feff}') {
        scanner.blank(0..'\u{feff}'.len_utf8());
        scanner.at = '\u{feff}'.len_utf8();
    }
    let mut nodes = Vec::new();
    while scanner.problems.len() < PROBLEM_CAP && scanner.between() {
        nodes.extend(scanner.node());
    }
    let clean = String::from_utf8(scanner.clean).expect("only whole characters are replaced, by ASCII");
    Scanned { clean, nodes, repairs: scanner.repairs, problems: scanner.problems }
}

impl Scanner<'_> {
    /// Skips what lies between top-level nodes. False at the end of the text.
    fn between(&mut self) -> bool {
        loop {
            self.line_space();
            match self.bytes.get(self.at) {
                None => return false,
                Some(b';') => {
                    self.clean[self.at] = b'\n';
                    self.at += 1;
                }
                Some(b'}') => self.stray_brace(),
                Some(_) => return true,
            }
        }
    }

    /// Reads one top-level node. None if it is left out or cannot be read.
    fn node(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.frames.clear();
        self.frames.push(Frame { brace: start, dashed_block: None, dashed_node: None, place: Place::Start });
        (self.broken, self.suspect, self.equals) = (false, None, None);
        let dashed = self.bytes[start..].starts_with(b"/-");
        while self.token(start) {
            if self.problems.len() >= PROBLEM_CAP {
                // Whatever follows is not looked at, so nothing of the node is known.
                self.broken = true;
                break;
            }
        }
        let end = self.at;
        if end - start > NODE_CAP && !self.broken {
            let first = start..self.line_end(start).min(self.text.floor_char_boundary(start + 60));
            self.report(
                first,
                "too-large",
                format!("a top-level node of {} bytes; at most {NODE_CAP} are read", end - start),
                "",
            )
            .help = Some("split it, for example into several pools".into());
            self.broken = true;
        }
        if self.broken || dashed {
            self.blank(start..end);
            return None;
        }
        // A comment behind the node is blank by now, and costs the crate as much as any text.
        let blanks = self.clean[start..end].iter().rev().take_while(|byte| **byte == b' ').count();
        Some(start..end - blanks)
    }

    /// Reads one token of a node. False when its top-level node ends.
    fn token(&mut self, start: usize) -> bool {
        let at = self.at;
        if at >= self.bytes.len() {
            return self.end_of_text(start);
        }
        if let Some(length) = newline(&self.bytes[at..]) {
            self.at += length;
            return self.end_of_node(at);
        }
        if let Some(length) = blank(&self.bytes[at..]) {
            self.at = self.blanks_end(at + length);
            return true;
        }
        if self.comment() {
            return true;
        }
        match self.bytes[at] {
            b';' => {
                self.at += 1;
                return self.end_of_node(at);
            }
            b'/' if self.next_is(b'-') => self.slashdash(),
            b'\\' => self.continued_line(),
            b'{' => self.open(None),
            b'}' => self.close(),
            b'=' => self.equals_sign(),
            b'(' | b')' => self.at += 1,
            b'"' => self.quoted(),
            b'#' if self.raw_quote().is_some() => self.raw(),
            _ => self.word(),
        }
        true
    }

    /// The file ends: so does the node, if no block is open.
    fn end_of_text(&mut self, start: usize) -> bool {
        if self.frames.len() > 1 {
            let indented =
                |end: usize| self.text.get(start..end).is_some_and(|text| text.contains("\n ") || text.contains("\n\t"));
            let (resume, brace) = match self.suspect {
                Some((at, brace)) if indented(at) => (at, brace),
                _ => (self.bytes.len(), self.frames.last().map_or(start, |frame| frame.brace)),
            };
            if !self.lost {
                self.report(brace..brace + 1, "syntax", "a block that is not closed", "opened here").help =
                    Some("add the missing `}`".into());
            }
            self.broken = true;
            self.at = resume;
            return false;
        }
        self.end_of_node(self.at)
    }

    /// A node ends at `end`. False if it is the top-level one.
    fn end_of_node(&mut self, end: usize) -> bool {
        self.missing_value();
        let top = self.frames.len() == 1;
        if let Some(frame) = self.frames.last_mut() {
            frame.place = Place::Start;
            if let Some(dashed) = frame.dashed_node.take() {
                // Without its node a `;` would end nothing.
                let semicolon = usize::from(self.bytes.get(end) == Some(&b';') && !top);
                self.blank(dashed..end + semicolon);
            }
        }
        if top {
            self.at = end;
        }
        !top
    }

    /// `=` with nothing behind it.
    fn missing_value(&mut self) {
        if let Some(equals) = self.equals.take() {
            self.report(equals..equals + 1, "syntax", "no value behind `=`", "");
            self.broken = true;
        }
        self.property = false;
    }

    fn open(&mut self, dashed_block: Option<usize>) {
        let at = self.at;
        self.at += 1;
        self.missing_value();
        if dashed_block.is_none() {
            match self.place() {
                Place::Start => {
                    self.report(at..at + 1, "syntax", "a block without a name before it", "").help =
                        Some("a block begins on the line of its node: `director \"lb1\" {`".into());
                    self.broken = true;
                }
                Place::Closed => {
                    self.report(at..at + 1, "syntax", "a second block of one node", "").help =
                        Some("join the two blocks, or begin a new node on a new line".into());
                    self.broken = true;
                }
                Place::Named | Place::Entries => {}
            }
        }
        if self.frames.len() == DEPTH_CAP + 1 && !self.broken {
            self.report(at..at + 1, "too-deep", format!("blocks nested more than {DEPTH_CAP} deep"), "");
            self.broken = true;
        }
        self.frames.push(Frame { brace: at, dashed_block, dashed_node: None, place: Place::Start });
    }

    fn close(&mut self) {
        let at = self.at;
        if self.frames.len() < 2 {
            return self.stray_brace();
        }
        self.end_of_node(at);
        self.at = at + 1;
        match self.frames.pop().and_then(|frame| frame.dashed_block) {
            Some(dashed) => self.blank(dashed..at + 1),
            None => self.set_place(Place::Closed),
        }
    }

    /// A `}` that closes nothing.
    fn stray_brace(&mut self) {
        if !self.lost {
            self.report(self.at..self.at + 1, "syntax", "a `}` that closes nothing", "").help =
                Some("remove it, or look for a block above that is closed too early".into());
        }
        self.blank_and_skip(1);
    }

    /// `/-` leaves out a node, an entry or a block. Nodes and blocks become blank here: the crate's time for them grows
    /// exponentially with their nesting.
    fn slashdash(&mut self) {
        let at = self.at;
        self.at += 2;
        self.line_space();
        match self.bytes.get(self.at) {
            None | Some(b';' | b'}') => {
                self.report(at..at + 2, "syntax", "nothing behind `/-` to leave out", "");
                self.broken = true;
            }
            Some(b'{') => self.open(Some(at)),
            Some(_) => {
                if self.place() == Place::Start
                    && let Some(frame) = self.frames.last_mut()
                {
                    frame.dashed_node.get_or_insert(at);
                }
            }
        }
    }

    /// A backslash that continues a node on the next line.
    fn continued_line(&mut self) {
        let at = self.at;
        self.at += 1;
        self.blanks();
        match newline(&self.bytes[self.at..]) {
            Some(length) => self.at += length,
            None if self.at >= self.bytes.len() => {}
            None => {
                self.report(at..at + 1, "syntax", "a `\\` outside quotes that does not end its line", "").help =
                    Some("quote the value, or end the line behind the `\\`".into());
                self.blank(at..at + 1);
            }
        }
    }

    fn equals_sign(&mut self) {
        let at = self.at;
        self.at += 1;
        match self.place() {
            Place::Named if self.equals.is_none() => {
                self.report(at..at + 1, "syntax", "an `=` behind the name of a node", "").help =
                    Some("in KDL a node's values follow its name: `port 443`; `port=443` stands behind another name".into());
                self.blank(at..at + 1);
            }
            Place::Entries if self.equals.is_none() && !self.property => self.equals = Some(at),
            _ => {
                self.report(at..at + 1, "syntax", "an `=` that belongs to no name", "");
                self.broken = true;
            }
        }
    }

    /// Notes that a value or name was read from `start` to here.
    fn value(&mut self, start: usize) {
        self.property = self.equals.take().is_some();
        if self.suspect.is_none() && self.frames.len() > 1 && start > 0 && self.bytes[start - 1] == b'\n' {
            self.suspect = self.frames.last().map(|frame| (start, frame.brace));
        }
        match self.place() {
            Place::Start => self.set_place(Place::Named),
            Place::Named | Place::Entries => self.set_place(Place::Entries),
            Place::Closed => {
                self.report(start..self.at, "syntax", "a node that begins on the line on which another ends", "").help =
                    Some("put a line break or a `;` before it".into());
                match start.checked_sub(1).filter(|before| self.bytes[*before] == b' ') {
                    Some(before) => self.clean[before] = b';',
                    None => self.broken = true,
                }
                self.set_place(Place::Named);
            }
        }
    }

    fn word(&mut self) {
        let start = self.at;
        self.at = self.word_end(start).max(start + self.char_length(start));
        let range = start..self.at;
        let token = &self.text[range.clone()];
        let name = self.place() == Place::Start;
        match word(token) {
            Word::Plain => {}
            Word::TooLarge(nearest) => {
                self.report(range.clone(), "integer-too-large", format!("`{token}` is larger than any number here may be"), "");
                self.repair(range, Scalar::Integer(nearest));
            }
            Word::Keyword(value) => {
                let edit = self.edit(range.clone(), format!("#{token}"));
                let problem = self.report(range.clone(), "bare-keyword", format!("`{token}` is not a value in KDL 2"), "");
                problem.help = Some(format!("write #{token}"));
                problem.edit = Some(Box::new(edit));
                self.repair(range, value);
            }
            Word::UnknownKeyword => {
                self.report(range.clone(), "syntax", format!("`{token}` is not a keyword of KDL"), "").help =
                    Some("the keywords are #true and #false; anything else is quoted".into());
                self.repair(range, Scalar::Text(token.into()));
            }
            Word::Unquoted(reason) => {
                let what = if name { "name" } else { "value" };
                let edit = self.edit(range.clone(), format!("\"{token}\""));
                let plain = !token.contains(['"', '\\']);
                let problem = self.report(range.clone(), "unquoted", format!("a {what} that {reason} and is not quoted"), "");
                problem.help = Some(format!("quote it: \"{token}\""));
                problem.edit = plain.then(|| Box::new(edit));
                self.repair(range, Scalar::Text(token.into()));
            }
        }
        self.value(start);
    }

    /// The end of a token without quotes.
    fn word_end(&self, start: usize) -> usize {
        let mut end = start;
        while end < self.bytes.len() {
            let rest = &self.bytes[end..];
            if matches!(rest[0], b'0'..=b'9' | b'a'..=b'z' | b'-' | b'_' | b'.') {
                end += 1;
                continue;
            }
            let ends = matches!(rest[0], b'"' | b';' | b'{' | b'}' | b'(' | b')' | b'=' | b'\\')
                || rest.starts_with(b"//")
                || rest.starts_with(b"/*")
                || newline(rest).is_some()
                || blank(rest).is_some();
            if ends {
                break;
            }
            end += self.char_length(end);
        }
        end
    }

    /// A string in quotes: `"…"`, or `"""` and lines.
    fn quoted(&mut self) {
        let start = self.at;
        if self.bytes[start..].starts_with(b"\"\"\"") {
            return self.quoted_lines(start, 0);
        }
        let mut at = start + 1;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => return self.string(start, at + 1),
                Some(b'\\') => {
                    at += 1;
                    let escape = at;
                    while let Some(length) = self.bytes.get(at..).and_then(|rest| newline(rest).or_else(|| blank(rest))) {
                        at += length;
                    }
                    // Behind a blank the escape is over; else it has one more byte that is not looked at.
                    at += usize::from(at == escape);
                }
                Some(b' '..=b'~') => at += 1,
                Some(_) if newline(&self.bytes[at..]).is_none() => at += 1,
                _ => return self.unclosed_string(start, at.min(self.bytes.len())),
            }
        }
    }

    /// A raw string, `#"…"#`.
    fn raw(&mut self) {
        let start = self.at;
        let Some(hashes) = self.raw_quote() else { return };
        if self.bytes[start + hashes..].starts_with(b"\"\"\"") {
            return self.quoted_lines(start, hashes);
        }
        let mut at = start + hashes + 1;
        while at < self.bytes.len() && newline(&self.bytes[at..]).is_none() {
            if self.bytes[at] == b'"' && self.hashes(at + 1) >= hashes {
                return self.string(start, at + 1 + hashes);
            }
            at += 1;
        }
        self.unclosed_string(start, at);
    }

    /// A string of several lines between three quotes, with `hashes` hash signs around them.
    fn quoted_lines(&mut self, start: usize, hashes: usize) {
        let mut at = start + hashes + 3;
        if newline(&self.bytes[at..]).is_none() {
            self.report(start..at, "syntax", "text behind three quotes on their line", "").help =
                Some("one quote on each side, or begin the text on the next line".into());
            self.broken = true;
        }
        while at < self.bytes.len() {
            if hashes == 0 && self.bytes[at] == b'\\' {
                at += 2;
            } else if self.bytes[at..].starts_with(b"\"\"\"") && self.hashes(at + 3) >= hashes {
                return self.string(start, at + 3 + hashes);
            } else {
                at += 1;
            }
        }
        self.report(start..start + hashes + 3, "syntax", "a string that is not closed", "opened here");
        (self.broken, self.lost, self.at) = (true, true, self.bytes.len());
    }

    /// A string from `start` to `end` was read.
    fn string(&mut self, start: usize, end: usize) {
        self.at = end;
        if self.bytes[start..end].iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.value(start);
        }
        let bad = self.text[start..end].char_indices().find(|(_, char)| word::forbidden(*char));
        if let Some((at, char)) = bad {
            let range = start + at..start + at + char.len_utf8();
            self.report(
                range,
                "control-character",
                format!("U+{:04X} in a string, which changes how text is shown", char as u32),
                "",
            )
            .help = Some("remove it".into());
            let others: Vec<Range<usize>> = self.text[start..end]
                .char_indices()
                .filter(|(_, char)| word::forbidden(*char))
                .map(|(at, char)| start + at..start + at + char.len_utf8())
                .collect();
            for range in others {
                self.blank(range);
            }
        }
        self.value(start);
    }

    /// A string that its line does not close. A brace at the line's end is taken as one, so that the rest is still read.
    fn unclosed_string(&mut self, start: usize, end: usize) {
        let line = self.text[start..end].trim_end();
        let text = line.trim_end_matches(['{', '}', ';']).trim_end();
        let text = if text.len() > 1 { text } else { line };
        self.at = start + text.len();
        self.report(start..start + text.len(), "syntax", "a string that its line does not close", "").help =
            Some("close it with `\"`; a text of several lines stands between `\"\"\"`, each on a line of its own".into());
        (self.broken, self.lost) = (true, true);
        self.value(start);
    }

    /// Skips blanks, line breaks and comments.
    fn line_space(&mut self) {
        loop {
            self.blanks();
            match self.bytes.get(self.at..).and_then(newline) {
                Some(length) => self.at += length,
                None => return,
            }
        }
    }

    /// Skips blanks and comments; a comment that runs to the end of its line leaves the line break.
    fn blanks(&mut self) {
        while self.at < self.bytes.len() {
            match blank(&self.bytes[self.at..]) {
                Some(1) => self.at = self.blanks_end(self.at),
                Some(length) => self.at += length,
                None if self.comment() => {}
                None => return,
            }
        }
    }

    /// Skips a comment and blanks it, since the crate's stack grows with its length. False where none begins.
    fn comment(&mut self) -> bool {
        let start = self.at;
        if self.bytes[start..].starts_with(b"//") {
            self.at = self.line_end(start);
        } else if self.bytes[start..].starts_with(b"/*") {
            self.at = start + 2;
            let mut open = 1_usize;
            while open > 0 {
                match self.bytes.get(self.at..) {
                    None | Some([]) => {
                        self.report(start..start + 2, "syntax", "a comment that is not closed", "opened here").help =
                            Some("close it with `*/`".into());
                        (self.broken, self.lost, open) = (true, true, 0);
                    }
                    Some([b'*', b'/', ..]) => (open, self.at) = (open - 1, self.at + 2),
                    Some([b'/', b'*', ..]) => (open, self.at) = (open + 1, self.at + 2),
                    Some(_) => self.at += 1,
                }
            }
        } else {
            return false;
        }
        self.blank(start..self.at);
        true
    }

    /// Where spaces and tabs from `start` on end.
    fn blanks_end(&self, start: usize) -> usize {
        let blanks = self.bytes.get(start..).unwrap_or_default().iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
        start + blanks.count()
    }

    fn line_end(&self, start: usize) -> usize {
        (start..self.bytes.len()).find(|at| newline(&self.bytes[*at..]).is_some()).unwrap_or(self.bytes.len())
    }

    /// How many hash signs stand before the quote of a raw string that begins here.
    fn raw_quote(&self) -> Option<usize> {
        let hashes = self.hashes(self.at);
        (hashes > 0 && self.bytes.get(self.at + hashes) == Some(&b'"')).then_some(hashes)
    }

    fn hashes(&self, at: usize) -> usize {
        self.bytes.get(at..).unwrap_or_default().iter().take_while(|byte| **byte == b'#').count()
    }

    fn next_is(&self, byte: u8) -> bool {
        self.bytes.get(self.at + 1) == Some(&byte)
    }

    fn char_length(&self, at: usize) -> usize {
        self.text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
    }

    fn place(&self) -> Place {
        self.frames.last().map_or(Place::Start, |frame| frame.place)
    }

    fn set_place(&mut self, place: Place) {
        if let Some(frame) = self.frames.last_mut() {
            frame.place = place;
        }
    }

    fn blank(&mut self, range: Range<usize>) {
        self.clean[range].fill(b' ');
    }

    fn blank_and_skip(&mut self, bytes: usize) {
        self.blank(self.at..self.at + bytes);
        self.at += bytes;
    }

    /// Puts a word of the same length in a token's place and remembers what it stands for.
    fn repair(&mut self, range: Range<usize>, value: Scalar) {
        self.clean[range.clone()].fill(b'_');
        self.repairs.insert(range.start, value);
    }

    fn edit(&self, range: Range<usize>, text: String) -> Edit {
        Edit { span: Span::new(self.file, range), text, certain: true }
    }

    fn report(&mut self, range: Range<usize>, code: &'static str, message: impl Into<String>, label: &str) -> &mut Problem {
        self.problems.push(Problem::error(code, message).at(Span::new(self.file, range), label));
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }
}

/// The length of the line break at the start of `rest`: what KDL counts as one.
fn newline(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'\r', b'\n', ..] | [0xc2, 0x85, ..] => Some(2),
        [b'\r' | b'\n' | 0x0b | 0x0c, ..] => Some(1),
        [0xe2, 0x80, 0xa8 | 0xa9, ..] => Some(3),
        _ => None,
    }
}

/// The length of the blank at the start of `rest`: what KDL counts as one.
fn blank(rest: &[u8]) -> Option<usize> {
    match rest {
        [b' ' | b'\t', ..] => Some(1),
        [0xc2, 0xa0, ..] => Some(2),
        [0xe1, 0x9a, 0x80, ..] | [0xe2, 0x80, 0x80..=0x8a | 0xaf, ..] | [0xe2, 0x81, 0x9f, ..] | [0xe3, 0x80, 0x80, ..] => {
            Some(3)
        }
        _ => None,
    }
}
