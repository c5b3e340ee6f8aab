//! Intervals of time, of delivery or of events.

use std::str::FromStr;

use anyhow::{Context, Error, Result, anyhow, ensure};
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
    At(Timestamp),
    Ago(SignedDuration),
}

impl RelativeInterval {
    /// The interval, counted from `now`.
    ///
    /// # Errors
    /// Where an end is before all time, or before the start.
    pub fn from(self, now: Timestamp) -> Result<Interval> {
        let time = |end: End| match end {
            End::At(time) => Ok(time),
            End::Ago(span) => now
                .checked_sub(span)
                .with_context(|| format!("{span:#} goes back too far")),
        };
        let interval = Interval {
            start: self.start.map(time).transpose()?,
            end: self.end.map(time).transpose()?,
        };
        if let (Some(start), Some(end)) = (interval.start, interval.end) {
            ensure!(start <= end, "it ends before it starts");
        }
        Ok(interval)
    }
}

impl FromStr for RelativeInterval {
    type Err = Error;

    /// The forms of `s3Interval`: empty, `5d`, `5d-2d`, `2024-03-06T00:00:00Z`, two of those with a `-` between, or
    /// one of each. Units are w, d, h, m and s.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        parse(text).with_context(|| {
            format!(
                "{text:?} is not a valid interval: give how far back to go (5d, 36h, 2w), a time (2024-03-06T00:00:00Z), \
                 or two of these with a - between them (5d-2d)"
            )
        })
    }
}

fn parse(text: &str) -> Result<RelativeInterval> {
    if let Ok(start) = parse_end(text) {
        return Ok(RelativeInterval {
            start: Some(start),
            end: None,
        });
    }
    // Dates have dashes too. The dash between the two ends is the one that has a valid end on both sides.
    let mut failed = None;
    for (dash, _) in text.match_indices('-') {
        match (parse_end(&text[..dash]), parse_end(&text[dash + 1..])) {
            (Ok(start), Ok(end)) => {
                return Ok(RelativeInterval {
                    start: Some(start),
                    end: Some(end),
                });
            }
            (Err(error), _) | (_, Err(error)) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| anyhow!("it has no unit (w, d, h, m or s)")))
}

/// `5d` or an RFC 3339 time.
fn parse_end(text: &str) -> Result<End> {
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Ok(End::At(time));
    }
    let span: Span = text.parse().map_err(|_| {
        anyhow!("{text:?} is neither a time nor a number with a unit (w, d, h, m or s)")
    })?;
    let span = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| anyhow!("{text:?} has a unit whose length varies: give w, d, h, m or s"))?;
    ensure!(!span.is_negative(), "{text:?} is in the future");
    Ok(End::Ago(span))
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
        ] {
            assert_eq!(from(text, now).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn bad_intervals_are_named() {
        let now = time("2024-03-10T12:30:00Z");
        for text in [
            "yesterday",
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
        let error = from("2d-5d", now).unwrap_err().to_string();
        assert!(error.contains("ends before it starts"), "{error}");
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
