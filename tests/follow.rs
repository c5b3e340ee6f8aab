//! Following a bucket: every log file that comes is read, and once, whenever and wherever it appears.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use harness::aws::{ACCOUNT, Aws, Fault, Op, REGION, Request};
use harness::capture::Capture;
use harness::home::Home;
use harness::host::{Instance, Plugin, Status, ids};
use harness::trail::{self, LogFile, Maker, format_time, parse_time, sorted};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(100);

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// An AWS with a bucket `logs`, and a plugin that follows it.
struct World {
    aws: Aws,
    plugin: Plugin,
    maker: RefCell<Maker>,
    home: Home,
}

impl World {
    fn new(more: Value) -> Self {
        let aws = Aws::start();
        aws.put_in(REGION, "logs");
        let home = Home::make();
        let mut config = json!({"s3Follow": true, "s3PollInterval": 1});
        let object = config.as_object_mut().unwrap();
        object.extend(more.as_object().unwrap().clone());
        let plugin = Plugin::load(&home.config(&aws.endpoint(), config));
        Self {
            aws,
            plugin,
            maker: RefCell::new(Maker::new(5)),
            home,
        }
    }

    fn open(&self, url: &str) -> Instance<'_> {
        self.plugin.open(url).unwrap()
    }

    /// A log file of two records at this time, in the bucket; the IDs of its events.
    fn deliver(&self, time: &str) -> Vec<String> {
        self.deliver_to(ACCOUNT, REGION, time)
    }

    fn deliver_to(&self, account: &str, region: &str, time: &str) -> Vec<String> {
        let file = self.maker.borrow_mut().file(account, region, time, 2);
        file.put(&self.aws, "logs");
        trail::ids(&[file])
    }

    fn log(&self) -> String {
        self.plugin.log()
    }

    fn lists(&self) -> Vec<Request> {
        self.aws.log_of(Op::ListObjects)
    }

    /// So many looks have begun: listings of the URL's prefix.
    fn looks(&self, prefix: &str) -> usize {
        let asked = self.lists().into_iter();
        asked.filter(|request| request.key == prefix).count()
    }

    /// Reads so many events and not one more, over three looks that begin with this prefix.
    fn read(&self, instance: &mut Instance<'_>, events: usize, prefix: &str) -> Vec<String> {
        let all = instance.read_while(LIMIT, |all| all.len() < events);
        assert_eq!(all.error, None, "{}", self.log());
        let mut all = all.events;
        let looks = self.looks(prefix);
        let more = instance.read_while(LIMIT, |_| self.looks(prefix) < looks + 3);
        assert_eq!(more.error, None, "{}", self.log());
        all.extend(more.events);
        ids(&all)
    }

    /// Reads to the error that ends it.
    fn error(&self, instance: &mut Instance<'_>) -> String {
        let all = instance.read_all(LIMIT);
        all.error.expect("an error")
    }
}

/// Where a region's log files are.
fn folder(account: &str, region: &str) -> String {
    format!("AWSLogs/{account}/CloudTrail/{region}/")
}

#[test]
fn log_files_are_read_as_they_come_and_once() {
    let world = World::new(json!({}));
    let there = [
        world.deliver("20240305T1200Z"),
        world.deliver("20240305T1205Z"),
    ];
    let mut instance = world.open("s3://logs");
    assert_eq!(world.read(&mut instance, 4, ""), there.concat());
    for time in ["20240305T1210Z", "20240305T1210Z", "20240305T1345Z"] {
        let wanted = world.deliver(time);
        assert_eq!(world.read(&mut instance, 2, ""), wanted, "{time}");
    }
    // Late, by less than an hour; and with others in the order of delivery.
    let late = ["20240305T1250Z", "20240305T1346Z"].map(|time| world.deliver(time));
    assert_eq!(world.read(&mut instance, 4, ""), late.concat());

    let (progress, text) = instance.progress().unwrap();
    assert_eq!(progress, 0, "nothing is known of an end");
    assert!(
        text.starts_with("2024-03-05T13:46:00Z, 7 log files, ") && text.ends_with(", 14 events"),
        "{text}"
    );
    assert_eq!(world.plugin.metrics().unwrap()["files_listed"], 7);
    assert!(
        world
            .log()
            .contains("s3://logs/ is looked at again every 1 seconds"),
        "{}",
        world.log()
    );
}

