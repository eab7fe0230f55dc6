//! Carrying out one phase.
//!
//! Steps are taken in runs of one kind, in the order of the phase. What a run can send together, it sends together.

use nix::errno::Errno;

use super::Linux;
use crate::kernel::ipvs::{self, Request};
use crate::kernel::netlink::wire::Writer;
use crate::kernel::netlink::{Failure, Limits, Protocol, Socket, family};
use crate::kernel::{Outcome, Refusal, announce, fou, module, nftables, rtnl, sysctl};
use crate::plan::Phase;
use crate::state::{Action, AddressKey, Change, Family, Key, Resource};

/// Which part of the kernel a step is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Module,
    Sysctl,
    Fou,
    Link,
    Address,
    Route,
    Rule,
    Nftables,
    Ipvs,
}

fn part(key: &Key) -> Part {
    match key {
        Key::Module(_) => Part::Module,
        Key::Sysctl(_) => Part::Sysctl,
        Key::Fou(_) => Part::Fou,
        Key::Link(_) => Part::Link,
        Key::Address(_) => Part::Address,
        Key::Route(_) => Part::Route,
        Key::Rule(_) => Part::Rule,
        Key::Nftables(_) => Part::Nftables,
        Key::Timeouts | Key::Service(_) | Key::Destination(_) | Key::Order(_) | Key::Sync(_) => Part::Ipvs,
    }
}

pub(super) fn run(linux: &mut Linux, phase: &Phase) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(phase.steps.len());
    for steps in phase.steps.chunk_by(|one, next| part(&one.key) == part(&next.key)) {
        let Some(first) = steps.first() else { continue };
        match part(&first.key) {
            Part::Module => outcomes.extend(steps.iter().map(|step| load(&mut linux.generic, step))),
            Part::Sysctl => outcomes.extend(steps.iter().map(write_sysctl)),
            Part::Fou => pipeline(&mut linux.generic, fou::FAMILY, steps, &mut outcomes, |step, family, writer| {
                fou_request(step).map(|request| request.map(|request| request.write(family, writer)))
            }),
            Part::Link => rtnl::change_links(&mut linux.route, steps, &mut outcomes),
            Part::Address => {
                rtnl::change_addresses(&mut linux.route, steps, &mut outcomes);
                let done =
                    outcomes.iter().skip(outcomes.len().saturating_sub(steps.len())).map(|outcome| *outcome == Outcome::Done);
                announce::announce(steps.iter().zip(done).filter_map(|(step, done)| come(step).filter(|_| done)));
            }
            Part::Route => rtnl::change_routes(&mut linux.route, steps, &mut outcomes),
            Part::Rule => rtnl::change_rules(&mut linux.route, steps, &mut outcomes),
            Part::Nftables => change_tables(steps, &mut outcomes),
            Part::Ipvs => pipeline(&mut linux.generic, ipvs::wire::FAMILY, steps, &mut outcomes, |step, family, writer| {
                ipvs_request(step).map(|request| request.map(|request| request.write(family, writer)))
            }),
        }
    }
    outcomes
}

/// A VIP that was not there before.
fn come(step: &Change) -> Option<&AddressKey> {
    let key = step.key.address().filter(|key| key.prefix == Family::of(key.address).bits())?;
    (step.before.is_none() && step.after.is_some()).then_some(key)
}

fn refused(errno: Errno, text: &str) -> Refusal {
    Refusal { errno: errno as i32, text: Some(text.to_owned()) }
}

fn malformed() -> Refusal {
    refused(Errno::EINVAL, "the step's key and value are of different kinds")
}

fn irreplaceable() -> Refusal {
    refused(Errno::EINVAL, "the kernel cannot change this in place: it takes a delete and an add")
}

/// `ip_vs` comes with its netlink family; others by modprobe. Nothing is ever unloaded.
fn load(socket: &mut Socket, step: &Change) -> Outcome {
    match (&step.key, &step.after) {
        (Key::Module(_), None) => Outcome::Done,
        (Key::Module(name), Some(Resource::Module)) if name == "ip_vs" => match family::load(socket, ipvs::wire::FAMILY) {
            Ok(_) => Outcome::Done,
            Err(_) => module::load(name),
        },
        (Key::Module(name), Some(Resource::Module)) => module::load(name),
        _ => Outcome::Refused(malformed()),
    }
}

