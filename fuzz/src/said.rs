//! What is said must be safe to say: places lie in their files, and no format lets anything act that stands in it.

use std::borrow::Cow;

use lvsform::plan::{Plan, policy::Broken};
use lvsform::report::review::Review;
use lvsform::report::{self, text::Style};
use lvsform::source::problem::{self, Problem};
use lvsform::source::{Sources, Span, printable};

/// Every place lies in its file, between two characters.
pub fn places(problems: &[Problem], sources: &Sources) {
    let holds = |span: Span, problem: &Problem| {
        let text = &sources.files().get(usize::from(span.file.0)).unwrap_or_else(|| panic!("no such file: {problem:?}")).text;
        let (start, end) = (span.start as usize, span.end as usize);
        assert!(start <= end && end <= text.len(), "a place that lies outside: {problem:?}");
        assert!(text.is_char_boundary(start) && text.is_char_boundary(end), "a place within a character: {problem:?}");
    };
    for problem in problems {
        assert!(!problem.message.is_empty(), "nothing is said: {problem:?}");
        assert!(problem.page().is_some(), "no page of the catalogue: {problem:?}");
        for label in &problem.labels {
            holds(label.span, problem);
        }
        if let Some(edit) = &problem.edit {
            holds(edit.span, problem);
        }
    }
}

/// Problems can be said in every format.
pub fn problems(problems: &[Problem], sources: &Sources) {
    for (colour, width) in [(true, 40), (false, 81), (false, 200)] {
        let text = problem::render(problems, sources, problem::Style { colour, width });
        if !colour {
            is_plain(&text);
        }
    }
    let told = report::json::checked(vec![report::json::CheckedFile {
        file: "a.kdl".to_owned(),
        valid: false,
        problems: problem::json(problems, sources),
    }]);
    serde_json::to_string(&told).expect("a document");
    let mut review = Review { command: "check", ..Review::default() };
    review.add_file("a.kdl", "not valid", problems, sources);
    every_format(&review);
}

/// A plan can be said in every format.
pub fn plan(plan: &Plan, broken: &[Broken], sources: &Sources, digest: &str) {
    for (colour, width, verbose) in [(true, 40, true), (false, 81, false), (false, usize::MAX, true)] {
        let text = report::text::plan(plan, sources, Style { colour, width, verbose });
        if !colour {
            is_plain(&text);
        }
    }
    is_plain(&report::text::how_to_apply(plan, Some("a b"), digest));
    is_plain(&report::text::applied(plan));
    serde_json::to_string(&report::json::plan(plan, sources, digest)).expect("a document");
    every_format(&Review::of_plan(plan, broken, Vec::new(), sources));
}

/// A review can be written in every format, and nothing in it ends a line, an element or an attribute too early.
pub fn every_format(review: &Review) {
    for line in report::github::annotations(review).lines() {
        assert!(line.starts_with("::error ") || line.starts_with("::warning ") || line.starts_with("::notice "), "{line:?}");
    }
    serde_json::to_string(&report::sarif::log(review)).expect("a document");
    for changes_fail in [false, true] {
        is_xml(&report::junit::document(review, changes_fail));
    }
    let whole = report::markdown::comment(review, None);
    is_plain(&whole);
    for most in [1000, 5000] {
        let text = report::markdown::comment(review, Some(most));
        assert!(text.len() <= most, "{} bytes in place of {most}", text.len());
    }
    let page = report::html::page(review);
    assert!(!page.chars().any(|char| char.is_control() && char != '\n' && char != '\t'), "{page:?}");
}

/// Nothing in a text acts on a terminal; lines are ended by line feeds.
pub fn is_plain(text: &str) {
    for line in text.split('\n') {
        assert!(matches!(printable(line), Cow::Borrowed(_)), "not safe to print: {line:?}");
    }
}

fn is_xml(text: &str) {
    assert!(!text.contains(|char: char| char.is_control() && !char.is_whitespace() || matches!(char, '\u{fffe}' | '\u{ffff}')));
    let mut reader = quick_xml::Reader::from_str(text);
    let mut depth = 0_u32;
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("not XML: {error}\n{text}")) {
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Start(tag) => {
                depth += 1;
                for attribute in tag.attributes() {
                    let _ = attribute.unwrap_or_else(|error| panic!("not XML: {error}\n{text}"));
                }
            }
            quick_xml::events::Event::End(_) => depth -= 1,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "{text}");
}
