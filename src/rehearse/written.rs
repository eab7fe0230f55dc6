//! A topology as text again, in KDL, without ranges or files beside it: so that one that was changed here is applied as a file.
//!
//! `policy` and `lint` are left out, since they are about who may change what, and drains are none: nobody waits here. What a
//! topology has in addition does not compile here before it is written.

use std::fmt::{Display, Write as _};

use crate::source::At;
use crate::state::{Checksum, Encapsulation, Inner};
use crate::topology::{
    Forward, Host, Interface, Listen, ListenOn, Masquerade, Match, Ownership, Persistence, Pool, ReturnMode, ReturnPath, Role,
    Route, Scheduler, Server, Service, Sync, Sysctl, Timeouts, Topology, TunnelDevice, Via, Vip,
};

/// The text of a topology.
pub fn kdl(topology: &Topology) -> String {
    let Topology {
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
        policy: _,
        lints: _,
        expectations: _,
        removed: _,
    } = topology;
    let mut out = Text::default();
    out.node("topology", Some(&name.value));
    out.property("was", was.as_ref());
    out.end();
    if ownership.value == Ownership::Exclusive {
        out.raw("ownership ipvs=\"exclusive\"\n");
    }
    for of in hosts.values() {
        host(&mut out, of);
    }
    for of in vips.values() {
        vip(&mut out, of);
    }
    for Pool { name, servers } in pools.values() {
        out.open("pool", Some(&name.value));
        for of in servers {
            server(&mut out, of);
        }
        out.close();
    }
    for of in services.values() {
        service(&mut out, of);
    }
    if let Some(Timeouts { span: _, tcp, tcp_fin, udp }) = timeouts {
        out.node("timeouts", None);
        for (word, seconds) in [("tcp", tcp), ("tcp-fin", tcp_fin), ("udp", udp)] {
            out.property(word, seconds.as_ref().map(|at| format!("{}s", at.value)).as_ref());
        }
        out.end();
    }
    for of in syncs {
        sync(&mut out, of);
    }
    for (role, tuning) in [("director", tuning_director), ("real-server", tuning_real_server)] {
        if !tuning.is_empty() {
            out.open("tuning", Some(role));
            for of in tuning {
                sysctl(&mut out, of);
            }
            out.close();
        }
    }
    out.0
}

fn host(out: &mut Text, host: &Host) {
    let Host { role, name, hostname, interfaces, sysctls, tunnels, routes, masquerades, quiesce } = host;
    out.open(if *role == Role::Director { "director" } else { "real-server" }, Some(&name.value));
    out.list("hostname", [&hostname.value]);
    if quiesce.value {
        out.raw("quiesce #true\n");
    }
    for Interface { name, addresses, mtu, gateways } in interfaces.values() {
        out.open("interface", Some(&name.value));
        out.list("address", addresses.iter().map(|at| at.value));
        out.number("mtu", mtu.as_ref());
        out.list("gateway", gateways.iter().map(|at| at.value));
        out.close();
    }
    for of in sysctls {
        sysctl(out, of);
    }
    for of in tunnels {
        tunnel(out, of);
    }
    for Route { destination, tunnel } in routes {
        out.node("route", Some(&destination.value.to_string()));
        out.property("tunnel", Some(tunnel));
        out.end();
    }
    for Masquerade { span: _, interface, sources } in masquerades {
        out.open("masquerade", None);
        out.list("interface", [&interface.value]);
        out.list("source", sources.iter().map(|at| at.value));
        out.close();
    }
    out.close();
}

fn sysctl(out: &mut Text, Sysctl { key, value, force }: &Sysctl) {
    let _ = write!(out.0, "sysctl {:?} {:?}", key.value.path(), value.value);
    out.0.push_str(if force.value { " force=#true\n" } else { "\n" });
}

fn tunnel(out: &mut Text, tunnel: &TunnelDevice) {
    let TunnelDevice { name, kind, local, remote, device, ttl, mtu, mode, key, checksum, gue, addresses } = tunnel;
    out.open("tunnel", Some(&name.value));
    out.list("kind", [kind.value.name()]);
    out.list("local", local.as_ref().map(|at| at.value));
    out.list("remote", remote.as_ref().map(|at| at.value));
    out.list("device", device.as_ref().map(|at| &at.value));
    out.number("ttl", ttl.as_ref());
    out.number("mtu", mtu.as_ref());
    out.list("mode", mode.as_ref().map(|mode| inner(mode.value)));
    out.number("key", key.as_ref());
    if checksum.value {
        out.raw("checksum #true\n");
    }
    if let Some(gue) = gue {
        let _ = writeln!(out.0, "encap \"gue\" port={} checksum={:?}", gue.value.port, checksum_word(gue.value.checksum));
    }
    out.list("address", addresses.iter().map(|at| at.value));
    out.close();
}

