//! A client that holds connections, each of which proves again and again that it lives, and opens new ones without pause.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{ReceiveTimeout, SendTimeout};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket};
use nix::sys::time::{TimeVal, TimeValLike};

use super::network::{CLIENTS, VIP};

/// How many connections are held.
pub const HELD: usize = 200;
/// How many threads open new ones.
pub const OPENERS: usize = 2;
/// A new connection that has had no answer for so many seconds has failed: its SYN went out three times by then.
const PATIENCE: i64 = 7;
/// How often a held connection says something.
const PACE: Duration = Duration::from_secs(1);
/// How often answers are looked for, between two roll calls.
const ROUND: Duration = Duration::from_millis(50);
/// Between two connections of one opener, so that there is time for somebody else on two emulated CPUs.
const BREATH: Duration = Duration::from_millis(20);
/// A held connection that is silent for so long at a roll call is put aside, and another one takes its place.
const SILENT: Duration = Duration::from_secs(2);
/// What was put aside and says nothing for so long is broken: TCP repeats what was lost more than once by then.
const DEAD: Duration = Duration::from_secs(8);
/// Ports of each of the client's addresses.
const PORTS: std::ops::Range<u16> = 10_000..60_000;

/// What the threads of a client share.
#[derive(Default)]
pub struct Client {
    /// Where new connections go, in turn.
    open: Mutex<Vec<u16>>,
    tally: Mutex<Tally>,
    tried: Condvar,
    over: AtomicBool,
    sources: AtomicU32,
}

/// What became of new connections so far.
#[derive(Clone, Default)]
pub struct Tally {
    /// tried, by each opener
    opened: [u64; OPENERS],
    /// failed, by reason
    pub failed: BTreeMap<String, u64>,
}

impl Tally {
    pub fn tried(&self) -> u64 {
        self.opened.iter().sum()
    }
}

impl Client {
    pub fn new(open: impl IntoIterator<Item = u16>) -> Client {
        Client { open: Mutex::new(open.into_iter().collect()), ..Client::default() }
    }

    /// New connections go to these ports from now on.
    pub fn open_to(&self, change: impl FnOnce(&mut Vec<u16>)) {
        change(&mut lock(&self.open));
    }

    fn ports(&self) -> Vec<u16> {
        lock(&self.open).clone()
    }

    /// Opens connections until the client is over, each closed when it was answered.
    pub fn open(&self, opener: usize) {
        let mut turn = opener;
        while !self.over.load(Ordering::Relaxed) {
            let ports = self.ports();
            turn = (turn + 1) % ports.len();
            let outcome = self.connect(ports[turn]);
            let mut tally = lock(&self.tally);
            tally.opened[opener] += 1;
            if let Err(error) = outcome {
                *tally.failed.entry(error).or_insert(0) += 1;
            }
            drop(tally);
            self.tried.notify_all();
            thread::sleep(BREATH);
        }
    }

    /// Waits until every connection that was begun before has come to its end.
    pub fn settle(&self) -> Tally {
        let tally = lock(&self.tally);
        let before = tally.opened;
        let running = |tally: &mut Tally| tally.opened.iter().zip(before).any(|(now, before)| *now < before + 2);
        let limit = Duration::from_mins(1);
        let (tally, timeout) = self.tried.wait_timeout_while(tally, limit, running).unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "no new connection ends for {limit:?}");
        tally.clone()
    }

    /// Ends the openers and the holder.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// A connection that was answered, and by which server. The error says how far it came.
    ///
    /// No two connections of a run come from the same port of the same address: IPVS remembers those that were, and a new
    /// one from there would follow the old one, to a server that is gone.
    fn connect(&self, port: u16) -> Result<Held, String> {
        let source = self.sources.fetch_add(1, Ordering::Relaxed);
        let each = u32::from(PORTS.end - PORTS.start);
        let host = CLIENTS.start + u8::try_from(source / each).expect("few enough connections");
        assert!(host < CLIENTS.end, "too many connections");
        let from = SockaddrIn::new(10, 0, 1, host, PORTS.start + u16::try_from(source % each).expect("a port"));
        let mut stream = connected(from, port).map_err(|error| format!("not opened: {}", error.kind()))?;
        let mut answer = [0; 2];
        let answered = stream.write_all(&[0]).and_then(|()| stream.read_exact(&mut answer));
        answered.map_err(|error| format!("opened, not answered: {}", error.kind()))?;
        Ok(Held { stream, port, server: answer[1], sent: 0, answered: 0, half: false, said: Instant::now() })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connected(from: SockaddrIn, port: u16) -> io::Result<TcpStream> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let limit = TimeVal::seconds(PATIENCE);
    setsockopt(&socket, SendTimeout, &limit)?;
    setsockopt(&socket, ReceiveTimeout, &limit)?;
    bind(socket.as_raw_fd(), &from)?;
    let [a, b, c, d] = VIP;
    connect(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, port))?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection that is held.
struct Held {
    stream: TcpStream,
    port: u16,
    server: u8,
    sent: u64,
    answered: u64,
    /// One byte of an answer is here.
    half: bool,
    said: Instant,
}

