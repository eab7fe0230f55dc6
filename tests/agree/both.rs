//! One namespace of the real kernel and the model of it, side by side.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use lvsform::kernel::fake::Fake;
use lvsform::kernel::linux::Linux;
use lvsform::kernel::{Kernel, Outcome};
use lvsform::plan::Phase;
use lvsform::state::{Change, Key, Observed, Resource, Scope, State};

use crate::world::{fresh, ipvsadm};

/// The two kernels, alike at the start.
pub struct Both {
    pub real: Linux,
    pub fake: Fake,
    scope: Scope,
}

/// What one kernel did and the other did not.
pub struct Disagreement(pub String);

impl Both {
    /// A fresh namespace, and a model that holds what is read of it.
    pub fn fresh(scope: &Scope) -> Both {
        let mut real = fresh();
        let observed = real.read(scope).expect("a reading");
        let mut fake = Fake::from(observed);
        fake.without_module(crate::operations::NO_MODULE);
        Both { real, fake, scope: scope.clone() }
    }

    /// Carries out steps on both; the real kernel gets them together.
    pub fn run(&mut self, phase: &Phase) -> Result<(), Disagreement> {
        let real = self.real.run(phase);
        let fake = self.fake.run(phase);
        for (number, (step, (real, fake))) in phase.steps.iter().zip(real.iter().zip(&fake)).enumerate() {
            if answer(real) != answer(fake) {
                let text = format!("step {number} of {}: {step:?}\n  real: {real:?}\n  fake: {fake:?}", phase.steps.len());
                return Err(Disagreement(text));
            }
        }
        Ok(())
    }

    /// What the real kernel holds.
    pub fn read_real(&mut self) -> Observed {
        self.real.read(&self.scope).expect("a reading")
    }

    /// Compares what both hold.
    pub fn compare(&mut self) -> Result<(), Disagreement> {
        let real = self.real.read(&self.scope).map_err(|error| Disagreement(error.to_string()))?;
        let fake = self.fake.read(&self.scope).map_err(|error| Disagreement(error.to_string()))?;
        compare(&real, &fake).map_err(|Disagreement(text)| Disagreement(format!("{text}ipvsadm -Sn:\n{}", ipvsadm())))
    }
}

/// Done or an errno; the kernel's words are its own.
fn answer(outcome: &Outcome) -> Option<i32> {
    match outcome {
        Outcome::Done => Some(0),
        Outcome::Refused(refusal) => Some(refusal.errno),
        Outcome::Unknown => None,
    }
}

/// Whether two readings agree in everything that the model has.
pub fn compare(real: &Observed, fake: &Observed) -> Result<(), Disagreement> {
    let mut text = differences("real", &modelled(&real.state), "fake", &modelled(&fake.state));
    if real.absent != fake.absent {
        _ = writeln!(text, "absent\n  real: {:?}\n  fake: {:?}", real.absent, fake.absent);
    }
    if text.is_empty() { Ok(()) } else { Err(Disagreement(text)) }
}

/// Every object that two states do not have alike.
pub fn differences(one: &str, first: &State, other: &str, second: &State) -> String {
    let keys: BTreeSet<&Key> = first.objects.keys().chain(second.objects.keys()).collect();
    let mut text = String::new();
    for key in keys {
        let (left, right) = (first.objects.get(key), second.objects.get(key));
        if left != right {
            _ = writeln!(text, "{key}\n  {one}: {left:?}\n  {other}: {right:?}");
        }
    }
    text
}

/// What the model has of a state. Left out, each with its reason:
///
/// - IPv6 addresses that the kernel gives a device by itself (link-local, and IPv4's of a sit tunnel): they come when the
///   device is up and are nobody's wish.
pub fn modelled(state: &State) -> State {
    let by_kernel = |key: &Key, _: &Resource| match key {
        Key::Address(key) if key.comes_by_itself() => true,
        Key::Address(key) => match key.address {
            IpAddr::V6(address) => key.prefix == 96 && address.segments()[..6] == [0; 6],
            IpAddr::V4(_) => false,
        },
        _ => false,
    };
    State {
        objects: state
            .objects
            .iter()
            .filter(|(key, resource)| !by_kernel(key, resource))
            .map(|(key, resource)| (key.clone(), resource.clone()))
            .collect(),
    }
}

/// Runs steps one at a time in a new namespace and compares at the end.
pub fn replay(scope: &Scope, steps: &[Change]) -> Result<(), Disagreement> {
    let mut both = Both::fresh(scope);
    for step in steps {
        both.run(&crate::world::phase(vec![step.clone()]))?;
    }
    both.compare()
}
