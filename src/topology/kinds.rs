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
const COUNT: Type = Type::Integer { min: 0, max: 4_294_967_295 };
const MTU: Type = Type::Integer { min: 68, max: 65_536 };
const TIMEOUT: Type = Type::Duration { min: 1, max: 24 * 86_400 };

const fn field(word: &'static str, value: Type, example: &'static str, doc: &'static str) -> Field {
    Field { word, value, list: false, need: Need::Optional, example, doc }
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
    fields: &[field(
        "remove",
        Type::Sentence,
        "\"service.old\" \"pool.web.server.web3\"",
        "Overlays only: takes away what is there, like \"service.old\" or \"pool.web.server.web3\".",
    )
    .list()],
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
        may(&VARIABLE),
        may(&DEFAULTS),
        may(&EXPECT),
        may(&SET),
        may(&ADD),
    ],
};

/// `include`: followed when the files are read, so that it stands in no table.
pub const INCLUDE: Field = field(
    "include",
    Type::Sentence,
    "\"hosts.kdl\" \"sites/*.kdl\"",
    "Other files of the topology, relative to the file that says it; `*` and `?` match. It takes in no variables.",
)
.list();

/// What overlays may speak of: everything.
const EVERYTHING: &[Child] = &[
    may(&TOPOLOGY),
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
    may(&VARIABLE),
    may(&DEFAULTS),
    may(&EXPECT),
];

/// `expect`
pub static EXPECT: Kind = Kind {
    word: "expect",
    form: Form::Named { label: Type::Sentence, several: false },
    doc: "What must stay true whatever changes: `check` and `test` say where it does not.",
    example: "expect \"losing web1 is survivable\" {\n    without \"web1\"\n    moved-max \"40%\"\n    service \"shop\" servers-min=2\n}",
    fields: &[
        field(
            "without",
            Type::Name { ranges: true },
            "\"web[1-2]\"",
            "Hosts that are gone: what else is expected holds without them. What no director is left to carry has no servers.",
        )
        .list(),
        field(
            "moved-max",
            Type::Share,
            "\"40%\"",
            "The share of a service's clients that go to another server without those hosts, at most.",
        ),
        field(
            "live",
            Type::Sentence,
            "\"snapshots/monday.json\"",
            "A captured state (`lvsform snapshot FILE` as root, with this topology), relative to the file that says it: the plan from there is looked at. `test` alone reads it.",
        ),
        field("host", Type::Reference(Target::Host), "\"lb1\"", "Whose state that is."),
        field("changes", COUNT, "0", "Changes of that plan, at most."),
        field("deletes", COUNT, "0", "Deletes of that plan, at most. The state must say what the topology owned."),
        field(
            "connections-cut",
            COUNT,
            "0",
            "Active connections that it ends, at most. The state must say what the topology owned.",
        ),
    ],
    kinds: &[may(&EXPECT_SERVICE), may(&EXPECT_NAMES), may(&EXPECT_REACH)],
};

/// `service` in `expect`
pub static EXPECT_SERVICE: Kind = Kind {
    word: "service",
    form: Form::Named { label: Type::Sentence, several: false },
    doc: "What holds for each service of a name; `*` and `?` match. Servers are counted for each listen, VIP and family alone: the worst counts.",
    example: "service \"*-shop\" servers-min=2 share-max=\"60%\"",
    fields: &[
        field("servers-min", COUNT, "2", "Servers of a weight over 0, at least."),
        field("servers-max", COUNT, "40", "Servers of a weight over 0, at most."),
        field("weight-min", COUNT, "200", "The sum of their weights, at least."),
        field("share-max", Type::Share, "\"60%\"", "The share of one server in all weights, at most."),
        field("method", Type::Word(METHODS), "\"dr\"", "Its forwarding method is one of these.").list(),
        field("scheduler", Type::Word(SCHEDULERS), "\"wlc\" \"mh\"", "Its scheduler is one of these.").list(),
        field(
            "drain-min",
            Type::Duration { min: 0, max: 31 * 86_400 },
            "\"30s\"",
            "Its servers are let go for so long, at least.",
        ),
    ],
    kinds: &[],
};

