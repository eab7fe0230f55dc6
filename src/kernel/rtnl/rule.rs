//! Rules of the routing policy: dumps of them, and requests that make and delete them.
//!
//! A rule that says more than [`RuleKey`] can is left out of a dump: it is another one than any of ours.

use crate::kernel::netlink::wire::{Attributes, Malformed, Message, Writer, address, u8, u32};
use crate::kernel::netlink::{Dump, Failure, Socket};
use crate::kernel::{Outcome, Refusal};
use crate::state::{Change, Family, Key, OURS, Protocol, Resource, RuleKey};

use super::write::not_ours;

const NEW_RULE: u16 = 32;
const DELETE_RULE: u16 = 33;
const GET_RULE: u16 = 34;

/// `NLM_F_CREATE | NLM_F_EXCL`
const NEW: u16 = 0x600;
/// `FR_ACT_TO_TBL`
const TO_TABLE: u8 = 1;

/// `FRA_*` (`include/uapi/linux/fib_rules.h`)
mod attribute {
    pub const SOURCE: u16 = 2;
    pub const PRIORITY: u16 = 6;
    pub const MARK: u16 = 10;
    pub const SUPPRESS_PREFIX: u16 = 14;
    pub const TABLE: u16 = 15;
    pub const MARK_MASK: u16 = 16;
    pub const PAD: u16 = 18;
    pub const PROTOCOL: u16 = 21;
    pub const IP_PROTOCOL: u16 = 22;
    pub const SOURCE_PORTS: u16 = 23;
    pub const SOURCE_PORT_MASK: u16 = 28;
}

/// Dumps the rules of both families that lead to a table and say nothing that we have no word for.
pub fn rules(socket: &mut Socket) -> Result<(Vec<RuleKey>, Dump), Failure> {
    let mut rules = Vec::new();
    let write = |writer: &mut Writer| {
        writer.begin(GET_RULE, 0);
        writer.raw(&[0; 12]); // struct fib_rule_hdr
    };
    let dump = socket.dump(write, |message| {
        if message.kind == NEW_RULE && matches!(message.payload.first(), Some(2 | 10)) {
            let (rule, is_whole) = decode(&message).ok_or(Malformed)?;
            rules.extend(Some(rule).filter(|_| is_whole));
        }
        Ok(())
    })?;
    Ok((rules, dump))
}

/// A rule, and whether the key is all that it says; `None`: not a rule as the kernel sends it.
fn decode(message: &Message<'_>) -> Option<(RuleKey, bool)> {
    let [family, destination_length, source_length, tos, table, _, _, action, flags @ ..] =
        *message.payload.first_chunk::<12>()?;
    let family = if family == 2 { Family::Ipv4 } else { Family::Ipv6 };
    let mut key = RuleKey { family, priority: 0, from: None, mark: None, protocol: None, source_port: None, table: table.into() };
    let is_whole = source_length == 0 || source_length == family.bits();
    let mut known = destination_length == 0 && is_whole && tos == 0 && action == TO_TABLE && u32::from_ne_bytes(flags) == 0;
    for attribute in Attributes(message.payload.get(12..)?) {
        let (kind, value) = attribute.ok()?;
        match kind {
            attribute::SOURCE => key.from = Some(address(family, value)?),
            attribute::PRIORITY => key.priority = u32(value)?,
            attribute::MARK => key.mark = Some(u32(value)?),
            attribute::TABLE => key.table = u32(value)?,
            attribute::IP_PROTOCOL => key.protocol = Some(Protocol::from_number(u8(value)?.into())),
            attribute::SOURCE_PORTS => {
                let [a, b, c, d] = *value.first_chunk::<4>()?;
                let (first, last) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
                known &= first == last;
                key.source_port = Some(first);
            }
            attribute::MARK_MASK | attribute::SUPPRESS_PREFIX => known &= u32(value)? == u32::MAX,
            attribute::SOURCE_PORT_MASK => known &= value == [0xff; 2],
            attribute::PROTOCOL | attribute::PAD => {} // who made it
            _ => known = false,
        }
    }
    Some((key, known))
}

/// Carries out steps on rules, pipelined, and appends their outcomes.
pub fn change_rules(socket: &mut Socket, steps: &[Change], outcomes: &mut Vec<Outcome>) {
    socket.transact(steps, outcomes, |writer, step| write(step, writer).err().map(Outcome::Refused));
}

fn write(step: &Change, writer: &mut Writer) -> Result<(), Refusal> {
    let (request, flags) = match (&step.before, &step.after) {
        (None, Some(Resource::Rule)) => (NEW_RULE, NEW),
        (Some(Resource::Rule), None) => (DELETE_RULE, 0),
        _ => return Err(not_ours()),
    };
    let Key::Rule(key) = &step.key else { return Err(not_ours()) };
    let RuleKey { family, priority, from, mark, protocol, source_port, table } = *key;
    let (number, length) = match family {
        Family::Ipv4 => (2, from.map_or(0, |_| 32)),
        Family::Ipv6 => (10, from.map_or(0, |_| 128)),
    };
    writer.begin(request, flags);
    writer.raw(&[number, 0, length, 0, 0, 0, 0, TO_TABLE, 0, 0, 0, 0]);
    writer.u32(attribute::PRIORITY, priority);
    if let Some(from) = from {
        writer.address(attribute::SOURCE, from);
    }
    if let Some(mark) = mark {
        writer.u32(attribute::MARK, mark);
        writer.u32(attribute::MARK_MASK, u32::MAX);
    }
    if let Some(protocol) = protocol {
        writer.u8(attribute::IP_PROTOCOL, u8::try_from(protocol.number()).map_err(|_| not_ours())?);
    }
    if let Some(port) = source_port {
        let [a, b] = port.to_ne_bytes();
        writer.attribute(attribute::SOURCE_PORTS, &[a, b, a, b]);
    }
    writer.u32(attribute::TABLE, table);
    if request == NEW_RULE {
        writer.u8(attribute::PROTOCOL, OURS);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_answer_makes_a_reader_panic(payload: Vec<u8>) {
            let _ = decode(&Message { kind: NEW_RULE, flags: 0, sequence: 1, payload: &payload });
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in [
            "rule ipv4 30000 from 10.0.0.11 ipproto tcp sport 8080 lookup 167772161",
            "rule ipv6 30000 ipproto udp sport 53 lookup 9",
            "rule ipv4 30000 fwmark 4294967295 lookup 100",
        ] {
            let step = Change { key: text.parse().expect("a key"), before: None, after: Some(Resource::Rule) };
            let mut writer = Writer::default();
            write(&step, &mut writer).expect("a request");
            writer.end(1);
            let payload = writer.bytes().get(16..).expect("a header");
            let read = decode(&Message { kind: NEW_RULE, flags: 0, sequence: 1, payload });
            assert_eq!(read.map(|(key, whole)| (key.to_string(), whole)), Some((text.to_owned(), true)));
        }
    }

    #[test]
    fn a_rule_that_says_more_is_another_one() {
        let mut payload = vec![2, 0, 24, 0, 254, 0, 0, 1, 0, 0, 0, 0]; // from 10.0.0.0/24
        payload.extend([8, 0, 2, 0, 10, 0, 0, 0]);
        let read = decode(&Message { kind: NEW_RULE, flags: 0, sequence: 1, payload: &payload });
        assert_eq!(read.map(|(_, whole)| whole), Some(false));
    }
}
