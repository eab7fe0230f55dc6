//! What programs wrote and lvsform reads back: a captured state, a saved plan, the records of a namespace.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use lvsform::cli::saved::Saved;
use lvsform::compile::{self, Compiled};
use lvsform::kernel::fake::Fake;
use lvsform::kernel::{Kernel, Outcome};
use lvsform::plan::policy::{self, Amount, Measure, Policy};
use lvsform::plan::{Aim, Phase, Plan, Target, digest};
use lvsform::report;
use lvsform::report::captured::{self, Captured};
use lvsform::report::drift::Report;
use lvsform::report::text::Style;
use lvsform::rules::{self, Asked};
use lvsform::source::{self, Sources, Spelling};
use lvsform::state::{KernelFacts, Key, Observed};
use lvsform::topology::{Host, Ownership, Role, Topology};
use lvsform::txn::drift::{self, Drift};
use lvsform::txn::former::Former;
use lvsform::txn::journal::{Intent, Journal, Unfinished};
use lvsform::txn::ledger::{Claims, Ledger};
use lvsform::txn::{self, debt, history, preflight};
use serde_json::Value;

use super::files::Parts;
use super::said;
use super::text::{Checked, has_errors};

/// What `plan --live` and `drift --live` read: a captured state is the same when it is written again, and every example can be
/// planned against it.
pub fn live(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let captured = match captured::read(text) {
        Ok(captured) => captured,
        Err(error) => return said::is_plain(report::error(&error.to_string(), &[], None, PLAIN).trim_end()),
    };
    let again = serde_json::to_string(&captured).expect("a document");
    assert_eq!(captured::read(&again).ok().as_ref(), Some(&captured), "not the same again: {again}");
    let Captured { format: _, observed, owned } = captured;
    let claims = owned.map(|owned| owned.claims(&observed)).unwrap_or_default();
    for fixture in &*FIXTURES {
        fixture.plan(&claims, &observed);
    }
}

/// What `apply` reads: a saved plan is the same when it is written again, and its texts are those of a topology or say why not.
pub fn plan(data: &[u8]) {
    let _ = Saved::decode(data);
    let Ok(saved) = Saved::decode(&sealed("lvsform-saved-plan/1", data)) else { return };
    let again = Saved::decode(&saved.encode()).expect("what was just written");
    assert_eq!(serde_json::to_string(&again).ok(), serde_json::to_string(&saved).ok(), "not the same again");
    let Checked { sources, topology, problems } = Checked::of(Path::new(&saved.file), &saved.texts, &Asked::default());
    if has_errors(&problems) {
        return;
    }
    let Some(topology) = topology else { return };
    let Some(host) = topology.hosts.get(&saved.host) else { return };
    let compiled = compile::compile(&topology, host);
    if !has_errors(&compiled.problems) {
        Fixture::new(&topology, host, compiled, sources).plan(&Claims::default(), &OBSERVED);
    }
}

/// What every command reads of the state directory: each record is the same when it is written again, what it says can be
/// compared, planned and shown, and a run that did not end can be taken back.
pub fn ledger(data: &[u8]) {
    let _ = (Ledger::decode(data), Former::decode(data), Journal::decode(data));
    for entry in history::decode(data) {
        assert_eq!(history::decode(&serde_json::to_vec(&entry).expect("a line")), [entry], "not the same again");
    }
    if let Ok(ledger) = Ledger::decode(&sealed("lvsform-ledger/1", data)) {
        assert_eq!(Ledger::decode(&ledger.encode()).as_ref(), Ok(&ledger), "not the same again");
        owned(ledger);
    }
    if let Ok(former) = Former::decode(&sealed("lvsform-former/1", data)) {
        assert_eq!(Former::decode(&former.encode()).as_ref(), Ok(&former), "not the same again");
        let wanted = former.wanted();
        drift::pending(Some(&former.ledger), &wanted);
    }
    unfinished(data);
}

