//! The values of one dimension: the most frequent of them, however many there are.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// The code of an event without a value.
pub const NONE: u16 = 0;
/// The code of all values that have none of their own.
pub const OTHERS: u16 = 1;
/// The code of the first value.
pub const FIRST: u16 = 2;

/// Longer values are counted by this many bytes of their beginning, less where that would cut a character. sysdig compares
/// with no longer ones.
pub const LONGEST: usize = 255;
/// As many values are kept, at most. The rarer half is let go then.
const MOST: usize = 32_768;
/// And as many bytes of them.
const MOST_BYTES: usize = 2 << 20;

/// A value, and what is known of the events that have it.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The value, or its beginning.
    pub text: Arc<str>,
    /// It is the beginning of longer ones.
    pub is_cut: bool,
    /// Events that have it, as far as they were counted.
    pub events: u64,
    /// What it is kept by: events, of which some weigh more.
    pub weight: u64,
    /// When the first of them was, in seconds since the epoch; [`i64::MAX`] if none tells.
    pub first: i64,
    /// When the last of them was; [`i64::MIN`] if none tells.
    pub last: i64,
    /// There may have been more before, which were counted among the others.
    pub is_late: bool,
    /// Rows have its code.
    pub has_rows: bool,
}

/// The values of one dimension.
#[derive(Default)]
pub struct Values {
    all: Vec<Value>,
    codes: HashMap<Arc<str>, u16, RandomState>,
    bytes: usize,
    /// Events without a value.
    pub none: u64,
    /// Events of values that were let go.
    pub others: u64,
    /// How often a value was let go.
    pub let_go: u64,
    /// The code of the last event's value, since events of one kind come together.
    last: Option<u16>,
}

impl Values {
    /// Counts an event of this weight; the code that rows know its value by. [`Values::is_full`] must be asked before.
    pub fn count(&mut self, text: Option<&str>, time: Option<i64>, weight: u64) -> u16 {
        let Some(text) = text else {
            self.none += 1;
            return NONE;
        };
        let begin = beginning(text);
        let code = match self.last {
            Some(code) if *self.all[usize::from(code - FIRST)].text == *begin => code,
            _ => self.code(begin),
        };
        self.last = Some(code);
        let value = &mut self.all[usize::from(code - FIRST)];
        value.events += 1;
        value.weight += weight;
        value.is_cut |= begin.len() < text.len();
        if let Some(time) = time {
            value.first = value.first.min(time);
            value.last = value.last.max(time);
        }
        if value.has_rows { code } else { OTHERS }
    }

    fn code(&mut self, text: &str) -> u16 {
        if let Some(code) = self.codes.get(text) {
            return *code;
        }
        let code = FIRST + self.all.len() as u16;
        let text: Arc<str> = text.into();
        self.bytes += text.len();
        self.codes.insert(text.clone(), code);
        self.all.push(Value {
            text,
            is_cut: false,
            events: 0,
            weight: 0,
            first: i64::MAX,
            last: i64::MIN,
            is_late: self.let_go > 0,
            has_rows: true,
        });
        code
    }

    /// Whether another value needs room that is not there.
    pub fn is_full(&self) -> bool {
        self.all.len() >= MOST || self.bytes >= MOST_BYTES
    }

    /// Whether it will be full soon.
    pub fn is_half_full(&self) -> bool {
        self.all.len() >= MOST / 2 || self.bytes >= MOST_BYTES / 2
    }

    /// The values, by code from [`FIRST`] on.
    pub fn all(&self) -> &[Value] {
        &self.all
    }

    /// Lets all but the weightiest values go. What each code is from now on.
    pub fn keep(&mut self, most: usize) -> Vec<u16> {
        let order = self.by_weight();
        let mut codes = vec![OTHERS; usize::from(FIRST) + self.all.len()];
        codes[usize::from(NONE)] = NONE;
        let mut kept = Vec::with_capacity(most.min(order.len()));
        for (place, &at) in order.iter().enumerate() {
            let value = &self.all[at];
            if place >= most {
                self.others += value.events;
                self.let_go += 1;
                continue;
            }
            let code = FIRST + kept.len() as u16;
            if value.has_rows {
                codes[usize::from(FIRST) + at] = code;
            }
            kept.push(value.clone());
        }
        self.bytes = kept.iter().map(|value| value.text.len()).sum();
        self.codes = (FIRST..)
            .zip(&kept)
            .map(|(code, value)| (value.text.clone(), code))
            .collect();
        self.all = kept;
        self.last = None;
        codes
    }

