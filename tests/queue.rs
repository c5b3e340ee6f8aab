//! Log files that an SQS queue tells of: each read at least once, its message deleted when the host is through with it.
//!
//! What has to fail on demand runs against the harness's own SQS, and how news gets into a queue against moto.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use harness::aws::{ACCOUNT, Aws, Fault, Op, REGION, Request, SECRET_KEY};
use harness::capture::Capture;
use harness::forms::{archives, envelope, forms, string};
use harness::home::Home;
use harness::host::{Event, Instance, Library, Plugin, Status, ids};
use harness::moto::Moto;
use harness::proxy::Proxy;
use harness::sqs::Counts;
use harness::trail::{self, LogFile, Maker, gzip, sorted};
use harness::until;
use serde_json::{Value, json};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);
/// A visibility timeout that does not end within a test.
const LONG: Duration = Duration::from_secs(300);

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// An AWS with a queue, and a plugin that reads it.
struct World {
    aws: Aws,
    plugin: Plugin,
    home: Home,
}

impl World {
    /// With a queue `trail`.
    fn new(visibility: Duration, config: Value) -> Self {
        let aws = Aws::start();
        aws.queues().create("trail", visibility);
        let home = Home::make();
        let plugin = Plugin::load(&home.config(&aws.endpoint(), config));
        Self { aws, plugin, home }
    }

    fn open(&self) -> Instance<'_> {
        self.plugin.open("sqs://trail").unwrap()
    }

    /// Puts log files into the bucket `logs`, and a message for each into the queue.
    fn deliver(&self, files: &[LogFile]) {
        for file in files {
            file.put(&self.aws, "logs");
            self.aws
                .queues()
                .send("trail", of_s3("logs", &file.key("")));
        }
    }

    fn counts(&self) -> Counts {
        self.aws.queues().counts("trail")
    }

    fn log(&self) -> String {
        self.plugin.log()
    }

    fn metric(&self, name: &str) -> u64 {
        self.plugin.metrics().unwrap()[name]
    }

    /// Reads on until this holds.
    fn read_until(
        &self,
        instance: &mut Instance<'_>,
        mut done: impl FnMut(&[Event]) -> bool,
    ) -> Vec<Event> {
        let all = instance.read_while(LIMIT, |events| !done(events));
        assert_eq!(all.error, None, "{:?}\n{}", self.counts(), self.log());
        all.events
    }

    /// Reads on until so many messages are deleted.
    fn read_until_deleted(&self, instance: &mut Instance<'_>, messages: u64) -> Vec<Event> {
        self.read_until(instance, |_| self.counts().deleted >= messages)
    }
}

fn is(action: &'static str) -> impl Fn(&Request) -> bool + Send + Sync + 'static {
    move |request| request.op == Op::Sqs && request.key == action
}

/// What S3 tells of an object.
fn of_s3(bucket: &str, key: &str) -> String {
    json!({"Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventTime": "2024-03-05T12:05:11.123Z",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": key.replace('+', "%2B").replace(' ', "+")}},
    }]})
    .to_string()
}

/// What CloudTrail tells of its log files.
fn of_cloudtrail(bucket: &str, keys: &[String]) -> String {
    json!({"s3Bucket": bucket, "s3ObjectKey": keys}).to_string()
}

/// What EventBridge tells of an object.
fn of_event_bridge(bucket: &str, key: &str) -> String {
    json!({
        "version": "0", "detail-type": "Object Created", "source": "aws.s3", "region": REGION,
        "time": "2024-03-05T12:05:11Z", "detail": {"bucket": {"name": bucket}, "object": {"key": key}},
    })
    .to_string()
}

fn files(seed: u64, files: usize, records: usize) -> Vec<LogFile> {
    let mut maker = Maker::new(seed);
    (0..files)
        .map(|_| maker.file(ACCOUNT, "us-east-1", "20240305T1205Z", records))
        .collect()
}

#[test]
fn a_message_is_deleted_when_the_host_comes_back_and_not_before() {
    let world = World::new(LONG, json!({}));
    let files = files(1, 3, 5);
    world.deliver(&files);
    let mut instance = world.open();
    let mut events = vec![];
    while events.len() < 15 {
        events.extend(instance.next_batch().events);
        // Whatever came with the last event is not consumed yet.
        thread::sleep(Duration::from_millis(if events.len() < 15 {
            0
        } else {
            1500
        }));
    }
    assert!(world.counts().deleted < 3);
    world.read_until_deleted(&mut instance, 3);
    assert_eq!(sorted(ids(&events)), sorted(trail::ids(&files)));
    assert_eq!(world.counts().received, 3);
    assert!(
        instance
            .progress()
            .unwrap()
            .1
            .contains("3 messages, 3 log files")
    );
    for (metric, value) in [
        ("messages_received", 3),
        ("messages_deleted", 3),
        ("files_fetched", 3),
        ("records_handed_over", 15),
    ] {
        assert_eq!(world.metric(metric), value, "{metric}");
    }
}

