//! `LVS15x`: what several people wrote together: variables, overlays; and what must stay true of it.

use super::{Page, error, kdl};

pub const PAGES: &[Page] = &[
    error(
        "LVS150",
        "unknown-variable",
        "A variable that no file declares",
        "A text takes in `${NAME}`, or a command line gives NAME a value, and no file says `variable \"NAME\"`.",
    )
    .bad(kdl("variable \"dc\" default=\"fra1\"\ndirector \"lb1\" hostname=\"lb1.${DC}.example.net\""))
    .good(kdl("variable \"dc\" default=\"fra1\"\ndirector \"lb1\" hostname=\"lb1.${dc}.example.net\"")),
    error(
        "LVS151",
        "no-value",
        "A variable without a value",
        "It has no default, and neither the command line, nor a file of values, nor the environment gives it one.",
    )
    .bad(kdl("variable \"dc\"\ndirector \"lb1\" hostname=\"lb1.${dc}.example.net\""))
    .good(kdl("variable \"dc\" default=\"fra1\"\ndirector \"lb1\" hostname=\"lb1.${dc}.example.net\"")),
    error(
        "LVS152",
        "variable-value",
        "A value that the variable may not have",
        "It is of another type than the variable, or none of those that `one-of` names, or takes in a variable itself. The default must be right also where a command line gives another.",
    )
    .bad(kdl("variable \"dc\" default=\"fra1\" { one-of \"ams2\" \"sin1\"; }"))
    .good(kdl("variable \"dc\" default=\"ams2\" { one-of \"ams2\" \"sin1\"; }")),
    error(
        "LVS153",
        "overlay",
        "No word of an overlay",
        "An overlay says `set`, `add` and `remove`, each with something in it, and nothing else: it includes no files. A topology says none of these words. An overlay is given with --overlay.",
    )
    .bad(kdl(
        "service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }\nset { service \"shop\" drain=\"2m\"; }",
    ))
    .good(kdl("service \"shop\" drain=\"2m\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }")),
    error(
        "LVS154",
        "not-there",
        "An overlay sets or removes what is not there",
        "What an overlay changes must be there, in the topology or in an overlay before it. So a renamed service is noticed, and not left as it was.",
    ),
    error(
        "LVS155",
        "already-there",
        "An overlay adds what is there already",
        "Two things of one name would be in each other's way; what is there is changed by `set`.",
    ),
    error("LVS156", "expectation", "What is expected does not hold", "An `expect` block says what must stay true, and the topology, as it is composed, breaks it.")
        .bad(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }\nexpect \"enough servers\" { service \"shop\" servers-min=3; }"))
        .good(kdl("service \"shop\" { listen vip=\"site\" port=80; forward \"dr\"; pool \"web\"; }\nexpect \"enough servers\" { service \"shop\" servers-min=2; }")),
];
