//! What a topology owns in a namespace, and what was there before it came.
//!
//! IPVS, sysctls and addresses do not say whose they are; this record does. An entry has what was there when the topology
//! first touched the object in this boot, so that giving it back, dropping it from the file and destroying the topology are
//! one thing: a plan towards `original`. All ledgers of a namespace are one table of claims.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::debt;
use super::former::Former;
use super::record::{self, Damage};
use super::store::{Record, Store, StoreError};
use crate::plan::Owned;
use crate::state::{Absence, Key, Observed, Resource, State};

const FORMAT: &str = "lvsform-ledger/1";

/// Which life of a namespace: kernel objects do not outlive it, so a record of another one is about objects that are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// `/proc/sys/kernel/random/boot_id`
    pub boot: String,
    /// `SO_NETNS_COOKIE`
    pub cookie: u64,
}

/// What one topology owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The topology's name.
    pub topology: String,
    /// The host of it that this is.
    pub host: String,
    /// Where.
    pub instance: Instance,
    /// The transaction that made it so.
    pub transaction: String,
    /// When that was, in seconds since 1970.
    pub at: u64,
    /// Who says to have done it.
    pub by: String,
    /// SHA-256 of the files, in the order in which they were read.
    pub sources: String,
    /// `ownership ipvs="exclusive"`
    #[serde(default)]
    pub exclusive: bool,
    /// What the file says must never be deleted.
    #[serde(default)]
    pub protect: BTreeSet<Key>,
    /// By the kernel's identity.
    pub entries: BTreeMap<Key, Entry>,
    /// Servers without weight that are deleted when their connections have ended.
    #[serde(default)]
    pub debts: BTreeMap<Key, Debt>,
    /// The transaction of the ledger before the last apply, which is kept beside this one; `None`: there is no way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<String>,
    /// Until when somebody must confirm it, in seconds since 1970, or it is taken back; `None`: nobody has to. With the
    /// namespace it ends too: then what there was before it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u64>,
}

/// A server that is let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    /// Its weight before.
    pub weight: u32,
    /// When it is deleted whatever is left, in seconds since 1970.
    pub until: u64,
}

/// One object that a topology owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The user's word for it.
    pub name: String,
    /// What was there before; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Resource>,
    /// What the topology made of it.
    pub applied: Resource,
}

/// Why what is owned is not known.
#[derive(Debug)]
pub enum LedgerError {
    /// A record could not be read or written.
    Store(StoreError),
    /// A record cannot be used.
    Damaged(std::path::PathBuf, Damage),
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerError::Store(error) => error.fmt(f),
            LedgerError::Damaged(path, damage) => write!(f, "{} {damage}", path.display()),
        }
    }
}

impl std::error::Error for LedgerError {}

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> LedgerError {
        LedgerError::Store(error)
    }
}

/// Everything that is owned in a namespace.
#[derive(Debug, Default)]
pub struct Claims {
    /// The topology's own ledger; entries of another life of the namespace are gone from it.
    pub own: Option<Ledger>,
    /// Those of other topologies that own something in this life of the namespace.
    pub others: Vec<Ledger>,
    /// Whether the ledger under the topology's former name is its own.
    pub renamed: bool,
}

/// Somebody else's object that a file asks for too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Which.
    pub key: Key,
    /// Whose it is.
    pub topology: String,
}

impl Ledger {
    /// A topology's ledger as it lies there.
    pub fn read(store: &Store, topology: &str) -> Result<Option<Ledger>, LedgerError> {
        Ledger::of(store, Record::Ledger(topology))
    }

    /// The ledger that a run which has not ended was to lead to.
    pub fn next(store: &Store) -> Result<Option<Ledger>, LedgerError> {
        Ledger::of(store, Record::NextLedger)
    }

    fn of(store: &Store, record: Record<'_>) -> Result<Option<Ledger>, LedgerError> {
        let Some(bytes) = store.read(record)? else { return Ok(None) };
        Ledger::decode(&bytes).map(Some).map_err(|damage| LedgerError::Damaged(store.path(record), damage))
    }

    /// The ledger that counts in this life of the namespace: of one that nobody confirmed in an earlier one, what there was
    /// before it.
    pub fn standing(store: &Store, topology: &str, instance: &Instance) -> Result<Option<Ledger>, LedgerError> {
        match Ledger::read(store, topology)? {
            Some(ledger) if ledger.pending.is_some() && ledger.instance != *instance => {
                let former = Former::read(store, &ledger)?.map(|former| former.ledger);
                let former = former.filter(|former| !former.transaction.is_empty());
                Ok(former.map(|former| Ledger { topology: ledger.topology, ..former }))
            }
            ledger => Ok(ledger),
        }
    }

