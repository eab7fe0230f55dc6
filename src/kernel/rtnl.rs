//! Network devices, their addresses, and routes, over route netlink.
//!
//! Requests are built with rtnetlink's typed messages, whose types stay below this module. Answers are read by hand: one
//! device of somebody else's that a typed parser does not understand must not make the whole host unreadable.

mod read;
mod route;
mod rule;
mod write;

pub use read::{Device, OnDevice, addresses, devices};
pub use route::{Numbered, change_routes, routes};
pub use rule::{change_rules, rules};
pub use write::{change_addresses, change_links};
