//! How CloudTrail lays out a bucket, and intervals of delivery time.
//!
//! `[prefix/]AWSLogs/[o-ORG/]ACCOUNT/KIND/REGION/YYYY/MM/DD/ACCOUNT_KIND_REGION_YYYYMMDDTHHMMZ_RANDOM.json.gz`, see
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html>. KIND is
//! `CloudTrail` (management and data events), `CloudTrail-Insight`, `CloudTrail-NetworkActivity` or
//! `CloudTrail-Aggregated`; `CloudTrail-Digest` (signatures) and `CloudTrail-Lake` (query results and exports) hold
//! no events.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The time in a log file's name, that of its delivery, to the minute.
pub(crate) fn delivery_time(key: &str) -> Option<Timestamp> {
    let name = file_name(key);
    name.split(['_', '.']).find_map(parse_minute)
}

/// `20230710T1205Z`
fn parse_minute(text: &str) -> Option<Timestamp> {
    let text = text.as_bytes();
    if text.len() != 14 || text[8] != b'T' || text[13] != b'Z' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        text[range].iter().try_fold(0i16, |n, digit| {
            digit
                .is_ascii_digit()
                .then(|| n * 10 + i16::from(digit - b'0'))
        })
    };
    let small = |range| number(range).map(|n| n as i8);
    let time = DateTime::new(
        number(0..4)?,
        small(4..6)?,
        small(6..8)?,
        small(9..11)?,
        small(11..13)?,
        0,
        0,
    );
    utc(time.ok()?)
}

fn utc(time: DateTime) -> Option<Timestamp> {
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The last part of a key or path.
fn file_name(key: &str) -> &str {
    key.rsplit(['/', '\\']).next().unwrap_or(key)
}

/// Is this the name of a folder of log files below an account? Of those that begin with `CloudTrail` all but the
/// two that are known to hold no events, so that new ones are read rather than missed.
pub(crate) fn is_kind(folder: &str) -> bool {
    folder.starts_with("CloudTrail")
        && !folder.starts_with("CloudTrail-Digest")
        && !folder.starts_with("CloudTrail-Lake")
}

/// The folder of digests, beside those of the kinds.
pub(crate) const DIGESTS: &str = "CloudTrail-Digest";

/// Where a log file or digest lies within its account.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The account's folder of digests of its region, with a separator behind: `…/CloudTrail-Digest/REGION/`.
    pub digests: String,
    /// `KIND/REGION/YYYY/MM/DD/NAME`, without a `.gz`, which a copy may lack.
    pub path: String,
}

impl Place {
    /// None of keys and paths that do not end as CloudTrail's do.
    pub fn of(key: &str) -> Option<Self> {
        let cuts: Vec<usize> = key
            .rmatch_indices(['/', '\\'])
            .map(|(at, _)| at)
            .take(6)
            .collect();
        let [_, day, month, year, region, ..] = *cuts else {
            return None;
        };
        let number = |start: usize, length: usize| {
            let digits = key.get(start + 1..start + 1 + length);
            let behind = key.as_bytes().get(start + 1 + length);
            digits.is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                && behind.is_some_and(|byte| matches!(byte, b'/' | b'\\'))
        };
        let account = cuts.get(5).map_or(0, |cut| cut + 1);
        let kind = &key[account..region];
        let separator = &key[region..=region];
        let dated = number(year, 4) && number(month, 2) && number(day, 2);
        (dated && (is_kind(kind) || kind == DIGESTS)).then(|| {
            let path = key[account..].replace('\\', "/");
            Self {
                digests: [&key[..account], DIGESTS, &key[region..year], separator].concat(),
                path: path.strip_suffix(".gz").unwrap_or(&path).to_owned(),
            }
        })
    }

    /// The kind and region of its path.
    pub fn kind_and_region(path: &str) -> &str {
        let end = path.match_indices('/').nth(1);
        &path[..end.map_or(path.len(), |(at, _)| at)]
    }
}

