//! Gathering evidence: `/proc`, `/sys`, `ip` and `nft`, read and never written. No module is loaded.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use ipnet::IpNet;
use serde_json::Value;

use super::legacy;
use crate::doctor::{Device, Evidence, OF_DEVICES, Question, Ruleset, SINGLE, Socket, Unseen, Way};
use crate::kernel::linux::Linux;
use crate::state::Protocol;

/// Everything; an error where there is no `ip`.
pub(super) fn look(kernel: &Linux, questions: &[Question]) -> Result<Evidence, String> {
    let devices = devices()?;
    let mut unseen = Vec::new();
    let filters = filters(kernel, &mut unseen);
    Ok(Evidence {
        sysctls: sysctls(&devices),
        routes: questions.iter().map(way).collect(),
        programs: programs(),
        filters,
        unseen,
        silent_neighbours: silent_neighbours(),
        listening: listening(),
        table_bits: read("/sys/module/ip_vs/parameters/conn_tab_bits").and_then(|text| text.parse().ok()),
        networkd_spares_others: networkd_spares_others(),
        networkd_takes_addresses: networkd_takes_addresses(&devices),
        restored_at_boot: restored_at_boot(),
        devices,
    })
}

#[expect(clippy::disallowed_methods, reason = "what is seen of a host")]
pub(super) fn read(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// What a program says as JSON; an error is what it said otherwise.
fn said(program: &str, words: &[&str]) -> Result<Value, String> {
    serde_json::from_slice(&output(program, words)?).map_err(|error| format!("{program}: {error}"))
}

/// What a program says; an error is what it said otherwise.
#[expect(clippy::disallowed_methods, reason = "programs of the system, by absolute path")]
pub(super) fn output(program: &str, words: &[&str]) -> Result<Vec<u8>, String> {
    let path = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(program));
    let path = path.into_iter().find(|path| path.exists()).ok_or_else(|| format!("there is no program `{program}`"))?;
    let done = Command::new(path).args(words).stdin(Stdio::null()).env("LC_ALL", "C").output();
    let done = done.map_err(|error| format!("{program}: {error}"))?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).trim().to_owned());
    }
    Ok(done.stdout)
}

fn devices() -> Result<BTreeMap<String, Device>, String> {
    let links = said("ip", &["-j", "address", "show"])?;
    let device = |link: &Value| {
        let has = |flag: &str| link["flags"].as_array().is_some_and(|flags| flags.iter().any(|one| one == flag));
        let device = Device {
            mtu: u32::try_from(link["mtu"].as_u64()?).unwrap_or(u32::MAX),
            works: has("UP") && (has("LOWER_UP") || link["operstate"] == "UNKNOWN"),
            speaks_arp: link["link_type"] == "ether" && !has("NOARP"),
            addresses: link["addr_info"].as_array().into_iter().flatten().filter_map(network).collect(),
        };
        Some((link["ifname"].as_str()?.to_owned(), device))
    };
    Ok(links.as_array().into_iter().flatten().filter_map(device).collect())
}

fn network(said: &Value) -> Option<IpNet> {
    let address = said["local"].as_str()?.parse().ok()?;
    IpNet::new(address, u8::try_from(said["prefixlen"].as_u64()?).ok()?).ok()
}

fn silent_neighbours() -> BTreeMap<IpAddr, String> {
    let neighbours = said("ip", &["-j", "neigh", "show", "nud", "failed"]).unwrap_or_default();
    let of = |one: &Value| Some((one["dst"].as_str()?.parse().ok()?, one["dev"].as_str()?.to_owned()));
    neighbours.as_array().into_iter().flatten().filter_map(of).collect()
}

