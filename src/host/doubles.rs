//! Events that come more than once: what several trails deliver into one bucket, and copies.

use crate::decode::{Fingerprint, Fingerprints};
use crate::recent::Recent;

/// So many events are known at least, and twice as many at most: what a table of 2^20 places can hold.
const KNOWN: usize = (1 << 20) / 8 * 7;

/// What is known of the events that were handed over.
pub(crate) struct Doubles {
    /// `dedupe`. Otherwise the host gets all, and a sample of them is looked at, so that something can be said of it.
    leaves_out: bool,
    known: Recent<Fingerprint>,
    /// How many events had a fingerprint, and how many of them had come before.
    seen: u64,
    repeated: u64,
    is_told: bool,
}

impl Doubles {
    pub fn new(dedupe: bool) -> Self {
        let most = match dedupe {
            true => KNOWN,
            false => KNOWN / Fingerprints::SAMPLE as usize,
        };
        Self {
            leaves_out: dedupe,
            known: Recent::new(most),
            seen: 0,
            repeated: 0,
            is_told: false,
        }
    }

    /// Takes note of the next event. Returns true if it is to be left out.
    pub fn leave_out(&mut self, fingerprint: Option<Fingerprint>) -> bool {
        let Some(fingerprint) = fingerprint else {
            return false;
        };
        let is_repeated = !self.known.add(fingerprint);
        self.seen += 1;
        self.repeated += u64::from(is_repeated);
        is_repeated && self.leaves_out
    }

    /// What to say once, at the end, where the host got events more than once.
    pub fn words(&mut self) -> Option<String> {
        let is_told = std::mem::replace(&mut self.is_told, true);
        if is_told || self.leaves_out || self.repeated == 0 {
            return None;
        }
        let share = match (self.repeated * 100 + self.seen / 2) / self.seen {
            0 => "less than 1".to_owned(),
            share => format!("about {share}"),
        };
        Some(format!(
            "{share} % of the events had been handed over before, going by their event IDs: several trails, or copies, hold \
             the same events; set dedupe to true to leave them out"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Index;

    /// Fingerprints of different events, of which the same number gives the same.
    fn maker() -> impl Fn(usize) -> Fingerprint {
        let fingerprints = Fingerprints::new(true);
        move |number| {
            let record = format!(r#"{{"eventID":"{number}"}}"#);
            let fingerprint = fingerprints.of(record.as_bytes(), 0, &mut Index::default());
            fingerprint.expect("a fingerprint")
        }
    }

    #[test]
    fn memory_is_bounded() {
        let event = maker();
        for dedupe in [false, true] {
            let mut doubles = Doubles::new(dedupe);
            let (most, share) = match dedupe {
                true => (KNOWN, 1),
                false => (KNOWN / Fingerprints::SAMPLE as usize, 64),
            };
            for number in 0..=most {
                doubles.leave_out(Some(event(number)));
            }
            // A place takes 16 bytes and one for the table, and a table has 8 for each 7 that it can hold.
            for capacity in doubles.known.capacities() {
                let places = capacity * 8 / 7;
                let bytes = places * (size_of::<Fingerprint>() + 1);
                assert!(bytes <= (18 << 20) / share, "{bytes} bytes");
            }
        }
    }

    #[test]
    fn only_with_dedupe_events_are_left_out() {
        let event = maker();
        for dedupe in [false, true] {
            let mut doubles = Doubles::new(dedupe);
            assert!(!doubles.leave_out(Some(event(1))));
            assert_eq!(doubles.leave_out(Some(event(1))), dedupe);
            assert_eq!(doubles.leave_out(Some(event(1))), dedupe);
            // What has no fingerprint is never left out.
            assert!(!doubles.leave_out(None));
            assert!(!doubles.leave_out(None));
        }
    }

    #[test]
    fn doubles_are_told_once_and_only_where_the_host_got_them() {
        let event = maker();
        let said = |dedupe: bool, numbers: Vec<usize>| {
            let mut doubles = Doubles::new(dedupe);
            for number in numbers {
                doubles.leave_out(Some(event(number)));
            }
            let words = doubles.words();
            assert_eq!(doubles.words(), None);
            words
        };
        assert_eq!(said(false, (0..500).collect()), None);
        assert_eq!(said(true, vec![1, 1]), None);
        for (repeated, share) in [(500, "about 50 %"), (16, "about 3 %"), (1, "less than 1 %")] {
            let words = said(false, (0..500).chain(0..repeated).collect()).expect("words");
            assert!(
                words.starts_with(&format!("{share} of the events")),
                "{words}"
            );
        }
    }
}