/// The days that lie below a prefix or path, where it goes down to a year, month or day of a region.
pub(crate) fn days_of(prefix: &str) -> Interval {
    let parts: Vec<&str> = prefix.split(['/', '\\']).collect();
    let Some(kind) = parts
        .iter()
        .rposition(|part| is_kind(part) && !part.contains('.'))
    else {
        return Interval::default();
    };
    let number = |at: usize, length: usize| {
        let part = parts.get(kind + 2 + at)?;
        (part.len() == length).then(|| part.parse::<i16>().ok())?
    };
    let Some(year) = number(0, 4) else {
        return Interval::default();
    };
    let month = number(1, 2);
    let day = month.and_then(|_| number(2, 2));
    let start = jiff::civil::Date::new(year, month.unwrap_or(1) as i8, day.unwrap_or(1) as i8);
    let Ok(start) = start else {
        return Interval::default();
    };
    let end = match (month, day) {
        (_, Some(_)) => start.tomorrow(),
        (Some(_), None) => start.last_of_month().tomorrow(),
        (None, None) => start.last_of_year().tomorrow(),
    };
    let time = |date: jiff::civil::Date| utc(date.at(0, 0, 0, 0));
    let end = end.ok().and_then(time);
    Interval {
        start: time(start),
        end: end.and_then(|end| end.checked_sub(SignedDuration::from_secs(1)).ok()),
    }
}

/// The time in a digest's name, that of its end, to the second.
pub(crate) fn digest_end(key: &str) -> Option<Timestamp> {
    let name = file_name(key);
    let time = name.split(['_', '.']).rev().find(|part| {
        part.len() == 16 && part.as_bytes()[8] == b'T' && part.as_bytes()[15] == b'Z'
    })?;
    let minute = parse_minute(&format!("{}Z", time.get(..13)?))?;
    let seconds: i64 = time.get(13..15)?.parse().ok()?;
    minute.checked_add(SignedDuration::from_secs(seconds)).ok()
}

/// Is this the name of a digest?
pub(crate) fn is_digest(key: &str) -> bool {
    let name = file_name(key);
    name.contains("_CloudTrail-Digest_")
        && (name.ends_with(".json.gz") || name.ends_with(".json"))
        && digest_end(name).is_some()
}

/// Twelve digits.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Words and a number, such as `us-gov-west-1`.
pub(crate) fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is =
        |part: &&str, of: fn(&u8) -> bool| !part.is_empty() && part.bytes().all(|byte| of(&byte));
    matches!(&parts[..], [words @ .., number]
        if words.len() >= 2
            && words.iter().all(|word| is(word, u8::is_ascii_lowercase))
            && is(number, u8::is_ascii_digit))
}

