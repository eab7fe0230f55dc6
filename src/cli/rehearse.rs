//! `lvsform rehearse`

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use super::files::DiskFiles;
use super::format::Plain;
use super::input::Composition;
use super::output::Output;
use super::signals::Signals;
use super::{Exit, in_words, input};
use crate::compose::expand::expand_without;
use crate::kernel::module;
use crate::lab::{self, Lab};
use crate::rehearse::stand_in::{StandIn, note, stand_ins};
use crate::rehearse::{self, Audience, Break, Rehearsal};
use crate::report;
use crate::rules::Asked;
use crate::source::{self, Inputs, Spelling};
use crate::state::{Encapsulation, Key, Resource};
use crate::topology::{ListenOn, ReturnMode, Topology};
use crate::{compile, state};

/// Try a topology with real connections before anything real is touched
///
/// Every host of the file becomes a network namespace with the addresses of the file, and is made what the file says by
/// `lvsform apply`. Clients connect to everything that is served; who answers is compared with what the scheduler promises. Then
/// weights are changed, a server is drained and removed, and a director loses its IPVS. What does not work is looked for along
/// the way of a packet.
///
/// It runs in a throw-away kernel, or in fresh namespaces of this one where it has IPVS and all else that the file needs, and
/// the user is root. Nothing outside those namespaces is touched.
///
/// Exit code: 0 everything works; 1 something does not, or there was no rehearsal; 10 the topology is not valid; 124 and 125 as
/// with `lvsform lab`.
#[derive(Debug, Args)]
pub struct Rehearse {
    /// The topology, in KDL (.kdl) or TOML (.toml)
    file: PathBuf,
    #[command(flatten)]
    composition: Composition,
    /// The kernel: `here`, or as with `lvsform lab`; by default `here` where that is possible, else the fastest that has what
    /// the file needs
    #[arg(long, value_name = "here|uml|qemu|backports|PACKAGE", value_parser = kernel)]
    kernel: Option<On>,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Plain::Text)]
    format: Plain,
    /// How long a client waits for a connection, and for an answer
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    patience: Option<Duration>,
    /// The longest that a throw-away kernel may take, boot included
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// The memory of a throw-away kernel
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(256..))]
    memory: u32,
    /// Break a host once everything is applied: `HOST: COMMAND`. May be repeated
    #[arg(long = "break", value_name = "HOST: COMMAND", value_parser = broken, hide = true)]
    breaks: Vec<Break>,
    /// Let nobody listen on a port of a host: `HOST:PORT`. May be repeated
    #[arg(long, value_name = "HOST:PORT", value_parser = deaf, hide = true)]
    deaf: Vec<(String, u16)>,
}

/// Where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum On {
    Here,
    Lab(lab::Kernel),
}

fn kernel(name: &str) -> Result<On, String> {
    match name {
        "here" => Ok(On::Here),
        "uml" => Ok(On::Lab(lab::Kernel::Uml)),
        "qemu" => Ok(On::Lab(lab::Kernel::Qemu { package: None })),
        _ if name == "backports" || name.starts_with("linux-image-") => {
            Ok(On::Lab(lab::Kernel::Qemu { package: Some(name.to_owned()) }))
        }
        _ => Err("expected `here`, `uml`, `qemu`, `backports` or the name of a package, `linux-image-…`".to_owned()),
    }
}

fn broken(text: &str) -> Result<Break, String> {
    let (host, line) = text.split_once(": ").ok_or("expected `HOST: COMMAND`")?;
    Ok(Break { host: host.to_owned(), line: line.to_owned() })
}

fn deaf(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("expected `HOST:PORT`")?;
    Ok((host.to_owned(), port.parse().map_err(|_| "expected `HOST:PORT`")?))
}

/// A composed topology as one file, for as long as this lives.
struct Plainly {
    folder: PathBuf,
    file: PathBuf,
}

