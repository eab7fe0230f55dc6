//! What most commands start from: a topology file, one of its hosts, and a kernel or what was captured of one.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::files::{DiskFiles, With};
use super::output::Output;
use super::{Exit, in_words};
use crate::compile::{self, Compiled};
use crate::kernel::linux::Linux;
use crate::kernel::{Kernel, ReadError};
use crate::plan::policy::{self, Amount, Broken, Measure, Policy};
use crate::plan::{Aim, Plan, Target, digest};
use crate::provenance::Provenance;
use crate::report::{self, captured::Captured};
use crate::rules::{self, Asked};
use crate::source::problem::{self, nearest};
use crate::source::{self, At, Files, Inputs, Problem, Severity, Sources};
use crate::state::{Key, Observed, Resource, Scope, State};
use crate::topology::{self, Host, Ownership, Role, Topology};
use crate::txn::former::Former;
use crate::txn::ledger::{Claims, Entry, Ledger};

/// So much is read of a captured state; a million servers take about half of it.
const CAPTURED_CAP: u64 = 512 << 20;

/// What a topology is composed with.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Composition")]
pub struct Composition {
    /// Lay this file over the topology: what it sets, adds and removes. May be repeated; the last one is on top
    #[arg(long = "overlay", value_name = "FILE")]
    overlays: Vec<PathBuf>,
    /// Give a variable of the topology a value. May be repeated; stronger than --var-file, the environment and the default
    #[arg(long = "var", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// Give variables the values of this file, in KDL (`dc "fra1"`) or TOML (`dc = "fra1"`). May be repeated
    #[arg(long = "var-file", value_name = "FILE")]
    variable_files: Vec<PathBuf>,
}

impl Composition {
    /// Files from elsewhere, composed with this.
    pub fn with<F>(&self, files: F) -> With<F> {
        With { files, inputs: self.inputs() }
    }

    /// What is asked for.
    pub fn inputs(&self) -> Inputs {
        let Composition { overlays, variables, variable_files } = self.clone();
        Inputs { overlays, variable_files, variables }
    }

    /// The same as arguments again.
    pub fn arguments(&self) -> Vec<OsString> {
        let of = |option: &str, values: &mut dyn Iterator<Item = OsString>| -> Vec<OsString> {
            values.flat_map(|value| [option.into(), value]).collect()
        };
        let mut all = of("--overlay", &mut self.overlays.iter().map(OsString::from));
        all.extend(of("--var", &mut self.variables.iter().map(OsString::from)));
        all.extend(of("--var-file", &mut self.variable_files.iter().map(OsString::from)));
        all
    }

    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.overlays.iter().chain(&self.variable_files)
    }
}

/// Which host of which topology.
#[derive(Clone, Debug, Args)]
pub struct HostArguments {
    /// The topology, in KDL (.kdl) or TOML (.toml)
    pub file: PathBuf,
    #[command(flatten)]
    pub composition: Composition,
    /// Which host of it; by default the one whose `hostname` is this machine's
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
}

/// One host of a topology, compiled: all that a plan needs. The topology itself is gone by then, and its memory free.
#[derive(Debug)]
pub struct Prepared {
    /// The files, to point at.
    pub sources: Sources,
    /// What the host must hold.
    pub compiled: Compiled,
    /// `ownership ipvs="exclusive"`
    pub exclusive: bool,
    /// What a plan may do at most.
    pub policy: Policy,
    /// The topology's former name.
    pub was: Option<String>,
    /// Whether nobody is asked about what others would lose: then it is kept.
    pub sparing: bool,
    target: Target,
}

impl Prepared {
    /// A topology of which nothing is wanted.
    pub fn nothing(topology: &str, host: &str) -> Prepared {
        Prepared {
            sources: Sources::default(),
            compiled: Compiled::default(),
            exclusive: false,
            policy: Policy::default(),
            was: None,
            sparing: false,
            target: Target {
                topology: topology.to_owned(),
                file: String::new(),
                host: host.to_owned(),
                role: format!("topology {topology}"),
            },
        }
    }

