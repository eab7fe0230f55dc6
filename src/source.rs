//! Text with places: files, spans, and the one tree that both spellings become.
//!
//! Everything a person wrote keeps the place where it stands, so that every later message can point at it. Parsing never
//! fails early: it returns what it understood and every problem. This module does no I/O: files come through [`Files`].

mod include;
mod input;
mod kdl;
#[cfg(test)]
pub(crate) mod memory;
mod printable;
pub mod problem;
mod scan;
#[cfg(test)]
mod tests;
mod toml;

use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use include::{FILE_CAP, load, one, root};
pub use printable::printable;
pub use problem::{Label, Problem, Severity};

/// Which file of a [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

impl FileId {
    /// Whether it is a file's text where it holds with other places too ([`Sources::used`]).
    pub fn is_use(self) -> bool {
        self.0 >= USES
    }
}

/// Which of the two spellings a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `.kdl`
    Kdl,
    /// `.toml`
    Toml,
}

impl Spelling {
    /// The spelling of a file: its extension says it.
    pub fn of(path: &Path) -> Option<Spelling> {
        match path.extension().and_then(OsStr::to_str) {
            Some("kdl") => Some(Spelling::Kdl),
            Some("toml") => Some(Spelling::Toml),
            _ => None,
        }
    }
}

/// A piece of a file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// The bytes of a file. What lies beyond the cap of a file's size becomes the cap.
    pub fn new(file: FileId, bytes: Range<usize>) -> Span {
        let place = |byte| u32::try_from(byte).unwrap_or(u32::MAX);
        Span { file, start: place(bytes.start), end: place(bytes.end) }
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Somebody wrote it there.
    Text(Span),
    /// Nobody wrote it: the language's default.
    Default,
    /// No file says it any more: the record of what a topology owns does.
    Ledger,
    /// The record of what a topology owned before its last apply says it.
    Former,
}

impl Origin {
    /// The place in a file, where there is one.
    pub fn span(self) -> Option<Span> {
        match self {
            Origin::Text(span) => Some(span),
            Origin::Default | Origin::Ledger | Origin::Former => None,
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

impl<T> At<T> {
    /// A value that somebody wrote at `span`.
    pub fn new(value: T, span: Span) -> At<T> {
        At { value, origin: Origin::Text(span) }
    }

    /// A value that nobody wrote.
    pub fn default(value: T) -> At<T> {
        At { value, origin: Origin::Default }
    }
}

/// The files of one topology. The first is the root.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
    uses: Vec<Use>,
}

/// A file once more, for what of its text holds elsewhere: a value with a variable in it, a default, what an overlay sets. Every
/// message about a token of it also shows the other places.
#[derive(Clone, Debug)]
struct Use {
    file: FileId,
    labels: Vec<Label>,
    /// Whether the value is what the text says.
    is_literal: bool,
    /// Where the value is said that the text takes in.
    value: Option<Span>,
}

/// The numbers of uses begin here; so many files nobody has.
const USES: u32 = 1 << 31;

/// One file as it was read.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The path as a person would say it: the root as it was given, the others as the root's folder leads to them.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
    line_starts: Vec<u32>,
    /// Whether the path is that of a file; else it is words that say who gave the text.
    on_disk: bool,
}

/// A place as an editor shows it. Both count from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// line
    pub line: usize,
    /// column, in characters
    pub column: usize,
}

