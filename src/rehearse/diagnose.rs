//! Where a packet got lost: along its way from the client to the server and back.
//!
//! First each host on the way is compared with what was applied and with the facts of the file: what is no longer so is the
//! likeliest cause. Then routers and tables are asked as the packet would ask them. A finding names a cause by a fixed word,
//! what was seen, and what mends it.

mod drift;
mod evidence;
mod way;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::client::Stuck;
use super::scene::{Lost, Scene};
use super::trial::{Server, Trial};
use super::{Finding, Row};
use crate::state::Protocol;

/// The cause of what nothing explains.
pub const UNKNOWN: &str = "unknown";

/// An apply that failed.
pub fn not_applied(host: &str, code: Option<i32>, evidence: Vec<String>) -> Finding {
    let code = code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
    // Lines of the file are shown beside the error, and what it names may be called anything. What the kernel answered is
    // explained in the line behind it.
    let mut said = String::new();
    let mut explains = false;
    for line in &evidence {
        let answered = line.starts_with("it answered");
        if line.starts_with("error:") || answered || explains {
            said = said + &line.to_lowercase() + "\n";
        }
        explains = answered;
    }
    let module = ["module", "modprobe", "scheduler"].iter().any(|word| said.contains(word));
    let (cause, remedy) = if module {
        ("module-missing", "install or load the kernel's module that it names, or take what needs it out of the file")
    } else {
        ("not-applied", "do what it says, and rehearse again")
    };
    Finding {
        cause,
        host: host.to_owned(),
        text: format!("`lvsform apply --host {host}` ended with {code}"),
        evidence,
        remedy: remedy.to_owned(),
    }
}

/// Why a trial does not work: the causes in the order of the way, or that none was found.
pub(super) fn find(scene: &Scene<'_>, trial: &Trial, row: &Row, lost: &[Lost]) -> Vec<Finding> {
    let servers = suspects(scene, trial, lost);
    let mut hosts: Vec<&str> = vec![&trial.director];
    hosts.extend(servers.iter().filter_map(|server| server.seat.as_ref()).map(|seat| seat.host.as_str()));
    let mut seen = BTreeSet::new();
    hosts.retain(|host| seen.insert(*host));
    let mut found: Vec<Finding> = Vec::new();
    for host in &hosts {
        found.extend(drift::of(scene, host));
    }
    found.extend(way::to_director(scene, trial));
    for server in &servers {
        found.extend(way::to_server(scene, trial, server));
        found.extend(way::back(scene, trial, server));
    }
    for host in &hosts {
        found.extend(evidence::dropped_by_reverse_path(scene, host));
        found.extend(evidence::firewall(scene, host));
    }
    if lost.iter().any(|lost| lost.large) && !found.iter().any(|finding| finding.cause.starts_with("mtu")) {
        found.push(evidence::too_large(scene, trial, &hosts));
    }
    if found.is_empty() {
        found.push(unknown(scene, trial, row, lost));
    }
    found
}

/// The servers whose clients were lost: those that IPVS chose, those that saw a request that was never answered, or all.
fn suspects<'t>(scene: &Scene<'_>, trial: &'t Trial, lost: &[Lost]) -> Vec<&'t Server> {
    let chosen = scene.connections(&trial.director);
    let is_of = |server: &&Server| {
        lost.iter().any(|lost| {
            let by_ipvs = chosen.get(&lost.from).is_some_and(|to| SocketAddr::new(server.id.0.ip(), to.port()) == *to);
            by_ipvs || (lost.reached.is_some() && lost.reached == server.seat)
        })
    };
    let some: Vec<&Server> = trial.servers.iter().filter(is_of).collect();
    if some.is_empty() { trial.servers.iter().filter(|server| server.weight > 0).collect() } else { some }
}

/// Nothing was found: what is known all the same.
fn unknown(scene: &Scene<'_>, trial: &Trial, row: &Row, lost: &[Lost]) -> Finding {
    let chosen = scene.connections(&trial.director);
    let mut evidence: Vec<String> = row.wrong.clone();
    for lost in lost.iter().take(3) {
        let client = lost.from;
        let stuck = match &lost.stuck {
            Stuck::Here(error) => format!("it could not begin: {error}"),
            Stuck::NoConnection => "nobody answered its first packet".to_owned(),
            Stuck::Refused(error) => format!("it was refused: {error}"),
            Stuck::NoAnswer => "its request or the answer got lost".to_owned(),
        };
        let ipvs = match chosen.get(&client) {
            Some(server) => format!("IPVS sent it to {server}"),
            None if trial.protocol == Protocol::Udp && trial.service.flags.one_packet => "IPVS remembers no datagrams".to_owned(),
            None => "IPVS has no connection of it".to_owned(),
        };
        let server = match &lost.reached {
            Some(seat) => format!("{} got its request", seat.host),
            None => "no server got its request".to_owned(),
        };
        evidence.push(format!("client {client}: {stuck}; {ipvs}; {server}"));
    }
    Finding {
        cause: UNKNOWN,
        host: String::new(),
        text: format!(
            "{} at {} does not work, and nothing on the way is other than the file says",
            trial.listen(),
            trial.director
        ),
        evidence,
        remedy: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::not_applied;

    #[test]
    fn a_module_is_missing_where_the_error_says_so() {
        let cause = |lines: &[&str]| not_applied("lb1", Some(1), lines.iter().map(|line| (*line).to_owned()).collect()).cause;
        let explained = "scheduler `twos` is not available: module ip_vs_twos is missing";
        let answer = ["error: the kernel refused to add service s", "it answered ENOENT (No such file or directory)", explained];
        assert_eq!(cause(&answer), "module-missing");
        assert_eq!(cause(&["error: the kernel has no module ip_vs_twos"]), "module-missing");
        assert_eq!(cause(&["error: the address is taken", "7 |  scheduler \"rr\""]), "not-applied");
    }
}
