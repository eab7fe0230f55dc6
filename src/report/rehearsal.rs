//! A rehearsal as people and programs read it.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style as Ansi};
use schemars::JsonSchema;
use serde::Serialize;

use super::printable;
use super::text::Style;
use crate::rehearse::{Act, Finding, Outcome, ReplyPath, Row, ShareOfServer};

/// `lvsform-rehearsal/1`
pub const FORMAT: &str = "lvsform-rehearsal/1";

const BOLD: Ansi = Ansi::new().bold();
const RED: Ansi = AnsiColor::Red.on_default().bold();
const GREEN: Ansi = AnsiColor::Green.on_default();
const CYAN: Ansi = AnsiColor::Cyan.on_default();

/// The document of a rehearsal.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "A rehearsal of lvsform")]
pub struct Document<'a> {
    format: &'static str,
    topology: &'a str,
    file: String,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

impl<'a> Document<'a> {
    /// Of a topology and its file.
    pub fn new(topology: &'a str, file: String, outcome: &'a Outcome) -> Document<'a> {
        Document { format: FORMAT, topology, file, outcome }
    }
}

/// The table, what is wrong, and a last line.
pub fn text(file: &str, outcome: &Outcome, style: Style) -> String {
    let mut out = Out { text: String::new(), style };
    for (at, act) in outcome.acts.iter().enumerate() {
        out.act(act, at == 0 || style.verbose);
    }
    for Finding { cause, host, text, evidence, remedy } in &outcome.findings {
        let place = if host.is_empty() { String::new() } else { format!("{host}: ") };
        let head = out.painted(RED, cause);
        let _ = writeln!(out.text, "\n{head}: {}{}", printable(&place), printable(text));
        for line in evidence {
            let _ = writeln!(out.text, "  {}", printable(line));
        }
        if !remedy.is_empty() {
            let help = out.painted(CYAN, "help");
            let _ = writeln!(out.text, "  {help}: {}", printable(remedy));
        }
    }
    for sentence in &outcome.notes {
        let _ = writeln!(out.text, "\nNote: {}.", printable(sentence));
    }
    let hosts = format!("{} host{}", outcome.hosts, if outcome.hosts == 1 { "" } else { "s" });
    let (rows, failed) = outcome
        .acts
        .iter()
        .flat_map(|act| &act.rows)
        .fold((0, 0), |(rows, failed), row| (rows + 1, failed + usize::from(!row.works)));
    let ending = if outcome.works {
        out.painted(GREEN, &format!("{} works", printable(file)))
    } else {
        out.painted(RED, &format!("{} does not work", printable(file)))
    };
    let counted = if failed == 0 {
        format!("{rows} trial{}", if rows == 1 { "" } else { "s" })
    } else {
        format!("{failed} of {rows} trials failed")
    };
    let _ = writeln!(out.text, "\n{ending}: {hosts}, {counted}, kernel {}.", printable(&outcome.kernel));
    out.text
}

struct Out {
    text: String,
    style: Style,
}

impl Out {
    fn painted(&self, ansi: Ansi, word: &str) -> String {
        if self.style.colour { format!("{ansi}{word}{ansi:#}") } else { word.to_owned() }
    }

    /// An act: all of it, or what is wrong with it.
    fn act(&mut self, act: &Act, whole: bool) {
        let failed = act.rows.iter().filter(|row| !row.works).count();
        let count = if failed == 0 { format!("{} of {} work", act.rows.len(), act.rows.len()) } else { format!("{failed} fail") };
        let head = self.painted(BOLD, &printable(&act.what));
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let shown: Vec<&Row> = act.rows.iter().filter(|row| whole || !row.works).collect();
        let _ = writeln!(self.text, "{head} {count}.");
        self.table(&shown);
    }

    fn table(&mut self, rows: &[&Row]) {
        if rows.is_empty() {
            return;
        }
        let head = ["service", "listen", "family", "director", "method", "scheduler", "answered", "replies", ""];
        let cells: Vec<[String; 9]> = rows.iter().map(|row| cells(row)).collect();
        let width = |at: usize| cells.iter().map(|cells| cells[at].chars().count()).chain([head[at].len()]).max().unwrap_or(0);
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            format!("  {}", padded.collect::<Vec<_>>().join("  ").trim_end())
        };
        let titles = line(&head.map(str::to_owned));
        let titles = self.painted(Ansi::new().dimmed(), &titles);
        let _ = writeln!(self.text, "{titles}");
        for (row, cells) in rows.iter().zip(&cells) {
            let text = line(cells);
            let text = if row.works { text } else { self.painted(RED, &text) };
            let _ = writeln!(self.text, "{text}");
            self.shares(&row.shares);
            for sentence in &row.wrong {
                let _ = writeln!(self.text, "      {}", printable(sentence));
            }
        }
    }

    /// What each server got, beside what was promised, as many in a line as fit.
    fn shares(&mut self, shares: &[ShareOfServer]) {
        let mut line = String::new();
        for ShareOfServer { server, weight, got, promised } in shares {
            let promised = match promised {
                Some(promised) if promised.fract() == 0.0 => format!(" of {promised:.0}"),
                Some(promised) => format!(" of about {promised:.1}"),
                None => String::new(),
            };
            let part = format!("{} {got}{promised} (weight {weight})", printable(server));
            if !line.is_empty() && line.chars().count() + part.chars().count() + 8 > self.style.width {
                let _ = writeln!(self.text, "      {line}");
                line.clear();
            }
            if !line.is_empty() {
                line.push_str(", ");
            }
            line.push_str(&part);
        }
        if !line.is_empty() {
            let _ = writeln!(self.text, "      {line}");
        }
    }
}

fn cells(row: &Row) -> [String; 9] {
    let replies = match row.path {
        ReplyPath::None => "–".to_owned(),
        ReplyPath::Direct => "direct".to_owned(),
        ReplyPath::Director => format!("through {}", row.director),
        ReplyPath::Both => format!("direct and through {}", row.director),
    };
    [
        row.service.clone(),
        row.listen.clone(),
        row.family.clone(),
        row.director.clone(),
        row.method.clone(),
        row.scheduler.clone(),
        format!("{} of {}", row.answered, row.connections),
        replies,
        if row.works { "works" } else { "fails" }.to_owned(),
    ]
    .map(|cell| printable(&cell).into_owned())
}