/// tcp in `LISTEN` (`TCP_LISTEN` is 10), and udp that is not connected (`TCP_CLOSE` is 7).
fn listening() -> Option<Vec<Socket>> {
    let mut sockets = Vec::new();
    for (file, protocol, state) in
        [("tcp", Protocol::Tcp, "0A"), ("tcp6", Protocol::Tcp, "0A"), ("udp", Protocol::Udp, "07"), ("udp6", Protocol::Udp, "07")]
    {
        // `/proc/net` would be the first thread's. A kernel without IPv6 has two of the four.
        let Some(text) = read(Path::new("/proc/thread-self/net").join(file)) else { continue };
        for line in text.lines().skip(1) {
            let mut words = line.split_whitespace().skip(1);
            let (Some(own), Some(_), Some(is)) = (words.next(), words.next(), words.next()) else { continue };
            let place = own.split_once(':').filter(|_| is == state);
            let Some((address, port)) = place else { continue };
            let (Some(address), Ok(port)) = (address_of(address), u16::from_str_radix(port, 16)) else { continue };
            sockets.push(Socket { protocol, address, port });
        }
    }
    Some(sockets).filter(|_| Path::new("/proc/thread-self/net/tcp").exists())
}

/// Words of 32 bits as this machine has them, in hexadecimal digits.
fn address_of(digits: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(digits.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    if digits.len() == 8 {
        return Some(IpAddr::from(word(0)?));
    }
    let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
    Some(IpAddr::from(<[u8; 16]>::try_from(words).ok()?))
}

fn sysctls(devices: &BTreeMap<String, Device>) -> BTreeMap<String, String> {
    let names = devices.keys().map(String::as_str).chain(["all"]);
    let of_devices = names.flat_map(|name| OF_DEVICES.map(|path| path.replace('*', name)));
    let paths = of_devices.chain(SINGLE.map(str::to_owned));
    paths.filter_map(|path| read(Path::new("/proc/sys/net").join(&path)).map(|value| (path, value))).collect()
}

fn way(question: &Question) -> Result<Way, String> {
    let Question { to, from, leaving } = question;
    let mut words = vec!["-j".to_owned(), "route".to_owned(), "get".to_owned(), to.to_string()];
    if let Some(from) = from {
        words.extend(["from".to_owned(), from.to_string()]);
    }
    if let Some((protocol, port)) = leaving {
        words.extend(["ipproto".to_owned(), protocol.to_string()]);
        if *port != 0 {
            words.extend(["sport".to_owned(), port.to_string()]);
        }
    }
    let answer = said("ip", &words.iter().map(String::as_str).collect::<Vec<_>>())?;
    let device = answer[0]["dev"].as_str().ok_or("no device")?.to_owned();
    let via = answer[0]["gateway"].as_str().or_else(|| answer[0]["via"]["host"].as_str());
    Ok(Way { device, via: via.and_then(|via| via.parse().ok()) })
}

fn programs() -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_process))
        .filter_map(|entry| read(entry.path().join("comm")))
        .collect()
}

/// The rules of nftables but for our own, iptables-nft's among them, and those of iptables-legacy.
fn filters(kernel: &Linux, unseen: &mut Vec<Unseen>) -> Option<Ruleset> {
    let chains = legacy::chains(unseen);
    if !kernel.has_nftables() {
        return Some(Ruleset { chains, ..Ruleset::default() });
    }
    let ruleset = said("nft", &["-j", "list", "ruleset"]).and_then(|ruleset| {
        Ruleset::read(&ruleset, |table| table.starts_with("lvsform-")).ok_or_else(|| "nft: no rules in what it says".to_owned())
    });
    match ruleset {
        Ok(mut ruleset) => {
            ruleset.chains.extend(chains);
            Some(ruleset)
        }
        Err(why) => {
            unseen.push(Unseen {
                what: "whether nftables drops packets".to_owned(),
                why,
                mend: "install nftables, and run this as root".to_owned(),
            });
            None
        }
    }
}

