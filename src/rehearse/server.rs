//! Servers: they listen where real servers would, and say to each client who they are.
//!
//! A request is `LVSF`, a number, how many bytes follow and how many are wanted back; the answer is the number, the place of
//! the seat, and those bytes. One thread for each host serves all that listens there. A socket is bound to its own address, so
//! that what is sent back by udp comes from the VIP; it may be bound before the address is there.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};

use super::Failure;
use super::net::Namespace;
use super::trial::Seat;
use crate::state::{Family, Protocol};

/// How a request begins.
pub const MAGIC: [u8; 4] = *b"LVSF";
/// `LVSF`, its number, bytes that follow, bytes that are wanted: each four bytes, the highest first.
pub const REQUEST: usize = 16;
/// The request's number and the seat's, each four bytes.
pub const ANSWER: usize = 8;
/// How long a client that takes nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What servers saw: the seat that each request came to, by its number, and who sent it.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<(Mutex<BySeat>, Condvar)>);

/// By the request's number.
type BySeat = BTreeMap<u32, (usize, SocketAddr)>;

impl Seen {
    fn add(&self, number: u32, seat: usize, peer: SocketAddr) {
        let (map, changed) = &*self.0;
        map.lock().unwrap_or_else(PoisonError::into_inner).insert(number, (seat, peer));
        changed.notify_all();
    }

    /// Which seat a request came to, and who sent it; waits a while for those that are under way.
    pub fn of(&self, number: u32, patience: Duration) -> Option<(usize, SocketAddr)> {
        let (map, changed) = &*self.0;
        let map = map.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(map, patience, |map| !map.contains_key(&number));
        let (map, _) = waited.unwrap_or_else(PoisonError::into_inner);
        map.get(&number).copied()
    }
}

/// The servers of a host. Dropping them ends them.
#[derive(Debug)]
pub struct Servers {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts the servers of a host, each seat with its number.
pub fn start(namespace: &Namespace, seats: &[(usize, Seat)], seen: &Seen) -> Result<Servers, Failure> {
    let failed = |error: std::io::Error| Failure::new("start a server", &error);
    let (stop, stopped) = UnixStream::pair().map_err(failed)?;
    let sockets = namespace.run(|| seats.iter().map(|(number, seat)| open(*number, seat)).collect::<Result<Vec<_>, _>>())?;
    let seen = seen.clone();
    let serve = move || serve(&sockets, &stopped, &seen);
    let thread = std::thread::Builder::new().stack_size(128 * 1024).spawn(serve).map_err(failed)?;
    Ok(Servers { stop: Some(stop), thread: Some(thread) })
}

enum Socket {
    Stream(usize, TcpListener),
    Datagram(usize, UdpSocket),
}

/// Opens a socket in the calling thread's namespace, where a client's or a server's own address may not be there yet.
pub fn bound(protocol: Protocol, address: SocketAddr) -> nix::Result<OwnedFd> {
    let family = match Family::of(address.ip()) {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    };
    let (kind, protocol) = match protocol {
        Protocol::Udp => (SockType::Datagram, None),
        Protocol::Sctp => (SockType::Stream, Some(SockProtocol::Sctp)),
        _ => (SockType::Stream, None),
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol)?;
    let _ = setsockopt(&socket, sockopt::IpFreebind, &true);
    let _ = setsockopt(&socket, sockopt::ReuseAddr, &true);
    bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &SockaddrStorage::from(address))?;
    Ok(socket)
}

fn open(number: usize, seat: &Seat) -> Result<Socket, Failure> {
    let failed = |errno: nix::Error| {
        Failure(format!("cannot listen on {} {} of {}: {}", seat.protocol, seat.address, seat.host, errno.desc()))
    };
    let socket = bound(seat.protocol, seat.address).map_err(failed)?;
    if seat.protocol == Protocol::Udp {
        let socket = UdpSocket::from(socket);
        let _ = socket.set_nonblocking(true);
        return Ok(Socket::Datagram(number, socket));
    }
    listen(&socket, Backlog::new(256).unwrap_or(Backlog::MAXCONN)).map_err(failed)?;
    let listener = TcpListener::from(socket);
    let _ = listener.set_nonblocking(true);
    Ok(Socket::Stream(number, listener))
}

/// A client that has connected, and what it has said so far.
struct Guest {
    seat: usize,
    stream: TcpStream,
    peer: SocketAddr,
    said: Vec<u8>,
    /// Bytes of filler that are still to come before it is answered.
    owes: usize,
}

