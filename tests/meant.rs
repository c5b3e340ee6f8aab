//! What users may have meant otherwise: keys of the configuration, intervals and accounts that choose nothing, URLs.

use harness::{
    aws::{Aws, Op},
    capture::{Capture, Seen},
    host::Plugin,
    hosts::Hosts,
    trail::{self, LogFile, Maker, gzip, sorted},
};
use serde_json::json;
use tempfile::TempDir;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

const ACCOUNT: &str = "111122223333";

/// A folder with a log file of three events.
fn folder() -> (TempDir, LogFile) {
    let folder = TempDir::new().unwrap();
    let file = Maker::new(1).file(ACCOUNT, "eu-west-1", "20240305T1205Z", 3);
    file.write(folder.path());
    (folder, file)
}

/// The last line on stderr.
fn last_line(seen: &Seen) -> &str {
    seen.stderr.lines().last().unwrap_or_default()
}

#[test]
fn settings_work_whatever_the_case_of_their_keys() {
    let (folder, file) = folder();
    let params = folder.path().to_str().unwrap();
    let read = |config: &str| Plugin::load(config).events(params).unwrap();
    let ids = |config: &str| harness::host::ids(&read(config));
    assert_eq!(
        ids(r#"{"s3interval":"2024-03-05-2024-03-05"}"#),
        trail::ids(&[file])
    );
    assert_eq!(ids(r#"{"S3Interval":"2024-03-06"}"#), [""; 0]);
    assert_eq!(ids(r#"{"s3accountlist":"999999999999"}"#), [""; 0]);
    for event in read(r#"{"Redact":"/eventName"}"#) {
        assert_eq!(
            event.json()["eventName"]
                .as_str()
                .unwrap()
                .trim_matches('*'),
            ""
        );
    }
}

#[test]
fn keys_that_are_not_known_are_told_once_on_the_log_and_at_the_end() {
    let (folder, file) = folder();
    let config = json!({"comment": "of the audit", "aws": {"ticket": 7}, "s3Interval": ""});
    let seen = Capture::new(folder.path().to_str().unwrap())
        .config(config)
        .run();
    assert_eq!(seen.ids(), trail::ids(&[file]));
    let said = "without effect, since the plugin has no such settings: \"comment\", \"aws.ticket\"";
    let lines = seen.logs.iter().filter(|line| line.message == said);
    assert_eq!(lines.map(|line| line.severity).collect::<Vec<_>>(), [4]);
    let expected = format!("cloudtrail: 3 events from 1 log file; {said}");
    assert_eq!(seen.stderr.lines().collect::<Vec<_>>(), [expected]);

    let many: serde_json::Map<_, _> = (0..100)
        .map(|n| (format!("{n}{}", "x".repeat(100)), json!(n)))
        .collect();
    let seen = Capture::new(folder.path().to_str().unwrap())
        .config(many.into())
        .run();
    assert!(seen.stderr.ends_with(" and 95 more\n"), "{}", seen.stderr);
    assert!(seen.stderr.len() < 500, "{}", seen.stderr);
}

#[test]
fn the_log_says_what_an_interval_was_taken_for() {
    let (folder, _) = folder();
    for (config, expected) in [
        (
            json!({"s3Interval": "2024-03-05-2024-03-05"}),
            "s3Interval: log files delivered from 2024-03-05T00:00:00Z to 2024-03-05T23:59:59Z",
        ),
        (
            json!({"s3Interval": "2024-03-05T09:00+09:00", "s3IntervalOf": "event"}),
            "s3Interval: events from 2024-03-05T00:00:00Z on",
        ),
    ] {
        let params = folder.path().to_str().unwrap();
        let seen = Capture::new(params).config(config).run();
        assert_eq!(seen.ids().len(), 3);
        assert!(seen.log().contains(expected), "{}", seen.log());
        assert_eq!(seen.stderr, "");
    }
}

/// An interval of events takes a day to its last moment.
#[test]
fn a_day_ends_with_its_last_moment() {
    let folder = TempDir::new().unwrap();
    let times = [
        "2024-03-04T23:59:59Z",
        "2024-03-05T00:00:00Z",
        "2024-03-05T23:59:59Z",
        "2024-03-06T00:00:00Z",
    ];
    let mut maker = Maker::new(1);
    let mut file = maker.file(ACCOUNT, "eu-west-1", "20240306T0005Z", 0);
    let record = |time: &&str| maker.record(ACCOUNT, "eu-west-1", time.parse().unwrap());
    file.records = times.iter().map(record).collect();
    file.write(folder.path());
    let config = r#"{"s3Interval":"2024-03-05-2024-03-05","s3IntervalOf":"event"}"#;
    let params = folder.path().to_str().unwrap();
    let events = Plugin::load(config).events(params).unwrap();
    let expected: Vec<&str> = file.records[1..3]
        .iter()
        .map(|record| &*record.id)
        .collect();
    assert_eq!(
        sorted(harness::host::ids(&events)),
        sorted(expected.iter().map(|id| (*id).to_owned()).collect())
    );
}

const REGIONS: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// A bucket with log files of these regions, on the first and last day of some months.
fn bucket(regions: &[&str]) -> Aws {
    let aws = Aws::start();
    let mut maker = Maker::new(1);
    for account in [ACCOUNT, "444455556666"] {
        for region in regions {
            for time in [
                "20230710T1205Z",
                "20231231T2355Z",
                "20240101T0005Z",
                "20240229T0805Z",
                "20240229T1005Z",
            ] {
                maker.file(account, region, time, 1).put(&aws, "logs");
            }
        }
    }
    aws
}

fn capture(aws: &Aws, interval: &str) -> Seen {
    let seen = Capture::new("s3://logs/")
        .aws(aws)
        .config(json!({"s3Interval": interval}))
        .run();
    assert_eq!(seen.error, None, "{}", seen.words());
    seen
}

#[test]
fn an_interval_that_holds_nothing_says_what_there_is() {
    let aws = bucket(&["eu-west-1", "us-east-1"]);
    for interval in [
        "2019-01-01-2019-12-31",
        "2024-01-02-2024-02-01",
        "2025-01-01",
    ] {
        let seen = capture(&aws, interval);
        assert_eq!(seen.ids(), [""; 0]);
        let words = "holds nothing of s3://logs/: the oldest log file there was delivered at 2023-07-10T12:05:00Z, \
                     the newest at 2024-02-29T10:05:00Z";
        assert!(last_line(&seen).starts_with("cloudtrail: 0 events from 0 log files; "));
        assert!(last_line(&seen).ends_with(words), "{}", seen.stderr);
        let warnings = seen.logs.iter().filter(|line| line.severity == 4);
        let warnings: Vec<&str> = warnings.map(|line| &*line.message).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].ends_with(words), "{warnings:?}");
    }
}

#[test]
fn what_there_is_takes_twenty_requests_at_most() {
    let aws = bucket(&REGIONS);
    let lists = |interval: &str| {
        let before = aws.log_of(Op::ListObjects).len();
        let seen = capture(&aws, interval);
        (aws.log_of(Op::ListObjects).len() - before, seen)
    };
    // Those that a capture takes anyway.
    let (found, seen) = lists("2023-12-31-2023-12-31");
    assert_eq!(seen.ids().len(), 2 * REGIONS.len());
    let (nothing, seen) = lists("2023-12-30-2023-12-30");
    assert_eq!(seen.ids(), [""; 0]);
    assert_eq!(nothing - found, 20);
    let words = "the oldest log file there was delivered at 2023-07-10T12:05:00Z, the newest at 2024-02-29T10:05:00Z, as \
                 far as 20 requests in 4 of 34 regions tell";
    assert!(last_line(&seen).ends_with(words), "{}", seen.stderr);
}

#[test]
fn what_there_is_without_a_layout_was_seen_anyway() {
    let aws = Aws::start();
    let mut maker = Maker::new(1);
    for time in ["20230710T1205Z", "20240229T1005Z"] {
        let file = maker.file(ACCOUNT, "us-east-1", time, 1);
        aws.put(
            "logs",
            &format!("copies/{}", file.name()),
            &gzip(&file.json()),
        );
    }
    let seen = capture(&aws, "2025-01-01-2025-01-02");
    let words = "delivered at 2023-07-10T12:05:00Z, the newest at 2024-02-29T10:05:00Z";
    assert!(last_line(&seen).ends_with(words), "{}", seen.stderr);
}

#[test]
fn accounts_that_are_not_there_are_told_beside_those_that_are() {
    let aws = bucket(&["us-east-1"]);
    let seen = Capture::new("s3://logs/")
        .aws(&aws)
        .config(json!({"s3AccountList": "999999999999"}))
        .run();
    assert_eq!((seen.ids(), &seen.error), (vec![], &None));
    let words = "there is no log file of the accounts in s3AccountList under s3://logs/, but of 111122223333, \
                 444455556666";
    assert!(last_line(&seen).ends_with(words), "{}", seen.stderr);
}

#[test]
fn an_interval_that_holds_nothing_of_a_folder_says_what_there_is() {
    let (folder, _) = folder();
    let seen = Capture::new(folder.path().to_str().unwrap())
        .config(json!({"s3Interval": "yesterday-yesterday"}))
        .run();
    assert_eq!((seen.ids(), &seen.error), (vec![], &None));
    let words = "the oldest log file there was delivered at 2024-03-05T12:05:00Z, the newest at 2024-03-05T12:05:00Z";
    assert!(last_line(&seen).ends_with(words), "{}", seen.stderr);
}

/// Whatever the reason: sysdig crashes, and Stratoshark speaks of a broken file.
#[test]
fn a_capture_without_events_says_so() {
    let (folder, _) = folder();
    let seen = Capture::new(folder.path().to_str().unwrap())
        .config(json!({"s3Interval": "2024-03-01-2024-03-05T01:00Z", "s3IntervalOf": "event"}))
        .run();
    assert_eq!((seen.ids(), &seen.error), (vec![], &None));
    assert!(
        last_line(&seen).starts_with("cloudtrail: 0 events from "),
        "{}",
        seen.stderr
    );
}

#[test]
fn hosts_show_why_there_is_nothing() {
    let Some(hosts) = Hosts::new("meant") else {
        return;
    };
    let trail = hosts.folder.join("trail");
    Maker::new(1)
        .file(ACCOUNT, "eu-west-1", "20240305T1205Z", 3)
        .write(&trail);
    let trail = trail.to_str().unwrap();
    let interval = "yesterday-yesterday";
    let plugin = format!(
        r#"{}:{{"s3interval":"{interval}"}}"#,
        hosts.plugin.display()
    );
    let input = format!("cloudtrail:{trail}");
    let sysdig = hosts.output(&["sysdig", "-H", &plugin, "-I", &input]);
    let options = ["--cloudtrail-s3interval", interval];
    let falcodump = hosts.falcodump(trail, "none.scap", &options);
    for output in [sysdig, falcodump] {
        let said = String::from_utf8_lossy(&output.stderr);
        let words = "the oldest log file there was delivered at 2024-03-05T12:05:00Z";
        assert!(said.contains(words), "{output:?}");
    }
}

#[test]
fn wildcards_in_urls_and_paths_are_explained() {
    let aws = bucket(&["us-east-1"]);
    let error = Capture::new("s3://logs/AWSLogs/*").aws(&aws).open_error();
    let words = "there is nothing under s3://logs/AWSLogs/*: * and ? are no wildcards here: give s3://logs/AWSLogs/, below \
                 which all is read";
    assert!(error.starts_with(words), "{error}");
    // A key may have one.
    let file = Maker::new(2).file(ACCOUNT, "us-east-1", "20240305T1205Z", 1);
    aws.put("logs", "odd/*/log.json.gz", &file.gz());
    let seen = Capture::new("s3://logs/odd/*").aws(&aws).run();
    assert_eq!(seen.ids(), trail::ids(&[file]));

    let (folder, _) = folder();
    let path = folder.path().to_str().unwrap();
    let error = Capture::new(format!("{path}/*.gz")).open_error();
    let words = "there is no such file or folder: * and ? are no wildcards here: give the folder";
    assert!(error.contains(words), "{error}");
    let error = Capture::new(format!("'{path}'")).open_error();
    let words = "there is no such file or folder: leave out the quotes around it";
    assert!(error.contains(words), "{error}");
}

/// Servers that are built with s3s are such stores.
#[test]
fn keys_that_are_not_encoded_though_a_store_says_so_are_read() {
    let mut maker = Maker::new(1);
    for name in ["a b+c%20d/", "pl+us/", "per%20cent/", "plain/"] {
        let aws = Aws::start();
        aws.raw_keys();
        let files = maker.trail(&[ACCOUNT], &["us-east-1"], "20240305T1205Z", 3, 1);
        for file in &files {
            aws.put("logs", &file.key(name), &file.gz());
        }
        let seen = Capture::new("s3://logs/").aws(&aws).run();
        assert_eq!(seen.error, None, "{name}: {}", seen.words());
        assert_eq!(sorted(seen.ids()), sorted(trail::ids(&files)), "{name}");
    }
}

/// A store whose keys are encoded as it says is asked one question more.
#[test]
fn whether_keys_are_encoded_is_asked_once() {
    let mut requests = Vec::new();
    for name in ["plain/", "pl+us/"] {
        let aws = Aws::start();
        let files = Maker::new(1).trail(&[ACCOUNT], &["us-east-1"], "20240305T1205Z", 3, 1);
        for file in &files {
            aws.put("logs", &file.key(name), &file.gz());
        }
        let seen = Capture::new("s3://logs/").aws(&aws).run();
        assert_eq!(sorted(seen.ids()), sorted(trail::ids(&files)), "{name}");
        requests.push(aws.log_of(Op::ListObjects).len());
    }
    assert_eq!(requests[1] - requests[0], 1);
}

#[test]
fn an_interval_that_holds_nothing_of_an_archive_says_what_there_is() {
    let folder = TempDir::new().unwrap();
    let mut maker = Maker::new(8);
    let files = ["20240305T1205Z", "20240307T0900Z"].map(|time| {
        let file = maker.file(ACCOUNT, "eu-west-1", time, 2);
        (file.key(""), gzip(&file.json()))
    });
    let path = folder.path().join("trail.zip");
    trail::write(&path, &harness::forms::zip(&files));
    let read = |interval: &str| {
        Capture::new(path.to_str().unwrap())
            .config(json!({"s3Interval": interval}))
            .run()
    };
    let seen = read("2025-01-01-2025-01-02");
    assert_eq!((seen.ids(), &seen.error), (vec![], &None));
    let words = "trail.zip: the oldest log file there was delivered at 2024-03-05T12:05:00Z, the newest at \
                 2024-03-07T09:00:00Z";
    assert!(last_line(&seen).ends_with(words), "{}", seen.stderr);
    assert_eq!(read("2024-03-05-2024-03-06").ids().len(), 2);
}

#[test]
fn urls_of_the_store_that_the_environment_or_profile_names_are_taken() {
    let aws = bucket(&["us-east-1"]);
    let url = format!("{}/logs/AWSLogs/", aws.endpoint());
    let by_setting = Capture::new(&url).aws(&aws).run();
    let by_variable = Capture::new(&url)
        .keys()
        .env("AWS_ENDPOINT_URL_S3", aws.endpoint())
        .run();
    let profile = format!("[default]\nendpoint_url = {}\n", aws.endpoint());
    let by_profile = Capture::new(&url)
        .keys()
        .file(".aws/config", &profile)
        .run();
    let expected = by_setting.ids();
    assert!(!expected.is_empty());
    assert_eq!(by_variable.ids(), expected, "{}", by_variable.stderr);
    assert_eq!(by_profile.ids(), expected, "{}", by_profile.stderr);
    let by_capitals = Capture::new(url.replacen("http", "HTTP", 1))
        .keys()
        .env("AWS_ENDPOINT_URL", aws.endpoint())
        .run();
    assert_eq!(by_capitals.ids(), expected, "{}", by_capitals.stderr);
    // Those of others are not.
    let error = Capture::new(&url).keys().open_error();
    assert!(error.contains("aws.endpoint"), "{error}");
}
