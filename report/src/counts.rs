//! All that the page shows, counted in bounded memory.
//!
//! Each event is counted in one row: its time, and the codes of its values. A choice in the page is a sum over rows. Where
//! there are too many, times get coarser, and the rarest values lose their own code, in all rows at once. So whatever has a
//! code is counted exactly, and no event is lost.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::fields::{CONSOLE, COUNT, DIMENSIONS, OUTCOME, READ_ONLY, RULE, SIGN_IN};
use crate::timeline::Timeline;
use crate::values::{FIRST, OTHERS, Values};

/// As many rows are kept while events are read, at most.
const MOST_ROWS: usize = 1 << 18;
/// Times are made coarser down to this many before values are given up,
const ENOUGH_TIMES: usize = 400;
/// and down to this many before a dimension has to do with fewer values than these.
const FEW_TIMES: usize = 12;
const ENOUGH_VALUES: usize = 100;
/// What an event weighs that people want to see though it is rare: a sign-in, a change by hand in the console, and what a
/// rule fits. Its values are given up last.
const NOTABLE: u64 = 1_000;
/// The lengths of time that rows are told apart by, in seconds. Each is a multiple of the one before.
pub const WIDTHS: [i64; 8] = [60, 300, 900, 3600, 21_600, 86_400, 604_800, 2_419_200];
/// Quarters of an hour of a week, by which the hours of every time zone can be told.
pub const SLOTS: usize = 4 * 24 * 7;
const QUARTER: i64 = 900;
/// The time of rows whose events have none.
pub const NO_TIME: i32 = i32::MIN;

/// What a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row {
    /// Which of the lengths of time since the epoch.
    pub time: i32,
    /// The codes of the values, by dimension.
    pub codes: [u16; COUNT],
}

/// Everything that was counted.
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Of these, without a time.
    pub without_time: u64,
    /// When the first event was, in seconds since the epoch; [`i64::MAX`] if none tells.
    pub first: i64,
    /// When the last event was; [`i64::MIN`] if none tells.
    pub last: i64,
    /// By dimension.
    pub values: [Values; COUNT],
    /// Events by row.
    pub rows: HashMap<Row, u64, RandomState>,
    /// By outcome and time, finer than rows are.
    pub timeline: Timeline,
    /// By quarter of an hour of the week in UTC, from Monday 00:00 on.
    pub week: [u64; SLOTS],
    width: usize,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            events: 0,
            without_time: 0,
            first: i64::MAX,
            last: i64::MIN,
            values: Default::default(),
            rows: HashMap::default(),
            timeline: Timeline::default(),
            week: [0; SLOTS],
            width: 0,
        }
    }
}

impl Counts {
    /// Counts an event: its time in seconds since the epoch, and its values.
    pub fn count(&mut self, time: Option<i64>, texts: &[Option<&str>; COUNT]) {
        self.events += 1;
        match time {
            None => self.without_time += 1,
            Some(time) => {
                self.first = self.first.min(time);
                self.last = self.last.max(time);
                // The epoch was a Thursday.
                let quarters = time.div_euclid(QUARTER) + 3 * 96;
                self.week[quarters.rem_euclid(SLOTS as i64) as usize] += 1;
            }
        }
        if self.values.iter().any(Values::is_full) {
            self.make_room();
        }
        if self.rows.len() >= MOST_ROWS {
            self.coarsen(MOST_ROWS / 2, usize::MAX);
        }
        let is_by_hand = texts[CONSOLE] == Some("true") && texts[READ_ONLY] == Some("false");
        let weight = match texts[SIGN_IN].is_some() || texts[RULE].is_some() || is_by_hand {
            true => NOTABLE,
            false => 1,
        };
        let mut codes = [0; COUNT];
        for (dimension, code) in codes.iter_mut().enumerate() {
            let counts = !DIMENSIONS[dimension].of_sign_ins || texts[SIGN_IN].is_some();
            let text = texts[dimension].filter(|_| counts);
            *code = self.values[dimension].count(text, time, weight);
        }
        if let Some(time) = time {
            self.timeline.count(time, codes[OUTCOME]);
        }
        let time = time.map_or(NO_TIME, |time| time.div_euclid(self.width()) as i32);
        *self.rows.entry(Row { time, codes }).or_default() += 1;
    }

    /// The length of time that rows are told apart by, in seconds.
    pub fn width(&self) -> i64 {
        WIDTHS[self.width]
    }

    /// How many times there are.
    fn times(&self) -> usize {
        let times: HashSet<i32, RandomState> = self.rows.keys().map(|row| row.time).collect();
        times.len()
    }

