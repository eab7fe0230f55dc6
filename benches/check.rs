//! Where the time of `lvsform check` goes, beside the parsers alone: no kernel, no root.
//!
//! `cargo bench --profile lab --bench check [-- SERVICES…]`. Each time is the median of five; ratios are of one run.

#![expect(clippy::disallowed_methods, reason = "a bench has a clock, files and programs of its own")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lvsform::source::{self, Files, Included, Severity, Unreadable};
use lvsform::{rules, topology};

type Outcomes<T> = Result<T, Box<dyn std::error::Error>>;

/// Servers of each service.
const SERVERS: usize = 10;
/// Services of one VIP.
const PORTS: usize = 1_000;
/// Files of a topology in parts.
const PARTS: usize = 10;
const ROUNDS: usize = 5;

fn main() -> Outcomes<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000];
    }
    let cpus = std::thread::available_parallelism()?;
    writeln!(std::io::stdout(), "{cpus} CPU(s); each service has {SERVERS} servers; medians of {ROUNDS}.")?;
    for size in sizes {
        measure(size)?;
    }
    Ok(())
}

fn measure(size: usize) -> Outcomes<()> {
    let folder = std::env::temp_dir().join(format!("lvsform-check-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (kdl, toml) = (whole(size, Spelling::Kdl), whole(size, Spelling::Toml));
    let file = folder.join("whole.kdl");
    std::fs::write(&file, &kdl)?;
    let in_parts = parts(size);

    let mut table = Table::default();
    let crate_alone = median(|| timed(|| kdl::KdlDocument::parse_v2(&kdl).map(|document| document.nodes().len())))?;
    let parse = median(|| Ok(timed_ok(|| source::load(Path::new("a.kdl"), &InMemory::one("a.kdl", &kdl)))))?;
    let decode = median(|| {
        let loaded = source::load(Path::new("a.kdl"), &InMemory::one("a.kdl", &kdl));
        Ok(timed_ok(|| topology::decode(loaded.tree)))
    })?;
    let check = median(|| check(Path::new("a.kdl"), &InMemory::one("a.kdl", &kdl)))?;
    let parts = median(|| Ok(timed_ok(|| source::load(Path::new("root.kdl"), &in_parts))))?;
    let parts_check = median(|| self::check(Path::new("root.kdl"), &in_parts))?;
    let toml_alone = median(|| timed(|| toml::from_str::<toml::Table>(&toml).map(|table| table.len())))?;
    let toml_check = median(|| self::check(Path::new("a.toml"), &InMemory::one("a.toml", &toml)))?;
    let process = median(|| {
        timed(|| {
            let status = Command::new(env!("CARGO_BIN_EXE_lvsform")).arg("check").arg(&file).stdout(Stdio::null()).status()?;
            if status.success() { Ok(()) } else { Err(std::io::Error::other(status.to_string())) }
        })
    })?;
    std::fs::remove_dir_all(&folder)?;

    table.time("KDL: the `kdl` crate alone", crate_alone);
    table.time("KDL: parse", parse);
    table.time("decode", decode);
    table.time("rules", check.saturating_sub(parse + decode));
    table.time("parse, decode, rules", check);
    table.time("the same in ten included files: parse", parts);
    table.time("the same in ten included files: parse, decode, rules", parts_check);
    table.time("**the process `lvsform check`**, which compiles each host, too", process);
    table.time("TOML: the `toml` crate alone", toml_alone);
    table.time("TOML: parse, decode, rules", toml_check);
    table.ratio("KDL: the process / the crate's parse alone (at most 1.2)", process, crate_alone);
    table.ratio("KDL: our parse / the crate's (at most 1)", parse, crate_alone);
    table.ratio("KDL: the process / our parse", process, parse);
    table.ratio("KDL: our parse of ten files / of one", parts, parse);
    table.ratio("TOML: parse, decode, rules / the crate's parse alone", toml_check, toml_alone);
    writeln!(std::io::stdout(), "\n| | {size} x {SERVERS} |\n|---|---:|\n{}", table.0)?;
    Ok(())
}

/// Parse, decode and rules.
fn check(path: &Path, files: &InMemory) -> Outcomes<Duration> {
    let start = Instant::now();
    let (_sources, topology, problems) = rules::examine(source::load(path, files));
    let took = start.elapsed();
    if topology.is_none() || problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(format!("the topology has problems: {:?}", problems.first()).into());
    }
    Ok(took)
}

fn median(work: impl Fn() -> Outcomes<Duration>) -> Outcomes<Duration> {
    let mut times = (0..ROUNDS).map(|_| work()).collect::<Outcomes<Vec<_>>>()?;
    times.sort();
    times.get(ROUNDS / 2).copied().ok_or_else(|| "no round".into())
}

fn timed<T, E: std::error::Error + 'static>(work: impl FnOnce() -> Result<T, E>) -> Outcomes<Duration> {
    let start = Instant::now();
    let result = work();
    let took = start.elapsed();
    result?;
    Ok(took)
}

