//! One run at a time in one network namespace.
//!
//! The lock's file is named after the namespace itself, not after a name that leads to it, and lies outside every state
//! directory, so that two state directories exclude each other too. The kernel gives the lock back when its holder dies;
//! the file is never removed, or two runs could hold two files of one name.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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

/// Takes the lock of the namespace with this cookie, or says at once why not.
pub fn take(directory: &Path, cookie: u64) -> Result<Lock, LockError> {
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
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(LockError::Held(path)),
        Err(TryLockError::Error(error)) => Err(LockError::Io(path, error)),
    }
}
