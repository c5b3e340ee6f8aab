//! The setting `filter`, wherever events come from, and `s3RegionList`. What conditions mean is in tests/filter.rs.

use std::time::Duration;

use harness::aws::{ACCOUNT, Aws, Op};
use harness::capture::{Capture, Seen};
use harness::forms::archives;
use harness::home::Home;
use harness::host::{Library, Plugin, ids};
use harness::trail::{self, Maker, log_text};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// A log file of so many events, of which every tenth is a sign-in.
fn log_file(events: usize) -> Vec<u8> {
    let record = |n: usize| {
        let name = match n % 10 {
            0 => "ConsoleLogin",
            _ => "DescribeInstances",
        };
        json!({
            "eventVersion": "1.08", "eventTime": "2024-03-05T12:00:00Z", "eventSource": "signin.amazonaws.com",
            "eventName": name, "eventID": format!("id-{n}"), "awsRegion": "us-east-1",
            "userIdentity": {"type": "IAMUser", "userName": "alice"},
        })
        .to_string()
    };
    let records: Vec<String> = (0..events).map(record).collect();
    log_text(&records.iter().map(String::as_str).collect::<Vec<_>>())
}

fn expected(events: usize) -> Vec<String> {
    (0..events).step_by(10).map(|n| format!("id-{n}")).collect()
}

const KEY: &str = "AWSLogs/111122223333/CloudTrail/us-east-1/2024/03/05/111122223333_CloudTrail_us-east-1_20240305T1205Z_a.json.gz";

fn read(folder: &TempDir, config: Value) -> Seen {
    Capture::new(folder.path().to_str().unwrap())
        .config(config)
        .run()
}

#[test]
fn only_what_the_condition_holds_for_reaches_the_host() {
    let folder = TempDir::new().unwrap();
    trail::write(&folder.path().join("a.json"), &log_file(100));
    let seen = read(&folder, json!({"filter": "ct.name=ConsoleLogin"}));
    assert_eq!(seen.ids(), expected(100));
    assert_eq!(
        (
            seen.metrics["records_found"],
            seen.metrics["records_left_out"]
        ),
        (100, 90)
    );
    assert!(
        seen.log()
            .contains("10 events from 1 log file; 90 records left out by filter"),
        "{}",
        seen.log()
    );
    let seen = read(&folder, json!({"filter": "ct.name=DeleteTrail"}));
    assert_eq!((seen.ids(), &seen.error), (vec![], &None));
    assert!(
        seen.stderr
            .contains("0 events from 1 log file; 100 records left out by filter"),
        "{}",
        seen.stderr
    );
}

#[test]
fn buckets_are_filtered_whether_they_are_followed_or_not() {
    let aws = Aws::start();
    aws.put("logs", KEY, &trail::gzip(&log_file(100)));
    let capture = |more: Value| {
        Capture::new("s3://logs/")
            .aws(&aws)
            .config(json!({"filter": "ct.name=ConsoleLogin"}))
            .config(more)
    };
    let seen = capture(json!({})).run();
    assert_eq!((seen.ids(), &seen.error), (expected(100), &None));
    let (_, progress) = &seen.progress;
    assert!(
        progress.ends_with("10 events, 90 left out by filter"),
        "{progress}"
    );
    let seen = capture(json!({"s3Follow": true, "s3PollInterval": 1}))
        .enough(10)
        .run();
    assert_eq!((seen.ids(), &seen.error), (expected(100), &None));
}

#[test]
fn a_condition_that_makes_no_sense_is_an_error_that_shows_the_place() {
    let config = json!({"filter": "ct.nam=ConsoleLogin"}).to_string();
    let error = Library::load()
        .unwrap()
        .init(&config)
        .err()
        .expect("an error");
    let error = format!("{error:#}");
    let lines: Vec<&str> = error.lines().collect();
    assert!(
        lines[0].contains("filter: \"ct.nam\" is not a field, the nearest is ct.name"),
        "{error}"
    );
    assert_eq!(lines[1..], ["ct.nam=ConsoleLogin", "^^^^^^"]);
}

#[test]
fn log_files_of_every_form_are_filtered() {
    for (ending, bytes) in archives(&[(KEY.to_owned(), log_file(50))]) {
        let folder = TempDir::new().unwrap();
        trail::write(&folder.path().join(format!("trail.{ending}")), &bytes);
        let seen = read(&folder, json!({"filter": "ct.name=ConsoleLogin"}));
        assert_eq!(
            trail::sorted(seen.ids()),
            trail::sorted(expected(50)),
            "{ending}"
        );
    }
}

