//! What other programs see in a namespace, and what they must see where a state holds.
//!
//! The expected lines are written here from the state, after the formats of ipvsadm and ip, and share no code with the
//! library's own texts.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use lvsform::state::{
    Checksum, ClientMask, Encapsulation, Family, Forward, Key, LinkKind, Protocol, Resource, ServiceKey, State, SyncRole,
};
use serde_json::Value;

use crate::director::Director;
use crate::world::World;

/// The lines of `ipvsadm -Sn`, sorted: each names its service.
pub fn table(world: &World) -> Vec<String> {
    sorted(world.witness("ipvsadm", "-Sn").lines().map(str::to_owned))
}

/// The counters of each service and server, a line each.
pub fn counters(world: &World) -> Vec<String> {
    by_service(&world.witness("ipvsadm", "-Ln --stats --exact"), 5)
}

/// Upper and lower threshold of each server, a line each.
pub fn thresholds(world: &World) -> Vec<String> {
    let lines = by_service(&world.witness("ipvsadm", "-Ln --thresholds"), 2);
    lines.into_iter().filter(|line| line.contains("->")).collect()
}

/// The lines of a listing with the service before each server, and so many of the columns after it.
fn by_service(listing: &str, columns: usize) -> Vec<String> {
    let mut service = String::new();
    let mut lines = Vec::new();
    for line in listing.lines().skip(3) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(server) = words.strip_prefix(&["->"]) {
            lines.push(format!("{service} -> {}", server[..=columns].join(" ")));
        } else {
            let named = if words.get(2) == Some(&"IPv6") { 3 } else { 2 };
            service = words[..named].join(" ");
            let counted = words[named..].iter().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
            lines.push(format!("{service} {}", counted.copied().collect::<Vec<_>>().join(" ")));
        }
    }
    sorted(lines.into_iter())
}

/// The order of a service's servers, oldest first, as `ipvsadm` lists them unsorted.
pub fn order(world: &World, service: &str) -> Vec<String> {
    let listing = world.witness("ipvsadm", "-Ln --nosort");
    let lines = listing.lines().skip_while(|line| !line.split_whitespace().take(2).eq(service.split(' '))).skip(1);
    let servers = lines.map_while(|line| line.trim_start().strip_prefix("-> ")?.split(' ').next().map(str::to_owned));
    let mut servers: Vec<String> = servers.collect();
    servers.reverse();
    servers
}

/// Every address but the kernel's own, as `ip` shows it: `10.0.0.100/32 eth0`, with `nodad` and `deprecated`.
pub fn addresses(world: &World) -> Vec<String> {
    let devices = world.witness_json("ip", "-j addr show");
    let mut lines = Vec::new();
    for device in list(&devices) {
        for address in list(&device["addr_info"]).iter().filter(|address| address["scope"] == "global") {
            let flag = |name: &str| if address[name] == true { format!(" {name}") } else { String::new() };
            let [local, name] = [&address["local"], &device["ifname"]].map(|text| text.as_str().expect("a text"));
            lines.push(format!("{local}/{} {name}{}{}", address["prefixlen"], flag("nodad"), flag("deprecated")));
        }
    }
    sorted(lines.into_iter())
}

/// Every device but `lo` and what a tunnel module brings, as `ip` shows it.
pub fn devices(world: &World) -> Vec<String> {
    let devices = world.witness_json("ip", "-j -d link show");
    let line = |device: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let data = &device["linkinfo"]["info_data"];
        let up = list(&device["flags"]).iter().any(|flag| flag == "UP");
        [
            text(&device["ifname"]),
            text(&device["linkinfo"]["info_kind"]),
            format!("up={up} mtu={} alias={}", device["mtu"], text(&device["ifalias"])),
            format!("{} {} {} {}", text(&data["local"]), text(&data["remote"]), data["ttl"], text(&data["ikey"])),
        ]
        .join(" ")
    };
    let by_module = ["lo", "tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip6tnl0", "ip6gre0"];
    let ours = list(&devices).iter().filter(|device| !by_module.contains(&device["ifname"].as_str().unwrap_or_default()));
    sorted(ours.map(line))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A file below `/proc/sys` with its white space folded; `None`: this namespace does not have it.
