//! UDP ports on which the kernel takes GUE apart (`net/ipv4/fou_core.c`).

use serde::{Deserialize, Serialize};

use super::{Family, FieldChange, Fields};

/// The kernel's identity of a FOU port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FouKey {
    /// host byte order
    pub port: u16,
    /// The family of the outer packets.
    pub family: Family,
}

/// What a FOU port is, beside its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FouPort {
    /// true: GUE; false: plain FOU, which only others make.
    pub gue: bool,
}

impl FouPort {
    pub(super) fn differences(self, after: FouPort) -> Vec<FieldChange> {
        let FouPort { gue } = self;
        let mut changes = Fields::default();
        changes.compare("gue", &gue, &after.gue);
        changes.0
    }
}
