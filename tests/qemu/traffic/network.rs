//! Three hosts, each a network namespace: a client, a director behind it, and behind that one host which is all real servers.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::hand;
use crate::host::Host;

/// Where clients go.
pub const VIP: [u8; 4] = [10, 0, 1, 100];
/// The last bytes of the client's addresses in 10.0.1.0/24.
pub const CLIENTS: std::ops::Range<u8> = 2..12;
/// The last bytes of the servers' addresses in 10.0.2.0/24.
const SERVERS: std::ops::Range<u8> = 11..250;
/// Where every server listens.
pub const SERVER_PORT: u16 = 8080;
/// A connection that says nothing for so long has no client any more.
const IDLE: Duration = Duration::from_mins(2);
/// What the thread of one connection needs.
const STACK: usize = 128 << 10;

/// The three of them, with the servers listening.
pub struct Network {
    pub client: Host,
    pub director: Host,
    _servers: Host,
}

impl Network {
    /// `10.0.1.0/24` is the side of the client, `10.0.2.0/24` that of the servers. There is no VIP yet.
    pub fn new() -> Network {
        let [client, director, servers] = [Host::new(), Host::new(), Host::new()];
        let lines = format!(
            "link add front type veth peer name eth0 netns {}\nlink add back type veth peer name eth0 netns {}\n\
             addr add 10.0.1.1/24 dev front\naddr add 10.0.2.1/24 dev back\nlink set front up\nlink set back up\n",
            client.path(),
            servers.path()
        );
        director.run(|| {
            hand::feed("ip", "-batch -", &lines);
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("a router");
        });
        let addresses = |net: u8, hosts: std::ops::Range<u8>| -> String {
            let mut lines = String::new();
            for host in hosts {
                let _ = writeln!(lines, "addr add 10.0.{net}.{host}/24 dev eth0");
            }
            lines
        };
        client.run(|| hand::feed("ip", "-batch -", &format!("{}link set eth0 up\n", addresses(1, CLIENTS))));
        servers.run(|| {
            let lines = format!("{}link set eth0 up\nroute add default via 10.0.2.1\n", addresses(2, SERVERS));
            hand::feed("ip", "-batch -", &lines);
            let listener = TcpListener::bind(("0.0.0.0", SERVER_PORT)).expect("a port");
            thread::spawn(move || listen(&listener));
        });
        Network { client, director, _servers: servers }
    }
}

fn listen(listener: &TcpListener) {
    for connection in listener.incoming().flatten() {
        thread::Builder::new().stack_size(STACK).spawn(move || echo(connection)).expect("a thread");
    }
}

/// Answers each byte with that byte and the last one of the server's address.
fn echo(mut connection: TcpStream) {
    let Ok(SocketAddr::V4(here)) = connection.local_addr() else { return };
    let [.., server] = here.ip().octets();
    let _ = connection.set_nodelay(true);
    let _ = connection.set_read_timeout(Some(IDLE));
    let mut byte = [0];
    while let Ok(1) = connection.read(&mut byte) {
        let [byte] = byte;
        if connection.write_all(&[byte, server]).is_err() {
            return;
        }
    }
}
