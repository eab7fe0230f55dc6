//! `lvsform man`

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;

use super::output::Output;
use super::{Arguments, Exit};
use crate::report;

/// Print a manual page, or write all of them
///
/// Each command has a page of its own: `lvsform man plan | man -l -`.
#[derive(Debug, Args)]
pub struct Man {
    /// Of which command; by default that of `lvsform` itself
    command: Option<String>,
    /// Write every page into this folder, which is made if it is not there
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        let pages = pages();
        if let Some(folder) = &self.out {
            return write(folder, &pages, out);
        }
        let name = self.command.map_or_else(|| "lvsform".to_owned(), |command| format!("lvsform-{command}"));
        let Some((_, page)) = pages.iter().find(|(page, _)| *page == name) else {
            let names: Vec<&str> = pages.iter().filter_map(|(name, _)| name.strip_prefix("lvsform-")).collect();
            let help = format!("these have one: {}", names.join(", "));
            out.error(&report::error("there is no such command", &[], Some(&help), out.error_style));
            return Exit::Usage;
        };
        out.print(page);
        Exit::Done
    }
}

/// The name and the text of every page.
fn pages() -> Vec<(String, String)> {
    let mut root = Arguments::command();
    root.build();
    let render = |command: Command| {
        let mut bytes = Vec::new();
        // Writing to memory cannot fail.
        let _ = Page::new(command).render(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let shown = root.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    let mut pages: Vec<(String, String)> =
        shown.map(|command| (format!("lvsform-{}", command.get_name()), render(command.clone()))).collect();
    pages.insert(0, ("lvsform".to_owned(), render(root)));
    pages
}

#[expect(clippy::disallowed_methods, reason = "files that the user asked for")]
fn write(folder: &std::path::Path, pages: &[(String, String)], out: &mut Output) -> Exit {
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| pages.iter().try_for_each(|(name, page)| std::fs::write(folder.join(format!("{name}.1")), page)));
    match written {
        Ok(()) => Exit::Done,
        Err(error) => {
            let message = format!("cannot write below {}: {error}", folder.display());
            out.error(&report::error(&message, &[], Some("name a folder that may be written"), out.error_style));
            Exit::Failed
        }
    }
}
