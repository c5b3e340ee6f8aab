//! Captures with a state file that end at any moment, and go on: time is paused, AWS is in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout_at};

use super::*;
use crate::aws::memory::Aws;
use crate::clock::Clock;
use crate::log_file::{Ack, Fate};

const START: &str = "2024-12-30T12:00:00Z";

/// When a host that gets nothing comes back.
const BACK: Duration = Duration::from_millis(100);

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

/// A source that is followed with a state file, and what the host was given of it.
struct World {
    aws: Arc<Aws>,
    clock: Clock,
    _home: TempDir,
    settings: Settings,
    url: String,
    rng: Rng,
    /// What was given to the host, by name: whether it may come again.
    given: BTreeMap<String, bool>,
    consumed: BTreeSet<String>,
    /// What came again.
    repeats: usize,
    log: String,
}

/// How a capture ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Killed,
    Closed,
}

impl World {
    fn new(url: &str, seed: u64) -> Self {
        let clock = Clock::at(START.parse().unwrap());
        // In memory where there is such a folder, for the state is written thousands of times.
        let memory = TempDir::new_in("/dev/shm");
        let home = memory.unwrap_or_else(|_| TempDir::new().unwrap());
        let settings = Settings {
            follow: true,
            poll_interval: Duration::from_secs(300),
            state_path: Some(home.path().join("state").display().to_string()),
            ..Aws::settings(home.path())
        };
        Self {
            aws: Aws::new(clock, |_, _| None),
            clock,
            _home: home,
            settings,
            url: url.to_owned(),
            rng: Rng::with_seed(seed),
            given: BTreeMap::new(),
            consumed: BTreeSet::new(),
            repeats: 0,
            log: String::new(),
        }
    }

    async fn open(&mut self) -> Result<(Box<dyn Source>, Arc<Stats>)> {
        let stats = Arc::new(Stats::default());
        let wanted = self.settings.selection(self.clock.now())?;
        let location = Location::parse(&self.url, None)?;
        let environment = self.aws.environment();
        let opened = open(
            location,
            &self.settings,
            wanted,
            &environment,
            Arc::clone(&stats),
        );
        Ok((opened.await?.0, stats))
    }

    /// Capture for so long, and take each log file as late as a host may; those of this share can't be read. Gives what came.
    async fn capture(
        &mut self,
        span: Duration,
        pause: Duration,
        unread: f64,
        end: End,
    ) -> BTreeSet<String> {
        let (mut source, stats) = self.open().await.unwrap();
        let until = Instant::now() + span;
        let mut given = BTreeSet::new();
        let mut waiting: VecDeque<(Vec<String>, Ack)> = VecDeque::new();
        let mut acked: Vec<(Instant, Vec<String>)> = Vec::new();
        while Instant::now() < until {
            let mut next = source.next();
            // The host comes back again and again, also where nothing comes.
            let next = match timeout_at(until.min(Instant::now() + BACK), &mut next).await {
                Err(_) => {
                    self.ack(&mut waiting, 0, unread, &mut acked);
                    timeout_at(until, next).await
                }
                soon => soon,
            };
            let Ok(next) = next else { break };
            let Some(file) = next.unwrap() else {
                // The host comes back for the end, too.
                self.ack(&mut waiting, 0, unread, &mut acked);
                break;
            };
            let names = names(file.name, file.fetch).await;
            for name in &names {
                assert!(given.insert(name.clone()), "{name} comes twice");
                if let Some(may_repeat) = self.given.insert(name.clone(), true) {
                    assert!(may_repeat, "{name} comes again");
                    self.repeats += 1;
                }
            }
            waiting.push_back((names, file.ack.expect("somebody waits for it")));
            // The host has come back for what follows.
            let left = self.rng.usize(..4);
            self.ack(&mut waiting, left, unread, &mut acked);
            sleep(pause.mul_f64(self.rng.f64())).await;
        }
        let mut noted = Instant::now() - Duration::from_secs(1);
        if end == End::Closed {
            source.closing().await;
            noted = Instant::now();
        }
        // docs/following.md: what the host has, and what it has taken in the last second.
        for (when, names) in acked {
            for name in names {
                self.given.insert(name, when >= noted && end == End::Killed);
            }
        }
        drop((source, waiting));
        self.log += &format!("{:?}\n", stats.take_notes());
        given
    }

