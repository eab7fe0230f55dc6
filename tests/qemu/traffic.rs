//! Traffic through a change: what a client notices while servers and services are added, re-weighted, drained and removed by
//! `lvsform`, and, beside it, when the same states are brought about by `ipvsadm -C; ipvsadm -R` and by a restart of keepalived.
//!
//! The client holds connections and opens new ones without pause. A server is removed after its weight has become 0, as who
//! cares for his clients does: what it holds then is what the removal cuts. A service is removed when no new clients come.

mod client;
mod network;
mod others;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use libtest_mimic::Trial;

use client::{Client, HELD, Holder, OPENERS, Server, Tally, Task};
use network::{Network, SERVER_PORT};
use others::{Keepalived, restore};

pub fn tests() -> Vec<Trial> {
    // Minutes each: all of them belong to `make soak`.
    let test = |name: &str, cycles, beside| {
        let trial = Trial::test(name, move || {
            static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
            let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
            compare(cycles, beside);
            Ok(())
        });
        trial.with_ignored_flag(true)
    };
    vec![
        test("traffic::in_10_applies_no_new_connection_fails_and_none_is_cut_but_those_announced", 1, false),
        test("traffic::in_20_applies_beside_other_tools", 2, true),
        test("traffic::in_100_applies_beside_other_tools", 10, true),
    ]
}

/// A service of the file.
#[derive(Clone)]
struct Service {
    name: String,
    port: u16,
    scheduler: &'static str,
    drain: Option<&'static str>,
    /// The last byte of the address, and the weight; the oldest first.
    servers: Vec<(u8, u32)>,
}

impl Service {
    fn new(name: &str, port: u16, scheduler: &'static str, drain: Option<&'static str>, servers: [u8; 2]) -> Service {
        Service { name: name.to_owned(), port, scheduler, drain, servers: servers.map(|server| (server, 3)).to_vec() }
    }

    fn text(&self) -> String {
        let Service { name, port, scheduler, drain, servers } = self;
        let drain = drain.map(|drain| format!("drain \"{drain}\"; ")).unwrap_or_default();
        let mut text = format!(
            "service \"{name}\" {{ listen vip=\"shop\" port={port} server-port={SERVER_PORT}; forward \"nat\"; \
             return-path \"none\"; scheduler \"{scheduler}\"; {drain}\n"
        );
        for (server, weight) in servers {
            let _ = writeln!(text, "    server \"10.0.2.{server}\" weight={weight}");
        }
        text + "}\n"
    }
}

/// The whole file.
fn topology(services: &[Service]) -> String {
    let head = r#"topology "shop"
director "lb1" { interface "front" address="10.0.1.1/24"; interface "back" address="10.0.2.1/24"; }
vip "shop" address="10.0.1.100"
"#;
    head.to_owned() + &services.iter().map(Service::text).collect::<String>()
}

/// One change of the director's table, and what the client does around it.
struct Change {
    what: &'static str,
    act: Act,
    /// before
    client: Deed,
    /// after
    then: Deed,
    /// What goes with all it holds.
    gone: Vec<Server>,
    /// A change of scheduler is counted apart.
    apart: bool,
}

/// How `lvsform` is asked for it.
enum Act {
    /// `apply` of this file
    Apply(String),
    /// `resume`
    Resume,
}

/// What the client does.
enum Deed {
    Nothing,
    /// Its connections to this server come to their end.
    Release(Server),
    /// New connections go here too, and some that are held.
    Join(u16),
    /// New connections do not go here any more.
    Leave(u16),
}

/// How many connections are held to a service that is new.
const MOVED: usize = 40;

/// The services at the beginning.
fn first() -> [Service; 3] {
    [
        Service::new("web", 8001, "wrr", Some("10m"), [11, 12]),
        Service::new("api", 8002, "wlc", None, [13, 14]),
        Service::new("chat", 8003, "rr", Some("10s"), [15, 16]),
    ]
}

