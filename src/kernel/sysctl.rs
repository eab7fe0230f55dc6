//! Values below `/proc/sys/net`, in the network namespace of the calling thread.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::netlink::refusal;
use super::{Outcome, ReadError, Refusal};
use crate::state::effects::{moves, switches};
use crate::state::{Absence, ReadOnly, SysctlKey, SysctlValue};

fn path(key: &SysctlKey) -> PathBuf {
    // The type guarantees that no segment is `..`.
    PathBuf::from("/proc/sys").join(key.path())
}

/// The value of a sysctl, or why the namespace does not have one. A value that a namespace shows but cannot change is the
/// host's.
pub fn read(key: &SysctlKey, initial_namespace: bool) -> Result<Result<SysctlValue, Absence>, ReadError> {
    let failed = |error: &io::Error| ReadError::Failed {
        what: format!("the sysctl {key}"),
        errno: error.raw_os_error().unwrap_or(Errno::EIO as i32),
        text: None,
    };
    let metadata = match path(key).metadata() {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Ok(Err(Absence::Missing)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Err(if !initial_namespace && is_host_only(key) { Absence::HostOnly } else { Absence::Missing }));
        }
        Err(error) => return Err(failed(&error)),
    };
    if !initial_namespace && metadata.permissions().mode() & 0o222 == 0 {
        return Ok(Err(Absence::HostOnly));
    }
    value(key).map(Ok).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            ReadError::Sysctl { key: key.clone(), write_only: metadata.permissions().mode() & 0o444 == 0 }
        }
        _ => failed(&error),
    })
}

/// Why a sysctl that is there cannot be written, as far as that is known without trying.
pub fn read_only(key: &SysctlKey) -> Option<ReadOnly> {
    let path = path(key);
    let mode = path.metadata().ok()?.permissions().mode();
    let mounted = || statvfs(&path).is_ok_and(|mount| mount.flags().contains(FsFlags::ST_RDONLY));
    if mode & 0o222 == 0 { Some(ReadOnly::Mode) } else { mounted().then_some(ReadOnly::Mount) }
}

/// The sysctls that writing one of these moves: there are as many as devices.
pub fn moved_with(written: &BTreeSet<SysctlKey>) -> BTreeSet<SysctlKey> {
    if !written.iter().any(|key| switches(key).is_some()) {
        return BTreeSet::new();
    }
    let devices = ["ipv4", "ipv6"].into_iter().flat_map(|family| {
        let entries = std::fs::read_dir(format!("/proc/sys/net/{family}/conf")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.flat_map(move |device| ["forwarding", "disable_ipv6"].map(|name| format!("net/{family}/conf/{device}/{name}")))
    });
    let others = ["net/ipv4/ip_forward", "net/ipv4/conf/all/accept_redirects"].map(str::to_owned);
    let keys = devices.chain(others).filter_map(|path| SysctlKey::parse(&path));
    keys.filter(|key| written.iter().any(|cause| moves(cause, key)) && !written.contains(key)).collect()
}

fn value(key: &SysctlKey) -> io::Result<SysctlValue> {
    let mut bytes = Vec::new();
    OpenOptions::new().read(true).open(path(key))?.read_to_end(&mut bytes)?;
    Ok(SysctlValue::new(key, &String::from_utf8_lossy(&bytes)))
}

fn put(key: &SysctlKey, value: &SysctlValue) -> io::Result<()> {
    // One write: the kernel takes each write for a whole value.
    let text = format!("{}\n", value.value);
    OpenOptions::new().write(true).open(path(key))?.write(text.as_bytes()).map(drop)
}

/// Writes a value and reads it back. Where the kernel made something else of it, the old value is put back.
pub fn write(key: &SysctlKey, wanted: &SysctlValue) -> Outcome {
    let attempt = || {
        let before = value(key)?;
        put(key, wanted)?;
        let now = value(key)?;
        Ok((before, now))
    };
    match attempt() {
        Ok((_, now)) if now == *wanted => Outcome::Done,
        Ok((before, now)) => match put(key, &before) {
            Ok(()) => {
                let text = format!("the kernel made `{}` of `{}`", now.value, wanted.value);
                Outcome::Refused(Refusal { errno: Errno::ERANGE as i32, text: Some(text) })
            }
            Err(_) => Outcome::Unknown,
        },
        Err(error) => Outcome::Refused(refusal(&error)),
    }
}

/// Whether a key that this namespace lacks is one that only the host's first namespace has.
///
/// All of `net.core` but a few keys is the host's, and the few exist in every namespace, so that a missing one cannot be
/// one of them. The others are what kernel 6.1 shows in the first namespace and in no other.
fn is_host_only(key: &SysctlKey) -> bool {
    const TREES: [&str; 4] = ["net/core/", "net/ipv4/neigh/default/", "net/ipv6/neigh/default/", "net/ipv4/route/"];
    const KEYS: [&str; 20] = [
        "net/ipv4/cipso_cache_bucket_size",
        "net/ipv4/cipso_cache_enable",
        "net/ipv4/cipso_rbm_optfmt",
        "net/ipv4/cipso_rbm_strictvalid",
        "net/ipv4/fib_sync_mem",
        "net/ipv4/inet_peer_maxttl",
        "net/ipv4/inet_peer_minttl",
        "net/ipv4/inet_peer_threshold",
        "net/ipv4/ipfrag_secret_interval",
        "net/ipv4/tcp_available_ulp",
        "net/ipv4/tcp_low_latency",
        "net/ipv4/tcp_max_orphans",
        "net/ipv4/tcp_mem",
        "net/ipv4/udp_mem",
        "net/ipv6/calipso_cache_bucket_size",
        "net/ipv6/calipso_cache_enable",
        "net/ipv6/ip6frag_secret_interval",
        "net/ipv6/mld_max_msf",
        "net/netfilter/nf_log_all_netns",
        "net/nf_conntrack_max",
    ];
    KEYS.contains(&key.path()) || TREES.iter().any(|tree| key.path().starts_with(tree))
}
