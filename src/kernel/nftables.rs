//! Tables of nftables over netlink: what one holds, and a transaction that replaces it whole.
//!
//! Sources: `include/uapi/linux/netfilter/nf_tables.h`, `nfnetlink.h`. A table that is not named is never read, let alone
//! changed. Sets, maps and objects that others put into a table are not seen; the rules that use them are.

mod expression;

use std::collections::BTreeMap;

use nix::errno::Errno;

use self::expression::{decode, encode};
use super::netlink::wire::{Attributes, CREATE, Malformed, Message, Writer, string};
use super::netlink::{Dump, Failure, Socket};
use super::{Outcome, Refusal};
use crate::state::{Base, Chain, Change, Key, Resource, Table, TableRule};

/// The module. Asking for tables would load it.
pub const MODULE: &str = "nf_tables";

/// `NFPROTO_INET`
const INET: u8 = 1;
/// `NFNL_SUBSYS_NFTABLES`
const SUBSYSTEM: u16 = 10;

/// `NFT_MSG_*`, and `NFNL_MSG_BATCH_*`
mod message {
    use super::SUBSYSTEM;
    pub const NEW_TABLE: u16 = SUBSYSTEM << 8;
    pub const GET_TABLE: u16 = SUBSYSTEM << 8 | 1;
    pub const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
    pub const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
    pub const GET_CHAIN: u16 = SUBSYSTEM << 8 | 4;
    pub const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
    pub const GET_RULE: u16 = SUBSYSTEM << 8 | 7;
    pub const BATCH_BEGIN: u16 = 16;
    pub const BATCH_END: u16 = 17;
}

/// `NFTA_TABLE_*`, `NFTA_CHAIN_*`, `NFTA_HOOK_*`, `NFTA_RULE_*`
mod attribute {
    pub const TABLE_NAME: u16 = 1;
    pub const CHAIN_TABLE: u16 = 1;
    pub const CHAIN_NAME: u16 = 3;
    pub const CHAIN_HOOK: u16 = 4;
    pub const CHAIN_POLICY: u16 = 5;
    pub const CHAIN_TYPE: u16 = 7;
    pub const HOOK_NUMBER: u16 = 1;
    pub const HOOK_PRIORITY: u16 = 2;
    pub const RULE_TABLE: u16 = 1;
    pub const RULE_CHAIN: u16 = 2;
    pub const RULE_EXPRESSIONS: u16 = 4;
}

