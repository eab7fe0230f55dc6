//! What stands at a place of a text that is being written: in which kind, behind which word. Reads tokens from the file's
//! beginning to the place and nothing else, so a text that is broken everywhere else, or there, has an answer too.

mod kdl;
mod toml;

use std::ops::Range;

use crate::source::Spelling;
use crate::topology::shape::{Field, Form, Kind, Type};

/// A place of a text.
#[derive(Clone, Debug)]
pub struct Spot {
    /// The kind whose words, or whose value, may stand there.
    pub kind: &'static Kind,
    /// From the root to that kind: `service`, `listen`.
    pub path: Vec<&'static str>,
    /// What may stand there.
    pub place: Place,
    /// What has been written there so far, with quotes.
    pub token: Range<usize>,
    /// Whether the token is a text that nobody has closed: it ends where the line does, and may hold what stands behind.
    pub unclosed: bool,
}

/// What may stand at a place.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A word of the kind, at the beginning of a node, or as a key.
    Word,
    /// Behind the kind's own word: its name or main value, and where `properties` its words with `=`.
    Behind {
        /// Whether words may stand there too.
        properties: bool,
    },
    /// A value of one of the kind's fields.
    Value(&'static Field),
}

impl Spot {
    /// What a value at this place is.
    pub fn value(&self) -> Option<Type> {
        match (self.place, self.kind.form) {
            (Place::Value(field), _) => Some(field.value),
            (Place::Behind { .. }, Form::Named { label, .. }) => Some(label),
            (Place::Behind { .. }, Form::Main { value, .. }) => Some(value),
            _ => None,
        }
    }
}

/// What stands at a byte; `None` within comments and where nothing is known.
pub fn spot(text: &str, spelling: Spelling, at: usize) -> Option<Spot> {
    match spelling {
        Spelling::Kdl => kdl::spot(text, at),
        Spelling::Toml => toml::spot(text, at),
    }
}

/// The kind to which words lead from the root, and the words that are kinds'.
fn walk<'w>(words: impl IntoIterator<Item = &'w str>) -> Option<(&'static Kind, Vec<&'static str>)> {
    let (mut kind, mut path) = (Kind::root(), Vec::new());
    for word in words {
        kind = kind.child(word)?.kind;
        path.push(kind.word);
    }
    Some((kind, path))
}

/// A text from its quote to its end, and whether it is closed. It ends with its line at the latest.
fn quoted(text: &str, start: usize, quote: char) -> (usize, bool) {
    let mut letters = text.get(start + 1..).unwrap_or_default().char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\n' | '\r' => return (start + 1 + at, false),
            '\\' if quote == '"' => _ = letters.next(),
            letter if letter == quote => return (start + 2 + at, true),
            _ => {}
        }
    }
    (text.len(), false)
}

#[cfg(test)]
mod tests {
    use super::{Place, spot};
    use crate::source::Spelling;

    /// `kind/what` at the bar of a text.
    fn at(spelling: Spelling, text: &str) -> String {
        let bar = text.find('¦').expect("a bar");
        let text = text.replace('¦', "");
        let Some(spot) = spot(&text, spelling, bar) else { return "nothing".to_owned() };
        let what = match spot.place {
            Place::Word => "word".to_owned(),
            Place::Behind { properties } => format!("behind{}", if properties { "+" } else { "" }),
            Place::Value(field) => format!("={}", field.word),
        };
        format!("{} {what} {:?}", spot.path.join("."), text.get(spot.token).unwrap_or("outside"))
    }

    #[test]
    fn kdl_says_where_one_is() {
        for (text, expected) in [
            ("¦", " word \"\""),
            ("vip \"a\"\ndir¦", " word \"dir\""),
            ("service \"a\" {\n  li¦\n}", "service word \"li\""),
            ("service \"a\" { listen vip=¦ }", "service.listen =vip \"\""),
            ("service \"a\" { listen vip=\"a¦ port=80\n", "service.listen =vip \"\\\"a port=80\""),
            ("service \"a\" { listen vip=\"a\" ¦ }", "service.listen behind+ \"\""),
            ("service \"a\" { listen vip=\"a\" po¦=80 }", "service.listen behind+ \"po\""),
            ("service \"a\" { scheduler \"w¦\" }", "service.scheduler behind+ \"\\\"w\\\"\""),
            ("service \"a\" { pool ¦", "service =pool \"\""),
            ("service \"a\" { pool \"x\" \"¦\"", "service =pool \"\\\"\\\"\""),
            ("pool \"a\" {\n server ¦", "pool.server behind+ \"\""),
            ("// vi¦", "nothing"),
            ("/* vi¦ */", "nothing"),
            ("} } broken { \"", "nothing"),
            ("}\n}\nservice \"a\" { forward \"¦", "service.forward behind+ \"\\\"\""),
            ("strange { ¦ }", "nothing"),
            ("service \"a\" { listen vip=\"a\"; ¦", "service word \"\""),
            ("timeouts tcp=¦", "timeouts =tcp \"\""),
            ("service \"a\" scheduler=\"¦\"", "service.scheduler behind \"\\\"\\\"\""),
            ("vip \"x\" {\nservice \"a\" {\n  ¦", "service word \"\""),
            ("service \"a\" { listen vip=#\"f¦\"# }", "service.listen =vip \"#\\\"f\\\"#\""),
            ("service #\"a\"# { listen vip=##\"f¦ }\n", "service.listen =vip \"##\\\"f }\""),
            ("service #\"\"\"a\n\"b\"\"\"# { listen vip=¦", "service.listen =vip \"\""),
        ] {
            if text.contains('¦') {
                assert_eq!(at(Spelling::Kdl, text), expected, "{text}");
            }
        }
    }

    #[test]
    fn toml_says_where_one_is() {
        for (text, expected) in [
            ("¦", " word \"\""),
            ("[ser¦", " word \"ser\""),
            ("[service.a]\nsch¦", "service word \"sch\""),
            ("[service.a]\nscheduler = ¦", "service.scheduler behind \"\""),
            ("[service.a]\nscheduler = \"w¦\"\n", "service.scheduler behind \"\\\"w\\\"\""),
            ("[service.a]\nlisten = { vip = ¦", "service.listen =vip \"\""),
            ("[service.a]\nlisten = { vip = \"a\", po¦ }", "service.listen word \"po\""),
            ("[service.a]\nlisten = [{ vip = \"a¦\" }]", "service.listen =vip \"\\\"a\\\"\""),
            ("[[service.a.listen]]\nvip = \"¦", "service.listen =vip \"\\\"\""),
            ("[service.a]\npool = [\"x\", ¦]", "service =pool \"\""),
            ("[pool.a.server.web1]\nweight = ¦", "pool.server =weight \"\""),
            ("[vip.v]\naddress = [\n  \"10.0.0.1\",\n¦", "vip =address \"\""),
            ("[vip.v]\naddress = [\n  \"10.0.0.1\",\n[service.a]\n¦", "service word \"\""),
            ("# vi¦", "nothing"),
            ("[strange.x]\n¦", "nothing"),
            ("timeouts.tcp = ¦", "timeouts =tcp \"\""),
        ] {
            assert_eq!(at(Spelling::Toml, text), expected, "{text}");
        }
    }

    #[test]
    fn every_place_of_every_broken_text_has_an_answer_or_none() {
        let text = "service \"ä\" { listen vip=\"a\\\n [a.b = {[,\n/* \"\"\" } }\n = = \"";
        for spelling in [Spelling::Kdl, Spelling::Toml] {
            for at in 0..=text.len() + 2 {
                let _ = spot(text, spelling, at);
            }
        }
    }
}
