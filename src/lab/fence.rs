//! The fence around a guest: an unprivileged user, Landlock, and a view of the closed folders that are to be shared.
//!
//! All of it stands before the guest starts. Nothing here runs inside it.

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use landlock::{ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope};
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

use super::{LabError, host, program};

/// "nobody", whom no file should belong to.
const NOBODY: u32 = 65534;

/// Devices that User-Mode Linux and QEMU open for writing.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/ptmx", "/dev/pts", "/dev/kvm"];

/// Who runs the guest on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub uid: u32,
    pub gid: u32,
    /// Whether we are root now and must become this user first.
    pub drop: bool,
}

impl User {
    /// We ourselves; in root's place whoever called `sudo`, or "nobody".
    pub fn of_the_guest() -> Self {
        if !geteuid().is_root() {
            return Self { uid: geteuid().as_raw(), gid: nix::unistd::getegid().as_raw(), drop: false };
        }
        let caller = |name| std::env::var(name).ok()?.parse::<u32>().ok().filter(|&id| id != 0);
        match (caller("SUDO_UID"), caller("SUDO_GID")) {
            (Some(uid), Some(gid)) => Self { uid, gid, drop: true },
            _ => Self { uid: NOBODY, gid: NOBODY, drop: true },
        }
    }

    /// The words before the guest's own: become this user for good.
    pub fn command(self) -> Result<Vec<OsString>, LabError> {
        let [setpriv] = program::find_all([("setpriv", "util-linux")])?;
        let mut words: Vec<OsString> = vec![setpriv.into(), "--no-new-privs".into()];
        if self.drop {
            words.extend([format!("--reuid={}", self.uid).into(), format!("--regid={}", self.gid).into()]);
            words.push("--clear-groups".into());
        }
        words.push("--".into());
        Ok(words)
    }
}

/// Those of `shares` that are closed to `user`. Each of `needed` must be open to it, or lie in a share.
pub(super) fn hidden(needed: &[&Path], user: &User, shares: &[PathBuf]) -> Result<Vec<PathBuf>, LabError> {
    if !user.drop {
        return Ok(Vec::new());
    }
    let mut hidden = Vec::new();
    for share in shares {
        let share = share.canonicalize().map_err(host(format!("share {}", share.display())))?;
        if closed(&share, Path::new("/"), user).is_some() {
            hidden.push(share);
        }
    }
    for path in needed {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let from = hidden.iter().find(|share| real.starts_with(share)).map_or(Path::new("/"), PathBuf::as_path);
        if let Some(closed) = closed(&real, from, user) {
            return Err(LabError::Unreachable { path: real, closed, uid: user.uid });
        }
    }
    Ok(hidden)
}

/// The first place on the way from `from` to `path` that `user` cannot pass, or cannot read at its end.
fn closed(path: &Path, from: &Path, user: &User) -> Option<PathBuf> {
    let mut way: Vec<&Path> = path.ancestors().take_while(|step| *step != from).collect();
    way.push(from);
    way.into_iter()
        .rev()
        .find(|step| {
            let Ok(found) = step.metadata() else { return false };
            let allowed = match () {
                () if found.uid() == user.uid => found.mode() >> 6,
                () if found.gid() == user.gid => found.mode() >> 3,
                () => found.mode(),
            };
            // To pass a folder takes 1; to use what stands at the end takes 4, and 1 too if it is a folder or a program.
            let wanted = if *step != path {
                0o1
            } else if found.mode() & 0o111 == 0 {
                0o4
            } else {
                0o5
            };
            allowed & wanted != wanted
        })
        .map(Path::to_path_buf)
}

/// Puts the fence around the calling thread and everything that it starts. It cannot be taken down again.
pub(super) fn enter(writable: &[&Path], hidden: &[PathBuf]) -> Result<(), LabError> {
    if !hidden.is_empty() {
        uncover(hidden)?;
    }
    // From a kernel without Landlock, or with less of it, we take what it has: the other fences stand.
    landlock(writable).map_err(|cause| LabError::Host { doing: "set up Landlock".into(), cause: std::io::Error::other(cause) })
}

/// Everything may be read; `writable` and a few devices may be written; no TCP, no signal to a process outside.
fn landlock(writable: &[&Path]) -> Result<(), Box<dyn Error + Send + Sync>> {
    let writing = AccessFs::from_write(ABI::V3);
    let mut fence = Ruleset::default()
        .handle_access(writing)?
        .handle_access(AccessNet::from_all(ABI::V4))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?;
    for folder in writable {
        fence = fence.add_rule(PathBeneath::new(PathFd::new(folder)?, writing))?;
    }
    for device in DEVICES {
        if let Ok(device) = PathFd::new(device) {
            fence = fence.add_rule(PathBeneath::new(device, AccessFs::WriteFile))?;
        }
    }
    fence.restrict_self()?;
    Ok(())
}

/// Gives this thread a view of the files in which each of `hidden` is reachable at its own path, and nothing beside it:
/// an empty folder lies over the one that is closed, and in it the shared one shows.
fn uncover(hidden: &[PathBuf]) -> Result<(), LabError> {
    let doing = || format!("share {}", hidden.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "));
    let refused = |cause: nix::Error| {
        let cause = match cause {
            nix::Error::EPERM => std::io::Error::other(
                "it takes CAP_SYS_ADMIN, which a container lacks; move the project to a folder that every user can reach",
            ),
            other => other.into(),
        };
        LabError::Host { doing: doing(), cause }
    };
    unshare(CloneFlags::CLONE_NEWNS).map_err(refused)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).map_err(refused)?;
    // All are held open before the first is covered.
    let open = |path: &PathBuf| OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits()).open(path);
    let held: Vec<File> = hidden.iter().map(open).collect::<Result<_, _>>().map_err(host(doing()))?;
    let everyone = User { uid: NOBODY, gid: NOBODY, drop: true };
    for (path, held) in hidden.iter().zip(&held) {
        if let Some(cover) = closed(path, Path::new("/"), &everyone) {
            let cover = if cover == *path { path } else { &cover };
            mount(Some("tmpfs"), cover, Some("tmpfs"), MsFlags::empty(), Some("mode=755,size=1m")).map_err(refused)?;
        }
        fs::create_dir_all(path).map_err(host(doing()))?;
        let source = format!("/proc/self/fd/{}", held.as_raw_fd());
        mount(Some(source.as_str()), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(refused)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder(mode: u32) -> PathBuf {
        let folder = nix::unistd::mkdtemp("/tmp/lvsform-fence-XXXXXX").unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        folder
    }

    #[test]
    fn a_folder_that_others_cannot_enter_is_named_as_what_is_closed() {
        let private = folder(0o700);
        let nobody = User { uid: NOBODY, gid: NOBODY, drop: true };
        let error = hidden(&[&private.join("bin/program")], &nobody, &[]).unwrap_err();
        assert!(error.to_string().contains(&format!("{} is closed", private.display())), "{error}");
        fs::remove_dir(private).unwrap();
    }

    #[test]
    fn a_path_in_a_closed_folder_that_is_shared_is_reachable() {
        let private = folder(0o700);
        let inner = private.join("project");
        fs::create_dir(&inner).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o755)).unwrap();
        let nobody = User { uid: NOBODY, gid: NOBODY, drop: true };
        assert_eq!(hidden(&[&inner.join("x")], &nobody, std::slice::from_ref(&inner)).unwrap(), [inner]);
        fs::remove_dir_all(private).unwrap();
    }
}
