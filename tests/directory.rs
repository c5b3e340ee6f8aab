//! Trails in folders and files.

use std::{fs, path::Path};

use harness::{
    capture::Capture,
    digest::{Chain, Signer},
    forms::zip,
    host::{Event, Plugin, ids},
    trail::{self, LogFile, Maker, gzip, log_text, sorted, write},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

const ACCOUNTS: [&str; 2] = ["123456789012", "210987654321"];
const REGIONS: [&str; 2] = ["eu-west-1", "us-east-1"];

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// A trail in a folder.
fn trail_in(folder: &Path) -> Vec<LogFile> {
    let files = Maker::new(1).trail(&ACCOUNTS, &REGIONS, "20240305T2350Z", 4, 3);
    for file in &files {
        file.write(folder);
    }
    files
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Reads with this configuration.
fn read(path: &Path, config: Value) -> Vec<Event> {
    let plugin = Plugin::load(&config.to_string());
    plugin.events(text(path)).unwrap()
}

#[test]
fn a_trail_comes_whole_in_order_of_delivery() {
    let folder = TempDir::new().unwrap();
    let files = trail_in(folder.path());
    let events = read(folder.path(), json!({}));
    let files = trail::in_order(&files);
    assert_eq!(ids(&events), trail::ids(&files));
    for (event, wanted) in events.iter().zip(trail::records(&files)) {
        assert_eq!(event.payload(), wanted.json.as_bytes());
        assert_eq!(event.ts(), wanted.ts());
    }
}

#[test]
fn any_folder_of_a_trail_can_be_opened_and_any_file() {
    let folder = TempDir::new().unwrap();
    let files = trail_in(folder.path());
    let file = &files[0];
    let key = file.key("");
    for (end, _) in key.match_indices('/').chain([(key.len(), "")]) {
        let below: Vec<LogFile> = files
            .iter()
            .filter(|file| file.key("").starts_with(&key[..end]))
            .cloned()
            .collect();
        for slash in ["", "/"] {
            if end == key.len() && slash == "/" {
                continue;
            }
            let path = folder.path().join(format!("{}{slash}", &key[..end]));
            assert_eq!(
                sorted(ids(&read(&path, json!({})))),
                sorted(trail::ids(&below)),
                "{path:?}"
            );
        }
    }
}

#[test]
fn a_path_may_be_a_file_url_have_spaces_or_begin_at_home() {
    let folder = TempDir::new().unwrap();
    let files = trail_in(&folder.path().join("my trail ü"));
    let wanted = sorted(trail::ids(&files));
    let plain = text(folder.path());
    for params in [
        format!("{plain}/my trail ü"),
        format!("  {plain}/my trail ü "),
        format!("file://{plain}/my%20trail%20%C3%BC"),
        format!("file://localhost{plain}/my%20trail%20%C3%BC/"),
    ] {
        let plugin = Plugin::load("");
        assert_eq!(
            sorted(ids(&plugin.events(&params).unwrap())),
            wanted,
            "{params}"
        );
    }
    let capture = Capture::new("~/trail");
    let files = trail_in(&capture.home().join("trail"));
    assert_eq!(sorted(ids(&capture.events())), sorted(trail::ids(&files)));
}

#[test]
fn gzip_is_recognised_by_its_content() {
    let folder = TempDir::new().unwrap();
    let mut maker = Maker::new(2);
    let [zipped, plain, upper] =
        [(); 3].map(|()| maker.file(ACCOUNTS[0], REGIONS[0], "20240305T1205Z", 2));
    write(&folder.path().join("zipped.json"), &zipped.gz());
    write(&folder.path().join("plain.json.gz"), &plain.json());
    write(&folder.path().join("UPPER.JSON.GZ"), &upper.gz());
    let events = read(folder.path(), json!({}));
    assert_eq!(
        sorted(ids(&events)),
        sorted(trail::ids(&[zipped, plain, upper]))
    );
}

#[test]
fn what_holds_no_events_is_passed_over_and_counted() {
    let capture = Capture::new("~/trail").config(json!({}));
    let folder = capture.home().join("trail");
    let files = trail_in(&folder);
    let bystanders = Maker::new(3).bystanders(ACCOUNTS[0], REGIONS[0]);
    for (key, body) in &bystanders {
        write(&folder.join(key), body);
    }
    write(&folder.join("README.txt"), b"notes");
    let insights = Maker::new(4).insight_file(ACCOUNTS[0], REGIONS[0], "20240305T2350Z");
    insights.write(&folder);
    let mut network = Maker::new(5).file(ACCOUNTS[0], REGIONS[0], "20240305T2350Z", 2);
    network.kind = "CloudTrail-NetworkActivity".into();
    network.write(&folder);
    let seen = capture.run();
    assert_eq!(seen.error, None);
    let wanted = [trail::ids(&files), trail::ids(&[insights, network])].concat();
    assert_eq!(sorted(seen.ids()), sorted(wanted));
    // A run that lost nothing says nothing to stderr.
    assert_eq!(seen.stderr, "");
    let line = seen
        .logs
        .iter()
        .find(|line| line.message.contains("passed over"))
        .expect("no count of what was passed over");
    // All of them and the README, but not the digest, which belongs there.
    assert!(
        line.message
            .contains(&format!("passed over {} ", bystanders.len())),
        "{line:?}"
    );
}

#[test]
fn digests_beside_log_files_are_not_mentioned() {
    let folder = TempDir::new().unwrap();
    let files = trail_in(folder.path());
    let mut chain = Chain::new("logs", ACCOUNTS[0], REGIONS[0]);
    for start in ["20240305T2200Z", "20240305T2300Z"] {
        chain
            .digest(&Signer::one(), start, &[])
            .write(folder.path());
    }
    let capture = |folder: &Path| Capture::new(folder.to_str().unwrap());
    let seen = capture(folder.path()).run();
    assert_eq!((&seen.error, seen.stderr.as_str()), (&None, ""));
    assert_eq!(sorted(seen.ids()), sorted(trail::ids(&files)));
    assert_eq!(seen.metrics["files_passed_over"], 0);
    assert!(!seen.log().contains("passed over"), "{}", seen.log());
    // Nothing but digests is a mistake of the user's.
    let digests = format!("AWSLogs/{}/CloudTrail-Digest", ACCOUNTS[0]);
    let error = capture(&folder.path().join(digests)).open_error();
    assert!(error.contains("but 2 files of another kind"), "{error}");
}

#[test]
fn interval_and_accounts_apply_to_folders() {
    let folder = TempDir::new().unwrap();
    let files = trail_in(folder.path());
    // Delivered at 23:50, 23:55, 00:00 and 00:05.
    let delivered = |from: &str, to: &str| -> Vec<LogFile> {
        files
            .iter()
            .filter(|file| (from..=to).contains(&file.time.as_str()))
            .cloned()
            .collect()
    };
    let day = "20240305T2355Z";
    for (interval, wanted) in [
        ("2024-03-05T23:55:00Z", delivered(day, "9")),
        ("2024-03-05T23:55:59Z", delivered(day, "9")),
        ("2024-03-05T23:56:00Z", delivered("20240306T0000Z", "9")),
        (
            "2024-03-05T23:55:00Z-2024-03-06T00:00:00Z",
            delivered(day, "20240306T0000Z"),
        ),
        (
            " 2024-03-05T23:55:00Z - 2024-03-06T00:00:00Z ",
            delivered(day, "20240306T0000Z"),
        ),
        (
            "2024-03-05T23:54:00Z-2024-03-05T23:59:59Z",
            delivered(day, day),
        ),
        (
            "2024-03-05T23:55:00Z-2024-03-05T23:55:00Z",
            delivered(day, day),
        ),
        ("2024-03-05T23:54:00Z-1d", delivered(day, "9")),
        ("", files.clone()),
    ] {
        for below in [
            "",
            "AWSLogs",
            "AWSLogs/123456789012/CloudTrail/eu-west-1/2024/03",
        ] {
            let wanted: Vec<LogFile> = wanted
                .iter()
                .filter(|file| file.key("").starts_with(below))
                .cloned()
                .collect();
            let events = read(&folder.path().join(below), json!({"s3Interval": interval}));
            assert_eq!(
                sorted(ids(&events)),
                sorted(trail::ids(&wanted)),
                "{interval} in {below:?}"
            );
        }
    }
    for (list, accounts) in [
        ("123456789012", &ACCOUNTS[..1]),
        (" 210987654321 , 123456789012 ", &ACCOUNTS[..]),
        ("210987654321", &ACCOUNTS[1..]),
        ("", &ACCOUNTS[..]),
    ] {
        let wanted: Vec<LogFile> = files
            .iter()
            .filter(|file| accounts.contains(&file.account.as_str()))
            .cloned()
            .collect();
        let events = read(folder.path(), json!({"s3AccountList": list}));
        assert_eq!(
            sorted(ids(&events)),
            sorted(trail::ids(&wanted)),
            "{list:?}"
        );
    }
}

#[test]
fn intervals_may_count_back_from_now() {
    let folder = TempDir::new().unwrap();
    let mut maker = Maker::new(6);
    let now = Timestamp::now();
    let files: Vec<LogFile> = [1, 30, 60, 100, 140, 400]
        .iter()
        .map(|hours| {
            maker.file(
                ACCOUNTS[0],
                REGIONS[0],
                &trail::format_time(now - SignedDuration::from_hours(*hours)),
                1,
            )
        })
        .collect();
    for file in &files {
        file.write(folder.path());
    }
    let date = |hours| {
        (now - SignedDuration::from_hours(hours))
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    };
    for (interval, wanted) in [
        ("5d".to_owned(), &files[..4]),
        ("5d-2d".to_owned(), &files[2..4]),
        ("36h".to_owned(), &files[..2]),
        ("90m".to_owned(), &files[..1]),
        ("1w".to_owned(), &files[..5]),
        (format!("5d-{}", date(48)), &files[2..4]),
        (format!("{}-2d", date(120)), &files[2..4]),
    ] {
        let events = read(folder.path(), json!({"s3Interval": interval}));
        assert_eq!(
            sorted(ids(&events)),
            sorted(trail::ids(wanted)),
            "{interval}"
        );
    }
}

#[test]
fn an_interval_that_holds_nothing_is_an_end_that_says_so() {
    let capture = Capture::new("~/trail")
        .config(json!({"s3Interval": "2020-01-01T00:00:00Z-2020-01-02T00:00:00Z"}));
    trail_in(&capture.home().join("trail"));
    let seen = capture.run();
    assert_eq!((&seen.error, seen.events.len()), (&None, 0));
    for words in [seen.log(), seen.stderr] {
        assert!(words.contains("holds nothing of "), "{words}");
    }
}

/// Names that follow no layout come in the order of the names.
#[test]
fn other_names_are_read_too() {
    let folder = TempDir::new().unwrap();
    let mut maker = Maker::new(7);
    let files: Vec<LogFile> = (0..3)
        .map(|_| maker.file(ACCOUNTS[0], REGIONS[0], "20240305T1205Z", 2))
        .collect();
    let time = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
    for (name, file) in ["a/1.json", "a/2.json", "b.json"].iter().zip(&files) {
        let path = write(&folder.path().join(name), &file.json());
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_times(time)
            .unwrap();
    }
    assert_eq!(ids(&read(folder.path(), json!({}))), trail::ids(&files));
}

/// A log file may hold records in any order.
#[test]
fn records_of_a_file_come_in_the_order_of_their_time() {
    let folder = TempDir::new().unwrap();
    let file = Maker::new(8).file(ACCOUNTS[0], REGIONS[0], "20240305T1205Z", 50);
    let mut shuffled: Vec<&str> = file
        .records
        .iter()
        .map(|record| record.json.as_str())
        .collect();
    fastrand::Rng::with_seed(9).shuffle(&mut shuffled);
    write(
        &folder.path().join(file.name()),
        &gzip(&log_text(&shuffled)),
    );
    assert_eq!(ids(&read(folder.path(), json!({}))), trail::ids(&[file]));
}

/// Whatever is not shown did not happen: what may hold events and can't be looked into is named.
#[test]
fn what_can_not_be_looked_into_is_named() {
    let maker = || Maker::new(9).file(ACCOUNTS[0], REGIONS[0], "20240305T1205Z", 3);
    let mut damaged = maker().gz();
    // A block of a kind that there is not.
    damaged[10] |= 0b110;
    let mut encrypted = zip(&[("trail.log".to_owned(), maker().json())]);
    // The flag, in the file's own header and in the directory.
    for (mark, place) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        let at = encrypted
            .windows(4)
            .rposition(|bytes| bytes == mark)
            .unwrap();
        encrypted[at + place] |= 1;
    }
    let compressed = [b"\x1f\x9d\x90".to_vec(), maker().json()].concat();
    for (name, bytes, words) in [
        ("backup.gz", &damaged, "backup.gz"),
        ("evidence-2024.03", &encrypted, "is encrypted"),
        ("events.json.Z", &compressed, "compressed by compress"),
    ] {
        let capture = Capture::new("~/trail");
        let folder = capture.home().join("trail");
        let files = trail_in(&folder);
        write(&folder.join(name), bytes);
        let seen = capture.run();
        assert_eq!(
            sorted(seen.ids()),
            sorted(trail::ids(&files)),
            "{name} {}",
            seen.stderr
        );
        assert!(seen.stderr.contains(words), "{name}: {}", seen.stderr);
    }
}

#[test]
#[cfg(unix)]
fn a_file_of_any_name_that_its_user_may_not_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let capture = Capture::new("~/trail").bound_by_permissions();
    let folder = capture.home().join("trail");
    trail_in(&folder);
    let export = folder.join("export");
    write(&export, b"{}");
    std::fs::set_permissions(&export, std::fs::Permissions::from_mode(0o000)).unwrap();
    let seen = capture.run();
    assert!(seen.stderr.contains("export: "), "{}", seen.stderr);
}