    /// Capture for up to 10 to the power of `longest` seconds, three times of four to be killed, and then nothing for as long.
    async fn round(&mut self, longest: f64, pause: Duration, unread: f64) {
        let span = Duration::from_secs_f64(10_f64.powf(self.rng.f64() * longest));
        let end = match self.rng.u32(..4) {
            0 => End::Closed,
            _ => End::Killed,
        };
        self.capture(span, pause, unread, end).await;
        sleep(Duration::from_secs_f64(10_f64.powf(self.rng.f64() * 3.8))).await;
    }

    /// Capture all that is left.
    async fn last(&mut self) {
        let span = Duration::from_secs(3 * 60 * 60);
        self.capture(span, Duration::ZERO, 0.0, End::Closed).await;
    }

    /// All of it was consumed. Gives how much came again.
    fn assert_all(&self, there: &BTreeSet<String>, seed: u64) -> usize {
        let lost = there.difference(&self.consumed).next();
        assert_eq!(lost, None, "seed {seed}");
        self.repeats
    }

    /// All but so many of those that wait have met their fate.
    fn ack(
        &mut self,
        waiting: &mut VecDeque<(Vec<String>, Ack)>,
        left: usize,
        unread: f64,
        acked: &mut Vec<(Instant, Vec<String>)>,
    ) {
        while waiting.len() > left {
            let Some((names, ack)) = waiting.pop_front() else {
                return;
            };
            if self.rng.f64() < unread {
                ack(Fate::Unread);
                continue;
            }
            ack(Fate::Consumed);
            self.consumed.extend(names.clone());
            acked.push((Instant::now(), names));
        }
    }
}

/// What of a log file is to come once: its events where it was made of the event history, and itself elsewhere.
async fn names(name: String, fetch: Fetch) -> Vec<String> {
    if name.starts_with("s3:") {
        return vec![name];
    }
    let budget = crate::budget::Budget::new(16 << 20);
    let room = budget.take(0).await.unwrap();
    let pace = crate::concurrency::Concurrency::new(8).pace();
    let Ok(crate::log_file::Body::Bytes(bytes)) = fetch(room, pace).await else {
        panic!("{name} is not read");
    };
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let records = json["Records"].as_array().unwrap().iter();
    let id = |record: &serde_json::Value| record["eventID"].as_str().unwrap().to_owned();
    records.map(id).collect()
}

/// Accounts, regions, and from which tenth of the time on they deliver.
const REGIONS: [(&str, &str, i64); 5] = [
    ("111122223333", "us-east-1", -10),
    ("111122223333", "eu-west-1", -10),
    ("111122223333", "ap-south-1", 3),
    ("444455556666", "us-east-1", 5),
    ("444455556666", "eu-west-1", 8),
];

/// The key of a log file. Some have names that do not begin as CloudTrail's do, and some lie in no folders of days.
fn key(account: &str, region: &str, time: Timestamp, unique: u64) -> String {
    let (day, minute) = (time.strftime("%Y/%m/%d"), time.strftime("%Y%m%dT%H%MZ"));
    let folder = format!("AWSLogs/{account}/CloudTrail/{region}/{day}/");
    match unique % 20 {
        1 if region == "eu-west-1" => format!("{folder}copy_{minute}_{unique:x}.json"),
        2 => format!("exports/{unique:x}.json"),
        _ => format!("{folder}{account}_CloudTrail_{region}_{minute}_{unique:x}.json"),
    }
}