impl Sources {
    /// Adds a file; its id is its position.
    ///
    /// # Panics
    /// With more than 4,294,967,295 files; `include` stops long before.
    pub fn add(&mut self, path: PathBuf, text: String) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).expect("include caps the number of files"));
        let line_starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').filter_map(|(at, _)| u32::try_from(at + 1).ok()))
            .collect();
        self.files.push(SourceFile { path, text, line_starts, on_disk: true });
        id
    }

    /// Adds a text that is in no file, under words that say who gave it: `--var dc`.
    ///
    /// # Panics
    /// As [`Sources::add`].
    pub fn add_given(&mut self, words: &str, text: String) -> FileId {
        let id = self.add(words.into(), text);
        self.files.last_mut().into_iter().for_each(|file| file.on_disk = false);
        id
    }

    /// Whether a text is a file's, and not one of a command line or of the environment.
    pub fn is_on_disk(&self, id: FileId) -> bool {
        self.file(id).on_disk
    }

    /// A number for a file's text where it holds with other places too.
    pub fn used(&mut self, file: FileId, labels: Vec<Label>, is_literal: bool) -> FileId {
        let (mut labels, mut is_literal) = (labels, is_literal);
        let mut value = labels.first().filter(|_| !is_literal).map(|label| label.span);
        if let Some(before) = self.use_of(file) {
            value = value.or(before.value);
            is_literal &= before.is_literal;
            labels.splice(0..0, before.labels.iter().cloned());
        }
        let id = FileId(u32::try_from(self.uses.len()).map_or(u32::MAX, |at| at | USES));
        let file = self.plain(file);
        self.uses.push(Use { file, labels, is_literal, value });
        id
    }

    fn use_of(&self, id: FileId) -> Option<&Use> {
        self.uses.get(id.0.checked_sub(USES)? as usize)
    }

    /// Whether a token says its value itself, and takes in no variable.
    pub fn is_literal(&self, span: Span) -> bool {
        self.use_of(span.file).is_none_or(|found| found.is_literal)
    }

    /// The file itself.
    pub fn plain(&self, id: FileId) -> FileId {
        self.use_of(id).map_or(id, |found| found.file)
    }

    /// Where a piece stands, whatever it is used for.
    pub fn place(&self, span: Span) -> Span {
        Span { file: self.plain(span.file), ..span }
    }

    /// Where somebody says what a piece comes to: the piece itself, or the value of the variable in it, where a file says that.
    pub fn said(&self, span: Span) -> Span {
        let value = self.use_of(span.file).and_then(|found| found.value).map(|value| self.place(value));
        // What the command line and the environment say is in a text that no file has.
        value.filter(|value| Spelling::of(self.path(*value)).is_some()).unwrap_or_else(|| self.place(span))
    }

    /// Adds to each problem the other places that belong to its tokens. Once is enough, and twice does nothing.
    pub fn settle(&self, problems: &mut [Problem]) {
        for problem in problems.iter_mut().filter(|_| !self.uses.is_empty()) {
            let mut more: Vec<Label> = Vec::new();
            for label in &mut problem.labels {
                if let Some(found) = self.use_of(label.span.file) {
                    more.extend(found.labels.iter().cloned());
                    label.span.file = found.file;
                }
            }
            for label in more {
                if problem.labels.iter().all(|known| known.span != label.span) {
                    problem.labels.push(label);
                }
            }
            let is_used = |span: Span| self.use_of(span.file).map(|found| (found.file, found.is_literal));
            match problem.edit.as_deref().and_then(|edit| is_used(edit.span)) {
                Some((_, false)) => problem.edit = None,
                Some((file, true)) => problem.edit.iter_mut().for_each(|edit| edit.span.file = file),
                None => {}
            }
        }
    }

    /// The file of an id that [`Sources::add`] or [`Sources::used`] gave.
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[self.plain(id).0 as usize]
    }

    /// All files, the root first.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The path of a span's file.
    pub fn path(&self, span: Span) -> &Path {
        &self.file(span.file).path
    }

    /// Where a span begins.
    pub fn position(&self, span: Span) -> Position {
        self.file(span.file).position(span.start)
    }

    /// The text of a span; empty if the span does not lie in its file.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file).text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }
}

impl SourceFile {
    /// The bytes of a line, counted from 1, without its line break.
    pub fn line(&self, number: usize) -> Option<Range<usize>> {
        let start = *self.line_starts.get(number.checked_sub(1)?)? as usize;
        let end = self.line_starts.get(number).map_or(self.text.len(), |next| *next as usize);
        let line = self.text.get(start..end)?;
        Some(start..start + line.trim_end_matches(['\n', '\r']).len())
    }

    /// The position of a byte.
    pub fn position(&self, byte: u32) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= byte).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or_default() as usize;
        // An editor does not count the byte order mark.
        let before = self.text.get(start..byte as usize).unwrap_or_default().trim_start_matches('\u{feff}');
        Position { line, column: before.chars().count() + 1 }
    }
}

/// What both spellings are read into: nodes with arguments and children.
///
/// KDL maps onto it as it stands, a property being a child node with one argument. TOML maps by form alone: a table is a
/// node with children, a scalar a node with one argument, an array of scalars a node with several arguments, an array of
/// tables several nodes of one key. Which table key is a name and which a field is known to `topology::shape`, not here.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The top-level nodes of all files, in the order in which they were read.
    pub nodes: Vec<Node>,
    /// What overlays have taken away.
    pub removed: Vec<Removed>,
}

