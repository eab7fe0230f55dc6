//! Starts a guest inside the fence, passes on what it writes while it writes, and ends it: by itself, by its time, by a signal.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::fence::{self, User};
use super::work::Work;
use super::{LabError, Machine, host};

/// How long output may lie before it is passed on, in milliseconds.
const TICK: u8 = 20;

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Itself,
    TimedOut,
    Interrupted,
}

/// Runs the guest to its end. The thread that starts it takes the fence on and lives as long as the guest does.
pub(super) fn watch(
    machine: &Machine,
    work: &Work,
    user: &User,
    hidden: &[PathBuf],
    limit: Duration,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> Result<Ending, LabError> {
    let fenced = user.command()?;
    let busybox = machine.busybox.as_path();
    let mut words = fenced.clone();
    words.extend(machine.command.iter().cloned());
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    let before = signals.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK).map_err(host("hold signals back"))?;
    set_child_subreaper(true).map_err(host("watch over the guest's processes"))?;
    let ended = std::thread::scope(|scope| {
        let guest = scope.spawn(|| {
            let signals = SignalFd::new(&signals).map_err(host("hold signals back"))?;
            let writable: [&Path; 2] = [&work.results, &work.memory];
            fence::enter(&writable, hidden)?;
            let mut child = start(&words, work).map_err(host(format!("start {}", words[0].display())))?;
            let guard = guard(&fenced, busybox, &child);
            let mut outputs = [Output::new(&work.stdout, out), Output::new(&work.stderr, err)];
            let ending = guard.and_then(|_guard| wait(&mut child, &signals, limit, &mut outputs));
            end(&mut child);
            outputs.iter_mut().for_each(Output::pass_on);
            ending.map_err(host("wait for the guest"))
        });
        guest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let _ = set_child_subreaper(false);
    before.thread_set_mask().map_err(host("let signals through"))?;
    ended
}

fn start(words: &[OsString], work: &Work) -> io::Result<Child> {
    Command::new(&words[0])
        .args(&words[1..])
        .env_clear()
        // User-Mode Linux keeps its memory in TMPDIR and its control socket in HOME.
        .env("TMPDIR", &work.memory)
        .env("HOME", &work.memory)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(work.console()?)
        .stderr(work.console()?)
        .process_group(0)
        .spawn()
}

/// Ends the guest when we are gone, however we went: it reads from a pipe that only we hold open.
fn guard(words: &[OsString], busybox: &Path, guest: &Child) -> io::Result<Child> {
    let group = i32::try_from(guest.id()).map_err(io::Error::other)?;
    let [first, rest @ ..] = words else { return Err(io::ErrorKind::InvalidInput.into()) };
    Command::new(first)
        .args(rest)
        .arg(busybox)
        .args(["sh", "-c", "read gone; kill -KILL 0"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(group)
        .spawn()
}

fn wait(child: &mut Child, signals: &SignalFd, limit: Duration, outputs: &mut [Output<'_>]) -> io::Result<Ending> {
    let started = Instant::now();
    loop {
        let mut ready = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::from(TICK)) {
            Ok(0) | Err(nix::Error::EINTR) => {}
            Ok(_) => {
                // Taken, so that it does not end us when we let signals through again.
                signals.read_signal()?;
                return Ok(Ending::Interrupted);
            }
            Err(cause) => return Err(cause.into()),
        }
        outputs.iter_mut().for_each(Output::pass_on);
        if child.try_wait()?.is_some() {
            return Ok(Ending::Itself);
        }
        if started.elapsed() >= limit {
            return Ok(Ending::TimedOut);
        }
    }
}

/// Ends the guest and every process of its own, and returns when all are gone. Those whose parent died became our children.
fn end(child: &mut Child) {
    let Ok(id) = i32::try_from(child.id()) else { return };
    let group = Pid::from_raw(id);
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait();
    while waitpid(Pid::from_raw(-id), None).is_ok() {}
}

/// One stream of the command: a file that the guest adds to, and how much of it was passed on.
struct Output<'a> {
    from: &'a File,
    passed: u64,
    to: &'a mut (dyn Write + Send),
}

impl<'a> Output<'a> {
    fn new(from: &'a File, to: &'a mut (dyn Write + Send)) -> Self {
        Self { from, passed: 0, to }
    }

    /// Passes on what is new. A reader that went away does not end the command.
    fn pass_on(&mut self) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = self.from.read_at(&mut buffer, self.passed) {
            self.passed += read as u64;
            let _ = self.to.write_all(&buffer[..read]);
        }
        let _ = self.to.flush();
    }
}
