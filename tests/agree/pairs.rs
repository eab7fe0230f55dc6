//! Random pairs of states: from the first to the second on the real kernel, and back where its last step fails. One walk
//! through the pairs shows both: bringing a namespace to its first state takes half the time.

use std::time::Duration;

use libtest_mimic::Trial;
use lvsform::kernel::fake::Fake;
use lvsform::kernel::linux::Linux;
use lvsform::kernel::{Kernel, Outcome, ReadError, Refusal};
use lvsform::plan::{Aim, Phase, diff, order};
use lvsform::state::{Observed, Scope, State};
use lvsform::txn::{Ended, Failure, Run, Signs, run};
use nix::errno::Errno;

use crate::both::{compare, differences, modelled};
use crate::random::pairs;
use crate::witness::{lines, saved};
use crate::world::{fresh, ipvsadm, load_modules, test};

const PAIRS: usize = 200;
/// The witness costs more than a whole pair, so it is asked each time that this many pairs are done.
const WITNESS: usize = 20;

pub fn tests() -> Vec<Trial> {
    vec![test(
        "after_each_of_200_random_plans_the_kernel_holds_what_is_wanted_and_as_before_where_the_last_step_is_refused",
        Duration::from_mins(4),
        plans,
    )]
}

/// Everything that either state of a pair asks for.
fn scope(pair: &(State, State)) -> Scope {
    let (mut all, second) = (Scope::of(&pair.0), Scope::of(&pair.1));
    all.sysctls.extend(second.sysctls);
    all.modules.extend(second.modules);
    all
}

fn read(kernel: &mut dyn Kernel, scope: &Scope) -> Observed {
    kernel.read(scope).expect("a reading")
}

/// Plans towards `wanted` and runs it. The steps are the plan's.
fn reach(kernel: &mut dyn Kernel, wanted: &State) -> Ended {
    let observed = read(kernel, &Scope::of(wanted));
    let phases = order(&diff(&Aim::from(wanted), &observed, true), &observed);
    run(
        kernel,
        Run { aim: &Aim::from(wanted), exclusive: true, observed: &observed, phases, records: None, signs: Signs::default() },
    )
}

#[track_caller]
fn expect_applied(kernel: &mut dyn Kernel, wanted: &State, words: &str) {
    let ended = reach(kernel, wanted);
    assert!(matches!(ended, Ended::Applied), "{words}: {ended:#?}\nwanted: {wanted:#?}\n{}", ipvsadm());
}

fn plans() {
    load_modules();
    for (number, pair) in pairs(PAIRS).iter().enumerate() {
        let scope = scope(pair);
        let mut real = fresh();
        let mut fake = Fake::from(read(&mut real, &everything(pair)));
        for (which, wanted) in [("first", &pair.0), ("second", &pair.1)] {
            if which == "second" {
                refused(&mut real, pair, number);
            }
            let words = format!("pair {number}, {which} state");
            expect_applied(&mut real, wanted, &words);
            expect_applied(&mut fake, wanted, &format!("{words}, the model"));
            let held = read(&mut real, &Scope::of(wanted));
            let left = diff(&Aim::from(wanted), &held, true);
            assert!(left.is_empty(), "{words}: the next plan is not empty: {left:#?}");
        }
        let agreed = compare(&read(&mut real, &scope), &read(&mut fake, &scope));
        if number % WITNESS == 0 || agreed.is_err() {
            let (held, said) = (saved(&fake.all().state), lines(&ipvsadm()));
            let (only_held, only_said) = (held.difference(&said), said.difference(&held));
            let text: Vec<String> = only_held
                .map(|line| format!("the model: {line}"))
                .chain(only_said.map(|line| format!("ipvsadm: {line}")))
                .collect();
            assert!(text.is_empty(), "pair {number}\n{}", text.join("\n"));
        }
        if let Err(disagreement) = agreed {
            panic!("pair {number}: {}\n{pair:#?}", disagreement.0);
        }
    }
}

/// What the model must know of the start: also what the pair does not ask for and forwarding moves.
fn everything(pair: &(State, State)) -> Scope {
    let mut scope = scope(pair);
    let paths = crate::random::SYSCTLS.iter().map(|(path, _)| *path).filter(|path| !path.starts_with("net/ipv4/vs/"));
    let defaults = ["net/ipv4/conf/default/forwarding", "net/ipv4/conf/default/rp_filter", "net/ipv6/conf/default/forwarding"];
    let keys = paths.chain(defaults).map(|path| lvsform::state::SysctlKey::parse(path).expect("a path below net"));
    scope.sysctls.extend(keys);
    scope
}

/// A kernel that refuses one step.
struct Refusing<'a> {
    kernel: &'a mut Linux,
    /// How many steps come before the one that is refused.
    left: usize,
    refused: bool,
}

impl Kernel for Refusing<'_> {
    fn read(&mut self, scope: &Scope) -> Result<Observed, ReadError> {
        self.kernel.read(scope)
    }

    fn run(&mut self, phase: &Phase) -> Vec<Outcome> {
        if self.refused || self.left >= phase.steps.len() {
            self.left = self.left.saturating_sub(phase.steps.len());
            return self.kernel.run(phase);
        }
        self.refused = true;
        let part = |steps: &[_]| Phase { rank: phase.rank, steps: steps.to_vec() };
        let mut outcomes = self.kernel.run(&part(&phase.steps[..self.left]));
        outcomes.push(Outcome::Refused(Refusal { errno: Errno::EPERM as i32, text: None }));
        outcomes.extend(self.kernel.run(&part(&phase.steps[self.left + 1..])));
        outcomes
    }
}

/// Plans from the first state to the second, the last step is refused, and all is as before.
fn refused(real: &mut Linux, pair: &(State, State), number: usize) {
    let asked = Scope::of(&pair.1);
    let observed = read(real, &asked);
    let phases = order(&diff(&Aim::from(&pair.1), &observed, true), &observed);
    let Some(last) = phases.iter().map(|phase| phase.steps.len()).sum::<usize>().checked_sub(1) else { return };
    let mut refusing = Refusing { kernel: real, left: last, refused: false };
    let ended = run(
        &mut refusing,
        Run { aim: &Aim::from(&pair.1), exclusive: true, observed: &observed, phases, records: None, signs: Signs::default() },
    );
    let rolled_back = matches!(&ended, Ended::RolledBack(Failure::Refused(steps)) if steps.len() == 1);
    assert!(rolled_back, "pair {number}: {ended:#?}\n{pair:#?}");
    let after = read(real, &asked);
    let text = differences("before", &modelled(&observed.state), "after", &modelled(&after.state));
    assert!(text.is_empty(), "pair {number}\n{text}{pair:#?}");
    // What nobody asked for is not put back: that a sysctl moved by itself is not known of one that was never read.
    expect_applied(real, &pair.0, &format!("pair {number}, first state again"));
}
