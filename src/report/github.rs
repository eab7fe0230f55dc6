//! A review as workflow commands of GitHub Actions: each shows as an annotation at its line.
//!
//! A code host shows few annotations, so all that belongs to one line is one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::review::{Finding, Line, Place, Review};
use super::symbol;
use crate::source::problem::Severity;

/// The annotations, a line each.
pub fn annotations(review: &Review) -> String {
    let mut text = String::new();
    for part in &review.parts {
        for finding in &part.findings {
            let level = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            write(&mut text, level, finding.place.as_ref(), &finding.heading(), &sentence(finding));
        }
        let mut by_place: BTreeMap<(String, usize), Vec<Line>> = BTreeMap::new();
        for line in part.changes.iter().flat_map(where_said) {
            let place = line.place.as_ref().map_or_else(Default::default, |place| (place.file.clone(), place.line));
            by_place.entry(place).or_default().push(line);
        }
        for lines in by_place.values() {
            let level = if lines.iter().any(|line| line.cut > 0) { "warning" } else { "notice" };
            let said: Vec<String> = lines.iter().map(words).collect();
            let title = format!("lvsform {} {}", review.command, part.name);
            write(&mut text, level, lines.first().and_then(|line| line.place.as_ref()), &title, &said.join("\n"));
        }
        let title = format!("lvsform {} {}", review.command, part.name);
        write(&mut text, "notice", None, &title, &part.outcome);
    }
    text
}

fn sentence(finding: &Finding) -> String {
    let lines = [finding.message.clone()].into_iter().chain(finding.help.clone()).chain(finding.related_in_words());
    lines.collect::<Vec<_>>().join("\n")
}

/// A change at the places where it is said: those of its fields that an overlay, a default or a variable says stand there.
fn where_said(line: &Line) -> Vec<Line> {
    let mut apart: Vec<Line> = Vec::new();
    let mut own = Line { fields: Vec::new(), places: Vec::new(), ..line.clone() };
    for (field, place) in line.placed_fields() {
        let Some((_, place)) = place else {
            own.fields.push(field.clone());
            continue;
        };
        if let Some(known) = apart.iter_mut().find(|known| known.place.as_ref() == Some(place)) {
            known.fields.push(field.clone());
            continue;
        }
        apart.push(Line { place: Some(place.clone()), fields: vec![field.clone()], impacts: Vec::new(), cut: 0, ..own.clone() });
    }
    for line in &mut apart {
        let is_of = |(field, _): &(Option<&'static str>, String)| {
            field.is_some_and(|field| line.fields.iter().any(|known| known.field == field))
        };
        let (of, rest) = std::mem::take(&mut own.impacts).into_iter().partition(is_of);
        (line.impacts, own.impacts) = (of, rest);
    }
    // Nothing of it is said where the object is.
    if own.fields.is_empty() && !apart.is_empty() {
        if let Some(first) = apart.first_mut() {
            first.impacts.append(&mut own.impacts);
            first.cut = own.cut;
        }
        return apart;
    }
    apart.push(own);
    apart
}

/// `+ server shop web3 10.0.0.13:443 dr weight 100`, with what it does below.
fn words(line: &Line) -> String {
    let mut words = format!("{} {} {}", symbol(line.action), line.what, line.identity);
    for field in &line.fields {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let _ = write!(words, "\n  {}: {} → {}", field.field, value(&field.before), value(&field.after));
    }
    for (_, impact) in &line.impacts {
        let _ = write!(words, "\n  {impact}");
    }
    words
}

fn write(text: &mut String, level: &str, place: Option<&Place>, title: &str, message: &str) {
    let _ = write!(text, "::{level} ");
    if let Some(Place { file, line, column, end_line, end_column }) = place {
        let _ = write!(text, "file={},line={line},endLine={end_line},", property(file));
        if line == end_line {
            // Columns mean something on one line only.
            let _ = write!(text, "col={column},endColumn={end_column},");
        }
    }
    let _ = writeln!(text, "title={}::{}", property(title), data(message));
}

/// What stands behind `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What stands before it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::{data, property};

    #[test]
    fn nothing_in_a_text_begins_a_command_or_ends_a_property() {
        assert_eq!(data("100 %\n::error::x"), "100 %25%0A::error::x");
        assert_eq!(property("a:b,c"), "a%3Ab%2Cc");
    }
}
