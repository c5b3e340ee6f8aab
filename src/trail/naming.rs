//! What names of files and folders say of their content.

use super::names::{
    file_name, folders_and_name, is_account, is_kind, is_of_cloudtrail, is_organization, is_region,
};
use super::times::has_time;

/// The folder below which AWS's services lay out their files. What is above it is up to whoever sets up a trail.
const LOGS: &str = "AWSLogs";

/// What a key or path tells of its content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Naming {
    /// A log file, or something else that events are exported to.
    LogFile,
    /// Something else: digests, the files of other services, and what macOS puts beside files.
    Other,
    /// The name tells nothing.
    Unknown,
}

/// Names of log files, exports and archives end so, and so again where they are compressed.
const ENDINGS: [&str; 5] = [".json", ".jsonl", ".ndjson", ".zip", ".tar"];
const COMPRESSED: [&str; 4] = [".gz", ".bz2", ".xz", ".zst"];
/// Short for `.tar.gz` and the like, and archives that are named where they can't be opened.
const ARCHIVES: [&str; 6] = [".tgz", ".tbz2", ".txz", ".tzst", ".7z", ".rar"];

/// Can this key or path be a CloudTrail log file, going by its name alone?
pub(crate) fn is_log_file(key: &str) -> bool {
    naming(key) == Naming::LogFile
}

/// See [`Naming`].
pub(crate) fn naming(key: &str) -> Naming {
    let (folders, name) = folders_and_name(key);
    // Whatever folder somebody has moved it to.
    let is_of_trail = service_in(name).is_some_and(is_kind);
    let is_other = match layout(&folders) {
        Some(service) => !is_kind(folders[service]) && !is_of_trail,
        // Where ZIP files of macOS have what is beside files.
        None => folders.contains(&"__MACOSX"),
    };
    let is_of_other_service = service_in(name).is_some_and(|service| !is_kind(service));
    if is_other || name.starts_with("._") || is_of_other_service {
        return Naming::Other;
    }
    let lower = name.to_ascii_lowercase();
    let is_export = || {
        let stem = lower.strip_suffix(".gz").unwrap_or(&lower);
        is_of_firehose(stem) || lower.ends_with(".gz") && is_of_cloudwatch(stem)
    };
    let ends_so = |endings: &[&str]| {
        endings
            .iter()
            .any(|ending| uncompressed(&lower).ends_with(ending))
    };
    match ends_so(&ENDINGS) || ends_so(&ARCHIVES) || is_export() {
        true => Naming::LogFile,
        false => Naming::Unknown,
    }
}

/// Is this the name of an archive of log files? The log files in it have accounts and times; the archive has none.
pub(crate) fn is_archive(key: &str) -> bool {
    let name = file_name(key).to_ascii_lowercase();
    let mut endings = ARCHIVES.iter().chain(&[".zip", ".tar"]);
    endings.any(|ending| uncompressed(&name).ends_with(ending))
}

/// A name without the ending that says how its file is compressed.
fn uncompressed(name: &str) -> &str {
    let mut endings = COMPRESSED.iter();
    endings
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name)
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

/// The service in a name such as `ACCOUNT_SERVICE_REGION_…_TIME…`. AWS Config and others name their files as CloudTrail does.
fn service_in(name: &str) -> Option<&str> {
    let mut parts = name.split('_');
    let (account, service, region) = (parts.next()?, parts.next()?, parts.next()?);
    (is_account(account) && is_region(region) && has_time(name)).then_some(service)
}

