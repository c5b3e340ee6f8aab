//! Which events were read lately, so that what is read again is told apart from what is new.

use std::collections::HashMap;

/// So many are remembered, at most: some 40 MB.
pub(in crate::source) const MOST: usize = 1_000_000;
/// So many of each reader are, however many there are.
const LEAST: usize = 50_000;

/// How many of each are remembered, of so many readers.
pub(in crate::source) fn share(readers: usize) -> usize {
    (MOST / readers.max(1)).max(LEAST)
}

/// What stands for events, and their times.
pub(in crate::source) struct Seen {
    /// Those from this time on are remembered.
    since: i64,
    most: usize,
    events: HashMap<u64, i64>,
    /// By an earlier capture.
    consumed: HashMap<u64, i64>,
}

impl Seen {
    /// So many are remembered at most, from this time on.
    pub fn new(since: i64, most: usize, consumed: HashMap<u64, i64>) -> Self {
        Self {
            since,
            most,
            events: HashMap::new(),
            consumed,
        }
    }

    /// Of events before this time nothing is known.
    pub fn since(&self) -> i64 {
        self.since
    }

    /// Remember an event. True if it was not there before.
    pub fn is_new(&mut self, id: u64, time: i64) -> bool {
        let is_remembered = time >= self.since;
        if !is_remembered && self.consumed.is_empty() {
            return true;
        }
        let is_new = !self.consumed.contains_key(&id)
            && (!is_remembered || self.events.insert(id, time).is_none());
        if self.events.len() > self.most {
            let mut times: Vec<i64> = self.events.values().copied().collect();
            let (_, middle, _) = times.select_nth_unstable(self.most / 2);
            self.forget_before(*middle + 1);
        }
        is_new
    }

    pub fn forget_before(&mut self, since: i64) {
        self.since = self.since.max(since);
        self.events.retain(|_, time| *time >= self.since);
        self.consumed.retain(|_, time| *time >= self.since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_new_once() {
        let mut seen = Seen::new(10, MOST, HashMap::from([(1, 12)]));
        assert!(!seen.is_new(1, 12), "consumed by another capture");
        assert!(seen.is_new(2, 10));
        assert!(!seen.is_new(2, 10));
        seen.forget_before(13);
        assert!(seen.is_new(2, 10), "forgotten");
        assert_eq!(seen.since(), 13);
    }

    #[test]
    fn so_many_are_remembered_and_the_oldest_forgotten() {
        let mut seen = Seen::new(0, MOST, HashMap::new());
        for n in 0..=MOST as u64 {
            assert!(seen.is_new(n, n as i64));
        }
        assert!(seen.events.len() <= MOST / 2 + 1);
        assert!(!seen.is_new(MOST as u64, MOST as i64));
        assert_eq!(seen.since(), MOST as i64 / 2 + 1);
    }
}
