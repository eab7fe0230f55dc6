//! What an editor asks of topology files: what is wrong in them, what may stand at a place, what a word means, where a name is
//! given and used. `lvsform lsp` carries questions and answers; everything here is pure but for the files that it is given.
//!
//! A file is seen as a part of its topology: of the one that includes it, or whose overlay it is. While a text is broken, what
//! was understood of it last serves for names and hints, at the places where these are now.

mod actions;
mod complete;
mod cursor;
mod hints;
mod hover;
mod moved;
mod names;
mod part;
mod places;
#[cfg(test)]
mod tests;
pub mod text;
pub mod uri;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use lsp_types::{Diagnostic, DiagnosticSeverity, Location, Position, TextDocumentContentChangeEvent};

use crate::rules::{self, Asked};
use crate::source::{self, FileId, Files, Inputs, Label, Problem, Severity, Sources, Spelling, printable};
use crate::topology::Topology;
use crate::{compile, expect};
use moved::Moved;
use names::{Mention, Thing};
use part::{Over, Part};
use text::Document;

/// Files that are open, and what is known of the topologies that they belong to.
#[derive(Debug, Default)]
pub struct Editor {
    documents: BTreeMap<PathBuf, Document>,
    /// The folders that the editor works in.
    folders: Vec<PathBuf>,
    /// Which topology an overlay is laid over, where its folder does not say it.
    bases: BTreeMap<PathBuf, PathBuf>,
    /// What is given beside the files of every topology; of variables those that it declares.
    given: Inputs,
    topologies: BTreeMap<Part, Known>,
    published: BTreeMap<PathBuf, Vec<Diagnostic>>,
    /// Whether anything was touched since the last look.
    touched: bool,
}

/// A topology as it is now, and as it was last understood whole.
#[derive(Debug, Default)]
struct Known {
    now: Analysis,
    good: Option<Analysis>,
    /// From the files of that one to those of now.
    moved: BTreeMap<PathBuf, Moved>,
    stale: bool,
}

/// A piece of a file.
type Piece = (PathBuf, (usize, usize));

/// What was understood of some files.
#[derive(Debug, Default)]
struct Analysis {
    sources: Sources,
    topology: Option<Topology>,
    problems: Vec<Problem>,
    /// Variables to which nobody gives a value here; something stands in for each.
    valueless: Vec<Problem>,
    mentions: Vec<Mention>,
}

impl Editor {
    /// An editor that works in these folders. `bases`: the topology of an overlay, where its folder has several. `given`: files
    /// of values, and values, of variables.
    pub fn new(folders: Vec<PathBuf>, bases: BTreeMap<PathBuf, PathBuf>, given: Inputs) -> Editor {
        Editor { folders, bases, given, ..Editor::default() }
    }

    /// A file is open, with this text.
    pub fn open(&mut self, path: PathBuf, text: String) {
        self.touch(&path);
        self.documents.insert(path, Document::new(text));
    }

    /// A file that is open is changed.
    pub fn change(&mut self, path: &Path, changes: Vec<TextDocumentContentChangeEvent>) {
        if let Some(document) = self.documents.get_mut(path) {
            for change in changes {
                document.change(change);
            }
            self.touch(path);
        }
    }

    /// A file is open no longer: what is on the disk counts.
    pub fn close(&mut self, path: &Path) {
        self.documents.remove(path);
        self.touch(path);
        let open = &self.documents;
        self.topologies.retain(|_, known| known.now.files().any(|file| open.contains_key(file)));
    }

    /// Files were changed on the disk.
    pub fn touch(&mut self, path: &Path) {
        self.touched = true;
        for (part, known) in &mut self.topologies {
            known.stale |= matches!(part, Part::Alone(_)) || known.now.files().any(|file| file == path);
        }
    }

    /// Looks again at everything that has changed. What is wrong now in each file where that is not what was said last.
    pub fn refresh(&mut self, disk: &dyn Files) -> Vec<(PathBuf, Vec<Diagnostic>)> {
        if !std::mem::take(&mut self.touched) {
            return Vec::new();
        }
        self.look(disk);
        let mut found: BTreeMap<PathBuf, Vec<Diagnostic>> = BTreeMap::new();
        let mut said: HashSet<(PathBuf, lsp_types::Range, String)> = HashSet::new();
        for (_, known) in self.topologies.iter().filter(|(part, _)| self.is_shown(part)) {
            for (path, diagnostics) in known.now.diagnostics() {
                let all = found.entry(path.clone()).or_default();
                // With an overlay and without, a file has the same mistakes.
                all.extend(diagnostics.into_iter().filter(|one| said.insert((path.clone(), one.range, one.message.clone()))));
            }
        }
        let gone: Vec<PathBuf> = self.published.keys().filter(|path| !found.contains_key(*path)).cloned().collect();
        found.extend(gone.into_iter().map(|path| (path, Vec::new())));
        let news: Vec<(PathBuf, Vec<Diagnostic>)> = found
            .iter()
            .filter(|(path, now)| self.published.get(*path) != Some(now))
            .map(|(path, now)| (path.clone(), now.clone()))
            .collect();
        self.published = found;
        news
    }

