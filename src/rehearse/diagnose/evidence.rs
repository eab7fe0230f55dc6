//! What hosts have dropped, and what stands in the way that nobody applied.

use super::Finding;
use super::drift;
use crate::rehearse::scene::Scene;
use crate::rehearse::trial::Trial;
use crate::state::{Key, Link, Resource};

/// Packets that a host dropped since it would have answered them by another interface.
pub(super) fn dropped_by_reverse_path(scene: &Scene<'_>, host: &str) -> Option<Finding> {
    let namespace = scene.net.hosts.get(host)?;
    let count = counter(&namespace.proc("netstat"), "TcpExt:", "IPReversePathFilter")?;
    if count == 0 {
        return None;
    }
    let devices: Vec<String> = namespace
        .run(|| std::fs::read_dir("/proc/sys/net/ipv4/conf"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|device| !matches!(device.as_str(), "default" | "lo"))
        .map(|device| {
            format!(
                "net.ipv4.conf.{device}.rp_filter = {}",
                namespace.proc(&format!("sys/net/ipv4/conf/{device}/rp_filter")).trim()
            )
        })
        .collect();
    let mut evidence = vec![format!("IPReversePathFilter: {count} packets")];
    evidence.extend(devices);
    Some(Finding {
        cause: "rp-filter",
        host: host.to_owned(),
        text: format!("{host} dropped packets because it would have answered them by another interface"),
        evidence,
        remedy: "set rp_filter to 2 on the interface by which they come (the larger of `all` and the interface counts)"
            .to_owned(),
    })
}

/// A number of `/proc/net/netstat` or `/proc/net/snmp`: names and numbers are in two lines that begin alike.
fn counter(text: &str, line: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|of| of.starts_with(line));
    let names = lines.next()?.split_ascii_whitespace();
    let numbers = lines.next()?.split_ascii_whitespace();
    names.zip(numbers).find(|(of, _)| *of == name)?.1.parse().ok()
}

/// Rules of nftables that drop or refuse, and that nobody applied.
pub(super) fn firewall(scene: &Scene<'_>, host: &str) -> Option<Finding> {
    let namespace = scene.net.hosts.get(host)?;
    let said = namespace.program_says("nft", "list ruleset");
    let drops = |line: &&str| line.split_ascii_whitespace().any(|word| matches!(word.trim_end_matches(';'), "drop" | "reject"));
    let evidence: Vec<String> = said.lines().map(str::trim).filter(drops).take(5).map(str::to_owned).collect();
    (!evidence.is_empty()).then(|| Finding {
        cause: "firewall",
        host: host.to_owned(),
        text: format!("{host} has rules of nftables that drop packets"),
        evidence,
        remedy: "let the service's packets pass".to_owned(),
    })
}

/// Small packets pass and large ones do not, and no MTU is other than the file says.
pub(super) fn too_large(scene: &Scene<'_>, trial: &Trial, hosts: &[&str]) -> Finding {
    let mut evidence = Vec::new();
    for host in hosts {
        let Some((_, observed)) = drift::live(scene, host) else { continue };
        for (key, resource) in &observed.state.objects {
            if let (Key::Link(name), Resource::Link(link)) = (key, resource)
                && let Link { mtu: Some(mtu), up: true, .. } = link.as_ref()
                && name != "lo"
            {
                evidence.push(format!("{host} {name}: mtu {mtu}"));
            }
        }
    }
    Finding {
        cause: "mtu",
        host: trial.director.clone(),
        text: format!("packets of full size get lost between clients and the servers of {}", trial.listen()),
        evidence,
        remedy: "make the MTU between director and servers larger by what `tun` adds, or let ICMP \"too big\" pass".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::counter;

    #[test]
    fn a_counter_is_the_number_below_its_name() {
        let text = "TcpExt: A IPReversePathFilter\nTcpExt: 1 7\nIpExt: A\nIpExt: 2\n";
        assert_eq!(counter(text, "TcpExt:", "IPReversePathFilter"), Some(7));
        assert_eq!(counter(text, "TcpExt:", "B"), None);
    }
}
