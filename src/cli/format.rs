//! How a command says what it found.

use clap::{Args, ValueEnum};

use super::output::Output;
use crate::report::review::Review;
use crate::report::{github, html, junit, markdown, sarif};

/// How a command says what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// for people
    Text,
    /// for programs; versioned
    Json,
    /// annotations of GitHub Actions
    Github,
    /// SARIF 2.1.0, which code hosts show on the line
    Sarif,
    /// XML as of `JUnit`, which CI shows as tests
    Junit,
    /// a comment on a pull request
    Markdown,
    /// one page that needs nothing beside itself
    Html,
}

/// The same, where only people and programs want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Plain {
    /// for people
    Text,
    /// for programs
    Json,
}

/// What several commands take of it.
#[derive(Debug, Args)]
pub struct FormatArguments {
    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// With `--format markdown`: leave out rows from the end rather than be longer; GitHub takes 65536
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1000..))]
    pub max_bytes: Option<u32>,
}

/// Says a review in a form that neither people nor `json` read. `changes_fail`: see [`junit::document`].
pub fn say(review: &Review, arguments: &FormatArguments, changes_fail: bool, out: &mut Output) {
    let most = arguments.max_bytes.map(|bytes| bytes as usize);
    match arguments.format {
        Format::Text | Format::Json => {}
        Format::Github => out.print(&github::annotations(review)),
        Format::Sarif => out.json(&sarif::log(review)),
        Format::Junit => out.print(&junit::document(review, changes_fail)),
        Format::Markdown => out.print(&markdown::comment(review, most)),
        Format::Html => out.print(&html::page(review)),
    }
}
