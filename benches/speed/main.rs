//! How fast, side by side in one run on one kernel: `lvsform`, `ipvsadm`, and a bare pipelined netlink loop that does
//! nothing but send the same messages.
//!
//! `cargo bench --bench speed` runs it in the lab; words after `--` choose: `uml` or `qemu`, and sizes such as `1000`
//! (services; each has ten servers). It prints a table in Markdown. Nothing is asserted: a machine that is busy is no bug.

#![expect(clippy::disallowed_methods, reason = "a bench has a clock, files and programs of its own")]

mod bare;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use kdl::KdlDocument;
use lvsform::compile;
use lvsform::kernel::linux::Linux;
use lvsform::kernel::{Kernel, Outcome};
use lvsform::lab::{self, Lab, harness};
use lvsform::plan::{Aim, Plan, Target};
use lvsform::source::{self, Files, Included, Severity, Unreadable};
use lvsform::state::{Key, Observed, Scope};
use lvsform::topology::decode;
use lvsform::txn::ledger::{Claims, Instance, Ledger};
use lvsform::txn::store::Store;
use lvsform::txn::{self, Ended, Records, Run, Signs, history, preflight};

const SERVERS: usize = 10;
/// Services of one VIP.
const PORTS: usize = 100;

type Outcomes<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let kernel = match words.iter().find(|word| matches!(word.as_str(), "uml" | "qemu")).map(String::as_str) {
        Some("qemu") => Some(lab::Kernel::Qemu { package: None }),
        _ => None,
    };
    let mut sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000];
    }
    let lab = Lab { kernel, memory: 6_144, timeout: Duration::from_mins(20), ..Lab::default() };
    harness::main(lab, || match run(&sizes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "speed: {error}");
            ExitCode::FAILURE
        }
    })
}

/// The rows of the table: a name, and one value for each size.
#[derive(Default)]
struct Table {
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    fn add(&mut self, name: &str, value: String) {
        match self.rows.iter_mut().find(|(row, _)| row == name) {
            Some((_, values)) => values.push(value),
            None => self.rows.push((name.to_owned(), vec![value])),
        }
    }

    fn time(&mut self, name: &str, time: Duration) {
        self.add(name, format!("{:.3} s", time.as_secs_f64()));
    }

    fn ratio(&mut self, name: &str, time: Duration, beside: Duration) {
        self.add(name, format!("{:.2}", time.as_secs_f64() / beside.as_secs_f64()));
    }

    fn print(&self, sizes: &[usize]) {
        let mut text = String::from("\n| |");
        for size in sizes {
            let _ = write!(text, " {size} x {SERVERS} |");
        }
        let _ = write!(text, "\n|---|{}\n", "---:|".repeat(sizes.len()));
        for (name, values) in &self.rows {
            let _ = writeln!(text, "| {name} | {} |", values.join(" | "));
        }
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
}

fn run(sizes: &[usize]) -> Outcomes<()> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cpus = std::thread::available_parallelism()?;
    let mut table = Table::default();
    for size in sizes {
        measure(*size, &mut table)?;
    }
    let _ = writeln!(std::io::stdout(), "Linux {}, {cpus} CPU(s); each service has {SERVERS} servers.", release.trim());
    table.print(sizes);
    Ok(())
}