fn timed_ok<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    let _value = work();
    start.elapsed()
}

#[derive(Clone, Copy)]
enum Spelling {
    Kdl,
    Toml,
}

fn whole(size: usize, spelling: Spelling) -> String {
    let mut text = head(size, spelling);
    services(0..size, spelling, &mut text);
    text
}

fn head(size: usize, spelling: Spelling) -> String {
    let mut text = match spelling {
        Spelling::Kdl => "topology \"check\"\ndirector \"lb1\" {\n    interface \"eth0\" address=\"10.0.0.2/24\"\n}\n".to_owned(),
        Spelling::Toml => {
            "topology = \"check\"\n[director.lb1]\n[director.lb1.interface.eth0]\naddress = \"10.0.0.2/24\"\n".to_owned()
        }
    };
    for vip in 0..size.div_ceil(PORTS) {
        let address = format!("10.1.{}.{}", vip / 250, 1 + vip % 250);
        let _ = match spelling {
            Spelling::Kdl => writeln!(text, "vip \"v{vip}\" address=\"{address}\" managed=#false"),
            Spelling::Toml => writeln!(text, "[vip.v{vip}]\naddress = \"{address}\"\nmanaged = false"),
        };
    }
    text
}

fn services(numbers: std::ops::Range<usize>, spelling: Spelling, text: &mut String) {
    for service in numbers {
        let (vip, port) = (service / PORTS, 1_000 + service % PORTS);
        let _ = match spelling {
            Spelling::Kdl => writeln!(
                text,
                "service \"s{service}\" scheduler=\"wrr\" forward=\"dr\" {{\n    listen vip=\"v{vip}\" port={port}"
            ),
            Spelling::Toml => writeln!(
                text,
                "[service.s{service}]\nscheduler = \"wrr\"\nforward = \"dr\"\nlisten = [{{ vip = \"v{vip}\", port = {port} }}]"
            ),
        };
        for server in 0..SERVERS {
            let address = format!("10.0.0.{}", 10 + server);
            let _ = match spelling {
                Spelling::Kdl => writeln!(text, "    server \"{address}\" weight=100"),
                Spelling::Toml => writeln!(text, "[service.s{service}.server.\"{address}\"]\nweight = 100"),
            };
        }
        if let Spelling::Kdl = spelling {
            text.push_str("}\n");
        }
    }
}

/// A root, and its services in files of equal size.
fn parts(size: usize) -> InMemory {
    let mut root = head(size, Spelling::Kdl);
    root.push_str("include \"part-*.kdl\"\n");
    let mut files = vec![("root.kdl".to_owned(), root)];
    for part in 0..PARTS {
        let mut text = String::new();
        services(part * size / PARTS..(part + 1) * size / PARTS, Spelling::Kdl, &mut text);
        files.push((format!("part-{part}.kdl"), text));
    }
    InMemory(files)
}

/// Files in memory; its only pattern is `part-*`.
struct InMemory(Vec<(String, String)>);

impl InMemory {
    fn one(name: &str, text: &str) -> InMemory {
        InMemory(vec![(name.to_owned(), text.to_owned())])
    }
}

impl Files for InMemory {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        let (_, text) = self.0.iter().find(|(name, _)| Path::new(name) == path).ok_or(Unreadable::Missing)?;
        Ok(Included { identity: path.to_owned(), text: text.clone() })
    }

    fn included(&self, _: &Path, path: &Path) -> Result<Included, Unreadable> {
        self.root(path)
    }

    fn matching(&self, _: &Path) -> Result<Vec<std::path::PathBuf>, Unreadable> {
        Ok(self.0.iter().filter(|(name, _)| name.starts_with("part-")).map(|(name, _)| name.into()).collect())
    }
}

/// Rows as Markdown.
#[derive(Default)]
struct Table(String);

impl Table {
    fn time(&mut self, name: &str, time: Duration) {
        let _ = writeln!(self.0, "| {name} | {:.3} s |", time.as_secs_f64());
    }

    fn ratio(&mut self, name: &str, time: Duration, beside: Duration) {
        let _ = writeln!(self.0, "| {name} | {:.2} |", time.as_secs_f64() / beside.as_secs_f64());
    }
}
