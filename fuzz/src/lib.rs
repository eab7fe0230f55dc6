//! What must hold whatever bytes come from outside: one function for each fuzz target, which panics where it does not hold.
//!
//! `fuzz/targets` feeds them random input, `tests/fuzz_corpus.rs` the corpus. Nothing here reads a file, a kernel or a clock.

mod files;
mod said;
mod spelled;
mod state;
mod text;

pub use spelled::fmt;
pub use state::{ledger, live, plan};
pub use text::{kdl, toml};

/// A target.
pub type Body = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Body); 6] =
    [("kdl", kdl), ("toml", toml), ("fmt", fmt), ("live", live), ("plan", plan), ("ledger", ledger)];
