//! What a KDL token without quotes is: a plain word or number, or something that needs quotes.

use crate::source::Scalar;

/// What a token without quotes is.
#[derive(Debug, PartialEq)]
pub(super) enum Word {
    /// An identifier, a number or a keyword of KDL 2.
    Plain,
    /// A whole number beyond the reader's range, and the nearest within it.
    TooLarge(i64),
    /// A keyword of KDL 1 or TOML, without its `#`.
    Keyword(Scalar),
    /// `#` and no keyword of KDL.
    UnknownKeyword,
    /// Anything else, and why it needs quotes.
    Unquoted(&'static str),
}

/// Says what a token without quotes is.
pub(super) fn word(token: &str) -> Word {
    match token {
        "true" => return Word::Keyword(Scalar::Boolean(true)),
        "false" => return Word::Keyword(Scalar::Boolean(false)),
        "null" | "inf" | "-inf" | "nan" => return Word::Unquoted("is a word kept by KDL"),
        "#true" | "#false" | "#null" | "#inf" | "#-inf" | "#nan" => return Word::Plain,
        _ if token.starts_with('#') => return Word::UnknownKeyword,
        _ => {}
    }
    let unsigned = token.strip_prefix(['+', '-']).unwrap_or(token);
    if unsigned.starts_with(|first: char| first.is_ascii_digit()) {
        return number(token, unsigned);
    }
    if unsigned.strip_prefix('.').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit())) {
        return Word::Unquoted("begins with a dot and a digit");
    }
    match token.chars().find(|char| matches!(char, '/' | '[' | ']' | '#') || forbidden(*char)) {
        Some('/') => Word::Unquoted("has a `/`"),
        Some('[' | ']') => Word::Unquoted("has a `[` or `]`"),
        Some('#') => Word::Unquoted("has a `#`"),
        Some(_) => Word::Unquoted("has a control character"),
        None => Word::Plain,
    }
}

/// Characters that KDL allows nowhere, comments apart.
pub(super) fn forbidden(char: char) -> bool {
    matches!(char, '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{200e}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn number(token: &str, unsigned: &str) -> Word {
    if unsigned.len() < 19 && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Word::Plain;
    }
    let negative = token.starts_with('-');
    let (digits, radix) = match unsigned.get(..2) {
        Some("0x" | "0X") => (&unsigned[2..], 16),
        Some("0o" | "0O") => (&unsigned[2..], 8),
        Some("0b" | "0B") => (&unsigned[2..], 2),
        _ => (unsigned, 10),
    };
    if run(digits, radix) {
        let sign = if negative { "-" } else { "" };
        return match i64::from_str_radix(&format!("{sign}{}", digits.replace('_', "")), radix) {
            Ok(_) => Word::Plain,
            Err(_) if negative => Word::TooLarge(i64::MIN),
            Err(_) => Word::TooLarge(i64::MAX),
        };
    }
    if radix == 10 && float(unsigned) { Word::Plain } else { Word::Unquoted("begins with a digit") }
}

/// Digits, the first not `_`.
fn run(digits: &str, radix: u32) -> bool {
    digits.starts_with(|first: char| first.is_digit(radix)) && digits.chars().all(|char| char == '_' || char.is_digit(radix))
}

fn float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    run(whole, 10) && fraction.is_none_or(|part| run(part, 10)) && exponent.is_none_or(|part| run(part, 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_need_no_quotes() {
        for token in
            ["443", "-1", "1_000", "0x1F", "0o7", "0b1", "1.5", "1e3", "1.5E-3", "wlc", "fd00::1", "tcp:80", "-", "a.b", "#true"]
        {
            assert_eq!(word(token), Word::Plain, "{token}");
        }
    }

    #[test]
    fn addresses_durations_and_ranges_need_quotes() {
        for token in [
            "10.0.0.1",
            "10.0.0.0/8",
            "2001:db8::1",
            "5s",
            "0x",
            "0xfg",
            "1.",
            "fd00::1/64",
            "web[2-40]",
            "1e",
            ".5",
            "+.5",
            "a#b",
        ] {
            assert!(matches!(word(token), Word::Unquoted(_)), "{token}");
        }
    }

    #[test]
    fn a_number_beyond_the_range_is_too_large() {
        for (token, nearest) in [("9223372036854775808", i64::MAX), ("-0x8000000000000001", i64::MIN)] {
            assert_eq!(word(token), Word::TooLarge(nearest));
        }
        for token in ["9223372036854775807", "-9_223_372_036_854_775_808"] {
            assert_eq!(word(token), Word::Plain);
        }
    }
}