/// A topology's ledger against a kernel and the topologies that there are.
fn owned(ledger: Ledger) {
    let now = ledger.at.saturating_add(100);
    let ledgers = [ledger];
    let [ledger] = &ledgers;
    let topologies = [true, false].map(|lives| Drift {
        pending: drift::pending(Some(ledger), &FIXTURES[0].compiled.state),
        ..Drift::new(ledger, &OBSERVED, lives)
    });
    let foreign = drift::foreign(&ledgers, &OBSERVED);
    let report =
        Report { namespace: "host".to_owned(), topologies: topologies.into(), foreign, unfinished: true, running: true, now };
    let text = report::drift::text(&report, PLAIN);
    said::is_plain(&text);
    for line in report::drift::metrics(&report).lines() {
        assert!(
            line.starts_with("# HELP lvsform_") || line.starts_with("# TYPE lvsform_") || line.starts_with("lvsform_"),
            "{line:?}"
        );
    }
    serde_json::to_string(&report::drift::json(&report)).expect("a document");
    said::a_format(&report::drift::review(&report), text.len());
    debt::payable(ledger, &OBSERVED, now);
    let mut forgiven = ledger.clone();
    debt::forgive(&mut forgiven, ledger.debts.keys().cloned());
    let [ledger] = ledgers;
    let others = Claims { own: None, others: vec![ledger.clone()], renamed: false };
    others.conflicts(&FIXTURES[0].compiled.state);
    let claims = Claims { own: Some(ledger), others: vec![forgiven], renamed: false };
    let own = Claims { others: Vec::new(), ..claims };
    FIXTURES[0].plan(&own, &OBSERVED);
}

/// `{"journal": …, "marks": [ … ]}`: a run that did not end, taken back on a kernel that nobody knows.
fn unfinished(data: &[u8]) {
    let Ok(Value::Object(mut records)) = serde_json::from_slice(data) else { return };
    let (Some(journal), marks) = (records.remove("journal"), records.remove("marks")) else { return };
    let Ok(journal) = Journal::decode(&sealed("lvsform-journal/1", journal.to_string().as_bytes())) else { return };
    assert_eq!(Journal::decode(&journal.encode()).as_ref(), Ok(&journal), "not the same again");
    let marks: Vec<u8> =
        marks.as_ref().and_then(Value::as_array).into_iter().flatten().flat_map(txn::record::encode_line).collect();
    let Ok(unfinished) = Unfinished::new(journal, &marks, false) else { return };
    for observed in [Observed::default(), OBSERVED.clone()] {
        let left = txn::take_back(&mut Fake::from(observed), &unfinished).unwrap_or_default();
        said::is_plain(&report::failure::left_after_recovery(&left, "shop", PLAIN));
    }
}

/// A record around a text, whatever that is: nobody guesses a digest.
fn sealed(format: &str, text: &[u8]) -> Vec<u8> {
    let sum = digest::sha256(format!("{format} {}", digest::sha256(text)).as_bytes());
    [format.as_bytes(), b" ", sum.as_bytes(), b"\n", text, b"\n"].concat()
}

const PLAIN: Style = Style { colour: false, width: 100, verbose: true };

/// A kernel that holds what the first example asks for, and something else.
static OBSERVED: LazyLock<Observed> = LazyLock::new(|| {
    let mut observed = captured::read(include_str!("observed.json")).unwrap_or_else(|error| panic!("{error}")).observed;
    observed.state.objects.extend(FIXTURES[0].compiled.state.objects.iter().map(|(key, value)| (key.clone(), value.clone())));
    observed
});

/// A host of a topology, compiled.
struct Fixture {
    sources: Sources,
    compiled: Compiled,
    exclusive: bool,
    target: Target,
}

