//! The user's words for the kernel's objects: what each is called in the topology, where it was written, and what of a
//! topology is not carried out. Never compared, never part of a state.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::source::{Origin, Span};
use crate::state::Key;

/// Where an object of a desired state comes from, in the user's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// `shop`, `shop web3`, `storefront`, `lb1`
    pub name: Arc<str>,
    /// The place.
    pub origin: Origin,
    /// Nobody wrote the object: what stands at the place needs it. In words that follow the place: `return-path "snat" needs
    /// it`.
    pub implied: Option<&'static str>,
    /// The fields that something else says: a file laid over this one, a default, a variable, another file.
    pub fields: Fields,
}

/// The places of the fields of an object that are not said where the object is, by the language's words for them; nearly all
/// objects have none.
pub type Fields = Option<Arc<Vec<(&'static str, Span)>>>;

impl Provenance {
    /// Of an object that has left the file.
    pub fn leaving(name: &Arc<str>) -> Provenance {
        Provenance { name: name.clone(), origin: Origin::Ledger, implied: None, fields: None }
    }

    /// Of an object that goes back to what it was before the last apply.
    pub fn former(name: &str) -> Provenance {
        Provenance { name: name.into(), origin: Origin::Former, implied: None, fields: None }
    }

    /// Where a field is said, if that is elsewhere than the object.
    pub fn field(&self, word: &str) -> Option<Span> {
        self.fields.iter().flat_map(|fields| fields.iter()).find(|(known, _)| *known == word).map(|(_, span)| *span)
    }
}

/// The user's words for each object of a desired state.
pub type Names = BTreeMap<Key, Provenance>;

/// Something that the topology says of a host and that this version does not carry out. A plan says it in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What, in the user's words: `masquerade on eth1`.
    pub text: String,
    /// Where it says so.
    pub span: Option<Span>,
}

/// What tells a plan that a host still has something which the topology gives to others, or to nobody any more. Nothing takes
/// it away: that needs a record of what is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// The directors that are to have each managed VIP, sorted by name.
    pub holders: BTreeMap<IpAddr, Vec<Arc<str>>>,
    /// The alias by which this topology's devices are known; empty where there is none.
    pub mark: String,
}
