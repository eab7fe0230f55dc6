//! Files that the user asked us to write: whole or not at all, and never in the place of something that is not ours.
//!
//! Who may run one command as root must not thereby be able to overwrite any file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::output::Output;
use super::{Exit, in_words};
use crate::report;
use crate::source::printable;

/// Puts a text in a file's place, whole. What is there already is replaced if it is a file that begins with `mark`, as all that
/// we write for this purpose does; and a link is never followed.
pub fn write_whole(path: &Path, text: &[u8], mark: &str, out: &mut Output) -> Result<(), Exit> {
    place(path, text, mark).map_err(|error| {
        let message = format!("cannot write {}: {}", path.display(), in_words(&error));
        let help = "name a file in a folder that you may write in; what lvsform did not write is never replaced";
        out.error(&report::error(&message, &[], Some(help), out.error_style));
        Exit::Failed
    })
}

/// Puts a text in the place of a file whose whole text was just read, by its real path. Its mode and its owner stay.
pub fn replace(path: &Path, text: &[u8], out: &mut Output) -> Result<(), Exit> {
    let swap = || {
        let there = path.symlink_metadata()?;
        if !there.is_file() {
            return Err(Errno::EEXIST.into());
        }
        beside(path, text, |file| {
            let made = file.metadata()?;
            if (made.uid(), made.gid()) != (there.uid(), there.gid()) {
                fchown(file, Some(there.uid()), Some(there.gid()))?;
            }
            file.set_permissions(there.permissions())?;
            file.sync_all()
        })
    };
    swap().map_err(|error| {
        let message = format!("cannot write {}: {}", path.display(), in_words(&error));
        out.error(&report::error(&message, &[], Some("the file is as it was; its folder must be writable"), out.error_style));
        Exit::Failed
    })
}

/// Prints a text, or writes it into a new file and says so.
pub fn print_or_new(text: &str, path: Option<&Path>, out: &mut Output) -> Result<(), Exit> {
    let Some(path) = path else {
        out.print(text);
        return Ok(());
    };
    new(path, text.as_bytes(), out)?;
    out.say(&format!("{}: written\n", printable(&path.to_string_lossy())));
    Ok(())
}

/// Writes a new file. What is there already, of whatever kind, is never replaced.
pub fn new(path: &Path, text: &[u8], out: &mut Output) -> Result<(), Exit> {
    let write = || match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
            file.write_all(text).inspect_err(|_| {
                let _ = std::fs::remove_file(path);
            })
        }
        Err(error) => Err(error),
        Ok(_) => Err(Errno::EEXIST.into()),
    };
    write().map_err(|error: io::Error| {
        let message = format!("cannot write {}: {}", path.display(), in_words(&error));
        out.error(&report::error(&message, &[], Some("name a file that is not there yet, in a folder that is"), out.error_style));
        Exit::Failed
    })
}

fn place(path: &Path, text: &[u8], mark: &str) -> io::Result<()> {
    if !is_free(path, mark)? {
        return Err(Errno::EEXIST.into());
    }
    beside(path, text, |_| Ok(()))
}

/// Writes a text into a new file beside `path`, and puts that in its place when it is whole and `finish` is done with it.
fn beside(path: &Path, text: &[u8], finish: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let mut name = path.file_name().ok_or(Errno::EISDIR)?.to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&beside)?;
    let written = file.write_all(text).and_then(|()| finish(&file)).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// Whether nothing is there, or a file of ours.
fn is_free(path: &Path, mark: &str) -> io::Result<bool> {
    let no_links = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Ok(there) if there.is_file() => OpenOptions::new().read(true).custom_flags(no_links).open(path)?,
        Ok(_) => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut begin = Vec::new();
    file.take(mark.len() as u64).read_to_end(&mut begin)?;
    Ok(begin == mark.as_bytes())
}
