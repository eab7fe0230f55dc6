//! What is plain, what is not, and that plain text is read as the crate reads it.

use std::cell::Cell;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;

use super::super::Reader;
use super::*;
use crate::source::{Problem, scan};

const FILE: FileId = FileId(0);

fn plain(text: &str) -> Option<Vec<Node>> {
    read(text, 0..text.len(), FILE)
}

/// A piece as the crate's path reads it.
fn by_the_crate(text: &str, piece: Range<usize>) -> (Vec<Node>, Vec<Problem>) {
    let mut problems = Vec::new();
    let reader = Reader { text, clean: text, file: FILE, repairs: &std::collections::BTreeMap::new() };
    (reader.any(&piece, &mut problems), problems)
}

/// Whether a piece is plain. If so, the crate must read it alike.
fn agreed(text: &str, piece: Range<usize>) -> bool {
    let Some(nodes) = read(text, piece.clone(), FILE) else { return false };
    assert_eq!((nodes, Vec::new()), by_the_crate(text, piece.clone()), "{:?}", &text[piece]);
    true
}

/// The top-level nodes of a text that nothing was repaired in, as the scanner cuts them: how many are plain, and all others.
fn scanned(text: &str) -> (usize, Vec<String>) {
    let scanned = scan::scan(text, FILE);
    let whole = |node: &&Range<usize>| scanned.repairs.range((*node).clone()).next().is_none();
    let (taken, declined): (Vec<_>, Vec<_>) =
        scanned.nodes.iter().filter(whole).partition(|node| agreed(&scanned.clean, (*node).clone()));
    (taken.len(), declined.into_iter().map(|node| text[node.clone()].to_owned()).collect())
}

/// The KDL files of a folder of this repository.
#[expect(clippy::disallowed_methods, reason = "a test reads the repository's own files")]
fn files(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "kdl")).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_node_of_the_examples_is_plain() {
    for text in files("examples").into_iter().chain(files("src/topology/tests")) {
        let (taken, declined) = scanned(&text);
        assert_eq!(declined, [""; 0]);
        assert!(taken > 3);
    }
}

#[test]
fn what_a_topology_is_made_of_is_plain() {
    for text in [
        "a",
        "a 1 -2 007 \"\" \"x y [1-3] /-{}; # = // y\"",
        "a word fd00::1 tcp:80 a.b-c_d,e!",
        "a b=1 \"c d\"=#true e = word f =\"x\" g= -0",
        "\"net.core.somaxconn\" 65535 force=#false",
        "a{b}",
        "a {}",
        "a 1 { b; c 2;d }\t",
        "a x=1 {\r\n\tb y=2 {\r\n\r\n  c\r\n}\r\n}\r\n",
        "a 9223372036854775807 -9223372036854775808",
        "a { b 1; }",
        "a {\n b {\n c {\n d\n}\n}\n} ; e\n",
        "a #true #false",
        "",
        "\n \n",
    ] {
        assert!(agreed(text, 0..text.len()), "{text:?}");
    }
}