    /// What rows there would be without the time.
    fn kinds(&self) -> HashSet<&[u16; COUNT], RandomState> {
        self.rows.keys().map(|row| &row.codes).collect()
    }

    /// Keeps as many values of each dimension, at most: the weightiest.
    pub fn keep_values(&mut self, most: usize) {
        let mut codes = [const { None }; COUNT];
        for (codes, values) in codes.iter_mut().zip(&mut self.values) {
            if values.all().len() > most {
                *codes = Some(values.keep(most));
            }
        }
        self.recode(&codes);
    }

    /// Lets half of the values go where many are, of all dimensions at once, since all rows change.
    fn make_room(&mut self) {
        let mut codes = [const { None }; COUNT];
        for (codes, values) in codes.iter_mut().zip(&mut self.values) {
            if values.is_half_full() {
                *codes = Some(values.keep(values.all().len() / 2));
            }
        }
        self.recode(&codes);
    }

    fn recode(&mut self, codes: &[Option<Vec<u16>>; COUNT]) {
        if let Some(codes) = &codes[OUTCOME] {
            self.timeline.recode(codes);
        }
        self.change(|row| {
            for (code, codes) in row.codes.iter_mut().zip(codes) {
                if let Some(codes) = codes {
                    *code = codes.get(usize::from(*code)).copied().unwrap_or(OTHERS);
                }
            }
        });
    }

    fn change(&mut self, mut to: impl FnMut(&mut Row)) {
        let rows: Vec<(Row, u64)> = self.rows.drain().collect();
        for (mut row, events) in rows {
            to(&mut row);
            *self.rows.entry(row).or_default() += events;
        }
    }

    /// Makes rows coarser until there are so few, and so few kinds of them.
    pub fn coarsen(&mut self, rows: usize, kinds: usize) {
        let mut most = usize::MAX;
        while most > 0 {
            let too_many_rows = self.rows.len() > rows;
            let times = match too_many_rows && self.width + 1 < WIDTHS.len() {
                true => self.times(),
                false => 0,
            };
            if times > ENOUGH_TIMES {
                self.coarsen_times();
                continue;
            }
            let told_apart = if too_many_rows {
                self.told_apart(self.rows.keys().map(|row| &row.codes), rows)
            } else if kinds == usize::MAX {
                return;
            } else {
                let all = self.kinds();
                if all.len() <= kinds {
                    return;
                }
                self.told_apart(all.into_iter(), kinds)
            };
            if times > FEW_TIMES && told_apart < ENOUGH_VALUES {
                self.coarsen_times();
                continue;
            }
            most = told_apart.min(fewer(most));
            let mut codes = [const { None }; COUNT];
            for (codes, values) in codes[..RULE].iter_mut().zip(&mut self.values) {
                *codes = values.keep_rows(most);
            }
            self.recode(&codes);
        }
    }

    /// To the next length of time, of which there is one.
    fn coarsen_times(&mut self) {
        let by = (WIDTHS[self.width + 1] / WIDTHS[self.width]) as i32;
        self.width += 1;
        self.change(|row| {
            if row.time != NO_TIME {
                row.time = row.time.div_euclid(by);
            }
        });
    }

    /// How many values of each dimension may be told apart, the weightiest, for no more of these to be left: those that have
    /// no other value stay as they are.
    fn told_apart<'r>(&self, all: impl Iterator<Item = &'r [u16; COUNT]>, most: usize) -> usize {
        let ranks: Vec<Vec<usize>> = self.values[..RULE].iter().map(Values::ranks).collect();
        let worst = all.map(|codes| {
            let codes = codes.iter().map(|code| usize::from(*code));
            let ranks = ranks.iter().zip(codes);
            let ranks =
                ranks.filter_map(|(ranks, code)| ranks.get(code.checked_sub(FIRST.into())?));
            ranks.max().copied().unwrap_or(0)
        });
        let mut worst: Vec<usize> = worst.collect();
        worst.sort_unstable();
        let mut told_apart = worst.last().map_or(0, |worst| worst + 1);
        while told_apart > 0 && worst.partition_point(|worst| *worst < told_apart) > most {
            told_apart = fewer(told_apart);
        }
        told_apart
    }
}

