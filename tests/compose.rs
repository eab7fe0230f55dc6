//! What composed files come to, and what is said of them.

use std::path::Path;

use std::collections::BTreeMap;
use std::path::PathBuf;

use lvsform::compose::expand::expand;
use lvsform::source::problem::{Style, render};
use lvsform::source::{Files, Included, Inputs, Loaded, Severity, Spelling, Unreadable, load};
use lvsform::{rules, topology::Topology};

const BASE: &str = r#"
topology "shop"
director "lb1" { interface "eth0" address="10.0.0.2/24"; sysctl "net.core.netdev_max_backlog" 1; }
vip "site" address="10.0.0.100"
pool "web" { server "10.0.0.[11-12]"; server "10.0.0.13" weight=5; }
service "shop" { listen vip="site" port=80; forward "dr"; scheduler "rr"; pool "web"; }
service "old.one" { listen vip="site" port=81; forward "dr"; pool "web"; }
"#;

/// Files in memory, and what is given beside them.
#[derive(Default)]
struct InMemory {
    texts: BTreeMap<PathBuf, String>,
    inputs: Inputs,
}

impl Files for InMemory {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        let text = self.texts.get(path).cloned().ok_or(Unreadable::Missing)?;
        Ok(Included { identity: path.to_owned(), text })
    }

    fn included(&self, _: &Path, path: &Path) -> Result<Included, Unreadable> {
        self.root(path)
    }

    fn matching(&self, _: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        Ok(Vec::new())
    }

    fn inputs(&self) -> Inputs {
        self.inputs.clone()
    }
}

fn in_memory(files: &[(&str, &str)]) -> InMemory {
    let texts = files.iter().map(|(path, text)| (path.into(), (*text).to_owned())).collect();
    InMemory { texts, inputs: Inputs::default() }
}

/// A topology of these files, of which the first is the root; the others are overlays.
fn loaded(files: &[(&str, &str)], variables: &[&str]) -> Loaded {
    let overlays = files.iter().skip(1).map(|(name, _)| (*name).into()).collect();
    let variables = variables.iter().map(|text| (*text).to_owned()).collect();
    let files = InMemory { inputs: Inputs { overlays, variables, ..Inputs::default() }, ..in_memory(files) };
    load(Path::new("base.kdl"), &files)
}

fn composed(files: &[(&str, &str)], variables: &[&str]) -> Topology {
    let (sources, topology, problems) = rules::examine(loaded(files, variables));
    let said = render(&problems, &sources, Style { colour: false, width: 100 });
    assert!(problems.iter().all(|problem| problem.severity != Severity::Error), "{said}");
    topology.expect("a topology")
}

/// What is said, without the lines of the files.
fn said(files: &[(&str, &str)], variables: &[&str]) -> String {
    let (sources, _, problems) = rules::examine(loaded(files, variables));
    render(&problems, &sources, Style { colour: false, width: 200 })
}

fn plain(text: &str) -> String {
    composed(&[("base.kdl", text)], &[]).plain()
}

