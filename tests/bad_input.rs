//! Bad input: each file of `golden/bad` is refused with the messages of the text beside it, and the bad example of each code
//! of the catalogue with those of its text in `golden/rules`. `UPDATE_GOLDEN=1` rewrites them.
//!
//! What cannot lie in a repository (a FIFO, 50 MB, 10,000 levels, bytes that are no text) is made in a temporary folder.
#![expect(clippy::disallowed_methods, reason = "a test reads and writes its own files")]

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use lvsform::catalogue::{self, Example, Level, Page};
use lvsform::cli::files::DiskFiles;
use lvsform::rules::{Asked, Kernel, examine, examine_as};
use lvsform::source::problem::{Style, render};
use lvsform::source::{Problem, Severity, Sources, load};

fn main() {
    let mut trials: Vec<Trial> = files(Path::new("golden/bad")).into_iter().map(of_file).collect();
    trials.extend(catalogue::pages().map(of_page));
    trials.extend(SPECIAL.iter().map(|(name, make)| Trial::test(*name, move || special(name, *make))));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The topologies of a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|spelling| spelling == "kdl" || spelling == "toml")).collect();
    files.sort();
    files
}

fn of_file(path: PathBuf) -> Trial {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Trial::test(name.clone(), move || compare(&Path::new("golden/bad").join(format!("{name}.txt")), &shown(&path)?))
}

/// Codes that no text of reasonable length shows, or none at all; most of them are in `golden/bad`.
const WITHOUT_EXAMPLE: [&str; 9] = [
    "file",
    "too-many-files",
    "too-large",
    "control-character",
    "topology-outside-root",
    "one-object-twice",
    "not-there",
    "already-there",
    "vip-elsewhere",
];

/// The bad example of a code says that code and no other, in the words of its text; of the good one there is nothing to say.
fn of_page(page: &'static Page) -> Trial {
    Trial::test(page.heading(), move || {
        if WITHOUT_EXAMPLE.contains(&page.name) {
            return if page.bad.text.is_empty() { Ok(()) } else { Err("this has an example".into()) };
        }
        let (sources, problems) = of_example(page, &page.bad)?;
        let severity = if page.level == Level::Error { Severity::Error } else { Severity::Warning };
        let text = render(&problems, &sources, Style { colour: false, width: 120 });
        if problems.is_empty() || problems.iter().any(|problem| problem.code != page.name || problem.severity != severity) {
            return Err(format!("the bad example says\n{text}").into());
        }
        let (sources, problems) = of_example(page, &page.good)?;
        if !problems.is_empty() {
            let text = render(&problems, &sources, Style { colour: false, width: 120 });
            return Err(format!("the good example says\n{text}").into());
        }
        compare(
            &Path::new("golden/rules").join(format!("{}.txt", page.code)),
            &text.replace(&*folder(page).to_string_lossy(), "DIR"),
        )
    })
}

/// Where a page's examples lie while they are read.
fn folder(page: &Page) -> PathBuf {
    std::env::temp_dir().join(format!("lvsform-page-{}-{}", std::process::id(), page.code))
}

/// What `check` finds in an example, in a folder of its own.
fn of_example(page: &Page, example: &Example) -> Result<(Sources, Vec<Problem>), Failed> {
    let dir = folder(page);
    let name = format!("example.{}", example.spelling());
    fs::create_dir_all(&dir)?;
    let asked = Asked { kernel: page.target.and_then(Kernel::parse), ..Asked::default() };
    let read = fs::write(dir.join(&name), example.whole()).map(|()| examine_as(load(&dir.join(&name), &DiskFiles), &asked));
    fs::remove_dir_all(&dir)?;
    let (sources, topology, mut problems) = read?;
    if let Some(topology) = topology.filter(|_| problems.iter().all(|problem| problem.severity == Severity::Warning)) {
        problems.extend(lvsform::compile::problems(&topology));
        problems.extend(lvsform::expect::problems(&topology, &sources));
    }
    // Its folder is nobody's business.
    let mut plain = Sources::default();
    for file in sources.files() {
        plain.add(file.path.file_name().unwrap_or_default().into(), file.text.clone());
    }
    Ok((plain, problems))
}