/// Deliver for so many hours, and those of so many hours before at once; a log file each five minutes and region, of which
/// some come late.
fn deliver(
    world: &mut World,
    before: i64,
    hours: i64,
) -> tokio::task::JoinHandle<BTreeSet<String>> {
    let (aws, clock, mut rng) = (Arc::clone(&world.aws), world.clock, world.rng.fork());
    let start = clock.now();
    let mut there = BTreeSet::new();
    let mut put = move |there: &mut BTreeSet<String>, aws: &Aws, round: i64, time: Timestamp| {
        let mut late = Vec::new();
        for (account, region, from) in REGIONS {
            // Which begin at some time, and are silent for six hours each day.
            if round < hours * 12 * from / 10 || round.rem_euclid(24 * 12) > 18 * 12 {
                continue;
            }
            let key = key(account, region, time, rng.u64(..));
            there.insert(format!("s3://logs/{key}"));
            match rng.u32(..50) {
                // Within the hour of a look, and within the day of a long one.
                7 => late.push((round + 1 + rng.i64(..11), key)),
                8 => late.push((round + 1 + rng.i64(..12 * 20), key)),
                _ => aws.put_at(&key, Vec::new(), time),
            }
        }
        late
    };
    let mut late = Vec::new();
    for round in -before * 12..0 {
        late.extend(put(&mut there, &aws, round, start + minutes(5 * round)));
    }
    tokio::spawn(async move {
        for round in 0..hours * 12 {
            late.extend(put(&mut there, &aws, round, clock.now()));
            for (_, key) in late.extract_if(.., |(due, _)| *due <= round) {
                aws.put(&key, Vec::new());
            }
            sleep(Duration::from_secs(300)).await;
        }
        for (_, key) in late {
            aws.put(&key, Vec::new());
        }
        there
    })
}

#[tokio::test(start_paused = true)]
async fn captures_of_a_bucket_that_end_at_any_moment_lose_nothing_and_repeat_what_was_under_way() {
    let (mut captures, mut repeats) = (0, 0);
    for seed in 0..3 {
        let mut world = World::new("s3://logs", seed);
        let delivery = deliver(&mut world, 24, 30);
        while !delivery.is_finished() {
            // What was there before takes the first ten minutes or so.
            let longest = if world.consumed.len() < 400 { 2.0 } else { 3.8 };
            let pause = Duration::from_millis(world.rng.u64(300..1_000));
            world.round(longest, pause, 0.01).await;
            captures += 1;
        }
        // Two last ones, in which all that could not be read before can.
        for _ in 0..2 {
            world.last().await;
        }
        repeats += world.assert_all(&delivery.await.unwrap(), seed);
    }
    assert!(
        captures > 150 && repeats > 50,
        "{captures} captures, {repeats} repeats"
    );
}

/// An event that happened then, and is seen so many minutes later.
fn happen(world: &World, id: &str, time: Timestamp, lag: i64) {
    let record = format!(
        r#"{{"eventID":"{id}","eventName":"x","eventTime":"{time}","recipientAccountId":"111122223333"}}"#
    );
    world.aws.happen(time, time + minutes(lag), record);
}

#[tokio::test(start_paused = true)]
async fn captures_of_an_event_history_that_end_at_any_moment_lose_nothing_and_repeat_what_was_under_way()
 {
    let (mut captures, mut repeats) = (0, 0);
    for seed in 0..4 {
        let mut world = World::new("cloudtrail://us-east-1", seed);
        let start = world.clock.now();
        let mut there = BTreeSet::new();
        // A day before the first capture, and a day of captures: some events in one second, some of them late.
        for n in 0..3_000 {
            let second = world.rng.i64(-86_400..86_400);
            let time = start + SignedDuration::from_secs(second - second % 7);
            let lag = match world.rng.u32(..20) {
                0 => world.rng.i64(15..50),
                _ => world.rng.i64(0..10),
            };
            happen(&world, &format!("e{n}"), time, lag);
            there.insert(format!("e{n}"));
        }
        while world.clock.now() < start + minutes(25 * 60) {
            let pause = Duration::from_millis(world.rng.u64(..5_000));
            world.round(3.8, pause, 0.0).await;
            captures += 1;
        }
        world.last().await;
        repeats += world.assert_all(&there, seed);
    }
    assert!(
        captures > 100 && repeats > 50,
        "{captures} captures, {repeats} repeats"
    );
}

