//! What a topology owned before its last apply: where `revert` leads.
//!
//! It lies beside the ledger, and the ledger names its transaction: one of another number is of another apply, and nothing
//! leads back to it. It is put in place right after the ledger, and a run that died in between is finished when it is
//! recovered ([`Journal::keep_former`](super::journal::Journal::keep_former)).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ledger::{Ledger, LedgerError};
use super::record::{self, Damage};
use super::store::{Record, Store};
use crate::plan::Plan;
use crate::state::{Key, Resource, State};

const FORMAT: &str = "lvsform-former/1";

/// What there was before an apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// The ledger; one without entries where there was none.
    pub ledger: Ledger,
    /// What the apply deletes and nobody owns: with `ownership ipvs="exclusive"`.
    #[serde(default)]
    pub lost: BTreeMap<Key, Resource>,
}

impl Former {
    /// What there is before `plan` leads from `own` to `next`.
    pub fn new(own: Option<&Ledger>, next: &Ledger, plan: &Plan) -> Former {
        let ledger = own.cloned().unwrap_or_else(|| Ledger {
            topology: next.topology.clone(),
            host: next.host.clone(),
            instance: next.instance.clone(),
            transaction: String::new(),
            at: 0,
            by: String::new(),
            sources: String::new(),
            exclusive: false,
            protect: BTreeSet::new(),
            entries: BTreeMap::new(),
            debts: BTreeMap::new(),
            former: None,
            pending: None,
        });
        let deleted = plan.changes.iter().map(|planned| &planned.change).filter(|change| change.after.is_none());
        let lost = deleted.filter(|change| !ledger.entries.contains_key(&change.key));
        let lost = lost.filter_map(|change| Some((change.key.clone(), change.before.clone()?))).collect();
        Former { ledger, lost }
    }

    /// What there was before the apply that made `ledger`, if it is kept.
    pub fn read(store: &Store, ledger: &Ledger) -> Result<Option<Former>, LedgerError> {
        let record = Record::Former(&ledger.topology);
        let Some(bytes) = store.read(record)? else { return Ok(None) };
        let former = Former::decode(&bytes).map_err(|damage| LedgerError::Damaged(store.path(record), damage))?;
        Ok((ledger.former.as_ref() == Some(&former.ledger.transaction)).then_some(former))
    }

    /// Reads what [`Former::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Former, Damage> {
        record::decode(FORMAT, bytes)
    }

    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        record::encode(FORMAT, self)
    }

    /// What must be there again. Servers that were being let go are not: they go on leaving.
    pub fn wanted(&self) -> State {
        let mut wanted = self.ledger.applied();
        wanted.objects.retain(|key, _| !self.ledger.debts.contains_key(key));
        wanted.objects.extend(self.lost.iter().map(|(key, resource)| (key.clone(), resource.clone())));
        wanted
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::Former;
    use crate::txn::journal::{self, Intent, Journal};
    use crate::txn::ledger::{Instance, Ledger};
    use crate::txn::store::{Record, Store};

    fn ledger(transaction: &str, former: &str) -> Ledger {
        let instance = Instance { boot: "1".to_owned(), cookie: 1 };
        let text = serde_json::json!({
            "topology": "shop", "host": "lb1", "instance": instance, "transaction": transaction, "at": 0, "by": "", "sources": "",
            "entries": {}, "former": former,
        });
        serde_json::from_value(text).expect("a ledger")
    }

    #[test]
    fn whatever_sync_a_run_dies_before_the_former_ledger_is_the_one_before_the_ledger() {
        let folder = std::env::temp_dir().join(format!("lvsform-former-{}", std::process::id()));
        let former = |transaction, before| Former { ledger: ledger(transaction, before), lost: [].into() };
        let journal = Journal {
            transaction: "2".to_owned(),
            topology: "shop".to_owned(),
            host: "lb1".to_owned(),
            instance: ledger("2", "1").instance,
            ends: false,
            sysctls: Vec::new(),
            intent: Intent::default(),
        };
        let mut ends = Vec::new();
        for count in 0.. {
            let mut store = Store::open(&folder, &count.to_string()).expect("our own folder");
            store.put(Record::Ledger("shop"), &ledger("1", "0").encode()).expect("a record");
            store.put(Record::Former("shop"), &former("0", "").encode()).expect("a record");
            let mut left = count;
            store.before_each_sync(move || {
                assert!(left > 0, "dies");
                left -= 1;
                Ok(())
            });
            let died = catch_unwind(AssertUnwindSafe(|| {
                journal.begin(&mut store, Some(&ledger("2", "1")), Some(&former("1", "0"))).expect("a record");
                journal.commit(&mut store).expect("a commit");
                journal::forget(&mut store).expect("tidy");
            }))
            .is_err();
            let mut store = Store::open(&folder, &count.to_string()).expect("our own folder");
            if let Some(unfinished) = journal::unfinished(&store).expect("a journal that is whole") {
                if unfinished.committed {
                    unfinished.journal.keep_former(&mut store).expect("a record");
                }
                journal::forget(&mut store).expect("tidy");
            }
            let now = Ledger::read(&store, "shop").expect("a ledger").expect("a ledger");
            let before = Former::read(&store, &now).expect("a record").expect("a way back");
            ends.push((now.transaction, before.ledger.transaction));
            if !died {
                break;
            }
        }
        std::fs::remove_dir_all(&folder).expect("our own folder");
        let (kept, done) = (("1".to_owned(), "0".to_owned()), ("2".to_owned(), "1".to_owned()));
        assert!(ends.iter().all(|end| *end == kept || *end == done), "{ends:?}");
        assert!(ends.contains(&kept) && ends.contains(&done), "{ends:?}");
    }
}