    /// Brings what is known up to what is written.
    fn look(&mut self, disk: &dyn Files) {
        // A file that stood alone may belong somewhere by now.
        self.topologies.retain(|part, known| !(known.stale && matches!(part, Part::Alone(_))));
        let lost: Vec<PathBuf> = self.documents.keys().filter(|path| self.of(path).next().is_none()).cloned().collect();
        for (part, known) in &mut self.topologies {
            if std::mem::take(&mut known.stale) {
                known.learn(Analysis::of(part, disk, &self.documents, &self.given));
            }
        }
        for path in lost {
            if self.of(&path).next().is_none() {
                let part = part::of(&path, disk, &self.documents, &self.folders, &self.bases);
                for part in part::beside(&part, disk, &self.documents, &self.bases).into_iter().chain([part]) {
                    self.topologies.entry(part).or_insert_with_key(|part| {
                        let mut known = Known::default();
                        known.learn(Analysis::of(part, disk, &self.documents, &self.given));
                        known
                    });
                }
            }
        }
    }

    /// Whether what is wrong in a topology is anybody's concern: overlays that nobody has open may need others.
    fn is_shown(&self, part: &Part) -> bool {
        match part {
            Part::Topology { overlay: Some(overlay), .. } => self.documents.contains_key(overlay),
            Part::Topology { overlay: None, .. } | Part::Alone(_) => true,
        }
    }

    /// The topologies that a file belongs to, and which file of each it is.
    fn of(&self, path: &Path) -> impl Iterator<Item = (&Known, FileId)> + use<'_> {
        let all: Vec<(&Known, FileId)> =
            self.topologies.values().filter_map(|known| Some((known, known.now.id(path)?))).collect();
        all.into_iter()
    }

    /// A file that is open, how it is spelled, and the byte of a position of it.
    fn at(&self, path: &Path, position: Position) -> Option<(&Document, Spelling, usize)> {
        let document = self.documents.get(path)?;
        Some((document, Spelling::of(path)?, document.offset(position)))
    }

    /// The name that stands at a place, with the topology that it was found in.
    fn mention(&self, path: &Path, at: usize) -> Option<(&Known, &Mention, Range<usize>)> {
        self.of(path).find_map(|(known, _)| {
            let here = |(place, _): &(Piece, &Mention)| place.0 == path && place.1.0 <= at && at <= place.1.1;
            let ((_, (start, end)), one) =
                known.mentions().into_iter().filter(here).min_by_key(|((_, bytes), _)| bytes.1 - bytes.0)?;
            Some((known, one, start..end))
        })
    }

    /// Every name that may be used in a file, with the kind that gives it.
    fn names(&self, path: &Path, thing: Thing) -> BTreeSet<(&str, &'static str)> {
        self.given(path, thing).map(|one| (one.text(), one.kind)).collect()
    }

    /// Where the names of a sort are given that may be used in a file.
    fn given(&self, path: &Path, thing: Thing) -> impl Iterator<Item = &Mention> {
        let known = self.of(path).flat_map(|(known, _)| known.good.iter().chain([&known.now]));
        known.flat_map(|analysis| &analysis.mentions).filter(move |one| one.defines && one.thing == thing)
    }
}

impl Known {
    fn learn(&mut self, now: Analysis) {
        let before = std::mem::replace(&mut self.now, now);
        // What is broken now was understood before.
        if self.now.is_whole() {
            self.good = None;
        } else if before.is_whole() && before.topology.is_some() {
            self.good = Some(before);
        }
        let good = self.good.iter().flat_map(|good| good.sources.files());
        let moved = good.filter_map(|old| {
            let now = self.now.sources.files().iter().find(|now| now.path == old.path)?;
            Some((old.path.clone(), Moved::new(&old.text, &now.text)))
        });
        self.moved = moved.collect();
    }

    /// The last topology that was understood whole, and where a place of it is now.
    fn topology(&self) -> Option<(&Topology, &Analysis)> {
        let best = self.good.as_ref().unwrap_or(&self.now);
        Some((best.topology.as_ref()?, best))
    }

    /// Every name with its place now; those of what is broken where they were when it was whole.
    fn mentions(&self) -> Vec<(Piece, &Mention)> {
        let place = |analysis: &Analysis, one: &Mention| {
            let (path, bytes) = self.carried(analysis, one.file, one.bytes.clone())?;
            Some((path, (bytes.start, bytes.end)))
        };
        let mut all: Vec<(Piece, &Mention)> =
            self.now.mentions.iter().filter_map(|one| Some((place(&self.now, one)?, one))).collect();
        if let Some(good) = &self.good {
            // In each file the beginning of every name, and how far those up to it reach.
            let mut reach: BTreeMap<PathBuf, Vec<(usize, usize)>> = BTreeMap::new();
            let mut places: Vec<&Piece> = all.iter().map(|(place, _)| place).collect();
            places.sort_unstable();
            for (path, (start, end)) in places {
                let of = reach.entry(path.clone()).or_default();
                let before = of.last().map_or(0, |(_, end)| *end);
                of.push((*start, before.max(*end)));
            }
            // What is understood now is not what it was: a name may have grown.
            let is_free = |(path, (start, end)): &Piece| {
                let of = reach.get(path).map(Vec::as_slice).unwrap_or_default();
                let before = of.partition_point(|(from, _)| from < end);
                before.checked_sub(1).and_then(|at| of.get(at)).is_none_or(|(_, reached)| reached <= start)
            };
            let lost = good.mentions.iter().filter_map(|one| Some((place(good, one)?, one)));
            let lost: Vec<(Piece, &Mention)> = lost.filter(|(place, _)| is_free(place)).collect();
            all.extend(lost);
        }
        all
    }

