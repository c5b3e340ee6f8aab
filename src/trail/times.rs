//! Times in names of files.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::names::file_name;

/// The time in a log file's name, which is the time of its delivery, to the minute.
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

pub(super) fn utc(time: DateTime) -> Option<Timestamp> {
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// `20150817T150131Z`
pub(super) fn parse_second(text: &str) -> Option<Timestamp> {
    let (minute, rest) = text.split_at_checked(13)?;
    let seconds = rest.strip_suffix('Z')?;
    let is_number = seconds.len() == 2 && seconds.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = is_number.then(|| seconds.parse().ok())??;
    let minute = parse_minute(&format!("{minute}Z"))?;
    minute.checked_add(SignedDuration::from_secs(seconds)).ok()
}

/// Does a name have a time in one of its parts, to the minute or to the second, as AWS's services write it?
pub(super) fn has_time(name: &str) -> bool {
    name.split(['_', '.'])
        .any(|part| parse_minute(part).or_else(|| parse_second(part)).is_some())
}