    /// Reads what [`Ledger::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Ledger, Damage> {
        record::decode(FORMAT, bytes)
    }

    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        record::encode(FORMAT, self)
    }

    /// What goes back to what it was when the file no longer has it.
    pub fn owned(&self) -> Owned {
        let entries = self.entries.iter();
        entries.map(|(key, entry)| (key.clone(), (entry.name.as_str().into(), entry.original.clone()))).collect()
    }

    /// What it made, as it made it.
    pub fn applied(&self) -> State {
        State { objects: self.entries.iter().map(|(key, entry)| (key.clone(), entry.applied.clone())).collect() }
    }
}

impl Claims {
    /// Reads all ledgers of a namespace. `was`: the topology's former name, whose ledger is its own too.
    pub fn read(store: &Store, topology: &str, was: Option<&str>, instance: &Instance) -> Result<Claims, LedgerError> {
        let mut claims = Claims::default();
        let mut older = None;
        for name in store.topologies()? {
            let Some(mut ledger) = Ledger::standing(store, &name, instance)? else { continue };
            let lives = ledger.instance == *instance;
            if name == topology || Some(name.as_str()) == was {
                if !lives {
                    ledger.entries.clear();
                    ledger.debts.clear();
                    ledger.former = None;
                    ledger.instance = instance.clone();
                }
                if name == topology {
                    claims.own = Some(ledger);
                } else {
                    older = Some((ledger, lives));
                }
            } else if lives && !ledger.entries.is_empty() {
                claims.others.push(ledger);
            }
        }
        // A renaming that died between its two files: the newer name has the last word. What was applied under the older one
        // since is another topology.
        match (older, &mut claims.own) {
            (Some((older, _)), None) => {
                claims.own = Some(older);
                claims.renamed = true;
            }
            (Some((older, _)), Some(own)) if older.at <= own.at => {
                merge(&mut own.entries, older.entries);
                claims.renamed = true;
            }
            (Some((other, true)), _) if !other.entries.is_empty() => claims.others.push(other),
            _ => {}
        }
        Ok(claims)
    }

    /// What is the topology's own and nobody else's: what others own too stays for them.
    pub fn owned(&self) -> Owned {
        let mut owned = self.own.as_ref().map(Ledger::owned).unwrap_or_default();
        owned.retain(|key, _| !self.others.iter().any(|other| other.entries.contains_key(key)));
        owned
    }

    /// What a file asks for and another topology owns. What may have several owners may be asked for alike.
    pub fn conflicts(&self, wanted: &State) -> Vec<Claimed> {
        let of = |other: &Ledger| {
            let claimed = wanted.objects.iter().filter(|(key, resource)| match other.entries.get(key) {
                Some(entry) => !(may_be_shared(key) && entry.applied == **resource),
                None => false,
            });
            claimed.map(|(key, _)| Claimed { key: key.clone(), topology: other.topology.clone() }).collect::<Vec<_>>()
        };
        self.others.iter().flat_map(of).collect()
    }

    /// Another topology that owns services or servers: the table cannot be somebody's alone beside it.
    pub fn other_with_ipvs(&self) -> Option<&str> {
        let has = |other: &&Ledger| other.entries.keys().any(|key| matches!(key, Key::Service(_) | Key::Destination(_)));
        self.others.iter().find(has).map(|other| other.topology.as_str())
    }

    /// Another topology that says the whole table is its own.
    pub fn exclusive_other(&self) -> Option<&str> {
        self.others.iter().find(|other| other.exclusive).map(|other| other.topology.as_str())
    }

    /// What earlier runs let go, and nobody uses again.
    pub fn debts(&self, observed: &Observed) -> BTreeMap<Key, Debt> {
        self.own.as_ref().map(|own| debt::standing(own, observed)).unwrap_or_default()
    }

    /// The entries after a run that makes `wanted` of what was `observed`.
    pub fn entries(&self, wanted: &State, name: impl Fn(&Key) -> String, observed: &Observed) -> BTreeMap<Key, Entry> {
        let own = self.own.as_ref().map(|own| &own.entries);
        let entry = |(key, resource): (&Key, &Resource)| {
            let skipped = matches!(key, Key::Module(_)) || observed.absent.get(key) == Some(&Absence::HostOnly);
            let original = match own.and_then(|own| own.get(key)) {
                Some(entry) => entry.original.clone(),
                // Who comes second to a shared object gives it back to what it was for the first.
                None => match self.others.iter().find_map(|other| other.entries.get(key)) {
                    Some(first) => first.original.clone(),
                    None => observed.state.objects.get(key).cloned(),
                },
            };
            (!skipped).then(|| (key.clone(), Entry { name: name(key), original, applied: resource.clone() }))
        };
        wanted.objects.iter().filter_map(entry).collect()
    }
}

/// Adds what is not there yet.
fn merge(entries: &mut BTreeMap<Key, Entry>, others: BTreeMap<Key, Entry>) {
    for (key, entry) in others {
        entries.entry(key).or_insert(entry);
    }
}

/// What several topologies may ask for alike: whatever can be there only once. A service belongs to one.
fn may_be_shared(key: &Key) -> bool {
    !matches!(key, Key::Service(_) | Key::Destination(_) | Key::Order(_))
}
