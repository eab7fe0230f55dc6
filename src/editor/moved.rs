//! Where pieces of an old text are in a new one: what stands in lines that both have has moved with them.

use std::ops::Range;

use similar::{Algorithm, DiffOp};

/// So many lines in which two texts differ are compared; with more, nobody waits for it.
const MOST: usize = 20_000;

/// From an old text to a new one.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    /// Stretches that both have, in order: where they begin in each, and how many bytes they are.
    same: Vec<(usize, usize, usize)>,
}

impl Moved {
    /// Compares two texts.
    pub fn new(old: &str, new: &str) -> Moved {
        let before = old.bytes().zip(new.bytes()).take_while(|(one, other)| one == other).count();
        let rest = old.len().min(new.len()) - before;
        let behind = old.bytes().rev().zip(new.bytes().rev()).take(rest).take_while(|(one, other)| one == other).count();
        let mut same = vec![(0, 0, before)];
        same.extend(between(old, new, before, behind));
        same.push((old.len() - behind, new.len() - behind, behind));
        Moved { same }
    }

    /// Where a piece of the old text is now; `None` where it was changed itself.
    pub fn piece(&self, old: Range<usize>) -> Option<Range<usize>> {
        let holds = |(from, _, length): &&(usize, usize, usize)| *from <= old.start && old.end <= from + length;
        let (from, to, _) = self.same.iter().find(holds)?;
        Some(old.start - from + to..old.end - from + to)
    }
}

/// The lines that both have in the stretch in which they differ.
fn between(old: &str, new: &str, before: usize, behind: usize) -> Vec<(usize, usize, usize)> {
    // Whole lines: the stretch begins and ends within some.
    let start = |text: &str| text.as_bytes().iter().take(before).rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines = |text: &str| {
        let mut at = start(text);
        let end = text.len() - behind;
        let mut found: Vec<(usize, Box<[u8]>)> = Vec::new();
        for line in text.as_bytes().get(at..).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            if at > end {
                break;
            }
            found.push((at, line.into()));
            at += line.len();
        }
        found
    };
    let (old, new) = (lines(old), lines(new));
    if old.len() > MOST || new.len() > MOST {
        return Vec::new();
    }
    let texts = |lines: &[(usize, Box<[u8]>)]| lines.iter().map(|(_, line)| line.clone()).collect::<Vec<_>>();
    let same = |op: DiffOp| match op {
        DiffOp::Equal { old_index, new_index, len } => {
            let (from, to) = (old.get(old_index)?.0, new.get(new_index)?.0);
            let length = old.get(old_index..old_index + len)?.iter().map(|(_, line)| line.len()).sum();
            Some((from, to, length))
        }
        _ => None,
    };
    similar::capture_diff_slices(Algorithm::Patience, &texts(&old), &texts(&new)).into_iter().filter_map(same).collect()
}

#[cfg(test)]
mod tests {
    use super::Moved;

    #[test]
    fn what_stands_beside_a_change_is_found_again() {
        let (old, new) = ("vip \"a\"\nvip \"b\"\n", "vip \"a\" x\nvip \"b\"\n");
        let moved = Moved::new(old, new);
        assert_eq!((moved.piece(4..7), moved.piece(12..15)), (Some(4..7), Some(14..17)));
        assert_eq!(Moved::new(old, "vip \"q\"\nvip \"b\"\n").piece(4..7), None);
        assert_eq!(Moved::new("", "x").piece(0..0), Some(0..0));
    }

    #[test]
    fn a_line_between_two_changes_has_moved_with_the_first() {
        let (old, new) = ("one\ntwo\nthree\nfour\n", "one and more\ntwo\nthree\nfo\n");
        let moved = Moved::new(old, new);
        let at = |text: &str, word: &str| text.find(word).map(|at| at..at + word.len());
        for word in ["two", "three"] {
            assert_eq!(moved.piece(at(old, word).expect("a word")), at(new, word), "{word}");
        }
        assert_eq!(moved.piece(at(old, "four").expect("a word")), None);
    }
}
