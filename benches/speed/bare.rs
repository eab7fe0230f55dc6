//! The bare loop: the same messages as `lvsform` sends, written by hand into as few sends as the socket takes, and dumps
//! that nobody decodes. It is the floor that netlink sets, not an implementation to copy: it checks nothing but that the
//! kernel acknowledged.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

use super::Outcomes;

/// Messages of one send; the same bound that `lvsform` keeps.
const BATCH: usize = 1_000;
const ACK: u8 = 4;
const DUMP: u16 = 0x300;

/// How long the two loops took.
pub struct Bare {
    pub write: Duration,
    pub read: Duration,
}

/// The address of a VIP.
pub fn vip(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 1, 0, 1).to_bits() + u32::try_from(number).unwrap_or_default())
}

/// The address of a server.
pub fn server(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 2, 0, 1).to_bits() + u32::try_from(number).unwrap_or_default())
}

/// Makes `size` services with `servers` servers each, then dumps them all.
pub fn write(size: usize, ports: usize, servers: usize) -> Outcomes<Bare> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(4 << 20))?;
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::SndBuf, &(1 << 20))?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let family = family(&socket)?;
    let keys: Vec<Vec<u8>> = (0..size).map(|number| key(vip(number / ports), 1_000 + number % ports)).collect();

    // Made beforehand: the loop measures the kernel, not this file's way of putting bytes together.
    let services = keys.iter().map(|key| message(family, 1, 1, &[nested(1, &[key.as_slice(), &settings()].concat())]));
    let destinations = keys.iter().enumerate().flat_map(|(number, key)| {
        (0..servers)
            .map(move |of| message(family, 5, 1, &[nested(1, key), nested(2, &destination(server(of), 1_000 + number % ports))]))
    });
    let mut sends = batches(services);
    sends.extend(batches(destinations));

    let start = Instant::now();
    for send in &sends {
        socket.send(send, 0)?;
        let mut buffer = [0; 4_096];
        let length = socket.recv(&mut &mut buffer[..], 0)?;
        if length < 20 || buffer[16..20] != [0; 4] {
            return Err("the kernel refused a message of the bare loop".into());
        }
    }
    let write = start.elapsed();

    let start = Instant::now();
    let mut bytes = 0;
    let mut buffer = vec![0; 65_536];
    bytes += dump(&socket, &message(family, 4, DUMP | 1, &[]), &mut buffer)?;
    for key in &keys {
        bytes += dump(&socket, &message(family, 8, DUMP | 1, &[nested(1, key)]), &mut buffer)?;
    }
    let read = start.elapsed();
    if bytes < size * servers * 50 {
        return Err(format!("the dumps hold only {bytes} bytes").into());
    }
    Ok(Bare { write, read })
}

/// Messages put together into sends, an acknowledgement asked of the last of each.
fn batches(messages: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let messages: Vec<Vec<u8>> = messages.collect();
    let sends = messages.chunks(BATCH).map(|chunk| {
        let mut send = chunk.concat();
        let last = send.len() - chunk.last().map_or(0, Vec::len);
        send[last + 6] |= ACK;
        send
    });
    sends.collect()
}

/// Sends one dump request and counts the bytes of its answer.
fn dump(socket: &Socket, request: &[u8], buffer: &mut [u8]) -> Outcomes<usize> {
    socket.send(request, 0)?;
    let mut bytes = 0;
    loop {
        let length = socket.recv(&mut &mut *buffer, 0)?;
        bytes += length;
        // NLMSG_DONE ends a dump; it stands alone or last.
        let mut at = 0;
        while at + 16 <= length {
            let size = usize::try_from(u32::from_ne_bytes(buffer[at..at + 4].try_into()?))?;
            if u16::from_ne_bytes(buffer[at + 4..at + 6].try_into()?) == 3 {
                return Ok(bytes);
            }
            at += size.next_multiple_of(4).max(16);
        }
    }
}

fn family(socket: &Socket) -> Outcomes<u16> {
    const CONTROLLER: u16 = 16;
    socket.send(&message(CONTROLLER, 3, 1, &[attribute(2, b"IPVS\0")]), 0)?;
    let mut buffer = [0; 4_096];
    let length = socket.recv(&mut &mut buffer[..], 0)?;
    let mut at = 20;
    while at + 4 <= length {
        let size = usize::from(u16::from_ne_bytes([buffer[at], buffer[at + 1]]));
        if u16::from_ne_bytes([buffer[at + 2], buffer[at + 3]]) == 1 {
            return Ok(u16::from_ne_bytes([buffer[at + 4], buffer[at + 5]]));
        }
        at += size.next_multiple_of(4).max(4);
    }
    Err("the kernel has no IPVS".into())
}

fn key(address: Ipv4Addr, port: usize) -> Vec<u8> {
    let port = u16::try_from(port).unwrap_or_default();
    [
        attribute(1, &2_u16.to_ne_bytes()),
        attribute(2, &6_u16.to_ne_bytes()),
        attribute(3, &address.octets()),
        attribute(4, &port.to_be_bytes()),
    ]
    .concat()
}

fn settings() -> Vec<u8> {
    [attribute(6, b"wrr\0"), attribute(7, &[0, 0, 0, 0, 0x3d, 0, 0, 0]), attribute(8, &[0; 4]), attribute(9, &[0xff; 4])].concat()
}

fn destination(address: Ipv4Addr, port: usize) -> Vec<u8> {
    let port = u16::try_from(port).unwrap_or_default();
    [
        attribute(1, &address.octets()),
        attribute(2, &port.to_be_bytes()),
        attribute(3, &3_u32.to_ne_bytes()),
        attribute(4, &100_u32.to_ne_bytes()),
        attribute(5, &[0; 4]),
        attribute(6, &[0; 4]),
        attribute(11, &2_u16.to_ne_bytes()),
    ]
    .concat()
}

fn message(family: u16, command: u8, flags: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    let body: usize = attributes.iter().map(Vec::len).sum();
    let mut bytes = u32::try_from(20 + body).unwrap_or_default().to_ne_bytes().to_vec();
    bytes.extend(family.to_ne_bytes());
    bytes.extend((flags | 1).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([command, 1, 0, 0]);
    bytes.extend(attributes.iter().flatten());
    bytes
}

fn nested(kind: u16, attributes: &[u8]) -> Vec<u8> {
    attribute(kind | 0x8000, attributes)
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(4 + value.len()).unwrap_or_default().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