/// So many times ten applies. No server that has gone comes back: IPVS would give it its old connections again.
fn changes(cycles: u8) -> Vec<Change> {
    let [mut web, mut api, mut chat] = first();
    let mut addresses = 17_u8..;
    let mut new = |weight| (addresses.next().expect("an address"), weight);
    let mut changes = Vec::new();
    for cycle in 0..cycles {
        let mut change = |what, services: &[&Service], client, then, gone: &[Server]| {
            let services: Vec<Service> = services.iter().map(|service| (*service).clone()).collect();
            let act = Act::Apply(topology(&services));
            changes.push(Change { what, act, client, then, gone: gone.to_vec(), apart: what == SCHEDULERS });
        };
        for service in [&mut web, &mut api, &mut chat] {
            service.servers.push(new(3));
        }
        change("add servers", &[&web, &api, &chat], Deed::Nothing, Deed::Nothing, &[]);

        web.servers[0].1 = 5;
        api.servers[1].1 = 1;
        change("re-weight servers", &[&web, &api, &chat], Deed::Nothing, Deed::Nothing, &[]);

        let (server, _) = web.servers.remove(0);
        change(
            "drain a server whose connections end",
            &[&web, &api, &chat],
            Deed::Nothing,
            Deed::Release((web.port, server)),
            &[],
        );
        change(RESUME, &[], Deed::Nothing, Deed::Nothing, &[]);

        let mut extra = Service::new("extra", 9000 + u16::from(cycle), "wrr", None, [new(3).0, new(3).0]);
        change("add a service", &[&web, &api, &chat, &extra], Deed::Nothing, Deed::Join(extra.port), &[]);

        api.servers[0].1 = 0;
        change("quiesce a server", &[&web, &api, &chat, &extra], Deed::Nothing, Deed::Nothing, &[]);
        let (server, _) = api.servers.remove(0);
        change("remove it", &[&web, &api, &chat, &extra], Deed::Nothing, Deed::Nothing, &[(api.port, server)]);

        extra.servers.push(new(1));
        web.servers[0].1 = 3;
        api.servers[0].1 = 4;
        change("add a server and re-weight others", &[&web, &api, &chat, &extra], Deed::Nothing, Deed::Nothing, &[]);

        let (server, _) = chat.servers.remove(0);
        change("drain a server whose connections stay", &[&web, &api, &chat, &extra], Deed::Nothing, Deed::Nothing, &[]);
        change(RESUME, &[], Deed::Nothing, Deed::Nothing, &[(chat.port, server)]);

        let gone: Vec<Server> = extra.servers.iter().map(|(server, _)| (extra.port, *server)).collect();
        change("remove a service", &[&web, &api, &chat], Deed::Leave(extra.port), Deed::Nothing, &gone);

        std::mem::swap(&mut web.scheduler, &mut api.scheduler);
        change(SCHEDULERS, &[&web, &api, &chat], Deed::Nothing, Deed::Nothing, &[]);
    }
    for change in &mut changes {
        if change.what == RESUME {
            change.act = Act::Resume;
        }
    }
    changes
}

const RESUME: &str = "delete it";
const SCHEDULERS: &str = "change two schedulers";

/// What a tool said about one change: the connections it would cut, and those it did cut.
struct Said {
    announced: u64,
    reported: u64,
}

/// What a client saw of one change.
struct Seen {
    what: &'static str,
    apart: bool,
    new: u64,
    failed: BTreeMap<String, u64>,
    /// held connections that broke
    broken: u64,
    /// held connections of what the change removed
    removed: u64,
    said: Option<Said>,
}

/// Makes all changes with the traffic of a client. `make` makes one, in the director's namespace, and returns what is said
/// about it.
fn watch(network: &Network, changes: &[Change], mut make: impl FnMut(usize, &Change) -> Option<Said> + Send) -> Vec<Seen> {
    let client = Client::new(first().map(|service| service.port));
    let client = &client;
    let (ask, tasks) = mpsc::channel::<Task<'_>>();
    thread::scope(|scope| {
        let ended = Ended(client);
        scope.spawn(move || network.client.run(move || Holder::hold(client, &tasks)));
        for opener in 0..OPENERS {
            scope.spawn(move || network.client.run(|| client.open(opener)));
        }
        let mut before = client.settle();
        let mut all = Vec::new();
        for (number, change) in changes.iter().enumerate() {
            deed(&change.client, client, &ask);
            client.settle();
            let gone = change.gone.clone();
            let removed = asked(&ask, move |holder| holder.count(&gone));
            let said = network.director.run(|| make(number, change));
            client.settle();
            let gone = change.gone.clone();
            let reset = asked(&ask, move |holder| holder.roll_call(number, &gone));
            deed(&change.then, client, &ask);
            let after = client.settle();
            let failed = since(&before, &after);
            let (what, apart, new) = (change.what, change.apart, after.tried() - before.tried());
            all.push(Seen { what, apart, new, failed, broken: reset as u64, removed: removed as u64, said });
            before = after;
        }
        for change in asked(&ask, Holder::dead) {
            all[change].broken += 1;
        }
        drop(ended);
        all
    })
}

