//! `lvsform doctor`

mod legacy;
mod look;

use clap::{Args, ValueEnum};

use super::Exit;
use super::input::{self, HostArguments};
use super::output::Output;
use crate::doctor::{self, Patient, Severity};
use crate::kernel::linux::Linux;
use crate::plan::Aim;
use crate::report;
use crate::state::Scope;

/// Look for what stands in the way of a host: reads, and changes nothing
///
/// Is the VIP where it belongs, and does nobody else answer for it? Is forwarding on? Do reverse path filters, routes,
/// filters, the MTU or another manager stand in the way? Are tables nearly full, and are connections spread as the weights
/// promise? Each finding says what was seen and what mends it.
///
/// Exit code: 0 nothing is wrong; 3 something is; 1 it could not look; 10 the topology is not valid.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    host: HostArguments,
    /// A network namespace, by its name under /run/netns
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Doctor {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let (prepared, topology) = input::prepare_whole(&self.host, out)?;
        let Some(host) = topology.hosts.get(prepared.host()) else { return Err(Exit::Failed) };
        let compiled = &prepared.compiled;
        let mut kernel: Linux = input::open(self.netns.as_deref(), out)?;
        let observed = input::observe(&mut kernel, &Scope::of(&compiled.state), out)?;
        let questions = doctor::questions(&topology, host, compiled);
        let evidence = look::look(&kernel, &questions).map_err(|said| {
            out.error(&report::error(&said, &[], Some("install iproute2"), out.error_style));
            Exit::Failed
        })?;
        let plan = prepared.plan(&Aim::from(&compiled.state), &observed);
        let patient = Patient { topology: &topology, host, compiled, observed: &observed, evidence: &evidence };
        let findings = doctor::examine(&patient, &plan);
        match self.format {
            Format::Text => out.say(&report::doctor::text(prepared.host(), &findings, out.style)),
            Format::Json => out.json(&report::doctor::json(prepared.topology(), prepared.host(), &findings)),
        }
        let is_wrong = findings.iter().any(|finding| finding.severity == Severity::Wrong);
        Ok(if is_wrong { Exit::Drift } else { Exit::Done })
    }
}