#[test]
fn the_filter_sees_events_as_they_were_before_they_are_redacted() {
    let folder = TempDir::new().unwrap();
    trail::write(&folder.path().join("a.json"), &log_file(20));
    let config = json!({"filter": "ct.user=alice and ct.name=ConsoleLogin", "redact": "/userIdentity/userName"});
    let seen = read(&folder, config);
    assert_eq!(seen.ids(), expected(20));
    for event in &seen.events {
        assert_eq!(event.json()["userIdentity"]["userName"], "*****");
    }
}

#[test]
fn messages_whose_events_are_all_left_out_are_acknowledged_and_that_is_said_once() {
    let aws = Aws::start();
    aws.queues().create("trail", Duration::from_secs(300));
    let home = Home::make();
    let config = home.config(&aws.endpoint(), json!({"filter": "ct.name=DeleteTrail"}));
    let plugin = Plugin::load(&config);
    let mut instance = plugin.open("sqs://trail").unwrap();
    for n in 0..30 {
        let key = KEY.replace("_a.json", &format!("_{n}.json"));
        aws.put("logs", &key, &trail::gzip(&log_file(100)));
        aws.queues().send(
            "trail",
            json!({"s3Bucket": "logs", "s3ObjectKey": [key]}).to_string(),
        );
    }
    let all = instance.read_while(Duration::from_secs(60), |_| {
        aws.queues().counts("trail").deleted < 30
    });
    assert_eq!((ids(&all.events), all.error), (vec![], None));
    let log = plugin.log();
    assert_eq!(
        log.matches("filter keeps none of the first").count(),
        1,
        "{log}"
    );
    // Below so many, it is no surprise.
    assert!(log.contains("first 1000 events of the queue"), "{log}");
}

#[test]
fn only_the_regions_of_the_list_are_listed() {
    let aws = Aws::start();
    let mut maker = Maker::new(5);
    let mut wanted = Vec::new();
    for region in ["us-east-1", "eu-west-1", "eu-west-2"] {
        for account in [ACCOUNT, "210987654321"] {
            let file = maker.file(account, region, "20240305T1205Z", 3);
            file.put(&aws, "logs");
            if region != "us-east-1" {
                wanted.push(file);
            }
        }
    }
    let config = json!({"s3RegionList": "eu-west-1, eu-west-2"});
    let seen = Capture::new("s3://logs/")
        .aws(&aws)
        .config(config.clone())
        .run();
    assert_eq!(
        trail::sorted(seen.ids()),
        trail::sorted(trail::ids(&wanted))
    );
    let lists = aws.log_of(Op::ListObjects);
    let of_others = lists.iter().filter(|list| list.key.contains("us-east-1"));
    assert_eq!(of_others.count(), 0);

    // In an organization's folder, an archive and a queue.
    let file = maker.file(ACCOUNT, "eu-west-1", "20240305T1210Z", 2);
    let other = maker.file(ACCOUNT, "us-east-1", "20240305T1210Z", 2);
    let keys = [&file, &other].map(|file| file.org_key("org/", "o-abcdefghij"));
    for (file, key) in [&file, &other].into_iter().zip(&keys) {
        aws.put("others", key, &file.gz());
    }
    let seen = Capture::new("s3://others/")
        .aws(&aws)
        .config(config.clone())
        .run();
    assert_eq!(seen.ids(), trail::ids(std::slice::from_ref(&file)));

    let folder = TempDir::new().unwrap();
    let packed = [&file, &other].map(|file| (file.key(""), trail::gzip(&file.json())));
    trail::write(
        &folder.path().join("trail.zip"),
        &harness::forms::zip(&packed),
    );
    let seen = read(&folder, config.clone());
    assert_eq!(seen.ids(), trail::ids(std::slice::from_ref(&file)));

    aws.queues().create("trail", Duration::from_secs(300));
    let message = json!({"s3Bucket": "others", "s3ObjectKey": keys});
    aws.queues().send("trail", message.to_string());
    let seen = Capture::new("sqs://trail")
        .aws(&aws)
        .config(config.clone())
        .enough(2)
        .run();
    assert_eq!(seen.ids(), trail::ids(std::slice::from_ref(&file)));
    assert_eq!(seen.metrics["files_filtered"], 1);

    // A copy.
    let folder = TempDir::new().unwrap();
    for file in &wanted {
        file.write(folder.path());
    }
    maker
        .file(ACCOUNT, "us-east-1", "20240305T1205Z", 3)
        .write(folder.path());
    let seen = read(&folder, config);
    assert_eq!(
        trail::sorted(seen.ids()),
        trail::sorted(trail::ids(&wanted))
    );

    let seen = Capture::new("s3://logs/")
        .aws(&aws)
        .config(json!({"s3RegionList": "ap-south-1"}))
        .run();
    assert_eq!((seen.ids(), &seen.error), (vec![], &None));
    let words = "there is no log file of the regions in s3RegionList under s3://logs/, but of eu-west-1, eu-west-2, us-east-1";
    assert!(seen.stderr.trim_end().ends_with(words), "{}", seen.stderr);
}

