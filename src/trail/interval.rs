//! Intervals of time, of delivery or of events.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, anyhow, ensure};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// A span of delivery time, to the minute, both ends included; either end may be open.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Interval {
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
}

impl Interval {
    /// The interval of delivery in which all events of this one arrive.
    pub fn with_lateness(self) -> Self {
        let end = self
            .end
            .map(|end| end.checked_add(LATENESS).unwrap_or(Timestamp::MAX));
        Self { end, ..self }
    }

    /// Did an event at this time, in ns since the epoch, happen within the interval, to the nanosecond, both ends
    /// included?
    pub fn contains_event(&self, time: u64) -> bool {
        let time = i128::from(time);
        self.start.is_none_or(|start| time >= start.as_nanosecond())
            && self.end.is_none_or(|end| time <= end.as_nanosecond())
    }

    /// The time that lies in both intervals.
    pub fn and(self, other: Self) -> Self {
        let ends = [self.end, other.end].into_iter().flatten();
        Self {
            start: self.start.max(other.start),
            end: ends.min(),
        }
    }

    /// Does a log file delivered then belong to the interval?
    pub fn contains(&self, time: Timestamp) -> bool {
        let minute = |time: Timestamp| time.as_second().div_euclid(60);
        self.start.is_none_or(|start| minute(time) >= minute(start))
            && self.end.is_none_or(|end| minute(time) <= minute(end))
    }
}

/// As in `from 2024-03-05T00:00:00Z to 2024-03-05T23:59:59Z`.
impl fmt::Display for Interval {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = |time: Timestamp| Timestamp::from_second(time.as_second()).unwrap_or(time);
        match (self.start.map(second), self.end.map(second)) {
            (None, None) => formatter.write_str("of all time"),
            (Some(start), None) => write!(formatter, "from {start} on"),
            (None, Some(end)) => write!(formatter, "up to {end}"),
            (Some(start), Some(end)) => write!(formatter, "from {start} to {end}"),
        }
    }
}

/// How long after an event its log file may be delivered and still be searched for the event. CloudTrail takes about five
/// minutes, Insights events half an hour, see
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html>.
pub(crate) const LATENESS: SignedDuration = SignedDuration::from_hours(1);

/// An interval whose ends may be so long before the moment that it counts from.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct RelativeInterval {
    start: Option<End>,
    end: Option<End>,
}

/// An end of an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// A day, an hour, a minute or a moment: its first and last moments.
    Time(Timestamp, Timestamp),
    /// A day of UTC, so many before today.
    Day(i64),
    Ago(SignedDuration),
}

impl End {
    /// The first and the last moment that it stands for, counted from `now`.
    fn moments(self, now: Timestamp) -> Result<(Timestamp, Timestamp)> {
        match self {
            Self::Time(first, last) => Ok((first, last)),
            Self::Ago(span) => {
                let time = now.checked_sub(span);
                let time = time.with_context(|| format!("{span:#} goes back too far"))?;
                Ok((time, time))
            }
            Self::Day(days) => {
                let today = now.to_zoned(TimeZone::UTC).date();
                let day = today.checked_sub(SignedDuration::from_hours(24 * days))?;
                let first = day.to_zoned(TimeZone::UTC)?.timestamp();
                Ok((first, last(first, DAY)))
            }
        }
    }
}

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The last moment of a time that begins then and is so long.
fn last(first: Timestamp, length: SignedDuration) -> Timestamp {
    let length = length.saturating_sub(SignedDuration::from_nanos(1));
    first.checked_add(length).unwrap_or(Timestamp::MAX)
}

impl RelativeInterval {
    /// The interval, counted from `now`.
    ///
    /// # Errors
    /// Where an end is before all time, or before the start.
    pub fn from(self, now: Timestamp) -> Result<Interval> {
        let moments = |end: Option<End>| end.map(|end| end.moments(now)).transpose();
        let interval = Interval {
            start: moments(self.start)?.map(|(first, _)| first),
            end: moments(self.end)?.map(|(_, last)| last),
        };
        if let (Some(start), Some(end)) = (interval.start, interval.end) {
            ensure!(start <= end, "it ends before it starts");
        }
        Ok(interval)
    }
}

impl FromStr for RelativeInterval {
    type Err = Error;

    /// The forms of `s3Interval`: empty, `5d`, `2024-03-06`, `2024-03-06T00:00:00Z`, `yesterday`, or two of those with a
    /// `-` between. Units are w, d, h, m and s. Days are those of UTC, and times without an offset are in it.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        parse(text).with_context(|| {
            format!(
                "{text:?} is not a valid interval: give how far back to go (5d, 36h), a day or time (2024-03-06, yesterday, \
                 2024-03-06T09:00+09:00), or two of these with a - between them (5d-2d)"
            )
        })
    }
}

