//! Events by outcome and time.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::counts::WIDTHS;
use crate::values::OTHERS;

/// As many numbers are kept, at most. Where years that nobody has lived through would be more than that in the coarsest
/// times, outcomes are told apart no more.
const MOST: usize = 10_000;

/// What is shown while nothing is chosen, and so told by nothing but these two.
#[derive(Default)]
pub struct Timeline {
    events: HashMap<(i64, u16), u64, RandomState>,
    width: usize,
    is_of_times_only: bool,
}

impl Timeline {
    /// Counts an event: its time in seconds since the epoch, and the code of its outcome.
    pub fn count(&mut self, time: i64, outcome: u16) {
        let outcome = if self.is_of_times_only {
            OTHERS
        } else {
            outcome
        };
        let key = (time.div_euclid(self.width()), outcome);
        *self.events.entry(key).or_default() += 1;
        while self.events.len() > MOST && !self.is_of_times_only {
            match WIDTHS.get(self.width + 1) {
                Some(wider) => {
                    let by = wider / self.width();
                    self.width += 1;
                    self.change(|(time, outcome)| (time.div_euclid(by), outcome));
                }
                None => {
                    self.is_of_times_only = true;
                    self.change(|(time, _)| (time, OTHERS));
                }
            }
        }
    }

    /// The length of time that is told apart, in seconds.
    pub fn width(&self) -> i64 {
        WIDTHS[self.width]
    }

    /// Gives outcomes other codes.
    pub fn recode(&mut self, codes: &[u16]) {
        let code = |code: u16| codes.get(usize::from(code)).copied().unwrap_or(OTHERS);
        self.change(|(time, outcome)| (time, code(outcome)));
    }

    /// Which length of time since the epoch, the code of the outcome, and the events.
    pub fn all(&self) -> impl Iterator<Item = (i64, u16, u64)> {
        let events = self.events.iter();
        events.map(|((time, outcome), events)| (*time, *outcome, *events))
    }

    fn change(&mut self, to: impl Fn((i64, u16)) -> (i64, u16)) {
        let all: Vec<((i64, u16), u64)> = self.events.drain().collect();
        for (key, events) in all {
            *self.events.entry(to(key)).or_default() += events;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::FIRST;

    #[test]
    fn times_get_coarser_and_no_event_is_lost() {
        let mut timeline = Timeline::default();
        for minute in 0..20_000 {
            timeline.count(minute * 60, FIRST);
        }
        assert_eq!(timeline.width(), 300);
        timeline.recode(&[0, 1, OTHERS]);
        let mut all: Vec<_> = timeline.all().collect();
        all.sort_unstable();
        assert_eq!(all[..2], [(0, OTHERS, 5), (1, OTHERS, 5)]);
        assert_eq!(all.len(), 4_000);
        // All times that there are, and outcomes that somebody made up.
        for number in 0..200_000u64 {
            let time = number.wrapping_mul(11_400_714_819_323_198_485) / 1_000_000_000;
            timeline.count(time as i64, FIRST + number as u16 % 1_000);
        }
        let events: u64 = timeline.all().map(|(_, _, events)| events).sum();
        assert_eq!(events, 220_000);
        assert!(timeline.events.len() <= MOST, "{}", timeline.events.len());
    }
}
