//! TOML of random layout.

use std::fmt::Write as _;

use super::Words;
use crate::chance::Chance;
use crate::model::{Block, Form, Value};

pub fn text(topology: &[Block], chance: &mut Chance) -> (String, Vec<String>) {
    let mut writer = Writer { chance, words: Words::default(), out: String::new() };
    let (first, rest) = topology.split_first().expect("a topology says its name");
    writer.above();
    let value = writer.main(first);
    writer.pair("topology", &value);
    let mut done: Vec<&str> = Vec::new();
    for block in rest {
        if done.contains(&block.word) {
            continue;
        }
        let all: Vec<&Block> = rest.iter().filter(|other| other.word == block.word).collect();
        let path = vec![block.word.to_owned()];
        match block.form {
            Form::Named if std::ptr::eq(all[0], block) && writer.chance.one_in(5) => {
                done.push(block.word);
                writer.above();
                writer.header(&path, false);
                for block in all {
                    let (key, value) = (writer.key(&name(block)), writer.inline(block));
                    writer.pair(&key, &value);
                }
            }
            Form::Named => writer.section(&[block.word.to_owned(), name(block)], block, false),
            Form::Repeated => {
                let array = all.len() > 1 || writer.chance.one_in(2);
                writer.section(&path, block, array);
            }
            _ => writer.section(&path, block, false),
        }
    }
    writer.above();
    (writer.out, writer.words.0)
}

fn name(block: &Block) -> String {
    match &block.heads[0] {
        Value::Text(text) => text.clone(),
        _ => unreachable!("names are texts"),
    }
}

struct Writer<'c> {
    chance: &'c mut Chance,
    words: Words,
    out: String,
}

