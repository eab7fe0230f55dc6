//! Destinations: the real servers of a virtual service, as the kernel sees them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{FieldChange, Fields, ServiceKey};

/// The kernel's identity of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationKey {
    /// The service that it belongs to.
    pub service: ServiceKey,
    /// The real server's address; of another family than the service only with tunnels.
    pub address: IpAddr,
    /// Host byte order. 0: the port that the client asked for.
    pub port: u16,
}

/// The identity of a destination within its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DestinationId(pub SocketAddr);

impl DestinationKey {
    /// The identity within the service.
    pub fn id(&self) -> DestinationId {
        DestinationId(SocketAddr::new(self.address, self.port))
    }

    /// The destination `id` of `service`.
    pub fn new(service: ServiceKey, id: DestinationId) -> DestinationKey {
        DestinationKey { service, address: id.0.ip(), port: id.0.port() }
    }
}

impl fmt::Display for DestinationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a destination is, beside its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// How packets reach the server.
    pub forward: Forward,
    /// The share of new connections; 0 is quiesced.
    pub weight: Weight,
    /// The upper threshold: no new connections from here on; 0 is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_connections: u32,
    /// The lower threshold: new connections again below this; 0 is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_connections: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The weight of a destination, and who may move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Weight {
    /// The topology's: the kernel must hold exactly this.
    Owned(u32),
    /// A health checker moves it between 0 and `base`.
    Shared {
        /// The weight of a healthy server.
        base: u32,
    },
}

impl Weight {
    /// The weight with which a destination is made.
    pub fn value(self) -> u32 {
        match self {
            Weight::Owned(weight) | Weight::Shared { base: weight } => weight,
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}

/// How packets reach a real server (`IP_VS_CONN_F_FWD_MASK` and the tunnel attributes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forward {
    /// `nat`, the kernel's MASQ.
    Nat,
    /// `dr`, the kernel's DROUTE.
    Dr,
    /// `tun`, with what it is wrapped in.
    Tun(Encapsulation),
    /// What others may have set: LOCALNODE (1), BYPASS (4) or an unknown number.
    Other(u32),
}

/// What a tunnelled packet is wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encapsulation {
    /// IP in IP; it has no checksum.
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// the real server's FOU port, host byte order
        port: u16,
        /// checksum of the outer header
        checksum: Checksum,
    },
    /// Generic routing encapsulation.
    Gre {
        /// checksum of the outer header
        checksum: Checksum,
    },
    /// A tunnel type that this version does not know.
    Other(u8),
}

/// `IP_VS_TUNNEL_ENCAP_FLAG_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksum {
    /// none
    #[default]
    None,
    /// a checksum in each packet
    Csum,
    /// remote checksum offload; gue alone
    Remcsum,
    /// Flags that this version does not know.
    Other(u16),
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Checksum::None => f.write_str("none"),
            Checksum::Csum => f.write_str("csum"),
            Checksum::Remcsum => f.write_str("remcsum"),
            Checksum::Other(flags) => write!(f, "flags-{flags}"),
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Forward::Nat => f.write_str("nat"),
            Forward::Dr => f.write_str("dr"),
            Forward::Tun(encapsulation) => write!(f, "tun {encapsulation}"),
            Forward::Other(1) => f.write_str("local"),
            Forward::Other(4) => f.write_str("bypass"),
            Forward::Other(number) => write!(f, "method-{number}"),
        }
    }
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, checksum) = match self {
            Encapsulation::Ipip => return f.write_str("ipip"),
            Encapsulation::Other(number) => return write!(f, "type-{number}"),
            Encapsulation::Gue { port, checksum } => (format!("gue port {port}"), checksum),
            Encapsulation::Gre { checksum } => ("gre".to_owned(), checksum),
        };
        match checksum {
            Checksum::None => f.write_str(&name),
            checksum => write!(f, "{name} {checksum}"),
        }
    }
}

impl Destination {
    /// Whoever moves a shared weight has the last word: writing another field must not write the weight back to its base.
    pub(super) fn over(self, live: &Destination) -> Destination {
        match self.weight {
            Weight::Shared { base } if live.weight.value() <= base => {
                Destination { weight: Weight::Owned(live.weight.value()), ..self }
            }
            Weight::Shared { .. } | Weight::Owned(_) => self,
        }
    }

    pub(super) fn differences(&self, after: &Destination) -> Vec<FieldChange> {
        let Destination { forward, weight, max_connections, min_connections } = self;
        let mut changes = Fields::default();
        changes.compare("forward", forward, &after.forward);
        match after.weight {
            Weight::Shared { base } if weight.value() <= base => {}
            Weight::Owned(_) | Weight::Shared { .. } => changes.compare("weight", &weight.value(), &after.weight.value()),
        }
        changes.compare("max-connections", max_connections, &after.max_connections);
        changes.compare("min-connections", min_connections, &after.min_connections);
        changes.0
    }
}
