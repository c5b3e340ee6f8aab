//! Where prefixes and keys are in CloudTrail's layout of a bucket.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::trail;

/// What VPC flow logs with Hive-compatible prefixes have in the place of an account: `AWSLogs/aws-account-id=ACCOUNT/`
/// (Amazon VPC User Guide, *Publish flow logs to Amazon S3*). There may be millions of them beside a trail.
pub(super) const FLOW_LOGS: &str = "aws-account-id=";

/// Where in the layout a prefix is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Level {
    /// Above `AWSLogs/`, and how many levels below what the user named.
    Above(usize),
    /// In `AWSLogs/` or an organization's folder in it: accounts, organizations.
    Logs,
    /// In an account's: kinds.
    Account,
    /// In that of an account that is not selected: folders below which a trail may lie.
    OtherAccount,
    /// In one that is not CloudTrail's: nothing but an `AWSLogs/` of a trail whose prefix it is.
    Other,
    /// In a kind's: regions.
    Kind,
    /// In a region's, or where no layout is known: log files.
    Files,
}

/// Where a prefix is, going by its complete folders.
pub(super) fn level(prefix: &str) -> Level {
    let mut folders: Vec<&str> = prefix.split('/').collect();
    // The last part may be the beginning of a name.
    folders.pop();
    let Some(logs) = folders.iter().rposition(|folder| *folder == "AWSLogs") else {
        return Level::Above(0);
    };
    let mut level = Level::Logs;
    for folder in &folders[logs + 1..] {
        level = below(level, folder);
    }
    level
}

/// The level in a folder of this name. `AWSLogs/` may lie in any: a trail's prefix may be a folder of another one.
pub(super) fn below(level: Level, folder: &str) -> Level {
    match level {
        Level::Files => Level::Files,
        _ if folder == "AWSLogs" => Level::Logs,
        Level::Above(depth) => Level::Above(depth + 1),
        Level::Logs if trail::is_organization(folder) => Level::Logs,
        Level::Logs if trail::is_account(folder) => Level::Account,
        Level::Account if trail::is_kind(folder) => Level::Kind,
        _ => Level::Files,
    }
}

/// The last folder of a path that ends with a slash.
pub(super) fn folder_name(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

/// The part of a prefix up to the region's folder, if it follows the layout below its last `AWSLogs/` so far.
pub(super) fn region_folder(prefix: &str) -> Option<&str> {
    let logs = prefix
        .rfind("AWSLogs/")
        .filter(|at| *at == 0 || prefix[..*at].ends_with('/'))?;
    let mut level = Level::Above(0);
    let mut end = logs;
    for part in prefix[logs..].split_inclusive('/') {
        let folder = part.strip_suffix('/')?;
        end += part.len();
        if level == Level::Kind {
            return trail::is_region(folder).then_some(&prefix[..end]);
        }
        level = below(level, folder);
    }
    None
}

/// The folder of a day.
pub(super) fn day(time: Timestamp) -> String {
    let time = time.to_zoned(TimeZone::UTC);
    time.strftime("%Y/%m/%d/").to_string()
}

/// The beginning of the names of log files in a region's folder: `ACCOUNT_KIND_REGION_`.
pub(super) fn stem(folder: &str) -> String {
    let folders: Vec<&str> = folder.trim_end_matches('/').rsplit('/').take(3).collect();
    folders
        .iter()
        .rev()
        .fold(String::new(), |stem, folder| stem + folder + "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_of_a_prefix_is_told_by_its_folders() {
        for (prefix, expected) in [
            ("", Level::Above(0)),
            ("AWSLogs", Level::Above(0)),
            ("some/prefix/", Level::Above(0)),
            ("AWSLogs/", Level::Logs),
            ("p/AWSLogs/o-abcdefghij/", Level::Logs),
            ("AWSLogs/1111", Level::Logs),
            ("AWSLogs/111122223333/", Level::Account),
            ("o-abcdefghij/AWSLogs/111122223333/Cloud", Level::Account),
            ("AWSLogs/111122223333/CloudTrail/us-", Level::Kind),
            ("AWSLogs/111122223333/CloudTrail-Insight/", Level::Kind),
            ("AWSLogs/111122223333/Config/", Level::Files),
            ("AWSLogs/111122223333/CloudTrail/us-east-1/", Level::Files),
            (
                "AWSLogs/111122223333/CloudTrail/us-east-1/2023/07/10/1111",
                Level::Files,
            ),
            ("AWSLogs/else/", Level::Files),
            ("AWSLogs/111122223333/AWSLogs/", Level::Logs),
            ("AWSLogs/111122223333/CloudTrail/AWSLogs/", Level::Logs),
        ] {
            assert_eq!(level(prefix), expected, "{prefix}");
        }
    }

    #[test]
    fn only_the_folder_of_a_region_is_ordered_by_days() {
        let region = "p/AWSLogs/o-abcdefghij/111122223333/CloudTrail/us-east-1/";
        assert_eq!(region_folder(region), Some(region));
        assert_eq!(region_folder(&format!("{region}2023/07/x")), Some(region));
        assert_eq!(
            region_folder("AWSLogs/111122223333/CloudTrail/us-east"),
            None
        );
        assert_eq!(
            region_folder("AWSLogs/111122223333/Config/us-east-1/"),
            None
        );
        assert_eq!(region_folder("some/folder/"), None);
        // A trail may have any prefix.
        let nested = format!("AWSLogs/999999999999/CloudTrail/{region}");
        assert_eq!(region_folder(&nested), Some(&*nested));
        assert_eq!(
            region_folder("AWSLogs/999999999999/CloudTrail/AWSLogs/"),
            None
        );
        assert_eq!(region_folder("AWSLogs/999999999999/CloudTrail/else/"), None);
    }
}
