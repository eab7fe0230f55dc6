//! A topology's text, as `check` reads it: everything that is wrong has a place, and what is valid can be compiled.

use std::path::Path;

use lvsform::rules::{self, Asked, Kernel};
use lvsform::source::problem::edit;
use lvsform::source::{self, FileId, Files, Problem, Severity, Sources, Spelling};
use lvsform::topology::{Topology, same};
use lvsform::{compile, difference};

use super::files::Parts;
use super::{said, state};

/// `check` of KDL.
pub fn kdl(data: &[u8]) {
    check(Spelling::Kdl, data);
}

/// `check` of TOML.
pub fn toml(data: &[u8]) {
    check(Spelling::Toml, data);
}

fn check(spelling: Spelling, data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut files = Parts::new(spelling, text);
    let root = files.root().to_owned();
    let Checked { sources, topology, problems } = Checked::of(&root, &files, &Asked::default());
    let valid = !has_errors(&problems);
    if let Some(topology) = &topology
        && valid
    {
        compiled(topology, &sources);
        let asked = Asked { deny_warnings: true, kernel: Kernel::parse("4.19"), ..Asked::default() };
        Checked::of(&root, &files, &asked);
    }
    let meant = if valid { topology } else { None };
    mended(&root, &mut files, sources, problems, meant.as_ref());
}

/// What `check` finds.
pub struct Checked {
    pub sources: Sources,
    pub topology: Option<Topology>,
    pub problems: Vec<Problem>,
}

impl Checked {
    /// Reads a topology, and says everything that is wrong with it in every format.
    pub fn of(root: &Path, files: &dyn Files, asked: &Asked) -> Checked {
        let (sources, topology, mut problems) = rules::examine_as(source::load(root, files), asked);
        if let Some(topology) = &topology
            && !has_errors(&problems)
        {
            problems.extend(compile::problems(topology));
        }
        assert!(topology.is_some() || has_errors(&problems), "nothing was understood and nothing is wrong");
        said::places(&problems, &sources);
        if !problems.is_empty() {
            said::problems(&problems, &sources);
        }
        Checked { sources, topology, problems }
    }
}

pub fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// `check --fix` comes to an end, makes nothing worse, and changes nothing of what is valid.
fn mended(root: &Path, files: &mut Parts, mut sources: Sources, mut problems: Vec<Problem>, meant: Option<&Topology>) {
    for round in 0.. {
        let mut count = 0;
        for (index, file) in sources.files().iter().enumerate() {
            let (text, edits) = edit::mended(&file.text, FileId(u32::try_from(index).expect("few files")), &problems);
            if edits > 0 {
                assert_ne!(text, file.text, "an edit that changes nothing: {problems:?}");
                files.put(&file.path, text);
                count += edits;
            }
        }
        if count == 0 {
            break;
        }
        assert!(round < 8, "no end of mending: {problems:?}");
        let checked = Checked::of(root, files, &Asked::default());
        if let Some(meant) = meant {
            assert!(!has_errors(&checked.problems), "mending broke what was valid: {:?}", checked.problems);
            assert!(checked.topology.is_some_and(|topology| same(meant, &topology)), "mending changed what was valid");
        }
        (sources, problems) = (checked.sources, checked.problems);
    }
}

/// Every host can be compiled and planned; between a topology and itself there is no difference.
fn compiled(topology: &Topology, sources: &Sources) {
    let (hosts, _) = difference::hosts(Some(topology), Some(topology));
    assert!(hosts.values().all(difference::HostDifference::is_empty), "a topology differs from itself");
    difference::hosts(None, Some(topology));
    difference::hosts(Some(topology), None);
    for host in topology.hosts.values() {
        let compiled = compile::compile(topology, host);
        if !has_errors(&compiled.problems) {
            state::on_an_empty_kernel(topology, host, compiled, sources);
        }
    }
}
