//! What stands in the way of a host: the questions of every LVS troubleshooting guide, asked of a topology and of what was seen
//! on the live host. Pure: whoever looks fills in [`Evidence`], and nothing here is ever written.

mod director;
mod facts;
mod filter;
pub mod legacy;
mod server;
mod serving;
mod surroundings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schemars::JsonSchema;
use serde::Serialize;

use crate::compile::Compiled;
use crate::plan::Plan;
use crate::state::{Checksum, Encapsulation, Family, Key, Observed, Protocol, Resource};
use crate::topology::{Host, ReturnMode, Role, Topology};
use ipnet::IpNet;

pub use filter::{Chain, Ruleset};

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Packets are lost, or go astray.
    Wrong,
    /// It may be meant so.
    Doubtful,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// One word for programs.
    pub id: &'static str,
    /// How sure it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// What was seen.
    pub evidence: String,
    /// The command, or the line of the topology, that mends it.
    pub mend: String,
}

impl Finding {
    fn wrong(id: &'static str, what: String, evidence: String, mend: String) -> Finding {
        Finding { id, severity: Severity::Wrong, what, evidence, mend }
    }

    fn doubtful(id: &'static str, what: String, evidence: String, mend: String) -> Finding {
        Finding { severity: Severity::Doubtful, ..Finding::wrong(id, what, evidence, mend) }
    }
}

/// What was seen beside the state that plans are made of.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Values below `/proc/sys/net`, by path: those of [`sysctls`], as far as they are there.
    pub sysctls: BTreeMap<String, String>,
    /// The devices by name.
    pub devices: BTreeMap<String, Device>,
    /// What the kernel answers to [`questions`], in their order.
    pub routes: Vec<Result<Way, String>>,
    /// The names of running programs.
    pub programs: Vec<String>,
    /// The rules of nftables; `None`: nobody could look.
    pub filters: Option<Ruleset>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
    /// The neighbours on Ethernet that do not answer, with their device.
    pub silent_neighbours: BTreeMap<IpAddr, String>,
    /// The sockets that wait for clients; `None`: nobody could look.
    pub listening: Option<Vec<Socket>>,
    /// `conn_tab_bits` of IPVS.
    pub table_bits: Option<u32>,
    /// Whether systemd-networkd was told to leave others' routes and rules alone.
    pub networkd_spares_others: bool,
    /// The devices from which systemd-networkd takes addresses that it did not make, each with the file that says so.
    pub networkd_takes_addresses: BTreeMap<String, String>,
    /// What says that `ipvsadm-restore` fills the table when the host starts.
    pub restored_at_boot: Option<String>,
}

/// A network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// in bytes
    pub mtu: u32,
    /// Whether it is up and has a carrier.
    pub works: bool,
    /// Whether it is Ethernet that speaks ARP.
    pub speaks_arp: bool,
    /// Its addresses with the length of their subnet's prefix.
    pub addresses: Vec<IpNet>,
}

/// Where a packet goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The device.
    pub device: String,
    /// The next router; `None`: the link itself.
    pub via: Option<IpAddr>,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// Which question stays open: `whether …`.
    pub what: String,
    /// Why.
    pub why: String,
    /// What must be done to see it.
    pub mend: String,
}

/// A socket that waits for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// tcp or udp
    pub protocol: Protocol,
    /// Its own address.
    pub address: IpAddr,
    /// Its own port.
    pub port: u16,
}

/// A question to the kernel's routing: `ip route get`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where to.
    pub to: IpAddr,
    /// With this source.
    pub from: Option<IpAddr>,
    /// Of this protocol, from this port.
    pub leaving: Option<(Protocol, u16)>,
}

/// A host, what its topology says of it, and what was seen.
#[derive(Clone, Copy, Debug)]
pub struct Patient<'a> {
    /// The whole topology.
    pub topology: &'a Topology,
    /// The host of it.
    pub host: &'a Host,
    /// What the host must hold.
    pub compiled: &'a Compiled,
    /// What it holds.
    pub observed: &'a Observed,
    /// What else was seen.
    pub evidence: &'a Evidence,
}

/// Somebody outside: of the networks for benchmarks (RFC 2544) and documentation (RFC 3849), which nobody has.
fn outsider(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(198, 18, 255, 254).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0xffff, 0, 0, 0, 0xfffe).into(),
    }
}

/// What to ask the kernel's routing.
pub fn questions(topology: &Topology, host: &Host, compiled: &Compiled) -> Vec<Question> {
    let mut questions = Vec::new();
    for (key, resource) in &compiled.state.objects {
        match (key, resource) {
            (Key::Destination(server), Resource::Destination(_)) => {
                questions.push(Question { to: server.address, from: None, leaving: None });
            }
            (Key::Rule(rule), Resource::Rule) if rule.mark.is_none() => {
                let leaving = rule.protocol.map(|protocol| (protocol, rule.source_port.unwrap_or(0)));
                questions.push(Question { to: outsider(rule.family), from: rule.from, leaving });
            }
            _ => {}
        }
    }
    if server::needs_default_route(topology, host) {
        for family in [Family::Ipv4, Family::Ipv6] {
            questions.push(Question { to: outsider(family), from: None, leaving: None });
        }
    }
    questions.extend(serving::replies(topology, host));
    questions.sort_by_key(|question| (question.to, question.from, question.leaving));
    questions.dedup();
    questions
}