fn measure(size: usize, table: &mut Table) -> Outcomes<()> {
    let text = topology(size);
    let saved = PathBuf::from(format!("/tmp/speed-{size}.ipvsadm"));
    let wanted = in_namespace(|| bare::write(size, PORTS, SERVERS))?;
    let (bare_write, bare_read) = (wanted.write, wanted.read);

    // The kernel counts the peak anew from here (proc(5), clear_refs).
    std::fs::write("/proc/self/clear_refs", "5")?;
    let ours = in_namespace(|| ours(&text, &saved))?;
    let (unwritten, written) = transactions(&text)?;
    let restored = in_namespace(|| timed(|| ipvsadm(&["-R"], Some(&saved), None)))?;
    // Last, since it takes the most memory by far.
    let (crate_alone, bare_parse) = took(|| KdlDocument::parse_v2(&text).map(|document| document.nodes().len()));
    crate_alone?;

    table.time("parse", ours.parse);
    table.time("check (decode, rules)", ours.check);
    table.time("compile", ours.compile);
    table.time("read, empty kernel", ours.read_empty);
    table.time("diff and order", ours.plan);
    table.time("a model of the kernel tries it", ours.model);
    table.time("**write**", ours.write);
    table.time("verify (read back, compare)", ours.verify);
    table.time("**apply from empty, all of the above**", ours.apply());
    table.time("**plan that finds nothing** (parse to diff)", ours.nothing);
    table.time("change one weight (plan excluded)", ours.one_weight);
    table.time("bare parse: the `kdl` crate alone", bare_parse);
    table.time("bare loop: the same messages", bare_write);
    table.time("bare loop: dump everything", bare_read);
    table.time("`ipvsadm -R`", restored);
    table.time("`ipvsadm -Sn`", ours.ipvsadm_save);
    table.ratio("write / bare loop (at most 1.5)", ours.write, bare_write);
    table.ratio("plan that finds nothing / (bare parse + bare dump) (at most 1.5)", ours.nothing, bare_parse + bare_read);
    table.ratio("plan that finds nothing / (our parse + bare dump)", ours.nothing, ours.parse + bare_read);
    table.ratio("`ipvsadm -R` / write", restored, ours.write);
    table.ratio("`ipvsadm -R` / apply from empty", restored, ours.apply());
    let apply = ours.apply();
    table.time("transaction without its records (write, verify; median of 5)", unwritten);
    table.time("ledger and journal (medians of 5)", written.saturating_sub(unwritten));
    table.ratio("apply with ledger and journal / without (at most 1.3)", apply + written.saturating_sub(unwritten), apply);
    let objects = u64::try_from(size * (SERVERS + 1))?;
    table.add("peak memory", format!("{} MiB", ours.peak / 1024));
    table.add("of it the file as a tree, while it is decoded", format!("{} MiB", ours.tree / 1024));
    table.add("the rest, an object (at most 1024)", format!("{} B", (ours.peak - ours.tree) * 1024 / objects));
    table.add("all of it, an object", format!("{} B", ours.peak * 1024 / objects));
    Ok(())
}

struct Ours {
    parse: Duration,
    check: Duration,
    compile: Duration,
    read_empty: Duration,
    plan: Duration,
    model: Duration,
    write: Duration,
    verify: Duration,
    nothing: Duration,
    one_weight: Duration,
    ipvsadm_save: Duration,
    /// KiB; what all of it took at most
    peak: u64,
    /// KiB; what parsing took
    tree: u64,
}

impl Ours {
    fn apply(&self) -> Duration {
        self.parse + self.check + self.compile + self.read_empty + self.plan + self.model + self.write + self.verify
    }
}

/// Everything that `lvsform apply` does, step by step, as the command does it.
fn ours(text: &str, saved: &Path) -> Outcomes<Ours> {
    let files = OneFile(text);
    let before = memory("VmRSS:")?;
    let (loaded, parse) = took(|| source::load(Path::new("speed.kdl"), &files));
    let tree = memory("VmHWM:")?.saturating_sub(before);
    let ((_sources, topology, problems), check) = took(|| lvsform::rules::examine(loaded));
    let topology = topology
        .filter(|_| problems.iter().all(|problem| problem.severity != Severity::Error))
        .ok_or_else(|| format!("the topology has problems: {problems:?}"))?;
    let host = topology.hosts.get("lb1").ok_or("no lb1")?;
    let (compiled, compile) = took(|| compile::compile(&topology, host));
    drop(topology); // as the command does
    let scope = Scope::of(&compiled.state);
    let mut kernel = Linux::open(None)?;
    let (observed, read_empty) = took(|| kernel.read(&scope));
    let make = |observed: &Observed| {
        Plan::make(
            target(),
            &Aim::from(&compiled.state),
            &compiled.names,
            observed,
            false,
            compiled.left_out.clone(),
            &compiled.elsewhere,
        )
    };
    let observed = observed?;
    let (plan, planned) = took(|| make(&observed));
    let (refused, model) = took(|| preflight::refused_by_model(&plan.phases, &observed));
    if !refused.is_empty() {
        return Err(format!("the model refuses {:?}", refused.first()).into());
    }
    let done = |outcomes: Vec<Outcome>| outcomes.iter().all(|outcome| *outcome == Outcome::Done);
    let (all_done, write) = took(|| plan.phases.iter().all(|phase| done(kernel.run(phase))));
    if !all_done {
        return Err("the kernel did not do everything".into());
    }
    drop(plan);
    let (left, verify) = took(|| kernel.read(&scope).map(|live| make(&live).changes.len()));
    if left? != 0 {
        return Err("the kernel does not hold what was applied".into());
    }
    let peak = memory("VmHWM:")?.saturating_sub(before);

    let (left, nothing) = took(|| plan_again(text, &mut kernel));
    if left? != 0 {
        return Err("a plan that should find nothing found something".into());
    }
    let live = kernel.read(&scope)?;
    let changed = topology_with_weight(text);
    let one_weight = one_weight(&changed, &live, &mut kernel)?;
    let ipvsadm_save = timed(|| ipvsadm(&["-Sn"], None, Some(saved)))?;
    Ok(Ours {
        parse,
        check,
        compile,
        read_empty,
        plan: planned,
        model,
        write,
        verify,
        nothing,
        one_weight,
        ipvsadm_save,
        peak,
        tree,
    })
}