fn inner(mode: Inner) -> &'static str {
    match mode {
        Inner::Any => "any",
        Inner::Ip6ip6 => "ip6ip6",
        Inner::Ipip6 => "ipip6",
    }
}

fn checksum_word(checksum: Checksum) -> &'static str {
    match checksum {
        Checksum::None | Checksum::Other(_) => "none",
        Checksum::Csum => "csum",
        Checksum::Remcsum => "remcsum",
    }
}

fn vip(out: &mut Text, Vip { name, addresses, directors, holder, interface, managed }: &Vip) {
    out.open("vip", Some(&name.value));
    out.list("address", addresses.iter().map(|at| at.value));
    out.list("directors", directors.iter().map(|at| &at.value));
    out.list("holder", holder.as_ref().map(|at| &at.value));
    out.list("interface", interface.as_ref().map(|at| &at.value));
    if !managed.value {
        out.raw("managed #false\n");
    }
    out.close();
}

fn server(out: &mut Text, server: &Server) {
    let Server { label, host, address, weight, port, max_connections, min_connections, forward: own } = server;
    out.open("server", Some(&label.value));
    // The label says it already where it is a host or an address.
    let is_address = label.value.parse::<std::net::IpAddr>().is_ok();
    if !is_address {
        out.list("host", host.as_ref().map(|at| &at.value).filter(|host| **host != label.value));
        out.list("address", address.as_ref().map(|at| at.value));
    }
    out.number("weight", Some(weight));
    out.number("port", port.as_ref());
    out.number("max-connections", (max_connections.value > 0).then_some(max_connections));
    out.number("min-connections", (min_connections.value > 0).then_some(min_connections));
    if let Some(own) = own {
        forward(out, own.value);
    }
    out.close();
}

fn forward(out: &mut Text, forward: Forward) {
    let words = match forward {
        Forward::Nat => "\"nat\"".to_owned(),
        Forward::Dr => "\"dr\"".to_owned(),
        Forward::Tun(Encapsulation::Gre { checksum }) => format!("\"tun\" encap=\"gre\" checksum={:?}", checksum_word(checksum)),
        Forward::Tun(Encapsulation::Gue { port, checksum }) => {
            format!("\"tun\" encap=\"gue\" port={port} checksum={:?}", checksum_word(checksum))
        }
        Forward::Tun(Encapsulation::Ipip | Encapsulation::Other(_)) => "\"tun\"".to_owned(),
    };
    let _ = writeln!(out.0, "forward {words}");
}

fn service(out: &mut Text, service: &Service) {
    let Service { name, listens, forward: method, scheduler, persistence, pools, servers, drain: _, return_path } = service;
    let Scheduler { name: of, port, fallback } = scheduler;
    let ReturnPath { mode, via } = return_path;
    out.open("service", Some(&name.value));
    for of in listens {
        listen(out, of);
    }
    forward(out, method.value);
    let _ = write!(out.0, "scheduler {:?}", of.value);
    out.flag("port", port.value);
    out.flag("fallback", fallback.value);
    out.end();
    if let Some(Persistence { timeout, client_prefix, client_prefix6, sip }) = persistence {
        let (prefix, prefix6) = (client_prefix.value, client_prefix6.value);
        let _ = write!(out.0, "persistence \"{}s\" client-prefix={prefix} client-prefix6={prefix6}", timeout.value);
        out.property("engine", sip.as_ref().map(|_| "sip".to_owned()).as_ref());
        out.end();
    }
    out.list("pool", pools.iter().map(|at| &at.value));
    for of in servers {
        server(out, of);
    }
    // The default is not said: some of what stands beside it in the file may not have it.
    let said = match mode.value {
        ReturnMode::Policy if via.is_none() => None,
        ReturnMode::Policy => Some("policy"),
        ReturnMode::DefaultRoute => Some("default-route"),
        ReturnMode::None => Some("none"),
        ReturnMode::Snat => Some("snat"),
    };
    if let Some(said) = said {
        out.node("return-path", Some(said));
        out.property(
            "via",
            via.as_ref()
                .map(|via| match &via.value {
                    Via::Vip(name) => name.clone(),
                    Via::Address(address) => address.to_string(),
                })
                .as_ref(),
        );
        out.end();
    }
    out.close();
}

