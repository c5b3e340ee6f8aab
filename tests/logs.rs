//! CloudWatch Logs: every event of the log groups that CloudTrail writes to, once and in the order of delivery.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use harness::aws::{ACCOUNT, Aws, Credentials, Fault, Op, REGION, Request};
use harness::capture::{Capture, Seen, Stage};
use harness::history::Trail;
use harness::home::Home;
use harness::host::{Instance, Plugin, ids};
use harness::hosts::Hosts;
use harness::logs::{Asked, Class, arn};
use harness::moto::Moto;
use harness::sample;
use harness::trail::{Maker, Record, log_text, sorted};
use harness::until;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(100);

const STREAM: &str = "123456789012_CloudTrail_us-east-1";
const OTHER_ACCOUNT: &str = "999999999999";
/// 2024-01-01T00:00:00Z, before which nothing can be asked for newest first.
const FIRST_OF_2024: i64 = 1_704_067_200_000;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// A record, and when it was delivered, in milliseconds.
type Delivered = (i64, Record);

/// So many seconds before the tests began.
fn ago(seconds: i64) -> Timestamp {
    static BEGUN: LazyLock<i64> = LazyLock::new(|| Timestamp::now().as_second());
    Timestamp::from_second(*BEGUN - seconds).unwrap()
}

fn milliseconds(seconds_ago: i64) -> i64 {
    ago(seconds_ago).as_millisecond()
}

const MINUTE: i64 = 60_000;

/// The beginning of that minute.
fn minute(seconds_ago: i64) -> i64 {
    milliseconds(seconds_ago) / MINUTE * MINUTE
}

/// Puts events into a group.
fn put(aws: &Aws, region: &str, group: &str, events: &[Delivered]) {
    let messages: Vec<(i64, &str)> = events
        .iter()
        .map(|(at, record)| (*at, record.json.as_str()))
        .collect();
    aws.logs().put(region, group, STREAM, &messages);
}

/// Events that were delivered to a group so many seconds ago, oldest first, five minutes after they happened.
fn deliver(
    aws: &Aws,
    seed: u64,
    region: &str,
    group: &str,
    times: impl IntoIterator<Item = i64>,
) -> Vec<Delivered> {
    let mut maker = Maker::new(seed);
    let mut times: Vec<i64> = times.into_iter().collect();
    times.sort_by_key(|ago| -ago);
    let events: Vec<Delivered> = times
        .into_iter()
        .map(|seconds| {
            let record = maker.record(ACCOUNT, region, ago(seconds + 300));
            (milliseconds(seconds), record)
        })
        .collect();
    put(aws, region, group, &events);
    events
}

/// Events of several groups, in their order.
fn merged(all: &[Vec<Delivered>]) -> Vec<Delivered> {
    let mut all = all.concat();
    all.sort_by_key(|(at, _)| *at);
    all
}

fn record_ids<'a>(events: impl IntoIterator<Item = &'a Delivered>) -> Vec<String> {
    events
        .into_iter()
        .map(|(_, record)| record.id.clone())
        .collect()
}

fn capture(aws: &Aws, params: &str, config: Value) -> Capture {
    Capture::new(params).aws(aws).config(config).limit(LIMIT)
}

fn last_hour() -> Value {
    json!({"s3Interval": "1h"})
}

fn is_filter(request: &Request) -> bool {
    request.op == Op::Logs && request.key == "FilterLogEvents"
}

fn has_token(request: &Request) -> bool {
    is_filter(request) && request.query.contains_key("nextToken")
}

/// CloudWatch Logs' own words.
fn bad_token() -> Fault {
    Fault::error(
        400,
        "InvalidParameterException",
        "The specified nextToken is invalid.",
    )
}

fn denied(action: &str) -> Fault {
    Fault::error(
        400,
        "AccessDeniedException",
        &format!(
            "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: {action} because no identity-based \
             policy allows the {action} action"
        ),
    )
}

fn throttled() -> Fault {
    Fault::error(400, "ThrottlingException", "Rate exceeded")
}

/// All these events, as they are, in their order, and nothing lost.
fn assert_read(seen: &Seen, events: &[Delivered]) {
    assert_eq!(seen.error, None, "{}", seen.words());
    assert_eq!(seen.ids(), record_ids(events), "{}", seen.log());
    for (event, (_, record)) in seen.events.iter().zip(events) {
        assert_eq!(event.payload(), record.json.as_bytes());
        assert_eq!(event.ts(), record.ts());
    }
    assert_eq!(seen.metrics["records_handed_over"], events.len() as u64);
}

