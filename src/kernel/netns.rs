//! Network namespaces: entering one by name, and telling the host's first one.

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
