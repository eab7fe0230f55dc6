//! Reading the rules of iptables of the old kind, which nftables does not list.

use std::collections::BTreeMap;

use super::look::{output, read};
use crate::doctor::{Chain, Unseen, legacy};

/// The chains of both families; whose tables cannot be read remain open. Nothing is asked where there is no table: a question
/// would load a module.
pub(super) fn chains(unseen: &mut Vec<Unseen>) -> BTreeMap<String, Chain> {
    let mut chains = BTreeMap::new();
    for (family, program) in [("ip", "iptables-legacy"), ("ip6", "ip6tables-legacy")] {
        let tables = read(format!("/proc/thread-self/net/{family}_tables_names")).unwrap_or_default();
        if tables.is_empty() {
            continue;
        }
        let save = format!("{program}-save");
        match output(&save, &[]) {
            Ok(said) => chains.extend(legacy::chains(program, &String::from_utf8_lossy(&said))),
            Err(why) => unseen.push(Unseen {
                what: format!("whether {family}tables drops packets"),
                why: format!(
                    "it has tables of the old kind ({}), and {why}",
                    tables.split_whitespace().collect::<Vec<_>>().join(", ")
                ),
                mend: format!("look yourself: {save}"),
            }),
        }
    }
    chains
}
