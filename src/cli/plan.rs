//! `lvsform plan`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Exit;
use super::input::{self, HostArguments};
use super::output::Output;
use crate::report;

/// Show what applying a topology would change in a host's kernel
///
/// Reads the kernel and changes nothing. Each change is shown with its place in the file and with what it does to live
/// connections.
///
/// Exit code: 0; with --exit-code 2 where there are changes; 10 the topology is not valid; 6 someone else is writing.
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    host: HostArguments,
    /// A captured state in place of the kernel; needs neither root nor IPVS
    #[arg(long, value_name = "FILE", conflicts_with = "netns")]
    live: Option<PathBuf>,
    /// A network namespace, by its name under /run/netns
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// End with 2 where there are changes
    #[arg(long)]
    exit_code: bool,
}

/// How a command says what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// for people
    Text,
    /// for programs; versioned
    Json,
}

impl Plan {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let prepared = input::prepare(&self.host.file, self.host.host.as_deref(), out)?;
        let observed = if let Some(file) = &self.live {
            input::captured(file, out)?
        } else {
            let mut kernel = input::open(self.netns.as_deref(), out)?;
            input::observe(&mut kernel, &prepared.scope(), out)?
        };
        let plan = prepared.plan(&observed);
        match self.format {
            Format::Text => {
                out.say(&report::text::plan(&plan, &prepared.sources, out.style));
                if !plan.is_empty() {
                    out.say(&report::text::how_to_apply(&plan, self.netns.as_deref()));
                }
            }
            Format::Json => out.json(&report::json::plan(&plan, &prepared.sources)),
        }
        Ok(if self.exit_code && !plan.is_empty() { Exit::Changes } else { Exit::Done })
    }
}
