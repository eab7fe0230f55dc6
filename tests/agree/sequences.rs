//! Random sequences of single changes: both kernels answer alike and hold alike.

use std::time::Duration;

use libtest_mimic::Trial;
use lvsform::state::{Change, Scope};

use crate::both::{Both, Disagreement, replay};
use crate::chance::Chance;
use crate::operations::{batch, scope};
use crate::world::{load_modules, phase, test};

/// Operations in one namespace; then comes a fresh one.
const SEQUENCE: usize = 500;

pub fn tests() -> Vec<Trial> {
    vec![
        test("the_model_agrees_with_the_kernel_in_20000_random_operations", Duration::from_mins(3), || operations(1, 20_000)),
        test("the_model_agrees_with_the_kernel_in_1000000_random_operations", Duration::from_mins(50), || operations(1_000, 1_000_000))
            .with_ignored_flag(true),
    ]
}

fn operations(first_seed: u64, count: usize) {
    load_modules();
    let scope = scope();
    for seed in (first_seed..).take(count / SEQUENCE) {
        let mut steps = Vec::new();
        if let Err(Disagreement(first)) = sequence(seed, &scope, &mut steps) {
            let (steps, Disagreement(text)) = shortest(&scope, steps, Disagreement(first.clone()));
            let lines: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
            panic!("seed {seed}: the first disagreement was\n{first}\nafter {} steps the kernels disagree:\n{}\n{text}", lines.len(), lines.join("\n"));
        }
    }
}

/// One sequence, in batches of random length that are sent together. `steps` are those that were carried out.
fn sequence(seed: u64, scope: &Scope, steps: &mut Vec<Change>) -> Result<(), Disagreement> {
    let mut chance = Chance::new(seed);
    let mut both = Both::fresh(scope);
    while steps.len() < SEQUENCE {
        let batch = phase(batch(&mut chance, &both.fake));
        steps.extend(batch.steps.iter().cloned());
        both.run(&batch)?;
        both.compare()?;
    }
    Ok(())
}

/// Leaves out what the disagreement does not need: first half of the steps, then a quarter, then one by one.
fn shortest(scope: &Scope, mut steps: Vec<Change>, mut why: Disagreement) -> (Vec<Change>, Disagreement) {
    let mut piece = steps.len();
    while piece > 0 {
        let mut end = steps.len();
        while end > 0 {
            let start = end.saturating_sub(piece);
            let mut fewer = steps.clone();
            fewer.drain(start..end);
            if let Err(still) = replay(scope, &fewer) {
                (steps, why) = (fewer, still);
            }
            end = start;
        }
        piece /= 2;
    }
    (steps, why)
}