    /// What a topology had before its last apply. `present`: what it has now.
    pub fn former(former: &Former, present: &Ledger) -> Prepared {
        let Former { ledger, lost: _ } = former;
        let mut prepared = Prepared::nothing(&present.topology, &ledger.host);
        let entries = present.entries.iter().chain(&ledger.entries);
        prepared.compiled.names = entries.map(|(key, entry)| (key.clone(), Provenance::former(&entry.name))).collect();
        prepared.compiled.state = former.wanted();
        // Servers that were being let go, and came back in between, are let go as slowly again.
        let drains = ledger.debts.iter().filter_map(|(key, debt)| {
            let seconds = u32::try_from(debt.until.saturating_sub(ledger.at)).unwrap_or(u32::MAX);
            Some((key.server()?.service, seconds))
        });
        prepared.compiled.drains = drains.collect();
        prepared.exclusive = ledger.exclusive;
        prepared.sparing = true;
        prepared
    }

    /// What a topology had here in another life of the namespace. Servers that were being let go are gone.
    pub fn standing(ledger: &Ledger) -> Prepared {
        let mut prepared = Prepared::nothing(&ledger.topology, &ledger.host);
        let mut objects = ledger.applied().objects;
        objects.retain(|key, _| !ledger.debts.contains_key(key));
        let modules: BTreeSet<&str> = objects.keys().filter_map(Key::module).collect();
        objects.extend(modules.into_iter().map(|module| (Key::Module(module.to_owned()), Resource::Module)));
        prepared.compiled.state = State { objects };
        let name = |entry: &Entry| Provenance::leaving(&entry.name.as_str().into());
        let names = ledger.entries.iter().map(|(key, entry)| (key.clone(), name(entry)));
        prepared.compiled.names = names.collect();
        prepared.exclusive = ledger.exclusive;
        prepared.sparing = true;
        prepared
    }

    /// The topology's name.
    pub fn topology(&self) -> &str {
        &self.target.topology
    }

    /// The host's name in it.
    pub fn host(&self) -> &str {
        &self.target.host
    }

    /// Where a plan leads, from what the topology owns.
    pub fn aim(&self, claims: &Claims) -> Aim<'_> {
        Aim { sparing: self.sparing, ..Aim::new(&self.compiled.state, &claims.owned()) }
    }

    /// The plan from what a kernel holds.
    pub fn plan(&self, aim: &Aim<'_>, observed: &Observed) -> Plan {
        let Compiled { state: _, names, left_out, elsewhere, problems: _, drains: _ } = &self.compiled;
        Plan::make(self.target.clone(), aim, names, observed, self.exclusive, left_out.clone(), elsewhere)
    }

    /// The rules that a plan breaks.
    pub fn broken(&self, claims: &Claims, aim: &Aim<'_>, observed: &Observed, plan: &Plan) -> Vec<Broken> {
        let mut protected = self.protected();
        let own = claims.own.as_ref();
        protected.extend(own.iter().flat_map(|own| own.protect.iter().cloned()));
        let owned: BTreeSet<Key> = own.iter().flat_map(|own| own.entries.keys().cloned()).collect();
        let (policy, wanted) = (&self.policy, &*aim.wanted);
        policy::broken(
            plan,
            &Measure { policy, protected: &protected, owned: &owned, host: own.map(|own| own.host.as_str()), observed, wanted },
        )
    }

    /// The digest of a plan: what was approved.
    pub fn digest(&self, aim: &Aim<'_>, plan: &Plan) -> String {
        digest::digest(plan, aim, self.exclusive, &self.policy)
    }

    /// SHA-256 of the files.
    pub fn sources_digest(&self) -> String {
        let files: Vec<&str> = self.sources.files().iter().map(|file| file.text.as_str()).collect();
        digest::sha256(files.join("\0").as_bytes())
    }

    /// What `policy` says must never be deleted, as far as this host has it: `service.shop` is every object of that kind and
    /// name.
    pub fn protected(&self) -> BTreeSet<Key> {
        let is_meant = |key: &Key, name: &str| self.policy.protect.iter().any(|words| policy::means(words, key, name));
        let named = self.compiled.names.iter().filter(|(key, provenance)| is_meant(key, &provenance.name));
        named.map(|(key, _)| key.clone()).collect()
    }
}

/// Reads a topology, picks a host and compiles it, and says everything that is wrong. Warnings do not stop anything.
pub fn prepare(file: &Path, composition: &Composition, name: Option<&str>, out: &mut Output) -> Result<Prepared, Exit> {
    prepare_of(file, &composition.with(DiskFiles), name, out)
}

