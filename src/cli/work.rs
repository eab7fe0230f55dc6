//! Looking at a kernel with all that is known of it, and carrying out what was planned: what all commands share that change
//! a kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::time::{Duration, Instant};

use super::input::{self, Prepared};
use super::output::Output;
use super::records::{self, Place};
use super::signals::Signals;
use super::{Exit, in_words, pending};
use crate::kernel::capability::Capabilities;
use crate::kernel::linux::Linux;
use crate::plan::policy::MODEL;
use crate::plan::{Aim, Phase, Plan};
use crate::report::{self, failure};
use crate::state::{Key, Observed, Resource, State};
use crate::txn::former::Former;
use crate::txn::ledger::{Claims, Debt, Ledger};
use crate::txn::store::{Record, Store};
use crate::txn::{self, Ended, Records, Run, Signs, guard, history, preflight};

/// What a plan was made from.
pub struct Looked<'a> {
    /// Who owns what.
    pub claims: Claims,
    /// Where it leads.
    pub aim: Aim<'a>,
    /// What is there.
    pub observed: Observed,
    /// The plan.
    pub plan: Plan,
}

/// Reads the kernel and plans. What another topology owns is refused.
pub fn look<'a>(
    prepared: &'a Prepared,
    kernel: &mut Linux,
    store: Option<&Store>,
    place: &Place,
    out: &mut Output,
) -> Result<Looked<'a>, Exit> {
    let claims = match store {
        Some(store) => place.claims(store, prepared.topology(), prepared.was.as_deref(), out)?,
        None => Claims::default(),
    };
    input::refuse_claimed(prepared, &claims, out)?;
    let mut aim = prepared.aim(&claims);
    let observed = input::observe(kernel, &aim.scope(), out)?;
    let debts = claims.debts(&observed);
    aim.drain(&prepared.compiled.drains, &debts.keys().collect(), &observed);
    let plan = prepared.plan(&aim, &observed);
    Ok(Looked { claims, aim, observed, plan })
}

/// What is owned after a run. `unprotect`: what only the ledger protects is protected no more.
pub fn next_ledger(prepared: &Prepared, place: &Place, looked: &Looked<'_>, transaction: &str, unprotect: bool) -> Ledger {
    let Looked { claims, aim, observed, .. } = looked;
    let (names, leaving) = (&prepared.compiled.names, &aim.leaving);
    let name = |key: &Key| names.get(key).map(|provenance| &provenance.name).or_else(|| leaving.get(key));
    let name = |key: &Key| name(key).map(ToString::to_string).unwrap_or_default();
    let mut entries = claims.entries(&prepared.compiled.state, name, observed);
    let draining: BTreeSet<Key> = aim.draining.iter().map(|server| Key::Destination(*server)).collect();
    let kept = aim.wanted.objects.iter().filter(|(key, _)| draining.contains(key));
    let kept = State { objects: kept.map(|(key, resource)| (key.clone(), resource.clone())).collect() };
    entries.extend(claims.entries(&kept, name, observed));
    let mut protect = prepared.protected();
    let before = claims.own.iter().filter(|_| !unprotect).flat_map(|own| &own.protect);
    protect.extend(before.filter(|key| entries.contains_key(key)).cloned());
    Ledger {
        topology: prepared.topology().to_owned(),
        host: prepared.host().to_owned(),
        instance: place.instance.clone(),
        transaction: transaction.to_owned(),
        at: history::now(),
        by: records::operator(),
        sources: prepared.sources_digest(),
        exclusive: prepared.exclusive,
        protect,
        entries,
        debts: debts(&draining, prepared, looked),
        former: None,
        pending: None,
    }
}

/// What is let go: as an earlier run promised, or from now on.
fn debts(draining: &BTreeSet<Key>, prepared: &Prepared, looked: &Looked<'_>) -> BTreeMap<Key, Debt> {
    let mut debts = looked.claims.debts(&looked.observed);
    debts.retain(|key, _| draining.contains(key));
    for key in draining {
        let seconds = key.server().and_then(|server| prepared.compiled.drains.get(&server.service)).copied().unwrap_or_default();
        let weight = match looked.observed.state.objects.get(key) {
            Some(Resource::Destination(server)) => server.weight.value(),
            _ => 0,
        };
        let debt = || Debt { weight, until: history::now() + u64::from(seconds) };
        debts.entry(key.clone()).or_insert_with(debt);
    }
    debts
}