fn parse(text: &str) -> Result<RelativeInterval> {
    let mut failed = match parse_end(text) {
        Ok(start) => {
            return Ok(RelativeInterval {
                start: Some(start),
                end: None,
            });
        }
        Err(error) => error,
    };
    // Dates have dashes too. The dash between the two ends is the one that has a valid end on both sides.
    for (dash, _) in text.match_indices('-') {
        match (parse_end(&text[..dash]), parse_end(&text[dash + 1..])) {
            (Ok(start), Ok(end)) => {
                return Ok(RelativeInterval {
                    start: Some(start),
                    end: Some(end),
                });
            }
            (Err(error), _) | (_, Err(error)) => failed = error,
        }
    }
    Err(failed)
}

/// `5d`, a day or a time.
fn parse_end(text: &str) -> Result<End> {
    let text = text.trim();
    if let Some((first, last)) = parse_time(text) {
        return Ok(End::Time(first, last));
    }
    let days = ["today", "yesterday"];
    if let Some(before) = days.iter().position(|day| day.eq_ignore_ascii_case(text)) {
        return Ok(End::Day(before as i64));
    }
    let span: Span = text.parse().map_err(|_| {
        anyhow!("{text:?} is neither a day or time nor a number with a unit (w, d, h, m or s)")
    })?;
    let span = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| anyhow!("{text:?} has a unit whose length varies: give w, d, h, m or s"))?;
    ensure!(!span.is_negative(), "{text:?} is in the future");
    Ok(End::Ago(span))
}

