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
    assert!(problems.is_empty(), "{problems:?}");
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
        assert!(problems.is_empty(), "{problems:?} {text}");
        assert_eq!(topology.expect("a topology").plain(), wanted, "{text}");
    }
}