#[test]
fn exports_are_found_whatever_they_are_called() {
    let mut maker = Maker::new(9);
    let [archived, noted] =
        [(); 2].map(|()| maker.file(ACCOUNTS[0], REGIONS[0], "20240305T1205Z", 3));
    let lines = noted.records.iter().map(|record| record.json.as_str());
    let noted_text = format!(
        "# Of the incident\n{}\n",
        lines.collect::<Vec<_>>().join("\n")
    );
    let folder = TempDir::new().unwrap();
    write(
        &folder.path().join("trail.zip.bak"),
        &zip(&[(archived.key(""), archived.gz())]),
    );
    write(&folder.path().join("notes.txt"), noted_text.as_bytes());
    let found = sorted(ids(&read(folder.path(), json!({}))));
    assert_eq!(found, sorted(trail::ids(&[archived, noted])));
}

/// Somebody has put it into a folder of an account, where CloudTrail puts none.
#[test]
fn a_log_file_of_a_trail_is_read_wherever_it_lies() {
    let file = Maker::new(9).file(ACCOUNTS[0], REGIONS[0], "20240305T1205Z", 3);
    let key = file.key("");
    let name = key.rsplit('/').next().unwrap();
    let folder = TempDir::new().unwrap();
    let moved = format!("AWSLogs/{}/incident/{name}", ACCOUNTS[0]);
    write(&folder.path().join(moved), &file.gz());
    assert_eq!(ids(&read(folder.path(), json!({}))), trail::ids(&[file]));
}

