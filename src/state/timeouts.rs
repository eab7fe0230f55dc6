//! The IPVS connection timeouts of a namespace (`IPVS_CMD_SET_CONFIG`).

use serde::{Deserialize, Serialize};

use super::{FieldChange, Fields, duration};

/// Seconds each. What is `None` in a wanted state is left as it is found; an observed state has all three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// established tcp connections; the kernel's default is 900
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<u32>,
    /// tcp connections after a FIN; the kernel's default is 120
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_fin: Option<u32>,
    /// udp; the kernel's default is 300
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<u32>,
}

impl Timeouts {
    pub(super) fn over(self, live: &Timeouts) -> Timeouts {
        Timeouts { tcp: self.tcp.or(live.tcp), tcp_fin: self.tcp_fin.or(live.tcp_fin), udp: self.udp.or(live.udp) }
    }

    pub(super) fn differences(self, after: &Timeouts) -> Vec<FieldChange> {
        let Timeouts { tcp, tcp_fin, udp } = self;
        let mut changes = Fields::default();
        for (field, before, after) in [("tcp", tcp, after.tcp), ("tcp-fin", tcp_fin, after.tcp_fin), ("udp", udp, after.udp)] {
            changes.compare_optional(field, before.map(duration).as_ref(), after.map(duration).as_ref());
        }
        changes.0
    }
}
