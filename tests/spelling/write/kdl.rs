//! KDL of random layout.

use super::Words;
use crate::chance::Chance;
use crate::model::{Block, Value};

pub fn text(topology: &[Block], chance: &mut Chance) -> (String, Vec<String>) {
    let mut writer = Writer { chance, words: Words::default(), out: String::new(), flat: false };
    if writer.chance.one_in(10) {
        writer.out.push('\u{feff}');
    }
    writer.blocks(topology);
    writer.above();
    (writer.out, writer.words.0)
}

struct Writer<'c> {
    chance: &'c mut Chance,
    words: Words,
    out: String,
    /// Within a block on one line.
    flat: bool,
}

impl Writer<'_> {
    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// What may stand between two words of a node.
    fn gap(&mut self) {
        let gap = match self.chance.below(30) {
            0 => "   ".to_owned(),
            1 => " \t".to_owned(),
            2 => format!(" /* {} */ ", self.words.word()),
            3 if !self.flat => " \\\n      ".to_owned(),
            4 if !self.flat => format!(" \\ // {}\n ", self.words.word()),
            5 => format!(" /-gone=\"{}\" ", self.words.word()),
            6 => format!(" /- \"{}\" ", self.words.word()),
            7 if !self.flat => format!(" /-\n  // {}\n 17 ", self.words.word()),
            _ => " ".to_owned(),
        };
        self.push(&gap);
    }

    /// What may stand before a node.
    fn above(&mut self) {
        while self.chance.one_in(4) {
            let word = self.words.word();
            let text = match (self.flat, self.chance.below(7)) {
                (false, 0) => format!("// {word}\n"),
                (false, 1) => format!("//{word}   \n\n\n\n"),
                (false, 2) => format!("   /* {word} */\n"),
                (false, 3) => format!("/* {word}\n   * {}\n */\n", self.words.word()),
                (false, 4) => format!("/-gone \"{word}\" {{ a 1; b 2 }}\n"),
                (false, 5) => format!("/- gone (t)1.5 {{\n  // {word}\n a #null\n }}\n\n\n"),
                (true, 0..3) => format!("/-gone \"{word}\"; "),
                _ => format!("/* {word} */ "),
            };
            self.push(&text);
        }
        if !self.flat && self.chance.one_in(3) {
            let lines = "\n".repeat(1 + self.chance.below(3));
            self.push(&lines);
        }
    }

    /// What ends a node.
    fn end(&mut self) {
        let end = match (self.flat, self.chance.below(12)) {
            (true, 0) => format!(" /* {} */; ", self.words.word()),
            (true, _) => " ; ".to_owned(),
            (false, 0) => format!(" // {}\n", self.words.word()),
            (false, 1) => format!("// {} \r\n", self.words.word()),
            (false, 2) => format!(" /* {} */ /* {} */\n", self.words.word(), self.words.word()),
            (false, 3) => "; ".to_owned(),
            (false, 4) => format!("; // {}\n", self.words.word()),
            (false, 5) => "  \n".to_owned(),
            _ => "\n".to_owned(),
        };
        self.push(&end);
    }

    fn blocks(&mut self, blocks: &[Block]) {
        let mut at = 0;
        while let Some(block) = blocks.get(at) {
            at += 1;
            self.above();
            let plain = |block: &Block| block.word == "server" && block.fields.is_empty() && block.blocks.is_empty();
            let mut block = block.clone();
            while plain(&block) && blocks.get(at).is_some_and(plain) && self.chance.one_in(2) {
                block.heads.extend(blocks[at].heads.clone());
                at += 1;
            }
            self.block(&block);
            self.end();
        }
    }

    fn block(&mut self, block: &Block) {
        self.name(block.word);
        let (mut properties, mut children) = (Vec::new(), Vec::new());
        for field in &block.fields {
            if field.1.len() == 1 && self.chance.one_in(2) { properties.push(field) } else { children.push(field) }
        }
        for value in &block.heads {
            if let Some((word, values)) = properties.pop_if(|_| self.chance.one_in(4)) {
                self.property(word, &values[0]);
            }
            self.gap();
            self.value(value);
        }
        for (word, values) in properties {
            self.property(word, &values[0]);
        }
        if children.is_empty() && block.blocks.is_empty() {
            match self.chance.below(20) {
                0 => self.push(" { }"),
                1 => {
                    let word = self.words.word();
                    self.push(&format!(" /-{{ a \"{word}\" }}"));
                }
                _ => {}
            }
            return;
        }
        let brace = self.chance.pick(&["{", " {", "   {"]);
        self.push(brace);
        let outer = self.flat;
        self.flat |= self.chance.one_in(3);
        if !self.flat {
            if self.chance.one_in(6) {
                let word = self.words.word();
                self.push(&format!(" // {word}"));
            }
            self.push("\n");
        }
        for (word, values) in children {
            self.above();
            self.name(word);
            for value in values {
                self.gap();
                self.value(value);
            }
            self.end();
        }
        self.blocks(&block.blocks);
        self.above();
        self.push("}");
        self.flat = outer;
    }

    fn property(&mut self, word: &str, value: &Value) {
        self.gap();
        self.name(word);
        match self.chance.below(8) {
            0 => self.push(" = "),
            1 => {
                let word = self.words.word();
                self.push(&format!(" /* {word} */ ="));
            }
            _ => self.push("="),
        }
        self.value(value);
    }

    fn name(&mut self, word: &str) {
        if self.chance.one_in(8) { self.push(&format!("\"{word}\"")) } else { self.push(word) }
    }

    fn value(&mut self, value: &Value) {
        let text = match value {
            Value::Truth(truth) => format!("#{truth}"),
            Value::Number(number) => match self.chance.below(6) {
                0 => format!("0x{number:X}"),
                1 => format!("+{number}"),
                2 => format!("00{number}"),
                3 => format!("{number}_"),
                _ => number.to_string(),
            },
            Value::Text(text) => match self.chance.below(8) {
                0 => format!("#\"{text}\"#"),
                1 if !self.flat => format!("\"\"\"\n  {text}\n  \"\"\""),
                2 => format!("\"\\u{{{:x}}}{}\"", u32::from(text.as_bytes()[0]), &text[1..]),
                3 if text.bytes().all(|byte| byte.is_ascii_lowercase()) => text.clone(),
                _ => format!("\"{text}\""),
            },
        };
        self.push(&text);
    }
}
