//! `lvsform diff`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use similar::TextDiff;

use super::files::DiskFiles;
use super::format::{self, Format, FormatArguments};
use super::input::Composition;
use super::output::Output;
use super::revision::Revision;
use super::{Exit, input};
use crate::difference::{self, HostDifference, Presence};
use crate::report;
use crate::report::review::Review;
use crate::source::{self, Files, Included, Loaded, Sources, Unreadable};
use crate::topology::Topology;
use crate::{rules, source::Problem};

/// Show what a change of the files means, host by host
///
/// OLD and NEW are topology files, or files of a git revision: `main:topology.kdl`. Needs no host, no root and no kernel. What
/// only has another name is said to be renamed: the kernel's key is an object's identity.
///
/// It is also an external diff driver of git: `git config diff.lvsform.command "lvsform diff"`, and in .gitattributes
/// `topology.kdl diff=lvsform`. Then it shows the text's difference where a side is no valid topology, and always ends with 0.
///
/// Exit code: 0 they mean the same; 2 they differ; 10 one of them is not valid.
#[derive(Debug, Args)]
pub struct Diff {
    /// The two sides; or what git gives to an external diff driver
    #[arg(required = true, num_args = 2..=9, value_names = ["OLD", "NEW"])]
    files: Vec<PathBuf>,
    /// Only this host
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Also show how the texts differ
    #[arg(long)]
    text: bool,
    #[command(flatten)]
    composition: Composition,
    #[command(flatten)]
    format: FormatArguments,
}

/// One side as it was read.
struct Side {
    sources: Sources,
    topology: Option<Topology>,
    problems: Vec<Problem>,
}

impl Side {
    fn of(loaded: Loaded) -> Side {
        let (sources, topology, problems) = rules::examine(loaded);
        let topology = topology.filter(|_| !input::has_errors(&problems));
        Side { sources, topology, problems }
    }

    fn read(argument: &Path, composition: &Composition) -> Side {
        Side::of(match Revision::of(argument) {
            Some((revision, path)) => source::load(&path, &composition.with(revision)),
            None => source::load(argument, &composition.with(DiskFiles)),
        })
    }

    /// A side that does not exist.
    fn nothing() -> Side {
        Side { sources: Sources::default(), topology: None, problems: Vec::new() }
    }
}

impl Diff {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        match self.files.as_slice() {
            [old, new] => self.compare(&Side::read(old, &self.composition), &Side::read(new, &self.composition), out),
            // `git` (gitdiff): path, old file, old hex, old mode, new file, new hex, new mode; for a rename two more.
            [path, old, _, _, new, ..] if self.files.len() >= 7 => self.drive(path, old, new, out),
            _ => {
                let help = Some("lvsform diff OLD NEW");
                out.error(&report::error("two sides are compared", &[], help, out.error_style));
                Exit::Usage
            }
        }
    }

    fn compare(&self, old: &Side, new: &Side, out: &mut Output) -> Exit {
        let mut invalid = false;
        for side in [old, new] {
            let wrong: Vec<Problem> = side.problems.iter().filter(|it| it.severity == source::Severity::Error).cloned().collect();
            input::say(&wrong, &side.sources, out);
            invalid |= side.topology.is_none();
        }
        if invalid {
            return Exit::Invalid;
        }
        self.say(old, new, out)
    }

    /// As git's driver: a side that is no topology is shown as text.
    fn drive(&self, path: &Path, old: &Path, new: &Path, out: &mut Output) -> Exit {
        let side = |text: &Path| {
            if text.as_os_str() == "/dev/null" {
                return Side::nothing();
            }
            Side::of(source::load(path, &Standing { text: text.to_owned() }))
        };
        let (old, new) = (side(old), side(new));
        out.say(&format!("lvsform diff {}\n", source::printable(&path.to_string_lossy())));
        let is_valid = |side: &Side| side.topology.is_some() || side.sources.files().is_empty();
        if is_valid(&old) && is_valid(&new) {
            self.say(&old, &new, out);
        } else {
            out.say(&texts(&old.sources, &new.sources));
        }
        Exit::Done
    }

    fn say(&self, old: &Side, new: &Side, out: &mut Output) -> Exit {
        let (mut hosts, [wrong_old, wrong_new]) = difference::hosts(old.topology.as_ref(), new.topology.as_ref());
        for (problems, side) in [(wrong_old, old), (wrong_new, new)] {
            if input::has_errors(&problems) {
                input::say(&problems, &side.sources, out);
                return Exit::Invalid;
            }
        }
        hosts.retain(|name, difference| !difference.is_empty() && self.host.as_ref().is_none_or(|host| host == name));
        let renamed = match (&old.topology, &new.topology) {
            (Some(old), Some(new)) if old.name.value != new.name.value => Some((&old.name.value, &new.name.value)),
            _ => None,
        };
        match self.format.format {
            Format::Text => out.say(&text(&hosts, &new.sources, out.style)),
            Format::Json => {
                let hosts = hosts.values().map(|difference| report::json::difference(difference, &new.sources)).collect();
                out.json(&report::json::differences(renamed, hosts));
            }
            _ => {
                let hosts = hosts.values().map(|difference| (&difference.plan, notes(difference)));
                format::say(&Review::of_difference(hosts, &new.sources), &self.format, false, out);
            }
        }
        if let (Some((was, now)), Format::Text) = (renamed, self.format.format) {
            let (was, now) = (source::printable(was), source::printable(now));
            out.say(&format!(
                "\nThe topology has another name: {was} → {now}. It owns what it had with: topology \"{now}\" was=\"{was}\"\n"
            ));
        }
        if self.text {
            out.say(&texts(&old.sources, &new.sources));
        }
        if hosts.is_empty() && renamed.is_none() { Exit::Done } else { Exit::Changes }
    }
}

