//! The wording of what only a compilation finds wrong.

use std::net::IpAddr;

use crate::provenance::Provenance;
use crate::source::{Label, Origin, Problem, Severity, Span};
use crate::state::{Family, Key, Protocol, TunnelKind};
use crate::topology::fault::conflict::Conflict;
use crate::topology::shape::family as spelled;

/// A mistake that shows when a host is compiled.
#[derive(Debug)]
pub(super) enum Fault {
    /// Two things of the file are one object of the kernel.
    OneKeyTwice { key: Key, second: Provenance, first: Provenance },
    /// Two servers of one service are one, which shows when the address of a host has been chosen.
    ServerTwice { service: String, one: String, two: String, first: Span, second: Span },
    /// A host has several addresses that a service could use.
    SeveralAddresses { host: String, family: Family, addresses: Vec<IpAddr>, server: Origin, service: String },
    /// A service listens on a family in which it has no server.
    NoServer { service: String, family: Family, listen: Span },
    /// A server of another family than its service beside a sync daemon.
    MixedFamilyWithSync { service: String, server: Origin, sync: Span },
    /// A device that the host declares is the one that takes packets out of their tunnel: the kernel has one of a kind and local
    /// address.
    DeviceTwice { kind: TunnelKind, local: IpAddr, declared: Origin, server: Origin },
    /// One address takes gre packets with checksums or without, not both.
    GreChecksums { local: IpAddr, first: Origin, second: Origin },
    /// One rule of a server would send its replies to two directors.
    TwoWaysBack {
        protocol: Protocol,
        /// `None`: every port.
        port: Option<u16>,
        services: [String; 2],
        vias: [IpAddr; 2],
        first: Origin,
        second: Origin,
    },
    /// A sysctl that a method needs otherwise.
    AgainstMethod { key: String, value: String, needed: String, reason: &'static str, origin: Origin, cause: Origin },
    /// A sysctl that the tunings of two roles set differently.
    TwoTunings { key: String, first: Origin, second: Origin },
}

impl Fault {
    pub(super) fn problem(self) -> Problem {
        match self {
            Fault::OneKeyTwice { key, second, first } => error(
                "one-object-twice",
                format!("`{}` and `{}` are one object of the kernel: {key}", second.name, first.name),
                [label(second.origin, "and again here"), label(first.origin, "here")],
                Some("remove one of the two, or give it another address, port or name".to_owned()),
            ),
            Fault::ServerTwice { service, one, two, first, second } => {
                let conflict = Conflict::ServerTwice { service: &service, address: None, one: &one, two: &two, first };
                conflict.at(second)
            }
            Fault::SeveralAddresses { host, family, addresses, server, service } => error(
                "several-addresses",
                format!(
                    "`{host}` has {} {} addresses that service `{service}` could use: {}",
                    addresses.len(),
                    spelled(family),
                    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                ),
                [label(server, "which one?"), None],
                addresses.first().map(|address| format!("say which: server \"{host}\" address=\"{address}\"")),
            ),
            Fault::NoServer { service, family, listen } => error(
                "no-server-for-family",
                format!("service `{service}` listens on {0} and has no {0} server", spelled(family)),
                [label(Origin::Text(listen), "listens here"), None],
                Some(format!(
                    "give a server an {} address, or listen on the other family alone: family=\"{}\"",
                    spelled(family),
                    if family == Family::Ipv4 { Family::Ipv6 } else { Family::Ipv4 }
                )),
            ),
            Fault::MixedFamilyWithSync { service, server, sync } => error(
                "sync-families",
                format!("service `{service}` has a server of the other address family, and a sync daemon runs on its director"),
                [label(server, "its address is of the other family"), label(Origin::Text(sync), "the sync daemon")],
                Some("the kernel refuses the two together: give the server an address of the service's family, or do without `sync`".to_owned()),
            ),
            Fault::DeviceTwice { kind, local, declared, server } => error(
                "one-object-twice",
                format!("the kernel has one {kind} device of {local} for all remote ends, and two are needed"),
                [label(declared, "declared here"), label(server, "needed by this server")],
                Some("remove the declared one: forward \"tun\" brings its own; or give it a remote end".to_owned()),
            ),
            Fault::GreChecksums { local, first, second } => error(
                "one-object-twice",
                format!("{local} takes gre packets with checksums or without, and is to take both"),
                [label(second, "otherwise here"), label(first, "once here")],
                Some("give both the same `checksum`, or one server another address".to_owned()),
            ),
            Fault::TwoWaysBack { protocol, port, services: [one, two], vias: [there, elsewhere], first, second } => {
                let whose = if one == two { format!("service `{one}`") } else { format!("services `{one}` and `{two}`") };
                let port = port.map(|port| format!(" port {port}")).unwrap_or_default();
                error(
                    "two-ways-back",
                    format!(
                        "replies of a server of {whose} from {protocol}{port} are to go to {there} and to {elsewhere}, and nothing in them says which"
                    ),
                    [label(second, &format!("to {elsewhere}")), label(first, &format!("to {there}"))],
                    Some(
                        "use `return-path \"snat\"`, another `server-port` for one of the two, or a `via` that is common to both"
                            .to_owned(),
                    ),
                )
            }
            Fault::AgainstMethod { key, value, needed, reason, origin, cause } => error(
                "sysctl-against-method",
                format!("{key} is {value} here, and {reason} to be {needed}"),
                [label(origin, "set here"), label(cause, "needed by this")],
                Some("remove the line, or say `force=#true` (TOML: force = true) if you know better".to_owned()),
            ),
            Fault::TwoTunings { key, first, second } => error(
                "tunings-differ",
                format!("the director is also a server, and {key} has two values: one from each tuning"),
                [label(second, "and here"), label(first, "here")],
                Some("set the key in the director's own block".to_owned()),
            ),
        }
    }
}

fn label(origin: Origin, text: &str) -> Option<Label> {
    origin.span().map(|span| Label { span, text: text.to_owned() })
}

fn error(code: &'static str, message: String, labels: [Option<Label>; 2], help: Option<String>) -> Problem {
    Problem { severity: Severity::Error, code, message, labels: labels.into_iter().flatten().collect(), help, edit: None }
}