pub fn sysctl(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(Path::new("/proc/sys").join(path)).ok()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// All that the witnesses see: two of them are equal where nobody did anything in between.
pub fn everything(world: &World, director: &Director) -> Vec<String> {
    let mut lines = vec![
        table(world).join("\n"),
        thresholds(world).join("\n"),
        addresses(world).join("\n"),
        devices(world).join("\n"),
        world.witness("ipvsadm", "-Ln --timeout"),
        world.witness("ipvsadm", "-Ln --daemon"),
    ];
    lines.extend(director.scope().sysctls.iter().map(|key| format!("{key} = {:?}", sysctl(key.path()))));
    lines
}

/// Every witness agrees with what the file asks of this director; what is beside it in the table is `foreign`.
#[track_caller]
pub fn agree(world: &World, director: &Director, foreign: &[&str]) {
    let state = &director.compiled.state;
    let foreign = foreign.iter().map(|line| (*line).to_owned());
    assert_eq!(table(world), sorted(expected_table(state).into_iter().chain(foreign)));
    let wanted: BTreeSet<String> = expected_thresholds(state).into_iter().collect();
    let seen: BTreeSet<String> = thresholds(world).into_iter().collect();
    assert!(wanted.is_subset(&seen), "{:?}", wanted.difference(&seen));
    let interfaces = &director.topology.hosts[&director.host].interfaces;
    let own = interfaces.iter().flat_map(|(name, interface)| {
        let of_a_device = |address: &lvsform::source::At<ipnet::IpNet>| {
            let nodad = if address.value.addr().is_ipv6() { " nodad" } else { "" };
            format!("{} {name}{nodad}", address.value)
        };
        interface.addresses.iter().map(of_a_device).collect::<Vec<_>>()
    });
    assert_eq!(addresses(world), sorted(own.chain(expected_addresses(state))));
    let devices = devices(world);
    for line in expected_devices(state) {
        assert!(devices.iter().any(|device| device.starts_with(&line)), "no `{line}` in {devices:#?}");
    }
    for (key, resource) in &state.objects {
        match (key, resource) {
            (Key::Sysctl(key), Resource::Sysctl(wanted)) => {
                // A value of the whole host that this namespace does not have.
                let Some(seen) = sysctl(key.path()) else {
                    assert!(key.path().starts_with("net/core/"), "{key} is missing");
                    continue;
                };
                assert!(seen == wanted.value || Some(&seen) == wanted.unless.as_ref(), "{key} = {seen}, not {}", wanted.value);
            }
            (Key::Timeouts, Resource::Timeouts(wanted)) => {
                let line = world.witness("ipvsadm", "-Ln --timeout");
                let seen: Vec<u32> = line.split(' ').filter_map(|word| word.trim().parse().ok()).collect();
                assert_eq!(seen.len(), 3, "{line}");
                for (wanted, seen) in [wanted.tcp, wanted.tcp_fin, wanted.udp].iter().zip(seen) {
                    assert!(wanted.is_none_or(|wanted| wanted == seen), "{line}");
                }
            }
            (Key::Order(service), Resource::Order(wanted)) => {
                let wanted: Vec<String> = wanted.servers.iter().map(|server| server.0.to_string()).collect();
                assert_eq!(order(world, &listed(service)), wanted);
            }
            _ => {}
        }
    }
    let daemons = world.witness("ipvsadm", "-Ln --daemon");
    let daemons: Vec<&str> = daemons.lines().collect();
    let wanted = expected_daemons(state);
    assert_eq!(daemons.len(), wanted.len(), "{daemons:?}");
    for line in wanted {
        assert!(daemons.iter().any(|daemon| daemon.starts_with(&line)), "no `{line}` in {daemons:?}");
    }
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

/// A service as `-S` spells it.
fn saved(service: &ServiceKey) -> String {
    match service {
        ServiceKey::Mark { family: Family::Ipv4, mark } => format!("-f {mark}"),
        ServiceKey::Mark { family: Family::Ipv6, mark } => format!("-f {mark} -6"),
        ServiceKey::Tuple { protocol, address, port } => {
            let flag = match *protocol {
                Protocol::Tcp => "-t",
                Protocol::Udp => "-u",
                _ => "--sctp-service",
            };
            format!("{flag} {}", SocketAddr::new(*address, *port))
        }
    }
}

/// A service as `-L` spells it.
fn listed(service: &ServiceKey) -> String {
    match service {
        ServiceKey::Mark { family: Family::Ipv4, mark } => format!("FWM {mark}"),
        ServiceKey::Mark { family: Family::Ipv6, mark } => format!("FWM {mark} IPv6"),
        ServiceKey::Tuple { protocol, address, port } => {
            format!("{} {}", protocol.to_string().to_uppercase(), SocketAddr::new(*address, *port))
        }
    }
}

fn expected_table(state: &State) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, resource) in &state.objects {
        match (key, resource) {
            (Key::Service(key), Resource::Service(service)) => {
                let mut line = format!("-A {} -s {}", saved(key), service.scheduler);
                if let Some(persistence) = service.persistence {
                    line += &format!(" -p {}", persistence.timeout);
                    match persistence.clients {
                        ClientMask::Ipv4(mask) if mask.to_bits() != u32::MAX => line += &format!(" -M {mask}"),
                        ClientMask::Ipv6(length) if length != 128 => line += &format!(" -M {length}"),
                        _ => {}
                    }
                }
                if let Some(engine) = &service.engine {
                    line += &format!(" --pe {engine}");
                }
                if service.flags.one_packet {
                    line += " -o";
                }
                let name = &service.scheduler;
                let options = [(service.flags.sched1, "fallback"), (service.flags.sched2, "port")];
                let options: Vec<String> =
                    options.into_iter().filter(|(set, _)| *set).map(|(_, option)| format!("{name}-{option}")).collect();
                if !options.is_empty() {
                    line += &format!(" -b {}", options.join(","));
                }
                lines.push(line);
            }
            (Key::Destination(key), Resource::Destination(destination)) => {
                let (flag, tunnel) = match destination.forward {
                    Forward::Nat => ("-m", String::new()),
                    Forward::Dr => ("-g", String::new()),
                    Forward::Tun(encapsulation) => ("-i", tunnel(encapsulation)),
                    Forward::Other(method) => panic!("no file asks for method {method}"),
                };
                let server = SocketAddr::new(key.address, key.port);
                let weight = destination.weight.value();
                lines.push(format!("-a {} -r {server} {flag} -w {weight}{tunnel}", saved(&key.service)));
            }
            _ => {}
        }
    }
    lines
}

