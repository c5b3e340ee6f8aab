//! The page: one file with all that it needs, in which nothing that was read can run.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde::Serialize;

use crate::counts::{Counts, NO_TIME, Row};
use crate::fields::{COUNT, DIMENSIONS, OUTCOME, RULE};
use crate::losses::Losses;
use crate::rules::{LeftOut, Rule, Rules};
use crate::values::{FIRST, NONE, OTHERS, Value};

/// The page's size, at most.
pub const MOST_BYTES: usize = 5_000_000;
/// Values of a dimension, rows, and kinds of them, at most. All are halved until the page is small enough.
const MOST_VALUES: usize = 500;
const MOST_ROWS: usize = 160_000;
const MOST_KINDS: usize = 40_000;

const FRAME: &str = include_str!("../page/page.html");
const STYLE: &str = include_str!("../page/page.css");
const SCRIPT: &str = include_str!("../page/page.js");
const WORDS: &str = include_str!("../page/words.js");
const CHART: &str = include_str!("../vendor/chart.umd.min.js");
const CHART_LICENCE: &str = include_str!("../vendor/LICENSE.md");

/// What is known beside the counts.
pub struct About<'a> {
    /// What was opened.
    pub source: &'a str,
    /// The plugin's version.
    pub version: &'a str,
    /// When the page was made, in seconds since the epoch.
    pub made: i64,
    /// Why not all was read; none if all was.
    pub partial: Option<&'a str>,
    /// What the plugin says was not read.
    pub losses: &'a Losses,
    /// What was asked of each event.
    pub rules: &'a Rules,
}

/// What the page's script reads. Codes of values: 0 for none, 1 for others, and from 2 on those listed.
#[derive(Serialize)]
struct Data<'a> {
    source: &'a str,
    version: &'a str,
    made: i64,
    partial: Option<&'a str>,
    events: u64,
    without_time: u64,
    first: Option<i64>,
    last: Option<i64>,
    /// Seconds that times of cells count.
    width: i64,
    dimensions: Vec<Listed>,
    /// By dimension, the code of each kind of event.
    kinds: Vec<Vec<u16>>,
    /// For each kind, how many cells follow.
    cells: Vec<u32>,
    /// The time of each cell: within a kind the difference to the one before; the first of a kind to the first of all.
    times: Vec<i64>,
    /// The events of each cell.
    counts: Vec<u64>,
    /// For each kind, its events without a time.
    timeless: Vec<u64>,
    /// The time that the first cells' differences are to.
    from: i64,
    timeline: Times,
    /// By quarter of an hour in UTC.
    week: Vec<u64>,
    rules: Vec<&'a Rule>,
    rules_asked: usize,
    rules_left_out: &'a [LeftOut],
    losses: &'a Losses,
    licence: &'a str,
}

/// All events by time and outcome.
#[derive(Serialize)]
struct Times {
    /// Seconds that times count.
    width: i64,
    /// The first of all, then the difference to the one before.
    times: Vec<i64>,
    outcomes: Vec<u16>,
    events: Vec<u64>,
}

/// Text, events, first, last, and whether it is cut (1), late (2), without rows (4).
type ListedValue = (String, u64, Option<i64>, Option<i64>, u8);

#[derive(Serialize)]
struct Listed {
    key: &'static str,
    field: Option<&'static str>,
    values: Vec<ListedValue>,
    none: u64,
    others: u64,
    /// How many values were not listed; with `many` at least as many.
    more: u64,
    many: bool,
}

impl Counts {
    /// The page, in no more than [`MOST_BYTES`]. Coarsens what was counted as far as that takes.
    pub fn page(&mut self, about: &About<'_>) -> Result<String> {
        let (mut values, mut rows, mut kinds) = (MOST_VALUES, MOST_ROWS, MOST_KINDS);
        loop {
            self.keep_values(values);
            self.coarsen(rows, kinds);
            let page = assembled(&self.data(about))?;
            if page.len() <= MOST_BYTES {
                return Ok(page);
            }
            ensure!(
                values > 1,
                "the page can't be made smaller than {} bytes",
                page.len()
            );
            (values, rows, kinds) = (values / 2, rows / 2, kinds / 2);
        }
    }

