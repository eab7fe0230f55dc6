//! What is there for the whole cluster: `timeouts`, `sync`, `ownership`, `policy`.

use super::block::Block;
use super::{Ownership, Policy, Sync, Timeouts};
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
