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
    Ok(decode(&store.read(Record::History)?.unwrap_or_default()))
}

/// The lines of a history that are whole, in their order.
pub fn decode(bytes: &[u8]) -> Vec<Entry> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
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

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the tests damage what they read")]
mod tests {
    use std::path::PathBuf;

    use super::{Entry, append, read};
    use crate::txn::store::{Record, Store};

    /// Records in a folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            Folder(std::env::temp_dir().join(format!("lvsform-history-{}-{name}", std::process::id())))
        }

        fn store(&self) -> Store {
            Store::open(&self.0, "here").expect("our own folder")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// A history of these runs, the oldest first.
    fn written(folder: &Folder, verbs: &[&str]) -> Store {
        let mut store = folder.store();
        for verb in verbs {
            append(&mut store, &Entry::new(verb, "uid 0".to_owned(), "shop", "lb1", verb)).expect("a line");
        }
        store
    }

    fn verbs(store: &Store) -> Vec<String> {
        read(store).expect("a history").into_iter().map(|entry| entry.verb).collect()
    }

    #[test]
    fn a_history_that_is_not_there_is_empty_and_lines_come_back_in_order() {
        let folder = Folder::new("order");
        assert_eq!(verbs(&folder.store()), Vec::<String>::new());
        assert_eq!(verbs(&written(&folder, &["apply", "resume", "destroy"])), ["apply", "resume", "destroy"]);
    }

    #[test]
    fn a_last_line_that_is_torn_anywhere_is_skipped_and_does_not_spoil_the_next_one() {
        let folder = Folder::new("torn");
        let mut store = written(&folder, &["apply", "destroy"]);
        let path = store.path(Record::History);
        let whole = std::fs::read(&path).expect("a history");
        let first = whole.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
        for end in first..whole.len() {
            std::fs::write(&path, &whole[..end]).expect("our own file");
            // Only the break is missing of the very last.
            let there: &[&str] = if end + 1 == whole.len() { &["apply", "destroy"] } else { &["apply"] };
            assert_eq!(verbs(&store), there, "cut at {end}");
            append(&mut store, &Entry::new("recover", String::new(), "shop", "lb1", "3")).expect("a line");
            assert_eq!(verbs(&store), [there, &["recover"]].concat(), "cut at {end}");
        }
    }

    #[test]
    fn a_line_in_the_middle_that_is_none_is_skipped_alone() {
        let folder = Folder::new("middle");
        let store = written(&folder, &["apply", "destroy"]);
        let path = store.path(Record::History);
        let whole = String::from_utf8(std::fs::read(&path).expect("a history")).expect("text");
        let (first, second) = whole.split_once('\n').expect("two lines");
        for broken in ["", "{", "\u{0}\u{0}\u{0}", "[]", "{\"at\": 1}", &first[..first.len() / 2], "\u{fffd}"] {
            std::fs::write(&path, format!("{first}\n{broken}\n{second}")).expect("our own file");
            assert_eq!(verbs(&store), ["apply", "destroy"], "{broken:?}");
        }
        std::fs::write(&path, [first.as_bytes(), b"\n\xff\xfe\n", second.as_bytes()].concat()).expect("our own file");
        assert_eq!(verbs(&store), ["apply", "destroy"], "not even text");
    }

    #[test]
    fn a_line_of_an_older_version_that_knew_less_is_a_line() {
        let folder = Folder::new("older");
        let store = written(&folder, &["apply"]);
        let path = store.path(Record::History);
        let line = std::fs::read(&path).expect("a history");
        let mut entry: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        let fields = entry.as_object_mut().expect("an object");
        for field in ["sources", "digest"] {
            assert!(fields.remove(field).is_some(), "{field}");
        }
        fields.insert("later".to_owned(), 1.into());
        std::fs::write(&path, format!("{entry}\n")).expect("our own file");
        assert_eq!(verbs(&store), ["apply"]);
    }
}
