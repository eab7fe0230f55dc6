//! Lines of a file with their trailing comments, which stand in one column where lines follow each other.

/// Columns within which a line is kept where there is a choice.
pub(super) const WIDTH: usize = 100;

/// Spaces of one block within another.
pub(super) const INDENT: usize = 4;

/// One line, or one piece of text that begins on a line of its own.
#[derive(Debug)]
pub(super) struct Line {
    /// Blocks around it.
    pub(super) depth: usize,
    /// Its text without indentation.
    pub(super) text: String,
    /// Comments behind it.
    pub(super) trailing: Vec<String>,
    /// Whether a blank line stands before it.
    pub(super) blank: bool,
    /// Whether its trailing comment minds its own column only.
    pub(super) alone: bool,
}

impl Line {
    pub(super) fn new(depth: usize, text: impl Into<String>) -> Line {
        Line { depth, text: text.into(), trailing: Vec::new(), blank: false, alone: false }
    }

    fn width(&self) -> usize {
        self.depth * INDENT + width(&self.text)
    }
}

/// How many columns a text takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

/// The text of all lines.
pub(super) fn render(lines: &[Line]) -> String {
    let mut out = String::new();
    let mut rest = lines;
    while let Some(first) = rest.first() {
        let follow = |line: &&Line| !line.alone && !line.blank && line.depth == first.depth;
        let run = if first.alone { 1 } else { 1 + rest[1..].iter().take_while(follow).count() };
        let (these, others) = rest.split_at(run);
        let column = these.iter().filter(|line| !line.trailing.is_empty()).map(Line::width).max().unwrap_or(0);
        for line in these {
            if line.blank && !out.is_empty() {
                out.push('\n');
            }
            out.extend(std::iter::repeat_n(' ', line.depth * INDENT));
            out.push_str(&line.text);
            if !line.trailing.is_empty() {
                out.extend(std::iter::repeat_n(' ', column - line.width() + 2));
                out.push_str(&line.trailing.join(" "));
            }
            out.push('\n');
        }
        rest = others;
    }
    out
}