#[test]
fn a_look_is_one_request_for_each_region_and_a_few_to_find_them() {
    let world = World::new(json!({}));
    for hour in 0..24 {
        world.deliver(&format!("20240305T{hour:02}00Z"));
    }
    let before = "20240101T0000Z";
    world.deliver_to(ACCOUNT, "eu-west-1", before);
    let mut instance = world.open("s3://logs/AWSLogs/");
    world.read(&mut instance, 50, "AWSLogs/");
    let (lists, looks) = (world.lists().len(), world.looks("AWSLogs/"));
    let more = instance.read_while(LIMIT, |_| world.looks("AWSLogs/") < looks + 3);
    assert!(more.events.is_empty());
    let asked = world.lists().split_off(lists);
    let mut asked: Vec<(String, String)> = asked
        .into_iter()
        .map(|mut request| {
            let after = request.query.remove("start-after").unwrap_or_default();
            (request.key, after)
        })
        .collect();
    // The last look may be under way.
    asked.truncate(10);
    asked.sort();
    asked.dedup();
    let after = |region: &str, time: &str, day: &str| {
        let folder = folder(ACCOUNT, region);
        let name = format!("{ACCOUNT}_CloudTrail_{region}_{time}");
        (folder.clone(), format!("{folder}{day}{name}"))
    };
    assert_eq!(
        asked,
        [
            ("AWSLogs/".to_owned(), String::new()),
            (format!("AWSLogs/{ACCOUNT}/"), String::new()),
            (format!("AWSLogs/{ACCOUNT}/CloudTrail/"), String::new()),
            // An hour before the newest.
            after("eu-west-1", "20231231T2300", "2023/12/31/"),
            after("us-east-1", "20240305T2200", "2024/03/05/"),
        ]
    );
}

#[test]
fn days_months_and_years_end() {
    let world = World::new(json!({}));
    let mut wanted = world.deliver("20240229T2358Z");
    let url = format!("s3://logs/{}", folder(ACCOUNT, REGION));
    let mut instance = world.open(&url);
    let mut seen = vec![];
    for times in [
        &["20240301T0001Z"][..],
        // Late, of the day before.
        &["20240229T2359Z", "20240301T0006Z"],
        &["20240430T2359Z"],
        &["20240501T0000Z"],
        &["20241231T2359Z"],
        &["20250101T0000Z", "20241231T2345Z"],
        &["20250101T0030Z"],
        &["20241231T2335Z"],
    ] {
        for time in times {
            wanted.extend(world.deliver(time));
        }
        let events = wanted.len() - seen.len();
        let more = instance.read_while(LIMIT, |all| all.len() < events);
        assert_eq!(more.error, None, "{times:?}");
        seen.extend(ids(&more.events));
    }
    let prefix = folder(ACCOUNT, REGION);
    seen.extend(world.read(&mut instance, 0, &prefix));
    assert_eq!(sorted(seen), sorted(wanted));
}

#[test]
fn new_accounts_regions_and_kinds_are_found() {
    let world = World::new(json!({}));
    let mut wanted = world.deliver("20240305T1200Z");
    let mut instance = world.open("s3://logs");
    let mut seen = world.read(&mut instance, 2, "");
    wanted.extend(world.deliver_to(ACCOUNT, "eu-west-1", "20240305T1200Z"));
    wanted.extend(world.deliver_to("111122223333", "us-east-1", "20230305T1200Z"));
    let insight = world
        .maker
        .borrow_mut()
        .insight_file(ACCOUNT, REGION, "20240305T1200Z");
    insight.put(&world.aws, "logs");
    let of_organization =
        world
            .maker
            .borrow_mut()
            .file("444455556666", REGION, "20240305T1200Z", 2);
    let key = of_organization.org_key("some/prefix/", "o-abcdefghij");
    world.aws.put("logs", &key, &of_organization.gz());
    // They hold no events.
    for (key, body) in world.maker.borrow_mut().bystanders(ACCOUNT, REGION) {
        world.aws.put("logs", &key, &body);
    }
    wanted.extend(trail::ids(&[insight, of_organization]));
    seen.extend(world.read(&mut instance, 7, &folder(ACCOUNT, REGION)));
    assert_eq!(sorted(seen), sorted(wanted));
    // And are followed.
    let more = world.deliver_to("111122223333", "us-east-1", "20230305T1205Z");
    assert_eq!(world.read(&mut instance, 2, &folder(ACCOUNT, REGION)), more);
}