/// All of `lvsform plan`.
fn plan_again(text: &str, kernel: &mut Linux) -> Outcomes<usize> {
    let loaded = source::load(Path::new("speed.kdl"), &OneFile(text));
    let topology = lvsform::rules::examine(loaded).1.ok_or("the topology has problems")?;
    let host = topology.hosts.get("lb1").ok_or("no lb1")?;
    let compiled = compile::compile(&topology, host);
    let observed = kernel.read(&Scope::of(&compiled.state))?;
    Ok(Plan::make(
        target(),
        &Aim::from(&compiled.state),
        &compiled.names,
        &observed,
        false,
        compiled.left_out,
        &compiled.elsewhere,
    )
    .changes
    .len())
}

/// The medians of transactions without records and with them. One of each says little: their difference is small beside what
/// a guest's time varies by.
fn transactions(text: &str) -> Outcomes<(Duration, Duration)> {
    const EACH: usize = 5;
    let mut all: [Vec<Duration>; 2] = Default::default();
    for round in 0..EACH {
        let records = std::env::temp_dir().join(format!("speed-records-{round}"));
        // Neither is always the first.
        for with_records in [round % 2 == 0, round % 2 != 0] {
            let records = Some(&*records).filter(|_| with_records);
            all[usize::from(with_records)].push(in_namespace(|| transaction(text, records))?);
        }
        std::fs::remove_dir_all(&records)?;
    }
    let [unwritten, written] = all.map(|mut times| {
        times.sort();
        times[EACH / 2]
    });
    Ok((unwritten, written))
}

/// The transaction alone, from an empty kernel: with its records, or without.
fn transaction(text: &str, records: Option<&Path>) -> Outcomes<Duration> {
    let loaded = source::load(Path::new("speed.kdl"), &OneFile(text));
    let topology = lvsform::rules::examine(loaded).1.ok_or("the topology has problems")?;
    let host = topology.hosts.get("lb1").ok_or("no lb1")?;
    let compiled = compile::compile(&topology, host);
    let mut kernel = Linux::open(None)?;
    let observed = kernel.read(&Scope::of(&compiled.state))?;
    let aim = Aim::from(&compiled.state);
    let plan = Plan::make(target(), &aim, &compiled.names, &observed, false, Vec::new(), &compiled.elsewhere);
    let phases = plan.phases;
    let mut store = records.map(|folder| Store::open(folder, "bench")).transpose()?;
    let (ended, took) = took(|| {
        let records = store.as_mut().map(|store| records_of(store, &compiled, &observed));
        txn::run(&mut kernel, Run { aim: &aim, exclusive: false, observed: &observed, phases, records, signs: Signs::default() })
    });
    if matches!(ended, Ended::Applied) { Ok(took) } else { Err(format!("{ended:?}").into()) }
}

fn records_of<'a>(store: &'a mut Store, compiled: &compile::Compiled, observed: &Observed) -> Records<'a> {
    let instance = Instance { boot: String::new(), cookie: 0 };
    let (transaction, topology, host) = (history::transaction(), "speed".to_owned(), "lb1".to_owned());
    let name = |key: &Key| compiled.names.get(key).map(|provenance| provenance.name.to_string()).unwrap_or_default();
    let next = Ledger {
        topology: topology.clone(),
        host: host.clone(),
        instance: instance.clone(),
        transaction: transaction.clone(),
        at: 0,
        by: String::new(),
        sources: String::new(),
        exclusive: false,
        protect: BTreeSet::new(),
        entries: Claims::default().entries(&compiled.state, name, observed),
        debts: BTreeMap::new(),
        former: None,
        pending: None,
    };
    Records { store, transaction, topology, host, instance, next: Some(next), former: None }
}

