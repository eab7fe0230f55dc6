//! What decoding promises, in both spellings.

use super::{Topology, decode, same};
use crate::source::memory::load_text;
use crate::source::{Loaded, Problem};

const WHOLE_KDL: &str = include_str!("tests/whole.kdl");
const WHOLE_TOML: &str = include_str!("tests/whole.toml");

fn read(path: &str, text: &str) -> (Loaded, Option<Topology>, Vec<Problem>) {
    let loaded = load_text(path, text);
    let (topology, problems) = decode(&loaded.tree);
    (loaded, topology, problems)
}

/// The topology of a text without a mistake.
fn good(path: &str, text: &str) -> Topology {
    let (loaded, topology, problems) = read(path, text);
    assert_eq!((loaded.problems, problems), (vec![], vec![]), "{text}");
    topology.unwrap()
}

#[test]
fn kdl_and_toml_of_one_topology_are_equal() {
    let (kdl, toml) = (good("whole.kdl", WHOLE_KDL), good("whole.toml", WHOLE_TOML));
    assert!(same(&kdl, &toml), "{}", similar::TextDiff::from_lines(&kdl.plain(), &toml.plain()).unified_diff());
}
