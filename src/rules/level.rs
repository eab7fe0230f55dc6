//! Levels: which warnings are said, which are errors, by the file's `lint` and by the command line, which wins.

use super::{Asked, Doubt, place};
use crate::catalogue::{self, Level};
use crate::source::{Problem, Severity};
use crate::topology::{LintLevel, Topology};

/// What is said of a topology beside another one.
const BESIDE: &str = "vip-elsewhere";

/// Takes each warning as the file and the command line ask for. `whole`: whether everything that could be said has been, so
/// that what allows nothing can be told.
pub(super) fn settle(problems: &mut Vec<Problem>, topology: &Topology, asked: &Asked, whole: bool) {
    if whole {
        let allowed = topology.lints.iter().filter(|lint| lint.level.value == LintLevel::Allow);
        // What only another file shows may be allowed where no other file is there.
        let said = |name: &str| name == BESIDE || problems.iter().any(|problem| problem.code == name);
        let unused: Vec<Problem> = allowed
            .filter(|lint| !said(lint.name.value))
            .map(|lint| Doubt::UnusedLint { name: lint.name.value }.at(place(&lint.name)))
            .collect();
        problems.extend(unused);
    }
    problems.retain_mut(|problem| {
        if problem.severity == Severity::Error {
            return true;
        }
        let lint = topology.lints.iter().find(|lint| lint.name.value == problem.code);
        let level = if asked.deny.contains(&problem.code) {
            LintLevel::Deny
        } else if asked.allow.contains(&problem.code) {
            LintLevel::Allow
        } else {
            match lint.map(|lint| lint.level.value) {
                None | Some(LintLevel::Warn) if asked.deny_warnings => LintLevel::Deny,
                None => LintLevel::Warn,
                Some(level) => level,
            }
        };
        if level == LintLevel::Deny {
            problem.severity = Severity::Error;
        }
        level != LintLevel::Allow
    });
}

/// The names of codes that may be allowed or denied; the first word that is none, or that is an error's and is to be allowed.
pub fn names(words: &[String], allow: bool) -> Result<Vec<&'static str>, String> {
    words
        .iter()
        .map(|word| match catalogue::find(word) {
            Some(page) if allow && page.level == Level::Error => Err(format!("`{word}` is an error: nobody can allow it")),
            Some(page) => Ok(page.name),
            None => Err(format!("`{word}` is no code: `lvsform explain --list` shows them all")),
        })
        .collect()
}
