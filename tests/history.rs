//! The event history: every event of an interval, once and in order, at the pace that AWS allows.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::aws::{ACCOUNT, Aws, Credentials, Fault, Op, REGION, Request};
use harness::capture::{Capture, Seen, Stage};
use harness::home::Home;
use harness::host::{Event, Plugin, ids};
use harness::hosts::Hosts;
use harness::trail::{Maker, Record};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(100);

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// So many seconds ago.
fn ago(seconds: i64) -> Timestamp {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    now - SignedDuration::from_secs(seconds)
}

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// Events of a region at these times, in seconds ago, oldest first.
fn events(aws: &Aws, seed: u64, region: &str, times: impl IntoIterator<Item = i64>) -> Vec<Record> {
    let mut maker = Maker::new(seed);
    let mut times: Vec<i64> = times.into_iter().collect();
    times.sort_by_key(|ago| -ago);
    let records: Vec<Record> = times
        .into_iter()
        .map(|seconds| maker.record(ACCOUNT, region, ago(seconds)))
        .collect();
    aws.history().add(region, &records);
    records
}

/// Times over most of an hour, three pages of events.
fn spread() -> impl Iterator<Item = i64> {
    (0..120).map(|n| 100 + 29 * n)
}

fn record_ids<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<String> {
    records
        .into_iter()
        .map(|record| record.id.clone())
        .collect()
}

fn capture(aws: &Aws, params: &str, config: Value) -> Capture {
    Capture::new(params).aws(aws).config(config)
}

fn is_lookup(request: &Request) -> bool {
    request.op == Op::CloudTrail && !request.query.contains_key("EventCategory")
}

/// All these events, as they are, in their order, and nothing lost.
fn assert_read(seen: &Seen, records: &[Record]) {
    assert_eq!(seen.error, None, "{}", seen.words());
    assert_eq!(seen.ids(), record_ids(records), "{}", seen.log());
    for (event, record) in seen.events.iter().zip(records) {
        assert_eq!(event.payload(), record.json.as_bytes());
        assert_eq!(event.ts(), record.ts());
    }
    assert_eq!(seen.metrics["records_found"], records.len() as u64);
    assert_eq!(seen.metrics["records_handed_over"], records.len() as u64);
    assert_eq!(seen.metrics["files_listed"], seen.metrics["files_fetched"]);
    // In hundredths of a percent.
    assert_eq!(seen.progress.0, 10_000, "{}", seen.progress.1);
}

