//! What the rules find between several things of the file, and what is said of it.

use std::net::IpAddr;

use super::super::Forward;
use super::super::shape::family as spelled;
use super::{list, shown};
use crate::source::{Problem, Span};
use crate::state::{Family, Protocol, ServiceKey, SyncRole, TunnelKind};

/// A mistake, or a doubt, between several things.
#[derive(Clone, Debug, PartialEq)]
pub enum Conflict<'t> {
    // VIPs.
    NoDirector { vip: &'t str },
    HolderElsewhere { holder: &'t str, directors: Vec<&'t str>, listed: Option<Span> },
    NoHolder { vip: &'t str, count: usize, address: IpAddr },
    NoHolderOn { vip: &'t str, count: usize, interface: &'t str },
    AddressOfTwoVips { address: IpAddr, one: &'t str, two: &'t str, first: Span },
    // Listens.
    ServerPortKept { method: Forward, forward: Span },
    EveryPort { service: &'t str },
    EveryPortToOne { port: Span },
    OnePacket { protocol: Protocol, said: Option<Span> },
    NoSuchFamily { vip: &'t str, family: Family, named: Span },
    MarkOfTwo { mark: u32, other: &'t str, first: Span },
    ListenedTwice { key: ServiceKey, other: &'t str, first: Span },
    MarkShadows { mark: u32, matched: Span },
    MarkedTwice { one: u32, two: u32, first: Span },
    // Services.
    SchedulerOption { word: &'static str, scheduler: &'t str },
    SipWithoutUdp { listen: Span },
    ReturnPathKept { method: Forward, forward: Span },
    ViaWithoutPolicy { mode: Span },
    HeldAtOnce { vip: &'t str, named: Span },
    ReturnToWhom { vip: &'t str, named: Span },
    // Servers.
    NoServers { service: &'t str },
    EmptyPool { service: &'t str, pool: &'t str, there: Span },
    AllQuiesced { service: &'t str, because: Vec<Span> },
    Thresholds { min: u32, max: u32, other: Option<Span> },
    PortKept { service: &'t str, method: Forward, forward: Span },
    PortOfSeveral { service: &'t str, one: u16, two: u16, first: Span, second: Span },
    ServerTwice { service: &'t str, address: Option<IpAddr>, one: &'t str, two: &'t str, first: Span },
    TooManyServers { most: u64 },
    RoundAndRound { host: &'t str, vip: &'t str, other: &'t str, method: Forward, named: Span },
    VipOffInterface { host: &'t str, vip: &'t str, method: Forward, named: Span },
    ServerIsVip { address: IpAddr, vip: &'t str, named: Span },
    VipIsOwn { address: IpAddr, vip: &'t str, host: &'t str, server: &'t str, method: Forward, own: Span, forward: Span },
    SyncOfTwoFamilies { service: &'t str, server: &'t str, family: Family, sync: Span },
    // Sync daemons.
    DaemonTwice { host: &'t str, role: SyncRole, first: Span },
    // Hosts.
    MasqueradeOfServer { host: &'t str },
    SysctlValue { key: String, value: &'t str, wanted: &'static str },
    TuningsDiffer { host: &'t str, key: String, director: &'t str, server: &'t str, first: Span },
    UnknownInterface { host: &'t str, name: &'t str, nearest: Option<&'t str> },
    // The kernel that was named.
    Lacks { code: &'static str, kernel: String, what: String, since: String },
    // Tunnels.
    TunnelField { word: &'static str, kind: TunnelKind, kinds: &'static str, said: Span },
    TunnelEnd { word: &'static str, kind: TunnelKind, family: Family, address: IpAddr, said: Span },
    TunnelWithoutEnds { name: &'t str },
    TunnelTwice { name: &'t str, kind: TunnelKind, first: Span },
}

impl Conflict<'_> {
    /// The problem that this conflict is at `span`.
    pub fn at(&self, span: Span) -> Problem {
        let mut problem = self.say();
        problem.labels.insert(0, crate::source::Label { span, text: String::new() });
        problem
    }

    #[expect(clippy::too_many_lines, reason = "one table of wording, complete by the compiler")]
    fn say(&self) -> Problem {
        match self {
            Conflict::NoDirector { vip } => {
                error("no-director", format!("nobody carries the VIP {}: the file has no `director`", shown(vip)))
                    .help("add a `director`")
            }
            Conflict::HolderElsewhere { holder, directors, listed } => {
                let names: Vec<String> = directors.iter().map(|name| shown(name)).collect();
                let problem = error(
                    "holder-elsewhere",
                    format!("the holder {} does not carry this VIP: its directors are {}", shown(holder), list(&names, "and")),
                )
                .help("name one of `directors` as holder, or add the holder to them");
                maybe(problem, *listed, "its directors")
            }
            Conflict::NoHolder { vip, count, address } => error(
                "no-holder",
                format!(
                    "{count} directors would answer for {address}: it lies in a subnet of theirs, and the VIP {} has no holder",
                    shown(vip)
                ),
            )
            .help(HOLDER),
            Conflict::NoHolderOn { vip, count, interface } => error(
                "no-holder",
                format!("{count} directors would have the VIP {} on {}, and it has no holder", shown(vip), shown(interface)),
            )
            .help(HOLDER),
            Conflict::AddressOfTwoVips { address, one, two, first } if one == two => {
                error("address-twice", format!("{address} is an address of the VIP {} already", shown(one)))
                    .at(*first, "first here")
                    .help("remove one")
            }
            Conflict::AddressOfTwoVips { address, one, two, first } => error(
                "address-twice",
                format!("{address} is an address of the VIPs {} and {}, and one director carries both", shown(one), shown(two)),
            )
            .at(*first, "first here")
            .help("services of one address share one `vip`"),
            Conflict::ServerPortKept { method, forward } => {
                error("port-kept", format!("`server-port` is for \"nat\", and \"{}\" keeps the port", method_word(*method)))
                    .at(*forward, "keeps the port")
                    .help("leave `server-port` out: the servers answer on the service's port")
            }
            Conflict::EveryPort { service } => error(
                "every-port",
                format!("port 0 is every port, and that needs persistence, which {} does not have", shown(service)),
            )
            .help("add for example `persistence \"5m\"`, or say the port"),
            Conflict::EveryPortToOne { port } => error("every-port", "`server-port` would send every port to one")
                .at(*port, "every port")
                .help("leave `server-port` out, or say the port"),
            Conflict::OnePacket { protocol, said } => maybe(
                error("one-packet", format!("`one-packet` is for udp, and this listen is {protocol}"))
                    .help("leave `one-packet` out, or say `protocol=\"udp\"`"),
                *said,
                "its protocol",
            ),
            Conflict::NoSuchFamily { vip, family, named } => {
                error("no-such-family", format!("the VIP {} has no {} address", shown(vip), spelled(*family)))
                    .at(*named, "this VIP")
                    .help("leave `family` out, or add an address to the VIP")
            }
            Conflict::MarkOfTwo { mark, other, first } => {
                error("mark-of-two", format!("the mark {mark} belongs to the service {} already", shown(other)))
                    .at(*first, "first here")
                    .help("give each service marks of its own")
            }
            Conflict::ListenedTwice { key, other, first } => error(
                "listened-twice",
                format!("the service {} listens on {key} already: one kernel service cannot be two", shown(other)),
            )
            .at(*first, "first here")
            .help("remove one of the two, or give one another port, protocol or family"),
            Conflict::MarkShadows { mark, matched } => {
                error("mark-shadows", format!("no packet reaches this listen: all of them get the mark {mark}"))
                    .at(*matched, "marked here")
                    .help("take them out of the `match`, or remove this listen")
            }
            Conflict::MarkedTwice { one, two, first } => {
                error("marked-twice", format!("these packets get the mark {two}, and the mark {one} already: a packet carries one"))
                    .at(*first, "marked first here")
                    .help("give each packet to one of the two")
            }
            Conflict::SchedulerOption { word, scheduler } => {
                error("scheduler-option", format!("`{word}` is an option of \"sh\" and \"mh\", not of \"{scheduler}\""))
                    .help(format!("leave `{word}` out"))
            }
            Conflict::SipWithoutUdp { listen } => {
                error("sip-udp", "engine \"sip\" reads SIP in udp packets, and this service listens not only on udp")
                    .at(*listen, "not udp")
                    .help("give the udp listens a service of their own")
            }
            Conflict::ReturnPathKept { method, forward } => error(
                "return-path",
                format!("`return-path` is for \"nat\", and with \"{}\" servers answer clients themselves", method_word(*method)),
            )
            .at(*forward, "the method")
            .help("leave `return-path` out"),
            Conflict::ViaWithoutPolicy { mode } => error("return-path", "`via` belongs to the return path \"policy\"")
                .at(*mode, "the return path")
                .help("leave `via` out"),
            Conflict::HeldAtOnce { vip, named } => error(
                "return-path",
                format!(
                    "several directors hold the VIP {} at once, and a reply must come back to the one that sent the packet",
                    shown(vip)
                ),
            )
            .at(*named, "the VIP")
            .help("say `return-path \"snat\"`, or give the VIP a `holder`"),
            Conflict::ReturnToWhom { vip, named } => error(
                "return-path",
                format!("replies cannot be routed: the VIP {} has several directors and no holder", shown(vip)),
            )
            .at(*named, "the VIP")
            .help("say `return-path \"policy\" via=…` with the address, or the `vip`, that floats on the servers' side"),
            Conflict::NoServers { service } => {
                error("no-servers", format!("the service {} has no servers", shown(service))).help("add `pool` or `server`")
            }
            Conflict::EmptyPool { service, pool, there } => error(
                "empty-pool",
                format!("the service {} refuses every client: the pool {} is empty", shown(service), shown(pool)),
            )
            .at(*there, "nothing is in it")
            .help("give the pool a server, or remove the service"),
            Conflict::AllQuiesced { service, because } => because.iter().fold(
                Problem::warning(
                    "all-quiesced",
                    format!("the service {} refuses every new client: all its servers have weight 0", shown(service)),
                ),
                |problem, span| problem.at(*span, ""),
            ),
            Conflict::Thresholds { min, max: 0, .. } => error("thresholds", format!("`min-connections` {min} needs `max-connections`"))
                .help("new connections stop at `max-connections` and come again below `min-connections`"),
            Conflict::Thresholds { min, max, other } => maybe(
                error("thresholds", format!("`min-connections` {min} is more than `max-connections` {max}"))
                    .help("new connections stop at `max-connections` and come again below `min-connections`"),
                *other,
                "",
            ),
            Conflict::PortKept { service, method, forward } => error(
                "port-kept",
                format!("a server's own `port` is for \"nat\", and \"{}\" keeps the port of the service {}", method_word(*method), shown(service)),
            )
            .at(*forward, "keeps the port")
            .help("leave `port` out"),
            Conflict::PortOfSeveral { service, one, two, first, second } => error(
                "port-of-several",
                format!("one port of its own for several: the service {} sends to the ports {one} and {two}", shown(service)),
            )
            .at(*first, "")
            .at(*second, "")
            .help("leave `port` out, or give each port a service of its own"),
            Conflict::ServerTwice { service, address, one, two, first } => {
                let named = |address: &IpAddr| [*one, *two].contains(&address.to_string().as_str());
                let is = address.filter(|address| !named(address)).map(|address| format!(": {address}")).unwrap_or_default();
                let message = if one == two {
                    format!("the service {} has the server {} twice", shown(service), shown(one))
                } else {
                    format!("the servers {} and {} of the service {} are one{is}", shown(one), shown(two), shown(service))
                };
                error("server-twice", message).at(*first, "first here").help("remove one of the two, or give one another port")
            }
            Conflict::TooManyServers { most } => error("too-many", format!("up to this service there are more than {most} servers in the kernel"))
                .help("each server counts once for each address that its service listens on"),
            Conflict::RoundAndRound { host, vip, other, method, named } => error(
                "round-and-round",
                format!(
                    "the director {} cannot be a \"{}\" server of the VIP {}, which {} carries too: the two would send its packets to each other",
                    shown(host),
                    method_word(*method),
                    shown(vip),
                    shown(other)
                ),
            )
            .at(*named, "carried by both")
            .help("use \"nat\", or a VIP that no other director carries"),
            Conflict::VipOffInterface { host, vip, method, named } => error(
                "vip-off-interface",
                format!(
                    "the director {} is a \"{}\" server of the VIP {}, which must then sit on an interface, not on a dummy device or `lo`",
                    shown(host),
                    method_word(*method),
                    shown(vip)
                ),
            )
            .at(*named, "this VIP")
            .help("give the VIP the `interface` that faces its clients"),
            Conflict::ServerIsVip { address, vip, named } => {
                error("server-is-vip", format!("{address} is the VIP {} itself: the director would send to itself", shown(vip)))
                    .at(*named, "this VIP")
                    .help("give the server's own address; a director that serves is named by its host: `server \"lb1\"`")
            }
            Conflict::VipIsOwn { address, vip, host, server, method, own, forward } => error(
                "vip-is-own-address",
                format!(
                    "{address}, the VIP {}, is the only address of {}, and the \"{}\" server {} has the VIP too: it takes nothing from its own address",
                    shown(vip),
                    shown(host),
                    method_word(*method),
                    shown(server)
                ),
            )
            .at(*own, "its only IPv4 address")
            .at(*forward, "puts the VIP on its servers")
            .help("give the director an address of its own beside the VIP, or use \"nat\""),
            Conflict::SyncOfTwoFamilies { service, server, family, sync } => error(
                "sync-families",
                format!(
                    "the server {} has no {} address, and the service {} listens on {}: the kernel refuses that beside a sync daemon",
                    shown(server),
                    spelled(*family),
                    shown(service),
                    spelled(*family)
                ),
            )
            .at(*sync, "the sync daemon")
            .help("give the server an address of that family, or the listen a `family`"),
            Conflict::DaemonTwice { host, role, first } => {
                error("daemon-twice", format!("{} is {role} already, and a host runs one {role}", shown(host)))
                    .at(*first, "first here")
                    .help("say `master` and `backup` in each `sync`: a pair that sends both ways has two, with two ids")
            }
            Conflict::MasqueradeOfServer { host } => {
                error("masquerade", format!("`masquerade` stands in a director, and {} is a real server", shown(host)))
                    .help("put it into the director by which the packets leave")
            }
            Conflict::SysctlValue { key, value, wanted } => {
                error("sysctl-value", format!("{key} takes {wanted}, found {}", shown(value)))
                    .help("the kernel would refuse it, or do something else")
            }
            Conflict::Lacks { code, kernel, what, since } => {
                error(code, format!("Linux {kernel} has no {what}: it came with {since}")).help("leave it out, or name a newer kernel")
            }
            Conflict::TuningsDiffer { host, key, director, server, first } => error(
                "tunings-differ",
                format!(
                    "{} is director and server, and the two tunings set {key} differently: {director} and {server}",
                    shown(host)
                ),
            )
            .at(*first, "as director")
            .help(format!("say in the director which one holds: `sysctl \"{key}\" …`")),
            Conflict::UnknownInterface { host, name, nearest } => {
                let problem = Problem::warning(
                    "unknown-interface",
                    format!("{} has no interface {} in this file", shown(host), shown(name)),
                );
                match nearest {
                    Some(nearest) => problem.help(format!("did you mean {}?", shown(nearest))),
                    None => problem.help(format!("add `interface \"{name}\"` to the host")),
                }
            }
            Conflict::TunnelField { word, kind, kinds, said } => {
                error("tunnel-field", format!("`{word}` is for {kinds}, and this tunnel is \"{kind}\""))
                    .at(*said, "the kind")
                    .help(format!("leave `{word}` out"))
            }
            Conflict::TunnelEnd { word, kind, family, address, said } => error(
                "tunnel-end",
                format!("the outer packets of \"{kind}\" are {}, and `{word}` is {address}", spelled(*family)),
            )
            .at(*said, "the kind")
            .help("for IPv4 outside: ipip, sit, gre; for IPv6 outside: ip6tnl, ip6gre"),
            Conflict::TunnelWithoutEnds { name } => {
                error("tunnel-end", format!("the tunnel {} has neither `local` nor `remote`", shown(name)))
                    .help("say at least one: without both it is the kernel's own fallback device")
            }
            Conflict::TunnelTwice { name, kind, first } => error(
                "tunnel-twice",
                format!(
                    "the tunnel {} is one with another in the kernel: the same kind \"{kind}\", local, remote and key",
                    shown(name)
                ),
            )
            .at(*first, "the other")
            .help("remove one, or tell them apart by `remote` or `key`"),
        }
    }
}

const HOLDER: &str =
    "name the `holder`, or say `managed #false` (TOML: `managed = false`) where keepalived or the like places the address";

fn error(code: &'static str, message: impl Into<String>) -> Problem {
    Problem::error(code, message)
}

fn maybe(problem: Problem, span: Option<Span>, text: &str) -> Problem {
    match span {
        Some(span) => problem.at(span, text),
        None => problem,
    }
}

pub(super) fn method_word(method: Forward) -> &'static str {
    match method {
        Forward::Nat => "nat",
        Forward::Dr => "dr",
        Forward::Tun(_) => "tun",
    }
}