/// The names of what a log or error should say.
fn assert_names(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

fn pages(aws: &Aws) -> usize {
    aws.logs().counts().of("FilterLogEvents")
}

/// What was asked without a token.
fn questions(aws: &Aws) -> Vec<Asked> {
    let mut asked = aws.logs().filtered();
    asked.retain(|asked| asked.input["nextToken"].is_null());
    asked
}

#[test]
fn events_of_a_group_come_in_the_order_of_delivery() {
    let aws = Aws::start();
    let events = deliver(&aws, 1, REGION, "trail", (0..120).map(|n| 100 + 20 * n));
    let seen = capture(&aws, "logs://us-east-1/trail", last_hour())
        .fields()
        .run();
    assert_read(&seen, &events);
    assert_eq!(seen.stderr, "");
    assert_eq!(seen.metrics["records_found"], 120);
    assert_eq!(seen.metrics["records_unreadable"], 0);
    assert_eq!(seen.metrics["files_listed"], seen.metrics["files_fetched"]);
    // In hundredths of a percent.
    assert_eq!(seen.progress.0, 10_000, "{}", seen.progress.1);
    assert_eq!(seen.fields[0]["ct.region"].value, json!(REGION));
    assert_names(&seen.log(), &["120 events from "]);

    // Without an interval, and with the group in the region of the configuration.
    let seen = capture(&aws, "logs://trail", json!({})).run();
    assert_read(&seen, &events);
    // Nobody was asked but CloudWatch Logs.
    assert!(aws.log().iter().all(|request| request.op == Op::Logs));
}

/// Events are delivered in another order than that in which they happened; those of a page are put in order.
#[test]
fn events_that_happened_in_another_order_come_once() {
    let aws = Aws::start();
    aws.logs().page_events(30);
    let mut maker = Maker::new(80);
    let events: Vec<Delivered> = (0..100)
        .map(|n| {
            let record = maker.record(ACCOUNT, REGION, ago(1100 - n + n * 97 % 300));
            (milliseconds(1000 - n), record)
        })
        .collect();
    put(&aws, REGION, "trail", &events);
    let seen = capture(&aws, "logs://trail", last_hour()).run();
    assert_eq!(seen.error, None);
    assert_eq!(sorted(seen.ids()), sorted(record_ids(&events)));
}

#[test]
fn an_empty_group_and_an_interval_without_events_are_no_error() {
    let aws = Aws::start();
    aws.logs().make(REGION, "empty");
    deliver(&aws, 2, REGION, "trail", [4000]);
    for (params, config) in [
        ("logs://empty", json!({})),
        ("logs://empty", last_hour()),
        ("logs://trail", last_hour()),
    ] {
        assert_read(&capture(&aws, params, config).run(), &[]);
    }
}

#[test]
fn groups_with_slashes_are_named_as_they_are() {
    let aws = Aws::start();
    let slash = deliver(&aws, 3, REGION, "/aws/trail", [100, 200]);
    let plain = deliver(&aws, 4, REGION, "aws/trail", [150]);
    for (params, events) in [
        ("logs:///aws/trail", &slash),
        ("logs://us-east-1//aws/trail", &slash),
        ("logs://aws/trail", &plain),
        ("logs://us-east-1/aws/trail", &plain),
    ] {
        assert_read(&capture(&aws, params, last_hour()).run(), events);
    }
}

#[test]
fn groups_and_regions_are_merged_by_time() {
    let aws = Aws::start();
    let all = [
        deliver(&aws, 5, REGION, "a", (0..60).map(|n| 100 + 6 * n)),
        deliver(&aws, 6, "eu-west-1", "b", (0..5).map(|n| 103 + 60 * n)),
        deliver(&aws, 7, REGION, "c", (0..30).map(|n| 101 + 12 * n)),
    ];
    deliver(&aws, 8, REGION, "d", [110]);
    aws.logs().page_events(7);
    let params = "logs://us-east-1/a,eu-west-1/b,us-east-1/c";
    assert_read(&capture(&aws, params, last_hour()).run(), &merged(&all));
    // Both groups of a region share its pace.
    let counts = aws.logs().counts();
    assert!(counts.throttled * 4 <= pages(&aws), "{counts:?}");
}

#[test]
fn a_group_of_every_region() {
    let aws = Aws::start();
    let all = [
        deliver(&aws, 9, REGION, "trail", [50, 70]),
        deliver(&aws, 10, "sa-east-1", "trail", [60]),
    ];
    deliver(&aws, 11, "eu-west-1", "other", [55]);
    for region in ["me-south-1", "af-south-1"] {
        aws.logs().close(region);
    }
    let seen = capture(&aws, "logs://all/trail", last_hour()).run();
    assert_read(&seen, &merged(&all));
    let regions: BTreeSet<String> = aws
        .log()
        .into_iter()
        .filter_map(|asked| asked.region)
        .collect();
    assert!(regions.len() > 30 && !regions.iter().any(|region| region.starts_with("cn-")));

    // The names of AWS's telemetry rules, by a pattern.
    let all = [
        deliver(&aws, 12, REGION, "aws/cloudtrail/managementevents", [51]),
        deliver(&aws, 13, "eu-west-2", "aws/cloudtrail/dataevents", [61]),
    ];
    let seen = capture(&aws, "logs://all/aws/cloudtrail/*", last_hour()).run();
    assert_read(&seen, &merged(&all));
}

#[test]
fn a_pattern_finds_groups_on_all_pages() {
    let aws = Aws::start();
    let mut all = vec![];
    for n in 0..7 {
        let group = format!("aws-cloudtrail-logs-{ACCOUNT}-{n}");
        all.push(deliver(&aws, 20 + n, REGION, &group, [100 + n as i64]));
    }
    deliver(&aws, 30, REGION, "my-aws-cloudtrail-logs-x", [200]);
    deliver(&aws, 31, REGION, "aws-cloudtrail", [201]);
    aws.logs().page_groups(2);
    let seen = capture(&aws, "logs://aws-cloudtrail-logs-*", last_hour()).run();
    assert_read(&seen, &merged(&all));
    let seen = capture(&aws, "logs://us-east-1/aws-*-4", last_hour()).run();
    assert_read(&seen, &all[4]);
    let error = capture(&aws, "logs://no-such-*", last_hour()).open_error();
    assert_names(&error, &["no-such-*", REGION]);
}

#[test]
fn more_in_one_millisecond_than_a_page_holds() {
    for order in ["time", "newest"] {
        let aws = Aws::start();
        aws.logs().unlimited();
        let times = [
            vec![200; 30],
            (0..20).map(|n| 100 + n).collect(),
            vec![90; 15],
        ];
        let mut events = deliver(&aws, 40, REGION, "trail", times.concat());
        aws.logs().page_events(7);
        // Tokens die in the middle, too.
        aws.fault_times(1, has_token, bad_token());
        if order == "newest" {
            events.reverse();
        }
        let config = json!({"s3Interval": "1h", "historyOrder": order});
        assert_read(&capture(&aws, "logs://trail", config).run(), &events);
    }
}

#[test]
fn pages_of_a_megabyte_and_empty_ones() {
    let aws = Aws::start();
    let mut events = deliver(&aws, 41, REGION, "x", (0..60).map(|n| 100 + n));
    for (_, record) in &mut events {
        let agent = format!("aws-cli/2.15 {}", "x".repeat(90_000));
        record.json = record.json.replace("aws-cli/2.15", &agent);
    }
    put(&aws, REGION, "trail", &events);
    let seen = capture(&aws, "logs://trail", last_hour()).run();
    assert_read(&seen, &events);
    assert!(pages(&aws) >= 6, "{}", pages(&aws));

    for every in [2, 3] {
        aws.logs().empty_pages(every);
        assert_read(&capture(&aws, "logs://trail", last_hour()).run(), &events);
    }
}

/// What is filtered out still has to be gone through, page after page.
#[test]
fn pages_on_which_nothing_fits_are_read_over() {
    let aws = Aws::start();
    aws.logs().unlimited();
    let mut events = deliver(&aws, 42, REGION, "x", (0..100).map(|n| 100 + n));
    for (n, (_, record)) in events.iter_mut().enumerate() {
        let name = if n % 40 == 39 { "Wanted" } else { "Other" };
        let at = record.json.find("\"eventName\":\"").unwrap();
        record.json.insert_str(
            at + "\"eventName\":\"".len(),
            &format!("{name}\",\"was\":\""),
        );
    }
    put(&aws, REGION, "trail", &events);
    aws.logs().page_looks_at(10);
    let config = json!({"s3Interval": "1h", "filter": "ct.name=Wanted"});
    let seen = capture(&aws, "logs://trail", config).run();
    assert_eq!(seen.error, None);
    assert_eq!(seen.ids(), record_ids([&events[39], &events[79]]));
}

#[test]
fn tokens_that_die_cost_no_event_and_repeat_none() {
    for order in ["time", "newest"] {
        let aws = Aws::start();
        let mut events = deliver(
            &aws,
            43,
            REGION,
            "trail",
            (0..100).map(|n| 100 + 9 * (n / 4)),
        );
        aws.logs().page_events(11);
        if order == "newest" {
            events.reverse();
        }
        aws.fault_times(3, has_token, bad_token());
        let config = json!({"s3Interval": "1h", "historyOrder": order});
        assert_read(&capture(&aws, "logs://trail", config).run(), &events);
    }
}

#[test]
fn an_arn_names_a_group_with_and_without_its_ending() {
    let aws = Aws::start();
    let events = deliver(&aws, 44, "eu-west-1", "/aws/trail", [100, 200, 300]);
    let arn_of = arn("eu-west-1", ACCOUNT, "/aws/trail");
    for params in [
        arn_of.clone(),
        format!("{arn_of}:*"),
        format!("logs://{arn_of}"),
        format!("logs://{arn_of}:*"),
    ] {
        assert_read(&capture(&aws, &params, last_hour()).run(), &events);
    }
    let more = deliver(&aws, 45, REGION, "other", [150]);
    let params = format!("{arn_of}:*,{}", arn(REGION, ACCOUNT, "other"));
    let seen = capture(&aws, &params, last_hour()).run();
    assert_read(&seen, &merged(&[events, more]));
}

#[test]
fn a_linked_group_of_another_account_is_read_by_its_arn() {
    let aws = Aws::start();
    let linked = arn(REGION, OTHER_ACCOUNT, "trail");
    let events = deliver(&aws, 46, REGION, &linked, [100, 200]);
    let seen = capture(&aws, &linked, last_hour()).run();
    assert_read(&seen, &events);
    let error = capture(&aws, "logs://trail", last_hour()).open_error();
    assert_names(&error, &["there is no log group called", "trail"]);
    // Groups of the same name in both.
    let own = deliver(&aws, 47, REGION, "trail", [150]);
    let seen = capture(
        &aws,
        &format!("{linked},{}", arn(REGION, ACCOUNT, "trail")),
        json!({}),
    );
    assert_read(&seen.run(), &merged(&[events.clone(), own.clone()]));
    assert_read(&capture(&aws, "logs://trail", json!({})).run(), &own);
    assert_read(&capture(&aws, &linked, json!({})).run(), &events);
}

#[test]
fn the_url_of_the_console_names_a_group() {
    let aws = Aws::start();
    let events = deliver(&aws, 48, "eu-west-1", "/aws/trail", [100, 200]);
    let page = "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/\
                $252Faws$252Ftrail";
    let stream = format!("{page}/log-events/{STREAM}");
    for params in [page, &stream] {
        assert_read(&capture(&aws, params, last_hour()).run(), &events);
    }
}

#[test]
fn groups_of_trails_and_of_telemetry_rules_are_found() {
    let aws = Aws::start();
    let trail = |name: &str, home: &str, group: Option<&str>| Trail {
        name: name.into(),
        home: home.into(),
        is_multi_region: true,
        log_group: group.map(|group| arn(home, ACCOUNT, group) + ":*"),
    };
    // Two trails to one group of another region, and one without.
    aws.history()
        .add_trail(trail("main", "eu-west-1", Some("of-trail")));
    aws.history()
        .add_trail(trail("more", "eu-west-1", Some("of-trail")));
    aws.history().add_trail(trail("none", REGION, None));
    let of_rule = "aws/cloudtrail/managementevents";
    aws.logs().tag(REGION, of_rule);
    let all = [
        deliver(&aws, 49, "eu-west-1", "of-trail", [100, 200]),
        deliver(&aws, 50, REGION, of_rule, [150, 250]),
    ];
    deliver(&aws, 51, REGION, "of-others", [120]);
    for params in ["logs://", "logs://us-east-1", "logs://us-east-1/"] {
        let seen = capture(&aws, params, last_hour()).run();
        assert_read(&seen, &merged(&all));
        assert_names(&seen.log(), &["of-trail", "eu-west-1", of_rule]);
    }
    let other = "/telemetry/data";
    aws.logs().tag("ap-south-1", other);
    let more = deliver(&aws, 52, "ap-south-1", other, [170]);
    let [of_trail, of_rule] = all;
    let both = merged(&[of_trail, of_rule, more]);
    for params in ["logs://us-east-1,ap-south-1", "logs://all"] {
        assert_read(&capture(&aws, params, last_hour()).run(), &both);
    }

    let aws = Aws::start();
    let error = capture(&aws, "logs://", last_hour()).open_error();
    assert_names(&error, &[REGION]);
}

#[test]
fn the_interval_is_that_of_delivery_and_both_ends_count() {
    let aws = Aws::start();
    let mut maker = Maker::new(53);
    // To the minute, as log files are chosen.
    let (from, to) = (minute(400), minute(200) + MINUTE - 1);
    let times = [from - 1000, from - 1, from, from + 1, to - 1, to, to + 1000];
    let events = times.map(|at| (at, maker.record(ACCOUNT, REGION, ago(1000))));
    put(&aws, REGION, "trail", &events);
    let interval = format!("{}-{}", ago(400), ago(200));
    for order in ["time", "newest"] {
        let mut wanted = events[2..6].to_vec();
        if order == "newest" {
            wanted.reverse();
        }
        let config = json!({"s3Interval": interval, "historyOrder": order});
        assert_read(&capture(&aws, "logs://trail", config).run(), &wanted);
    }
    for asked in questions(&aws) {
        assert!(asked.number("startTime") >= Some(from), "{asked:?}");
        assert!(asked.number("endTime") <= Some(to), "{asked:?}");
    }
}

#[test]
fn the_interval_may_be_that_of_the_events() {
    let aws = Aws::start();
    let mut maker = Maker::new(54);
    // When they happened, and when they were delivered.
    let times = [
        (4100, 3950),
        (4000, 3900),
        (3900, 3700),
        (3300, 3200),
        (3100, 2900),
        (3000, 2950),
        (3050, 200),
        (2999, 2800),
    ];
    let mut events: Vec<Delivered> = times
        .map(|(happened, delivered)| {
            let record = maker.record(ACCOUNT, REGION, ago(happened));
            (milliseconds(delivered), record)
        })
        .into();
    put(&aws, REGION, "trail", &events);
    let (from, to) = (ago(4000), ago(3000));
    events.retain(|(_, record)| (from..=to).contains(&record.time));
    assert_eq!(events.len(), 6);
    let config = json!({"s3Interval": format!("{from}-{to}"), "s3IntervalOf": "event"});
    let seen = capture(&aws, "logs://trail", config).run();
    assert_eq!(seen.error, None);
    assert_eq!(sorted(seen.ids()), sorted(record_ids(&events)));
}

/// Records in which conditions might be misread.
fn tricky() -> Vec<Record> {
    let mut maker = Maker::new(55);
    let mut records: Vec<Record> = (0..300)
        .map(|n| maker.record(ACCOUNT, REGION, ago(3000 - n)))
        .collect();
    records.extend((0..5).map(|n| maker.insight(ACCOUNT, REGION, ago(2500 - n))));
    for (n, name) in [
        "Get*",
        "a\\\"b",
        "a\\\\b",
        "CreateÜser",
        "createuser",
        "Create\\u0055ser",
    ]
    .into_iter()
    .enumerate()
    {
        let mut record = maker.record(ACCOUNT, REGION, ago(2400 - n as i64));
        let at = record.json.find("\"eventName\":\"").unwrap() + "\"eventName\":\"".len();
        let end = at + record.json[at..].find('"').unwrap();
        record.json.replace_range(at..end, name);
        records.push(record);
    }
    for n in 0..20 {
        let mut record = maker.record(ACCOUNT, REGION, ago(2300 - n));
        let key = format!("\"userIdentity\":{{\"accessKeyId\":\"AKIA{}\",", n % 4);
        let error = if n % 2 == 0 {
            "\"errorCode\":\"AccessDenied\","
        } else {
            ""
        };
        record.json = record
            .json
            .replace("\"userIdentity\":{", &format!("{error}{key}"));
        if n % 5 == 0 {
            record.json = record.json.replace("\"readOnly\":", "\"readOnlyNot\":");
        }
        records.push(record);
    }
    records
}

/// CloudWatch applies what it can of a filter, and the events are those of any other source.
#[test]
fn a_filter_is_applied_by_aws_where_that_is_exact() {
    let records = tricky();
    let texts: Vec<&str> = records.iter().map(|record| record.json.as_str()).collect();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("trail.json"), log_text(&texts)).unwrap();
    let aws = Aws::start();
    aws.logs().unlimited();
    let times = (0..).map(|n| milliseconds(3_000 - n));
    let events: Vec<Delivered> = times.zip(records).collect();
    put(&aws, REGION, "trail", &events);
    let many: Vec<String> = (0..80)
        .map(|n| format!("SomeLongNameOfAnEvent{n}"))
        .collect();
    let many = format!("ct.name in (CreateUser, {})", many.join(", "));
    // Filters, and what is in the pattern where it is known.
    for (filter, pattern) in [
        (
            "ct.name=CreateUser",
            Some(&["$.eventName", "\"CreateUser\""][..]),
        ),
        (
            "ct.src=s3.amazonaws.com",
            Some(&["$.eventSource", "\"s3.amazonaws.com\""]),
        ),
        (
            "ct.name in (CreateUser, RunInstances)",
            Some(&["CreateUser", "||", "RunInstances"]),
        ),
        (
            "ct.name=CreateUser and not ct.user=alice",
            Some(&["$.eventName"]),
        ),
        (
            "ct.name=GetObject and ct.src=s3.amazonaws.com and ct.readonly=true",
            Some(&["$.eventName"]),
        ),
        ("ct.user.accesskeyid=AKIA3", Some(&["accessKeyId"])),
        ("ct.error=AccessDenied", None),
        ("ct.readonly=false", None),
        ("ct.readonly=true", None),
        ("ct.user=Zoë", None),
        ("ct.region=us-east-1 and ct.srcip=198.51.100.7", None),
        ("ct.insight.name=RunInstances", None),
        ("ct.name=\"Get*\"", None),
        ("ct.name='a\"b'", None),
        ("ct.name='a\\\\b'", None),
        ("ct.name=CreateÜser", None),
        ("ct.name startswith Create", None),
        ("ct.name contains Instance or ct.error exists", None),
        ("not ct.error exists", None),
        ("not ct.name=CreateUser", Some(&[])),
        ("ct.name=CreateUser or ct.info contains alice", Some(&[])),
        ("ct.value[/eventName]=CreateUser", None),
        (
            "ct.managementevent=true and ct.eventcategory=Management",
            None,
        ),
        (&many, None),
    ] {
        let config = json!({"filter": filter, "s3Interval": "2h"});
        let folder = folder.path().display().to_string();
        let wanted = Capture::new(folder).config(json!({"filter": filter})).run();
        let before = aws.logs().filtered().len();
        let seen = capture(&aws, "logs://trail", config).run();
        assert_eq!(
            (seen.error.clone(), wanted.error.clone()),
            (None, None),
            "{filter}"
        );
        assert_eq!(seen.ids(), wanted.ids(), "{filter}");
        let asked = &aws.logs().filtered()[before..];
        let Some(words) = pattern else {
            continue;
        };
        for asked in asked {
            let sent = asked.text("filterPattern");
            assert_eq!(words.is_empty(), sent.is_empty(), "{filter}: {sent}");
            assert_names(sent, words);
        }
    }
}

