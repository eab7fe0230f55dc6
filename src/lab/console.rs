//! The guest's console: kept for the day on which a guest dies, and foreign text until then.

use crate::source::printable;

/// How many lines tell why a kernel stopped.
const LINES: usize = 12;

/// The last lines of a console, indented, with everything that is no plain character made visible.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let cause = lines.iter().position(|line| line.contains("Kernel panic") || line.starts_with("lab: "));
    let from = cause.unwrap_or_else(|| lines.len().saturating_sub(LINES));
    let shown: Vec<String> = lines.iter().skip(from).take(LINES).map(|line| format!("  {}", printable(line))).collect();
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn control_characters_of_a_guest_become_visible() {
        assert_eq!(tail("\u{1b}[2Jhello\r\n"), "  \\x1b[2Jhello");
    }

    #[test]
    fn a_panic_is_shown_from_its_first_line() {
        let text = format!("noise\nKernel panic - not syncing\n{}", "trace\n".repeat(100));
        assert!(tail(&text).starts_with("  Kernel panic"), "{}", tail(&text));
        assert_eq!(tail(&text).lines().count(), 12);
    }
}
