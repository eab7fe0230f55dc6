//! A kernel in which nothing has loaded IPVS yet. It is looked at once, before any test, since nothing unloads a module.

use std::path::Path;
use std::process::{Command, Output};

use libtest_mimic::{Failed, Trial};
use lvsform::lab::harness::in_guest;

/// What was done, in this order, and whether IPVS was there after each.
struct Seen {
    there_before: bool,
    plan: Output,
    there_after_plan: bool,
    snapshot: Output,
    nobody: Output,
    forbidden: Output,
    there_after_snapshot: bool,
    refused: Output,
    left: Left,
    apply: Output,
    table: String,
}

/// What a rolled back apply leaves of IPVS.
struct Left {
    table: String,
    quiescent: String,
    timeouts: String,
}

pub fn tests() -> Vec<Trial> {
    // Outside of a guest there are only names to list.
    let seen = in_guest().then(|| std::thread::spawn(look).join());
    let check = move || match &seen {
        Some(Ok(seen)) => judge(seen),
        _ => Err(Failed::from("looking at the kernel failed; see above")),
    };
    vec![Trial::test("unloaded::a_plan_never_loads_ipvs_and_an_apply_does", check)]
}

fn there() -> bool {
    Path::new("/proc/net/ip_vs").exists() || Path::new("/sys/module/ip_vs").exists()
}

const FILE: &str = "tests/apply/unloaded.kdl";

fn lvsform(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
    command.args(arguments.split(' ')).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.output().expect("it starts")
}

fn as_nobody(arguments: &[&str]) -> Output {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", env!("CARGO_BIN_EXE_lvsform")]).args(arguments);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("it starts")
}

fn witness(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output().expect(program);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn look() -> Seen {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a network namespace");
    for line in ["link set lo up", "link add eth0 type dummy", "link set eth0 up", "addr add 10.0.0.2/24 dev eth0"] {
        witness("ip", line);
    }
    let there_before = there();
    let plan = lvsform(&format!("plan {FILE} --host lb1 --exit-code"));
    let there_after_plan = there();
    let snapshot = lvsform(&format!("snapshot {FILE} --host lb1"));
    let nobody = as_nobody(&["plan", FILE, "--host", "lb1"]);
    let forbidden = as_nobody(&["apply", FILE, "--host", "lb1"]);
    let there_after_snapshot = there();
    let refused = lvsform(&format!("apply {FILE} --host lb2 --yes --allow model"));
    let left = Left {
        table: witness("ipvsadm", "-Sn"),
        quiescent: std::fs::read_to_string("/proc/sys/net/ipv4/vs/expire_quiescent_template").unwrap_or_default(),
        timeouts: witness("ipvsadm", "-Ln --timeout"),
    };
    let apply = lvsform(&format!("apply {FILE} --host lb1 --yes"));
    let table = witness("ipvsadm", "-Sn");
    Seen { there_before, plan, there_after_plan, snapshot, nobody, forbidden, there_after_snapshot, refused, left, apply, table }
}

fn judge(seen: &Seen) -> Result<(), Failed> {
    let text =
        |output: &Output| [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    let expect = |holds: bool, words: &str, output: &Output| {
        if holds { Ok(()) } else { Err(Failed::from(format!("{words}: {}\n{}", output.status, text(output)))) }
    };
    let code = |output: &Output, code| output.status.code() == Some(code);
    let Seen {
        there_before,
        plan,
        there_after_plan,
        snapshot,
        nobody,
        forbidden,
        there_after_snapshot,
        refused,
        left,
        apply,
        table,
    } = seen;
    expect(!there_before, "IPVS was there before the first test: this needs a kernel that has it as a module", plan)?;
    expect(code(plan, 2), "a plan", plan)?;
    expect(text(plan).contains("The kernel has no IPVS yet"), "a plan says it", plan)?;
    expect(!there_after_plan, "a plan loads nothing", plan)?;
    expect(code(snapshot, 0), "a snapshot", snapshot)?;
    expect(code(nobody, 0), "without IPVS there is nothing that needs a capability to be read", nobody)?;
    expect(code(forbidden, 1), "an apply by somebody who may not", forbidden)?;
    let words = text(forbidden);
    expect(words.contains("needs CAP_NET_ADMIN; nothing was changed"), "it is said before anybody is asked", forbidden)?;
    expect(!there_after_snapshot, "a snapshot loads nothing", snapshot)?;
    expect(code(refused, 8), "an apply that is refused", refused)?;
    expect(left.table.is_empty() && left.quiescent == "0\n", "it is taken back, but for the module", refused)?;
    expect(left.timeouts.contains(": 900 120 300"), "the kernel's own timeouts are back", refused)?;
    expect(code(apply, 0), "an apply", apply)?;
    expect(table.contains("-A -t 10.0.0.100:80 -s wlc"), "it loaded IPVS and did the rest", apply)
}
