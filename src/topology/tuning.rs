//! `sysctl`, on a host or by role.

use super::Sysctl;
use super::block::{Block, Context};
use super::fault::Fault;
use super::value::Value;
use crate::source::At;
use crate::state::SysctlKey;

/// The sysctls of a host or of a `tuning`. Two spellings of one key are one key, and a key is there once.
pub fn sysctls(cx: &mut Context, block: &Block) -> Vec<Sysctl> {
    let mut sysctls: Vec<Sysctl> = Vec::new();
    let mut known = std::collections::BTreeMap::new();
    for block in block.of("sysctl") {
        let Some(At { value: Value::Text(text), origin }) = block.head.first() else { continue };
        let Some(key) = SysctlKey::parse(text).filter(|_| !text.chars().any(char::is_control)) else {
            cx.report(&Fault::SysctlKey { text: text.clone() }, block.span);
            continue;
        };
        if key.is_command() {
            cx.report(&Fault::SysctlCommand { text: text.clone() }, block.span);
            continue;
        }
        if let Some(first) = known.insert(key.clone(), block.span) {
            cx.report(&Fault::Twice { what: format!("sysctl {key}").into(), first }, block.span);
            continue;
        }
        let Some(At { value: Value::Text(value), origin: value_origin }) = block.head.get(1) else { continue };
        sysctls.push(Sysctl {
            key: At { value: key, origin: *origin },
            value: At { value: value.to_string(), origin: *value_origin },
            force: block.boolean("force"),
        });
    }
    sysctls
}
