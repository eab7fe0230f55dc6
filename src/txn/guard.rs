//! The process that takes an apply back when nobody confirms it: starting it, and what it does to be on its own.
//!
//! It must outlive what may go with the connection that the apply cuts: the terminal, the parent, the process group, and where
//! systemd runs the unit of the login. So it is a session of its own, with nothing open, and there a unit of its own. The
//! applier waits for its word before the first step. What it decides then is in `cli/guard.rs`.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{close, getpid, gettid, mkfifo, setsid};

use super::lock;
use crate::kernel::netns;

/// So long a guard may take to say that it is there, in milliseconds.
const PATIENCE: u16 = 60_000;

/// There is a systemd that starts units (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";

/// Starts `lvsform guard` with these arguments, and waits until it says that it is there. The lock must be held: its folder is
/// where the word is given.
pub fn arm(transaction: &str, arguments: &[OsString]) -> io::Result<()> {
    let ready = PathBuf::from(lock::DIRECTORY).join(format!("guard-{transaction}"));
    mkfifo(&ready, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let word = start(transaction, arguments, &ready).and_then(|()| wait(&ready));
    let _ = std::fs::remove_file(&ready);
    word
}

#[expect(clippy::disallowed_methods, reason = "the guard is a process")]
fn start(transaction: &str, arguments: &[OsString], ready: &Path) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let is_unit = Path::new(SYSTEMD).exists();
    let mut command = if is_unit {
        let mut command = Command::new("/usr/bin/systemd-run");
        command.args(["--quiet", "--collect", "--unit", &format!("lvsform-guard-{transaction}")]);
        if !netns::is_initial() {
            command.arg(format!("--property=NetworkNamespacePath=/proc/{}/task/{}/ns/net", getpid(), gettid()));
        }
        command.arg("--").arg(program);
        command
    } else {
        Command::new(program)
    };
    command.arg("guard").args(arguments).arg("--ready").arg(ready);
    command.current_dir("/").env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    if is_unit {
        let output = command.output()?;
        let words = String::from_utf8_lossy(&output.stderr);
        return if output.status.success() { Ok(()) } else { Err(io::Error::other(format!("systemd-run: {}", words.trim()))) };
    }
    // Nobody waits for it: it ends when we are gone.
    command.stderr(Stdio::null()).spawn().map(drop)
}

fn wait(ready: &Path) -> io::Result<()> {
    // Also for writing, so that there is always a writer, and reading waits for a byte rather than for an end.
    let mut word = OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(ready)?;
    let mut fds = [PollFd::new(word.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, PollTimeout::from(PATIENCE)) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(0) => return Err(io::Error::other("it did not say that it is there")),
            Ok(_) => return word.read_exact(&mut [0]),
        }
    }
}

/// Lets go of everything that was inherited, and of the terminal. Nothing of ours may be open yet.
pub fn detach() {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let inherited: Vec<i32> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for fd in inherited.into_iter().filter(|fd| *fd > 2) {
        let _ = close(fd); // the folder's own is closed already
    }
    let _ = setsid(); // a unit has a session already
}

/// Says that the guard is there.
pub fn say_ready(ready: &Path) -> io::Result<()> {
    let no_waiting = (OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits();
    OpenOptions::new().write(true).custom_flags(no_waiting).open(ready)?.write_all(b"!")
}