#[test]
fn newest_first_as_the_console_shows_it() {
    let aws = Aws::start();
    let all = [
        deliver(&aws, 56, REGION, "a", (0..70).map(|n| 100 + 4 * n)),
        deliver(&aws, 57, "eu-west-1", "b", (0..60).map(|n| 102 + 4 * n)),
    ];
    aws.logs().page_events(20);
    let mut events = merged(&all);
    events.reverse();
    let params = "logs://us-east-1/a,eu-west-1/b";
    for interval in ["1h", ""] {
        let config = json!({"historyOrder": "newest", "s3Interval": interval});
        assert_read(&capture(&aws, params, config).run(), &events);
    }
    let mut asked = questions(&aws);
    assert_eq!(asked[0].input["startFromHead"], json!(false));
    // What is older can be had in time order only.
    asked.retain(|asked| asked.input["startFromHead"] == json!(false));
    for asked in asked {
        assert!(
            asked.number("startTime") >= Some(FIRST_OF_2024),
            "{asked:?}"
        );
    }
}

/// Services that do not know how to give the newest first lose nothing.
#[test]
fn where_the_newest_can_not_be_had_first_all_events_come() {
    let aws = Aws::start();
    aws.logs().ignores_start_from_head();
    let events = deliver(&aws, 58, REGION, "trail", (0..70).map(|n| 100 + 4 * n));
    aws.logs().page_events(20);
    let config = json!({"historyOrder": "newest", "s3Interval": "1h"});
    let seen = capture(&aws, "logs://trail", config).run();
    assert_eq!(seen.error, None);
    assert_eq!(sorted(seen.ids()), sorted(record_ids(&events)));
}

