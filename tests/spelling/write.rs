//! A topology as somebody in a hurry might have written it: comments in every place, odd blanks, every form of a value.

mod kdl;
mod toml;

use lvsform::source::Spelling;

use crate::chance::Chance;
use crate::model::Block;

/// The text, and a word of each of its comments; each is there once.
pub fn text(topology: &[Block], spelling: Spelling, chance: &mut Chance) -> (String, Vec<String>) {
    match spelling {
        Spelling::Kdl => kdl::text(topology, chance),
        Spelling::Toml => toml::text(topology, chance),
    }
}

/// Words for comments, each another.
#[derive(Default)]
pub struct Words(Vec<String>);

impl Words {
    pub fn word(&mut self) -> String {
        self.0.push(format!("c{}x", self.0.len()));
        self.0.last().cloned().unwrap_or_default()
    }
}