/// `names` in `expect`
pub static EXPECT_NAMES: Kind = Kind {
    word: "names",
    form: Form::Named { label: Type::Word(&["director", "real-server", "vip", "pool", "service"]), several: false },
    doc: "How things of a kind are called.",
    example: "names \"director\" pattern=\"???-lb[12]\"",
    fields: &[field("pattern", Type::Sentence, "\"*-lb[12]\"", "What every name is; `*`, `?` and `[…]` match.")
        .list()
        .required()],
    kinds: &[],
};

/// `reach` in `expect`
pub static EXPECT_REACH: Kind = Kind {
    word: "reach",
    form: Form::Repeated,
    doc: "A VIP is reached from a subnet: a director that carries it is in there, or has a router. With dr and tun, which answer clients themselves, so is each server that is a host of the file.",
    example: "reach vip=\"inside\" from=\"10.0.0.0/24\"",
    fields: &[
        field("vip", Type::Reference(Target::Vip), "\"site\"", "The VIP.").required(),
        field("from", Type::Subnet, "\"10.0.0.0/24\"", "The subnet of its clients.").required(),
    ],
    kinds: &[],
};

/// `set` in an overlay
pub static SET: Kind = Kind {
    word: "set",
    form: Form::Once,
    doc: "Overlays only: says something else of what is there. Blocks without a name, like `listen`, are set together.",
    example: "set {\n    service \"shop\" drain=\"2m\" { scheduler \"mh\"; }\n}",
    fields: &[],
    kinds: EVERYTHING,
};

/// `add` in an overlay
pub static ADD: Kind = Kind {
    word: "add",
    form: Form::Once,
    doc: "Overlays only: adds what is not there, also to what is.",
    example: "add {\n    pool \"web\" { server \"10.0.0.19\"; }\n}",
    fields: &[],
    kinds: EVERYTHING,
};

/// `variable`
pub static VARIABLE: Kind = Kind {
    word: "variable",
    form: Form::Named { label: Type::Name { ranges: false }, several: false },
    doc: "A value that texts take in as `${NAME}`; --var, --var-file or the environment give another than the default.",
    example: "variable \"dc\" default=\"fra1\" env=\"LVSFORM_DC\" { one-of \"fra1\" \"ams2\"; }",
    fields: &[
        field("default", Type::Plain, "\"fra1\"", "What it is where nobody gives another; without it somebody must."),
        field(
            "type",
            Type::Word(&["text", "integer", "boolean"]),
            "\"integer\"",
            "What it may be; default: what the default is, else a text.",
        ),
        field("one-of", Type::Plain, "\"fra1\" \"ams2\"", "All that it may be.").list(),
        field("env", Type::Sentence, "\"SHOP_DC\"", "The variable of the environment that gives it; no other is ever read."),
    ],
    kinds: &[],
};

/// `defaults`
pub static DEFAULTS: Kind = Kind {
    word: "defaults",
    form: Form::Once,
    doc: "What holds for every service and every server that does not say it itself.",
    example: "defaults {\n    service drain=\"30s\" { forward \"dr\"; scheduler \"wlc\"; }\n    server weight=100\n}",
    fields: &[],
    kinds: &[may(&DEFAULT_SERVICE), may(&DEFAULT_SERVER)],
};

/// `service` in `defaults`
pub static DEFAULT_SERVICE: Kind = Kind {
    word: "service",
    form: Form::Once,
    doc: "What holds for every service that does not say it itself; each of them as a whole. `return-path` holds for those with nat alone.",
    example: "service drain=\"30s\" { forward \"dr\"; scheduler \"wlc\"; }",
    fields: &[DRAIN],
    kinds: &[may(&FORWARD), may(&SCHEDULER), may(&PERSISTENCE), may(&RETURN_PATH)],
};

/// `server` in `defaults`
pub static DEFAULT_SERVER: Kind = Kind {
    word: "server",
    form: Form::Once,
    doc: "What holds for every server of a pool or service that does not say it itself.",
    example: "server weight=100 max-connections=10000",
    fields: &[WEIGHT, MAX_CONNECTIONS, MIN_CONNECTIONS],
    kinds: &[],
};