#[test]
fn what_is_not_plain_is_left_to_the_crate() {
    for (what, text) in [
        ("an escape", r#"a "\n""#),
        ("an escaped quote", r#"a "\"""#),
        ("a raw string", r##"a #"b"#"##),
        ("a string of several lines", "a \"\"\"\nb\n\"\"\""),
        ("a string with a line break", "a \"b\nc\""),
        ("a string with a tab", "a \"b\tc\""),
        ("a string with a control character", "a \"\u{1}\""),
        ("a string beyond ASCII", "a \"é\""),
        ("a string that is not closed", "a \"b"),
        ("a word beyond ASCII", "é 1"),
        ("a blank beyond ASCII", "a\u{a0}1"),
        ("a line break beyond ASCII", "a\u{85}b"),
        ("a carriage return alone", "a\rb"),
        ("a form feed", "a\u{c}b"),
        ("a byte order mark", "\u{feff}a"),
        ("a node left out", "/-a"),
        ("an entry left out", "a /-1 2"),
        ("a block left out", "a /-{ b }"),
        ("a comment", "a // b"),
        ("a comment in a line", "a /* b */ 1"),
        ("an annotated node", "(t)a"),
        ("an annotated value", "a (u8)1"),
        ("a line that continues", "a \\\n 1"),
        ("no value", "a #null"),
        ("infinity", "a #inf"),
        ("a keyword that there is not", "a #yes"),
        ("a keyword with a tail", "a #truer"),
        ("a keyword of KDL 1", "a true"),
        ("a word kept by KDL", "a null"),
        ("a kept word as a property", "a b=inf"),
        ("a fraction", "a 1.5"),
        ("an exponent", "a 1e3"),
        ("a number of base 16", "a 0x1f"),
        ("a number with an underscore", "a 1_000"),
        ("a number with a plus", "a +1"),
        ("a sign alone", "a -"),
        ("a number beyond 64 bits", "a 9223372036854775808"),
        ("a word that begins with a digit", "a 5s"),
        ("a word that begins with a sign", "a -b"),
        ("a word that begins with a dot", "a .b"),
        ("a word with a slash", "a b/8"),
        ("a word with a bracket", "a b[1]"),
        ("a property given twice", "a b=1 b=2"),
        ("a property given twice, once in quotes", "a b=1 \"b\"=2"),
        ("a property without a value", "a b="),
        ("a property of a number", "a 1=2"),
        ("a value of two `=`", "a b=1=2"),
        ("an `=` behind a node's name", "a=1"),
        ("an `=` apart behind a node's name", "a = 1"),
        ("a number as a node's name", "1 a"),
        ("a truth as a node's name", "#true a"),
        ("two values without a blank", "a \"b\"\"c\""),
        ("a value behind a property without a blank", "a b=\"c\"d"),
        ("a block without a name", "{ a }"),
        ("a second block", "a {} {}"),
        ("a value behind a block", "a {} 1"),
        ("a node behind a block", "a { b {} c }"),
        ("a block that is not closed", "a { b"),
        ("a `}` too many", "a }"),
        ("a `;` that ends nothing", "a { b;; c }"),
        ("a `;` alone", ";"),
    ] {
        assert!(plain(text).is_none(), "{what}: {text:?}");
    }
}

#[test]
fn places_are_those_in_the_whole_text() {
    let nodes = read("xxx a b=\"c\" 1", 4..13, FILE).unwrap();
    let place = |span: Span| (span.start, span.end);
    let property = &nodes[0].children[0];
    assert_eq!((place(nodes[0].span), place(nodes[0].args[0].span)), ((4, 5), (12, 13)));
    assert_eq!((place(property.span), place(property.args[0].span)), ((6, 7), (8, 11)));
}

#[test]
fn no_corpus_is_read_otherwise_than_by_the_crate() {
    for text in files("golden/bad") {
        scanned(&text);
    }
}

/// What a mutation inserts: every token, and what looks like one.
#[rustfmt::skip]
const SNIPPETS: [&str; 66] = [
    " ", " ", " ", "\n", "\n", ";", "{", "}", " {", "\n}", "=", " = ", "a", " a", " b", " c 1\n", " a=1", " b=\"x\"", "\"a\"", " \"x y\"",
    " 1", " -7", "0", "-", "+", ".", "_", ",", "\"", "\"\"", "\"\"\"", "\\", "\\\n", "\\n", "#", "#true", " #true", "#false", "#null",
    "#inf", "#\"", "\"#", "true", "null", "-inf", "nan", "/", "/-", "//", "/*", "*/", "(t)", "[", "0x1f", "1_0", "1.5", "e3",
    " 99999999999999999999", "\r\n", "\r", "\t", "é", "\u{a0}", "\u{85}", "\u{202e}", "\u{7f}",
];

/// Takes a stretch of the text away and puts a snippet, or a copy of another stretch, in its place.
fn mutated(text: &str, (at, length, from, snippet): &(Index, usize, Index, Option<&str>)) -> String {
    let place = |index: &Index| text.floor_char_boundary(index.index(text.len() + 1));
    let start = place(at);
    let end = text.floor_char_boundary(start + length).max(start);
    let copied = place(from);
    let put = snippet.unwrap_or(&text[copied..text.floor_char_boundary(copied + 12).max(copied)]);
    [&text[..start], put, &text[end..]].concat()
}

/// Random mutations of every corpus, and random rows of tokens, both as they are and as the scanner cuts them.
#[test]
fn whatever_is_plain_the_crate_reads_alike_and_without_a_problem() {
    let mut corpus: Vec<String> = ["examples", "src/topology/tests", "golden/bad"].into_iter().flat_map(files).collect();
    corpus.push(
        "service \"s1\" scheduler=\"wrr\" {\n    listen vip=\"v0\" port=1000\n    server \"10.2.0.1\" weight=100\n}\n".into(),
    );
    let pieces: Vec<String> = corpus
        .iter()
        .flat_map(|text| scan::scan(text, FILE).nodes.into_iter().map(|node| text[node].to_owned()))
        .filter(|piece| piece.len() <= 120)
        .collect();
    let mutation = (any::<Index>(), 0..4_usize, any::<Index>(), proptest::option::weighted(0.8, select(&SNIPPETS[..])));
    let of_the_corpus = (select(pieces), vec(mutation, 0..4))
        .prop_map(|(piece, mutations)| mutations.iter().fold(piece, |text, mutation| mutated(&text, mutation)));
    let of_tokens = vec(select(&SNIPPETS[..30]), 0..12).prop_map(|tokens| tokens.concat());
    let config = ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() };
    let taken = Cell::new(0);
    TestRunner::new(config)
        .run(&prop_oneof![3 => of_the_corpus, 1 => of_tokens], |text| {
            if agreed(&text, 0..text.len()) {
                taken.set(taken.get() + 1);
            } else {
                scanned(&text);
            }
            Ok(())
        })
        .unwrap();
    assert!(taken.get() > 1_500, "only {} of the texts are plain: they prove too little", taken.get());
}
