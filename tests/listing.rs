//! What is listed: every log file of a bucket once, in order of delivery, whatever the layout, the pages and the delays.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{
    aws::{Aws, Fault, Op},
    capture::Capture,
    trail::{self, LogFile, Maker, sorted},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// The part of a key before an account.
fn root(random: &mut fastrand::Rng) -> String {
    let prefix = ["", "logs/", "a/b/", "o-abcdefghij/"][random.usize(..4)];
    let organization = ["", "o-abcdefghij/"][random.usize(..2)];
    format!("{prefix}AWSLogs/{organization}")
}

#[test]
fn a_trail_whose_prefix_is_a_folder_of_another_account_is_found() {
    let aws = Aws::start();
    let mut files = Vec::new();
    for (seed, prefix) in [
        "",
        "AWSLogs/999999999999/",
        "AWSLogs/999999999999/CloudTrail/",
    ]
    .into_iter()
    .enumerate()
    {
        let mut maker = Maker::new(seed as u64);
        for file in maker.trail(&["111122223333"], &["us-east-1"], "20240305T1205Z", 3, 2) {
            aws.put("trail", &file.key(prefix), &file.gz());
            files.push(file);
        }
    }
    let ids = sorted(trail::ids(&files));
    for interval in ["", "2024-03-05T00:00:00Z-2024-03-06T00:00:00Z"] {
        let seen = Capture::new("s3://trail")
            .aws(&aws)
            .config(json!({"s3Interval": interval}))
            .run();
        assert_eq!(
            (seen.error.clone(), sorted(seen.ids())),
            (None, ids.clone()),
            "{interval:?}"
        );
    }
}

/// Whoever sets up a trail chooses its prefix: that hides it nowhere.
#[test]
fn a_trail_below_a_folder_that_is_left_out_is_found() {
    const ACCOUNT: &str = "111122223333";
    let aws = Aws::start();
    let mut maker = Maker::new(1);
    let mut wanted = Vec::new();
    for prefix in [
        "",
        "AWSLogs/999999999999/",
        "AWSLogs/999999999999/CloudTrail/",
        "AWSLogs/999999999999/Config/",
        "AWSLogs/aws-account-id=999999999999/",
        "AWSLogs/111122223333/CloudTrail-Digest/",
        "AWSLogs/111122223333/vpcflowlogs/",
        "AWSLogs/111122223333/CloudTrail/us-east-1/",
        "AWSLogs/111122223333/CloudTrail/eu-west-1/",
    ] {
        for account in [ACCOUNT, "999999999999"] {
            let file = maker.file(account, "us-east-1", "20240305T1205Z", 2);
            aws.put("trail", &file.key(prefix), &file.gz());
            // Out of the interval, and behind it in the order of keys.
            let later = maker.file(account, "us-east-1", "20240402T0005Z", 1);
            aws.put("trail", &later.key(prefix), &later.gz());
            if account == ACCOUNT {
                wanted.push(file);
            }
        }
    }
    for interval in ["2024-03-05-2024-03-05", "2020-01-01-2024-03-31"] {
        for page in [0, 1] {
            aws.page(page);
            let seen = Capture::new("s3://trail")
                .aws(&aws)
                .config(json!({"s3Interval": interval, "s3AccountList": ACCOUNT}))
                .run();
            assert_eq!(
                (seen.error.clone(), sorted(seen.ids())),
                (None, sorted(trail::ids(&wanted))),
                "{interval:?}, pages of {page}: {}",
                seen.stderr
            );
        }
    }
}

/// Of a service that delivers beside a trail there may be millions of objects.
#[test]
fn flow_logs_beside_a_trail_are_not_listed() {
    let aws = Aws::start();
    let file = Maker::new(1).file("111122223333", "us-east-1", "20240305T1205Z", 2);
    file.put(&aws, "trail");
    for prefix in ["AWSLogs/", "AWSLogs/o-abcdefghij/"] {
        for day in 1..30 {
            let folder = "aws-account-id=111122223333/aws-service=vpcflowlogs/aws-region=us-east-1";
            let key = format!("{prefix}{folder}/year=2024/month=03/day={day:02}/x.log.gz");
            aws.put("trail", &key, b"");
        }
    }
    aws.page(10);
    let seen = Capture::new("s3://trail").aws(&aws).run();
    assert_eq!(
        (seen.error.clone(), seen.ids()),
        (None, trail::ids(&[file]))
    );
    // One for each of the two folders, which may be a trail's prefix.
    let lists = aws.log_of(Op::ListObjects);
    let below = lists
        .iter()
        .filter(|list| list.key.contains("aws-account-id="));
    assert_eq!(below.count(), 2);
}

