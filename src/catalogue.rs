//! Everything that `check` can say, one page for each code: what it is, why it matters, a bad and a good example.
//!
//! Numbers are in hundreds by subject, with room between them. A number that was given is never given to something else, and
//! never changes: people write it into files (`lint`), scripts and tickets. What is no longer said keeps its number unused.
//! This module knows no topology and finds nothing; messages are worded where they are found.

mod composed;
mod host;
mod kernel;
mod page;
mod server;
mod service;
mod sysctl;
mod text;
mod whole;
mod word;

pub use page::{index, list, markdown, plain};

/// One code.
#[derive(Debug)]
pub struct Page {
    /// `LVS402`: stable for ever.
    pub code: &'static str,
    /// `every-port`: the same in words.
    pub name: &'static str,
    /// Whether a topology with it can be used.
    pub level: Level,
    /// One line without a full stop.
    pub title: &'static str,
    /// What is found.
    pub what: &'static str,
    /// What the kernel, or a cluster, does with it; empty for what never gets so far.
    pub why: &'static str,
    /// What is refused; empty where no text can show it: then `what` says why.
    pub bad: Example,
    /// The same without the mistake.
    pub good: Example,
    /// The kernel that the examples are checked against.
    pub target: Option<&'static str>,
}

/// Whether a topology can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It cannot, and nobody can allow it.
    Error,
    /// It can; `lint` allows it, or makes it an error.
    Warning,
}

/// A few lines of a topology.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// The lines.
    pub text: &'static str,
    /// In which spelling, and what belongs to it.
    pub form: Form,
}

/// What an [`Example`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// KDL, with [`AROUND`] where it says nothing of that kind itself.
    Part,
    /// KDL, a whole file.
    Kdl,
    /// TOML, a whole file.
    Toml,
}

/// What examples leave out.
pub const AROUND: [(&str, &str); 5] = [
    ("topology", "topology \"example\""),
    ("director", "director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }"),
    ("real-server", "real-server \"web[1-2]\" { interface \"eth0\" address=\"10.0.0.[11-12]/24\"; }"),
    ("vip", "vip \"site\" address=\"10.0.0.100\""),
    ("pool", "pool \"web\" { server \"10.0.0.[11-12]\"; }"),
];

impl Example {
    /// The whole file that the lines stand for.
    pub fn whole(&self) -> String {
        let says = |word: &str| self.text.lines().any(|line| line.split([' ', '=']).next() == Some(word));
        let around = AROUND.iter().filter(|(word, _)| self.form == Form::Part && !says(word));
        around.flat_map(|(_, line)| [*line, "\n"]).collect::<String>() + self.text
    }

    /// The extension of a file with it.
    pub fn spelling(&self) -> &'static str {
        if self.form == Form::Toml { "toml" } else { "kdl" }
    }
}

/// Codes of one subject: one file of `docs/rules`.
#[derive(Debug)]
pub struct Group {
    /// The file's name without extension.
    pub file: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Its pages, by number.
    pub pages: &'static [Page],
}

/// Every page, by number.
pub const GROUPS: &[Group] = &[
    Group { file: "text", title: "Files and their text", pages: text::PAGES },
    Group { file: "word", title: "Words and values", pages: word::PAGES },
    Group { file: "composed", title: "Variables and overlays", pages: composed::PAGES },
    Group { file: "whole", title: "Names, and the whole topology", pages: whole::PAGES },
    Group { file: "host", title: "Hosts, VIPs and tunnels", pages: host::PAGES },
    Group { file: "service", title: "Services", pages: service::PAGES },
    Group { file: "server", title: "Servers", pages: server::PAGES },
    Group { file: "sysctl", title: "Sysctls and sync daemons", pages: sysctl::PAGES },
    Group { file: "kernel", title: "What a kernel lacks", pages: kernel::PAGES },
];

/// Every page, by number.
pub fn pages() -> impl Iterator<Item = &'static Page> {
    GROUPS.iter().flat_map(|group| group.pages)
}

/// The page of a code or a name, in small letters or capitals.
pub fn find(word: &str) -> Option<&'static Page> {
    pages().find(|page| page.name == word || page.code.eq_ignore_ascii_case(word))
}

const fn error(code: &'static str, name: &'static str, title: &'static str, what: &'static str) -> Page {
    let nothing = kdl("");
    Page { code, name, level: Level::Error, title, what, why: "", bad: nothing, good: nothing, target: None }
}

const fn warning(code: &'static str, name: &'static str, title: &'static str, what: &'static str) -> Page {
    Page { level: Level::Warning, ..error(code, name, title, what) }
}

const fn kdl(text: &'static str) -> Example {
    Example { text, form: Form::Part }
}

const fn file(text: &'static str) -> Example {
    Example { text, form: Form::Kdl }
}

const fn toml(text: &'static str) -> Example {
    Example { text, form: Form::Toml }
}

impl Page {
    const fn why(self, why: &'static str) -> Page {
        Page { why, ..self }
    }

    const fn bad(self, bad: Example) -> Page {
        Page { bad, ..self }
    }

    const fn good(self, good: Example) -> Page {
        Page { good, ..self }
    }

    const fn target(self, kernel: &'static str) -> Page {
        Page { target: Some(kernel), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Level, find, pages};

    #[test]
    fn codes_ascend_and_no_code_or_name_is_given_twice() {
        let codes: Vec<&str> = pages().map(|page| page.code).collect();
        assert!(codes.is_sorted_by(|one, two| one < two), "{codes:?}");
        assert!(codes.iter().all(|code| code.len() == 6 && code.starts_with("LVS") && code[3..].parse::<u16>().is_ok()));
        let names: BTreeSet<&str> = pages().map(|page| page.name).collect();
        assert_eq!(names.len(), codes.len());
    }

    #[test]
    fn a_page_is_found_by_code_and_by_name() {
        assert_eq!(find("LVS402").map(|page| page.name), find("lvs402").map(|page| page.name));
        assert!(pages().all(|page| find(page.name).is_some_and(|found| found.code == page.code)));
        assert!(find("LVS999").is_none());
    }

    #[test]
    fn every_page_has_sentences_and_what_reaches_a_kernel_says_why() {
        for page in pages() {
            assert!(!page.title.ends_with('.') && page.what.ends_with('.'), "{}", page.code);
            assert!(page.why.ends_with('.') || (page.why.is_empty() && page.code < "LVS300"), "{}", page.code);
            assert!(page.level == Level::Error || !page.why.is_empty(), "{}", page.code);
        }
    }
}