impl Drop for Plainly {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Rehearse {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(&self, out: &mut Output) -> Result<Exit, Exit> {
        let (sources, topology, problems) = input::examine(&self.file, &self.composition, &Asked::default());
        let topology = topology.filter(|_| !input::has_errors(&problems));
        let Some(topology) = topology else {
            input::say(&problems, &sources, out);
            return Err(Exit::Invalid);
        };
        let problems = compile::problems(&topology);
        if input::has_errors(&problems) {
            input::say(&problems, &sources, out);
            return Err(Exit::Invalid);
        }
        let stand_ins = stand_ins(&topology);
        let plain = self.plain(&stand_ins, out)?;
        let topology = match &plain {
            None => topology,
            // The same with its stand-ins.
            Some(plain) => match input::examine(&plain.file, &Composition::default(), &Asked::default()) {
                (_, Some(topology), problems) if !input::has_errors(&problems) => topology,
                (sources, _, problems) => {
                    input::say(&problems, &sources, out);
                    return Err(Exit::Invalid);
                }
            },
        };
        let on = self.kernel.clone().unwrap_or_else(|| Needs::of(&topology).kernel());
        match on {
            On::Here => {
                let file = plain.as_ref().map_or(&*self.file, |plain| &*plain.file);
                let notes: Vec<String> = note(&stand_ins).into_iter().collect();
                self.here(file, &topology, &notes, out)
            }
            On::Lab(kernel) => self.in_lab(kernel, out),
        }
    }

    fn here(&self, file: &Path, topology: &Topology, notes: &[String], out: &mut Output) -> Result<Exit, Exit> {
        let program = program(out)?;
        let patience = self.patience.unwrap_or(Duration::from_secs(2));
        let rehearsal = Rehearsal { file, topology, program: &program, patience, breaks: &self.breaks, deaf: &self.deaf, notes };
        if !nix::unistd::geteuid().is_root() {
            let message = "only root can make network namespaces";
            out.error(&report::error(message, &[], Some(THROW_AWAY), out.error_style));
            return Err(Exit::Failed);
        }
        if let Some((message, missing)) = refusal(&Needs::of(topology).missing()).filter(|_| !lab::harness::in_guest()) {
            out.error(&report::error(&message, &missing, Some(THROW_AWAY), out.error_style));
            return Err(Exit::Failed);
        }
        let signals = Signals::hold();
        let outcome = {
            let mut teller = Teller { out, signals: &signals, started: now() };
            rehearse::run(&rehearsal, &mut teller)
        };
        let outcome = outcome.map_err(|failure| {
            out.error(&report::error(&failure.0, &[], None, out.error_style));
            Exit::Failed
        })?;
        let file = self.file.display().to_string();
        match self.format {
            Plain::Text => out.print(&report::rehearsal::text(&file, &outcome, out.style)),
            Plain::Json => out.json(&report::rehearsal::Document::new(&topology.name.value, file, &outcome)),
        }
        Ok(if outcome.works { Exit::Done } else { Exit::Failed })
    }

    /// What the file is composed to, where anything is given beside it or somebody stands in: what is applied is a file.
    #[expect(clippy::disallowed_methods, reason = "a folder of its own, which goes with it")]
    fn plain(&self, stand_ins: &[StandIn], out: &mut Output) -> Result<Option<Plainly>, Exit> {
        if self.composition.inputs() == Inputs::default() && stand_ins.is_empty() {
            return Ok(None);
        }
        let failed = |out: &mut Output, message: String| {
            out.error(&report::error(&message, &[], None, out.error_style));
            Exit::Failed
        };
        let loaded = source::load(&self.file, &self.composition.with(DiskFiles));
        // The file itself has been checked: with stand-ins, which are hosts, what its `lint`s say may not hold.
        let text = expand_without(loaded, Spelling::Kdl, &["lint"]).map_err(|loaded| {
            input::say(&loaded.problems, &loaded.sources, out);
            Exit::Invalid
        })?;
        let folder = nix::unistd::mkdtemp(&std::env::temp_dir().join("lvsform-XXXXXX"));
        let folder = folder.map_err(|errno| failed(out, format!("no folder for the composed file: {}", errno.desc())))?;
        let plain = Plainly { file: folder.join("composed.kdl"), folder };
        std::fs::write(&plain.file, text + &rehearse::stand_in::kdl(stand_ins))
            .map_err(|error| failed(out, format!("the composed file: {}", in_words(&error))))?;
        Ok(Some(plain))
    }