/// Looking for such trails has a bound, and says where that is reached.
#[test]
fn trails_are_looked_for_below_some_of_the_folders_that_are_left_out() {
    let aws = Aws::start();
    let mut maker = Maker::new(1);
    for account in 0..300 {
        let file = maker.file(&format!("{account:012}"), "us-east-1", "20240305T1205Z", 1);
        file.put(&aws, "trail");
    }
    let seen = Capture::new("s3://trail")
        .aws(&aws)
        .config(json!({"s3AccountList": "000000000299"}))
        .run();
    assert_eq!((&seen.error, seen.events.len()), (&None, 1));
    let lists = |folder: &str| {
        let lists = aws.log_of(Op::ListObjects).into_iter();
        lists.filter(|list| list.key.starts_with(folder)).count()
    };
    let words = "more than 256 folders belong to accounts that are not in s3AccountList, or to other services: trails below \
                 s3://trail/AWSLogs/000000000256/ and those after it are not looked for";
    assert!(seen.log().contains(words), "{}", seen.log());
    // The account, and the one folder in it.
    let below = lists("AWSLogs/000000000255/");
    assert_eq!((below, lists("AWSLogs/000000000256/")), (2, 0));

    for service in 0..300 {
        aws.put(
            "trail",
            &format!("AWSLogs/000000000000/x{service:03}/x"),
            b"x",
        );
    }
    let seen = Capture::new("s3://trail/AWSLogs/000000000000/")
        .aws(&aws)
        .run();
    assert_eq!((&seen.error, seen.events.len()), (&None, 1));
    assert!(
        seen.log()
            .contains("trails below s3://trail/AWSLogs/000000000000/x256/ and those"),
        "{}",
        seen.log()
    );
    let below = lists("AWSLogs/000000000000/x255/");
    assert_eq!((below, lists("AWSLogs/000000000000/x256/")), (1, 0));
}

#[test]
fn random_layouts_pages_and_delays() {
    for seed in 0..24 {
        let mut random = fastrand::Rng::with_seed(seed);
        let aws = Aws::start();
        let mut maker = Maker::new(seed);
        let mut files: BTreeMap<String, LogFile> = BTreeMap::new();
        for _ in 0..random.usize(1..4) {
            let root = root(&mut random);
            for _ in 0..random.usize(1..4) {
                let account = format!("{:012}", random.u64(1..1_000_000_000_000));
                for _ in 0..random.usize(1..4) {
                    let region = ["us-east-1", "eu-west-1", "ap-southeast-2", "us-gov-west-1"]
                        [random.usize(..4)];
                    let kind = [
                        "CloudTrail",
                        "CloudTrail",
                        "CloudTrail-Insight",
                        "CloudTrail-Other",
                    ][random.usize(..4)];
                    for _ in 0..random.usize(1..8) {
                        let time = format!(
                            "2024030{}T{:02}{:02}Z",
                            random.u8(1..8),
                            random.u8(..24),
                            random.u8(..60)
                        );
                        let file = maker.file(&account, region, &time, 1);
                        let day = format!("{}/{}/{}", &time[..4], &time[4..6], &time[6..8]);
                        let key = format!("{root}{account}/{kind}/{region}/{day}/{}", file.name());
                        aws.put("trail", &key, &file.gz());
                        files.insert(key, file);
                    }
                }
                for (key, body) in maker.bystanders(&account, "us-east-1") {
                    aws.put(
                        "trail",
                        &format!("{}{key}", root.trim_end_matches("AWSLogs/")),
                        &body,
                    );
                }
            }
        }
        // And what follows no layout, whose time is that at which it was stored.
        let (now, mut loose) = (Timestamp::now(), Vec::new());
        for n in 0..random.i64(..4) {
            let file = maker.file("111122223333", "us-east-1", "20240304T0506Z", 1);
            let key = [
                "x",
                "some/where/deep/down/in/the/bucket/x",
                "AWSLogs/else/x",
            ][random.usize(..3)];
            let key = format!("{key}{n}.json.gz");
            aws.put("trail", &key, &file.gz());
            // With a time of its own.
            aws.stored("trail", &key, now + SignedDuration::from_secs(n));
            loose.extend(trail::ids(&[file]));
        }
        aws.page(random.i32(1..12));
        let slow = random.u64(..);
        aws.fault(
            move |request| {
                request.op == Op::ListObjects && (request.key.len() as u64 ^ slow).is_multiple_of(3)
            },
            Fault::Delay(Duration::from_millis(random.u64(1..15))),
        );
        let concurrency = [1, 2, 32, 256][random.usize(..4)];
        let seen = Capture::new("s3://trail")
            .aws(&aws)
            .config(json!({"s3DownloadConcurrency": concurrency}))
            .run();
        assert_eq!(seen.error, None, "seed {seed}: {}", seen.stderr);

        let mut in_order: Vec<_> = files.iter().collect();
        in_order.sort_by_cached_key(|(key, file)| (&file.time, file.name(), *key));
        // Each file has one event.
        let mut wanted: Vec<String> = in_order
            .into_iter()
            .map(|(_, file)| file.records[0].id.clone())
            .collect();
        wanted.extend(loose);
        assert_eq!(seen.ids(), wanted, "seed {seed}");
    }
}

