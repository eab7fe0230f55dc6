//! Sysctls, modules and namespaces.

use libtest_mimic::Trial;
use lvsform::kernel::linux::Linux;
use lvsform::kernel::{Kernel, Outcome, ReadError};
use lvsform::state::{Absence, Key, Resource, Scope, SysctlKey, SysctlValue};
use nix::errno::Errno;

use crate::ipvs::service;
use crate::world::{Expect, World, key, test};

pub fn tests() -> Vec<Trial> {
    vec![
        test("sysctls::a_value_is_written_and_read_back", write),
        test("sysctls::a_refused_value_carries_its_errno", refusals),
        test("sysctls::what_is_the_hosts_is_absent_from_a_namespace", host_only),
        test("sysctls::one_that_can_only_be_written_is_an_error_that_says_so", write_only),
        test("modules::one_that_is_there_is_read_and_one_that_is_not_is_not", modules),
        test("namespaces::one_is_entered_by_its_name", by_name),
        test("namespaces::a_name_without_a_namespace_is_an_error_that_says_so", no_name),
    ]
}

fn sysctl(text: &str) -> SysctlKey {
    SysctlKey::parse(text).expect("a key")
}

fn scope(keys: &[&str]) -> Scope {
    Scope { sysctls: keys.iter().map(|text| sysctl(text)).collect(), ..Scope::default() }
}

fn value(text: &str) -> Resource {
    Resource::from(SysctlValue { value: text.to_owned(), unless: None })
}

fn write(world: &mut World) {
    for (text, wanted) in [
        ("net.ipv4.ip_forward", "1"),
        ("net.core.somaxconn", "65535"),
        ("net.ipv4.vs.sync_threshold", "5 60"),
        ("net.ipv4.vs.expire_nodest_conn", "1"),
        ("net.ipv4.ip_local_port_range", "20000 60000"),
        ("net/ipv4/conf/lo/rp_filter", "2"),
    ] {
        let name = format!("sysctl {text}");
        let before = world.read_scope(&scope(&[text])).state.objects.remove(&key(&name)).expect("there");
        assert_ne!(before, value(wanted));
        world.set(&name, &before, &value(wanted)).expect_done_or(text);
        assert_eq!(world.read_scope(&scope(&[text])).state.objects.get(&key(&name)), Some(&value(wanted)));
        let said = world.witness("sysctl", &format!("-n {}", text.replace('/', ".")));
        assert_eq!(said.split_whitespace().collect::<Vec<_>>().join(" "), wanted);
        world.change(&name, Some(before), None).expect_done();
        assert_eq!(world.read_scope(&scope(&[text])).state.objects.get(&key(&name)), Some(&value(wanted)), "it stays");
    }
}

fn refusals(world: &mut World) {
    let mut set = |text: &str, after: &str| world.add(&format!("sysctl {text}"), value(after));
    assert_eq!(set("net.ipv4.vs.drop_entry", "4").errno(), Errno::EINVAL as i32);
    assert_eq!(set("net.ipv4.vs.sync_ports", "3").errno(), Errno::EINVAL as i32);
    assert_eq!(set("net.ipv4.ip_forward", "yes").errno(), Errno::EINVAL as i32);
    assert_eq!(set("net.ipv4.nonsense", "1").errno(), Errno::ENOENT as i32);
    assert_eq!(set("net.ipv4.vs.conn_reuse_mode", "007").errno(), Errno::ERANGE as i32, "it reads back as 7");
    let one = "sysctl net.ipv4.vs.conn_reuse_mode";
    let now = world.read_scope(&scope(&["net.ipv4.vs.conn_reuse_mode"])).state.objects.remove(&key(one));
    assert_eq!(now, Some(value("1")), "and is put back");
}

fn host_only(world: &mut World) {
    let host = ["net.core.netdev_max_backlog", "net.netfilter.nf_conntrack_max", "net.core.rmem_max", "net.ipv4.tcp_mem"];
    let missing = ["net.ipv4.nonsense", "net.ipv4.conf.eth7.rp_filter", "net.ipv4.conf"];
    let there = ["net.core.somaxconn", "net.ipv4.vs.conntrack"];
    world.witness("modprobe", "nf_conntrack");
    let all: Vec<&str> = host.into_iter().chain(missing).chain(there).collect();
    let observed = world.read_scope(&scope(&all));
    let absent = |text: &str| observed.absent.get(&Key::Sysctl(sysctl(text))).copied();
    for text in host {
        assert_eq!(absent(text), Some(Absence::HostOnly), "{text}");
    }
    for text in missing {
        assert_eq!(absent(text), Some(Absence::Missing), "{text}");
    }
    for text in there {
        assert_eq!(absent(text), None, "{text}");
        assert!(observed.state.objects.contains_key(&Key::Sysctl(sysctl(text))));
    }
}

fn write_only(world: &mut World) {
    for text in ["net.ipv4.route.flush", "net.ipv6.route.flush"] {
        assert!(sysctl(text).is_command(), "{text}");
        let read = world.kernel.read(&scope(&[text]));
        assert!(matches!(&read, Err(ReadError::Sysctl { key, write_only: true }) if *key == sysctl(text)), "{text}: {read:?}");
    }
}

fn modules(world: &mut World) {
    let names = ["ip_vs", "ip_vs_lblcr", "no_such_module", "../kernel"];
    let scope = Scope { modules: names.map(str::to_owned).into(), ..Scope::default() };
    world.add("module ip_vs_lblcr", Resource::Module).expect_done();
    let state = world.read_scope(&scope).state;
    let there = |name: &str| state.objects.contains_key(&Key::Module(name.to_owned()));
    assert_eq!(names.map(there), [true, true, false, false]);
    let Outcome::Refused(refusal) = world.add("module no_such_module", Resource::Module) else { panic!("loaded") };
    assert_eq!(refusal.errno, Errno::ENOENT as i32);
    assert!(refusal.text.is_some_and(|text| text.contains("no_such_module")), "modprobe's own words");
    assert_eq!(world.add("module --version", Resource::Module).errno(), Errno::EINVAL as i32);
}

fn by_name(world: &mut World) {
    world.witness("ip", "netns add lvsform-test");
    let there = std::thread::spawn(|| {
        let mut kernel = Linux::open(Some("lvsform-test")).expect("by name");
        kernel.read(&Scope::default()).expect("a reading")
    });
    let observed = there.join().expect("no panic");
    assert!(!observed.state.objects.contains_key(&key("service tcp 10.0.0.100:443")));
    world.witness("ip", "netns exec lvsform-test ipvsadm -A -t 10.0.0.100:443 -s rr");
    let there = std::thread::spawn(|| {
        let mut kernel = Linux::open(Some("lvsform-test")).expect("by name");
        kernel.read(&scope(&["net.core.netdev_max_backlog"])).expect("a reading")
    });
    let observed = there.join().expect("no panic");
    world.witness("ip", "netns del lvsform-test");
    assert_eq!(observed.state.objects.get(&key("service tcp 10.0.0.100:443")), Some(&Resource::from(service("rr"))));
    assert!(!observed.absent.is_empty(), "sysctls are those of the namespace too");
    assert_eq!(world.get("service tcp 10.0.0.100:443"), None, "and not of another");
}

fn no_name(_: &mut World) {
    for name in ["nowhere", "", ".", "..", "../../proc/1/ns/net", "a\0b"] {
        let error = Linux::open(Some(name)).err();
        assert_eq!(error, Some(ReadError::NoNamespace(name.to_owned())));
    }
}
