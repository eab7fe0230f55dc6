//! A review as SARIF 2.1.0 (OASIS), which code hosts show on the lines concerned.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::review::{Finding, Line, Place, Review};
use super::symbol;
use crate::source::problem::Severity;
use crate::state::Action;

/// The log of one run.
pub fn log(review: &Review) -> Value {
    let mut results = Vec::new();
    let mut rules: BTreeMap<String, Value> = BTreeMap::new();
    // A result without any place is shown nowhere.
    let fallback =
        review.files.first().map(|file| Place { file: file.path.clone(), line: 1, column: 1, end_line: 1, end_column: 1 });
    for part in &review.parts {
        for finding in &part.findings {
            let result = of_finding(finding, fallback.as_ref());
            rules.entry(finding.code.clone()).or_insert_with(|| of_rule(finding));
            results.push(result);
        }
        for line in &part.changes {
            let id = rule(line.action);
            let entry = || json!({ "id": id, "shortDescription": { "text": "What applying the file would do to one object." } });
            rules.entry(id.to_owned()).or_insert_with(entry);
            results.push(of_change(line, &part.name, fallback.as_ref()));
        }
    }
    let summaries: BTreeMap<&str, Value> = review.parts.iter().map(|part| (part.name.as_str(), json!(part.summary))).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "lvsform",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.into_values().collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "automationDetails": { "id": format!("lvsform/{}/", review.command) },
            "results": results,
            "properties": { "summary": summaries },
        }],
    })
}

fn rule(action: Action) -> &'static str {
    match action {
        Action::Add => "change-add",
        Action::Change => "change-change",
        Action::Replace => "change-replace",
        Action::Restore => "change-restore",
        Action::Delete => "change-delete",
    }
}

fn of_rule(finding: &Finding) -> Value {
    let Some(page) = finding.page else { return json!({ "id": finding.code }) };
    let help = format!("{}\n\n{}\n\nlvsform explain {}", page.what, page.why, page.code);
    json!({
        "id": page.code,
        "name": page.name,
        "shortDescription": { "text": page.title },
        "fullDescription": { "text": page.what },
        "help": { "text": help },
    })
}

fn of_finding(finding: &Finding, fallback: Option<&Place>) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let text = match &finding.help {
        Some(help) => format!("{}. {help}.", finding.message),
        None => format!("{}.", finding.message),
    };
    let mut result = json!({
        "ruleId": finding.code,
        "level": level,
        "message": { "text": text },
        "locations": locations(finding.place.as_ref().or(fallback)),
    });
    if let (false, Some(result)) = (finding.related.is_empty(), result.as_object_mut()) {
        let related = finding.related.iter().enumerate().map(|(at, (place, text))| of_related(at, place, text));
        result.insert("relatedLocations".to_owned(), related.collect());
    }
    result
}

fn of_change(line: &Line, part: &str, fallback: Option<&Place>) -> Value {
    let impacts: Vec<&str> = line.impacts.iter().map(|(_, impact)| impact.as_str()).collect();
    let effect = if impacts.is_empty() { String::new() } else { format!(": {}", impacts.join("; ")) };
    let text = format!("{part}: {} {} {}{effect}", symbol(line.action), line.what, line.identity);
    json!({
        "ruleId": rule(line.action),
        "level": if line.cut > 0 { "warning" } else { "note" },
        "message": { "text": text },
        "locations": locations(line.place.as_ref().or(fallback)),
    })
}

fn locations(place: Option<&Place>) -> Vec<Value> {
    place.map(|place| json!({ "physicalLocation": physical(place) })).into_iter().collect()
}

fn physical(Place { file, line, column, end_line, end_column }: &Place) -> Value {
    json!({
        "artifactLocation": { "uri": uri(file) },
        "region": { "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column },
    })
}

/// Another place, with a few words.
fn of_related(id: usize, place: &Place, text: &str) -> Value {
    let mut location = json!({ "id": id, "physicalLocation": physical(place) });
    if let (false, Some(location)) = (text.is_empty(), location.as_object_mut()) {
        location.insert("message".to_owned(), json!({ "text": text }));
    }
    location
}

/// A path as a relative reference (RFC 3986): everything but what needs no escape is escaped.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