#[test]
fn more_listings_than_can_be_merged() {
    let aws = Aws::start();
    let mut maker = Maker::new(1);
    let mut files = Vec::new();
    // 40 accounts with 15 regions each.
    for account in 0..40 {
        for region in 0..15 {
            let file = maker.file(
                &format!("{account:012}"),
                &format!("xx-test-{region}"),
                "20240304T0506Z",
                1,
            );
            aws.put("trail", &file.key(""), &file.gz());
            files.push(file);
        }
    }
    let seen = Capture::new("s3://trail").aws(&aws).run();
    assert_eq!(seen.error, None);
    // 512 of them in one order, and then the rest.
    files.sort_by_cached_key(|file| file.key(""));
    let wanted: Vec<LogFile> = files.chunks(512).flat_map(trail::in_order).collect();
    assert_eq!(seen.ids(), trail::ids(&wanted));
    assert!(
        seen.log().contains("more than 512 accounts and regions"),
        "{}",
        seen.log()
    );
}

#[test]
fn an_interval_is_not_looked_for_from_the_beginning() {
    let aws = Aws::start();
    let mut maker = Maker::new(1);
    let mut files = Vec::new();
    for region in ["us-east-1", "eu-west-1"] {
        for day in 1..=28 {
            for hour in [0, 6, 12, 18] {
                let file = maker.file(
                    "111122223333",
                    region,
                    &format!("202402{day:02}T{hour:02}00Z"),
                    1,
                );
                aws.put("trail", &file.key(""), &file.gz());
                files.push(file);
            }
        }
    }
    aws.page(10);
    let interval = "2024-02-14T06:00:00Z-2024-02-14T12:00:00Z";
    let seen = Capture::new("s3://trail")
        .aws(&aws)
        .config(json!({"s3Interval": interval}))
        .run();
    assert_eq!(seen.events.len(), 4);
    // The bucket, AWSLogs, the account, the kind, and for each region one, and one for what lies behind its days.
    let lists = aws.log_of(Op::ListObjects);
    assert!(
        lists.len() <= 8,
        "{}: {:?}",
        lists.len(),
        lists.iter().map(|list| &list.key).collect::<Vec<_>>()
    );
    // Another that holds nothing is an end.
    let seen = Capture::new("s3://trail")
        .aws(&aws)
        .config(json!({"s3Interval": "2025-02-14T06:00:00Z"}))
        .run();
    assert_eq!((seen.error, seen.events.len()), (None, 0));
}

#[test]
fn many_unrelated_folders_cost_one_listing() {
    let aws = Aws::start();
    let mut maker = Maker::new(1);
    let mut files = Vec::new();
    for n in 0..400 {
        let file = maker.file("111122223333", "us-east-1", "20240304T0506Z", 1);
        aws.put(
            "trail",
            &format!("folder-{n:03}/{}", file.name()),
            &file.gz(),
        );
        files.push(file);
    }
    let file = maker.file("444455556666", "us-east-1", "20240304T0506Z", 3);
    aws.put("trail", &file.key(""), &file.gz());
    files.push(file);
    for page in [0, 7] {
        aws.page(page);
        let before = aws.log_of(Op::ListObjects).len();
        let seen = Capture::new("s3://trail").aws(&aws).run();
        assert_eq!(
            sorted(seen.ids()),
            sorted(trail::ids(&files)),
            "page {page}: {}",
            seen.stderr
        );
        if page == 0 {
            assert!(aws.log_of(Op::ListObjects).len() - before <= 8);
        }
    }
}

#[test]
fn the_interval_of_events_is_exact() {
    let aws = Aws::start();
    let mut maker = Maker::new(1);
    let mut files = Vec::new();
    for minute in (0..60).step_by(5) {
        let file = maker.file(
            "111122223333",
            "us-east-1",
            &format!("20240304T05{minute:02}Z"),
            20,
        );
        aws.put("trail", &file.key(""), &file.gz());
        files.push(file);
    }
    let (start, end) = ("2024-03-04T05:09:50Z", "2024-03-04T05:19:50Z");
    let ns = |time: &str| time.parse::<jiff::Timestamp>().unwrap().as_nanosecond() as u64;
    let seen = Capture::new("s3://trail")
        .aws(&aws)
        .config(json!({"s3Interval": format!("{start}-{end}"), "s3IntervalOf": "event"}))
        .run();
    let wanted: Vec<_> = trail::records(&files)
        .into_iter()
        .filter(|record| (ns(start)..=ns(end)).contains(&record.ts()))
        .collect();
    // Ten seconds of the first file, all of the next, eleven of the last, which was delivered after the end.
    assert_eq!(wanted.len(), 41);
    let wanted: Vec<String> = wanted.into_iter().map(|record| record.id).collect();
    assert_eq!(seen.ids(), wanted);
}
