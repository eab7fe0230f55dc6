//! `lvsform history`

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;

use super::Exit;
use super::format::Plain;
use super::input;
use super::output::Output;
use super::records::{self, PlaceArguments};
use crate::source::printable;
use crate::txn::history;

/// Show what was done to this host, the latest first
///
/// Who did it is what they said, not a proof.
#[derive(Debug, Args)]
pub struct History {
    #[command(flatten)]
    place: PlaceArguments,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Plain::Text)]
    format: Plain,
}

impl History {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        if let Some(name) = &self.place.netns {
            crate::kernel::netns::enter(name).map_err(|error| input::unreadable(&error, out))?;
        }
        let place = self.place.here(out)?;
        let mut entries = match place.look(out)? {
            Some(store) => history::read(&store).map_err(|error| records::unusable(&error, out))?,
            None => Vec::new(),
        };
        entries.reverse();
        match self.format {
            Plain::Json => out.json(&entries),
            Plain::Text if entries.is_empty() => out.say("Nothing was done yet.\n"),
            Plain::Text => {
                let mut text = String::new();
                for entry in &entries {
                    let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(entry.at));
                    let summary = &entry.summary;
                    let allowed = match entry.allowed.as_slice() {
                        [] => String::new(),
                        rules => format!(", allowed: {}", printable(&rules.join(" "))),
                    };
                    _ = writeln!(
                        text,
                        "{at}  {:<8}{} · {}  {}: {} added, {} changed, {} deleted  ({}{allowed})",
                        printable(&entry.verb),
                        printable(&entry.topology),
                        printable(&entry.host),
                        printable(&entry.result),
                        summary.add,
                        summary.change + summary.replace + summary.restore,
                        summary.delete,
                        printable(&entry.by),
                    );
                }
                out.say(&text);
            }
        }
        Ok(Exit::Done)
    }
}
