//! The model of the kernel against the real kernel: what one answers and holds, the other must.
//!
//! Where the two differ the model is wrong, or our reading of the real one; never the real one. Runs inside the lab, each
//! test in network namespaces of its own. What takes minutes is ignored unless asked for with `--ignored`.

mod both;
mod chance;
mod effects;
#[path = "../kernel/limit.rs"]
mod limit;
mod operations;
mod pairs;
#[path = "../random/mod.rs"]
mod random;
mod sequences;
mod witness;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use lvsform::lab::{Lab, harness};

fn main() -> ExitCode {
    let lab = Lab { timeout: Duration::from_hours(1), ..Lab::default() };
    harness::main(lab, || {
        let trials: Vec<Trial> = [sequences::tests(), pairs::tests(), effects::tests()].into_iter().flatten().collect();
        libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
    })
}
