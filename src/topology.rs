//! What the user wrote, typed: the model of one topology file with everything it includes.
//!
//! Names are looked up once, here; every value keeps the place where it was written. Nothing in this module knows a
//! kernel, and it does no I/O.

mod block;
mod cluster;
mod decode;
mod expectation;
pub(crate) mod fault;
mod host;
mod kinds;
pub(crate) mod range;
mod reference;
mod same;
mod schema;
mod server;
mod service;
pub mod shape;
#[cfg(test)]
mod tests;
mod tuning;
mod unfold;
mod value;
mod vip;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::source::{At, Removed, Span};
use crate::state::{Checksum, Encapsulation, Family, Inner, Protocol, SysctlKey, TunnelKind};
use ipnet::IpNet;

pub use decode::{decode, misshapen};
pub use reference::{explain, paths, reference};
pub use same::same;
pub use schema::schema;
pub use unfold::unfold;
pub use value::is_name;

/// One topology. Every map is by name, and names are unique over all files.
#[derive(Clone, Debug)]
pub struct Topology {
    /// What marks our objects on a host.
    pub name: At<String>,
    /// `was="old-name"`: takes over what was owned under another name.
    pub was: Option<At<String>>,
    /// Directors and real servers; their names share one space.
    pub hosts: BTreeMap<String, Host>,
    /// Virtual addresses.
    pub vips: BTreeMap<String, Vip>,
    /// Groups of servers.
    pub pools: BTreeMap<String, Pool>,
    /// Services.
    pub services: BTreeMap<String, Service>,
    /// What is not given is not touched.
    pub timeouts: Option<Timeouts>,
    /// Sync daemons.
    pub syncs: Vec<Sync>,
    /// Sysctls of every director.
    pub tuning_director: Vec<Sysctl>,
    /// Sysctls of every real server.
    pub tuning_real_server: Vec<Sysctl>,
    /// Whose the IPVS table of a host is.
    pub ownership: At<Ownership>,
    /// The `policy` block.
    pub policy: Policy,
    /// How warnings are taken.
    pub lints: Vec<Lint>,
    /// What must stay true.
    pub expectations: Vec<Expectation>,
    /// What overlays have taken away.
    pub removed: Vec<Removed>,
}

impl Topology {
    /// How much it is: `1 director, 4 real servers, 1 VIP, 2 services`.
    pub fn counted(&self) -> String {
        let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let directors = self.hosts.values().filter(|host| host.role == Role::Director).count();
        let parts = [
            count(directors, "director"),
            count(self.hosts.len() - directors, "real server"),
            count(self.vips.len(), "VIP"),
            count(self.services.len(), "service"),
        ];
        parts.join(", ")
    }
}

/// `expect`
#[derive(Clone, Debug)]
pub struct Expectation {
    /// What people call it.
    pub name: At<String>,
    /// Hosts that are gone.
    pub without: Vec<At<String>>,
    /// in percent
    pub moved_max: Option<At<u32>>,
    /// The path of a captured state.
    pub live: Option<At<String>>,
    /// Whose.
    pub host: Option<At<String>>,
    /// What the plan from there does at most.
    pub changes: Option<At<u32>>,
    /// What it deletes at most.
    pub deletes: Option<At<u32>>,
    /// How many connections it ends at most.
    pub connections_cut: Option<At<u32>>,
    /// What holds for services.
    pub services: Vec<OfServices>,
    /// How things are called.
    pub names: Vec<Called>,
    /// What is reached from where.
    pub reached: Vec<Reached>,
}

/// `service` in `expect`
#[derive(Clone, Debug)]
pub struct OfServices {
    /// Which services.
    pub pattern: At<String>,
    /// Servers of a weight over 0.
    pub servers_min: Option<At<u32>>,
    /// Servers of a weight over 0.
    pub servers_max: Option<At<u32>>,
    /// The sum of their weights.
    pub weight_min: Option<At<u32>>,
    /// in percent
    pub share_max: Option<At<u32>>,
    /// Any of these; empty: every one.
    pub methods: Vec<At<&'static str>>,
    /// Any of these; empty: every one.
    pub schedulers: Vec<At<&'static str>>,
    /// seconds
    pub drain_min: Option<At<u32>>,
}

/// `names` in `expect`
#[derive(Clone, Debug)]
pub struct Called {
    /// The word of the kind.
    pub kind: At<&'static str>,
    /// What each name is one of.
    pub patterns: Vec<At<String>>,
}

/// `reach` in `expect`
#[derive(Clone, Debug)]
pub struct Reached {
    /// The VIP.
    pub vip: At<String>,
    /// Where its clients are.
    pub from: At<IpNet>,
}

/// `lint`
#[derive(Clone, Debug)]
pub struct Lint {
    /// The name of a code of the catalogue, whichever of the two was written.
    pub name: At<&'static str>,
    /// How it is taken.
    pub level: At<LintLevel>,
    /// Why.
    pub reason: At<String>,
}