/// A value that nobody wants any more stays as it is: only a value can be written.
fn write_sysctl(step: &Change) -> Outcome {
    match (&step.key, &step.after) {
        (Key::Sysctl(_), None) => Outcome::Done,
        (Key::Sysctl(key), Some(Resource::Sysctl(value))) => sysctl::write(key, value),
        _ => Outcome::Refused(malformed()),
    }
}

/// Each table is a transaction of its own. The socket is opened for them alone: that loads modules.
fn change_tables(steps: &[Change], outcomes: &mut Vec<Outcome>) {
    match Socket::open(Protocol::Netfilter, Limits::default()) {
        Ok(mut socket) => outcomes.extend(steps.iter().map(|step| nftables::change(&mut socket, step))),
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(Errno::EIO as i32);
            let refusal = Refusal { errno, text: Some("the kernel has no nftables".to_owned()) };
            outcomes.resize(outcomes.len() + steps.len(), Outcome::Refused(refusal));
        }
    }
}

/// Sends the request of each step, for the number of a family. `write` writes one, or none for a step that is done without.
fn pipeline(
    socket: &mut Socket,
    family: &str,
    steps: &[Change],
    outcomes: &mut Vec<Outcome>,
    write: impl Fn(&Change, u16, &mut Writer) -> Result<Option<()>, Refusal>,
) {
    match family::load(socket, family) {
        Ok(number) => socket.transact(steps, outcomes, |writer, step| match write(step, number, writer) {
            Ok(Some(())) => None,
            Ok(None) => Some(Outcome::Done),
            Err(refusal) => Some(Outcome::Refused(refusal)),
        }),
        Err(failure) => {
            let (errno, text) = match failure {
                Failure::Refused(Refusal { errno, text }) => (errno, text),
                Failure::Malformed => (Errno::EPROTO as i32, None),
            };
            let text = text.unwrap_or_else(|| format!("the kernel has no netlink family {family}"));
            let outcome = Outcome::Refused(Refusal { errno, text: Some(text) });
            outcomes.resize(outcomes.len() + steps.len(), outcome);
        }
    }
}

fn fou_request(step: &Change) -> Result<Option<fou::Request>, Refusal> {
    match (&step.key, &step.before, &step.after) {
        (Key::Fou(key), None, Some(Resource::Fou(port))) => fou::Request::add(*key, *port).map(Some),
        (Key::Fou(key), Some(_), None) => Ok(Some(fou::Request::Delete(*key))),
        (Key::Fou(_), None, None) => Ok(None),
        (Key::Fou(_), Some(_), Some(Resource::Fou(_))) => Err(irreplaceable()),
        _ => Err(malformed()),
    }
}

fn ipvs_request(step: &Change) -> Result<Option<Request<'_>>, Refusal> {
    let Change { key, before, after } = step;
    if before.is_some() && after.is_some() && step.action() == Action::Replace {
        return Err(irreplaceable());
    }
    Ok(Some(match (key, before, after) {
        // There are always timeouts; a change that has none leaves them.
        (_, None, None) | (Key::Timeouts, _, None) => return Ok(None),
        (Key::Timeouts, _, Some(Resource::Timeouts(timeouts))) => Request::SetTimeouts(*timeouts),
        (Key::Service(key), None, Some(Resource::Service(service))) => Request::NewService(*key, service),
        (Key::Service(key), Some(_), Some(Resource::Service(service))) => Request::SetService(*key, service),
        (Key::Service(key), Some(_), None) => Request::DeleteService(*key),
        (Key::Destination(key), None, Some(Resource::Destination(destination))) => Request::NewDestination(*key, destination),
        (Key::Destination(key), Some(_), Some(Resource::Destination(destination))) => Request::SetDestination(*key, destination),
        (Key::Destination(key), Some(_), None) => Request::DeleteDestination(*key),
        (Key::Sync(role), None, Some(Resource::Sync(daemon))) => Request::NewDaemon(*role, daemon),
        (Key::Sync(role), Some(_), None) => Request::DeleteDaemon(*role),
        (Key::Order(_), ..) => {
            return Err(refused(Errno::EINVAL, "an order of servers is changed by its servers, not by a step of its own"));
        }
        _ => return Err(malformed()),
    }))
}
