//! Runs that are written down, as a command writes them: from one state to another in a world of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Once;

use ipnet::IpNet;
use lvsform::kernel::{Kernel, netns};
use lvsform::plan::{Aim, Phase, diff, order};
use lvsform::state::{Change, Key, Observed, Resource, Scope, State, Timeouts};
use lvsform::txn::former::Former;
use lvsform::txn::ledger::{Claims, Instance, Ledger};
use lvsform::txn::store::{Record, Store};
use lvsform::txn::{self, Ended, Records, Recovered, Run, Signs, history, journal};

use crate::director::Director;
use crate::random::{self, INTERFACE};
use crate::world::World;
use crate::{hand, witness};

pub const TOPOLOGY: &str = "shop";

/// A folder for records, which goes with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        Folder(nix::unistd::mkdtemp("/tmp/lvsform-test-XXXXXX").expect("a folder"))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn store(&self) -> Store {
        store(&self.0)
    }

    /// The ledger's bytes: equal where nobody wrote it.
    pub fn ledger(&self) -> Option<Vec<u8>> {
        self.store().read(Record::Ledger(TOPOLOGY)).expect("a ledger")
    }

    /// What `revert` would lead back to is what there was before the last run.
    pub fn has_way_back(&self) -> bool {
        let store = self.store();
        let ledger = Ledger::read(&store, TOPOLOGY).expect("a ledger");
        ledger.is_none_or(|ledger| Former::read(&store, &ledger).expect("a record").is_some())
    }

    /// No run is left that did not end. What else a run that died has left is swept by the next one.
    pub fn has_ended(&self) -> bool {
        !self.store().path(Record::Journal).exists()
    }

    /// Nothing is left of any run.
    pub fn is_tidy(&self) -> bool {
        let store = self.store();
        [Record::Journal, Record::Marks, Record::NextLedger, Record::NextFormer]
            .iter()
            .all(|record| !store.path(*record).exists())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn store(records: &Path) -> Store {
    Store::open(records, &netns::name(netns::cookie().expect("a cookie"))).expect("records")
}

pub fn here() -> Instance {
    Instance { boot: netns::boot().expect("a boot"), cookie: netns::cookie().expect("a cookie") }
}

/// What a run leads to.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Goal {
    /// Nothing: the topology ends.
    pub wanted: State,
    pub exclusive: bool,
}

impl Goal {
    /// What a run towards it does from here: what must be read, what was read, and the phases.
    pub fn plan(&self, records: &Path, kernel: &mut dyn Kernel) -> (Scope, Observed, Vec<Phase>) {
        let claims = Claims::read(&store(records), TOPOLOGY, None, &here()).expect("claims");
        let aim = Aim::new(&self.wanted, &claims.owned());
        let scope = aim.scope();
        let observed = kernel.read(&scope).expect("a reading");
        let phases = order(&diff(&aim, &observed, self.exclusive), &observed);
        (scope, observed, phases)
    }

    pub fn run(&self, records: &Path, kernel: &mut dyn Kernel) -> Ended {
        self.run_with(&mut store(records), kernel, Signs::default())
    }

    pub fn run_with(&self, store: &mut Store, kernel: &mut dyn Kernel, signs: Signs<'_>) -> Ended {
        self.run_kept(store, kernel, signs, |_| {})
    }

