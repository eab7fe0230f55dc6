//! The lab: runs a command as root in a throw-away kernel over this machine's files.
//!
//! The kernel is User-Mode Linux or Debian's own under QEMU. The command sees this machine's files, and what it writes goes
//! to memory and is gone with the guest. The fence stands outside the guest, where nobody in it can take it down:
//!
//! - The host's process is never root. Started as root, the lab drops to the user who called `sudo`, or to "nobody".
//! - Landlock, where the host's kernel has it, lets that process write one folder only, that of the results, and open no
//!   TCP connection.
//! - QEMU's share is read-only. The guest has no network device but `lo`.
//! - The command's words and environment travel in a file, word by word; no shell reads them.
//!
//! What the fence does not hold: a guest of an ordinary user runs as that user, and a hostile one that mounts the host's
//! files by itself may change modes and times of that user's files. The guest reads what that user may read.
#![expect(
    clippy::disallowed_methods,
    reason = "the lab runs programs, keeps a working folder, passes a few variables on, and knows a time limit"
)]

mod console;
mod cpio;
mod fence;
pub mod harness;
mod package;
mod program;
mod qemu;
mod uml;
mod watch;
mod work;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a guest finds its results folder. It exists in guests only: whoever sees it runs in the lab.
pub const GUEST_MARK: &str = "/run/lvsform-guest";

/// Which kernel the guest runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// User-Mode Linux, Debian's package `user-mode-linux`: boots in two seconds; one CPU, no nftables, no FOU on tunnels.
    Uml,
    /// QEMU with a kernel package of this machine's distribution: five to eight seconds; everything, several CPUs.
    Qemu {
        /// The package, such as `linux-image-6.1.0-40-amd64`, or `backports`: the newest that Debian builds for its release;
        /// none: the one that the distribution installs by default.
        package: Option<String>,
    },
}

/// How to run a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lab {
    /// None: User-Mode Linux where it is installed and one CPU is enough, else QEMU.
    pub kernel: Option<Kernel>,
    /// Memory of the guest in MiB; half of it is room for files.
    pub memory: u32,
    /// CPUs of the guest.
    pub cpus: u32,
    /// The longest that the guest may take, boot included.
    pub timeout: Duration,
    /// Folders that the unprivileged user cannot reach and that the guest shall see all the same. Matters only to root.
    pub share: Vec<PathBuf>,
}

impl Default for Lab {
    fn default() -> Self {
        Self { kernel: None, memory: 1024, cpus: 1, timeout: Duration::from_mins(5), share: Vec::new() }
    }
}

impl Lab {
    /// The kernel that [`run`] will take.
    pub fn kernel(&self) -> Kernel {
        match &self.kernel {
            Some(kernel) => kernel.clone(),
            None if self.cpus == 1 && program::find(uml::PROGRAM).is_some() => Kernel::Uml,
            None => Kernel::Qemu { package: None },
        }
    }
}

/// Runs `argv` in a guest and returns its exit code, 0 to 125. Its output goes to this process's.
pub fn run(lab: &Lab, argv: &[OsString]) -> Result<u8, LabError> {
    run_to(lab, argv, &mut io::stdout(), &mut io::stderr())
}

/// As [`run`], with the output going to `out` and `err` while the command runs.
pub fn run_to(lab: &Lab, argv: &[OsString], out: &mut (dyn Write + Send), err: &mut (dyn Write + Send)) -> Result<u8, LabError> {
    let user = fence::User::of_the_guest();
    let cwd = std::env::current_dir().map_err(host("read the current directory"))?;
    let command = program::resolve(argv, &cwd)?;
    let mut work = work::Work::new(user, lab.memory)?;
    let machine = match lab.kernel() {
        Kernel::Uml => uml::machine(lab, &work)?,
        Kernel::Qemu { package } => qemu::machine(lab, package.as_deref(), &work, err)?,
    };
    let needed: Vec<&Path> = [&cwd, &command].into_iter().chain(&machine.needs).map(PathBuf::as_path).collect();
    let hidden = fence::hidden(&needed, &user, &lab.share)?;
    work.write_guest(&machine, argv, &cwd)?;
    let ending = watch::watch(&machine, &work, &user, &hidden, lab.timeout, out, err)?;
    let status = work.exit_status();
    match (ending, status) {
        (watch::Ending::Itself, Some(code @ 0..=125)) => Ok(code),
        (watch::Ending::Itself, Some(status)) => Err(LabError::Command { status }),
        (watch::Ending::Itself, None) => Err(LabError::Died { console: console::tail(&work.console_text()) }),
        (watch::Ending::TimedOut, _) => Err(LabError::TimedOut(lab.timeout)),
        (watch::Ending::Interrupted, _) => Err(LabError::Interrupted),
    }
}

