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

    pub(super) fn write(&mut self, key: &SysctlKey, value: &SysctlValue) -> Answer {
        let name = Key::Sysctl(key.clone());
        let Some(before) = self.observed.state.objects.get(&name).cloned() else { return Err(no(Errno::ENOENT)) };
        if !accepted(key, &value.value) {
            return Err(no(Errno::EINVAL));
        }
        let after = Resource::from(SysctlValue::new(key, &value.value));
        let change = Change { key: name, before: Some(before), after: Some(after.clone()) };
        for effect in effects(&change, &self.observed) {
            if let Some(after) = effect.after {
                self.state().objects.insert(effect.key, after);
            }
        }
        self.state().objects.insert(change.key, after);
        Ok(())
    }
}

/// Whether the kernel takes the value. Most integers are unchecked.
fn accepted(key: &SysctlKey, text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let numbers: Vec<i64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let Some(name) = key.path().strip_prefix("net/ipv4/vs/") else { return true };
    if numbers.len() != words.len() {
        return false;
    }
    match (name, numbers.as_slice()) {
        ("drop_entry" | "drop_packet" | "secure_tcp" | "sync_retries", [number]) => (0..=3).contains(number),
        ("sync_ports", [number]) => *number >= 1 && number & (number - 1) == 0,
        ("sync_version", [number]) => (0..=1).contains(number),
        ("sync_threshold", [threshold, period]) => (0 <= *threshold && threshold < period) || *period == 0,
        ("sync_threshold", _) => false,
        (_, [number]) => i32::try_from(*number).is_ok(),
        _ => false,
    }
}
