//! `lvsform graph`

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::files::real;
use super::input::{self, HostArguments};
use super::output::Output;
use super::records::PlaceArguments;
use super::{Exit, plan, written};
use crate::graph::{self, Seen};
use crate::plan::Plan;
use crate::report;
use crate::rules::Asked;
use crate::state::Observed;

/// Draw a topology
///
/// Hosts with their subnets, VIPs, services with method and scheduler, servers with their weights, and the ways of requests and
/// answers. With --plan or --live what differs between the file and a kernel is marked, and connections are shown beside weights.
/// The picture needs nothing beside itself, and is light or dark as its reader's screen is; `--format mermaid` is for pages that
/// draw it themselves, `--format dot` for graphviz.
///
/// Exit code: 0 done; 1 the kernel, its records or a captured state cannot be read, or the file not be written; 10 the topology is
/// not valid.
#[derive(Debug, Args)]
pub struct Graph {
    #[command(flatten)]
    host: HostArguments,
    /// As what
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Svg)]
    format: Format,
    /// Mark what `plan` would change in this machine's kernel, as one of the topology's hosts
    #[arg(long)]
    plan: bool,
    /// The same for a captured state of a host: `lb1=lb1.json`. May be repeated for other hosts; without a name it is that of --host
    #[arg(long, value_name = "[HOST=]FILE", conflicts_with_all = ["plan", "netns"])]
    live: Vec<String>,
    #[command(flatten)]
    place: PlaceArguments,
    /// Write a new file instead of printing; one that is there already is not replaced
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
}

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// a picture
    Svg,
    /// text that code hosts and wikis draw
    Mermaid,
    /// text that graphviz draws
    Dot,
}

impl Graph {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let HostArguments { file, composition, host } = &self.host;
        let (sources, topology, problems) = input::examine(file, composition, &Asked::default());
        let topology = topology.filter(|_| !input::has_errors(&problems));
        let Some(topology) = topology else {
            input::say(&problems, &sources, out);
            return Err(Exit::Invalid);
        };
        let mut seen: Vec<Seen> = Vec::new();
        if self.plan {
            seen.push(self.seen(host.clone(), None, out)?);
        }
        for live in &self.live {
            // A path may have `=` in it too; a host's name before it has no slash. A name that no host has is said to be none,
            // unless there is a file of the whole name.
            let is_host = |name: &str| topology.hosts.contains_key(name) || !name.contains('/') && real(Path::new(live)).is_err();
            let named = live.split_once('=').filter(|(name, _)| is_host(name));
            let (host, file) = named.map_or((host.clone(), live.as_str()), |(name, file)| (Some(name.to_owned()), file));
            let found = self.seen(host, Some(Path::new(file)), out)?;
            if seen.iter().any(|seen| seen.host == found.host) {
                let message = format!("`--live` gives the host `{}` twice", found.host);
                let help = "one captured state for each host: --live lb1=lb1.json --live lb2=lb2.json";
                out.error(&report::error(&message, &[], Some(help), out.error_style));
                return Err(Exit::Usage);
            }
            seen.push(found);
        }
        let picture = graph::picture(&topology, &seen);
        let text = match self.format {
            Format::Svg => graph::svg(&picture),
            Format::Mermaid => graph::mermaid(&picture),
            Format::Dot => graph::dot(&picture),
        };
        written::print_or_new(&text, self.out.as_deref(), out)?;
        Ok(Exit::Done)
    }

    /// What a host's kernel holds beside what the file says.
    fn seen(&self, host: Option<String>, live: Option<&Path>, out: &mut Output) -> Result<Seen, Exit> {
        let HostArguments { file, composition, .. } = self.host.clone();
        let (prepared, _) = input::prepare_whole(&HostArguments { file, composition, host }, out)?;
        let (claims, observed) = plan::look(&prepared, live, &self.place, out)?;
        let (_, plan) = plan::make(&prepared, &claims, &observed);
        Ok(seen(&plan, &observed))
    }
}

/// What a plan changes, and how many connections there are.
pub fn seen(plan: &Plan, observed: &Observed) -> Seen {
    let changes = plan.changes.iter().filter(|planned| !planned.incidental);
    Seen {
        host: plan.target.host.clone(),
        changes: changes.map(|planned| (planned.change.key.clone(), planned.action)).collect(),
        traffic: observed.traffic.clone(),
    }
}