    /// Keeps all values, but rows tell only so many from others: the weightiest. What each code is from now on; none if
    /// nothing changes.
    pub fn keep_rows(&mut self, most: usize) -> Option<Vec<u16>> {
        let mut codes: Option<Vec<u16>> = None;
        for at in self.by_weight().into_iter().skip(most) {
            let value = &mut self.all[at];
            if value.has_rows {
                value.has_rows = false;
                let codes = codes.get_or_insert_with(|| (0..=u16::MAX).collect());
                codes[usize::from(FIRST) + at] = OTHERS;
            }
        }
        codes
    }

    /// For each value, how many are weightier.
    pub fn ranks(&self) -> Vec<usize> {
        let mut ranks = vec![0; self.all.len()];
        for (rank, at) in self.by_weight().into_iter().enumerate() {
            ranks[at] = rank;
        }
        ranks
    }

    /// The places of all values, the weightiest first.
    fn by_weight(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.all.len()).collect();
        order.sort_by_key(|at| Reverse(self.all[*at].weight));
        order
    }
}

/// What a value is counted by.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_by_value() {
        let mut values = Values::default();
        let codes = [Some("a"), None, Some("b"), Some("a"), Some("")]
            .map(|text| values.count(text, Some(7), 1));
        assert_eq!(codes, [2, 0, 3, 2, 4]);
        assert_eq!(values.none, 1);
        let events: Vec<u64> = values.all().iter().map(|value| value.events).collect();
        assert_eq!(events, [2, 1, 1]);
    }

    #[test]
    fn what_is_let_go_is_counted_among_the_others_and_comes_back_as_late() {
        let mut values = Values::default();
        for text in ["rare", "often", "often", "more", "more", "more"] {
            values.count(Some(text), None, 1);
        }
        assert_eq!(values.keep(2), [NONE, OTHERS, OTHERS, 3, 2]);
        assert_eq!((values.others, values.let_go), (1, 1));
        assert_eq!(values.count(Some("rare"), None, 1), 4);
        let late: Vec<bool> = values.all().iter().map(|value| value.is_late).collect();
        assert_eq!(late, [false, false, true]);
        // Without rows of its own it is counted on.
        let codes = values.keep_rows(1).unwrap();
        assert_eq!(codes[..5], [NONE, OTHERS, 2, OTHERS, OTHERS]);
        assert_eq!(values.keep_rows(1), None);
        assert_eq!(values.count(Some("often"), None, 1), OTHERS);
        assert_eq!(values.all()[1].events, 3);
    }

    #[test]
    fn a_long_value_is_counted_by_its_beginning() {
        let mut values = Values::default();
        let long = format!("{}é", "x".repeat(LONGEST - 1)).repeat(1000);
        let other = format!("{}z", "x".repeat(LONGEST - 1));
        values.count(Some(&long), None, 1);
        values.count(Some(&other), None, 1);
        let all = values.all();
        assert_eq!(&*all[0].text, "x".repeat(LONGEST - 1));
        assert!(all[0].is_cut && !all[1].is_cut);
        assert_eq!(&*all[1].text, other);
    }

    #[test]
    fn no_flood_of_values_takes_more_than_its_room() {
        let mut values = Values::default();
        for number in 0..100_000 {
            if values.is_full() {
                values.keep(values.all().len() / 2);
            }
            values.count(Some("often"), None, 1);
            values.count(Some(&format!("{number}{}", "x".repeat(200))), None, 1);
        }
        assert!(values.bytes <= MOST_BYTES + LONGEST && values.all.len() <= MOST);
        let counted: u64 = values.all().iter().map(|value| value.events).sum();
        assert_eq!(counted + values.others, 200_000);
        let often = values.all().iter().find(|value| &*value.text == "often");
        assert_eq!(
            often.map(|often| (often.events, often.is_late)),
            Some((100_000, false))
        );
    }
}
