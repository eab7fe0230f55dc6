//! The known word that somebody meant.

use similar::TextDiff;

/// How much of two words must agree, from 0 to 1: one edit in three letters is still near.
const NEAR: f32 = 0.6;

/// The candidate nearest to a word, if any is near. Case is ignored, and two letters in the wrong order count as near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    if word.chars().count() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (likeness(&word, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= NEAR)
        // The first of several that are equally near.
        .reduce(|best, other| if other.0 > best.0 { other } else { best })
        .map(|(_, candidate)| candidate)
}

fn likeness(word: &str, candidate: &str) -> f32 {
    if swapped(word, candidate) {
        return 0.95;
    }
    TextDiff::from_chars(word, candidate).ratio()
}

/// Whether two words differ in two neighbouring letters that changed places.
fn swapped(word: &str, candidate: &str) -> bool {
    let (word, candidate): (Vec<char>, Vec<char>) = (word.chars().collect(), candidate.chars().collect());
    if word.len() != candidate.len() {
        return false;
    }
    let differ: Vec<usize> = (0..word.len()).filter(|at| word[*at] != candidate[*at]).collect();
    matches!(differ.as_slice(), [first, second] if second - first == 1 && word[*first] == candidate[*second] && word[*second] == candidate[*first])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULERS: [&str; 14] =
        ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "fo", "ovf", "mh", "twos"];

    #[test]
    fn one_edit_or_two_swapped_letters_are_near() {
        for (word, meant) in
            [("wcl", "wlc"), ("wlcc", "wlc"), ("WLC", "wlc"), ("wr", "wrr"), ("lblrc", "lblcr"), ("two", "twos"), ("hm", "mh")]
        {
            assert_eq!(nearest(word, SCHEDULERS), Some(meant), "{word}");
        }
        assert_eq!(nearest("shedulr", ["server", "scheduler"]), Some("scheduler"));
        assert_eq!(nearest("addr", ["address", "interface"]), Some("address"));
        assert_eq!(nearest("listne", ["listen", "server"]), Some("listen"));
    }

    #[test]
    fn a_word_like_no_other_has_no_nearest() {
        for word in ["round-robin", "x", "", "zz", "maglev", "10.0.0.1"] {
            assert_eq!(nearest(word, SCHEDULERS), None, "{word}");
        }
    }
}