/// An organization's ID: `o-` and 10 to 32 lower-case letters or digits.
pub(crate) fn is_organization(text: &str) -> bool {
    text.strip_prefix("o-").is_some_and(|rest| {
        (10..=32).contains(&rest.len())
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

/// What a key or path tells of its content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Naming {
    /// A log file, or something else that events are exported to.
    LogFile,
    /// Something else: digests, the files of other services, and what macOS puts beside files.
    Other,
    /// Nothing.
    Unknown,
}

/// Names of log files, exports and archives end so.
const ENDINGS: [&str; 10] = [
    ".json",
    ".json.gz",
    ".jsonl",
    ".jsonl.gz",
    ".ndjson",
    ".ndjson.gz",
    ".zip",
    ".tar",
    ".tar.gz",
    ".tgz",
];

/// Can this key or path be a CloudTrail log file, going by its name alone?
pub(crate) fn is_log_file(key: &str) -> bool {
    naming(key) == Naming::LogFile
}

/// See [`Naming`].
pub(crate) fn naming(key: &str) -> Naming {
    let name = file_name(key);
    // ACCOUNT_SERVICE_REGION_…: AWS Config and others name their files alike.
    let mut parts = name.split('_');
    if parts.next().is_some_and(is_account)
        && parts.next().is_some_and(|service| !is_kind(service))
        && parts.next().is_some_and(is_region)
        && parts.next().is_some()
    {
        return Naming::Other;
    }
    let mut folders: Vec<&str> = key.split(['/', '\\']).collect();
    folders.pop();
    if name.starts_with("._")
        || folders.iter().any(|folder| {
            folder.starts_with("CloudTrail-") && !is_kind(folder) || *folder == "__MACOSX"
        })
        || service(&folders).is_some_and(|service| !is_kind(service))
    {
        return Naming::Other;
    }
    let lower = name.to_ascii_lowercase();
    let is_export = || {
        let stem = lower.strip_suffix(".gz").unwrap_or(&lower);
        is_of_firehose(stem) || lower.ends_with(".gz") && is_of_cloudwatch(stem)
    };
    match ENDINGS.iter().any(|ending| lower.ends_with(ending)) || is_export() {
        true => Naming::LogFile,
        false => Naming::Unknown,
    }
}

/// Is this named as an archive of log files? Those have accounts and times, and it has none.
pub(crate) fn is_archive(key: &str) -> bool {
    let name = file_name(key).to_ascii_lowercase();
    [".zip", ".tar", ".tar.gz", ".tgz"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// `000000`, as CloudWatch Logs numbers the files of an export, see
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/S3Export.html>.
fn is_of_cloudwatch(stem: &str) -> bool {
    stem.len() == 6 && stem.bytes().all(|byte| byte.is_ascii_digit())
}

/// `STREAM-VERSION-2024-03-05-12-05-11-UUID`, see
/// <https://docs.aws.amazon.com/firehose/latest/dev/s3-object-name.html>.
fn is_of_firehose(stem: &str) -> bool {
    const FORM: &[u8] = b"-0000-00-00-00-00-00-ffffffff-ffff-ffff-ffff-ffffffffffff";
    let Some(start) = stem.len().checked_sub(FORM.len()) else {
        return false;
    };
    FORM.iter()
        .zip(&stem.as_bytes()[start..])
        .all(|(form, byte)| match form {
            b'0' => byte.is_ascii_digit(),
            b'f' => byte.is_ascii_hexdigit(),
            form => form == byte,
        })
}

/// The folder after `AWSLogs/[o-ORG/]ACCOUNT/`.
fn service<'a>(folders: &[&'a str]) -> Option<&'a str> {
    let logs = folders.iter().rposition(|folder| *folder == "AWSLogs")?;
    let mut rest = folders[logs + 1..]
        .iter()
        .copied()
        .skip_while(|folder| is_organization(folder));
    rest.next().filter(|folder| is_account(folder))?;
    rest.next()
}

/// The account that a log file belongs to: the folder before its kind, else the beginning of its name.
pub(crate) fn account(key: &str) -> Option<&str> {
    let folders: Vec<&str> = key.split(['/', '\\']).collect();
    folders
        .windows(2)
        .find(|pair| is_account(pair[0]) && is_kind(pair[1]) && !pair[1].contains('.'))
        .map(|pair| pair[0])
        .or_else(|| {
            file_name(key)
                .split('_')
                .next()
                .filter(|first| is_account(first))
        })
}

/// Which accounts to read: all, or those of `s3AccountList`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts(BTreeSet<String>);

impl Accounts {
    /// Comma-separated account IDs of twelve digits each; spaces do not matter.
    pub fn parse(list: &str) -> Result<Self> {
        let mut accounts = BTreeSet::new();
        for account in list
            .split(',')
            .map(str::trim)
            .filter(|account| !account.is_empty())
        {
            ensure!(
                is_account(account),
                "{account:?} is no AWS account ID: give account IDs of 12 digits, separated by commas, such as 123456789012,210987654321"
            );
            accounts.insert(account.to_owned());
        }
        ensure!(
            !accounts.is_empty() || list.trim().is_empty(),
            "{list:?} names no account"
        );
        Ok(Self(accounts))
    }

    /// Is there no list?
    pub fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Does the list take this account? A list takes no file whose account is unknown.
    pub fn contain(&self, account: Option<&str>) -> bool {
        self.are_all() || account.is_some_and(|account| self.0.contains(account))
    }
}

/// A span of delivery time, to the minute, both ends included; either end may be open.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Interval {
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
}

