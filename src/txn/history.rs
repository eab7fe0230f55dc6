//! What was done to a namespace, a line for each run. It is only ever appended to.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::store::{Record, Store, StoreError};
use crate::plan::Summary;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it ended, in seconds since 1970.
    pub at: u64,
    /// Who says to have done it: a claim, not a proof.
    pub by: String,
    /// `apply`, `destroy`, `recover`, `resume`, `revert`, `confirm`; `expired`: reverted because nobody confirmed
    pub verb: String,
    /// Whose.
    pub topology: String,
    /// The host of it.
    pub host: String,
    /// Its number.
    pub transaction: String,
    /// SHA-256 of the files; empty where there were none.
    #[serde(default)]
    pub sources: String,
    /// The digest of the plan.
    #[serde(default)]
    pub digest: String,
    /// How much it was to change.
    pub summary: Summary,
    /// `done`, `rolled back`, `incomplete`
    pub result: String,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// Rules that were allowed to be broken, once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
}

impl Entry {
    /// A run that is done, and changed nothing so far as is said.
    pub fn new(verb: &str, by: String, topology: &str, host: &str, transaction: &str) -> Entry {
        Entry {
            at: now(),
            by,
            verb: verb.to_owned(),
            topology: topology.to_owned(),
            host: host.to_owned(),
            transaction: transaction.to_owned(),
            sources: String::new(),
            digest: String::new(),
            summary: Summary::default(),
            result: "done".to_owned(),
            milliseconds: 0,
            allowed: Vec::new(),
        }
    }
}

/// Adds a line.
pub fn append(store: &mut Store, entry: &Entry) -> Result<(), StoreError> {
    let mut line = serde_json::to_vec(entry).unwrap_or_default();
    line.push(b'\n');
    // A line that a dying run tore must not spoil this one.
    let torn = store.read(Record::History)?.is_some_and(|bytes| bytes.last().is_some_and(|byte| *byte != b'\n'));
    if torn {
        line.insert(0, b'\n');
    }
    store.append(Record::History, &line)
}

/// Every line that is whole, the oldest first.
pub fn read(store: &Store) -> Result<Vec<Entry>, StoreError> {
    let bytes = store.read(Record::History)?.unwrap_or_default();
    Ok(bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "when something was done is the point of a history")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A number that no other run has: the time in nanoseconds, and the process.
#[expect(clippy::disallowed_methods, reason = "a transaction's number must not come twice")]
pub fn transaction() -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    format!("{time:x}-{:x}", std::process::id())
}
