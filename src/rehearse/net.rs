//! The network itself: a namespace for each host, one for the wires, one for the router, one for the client.
//!
//! Namespaces have no names: they live as long as this process holds them open, so that nothing is left behind however it
//! ends. Devices and addresses are made by `ip -batch`, a run for each namespace.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use ipnet::IpNet;
use nix::sched::{CloneFlags, setns, unshare};

use super::Failure;
use super::layout::{ByHand, Layout, NextHop, Plug, USUAL_MTU};
use crate::kernel::netns;
use crate::state::Family;

/// bytes; wires carry whatever their ends send
const WIRE_MTU: u32 = 65_535;

/// A network namespace.
#[derive(Debug)]
pub struct Namespace {
    file: File,
    /// The kernel's number of it.
    pub cookie: u64,
}

impl Namespace {
    /// A new one that forwards nothing. `reverse_path`: what `rp_filter` is.
    fn new(reverse_path: &'static str) -> Result<Namespace, Failure> {
        let open = || -> Result<Namespace, Failure> {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| Failure::new("make a network namespace", &errno))?;
            let file =
                File::open("/proc/thread-self/ns/net").map_err(|error| Failure::new("open a network namespace", &error))?;
            let cookie = netns::cookie().map_err(|errno| Failure::new("ask for a namespace's number", &errno))?;
            Ok(Namespace { file, cookie })
        };
        let namespace = thread::scope(|scope| scope.spawn(open).join().unwrap_or_else(|panic| resume_unwind(panic)))?;
        namespace.run(|| {
            // Forwarding first: it gives the others their values for hosts.
            for (path, value) in [
                ("ipv4/ip_forward", "0"),
                ("ipv6/conf/all/forwarding", "0"),
                ("ipv4/conf/all/rp_filter", reverse_path),
                ("ipv4/conf/default/rp_filter", reverse_path),
                ("ipv4/conf/all/arp_ignore", "0"),
                ("ipv4/conf/all/arp_announce", "0"),
                ("ipv4/conf/default/accept_redirects", "1"),
                ("ipv6/conf/default/disable_ipv6", "0"),
                ("ipv6/conf/all/disable_ipv6", "0"),
                // Addresses are there at once.
                ("ipv6/conf/default/dad_transmits", "0"),
                ("ipv6/conf/default/accept_ra", "0"),
                ("ipv4/ping_group_range", "0 2147483647"),
            ] {
                let _ = sysctl(path, value);
            }
        });
        Ok(namespace)
    }

    /// Does something in it: in a thread that has entered it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter_and_work = || {
            let _entered = self.enter();
            work()
        };
        thread::scope(|scope| scope.spawn(enter_and_work).join().unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// Moves the calling thread into it, for good.
    pub fn enter(&self) -> Result<(), nix::Error> {
        setns(&self.file, CloneFlags::CLONE_NEWNET)
    }

    /// As `ip` takes it for the name of a namespace.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Has `ip` do these lines; none may fail.
    pub fn ip(&self, lines: &str) -> Result<(), Failure> {
        self.run(|| build(lines))
    }

    /// What `ip` says, empty where it cannot.
    pub fn ip_says(&self, words: &str) -> String {
        self.program_says("ip", words)
    }

    /// What a program says, empty where it is not there.
    pub fn program_says(&self, name: &str, words: &str) -> String {
        self.run(|| {
            let Some(program) = program(name) else { return String::new() };
            let output = Command::new(program).args(words.split(' ')).stdin(Stdio::null()).output();
            let output = output.map(|output| if output.status.success() { output.stdout } else { output.stderr });
            output.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
        })
    }

    /// What a file below the namespace's `/proc/net` or `/proc/sys/net` holds; empty where it is not there.
    pub fn proc(&self, path: &str) -> String {
        self.run(|| {
            let file = if path.starts_with("sys/") { format!("/proc/{path}") } else { format!("/proc/thread-self/net/{path}") };
            std::fs::read_to_string(file).unwrap_or_default()
        })
    }
}

