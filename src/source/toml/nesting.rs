//! How deep a TOML text nests, before the `toml` crate sees it: nested tables are dropped and read by recursion.

/// Brackets within brackets, and dots in one key; the language needs four of each.
pub(super) const CAP: usize = 16;

/// The first byte at which a text nests too deep.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut open, mut dots) = (0, 0_usize, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'#' => {
                at = line_end(bytes, at);
                continue;
            }
            b'"' | b'\'' => {
                at = string_end(bytes, at);
                continue;
            }
            b'[' | b'{' => (open, dots) = (open + 1, 0),
            b']' | b'}' => (open, dots) = (open.saturating_sub(1), 0),
            b'\n' | b'=' | b',' => dots = 0,
            b'.' => dots += 1,
            _ => {}
        }
        if open > CAP || dots > CAP {
            return Some(at);
        }
        at += 1;
    }
    None
}

fn line_end(bytes: &[u8], start: usize) -> usize {
    bytes[start..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| start + length)
}

/// The byte behind a string. One that its line does not close ends with the line.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let fence = [quote; 3];
    let lines = bytes[start..].starts_with(&fence);
    let mut at = start + if lines { 3 } else { 1 };
    while let Some(byte) = bytes.get(at) {
        if *byte == b'\\' && quote == b'"' {
            at += 2;
        } else if lines && bytes[at..].starts_with(&fence) {
            return at + 3;
        } else if !lines && *byte == quote {
            return at + 1;
        } else if !lines && *byte == b'\n' {
            return at;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_dotted_keys_are_counted() {
        assert_eq!(too_deep(&"a.".repeat(CAP)), None);
        assert!(too_deep(&"a.".repeat(CAP + 1)).is_some());
        assert!(too_deep(&format!("a = {}", "[".repeat(10_000))).is_some());
        assert!(too_deep(&format!("a = {}", "{a=".repeat(10_000))).is_some());
    }

    #[test]
    fn strings_and_comments_are_not() {
        let dots = ".[".repeat(100);
        assert_eq!(too_deep(&format!("a = \"{dots}\" # {dots}\nb = '{dots}'\nc = \"\"\"\n{dots}\n\"\"\"")), None);
    }
}
