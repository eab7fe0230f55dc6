//! What `doctor` found, as people and programs read it.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::printable;
use super::text::Style;
use crate::doctor::{Finding, Severity};

/// The document of `doctor --format json`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "What stands in the way of a host, by lvsform")]
pub struct Document<'a> {
    format: &'static str,
    topology: &'a str,
    host: &'a str,
    findings: &'a [Finding],
}

/// For programs.
pub fn json<'a>(topology: &'a str, host: &'a str, findings: &'a [Finding]) -> Document<'a> {
    Document { format: "lvsform-doctor/1", topology, host, findings }
}

/// For people: what is wrong, what was seen, and what mends it.
pub fn text(host: &str, findings: &[Finding], style: Style) -> String {
    if findings.is_empty() {
        return format!("Nothing stands in the way of {}.\n", printable(host));
    }
    let mut text = String::new();
    for Finding { id, severity, what, evidence, mend } in findings {
        let (symbol, colour) = match severity {
            Severity::Wrong => ("✗", anstyle::AnsiColor::Red),
            Severity::Doubtful => ("?", anstyle::AnsiColor::Yellow),
        };
        let paint = anstyle::Style::new().fg_color(Some(colour.into()));
        let symbol = if style.colour { format!("{paint}{symbol}{paint:#}") } else { symbol.to_owned() };
        let _ = writeln!(text, "{symbol} {} ({id})", printable(what));
        let _ = writeln!(text, "    seen: {}", printable(evidence));
        let _ = writeln!(text, "    mend: {}\n", printable(mend));
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let _ = writeln!(text, "{}: {} wrong, {} doubtful.", printable(host), count(Severity::Wrong), count(Severity::Doubtful));
    text
}