/// Ends the client's threads, also where a test fails.
struct Ended<'a>(&'a Client);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Lets the holder do something, and waits for its answer.
fn asked<'a, T: Send + 'a>(ask: &mpsc::Sender<Task<'a>>, task: impl FnOnce(&mut Holder<'a>) -> T + Send + 'a) -> T {
    let (answer, answered) = mpsc::channel();
    let task = move |holder: &mut Holder<'a>| _ = answer.send(task(holder));
    ask.send(Box::new(task)).expect("a holder");
    answered.recv().expect("the holder lives")
}

fn deed<'a>(deed: &Deed, client: &'a Client, ask: &mpsc::Sender<Task<'a>>) {
    match *deed {
        Deed::Nothing => {}
        Deed::Release(server) => asked(ask, move |holder| holder.release(server)),
        Deed::Join(port) => {
            client.open_to(|open| open.push(port));
            asked(ask, move |holder| holder.move_to(port, MOVED));
        }
        Deed::Leave(port) => client.open_to(|open| open.retain(|other| *other != port)),
    }
}

fn since(before: &Tally, after: &Tally) -> BTreeMap<String, u64> {
    let new = |(reason, count): (&String, &u64)| (reason.clone(), count - before.failed.get(reason).copied().unwrap_or_default());
    after.failed.iter().map(new).filter(|(_, count)| *count > 0).collect()
}

/// `lvsform` with its file and its records in a folder.
fn lvsform(folder: &Path, verb: &str, more: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
    command.arg(verb).args(more.split_whitespace()).arg("--state-dir").arg(folder.join("records")).current_dir(folder);
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let words = [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{verb} {more}: {words}");
    words
}

/// One change by `lvsform`.
fn by_lvsform(folder: &Path, change: &Change) -> Said {
    let Act::Apply(text) = &change.act else {
        // What it deletes it names before it does so.
        let reported = overdue(&lvsform(folder, "resume", ""));
        return Said { announced: reported, reported };
    };
    std::fs::write(folder.join("shop.kdl"), text).expect("our own file");
    // A command takes its time: only where something is cut.
    let planned = (!change.gone.is_empty()).then(|| {
        let plan = lvsform(folder, "plan", "shop.kdl --host lb1 --format json");
        let plan: serde_json::Value = serde_json::from_str(&plan).expect("JSON");
        plan["summary"]["connections_cut"].as_u64().expect("a count")
    });
    let words = lvsform(folder, "apply", "shop.kdl --host lb1 --yes --no-wait");
    assert_eq!(words.contains("up to 30 ms without a scheduler"), change.apart, "{}: {words}", change.what);
    let shown = match after(&words, "Established connections cut: ") {
        Some("none") => 0,
        count => count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count in {words}")),
    };
    // On a slow machine the time of a drain may be over before `apply` is.
    let overdue = overdue(&words);
    Said { announced: planned.unwrap_or(shown) + overdue, reported: shown + overdue }
}

/// Connections of servers whose time to drain is over.
fn overdue(words: &str) -> u64 {
    words.lines().filter_map(|line| after(line, "is deleted with ")?.parse::<u64>().ok()).sum()
}

/// The first word after some words.
fn after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(words)?;
    rest.split([' ', '.', '\n']).next()
}

