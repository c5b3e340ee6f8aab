//! Archives of copied trails, whole and broken, in folders and buckets.

use harness::{
    aws::Aws,
    capture::{Capture, Seen},
    forms::{Files, archives, zip},
    host::{Plugin, ids},
    trail::{self, LogFile, Maker, gzip, sorted, write},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

const ACCOUNTS: [&str; 2] = ["123456789012", "210987654321"];

fn make() -> Vec<LogFile> {
    Maker::new(1).trail(
        &ACCOUNTS,
        &["eu-west-1", "us-east-1"],
        "20240305T2355Z",
        3,
        4,
    )
}

/// A trail as it was copied, in any order.
fn copied(files: &[LogFile]) -> Files {
    let mut copied: Files = files
        .iter()
        .enumerate()
        .map(|(number, file)| match number % 2 {
            0 => (file.key("copy/"), file.gz()),
            _ => (file.key("copy/").replace(".gz", ""), file.json()),
        })
        .collect();
    fastrand::Rng::with_seed(1).shuffle(&mut copied);
    copied
}

/// The records of log files in the order in which a folder's would come.
fn by_delivery(files: &[LogFile]) -> Vec<String> {
    let mut files: Vec<&LogFile> = files.iter().collect();
    files.sort_by_key(|file| (file.time.clone(), file.key("")));
    files
        .into_iter()
        .flat_map(|file| trail::ids(std::slice::from_ref(file)))
        .collect()
}

fn of_file(name: &str, bytes: &[u8], config: Value) -> Seen {
    let capture = Capture::new("~/trail").config(config);
    write(&capture.home().join("trail").join(name), bytes);
    capture.run()
}

fn assert_books(seen: &Seen) {
    let metric = |name: &str| seen.metrics[name];
    assert_eq!(
        metric("files_listed"),
        metric("files_fetched") + metric("files_failed") + metric("archives_read"),
        "{:#?}",
        seen.metrics
    );
    assert_eq!(metric("records_handed_over"), seen.events.len() as u64);
}

#[test]
fn a_copied_trail_is_read_from_every_kind_of_archive() {
    let files = make();
    let mut copy = copied(&files);
    copy.push(("copy/README.txt".into(), b"notes".to_vec()));
    copy.push(("__MACOSX/copy/._x.json".into(), b"\0\x05\x16\x07".to_vec()));
    copy.extend(Maker::new(3).bystanders(ACCOUNTS[0], "eu-west-1"));
    let others = copy.len() - files.len();
    let aws = Aws::start();
    for (ending, bytes) in archives(&copy) {
        let name = format!("copy.{ending}");
        aws.put("copies", &name, &bytes);
        for seen in [
            of_file(&name, &bytes, json!({})),
            // Whatever it is called.
            of_file("copy", &bytes, json!({})),
            Capture::new(format!("s3://copies/{name}")).aws(&aws).run(),
        ] {
            assert_eq!(seen.error, None, "{name}");
            assert_eq!(seen.ids(), by_delivery(&files), "{name}: {}", seen.words());
            assert_eq!(seen.stderr, "", "{name}");
            assert_books(&seen);
            for (metric, value) in [
                ("archives_read", 1),
                ("files_fetched", files.len()),
                ("files_failed", 0),
                ("files_passed_over", others),
                ("bytes_fetched", bytes.len()),
            ] {
                assert_eq!(seen.metrics[metric], value as u64, "{metric} of {name}");
            }
            let line = format!("from {} log files, with those of 1 archive", files.len());
            assert!(seen.log().contains(&line), "{}", seen.log());
        }
    }
}

#[test]
fn archives_lie_among_log_files() {
    let files = make();
    let (alone, copy) = files.split_at(3);
    let capture = Capture::new("~/trail");
    let folder = capture.home().join("trail");
    for file in alone {
        file.write(&folder);
    }
    write(&folder.join("old/copy.zip"), &zip(&copied(copy)));
    write(
        &folder.join("old/report.docx"),
        &zip(&[("word/document.xml".into(), vec![])]),
    );
    let seen = capture.run();
    assert_eq!(seen.error, None);
    assert_eq!(sorted(seen.ids()), sorted(trail::ids(&files)));
    assert_eq!(seen.metrics["files_passed_over"], 1);
    assert_books(&seen);
}

#[test]
fn interval_and_accounts_apply_to_the_log_files_of_an_archive() {
    let files = make();
    let start = "2024-03-06T00:00:00Z";
    let aws = Aws::start();
    for (ending, bytes) in archives(&copied(&files)) {
        let name = format!("copy.{ending}");
        let config = json!({"s3Interval": start, "s3AccountList": ACCOUNTS[0]});
        let mut ended = config.clone();
        ended["s3Interval"] = format!("{start}-2024-03-07T00:00:00Z").into();
        aws.put("copies", &name, &bytes);
        let of_bucket = Capture::new(format!("s3://copies/{name}"))
            .aws(&aws)
            .config(ended);
        let seen = of_file(&name, &bytes, config);
        assert_eq!(of_bucket.run().ids(), seen.ids(), "{name}");
        let wanted: Vec<LogFile> = files
            .iter()
            .filter(|file| file.account == ACCOUNTS[0] && *file.time >= *"20240306T0000Z")
            .cloned()
            .collect();
        assert!(!wanted.is_empty() && wanted.len() < files.len());
        assert_eq!(seen.ids(), by_delivery(&wanted), "{name}");
        assert_eq!(
            seen.metrics["files_filtered"],
            (files.len() - wanted.len()) as u64
        );
        assert_books(&seen);
        // None at all is no error.
        let seen = of_file(&name, &bytes, json!({"s3AccountList": "111111111111"}));
        assert_eq!((&seen.error, seen.events.len()), (&None, 0));
        let words = "12 log files outside s3Interval, s3AccountList or s3RegionList";
        assert!(seen.stderr.contains(words), "{}", seen.stderr);
    }
}

#[test]
fn exports_of_any_form_may_be_in_an_archive() {
    let file = Maker::new(5).file(ACCOUNTS[0], "eu-west-1", "20240305T1205Z", 6);
    let records: Vec<&str> = file.records.iter().map(|record| &*record.json).collect();
    let export: String = records[2..4]
        .iter()
        .map(|record| format!("2024-03-05T12:00:00.123Z {record}\n"))
        .collect();
    let lookups =
        json!({"Events": [{"CloudTrailEvent": records[4]}, {"CloudTrailEvent": records[5]}]});
    let files = vec![
        ("a.jsonl".into(), records[..2].join("\n").into_bytes()),
        ("b/000000.gz".into(), gzip(export.as_bytes())),
        ("c".into(), lookups.to_string().into_bytes()),
        ("d".into(), b"something else".to_vec()),
    ];
    for (ending, bytes) in archives(&files) {
        let seen = of_file(&format!("x.{ending}"), &bytes, json!({}));
        assert_eq!(
            seen.ids(),
            trail::ids(std::slice::from_ref(&file)),
            "{ending}: {}",
            seen.words()
        );
        assert_eq!(seen.metrics["files_passed_over"], 1);
        assert_books(&seen);
    }
}

/// What has no time of its own has that of its log file, as in a folder.
#[test]
fn a_record_without_a_time_has_that_of_its_name() {
    let record = r#"{"eventVersion":"1.08","eventID":"1"}"#;
    let name = format!("{}_CloudTrail_us-east-1_20240305T1205Z_x.json", ACCOUNTS[0]);
    for (ending, bytes) in archives(&[(name, record.as_bytes().to_vec())]) {
        let seen = of_file(&format!("x.{ending}"), &bytes, json!({}));
        assert_eq!(seen.events[0].ts(), 1_709_640_300_000_000_000, "{ending}");
    }
}

/// Some of its files are lost: those are named, and the rest is there.
fn assert_loses(name: &str, bytes: &[u8], files: &[LogFile], words: &[&str]) -> Seen {
    let seen = of_file(name, bytes, json!({}));
    assert_eq!(
        sorted(seen.ids()),
        sorted(trail::ids(files)),
        "{name}: {}",
        seen.words()
    );
    for word in words {
        assert!(
            seen.stderr.contains(word),
            "{word} of {name}: {}",
            seen.stderr
        );
    }
    assert_books(&seen);
    seen
}

#[test]
fn what_is_before_the_end_of_a_broken_archive_is_read() {
    let files = make();
    let copy: Files = files.iter().map(|file| (file.key(""), file.gz())).collect();
    for (ending, bytes) in archives(&copy) {
        // Without its end, and in the middle of a file.
        let whole = bytes.len();
        for cut in [whole / 2, whole - 1500] {
            let name = format!("x.{ending}");
            let seen = of_file(&name, &bytes[..cut], json!({}));
            let found = seen.ids();
            let wanted = trail::ids(&files);
            assert!(found.len() < wanted.len() || ending != "zip" || cut != whole / 2);
            assert!(found.len() > wanted.len() / 4, "{name}: {}", seen.words());
            assert!(found.iter().all(|id| wanted.contains(id)));
            if found.len() < wanted.len() {
                assert!(seen.log().contains("truncated"), "{name}: {}", seen.words());
                assert!(seen.stderr.contains(&name));
            }
            assert_books(&seen);
        }
        let seen = of_file(&format!("x.{ending}"), &bytes[..20], json!({}));
        assert!(seen.error.is_some(), "{ending}");
    }
}

#[test]
fn what_can_not_be_unpacked_is_named_and_the_rest_is_read() {
    let files = make();
    let copy: Files = files.iter().map(|file| (file.name(), file.gz())).collect();
    let bytes = zip(&copy);
    // The directory's entry of the second file, behind that of the folder.
    let entries: Vec<usize> = memchr::memmem::find_iter(&bytes, b"PK\x01\x02").collect();
    let entry = entries[2];
    let local = u32::from_le_bytes(bytes[entry + 42..entry + 46].try_into().unwrap()) as usize;
    let lost = files[1].name();
    let rest: Vec<LogFile> = files
        .iter()
        .filter(|file| file.name() != lost)
        .cloned()
        .collect();
    let mut encrypted = bytes.clone();
    encrypted[entry + 8] |= 1;
    encrypted[local + 6] |= 1;
    assert_loses(
        "x.zip",
        &encrypted,
        &rest,
        &[&format!("x.zip!{lost}"), "is encrypted"],
    );
    let mut unknown = bytes.clone();
    unknown[entry + 10] = 9;
    unknown[local + 8] = 9;
    assert_loses(
        "x.zip",
        &unknown,
        &rest,
        &[&format!("x.zip!{lost}"), "method 9"],
    );
    // A bomb has many names for the same bytes.
    let mut overlapping = bytes.clone();
    let place = overlapping[entry + 42..entry + 46].to_vec();
    overlapping[entries[3] + 42..entries[3] + 46].copy_from_slice(&place);
    let seen = of_file("x.zip", &overlapping, json!({}));
    assert!(seen.error.unwrap().1.contains("overlap"));
    // An archive in an archive.
    for (ending, inner) in archives(&copy) {
        let name = format!("inner.{ending}");
        let mut outer: Files = rest.iter().map(|file| (file.name(), file.gz())).collect();
        outer.push((name.clone(), inner));
        for (kind, bytes) in archives(&outer) {
            let words = ["archive within an archive", "unpack it first", &name];
            assert_loses(&format!("x.{kind}"), &bytes, &rest, &words);
        }
    }
}

/// Of one record, by Python's lzma.
const TAR_XZ: &[u8] = include_bytes!("../fuzz/corpus/archive/tar.xz");

#[test]
fn what_is_compressed_otherwise_is_read_or_named() {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    let file = Maker::new(1).file(ACCOUNTS[0], "us-east-1", "20240305T1000Z", 3);
    let others = Maker::new(2).file(ACCOUNTS[0], "us-east-1", "20240305T1005Z", 3);
    let zstd = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
    let files = [
        (file.name(), file.gz()),
        (others.name().replace(".gz", ".zst"), zstd(&others.json())),
        ("2020.tar.xz".into(), TAR_XZ.to_vec()),
        ("2021.7z".into(), b"7z\xbc\xaf\x27\x1c\0\x04".to_vec()),
        ("2022.tar.bz2".into(), b"BZh91AY&SY\xb5\x09\xd8K".to_vec()),
        ("2023.json.bz2".into(), b"BZh91AY&SYYJ\xb0\xe2".to_vec()),
    ];
    let aws = Aws::start();
    let capture = Capture::new("~/trail");
    for (name, bytes) in &files {
        write(&capture.home().join("trail").join(name), bytes);
        // In a folder names tell nothing.
        let bare = name.split('.').next().unwrap();
        if name.ends_with("z") && !name.ends_with(".gz") {
            write(&capture.home().join("trail/bare").join(bare), bytes);
        }
        aws.put("copies", name, bytes);
    }
    let mut wanted = trail::ids(&[file, others]);
    wanted.push("1".into());
    let bucket = Capture::new("s3://copies").aws(&aws).run();
    let mut bare = wanted.clone();
    bare.push("1".into());
    for (seen, wanted, failed) in [(capture.run(), bare, 4), (bucket, wanted, 3)] {
        assert_eq!(seen.error, None);
        assert_eq!(sorted(seen.ids()), sorted(wanted), "{}", seen.words());
        assert_eq!(seen.metrics["files_failed"], failed, "{}", seen.words());
        assert_eq!(seen.metrics["files_passed_over"], 0);
        for (name, what) in [
            ("2021.7z", "is a 7z archive, which is not opened here"),
            (
                "2022.tar.bz2",
                "is compressed by bzip2, which is not opened here",
            ),
            (
                "2023.json.bz2",
                "is compressed by bzip2, which is not opened here",
            ),
        ] {
            let log = seen.log();
            let line = log.lines().find(|line| line.contains(name));
            assert!(
                line.is_some_and(|line| line.contains(what)),
                "{name}: {log}"
            );
        }
        assert!(!seen.words().contains("passed over"), "{}", seen.words());
        assert_books(&seen);
    }
}

#[test]
fn names_may_be_odd_and_lead_nowhere() {
    let names = [
        "../../../outside.json",
        "/etc/absolute.json",
        "C:\\windows\\x.json",
        "a\\..\\b.json",
        "new\nline.json",
        "ümlaut-日本-🦀.json",
        ".json",
        "same.json",
    ];
    let mut maker = Maker::new(6);
    let files: Vec<LogFile> = names
        .iter()
        .map(|_| maker.file(ACCOUNTS[0], "eu-west-1", "20240305T1205Z", 2))
        .collect();
    let mut copy: Files = names
        .iter()
        .zip(&files)
        .map(|(name, file)| ((*name).to_owned(), file.json()))
        .collect();
    copy.push(("broken\u{1b}[31m.json".into(), b"broken".to_vec()));
    for (ending, bytes) in archives(&copy) {
        let seen = assert_loses(
            &format!("x.{ending}"),
            &bytes,
            &files,
            &["broken\\u{1b}[31m.json"],
        );
        assert!(!seen.words().contains('\u{1b}'));
    }
    // Links and the like are none.
    let mut tar = tar::Builder::new(Vec::new());
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    tar.append_link(&mut link, "link.json", "/etc/passwd")
        .unwrap();
    let mut header = tar::Header::new_gnu();
    let body = files[0].json();
    header.set_size(body.len() as u64);
    tar.append_data(&mut header, "a.json", &body[..]).unwrap();
    let seen = assert_loses("x.tar", &tar.into_inner().unwrap(), &files[..1], &[]);
    assert_eq!(seen.metrics["files_passed_over"], 1);
}

#[test]
fn an_archive_without_log_files_is_named() {
    for (ending, bytes) in archives(&[("a.txt".into(), b"x".to_vec()), ("b.png".into(), vec![0])]) {
        let seen = of_file(&format!("photos.{ending}"), &bytes, json!({}));
        let (_, text) = seen.error.unwrap();
        assert!(
            text.contains("without a CloudTrail log file, but with 2 files of another kind"),
            "{text}"
        );
    }
}

/// What inflates to far more than may be held is read in pieces, and a large archive of a bucket as it comes.
#[test]
fn large_ones_are_read_in_pieces() {
    let mut random = fastrand::Rng::with_seed(7);
    let noise: String = std::iter::repeat_with(|| random.alphanumeric())
        .take(4000)
        .collect();
    let record = |number: usize| {
        format!(
            r#"{{"eventVersion":"1.08","eventTime":"2024-03-05T12:00:00Z","eventID":"{number}","requestParameters":{{"k":"{noise}"}}}}"#
        )
    };
    let large: Vec<String> = (0..10_000).map(record).collect();
    let bomb = vec![b' '; 100 << 20];
    let files = vec![
        (
            "a.json".into(),
            trail::log_text(&large.iter().map(String::as_str).collect::<Vec<_>>()),
        ),
        ("b.json".into(), bomb),
    ];
    let wanted: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    let plugin = Plugin::load("");
    for (ending, bytes) in archives(&files) {
        if ending == "tgz" {
            continue;
        }
        let folder = TempDir::new().unwrap();
        let name = format!("x.{ending}");
        let path = write(&folder.path().join(&name), &bytes);
        let events = plugin.events(path.to_str().unwrap()).unwrap();
        assert_eq!(ids(&events), wanted, "{name}");
        let log = plugin.log();
        assert!(log.contains("!b.json"), "{name}: {log}");
    }
}

#[test]
fn a_large_archive_of_a_bucket_is_read_as_it_comes() {
    let mut random = fastrand::Rng::with_seed(8);
    let files = make();
    let mut copy = copied(&files);
    copy.insert(
        0,
        (
            "filler.bin".into(),
            std::iter::repeat_with(|| random.u8(..))
                .take(33 << 20)
                .collect(),
        ),
    );
    let aws = Aws::start();
    for (ending, bytes) in archives(&copy) {
        if ending == "tgz" {
            continue;
        }
        let name = format!("copy.{ending}");
        aws.put("copies", &name, &bytes);
        let seen = Capture::new(format!("s3://copies/{name}")).aws(&aws).run();
        assert_eq!(seen.error, None, "{name}");
        assert_eq!(
            sorted(seen.ids()),
            sorted(trail::ids(&files)),
            "{name}: {}",
            seen.words()
        );
        assert_eq!(
            (&*seen.stderr, seen.metrics["archives_read"]),
            ("", 1),
            "{name}"
        );
        assert_books(&seen);
    }
}
