//! Kernels around a kernel: one that refuses or loses a step, one in which somebody else writes at a moment of a run.

use lvsform::kernel::{Kernel, Outcome, ReadError, Refusal};
use lvsform::plan::{Phase, Rank};
use lvsform::state::{Key, Observed, Scope};
use nix::errno::Errno;

/// What becomes of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is refused, and did not happen.
    Refused,
    /// Nobody answers, and it did not happen.
    LostUndone,
    /// Nobody answers, and it happened.
    LostDone,
}

/// The kernel below, but for some steps, counted over all phases.
pub struct Faulty<'a> {
    pub kernel: &'a mut dyn Kernel,
    pub steps: Vec<(usize, Fate)>,
    pub seen: usize,
    /// What is refused from the phase on that comes after the first fault: in the rollback.
    pub stuck: Option<Key>,
    /// What was sent after that phase.
    pub taken_back: Vec<Key>,
    faulted: bool,
}

impl<'a> Faulty<'a> {
    pub fn new(kernel: &'a mut dyn Kernel, steps: &[(usize, Fate)]) -> Faulty<'a> {
        Faulty { kernel, steps: steps.to_vec(), seen: 0, stuck: None, taken_back: Vec::new(), faulted: false }
    }
}

impl Kernel for Faulty<'_> {
    fn read(&mut self, scope: &Scope) -> Result<Observed, ReadError> {
        self.kernel.read(scope)
    }

    fn run(&mut self, phase: &Phase) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let rollback = self.faulted;
        for step in &phase.steps {
            let mut fate = self.steps.iter().find(|(number, _)| *number == self.seen).map(|(_, fate)| *fate);
            self.seen += 1;
            self.faulted |= fate.is_some();
            if rollback {
                self.taken_back.push(step.key.clone());
                fate = fate.or_else(|| (self.stuck.as_ref() == Some(&step.key)).then_some(Fate::Refused));
            }
            let mut send = || self.kernel.run(&Phase { rank: phase.rank, steps: vec![step.clone()] });
            outcomes.extend(match fate {
                None => send(),
                // An errno that says nothing of another writer.
                Some(Fate::Refused) => vec![Outcome::Refused(Refusal { errno: Errno::ENOMEM as i32, text: None })],
                Some(Fate::LostUndone) => vec![Outcome::Unknown],
                Some(Fate::LostDone) => {
                    send();
                    vec![Outcome::Unknown]
                }
            });
        }
        outcomes
    }
}

/// The kernel below, and somebody who writes once, just before the first phase of a rank.
pub struct Meddled<'a> {
    pub kernel: &'a mut dyn Kernel,
    pub before: Rank,
    pub write: Option<Box<dyn FnOnce() + 'a>>,
}

impl Kernel for Meddled<'_> {
    fn read(&mut self, scope: &Scope) -> Result<Observed, ReadError> {
        self.kernel.read(scope)
    }

    fn run(&mut self, phase: &Phase) -> Vec<Outcome> {
        if phase.rank == self.before
            && let Some(write) = self.write.take()
        {
            write();
        }
        self.kernel.run(phase)
    }
}
