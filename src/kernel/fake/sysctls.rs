//! Modules and sysctls of the model: what exists, what a value may be, and what moves when it is written.

use nix::errno::Errno;

use super::{Answer, Fake, Refusal, no};
use crate::state::effects::effects;
use crate::state::{Change, Key, Resource, SysctlKey, SysctlValue, Timeouts};

/// Below `net/ipv4/vs` once `ip_vs` is loaded, with the kernel's defaults (reference §3.1).
pub(super) const IPVS: &[(&str, &str)] = &[
    ("net/ipv4/vs/am_droprate", "10"),
    ("net/ipv4/vs/amemthresh", "1024"),
    ("net/ipv4/vs/backup_only", "0"),
    ("net/ipv4/vs/cache_bypass", "0"),
    ("net/ipv4/vs/conn_reuse_mode", "1"),
    ("net/ipv4/vs/conntrack", "0"),
    ("net/ipv4/vs/debug_level", "0"),
    ("net/ipv4/vs/drop_entry", "0"),
    ("net/ipv4/vs/drop_packet", "0"),
    ("net/ipv4/vs/expire_nodest_conn", "0"),
    ("net/ipv4/vs/expire_quiescent_template", "0"),
    ("net/ipv4/vs/ignore_tunneled", "0"),
    ("net/ipv4/vs/nat_icmp_send", "0"),
    ("net/ipv4/vs/pmtu_disc", "1"),
    ("net/ipv4/vs/run_estimation", "1"),
    ("net/ipv4/vs/schedule_icmp", "0"),
    ("net/ipv4/vs/secure_tcp", "0"),
    ("net/ipv4/vs/sloppy_sctp", "0"),
    ("net/ipv4/vs/sloppy_tcp", "0"),
    ("net/ipv4/vs/snat_reroute", "1"),
    ("net/ipv4/vs/sync_persist_mode", "0"),
    ("net/ipv4/vs/sync_ports", "1"),
    ("net/ipv4/vs/sync_qlen_max", "7825"), // the kernel derives it from the memory
    ("net/ipv4/vs/sync_refresh_period", "0"),
    ("net/ipv4/vs/sync_retries", "0"),
    ("net/ipv4/vs/sync_sock_size", "0"),
    ("net/ipv4/vs/sync_threshold", "3 50"),
    ("net/ipv4/vs/sync_version", "1"),
];

/// What every device has, below `net`, with the kernel's defaults.
pub(super) const DEVICE: &[(&str, &str, &str)] = &[
    ("ipv4", "accept_local", "0"),
    ("ipv4", "accept_redirects", "1"),
    ("ipv4", "arp_announce", "0"),
    ("ipv4", "arp_filter", "0"),
    ("ipv4", "arp_ignore", "0"),
    ("ipv4", "arp_notify", "0"),
    ("ipv4", "forwarding", "0"),
    ("ipv4", "route_localnet", "0"),
    ("ipv4", "rp_filter", "0"),
    ("ipv4", "send_redirects", "1"),
    ("ipv6", "accept_dad", "1"),
    ("ipv6", "accept_ra", "1"),
    ("ipv6", "accept_redirects", "1"),
    ("ipv6", "autoconf", "1"),
    ("ipv6", "dad_transmits", "1"),
    ("ipv6", "disable_ipv6", "0"),
    ("ipv6", "forwarding", "0"),
];

impl Fake {
    /// Makes sysctls appear that are not there yet.
    pub(super) fn appear(&mut self, table: &[(&str, &str)]) {
        for (path, value) in table {
            if let Some(key) = SysctlKey::parse(path) {
                self.appears(key, value);
            }
        }
    }

    pub(super) fn appears(&mut self, key: SysctlKey, value: &str) {
        let value = Resource::from(SysctlValue { value: value.to_owned(), unless: None });
        let key = Key::Sysctl(key);
        self.observed.absent.remove(&key);
        self.state().objects.entry(key).or_insert(value);
    }

    pub(super) fn load(&mut self, name: &str) -> Answer {
        if self.missing_modules.contains(name) {
            return Err(Refusal { errno: Errno::ENOENT as i32, text: Some(format!("Module {name} not found")) });
        }
        self.state().objects.insert(Key::Module(name.to_owned()), Resource::Module);
        if name == "ip_vs" || name.starts_with("ip_vs_") {
            self.load_ipvs();
        }
        match name {
            "ip_vs_lblc" => self.appear(&[("net/ipv4/vs/lblc_expiration", "86400")]),
            "ip_vs_lblcr" => self.appear(&[("net/ipv4/vs/lblcr_expiration", "86400")]),
            _ => {}
        }
        Ok(())
    }