#[test]
fn closing_acknowledges_nothing_that_is_not_consumed() {
    let world = World::new(Duration::from_secs(2), json!({}));
    let files = files(2, 40, 100);
    world.deliver(&files);
    let mut seen = BTreeSet::new();
    let mut deleted = 0;
    // Closed again and again in the middle.
    for round in 0.. {
        let mut instance = world.open();
        let mut last = vec![];
        let start = Instant::now();
        for _ in 0..4 {
            last = loop {
                let batch = instance.next_batch();
                assert!(matches!(batch.status, Status::More | Status::Timeout));
                if !batch.events.is_empty() || world.counts().deleted == 40 {
                    break batch.events;
                }
                assert!(start.elapsed() < LIMIT);
            };
            seen.extend(ids(&last));
        }
        drop(instance);
        // The last batch counts as not consumed: what is deleted was seen before.
        let before: BTreeSet<String> = seen.iter().cloned().collect();
        let last: BTreeSet<String> = ids(&last).into_iter().collect();
        deleted = world.counts().deleted;
        let whole = files.iter().filter(|file| {
            file.records
                .iter()
                .all(|record| before.contains(&record.id))
                && !file
                    .records
                    .iter()
                    .any(|record| last.contains(&record.id) && round == 0)
        });
        assert!(deleted <= whole.count() as u64);
        if deleted == 40 {
            break;
        }
    }
    assert_eq!(deleted, 40);
    assert_eq!(seen, trail::ids(&files).into_iter().collect());
}

#[test]
fn closing_deletes_what_is_consumed() {
    let world = World::new(LONG, json!({}));
    for file in files(23, 10, 5) {
        world.deliver(&[file]);
        let mut instance = world.open();
        world.read_until(&mut instance, |events| events.len() == 5);
        // It comes back once, and closes before deletions are due.
        instance.next_batch();
    }
    // How many of them depends on how fast the queue answers.
    assert!(world.counts().deleted > 0);
}

#[test]
fn a_message_with_several_files_goes_with_the_last_of_them() {
    let world = World::new(Duration::from_secs(2), json!({}));
    let files = files(3, 3, 4);
    let keys: Vec<String> = files.iter().map(|file| file.key("")).collect();
    // The second one is not there.
    files[0].put(&world.aws, "logs");
    files[2].put(&world.aws, "logs");
    world
        .aws
        .queues()
        .send("trail", of_cloudtrail("logs", &keys));
    let mut instance = world.open();
    let events = world.read_until(&mut instance, |events| events.len() >= 8);
    assert_eq!(
        ids(&events),
        trail::ids(&[files[0].clone(), files[2].clone()])
    );
    world.read_until(&mut instance, |_| world.metric("files_failed") > 0);
    assert!(
        world.log().contains(&format!("s3://logs/{}: ", keys[1]))
            && world.log().contains("it is gone"),
        "{}",
        world.log()
    );
    assert_eq!(world.counts().deleted, 0);
    // Its message comes again, and with it nothing but the one that was missing.
    files[1].put(&world.aws, "logs");
    let rest = world.read_until_deleted(&mut instance, 1);
    assert_eq!(ids(&rest), trail::ids(&files[1..2]));
}

#[test]
fn what_is_denied_or_damaged_is_named_and_left() {
    let world = World::new(LONG, json!({}));
    let [good, denied] = files(4, 2, 3).try_into().unwrap();
    world.deliver(&[denied.clone(), good.clone()]);
    let key = denied.key("");
    world.aws.fault(
        move |request| request.op == Op::GetObject && request.key == key,
        Fault::denied(),
    );
    world
        .aws
        .put("logs", "empty.json.gz", b"\x1f\x8b\x08\x00garbage");
    world
        .aws
        .queues()
        .send("trail", of_event_bridge("logs", "empty.json.gz"));
    let mut instance = world.open();
    let events = world.read_until(&mut instance, |_| {
        world.counts().deleted == 1
            && world.metric("files_failed") + world.metric("files_damaged") == 2
    });
    assert_eq!(ids(&events), trail::ids(&[good]));
    let log = world.log();
    assert!(
        log.contains(&denied.key(""))
            && log.contains("s3:GetObject")
            && log.contains("empty.json.gz"),
        "{log}"
    );
    thread::sleep(Duration::from_millis(1500));
    assert_eq!((world.counts().deleted, world.counts().in_flight), (1, 2));
}

/// The SDK never forgets a region that it was asked for.
#[test]
fn regions_that_messages_make_up_are_not_all_asked() {
    let world = World::new(LONG, json!({}));
    for number in 0..130 {
        let message = of_event_bridge(&format!("made-up-{number}"), "x.json.gz");
        let message = message.replace(REGION, &format!("made-up-{number}"));
        world.aws.queues().send("trail", message);
    }
    let mut instance = world.open();
    world.read_until(&mut instance, |_| world.metric("files_failed") >= 130);
    let asked = world.aws.log_of(Op::GetObject).into_iter();
    let regions: BTreeSet<_> = asked.filter_map(|request| request.region).collect();
    assert!((2..=101).contains(&regions.len()), "{regions:?}");
}

