//! What holds for the plan between any two states, on the model of the kernel.

#[allow(dead_code, reason = "another suite uses the rest")]
mod random;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use lvsform::kernel::fake::Fake;
use lvsform::kernel::{Kernel, Outcome};
use lvsform::plan::{Aim, Phase, Plan, Rank, Target, diff, order, takes_away};
use lvsform::provenance::{Elsewhere, Names};
use lvsform::state::effects::moves;
use lvsform::state::{
    Action, Change, Connections, Family, KernelFacts, Key, Link, LinkKind, Observed, Order, Resource, Scope, State, SysctlValue,
};
use proptest::prelude::{Strategy, any};
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use random::{INTERFACE, Kind, SYSCTLS, state, sysctl};

/// So many random pairs of states does each property see; always the same ones.
const COUNT: usize = 1_000;

/// Two states, and whether the second is all that may be there.
#[derive(Debug)]
struct Pair {
    first: State,
    second: State,
    exclusive: bool,
}

/// The pairs, smallest first, so that the first that fails is the easiest to understand.
static PAIRS: LazyLock<Vec<Pair>> = LazyLock::new(|| {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let pairs = (select(vec![Kind::Synced, Kind::Mixed]), any::<bool>()).prop_flat_map(|(kind, exclusive)| {
        (state(kind), state(kind)).prop_map(move |(first, second)| Pair { first, second, exclusive })
    });
    let mut pairs: Vec<Pair> =
        (0..COUNT).map(|_| pairs.new_tree(&mut runner).expect("a strategy without filters").current()).collect();
    pairs.sort_by_key(|pair| pair.first.objects.len() + pair.second.objects.len());
    pairs
});

fn for_random_pairs(check: impl Fn(&Pair)) {
    for (number, pair) in PAIRS.iter().enumerate() {
        let result = catch_unwind(AssertUnwindSafe(|| check(pair)));
        assert!(result.is_ok(), "pair {number}: {pair:#?}");
    }
}

/// A kernel that holds the first state of a pair, with connections on its servers, and what the plan to the second does.
struct Run {
    kernel: Fake,
    before: Observed,
    changes: Vec<Change>,
    phases: Vec<Phase>,
}

impl Run {
    fn prepare(pair: &Pair) -> Run {
        let mut empty = Observed {
            kernel: KernelFacts { release: "6.1".to_owned(), ipvs: false, initial_namespace: true },
            ..Observed::default()
        };
        let device = Link { device: LinkKind::Other(String::new()), up: true, mtu: Some(1500), alias: None };
        empty.state.objects.insert(Key::Link(INTERFACE.to_owned()), Resource::Link(Box::new(device)));
        for (path, [value, _]) in SYSCTLS.iter().filter(|(path, _)| !path.starts_with("net/ipv4/vs/")) {
            empty.state.objects.insert(sysctl(path), Resource::from(SysctlValue { value: (*value).to_owned(), unless: None }));
        }
        let mut kernel = Fake::from(empty);
        let nothing = kernel.all();
        carry_out(&mut kernel, &order(&diff(&Aim::from(&pair.first), &nothing, true), &nothing));
        let mut held = kernel.all();
        let servers: Vec<Key> = held.state.objects.keys().filter(|key| matches!(key, Key::Destination(_))).cloned().collect();
        for (count, key) in (1..).zip(servers) {
            held.traffic.insert(key, Connections { active: count, inactive: 2 * count, persistent: 0 });
        }
        let mut kernel = Fake::from(held);
        let before = kernel.read(&scope(pair)).expect("the model can always be read");
        let changes = diff(&Aim::from(&pair.second), &before, pair.exclusive);
        let phases = order(&changes, &before);
        Run { kernel, before, changes, phases }
    }

    fn read(&mut self, pair: &Pair) -> Observed {
        self.kernel.read(&scope(pair)).expect("the model can always be read")
    }
}

fn scope(pair: &Pair) -> Scope {
    Scope::of(&pair.second)
}