fn one_weight(text: &str, live: &Observed, kernel: &mut Linux) -> Outcomes<Duration> {
    let loaded = source::load(Path::new("speed.kdl"), &OneFile(text));
    let topology = decode(loaded.tree).0.ok_or("the topology has problems")?;
    let host = topology.hosts.get("lb1").ok_or("no lb1")?;
    let compiled = compile::compile(&topology, host);
    let plan =
        Plan::make(target(), &Aim::from(&compiled.state), &compiled.names, live, false, compiled.left_out, &compiled.elsewhere);
    if plan.phases.len() != 1 || plan.phases.iter().any(|phase| phase.steps.len() != 1) {
        return Err("one changed weight must be one write".into());
    }
    Ok(took(|| plan.phases.iter().for_each(|phase| drop(kernel.run(phase)))).1)
}

fn target() -> Target {
    let words = ["speed", "speed.kdl", "lb1", "director"].map(str::to_owned);
    let [topology, file, host, role] = words;
    Target { topology, file, host, role }
}

/// The topology of the bench: every service has a port of a VIP and ten servers of its own.
fn topology(size: usize) -> String {
    let mut text = String::from("topology \"speed\"\ndirector \"lb1\" {\n    interface \"eth0\" address=\"10.0.0.2/24\"\n}\n");
    for vip in 0..size.div_ceil(PORTS) {
        let _ = writeln!(text, "vip \"v{vip}\" address=\"{}\" managed=#false", bare::vip(vip));
    }
    for service in 0..size {
        let _ = writeln!(text, "service \"s{service}\" scheduler=\"wrr\" forward=\"dr\" {{");
        let _ = writeln!(text, "    listen vip=\"v{}\" port={}", service / PORTS, 1_000 + service % PORTS);
        for server in 0..SERVERS {
            let _ = writeln!(text, "    server \"{}\" weight=100", bare::server(server));
        }
        text.push_str("}\n");
    }
    text
}

/// The same with another weight for the last server of the last service.
fn topology_with_weight(text: &str) -> String {
    match text.rfind("weight=100") {
        Some(at) => format!("{}weight=101{}", &text[..at], &text[at + "weight=100".len()..]),
        None => text.to_owned(),
    }
}

/// A topology that is one text.
struct OneFile<'t>(&'t str);

impl Files for OneFile<'_> {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        Ok(Included { identity: path.to_owned(), text: self.0.to_owned() })
    }

    fn included(&self, _: &Path, _: &Path) -> Result<Included, Unreadable> {
        Err(Unreadable::Missing)
    }

    fn matching(&self, _: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        Ok(Vec::new())
    }
}

/// Runs `work` in a network namespace of its own, with `lo` up once: before that the kernel takes no destination.
fn in_namespace<T: Send>(work: impl FnOnce() -> Outcomes<T> + Send) -> Outcomes<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
            let status = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
            if status.success() { work() } else { Err("ip link set lo up failed".into()) }
        });
        thread.join().unwrap_or_else(|_| Err("a measurement panicked".into()))
    })
}

fn ipvsadm(arguments: &[&str], input: Option<&Path>, output: Option<&Path>) -> Outcomes<()> {
    let mut command = Command::new("ipvsadm");
    command.args(arguments);
    command.stdin(match input {
        Some(path) => Stdio::from(std::fs::File::open(path)?),
        None => Stdio::null(),
    });
    if let Some(path) = output {
        command.stdout(std::fs::File::create(path)?);
    }
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("ipvsadm {arguments:?}: {status}").into()) }
}

fn took<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = work();
    (value, start.elapsed())
}

fn timed(work: impl FnOnce() -> Outcomes<()>) -> Outcomes<Duration> {
    let (result, time) = took(work);
    result.map(|()| time)
}

/// The memory of this process in KiB: `VmRSS:` now, `VmHWM:` the most since it was last cleared.
fn memory(what: &str) -> Outcomes<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).ok_or("no such line")?;
    Ok(line.split_whitespace().next().ok_or("no number")?.parse()?)
}