/// The number of the folder that is named after a service, such as `CloudTrail`, by CloudTrail's layout. What is above
/// the last `AWSLogs` has no say: a trail's prefix may have any name, that of another service's folders too.
pub(super) fn layout(folders: &[&str]) -> Option<usize> {
    let logs = folders.iter().rposition(|folder| *folder == LOGS);
    let below = logs.map_or(0, |logs| logs + 1);
    if logs.is_some() {
        let has_organization = folders.get(below).is_some_and(|name| is_organization(name));
        let account = below + usize::from(has_organization);
        if folders.get(account).is_some_and(|name| is_account(name)) {
            return Some(account + 1).filter(|service| *service < folders.len());
        }
    }
    // A copy of a part of a trail, or one that was moved.
    (below..folders.len()).rev().find(|&at| {
        let is_above = |name: &&str| is_region(name) || *name == "Query";
        is_of_cloudtrail(folders[at]) && folders.get(at + 1).is_some_and(is_above)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "p/AWSLogs/o-abcdefghij/111122223333/CloudTrail/us-east-1/2023/07/10/111122223333_CloudTrail_us-east-1_20230710T1205Z_Vp7r3boWJKtPb3wM.json.gz";

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
            // Whatever folder it was moved to.
            (
                "AWSLogs/111122223333/incident/111122223333_CloudTrail_us-east-1_20230710T1205Z_x.json.gz",
                true,
            ),
            (
                "AWSLogs/111122223333/us-east-1/111122223333_CloudTrail-Insight_us-east-1_20230710T1205Z_x.json",
                true,
            ),
            ("exports/lookup.jsonl", true),
            ("copies/trail.ZIP", true),
            ("copies/trail.tar.gz", true),
            ("copies/trail.tar.xz", true),
            ("copies/trail.TBZ2", true),
            ("copies/2021.7z", true),
            ("copies/events.json.zst", true),
            ("copies/backup.zst", false),
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

    /// Whoever sets up a trail chooses its prefix, and so what is above `AWSLogs`: nobody may hide log files by that.
    #[test]
    fn folders_above_the_layout_hide_no_log_file() {
        let (_, below) = KEY.split_once('/').expect("a prefix");
        let (_, copy) = below.split_once("o-abcdefghij/").expect("an organization");
        for prefix in [
            "CloudTrail-Digest",
            "CloudTrail-Digest/us-east-1",
            "CloudTrail-Digest/us-east-1/2023/07/10",
            "CloudTrail-Digest-copies",
            "CloudTrail-Lake",
            "CloudTrail-Lake/Query/2023",
            "111122223333/CloudTrail-Digest/us-east-1",
            "AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2023/07/10",
            "AWSLogs/111122223333/Config",
            "AWSLogs/o-abcdefghij/111122223333/Config/us-east-1",
            "AWSLogs/111122223333/AWSLogs",
            "__MACOSX",
            "._copies",
            "111122223333_Config_us-east-1_20230710T120500Z",
            r"CloudTrail-Digest\us-east-1",
        ] {
            assert!(is_log_file(&format!("{prefix}/{below}")), "{prefix}");
        }
        // In copies of a part of a trail, the last folder that is of the layout.
        for prefix in [
            "CloudTrail-Digest",
            "CloudTrail-Digest/us-east-1",
            "CloudTrail-Lake/Query",
            "__MACOSX",
        ] {
            assert!(is_log_file(&format!("{prefix}/{copy}")), "{prefix}");
        }
        // Nor do they make log files of what is none.
        for key in [
            "AWSLogs/111122223333/CloudTrail/AWSLogs/111122223333/Config/us-east-1/x.json.gz",
            "CloudTrail/us-east-1/AWSLogs/111122223333/CloudTrail-Digest/us-east-1/x.json.gz",
            "CloudTrail/us-east-1/CloudTrail-Digest/us-east-1/2023/07/10/x.json.gz",
        ] {
            assert!(!is_log_file(key), "{key}");
        }
    }

    #[test]
    fn names_of_other_services_are_known_by_all_their_parts() {
        for (name, expected) in [
            (
                "111122223333_Config_us-east-1_ConfigHistory_20230710T120500Z.json.gz",
                false,
            ),
            (
                "111122223333_elasticloadbalancing_us-east-1_app.x_20230710T1205Z_1.json",
                false,
            ),
            ("111122223333_events_us-east-1_march.json", true),
            (
                "111122223333_cloudtrail_us-east-1_20230710T1205Z_x.json.gz",
                true,
            ),
            (
                "111122223333_CloudTrail_us-east-1_20230710T1205Z_x.json.gz",
                true,
            ),
            (
                "111122223333_CloudTrail-New_us-east-1_20230710T1205Z_x.json.gz",
                true,
            ),
        ] {
            assert_eq!(is_log_file(name), expected, "{name}");
        }
    }
}
