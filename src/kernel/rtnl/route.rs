//! Routes: dumps of them, and requests that put them back.
//!
//! What we have no word for is kept as the kernel sent it, and sent back so.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nix::errno::Errno;

use super::write::{device_index, not_ours};
use crate::kernel::netlink::wire::{Attributes, Malformed, Message, Writer, address, u32};
use crate::kernel::netlink::{Dump, Failure, Socket};
use crate::kernel::{Outcome, Refusal};
use crate::state::{Change, Family, Key, Resource, Route, RouteKey};

const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;

/// `NLM_F_CREATE | NLM_F_APPEND`: beside others to the same destination, and refused where the very same is there.
const APPEND: u16 = 0xc00;
/// `NLM_F_REPLACE`
const REPLACE: u16 = 0x100;

/// `RTPROT_KERNEL`: the kernel makes and takes away these itself.
const KERNEL: u8 = 2;

const ON_LINK: u32 = 4; // RTNH_F_ONLINK

/// `RTA_*`
mod attribute {
    pub const DESTINATION: u16 = 1;
    pub const DEVICE: u16 = 4;
    pub const GATEWAY: u16 = 5;
    pub const PRIORITY: u16 = 6;
    pub const SOURCE: u16 = 7;
    pub const MULTIPATH: u16 = 9;
    pub const CACHE_INFO: u16 = 12;
    pub const TABLE: u16 = 15;
}

/// A route whose devices are numbers yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Its key without the device's name.
    pub key: RouteKey,
    /// The route without the names of several devices.
    pub route: Route,
    /// The number of its device.
    pub device: Option<u32>,
    /// The numbers of several devices.
    pub devices: Vec<u32>,
}

/// Dumps the routes of both families that `wanted` takes; those of the kernel itself are left out.
pub fn routes(socket: &mut Socket, wanted: impl Fn(&Numbered) -> bool) -> Result<(Vec<Numbered>, Dump), Failure> {
    let mut routes = Vec::new();
    let write = |writer: &mut Writer| {
        writer.begin(GET_ROUTE, 0);
        writer.raw(&[0; 12]); // struct rtmsg
    };
    let dump = socket.dump(write, |message| {
        // Another family's routes do not concern us.
        if matches!(message.payload.first(), Some(2 | 10)) {
            let route = decode(&message).ok_or(Malformed)?;
            routes.extend(Some(route).filter(|route| route.route.protocol != KERNEL && wanted(route)));
        }
        Ok(())
    })?;
    Ok((routes, dump))
}

fn decode(message: &Message<'_>) -> Option<Numbered> {
    if message.kind != NEW_ROUTE {
        return None;
    }
    let [family, prefix, source_prefix, tos, table, protocol, scope, kind, flags @ ..] = *message.payload.first_chunk::<12>()?;
    let family = if family == 2 { Family::Ipv4 } else { Family::Ipv6 };
    let any: IpAddr = if family == Family::Ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let mut numbered = Numbered {
        key: RouteKey {
            destination: IpNet::new(any, prefix).ok()?,
            via: None,
            interface: String::new(),
            table: table.into(),
            metric: 0,
            tos,
        },
        route: Route {
            kind,
            protocol,
            scope,
            on_link: u32::from_ne_bytes(flags) & ON_LINK != 0,
            source_prefix,
            source: None,
            devices: BTreeSet::new(),
            attributes: Vec::new(),
        },
        device: None,
        devices: Vec::new(),
    };
    let Numbered { key, route, device, devices } = &mut numbered;
    for attribute in Attributes(message.payload.get(12..)?) {
        let (kind, value) = attribute.ok()?;
        match kind {
            attribute::DESTINATION => key.destination = IpNet::new(address(family, value)?, prefix).ok()?,
            attribute::DEVICE => *device = Some(u32(value)?),
            attribute::GATEWAY => key.via = Some(address(family, value)?),
            attribute::PRIORITY => key.metric = u32(value)?,
            attribute::SOURCE => route.source = Some(address(family, value)?),
            attribute::TABLE => key.table = u32(value)?,
            attribute::CACHE_INFO => {} // counters and ages
            kind => {
                if kind == attribute::MULTIPATH {
                    *devices = hops(value)?;
                }
                route.attributes.push((kind, value.to_vec()));
            }
        }
    }
    Some(numbered)
}

