//! The number of a plan: whoever approves it approves exactly this, and nothing that moves beside it changes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::policy::Policy;
use super::{Aim, Plan, Planned};
use crate::state::{Change, Key, State};

/// What it is a digest of. A version that compares otherwise must say another word: then an old digest is stale, not wrong.
const FORMAT: &str = "lvsform-plan-1";

/// So many hexadecimal digits are shown and compared: 128 bits, since whoever can open a pull request can look for a second
/// file with the digest of an approved one.
const DIGITS: usize = 32;

#[derive(Serialize)]
struct Content<'a> {
    format: &'static str,
    host: &'a str,
    topology: &'a str,
    exclusive: bool,
    policy: &'a Policy,
    wanted: &'a State,
    changes: Vec<&'a Change>,
    /// Left out where nobody is let go, so that such a plan has the digest that it always had.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    drains: &'a BTreeMap<Key, u32>,
}

/// The digest of a plan towards `aim`: its host, its policy, what is wanted, what changes, and how long servers are let go. Not in
/// it: places and comments, connection counts, objects of others, the time, servers that an earlier run let go.
pub fn digest(plan: &Plan, aim: &Aim<'_>, exclusive: bool, policy: &Policy) -> String {
    let changes = plan.changes.iter().map(|Planned { change, .. }| change).collect();
    let (host, topology) = (&plan.target.host, &plan.target.topology);
    let mut hash = Sha256::new();
    let (wanted, drains) = (&*aim.wanted, &aim.drains);
    let content = Content { format: FORMAT, host, topology, exclusive, policy, wanted, changes, drains };
    // Keys are text and values are plain, and a hash takes everything.
    let _ = serde_json::to_writer(Into(&mut hash), &content);
    let mut text = hex(hash);
    text.truncate(DIGITS);
    text
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::new_with_prefix(bytes))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What is written goes into a hash.
struct Into<'a>(&'a mut Sha256);

impl Write for Into<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