/// The same, and the topology itself.
pub fn prepare_whole(arguments: &HostArguments, out: &mut Output) -> Result<(Prepared, Topology), Exit> {
    let HostArguments { file, composition, host } = arguments;
    prepare_whole_of(file, &composition.with(DiskFiles), host.as_deref(), out)
}

/// The same of files that lie elsewhere.
pub fn prepare_of(file: &Path, files: &dyn Files, name: Option<&str>, out: &mut Output) -> Result<Prepared, Exit> {
    prepare_whole_of(file, files, name, out).map(|(prepared, _)| prepared)
}

/// The same, and the topology itself.
pub fn prepare_whole_of(
    file: &Path,
    files: &dyn Files,
    name: Option<&str>,
    out: &mut Output,
) -> Result<(Prepared, Topology), Exit> {
    let (sources, topology, problems) = rules::examine(source::load(file, files));
    say(&problems, &sources, out);
    let topology = topology.filter(|_| !has_errors(&problems)).ok_or(Exit::Invalid)?;
    let host = pick(&topology, name, out)?;
    let compiled = compile::compile(&topology, host);
    say(&compiled.problems, &sources, out);
    if has_errors(&compiled.problems) {
        return Err(Exit::Invalid);
    }
    let target = Target {
        topology: topology.name.value.clone(),
        file: sources.files().first().map(|file| file.path.display().to_string()).unwrap_or_default(),
        host: host.name.value.clone(),
        role: match host.role {
            Role::Director => "director".to_owned(),
            Role::RealServer => "real-server".to_owned(),
        },
    };
    let exclusive = topology.ownership.value == Ownership::Exclusive;
    let policy = limits(&topology.policy);
    let was = topology.was.as_ref().map(|was| was.value.clone());
    Ok((Prepared { sources, compiled, exclusive, policy, was, sparing: false, target }, topology))
}

/// Reads a topology, and finds everything that is wrong with it as far as no host is compiled.
pub fn examine(file: &Path, composition: &Composition, asked: &Asked) -> (Sources, Option<Topology>, Vec<Problem>) {
    rules::examine_as(source::load(file, &composition.with(DiskFiles)), asked)
}

/// The limits of a file, without their places.
fn limits(policy: &topology::Policy) -> Policy {
    let amount = |amount: &At<topology::Amount>| match amount.value {
        topology::Amount::Count(count) => Amount::Count(count),
        topology::Amount::Percent(percent) => Amount::Percent(percent),
    };
    Policy {
        max_deletes: policy.max_deletes.as_ref().map(amount),
        max_connections_cut: policy.max_connections_cut.as_ref().map(|most| most.value),
        min_servers: policy.min_servers.as_ref().map(amount),
        protect: policy.protect.iter().map(|words| words.value.clone()).collect(),
    }
}

