//! A host of its own for a test: a disk that outlives its boots, and at each boot a systemd with a network that is empty.
//!
//! The disk lies in memory over this machine's `/usr`, `/etc` and `/var`, from which units, records and what dpkg is told on
//! this machine are gone. systemd finds no unit but those of the package and a few targets that do nothing. Timers that are started count from the next day:
//! no test is to meet one of their runs by chance.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::hand::{run, until};
use crate::made;

/// What is taken away from this machine's files. dpkg goes on knowing which packages are installed, and not what is in them:
/// to read that takes long.
const EMPTIED: &str = "set -e; cd /var/lib/dpkg; lists=$(ls info/*.list); rm -rf info lock lock-frontend triggers; \
    mkdir info triggers; touch $lists; \
    rm -rf /usr/lib/systemd/system /etc/systemd/system /var/lib/systemd /etc/dpkg/dpkg.cfg.d /usr/sbin/policy-rc.d \
        /etc/lvsform /var/lib/lvsform /usr/bin/lvsform; \
    mkdir -p /usr/lib/systemd/system /etc/systemd/system /var/lib/systemd; echo lb1 >/etc/hostname";

/// A boot. The network's name stays the same, as that of a host's own does.
const BOOT: &str = "hostname lb1 && ip link set lo up && ip link add eth0 address 02:00:00:00:00:02 type dummy && \
    ip link set eth0 up && ip address add 10.0.0.2/24 dev eth0 && \
    mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /run/netns && \
    touch /run/netns/director && mount --bind /proc/self/ns/net /run/netns/director && \
    for unit in sysinit basic multi-user timers shutdown network-online; do \
        printf '[Unit]\\nDefaultDependencies=no\\n' >/run/systemd/system/$unit.target; \
    done && \
    printf 'Wants=timers.target\\n' >>/run/systemd/system/multi-user.target && \
    for timer in recover drift; do \
        mkdir -p /run/systemd/system/lvsform-$timer.timer.d && \
        printf '[Timer]\\nOnBootSec=\\nOnBootSec=1d\\n' >/run/systemd/system/lvsform-$timer.timer.d/late.conf; \
    done && \
    export container=lxc SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/systemd/system:/run/systemd/transient:/usr/lib/systemd/system && \
    exec /lib/systemd/systemd --system --unit=multi-user.target --show-status=false";

const PROGRAMS: &str = "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The parts of a disk.
const PARTS: [&str; 3] = ["usr", "etc", "var"];

/// What outlives a boot.
pub struct Disk {
    folder: PathBuf,
    /// On which it is based.
    below: Vec<&'static Path>,
}

/// A host that is up.
pub struct Host {
    unshare: Child,
    /// The number of its first process, as the guest sees it.
    first: String,
}

impl Disk {
    /// Without the package.
    pub fn new(name: &str) -> Disk {
        static EMPTY: OnceLock<Disk> = OnceLock::new();
        let empty = EMPTY.get_or_init(|| Disk::made("empty", None, EMPTIED));
        Disk::made(name, Some(empty), "true")
    }

    /// With the package, installed once for all tests, where no systemd ran.
    pub fn with_package(name: &str) -> Disk {
        static INSTALLED: OnceLock<Disk> = OnceLock::new();
        let installed = INSTALLED.get_or_init(|| {
            let disk = Disk::new("installed");
            disk.run(&install(&made::package()));
            disk
        });
        Disk::made(name, Some(installed), "true")
    }

    fn made(name: &str, base: Option<&'static Disk>, script: &str) -> Disk {
        let folder = PathBuf::from("/run/disks").join(name);
        let below = base.into_iter().flat_map(|base| base.below.iter().copied().chain([base.folder.as_path()])).collect();
        let disk = Disk { folder, below };
        fs::create_dir_all(&disk.folder).expect("memory for a disk");
        run("mount", &format!("-t tmpfs tmpfs {}", disk.folder.display()));
        for part in PARTS {
            for layer in ["upper", "work"] {
                fs::create_dir_all(disk.folder.join(part).join(layer)).expect("memory for a disk");
            }
        }
        if script != "true" {
            disk.run(script);
        }
        disk
    }

