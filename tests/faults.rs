//! Runs against an S3 and an SQS that go wrong by seed: nothing is lost without a word, nothing comes twice, order is
//! kept, every run ends, and the books add up.
//!
//! `FAULT_RUNS` sets which runs there are, `0..1000` say; what goes wrong in a run depends on its number alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fastrand::Rng;
use harness::{
    capture::alone,
    fast_s3::Objects,
    faulty::{Asked, Faulty, Trouble},
    home::Home,
    host::{Event, Plugin, Status},
    trail::{LogFile, Maker, gzip, log_text},
};
use serde_json::json;

/// Said to those who ask in another region.
const ELSEWHERE: Option<(&str, &str)> = Some(("x-amz-bucket-region", "eu-north-1"));
/// How long a run may take; one that hangs never ends.
const LIMIT: Duration = Duration::from_secs(120);
const ACCOUNTS: [&str; 2] = ["123456789012", "210987654321"];
const REGIONS: [&str; 2] = ["eu-west-1", "us-east-1"];

/// Does each run, several at once: most of a run is waiting.
fn for_each_seed(default: Range<u64>, run: impl Fn(u64) + Sync) {
    let runs = std::env::var("FAULT_RUNS").map_or(default, |runs| {
        let (first, end) = runs.split_once("..").unwrap();
        first.parse().unwrap()..end.parse().unwrap()
    });
    let next = AtomicU64::new(runs.start);
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= runs.end {
                        break;
                    }
                    run(seed);
                }
            });
        }
    });
}

/// A log file in the bucket, and what is to become of it.
struct Stored {
    file: LogFile,
    key: String,
    body: Bytes,
    class: &'static str,
    /// What goes wrong with its first requests, and then no more.
    passing: Vec<Trouble>,
    /// What goes wrong with every request.
    lasting: Option<Trouble>,
    /// Whether something of it is lost: nothing, all, or some.
    loss: Loss,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Loss {
    Nothing,
    All,
    Some,
}

struct Bucket(Arc<Vec<Stored>>);

impl Objects for Bucket {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn key(&self, index: usize) -> String {
        self.0[index].key.clone()
    }

    fn body(&self, index: usize) -> Bytes {
        self.0[index].body.clone()
    }