/// The devices of several next hops: each a `struct rtnexthop` {length, flags, hops, device} with its attributes.
fn hops(mut value: &[u8]) -> Option<Vec<u32>> {
    let mut devices = Vec::new();
    while let Some(hop) = value.first_chunk::<8>() {
        let [l0, l1, _, _, device @ ..] = *hop;
        devices.push(u32::from_ne_bytes(device));
        let length = usize::from(u16::from_ne_bytes([l0, l1])).next_multiple_of(4);
        value = value.get(length.max(8)..)?;
    }
    value.is_empty().then_some(devices)
}

/// Carries out steps on routes, pipelined, and appends their outcomes.
pub fn change_routes(socket: &mut Socket, steps: &[Change], outcomes: &mut Vec<Outcome>) {
    let mut devices = HashMap::new();
    socket.transact(steps, outcomes, |writer, step| write(step, &mut devices, writer).err().map(Outcome::Refused));
}

fn write(step: &Change, devices: &mut HashMap<String, u32>, writer: &mut Writer) -> Result<(), Refusal> {
    let (request, flags, route) = match (&step.before, &step.after) {
        (None, Some(Resource::Route(after))) => (NEW_ROUTE, APPEND, after),
        (Some(_), Some(Resource::Route(after))) => (NEW_ROUTE, REPLACE, after),
        (Some(Resource::Route(before)), None) => (DELETE_ROUTE, 0, before),
        _ => return Err(not_ours()),
    };
    let Key::Route(key) = &step.key else { return Err(not_ours()) };
    let RouteKey { destination, via, interface, table, metric, tos } = key;
    let Route { kind, protocol, scope, on_link, source_prefix, source, devices: _, attributes } = &**route;
    if attributes.iter().map(|(_, value)| value.len() + 4).sum::<usize>() > 2048 {
        let text = "the route has more next hops than fit into one request".to_owned();
        return Err(Refusal { errno: Errno::EMSGSIZE as i32, text: Some(text) });
    }
    // A next hop object has the device and the router, and the kernel takes them from one place only.
    let is_object = attributes.iter().any(|(kind, _)| *kind == NEXT_HOP);
    let device = match devices.get(interface.as_str()) {
        _ if interface.is_empty() || is_object => None,
        Some(index) => Some(*index),
        None => {
            let index = device_index(interface)?;
            devices.insert(interface.clone(), index);
            Some(index)
        }
    };
    writer.begin(request, flags);
    let family = if key.family() == Family::Ipv4 { 2 } else { 10 };
    writer.raw(&[family, destination.prefix_len(), *source_prefix, *tos, 0, *protocol, *scope, *kind]);
    writer.raw(&(if *on_link { ON_LINK } else { 0 }).to_ne_bytes());
    writer.address(attribute::DESTINATION, destination.addr());
    writer.u32(attribute::TABLE, *table);
    if *metric != 0 {
        writer.u32(attribute::PRIORITY, *metric);
    }
    if let Some(via) = via.filter(|_| !is_object) {
        writer.address(attribute::GATEWAY, via);
    }
    if let Some(device) = device {
        writer.u32(attribute::DEVICE, device);
    }
    if let Some(source) = source {
        writer.address(attribute::SOURCE, *source);
    }
    for (kind, value) in attributes {
        writer.attribute(*kind, value);
    }
    Ok(())
}

/// `RTA_NH_ID`
const NEXT_HOP: u16 = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_answer_makes_a_reader_panic(payload: Vec<u8>) {
            let _ = decode(&Message { kind: NEW_ROUTE, flags: 0, sequence: 1, payload: &payload });
            let _ = hops(&payload);
        }
    }

    #[test]
    fn several_next_hops_have_several_devices() {
        let hop = |length: u8, device: u8| [length, 0, 0, 0, device, 0, 0, 0];
        let mut bytes = hop(16, 3).to_vec();
        bytes.extend([8, 0, 5, 0, 10, 0, 0, 1]); // its router
        bytes.extend(hop(8, 4));
        assert_eq!(hops(&bytes), Some(vec![3, 4]));
        assert_eq!(hops(&bytes[..13]), None, "cut");
    }
}