#[test]
fn accounts_and_regions_are_those_of_the_records() {
    let aws = Aws::start();
    let mut maker = Maker::new(59);
    let events: Vec<Delivered> = (0..40)
        .map(|n| {
            let account = [ACCOUNT, OTHER_ACCOUNT][n % 2];
            let region = [REGION, "eu-west-1", "ap-south-1"][n % 3];
            let at = 1000 - n as i64;
            (
                milliseconds(at),
                maker.record(account, region, ago(at + 200)),
            )
        })
        .collect();
    put(&aws, REGION, "trail", &events);
    let with = |word: &str| {
        let mut events = events.clone();
        events.retain(|(_, record)| record.json.contains(word));
        events
    };
    let config = json!({"s3Interval": "1h", "s3AccountList": OTHER_ACCOUNT});
    let recipient = format!("\"recipientAccountId\":\"{OTHER_ACCOUNT}\"");
    assert_read(
        &capture(&aws, "logs://trail", config).run(),
        &with(&recipient),
    );
    let config = json!({"s3Interval": "1h", "s3RegionList": "eu-west-1"});
    let region = "\"awsRegion\":\"eu-west-1\"";
    assert_read(&capture(&aws, "logs://trail", config).run(), &with(region));
}

#[test]
fn what_is_to_be_hidden_is_hidden() {
    let aws = Aws::start();
    let events = deliver(&aws, 60, REGION, "trail", (0..20).map(|n| 100 + n));
    let config = json!({"s3Interval": "1h", "redact": "/sourceIPAddress"});
    let seen = capture(&aws, "logs://trail", config).run();
    assert_eq!((&seen.error, seen.ids()), (&None, record_ids(&events)));
    for event in &seen.events {
        let text = String::from_utf8_lossy(event.payload()).into_owned();
        assert!(
            !text.contains("198.51.100.") && text.contains("eventTime"),
            "{text}"
        );
    }
}

/// Asterisks of a data protection policy are values as any others.
#[test]
fn masked_values_stay_as_they_are() {
    let aws = Aws::start();
    let mut events = deliver(&aws, 61, REGION, "x", (0..20).map(|n| 100 + n));
    for (_, record) in &mut events {
        record.json = record.json.replace("198.51.100.", "***.***.***.");
        record.json = record
            .json
            .replace("\"userName\":\"alice\"", "\"userName\":\"*****\"");
    }
    put(&aws, REGION, "trail", &events);
    assert_read(&capture(&aws, "logs://trail", last_hour()).run(), &events);
}

#[test]
fn messages_of_others_are_left_out_and_counted() {
    let aws = Aws::start();
    let mut maker = Maker::new(62);
    let hidden = maker.record(ACCOUNT, REGION, ago(300)).json;
    let others = [
        "START RequestId: 8f5 Version: $LATEST",
        " ",
        "first line\nsecond line\r\n\tat third",
        r#"{"level":"info","msg":"hello","n":1.5e3}"#,
        r#"  {"level":"info"}  "#,
        "\n{\n  \"level\": \"info\",\n  \"nested\": {\n    \"a\": [1, 2]\n  }\n}\n",
        r#"{"eventVersion":"1.08","eventName":"Cut","#,
        r#"{"eventVersion":"1.08"}}"#,
        "]}",
        "}",
        "{",
        ",",
        "\"",
        "\\",
        "\u{0}",
        "[1,2,3]",
        "null",
        "17",
        "{}",
        &format!("at last\n{hidden}\nwas seen"),
    ];
    let mut events = vec![];
    for (n, other) in others.iter().enumerate() {
        let at = milliseconds(1000 - n as i64);
        for at in [at, at + 2] {
            let event = (at, maker.record(ACCOUNT, REGION, ago(2000)));
            put(&aws, REGION, "trail", std::slice::from_ref(&event));
            events.push(event);
        }
        aws.logs()
            .put(REGION, "trail", "of-others", &[(at + 1, other)]);
    }
    let seen = capture(&aws, "logs://trail", last_hour()).run();
    assert_read(&seen, &events);
    assert_names(&seen.log(), &[&format!("{} ", others.len())]);

    // The same where each is on a page of its own.
    aws.logs().unlimited();
    aws.logs().page_events(1);
    assert_read(&capture(&aws, "logs://trail", last_hour()).run(), &events);
}

