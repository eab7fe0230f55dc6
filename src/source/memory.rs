//! Files in memory, for tests.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::{Files, Included, Loaded, Unreadable, load};

/// A folder of texts, and of paths that cannot be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct InMemory(pub(crate) BTreeMap<PathBuf, Result<String, Unreadable>>);

impl InMemory {
    /// Texts by their paths.
    pub(crate) fn new<const N: usize>(files: [(&str, &str); N]) -> InMemory {
        InMemory(files.into_iter().map(|(path, text)| (PathBuf::from(path), Ok(text.to_owned()))).collect())
    }

    /// With one more path, that cannot be read.
    pub(crate) fn but(mut self, path: &str, reason: Unreadable) -> InMemory {
        self.0.insert(path.into(), Err(reason));
        self
    }
}

/// Loads one text as a file of this name.
pub(crate) fn load_text(path: &str, text: &str) -> Loaded {
    load(Path::new(path), &InMemory::new([(path, text)]))
}

impl Files for InMemory {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        let mut identity = PathBuf::new();
        for component in path.components() {
            match component {
                Component::CurDir => {}
                Component::ParentDir => drop(identity.pop()),
                other => identity.push(other),
            }
        }
        let text = self.0.get(&identity).cloned().unwrap_or(Err(Unreadable::Missing))?;
        Ok(Included { identity, text })
    }

    fn included(&self, folder: &Path, path: &Path) -> Result<Included, Unreadable> {
        let file = self.root(path)?;
        let folder = folder.strip_prefix(".").unwrap_or(folder);
        if file.identity.starts_with(folder) { Ok(file) } else { Err(Unreadable::Outside) }
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
        let pattern = glob::Pattern::new(&pattern.to_string_lossy()).unwrap_or_default();
        Ok(self.0.keys().filter(|path| pattern.matches_path_with(path, options)).cloned().collect())
    }
}