/// So long in seconds that all that is there is read.
const WHILE: Duration = Duration::from_secs(20 * 60);

impl World {
    /// Put a log file that is delivered then, now.
    fn deliver(&mut self, account: &str, region: &str, time: Timestamp) -> String {
        self.deliver_at(account, region, time, self.clock.now())
    }

    /// Put a log file that is delivered then, at another time.
    fn deliver_at(
        &mut self,
        account: &str,
        region: &str,
        time: Timestamp,
        put: Timestamp,
    ) -> String {
        // Names that are regular.
        let key = key(account, region, time, self.rng.u64(..) / 20 * 20);
        self.aws.put_at(&key, Vec::new(), put);
        format!("s3://logs/{key}")
    }

    /// Capture all that is there, and give what of it the captures before had not.
    async fn more(&mut self) -> BTreeSet<String> {
        let before = self.consumed.clone();
        self.capture(WHILE, Duration::ZERO, 0.0, End::Closed).await;
        self.consumed.difference(&before).cloned().collect()
    }

    /// Why it can't be opened.
    async fn refused(&mut self) -> String {
        match self.open().await {
            Ok(_) => panic!("it is opened"),
            Err(error) => format!("{error:#}"),
        }
    }
}

const ACCOUNT: &str = "111122223333";
const REGION: &str = "us-east-1";

#[tokio::test(start_paused = true)]
async fn a_state_wins_over_the_start_of_an_interval_and_not_over_its_end() {
    let mut world = World::new("s3://logs", 1);
    let start = world.clock.now();
    world.settings.interval = "1h".parse().unwrap();
    world.deliver_at(ACCOUNT, REGION, start - minutes(90), start - minutes(90));
    let lately = world.deliver_at(ACCOUNT, REGION, start - minutes(30), start - minutes(30));
    assert_eq!(world.more().await, BTreeSet::from([lately]));
    // Down for days, while much is delivered.
    let mut wanted = BTreeSet::new();
    for hour in 1..72 {
        let time = start + minutes(60 * hour);
        wanted.insert(world.deliver_at(ACCOUNT, REGION, time, time));
        // A region that was not there.
        wanted.insert(world.deliver_at(ACCOUNT, "eu-west-1", time, time));
    }
    sleep(Duration::from_secs(72 * 60 * 60)).await;
    assert_eq!(world.more().await, wanted);
    assert!(
        world
            .log
            .contains("goes on where the capture before ended: log files up to 2024-12-30T"),
        "{}",
        world.log
    );
    assert!(
        world.log.contains("1 account or region was not there, or not selected, before, and read from 2024-12-30T11:00:00Z, where the first capture began, on: AWSLogs/111122223333/CloudTrail/eu-west-1/"),
        "{}",
        world.log
    );
    // An end holds, whatever the state says; what lies before it is still read, even if it is over.
    let before = world.deliver(ACCOUNT, REGION, world.clock.now());
    let end = world.clock.now() + minutes(10);
    let after = end + minutes(5);
    world.deliver_at(ACCOUNT, REGION, after, after);
    sleep(Duration::from_secs(60 * 60)).await;
    world.settings.interval = format!("2020-01-01T00:00:00Z-{end}").parse().unwrap();
    let (mut source, _) = world.open().await.unwrap();
    let file = source.next().await.unwrap().unwrap();
    assert_eq!(file.name, before);
    assert!(source.next().await.unwrap().is_none(), "nothing more comes");
}