    /// The same, but `keep` has the last word on what is kept of it.
    pub fn run_kept(
        &self,
        store: &mut Store,
        kernel: &mut dyn Kernel,
        signs: Signs<'_>,
        keep: impl FnOnce(&mut Records<'_>),
    ) -> Ended {
        let instance = here();
        let claims = Claims::read(store, TOPOLOGY, None, &instance).expect("claims");
        let aim = Aim::new(&self.wanted, &claims.owned());
        let observed = kernel.read(&aim.scope()).expect("a reading");
        let phases = order(&diff(&aim, &observed, self.exclusive), &observed);
        let transaction = history::transaction();
        let next = Ledger {
            topology: TOPOLOGY.to_owned(),
            host: "lb1".to_owned(),
            instance: instance.clone(),
            transaction: transaction.clone(),
            at: 0,
            by: String::new(),
            sources: String::new(),
            exclusive: self.exclusive,
            protect: BTreeSet::new(),
            debts: BTreeMap::new(),
            former: Some(claims.own.as_ref().map(|own| own.transaction.clone()).unwrap_or_default()),
            pending: None,
            entries: claims.entries(&self.wanted, ToString::to_string, &observed),
        };
        let next = (!self.wanted.objects.is_empty()).then_some(next);
        let former = next.as_ref().map(|next| {
            let nothing = || Ledger { transaction: String::new(), entries: BTreeMap::new(), former: None, ..next.clone() };
            Former { ledger: claims.own.clone().unwrap_or_else(nothing), lost: BTreeMap::new() }
        });
        let (topology, host) = (TOPOLOGY.to_owned(), "lb1".to_owned());
        let mut records = Records { store, transaction, topology, host, instance, next, former };
        keep(&mut records);
        let run = Run { aim: &aim, exclusive: self.exclusive, observed: &observed, phases, records: Some(records), signs };
        txn::run(kernel, run)
    }

    /// What is still to do.
    pub fn finds(&self, kernel: &mut dyn Kernel) -> Vec<String> {
        let aim = Aim::from(&self.wanted);
        let observed = kernel.read(&Scope::of(&self.wanted)).expect("a reading");
        let phases = order(&diff(&aim, &observed, self.exclusive), &observed);
        phases.iter().flat_map(|phase| &phase.steps).map(|step| step.key.to_string()).collect()
    }
}

/// Takes back what did not end; `None` where there is nothing.
pub fn recover(records: &Path, kernel: &mut dyn Kernel) -> Option<Recovered> {
    let mut store = store(records);
    let unfinished = journal::unfinished(&store).expect("a journal that is whole")?;
    Some(txn::recover(kernel, &mut store, &unfinished, &here()).expect("a recovery"))
}

/// What the namespace holds of this scope; without what the kernel gives a device by itself, and modules, which stay.
pub fn held(kernel: &mut dyn Kernel, scope: &Scope) -> State {
    let mut state = kernel.read(scope).expect("a reading").state;
    state.objects.retain(|key, _| match key {
        Key::Address(address) => !address.comes_by_itself(),
        Key::Module(_) => false,
        _ => true,
    });
    state
}

/// Every object that two states do not have alike.
pub fn differences(before: &State, after: &State) -> BTreeSet<Key> {
    let keys = before.objects.keys().chain(after.objects.keys());
    keys.filter(|key| before.objects.get(key) != after.objects.get(key)).cloned().collect()
}

/// The same, to be read.
pub fn shown(before: &State, after: &State) -> String {
    let line = |key: &Key| format!("{key}\n  before: {:?}\n  now: {:?}\n", before.objects.get(key), after.objects.get(key));
    differences(before, after).iter().map(line).collect()
}

/// Whether an address goes and another one of its subnet stays on the same device. The first one of a subnet takes the others
/// along (`inet_del_ifa`), which no plan knows yet: such a run finds at its end that the other is gone, and is rolled back.
fn parts_a_subnet(first: &State, second: &State) -> bool {
    let subnets = |state: &State, beside: &State, in_both: bool| -> BTreeSet<(String, IpNet)> {
        let keys = state.objects.keys().filter(|key| beside.objects.contains_key(key) == in_both);
        keys.filter_map(|key| match key {
            Key::Address(key) if key.prefix < 32 => {
                Some((key.interface.clone(), IpNet::new(key.address, key.prefix).ok()?.trunc()))
            }
            _ => None,
        })
        .collect()
    };
    let stays = subnets(first, second, true);
    [(first, second), (second, first)].iter().any(|(state, beside)| !stays.is_disjoint(&subnets(state, beside, false)))
}

/// What the states ask the kernel for, so that no module brings its devices in the middle.
const MODULES: [&str; 11] =
    ["dummy", "ipip", "ip_gre", "fou", "ip_vs_rr", "ip_vs_wrr", "ip_vs_wlc", "ip_vs_sh", "ip_vs_dh", "ip_vs_mh", "ip_vs_sed"];

fn load_modules(world: &mut World) {
    static LOADED: Once = Once::new();
    let add = |name: &str| Change { key: Key::Module(name.to_owned()), before: None, after: Some(Resource::Module) };
    LOADED.call_once(|| drop(world.run(MODULES.into_iter().map(add).collect())));
}

/// Two states of one host, and what must be there for both.
pub struct Case {
    pub name: String,
    pub first: Goal,
    pub second: Goal,
    director: Option<Director>,
}

/// A director of each example.
pub const EXAMPLES: [(&str, &str); 4] = [
    ("examples/flash-sale.kdl", "lb1"),
    ("examples/game.kdl", "lb-east"),
    ("examples/cdn.kdl", "fra1"),
    ("examples/api-gateway.kdl", "lb1"),
];

/// A state that leaves nothing open: what is left open stays as the state before it had it, so that nothing leads back.
fn closed(mut state: State) -> State {
    for resource in state.objects.values_mut() {
        match resource {
            Resource::Timeouts(Timeouts { tcp, tcp_fin, udp }) => {
                for (timeout, seconds) in [(tcp, 900), (tcp_fin, 120), (udp, 300)] {
                    timeout.get_or_insert(seconds);
                }
            }
            Resource::Link(link) => _ = link.mtu.get_or_insert(1400),
            _ => {}
        }
    }
    state
}

impl Case {
    pub fn new(name: &str, first: Goal, second: Goal, director: Director) -> Case {
        Case { name: name.to_owned(), first, second, director: Some(director) }
    }