#[test]
fn a_message_that_comes_again_and_again_is_named_once() {
    let world = World::new(Duration::from_secs(1), json!({}));
    let [denied] = files(4, 1, 3).try_into().unwrap();
    world.deliver(std::slice::from_ref(&denied));
    world
        .aws
        .fault(|request| request.op == Op::GetObject, Fault::denied());
    let mut instance = world.open();
    world.read_until(&mut instance, |_| world.metric("files_failed") >= 3);
    let log = world.log();
    assert_eq!(log.matches(&denied.key("")).count(), 1, "{log}");
}

#[test]
fn a_slow_host_keeps_its_messages() {
    let world = World::new(Duration::from_secs(4), json!({}));
    let files = files(5, 1, 700);
    world.deliver(&files);
    let mut instance = world.open();
    let mut events = world.read_until(&mut instance, |events| !events.is_empty());
    for _ in 0..10 {
        thread::sleep(Duration::from_secs(1));
        assert_eq!(world.counts().visible, 0);
    }
    assert!(world.counts().extended >= 3);
    events.extend(world.read_until_deleted(&mut instance, 1));
    assert_eq!(world.counts().received, 1);
    assert_eq!(ids(&events).len(), 700);
}

#[test]
fn without_extension_a_message_comes_again_and_its_events_do_not() {
    let world = World::new(Duration::from_secs(1), json!({}));
    world
        .aws
        .fault(is("ChangeMessageVisibilityBatch"), Fault::denied());
    let files = files(6, 2, 400);
    world.deliver(&files);
    let mut instance = world.open();
    let mut events = world.read_until(&mut instance, |events| !events.is_empty());
    thread::sleep(Duration::from_secs(3));
    events.extend(world.read_until_deleted(&mut instance, 2));
    assert!(world.counts().received > 2);
    assert_eq!(sorted(ids(&events)), sorted(trail::ids(&files)));
    let log = world.log();
    assert!(log.contains("need sqs:ChangeMessageVisibility"), "{log}");
    assert_eq!(log.matches("ChangeMessageVisibility").count(), 1, "{log}");
}

#[test]
fn duplicates_are_dropped_counted_and_deleted() {
    let world = World::new(LONG, json!({}));
    let files = files(7, 1, 5);
    world.deliver(&files);
    let key = files[0].key("");
    let queues = world.aws.queues();
    queues.send("trail", of_event_bridge("logs", &key));
    queues.send("trail", of_cloudtrail("logs", std::slice::from_ref(&key)));
    let mut instance = world.open();
    let events = world.read_until_deleted(&mut instance, 3);
    queues.send("trail", of_s3("logs", &key));
    let more = world.read_until_deleted(&mut instance, 4);
    assert_eq!(ids(&events), trail::ids(&files));
    assert!(more.is_empty());
    assert_eq!(world.metric("notifications_duplicate"), 3);
    assert_eq!(world.aws.log_of(Op::GetObject).len(), 1);
}

#[test]
fn what_is_not_understood_is_left_to_the_redrive_policy() {
    let world = World::new(Duration::from_secs(1), json!({}));
    let queues = world.aws.queues();
    queues.redrive("trail", 3);
    for body in [
        "poison",
        r#"{"Type":"Notification","Message":"{\"alarm\":1}"}"#,
    ] {
        queues.send("trail", body);
    }
    let files = files(8, 2, 5);
    world.deliver(&files);
    let mut instance = world.open();
    let events = world.read_until(&mut instance, |_| {
        world.counts().dead == 2 && world.counts().deleted == 2
    });
    assert_eq!(sorted(ids(&events)), sorted(trail::ids(&files)));
    assert_eq!(world.metric("messages_unknown"), 6);
    let log = world.log();
    assert_eq!(log.matches("is left there").count(), 1, "{log}");
    assert!(log.contains("begins with \"poison\""), "{log}");
}

