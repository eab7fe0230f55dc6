//! Where text goes: what was asked for to standard output, everything about it to standard error.
//!
//! A reader that goes away never ends a command: errors of writing are dropped, and the exit code tells the rest.

use std::io::{IsTerminal, Stderr, Stdout, Write};

use clap::{Args, ValueEnum};

use crate::report::text::Style;
use crate::source::problem;

/// Columns where nobody says how many there are.
const WIDTH: usize = 120;

/// How output looks.
#[derive(Debug, Args)]
pub struct OutputArguments {
    /// When to use colour; `auto`: on a terminal, unless `NO_COLOR` is set
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    color: Colour,
    /// Say more: every object, not only the first ones of many
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

/// The two streams of a command, and how text looks on each.
#[derive(Debug)]
pub struct Output {
    /// For standard output.
    pub style: Style,
    /// For standard error.
    pub error_style: Style,
    quiet: bool,
    out: Stdout,
    err: Stderr,
}

impl OutputArguments {
    pub(super) fn open(&self) -> Output {
        let (out, err) = (std::io::stdout(), std::io::stderr());
        Output { style: self.style(&out), error_style: self.style(&err), quiet: self.quiet, out, err }
    }

    fn style(&self, stream: &impl IsTerminal) -> Style {
        let terminal = stream.is_terminal();
        let colour = match self.color {
            Colour::Auto => terminal && !no_colour(),
            Colour::Always => true,
            Colour::Never => false,
        };
        Style { colour, width: if terminal { width() } else { WIDTH }, verbose: self.verbose }
    }
}

#[expect(clippy::disallowed_methods, reason = "the environment belongs to cli/")]
fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "the environment belongs to cli/")]
fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(WIDTH)
}

impl Output {
    /// How problems of a topology look on standard error.
    pub fn problem_style(&self) -> problem::Style {
        problem::Style { colour: self.error_style.colour, width: self.error_style.width }
    }

    /// Prints what was asked for.
    pub fn print(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    /// Prints what was asked for, unless `--quiet`.
    pub fn say(&mut self, text: &str) {
        if !self.quiet {
            self.print(text);
        }
    }

    /// Prints a value as JSON with a line's end.
    pub fn json(&mut self, value: &impl serde::Serialize) {
        let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
        text.push('\n');
        self.print(&text);
    }

    /// Prints about it.
    pub fn error(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
    }
}
