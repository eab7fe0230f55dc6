//! `LVS4xx`: listens, schedulers, persistence, return paths.

use super::{Page, error, kdl, warning};

pub const PAGES: &[Page] = &[
    error("LVS401", "port-kept", "A port for servers beside a method that keeps the port", "`server-port`, and a server's own `port`, are for nat.")
        .why("dr and tun do not touch the packet: it arrives at the port that the client asked for. The kernel takes another port all the same, shows it, and ignores it.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80 server-port=8080; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80 server-port=8080; forward \"nat\"; pool \"web\"; }")),
    error("LVS402", "every-port", "Port 0 without persistence", "Port 0 is every port, and that needs persistence; it cannot become one port of the servers.")
        .why("The kernel takes the service and drops every new connection to it, with one line in its log: \"port zero only supported in persistent services\".")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=0; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=0; forward \"dr\"; persistence \"5m\"; pool \"web\"; }")),
    error("LVS403", "one-packet", "`one-packet` without udp", "Scheduling each datagram by itself is for udp.")
        .why("The kernel stores the flag for tcp and sctp, and never looks at it.")
        .bad(kdl("service \"dns\" { listen vip=\"site\" port=53 one-packet=#true; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("service \"dns\" { listen vip=\"site\" port=53 protocol=\"udp\" one-packet=#true; forward \"dr\"; pool \"web\"; }")),
    error("LVS404", "no-such-family", "The VIP has no address of this family", "`family` narrows a listen to addresses that are not there.")
        .why("The listen would be no service at all.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80 family=\"ipv6\"; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80 family=\"ipv4\"; forward \"dr\"; pool \"web\"; }")),
    error("LVS405", "mark-of-two", "One mark of two services", "A packet carries one mark, and a mark leads to one service.")
        .why("The mark is the service's key in the kernel; the second would be the first.")
        .bad(kdl("service \"a\" { listen fwmark=1 vip=\"site\"; forward \"dr\"; pool \"web\"; }\nservice \"b\" { listen fwmark=1 vip=\"site\"; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("service \"a\" { listen fwmark=1 vip=\"site\"; forward \"dr\"; pool \"web\"; }\nservice \"b\" { listen fwmark=2 vip=\"site\"; forward \"dr\"; pool \"web\"; }")),
    error("LVS406", "listened-twice", "Two listens that are one service of the kernel", "Address, protocol and port are a service's key: two listens have the same, on one director.")
        .why("The kernel answers EEXIST to the second. Tools that write line by line go on, and its servers end up in the first.")
        .bad(kdl("service \"a\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }\nservice \"b\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("service \"a\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }\nservice \"b\" { listen vip=\"site\" port=81; forward \"dr\"; pool \"web\"; }")),
    error("LVS407", "mark-shadows", "A mark takes every packet of a listen", "lvsform marks packets that another listen waits for, by address, protocol and port.")
        .why("The kernel looks for a service of the mark first. The listen by address never gets a packet.")
        .bad(kdl("service \"all\" { listen fwmark=1 { match vip=\"site\" { port 80 443; }; }; forward \"dr\"; pool \"web\"; }\nservice \"shop\" { listen vip=\"site\" port=443; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("service \"all\" { listen fwmark=1 { match vip=\"site\" { port 80; }; }; forward \"dr\"; pool \"web\"; }\nservice \"shop\" { listen vip=\"site\" port=443; forward \"dr\"; pool \"web\"; }")),
    error("LVS408", "marked-twice", "Two marks for one packet", "Two `match` blocks with different marks take the same packets.")
        .why("A packet carries one mark: the later rule wins, and the other service gets nothing of it.")
        .bad(kdl("service \"a\" { listen fwmark=1 { match vip=\"site\" port=80; }; forward \"dr\"; pool \"web\"; }\nservice \"b\" { listen fwmark=2 { match vip=\"site\"; }; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("service \"a\" { listen fwmark=1 { match vip=\"site\" port=80; }; forward \"dr\"; pool \"web\"; }\nservice \"b\" { listen fwmark=2 { match vip=\"site\" port=443; }; forward \"dr\"; pool \"web\"; }")),
    error("LVS410", "scheduler-option", "An option of another scheduler", "`port` and `fallback` are options of sh and mh.")
        .why("The kernel stores the flags for any scheduler, and none but these two looks at them.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; scheduler \"wrr\" fallback=#true; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; scheduler \"sh\" fallback=#true; pool \"web\"; }")),
    error("LVS411", "sip-udp", "The engine \"sip\" on other than udp", "It reads the Call-ID of SIP in udp packets.")
        .why("The kernel takes it for any protocol; on tcp it finds no Call-ID, and connections fail.")
        .bad(kdl("service \"calls\" { listen vip=\"site\" port=5060; forward \"dr\"; persistence \"1h\" engine=\"sip\"; pool \"web\"; }"))
        .good(kdl("service \"calls\" { listen vip=\"site\" port=5060 protocol=\"udp\"; forward \"dr\"; persistence \"1h\" engine=\"sip\"; pool \"web\"; }")),
    warning("LVS412", "hash-fallback", "A quiesced server keeps its slots", "sh or mh without `fallback`, and a server of weight 0.")
        .why("Both keep the slots of a server of weight 0. Without `fallback` the clients that hash to it are refused, for as long as it is quiesced.")
        .bad(kdl("pool \"web\" { server \"10.0.0.11\"; server \"10.0.0.12\" weight=0; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; scheduler \"mh\"; pool \"web\"; }"))
        .good(kdl("pool \"web\" { server \"10.0.0.11\"; server \"10.0.0.12\" weight=0; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; scheduler \"mh\" fallback=#true; pool \"web\"; }")),
    warning("LVS413", "hash-slots", "More weight, or more servers, than the hash table has slots", "sh has 256 slots and gives each server as many as its weight; dh has 256, mh 4093, at least one for each server.")
        .why("sh fills its table in order and does not divide the weights: servers beyond slot 256 never get a client. mh refuses a table of more servers than slots, and the kernel does not pass that on. The sizes are those of the usual kernel configuration.")
        .bad(kdl("real-server \"web[1-3]\" { interface \"eth0\" address=\"10.0.0.[11-13]/24\"; }\npool \"web\" { server \"10.0.0.[11-13]\" weight=100; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; scheduler \"sh\"; pool \"web\"; }"))
        .good(kdl("real-server \"web[1-3]\" { interface \"eth0\" address=\"10.0.0.[11-13]/24\"; }\npool \"web\" { server \"10.0.0.[11-13]\" weight=1; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; scheduler \"sh\"; pool \"web\"; }")),
    warning("LVS414", "destination-hash", "A scheduler by destination, and one destination", "dh, lblc and lblcr choose by the address that the client asked for. A listen by VIP is one kernel service for each address, so that is always the same.")
        .why("dh sends every client to one and the same server; lblc and lblcr do until it is overloaded. They are for caches behind a mark, where one service has many addresses.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; scheduler \"dh\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; scheduler \"sh\"; pool \"web\"; }")),
    warning("LVS415", "overflow-udp", "The scheduler \"ovf\" on udp", "ovf counts active connections, and udp has none that end.")
        .why("The kernel counts udp as inactive: the first server never overflows and gets everything.")
        .bad(kdl("pool \"web\" { server \"10.0.0.[11-12]\" weight=1000; }\nservice \"dns\" { listen vip=\"site\" port=53 protocol=\"udp\"; forward \"dr\"; scheduler \"ovf\"; pool \"web\"; }"))
        .good(kdl("pool \"web\" { server \"10.0.0.[11-12]\" weight=1000; }\nservice \"dns\" { listen vip=\"site\" port=53 protocol=\"udp\"; forward \"dr\"; scheduler \"wlc\"; pool \"web\"; }")),
    warning("LVS416", "overflow-weight", "The scheduler \"ovf\" without weights", "For ovf a server's weight is how many active connections it takes; no server of the service has one.")
        .why("The default weight is 1: after one or two connections to each server the kernel refuses all others.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; scheduler \"ovf\"; pool \"web\"; }"))
        .good(kdl("pool \"web\" { server \"10.0.0.[11-12]\" weight=5000; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; scheduler \"ovf\"; pool \"web\"; }")),
    warning("LVS417", "ftp", "FTP whose data connections go astray", "A listen on tcp port 21: with dr and tun it needs persistence, with nat the module `ip_vs_ftp`, which lvsform does not load.")
        .why("FTP opens second connections to other ports. For a persistent service on port 21 the kernel takes those of passive mode along; with nat `ip_vs_ftp` rewrites the addresses in the commands. Otherwise logins work and transfers hang.")
        .bad(kdl("service \"files\" { listen vip=\"site\" port=21; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("service \"files\" { listen vip=\"site\" port=21; forward \"dr\"; persistence \"10m\"; pool \"web\"; }")),
    warning("LVS418", "drain-persistence", "Persistence brings new clients to a server that is being drained", "The service has `drain` and `persistence`, and its director does not set `net.ipv4.vs.expire_quiescent_template`.")
        .why("Weight 0 stops new clients. A client with a persistence template goes on opening connections to its server, and each renews the template: the server never drains, until `drain` is over and they are cut.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; persistence \"5m\"; drain \"2m\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; persistence \"5m\"; drain \"2m\"; pool \"web\"; }\ntuning \"director\" { sysctl \"net.ipv4.vs.expire_quiescent_template\" 1; }")),
    error("LVS420", "return-path", "Replies that do not come back", "`return-path` is nat's; `via` is that of \"policy\"; several directors and no holder need a way that leads to the right one.")
        .why("A reply that passes another director, or none, has the server's address as its source: the client drops it, and the connection never opens.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; return-path \"snat\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"nat\"; return-path \"snat\"; pool \"web\"; }")),
    warning("LVS421", "gateway-elsewhere", "A nat server whose default route leads past the director", "`return-path \"default-route\"` says that replies come back by the server's default route, and the server's `gateway` is no address of a director or VIP.")
        .why("The replies leave untranslated, and clients drop them.")
        .bad(kdl("real-server \"web1\" { interface \"eth0\" address=\"10.0.0.11/24\" gateway=\"10.0.0.1\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"nat\"; return-path \"default-route\"; server \"web1\"; }"))
        .good(kdl("real-server \"web1\" { interface \"eth0\" address=\"10.0.0.11/24\" gateway=\"10.0.0.2\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"nat\"; return-path \"default-route\"; server \"web1\"; }")),
    warning("LVS422", "way-back-off-link", "A nat server that cannot reach its director", "`return-path \"policy\"` sends the replies of nat servers to a director on their own link, and this host has no interface there.")
        .why("The kernel takes no route by an address that no link reaches. Without it the replies leave untranslated, and clients drop them.")
        .bad(kdl("real-server \"far\" { interface \"eth0\" address=\"10.9.0.11/24\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"nat\"; server \"far\"; }"))
        .good(kdl("real-server \"near\" { interface \"eth0\" address=\"10.0.0.11/24\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"nat\"; server \"near\"; }")),
];
