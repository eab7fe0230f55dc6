//! What hangs together: a union of sets over numbers.

/// Sets of the numbers below a count.
pub struct Sets {
    parents: Vec<usize>,
}

impl Sets {
    /// Each number in a set of its own.
    pub fn new(count: usize) -> Sets {
        Sets { parents: (0..count).collect() }
    }

    /// The least number of the set of `number`.
    pub fn of(&mut self, number: usize) -> usize {
        let mut root = number;
        while self.parents[root] != root {
            root = self.parents[root];
        }
        let mut at = number;
        while self.parents[at] != root {
            at = std::mem::replace(&mut self.parents[at], root);
        }
        root
    }

    /// Makes one set of two.
    pub fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.of(one), self.of(other));
        self.parents[one.max(other)] = one.min(other);
    }
}
