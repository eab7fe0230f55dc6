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

pub const VIPS: [&str; 2] = ["10.0.0.100", "2001:db8::100"];
pub const PORT: u16 = 8080;
/// A connection that takes so long has no server.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A way to a server.
pub struct Way {
    pub name: &'static str,
    /// What its service listens on.
    listen: &'static str,
    forward: &'static str,
    /// The servers' addresses, where the file says them.
    address: &'static str,
    pub needs: Needs,
}

/// What a kernel must have for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// `fou`, which User-Mode Linux has not.
    Gue,
    /// nftables, which User-Mode Linux has not.
    Nftables,
}

const PLAIN: &str = "listen vip=\"shop\" port=8080";
/// Servers listen on [`PORT`], whatever clients ask for.
const TRANSLATED: &str = "listen vip=\"shop\" port=80 server-port=8080";
const MARKED: &str = "listen fwmark=7 { match vip=\"shop\" port=8080; }";

const fn plain(name: &'static str, forward: &'static str, address: &'static str) -> Way {
    Way { name, listen: PLAIN, forward, address, needs: Needs::Nothing }
}

const fn gue(name: &'static str, forward: &'static str, address: &'static str) -> Way {
    Way { needs: Needs::Gue, ..plain(name, forward, address) }
}

const WAYS: [Way; 16] = [
    plain("dr", "forward \"dr\"", ""),
    plain("tun", "forward \"tun\"", ""),
    plain("tun_in_ipv4", "forward \"tun\"", "10.0.0.[11-12]"),
    plain("tun_in_ipv6", "forward \"tun\"", "2001:db8::[11-12]"),
    plain("gre_in_ipv4", "forward \"tun\" encap=\"gre\"", "10.0.0.[11-12]"),
    plain("gre_with_checksums", "forward \"tun\" encap=\"gre\" checksum=\"csum\"", "10.0.0.[11-12]"),
    plain("gre_in_ipv6", "forward \"tun\" encap=\"gre\"", "2001:db8::[11-12]"),
    gue("gue_in_ipv4", "forward \"tun\" encap=\"gue\" port=6080", "10.0.0.[11-12]"),
    gue("gue_with_checksums", "forward \"tun\" encap=\"gue\" port=6080 checksum=\"csum\"", "10.0.0.[11-12]"),
    gue("gue_in_ipv6", "forward \"tun\" encap=\"gue\" port=6080", "2001:db8::[11-12]"),
    // The client is in the servers' own subnet: without the way back they would answer it themselves.
    plain("nat", "forward \"nat\"", ""),
    Way { listen: TRANSLATED, ..plain("nat_to_another_port", "forward \"nat\"", "") },
    Way { needs: Needs::Nftables, ..plain("nat_with_snat", "forward \"nat\"; return-path \"snat\"", "") },
    Way { listen: MARKED, needs: Needs::Nftables, ..plain("nat_by_mark", "forward \"nat\"", "") },
    Way { listen: MARKED, needs: Needs::Nftables, ..plain("dr_by_mark", "forward \"dr\"", "") },
    Way { listen: MARKED, needs: Needs::Nftables, ..plain("tun_by_mark", "forward \"tun\"", "") },
];

/// `whole`: the kernel has gue and nftables, and is an emulated one: of the other ways it shows two every time.
pub fn tests(whole: bool) -> Vec<Trial> {
    let one = |way: &'static Way| {
        let test = test(format!("cluster::{}_reaches_both_servers_by_both_families", way.name), move |_| works(way));
        let often = way.needs == Needs::Nftables || matches!(way.name, "dr" | "gre_in_ipv6" | "gue_in_ipv4" | "nat");
        test.with_ignored_flag(whole && !often)
    };
    WAYS.iter().filter(|way| whole || way.needs == Needs::Nothing).map(one).collect()
}

