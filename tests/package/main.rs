//! The Debian package on a host that has its own kernel and systemd: installed, used over a boot, upgraded, removed, purged.
//!
//! The package is made outside, as `make deb` makes it, of the program that is there for these tests. In the guest each test
//! has a disk of its own over this machine's files ([`host`]), with this machine's dpkg and its database of packages.
#![allow(clippy::disallowed_methods, reason = "tests run programs and look at files")]

#[path = "../apply/hand.rs"]
#[allow(dead_code, reason = "another suite uses the rest")]
mod hand;
mod host;
mod install;
mod leave;
mod made;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use lvsform::lab::{Kernel, Lab, harness};

fn main() -> ExitCode {
    if !harness::in_guest() && !std::env::args().any(|word| word == "--list") {
        made::make();
    }
    let lab = Lab { kernel: Some(Kernel::Uml), timeout: Duration::from_hours(1), ..Lab::default() };
    harness::main(lab, || {
        let tests = [install::tests(), leave::tests()].into_iter().flatten().collect();
        libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
    })
}

fn test(name: &str, body: fn()) -> Trial {
    Trial::test(name, move || {
        body();
        Ok(())
    })
}
