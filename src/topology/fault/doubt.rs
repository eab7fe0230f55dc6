//! What the rules doubt: the topology can be used, but will hardly do what was meant. All of it is warnings.

use std::net::IpAddr;

use super::super::Forward;
use super::super::shape::family as spelled;
use super::shown;
use crate::source::{Label, Problem, Span};
use crate::state::{Checksum, Encapsulation, Family, SyncRole};

/// A doubt.
#[derive(Clone, Debug, PartialEq)]
pub enum Doubt<'t> {
    VipOutside { address: IpAddr, host: &'t str },
    VipOfAnotherHost { address: IpAddr, host: &'t str, own: Span },
    VipElsewhere { address: IpAddr, host: &'t str, other: &'t str, topology: &'t str, place: &'t str },
    HashFallback { service: &'t str, scheduler: &'t str, server: Span },
    HashSlots { service: &'t str, scheduler: &'t str, count: u64, slots: u64 },
    DestinationHash { scheduler: &'t str, listen: Span },
    OverflowUdp { listen: Span },
    OverflowWeight { service: &'t str },
    FtpWithoutPersistence { service: &'t str },
    FtpWithNat,
    DrainPersistence { service: &'t str, host: &'t str, persistence: Span },
    GatewayElsewhere { host: &'t str, gateway: IpAddr, mode: Span },
    GatewayIsDirector { host: &'t str, gateway: IpAddr, vip: IpAddr, director: &'t str, forward: Span },
    GatewayOutside { host: &'t str, interface: &'t str, gateway: IpAddr },
    WayBackOffLink { host: &'t str, via: IpAddr, policy: Option<Span> },
    ServerOutside { service: &'t str, count: usize, method: Forward, address: IpAddr, vip: IpAddr },
    NoRealServers { count: usize, method: Forward, address: IpAddr, vip: IpAddr },
    DrOffLink { server: &'t str, host: &'t str, forward: Span },
    UnusedServer { service: &'t str, server: &'t str, families: Vec<Family>, method: Forward },
    LargeWeight { weight: u32 },
    TunnelMtu { mtu: u32, needed: u32, forward: Span },
    UnknownSysctl { key: String, nearest: Option<String> },
    SysctlOfServers { key: String },
    SysctlOfDirectors { key: String },
    ConnReuseMode,
    SyncUnheard { id: u8, role: SyncRole, host: &'t str },
    SyncOffLink { host: &'t str, interface: &'t str, other: &'t str, other_interface: &'t str },
    UnusedLint { name: &'static str },
}

impl Doubt<'_> {
    /// The problem that this doubt is at `span`.
    pub fn at(&self, span: Span) -> Problem {
        let mut problem = self.say();
        problem.labels.insert(0, Label { span, text: String::new() });
        problem
    }

    #[expect(clippy::too_many_lines, reason = "one table of wording, complete by the compiler")]
    fn say(&self) -> Problem {
        match self {
            Doubt::VipOutside { address, host } => {
                doubt("vip-outside", format!("no interface of {} is in a subnet of {address}: it goes to a dummy device", shown(host)))
                    .help("add the interface or correct the address; where a router has a route for it to the director, allow this")
            }
            Doubt::VipOfAnotherHost { address, host, own } => doubt(
                "vip-of-another-host",
                format!("{address} is an address of {}, which does not carry the VIP: two hosts answer for it", shown(host)),
            )
            .at(*own, "its address")
            .help("correct the address, or let the VIP's `directors` name the host"),
            Doubt::VipElsewhere { address, host, other, topology, place } => doubt(
                "vip-elsewhere",
                format!(
                    "{} has {address}, and so has {} of the topology {} ({place}): on one wire both answer for it",
                    shown(host),
                    shown(other),
                    shown(topology)
                ),
            )
            .help("correct one of them; where the two are of different networks, allow this"),
            Doubt::HashFallback { service, scheduler, server } => doubt(
                "hash-fallback",
                format!("\"{scheduler}\" keeps the slots of a server of weight 0: the service {} refuses its clients", shown(service)),
            )
            .at(*server, "weight 0")
            .help("add `fallback=#true` (TOML: `fallback = true`)"),
            Doubt::HashSlots { service, scheduler: scheduler @ "sh", count, slots } => doubt(
                "hash-slots",
                format!("the weights of {} add up to {count}, and the table of \"{scheduler}\" has {slots} slots", shown(service)),
            )
            .help("use smaller weights of the same proportion, or \"mh\""),
            Doubt::HashSlots { service, scheduler, count, slots } => doubt(
                "hash-slots",
                format!("{} has {count} servers, and the table of \"{scheduler}\" has {slots} slots", shown(service)),
            )
            .help("use fewer servers, or another scheduler"),
            Doubt::DestinationHash { scheduler, listen } => doubt(
                "destination-hash",
                format!("\"{scheduler}\" chooses by the address that is asked for, and here that is always the same"),
            )
            .at(*listen, "one address for each kernel service")
            .help("\"sh\" and \"mh\" choose by the client's address"),
            Doubt::OverflowUdp { listen } => {
                doubt("overflow-udp", "\"ovf\" counts active connections, and udp has none: the first server gets everything")
                    .at(*listen, "udp")
                    .help("use \"wlc\"")
            }
            Doubt::OverflowWeight { service } => doubt(
                "overflow-weight",
                format!("a weight is how many connections a server takes, and no server of {} has one", shown(service)),
            )
            .help("give the servers weights, such as `weight=5000`"),
            Doubt::FtpWithoutPersistence { service } => {
                doubt("ftp", format!("data connections of FTP go to any server: {} has no persistence", shown(service)))
                    .help("add for example `persistence \"10m\"`")
            }
            Doubt::FtpWithNat => doubt("ftp", "FTP with \"nat\" needs the module `ip_vs_ftp` on the director, which lvsform does not load")
                .help("see to it that it is loaded, and allow this"),
            Doubt::DrainPersistence { service, host, persistence } => doubt(
                "drain-persistence",
                format!(
                    "persistence sends new connections to a server of {} that is being drained: {} does not set net.ipv4.vs.expire_quiescent_template",
                    shown(service),
                    shown(host)
                ),
            )
            .at(*persistence, "")
            .help("add `sysctl \"net.ipv4.vs.expire_quiescent_template\" 1` to `tuning \"director\"`"),
            Doubt::GatewayElsewhere { host, gateway, mode } => doubt(
                "gateway-elsewhere",
                format!("replies of {} leave by {gateway}, which is no address of a director or VIP", shown(host)),
            )
            .at(*mode, "the default route brings them back")
            .help("make a director, or a VIP that they hold, the server's gateway; or use `return-path \"policy\"`"),
            Doubt::GatewayIsDirector { host, gateway, vip, director, forward } => doubt(
                "gateway-is-director",
                format!(
                    "replies of {} come from {vip} and leave by {gateway}, which is {}: it has {vip} itself, and drops them",
                    shown(host),
                    shown(director)
                ),
            )
            .at(*forward, "its replies come from the VIP")
            .help("give the server a gateway that is not its director; with \"nat\" replies go back through the director"),
            Doubt::GatewayOutside { host, interface, gateway } => doubt(
                "gateway-outside",
                format!("{gateway} is in no subnet of {} of {}: nobody there can be its router", shown(interface), shown(host)),
            )
            .help("correct the gateway, or the addresses of the interface"),
            Doubt::WayBackOffLink { host, via, policy } => {
                let said = doubt(
                    "way-back-off-link",
                    format!("no interface of {} is in a subnet of {via}, where its replies are to go", shown(host)),
                );
                let said = policy.iter().fold(said, |said, span| said.at(*span, "the way back"));
                said.help(
                    "give the server an interface in a subnet of its director, name another `via`, or use `return-path \"snat\"`",
                )
            }
            Doubt::ServerOutside { service, count, method, address, vip } => {
                let (one, method_word) = (shown(service), super::conflict::method_word(*method));
                let who = match count {
                    1 => format!("the server {address} of {one} is no host of this file"),
                    count => format!("{address} and {} more servers, of {one} for example, are no hosts of this file", count - 1),
                };
                doubt("server-outside", format!("{who}: nobody here does what \"{method_word}\" needs there"))
                .help(format!("name it as a `real-server`, or do it by hand: {}", by_hand(*method, *address, *vip)))
            }
            Doubt::NoRealServers { count, method, address, vip } => {
                let who = match count {
                    1 => format!("the server {address}"),
                    count => format!("its {count} servers"),
                };
                doubt(
                    "no-real-servers",
                    format!(
                        "the file has no `real-server`: nobody here does what \"{}\" needs on {who}",
                        super::conflict::method_word(*method)
                    ),
                )
                .help(format!(
                    "name them as `real-server`, or do it by hand and allow this: {}",
                    by_hand(*method, *address, *vip)
                ))
            }
            Doubt::DrOffLink { server, host, forward } => doubt(
                "dr-off-link",
                format!("the server {} is in no subnet of {}, and \"dr\" passes no router", shown(server), shown(host)),
            )
            .at(*forward, "the method")
            .help("use \"tun\", or add the interface that the director shares with it"),
            Doubt::UnusedServer { service, server, families, method } => {
                let own = families.first().map_or("", |family| spelled(*family));
                doubt(
                    "unused-server",
                    format!(
                        "the server {} has only {own}, and {} does not listen on it: \"{}\" sends it nothing",
                        shown(server),
                        shown(service),
                        super::conflict::method_word(*method)
                    ),
                )
                .help("give it an address of the service's family, or use \"tun\"")
            }
            Doubt::LargeWeight { weight } => doubt("large-weight", format!("ipvsadm before 1.30 takes no weight over 65535, and this is {weight}"))
                .help("only the proportion of weights counts: use smaller ones"),
            Doubt::TunnelMtu { mtu, needed, forward } => doubt(
                "tunnel-mtu",
                format!("a client's packet of 1500 bytes and its outer header need an MTU of {needed}, and this is {mtu}"),
            )
            .at(*forward, "wraps packets")
            .help("give the way to the servers a larger MTU; where clients' MSS is clamped, allow this"),
            Doubt::UnknownSysctl { key, nearest } => {
                let problem = doubt("unknown-sysctl", format!("no kernel has {key}"));
                match nearest {
                    Some(nearest) => problem.help(format!("did you mean `{nearest}`?")),
                    None => problem.help("leave it out, or allow this where a kernel of yours has it"),
                }
            }
            Doubt::SysctlOfServers { key } => {
                doubt("sysctl-of-other-role", format!("{key} does nothing on a director that serves nothing: connections end on the servers"))
                    .help("put it into `tuning \"real-server\"`")
            }
            Doubt::SysctlOfDirectors { key } => {
                doubt("sysctl-of-other-role", format!("{key} is there only where IPVS is loaded: on directors"))
                    .help("put it into `tuning \"director\"`")
            }
            Doubt::ConnReuseMode => {
                doubt("conn-reuse-mode", "0 sends a client that reuses its port to its old server, also where that is being drained")
                    .help("leave it out: the default is 1")
            }
            Doubt::SyncUnheard { id, role: role @ SyncRole::Master, host } => {
                doubt("sync-unheard", format!("nobody hears {} as {role}: no other director is backup with id {id} or 0, this group and port", shown(host)))
                    .help("give both directors one `sync` with `master` and `backup`")
            }
            Doubt::SyncUnheard { id, role: role @ SyncRole::Backup, host } => {
                let ids = if *id == 0 { "any id".to_owned() } else { format!("id {id}") };
                doubt("sync-unheard", format!("{} as {role} hears nobody: no other director is master with {ids}, this group and port", shown(host)))
                    .help("give both directors one `sync` with `master` and `backup`")
            }
            Doubt::SyncOffLink { host, interface, other, other_interface } => doubt(
                "sync-off-link",
                format!(
                    "what {} sends by {} does not reach {}: {} there is in another subnet, and ttl 1 passes no router",
                    shown(host),
                    shown(interface),
                    shown(other),
                    shown(other_interface)
                ),
            )
            .help("name interfaces of one subnet, or a larger `ttl` where a router forwards the group"),
            Doubt::UnusedLint { name } => {
                doubt("unused-lint", format!("this allows nothing: `{name}` is not said of this topology")).help("remove it")
            }
        }
    }
}

/// What a method needs on a real server (`compile::real_server`), as commands.
fn by_hand(method: Forward, address: IpAddr, vip: IpAddr) -> String {
    let silent = "`sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2`";
    let on_lo = match vip {
        IpAddr::V4(_) => format!("{silent} and `ip address add {vip}/32 dev lo`"),
        IpAddr::V6(_) => format!("`ip address add {vip}/128 dev lo nodad preferred_lft 0`"),
    };
    let kind = |encapsulation| match (encapsulation, Family::of(address), Family::of(vip)) {
        (Encapsulation::Gre { .. }, Family::Ipv4, _) => "gre",
        (Encapsulation::Gre { .. }, Family::Ipv6, _) => "ip6gre",
        (_, Family::Ipv4, Family::Ipv4) => "ipip",
        (_, Family::Ipv4, Family::Ipv6) => "sit",
        (_, Family::Ipv6, _) => "ip6tnl mode any",
    };
    match method {
        Forward::Nat => "a default route through the director, or rules that lead its replies there".to_owned(),
        Forward::Dr => on_lo,
        Forward::Tun(encapsulation) => {
            let port = match (encapsulation, Family::of(address)) {
                (Encapsulation::Gue { port, .. }, Family::Ipv4) => format!("`ip fou add port {port} gue`, "),
                (Encapsulation::Gue { port, .. }, Family::Ipv6) => format!("`ip fou add port {port} gue -6`, "),
                _ => String::new(),
            };
            let checked = if matches!(encapsulation, Encapsulation::Gre { checksum: Checksum::Csum }) { " icsum" } else { "" };
            format!(
                "{port}`ip link add lvs type {} local {address}{checked}`, `ip link set lvs up`, rp_filter 2 on it, {on_lo}",
                kind(encapsulation)
            )
        }
    }
}

fn doubt(code: &'static str, message: impl Into<String>) -> Problem {
    Problem::warning(code, message)
}