/// A record with blanks around it, or over several lines, is one.
#[test]
fn records_may_have_blanks_and_line_breaks() {
    let aws = Aws::start();
    let events = deliver(&aws, 63, REGION, "x", (0..9).map(|n| 100 + n));
    for (n, (at, record)) in events.iter().enumerate() {
        let json: Value = serde_json::from_str(&record.json).unwrap();
        let message = match n % 3 {
            0 => format!(" \t{}\r\n", record.json),
            1 => serde_json::to_string_pretty(&json).unwrap(),
            _ => record.json.clone(),
        };
        aws.logs().put(REGION, "trail", STREAM, &[(*at, message)]);
    }
    let seen = capture(&aws, "logs://trail", last_hour()).run();
    assert_eq!((&seen.error, seen.ids()), (&None, record_ids(&events)));
    for (event, (_, record)) in seen.events.iter().zip(&events) {
        let json: Value = serde_json::from_str(&record.json).unwrap();
        assert_eq!(event.json(), json);
    }
}

/// A plugin whose credentials are in a file that a test writes, and a group `trail`.
struct World {
    aws: Aws,
    plugin: Plugin,
    home: Home,
    maker: RefCell<Maker>,
}

/// Until the machine is done with something, one way or the other.
const SOON: Duration = Duration::from_millis(1500);

impl World {
    fn new(more: Value) -> Self {
        let aws = Aws::start();
        aws.logs().make(REGION, "trail");
        let home = Home::make();
        let plugin = Plugin::load(&home.config(&aws.endpoint(), more));
        let maker = RefCell::new(Maker::new(99));
        Self {
            aws,
            plugin,
            home,
            maker,
        }
    }

    fn following(more: Value) -> Self {
        let mut config = json!({"s3Interval": "30m", "s3Follow": true, "s3PollInterval": 1});
        let object = config.as_object_mut().unwrap();
        object.extend(more.as_object().unwrap().clone());
        Self::new(config)
    }

    fn log_in(&self) -> Credentials {
        let issued = self.aws.issue();
        self.home.log_in(&issued);
        issued
    }

    /// An event with a time of delivery so many seconds ago comes into the group, now or later.
    fn comes(&self, seconds: i64, after: Duration) -> String {
        let now = Timestamp::now();
        let happened = Timestamp::from_second(now.as_second() - seconds - 200).unwrap();
        let record = self.maker.borrow_mut().record(ACCOUNT, REGION, happened);
        let at = now.as_millisecond() - 1000 * seconds;
        let event = [(at, &record.json)];
        self.aws
            .logs()
            .put_late(REGION, "trail", STREAM, &event, after);
        record.id
    }

    fn now(&self, seconds: i64) -> String {
        self.comes(seconds, Duration::ZERO)
    }
}

/// Reads so many events.
fn read(instance: &mut Instance<'_>, events: usize) -> Vec<String> {
    let read = instance.read_while(LIMIT, |all| all.len() < events);
    assert_eq!(read.error, None);
    ids(&read.events)
}

/// Reads for some time, in which nothing should come.
fn read_nothing(instance: &mut Instance<'_>, time: Duration) {
    let start = Instant::now();
    let read = instance.read_while(LIMIT, |_| start.elapsed() < time);
    assert_eq!((read.error, ids(&read.events)), (None, vec![]));
}

#[test]
fn new_and_late_events_are_followed_and_come_once() {
    for is_old_service in [false, true] {
        let world = World::following(json!({}));
        if is_old_service {
            world.aws.logs().ignores_start_from_head();
        }
        let first: Vec<String> = (0..60).map(|n| world.now(1000 - n)).collect();
        let mut instance = world.plugin.open("logs://trail").unwrap();
        assert_eq!(read(&mut instance, 60), first);
        // One that comes at once, one with an older time, and trouble between.
        let new = world.now(0);
        assert_eq!(read(&mut instance, 1), [new]);
        let failing = Fault::error(500, "InternalFailure", "try again");
        world.aws.fault_times(2, is_filter, failing);
        let old = world.now(10 * 60);
        assert_eq!(read(&mut instance, 1), [old]);
        // Those that are there later than their times say, among others that are not.
        let mut wanted = vec![];
        for n in 0..8 {
            wanted.push(world.comes(60 * (n % 7), Duration::from_millis(300 * n as u64)));
            wanted.push(world.now(n));
        }
        assert_eq!(sorted(read(&mut instance, wanted.len())), sorted(wanted));
        read_nothing(&mut instance, SOON);
    }
}

/// More than a page holds, on pages of which some are empty, and with tokens that die.
#[test]
fn bursts_of_new_events_come_once() {
    let world = World::following(json!({}));
    world.aws.logs().page_events(5);
    world.aws.logs().empty_pages(3);
    let first: Vec<String> = (0..30).map(|n| world.now(700 - n)).collect();
    let mut instance = world.plugin.open("logs://trail").unwrap();
    assert_eq!(read(&mut instance, 30), first);
    for burst in [40, 20] {
        let wanted: Vec<String> = (0..burst).map(|_| world.now(0)).collect();
        assert_eq!(sorted(read(&mut instance, burst)), sorted(wanted));
        world.aws.fault_times(2, has_token, bad_token());
        world.aws.logs().forget_tokens();
    }
    read_nothing(&mut instance, SOON);
}

/// A page that is empty is no sign that there is nothing new behind it.
#[test]
fn events_some_seconds_late_are_found_behind_empty_pages() {
    let world = World::following(json!({}));
    world.aws.logs().page_events(5);
    world.aws.logs().empty_pages(3);
    let first = world.now(1000);
    let mut instance = world.plugin.open("logs://trail").unwrap();
    assert_eq!(read(&mut instance, 1), [first]);
    let wanted: Vec<String> = (0..40).map(|n| world.now(n / 3)).collect();
    assert_eq!(sorted(read(&mut instance, 40)), sorted(wanted));
}

/// How many requests there were in how many seconds of following.
fn requests_while_following(world: &World, instance: &mut Instance<'_>) -> (f64, f64) {
    let before = world.aws.log_of(Op::Logs).len();
    let start = Instant::now();
    read_nothing(instance, Duration::from_secs(8));
    let requests = world.aws.log_of(Op::Logs).len() - before;
    (requests as f64, start.elapsed().as_secs_f64())
}

#[test]
fn an_idle_group_costs_a_request_at_each_poll() {
    let world = World::following(json!({"s3PollInterval": 2}));
    let first = world.now(1200);
    let mut instance = world.plugin.open("logs://trail").unwrap();
    assert_eq!(read(&mut instance, 1), [first]);
    let (requests, seconds) = requests_while_following(&world, &mut instance);
    // One more where it began in the middle, and one that looks further back.
    assert!(requests <= seconds / 2.0 + 2.0, "{requests} in {seconds}");
}

