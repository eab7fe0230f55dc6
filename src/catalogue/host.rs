//! `LVS3xx`: who carries and holds a VIP, what an interface is, what a tunnel takes.

use super::{Page, error, kdl, warning};

pub const PAGES: &[Page] = &[
    error("LVS301", "no-director", "Nobody carries the VIP", "The file has VIPs and no director.")
        .why("There is no kernel that could have the VIP's services.")
        .bad(super::file("topology \"example\"\nvip \"site\" address=\"10.0.0.100\""))
        .good(kdl("vip \"site\" address=\"10.0.0.100\"")),
    error("LVS302", "holder-elsewhere", "The holder does not carry the VIP", "`holder` is one of the VIP's `directors`.")
        .why("The address would be on a director that has none of the VIP's services: clients would be refused.")
        .bad(kdl("director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\ndirector \"lb2\" { interface \"eth0\" address=\"10.0.0.3/24\"; }\nvip \"site\" address=\"10.0.0.100\" directors=\"lb1\" holder=\"lb2\""))
        .good(kdl("director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\ndirector \"lb2\" { interface \"eth0\" address=\"10.0.0.3/24\"; }\nvip \"site\" address=\"10.0.0.100\" holder=\"lb2\"")),
    error("LVS303", "no-holder", "Several directors would answer for one address", "The VIP lies in a subnet of several directors, and nothing says which one has it.")
        .why("IPv4 goes to one of them at random, as ARP caches have it. IPv6 ends in `dadfailed`: the second one never uses it.")
        .bad(kdl("director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\ndirector \"lb2\" { interface \"eth0\" address=\"10.0.0.3/24\"; }\nvip \"site\" address=\"10.0.0.100\""))
        .good(kdl("director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\ndirector \"lb2\" { interface \"eth0\" address=\"10.0.0.3/24\"; }\nvip \"site\" address=\"10.0.0.100\" managed=#false    // keepalived moves it")),
    warning("LVS304", "vip-outside", "The VIP lies in no subnet of its director", "The VIP has one place, on one director, and no interface of that director is in its subnet: it goes to a dummy device.")
        .why("Nobody on the wire answers for an address on a dummy device. Packets come only where a router has a route for it to the director. That is how routed VIPs are meant, and also what a mistyped address looks like.")
        .bad(kdl("vip \"site\" address=\"10.0.1.100\""))
        .good(kdl("director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; interface \"eth1\" address=\"10.0.1.2/24\"; }\nvip \"site\" address=\"10.0.1.100\"")),
    warning("LVS305", "unknown-interface", "An interface that the host does not have", "The host says which interfaces it has, and this one is not among them.")
        .why("The kernel answers ENODEV when the file is applied, unless something else makes the device.")
        .bad(kdl("vip \"site\" address=\"10.0.0.100\" interface=\"eth9\""))
        .good(kdl("vip \"site\" address=\"10.0.0.100\" interface=\"eth0\"")),
    error("LVS306", "masquerade", "`masquerade` in a real server", "It translates what real servers send out, on the director by which that leaves.")
        .why("On the real server itself it would translate what the server answers, too.")
        .bad(kdl("real-server \"web1\" {\n    interface \"eth0\" address=\"10.0.0.11/24\"\n    masquerade interface=\"eth0\" { source \"10.0.0.0/24\"; }\n}"))
        .good(kdl("director \"lb1\" {\n    interface \"eth0\" address=\"10.0.0.2/24\"\n    masquerade interface=\"eth0\" { source \"10.0.0.0/24\"; }\n}")),
    warning("LVS307", "vip-of-another-host", "The VIP is another host's address", "An interface of a host that does not carry the VIP has its address.")
        .why("Two hosts on one wire answer for the address: IPv4 goes to one of them at random, IPv6 fails its duplicate address detection.")
        .bad(kdl("real-server \"web1\" { interface \"eth0\" address=\"10.0.0.100/24\"; }"))
        .good(kdl("real-server \"web1\" { interface \"eth0\" address=\"10.0.0.11/24\"; }")),
    warning("LVS308", "vip-elsewhere", "A VIP that another topology's host has", "`check` was given several topologies, and hosts of two of them answer for one address, at least one of them for its VIP. One file cannot show it.")
        .why("Each topology is right by itself, and none of them sees the other. On one wire IPv4 goes to one of the two at random, IPv6 fails its duplicate address detection. Hosts of one `hostname` are one host, topologies of one name one topology; a routed VIP may be anywhere."),
    warning("LVS309", "gateway-outside", "A gateway outside the subnets of its interface", "The interface has subnets of the gateway's family, and the gateway is in none of them.")
        .why("The kernel takes no route through a router that it cannot ask for on the wire (ENETUNREACH). Interfaces with `/32` addresses alone, and link-local routers, are left alone.")
        .bad(kdl("director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\" gateway=\"10.0.1.1\"; }"))
        .good(kdl("director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\" gateway=\"10.0.0.1\"; }")),
    error("LVS310", "tunnel-field", "A field that this kind of tunnel does not have", "`mode` is ip6tnl's; `key` and `checksum` are those of gre and ip6gre.")
        .why("The kernel has no such attribute for the kind, and ignores it.")
        .bad(kdl("real-server \"edge1\" { tunnel \"dc2\" kind=\"ipip\" remote=\"10.9.0.1\" key=7; }"))
        .good(kdl("real-server \"edge1\" { tunnel \"dc2\" kind=\"gre\" remote=\"10.9.0.1\" key=7; }")),
    error("LVS311", "tunnel-end", "Ends that do not fit the tunnel", "`local` and `remote` are of the family of the outer packets, and at least one is given.")
        .why("The kernel refuses the other family. Without either end the device is the module's own fallback device: EEXIST.")
        .bad(kdl("real-server \"edge1\" { tunnel \"dc2\" kind=\"gre\" remote=\"2001:db8::1\"; }"))
        .good(kdl("real-server \"edge1\" { tunnel \"dc2\" kind=\"ip6gre\" remote=\"2001:db8::1\"; }")),
    error("LVS312", "tunnel-twice", "Two tunnels that are one in the kernel", "Kind, local, remote and key are the same: a packet could not tell them apart.")
        .why("The kernel answers EEXIST to the second.")
        .bad(kdl("real-server \"edge1\" {\n    tunnel \"a\" kind=\"gre\" remote=\"10.9.0.1\"\n    tunnel \"b\" kind=\"gre\" remote=\"10.9.0.1\"\n}"))
        .good(kdl("real-server \"edge1\" {\n    tunnel \"a\" kind=\"gre\" remote=\"10.9.0.1\" key=1\n    tunnel \"b\" kind=\"gre\" remote=\"10.9.0.1\" key=2\n}")),
];