fn serve(sockets: &[Socket], stopped: &UnixStream, seen: &Seen) {
    let mut guests: Vec<Guest> = Vec::new();
    loop {
        let ready = {
            let fds = sockets.iter().map(Socket::fd).chain(guests.iter().map(|guest| guest.stream.as_fd()));
            let mut polled: Vec<PollFd> =
                std::iter::once(stopped.as_fd()).chain(fds).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(_) => return,
            }
            polled.iter().map(|fd| fd.any().unwrap_or(false)).collect::<Vec<bool>>()
        };
        let [stop, rest @ ..] = ready.as_slice() else { return };
        if *stop {
            return;
        }
        let (of_sockets, of_guests) = rest.split_at(sockets.len().min(rest.len()));
        let mut ready = of_guests.iter();
        guests.retain_mut(|guest| !*ready.next().unwrap_or(&false) || hear(guest, seen));
        for socket in sockets.iter().zip(of_sockets).filter_map(|(socket, ready)| ready.then_some(socket)) {
            match socket {
                Socket::Stream(seat, listener) => guests.extend(welcome(*seat, listener)),
                Socket::Datagram(seat, socket) => reply(*seat, socket, seen),
            }
        }
    }
}

impl Socket {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Stream(_, listener) => listener.as_fd(),
            Socket::Datagram(_, socket) => socket.as_fd(),
        }
    }
}

fn welcome(seat: usize, listener: &TcpListener) -> Option<Guest> {
    let (stream, peer) = listener.accept().ok()?;
    let _ = (stream.set_nonblocking(false), stream.set_write_timeout(Some(PATIENCE)), stream.set_read_timeout(Some(PATIENCE)));
    Some(Guest { seat, stream, peer, said: Vec::new(), owes: REQUEST })
}

/// Takes what a client says. Returns whether it stays.
fn hear(guest: &mut Guest, seen: &Seen) -> bool {
    let mut buffer = [0; 16 * 1024];
    let Ok(read @ 1..) = guest.stream.read(&mut buffer) else { return false };
    if guest.said.len() < REQUEST {
        guest.said.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let Some(request) = Request::read(&guest.said) else { return guest.said.len() < REQUEST };
        seen.add(request.number, guest.seat, guest.peer);
        guest.owes = request.follow.saturating_sub(guest.said.len() - REQUEST);
    } else {
        guest.owes = guest.owes.saturating_sub(read);
    }
    match Request::read(&guest.said) {
        Some(request) if guest.owes == 0 => {
            (guest.said, guest.owes) = (Vec::new(), REQUEST); // it may stay, and ask again
            guest.stream.write_all(&request.answer(guest.seat)).is_ok()
        }
        _ => true,
    }
}

fn reply(seat: usize, socket: &UdpSocket, seen: &Seen) {
    let mut buffer = [0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        let said = buffer.get(..length).unwrap_or_default();
        let start = said.windows(MAGIC.len()).position(|window| window == MAGIC).unwrap_or(0);
        let Some(request) = Request::read(said.get(start..).unwrap_or_default()) else { continue };
        seen.add(request.number, seat, peer);
        let _ = socket.send_to(&request.answer(seat), peer);
    }
}

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Never the same twice.
    pub number: u32,
    /// bytes after it
    pub follow: usize,
    /// bytes of the answer, after its head
    pub want: usize,
}

impl Request {
    /// As it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let word = |number: usize| u32::try_from(number).unwrap_or(0).to_be_bytes();
        let mut bytes: Vec<u8> = [MAGIC, self.number.to_be_bytes(), word(self.follow), word(self.want)].concat();
        bytes.resize(REQUEST + self.follow, b'.');
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Request> {
        let word = |at: usize| bytes.get(at..at + 4).and_then(|word| <[u8; 4]>::try_from(word).ok());
        (word(0)? == MAGIC).then_some(())?;
        let number = |at: usize| word(at).map(u32::from_be_bytes);
        Some(Request { number: number(4)?, follow: number(8)? as usize, want: (number(12)? as usize).min(1 << 20) })
    }

    fn answer(&self, seat: usize) -> Vec<u8> {
        let mut bytes = [self.number.to_be_bytes(), u32::try_from(seat).unwrap_or(u32::MAX).to_be_bytes()].concat();
        bytes.resize(ANSWER + self.want, b'.');
        bytes
    }
}
