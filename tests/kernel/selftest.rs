//! The layout and the addresses of the kernel's own test of IPVS (tools/testing/selftests/net/netfilter/ipvs.sh: dr, nat and
//! tun with one director and one real server), as a topology. Where that test sets sysctls, devices, addresses and routes by
//! hand, here `lvsform apply` on the director and on the real server is all. It is harder, too: every host filters strictly by
//! the reverse path, and the real server keeps its second interface, by which the client is nearer than through the director.

#![allow(clippy::disallowed_methods, reason = "tests run programs and look at files")]

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use libtest_mimic::Trial;

use crate::cluster::PATIENCE;
use crate::hand;
use crate::host::Host;
use crate::world::test;

const PORT: u16 = 8080;

pub fn tests() -> Vec<Trial> {
    let one = |forward| test(format!("selftest::{forward}_works_by_apply_alone"), move |_| works(forward));
    ["dr", "nat", "tun"].into_iter().map(one).collect()
}

fn topology(forward: &str) -> String {
    format!(
        "topology \"selftest\"\n\
         director \"ns1\" {{\n    interface \"veth10\" address=\"10.0.0.1/24\"\n    interface \"veth12\" address=\"172.16.0.1/24\"\n}}\n\
         real-server \"ns2\" {{\n    interface \"veth20\" address=\"10.0.0.3/24\"\n    interface \"veth21\" address=\"172.16.0.2/24\"\n}}\n\
         vip \"v\" address=\"207.175.44.110\"\n\
         service \"s\" {{\n    listen vip=\"v\" port={PORT}\n    forward \"{forward}\"\n    scheduler \"rr\"\n    \
         server \"ns2\" address=\"172.16.0.2\"\n}}\n"
    )
}

fn works(forward: &str) {
    let [ns0, ns1, ns2] = [Host::new(), Host::new(), Host::new()];
    let folder = nix::unistd::mkdtemp("/tmp/lvsform-test-XXXXXX").expect("a folder");
    std::fs::write(folder.join("selftest.kdl"), topology(forward)).expect("our own file");
    for host in [&ns0, &ns1, &ns2] {
        host.run(|| std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").expect("strict"));
    }
    let (one, two) = (ns1.path(), ns2.path());
    let lines = format!(
        "link add br0 type bridge\nlink set br0 up\n\
         link add veth01 type veth peer name veth10 netns {one}\nlink set veth01 master br0 up\n\
         link add veth02 type veth peer name veth20 netns {two}\nlink set veth02 master br0 up\n\
         addr add 10.0.0.2/24 dev br0\n"
    );
    ns0.run(|| hand::feed("ip", "-batch -", &lines));
    let lines = format!(
        "link add veth12 type veth peer name veth21 netns {two}\nlink set veth10 up\naddr add 10.0.0.1/24 dev veth10\n\
         link set veth12 up\naddr add 172.16.0.1/24 dev veth12\n"
    );
    ns1.run(|| hand::feed("ip", "-batch -", &lines));
    let lines = "link set veth21 up\naddr add 172.16.0.2/24 dev veth21\nlink set veth20 up\naddr add 10.0.0.3/24 dev veth20\n";
    ns2.run(|| hand::feed("ip", "-batch -", lines));
    ns0.run(|| hand::run("ip", "route add 207.175.44.110 via 10.0.0.1 dev br0"));
    for (host, name) in [(&ns2, "ns2"), (&ns1, "ns1")] {
        let done = host.run(|| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
            command.args(["apply", "selftest.kdl", "--yes", "--host", name, "--state-dir"]).arg(folder.join(name));
            command.current_dir(&folder).stdin(Stdio::null()).output().expect("it starts")
        });
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let listener = ns2.run(|| TcpListener::bind(("0.0.0.0", PORT)).expect("a port"));
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a connection");
        let mut said = String::new();
        client.read_to_string(&mut said).map(|_| said)
    });
    ns0.run(|| {
        use std::io::Write as _;
        let to = SocketAddr::new("207.175.44.110".parse().expect("an address"), PORT);
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap_or_else(|error| panic!("{forward}: {error}"));
        stream.write_all(b"thirty-two bytes, as in the test").expect("sent");
    });
    assert_eq!(server.join().expect("a server").expect("what it heard"), "thirty-two bytes, as in the test");
    std::fs::remove_dir_all(folder).expect("our own folder");
}
