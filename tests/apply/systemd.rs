//! The guard of an apply that must be confirmed, where systemd runs: a unit of its own, in the right network namespace, which
//! outlives the unit that the apply ran in.
//!
//! systemd runs in a PID and mount namespace of its own, and in another network namespace than the test, so that a guard which
//! is in the right one was put there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;
use nix::unistd::gettid;

use crate::command::says;
use crate::hand::until;
use crate::owned::{Site, plug_in, service, shop};
use crate::world::{World, test};
use crate::{hand, witness};

pub fn tests() -> Vec<Trial> {
    vec![
        test("systemd::the_guard_is_a_unit_of_its_own_and_takes_back_what_nobody_confirms", guards),
        test("systemd::the_guard_outlives_the_unit_that_the_apply_ran_in", outlives),
    ]
}

/// A systemd that runs nothing but what it is asked for.
struct Systemd {
    unshare: Child,
    /// The number of its first process, as this namespace sees it.
    first: String,
    /// The network namespace of the test, as a file that it sees too.
    namespace: PathBuf,
}

/// It knows no unit of the machine: those clear /tmp, for one.
const INIT: &str = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && \
    for unit in bare sysinit basic shutdown; do \
        printf '[Unit]\\nDefaultDependencies=no\\n' >/run/systemd/system/$unit.target; \
    done && \
    SYSTEMD_UNIT_PATH=/run/systemd/system:/run/systemd/transient container=lxc \
    exec /lib/systemd/systemd --system --unit=bare.target --show-status=false";

impl Systemd {
    fn start(namespace: PathBuf) -> Systemd {
        std::fs::write(&namespace, "").expect("our own folder");
        hand::run("mount", &format!("--bind /proc/{}/task/{}/ns/net {}", std::process::id(), gettid(), namespace.display()));
        if !Path::new("/sys/fs/cgroup/cgroup.procs").exists() {
            hand::run("mount", "-t cgroup2 cgroup2 /sys/fs/cgroup");
        }
        let mut command = Command::new("unshare");
        command.args(["--net", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "sh", "-c", INIT]);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let unshare = quiet.spawn().expect("unshare");
        let id = unshare.id();
        let mut systemd = Systemd { unshare, first: String::new(), namespace };
        until("systemd runs", || {
            let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            children.split_whitespace().next().unwrap_or_default().clone_into(&mut systemd.first);
            !systemd.first.is_empty() && systemd.run(&["test", "-S", "/run/systemd/private"]).0
        });
        systemd
    }

    /// Runs a program beside it, in the network namespace of the test.
    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output =
            Command::new("nsenter").args(["-t", &self.first, "-m", "-p", "--"]).args(arguments).output().expect("nsenter");
        let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
        (output.status.success(), text)
    }

    /// The guards' units that run.
    fn guards(&self) -> String {
        self.run(&["systemctl", "list-units", "--plain", "--no-legend", "--state=running", "lvsform-guard-*"]).1
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let _ = self.unshare.kill(); // and all of its own with it
        let _ = self.unshare.wait();
        hand::run("umount", &self.namespace.display().to_string());
    }
}

/// A site whose second topology is applied under systemd, and what was there before.
fn ready(world: &World) -> (Systemd, Site, Vec<String>) {
    plug_in(world);
    let site = Site::new(&shop(&[service("web", 80, "\"10.0.0.11\"")]));
    site.run("apply", "--yes", 0);
    site.write(&shop(&[service("web", 80, "\"10.0.0.12\""), service("dns", 53, "\"10.0.0.11\"")]));
    (Systemd::start(site.records.with_file_name("namespace")), site, witness::table(world))
}

/// What must be seen within a window may take longer on a machine that stands still: then the next one.
const WINDOWS: [&str; 4] = ["3s", "8s", "16s", "30s"];

/// `apply --confirm-within WINDOW`
fn apply(site: &Site, window: &str) -> Vec<String> {
    let (file, records) = (site.file.path().into_owned(), site.records.display().to_string());
    let words = [env!("CARGO_BIN_EXE_lvsform"), "apply", &file, "--host", "lb1", "--yes", "--confirm-within", window];
    words.into_iter().map(str::to_owned).chain(["--state-dir".to_owned(), records]).collect()
}

fn guards(world: &mut World) {
    let (systemd, site, before) = ready(world);
    let met = WINDOWS.into_iter().any(|window| {
        let line = apply(&site, window);
        let (done, text) = systemd.run(&line.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(done, "{text}");
        says(&text, &["unless you confirm it: lvsform confirm shop"]);
        let met = witness::table(world) != before && systemd.guards().contains("running");
        until("it is taken back", || witness::table(world) == before);
        until("the unit is gone", || systemd.guards().is_empty());
        site.run("drift", "", 0);
        met
    });
    assert!(met, "nobody saw it applied, and its guard's unit");
}

fn outlives(world: &mut World) {
    let (systemd, site, before) = ready(world);
    // As a login or a CI runner is a unit: when it ends, all that is left in its control group is killed.
    let met = WINDOWS.into_iter().any(|window| {
        let applied = site.records.with_file_name("applied");
        let line = format!("{}; touch {}; exec sleep 1000", apply(&site, window).join(" "), applied.display());
        let namespace = format!("NetworkNamespacePath={}", systemd.namespace.display());
        let unit = ["systemd-run", "--quiet", "--collect", "--unit", "login", "-p", &namespace, "sh", "-c", &line];
        let (done, text) = systemd.run(&unit);
        assert!(done, "{text}");
        until("it is applied", || applied.exists());
        let (done, text) = systemd.run(&["systemctl", "stop", "login.service"]);
        assert!(done, "{text}");
        let met = systemd.guards().contains("lvsform-guard-") && witness::table(world) != before;
        until("it is taken back", || witness::table(world) == before);
        until("the unit is gone", || systemd.guards().is_empty());
        std::fs::remove_file(applied).expect("our own file");
        met
    });
    assert!(met, "nobody saw the guard outlive the login");
}