/// `topology`
pub static TOPOLOGY: Kind = Kind {
    word: "topology",
    form: Form::Main { key: "name", value: Type::Name { ranges: false } },
    doc: "Names the topology, in the root file and once; the name marks what lvsform owns on a host.",
    example: "topology \"flash-sale\" edition=1",
    fields: &[
        field("edition", Type::Integer { min: 1, max: 1 }, "1", "The edition of the language.").or(Constant::Integer(1)),
        field("was", Type::Name { ranges: false }, "\"shop\"", "Takes over what was owned under this name."),
    ],
    kinds: &[],
};

const WEIGHT: Field =
    field("weight", CONNECTIONS, "100", "Its share of new connections; 0 is quiesced.").or(Constant::Integer(1));
const MAX_CONNECTIONS: Field =
    field("max-connections", CONNECTIONS, "10000", "No new connections from here on; 0 is none.").or(Constant::Integer(0));
const MIN_CONNECTIONS: Field =
    field("min-connections", CONNECTIONS, "8000", "New connections again below this; 0 is none.").or(Constant::Integer(0));
const DRAIN: Field =
    field("drain", Type::Duration { min: 0, max: 31 * 86_400 }, "\"2m\"", "How long a server that goes away is let go.")
        .or(Constant::Seconds(0));
const HOSTNAME: Field =
    field("hostname", Type::Hostname, "\"lb1.example.net\"", "Picks the host when --host is not given; default: the name.");
const QUIESCE: Field =
    field("quiesce", Type::Boolean, "#true", "Gives the host weight 0 in every service.").or(Constant::Boolean(false));

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
        field(
            "address",
            Type::Network,
            "\"10.0.0.2/24\" \"2001:db8::2/64\"",
            "The host's own addresses with the prefix lengths of their subnets.",
        )
        .list(),
        field("mtu", MTU, "9000", "The device's MTU in bytes."),
        field("gateway", Type::Address { whose: Whose::Gateway, ranges: false }, "\"10.0.0.1\"", "The routers of its subnets.")
            .list(),
    ],
    kinds: &[],
};

/// `sysctl`
pub static SYSCTL: Kind = Kind {
    word: "sysctl",
    form: Form::Keyed,
    doc: "A value below `net.`; the key is dotted, or slashed where a part of it contains dots.",
    example: "sysctl \"net.core.somaxconn\" 65535",
    fields: &[field("force", Type::Boolean, "#true", "Overrides what a forwarding method needs.").or(Constant::Boolean(false))],
    kinds: &[],
};

/// `tunnel`
pub static TUNNEL: Kind = Kind {
    word: "tunnel",
    form: Form::Named { label: Type::Interface, several: false },
    doc: "A tunnel device of a host.",
    example: "tunnel \"dc2\" kind=\"gre\" local=\"198.51.100.11\" remote=\"198.51.100.1\" ttl=64 mtu=1400 { address \"172.16.0.2/30\" }",
    fields: &[
        field("kind", Type::Word(&["ipip", "sit", "gre", "ip6gre", "ip6tnl"]), "\"gre\"", "The encapsulation.").required(),
        field("local", Type::Address { whose: Whose::Tunnel, ranges: true }, "\"198.51.100.11\"", "The outer source address."),
        field(
            "remote",
            Type::Address { whose: Whose::Tunnel, ranges: true },
            "\"198.51.100.1\"",
            "The outer destination; default: any.",
        ),
        field("device", Type::Interface, "\"eth0\"", "The device that outer packets are bound to."),
        field("ttl", Type::Integer { min: 1, max: 255 }, "64", "The outer TTL; default: inherited."),
        field("mtu", MTU, "9000", "The device's MTU in bytes."),
        field("mode", Type::Word(&["any", "ip6ip6", "ipip6"]), "\"any\"", "What an ip6tnl carries."),
        field("key", Type::Integer { min: 0, max: 4_294_967_295 }, "42", "The key of a gre kind, in both directions."),
        field("checksum", Type::Boolean, "#true", "Checksums of a gre kind, in both directions.").or(Constant::Boolean(false)),
        field("address", Type::Network, "\"172.16.0.2/30\"", "Addresses on the device.").list(),
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
        field("port", PORT, "6080", "The UDP port that is sent to and opened.").required(),
        field("checksum", Type::Word(CHECKSUMS), "\"csum\"", "The checksum of the outer UDP header.").or(Constant::Word("none")),
    ],
    kinds: &[],
};

