//! Trails that CloudTrail might have written, the same ones for the same seed.
//!
//! ```
//! use harness::trail::{Maker, gzip};
//!
//! let mut maker = Maker::new(7);
//! let file = maker.file("123456789012", "eu-west-1", "20240305T1205Z", 3);
//! assert!(file.key("").starts_with("AWSLogs/123456789012/CloudTrail/eu-west-1/2024/03/05/"));
//! assert_eq!(file.records.len(), 3);
//! let object = gzip(&file.json());
//! ```

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

use crate::aws::Aws;

/// A record that is told apart by its ID.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// `eventID`
    pub id: String,
    /// `eventTime`
    pub time: Timestamp,
    /// The record's own bytes.
    pub json: String,
}

impl Record {
    /// The timestamp of its event.
    pub fn ts(&self) -> u64 {
        self.time.as_nanosecond() as u64
    }
}

/// A log file.
#[derive(Debug, Clone)]
pub struct LogFile {
    /// The account in its name.
    pub account: String,
    /// The region in its name.
    pub region: String,
    /// `CloudTrail`, `CloudTrail-Insight`
    pub kind: String,
    /// The time of delivery in its name, `20240305T1205Z`.
    pub time: String,
    /// The unique part of its name.
    pub unique: String,
    /// What it holds.
    pub records: Vec<Record>,
}

impl LogFile {
    /// The folder of its day, `AWSLogs/ACCOUNT/CloudTrail/REGION/2024/03/05/`, below a root that is
    /// empty or ends in `/`: a prefix before `AWSLogs`.
    pub fn day(&self, root: &str) -> String {
        let (year, month, day) = (&self.time[..4], &self.time[4..6], &self.time[6..8]);
        let Self {
            account,
            kind,
            region,
            ..
        } = self;
        format!("{root}AWSLogs/{account}/{kind}/{region}/{year}/{month}/{day}/")
    }

    /// Its key.
    pub fn key(&self, root: &str) -> String {
        self.day(root) + &self.name()
    }

    /// Its key in the trail of an organization.
    pub fn org_key(&self, root: &str, org: &str) -> String {
        self.key(root)
            .replacen("AWSLogs/", &format!("AWSLogs/{org}/"), 1)
    }

    /// Its name, `ACCOUNT_CloudTrail_REGION_20240305T1205Z_UNIQUE.json.gz`.
    pub fn name(&self) -> String {
        let Self {
            account,
            kind,
            region,
            time,
            unique,
            ..
        } = self;
        format!("{account}_{kind}_{region}_{time}_{unique}.json.gz")
    }

    /// Its text.
    pub fn json(&self) -> Vec<u8> {
        let records: Vec<&str> = self
            .records
            .iter()
            .map(|record| record.json.as_str())
            .collect();
        log_text(&records)
    }

    /// Its bytes as CloudTrail writes them.
    pub fn gz(&self) -> Vec<u8> {
        gzip(&self.json())
    }

    /// Puts it into a bucket, where CloudTrail would.
    pub fn put(&self, aws: &Aws, bucket: &str) {
        aws.put(bucket, &self.key(""), &self.gz());
    }

    /// Writes it below a folder, where CloudTrail would in a bucket.
    pub fn write(&self, folder: &Path) -> PathBuf {
        write(&folder.join(self.key("")), &self.gz())
    }
}

/// Writes a file and its folders.
pub fn write(path: &Path, bytes: &[u8]) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    path.to_owned()
}

/// The text of a log file with these records.
pub fn log_text(records: &[&str]) -> Vec<u8> {
    format!("{{\"Records\":[{}]}}", records.join(",")).into_bytes()
}

/// One gzip member.
pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(text).unwrap();
    gz.finish().unwrap()
}

/// Several gzip members, each with so many bytes of the text.
pub fn gzip_members(text: &[u8], each: usize) -> Vec<u8> {
    text.chunks(each).flat_map(gzip).collect()
}

/// All records of several log files.
pub fn records(files: &[LogFile]) -> Vec<Record> {
    files.iter().flat_map(|file| file.records.clone()).collect()
}

/// The IDs of the records of several log files, in their order.
pub fn ids(files: &[LogFile]) -> Vec<String> {
    records(files).into_iter().map(|record| record.id).collect()
}

