//! The content of a topology without its places: for saying that two files, of whatever spelling, mean the same.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    Amount, Called, Expectation, Forward, Gue, Host, Interface, Lint, LintLevel, Listen, ListenOn, Masquerade, Match, OfServices,
    Ownership, Persistence, Policy, Pool, Reached, ReturnMode, ReturnPath, Role, Route, Scheduler, Server, Service, Sync, Sysctl,
    Timeouts, Topology, TunnelDevice, Via, Vip,
};
use crate::source::At;
use crate::state::{Family, Inner, Protocol, SysctlKey, TunnelKind};

/// Whether two topologies mean the same, wherever each word stands and in whatever order.
pub fn same(a: &Topology, b: &Topology) -> bool {
    a.plain() == b.plain()
}

impl Topology {
    /// The whole content as text, one field a line, without places; equal for topologies that mean the same. For comparing
    /// and for showing a difference, not for reading back.
    pub fn plain(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        text
    }
}

/// What can be written without its places.
trait Plain {
    fn write(&self, out: &mut String, depth: usize);
}

fn line(out: &mut String, depth: usize, word: &str) {
    let _ = write!(out, "\n{:1$}{word}: ", "", depth * 2);
}

/// Values that have no place in them.
macro_rules! value {
    ($($kind:ty),+) => { $(impl Plain for $kind {
        fn write(&self, out: &mut String, _depth: usize) {
            debug(out, self);
        }
    })+ };
}

/// Each field by its name; a new field that nobody writes does not compile.
macro_rules! fields {
    ($kind:ident { $($field:ident),+ $(; $ignored:ident)? }) => { impl Plain for $kind {
        fn write(&self, out: &mut String, depth: usize) {
            let $kind { $($field,)+ $($ignored: _)? } = self;
            $(line(out, depth, stringify!($field)); $field.write(out, depth + 1);)+
        }
    } };
}

fn debug(out: &mut String, value: &impl Debug) {
    let _ = write!(out, "{value:?}");
}

value!(String, u8, u16, u32, bool, (), IpAddr, IpNet, SysctlKey, Role, Family, Protocol, Forward, ReturnMode, Via, TunnelKind);
value!(Inner, Gue, Ownership, Amount, LintLevel, &'static str);
fields!(Topology {
    name,
    was,
    hosts,
    vips,
    pools,
    services,
    timeouts,
    syncs,
    tuning_director,
    tuning_real_server,
    ownership,
    policy,
    lints,
    expectations; removed
});
fields!(Lint { name, level, reason });
fields!(Expectation { name, without, moved_max, live, host, changes, deletes, connections_cut, services, names, reached });
fields!(OfServices { pattern, servers_min, servers_max, weight_min, share_max, methods, schedulers, drain_min });
fields!(Called { kind, patterns });
fields!(Reached { vip, from });
fields!(Host { role, name, hostname, interfaces, sysctls, tunnels, routes, masquerades, quiesce });
fields!(Interface { name, addresses, mtu, gateways });
fields!(Vip { name, addresses, directors, holder, interface, managed });
fields!(Pool { name, servers });
fields!(Server { label, host, address, weight, port, max_connections, min_connections, forward });
fields!(Service { name, listens, forward, scheduler, persistence, pools, servers, drain, return_path });
fields!(Listen { what, family; span });
fields!(Match { vip, protocol, ports });
fields!(Scheduler { name, port, fallback });
fields!(Persistence { timeout, client_prefix, client_prefix6, sip });
fields!(ReturnPath { mode, via });
fields!(Timeouts { tcp, tcp_fin, udp; span });
fields!(Sync { id, interface, group, port, ttl, max_length, masters, backups; span });
fields!(Sysctl { key, value, force });
fields!(TunnelDevice { name, kind, local, remote, device, ttl, mtu, mode, key, checksum, gue, addresses });
fields!(Route { destination, tunnel });
fields!(Masquerade { interface, sources; span });
fields!(Policy { max_deletes, max_connections_cut, min_servers, protect });

impl Plain for ListenOn {
    fn write(&self, out: &mut String, depth: usize) {
        match self {
            ListenOn::Vip { vip, port, protocol, server_port, one_packet } => {
                let fields: [(&str, &dyn Plain); 5] = [
                    ("vip", vip),
                    ("port", port),
                    ("protocol", protocol),
                    ("server_port", server_port),
                    ("one_packet", one_packet),
                ];
                for (word, field) in fields {
                    line(out, depth, word);
                    field.write(out, depth + 1);
                }
            }
            ListenOn::Mark { mark, matches, vip } => {
                let fields: [(&str, &dyn Plain); 3] = [("mark", mark), ("matches", matches), ("vip", vip)];
                for (word, field) in fields {
                    line(out, depth, word);
                    field.write(out, depth + 1);
                }
            }
        }
    }
}

impl<T: Plain> Plain for At<T> {
    fn write(&self, out: &mut String, depth: usize) {
        let At { value, origin: _ } = self;
        value.write(out, depth);
    }
}

impl<T: Plain> Plain for Option<T> {
    fn write(&self, out: &mut String, depth: usize) {
        match self {
            Some(value) => value.write(out, depth),
            None => out.push_str("none"),
        }
    }
}

/// Order means nothing anywhere in the language.
impl<T: Plain> Plain for Vec<T> {
    fn write(&self, out: &mut String, depth: usize) {
        let mut items: Vec<String> = self
            .iter()
            .map(|item| {
                let mut text = String::new();
                item.write(&mut text, depth + 1);
                text
            })
            .collect();
        items.sort_unstable();
        for item in items {
            line(out, depth, "-");
            out.push_str(&item);
        }
    }
}

impl<T: Plain> Plain for BTreeMap<String, T> {
    fn write(&self, out: &mut String, depth: usize) {
        for (name, item) in self {
            line(out, depth, name);
            item.write(out, depth + 1);
        }
    }
}