    /// The same command in a guest, on the guest's own kernel.
    fn in_lab(&self, kernel: lab::Kernel, out: &mut Output) -> Result<Exit, Exit> {
        let program = program(out)?;
        let name = match &kernel {
            lab::Kernel::Uml => "User-Mode Linux".to_owned(),
            lab::Kernel::Qemu { package: None } => "QEMU".to_owned(),
            lab::Kernel::Qemu { package: Some(package) } => format!("QEMU, {package}"),
        };
        if !out.is_quiet() {
            out.error(&format!("Rehearsing in a throw-away kernel ({name}).\n"));
        }
        let emulated = matches!(kernel, lab::Kernel::Qemu { .. });
        let mut argv: Vec<OsString> = vec![program.clone().into(), "rehearse".into(), "--kernel".into(), "here".into()];
        // An emulated processor takes its time.
        let patience = self.patience.unwrap_or(Duration::from_secs(if emulated { 5 } else { 2 }));
        argv.extend(["--patience".into(), humantime::format_duration(patience).to_string().into()]);
        argv.extend(out.arguments().into_iter().map(OsString::from));
        if self.format == Plain::Json {
            argv.extend(["--format".into(), "json".into()]);
        }
        for Break { host, line } in &self.breaks {
            argv.extend(["--break".into(), format!("{host}: {line}").into()]);
        }
        for (host, port) in &self.deaf {
            argv.extend(["--deaf".into(), format!("{host}:{port}").into()]);
        }
        argv.extend(self.composition.arguments());
        argv.extend(["--".into(), self.file.clone().into()]);
        let folder = |path: &Path| path.parent().filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_path_buf);
        let more = self.composition.files().map(|path| folder(path));
        let share = [folder(&program), folder(&self.file), Some(PathBuf::from("."))].into_iter().chain(more).flatten();
        let share = share.filter_map(|path| path.canonicalize().ok()).collect();
        let lab = Lab { kernel: Some(kernel), memory: self.memory, cpus: 1, timeout: self.timeout, share };
        Ok(Exit::Command(lab::run(&lab, &argv).unwrap_or_else(|error| {
            let _ = writeln!(anstream::stderr(), "lvsform rehearse: {error}");
            error.exit_code()
        })))
    }
}

/// What helps whoever cannot rehearse here.
const THROW_AWAY: &str = "leave `--kernel here` out: then a throw-away kernel is taken";

/// Why a kernel that lacks these modules is left alone: nothing is ever loaded into it.
fn refusal(missing: &[String]) -> Option<(String, Vec<String>)> {
    let lines = missing.iter().map(|name| format!("the module {name} is not loaded")).collect();
    (!missing.is_empty())
        .then(|| ("this kernel has not all that the file needs, and nothing is loaded into it".to_owned(), lines))
}

/// This very program, which applies.
fn program(out: &mut Output) -> Result<PathBuf, Exit> {
    std::env::current_exe().map_err(|error| {
        out.error(&report::error(&format!("cannot find this program: {error}"), &[], None, out.error_style));
        Exit::Failed
    })
}

/// What a kernel must have.
#[derive(Debug, Default)]
struct Needs {
    modules: Vec<String>,
    /// nftables, GUE or a scheduler that User-Mode Linux lacks
    everything: bool,
}