    /// Runs a script where it is mounted and nothing runs.
    fn run(&self, script: &str) {
        let status = Command::new("unshare").args(["--mount", "sh", "-c", &self.mounted(script)]).status();
        assert!(status.expect("unshare").success(), "{script}");
    }

    /// A script that runs where the disk is mounted.
    fn mounted(&self, script: &str) -> String {
        let mounts = PARTS.map(|part| {
            let layers = self.below.iter().rev().map(|layer| format!("{}/{part}/upper:", layer.display()));
            let (below, folder) = (layers.collect::<String>(), self.folder.join(part));
            let folder = folder.display();
            format!("mount -t overlay -o lowerdir={below}/{part},upperdir={folder}/upper,workdir={folder}/work overlay /{part}")
        });
        format!("{} && {PROGRAMS} || exit 1; {script}", mounts.join(" && "))
    }

    /// Boots from it, and waits until everything that starts by itself has started.
    pub fn boot(&self) -> Host {
        let mut command = Command::new("unshare");
        command.args(["--net", "--uts", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "sh", "-c"]);
        let quiet = command.arg(self.mounted(BOOT)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let unshare = quiet.spawn().expect("unshare");
        let id = unshare.id();
        let mut host = Host { unshare, first: String::new() };
        until("systemd runs", || {
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            children.split_whitespace().next().unwrap_or_default().clone_into(&mut host.first);
            !host.first.is_empty() && Path::new(&format!("/proc/{}/root/run/systemd/private", host.first)).exists()
        });
        host.run("systemctl is-system-running --wait");
        host
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}

impl Host {
    /// Runs a line of shell on it: whether that succeeded, and all it said.
    fn run(&self, line: &str) -> (bool, String) {
        let line = format!("exec 2>&1; {PROGRAMS}; cd /; {line}");
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.first, "-m", "-p", "-n", "-u", "--", "sh", "-c", &line]);
        let output = command.output().expect("nsenter");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The same, and it must succeed.
    #[track_caller]
    pub fn done(&self, line: &str) -> String {
        let (done, said) = self.run(line);
        assert!(done, "{line}\n{said}");
        said
    }

    /// The same, and it must not succeed.
    #[track_caller]
    pub fn refused(&self, line: &str) -> String {
        let (done, said) = self.run(line);
        assert!(!done, "{line}\n{said}");
        said
    }

    /// What the kernel holds, as others see it: modules, devices, addresses, routes, IPVS, and every setting.
    pub fn kernel(&self) -> Vec<String> {
        let said = self.done(
            "cut -d ' ' -f 1 /proc/modules; ip -oneline address; ip route show table all; cat /proc/net/ip_vs 2>&1; \
             grep -r . /proc/sys/net 2>&1 | sort",
        );
        said.lines().map(str::to_owned).collect()
    }

    /// Every record, with its digest.
    pub fn records(&self) -> String {
        self.done("find /var/lib/lvsform -type f | sort | xargs sha256sum")
    }

    /// What systemd has to say of the package's units: `UNIT ACTIVE ENABLED`.
    pub fn units(&self) -> Vec<String> {
        let said = self.done(
            "cd /usr/lib/systemd/system && for property in Id ActiveState UnitFileState; do \
                 systemctl show --property $property --value lvsform-* | grep . >/run/$property; \
             done; paste -d ' ' /run/Id /run/ActiveState /run/UnitFileState | sort",
        );
        said.lines().map(str::to_owned).collect()
    }
}

/// Two readings of the kernel must be alike.
#[track_caller]
pub fn same(now: &[String], before: &[String]) {
    let only =
        |these: &[String], those: &[String]| these.iter().filter(|line| !those.contains(line)).cloned().collect::<Vec<_>>();
    assert_eq!((only(before, now), only(now, before)), (vec![], vec![]), "what went, and what came");
}

/// A line that calls dpkg. Other packages' triggers are none of ours, and the index of manual pages takes long.
pub fn dpkg(words: &str) -> String {
    format!("env DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io --no-triggers {words}")
}

pub fn install(package: &Path) -> String {
    dpkg(&format!("--install {} >/run/installed 2>&1 || {{ cat /run/installed; exit 1; }}", package.display()))
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-9", &self.first]).status(); // and all of its own with it
        let _ = self.unshare.wait();
    }
}