fn tunnel(encapsulation: Encapsulation) -> String {
    let checksum = |checksum| match checksum {
        Checksum::None => " --tun-nocsum",
        Checksum::Csum => " --tun-csum",
        Checksum::Remcsum => " --tun-remcsum",
        Checksum::Other(flags) => panic!("no file asks for flags {flags}"),
    };
    match encapsulation {
        Encapsulation::Ipip => " --tun-type ipip".to_owned(),
        Encapsulation::Gue { port, checksum: sum } => format!(" --tun-type gue --tun-port {port}{}", checksum(sum)),
        Encapsulation::Gre { checksum: sum } => format!(" --tun-type gre{}", checksum(sum)),
        Encapsulation::Other(number) => panic!("no file asks for tunnel type {number}"),
    }
}

fn expected_thresholds(state: &State) -> Vec<String> {
    let line = |(key, resource): (&Key, &Resource)| match (key, resource) {
        (Key::Destination(key), Resource::Destination(destination)) => Some(format!(
            "{} -> {} {} {}",
            listed(&key.service),
            SocketAddr::new(key.address, key.port),
            destination.max_connections,
            destination.min_connections
        )),
        _ => None,
    };
    state.objects.iter().filter_map(line).collect()
}

fn expected_addresses(state: &State) -> Vec<String> {
    let line = |key: &Key| {
        let Key::Address(key) = key else { return None };
        // An address of a tunnel is an ordinary one; a VIP is its whole prefix.
        let vip = key.prefix == Family::of(key.address).bits();
        let flags = if matches!(key.address, IpAddr::V6(_)) && vip { " nodad deprecated" } else { "" };
        Some(format!("{}/{} {}{flags}", key.address, key.prefix, key.interface))
    };
    state.objects.keys().filter_map(line).collect()
}

fn expected_devices(state: &State) -> Vec<String> {
    let line = |(key, resource): (&Key, &Resource)| match (key, resource) {
        (Key::Link(name), Resource::Link(link)) => {
            let alias = link.alias.as_deref().unwrap_or("-");
            let start = |kind: &str, mtu: u32| format!("{name} {kind} up=true mtu={mtu} alias={alias}");
            Some(match &link.device {
                LinkKind::Tunnel(tunnel) => {
                    let address =
                        |address: Option<IpAddr>| address.map_or_else(|| "any".to_owned(), |address| address.to_string());
                    let key = tunnel.key.map_or_else(|| "-".to_owned(), |key| std::net::Ipv4Addr::from(key).to_string());
                    let ends = format!("{} {}", address(tunnel.local), address(tunnel.remote));
                    format!("{} {ends} {} {key}", start(tunnel.kind.name(), link.mtu.unwrap_or(0)), tunnel.ttl)
                }
                _ => start("dummy", link.mtu.unwrap_or(1500)),
            })
        }
        _ => None,
    };
    state.objects.iter().filter_map(line).collect()
}

fn expected_daemons(state: &State) -> Vec<String> {
    let line = |(key, resource): (&Key, &Resource)| match (key, resource) {
        (Key::Sync(role), Resource::Sync(daemon)) => {
            let role = match role {
                SyncRole::Master => "master",
                SyncRole::Backup => "backup",
            };
            let length = daemon.max_length.map(|length| format!("maxlen={length}, group={}", daemon.group));
            let start = format!("{role} sync daemon (mcast={}, syncid={}", daemon.interface, daemon.id);
            Some(length.map_or(start.clone(), |length| format!("{start}, {length}, port={}, ttl={}", daemon.port, daemon.ttl)))
        }
        _ => None,
    };
    state.objects.iter().filter_map(line).collect()
}
