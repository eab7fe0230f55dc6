//! Signals that ask a run to end: they are held back while it goes on, and looked at between two phases.

use std::cell::Cell;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Held-back signals. Dropping it lets them through again.
#[derive(Debug)]
pub struct Signals {
    held: SigSet,
    arrived: Cell<bool>,
    fd: Option<SignalFd>,
}

impl Signals {
    /// Holds SIGINT, SIGTERM and SIGHUP back from this thread.
    pub fn hold() -> Signals {
        let mut held = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            held.add(signal);
        }
        // Without it a signal ends the process, and the next run takes back what it did.
        let fd =
            held.thread_block().and_then(|()| SignalFd::with_flags(&held, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)).ok();
        Signals { held, arrived: Cell::new(false), fd }
    }

    /// Whether one has come.
    pub fn arrived(&self) -> bool {
        if let Some(fd) = &self.fd
            && matches!(fd.read_signal(), Ok(Some(_)))
        {
            self.arrived.set(true);
        }
        self.arrived.get()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = self.held.thread_unblock();
    }
}
