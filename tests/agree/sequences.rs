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
        test("the_model_agrees_with_the_kernel_in_1000000_random_operations", Duration::from_mins(50), || {
            operations(1_000, 1_000_000);
        })
        .with_ignored_flag(true),
    ]
}

fn operations(first_seed: u64, count: usize) {
    load_modules();
    let scope = scope();
    if let Some(disagreement) = (first_seed..).take(count / SEQUENCE).find_map(|seed| disagreement(seed, &scope)) {
        panic!("{disagreement}");
    }
}

/// The shortest sequence on which the kernels still disagree, of that which `seed` gives.
fn disagreement(seed: u64, scope: &Scope) -> Option<String> {
    let mut steps = Vec::new();
    let Disagreement(first) = sequence(seed, scope, &mut steps).err()?;
    let (steps, Disagreement(last)) = shortest(scope, steps, Disagreement(first.clone()));
    let lines: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
    let lines = lines.join("\n");
    Some(format!("seed {seed}: {first}\nAfter these {} steps:\n{lines}\n{last}", steps.len()))
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

/// So often is a shorter sequence tried.
const TRIES: usize = 60;

/// Leaves out what the disagreement does not need: first half of the steps, then a quarter, then one by one. One that does
/// not come back when the steps are sent one by one is left as it is.
fn shortest(scope: &Scope, mut steps: Vec<Change>, mut why: Disagreement) -> (Vec<Change>, Disagreement) {
    let Err(again) = replay(scope, &steps) else { return (steps, why) };
    why = again;
    let mut piece = steps.len() / 2;
    let mut tries = 0;
    while piece > 0 {
        let mut end = steps.len();
        while end > 0 && tries < TRIES {
            let start = end.saturating_sub(piece);
            let mut fewer = steps.clone();
            fewer.drain(start..end);
            tries += 1;
            if let Err(still) = replay(scope, &fewer) {
                (steps, why) = (fewer, still);
            }
            end = start;
        }
        piece /= 2;
    }
    (steps, why)
}
