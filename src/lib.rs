//! `lvsform`: a compiler from a topology file and a live kernel to the verified kernel.

pub mod catalogue;
pub mod cli;
pub mod compile;
pub mod compose;
pub mod difference;
pub mod doctor;
pub mod editor;
pub mod expect;
pub mod graph;
pub mod kernel;
pub mod lab;
pub mod plan;
pub mod provenance;
pub mod rehearse;
pub mod report;
pub mod rules;
pub mod source;
pub mod spelling;
pub mod state;
pub mod topology;
pub mod txn;
