//! From one spelling to the other.
use std::path::Path;
use crate::source::{Loaded, Spelling};
/// later
pub fn convert(path: &Path, from: Spelling, text: &str, to: Spelling) -> Result<String, Box<Loaded>> {
    let _ = (from, to);
    super::format(path, from, text)
}
