//! IPVS sync daemons: a director tells another about its connections.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{FieldChange, Fields};

/// Which of the two daemons that a namespace can run (`IP_VS_STATE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncRole {
    /// sends
    Master,
    /// receives
    Backup,
}

impl fmt::Display for SyncRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SyncRole::Master => "master",
            SyncRole::Backup => "backup",
        })
    }
}

/// What a sync daemon is, beside its role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncDaemon {
    /// The device that multicasts.
    pub interface: String,
    /// 0 to 255
    pub id: u32,
    /// Multicast group; the kernel's default is 224.0.0.81.
    pub group: IpAddr,
    /// UDP port, host byte order; the kernel's default is 8848.
    pub port: u16,
    /// Multicast TTL; the kernel's default is 1.
    pub ttl: u8,
    /// Longest message in bytes; `None`: what the kernel derives from the device's MTU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u16>,
}

impl SyncDaemon {
    pub(super) fn over(self, live: &SyncDaemon) -> SyncDaemon {
        SyncDaemon { max_length: self.max_length.or(live.max_length), ..self }
    }

    pub(super) fn differences(&self, after: &SyncDaemon) -> Vec<FieldChange> {
        let SyncDaemon { interface, id, group, port, ttl, max_length } = self;
        let mut changes = Fields::default();
        changes.compare("interface", interface, &after.interface);
        changes.compare("id", id, &after.id);
        changes.compare("group", group, &after.group);
        changes.compare("port", port, &after.port);
        changes.compare("ttl", ttl, &after.ttl);
        changes.compare_optional("max-length", max_length.as_ref(), after.max_length.as_ref());
        changes.0
    }
}
