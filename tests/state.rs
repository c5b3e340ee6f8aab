//! A state file: over restarts of a host, nothing is lost and hardly anything comes twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use harness::aws::{ACCOUNT, Aws, Fault, Op, REGION};
use harness::capture::Capture;
use harness::home::Home;
use harness::host::{Instance, Plugin, ids};
use harness::trail::{self, LogFile, Maker};
use harness::until;
use jiff::SignedDuration;
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

/// What follows with a state file in this folder.
fn config(folder: &Path) -> Value {
    let path = folder.join("cloudtrail.state");
    json!({"s3Follow": true, "s3PollInterval": 1, "statePath": path})
}

/// A bucket `logs` with so many log files of two events, a minute each; and what they hold.
fn bucket(files: usize) -> (Aws, Vec<LogFile>) {
    let aws = Aws::start();
    aws.put_in(REGION, "logs");
    let mut maker = Maker::new(5);
    let files: Vec<LogFile> = (0..files)
        .map(|n| {
            let time = format!("20240305T{:02}{:02}Z", n / 60, n % 60);
            maker.file(ACCOUNT, REGION, &time, 2)
        })
        .collect();
    files.iter().for_each(|file| file.put(&aws, "logs"));
    (aws, files)
}

/// Reads so many events.
fn read(instance: &mut Instance<'_>, events: usize) -> Vec<String> {
    let read = instance.read_while(LIMIT, |all| all.len() < events);
    assert_eq!(read.error, None);
    // The host comes back, and so has consumed them; that their log file ends may take a moment longer.
    let mut all = ids(&read.events);
    for _ in 0..3 {
        all.extend(ids(&instance.next_batch().events));
    }
    all
}

#[test]
fn a_host_that_is_killed_again_and_again_loses_nothing_and_repeats_only_the_end() {
    let (aws, files) = bucket(600);
    let slowly = Fault::Delay(Duration::from_millis(20));
    aws.fault(|request| request.op == Op::GetObject, slowly);
    let folder = TempDir::new().unwrap();
    let wanted: BTreeSet<String> = trail::ids(&files).into_iter().collect();
    let mut seen = BTreeSet::new();
    let mut before: Vec<String> = Vec::new();
    let mut kills = 0;
    let mut rng = Rng::with_seed(1);
    while seen.len() < wanted.len() {
        assert!(kills < 200, "{} of {} events", seen.len(), wanted.len());
        let mut host = Capture::new("s3://logs")
            .aws(&aws)
            .config(config(folder.path()))
            .config(json!({"s3DownloadConcurrency": 2}))
            .start();
        let gets = aws.log_of(Op::GetObject).len() + rng.usize(1..80);
        until("log files are asked for", || {
            // Where little is left, there are fewer.
            aws.log_of(Op::GetObject).len() >= gets || rng.u32(..200) == 0
        });
        std::thread::sleep(Duration::from_millis(rng.u64(..1_200)));
        host.kill();
        kills += 1;
        let events = host.wait().ids();
        let (again, new): (Vec<String>, Vec<String>) =
            events.into_iter().partition(|id| seen.contains(id));
        // One that is killed while it repeats comes to no end.
        let is_end = match new.is_empty() {
            false => before.ends_with(&again),
            true => again.is_empty() || before.windows(again.len()).any(|part| part == again),
        };
        assert!(is_end, "{again:?} is not the end of {before:?}");
        seen.extend(new.iter().cloned());
        before = match new.is_empty() {
            true => before,
            false => again.into_iter().chain(new).collect(),
        };
    }
    assert_eq!(seen, wanted);
    assert!(kills > 5, "{kills} kills");
}

#[test]
fn two_hosts_do_not_share_a_state() {
    let (aws, files) = bucket(3);
    let folder = TempDir::new().unwrap();
    let home = Home::make();
    let plugin = Plugin::load(&home.config(&aws.endpoint(), config(folder.path())));
    let mut host = Capture::new("s3://logs")
        .aws(&aws)
        .config(config(folder.path()))
        .start();
    until("all are asked for", || aws.log_of(Op::GetObject).len() == 3);
    let error = plugin.open("s3://logs").err().unwrap().to_string();
    let who = format!("in use by another capture (process {}, since 2", host.id());
    assert!(
        error.contains("statePath: ") && error.contains(&who),
        "{error}"
    );
    // One that ends without a word lets go of it.
    host.kill();
    host.wait();
    let mut instance = plugin.open("s3://logs").unwrap();
    let late = Maker::new(6).file(ACCOUNT, REGION, "20240305T1200Z", 2);
    late.put(&aws, "logs");
    let got = instance.read_while(LIMIT, |all| {
        !ids(all).ends_with(&trail::ids(std::slice::from_ref(&late)))
    });
    let got: BTreeSet<String> = ids(&got.events).into_iter().collect();
    let all: BTreeSet<String> = trail::ids(&files)
        .into_iter()
        .chain(trail::ids(&[late]))
        .collect();
    assert!(got.is_subset(&all));
}

