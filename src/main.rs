//! Arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use lvsform::cli::Cli;

fn main() -> ExitCode {
    ExitCode::from(Cli::parse().command.run())
}
