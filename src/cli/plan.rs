//! `lvsform plan`

use std::path::{Path, PathBuf};

use clap::Args;

use super::format::{self, Format, FormatArguments};
use super::input::{self, HostArguments, Prepared};
use super::output::Output;
use super::pending;
use super::records::{self, Place, PlaceArguments};
use super::saved::{self, Keeping, Saved};
use super::written::write_whole;
use super::{Exit, graph};
use crate::kernel::linux::Linux;
use crate::plan::{self, Aim};
use crate::report::{self, review::Review};
use crate::state::Observed;
use crate::txn::ledger::Claims;
use crate::txn::preflight;

/// Show what applying a topology would change in a host's kernel
///
/// Reads the kernel and changes nothing. Each change is shown with its place in the file and with what it does to live
/// connections.
///
/// Exit code: 0; with --exit-code 2 where there are changes; 1 the kernel or the records cannot be read; 5 another topology owns
/// it; 6 someone else is writing; 9 a run did not end, and its record is damaged; 10 the topology is not valid.
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    host: HostArguments,
    /// A captured state in place of the kernel; needs neither root nor IPVS. It knows what is deleted where `lvsform snapshot` was
    /// given the topology
    #[arg(long, value_name = "FILE", conflicts_with = "netns")]
    live: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    format: FormatArguments,
    /// Also save what `lvsform apply PATH` needs to do exactly this plan: the files, the host and the digest
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// End with 2 where there are changes
    #[arg(long)]
    exit_code: bool,
}

impl Plan {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let files = Keeping::of(&self.host.composition);
        let (prepared, topology) = match self.out {
            Some(_) => input::prepare_whole_of(&self.host.file, &files, self.host.host.as_deref(), out)?,
            None => input::prepare_whole(&self.host, out)?,
        };
        let topology = Some(topology).filter(|_| self.format.format == Format::Html);
        let (claims, observed) = look(&prepared, self.live.as_deref(), &self.place, out)?;
        let (aim, plan) = make(&prepared, &claims, &observed);
        let digest = prepared.digest(&aim, &plan);
        let broken = prepared.broken(&claims, &aim, &observed, &plan);
        if let Some(path) = &self.out {
            let saved = Saved {
                file: self.host.file.to_string_lossy().into_owned(),
                host: prepared.host().to_owned(),
                topology: prepared.topology().to_owned(),
                digest: digest.clone(),
                texts: files.texts(),
            };
            write_whole(path, &saved.encode(), saved::MARK, out)?;
        }
        let refused = preflight::refused_by_model(&plan.phases, &observed);
        match self.format.format {
            Format::Text => {
                out.say(&report::text::plan(&plan, &prepared.sources, out.style));
                for rule in &broken {
                    out.say(&format!("Apply would refuse: {rule}.\n"));
                }
                out.say(&report::failure::apply_would_refuse(&refused, &prepared.compiled.names, &prepared.sources));
                if !plan.is_empty() {
                    let netns = self.place.netns.as_deref();
                    let composed = self.host.composition.arguments();
                    let composed: Vec<String> = composed.iter().map(|word| word.to_string_lossy().into_owned()).collect();
                    out.say(&match &self.out {
                        Some(path) => report::text::how_to_apply_saved(&path.to_string_lossy(), netns),
                        None => report::text::how_to_apply(&plan, &composed, netns, &digest),
                    });
                }
            }
            Format::Json => out.json(&report::json::plan(&plan, &prepared.sources, &digest)),
            _ => {
                let refused = report::failure::would_refuse(&refused, &prepared.compiled.names, &prepared.sources).collect();
                let mut review = Review::of_plan(&plan, &broken, refused, &prepared.sources);
                let seen = || [graph::seen(&plan, &observed)];
                review.picture = topology.map(|topology| crate::graph::figure(&crate::graph::picture(&topology, &seen())));
                format::say(&review, &self.format, false, out);
            }
        }
        Ok(if self.exit_code && !plan.is_empty() { Exit::Changes } else { Exit::Done })
    }
}

/// Who owns what, and what a kernel holds: this machine's, or what was captured of one.
pub fn look(
    prepared: &Prepared,
    live: Option<&Path>,
    place: &PlaceArguments,
    out: &mut Output,
) -> Result<(Claims, Observed), Exit> {
    if let Some(file) = live {
        let (observed, owned) = input::captured(file, out)?.of(prepared.topology(), prepared.was.as_deref());
        let claims = owned.map(|owned| owned.claims(&observed)).unwrap_or_default();
        return Ok((claims, observed));
    }
    let (mut kernel, place) = place.open(out)?;
    let claims = claims(prepared, &mut kernel, &place, out)?;
    input::refuse_claimed(prepared, &claims, out)?;
    let observed = input::observe(&mut kernel, &prepared.aim(&claims).scope(), out)?;
    Ok((claims, observed))
}

/// The plan from what a kernel holds, and where it leads.
pub fn make<'p>(prepared: &'p Prepared, claims: &Claims, observed: &Observed) -> (Aim<'p>, plan::Plan) {
    let mut aim = prepared.aim(claims);
    aim.drain(&prepared.compiled.drains, &claims.debts(observed).keys().collect(), observed);
    let plan = prepared.plan(&aim, observed);
    (aim, plan)
}

/// Who owns what, as far as it is known here.
pub fn claims(prepared: &Prepared, kernel: &mut Linux, place: &Place, out: &mut Output) -> Result<Claims, Exit> {
    let Some(store) = place.look_beside(kernel, out)? else { return Ok(Claims::default()) };
    if let Some(unfinished) = records::unfinished(&store, out)?.filter(|unfinished| !unfinished.committed) {
        let here = (
            "an earlier run did not end: the kernel is neither as it was before nor as that run wanted it",
            "take it back first: lvsform recover",
        );
        let (message, help) = if unfinished.journal.instance == place.instance { here } else { records::GONE };
        out.error(&report::error(message, &[], Some(help), out.error_style));
    }
    pending::say(&store, place, out)?;
    place.claims(&store, prepared.topology(), prepared.was.as_deref(), out)
}