#[test]
fn a_broken_record_among_lines_is_counted_wherever_it_is_broken() {
    let file = Maker::new(9).file(ACCOUNTS[0], REGIONS[0], "20240305T1205Z", 3);
    let [first, broken, last] = file.records.try_into().ok().unwrap();
    let at = broken.json.find(',').unwrap();
    let broken = format!("{};{}", &broken.json[..at], &broken.json[at + 1..]);
    let wrapped = |text: &str| json!({"CloudTrailEvent": text}).to_string();
    for lines in [
        [first.json.clone(), broken.clone(), last.json.clone()],
        [wrapped(&first.json), wrapped(&broken), wrapped(&last.json)],
    ] {
        let capture = Capture::new("~/trail");
        let folder = capture.home().join("trail");
        write(&folder.join("events.jsonl"), lines.join("\n").as_bytes());
        let seen = capture.run();
        assert_eq!(seen.events.len(), 2);
        assert!(
            seen.stderr.contains("1 record could not be read"),
            "{}",
            seen.stderr
        );
    }
}

#[test]
fn an_archive_is_not_chosen_by_the_time_and_account_in_its_own_name() {
    let file = Maker::new(9).file(ACCOUNTS[0], REGIONS[0], "20240305T1205Z", 3);
    let folder = TempDir::new().unwrap();
    let archive = zip(&[(file.key(""), file.gz())]);
    write(
        &folder.path().join("444455556666_backup_20240306T0300Z.zip"),
        &archive,
    );
    let config = json!({"s3Interval": "2024-03-05-2024-03-05", "s3AccountList": ACCOUNTS[0]});
    assert_eq!(ids(&read(folder.path(), config)), trail::ids(&[file]));
}

