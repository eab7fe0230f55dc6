//! What a topology owned before its last apply: where `revert` leads.
//!
//! It lies beside the ledger, and the ledger names its transaction: one of another number is of another apply, and nothing
//! leads back to it. It is put in place right after the ledger, and a run that died in between is finished when it is
//! recovered ([`Journal::keep_former`](super::journal::Journal::keep_former)).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ledger::{Ledger, LedgerError};
use super::record;
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
        let former: Former = record::decode(FORMAT, &bytes).map_err(|damage| LedgerError::Damaged(store.path(record), damage))?;
        Ok((ledger.former.as_ref() == Some(&former.ledger.transaction)).then_some(former))
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
