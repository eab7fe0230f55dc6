//! Random topologies, free of spelling: blocks with heads, fields and blocks in them.

use crate::chance::Chance;

#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Number(u32),
    Truth(bool),
}

/// What stands behind a block's word, and what its main value is called in TOML.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    Named,
    Once,
    Repeated,
    Main(&'static str),
    Keyed,
}

#[derive(Clone, Debug)]
pub struct Block {
    pub word: &'static str,
    pub form: Form,
    pub heads: Vec<Value>,
    pub fields: Vec<(&'static str, Vec<Value>)>,
    pub blocks: Vec<Block>,
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn block(word: &'static str, form: Form, heads: Vec<Value>) -> Block {
    Block { word, form, heads, fields: Vec::new(), blocks: Vec::new() }
}

impl Block {
    fn field(&mut self, word: &'static str, values: Vec<Value>) {
        self.fields.push((word, values));
    }

    fn maybe(&mut self, chance: &mut Chance, word: &'static str, value: Value) {
        if chance.one_in(2) {
            self.field(word, vec![value]);
        }
    }
}

/// The blocks of a file that decodes without a problem.
pub fn topology(chance: &mut Chance) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut first = block("topology", Form::Main("name"), vec![text("t-1")]);
    first.maybe(chance, "edition", Value::Number(1));
    first.maybe(chance, "was", text("former"));
    blocks.push(first);
    let directors = 1 + chance.below(2);
    for index in 0..directors {
        blocks.push(host(chance, "director", &format!("lb{index}"), &format!("10.0.0.{}/24", index + 1)));
    }
    let servers = 1 + chance.below(4);
    for index in 0..servers {
        blocks.push(host(chance, "real-server", &format!("web{index}"), &format!("10.0.0.{}/24", index + 10)));
    }
    if chance.one_in(2) {
        blocks.push(host(chance, "real-server", "edge[2-5]", "10.0.1.[12-15]/24"));
    }
    let vips = 1 + chance.below(3);
    for index in 0..vips {
        let mut vip = block("vip", Form::Named, vec![text(format!("v{index}"))]);
        let mut addresses = vec![text(format!("192.0.2.{}", index + 1))];
        if chance.one_in(2) {
            addresses.push(text(format!("2001:db8::{}", index + 1)));
        }
        vip.field("address", addresses);
        vip.maybe(chance, "holder", text("lb0"));
        let managed = Value::Truth(chance.one_in(2));
        vip.maybe(chance, "managed", managed);
        blocks.push(vip);
    }
    let pools = 1 + chance.below(2);
    for index in 0..pools {
        let mut pool = block("pool", Form::Named, vec![text(format!("p{index}"))]);
        pool.blocks = these_servers(chance, servers);
        blocks.push(pool);
    }
    for index in 0..=chance.below(3) {
        blocks.push(service(chance, index, vips, pools));
    }
    cluster(chance, &mut blocks);
    for at in (2..blocks.len()).rev() {
        if chance.one_in(3) {
            let with = 1 + chance.below(at);
            blocks.swap(at, with);
        }
    }
    blocks
}

fn cluster(chance: &mut Chance, blocks: &mut Vec<Block>) {
    if chance.one_in(2) {
        let mut timeouts = block("timeouts", Form::Once, Vec::new());
        timeouts.maybe(chance, "tcp", text("15m"));
        timeouts.maybe(chance, "udp", text("1h30m"));
        blocks.push(timeouts);
    }
    for id in 0..chance.below(3) {
        let mut sync = block("sync", Form::Repeated, Vec::new());
        sync.field("id", vec![Value::Number(51 + u32::try_from(id).expect("small"))]);
        sync.field("interface", vec![text("eth0")]);
        sync.maybe(chance, "ttl", Value::Number(3));
        blocks.push(sync);
    }
    for role in ["director", "real-server"] {
        if chance.one_in(2) {
            let mut tuning = block("tuning", Form::Named, vec![text(role)]);
            tuning.blocks = sysctls(chance);
            blocks.push(tuning);
        }
    }
    if chance.one_in(2) {
        let mut ownership = block("ownership", Form::Once, Vec::new());
        ownership.maybe(chance, "ipvs", text("exclusive"));
        blocks.push(ownership);
    }
    if chance.one_in(2) {
        let mut policy = block("policy", Form::Once, Vec::new());
        policy.maybe(chance, "max-deletes", text("20%"));
        policy.maybe(chance, "max-connections-cut", Value::Number(0));
        policy.field("protect", vec![text("vip.v0"), text("pool.p0")]);
        blocks.push(policy);
    }
}

fn sysctls(chance: &mut Chance) -> Vec<Block> {
    let keys = ["net.core.somaxconn", "net/ipv4/conf/eth0.100/rp_filter", "net.ipv4.tcp_rmem"];
    let mut found = Vec::new();
    for key in keys {
        if chance.one_in(2) {
            let value = if chance.one_in(2) { Value::Number(4096) } else { text("4096 131072 6291456") };
            let mut sysctl = block("sysctl", Form::Keyed, vec![text(key), value]);
            if chance.one_in(3) {
                sysctl.field("force", vec![Value::Truth(true)]);
            }
            found.push(sysctl);
        }
    }
    found
}

fn host(chance: &mut Chance, word: &'static str, name: &str, address: &str) -> Block {
    let mut host = block(word, Form::Named, vec![text(name)]);
    if !name.contains('[') {
        host.maybe(chance, "hostname", text(format!("{name}.example.net")));
    }
    host.maybe(chance, "quiesce", Value::Truth(true));
    let mut interface = block("interface", Form::Named, vec![text("eth0")]);
    interface.field("address", vec![text(address)]);
    interface.maybe(chance, "mtu", Value::Number(1500));
    host.blocks.push(interface);
    if chance.one_in(3) {
        let mut interface = block("interface", Form::Named, vec![text("eth1.100")]);
        interface.field("mtu", vec![Value::Number(9000)]);
        host.blocks.push(interface);
    }
    host.blocks.extend(sysctls(chance));
    if word == "director" {
        for index in 0..chance.below(3) {
            let mut masquerade = block("masquerade", Form::Repeated, Vec::new());
            masquerade.field("interface", vec![text(format!("eth{index}"))]);
            masquerade.field("source", vec![text("10.9.0.0/24"), text("2001:db8:9::/64")]);
            host.blocks.push(masquerade);
        }
    }
    host
}

fn these_servers(chance: &mut Chance, count: usize) -> Vec<Block> {
    let mut found = Vec::new();
    let plain = chance.one_in(3);
    for index in 0..count {
        let mut server = block("server", Form::Named, vec![text(format!("web{index}"))]);
        if !plain {
            server.maybe(chance, "weight", Value::Number(100));
            server.maybe(chance, "max-connections", Value::Number(20_000));
            if chance.one_in(4) {
                server.blocks.push(forward(chance, "tun"));
            }
        }
        found.push(server);
    }
    if chance.one_in(3) {
        found.push(block("server", Form::Named, vec![text("10.3.0.[11-13]")]));
    }
    found
}

fn forward(chance: &mut Chance, method: &str) -> Block {
    let mut forward = block("forward", Form::Main("method"), vec![text(method)]);
    if method == "tun" && chance.one_in(2) {
        forward.field("encap", vec![text("gue")]);
        forward.field("port", vec![Value::Number(6080)]);
    }
    forward
}

fn service(chance: &mut Chance, index: usize, vips: usize, pools: usize) -> Block {
    let mut service = block("service", Form::Named, vec![text(format!("s{index}"))]);
    let vip = |chance: &mut Chance| text(format!("v{}", chance.below(vips)));
    if chance.one_in(4) {
        let mut listen = block("listen", Form::Repeated, Vec::new());
        listen.field("fwmark", vec![Value::Number(7 + u32::try_from(index).expect("small"))]);
        for _ in 0..=chance.below(2) {
            let mut matched = block("match", Form::Repeated, Vec::new());
            matched.field("vip", vec![vip(chance)]);
            matched.field("port", vec![Value::Number(80), Value::Number(443)]);
            matched.maybe(chance, "protocol", text("tcp"));
            listen.blocks.push(matched);
        }
        service.blocks.push(listen);
    } else {
        for port in 0..=chance.below(3) {
            let mut listen = block("listen", Form::Repeated, Vec::new());
            listen.field("vip", vec![vip(chance)]);
            listen.field("port", vec![Value::Number(u32::try_from(1000 * (index + 1) + port).expect("small"))]);
            listen.maybe(chance, "protocol", text("tcp"));
            service.blocks.push(listen);
        }
    }
    service.blocks.push(forward(chance, "tun"));
    if chance.one_in(2) {
        let mut scheduler = block("scheduler", Form::Main("name"), vec![text("mh")]);
        scheduler.maybe(chance, "port", Value::Truth(true));
        scheduler.maybe(chance, "fallback", Value::Truth(true));
        service.blocks.push(scheduler);
    }
    if chance.one_in(2) {
        let mut persistence = block("persistence", Form::Main("timeout"), vec![text("5m")]);
        persistence.maybe(chance, "client-prefix", Value::Number(24));
        service.blocks.push(persistence);
    }
    service.field("pool", (0..pools).map(|pool| text(format!("p{pool}"))).collect());
    service.maybe(chance, "drain", text("2m"));
    service
}