#[tokio::test(start_paused = true)]
async fn what_comes_behind_an_end_is_read_once_there_is_no_end() {
    for (interval, count) in [("5d-2d", 6), ("5d-20h", 9)] {
        let mut world = World::new("s3://logs", 1);
        let now = world.clock.now();
        let mut all = BTreeSet::new();
        for half_days in 1..=10 {
            let time = now - minutes(12 * 60 * half_days - 1);
            all.insert(world.deliver_at(ACCOUNT, REGION, time, time));
        }
        // All keys are listed there, and so it is known how new the newest is.
        world.aws.put_at("exports/x.json", Vec::new(), now);
        all.insert("s3://logs/exports/x.json".to_owned());
        world.settings.interval = interval.parse().unwrap();
        let first = world.more().await;
        assert_eq!(first.len(), count, "{interval}");
        assert_eq!(world.more().await.len(), 0, "{interval}");
        world.settings.interval = "".parse().unwrap();
        let rest: BTreeSet<String> = all.difference(&first).cloned().collect();
        assert_eq!(world.more().await, rest, "{interval}");
        assert_eq!(world.more().await.len(), 0, "{interval}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_selected_again_goes_on_where_it_was_left() {
    let mut world = World::new("s3://logs", 1);
    let other = "444455556666";
    let now = world.clock.now();
    for minute in 0..10 {
        let time = now - minutes(24 * 60 + minute);
        world.deliver_at(ACCOUNT, REGION, time, time);
        world.deliver_at(other, REGION, time, time);
    }
    assert_eq!(world.more().await.len(), 20);
    world.settings.accounts = crate::trail::Listed::accounts(ACCOUNT).unwrap();
    let mut wanted = BTreeSet::new();
    for _ in 0..5 {
        sleep(Duration::from_secs(60 * 60)).await;
        let now = world.clock.now();
        let first = world.deliver(ACCOUNT, REGION, now);
        wanted.insert(world.deliver(other, REGION, now));
        assert_eq!(world.more().await, BTreeSet::from([first]));
    }
    world.settings.accounts = crate::trail::Listed::default();
    assert_eq!(world.more().await, wanted);
    assert_eq!(world.more().await, BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_selected_later_is_read_from_the_first_start_on() {
    let mut world = World::new("s3://logs", 1);
    world.settings.accounts = crate::trail::Listed::accounts(ACCOUNT).unwrap();
    world.settings.interval = "2d".parse().unwrap();
    let start = world.clock.now();
    let mut wanted = BTreeSet::new();
    for hours in [72, 40, 10] {
        let time = start - minutes(60 * hours);
        world.deliver_at(ACCOUNT, REGION, time, time);
        let file = world.deliver_at("444455556666", REGION, time, time);
        wanted.extend((hours < 48).then_some(file));
    }
    assert_eq!(world.more().await.len(), 2);
    sleep(Duration::from_secs(30 * 60 * 60)).await;
    world.settings.accounts = crate::trail::Listed::default();
    assert_eq!(world.more().await, wanted);
}

#[tokio::test(start_paused = true)]
async fn log_files_that_come_late_or_sort_earlier_are_found_after_a_restart() {
    let mut world = World::new("s3://logs", 1);
    let now = world.clock.now();
    for hours in 0..30 {
        let time = now - minutes(60 * hours);
        world.deliver_at(ACCOUNT, REGION, time, time);
    }
    assert_eq!(world.more().await.len(), 30);
    let mut wanted = BTreeSet::new();
    // The same minute, an hour and many hours late.
    for hours in [0, 0, 0, 0, 1, 5, 20] {
        wanted.insert(world.deliver(ACCOUNT, REGION, now - minutes(60 * hours)));
    }
    assert_eq!(world.more().await, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_was_silent_for_days_is_read_once() {
    for days in [0, 1, 30] {
        let mut world = World::new("s3://logs", 1);
        let last = world.clock.now() - minutes(24 * 60 * days);
        for hours in 0..30 {
            let time = last - minutes(60 * hours);
            world.deliver_at(ACCOUNT, REGION, time, time);
            // Copied at one moment.
            world.deliver_at(ACCOUNT, "eu-west-1", time, last);
            world
                .aws
                .put_at(&format!("exports/{hours}.json"), Vec::new(), last);
        }
        assert_eq!(world.more().await.len(), 90, "{days} days");
        assert_eq!(world.more().await, BTreeSet::new(), "{days} days");
        let next = world.deliver(ACCOUNT, REGION, world.clock.now());
        assert_eq!(world.more().await, BTreeSet::from([next]), "{days} days");
        // A copy that keeps the time of its original.
        let now = world.clock.now();
        let copy = world.deliver_at(ACCOUNT, REGION, now - minutes(300), now - minutes(30));
        assert_eq!(world.more().await, BTreeSet::from([copy]), "{days} days");
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_is_tried_again_at_the_next_start_and_not_once_it_was() {
    let mut world = World::new("s3://logs", 1);
    let now = world.clock.now();
    let old = world.deliver_at(ACCOUNT, REGION, now - minutes(3_000), now - minutes(3_000));
    let new = world.deliver(ACCOUNT, REGION, now);
    let both = BTreeSet::from([old, new]);
    for unread in [1.0, 1.0, 0.0] {
        let given = world
            .capture(WHILE, Duration::ZERO, unread, End::Closed)
            .await;
        assert_eq!(given, both);
    }
    let given = world.capture(WHILE, Duration::ZERO, 0.0, End::Closed).await;
    assert_eq!(given, BTreeSet::new(), "it was read");
    let again = "2 log files that could not be read are tried again";
    assert_eq!(world.log.matches(again).count(), 2, "{}", world.log);
}

#[tokio::test(start_paused = true)]
async fn a_state_of_something_else_is_refused() {
    let mut world = World::new("s3://logs/AWSLogs/", 1);
    let time = world.clock.now();
    world.deliver(ACCOUNT, REGION, time);
    world.more().await;
    world.url = "s3://logs/AWSLogs/111122223333/".to_owned();
    let error = world.refused().await;
    assert!(
        error.contains("tells how far s3://logs/AWSLogs/ was read, but this capture reads s3://logs/AWSLogs/111122223333/"),
        "{error}"
    );
    world.url = "cloudtrail://us-east-1".to_owned();
    let error = world.refused().await;
    assert!(
        error.contains("this capture reads cloudtrail://us-east-1"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_history_with_another_filter_goes_on_where_it_was_left() {
    let mut world = World::new("cloudtrail://us-east-1", 1);
    for (n, filter) in ["", "ct.name=x", "", "ct.name=y"].iter().enumerate() {
        sleep(Duration::from_secs(24 * 60 * 60)).await;
        let id = format!("e{n}");
        happen(&world, &id, world.clock.now() - minutes(60), 0);
        world.settings.filter = crate::filter::Filter::parse(filter).unwrap();
        // The AWS of these tests gives all events, whatever it is asked to choose by.
        assert_eq!(world.more().await, BTreeSet::from([id]), "{filter:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_of_another_accounts_history_is_refused() {
    let mut world = World::new("cloudtrail://us-east-1", 1);
    let now = world.clock.now();
    happen(&world, "a", now - minutes(60), 0);
    assert_eq!(world.more().await.len(), 1);
    // The credentials of another account, whose events are others.
    let record =
        format!(r#"{{"eventID":"b","eventTime":"{now}","recipientAccountId":"444455556666"}}"#);
    world.aws.happen(now, now, record);
    let (mut source, _) = world.open().await.unwrap();
    let Err(error) = source.next().await else {
        panic!("it is read");
    };
    assert!(
        error
            .to_string()
            .contains("was read, but the credentials are of 444455556666"),
        "{error}"
    );
}
