//! `lvsform fmt`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use similar::TextDiff;

use super::output::Output;
use super::spelled::{self, Given, Word};
use super::{Exit, input, written};
use crate::source::printable;
use crate::spelling;

/// Write topology files in their canonical form
///
/// Layout alone changes, never what a file means, and every comment stays. Four spaces for each block, one space between words, at
/// most one blank line, strings in double quotes, trailing comments in one column; a block stays on one line where its author
/// wrote it so and it fits in 100 columns. A file is replaced whole, and only if it differs. A file with mistakes in its syntax
/// is left as it is, and the mistakes are shown. Included files are not followed: name them.
///
/// Exit code: 0 done; 1 a file could not be written; 2 with --check: a file would change; 10 a file cannot be read or has
/// mistakes in its syntax.
#[derive(Debug, Args)]
pub struct Fmt {
    /// Files in KDL (.kdl) or TOML (.toml); `-` is standard input, and prints what comes of it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write nothing; show what would change
    #[arg(long)]
    check: bool,
    /// How standard input is spelled; by default what it looks like
    #[arg(long, value_enum, value_name = "SPELLING")]
    stdin: Option<Word>,
}

impl Fmt {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        let ends: Vec<Exit> = self
            .files
            .iter()
            .map(|file| spelled::read(file, self.stdin, out).map_or_else(|exit| exit, |given| self.one(&given, out)))
            .collect();
        // The worst comes first.
        let worst = [Exit::Failed, Exit::Invalid, Exit::Changes].into_iter().find(|exit| ends.contains(exit));
        worst.unwrap_or(Exit::Done)
    }

    fn one(&self, given: &Given, out: &mut Output) -> Exit {
        let text = match spelling::format(&given.path, given.spelling, &given.text) {
            Ok(text) => text,
            Err(loaded) => {
                input::say(&loaded.problems, &loaded.sources, out);
                return Exit::Invalid;
            }
        };
        let changes = text != given.text;
        let name = printable(&given.path.to_string_lossy()).into_owned();
        if self.check {
            if changes {
                out.say(&format!("{name}: would change\n{}", difference(&name, &given.text, &text)));
            }
            return if changes { Exit::Changes } else { Exit::Done };
        }
        match &given.identity {
            None => out.print(&text),
            Some(_) if !changes => {}
            Some(path) => match written::replace(path, text.as_bytes(), out) {
                Ok(()) => out.say(&format!("{name}: written anew\n")),
                Err(exit) => return exit,
            },
        }
        Exit::Done
    }
}

/// A unified difference, with everything visible that would act on a terminal.
fn difference(name: &str, before: &str, after: &str) -> String {
    // A file that changes everywhere would take long to be compared well.
    let diff = TextDiff::configure().timeout(Duration::from_secs(2)).diff_lines(before, after);
    let shown = diff.unified_diff().header(name, &format!("{name} (canonical)")).to_string();
    let visible = |line: &str| line.split('\t').map(printable).collect::<Vec<_>>().join("\t") + "\n";
    shown.lines().map(visible).collect()
}