fn carry_out(kernel: &mut Fake, phases: &[Phase]) {
    for phase in phases {
        for (step, outcome) in phase.steps.iter().zip(kernel.run(phase)) {
            assert!(outcome == Outcome::Done || went_along(step, &outcome), "{:?} {step:?} {outcome:?}", phase.rank);
        }
    }
}

/// Whether an address to be deleted went with the first one of its subnet, which was deleted before it. Which one was first
/// is not in a state, so an order cannot know.
fn went_along(step: &Change, outcome: &Outcome) -> bool {
    let gone = nix::errno::Errno::EADDRNOTAVAIL as i32;
    matches!((&step.key, &step.after, outcome), (Key::Address(_), None, Outcome::Refused(refusal)) if refusal.errno == gone)
}

/// Each step in a phase of its own, so that the state between two steps can be seen.
fn single_steps(phases: &[Phase]) -> impl Iterator<Item = (Rank, Phase)> + '_ {
    phases
        .iter()
        .flat_map(|phase| phase.steps.iter().map(|step| (phase.rank, Phase { rank: phase.rank, steps: vec![step.clone()] })))
}

#[test]
fn after_a_plan_the_kernel_holds_what_is_wanted_and_the_next_plan_is_empty() {
    for_random_pairs(|pair| {
        let mut run = Run::prepare(pair);
        carry_out(&mut run.kernel, &run.phases);
        let after = run.read(pair);
        for (key, wanted) in &pair.second.objects {
            let live = after.state.objects.get(key);
            match (wanted, live) {
                (Resource::Order(Order { servers }), live) if servers.len() < 2 || live.is_none() => assert!(servers.len() < 2),
                (Resource::Order(order), Some(Resource::Order(live))) => assert_eq!(live.among(&order.servers), *order, "{key}"),
                (wanted @ (Resource::Link(_) | Resource::Timeouts(_) | Resource::Sync(_)), Some(live)) => {
                    assert_eq!(&wanted.clone().over(live), live, "{key}");
                }
                (wanted, live) => assert_eq!(Some(wanted), live, "{key}"),
            }
        }
        assert_eq!(diff(&Aim::from(&pair.second), &after, pair.exclusive), Vec::new());
    });
}

#[test]
fn with_exclusive_nothing_else_is_left_in_ipvs() {
    for_random_pairs(|pair| {
        if !pair.exclusive {
            return;
        }
        let mut run = Run::prepare(pair);
        carry_out(&mut run.kernel, &run.phases);
        for key in run.read(pair).state.objects.keys() {
            if matches!(key, Key::Service(_) | Key::Destination(_)) {
                assert!(pair.second.objects.contains_key(key), "{key}");
            }
        }
    });
}

/// Whether one of the changes turns forwarding on or off, and this sysctl with it.
fn is_moved(key: &Key, changes: &[Change]) -> bool {
    let Key::Sysctl(moved) = key else { return false };
    changes.iter().any(|change| matches!(&change.key, Key::Sysctl(cause) if moves(cause, moved)))
}

#[test]
fn what_is_not_wanted_is_left_as_it_was() {
    for_random_pairs(|pair| {
        if pair.exclusive {
            return;
        }
        let mut run = Run::prepare(pair);
        carry_out(&mut run.kernel, &run.phases);
        let replaced = replaced_links(&run.changes);
        let after = run.read(pair);
        for (key, before) in &run.before.state.objects {
            let live = after.state.objects.get(key);
            match key {
                _ if pair.second.objects.contains_key(key) => {}
                // The device took them along: the plan says so.
                Key::Address(address) if replaced.contains(&address.interface) => {}
                _ if is_moved(key, &run.changes) => {}
                // `expire_nodest_conn` is looked at, and put back.
                Key::Order(service) if pair.second.objects.contains_key(&Key::Service(*service)) => {}
                _ => assert_eq!(live, Some(before), "{key}"),
            }
        }
        for (key, before) in &run.before.state.objects {
            if let (Key::Order(_), Resource::Order(before), Some(Resource::Order(after))) =
                (key, before, after.state.objects.get(key))
            {
                let foreign: Vec<_> = before
                    .servers
                    .iter()
                    .filter(|server| {
                        let Key::Order(service) = key else { return false };
                        !pair
                            .second
                            .objects
                            .contains_key(&Key::Destination(lvsform::state::DestinationKey::new(*service, **server)))
                    })
                    .copied()
                    .collect();
                assert_eq!(before.among(&foreign), after.among(&foreign), "foreign servers keep their order in {key}");
            }
        }
    });
}

