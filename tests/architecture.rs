//! The directions in which modules know each other, as ARCHITECTURE.md says them: what is not listed here is not there.
#![expect(clippy::disallowed_methods, reason = "tests read this package's own files")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the library with those that it may name.
const MAY_NAME: [(&str, &[&str]); 22] = [
    ("catalogue", &[]),
    ("source", &["catalogue"]),
    ("state", &[]),
    ("topology", &["catalogue", "source", "state"]),
    ("rules", &["catalogue", "compose", "source", "state", "topology"]),
    ("spelling", &["source", "topology"]),
    ("compose", &["source", "spelling", "topology"]),
    ("provenance", &["source", "state"]),
    ("compile", &["provenance", "source", "state", "topology"]),
    ("expect", &["compile", "plan", "source", "state", "topology"]),
    ("editor", &["catalogue", "compile", "expect", "rules", "source", "spelling", "state", "topology"]),
    ("graph", &["compile", "source", "state", "topology"]),
    ("difference", &["compile", "plan", "provenance", "source", "state", "topology"]),
    ("plan", &["provenance", "source", "state"]),
    ("kernel", &["plan", "state"]),
    ("txn", &["kernel", "plan", "state"]),
    ("report", &["catalogue", "difference", "doctor", "kernel", "plan", "provenance", "rehearse", "source", "state", "txn"]),
    ("doctor", &["compile", "plan", "source", "state", "topology"]),
    ("lab", &["source"]),
    ("rehearse", &["compile", "kernel", "plan", "source", "state", "topology"]),
    (
        "cli",
        &[
            "catalogue",
            "compile",
            "compose",
            "difference",
            "doctor",
            "editor",
            "expect",
            "graph",
            "kernel",
            "lab",
            "plan",
            "provenance",
            "rehearse",
            "report",
            "rules",
            "source",
            "spelling",
            "state",
            "topology",
            "txn",
        ],
    ),
    ("lib", &[]),
];

#[test]
fn modules_name_only_those_that_they_may() {
    for (module, text) in modules() {
        let (_, may) = MAY_NAME.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("{module} is not listed"));
        let named = text.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').map(word).collect(),
            None => vec![word(rest)],
        });
        let beyond: BTreeSet<&str> = named.filter(|name| *name != module && !may.contains(name)).collect();
        assert_eq!(beyond, BTreeSet::new(), "`{module}` names what it may not");
    }
}

#[test]
fn only_the_kernels_side_knows_netlink() {
    for (module, text) in modules() {
        if module != "kernel" {
            assert!(!text.contains("netlink_") && !text.contains("rtnetlink::"), "{module}");
        }
    }
}

/// The first argument of what makes a problem, wherever it stands. The other way round, `tests/bad_input.rs` has an example of
/// each page.
#[test]
fn every_code_that_the_source_can_say_has_a_page() {
    let mut found = BTreeSet::new();
    for (_, text) in modules().into_iter().filter(|(module, _)| module != "catalogue") {
        for call in ["error(", "warning(", "said(", "doubt(", "report(range,", "report(range.clone(),", "report(first,"] {
            for rest in text.split(call).skip(1) {
                let word = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                let is_code = |word: &&str| word.contains('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
                found.extend(word.filter(is_code).map(str::to_owned));
            }
        }
    }
    found.remove("duplicate-name"); // of a test
    assert!(found.len() > 60, "{found:?}");
    let unknown: Vec<&String> = found.iter().filter(|code| lvsform::catalogue::find(code).is_none()).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

fn word(text: &str) -> &str {
    text.trim_start().split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap_or_default()
}

/// Each module of the library with the code of all its files, without comments.
fn modules() -> Vec<(String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for (name, path) in entries(&source) {
        let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") else { continue };
        let mut text = code(&path);
        let mut folders = vec![source.join(module)];
        while let Some(folder) = folders.pop().filter(|folder| folder.is_dir()) {
            for (_, path) in entries(&folder) {
                if path.is_dir() {
                    folders.insert(0, path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    text += &code(&path);
                }
            }
        }
        found.push((module.to_owned(), text));
    }
    found
}

fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder's entry can be read"))
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .collect()
}

fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().filter(|line| !line.trim_start().starts_with("//")).fold(String::new(), |code, line| code + line + "\n")
}
