//! Drift as people, programs and Prometheus read it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::review::{Finding, Part, Review, bare_line};
use super::text::Style;
use super::{kind_and_identity, printable, symbol};
use crate::plan::Summary;
use crate::source::problem::Severity;
use crate::state::{Action, Change, FieldChange, Key};
use crate::txn::drift::Drift;

/// `lvsform-drift/1`
pub const FORMAT: &str = "lvsform-drift/1";

/// How [`metrics`] begins.
pub const MARK: &str = "# HELP lvsform_";

/// Everything that is known of a namespace.
#[derive(Debug)]
pub struct Report {
    /// The name of the namespace.
    pub namespace: String,
    /// A ledger each.
    pub topologies: Vec<Drift>,
    /// Neither declared nor owned, in the scope of what is.
    pub foreign: Vec<Key>,
    /// A run has not ended.
    pub unfinished: bool,
    /// A run is under way.
    pub running: bool,
    /// Now, in seconds since 1970.
    pub now: u64,
}

/// The document of a report.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "What has moved, by lvsform")]
pub struct Document<'a> {
    format: &'static str,
    namespace: &'a str,
    unfinished: bool,
    running: bool,
    topologies: Vec<Standing<'a>>,
    #[schemars(with = "Vec<String>")]
    foreign: &'a [Key],
}

#[derive(Debug, Serialize, JsonSchema)]
struct Standing<'a> {
    topology: &'a str,
    host: &'a str,
    applied: u64,
    of_another_life: bool,
    drifted: Vec<Moved<'a>>,
    pending: Vec<Moved<'a>>,
    debts: Vec<Owed<'a>>,
    confirm_until: Option<u64>,
}

/// A server that is let go.
#[derive(Debug, Serialize, JsonSchema)]
struct Owed<'a> {
    #[schemars(with = "String")]
    key: &'a Key,
    /// When it is deleted whatever is left, in seconds since 1970.
    until: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Moved<'a> {
    #[schemars(with = "String")]
    key: &'a Key,
    name: &'a str,
    action: Action,
    fields: Vec<FieldChange>,
}

fn moved<'a>(name: &'a str, change: &'a Change) -> Moved<'a> {
    Moved { key: &change.key, name, action: change.action(), fields: change.fields() }
}

/// For programs.
pub fn json(report: &Report) -> Document<'_> {
    Document {
        format: FORMAT,
        namespace: &report.namespace,
        unfinished: report.unfinished,
        running: report.running,
        topologies: report
            .topologies
            .iter()
            .map(|drift| Standing {
                topology: &drift.topology,
                host: &drift.host,
                applied: drift.applied,
                of_another_life: drift.of_another_life,
                drifted: drift.drifted.iter().map(|(name, change)| moved(name, change)).collect(),
                pending: drift.pending.iter().map(|change| moved("", change)).collect(),
                debts: drift.debts.iter().map(|(key, debt)| Owed { key, until: debt.until }).collect(),
                confirm_until: drift.confirm_until,
            })
            .collect(),
        foreign: &report.foreign,
    }
}

/// For what people's tools read: each object that moved is a change, and what is foreign or not ended a warning.
pub fn review(report: &Report) -> Review {
    let part = |drift: &Drift| {
        let drifted = drift.drifted.iter().map(|(name, change)| bare_line(name, change, "drift"));
        let pending = drift.pending.iter().map(|change| bare_line("", change, "pending"));
        Part {
            name: format!("{} · {}", drift.topology, drift.host),
            outcome: format!("{} drifted, {} pending.", drift.drifted.len(), drift.pending.len()),
            summary: Summary::counting(drift.drifted.iter().map(|(_, change)| change).chain(&drift.pending).map(Change::action)),
            changes: drifted.chain(pending).collect(),
            notes: drift.debts.keys().map(|key| format!("Draining: {key}.")).collect(),
            ..Part::default()
        }
    };
    let mut parts: Vec<Part> = report.topologies.iter().map(part).collect();
    let warning = |code: &str, message: String, help: &str| Finding {
        severity: Severity::Warning,
        code: code.to_owned(),
        page: None,
        message,
        help: Some(help.to_owned()),
        place: None,
        related: Vec::new(),
    };
    let mut findings: Vec<Finding> = Vec::new();
    if report.running {
        findings.push(warning("running", "a run is under way".to_owned(), "look again when it has ended"));
    }
    if report.unfinished {
        findings.push(warning("unfinished", "an earlier run did not end".to_owned(), "take it back: lvsform recover"));
    }
    let foreign = report.foreign.iter().map(|key| {
        let help = "adopt it, delete it by hand, or leave it to whoever made it";
        warning("foreign", format!("{key} is neither declared nor owned"), help)
    });
    findings.extend(foreign);
    if !findings.is_empty() {
        let outcome = "what no topology owns".to_owned();
        parts.push(Part { name: report.namespace.clone(), outcome, findings, ..Part::default() });
    }
    Review { command: "drift", parts, ..Review::default() }
}

