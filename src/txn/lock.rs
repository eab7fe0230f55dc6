//! One run at a time in one network namespace.
//!
//! The lock's file is named after the namespace itself, not after a name that leads to it, and lies outside every state
//! directory, so that two state directories exclude each other too. The kernel gives the lock back when its holder dies;
//! the file is never removed, or two runs could hold two files of one name.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where locks lie, below `/run`: gone with the boot, like the kernel state that they guard.
pub const DIRECTORY: &str = "/run/lvsform/lock";

/// A held lock; dropping it gives it back.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug)]
pub enum LockError {
    /// Another run has it.
    Held(PathBuf),
    /// The folder is not ours alone: another user could put a file or a link there.
    Unsafe(PathBuf),
    /// The system said no.
    Io(PathBuf, io::Error),
}

/// Whether a run is under way in the namespace with this cookie. Makes nothing, and opens nothing for writing.
pub fn is_held(directory: &Path, cookie: u64) -> bool {
    let opened =
        OpenOptions::new().read(true).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits()).open(directory.join(cookie.to_string()));
    opened.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Takes the lock of the namespace with this cookie, or says why not: at once, or when another run has held it for `wait`.
pub fn take(directory: &Path, cookie: u64, wait: Option<Duration>) -> Result<Lock, LockError> {
    let failed = |error| LockError::Io(directory.to_owned(), error);
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let folder = directory.symlink_metadata().map_err(failed)?;
    if !folder.is_dir() || folder.mode() & 0o022 != 0 || folder.uid() != nix::unistd::geteuid().as_raw() {
        return Err(LockError::Unsafe(directory.to_owned()));
    }
    let path = directory.join(cookie.to_string());
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(&path)
        .map_err(|error| LockError::Io(path.clone(), error))?;
    // More than there is time for is for ever.
    let until = wait.map(|wait| now().checked_add(wait));
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) if until.is_some_and(|until| until.is_none_or(|until| now() < until)) => pause(),
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(path)),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(path, error)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long to wait is the operator's wish")]
fn now() -> Instant {
    Instant::now()
}

/// A lock cannot be waited for with a time limit but by asking again.
#[expect(clippy::disallowed_methods, reason = "the kernel has no lock with a time limit")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