#[test]
fn many_accounts_are_looked_for_less_often() {
    let world = World::new(json!({}));
    let accounts: Vec<String> = (1..=12).map(|n| format!("{n:012}")).collect();
    let mut wanted = vec![];
    for account in &accounts {
        wanted.extend(world.deliver_to(account, REGION, "20240305T1200Z"));
    }
    let mut instance = world.open("s3://logs/AWSLogs/");
    let first = folder(&accounts[0], REGION);
    let mut seen = world.read(&mut instance, 24, &first);
    // The first look again, and none since.
    assert_eq!(world.looks("AWSLogs/"), 2);
    let lists = world.lists().len();
    let looks = world.looks(&first);
    wanted.extend(world.deliver_to("777788889999", REGION, "20240305T1200Z"));
    wanted.extend(world.deliver_to(&accounts[5], REGION, "20240305T1205Z"));
    let soon = instance.read_while(LIMIT, |all| all.len() < 2);
    seen.extend(ids(&soon.events));
    assert_eq!(world.looks("AWSLogs/"), 2, "known accounts are looked at");
    let later = instance.read_while(LIMIT, |all| all.len() < 2);
    seen.extend(ids(&later.events));
    assert_eq!(sorted(seen), sorted(wanted));
    let looks = world.looks(&first) - looks;
    assert!((2..=10).contains(&looks), "{looks}");
    assert_eq!(world.looks("AWSLogs/"), 3);
    // One request for each region, and 25 to find them.
    let lists = world.lists().len() - lists;
    assert!(
        lists <= 12 * (looks + 1) + 1 + 25 + 1,
        "{lists} for {looks} looks"
    );
}

#[test]
fn what_comes_while_the_first_look_is_under_way_is_found() {
    let world = World::new(json!({"s3DownloadConcurrency": 1}));
    world.aws.page(2);
    let mut wanted = vec![];
    for minute in 10..50 {
        wanted.extend(world.deliver(&format!("20240305T12{minute}Z")));
    }
    // Pages are asked for as files are read.
    world.aws.fault(
        |request| request.op == Op::GetObject,
        Fault::Delay(Duration::from_millis(20)),
    );
    let mut instance = world.open("s3://logs");
    let first = instance.read_while(LIMIT, |all| all.len() < 6);
    let mut seen = ids(&first.events);
    // Before what was read, between, and after; and where nothing was.
    for time in [
        "20240305T1205Z",
        "20240305T1210Z",
        "20240305T1230Z",
        "20240305T1250Z",
    ] {
        wanted.extend(world.deliver(time));
    }
    wanted.extend(world.deliver_to("000000000001", "eu-west-1", "20240305T1200Z"));
    assert_eq!(world.looks(""), 1, "the first look is under way");
    seen.extend(world.read(&mut instance, wanted.len() - seen.len(), ""));
    assert_eq!(sorted(seen), sorted(wanted));
}

#[test]
fn keys_of_any_layout() {
    for (page, there) in [(1000, 3), (3, 40)] {
        let world = World::new(json!({}));
        world.aws.page(page);
        let wanted = RefCell::new(vec![]);
        let put = |world: &World, key: &str| {
            let file = world
                .maker
                .borrow_mut()
                .file(ACCOUNT, REGION, "20240305T1200Z", 1);
            world.aws.put("logs", key, &file.gz());
            wanted.borrow_mut().extend(trail::ids(&[file]));
        };
        for n in 0..there {
            put(&world, &format!("flat/m{n:03}.json.gz"));
        }
        let mut instance = world.open("s3://logs/flat/");
        let mut seen = instance.read_while(LIMIT, |all| all.len() < there).events;
        put(&world, "flat/a.json.gz");
        put(&world, "flat/m000x.json.gz");
        put(&world, "flat/z.json");
        // A time in the name says nothing here.
        put(
            &world,
            &format!("flat/{ACCOUNT}_CloudTrail_{REGION}_20200101T0000Z_x.json.gz"),
        );
        put(&world, "flat/deep/er/a.json.gz");
        seen.extend(instance.read_while(LIMIT, |all| all.len() < 5).events);
        // A region's folder with names of its own.
        let day = format!("flat/{}2024/03/05/", folder(ACCOUNT, REGION));
        put(&world, &format!("{day}m.json.gz"));
        put(
            &world,
            &format!("flat/{}stray.json.gz", folder(ACCOUNT, REGION)),
        );
        seen.extend(instance.read_while(LIMIT, |all| all.len() < 2).events);
        put(&world, &format!("{day}copy_20240305T1200Z.json.gz"));
        put(&world, &format!("{day}a_20240305T1155Z.json.gz"));
        let mut seen = ids(&seen);
        seen.extend(world.read(&mut instance, 2, "flat/"));
        assert_eq!(sorted(seen), sorted(wanted.take()), "{page}");
    }
}