    fn data<'a>(&self, about: &About<'a>) -> Data<'a> {
        let mut orders = Vec::with_capacity(COUNT);
        let dimensions = DIMENSIONS
            .iter()
            .zip(&self.values)
            .map(|(dimension, values)| {
                let all = values.all();
                let mut order: Vec<usize> = (0..all.len()).collect();
                order.sort_by(|one, other| {
                    let (one, other) = (&all[*one], &all[*other]);
                    other
                        .events
                        .cmp(&one.events)
                        .then_with(|| one.text.cmp(&other.text))
                });
                let listed = order.iter().map(|at| listed(&all[*at])).collect();
                orders.push(codes(&order));
                Listed {
                    key: dimension.key,
                    field: dimension.field,
                    values: listed,
                    none: values.none,
                    others: values.others,
                    more: values.let_go,
                    many: all.iter().any(|value| value.is_late),
                }
            })
            .collect();
        let mut rows: Vec<(Row, u64)> = self
            .rows
            .iter()
            .map(|(row, events)| (*row, *events))
            .collect();
        for (row, _) in &mut rows {
            for (code, codes) in row.codes.iter_mut().zip(&orders) {
                *code = codes.get(usize::from(*code)).copied().unwrap_or(OTHERS);
            }
        }
        rows.sort_unstable_by_key(|(row, _)| (row.codes, row.time));
        let times = rows.iter().map(|(row, _)| row.time);
        let from = times.filter(|time| *time != NO_TIME).min().unwrap_or(0);
        let mut data = Data {
            source: about.source,
            version: about.version,
            made: about.made,
            partial: about.partial,
            events: self.events,
            without_time: self.without_time,
            first: (self.first != i64::MAX).then_some(self.first),
            last: (self.last != i64::MIN).then_some(self.last),
            width: self.width(),
            dimensions,
            kinds: vec![Vec::new(); COUNT],
            cells: Vec::new(),
            times: Vec::new(),
            counts: Vec::new(),
            timeless: Vec::new(),
            from: i64::from(from),
            timeline: self.times_of_outcomes(&orders[OUTCOME]),
            week: self.week.to_vec(),
            rules: self.values[RULE]
                .all()
                .iter()
                .filter_map(|value| about.rules.named(&value.text))
                .collect(),
            rules_asked: about.rules.asked(),
            rules_left_out: &about.rules.left_out,
            losses: about.losses,
            licence: CHART_LICENCE,
        };
        let mut kind = None;
        let mut before = from;
        for (row, events) in rows {
            if kind != Some(row.codes) {
                kind = Some(row.codes);
                before = from;
                for (column, code) in data.kinds.iter_mut().zip(row.codes) {
                    column.push(code);
                }
                data.cells.push(0);
                data.timeless.push(0);
            }
            if row.time == NO_TIME {
                data.timeless.pop();
                data.timeless.push(events);
                continue;
            }
            if let Some(cells) = data.cells.last_mut() {
                *cells += 1;
            }
            data.times.push(i64::from(row.time) - i64::from(before));
            before = row.time;
            data.counts.push(events);
        }
        data
    }

    /// The timeline, with the page's codes.
    fn times_of_outcomes(&self, codes: &[u16]) -> Times {
        let code = |code: u16| codes.get(usize::from(code)).copied().unwrap_or(OTHERS);
        let all = self.timeline.all();
        let mut all: Vec<_> = all
            .map(|(time, outcome, events)| (time, code(outcome), events))
            .collect();
        all.sort_unstable();
        let mut before = 0;
        let times = all.iter().map(|(time, _, _)| {
            let difference = time - before;
            before = *time;
            difference
        });
        Times {
            width: self.timeline.width(),
            times: times.collect(),
            outcomes: all.iter().map(|(_, outcome, _)| *outcome).collect(),
            events: all.iter().map(|(_, _, events)| *events).collect(),
        }
    }
}

fn listed(value: &Value) -> ListedValue {
    let flags =
        u8::from(value.is_cut) + 2 * u8::from(value.is_late) + 4 * u8::from(!value.has_rows);
    let first = (value.first != i64::MAX).then_some(value.first);
    let last = (value.last != i64::MIN).then_some(value.last);
    (value.text.to_string(), value.events, first, last, flags)
}

/// The page's code for each code, where the page lists values in this order.
fn codes(order: &[usize]) -> Vec<u16> {
    let mut codes = vec![OTHERS; usize::from(FIRST) + order.len()];
    codes[usize::from(NONE)] = NONE;
    for (code, at) in (FIRST..).zip(order) {
        codes[usize::from(FIRST) + at] = code;
    }
    codes
}

fn assembled(data: &Data<'_>) -> Result<String> {
    // In JSON, < is in texts only.
    let data = serde_json::to_string(data)?.replace('<', "\\u003c");
    // What a debugger would fetch.
    let chart = CHART
        .split("\n//# sourceMappingURL")
        .next()
        .unwrap_or(CHART);
    let script = format!("{WORDS}\n{SCRIPT}");
    let hash = |text: &str| {
        format!(
            "'sha256-{}'",
            STANDARD.encode(digest(&SHA256, text.as_bytes()))
        )
    };
    let policy = format!(
        "default-src 'none'; script-src {} {}; style-src {}; base-uri 'none'; form-action 'none'",
        hash(chart),
        hash(&script),
        hash(STYLE)
    );
    let mut page = String::with_capacity(FRAME.len() + data.len() + chart.len() + script.len());
    let mut rest = FRAME;
    // Each part once, and nothing is looked for in what was put in.
    for (place, part) in [
        ("{policy}", policy.as_str()),
        ("{style}", STYLE),
        ("{data}", &data),
        ("{chart}", chart),
        ("{script}", &script),
    ] {
        let parts = rest.split_once(place);
        ensure!(parts.is_some(), "the frame of the page has no {place}");
        let (before, after) = parts.unwrap_or((rest, ""));
        page.push_str(before);
        page.push_str(part);
        rest = after;
    }
    page.push_str(rest);
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_long_values_makes_no_page_that_is_too_large() {
        let mut counts = Counts::default();
        for number in 0..10_000u32 {
            let noise: Vec<String> = (0..COUNT)
                .map(|at| {
                    format!(
                        "{}<{}",
                        (number.wrapping_mul(2_654_435_761) >> at),
                        "<".repeat(240)
                    )
                })
                .collect();
            let mut texts = [None; COUNT];
            for (text, noise) in texts.iter_mut().zip(&noise) {
                *text = Some(noise.as_str());
            }
            counts.count(Some(i64::from(number) * 100), &texts);
        }
        let rules = Rules::ours().unwrap();
        let losses = Losses::default();
        let page = counts.page(&About {
            source: "s3://x",
            version: "1",
            made: 0,
            partial: None,
            losses: &losses,
            rules: &rules,
        });
        let page = page.unwrap();
        assert!(page.len() <= MOST_BYTES, "{}", page.len());
        assert!(page.len() > MOST_BYTES / 4, "{}", page.len());
        assert!(!page.contains("<<<"));
    }
}
