//! Clients: each connection comes from an address and a port that were chosen before, and waits for its answer for a while.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{SockaddrStorage, connect, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::server::{ANSWER, Request, bound};
use crate::state::Protocol;

/// What one client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Where it comes from.
    pub from: SocketAddr,
    /// What it asks for.
    pub to: SocketAddr,
    /// tcp, udp or sctp
    pub protocol: Protocol,
    /// What it says.
    pub request: Request,
    /// Text before what it says, for persistence by SIP.
    pub preface: String,
    /// How long it waits for each of connection and answer.
    pub patience: Duration,
    /// Whether it waits for an answer at all.
    pub answered: bool,
}

/// What came of a call.
#[derive(Debug)]
pub struct Answer {
    /// The number of the seat that answered.
    pub seat: Option<usize>,
    /// Where it got stuck.
    pub failed: Option<Stuck>,
    /// The connection, where it is still open.
    pub open: Option<TcpStream>,
}

/// Where a call got stuck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// It could not even begin.
    Here(String),
    /// Nobody answered the first packet.
    NoConnection,
    /// Somebody refused it: a reset, or an ICMP error.
    Refused(String),
    /// The connection stands, and the request or its answer got lost.
    NoAnswer,
}

impl Call {
    /// Calls, in the calling thread's namespace.
    pub fn call(&self) -> Answer {
        let stuck = |failed| Answer { seat: None, failed: Some(failed), open: None };
        let socket = match bound(self.protocol, self.from) {
            Ok(socket) => socket,
            Err(errno) => return stuck(Stuck::Here(format!("{} from {}: {}", self.protocol, self.from, errno.desc()))),
        };
        let limit = TimeVal::milliseconds(i64::try_from(self.patience.as_millis()).unwrap_or(i64::MAX));
        let _ = (setsockopt(&socket, sockopt::SendTimeout, &limit), setsockopt(&socket, sockopt::ReceiveTimeout, &limit));
        if let Err(errno) = connect(socket.as_raw_fd(), &SockaddrStorage::from(self.to)) {
            return stuck(match errno {
                nix::Error::EINPROGRESS | nix::Error::EAGAIN | nix::Error::ETIMEDOUT => Stuck::NoConnection,
                _ => Stuck::Refused(errno.desc().to_owned()),
            });
        }
        match self.protocol {
            Protocol::Udp => self.datagram(&UdpSocket::from(socket)),
            _ => self.stream(socket),
        }
    }

    fn stream(&self, socket: OwnedFd) -> Answer {
        let mut stream = TcpStream::from(socket);
        let mut answer = vec![0; ANSWER + self.request.want];
        let done = stream.write_all(&self.request.bytes()).and_then(|()| stream.read_exact(&mut answer));
        match done {
            Ok(()) => Answer { seat: self.seat(&answer), failed: None, open: Some(stream) },
            Err(error) => Answer { seat: None, failed: Some(of(&error)), open: None },
        }
    }

    /// Asks once more on a connection that is open. Returns the seat that answered.
    pub fn again(&self, stream: &mut TcpStream) -> Option<usize> {
        let mut answer = vec![0; ANSWER + self.request.want];
        stream.write_all(&self.request.bytes()).and_then(|()| stream.read_exact(&mut answer)).ok()?;
        self.seat(&answer)
    }

    fn datagram(&self, socket: &UdpSocket) -> Answer {
        let mut answer = vec![0; ANSWER + self.request.want];
        let said = [self.preface.as_bytes(), &self.request.bytes()].concat();
        let done = socket.send(&said).and_then(|_| if self.answered { socket.recv(&mut answer) } else { Ok(0) });
        match done {
            Ok(_) if !self.answered => Answer { seat: None, failed: None, open: None },
            Ok(length) if length == answer.len() => Answer { seat: self.seat(&answer), failed: None, open: None },
            Ok(_) => Answer { seat: None, failed: Some(Stuck::NoAnswer), open: None },
            Err(error) => Answer { seat: None, failed: Some(of(&error)), open: None },
        }
    }

    /// Who answered, if it is an answer to this very call.
    fn seat(&self, answer: &[u8]) -> Option<usize> {
        let word = |at: usize| answer.get(at..at + 4).and_then(|word| <[u8; 4]>::try_from(word).ok()).map(u32::from_be_bytes);
        (word(0)? == self.request.number).then_some(word(4)? as usize)
    }
}

fn of(error: &std::io::Error) -> Stuck {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Stuck::NoAnswer,
        _ => Stuck::Refused(error.to_string()),
    }
}