/// The first and last moments of a day, or of a time of day as exact as it is written; in UTC where it has no offset.
fn parse_time(text: &str) -> Option<(Timestamp, Timestamp)> {
    // Times of a named zone, which would be taken for UTC's.
    if text.contains('[') {
        return None;
    }
    let utc = |time: DateTime| Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp());
    let first = text.parse().ok().or_else(|| utc(text.parse().ok()?))?;
    let clock = text.split_once(['T', 't', ' ']).unwrap_or_default().1;
    let clock = clock.split(['+', '-', 'Z', 'z']).next().unwrap_or_default();
    let length = match clock.bytes().filter(u8::is_ascii_digit).count() {
        0 => DAY,
        2 => HOUR,
        4 => MINUTE,
        _ => return Some((first, first)),
    };
    Some((first, last(first, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn from(text: &str, now: Timestamp) -> Result<Interval> {
        text.parse::<RelativeInterval>()?.from(now)
    }

    #[test]
    fn intervals_in_all_forms() {
        let now = time("2024-03-10T12:30:30Z");
        let interval = |start: &str, end: &str| Interval {
            start: (!start.is_empty()).then(|| time(start)),
            end: (!end.is_empty()).then(|| time(end)),
        };
        for (text, expected) in [
            ("", interval("", "")),
            (" 5d ", interval("2024-03-05T12:30:30Z", "")),
            ("1w", interval("2024-03-03T12:30:30Z", "")),
            ("36h", interval("2024-03-09T00:30:30Z", "")),
            ("90m", interval("2024-03-10T11:00:30Z", "")),
            ("30s", interval("2024-03-10T12:30:00Z", "")),
            (
                "5d-2d",
                interval("2024-03-05T12:30:30Z", "2024-03-08T12:30:30Z"),
            ),
            (
                "5d - 2d",
                interval("2024-03-05T12:30:30Z", "2024-03-08T12:30:30Z"),
            ),
            ("2024-03-06T00:00:00Z", interval("2024-03-06T00:00:00Z", "")),
            (
                "2024-03-06T00:00:00Z-2024-03-07T00:00:00Z",
                interval("2024-03-06T00:00:00Z", "2024-03-07T00:00:00Z"),
            ),
            (
                "2024-03-06T00:00:00Z - 2d",
                interval("2024-03-06T00:00:00Z", "2024-03-08T12:30:30Z"),
            ),
            (
                "5d-2024-03-06T00:00:00Z",
                interval("2024-03-05T12:30:30Z", "2024-03-06T00:00:00Z"),
            ),
            (
                "2024-03-06T01:00:00+01:00",
                interval("2024-03-06T00:00:00Z", ""),
            ),
            (
                "2024-03-06T01:00:00-01:00",
                interval("2024-03-06T02:00:00Z", ""),
            ),
            ("2024-03-06", interval("2024-03-06T00:00:00Z", "")),
            (
                "2024-03-05-2024-03-06",
                interval("2024-03-05T00:00:00Z", "2024-03-06T23:59:59.999999999Z"),
            ),
            (
                "2024-03-05 - 2024-03-05",
                interval("2024-03-05T00:00:00Z", "2024-03-05T23:59:59.999999999Z"),
            ),
            (
                "2024-03-05-2d",
                interval("2024-03-05T00:00:00Z", "2024-03-08T12:30:30Z"),
            ),
            (
                "5d-2024-03-06",
                interval("2024-03-05T12:30:30Z", "2024-03-06T23:59:59.999999999Z"),
            ),
            (
                "2024-03-05T09:00+09:00",
                interval("2024-03-05T00:00:00Z", ""),
            ),
            (
                "2024-03-05T09:00+09:00-2024-03-05T10:30+09:00",
                interval("2024-03-05T00:00:00Z", "2024-03-05T01:30:59.999999999Z"),
            ),
            (
                "2024-03-05T09:00-05:00-2024-03-05T10:00-05:00",
                interval("2024-03-05T14:00:00Z", "2024-03-05T15:00:59.999999999Z"),
            ),
            (
                "2024-03-05 09:00-2024-03-05T10",
                interval("2024-03-05T09:00:00Z", "2024-03-05T10:59:59.999999999Z"),
            ),
            (
                "2024-03-05T09:00:30-2024-03-05T10:00:30.5",
                interval("2024-03-05T09:00:30Z", "2024-03-05T10:00:30.5Z"),
            ),
            ("2024-03-05T09:00Z", interval("2024-03-05T09:00:00Z", "")),
            (
                "20240305-20240305T0900",
                interval("2024-03-05T00:00:00Z", "2024-03-05T09:00:59.999999999Z"),
            ),
            ("today", interval("2024-03-10T00:00:00Z", "")),
            ("Yesterday", interval("2024-03-09T00:00:00Z", "")),
            (
                "yesterday-yesterday",
                interval("2024-03-09T00:00:00Z", "2024-03-09T23:59:59.999999999Z"),
            ),
            (
                "yesterday - today",
                interval("2024-03-09T00:00:00Z", "2024-03-10T23:59:59.999999999Z"),
            ),
            (
                "2024-03-05-yesterday",
                interval("2024-03-05T00:00:00Z", "2024-03-09T23:59:59.999999999Z"),
            ),
            (
                "yesterday-6h",
                interval("2024-03-09T00:00:00Z", "2024-03-10T06:30:30Z"),
            ),
            (
                "9999-12-30-9999-12-30",
                interval("9999-12-30T00:00:00Z", "9999-12-30T22:00:00.999999999Z"),
            ),
        ] {
            assert_eq!(from(text, now).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn bad_intervals_are_named() {
        let now = time("2024-03-10T12:30:00Z");
        for text in [
            "tomorrow",
            "yesterday-",
            "2024-03-05T09:00[Asia/Tokyo]",
            "2024-03",
            "2024-02-30",
            "2024-03-05T09:00-27:00",
            "5",
            "5y",
            "-5d",
            "5d-",
            "5d-2d-1d",
            "2024-13-06T00:00:00Z",
            "99999999999999999999d",
            "é",
        ] {
            let error = format!("{:#}", from(text, now).unwrap_err());
            assert!(
                error.contains(&format!("{text:?} is not a valid interval")),
                "{error}"
            );
        }
        for text in ["2d-5d", "today-yesterday", "2024-03-06-2024-03-05"] {
            let error = from(text, now).unwrap_err().to_string();
            assert!(error.contains("ends before it starts"), "{text}: {error}");
        }
    }

    #[test]
    fn an_interval_in_words() {
        let now = time("2024-03-10T12:30:30.5Z");
        for (text, expected) in [
            ("", "of all time"),
            ("5d", "from 2024-03-05T12:30:30Z on"),
            (
                "yesterday-yesterday",
                "from 2024-03-09T00:00:00Z to 2024-03-09T23:59:59Z",
            ),
        ] {
            assert_eq!(from(text, now).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn both_ends_belong_to_the_minute() {
        let interval = Interval {
            start: Some(time("2024-03-06T00:10:40Z")),
            end: Some(time("2024-03-06T00:20:10Z")),
        };
        for (at, expected) in [
            ("00:09:59", false),
            ("00:10:00", true),
            ("00:20:00", true),
            ("00:20:59", true),
            ("00:21:00", false),
        ] {
            assert_eq!(
                interval.contains(time(&format!("2024-03-06T{at}Z"))),
                expected,
                "{at}"
            );
        }
    }
}
