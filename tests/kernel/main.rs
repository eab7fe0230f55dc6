//! The real kernel behind `lvsform::kernel::linux`, each test in a fresh network namespace of its own, all in one guest.
//!
//! What needs GUE on tunnel devices or several CPUs, which User-Mode Linux lacks, is named `gue::…` or `smp::…` and runs
//! under QEMU, in `tests/qemu`.

mod clients;
mod cluster;
mod doctor;
#[path = "../apply/hand.rs"]
#[allow(dead_code, reason = "another suite uses the rest")]
#[allow(clippy::disallowed_methods, reason = "tests run programs")]
mod hand;
#[allow(clippy::disallowed_methods, reason = "tests look at files")]
mod host;
mod ipvs;
mod limit;
mod links;
mod selftest;
mod sends;
mod servers;
mod sysctls;
mod torn;
mod traps;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use lvsform::lab::{Lab, harness};

fn main() -> ExitCode {
    harness::main(Lab { timeout: std::time::Duration::from_mins(30), ..Lab::default() }, tests)
}

#[expect(clippy::disallowed_macros, reason = "a test's own child process says what it saw")]
fn tests() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(sends::READ) {
        println!("{}", sends::read());
        return ExitCode::SUCCESS;
    }
    let mut trials: Vec<Trial> = [
        clients::tests(),
        cluster::tests(false),
        servers::tests(false),
        traps::tests(),
        selftest::tests(),
        doctor::tests(false),
        ipvs::tests(),
        links::tests(),
        sends::tests(),
        sysctls::tests(),
        torn::tests(10),
    ]
    .into_iter()
    .flatten()
    .collect();
    trials.retain(|trial| !["gue::", "smp::"].iter().any(|apart| trial.name().starts_with(apart)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