/// The next number of values to try.
fn fewer(values: usize) -> usize {
    values / 4 * 3 + values % 4 * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::NONE;

    fn texts<'t>(some: &[(usize, &'t str)]) -> [Option<&'t str>; COUNT] {
        let mut texts = [None; COUNT];
        for (dimension, text) in some {
            texts[*dimension] = Some(*text);
        }
        texts
    }

    #[test]
    fn events_of_a_kind_and_a_minute_are_one_row() {
        let mut counts = Counts::default();
        for (time, name) in [(0, "a"), (59, "a"), (60, "a"), (0, "b")] {
            counts.count(Some(time), &texts(&[(0, name), (14, "true")]));
        }
        counts.count(
            None,
            &texts(&[(0, "a"), (SIGN_IN, "Success"), (14, "true")]),
        );
        let mut rows: Vec<(i32, u16, u16, u64)> = counts
            .rows
            .iter()
            .map(|(row, events)| (row.time, row.codes[0], row.codes[14], *events))
            .collect();
        rows.sort_unstable();
        // Whether MFA was used is told of sign-ins only.
        assert_eq!(
            rows,
            [
                (NO_TIME, FIRST, FIRST, 1),
                (0, FIRST, NONE, 2),
                (0, FIRST + 1, NONE, 1),
                (1, FIRST, NONE, 1)
            ]
        );
        assert_eq!((counts.first, counts.last, counts.without_time), (0, 60, 1));
        // The epoch was a Thursday.
        assert_eq!(counts.week[3 * 96], 4);
    }

    /// Three months of a company: rows are given up for as much as they can tell.
    #[test]
    fn most_of_what_people_look_for_can_be_chosen_in_a_larger_capture() {
        let mut counts = Counts::default();
        let mut seed = 5u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..400_000 {
            // The second identity makes half as many events as the first one, and so on.
            let who = format!("user-{}", 1_000 / (random(1_000) + 1));
            let name = format!("Name{}", random(200) * random(200) / 200);
            let error = format!("Error{}", random(4));
            let time = random(90 * 86_400) as i64;
            let mut texts = texts(&[(0, &name), (1, &who), (2, &name[..5])]);
            if random(20) == 0 {
                (texts[OUTCOME], texts[5]) = (Some(&*error), Some(&*error));
            }
            counts.count(Some(time), &texts);
        }
        counts.keep_values(500);
        counts.coarsen(160_000, 40_000);
        let told = |dimension: usize| {
            let values = counts.values[dimension].all().iter();
            (
                values.clone().filter(|value| value.has_rows).count(),
                values.len(),
            )
        };
        for dimension in [0, 1, OUTCOME, 5] {
            let (told, all) = told(dimension);
            assert!(
                told >= all.min(ENOUGH_VALUES),
                "{dimension}: {told} of {all}"
            );
        }
        assert!(counts.width() <= 86_400, "{} s", counts.width());
        assert!(
            counts.timeline.width() <= 3_600,
            "{} s",
            counts.timeline.width()
        );
    }

    /// An attacker who chooses all values anew for each event, over years.
    #[test]
    fn no_flood_takes_more_rows_than_there_is_room_for() {
        let mut counts = Counts::default();
        let mut seed = 7u64;
        for number in 0..300_000i64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let noise = format!("{:x}", seed >> 20);
            let error = &noise[..2];
            let mut texts = texts(&[(0, &noise), (1, &noise[1..]), (3, &noise[2..]), (5, error)]);
            if number % 100 == 0 {
                texts[0] = Some("Often");
            }
            if number == 70 || number == 250_070 {
                (texts[1], texts[RULE]) = (Some("mallory"), Some("Trail Stopped Or Deleted"));
            }
            counts.count(Some((seed >> 34) as i64), &texts);
            assert!(counts.rows.len() <= MOST_ROWS);
        }
        assert_eq!(counts.rows.values().sum::<u64>(), 300_000);
        let all = counts.values[0].all();
        let often = all
            .iter()
            .position(|value| &*value.text == "Often")
            .unwrap();
        let code = FIRST + often as u16;
        let rows = counts.rows.iter().filter(|(row, _)| row.codes[0] == code);
        let events: u64 = rows.map(|(_, events)| events).sum();
        assert_eq!((all[often].events, events), (3_000, 3_000));
        // Nor is what a rule fits, however rare it is.
        let fits = counts.values[1]
            .all()
            .iter()
            .find(|value| &*value.text == "mallory");
        assert!(fits.is_some_and(|fits| fits.has_rows && fits.events == 2));
        for values in &counts.values {
            let counted: u64 = values.all().iter().map(|value| value.events).sum();
            assert_eq!(counted + values.none + values.others, 300_000);
        }
        counts.coarsen(1_000, 100);
        assert!(counts.rows.len() <= 1_000 && counts.kinds().len() <= 100);
        assert_eq!(counts.rows.values().sum::<u64>(), 300_000);
    }
}