/// How a warning is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LintLevel {
    /// It is not said.
    Allow,
    /// It is said.
    Warn,
    /// It is an error.
    Deny,
}

/// What a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It carries services.
    Director,
    /// It answers for them.
    RealServer,
}

/// `director`, `real-server`
#[derive(Clone, Debug)]
pub struct Host {
    /// director or real server
    pub role: Role,
    /// The host's name in the file.
    pub name: At<String>,
    /// What picks the host when `--host` is not given; default: the name.
    pub hostname: At<String>,
    /// By the kernel's name. Facts about the host, not managed.
    pub interfaces: BTreeMap<String, Interface>,
    /// Sysctls of this host alone.
    pub sysctls: Vec<Sysctl>,
    /// Tunnel devices.
    pub tunnels: Vec<TunnelDevice>,
    /// `route "10.2.0.0/16" tunnel="dc2"`
    pub routes: Vec<Route>,
    /// `masquerade`; directors only.
    pub masquerades: Vec<Masquerade>,
    /// Weight 0 in every service.
    pub quiesce: At<bool>,
}

/// `interface`
#[derive(Clone, Debug)]
pub struct Interface {
    /// The kernel's name.
    pub name: At<String>,
    /// Addresses with the length of their subnet's prefix.
    pub addresses: Vec<At<IpNet>>,
    /// bytes
    pub mtu: Option<At<u32>>,
    /// The routers of the interface's subnets.
    pub gateways: Vec<At<IpAddr>>,
}

/// `vip`
#[derive(Clone, Debug)]
pub struct Vip {
    /// The VIP's name in the file.
    pub name: At<String>,
    /// One or more, ranges expanded.
    pub addresses: Vec<At<IpAddr>>,
    /// Who carries its services: names of directors. Empty: all.
    pub directors: Vec<At<String>>,
    /// The one of them that has the address.
    pub holder: Option<At<String>>,
    /// Where it is placed; `None`: chosen on each host and for each address.
    pub interface: Option<At<String>>,
    /// false: something else puts it there.
    pub managed: At<bool>,
}

/// `pool`
#[derive(Clone, Debug)]
pub struct Pool {
    /// The pool's name in the file.
    pub name: At<String>,
    /// In the order of the text, ranges expanded.
    pub servers: Vec<Server>,
}

/// `server`, one of what a range stands for.
#[derive(Clone, Debug)]
pub struct Server {
    /// What was written after `server`; a host, an address or a label.
    pub label: At<String>,
    /// The host of the file, where it is one.
    pub host: Option<At<String>>,
    /// The address, where one was given; `None`: the host's address for the service.
    pub address: Option<At<IpAddr>>,
    /// default 1
    pub weight: At<u32>,
    /// The server's own port; nat only.
    pub port: Option<At<u16>>,
    /// Upper threshold; 0 is none.
    pub max_connections: At<u32>,
    /// Lower threshold; 0 is none.
    pub min_connections: At<u32>,
    /// Overrides the service's, whole.
    pub forward: Option<At<Forward>>,
}

/// `service`
#[derive(Clone, Debug)]
pub struct Service {
    /// The service's name in the file.
    pub name: At<String>,
    /// One or more.
    pub listens: Vec<Listen>,
    /// The forwarding method of its servers.
    pub forward: At<Forward>,
    /// The scheduler and its options.
    pub scheduler: Scheduler,
    /// Whether a client stays with its server.
    pub persistence: Option<Persistence>,
    /// Names of pools.
    pub pools: Vec<At<String>>,
    /// Servers of its own, ranges expanded.
    pub servers: Vec<Server>,
    /// How long a server that goes away is let go; seconds.
    pub drain: At<u32>,
    /// How replies come back from nat servers.
    pub return_path: ReturnPath,
}

/// `listen`: whose packets the service takes.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The `listen` token.
    pub span: Span,
    /// By address or by mark.
    pub what: ListenOn,
    /// Only this family.
    pub family: Option<At<Family>>,
}

/// The two kinds of [`Listen`].
#[derive(Clone, Debug)]
pub enum ListenOn {
    /// `vip`, `port`, `protocol`
    Vip {
        /// Name of the VIP.
        vip: At<String>,
        /// 0 is every port.
        port: At<u16>,
        /// default tcp
        protocol: At<Protocol>,
        /// nat only; `None`: the port.
        server_port: Option<At<u16>>,
        /// udp only
        one_packet: At<bool>,
    },
    /// `fwmark`
    Mark {
        /// 1 to 4294967295
        mark: At<u32>,
        /// What `lvsform` marks.
        matches: Vec<Match>,
        /// Name of the VIP where something else marks; with `matches` it is `None`.
        vip: Option<At<String>>,
    },
}

/// `match` in a fwmark listen.
#[derive(Clone, Debug)]
pub struct Match {
    /// Name of the VIP.
    pub vip: At<String>,
    /// default tcp
    pub protocol: At<Protocol>,
    /// Empty: every port.
    pub ports: Vec<At<u16>>,
}

