//! Foreign text made safe for a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with every character that would act on a terminal or hide itself made visible: controls as `\x1b`, marks of
/// direction, of width zero and foreign line breaks as `\u{202e}`. Line breaks and tabs are controls: what stays is one line.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(hidden) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::with_capacity(text.len() + 16), |mut shown, char| {
        push(&mut shown, char);
        shown
    }))
}

/// Appends one character as [`printable`] shows it.
pub(super) fn push(shown: &mut String, char: char) {
    match char {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        _ if !hidden(char) => shown.push(char),
        _ => {
            let code = u32::from(char);
            // Writing to a string cannot fail.
            let _ = if code < 0x100 { write!(shown, "\\x{code:02x}") } else { write!(shown, "\\u{{{code:x}}}") };
        }
    }
}

fn hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_marks_of_direction_become_visible() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}c\u{200b}d\u{85}e\n"), "a\\x1b[31mb\\u{202e}c\\u{200b}d\\x85e\\n");
    }

    #[test]
    fn ordinary_text_of_any_script_stays_as_it_is() {
        assert!(matches!(printable("Zürich 東京 \u{5d0} wlc"), Cow::Borrowed(_)));
    }
}
