//! A plan as a program reads it: one versioned document, and its JSON Schema.
//!
//! Fields may be added within a version; none is renamed, removed or given another meaning.

use schemars::JsonSchema;
use serde::Serialize;

use super::{field_span, kind_and_identity};
use crate::difference::{HostDifference, Presence};
use crate::plan::clients::{Moves, OfService};
use crate::plan::{Impact, Plan, Planned, Rank, Summary};
use crate::source::problem::Told;
use crate::source::{Origin, Sources, Span};
use crate::state::{Action, FieldChange, Resource};

/// The name and version of the format.
pub const FORMAT: &str = "lvsform-plan/1";

/// A plan for one host.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "A plan of lvsform")]
pub struct Document {
    /// `lvsform-plan/1`
    pub format: &'static str,
    /// What `apply --expect` takes: 32 hexadecimal digits.
    pub digest: String,
    /// The topology's name.
    pub topology: String,
    /// The root file as the user named it.
    pub file: String,
    /// Whom the plan is for.
    pub host: Host,
    /// What the kernel is.
    pub kernel: Kernel,
    /// Sorted by key: kind first, then identity.
    pub changes: Vec<Change>,
    /// What is sent to the kernel, in this order.
    pub phases: Vec<Phase>,
    /// What else a person must know, in sentences.
    pub notes: Vec<String>,
    /// What the topology says and this version does not carry out.
    pub left_out: Vec<LeftOut>,
    /// How much it is.
    pub summary: Summary,
}

/// Whom a plan is for.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Host {
    /// The host's name in the file.
    pub name: String,
    /// `director` or `real-server`
    pub role: String,
}

/// What a kernel is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Kernel {
    /// `uname -r`
    pub release: String,
    /// Whether IPVS is there.
    pub ipvs: bool,
    /// Whether this is the host's first network namespace.
    pub initial_namespace: bool,
}

/// What becomes of one object.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Change {
    /// The kernel's identity: `server tcp 10.0.0.100:443 10.0.0.13:443`.
    pub key: String,
    /// The first word of the key.
    pub kind: String,
    /// What the change does with the object.
    pub action: Action,
    /// The user's words for the object; null: the file does not have it.
    pub name: Option<String>,
    /// Where the file asks for it; null: it does not, or by default.
    pub place: Option<Place>,
    /// What was there; null: nothing.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub before: Option<Resource>,
    /// What is to be there; null: nothing.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub after: Option<Resource>,
    /// The fields that differ; empty unless the object is there before and after.
    pub fields: Vec<Field>,
    /// What it does to live connections.
    pub impact: Vec<ImpactOfChange>,
    /// true: nothing is done for it, and it is not counted in the summary; it matters only to who undoes the plan.
    pub incidental: bool,
}

/// One field of an object that a change touches.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Field {
    /// What it was and what it becomes.
    #[serde(flatten)]
    pub change: FieldChange,
    /// Where the new value is said; absent where that is where the object is: an overlay's line, a default's, a variable's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A place in a file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Place {
    /// The file's path.
    pub file: String,
    /// from 1
    pub line: usize,
    /// from 1, in characters
    pub column: usize,
    /// Why the object is needed, where nobody wrote it down as such.
    pub implied_by: Option<&'static str>,
}

/// One thing that a change does to live connections.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ImpactOfChange {
    /// The field that does it; null: the change as a whole.
    pub field: Option<&'static str>,
    /// In words.
    pub text: String,
    /// The kernel's counts of the connections concerned; null where they mean nothing.
    pub connections: Option<Counts>,
    /// How many live connections end.
    pub cut: u64,
    /// Where clients go to another server: which share of all of the service; absent where they do not, or nobody can know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<Clients>,
}

/// Shares of a service's clients, in percent, at their next connection.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Clients {
    /// They had a server and get another one.
    pub another: f64,
    /// They had a server, and none takes them any more.
    pub refused: f64,
    /// They had none and get one.
    pub served: f64,
}

/// The kernel's counts of a destination's connections.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Counts {
    /// established tcp and sctp connections
    pub active: u32,
    /// all others; udp counts here
    pub inactive: u32,
    /// persistence templates
    pub persistent: u32,
}

/// Steps that are sent together.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Phase {
    /// Which part of the plan it is.
    pub rank: Rank,
    /// In the order in which they are sent.
    pub steps: Vec<Step>,
}

/// One request to the kernel.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Step {
    /// What it does: `add`, `change` or `delete`.
    pub action: Action,
    /// With which object.
    pub key: String,
}

/// What the topology says and this version does not carry out.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LeftOut {
    /// What.
    pub text: String,
    /// Where it says so.
    pub place: Option<Place>,
}

/// The document of a plan.
pub fn plan(plan: &Plan, sources: &Sources, digest: &str) -> Document {
    Document {
        format: FORMAT,
        digest: digest.to_owned(),
        topology: plan.target.topology.clone(),
        file: plan.target.file.clone(),
        host: Host { name: plan.target.host.clone(), role: plan.target.role.clone() },
        kernel: Kernel {
            release: plan.kernel.release.clone(),
            ipvs: plan.kernel.ipvs,
            initial_namespace: plan.kernel.initial_namespace,
        },
        changes: plan.changes.iter().map(|planned| change(planned, sources)).collect(),
        phases: plan
            .phases
            .iter()
            .map(|phase| Phase {
                rank: phase.rank,
                steps: phase.steps.iter().map(|step| Step { action: step.action(), key: step.key.to_string() }).collect(),
            })
            .collect(),
        notes: plan.notes.iter().map(ToString::to_string).collect(),
        left_out: plan
            .left_out
            .iter()
            .map(|left_out| LeftOut { text: left_out.text.clone(), place: left_out.span.map(|span| place(span, None, sources)) })
            .collect(),
        summary: plan.summary,
    }
}

