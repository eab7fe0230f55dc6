//! `director`, `real-server` and what stands in them: interfaces, tunnels, routes, masquerades.

use std::collections::BTreeMap;

use super::block::{Block, Context};
use super::fault::Fault;
use super::range::NameRange;
use super::shape::Target;
use super::tuning::sysctls;
use super::value::Value;
use super::{Gue, Host, Interface, Masquerade, Role, Route, TunnelDevice};
use crate::source::problem::nearest;
use crate::source::{At, Span};
use crate::state::{Checksum, Inner, TunnelKind};
use ipnet::IpNet;

/// The hosts of one node: one for each name of its range, whose other ranges go with it.
pub fn hosts(cx: &mut Context, block: &Block, role: Role) -> Vec<Host> {
    let Some(At { value: Value::Names(names), origin }) = block.main() else { return Vec::new() };
    let name_span = origin.span().unwrap_or(block.span);
    if let Some((count, span)) = block.ranges().into_iter().find(|(count, _)| *count != names.count()) {
        cx.report(&Fault::RangeLengths { names: names.count(), count, name: name_span }, span);
        return vec![host(cx, block, role, names, name_span, 0)];
    }
    let mut hosts = vec![host(cx, block, role, names, name_span, 0)];
    // What is wrong with the first is wrong with all, and has been said.
    let mut quiet = Context::default();
    hosts.extend((1..names.count()).map(|index| host(&mut quiet, block, role, names, name_span, index)));
    hosts
}

fn host(cx: &mut Context, block: &Block, role: Role, names: &NameRange, span: Span, index: u32) -> Host {
    let name = At::new(names.at(index), span);
    let hostname = match block.names("hostname") {
        Some(At { value, origin }) => At { value: value.at(index), origin },
        None => At::default(name.value.clone()),
    };
    let mut interfaces: BTreeMap<String, Interface> = BTreeMap::new();
    for block in block.of("interface") {
        let Some(name) = block.label() else { continue };
        if let Some(first) = interfaces.get(&name.value).and_then(|first| first.name.origin.span()) {
            cx.report(&Fault::Twice { what: format!("interface {}", name.value).into(), first }, block.span);
            continue;
        }
        interfaces.insert(name.value.clone(), interface(block, name, index));
    }
    let mut tunnels: Vec<TunnelDevice> = Vec::new();
    for block in block.of("tunnel") {
        let Some(tunnel) = tunnel(block, index) else { continue };
        let same = |known: &&TunnelDevice| known.name.value == tunnel.name.value;
        let first = tunnels.iter().find(same).map(|known| &known.name).or(interfaces.get(&tunnel.name.value).map(|i| &i.name));
        match first.and_then(|name| name.origin.span()) {
            Some(first) => {
                cx.report(&Fault::Twice { what: format!("device {}", tunnel.name.value).into(), first }, block.span);
            }
            None => tunnels.push(tunnel),
        }
    }
    let routes = routes(cx, block, &tunnels);
    let masquerades = block.of("masquerade").filter_map(masquerade).collect();
    let sysctls = sysctls(cx, block);
    Host { role, name, hostname, interfaces, sysctls, tunnels, routes, masquerades, quiesce: block.boolean("quiesce") }
}

fn networks(block: &Block, word: &str, index: u32) -> Vec<At<IpNet>> {
    let at = |At { value, origin }: At<super::range::NetworkRange>| At { value: value.at(index), origin };
    block.networks(word).into_iter().map(at).collect()
}

fn interface(block: &Block, name: At<String>, index: u32) -> Interface {
    let gateways = block.addresses("gateway").into_iter().map(|At { value, origin }| At { value: value.at(0), origin }).collect();
    Interface { name, addresses: networks(block, "address", index), mtu: block.integer("mtu"), gateways }
}

fn tunnel(block: &Block, index: u32) -> Option<TunnelDevice> {
    let kind = block.word("kind")?;
    let kind = At {
        value: match kind.value {
            "ipip" => TunnelKind::Ipip,
            "sit" => TunnelKind::Sit,
            "gre" => TunnelKind::Gre,
            "ip6gre" => TunnelKind::Ip6gre,
            _ => TunnelKind::Ip6tnl,
        },
        origin: kind.origin,
    };
    let mode = block.word("mode").map(|At { value, origin }| {
        let value = match value {
            "ip6ip6" => Inner::Ip6ip6,
            "ipip6" => Inner::Ipip6,
            _ => Inner::Any,
        };
        At { value, origin }
    });
    let end = |word| {
        let at = |At { value, origin }: At<super::range::AddressRange>| At { value: value.at(index), origin };
        block.addresses(word).into_iter().next().map(at)
    };
    Some(TunnelDevice {
        name: block.label()?,
        kind,
        local: end("local"),
        remote: end("remote"),
        device: block.text("device"),
        ttl: block.integer("ttl"),
        mtu: block.integer("mtu"),
        mode,
        key: block.integer("key"),
        checksum: block.boolean("checksum"),
        gue: block.of("encap").next().and_then(gue),
        addresses: networks(block, "address", index),
    })
}

fn gue(block: &Block) -> Option<At<Gue>> {
    let origin = block.main_word()?.origin;
    let port = block.integer("port")?.value;
    Some(At { value: Gue { port, checksum: checksum(block) }, origin })
}

/// The `checksum` of an outer header.
pub fn checksum(block: &Block) -> Checksum {
    match block.word("checksum").map(|checksum| checksum.value) {
        Some("csum") => Checksum::Csum,
        Some("remcsum") => Checksum::Remcsum,
        _ => Checksum::None,
    }
}

fn routes(cx: &mut Context, block: &Block, tunnels: &[TunnelDevice]) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for block in block.of("route") {
        let Some(At { value: Value::Networks(network), origin }) = block.main() else { continue };
        let Some(tunnel) = block.text("tunnel") else { continue };
        let destination = At { value: network.at(0), origin: *origin };
        let first = routes.iter().find(|known| known.destination.value == destination.value);
        if let Some(first) = first.and_then(|first| first.destination.origin.span()) {
            cx.report(&Fault::Twice { what: format!("route {}", destination.value).into(), first }, block.span);
            continue;
        }
        if tunnels.iter().all(|known| known.name.value != tunnel.value) {
            let known: Vec<String> = tunnels.iter().map(|known| known.name.value.clone()).collect();
            let nearest = nearest(&tunnel.value, known.iter().map(String::as_str)).map(str::to_owned);
            let fault = Fault::Unresolved { target: Target::Tunnel, name: tunnel.value.as_str().into(), nearest, known };
            cx.report(&fault, tunnel.origin.span().unwrap_or(block.span));
        }
        routes.push(Route { destination, tunnel });
    }
    routes
}

fn masquerade(block: &Block) -> Option<Masquerade> {
    let sources = networks(block, "source", 0);
    Some(Masquerade { span: block.span, interface: block.text("interface")?, sources })
}
