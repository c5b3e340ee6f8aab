//! What a key or path in CloudTrail's layout tells: account, region and times.

use jiff::{SignedDuration, Timestamp};

use super::interval::Interval;
use super::names::{DIGESTS, file_name, folders_and_name, is_account, is_kind, is_region};
use super::naming::layout;
use super::times::{parse_second, utc};

/// Where a log file or digest lies within its account.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The account's folder of digests of its region, with a separator behind: `…/CloudTrail-Digest/REGION/`.
    pub digests: String,
    /// `KIND/REGION/YYYY/MM/DD/NAME`, without a `.gz`, which a copy may lack.
    pub path: String,
}

impl Place {
    /// Returns `None` for keys and paths that do not end as CloudTrail's do.
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

/// The account whose folder of digests this is, see [`Place::digests`]. None of a copy that begins below it.
pub(crate) fn folder_account(digests: &str) -> Option<&str> {
    let account = digests[..digests.rfind(DIGESTS)?].strip_suffix(['/', '\\'])?;
    let account = file_name(account);
    is_account(account).then_some(account)
}

/// The time in a digest's name, which is the end of the time that it covers, to the second. A trail's name, which may look
/// like a time, stands before it.
pub(crate) fn digest_end(key: &str) -> Option<Timestamp> {
    let mut parts = file_name(key).split(['_', '.']).rev();
    parts.find_map(parse_second)
}

/// Is this the name of a digest?
pub(crate) fn is_digest(key: &str) -> bool {
    let name = file_name(key);
    name.split('_').nth(1) == Some(DIGESTS)
        && (name.ends_with(".json.gz") || name.ends_with(".json"))
        && digest_end(name).is_some()
}

/// The account that a log file belongs to: by the layout, else by the beginning of its name, else by a folder above one
/// that is named like those of the layout.
pub(crate) fn account(key: &str) -> Option<&str> {
    let (folders, name) = folders_and_name(key);
    let in_layout = layout(&folders).and_then(|service| folders.get(service.checked_sub(1)?));
    let in_name = name.split('_').next();
    let above_kind = folders.windows(2).rev().filter(|pair| is_kind(pair[1]));
    in_layout
        .copied()
        .into_iter()
        .chain(in_name)
        .chain(above_kind.map(|pair| pair[0]))
        .find(|text| is_account(text))
}

/// The region that a log file is of: by the folder below that of its kind, else by its name.
pub(crate) fn region(key: &str) -> Option<&str> {
    let (folders, name) = folders_and_name(key);
    let below_kind = folders.windows(2).rev().filter(|pair| is_kind(pair[0]));
    let in_name = name.split('_').nth(2);
    below_kind
        .map(|pair| pair[1])
        .chain(in_name)
        .find(|text| is_region(text))
}

/// The days that lie below a prefix or path, where it goes down to a year, month or day of a region.
pub(crate) fn days_of(prefix: &str) -> Interval {
    days_below(prefix).unwrap_or_default()
}

fn days_below(prefix: &str) -> Option<Interval> {
    // Its last part may be the beginning of a name, but also a whole folder.
    let folders: Vec<&str> = prefix.split(['/', '\\']).collect();
    let kind = layout(&folders).filter(|&kind| is_kind(folders[kind]))?;
    let number = |at: usize, length: usize| {
        let part = folders.get(kind + 2 + at)?;
        let is_number = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse::<i16>().ok())?
    };
    let year = number(0, 4)?;
    let month = number(1, 2);
    let day = month.and_then(|_| number(2, 2));
    let start =
        jiff::civil::Date::new(year, month.unwrap_or(1) as i8, day.unwrap_or(1) as i8).ok()?;
    let end = match (month, day) {
        (_, Some(_)) => start.tomorrow(),
        (Some(_), None) => start.last_of_month().tomorrow(),
        (None, None) => start.last_of_year().tomorrow(),
    };
    let time = |date: jiff::civil::Date| utc(date.at(0, 0, 0, 0));
    let end = end.ok().and_then(time);
    Some(Interval {
        start: time(start),
        end: end.and_then(|end| end.checked_sub(SignedDuration::from_secs(1)).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::selection::{Listed, Selection};
    use super::super::times::delivery_time;
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
        // A copy without them.
        for (key, expected) in [
            (
                "444455556666/CloudTrail/us-east-1/events.json",
                "444455556666",
            ),
            ("444455556666/CloudTrail/events.json", "444455556666"),
            (
                r"C:\trail\444455556666\CloudTrail\events.json",
                "444455556666",
            ),
            ("444455556666/cloudtrail-copies/events.json", "444455556666"),
        ] {
            assert_eq!(account(key), Some(expected), "{key}");
        }
        assert_eq!(account("AWSLogs/111122223333/trail.zip"), None);
        assert_eq!(delivery_time("events.json"), None);
        assert_eq!(delivery_time("1_CloudTrail_r_20231310T1205Z_x.json"), None);
    }

    #[test]
    fn keys_tell_their_region() {
        for (key, expected) in [
            (KEY, Some("us-east-1")),
            (
                "111122223333/CloudTrail-Insight/eu-west-1/x.json",
                Some("eu-west-1"),
            ),
            (r"C:\trail\CloudTrail\eu-west-1\x.json", Some("eu-west-1")),
            (
                "x/444455556666_CloudTrail_us-gov-west-1_20230710T1205Z_x.json",
                Some("us-gov-west-1"),
            ),
            // What is above the last folder of a kind is a trail's prefix.
            (
                "CloudTrail/eu-west-1/AWSLogs/111122223333/CloudTrail/us-east-2/2023/07/10/x.json",
                Some("us-east-2"),
            ),
            ("us-east-1/events.json", None),
            ("AWSLogs/111122223333/CloudTrail/x.json", None),
        ] {
            assert_eq!(region(key), expected, "{key}");
        }
    }

    /// What is above the last `AWSLogs` is up to whoever sets up a trail.
    #[test]
    fn the_account_is_that_of_the_layout() {
        let below = "AWSLogs/111122223333/CloudTrail/us-east-1/2024/03/05/111122223333_CloudTrail_us-east-1_20240305T1205Z_x.json.gz";
        for prefix in [
            "999999999999/CloudTrail",
            "p/999999999999/CloudTrail",
            "999999999999/CloudTrail/us-east-1",
            "AWSLogs/999999999999/CloudTrail",
            "AWSLogs/o-abcdefghij/999999999999/CloudTrail/us-east-1/2024/03/05",
            "AWSLogs/999999999999/Config",
            "AWSLogs/999999999999",
        ] {
            let key = format!("{prefix}/{below}");
            assert_eq!(account(&key), Some("111122223333"), "{key}");
            let selection = Selection {
                accounts: Listed::accounts("111122223333").unwrap(),
                ..Selection::default()
            };
            assert!(selection.takes_place(&key), "{key}");
            let others = Selection {
                accounts: Listed::accounts("999999999999").unwrap(),
                ..Selection::default()
            };
            assert!(!others.takes_place(&key), "{key}");
        }
        // Copies: the folder that the region is in, or else what the name says.
        for key in [
            "999999999999/CloudTrail/111122223333/CloudTrail/us-east-1/x.json",
            "999999999999/CloudTrail/us-east-1/111122223333/CloudTrail/us-east-1/x.json",
            "999999999999/CloudTrail-copies/111122223333_CloudTrail_us-east-1_20240305T1205Z_x.json",
            "999999999999/CloudTrail/111122223333_CloudTrail_us-east-1_20240305T1205Z_x.json",
            "999999999999/CloudTrail/x/111122223333/CloudTrail/x.json",
        ] {
            assert_eq!(account(key), Some("111122223333"), "{key}");
        }
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
        assert_eq!(folder_account(&place.digests), Some("111122223333"));
        // A copy of a part of it, on Windows.
        let place = Place::of(r"CloudTrail-Insight\eu-west-1\2023\07\10\x.json").unwrap();
        assert_eq!(place.digests, r"CloudTrail-Digest\eu-west-1\");
        assert_eq!(place.path, "CloudTrail-Insight/eu-west-1/2023/07/10/x.json");
        assert_eq!(folder_account(&place.digests), None);
        let digest = "AWSLogs/1/CloudTrail-Digest/r/2015/08/17/1_CloudTrail-Digest_r_a_b_r_20150817T150131Z.json.gz";
        assert_eq!(
            Place::of(digest).unwrap().digests,
            "AWSLogs/1/CloudTrail-Digest/r/"
        );
        // Whatever the prefix of the trail.
        for prefix in [
            "CloudTrail/r/2023/07/10",
            "AWSLogs/1/CloudTrail-Digest/r/2023/07/10",
            "AWSLogs/1/CloudTrail/r",
        ] {
            let place = Place::of(&format!("{prefix}/{KEY}")).unwrap();
            assert_eq!(
                place.digests,
                format!(
                    "{prefix}/p/AWSLogs/o-abcdefghij/111122223333/CloudTrail-Digest/us-east-1/"
                )
            );
            assert!(place.path.starts_with("CloudTrail/us-east-1/2023/07/10/"));
        }
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
        assert_eq!(end("20150817T1501+1Z.json.gz"), None);
        // A trail may be called what its digests' times look like, or as digests are.
        let named = "1_CloudTrail-Digest_r_20200101T000000Z_r_20150817T150131Z.json.gz";
        assert_eq!(digest_end(named), expected);
        assert!(is_digest(named));
        for name in [
            "1_CloudTrail_r_CloudTrail-Digest_20150817T150131Z.json.gz",
            "x_1_CloudTrail-Digest_r_t_r_20150817T150131Z.json.gz",
            "1_CloudTrail-Digest_r_t_r_20150817T150131Z.csv.gz",
            "1_CloudTrail-Digest_r_t_r.json.gz",
        ] {
            assert!(!is_digest(name), "{name}");
        }
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
    fn folders_above_the_layout_tell_no_days() {
        for prefix in [
            "CloudTrail/case-7/2024/AWSLogs/111122223333/",
            "evidence/CloudTrail/case-7/2024/03/",
            "AWSLogs/111122223333/CloudTrail/us-east-1/2024/03/AWSLogs/",
            "AWSLogs/111122223333/CloudTrail/us-east-1/2024/AWSLogs/111122223333/CloudTrail/us-east-1/",
            "AWSLogs/111122223333/Config/us-east-1/2024/03/",
            "AWSLogs/111122223333/CloudTrail/us-east-1/+202/",
        ] {
            assert_eq!(days_of(prefix), Interval::default(), "{prefix}");
        }
        let days = days_of(
            "CloudTrail/us-east-1/2020/AWSLogs/111122223333/CloudTrail/us-east-1/2024/03/05/",
        );
        assert_eq!(days.start, Some(time("2024-03-05T00:00:00Z")));
        let copy = days_of("copies/CloudTrail/us-east-1/2024/03/05/");
        assert_eq!(copy, days);
    }
}