/// `NLM_F_EXCL`
const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_APPEND`
const APPEND: u16 = 0x800;

fn begin(writer: &mut Writer, kind: u16, flags: u16) {
    writer.begin(kind, flags);
    writer.raw(&[INET, 0, 0, 0]); // struct nfgenmsg
}

fn be32(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*value.first_chunk()?))
}

/// Whether there is a table of this name.
pub fn exists(socket: &mut Socket, table: &str) -> Result<bool, Failure> {
    let write = |writer: &mut Writer| {
        begin(writer, message::GET_TABLE, 0);
        writer.string(attribute::TABLE_NAME, table);
    };
    match socket.request(write, |_| Ok(())) {
        Ok(()) => Ok(true),
        Err(Failure::Refused(Refusal { errno, .. })) if errno == Errno::ENOENT as i32 => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// A chain without its rules.
type Named = (String, Option<Base>);

/// Dumps the chains of a table, without their rules.
pub fn chains(socket: &mut Socket, table: &str) -> Result<(Vec<Named>, Dump), Failure> {
    let mut chains = Vec::new();
    let write = |writer: &mut Writer| begin(writer, message::GET_CHAIN, 0);
    let dump = socket.dump(write, |message| {
        let (of, chain) = decode_chain(&message).ok_or(Malformed)?;
        chains.extend(Some(chain).filter(|_| of == table));
        Ok(())
    })?;
    Ok((chains, dump))
}

fn decode_chain(message: &Message<'_>) -> Option<(String, Named)> {
    let (mut table, mut name) = (String::new(), None);
    let mut base: Option<Base> = None;
    for attribute in Attributes(message.payload.get(4..)?) {
        let (kind, value) = attribute.ok()?;
        let found = || Base { kind: String::new(), hook: 0, priority: 0, policy: 1 };
        match kind {
            attribute::CHAIN_TABLE => table = string(value),
            attribute::CHAIN_NAME => name = Some(string(value)),
            attribute::CHAIN_TYPE => base.get_or_insert_with(found).kind = string(value),
            attribute::CHAIN_POLICY => base.get_or_insert_with(found).policy = be32(value)?,
            attribute::CHAIN_HOOK => {
                let base = base.get_or_insert_with(found);
                for attribute in Attributes(value) {
                    match attribute.ok()? {
                        (attribute::HOOK_NUMBER, value) => base.hook = be32(value)?,
                        (attribute::HOOK_PRIORITY, value) => base.priority = be32(value)?.cast_signed(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some((table, (name?, base)))
}

/// Dumps the rules of a table, each with its chain, in their order.
pub fn rules(socket: &mut Socket, table: &str) -> Result<(Vec<(String, TableRule)>, Dump), Failure> {
    let mut rules = Vec::new();
    let write = |writer: &mut Writer| {
        begin(writer, message::GET_RULE, 0);
        writer.string(attribute::RULE_TABLE, table);
    };
    let dump = socket.dump(write, |message| {
        let (of, chain, rule) = decode_rule(&message).ok_or(Malformed)?;
        rules.extend(Some((chain, rule)).filter(|_| of == table));
        Ok(())
    })?;
    Ok((rules, dump))
}

fn decode_rule(message: &Message<'_>) -> Option<(String, String, TableRule)> {
    let (mut table, mut chain, mut rule) = (String::new(), String::new(), None);
    for attribute in Attributes(message.payload.get(4..)?) {
        match attribute.ok()? {
            (attribute::RULE_TABLE, value) => table = string(value),
            (attribute::RULE_CHAIN, value) => chain = string(value),
            (attribute::RULE_EXPRESSIONS, value) => rule = Some(decode(value)),
            _ => {}
        }
    }
    // A rule may say nothing at all.
    Some((table, chain, rule.unwrap_or(TableRule::Foreign { expressions: Vec::new() })))
}

/// A table of its chains and rules.
pub fn table(chains: Vec<Named>, rules: Vec<(String, TableRule)>) -> Table {
    let mut table: BTreeMap<String, Chain> =
        chains.into_iter().map(|(name, base)| (name, Chain { base, rules: Vec::new() })).collect();
    for (chain, rule) in rules {
        table.entry(chain).or_insert(Chain { base: None, rules: Vec::new() }).rules.push(rule);
    }
    Table { chains: table }
}

/// One message of a transaction.
enum Part<'a> {
    Begin,
    Delete(&'a str),
    New(&'a str),
    Chain(&'a str, &'a str, &'a Chain),
    Rule(&'a str, &'a str, &'a TableRule),
    End,
}

/// Carries out one step on a table: all of it, or nothing.
pub fn change(socket: &mut Socket, step: &Change) -> Outcome {
    let Key::Nftables(name) = &step.key else { return Outcome::Refused(not_ours()) };
    let mut parts = vec![Part::Begin];
    if step.before.is_some() {
        parts.push(Part::Delete(name));
    }
    match &step.after {
        None => {}
        Some(Resource::Nftables(table)) => {
            parts.push(Part::New(name));
            let chains = || table.chains.iter();
            parts.extend(chains().map(|(chain, value)| Part::Chain(name, chain, value)));
            parts.extend(chains().flat_map(|(chain, value)| value.rules.iter().map(|rule| Part::Rule(name, chain, rule))));
        }
        Some(_) => return Outcome::Refused(not_ours()),
    }
    parts.push(Part::End);
    socket.transaction(parts.len(), |writer, at| {
        if let Some(part) = parts.get(at) {
            part.write(writer);
        }
    })
}

fn not_ours() -> Refusal {
    let text = "the step's key and value are of different kinds".to_owned();
    Refusal { errno: Errno::EINVAL as i32, text: Some(text) }
}

impl Part<'_> {
    fn write(&self, writer: &mut Writer) {
        match self {
            Part::Begin | Part::End => {
                writer.begin(if matches!(self, Part::Begin) { message::BATCH_BEGIN } else { message::BATCH_END }, 0);
                let [high, low] = SUBSYSTEM.to_be_bytes();
                writer.raw(&[0, 0, high, low]);
            }
            Part::Delete(table) => {
                begin(writer, message::DELETE_TABLE, 0);
                writer.string(attribute::TABLE_NAME, table);
            }
            Part::New(table) => {
                begin(writer, message::NEW_TABLE, CREATE | EXCLUSIVE);
                writer.string(attribute::TABLE_NAME, table);
            }
            Part::Chain(table, name, Chain { base, rules: _ }) => {
                begin(writer, message::NEW_CHAIN, CREATE);
                writer.string(attribute::CHAIN_TABLE, table);
                writer.string(attribute::CHAIN_NAME, name);
                if let Some(Base { kind, hook, priority, policy }) = base {
                    writer.nested(attribute::CHAIN_HOOK, |writer| {
                        writer.attribute(attribute::HOOK_NUMBER, &hook.to_be_bytes());
                        writer.attribute(attribute::HOOK_PRIORITY, &priority.to_be_bytes());
                    });
                    writer.attribute(attribute::CHAIN_POLICY, &policy.to_be_bytes());
                    writer.string(attribute::CHAIN_TYPE, kind);
                }
            }
            Part::Rule(table, chain, rule) => {
                begin(writer, message::NEW_RULE, CREATE | APPEND);
                writer.string(attribute::RULE_TABLE, table);
                writer.string(attribute::RULE_CHAIN, chain);
                writer.nested(attribute::RULE_EXPRESSIONS, |writer| encode(rule, writer));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_answer_makes_a_reader_panic(payload: Vec<u8>) {
            let message = Message { kind: message::NEW_RULE, flags: 0, sequence: 1, payload: &payload };
            let _ = (decode_rule(&message), decode_chain(&message));
        }
    }
}
