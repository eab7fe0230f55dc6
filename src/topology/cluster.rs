//! What is there for the whole cluster: `timeouts`, `sync`, `ownership`, `policy`, `lint`.

use super::block::{Block, Context};
use super::fault::Fault;
use super::{Lint, LintLevel, Ownership, Policy, Sync, Timeouts};
use crate::catalogue::{self, Level};
use crate::source::At;

/// `timeouts`
pub fn timeouts(block: &Block) -> Timeouts {
    Timeouts { span: block.span, tcp: block.integer("tcp"), tcp_fin: block.integer("tcp-fin"), udp: block.integer("udp") }
}

/// `sync`; `None` where its id or interface is missing, which has been said.
pub fn sync(block: &Block) -> Option<Sync> {
    Some(Sync {
        span: block.span,
        id: block.integer("id")?,
        interface: block.text("interface")?,
        group: block.address("group")?,
        port: block.integer("port")?,
        ttl: block.integer("ttl")?,
        max_length: block.integer("max-length"),
        masters: block.texts("master"),
        backups: block.texts("backup"),
    })
}

/// `ownership`
pub fn ownership(block: &Block) -> At<Ownership> {
    match block.word("ipvs") {
        Some(At { value: "exclusive", origin }) => At { value: Ownership::Exclusive, origin },
        Some(At { origin, .. }) => At { value: Ownership::Declared, origin },
        None => At::default(Ownership::Declared),
    }
}

/// `policy`
pub fn policy(block: &Block) -> Policy {
    Policy {
        max_deletes: block.amount("max-deletes"),
        max_connections_cut: block.integer("max-connections-cut"),
        min_servers: block.amount("min-servers"),
        protect: block.objects("protect"),
    }
}

/// `lint`; `None` where something of it is missing, which has been said.
pub fn lint(cx: &mut Context, block: &Block) -> Option<Lint> {
    let name = block.main_word()?;
    let At { value: word, origin } = block.word("level")?;
    let value = match word {
        "allow" => LintLevel::Allow,
        "warn" => LintLevel::Warn,
        _ => LintLevel::Deny,
    };
    let fixed = catalogue::find(name.value).is_some_and(|page| page.level == Level::Error);
    if let (true, Some(span)) = (fixed && value != LintLevel::Deny, origin.span()) {
        cx.report(&Fault::LintOfError { name: name.value, level: word }, span);
        return None;
    }
    Some(Lint { name, level: At { value, origin }, reason: block.text("reason")? })
}