/// The filters of a table in a document, which have backquotes in their second column.
fn documented(path: &str) -> Vec<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text
        .lines()
        .skip_while(|line| *line != "| question | filter |")
        .skip(2);
    rows.take_while(|row| row.starts_with('|'))
        .map(|row| row.split('`').nth(1).unwrap().to_owned())
        .collect()
}

/// Each question of the documents: its filter keeps an event that answers it, and not one that is like it.
#[test]
fn the_questions_of_the_documents_are_answered() {
    let iam = |name: &str| json!({"eventSource": "iam.amazonaws.com", "eventName": name, "readOnly": false});
    let refused = |mut event: Value| {
        event["errorCode"] = "AccessDenied".into();
        event
    };
    let open_to = |cidr: &str| {
        json!({"eventName": "AuthorizeSecurityGroupIngress", "requestParameters": {"ipPermissions": {"items": [
            {"ipRanges": {"items": [{"cidrIp": cidr}]}},
        ]}}})
    };
    let by = |user: &str, read_only: bool| {
        json!({"readOnly": read_only, "sourceIPAddress": "198.51.100.7",
            "userIdentity": {"type": "IAMUser", "userName": user}})
    };
    let login = |result: &str| json!({"eventType": "AwsConsoleSignIn", "eventName": "ConsoleLogin", "responseElements": {"ConsoleLogin": result}});
    let key = |id: &str| json!({"userIdentity": {"accessKeyId": id}});
    let kind = |kind: &str| json!({"userIdentity": {"type": kind}});
    let from = |address: &str| json!({"sourceIPAddress": address});
    let bucket = |name: &str| json!({"requestParameters": {"bucketName": name}});
    let account = |id: &str| json!({"requestParameters": {"accountId": id}});
    let answers = [
        (
            "ct.user.accesskeyid=",
            key("AKIAIOSFODNN7EXAMPLE"),
            key("AKIAI44QH8DHBEXAMPLE"),
        ),
        ("ct.originaluser in", by("bob", false), by("bob", true)),
        ("ct.name=ConsoleLogin", login("Failure"), login("Success")),
        ("ct.user.identitytype=", kind("Root"), kind("IAMUser")),
        (
            "ct.error in",
            refused(iam("PutUserPolicy")),
            iam("PutUserPolicy"),
        ),
        (
            "ct.srcip startswith",
            from("203.0.113.9"),
            from("203.0.11.39"),
        ),
        (
            "ct.readonly=false and",
            by("carol", false),
            by("terraform", false),
        ),
        ("s3.bucket=", bucket("my-bucket"), bucket("my-bucket-2")),
        ("ct.shortsrc=iam", iam("DeleteUser"), by("bob", false)),
        (
            "ec2.cidrs contains",
            open_to("0.0.0.0/0"),
            open_to("10.0.0.0/8"),
        ),
        (
            "ct.name in",
            iam("CreateAccessKey"),
            refused(iam("CreateAccessKey")),
        ),
        (
            "ct.value icontains",
            json!({"x": ["I-0123456789ABCDEF0"]}),
            json!({"x": "i-0"}),
        ),
        (
            "ct.value[/requestParameters",
            account("111122223333"),
            account("444455556666"),
        ),
    ];
    let filters = documented("docs/filter.md");
    assert_eq!(filters.len(), answers.len());
    for filter in filters {
        let answer = answers.iter().find(|(begin, ..)| filter.starts_with(begin));
        let (_, kept, spared) = answer.unwrap_or_else(|| panic!("{filter}"));
        let record = |id: &str, event: &Value| {
            let mut record = json!({"eventVersion": "1.08", "eventTime": "2024-03-05T12:00:00Z", "eventID": id,
                "eventSource": "ec2.amazonaws.com", "eventName": "DescribeInstances", "awsRegion": "us-east-1"});
            let members = event.as_object().unwrap().clone();
            record.as_object_mut().unwrap().extend(members);
            record.to_string()
        };
        let folder = TempDir::new().unwrap();
        let text = log_text(&[&record("kept", kept), &record("spared", spared)]);
        trail::write(&folder.path().join("a.json"), &text);
        assert_eq!(
            read(&folder, json!({"filter": filter})).ids(),
            ["kept"],
            "{filter}"
        );
    }
}