#[test]
fn what_is_read_again_is_at_most_a_quarter_of_the_requests() {
    let world = World::following(json!({}));
    // Ten pages that are new enough to be looked at again.
    world.aws.logs().page_events(10);
    let first: Vec<String> = (0..100).map(|n| world.now(500 - n)).collect();
    let mut instance = world.plugin.open("logs://trail").unwrap();
    assert_eq!(read(&mut instance, 100), first);
    let (requests, seconds) = requests_while_following(&world, &mut instance);
    // A quarter of five a second, once all pages, and what is new.
    assert!(requests <= 1.25 * seconds + 12.0, "{requests} in {seconds}");
    let new = world.now(0);
    assert_eq!(read(&mut instance, 1), [new]);
}

#[test]
fn a_followed_interval_that_is_over_ends() {
    let world = World::following(json!({"s3Interval": "50m-40m"}));
    let inside = world.now(2700);
    world.now(100);
    let mut instance = world.plugin.open("logs://trail").unwrap();
    let read = instance.read_all(LIMIT);
    assert_eq!((read.error, ids(&read.events)), (None, vec![inside]));
}

#[test]
fn a_capture_goes_on_where_the_one_before_ended() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("logs.state");
    let world = World::following(json!({"statePath": path}));
    world.aws.logs().page_events(4);
    let mut wanted: Vec<String> = (0..10).map(|n| world.now(900 - n)).collect();
    for _ in 0..4 {
        let mut instance = world.plugin.open("logs://trail").unwrap();
        let mut seen = read(&mut instance, wanted.len());
        // The host comes back, and so has consumed them.
        for _ in 0..3 {
            seen.extend(ids(&instance.next_batch().events));
        }
        assert_eq!(sorted(seen), sorted(wanted));
        drop(instance);
        // Between captures come new ones, and one with an older time.
        wanted = vec![world.now(300), world.now(3), world.now(0)];
    }
    assert_names(&world.plugin.log(), &["statePath: goes on where"]);
}

/// Whether a group can be described changes nothing of what was consumed of it.
#[test]
fn a_capture_goes_on_whatever_it_may_ask() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("logs.state");
    let world = World::following(json!({"statePath": path}));
    let describes =
        |request: &Request| request.op == Op::Logs && request.key == "DescribeLogGroups";
    for is_denied in [true, false, true] {
        if is_denied {
            world
                .aws
                .fault_times(1, describes, denied("logs:DescribeLogGroups"));
        }
        let wanted: Vec<String> = (0..5).map(|n| world.now(20 - n)).collect();
        let mut instance = world.plugin.open("logs://trail").unwrap();
        let mut seen = read(&mut instance, 5);
        for _ in 0..3 {
            seen.extend(ids(&instance.next_batch().events));
        }
        assert_eq!(sorted(seen), sorted(wanted), "denied: {is_denied}");
    }
}

/// Where several groups were found, one that is deleted or forbidden is said, and the others go on.
#[test]
fn a_group_that_is_gone_ends_its_own_reading_alone() {
    let world = World::following(json!({}));
    world.aws.logs().make(REGION, "trail-of-others");
    let mut instance = world.plugin.open("logs://trail*").unwrap();
    let first = world.now(0);
    assert_eq!(read(&mut instance, 1), [first]);
    world.aws.fault(
        |request| {
            request
                .query
                .get("logGroupName")
                .is_some_and(|name| name == "trail-of-others")
        },
        Fault::error(
            400,
            "ResourceNotFoundException",
            "The specified log group does not exist.",
        ),
    );
    until("an end of that group", || {
        let read = instance.read_while(SOON, |all| all.is_empty());
        assert_eq!(ids(&read.events), Vec::<String>::new());
        world.plugin.log().contains("a log group is no longer read")
    });
    let next = world.now(0);
    assert_eq!(read(&mut instance, 1), [next]);
}

#[test]
fn a_region_that_is_down_keeps_no_other_back() {
    let world = World::following(json!({}));
    let aws = &world.aws;
    aws.logs().page_events(5);
    let of_others = deliver(aws, 71, "eu-west-1", "trail", (0..20).map(|n| 1_000 + n));
    let wanted: Vec<String> = (0..8).map(|n| world.now(300 - n)).collect();
    aws.fault(
        |request| request.region.as_deref() == Some("eu-west-1") && has_token(request),
        Fault::error(503, "ServiceUnavailableException", "try again"),
    );
    let mut instance = world
        .plugin
        .open("logs://us-east-1/trail,eu-west-1/trail")
        .unwrap();
    let is_there = |all: &[harness::host::Event]| {
        let all = ids(all);
        wanted.iter().all(|id| all.contains(id))
    };
    let read = instance.read_while(LIMIT, |all| !is_there(all));
    assert_eq!(read.error, None);
    assert!(is_there(&read.events));
    let known: BTreeSet<String> = record_ids(&of_others)
        .into_iter()
        .chain(wanted.clone())
        .collect();
    assert!(ids(&read.events).iter().all(|id| known.contains(id)));
}

/// Pages of one event do not show in which order they come.
#[test]
fn old_services_are_followed_by_pages_of_one_event() {
    let world = World::following(json!({}));
    world.aws.logs().ignores_start_from_head();
    world.aws.logs().unlimited();
    world.aws.logs().page_events(1);
    let first: Vec<String> = (0..6).map(|n| world.now(300 - n)).collect();
    let mut instance = world.plugin.open("logs://trail").unwrap();
    assert_eq!(read(&mut instance, 6), first);
    for _ in 0..2 {
        let wanted: Vec<String> = (0..4).map(|n| world.now(3 - n)).collect();
        assert_eq!(sorted(read(&mut instance, 4)), sorted(wanted));
    }
    read_nothing(&mut instance, SOON);
}

#[test]
fn throttling_by_others_loses_nothing() {
    let aws = Aws::start();
    aws.logs().page_events(10);
    let events = deliver(&aws, 64, REGION, "trail", (0..100).map(|n| 100 + n));
    // When it is opened, too.
    aws.fault_times(2, is_filter, throttled());
    aws.fault_times(4, has_token, throttled());
    let seen = capture(&aws, "logs://trail", last_hour()).run();
    assert_read(&seen, &events);
    assert_eq!(pages(&aws), 11);
    // What is refused is asked again, with the same token.
    let tokens: Vec<String> = aws
        .log_of(Op::Logs)
        .iter()
        .filter_map(|request| request.query.get("nextToken").cloned())
        .collect();
    assert_eq!(tokens[..4], vec![tokens[0].clone(); 4]);
}

#[test]
fn failing_answers_are_asked_for_again() {
    let aws = Aws::start();
    aws.logs().page_events(10);
    let events = deliver(&aws, 65, REGION, "trail", (0..50).map(|n| 100 + n));
    aws.fault_times(1, is_filter, Fault::Reset);
    let unavailable = Fault::error(503, "ServiceUnavailableException", "try again");
    aws.fault_times(2, has_token, unavailable);
    aws.fault_times(1, has_token, Fault::ResetAfter(100));
    let seen = capture(&aws, "logs://trail", last_hour()).run();
    assert_read(&seen, &events);
}

#[test]
fn as_many_requests_as_pages() {
    let aws = Aws::start();
    aws.logs().page_events(100);
    let events = deliver(&aws, 66, REGION, "trail", (0..1050).map(|n| 100 + n));
    assert_read(&capture(&aws, "logs://trail", last_hour()).run(), &events);
    assert_eq!(pages(&aws), 11);
    let asked = aws.log_of(Op::Logs).len();
    assert!(asked <= 13, "{asked} requests");
}

#[test]
fn credentials_that_expire_are_found_anew() {
    let world = World::new(last_hour());
    world.aws.logs().page_events(20);
    let events = deliver(&world.aws, 67, REGION, "trail", (0..400).map(|n| 100 + n));
    let first = world.log_in();
    let mut instance = world.plugin.open("logs://trail").unwrap();
    let mut seen = read(&mut instance, 1);
    world.log_in();
    world.aws.expire(&first.access_key);
    let rest = instance.read_all(LIMIT);
    assert_eq!(rest.error, None);
    seen.extend(ids(&rest.events));
    assert_eq!(seen, record_ids(&events));
}

