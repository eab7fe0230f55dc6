//! The rehearsal: a whole cluster on a real kernel, with real connections, before anything real is touched.
//!
//! Each host of a topology becomes a network namespace with the very addresses of the file, the network between them is what
//! their subnets imply ([`layout`]), and each host is made what the file says by `lvsform apply` itself. Then clients connect
//! to everything that is served ([`trial`]), who answers is compared with what the scheduler promises ([`judge`]), and what
//! does not work is looked for along the way of a packet ([`diagnose`]). Weights are changed, a server is drained and removed, and
//! VIPs move to another director, by applying a changed file ([`change`], [`written`]); one director loses its IPVS to see that
//! this would be noticed. Servers that are no hosts of the file have stand-ins ([`stand_in`]).
//!
//! All of it happens in namespaces of its own, which are gone when this process is. It never touches another one.
#![expect(
    clippy::disallowed_methods,
    reason = "the rehearsal runs programs, reads /proc and writes files in a folder of its own"
)]

mod change;
mod client;
mod diagnose;
pub mod judge;
pub mod layout;
mod net;
mod scene;
mod server;
pub mod stand_in;
pub mod trial;
mod written;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::topology::Topology;
use scene::Scene;

/// What to rehearse, and how.
#[derive(Debug)]
pub struct Rehearsal<'a> {
    /// The file, as the user named it.
    pub file: &'a Path,
    /// What it says.
    pub topology: &'a Topology,
    /// The program that applies: this one.
    pub program: &'a Path,
    /// How long a client waits.
    pub patience: Duration,
    /// What is broken on purpose once everything is applied.
    pub breaks: &'a [Break],
    /// Ports that nobody listens on: host and port.
    pub deaf: &'a [(String, u16)],
    /// What is to be known of it, in sentences, before it begins.
    pub notes: &'a [String],
}

/// Something that is done to a host after its apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The host's name in the file.
    pub host: String,
    /// A line for a shell.
    pub line: String,
}

/// Who is told how far it has come, and who may end it.
pub trait Audience {
    /// A step begins.
    fn step(&mut self, text: &str);
    /// Whether somebody wants it to end.
    fn wants_to_leave(&self) -> bool;
}

/// What came of a rehearsal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Outcome {
    /// Whether everything works.
    pub works: bool,
    /// `uname -r` of the kernel that it ran on.
    pub kernel: String,
    /// How many hosts there were.
    pub hosts: usize,
    /// What was done, in order.
    pub acts: Vec<Act>,
    /// Why something does not work.
    pub findings: Vec<Finding>,
    /// What was not tried, and what was taken for granted, in sentences.
    pub notes: Vec<String>,
}

/// One act: the cluster in one shape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Act {
    /// `as-written`, `weights`, `drain`, `remove`, `failover`, `without-ipvs`
    pub name: &'static str,
    /// What was done before clients came.
    pub what: String,
    /// What clients met.
    pub rows: Vec<Row>,
}

/// One thing that clients asked for, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Row {
    /// The service's name in the file.
    pub service: String,
    /// What was asked for: `tcp 10.0.0.100:443`.
    pub listen: String,
    /// `ipv4` or `ipv6`
    pub family: String,
    /// The director whose IPVS was asked.
    pub director: String,
    /// The forwarding method, with its encapsulation: `dr`, `tun gre`.
    pub method: String,
    /// The scheduler with its options.
    pub scheduler: String,
    /// How many connections were made, or datagrams sent.
    pub connections: usize,
    /// How many were answered.
    pub answered: usize,
    /// What each server got.
    pub shares: Vec<ShareOfServer>,
    /// How replies came back.
    pub path: ReplyPath,
    /// Whether all of it is as promised.
    pub works: bool,
    /// What is not, in sentences.
    pub wrong: Vec<String>,
}

/// What a server got of a row's connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct ShareOfServer {
    /// Its name in the file, or its address.
    pub server: String,
    /// Its weight.
    pub weight: u32,
    /// connections
    pub got: u32,
    /// connections; null where the scheduler promises nobody anything
    pub promised: Option<f64>,
}

/// How replies came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyPath {
    /// There were none, or nobody looked.
    #[default]
    None,
    /// From the server to the client.
    Direct,
    /// Through the director.
    Director,
    /// Some so and some so.
    Both,
}

/// Why something does not work.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Finding {
    /// A fixed word for the cause: `arp-not-silenced`.
    pub cause: &'static str,
    /// Where it is; empty: nowhere in particular.
    pub host: String,
    /// What is wrong, in a sentence.
    pub text: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// What mends it.
    pub remedy: String,
}

/// Why there is no rehearsal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

impl Failure {
    fn new(doing: &str, cause: &dyn Display) -> Failure {
        Failure(format!("cannot {doing}: {cause}"))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Rehearses: from the file as it is written to a director without IPVS. After an act in which something does not work there
/// are no more.
pub fn run(rehearsal: &Rehearsal<'_>, audience: &mut dyn Audience) -> Result<Outcome, Failure> {
    let folder = Folder::new()?;
    let mut scene = Scene::set(rehearsal, &folder.0, audience)?;
    scene.play(audience)?;
    Ok(scene.outcome())
}

/// A folder for records and changed files, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, Failure> {
        let path = nix::unistd::mkdtemp("/tmp/lvsform-rehearse-XXXXXX");
        path.map(Folder).map_err(|errno| Failure::new("make a folder in /tmp", &errno.desc()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