/// Falco makes a second plugin object on SIGHUP, while the first captures, and opens it when that one is closed.
#[test]
fn a_second_plugin_object_takes_over_from_the_first() {
    let (aws, files) = bucket(4);
    let folder = TempDir::new().unwrap();
    let home = Home::make();
    let text = home.config(&aws.endpoint(), config(folder.path()));
    let first = Plugin::load(&text);
    let mut instance = first.open("s3://logs").unwrap();
    assert_eq!(read(&mut instance, 8), trail::ids(&files));
    let second = Plugin::load(&text);
    drop(instance);
    drop(first);
    let mut instance = second.open("s3://logs").unwrap();
    let next = Maker::new(6).file(ACCOUNT, REGION, "20240305T1200Z", 2);
    next.put(&aws, "logs");
    assert_eq!(read(&mut instance, 2), trail::ids(&[next]));
    let log = second.log();
    let goes_on = "statePath: goes on where the capture before ended: log files up to 2024-03-05T00:03:00Z are consumed";
    assert!(log.contains(goes_on), "{log}");
}

#[test]
fn a_log_file_that_is_denied_is_read_once_it_may_be() {
    let (aws, files) = bucket(3);
    let folder = TempDir::new().unwrap();
    let home = Home::make();
    let plugin = Plugin::load(&home.config(&aws.endpoint(), config(folder.path())));
    let key = files[1].key("");
    // What is refused is asked for once more, by the SDK.
    aws.fault_times(
        2,
        move |request| request.op == Op::GetObject && request.key == key,
        Fault::denied(),
    );
    let mut instance = plugin.open("s3://logs").unwrap();
    let [first, second, third] =
        [&files[0], &files[1], &files[2]].map(|file| trail::ids(std::slice::from_ref(file)));
    assert_eq!(read(&mut instance, 4), [first, third].concat());
    drop(instance);
    let mut instance = plugin.open("s3://logs").unwrap();
    assert_eq!(read(&mut instance, 2), second);
    assert!(
        plugin.log().contains("1 log file that could not be read"),
        "{}",
        plugin.log()
    );
}

#[test]
fn a_state_that_can_t_be_used_is_an_error_of_the_dialog() {
    let (aws, _) = bucket(1);
    let folder = TempDir::new().unwrap();
    let home = Home::make();
    let error = |path: &Path| {
        let config = json!({"s3Follow": true, "statePath": path});
        let plugin = Plugin::load(&home.config(&aws.endpoint(), config));
        plugin.open("s3://logs").err().unwrap().to_string()
    };
    let text = error(&folder.path().join("not/there"));
    assert!(text.contains("not does not exist: create it"), "{text}");
    let other = folder.path().join("notes.txt");
    fs::write(&other, "milk, bread").unwrap();
    let text = error(&other);
    assert!(
        text.contains("is damaged or not a state file of this plugin"),
        "{text}"
    );
    assert_eq!(fs::read_to_string(&other).unwrap(), "milk, bread");
    // Init looks at no file.
    Plugin::load(&json!({"statePath": other}).to_string());
}

#[test]
fn a_start_that_fails_counts_for_nothing() {
    let aws = Aws::start();
    let folder = TempDir::new().unwrap();
    let home = Home::make();
    let plugin = Plugin::load(&home.config(&aws.endpoint(), config(folder.path())));
    assert!(plugin.open("s3://logs").is_err(), "there is no such bucket");
    assert!(!folder.path().join("cloudtrail.state").exists());
}

#[test]
fn log_files_outside_of_any_layout_are_consumed_too() {
    let (aws, _) = bucket(0);
    let files: Vec<LogFile> = (0..5)
        .map(|n| {
            let file = Maker::new(n).file(ACCOUNT, REGION, "20240305T1200Z", 2);
            aws.put("logs", &format!("x/{n}.json.gz"), &file.gz());
            file
        })
        .collect();
    let folder = TempDir::new().unwrap();
    let home = Home::make();
    let plugin = Plugin::load(&home.config(&aws.endpoint(), config(folder.path())));
    let seen = read(&mut plugin.open("s3://logs").unwrap(), 10);
    assert_eq!(trail::sorted(seen), trail::sorted(trail::ids(&files)));
    let mut instance = plugin.open("s3://logs").unwrap();
    let more = Maker::new(9).file(ACCOUNT, REGION, "20240305T1200Z", 1);
    aws.put("logs", "x/more.json.gz", &more.gz());
    assert_eq!(read(&mut instance, 1), trail::ids(&[more]));
}

#[test]
fn a_state_without_effect_is_said() {
    let (aws, _) = bucket(1);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    let seen = Capture::new("s3://logs")
        .aws(&aws)
        .config(json!({"statePath": path}))
        .run();
    assert!(
        seen.log()
            .contains("statePath has no effect without s3Follow"),
        "{}",
        seen.log()
    );
    assert!(!path.exists());
}

#[test]
fn an_event_history_goes_on_where_it_was() {
    let aws = Aws::start();
    let folder = TempDir::new().unwrap();
    let home = Home::make();
    let mut config = config(folder.path());
    config["s3Interval"] = "30m".into();
    let plugin = Plugin::load(&home.config(&aws.endpoint(), config));
    let mut maker = Maker::new(5);
    for seconds in [600, 0, 300] {
        let time = jiff::Timestamp::now() - SignedDuration::from_secs(seconds);
        let record = maker.record(ACCOUNT, REGION, time);
        let id = record.id.clone();
        aws.history().add(REGION, &[record]);
        let mut instance = plugin.open("cloudtrail://us-east-1").unwrap();
        assert_eq!(read(&mut instance, 1), [id]);
    }
    let log = plugin.log();
    assert!(
        log.contains("statePath: goes on where the capture before ended: events up to 2"),
        "{log}"
    );
}
