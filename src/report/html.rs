//! A review as one page that needs nothing beside itself: no script, no font, no network.
//!
//! What is hidden by the choices at its top is hidden by its style alone, so the page reads as well without any. Everything
//! from outside is escaped by the templates.

use std::collections::BTreeSet;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::review::{Finding, Line, Part, Place, Review, Text};
use super::symbol;
use crate::source::printable;
use crate::source::problem::Severity;

const STYLE: &str = include_str!("html/page.css");

/// Bytes of a picture in a page: at most. It is some hundreds of services.
const PICTURE: usize = 2 << 20;

/// Lines of the file beside a change: so many at most.
const EXCERPT: usize = 4;

/// The page.
pub fn page(review: &Review) -> String {
    let kinds: BTreeSet<&str> = review.parts.iter().flat_map(|part| &part.changes).map(|line| line.kind.as_str()).collect();
    let names: Vec<String> = review.parts.iter().map(|part| part.name.clone()).collect();
    let title = format!("lvsform {} · {}", review.command, names.join(", "));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (shown(&title)) }
                style { (PreEscaped(STYLE)) (PreEscaped(choices_style(&kinds, review.parts.len()))) }
            }
            body {
                header {
                    h1 { "lvsform " (review.command) }
                    @if review.parts.len() > 1 || kinds.len() > 1 { (choices(review, &kinds)) }
                }
                main {
                    // Made by our own templates, which escape what comes from outside.
                    @match &review.picture {
                        Some(picture) if picture.len() <= PICTURE => figure class="picture" { (PreEscaped(picture)) },
                        Some(_) => p { "The picture is too large for a page: " code { "lvsform graph" } " draws it." },
                        None => {}
                    }
                    @for (at, part) in review.parts.iter().enumerate() { (of_part(at, part, review)) }
                    @if !review.files.is_empty() {
                        section id="files" {
                            h2 { "Files" }
                            @for (at, file) in review.files.iter().enumerate() { (of_file(at, file)) }
                        }
                    }
                }
            }
        }
    }
    .into_string()
}

/// A box for each host and kind; all are chosen.
fn choices(review: &Review, kinds: &BTreeSet<&str>) -> Markup {
    html! {
        form aria-label="What is shown" {
            @if review.parts.len() > 1 {
                fieldset {
                    legend { "Hosts" }
                    @for (at, part) in review.parts.iter().enumerate() {
                        label { input type="checkbox" id=(format!("part-{at}")) checked; " " (shown(&part.name)) }
                    }
                }
            }
            @if kinds.len() > 1 {
                fieldset {
                    legend { "Kinds" }
                    @for kind in kinds {
                        label { input type="checkbox" id=(format!("kind-{kind}")) checked; " " (kind) }
                    }
                }
            }
        }
    }
}

/// Kinds are words of ours, and parts are numbers: nothing here comes from outside.
fn choices_style(kinds: &BTreeSet<&str>, parts: usize) -> String {
    let hide = |id: &str, class: &str| format!("body:has(#{id}:not(:checked)) .{class}{{display:none}}");
    let parts = (0..parts).map(|at| hide(&format!("part-{at}"), &format!("of-part-{at}")));
    kinds.iter().map(|kind| hide(&format!("kind-{kind}"), &format!("of-kind-{kind}"))).chain(parts).collect()
}

fn of_part(at: usize, part: &Part, review: &Review) -> Markup {
    html! {
        section class=(format!("part of-part-{at}")) {
            h2 { (shown(&part.name)) @if !part.about.is_empty() { " " small { (shown(&part.about)) } } }
            p class="outcome" { (shown(&part.outcome)) }
            @if !part.findings.is_empty() {
                ul class="findings" { @for finding in &part.findings { (of_finding(finding, review)) } }
            }
            @if !part.changes.is_empty() {
                ol class="changes" { @for line in &part.changes { (of_change(line, review)) } }
            }
            @if !part.notes.is_empty() {
                ul class="notes" { @for note in &part.notes { li { (shown(note)) } } }
            }
        }
    }
}

fn of_finding(finding: &Finding, review: &Review) -> Markup {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    html! {
        li class=(level) {
            div {
                strong { (level) } " " code { (finding.heading()) } " " (shown(&finding.message))
                @if let Some(help) = &finding.help { p class="help" { (shown(help)) } }
            }
            (excerpt(finding.place.as_ref(), "", review))
            @for (place, text) in &finding.related {
                div class="related" {
                    @if !text.is_empty() { p { (shown(text)) ":" } }
                    (excerpt(Some(place), &place.to_string(), review))
                }
            }
        }
    }
}

fn of_change(line: &Line, review: &Review) -> Markup {
    let none = || "none".to_owned();
    let told = |name: &str| line.impacts.iter().find(|(field, _)| *field == Some(name)).map(|(_, impact)| impact);
    let of_a_field = |name: &str| line.fields.iter().any(|field| field.field == name);
    let rest = line.impacts.iter().filter(|(field, _)| !field.is_some_and(of_a_field));
    let class = match line.action {
        crate::state::Action::Add => "add",
        crate::state::Action::Delete => "delete",
        crate::state::Action::Replace => "replace",
        crate::state::Action::Change | crate::state::Action::Restore => "change",
    };
    html! {
        li class=(format!("{class} of-kind-{}", line.kind)) {
            div {
                span class="sign" aria-label=(class) { (symbol(line.action)) } " "
                strong { (shown(&line.what)) } " " code { (shown(&line.identity)) }
                @if !line.fields.is_empty() {
                    dl {
                        @for (field, place) in line.placed_fields() {
                            dt { (field.field) }
                            dd {
                                del { (shown(&field.before.clone().unwrap_or_else(none))) } " → "
                                ins { (shown(&field.after.clone().unwrap_or_else(none))) }
                                @if let Some((place, _)) = place { " " span class="where" { (shown(place)) } }
                                @if let Some(impact) = told(field.field) { span class="impact" { (shown(impact)) } }
                            }
                        }
                    }
                }
                @for (_, impact) in rest { p class=(if line.cut > 0 { "impact cut" } else { "impact" }) { (shown(impact)) } }
            }
            (excerpt(line.place.as_ref(), &line.origin, review))
        }
    }
}

/// The lines of the file beside something, or where it comes from, in words.
fn excerpt(place: Option<&Place>, origin: &str, review: &Review) -> Markup {
    let found = place.and_then(|place| {
        let at = review.files.iter().position(|file| file.path == place.file)?;
        Some((place, at, review.files.get(at)?))
    });
    let Some((place, at, file)) = found else { return html! { p class="origin" { (shown(origin)) } } };
    let last = place.end_line.min(place.line + EXCERPT - 1);
    let lines = file.text.lines().enumerate().skip(place.line - 1).take(last + 1 - place.line);
    html! {
        figure {
            figcaption { a href=(format!("#file-{at}-{}", place.line)) { (shown(&format!("{}:{}", place.file, place.line))) } }
            pre { @for (number, line) in lines { span class="number" { (number + 1) } code { (shown(line)) } "\n" } }
        }
    }
}

fn of_file(at: usize, file: &Text) -> Markup {
    html! {
        details open[at == 0] {
            summary { (shown(&file.path)) }
            pre {
                @for (number, line) in file.text.lines().enumerate() {
                    span class="line" id=(format!("file-{at}-{}", number + 1)) {
                        span class="number" { (number + 1) } code { (shown(line)) } "\n"
                    }
                }
            }
        }
    }
}

/// What cannot be seen is made visible; the template escapes the rest.
fn shown(text: &str) -> String {
    printable(text).into_owned()
}
