//! Tests that need a real kernel: a test program that runs itself again inside the lab.
//!
//! A test program of this kind is `harness = false` and its `main` is one call of [`main`]. Outside it starts a guest, once
//! for the whole program and with the same arguments; inside it runs the tests. A test never touches the kernel of the
//! machine that it was started on. Where no guest can be had the program fails and says what to install.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{GUEST_MARK, Lab, LabError, run};

/// Runs `tests` in a guest as `lab` describes it, and passes their output and exit code on.
///
/// With `--list`, `tests` runs at once: nothing is tested, so no kernel is needed.
pub fn main(lab: Lab, tests: impl FnOnce() -> ExitCode) -> ExitCode {
    if in_guest() || std::env::args_os().any(|word| word == "--list") {
        return tests();
    }
    run_again(lab).unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "lab: {error}");
        ExitCode::from(error.exit_code())
    })
}

/// Whether this process runs in a guest of the lab.
pub fn in_guest() -> bool {
    Path::new(GUEST_MARK).exists()
}

fn run_again(mut lab: Lab) -> Result<ExitCode, LabError> {
    let program = std::env::current_exe().map_err(super::host("find this program"))?;
    let folders = [program.parent().map(Path::to_path_buf), std::env::current_dir().ok()];
    lab.share.extend(folders.into_iter().flatten().collect::<Vec<PathBuf>>());
    let argv: Vec<OsString> = std::iter::once(program.into_os_string()).chain(std::env::args_os().skip(1)).collect();
    run(&lab, &argv).map(ExitCode::from)
}