/// In the order of their text: for IDs that may come in any order.
pub fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

/// Log files in the order in which they are to be read: by the time in their names, and then by name.
pub fn in_order(files: &[LogFile]) -> Vec<LogFile> {
    let mut files = files.to_vec();
    files.sort_by_cached_key(|file| (file.time.clone(), file.name()));
    files
}

/// Makes records and log files from a seed.
pub struct Maker {
    random: fastrand::Rng,
}

impl Maker {
    /// Other seeds give other names, IDs, and calls.
    pub fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// A log file with records of the minutes before its delivery, oldest first.
    pub fn file(&mut self, account: &str, region: &str, time: &str, records: usize) -> LogFile {
        let unique = std::iter::repeat_with(|| self.random.alphanumeric())
            .take(16)
            .collect();
        let delivered = parse_time(time);
        let records = (0..records)
            .map(|index| {
                let before = SignedDuration::from_secs((records - index) as i64);
                self.record(account, region, delivered - before)
            })
            .collect();
        LogFile {
            account: account.into(),
            region: region.into(),
            kind: "CloudTrail".into(),
            time: time.into(),
            unique,
            records,
        }
    }

    /// A trail: for each account and region a log file every five minutes from `start` on.
    pub fn trail(
        &mut self,
        accounts: &[&str],
        regions: &[&str],
        start: &str,
        files: usize,
        records: usize,
    ) -> Vec<LogFile> {
        let start = parse_time(start);
        let mut all = vec![];
        for index in 0..files {
            let time = format_time(start + SignedDuration::from_mins(5 * index as i64));
            for account in accounts {
                for region in regions {
                    all.push(self.file(account, region, &time, records));
                }
            }
        }
        all
    }