#[test]
fn an_event_whose_time_can_not_be_read_is_not_taken_for_one_of_another_day() {
    let folder = TempDir::new().unwrap();
    let event = |id: &str, time: &str| json!({"eventVersion": "1.08", "eventID": id, "eventTime": time, "eventName": "x"});
    let records = [
        event("in", "2024-03-05T12:00:00Z"),
        event("out", "2024-03-06T12:00:00Z"),
        event("odd", "2024-03-05 12:00:00 UTC"),
    ];
    write(
        &folder.path().join("x.json"),
        json!({"Records": records}).to_string().as_bytes(),
    );
    let config = json!({"s3Interval": "2024-03-05-2024-03-05", "s3IntervalOf": "event"});
    assert_eq!(sorted(ids(&read(folder.path(), config))), ["in", "odd"]);
}

/// Whoever names a file does not write the log.
#[test]
#[cfg(unix)]
fn a_name_with_an_end_of_line_makes_no_line_of_its_own() {
    let capture = Capture::new("~/trail");
    let folder = capture.home().join("trail");
    trail_in(&folder);
    write(
        &folder.join("x\ncloudtrail: all is well\u{1b}[2J.json"),
        b"oops",
    );
    let seen = capture.run();
    let words = r"x\ncloudtrail: all is well\u{1b}[2J.json: ";
    for said in [seen.stderr.clone(), seen.log()] {
        assert!(said.contains(words), "{said}");
        assert!(
            !said
                .lines()
                .any(|line| line.contains("cloudtrail: all is well") && !line.contains(words)),
            "{said}"
        );
    }
    assert_eq!(seen.stderr.lines().count(), 1, "{}", seen.stderr);
}
