//! Two packages of the program under test: this version, and one that is newer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The newer one.
pub const NEWER: &str = "99.0.0-1";

/// Where the packages are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("package")
}

pub fn package() -> PathBuf {
    folder().join("lvsform.deb")
}

pub fn newer_package() -> PathBuf {
    folder().join("lvsform-newer.deb")
}

/// Makes both, outside the guest.
pub fn make() {
    let target = folder();
    fs::create_dir_all(target.join("release")).expect("our own folder");
    // As small as in the release build, so that the guest has less to read.
    run(Command::new("strip").arg("-o").arg(target.join("release/lvsform")).arg(env!("CARGO_BIN_EXE_lvsform")));
    let mut script = Command::new("sh");
    script.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/deb.sh"));
    script.args(["--fast", "--compress-type", "gz", "--output"]).arg(package()).env("CARGO_TARGET_DIR", &target);
    run(&mut script);
    let unpacked = target.join("unpacked");
    let _ = fs::remove_dir_all(&unpacked);
    run(Command::new("dpkg-deb").arg("--raw-extract").args([package(), unpacked.clone()]));
    let control = fs::read_to_string(unpacked.join("DEBIAN/control")).expect("it has one");
    let version = control.lines().find(|line| line.starts_with("Version: ")).expect("it has one");
    let newer = control.replace(version, &format!("Version: {NEWER}"));
    fs::write(unpacked.join("DEBIAN/control"), newer).expect("our own folder");
    run(Command::new("dpkg-deb").args(["--root-owner-group", "-Znone", "--build"]).args([unpacked, newer_package()]));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
