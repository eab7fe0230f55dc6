//! Random changes of JSON that stay JSON: most of what bytes alone become is no JSON, and tells nothing of what reads it.

use serde_json::{Number, Value};

/// What stands for a value.
const VALUES: [&str; 40] = include!("values.in");

/// Changes an input: its bytes now and then, else one of its values.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut chance = Chance(u64::from(seed) << 1 | 1);
    if chance.below(4) > 0
        && let Some(Ok(mut value)) = data.get(..size).map(serde_json::from_slice::<Value>)
    {
        for _ in 0..=chance.below(3) {
            change(&mut value, &mut chance);
        }
        let text = value.to_string();
        if text.len() <= max_size
            && let Some(place) = data.get_mut(..text.len())
        {
            place.copy_from_slice(text.as_bytes());
            return text.len();
        }
    }
    libfuzzer_sys::fuzzer_mutate(data, size, max_size)
}

/// Numbers that look random: enough to choose by (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or_default() % most.max(1)
    }
}

/// Goes down to some value and changes it.
fn change(value: &mut Value, chance: &mut Chance) {
    match value {
        Value::Object(fields) if !fields.is_empty() && chance.below(8) > 0 => {
            let at = chance.below(fields.len());
            let Some(key) = fields.keys().nth(at).cloned() else { return };
            match chance.below(12) {
                0 => _ = fields.remove(&key),
                1 => {
                    let word = word(chance);
                    let Some(value) = fields.remove(&key) else { return };
                    fields.insert(word, value);
                }
                2 => {
                    let word = changed(&key, chance);
                    let value = fields.get(&key).cloned().unwrap_or_default();
                    fields.insert(word, value);
                }
                3 => _ = fields.insert(word(chance), known(chance)),
                _ => fields.get_mut(&key).into_iter().for_each(|value| change(value, chance)),
            }
        }
        Value::Array(items) if !items.is_empty() && chance.below(8) > 0 => {
            let at = chance.below(items.len());
            match chance.below(6) {
                0 => _ = items.remove(at),
                1 => items.push(items[at].clone()),
                2 => {
                    let other = chance.below(items.len());
                    items.swap(at, other);
                }
                _ => change(&mut items[at], chance),
            }
        }
        Value::String(text) if chance.below(4) > 0 => *text = changed(text, chance),
        Value::Number(number) if chance.below(4) > 0 => {
            let there = number.as_u64().unwrap_or_default();
            let numbers = [
                0,
                1,
                there.wrapping_add(1),
                there.wrapping_sub(1),
                u64::from(u32::MAX),
                u64::MAX,
                1 << 16,
                255,
                128,
                32,
                1 << 31,
            ];
            *number = Number::from(numbers[chance.below(numbers.len())]);
        }
        Value::Bool(truth) if chance.below(4) > 0 => *truth = !*truth,
        other => *other = known(chance),
    }
}

fn known(chance: &mut Chance) -> Value {
    let text = VALUES[chance.below(VALUES.len())];
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

fn word(chance: &mut Chance) -> String {
    match known(chance) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A text with one of its words in place of another, cut, or repeated.
fn changed(text: &str, chance: &mut Chance) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let at = chance.below(words.len());
    match chance.below(6) {
        0 => _ = words.remove(at),
        1 => words.insert(at, word(chance)),
        2 => words[at] = word(chance),
        3 => {
            // Another number at its end: a port, an octet, a prefix.
            let end = words[at].trim_end_matches(|char: char| char.is_ascii_digit()).len();
            words[at].truncate(end);
            words[at] += ["0", "1", "11", "255", "256", "443", "65535", "65536", "-1", "4294967295"][chance.below(10)];
        }
        4 => {
            let cut = words[at].floor_char_boundary(chance.below(words[at].len() + 1));
            words[at].truncate(cut);
        }
        _ => words[at].push_str(["é", "\u{202e}", "\n", "\u{1b}[31m", "\"", "\\", "%", "/", ".", ":"][chance.below(10)]),
    }
    words.join(" ")
}