#[test]
fn without_new_credentials_it_fails_once_and_says_so() {
    let world = World::new(last_hour());
    world.aws.logs().page_events(20);
    deliver(&world.aws, 68, REGION, "trail", (0..400).map(|n| 100 + n));
    let first = world.log_in();
    let mut instance = world.plugin.open("logs://trail").unwrap();
    read(&mut instance, 1);
    world.aws.expire(&first.access_key);
    let error = instance.read_all(LIMIT).error.unwrap();
    assert_names(
        &error,
        &["trail", "the credentials have expired", "log in again"],
    );
}

#[test]
fn what_is_wrong_is_said_when_it_is_opened() {
    let aws = Aws::start();
    deliver(&aws, 69, REGION, "trail-of-alice", [100]);
    deliver(&aws, 70, REGION, "trail-of-bob", [100]);
    // Which groups there are.
    let error = capture(&aws, "logs://trail", json!({})).open_error();
    assert_names(
        &error,
        &[
            "trail",
            "there is no log group called",
            REGION,
            "trail-of-alice",
        ],
    );
    let error = capture(&aws, "logs://eu-west-1/trail-of-bob", json!({})).open_error();
    assert_names(
        &error,
        &["trail-of-bob", "there is no log group called", "eu-west-1"],
    );
    aws.logs().close("me-south-1");
    let error = capture(&aws, "logs://me-south-1/trail", json!({})).open_error();
    assert_names(
        &error,
        &["me-south-1", "the region is enabled for the account"],
    );
    let error = capture(&aws, "logs://my trail", json!({})).open_error();
    assert_names(&error, &["my trail"]);

    let needed = format!(
        "logs:FilterLogEvents on {}:*",
        arn(REGION, ACCOUNT, "trail-of-bob")
    );
    for (fault, words) in [
        (
            denied("logs:FilterLogEvents"),
            &["with the credentials of the environment", &needed][..],
        ),
        (
            Fault::error(400, "ExpiredTokenException", "expired"),
            &["the credentials have expired"],
        ),
        (
            Fault::error(403, "InvalidSignatureException", "it does not match"),
            &["the secret access key does not belong to the access key ID"],
        ),
        (Fault::error(500, "InternalFailure", "sorry"), &["sorry"]),
        (
            Fault::Body(b"<html>sign in</html>".to_vec()),
            &["the answer is not one that CloudWatch Logs gives"],
        ),
        (Fault::Reset, &["can't reach CloudWatch Logs there"]),
    ] {
        let aws = Aws::start();
        deliver(&aws, 71, REGION, "trail-of-bob", [100]);
        aws.fault(is_filter, fault);
        let error = capture(&aws, "logs://trail-of-bob", json!({})).open_error();
        assert_names(&error, &["trail-of-bob"]);
        assert_names(&error, words);
    }

    // The network is down for all of it.
    aws.fault(|request| request.op == Op::Logs, Fault::Reset);
    let error = capture(&aws, "logs://trail-of-bob", json!({})).open_error();
    assert_names(&error, &["can't reach CloudWatch Logs there"]);
    let error = Capture::new("logs://us-east-1/trail-of-bob")
        .endpoint(&aws)
        .open_error();
    assert_names(&error, &["no AWS credentials found"]);
}

#[test]
fn a_permission_that_is_taken_away_ends_the_capture() {
    let aws = Aws::start();
    aws.logs().page_events(10);
    let events = deliver(&aws, 72, REGION, "trail", (0..50).map(|n| 100 + n));
    aws.fault(has_token, denied("logs:FilterLogEvents"));
    let seen = capture(&aws, "logs://trail", last_hour()).run();
    let (stage, error) = seen.error.clone().unwrap();
    assert_eq!(stage, Stage::Read);
    assert_names(&error, &["trail", "logs:FilterLogEvents"]);
    assert_eq!(seen.ids(), record_ids(&events)[..seen.events.len()]);
}

#[test]
fn proofs_are_for_log_files_only() {
    let aws = Aws::start();
    deliver(&aws, 73, REGION, "trail", [100]);
    for word in ["strict", "warn"] {
        let error = capture(&aws, "logs://trail", json!({"validate": word})).open_error();
        assert_names(&error, &["validate", word]);
    }
}

#[test]
fn an_endpoint_of_its_own_is_asked() {
    let aws = Aws::start();
    let events = deliver(&aws, 74, REGION, "trail", [100, 200]);
    let config = format!(
        "[default]\nregion = us-east-1\nservices = here\n\n[services here]\ncloudwatch_logs =\n  endpoint_url = {}\n",
        aws.endpoint()
    );
    for capture in [
        Capture::new("logs://us-east-1/trail")
            .env("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", aws.endpoint()),
        Capture::new("logs://us-east-1/trail").env("AWS_ENDPOINT_URL", aws.endpoint()),
        Capture::new("logs://trail").file(".aws/config", &config),
    ] {
        assert_read(&capture.keys().config(last_hour()).run(), &events);
    }
}

/// Events of a group of the class Infrequent Access, a quarter of a second apart.
fn infrequent(aws: &Aws, events: i64) -> Vec<Delivered> {
    aws.logs().make_of(REGION, "ia", Class::InfrequentAccess);
    let mut maker = Maker::new(75);
    let start = milliseconds(100) - 250 * events;
    let events: Vec<Delivered> = (0..events)
        .map(|n| {
            let record = maker.record(ACCOUNT, REGION, ago(4000));
            (start + 250 * n, record)
        })
        .collect();
    put(aws, REGION, "ia", &events);
    events
}

#[test]
fn infrequent_access_is_read_by_queries() {
    for is_whole in [false, true] {
        let aws = Aws::start();
        if is_whole {
            aws.logs().whole_seconds();
        }
        let mut events = infrequent(&aws, 500);
        let seen = capture(&aws, "logs://ia", last_hour()).run();
        assert_read(&seen, &events);
        let counts = aws.logs().counts();
        assert_eq!((counts.running, counts.of("FilterLogEvents")), (0, 0));
        assert!(counts.started >= 1);
        for asked in aws.logs().queried() {
            let [start, end] = ["startTime", "endTime"].map(|name| asked.number(name).unwrap());
            assert!(
                start <= end && end <= Timestamp::now().as_second() + 60,
                "{asked:?}"
            );
        }

        // A minute of it, whose last second counts as a whole.
        let from = events[250].0 / MINUTE * MINUTE;
        events.retain(|(at, _)| (from..from + MINUTE).contains(at));
        let time = Timestamp::from_millisecond(from).unwrap();
        let config = json!({"s3Interval": format!("{time}-{time}")});
        assert_read(&capture(&aws, "logs://ia", config).run(), &events);
    }
}

#[test]
fn more_rows_than_a_query_gives_are_read_in_halves() {
    for is_whole in [false, true] {
        let aws = Aws::start();
        if is_whole {
            aws.logs().whole_seconds();
        }
        let events = infrequent(&aws, 12_000);
        let seen = capture(&aws, "logs://ia", json!({"s3Interval": "2h"})).run();
        assert_read(&seen, &events);
        assert_eq!(aws.logs().counts().running, 0);
    }
}