/// The sysctls that decide, beside those that a plan is made of: with these names for every device, and these.
pub const OF_DEVICES: [&str; 6] = [
    "ipv4/conf/*/rp_filter",
    "ipv4/conf/*/arp_ignore",
    "ipv4/conf/*/arp_announce",
    "ipv4/conf/*/forwarding",
    "ipv4/conf/*/send_redirects",
    "ipv6/conf/*/forwarding",
];

/// See [`OF_DEVICES`].
pub const SINGLE: [&str; 6] = [
    "netfilter/nf_conntrack_count",
    "netfilter/nf_conntrack_max",
    "netfilter/nf_conntrack_tcp_timeout_established",
    "ipv4/tcp_keepalive_time",
    "ipv4/vs/conntrack",
    "ipv4/vs/expire_quiescent_template",
];

/// What a client's Ethernet sends at most.
const CLIENTS: u32 = 1500;

/// The bytes of the header that a tunnel puts before a packet.
fn outer_header(encapsulation: Encapsulation, server: IpAddr) -> u32 {
    let ip = if server.is_ipv4() { 20 } else { 40 };
    ip + match encapsulation {
        Encapsulation::Gue { .. } => 8 + 4,
        Encapsulation::Gre { checksum: Checksum::Csum } => 8,
        Encapsulation::Gre { .. } => 4,
        Encapsulation::Ipip | Encapsulation::Other(_) => 0,
    }
}

/// Everything that is found, what is wrong first.
pub fn examine(patient: &Patient<'_>, plan: &Plan) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(differences(plan));
    findings.extend(facts::findings(patient));
    match patient.host.role {
        Role::Director => {
            findings.extend(director::findings(patient));
            findings.extend(server::findings(patient));
        }
        Role::RealServer => findings.extend(server::findings(patient)),
    }
    findings.extend(serving::findings(patient));
    findings.extend(surroundings::findings(patient));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// What a plan would change, and what it leaves alone.
fn differences(plan: &Plan) -> Vec<Finding> {
    let mut findings = Vec::new();
    let shown: Vec<String> =
        plan.changes.iter().filter(|planned| !planned.incidental).map(|planned| planned.change.key.to_string()).collect();
    if let Some(first) = shown.first() {
        let more = if shown.len() > 1 { format!(" and {} more", shown.len() - 1) } else { String::new() };
        findings.push(Finding::wrong(
            "differs",
            "the host does not hold what the file says".to_owned(),
            format!("{first}{more}"),
            format!("lvsform apply {} --host {}", plan.target.file, plan.target.host),
        ));
    }
    for note in &plan.notes {
        use crate::plan::Note;
        let mend = match note {
            Note::VipElsewhere { here, .. } => {
                format!("ip address del {}/{} dev {}", here.address, here.prefix, here.interface)
            }
            Note::RouteFirst { first, .. } => {
                format!("ip route del {}", Key::Route(first.clone()).to_string().trim_start_matches("route "))
            }
            _ => continue,
        };
        findings.push(Finding::wrong("in-the-way", note.to_string(), "see `lvsform plan`".to_owned(), mend));
    }
    for left in &plan.left_out {
        findings.push(Finding::wrong(
            "left-out",
            format!("lvsform does not carry out {}", left.text),
            "see `lvsform plan`".to_owned(),
            "do it by hand, or say it otherwise in the file".to_owned(),
        ));
    }
    findings
}

impl Evidence {
    /// The value of a sysctl of a device where the larger of `all` and its own counts (`IN_DEV_MAXCONF`).
    fn larger(&self, device: &str, name: &str) -> Option<u32> {
        let value = |device: &str| self.sysctls.get(&format!("ipv4/conf/{device}/{name}"))?.parse::<u32>().ok();
        Some(value(device)?.max(value("all").unwrap_or(0)))
    }

    /// The number that a sysctl has.
    fn number(&self, path: &str) -> Option<u64> {
        self.sysctls.get(path)?.parse().ok()
    }

    /// What the kernel answered to a question.
    fn way<'e>(&'e self, questions: &[Question], question: &Question) -> Option<&'e Result<Way, String>> {
        self.routes.get(questions.iter().position(|one| one == question)?)
    }
}

/// Whether replies of a service come back by the servers' own default route.
fn by_default_route(mode: ReturnMode) -> bool {
    mode == ReturnMode::DefaultRoute
}
