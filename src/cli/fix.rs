//! `check --fix`: the edits of problems where nothing else can have been meant, written into the files.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use super::input::Composition;
use super::output::Output;
use super::{files, in_words, input};
use crate::report;
use crate::rules::Asked;
use crate::source::problem::edit;
use crate::source::{FileId, printable};

/// What is mended in one round may show more behind it.
const ROUNDS: usize = 8;

/// Mends the files of a topology; `false` where one of them could not be written, which has been said.
pub fn fix(file: &Path, composition: &Composition, asked: &Asked, out: &mut Output) -> bool {
    for _ in 0..ROUNDS {
        let (sources, _, problems) = input::examine(file, composition, asked);
        let mut done = 0;
        for (index, source) in sources.files().iter().enumerate() {
            let id = FileId(u32::try_from(index).unwrap_or(u32::MAX));
            let (text, count) = edit::mended(&source.text, id, &problems);
            if count == 0 {
                continue;
            }
            let shown = printable(&source.path.to_string_lossy()).into_owned();
            if let Err(error) = replace(&source.path, &source.text, &text) {
                let message = format!("cannot write {shown}: {}", in_words(&error));
                out.error(&report::error(&message, &[], Some("nothing of this file was changed"), out.error_style));
                return false;
            }
            out.error(&format!("{shown}: {count} mended\n"));
            done += count;
        }
        if done == 0 {
            break;
        }
    }
    true
}

/// Puts the new text in the place of the old one, whole, with the same permissions; not where somebody has changed it since.
#[expect(clippy::disallowed_methods, reason = "files that the user asked to have mended")]
fn replace(path: &Path, old: &str, new: &str) -> io::Result<()> {
    // Where a link leads, not the link.
    let path = files::real(path).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
    if fs::read(&path)? != old.as_bytes() {
        return Err(nix::errno::Errno::ESTALE.into());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let permissions = fs::metadata(&path)?.permissions();
    let written = file
        .set_permissions(permissions)
        .and_then(|()| file.write_all(new.as_bytes()))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}
