//! How a topology file is written: one canonical layout for each spelling, and the way from one spelling to the other.
//!
//! Comments are kept, all of them. What a file means is never changed: whatever is written here is read again and compared
//! before anybody gets it. Nothing here follows an `include`, and a file with mistakes in its syntax is left alone.

pub mod convert;
mod kdl;
mod lines;
#[cfg(test)]
mod tests;
mod toml;
mod value;

use std::path::Path;

use crate::source::{self, Loaded, Node, Problem, Severity, Spelling};

/// A file's text in its canonical form, or why there is none: then with every mistake of the file.
///
/// Layout and comments are the file's own, made even: four spaces for each block, one space between words, at most one blank
/// line, 100 columns where there is a choice, strings in double quotes, trailing comments of neighbouring lines in one column.
pub fn format(path: &Path, spelling: Spelling, text: &str) -> Result<String, Box<Loaded>> {
    let before = well_formed(path, spelling, text)?;
    let formatted = match spelling {
        Spelling::Kdl => kdl::print(&kdl::parse(text)),
        Spelling::Toml => toml::print(&toml::parse(text)),
    };
    let after = source::one(path, spelling, formatted.clone());
    if after.problems.is_empty() && alike(&before.tree.nodes, &after.tree.nodes) {
        Ok(formatted)
    } else {
        Err(Box::new(ours(path, text)))
    }
}

/// The comments of a text without mistakes in its syntax, each with its marks, in the order of the text.
pub fn comments(spelling: Spelling, text: &str) -> Vec<String> {
    match spelling {
        Spelling::Kdl => kdl::comments(&kdl::parse(text)),
        Spelling::Toml => toml::comments(&toml::parse(text)),
    }
}

/// Reads a file for writing it anew: nothing of it may be misunderstood.
fn well_formed(path: &Path, spelling: Spelling, text: &str) -> Result<Loaded, Box<Loaded>> {
    let loaded = source::one(path, spelling, text.to_owned());
    let broken = loaded.problems.iter().any(|problem| problem.severity == Severity::Error);
    if broken { Err(Box::new(loaded)) } else { Ok(loaded) }
}

/// What is said where our own text does not mean what the file means: it is not used.
fn ours(path: &Path, text: &str) -> Loaded {
    let mut loaded = Loaded::default();
    loaded.sources.add(path.to_owned(), text.to_owned());
    let message = format!("`{}` cannot be written anew without changing what it means", path.display());
    loaded.problems.push(
        Problem::error("spelling", message)
            .help("leave it as it is; this is a mistake of lvsform: please report it with the file"),
    );
    loaded
}

/// Whether two trees are the same but for their places.
fn alike(a: &[Node], b: &[Node]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            a.key == b.key
                && a.form == b.form
                && a.args.len() == b.args.len()
                && a.args.iter().zip(&b.args).all(|(a, b)| a.value == b.value)
                && alike(&a.children, &b.children)
        })
}
