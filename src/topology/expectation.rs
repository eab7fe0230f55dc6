//! `expect`: what must stay true.

use super::block::{Block, Context};
use super::fault::Fault;
use super::{Amount, Called, Expectation, OfServices, Reached};
use crate::source::At;

/// What a plan from a captured state may do at most.
const OF_A_PLAN: [&str; 3] = ["changes", "deletes", "connections-cut"];

/// What expects nothing always holds: whoever wrote it believes that something is guarded.
fn expects_nothing(cx: &mut Context, block: &Block) {
    if !cx.is_sound {
        return;
    }
    for of in block.of("service").filter(|of| of.kind.fields.iter().all(|field| of.given(field.word).is_none())) {
        cx.report(&Fault::ExpectsNothing { kind: "service" }, of.span);
    }
    let given = |word: &str| block.given(word);
    for (word, needed) in [("moved-max", "without"), ("live", "host"), ("host", "live")] {
        if let (Some(span), None) = (given(word), given(needed)) {
            cx.report(&Fault::ExpectsWithout { word, needed }, span);
        }
    }
    match given("live") {
        Some(span) if OF_A_PLAN.iter().all(|word| given(word).is_none()) => cx.report(&Fault::NoLimit, span),
        Some(_) => {}
        None => {
            for word in OF_A_PLAN {
                if let Some(span) = given(word) {
                    cx.report(&Fault::ExpectsWithout { word, needed: "live" }, span);
                }
            }
        }
    }
    let has_content =
        !block.blocks.is_empty() || block.kind.fields.iter().any(|of| of.word != "without" && given(of.word).is_some());
    if !has_content {
        cx.report(&Fault::ExpectsNothing { kind: "expect" }, block.span);
    }
}

/// `None` where its name is wrong.
pub fn expectation(cx: &mut Context, block: &Block) -> Option<Expectation> {
    expects_nothing(cx, block);
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
