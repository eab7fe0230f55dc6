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
        let text = &sources.files().get(span.file.0 as usize).unwrap_or_else(|| panic!("no such file: {problem:?}")).text;
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
    let text = problem::render(problems, sources, problem::Style { colour: false, width: 81 });
    is_plain(&text);
    problem::render(problems, sources, problem::Style { colour: true, width: 40 + text.len() % 200 });
    let told = report::json::checked(vec![report::json::CheckedFile {
        file: "a.kdl".to_owned(),
        valid: false,
        problems: problem::json(problems, sources),
    }]);
    serde_json::to_string(&told).expect("a document");
    let mut review = Review { command: "check", ..Review::default() };
    review.add_file("a.kdl", "not valid", problems, sources);
    a_format(&review, text.len());
}

/// A plan can be said in every format.
pub fn plan(plan: &Plan, broken: &[Broken], sources: &Sources, digest: &str) {
    let text = report::text::plan(plan, sources, Style { colour: false, width: 81, verbose: false });
    is_plain(&text);
    let turn = text.len();
    is_plain(&report::text::plan(plan, sources, Style { colour: false, width: 40 + turn % 200, verbose: true }));
    is_plain(&report::text::how_to_apply(plan, &["--overlay".to_owned(), "a b".to_owned()], Some("a b"), digest));
    is_plain(&report::text::applied(plan));
    serde_json::to_string(&report::json::plan(plan, sources, digest)).expect("a document");
    a_format(&Review::of_plan(plan, broken, Vec::new(), sources), turn);
}

/// A review can be written in every format, and nothing in it ends a line, an element or an attribute too early. An input sees
/// one of them, always the same: all of them take longer than everything else.
pub fn a_format(review: &Review, turn: usize) {
    match turn % 5 {
        0 => {
            for line in report::github::annotations(review).lines() {
                assert!(["::error ", "::warning ", "::notice "].iter().any(|begin| line.starts_with(begin)), "{line:?}");
            }
        }
        1 => _ = serde_json::to_string(&report::sarif::log(review)).expect("a document"),
        2 => is_xml(&report::junit::document(review, turn > 1000)),
        3 => {
            is_plain(&report::markdown::comment(review, None));
            let most = 1000 + turn % 5000;
            let text = report::markdown::comment(review, Some(most));
            assert!(text.len() <= most, "{} bytes in place of {most}", text.len());
        }
        _ => {
            let page = report::html::page(review);
            assert!(!page.chars().any(|char| char.is_control() && char != '\n' && char != '\t'), "{page:?}");
        }
    }
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