/// Everything that is built.
#[derive(Debug)]
pub struct Net {
    /// Held for the wires.
    _wires: Namespace,
    /// Between the segments.
    pub router: Namespace,
    /// Behind the router.
    pub client: Namespace,
    /// By their names in the file.
    pub hosts: BTreeMap<String, Namespace>,
    /// Whose each link address is.
    pub link_addresses: BTreeMap<String, String>,
}

impl Net {
    /// Builds a layout.
    pub fn build(layout: &Layout) -> Result<Net, Failure> {
        // Replies of dr and tun come from where nobody sends requests for their source: routers of the net let that pass.
        let (wires, router, client) = (Namespace::new("0")?, Namespace::new("0")?, Namespace::new("0")?);
        let mut hosts = BTreeMap::new();
        for name in layout.hosts.keys() {
            // The strictest that a distribution sets, and what its documentation says for packets that come off the way.
            let is_off = layout.hosts.get(name).is_some_and(|plan| !plan.off_way.is_empty());
            hosts.insert(name.clone(), Namespace::new(if is_off { "2" } else { "1" })?);
        }
        let mut link_addresses = BTreeMap::new();
        let mut lines = String::new();
        for at in 0..layout.segments.len() {
            let _ = writeln!(lines, "link add s{at} mtu {WIRE_MTU} type bridge mcast_snooping 0\nlink set s{at} up");
        }
        let mut port = 0_u32;
        let mut plug = |lines: &mut String, name: &str, mtu: u32, segment: usize, namespace: &Namespace| {
            let [_, _, high, low] = port.to_be_bytes();
            let address = format!("02:6c:76:73:{high:02x}:{low:02x}");
            // One segment of tcp in one packet, as on a wire: otherwise a packet that is too large would be cut on its way.
            let _ = writeln!(
                lines,
                "link add p{port} mtu {WIRE_MTU} type veth peer name {name} address {address} mtu {mtu} gso_max_segs 1 netns {}\n\
                 link set p{port} master s{segment} up",
                namespace.path()
            );
            port += 1;
            address
        };
        for (at, segment) in layout.segments.iter().enumerate() {
            plug(&mut lines, &format!("net{at}"), segment.mtu, at, &router);
        }
        for (host, plan) in &layout.hosts {
            for Plug { name, segment, mtu, .. } in &plan.plugs {
                plain(name)?;
                if let (Some(segment), Some(namespace)) = (segment, hosts.get(host)) {
                    link_addresses.insert(plug(&mut lines, name, *mtu, *segment, namespace), host.clone());
                }
            }
        }
        let _ = writeln!(
            lines,
            "link add clients netns {} mtu {USUAL_MTU} type veth peer name eth0 mtu {USUAL_MTU} gso_max_segs 1 netns {}",
            router.path(),
            client.path()
        );
        wires.ip(&lines)?;
        let net = Net { _wires: wires, router, client, hosts, link_addresses };
        net.address(layout)?;
        Ok(net)
    }