#[test]
fn a_log_file_beside_many_folders() {
    let world = World::new(json!({}));
    // More than are looked into.
    for n in 0..300 {
        world
            .aws
            .put("logs", &format!("folder-{n:03}/note.txt"), b"no log file");
    }
    let file = world
        .maker
        .borrow_mut()
        .file(ACCOUNT, REGION, "20240305T1200Z", 2);
    world.aws.put("logs", "events.json.gz", &file.gz());
    let mut instance = world.open("s3://logs");
    assert_eq!(world.read(&mut instance, 2, ""), trail::ids(&[file]));
}

#[test]
fn an_interval() {
    let ago = |minutes: i64| format_time(Timestamp::now() - SignedDuration::from_mins(minutes));
    let world = World::new(json!({"s3Interval": "1h"}));
    world.deliver(&ago(90));
    let mut wanted = world.deliver(&ago(30));
    let mut instance = world.open("s3://logs");
    let mut seen = world.read(&mut instance, 2, "");
    world.deliver(&ago(80));
    wanted.extend(world.deliver(&ago(20)));
    wanted.extend(world.deliver(&ago(0)));
    seen.extend(world.read(&mut instance, 4, ""));
    assert_eq!(seen, wanted);
    drop(instance);

    // Exactly the events of the last hour.
    let world = World::new(json!({"s3Interval": "1h", "s3IntervalOf": "event"}));
    let mut instance = world.open("s3://logs");
    let mut file = world.maker.borrow_mut().file(ACCOUNT, REGION, &ago(20), 1);
    let wanted = trail::ids(&[file.clone()]);
    let old = Timestamp::now() - SignedDuration::from_mins(61);
    file.records
        .push(world.maker.borrow_mut().record(ACCOUNT, REGION, old));
    file.put(&world.aws, "logs");
    assert_eq!(world.read(&mut instance, 1, ""), wanted);
}

#[test]
fn an_interval_that_is_over_ends() {
    let world = World::new(json!({"s3Interval": "2024-03-05T12:00:00Z-2024-03-05T13:00:00Z"}));
    let wanted = world.deliver("20240305T1230Z");
    world.deliver("20240305T1330Z");
    assert_eq!(ids(&world.plugin.events("s3://logs").unwrap()), wanted);
    assert_eq!(world.looks(""), 1);

    // Ten minutes for what comes late, of which few are left.
    let end = Timestamp::now() - SignedDuration::from_secs(10 * 60 - 5);
    let interval = format!(
        "2024-03-05T12:00:00Z-{}",
        end.strftime("%Y-%m-%dT%H:%M:%SZ")
    );
    let world = World::new(json!({"s3Interval": interval}));
    let mut instance = world.open("s3://logs");
    let late = world.deliver(&format_time(end - SignedDuration::from_mins(1)));
    let all = instance.read_all(LIMIT);
    assert_eq!(all.error, None);
    assert_eq!(ids(&all.events), late);
    assert!(world.looks("") > 2);
}

