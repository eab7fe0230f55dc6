//! placeholder
use super::Problem;
/// placeholder
pub struct Style;
/// placeholder
pub fn render(_: &[Problem]) {}
/// placeholder
pub fn json() {}