#[test]
fn no_step_touches_an_object_that_is_not_wanted_but_to_put_it_back() {
    for_random_pairs(|pair| {
        if pair.exclusive {
            return;
        }
        let run = Run::prepare(pair);
        let expire = sysctl("net/ipv4/vs/expire_nodest_conn");
        for step in run.phases.iter().flat_map(|phase| &phase.steps).filter(|step| step.key != expire) {
            let as_it_was = step.after.is_some() && step.after.as_ref() == pair.first.objects.get(&step.key);
            assert!(pair.second.objects.contains_key(&step.key) || as_it_was, "{}", step.key);
        }
    });
}

#[test]
fn the_changes_swapped_lead_back_to_where_it_began() {
    for_random_pairs(|pair| {
        let mut run = Run::prepare(pair);
        carry_out(&mut run.kernel, &run.phases);
        let after = run.read(pair);
        let undone: Vec<Change> = run.changes.iter().map(Change::undo).collect();
        carry_out(&mut run.kernel, &order(&undone, &after));
        let back = run.read(pair);
        let replaced = replaced_links(&run.changes);
        for (key, before) in &run.before.state.objects {
            let live = back.state.objects.get(key);
            match (key, before, live) {
                (Key::Address(address), ..) if replaced.contains(&address.interface) && live.is_none() => {
                    assert!(!pair.second.objects.contains_key(key), "{key}");
                }
                // The journal knows how it was; a plan need not.
                _ if !pair.second.objects.contains_key(key) && is_moved(key, &run.changes) => {}
                (Key::Order(service), Resource::Order(before), Some(Resource::Order(live))) if !pair.exclusive => {
                    // Foreign servers are never moved, so ours are in order among themselves.
                    let ours: Vec<_> = before
                        .servers
                        .iter()
                        .copied()
                        .filter(|server| {
                            let key = lvsform::state::DestinationKey::new(*service, *server);
                            pair.second.objects.contains_key(&Key::Destination(key))
                        })
                        .collect();
                    assert_eq!(before.among(&ours), live.among(&ours), "{key}");
                }
                _ => assert_eq!(Some(before), live, "{key}"),
            }
        }
        let extra: Vec<&Key> = back.state.objects.keys().filter(|key| !run.before.state.objects.contains_key(key)).collect();
        assert!(extra.iter().all(|key| matches!(key, Key::Sysctl(_) | Key::Timeouts)), "{extra:?}");
    });
}

#[test]
fn a_plan_towards_the_first_state_restores_it_with_every_hash_order() {
    for_random_pairs(|pair| {
        if !pair.exclusive {
            return;
        }
        let mut run = Run::prepare(pair);
        carry_out(&mut run.kernel, &run.phases);
        let after = run.kernel.all();
        carry_out(&mut run.kernel, &order(&diff(&Aim::from(&run.before.state), &after, true), &after));
        let back = run.kernel.all();
        for (key, before) in &run.before.state.objects {
            let replaced = replaced_links(&run.changes);
            if !matches!(key, Key::Address(address) if replaced.contains(&address.interface)) {
                assert_eq!(Some(before), back.state.objects.get(key), "{key}");
            }
        }
        assert_eq!(run.before.traffic, back.traffic, "every connection is back with its server");
    });
}