#[test]
fn nothing_there_is_no_error() {
    for (there, url, prefix) in [
        (None, "s3://logs", ""),
        (None, "s3://logs/AWSLogs/", "AWSLogs/"),
        (Some("else.txt"), "s3://logs", ""),
    ] {
        let world = World::new(json!({}));
        if let Some(key) = there {
            world.aws.put("logs", key, b"x");
        }
        let mut instance = world.open(url);
        assert!(world.read(&mut instance, 0, prefix).is_empty());
        let wanted = world.deliver("20240305T1200Z");
        assert_eq!(world.read(&mut instance, 2, prefix), wanted);
        let said = world.log().contains("nothing under s3://logs");
        assert_eq!(said, there.is_none(), "{}", world.log());
    }
    // A bucket that isn't there, is.
    let world = World::new(json!({}));
    let error = world.plugin.open("s3://other").err().unwrap().to_string();
    assert!(error.contains("NoSuchBucket"), "{error}");
}

#[test]
fn what_may_pass_is_waited_for() {
    // More often than a bucket that is read once would be asked.
    let times = 24;
    let wait = |op: Op, fault: Fault, words: &str| {
        let world = World::new(json!({}));
        let mut wanted = world.deliver("20240305T1200Z");
        let mut instance = world.open("s3://logs");
        let mut seen = world.read(&mut instance, 2, "");
        let asked = world.aws.log_of(op).len();
        world
            .aws
            .fault_times(times, move |request| request.op == op, fault);
        wanted.extend(world.deliver("20240305T1205Z"));
        seen.extend(world.read(&mut instance, 2, ""));
        assert_eq!(seen, wanted);
        assert!(world.aws.log_of(op).len() > asked + times);
        let log = world.log();
        assert!(
            log.contains(words) && log.contains("it is tried again and again"),
            "{log}"
        );
        assert_eq!(world.plugin.metrics().unwrap()["files_failed"], 0);
    };
    thread::scope(|scope| {
        scope.spawn(|| wait(Op::ListObjects, Fault::slow_down(), "(SlowDown)"));
        scope.spawn(|| wait(Op::ListObjects, Fault::Reset, "can't reach it"));
        let internal = Fault::error(500, "InternalError", "We encountered an internal error.");
        scope.spawn(|| wait(Op::GetObject, internal, "(InternalError)"));
    });
}

#[test]
fn what_will_not_pass_ends_it() {
    for (status, code, words) in [
        (403, "AccessDenied", "s3:ListBucket"),
        (404, "NoSuchBucket", "there is no such bucket"),
    ] {
        let world = World::new(json!({}));
        world.deliver("20240305T1200Z");
        let now = Arc::new(AtomicBool::new(false));
        let when = Arc::clone(&now);
        world.aws.fault(
            move |request| request.op == Op::ListObjects && when.load(Ordering::Relaxed),
            Fault::error(status, code, "no"),
        );
        let mut instance = world.open("s3://logs");
        world.read(&mut instance, 2, "");
        now.store(true, Ordering::Relaxed);
        let error = world.error(&mut instance);
        assert!(
            error.contains("listing s3://logs/") && error.contains(words),
            "{error}"
        );
    }
}

#[test]
fn credentials_that_expire_are_found_anew_or_named() {
    let world = World::new(json!({}));
    world.deliver("20240305T1200Z");
    let keys = [world.aws.issue(), world.aws.issue()];
    world.home.log_in(&keys[0]);
    let mut instance = world.open("s3://logs");
    world.read(&mut instance, 2, "");
    world.home.log_in(&keys[1]);
    world.aws.expire(&keys[0].access_key);
    let wanted = world.deliver("20240305T1205Z");
    assert_eq!(world.read(&mut instance, 2, ""), wanted);
    world.aws.expire(&keys[1].access_key);
    let error = world.error(&mut instance);
    assert!(error.contains("the credentials have expired"), "{error}");
}

#[test]
fn a_close_does_not_wait_for_the_next_look() {
    let world = World::new(json!({"s3PollInterval": 3600}));
    world.deliver("20240305T1200Z");
    let mut instance = world.open("s3://logs");
    let all = instance.read_while(LIMIT, |all| all.len() < 2);
    assert_eq!(all.error, None);
    for _ in 0..5 {
        assert_eq!(instance.next_batch().status, Status::Timeout);
    }
    assert_eq!(world.looks(""), 1);
    drop(instance);
    // Nor for a look that gets no answer.
    let world = World::new(json!({}));
    let mut instance = world.open("s3://logs");
    world
        .aws
        .fault(|request| request.op == Op::ListObjects, Fault::Stall);
    let looks = world.looks("");
    instance.read_while(LIMIT, |_| world.looks("") < looks + 1);
    drop(instance);
}

