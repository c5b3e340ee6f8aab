//! The setting `dedupe`: events that several trails deliver, or that are in copies, once each, wherever they come from;
//! and what is said where it is off.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use harness::aws::{ACCOUNT, Aws, REGION};
use harness::capture::{Capture, Seen};
use harness::forms::archives;
use harness::home::Home;
use harness::host::{Event, Plugin, ids};
use harness::trail::{self, LogFile, Maker, Record, format_time, log_text, parse_time, sorted};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// What the log says where events came more than once.
const TOLD: &str = "had been handed over before, going by their event IDs";

/// A trail of 20 minutes with an event each second.
fn trail(seed: u64) -> Vec<LogFile> {
    Maker::new(seed).trail(&[ACCOUNT], &[REGION], "20240305T1205Z", 4, 300)
}

/// The same events as another trail delivers them: in other log files, some of them with events of several of those.
fn other_trail(seed: u64, files: &[LogFile]) -> Vec<LogFile> {
    let mut maker = Maker::new(seed);
    let records = trail::records(files);
    let start = parse_time(&files[0].time);
    let chunks = records.chunks(170).enumerate();
    let file = |(number, records): (usize, &[Record])| {
        let time = start + SignedDuration::from_mins(3 * number as i64 + 1);
        let mut file = maker.file(ACCOUNT, REGION, &format_time(time), 0);
        file.records = records.to_vec();
        file
    };
    chunks.map(file).collect()
}

/// Both trails.
fn trails(seed: u64) -> (Vec<LogFile>, Vec<LogFile>) {
    let one = trail(seed);
    let both = [one.clone(), other_trail(seed + 1000, &one)].concat();
    (one, both)
}

/// Each event once, and the others counted.
fn assert_once(seen: &Seen, expected: &[String]) {
    assert_eq!(seen.error, None, "{}", seen.words());
    assert_eq!(sorted(seen.ids()), sorted(expected.to_vec()));
    let repeated = seen.metrics["records_repeated"];
    assert_eq!(
        seen.metrics["records_found"],
        seen.metrics["records_handed_over"] + repeated
    );
    let words = format!("; {repeated} records left out by dedupe");
    assert!(seen.log().contains(&words), "{}", seen.log());
    assert!(!seen.log().contains(TOLD), "{}", seen.log());
    assert_eq!(seen.stderr, "");
}

/// Each event as often as it is there, with one line about it.
fn assert_twice(seen: &Seen, expected: &[String]) {
    assert_eq!(seen.error, None, "{}", seen.words());
    assert_eq!(sorted(seen.ids()), sorted([expected, expected].concat()));
    assert_eq!(seen.metrics["records_repeated"], 0);
    let log = seen.log();
    let words = format!("about 50 % of the events {TOLD}");
    assert_eq!(log.matches(&words).count(), 1, "{log}");
    assert!(!log.contains("left out"), "{log}");
    assert_eq!(seen.stderr, "");
}

#[test]
fn several_trails_in_one_bucket() {
    let aws = Aws::start();
    let (one, both) = trails(1);
    for file in &both {
        file.put(&aws, "logs");
    }
    let read = |config: Value| Capture::new("s3://logs/").aws(&aws).config(config).run();
    let expected = trail::ids(&one);
    assert_once(&read(json!({"dedupe": true})), &expected);
    assert_once(&read(json!({"DEDUPE": true})), &expected);
    assert_twice(&read(json!({})), &expected);
    assert_twice(&read(json!({"dedupe": false})), &expected);
    // What ends with its close.
    let config = json!({"dedupe": true, "s3Follow": true, "s3PollInterval": 1});
    let capture = Capture::new("s3://logs/").aws(&aws).config(config);
    let seen = capture.enough(expected.len()).run();
    assert_eq!(sorted(seen.ids()), sorted(expected));
}

#[test]
fn nothing_is_said_of_a_trail_by_itself() {
    let folder = TempDir::new().unwrap();
    for file in trail(2) {
        file.write(folder.path());
    }
    for dedupe in [false, true] {
        let seen = Capture::new(folder.path().to_str().unwrap())
            .config(json!({"dedupe": dedupe}))
            .run();
        assert_eq!((seen.ids().len(), &seen.error), (1200, &None));
        let log = seen.log();
        assert!(!log.contains(TOLD) && !log.contains("left out"), "{log}");
    }
}