impl Interval {
    /// The forms of `s3Interval`: empty, `5d`, `5d-2d`, `2024-03-06T00:00:00Z`, two of those with a `-` between, or
    /// one of each. Units are w, d, h, m and s, back from `now`.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let interval = parse_interval(text, now).with_context(|| {
            format!(
                "{text:?} is no interval: give how far back to go (5d, 36h, 2w), a time (2024-03-06T00:00:00Z), \
                 or two of these with a - between them (5d-2d)"
            )
        })?;
        if let (Some(start), Some(end)) = (interval.start, interval.end) {
            ensure!(
                start <= end,
                "{text:?} is no interval: it ends before it starts"
            );
        }
        Ok(interval)
    }

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

    /// What lies in both.
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

/// How long after an event its log file may be delivered and still be looked into for it. CloudTrail takes about five
/// minutes, Insights events half an hour, see
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html>.
pub(crate) const LATENESS: SignedDuration = SignedDuration::from_hours(1);

fn parse_interval(text: &str, now: Timestamp) -> Result<Interval> {
    if let Ok(start) = parse_end(text, now) {
        return Ok(Interval {
            start: Some(start),
            end: None,
        });
    }
    // The dash between two ends is one of several where they are dates: take the one that leaves two ends.
    let mut failed = None;
    for (dash, _) in text.match_indices('-') {
        match (
            parse_end(&text[..dash], now),
            parse_end(&text[dash + 1..], now),
        ) {
            (Ok(start), Ok(end)) => {
                return Ok(Interval {
                    start: Some(start),
                    end: Some(end),
                });
            }
            (Err(error), _) | (_, Err(error)) => failed = Some(error),
        }
    }
    match failed {
        Some(error) => Err(error),
        None => bail!("it has no unit (w, d, h, m or s)"),
    }
}

