//! Captures of every source in which something fails for minutes, and which go on: time is paused, AWS is in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::*;
use crate::aws::memory::{Aws, Failure, To};
use crate::budget::Budget;
use crate::clock::Clock;
use crate::concurrency::Concurrency;
use crate::log_file::{Body, Fate};
use crate::trail::Interval;

const START: &str = "2024-03-05T12:00:00Z";
const FOLDER: &str = "AWSLogs/111122223333/CloudTrail/us-east-1/";

/// What a capture reads.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reads {
    Bucket,
    FollowedBucket,
    Queue,
    History,
    FollowedHistory,
    Logs,
    FollowedLogs,
}

use self::Reads::{Bucket, FollowedBucket, FollowedHistory, FollowedLogs, History, Logs, Queue};

const ALL: [Reads; 7] = [
    Bucket,
    FollowedBucket,
    Queue,
    History,
    FollowedHistory,
    Logs,
    FollowedLogs,
];

impl Reads {
    fn location(self) -> Location {
        let text = match self {
            Bucket | FollowedBucket => "s3://logs",
            Queue => "sqs://q",
            History | FollowedHistory => "cloudtrail://us-east-1",
            Logs | FollowedLogs => "logs://trail",
        };
        Location::parse(text, None).unwrap()
    }

    /// So many events that a capture takes some minutes.
    fn events(self) -> usize {
        match self {
            // Two pages a second.
            History => 30_000,
            // A log file each half minute.
            Logs => 30_000,
            _ => 15,
        }
    }

