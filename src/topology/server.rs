//! `server` in pools and services, and `forward`, which a server may override.

use super::block::{Block, Context};
use super::fault::Fault;
use super::host::checksum;
use super::range::{AddressRange, NameRange};
use super::value::Value;
use super::{Forward, Pool, Server};
use crate::source::At;
use crate::state::{Checksum, Encapsulation};

/// A pool; `None` where it has no name.
pub fn pool(cx: &mut Context, block: &Block) -> Option<Pool> {
    let name = block.label()?;
    Some(Pool { name, servers: servers(cx, block) })
}

/// The servers of a pool or service in the order of the text, ranges expanded. Their hosts are found when all are known.
pub fn servers(cx: &mut Context, block: &Block) -> Vec<Server> {
    let mut found = Vec::new();
    for block in block.of("server") {
        expand(cx, block, &mut found);
    }
    found.shrink_to_fit();
    found
}

/// What stands behind `server`.
enum Label<'b> {
    Names(&'b NameRange),
    Addresses(&'b AddressRange),
}

fn expand(cx: &mut Context, block: &Block, found: &mut Vec<Server>) {
    let forward = block.of("forward").next().and_then(|block| forward(cx, block));
    let Some(At { value: label, origin }) = block.main() else { return };
    let (label, count) = match label {
        Value::Names(names) => (Label::Names(names), names.count()),
        Value::Addresses(range) => (Label::Addresses(range), range.count()),
        _ => return,
    };
    let host = block.names("host");
    let address = block.addresses("address").into_iter().next();
    let host_count = host.as_ref().map(|host| (host.value.count(), host.origin));
    let address_count = address.as_ref().map(|address| (address.value.count(), address.origin));
    for (other, origin) in host_count.into_iter().chain(address_count) {
        if other != count {
            cx.report(&Fault::RangeLengths { names: count, count: other, name: block.span }, origin.span().unwrap_or(block.span));
            return;
        }
    }
    if (block.given("address").is_some() && address.is_none()) || (block.given("host").is_some() && host.is_none()) {
        return;
    }
    let plain = host.is_none() && address.is_none();
    found.extend((0..count).map(|index| Server {
        label: At {
            value: match label {
                Label::Names(names) => names.at(index),
                Label::Addresses(range) => range.at(index).to_string(),
            },
            origin: *origin,
        },
        host: host.as_ref().map(|At { value, origin }| At { value: value.at(index), origin: *origin }),
        address: match (&address, &label) {
            (Some(At { value, origin }), _) => Some(At { value: value.at(index), origin: *origin }),
            (None, Label::Addresses(range)) if plain => Some(At { value: range.at(index), origin: *origin }),
            _ => None,
        },
        weight: block.integer("weight").unwrap_or(At::default(1)),
        port: block.integer("port"),
        max_connections: block.integer("max-connections").unwrap_or(At::default(0)),
        min_connections: block.integer("min-connections").unwrap_or(At::default(0)),
        forward: forward.clone(),
    }));
}

/// `forward`: the method and what its packets are wrapped in.
pub fn forward(cx: &mut Context, block: &Block) -> Option<At<Forward>> {
    let method = block.main_word()?;
    if method.value != "tun" {
        for word in ["encap", "port", "checksum"] {
            if let Some(span) = block.given(word) {
                cx.report(&Fault::OnlyTun { word, method: method.value }, span);
            }
        }
        let value = if method.value == "nat" { Forward::Nat } else { Forward::Dr };
        return Some(At { value, origin: method.origin });
    }
    let encap = block.word("encap")?;
    let checksum = checksum(block);
    let at = encap.origin.span().unwrap_or(block.span);
    if let (true, Some(span)) = (encap.value != "gue", block.given("port")) {
        cx.report(&Fault::EncapPort { encap: encap.value }, span);
    }
    let unfit = match encap.value {
        "ipip" => checksum != Checksum::None,
        "gre" => checksum == Checksum::Remcsum,
        _ => false,
    };
    if let (true, Some(span)) = (unfit, block.given("checksum")) {
        cx.report(&Fault::EncapChecksum { encap: encap.value }, span);
    }
    let encapsulation = match encap.value {
        "ipip" => Encapsulation::Ipip,
        "gre" => Encapsulation::Gre { checksum },
        _ => {
            if block.given("port").is_none() {
                cx.report(&Fault::GueWithoutPort, at);
            }
            Encapsulation::Gue { port: block.integer("port")?.value, checksum }
        }
    };
    Some(At { value: Forward::Tun(encapsulation), origin: method.origin })
}
