//! Values below `/proc/sys/net`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{FieldChange, Fields};

/// The path of a sysctl below `/proc/sys`, by segments: interface names contain dots, so dots cannot separate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SysctlKey(Box<str>);

impl SysctlKey {
    /// Reads a key as sysctl(8) does: the first separator that is found, `.` or `/`, is the separator. `None` unless the
    /// key lies below `net`, has at least two segments, and no segment is empty, `.` or `..`.
    pub fn parse(text: &str) -> Option<SysctlKey> {
        let separator = text.find(['.', '/']).map(|at| text.as_bytes()[at])?;
        let path = if separator == b'.' {
            // Like sysctl(8): in the dotted spelling a slash stands for a dot inside a segment.
            text.chars()
                .map(|c| match c {
                    '.' => '/',
                    '/' => '.',
                    other => other,
                })
                .collect()
        } else {
            text.to_owned()
        };
        let mut segments = path.split('/');
        let valid = segments.next() == Some("net")
            && segments.clone().next().is_some()
            && segments.all(|segment| {
                !matches!(segment, "" | "." | "..") && !segment.contains(|c: char| c.is_control() || c.is_whitespace())
            });
        valid.then(|| SysctlKey(path.into()))
    }

    /// Whether writing it does something, and nothing can be read: no state holds it (mode 0200 in `net/ipv4/route.c` and
    /// `net/ipv6/route.c` of the kernel).
    pub fn is_command(&self) -> bool {
        matches!(self.path(), "net/ipv4/route/flush" | "net/ipv6/route/flush")
    }

    /// The path below `/proc/sys`: `net/ipv4/ip_forward`.
    pub fn path(&self) -> &str {
        &self.0
    }

    /// The device that the value belongs to: `eth0` in `net/ipv4/conf/eth0/rp_filter`. `all` and `default` are no devices.
    pub fn device(&self) -> Option<&str> {
        let mut segments = self.0.split('/').skip(1);
        let (family, table, device) = (segments.next()?, segments.next()?, segments.next()?);
        let of_a_device = matches!(family, "ipv4" | "ipv6") && matches!(table, "conf" | "neigh") && segments.next().is_some();
        (of_a_device && !matches!(device, "all" | "default")).then_some(device)
    }

    /// `net/ipv4/vs/expire_nodest_conn`: whether connections of a deleted destination end with it.
    pub fn expire_nodest_conn() -> SysctlKey {
        SysctlKey("net/ipv4/vs/expire_nodest_conn".into())
    }
}

impl fmt::Display for SysctlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains('.') { f.write_str(&self.0) } else { f.write_str(&self.0.replace('/', ".")) }
    }
}

/// A value with its white space folded: words, one blank between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SysctlValue {
    /// `1`, `4096 87380 6291456`
    pub value: String,
    /// In a wanted state: a live value that is left as it is. `accept_ra` becomes 2 where it is 1, and stays 0 where it is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<String>,
}

/// The defences that the kernel itself moves between 1 (automatic) and 2 (automatic, and active now): `ip_vs_ctl.c`,
/// `update_defense_level`.
const MOVED_BY_THE_KERNEL: [&str; 3] = ["net/ipv4/vs/drop_entry", "net/ipv4/vs/drop_packet", "net/ipv4/vs/secure_tcp"];

impl SysctlValue {
    /// `text` in its normal form: white space folded, and 2 as 1 where the kernel moves between the two by itself.
    pub fn new(key: &SysctlKey, text: &str) -> SysctlValue {
        let value = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if value == "2" && MOVED_BY_THE_KERNEL.contains(&key.path()) {
            return SysctlValue { value: "1".to_owned(), unless: None };
        }
        SysctlValue { value, unless: None }
    }

    pub(super) fn over(self, live: &SysctlValue) -> SysctlValue {
        if self.unless.as_ref() == Some(&live.value) { live.clone() } else { SysctlValue { unless: None, ..self } }
    }

    pub(super) fn differences(&self, after: &SysctlValue) -> Vec<FieldChange> {
        let SysctlValue { value, unless: _ } = self; // `over` has settled it
        let mut changes = Fields::default();
        changes.compare("value", value, &after.value);
        changes.0
    }
}

#[cfg(test)]
mod tests {
    use super::SysctlKey;

    #[test]
    fn two_spellings_of_one_key_are_one_key() {
        assert_eq!(SysctlKey::parse("net.ipv4.ip_forward"), SysctlKey::parse("net/ipv4/ip_forward"));
        assert_eq!(SysctlKey::parse("net.ipv4.conf.eth0/100.rp_filter"), SysctlKey::parse("net/ipv4/conf/eth0.100/rp_filter"));
    }

    #[test]
    fn only_a_value_of_a_real_device_has_a_device() {
        let device = |text| SysctlKey::parse(text).and_then(|key| key.device().map(str::to_owned));
        assert_eq!(device("net/ipv4/conf/eth0.100/rp_filter"), Some("eth0.100".to_owned()));
        assert_eq!(device("net.ipv6.neigh.eth0.ucast_solicit"), Some("eth0".to_owned()));
        assert_eq!(device("net.ipv4.conf.all.rp_filter"), None);
        assert_eq!(device("net.ipv4.ip_forward"), None);
    }

    #[test]
    fn a_key_never_leaves_proc_sys_net() {
        for text in
            ["kernel.core_pattern", "net", "net.", "net/../kernel/core_pattern", "net.ipv4..x", "net/./x", "/net/x", "net/x y"]
        {
            assert_eq!(SysctlKey::parse(text), None, "{text}");
        }
    }
}