#[test]
fn what_is_no_news_of_a_wanted_log_file_is_passed_over_and_deleted() {
    let world = World::new(
        LONG,
        json!({"s3Interval": "2024-03-05T00:00:00Z-2024-03-06T00:00:00Z", "s3AccountList": ACCOUNT}),
    );
    let queues = world.aws.queues();
    let good = files(9, 1, 5);
    let mut maker = Maker::new(10);
    let digest = format!(
        "AWSLogs/{ACCOUNT}/CloudTrail-Digest/us-east-1/2024/03/05/{ACCOUNT}_CloudTrail-Digest_us-east-1_t_us-east-1_20240305T120000Z.json.gz"
    );
    let late = maker
        .file(ACCOUNT, "us-east-1", "20240307T1205Z", 1)
        .key("");
    let foreign = maker
        .file("210987654321", "us-east-1", "20240305T1205Z", 1)
        .key("");
    let removed = of_s3("logs", "x.json.gz").replace("ObjectCreated:Put", "ObjectRemoved:Delete");
    for body in [
        r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2024-03-05T12:05:11.123Z","Bucket":"logs"}"#.to_owned(),
        json!({"Type": "Notification", "Message": "CloudTrail validation message."}).to_string(),
        removed,
        of_s3("logs", &digest),
        of_s3("logs", "flow.log.gz"),
        of_cloudtrail("logs", &[late]),
        of_event_bridge("logs", &foreign),
    ] {
        queues.send("trail", body);
    }
    world.deliver(&good);
    let mut instance = world.open();
    let events = world.read_until_deleted(&mut instance, 8);
    assert_eq!(ids(&events), trail::ids(&good));
    assert_eq!(world.metric("messages_passed_over"), 3);
    assert_eq!(world.metric("files_passed_over"), 2);
    assert_eq!(world.metric("files_listed"), 1);
    assert_eq!(world.aws.log_of(Op::GetObject).len(), 1);
}

#[test]
fn with_sqs_delete_false_messages_stay_and_are_read_once() {
    let world = World::new(Duration::from_secs(1), json!({"sqsDelete": false}));
    world.aws.queues().redrive("trail", 5);
    let files = files(11, 3, 5);
    world.deliver(&files);
    let mut instance = world.open();
    let mut events = world.read_until(&mut instance, |events| events.len() >= 15);
    let start = Instant::now();
    events.extend(world.read_until(&mut instance, |_| start.elapsed() > Duration::from_secs(4)));
    assert_eq!(sorted(ids(&events)), sorted(trail::ids(&files)));
    let counts = world.counts();
    assert_eq!((counts.deleted, counts.received), (0, 3));
    let log = world.log();
    assert!(
        log.contains("sqsDelete is false") && log.contains("received 5 times"),
        "{log}"
    );
    drop(instance);
    // They are there for the next one.
    let mut instance = world.open();
    world.read_until(&mut instance, |events| events.len() >= 15);
}

#[test]
fn a_queue_of_another_account() {
    let owner = "210987654321";
    let aws = Aws::start();
    aws.queues().create_in(owner, "trail", LONG);
    let file = files(12, 1, 5).remove(0);
    file.put(&aws, "logs");
    let home = Home::make();
    let arn = format!("arn:aws:sqs:{REGION}:{owner}:trail");
    let url = format!("{}/{owner}/trail", aws.endpoint());
    for (params, config, deleted) in [
        ("sqs://trail", json!({"sqsOwnerAccount": owner}), 1),
        (&arn, json!({}), 2),
        (&url, json!({}), 3),
    ] {
        aws.queues()
            .send_in(owner, "trail", of_s3("logs", &file.key("")));
        let plugin = Plugin::load(&home.config(&aws.endpoint(), config));
        let mut instance = plugin.open(params).unwrap();
        let all = instance.read_while(LIMIT, |_| {
            aws.queues().counts_in(owner, "trail").deleted < deleted
        });
        assert_eq!(all.error, None);
        assert_eq!(ids(&all.events), trail::ids(std::slice::from_ref(&file)));
    }
    let plugin = Plugin::load(&home.config(&aws.endpoint(), json!({})));
    let error = plugin.open("sqs://trail").err().unwrap().to_string();
    assert!(
        error.contains("no such queue") && error.contains("sqsOwnerAccount"),
        "{error}"
    );
}

#[test]
fn buckets_in_several_regions() {
    let aws = Aws::start();
    let proxy = Proxy::start(&aws);
    aws.queues().create("trail", LONG);
    let files = files(13, 3, 5);
    for (file, (bucket, region)) in files.iter().zip([
        ("near", REGION),
        ("far", "eu-west-1"),
        ("told", "ap-south-1"),
    ]) {
        aws.put_in(region, bucket);
        file.put(&aws, bucket);
    }
    let queues = aws.queues();
    // CloudTrail doesn't say where its bucket is.
    queues.send("trail", of_cloudtrail("near", &[files[0].key("")]));
    queues.send("trail", of_cloudtrail("far", &[files[1].key("")]));
    let told = of_event_bridge("told", &files[2].key(""))
        .replace("\"region\":\"us-east-1\"", "\"region\":\"ap-south-1\"");
    queues.send("trail", told);
    let seen = Capture::new(format!(
        "https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/trail"
    ))
    .by_name(&aws, &proxy)
    .keys()
    .enough(15)
    .run();
    assert_eq!(seen.error, None, "{}", seen.words());
    assert_eq!(sorted(seen.ids()), sorted(trail::ids(&files)));
    assert_eq!(seen.metrics["files_failed"], 0);
    let wrong = aws
        .log_of(Op::GetObject)
        .iter()
        .filter(|get| get.region.as_deref() == Some(REGION) && get.bucket != "near")
        .count();
    assert_eq!(wrong, 1);
}

