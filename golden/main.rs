//! Golden cases: what people and machines read, held against files that were read and found right.
//!
//! `golden/plan/CASE/` has what is wanted (`wanted.json`) and what is there (`live.json`), and what must come of it: the
//! text (`plan.txt`), the document (`plan.json`) and what the model of the kernel holds afterwards (`after.json`).
//! `UPDATE_GOLDEN=1 cargo test --test golden` writes the files that must come of it; read them before you commit them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use lvsform::kernel::fake::Fake;
use lvsform::kernel::{Kernel, Outcome};
use lvsform::plan::digest::digest;
use lvsform::plan::policy::Policy;
use lvsform::plan::{Aim, Plan, Target};
use lvsform::provenance::{Elsewhere, LeftOut, Names, Provenance};
use lvsform::report;
use lvsform::source::{Origin, Sources, Span};
use lvsform::state::{Key, Observed, Scope, State};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use similar::TextDiff;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/plan");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&root)
        .expect("golden/plan is a folder")
        .map(|entry| entry.expect("an entry of golden/plan can be read").path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    let trials = cases.into_iter().map(|folder| {
        let name = format!("plan::{}", folder.file_name().unwrap_or_default().to_string_lossy());
        Trial::test(name, move || plan_case(&folder))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

fn plan_case(folder: &Path) -> Result<(), Failed> {
    let case = Case::read(folder)?;
    let observed: Observed = json(&folder.join("live.json"))?;
    let plan = case.plan(&observed);
    let style = report::text::Style { colour: false, width: 120, verbose: false };
    let digest = digest(&plan, &Aim::from(&case.wanted), case.exclusive, &Policy::default());
    let document = serde_json::to_value(report::json::plan(&plan, &case.sources, &digest))?;
    let judge =
        jsonschema::validator_for(&report::json::schema_of::<report::json::Document>()).map_err(|error| error.to_string())?;
    if let Err(error) = judge.validate(&document) {
        return Err(format!("plan.json does not follow its own schema: {error}").into());
    }
    expect(&folder.join("plan.txt"), &report::text::plan(&plan, &case.sources, style))?;
    expect(&folder.join("plan.json"), &pretty(&document)?)?;
    expect(&folder.join("after.json"), &pretty(&carried_out(&plan, &case, observed)?)?)
}

/// What the model holds when the plan has been carried out; the next plan must find nothing to do.
fn carried_out(plan: &Plan, case: &Case, observed: Observed) -> Result<Observed, Failed> {
    let mut kernel = Fake::from(observed);
    for phase in &plan.phases {
        for (step, outcome) in phase.steps.iter().zip(kernel.run(phase)) {
            if outcome != Outcome::Done {
                return Err(format!("{}: {outcome:?}", step.key).into());
            }
        }
    }
    let after = kernel.read(&Scope::of(&case.wanted))?;
    let again = case.plan(&after);
    if again.is_empty() { Ok(after) } else { Err(format!("a second plan is not empty: {:#?}", again.changes).into()) }
}

/// `wanted.json`
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    topology: Option<String>,
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    exclusive: bool,
    wanted: State,
    /// By key: the name, and the line that it stands in, or why it is implied there.
    #[serde(default)]
    names: BTreeMap<Key, (String, u32, Option<String>)>,
    /// The text, and the line.
    #[serde(default)]
    left_out: Vec<(String, u32)>,
    /// The directors that are to have each VIP.
    #[serde(default)]
    holders: BTreeMap<IpAddr, Vec<String>>,
}

struct Case {
    target: Target,
    exclusive: bool,
    wanted: State,
    names: Names,
    left_out: Vec<LeftOut>,
    elsewhere: Elsewhere,
    sources: Sources,
}

/// So many lines has the file that the places of a case point into.
const LINES: u32 = 200;

impl Case {
    fn read(folder: &Path) -> Result<Case, Failed> {
        let written: Written = json(&folder.join("wanted.json"))?;
        let file = written.file.unwrap_or_else(|| "flash-sale.kdl".to_owned());
        let mut sources = Sources::default();
        let id = sources.add(PathBuf::from(&file), "\n".repeat(LINES as usize));
        let span = |line: u32| Span { file: id, start: line.saturating_sub(1), end: line.saturating_sub(1) };
        let names = written.names.into_iter().map(|(key, (name, line, implied))| {
            let implied = implied.map(|reason| &*reason.leak());
            (key, Provenance { name: name.into(), origin: Origin::Text(span(line)), implied, fields: None })
        });
        let topology = written.topology.unwrap_or_else(|| "flash-sale".to_owned());
        let of = |(address, hosts): (IpAddr, Vec<String>)| (address, hosts.into_iter().map(Into::into).collect());
        let holders = written.holders.into_iter().map(of).collect();
        Ok(Case {
            elsewhere: Elsewhere { holders, mark: format!("lvsform:{topology}") },
            target: Target {
                topology,
                file,
                host: written.host.unwrap_or_else(|| "lb1".to_owned()),
                role: "director".to_owned(),
            },
            exclusive: written.exclusive,
            wanted: written.wanted,
            names: names.collect(),
            left_out: written.left_out.into_iter().map(|(text, line)| LeftOut { text, span: Some(span(line)) }).collect(),
            sources,
        })
    }

    fn plan(&self, observed: &Observed) -> Plan {
        Plan::make(
            self.target.clone(),
            &Aim::from(&self.wanted),
            &self.names,
            observed,
            self.exclusive,
            self.left_out.clone(),
            &self.elsewhere,
        )
    }
}

#[expect(clippy::disallowed_methods, reason = "tests read their own files")]
fn json<T: DeserializeOwned>(path: &Path) -> Result<T, Failed> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn pretty<T: serde::Serialize>(value: &T) -> Result<String, Failed> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

#[expect(clippy::disallowed_methods, reason = "tests read, and when asked to write, their own files")]
fn expect(path: &Path, actual: &str) -> Result<(), Failed> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return Ok(std::fs::write(path, actual)?);
    }
    let expected = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if expected == actual {
        return Ok(());
    }
    let mut message = format!("{} (- the file, + what came)\n", path.display());
    let diff = TextDiff::from_lines(expected.as_str(), actual);
    _ = write!(message, "{}", diff.unified_diff().context_radius(3));
    Err(message.into())
}