/// A guest, ready to be started.
struct Machine {
    /// The program and its arguments.
    command: Vec<OsString>,
    /// How the guest mounts its results folder: the arguments of `mount`, without the place.
    results: Vec<OsString>,
    /// The folder on the host that holds a folder of modules for each kernel release.
    modules: PathBuf,
    /// The first stage: a name in the working folder, and what the file holds.
    guest: (&'static str, Vec<u8>),
    /// What the host's process reads besides the command.
    needs: Vec<PathBuf>,
    /// A statically linked busybox on the host.
    busybox: PathBuf,
}

/// Why there is no exit code of the command.
#[derive(Debug)]
pub enum LabError {
    /// Programs that are not installed.
    Missing(Vec<program::Missing>),
    /// What was asked for cannot be.
    Usage(String),
    /// The unprivileged user cannot reach a path that the command needs.
    Unreachable {
        /// What the command needs.
        path: PathBuf,
        /// The first folder on the way that is closed, or the path itself.
        closed: PathBuf,
        /// The user.
        uid: u32,
    },
    /// This machine refused something.
    Host {
        /// As in "cannot …".
        doing: String,
        /// What it answered.
        cause: io::Error,
    },
    /// The guest took longer than allowed and was ended.
    TimedOut(Duration),
    /// A signal ended the lab.
    Interrupted,
    /// The guest ended without an exit code.
    Died {
        /// The last lines of its console.
        console: String,
    },
    /// The command's exit status is none that a command of ours returns.
    Command {
        /// 126: not executable; 127: not found; 128 + n: ended by signal n.
        status: u8,
    },
}

impl LabError {
    /// The exit code for it: 124 timed out, 125 no exit code, 64 usage, 1 the guest never started.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Missing(_) | Self::Unreachable { .. } | Self::Host { .. } => 1,
            Self::Usage(_) => 64,
            Self::TimedOut(_) => 124,
            Self::Interrupted | Self::Died { .. } | Self::Command { .. } => 125,
        }
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => program::describe(missing, f),
            Self::Usage(text) => f.write_str(text),
            Self::Unreachable { path, closed, uid } => write!(
                f,
                "the guest runs as user {uid}, never as root, and that user cannot reach {}: {} is closed to it; \
                 add `--share DIR` with the folder that the command needs, or open it with `chmod o+rx`",
                path.display(),
                closed.display()
            ),
            Self::Host { doing, cause } => write!(f, "cannot {doing}: {cause}"),
            Self::TimedOut(limit) => write!(
                f,
                "the guest was ended: it took longer than {}; `--timeout` allows more",
                humantime::format_duration(*limit)
            ),
            Self::Interrupted => f.write_str("interrupted; the guest was ended"),
            Self::Died { console } if console.is_empty() => {
                f.write_str("the guest ended without an exit code and its console is empty")
            }
            Self::Died { console } => {
                write!(f, "the guest ended without an exit code; the last lines of its console:\n{console}")
            }
            Self::Command { status: 127 } => f.write_str("the command was not found in the guest"),
            Self::Command { status: 126 } => f.write_str("the command cannot be executed in the guest"),
            Self::Command { status } if *status > 128 => write!(f, "signal {} ended the command", status - 128),
            Self::Command { status } => write!(f, "the command's exit status was {status}"),
        }
    }
}

impl std::error::Error for LabError {}

/// Names what we were doing when the host refused.
fn host<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> LabError {
    move |cause| LabError::Host { doing: doing.into(), cause: cause.into() }
}
