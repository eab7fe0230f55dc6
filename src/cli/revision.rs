//! Files of a git revision: `main:topology.kdl`. Asks git, and writes nothing.

use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::source::{FILE_CAP, Files, Included, Unreadable};

/// The files of one revision, by their paths from the folder in which this runs.
#[derive(Clone, Debug)]
pub struct Revision {
    name: String,
}

impl Revision {
    /// `main:topology.kdl`, where no file has that name.
    pub fn of(argument: &Path) -> Option<(Revision, PathBuf)> {
        let (name, path) = argument.to_str()?.split_once(':')?;
        // A word that git would take for an option is no revision.
        let is_one = !name.is_empty() && !name.starts_with('-') && !path.is_empty() && argument.symlink_metadata().is_err();
        is_one.then(|| (Revision { name: name.to_owned() }, PathBuf::from(path)))
    }

    #[expect(clippy::disallowed_methods, reason = "git alone knows what is in a revision")]
    fn git(arguments: &[&str]) -> Result<Vec<u8>, Unreadable> {
        let output = Command::new("git").args(arguments).output();
        let output = output.map_err(|error| Unreadable::Io(format!("git does not run: {error}")))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.lines().next().unwrap_or_default().trim_start_matches("fatal: ").to_owned();
        Err(Unreadable::Io(words))
    }

    fn read(&self, path: &Path) -> Result<Included, Unreadable> {
        let identity = plain(path).ok_or(Unreadable::Outside)?;
        let object = format!("{}:./{}", self.name, identity.display());
        let bytes = Revision::git(&["cat-file", "blob", &object])?;
        let size = bytes.len() as u64;
        if size > FILE_CAP {
            return Err(Unreadable::TooLarge { size, cap: FILE_CAP });
        }
        let text = String::from_utf8(bytes).map_err(|error| Unreadable::NotUtf8(error.utf8_error().valid_up_to()))?;
        Ok(Included { identity, text })
    }
}

impl Files for Revision {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        self.read(path)
    }

    fn included(&self, folder: &Path, path: &Path) -> Result<Included, Unreadable> {
        let (folder, inside) = (plain(folder).ok_or(Unreadable::Outside)?, plain(path).ok_or(Unreadable::Outside)?);
        if inside.starts_with(folder) { self.read(&inside) } else { Err(Unreadable::Outside) }
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        let refused = |error: String| Unreadable::Io(error);
        let pattern = pattern.to_str().ok_or_else(|| refused("its name is not UTF-8".into()))?;
        let pattern = glob::Pattern::new(pattern).map_err(|error| refused(error.msg.into()))?;
        let options =
            glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
        let names = Revision::git(&["ls-tree", "-r", "-z", "--name-only", &self.name])?;
        let names = names.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
        let mut found: Vec<PathBuf> = names.filter(|name| pattern.matches_with(name, options)).map(PathBuf::from).collect();
        found.sort();
        Ok(found)
    }
}

/// A path without `.` and `..`; `None` where it leads out of the folder in which this runs.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            _ => return None,
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Revision, plain};

    #[test]
    fn a_path_stays_where_this_runs() {
        assert_eq!(plain(Path::new("./a/../b/c.kdl")), Some(PathBuf::from("b/c.kdl")));
        assert_eq!(plain(Path::new("../c.kdl")), None);
        assert_eq!(plain(Path::new("/etc/passwd")), None);
    }

    #[test]
    fn a_revision_has_a_name_and_a_path() {
        let of = |text: &str| Revision::of(Path::new(text)).map(|(revision, path)| (revision.name, path));
        assert_eq!(of("main:a.kdl"), Some(("main".to_owned(), PathBuf::from("a.kdl"))));
        for other in ["a.kdl", ":a.kdl", "main:", "--upload-pack=x:a"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