#[test]
fn an_idle_queue_is_asked_once_in_twenty_seconds() {
    let world = World::new(LONG, json!({}));
    let files = files(14, 30, 1);
    world.deliver(&files);
    let mut instance = world.open();
    world.read_until_deleted(&mut instance, 30);
    // Receives that were under way while there was much to receive come to their ends.
    let start = Instant::now();
    world.read_until(&mut instance, |_| start.elapsed() > Duration::from_secs(21));
    let before = world.aws.log_of(Op::Sqs).len();
    let start = Instant::now();
    world.read_until(&mut instance, |_| start.elapsed() > Duration::from_secs(25));
    let asked = world.aws.log_of(Op::Sqs).len() - before;
    assert!((1..=2).contains(&asked), "{asked}");
}

#[test]
fn no_more_is_received_than_the_host_takes() {
    let world = World::new(LONG, json!({}));
    world.deliver(&files(15, 600, 1));
    let mut instance = world.open();
    thread::sleep(Duration::from_secs(2));
    let counts = world.counts();
    assert!(
        counts.received <= 256 && counts.visible >= 344,
        "{counts:?}"
    );
    let events = world.read_until_deleted(&mut instance, 600);
    assert_eq!(events.len(), 600);
}

#[test]
fn throttling_and_failing_parts_are_tried_again() {
    let world = World::new(LONG, json!({}));
    let throttled = || Fault::error(400, "RequestThrottled", "Request is throttled.");
    let files = files(16, 25, 4);
    world.deliver(&files);
    let mut instance = world.open();
    world.aws.fault_times(9, is("ReceiveMessage"), throttled());
    world
        .aws
        .fault_times(9, is("DeleteMessageBatch"), throttled());
    world.aws.queues().fail_entries("DeleteMessageBatch", 7);
    let events = world.read_until_deleted(&mut instance, 25);
    assert_eq!(sorted(ids(&events)), sorted(trail::ids(&files)));
    assert!(world.metric("requests_retried") > 0);
    assert_eq!(world.counts().received, 25);
}

#[test]
fn what_is_wrong_with_a_queue_is_said_when_it_is_opened() {
    for (action, code, words) in [
        (
            "GetQueueUrl",
            "AccessDenied",
            &["need sqs:GetQueueUrl on the queue"][..],
        ),
        (
            "ReceiveMessage",
            "AccessDenied",
            &["need sqs:ReceiveMessage on the queue"],
        ),
        (
            "ReceiveMessage",
            "KmsAccessDenied",
            &["the queue is encrypted", "kms:Decrypt"],
        ),
        (
            "GetQueueAttributes",
            "AWS.SimpleQueueService.NonExistentQueue",
            &["no such queue", "aws.region"],
        ),
        (
            "GetQueueUrl",
            "InvalidClientTokenId",
            &["the credentials are not valid there"],
        ),
    ] {
        let world = World::new(LONG, json!({}));
        world
            .aws
            .fault(is(action), Fault::error(400, code, "It is so."));
        let error = world.plugin.open("sqs://trail").err().unwrap().to_string();
        for word in words
            .iter()
            .chain(&["trail in us-east-1", "the profile \"default\""])
        {
            assert!(error.contains(word), "{action} {code}: {error}");
        }
        assert!(!error.contains(SECRET_KEY));
    }
    // Its settings are not needed.
    let world = World::new(LONG, json!({}));
    world.aws.fault(is("GetQueueAttributes"), Fault::denied());
    let files = files(17, 1, 5);
    world.deliver(&files);
    let mut instance = world.open();
    world.read_until_deleted(&mut instance, 1);
    assert!(world.log().contains("sqs:GetQueueAttributes"));
}

#[test]
fn without_a_region_the_error_says_what_to_do() {
    let aws = Aws::start();
    let error = Capture::new("sqs://trail").keys().open_error();
    assert!(error.contains("aws.region"), "{error}");
    // A server that is not AWS has none.
    aws.queues().create("trail", LONG);
    let error = Capture::new("sqs://nosuch")
        .endpoint(&aws)
        .keys()
        .open_error();
    assert!(error.contains("no such queue"), "{error}");
}

#[test]
fn what_goes_wrong_for_good_ends_the_capture_with_one_error() {
    for (code, words) in [
        ("AWS.SimpleQueueService.NonExistentQueue", "no such queue"),
        ("AccessDenied", "sqs:ReceiveMessage"),
    ] {
        let world = World::new(LONG, json!({}));
        let mut instance = world.open();
        world
            .aws
            .fault(is("ReceiveMessage"), Fault::error(400, code, "It is so."));
        world.deliver(&files(18, 1, 5));
        let end = instance.read_all(LIMIT).error.unwrap();
        assert!(end.contains(words), "{end}");
        // Said once, and nothing is asked any more.
        assert_eq!(instance.next_batch().status, Status::Eof);
        let asked = world.aws.log_of(Op::Sqs).len();
        thread::sleep(Duration::from_millis(500));
        assert_eq!(world.aws.log_of(Op::Sqs).len(), asked);
    }
    let world = World::new(LONG, json!({}));
    world.aws.fault(is("DeleteMessageBatch"), Fault::denied());
    world.deliver(&files(19, 1, 5));
    let all = world.open().read_all(LIMIT);
    assert_eq!(all.events.len(), 5);
    let error = all.error.unwrap();
    assert!(error.contains("need sqs:DeleteMessage"), "{error}");
    assert!(error.contains("sqsDelete"), "{error}");
}