    /// Where a piece of a file is now that `analysis` knew, by its path.
    fn carried(&self, analysis: &Analysis, file: FileId, bytes: Range<usize>) -> Option<(PathBuf, Range<usize>)> {
        let path = analysis.files().nth(analysis.sources.plain(file).0 as usize)?.to_owned();
        if std::ptr::eq(analysis, &raw const self.now) {
            return Some((path, bytes));
        }
        let bytes = self.moved.get(&path)?.piece(bytes)?;
        Some((path, bytes))
    }
}

impl Analysis {
    fn of(part: &Part, disk: &dyn Files, documents: &BTreeMap<PathBuf, Document>, given: &Inputs) -> Analysis {
        let (path, overlays) = match part {
            Part::Alone(path) => return Analysis::alone(path, &Over::new(disk, documents, Inputs::default())),
            Part::Topology { root, overlay } => (root, overlay.iter().cloned().collect()),
        };
        let files = Over::new(disk, documents, Inputs { overlays, ..given.clone() });
        let mut loaded = source::load(path, &files);
        let valueless = values::stand_in(&mut loaded);
        let mentions = names::mentions(&loaded);
        let (sources, topology, mut problems) = rules::examine_as(loaded, &Asked::default());
        if let (Some(topology), false) = (&topology, has_errors(&problems)) {
            problems.extend(compile::problems(topology));
            problems.extend(expect::problems(topology, &sources));
            sources.settle(&mut problems);
        }
        // What is wrong with a value that nobody gave is nobody's mistake.
        problems.retain(|problem| !problem.labels.iter().any(|label| values::stands_in(sources.path(label.span))));
        Analysis { sources, topology, problems, valueless, mentions }
    }

    /// A file that no topology includes: what is wrong with its syntax can be said, and nothing else.
    fn alone(path: &Path, files: &dyn Files) -> Analysis {
        let text = files.root(path).map(|file| file.text).unwrap_or_default();
        let loaded = source::one(path, Spelling::of(path).unwrap_or(Spelling::Kdl), text);
        let mentions = names::mentions(&loaded);
        Analysis { sources: loaded.sources, problems: loaded.problems, mentions, ..Analysis::default() }
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.files().iter().map(|file| file.path.as_path())
    }

    fn id(&self, path: &Path) -> Option<FileId> {
        let at = self.files().position(|file| file == path)?;
        u32::try_from(at).ok().map(FileId)
    }

    /// Whether everything was understood.
    fn is_whole(&self) -> bool {
        self.topology.is_some() && !has_errors(&self.problems)
    }

    /// What is wrong in each file; files without a fault are there too.
    fn diagnostics(&self) -> BTreeMap<PathBuf, Vec<Diagnostic>> {
        let documents: Vec<Document> = self.sources.files().iter().map(|file| Document::new(file.text.clone())).collect();
        let mut found: BTreeMap<PathBuf, Vec<Diagnostic>> =
            self.files().filter(|path| path.is_absolute()).map(|path| (path.to_owned(), Vec::new())).collect();
        let is_file = |label: &&Label| self.sources.path(label.span).is_absolute();
        for (problem, is_said_softly) in
            self.problems.iter().map(|it| (it, false)).chain(self.valueless.iter().map(|it| (it, true)))
        {
            // What the command line or the environment says is in no file that an editor could show.
            let first = problem.labels.iter().find(is_file);
            let file = first.map_or(FileId(0), |label| self.sources.plain(label.span.file));
            let (Some(path), Some(document)) = (self.files().nth(file.0 as usize), documents.get(file.0 as usize)) else {
                continue;
            };
            let mut diagnostic = actions::diagnostic(problem, first, document, |file, bytes| {
                let file = self.sources.plain(file).0 as usize;
                let range = documents.get(file)?.range(bytes);
                Some(Location { uri: uri::uri(self.files().nth(file)?)?, range })
            });
            for label in problem.labels.iter().filter(|label| !is_file(label)) {
                let _ = write!(diagnostic.message, "\nin {}", printable(&self.sources.path(label.span).to_string_lossy()));
            }
            if is_said_softly {
                diagnostic.severity = Some(DiagnosticSeverity::INFORMATION);
            }
            found.entry(path.to_owned()).or_default().push(diagnostic);
        }
        found
    }
}

fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}
