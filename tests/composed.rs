//! Mistakes inside composed values: each case of `golden/composed` is refused with the messages of its text, in KDL and in TOML,
//! and each message shows where the value came from and where it holds. `UPDATE_GOLDEN=1` rewrites them.
#![expect(clippy::disallowed_methods, reason = "a test reads and writes its own files")]

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use lvsform::cli::files::{DiskFiles, With};
use lvsform::compose::expand::expand;
use lvsform::rules::examine;
use lvsform::source::problem::{Style, render};
use lvsform::source::{Files, Included, Inputs, Severity, Spelling, Unreadable, load};
use lvsform::spelling::convert::convert;
use lvsform::topology::Role;

fn main() {
    let folders = fs::read_dir("golden/composed").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = folders.collect();
    folders.sort();
    assert!(folders.len() > 30, "golden/composed is not there");
    let mut trials: Vec<Trial> = folders.into_iter().map(case).collect();
    trials.extend(EXAMPLES.map(|(name, overlays)| Trial::test(format!("examples/{name}"), move || example(name, overlays))));
    let stages = [None, Some("staging"), Some("production")];
    trials.extend(stages.map(|stage| Trial::test(format!("fleet/{}", stage.unwrap_or("test")), move || fleet(stage))));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The composed form of each example, with its overlays.
const EXAMPLES: [(&str, &[&str]); 4] = [
    ("flash-sale", &["examples/composed/smaller.kdl"]),
    ("game", &[]),
    ("cdn", &[]),
    ("api-gateway", &["examples/composed/production.toml"]),
];

fn composed(file: &str, overlays: &[&str]) -> With<DiskFiles> {
    assert!(Path::new(file).exists(), "{file}");
    let overlays = overlays.iter().map(PathBuf::from).collect();
    With { files: DiskFiles, inputs: Inputs { overlays, ..Inputs::default() } }
}

/// What a file is, in which nothing may be wrong.
fn plain(file: &Path, files: &dyn Files) -> Result<String, Failed> {
    let (sources, topology, problems) = examine(load(file, files));
    let text = render(&problems, &sources, Style { colour: false, width: 120 });
    if problems.is_empty() { Ok(topology.ok_or("no topology")?.plain()) } else { Err(text.into()) }
}

/// A composed example comes to the example, and so does what `expand` prints of it, in both spellings.
fn example(name: &str, overlays: &[&str]) -> Result<(), Failed> {
    let file = format!("examples/composed/{name}.kdl");
    let files = composed(&file, overlays);
    let wanted = plain(Path::new(&format!("examples/{name}.kdl")), &DiskFiles)?;
    equal(&wanted, &plain(Path::new(&file), &files)?)?;
    for spelling in [Spelling::Kdl, Spelling::Toml] {
        let text = expand(load(Path::new(&file), &files), spelling).map_err(|loaded| format!("{:?}", loaded.problems))?;
        let folder = nix::unistd::mkdtemp(&std::env::temp_dir().join("lvsform-test-XXXXXX"))?;
        let path = folder.join(if spelling == Spelling::Kdl { "expanded.kdl" } else { "expanded.toml" });
        fs::write(&path, &text)?;
        let expanded = plain(&path, &DiskFiles);
        fs::remove_dir_all(&folder)?;
        equal(&wanted, &expanded?)?;
    }
    Ok(())
}

fn equal(wanted: &str, found: &str) -> Result<(), Failed> {
    let difference = similar::TextDiff::from_lines(wanted, found).unified_diff().header("wanted", "found").to_string();
    if wanted == found { Ok(()) } else { Err(difference.into()) }
}

/// The fleet is valid on every stage, and short.
fn fleet(stage: Option<&str>) -> Result<(), Failed> {
    let overlay = stage.map(|stage| format!("examples/fleet/{stage}.kdl"));
    let file = "examples/fleet/fleet.kdl";
    let (sources, topology, problems) = examine(load(Path::new(file), &composed(file, overlay.as_deref().as_slice())));
    let text = render(&problems, &sources, Style { colour: false, width: 120 });
    let topology = topology.filter(|_| problems.is_empty()).ok_or(text)?;
    let of = |role| topology.hosts.values().filter(|host| host.role == role).count();
    assert_eq!((of(Role::Director), of(Role::RealServer)), (12, 120));
    let lines: usize = fs::read_dir("examples/fleet")?
        .map(|entry| entry.and_then(|entry| fs::read_to_string(entry.path())).map_or(0, |text| text.lines().count()))
        .sum();
    assert!(lines < 200, "{lines} lines");
    Ok(())
}

fn case(folder: PathBuf) -> Trial {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Trial::test(name.clone(), move || {
        let mut all = String::new();
        for spelling in [Spelling::Kdl, Spelling::Toml] {
            let (text, places) = said(&folder, spelling)?;
            all += &text;
            if places < 2 {
                return Err(format!("only one place is shown:\n{text}").into());
            }
        }
        let path = folder.join("said.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            return Ok(fs::write(path, all)?);
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        let difference = similar::TextDiff::from_lines(&expected, &all).unified_diff().header("expected", "said").to_string();
        if expected == all { Ok(()) } else { Err(difference.into()) }
    })
}

/// What is said of a case in a spelling, and how many places each problem shows at least.
fn said(folder: &Path, spelling: Spelling) -> Result<(String, usize), Failed> {
    let there = |name: &str| folder.join(format!("{name}.kdl")).exists();
    let named = |name: &str| -> PathBuf {
        match spelling {
            Spelling::Kdl => format!("{name}.kdl").into(),
            Spelling::Toml => format!("{name}.toml").into(),
        }
    };
    let of = |name: &str| if there(name) { vec![named(name)] } else { Vec::new() };
    let variables = fs::read_to_string(folder.join("var")).unwrap_or_default();
    let inputs = Inputs {
        overlays: of("overlay"),
        variable_files: of("values"),
        variables: variables.lines().map(str::to_owned).collect(),
    };
    let files = InFolder { folder: folder.to_owned(), inputs };
    let (sources, _, problems) = examine(load(&named("base"), &files));
    if problems.iter().all(|problem| problem.severity != Severity::Error) {
        return Err("nothing is refused".into());
    }
    let places = problems.iter().map(|problem| problem.labels.len()).min().unwrap_or_default();
    Ok((render(&problems, &sources, Style { colour: false, width: 120 }), places))
}

/// The files of a case; a file in TOML is what the one in KDL is converted to.
struct InFolder {
    folder: PathBuf,
    inputs: Inputs,
}

impl Files for InFolder {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        // What is misshapen cannot be converted: it is written twice.
        if let Ok(text) = fs::read_to_string(self.folder.join(path)) {
            return Ok(Included { identity: path.to_owned(), text });
        }
        let kdl = path.with_extension("kdl");
        let text = fs::read_to_string(self.folder.join(&kdl)).map_err(|_| Unreadable::Missing)?;
        let text = match Spelling::of(path) {
            Some(Spelling::Toml) if path == Path::new("values.toml") => text.replacen(' ', " = ", 1),
            Some(Spelling::Toml) => convert(&kdl, Spelling::Kdl, &text, Spelling::Toml).map_err(|loaded| {
                let style = Style { colour: false, width: 120 };
                Unreadable::Io(render(&loaded.problems, &loaded.sources, style))
            })?,
            _ => text,
        };
        Ok(Included { identity: path.to_owned(), text })
    }

    fn included(&self, _: &Path, _: &Path) -> Result<Included, Unreadable> {
        Err(Unreadable::Missing)
    }

    fn matching(&self, _: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        Ok(Vec::new())
    }

    fn inputs(&self) -> Inputs {
        self.inputs.clone()
    }

    fn environment(&self, name: &str) -> Option<String> {
        (name == "LVSFORM_GOLDEN_NET").then(|| "10.0".to_owned())
    }
}
