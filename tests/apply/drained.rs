//! A server that leaves is let go: no new connections, deleted when the held ones have ended or the time is over.
//!
//! The server is a listener of this process, behind the director that this namespace is: IPVS balances what a host sends to a
//! VIP itself, too.

use std::net::{TcpListener, TcpStream};

use libtest_mimic::Trial;
use lvsform::txn::ledger::Ledger;
use lvsform::txn::store::Record;

use crate::command::says;
use crate::owned::{Site, plug_in};
use crate::world::{World, test};
use crate::{hand, recorded, witness};

pub fn tests() -> Vec<Trial> {
    vec![
        test("drained::a_server_that_leaves_goes_when_its_connections_have_ended", ends),
        test("drained::a_server_that_leaves_goes_when_the_time_is_over", times_out),
        test("drained::a_server_without_connections_goes_at_once", at_once),
        test("drained::a_server_that_comes_back_is_no_longer_let_go", comes_back),
        test("drained::a_server_to_which_somebody_gave_weight_again_stays", used_again),
        test("drained::a_server_with_weight_again_is_let_go_from_the_beginning_by_the_next_apply", let_go_again),
        test("drained::adopt_lets_nothing_go", adopt),
        test("drained::a_hash_scheduler_without_fallback_is_warned_about", hash),
    ]
}

/// The server that is there.
const HERE: &str = "10.0.0.2";

fn topology(drain: &str, scheduler: &str, servers: &[&str]) -> String {
    let servers: Vec<String> = servers.iter().map(|address| format!("server \"{address}\" weight=3")).collect();
    let servers = servers.join("; ");
    format!(
        r#"
topology "shop"
director "lb1" {{ interface "eth0" address="10.0.0.2/24"; }}
vip "shop" address="10.0.0.100"
service "web" {{
    listen vip="shop" port=80 server-port=8080
    forward "nat"
    return-path "none"
    scheduler "{scheduler}"
    drain "{drain}"
    {servers}
}}
"#
    )
}

/// Applied, with a connection that is held to the server that is here.
fn held(world: &World, drain: &str) -> (Site, TcpStream, TcpListener) {
    plug_in(world);
    let site = Site::new(&topology(drain, "rr", &[HERE, "10.0.0.12"]));
    site.run("apply", "--yes", 0);
    let listener = TcpListener::bind((HERE, 8080)).expect("our own address");
    // Nobody is at the other one.
    hand::run("ipvsadm", "-e -t 10.0.0.100:80 -r 10.0.0.12:8080 -m -w 0");
    let connection = TcpStream::connect("10.0.0.100:80").expect("the director balances what it sends itself");
    hand::run("ipvsadm", "-e -t 10.0.0.100:80 -r 10.0.0.12:8080 -m -w 3");
    assert_eq!(active(world), "1");
    site.write(&topology(drain, "rr", &["10.0.0.12"]));
    (site, connection, listener)
}

/// The established connections of the server that is here; nothing where it is gone.
fn active(world: &World) -> String {
    let table = world.witness("ipvsadm", "-Ln");
    let line = table.lines().find(|line| line.contains("10.0.0.2:8080")).unwrap_or_default();
    line.split_whitespace().nth(4).unwrap_or_default().to_owned()
}

fn ends(world: &mut World) {
    let (site, connection, listener) = held(world, "10m");
    let (out, _) = site.run("plan", "--exit-code", 2);
    says(
        &out,
        &[
            "~ server web 10.0.0.2",
            "3 → 0",
            "no longer in the file",
            "Draining: 10.0.0.2:8080 in tcp 10.0.0.100:80: no new connections; deleted when their 1 connection has ended",
        ],
    );
    let (out, _) = site.run("apply", "--yes --no-wait", 0);
    says(&out, &["Draining: 1 connections on 1 server", "lvsform resume"]);
    says(&witness::table(world).join("\n"), &["-r 10.0.0.2:8080 -m -w 0"]);
    assert_eq!(active(world), "1", "it is held");
    let metrics = site.records.with_file_name("lvsform.prom");
    let (out, _) = site.run("drift", &format!("--textfile {}", metrics.display()), 0);
    says(&out, &["no drift", "Draining", "server tcp 10.0.0.100:80 10.0.0.2:8080"]);
    let metrics = std::fs::read_to_string(metrics).expect("metrics");
    says(&metrics, &["lvsform_debts{topology=\"shop\",host=\"lb1\"} 1\n"]);
    let (json, _) = site.run("drift", "--format json", 0);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["topologies"][0]["debts"][0]["key"], "server tcp 10.0.0.100:80 10.0.0.2:8080");
    site.run("plan", "--exit-code", 0);
    site.run("resume", "--no-wait", 0);
    assert_eq!(active(world), "1", "it is still held");
    drop((connection, listener.accept().expect("a connection")));
    let (out, _) = site.run("resume", "", 0);
    says(&out, &["Drained: server tcp 10.0.0.100:80 10.0.0.2:8080 is deleted", "1 deleted"]);
    assert!(!witness::table(world).join("\n").contains("10.0.0.2:8080"));
    site.run("plan", "--exit-code", 0);
    site.run("drift", "", 0);
}

