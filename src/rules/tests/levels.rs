//! Levels: what the file and the command line make of a warning.

use crate::rules::{Asked, examine_as, names};
use crate::source::memory::load_text;
use crate::source::{Problem, Severity};

const QUIET: &str = "topology \"t\"\ndirector \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\nreal-server \"web1\" { interface \"eth0\" address=\"10.0.0.11/24\"; }\nvip \"v\" address=\"10.0.0.100\"\nservice \"s\" { listen vip=\"v\" port=80; forward \"dr\"; server \"10.0.0.11\" weight=0; }\n";

fn said(lint: &str, asked: &Asked) -> Vec<(&'static str, Severity)> {
    let (_, _, problems) = examine_as(load_text("a.kdl", &format!("{QUIET}{lint}\n")), asked);
    problems.into_iter().map(|Problem { code, severity, .. }| (code, severity)).collect()
}

fn asked(allow: &[&'static str], deny: &[&'static str], deny_warnings: bool) -> Asked {
    Asked { allow: allow.to_vec(), deny: deny.to_vec(), deny_warnings, kernel: None }
}

const ALLOW: &str = "lint \"all-quiesced\" level=\"allow\" reason=\"it opens in May\"";
const DENY: &str = "lint \"LVS503\" level=\"deny\" reason=\"it is an outage\"";

#[test]
fn a_file_allows_a_warning_or_makes_it_an_error_by_code_or_by_name() {
    let none = Asked::default();
    assert_eq!(said("", &none), [("all-quiesced", Severity::Warning)]);
    assert_eq!(said(ALLOW, &none), []);
    assert_eq!(said(DENY, &none), [("all-quiesced", Severity::Error)]);
}

#[test]
fn the_command_line_wins_over_the_file() {
    assert_eq!(said(ALLOW, &asked(&[], &["all-quiesced"], false)), [("all-quiesced", Severity::Error)]);
    assert_eq!(said(DENY, &asked(&["all-quiesced"], &[], false)), []);
}

#[test]
fn all_warnings_are_denied_but_those_that_the_file_allows() {
    assert_eq!(said("", &asked(&[], &[], true)), [("all-quiesced", Severity::Error)]);
    assert_eq!(said(ALLOW, &asked(&[], &[], true)), []);
}

#[test]
fn a_lint_needs_a_reason_a_known_code_and_a_warning() {
    let none = Asked::default();
    let code = |lint: &str| {
        said(lint, &none).into_iter().map(|(code, _)| code).filter(|code| *code != "all-quiesced").collect::<Vec<_>>()
    };
    assert_eq!(code("lint \"all-quiesced\" level=\"allow\""), ["missing"]);
    assert_eq!(code("lint \"all-quiesced\" level=\"allow\" reason=\" \""), ["bad-value"]);
    assert_eq!(code("lint \"all-quiesed\" level=\"allow\" reason=\"x\""), ["unknown-value"]);
    assert_eq!(code("lint \"every-port\" level=\"warn\" reason=\"x\""), ["lint-of-error"]);
    assert_eq!(code("lint \"every-port\" level=\"deny\" reason=\"x\""), [""; 0]);
    assert_eq!(code(&format!("{ALLOW}\n{DENY}")), ["twice"]);
    assert_eq!(code("lint \"ftp\" level=\"allow\" reason=\"x\""), ["unused-lint"]);
}

#[test]
fn no_error_is_allowed_on_the_command_line() {
    let names = |word: &str, allow| names(&[word.to_owned()], allow);
    assert_eq!(names("LVS503", true), Ok(vec!["all-quiesced"]));
    assert_eq!(names("every-port", false), Ok(vec!["every-port"]));
    assert!(names("every-port", true).is_err());
    assert!(names("LVS999", false).is_err());
}