    fn load_ipvs(&mut self) {
        self.observed.kernel.ipvs = true;
        self.appear(IPVS);
        let timeouts = Timeouts { tcp: Some(900), tcp_fin: Some(120), udp: Some(300) };
        self.state().objects.entry(Key::Timeouts).or_insert(Resource::Timeouts(timeouts));
    }

    /// Asking for the generic netlink family loads the module.
    pub(super) fn ask_for_ipvs(&mut self) -> Answer {
        if self.observed.kernel.ipvs {
            return Ok(());
        }
        if self.missing_modules.contains("ip_vs") {
            return Err(no(Errno::ENOENT));
        }
        self.load_ipvs();
        Ok(())
    }

    /// Writes a value and reads it back as we do of the real kernel: what it makes something else of is put back.
    pub(super) fn write(&mut self, key: &SysctlKey, value: &SysctlValue) -> Answer {
        let name = Key::Sysctl(key.clone());
        let Some(Resource::Sysctl(before)) = self.observed.state.objects.get(&name).cloned() else {
            return Err(no(Errno::ENOENT));
        };
        let kept = SysctlValue::new(key, &taken(key, &before.value, &value.value).ok_or_else(|| no(Errno::EINVAL))?);
        self.put(name.clone(), *before.clone(), kept.clone());
        if kept.value == value.value {
            return Ok(());
        }
        self.put(name, kept, *before);
        Err(no(Errno::ERANGE))
    }

    fn put(&mut self, name: Key, before: SysctlValue, after: SysctlValue) {
        let after = Resource::from(after);
        let change = Change { key: name, before: Some(Resource::from(before)), after: Some(after.clone()) };
        for effect in effects(&change, &self.observed) {
            self.follow(effect);
        }
        self.state().objects.insert(change.key, after);
    }
}

/// What the kernel makes of a text (`proc_dointvec`): as many numbers as there were, each written or left as it was, and
/// nothing behind them. A value that was no number takes any text. `None`: it refuses.
fn taken(key: &SysctlKey, before: &str, text: &str) -> Option<String> {
    let Some(mut numbers) = before.split_whitespace().map(number).collect::<Option<Vec<i32>>>().filter(|it| !it.is_empty())
    else {
        return Some(text.to_owned());
    };
    let parsed = (!text.trim().is_empty())
        .then(|| numbers.iter_mut().zip(text.split_whitespace()).try_for_each(|(slot, word)| number(word).map(|it| *slot = it)))
        .flatten();
    if parsed.is_none() && key.path().starts_with("net/ipv6/conf/") && key.path().ends_with("/forwarding") {
        return Some(before.to_owned()); // `addrconf_sysctl_forward` forgets the error
    }
    (parsed.is_some() && accepted(key, &numbers)).then(|| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

/// A number as C spells it: a leading 0 is octal, 0x hexadecimal.
fn number(word: &str) -> Option<i32> {
    let (sign, digits) = word.strip_prefix('-').map_or((1, word), |digits| (-1, digits));
    let magnitude = match (digits.strip_prefix("0x"), digits.strip_prefix('0').filter(|rest| !rest.is_empty())) {
        (Some(digits), _) => i64::from_str_radix(digits, 16),
        (None, Some(digits)) => i64::from_str_radix(digits, 8),
        (None, None) => digits.parse(),
    };
    i32::try_from(sign * magnitude.ok().filter(|number| *number <= 1 << 31)?).ok()
}

/// Whether the kernel takes these numbers. Most integers are unchecked.
fn accepted(key: &SysctlKey, numbers: &[i32]) -> bool {
    let Some(name) = key.path().strip_prefix("net/ipv4/vs/") else { return true };
    match (name, numbers) {
        ("drop_entry" | "drop_packet" | "secure_tcp" | "sync_retries", [number]) => (0..=3).contains(number),
        ("sync_ports", [number]) => *number >= 1 && number & (number - 1) == 0,
        ("sync_version", [number]) => (0..=1).contains(number),
        ("sync_threshold", [threshold, period]) => *threshold >= 0 && *period >= 0 && (threshold < period || *period == 0),
        _ => true,
    }
}