#[test]
fn credentials_that_expire_are_found_anew() {
    let world = World::new(LONG, json!({}));
    let first = world.aws.issue();
    world.home.log_in(&first);
    let mut instance = world.open();
    let files = files(20, 2, 5);
    world.deliver(&files[..1]);
    world.read_until_deleted(&mut instance, 1);
    let second = world.aws.issue();
    world.home.log_in(&second);
    world.aws.expire(&first.access_key);
    world.deliver(&files[1..]);
    let events = world.read_until_deleted(&mut instance, 2);
    assert_eq!(ids(&events), trail::ids(&files[1..]));
    // And where nobody has logged in again, that is the end.
    world.aws.expire(&second.access_key);
    let error = instance.read_all(LIMIT).error.unwrap();
    assert!(error.contains("expired"), "{error}");
}

fn wait_until_empty(counts: impl Fn() -> (u64, u64)) {
    until("an empty queue", || counts() == (0, 0));
}

fn both(counts: Counts) -> (u64, u64) {
    (counts.visible as u64, counts.in_flight as u64)
}

#[test]
fn killed_in_the_middle_a_second_run_reads_the_rest() {
    let aws = Aws::start();
    aws.queues().create("trail", Duration::from_secs(2));
    let files = files(21, 120, 20);
    for file in &files {
        file.put(&aws, "logs");
        aws.queues().send("trail", of_s3("logs", &file.key("")));
    }
    // One after the other, so that there is a middle.
    aws.fault(
        |request| request.op == Op::GetObject,
        Fault::Delay(Duration::from_millis(20)),
    );
    let capture = || {
        Capture::new("sqs://trail")
            .aws(&aws)
            .config(json!({"s3DownloadConcurrency": 1}))
            .start()
    };
    let mut first = capture();
    until("a message is deleted", || {
        aws.queues().counts("trail").deleted > 0
    });
    first.kill();
    let first = first.wait();
    assert!(aws.queues().counts("trail").deleted < 120);
    let mut second = capture();
    wait_until_empty(|| both(aws.queues().counts("trail")));
    second.kill();
    let second = second.wait();
    let all: BTreeSet<String> = first.ids().into_iter().chain(second.ids()).collect();
    assert_eq!(all, trail::ids(&files).into_iter().collect());
    assert!(!first.ids().is_empty() && !second.ids().is_empty());
}

#[test]
fn two_hosts_share_a_queue() {
    let aws = Aws::start();
    aws.queues().create("trail", Duration::from_secs(30));
    let files = files(22, 800, 5);
    for file in &files {
        file.put(&aws, "logs");
    }
    let mut hosts = [0, 1].map(|_| Capture::new("sqs://trail").aws(&aws).start());
    for file in &files {
        aws.queues().send("trail", of_s3("logs", &file.key("")));
        thread::sleep(Duration::from_millis(1));
    }
    wait_until_empty(|| both(aws.queues().counts("trail")));
    hosts.iter_mut().for_each(|host| host.kill());
    let [one, other] = hosts.map(|host| host.wait().ids());
    assert!(!one.is_empty() && !other.is_empty());
    // Each by one of them, and by that one once.
    assert_eq!(sorted([one, other].concat()), sorted(trail::ids(&files)));
}

// Moto

/// Makes keys that are written in more than one way.
const PREFIX: &str = "my trail+x/ü/";

/// A capture of a queue of moto.
fn of_moto(moto: &Moto, queue: &str) -> Capture {
    Capture::new(format!("sqs://{queue}"))
        .config(json!({"aws": {"endpoint": moto.endpoint()}}))
        .keys()
        .env("AWS_REGION", REGION)
}

