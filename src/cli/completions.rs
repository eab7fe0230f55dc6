//! `lvsform completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::output::Output;
use super::{Arguments, Exit};

/// Print completions for a shell
///
/// For bash: `lvsform completions bash > /usr/share/bash-completion/completions/lvsform`.
#[derive(Debug, Args)]
pub struct Completions {
    /// Which
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        let mut bytes = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "lvsform", &mut bytes);
        out.print(&String::from_utf8_lossy(&bytes));
        Exit::Done
    }
}
