//! The tunnels that a host declares: device, addresses, routes, and the port that takes GUE apart.

use std::sync::Arc;

use super::{Target, alias};
use crate::state::{
    Address, AddressKey, Family, FouKey, FouPort, GueEncap, Inner, Key, Link, LinkKind, MAIN_TABLE, Resource, Route, RouteKey,
    Tunnel, TunnelKind,
};
use crate::topology::{Host, Topology, TunnelDevice};

pub(super) fn compile(topology: &Topology, host: &Host, target: &mut Target) {
    for route in &host.routes {
        let destination = route.destination.value.trunc();
        let interface = route.tunnel.value.clone();
        let metric = Route::metric(Family::of(destination.addr()));
        let key = RouteKey { destination, via: None, interface, table: MAIN_TABLE, metric, tos: 0 };
        let value = Resource::from(Route::ours(&key));
        target.add(Key::Route(key), value, &route.tunnel.value.as_str().into(), route.destination.origin);
    }
    for tunnel in &host.tunnels {
        let name: Arc<str> = tunnel.name.value.as_str().into();
        let link = Link {
            device: LinkKind::Tunnel(device(tunnel)),
            up: true,
            mtu: tunnel.mtu.as_ref().map(|mtu| mtu.value),
            alias: Some(alias(topology)),
        };
        target.add(Key::Link(tunnel.name.value.clone()), Resource::from(link), &name, tunnel.name.origin);
        for address in &tunnel.addresses {
            let key = AddressKey {
                address: address.value.addr(),
                prefix: address.value.prefix_len(),
                interface: tunnel.name.value.clone(),
            };
            target.add(Key::Address(key), Resource::Address(Address::default()), &name, address.origin);
        }
        if let Some(gue) = &tunnel.gue {
            let family = if tunnel.kind.value.outer_is_ipv6() { Family::Ipv6 } else { Family::Ipv4 };
            let key = FouKey { port: gue.value.port, family };
            target.share(Key::Fou(key), Resource::Fou(FouPort { gue: true }), &name, gue.origin);
        }
    }
}

fn device(tunnel: &TunnelDevice) -> Tunnel {
    let kind = tunnel.kind.value;
    Tunnel {
        kind,
        local: tunnel.local.as_ref().map(|local| local.value),
        remote: tunnel.remote.as_ref().map(|remote| remote.value),
        device: tunnel.device.as_ref().map(|device| device.value.clone()),
        ttl: tunnel.ttl.as_ref().map_or(0, |ttl| ttl.value),
        inner: (kind == TunnelKind::Ip6tnl).then(|| tunnel.mode.as_ref().map_or(Inner::Any, |mode| mode.value)),
        key: tunnel.key.as_ref().map(|key| key.value),
        checksum: tunnel.checksum.value,
        gue: tunnel.gue.as_ref().map(|gue| GueEncap { port: gue.value.port, checksum: gue.value.checksum }),
    }
}