    /// Addresses and routes.
    fn address(&self, layout: &Layout) -> Result<(), Failure> {
        let mut lines = LO.to_owned();
        for (at, segment) in layout.segments.iter().enumerate() {
            let beside = |net: &IpNet| net.addr().to_string() == BESIDE;
            if !segment.router.iter().any(beside) {
                let _ = writeln!(lines, "address add {BESIDE}/64 dev net{at} nodad");
            }
            addresses(&mut lines, &format!("net{at}"), &segment.router);
            for host in &segment.alone {
                let _ = writeln!(lines, "route add {host} dev net{at}");
            }
        }
        addresses(&mut lines, "clients", &layout.client.map(|client| client.router));
        for client in layout.client {
            let _ = writeln!(lines, "route add {} via {}", client.sources, client.address.addr());
        }
        for (vip, hops) in &layout.vip_routes {
            if let Some((_, hop)) = hops.first() {
                let _ = writeln!(lines, "route add {} via {hop}", IpNet::from(*vip));
            }
        }
        self.router.ip(&lines)?;
        self.router.run(|| {
            let _ = (sysctl("ipv4/ip_forward", "1"), sysctl("ipv6/conf/all/forwarding", "1"));
        });
        let mut lines = LO.to_owned();
        addresses(&mut lines, "eth0", &layout.client.map(|client| client.address));
        for client in layout.client {
            let _ = writeln!(lines, "route add default via {}\nroute add local {} dev lo", client.router.addr(), client.sources);
        }
        self.client.ip(&lines)?;
        for (host, plan) in &layout.hosts {
            let Some(namespace) = self.hosts.get(host) else { continue };
            let mut lines = LO.to_owned();
            for plug in &plan.plugs {
                addresses(&mut lines, &plug.name, &plug.addresses);
            }
            for NextHop { address, device } in &plan.defaults {
                let by = device.as_ref().map_or_else(String::new, |device| format!(" dev {device} onlink"));
                let _ = writeln!(lines, "route add default via {address}{by}");
            }
            if let Some((family, device)) = &plan.without {
                // Of `default` alone the gateway's family would be taken.
                let way = if *family == Family::Ipv4 { "0.0.0.0/0 via inet6" } else { "default via" };
                let _ = writeln!(lines, "route add {way} {BESIDE} dev {device}");
            }
            let by_hand = || layout.by_hand.iter().filter(|placed| placed.director == *host);
            if by_hand().any(|placed| placed.interface.is_none()) {
                let _ = writeln!(lines, "link add {BY_HAND} type dummy");
            }
            for placed in by_hand() {
                lines.push_str(&place(placed));
            }
            namespace.ip(&lines).map_err(|Failure(said)| Failure(format!("{host}: {said}")))?;
        }
        Ok(())
    }

    /// The line that makes a device for what is placed beside every interface, where that host has none yet.
    fn device_by_hand(&self, placed: &ByHand) -> String {
        let is_device = |line: &str| line.trim().split(':').next() == Some(BY_HAND);
        let has = self.hosts.get(&placed.director).is_some_and(|of| of.proc("dev").lines().any(is_device));
        if placed.interface.is_some() || has { String::new() } else { format!("link add {BY_HAND} type dummy\n") }
    }

    /// Places what something else than `lvsform` places where it is now, and takes it from where it was.
    pub fn place_by_hand(&self, before: &[ByHand], now: &[ByHand]) -> Result<(), Failure> {
        let on = |placed: &ByHand, lines: &str| {
            let namespace = self.hosts.get(&placed.director);
            namespace.map_or(Ok(()), |namespace| namespace.ip(lines))
        };
        for placed in before.iter().filter(|placed| !now.contains(placed)) {
            let ByHand { address, interface, .. } = placed;
            let device = interface.as_deref().unwrap_or(BY_HAND);
            on(placed, &format!("address del {} dev {device}\n", IpNet::from(*address)))?;
        }
        for placed in now.iter().filter(|placed| !before.contains(placed)) {
            on(placed, &(self.device_by_hand(placed) + &place(placed)))?;
            // What places it says so to the neighbours: here they forget who had it.
            for neighbour in self.hosts.values().chain([&self.router]) {
                neighbour.ip_says(&format!("neigh flush to {}", placed.address));
            }
        }
        Ok(())
    }

    /// Marks packets of tcp on a host, as something does that is not in the file.
    pub fn mark(&self, host: &str, marks: &[(SocketAddr, u32)]) -> Result<(), Failure> {
        let Some(namespace) = self.hosts.get(host) else { return Ok(()) };
        let mut rules = String::new();
        for (target, mark) in marks {
            let family = if target.is_ipv4() { "ip" } else { "ip6" };
            let _ = writeln!(rules, "{family} daddr {} tcp dport {} meta mark set {mark}", target.ip(), target.port());
        }
        let table = format!(
            "table inet lvsform-rehearse-marks {{ chain marks {{ type filter hook prerouting priority mangle;\n{rules}}}\n}}\n"
        );
        namespace
            .run(|| feed("nft", "nftables", &["-f", "-"], &table))
            .map_err(|said| Failure(format!("cannot put marks on packets: {said}; a kernel with nftables can: `--kernel qemu`")))
    }