fn times_out(world: &mut World) {
    let (site, connection, _listener) = held(world, "2s");
    let (out, _) = site.run("apply", "--yes", 0);
    says(&out, &["Time is over: server tcp 10.0.0.100:80 10.0.0.2:8080 is deleted with 1 established connections"]);
    assert!(!witness::table(world).join("\n").contains("10.0.0.2:8080"));
    drop(connection);
}

fn at_once(world: &mut World) {
    plug_in(world);
    let site = Site::new(&topology("10m", "rr", &[HERE, "10.0.0.12"]));
    site.run("apply", "--yes", 0);
    site.write(&topology("10m", "rr", &["10.0.0.12"]));
    let (out, _) = site.run("apply", "--yes", 0);
    says(&out, &["Drained: server tcp 10.0.0.100:80 10.0.0.2:8080 is deleted"]);
    assert!(!witness::table(world).join("\n").contains("10.0.0.2:8080"));
}

fn comes_back(world: &mut World) {
    let (site, _connection, _listener) = held(world, "10m");
    site.run("apply", "--yes --no-wait", 0);
    site.write(&topology("10m", "rr", &[HERE, "10.0.0.12"]));
    let (out, _) = site.run("apply", "--yes", 0);
    says(&out, &["~ server web 10.0.0.2", "0 → 3"]);
    let (out, _) = site.run("resume", "", 0);
    assert_eq!(out, "", "nothing is owed");
    assert_eq!(active(world), "1");
}

/// Somebody gives the server that is let go weight again.
fn gives_weight(weight: u32) {
    hand::run("ipvsadm", &format!("-e -t 10.0.0.100:80 -r 10.0.0.2:8080 -m -w {weight}"));
}

fn used_again(world: &mut World) {
    let (site, connection, listener) = held(world, "10m");
    site.run("apply", "--yes --no-wait", 0);
    gives_weight(5);
    drop((connection, listener.accept().expect("a connection")));
    let before = witness::table(world);
    let (out, _) = site.run("drift", "", 3);
    assert!(!out.contains("Draining"), "{out}");
    let (out, err) = site.run("resume", "", 0);
    assert_eq!(
        (out.as_str(), err.as_str()),
        (
            "Left alone: server tcp 10.0.0.100:80 10.0.0.2:8080 has weight 5 again, so somebody uses it, and it is let go no more. \
             An apply of a file without it lets it go again.\n",
            ""
        )
    );
    assert_eq!(witness::table(world), before, "theirs is left alone");
    let (out, _) = site.run("drift", "", 3);
    says(&out, &["~ server web 10.0.0.2", "weight  3 → 5"]);
    let (out, _) = site.run("resume", "", 0);
    assert_eq!(out, "", "nothing is owed any more");
    let (out, _) = site.run("apply", "--yes", 0);
    says(&out, &["5 → 0", "Drained: server tcp 10.0.0.100:80 10.0.0.2:8080 is deleted"]);
    assert!(!witness::table(world).join("\n").contains("10.0.0.2:8080"));
}

/// What was promised of its time before counts no more.
fn let_go_again(world: &mut World) {
    let (site, connection, listener) = held(world, "10m");
    site.run("apply", "--yes --no-wait", 0);
    let mut store = recorded::store(&site.records);
    let mut ledger = Ledger::read(&store, "shop").expect("a ledger").expect("a ledger");
    for debt in ledger.debts.values_mut() {
        debt.until = 1; // its time is over
    }
    store.put(Record::Ledger("shop"), &ledger.encode()).expect("a record");
    gives_weight(3);
    let (out, _) = site.run("apply", "--yes --no-wait", 0);
    says(&out, &["3 → 0", "Draining: 1 connections on 1 server"]);
    assert_eq!(active(world), "1", "it is held");
    drop((connection, listener));
}

fn adopt(world: &mut World) {
    let (site, _connection, _listener) = held(world, "10m");
    let before = witness::table(world);
    site.run("adopt", "", 0);
    let (out, _) = site.run("resume", "", 0);
    assert_eq!(out, "", "nothing is owed");
    site.run("drift", "", 0);
    assert_eq!(witness::table(world), before);
}

fn hash(world: &mut World) {
    plug_in(world);
    let site = Site::new(&topology("10m", "sh", &[HERE, "10.0.0.12"]));
    site.run("apply", "--yes", 0);
    site.write(&topology("10m", "sh", &["10.0.0.12"]));
    let (out, _) = site.run("plan", "", 0);
    says(&out, &["goes on choosing a server without weight", "`fallback` gives them to others"]);
}
