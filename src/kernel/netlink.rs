//! A blocking netlink socket: pipelined transactions and dumps.
//!
//! What the kernel does with many messages in one send was measured (`docs/`, transaction): it carries out every one,
//! whatever became of those before it; it reports every error with its sequence number as long as the receive buffer has
//! room; and where it has none, errors *and* the last acknowledgement are lost. So a send is bounded by the receive buffer,
//! a receive by time, and what nobody answered is [`Outcome::Unknown`], never a guess.
//!
//! Nothing here knows what the messages mean.

pub mod family;
pub mod wire;

use std::io;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, getsockopt, setsockopt, sockopt};
use nix::sys::time::TimeVal;
use rtnetlink::sys;

use self::wire::{ACK, DONE, DUMP, ERROR, INTERRUPTED, Malformed, Message, Messages, NOOP, Writer};
use super::{Outcome, Refusal};

/// Which netlink protocol a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Links and addresses.
    Route,
    /// IPVS and FOU.
    Generic,
    /// nftables. Opening it loads a module.
    Netfilter,
}

/// The limits of a socket.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The receive buffer that is asked for, in bytes.
    pub receive_buffer: usize,
    /// How long an answer may take, in seconds. The kernel loads modules and waits for other writers before it answers.
    pub answer: u32,
    /// Messages a send, at most; also never more than the receive buffer can answer.
    pub messages: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { receive_buffer: 4 << 20, answer: 30, messages: 1000 }
    }
}

/// One error answer takes less than this of a receive buffer (768 bytes on 6.1, 960 on 6.12, measured).
const ANSWER: usize = 1024;
/// Bytes a send, at most; also never more than the send buffer takes.
const SEND: usize = 192 << 10;
/// The kernel makes the parts of a dump as large as the receiver's buffer, up to 32 KiB.
const RECEIVE: usize = 64 << 10;
/// No message that is written here is longer: names are below 256 bytes.
const MESSAGE: usize = 4 << 10;

/// Why an exchange failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The kernel refused it; `ETIMEDOUT` where it did not answer in time.
    Refused(Refusal),
    /// The answer cannot be read.
    Malformed,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Refused(refusal(&error))
    }
}

/// What a dump was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// How many datagrams held entries. With more than one, a writer may have moved entries in between.
    pub parts: u32,
    /// The kernel says itself that a writer tore it.
    pub interrupted: bool,
}

/// A netlink socket with its buffers.
#[derive(Debug)]
pub struct Socket {
    protocol: Protocol,
    limits: Limits,
    channel: sys::Socket,
    sequence: u32,
    messages: usize,
    bytes: usize,
    out: Writer,
    slots: Vec<usize>,
    incoming: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the network namespace of the calling thread.
    pub fn open(protocol: Protocol, limits: Limits) -> io::Result<Socket> {
        let mut socket = Socket::open_unbounded(protocol, limits)?;
        let room = getsockopt(&socket.channel, sockopt::RcvBuf)? / ANSWER;
        // An even number, so that a delete and the add behind it always share a send.
        socket.messages = (socket.messages.min(room) & !1).max(2);
        Ok(socket)
    }

    /// Another one like this, which has not received anything.
    pub fn fresh(&self) -> io::Result<Socket> {
        Socket::open(self.protocol, self.limits)
    }