#[test]
fn an_overlay_sets_adds_and_removes_in_either_spelling() {
    let wanted = r#"
topology "shop"
director "lb1" { interface "eth0" address="10.0.0.2/24"; sysctl "net.core.netdev_max_backlog" 9; }
vip "site" address="10.0.0.100"
pool "web" { server "10.0.0.[11-12]" weight=3; server "10.0.0.14"; }
service "shop" { listen vip="site" port=8080; forward "dr"; scheduler "mh" port=#true; pool "web"; drain "5s"; }
policy max-deletes=3
"#;
    let kdl = r#"
set {
    director "lb1" { sysctl "net.core.netdev_max_backlog" 9; }
    pool "web" { server "10.0.0.[11-12]" weight=3; }
    service "shop" drain="5s" { listen vip="site" port=8080; scheduler "mh" port=#true; }
    policy max-deletes=3
}
add { pool "web" { server "10.0.0.14"; }; }
remove "service.old.one" "pool.web.server.10.0.0.13"
"#;
    let toml = r#"
remove = ["service.old.one", "pool.web.server.10.0.0.13"]
[set.director.lb1.sysctl]
"net.core.netdev_max_backlog" = 9
[set.pool.web.server."10.0.0.[11-12]"]
weight = 3
[set.service.shop]
drain = "5s"
listen = { vip = "site", port = 8080 }
scheduler = { name = "mh", port = true }
[set.policy]
max-deletes = 3
[add.pool.web]
server = "10.0.0.14"
"#;
    assert_eq!(composed(&[("base.kdl", BASE), ("prod.kdl", kdl)], &[]).plain(), plain(wanted));
    assert_eq!(composed(&[("base.kdl", BASE), ("prod.toml", toml)], &[]).plain(), plain(wanted));
}

#[test]
fn the_last_overlay_is_on_top() {
    let set = |port: u16| format!("set {{ service \"shop\" {{ listen vip=\"site\" port={port}; }}; }}");
    let (first, second) = (set(1000), set(2000));
    let files = [("base.kdl", BASE), ("a.kdl", &*first), ("b.kdl", &*second)];
    assert_eq!(composed(&files, &[]).plain(), plain(&BASE.replace("port=80;", "port=2000;")));
}

#[test]
fn who_sets_what_is_not_there_is_told_the_nearest_name() {
    let said = said(&[("base.kdl", BASE), ("prod.kdl", "set { service \"shpo\" { drain \"5s\"; }; }\n")], &[]);
    assert!(said.contains("there is no service `shpo` to set") && said.contains("did you mean `shop`?"), "{said}");
}

#[test]
fn who_removes_what_is_not_there_is_told_the_nearest_name() {
    let said = said(&[("base.kdl", BASE), ("prod.kdl", "remove \"pool.web.server.10.0.0.15\"\n")], &[]);
    assert!(said.contains("did you mean `pool.web.server.10.0.0.13`?"), "{said}");
}

#[test]
fn who_adds_what_is_there_is_shown_both_places() {
    let said = said(&[("base.kdl", BASE), ("prod.kdl", "add { vip \"site\" address=\"10.0.0.101\"; }\n")], &[]);
    assert!(said.contains("vip `site` is there already"), "{said}");
    assert!(said.contains("prod.kdl:1:") && said.contains("base.kdl:4:"), "{said}");
}

#[test]
fn a_mistake_in_what_an_overlay_sets_is_shown_with_what_it_was_set_over() {
    let said = said(&[("base.kdl", BASE), ("prod.kdl", "set { service \"shop\" { scheduler \"rrr\"; }; }\n")], &[]);
    assert!(said.contains("prod.kdl:1:") && said.contains("base.kdl:6:") && said.contains("set over this"), "{said}");
}

#[test]
fn variables_are_put_into_texts_and_a_text_that_is_one_is_of_its_type() {
    let text = r#"
variable "dc" default="fra1" { one-of "fra1" "ams2"; }
variable "weight" default=5
variable "net" default="10.0.0"
topology "shop-${dc}"
director "lb1" { hostname "lb1.${dc}.example.net"; interface "eth0" address="${net}.2/24"; }
vip "site" address="${net}.100"
pool "web-${dc}" { server "${net}.[11-12]" weight="${weight}"; }
service "shop" { listen vip="site" port=80; forward "dr"; pool "web-${dc}"; }
"#;
    let wanted = |dc: &str, weight: &str| {
        format!(
            "topology \"shop-{dc}\"\ndirector \"lb1\" {{ hostname \"lb1.{dc}.example.net\"; interface \"eth0\" address=\"10.0.0.2/24\"; }}\n\
             vip \"site\" address=\"10.0.0.100\"\npool \"web-{dc}\" {{ server \"10.0.0.[11-12]\" weight={weight}; }}\n\
             service \"shop\" {{ listen vip=\"site\" port=80; forward \"dr\"; pool \"web-{dc}\"; }}\n"
        )
    };
    assert_eq!(composed(&[("base.kdl", text)], &[]).plain(), plain(&wanted("fra1", "5")));
    assert_eq!(composed(&[("base.kdl", text)], &["dc=ams2", "weight=7"]).plain(), plain(&wanted("ams2", "7")));
    let wrong = said(&[("base.kdl", text)], &["dc=sin1", "weight=many", "wieght=1"]);
    assert!(wrong.contains("variable `dc` is one of \"fra1\", \"ams2\", and this is \"sin1\""), "{wrong}");
    assert!(wrong.contains("variable `weight` is an integer, and this is \"many\""), "{wrong}");
    assert!(wrong.contains("no file declares a variable `wieght`") && wrong.contains("did you mean `weight`?"), "{wrong}");
    assert!(wrong.contains("--var dc:1:1"), "{wrong}");
}

#[test]
fn a_mistake_in_a_value_with_a_variable_is_shown_at_both_places() {
    let text = BASE.replace("topology", "variable \"vip\" default=\"10.0.0.300\"\ntopology").replace("10.0.0.100", "${vip}");
    let wrong = said(&[("base.kdl", &text)], &[]);
    assert!(wrong.contains("`vip` is \"10.0.0.300\""), "{wrong}");
    assert!(wrong.contains("base.kdl:5:20") || wrong.contains("base.kdl:5:"), "{wrong}");
}

#[test]
fn defaults_hold_where_nothing_is_said() {
    let text = r#"
topology "shop"
director "lb1" { interface "eth0" address="10.0.0.2/24"; }
vip "site" address="10.0.0.100"
pool "web" { server "10.0.0.11" "10.0.0.12"; server "10.0.0.13" weight=5; }
service "shop" { listen vip="site" port=80; scheduler "rr"; pool "web"; }
service "more" { listen vip="site" port=81; forward "nat"; pool "web"; }
"#;
    let defaults =
        "defaults {\n    service drain=\"9s\" { forward \"dr\"; scheduler \"mh\" port=#true; }\n    server weight=7\n}\n";
    let toml = "[defaults.service]\ndrain = \"9s\"\nforward = \"dr\"\nscheduler = { name = \"mh\", port = true }\n[defaults.server]\nweight = 7\n";
    let wanted = text
        .replace("server \"10.0.0.11\" \"10.0.0.12\"", "server \"10.0.0.[11-12]\" weight=7")
        .replace("scheduler \"rr\"", "scheduler \"rr\"; forward \"dr\"; drain \"9s\"")
        .replace("forward \"nat\"", "forward \"nat\"; scheduler \"mh\" port=#true; drain \"9s\"");
    assert_eq!(composed(&[("base.kdl", &format!("{text}{defaults}"))], &[]).plain(), plain(&wanted));
    let including = format!("include \"defaults.toml\"\n{text}");
    let files = in_memory(&[("base.kdl", &*including), ("defaults.toml", toml)]);
    let (_, topology, problems) = rules::examine(load(Path::new("base.kdl"), &files));
    assert!(problems.iter().all(|problem| problem.code == "no-real-servers"), "{problems:?}");
    assert_eq!(topology.expect("a topology").plain(), plain(&wanted));
}

#[test]
fn a_mistake_in_a_default_is_shown_with_who_has_it() {
    let text = BASE.replace("forward \"dr\"; scheduler \"rr\";", "") + "defaults { service { forward \"drr\"; }; }\n";
    let wrong = said(&[("base.kdl", &text)], &[]);
    assert!(wrong.contains("this service does not say it itself") || wrong.contains("base.kdl:8:"), "{wrong}");
}

#[test]
fn what_is_expanded_means_the_same_in_both_spellings_and_needs_nothing_else() {
    let overlay = "set { service \"shop\" { drain \"5s\"; }; }\nadd { variable \"w\" default=4; }\n";
    let base = format!("{BASE}defaults {{ server weight=2; }}\n");
    let files = [("base.kdl", &*base), ("prod.kdl", overlay)];
    let wanted = composed(&files, &[]).plain();
    for (name, spelling) in [("base.kdl", Spelling::Kdl), ("base.toml", Spelling::Toml)] {
        let text = expand(loaded(&files, &[]), spelling).unwrap_or_else(|loaded| panic!("{:?}", loaded.problems));
        let files = in_memory(&[(name, &text)]);
        let (_, topology, problems) = rules::examine(load(Path::new(name), &files));
        assert!(problems.iter().all(|problem| problem.code == "no-real-servers"), "{problems:?} {text}");
        assert_eq!(topology.expect("a topology").plain(), wanted, "{text}");
    }
}

/// What is said of an overlay over [`BASE`].
fn overlaid(name: &str, text: &str) -> String {
    said(&[("base.kdl", BASE), (name, text)], &[])
}

#[test]
fn an_overlay_loses_nothing_that_it_says() {
    let policy = format!("{BASE}policy max-deletes=3\n");
    for (base, overlay, wanted, places) in [
        (
            BASE,
            "set { vip \"site\" address=\"10.0.0.101\" \"10.0.0.102\"; }",
            "`vip` takes one name, found more",
            ["1:39", "4:5"],
        ),
        (BASE, "set { service \"shop\" \"old.one\" drain=\"5s\"; }", "`service` takes one name, found more", ["1:22", "6:9"]),
        (&*policy, "set { policy 5 { max-deletes 3; }; }", "nothing stands behind `policy`", ["1:14", "8:1"]),
        (BASE, "set { service \"shop\" drain=\"5s\" { drain \"9s\"; }; }", "`drain` is there already", ["1:35", "first here"]),
        (
            BASE,
            "set { service \"shop\" { scheduler \"rr\"; scheduler \"wlc\"; }; }",
            "`scheduler` is there already",
            ["1:40", "first here"],
        ),
        (BASE, "add { pool \"web\" \"x\" { server \"10.0.0.14\"; }; }", "`pool` takes one name", ["1:18", "added to this"]),
        (
            BASE,
            "set { service \"shop\" drain=\"5s\"; }\nset { service \"shop\" drain=\"9s\"; }",
            "an overlay sets `service.shop` twice",
            ["2:15", "set first here"],
        ),
        (
            &*policy,
            "set { policy max-deletes=1; }\nset { policy max-deletes=2; }",
            "sets `policy` twice",
            ["2:7", "set first here"],
        ),
        (
            BASE,
            "set { pool \"web\" { server \"10.0.0.13\" \"10.0.0.[11-12]\" { weight 2; }; }; }",
            "fields stand beside one `server`",
            ["1:58", "set over this"],
        ),
    ] {
        let said = said(&[("base.kdl", base), ("o.kdl", overlay)], &[]);
        assert!(said.contains(wanted) && places.iter().all(|place| said.contains(place)), "{overlay}: {said}");
        assert_eq!(said.matches("LVS").count(), 1, "{overlay}: {said}");
    }
}

#[test]
fn an_overlay_that_says_nothing_is_refused() {
    for (name, overlay, wanted) in [
        ("o.kdl", "", "this overlay says nothing"),
        ("o.kdl", "// set { }\n", "this overlay says nothing"),
        ("o.toml", "# nothing yet\n", "this overlay says nothing"),
        ("o.kdl", "set", "`set` says nothing"),
        ("o.kdl", "add { }", "`add` says nothing"),
        ("o.kdl", "remove", "`remove` names nothing"),
        ("o.toml", "remove = []", "`remove` names nothing"),
        ("o.kdl", "remove \"service.shop\" { drain; }", "`remove` takes the names of things and nothing else"),
        ("o.toml", "[remove]\nservice = \"shop\"", "`remove` takes the names of things and nothing else"),
        ("o.kdl", "set \"foo\" { service \"shop\" drain=\"5s\"; }", "nothing stands behind `set` but its fields"),
        ("o.kdl", "add \"foo\" { vip \"w\" address=\"10.0.0.9\"; }", "nothing stands behind `add` but its fields"),
        ("o.toml", "set = 5", "`set` is a table of its fields"),
        ("o.toml", "add = \"x\"", "`add` is a table of its fields"),
        ("o.toml", "[[set]]", "`set` is a table of its fields"),
        ("o.toml", "[set]\nservice = \"shop\"", "each `service` is a table with a name"),
        ("o.kdl", "set { service { drain \"5s\"; }; }", "`service` needs a name"),
        ("o.kdl", "add { include \"nope.kdl\"; }", "an overlay includes no files"),
        ("o.kdl", "set { include \"x.kdl\"; }", "an overlay includes no files"),
        ("o.kdl", "include \"x.kdl\"", "an overlay includes no files"),
        ("o.toml", "include = \"x.toml\"", "an overlay includes no files"),
        ("o.toml", "[add]\ninclude = \"x.toml\"", "an overlay includes no files"),
        ("o.kdl", "sett { service \"shop\" drain=\"5s\"; }", "an overlay says `set`, `add` or `remove`, and this is `sett`"),
        ("o.kdl", "add { topology \"x\"; }", "topology is there already"),
    ] {
        let said = overlaid(name, overlay);
        assert!(said.contains(wanted), "{overlay}: {said}");
        assert_eq!(said.matches("LVS").count(), 1, "{overlay}: {said}");
    }
    let without = BASE.replace("topology \"shop\"", "");
    for word in ["add", "set"] {
        let said = said(&[("base.kdl", &without), ("o.kdl", &format!("{word} {{ topology \"x\"; }}"))], &[]);
        assert!(said.contains("only the root file says `topology`, and this is an overlay"), "{said}");
    }
}

#[test]
fn an_overlay_says_in_several_places_what_is_no_contradiction() {
    let dotted = format!("{BASE}service \"shop.drain\" {{ listen vip=\"site\" port=82; forward \"dr\"; pool \"web\"; }}\n");
    composed(
        &[("base.kdl", &dotted), ("o.kdl", "set { service \"shop\" drain=\"5s\"; service \"shop.drain\" drain=\"6s\"; }")],
        &[],
    );
    let overlay = "set { service \"shop\" drain=\"5s\"; }\nset { service \"old.one\" drain=\"5s\"; }\n\
                   add { pool \"web\" { server \"10.0.0.14\"; }; }\nadd { pool \"web\" { server \"10.0.0.15\"; }; }\n\
                   set { sync id=1 interface=\"eth0\" { master \"lb1\"; }; }\nset { sync id=2 interface=\"eth0\" { backup \"lb1\"; }; }\n";
    let topology = composed(&[("base.kdl", BASE), ("o.kdl", overlay)], &[]);
    assert_eq!((topology.pools["web"].servers.len(), topology.syncs.len()), (5, 2));
    let again = "set { sync id=3 interface=\"eth0\" { master \"lb1\"; }; }";
    let topology = composed(&[("base.kdl", BASE), ("o.kdl", overlay), ("p.kdl", again)], &[]);
    assert_eq!(topology.syncs.len(), 1, "another overlay sets them all");
}

#[test]
fn nobody_is_led_to_another_kind_or_another_block() {
    for (overlay, help) in [
        ("remove \"pool.web.server.10.0.0.11\"", "it is in `pool.web.server.10.0.0.[11-12]`"),
        ("remove \"pool.web.server.10.0.0.[12-14]\"", "it is in `pool.web.server.10.0.0.[11-12]`"),
        ("remove \"pool.web.server.10.0.0.11.weight\"", "it is in `pool.web.server.10.0.0.[11-12]`"),
        ("set { pool \"web\" { server \"10.0.0.11\" weight=2; }; }", "it is in `10.0.0.[11-12]`, which is set as it is written"),
        ("remove \"service.shp\"", "did you mean `service.shop`?"),
        ("remove \"srvice.shop\"", "did you mean `service.shop`?"),
        ("remove \"service.shop.drian\"", "say KIND.NAME"),
        ("remove \"service.shop.forwrad\"", "did you mean `service.shop.forward`?"),
        ("remove \"service.shop.listen.prot\"", "did you mean `service.shop.listen.port`?"),
        ("remove \"real-server.lb1\"", "say KIND.NAME"),
        ("remove \"service.old.one\" \"service.old.one\"", "remove it once"),
        ("remove \"service\"", "say KIND.NAME"),
    ] {
        let said = overlaid("o.kdl", overlay);
        assert!(said.contains(help), "{overlay}: {said}");
    }
    let twice = overlaid("o.kdl", "remove \"service.old.one\" \"service.old.one\"");
    assert!(twice.contains("taken away here") && !twice.contains("did you mean"), "{twice}");
    let set = overlaid("o.kdl", "remove \"service.old.one\"\nset { service \"old.one\" drain=\"5s\"; }");
    assert!(set.contains("there is no service `old.one` to set") && set.contains("taken away here"), "{set}");
}

#[test]
fn who_sets_one_of_two_servers_of_one_label_is_asked_which() {
    let base =
        BASE.replace("server \"10.0.0.13\" weight=5;", "server \"a\" address=\"10.0.0.13\"; server \"a\" address=\"10.0.0.14\";");
    let said = said(&[("base.kdl", &base), ("o.kdl", "set { pool \"web\" { server \"a\" weight=3; }; }")], &[]);
    assert!(said.contains("there are 2 of `pool.web.server.a`: which one is set?"), "{said}");
    assert_eq!(said.matches("one of them").count(), 2, "{said}");
}

#[test]
fn an_overlay_names_the_topology_in_either_spelling() {
    let wanted = plain(&BASE.replace("topology \"shop\"", "topology \"x\""));
    for (name, text) in [
        ("o.kdl", "set { topology \"x\"; }"),
        ("o.toml", "set.topology = \"x\""),
        ("o.toml", "[set]\ntopology = \"x\""),
        ("o.toml", "[set.topology]\nname = \"x\""),
    ] {
        assert_eq!(composed(&[("base.kdl", BASE), (name, text)], &[]).plain(), wanted, "{text}");
    }
}

#[test]
fn an_option_of_a_sysctl_without_its_value_is_told_so_by_name() {
    for (name, text) in [
        ("o.toml", "[set.director.lb1.sysctl.\"net.core.netdev_max_backlog\"]\nforce = true"),
        ("o.kdl", "set { director \"lb1\" { sysctl \"net.core.netdev_max_backlog\" force=#true; }; }"),
    ] {
        let said = overlaid(name, text);
        assert!(said.contains("`sysctl` expects an integer or a text, found nothing"), "{said}");
        assert!(said.contains("set over this") && said.matches("LVS").count() == 1, "{said}");
    }
}

#[test]
fn a_wrong_value_of_the_command_line_is_annotated_where_it_is_declared() {
    let base = format!("variable \"p\" default=80 {{ one-of 80 443; }}\n{BASE}");
    for value in ["p=x", "p=81", "p=${q}"] {
        let (sources, _, problems) = rules::examine(loaded(&[("base.kdl", &base)], &[value]));
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        let places: Vec<String> = problem.labels.iter().map(|label| sources.path(label.span).display().to_string()).collect();
        assert_eq!(places, ["base.kdl", "--var p"], "{value}");
    }
}

#[test]
fn a_default_must_be_one_of_those_whoever_gives_another() {
    let base = format!("variable \"p\" default=81 {{ one-of 80 443; }}\n{BASE}");
    let said = said(&[("base.kdl", &base)], &["p=80"]);
    assert!(said.contains("variable `p` is one of 80, 443, and this is 81"), "{said}");
}

#[test]
fn no_variable_takes_in_another() {
    for (declared, given) in [
        ("variable \"a\" default=\"${b}\"", &[][..]),
        ("variable \"a\" default=\"x\" { one-of \"x\" \"${b}\"; }", &[]),
        ("variable \"a\" default=\"x\" env=\"${b}\"", &[]),
        ("variable \"a\" default=\"x\"", &["a=${b}"]),
    ] {
        let base = format!("variable \"b\" default=\"y\"\n{declared}\n{}", BASE.replace("\"lb1\"", "\"lb1-${a}\""));
        let said = said(&[("base.kdl", &base)], given);
        assert!(said.contains("variable `a` takes in a variable, and no variable may"), "{declared}: {said}");
        assert_eq!(said.matches("LVS").count(), 1, "{declared}: {said}");
    }
    // What is in no variable is right.
    let base = format!("variable \"a\" default=\"y$\" {{ one-of \"y$\" \"{{z}}\"; }}\n{BASE}");
    composed(&[("base.kdl", &base)], &[]);
}

#[test]
fn texts_with_variables_put_in_are_bounded_one_by_one_and_together() {
    let long = "x".repeat(60_000);
    let listed = |times: usize, text: &str| {
        let sysctls: Vec<String> = (0..times).map(|at| format!("    sysctl \"net.a{at}\" \"{text}\"\n")).collect();
        format!("variable \"v\" default=\"{long}\"\n{BASE}director \"lb2\" {{\n{}}}\n", sysctls.concat())
    };
    let count = |base: &str| {
        let (sources, _, problems) = rules::examine(loaded(&[("base.kdl", base)], &[]));
        let large: Vec<_> = problems.iter().filter(|problem| problem.code == "too-large").collect();
        let unknown = problems.iter().filter(|problem| problem.code == "reserved-text").count();
        assert_eq!(unknown, 0);
        (large.len(), large.first().map(|problem| sources.text(problem.labels[0].span).to_owned()))
    };
    assert_eq!(count(&listed(1, "${v}")), (0, None));
    assert_eq!(count(&listed(2, "${v}${v}")), (2, Some("\"${v}${v}\"".to_owned())), "each of them is too long");
    assert_eq!(count(&listed(1, &"${v}".repeat(5_000))).0, 1);
    assert_eq!(count(&listed(600, "${v}")), (1, Some("\"${v}\"".to_owned())), "together they are too many, which is said once");
}

#[test]
fn a_return_path_of_defaults_is_for_those_that_translate() {
    let around = "topology \"t\"\ndirector \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\nvip \"site\" address=\"10.0.0.100\"\n\
                  pool \"web\" { server \"10.0.0.11\"; }\npool \"far\" { server \"10.0.0.12\" { forward \"nat\"; }; }\n";
    let services = |own: [&str; 3]| {
        let [one, two, three] = own;
        format!(
            "{around}service \"one\" {{ listen vip=\"site\" port=1; pool \"web\"; {one} }}\n\
             service \"two\" {{ listen vip=\"site\" port=2; pool \"web\"; {two} }}\n\
             service \"three\" {{ listen vip=\"site\" port=3; pool \"far\"; {three} }}\n"
        )
    };
    let wanted = services([
        "forward \"nat\"; return-path \"default-route\";",
        "forward \"dr\";",
        "forward \"dr\"; return-path \"default-route\";",
    ]);
    for defaults in ["forward \"nat\"; return-path \"default-route\";", "return-path \"default-route\"; forward \"nat\";"] {
        let text = services(["", "forward \"dr\";", "forward \"dr\";"]) + &format!("defaults {{ service {{ {defaults} }}; }}\n");
        assert_eq!(plain(&text), plain(&wanted));
    }
    let wanted = services(["forward \"nat\"; return-path \"none\";", "forward \"dr\";", "forward \"dr\"; return-path \"none\";"]);
    let text = services(["forward \"nat\";", "", ""]) + "defaults { service { return-path \"none\"; forward \"dr\"; }; }\n";
    assert_eq!(plain(&text), plain(&wanted));
}

#[test]
fn an_include_with_a_variable_is_told_what_to_do() {
    let said = said(&[("base.kdl", &format!("variable \"dc\" default=\"x\"\ninclude \"sites-${{dc}}.kdl\"\n{BASE}"))], &[]);
    assert!(said.contains("`include` takes in no variables") && said.contains("--overlay FILE"), "{said}");
}

#[test]
fn the_root_of_a_topology_is_offered_no_words_of_overlays() {
    let said = |word: &str| said(&[("base.kdl", &format!("{BASE}{word} \"x\"\n"))], &[]);
    let few = said("zzzzz");
    assert!(few.contains("`include`") && few.contains("`expect`"), "{few}");
    assert!(!few.contains("`set`") && !few.contains("`add`") && !few.contains("`remove`"), "{few}");
    assert!(!said("ad").contains("`add`"));
    assert!(said("inclde").contains("did you mean `include`?"));
}

#[test]
fn what_is_expanded_names_captured_states_from_the_root_files_folder() {
    let part = |live: &str| format!("expect \"{live}\" live=\"{live}\" host=\"lb1\" deletes=0\n");
    let base = format!("include \"sites/a.kdl\"\n{BASE}{}", part("root.json"));
    let overlay = format!("add {{ {} }}\n", part("over.json"));
    let files = |root: &str, over: &str| {
        let there = |name: &str| Path::new(root).join(name).display().to_string();
        let texts = [
            (there("base.kdl"), base.clone()),
            (there("sites/a.kdl"), part("own.json") + &part("../up.json") + &part("/srv/whole.json")),
            (over.to_owned(), overlay.clone()),
        ];
        let texts = texts.into_iter().map(|(path, text)| (path.into(), text)).collect();
        let inputs = Inputs { overlays: vec![over.into()], ..Inputs::default() };
        load(Path::new(&there("base.kdl")), &InMemory { texts, inputs })
    };
    for (root, over, wanted) in [
        ("", "stages/prod.kdl", "stages/over.json"),
        ("", "../stages/prod.kdl", "../stages/over.json"),
        ("shop", "stages/prod.kdl", "../stages/over.json"),
        ("shop", "shop/prod.kdl", "over.json"),
        ("/srv/shop", "/srv/stages/prod.kdl", "../stages/over.json"),
        ("../shop", "../stages/prod.kdl", "../stages/over.json"),
    ] {
        let text = expand(files(root, over), Spelling::Kdl).unwrap_or_else(|loaded| panic!("{:?}", loaded.problems));
        for live in [wanted, "sites/own.json", "up.json", "/srv/whole.json", "root.json"] {
            assert!(text.contains(&format!("live=\"{live}\"")), "{root} {over} {live}: {text}");
        }
    }
    let unknown = expand(files("/srv/shop", "stages/prod.kdl"), Spelling::Kdl).expect_err("nobody knows the way");
    let [problem] = unknown.problems.as_slice() else { panic!("{:?}", unknown.problems) };
    assert_eq!(unknown.sources.path(problem.labels[0].span), Path::new("stages/prod.kdl"));
}

#[test]
fn what_cannot_be_expanded_is_said_of_the_users_file() {
    let base = BASE.replace(
        "server \"10.0.0.13\" weight=5;",
        "server \"a\" address=\"10.0.0.13\"; server \"a\" address=\"10.0.0.14\" weight=2;",
    );
    let refused = expand(loaded(&[("base.kdl", &base)], &[]), Spelling::Toml).expect_err("a TOML table has each key once");
    let [problem] = refused.problems.as_slice() else { panic!("{:?}", refused.problems) };
    let label = problem.labels[0].span;
    assert_eq!((refused.sources.path(label), refused.sources.text(label)), (Path::new("base.kdl"), "\"a\""));
    assert_eq!(refused.sources.position(label).line, 5);
}
