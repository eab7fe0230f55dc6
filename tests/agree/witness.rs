//! What `ipvsadm -Sn` must say of a state. It sorts nothing that is not sorted here, and leaves thresholds and order out.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::SocketAddr;

use lvsform::state::{
    Checksum, ClientMask, Destination, Encapsulation, Family, Forward, Key, Protocol, Resource, Service, ServiceKey, State,
};

/// The lines, sorted.
pub fn saved(state: &State) -> BTreeSet<String> {
    let line = |(key, resource): (&Key, &Resource)| match (key, resource) {
        (Key::Service(key), Resource::Service(service)) => Some(format!("-A {} {}", name(*key), service_words(service))),
        (Key::Destination(key), Resource::Destination(destination)) => {
            let server = SocketAddr::new(key.address, key.port);
            Some(format!("-a {} -r {server} {}", name(key.service), server_words(destination)))
        }
        _ => None,
    };
    state.objects.iter().filter_map(line).collect()
}

/// What `ipvsadm -Sn` said, in the same form.
pub fn lines(said: &str) -> BTreeSet<String> {
    said.lines().map(|line| line.trim().to_owned()).collect()
}

fn name(key: ServiceKey) -> String {
    match key {
        ServiceKey::Mark { family: Family::Ipv4, mark } => format!("-f {mark}"),
        ServiceKey::Mark { family: Family::Ipv6, mark } => format!("-f {mark} -6"),
        ServiceKey::Tuple { protocol, address, port } => {
            let word = match protocol {
                Protocol::Udp => "-u",
                Protocol::Sctp => "--sctp-service",
                _ => "-t",
            };
            format!("{word} {}", SocketAddr::new(address, port))
        }
    }
}

fn service_words(service: &Service) -> String {
    let mut words = format!("-s {}", service.scheduler);
    if let Some(persistence) = service.persistence {
        _ = write!(words, " -p {}", persistence.timeout);
        match persistence.clients {
            ClientMask::Ipv4(mask) if mask.to_bits() != u32::MAX => _ = write!(words, " -M {mask}"),
            ClientMask::Ipv6(length) if length != 128 => _ = write!(words, " -M {length}"),
            _ => {}
        }
    }
    if service.flags.one_packet {
        words += " -o";
    }
    let hash = matches!(service.scheduler.as_str(), "sh" | "mh");
    let flag = |set: bool, of_hash: &str, number: u8| {
        let word = if hash { format!("{}-{of_hash}", service.scheduler) } else { format!("flag-{number}") };
        set.then_some(word)
    };
    let flags: Vec<String> =
        [flag(service.flags.sched1, "fallback", 1), flag(service.flags.sched2, "port", 2)].into_iter().flatten().collect();
    if !flags.is_empty() {
        _ = write!(words, " -b {}", flags.join(","));
    }
    words
}

fn server_words(destination: &Destination) -> String {
    let checksum = |checksum| match checksum {
        Checksum::Csum => "--tun-csum",
        Checksum::Remcsum => "--tun-remcsum",
        _ => "--tun-nocsum",
    };
    let weight = destination.weight.value();
    match destination.forward {
        Forward::Nat => format!("-m -w {weight}"),
        Forward::Dr | Forward::Other(_) => format!("-g -w {weight}"),
        Forward::Tun(Encapsulation::Gue { port, checksum: flags }) => {
            format!("-i -w {weight} --tun-type gue --tun-port {port} {}", checksum(flags))
        }
        Forward::Tun(Encapsulation::Gre { checksum: flags }) => format!("-i -w {weight} --tun-type gre {}", checksum(flags)),
        Forward::Tun(_) => format!("-i -w {weight} --tun-type ipip"),
    }
}