/// A director and a real server of each example.
static FIXTURES: LazyLock<Vec<Fixture>> = LazyLock::new(|| {
    let examples = [
        include_str!("../../examples/flash-sale.kdl"),
        include_str!("../../examples/api-gateway.kdl"),
        include_str!("../../examples/cdn.kdl"),
        include_str!("../../examples/game.kdl"),
    ];
    let mut fixtures = Vec::new();
    for text in examples {
        for role in [Role::Director, Role::RealServer] {
            let files = Parts::new(Spelling::Kdl, text);
            let (sources, topology, problems) = rules::examine(source::load(files.root(), &files));
            assert!(!has_errors(&problems), "{problems:?}");
            let topology = topology.expect("an example");
            let host = topology.hosts.values().find(|host| host.role == role).expect("an example has both");
            let compiled = compile::compile(&topology, host);
            fixtures.push(Fixture::new(&topology, host, compiled, sources));
        }
    }
    fixtures
});

/// Plans a compiled host against a kernel that holds nothing: what the plan makes, a second one need not make.
pub fn on_an_empty_kernel(topology: &Topology, host: &Host, compiled: Compiled, sources: &Sources) {
    let kernel = KernelFacts { release: "6.1".to_owned(), ipvs: true, initial_namespace: true };
    let observed = Observed { kernel, ..Observed::default() };
    let fixture = Fixture::new(topology, host, compiled, sources.clone());
    let phases = fixture.plan(&Claims::default(), &observed);
    let mut kernel = Fake::from(observed);
    let done = |phase: &Phase| kernel.run(phase).iter().all(|outcome| *outcome == Outcome::Done);
    if phases.iter().all(done) {
        let aim = Aim::from(&fixture.compiled.state);
        let again = fixture.plan(&Claims::default(), &kernel.read(&aim.scope()).expect("a model can be read"));
        assert!(again.is_empty(), "a second plan is not empty: {again:?}");
    }
}

impl Fixture {
    fn new(topology: &Topology, host: &Host, compiled: Compiled, sources: Sources) -> Fixture {
        let role = if host.role == Role::Director { "director" } else { "real-server" };
        let target = Target {
            topology: topology.name.value.clone(),
            file: "shop.kdl".to_owned(),
            host: host.name.value.clone(),
            role: role.to_owned(),
        };
        Fixture { sources, compiled, exclusive: topology.ownership.value == Ownership::Exclusive, target }
    }

    /// All that `plan` does, and what `apply` does before the kernel is asked.
    fn plan(&self, claims: &Claims, observed: &Observed) -> Vec<Phase> {
        let Compiled { state, names, left_out, elsewhere, drains, problems: _ } = &self.compiled;
        let mut aim = Aim::new(state, &claims.owned());
        aim.drain(drains, &claims.debts(observed).keys().collect(), observed);
        let make = || Plan::make(self.target.clone(), &aim, names, observed, self.exclusive, left_out.clone(), elsewhere);
        let plan = make();
        let policy = Policy {
            max_deletes: Some(Amount::Percent(10)),
            max_connections_cut: Some(10),
            min_servers: Some(Amount::Count(2)),
            protect: vec!["service.shop".to_owned()],
        };
        let (wanted, own) = (&*aim.wanted, claims.own.as_ref());
        let protected: BTreeSet<Key> = own.iter().flat_map(|own| own.protect.iter().cloned()).collect();
        let owned: BTreeSet<Key> = own.iter().flat_map(|own| own.entries.keys().cloned()).collect();
        let measure = Measure {
            policy: &policy,
            protected: &protected,
            owned: &owned,
            host: own.map(|own| own.host.as_str()),
            observed,
            wanted,
        };
        let broken = policy::broken(&plan, &measure);
        let digest = digest::digest(&plan, &aim, self.exclusive, &policy);
        said::plan(&plan, &broken, &self.sources, &digest);
        let refused = preflight::refused_by_model(&plan.phases, observed);
        said::is_plain(&report::failure::apply_would_refuse(&refused, names, &self.sources));
        claims.entries(wanted, ToString::to_string, observed);
        let intent = Intent::new(plan.phases, observed);
        intent.phases
    }
}