#[test]
fn news_comes_in_every_shape() {
    let Some(moto) = Moto::get() else {
        return;
    };
    let files = files(30, 8, 3);
    let through_sns = |name: &str, raw: bool| {
        moto.topic(name);
        moto.subscribe(name, name, raw);
    };
    let publish = |name: &str, body: &str| moto.publish(name, body);
    for (index, (name, file)) in [
        "shape-s3",
        "shape-s3-sns",
        "shape-s3-sns-raw",
        "shape-events",
        "shape-events-sns",
        "shape-cloudtrail",
        "shape-cloudtrail-raw",
        "shape-events-sns-raw",
    ]
    .into_iter()
    .zip(&files)
    .enumerate()
    {
        moto.bucket(name);
        moto.queue(name, 300);
        match index {
            0 => moto.notify_queue(name, name),
            1 | 2 => {
                through_sns(name, index == 2);
                moto.notify_topic(name, name);
            }
            3 => moto.notify_event_bridge(name, name),
            _ => through_sns(name, index > 5),
        }
        let key = file.key(PREFIX);
        moto.put(name, &key, &file.gz());
        match index {
            // Moto's EventBridge knows no topics, and it has no CloudTrail.
            4 | 7 => publish(name, &of_event_bridge(name, &key)),
            5 | 6 => {
                publish(name, "CloudTrail validation message.");
                publish(name, &of_cloudtrail(name, &[key]));
            }
            _ => {}
        }
        assert_ne!(moto.counts(name), (0, 0), "{name}: nothing came");
        let mut running = of_moto(moto, name).start();
        wait_until_empty(|| moto.counts(name));
        running.kill();
        let seen = running.wait();
        assert_eq!(
            seen.ids(),
            trail::ids(std::slice::from_ref(file)),
            "{name}: {}",
            seen.words()
        );
    }
}

#[test]
fn moto_an_object_that_is_gone_is_left_and_its_removal_is_no_news() {
    let name = "gone";
    let Some(moto) = Moto::get() else { return };
    moto.bucket(name);
    moto.queue(name, 300);
    moto.notify_queue(name, name);
    let files = files(31, 2, 3);
    for file in &files {
        moto.put(name, &file.key(""), &file.gz());
    }
    moto.remove(name, &files[0].key(""));
    let home = Home::make();
    let plugin = Plugin::load(&home.config(&moto.endpoint(), json!({})));
    let mut instance = plugin.open(&moto.queue_url(name)).unwrap();
    // S3's test, two objects made, one removed.
    let all = instance.read_while(LIMIT, |_| moto.counts(name) != (0, 1));
    assert_eq!(all.error, None);
    assert_eq!(ids(&all.events), trail::ids(&files[1..]));
    let log = plugin.log();
    assert!(
        log.lines()
            .any(|line| line.contains(&files[0].key("")) && line.contains("it is gone")),
        "{log}"
    );
}

#[test]
fn moto_two_hosts_one_of_them_killed() {
    let name = "killed";
    let Some(moto) = Moto::get() else { return };
    moto.bucket(name);
    moto.queue(name, 3);
    moto.notify_queue(name, name);
    let files = files(32, 60, 10);
    for file in &files {
        moto.put(name, &file.key(""), &file.gz());
    }
    let mut one = of_moto(moto, name).start();
    // Of 61, with S3's test.
    until("the first messages are gone", || {
        moto.counts(name).0 + moto.counts(name).1 < 61
    });
    one.kill();
    let mut other = of_moto(moto, name).start();
    wait_until_empty(|| moto.counts(name));
    other.kill();
    let all = [one.wait().ids(), other.wait().ids()].concat();
    assert_eq!(
        all.into_iter().collect::<BTreeSet<_>>(),
        trail::ids(&files).into_iter().collect()
    );
}

/// As SNS wraps a message.
fn through_sns(message: &str) -> String {
    format!(
        r#"{{"Type":"Notification","TopicArn":"arn:aws:sns:us-east-1:123456789012:t","Message":{}}}"#,
        string(message)
    )
}

/// A rule of EventBridge can send events to the queue, with SNS behind it or not, as they are or cut out; see
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html>.
#[test]
fn messages_may_be_events_themselves() {
    let world = World::new(
        LONG,
        json!({"s3AccountList": ACCOUNT, "s3Interval": "2024-03-01T00:00:00Z"}),
    );
    let mut maker = Maker::new(40);
    let time = "2024-03-05T12:00:00Z".parse().unwrap();
    let records: Vec<_> = (0..3)
        .map(|_| maker.record(ACCOUNT, "us-east-1", time))
        .collect();
    let files = files(41, 1, 2);
    world.deliver(&files);
    let other = maker.record("999999999999", "us-east-1", time);
    let old = maker.record(
        ACCOUNT,
        "us-east-1",
        "2024-02-05T12:00:00Z".parse().unwrap(),
    );
    for body in [
        envelope(&records[0].json),
        through_sns(&envelope(&records[1].json)),
        records[2].json.clone(),
        envelope(&other.json),
        envelope(&old.json),
    ] {
        world.aws.queues().send("trail", body);
    }
    // Left there.
    let state = json!({
        "source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification", "detail": {"state": "pending"},
    });
    world.aws.queues().send("trail", state.to_string());
    let mut instance = world.open();
    let events = world.read_until_deleted(&mut instance, 6);
    let wanted = [
        records.iter().map(|record| record.id.clone()).collect(),
        trail::ids(&files),
    ];
    assert_eq!(sorted(ids(&events)), sorted(wanted.concat()));
    let raw = events
        .iter()
        .find(|event| event.id() == records[2].id)
        .unwrap();
    assert_eq!(
        (raw.payload(), raw.ts()),
        (records[2].json.as_bytes(), records[2].ts())
    );
    for (metric, value) in [
        ("messages_deleted", 6),
        ("messages_unknown", 1),
        ("files_filtered", 2),
        ("files_fetched", 4),
        ("records_handed_over", 5),
    ] {
        assert_eq!(world.metric(metric), value, "{metric}");
    }
}

