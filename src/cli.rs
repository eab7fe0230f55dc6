//! The command line: one module for each command.

pub mod lab;

/// Terraform for LVS.
#[derive(clap::Parser)]
#[command(name = "lvsform", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Runs a command as root in a throw-away kernel over this machine's files
    Lab(lab::Lab),
}

impl Command {
    /// Runs it and returns the exit code.
    pub fn run(&self) -> u8 {
        match self {
            Self::Lab(lab) => lab.run(),
        }
    }
}