#[test]
fn folders_archives_and_archives_beside_folders() {
    let (one, both) = trails(3);
    let expected = trail::ids(&one);
    let files = |files: &[LogFile]| -> Vec<(String, Vec<u8>)> {
        files.iter().map(|file| (file.key(""), file.gz())).collect()
    };
    let folder = |content: &[(String, Vec<u8>)]| {
        let folder = TempDir::new().unwrap();
        for (name, bytes) in content {
            trail::write(&folder.path().join(name), bytes);
        }
        folder
    };
    let mut folders = vec![folder(&files(&both))];
    for (ending, bytes) in archives(&files(&both)) {
        folders.push(folder(&[(format!("both.{ending}"), bytes)]));
    }
    let other = &both[one.len()..];
    for ((ending, bytes), (other_ending, other)) in archives(&files(&one))
        .into_iter()
        .zip(archives(&files(other)).into_iter().rev())
    {
        folders.push(folder(&[
            (format!("one.{ending}"), bytes.clone()),
            (format!("other.{other_ending}"), other),
        ]));
        let mut beside = files(&both[one.len()..]);
        beside.push((format!("one.{ending}"), bytes));
        folders.push(folder(&beside));
    }
    for folder in &folders {
        let read = |config: Value| {
            let capture = Capture::new(folder.path().to_str().unwrap());
            capture.config(config).run()
        };
        assert_once(&read(json!({"dedupe": true})), &expected);
        assert_twice(&read(json!({})), &expected);
    }
}

/// A queue of log files, read until each message is deleted, and closed.
fn of_queue(config: Value, files: &[LogFile]) -> (Vec<Event>, Plugin) {
    let aws = Aws::start();
    aws.queues().create("trail", Duration::from_secs(300));
    for file in files {
        let key = file.key("");
        file.put(&aws, "logs");
        let message = json!({"s3Bucket": "logs", "s3ObjectKey": [key]});
        aws.queues().send("trail", message.to_string());
    }
    let home = Home::make();
    let plugin = Plugin::load(&home.config(&aws.endpoint(), config));
    let mut instance = plugin.open("sqs://trail").unwrap();
    let all = instance.read_while(Duration::from_secs(60), |_| {
        aws.queues().counts("trail").deleted < files.len() as u64
    });
    assert_eq!(all.error, None, "{}", plugin.log());
    drop(instance);
    (all.events, plugin)
}

#[test]
fn a_queue_whose_log_files_of_doubles_are_consumed_all_the_same() {
    let (one, both) = trails(4);
    let expected = sorted(trail::ids(&one));
    let (events, plugin) = of_queue(json!({"dedupe": true}), &both);
    assert_eq!(sorted(ids(&events)), expected);
    let metrics = plugin.metrics().unwrap();
    assert_eq!(metrics["records_repeated"], expected.len() as u64);
    assert_eq!(metrics["messages_deleted"], both.len() as u64);
    assert!(!plugin.log().contains(TOLD), "{}", plugin.log());
    // What ends with its close tells then.
    let (events, plugin) = of_queue(json!({}), &both);
    assert_eq!(events.len(), 2 * expected.len());
    assert_eq!(plugin.log().matches(TOLD).count(), 1, "{}", plugin.log());
}

#[test]
fn the_event_history_of_several_regions() {
    let aws = Aws::start();
    let mut maker = Maker::new(5);
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let mut record = |seconds| {
        let time = now - SignedDuration::from_secs(seconds);
        maker.record(ACCOUNT, REGION, time)
    };
    let both: Vec<Record> = (0..300).map(|n| record(1000 - n)).collect();
    let one: Vec<Record> = (0..20).map(|n| record(500 - n)).collect();
    aws.history().add("us-east-1", both.iter().chain(&one));
    aws.history().add("eu-west-1", &both);
    let config = json!({"s3Interval": "1h", "dedupe": true, "includeInsights": false});
    let seen = Capture::new("cloudtrail://us-east-1,eu-west-1")
        .aws(&aws)
        .config(config)
        .run();
    let all = [both, one].concat();
    let expected: Vec<String> = all.into_iter().map(|record| record.id).collect();
    assert_once(&seen, &expected);
    assert_eq!(seen.metrics["records_repeated"], 300);
}