/// What is hidden in log files is hidden in messages, and in what is said of them.
#[test]
fn messages_that_are_events_are_redacted() {
    let world = World::new(LONG, json!({"redact": "secrets, /userIdentity/arn"}));
    let record = |id: &str| {
        format!(
            r#"{{"eventVersion":"1.08","eventTime":"2024-03-05T12:00:00Z","eventName":"CreateUser","eventID":"{id}","userIdentity":{{"arn":"PLANTED\\","userName":"alice"}},"requestParameters":{{"passw\u006frd":"PLANTED\"PLANTED"}}}}"#
        )
    };
    for body in [
        record("1"),
        envelope(&record("2")),
        through_sns(&envelope(&record("3"))),
        through_sns(&record("4")),
    ] {
        world.aws.queues().send("trail", body);
    }
    // One that is broken is no event, and stays.
    let broken = envelope(&record("5")).replace("alice", "alice\"");
    world.aws.queues().send("trail", broken);
    let mut instance = world.open();
    let mut log = String::new();
    let events = world.read_until(&mut instance, |_| {
        log += &world.log();
        world.counts().deleted == 4 && world.metric("messages_unknown") == 1
    });
    log += &world.log();
    assert_eq!(sorted(ids(&events)), ["1", "2", "3", "4"]);
    let library = Library::load().unwrap();
    let names = library.field_names();
    for event in &events {
        let redacted = r#""userIdentity":{"arn":"*********","userName":"alice"},"requestParameters":{"passw\u006frd":"****************"}"#;
        let payload = String::from_utf8_lossy(event.payload()).into_owned();
        assert!(payload.contains(redacted), "{payload}");
        let fields = world.plugin.extract(event, &names).unwrap();
        assert!(!format!("{fields:?}").contains("PLANTED"), "{fields:?}");
    }
    assert!(!log.contains("PLANTED"), "{log}");
}

/// Where the host is not through with it, it comes again.
#[test]
fn an_event_that_is_not_consumed_stays_in_the_queue() {
    let world = World::new(Duration::from_secs(2), json!({}));
    let record = Maker::new(42).record(
        ACCOUNT,
        "us-east-1",
        "2024-03-05T12:00:00Z".parse().unwrap(),
    );
    world.aws.queues().send("trail", record.json.clone());
    for _ in 0..2 {
        let mut instance = world.open();
        let events = world.read_until(&mut instance, |events| !events.is_empty());
        assert_eq!(ids(&events), [&*record.id]);
        drop(instance);
        assert_eq!(world.counts().deleted, 0);
    }
    let mut instance = world.open();
    assert_eq!(
        ids(&world.read_until_deleted(&mut instance, 1)),
        [&*record.id]
    );
}

/// Exports and archives that messages tell of.
#[test]
fn objects_of_any_form_are_read() {
    let world = World::new(LONG, json!({}));
    let files = files(43, 3, 4);
    let lines: Vec<&str> = files[0]
        .records
        .iter()
        .map(|record| &*record.json)
        .collect();
    let copy: Vec<_> = files[1..]
        .iter()
        .map(|file| (file.key(""), file.gz()))
        .collect();
    let archives = archives(&copy);
    let forms = forms(&lines);
    let (archived, formed) = (archives.len(), 2 * forms.len());
    let objects = forms
        .into_iter()
        .enumerate()
        .flat_map(|(number, (_, text, _))| {
            let text = text.into_bytes();
            [
                (format!("{number}.json.gz"), gzip(&text)),
                (format!("{number}.jsonl"), text),
            ]
        });
    let archives = archives
        .into_iter()
        .map(|(ending, archive)| (format!("copy.{ending}"), archive));
    for (key, body) in objects.chain(archives) {
        world.aws.put("logs", &key, &body);
        world.aws.queues().send("trail", of_s3("logs", &key));
    }
    let mut instance = world.open();
    let objects = formed + archived;
    let events = world.read_until_deleted(&mut instance, objects as u64);
    let wanted = [
        vec![trail::ids(&files[..1]); formed].concat(),
        vec![trail::ids(&files[1..]); archived].concat(),
    ];
    assert_eq!(sorted(ids(&events)), sorted(wanted.concat()));
    // A zip archive of which nothing can be read is left.
    world.aws.put("logs", "c.zip", b"PK\x03\x04 and no more");
    world.aws.queues().send("trail", of_s3("logs", "c.zip"));
    let mut log = String::new();
    world.read_until(&mut instance, |_| {
        log += &world.log();
        log.contains("c.zip")
    });
    assert_eq!(world.counts().deleted, objects as u64);
}