    /// A record of an API call.
    pub fn record(&mut self, account: &str, region: &str, time: Timestamp) -> Record {
        let id = self.uuid();
        let request_id = self.uuid();
        let (source, name, read_only, request, response) = *self.random.choice(CALLS).unwrap();
        let user = self
            .random
            .choice(["alice", "bob", "carol", "Zoë"])
            .unwrap();
        let identity = match self.random.u8(..4) {
            0 => format!(
                r#"{{"type":"AssumedRole","principalId":"AROAEXAMPLE:{user}","arn":"arn:aws:sts::{account}:assumed-role/deploy/{user}","accountId":"{account}","sessionContext":{{"sessionIssuer":{{"type":"Role","userName":"deploy"}},"attributes":{{"mfaAuthenticated":"false"}}}}}}"#
            ),
            1 => format!(r#"{{"type":"AWSService","invokedBy":"{source}"}}"#),
            _ => format!(
                r#"{{"type":"IAMUser","principalId":"AIDAEXAMPLE","arn":"arn:aws:iam::{account}:user/{user}","accountId":"{account}","userName":"{user}"}}"#
            ),
        };
        let address = self.random.u8(1..);
        let json = format!(
            r#"{{"eventVersion":"1.08","userIdentity":{identity},"eventTime":"{time}","eventSource":"{source}","eventName":"{name}","awsRegion":"{region}","sourceIPAddress":"198.51.100.{address}","userAgent":"aws-cli/2.15","requestParameters":{request},"responseElements":{response},"requestID":"{request_id}","eventID":"{id}","readOnly":{read_only},"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"{account}","eventCategory":"Management"}}"#
        );
        Record { id, time, json }
    }

    /// An Insights event, which has neither a user nor a source.
    pub fn insight(&mut self, account: &str, region: &str, time: Timestamp) -> Record {
        let id = self.uuid();
        let json = format!(
            r#"{{"eventVersion":"1.07","eventTime":"{time}","awsRegion":"{region}","eventID":"{id}","eventType":"AwsCloudTrailInsight","recipientAccountId":"{account}","sharedEventID":"{}","insightDetails":{{"state":"Start","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","insightType":"ApiCallRateInsight","insightContext":{{"statistics":{{"baseline":{{"average":0.5}},"insight":{{"average":40}}}}}}}},"eventCategory":"Insight"}}"#,
            self.uuid()
        );
        Record { id, time, json }
    }

    /// A file of Insights events.
    pub fn insight_file(&mut self, account: &str, region: &str, time: &str) -> LogFile {
        let mut file = self.file(account, region, time, 0);
        file.kind = "CloudTrail-Insight".into();
        file.records
            .push(self.insight(account, region, parse_time(time)));
        file
    }

    /// What lies beside the log files in a real bucket and holds no events: key and body.
    pub fn bystanders(&mut self, account: &str, region: &str) -> Vec<(String, Vec<u8>)> {
        let day = "2024/03/05";
        let digest = format!(
            r#"{{"awsAccountId":"{account}","digestStartTime":"2024-03-05T00:00:00Z","logFiles":[]}}"#
        );
        let config = r#"{"fileVersion":"1.0","configSnapshotId":"x","configurationItems":[]}"#;
        let at = |rest: &str| format!("AWSLogs/{account}/{rest}");
        vec![
            (
                at(&format!(
                    "CloudTrail-Digest/{region}/{day}/{account}_CloudTrail-Digest_{region}_main_{region}_20240305T120500Z.json.gz"
                )),
                gzip(digest.as_bytes()),
            ),
            (
                at(&format!(
                    "Config/{region}/2024/3/5/ConfigSnapshot/{account}_Config_{region}_ConfigSnapshot_20240305T120500Z_x.json.gz"
                )),
                gzip(config.as_bytes()),
            ),
            (
                at(&format!(
                    "elasticloadbalancing/{region}/{day}/{account}_elasticloadbalancing_{region}_app.x_20240305T1205Z_198.51.100.1_x.log.gz"
                )),
                gzip(b"http 2024-03-05T12:05:00Z app/x 198.51.100.1:1 - 200\n"),
            ),
            (
                at(&format!(
                    "vpcflowlogs/{region}/{day}/{account}_vpcflowlogs_{region}_fl-1_20240305T1205Z_x.log.gz"
                )),
                gzip(b"version account-id interface-id\n2 - -\n"),
            ),
            (
                at(&format!(
                    "CloudTrail-Lake/{region}/{day}/x/{account}_CloudTrail-Lake_{region}_20240305T1205Z_x.json.gz"
                )),
                gzip(b"{\"eventData\":\"x\"}"),
            ),
        ]
    }

    /// Something like a UUID.
    pub fn uuid(&mut self) -> String {
        let hex = format!("{:032x}", self.random.u128(..));
        format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }
}

/// The time in a log file's name, `20240305T1205Z`.
pub fn parse_time(time: &str) -> Timestamp {
    DateTime::strptime("%Y%m%dT%H%MZ", time)
        .unwrap()
        .to_zoned(TimeZone::UTC)
        .unwrap()
        .timestamp()
}

/// A time as it is in a log file's name.
pub fn format_time(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%MZ").to_string()
}

/// Source, name, readOnly, request, and response of some API calls.
const CALLS: &[(&str, &str, bool, &str, &str)] = &[
    (
        "s3.amazonaws.com",
        "GetObject",
        true,
        r#"{"bucketName":"data","Host":"data.s3.amazonaws.com","key":"a/b c.txt"}"#,
        "null",
    ),
    (
        "s3.amazonaws.com",
        "PutBucketPublicAccessBlock",
        false,
        r#"{"bucketName":"data","PublicAccessBlockConfiguration":{"RestrictPublicBuckets":true,"BlockPublicPolicy":true,"BlockPublicAcls":false,"IgnorePublicAcls":true}}"#,
        "null",
    ),
    (
        "ec2.amazonaws.com",
        "RunInstances",
        false,
        r#"{"imageId":"ami-1","tagSpecificationSet":{"items":[{"resourceType":"instance","tags":[{"key":"Name","value":"web"}]}]}}"#,
        r#"{"reservationId":"r-1","instancesSet":{"items":[{"imageId":"ami-1"},{"imageId":"ami-2"}]}}"#,
    ),
    (
        "iam.amazonaws.com",
        "CreateUser",
        false,
        r#"{"userName":"eve"}"#,
        r#"{"user":{"userName":"eve"}}"#,
    ),
    (
        "sts.amazonaws.com",
        "GetCallerIdentity",
        true,
        "null",
        "null",
    ),
    (
        "logs.amazonaws.com",
        "CreateLogStream",
        false,
        r#"{"logStreamName":"2024/03/05/[$LATEST]é\u00e9"}"#,
        "null",
    ),
];
