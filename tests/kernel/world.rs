//! A fresh network namespace, and what a test does in it.

use std::process::Command;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use libtest_mimic::Trial;
use lvsform::kernel::linux::Linux;
use lvsform::kernel::{Kernel, Outcome};
use lvsform::plan::{Phase, Rank};
use lvsform::state::{Change, Key, Link, LinkKind, Observed, Resource, Scope};
use nix::sched::{CloneFlags, unshare};

use crate::limit::run_within;

/// No test takes longer, not even on a machine that stands still for a while; one that does hangs.
const LIMIT: Duration = Duration::from_mins(5);

/// A namespace and its kernel.
pub struct World {
    pub kernel: Linux,
}

/// A test in a world of its own: a thread in a new network namespace with `lo` up and IPVS loaded.
pub fn test(name: impl Into<String>, body: impl FnOnce(&mut World) + Send + 'static) -> Trial {
    test_within(LIMIT, name, body)
}

/// A dump counts the services of all namespaces, so a writer in one tears what is read in another (`ip_vs_genl_dump_services`):
/// who never stops writing is alone.
static WRITING: RwLock<()> = RwLock::new(());

/// The same for a test that must be alone in its kernel.
pub fn test_alone(name: impl Into<String>, body: impl FnOnce(&mut World) + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let _alone = WRITING.write().unwrap_or_else(PoisonError::into_inner);
        run_within(LIMIT, || body(&mut World::new()))
    })
}

/// The same with a limit of its own.
pub fn test_within(limit: Duration, name: impl Into<String>, body: impl FnOnce(&mut World) + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let _beside = WRITING.read().unwrap_or_else(PoisonError::into_inner);
        run_within(limit, || body(&mut World::new()))
    })
}

impl World {
    /// Moves the calling thread into a new network namespace.
    pub fn new() -> World {
        unshare(CloneFlags::CLONE_NEWNET)
            .expect("a network namespace of its own: run these tests as root, or in the lab's guest");
        let kernel = Linux::open(None).expect("sockets");
        let mut world = World { kernel };
        world.add("module ip_vs", Resource::Module).expect_done_or("this kernel has no IPVS: run these tests in the lab's guest");
        let lo = |up| Resource::Link(Box::new(Link { device: LinkKind::Other(String::new()), up, mtu: None, alias: None }));
        // There is no local routing table before that, and every destination is EINVAL.
        world.change("link lo", Some(lo(false)), Some(lo(true))).expect_done_or("lo up");
        world
    }

    /// Carries out steps as one phase. The rank means nothing to the kernel.
    pub fn run(&mut self, steps: Vec<Change>) -> Vec<Outcome> {
        let count = steps.len();
        let outcomes = self.kernel.run(&Phase { rank: Rank::ServicesAdded, steps });
        assert_eq!(outcomes.len(), count, "one outcome for each step");
        outcomes
    }

    pub fn change(&mut self, key: &str, before: Option<Resource>, after: Option<Resource>) -> Outcome {
        self.run(vec![change(key, before, after)]).remove(0)
    }

    pub fn add(&mut self, key: &str, resource: Resource) -> Outcome {
        self.change(key, None, Some(resource))
    }

    pub fn set(&mut self, key: &str, before: &Resource, after: &Resource) -> Outcome {
        self.change(key, Some(before.clone()), Some(after.clone()))
    }

    pub fn delete(&mut self, key: &str, resource: Resource) -> Outcome {
        self.change(key, Some(resource), None)
    }

    pub fn read(&mut self) -> Observed {
        self.read_scope(&Scope::default())
    }

    pub fn read_scope(&mut self, scope: &Scope) -> Observed {
        self.kernel.read(scope).expect("a reading")
    }

    /// What is under a key now.
    pub fn get(&mut self, text: &str) -> Option<Resource> {
        self.read().state.objects.remove(&key(text))
    }

    /// What a witness says: the output of a program in this namespace.
    #[expect(clippy::disallowed_methods, reason = "the witnesses are programs")]
    #[expect(clippy::unused_self, reason = "only the thread of a world is in its namespace")]
    pub fn witness(&self, program: &str, arguments: &str) -> String {
        let output = Command::new(program).args(arguments.split(' ')).output().expect(program);
        assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a witness says, as JSON.
    pub fn witness_json(&self, program: &str, arguments: &str) -> serde_json::Value {
        serde_json::from_str(&self.witness(program, arguments)).expect("JSON")
    }
}

pub fn key(text: &str) -> Key {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

pub fn change(text: &str, before: Option<Resource>, after: Option<Resource>) -> Change {
    Change { key: key(text), before, after }
}

/// What a test expects of an outcome.
pub trait Expect {
    #[track_caller]
    fn expect_done_or(&self, words: &str);
    #[track_caller]
    fn expect_done(&self) {
        self.expect_done_or("a step");
    }
    #[track_caller]
    fn errno(&self) -> i32;
}

impl Expect for Outcome {
    #[track_caller]
    fn expect_done_or(&self, words: &str) {
        assert_eq!(*self, Outcome::Done, "{words}");
    }

    #[track_caller]
    fn errno(&self) -> i32 {
        match self {
            Outcome::Refused(refusal) => refusal.errno,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }
}
