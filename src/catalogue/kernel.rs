//! `LVS7xx`: what the kernel that `--target-kernel` names does not have.

use super::{Page, error, kdl};

pub const PAGES: &[Page] = &[
    error("LVS701", "kernel-scheduler", "A scheduler that the kernel lacks", "mh came with 4.18, ovf with 4.3, fo with 3.18, twos with 5.12; the options of sh with 3.11.")
        .why("The kernel answers ENOENT: it finds no module of that name.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; scheduler \"twos\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; scheduler \"wlc\"; pool \"web\"; }"))
        .target("5.10"),
    error("LVS702", "kernel-tunnel", "An encapsulation that the kernel lacks", "gue came with 5.2, gre and checksums with 5.3, servers of another family with 3.18.")
        .why("Older kernels ignore attributes that they do not know: packets leave as plain IPIP, to a server that expects something else.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"tun\" encap=\"gre\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"tun\"; pool \"web\"; }"))
        .target("4.19"),
    error("LVS703", "kernel-sysctl", "A sysctl that the kernel lacks", "The keys of `net.ipv4.vs` came one after the other: `conn_reuse_mode` with 4.1, `schedule_icmp` and `ignore_tunneled` with 4.4, `run_estimation` with 5.16, `est_cpulist` and `est_nice` with 6.2, the load factors with 7.1, `conn_max` with 7.2.")
        .why("The file below /proc/sys is not there, and the change is refused.")
        .bad(kdl("tuning \"director\" { sysctl \"net.ipv4.vs.est_nice\" 5; }"))
        .good(kdl("tuning \"director\" { sysctl \"net.ipv4.vs.schedule_icmp\" 1; }"))
        .target("5.10"),
    error("LVS704", "kernel-sync", "A field of sync daemons that the kernel lacks", "`group`, `port`, `ttl` and `max-length` came with 4.3.")
        .why("Older kernels ignore them and use 224.0.0.81, port 8848.")
        .bad(kdl("director \"lb[1-2]\" { interface \"eth0\" address=\"10.0.0.[2-3]/24\"; }\nvip \"site\" address=\"10.0.0.100\" holder=\"lb1\"\nsync id=1 interface=\"eth0\" ttl=2"))
        .good(kdl("director \"lb[1-2]\" { interface \"eth0\" address=\"10.0.0.[2-3]/24\"; }\nvip \"site\" address=\"10.0.0.100\" holder=\"lb1\"\nsync id=1 interface=\"eth0\""))
        .target("4.1"),
    error("LVS705", "kernel-service", "A field of services that the kernel lacks", "`one-packet` came with 2.6.36, the engine \"sip\" with 2.6.37.")
        .why("Older kernels ignore the flag, and have no module of the engine.")
        .bad(kdl("service \"calls\" { listen vip=\"site\" port=5060 protocol=\"udp\"; forward \"dr\"; persistence \"1h\" engine=\"sip\"; pool \"web\"; }"))
        .good(kdl("service \"calls\" { listen vip=\"site\" port=5060 protocol=\"udp\"; forward \"dr\"; persistence \"1h\"; pool \"web\"; }"))
        .target("2.6.32"),
];