fn notes(difference: &HostDifference) -> Vec<String> {
    let presence = match difference.presence {
        Presence::Both => None,
        Presence::New => Some("A new host.".to_owned()),
        Presence::Old => Some("The host is no longer there; what it was given stays until `lvsform destroy` there.".to_owned()),
    };
    presence.into_iter().chain(difference.remarks.iter().map(ToString::to_string)).collect()
}

fn text(hosts: &BTreeMap<String, HostDifference>, sources: &Sources, style: report::text::Style) -> String {
    if hosts.is_empty() {
        return "They mean the same.\n".to_owned();
    }
    let one = |difference: &HostDifference| report::text::difference(&difference.plan, &notes(difference), sources, style);
    hosts.values().map(one).collect::<Vec<_>>().join("\n")
}

/// How the texts differ, file by file.
fn texts(old: &Sources, new: &Sources) -> String {
    let by_path = |sources: &Sources| -> BTreeMap<String, String> {
        sources.files().iter().map(|file| (file.path.display().to_string(), file.text.clone())).collect()
    };
    let (mut old_texts, new_texts) = (by_path(old), by_path(new));
    // The two roots are compared, whatever they are called.
    if let ([old, ..], [new, ..]) = (old.files(), new.files())
        && let Some(text) = old_texts.remove(&old.path.display().to_string())
    {
        old_texts.insert(new.path.display().to_string(), text);
    }
    let paths: std::collections::BTreeSet<&String> = old_texts.keys().chain(new_texts.keys()).collect();
    let mut said = String::new();
    for path in paths {
        let text = |texts: &BTreeMap<String, String>| texts.get(path).cloned().unwrap_or_default();
        let (before, after) = (text(&old_texts), text(&new_texts));
        if before != after {
            let difference = TextDiff::from_lines(&before, &after);
            let shown = difference.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string();
            said.extend(shown.lines().flat_map(|line| [source::printable(line).into_owned(), "\n".to_owned()]));
        }
    }
    said
}

/// A root file of which git has put the text elsewhere; what it includes is read as it is now.
struct Standing {
    text: PathBuf,
}

impl Files for Standing {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        Ok(Included { identity: path.to_owned(), ..DiskFiles.root(&self.text)? })
    }

    fn included(&self, folder: &Path, path: &Path) -> Result<Included, Unreadable> {
        DiskFiles.included(folder, path)
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        DiskFiles.matching(pattern)
    }
}