/// `route`
pub static ROUTE: Kind = Kind {
    word: "route",
    form: Form::Named { label: Type::Subnet, several: false },
    doc: "A subnet that lies behind a tunnel of the same host.",
    example: "route \"10.2.0.0/16\" tunnel=\"dc2\"",
    fields: &[field("tunnel", Type::Reference(Target::Tunnel), "\"dc2\"", "The tunnel.").required()],
    kinds: &[],
};

/// `masquerade`
pub static MASQUERADE: Kind = Kind {
    word: "masquerade",
    form: Form::Repeated,
    doc: "NAT on a director for what real servers send out themselves.",
    example: "masquerade interface=\"eth1\" { source \"10.0.0.0/24\" \"2001:db8:9::/64\" }",
    fields: &[
        field("interface", Type::Interface, "\"eth0\"", "The device by which the packets leave.").required(),
        field("source", Type::Subnet, "\"10.0.0.0/24\"", "Whose packets.").list().required(),
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
        field(
            "address",
            Type::Address { whose: Whose::Vip, ranges: true },
            "\"10.0.0.100\" \"2001:db8::100\"",
            "The addresses, without prefix length.",
        )
        .list()
        .required(),
        field(
            "directors",
            Type::Reference(Target::Director),
            "\"lb1\" \"lb2\"",
            "Who carries its services; default: every director.",
        )
        .list(),
        field("holder", Type::Reference(Target::Director), "\"lb1\"", "The one of them that has the address."),
        field(
            "interface",
            Type::Interface,
            "\"eth0\"",
            "Where it is placed; default: the device whose subnet holds it, else a dummy device.",
        ),
        field("managed", Type::Boolean, "#false", "False where something else places it: keepalived, a BGP speaker.")
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
        field("host", Type::Name { ranges: true }, "\"web1\"", "The director or real server that it is."),
        field("address", Type::Address { whose: Whose::Server, ranges: true }, "\"10.0.0.[11-40]\"", "Its address."),
        WEIGHT,
        field("port", PORT, "8081", "Its own port; nat only."),
        MAX_CONNECTIONS,
        MIN_CONNECTIONS,
    ],
    kinds: &[may(&FORWARD)],
};

/// `service`
pub static SERVICE: Kind = Kind {
    word: "service",
    form: Form::Named { label: Type::Name { ranges: false }, several: false },
    doc: "What clients reach, and the servers that answer.",
    example: "service \"shop\" {\n    listen vip=\"storefront\" port=443\n    forward \"dr\"\n    scheduler \"wlc\"\n    pool \"web\"\n    drain \"2m\"\n}",
    fields: &[field("pool", Type::Reference(Target::Pool), "\"web\"", "Its pools.").list(), DRAIN],
    kinds: &[must(&LISTEN), must(&FORWARD), may(&SCHEDULER), may(&PERSISTENCE), may(&SERVER), may(&RETURN_PATH)],
};