    fn class(&self, index: usize) -> &str {
        self.0[index].class
    }
}

/// What is over after some tries.
fn passing(random: &mut Rng, size: usize) -> Trouble {
    let at = random.usize(..size);
    match random.u8(..11) {
        0 => Trouble::Error(503, "SlowDown", None),
        1 => Trouble::Error(500, "InternalError", None),
        2 => Trouble::Reset,
        3 => Trouble::ResetAfter(at),
        4 => Trouble::TooLong(at),
        5 => Trouble::TooShort(at),
        6 => Trouble::Stall(at, Duration::from_millis(random.u64(50..400))),
        7 => Trouble::Trickle,
        8 => Trouble::Error(400, "ExpiredToken", None),
        9 => Trouble::Error(307, "TemporaryRedirect", None),
        _ => Trouble::Error(307, "TemporaryRedirect", ELSEWHERE),
    }
}

/// Damages a log file for good.
fn damage(random: &mut Rng, stored: &mut Stored) {
    stored.loss = Loss::All;
    let text = stored.file.json();
    let middle = |random: &mut Rng, length: usize| random.usize(length / 4..length * 3 / 4);
    match random.u8(..12) {
        // Between LIST and GET.
        0 => stored.lasting = Some(Trouble::Error(404, "NoSuchKey", None)),
        1 => stored.lasting = Some(Trouble::Error(403, "AccessDenied", None)),
        2 => {
            stored.class = "GLACIER";
            stored.lasting = Some(Trouble::Error(403, "InvalidObjectState", None));
        }
        // The archive tiers of INTELLIGENT_TIERING are in no listing.
        3 => {
            stored.class = "INTELLIGENT_TIERING";
            stored.lasting = Some(Trouble::Error(403, "InvalidObjectState", None));
        }
        4 => stored.body = Bytes::new(),
        5 => {
            let html = "<!DOCTYPE html><html><body>Please log in to the network</body></html>";
            stored.lasting = Some(Trouble::Body(html.into()));
        }
        6 => stored.lasting = Some(Trouble::Error(301, "PermanentRedirect", None)),
        7 => stored.body = Bytes::from_static(b"\x1f\x8b\x08"),
        8 => {
            let at = middle(random, stored.body.len());
            stored.body.truncate(at);
            stored.loss = Loss::Some;
        }
        9 => {
            let mut body = stored.body.to_vec();
            let at = middle(random, body.len());
            body[at] ^= 1 << random.u8(..8);
            stored.body = body.into();
            stored.loss = Loss::Some;
        }
        10 => {
            stored.body = gzip(&text[..middle(random, text.len())]).into();
            stored.loss = Loss::Some;
        }
        _ => {
            let mut records: Vec<&str> = stored
                .file
                .records
                .iter()
                .map(|record| &*record.json)
                .collect();
            records[0] = &records[0][..records[0].len() / 2];
            stored.body = gzip(&log_text(&records)).into();
            stored.loss = Loss::Some;
        }
    }
}

impl Stored {
    /// With nothing wrong.
    fn sound(file: LogFile) -> Self {
        Self {
            key: file.key(""),
            body: file.gz().into(),
            class: "STANDARD",
            passing: vec![],
            lasting: None,
            loss: Loss::Nothing,
            file,
        }
    }
}

fn bucket(seed: u64) -> Vec<Stored> {
    let mut random = Rng::with_seed(seed);
    let times = random.usize(40..80);
    let records = random.usize(1..4);
    let files = Maker::new(seed).trail(&ACCOUNTS, &REGIONS, "20240305T2250Z", times, records);
    let mut stored: Vec<Stored> = files.into_iter().map(Stored::sound).collect();
    for stored in &mut stored {
        match random.u8(..100) {
            0..20 => {
                let size = stored.body.len();
                let tries = random.usize(1..=2);
                stored.passing = (0..tries).map(|_| passing(&mut random, size)).collect();
                // Twice in a row it is for good.
                let same = |trouble: &Trouble| matches!(trouble, Trouble::Error(400, ..));
                if stored.passing.iter().all(same) {
                    stored.passing.truncate(1);
                }
            }
            20..26 => damage(&mut random, stored),
            _ => {}
        }
    }
    stored.sort_by(|a, b| a.key.cmp(&b.key));
    stored
}

/// What goes wrong with an object.
fn with_object(stored: &Stored, asked: &Asked) -> Trouble {
    let passing = stored.passing.get(asked.before).cloned();
    match passing.or_else(|| stored.lasting.clone()) {
        Some(Trouble::Error(307, _, ELSEWHERE)) if asked.region == "eu-north-1" => Trouble::None,
        trouble => trouble.unwrap_or(Trouble::None),
    }
}

/// What goes wrong with a listing: nothing that lasts.
fn with_listing(seed: u64, asked: &Asked) -> Trouble {
    let mut random = Rng::with_seed(seed ^ hash(&asked.key));
    if asked.before >= random.usize(..3) || random.u8(..100) >= 30 {
        return Trouble::None;
    }
    let at = random.usize(..2000);
    match random.u8(..7) {
        0 => Trouble::Error(503, "SlowDown", None),
        1 => Trouble::Error(500, "InternalError", None),
        2 => Trouble::Reset,
        3 => Trouble::ResetAfter(at),
        4 => Trouble::TooLong(at),
        5 => Trouble::Stall(at, Duration::from_millis(random.u64(50..400))),
        _ => Trouble::Trickle,
    }
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn books_add_up(metrics: &BTreeMap<String, u64>, events: usize) -> Result<(), String> {
    let sum = |names: &[&str]| names.iter().map(|name| metrics[*name]).sum::<u64>();
    let handed = [
        "records_handed_over",
        "records_passed_over",
        "records_filtered",
        "records_left_out",
        "records_repeated",
        "records_other",
        "records_unreadable",
    ];
    let files = sum(&["files_fetched", "files_failed", "archives_read"]);
    if metrics["records_found"] != sum(&handed)
        || metrics["files_listed"] != files
        || metrics["records_handed_over"] != events as u64
    {
        return Err(format!("{events} events, {metrics:#?}"));
    }
    Ok(())
}

/// The ID of a record; a damaged file may hold damaged ones.
fn id(event: &Event) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(event.payload()).ok()?;
    Some(json["eventID"].as_str()?.to_owned())
}

/// Where each record belongs: the time of its file's delivery, and its place in it.
fn places<'a>(files: impl Iterator<Item = &'a Stored>) -> HashMap<String, (String, String, usize)> {
    files
        .flat_map(|stored| {
            let records = stored.file.records.iter().enumerate();
            records.map(|(at, record)| {
                let place = (stored.file.time.clone(), stored.key.clone(), at);
                (record.id.clone(), place)
            })
        })
        .collect()
}