/// What an operator sees; never nothing, and never an error without a place.
fn shown(path: &Path) -> Result<String, Failed> {
    let (sources, _, problems) = examine(load(path, &DiskFiles));
    let warned = path.to_string_lossy().contains("warning-");
    let expected = if warned { Severity::Warning } else { Severity::Error };
    if !problems.iter().any(|problem| problem.severity == expected) {
        return Err("nothing is refused".into());
    }
    if let Some(lost) = problems.iter().find(|problem| problem.labels.is_empty() && !sources.files().is_empty()) {
        return Err(format!("no place: {}", lost.message).into());
    }
    Ok(render(&problems, &sources, Style { colour: false, width: 120 }))
}

fn compare(golden: &Path, shown: &str) -> Result<(), Failed> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return Ok(fs::write(golden, shown)?);
    }
    let expected = fs::read_to_string(golden).unwrap_or_default();
    if expected == shown {
        return Ok(());
    }
    let difference = similar::TextDiff::from_lines(expected.as_str(), shown).unified_diff().header("golden", "shown").to_string();
    Err(format!("{}\n{difference}", golden.display()).into())
}

type Make = fn(&Path) -> std::io::Result<&'static str>;

/// Makes a topology in an empty folder and gives its name.
const SPECIAL: &[(&str, Make)] = &[
    ("empty", |dir| fs::write(dir.join("empty.kdl"), "").map(|()| "empty.kdl")),
    ("only-comments", |dir| fs::write(dir.join("empty.toml"), "# later\n").map(|()| "empty.toml")),
    ("not-there", |_| Ok("nothing.kdl")),
    ("other-extension", |dir| fs::write(dir.join("a.yaml"), "").map(|()| "a.yaml")),
    ("directory", |dir| fs::create_dir(dir.join("a.kdl")).map(|()| "a.kdl")),
    ("fifo", |dir| fifo(&dir.join("a.kdl")).map(|()| "a.kdl")),
    ("include-fifo", |dir| {
        fifo(&dir.join("b.kdl"))?;
        fs::write(dir.join("a.kdl"), "topology \"t\"\ninclude \"b.kdl\"\n").map(|()| "a.kdl")
    }),
    ("not-utf8", |dir| fs::write(dir.join("a.toml"), b"topology = \"t\"\n# caf\xe9\n").map(|()| "a.toml")),
    ("large", |dir| fs::write(dir.join("a.kdl"), "// ballast\n".repeat(5_000_000)).map(|()| "a.kdl")),
    ("deep-kdl", |dir| {
        fs::write(dir.join("a.kdl"), format!("topology \"t\"\n{}{}", "a {".repeat(10_000), "}".repeat(10_000))).map(|()| "a.kdl")
    }),
    ("deep-toml", |dir| {
        fs::write(dir.join("a.toml"), format!("a = {}{}\n", "[".repeat(10_000), "]".repeat(10_000))).map(|()| "a.toml")
    }),
    ("deep-toml-key", |dir| fs::write(dir.join("a.toml"), format!("a{} = 1\n", ".a".repeat(10_000))).map(|()| "a.toml")),
    ("include-outside-by-link", |dir| {
        fs::create_dir(dir.join("in"))?;
        fs::write(dir.join("secret.kdl"), "password \"hunter2\"\n")?;
        std::os::unix::fs::symlink("../secret.kdl", dir.join("in/b.kdl"))?;
        fs::write(dir.join("in/a.kdl"), "topology \"t\"\ninclude \"b.kdl\"\n").map(|()| "in/a.kdl")
    }),
];

fn fifo(path: &Path) -> std::io::Result<()> {
    Ok(nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU)?)
}

fn special(name: &str, make: Make) -> Result<(), Failed> {
    let dir = std::env::temp_dir().join(format!("lvsform-bad-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let shown = make(&dir).map_err(Failed::from).and_then(|file| shown(&dir.join(file)));
    fs::remove_dir_all(&dir)?;
    let shown = shown?.replace(&*dir.to_string_lossy(), "DIR");
    if shown.contains("hunter2") {
        return Err("a file outside is shown".into());
    }
    compare(&Path::new("golden/bad").join(format!("{name}.special.txt")), &shown)
}
