//! Connections that belong together: FTP's two, and those of a client that stays with a server which goes away.

use std::collections::BTreeSet;

use super::{Doubt, Report, View, forward, place, sysctl};
use crate::state::Protocol;
use crate::topology::{Forward, ListenOn};

const FTP: u16 = 21;

pub fn ftp_finds_its_data_connections(view: &View, report: &mut Report) {
    for (service, listen) in view.listens() {
        let ListenOn::Vip { port, protocol, .. } = &listen.what else { continue };
        if port.value != FTP || protocol.value != Protocol::Tcp {
            continue;
        }
        if view.servers(service).any(|server| forward(service, server).value == Forward::Nat) {
            report.doubt(&Doubt::FtpWithNat, place(port));
        } else if service.persistence.is_none() {
            report.doubt(&Doubt::FtpWithoutPersistence { service: &service.name.value }, place(port));
        }
    }
}

/// A template of persistence outlives the weight of its server, unless this sysctl says otherwise.
const EXPIRE: &str = "net/ipv4/vs/expire_quiescent_template";

pub fn drained_servers_get_no_persistent_clients(view: &View, report: &mut Report) {
    let forgetful: BTreeSet<&str> = view
        .directors
        .iter()
        .filter(|host| sysctl::effective(view, host, EXPIRE).is_none_or(|sysctl| sysctl.value.value == "0"))
        .map(|host| host.name.value.as_str())
        .collect();
    for service in view.services().filter(|service| service.drain.value > 0) {
        let Some(persistence) = &service.persistence else { continue };
        let vips = service.listens.iter().flat_map(|listen| view.vips(listen));
        let mut carriers = vips.flat_map(|(vip, _)| view.carriers(vip)).map(|host| host.name.value.as_str());
        if let Some(host) = carriers.find(|host| forgetful.contains(host)) {
            let persistence = place(&persistence.timeout);
            report.doubt(&Doubt::DrainPersistence { service: &service.name.value, host, persistence }, place(&service.drain));
        }
    }
}