    /// Leads a routed VIP to another of its directors.
    pub fn lead(&self, vip: IpAddr, hop: IpAddr) -> Result<(), Failure> {
        self.router.ip(&format!("route replace {} via {hop}\n", IpNet::from(vip)))
    }
}

impl Drop for Namespace {
    /// A kernel like 6.1 waits for ever for an interface of a namespace that ends while its `lo` holds a route of IPVS: every
    /// other program that makes or deletes an interface then waits too. When `lo` goes down it lets go.
    fn drop(&mut self) {
        let down = || -> Option<()> {
            let _: () = self.enter().ok()?;
            Command::new(program("ip")?).args(["link", "set", "lo", "down"]).stdin(Stdio::null()).output().ok().map(drop)
        };
        thread::scope(|scope| {
            let _ = scope.spawn(down).join();
        });
    }
}

impl Drop for Net {
    /// Locks of these namespaces are nobody's any more: a number is never given twice.
    fn drop(&mut self) {
        for namespace in self.hosts.values() {
            let _ = std::fs::remove_file(Path::new(LOCKS).join(namespace.cookie.to_string()));
        }
    }
}

/// The router's address on every wire, for hosts that have none of a family.
const BESIDE: &str = "fe80::1";

/// Where VIPs are that something else places, and no interface is named for.
const BY_HAND: &str = "by-hand";

/// The lines that place what something else than `lvsform` places.
fn place(ByHand { address, interface, .. }: &ByHand) -> String {
    let device = interface.as_deref().unwrap_or(BY_HAND);
    format!("address add {} dev {device}{}\nlink set {device} up\n", IpNet::from(*address), nodad(*address))
}

/// Every host has it.
const LO: &str = "link set lo up\n";

/// Where `apply` locks a namespace, by its number.
const LOCKS: &str = "/run/lvsform/lock";

fn addresses(lines: &mut String, device: &str, addresses: &[IpNet]) {
    for address in addresses {
        let _ = writeln!(lines, "address add {address} dev {device}{}", nodad(address.addr()));
    }
    let _ = writeln!(lines, "link set {device} up");
}

fn nodad(address: IpAddr) -> &'static str {
    if Family::of(address) == Family::Ipv6 { " nodad" } else { "" }
}

/// A name that a line of `ip -batch` can hold as it is.
fn plain(name: &str) -> Result<(), Failure> {
    let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '@'));
    if fits { Ok(()) } else { Err(Failure(format!("cannot rehearse a host with an interface `{name}`: give it a plain name"))) }
}

/// Writes a sysctl of the calling thread's namespace.
fn sysctl(path: &str, value: &str) -> std::io::Result<()> {
    std::fs::write(Path::new("/proc/sys/net").join(path), value)
}

fn program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].into_iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

/// Gives lines to `ip -batch` in the calling thread's namespace.
fn build(lines: &str) -> Result<(), Failure> {
    feed("ip", "iproute2", &["-batch", "-"], lines).map_err(|said| {
        let number = said.rsplit(':').next().and_then(|number| number.trim().parse::<usize>().ok());
        let line = number.and_then(|number| lines.lines().nth(number.saturating_sub(1))).unwrap_or_default();
        Failure(format!("cannot build the network: {said} ({line})"))
    })
}

/// Runs a program with lines on its standard input, in the calling thread's namespace; what it says where it fails.
fn feed(name: &str, package: &str, words: &[&str], lines: &str) -> Result<(), String> {
    let program = program(name).ok_or_else(|| format!("there is no `{name}` here: install the package {package}"))?;
    let failed = |error: std::io::Error| format!("{name}: {error}");
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut input = child.stdin.take();
    let written = input.as_mut().map_or(Ok(()), |input| input.write_all(lines.as_bytes()));
    drop(input);
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() && written.is_ok() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "))
}
