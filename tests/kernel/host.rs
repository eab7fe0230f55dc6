//! A host of a test: a network namespace that lives as long as the value.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::hand;

/// A network namespace.
pub struct Host(File);

impl Host {
    pub fn new() -> Host {
        let open = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of its own");
            File::open("/proc/thread-self/ns/net").expect("our own namespace")
        };
        let host = Host(thread::spawn(open).join().expect("a namespace"));
        host.run(|| hand::run("ip", "link set lo up"));
        host
    }

    /// Does something in this host: in a thread that has entered it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter_and_work = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET).expect("a namespace of ours");
            work()
        };
        thread::scope(|scope| scope.spawn(enter_and_work).join().unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// As `ip` takes it for the name of a namespace.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}