impl Held {
    /// Says a byte. Whether it lives.
    fn say(&mut self) -> bool {
        self.said = Instant::now();
        match self.stream.write(&[0]) {
            Ok(_) => self.sent += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        true
    }

    /// Hears what is there. Whether it lives.
    fn hear(&mut self) -> bool {
        let mut bytes = [0; 64];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                let count = count + usize::from(self.half);
                self.half = count % 2 == 1;
                self.answered += count as u64 / 2;
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// A server of a service: the service's port, and the last byte of the server's address.
pub type Server = (u16, u8);

/// The connections that are held.
pub struct Holder<'a> {
    client: &'a Client,
    held: Vec<Held>,
    /// Silent since which change.
    aside: Vec<(usize, Held)>,
    /// Reset since the last roll call.
    reset: usize,
    turn: usize,
}

/// What a holder is asked to do between two rounds.
pub type Task<'a> = Box<dyn FnOnce(&mut Holder<'a>) + Send + 'a>;

impl<'a> Holder<'a> {
    /// Holds connections until the client is over, and does what is asked.
    pub fn hold(client: &'a Client, tasks: &mpsc::Receiver<Task<'a>>) {
        let mut holder = Holder { client, held: Vec::new(), aside: Vec::new(), reset: 0, turn: 0 };
        holder.fill();
        while !client.over.load(Ordering::Relaxed) {
            match tasks.recv_timeout(ROUND) {
                Ok(task) => task(&mut holder),
                Err(_) => holder.round(),
            }
        }
    }

    /// As many as are to be held, to the open ports in turn.
    pub fn fill(&mut self) {
        let ports = self.client.ports();
        while self.held.len() < HELD {
            self.turn = (self.turn + 1) % ports.len();
            self.take(ports[self.turn]);
        }
    }

    fn take(&mut self, port: u16) {
        let held = self.client.connect(port).unwrap_or_else(|error| panic!("a connection to hold, to port {port}: {error}"));
        held.stream.set_nonblocking(true).expect("a socket of ours");
        self.held.push(held);
    }

    /// Ends those of one server, and takes others.
    pub fn release(&mut self, server: Server) {
        self.held.retain(|held| (held.port, held.server) != server);
        self.fill();
    }

    /// Ends some, and takes as many to this port.
    pub fn move_to(&mut self, port: u16, count: usize) {
        self.held.drain(..count);
        for _ in 0..count {
            self.take(port);
        }
    }

    /// How many there are of these servers.
    pub fn count(&self, servers: &[Server]) -> usize {
        self.held.iter().filter(|held| servers.contains(&(held.port, held.server))).count()
    }

    /// Hears everyone, and who has not said anything lately says something.
    fn round(&mut self) {
        let now = Instant::now();
        let waiting = |held: &Held| held.answered < held.sent;
        self.each(|held| if waiting(held) { held.hear() } else { now < held.said + PACE || held.say() });
    }

    /// Waits a moment for answers, and hears them.
    fn hear(&mut self) {
        let asked = self.held.iter().filter(|held| held.answered < held.sent);
        let mut asked: Vec<PollFd<'_>> = asked.map(|held| PollFd::new(held.stream.as_fd(), PollFlags::POLLIN)).collect();
        poll(&mut asked, PollTimeout::from(20_u8)).expect("sockets of ours");
        self.each(|held| held.answered == held.sent || held.hear());
    }

    /// Does something with each, and counts those that it finds reset.
    fn each(&mut self, lives: impl FnMut(&mut Held) -> bool) {
        let before = self.held.len();
        self.held.retain_mut(lives);
        self.reset += before - self.held.len();
    }

    /// After a change: everyone answers once more. Returns how many were reset since the last time. Who says nothing is put
    /// aside, and others take their places. Servers that are `gone` are not waited for.
    pub fn roll_call(&mut self, change: usize, gone: &[Server]) -> usize {
        self.each(Held::say);
        let asked: Vec<u64> = self.held.iter().map(|held| held.sent).collect();
        let asked: BTreeMap<i32, u64> = self.held.iter().map(|held| held.stream.as_raw_fd()).zip(asked).collect();
        let silent = |held: &Held| held.answered < asked[&held.stream.as_raw_fd()];
        let until = Instant::now() + SILENT;
        while Instant::now() < until && self.held.iter().any(|held| silent(held) && !gone.contains(&(held.port, held.server))) {
            self.hear();
        }
        let (silent, held) = std::mem::take(&mut self.held).into_iter().partition(silent);
        self.held = held;
        self.aside.extend(Vec::into_iter(silent).map(|held| (change, held)));
        self.fill();
        std::mem::take(&mut self.reset)
    }

    /// Those that were put aside and never said anything again: the change since which they are silent.
    pub fn dead(&mut self) -> Vec<usize> {
        let until = Instant::now() + DEAD;
        let mut dead = Vec::new();
        while Instant::now() < until && !self.aside.is_empty() {
            self.hear();
            self.aside.retain_mut(|(change, held)| {
                if !held.hear() {
                    dead.push(*change);
                    return false;
                }
                held.answered < held.sent
            });
        }
        dead.extend(self.aside.drain(..).map(|(change, _)| change));
        dead
    }
}
