//! Topologies of several files: hosts of two of them that answer for one address.

use crate::rules::{Asked, Beside, examine};
use crate::source::Severity;
use crate::source::memory::load_text;

/// What is said of the last of several topologies beside those before it.
fn beside(texts: &[&str]) -> Vec<String> {
    let mut beside = Beside::default();
    let mut last = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let (sources, topology, problems) = examine(load_text(&format!("{number}.kdl"), text));
        assert!(problems.iter().all(|problem| problem.severity == Severity::Warning), "{problems:?}");
        last = beside.meet(&topology.expect("a topology"), &sources, &Asked::default());
    }
    last.into_iter().map(|problem| problem.message).collect()
}

const SHOP: &str = r#"topology "shop"
director "lb1" { interface "eth0" address="10.0.0.2/24"; }
vip "site" address="10.0.0.100"
"#;

#[test]
fn hosts_of_two_topologies_with_one_vip_are_said_with_the_other_place() {
    let blog = r#"topology "blog"
director "lb9" { interface "eth0" address="10.0.0.9/24"; }
vip "blog" address="10.0.0.100"
"#;
    let said = beside(&[SHOP, blog]);
    assert_eq!(said, ["`lb9` has 10.0.0.100, and so has `lb1` of the topology `shop` (0.kdl:3): on one wire both answer for it"]);
}

#[test]
fn a_vip_that_is_another_topologys_interface_address_is_said_whichever_comes_first() {
    let office = "topology \"office\"\ndirector \"gate\" { interface \"eth0\" address=\"10.0.0.100/24\"; }\n";
    assert_eq!((beside(&[SHOP, office]).len(), beside(&[office, SHOP]).len()), (1, 1));
}

#[test]
fn one_host_one_topology_a_routed_vip_and_equal_interfaces_are_nothing_to_say() {
    let same_host = SHOP.replace("\"shop\"", "\"more\"");
    let same_topology = SHOP.replace("lb1", "lb2");
    let routed = "topology \"edge\"\ndirector \"lb2\" { interface \"eth0\" address=\"192.0.2.2/24\"; }\nvip \"site\" address=\"10.0.0.100\"\n";
    let no_vip = "topology \"office\"\ndirector \"gate\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\n";
    for other in [&same_host, &same_topology, routed, no_vip] {
        assert_eq!(beside(&[SHOP, other]), [""; 0], "{other}");
    }
}

#[test]
fn a_file_may_allow_it_and_is_not_told_that_the_lint_is_unused() {
    let blog = r#"topology "blog"
director "lb9" { interface "eth0" address="10.0.0.9/24"; }
vip "blog" address="10.0.0.100"
lint "vip-elsewhere" level="allow" reason="another site"
"#;
    assert_eq!(beside(&[SHOP, blog]), [""; 0]);
    let (_, _, problems) = examine(load_text("t.kdl", blog));
    assert!(problems.is_empty(), "{problems:?}");
}
