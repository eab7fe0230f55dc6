//! Pages as text for a terminal and as Markdown for `docs/rules`.

use std::fmt::Write as _;

use super::{AROUND, Example, GROUPS, Group, Level, Page};

impl Level {
    /// As it is written: `error`.
    pub fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
        }
    }
}

impl Page {
    /// `LVS402 every-port`, as problems are headed.
    pub fn heading(&self) -> String {
        format!("{} {}", self.code, self.name)
    }

    fn allow(&self) -> String {
        match self.level {
            Level::Error => "It is an error: nobody can allow it.".to_owned(),
            Level::Warning => format!(
                "Where it is meant: `lint \"{}\" level=\"allow\" reason=\"…\"` in the file, or `check --allow {}`. `level=\"deny\"` makes it an error.",
                self.name, self.code
            ),
        }
    }

    /// Bad and good, where a text can show them.
    fn examples(&self) -> impl Iterator<Item = (&'static str, &Example)> {
        let both = [("Bad", &self.bad), ("Good", &self.good)];
        both.into_iter().filter(|(_, example)| !example.text.is_empty())
    }
}

/// A page for a terminal.
pub fn plain(page: &Page) -> String {
    let mut text = format!("{} {} ({})\n{}\n\n{}\n", page.code, page.name, page.level.word(), page.title, page.what);
    if !page.why.is_empty() {
        let _ = write!(text, "\n{}\n", page.why);
    }
    for (word, example) in page.examples() {
        let _ = write!(text, "\n{word}:\n\n");
        for line in example.text.lines() {
            let _ = if line.is_empty() { writeln!(text) } else { writeln!(text, "    {line}") };
        }
    }
    if let Some(kernel) = page.target {
        let _ = write!(text, "\nChecked with --target-kernel {kernel}.\n");
    }
    let _ = write!(text, "\n{}\n", page.allow());
    text
}

/// A group's pages in Markdown.
pub fn markdown(group: &Group) -> String {
    let mut text = format!("# {}\n\n[All codes](README.md)\n", group.title);
    for page in group.pages {
        let _ = write!(text, "\n## {} {}\n\n**{}** ({})\n\n{}\n", page.code, page.name, page.title, page.level.word(), page.what);
        if !page.why.is_empty() {
            let _ = write!(text, "\n{}\n", page.why);
        }
        for (word, example) in page.examples() {
            let _ = write!(text, "\n{word}:\n\n```{}\n{}\n```\n", example.spelling(), example.text.trim_end());
        }
        if let Some(kernel) = page.target {
            let _ = write!(text, "\nChecked with `--target-kernel {kernel}`.\n");
        }
        let _ = write!(text, "\n{}\n", page.allow());
    }
    text
}

/// The list of all codes in Markdown.
pub fn index() -> String {
    let mut text = String::from(
        "# What `lvsform check` says\n\nEach problem has a code that never changes and a name. `lvsform explain CODE` prints its page.\nErrors stop every command. Warnings stop nothing: `lint` in a file allows one with a reason, or makes it an error, and\nso do `check --allow CODE` and `check --deny CODE` (`--deny warnings` for all).\n\nThe pages are generated from `src/catalogue`. A number that was given is never given to something else. Examples leave\nout what has nothing to do with them; where they say nothing else, beside them stands\n\n```kdl\n",
    );
    for (_, line) in AROUND {
        let _ = writeln!(text, "{line}");
    }
    text.push_str("```\n");
    for group in GROUPS {
        let _ = write!(text, "\n## [{}]({}.md)\n\n| code | name | level | |\n|---|---|---|---|\n", group.title, group.file);
        for page in group.pages {
            let anchor = page.heading().to_lowercase().replace(' ', "-");
            let Page { code, name, title, .. } = page;
            let _ = writeln!(text, "| [{code}]({}.md#{anchor}) | {name} | {} | {title} |", group.file, page.level.word());
        }
    }
    text
}

/// Every code with its title, one a line.
pub fn list() -> String {
    let mut text = String::new();
    for group in GROUPS {
        let _ = writeln!(text, "{}{}", if text.is_empty() { "" } else { "\n" }, group.title);
        for page in group.pages {
            let _ = writeln!(text, "  {} {:<22} {:<8} {}", page.code, page.name, page.level.word(), page.title);
        }
    }
    text
}