#[test]
fn random_deliveries() {
    // They mostly wait.
    thread::scope(|scope| {
        for seed in 0..6 {
            scope.spawn(move || random_delivery(seed));
        }
    });
}

fn random_delivery(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::new(json!({"s3DownloadConcurrency": random.u32(1..8)}));
    world.aws.page(random.i32(2..20));
    let accounts = ["111122223333", "444455556666", "777788889999"];
    let regions = ["eu-west-1", "us-east-1"];
    // In the order of their times, over a year's end, each with a delay of its own.
    let mut time = parse_time("20241231T2200Z");
    let mut files: Vec<(Timestamp, String, LogFile)> = vec![];
    for n in 0..150 {
        time += SignedDuration::from_secs(random.i64(0..180));
        let (account, region) = (accounts[random.usize(..3)], regions[random.usize(..2)]);
        let late = SignedDuration::from_mins(random.i64(0..50));
        let mut file = world
            .maker
            .borrow_mut()
            .file(account, region, &format_time(time), 1);
        if random.u8(..8) == 0 {
            file.kind = "CloudTrail-Insight".into();
        }
        let key = match random.u8(..12) {
            0 => format!("flat/{}.json.gz", random.u32(..)),
            1 => format!("p{n}.json"),
            2 => file.org_key("", "o-abcdefghij"),
            _ => file.key(""),
        };
        files.push((time + late, key, file));
    }
    files.sort_by_key(|(delivered, ..)| *delivered);
    let wanted: BTreeSet<String> = files
        .iter()
        .flat_map(|(_, _, file)| trail::ids(std::slice::from_ref(file)))
        .collect();
    let there = files.len() / 3;
    for (_, key, file) in files.drain(..there) {
        world.aws.put("logs", &key, &file.gz());
    }
    let mut instance = world.open("s3://logs");
    let mut seen = thread::scope(|scope| {
        let aws = &world.aws;
        scope.spawn(move || {
            for (_, key, file) in files {
                thread::sleep(Duration::from_millis(random.u64(..80)));
                aws.put("logs", &key, &file.gz());
            }
        });
        world.read(
            &mut instance,
            wanted.len(),
            &folder(accounts[0], regions[0]),
        )
    });
    // Another look at everything.
    let looks = world.looks("");
    let more = instance.read_while(LIMIT, |_| world.looks("") < looks + 2);
    seen.extend(ids(&more.events));
    assert_eq!(seen.len(), wanted.len(), "seed {seed}");
    assert_eq!(BTreeSet::from_iter(seen), wanted, "seed {seed}");
}

#[test]
fn what_was_lost_is_said_when_it_is_closed() {
    let aws = Aws::start();
    let mut maker = Maker::new(1);
    let mut bad = maker.file(ACCOUNT, REGION, "20240305T1200Z", 1);
    aws.put("logs", &bad.key(""), b"\x1f\x8b no gzip");
    bad.time = "20240305T1205Z".into();
    bad.put(&aws, "logs");
    let seen = Capture::new("s3://logs")
        .aws(&aws)
        .config(json!({"s3Follow": true, "s3PollInterval": 1}))
        .enough(1)
        .run();
    assert_eq!(seen.events.len(), 1);
    assert_eq!(
        seen.stderr.matches("cloudtrail: ").count(),
        1,
        "{}",
        seen.stderr
    );
    assert!(
        seen.stderr.contains("1 event from ") && seen.stderr.contains("; the first: s3://logs/"),
        "{}",
        seen.stderr
    );
}

#[test]
fn a_folder_is_read_once() {
    let folder = TempDir::new().unwrap();
    let mut maker = Maker::new(1);
    let file = maker.file(ACCOUNT, REGION, "20240305T1200Z", 1);
    file.write(folder.path());
    let seen = Capture::new(folder.path().to_str().unwrap())
        .config(json!({"s3Follow": true}))
        .run();
    assert_eq!(
        (seen.error.clone(), seen.ids()),
        (None, trail::ids(&[file]))
    );
    assert!(seen.log().contains("s3Follow has no effect on a folder"));
}