#[test]
fn no_family_passes_through_zero_services_unless_it_ends_there() {
    for_random_pairs(|pair| {
        let mut run = Run::prepare(pair);
        let families = |observed: &Observed| {
            let mut families: BTreeMap<Family, usize> = BTreeMap::new();
            for key in observed.state.objects.keys() {
                if let Key::Service(service) = key {
                    *families.entry(service.family()).or_default() += 1;
                }
            }
            families
        };
        let first = families(&run.before);
        let seen: Vec<_> = single_steps(&run.phases)
            .map(|(_, step)| {
                run.kernel.run(&step);
                families(&run.kernel.all())
            })
            .collect();
        let Some(last) = seen.last() else { return };
        for family in first.keys().filter(|family| last.contains_key(family)) {
            assert!(seen.iter().all(|families| families.contains_key(family)), "{family}");
        }
    });
}

#[test]
fn servers_are_only_taken_away_while_their_connections_are_kept() {
    for_random_pairs(|pair| {
        let mut run = Run::prepare(pair);
        let expire = sysctl("net/ipv4/vs/expire_nodest_conn");
        let value = |kernel: &Fake| match kernel.all().state.objects.get(&expire) {
            Some(Resource::Sysctl(value)) => Some(value.value.clone()),
            _ => None,
        };
        let first = value(&run.kernel);
        for (_, phase) in single_steps(&run.phases) {
            let takes = phase
                .steps
                .iter()
                .any(|step| matches!(step.key, Key::Destination(_) | Key::Service(_)) && step.action() == Action::Delete);
            // A value that nobody asked about is left alone.
            if takes && run.before.state.objects.contains_key(&expire) {
                assert_eq!(value(&run.kernel).as_deref(), Some("0"));
            }
            run.kernel.run(&phase);
        }
        let wanted = match pair.second.objects.get(&expire) {
            Some(Resource::Sysctl(value)) => Some(value.value.clone()),
            _ => first,
        };
        if wanted.is_some() {
            assert_eq!(value(&run.kernel), wanted);
        }
    });
}

#[test]
fn phases_are_in_order_and_never_mix_what_adds_with_what_takes_away() {
    for_random_pairs(|pair| {
        let run = Run::prepare(pair);
        assert!(run.phases.windows(2).all(|pair| pair[0].rank < pair[1].rank));
        for phase in &run.phases {
            assert!(!phase.steps.is_empty());
            if phase.rank != Rank::Reseat {
                for step in &phase.steps {
                    assert_eq!(step.action() == Action::Delete, takes_away(phase.rank), "{:?} {step:?}", phase.rank);
                }
            }
        }
    });
}

#[test]
fn every_plan_can_be_read_by_people_and_programs() {
    let judge = jsonschema::validator_for(&lvsform::report::json::schema_of::<lvsform::report::json::Document>())
        .expect("the schema is a schema");
    for_random_pairs(|pair| {
        let run = Run::prepare(pair);
        let target = Target {
            topology: "random".to_owned(),
            file: "random.kdl".to_owned(),
            host: "lb1".to_owned(),
            role: "director".to_owned(),
        };
        let plan = Plan::make(
            target,
            &Aim::from(&pair.second),
            &Names::new(),
            &run.before,
            pair.exclusive,
            Vec::new(),
            &Elsewhere::default(),
        );
        let sources = lvsform::source::Sources::default();
        let document = serde_json::to_value(lvsform::report::json::plan(&plan, &sources, "")).expect("a document");
        assert!(judge.is_valid(&document), "{document:#}");
        for verbose in [false, true] {
            for width in [20, 120] {
                let style = lvsform::report::text::Style { colour: verbose, width, verbose };
                assert!(!lvsform::report::text::plan(&plan, &sources, style).is_empty());
            }
        }
        let summary = plan.summary;
        let counted = summary.add + summary.change + summary.replace + summary.restore + summary.delete;
        assert_eq!(counted, plan.changes.iter().filter(|planned| !planned.incidental).count());
    });
}

fn replaced_links(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .filter(|change| change.action() == Action::Replace)
        .filter_map(|change| match &change.key {
            Key::Link(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
}
