//! `lvsform rehearse` on a real kernel: clusters that work, by every method, family, protocol and scheduler, and clusters that
//! are broken on purpose, of which it must name the cause.
//!
//! What needs nftables or GUE, which User-Mode Linux lacks, is in `tests/qemu`.

#![allow(clippy::disallowed_methods, reason = "tests run programs and look at files")]

mod broken;
mod clusters;
mod stage;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use lvsform::lab::{Lab, harness};

fn main() -> ExitCode {
    let timeout = std::time::Duration::from_mins(30);
    harness::main(Lab { timeout, ..Lab::default() }, tests)
}

fn tests() -> ExitCode {
    let trials = [clusters::tests(), broken::tests()].into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
