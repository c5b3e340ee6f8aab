//! What came last, in bounded memory.

use std::collections::HashSet;
use std::hash::Hash;

/// The values that came last: when the young set is full, it becomes the old one, whose values are forgotten.
///
/// Nothing is ever taken out of a set by itself: a table out of which values are taken while others come grows to twice
/// the size that they need.
pub(crate) struct Recent<T> {
    young: HashSet<T>,
    old: HashSet<T>,
    /// In each of them.
    most: usize,
}

impl<T: Eq + Hash> Recent<T> {
    /// So many are known at least, and twice as many at most.
    pub fn new(most: usize) -> Self {
        Self {
            young: HashSet::new(),
            old: HashSet::new(),
            most,
        }
    }

    pub fn contains(&self, value: &T) -> bool {
        self.old.contains(value) || self.young.contains(value)
    }

    /// Returns false if the value is there already.
    pub fn add(&mut self, value: T) -> bool {
        if self.contains(&value) {
            return false;
        }
        if self.young.len() >= self.most {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
            // The other one was filled, so this one will be.
            self.young.reserve(self.most);
        }
        self.young.insert(value)
    }

    /// How many values the tables have room for.
    #[cfg(test)]
    pub fn capacities(&self) -> [usize; 2] {
        [self.young.capacity(), self.old.capacity()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_values_are_known_and_older_ones_are_forgotten() {
        let mut recent = Recent::new(100);
        for number in 0..1000_u64 {
            assert!(recent.add(number), "{number}");
            // Whether it was just added, or is the oldest that is certainly known.
            for known in [number, number.saturating_sub(99)] {
                assert!(!recent.add(known), "{known} at {number}");
                assert!(recent.contains(&known));
            }
        }
        // What is known already takes no place of others.
        assert_eq!((recent.young.len(), recent.old.len()), (100, 100));
        assert!(!recent.add(800));
        assert!(recent.add(799));
        assert!(recent.add(0));
        assert_eq!((recent.young.len(), recent.old.len()), (2, 100));
    }

    #[test]
    fn tables_never_grow_beyond_what_they_hold() {
        // What a table of 2^10 places can hold.
        let most = (1 << 10) / 8 * 7;
        let mut recent = Recent::new(most);
        for number in 0..100 * most {
            recent.add(number);
            let room = recent.capacities();
            assert!(
                room.into_iter().all(|room| room <= most),
                "{number}: {room:?}"
            );
        }
    }
}