/// Whether two ledgers differ in who owns what.
pub fn differ(own: Option<&Ledger>, next: &Ledger) -> bool {
    own.is_none_or(|own| {
        let same = (&own.topology, own.exclusive, &own.protect) == (&next.topology, next.exclusive, &next.protect);
        !same || own.entries != next.entries || !own.debts.keys().eq(next.debts.keys())
    })
}

/// What is carried out, and for whom.
pub struct Work<'a> {
    /// For the history.
    pub verb: &'static str,
    /// Whose plan it is.
    pub prepared: &'a Prepared,
    /// Rules that may be broken.
    pub allowed: Vec<String>,
    /// What is owned afterwards, but for the transaction's number; `None`: nothing.
    pub next: Option<Ledger>,
    /// Whether `revert` then leads back to what is owned now. Otherwise `next` says whether there is a way back.
    pub remember: bool,
    /// How long somebody may confirm it before it is taken back; `None`: nobody has to.
    pub confirm_within: Option<Duration>,
}

/// Ends the run if its plan breaks a rule that is not in `allowed`, or if it cannot go well.
pub fn obey(prepared: &Prepared, looked: &Looked<'_>, allowed: &[String], out: &mut Output) -> Result<(), Exit> {
    let Looked { claims, aim, observed, plan } = looked;
    refuse_forbidden(prepared, plan, out)?;
    let may_break = |word: &str| allowed.iter().any(|rule| rule == word);
    let mut broken = prepared.broken(claims, aim, observed, plan);
    broken.retain(|broken| !may_break(broken.rule()));
    let Some(first) = broken.first() else {
        return if may_break(MODEL) { Ok(()) } else { ask_the_model(prepared, plan, observed, out) };
    };
    let reasons: Vec<String> = broken.iter().map(ToString::to_string).collect();
    let help = format!("do not ask for that, or let this run break the rule: --allow {}", first.rule());
    out.error(&report::error("a rule forbids this plan; nothing was changed", &reasons, Some(&help), out.error_style));
    Err(Exit::Refused)
}

/// Ends the run if a model of the kernel refuses its plan.
fn ask_the_model(prepared: &Prepared, plan: &Plan, observed: &Observed, out: &mut Output) -> Result<(), Exit> {
    let refused = preflight::refused_by_model(&plan.phases, observed);
    if refused.is_empty() {
        return Ok(());
    }
    let Prepared { compiled, sources, .. } = prepared;
    out.error(&failure::refused_by_model(&refused, &compiled.names, sources, out.error_style));
    out.error(&format!(
        "The kernel was not asked, and nothing was changed. Where the model is wrong, the kernel decides: --allow {MODEL}\n"
    ));
    Err(Exit::Refused)
}

/// Ends the run if this process may not do all of its plan.
pub fn refuse_forbidden(prepared: &Prepared, plan: &Plan, out: &mut Output) -> Result<(), Exit> {
    let Some((step, needed)) = preflight::forbidden(&plan.phases, &Capabilities::own()) else { return Ok(()) };
    let Prepared { compiled, sources, .. } = prepared;
    out.error(&failure::forbidden(step, needed, &compiled.names, sources, out.error_style));
    Err(Exit::Failed)
}

/// Ends the run if its plan is not the one that was shown: the lock is not held while somebody thinks.
pub fn as_shown(shown: &[Phase], looked: &Looked<'_>, out: &mut Output) -> Result<(), Exit> {
    if *shown == looked.plan.phases { Ok(()) } else { Err(stale("the kernel changed after the plan was shown", out)) }
}

/// Says that a plan is not done, because it is another one by now.
pub fn stale(message: &str, out: &mut Output) -> Exit {
    let message = format!("{message}; nothing was done");
    out.error(&report::error(&message, &[], Some("run it again and read the new plan"), out.error_style));
    Exit::Stale
}

