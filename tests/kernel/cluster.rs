//! A whole cluster, each host a network namespace on one wire: a client, a director and two real servers, each made what the
//! file says by `lvsform apply` alone. Connections of both families reach both servers in turn, nobody but the director is
//! ever asked for the VIP, and afterwards every host is what it was.

#![allow(clippy::disallowed_methods, reason = "tests run programs and look at files")]
#![allow(clippy::format_push_string, reason = "a few lines of text, put together to be read")]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::hand;
use crate::host::Host;
use crate::world::test;

const VIPS: [&str; 2] = ["10.0.0.100", "2001:db8::100"];
const PORT: u16 = 8080;
/// A connection that takes so long has no server.
const PATIENCE: Duration = Duration::from_secs(20);

/// Each way to a server: its name, `forward`, and the servers' addresses, where the file says them.
const WAYS: [(&str, &str, &str); 10] = [
    ("dr", "\"dr\"", ""),
    ("tun", "\"tun\"", ""),
    ("tun_in_ipv4", "\"tun\"", "10.0.0.[11-12]"),
    ("tun_in_ipv6", "\"tun\"", "2001:db8::[11-12]"),
    ("gre_in_ipv4", "\"tun\" encap=\"gre\"", "10.0.0.[11-12]"),
    ("gre_with_checksums", "\"tun\" encap=\"gre\" checksum=\"csum\"", "10.0.0.[11-12]"),
    ("gre_in_ipv6", "\"tun\" encap=\"gre\"", "2001:db8::[11-12]"),
    ("gue_in_ipv4", "\"tun\" encap=\"gue\" port=6080", "10.0.0.[11-12]"),
    ("gue_with_checksums", "\"tun\" encap=\"gue\" port=6080 checksum=\"csum\"", "10.0.0.[11-12]"),
    ("gue_in_ipv6", "\"tun\" encap=\"gue\" port=6080", "2001:db8::[11-12]"),
];

/// `gue`: the kernel has it, and is an emulated one: of the other ways it shows two every time.
pub fn tests(gue: bool) -> Vec<Trial> {
    let one = |(name, forward, address): (&'static str, &'static str, &'static str)| {
        let test = test(format!("cluster::{name}_reaches_both_servers_by_both_families"), move |_| works(name, forward, address));
        test.with_ignored_flag(gue && !matches!(name, "dr" | "gre_in_ipv6" | "gue_in_ipv4"))
    };
    WAYS.into_iter().filter(|(name, ..)| gue || !name.starts_with("gue")).map(one).collect()
}

