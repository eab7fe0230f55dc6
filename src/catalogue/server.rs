//! `LVS5xx`: servers of services, and how packets reach them.

use super::{Page, error, kdl, warning};

pub const PAGES: &[Page] = &[
    error("LVS501", "no-servers", "A service without servers", "Neither `pool` nor `server` stands in it.")
        .why("The kernel takes it and refuses every client.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }")),
    error("LVS502", "empty-pool", "A service whose pools are empty", "It has pools, and none of them has a server.")
        .why("The kernel takes it and refuses every client. To take a service out of use, quiesce its servers or remove it.")
        .bad(kdl("pool \"web\"\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("pool \"web\" { server \"10.0.0.11\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }")),
    warning("LVS503", "all-quiesced", "Every server of a service has weight 0", "By its own weight, or because its host is quiesced.")
        .why("Connections that are there go on; every new client is refused.")
        .bad(kdl("pool \"web\" { server \"10.0.0.[11-12]\" weight=0; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("pool \"web\" { server \"10.0.0.11\"; server \"10.0.0.12\" weight=0; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }")),
    error("LVS504", "thresholds", "Thresholds that do not ascend", "`min-connections` is at most `max-connections`, and nothing without it.")
        .why("The kernel answers ERANGE, also where the upper one is none.")
        .bad(kdl("pool \"web\" { server \"10.0.0.11\" min-connections=100; }"))
        .good(kdl("pool \"web\" { server \"10.0.0.11\" min-connections=100 max-connections=200; }")),
    error("LVS505", "port-of-several", "A server's one port for several", "The service's listens have different ports, and the server's own port would stand for all of them.")
        .why("Packets for 80 and for 443 would arrive at one port.")
        .bad(kdl("service \"shop\" {\n    listen vip=\"site\" port=80\n    listen vip=\"site\" port=443\n    forward \"nat\"\n    server \"10.0.0.11\" port=8080\n}"))
        .good(kdl("service \"shop\" {\n    listen vip=\"site\" port=80\n    forward \"nat\"\n    server \"10.0.0.11\" port=8080\n}")),
    error("LVS506", "server-twice", "One server twice in a service", "Two pools, a range, or a host and its address lead to one address and port.")
        .why("The kernel answers EEXIST to the second; its weight would be lost.")
        .bad(kdl("pool \"web\" { server \"10.0.0.[11-12]\"; server \"10.0.0.12\" weight=5; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("pool \"web\" { server \"10.0.0.11\"; server \"10.0.0.12\" weight=5; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }")),
    error("LVS507", "several-addresses", "Which address of the host?", "The host has several addresses that the service could use, and nothing says which.")
        .why("Any choice could be the one that no packet reaches.")
        .bad(kdl("real-server \"web1\" { interface \"eth0\" { address \"10.0.0.11/24\" \"10.0.0.12/24\"; }; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; server \"web1\"; }"))
        .good(kdl("real-server \"web1\" { interface \"eth0\" { address \"10.0.0.11/24\" \"10.0.0.12/24\"; }; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; server \"web1\" address=\"10.0.0.12\"; }")),
    error("LVS508", "no-server-for-family", "No server for a family that is listened on", "The service listens on IPv4 or IPv6, and has no server that can be reached so. Only tun reaches a server of the other family.")
        .why("The kernel refuses a server of another family with nat and dr (EINVAL), and a service without servers refuses every client.")
        .bad(kdl("vip \"site\" { address \"10.0.0.100\" \"2001:db8::100\"; managed #false; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("vip \"site\" { address \"10.0.0.100\" \"2001:db8::100\"; managed #false; }\nservice \"shop\" { listen vip=\"site\" port=80 family=\"ipv4\"; forward \"dr\"; pool \"web\"; }")),
    error("LVS509", "round-and-round", "Two directors that send packets to each other", "A director is a dr or tun server of a VIP that another director carries too.")
        .why("It gets the packet, and its own IPVS schedules it again, perhaps to the first one: round and round until the TTL is used up.")
        .bad(kdl("director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\ndirector \"lb2\" { interface \"eth0\" address=\"10.0.0.3/24\"; }\nvip \"site\" address=\"10.0.0.100\" holder=\"lb1\"\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; server \"lb1\" \"lb2\"; }"))
        .good(kdl("director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; server \"lb1\"; pool \"web\"; }")),
    error("LVS510", "vip-off-interface", "A director that serves, and a VIP on a dummy device", "A director that is a dr or tun server of its own VIP needs it on the interface that faces the clients.")
        .why("On `lo` or a dummy device the address is the real server's kind: packets would not be answered from it as a director's.")
        .bad(kdl("vip \"site\" address=\"10.0.0.100\" interface=\"lo\"\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; server \"lb1\"; }"))
        .good(kdl("vip \"site\" address=\"10.0.0.100\" interface=\"eth0\"\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; server \"lb1\"; }")),
    error("LVS511", "server-is-vip", "A server with the VIP's own address", "The address of a server is an address of a VIP that its service listens on.")
        .why("The director would send the packet to itself. A director that serves is named as a server: its host's name.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"nat\"; server \"10.0.0.100\"; return-path \"none\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"nat\"; server \"10.0.0.11\"; return-path \"none\"; }")),
    warning("LVS512", "dr-off-link", "A dr server outside the director's subnets", "No interface of a director of the service is in the server's subnet.")
        .why("dr writes the server's hardware address on the packet and leaves the VIP in it. A router between them sends it back to the director, round and round.")
        .bad(kdl("real-server \"far1\" { interface \"eth0\" address=\"192.168.7.11/24\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; server \"far1\"; }"))
        .good(kdl("real-server \"far1\" { interface \"eth0\" address=\"192.168.7.11/24\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"tun\"; server \"far1\"; }")),
    warning("LVS513", "unused-server", "A server that no packet reaches", "It has no address of a family that its service listens on, and its method does not go between families.")
        .why("nat and dr cannot change the family (EINVAL), so lvsform leaves it out: the service has less than the file seems to say.")
        .bad(kdl("real-server \"web[1-2]\" { interface \"eth0\" address=\"10.0.0.[11-12]/24\"; }\nreal-server \"web6\" { interface \"eth0\" address=\"2001:db8::11/64\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; server \"web6\"; }"))
        .good(kdl("real-server \"web[1-2]\" { interface \"eth0\" address=\"10.0.0.[11-12]/24\"; }\nreal-server \"web6\" { interface \"eth0\" address=\"2001:db8::11/64\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"tun\"; pool \"web\"; server \"web6\"; }")),
    warning("LVS514", "large-weight", "A weight over 65535", "The kernel takes weights up to 2147483647; ipvsadm before 1.30 only up to 65535.")
        .why("Such an ipvsadm cannot restore what it saved. Only the proportion of weights counts: smaller ones say the same. ovf counts connections and is left alone here.")
        .bad(kdl("pool \"web\" { server \"10.0.0.11\" weight=100000; server \"10.0.0.12\" weight=200000; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("pool \"web\" { server \"10.0.0.11\" weight=1; server \"10.0.0.12\" weight=2; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }")),
    warning("LVS515", "tunnel-mtu", "No room for the outer header", "The service wraps packets, and the interfaces by which they leave, or arrive, have no room for a client's 1500 bytes and the outer header.")
        .why("Large packets are refused with \"fragmentation needed\", which many firewalls drop: connections open, small answers work, uploads hang. Give the backbone a larger MTU, or clamp the MSS of clients and allow this.")
        .bad(kdl("director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\" mtu=1500; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"tun\"; pool \"web\"; }"))
        .good(kdl("director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\" mtu=9000; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"tun\"; pool \"web\"; }")),
    warning("LVS516", "server-outside", "A server that is no host of the file", "The file has real servers, and the service sends to an address that none of its hosts has, where its method needs something.")
        .why("dr and tun servers must have the VIP, silent to ARP, and tun a device that unwraps; replies of nat must come back through the director. What is a `real-server` of the file gets that from `apply`; for others it must be done by hand.")
        .bad(kdl("real-server \"web1\" { interface \"eth0\" address=\"10.0.0.31/24\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; server \"web1\" \"10.0.0.32\"; }"))
        .good(kdl("real-server \"web[1-2]\" { interface \"eth0\" address=\"10.0.0.[31-32]/24\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; server \"web1\" \"web2\"; }")),
    error("LVS517", "two-ways-back", "Replies of one port that are to go to two directors", "With `return-path \"policy\"` a server sends back to the director what leaves from an address, protocol and port, and two directors send to that one.")
        .why("The first routing rule wins: clients of the other director's VIP get replies from an address that they never asked. With \"snat\" the replies name their director; on two ports, or through a common `via`, the rules have one answer.")
        .bad(kdl("director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\ndirector \"lb2\" { interface \"eth0\" address=\"10.0.0.3/24\"; }\nreal-server \"web1\" { interface \"eth0\" address=\"10.0.0.31/24\"; }\nvip \"one\" address=\"10.0.0.101\" holder=\"lb1\"\nvip \"two\" address=\"10.0.0.102\" holder=\"lb2\"\nservice \"shop\" {\n    listen vip=\"one\" port=80\n    listen vip=\"two\" port=80\n    forward \"nat\"\n    server \"web1\"\n}"))
        .good(kdl("director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\ndirector \"lb2\" { interface \"eth0\" address=\"10.0.0.3/24\"; }\nreal-server \"web1\" { interface \"eth0\" address=\"10.0.0.31/24\"; }\nvip \"one\" address=\"10.0.0.101\" holder=\"lb1\"\nvip \"two\" address=\"10.0.0.102\" holder=\"lb2\"\nservice \"shop\" {\n    listen vip=\"one\" port=80\n    listen vip=\"two\" port=80\n    forward \"nat\"\n    server \"web1\"\n    return-path \"snat\"\n}")),
    error("LVS518", "vip-is-own-address", "A VIP that is its director's only address", "A director has no IPv4 address in the file but the VIP, and servers of dr or tun have the VIP too.")
        .why("Linux takes no IPv4 packet from an address of its own, and answers no ARP request from one: the director asks for the server's hardware address, or wraps packets, as the VIP, and is never answered. Where the file sets `accept_local` this is not said.")
        .bad(kdl("vip \"site\" address=\"10.0.0.2\"\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("vip \"site\" address=\"10.0.0.100\"\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }")),
    warning("LVS519", "gateway-is-director", "A dr or tun server whose router is the director", "Every gateway of the server is an address of the director that has the VIP, or the VIP.")
        .why("Its replies come from the VIP. The director has that address itself, and Linux drops IPv4 packets from an address of its own: no client gets an answer. Where the file sets `accept_local` this is not said.")
        .bad(kdl("director \"lb1\" { interface \"eth0\" address=\"192.0.2.2/24\"; interface \"eth1\" address=\"10.0.0.1/24\"; }\nreal-server \"web1\" { interface \"eth0\" address=\"10.0.0.31/24\" gateway=\"10.0.0.1\"; }\nvip \"site\" address=\"192.0.2.100\"\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; server \"web1\"; }"))
        .good(kdl("director \"lb1\" { interface \"eth0\" address=\"192.0.2.2/24\"; interface \"eth1\" address=\"10.0.0.1/24\"; }\nreal-server \"web1\" { interface \"eth0\" address=\"10.0.0.31/24\" gateway=\"10.0.0.254\"; }\nvip \"site\" address=\"192.0.2.100\"\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; server \"web1\"; }")),
    warning("LVS520", "no-real-servers", "A file of directors alone", "The file has no `real-server`, and services send to addresses where their method needs something. Said once, and not beside an error.")
        .why("dr and tun servers must have the VIP, silent to ARP, and tun a device that unwraps; replies of nat must come back through the director. What is a `real-server` of the file gets that from `apply`; otherwise it is done by hand, as with LVS's older tools.")
        .bad(super::file("topology \"example\"\ndirector \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\nvip \"site\" address=\"10.0.0.100\"\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; server \"10.0.0.[11-12]\"; }"))
        .good(super::file("topology \"example\"\ndirector \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\nreal-server \"web[1-2]\" { interface \"eth0\" address=\"10.0.0.[11-12]/24\"; }\nvip \"site\" address=\"10.0.0.100\"\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; server \"10.0.0.[11-12]\"; }")),
];
