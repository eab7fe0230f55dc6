//! What a topology becomes on a host, as lines of `key → value`. Each text stands behind what it needs of [`HOSTS`].

use crate::compile::{Compiled, compile, problems};
use crate::source::memory::load_text;
use crate::state::{Key, Resource};
use crate::topology::{Topology, decode};

/// Two directors on one subnet of each family; a server of both families, one of IPv4 and one of IPv6.
const HOSTS: &str = r#"topology "t"
director "lb1" { interface "eth0" { address "10.0.0.2/24" "2001:db8::2/64"; }; interface "eth1" address="192.0.2.2/24"; }
director "lb2" { interface "eth0" { address "10.0.0.3/24" "2001:db8::3/64"; }; }
real-server "web1" { interface "eth0" { address "10.0.0.11/24" "2001:db8::11/64"; }; }
real-server "web4" { interface "eth0" address="10.0.0.14/24"; }
real-server "web6" { interface "eth0" address="2001:db8::16/64"; }
vip "v" { address "10.0.0.100" "2001:db8::100"; holder "lb1"; }
vip "v4" { address "10.0.0.101"; holder "lb1"; }
vip "r" address="203.0.113.[80-81]"
"#;

fn topology(text: &str) -> Topology {
    let loaded = load_text("t.kdl", text);
    let (topology, problems) = decode(loaded.tree);
    assert!(loaded.problems.is_empty() && problems.is_empty(), "{text}\n{:#?}\n{problems:#?}", loaded.problems);
    topology.expect("a text without an error is a topology")
}

fn compiled(topology: &Topology, host: &str) -> Compiled {
    compile(topology, topology.hosts.get(host).expect("the host is in the file"))
}

/// Every object of a host whose key begins with one of these words.
fn lines(text: &str, host: &str, kinds: &[&str]) -> Vec<String> {
    let compiled = compiled(&topology(text), host);
    assert_eq!(compiled.problems, [], "{text}");
    let objects = compiled.state.objects.iter().map(|(key, resource)| (key.to_string(), value(resource)));
    objects
        .filter(|(key, _)| kinds.iter().any(|kind| key.split(' ').next() == Some(kind)))
        .map(|(key, value)| format!("{key} → {value}"))
        .collect()
}

/// A resource without the word for its kind, as JSON without quotes.
fn value(resource: &Resource) -> String {
    let mut value = serde_json::to_value(resource).expect("a resource is JSON");
    if let Some(fields) = value.as_object_mut() {
        fields.remove("kind");
    }
    value.to_string().replace('"', "")
}

fn on(text: &str, host: &str, kinds: &[&str]) -> Vec<String> {
    lines(&format!("{HOSTS}{text}"), host, kinds)
}

/// A service with a listen, a method and servers.
fn service(listen: &str, rest: &str) -> String {
    format!("service \"s\" {{\n{listen}\n{rest}\n}}\n")
}

/// The codes and messages of what only a compilation finds wrong.
fn wrong(text: &str) -> Vec<(&'static str, String)> {
    let problems = problems(&topology(&format!("{HOSTS}{text}")));
    problems.into_iter().map(|problem| (problem.code, problem.message)).collect()
}

fn codes(text: &str) -> Vec<&'static str> {
    wrong(text).into_iter().map(|(code, _)| code).collect()
}

#[test]
fn every_listen_of_every_address_is_a_service_with_the_servers_of_its_family() {
    let text = service(
        "listen vip=\"v\" port=80; listen vip=\"v\" port=53 protocol=\"udp\"; listen vip=\"v\" port=81 protocol=\"sctp\" family=\"ipv6\"",
        "forward \"dr\"; server \"web1\" \"web4\" \"web6\"",
    );
    let expected = [
        "service tcp 10.0.0.100:80 → {flags:{},scheduler:wlc}",
        "service tcp [2001:db8::100]:80 → {flags:{},scheduler:wlc}",
        "service udp 10.0.0.100:53 → {flags:{},scheduler:wlc}",
        "service udp [2001:db8::100]:53 → {flags:{},scheduler:wlc}",
        "service sctp [2001:db8::100]:81 → {flags:{},scheduler:wlc}",
        "server tcp 10.0.0.100:80 10.0.0.11:80 → {forward:dr,weight:1}",
        "server tcp 10.0.0.100:80 10.0.0.14:80 → {forward:dr,weight:1}",
        "server tcp [2001:db8::100]:80 [2001:db8::11]:80 → {forward:dr,weight:1}",
        "server tcp [2001:db8::100]:80 [2001:db8::16]:80 → {forward:dr,weight:1}",
        "server udp 10.0.0.100:53 10.0.0.11:53 → {forward:dr,weight:1}",
        "server udp 10.0.0.100:53 10.0.0.14:53 → {forward:dr,weight:1}",
        "server udp [2001:db8::100]:53 [2001:db8::11]:53 → {forward:dr,weight:1}",
        "server udp [2001:db8::100]:53 [2001:db8::16]:53 → {forward:dr,weight:1}",
        "server sctp [2001:db8::100]:81 [2001:db8::11]:81 → {forward:dr,weight:1}",
        "server sctp [2001:db8::100]:81 [2001:db8::16]:81 → {forward:dr,weight:1}",
    ];
    // Both directors have the services; the holder alone has the address.
    assert_eq!(on(&text, "lb1", &["service", "server"]), expected);
    assert_eq!(on(&text, "lb2", &["service", "server"]), expected);
    assert_eq!(on(&text, "web1", &["service", "server", "order", "module"]), [""; 0]);
}

#[test]
fn a_director_that_does_not_carry_the_vip_has_nothing_of_the_service() {
    let text = format!(
        "vip \"one\" address=\"203.0.113.1\" directors=\"lb2\"\n{}",
        service("listen vip=\"one\" port=80", "forward \"dr\"; server \"web4\"")
    );
    assert_eq!(on(&text, "lb1", &["service", "server", "module", "sysctl"]), [""; 0]);
    assert_eq!(on(&text, "lb2", &["service"]).len(), 1);
}

/// The destinations of a service with one listen of the IPv4 VIP.
fn destinations(listen: &str, rest: &str) -> Vec<String> {
    on(&service(listen, rest), "lb1", &["server"])
}

#[test]
fn a_port_is_the_servers_or_the_server_port_or_the_services_and_dr_and_tun_keep_it() {
    let nat = "listen vip=\"v4\" port=80 server-port=8080";
    let plain = "listen vip=\"v4\" port=80";
    for (listen, rest, port) in [
        (nat, "forward \"nat\"; server \"web4\"", 8080),
        (nat, "forward \"nat\"; server \"web4\" port=81", 81),
        (plain, "forward \"nat\"; server \"web4\"", 80),
        (plain, "forward \"dr\"; server \"web4\"", 80),
        (plain, "forward \"tun\"; server \"web4\"", 80),
        // A server whose own method keeps the port.
        (nat, "forward \"nat\"; server \"web4\" { forward \"dr\"; }", 80),
    ] {
        let found = destinations(listen, rest);
        assert!(found.iter().all(|line| line.contains(&format!("10.0.0.14:{port} "))) && found.len() == 1, "{rest}: {found:?}");
    }
    let every = destinations("listen vip=\"v4\" port=0", "forward \"dr\"; persistence \"5m\"; server \"web4\"");
    assert_eq!(every, ["server tcp 10.0.0.101:0 10.0.0.14:0 → {forward:dr,weight:1}"]);
    let mark = |rest| destinations("listen fwmark=7 vip=\"v4\"", rest);
    assert_eq!(mark("forward \"dr\"; server \"web4\""), ["server fwmark 7 ipv4 10.0.0.14:0 → {forward:dr,weight:1}"]);
    assert_eq!(mark("forward \"nat\"; server \"web4\""), ["server fwmark 7 ipv4 10.0.0.14:0 → {forward:nat,weight:1}"]);
    assert_eq!(mark("forward \"nat\"; server \"web4\" port=81"), ["server fwmark 7 ipv4 10.0.0.14:81 → {forward:nat,weight:1}"]);
}