/// `listen`
pub static LISTEN: Kind = Kind {
    word: "listen",
    form: Form::Repeated,
    doc: "Whose packets the service takes: those to a VIP and port, or those with a mark.",
    example: "listen vip=\"storefront\" port=443 server-port=8443",
    fields: &[
        field("vip", Type::Reference(Target::Vip), "\"site\"", "The VIP."),
        field("port", Type::Integer { min: 0, max: 65_535 }, "443", "The port; 0 is every port and needs persistence."),
        field("protocol", Type::Word(PROTOCOLS), "\"udp\"", "The protocol.").or(Constant::Word("tcp")),
        field("server-port", PORT, "8443", "The servers' port; nat only; default: the port."),
        field("family", Type::Word(FAMILIES), "\"ipv4\"", "Only the VIP's addresses of this family."),
        field("one-packet", Type::Boolean, "#true", "Schedules each datagram by itself; udp only.").or(Constant::Boolean(false)),
        field(
            "fwmark",
            Type::Integer { min: 1, max: 4_294_967_295 },
            "7",
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
        field("vip", Type::Reference(Target::Vip), "\"site\"", "The VIP that they are sent to.").required(),
        field("protocol", Type::Word(PROTOCOLS), "\"udp\"", "The protocol.").or(Constant::Word("tcp")),
        field("port", PORT, "80 443", "The ports; default: every port.").list(),
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
        field("encap", Type::Word(&["ipip", "gre", "gue"]), "\"gue\"", "What tun wraps packets in.").or(Constant::Word("ipip")),
        field("port", PORT, "6080", "The UDP port of gue."),
        field("checksum", Type::Word(CHECKSUMS), "\"csum\"", "The checksum of the outer header; gre and gue, remcsum gue alone.")
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
        field("port", Type::Boolean, "#true", "sh and mh: the client's port counts too.").or(Constant::Boolean(false)),
        field("fallback", Type::Boolean, "#true", "sh and mh: another server where the chosen one is quiesced.")
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
        field("client-prefix", Type::Integer { min: 1, max: 32 }, "24", "IPv4 clients of one prefix are one client.")
            .or(Constant::Integer(32)),
        field("client-prefix6", Type::Integer { min: 1, max: 128 }, "64", "IPv6 clients of one prefix are one client.")
            .or(Constant::Integer(128)),
        field("engine", Type::Word(&["sip"]), "\"sip\"", "Tells clients apart by their SIP Call-ID; udp listens only."),
    ],
    kinds: &[],
};

/// `return-path`
pub static RETURN_PATH: Kind = Kind {
    word: "return-path",
    form: Form::Main { key: "mode", value: Type::Word(&["policy", "default-route", "none", "snat"]) },
    doc: "How replies come back from nat servers; policy where it is not given.",
    example: "return-path \"policy\" via=\"inside\"",
    fields: &[field(
        "via",
        Type::Via,
        "\"inside\"",
        "Where policy sends them; default: the address of the VIP's only director or holder.",
    )],
    kinds: &[],
};

/// `timeouts`
pub static TIMEOUTS: Kind = Kind {
    word: "timeouts",
    form: Form::Once,
    doc: "IPVS's timeouts of connections; what is not given is not touched.",
    example: "timeouts tcp=\"15m\" tcp-fin=\"2m\" udp=\"5m\"",
    fields: &[
        field("tcp", TIMEOUT, "\"15m\"", "Established tcp connections."),
        field("tcp-fin", TIMEOUT, "\"2m\"", "Tcp connections after a FIN."),
        field("udp", TIMEOUT, "\"5m\"", "Udp."),
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
        field("id", Type::Integer { min: 0, max: 255 }, "51", "Who listens to whom; a backup with 0 listens to everyone.")
            .required(),
        field("interface", Type::Interface, "\"eth0\"", "The device that multicasts.").required(),
        field("group", Type::Multicast, "\"224.0.0.81\"", "The multicast group.")
            .or(Constant::Address(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81)))),
        field("port", PORT, "8848", "The UDP port.").or(Constant::Integer(8848)),
        field("ttl", Type::Integer { min: 1, max: 255 }, "1", "The TTL of the messages.").or(Constant::Integer(1)),
        field(
            "max-length",
            Type::Integer { min: 1_024, max: 65_487 },
            "1400",
            "The longest message in bytes; default: by the device's MTU.",
        ),
        field("master", Type::Reference(Target::Director), "\"lb1\"", "Who sends.").list(),
        field("backup", Type::Reference(Target::Director), "\"lb2\"", "Who receives.").list(),
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
        "\"exclusive\"",
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
        field(
            "max-deletes",
            Type::Amount,
            "\"20%\"",
            "Objects that a plan may delete, or a share of what the topology owns there.",
        ),
        field(
            "max-connections-cut",
            Type::Integer { min: 0, max: 4_294_967_295 },
            "0",
            "Active connections of servers deleted before they are drained.",
        ),
        field(
            "min-servers",
            Type::Amount,
            "\"50%\"",
            "Servers of weight over 0 that each service keeps throughout, or a share of those before.",
        ),
        field("protect", Type::Object, "\"service.shop\"", "Objects that no plan deletes.").list(),
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
        field(
            "level",
            Type::Word(&["allow", "warn", "deny"]),
            "\"allow\"",
            "allow: it is not said; warn: it is said; deny: it is an error.",
        )
        .required(),
        field("reason", Type::Sentence, "\"the site opens in May\"", "Why, for whoever reads the file next.").required(),
    ],
    kinds: &[],
};
