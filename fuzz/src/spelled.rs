//! `fmt` and `convert`: the canonical text is its own, and no way between the spellings changes what a file means.

use std::path::Path;

use lvsform::source::{Loaded, Spelling, one};
use lvsform::spelling::convert::convert;
use lvsform::spelling::{comments, format};
use lvsform::topology::{decode, same};

use super::said;
use super::text::has_errors;

/// `fmt` and `convert` of a text in both spellings.
pub fn fmt(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for spelling in [Spelling::Kdl, Spelling::Toml] {
        written(spelling, text);
    }
}

fn name(spelling: Spelling) -> &'static Path {
    Path::new(match spelling {
        Spelling::Kdl => "t.kdl",
        Spelling::Toml => "t.toml",
    })
}

fn written(spelling: Spelling, text: &str) {
    let formatted = match format(name(spelling), spelling, text) {
        Ok(formatted) => formatted,
        Err(loaded) => return refused(&loaded),
    };
    assert_eq!(canonical(spelling, &formatted), formatted, "not the same again: {text:?}");
    assert_eq!(comments(spelling, &formatted), comments(spelling, text), "not the same comments: {text:?}\n{formatted}");

    let other = match spelling {
        Spelling::Kdl => Spelling::Toml,
        Spelling::Toml => Spelling::Kdl,
    };
    let there = match convert(name(spelling), spelling, text, other) {
        Ok(there) => there,
        Err(loaded) => return refused(&loaded),
    };
    assert_eq!(canonical(other, &there), there, "not canonical: {text:?}");
    let back = converted(other, &there, spelling, text);
    assert_eq!(canonical(spelling, &back), back, "not canonical: {text:?}\n{there}");
    assert!(alike((spelling, text), (spelling, &back)), "another meaning: {text:?}\n{there}\n{back}");
    let words = |spelling, text: &str| {
        let mut words: Vec<String> = comments(spelling, text).iter().map(|comment| bare(comment).to_owned()).collect();
        words.sort();
        words
    };
    assert_eq!(words(spelling, &back), words(other, &there), "not the same comments: {text:?}\n{there}\n{back}");
}

/// A line's comment without its mark.
fn bare(comment: &str) -> &str {
    comment.strip_prefix("//").or_else(|| comment.strip_prefix('#')).unwrap_or(comment)
}

fn canonical(spelling: Spelling, text: &str) -> String {
    format(name(spelling), spelling, text).unwrap_or_else(|loaded| panic!("{:?}\n{text}", loaded.problems))
}

fn converted(from: Spelling, text: &str, to: Spelling, first: &str) -> String {
    convert(name(from), from, text, to).unwrap_or_else(|loaded| panic!("{:?}\n{text}\n{first:?}", loaded.problems))
}

/// A text is refused because of what is wrong in it, never because of us.
fn refused(loaded: &Loaded) {
    assert!(has_errors(&loaded.problems), "refused without a reason");
    assert!(loaded.problems.iter().all(|problem| problem.code != "spelling"), "{:?}", loaded.problems);
    said::places(&loaded.problems, &loaded.sources);
}

fn alike(a: (Spelling, &str), b: (Spelling, &str)) -> bool {
    let topology = |(spelling, text): (Spelling, &str)| decode(one(name(spelling), spelling, text.to_owned()).tree).0;
    match (topology(a), topology(b)) {
        (Some(a), Some(b)) => same(&a, &b),
        (None, None) => true,
        _ => false,
    }
}