    /// Does it take what comes while it runs?
    fn is_live(self) -> bool {
        !matches!(self, Bucket | History | Logs)
    }
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

/// The key of the log file that is delivered then.
fn key(time: Timestamp) -> String {
    let (day, minute) = (time.strftime("%Y/%m/%d"), time.strftime("%Y%m%dT%H%MZ"));
    format!("{FOLDER}{day}/111122223333_CloudTrail_us-east-1_{minute}_x.json")
}

/// One event of this number, which happens then.
fn happen(aws: &Aws, from: Reads, number: usize, time: Timestamp) {
    let record = format!(
        r#"{{"eventVersion":"1.08","eventID":"e{number}","eventName":"x","eventTime":"{time}","userIdentity":{{}}}}"#
    );
    match from {
        Bucket | FollowedBucket => {
            aws.put(
                &key(time),
                format!(r#"{{"Records":[{record}]}}"#).into_bytes(),
            );
        }
        Queue => {
            let key = key(time);
            aws.put(&key, format!(r#"{{"Records":[{record}]}}"#).into_bytes());
            aws.send(format!(r#"{{"s3Bucket":"logs","s3ObjectKey":["{key}"]}}"#));
        }
        // It is seen some minutes later.
        History | FollowedHistory => aws.happen(time, time + minutes(3), record),
        Logs | FollowedLogs => aws.log(time, time + minutes(3), record),
    }
}

/// How often each event came, by its ID.
type Seen = BTreeMap<String, usize>;

fn see(body: &[u8], seen: &mut Seen) {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap();
    for record in json["Records"].as_array().unwrap() {
        *seen
            .entry(record["eventID"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
}

/// Read `count` events, one of which happens each minute where the source is live and all before where it is not, and
/// take each log file half a minute after the one before. Gives them, and the lines of the log.
async fn capture(
    from: Reads,
    count: usize,
    fails: impl Fn(To, SignedDuration) -> Option<Failure> + Send + Sync + 'static,
) -> Result<(Seen, String)> {
    let start: Timestamp = START.parse().unwrap();
    let clock = Clock::at(start);
    let aws = Aws::new(clock, move |to, now| fails(to, now.duration_since(start)));
    let home = TempDir::new().unwrap();
    let mut settings = Aws::settings(home.path());
    settings.follow = matches!(from, FollowedBucket | FollowedHistory | FollowedLogs);
    let mut wanted = Selection::default();
    if matches!(from, History | Logs) {
        let end = Some(start);
        wanted.asked = Interval {
            start: Some(start - minutes(600)),
            end,
        };
    }
    // Two pages of the history a second are looked up, and log files are named by the minute.
    let step = match from {
        History | Logs => SignedDuration::from_secs(1),
        _ => minutes(1),
    };
    if !from.is_live() {
        for number in 0..count {
            happen(
                &aws,
                from,
                number,
                start - minutes(600) + step * number as i32,
            );
        }
    } else {
        happen(&aws, from, 0, start - minutes(5));
    }
    let stats = Arc::new(Stats::default());
    let environment = aws.environment();
    let (mut source, _) = open(
        from.location(),
        &settings,
        wanted,
        &environment,
        Arc::clone(&stats),
    )
    .await?;
    let sender = from.is_live().then(|| {
        let aws = Arc::clone(&aws);
        tokio::spawn(async move {
            for number in 1..count {
                sleep(Duration::from_secs(60)).await;
                happen(&aws, from, number, clock.now());
            }
        })
    });
    let budget = Budget::new(16 << 20);
    let mut seen = Seen::new();
    let mut log = String::new();
    // Past the last event, by as long as the longest wait.
    let patience = Duration::from_secs(60 * 90);
    while seen.len() < count {
        let Ok(next) = timeout(patience, source.next()).await else {
            break;
        };
        let Some(file) = next? else { break };
        let room = budget.take(file.size).await.unwrap();
        match (file.fetch)(room, Concurrency::new(8).pace()).await {
            Ok(Body::Bytes(bytes)) => see(&bytes, &mut seen),
            Ok(_) => panic!("not so large"),
            Err(error) => return Err(error.into_reason()),
        }
        file.ack.into_iter().for_each(|ack| ack(Fate::Consumed));
        if !from.is_live() {
            sleep(Duration::from_secs(30)).await;
        }
    }
    if let Some(sender) = sender {
        sender.abort();
    }
    if from == Queue {
        sleep(Duration::from_secs(30)).await;
        assert_eq!(aws.messages_left(), 0, "all are deleted");
    }
    for note in stats.take_notes() {
        log += &format!("{note:?}\n");
    }
    Ok((seen, log))
}

fn assert_once(seen: &Seen, count: usize, what: &str) {
    assert_eq!(seen.len(), count, "{what}");
    assert!(seen.values().all(|times| *times == 1), "{what}: {seen:?}");
}

/// Fails at a service between two moments of a capture, in minutes.
fn between(
    at: To,
    failure: Failure,
    from: i64,
    to: i64,
) -> impl Fn(To, SignedDuration) -> Option<Failure> + Send + Sync + 'static {
    move |asked, since| {
        (asked == at && (minutes(from)..minutes(to)).contains(&since)).then_some(failure)
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_cant_be_renewed_for_minutes_cost_no_event() {
    for from in ALL {
        for failure in [Failure::Down, Failure::Status(500), Failure::Status(503)] {
            // Those of the beginning expire after two minutes.
            let what = format!("{from:?}, {failure:?}");
            let captured = capture(from, from.events(), between(To::Sts, failure, 1, 8)).await;
            let (seen, log) = captured.unwrap_or_else(|error| panic!("{what}: {error:#}"));
            assert_once(&seen, from.events(), &what);
            assert!(log.contains("it is tried again and again"), "{what}: {log}");
            assert!(log.contains("no AWS credentials from"), "{what}: {log}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_down_for_an_hour_ends_nothing_that_is_live() {
    for (from, service) in [
        (FollowedBucket, To::S3),
        (Queue, To::Sqs),
        (FollowedHistory, To::CloudTrail),
        (FollowedLogs, To::Logs),
    ] {
        for failure in [Failure::Down, Failure::Status(503)] {
            let what = format!("{from:?}, {failure:?}");
            let captured = capture(from, 80, between(service, failure, 10, 70)).await;
            let (seen, log) = captured.unwrap_or_else(|error| panic!("{what}: {error:#}"));
            assert_once(&seen, 80, &what);
            assert!(log.contains("it answers again"), "{what}: {log}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_once_gives_up_after_some_minutes_and_says_why() {
    for from in [Bucket, History, Logs] {
        let fails = between(To::Sts, Failure::Status(500), 1, 600);
        let error = capture(from, from.events(), fails).await.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("no AWS credentials from"), "{from:?}: {text}");
        assert!(text.contains("(tried"), "{from:?}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_not_there_are_said_when_a_capture_is_opened() {
    for from in ALL {
        let fails = between(To::Sts, Failure::Status(500), 0, 600);
        let error = capture(from, 2, fails).await.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("no AWS credentials from"), "{from:?}: {text}");
    }
}

/// Regions of accounts that deliver from a part of the time on, in hundredths.
const REGIONS: [(&str, &str, i64); 5] = [
    ("111122223333", "us-east-1", 0),
    ("111122223333", "eu-west-1", 0),
    ("111122223333", "ap-south-1", 3),
    ("444455556666", "us-east-1", 5),
    ("444455556666", "eu-west-1", 8),
];

/// Follow a bucket for so many days, in which regions and accounts come, the network fails and credentials can't be
/// renewed; a log file each five minutes and region, some of which come an hour late. Calls `each` at each hundredth.
async fn follow_for(days: i64, poll: Duration, mut each: impl FnMut(i64)) {
    // So that midnights, and a year's end, lie in it.
    let start: Timestamp = "2024-12-30T23:00:00Z".parse().unwrap();
    let clock = Clock::at(start);
    let aws = Aws::new(clock, move |to, now| {
        let minute = now.duration_since(start).as_mins();
        match to {
            To::S3 if minute % 360 > 355 => Some(Failure::Status(503)),
            To::S3 if minute % 500 > 497 => Some(Failure::Down),
            To::Sts if minute % 480 > 470 => Some(Failure::Status(500)),
            _ => None,
        }
    });
    let home = TempDir::new().unwrap();
    let mut settings = Aws::settings(home.path());
    settings.follow = true;
    settings.poll_interval = poll;
    let rounds = days * 24 * 12;
    let sender = {
        let aws = Arc::clone(&aws);
        async move {
            let mut late = Vec::new();
            let mut sent = 0;
            for round in 0..rounds {
                let now = clock.now();
                let minute = now.strftime("%Y%m%dT%H%MZ");
                for (account, region, from) in REGIONS {
                    if round < rounds * from / 100 {
                        continue;
                    }
                    let day = now.strftime("%Y/%m/%d");
                    let name = format!("{account}_CloudTrail_{region}_{minute}_{round}.json");
                    let key = format!("AWSLogs/{account}/CloudTrail/{region}/{day}/{name}");
                    let record = format!(r#"{{"eventID":"{name}"}}"#);
                    let file = (key, format!(r#"{{"Records":[{record}]}}"#).into_bytes());
                    sent += 1;
                    // Within the hour that docs/following.md promises.
                    match round % 50 {
                        7 => late.push((round + 11, file)),
                        _ => aws.put(&file.0, file.1),
                    }
                }
                for (_, (key, bytes)) in late.extract_if(.., |(due, _)| *due <= round) {
                    aws.put(&key, bytes);
                }
                aws.expire(now - minutes(2 * 24 * 60));
                sleep(Duration::from_secs(300)).await;
            }
            for (_, (key, bytes)) in late {
                aws.put(&key, bytes);
            }
            sent
        }
    };
    let environment = aws.environment();
    aws.put(
        "AWSLogs/111122223333/CloudTrail/us-east-1/2024/12/30/x.txt",
        Vec::new(),
    );
    let stats = Arc::new(Stats::default());
    let location = FollowedBucket.location();
    let (mut source, _) = open(
        location,
        &settings,
        Selection::default(),
        &environment,
        stats,
    )
    .await
    .unwrap();
    let sender = tokio::spawn(sender);
    let budget = Budget::new(16 << 20);
    // Of all, how many there were; by ID, those of the last two days.
    let (mut count, mut lately) = (0, BTreeMap::new());
    let mut reached = 0;
    while let Ok(next) = timeout(Duration::from_secs(4 * 60 * 60), source.next()).await {
        let file = next.unwrap().unwrap();
        let room = budget.take(file.size).await.unwrap();
        let Ok(Body::Bytes(bytes)) = (file.fetch)(room, Concurrency::new(8).pace()).await else {
            panic!("{} is not read", file.name);
        };
        let mut seen = Seen::new();
        see(&bytes, &mut seen);
        let now = clock.now();
        for id in seen.into_keys() {
            count += 1;
            assert!(
                lately.insert(id, now).is_none(),
                "{} comes twice",
                file.name
            );
        }
        lately.retain(|_, time| now.duration_since(*time) < minutes(2 * 24 * 60));
        let percent = now.duration_since(start).as_mins() * 100 / (days * 24 * 60);
        while reached < percent.min(100) {
            reached += 1;
            each(reached);
        }
    }
    assert_eq!(count, sender.await.unwrap(), "every event once");
}

#[tokio::test(start_paused = true)]
async fn folders_are_not_remembered_anew_at_each_look_at_a_bucket() {
    let clock = Clock::at(START.parse().unwrap());
    let aws = Aws::new(clock, |_, _| None);
    happen(&aws, FollowedBucket, 0, clock.now());
    let digest = FOLDER.replace("CloudTrail", "CloudTrail-Digest") + "2024/03/05/x.json.gz";
    aws.put(&digest, Vec::new());
    let home = TempDir::new().unwrap();
    let mut settings = Aws::settings(home.path());
    settings.follow = true;
    settings.poll_interval = Duration::from_secs(60);
    let Location::Bucket(location) = FollowedBucket.location() else {
        panic!("not a bucket");
    };
    let mut source = bucket::open(
        location,
        Selection::default(),
        &settings,
        &aws.environment(),
        Arc::default(),
    )
    .await
    .unwrap();
    source.next().await.unwrap().unwrap();
    let looks = Duration::from_secs(60 * 60);
    assert!(timeout(looks, source.next()).await.is_err(), "nothing new");
    let digests = source.digests();
    let folders = digests.folders().await.unwrap();
    assert!(folders.len() <= 1, "{} folders", folders.len());
}

#[tokio::test(start_paused = true)]
async fn a_bucket_is_followed_over_midnights_and_troubles_with_every_event_once() {
    follow_for(2, Duration::from_secs(300), |_| {}).await;
}

/// By hand, with the release build: `cargo test --release --lib thirty_days -- --ignored --nocapture`.
#[tokio::test(start_paused = true)]
#[ignore = "takes minutes: memory over 30 days, by hand"]
async fn memory_does_not_grow_over_thirty_days_of_following() {
    let mut memory = Vec::new();
    follow_for(30, Duration::from_secs(60), |percent| {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
        println!(
            "{percent:3} % {:7.1} MiB",
            pages as f64 * 4096.0 / f64::from(1 << 20)
        );
        memory.push(pages);
    })
    .await;
    let most = |range: std::ops::Range<usize>| *memory[range].iter().max().unwrap();
    let (second, last) = (most(10..20), most(90..100));
    assert!(last * 100 <= second * 105, "{second} pages, then {last}");
}

/// Follow a log group for so many days. Events come in bursts, many in one millisecond; most are seen after some seconds,
/// some after minutes, and a few after the hour that is promised. The network fails, and credentials can't be renewed.
async fn follow_log_group_for(days: i64, poll: Duration) {
    let start: Timestamp = "2024-12-30T23:00:00Z".parse().unwrap();
    let clock = Clock::at(start);
    let aws = Aws::new(clock, move |to, now| {
        let minute = now.duration_since(start).as_mins();
        match to {
            To::Logs if minute % 360 > 357 => Some(Failure::Status(503)),
            To::Logs if minute % 500 > 497 => Some(Failure::Down),
            To::Sts if minute % 480 > 474 => Some(Failure::Status(500)),
            _ => None,
        }
    });
    let home = TempDir::new().unwrap();
    let mut settings = Aws::settings(home.path());
    settings.follow = true;
    settings.poll_interval = poll;
    let rounds = days * 24 * 60;
    let sender = {
        let aws = Arc::clone(&aws);
        async move {
            let mut sent = 0;
            for round in 0..rounds {
                let now = clock.now();
                // More than a page, once in a while.
                let events = match round % 97 {
                    0 => 1_000,
                    n => n % 7,
                };
                for n in 0..events {
                    let late = match (round + n) % 50 {
                        7 => minutes(12),
                        23 => minutes(58),
                        _ => SignedDuration::from_secs(round % 100),
                    };
                    sent += 1;
                    let record = format!(
                        r#"{{"eventVersion":"1.08","eventID":"{sent}","eventTime":"{now}"}}"#
                    );
                    aws.log(now, now + late, record);
                }
                sleep(Duration::from_secs(60)).await;
            }
            sent
        }
    };
    let stats = Arc::new(Stats::default());
    let (mut source, _) = open(
        FollowedLogs.location(),
        &settings,
        Selection::default(),
        &aws.environment(),
        stats,
    )
    .await
    .unwrap();
    let sender = tokio::spawn(sender);
    let budget = Budget::new(16 << 20);
    let mut seen = Seen::new();
    while let Ok(next) = timeout(Duration::from_secs(4 * 60 * 60), source.next()).await {
        let file = next.unwrap().unwrap();
        let room = budget.take(file.size).await.unwrap();
        let Ok(Body::Bytes(bytes)) = (file.fetch)(room, Concurrency::new(8).pace()).await else {
            panic!("{} is not read", file.name);
        };
        see(&bytes, &mut seen);
    }
    let sent = sender.await.unwrap();
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let missing: Vec<_> = (1..=sent)
        .filter(|n| !seen.contains_key(&n.to_string()))
        .collect();
    assert!(missing.is_empty(), "{missing:?} of {sent}");
    let polls = days * 24 * 60 * 60 / i64::try_from(poll.as_secs()).unwrap();
    let (pages, again) = aws.log_pages();
    println!("{sent} events, {polls} polls, {pages} pages, {again} of them with nothing new");
}

/// A group in which so many events come each second for hours: pages that were asked for, those with nothing new, and the
/// log.
async fn follow_busy_group(per_second: usize, hours: u64) -> (usize, usize, String) {
    let clock = Clock::at(START.parse().unwrap());
    let aws = Aws::new(clock, |_, _| None);
    let home = TempDir::new().unwrap();
    let mut settings = Aws::settings(home.path());
    settings.follow = true;
    let sender = {
        let aws = Arc::clone(&aws);
        tokio::spawn(async move {
            for n in 0.. {
                let now = clock.now();
                for m in 0..per_second {
                    let record = format!(
                        r#"{{"eventVersion":"1.08","eventID":"{n}-{m}","eventTime":"{now}"}}"#
                    );
                    aws.log(now, now, record);
                }
                sleep(Duration::from_secs(1)).await;
            }
        })
    };
    let stats = Arc::new(Stats::default());
    let (mut source, _) = open(
        FollowedLogs.location(),
        &settings,
        Selection::default(),
        &aws.environment(),
        Arc::clone(&stats),
    )
    .await
    .unwrap();
    let end = tokio::time::Instant::now() + Duration::from_secs(hours * 60 * 60);
    while let Ok(next) = tokio::time::timeout_at(end, source.next()).await {
        next.unwrap();
    }
    sender.abort();
    let (pages, again) = aws.log_pages();
    let notes = stats.take_notes().into_iter();
    let log: Vec<String> = notes.map(|note| format!("{note:?}\n")).collect();
    (pages, again, log.concat())
}

#[tokio::test(start_paused = true)]
async fn a_quarter_of_the_requests_at_most_finds_nothing_new() {
    // One poll in half a minute, whose page has room for 700 events.
    let polls = 3 * 60 * 2;
    let (pages, again, log) = follow_busy_group(0, 3).await;
    assert!(pages <= polls + 2, "{pages}");
    assert_eq!(again, 0);
    assert!(!log.contains("may be missed"), "{log}");

    let (pages, again, log) = follow_busy_group(2, 3).await;
    assert!(again * 4 <= pages, "{again} of {pages}");
    assert!(!log.contains("may be missed"), "{log}");

    let (pages, again, log) = follow_busy_group(40, 3).await;
    assert!(again * 4 <= pages, "{again} of {pages}");
    assert!(again * 10 > pages, "{again} of {pages}");
    assert!(log.contains("those are found which come up to"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_log_group_is_followed_over_troubles_with_every_event_once() {
    follow_log_group_for(2, Duration::from_secs(60)).await;
}

/// By hand: `cargo test --release --lib thirty_days -- --ignored --nocapture`.
#[tokio::test(start_paused = true)]
#[ignore = "takes minutes, by hand"]
async fn a_log_group_is_followed_for_thirty_days() {
    follow_log_group_for(30, Duration::from_secs(30)).await;
}