    /// The way back.
    pub fn turned(self) -> Case {
        let Case { name, first, second, director } = self;
        Case { name: format!("{name}, back"), first: second, second: first, director }
    }

    /// From nothing to what an example says.
    pub fn example(file: &str, host: &str) -> Case {
        let director = Director::of(file, host);
        let (nothing, exclusive) = (Goal { wanted: State::default(), exclusive: false }, director.exclusive());
        let second = Goal { wanted: director.compiled.state.clone(), exclusive };
        Case { name: format!("{file} {host}"), first: nothing, second, director: Some(director) }
    }

    /// Random pairs, always the same ones.
    pub fn random(count: usize) -> Vec<Case> {
        let goal = |wanted| Goal { wanted: closed(wanted), exclusive: true };
        let pairs = random::pairs(2 * count).into_iter().filter(|(first, second)| !parts_a_subnet(first, second));
        let cases: Vec<Case> = pairs
            .take(count)
            .enumerate()
            .map(|(number, (first, second))| Case {
                name: format!("random pair {number}"),
                first: goal(first),
                second: goal(second),
                director: None,
            })
            .collect();
        assert_eq!(cases.len(), count, "so many that no address parts a subnet");
        cases
    }

    /// A world that holds the first state.
    pub fn start(&self, world: &mut World, records: &Path) {
        self.plug_in(world);
        if !self.first.wanted.objects.is_empty() {
            let ended = self.first.run(records, &mut world.kernel);
            assert!(matches!(ended, Ended::Applied), "{}: {ended:#?}", self.name);
        }
    }

    /// What must be there for both.
    pub fn plug_in(&self, world: &mut World) {
        load_modules(world);
        if let Some(director) = &self.director {
            director.plug_in(world);
        } else {
            std::fs::write("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1").expect("a sysctl");
            let lines =
                format!("link add {INTERFACE} type dummy\nlink set {INTERFACE} up\naddr add 10.1.0.1/16 dev {INTERFACE}\n");
            hand::feed("ip", "-batch -", &lines);
        }
    }

    /// All that must be compared.
    pub fn scope(&self) -> Scope {
        let (mut all, second) = (Scope::of(&self.first.wanted), Scope::of(&self.second.wanted));
        all.sysctls.extend(second.sysctls);
        all.modules.extend(second.modules);
        all.fou |= second.fou;
        all
    }

    /// What other programs see.
    pub fn seen(&self, world: &World) -> Vec<String> {
        match &self.director {
            Some(director) => witness::everything(world, director),
            None => [witness::table(world), witness::addresses(world), witness::devices(world)].concat(),
        }
    }
}