/// Something that an overlay has taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// What leads to it: `pool.web`, `service.shop.drain`.
    pub path: Box<str>,
    /// Its kind or field: `drain`.
    pub word: Box<str>,
    /// Where the overlay says so.
    pub at: Span,
    /// The token of the block that it was in; none where that was the file.
    pub from: Option<Span>,
}

impl Removed {
    /// What is to be said at the overlay's place.
    pub fn label(&self) -> Label {
        Label { span: self.at, text: "taken away here".to_owned() }
    }
}

/// One node of a [`Tree`].
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The kind or field: `director`, `port`, in TOML also a name: `lb1`.
    pub key: Box<str>,
    /// The token of the key.
    pub span: Span,
    /// What stands behind the key: `"web1"` in `server "web1"`, `443` in `port=443`.
    pub args: Vec<Arg>,
    /// Properties, then children, each in the order of the text.
    pub children: Vec<Node>,
    /// How the node was written.
    pub form: Form,
}

/// How a node was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A KDL node.
    KdlNode,
    /// A KDL property, `port=443`.
    KdlProperty,
    /// `[header]` or an inline table.
    TomlTable,
    /// One of an array of tables, `[[header]]` or `[{…}, {…}]`.
    TomlTableOfArray,
    /// `key = value` with a scalar.
    TomlValue,
    /// `key = [value, …]`.
    TomlArray,
    /// TOML that stands as KDL would have it: composing has unfolded its names.
    Unfolded,
}

impl Form {
    /// Whether the file is TOML.
    pub fn is_toml(self) -> bool {
        !matches!(self, Form::KdlNode | Form::KdlProperty)
    }
}

/// One argument of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    /// The value.
    pub value: Scalar,
    /// Its token, with quotes.
    pub span: Span,
}

/// A value of a file. Floats, dates, `#null` and type annotations are problems already when the tree is made.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// a string
    Text(Box<str>),
    /// an integer
    Integer(i64),
    /// `#true`, `true`
    Boolean(bool),
}

/// What reading a topology gives: always all three, however broken the text.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every file that could be read.
    pub sources: Sources,
    /// What was understood.
    pub tree: Tree,
    /// Everything that was not.
    pub problems: Vec<Problem>,
    /// What was given beside the files, still to be put in.
    pub given: Given,
}

/// What is given beside a topology's files, as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Inputs {
    /// Files that set, add and remove, the last one last.
    pub overlays: Vec<PathBuf>,
    /// Files of variables' values; a later one wins.
    pub variable_files: Vec<PathBuf>,
    /// `NAME=VALUE`; they win over files.
    pub variables: Vec<String>,
}

/// What was given beside a topology's files, as it was read.
#[derive(Debug, Default)]
pub struct Given {
    /// The nodes of each overlay.
    pub overlays: Vec<Vec<Node>>,
    /// The values of variables, the strongest last. The name's place is that of the value where it has none of its own.
    pub values: Vec<(Box<str>, Span, Arg)>,
    /// What variables of the environment say, of those that the files name.
    pub environment: std::collections::BTreeMap<Box<str>, Arg>,
}

/// Where files come from: the disk in the command, a map in tests.
pub trait Files {
    /// The topology's own file, wherever it lies.
    fn root(&self, path: &Path) -> Result<Included, Unreadable>;

    /// The text of an included file. It must be a regular file below `folder` after all links are followed.
    fn included(&self, folder: &Path, path: &Path) -> Result<Included, Unreadable>;

    /// What is given beside them.
    fn inputs(&self) -> Inputs {
        Inputs::default()
    }

    /// A variable of the environment. It is asked for only where a file names it.
    fn environment(&self, _name: &str) -> Option<String> {
        None
    }

    /// The paths that match a pattern, sorted. A folder that cannot be looked into is an error: its files would be missed.
    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, Unreadable>;
}

/// A file as [`Files`] gives it.
#[derive(Clone, Debug)]
pub struct Included {
    /// The path after all links were followed: the file's identity.
    pub identity: PathBuf,
    /// Its text.
    pub text: String,
}

/// Why a file cannot be read. None of these shows any of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// There is no such file.
    Missing,
    /// A directory, FIFO, socket or device; the word says which.
    NotAFile(&'static str),
    /// It lies outside the root file's folder.
    Outside,
    /// Larger than the cap; both in bytes.
    TooLarge {
        /// its size
        size: u64,
        /// the cap
        cap: u64,
    },
    /// Not UTF-8, from this byte on.
    NotUtf8(usize),
    /// What the system said.
    Io(String),
}
