//! What of a host is no longer what was applied, or not what the file says of it.

use super::Finding;
use crate::kernel::Kernel as _;
use crate::kernel::linux::Linux;
use crate::plan::{Aim, diff};
use crate::rehearse::layout::HostPlan;
use crate::rehearse::scene::Scene;
use crate::state::{AddressKey, Change, Key, Link, Observed, Resource, Scope, State};

/// Everything on a host that is not as it was applied.
pub(super) fn of(scene: &Scene<'_>, host: &str) -> Vec<Finding> {
    let Some((wanted, observed)) = live(scene, host) else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(plan) = scene.layout.hosts.get(host) {
        found.extend(facts(host, plan, &observed));
    }
    found.extend(diff(&Aim::from(&wanted), &observed, false).iter().map(|change| finding(host, change)));
    found
}

/// What was applied on a host, and what it holds now.
pub(super) fn live(scene: &Scene<'_>, host: &str) -> Option<(State, Observed)> {
    let namespace = scene.net.hosts.get(host)?;
    let wanted = scene.cast.get(host)?.state.clone();
    let observed = namespace.run(|| Linux::open(None).ok()?.read(&Scope::of(&wanted)).ok())?;
    Some((wanted, observed))
}

/// The interfaces and addresses that the file says a host has by itself.
fn facts(host: &str, plan: &HostPlan, observed: &Observed) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |cause, text: String, evidence: Vec<String>, remedy: &str| {
        found.push(Finding { cause, host: host.to_owned(), text, evidence, remedy: remedy.to_owned() });
    };
    for plug in &plan.plugs {
        let name = &plug.name;
        match observed.state.objects.get(&Key::Link(name.clone())) {
            Some(Resource::Link(link)) => {
                let Link { up, mtu, .. } = link.as_ref();
                if !up {
                    let remedy = "bring it up";
                    say("interface-down", format!("interface {name} is down"), vec![format!("link {name}: down")], remedy);
                }
                if let Some(mtu) = mtu.filter(|mtu| *mtu < plug.mtu) {
                    let text = format!("interface {name} carries {mtu} bytes, and the file says {}", plug.mtu);
                    say(
                        "mtu",
                        text,
                        vec![format!("link {name}: mtu {mtu}")],
                        "set the interface's MTU, or the `mtu` of the file",
                    );
                }
            }
            _ => say("interface-missing", format!("there is no interface {name}"), Vec::new(), "correct the interface's name"),
        }
        let has = |address: &ipnet::IpNet| {
            let key = AddressKey { address: address.addr(), prefix: address.prefix_len(), interface: name.clone() };
            observed.state.objects.contains_key(&Key::Address(key))
        };
        for address in plug.addresses.iter().filter(|address| !has(address)) {
            let own = observed.state.objects.keys().filter_map(Key::address).filter(|key| key.interface == *name);
            let own: Vec<String> =
                own.filter(|key| !key.comes_by_itself()).map(|key| format!("{}/{}", key.address, key.prefix)).collect();
            let evidence = vec![format!("{name} has {}", if own.is_empty() { "no address".to_owned() } else { own.join(", ") })];
            let remedy = "give the host this address, or correct it in the file";
            say("wrong-address", format!("interface {name} does not have {address}, as the file says"), evidence, remedy);
        }
    }
    found
}

/// What a change back to what was applied says.
fn finding(host: &str, change: &Change) -> Finding {
    let missing = change.before.is_none();
    let (cause, text) = match &change.key {
        Key::Module(name) => ("module-missing", format!("the module {name} is not loaded")),
        Key::Sysctl(key) => {
            let path = key.path();
            let cause = match path.rsplit('/').next().unwrap_or_default() {
                "arp_ignore" | "arp_announce" => "arp-not-silenced",
                "rp_filter" => "rp-filter",
                "ip_forward" | "forwarding" => "forwarding-off",
                "send_redirects" | "accept_redirects" => "redirects",
                "conntrack" => "conntrack-off",
                _ => "sysctl",
            };
            (cause, format!("the sysctl {key} is not what the file needs"))
        }
        Key::Fou(key) => ("fou-port-closed", format!("the kernel does not take GUE on port {}", key.port)),
        Key::Link(name) if missing => ("tunnel-missing", format!("there is no device {name}")),
        Key::Link(name) => ("tunnel-differs", format!("the device {name} is not what was applied")),
        Key::Address(key) => ("vip-missing", format!("the address {} is not on {}", key.address, key.interface)),
        Key::Route(_) | Key::Rule(_) => ("no-return-path", "a route or rule that brings packets back is not there".to_owned()),
        Key::Nftables(name) => ("nftables-differ", format!("the table {name} of nftables is not what was applied")),
        Key::Service(key) if missing => ("service-missing", format!("IPVS has no service {key}")),
        Key::Destination(key) if missing => {
            ("server-missing", format!("IPVS has no server {} of service {}", key.id(), key.service))
        }
        _ => ("ipvs-differs", "IPVS does not hold what was applied".to_owned()),
    };
    let fields = change.fields().into_iter().map(|field| {
        let value = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
        format!("{}: {} is {}, and {} was applied", change.key, field.field, value(field.before), value(field.after))
    });
    let mut evidence: Vec<String> = fields.collect();
    if evidence.is_empty() {
        evidence.push(format!("{}: {}", change.key, if missing { "not there" } else { "not as it was applied" }));
    }
    Finding {
        cause,
        host: host.to_owned(),
        text,
        evidence,
        remedy: format!("`lvsform apply --host {host}` puts it back; find out who changed it"),
    }
}
