//! One run at a time in one network namespace.
//!
//! The lock's file is named after the namespace itself, not after a name that leads to it, and lies outside every state
//! directory, so that two state directories exclude each other too. The kernel gives the lock back when its holder dies;
//! the file is never removed, or two runs could hold two files of one name. Whoever can open the file can hold it, so nobody
//! else can; that it is held, the kernel tells everybody.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::stat::{major, minor};

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
    let path = directory.join(cookie.to_string());
    match OpenOptions::new().read(true).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits()).open(&path) {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(_) => path.symlink_metadata().is_ok_and(|file| is_listed(file.dev(), file.ino())),
    }
}

/// Whether the kernel lists a lock on this file. It shows the device's number as the file system has it, which is the file's own
/// but on overlays and btrfs; neither is below `/run`.
#[expect(clippy::disallowed_methods, reason = "the kernel's own list of locks")]
fn is_listed(device: u64, inode: u64) -> bool {
    let file = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    // `1: FLOCK  ADVISORY  WRITE 711 00:16:5 0 EOF`; after `->` comes who waits.
    locks.lines().any(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        matches!(words.as_slice(), [_, "FLOCK", _, "WRITE", _, of, ..] if *of == file)
    })
}

/// Takes the lock of the namespace with this cookie, or says why not: at once, or when another run has held it for `wait`.
pub fn take(directory: &Path, cookie: u64, wait: Option<Duration>) -> Result<Lock, LockError> {
    let failed = |error| LockError::Io(directory.to_owned(), error);
    for path in [directory.parent().unwrap_or(directory), directory] {
        match DirBuilder::new().mode(0o711).create(path) {
            // Whatever the umask: who may search it can see that the lock is held.
            Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(0o711)).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let folder = directory.symlink_metadata().map_err(failed)?;
    if !folder.is_dir() || folder.mode() & 0o022 != 0 || ![0, nix::unistd::geteuid().as_raw()].contains(&folder.uid()) {
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
    // Who only looks whether it is held may hold it, for a moment.
    let mut once_more = true;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) if std::mem::take(&mut once_more) => pause(),
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
