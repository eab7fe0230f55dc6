//! A kernel's state as `lvsform snapshot` captures it and `plan --live` reads it: one versioned document.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::Owned;
use crate::state::{Key, Observed, Resource};
use crate::txn::ledger::{Claims, Debt, Entry, Instance, Ledger};

/// The name and version of the format.
pub const FORMAT: &str = "lvsform-live/1";

/// A captured state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// `lvsform-live/1`
    pub format: String,
    /// What was read.
    pub observed: Observed,
    /// What a topology owned there; `None`: nobody asked for one, or an older version captured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owned: Option<Belongings>,
}

/// What the ledger of a topology says of a host, as far as a plan needs it: without it nothing is known to be ours, and nothing is
/// deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belongings {
    /// Whose it is.
    pub topology: String,
    /// The host of it.
    pub host: String,
    /// What must never be deleted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub protect: BTreeSet<Key>,
    /// What it owns and nobody else does.
    pub objects: BTreeMap<Key, Belonging>,
    /// Servers that were being let go.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub debts: BTreeMap<Key, Debt>,
}

/// One object that a topology owned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belonging {
    /// The user's word for it.
    pub name: String,
    /// What was there before; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Resource>,
}

impl Belongings {
    /// What is owned where `claims` were read.
    pub fn of(claims: &Claims, topology: &str, host: &str) -> Belongings {
        let own = claims.own.as_ref();
        let objects = claims.owned().into_iter();
        Belongings {
            topology: topology.to_owned(),
            host: host.to_owned(),
            protect: own.map(|own| own.protect.clone()).unwrap_or_default(),
            objects: objects.map(|(key, (name, original))| (key, Belonging { name: name.to_string(), original })).collect(),
            debts: own.map(|own| own.debts.clone()).unwrap_or_default(),
        }
    }

    /// As a plan asks for it.
    pub fn owned(&self) -> Owned {
        let objects = self.objects.iter();
        objects.map(|(key, Belonging { name, original })| (key.clone(), (name.as_str().into(), original.clone()))).collect()
    }

    /// The claims that a plan starts from. What was applied is not in it, and stands as it was seen: no plan asks for it. What is
    /// gone and was not there before is nobody's any more.
    pub fn claims(self, observed: &Observed) -> Claims {
        let Belongings { topology, host, protect, objects, debts } = self;
        let entry = |(key, Belonging { name, original }): (Key, Belonging)| {
            let applied = observed.state.objects.get(&key).cloned().or_else(|| original.clone())?;
            Some((key, Entry { name, original, applied }))
        };
        let own = Ledger {
            topology,
            host,
            instance: Instance { boot: String::new(), cookie: 0 },
            transaction: String::new(),
            at: 0,
            by: String::new(),
            sources: String::new(),
            exclusive: false,
            protect,
            entries: objects.into_iter().filter_map(entry).collect(),
            debts,
            former: None,
            pending: None,
        };
        Claims { own: Some(own), ..Claims::default() }
    }
}

/// Why a text is no captured state that this version reads.
#[derive(Debug)]
pub enum NotCaptured {
    /// A document of another format or version, or one that does not name its format.
    Format(Option<String>),
    /// Nothing.
    Empty,
    /// No JSON, or not of the form that it says it has.
    Json(serde_json::Error),
}

impl fmt::Display for NotCaptured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotCaptured::Format(Some(found)) => {
                write!(f, "its format is `{found}`, and this version of lvsform reads `{FORMAT}`")
            }
            NotCaptured::Format(None) => write!(f, "it does not say `\"format\": \"{FORMAT}\"`"),
            NotCaptured::Empty => f.write_str("it is empty"),
            NotCaptured::Json(error) if error.is_data() => write!(f, "{error}"),
            NotCaptured::Json(error) => write!(f, "it is not JSON: {error}"),
        }
    }
}

impl std::error::Error for NotCaptured {}

/// Reads a captured state. Its format is looked at first: what another version wrote cannot be judged field by field.
pub fn read(text: &str) -> Result<Captured, NotCaptured> {
    /// What every version has.
    #[derive(Deserialize)]
    #[serde(expecting = "an object")]
    struct Named {
        format: Option<String>,
    }
    if text.trim().is_empty() {
        return Err(NotCaptured::Empty);
    }
    let Named { format } = serde_json::from_str(text).map_err(NotCaptured::Json)?;
    if format.as_deref() != Some(FORMAT) {
        return Err(NotCaptured::Format(format));
    }
    serde_json::from_str(text).map_err(NotCaptured::Json)
}

