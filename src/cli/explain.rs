//! `lvsform explain`

use clap::Args;

use super::Exit;
use super::output::Output;
use crate::catalogue;
use crate::report;
use crate::source::problem::nearest;

/// Say what a code of `check` means
///
/// What is found, what the kernel does with it, a bad and a good example, and how to allow it where that is possible.
#[derive(Debug, Args)]
pub struct Explain {
    /// Codes or names: LVS402, every-port
    #[arg(required_unless_present = "list", value_name = "CODE")]
    codes: Vec<String>,
    /// List every code
    #[arg(long, conflicts_with = "codes")]
    list: bool,
}

impl Explain {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        if self.list {
            out.print(&catalogue::list());
            return Exit::Done;
        }
        let mut pages = Vec::new();
        for code in &self.codes {
            let Some(page) = catalogue::find(code) else {
                let near = nearest(code, catalogue::pages().flat_map(|page| [page.name, page.code]));
                let help =
                    near.map_or("`lvsform explain --list` shows them all".to_owned(), |near| format!("did you mean `{near}`?"));
                out.error(&report::error(&format!("`{code}` is no code"), &[], Some(&help), out.error_style));
                return Exit::Usage;
            };
            pages.push(catalogue::plain(page));
        }
        out.print(&pages.join("\n"));
        Exit::Done
    }
}
