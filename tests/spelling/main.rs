//! `fmt`, `convert` and `diff` over random topologies, with comments and odd layout strewn in, in both spellings.

#[path = "../agree/chance.rs"]
#[allow(dead_code, reason = "shared with another suite")]
mod chance;
mod command;
mod difference;
mod golden;
mod model;
mod write;

use std::path::Path;

use chance::Chance;
use lvsform::source::{Spelling, one};
use lvsform::spelling::convert::convert;
use lvsform::spelling::format;
use lvsform::topology::{Topology, decode, same};

/// Random topologies of a run of all tests; `soak` has 2,000.
const FEW: u64 = 20;

const BOTH: [Spelling; 2] = [Spelling::Kdl, Spelling::Toml];

fn other(spelling: Spelling) -> Spelling {
    match spelling {
        Spelling::Kdl => Spelling::Toml,
        Spelling::Toml => Spelling::Kdl,
    }
}

fn name(spelling: Spelling) -> &'static Path {
    Path::new(match spelling {
        Spelling::Kdl => "t.kdl",
        Spelling::Toml => "t.toml",
    })
}

#[track_caller]
fn decoded(spelling: Spelling, text: &str) -> Topology {
    let loaded = one(name(spelling), spelling, text.to_owned());
    assert_eq!(loaded.problems, Vec::new(), "{text}");
    let (topology, problems) = decode(loaded.tree);
    assert_eq!(problems, Vec::new(), "{text}");
    topology.expect("a topology")
}

#[track_caller]
fn canonical(spelling: Spelling, text: &str) -> String {
    format(name(spelling), spelling, text).unwrap_or_else(|loaded| panic!("{:?}\n{text}", loaded.problems))
}

#[track_caller]
fn converted(from: Spelling, text: &str) -> String {
    convert(name(from), from, text, other(from)).unwrap_or_else(|loaded| panic!("{:?}\n{text}", loaded.problems))
}

#[track_caller]
fn keeps(words: &[String], text: &str, source: &str) {
    for word in words {
        assert_eq!(text.matches(word.as_str()).count(), 1, "comment {word}\n{source}\n=>\n{text}");
    }
}

fn holds(seed: u64) {
    let topology = model::topology(&mut Chance::new(seed));
    for spelling in BOTH {
        let (text, words) = write::text(&topology, spelling, &mut Chance::new(seed ^ 0x5eed));
        let before = decoded(spelling, &text);

        let formatted = canonical(spelling, &text);
        assert_eq!(formatted, canonical(spelling, &formatted), "seed {seed}: not the same again\n{text}");
        assert!(same(&before, &decoded(spelling, &formatted)), "seed {seed}: another meaning\n{text}\n=>\n{formatted}");
        keeps(&words, &formatted, &text);
        even(&formatted);

        let there = converted(spelling, &text);
        assert_eq!(there, canonical(other(spelling), &there), "seed {seed}: not canonical\n{text}");
        assert!(same(&before, &decoded(other(spelling), &there)), "seed {seed}: another meaning\n{text}\n=>\n{there}");
        keeps(&words, &there, &text);

        let back = converted(other(spelling), &there);
        assert_eq!(back, canonical(spelling, &back), "seed {seed}: not canonical\n{there}");
        assert!(same(&before, &decoded(spelling, &back)), "seed {seed}: another meaning\n{there}\n=>\n{back}");
        keeps(&words, &back, &there);
    }
}

/// No line ends in a blank, no two blank lines follow each other, and the file ends with one line break.
fn even(text: &str) {
    assert!(text.ends_with('\n') && !text.ends_with("\n\n") && !text.starts_with('\n') && !text.contains("\n\n\n"), "{text}");
    assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
}

#[test]
fn fmt_is_idempotent_and_changes_neither_meaning_nor_comments_and_convert_comes_back() {
    (0..FEW).for_each(holds);
}

#[test]
#[ignore = "soak: 2,000 random topologies"]
fn fmt_and_convert_hold_over_thousands_of_topologies() {
    (0..2_000).for_each(holds);
}

#[test]
fn both_spellings_of_one_topology_mean_the_same() {
    for seed in 0..20 {
        let topology = model::topology(&mut Chance::new(seed));
        let [kdl, toml] = BOTH.map(|spelling| decoded(spelling, &write::text(&topology, spelling, &mut Chance::new(seed)).0));
        assert!(same(&kdl, &toml), "seed {seed}");
    }
}

/// Two random topologies; a third of the pairs are one twice.
fn differ(seed: u64) {
    let text = |seed| write::text(&model::topology(&mut Chance::new(seed)), Spelling::Kdl, &mut Chance::new(seed)).0;
    let (old, new) = (decoded(Spelling::Kdl, &text(seed)), decoded(Spelling::Kdl, &text(seed + seed % 3)));
    difference::holds(&old, &new);
}

#[test]
fn diff_finds_nothing_between_a_topology_and_itself_and_agrees_with_the_plan_between_two() {
    (0..3 * FEW).for_each(differ);
}

#[test]
#[ignore = "soak: 2,000 random topologies"]
fn diff_holds_over_thousands_of_topologies() {
    (0..2_000).for_each(differ);
}

#[test]
fn a_spoiled_text_is_refused_or_written_and_never_a_panic() {
    for seed in 0..FEW {
        let mut chance = Chance::new(seed);
        let topology = model::topology(&mut chance);
        for spelling in BOTH {
            let mut text = write::text(&topology, spelling, &mut chance).0;
            for _ in 0..chance.below(8) {
                spoil(&mut text, &mut chance);
            }
            for spelling in BOTH {
                if let Ok(formatted) = format(name(spelling), spelling, &text) {
                    assert_eq!(formatted, canonical(spelling, &formatted), "seed {seed}\n{text}");
                }
                let _ = convert(name(spelling), spelling, &text, other(spelling));
            }
        }
    }
}

fn spoil(text: &mut String, chance: &mut Chance) {
    const WITH: [&str; 20] = [
        "{", "}", "\"", "/-", "/*", "*/", "//", "\\", "\n", ";", "=", "(a)", "#", "[", "]", "'''", "\u{feff}", "\u{85}", "\0",
        "1",
    ];
    let at = text.floor_char_boundary(chance.below(text.len() + 1));
    if chance.one_in(2) {
        text.insert_str(at, chance.pick(&WITH));
    } else {
        let end = text.floor_char_boundary((at + chance.below(4)).min(text.len()));
        text.replace_range(at..end.max(at), "");
    }
}
