//! A review as `JUnit`'s XML, which CI shows as tests: a part is a suite, and what is wrong in it a test that failed. Where parts
//! are tests themselves, they are one suite.

use std::fmt::Write as _;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::review::{Finding, Part, Review};
use super::symbol;
use crate::source::printable;
use crate::source::problem::Severity;

/// One test of a suite.
struct Case {
    name: String,
    /// In a line, and in many.
    failure: Option<(String, String)>,
    output: String,
}

/// The document. Where `changes_fail` an object that changes is a test that failed: drift is wrong, a plan is not.
pub fn document(review: &Review, changes_fail: bool) -> String {
    let suites: Vec<(&str, Vec<Case>)> = match &review.suite {
        Some(name) => vec![(name, review.parts.iter().map(whole).collect())],
        None => review.parts.iter().map(|part| (part.name.as_str(), cases(part, changes_fail))).collect(),
    };
    let all = || suites.iter().flat_map(|(_, cases)| cases);
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let name = format!("lvsform {}", review.command);
    // Writing to memory cannot fail.
    let _ = writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
    let _ = writer.write_event(Event::Start(counted("testsuites", &name, all())));
    for (name, cases) in &suites {
        let _ = writer.write_event(Event::Start(counted("testsuite", name, cases.iter())));
        for case in cases {
            write(&mut writer, name, case);
        }
        let _ = writer.write_event(Event::End(BytesEnd::new("testsuite")));
    }
    let _ = writer.write_event(Event::End(BytesEnd::new("testsuites")));
    let mut text = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    text.push('\n');
    text
}

fn counted<'a>(element: &'a str, name: &str, cases: impl Iterator<Item = &'a Case>) -> BytesStart<'a> {
    let (mut tests, mut failures) = (0, 0);
    for case in cases {
        tests += 1;
        failures += usize::from(case.failure.is_some());
    }
    let mut start = BytesStart::new(element);
    start.push_attribute(("name", &*printable(name)));
    start.push_attribute(("tests", tests.to_string().as_str()));
    start.push_attribute(("failures", failures.to_string().as_str()));
    start.push_attribute(("errors", "0"));
    start
}

/// What is wrong, what to do and the other places concerned, a line each.
fn body(finding: &Finding) -> String {
    let lines = [finding.message.clone()].into_iter().chain(finding.help.clone()).chain(finding.related_in_words());
    lines.collect::<Vec<_>>().join("\n")
}

/// A part that is one test.
fn whole(part: &Part) -> Case {
    let (errors, rest): (Vec<&Finding>, Vec<&Finding>) =
        part.findings.iter().partition(|finding| finding.severity == Severity::Error);
    let with_place = |finding: &&Finding| match &finding.place {
        Some(place) => format!("{place}: {}", body(finding)),
        None => body(finding),
    };
    let in_lines = |findings: &[&Finding]| findings.iter().map(with_place).collect::<Vec<_>>().join("\n");
    let output: Vec<String> = [part.outcome.clone(), in_lines(&rest)].into_iter().filter(|text| !text.is_empty()).collect();
    Case {
        name: part.name.clone(),
        failure: errors.first().map(|first| (first.message.clone(), in_lines(&errors))),
        output: output.join("\n"),
    }
}

fn cases(part: &Part, changes_fail: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for finding in &part.findings {
        let place = finding.place.as_ref().map(|place| format!(" {place}")).unwrap_or_default();
        let body = body(finding);
        let fails = finding.severity == Severity::Error;
        cases.push(Case {
            name: format!("{}{place}", finding.heading()),
            failure: fails.then(|| (finding.message.clone(), body.clone())),
            output: if fails { String::new() } else { body },
        });
    }
    let mut output = part.outcome.clone();
    for line in &part.changes {
        let words = format!("{} {} {}", symbol(line.action), line.what, line.identity);
        if changes_fail {
            cases.push(Case { name: line.what.clone(), failure: Some((words.clone(), words)), output: String::new() });
        } else {
            let _ = write!(output, "\n{words}");
            for (_, impact) in &line.impacts {
                let _ = write!(output, "\n    {impact}");
            }
        }
    }
    cases.insert(0, Case { name: part.name.clone(), failure: None, output });
    cases
}

fn write(writer: &mut Writer<Vec<u8>>, suite: &str, case: &Case) {
    let mut start = BytesStart::new("testcase");
    start.push_attribute(("name", &*printable(&case.name)));
    start.push_attribute(("classname", &*printable(suite)));
    let _ = writer.write_event(Event::Start(start));
    if let Some((message, body)) = &case.failure {
        let mut failure = BytesStart::new("failure");
        failure.push_attribute(("message", &*printable(message)));
        let _ = writer.write_event(Event::Start(failure));
        text(writer, body);
        let _ = writer.write_event(Event::End(BytesEnd::new("failure")));
    }
    if !case.output.is_empty() {
        let _ = writer.write_event(Event::Start(BytesStart::new("system-out")));
        text(writer, &case.output);
        let _ = writer.write_event(Event::End(BytesEnd::new("system-out")));
    }
    let _ = writer.write_event(Event::End(BytesEnd::new("testcase")));
}

/// XML has no control characters, but for line breaks.
fn text(writer: &mut Writer<Vec<u8>>, text: &str) {
    let lines: Vec<_> = text.lines().map(printable).collect();
    let _ = writer.write_event(Event::Text(BytesText::new(&lines.join("\n"))));
}