struct Cluster {
    /// Held for the wire between the others.
    _switch: Host,
    client: Host,
    /// With the name that each has in the file.
    hosts: [(&'static str, Host); 3],
    folder: PathBuf,
}

impl Cluster {
    fn new(name: &str, topology: &str) -> Cluster {
        let switch = Host::new();
        let client = Host::new();
        let hosts = [("lb1", Host::new()), ("web1", Host::new()), ("web2", Host::new())];
        let all = [(200, &client), (2, &hosts[0].1), (11, &hosts[1].1), (12, &hosts[2].1)];
        let mut wire = "link add wire type bridge\nlink set wire up\n".to_owned();
        for (number, host) in all {
            let path = host.path();
            wire += &format!("link add p{number} type veth peer name eth0 netns {path}\nlink set p{number} master wire up\n");
        }
        switch.run(|| hand::feed("ip", "-batch -", &wire));
        for (number, host) in all {
            // Made before the device is up: no address is asked for, and replies that nobody expects are dropped.
            let lines = format!(
                "addr add 10.0.0.{number}/24 dev eth0\naddr add 2001:db8::{number}/64 dev eth0 nodad\nlink set eth0 up\n"
            );
            host.run(|| {
                std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").expect("strict");
                hand::feed("ip", "-batch -", &lines);
            });
        }
        for (number, (_, host)) in (1..).zip(&hosts[1..]) {
            host.run(|| {
                let listener = TcpListener::bind(("::", PORT)).expect("a port");
                thread::spawn(move || answer(&listener, number));
            });
        }
        let folder = std::env::temp_dir().join(format!("cluster-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("cluster.kdl"), topology).expect("our own file");
        Cluster { _switch: switch, client, hosts, folder }
    }

    /// `lvsform VERB cluster.kdl --host HOST MORE`, on that host.
    #[track_caller]
    fn lvsform(&self, host: usize, words: &[&str], code: i32) -> String {
        let (name, place) = &self.hosts[host];
        let records = self.folder.join(name);
        let done = place.run(|| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
            command.args(words).arg("--state-dir").arg(&records).current_dir(&self.folder).stdin(Stdio::null());
            command.output().expect("it starts")
        });
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(code), "{words:?} on {name}:\n{said}");
        said
    }

    /// What `ip` and the kernel say of a host.
    fn seen(&self, host: usize) -> String {
        let (_, place) = &self.hosts[host];
        place.run(|| {
            let ip = |words: &str| {
                let done = Command::new("ip").args(words.split(' ')).output().expect("ip");
                String::from_utf8_lossy(&done.stdout).into_owned()
            };
            let sysctl = |path: &str| std::fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{path}")).expect("a sysctl");
            // Devices that a module brings by itself stay with it.
            let devices: String = ip("-o addr")
                .lines()
                .map(|line| line.split(" valid_lft").next().unwrap_or_default().replace(" tentative", "") + "\n")
                .collect();
            devices
                + &["all/arp_ignore", "all/arp_announce", "eth0/rp_filter"].map(sysctl).concat()
                + &ip("fou show")
                + &ip("-6 fou show")
        })
    }

    /// Who answers so many connections, one after the other.
    fn ask(&self, vip: &str, times: usize) -> Vec<u32> {
        let to = SocketAddr::new(vip.parse::<IpAddr>().expect("an address"), PORT);
        self.client.run(|| {
            let once = |_| {
                let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap_or_else(|error| panic!("{to}: {error}"));
                stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
                let mut who = [0];
                stream.read_exact(&mut who).unwrap_or_else(|error| panic!("{to}: {error}"));
                u32::from(who[0])
            };
            (0..times).map(once).collect()
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The link address that follows a word of what `ip` says.
fn link_address(word: &str, words: &[&str]) -> String {
    let done = Command::new("ip").args(words).output().expect("ip");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    text.split(word).nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_owned()
}

/// Tells each client which server this is.
fn answer(listener: &TcpListener, number: u8) {
    for mut connection in listener.incoming().flatten() {
        let _ = connection.write_all(&[number]);
    }
}

fn works(name: &str, forward: &str, address: &str) {
    let address = if address.is_empty() { String::new() } else { format!(" address=\"{address}\"") };
    let topology = format!(
        "topology \"cluster\"\n\
         director \"lb1\" {{\n    interface \"eth0\" {{\n        address \"10.0.0.2/24\" \"2001:db8::2/64\"\n    }}\n}}\n\
         real-server \"web[1-2]\" {{\n    interface \"eth0\" {{\n        address \"10.0.0.[11-12]/24\" \"2001:db8::[11-12]/64\"\n    }}\n}}\n\
         vip \"shop\" {{\n    address \"{}\" \"{}\"\n}}\n\
         service \"shop\" scheduler=\"rr\" {{\n    listen vip=\"shop\" port={PORT}\n    forward {forward}\n    \
         server \"web[1-2]\"{address}\n}}\n",
        VIPS[0], VIPS[1]
    );
    let cluster = Cluster::new(name, &topology);
    // What modules bring by themselves is there before the first look.
    for module in ["ipip", "sit", "ip_gre", "ip6_gre", "ip6_tunnel"] {
        hand::run("modprobe", module);
    }
    let before: Vec<String> = (0..3).map(|host| cluster.seen(host)).collect();
    // The servers first: a director that is ready sends to them.
    for host in [1, 2, 0] {
        let (name, _) = cluster.hosts[host];
        cluster.lvsform(host, &["apply", "cluster.kdl", "--host", name, "--yes"], 0);
        cluster.lvsform(host, &["plan", "cluster.kdl", "--host", name, "--exit-code"], 0);
        cluster.lvsform(host, &["drift"], 0);
    }
    let director = cluster.hosts[0].1.run(|| link_address("link/ether ", &["link", "show", "eth0"]));
    for vip in VIPS {
        let answers = cluster.ask(vip, 20);
        assert_eq!([1, 2].map(|server| answers.iter().filter(|one| **one == server).count()), [10, 10], "{vip}: {answers:?}");
        let answered = cluster.client.run(|| link_address("lladdr ", &["neigh", "show", vip]));
        assert_eq!(answered, director, "who answers for {vip}");
    }
    for host in [0, 1, 2] {
        cluster.lvsform(host, &["destroy", "cluster", "--yes"], 0);
        assert_eq!(cluster.seen(host), before[host], "{}", cluster.hosts[host].0);
    }
}
