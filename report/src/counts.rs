//! All that the page shows, counted in bounded memory.
//!
//! Each event is counted in one row: its time, and the codes of its values. A choice in the page is a sum over rows. Where
//! there are too many, times get coarser, then the rarest values lose their own code, in all rows at once. So whatever has a
//! code is counted exactly, and no event is lost.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::fields::{CONSOLE, COUNT, DIMENSIONS, READ_ONLY, RULE, SIGN_IN};
use crate::values::{FIRST, OTHERS, Values};

/// As many rows are kept while events are read, at most.
const MOST_ROWS: usize = 1 << 18;
/// Times are made coarser down to this many before values are given up.
const ENOUGH_TIMES: usize = 400;
/// So many values of a flag are told apart until nothing else is left to give up.
const FLAG_VALUES: usize = 3;
/// What an event weighs that people want to see though it is rare: a sign-in, a change by hand in the console, and what a
/// rule fits. Its values are given up last.
const NOTABLE: u64 = 1_000;
/// The lengths of time that rows are told apart by, in seconds. Each is a multiple of the one before.
const WIDTHS: [i64; 8] = [60, 300, 900, 3600, 21_600, 86_400, 604_800, 2_419_200];
/// Half-hours of a week.
pub const SLOTS: usize = 2 * 24 * 7;
const HALF_HOUR: i64 = 1800;
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
    /// By half-hour of the week in UTC, from Monday 00:00 on.
    pub week: [u64; SLOTS],
    width: usize,
    /// Values that weigh less have no code in rows, if they were there when this was set.
    least: u64,
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
            week: [0; SLOTS],
            width: 0,
            least: 1,
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
                let half_hours = time.div_euclid(HALF_HOUR) + 3 * 48;
                self.week[half_hours.rem_euclid(SLOTS as i64) as usize] += 1;
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
        loop {
            let too_many_rows = self.rows.len() > rows;
            if !too_many_rows && kinds == usize::MAX {
                return;
            }
            if too_many_rows && self.width + 1 < WIDTHS.len() && self.times() > ENOUGH_TIMES {
                let by = (WIDTHS[self.width + 1] / WIDTHS[self.width]) as i32;
                self.width += 1;
                self.change(|row| {
                    if row.time != NO_TIME {
                        row.time = row.time.div_euclid(by);
                    }
                });
                continue;
            }
            let least = if too_many_rows {
                self.least_for(self.rows.keys().map(|row| &row.codes), rows)
            } else {
                let all = self.kinds();
                if all.len() <= kinds {
                    return;
                }
                self.least_for(all.into_iter(), kinds)
            };
            self.least = least;
            if self.give_up(least) {
                continue;
            }
            // Nothing is left that is as rare as that.
            if least > self.heaviest() {
                return;
            }
            self.least = least.saturating_mul(4);
        }
    }

    /// The weight of the heaviest value.
    fn heaviest(&self) -> u64 {
        let heaviest = self.values[..RULE].iter().map(|values| values.weight_of(0));
        heaviest.max().unwrap_or(0)
    }

    /// The smallest weight, [`Counts::least`] or what it will be, that may leave so few of these once values that weigh less
    /// are given up: those without such a value stay as they are.
    fn least_for<'r>(&self, all: impl Iterator<Item = &'r [u16; COUNT]>, most: usize) -> u64 {
        let weights: Vec<Vec<u64>> = DIMENSIONS[..RULE]
            .iter()
            .zip(&self.values)
            .map(|(dimension, values)| {
                let stays = match dimension.is_flag {
                    true => values.weight_of(FLAG_VALUES - 1),
                    false => u64::MAX,
                };
                let weight = |weight: u64| if weight < stays { weight } else { u64::MAX };
                let values = values.all().iter().map(|value| weight(value.weight));
                [u64::MAX; FIRST as usize]
                    .into_iter()
                    .chain(values)
                    .collect()
            })
            .collect();
        let lightest = all.map(|codes| {
            let weights = weights.iter().zip(codes);
            let weights = weights.filter_map(|(weights, code)| weights.get(usize::from(*code)));
            weights.min().copied().unwrap_or(u64::MAX)
        });
        let mut lightest: Vec<u64> = lightest.collect();
        lightest.sort_unstable();
        let heaviest = self.heaviest();
        let mut least = self.least;
        while least <= heaviest {
            let stay = lightest.len() - lightest.partition_point(|weight| *weight < least);
            if stay <= most {
                break;
            }
            least = least.saturating_mul(4);
        }
        least
    }

    /// Takes their codes from values that weigh less. Whether there were any.
    fn give_up(&mut self, least: u64) -> bool {
        let others_have_rows = DIMENSIONS[..RULE].iter().zip(&self.values);
        let others_have_rows = others_have_rows
            .filter(|(dimension, _)| !dimension.is_flag)
            .any(|(_, values)| values.all().iter().any(|value| value.has_rows));
        let mut codes = [const { None }; COUNT];
        for dimension in 0..RULE {
            let values = &mut self.values[dimension];
            let least = match DIMENSIONS[dimension].is_flag && others_have_rows {
                true => least.min(values.weight_of(FLAG_VALUES - 1)),
                false => least,
            };
            codes[dimension] = values.keep_rows(least);
        }
        let is_given_up = codes.iter().any(Option::is_some);
        if is_given_up {
            self.recode(&codes);
        }
        is_given_up
    }
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
        assert_eq!(counts.week[3 * 48], 4);
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
