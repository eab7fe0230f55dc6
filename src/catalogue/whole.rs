//! `LVS2xx`: names that lead nowhere or twice to something, and what there is once in a topology.

use super::{Page, error, file, kdl};

pub const PAGES: &[Page] = &[
    error("LVS201", "no-topology", "The root file does not say `topology`", "Its name marks on each host what lvsform owns there, so there is no default for it.")
        .bad(file("director \"lb1\""))
        .good(file("topology \"example\"\ndirector \"lb1\"")),
    error("LVS202", "topology-outside-root", "An included file says `topology`", "Only the root file does. A file that is included cannot be another topology at the same time; one file cannot show it."),
    error("LVS203", "twice", "The same thing twice", "Names, fields, and blocks that are there once, are so in all files together. KDL would let the last one win, and half of a change would be lost.")
        .bad(kdl("pool \"web\" { server \"10.0.0.11\"; }\npool \"web\" { server \"10.0.0.12\"; }"))
        .good(kdl("pool \"web\" { server \"10.0.0.11\"; server \"10.0.0.12\"; }")),
    error("LVS204", "unknown-name", "A name that nothing has", "A director, VIP, pool, tunnel or server is named, and no file has it.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"wbe\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }")),
    error("LVS205", "not-its-address", "A host that does not have this address", "A server names both a host and an address, and no interface of the host has it.")
        .bad(kdl("real-server \"web1\" { interface \"eth0\" address=\"10.0.0.11/24\"; }\npool \"web\" { server \"one\" host=\"web1\" address=\"10.0.0.12\"; }"))
        .good(kdl("real-server \"web1\" { interface \"eth0\" address=\"10.0.0.11/24\"; }\npool \"web\" { server \"one\" host=\"web1\" address=\"10.0.0.11\"; }")),
    error("LVS206", "address-twice", "One address twice", "Two hosts have it, or two VIPs that one director carries.")
        .why("Two hosts with one address answer each other's packets. One director places a VIP once.")
        .bad(kdl("vip \"site\" address=\"10.0.0.100\"\nvip \"again\" address=\"10.0.0.100\""))
        .good(kdl("vip \"site\" address=\"10.0.0.100\"\nvip \"again\" address=\"10.0.0.101\"")),
    error("LVS207", "too-many", "More than a million things", "Hosts, addresses and servers are counted before ranges are expanded, and each server once for each address that its service listens on.")
        .bad(kdl("vip \"site\" address=\"10.0.0.[100-199]\"\npool \"web\" { server \"2001:db8::[1-ffff]\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"tun\"; pool \"web\"; }\nlint \"server-outside\" level=\"allow\" reason=\"another team has them\""))
        .good(kdl("vip \"site\" address=\"10.0.0.[100-101]\"\npool \"web\" { server \"2001:db8::[1-ff]\"; }\nservice \"shop\" { listen vip=\"site\" port=80; forward \"tun\"; pool \"web\"; }\nlint \"server-outside\" level=\"allow\" reason=\"another team has them\"")),
    error("LVS210", "one-object-twice", "Two things of the file are one object of the kernel", "They compile to one key, on one host. What can be written so is refused earlier, with a better message; this is what remains, and no text is known that shows it.")
        .why("The kernel would answer EEXIST to the second, or one would silently be the other."),
];