impl Needs {
    fn of(topology: &Topology) -> Needs {
        let mut modules: Vec<String> = vec!["ip_vs".to_owned(), "veth".to_owned(), "bridge".to_owned()];
        let mut everything = topology
            .hosts
            .values()
            .any(|host| !host.masquerades.is_empty() || host.tunnels.iter().any(|tunnel| tunnel.gue.is_some()));
        for service in topology.services.values() {
            let marks = |what: &ListenOn| matches!(what, ListenOn::Mark { .. });
            everything |= service.listens.iter().any(|listen| marks(&listen.what))
                || service.return_path.mode.value == ReturnMode::Snat
                || service.scheduler.name.value == "twos";
            modules.push(format!("ip_vs_{}", service.scheduler.name.value));
        }
        for host in topology.hosts.values() {
            let compiled = compile::compile(topology, host);
            for (key, resource) in &compiled.state.objects {
                modules.extend(key.module().map(str::to_owned));
                match (key, resource) {
                    (Key::Destination(_), Resource::Destination(destination)) => {
                        let gue = matches!(destination.forward, state::Forward::Tun(Encapsulation::Gue { .. }));
                        everything |= gue;
                    }
                    (_, Resource::Link(link)) => modules.extend(match &link.device {
                        state::LinkKind::Tunnel(tunnel) => Some(module_of(tunnel.kind).to_owned()),
                        state::LinkKind::Dummy => Some("dummy".to_owned()),
                        state::LinkKind::Other(_) => None,
                    }),
                    _ => {}
                }
            }
        }
        // For what something else places.
        if topology.vips.values().any(|vip| !vip.managed.value) {
            modules.push("dummy".to_owned());
        }
        if everything {
            modules.push("nf_tables".to_owned());
        }
        modules.sort();
        modules.dedup();
        Needs { modules, everything }
    }

    /// The modules that this kernel lacks.
    fn missing(&self) -> Vec<String> {
        let release = nix::sys::utsname::uname().map(|names| names.release().to_string_lossy().into_owned()).unwrap_or_default();
        self.modules.iter().filter(|name| !module::is_loaded(name, &release)).cloned().collect()
    }

    /// This kernel where it has everything already, so that nothing has to be loaded; else one that is thrown away.
    fn kernel(&self) -> On {
        let here = || lab::harness::in_guest() || self.missing().is_empty();
        if nix::unistd::geteuid().is_root() && here() {
            return On::Here;
        }
        let uml = Lab { cpus: 1, ..Lab::default() }.kernel();
        On::Lab(if self.everything { lab::Kernel::Qemu { package: None } } else { uml })
    }
}

/// The module that brings a kind of tunnel.
fn module_of(kind: state::TunnelKind) -> &'static str {
    match kind {
        state::TunnelKind::Ipip => "ipip",
        state::TunnelKind::Sit => "sit",
        state::TunnelKind::Gre => "ip_gre",
        state::TunnelKind::Ip6gre => "ip6_gre",
        state::TunnelKind::Ip6tnl => "ip6_tunnel",
    }
}

#[expect(clippy::disallowed_methods, reason = "progress says how long it has taken")]
fn now() -> Instant {
    Instant::now()
}

/// Says each step on standard error, with the seconds so far.
struct Teller<'a> {
    out: &'a mut Output,
    signals: &'a Signals,
    started: Instant,
}

impl Audience for Teller<'_> {
    fn step(&mut self, text: &str) {
        if !self.out.is_quiet() {
            let seconds = now().duration_since(self.started).as_secs_f32();
            self.out.error(&format!("{seconds:6.1} s  {text}\n"));
        }
    }

    fn wants_to_leave(&self) -> bool {
        self.signals.arrived()
    }
}

#[cfg(test)]
mod tests {
    use super::{Needs, refusal};
    use crate::source::memory::load_text;
    use crate::topology::decode;

    #[test]
    fn a_kernel_that_lacks_a_module_is_left_alone() {
        assert_eq!(refusal(&[]), None);
        let (message, lines) = refusal(&["ip_vs".to_owned()]).expect("a refusal");
        assert!(message.contains("nothing is loaded"), "{message}");
        assert_eq!(lines, ["the module ip_vs is not loaded"]);
    }

    #[test]
    fn what_is_placed_by_hand_needs_a_dummy_device_too() {
        let text = "topology \"t\"\ndirector \"lb\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\n\
            vip \"v\" { address \"203.0.113.80\"; managed #false; }\n";
        let needs = Needs::of(&decode(load_text("t.kdl", text).tree).0.expect("a topology"));
        assert!(needs.modules.iter().any(|name| name == "dummy"), "{needs:?}");
    }
}
