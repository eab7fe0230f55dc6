//! What only a kernel under QEMU can show: nftables, FOU, several CPUs, devices with GUE. One boot for all of it.
#![allow(clippy::disallowed_methods, reason = "tests run programs and look at files")]
#![allow(clippy::format_push_string, reason = "a few lines of text, put together to be read")]

#[path = "../kernel/clients.rs"]
mod clients;
#[path = "../kernel/cluster.rs"]
mod cluster;
#[path = "../rehearse/clusters.rs"]
#[allow(dead_code, reason = "another suite uses the rest")]
mod clusters;
#[path = "../apply/director.rs"]
#[allow(dead_code, reason = "another suite uses the rest")]
mod director;
#[path = "../kernel/doctor.rs"]
#[allow(dead_code, reason = "another suite uses the rest")]
mod doctor;
mod gue;
#[path = "../apply/hand.rs"]
#[allow(dead_code, reason = "another suite uses the rest")]
mod hand;
#[path = "../kernel/host.rs"]
mod host;
#[path = "../kernel/ipvs.rs"]
#[allow(dead_code, reason = "another suite uses the rest")]
mod ipvs;
#[path = "../kernel/limit.rs"]
mod limit;
#[path = "../kernel/links.rs"]
mod links;
#[path = "../kernel/packets.rs"]
mod packets;
mod rehearsals;
#[path = "../kernel/servers.rs"]
mod servers;
#[path = "../rehearse/stage.rs"]
mod stage;
#[path = "../kernel/torn.rs"]
mod torn;
mod traffic;
#[path = "../apply/witness.rs"]
#[allow(dead_code, reason = "another suite uses the rest")]
mod witness;
#[path = "../kernel/world.rs"]
mod world;

use std::process::{Command, ExitCode};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use lvsform::lab::{Kernel, Lab, harness};

fn main() -> ExitCode {
    // `backports`, or the name of a package.
    let package = std::env::var("LVSFORM_TEST_KERNEL").ok();
    let lab = Lab { kernel: Some(Kernel::Qemu { package }), cpus: 2, timeout: Duration::from_hours(1), ..Lab::default() };
    harness::main(lab, || {
        let mut tests = vec![
            Trial::test("the_guest_has_two_cpus", the_guest_has_two_cpus),
            Trial::test("nftables_answers", nftables_answers),
            Trial::test("a_fou_port_opens", a_fou_port_opens),
        ];
        // The tables are the same code as in User-Mode Linux: two of these every time, and all of `make soak`.
        tests.extend(clients::tests().into_iter().filter(|test| {
            let name = test.name();
            name.contains("_2000_") || name.contains("_port__fallback_") && name.contains("_ipv4_")
        }));
        tests.extend(links::tests());
        tests.extend(gue::tests());
        tests.extend(torn::tests(2));
        tests.extend(traffic::tests());
        tests.extend(cluster::tests(true));
        tests.extend(servers::tests(true));
        tests.extend(packets::tests());
        tests.extend(rehearsals::tests());
        tests.extend(doctor::tests(true));
        libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
    })
}

fn the_guest_has_two_cpus() -> Result<(), Failed> {
    let cpus = std::thread::available_parallelism()?.get();
    if cpus == 2 { Ok(()) } else { Err(format!("{cpus} CPUs").into()) }
}

fn nftables_answers() -> Result<(), Failed> {
    succeeds("nft", &["list", "tables"])
}

fn a_fou_port_opens() -> Result<(), Failed> {
    succeeds("modprobe", &["fou"])?;
    succeeds("ip", &["fou", "add", "port", "6080", "gue"])
}

fn succeeds(program: &str, words: &[&str]) -> Result<(), Failed> {
    let done = Command::new(program).args(words).output()?;
    if done.status.success() { Ok(()) } else { Err(format!("{program}: {}", String::from_utf8_lossy(&done.stderr)).into()) }
}