/// Refuses what another topology owns.
pub fn refuse_claimed(prepared: &Prepared, claims: &Claims, out: &mut Output) -> Result<(), Exit> {
    let Prepared { compiled: Compiled { state, names, .. }, sources, .. } = prepared;
    let mut reasons: Vec<String> =
        claims.conflicts(state).into_iter().map(|claimed| report::failure::claimed(&claimed, names, sources)).collect();
    if prepared.exclusive
        && let Some(other) = claims.other_with_ipvs()
    {
        reasons.push(format!("`ownership ipvs=\"exclusive\"`: topology `{other}` has services on this host too"));
    }
    if let Some(other) = claims.exclusive_other() {
        reasons.push(format!("topology `{other}` has this host's whole IPVS table: it says `ownership ipvs=\"exclusive\"`"));
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let message = "another topology owns what this one asks for; nothing was changed";
    let help = "give it another name or address, or take it out of one of the two files and apply that one first";
    out.error(&report::error(message, &reasons, Some(help), out.error_style));
    Err(Exit::Refused)
}

/// Shows problems, if there are any; with `--quiet` only errors.
pub fn say(problems: &[Problem], sources: &Sources, out: &mut Output) {
    let wrong: Vec<Problem>;
    let said = if out.is_quiet() {
        wrong = problems.iter().filter(|problem| problem.severity == Severity::Error).cloned().collect();
        &wrong
    } else {
        problems
    };
    if !said.is_empty() {
        out.error(&problem::render(said, sources, out.problem_style()));
    }
}

/// Whether a topology with these problems can be used.
pub fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// How many there are of each: `2 errors, 1 warning`.
pub fn count(problems: &[Problem]) -> String {
    let count = |severity, word: &str| {
        let number = problems.iter().filter(|problem| problem.severity == severity).count();
        (number > 0).then(|| format!("{number} {word}{}", if number == 1 { "" } else { "s" }))
    };
    let counts = [count(Severity::Error, "error"), count(Severity::Warning, "warning")];
    counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The host that was asked for, or the one that this machine is.
fn pick<'t>(topology: &'t Topology, name: Option<&str>, out: &mut Output) -> Result<&'t Host, Exit> {
    let hosts = &topology.hosts;
    let names = || hosts.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let found = if let Some(name) = name {
        hosts.get(name).ok_or_else(|| {
            let near = nearest(name, hosts.keys().map(String::as_str));
            let help = near.map_or_else(|| format!("its hosts are: {}", names()), |near| format!("did you mean `{near}`?"));
            (format!("the topology has no host `{name}`"), help)
        })
    } else {
        let own = hostname();
        hosts.values().find(|host| host.hostname.value == own).ok_or_else(|| {
            let help = format!("say which it is: --host NAME, one of: {}", names());
            (format!("no host of the topology has this machine's name, `{own}`"), help)
        })
    };
    found.map_err(|(message, help)| {
        out.error(&report::error(&message, &[], Some(&help), out.error_style));
        Exit::Usage
    })
}

/// Opens the kernel of this machine, in one of its namespaces.
pub fn open(netns: Option<&str>, out: &mut Output) -> Result<Linux, Exit> {
    Linux::open(netns).map_err(|error| unreadable(&error, out))
}

/// Reads a kernel.
pub fn observe(kernel: &mut dyn Kernel, scope: &Scope, out: &mut Output) -> Result<Observed, Exit> {
    kernel.read(scope).map_err(|error| unreadable(&error, out))
}

/// Says why a kernel could not be read.
pub fn unreadable(error: &ReadError, out: &mut Output) -> Exit {
    let help = match error {
        ReadError::Capability(_) => Some(
            "run it as root, or give a captured state in place of the kernel: --live FILE (made by `lvsform snapshot` as root)",
        ),
        ReadError::NoNamespace(_) => Some("`ip netns list` shows their names"),
        ReadError::Unsteady { .. } => {
            Some("find out who it is (keepalived? a script in a loop?), and run this again when it is quiet")
        }
        ReadError::Sysctl { write_only: true, .. } => {
            Some("take it out of the file; whoever needs it writes it by hand, with `sysctl -w`")
        }
        ReadError::Sysctl { write_only: false, .. } => Some("run it as root, or take it out of the file"),
        ReadError::Failed { .. } | ReadError::Malformed { .. } => None,
    };
    out.error(&report::error(&error.to_string(), &[], help, out.error_style));
    match error {
        ReadError::Unsteady { .. } => Exit::Stale,
        _ => Exit::Failed,
    }
}

/// Reads what `lvsform snapshot` captured.
#[expect(clippy::disallowed_methods, reason = "a file that the user named on the command line")]
pub fn captured(file: &Path, out: &mut Output) -> Result<Captured, Exit> {
    let failed = |message: String, out: &mut Output| {
        let help = "make one on the director, as root: lvsform snapshot TOPOLOGY > FILE";
        out.error(&report::error(&message, &[], Some(help), out.error_style));
        Exit::Failed
    };
    let shown = file.display();
    let mut text = String::new();
    let read = std::fs::File::open(file).and_then(|opened| opened.take(CAPTURED_CAP + 1).read_to_string(&mut text));
    match read {
        Err(error) => return Err(failed(format!("cannot read {shown}: {}", in_words(&error)), out)),
        Ok(bytes) if bytes as u64 > CAPTURED_CAP => {
            return Err(failed(format!("{shown} is not a captured state: it has more than {CAPTURED_CAP} bytes"), out));
        }
        Ok(_) => {}
    }
    report::captured::read(&text).map_err(|error| failed(format!("{shown} is not a captured state: {error}"), out))
}

#[expect(clippy::disallowed_methods, reason = "the machine's own name picks the host")]
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
