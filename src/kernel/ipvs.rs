//! The generic netlink protocol of IPVS, complete: every command and attribute of `include/uapi/linux/ip_vs.h`, as requests
//! from the types of [`crate::state`] and as entries read into them.
//!
//! This module neither sends nor receives. What the kernel does not check is not checked here either; that is the business
//! of the rules.

pub mod decode;
pub mod encode;
pub mod wire;

#[cfg(test)]
mod tests;

pub use decode::{DestinationEntry, Info, ServiceEntry, Stats};
pub use encode::Request;