impl Captured {
    /// A document of this version.
    pub fn new(observed: Observed, owned: Option<Belongings>) -> Captured {
        Captured { format: FORMAT.to_owned(), observed, owned }
    }

    /// What was seen, and what of it one of these topologies owned: a topology and its former name.
    pub fn of(self, topology: &str, was: Option<&str>) -> (Observed, Option<Belongings>) {
        let is_its = |owned: &Belongings| owned.topology == topology || Some(owned.topology.as_str()) == was;
        (self.observed, self.owned.filter(is_its))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Belongings, Captured, read};
    use crate::state::{Key, Observed};
    use crate::txn::ledger::{Claims, Ledger};

    const SERVICE: &str = "service tcp 10.0.0.100:80";
    const GONE: &str = "service tcp 10.0.0.100:81";
    const SHARED: &str = "sysctl net.ipv4.vs.expire_nodest_conn";
    const DEBT: &str = "server tcp 10.0.0.100:80 10.0.0.1:80";

    fn key(text: &str) -> Key {
        text.parse().expect("a key")
    }

    fn ledger(topology: &str, entries: &serde_json::Value) -> Ledger {
        let document = json!({
            "topology": topology, "host": "lb1", "instance": {"boot": "1", "cookie": 1}, "transaction": "1", "at": 7, "by": "me",
            "sources": "", "entries": entries, "protect": [SERVICE], "debts": {DEBT: {"weight": 3, "until": 100}},
        });
        serde_json::from_value(document).expect("a ledger")
    }

    fn claims() -> Claims {
        let service = json!({"kind": "service", "scheduler": "wlc"});
        let sysctl = |value: &str| json!({"kind": "sysctl", "value": value});
        let own = json!({
            SERVICE: {"name": "shop", "applied": service}, GONE: {"name": "old", "applied": service},
            SHARED: {"name": "", "original": sysctl("0"), "applied": sysctl("1")},
        });
        let other = ledger("other", &json!({SHARED: {"name": "", "applied": sysctl("1")}}));
        Claims { own: Some(ledger("shop", &own)), others: vec![other], renamed: false }
    }

    fn observed() -> Observed {
        let service = json!({"kind": "service", "scheduler": "rr"});
        let state = serde_json::from_value(json!({SERVICE: service})).expect("a state");
        Observed { state, ..Observed::default() }
    }

    #[test]
    fn what_a_plan_needs_of_a_ledger_comes_back_and_nothing_else_is_in_it() {
        let claims = claims();
        let captured = Captured::new(observed(), Some(Belongings::of(&claims, "shop", "lb1")));
        let text = serde_json::to_string(&captured).expect("JSON");
        assert!(!text.contains("cookie") && !text.contains("applied") && !text.contains("\"me\""), "{text}");
        let (seen, owned) = read(&text).expect("a captured state").of("shop", None);
        let owned = owned.expect("what shop owns");
        assert_eq!(owned.owned(), claims.owned());
        assert!(!owned.owned().contains_key(&key(SHARED)), "it is another topology's too");
        let again = owned.claims(&seen);
        let own = again.own.as_ref().expect("a ledger");
        assert_eq!((own.topology.as_str(), own.host.as_str()), ("shop", "lb1"));
        assert_eq!(own.protect, [key(SERVICE)].into());
        assert_eq!(again.debts(&seen).keys().collect::<Vec<_>>(), [&key(DEBT)]);
        assert_eq!(own.entries.keys().collect::<Vec<_>>(), [&key(SERVICE)], "nothing is there to be deleted of the other");
    }

    #[test]
    fn it_belongs_to_its_topology_or_to_the_one_that_had_its_name() {
        let text =
            serde_json::to_string(&Captured::new(observed(), Some(Belongings::of(&claims(), "shop", "lb1")))).expect("JSON");
        let owned = |topology, was| read(&text).expect("a captured state").of(topology, was).1.is_some();
        assert!(owned("shop", None) && owned("store", Some("shop")));
        assert!(!owned("store", None) && !owned("store", Some("other")));
    }

    #[test]
    fn a_state_of_an_older_version_is_read_and_says_nothing_of_owners() {
        let text = serde_json::to_string(&Captured::new(observed(), None)).expect("JSON");
        assert!(!text.contains("owned"), "{text}");
        assert!(read(&text).expect("a captured state").of("shop", None).1.is_none());
    }
}
