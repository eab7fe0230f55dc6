//! What the fuzz targets must hold, for their corpus, for everything that they ever found, and for this package's own files.
#![expect(clippy::disallowed_methods, reason = "a test reads this package's own files")]

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Trial};

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the library of another package")]
mod fuzz;

/// Texts that every target of topologies sees beside its corpus.
const TEXTS: [&str; 4] = ["examples", "golden/bad", "golden/fmt", "golden/readme"];

fn main() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut trials = Vec::new();
    for (target, body) in fuzz::TARGETS {
        let mut folders = vec![package.join("fuzz/corpus").join(target), package.join("fuzz/found").join(target)];
        if ["kdl", "toml", "fmt"].contains(&target) {
            folders.extend(TEXTS.map(|folder| package.join(folder)));
        }
        assert!(!files(&folders[0]).is_empty(), "{target} has a corpus");
        for path in folders.iter().flat_map(|folder| files(folder)) {
            let name = path.strip_prefix(package).unwrap_or(&path).display();
            trials.push(Trial::test(format!("{target}::{name}"), move || {
                body(&fs::read(&path)?);
                Ok(())
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The files of a folder, sorted; none where it is not there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}
