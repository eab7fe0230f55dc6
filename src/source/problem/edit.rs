//! What would mend a problem, as a change of the file's text. Everything around it stays: comments, blanks, order.

use super::Problem;
use crate::source::{FileId, Span};

/// A change of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced.
    pub span: Span,
    /// With what.
    pub text: String,
    /// Whether nothing else can have been meant: quotes, a number without them, `#true`. A nearest word is a guess.
    pub certain: bool,
}

/// A file's text with every certain edit of it, and how many these were. Of two that meet, the first one counts.
pub fn mended(text: &str, file: FileId, problems: &[Problem]) -> (String, usize) {
    let own = problems.iter().filter_map(|problem| problem.edit.as_deref()).filter(|edit| edit.certain && edit.span.file == file);
    let mut edits: Vec<&Edit> = own.collect();
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let (mut mended, mut at, mut count) = (String::with_capacity(text.len()), 0, 0);
    for edit in edits {
        let (start, end) = (edit.span.start as usize, edit.span.end as usize);
        let (Some(before), true) = (text.get(at..start), text.get(start..end).is_some()) else { continue };
        mended.push_str(before);
        mended.push_str(&edit.text);
        (at, count) = (end, count + 1);
    }
    mended.push_str(text.get(at..).unwrap_or_default());
    (mended, count)
}

#[cfg(test)]
mod tests {
    use super::mended;
    use crate::source::memory::load_text;

    fn text(name: &str, text: &str) -> (String, usize) {
        let loaded = load_text(name, text);
        let file = crate::source::FileId(0);
        mended(text, file, &loaded.problems)
    }

    #[test]
    fn quotes_are_added_and_all_else_stays_as_it_was() {
        let before = "// why\nvip \"v\"  address=10.0.0.1 /* here */ managed=false\n";
        let after = "// why\nvip \"v\"  address=\"10.0.0.1\" /* here */ managed=#false\n";
        assert_eq!(text("a.kdl", before), (after.to_owned(), 2));
        assert_eq!(text("a.kdl", after), (after.to_owned(), 0));
        let before = "[vip.v]   # why\naddress = 10.0.0.1\n";
        assert_eq!(text("a.toml", before), ("[vip.v]   # why\naddress = \"10.0.0.1\"\n".to_owned(), 1));
    }

    #[test]
    fn of_a_text_that_needs_no_edit_nothing_changes() {
        assert_eq!(text("a.kdl", "a \"é\" 1\n"), ("a \"é\" 1\n".to_owned(), 0));
    }
}
