//! Network devices, their addresses, and routes, over route netlink.
//!
//! Requests are built with rtnetlink's typed messages, whose types stay below this module. Answers are read by hand: one
//! device of somebody else's that a typed parser does not understand must not make the whole host unreadable.

mod read;
mod route;
mod write;

pub use read::{Device, OnDevice, addresses, devices};
pub use route::{Numbered, change_routes, routes};
pub use write::{change_addresses, change_links};

/// The protocol number with which we mark addresses (`IFA_PROTO`, kernel 5.18 and later) and one day routes and rules:
/// `L`. The kernel's own are 1 to 3; iproute2's `rt_protos` has nothing between 42 and 84.
pub const OUR_PROTOCOL: u8 = 76;