/// The unit of Red Hat's package where it is enabled, and the switch of Debian's script.
fn restored_at_boot() -> Option<String> {
    let enabled = "/etc/systemd/system/multi-user.target.wants/ipvsadm.service";
    if std::fs::symlink_metadata(enabled).is_ok() {
        return Some(format!("{enabled} is there"));
    }
    let says = |line: &str| line.trim().strip_prefix("AUTO=").is_some_and(|value| value.trim_matches('"') == "true");
    let switched = read("/etc/default/ipvsadm").is_some_and(|text| text.lines().any(says));
    switched.then(|| "AUTO=\"true\" in /etc/default/ipvsadm".to_owned())
}

fn networkd_spares_others() -> bool {
    let mut files = vec![Path::new("/etc/systemd/networkd.conf").to_path_buf()];
    for folder in ["/etc/systemd/networkd.conf.d", "/usr/lib/systemd/networkd.conf.d"] {
        files.extend(std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    let says = |key: &str| {
        files.iter().filter_map(read).any(|text| {
            text.lines().any(|line| {
                line.trim()
                    .split_once('=')
                    .is_some_and(|(name, value)| name.trim() == key && matches!(value.trim(), "no" | "false" | "0" | "off"))
            })
        })
    };
    says("ManageForeignRoutes") && says("ManageForeignRoutingPolicyRules")
}

/// The devices that systemd-networkd configures, with the file that says how, where none of its files says that addresses of
/// others stay.
fn networkd_takes_addresses(devices: &BTreeMap<String, Device>) -> BTreeMap<String, String> {
    let of = |name: &String| {
        let index = read(Path::new("/sys/class/net").join(name).join("ifindex"))?;
        let link = read(Path::new("/run/systemd/netif/links").join(index))?;
        let files = network_files(&link);
        let keeps = files.iter().filter_map(read).filter_map(|text| keeps_addresses(&text)).next_back().unwrap_or(false);
        (!keeps).then(|| Some((name.clone(), files.first()?.clone()))).flatten()
    };
    devices.keys().filter_map(of).collect()
}

/// The files that a link's state names: `NETWORK_FILE=`, and what is laid over it; none where networkd leaves the link alone.
fn network_files(link: &str) -> Vec<String> {
    let value = |key: &str| {
        let lines = link.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(name, _)| *name == key).map(|(_, value)| value.trim().trim_matches('"')).next().unwrap_or_default()
    };
    let Some(file) = Some(value("NETWORK_FILE")).filter(|file| !file.is_empty()) else { return Vec::new() };
    [file].into_iter().chain(value("NETWORK_FILE_DROPINS").split_whitespace()).map(str::to_owned).collect()
}

/// Whether a file of networkd says that addresses of others stay (`man systemd.network`); `None`: it does not say.
fn keeps_addresses(text: &str) -> Option<bool> {
    let lines = text.lines().filter_map(|line| line.trim().split_once('='));
    let last = lines.filter(|(name, _)| name.trim() == "KeepConfiguration").map(|(_, value)| value.trim()).next_back()?;
    Some(matches!(last, "static" | "yes" | "true" | "on" | "1"))
}

#[cfg(test)]
mod tests {
    use super::{keeps_addresses, network_files};

    #[test]
    fn networkd_says_which_file_a_link_is_of_and_what_stays() {
        let link = "# This is private data. Do not parse.\nADMIN_STATE=configured\nOPER_STATE=routable\n\
            NETWORK_FILE=/etc/systemd/network/10-lan.network\n\
            NETWORK_FILE_DROPINS=\"/etc/systemd/network/10-lan.network.d/vip.conf\"\n";
        let files = ["/etc/systemd/network/10-lan.network", "/etc/systemd/network/10-lan.network.d/vip.conf"];
        assert_eq!(network_files(link), files);
        assert!(network_files("ADMIN_STATE=unmanaged\n").is_empty());
        assert_eq!(keeps_addresses("[Network]\nAddress=10.0.0.2/24\n"), None);
        assert_eq!(keeps_addresses("[Network]\nKeepConfiguration=static\n"), Some(true));
        assert_eq!(keeps_addresses("[Network]\nKeepConfiguration = dhcp\n"), Some(false));
    }
}
