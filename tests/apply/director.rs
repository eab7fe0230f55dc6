//! A director of a topology file in a network namespace: its interfaces, its plan, its apply.

use std::path::Path;

use lvsform::cli::files::DiskFiles;
use lvsform::compile::{self, Compiled};
use lvsform::kernel::Kernel;
use lvsform::plan::{Aim, Plan, Target};
use lvsform::source::{self, Severity, Sources};
use lvsform::state::{Action, Key, Observed, Scope};
use lvsform::topology::{Ownership, Topology};
use lvsform::txn::{self, Ended, Run, Signs};
use lvsform::{report, rules};

use crate::hand;
use crate::world::World;

/// The topology with every attribute that IPVS has.
pub const WHOLE: &str = "tests/apply/whole.kdl";

/// One director of a file, compiled.
pub struct Director {
    pub file: String,
    pub host: String,
    pub topology: Topology,
    pub sources: Sources,
    pub compiled: Compiled,
}

/// User-Mode Linux has none: there the tables of a topology are no part of what is applied and compared. Under QEMU they are, and
/// the rehearsals apply them.
fn has_nftables() -> bool {
    !std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("User Mode Linux"))
}

impl Director {
    /// A director of a file of this package.
    pub fn of(file: &str, host: &str) -> Director {
        let loaded = source::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file), &DiskFiles);
        let (sources, topology, problems) = rules::examine(loaded);
        assert!(problems.iter().all(|problem| problem.severity != Severity::Error), "{file}: {problems:?}");
        let topology = topology.unwrap_or_else(|| panic!("{file}: no topology"));
        let mut compiled = compile::compile(&topology, &topology.hosts[host]);
        if !has_nftables() {
            compiled.state.objects.retain(|key, _| !matches!(key, Key::Nftables(_)));
        }
        assert!(compiled.problems.is_empty(), "{file}: {:?}", compiled.problems);
        Director { file: file.to_owned(), host: host.to_owned(), topology, sources, compiled }
    }

    /// A director of a text, which is a file of its own while it is read.
    pub fn of_text(text: &str, host: &str) -> Director {
        let folder = nix::unistd::mkdtemp("/tmp/lvsform-test-XXXXXX").expect("a folder");
        let file = folder.join("topology.kdl");
        std::fs::write(&file, text).expect("a file");
        let director = Director::of(&file.to_string_lossy(), host);
        std::fs::remove_dir_all(folder).expect("our own folder");
        director
    }

    pub fn exclusive(&self) -> bool {
        self.topology.ownership.value == Ownership::Exclusive
    }

    /// Makes the interfaces that the file says the host has, as dummy devices, in the world of this thread.
    pub fn plug_in(&self, _: &World) {
        let mut lines = String::new();
        for (name, interface) in &self.topology.hosts[&self.host].interfaces {
            lines += &format!("link add {name} type dummy\nlink set {name} up\n");
            for address in &interface.addresses {
                let nodad = if address.value.addr().is_ipv6() { " nodad" } else { "" };
                lines += &format!("addr add {} dev {name}{nodad}\n", address.value);
            }
        }
        hand::feed("ip", "-batch -", &lines);
    }

    pub fn scope(&self) -> Scope {
        Scope::of(&self.compiled.state)
    }

    pub fn read(&self, kernel: &mut dyn Kernel) -> Observed {
        kernel.read(&self.scope()).expect("a reading")
    }

    pub fn plan_from(&self, observed: &Observed) -> Plan {
        self.plan_towards(&Aim::from(&self.compiled.state), observed)
    }

    pub fn plan_towards(&self, aim: &Aim<'_>, observed: &Observed) -> Plan {
        let target = Target {
            topology: self.topology.name.value.clone(),
            file: self.file.clone(),
            host: self.host.clone(),
            role: "director".to_owned(),
        };
        let Compiled { names, left_out, elsewhere, .. } = &self.compiled;
        Plan::make(target, aim, names, observed, self.exclusive(), left_out.clone(), elsewhere)
    }

    /// The changes of the plan, a line each: `KEY: FIELD BEFORE → AFTER, …`, or `KEY: ACTION`.
    pub fn finds(&self, kernel: &mut dyn Kernel) -> Vec<String> {
        let plan = self.plan_from(&self.read(kernel));
        let describe = |planned: &lvsform::plan::Planned| {
            let none = || "none".to_owned();
            let fields: Vec<String> = planned
                .fields
                .iter()
                .map(|field| {
                    let [before, after] = [&field.before, &field.after].map(|text| text.clone().unwrap_or_else(none));
                    format!("{} {before} → {after}", field.field)
                })
                .collect();
            let what = match planned.action {
                // The order of a service whose scheduler did not care was not read.
                Action::Change if fields.is_empty() => "put in order".to_owned(),
                Action::Change => fields.join(", "),
                Action::Replace => format!("replace {}", fields.join(", ")),
                Action::Add => "add".to_owned(),
                Action::Restore => "put back".to_owned(),
                Action::Delete => "delete".to_owned(),
            };
            format!("{}: {what}", planned.change.key)
        };
        plan.changes.iter().filter(|planned| !planned.incidental).map(describe).collect()
    }

    /// Reads, plans, carries out.
    pub fn apply(&self, kernel: &mut dyn Kernel) -> Ended {
        let observed = self.read(kernel);
        let plan = self.plan_from(&observed);
        self.carry_out(kernel, &observed, &plan)
    }

    pub fn carry_out(&self, kernel: &mut dyn Kernel, observed: &Observed, plan: &Plan) -> Ended {
        let aim = Aim::from(&self.compiled.state);
        let (exclusive, phases) = (self.exclusive(), plan.phases.clone());
        let run = Run { aim: &aim, exclusive, observed, phases, records: None, signs: Signs::default() };
        txn::run(kernel, run)
    }

    /// Applies, and expects that it works and that nothing is left to do.
    #[track_caller]
    pub fn apply_all(&self, kernel: &mut dyn Kernel) {
        let ended = self.apply(kernel);
        assert!(matches!(ended, Ended::Applied), "{}", self.words(&ended));
        let plan = self.plan_from(&self.read(kernel));
        assert!(plan.is_empty(), "a plan after apply: {:?}", plan.changes);
    }

    /// What an operator reads when an apply failed.
    pub fn words(&self, ended: &Ended) -> String {
        let style = report::text::Style { colour: false, width: 1000, verbose: true };
        report::failure::render(ended, &self.compiled.names, &self.sources, style)
    }
}
