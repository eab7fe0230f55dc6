//! The one table of kinds and fields. What a word is, takes and means is said here and nowhere else.

use std::net::{IpAddr, Ipv4Addr};

use super::shape::{Child, Constant, Field, Form, Kind, Need, Target, Type, Whose};

/// The words of forwarding methods.
pub const METHODS: &[&str] = &["nat", "dr", "tun"];
/// The kernel's schedulers.
pub const SCHEDULERS: &[&str] = &["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "fo", "ovf", "mh", "twos"];
const PROTOCOLS: &[&str] = &["tcp", "udp", "sctp"];
const FAMILIES: &[&str] = &["ipv4", "ipv6"];
const CHECKSUMS: &[&str] = &["none", "csum", "remcsum"];
const PORT: Type = Type::Integer { min: 1, max: 65_535 };
const CONNECTIONS: Type = Type::Integer { min: 0, max: 2_147_483_647 };
const MTU: Type = Type::Integer { min: 68, max: 65_536 };
const TIMEOUT: Type = Type::Duration { min: 1, max: 24 * 86_400 };

const fn field(word: &'static str, value: Type, doc: &'static str) -> Field {
    Field { word, value, list: false, need: Need::Optional, doc }
}

impl Field {
    const fn required(self) -> Field {
        Field { need: Need::Required, ..self }
    }

    const fn or(self, default: Constant) -> Field {
        Field { need: Need::Default(default), ..self }
    }

    const fn list(self) -> Field {
        Field { list: true, ..self }
    }
}

const fn may(kind: &'static Kind) -> Child {
    Child { kind, required: false }
}

const fn must(kind: &'static Kind) -> Child {
    Child { kind, required: true }
}

/// A whole file.
pub static ROOT: Kind = Kind {
    word: "",
    form: Form::Once,
    doc: "A topology file.",
    example: "topology \"flash-sale\"",
    fields: &[],
    kinds: &[
        must(&TOPOLOGY),
        may(&DIRECTOR),
        may(&REAL_SERVER),
        may(&VIP),
        may(&POOL),
        may(&SERVICE),
        may(&TIMEOUTS),
        may(&SYNC),
        may(&TUNING),
        may(&OWNERSHIP),
        may(&POLICY),
        may(&LINT),
    ],
};

/// `topology`
pub static TOPOLOGY: Kind = Kind {
    word: "topology",
    form: Form::Main { key: "name", value: Type::Name { ranges: false } },
    doc: "Names the topology, in the root file and once; the name marks what lvsform owns on a host.",
    example: "topology \"flash-sale\" edition=1",
    fields: &[
        field("edition", Type::Integer { min: 1, max: 1 }, "The edition of the language.").or(Constant::Integer(1)),
        field("was", Type::Name { ranges: false }, "Takes over what was owned under this name."),
    ],
    kinds: &[],
};

const HOSTNAME: Field = field("hostname", Type::Hostname, "Picks the host when --host is not given; default: the name.");
const QUIESCE: Field = field("quiesce", Type::Boolean, "Gives the host weight 0 in every service.").or(Constant::Boolean(false));

/// `director`
pub static DIRECTOR: Kind = Kind {
    word: "director",
    form: Form::Named { label: Type::Name { ranges: true }, several: false },
    doc: "A host that carries services.",
    example: "director \"lb1\" {\n    hostname \"lb1.example.net\"\n    interface \"eth0\" address=\"10.0.0.2/24\" gateway=\"10.0.0.1\"\n    sysctl \"net.core.netdev_max_backlog\" 250000\n}",
    fields: &[HOSTNAME, QUIESCE],
    kinds: &[may(&INTERFACE), may(&SYSCTL), may(&TUNNEL), may(&ROUTE), may(&MASQUERADE)],
};

/// `real-server`
pub static REAL_SERVER: Kind = Kind {
    word: "real-server",
    form: Form::Named { label: Type::Name { ranges: true }, several: false },
    doc: "A host that answers for services.",
    example: "real-server \"web[2-40]\" {\n    interface \"eth0\" address=\"10.0.0.[12-50]/24\"\n}",
    fields: &[HOSTNAME, QUIESCE],
    kinds: &[may(&INTERFACE), may(&SYSCTL), may(&TUNNEL), may(&ROUTE), may(&MASQUERADE)],
};

/// `interface`
pub static INTERFACE: Kind = Kind {
    word: "interface",
    form: Form::Named { label: Type::Interface, several: false },
    doc: "A network device of a host: a fact, not managed.",
    example: "interface \"eth1\" mtu=9000 { address \"192.0.2.2/24\" \"2001:db8:1::2/64\" }",
    fields: &[
        field("address", Type::Network, "The host's own addresses with the prefix lengths of their subnets.").list(),
        field("mtu", MTU, "The device's MTU in bytes."),
        field("gateway", Type::Address { whose: Whose::Gateway, ranges: false }, "The routers of its subnets.").list(),
    ],
    kinds: &[],
};

/// `sysctl`
pub static SYSCTL: Kind = Kind {
    word: "sysctl",
    form: Form::Keyed,
    doc: "A value below `net.`; the key is dotted, or slashed where a part of it contains dots.",
    example: "sysctl \"net.core.somaxconn\" 65535",
    fields: &[field("force", Type::Boolean, "Overrides what a forwarding method needs.").or(Constant::Boolean(false))],
    kinds: &[],
};

/// `tunnel`
pub static TUNNEL: Kind = Kind {
    word: "tunnel",
    form: Form::Named { label: Type::Interface, several: false },
    doc: "A tunnel device of a host.",
    example: "tunnel \"dc2\" kind=\"gre\" local=\"198.51.100.11\" remote=\"198.51.100.1\" ttl=64 mtu=1400 { address \"172.16.0.2/30\" }",
    fields: &[
        field("kind", Type::Word(&["ipip", "sit", "gre", "ip6gre", "ip6tnl"]), "The encapsulation.").required(),
        field("local", Type::Address { whose: Whose::Tunnel, ranges: true }, "The outer source address."),
        field("remote", Type::Address { whose: Whose::Tunnel, ranges: true }, "The outer destination; default: any."),
        field("device", Type::Interface, "The device that outer packets are bound to."),
        field("ttl", Type::Integer { min: 1, max: 255 }, "The outer TTL; default: inherited."),
        field("mtu", MTU, "The device's MTU in bytes."),
        field("mode", Type::Word(&["any", "ip6ip6", "ipip6"]), "What an ip6tnl carries."),
        field("key", Type::Integer { min: 0, max: 4_294_967_295 }, "The key of a gre kind, in both directions."),
        field("checksum", Type::Boolean, "Checksums of a gre kind, in both directions.").or(Constant::Boolean(false)),
        field("address", Type::Network, "Addresses on the device.").list(),
    ],
    kinds: &[may(&ENCAP)],
};

/// `encap` of a tunnel
pub static ENCAP: Kind = Kind {
    word: "encap",
    form: Form::Main { key: "kind", value: Type::Word(&["gue"]) },
    doc: "Wraps a tunnel's packets in UDP, and opens the port.",
    example: "encap \"gue\" port=6080 checksum=\"none\"",
    fields: &[
        field("port", PORT, "The UDP port that is sent to and opened.").required(),
        field("checksum", Type::Word(CHECKSUMS), "The checksum of the outer UDP header.").or(Constant::Word("none")),
    ],
    kinds: &[],
};

/// `route`
pub static ROUTE: Kind = Kind {
    word: "route",
    form: Form::Named { label: Type::Subnet, several: false },
    doc: "A subnet that lies behind a tunnel of the same host.",
    example: "route \"10.2.0.0/16\" tunnel=\"dc2\"",
    fields: &[field("tunnel", Type::Reference(Target::Tunnel), "The tunnel.").required()],
    kinds: &[],
};

/// `masquerade`
pub static MASQUERADE: Kind = Kind {
    word: "masquerade",
    form: Form::Repeated,
    doc: "NAT on a director for what real servers send out themselves.",
    example: "masquerade interface=\"eth1\" { source \"10.0.0.0/24\" \"2001:db8:9::/64\" }",
    fields: &[
        field("interface", Type::Interface, "The device by which the packets leave.").required(),
        field("source", Type::Subnet, "Whose packets.").list().required(),
    ],
    kinds: &[],
};

/// `vip`
pub static VIP: Kind = Kind {
    word: "vip",
    form: Form::Named { label: Type::Name { ranges: false }, several: false },
    doc: "A virtual address, of one family or both.",
    example: "vip \"storefront\" {\n    address \"10.0.0.100\" \"2001:db8:1::100\"\n    directors \"lb1\" \"lb2\"\n    holder \"lb1\"\n}",
    fields: &[
        field("address", Type::Address { whose: Whose::Vip, ranges: true }, "The addresses, without prefix length.")
            .list()
            .required(),
        field("directors", Type::Reference(Target::Director), "Who carries its services; default: every director.").list(),
        field("holder", Type::Reference(Target::Director), "The one of them that has the address."),
        field(
            "interface",
            Type::Interface,
            "Where it is placed; default: the device whose subnet holds it, else a dummy device.",
        ),
        field("managed", Type::Boolean, "False where something else places it: keepalived, a BGP speaker.")
            .or(Constant::Boolean(true)),
    ],
    kinds: &[],
};

/// `pool`
pub static POOL: Kind = Kind {
    word: "pool",
    form: Form::Named { label: Type::Name { ranges: false }, several: false },
    doc: "Servers that services share.",
    example: "pool \"web\" {\n    server \"web1\" weight=100\n    server \"10.0.0.[11-40]\"\n}",
    fields: &[],
    kinds: &[may(&SERVER)],
};

/// `server`
pub static SERVER: Kind = Kind {
    word: "server",
    form: Form::Named { label: Type::Server, several: true },
    doc: "A real server of a pool or service: a host of the file, an address, a range, or a label for `host` or `address`.",
    example: "server \"old\" address=\"203.0.113.9\" weight=0 max-connections=10000 min-connections=8000 {\n    forward \"tun\" encap=\"gue\" port=6078\n}",
    fields: &[
        field("host", Type::Name { ranges: true }, "The director or real server that it is."),
        field("address", Type::Address { whose: Whose::Server, ranges: true }, "Its address."),
        field("weight", CONNECTIONS, "Its share of new connections; 0 is quiesced.").or(Constant::Integer(1)),
        field("port", PORT, "Its own port; nat only."),
        field("max-connections", CONNECTIONS, "No new connections from here on; 0 is none.").or(Constant::Integer(0)),
        field("min-connections", CONNECTIONS, "New connections again below this; 0 is none.").or(Constant::Integer(0)),
    ],
    kinds: &[may(&FORWARD)],
};

/// `service`
pub static SERVICE: Kind = Kind {
    word: "service",
    form: Form::Named { label: Type::Name { ranges: false }, several: false },
    doc: "What clients reach, and the servers that answer.",
    example: "service \"shop\" {\n    listen vip=\"storefront\" port=443\n    forward \"dr\"\n    scheduler \"wlc\"\n    pool \"web\"\n    drain \"2m\"\n}",
    fields: &[
        field("pool", Type::Reference(Target::Pool), "Its pools.").list(),
        field("drain", Type::Duration { min: 0, max: 31 * 86_400 }, "How long a server that goes away is let go.")
            .or(Constant::Seconds(0)),
    ],
    kinds: &[must(&LISTEN), must(&FORWARD), may(&SCHEDULER), may(&PERSISTENCE), may(&SERVER), may(&RETURN_PATH)],
};

/// `listen`
pub static LISTEN: Kind = Kind {
    word: "listen",
    form: Form::Repeated,
    doc: "Whose packets the service takes: those to a VIP and port, or those with a mark.",
    example: "listen vip=\"storefront\" port=443 server-port=8443",
    fields: &[
        field("vip", Type::Reference(Target::Vip), "The VIP."),
        field("port", Type::Integer { min: 0, max: 65_535 }, "The port; 0 is every port and needs persistence."),
        field("protocol", Type::Word(PROTOCOLS), "The protocol.").or(Constant::Word("tcp")),
        field("server-port", PORT, "The servers' port; nat only; default: the port."),
        field("family", Type::Word(FAMILIES), "Only the VIP's addresses of this family."),
        field("one-packet", Type::Boolean, "Schedules each datagram by itself; udp only.").or(Constant::Boolean(false)),
        field(
            "fwmark",
            Type::Integer { min: 1, max: 4_294_967_295 },
            "The mark of the packets; beside it stands `match`, or `vip` where something else marks.",
        ),
    ],
    kinds: &[may(&MATCH)],
};

/// `match`
pub static MATCH: Kind = Kind {
    word: "match",
    form: Form::Repeated,
    doc: "Packets that lvsform marks.",
    example: "match vip=\"edge\" { port 80 443 }",
    fields: &[
        field("vip", Type::Reference(Target::Vip), "The VIP that they are sent to.").required(),
        field("protocol", Type::Word(PROTOCOLS), "The protocol.").or(Constant::Word("tcp")),
        field("port", PORT, "The ports; default: every port.").list(),
    ],
    kinds: &[],
};

/// `forward`
pub static FORWARD: Kind = Kind {
    word: "forward",
    form: Form::Main { key: "method", value: Type::Word(METHODS) },
    doc: "How packets reach the servers; a server's own overrides the service's, whole.",
    example: "forward \"tun\" encap=\"gue\" port=6080 checksum=\"none\"",
    fields: &[
        field("encap", Type::Word(&["ipip", "gre", "gue"]), "What tun wraps packets in.").or(Constant::Word("ipip")),
        field("port", PORT, "The UDP port of gue."),
        field("checksum", Type::Word(CHECKSUMS), "The checksum of the outer header; gre and gue, remcsum gue alone.")
            .or(Constant::Word("none")),
    ],
    kinds: &[],
};

/// `scheduler`
pub static SCHEDULER: Kind = Kind {
    word: "scheduler",
    form: Form::Main { key: "name", value: Type::Word(SCHEDULERS) },
    doc: "Which server gets a new connection; wlc where it is not given.",
    example: "scheduler \"mh\" port=#true fallback=#true",
    fields: &[
        field("port", Type::Boolean, "sh and mh: the client's port counts too.").or(Constant::Boolean(false)),
        field("fallback", Type::Boolean, "sh and mh: another server where the chosen one is quiesced.")
            .or(Constant::Boolean(false)),
    ],
    kinds: &[],
};

/// `persistence`
pub static PERSISTENCE: Kind = Kind {
    word: "persistence",
    form: Form::Main { key: "timeout", value: Type::Duration { min: 1, max: 31 * 86_400 } },
    doc: "A client stays with its server for so long.",
    example: "persistence \"5m\" client-prefix=24 client-prefix6=64",
    fields: &[
        field("client-prefix", Type::Integer { min: 1, max: 32 }, "IPv4 clients of one prefix are one client.")
            .or(Constant::Integer(32)),
        field("client-prefix6", Type::Integer { min: 1, max: 128 }, "IPv6 clients of one prefix are one client.")
            .or(Constant::Integer(128)),
        field("engine", Type::Word(&["sip"]), "Tells clients apart by their SIP Call-ID; udp listens only."),
    ],
    kinds: &[],
};

/// `return-path`
pub static RETURN_PATH: Kind = Kind {
    word: "return-path",
    form: Form::Main { key: "mode", value: Type::Word(&["policy", "default-route", "none", "snat"]) },
    doc: "How replies come back from nat servers; policy where it is not given.",
    example: "return-path \"policy\" via=\"inside\"",
    fields: &[field("via", Type::Via, "Where policy sends them; default: the address of the VIP's only director or holder.")],
    kinds: &[],
};

/// `timeouts`
pub static TIMEOUTS: Kind = Kind {
    word: "timeouts",
    form: Form::Once,
    doc: "IPVS's timeouts of connections; what is not given is not touched.",
    example: "timeouts tcp=\"15m\" tcp-fin=\"2m\" udp=\"5m\"",
    fields: &[
        field("tcp", TIMEOUT, "Established tcp connections."),
        field("tcp-fin", TIMEOUT, "Tcp connections after a FIN."),
        field("udp", TIMEOUT, "Udp."),
    ],
    kinds: &[],
};

/// `sync`
pub static SYNC: Kind = Kind {
    word: "sync",
    form: Form::Repeated,
    doc: "Sync daemons: directors tell each other about their connections; without master and backup every director is both.",
    example: "sync id=51 interface=\"eth0\" {\n    master \"lb1\"\n    backup \"lb2\"\n}",
    fields: &[
        field("id", Type::Integer { min: 0, max: 255 }, "Who listens to whom; a backup with 0 listens to everyone.").required(),
        field("interface", Type::Interface, "The device that multicasts.").required(),
        field("group", Type::Multicast, "The multicast group.").or(Constant::Address(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81)))),
        field("port", PORT, "The UDP port.").or(Constant::Integer(8848)),
        field("ttl", Type::Integer { min: 1, max: 255 }, "The TTL of the messages.").or(Constant::Integer(1)),
        field(
            "max-length",
            Type::Integer { min: 1_024, max: 65_487 },
            "The longest message in bytes; default: by the device's MTU.",
        ),
        field("master", Type::Reference(Target::Director), "Who sends.").list(),
        field("backup", Type::Reference(Target::Director), "Who receives.").list(),
    ],
    kinds: &[],
};

