//! How durations are spelled: in the file, in plans and in everything that is generated, alike.

use std::fmt::Write as _;

/// The units, the longest first; seconds each.
pub const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Seconds as the language reads them: `1h30m`.
pub fn duration(seconds: u32) -> String {
    if seconds == 0 {
        return "0s".to_owned();
    }
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, length) in UNITS {
        if rest >= length {
            let _ = write!(text, "{}{unit}", rest / length);
            rest %= length;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_spelled_as_they_are_read() {
        let spelled = [(0, "0s"), (90, "1m30s"), (5_400, "1h30m"), (86_400, "1d"), (93_784, "1d2h3m4s"), (2_678_400, "31d")];
        for (seconds, text) in spelled {
            assert_eq!(duration(seconds), text);
        }
    }
}
