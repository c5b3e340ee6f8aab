//! Trails in buckets: every layout, level and form of URL.

use harness::{
    aws::{Aws, Credentials, Op, REGION},
    capture::Capture,
    proxy::Proxy,
    trail::{self, LogFile, Maker},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

const ACCOUNTS: [&str; 2] = ["123456789012", "210987654321"];
const REGIONS: [&str; 2] = ["eu-west-1", "us-east-1"];

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

fn make() -> Vec<LogFile> {
    Maker::new(1).trail(&ACCOUNTS, &REGIONS, "20240305T2355Z", 2, 2)
}

/// Puts log files under keys of a layout, with all that may lie beside them.
fn put(aws: &Aws, bucket: &str, files: &[LogFile], key: impl Fn(&LogFile) -> String) {
    for file in files {
        aws.put(bucket, &key(file), &file.gz());
    }
}

/// Every event of the URL once, in order.
fn assert_reads(aws: &Aws, url: &str, config: serde_json::Value, wanted: &[LogFile]) {
    let events = Capture::new(url).aws(aws).config(config.clone()).events();
    let ids = harness::host::ids(&events);
    assert_eq!(ids, trail::ids(wanted), "{url} with {config}");
}

/// Where a log file lies.
type Key = fn(&LogFile) -> String;

/// The layouts that trails are found in, each with the part before an account.
fn layouts() -> [(&'static str, Key); 4] {
    [
        ("plain", |file| file.key("")),
        ("prefix", |file| file.key("my/prefix/")),
        ("org", |file| file.org_key("", "o-abcdefghij")),
        ("both", |file| {
            file.org_key("some prefix/ü/", "o-abcdefghij")
        }),
    ]
}

#[test]
fn every_level_of_every_layout_can_be_opened() {
    let aws = Aws::start();
    let files = make();
    for (bucket, key) in layouts() {
        let bucket = format!("trail-{bucket}");
        put(&aws, &bucket, &files, key);
        let one = key(&files[0]);
        let levels: Vec<usize> = std::iter::once(0)
            .chain(one.match_indices('/').map(|(at, _)| at + 1))
            .collect();
        // Every other level without its slash, the whole bucket in both ways.
        for (number, level) in levels.iter().enumerate() {
            let prefix = match number % 2 {
                0 => &one[..*level],
                _ => one[..*level].trim_end_matches('/'),
            };
            let wanted: Vec<LogFile> = files
                .iter()
                .filter(|file| key(file).starts_with(prefix))
                .cloned()
                .collect();
            assert_reads(&aws, &format!("s3://{bucket}/{prefix}"), json!({}), &wanted);
        }
        assert_reads(&aws, &format!("s3://{bucket}"), json!({}), &files);
        assert_reads(
            &aws,
            &format!("s3://{bucket}/{one}"),
            json!({}),
            &files[..1],
        );
        // A part of a name.
        let partial = &one[..one.rfind("2355Z").unwrap() + 2];
        assert_reads(
            &aws,
            &format!("s3://{bucket}/{partial}"),
            json!({}),
            &files[..1],
        );
    }
}

#[test]
fn interval_and_accounts_apply_at_every_level_of_every_layout() {
    let aws = Aws::start();
    // Delivered at 23:50, 23:55, 00:00 and 00:05, over midnight.
    let files = Maker::new(2).trail(&ACCOUNTS, &REGIONS, "20240305T2350Z", 4, 1);
    let config = json!({"s3Interval": "2024-03-05T23:55:30Z-2024-03-06T00:00:10Z", "s3AccountList": " 210987654321"});
    let chosen = |file: &&LogFile| {
        file.account == ACCOUNTS[1]
            && ["20240305T2355Z", "20240306T0000Z"].contains(&file.time.as_str())
    };
    let chosen: Vec<LogFile> = files.iter().filter(chosen).cloned().collect();
    assert_eq!(chosen.len(), 4);
    for (bucket, key) in layouts() {
        let bucket = format!("trail-{bucket}");
        put(&aws, &bucket, &files, key);
        let one = key(&chosen[0]);
        for (level, _) in one.match_indices('/') {
            let prefix = &one[..=level];
            let wanted: Vec<LogFile> = chosen
                .iter()
                .filter(|file| key(file).starts_with(prefix))
                .cloned()
                .collect();
            assert_reads(
                &aws,
                &format!("s3://{bucket}/{prefix}"),
                config.clone(),
                &wanted,
            );
        }
        assert_reads(&aws, &format!("s3://{bucket}"), config.clone(), &chosen);
    }
}

#[test]
fn intervals_may_count_back_from_now() {
    let aws = Aws::start();
    let mut maker = Maker::new(3);
    let now = Timestamp::now();
    let files: Vec<LogFile> = [1, 30, 60, 100, 140]
        .iter()
        .map(|hours| {
            maker.file(
                ACCOUNTS[0],
                REGIONS[0],
                &trail::format_time(now - SignedDuration::from_hours(*hours)),
                1,
            )
        })
        .collect();
    put(&aws, "logs", &files, |file| file.key(""));
    for (interval, wanted) in [
        ("5d", &files[..4]),
        (" 5d - 2d ", &files[2..4]),
        ("36h", &files[..2]),
    ] {
        let wanted = trail::in_order(wanted);
        assert_reads(&aws, "s3://logs/", json!({"s3Interval": interval}), &wanted);
    }
}

#[test]
fn events_come_in_order_of_delivery_over_accounts_and_regions() {
    let aws = Aws::start();
    let files = Maker::new(4).trail(&ACCOUNTS, &REGIONS, "20240305T2330Z", 12, 2);
    put(&aws, "logs", &files, |file| file.key(""));
    // Several pages for each listing.
    aws.page(5);
    let events = Capture::new("s3://logs").aws(&aws).events();
    let ids = harness::host::ids(&events);
    assert_eq!(ids, trail::ids(&trail::in_order(&files)));
    for (event, record) in events.iter().zip(trail::records(&files)) {
        assert_eq!(
            (event.payload(), event.ts()),
            (record.json.as_bytes(), record.ts())
        );
    }
}

#[test]
fn keys_that_follow_no_layout_are_read_in_the_order_in_which_they_were_stored() {
    let aws = Aws::start();
    let mut maker = Maker::new(5);
    let files: Vec<LogFile> = (0..4)
        .map(|_| maker.file(ACCOUNTS[0], REGIONS[0], "20240305T1205Z", 2))
        .collect();
    let mut stored = Timestamp::now();
    for (name, file) in [
        "z.json.gz",
        "b&c=d/2.json",
        "a b+c/1.json",
        "a b+c/é%20.json.gz",
    ]
    .iter()
    .zip(&files)
    {
        aws.put("logs", name, &file.gz());
        stored += SignedDuration::from_secs(1);
        aws.stored("logs", name, stored);
    }
    let events = Capture::new("s3://logs").aws(&aws).events();
    assert_eq!(harness::host::ids(&events), trail::ids(&files));
    assert_reads(&aws, "s3://logs/a b+c/", json!({}), &files[2..]);
}

#[test]
fn what_holds_no_events_is_passed_over_unread_and_counted() {
    let aws = Aws::start();
    let files = make();
    put(&aws, "logs", &files, |file| file.key(""));
    let insights = Maker::new(6).insight_file(ACCOUNTS[0], REGIONS[0], "20240305T2355Z");
    let mut network = Maker::new(7).file(ACCOUNTS[0], REGIONS[0], "20240305T2355Z", 2);
    network.kind = "CloudTrail-NetworkActivity".into();
    let mut aggregated = Maker::new(8).file(ACCOUNTS[0], REGIONS[0], "20240305T2355Z", 2);
    aggregated.kind = "CloudTrail-Aggregated".into();
    let more = [insights, network, aggregated];
    put(&aws, "logs", &more, |file| file.key(""));
    for account in ACCOUNTS {
        for (key, body) in Maker::new(9).bystanders(account, REGIONS[0]) {
            aws.put("logs", &key, &body);
        }
    }
    let wanted = trail::in_order(&[files, more.to_vec()].concat());
    for url in [
        "s3://logs",
        "s3://logs/AWSLogs/",
        "s3://logs/AWSLogs/123456789012/",
        "s3://logs/AWSLogs/123456789012/CloudTrail",
    ] {
        let seen = Capture::new(url).aws(&aws).run();
        assert_eq!(seen.error, None, "{url}");
        let wanted: Vec<LogFile> = wanted
            .iter()
            .filter(|file| format!("s3://logs/{}", file.key("")).starts_with(url))
            .cloned()
            .collect();
        assert_eq!(seen.ids(), trail::ids(&wanted), "{url}");
        assert_eq!(seen.stderr, "", "{url}");
        assert!(seen.log().contains("passed over"), "{url}: {}", seen.log());
    }
    for request in aws.log_of(Op::GetObject) {
        assert!(
            wanted.iter().any(|file| file.key("") == request.key),
            "read {}",
            request.key
        );
    }
}

#[test]
fn every_page_of_every_listing_is_read() {
    let aws = Aws::start();
    let accounts: Vec<String> = (0..7)
        .map(|number| format!("12345678901{number}"))
        .collect();
    let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let files = Maker::new(10).trail(
        &accounts,
        &["eu-west-1", "us-east-1", "xx-new-9"],
        "20240305T2350Z",
        4,
        1,
    );
    put(&aws, "logs", &files, |file| file.key(""));
    aws.page(2);
    assert_reads(&aws, "s3://logs/", json!({}), &files);
    assert_reads(
        &aws,
        "s3://logs/AWSLogs",
        json!({"s3Interval": "2024-03-05T00:00:00Z"}),
        &files,
    );
}

#[test]
fn each_object_is_fetched_once() {
    let aws = Aws::start();
    let files = Maker::new(11).trail(&ACCOUNTS, &REGIONS, "20240305T2350Z", 5, 1);
    put(&aws, "logs", &files, |file| file.key(""));
    for concurrency in [1, 2, 64] {
        let before = aws.log_of(Op::GetObject).len();
        assert_reads(
            &aws,
            "s3://logs",
            json!({"s3DownloadConcurrency": concurrency}),
            &files,
        );
        let mut keys: Vec<String> = aws
            .log_of(Op::GetObject)
            .drain(before..)
            .map(|request| request.key)
            .collect();
        keys.sort();
        let mut wanted: Vec<String> = files.iter().map(|file| file.key("")).collect();
        wanted.sort();
        assert_eq!(keys, wanted);
    }
}

#[test]
fn no_more_downloads_at_once_than_configured() {
    let aws = Aws::start();
    let files = Maker::new(12).trail(&ACCOUNTS, &REGIONS, "20240305T2350Z", 3, 1);
    put(&aws, "logs", &files, |file| file.key(""));
    // Objects never come, so all requests that are made at once pile up.
    aws.fault(
        |request| request.op == Op::GetObject,
        harness::aws::Fault::Stall,
    );
    let seen = Capture::new("s3://logs")
        .aws(&aws)
        .config(json!({"s3DownloadConcurrency": 3}))
        .limit(std::time::Duration::from_secs(2))
        .run();
    assert_eq!(seen.events.len(), 0);
    assert_eq!(aws.log_of(Op::GetObject).len(), 3);
}

/// Everything by AWS's own host names: the harness is a proxy and has a certificate for each.
#[test]
fn urls_that_people_copy_name_their_bucket_prefix_and_region() {
    let aws = Aws::start();
    let proxy = Proxy::start(&aws);
    aws.put_in("eu-west-1", "my-logs");
    let files = make();
    put(&aws, "my-logs", &files, |file| file.key(""));
    aws.alias("audit-123456789012", "my-logs");
    aws.alias("audit-abc123-s3alias", "my-logs");
    let prefix = "AWSLogs/123456789012/CloudTrail/eu-west-1/";
    let below: Vec<LogFile> = files
        .iter()
        .filter(|file| file.key("").starts_with(prefix))
        .cloned()
        .collect();
    let one = files[0].key("");
    let object = &files[..1];
    for (url, wanted) in [
        ("s3://my-logs".to_owned(), &files[..]),
        (format!("s3://my-logs/{prefix}"), &below),
        (format!("https://my-logs.s3.eu-west-1.amazonaws.com/{prefix}"), &below),
        ("https://my-logs.s3.amazonaws.com/".to_owned(), &files),
        (format!("https://my-logs.s3.dualstack.eu-west-1.amazonaws.com/{prefix}"), &below),
        (format!("https://s3.eu-west-1.amazonaws.com/my-logs/{prefix}"), &below),
        ("https://s3.amazonaws.com/my-logs".to_owned(), &files),
        (format!("https://my-logs.s3.eu-west-1.amazonaws.com/{one}"), object),
        (format!("https://s3.console.aws.amazon.com/s3/buckets/my-logs?region=eu-west-1&prefix={prefix}&showversions=false"), &below),
        ("https://eu-west-1.console.aws.amazon.com/s3/buckets/my-logs?region=eu-west-1&bucketType=general&tab=objects".to_owned(), &files),
        (format!("https://eu-west-1.console.aws.amazon.com/s3/buckets/my-logs?prefix={}&region=eu-west-1", prefix.replace('/', "%2F")), &below),
        (format!("https://s3.console.aws.amazon.com/s3/object/my-logs?region=eu-west-1&prefix={one}"), object),
        ("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/audit".to_owned(), &files),
        (format!("arn:aws:s3:eu-west-1:123456789012:accesspoint/audit/{prefix}"), &below),
        (format!("s3://audit-abc123-s3alias/{prefix}"), &below),
        (format!("arn:aws:s3:::my-logs/{prefix}"), &below),
    ] {
        let seen = Capture::new(&url).by_name(&aws, &proxy).keys().run();
        assert_eq!(seen.error, None, "{url}");
        assert_eq!(seen.ids(), trail::ids(wanted), "{url}");
    }
    assert!(
        proxy
            .asked()
            .iter()
            .all(|line| line.contains(".amazonaws.com:443")),
        "{:?}",
        proxy.asked()
    );
}

#[test]
fn urls_of_a_store_of_ones_own_name_their_bucket() {
    let aws = Aws::start();
    let files = make();
    put(&aws, "logs", &files, |file| file.key(""));
    assert_reads(
        &aws,
        &format!("{}/logs/AWSLogs/", aws.endpoint()),
        json!({}),
        &files,
    );
}

#[test]
fn the_region_of_a_bucket_is_found_and_followed() {
    let aws = Aws::start();
    let proxy = Proxy::start(&aws);
    let files = make();
    for (region, bucket, partition) in [
        ("us-east-1", "logs-us", "aws"),
        ("eu-west-1", "logs-eu", "aws"),
        ("ap-southeast-2", "logs-ap", "aws"),
        ("cn-north-1", "logs-cn", "aws-cn"),
        ("cn-northwest-1", "logs-cnw", "aws-cn"),
        ("us-gov-west-1", "logs-gov", "aws-us-gov"),
        ("us-gov-east-1", "logs-gove", "aws-us-gov"),
        ("eusc-de-east-1", "logs-eusc", "aws-eusc"),
    ] {
        aws.put_in(region, bucket);
        put(&aws, bucket, &files, |file| file.key(""));
        let keys = Credentials {
            partition: partition.into(),
            ..aws.issue()
        };
        aws.add_key(keys.clone());
        let capture = || {
            Capture::new(format!("s3://{bucket}/"))
                .by_name(&aws, &proxy)
                .env("AWS_ACCESS_KEY_ID", &keys.access_key)
                .env("AWS_SECRET_ACCESS_KEY", &keys.secret_key)
                .env("AWS_SESSION_TOKEN", keys.token.clone().unwrap())
        };
        let mut captures = vec![
            ("none", capture()),
            (
                "its own",
                capture().config(json!({"aws": {"region": region}})),
            ),
        ];
        if partition == "aws" {
            captures.push((
                "another, configured",
                capture().config(json!({"aws": {"region": "eu-central-1"}})),
            ));
            captures.push((
                "another, environment",
                capture().env("AWS_REGION", "us-west-2"),
            ));
        }
        for (set, capture) in captures {
            let seen = capture.run();
            assert_eq!(seen.error, None, "{bucket}, region set: {set}");
            assert_eq!(
                seen.ids(),
                trail::ids(&files),
                "{bucket}, region set: {set}"
            );
        }
    }
}

#[test]
fn a_bucket_of_an_endpoint_may_be_in_another_region_too() {
    let aws = Aws::start();
    aws.put_in("eu-west-1", "logs");
    let files = make();
    put(&aws, "logs", &files, |file| file.key(""));
    for region in ["eu-west-1", REGION] {
        assert_reads(
            &aws,
            "s3://logs",
            json!({"aws": {"region": region}}),
            &files,
        );
    }
}

#[test]
fn an_interval_that_holds_nothing_is_an_end_that_says_so() {
    let aws = Aws::start();
    put(&aws, "logs", &make(), |file| file.key(""));
    let config = json!({"s3Interval": "2020-01-01T00:00:00Z-2020-01-02T00:00:00Z"});
    for url in [
        "s3://logs",
        "s3://logs/AWSLogs/123456789012/CloudTrail/eu-west-1/",
    ] {
        let seen = Capture::new(url).aws(&aws).config(config.clone()).run();
        assert_eq!((&seen.error, seen.events.len()), (&None, 0), "{url}");
        for words in [seen.log(), seen.stderr] {
            assert!(words.contains("holds nothing of s3://logs/"), "{words}");
        }
    }
}

/// What S3 and the way to it do wrong now and then costs time, not events.
#[test]
fn passing_trouble_loses_nothing() {
    use harness::aws::Fault;
    for fault in [
        Fault::slow_down(),
        Fault::error(
            500,
            "InternalError",
            "We encountered an internal error. Please try again.",
        ),
        Fault::Reset,
        Fault::ResetAfter(60),
        Fault::CloseAfter(60),
        Fault::Truncate(60),
        Fault::Trickle,
        Fault::Delay(std::time::Duration::from_millis(300)),
    ] {
        let aws = Aws::start();
        let files = make();
        put(&aws, "logs", &files, |file| file.key(""));
        let key = files[1].key("");
        aws.fault_times(
            2,
            move |request| request.op == Op::GetObject && request.key == key,
            fault.clone(),
        );
        // S3 never states a wrong length for a listing.
        if !matches!(fault, Fault::Truncate(_)) {
            aws.fault_times(1, |request| request.op == Op::ListObjects, fault.clone());
        }
        let seen = Capture::new("s3://logs").aws(&aws).default_sigpipe().run();
        assert!(seen.status.success(), "{fault:?}: {}", seen.status);
        assert_eq!(
            (seen.error.clone(), seen.stderr.as_str()),
            (None, ""),
            "{fault:?}"
        );
        assert_eq!(seen.ids(), trail::ids(&files), "{fault:?}");
    }
}

/// What says nothing for longer than is waited for is asked again.
#[test]
fn silence_costs_time_only() {
    use harness::aws::Fault;
    let silence = |op: Op, fault: Fault| {
        let aws = Aws::start();
        let files = make();
        put(&aws, "logs", &files, |file| file.key(""));
        aws.fault_times(1, move |request| request.op == op, fault.clone());
        let seen = Capture::new("s3://logs").aws(&aws).run();
        assert_eq!(
            (seen.error.clone(), seen.stderr.as_str()),
            (None, ""),
            "{op:?} {fault:?}"
        );
        assert_eq!(seen.ids(), trail::ids(&files), "{op:?} {fault:?}");
    };
    // Twenty seconds each.
    std::thread::scope(|scope| {
        for op in [Op::ListObjects, Op::GetObject] {
            for fault in [Fault::Stall, Fault::StallAfter(60)] {
                scope.spawn(move || silence(op, fault));
            }
        }
    });
}

#[test]
fn a_large_object_comes_in_ranges_whatever_happens_to_them() {
    use harness::aws::Fault;
    // 48 MB, which is not compressed.
    let mut maker = Maker::new(1);
    let mut file = maker.file(ACCOUNTS[0], REGIONS[0], "20240305T1205Z", 400);
    for record in &mut file.records {
        record.json.pop();
        record.json += &format!(r#","serviceEventDetails":"{}"}}"#, "x".repeat(120_000));
    }
    let key = file.key("").replace(".json.gz", ".json");
    for fault in [
        None,
        Some(Fault::slow_down()),
        Some(Fault::ResetAfter(2_000_000)),
        Some(Fault::CloseAfter(3_000_000)),
    ] {
        let aws = Aws::start();
        aws.put("logs", &key, &file.json());
        if let Some(fault) = fault.clone() {
            aws.fault_times(4, |request| request.op == Op::GetObject, fault);
        }
        let seen = Capture::new("s3://logs").aws(&aws).run();
        assert_eq!((&seen.error, &*seen.stderr), (&None, ""), "{fault:?}");
        assert_eq!(
            seen.ids(),
            trail::ids(std::slice::from_ref(&file)),
            "{fault:?}"
        );
        let gets = aws.log_of(Op::GetObject);
        assert!(gets.iter().all(|get| get.headers.contains_key("range")));
        let firsts = gets
            .iter()
            .filter(|get| !get.headers.contains_key("if-match"));
        assert!(
            gets.len() >= 12 && firsts.count() <= 5,
            "{} requests",
            gets.len()
        );
    }
}
