//! What a picture shows, and that whatever is in a file cannot break it.

use super::{Method, Picture, Seen, dot, mermaid, picture, svg};
use crate::source::memory::load_text;
use crate::state::{Action, Connections, Key};
use crate::topology::{Topology, decode};

fn topology(text: &str) -> Topology {
    let (topology, problems) = decode(load_text("t.kdl", text).tree);
    topology.unwrap_or_else(|| panic!("{problems:?}"))
}

const TWO_SITES: &str = r#"
topology "t"
director "a" { interface "eth0" address="10.1.0.2/24"; }
director "b" { interface "eth0" address="10.2.0.2/24"; }
real-server "a[1-2]" { interface "eth0" address="10.1.0.[11-12]/24"; }
real-server "b1" { interface "eth0" address="10.2.0.11/24"; }
real-server "spare" { interface "eth0" address="10.2.0.99/24"; }
vip "a" { address "10.1.0.100"; directors "a" }
vip "b" { address "10.2.0.100"; directors "b" }
pool "a" { server "a1" weight=3; server "a2" weight=0 }
service "a" { listen vip="a" port=80; forward "dr"; pool "a" }
service "b" { listen vip="b" port=80 server-port=8080; forward "nat"; return-path "none"; server "b1" }
"#;

#[test]
fn what_hangs_together_is_drawn_together_and_servers_of_no_service_apart() {
    let picture = picture(&topology(TWO_SITES), &[]);
    let names = |at: usize| -> Vec<&str> {
        let cluster = &picture.clusters[at];
        let servers = cluster.groups.iter().flat_map(|group| &group.servers).map(|server| server.name.as_str());
        cluster.directors.iter().map(|machine| machine.name.as_str()).chain(servers).collect()
    };
    assert_eq!(
        (picture.clusters.len(), names(0), names(1), names(2)),
        (3, vec!["a", "a1", "a2"], vec!["b", "b1"], vec!["spare"])
    );
    assert_eq!(picture.clusters[0].methods(), [Method::Dr].into());
    assert_eq!(picture.clusters[1].services[0].listens, ["tcp 80 to 8080"]);
    assert_eq!(picture.clusters[1].groups[0].heading(), "servers of b · 10.2.0.0/24");
    assert_eq!(picture.clusters[2].groups[0].title, "in no service");
}

#[test]
fn marks_and_connections_are_where_the_change_is() {
    let key = |text: &str| text.parse::<Key>().expect("a key");
    let server = key("server tcp 10.1.0.100:80 10.1.0.11:80");
    let seen = Seen {
        host: "a".to_owned(),
        changes: vec![
            (server.clone(), Action::Change),
            (key("vip 10.1.0.100 eth0"), Action::Add),
            (key("server tcp 10.1.0.100:80 10.1.0.77:80"), Action::Delete),
            (key("sysctl net.ipv4.ip_forward"), Action::Add),
        ],
        traffic: [(server, Connections { active: 3, inactive: 4, persistent: 0 })].into(),
    };
    let picture = picture(&topology(TWO_SITES), &[seen]);
    let (here, there) = (&picture.clusters[0], &picture.clusters[1]);
    assert_eq!(here.groups[0].servers[0].mark, Some(Action::Change));
    assert_eq!(here.groups[0].servers[0].connections, Some(7));
    assert_eq!((here.vips[0].mark, here.directors[0].mark), (Some(Action::Add), Some(Action::Change)));
    assert_eq!(here.leaving, ["- server tcp 10.1.0.100:80 10.1.0.77:80 on a"]);
    assert!(there.leaving.is_empty() && there.vips[0].mark.is_none() && there.groups[0].servers[0].mark.is_none());
    for text in [svg(&picture), mermaid(&picture), dot(&picture)] {
        assert!(text.contains("~ a1") && text.contains("10.1.0.77"), "{text}");
    }
}

#[test]
fn connections_are_drawn_where_a_director_of_the_service_was_looked_at() {
    let of = |host: &str| Seen { host: host.to_owned(), changes: Vec::new(), traffic: [].into() };
    let connections = |seen: &[Seen]| -> Vec<Option<u64>> {
        let picture = picture(&topology(TWO_SITES), seen);
        let text = svg(&picture);
        assert_eq!(text.contains("bars: weight, connections"), picture.has_connections());
        picture.clusters.iter().map(|cluster| cluster.groups[0].servers[0].connections).collect()
    };
    assert_eq!(connections(&[of("a")]), [Some(0), None, None], "the other site's director was not looked at");
    assert_eq!(connections(&[of("a1")]), [None, None, None], "a real server has no connections of IPVS");
}

#[test]
fn very_many_alike_servers_are_one_and_what_differs_stays_apart() {
    let text = r#"
topology "t"
director "lb" { interface "eth0" address="10.0.0.2/16"; }
real-server "web[1-200]" { interface "eth0" address="10.0.1.[1-200]/16"; }
vip "v" address="10.0.0.100"
service "s" { listen vip="v" port=80; forward "dr"; server "web[1-99]"; server "web100" weight=5; server "web[101-200]" }
"#;
    let picture = picture(&topology(text), &[]);
    let shown: Vec<(String, usize)> =
        picture.clusters[0].groups[0].shown().iter().map(|one| (one.name(), one.servers.len())).collect();
    assert_eq!(shown, [("web1 to web99".to_owned(), 99), ("web100".to_owned(), 1), ("web101 to web200".to_owned(), 100)]);
}

#[test]
fn nothing_in_a_name_becomes_markup() {
    let mut drawn: Picture = picture(&topology(TWO_SITES), &[]);
    let evil = "\"]; <script>alert(1)</script> & `#x\u{1b}[31m\\";
    drawn.topology = evil.to_owned();
    let cluster = &mut drawn.clusters[0];
    cluster.directors[0].name = evil.to_owned();
    cluster.services[0].name = evil.to_owned();
    cluster.groups[0].servers[0].name = evil.to_owned();
    cluster.leaving.push(evil.to_owned());
    let (svg, mermaid, dot) = (svg(&drawn), mermaid(&drawn), dot(&drawn));
    assert!(!svg.contains("<script") && !mermaid.contains("<script"), "{svg}{mermaid}");
    assert!(!dot.contains("[label=\"\"]"), "{dot}");
    for text in [&svg, &mermaid, &dot] {
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}

#[test]
fn a_topology_of_nothing_is_a_picture_too() {
    let drawn = picture(&topology("topology \"t\"\n"), &[]);
    assert!(drawn.clusters.is_empty() && svg(&drawn).starts_with("<svg "));
}