/// `5d` or an RFC 3339 time.
fn parse_end(text: &str, now: Timestamp) -> Result<Timestamp> {
    let text = text.trim();
    if let Some((number, unit)) = text.split_at_checked(text.len().saturating_sub(1))
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        let unit = match unit {
            "w" => 7 * 24 * 60 * 60,
            "d" => 24 * 60 * 60,
            "h" => 60 * 60,
            "m" => 60,
            "s" => 1,
            _ => bail!("{text:?} has no unit (w, d, h, m or s)"),
        };
        let seconds = number
            .parse::<i64>()
            .ok()
            .and_then(|number| number.checked_mul(unit));
        return seconds
            .and_then(|seconds| now.checked_sub(SignedDuration::from_secs(seconds)).ok())
            .with_context(|| format!("{text:?} goes back too far"));
    }
    text.parse::<Timestamp>()
        .map_err(|_| anyhow::anyhow!("{text:?} is no time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "p/AWSLogs/o-abcdefghij/111122223333/CloudTrail/us-east-1/2023/07/10/111122223333_CloudTrail_us-east-1_20230710T1205Z_Vp7r3boWJKtPb3wM.json.gz";

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn keys_tell_time_and_account() {
        assert_eq!(delivery_time(KEY), Some(time("2023-07-10T12:05:00Z")));
        assert_eq!(account(KEY), Some("111122223333"));
        assert_eq!(
            account("444455556666_CloudTrail_us-east-1_20230710T1205Z_x.json"),
            Some("444455556666")
        );
        assert_eq!(account("some/events.json"), None);
        // The folder counts, as one may deliver for another account.
        assert_eq!(
            account("AWSLogs/111122223333/CloudTrail/eu-west-1/444455556666_CloudTrail_x.json"),
            Some("111122223333")
        );
        assert_eq!(delivery_time("events.json"), None);
        assert_eq!(delivery_time("1_CloudTrail_r_20231310T1205Z_x.json"), None);
    }

    #[test]
    fn keys_tell_where_their_digests_are() {
        let place = Place::of(KEY).unwrap();
        assert_eq!(
            place.digests,
            "p/AWSLogs/o-abcdefghij/111122223333/CloudTrail-Digest/us-east-1/"
        );
        assert_eq!(
            place.path,
            "CloudTrail/us-east-1/2023/07/10/111122223333_CloudTrail_us-east-1_20230710T1205Z_Vp7r3boWJKtPb3wM.json"
        );
        assert_eq!(Place::kind_and_region(&place.path), "CloudTrail/us-east-1");
        // A copy of a part of it, on Windows.
        let place = Place::of(r"CloudTrail-Insight\eu-west-1\2023\07\10\x.json").unwrap();
        assert_eq!(place.digests, r"CloudTrail-Digest\eu-west-1\");
        assert_eq!(place.path, "CloudTrail-Insight/eu-west-1/2023/07/10/x.json");
        let digest = "AWSLogs/1/CloudTrail-Digest/r/2015/08/17/1_CloudTrail-Digest_r_a_b_r_20150817T150131Z.json.gz";
        assert_eq!(
            Place::of(digest).unwrap().digests,
            "AWSLogs/1/CloudTrail-Digest/r/"
        );
        for key in [
            "x.json",
            "CloudTrail/us-east-1/x.json",
            "a/CloudTrail/us-east-1/2023/07/1/x.json",
            "a/Config/us-east-1/2023/07/10/x.json",
            "é/é/é/é/é/é/é",
            "CloudTrail/r/2023/07/10é/x",
        ] {
            assert_eq!(Place::of(key), None, "{key}");
        }
    }

    #[test]
    fn digests_tell_their_end() {
        let end = |rest: &str| digest_end(&format!("1_CloudTrail-Digest_r_my_T_trail_r_{rest}"));
        let expected = Some(time("2015-08-17T15:01:31Z"));
        assert_eq!(end("20150817T150131Z.json.gz"), expected);
        assert_eq!(end("20150817T150131Z_backfill.json.gz"), expected);
        assert_eq!(end("20150817T1501Z.json.gz"), None);
        assert_eq!(end("20151317T150131Z.json.gz"), None);
        assert_eq!(end("aaaaaaaaTé0131Z.json.gz"), None);
    }

    #[test]
    fn prefixes_tell_their_days() {
        let days = |rest: &str| days_of(&format!("p/AWSLogs/111122223333/CloudTrail/r{rest}"));
        let interval = |start: &str, end: &str| Interval {
            start: Some(time(start)),
            end: Some(time(end)),
        };
        for (rest, expected) in [
            ("", Interval::default()),
            ("/", Interval::default()),
            ("/202", Interval::default()),
            (
                "/2024/",
                interval("2024-01-01T00:00:00Z", "2024-12-31T23:59:59Z"),
            ),
            (
                "/2024/0",
                interval("2024-01-01T00:00:00Z", "2024-12-31T23:59:59Z"),
            ),
            (
                "/2024/02/",
                interval("2024-02-01T00:00:00Z", "2024-02-29T23:59:59Z"),
            ),
            (
                "/2024/12/31/1111",
                interval("2024-12-31T00:00:00Z", "2024-12-31T23:59:59Z"),
            ),
            ("/2024/13/", Interval::default()),
        ] {
            assert_eq!(days(rest), expected, "{rest}");
        }
    }

    #[test]
    fn only_log_files_are_taken() {
        for (key, expected) in [
            (KEY, true),
            ("events.json", true),
            ("a b/EVENTS.JSON.GZ", true),
            (
                "AWSLogs/111122223333/CloudTrail-Insight/us-east-1/2023/07/10/x.json.gz",
                true,
            ),
            (
                "AWSLogs/111122223333/CloudTrail-NetworkActivity/us-east-1/x.json.gz",
                true,
            ),
            (
                "AWSLogs/111122223333/CloudTrail-Aggregated/us-east-1/x.json.gz",
                true,
            ),
            (
                "AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2023/07/10/x.json.gz",
                false,
            ),
            ("CloudTrail-Digest/us-east-1/x.json.gz", false),
            (
                "AWSLogs/111122223333/CloudTrail-Lake/Query/2023/x_sign.json",
                false,
            ),
            (
                "AWSLogs/111122223333/Config/us-east-1/2023/7/10/ConfigHistory/x.json.gz",
                false,
            ),
            (
                "AWSLogs/o-abcdefghij/111122223333/Config/us-east-1/x.json.gz",
                false,
            ),
            (
                "111122223333_Config_us-east-1_ConfigHistory_20230710T120500Z.json.gz",
                false,
            ),
            (
                "111122223333_CloudTrail-Digest_us-east-1_trail_us-east-1_20230710T120500Z.json.gz",
                false,
            ),
            ("111122223333_events.json", true),
            (
                "AWSLogs/111122223333/elasticloadbalancing/us-east-1/x.log.gz",
                false,
            ),
            ("AWSLogs/111122223333/vpcflowlogs/us-east-1/x.log.gz", false),
            ("AWSLogs/notes.json", true),
            ("exports/lookup.jsonl", true),
            ("copies/trail.ZIP", true),
            ("copies/trail.tar.gz", true),
            ("AWSLogs/111122223333/Config/us-east-1/x.zip", false),
            (
                "exportedlogs/b3f0/111122223333_CloudTrail_us-east-1/000000.gz",
                true,
            ),
            (
                "exportedlogs/b3f0/111122223333_CloudTrail_us-east-1/000000",
                false,
            ),
            ("exportedlogs/aws-logs-write-test", false),
            (
                "2024/03/05/12/events-1-2024-03-05-12-05-11-0f9a3b52-5f2e-4c1d-9d0a-1c2b3d4e5f60",
                true,
            ),
            (
                "events-1-2024-03-05-12-05-11-0f9a3b52-5f2e-4c1d-9d0a-1c2b3d4e5f60.gz",
                true,
            ),
            ("E2-2024-03-05-12-05-11-0F9A3B525F2E4C1D", false),
            ("trail/._events.json", false),
            ("__MACOSX/trail/events.json", false),
            ("notes.txt", false),
            (
                "123456789012_Config_us-east-1_ConfigHistory_AWS::EC2::VPC_20240305T120511Z_1.json.gz",
                false,
            ),
            (
                "123456789012_CloudTrail-Digest_us-gov-west-1_trail_20240305T120511Z.json.gz",
                false,
            ),
            ("123456789012_us-east-1_20240305.json", true),
            ("123456789012_events_of_march.jsonl", true),
            ("123456789012_cloudtrail_2024.json.gz", true),
        ] {
            assert_eq!(is_log_file(key), expected, "{key}");
        }
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
            assert_eq!(Interval::parse(text, now).unwrap(), expected, "{text}");
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
            let error = format!("{:#}", Interval::parse(text, now).unwrap_err());
            assert!(
                error.contains(&format!("{text:?} is no interval")),
                "{error}"
            );
        }
        let error = Interval::parse("2d-5d", now).unwrap_err().to_string();
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

    #[test]
    fn account_lists() {
        let accounts = Accounts::parse(" 111122223333 ,444455556666,").unwrap();
        assert!(accounts.contain(Some("444455556666")));
        assert!(!accounts.contain(Some("777788889999")));
        assert!(!accounts.contain(None));
        assert!(Accounts::parse("").unwrap().contain(None));
        for bad in ["1111", "111122223333;444455556666", "11112222333x", ","] {
            assert!(Accounts::parse(bad).is_err(), "{bad}");
        }
    }
}
