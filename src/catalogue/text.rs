//! `LVS0xx`: files, and texts that are not what their spelling asks for.

use super::{Page, error, kdl, toml};

pub const PAGES: &[Page] = &[
    error("LVS001", "file", "The file cannot be read", "It is missing, no regular file, larger than 32 MiB, no UTF-8, or neither `.kdl` nor `.toml`. No text of a topology can show it."),
    error("LVS002", "include", "An included file cannot be read", "`include` names a file that is not there, lies outside the root file's folder, or is no topology file. A pattern that matches nothing is no mistake.")
        .bad(kdl("include \"pools.kdl\"     // there is no such file"))
        .good(kdl("include \"pools/*.kdl\"")),
    error("LVS003", "include-cycle", "A file includes itself", "Following `include` from file to file leads back to a file that is being read.")
        .bad(kdl("include \"example.kdl\"   // this is example.kdl"))
        .good(kdl("include \"sites/*.kdl\"")),
    error("LVS004", "too-many-files", "More than 1000 files", "A topology has at most 1000 files. It takes 1001 to show it."),
    error("LVS005", "too-large", "A node or a text is too large to be read", "One top-level node of KDL is larger than the reader takes at once: split it, for example into several pools. Or a text has more than 64 KiB when its variables are put in, or all such texts have more than 32 MiB together. It takes megabytes to show it."),
    error("LVS006", "too-deep", "Too many levels", "Blocks, tables or lists stand in each other deeper than any topology does.")
        .bad(toml("topology = \"example\"\ninclude = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"))
        .good(toml("topology = \"example\"")),
    error("LVS007", "syntax", "The text is not KDL 2, or not TOML", "A brace, quote, bracket or sign is missing or too much.")
        .bad(kdl("vip \"extra\" { address \"10.0.0.101\""))
        .good(kdl("vip \"extra\" { address \"10.0.0.101\"; }")),
    error("LVS008", "control-character", "An invisible character", "A character that changes how text is shown, such as U+202E, which turns it round: a reviewer would not see what is there. This page does not show it either."),
    error("LVS010", "unquoted", "A value is not quoted", "Addresses, durations, percentages and names with such signs are texts, and texts that begin with a digit stand in quotes.")
        .bad(kdl("vip \"site\" address=10.0.0.100"))
        .good(kdl("vip \"site\" address=\"10.0.0.100\"")),
    error("LVS011", "bare-keyword", "KDL 2 writes true with a number sign", "In KDL 2 `true`, `false` and `null` are `#true`, `#false` and `#null`.")
        .bad(kdl("vip \"site\" address=\"10.0.0.100\" managed=false"))
        .good(kdl("vip \"site\" address=\"10.0.0.100\" managed=#false")),
    error("LVS012", "float", "A number with a fraction", "Every number of the language is a whole one.")
        .bad(kdl("policy { max-deletes 1.5; }"))
        .good(kdl("policy { max-deletes 1; }")),
    error("LVS013", "null", "`#null` is no value", "What is not given has its default; nothing is written for it.")
        .bad(kdl("policy { max-deletes #null; }"))
        .good(kdl("policy { min-servers \"50%\"; }")),
    error("LVS014", "type-annotation", "A type annotation", "KDL's annotations mean nothing here.")
        .bad(kdl("policy { max-deletes (u8)1; }"))
        .good(kdl("policy { max-deletes 1; }")),
    error("LVS015", "duplicate-property", "A property is given twice", "In KDL the last one would win. Nothing is given twice here.")
        .bad(kdl("vip \"extra\" address=\"10.0.0.101\" address=\"10.0.0.102\""))
        .good(kdl("vip \"extra\" { address \"10.0.0.101\" \"10.0.0.102\"; }")),
    error("LVS016", "integer-too-large", "A number beyond 64 bits", "No number of the language is so large.")
        .bad(kdl("policy { max-deletes 99999999999999999999; }"))
        .good(kdl("policy { max-deletes 99; }")),
    error("LVS020", "duplicate-table", "A TOML table is there twice", "`[x]` opens a table once. Tables that may be there several times are `[[x]]`.")
        .bad(toml("topology = \"example\"\n[vip.site]\naddress = \"10.0.0.100\"\n[vip.site]\nmanaged = false"))
        .good(toml("topology = \"example\"\n[director.lb1]\n[vip.site]\naddress = \"10.0.0.100\"\nmanaged = false")),
    error("LVS021", "duplicate-key", "A TOML key is given twice", "A key stands once in its table.")
        .bad(toml("topology = \"example\"\n[policy]\nmax-deletes = 1\nmax-deletes = 2"))
        .good(toml("topology = \"example\"\n[policy]\nmax-deletes = 2")),
    error("LVS022", "below-header", "A TOML key that belongs above the first header", "TOML makes every key a part of the header above it; `include` and `topology` stand above all of them.")
        .bad(toml("topology = \"example\"\n[policy]\nmax-deletes = 1\ninclude = \"pools/*.toml\""))
        .good(toml("topology = \"example\"\ninclude = \"pools/*.toml\"\n[policy]\nmax-deletes = 1")),
    error("LVS023", "unquoted-dotted-key", "A TOML key with dots and without quotes", "TOML reads each dot of an unquoted key as a table.")
        .bad(toml("topology = \"example\"\n[director.lb1.sysctl]\nnet.ipv4.vs.conntrack = 1"))
        .good(toml("topology = \"example\"\n[director.lb1.sysctl]\n\"net.ipv4.vs.conntrack\" = 1")),
    error("LVS024", "nested-array", "A list within a list", "Lists are flat.")
        .bad(toml("topology = \"example\"\n[director.lb1]\n[vip.site]\naddress = [[\"10.0.0.100\"]]"))
        .good(toml("topology = \"example\"\n[director.lb1]\n[vip.site]\naddress = [\"10.0.0.100\"]")),
    error("LVS025", "mixed-array", "A table in a list of values", "A list has values, or it has tables.")
        .bad(toml("topology = \"example\"\n[pool.web]\nserver = [\"10.0.0.11\", { address = \"10.0.0.12\" }]"))
        .good(toml("topology = \"example\"\n[pool.web]\nserver = [\"10.0.0.11\", \"10.0.0.12\"]")),
    error("LVS026", "date", "A TOML date or time", "The language has no dates.")
        .bad(toml("topology = \"example\"\n[policy]\nmax-deletes = 2026-11-27"))
        .good(toml("topology = \"example\"\n[policy]\nmax-deletes = 27")),
];
