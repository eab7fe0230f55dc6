//! The main job on a real kernel: plan, apply, what other programs then see, drift, refusals, foreign writers, and the
//! command itself. One boot for all of it, and for each test a network namespace of its own.
#![allow(clippy::disallowed_methods, reason = "tests run programs and look at files")]
#![allow(clippy::format_push_string, reason = "a few lines of text, put together to be read")]

mod along;
mod command;
mod confirm;
mod crashed;
mod director;
mod drained;
mod drift;
mod examples;
mod foreign;
mod hand;
mod killed;
#[path = "../kernel/limit.rs"]
mod limit;
mod owned;
mod powerloss;
#[path = "../random/mod.rs"]
#[allow(dead_code, reason = "another suite uses the rest")]
mod random;
mod rebooted;
mod recorded;
mod rollback;
mod spared;
mod storage;
mod surroundings;
mod systemd;
mod unloaded;
mod watched;
mod witness;
#[path = "../kernel/world.rs"]
#[allow(dead_code, reason = "another suite uses the rest")]
mod world;
mod wrap;
mod writes;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::Arguments;
use lvsform::lab::{Kernel, Lab, harness};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((killed::VICTIM, rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return killed::victim(rest);
    }
    let lab = Lab { kernel: Some(Kernel::Uml), timeout: Duration::from_hours(1), ..Lab::default() };
    harness::main(lab, || {
        if harness::in_guest() {
            // The machine that the guest runs on may have records of its own.
            hand::run("mkdir", "-p /var/lib/lvsform");
            hand::run("mount", "-t tmpfs -o mode=755 tmpfs /var/lib/lvsform");
        }
        // Every other test loads IPVS, and nothing unloads it.
        let unloaded = unloaded::tests();
        let suites = [
            examples::tests(),
            drift::tests(),
            rollback::tests(),
            foreign::tests(),
            along::tests(),
            spared::tests(),
            command::tests(),
            owned::tests(),
            drained::tests(),
            confirm::tests(),
            killed::tests(),
            crashed::tests(),
            storage::tests(),
            systemd::tests(),
            powerloss::tests(),
            surroundings::tests(),
            watched::tests(),
            unloaded,
        ];
        let tests = suites.into_iter().flatten().collect();
        libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
    })
}
