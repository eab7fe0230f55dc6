//! The facts that the file says of a host: its interfaces, their addresses and MTU. Everything else is built on them.

use super::{Finding, Patient};

pub(super) fn findings(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let devices = &patient.evidence.devices;
    for (name, interface) in &patient.host.interfaces {
        let Some(device) = devices.get(name) else {
            let known = devices.keys().map(String::as_str).filter(|name| *name != "lo").collect::<Vec<_>>().join(", ");
            findings.push(Finding::wrong(
                "interface-missing",
                format!("the file says that the host has {name}, and it has not"),
                format!("ip link show: {known}"),
                "correct the name behind `interface`".to_owned(),
            ));
            continue;
        };
        if !device.works {
            findings.push(Finding::wrong(
                "interface-down",
                format!("{name} is down: no packet comes or goes by it"),
                format!("ip link show {name}"),
                format!("ip link set {name} up, and look at its cable"),
            ));
        }
        for network in &interface.addresses {
            let network = network.value;
            if device.addresses.contains(&network) {
                continue;
            }
            let elsewhere = devices.iter().flat_map(|(name, device)| device.addresses.iter().map(move |one| (name, one)));
            let found = elsewhere.into_iter().find(|(_, one)| one.addr() == network.addr());
            let own = || match device.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ") {
                own if own.is_empty() => format!("{name} has none"),
                own => format!("{name} has {own}"),
            };
            let evidence = found.map_or_else(own, |(other, one)| format!("it is {one} on {other}"));
            findings.push(Finding::wrong(
                "wrong-address",
                format!("the file says that {name} has {network}, and it has not"),
                evidence,
                format!("ip address add {network} dev {name}, or correct `interface \"{name}\"`"),
            ));
        }
        findings.extend(mtu(name, device.mtu, interface.mtu.as_ref().map(|mtu| mtu.value)));
    }
    findings
}

/// What everybody's Ethernet has.
const USUAL: u32 = 1500;
/// Below this the kernel takes IPv6 away from a device (RFC 8200 §5).
const LEAST: u32 = 1280;

fn mtu(name: &str, is: u32, said: Option<u32>) -> Option<Finding> {
    let evidence = format!("ip link show {name}: mtu {is}");
    match said {
        Some(said) if said != is => Some(Finding::wrong(
            "mtu-differs",
            format!("the file says that {name} has an mtu of {said}, and it has not"),
            evidence,
            format!("ip link set {name} mtu {said}, or correct `mtu`"),
        )),
        None if is < LEAST => Some(Finding::wrong(
            "small-mtu",
            format!("{name} has less room than IPv6 needs, and than clients send: large packets are lost"),
            evidence,
            format!("ip link set {name} mtu {USUAL}"),
        )),
        None if is < USUAL => Some(Finding::doubtful(
            "small-mtu",
            format!("{name} has less room than the {USUAL} bytes of everybody's Ethernet: large packets may be lost"),
            evidence,
            format!("ip link set {name} mtu {USUAL}, or `mtu={is}` in the file where it is meant so"),
        )),
        _ => None,
    }
}
