//! `LVS6xx`: sysctls that do nothing, or the wrong thing, and sync daemons that nobody hears.

use super::{Page, error, kdl, warning};

pub const PAGES: &[Page] = &[
    error("LVS601", "tunings-differ", "Two tunings of one host differ", "A director that is also a server has both tunings, and they set a key to two values.")
        .why("The kernel has one value. The host's own block says which.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"nat\"; server \"lb1\"; }\ntuning \"director\" { sysctl \"net.ipv4.tcp_syncookies\" 1; }\ntuning \"real-server\" { sysctl \"net.ipv4.tcp_syncookies\" 2; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"nat\"; server \"lb1\"; }\ntuning \"director\" { sysctl \"net.ipv4.tcp_syncookies\" 1; }\ntuning \"real-server\" { sysctl \"net.ipv4.tcp_syncookies\" 1; }")),
    error("LVS602", "sysctl-against-method", "A sysctl against what a method needs", "A forwarding method, the holder of a VIP, or `masquerade` needs a value, and the file sets another. `force=#true` says that it is meant.")
        .why("nat without forwarding forwards nothing; snat without connection tracking translates nothing. A server of dr or tun whose `arp_ignore` or `arp_announce` is lower answers for the VIP: clients reach it past the director.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"nat\"; pool \"web\"; }\ntuning \"director\" { sysctl \"net.ipv4.ip_forward\" 0; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"nat\"; pool \"web\"; }\ntuning \"director\" { sysctl \"net.ipv4.ip_forward\" 1; }")),
    error("LVS603", "sysctl-value", "A value that IPVS's sysctl does not take", "The keys of `net.ipv4.vs` take integers, some of them few: `sync_ports` a power of two up to 64, `drop_entry`, `drop_packet`, `secure_tcp`, `sync_retries` and `conn_reuse_mode` 0 to 3, `sync_threshold` two numbers, the first smaller.")
        .why("The kernel answers EINVAL to most of them while the change is under way. `conn_reuse_mode` takes any number and looks at two bits; `sync_ports` over 64 is cut off when a daemon starts.")
        .bad(kdl("tuning \"director\" { sysctl \"net.ipv4.vs.sync_ports\" 3; }"))
        .good(kdl("tuning \"director\" { sysctl \"net.ipv4.vs.sync_ports\" 4; }")),
    warning("LVS604", "unknown-sysctl", "A key of `net.ipv4.vs` that no kernel has", "None of the kernels up to 7.2 has it.")
        .why("The file below /proc/sys is not there, and the change is refused on every host.")
        .bad(kdl("tuning \"director\" { sysctl \"net.ipv4.vs.expire_nodest\" 1; }"))
        .good(kdl("tuning \"director\" { sysctl \"net.ipv4.vs.expire_nodest_conn\" 1; }")),
    warning("LVS605", "sysctl-of-other-role", "A sysctl that does nothing on this host", "Accept queues (`somaxconn`, `tcp_max_syn_backlog`, `tcp_syncookies`) on directors that serve nothing, or `net.ipv4.vs` on real servers.")
        .why("IPVS accepts no connection itself: what ends connections are the servers. And `net.ipv4.vs` is there only where IPVS is loaded.")
        .bad(kdl("tuning \"director\" { sysctl \"net.core.somaxconn\" 65535; }"))
        .good(kdl("tuning \"real-server\" { sysctl \"net.core.somaxconn\" 65535; }")),
    warning("LVS606", "conn-reuse-mode", "`conn_reuse_mode` is 0", "It was set to 0 against a delay of a second that kernels before 5.9 had.")
        .why("With 0 a client that reuses its port goes to the server of the old connection, also when that is quiesced: it never drains. From 5.9 on there is no delay to avoid.")
        .bad(kdl("tuning \"director\" { sysctl \"net.ipv4.vs.conn_reuse_mode\" 0; }"))
        .good(kdl("tuning \"director\" { sysctl \"net.ipv4.vs.conn_reuse_mode\" 1; }")),
    error("LVS620", "daemon-twice", "Two sync daemons of one role on one host", "A host is master in one `sync` and backup in one.")
        .why("The kernel has one daemon of each role in a namespace, and answers EEXIST to the second.")
        .bad(kdl("sync id=1 interface=\"eth0\" master=\"lb1\"\nsync id=2 interface=\"eth0\" { master \"lb1\"; }\nlint \"sync-unheard\" level=\"allow\" reason=\"the backup is another file's\""))
        .good(kdl("director \"lb[1-2]\" { interface \"eth0\" address=\"10.0.0.[2-3]/24\"; }\nvip \"site\" address=\"10.0.0.100\" holder=\"lb1\"\nsync id=1 interface=\"eth0\" { master \"lb1\"; backup \"lb2\"; }\nsync id=2 interface=\"eth0\" { master \"lb2\"; backup \"lb1\"; }")),
    error("LVS621", "sync-families", "A server of the other family beside a sync daemon", "A tun service reaches a server of the other family, and its director runs a sync daemon.")
        .why("The kernel refuses the two together, in either order (EINVAL).")
        .bad(kdl("director \"lb[1-2]\" { interface \"eth0\" address=\"10.0.0.[2-3]/24\"; }\nvip \"site\" address=\"10.0.0.100\" holder=\"lb1\"\nreal-server \"web6\" { interface \"eth0\" address=\"2001:db8::11/64\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"tun\"; server \"web6\"; }\nsync id=1 interface=\"eth0\""))
        .good(kdl("director \"lb[1-2]\" { interface \"eth0\" address=\"10.0.0.[2-3]/24\"; }\nvip \"site\" address=\"10.0.0.100\" holder=\"lb1\"\nservice \"shop\" { listen vip=\"site\" port=80; forward \"tun\"; server \"10.0.0.11\"; }\nsync id=1 interface=\"eth0\"")),
    warning("LVS622", "sync-unheard", "A sync daemon that nobody hears, or that hears nobody", "A master has no backup, or a backup no master, of the same id, group and port. A backup with id 0 hears every id.")
        .why("The kernel sends and listens, and nothing arrives: the other director knows no connection when it takes over.")
        .bad(kdl("director \"lb[1-2]\" { interface \"eth0\" address=\"10.0.0.[2-3]/24\"; }\nvip \"site\" address=\"10.0.0.100\" holder=\"lb1\"\nsync id=51 interface=\"eth0\" { master \"lb1\"; }\nsync id=52 interface=\"eth0\" { backup \"lb2\"; }"))
        .good(kdl("director \"lb[1-2]\" { interface \"eth0\" address=\"10.0.0.[2-3]/24\"; }\nvip \"site\" address=\"10.0.0.100\" holder=\"lb1\"\nsync id=51 interface=\"eth0\" { master \"lb1\"; backup \"lb2\"; }")),
    warning("LVS623", "sync-off-link", "Sync daemons in two subnets", "A master's interface and those of its backups are in different subnets, and the messages have ttl 1.")
        .why("Sync messages are multicast, and with ttl 1 no router forwards them: the other director knows no connection when it takes over.")
        .bad(kdl("director \"lb1\" { interface \"eth1\" address=\"10.9.1.1/30\"; }\ndirector \"lb2\" { interface \"eth1\" address=\"10.9.2.1/30\"; }\nvip \"site\" address=\"10.0.0.100\" managed=#false\nsync id=51 interface=\"eth1\" { master \"lb1\"; backup \"lb2\"; }"))
        .good(kdl("director \"lb1\" { interface \"eth1\" address=\"10.9.1.1/30\"; }\ndirector \"lb2\" { interface \"eth1\" address=\"10.9.1.2/30\"; }\nvip \"site\" address=\"10.0.0.100\" managed=#false\nsync id=51 interface=\"eth1\" { master \"lb1\"; backup \"lb2\"; }")),
    warning("LVS690", "unused-lint", "A `lint` that allows nothing", "The warning that it allows is not there.")
        .why("What was allowed once, with a reason, may be allowed for ever by nobody's decision.")
        .bad(kdl("lint \"all-quiesced\" level=\"allow\" reason=\"maintenance in May\""))
        .good(kdl("lint \"all-quiesced\" level=\"allow\" reason=\"the site opens in May\"\npool \"web\" { server \"10.0.0.[11-12]\" weight=0; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }")),
];