/// A folder with log files of these records, read in their order.
fn folder<T: AsRef<str>>(files: &[Vec<T>]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (number, records) in files.iter().enumerate() {
        let records: Vec<&str> = records.iter().map(AsRef::as_ref).collect();
        let name = format!(
            "{ACCOUNT}_CloudTrail_{REGION}_20240305T{:02}{:02}Z_x.json",
            number / 60,
            number % 60
        );
        trail::write(&folder.path().join(name), &log_text(&records));
    }
    folder
}

fn payloads(seen: &Seen) -> Vec<String> {
    assert_eq!(seen.error, None, "{}", seen.words());
    let text = |event: &Event| String::from_utf8(event.payload().to_vec()).unwrap();
    seen.events.iter().map(text).collect()
}

fn read(folder: &TempDir, config: Value) -> Seen {
    let capture = Capture::new(folder.path().to_str().unwrap());
    capture.config(config).run()
}

#[test]
fn what_tells_more_or_goes_to_others_is_no_double() {
    let time = r#""eventTime":"2024-03-05T12:00:00Z""#;
    let first: Vec<String> = [
        // One call, of which both accounts are told: each event has its own ID, but even if it had not, each has its
        // own recipient.
        r#""eventID":"shared-1","sharedEventID":"s","recipientAccountId":"111111111111""#,
        r#""eventID":"shared-2","sharedEventID":"s","recipientAccountId":"222222222222""#,
        r#""eventID":"shared-3","sharedEventID":"s","recipientAccountId":"111111111111""#,
        r#""eventID":"shared-3","sharedEventID":"s","recipientAccountId":"222222222222""#,
        // Sent again, since it tells more.
        r#""eventID":"late""#,
        r#""eventID":"late","addendum":{"reason":"DELIVERY_DELAY"}"#,
        r#""eventID":"late","addendum":{"reason":"SERVICE_OUTAGE"}"#,
        r#""eventID":"late","addendum":{"reason":"UPDATED_DATA","updatedFields":"responseElements","originalEventID":"x"}"#,
        // The beginning and the end of what Insights has noticed.
        r#""eventType":"AwsCloudTrailInsight","eventID":"i-1","sharedEventID":"i","insightDetails":{"state":"Start"}"#,
        r#""eventType":"AwsCloudTrailInsight","eventID":"i-2","sharedEventID":"i","insightDetails":{"state":"End"}"#,
        // An aggregated event.
        r#""eventId":"aggregated""#,
    ]
    .iter()
    .map(|members| format!("{{{time},{members}}}"))
    .collect();
    // What can't be known again.
    let unknown: Vec<String> = [
        r#""eventName":"X""#,
        r#""eventName":"X","eventID":null"#,
        r#""eventName":"X","eventID":"""#,
        r#""eventName":"X","eventID":7"#,
        r#""eventName":"X","eventID":"************""#,
        r#""eventName":"X","requestParameters":{"eventID":"late"}"#,
    ]
    .iter()
    .map(|members| format!("{{{time},{members}}}"))
    .collect();
    let all = [first.clone(), unknown.clone()].concat();
    // Other files than the first, or they would be left out as a whole.
    let again = |n: usize| {
        let own = format!(r#"{{{time},"eventID":"own-{n}"}}"#);
        [vec![own], all.clone()].concat()
    };
    let folder = folder(&[all.clone(), again(1), again(2)]);
    let seen = read(&folder, json!({"dedupe": true}));
    let mut expected = all.clone();
    for n in 1..=2 {
        expected.extend(again(n).drain(..1));
        expected.extend(unknown.clone());
    }
    assert_eq!(payloads(&seen), expected);
    assert_eq!(seen.metrics["records_repeated"], 2 * first.len() as u64);
    assert_eq!(read(&folder, json!({})).events.len(), 3 * all.len() + 2);
}

#[test]
fn filter_and_redaction_come_with_it() {
    let one = trail(6);
    let both = [one.clone(), other_trail(7, &one)].concat();
    let folder = TempDir::new().unwrap();
    for file in &both {
        file.write(folder.path());
    }
    // What an event is known by is taken before it is hidden.
    let config = json!({"dedupe": true, "redact": "/eventID,/recipientAccountId"});
    let seen = read(&folder, config);
    let stars: BTreeSet<String> = seen.ids().into_iter().collect();
    assert_eq!((seen.events.len(), stars.len()), (1200, 1));
    assert_eq!(seen.metrics["records_repeated"], 1200);
    // What the filter leaves out is not handed over.
    let config = json!({"dedupe": true, "filter": "ct.name=CreateUser"});
    let seen = read(&folder, config);
    let kept = one
        .iter()
        .flat_map(|file| &file.records)
        .filter(|record| record.json.contains("CreateUser"));
    let kept: Vec<String> = kept.map(|record| record.id.clone()).collect();
    assert_eq!(sorted(seen.ids()), sorted(kept.clone()));
    assert!(kept.len() > 100);
    assert_eq!(seen.metrics["records_repeated"], kept.len() as u64);
    assert_eq!(
        seen.metrics["records_left_out"],
        2400 - 2 * kept.len() as u64
    );
}

/// Events of any kind in any order: what is left out is what a set of parsed records says.
#[test]
fn as_an_independent_solution_has_it() {
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let pool = random.u64(1..60);
        let files: Vec<Vec<String>> = (0..random.usize(1..9))
            .map(|_| {
                (0..random.usize(1..40))
                    .map(|_| record(&mut random, pool))
                    .collect()
            })
            .collect();
        let folder = folder(&files);
        // The order of hand-over, and what repeats as a whole, is not what this is about.
        let all = payloads(&read(&folder, json!({})));
        let mut known = HashSet::new();
        let expected: Vec<&String> = all
            .iter()
            .filter(|record| identity(record).is_none_or(|identity| known.insert(identity)))
            .collect();
        let seen = read(&folder, json!({"dedupe": true}));
        let left = payloads(&seen);
        assert_eq!(left.iter().collect::<Vec<_>>(), expected, "seed {seed}");
        let repeated = (all.len() - left.len()) as u64;
        assert_eq!(seen.metrics["records_repeated"], repeated, "seed {seed}");
    }
}