/// For people.
pub fn text(report: &Report, style: Style) -> String {
    let mut text = String::new();
    if report.topologies.is_empty() {
        _ = writeln!(text, "No topology owns anything in `{}`: there is no ledger.", printable(&report.namespace));
    }
    for drift in &report.topologies {
        let (topology, host) = (printable(&drift.topology), printable(&drift.host));
        if drift.drifted.is_empty() && drift.pending.is_empty() {
            _ = writeln!(text, "{topology} · {host}: no drift.");
        } else {
            _ = writeln!(text, "{topology} · {host}");
        }
        if !drift.debts.is_empty() {
            text.push_str("  Draining, and deleted when their connections have ended (`lvsform resume`):\n");
            for key in drift.debts.keys() {
                _ = writeln!(text, "    {}", printable(&key.to_string()));
            }
        }
        if drift.of_another_life && !drift.drifted.is_empty() {
            text.push_str("  It was applied before the last boot, and not since.\n");
        }
        if !drift.drifted.is_empty() {
            text.push_str("  Drift, from what was applied to what is there:\n");
            changes(&mut text, drift.drifted.iter().map(|(name, change)| (name.as_str(), change)), style);
        }
        if !drift.pending.is_empty() {
            text.push_str("  Pending, from what was applied to what the file says:\n");
            changes(&mut text, drift.pending.iter().map(|change| ("", change)), style);
        }
    }
    if !report.foreign.is_empty() {
        text.push_str("Foreign, on the addresses and marks of these topologies, and nobody's:\n");
        for key in &report.foreign {
            _ = writeln!(text, "    {}", printable(&key.to_string()));
        }
    }
    text
}

/// So many changes are shown; the others are counted.
const SHOWN: usize = 20;

fn changes<'a>(text: &mut String, changes: impl ExactSizeIterator<Item = (&'a str, &'a Change)>, style: Style) {
    let count = changes.len();
    let shown = if style.verbose { count } else { SHOWN };
    let none = || "none".to_owned();
    for (name, change) in changes.take(shown) {
        let symbol = symbol(change.action());
        let (kind, identity) = kind_and_identity(&change.key);
        let words = if name.is_empty() { kind } else { format!("{kind} {name}") };
        _ = writeln!(text, "    {symbol} {}  {}", printable(&words), printable(&identity));
        for FieldChange { field, before, after } in change.fields() {
            let (before, after) = (before.unwrap_or_else(none), after.unwrap_or_else(none));
            _ = writeln!(text, "        {field}  {} → {}", printable(&before), printable(&after));
        }
    }
    if count > shown {
        _ = writeln!(text, "    … and {} more (-v shows them)", count - shown);
    }
}

/// For Prometheus' text files (the `textfile` collector).
pub fn metrics(report: &Report) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, help: &str, values: &[(String, u64)]| {
        _ = write!(text, "# HELP lvsform_{name} {help}\n# TYPE lvsform_{name} gauge\n");
        for (labels, value) in values {
            _ = writeln!(text, "lvsform_{name}{labels} {value}");
        }
    };
    let labels = |drift: &Drift| format!("topology=\"{}\",host=\"{}\"", escaped(&drift.topology), escaped(&drift.host));
    let by_kind = |of: fn(&Drift) -> Vec<&Key>| -> Vec<(String, u64)> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for drift in &report.topologies {
            // A kind that was once there must be seen to go to 0.
            for kind in KINDS {
                counts.entry(format!("{{{},kind=\"{kind}\"}}", labels(drift))).or_insert(0);
            }
            for key in of(drift) {
                *counts.entry(format!("{{{},kind=\"{}\"}}", labels(drift), kind_and_identity(key).0)).or_insert(0) += 1;
            }
        }
        counts.into_iter().collect()
    };
    let drifted = by_kind(|drift| drift.drifted.iter().map(|(_, change)| &change.key).collect());
    metric("drifted_objects", "Objects that are not as they were applied.", &drifted);
    let pending = by_kind(|drift| drift.pending.iter().map(|change| &change.key).collect());
    metric("pending_objects", "Objects that the file has otherwise than they were applied.", &pending);
    let foreign = report.foreign.len() as u64;
    metric("foreign_objects", "Services and servers that nobody owns beside those that are.", &[(String::new(), foreign)]);
    metric("unfinished_transactions", "Runs that have not ended: recover.", &[(String::new(), report.unfinished.into())]);
    metric("apply_in_progress", "Whether a run is under way.", &[(String::new(), report.running.into())]);
    let each = |of: fn(&Drift) -> u64| -> Vec<(String, u64)> {
        report.topologies.iter().map(|drift| (format!("{{{}}}", labels(drift)), of(drift))).collect()
    };
    let debts = each(|drift| drift.debts.len() as u64);
    metric("debts", "Servers without weight that are deleted when their connections have ended.", &debts);
    let waits = each(|drift| drift.confirm_until.is_some().into());
    metric("waits_for_confirmation", "Whether the last apply is taken back unless somebody confirms it.", &waits);
    let since = |drift: &Drift| (format!("{{{}}}", labels(drift)), report.now.saturating_sub(drift.applied));
    let since: Vec<(String, u64)> = report.topologies.iter().map(since).collect();
    metric("seconds_since_apply", "Seconds since the topology was applied.", &since);
    text
}

const KINDS: [&str; 4] = ["service", "server", "vip", "sysctl"];

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
