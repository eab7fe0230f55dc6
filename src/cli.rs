//! The commands: one file each, whose doc comment is its help.
//!
//! Only this module prints, and it never does so while a transaction runs. It also owns what the rest may not touch: the
//! command line, the environment and the topology's files.

mod adopt;
mod apply;
mod check;
mod completions;
mod confirm;
mod convert;
mod destroy;
mod diff;
mod doctor;
mod drift;
mod expand;
mod explain;
pub mod files;
mod fix;
mod fmt;
mod format;
mod graph;
mod guard;
mod history;
mod input;
mod lab;
mod lsp;
mod man;
mod output;
mod pending;
mod plan;
mod records;
mod recover;
mod rehearse;
mod resume;
mod revert;
mod revision;
pub mod saved;
mod schema;
mod signals;
mod snapshot;
mod spelled;
mod test;
mod work;
mod written;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::report;

/// Terraform for LVS.
///
/// One topology file, in KDL or TOML, says what a Linux Virtual Server cluster is. lvsform checks it, compiles it for a
/// host, shows what would change in that host's kernel, and applies it.
#[derive(Debug, Parser)]
#[command(name = "lvsform", version, max_term_width = 100, subcommand_required = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    output: output::OutputArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Check),
    Fmt(fmt::Fmt),
    Convert(convert::Convert),
    Expand(expand::Expand),
    Test(test::Test),
    Graph(graph::Graph),
    Explain(explain::Explain),
    Diff(diff::Diff),
    Plan(plan::Plan),
    Apply(apply::Apply),
    Destroy(destroy::Destroy),
    Adopt(adopt::Adopt),
    Recover(recover::Recover),
    Resume(resume::Resume),
    Revert(revert::Revert),
    Confirm(confirm::Confirm),
    Guard(guard::Guard),
    Drift(drift::Drift),
    Doctor(doctor::Doctor),
    History(history::History),
    Snapshot(snapshot::Snapshot),
    Rehearse(rehearse::Rehearse),
    Lab(lab::Lab),
    Lsp(lsp::Lsp),
    Schema(schema::Schema),
    Completions(completions::Completions),
    Man(man::Man),
}

/// How the process ends. Never above 125, which shells and ssh use for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Failed, and nothing was changed.
    Failed,
    /// Changes are pending, and `--exit-code` asked to be told.
    Changes,
    /// Live is not what was last applied.
    Drift,
    /// Live is not what was last applied, and changes are pending.
    DriftAndChanges,
    /// Refused by a rule.
    Refused,
    /// The plan is stale, or someone else is writing.
    Stale,
    /// Another run has the lock.
    Locked,
    /// Failed, and everything is as it was before.
    RolledBack,
    /// Failed, and not everything is as it was before.
    Incomplete,
    /// The topology is not valid.
    Invalid,
    /// The command line is not valid.
    Usage,
    /// What a command in the lab ended with.
    Command(u8),
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Changes => 2,
            Exit::Drift => 3,
            Exit::DriftAndChanges => 4,
            Exit::Refused => 5,
            Exit::Stale => 6,
            Exit::Locked => 7,
            Exit::RolledBack => 8,
            Exit::Incomplete => 9,
            Exit::Invalid => 10,
            Exit::Usage => 64,
            Exit::Command(code) => code,
        })
    }
}

/// Runs one command line.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to tell if even this cannot be printed.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
                _ => Exit::Usage,
            };
        }
    };
    let mut out = arguments.output.open();
    // Its exit code is what became of the kernel, whoever read about it.
    let applies = matches!(
        arguments.command,
        Command::Apply(_) | Command::Destroy(_) | Command::Recover(_) | Command::Resume(_) | Command::Revert(_)
    );
    let exit = match arguments.command {
        Command::Check(command) => command.run(&mut out),
        Command::Fmt(command) => command.run(&mut out),
        Command::Convert(command) => command.run(&mut out),
        Command::Expand(command) => command.run(&mut out),
        Command::Test(command) => command.run(&mut out),
        Command::Graph(command) => command.run(&mut out),
        Command::Explain(command) => command.run(&mut out),
        Command::Plan(command) => command.run(&mut out),
        Command::Apply(command) => command.run(&mut out),
        Command::Destroy(command) => command.run(&mut out),
        Command::Adopt(command) => command.run(&mut out),
        Command::Resume(command) => command.run(&mut out),
        Command::Revert(command) => command.run(&mut out),
        Command::Confirm(command) => command.run(&mut out),
        Command::Guard(command) => command.run(&mut out),
        Command::Recover(command) => command.run(&mut out),
        Command::Drift(command) => command.run(&mut out),
        Command::Doctor(command) => command.run(&mut out),
        Command::Diff(command) => command.run(&mut out),
        Command::History(command) => command.run(&mut out),
        Command::Snapshot(command) => command.run(&mut out),
        Command::Rehearse(command) => command.run(&mut out),
        Command::Lab(command) => Exit::Command(command.run()),
        Command::Lsp(command) => command.run(&mut out),
        Command::Schema(command) => command.run(&mut out),
        Command::Completions(command) => command.run(&mut out),
        Command::Man(command) => command.run(&mut out),
    };
    let Some(error) = out.incomplete() else { return exit };
    let message = format!("what was printed is not complete: {}", in_words(error));
    out.error(&report::error(&message, &[], Some("make room where standard output leads"), out.error_style));
    if matches!(exit, Exit::Done | Exit::Changes | Exit::Drift | Exit::DriftAndChanges) && !applies { Exit::Failed } else { exit }
}

/// The system's words for an error, without its number.
fn in_words(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |errno| nix::errno::Errno::from_raw(errno).desc().to_owned())
}
