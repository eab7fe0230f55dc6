//! `vip`

use super::Vip;
use super::block::Block;
use crate::source::At;

/// A VIP; `None` where it has no name or no address, which has been said.
pub fn vip(block: &Block) -> Option<Vip> {
    let name = block.label()?;
    let mut addresses = Vec::new();
    for At { value, origin } in block.addresses("address") {
        addresses.extend(value.iter().map(|value| At { value, origin }));
    }
    if addresses.is_empty() {
        return None;
    }
    Some(Vip {
        name,
        addresses,
        directors: block.texts("directors"),
        holder: block.text("holder"),
        interface: block.text("interface"),
        managed: block.boolean("managed"),
    })
}