/// What becomes of a host between two files.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Difference {
    name: String,
    role: String,
    /// `both`, `new` or `old`: which of the files have the host.
    presence: &'static str,
    changes: Vec<Change>,
    /// In sentences: what is renamed, moved, or no longer set.
    remarks: Vec<String>,
    summary: Summary,
}

/// What files mean, one beside the other.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "A difference of lvsform")]
pub struct Differences {
    /// `lvsform-diff/1`
    format: &'static str,
    /// The topology's name in the old file and in the new one, where they differ.
    renamed: Option<(String, String)>,
    /// The hosts of which something is different, by name.
    hosts: Vec<Difference>,
}

/// The document of `diff`.
pub fn differences(renamed: Option<(&String, &String)>, hosts: Vec<Difference>) -> Differences {
    Differences { format: "lvsform-diff/1", renamed: renamed.map(|(old, new)| (old.clone(), new.clone())), hosts }
}

/// What `check` found.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "A check of lvsform")]
pub struct Checked {
    /// `lvsform-check/1`
    format: &'static str,
    /// As they were named.
    files: Vec<CheckedFile>,
}

/// One file with all that it includes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CheckedFile {
    /// As it was named.
    pub file: String,
    /// Whether it can be used; there may be warnings.
    pub valid: bool,
    /// By file and place.
    pub problems: Vec<Told>,
}

/// The document of `check`.
pub fn checked(files: Vec<CheckedFile>) -> Checked {
    Checked { format: "lvsform-check/1", files }
}

/// What `test` found.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "A test of lvsform")]
pub struct Tested {
    /// `lvsform-test/1`
    format: &'static str,
    /// The topology's name.
    topology: String,
    /// In the order of the files.
    expectations: Vec<TestedExpectation>,
    /// Why the topology is not valid: then nothing was judged. Empty where it is.
    problems: Vec<Told>,
}

/// One `expect` block.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TestedExpectation {
    /// What people call it.
    pub name: String,
    /// Whether all of it holds.
    pub holds: bool,
    /// What does not: where it is expected, and what broke it.
    pub problems: Vec<Told>,
}

/// The document of `test`.
pub fn tested(topology: &str, expectations: Vec<TestedExpectation>, problems: Vec<Told>) -> Tested {
    Tested { format: "lvsform-test/1", topology: topology.to_owned(), expectations, problems }
}

/// The JSON Schema (draft 2020-12) of a document.
pub fn schema_of<T: JsonSchema>() -> serde_json::Value {
    schemars::schema_for!(T).to_value()
}

/// The document's part of one host.
pub fn difference(difference: &HostDifference, sources: &Sources) -> Difference {
    let plan = &difference.plan;
    Difference {
        name: plan.target.host.clone(),
        role: plan.target.role.clone(),
        presence: match difference.presence {
            Presence::Both => "both",
            Presence::New => "new",
            Presence::Old => "old",
        },
        changes: plan.changes.iter().map(|planned| change(planned, sources)).collect(),
        remarks: difference.remarks.iter().map(ToString::to_string).collect(),
        summary: plan.summary,
    }
}

fn change(planned: &Planned, sources: &Sources) -> Change {
    Change {
        key: planned.change.key.to_string(),
        kind: kind_and_identity(&planned.change.key).0,
        action: planned.action,
        name: planned.provenance.as_ref().map(|provenance| provenance.name.to_string()),
        place: planned.provenance.as_ref().and_then(|provenance| match provenance.origin {
            Origin::Text(span) => Some(place(span, provenance.implied, sources)),
            Origin::Default | Origin::Ledger | Origin::Former => None,
        }),
        before: planned.change.before.clone(),
        after: planned.change.after.clone(),
        fields: planned
            .fields
            .iter()
            .map(|change| {
                let span = field_span(planned, change, sources);
                Field { change: change.clone(), place: span.map(|span| place(span, None, sources)) }
            })
            .collect(),
        impact: planned.impacts.iter().map(impact).collect(),
        incidental: planned.incidental,
    }
}

fn impact(impact: &Impact) -> ImpactOfChange {
    ImpactOfChange {
        field: impact.field(),
        text: impact.to_string(),
        connections: impact.connections().map(|counts| Counts {
            active: counts.active,
            inactive: counts.inactive,
            persistent: counts.persistent,
        }),
        cut: impact.cut(),
        clients: match impact {
            Impact::ClientsMove(OfService { moves: Moves { another, refused, served }, .. }) => {
                Some(Clients { another: another.percent(), refused: refused.percent(), served: served.percent() })
            }
            _ => None,
        },
    }
}

fn place(span: Span, implied_by: Option<&'static str>, sources: &Sources) -> Place {
    let position = sources.position(span);
    Place { file: sources.path(span).display().to_string(), line: position.line, column: position.column, implied_by }
}