impl Writer<'_> {
    /// What may stand before a line.
    fn above(&mut self) {
        while self.chance.one_in(4) {
            let word = self.words.word();
            let blank = "\n".repeat(self.chance.below(3));
            let _ = write!(self.out, "  # {word}  \n{blank}");
        }
        if self.chance.one_in(4) {
            let lines = "\n".repeat(1 + self.chance.below(3));
            self.out += &lines;
        }
    }

    fn trailing(&mut self) -> String {
        match self.chance.below(6) {
            0 => format!(" # {}\n", self.words.word()),
            1 => format!("#{} \r\n", self.words.word()),
            2 => "  \n".to_owned(),
            _ => "\n".to_owned(),
        }
    }

    fn pair(&mut self, key: &str, value: &str) {
        self.above();
        let equals = self.chance.pick(&["=", " = ", "   =  "]);
        let end = self.trailing();
        let _ = write!(self.out, "{key}{equals}{value}{end}");
    }

    fn header(&mut self, path: &[String], array: bool) {
        let keys: Vec<String> = path.iter().map(|key| self.key(key)).collect();
        let path = keys.join(self.chance.pick(&[".", " . "]));
        let end = self.trailing();
        let _ = if array { write!(self.out, "[[ {path} ]]{end}") } else { write!(self.out, "[{path}]{end}") };
    }

    fn section(&mut self, path: &[String], block: &Block, array: bool) {
        let mut later: Vec<(Vec<String>, Block, bool)> = Vec::new();
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (word, values) in &block.fields {
            let value = self.values(values);
            pairs.push(((*word).to_owned(), value));
        }
        let mut keyed = Vec::new();
        for (word, group) in groups(block) {
            let below = |key: Option<String>| path.iter().cloned().chain([word.to_owned()]).chain(key).collect::<Vec<_>>();
            match group[0].form {
                Form::Once => unreachable!("only at the top"),
                Form::Main(_) => {
                    let value = self.main(group[0]);
                    pairs.push((word.to_owned(), value));
                }
                Form::Repeated if self.chance.one_in(2) => {
                    let value = self.tables(&group);
                    pairs.push((word.to_owned(), value));
                }
                Form::Repeated => later.extend(group.iter().map(|one| (below(None), (*one).clone(), true))),
                Form::Named if group.iter().all(|one| one.fields.is_empty() && one.blocks.is_empty()) && word == "server" => {
                    let names: Vec<Value> = group.iter().map(|one| one.heads[0].clone()).collect();
                    let value = self.values(&names);
                    pairs.push((word.to_owned(), value));
                }
                Form::Named => match self.chance.below(3) {
                    0 => later.extend(group.iter().map(|one| (below(Some(name(one))), (*one).clone(), false))),
                    1 => {
                        for one in &group {
                            let (key, value) = (self.key(&name(one)), self.inline(one));
                            pairs.push((format!("{word}.{key}"), value));
                        }
                    }
                    _ => {
                        let items = group.iter().map(|one| format!("{} = {}", self.key(&name(one)), self.inline(one))).collect();
                        let value = self.table(items);
                        pairs.push((word.to_owned(), value));
                    }
                },
                Form::Keyed if self.chance.one_in(2) => {
                    for one in &group {
                        let (key, value) = self.keyed(one);
                        pairs.push((format!("{word}.{key}"), value));
                    }
                }
                Form::Keyed => keyed = group.into_iter().cloned().collect(),
            }
        }
        self.above();
        if array || !pairs.is_empty() || (later.is_empty() && keyed.is_empty()) || self.chance.one_in(2) {
            self.header(path, array);
        }
        for (key, value) in pairs {
            self.pair(&key, &value);
        }
        if !keyed.is_empty() {
            self.above();
            let path: Vec<String> = path.iter().cloned().chain(["sysctl".to_owned()]).collect();
            self.header(&path, false);
            for one in keyed {
                let (key, value) = self.keyed(&one);
                self.pair(&key, &value);
            }
        }
        for (path, block, array) in later {
            self.section(&path, &block, array);
        }
    }

    fn keyed(&mut self, block: &Block) -> (String, String) {
        let (key, value) = (self.key(&name(block)), self.value(&block.heads[1]));
        if block.fields.is_empty() {
            return (key, value);
        }
        let mut items = vec![format!("value = {value}")];
        items.extend(self.fields(block));
        (key, self.table(items))
    }

    fn main(&mut self, block: &Block) -> String {
        let value = self.value(&block.heads[0]);
        let Form::Main(key) = block.form else { unreachable!("only main values") };
        if block.fields.is_empty() && !self.chance.one_in(4) {
            return value;
        }
        let mut items = self.fields(block);
        let at = self.chance.below(items.len() + 1);
        items.insert(at, format!("{key} = {value}"));
        self.table(items)
    }

    fn fields(&mut self, block: &Block) -> Vec<String> {
        block.fields.iter().map(|(word, values)| format!("{word} = {}", self.values(values))).collect()
    }

    /// A block without its name.
    fn inline(&mut self, block: &Block) -> String {
        let mut items = self.fields(block);
        for (word, group) in groups(block) {
            match group[0].form {
                Form::Main(_) | Form::Once => items.push(format!("{word} = {}", self.main(group[0]))),
                Form::Repeated => items.push(format!("{word} = {}", self.tables(&group))),
                Form::Keyed => {
                    for one in group {
                        let (key, value) = self.keyed(one);
                        items.push(format!("{word}.{key} = {value}"));
                    }
                }
                Form::Named => {
                    for one in group {
                        items.push(format!("{word}.{} = {}", self.key(&name(one)), self.inline(one)));
                    }
                }
            }
        }
        self.table(items)
    }

    fn tables(&mut self, group: &[&Block]) -> String {
        let items: Vec<String> = group.iter().map(|one| self.inline(one)).collect();
        match items.as_slice() {
            [one] if self.chance.one_in(2) => one.clone(),
            _ => self.list(items, '[', ']'),
        }
    }

    fn table(&mut self, items: Vec<String>) -> String {
        self.list(items, '{', '}')
    }

    fn list(&mut self, items: Vec<String>, open: char, close: char) -> String {
        if self.chance.below(4) > 0 {
            return format!("{open} {} {close}", items.join(" , "));
        }
        let mut text = String::from(open);
        text += &self.break_line();
        for item in items {
            text += &item;
            if self.chance.one_in(8) {
                text += &self.break_line();
            }
            text.push(',');
            text += &self.break_line();
        }
        text.push(close);
        text
    }

    fn break_line(&mut self) -> String {
        let mut text = String::new();
        while self.chance.one_in(4) {
            let _ = writeln!(text, "  # {}", self.words.word());
        }
        text + self.chance.pick(&["\n", "\n\n\n   ", " "])
    }

    fn values(&mut self, values: &[Value]) -> String {
        let items: Vec<String> = values.iter().map(|value| self.value(value)).collect();
        match items.as_slice() {
            [one] => one.clone(),
            _ => self.list(items, '[', ']'),
        }
    }

    fn key(&mut self, key: &str) -> String {
        let bare = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        match self.chance.below(6) {
            0 => format!("'{key}'"),
            1 => format!("\"{key}\""),
            _ if bare => key.to_owned(),
            _ => format!("\"{key}\""),
        }
    }

    fn value(&mut self, value: &Value) -> String {
        match value {
            Value::Truth(truth) => truth.to_string(),
            Value::Number(number) => match self.chance.below(6) {
                0 => format!("0x{number:X}"),
                1 => format!("+{number}"),
                _ => number.to_string(),
            },
            Value::Text(text) => match self.chance.below(8) {
                0 => format!("'{text}'"),
                1 => format!("'''{text}'''"),
                2 => format!("\"\"\"\n{text}\"\"\""),
                3 => format!("\"\\u{:04x}{}\"", u32::from(text.as_bytes()[0]), &text[1..]),
                _ => format!("\"{text}\""),
            },
        }
    }
}

/// The blocks in a block by their words.
fn groups(block: &Block) -> Vec<(&'static str, Vec<&Block>)> {
    let mut groups: Vec<(&'static str, Vec<&Block>)> = Vec::new();
    for inner in &block.blocks {
        match groups.iter_mut().find(|(word, _)| *word == inner.word) {
            Some((_, group)) => group.push(inner),
            None => groups.push((inner.word, vec![inner])),
        }
    }
    groups
}
