//! Single words and values as both spellings write them: quotes, escapes, numbers.

use std::fmt::Write as _;

/// A value, free of the way in which it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A string, decoded.
    Text(String),
    /// A whole number in canonical form.
    Number(String),
    /// `#true`, `true`
    Boolean(bool),
    /// A token of something that is left out by `/-` and that the language does not know: kept as it stands.
    Raw(String),
}

impl Value {
    /// As an argument in KDL. Strings are quoted always.
    pub(super) fn kdl(&self) -> String {
        match self {
            Value::Text(text) => quoted(text, |out, char| {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(char));
            }),
            Value::Number(number) => number.clone(),
            Value::Boolean(truth) => format!("#{truth}"),
            Value::Raw(token) => token.clone(),
        }
    }

    /// As the name of a node or property in KDL: without quotes where it can be.
    pub(super) fn kdl_name(&self) -> String {
        match self {
            Value::Text(text) if is_word(text) => text.clone(),
            _ => self.kdl(),
        }
    }

    /// As a value in TOML.
    pub(super) fn toml(&self) -> String {
        match self {
            Value::Text(text) => toml_text(text),
            // TOML has no sign before `0x`.
            Value::Number(number) => match number.strip_prefix('-').and_then(parse) {
                Some(number) => format!("-{number}"),
                None => number.clone(),
            },
            Value::Boolean(truth) => truth.to_string(),
            Value::Raw(token) => token.clone(),
        }
    }
}

/// A key in TOML: without quotes where it can be.
pub(super) fn toml_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { key.to_owned() } else { toml_text(key) }
}

/// A dotted key in TOML.
pub(super) fn toml_path(keys: &[String]) -> String {
    keys.iter().map(|key| toml_key(key)).collect::<Vec<_>>().join(".")
}

fn toml_text(text: &str) -> String {
    quoted(text, |out, char| {
        let code = u32::from(char);
        let _ = if code > 0xffff { write!(out, "\\U{code:08X}") } else { write!(out, "\\u{code:04X}") };
    })
}

/// A number in canonical form: no `+`, no `_`, no zeros before it, hexadecimal digits small. Its base is its author's: a mark
/// of packets is often a set of bits.
pub(super) fn number(token: &str) -> String {
    let (sign, unsigned) = match token.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", token.strip_prefix('+').unwrap_or(token)),
    };
    let plain = unsigned.replace('_', "").to_ascii_lowercase();
    let (prefix, digits) = match plain.get(..2) {
        Some(prefix @ ("0x" | "0o" | "0b")) => (prefix, &plain[2..]),
        _ => ("", plain.as_str()),
    };
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => format!("{sign}{prefix}{digits}"),
    }
}

fn parse(digits: &str) -> Option<u128> {
    let radix = match digits.get(..2)? {
        "0x" => 16,
        "0o" => 8,
        "0b" => 2,
        _ => return None,
    };
    u128::from_str_radix(digits.get(2..)?, radix).ok()
}

/// Whether a name needs no quotes in KDL. Stricter than KDL: nobody should have to know its rules to read a file.
fn is_word(text: &str) -> bool {
    let begins = text.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
    begins
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && !matches!(text, "true" | "false" | "null" | "inf" | "nan")
}

fn quoted(text: &str, escape: impl Fn(&mut String, char)) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            _ if hidden(char) => escape(&mut out, char),
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

/// Characters that change how text is shown, or break lines where nobody sees it.
fn hidden(char: char) -> bool {
    char.is_control() || matches!(char, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_base_and_loses_what_means_nothing() {
        for (token, canonical) in
            [("007", "7"), ("+5", "5"), ("1_000", "1000"), ("-0", "0"), ("0x00FF", "0xff"), ("-0b0_1", "-0b1"), ("0x0", "0")]
        {
            assert_eq!(number(token), canonical);
        }
        assert_eq!(Value::Number("-0x10".into()).toml(), "-16");
    }

    #[test]
    fn names_are_quoted_where_they_must_be_and_texts_always() {
        for (name, kdl, toml) in [
            ("max-deletes", "max-deletes", "max-deletes"),
            ("net.core", "net.core", "\"net.core\""),
            ("10", "\"10\"", "10"),
            ("true", "\"true\"", "true"),
            ("", "\"\"", "\"\""),
            ("a\"\n\u{202e}", "\"a\\\"\\n\\u{202e}\"", "\"a\\\"\\n\\u202E\""),
        ] {
            assert_eq!(Value::Text(name.into()).kdl_name(), kdl);
            assert_eq!(toml_key(name), toml);
        }
        assert_eq!(Value::Text("wlc".into()).kdl(), "\"wlc\"");
    }
}
