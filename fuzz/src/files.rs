//! The files of one input: its text up to the first record separator is the root, and each of them begins another file.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use lvsform::source::{Files, Included, Spelling, Unreadable};

/// What stands between two files of an input.
const SEPARATOR: char = '\u{1e}';

/// A root and what it may include: `1.kdl`, `2.toml`, …, every other one in the other spelling.
pub struct Parts {
    root: PathBuf,
    texts: BTreeMap<PathBuf, String>,
}

impl Parts {
    pub fn new(spelling: Spelling, text: &str) -> Parts {
        let (own, other) = match spelling {
            Spelling::Kdl => ("kdl", "toml"),
            Spelling::Toml => ("toml", "kdl"),
        };
        let name = |index: usize| match index {
            0 => format!("root.{own}"),
            odd if odd % 2 == 1 => format!("{odd}.{own}"),
            even => format!("{even}.{other}"),
        };
        let texts = text.split(SEPARATOR).enumerate().map(|(index, text)| (PathBuf::from(name(index)), text.to_owned()));
        Parts { root: name(0).into(), texts: texts.collect() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file in place of what it was.
    pub fn put(&mut self, path: &Path, text: String) {
        self.texts.insert(plain(path), text);
    }
}

fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

impl Files for Parts {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        let identity = plain(path);
        let text = self.texts.get(&identity).ok_or(Unreadable::Missing)?.clone();
        Ok(Included { identity, text })
    }

    fn included(&self, _: &Path, path: &Path) -> Result<Included, Unreadable> {
        Files::root(self, path)
    }

    /// Every pattern matches everything.
    fn matching(&self, _: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        Ok(self.texts.keys().cloned().collect())
    }
}
