//! A saved plan: the texts that a plan was made from, its host and its digest.
//!
//! It holds no operations: whoever applies it compiles the texts again, and does exactly the plan of that digest or nothing.
//! So a file that somebody made up does no more than a topology that somebody made up.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Exit;
use super::files::{self, DiskFiles, With};
use super::input::Composition;
use super::output::Output;
use crate::report;
use crate::source::{Files, Included, Inputs, Unreadable};
use crate::txn::record::{self, Damage};

const FORMAT: &str = "lvsform-saved-plan/1";

/// How every version's first line begins.
pub const MARK: &str = "lvsform-saved-plan/";

/// So much is read of one.
const CAP: u64 = 512 << 20;

/// What `plan --out` writes, and `apply` reads.
#[derive(Debug, Serialize, Deserialize)]
pub struct Saved {
    /// The root file as the user named it.
    pub file: String,
    /// Which host of it.
    pub host: String,
    /// The topology's name.
    pub topology: String,
    /// The digest of the plan.
    pub digest: String,
    /// All files.
    pub texts: Texts,
}

/// Files as they were read, by the paths by which they were asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Texts {
    /// Each once.
    files: Vec<String>,
    /// Which of them a path leads to.
    paths: BTreeMap<String, usize>,
    /// What patterns match.
    patterns: BTreeMap<String, Vec<String>>,
    /// What was given beside them.
    #[serde(default)]
    inputs: Inputs,
    /// What the environment said.
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

impl Saved {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        record::encode(FORMAT, self)
    }

    /// Reads what [`Saved::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Saved, Damage> {
        record::decode(FORMAT, bytes)
    }

    /// Reads a saved plan; `None` where the file is something else, or cannot be read.
    pub(super) fn read(path: &Path, out: &mut Output) -> Result<Option<Saved>, Exit> {
        let Ok(file) = files::real(path).and_then(|path| files::open(&path, CAP)) else { return Ok(None) };
        let mut bytes = Vec::new();
        let begins = |bytes: &[u8]| bytes == MARK.as_bytes();
        if (&file).take(MARK.len() as u64).read_to_end(&mut bytes).is_err() || !begins(&bytes) {
            return Ok(None);
        }
        let read = file.take(CAP).read_to_end(&mut bytes).map_err(|_| Damage::Broken);
        match read.and_then(|_| Saved::decode(&bytes)) {
            Ok(saved) => Ok(Some(saved)),
            Err(damage) => {
                let message = format!("{} {damage}; nothing was done", path.display());
                let help = "make it again: lvsform plan FILE --out PATH";
                out.error(&report::error(&message, &[], Some(help), out.error_style));
                Err(Exit::Failed)
            }
        }
    }
}

impl Texts {
    fn get(&self, path: &Path) -> Result<Included, Unreadable> {
        let at = self.paths.get(&*path.to_string_lossy()).ok_or(Unreadable::Missing)?;
        let text = self.files.get(*at).ok_or(Unreadable::Missing)?;
        Ok(Included { identity: PathBuf::from(at.to_string()), text: text.clone() })
    }
}

impl Files for Texts {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        self.get(path)
    }

    fn included(&self, _: &Path, path: &Path) -> Result<Included, Unreadable> {
        self.get(path)
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        let found = self.patterns.get(&*pattern.to_string_lossy()).ok_or(Unreadable::Missing)?;
        Ok(found.iter().map(PathBuf::from).collect())
    }

    fn inputs(&self) -> Inputs {
        self.inputs.clone()
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned()
    }
}

/// The files of this machine; what is read of them is kept.
#[derive(Debug, Default)]
pub struct Keeping {
    files: With<DiskFiles>,
    texts: RefCell<Texts>,
    identities: RefCell<Vec<PathBuf>>,
}

impl Keeping {
    /// The files that a topology is composed of.
    pub fn of(composition: &Composition) -> Keeping {
        let texts = Texts { inputs: composition.inputs(), ..Texts::default() };
        Keeping { files: composition.with(DiskFiles), texts: RefCell::new(texts), ..Keeping::default() }
    }

    /// What was read.
    pub fn texts(self) -> Texts {
        self.texts.into_inner()
    }

    fn keep(&self, path: &Path, file: Included) -> Included {
        let (mut kept, mut identities) = (self.texts.borrow_mut(), self.identities.borrow_mut());
        let at = identities.iter().position(|identity| *identity == file.identity).unwrap_or_else(|| {
            identities.push(file.identity.clone());
            kept.files.push(file.text.clone());
            identities.len() - 1
        });
        kept.paths.insert(path.to_string_lossy().into_owned(), at);
        file
    }
}

impl Files for Keeping {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        self.files.root(path).map(|file| self.keep(path, file))
    }

    fn included(&self, folder: &Path, path: &Path) -> Result<Included, Unreadable> {
        self.files.included(folder, path).map(|file| self.keep(path, file))
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        let found = self.files.matching(pattern)?;
        let paths = found.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        self.texts.borrow_mut().patterns.insert(pattern.to_string_lossy().into_owned(), paths);
        Ok(found)
    }

    fn inputs(&self) -> Inputs {
        self.files.inputs()
    }

    fn environment(&self, name: &str) -> Option<String> {
        let value = self.files.environment(name)?;
        self.texts.borrow_mut().environment.insert(name.to_owned(), value.clone());
        Some(value)
    }
}
