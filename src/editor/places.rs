//! Where a name is given and used, and another name in all these places.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use lsp_types::{Location, Position, TextEdit, WorkspaceEdit};

use super::names::{Mention, Written};
use super::text::Document;
use super::{Editor, Piece, uri};
use crate::source::Spelling;
use crate::topology::is_name;
use crate::topology::range::NameRange;

impl Editor {
    /// Where the name at a place is given.
    pub fn definition(&self, path: &Path, position: Position) -> Vec<Location> {
        self.uses(path, position, |one| one.defines)
    }

    /// Every place of the name at a place; `declared`: where it is given too.
    pub fn references(&self, path: &Path, position: Position, declared: bool) -> Vec<Location> {
        self.uses(path, position, |one| declared || !one.defines)
    }

    fn uses(&self, path: &Path, position: Position, wanted: impl Fn(&Mention) -> bool) -> Vec<Location> {
        let here = self.at(path, position).and_then(|(_, _, at)| self.mention(path, at));
        let Some((_, mention, _)) = here else { return Vec::new() };
        let places: BTreeSet<Piece> = self.all(path, mention).filter(|(_, one)| wanted(one)).map(|(place, _)| place).collect();
        let mut texts: BTreeMap<PathBuf, Document> = BTreeMap::new();
        let location = |(path, (start, end)): Piece| {
            let document = texts.entry(path.clone()).or_insert_with(|| self.text(&path));
            Some(Location { uri: uri::uri(&path)?, range: document.range(start..end) })
        };
        places.into_iter().filter_map(location).collect()
    }

    /// A file's text as it was read last.
    fn text(&self, path: &Path) -> Document {
        let read = self.of(path).next().and_then(|(known, file)| known.now.sources.files().get(file.0 as usize));
        self.documents.get(path).cloned().unwrap_or_else(|| Document::new(read.map(|file| file.text.clone()).unwrap_or_default()))
    }

    /// Every mention of what `mention` names, in all topologies that the file belongs to, at its place now.
    fn all<'e>(&'e self, path: &Path, mention: &'e Mention) -> impl Iterator<Item = (Piece, &'e Mention)> + use<'e> {
        self.of(path).flat_map(|(known, _)| known.mentions()).filter(move |(_, one)| one.is(mention))
    }

    /// The name at a place, where it can be changed.
    pub fn renameable(&self, path: &Path, position: Position) -> Option<lsp_types::Range> {
        let (document, _, at) = self.at(path, position)?;
        let (_, _, bytes) = self.mention(path, at)?;
        Some(document.range(bytes))
    }

    /// Another name for what is named at a place, everywhere. Of `web[1-20]` the numbers stay: `www[1-20]`.
    pub fn rename(&self, path: &Path, position: Position, to: &str) -> Result<WorkspaceEdit, String> {
        let here = self.at(path, position).and_then(|(_, _, at)| self.mention(path, at));
        let (_, mention, _) = here.ok_or("there is no name here that could be changed")?;
        is_changeable(mention)?;
        let given = self.all(path, mention).find(|(_, one)| one.defines).map(|(_, one)| one);
        let given = given.ok_or_else(|| format!("{} {} is given nowhere", mention.thing.word(), mention.name))?;
        let all: Vec<(Piece, &Mention)> = self.all(path, given).collect();
        all.iter().try_for_each(|(_, one)| is_changeable(one))?;
        let change = Change::new(&given.name, &mention.name, to)?;
        let range = |text: &str| NameRange::parse(text).unwrap_or_else(|_| NameRange::one(text));
        let mut others = self.given(path, given.thing).filter(|one| one.name != given.name);
        if others.any(|one| range(&one.name).meets(&range(to))) {
            return Err(format!("there is a {} {to} already", given.thing.word()));
        }
        let mut texts: BTreeMap<PathBuf, Document> = BTreeMap::new();
        let mut edits: BTreeMap<PathBuf, BTreeMap<(usize, usize), String>> = BTreeMap::new();
        for ((path, (start, end)), one) in all {
            texts.entry(path.clone()).or_insert_with(|| self.text(&path));
            let written = change.of(&one.name)?;
            let is_quoted = match one.written {
                Written::Bare => needs_quotes(&path, &written),
                Written::Token => true,
                Written::Quoted | Written::Within => false,
            };
            // A name has no letter that would need an escape.
            let written = if is_quoted { format!("\"{written}\"") } else { written };
            edits.entry(path).or_default().insert((start, end), written);
        }
        #[expect(clippy::mutable_key_type, reason = "lsp-types has names of files as keys")]
        let mut changes = HashMap::new();
        for (path, edits) in edits {
            let document = texts.get(&path).ok_or("a file is gone")?;
            let edits =
                edits.into_iter().map(|((start, end), new_text)| TextEdit { range: document.range(start..end), new_text });
            changes.insert(uri::uri(&path).ok_or("a file without a path")?, edits.collect());
        }
        Ok(WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() })
    }
}

