//! Which topology a file belongs to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::text::Document;
use crate::source::{self, Files, Included, Inputs, Spelling, Unreadable};

/// So many folders above a file are looked into for the topology that includes it, and so many files of each.
const FOLDERS: usize = 6;
const FILES: usize = 200;
/// So many overlays of a topology are looked at beside it.
const OVERLAYS: usize = 8;

/// The words of overlays.
pub const OVERLAY: &[&str] = &["set", "add", "remove"];

/// What a file is a part of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A topology, or one with an overlay.
    Topology {
        /// The file that has `topology`.
        root: PathBuf,
        /// What is laid over it.
        overlay: Option<PathBuf>,
    },
    /// Of nothing that is known.
    Alone(PathBuf),
}

/// The disk's files with those over them that are open.
pub struct Over<'f> {
    disk: &'f dyn Files,
    documents: &'f BTreeMap<PathBuf, Document>,
    inputs: Inputs,
}

impl<'f> Over<'f> {
    pub fn new(disk: &'f dyn Files, documents: &'f BTreeMap<PathBuf, Document>, inputs: Inputs) -> Over<'f> {
        Over { disk, documents, inputs }
    }

    fn open(&self, path: &Path, found: Result<Included, Unreadable>) -> Result<Included, Unreadable> {
        let identity = found.as_ref().ok().map(|file| file.identity.clone());
        let document = self.documents.get(path).or_else(|| self.documents.get(identity.as_ref()?));
        match (document, found) {
            (Some(document), Ok(file)) => Ok(Included { text: document.text().to_owned(), ..file }),
            (Some(document), Err(Unreadable::Missing)) => {
                Ok(Included { identity: path.to_owned(), text: document.text().to_owned() })
            }
            (_, found) => found,
        }
    }
}

impl Files for Over<'_> {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        self.open(path, self.disk.root(path))
    }

    fn included(&self, folder: &Path, path: &Path) -> Result<Included, Unreadable> {
        self.open(path, self.disk.included(folder, path))
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        self.disk.matching(pattern)
    }

    fn inputs(&self) -> Inputs {
        self.inputs.clone()
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.disk.environment(name)
    }
}

/// What a file is, by the words of its top level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Topology,
    Overlay,
    Other,
}

fn sort(path: &Path, files: &dyn Files) -> Sort {
    let (Some(spelling), Ok(file)) = (Spelling::of(path), files.root(path)) else { return Sort::Other };
    // Most files need not be read for this.
    if !["topology", "set", "add", "remove"].iter().any(|word| file.text.contains(word)) {
        return Sort::Other;
    }
    let nodes = source::one(path, spelling, file.text).tree.nodes;
    let has = |words: &[&str]| nodes.iter().any(|node| words.contains(&&*node.key));
    match (has(&["topology"]), has(OVERLAY)) {
        (true, _) => Sort::Topology,
        (false, true) => Sort::Overlay,
        (false, false) => Sort::Other,
    }
}

/// What a file is a part of: of itself, of the topology that it is laid over, or of one that includes it in its own folder or
/// one above, as far as the editor's folders go.
pub fn of(
    path: &Path,
    disk: &dyn Files,
    documents: &BTreeMap<PathBuf, Document>,
    folders: &[PathBuf],
    bases: &BTreeMap<PathBuf, PathBuf>,
) -> Part {
    let files = Over::new(disk, documents, Inputs::default());
    let topology = |root: PathBuf, overlay: Option<PathBuf>| Part::Topology { root, overlay };
    match sort(path, &files) {
        Sort::Topology => return topology(path.to_owned(), None),
        Sort::Overlay => {
            let there = path.parent().map(|folder| topologies(folder, &files)).unwrap_or_default();
            let base = bases.get(path).cloned().or_else(|| <[PathBuf; 1]>::try_from(there).ok().map(|[only]| only));
            if let Some(root) = base {
                return topology(root, Some(path.to_owned()));
            }
        }
        Sort::Other => {
            for folder in path.ancestors().skip(1).take(FOLDERS) {
                let includes = |root: &PathBuf| {
                    let loaded = source::load(root, &files);
                    loaded.sources.files().iter().any(|file| file.path == path)
                };
                if let Some(root) = topologies(folder, &files).into_iter().find(includes) {
                    return topology(root, None);
                }
                if folders.iter().any(|of| of == folder) || !folders.iter().any(|of| folder.starts_with(of)) {
                    break;
                }
            }
        }
    }
    Part::Alone(path.to_owned())
}

/// The files of a folder that have a `topology`.
fn topologies(folder: &Path, files: &Over<'_>) -> Vec<PathBuf> {
    all(folder, files).into_iter().filter(|path| sort(path, files) == Sort::Topology).collect()
}

/// The files of a folder in either spelling.
fn all(folder: &Path, files: &Over<'_>) -> Vec<PathBuf> {
    let escaped = folder.to_string_lossy().replace('[', "[[]").replace('*', "[*]").replace('?', "[?]");
    let matching = |ending: &str| files.matching(&PathBuf::from(format!("{escaped}/*.{ending}"))).unwrap_or_default();
    matching("kdl").into_iter().chain(matching("toml")).take(FILES).collect()
}

/// The other faces of a topology: as it is without an overlay, and with each one of its folder. Names are found in all of them.
pub fn beside(
    part: &Part,
    disk: &dyn Files,
    documents: &BTreeMap<PathBuf, Document>,
    bases: &BTreeMap<PathBuf, PathBuf>,
) -> Vec<Part> {
    let Part::Topology { root, .. } = part else { return Vec::new() };
    let files = Over::new(disk, documents, Inputs::default());
    let Some(folder) = root.parent() else { return Vec::new() };
    let is_alone = topologies(folder, &files).len() == 1;
    let belongs = |path: &PathBuf| match bases.get(path) {
        Some(base) => base == root,
        None => is_alone && sort(path, &files) == Sort::Overlay,
    };
    let overlays = all(folder, &files).into_iter().filter(belongs).take(OVERLAYS).map(Some);
    [None].into_iter().chain(overlays).map(|overlay| Part::Topology { root: root.clone(), overlay }).collect()
}