impl<'a> Work<'a> {
    /// A run that breaks no rule, that nobody has to confirm, and after which there is no way back.
    pub fn new(verb: &'static str, prepared: &'a Prepared, next: Option<Ledger>) -> Work<'a> {
        Work { verb, prepared, next, allowed: Vec::new(), remember: false, confirm_within: None }
    }

    /// Carries out a plan, and writes down what is owned afterwards.
    #[expect(clippy::disallowed_methods, reason = "how long it took is part of the history")]
    pub fn carry_out(
        self,
        kernel: &mut Linux,
        store: &mut Store,
        place: &Place,
        mut looked: Looked<'_>,
        out: &mut Output,
    ) -> Result<Exit, Exit> {
        let prepared = self.prepared;
        let begun = Instant::now();
        let transaction = history::transaction();
        let own = looked.claims.own.as_ref();
        let renamed = looked.claims.renamed;
        let mut next = self.next.map(|next| Ledger { transaction: transaction.clone(), ..next });
        let former = next.as_ref().filter(|_| self.remember).map(|next| Former::new(own, next, &looked.plan));
        if let (Some(next), Some(former)) = (&mut next, &former) {
            next.former = Some(former.ledger.transaction.clone());
        }
        if looked.plan.is_empty() {
            let record = Record::Ledger(prepared.topology());
            let written = match next {
                None => store.remove(record).and_then(|()| store.remove(Record::Former(prepared.topology()))),
                Some(next) if differ(own, &next) => {
                    let former = former.map(|former| store.put(Record::Former(prepared.topology()), &former.encode()));
                    former.unwrap_or(Ok(())).and_then(|()| store.put(record, &next.encode()))
                }
                Some(_) => Ok(()),
            };
            written.map_err(|error| records::unusable(&error, out))?;
            forget_former_name(store, prepared, renamed);
            return Ok(Exit::Done);
        }
        if let (Some(window), Some(next)) = (self.confirm_within, &mut next) {
            let seconds = window.as_secs() + u64::from(window.subsec_nanos() > 0);
            next.pending = Some(history::now().saturating_add(seconds));
            arm(next, window, place, out)?;
        }
        let until = next.as_ref().and_then(|next| next.pending);
        let digest = prepared.digest(&looked.aim, &looked.plan);
        let signals = Signals::hold();
        let interrupted = || signals.arrived();
        let still_here = || place.is_still_here();
        let records = Records {
            store: &mut *store,
            transaction: transaction.clone(),
            topology: prepared.topology().to_owned(),
            host: prepared.host().to_owned(),
            instance: place.instance.clone(),
            next,
            former,
        };
        let ended = txn::run(
            kernel,
            Run {
                aim: &looked.aim,
                exclusive: prepared.exclusive,
                observed: &looked.observed,
                phases: std::mem::take(&mut looked.plan.phases),
                records: Some(records),
                signs: Signs { interrupted: &interrupted, still_here: &still_here },
            },
        );
        let (outcome, _) = ended.apart();
        if matches!(outcome, Ended::Applied) {
            forget_former_name(store, prepared, renamed);
        }
        let (topology, host) = (prepared.topology(), prepared.host());
        let entry = history::Entry {
            sources: prepared.sources_digest(),
            digest,
            summary: looked.plan.summary,
            result: ended.word().to_owned(),
            milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            allowed: self.allowed,
            ..history::Entry::new(self.verb, records::operator(), topology, host, &transaction)
        };
        let _ = history::append(store, &entry); // what was done is done; a line less is no reason to say otherwise
        drop(signals);
        let exit = match outcome {
            Ended::Applied => {
                out.say(&report::text::applied(&looked.plan));
                if let Some(until) = until {
                    let (topology, time) = (prepared.topology(), pending::time(until));
                    out.say(&format!("It is taken back at {time}, unless you confirm it: lvsform confirm {topology}\n"));
                }
                Exit::Done
            }
            Ended::NotBegun(_) => Exit::Failed,
            Ended::RolledBack(_) => Exit::RolledBack,
            _ => Exit::Incomplete,
        };
        out.error(&failure::render(&ended, &prepared.compiled.names, &prepared.sources, out.error_style));
        Ok(exit)
    }
}

/// Starts the guard. Without one nothing is begun.
fn arm(next: &Ledger, window: Duration, place: &Place, out: &mut Output) -> Result<(), Exit> {
    let records = std::path::absolute(place.records()).unwrap_or_else(|_| place.records().to_owned());
    let mut arguments: Vec<OsString> =
        [&next.topology, &next.pending.unwrap_or_default().to_string(), &window.as_millis().to_string()]
            .map(OsString::from)
            .into();
    arguments.extend(["--state-dir".into(), records.into()]);
    arguments.extend(place.netns.iter().flat_map(|netns| ["--netns".into(), netns.into()]));
    guard::arm(&next.transaction, &arguments).map_err(|error| {
        let message = format!("the guard that would take it back cannot be started: {}; nothing was changed", in_words(&error));
        out.error(&report::error(&message, &[], Some("mend that, or apply without --confirm-within"), out.error_style));
        Exit::Failed
    })
}

/// The ledger under a topology's former name is its own by now.
pub fn forget_former_name(store: &mut Store, prepared: &Prepared, renamed: bool) {
    if let Some(was) = prepared.was.as_ref().filter(|_| renamed) {
        let _ = store.remove(Record::Ledger(was)); // the next apply tries again
    }
}
