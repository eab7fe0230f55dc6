//! `lvsform explain`

use clap::Args;

use super::Exit;
use super::output::Output;
use crate::catalogue;
use crate::report;
use crate::source::problem::nearest;
use crate::topology;

/// Say what a code of `check` means, or a word of the language
///
/// Of a code: what is found, what the kernel does with it, a bad and a good example, and how to allow it where that is possible.
/// Of a kind or field, `service.scheduler`: what it is, what it takes, its default and an example.
#[derive(Debug, Args)]
pub struct Explain {
    /// Codes or names, LVS402 or every-port; kinds and fields, service.scheduler or listen.port
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
                if let Some(text) = topology::explain(code) {
                    pages.push(text);
                    continue;
                }
                let paths = topology::paths();
                let codes = catalogue::pages().flat_map(|page| [page.name, page.code]);
                let near = nearest(code, codes.chain(paths.iter().map(String::as_str)));
                let help =
                    near.map_or("`lvsform explain --list` shows them all".to_owned(), |near| format!("did you mean `{near}`?"));
                out.error(&report::error(
                    &format!("`{code}` is neither a code nor a word of the language"),
                    &[],
                    Some(&help),
                    out.error_style,
                ));
                return Exit::Usage;
            };
            pages.push(catalogue::plain(page));
            // `include` is both: a word, and what goes wrong with it.
            pages.extend(topology::explain(code));
        }
        out.print(&pages.join("\n"));
        Exit::Done
    }
}