/// The same states by three tools, one after the other, or by lvsform alone; what became of the connections is printed as a
/// table.
fn compare(cycles: u8, beside: bool) {
    let changes = changes(cycles);
    let applies = changes.iter().filter(|change| matches!(change.act, Act::Apply(_))).count();
    assert_eq!(applies, 10 * usize::from(cycles));
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 65_536, 65_536);
    let folder = nix::unistd::mkdtemp("/tmp/lvsform-test-XXXXXX").expect("a folder");

    let network = Network::new();
    network.director.run(|| {
        std::fs::write(folder.join("shop.kdl"), topology(&first())).expect("our own file");
        lvsform(&folder, "apply", "shop.kdl --host lb1 --yes");
    });
    let mut tables = vec![network.director.run(others::table)];
    let ours = watch(&network, &changes, |_, change| {
        let said = by_lvsform(&folder, change);
        tables.push(others::table());
        Some(said)
    });
    judge(&ours);
    if !beside {
        std::fs::remove_dir_all(&folder).expect("our own folder");
        let _ = std::io::stdout().lock().write_all(table(&[("lvsform", &ours[..])]).as_bytes());
        return;
    }
    let (beginning, tables) = tables.split_first().expect("the first one");

    let network = Network::new();
    network.director.run(|| {
        others::vip();
        restore(beginning);
    });
    let restored = watch(&network, &changes, |number, _| {
        restore(&tables[number]);
        None
    });

    let network = Network::new();
    let mut keepalived = network.director.run(|| {
        others::vip();
        Keepalived::start(&folder, beginning)
    });
    let restarted = watch(&network, &changes, |number, _| {
        keepalived.restart(&folder, &tables[number]);
        None
    });
    drop(keepalived);
    std::fs::remove_dir_all(&folder).expect("our own folder");

    let all = [("lvsform", &ours[..]), ("ipvsadm -C; ipvsadm -R", &restored), ("keepalived restart", &restarted)];
    let _ = std::io::stdout().lock().write_all(table(&all).as_bytes());
}

/// What must hold of changes by `lvsform`.
fn judge(ours: &[Seen]) {
    let table = table(&[("lvsform", ours)]);
    for Seen { what, apart, failed, broken, said, .. } in ours {
        let Said { announced, reported } = said.as_ref().expect("it says something");
        assert!(*apart || failed.is_empty(), "{what}: {failed:?}\n{table}");
        assert!(broken <= announced, "{what}: {announced} announced, {broken} broken\n{table}");
        assert_eq!(broken, reported, "{what}: as many as are reported\n{table}");
    }
    let announced: u64 = ours.iter().flat_map(|seen| &seen.said).map(|said| said.announced).sum();
    assert!(announced > 0, "nothing was put to the test");
}

/// A row for each tool, those for changes of scheduler apart, and a line for each reason why new connections failed.
fn table(all: &[(&str, &[Seen])]) -> String {
    let mut text = String::from(
        "\n| by | changes | new connections | failed | held | broken | of those, of what was removed | announced |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let mut reasons = String::new();
    for apart in [false, true] {
        for (tool, seen) in all {
            let tool = if apart { format!("{tool}, changes of scheduler") } else { (*tool).to_owned() };
            let rows: Vec<&Seen> = seen.iter().filter(|seen| seen.apart == apart).collect();
            let sum = |count: fn(&Seen) -> u64| rows.iter().map(|seen| count(seen)).sum::<u64>();
            let failed = sum(|seen| seen.failed.values().sum());
            let (broken, removed) = (sum(|seen| seen.broken), sum(|seen| seen.broken.min(seen.removed)));
            let announced: Option<u64> = rows.iter().map(|seen| Some(seen.said.as_ref()?.announced)).sum();
            let announced = announced.map_or("–".to_owned(), |count| count.to_string());
            let (changes, new) = (rows.len(), sum(|seen| seen.new));
            let _ = writeln!(text, "| {tool} | {changes} | {new} | {failed} | {HELD} | {broken} | {removed} | {announced} |");
            let mut failed: BTreeMap<&str, u64> = BTreeMap::new();
            for (reason, count) in rows.iter().flat_map(|seen| &seen.failed) {
                *failed.entry(reason).or_default() += count;
            }
            for (reason, count) in failed {
                let _ = writeln!(reasons, "{tool}: {count} {reason}");
            }
        }
    }
    text + "\n" + &reasons
}
