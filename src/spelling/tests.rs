//! The canonical form, rule by rule.

use std::path::Path;

use super::{comments, format};
use crate::source::Spelling::{self, Kdl, Toml};

/// The canonical form, which is its own.
#[track_caller]
fn formatted(spelling: Spelling, text: &str) -> String {
    let first = format(Path::new("t"), spelling, text).unwrap_or_else(|loaded| panic!("{text}\n{:?}", loaded.problems));
    let again = format(Path::new("t"), spelling, &first).unwrap_or_else(|loaded| panic!("{first}\n{:?}", loaded.problems));
    assert_eq!(first, again, "not the same again");
    assert_eq!(comments(spelling, text).len(), comments(spelling, &first).len());
    first
}

#[test]
fn a_block_stays_on_its_line_where_its_author_had_it_so_and_it_fits() {
    assert_eq!(formatted(Kdl, "a {b 1;c 2}"), "a { b 1; c 2 }\n");
    assert_eq!(formatted(Kdl, "a {\nb 1}"), "a {\n    b 1\n}\n");
    assert_eq!(formatted(Kdl, "a{\n}"), "a {}\n");
    let long = "x".repeat(91);
    assert_eq!(formatted(Kdl, &format!("a {{ b \"{long}\" }}")), format!("a {{\n    b \"{long}\"\n}}\n"));
}

#[test]
fn a_long_line_goes_on_below() {
    let word = "w".repeat(40);
    let text = format!("a \"{word}\" \"{word}\" \\\n \"{word}\"\n");
    assert_eq!(formatted(Kdl, &text), format!("a \"{word}\" \"{word}\" \\\n    \"{word}\"\n"));
    assert_eq!(
        formatted(Toml, &format!("a = [\"{word}\", \"{word}\", \"{word}\"]")),
        format!("a = [\n    \"{word}\",\n    \"{word}\",\n    \"{word}\",\n]\n")
    );
}

#[test]
fn trailing_comments_of_neighbours_stand_in_one_column() {
    assert_eq!(formatted(Kdl, "a 1 // x\nbcd 22 // y\n\ne 1 // z"), "a 1     // x\nbcd 22  // y\n\ne 1  // z\n");
    assert_eq!(formatted(Toml, "a = 1 # x\nbcd = 22 # y\n[e] # z"), "a = 1     # x\nbcd = 22  # y\n[e]  # z\n");
}

#[test]
fn strings_stand_in_double_quotes_and_names_without() {
    assert_eq!(formatted(Kdl, "\"a\" b \"c\"=d e=#\"x\"y\"#"), "a \"b\" c=\"d\" e=\"x\\\"y\"\n");
    assert_eq!(formatted(Toml, "'a'='b'\n\"c.d\"='''e\nf'''"), "a = \"b\"\n\"c.d\" = \"e\\nf\"\n");
}

#[test]
fn what_is_left_out_stays_left_out() {
    assert_eq!(formatted(Kdl, "/- a   (x)1.5 #null{ b 1 }"), "/-a (x)1.5 #null { b 1 }\n");
    assert_eq!(formatted(Kdl, "a /- 1 /-b = 2 3 /-{ c }"), "a /-1 /-b=2 3 /-{ c }\n");
}

#[test]
fn a_comment_with_no_place_within_a_line_stands_above_it() {
    assert_eq!(formatted(Kdl, "a \\ // x\n 1"), "// x\na 1\n");
    assert_eq!(formatted(Kdl, "a /* x\ny */ 1"), "/* x\ny */\na 1\n");
    assert_eq!(formatted(Kdl, "/* x */ a /* y */ 1 /* z */"), "/* x */ a /* y */ 1  /* z */\n");
}

#[test]
fn an_inline_table_keeps_its_line_for_readers_of_toml_before_1_1() {
    let word = "w".repeat(100);
    assert_eq!(formatted(Toml, &format!("a={{b=\"{word}\"}}")), format!("a = {{ b = \"{word}\" }}\n"));
    assert_eq!(formatted(Toml, "a = { b = [\n1, 2] }"), "a = { b = [1, 2] }\n");
    assert_eq!(formatted(Toml, "a = { b = 1, # x\n}"), "a = {\n    b = 1,  # x\n}\n");
}

#[test]
fn an_empty_file_stays_empty_and_a_byte_order_mark_goes() {
    assert_eq!(formatted(Kdl, "\n\n"), "");
    assert_eq!(formatted(Toml, "\u{feff}a = 1\r\n"), "a = 1\n");
    assert_eq!(formatted(Kdl, "\u{feff}a 1\r\n"), "a 1\n");
}