#[test]
fn a_host_is_reached_under_the_one_address_that_fits() {
    let dr = |host: &str, server: &str| {
        let listen = "listen vip=\"v4\" port=80";
        format!("real-server \"w\" {{ {host}; }}\n{}", service(listen, &format!("forward \"dr\"; server {server}")))
    };
    let two = "interface \"a\" address=\"10.0.0.21/24\"; interface \"b\" address=\"172.16.0.21/24\"";
    let near = "interface \"a\" { address \"10.0.0.21/24\" \"10.0.0.22/24\"; }";
    let far = "interface \"a\" address=\"172.16.0.21/24\"";
    let two_far = "interface \"a\" { address \"172.16.0.21/24\" \"172.16.0.22/24\"; }";
    for (host, server, address) in [
        (two, "\"w\"", "10.0.0.21"),                           // in the directors' subnet
        (two, "\"w\" address=\"172.16.0.21\"", "172.16.0.21"), // said
        (far, "\"w\"", "172.16.0.21"),                         // the only one
        (near, "\"x\" host=\"w\" address=\"10.0.0.22\"", "10.0.0.22"),
    ] {
        let found = on(&dr(host, server), "lb1", &["server"]);
        assert_eq!(found, [format!("server tcp 10.0.0.101:80 {address}:80 → {{forward:dr,weight:1}}")]);
    }
    for (host, one, two) in [(near, "10.0.0.21", "10.0.0.22"), (two_far, "172.16.0.21", "172.16.0.22")] {
        let message = format!("`w` has 2 IPv4 addresses that service `s` could use: {one}, {two}");
        assert_eq!(wrong(&dr(host, "\"w\"")), [("several-addresses", message)]);
    }
}

#[test]
fn tun_alone_takes_a_servers_other_family_where_it_has_none_of_the_vips() {
    let rest = |method| format!("forward \"{method}\"; server \"web4\" \"web6\"");
    assert_eq!(
        destinations("listen vip=\"v4\" port=80", &rest("tun")),
        [
            "server tcp 10.0.0.101:80 10.0.0.14:80 → {forward:{tun:ipip},weight:1}",
            "server tcp 10.0.0.101:80 [2001:db8::16]:80 → {forward:{tun:ipip},weight:1}",
        ]
    );
    assert_eq!(destinations("listen vip=\"v4\" port=80", &rest("dr")).len(), 1);
    assert_eq!(destinations("listen vip=\"v\" port=80", "forward \"tun\"; server \"web1\"").len(), 2);
}

#[test]
fn a_service_without_a_server_of_a_family_that_it_listens_on_is_an_error() {
    let text = service("listen vip=\"v\" port=80", "forward \"nat\"; return-path \"none\"; server \"web4\"");
    assert_eq!(wrong(&text), [("no-server-for-family", "service `s` listens on IPv6 and has no IPv6 server".to_owned())]);
    let text = text.replace("port=80", "port=80 family=\"ipv4\"");
    assert_eq!(codes(&text), [""; 0]);
}

#[test]
fn one_server_by_its_host_and_by_one_of_its_addresses_is_said_once_at_both_places() {
    let text = format!(
        "real-server \"w\" {{ interface \"a\" {{ address \"10.0.0.21/24\" \"172.16.0.21/24\"; }}; }}\n{}",
        service("listen vip=\"v4\" port=80; listen vip=\"v4\" port=81", "forward \"dr\"; server \"w\"; server \"10.0.0.21\"")
    );
    let problems = problems(&topology(&format!("{HOSTS}{text}")));
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    assert_eq!((problem.code, problem.labels.len()), ("server-twice", 2));
    assert_eq!(problem.message, "the servers `w` and `10.0.0.21` of the service `s` are one");
}

#[test]
fn a_server_has_its_weight_and_thresholds_and_a_quiesced_host_weighs_nothing() {
    let listen = "listen vip=\"v4\" port=80";
    assert_eq!(
        destinations(listen, "forward \"dr\"; server \"web4\" weight=2147483647 max-connections=2147483647 min-connections=7"),
        ["server tcp 10.0.0.101:80 10.0.0.14:80 → {forward:dr,max_connections:2147483647,min_connections:7,weight:2147483647}"]
    );
    let quiesced = format!(
        "real-server \"q\" quiesce=#true {{ interface \"a\" address=\"10.0.0.31/24\"; }}\n{}",
        service(listen, "forward \"dr\"; server \"q\" weight=9; server \"web4\" weight=0; server \"10.0.0.32\"")
    );
    assert_eq!(
        on(&quiesced, "lb1", &["server"]),
        [
            "server tcp 10.0.0.101:80 10.0.0.14:80 → {forward:dr,weight:0}",
            "server tcp 10.0.0.101:80 10.0.0.31:80 → {forward:dr,weight:0}",
            "server tcp 10.0.0.101:80 10.0.0.32:80 → {forward:dr,weight:1}",
        ]
    );
}

#[test]
fn options_of_schedulers_persistence_and_one_packet_are_the_kernels_flags() {
    let udp = "listen vip=\"v\" port=53 protocol=\"udp\"";
    for (listen, rest, ipv4, ipv6) in [
        (udp, "", "{flags:{},scheduler:wlc}", "{flags:{},scheduler:wlc}"),
        (udp, "scheduler \"mh\" port=#true", "{flags:{sched2:true},scheduler:mh}", "{flags:{sched2:true},scheduler:mh}"),
        (udp, "scheduler \"sh\" fallback=#true", "{flags:{sched1:true},scheduler:sh}", "{flags:{sched1:true},scheduler:sh}"),
        (
            udp,
            "persistence \"5m\"",
            "{flags:{},persistence:{clients:{ipv4:255.255.255.255},timeout:300},scheduler:wlc}",
            "{flags:{},persistence:{clients:{ipv6:128},timeout:300},scheduler:wlc}",
        ),
        (
            udp,
            "persistence \"1h\" client-prefix=24 client-prefix6=64 engine=\"sip\"",
            "{engine:sip,flags:{},persistence:{clients:{ipv4:255.255.255.0},timeout:3600},scheduler:wlc}",
            "{engine:sip,flags:{},persistence:{clients:{ipv6:64},timeout:3600},scheduler:wlc}",
        ),
        (
            "listen vip=\"v\" port=53 protocol=\"udp\" one-packet=#true",
            "",
            "{flags:{one_packet:true},scheduler:wlc}",
            "{flags:{one_packet:true},scheduler:wlc}",
        ),
    ] {
        let rest = format!("forward \"dr\"; server \"web1\"; {rest}");
        let expected = [format!("service udp 10.0.0.100:53 → {ipv4}"), format!("service udp [2001:db8::100]:53 → {ipv6}")];
        assert_eq!(on(&service(listen, &rest), "lb1", &["service"]), expected);
    }
}

#[test]
fn order_is_part_of_a_service_whose_scheduler_hashes_and_is_by_address_and_port() {
    let with = |scheduler: &str| {
        let rest =
            format!("forward \"dr\"; scheduler \"{scheduler}\"; server \"10.0.0.21\"; server \"web4\"; server \"10.0.0.9\"");
        on(&service("listen vip=\"v4\" port=80", &rest), "lb1", &["order"])
    };
    for scheduler in ["sh", "dh", "mh"] {
        assert_eq!(with(scheduler), ["order tcp 10.0.0.101:80 → {servers:[10.0.0.9:80,10.0.0.14:80,10.0.0.21:80]}"]);
    }
    for scheduler in ["rr", "wlc", "twos"] {
        assert_eq!(with(scheduler), [""; 0]);
    }
}

