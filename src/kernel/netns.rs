//! Network namespaces: entering one by name, telling the host's first one, and what makes one itself.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socket};
use nix::{getsockopt_impl, sockopt_impl};

use super::ReadError;

/// Where `ip netns` keeps the names.
const NAMES: &str = "/run/netns";

/// Moves the calling thread into the namespace `name`. Sockets that are open already stay where they are.
#[expect(clippy::disallowed_methods, reason = "kernel/ is where files are opened")]
pub fn enter(name: &str) -> Result<(), ReadError> {
    let unknown = || ReadError::NoNamespace(name.to_owned());
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(unknown());
    }
    let failed = |errno| ReadError::Failed { what: format!("the network namespace `{name}`"), errno, text: None };
    let file = match std::fs::File::open(Path::new(NAMES).join(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(unknown()),
        Err(error) => return Err(failed(error.raw_os_error().unwrap_or(Errno::EIO as i32))),
    };
    match setns(file, CloneFlags::CLONE_NEWNET) {
        Ok(()) => Ok(()),
        Err(Errno::EPERM) => Err(ReadError::Capability("CAP_SYS_ADMIN")),
        // The file is there, but no namespace is mounted on it: what is left of a deleted one.
        Err(Errno::EINVAL) => Err(unknown()),
        Err(errno) => Err(failed(errno as i32)),
    }
}

/// Whether the calling thread is in the host's first network namespace.
///
/// `net.core.netdev_max_backlog` is registered there and nowhere else (`net/core/sysctl_net_core.c`). Comparing with
/// `/proc/1/ns/net` would need a capability, and in a container process 1 is in the container too.
pub fn is_initial() -> bool {
    Path::new("/proc/sys/net/core/netdev_max_backlog").exists()
}

/// `SO_NETNS_COOKIE` (`include/uapi/asm-generic/socket.h`), Linux 5.14.
const SO_NETNS_COOKIE: libc::c_int = 71;

sockopt_impl!(
    /// The number of a socket's network namespace.
    NetnsCookie,
    GetOnly,
    libc::SOL_SOCKET,
    SO_NETNS_COOKIE,
    u64
);

/// The number of the calling thread's network namespace, never given twice in one boot. Inodes are reused at once.
pub fn cookie() -> Result<u64, Errno> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    getsockopt(&socket, NetnsCookie)
}

/// The name by which records of the calling thread's namespace are kept: `host` for the first one, the name under
/// `/run/netns`, else `cookie-N`. A name stays when its namespace is made anew; [`cookie`] does not.
pub fn name(cookie: u64) -> String {
    if is_initial() {
        return FIRST.to_owned();
    }
    named().unwrap_or_else(|| format!("{UNNAMED}{cookie}"))
}

const FIRST: &str = "host";
const UNNAMED: &str = "cookie-";

/// The name under `/run/netns` that leads to the calling thread's namespace, if it can be a file's name here.
fn named() -> Option<String> {
    let own = std::fs::metadata("/proc/thread-self/ns/net").ok()?;
    let mut names: Vec<String> = std::fs::read_dir(NAMES)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != FIRST && !name.starts_with(UNNAMED) && is_plain(name))
        .filter(|name| {
            std::fs::metadata(Path::new(NAMES).join(name)).is_ok_and(|file| (file.dev(), file.ino()) == (own.dev(), own.ino()))
        })
        .collect();
    names.sort_unstable();
    names.into_iter().next()
}

/// Whether a name under `/run/netns` leads to the calling thread's namespace. A namespace whose name was deleted goes on
/// acknowledging what it is told.
pub fn leads_here(name: &str) -> bool {
    let here = std::fs::metadata("/proc/thread-self/ns/net").map(|file| (file.dev(), file.ino()));
    let there = std::fs::metadata(Path::new(NAMES).join(name)).map(|file| (file.dev(), file.ino()));
    matches!((here, there), (Ok(here), Ok(there)) if here == there)
}

/// Letters, digits, `.`, `_` and `-`, not a `.` first.
fn is_plain(name: &str) -> bool {
    !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// The kernel's number of this boot (`/proc/sys/kernel/random/boot_id`); kernel objects do not outlive it.
#[expect(clippy::disallowed_methods, reason = "kernel/ is where files are opened")]
pub fn boot() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