/// `forward`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// network address translation
    Nat,
    /// direct routing
    Dr,
    /// tunnelling
    Tun(Encapsulation),
}

/// `scheduler`
#[derive(Clone, Debug)]
pub struct Scheduler {
    /// One of the kernel's names; default wlc.
    pub name: At<String>,
    /// sh and mh: the client's port counts too.
    pub port: At<bool>,
    /// sh and mh: another server where the chosen one is quiesced.
    pub fallback: At<bool>,
}

/// `persistence`
#[derive(Clone, Debug)]
pub struct Persistence {
    /// seconds, 1 to 2678400 (31 days)
    pub timeout: At<u32>,
    /// default 32
    pub client_prefix: At<u8>,
    /// default 128
    pub client_prefix6: At<u8>,
    /// `engine "sip"`
    pub sip: Option<At<()>>,
}

/// `return-path`
#[derive(Clone, Debug)]
pub struct ReturnPath {
    /// default `policy`
    pub mode: At<ReturnMode>,
    /// Where `policy` sends them.
    pub via: Option<At<Via>>,
}

/// The modes of [`ReturnPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnMode {
    /// rules on the real server
    Policy,
    /// the operator has seen to it
    DefaultRoute,
    /// nothing is done or checked
    None,
    /// the director masquerades towards the servers
    Snat,
}

/// Where `return-path "policy"` sends replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// name of a VIP
    Vip(String),
    /// an address
    Address(IpAddr),
}

/// `timeouts`: seconds, 1 to 2073600 (24 days)
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// The `timeouts` token.
    pub span: Span,
    /// established tcp
    pub tcp: Option<At<u32>>,
    /// tcp after a FIN
    pub tcp_fin: Option<At<u32>>,
    /// udp
    pub udp: Option<At<u32>>,
}

/// `sync`
#[derive(Clone, Debug)]
pub struct Sync {
    /// The `sync` token.
    pub span: Span,
    /// 0 to 255
    pub id: At<u8>,
    /// The kernel's name of the device.
    pub interface: At<String>,
    /// default 224.0.0.81
    pub group: At<IpAddr>,
    /// default 8848
    pub port: At<u16>,
    /// default 1
    pub ttl: At<u8>,
    /// bytes
    pub max_length: Option<At<u16>>,
    /// Names of directors. Both lists empty: every director is both.
    pub masters: Vec<At<String>>,
    /// Names of directors.
    pub backups: Vec<At<String>>,
}

/// `sysctl`
#[derive(Clone, Debug)]
pub struct Sysctl {
    /// Its place is the key's token.
    pub key: At<SysctlKey>,
    /// As written, white space folded.
    pub value: At<String>,
    /// Overrides what a method needs.
    pub force: At<bool>,
}

/// `tunnel`: a device of a host.
#[derive(Clone, Debug)]
pub struct TunnelDevice {
    /// The kernel's name.
    pub name: At<String>,
    /// The encapsulation.
    pub kind: At<TunnelKind>,
    /// The outer source.
    pub local: Option<At<IpAddr>>,
    /// `None`: any.
    pub remote: Option<At<IpAddr>>,
    /// The device that outer packets are bound to.
    pub device: Option<At<String>>,
    /// 1 to 255; `None`: inherited.
    pub ttl: Option<At<u8>>,
    /// bytes
    pub mtu: Option<At<u32>>,
    /// ip6tnl only
    pub mode: Option<At<Inner>>,
    /// gre kinds only
    pub key: Option<At<u32>>,
    /// gre kinds only
    pub checksum: At<bool>,
    /// `encap "gue"`
    pub gue: Option<At<Gue>>,
    /// Addresses on the device.
    pub addresses: Vec<At<IpNet>>,
}

/// `encap "gue" port=6080 checksum="none"`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gue {
    /// sent to, and opened
    pub port: u16,
    /// of the outer UDP header
    pub checksum: Checksum,
}

/// `route`
#[derive(Clone, Debug)]
pub struct Route {
    /// Where to.
    pub destination: At<IpNet>,
    /// Name of a tunnel of the same host.
    pub tunnel: At<String>,
}

/// `masquerade`
#[derive(Clone, Debug)]
pub struct Masquerade {
    /// The `masquerade` token.
    pub span: Span,
    /// Where the packets leave.
    pub interface: At<String>,
    /// Whose packets.
    pub sources: Vec<At<IpNet>>,
}

/// `ownership`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Only what `lvsform` created is ever changed or deleted.
    Declared,
    /// The host's whole IPVS table is this file's.
    Exclusive,
}

/// `policy`
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// objects, or a share of what the topology owns
    pub max_deletes: Option<At<Amount>>,
    /// active connections
    pub max_connections_cut: Option<At<u32>>,
    /// destinations of weight over 0
    pub min_servers: Option<At<Amount>>,
    /// `KIND.NAME`
    pub protect: Vec<At<String>>,
}

/// A number or a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// so many
    Count(u32),
    /// percent, 0 to 100
    Percent(u8),
}