/// Whether another name can be written where this one stands.
fn is_changeable(one: &Mention) -> Result<(), String> {
    let what = one.thing.word();
    if let Some(text) = &one.made_of {
        return Err(format!("`{text}` is a {what}'s name too, made of a variable: it is changed by hand"));
    }
    if one.written == Written::Within {
        return Err(format!("the {what} {} is named in a text with escapes: it is changed by hand", one.name));
    }
    Ok(())
}

/// Whether a name that was written without quotes needs them now. A bare key of TOML has no dot, and a bare word of KDL does not
/// begin with a digit.
fn needs_quotes(path: &Path, new: &str) -> bool {
    match Spelling::of(path) {
        Some(Spelling::Toml) => new.contains('.'),
        _ => new.starts_with(|letter: char| letter.is_ascii_digit()),
    }
}

/// From one name to another; of ranges what stands around the numbers.
enum Change {
    Whole { from: String, to: String },
    Around { from: (String, String), to: (String, String) },
}

impl Change {
    /// `given`: as the name is given. `here`: as it is written where it is changed.
    fn new(given: &str, here: &str, to: &str) -> Result<Change, String> {
        let parse = |text: &str| NameRange::parse(text).map_err(|_| format!("`{text}` is no name"));
        let (range, new) = (parse(given)?, parse(to)?);
        if !range.is_range() {
            let to = to.to_owned();
            return if is_name(&to) {
                Ok(Change::Whole { from: given.to_owned(), to })
            } else {
                Err(format!("`{to}` is no name"))
            };
        }
        let around = |range: &NameRange| (range.around().0.to_owned(), range.around().1.to_owned());
        let numbers = |text: &str, of: &(String, String)| {
            text.strip_prefix(&*of.0).and_then(|rest| rest.strip_suffix(&*of.1)).map(str::to_owned)
        };
        let from = around(&range);
        let help = || format!("`{given}` is a range: of a new name the numbers stay, like `{}`", given.replace(&from.0, "new"));
        let kept = numbers(here, &from).ok_or_else(help)?;
        let to = if new.is_range() {
            around(&new)
        } else {
            // One of them: what stands around its number.
            let at = to.find(&*kept).ok_or_else(help)?;
            (to.get(..at).unwrap_or_default().to_owned(), to.get(at + kept.len()..).unwrap_or_default().to_owned())
        };
        if is_name(&format!("{}1{}", to.0, to.1)) { Ok(Change::Around { from, to }) } else { Err(help()) }
    }

    fn of(&self, name: &str) -> Result<String, String> {
        match self {
            Change::Whole { from, to } if name == from => Ok(to.clone()),
            Change::Around { from, to } => {
                let numbers = name.strip_prefix(&*from.0).and_then(|rest| rest.strip_suffix(&*from.1));
                numbers.map(|numbers| format!("{}{numbers}{}", to.0, to.1)).ok_or_else(|| format!("`{name}` names others too"))
            }
            Change::Whole { .. } => Err(format!("`{name}` names others too")),
        }
    }
}
