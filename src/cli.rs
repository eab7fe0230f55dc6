//! The command line: the only part that prints and that reads topology files.

pub mod files;
