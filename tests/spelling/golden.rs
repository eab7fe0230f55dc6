//! `golden/fmt`: a file, its canonical form (`.fmt.`) and the other spelling (`.as.`). `UPDATE_GOLDEN=1` rewrites what comes of it.
#![expect(clippy::disallowed_methods, reason = "a test reads and writes its own files")]

use std::fs;
use std::path::{Path, PathBuf};

use lvsform::source::Spelling;
use lvsform::spelling::convert::convert;
use lvsform::spelling::format;

use crate::{canonical, decoded, name, other};

fn files(folder: &str) -> Vec<(PathBuf, Spelling)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry can be read").path());
    let mut found: Vec<_> = paths.filter_map(|path| Spelling::of(&path).map(|spelling| (path, spelling))).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn expect(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, actual).expect("a golden file can be written");
        return;
    }
    let expected = read(path);
    let difference = similar::TextDiff::from_lines(expected.as_str(), actual).unified_diff().to_string();
    assert_eq!(difference, "", "{} (- the file, + what came)", path.display());
}

#[test]
fn every_golden_file_has_its_canonical_form_and_its_other_spelling() {
    let written = |path: &Path| path.file_stem().is_some_and(|stem| Path::new(stem).extension().is_some());
    for (path, spelling) in files("golden/fmt").into_iter().filter(|(path, _)| !written(path)) {
        let extension = |of: Spelling| if of == Spelling::Kdl { "kdl" } else { "toml" };
        let text = read(&path);
        let formatted = canonical(spelling, &text);
        expect(&path.with_extension(format!("fmt.{}", extension(spelling))), &formatted);
        assert_eq!(canonical(spelling, &formatted), formatted);
        let there = convert(name(spelling), spelling, &text, other(spelling));
        let there = there.unwrap_or_else(|loaded| panic!("{:?}", loaded.problems));
        expect(&path.with_extension(format!("as.{}", extension(other(spelling)))), &there);
    }
}

#[test]
fn an_example_in_one_spelling_converts_to_what_its_sister_says() {
    for (path, spelling) in files("examples") {
        let sister = read(&path.with_extension(if spelling == Spelling::Kdl { "toml" } else { "kdl" }));
        let there = convert(&path, spelling, &read(&path), other(spelling));
        let there = there.unwrap_or_else(|loaded| panic!("{:?}", loaded.problems));
        assert_eq!(decoded(other(spelling), &there).plain(), decoded(other(spelling), &sister).plain(), "{}", path.display());
    }
}

#[test]
fn every_example_is_canonical() {
    for (path, spelling) in files("examples") {
        let text = read(&path);
        assert_eq!(text, canonical(spelling, &text), "{}", path.display());
    }
}

#[test]
fn a_file_with_mistakes_in_its_syntax_is_refused_with_them_and_no_other_mistake_is_a_reason() {
    for (path, spelling) in files("golden/bad") {
        let text = read(&path);
        let mistakes = lvsform::source::one(&path, spelling, text.clone()).problems;
        match format(&path, spelling, &text) {
            Ok(formatted) => {
                assert_eq!(mistakes, Vec::new(), "{}", path.display());
                assert_eq!(formatted, canonical(spelling, &formatted));
            }
            Err(loaded) => assert_eq!(loaded.problems, mistakes, "{}", path.display()),
        }
        let _ = convert(&path, spelling, &text, other(spelling));
    }
}

#[test]
fn included_files_keep_their_names_and_are_not_followed() {
    let text = "topology \"t\"\ninclude \"a.kdl\" \"sites/*.toml\"\n";
    let there = convert(name(Spelling::Kdl), Spelling::Kdl, text, Spelling::Toml);
    assert_eq!(there.expect("it converts"), "topology = \"t\"\ninclude = [\"a.kdl\", \"sites/*.toml\"]\n");
}
