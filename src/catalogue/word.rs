//! `LVS1xx`: words that mean nothing where they stand, and values that are not what a field takes.

use super::{Page, error, kdl, toml};

pub const PAGES: &[Page] = &[
    error("LVS101", "unknown-kind", "No word of the language", "What stands at the top of a file is none of the language's kinds.")
        .bad(kdl("virtual_server \"shop\""))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }")),
    error("LVS102", "unknown-field", "The kind has no such field", "The word means nothing in this block. Unknown words are never ignored: a misspelled one would be a wish that nobody fulfils.")
        .bad(kdl("pool \"web\" { server \"10.0.0.11\" wieght=100; }"))
        .good(kdl("pool \"web\" { server \"10.0.0.11\" weight=100; }")),
    error("LVS103", "unknown-value", "None of the words that the field takes", "The field takes one of a few words, and this is none of them.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"masq\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"nat\"; pool \"web\"; }")),
    error("LVS104", "reserved-word", "A word that is kept for later", "The language may use it one day, so nothing may be called so now.")
        .bad(kdl("vrrp {}"))
        .good(kdl("policy { max-deletes 10; }")),
    error("LVS105", "reserved-text", "`${` begins a variable", "No text may look like a variable and be none. Where the files declare no variable at all, this is said.")
        .bad(kdl("director \"lb1\" hostname=\"${HOST}\""))
        .good(kdl("variable \"HOST\" default=\"lb1.example.net\"\ndirector \"lb1\" hostname=\"${HOST}\"")),
    error("LVS106", "main-value", "The main value stands behind the word", "In KDL the main value of a kind has no key; TOML tables have one.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward method=\"dr\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }")),
    error("LVS107", "missing", "A field or block that is needed", "The kind is nothing without it, and it has no default. So it is with `forward`: ipvsadm's default is dr and keepalived's is nat. An `expect` that expects nothing would always hold.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }")),
    error("LVS108", "missing-name", "A name that is needed", "Each block of this kind has a name behind its word.")
        .bad(kdl("pool { server \"10.0.0.11\"; }"))
        .good(kdl("pool \"web\" { server \"10.0.0.11\"; }")),
    error("LVS109", "missing-value", "A field without a value", "The field stands there, and nothing behind it.")
        .bad(kdl("vip \"site\" address=\"10.0.0.100\" { managed; }"))
        .good(kdl("vip \"site\" address=\"10.0.0.100\" { managed #false; }")),
    error("LVS110", "one-value", "One value, and there are several", "The field takes one. A list is refused, not cut off.")
        .bad(kdl("policy { max-deletes 1 2; }"))
        .good(kdl("policy { max-deletes 2; }")),
    error("LVS111", "fields-of-several", "Fields beside several names", "Fields say something about one; several names in one node have none.")
        .bad(kdl("pool \"web\" { server \"10.0.0.11\" \"10.0.0.12\" weight=5; }"))
        .good(kdl("pool \"web\" { server \"10.0.0.[11-12]\" weight=5; }")),
    error("LVS112", "wrong-type", "A value of another type", "A number where a text is expected, a text where a number is, a table where a value is.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=\"80\"; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }")),
    error("LVS113", "out-of-range", "A number that is too small or too large", "The kernel, or the language, takes no such number: weights are 0 to 2147483647, persistence is 1s to 31d, sync ids are 0 to 255, marks are 1 to 4294967295.")
        .why("The kernel does not check all of them. A mark of 0 would silently become the service tcp 0.0.0.0:0; a sync id of 256 would be taken, and never be heard.")
        .bad(kdl("service \"shop\" { listen fwmark=0 vip=\"site\"; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen fwmark=1 vip=\"site\"; forward \"dr\"; pool \"web\"; }")),
    error("LVS114", "bad-value", "A text that is not what the field takes", "No address, no duration, no subnet, or an address that nobody can have: 0.0.0.0, multicast, broadcast, for servers link-local.")
        .why("The kernel answers EINVAL to such a server, and takes such a VIP without a word.")
        .bad(kdl("vip \"site\" address=\"224.0.0.5\""))
        .good(kdl("vip \"site\" address=\"10.0.0.100\"")),
    error("LVS115", "prefix-length", "A prefix length where there is none", "A VIP is placed as a single address, /32 or /128; so are servers, gateways and ends of tunnels. keepalived writes one here.")
        .bad(kdl("vip \"site\" address=\"10.0.0.100/24\""))
        .good(kdl("vip \"site\" address=\"10.0.0.100\"")),
    error("LVS116", "address-with-port", "An address with a port", "ipvsadm writes the two together; here each is a field.")
        .bad(kdl("vip \"site\" address=\"10.0.0.100:80\""))
        .good(kdl("vip \"site\" address=\"10.0.0.100\"")),
    error("LVS117", "bad-name", "A name outside the alphabet", "A name is 1 to 63 letters, digits, `.`, `_`, `-`, begins with a letter or digit, and reads neither as an address nor as a number. Devices have the kernel's rule: 1 to 15 bytes.")
        .bad(kdl("pool \"web pool\" { server \"10.0.0.11\"; }"))
        .good(kdl("pool \"web-pool\" { server \"10.0.0.11\"; }")),
    error("LVS118", "bad-range", "A range that is none", "A range is one `[FIRST-LAST]`, ascending, without leading zeros, in place of a whole octet or group, with at most 65536 values.")
        .bad(kdl("pool \"web\" { server \"10.0.0.[12-11]\"; }"))
        .good(kdl("pool \"web\" { server \"10.0.0.[11-12]\"; }")),
    error("LVS119", "range-lengths", "Ranges of different lengths", "Ranges of one block go together, name by name.")
        .bad(kdl("real-server \"web[1-3]\" { interface \"eth0\" address=\"10.0.0.[11-12]/24\"; }"))
        .good(kdl("real-server \"web[1-2]\" { interface \"eth0\" address=\"10.0.0.[11-12]/24\"; }")),
    error("LVS120", "bad-sysctl", "No key below `net`", "A key begins with `net` and is dotted, or slashed where a part contains dots.")
        .bad(kdl("tuning \"director\" { sysctl \"kernel.panic\" 1; }"))
        .good(kdl("tuning \"director\" { sysctl \"net.core.netdev_max_backlog\" 250000; }")),
    error("LVS121", "sysctl-command", "A sysctl that is a command", "Writing it does something once; there is no value that a host could hold, so none that could be compared.")
        .bad(kdl("tuning \"director\" { sysctl \"net.ipv4.route.flush\" 1; }"))
        .good(kdl("tuning \"director\" { sysctl \"net.ipv4.route.gc_timeout\" 300; }")),
    error("LVS130", "tun-only", "A field of tunnels beside another method", "`encap`, `port` and `checksum` say how packets are wrapped. nat and dr wrap nothing.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\" encap=\"gue\" port=6080; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"tun\" encap=\"gue\" port=6080; pool \"web\"; }")),
    error("LVS131", "encap-port", "GUE needs a port, and nothing else has one", "The UDP port of the real servers belongs to encap \"gue\" alone.")
        .why("The kernel refuses GUE without a port (EINVAL) and takes a port with anything else, which then does nothing.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"tun\" encap=\"gue\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"tun\" encap=\"gue\" port=6080; pool \"web\"; }")),
    error("LVS132", "encap-checksum", "A checksum that the encapsulation does not have", "ipip has no checksum at all; \"remcsum\" is GUE's alone.")
        .why("The kernel takes and stores any of them, and does something else.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"tun\" checksum=\"csum\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"tun\" encap=\"gre\" checksum=\"csum\"; pool \"web\"; }")),
    error("LVS133", "match-without-mark", "`match` without `fwmark`", "`match` says which packets get a mark, and the listen has none.")
        .bad(kdl("service \"shop\" {\n    listen vip=\"site\" port=80 { match vip=\"site\" port=443; }\n    forward \"dr\"\n    pool \"web\"\n}"))
        .good(kdl("service \"shop\" {\n    listen fwmark=1 { match vip=\"site\" { port 80 443; }; }\n    forward \"dr\"\n    pool \"web\"\n}")),
    error("LVS134", "beside-mark", "A field that does not stand beside `fwmark`", "The mark alone says whose packets these are: protocol and ports stand in `match`.")
        .why("For a service with a mark the kernel sets the protocol, the address and the port aside, whatever it was sent.")
        .bad(kdl("service \"shop\" { listen fwmark=1 vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen fwmark=1 vip=\"site\"; forward \"dr\"; pool \"web\"; }")),
    error("LVS135", "mark-or-match", "A mark that does not say whose packets carry it", "Beside `fwmark` stands `match`, where lvsform marks, or `vip`, where something else does: one of the two.")
        .why("The kernel takes a service for a mark that no rule ever sets. It gets no packet, and nothing says so.")
        .bad(kdl("service \"shop\" { listen fwmark=1; forward \"dr\"; pool \"web\"; }"))
        .good(kdl("service \"shop\" { listen fwmark=1 vip=\"site\"; forward \"dr\"; pool \"web\"; }")),
    error("LVS140", "lint-of-error", "`lint` cannot lower an error", "Levels are for warnings. What is an error cannot work, and stays one.")
        .bad(kdl("lint \"every-port\" level=\"allow\" reason=\"we are in a hurry\""))
        .good(toml("topology = \"example\"\n[lint.all-quiesced]\nlevel = \"deny\"\nreason = \"an empty site is an outage\"")),
];