/// The names of what a log or error should say.
fn assert_names(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

#[test]
fn events_come_in_time_order() {
    let aws = Aws::start();
    // Three pages, with seconds that the ends of pages lie in.
    let times = (0..40).flat_map(|minute| [60 * minute + 100; 3]);
    let records = events(&aws, 1, REGION, times);
    let seen = capture(&aws, "cloudtrail://us-east-1", json!({"s3Interval": "1d"}))
        .fields()
        .run();
    assert_read(&seen, &records);
    assert_eq!(seen.stderr, "");
    let names = &seen.fields[0];
    assert_eq!(names["ct.region"].value, json!(REGION));
    assert_names(
        &seen.log(),
        &["120 events from ", " pages of the event history"],
    );
    // Nobody was asked but CloudTrail, and with the rate that it allows.
    assert!(aws.log().iter().all(|request| request.op == Op::CloudTrail));
    assert_eq!(aws.history().counts().throttled, 0);
}

/// Bursts and days without events: windows grow and shrink, and nothing is read twice or lost between them.
#[test]
fn windows_follow_the_density_of_events() {
    let aws = Aws::start();
    let times = [
        vec![80 * DAY, 80 * DAY, 45 * DAY],
        // More in one second than a page holds.
        vec![20 * DAY; 60],
        (0..200).map(|n| 3 * DAY + n / 2).collect(),
        (0..50).map(|n| 2 * HOUR + 60 * n).collect(),
        (0..130).map(|n| 20 + n).collect(),
    ];
    let records = events(&aws, 2, REGION, times.concat());
    let seen = capture(
        &aws,
        "cloudtrail://us-east-1",
        json!({"includeInsights": false}),
    )
    .run();
    assert_read(&seen, &records);
    // Ten pages would be full ones.
    let pages = seen.metrics["history_pages"];
    assert!(pages <= 35, "{pages} pages for {} events", records.len());
    let asked = aws.log_of(Op::CloudTrail);
    assert!(
        asked
            .iter()
            .all(|request| !request.query.contains_key("EventCategory"))
    );
}

#[test]
fn newest_first_as_the_console_shows_it() {
    let aws = Aws::start();
    let mut records = events(&aws, 3, REGION, (0..70).map(|n| 100 + 4 * (n / 3)));
    records.extend(events(&aws, 4, "eu-west-1", (0..60).map(|n| 102 + 4 * n)));
    // As LookupEvents has it: what was last in a second is first.
    records.reverse();
    records.sort_by_key(|record| -record.time.as_second());
    let config = json!({"historyOrder": "newest", "s3Interval": "1h"});
    let seen = capture(&aws, "cloudtrail://us-east-1,eu-west-1", config).run();
    let times: Vec<u64> = seen.events.iter().map(Event::ts).collect();
    assert!(times.is_sorted_by(|a, b| a >= b));
    assert_eq!(
        seen.ids().into_iter().collect::<BTreeSet<_>>(),
        record_ids(&records).into_iter().collect()
    );
    let expected: Vec<u64> = records.iter().map(Record::ts).collect();
    assert_eq!(times, expected);
    assert_eq!((seen.error, seen.progress.0), (None, 10_000));
}

#[test]
fn regions_are_merged_by_time() {
    let aws = Aws::start();
    let mut records = events(&aws, 5, REGION, (0..60).map(|n| 100 + 6 * n));
    records.extend(events(&aws, 6, "eu-west-1", (0..5).map(|n| 103 + 60 * n)));
    events(&aws, 7, "ap-south-1", [110]);
    let insight = Maker::new(8).insight(ACCOUNT, "eu-west-1", ago(200));
    aws.history().add_insights("eu-west-1", [&insight]);
    records.push(insight);
    records.sort_by_key(|record| record.time);
    let params = "cloudtrail://us-east-1,eu-west-1";
    let seen = capture(&aws, params, json!({"s3Interval": "1h"})).run();
    assert_read(&seen, &records);
}

#[test]
fn all_regions_but_those_that_are_not_enabled_or_denied() {
    let aws = Aws::start();
    let mut records = events(&aws, 9, REGION, [50, 70]);
    records.extend(events(&aws, 10, "sa-east-1", [60]));
    records.extend(events(&aws, 11, "xx-new-1", [55]));
    records.sort_by_key(|record| record.time);
    for region in ["me-south-1", "af-south-1"] {
        aws.history().close(region);
    }
    aws.fault(
        |request| request.region.as_deref() == Some("eu-west-3"),
        denied(),
    );
    let config = json!({"s3Interval": "1h", "includeInsights": false});
    let seen = capture(&aws, "cloudtrail://all,xx-new-1", config).run();
    assert_read(&seen, &records);
    assert_names(
        &seen.log(),
        &[
            "2 regions not read, af-south-1, me-south-1: they are not enabled for the account",
            "1 region not read, eu-west-3: these credentials have no cloudtrail:LookupEvents there",
        ],
    );
    let regions: BTreeSet<String> = aws
        .log()
        .into_iter()
        .filter_map(|asked| asked.region)
        .collect();
    assert!(regions.len() > 30 && !regions.iter().any(|region| region.starts_with("cn-")));

    let config = json!({"aws": {"region": "cn-north-1"}, "includeInsights": false});
    let seen = capture(&aws, "cloudtrail://all", config).run();
    assert_eq!((seen.error, seen.events.len()), (None, 0));

    aws.fault(is_lookup, denied());
    let error = capture(&aws, "cloudtrail://all", json!({})).open_error();
    assert_names(&error, &["us-east-1", "cloudtrail:LookupEvents"]);
}

/// CloudTrail's own words.
fn denied() -> Fault {
    Fault::error(
        400,
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: cloudtrail:LookupEvents because no \
         identity-based policy allows the cloudtrail:LookupEvents action",
    )
}

#[test]
fn the_interval_is_applied_on_the_server() {
    let aws = Aws::start();
    let records = events(&aws, 12, REGION, [100, 200, 300, 400, 500]);
    let (from, to) = (ago(400), ago(200));
    // Whichever time is meant elsewhere: here events have no other.
    for of in ["delivery", "event"] {
        let config = json!({"s3Interval": format!("{from}-{to}"), "s3IntervalOf": of});
        let seen = capture(&aws, "cloudtrail://us-east-1", config).run();
        assert_read(&seen, &records[1..4]);
    }
    for request in aws.log_of(Op::CloudTrail) {
        let time = |name: &str| request.query[name].parse::<f64>().unwrap() as i64;
        assert!(time("StartTime") >= from.as_second(), "{:?}", request.query);
        assert!(time("EndTime") <= to.as_second(), "{:?}", request.query);
    }

    // Nothing there, and before all that is there.
    for (interval, log) in [
        ("90s-30s", ""),
        ("200d-100d", "90 days"),
        ("100d", "90 days"),
    ] {
        let seen = capture(
            &aws,
            "cloudtrail://us-east-1",
            json!({"s3Interval": interval}),
        )
        .run();
        assert_eq!(seen.error, None);
        assert_eq!(seen.events.len(), if interval == "100d" { 5 } else { 0 });
        assert_names(&seen.log(), &[log]);
    }
}

/// Others ask as well: what is refused is asked for again, with the same token.
#[test]
fn throttling_fails_nothing() {
    let aws = Aws::start();
    let records = events(&aws, 13, REGION, spread());
    let throttled = || Fault::error(400, "ThrottlingException", "Rate exceeded");
    // When it is opened, too.
    aws.fault_times(2, is_lookup, throttled());
    aws.fault_times(
        3,
        |request| is_lookup(request) && request.query.contains_key("NextToken"),
        throttled(),
    );
    let config = json!({"s3Interval": "1h", "includeInsights": false});
    let seen = capture(&aws, "cloudtrail://us-east-1", config).run();
    assert_read(&seen, &records);
    // One at opening is no retry.
    assert_eq!(seen.metrics["requests_retried"], 4);
    let tokens: Vec<String> = aws
        .log_of(Op::CloudTrail)
        .iter()
        .filter_map(|request| request.query.get("NextToken").cloned())
        .collect();
    assert_eq!(tokens[..3], vec![tokens[0].clone(); 3]);
}

#[test]
fn failing_answers_are_asked_for_again() {
    let aws = Aws::start();
    let records = events(&aws, 14, REGION, spread());
    aws.fault_times(1, is_lookup, Fault::Reset);
    let second = |request: &Request| is_lookup(request) && request.query.contains_key("NextToken");
    aws.fault_times(2, second, Fault::error(500, "InternalFailure", "try again"));
    aws.fault_times(1, second, Fault::ResetAfter(100));
    let config = json!({"s3Interval": "1h", "includeInsights": false});
    let seen = capture(&aws, "cloudtrail://us-east-1", config).run();
    assert_read(&seen, &records);
}

/// Tokens that are no longer good cost no event and repeat none, in either order.
#[test]
fn tokens_that_expire() {
    for order in ["time", "newest"] {
        let aws = Aws::start();
        let mut records = events(&aws, 15, REGION, spread());
        if order == "newest" {
            records.reverse();
        }
        let refused = Fault::error(400, "InvalidNextTokenException", "Invalid token");
        let with_token =
            |request: &Request| is_lookup(request) && request.query.contains_key("NextToken");
        aws.fault_times(2, with_token, refused.clone());
        let config = json!({"s3Interval": "1h", "includeInsights": false, "historyOrder": order});
        let seen = capture(&aws, "cloudtrail://us-east-1", config.clone()).run();
        assert_read(&seen, &records);

        // More in one second than a page holds can't be had without a token.
        let aws = Aws::start();
        events(&aws, 16, REGION, [100; 60]);
        aws.fault(with_token, refused);
        let seen = capture(&aws, "cloudtrail://us-east-1", config)
            .config(json!({"s3Interval": "3m"}))
            .run();
        let (stage, error) = seen.error.unwrap();
        assert_eq!(stage, Stage::Read);
        assert_names(&error, &["us-east-1", "InvalidNextTokenException"]);
    }
}

/// A plugin whose credentials are in a file that a test writes.
struct World {
    aws: Aws,
    plugin: Plugin,
    home: Home,
    maker: RefCell<Maker>,
}

impl World {
    fn new(more: Value) -> Self {
        let aws = Aws::start();
        let home = Home::make();
        let mut config = json!({"includeInsights": false});
        let object = config.as_object_mut().unwrap();
        object.extend(more.as_object().unwrap().clone());
        // The file is read at open only.
        let plugin = Plugin::load(&home.config(&aws.endpoint(), config));
        let maker = RefCell::new(Maker::new(99));
        Self {
            aws,
            plugin,
            home,
            maker,
        }
    }

    fn log_in(&self) -> Credentials {
        let issued = self.aws.issue();
        self.home.log_in(&issued);
        issued
    }

    /// An event that happened so many seconds ago comes into the history.
    fn happens(&self, seconds: i64) -> String {
        let mut maker = self.maker.borrow_mut();
        let record = maker.record(ACCOUNT, REGION, ago(seconds));
        self.aws.history().add(REGION, [&record]);
        record.id
    }
}

#[test]
fn credentials_that_expire_are_found_anew() {
    let world = World::new(json!({"s3Interval": "1h", "historyOrder": "newest"}));
    let mut records = events(&world.aws, 16, REGION, (0..200).map(|n| 100 + n));
    records.reverse();
    let first = world.log_in();
    let mut instance = world.plugin.open("cloudtrail://us-east-1").unwrap();
    let mut read = instance.read_while(LIMIT, |events| events.is_empty());
    world.log_in();
    world.aws.expire(&first.access_key);
    let rest = instance.read_all(LIMIT);
    assert_eq!(rest.error, None);
    read.events.extend(rest.events);
    assert_eq!(ids(&read.events), record_ids(&records));
}

#[test]
fn without_new_credentials_it_fails_once_and_says_so() {
    let world = World::new(json!({"s3Interval": "1h", "historyOrder": "newest"}));
    events(&world.aws, 17, REGION, (0..200).map(|n| 100 + n));
    let first = world.log_in();
    let mut instance = world.plugin.open("cloudtrail://us-east-1").unwrap();
    instance.read_while(LIMIT, |events| events.is_empty());
    world.aws.expire(&first.access_key);
    let error = instance.read_all(LIMIT).error.unwrap();
    assert_names(
        &error,
        &[
            "looking up the event history of us-east-1",
            "the credentials have expired",
            "log in again",
        ],
    );
    let refused = world
        .aws
        .log()
        .iter()
        .filter(|request| request.access_key.as_deref() == Some(&first.access_key))
        .count();
    assert!(refused < 10, "{refused}");
}

#[test]
fn what_is_wrong_is_said_when_it_is_opened() {
    let aws = Aws::start();
    events(&aws, 18, REGION, [100]);
    let open = |params: &str| capture(&aws, params, json!({})).open_error();
    aws.history().close("me-south-1");
    assert_names(
        &open("cloudtrail://us-east-1,me-south-1"),
        &[
            "the event history of me-south-1",
            "UnrecognizedClientException",
            "the region is enabled for the account",
        ],
    );
    assert_names(
        &open("cloudtrail://"),
        &["a region is missing", "cloudtrail://all"],
    );
    assert_names(
        &open("cloudtrail://my-trail"),
        &["\"my-trail\" can't be a region"],
    );
    for (fault, words) in [
        (
            denied(),
            &[
                "with the credentials of the environment",
                "these credentials need cloudtrail:LookupEvents",
            ][..],
        ),
        (
            Fault::error(400, "ExpiredTokenException", "expired"),
            &["the credentials have expired"],
        ),
        (
            Fault::error(403, "InvalidSignatureException", "it does not match"),
            &["the secret access key does not belong to the access key ID"],
        ),
        (
            Fault::error(500, "InternalFailure", "sorry"),
            &["us-east-1", "sorry"],
        ),
        (
            Fault::Body(b"<html>sign in</html>".to_vec()),
            &["the answer is not one that CloudTrail gives"],
        ),
        (Fault::Reset, &["can't reach CloudTrail there"]),
    ] {
        let aws = Aws::start();
        aws.fault(|request| request.op == Op::CloudTrail, fault);
        let error = capture(&aws, "cloudtrail://us-east-1", json!({})).open_error();
        assert_names(&error, &["looking up the event history of us-east-1"]);
        assert_names(&error, words);
    }

    let error = Capture::new("cloudtrail://us-east-1")
        .endpoint(&aws)
        .open_error();
    assert_names(
        &error,
        &[
            "looking up the event history of us-east-1",
            "no AWS credentials found",
        ],
    );
}

/// An event without its record is lost, and that is said.
#[test]
fn an_event_without_a_record_is_counted() {
    let aws = Aws::start();
    let records = events(&aws, 19, REGION, [100, 300]);
    let mut empty = Maker::new(20).record(ACCOUNT, REGION, ago(200));
    empty.json.clear();
    aws.history().add(REGION, [&empty]);
    let seen = capture(&aws, "cloudtrail://us-east-1", json!({"s3Interval": "1h"})).run();
    assert_eq!(seen.ids(), record_ids(&records));
    assert_eq!(seen.metrics["records_unreadable"], 1);
    assert_names(
        &seen.log(),
        &["cloudtrail://us-east-1 from", "1 record could not be read"],
    );
    assert_names(&seen.stderr, &["1 record could not be read"]);
}

#[test]
fn where_there_are_no_insights_the_rest_is_read() {
    let aws = Aws::start();
    let records = events(&aws, 21, REGION, [100, 200]);
    aws.fault(
        |request| request.query.contains_key("EventCategory"),
        Fault::error(400, "UnsupportedOperationException", "not here"),
    );
    let seen = capture(&aws, "cloudtrail://us-east-1", json!({"s3Interval": "1h"})).run();
    assert_read(&seen, &records);
    assert_names(&seen.log(), &["us-east-1 has no Insights events"]);
}

#[test]
fn new_events_are_followed_and_come_once() {
    let world = World::new(json!({"s3Interval": "30m", "s3Follow": true, "s3PollInterval": 1}));
    world.log_in();
    let mut all: Vec<String> = (0..60).map(|n| world.happens(1000 - n)).collect();
    let mut instance = world.plugin.open("cloudtrail://us-east-1").unwrap();
    let mut seen = Vec::new();
    let mut read = |all: &[String]| {
        let read = instance.read_while(LIMIT, |events| seen.len() + events.len() < all.len());
        assert_eq!(read.error, None);
        seen.extend(ids(&read.events));
        assert_eq!(seen, all);
    };
    read(&all);
    // One that comes at once, one that comes late, and trouble between.
    all.push(world.happens(0));
    read(&all);
    let failing = Fault::error(500, "InternalFailure", "try again");
    world.aws.fault_times(2, is_lookup, failing);
    all.push(world.happens(600));
    read(&all);
    for _ in 0..3 {
        all.push(world.happens(1));
        read(&all);
    }
}

/// What was late for one region does not keep others back, and an interval's end is one.
#[test]
fn a_followed_interval_that_is_over_ends() {
    let world =
        World::new(json!({"s3Interval": "30m-16m", "s3Follow": true, "s3AccountList": ACCOUNT}));
    world.log_in();
    let inside = world.happens(1000);
    world.happens(100);
    let mut instance = world.plugin.open("cloudtrail://us-east-1").unwrap();
    let read = instance.read_all(LIMIT);
    assert_eq!((read.error, ids(&read.events)), (None, vec![inside]));
    drop(instance);
    let log = world.plugin.log();
    assert!(log.contains("s3AccountList has no effect"), "{log}");
}

#[test]
fn sysdig_reads_the_event_history() {
    let Some(hosts) = Hosts::new("history") else {
        return;
    };
    let aws = Aws::start();
    let mut records = events(&aws, 22, REGION, (0..60).map(|n| 100 + n));
    let config = json!({"aws": {"endpoint": aws.endpoint()}, "s3Interval": "1h"});
    let arguments = ["-p", "%ct.id %ct.region %ct.name"];
    let expected = |records: &[Record]| -> Vec<String> {
        let line = |record: &Record| {
            let json: BTreeMap<String, Value> = serde_json::from_str(&record.json).unwrap();
            format!(
                "{} {REGION} {}",
                record.id,
                json["eventName"].as_str().unwrap()
            )
        };
        records.iter().map(line).collect()
    };
    let lines = hosts.sysdig("cloudtrail://us-east-1", &config.to_string(), &arguments);
    assert_eq!(lines, expected(&records));
    let shown = hosts.sysdig_by_example("history.yaml", &aws.endpoint(), &arguments);
    assert_eq!(shown, expected(&records));

    records.reverse();
    let config =
        json!({"aws": {"endpoint": aws.endpoint()}, "s3Interval": "1h", "historyOrder": "newest"});
    let lines = hosts.sysdig("cloudtrail://us-east-1", &config.to_string(), &arguments);
    assert_eq!(lines, expected(&records));
}

/// A capture, and how many pages it was answered with.
fn pages_of(aws: &Aws, params: &str, config: Value) -> (Seen, usize) {
    let before = aws.history().counts().answered;
    let seen = capture(aws, params, config).run();
    assert_eq!(seen.error, None);
    (seen, aws.history().counts().answered - before)
}

#[test]
fn aws_applies_the_attribute_that_narrows_most() {
    let aws = Aws::start();
    let mut maker = Maker::new(77);
    let of = |record: &Record, key: usize| {
        let json = record.json.replace(
            "\"userIdentity\":{",
            &format!("\"userIdentity\":{{\"accessKeyId\":\"AKIA{key}\","),
        );
        Record {
            json,
            ..record.clone()
        }
    };
    // Ten thousand events, whose pages alone would take more than a minute and a half at two a second.
    let records: Vec<Record> = (0..10_000)
        .map(|n| {
            of(
                &maker.record(ACCOUNT, REGION, ago(90_000 - 9 * n as i64)),
                n % 100,
            )
        })
        .collect();
    aws.history().add(REGION, &records);
    let wanted = |keys: &[usize]| {
        let has = |record: &&Record| {
            keys.iter()
                .any(|key| record.json.contains(&format!("\"AKIA{key}\"")))
        };
        records.iter().filter(has).collect::<Vec<_>>()
    };

    // A hundred events, which are two pages.
    for (order, newest) in [("time", false), ("newest", true)] {
        let config = json!({"filter": "ct.user.accesskeyid=AKIA7", "historyOrder": order});
        let (seen, pages) = pages_of(&aws, "cloudtrail://us-east-1", config);
        let mut expected = record_ids(wanted(&[7]));
        if newest {
            expected.reverse();
        }
        assert_eq!(seen.ids(), expected, "{order}");
        assert_eq!(pages, 2, "{order}");
        assert!(
            seen.log().contains(
                "of filter, AWS applies AccessKeyId = AKIA7, and the rest is applied here"
            ),
            "{}",
            seen.log()
        );
    }

    // A list, and something that AWS can't apply.
    let config =
        json!({"filter": "ct.user.accesskeyid in (AKIA7, AKIA8) and not ct.id startswith 0"});
    let (seen, pages) = pages_of(&aws, "cloudtrail://us-east-1", config);
    let mut expected = record_ids(wanted(&[7, 8]));
    expected.retain(|id| !id.starts_with('0'));
    assert_eq!(seen.ids(), expected);
    assert_eq!(pages, 4);
}

#[test]
fn insights_events_on_data_events_of_a_trail_are_listed() {
    let aws = Aws::start();
    let trail = format!("arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/main");
    let mut maker = Maker::new(78);
    let mut records: Vec<Record> = (0..60)
        .map(|n| maker.insight(ACCOUNT, REGION, ago(10_000 - 100 * n)))
        .collect();
    records[30].json = records[30].json.replace("RunInstances", "GetObject");
    aws.history().add_trail_insights(REGION, &trail, &records);
    // Neither those on management events nor these themselves are of this trail.
    aws.history()
        .add_insights(REGION, [&maker.insight(ACCOUNT, REGION, ago(500))]);
    events(&aws, 79, REGION, [100, 200]);

    let url = format!("cloudtrail://{trail}");
    let (seen, pages) = pages_of(&aws, &url, json!({}));
    assert_eq!(seen.ids(), record_ids(&records));
    assert!(pages >= 2);
    let asked = aws.log_of(Op::CloudTrail);
    assert!(
        asked
            .iter()
            .all(|request| request.key == "ListInsightsData")
    );

    let (seen, pages) = pages_of(&aws, &url, json!({"filter": "ct.insight.name=GetObject"}));
    assert_eq!(seen.ids(), record_ids([&records[30]]));
    assert_eq!(pages, 1);
    assert!(
        seen.log().contains("AWS applies EventName = GetObject"),
        "{}",
        seen.log()
    );
}

/// An attribute that most events have is no reason to read all of them before the first is shown.
#[test]
fn the_first_event_of_an_attribute_that_many_have_comes_soon() {
    let world = World::new(json!({"filter": "ct.readonly in (true, false)", "s3Interval": "26h"}));
    world.log_in();
    events(&world.aws, 80, REGION, (0..3_000).map(|n| 100 + 30 * n));
    let mut instance = world.plugin.open("cloudtrail://us-east-1").unwrap();
    let read = instance.read_while(LIMIT, |events| events.is_empty());
    assert_eq!(read.error, None);
    assert!(!read.events.is_empty());
    let log = world.plugin.log();
    assert!(
        log.contains("AWS applies ReadOnly = false or true"),
        "{log}"
    );
    // Of sixty pages.
    let pages = world.aws.history().counts().answered;
    assert!(pages <= 24, "{pages}");
}