/// `tuning`
pub static TUNING: Kind = Kind {
    word: "tuning",
    form: Form::Named { label: Type::Word(&["director", "real-server"]), several: false },
    doc: "Sysctls of every host of a role.",
    example: "tuning \"real-server\" {\n    sysctl \"net.core.somaxconn\" 65535\n}",
    fields: &[],
    kinds: &[may(&SYSCTL)],
};

/// `ownership`
pub static OWNERSHIP: Kind = Kind {
    word: "ownership",
    form: Form::Once,
    doc: "Whose the IPVS table of a host is.",
    example: "ownership ipvs=\"exclusive\"",
    fields: &[field(
        "ipvs",
        Type::Word(&["declared", "exclusive"]),
        "declared: only what lvsform created is ever changed; exclusive: the whole table is this file's.",
    )
    .or(Constant::Word("declared"))],
    kinds: &[],
};

/// `policy`
pub static POLICY: Kind = Kind {
    word: "policy",
    form: Form::Once,
    doc: "What one host's plan may do at most.",
    example: "policy {\n    max-deletes \"20%\"\n    min-servers \"50%\"\n    protect \"service.shop\"\n}",
    fields: &[
        field("max-deletes", Type::Amount, "Objects that a plan may delete, or a share of what the topology owns there."),
        field(
            "max-connections-cut",
            Type::Integer { min: 0, max: 4_294_967_295 },
            "Active connections of servers deleted before they are drained.",
        ),
        field(
            "min-servers",
            Type::Amount,
            "Servers of weight over 0 that each service keeps throughout, or a share of those before.",
        ),
        field("protect", Type::Object, "Objects that no plan deletes.").list(),
    ],
    kinds: &[],
};

/// `lint`
pub static LINT: Kind = Kind {
    word: "lint",
    form: Form::Named { label: Type::Code, several: false },
    doc: "How a warning of `check` is taken; errors cannot be lowered. `lvsform explain --list` shows them all.",
    example: "lint \"all-quiesced\" level=\"allow\" reason=\"the site opens in May\"",
    fields: &[
        field("level", Type::Word(&["allow", "warn", "deny"]), "allow: it is not said; warn: it is said; deny: it is an error.")
            .required(),
        field("reason", Type::Sentence, "Why, for whoever reads the file next.").required(),
    ],
    kinds: &[],
};
