//! What this process may do, as the kernel says in `/proc/thread-self/status` (`capabilities(7)`).

use std::fmt;

use nix::unistd::geteuid;

/// A capability that some step needs; the number is its bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// `CAP_NET_ADMIN`
    NetAdmin = 12,
    /// `CAP_SYS_MODULE`
    SysModule = 16,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Capability::NetAdmin => "CAP_NET_ADMIN",
            Capability::SysModule => "CAP_SYS_MODULE",
        })
    }
}

/// The effective capabilities of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// A bit for each.
    pub effective: u64,
    /// Whether its user is root.
    pub is_root: bool,
}

impl Capabilities {
    /// Those of this thread; all of them where the kernel does not say.
    #[expect(clippy::disallowed_methods, reason = "kernel/ is where files are opened")]
    pub fn own() -> Capabilities {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let effective = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
        Capabilities { effective: effective.unwrap_or(u64::MAX), is_root: geteuid().is_root() }
    }

    /// Whether it is among them.
    pub fn has(&self, capability: Capability) -> bool {
        self.effective & 1 << capability as u8 != 0
    }
}
