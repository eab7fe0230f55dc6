//! One file as text, for the commands that write files anew: from the disk, or from standard input.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::files::DiskFiles;
use super::output::Output;
use super::{Exit, in_words, input};
use crate::report;
use crate::source::{self, FILE_CAP, Sources, Spelling};

/// A spelling, as an argument says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Word {
    /// KDL 2
    Kdl,
    /// TOML
    Toml,
}

impl From<Word> for Spelling {
    fn from(word: Word) -> Spelling {
        match word {
            Word::Kdl => Spelling::Kdl,
            Word::Toml => Spelling::Toml,
        }
    }
}

/// A file's text.
#[derive(Debug)]
pub struct Given {
    /// The path as it was given; `-` is standard input.
    pub path: PathBuf,
    /// Where it lies after all links were followed; none for standard input.
    pub identity: Option<PathBuf>,
    /// How it is spelled.
    pub spelling: Spelling,
    /// All of it.
    pub text: String,
}

/// Reads a file, or standard input where the path is `-`. What is wrong has been said where it fails.
pub fn read(path: &Path, said: Option<Word>, out: &mut Output) -> Result<Given, Exit> {
    if path.as_os_str() == "-" {
        let text = standard_input().map_err(|reason| {
            let message = format!("standard input {reason}");
            out.error(&report::error(&message, &[], None, out.error_style));
            Exit::Invalid
        })?;
        let spelling = said.map_or_else(|| guess(path, &text), Spelling::from);
        return Ok(Given { path: path.to_owned(), identity: None, spelling, text });
    }
    match source::root(path, &DiskFiles) {
        Ok((spelling, file)) => Ok(Given { path: path.to_owned(), identity: Some(file.identity), spelling, text: file.text }),
        Err(problem) => {
            input::say(&[problem], &Sources::default(), out);
            Err(Exit::Invalid)
        }
    }
}

fn standard_input() -> Result<String, String> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(FILE_CAP + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {}", in_words(&error)))?;
    if bytes.len() as u64 > FILE_CAP {
        return Err(format!("has more than {FILE_CAP} bytes, which is the most that is read"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("is not UTF-8 text: byte {at} (counted from 0) begins no character")
    })
}

/// The spelling in which a text has fewer mistakes; KDL where that says nothing.
fn guess(path: &Path, text: &str) -> Spelling {
    let mistakes = |spelling| source::one(path, spelling, text.to_owned()).problems.len();
    let kdl = mistakes(Spelling::Kdl);
    if kdl > 0 && mistakes(Spelling::Toml) < kdl { Spelling::Toml } else { Spelling::Kdl }
}
