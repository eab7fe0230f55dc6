//! `lvsform convert`

use std::path::PathBuf;

use clap::Args;

use super::output::Output;
use super::spelled::{self, Word};
use super::{Exit, input, written};
use crate::report;
use crate::source::Spelling;
use crate::spelling::convert::convert;

/// Print a topology file in the other spelling
///
/// Names, ranges and comments stay, and so does the order of blocks where the other spelling has one; a comment that has no
/// place there stands above what it belongs to. What is printed means the same, and `fmt` would change nothing of it. Included
/// files are not followed, and their names stay as they are: a file of one spelling may include files of the other.
///
/// Exit code: 0 done; 1 the file could not be written; 10 the file cannot be read, is not valid, or says what the other spelling
/// cannot say.
#[derive(Debug, Args)]
pub struct Convert {
    /// A file in KDL (.kdl) or TOML (.toml); `-` is standard input
    file: PathBuf,
    /// Into which spelling; by default the one that the file does not have
    #[arg(long, value_enum, value_name = "SPELLING")]
    to: Option<Word>,
    /// How standard input is spelled; by default what it looks like
    #[arg(long, value_enum, value_name = "SPELLING")]
    stdin: Option<Word>,
    /// Write a new file instead of printing; one that is there already is not replaced
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
}

impl Convert {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let given = spelled::read(&self.file, self.stdin, out)?;
        let asked = self.to.map(Spelling::from);
        let by_name = self.out.as_deref().and_then(Spelling::of);
        if let (Some(asked), Some(by_name), Some(path)) = (asked, by_name, &self.out)
            && asked != by_name
        {
            let message = format!("{} has the extension of the other spelling", path.display());
            out.error(&report::error(&message, &[], Some("leave out --to, or name a file with its extension"), out.error_style));
            return Err(Exit::Usage);
        }
        let other = match given.spelling {
            Spelling::Kdl => Spelling::Toml,
            Spelling::Toml => Spelling::Kdl,
        };
        let to = asked.or(by_name).unwrap_or(other);
        let text = convert(&given.path, given.spelling, &given.text, to).map_err(|loaded| {
            input::say(&loaded.problems, &loaded.sources, out);
            Exit::Invalid
        })?;
        written::print_or_new(&text, self.out.as_deref(), out)?;
        Ok(Exit::Done)
    }
}
