//! Tests in network namespaces of their own, and how such a namespace is at the start.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use lvsform::kernel::linux::Linux;
use lvsform::kernel::{Kernel, Outcome};
use lvsform::plan::{Phase, Rank};
use lvsform::state::{Address, Change, Key, Link, LinkKind, Resource, Service, ServiceFlags, SysctlKey, SysctlValue};
use nix::sched::{CloneFlags, unshare};

use crate::limit::run_within;
use crate::random::INTERFACE;

/// A test in a namespace of its own, and not longer than `limit`.
pub fn test(name: &'static str, limit: Duration, body: fn()) -> Trial {
    Trial::test(name, move || run_within(limit, body))
}

/// Everything that a random step may need, so that no module is loaded in the middle of a sequence: loading one makes
/// fallback devices and sysctls appear.
const MODULES: [&str; 21] = [
    "ip_vs",
    "dummy",
    "ipip",
    "ip_gre",
    "sit",
    "ip6_tunnel",
    "ip6_gre",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_lc",
    "ip_vs_wlc",
    "ip_vs_lblc",
    "ip_vs_lblcr",
    "ip_vs_dh",
    "ip_vs_sh",
    "ip_vs_sed",
    "ip_vs_nq",
    "ip_vs_fo",
    "ip_vs_ovf",
    "ip_vs_mh",
    "ip_vs_pe_sip",
];

/// Loads all modules; once for the whole program is enough.
pub fn load_modules() {
    let mut kernel = Linux::open(None).expect("sockets");
    let steps = MODULES.iter().map(|name| add(Key::Module((*name).to_owned()), Resource::Module)).collect();
    kernel.run(&phase(steps)); // what is built in or does not exist shows later
}

/// Puts the calling thread into a new network namespace with `lo` up, a device [`INTERFACE`] with 10.1.0.1/16, and IPVS.
pub fn fresh() -> Linux {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of its own: run these tests in the lab's guest");
    let mut kernel = Linux::open(None).expect("sockets");
    let device = |device, up| Resource::Link(Box::new(Link { device, up, mtu: None, alias: None }));
    let other = LinkKind::Other(String::new());
    let lo = Change {
        key: key("link lo"),
        before: Some(device(other.clone(), false)),
        // There is no local routing table before that, and every destination is EINVAL.
        after: Some(device(other, true)),
    };
    let address = Resource::Address(Address::default());
    let steps = vec![
        add(Key::Module("ip_vs".to_owned()), Resource::Module),
        // No device gets an address by itself, which would be there sooner or later.
        add(sysctl("net/ipv6/conf/default/addr_gen_mode"), value("1")),
        lo,
        add(Key::Link(INTERFACE.to_owned()), device(LinkKind::Dummy, true)),
        add(key(&format!("address 10.1.0.1/16 {INTERFACE}")), address),
    ];
    for (step, outcome) in steps.clone().iter().zip(kernel.run(&phase(steps))) {
        assert_eq!(outcome, Outcome::Done, "{}", step.key);
    }
    kernel
}

pub fn add(key: Key, after: Resource) -> Change {
    Change { key, before: None, after: Some(after) }
}

/// Steps as one phase. The rank means nothing to a kernel.
pub fn phase(steps: Vec<Change>) -> Phase {
    Phase { rank: Rank::ServicesAdded, steps }
}

pub fn key(text: &str) -> Key {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

pub fn sysctl(path: &str) -> Key {
    Key::Sysctl(SysctlKey::parse(path).expect("a path below net"))
}

pub fn value(text: &str) -> Resource {
    Resource::from(SysctlValue { value: text.to_owned(), unless: None })
}

pub fn service(scheduler: &str) -> Service {
    Service { scheduler: scheduler.to_owned(), flags: ServiceFlags::default(), persistence: None, engine: None }
}

/// What `ipvsadm -Sn` says in this thread's namespace, and how it ended where that was not well: it does not know every
/// protocol that the kernel takes.
#[expect(clippy::disallowed_methods, reason = "the witness is a program")]
pub fn ipvsadm() -> String {
    let output = Command::new("ipvsadm").arg("-Sn").output().expect("ipvsadm");
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        _ = write!(said, "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    said
}