#[test]
fn a_mark_is_a_service_of_each_family_of_its_vips() {
    let keys = |listen: &str| {
        let found = on(&service(listen, "forward \"dr\"; server \"web1\""), "lb1", &["service"]);
        found.into_iter().map(|line| line.split(" → ").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys("listen fwmark=7 vip=\"v\""), ["service fwmark 7 ipv4", "service fwmark 7 ipv6"]);
    assert_eq!(keys("listen fwmark=7 vip=\"v\" family=\"ipv6\""), ["service fwmark 7 ipv6"]);
    assert_eq!(
        keys("listen fwmark=4294967295 { match vip=\"v4\" port=80; match vip=\"r\"; }"),
        ["service fwmark 4294967295 ipv4"]
    );
}

#[test]
fn a_vip_is_on_the_interface_whose_subnet_holds_it_and_on_its_holder_alone() {
    let kinds = ["vip", "link"];
    let placed = |vip: &str, host: &str| {
        let hosts = HOSTS.split("vip \"v\"").next().unwrap_or_default();
        lines(&format!("{hosts}vip \"x\" {{ {vip}; }}\n"), host, &kinds)
    };
    let ipv6 = "vip 2001:db8::100 eth0 → {deprecated:true,nodad:true}";
    for (vip, lb1, lb2) in [
        ("address \"10.0.0.100\" \"2001:db8::100\"; holder \"lb1\"", vec!["vip 10.0.0.100 eth0 → {}", ipv6], vec![]),
        ("address \"10.0.0.100\" \"2001:db8::100\"; directors \"lb2\"", vec![], vec!["vip 10.0.0.100 eth0 → {}", ipv6]),
        ("address \"192.0.2.100\"; holder \"lb1\"", vec!["vip 192.0.2.100 eth1 → {}"], vec![]),
        ("address \"10.0.0.100\"; holder \"lb1\"; interface \"eth1\"", vec!["vip 10.0.0.100 eth1 → {}"], vec![]),
        ("address \"10.0.0.100\"; interface \"lo\"", vec!["vip 10.0.0.100 lo → {}"], vec!["vip 10.0.0.100 lo → {}"]),
        ("address \"10.0.0.100\"; managed #false", vec![], vec![]),
        // The holder has it by itself.
        ("address \"10.0.0.2\"; holder \"lb1\"", vec![], vec![]),
    ] {
        assert_eq!(placed(vip, "lb1"), lb1, "{vip}");
        assert_eq!(placed(vip, "lb2"), lb2, "{vip}");
    }
}

#[test]
fn a_routed_vip_is_on_the_dummy_device_of_every_director() {
    let device = "link lvs-0c3d52 → {alias:lvsform:t,device:dummy,up:true}";
    let expected = [device, "vip 203.0.113.80 lvs-0c3d52 → {}", "vip 203.0.113.81 lvs-0c3d52 → {}"];
    for host in ["lb1", "lb2"] {
        let found = on("", host, &["vip", "link"]);
        assert_eq!(found.into_iter().filter(|line| !line.contains("eth0")).collect::<Vec<_>>(), expected);
    }
    let held = HOSTS.replace("203.0.113.[80-81]\"", "203.0.113.80\" holder=\"lb1\"");
    assert!(!lines(&held, "lb2", &["vip", "link"]).iter().any(|line| line.contains("lvs-")));
}

#[test]
fn the_dummy_device_is_called_by_the_topologys_name_alone() {
    assert_eq!(super::dummy_name(&topology(HOSTS)), "lvs-0c3d52");
    let other = super::dummy_name(&topology(&HOSTS.replace("\"t\"", "\"u\"")));
    assert!(other.len() == 10 && other.starts_with("lvs-") && other != "lvs-0c3d52", "{other}");
}

#[test]
fn timeouts_are_those_that_are_given() {
    assert_eq!(on("timeouts tcp=\"15m\" udp=\"5m\"\n", "lb2", &["timeouts"]), ["timeouts → {tcp:900,udp:300}"]);
    assert_eq!(on("timeouts tcp=\"15m\"\n", "web1", &["timeouts"]), [""; 0]);
    assert_eq!(on("", "lb1", &["timeouts"]), [""; 0]);
}

#[test]
fn without_master_and_backup_every_director_is_both_and_otherwise_what_is_written() {
    let daemon = "{group:224.0.0.81,id:51,interface:eth0,port:8848,ttl:1}";
    let (master, backup) = (format!("sync master → {daemon}"), format!("sync backup → {daemon}"));
    let sync = |rest: &str, host: &str| on(&format!("sync id=51 interface=\"eth0\" {rest}\n"), host, &["sync"]);
    for host in ["lb1", "lb2"] {
        assert_eq!(sync("", host), [master.clone(), backup.clone()]);
    }
    assert_eq!(sync("master=\"lb1\"", "lb1"), [master.as_str()]);
    assert_eq!(sync("master=\"lb1\"", "lb2"), [""; 0]);
    assert_eq!(sync("master=\"lb1\" backup=\"lb2\"", "lb2"), [backup]);
    assert_eq!(sync("", "web1"), [""; 0]);
    let all = sync("group=\"ff02::81\" port=9000 ttl=3 max-length=1400 master=\"lb1\"", "lb1");
    assert_eq!(all, ["sync master → {group:ff02::81,id:51,interface:eth0,max_length:1400,port:9000,ttl:3}"]);
}

#[test]
fn nat_makes_the_director_a_router_of_the_families_that_it_forwards() {
    let nat = |vip: &str, server: &str| {
        let rest = format!("forward \"nat\"; return-path \"none\"; server {server}");
        on(&service(&format!("listen vip=\"{vip}\" port=80"), &rest), "lb1", &["sysctl"])
    };
    let forward = "sysctl net.ipv4.ip_forward → {value:1}";
    assert_eq!(nat("v4", "\"172.16.0.9\""), [forward]);
    // Clients and servers on one interface.
    let redirects =
        ["sysctl net.ipv4.conf.all.send_redirects → {value:0}", "sysctl net.ipv4.conf.eth0.send_redirects → {value:0}"];
    assert_eq!(nat("v4", "\"web4\""), [redirects[0], redirects[1], forward]);
    let mark = service("listen fwmark=7 vip=\"v4\"", "forward \"nat\"; return-path \"none\"; server \"web4\"");
    assert_eq!(on(&mark, "lb1", &["sysctl"]), [redirects[0], redirects[1], forward]);
    assert_eq!(
        nat("v", "\"2001:db8::99\" \"172.16.0.9\""),
        [
            forward,
            "sysctl net.ipv6.conf.all.forwarding → {value:1}",
            "sysctl net.ipv6.conf.eth0.accept_ra → {unless:0,value:2}",
            "sysctl net.ipv6.conf.eth1.accept_ra → {unless:0,value:2}",
        ]
    );
    let dr = service("listen vip=\"v\" port=80", "forward \"dr\"; server \"web1\"");
    assert_eq!(on(&dr, "lb1", &["sysctl"]), [""; 0]);
    assert_eq!(on(&service("listen vip=\"v4\" port=80", "forward \"nat\"; server \"web4\""), "web4", &["sysctl"]), [""; 0]);
}

#[test]
fn snat_implies_connection_tracking_on_the_directors_that_carry_the_service() {
    let text = service("listen vip=\"r\" port=80", "forward \"nat\"; return-path \"snat\"; server \"172.16.0.9\"");
    let expected = ["sysctl net.ipv4.ip_forward → {value:1}", "sysctl net.ipv4.vs.conntrack → {value:1}"];
    assert_eq!(on(&text, "lb1", &["sysctl"]), expected);
    assert_eq!(on(&text, "lb2", &["sysctl"]), expected);
}

#[test]
fn a_host_is_stronger_than_its_roles_tuning() {
    let text = "tuning \"director\" { sysctl \"net.core.somaxconn\" 1; sysctl \"net.ipv4.tcp_rmem\" \"1  2\t3\"; }\n\
                tuning \"real-server\" { sysctl \"net/core/somaxconn\" 2; }\n\
                director \"lb3\" { sysctl \"net.core.somaxconn\" 3; }\n";
    let rmem = "sysctl net.ipv4.tcp_rmem → {value:1 2 3}";
    assert_eq!(on(text, "lb1", &["sysctl"]), ["sysctl net.core.somaxconn → {value:1}", rmem]);
    assert_eq!(on(text, "lb3", &["sysctl"]), ["sysctl net.core.somaxconn → {value:3}", rmem]);
    assert_eq!(on(text, "web1", &["sysctl"]), ["sysctl net.core.somaxconn → {value:2}"]);
}

#[test]
fn a_director_that_is_also_a_server_has_both_tunings() {
    let serve = service("listen vip=\"v4\" port=80", "forward \"nat\"; return-path \"none\"; server \"lb2\"");
    let text = format!(
        "{serve}tuning \"director\" {{ sysctl \"net.core.somaxconn\" 1; }}\ntuning \"real-server\" {{ sysctl \"net.core.rmem_max\" 2; }}\n"
    );
    let tuned = |host| on(&text, host, &["sysctl"]).into_iter().filter(|line| line.contains(".core.")).collect::<Vec<_>>();
    assert_eq!(tuned("lb2"), ["sysctl net.core.rmem_max → {value:2}", "sysctl net.core.somaxconn → {value:1}"]);
    assert_eq!(tuned("lb1"), ["sysctl net.core.somaxconn → {value:1}"]);
}

#[test]
fn nothing_stands_against_what_a_method_needs_unless_it_is_forced() {
    let nat = service("listen vip=\"v\" port=80", "forward \"nat\"; return-path \"none\"; server \"web1\"");
    let with = |sysctl: &str| format!("{nat}tuning \"director\" {{ sysctl {sysctl}; }}\n");
    for against in [
        "\"net.ipv4.ip_forward\" 0",
        "\"net.ipv4.conf.all.send_redirects\" 1",
        "\"net.ipv4.conf.eth0.send_redirects\" 1",
        "\"net.ipv6.conf.all.forwarding\" 0",
        "\"net.ipv6.conf.eth0.accept_ra\" 1",
        // Other names of the same switch, and the switch of one device.
        "\"net.ipv4.conf.all.forwarding\" 0",
        "\"net.ipv4.conf.eth0.forwarding\" 0",
        "\"net.ipv6.conf.eth0.forwarding\" 0",
    ] {
        let codes = codes(&with(against));
        assert!(!codes.is_empty() && codes.iter().all(|code| *code == "sysctl-against-method"), "{against}: {codes:?}");
        assert_eq!(self::codes(&with(&format!("{against} force=#true"))), [""; 0], "{against}");
    }
    // What agrees, and what needs nothing: a device that takes no router advertisements loses no route by them.
    for agrees in ["\"net.ipv4.ip_forward\" 1", "\"net.ipv6.conf.eth0.accept_ra\" 0", "\"net.ipv4.conf.eth0.forwarding\" 1"] {
        assert_eq!(codes(&with(agrees)), [""; 0], "{agrees}");
    }
    assert!(
        on(&with("\"net.ipv4.ip_forward\" 0 force=#true"), "lb1", &["sysctl"])
            .contains(&"sysctl net.ipv4.ip_forward → {value:0}".to_owned())
    );
}

#[test]
fn nothing_makes_a_holder_or_a_server_silent() {
    let dr = service("listen vip=\"v4\" port=80", "forward \"dr\"; server \"web4\"");
    let director = |rest: &str| codes(&format!("{dr}tuning \"director\" {{ sysctl {rest}; }}\n"));
    let server = |rest: &str| codes(&format!("{dr}tuning \"real-server\" {{ sysctl {rest}; }}\n"));
    for device in ["all", "eth0"] {
        let set = |value: &str| format!("\"net.ipv4.conf.{device}.arp_ignore\" {value}");
        assert_eq!(director(&set("8")), ["sysctl-against-method"], "{device}");
        assert_eq!(director(&set("8 force=#true")), [""; 0], "{device}");
        assert_eq!(director(&set("2")), [""; 0], "{device}");
        assert_eq!(server(&set("8")), ["sysctl-against-method"], "{device}");
        assert_eq!(server(&set("2")), [""; 0], "{device}");
    }
    assert_eq!(director("\"net.ipv4.conf.eth1.arp_ignore\" 8"), [""; 0], "no VIP is there");
    // A director that only listens.
    let sync = |roles: &str| {
        let sync = format!("sync id=1 interface=\"eth0\" {roles}\n");
        codes(&format!("{dr}{sync}tuning \"director\" {{ sysctl \"net.ipv4.vs.backup_only\" 1; }}\n"))
    };
    assert_eq!(sync("backup=\"lb1\""), ["sysctl-against-method"]);
    assert_eq!(sync("backup=\"lb2\""), [""; 0]);
    assert_eq!(sync("master=\"lb1\""), [""; 0]);
    // What is only held against does not stand before what is set.
    let both = "service \"a\" { listen vip=\"v\" port=80 family=\"ipv6\"; forward \"tun\"; server \"web4\"; }\n";
    assert!(
        on(&format!("{both}{dr}"), "web4", &["sysctl"])
            .contains(&"sysctl net.ipv4.conf.all.arp_ignore → {unless:2,value:1}".to_owned())
    );
}

#[test]
fn every_kind_of_tunnel_is_a_device_of_ours_with_its_addresses() {
    for (fields, expected) in [
        ("kind=\"ipip\" local=\"192.0.2.1\"", "{tunnel:{kind:ipip,local:192.0.2.1,ttl:0}}"),
        ("kind=\"sit\" remote=\"192.0.2.9\" ttl=64", "{tunnel:{kind:sit,remote:192.0.2.9,ttl:64}}"),
        (
            "kind=\"gre\" local=\"192.0.2.1\" key=7 checksum=#true device=\"eth0\"",
            "{tunnel:{checksum:true,device:eth0,key:7,kind:gre,local:192.0.2.1,ttl:0}}",
        ),
        ("kind=\"ip6gre\" local=\"2001:db8::1\"", "{tunnel:{kind:ip6gre,local:2001:db8::1,ttl:0}}"),
        ("kind=\"ip6tnl\" local=\"2001:db8::1\"", "{tunnel:{inner:any,kind:ip6tnl,local:2001:db8::1,ttl:0}}"),
        ("kind=\"ip6tnl\" mode=\"ipip6\" local=\"2001:db8::1\"", "{tunnel:{inner:ipip6,kind:ip6tnl,local:2001:db8::1,ttl:0}}"),
    ] {
        let text = format!(
            "real-server \"e\" {{ tunnel \"dc2\" {fields} mtu=1400 {{ address \"172.16.0.2/30\" \"fd00::2/64\"; }}; }}\n"
        );
        let link = format!("link dc2 → {{alias:lvsform:t,device:{expected},mtu:1400,up:true}}");
        let found = on(&text, "e", &["link", "address", "fou", "module"]);
        assert_eq!(found, [link.as_str(), "address 172.16.0.2/30 dc2 → {}", "address fd00::2/64 dc2 → {}"]);
    }
}

#[test]
fn gue_opens_its_port_once_and_loads_the_module_of_its_family() {
    let gue = "{ encap \"gue\" port=6080 checksum=\"csum\"; }";
    let text = format!(
        "real-server \"e\" {{ tunnel \"a\" kind=\"ipip\" remote=\"192.0.2.1\" {gue}; tunnel \"b\" kind=\"ipip\" remote=\"192.0.2.2\" {gue}; tunnel \"c\" kind=\"ip6gre\" remote=\"2001:db8::1\" {gue}; }}\n"
    );
    assert_eq!(
        on(&text, "e", &["fou", "module"]),
        ["module fou → {}", "module fou6 → {}", "fou 6080 ipv4 → {gue:true}", "fou 6080 ipv6 → {gue:true}"]
    );
    let links = on(&text, "e", &["link"]);
    assert!(links.len() == 3 && links.iter().all(|line| line.contains("gue:{checksum:csum,port:6080}")), "{links:?}");
}

#[test]
fn ip_vs_is_loaded_where_something_of_it_is_asked_for() {
    for (text, loaded) in [
        (service("listen vip=\"v4\" port=80", "forward \"dr\"; server \"web4\""), true),
        ("timeouts udp=\"5m\"\n".to_owned(), true),
        ("sync id=1 interface=\"eth0\"\n".to_owned(), true),
        ("tuning \"director\" { sysctl \"net.ipv4.vs.expire_nodest_conn\" 1; }\n".to_owned(), true),
        ("tuning \"director\" { sysctl \"net.core.somaxconn\" 1; }\n".to_owned(), false),
    ] {
        assert_eq!(on(&text, "lb1", &["module"]) == ["module ip_vs → {}"], loaded, "{text}");
    }
    // Their schedulers bring these.
    for name in ["lblc", "lblcr"] {
        let text = format!("tuning \"director\" {{ sysctl \"net.ipv4.vs.{name}_expiration\" 3600; }}\n");
        assert_eq!(on(&text, "lb1", &["module"]), [format!("module ip_vs_{name} → {{}}")]);
    }
}

#[test]
fn everything_has_the_users_words_and_a_place() {
    let text = format!(
        "{HOSTS}{}timeouts tcp=\"1h\"\nsync id=9 interface=\"eth0\"\ntuning \"director\" {{ sysctl \"net.core.somaxconn\" 1; }}\n",
        service("listen vip=\"v\" port=80", "forward \"nat\"; scheduler \"mh\"; server \"a\" host=\"web1\"")
    );
    let compiled = compiled(&topology(&text), "lb1");
    assert_eq!(compiled.names.keys().collect::<Vec<_>>(), compiled.state.objects.keys().collect::<Vec<_>>());
    for (key, name, word, implied) in [
        ("service tcp 10.0.0.100:80", "s", "listen", None),
        ("server tcp 10.0.0.100:80 10.0.0.11:80", "s a", "\"a\"", None),
        ("vip 10.0.0.100 eth0", "v", "\"10.0.0.100\"", None),
        ("link lvs-0c3d52", "r", "\"203.0.113.[80-81]\"", None),
        ("timeouts", "", "timeouts", None),
        ("sync master", "id 9", "sync", None),
        ("sysctl net.core.somaxconn", "lb1", "\"net.core.somaxconn\"", None),
        ("sysctl net.ipv4.ip_forward", "s a", "\"a\"", Some("forward \"nat\" needs it")),
        ("module ip_vs", "", "timeouts", Some("needs it")),
    ] {
        let key: Key = key.parse().expect("a key");
        let provenance = compiled.names.get(&key).unwrap_or_else(|| panic!("{key}"));
        let span = provenance.origin.span().unwrap_or_else(|| panic!("{key} has no place"));
        let token = text.get(span.start as usize..span.end as usize).unwrap_or_default();
        assert_eq!((&*provenance.name, token, provenance.implied), (name, word, implied), "{key}");
    }
}

#[test]
fn renaming_changes_nothing_in_the_kernel() {
    let text = service("listen vip=\"v\" port=80", "forward \"dr\"; server \"web1\"");
    let renamed = format!("{HOSTS}{text}").replace("\"web1\"", "\"x1\"").replace("\"v\"", "\"x\"").replace("\"s\"", "\"y\"");
    let state = |text: &str| compiled(&topology(text), "lb1").state;
    assert_eq!(state(&renamed), state(&format!("{HOSTS}{text}")));
}

#[test]
fn what_is_not_carried_out_is_named() {
    let left_out = |text: &str, host: &str| {
        let compiled = compiled(&topology(&format!("{HOSTS}{text}")), host);
        assert!(compiled.left_out.iter().all(|one| one.span.is_some()));
        compiled.left_out.into_iter().map(|one| one.text).collect::<Vec<_>>()
    };
    let nat = |listen: &str, rest: &str| service(listen, &format!("forward \"nat\"; {rest}"));
    let v4 = "listen vip=\"v4\" port=80";
    let unknown = "the way back of service `s`: something else marks its packets, so nobody here knows their ports. With `match` blocks instead of `vip`, or return-path \"default-route\", it is known";
    let unreached = "the way back of service `s`: no interface of `far` reaches its director";
    let far = "real-server \"far\" { interface \"eth0\" address=\"198.51.100.9/24\"; }\n";
    for (text, host, expected) in [
        (nat(v4, "server \"10.0.0.9\""), "lb1", vec![]),
        (nat(v4, "server \"web4\""), "web4", vec![]),
        (nat("listen fwmark=7 vip=\"v4\"", "server \"web4\""), "web4", vec![unknown]),
        (nat("listen fwmark=7 vip=\"v4\"", "server \"web4\"; return-path \"default-route\""), "web4", vec![]),
        (nat(v4, "server \"far\"") + far, "far", vec![unreached]),
    ] {
        assert_eq!(left_out(&text, host), expected, "{text}");
    }
}

#[test]
fn replies_of_nat_go_back_through_the_director() {
    let kinds = ["route", "rule", "sysctl"];
    let text = service(
        "listen vip=\"v\" port=80 server-port=8080\nlisten vip=\"v\" port=53 protocol=\"udp\"",
        "forward \"nat\"; server \"web1\"",
    );
    assert_eq!(
        on(&text, "web1", &kinds),
        [
            "sysctl net.ipv6.conf.eth0.accept_redirects → {value:0}",
            "route 0.0.0.0/0 via 10.0.0.2 dev eth0 table 167772162 → {protocol:76,scope:0,source_prefix:0,type:1}",
            "route ::/0 via 2001:db8::2 dev eth0 table 1901791661 metric 1024 → {attributes:[[20,[0]]],protocol:76,scope:0,source_prefix:0,type:1}",
            // A UDP socket that is not bound has no source yet.
            "rule ipv4 30000 ipproto udp sport 53 lookup 167772162 → {}",
            "rule ipv4 30000 from 10.0.0.11 ipproto tcp sport 8080 lookup 167772162 → {}",
            "rule ipv6 30000 ipproto udp sport 53 lookup 1901791661 → {}",
            "rule ipv6 30000 from 2001:db8::11 ipproto tcp sport 8080 lookup 1901791661 → {}",
        ]
    );
    assert_eq!(on(&text, "lb1", &["route", "rule"]), [""; 0], "the director needs none");
    let rules = |listen: &str, rest: &str| {
        on(&service(listen, &format!("forward \"nat\"; server \"web4\" {rest}")), "web4", &["route", "rule"])
            .into_iter()
            .map(|line| line.split(" \u{2192}").next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let v4 = "listen vip=\"v4\" port=80";
    assert_eq!(
        rules(v4, "port=81; return-path \"policy\" via=\"10.0.0.254\""),
        [
            "route 0.0.0.0/0 via 10.0.0.254 dev eth0 table 167772414",
            "rule ipv4 30000 from 10.0.0.14 ipproto tcp sport 81 lookup 167772414"
        ]
    );
    assert_eq!(
        rules(v4, "; return-path \"policy\" via=\"v\""),
        [
            "route 0.0.0.0/0 via 10.0.0.100 dev eth0 table 167772260",
            "rule ipv4 30000 from 10.0.0.14 ipproto tcp sport 80 lookup 167772260"
        ]
    );
    assert_eq!(
        rules("listen fwmark=7 { match vip=\"v4\" protocol=\"udp\"; match vip=\"v4\" { port 80 443; }; }", ""),
        [
            "route 0.0.0.0/0 via 10.0.0.2 dev eth0 table 167772162",
            "rule ipv4 30000 from 10.0.0.14 ipproto tcp sport 80 lookup 167772162",
            "rule ipv4 30000 from 10.0.0.14 ipproto tcp sport 443 lookup 167772162",
            "rule ipv4 30001 from 10.0.0.14 ipproto udp lookup 167772162",
        ]
    );
    for mode in ["default-route", "none", "snat"] {
        assert_eq!(rules(v4, &format!("; return-path \"{mode}\"")), [""; 0]);
    }
}

/// Two VIPs of two holders, for replies that are to go to both.
const HOLDERS: &str = "vip \"a\" address=\"10.0.0.110\" holder=\"lb1\"\nvip \"b\" address=\"10.0.0.111\" holder=\"lb2\"\n";

#[test]
fn replies_of_one_port_go_back_to_one_director() {
    let with = |listens: &str, rest: &str| {
        codes(&format!("{HOLDERS}{}", service(listens, &format!("forward \"nat\"; server \"web4\"; {rest}"))))
    };
    let both = "listen vip=\"a\" port=80; listen vip=\"b\" port=80";
    assert_eq!(with(both, ""), ["two-ways-back"]);
    for mended in ["return-path \"snat\"", "return-path \"policy\" via=\"10.0.0.254\"", "return-path \"none\""] {
        assert_eq!(with(both, mended), [""; 0], "{mended}");
    }
    assert_eq!(with("listen vip=\"a\" port=80; listen vip=\"b\" port=81", ""), [""; 0]);
    assert_eq!(with("listen vip=\"a\" port=80; listen vip=\"b\" port=80 server-port=81", ""), [""; 0]);
    assert_eq!(with("listen vip=\"a\" port=80; listen vip=\"b\" port=80 protocol=\"udp\"", ""), [""; 0]);
    // A mark has the ways of all of its VIPs.
    let mark = |one: &str, two: &str| {
        with(&format!("listen fwmark=7 {{ match vip=\"a\" port={one}; match vip=\"b\" port={two}; }}"), "")
    };
    assert_eq!(mark("80", "80"), ["two-ways-back"]);
    assert_eq!(mark("80", "81"), [""; 0]);
    // Two services; one host under two addresses is two sources for tcp, and one for udp.
    let second = |protocol: &str, address: &str| {
        let host = "real-server \"two\" { interface \"eth0\" { address \"10.0.0.21/24\" \"10.0.0.22/24\"; }; }\n";
        let of = |name: &str, address: &str| {
            format!(
                "service \"s{name}\" {{ listen vip=\"{name}\" port=80 protocol=\"{protocol}\"; forward \"nat\"; server \"two\" address=\"{address}\"; }}\n"
            )
        };
        wrong(&format!("{HOLDERS}{host}{}{}", of("a", "10.0.0.21"), of("b", address)))
    };
    assert_eq!(second("tcp", "10.0.0.22"), []);
    assert_eq!(second("udp", "10.0.0.22").len(), 1);
    let said = "replies of a server of services `sa` and `sb` from tcp port 80 are to go to 10.0.0.2 and to 10.0.0.3, and nothing in them says which";
    assert_eq!(second("tcp", "10.0.0.21"), [("two-ways-back", said.to_owned())]);
}

#[test]
fn a_director_that_serves_sends_back_to_the_one_that_has_the_vip() {
    let text = service(
        "listen vip=\"v4\" port=80 server-port=8080",
        "forward \"nat\"; server \"lb1\" address=\"10.0.0.2\"; server \"lb2\"",
    );
    assert_eq!(on(&text, "lb1", &["route", "rule"]), [""; 0]);
    assert_eq!(on(&text, "lb2", &["rule"]), ["rule ipv4 30000 from 10.0.0.3 ipproto tcp sport 8080 lookup 167772162 → {}"]);
    // Nobody knows who has it, or both have it.
    for vip in ["address=\"10.0.0.120\" managed=#false", "address=\"203.0.113.9\""] {
        let text = format!(
            "vip \"w\" {vip}\n{}",
            service("listen vip=\"w\" port=80", "forward \"nat\"; return-path \"policy\" via=\"10.0.0.254\"; server \"lb2\"")
        );
        assert_eq!(on(&text, "lb2", &["rule"]), [""; 0], "{vip}");
    }
}

#[test]
fn what_vips_answer_by_udp_is_not_sent_to_a_director() {
    let of = |name: &str, listen: &str, rest: &str| service(listen, rest).replace("\"s\"", &format!("\"{name}\""));
    let nat = of("n", "listen vip=\"v4\" port=53 protocol=\"udp\"", "forward \"nat\"; server \"web4\" \"lb2\"");
    let rule = "rule ipv4 30000 ipproto udp sport 53 lookup 167772162 → {}";
    let spared = "rule ipv4 29999 from 203.0.113.80 ipproto udp sport 53 lookup 254 → {}";
    let others = "rule ipv4 29999 from 203.0.113.81 ipproto udp sport 53 lookup 254 → {}";
    assert_eq!(on(&nat, "web4", &["rule"]), [rule]);
    let beside = |host: &str, listen: &str, rest: &str| on(&format!("{nat}{}", of("d", listen, rest)), host, &["rule"]);
    let dr = "forward \"dr\"; server \"web4\"";
    for listen in [
        "listen vip=\"r\" port=53 protocol=\"udp\"",
        "listen fwmark=7 { match vip=\"r\" protocol=\"udp\"; }",
        "listen fwmark=7 vip=\"r\"",
    ] {
        assert_eq!(beside("web4", listen, dr), [spared, others, rule], "{listen}");
    }
    assert_eq!(beside("web4", "listen vip=\"r\" port=53", dr), [rule], "tcp");
    assert_eq!(beside("web4", "listen vip=\"r\" port=54 protocol=\"udp\"", dr), [rule], "another port");
    // A director that has VIPs of its own beside.
    let listen = "listen vip=\"r\" port=53 protocol=\"udp\"";
    assert_eq!(beside("lb2", listen, "forward \"nat\"; return-path \"snat\"; server \"172.16.0.9\""), [spared, others, rule]);
}

/// The table of nftables of a host, rule by rule.
fn table(text: &str, host: &str) -> Vec<String> {
    let compiled = compiled(&topology(&format!("{HOSTS}{text}")), host);
    assert_eq!(compiled.problems, [], "{text}");
    let tables = compiled.state.objects.iter().filter_map(|(key, resource)| match resource {
        Resource::Nftables(table) => Some((key, table)),
        _ => None,
    });
    tables
        .flat_map(|(key, table)| {
            assert_eq!(key.to_string(), "nftables lvsform-t");
            table.chains.iter().flat_map(|(name, chain)| chain.rules.iter().map(move |rule| format!("{name}: {rule}")))
        })
        .collect()
}

#[test]
fn a_director_marks_what_its_matches_say() {
    let text = service(
        "listen fwmark=7 { match vip=\"v\" { port 443 80; }; match vip=\"v4\" protocol=\"udp\"; }",
        "forward \"dr\"; server \"web1\"",
    );
    let rules = [
        "prerouting: ip daddr 10.0.0.100 meta l4proto tcp th dport 80 meta mark set 7",
        "prerouting: ip daddr 10.0.0.100 meta l4proto tcp th dport 443 meta mark set 7",
        "prerouting: ip daddr 10.0.0.101 meta l4proto udp meta mark set 7",
        "prerouting: ip6 daddr 2001:db8::100 meta l4proto tcp th dport 80 meta mark set 7",
        "prerouting: ip6 daddr 2001:db8::100 meta l4proto tcp th dport 443 meta mark set 7",
    ];
    assert_eq!(table(&text, "lb1"), rules);
    let delivery = |host: &str| on(&text, host, &["route", "rule"]);
    assert_eq!(delivery("lb1"), [""; 0], "it has the VIPs");
    // The backup has not.
    assert_eq!(table(&text, "lb2"), rules);
    assert_eq!(
        delivery("lb2"),
        [
            "route 0.0.0.0/0 dev lo table 7108211 → {protocol:76,scope:254,source_prefix:0,type:2}",
            "route ::/0 dev lo table 7108211 metric 1024 → {attributes:[[20,[0]]],protocol:76,scope:0,source_prefix:0,type:2}",
            "rule ipv4 30000 fwmark 7 lookup 7108211 → {}",
            "rule ipv6 30000 fwmark 7 lookup 7108211 → {}",
        ]
    );
    let others = service("listen fwmark=7 vip=\"v4\"", "forward \"dr\"; server \"web1\"");
    assert_eq!(table(&others, "lb1"), [""; 0], "something else marks");
    assert_eq!(on(&others, "lb2", &["rule"]), ["rule ipv4 30000 fwmark 7 lookup 7108211 → {}"]);
    let routed = service("listen fwmark=7 vip=\"r\"", "forward \"dr\"; server \"web1\"");
    assert_eq!(on(&routed, "lb2", &["rule"]), [""; 0], "a routed VIP is on every director");
}

#[test]
fn a_director_masquerades_what_is_asked_and_nothing_else() {
    let text = "director \"gw\" { interface \"eth1\" address=\"198.51.100.2/24\"; masquerade interface=\"eth1\" { source \"10.0.0.0/24\" \"2001:db8::/64\"; }; }\n";
    assert_eq!(
        table(text, "gw"),
        [
            "postrouting: oifname \"eth1\" ip saddr 10.0.0.0/24 masquerade",
            "postrouting: oifname \"eth1\" ip6 saddr 2001:db8::/64 masquerade"
        ]
    );
    let snat = service("listen vip=\"v4\" port=80 server-port=8080", "forward \"nat\"; server \"web4\"; return-path \"snat\"");
    let rule = "postrouting: ip daddr 10.0.0.14 meta l4proto tcp th dport 8080 ct original ip daddr 10.0.0.101 ct original proto-dst 80 masquerade";
    assert_eq!(table(&snat, "lb1"), [rule]);
    assert!(on(&snat, "lb1", &["sysctl"]).contains(&"sysctl net.ipv4.vs.conntrack → {value:1}".to_owned()));
    // Something else marks: the VIP is all that is known of the packets.
    let elsewhere = service("listen fwmark=7 vip=\"v\"", "forward \"nat\"; server \"web1\" port=81; return-path \"snat\"");
    assert_eq!(
        table(&elsewhere, "lb1"),
        [
            "postrouting: ip daddr 10.0.0.11 ct original ip daddr 10.0.0.100 masquerade",
            "postrouting: ip6 daddr 2001:db8::11 ct original ip6 daddr 2001:db8::100 masquerade"
        ]
    );
}

#[test]
fn masquerading_makes_the_director_a_router_of_the_families_of_its_sources() {
    let with = |sources: &str, rest: &str| {
        format!(
            "director \"gw\" {{ interface \"eth1\" address=\"198.51.100.2/24\"; masquerade interface=\"eth1\" {{ source {sources}; }}; {rest} }}\n"
        )
    };
    assert_eq!(on(&with("\"10.0.0.0/24\"", ""), "gw", &["sysctl"]), ["sysctl net.ipv4.ip_forward → {value:1}"]);
    assert_eq!(
        on(&with("\"2001:db8::/64\"", ""), "gw", &["sysctl"]),
        ["sysctl net.ipv6.conf.all.forwarding → {value:1}", "sysctl net.ipv6.conf.eth1.accept_ra → {unless:0,value:2}"]
    );
    assert_eq!(codes(&with("\"10.0.0.0/24\"", "sysctl \"net.ipv4.ip_forward\" 0;")), ["sysctl-against-method"]);
}

#[test]
fn a_route_through_a_tunnel_is_ours() {
    let text = "director \"e\" { tunnel \"a\" kind=\"gre\" remote=\"192.0.2.9\"; route \"10.2.0.0/16\" tunnel=\"a\"; route \"2001:db8:2::/48\" tunnel=\"a\"; }\n";
    assert_eq!(
        on(text, "e", &["route"]),
        [
            "route 10.2.0.0/16 dev a → {protocol:76,scope:253,source_prefix:0,type:1}",
            "route 2001:db8:2::/48 dev a metric 1024 → {attributes:[[20,[0]]],protocol:76,scope:0,source_prefix:0,type:1}",
        ]
    );
}

/// Everything but services, of one host.
fn plumbing(text: &str, host: &str) -> Vec<String> {
    on(text, host, &["module", "sysctl", "link", "vip", "address", "fou"])
}

#[test]
fn a_real_server_has_its_tuning_and_its_own_tunnels() {
    let text = "tuning \"real-server\" { sysctl \"net.core.somaxconn\" 65535; }\nreal-server \"e\" { interface \"eth0\" address=\"10.0.0.41/24\"; tunnel \"a\" kind=\"gre\" remote=\"192.0.2.9\"; }\n";
    assert_eq!(
        plumbing(text, "e"),
        [
            "sysctl net.core.somaxconn → {value:65535}",
            "link a → {alias:lvsform:t,device:{tunnel:{kind:gre,remote:192.0.2.9,ttl:0}},up:true}",
        ]
    );
}

const SERVERS: &str = "real-server \"one\" { interface \"eth0\" { address \"10.0.0.41/24\" \"2001:db8::41/64\"; }; }\n\
    real-server \"two\" { interface \"eth0\" address=\"10.0.0.42/24\"; interface \"eth1\" address=\"172.16.0.42/24\"; }\n\
    vip \"both\" { address \"10.0.0.110\" \"2001:db8::110\"; directors \"lb1\"; managed #false; }\n";

fn serving(rest: &str) -> String {
    format!("{SERVERS}{}", service("listen vip=\"both\" port=80", rest))
}

const ARP: [&str; 2] =
    ["sysctl net.ipv4.conf.all.arp_announce → {value:2}", "sysctl net.ipv4.conf.all.arp_ignore → {unless:2,value:1}"];

#[test]
fn a_server_of_dr_has_the_vip_on_lo_and_tells_nobody() {
    let vips = ["vip 10.0.0.110 lo → {}", "vip 2001:db8::110 lo → {deprecated:true,nodad:true}"];
    let dr = serving("forward \"dr\"; server \"one\"");
    assert_eq!(plumbing(&dr, "one"), [&ARP[..], &vips].concat());
    // Replies may leave by another interface than requests come by.
    let two = serving("forward \"dr\"; server \"one\"; server \"two\"");
    assert_eq!(plumbing(&two, "two"), [&ARP[..], &["sysctl net.ipv4.conf.eth0.rp_filter → {value:2}"], &vips[..1]].concat());
    assert_eq!(plumbing(&dr, "two"), [""; 0]);
}

#[test]
fn a_server_of_tun_has_a_device_for_what_its_packets_are_wrapped_in() {
    let link = |name: &str, local: &str, more: &str| {
        let kind = name.split('-').next().unwrap_or_default();
        format!("link {name} → {{alias:lvsform:t,device:{{tunnel:{{{more}kind:{kind},local:{local},ttl:0}}}},up:true}}")
    };
    let with = |device: &str, links: &[String], fou: &[&str]| {
        let mut all: Vec<String> = fou.iter().filter(|line| line.starts_with("module")).map(ToString::to_string).collect();
        all.extend(ARP.map(str::to_owned));
        all.push(format!("sysctl net.ipv4.conf.{device}.rp_filter → {{value:2}}"));
        all.extend(fou.iter().filter(|line| !line.starts_with("module")).map(ToString::to_string));
        all.extend_from_slice(links);
        all.push(format!("vip 10.0.0.110 {device} → {{}}"));
        all.push("vip 2001:db8::110 lo → {deprecated:true,nodad:true}".into());
        all
    };
    let tun =
        |encap: &str, address: &str| plumbing(&serving(&format!("forward \"tun\" {encap}; server \"one\" {address}")), "one");
    let v6 = "address=\"2001:db8::41\"";
    let (ipip, sit) = (link("ipip-397c2b", "10.0.0.41", ""), link("sit-397c2b", "10.0.0.41", ""));
    // Without an address a server has one of each family, and each is wrapped in its own.
    let own = with("ipip-397c2b", &[link("ip6tnl-6e285a", "2001:db8::41", "inner:any,"), ipip.clone()], &[]);
    assert_eq!(tun("", ""), own);
    assert_eq!(tun("", "address=\"10.0.0.41\""), with("ipip-397c2b", &[ipip.clone(), sit.clone()], &[]));
    assert_eq!(tun("", v6), with("ip6tnl-6e285a", &[link("ip6tnl-6e285a", "2001:db8::41", "inner:any,")], &[]));
    let four = "address=\"10.0.0.41\"";
    assert_eq!(tun("encap=\"gre\"", four), with("gre-397c2b", &[link("gre-397c2b", "10.0.0.41", "")], &[]));
    let checked = link("gre-397c2b", "10.0.0.41", "checksum:true,");
    assert_eq!(tun("encap=\"gre\" checksum=\"csum\"", four), with("gre-397c2b", &[checked], &[]));
    assert_eq!(tun("encap=\"gre\"", v6), with("ip6gre-6e285a", &[link("ip6gre-6e285a", "2001:db8::41", "")], &[]));
    let port = ["module fou → {}", "fou 6080 ipv4 → {gue:true}"];
    assert_eq!(tun("encap=\"gue\" port=6080", four), with("ipip-397c2b", &[ipip, sit], &port));
}

#[test]
fn what_services_of_one_host_need_alike_is_there_once() {
    let of =
        |name: &str, port: u16, rest: &str| service(&format!("listen vip=\"both\" port={port}"), rest).replace("\"s\"", name);
    let one = of("\"s\"", 80, "forward \"tun\"; server \"one\"");
    let two = format!("{one}{}", of("\"s2\"", 81, "forward \"tun\"; server \"one\""));
    assert_eq!(plumbing(&format!("{SERVERS}{two}"), "one"), plumbing(&format!("{SERVERS}{one}"), "one"));
}

#[test]
fn a_server_of_a_mark_has_the_vips_of_all_its_matches() {
    let of = |listen: &str| {
        let text = format!("{SERVERS}{}", service(listen, "forward \"dr\"; server \"one\""));
        on(&text, "one", &["vip"])
    };
    let [four, six] = ["vip 10.0.0.110 lo → {}", "vip 2001:db8::110 lo → {deprecated:true,nodad:true}"];
    let matched = "listen fwmark=7 { match vip=\"v4\" port=80; match vip=\"both\" port=443; }";
    assert_eq!(of(matched), ["vip 10.0.0.101 lo → {}", four, six]);
    assert_eq!(of("listen fwmark=7 vip=\"both\" family=\"ipv4\""), [four]);
}

#[test]
fn a_director_that_serves_its_own_vip_has_it_once() {
    let own = service("listen vip=\"v4\" port=80", "forward \"dr\"; server \"lb1\" address=\"10.0.0.2\"");
    let vips = |text: &str| on(text, "lb1", &["vip"]).into_iter().filter(|line| line.contains("10.0.0.101")).collect::<Vec<_>>();
    assert_eq!(vips(&own), ["vip 10.0.0.101 eth0 → {}"]);
}

#[test]
fn one_address_takes_gre_packets_with_checksums_or_without() {
    let of = |name: &str, port: u16, checksum: &str| {
        let rest = format!("forward \"tun\" encap=\"gre\" {checksum}; server \"one\" address=\"10.0.0.41\"");
        service(&format!("listen vip=\"both\" port={port}"), &rest).replace("\"s\"", name)
    };
    let text = format!("{HOSTS}{SERVERS}{}{}", of("\"s\"", 80, ""), of("\"s2\"", 81, "checksum=\"csum\""));
    let found = problems(&topology(&text));
    let [problem] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(problem.message, "10.0.0.41 takes gre packets with checksums or without, and is to take both");
}

#[test]
fn a_declared_device_that_would_be_the_same_is_an_error() {
    let server =
        "real-server \"e\" { interface \"eth0\" address=\"10.0.0.43/24\"; tunnel \"a\" kind=\"ipip\" local=\"10.0.0.43\"; }\n";
    let text = format!("{HOSTS}{server}{}", service("listen vip=\"v4\" port=80", "forward \"tun\"; server \"e\""));
    let found = problems(&topology(&text));
    let [problem] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(problem.message, "the kernel has one ipip device of 10.0.0.43 for all remote ends, and two are needed");
}

#[test]
fn every_director_knows_who_is_to_have_each_managed_vip() {
    let serving = service("listen vip=\"own\" port=80", "forward \"dr\"; server \"lb1\"");
    let text = format!(
        "{HOSTS}vip \"own\" address=\"10.0.0.102\" directors=\"lb2\"\nvip \"else\" address=\"10.0.0.103\" managed=#false\n{serving}"
    );
    let holders = |host: &str| {
        let compiled = compiled(&topology(&text), host);
        assert_eq!(compiled.elsewhere.mark, "lvsform:t");
        let of = |(address, names): (&std::net::IpAddr, &Vec<std::sync::Arc<str>>)| format!("{address} {}", names.join(" "));
        compiled.elsewhere.holders.iter().map(of).collect::<Vec<_>>()
    };
    let shared = [
        "10.0.0.100 lb1",
        "10.0.0.101 lb1",
        "10.0.0.102 lb2",
        "203.0.113.80 lb1 lb2",
        "203.0.113.81 lb1 lb2",
        "2001:db8::100 lb1",
    ];
    assert_eq!(holders("lb2"), shared);
    // As a server lb1 answers for this one itself, and a real server for all of its services'.
    assert_eq!(holders("lb1"), shared.into_iter().filter(|line| !line.contains(".102 ")).collect::<Vec<_>>());
    assert_eq!(holders("web1"), [""; 0]);
}
