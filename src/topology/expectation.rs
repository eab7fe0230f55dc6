//! `expect`: what must stay true.

use super::block::Block;
use super::{Amount, Called, Expectation, OfServices, Reached};
use crate::source::At;

/// `None` where its name is wrong.
pub fn expectation(block: &Block) -> Option<Expectation> {
    let share = |block: &Block, word: &str| {
        let At { value, origin } = block.amount(word)?;
        let value = match value {
            Amount::Percent(percent) => percent.into(),
            Amount::Count(count) => count,
        };
        Some(At { value, origin })
    };
    let service = |block: &Block| {
        Some(OfServices {
            pattern: block.label()?,
            servers_min: block.integer("servers-min"),
            servers_max: block.integer("servers-max"),
            weight_min: block.integer("weight-min"),
            share_max: share(block, "share-max"),
            methods: block.words("method"),
            schedulers: block.words("scheduler"),
            drain_min: block.integer("drain-min"),
        })
    };
    let reached = |block: &Block| {
        let At { value, origin } = block.networks("from").into_iter().next()?;
        Some(Reached { vip: block.text("vip")?, from: At { value: value.at(0), origin } })
    };
    let called = |block: &Block| Some(Called { kind: block.main_word()?, patterns: block.texts("pattern") });
    let without = block.many_names("without");
    let each = without.into_iter().flat_map(|At { value, origin }| {
        (0..value.count()).map(move |at| At { value: value.at(at), origin }).collect::<Vec<_>>()
    });
    Some(Expectation {
        name: block.label()?,
        without: each.collect(),
        moved_max: share(block, "moved-max"),
        live: block.text("live"),
        host: block.text("host"),
        changes: block.integer("changes"),
        deletes: block.integer("deletes"),
        connections_cut: block.integer("connections-cut"),
        services: block.of("service").filter_map(service).collect(),
        names: block.of("names").filter_map(called).collect(),
        reached: block.of("reach").filter_map(reached).collect(),
    })
}