/// What an event is known by.
fn identity(record: &str) -> Option<(String, Option<String>, Option<Value>)> {
    let record: Value = serde_json::from_str(record).unwrap();
    let id = record.get("eventID").or(record.get("eventId"))?.as_str()?;
    let recipient = record.get("recipientAccountId").and_then(Value::as_str);
    if id.is_empty() || id.contains('*') || recipient.is_some_and(|account| account.contains('*')) {
        return None;
    }
    let addendum = record
        .get("addendum")
        .filter(|addendum| !addendum.is_null());
    Some((
        id.to_owned(),
        recipient.map(str::to_owned),
        addendum.cloned(),
    ))
}

fn record(random: &mut fastrand::Rng, pool: u64) -> String {
    let number = random.u64(..pool);
    // The same event has the same time.
    let mut members = vec![(
        "eventTime",
        format!(r#""2024-03-05T12:{:02}:00Z""#, number % 60),
    )];
    let id = match random.u8(..12) {
        0 => String::new(),
        1 => "null".to_owned(),
        2 => r#""""#.to_owned(),
        3 => number.to_string(),
        4 => r#""****""#.to_owned(),
        // The letter e as an escape.
        5..=6 => format!(r#""\u0065-{number}""#),
        _ => format!(r#""e-{number}""#),
    };
    if !id.is_empty() {
        members.push((
            *random
                .choice(&["eventID", "eventID", "event\\u0049D", "eventId"])
                .unwrap(),
            id,
        ));
    }
    if random.bool() {
        let account = random.choice(&[r#""1""#, r#""2""#, r#""\u0031""#, r#""*""#]);
        members.push(("recipientAccountId", account.unwrap().to_string()));
    }
    if random.u8(..4) == 0 {
        let addendum = random.choice(&[
            "null",
            r#"{"reason":"DELIVERY_DELAY"}"#,
            r#"{"reason":"UPDATED_DATA"}"#,
        ]);
        members.push(("addendum", addendum.unwrap().to_string()));
    }
    if random.bool() {
        let nested = format!(
            r#"{{"eventID":"e-{}","addendum":{{"reason":"X"}}}}"#,
            random.u64(..pool)
        );
        members.push(("requestParameters", nested));
    }
    if random.bool() {
        members.push(("sharedEventID", format!(r#""e-{number}""#)));
    }
    random.shuffle(&mut members);
    let mut json = String::from("{");
    for (at, (name, value)) in members.iter().enumerate() {
        let space = *random.choice(&["", "", "", " ", "\n\t"]).unwrap();
        let comma = if at > 0 { "," } else { "" };
        write!(
            json,
            "{comma}{space}\"{name}\"{space}:{space}{value}{space}"
        )
        .unwrap();
    }
    json + "}"
}
