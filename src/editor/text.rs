//! A file as an editor has it open: its text, and places as the protocol counts them: lines from 0, and in them units of UTF-16
//! (Language Server Protocol 3.17, "Position").

use std::ops::Range;

use lsp_types::{Position, TextDocumentContentChangeEvent};

/// A text that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    text: String,
    /// Where each line begins.
    starts: Vec<usize>,
    /// Whether every letter is one byte and one unit: then nobody needs to count.
    is_ascii: bool,
}

impl Document {
    /// A text.
    pub fn new(text: String) -> Document {
        let bytes = text.as_bytes();
        let ends = bytes.iter().enumerate().filter(|(at, byte)| match byte {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Document { is_ascii: text.is_ascii(), text, starts }
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The byte of a position. What lies beyond a line is its end, and beyond the text the text's end.
    pub fn offset(&self, position: Position) -> usize {
        let Some(start) = self.starts.get(position.line as usize).copied() else { return self.text.len() };
        let end = self.starts.get(position.line as usize + 1).copied().unwrap_or(self.text.len());
        let line = self.text.get(start..end).unwrap_or_default().trim_end_matches(['\n', '\r']);
        if self.is_ascii {
            return start + line.len().min(position.character as usize);
        }
        let mut units = 0;
        for (at, letter) in line.char_indices() {
            if units >= position.character as usize {
                return start + at;
            }
            units += letter.len_utf16();
        }
        start + line.len()
    }

    /// The position of a byte; within a letter that of its beginning.
    pub fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        let units: usize = if self.is_ascii { before.len() } else { before.chars().map(char::len_utf16).sum() };
        Position { line: u32::try_from(line).unwrap_or(u32::MAX), character: u32::try_from(units).unwrap_or(u32::MAX) }
    }

    /// The range of some bytes.
    pub fn range(&self, bytes: Range<usize>) -> lsp_types::Range {
        lsp_types::Range { start: self.position(bytes.start), end: self.position(bytes.end) }
    }

    /// The range of everything.
    pub fn whole(&self) -> lsp_types::Range {
        self.range(0..self.text.len())
    }

    /// What an editor says was done.
    pub fn change(&mut self, change: TextDocumentContentChangeEvent) {
        let text = match change.range {
            None => change.text,
            Some(range) => {
                let (start, end) = (self.offset(range.start), self.offset(range.end));
                let mut text = std::mem::take(&mut self.text);
                text.replace_range(start.min(end)..end.max(start), &change.text);
                text
            }
        };
        *self = Document::new(text);
    }
}

#[cfg(test)]
mod tests {
    use lsp_types::{Position, Range, TextDocumentContentChangeEvent};

    use super::Document;

    fn at(line: u32, character: u32) -> Position {
        Position { line, character }
    }

    #[test]
    fn letters_outside_the_basic_plane_are_two_units_wide() {
        let document = Document::new("// 😀é x\r\nb\rc\n".to_owned());
        let x = document.text().find('x').expect("it is there");
        assert_eq!(document.position(x), at(0, 7));
        assert_eq!(document.offset(at(0, 7)), x);
        assert_eq!((document.position(x + 3), document.position(x + 5)), (at(1, 0), at(2, 0)));
        assert_eq!((document.offset(at(0, 99)), document.offset(at(9, 9))), (x + 1, document.text().len()));
    }

    #[test]
    fn a_change_replaces_its_range_and_one_without_a_range_everything() {
        let mut document = Document::new("one\ntwo\n".to_owned());
        let change = |range, text: &str| TextDocumentContentChangeEvent { range, range_length: None, text: text.to_owned() };
        document.change(change(Some(Range { start: at(0, 1), end: at(1, 1) }), "ON"));
        assert_eq!(document.text(), "oONwo\n");
        document.change(change(None, "x"));
        assert_eq!(document, Document::new("x".to_owned()));
    }
}