fn listen(out: &mut Text, Listen { span: _, what, family }: &Listen) {
    out.node("listen", None);
    out.property("family", family.as_ref());
    match what {
        ListenOn::Vip { vip, port, protocol, server_port, one_packet } => {
            out.property("vip", Some(vip));
            let _ = write!(out.0, " port={}", port.value);
            out.property("protocol", Some(protocol));
            if let Some(port) = server_port {
                let _ = write!(out.0, " server-port={}", port.value);
            }
            out.flag("one-packet", one_packet.value);
            out.end();
        }
        ListenOn::Mark { mark, matches, vip } => {
            let _ = write!(out.0, " fwmark={}", mark.value);
            out.property("vip", vip.as_ref());
            out.0.push_str(" {\n");
            for Match { vip, protocol, ports } in matches {
                out.open("match", None);
                out.list("vip", [&vip.value]);
                out.list("protocol", [protocol.value]);
                if !ports.is_empty() {
                    let ports: Vec<String> = ports.iter().map(|at| at.value.to_string()).collect();
                    let _ = writeln!(out.0, "port {}", ports.join(" "));
                }
                out.close();
            }
            out.close();
        }
    }
}

fn sync(out: &mut Text, sync: &Sync) {
    let Sync { span: _, id, interface, group, port, ttl, max_length, masters, backups } = sync;
    out.open("sync", None);
    out.number("id", Some(id));
    out.list("interface", [&interface.value]);
    out.list("group", [group.value]);
    out.number("port", Some(port));
    out.number("ttl", Some(ttl));
    out.number("max-length", max_length.as_ref());
    out.list("master", masters.iter().map(|at| &at.value));
    out.list("backup", backups.iter().map(|at| &at.value));
    out.close();
}

/// The text so far.
#[derive(Default)]
struct Text(String);

impl Text {
    fn raw(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn node(&mut self, word: &str, label: Option<&str>) {
        self.0.push_str(word);
        if let Some(label) = label {
            let _ = write!(self.0, " {label:?}");
        }
    }

    fn open(&mut self, word: &str, label: Option<&str>) {
        self.node(word, label);
        self.0.push_str(" {\n");
    }

    fn close(&mut self) {
        self.0.push_str("}\n");
    }

    fn end(&mut self) {
        self.0.push('\n');
    }

    /// A property of a node that is open still.
    fn property(&mut self, word: &str, value: Option<&impl Valued>) {
        if let Some(value) = value {
            let _ = write!(self.0, " {word}={:?}", value.text());
        }
    }

    fn flag(&mut self, word: &str, value: bool) {
        if value {
            let _ = write!(self.0, " {word}=#true");
        }
    }

    /// A node of its own with strings; none without any.
    fn list<T: Display>(&mut self, word: &str, values: impl IntoIterator<Item = T>) {
        let words: Vec<String> = values.into_iter().map(|value| format!("{:?}", value.to_string())).collect();
        if !words.is_empty() {
            let _ = writeln!(self.0, "{word} {}", words.join(" "));
        }
    }

    fn number(&mut self, word: &str, value: Option<&At<impl Display>>) {
        if let Some(value) = value {
            let _ = writeln!(self.0, "{word} {}", value.value);
        }
    }
}

/// What can be a property's text.
trait Valued {
    fn text(&self) -> String;
}

impl Valued for String {
    fn text(&self) -> String {
        self.clone()
    }
}

impl<T: Display> Valued for At<T> {
    fn text(&self) -> String {
        self.value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::kdl;
    use crate::source::memory::load_text;
    use crate::source::{At, problem};
    use crate::topology::{Policy, Topology, decode};

    fn read(path: &str, text: &str) -> Topology {
        let loaded = load_text(path, text);
        let (topology, problems) = decode(loaded.tree);
        let style = problem::Style { colour: false, width: 120 };
        assert!(
            problems.is_empty() && loaded.problems.is_empty(),
            "{}\n{text}",
            problem::render(&problems, &loaded.sources, style)
        );
        topology.expect("a topology")
    }

    #[test]
    fn each_example_means_the_same_when_it_is_written_anew() {
        for (path, text) in [
            ("flash-sale.kdl", include_str!("../../examples/flash-sale.kdl")),
            ("game.kdl", include_str!("../../examples/game.kdl")),
            ("api-gateway.kdl", include_str!("../../examples/api-gateway.kdl")),
            ("cdn.kdl", include_str!("../../examples/cdn.kdl")),
            ("far.kdl", include_str!("../../tests/qemu/far.kdl")),
            ("whole.kdl", include_str!("../../tests/apply/whole.kdl")),
        ] {
            let mut first = read(path, text);
            first.policy = Policy::default();
            first.lints.clear();
            first.expectations.clear();
            for service in first.services.values_mut() {
                service.drain = At::default(0);
            }
            let again = read("again.kdl", &kdl(&first));
            assert_eq!(first.plain(), again.plain(), "{path}:\n{}", kdl(&first));
        }
    }
}