fn of_bucket(seed: u64) {
    let stored = Arc::new(bucket(seed));
    let by_key: HashMap<String, usize> = stored
        .iter()
        .enumerate()
        .map(|(index, stored)| (stored.key.clone(), index))
        .collect();
    let planned = Arc::clone(&stored);
    let server = Faulty::start(Bucket(Arc::clone(&stored)), 30, move |asked| {
        if asked.action == "ListObjectsV2" {
            return with_listing(seed, asked);
        }
        let index = by_key.get(&asked.key);
        index.map_or(Trouble::None, |index| with_object(&planned[*index], asked))
    });
    let home = Home::make();
    let plugin = Plugin::load(&home.config(&server.endpoint(), json!({})));
    let mut instance = plugin
        .open("s3://logs/AWSLogs/")
        .unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
    let all = instance.read_all(LIMIT);
    drop(instance);
    let log = plugin.log();
    assert_eq!(all.error, None, "seed {seed}: {log}");

    let places = places(stored.iter());
    let mut seen = BTreeSet::new();
    let mut strangers = 0;
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    let mut reached = "";
    for event in &all.events {
        let place = id(event).and_then(|id| places.get_key_value(&id));
        let Some((id, (time, key, at))) = place else {
            strangers += 1;
            continue;
        };
        assert!(seen.insert(id.clone()), "seed {seed}: {id} came twice");
        assert!(
            **time >= *reached,
            "seed {seed}: {key} comes behind {reached}"
        );
        reached = time;
        let before = last.insert(key, *at);
        // But for a file whose times may be damaged.
        let damaged = || {
            let stored = stored.iter().find(|stored| stored.key == *key);
            stored.is_some_and(|stored| stored.loss == Loss::Some)
        };
        assert!(
            before.is_none_or(|before| before < *at) || damaged(),
            "seed {seed}: the records of {key} are out of order"
        );
    }
    let mut damaged = 0;
    for stored in stored.iter() {
        let named = log.contains(&stored.key);
        let records = &stored.file.records;
        let came = records
            .iter()
            .filter(|record| seen.contains(&record.id))
            .count();
        let context = || format!("seed {seed}: {} ({:?}), {log}", stored.key, stored.loss);
        match stored.loss {
            Loss::Nothing => assert!(came == records.len() && !named, "{}", context()),
            Loss::All => assert!(came == 0 && named, "{}", context()),
            Loss::Some => {
                damaged += records.len();
                assert!(named, "{}", context());
            }
        }
    }
    assert!(strangers <= damaged, "seed {seed}: {strangers} strangers");
    let lost = stored.iter().filter(|stored| stored.loss == Loss::All);
    let metrics = plugin.metrics().unwrap();
    books_add_up(&metrics, all.events.len()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert!(
        metrics["files_failed"] >= lost.count() as u64
            && metrics["files_listed"] == stored.len() as u64,
        "seed {seed}: {metrics:#?}"
    );
}

#[test]
fn what_goes_wrong_with_a_bucket_is_made_good_or_named() {
    alone(
        "what_goes_wrong_with_a_bucket_is_made_good_or_named",
        || for_each_seed(0..150, of_bucket),
    );
}

/// What does not pass costs its log file, which is named with what to do about it, and no other.
fn without(trouble: &Trouble, words: &str) {
    let files = Maker::new(1).trail(&ACCOUNTS, &REGIONS, "20240305T2250Z", 9, 2);
    let mut stored: Vec<Stored> = files.into_iter().map(Stored::sound).collect();
    stored.sort_by(|a, b| a.key.cmp(&b.key));
    let victim = stored[10].key.clone();
    let wanted: BTreeSet<String> = stored
        .iter()
        .filter(|stored| stored.key != victim)
        .flat_map(|stored| stored.file.records.iter().map(|record| record.id.clone()))
        .collect();
    let planned = (victim.clone(), trouble.clone());
    let server = Faulty::start(Bucket(Arc::new(stored)), 1000, move |asked| {
        match asked.key == planned.0 {
            true => planned.1.clone(),
            false => Trouble::None,
        }
    });
    let home = Home::make();
    let plugin = Plugin::load(&home.config(&server.endpoint(), json!({})));
    let mut instance = plugin.open("s3://logs/AWSLogs/").unwrap();
    let all = instance.read_all(LIMIT);
    drop(instance);
    let log = plugin.log();
    assert_eq!(all.error, None, "{trouble:?}: {log}");
    let seen: BTreeSet<String> = all.events.iter().map(Event::id).collect();
    assert!(seen == wanted && all.events.len() == seen.len(), "{log}");
    let named = format!("s3://logs/{victim}: ");
    assert!(
        log.lines()
            .any(|line| line.starts_with(&named) && line.contains(words)),
        "{trouble:?}: {log}"
    );
    assert!(log.contains("1 log file could not be read"), "{log}");
    let metrics = plugin.metrics().unwrap();
    assert_eq!(metrics["files_failed"], 1);
    books_add_up(&metrics, all.events.len()).unwrap();
}

#[test]
fn what_does_not_pass_costs_its_file_and_no_other() {
    alone("what_does_not_pass_costs_its_file_and_no_other", || {
        thread::scope(|scope| {
            for (trouble, words) in [
                (Trouble::Error(503, "SlowDown", None), "try again later"),
                (
                    Trouble::Error(500, "InternalError", None),
                    "try again later",
                ),
                (Trouble::Reset, "can't reach it"),
                (Trouble::ResetAfter(0), "broke off at byte 0"),
                (Trouble::TooLong(0), "broke off at byte 0"),
            ] {
                scope.spawn(move || without(&trouble, words));
            }
        });
    });
}

/// What ends a capture for good is an error that says so, behind everything that was delivered before.
fn with_an_end(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let files = Maker::new(seed).trail(&ACCOUNTS, &REGIONS, "20240305T2250Z", 60, 2);
    let mut stored: Vec<Stored> = files.into_iter().map(Stored::sound).collect();
    let victim = random.usize(..stored.len());
    let of_listing = random.bool();
    let (trouble, words) = match of_listing {
        true => random
            .choice([
                (Trouble::Error(403, "AccessDenied", None), "s3:ListBucket"),
                (Trouble::Body("<html>Log in</html>".into()), "listing"),
                (
                    Trouble::Body("<ListBucketResult><Contents>".into()),
                    "listing",
                ),
                (Trouble::Error(404, "NoSuchBucket", None), "no such bucket"),
            ])
            .unwrap(),
        false => random
            .choice([
                (
                    Trouble::Error(403, "InvalidAccessKeyId", None),
                    "credentials",
                ),
                (Trouble::Error(400, "ExpiredToken", None), "expired"),
                (Trouble::Error(403, "SignatureDoesNotMatch", None), "secret"),
            ])
            .unwrap(),
    };
    if !of_listing {
        stored[victim].lasting = Some(trouble.clone());
    }
    let order: Vec<String> = stored
        .iter()
        .map(|stored| stored.file.time.clone())
        .collect();
    let at = order[victim].clone();
    stored.sort_by(|a, b| a.key.cmp(&b.key));
    let stored = Arc::new(stored);
    let planned = Arc::clone(&stored);
    let pages = AtomicU64::new(random.u64(7..14));
    let server = Faulty::start(Bucket(Arc::clone(&stored)), 20, move |asked| {
        if asked.action == "ListObjectsV2" {
            let left = pages.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
            return match of_listing && left.is_err() {
                true => trouble.clone(),
                false => Trouble::None,
            };
        }
        let object = planned.iter().find(|stored| stored.key == asked.key);
        object
            .and_then(|stored| stored.lasting.clone())
            .unwrap_or(Trouble::None)
    });
    let home = Home::make();
    let plugin = Plugin::load(&home.config(&server.endpoint(), json!({})));
    let mut instance = plugin
        .open("s3://logs/AWSLogs/")
        .unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
    let all = instance.read_all(LIMIT);
    // It says so once, and then no more than that it is over.
    assert_eq!(instance.next_batch().status, Status::Eof, "seed {seed}");
    let error = all.error.unwrap_or_else(|| panic!("seed {seed}: no error"));
    assert!(error.contains(words), "seed {seed}: {error}");
    let places = places(stored.iter());
    let seen: Vec<&(String, String, usize)> = all
        .events
        .iter()
        .map(|event| &places[&event.id()])
        .collect();
    assert!(seen.is_sorted_by_key(|(time, ..)| time), "seed {seed}");
    // All that was delivered before is there.
    let end = match of_listing {
        true => seen.last().map_or(String::new(), |(time, ..)| time.clone()),
        false => at,
    };
    let before = stored
        .iter()
        .filter(|stored| stored.file.time < end)
        .map(|stored| stored.file.records.len())
        .sum::<usize>();
    let came = seen.iter().filter(|(time, ..)| *time < end).count();
    assert_eq!(came, before, "seed {seed}");
    assert_eq!(
        all.events
            .iter()
            .map(Event::id)
            .collect::<BTreeSet<_>>()
            .len(),
        all.events.len(),
        "seed {seed}"
    );
}

#[test]
fn what_ends_a_capture_comes_behind_all_that_was_there_before() {
    alone(
        "what_ends_a_capture_comes_behind_all_that_was_there_before",
        || for_each_seed(0..40, with_an_end),
    );
}

/// Requests to SQS go wrong, before they are done or after.
fn with_queue(asked: &Asked, random: &mut Rng) -> Trouble {
    // Twice in a row this is for good, and there are several requests at a time.
    if asked.before == 9 {
        return Trouble::Error(400, "ExpiredToken", None);
    }
    match random.u8(..20) {
        0 => Trouble::Error(503, "ServiceUnavailable", None),
        1 => Trouble::Error(500, "InternalError", None),
        2 => Trouble::Reset,
        3 => Trouble::ResetAfter(random.usize(..200)),
        4 => Trouble::TooLong(random.usize(..200)),
        5 => Trouble::Stall(0, Duration::from_millis(random.u64(50..400))),
        _ => Trouble::None,
    }
}

fn of_queue(seed: u64) {
    let stored = Arc::new(bucket(seed));
    let by_key: HashMap<String, usize> = stored
        .iter()
        .enumerate()
        .map(|(index, stored)| (stored.key.clone(), index))
        .collect();
    let mut random = Rng::with_seed(seed);
    // Messages name one log file each, in an order of their own.
    let mut order: Vec<usize> = (0..stored.len()).collect();
    random.shuffle(&mut order);
    let consumed: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let early: Arc<Mutex<Vec<String>>> = Arc::default();
    let deletions: Arc<Mutex<BTreeSet<usize>>> = Arc::default();
    let server = {
        let (stored, order) = (Arc::clone(&stored), order.clone());
        let (consumed, early) = (Arc::clone(&consumed), Arc::clone(&early));
        let deletions = Arc::clone(&deletions);
        let random = Mutex::new(Rng::with_seed(seed));
        let opened = AtomicU64::new(0);
        Faulty::start(Bucket(Arc::clone(&stored)), 1000, move |asked| {
            if asked.action == "GetObject" {
                let index = by_key.get(&asked.key);
                return index.map_or(Trouble::None, |index| with_object(&stored[*index], asked));
            }
            if asked.action == "DeleteMessageBatch" {
                let input: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
                for entry in input["Entries"].as_array().unwrap() {
                    let handle = entry["ReceiptHandle"].as_str().unwrap();
                    let message: usize = handle.split('/').next().unwrap().parse().unwrap();
                    let index = order[message - 1];
                    deletions.lock().unwrap().insert(index);
                    let stored = &stored[index];
                    let consumed = consumed.lock().unwrap();
                    let whole = stored.loss != Loss::Nothing
                        || stored
                            .file
                            .records
                            .iter()
                            .all(|record| consumed.contains(&record.id));
                    if !whole {
                        early.lock().unwrap().push(stored.key.clone());
                    }
                }
            }
            // What is wrong at the beginning is an error of the opening.
            match opened.fetch_add(1, Relaxed) {
                0..3 => Trouble::None,
                _ => with_queue(asked, &mut random.lock().unwrap()),
            }
        })
    };
    let queues = server.queues();
    // What was received by an answer that never arrived comes again soon.
    queues.create("trail", Duration::from_secs(2));
    for index in &order {
        let object = json!({"key": stored[*index].key, "size": stored[*index].body.len()});
        let record = json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "eventTime": "2024-03-05T12:05:11.123Z", "s3": {"bucket": {"name": "logs"}, "object": object},
        });
        queues.send("trail", json!({ "Records": [record] }).to_string());
    }
    queues.fail_entries("DeleteMessageBatch", random.usize(..20));
    queues.fail_entries("ChangeMessageVisibilityBatch", random.usize(..20));
    let home = Home::make();
    let plugin = Plugin::load(&home.config(&server.endpoint(), json!({})));
    let mut instance = plugin
        .open("sqs://trail")
        .unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
    let good = stored
        .iter()
        .enumerate()
        .filter(|(_, stored)| stored.loss == Loss::Nothing);
    let good: BTreeSet<usize> = good.map(|(index, _)| index).collect();
    // What can't be read at all stays in the queue.
    let settled = || {
        let deletions = deletions.lock().unwrap();
        good.is_subset(&deletions) && queues.counts("trail").deleted == deletions.len() as u64 && {
            let log = plugin.log();
            let mut lost = stored.iter().filter(|stored| stored.loss != Loss::Nothing);
            lost.all(|stored| log.contains(&stored.key))
        }
    };
    let start = Instant::now();
    loop {
        let batch = instance.next_batch();
        match batch.status {
            // The host is through with them before it asks for more.
            Status::More => consumed
                .lock()
                .unwrap()
                .extend(batch.events.iter().filter_map(id)),
            Status::Timeout => {}
            other => panic!("seed {seed}: {other:?}, {}", plugin.log()),
        }
        if settled() {
            break;
        }
        assert!(
            start.elapsed() < LIMIT,
            "seed {seed}: {:?} {:#?} {}",
            queues.counts("trail"),
            plugin.metrics(),
            plugin.log()
        );
    }
    drop(instance);
    let log = plugin.log();
    assert_eq!(*early.lock().unwrap(), [] as [String; 0], "seed {seed}");
    let seen = consumed.lock().unwrap();
    for stored in stored.iter() {
        let mut records = stored.file.records.iter();
        match stored.loss {
            Loss::Nothing => assert!(
                records.all(|record| seen.contains(&record.id)),
                "seed {seed}: {}: {log}",
                stored.key
            ),
            _ => assert!(
                log.contains(&stored.key),
                "seed {seed}: {} is not named: {log}",
                stored.key
            ),
        }
    }
}

#[test]
fn what_goes_wrong_with_a_queue_costs_no_event() {
    alone("what_goes_wrong_with_a_queue_costs_no_event", || {
        for_each_seed(0..50, of_queue);
    });
}
