//! A record as bytes: one line that says what it is and that it is whole, then JSON.
//!
//! A record is put in place whole or not at all ([`super::store`]), so one that does not fit its line was damaged later, and
//! nothing of it is believed. One of another version is left to the program that wrote it.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::plan::digest::sha256 as digest;

/// Why a record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Another version of lvsform wrote it: what it says it is, and what this one reads.
    Version {
        /// `lvsform-ledger/2`
        found: String,
        /// `lvsform-ledger/1`
        known: &'static str,
    },
    /// It is not what was written.
    Broken,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Version { found, known } => write!(f, "is {found}, and this version of lvsform reads {known}"),
            Damage::Broken => f.write_str("is damaged"),
        }
    }
}

/// A record of this format: `lvsform-ledger/1`.
pub fn encode(format: &str, record: &impl Serialize) -> Vec<u8> {
    // The first line is as long whatever the rest is: a place is kept for it, so that a large record is not copied.
    let line = |sum: &str| format!("{format} {sum}\n").into_bytes();
    let mut bytes = line(&sum(format, &[]));
    let start = bytes.len();
    // Keys are text and values are plain, so this cannot fail.
    let _ = serde_json::to_writer(&mut bytes, record);
    let sum = sum(format, bytes.get(start..).unwrap_or_default());
    bytes.splice(..start, line(&sum));
    bytes.push(b'\n');
    bytes
}

/// Reads what [`encode`] wrote.
pub fn decode<T: DeserializeOwned>(format: &'static str, bytes: &[u8]) -> Result<T, Damage> {
    let (line, rest) = split_line(bytes).ok_or(Damage::Broken)?;
    let (found, written) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')).ok_or(Damage::Broken)?;
    let text = rest.strip_suffix(b"\n").ok_or(Damage::Broken)?;
    if written != sum(found, text) {
        return Err(Damage::Broken);
    }
    if found != format {
        return Err(Damage::Version { found: found.to_owned(), known: format });
    }
    serde_json::from_slice(text).map_err(|_| Damage::Broken)
}

/// What a record's first line says of it, its own words among it: a damaged name is not another version.
fn sum(format: &str, text: &[u8]) -> String {
    digest(format!("{format} {}", digest(text)).as_bytes())
}

/// One line of a record that grows: its digest, shortened, and JSON without a line break.
pub fn encode_line(entry: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_string(entry).unwrap_or_default();
    format!("{} {text}\n", short(text.as_bytes())).into_bytes()
}

/// Reads all lines. What comes after the last break is torn, because a run died while it wrote, and is no line; any other
/// line that does not fit was damaged later.
pub fn decode_lines<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<Vec<T>, Damage> {
    let mut entries = Vec::new();
    while let Some((line, rest)) = split_line(bytes) {
        bytes = rest;
        entries.push(decode_line(line).ok_or(Damage::Broken)?);
    }
    Ok(entries)
}

/// The lines without what is torn at their end.
pub fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.get(..end).unwrap_or_default()
}

/// Reads one line without its break.
pub fn decode_line<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let (sum, text) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    (sum == short(text.as_bytes())).then(|| serde_json::from_str(text).ok())?
}

fn short(bytes: &[u8]) -> String {
    let mut sum = digest(bytes);
    sum.truncate(16);
    sum
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::{Damage, decode, decode_lines, encode, encode_line, whole_lines};

    const FORMAT: &str = "lvsform-test/1";

    #[test]
    fn a_record_with_any_byte_cut_or_any_bit_flipped_is_damaged() {
        let bytes = encode(FORMAT, &["tcp 10.0.0.100:443", "x"]);
        assert_eq!(decode::<Vec<String>>(FORMAT, &bytes).map(|read| read.len()), Ok(2));
        for end in 0..bytes.len() {
            assert!(decode::<Vec<String>>(FORMAT, &bytes[..end]).is_err(), "cut at {end}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode::<Vec<String>>(FORMAT, &bytes), Err(Damage::Broken), "bit {bit}");
        }
    }

    #[test]
    fn a_record_of_another_version_is_told_from_a_damaged_one() {
        let bytes = encode("lvsform-test/2", &["x"]);
        let found = "lvsform-test/2".to_owned();
        assert_eq!(decode::<Vec<String>>(FORMAT, &bytes), Err(Damage::Version { found, known: FORMAT }));
    }

    #[test]
    fn a_line_that_is_torn_at_the_end_was_never_written() {
        let bytes: Vec<u8> = ["one", "two", "three"].iter().flat_map(encode_line).collect();
        let two: Vec<String> = vec!["one".into(), "two".into()];
        for end in [bytes.len() - 1, bytes.len() - 9, bytes.len() - 20] {
            assert_eq!(decode_lines::<String>(&bytes[..end]), Ok(two.clone()), "cut at {end}");
            assert_eq!(whole_lines(&bytes[..end]), &bytes[..bytes.len() - encode_line(&"three").len()]);
        }
    }

    #[test]
    fn a_line_with_any_bit_flipped_is_damaged_and_nothing_after_it_is_lost_in_silence() {
        let bytes: Vec<u8> = ["one", "two", "three"].iter().flat_map(encode_line).collect();
        // The very last break may be gone: then the line was never written.
        for bit in 0..(bytes.len() - 1) * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_lines::<String>(&bytes), Err(Damage::Broken), "bit {bit}");
        }
    }
}