#[test]
fn infrequent_access_is_merged_with_others() {
    let aws = Aws::start();
    let all = [
        infrequent(&aws, 100),
        deliver(&aws, 76, REGION, "trail", (0..50).map(|n| 90 + n)),
    ];
    // In the same millisecond, either may be first.
    let seen = capture(&aws, "logs://us-east-1/ia,us-east-1/trail", last_hour()).run();
    assert_eq!(seen.error, None);
    assert_eq!(sorted(seen.ids()), sorted(record_ids(&merged(&all))));
}

#[test]
fn infrequent_access_is_not_read_by_accident() {
    let aws = Aws::start();
    infrequent(&aws, 10);
    for config in [json!({}), json!({"s3Follow": true})] {
        let error = capture(&aws, "logs://ia", config).open_error();
        assert_names(&error, &["ia", "s3Interval", "$0.005"]);
    }
    let config = json!({"s3Interval": "1h", "s3Follow": true});
    let error = capture(&aws, "logs://ia", config).open_error();
    assert_names(&error, &["ia", "s3Follow"]);
    assert_eq!(aws.logs().counts().started, 0);

    aws.fault(
        |request| request.key == "StartQuery",
        denied("logs:StartQuery"),
    );
    let error = capture(&aws, "logs://ia", last_hour())
        .run()
        .error
        .unwrap()
        .1;
    assert_names(&error, &["ia", "logs:StartQuery"]);
}

#[test]
fn a_query_is_stopped_when_the_capture_is_closed() {
    let world = World::new(last_hour());
    infrequent(&world.aws, 10);
    world.aws.logs().queries_run_for(40);
    let instance = world.plugin.open("logs://ia").unwrap();
    until("its results are asked for", || {
        world.aws.logs().counts().of("GetQueryResults") > 0
    });
    assert_eq!(world.aws.logs().counts().running, 1);
    drop(instance);
    until("it is stopped", || world.aws.logs().counts().stopped == 1);
    assert_eq!(world.aws.logs().counts().running, 0);
}

#[test]
fn groups_that_only_deliver_can_not_be_read() {
    let aws = Aws::start();
    aws.logs().make_of(REGION, "delivers", Class::Delivery);
    let error = capture(&aws, "logs://delivers", last_hour()).open_error();
    assert_names(&error.to_lowercase(), &["delivers", "class"]);
}

/// A capture that is closed while much is still to be read ends, and asks no more.
#[test]
fn closing_ends_the_requests() {
    let world = World::new(last_hour());
    world.aws.logs().page_events(5);
    deliver(&world.aws, 77, REGION, "trail", (0..2000).map(|n| 100 + n));
    let mut instance = world.plugin.open("logs://trail").unwrap();
    read(&mut instance, 1);
    drop(instance);
    let asked = world.aws.log_of(Op::Logs).len();
    thread::sleep(SOON);
    assert!(world.aws.log_of(Op::Logs).len() <= asked + 1);
}

/// What a capture of something else gives of the same records: payloads, and values of all fields.
fn shown(seen: &Seen) -> Vec<(Vec<u8>, Value)> {
    let events = seen.events.iter().zip(&seen.fields);
    let mut shown: Vec<(Vec<u8>, Value)> = events
        .map(|(event, fields)| {
            let values = fields
                .iter()
                .map(|(name, field)| (name.clone(), field.value.clone()));
            (event.payload().to_vec(), Value::Object(values.collect()))
        })
        .collect();
    shown.sort_by(|(one, _), (other, _)| one.cmp(other));
    shown
}

#[test]
fn a_bucket_a_queue_and_a_log_group_give_the_same_events_of_a_trail() {
    let aws = Aws::start();
    aws.queues().create("trail", Duration::from_secs(30));
    let mut count = 0;
    for file in sample::files() {
        file.put(&aws, "logs");
        let notification = json!({"s3Bucket": "logs", "s3ObjectKey": [file.key("")]});
        aws.queues().send("trail", notification.to_string());
        let delivered = harness::trail::parse_time(&file.time).as_millisecond();
        let messages = file.records.iter();
        let messages: Vec<(i64, &str)> = messages
            .map(|record| (delivered, record.json.as_str()))
            .collect();
        aws.logs().put(REGION, "trail", STREAM, &messages);
        count += messages.len();
    }
    let read = |params: &str| {
        let seen = capture(&aws, params, json!({}))
            .fields()
            .enough(count)
            .run();
        assert_eq!(seen.events.len(), count, "{params}: {}", seen.words());
        shown(&seen)
    };
    let bucket = read("s3://logs/AWSLogs/");
    assert_eq!(read("logs://trail"), bucket);
    assert_eq!(read("sqs://trail"), bucket);
}

/// Moto as a second opinion of the form of requests and answers.
#[test]
fn log_groups_of_moto_are_read() {
    let Some(moto) = Moto::get() else {
        return;
    };
    let mut maker = Maker::new(99);
    let records: Vec<Delivered> = (0..60)
        .map(|n| {
            let at = ago(3_000 - 10 * n);
            (at.as_millisecond(), maker.record(ACCOUNT, REGION, at))
        })
        .collect();
    let group = "aws/cloudtrail/of-moto";
    moto.log_group(group, STREAM);
    let events: Vec<(i64, &str)> = records
        .iter()
        .map(|(at, record)| (*at, record.json.as_str()))
        .collect();
    moto.log(group, STREAM, &events);
    let of_moto = |params: &str, config: Value| {
        let mut config = config;
        config["aws"] = json!({"endpoint": moto.endpoint()});
        let capture = Capture::new(params).config(config).keys();
        capture.env("AWS_REGION", REGION).limit(LIMIT).run()
    };
    for params in [format!("logs://{group}"), "logs://*/of-mot*".to_owned()] {
        let seen = of_moto(&params, last_hour());
        // It has no ListLogGroups, which a pattern needs that begins with an asterisk.
        if params.contains('*') {
            assert_names(&seen.words(), &["looking for log groups"]);
            continue;
        }
        assert_read(&seen, &records);
    }
    let seen = of_moto("logs://aws/cloudtrail/of-*", last_hour());
    assert_read(&seen, &records);
    // It gives the oldest first, whatever is asked for.
    let seen = of_moto(
        &format!("logs://{group}"),
        json!({"s3Interval": "1h", "historyOrder": "newest"}),
    );
    assert_eq!(sorted(seen.ids()), sorted(record_ids(&records)));
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn hosts_show_log_groups() {
    let Some(hosts) = Hosts::new("logs") else {
        return;
    };
    let aws = Aws::start();
    let group = "aws/cloudtrail/managementevents";
    let events = deliver(&aws, 7, REGION, group, (0..40).map(|n| 100 + 10 * n));
    let mut expected = record_ids(&events);
    let config = json!({"aws": {"endpoint": aws.endpoint()}, "s3Interval": "1h"}).to_string();
    let params = format!("logs://{REGION}/{group}");
    let arguments = ["-p", "%ct.id"];
    expected.sort();
    assert_eq!(sorted(hosts.sysdig(&params, &config, &arguments)), expected);
    let shown = hosts.sysdig_by_example("logs.yaml", &aws.endpoint(), &arguments);
    assert_eq!(sorted(shown), expected);
    // Stratoshark's dialog captures by falcodump, and shows what that has captured.
    let endpoint = aws.endpoint();
    let options = [
        "--cloudtrail-aws-endpoint",
        endpoint.as_str(),
        "--cloudtrail-s3interval",
        "1h",
    ];
    let output = hosts.falcodump(&params, "logs.scap", &options);
    assert!(output.status.success(), "{output:?}");
    let shown = hosts.stdout(&["strato", "-r", "logs.scap", "-T", "fields", "-e", "ct.id"]);
    assert_eq!(sorted(lines(&shown)), expected);
}
