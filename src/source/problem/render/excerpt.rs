//! The lines around a problem's labels, of one file or several, as one small text.

use std::ops::Range;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use crate::source::printable::push;
use crate::source::{FileId, Label, Sources, printable};

/// Lines that are shown before and after a label's line.
const AROUND: usize = 1;

/// Characters of one line that are shown; of a longer one, those around its label.
const LINE: usize = 160;

/// The lines that are shown.
#[derive(Debug, Default)]
pub(super) struct Excerpt {
    text: String,
    parts: Vec<Part>,
    /// Each label's place in `text`, in the labels' order.
    marks: Vec<Range<usize>>,
}

/// Neighbouring lines of one file.
#[derive(Debug)]
struct Part {
    /// Where they stand in the excerpt.
    bytes: Range<usize>,
    file: FileId,
    /// Counted from 1, the last one included.
    lines: (usize, usize),
    /// `file:line:column` of its first label.
    place: String,
}

impl Excerpt {
    pub(super) fn new(labels: &[Label], sources: &Sources) -> Excerpt {
        let mut excerpt = Excerpt { marks: vec![0..0; labels.len()], ..Excerpt::default() };
        for label in labels {
            let position = sources.position(label.span);
            let last = position.line + AROUND;
            let lines = (
                position.line.saturating_sub(AROUND).max(1),
                if sources.file(label.span.file).line(last).is_some() { last } else { position.line },
            );
            let touches =
                |part: &&mut Part| part.file == label.span.file && lines.0 <= part.lines.1 + 1 && part.lines.0 <= lines.1 + 1;
            if let Some(part) = excerpt.parts.iter_mut().find(touches) {
                part.lines = (part.lines.0.min(lines.0), part.lines.1.max(lines.1));
            } else {
                let path = sources.path(label.span).to_string_lossy();
                let place = format!("{}:{}:{}", printable(&path), position.line, position.column);
                excerpt.parts.push(Part { bytes: 0..0, file: label.span.file, lines, place });
            }
        }
        for index in 0..excerpt.parts.len() {
            let start = excerpt.text.len();
            let Part { file, lines, .. } = excerpt.parts[index];
            for number in lines.0..=lines.1 {
                excerpt.line(file, number, labels, sources);
            }
            excerpt.parts[index].bytes = start..excerpt.text.len();
        }
        excerpt
    }

    /// Each label's place in the excerpt, in the labels' order.
    pub(super) fn marks(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.marks.iter().cloned()
    }

    /// Appends a line as it is shown, and finds the labels that begin on it. A label ends with its line.
    fn line(&mut self, file: FileId, number: usize, labels: &[Label], sources: &Sources) {
        let source = sources.file(file);
        let Some(bytes) = source.line(number) else { return };
        let whole = source.text.get(bytes.clone()).unwrap_or_default();
        // The labels of this line, in bytes of the line.
        let here: Vec<(usize, Range<usize>)> = labels
            .iter()
            .enumerate()
            .filter(|(_, label)| label.span.file == file && source.position(label.span.start).line == number)
            .map(|(index, label)| {
                let place = |byte: u32| (byte as usize).clamp(bytes.start, bytes.end) - bytes.start;
                (index, place(label.span.start)..place(label.span.end).max(place(label.span.start)))
            })
            .collect();
        let (from, to) = shown(whole, here.first().map(|(_, label)| label.start));
        if from > 0 {
            self.text.push('…');
        }
        let before = self.text.len();
        let mut marks: Vec<Option<Range<usize>>> = vec![None; here.len()];
        for (at, char) in whole.char_indices().skip_while(|(at, _)| *at < from).take_while(|(at, _)| *at < to) {
            let begin = self.text.len();
            match char {
                '\t' => self.text.push_str("    "),
                '\u{feff}' if number == 1 && at == 0 => {}
                _ => push(&mut self.text, char),
            }
            for ((_, label), mark) in here.iter().zip(&mut marks) {
                if label.contains(&at) {
                    *mark = Some(mark.as_ref().map_or(begin, |mark| mark.start)..self.text.len());
                } else if label.start == at {
                    *mark = Some(begin..begin);
                }
            }
        }
        for ((index, label), mark) in here.iter().zip(marks) {
            // A label that lies beyond what is shown of a long line is at its edge.
            let edge = if label.start < from { before } else { self.text.len() };
            self.marks[*index] = mark.unwrap_or(edge..edge);
        }
        if to < whole.len() {
            self.text.push('…');
        }
        self.text.push('\n');
    }
}

/// Which bytes of a line are shown: all, or those around a label.
fn shown(line: &str, label: Option<usize>) -> (usize, usize) {
    if line.len() <= LINE {
        return (0, line.len());
    }
    let label = label.unwrap_or(0);
    let from = if label < LINE / 2 { 0 } else { line.floor_char_boundary(label - LINE / 2) };
    (from, line.ceil_char_boundary((from + LINE).min(line.len())))
}

impl SourceCode for Excerpt {
    /// The whole part in which the label lies, whatever context is asked for: the excerpt is the context. Labels of two parts
    /// have none in common, so miette shows each part by itself, under its own file's name.
    fn read_span<'a>(&'a self, span: &SourceSpan, _: usize, _: usize) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let end = span.offset() + span.len();
        let part = self
            .parts
            .iter()
            .find(|part| part.bytes.start <= span.offset() && end <= part.bytes.end)
            .ok_or(MietteError::OutOfBounds)?;
        let data = self.text.as_bytes().get(part.bytes.clone()).ok_or(MietteError::OutOfBounds)?;
        let all = (part.bytes.start, part.bytes.len()).into();
        let lines = part.lines.1 - part.lines.0 + 1;
        Ok(Box::new(MietteSpanContents::new_named(part.place.clone(), data, all, part.lines.0 - 1, 0, lines)))
    }
}