    /// A socket that may send more than its receive buffer can answer: to see what becomes of that, and for nothing else.
    #[doc(hidden)]
    pub fn open_unbounded(protocol: Protocol, limits: Limits) -> io::Result<Socket> {
        let mut socket = sys::Socket::new(match protocol {
            Protocol::Route => sys::protocols::NETLINK_ROUTE,
            Protocol::Generic => sys::protocols::NETLINK_GENERIC,
            Protocol::Netfilter => sys::protocols::NETLINK_NETFILTER,
        })?;
        // The forced size needs CAP_NET_ADMIN and knows no upper limit; the other is cut to net.core.rmem_max.
        if setsockopt(&socket, sockopt::RcvBufForce, &limits.receive_buffer).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &limits.receive_buffer)?;
        }
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(limits.answer.into(), 0))?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        if protocol == Protocol::Route {
            socket.set_netlink_get_strict_chk(true)?;
        }
        socket.bind_auto()?;
        socket.connect(&sys::SocketAddr::new(0, 0))?;
        let bytes = getsockopt(&socket, sockopt::SndBuf)?.saturating_sub(ANSWER).min(SEND);
        Ok(Socket {
            protocol,
            limits,
            channel: socket,
            sequence: 0,
            messages: limits.messages,
            bytes,
            out: Writer::default(),
            slots: Vec::new(),
            incoming: vec![0; RECEIVE],
        })
    }

    /// Sends one message for each item, many at a time, and appends to `outcomes` what became of each item, in order.
    ///
    /// `write` begins and fills one message of less than 4 KiB, which the socket ends; or it writes nothing and says the
    /// outcome itself. After a send that was not answered in full nothing more is sent: the rest is refused with
    /// `ECANCELED`.
    pub fn transact<T>(
        &mut self,
        items: &[T],
        outcomes: &mut Vec<Outcome>,
        mut write: impl FnMut(&mut Writer, &T) -> Option<Outcome>,
    ) {
        let end = outcomes.len() + items.len();
        let mut items = items.iter();
        let mut slots = std::mem::take(&mut self.slots);
        loop {
            self.out.clear();
            slots.clear();
            let first = self.sequence.wrapping_add(1);
            while slots.len() < self.messages
                && (slots.len() % 2 == 1 || self.out.bytes().len() + 2 * MESSAGE <= self.bytes)
                && let Some(item) = items.next()
            {
                let outcome = write(&mut self.out, item);
                if outcome.is_none() {
                    self.finish();
                    slots.push(outcomes.len());
                }
                outcomes.push(outcome.unwrap_or(Outcome::Unknown));
            }
            if slots.is_empty() {
                break;
            }
            // The kernel answers this whatever became of the others. It is silent about a request that ends with EINTR, as
            // the stop of a sync daemon that has not had its first turn yet does.
            self.out.begin(NOOP, ACK);
            self.finish();
            if !self.settle(first, &slots, outcomes) {
                outcomes.resize_with(end, not_sent);
                break;
            }
        }
        self.slots = slots;
    }

    fn finish(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
        self.out.end(self.sequence);
    }

    /// Sends what was written and settles the outcomes of its messages, which stand in `slots` and come in unknown; behind
    /// them stands one that is there for its answer alone. False where the kernel did not take the send, or something stayed
    /// unknown.
    fn settle(&mut self, first: u32, slots: &[usize], outcomes: &mut [Outcome]) -> bool {
        if let Err(error) = retry(|| self.channel.send(self.out.bytes(), 0)) {
            // A send is taken whole or not at all.
            settle_open(slots, outcomes, &Outcome::Refused(refusal(&error)));
            return false;
        }
        let mut overrun = false;
        loop {
            // After an overflow the acknowledgement may be among what was lost: take what is there, and wait for nothing.
            let flags = if overrun { MsgFlags::MSG_DONTWAIT } else { MsgFlags::empty() };
            let length = match retry(|| self.channel.recv(&mut self.incoming.as_mut_slice(), flags.bits())) {
                Ok(length) => length,
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                    overrun = true;
                    continue;
                }
                Err(_) => return false,
            };
            for message in Messages(self.incoming.get(..length).unwrap_or_default()).flatten() {
                let index = usize::try_from(message.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                let (ERROR, Some(errno)) = (message.kind, message.errno()) else {
                    continue; // nothing that we know
                };
                if index == slots.len() && !overrun {
                    // Errors come in order, so what was not answered before the last answer is done.
                    settle_open(slots, outcomes, &Outcome::Done);
                    return true;
                }
                let Some(outcome) = slots.get(index).and_then(|slot| outcomes.get_mut(*slot)) else {
                    continue; // an answer to an earlier send that was given up
                };
                *outcome = match errno {
                    0 => Outcome::Done,
                    errno => Outcome::Refused(Refusal { errno, text: message.text() }),
                };
            }
        }
    }

    /// Sends messages that the kernel carries out together or not at all (nfnetlink's batch). `write` begins and fills each;
    /// the first and the last frame them, and are not answered unless the whole fails.
    pub fn transaction(&mut self, count: usize, mut write: impl FnMut(&mut Writer, usize)) -> Outcome {
        self.out.clear();
        let first = self.sequence.wrapping_add(1);
        for at in 0..count {
            write(&mut self.out, at);
            if at > 0 && at + 1 < count {
                self.out.add_flags(ACK);
            }
            self.finish();
        }
        // A transaction is one send. Without the capability the kernel refuses what does not fit.
        if self.out.bytes().len() > self.bytes {
            let _ = setsockopt(&self.channel, sockopt::SndBufForce, &(2 * self.out.bytes().len()));
        }
        if let Err(error) = retry(|| self.channel.send(self.out.bytes(), 0)) {
            return Outcome::Refused(refusal(&error));
        }
        let (mut open, mut refused) = (count.saturating_sub(2), None);
        while open > 0 {
            let Ok(length) = retry(|| self.channel.recv(&mut self.incoming.as_mut_slice(), 0)) else { return Outcome::Unknown };
            for message in Messages(self.incoming.get(..length).unwrap_or_default()).flatten() {
                let index = usize::try_from(message.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                let (ERROR, Some(errno), true) = (message.kind, message.errno(), index < count) else { continue };
                if errno != 0 {
                    refused.get_or_insert(Refusal { errno, text: message.text() });
                }
                // Where the whole fails at its end, that is said of the frame.
                open = if index == 0 || index + 1 == count { 0 } else { open.saturating_sub(1) };
            }
        }
        refused.map_or(Outcome::Done, Outcome::Refused)
    }

    /// Sends one request and hands each message of the answer to `each`, up to the acknowledgement.
    pub fn request(
        &mut self,
        write: impl FnOnce(&mut Writer),
        each: impl FnMut(Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Failure> {
        self.converse(ACK, write, each).map(|_| ())
    }

    /// Asks for a dump and hands each entry to `each`.
    ///
    /// A dump that cannot be read is received to its end all the same: the kernel allows one dump at a time.
    pub fn dump(
        &mut self,
        write: impl FnOnce(&mut Writer),
        each: impl FnMut(Message<'_>) -> Result<(), Malformed>,
    ) -> Result<Dump, Failure> {
        self.converse(DUMP, write, each)
    }

    fn converse(
        &mut self,
        flags: u16,
        write: impl FnOnce(&mut Writer),
        mut each: impl FnMut(Message<'_>) -> Result<(), Malformed>,
    ) -> Result<Dump, Failure> {
        self.out.clear();
        write(&mut self.out);
        self.out.add_flags(flags);
        self.finish();
        retry(|| self.channel.send(self.out.bytes(), 0))?;
        let mut dump = Dump::default();
        let mut malformed = false;
        loop {
            let length = retry(|| self.channel.recv(&mut self.incoming.as_mut_slice(), 0))?;
            let mut entries = false;
            for message in Messages(self.incoming.get(..length).unwrap_or_default()) {
                let Ok(message) = message else {
                    malformed = true;
                    break;
                };
                if message.sequence != self.sequence {
                    continue; // the rest of an earlier exchange that was given up
                }
                dump.interrupted |= flags == DUMP && message.flags & INTERRUPTED != 0;
                if matches!(message.kind, ERROR | DONE) {
                    return match message.errno() {
                        Some(0) if !malformed => Ok(dump),
                        Some(0) | None => Err(Failure::Malformed),
                        Some(errno) => Err(Failure::Refused(Refusal { errno, text: message.text() })),
                    };
                }
                entries = true;
                malformed |= each(message).is_err();
            }
            dump.parts += u32::from(entries);
        }
    }
}

/// Gives every message of a send that is still unknown the same outcome.
fn settle_open(slots: &[usize], outcomes: &mut [Outcome], settled: &Outcome) {
    for slot in slots {
        if let Some(outcome) = outcomes.get_mut(*slot).filter(|outcome| **outcome == Outcome::Unknown) {
            *outcome = settled.clone();
        }
    }
}

/// Repeats a call that a signal interrupted.
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The errno of an error of a system call; no answer in time is `ETIMEDOUT`.
pub(super) fn refusal(error: &io::Error) -> Refusal {
    let errno = match error.raw_os_error() {
        Some(errno) if errno == Errno::EAGAIN as i32 => Errno::ETIMEDOUT as i32,
        Some(errno) => errno,
        None => Errno::EIO as i32,
    };
    Refusal { errno, text: None }
}

fn not_sent() -> Outcome {
    let text = "not sent: an earlier request was not answered".to_owned();
    Outcome::Refused(Refusal { errno: Errno::ECANCELED as i32, text: Some(text) })
}
