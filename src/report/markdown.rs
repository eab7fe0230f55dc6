//! A review as Markdown for a comment on a pull request: the summary first, the rest to be unfolded.
//!
//! A comment has an upper limit of bytes. What does not fit is left out by whole rows, from the end, and counted, so that no
//! table is ever torn.

use std::fmt::Write as _;

use super::review::{Finding, Line, Part, Review};
use super::symbol;
use crate::source::printable;
use crate::source::problem::Severity;

/// The comment, in at most so many bytes where there is a limit.
pub fn comment(review: &Review, most: Option<usize>) -> String {
    let all = rows(review);
    let whole = render(review, all);
    let Some(most) = most.filter(|most| whole.len() > *most) else { return whole };
    // More rows are more bytes: the most rows that fit.
    let (mut fits, mut too_many) = (0, all);
    while fits + 1 < too_many {
        let middle = fits.midpoint(too_many);
        if render(review, middle).len() <= most { fits = middle } else { too_many = middle }
    }
    let text = render(review, fits);
    if text.len() <= most { text } else { String::new() }
}

/// A part counts as a row, so that however many there are, some fit.
fn rows(review: &Review) -> usize {
    review.parts.iter().map(|part| 1 + part.findings.len() + part.changes.len() + part.notes.len()).sum()
}

fn render(review: &Review, mut rows: usize) -> String {
    let mut text = format!("### lvsform {}\n", review.command);
    let mut left_out = 0;
    for part in &review.parts {
        if rows == 0 {
            left_out += 1;
            continue;
        }
        rows -= 1;
        write_part(&mut text, part, &mut rows);
    }
    if left_out > 0 {
        let _ = write!(text, "\n… and {left_out} more.\n");
    }
    text
}

fn write_part(text: &mut String, part: &Part, rows: &mut usize) {
    let _ = write!(text, "\n**{}**", escaped(&part.name));
    if !part.about.is_empty() {
        let _ = write!(text, " · {}", escaped(&part.about));
    }
    if !part.outcome.is_empty() {
        let _ = write!(text, "<br>{}", escaped(&part.outcome));
    }
    text.push('\n');
    let mut take = |all: usize| {
        let taken = all.min(*rows);
        *rows -= taken;
        taken
    };
    let (findings, notes, changes) = (take(part.findings.len()), take(part.notes.len()), take(part.changes.len()));
    if findings > 0 {
        text.push_str("\n| | what | where |\n|---|---|---|\n");
        for finding in part.findings.iter().take(findings) {
            row(text, &finding_cells(finding));
        }
    }
    more(text, part.findings.len() - findings, "problems");
    if notes > 0 {
        text.push('\n');
    }
    for note in part.notes.iter().take(notes) {
        let _ = writeln!(text, "- {}", escaped(note));
    }
    more(text, part.notes.len() - notes, "notes");
    if changes > 0 {
        let _ = write!(text, "\n<details><summary>{} changes</summary>\n\n", part.changes.len());
        text.push_str("| | object | in the kernel | where | what it does |\n|---|---|---|---|---|\n");
        for line in part.changes.iter().take(changes) {
            row(text, &change_cells(line));
        }
        more(text, part.changes.len() - changes, "changes");
        text.push_str("\n</details>\n");
    } else {
        more(text, part.changes.len(), "changes");
    }
}

fn more(text: &mut String, count: usize, what: &str) {
    if count > 0 {
        let _ = write!(text, "\n… and {count} more {what}.\n");
    }
}

fn finding_cells(finding: &Finding) -> [String; 3] {
    let sign = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let help = finding.help.iter().map(|help| format!("<br>{}", escaped(help)));
    let related = finding.related_in_words().map(|words| format!("<br>{}", escaped(&words)));
    let more: String = help.chain(related).collect();
    let place = finding.place.as_ref().map(ToString::to_string).unwrap_or_default();
    [format!("{sign} `{}`", finding.heading()), format!("{}{more}", escaped(&finding.message)), escaped(&place)]
}

fn change_cells(line: &Line) -> [String; 5] {
    let none = || "none".to_owned();
    let told = |name: &str| line.impacts.iter().find(|(field, _)| *field == Some(name));
    let mut effects: Vec<String> = Vec::new();
    for (field, place) in line.placed_fields() {
        let (before, after) = (field.before.clone().unwrap_or_else(none), field.after.clone().unwrap_or_else(none));
        let impact = told(field.field).map(|(_, impact)| format!(": {impact}")).unwrap_or_default();
        let place = place.map(|(place, _)| format!(" ({place})")).unwrap_or_default();
        effects.push(escaped(&format!("{} {before} → {after}{place}{impact}", field.field)));
    }
    let of_a_field = |name: &str| line.fields.iter().any(|field| field.field == name);
    let rest = line.impacts.iter().filter(|(field, _)| !field.is_some_and(of_a_field));
    effects.extend(rest.map(|(_, impact)| escaped(impact)));
    [symbol(line.action).to_string(), escaped(&line.what), escaped(&line.identity), escaped(&line.origin), effects.join("<br>")]
}

fn row(text: &mut String, cells: &[String]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// Text that is nothing but text, in a table's cell too: no markup, no link, no mention, no HTML. [`printable`] leaves no line's
/// end in it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // A mention of somebody, and what would become a link to an issue.
            '@' => escaped.push_str("&#64;"),
            '#' => escaped.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{comment, escaped, rows};
    use crate::report::review::{Part, Review, bare_line};
    use crate::state::Change;

    fn review(changes: usize) -> Review {
        let change = |at: usize| {
            let key = format!("vip 10.0.{}.{} eth0", at / 250, at % 250 + 1).parse().expect("a key");
            bare_line("a|b", &Change { key, before: None, after: None }, "x.kdl:1")
        };
        let part = |name: &str| Part {
            name: name.to_owned(),
            outcome: "much to do".to_owned(),
            changes: (0..changes).map(change).collect(),
            notes: vec!["a note".to_owned(); 3],
            ..Part::default()
        };
        Review { command: "plan", parts: vec![part("lb1"), part("lb2")], ..Review::default() }
    }

    #[test]
    fn a_text_cannot_leave_its_cell_or_become_markup() {
        assert_eq!(escaped("a|b\n<img src=x> `c` @me #1"), r"a\|b\\n&lt;img src=x&gt; \`c\` &#64;me &#35;1");
    }

    #[test]
    fn whatever_the_limit_it_is_kept_and_no_table_is_torn() {
        let review = review(200);
        let whole = comment(&review, None);
        for most in (0..whole.len() + 100).step_by(97) {
            let text = comment(&review, Some(most));
            assert!(text.len() <= most, "{most}");
            for line in text.lines().filter(|line| line.starts_with('|')) {
                assert!(line.ends_with('|'), "{line}");
            }
            assert_eq!(text.matches("<details>").count(), text.matches("</details>").count(), "{most}");
        }
        assert_eq!(comment(&review, Some(whole.len())), whole);
        assert_eq!(whole.matches("\n| + |").count(), 400);
        assert_eq!(rows(&review), 2 * (1 + 200 + 3));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let text = comment(&review(200), Some(6_000));
        assert!(text.contains("more changes.") || text.contains("… and 1 more."), "{text}");
    }
}
