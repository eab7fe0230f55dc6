//! Where text goes: what was asked for to standard output, everything about it to standard error.
//!
//! A reader that goes away never ends a command, least of all a transaction. What else is wrong with standard output, a
//! full disk say, is kept and said at the end: half a document must not pass for a whole one.

use std::io::{self, ErrorKind, IsTerminal, Stderr, Stdout, Write};
use std::os::fd::AsFd;

use clap::{Args, ValueEnum};
use terminal_size::{Width, terminal_size_of};

use crate::report::text::Style;
use crate::source::problem;

/// Columns where there is no terminal, and `COLUMNS` is not set.
const WIDTH: usize = 120;

/// So many columns at least, and at most, are written for.
const NARROWEST: usize = 60;
const WIDEST: usize = 1000;

/// How output looks.
#[derive(Debug, Args)]
pub struct OutputArguments {
    /// When to use colour; `auto`: on a terminal, unless `NO_COLOR` is set, and where `CLICOLOR_FORCE` is
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
    lost: Option<io::Error>,
}

impl OutputArguments {
    pub(super) fn open(&self) -> Output {
        let (out, err) = (std::io::stdout(), std::io::stderr());
        Output { style: self.style(&out), error_style: self.style(&err), quiet: self.quiet, out, err, lost: None }
    }

    fn style(&self, stream: &(impl IsTerminal + AsFd)) -> Style {
        let colour = match self.color {
            Colour::Auto => !set("NO_COLOR") && (stream.is_terminal() || set("CLICOLOR_FORCE")),
            Colour::Always => true,
            Colour::Never => false,
        };
        Style { colour, width: width(stream), verbose: self.verbose }
    }
}

/// Whether a variable says yes; the conventions are those of no-color.org and bixense.com/clicolors.
#[expect(clippy::disallowed_methods, reason = "the environment belongs to cli/")]
fn set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty() && (variable == "NO_COLOR" || value != "0"))
}

/// `COLUMNS`, else the terminal's columns. A terminal that is too narrow for any table is written to as if it were wider.
#[expect(clippy::disallowed_methods, reason = "the environment belongs to cli/")]
fn width(stream: &impl AsFd) -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let columns = asked.or_else(|| terminal_size_of(stream).map(|(Width(columns), _)| usize::from(columns)));
    columns.filter(|columns| *columns > 0).unwrap_or(WIDTH).clamp(NARROWEST, WIDEST)
}

impl Output {
    /// How problems of a topology look on standard error.
    pub fn problem_style(&self) -> problem::Style {
        problem::Style { colour: self.error_style.colour, width: self.error_style.width }
    }

    /// How another run of this program is told to look like this one.
    pub fn arguments(&self) -> Vec<&'static str> {
        let said = [(self.quiet, "--quiet"), (self.style.verbose, "--verbose")];
        said.into_iter().filter_map(|(said, word)| said.then_some(word)).collect()
    }

    /// Prints what was asked for. After the first failure nothing more is written.
    pub fn print(&mut self, text: &str) {
        if self.lost.is_none() {
            self.lost = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).err();
        }
    }

    /// Whether all that was printed has arrived so far.
    pub fn arrived(&self) -> bool {
        self.lost.is_none()
    }

    /// Why what was printed is not complete; none where it is, and where the reader had read enough.
    pub fn incomplete(&self) -> Option<&io::Error> {
        self.lost.as_ref().filter(|error| error.kind() != ErrorKind::BrokenPipe)
    }

    /// Whether only what went wrong is to be said.
    pub fn is_quiet(&self) -> bool {
        self.quiet
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

    /// Says how far long work has come, on a terminal's last line; nowhere else.
    pub fn progress(&mut self, text: &str) {
        if self.err.is_terminal() && !self.quiet {
            let _ = write!(self.err, "\r\x1b[K{text}");
            let _ = self.err.flush();
        }
    }

    /// Prints about it.
    pub fn error(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
    }
}