pub struct Cluster {
    /// Held for the wire between the others.
    _switch: Host,
    pub client: Host,
    /// With the name that each has in the file.
    pub hosts: [(&'static str, Host); 3],
    folder: PathBuf,
}

impl Cluster {
    pub fn new(name: &str, topology: &str) -> Cluster {
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
    pub fn lvsform(&self, host: usize, words: &[&str], code: i32) -> String {
        let records = self.folder.join(self.hosts[host].0);
        let words: Vec<&str> = words.iter().copied().chain(["--state-dir", records.to_str().expect("a path of ours")]).collect();
        self.without_records(host, &words, code)
    }

    /// The same of a command that keeps none.
    #[track_caller]
    pub fn without_records(&self, host: usize, words: &[&str], code: i32) -> String {
        let (name, place) = &self.hosts[host];
        let done = place.run(|| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
            command.args(words).current_dir(&self.folder).stdin(Stdio::null());
            command.output().expect("it starts")
        });
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(code), "{words:?} on {name}:\n{said}");
        said
    }

    /// What `ip` and the kernel say of a host.
    pub fn seen(&self, host: usize) -> String {
        let (_, place) = &self.hosts[host];
        place.run(|| {
            let ip = |words: &str| {
                let done = Command::new("ip").args(words.split(' ')).output().expect("ip");
                String::from_utf8_lossy(&done.stdout).into_owned()
            };
            // A kernel without it has no rules either.
            let nft = || {
                let done = Command::new("nft").args(["list", "ruleset"]).output().expect("nft");
                String::from_utf8_lossy(&done.stdout).into_owned()
            };
            let sysctl = |path: &str| std::fs::read_to_string(format!("/proc/sys/net/ipv{path}")).expect("a sysctl");
            // Those of devices are there with them.
            let tunnels = || {
                let devices = std::fs::read_dir("/proc/sys/net/ipv4/conf").expect("sysctls").flatten();
                let ours =
                    devices.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name.contains('-'));
                ours.map(|name| sysctl(&format!("4/conf/{name}/rp_filter"))).collect::<String>()
            };
            // Without the numbers, which a device that is made anew has others of.
            let mut devices: Vec<String> = ip("-o addr")
                .lines()
                .map(|line| line.split(" valid_lft").next().unwrap_or_default().replace(" tentative", ""))
                .map(|line| line.split_once(": ").map_or(String::new(), |(_, rest)| rest.to_owned() + "\n"))
                .collect();
            devices.sort();
            devices.concat()
                + &["4/conf/all/arp_ignore", "4/conf/all/arp_announce", "4/conf/eth0/rp_filter", "6/conf/eth0/accept_redirects"]
                    .map(sysctl)
                    .concat()
                + &tunnels()
                + &ip("fou show")
                + &ip("-6 fou show")
                + &ip("rule show")
                + &ip("-6 rule show")
                + &ip("-4 route show table all proto 76")
                + &ip("-6 route show table all proto 76")
                + &nft()
        })
    }

    /// Who answers so many connections, one after the other.
    pub fn ask(&self, vip: &str, port: u16, times: usize) -> Vec<u32> {
        let to = SocketAddr::new(vip.parse::<IpAddr>().expect("an address"), port);
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

/// A way by its name.
pub fn way(name: &str) -> &'static Way {
    WAYS.iter().find(|way| way.name == name).expect("one of these")
}

/// One director and two servers, on one wire.
pub fn topology(way: &Way) -> String {
    let Way { name: _, listen, forward, address, needs: _ } = *way;
    let address = if address.is_empty() { String::new() } else { format!(" address=\"{address}\"") };
    format!(
        "topology \"cluster\"\n\
         director \"lb1\" {{\n    interface \"eth0\" {{\n        address \"10.0.0.2/24\" \"2001:db8::2/64\"\n    }}\n}}\n\
         real-server \"web[1-2]\" {{\n    interface \"eth0\" {{\n        address \"10.0.0.[11-12]/24\" \"2001:db8::[11-12]/64\"\n    }}\n}}\n\
         vip \"shop\" {{\n    address \"{}\" \"{}\"\n}}\n\
         service \"shop\" scheduler=\"rr\" {{\n    {listen}\n    {forward}\n    \
         server \"web[1-2]\"{address}\n}}\n",
        VIPS[0], VIPS[1]
    )
}

fn works(way: &Way) {
    let port = if way.listen == TRANSLATED { 80 } else { PORT };
    let cluster = Cluster::new(way.name, &topology(way));
    // What modules bring by themselves is there before the first look.
    for module in ["ipip", "sit", "ip_gre", "ip6_gre", "ip6_tunnel"] {
        hand::run("modprobe", module);
    }
    let before: Vec<String> = (0..3).map(|host| cluster.seen(host)).collect();
    // The client remembers another host, which is gone.
    for vip in VIPS {
        let was = format!("neigh replace {vip} lladdr 02:00:00:00:00:99 dev eth0 nud stale");
        cluster.client.run(|| hand::run("ip", &was));
    }
    // The servers first: a director that is ready sends to them.
    for host in [1, 2, 0] {
        let (name, _) = cluster.hosts[host];
        cluster.lvsform(host, &["apply", "cluster.kdl", "--host", name, "--yes"], 0);
        cluster.lvsform(host, &["plan", "cluster.kdl", "--host", name, "--exit-code"], 0);
        cluster.lvsform(host, &["drift"], 0);
    }
    let director = cluster.hosts[0].1.run(|| link_address("link/ether ", &["link", "show", "eth0"]));
    for vip in VIPS {
        let told = || cluster.client.run(|| link_address("lladdr ", &["neigh", "show", vip]));
        hand::until("the client has heard where the VIP is", || told() == director);
        let answers = cluster.ask(vip, port, 20);
        assert_eq!([1, 2].map(|server| answers.iter().filter(|one| **one == server).count()), [10, 10], "{vip}: {answers:?}");
        let answered = cluster.client.run(|| link_address("lladdr ", &["neigh", "show", vip]));
        assert_eq!(answered, director, "who answers for {vip}");
    }
    for host in [0, 1, 2] {
        let said = cluster.lvsform(host, &["destroy", "cluster", "--yes"], 0);
        // A real server's connections are in nobody's table.
        let uncounted = host == 0 || said.contains("none that IPVS counts, and those") || said.contains("Nothing to give back");
        assert!(uncounted, "{said}");
        assert_eq!(cluster.seen(host), before[host], "{}", cluster.hosts[host].0);
    }
}
