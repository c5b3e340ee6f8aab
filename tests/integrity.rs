//! Validation of log files by their digests: what is intact, and every way in which it may not be.

use std::fs;
use std::path::Path;

use harness::{
    aws::{Aws, Fault, Op, Request},
    capture::{Capture, Seen, Stage},
    digest::{Chain, Digest, Signer, public_keys},
    trail::{self, LogFile, Maker, gzip, write},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-west-1";
const BUCKET: &str = "logs";
/// Log files an hour.
const HOUR: usize = 12;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// A trail of some hours in a bucket, with a digest for each.
struct Trail {
    aws: Aws,
    files: Vec<LogFile>,
    digests: Vec<Digest>,
    chain: Chain,
}

/// The minute at which the hour of this number begins.
fn hour(number: usize) -> String {
    format!("20240305T{:02}00Z", 10 + number)
}

impl Trail {
    /// Three hours, signed with one key.
    fn new() -> Self {
        Self::signed(&[Signer::one(), Signer::one(), Signer::one()])
    }

    /// An hour for each key.
    fn signed(signers: &[Signer]) -> Self {
        let aws = Aws::start();
        let files = Maker::new(1).trail(
            &[ACCOUNT],
            &[REGION],
            "20240305T1005Z",
            signers.len() * HOUR,
            2,
        );
        let mut chain = Chain::new(BUCKET, ACCOUNT, REGION);
        let digests: Vec<Digest> = signers
            .iter()
            .enumerate()
            .map(|(number, signer)| chain.digest(signer, &hour(number), files_of(&files, number)))
            .collect();
        for file in &files {
            file.put(&aws, BUCKET);
        }
        for digest in &digests {
            digest.put(&aws);
        }
        Self {
            aws,
            files,
            digests,
            chain,
        }
    }

    /// The bucket as a folder, which is a copy without signatures.
    fn folder(&self) -> std::path::PathBuf {
        self.aws.bucket(BUCKET)
    }

    fn path(&self, key: &str) -> std::path::PathBuf {
        self.folder().join(key)
    }

    fn read(&self, validate: &str) -> Seen {
        self.read_with(
            &format!("s3://{BUCKET}/AWSLogs/"),
            json!({"validate": validate}),
        )
    }

    fn read_copy(&self, validate: &str) -> Seen {
        let folder = self.folder();
        self.read_with(folder.to_str().unwrap(), json!({"validate": validate}))
    }

    /// With the public keys of both signers in a file.
    fn read_with(&self, params: &str, config: Value) -> Seen {
        let capture = Capture::new(params).aws(&self.aws).file(
            "keys.json",
            &public_keys(&[&Signer::one(), &Signer::two()]).to_string(),
        );
        let keys = capture.home().join("keys.json");
        capture
            .config(json!({"validateKeys": keys}))
            .config(config)
            .run()
    }
}

/// The log files of the hour of this number.
fn files_of(files: &[LogFile], hour: usize) -> &[LogFile] {
    &files[hour * HOUR..][..HOUR]
}

/// Proven, modified, missing, unsigned, not covered yet, withheld; digests proven and failed.
fn books(seen: &Seen) -> [u64; 8] {
    [
        "files_proven",
        "files_modified",
        "files_missing",
        "files_unsigned",
        "files_uncovered",
        "files_withheld",
        "digests_proven",
        "digests_failed",
    ]
    .map(|name| seen.metrics[name])
}

/// Log files and digests that could not be checked.
fn unchecked(seen: &Seen) -> [u64; 2] {
    ["files_unchecked", "digests_unchecked"].map(|name| seen.metrics[name])
}

fn without(files: &[LogFile], left_out: &[usize]) -> Vec<LogFile> {
    let kept = files.iter().enumerate();
    kept.filter(|(number, _)| !left_out.contains(number))
        .map(|(_, file)| file.clone())
        .collect()
}

#[track_caller]
fn assert_words(seen: &Seen, words: &[&str]) {
    let said = seen.words();
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[test]
fn an_intact_trail_is_proven() {
    let trail = Trail::new();
    for validate in ["off", "warn", "strict"] {
        let seen = trail.read(validate);
        assert_eq!(
            (&seen.error, seen.stderr.as_str()),
            (&None, ""),
            "{validate}"
        );
        assert_eq!(seen.ids(), trail::ids(&trail.files), "{validate}");
        let proven = match validate {
            "off" => [0; 8],
            _ => [36, 0, 0, 0, 0, 0, 3, 0],
        };
        assert_eq!(books(&seen), proven, "{validate}");
        assert_eq!(
            seen.log().contains("log files 36 proven"),
            validate != "off"
        );
        let has_digests = trail
            .aws
            .log()
            .iter()
            .any(|request| request.key.contains("Digest_"));
        assert_eq!(has_digests, validate != "off");
    }
}

/// The signature of the newest digest is in S3 only.
#[test]
fn all_of_a_copy_but_its_newest_hour_is_proven() {
    let trail = Trail::new();
    let seen = trail.read_copy("warn");
    assert_eq!((&seen.error, seen.stderr.as_str()), (&None, ""));
    assert_eq!(seen.ids(), trail::ids(&trail.files));
    assert_eq!(books(&seen), [24, 0, 0, 0, 12, 0, 2, 0]);
    assert_words(
        &seen,
        &[
            "log files 24 proven, 12 not covered yet",
            "so the digest can't be proven here",
        ],
    );
    let seen = trail.read_copy("strict");
    assert_eq!(seen.error, None);
    assert_eq!(seen.ids(), trail::ids(&trail.files[..24]));
    assert_eq!(books(&seen), [24, 0, 0, 0, 12, 12, 2, 0]);
    assert_words(&seen, &["12 log files not shown, since not proven"]);
    // Files that were unpacked, and a part of the trail.
    for file in &trail.files {
        let path = trail.path(&file.key(""));
        fs::remove_file(&path).unwrap();
        write(&path.with_extension(""), &file.json());
    }
    let region = trail.path(&format!("AWSLogs/{ACCOUNT}/CloudTrail/{REGION}"));
    let seen = trail.read_with(region.to_str().unwrap(), json!({"validate": "warn"}));
    assert_eq!(books(&seen), [24, 0, 0, 0, 12, 0, 2, 0], "{}", seen.words());
    // One file.
    let file = trail.path(&trail.files[5].key("")).with_extension("");
    let seen = trail.read_with(file.to_str().unwrap(), json!({"validate": "strict"}));
    assert_eq!(
        seen.ids(),
        trail::ids(&trail.files[5..6]),
        "{}",
        seen.words()
    );
}

/// A log file that was unpacked beside itself is proven twice, and read once.
#[test]
fn copies_in_a_folder_are_read_once() {
    let trail = Trail::new();
    let file = &trail.files[5];
    let path = trail.path(&file.key(""));
    write(&path.with_extension(""), &file.json());
    for (validate, proven) in [("off", 0), ("warn", 25), ("strict", 25)] {
        let seen = trail.read_copy(validate);
        let expected = match validate {
            "strict" => &trail.files[..24],
            _ => &trail.files[..],
        };
        assert_eq!(
            seen.ids(),
            trail::ids(expected),
            "{validate}: {}",
            seen.words()
        );
        assert_eq!(books(&seen)[0], proven, "{validate}: {}", seen.words());
    }
}

/// What may be done to a trail, and what is said of it.
struct Tampering {
    name: &'static str,
    how: fn(&Trail),
    /// Log files that are gone.
    gone: &'static [usize],
    /// See [`books`], in the bucket and in a copy.
    bucket: [u64; 8],
    copy: [u64; 8],
    words: &'static [&'static str],
    /// Log files that are not proven.
    unproven: std::ops::Range<usize>,
}

fn alter(trail: &Trail, key: &str, how: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let path = trail.path(key);
    let bytes = fs::read(&path).unwrap();
    fs::write(path, how(bytes)).unwrap();
}

const TAMPERINGS: &[Tampering] = &[
    Tampering {
        name: "a letter changed",
        how: |trail| {
            let file = &trail.files[15];
            let text = String::from_utf8(file.json()).unwrap();
            let text = text.replacen("aws-cli", "aws-clj", 1);
            write(&trail.path(&file.key("")), &gzip(text.as_bytes()));
        },
        gone: &[],
        bucket: [35, 1, 0, 0, 0, 0, 3, 0],
        copy: [23, 1, 0, 0, 12, 0, 2, 0],
        words: &[
            "was modified after CloudTrail had delivered it: its SHA-256 is ",
            "1 modified",
        ],
        unproven: 15..16,
    },
    Tampering {
        name: "a record removed",
        how: |trail| {
            let file = &trail.files[35];
            let text = trail::log_text(&[&file.records[0].json]);
            write(&trail.path(&file.key("")), &gzip(&text));
        },
        gone: &[],
        bucket: [35, 1, 0, 0, 0, 0, 3, 0],
        copy: [24, 1, 0, 0, 11, 0, 2, 0],
        words: &["was modified after CloudTrail had delivered it"],
        unproven: 35..36,
    },
    Tampering {
        name: "something appended",
        how: |trail| {
            alter(trail, &trail.files[0].key(""), |bytes| {
                [bytes, b"appended!".to_vec()].concat()
            })
        },
        gone: &[],
        bucket: [35, 1, 0, 0, 0, 0, 3, 0],
        copy: [23, 1, 0, 0, 12, 0, 2, 0],
        words: &["it can't be inflated, or has something behind its data"],
        unproven: 0..1,
    },
    Tampering {
        name: "emptied",
        how: |trail| alter(trail, &trail.files[20].key(""), |_| vec![]),
        gone: &[],
        bucket: [35, 1, 0, 0, 0, 0, 3, 0],
        copy: [23, 1, 0, 0, 12, 0, 2, 0],
        words: &["was modified after CloudTrail had delivered it"],
        unproven: 20..21,
    },
    Tampering {
        name: "a log file deleted",
        how: |trail| fs::remove_file(trail.path(&trail.files[14].key(""))).unwrap(),
        gone: &[14],
        bucket: [35, 0, 1, 0, 0, 0, 3, 0],
        copy: [23, 0, 1, 0, 12, 0, 2, 0],
        words: &["20240305T1115Z_", "the log file is missing", "1 missing"],
        unproven: 0..0,
    },
    Tampering {
        name: "the first and the last log file deleted",
        how: |trail| {
            for number in [0, 35] {
                fs::remove_file(trail.path(&trail.files[number].key(""))).unwrap();
            }
        },
        gone: &[0, 35],
        bucket: [34, 0, 2, 0, 0, 0, 3, 0],
        copy: [23, 0, 2, 0, 11, 0, 2, 0],
        words: &["2 missing"],
        unproven: 0..0,
    },
    Tampering {
        name: "a digest deleted",
        how: |trail| fs::remove_file(trail.path(&trail.digests[1].key)).unwrap(),
        gone: &[],
        bucket: [24, 0, 0, 12, 0, 0, 2, 1],
        // The first one's signature was in it.
        copy: [0, 0, 0, 12, 24, 0, 0, 1],
        words: &[
            "_20240305T120131Z.json.gz: the digest is missing, though s3://logs/AWSLogs/",
            "it was deleted, and the log files from 2024-03-05T11:01:31Z to 2024-03-05T12:01:31Z can't be proven",
            "12 unsigned",
            "1 digest invalid or missing",
        ],
        unproven: 12..24,
    },
    Tampering {
        name: "a digest altered",
        how: |trail| {
            let digest = &trail.digests[1];
            let text = String::from_utf8(digest.json.clone()).unwrap();
            let text = text.replacen("\"hashValue\":\"", "\"hashValue\":\"0", 1);
            write(&trail.path(&digest.key), &gzip(text.as_bytes()));
        },
        gone: &[],
        bucket: [24, 0, 0, 12, 0, 0, 2, 1],
        copy: [12, 0, 0, 12, 12, 0, 1, 1],
        words: &[
            "_20240305T120131Z.json.gz: the digest was altered: its signature does not fit; it proves no log file",
            "12 unsigned",
        ],
        unproven: 12..24,
    },
    Tampering {
        name: "a digest moved",
        how: |trail| {
            write(
                &trail.path(&trail.digests[1].key),
                &gzip(&trail.digests[0].json),
            );
        },
        gone: &[],
        bucket: [24, 0, 0, 12, 0, 0, 2, 1],
        copy: [0, 0, 0, 12, 24, 0, 0, 1],
        words: &[
            "the digest was moved: it says that it is logs/AWSLogs/",
            "12 unsigned",
        ],
        unproven: 12..24,
    },
    Tampering {
        name: "a log file put there",
        how: |trail| {
            let file = Maker::new(9).file(ACCOUNT, REGION, "20240305T1107Z", 1);
            file.put(&trail.aws, BUCKET);
        },
        gone: &[],
        bucket: [36, 0, 0, 1, 0, 0, 3, 0],
        copy: [24, 0, 0, 1, 12, 0, 2, 0],
        words: &[
            "it is in no digest, though those of its time are there",
            "1 unsigned",
        ],
        unproven: 0..0,
    },
];

#[test]
fn tampering_is_named() {
    for Tampering {
        name,
        how,
        gone,
        bucket,
        copy,
        words,
        unproven,
    } in TAMPERINGS
    {
        let trail = Trail::new();
        how(&trail);
        for (in_copy, expected) in [(false, bucket), (true, copy)] {
            let seen = match in_copy {
                false => trail.read("warn"),
                true => trail.read_copy("warn"),
            };
            assert_eq!(seen.error, None, "{name}");
            assert_eq!(
                &books(&seen),
                expected,
                "{name}, {in_copy}: {}",
                seen.words()
            );
            if !in_copy {
                assert_words(&seen, words);
            }
            // Those who see no log are told, too.
            assert!(
                seen.stderr.contains("the first: "),
                "{name}: {}",
                seen.stderr
            );
            let whole = without(&trail.files, gone);
            assert!(seen.events.len() + 2 >= 2 * whole.len(), "{name}");
        }
        let seen = trail.read("strict");
        if *name == "a log file put there" {
            // CloudTrail's own is all there: it is not tampered with, and the other is not shown.
            assert_eq!((&seen.error, books(&seen)[5]), (&None, 1));
            assert_eq!(seen.ids(), trail::ids(&trail.files));
        } else {
            let (_, error) = seen.error.as_ref().expect(name);
            assert!(error.contains("s3://logs/AWSLogs/"), "{name}: {error}");
        }
        // What comes before it ends is proven.
        let not_shown: Vec<usize> = gone.iter().copied().chain(unproven.clone()).collect();
        let proven = trail::ids(&without(&trail.files, &not_shown));
        assert!(proven.starts_with(&seen.ids()), "{name}: {:?}", seen.ids());
    }
}

/// A signature that was altered, in the bucket where it is kept beside the digest.
#[test]
fn an_altered_signature_is_named() {
    let trail = Trail::new();
    let mut digest = trail.digests[2].clone();
    digest.signature.replace_range(..1, "x");
    digest.put(&trail.aws);
    let seen = trail.read("warn");
    assert_eq!(books(&seen), [24, 0, 0, 12, 0, 0, 2, 1], "{}", seen.words());
    assert_words(&seen, &["has a signature that is not hexadecimal"]);
    let other = Signer::two().sign("something else");
    digest.signature = other;
    digest.put(&trail.aws);
    let seen = trail.read("warn");
    assert_eq!(books(&seen), [24, 0, 0, 12, 0, 0, 2, 1], "{}", seen.words());
    assert_words(&seen, &["was altered: its signature does not fit"]);
    assert!(trail.read("strict").error.is_some());
}

/// Somebody makes everything anew, but has not CloudTrail's key.
#[test]
fn a_forged_trail_is_named() {
    let trail = Trail::signed(&[Signer::one(), Signer::two(), Signer::two()]);
    let capture = Capture::new(format!("s3://{BUCKET}/AWSLogs/"))
        .aws(&trail.aws)
        .file("keys.json", &public_keys(&[&Signer::one()]).to_string());
    let keys = capture.home().join("keys.json");
    let seen = capture
        .config(json!({"validate": "warn", "validateKeys": keys}))
        .run();
    assert_eq!(books(&seen), [12, 0, 0, 24, 0, 0, 1, 2], "{}", seen.words());
    let fingerprint = Signer::two().fingerprint;
    assert_words(
        &seen,
        &[&format!(
            "is signed with the key {fingerprint}, which is not in "
        )],
    );
}

#[test]
fn keys_change_within_a_chain() {
    let trail = Trail::signed(&[Signer::one(), Signer::two(), Signer::two()]);
    let seen = trail.read("strict");
    assert_eq!(
        (&seen.error, books(&seen)),
        (&None, [36, 0, 0, 0, 0, 0, 3, 0])
    );
    let seen = trail.read_copy("warn");
    assert_eq!(books(&seen), [24, 0, 0, 0, 12, 0, 2, 0]);
}

/// No digest tells of what was delivered while logging, or validation, was stopped.
#[test]
fn gaps_where_logging_was_stopped_are_no_tampering() {
    let mut trail = Trail::new();
    // The hours 3 and 4 have no digest.
    let later = Maker::new(2).trail(&[ACCOUNT], &[REGION], "20240305T1305Z", 4 * HOUR, 1);
    trail.chain.restart();
    for number in [2, 3] {
        let digest =
            trail
                .chain
                .digest(&Signer::one(), &hour(3 + number), files_of(&later, number));
        digest.put(&trail.aws);
    }
    for file in &later {
        file.put(&trail.aws, BUCKET);
    }
    let seen = trail.read("warn");
    assert_eq!(books(&seen), [60, 0, 0, 24, 0, 0, 5, 0], "{}", seen.words());
    assert_words(
        &seen,
        &[
            "there are no digests from 2024-03-05T13:01:31Z to 2024-03-05T15:01:31Z: logging or log file validation was stopped",
            "it was delivered while logging or log file validation was stopped, between",
        ],
    );
    let seen = trail.read("strict");
    assert_eq!(
        (&seen.error, books(&seen)[5]),
        (&None, 24),
        "{}",
        seen.words()
    );
    let proven = [&trail.files[..], &later[24..]].concat();
    assert_eq!(seen.ids(), trail::ids(&proven));
    // The last digest before the gap is as little provable in a copy as the newest one.
    let seen = trail.read_copy("warn");
    assert_eq!(
        books(&seen),
        [36, 0, 0, 24, 24, 0, 3, 0],
        "{}",
        seen.words()
    );
}

/// What CloudTrail has forgotten in a digest it puts into another one.
#[test]
fn backfill_digests_prove_as_well() {
    let mut trail = Trail::new();
    let late = Maker::new(3).file(ACCOUNT, REGION, "20240305T1107Z", 1);
    late.put(&trail.aws, BUCKET);
    let digest = trail
        .chain
        .backfill(&Signer::two(), &hour(1), std::slice::from_ref(&late));
    digest.put(&trail.aws);
    let seen = trail.read("strict");
    assert_eq!(
        (&seen.error, books(&seen)),
        (&None, [37, 0, 0, 0, 0, 0, 4, 0]),
        "{}",
        seen.words()
    );
    fs::remove_file(trail.path(&late.key(""))).unwrap();
    let seen = trail.read("warn");
    assert_eq!(books(&seen), [36, 0, 1, 0, 0, 0, 4, 0]);
    trail.files.push(late);
}

/// Several trails into one bucket have chains of their own, in one folder.
#[test]
fn trails_side_by_side() {
    let trail = Trail::new();
    let mut other = Chain::new(BUCKET, ACCOUNT, REGION);
    other.trail = "zeta_with_Z".into();
    let files = Maker::new(4).trail(&[ACCOUNT], &[REGION], "20240305T1006Z", 3 * HOUR, 1);
    for number in 0..3 {
        other
            .digest(&Signer::two(), &hour(number), files_of(&files, number))
            .put(&trail.aws);
    }
    for file in &files {
        file.put(&trail.aws, BUCKET);
    }
    // Pages that end within a day.
    for page in [1000, 2] {
        trail.aws.page(page);
        let seen = trail.read("strict");
        assert_eq!(
            (&seen.error, books(&seen)),
            (&None, [72, 0, 0, 0, 0, 0, 6, 0]),
            "{}",
            seen.words()
        );
    }
}

/// What lies outside of what is read is neither missing nor looked at.
#[test]
fn only_what_is_read_is_validated() {
    let trail = Trail::new();
    for number in [0, 11, 30] {
        fs::remove_file(trail.path(&trail.files[number].key(""))).unwrap();
    }
    let url = format!("s3://{BUCKET}/AWSLogs/");
    for (interval, expected) in [
        // 11:05 to 11:30
        ("2024-03-05T11:05:00Z-2024-03-05T11:30:00Z", [6, 0, 0, 0, 0]),
        // 10:55 to 11:10
        ("2024-03-05T10:55:00Z-2024-03-05T11:10:00Z", [3, 0, 1, 0, 0]),
        ("2024-03-05T12:30:00Z", [6, 0, 1, 0, 0]),
    ] {
        let seen = trail.read_with(&url, json!({"validate": "warn", "s3Interval": interval}));
        assert_eq!(books(&seen)[..5], expected, "{interval}: {}", seen.words());
    }
    let day = format!("{url}{ACCOUNT}/CloudTrail/{REGION}/2024/03/05/");
    for (prefix, expected) in [
        (day.clone(), [33, 0, 3, 0, 0]),
        // The files of 11 o'clock, of which that of 11:00 is gone.
        (
            format!("{day}{ACCOUNT}_CloudTrail_{REGION}_20240305T11"),
            [11, 0, 1, 0, 0],
        ),
        (
            format!("s3://{BUCKET}/{}", trail.files[4].key("")),
            [1, 0, 0, 0, 0],
        ),
    ] {
        let seen = trail.read_with(&prefix, json!({"validate": "warn"}));
        assert_eq!(books(&seen)[..5], expected, "{prefix}: {}", seen.words());
    }
    let other = json!({"validate": "warn", "s3AccountList": "210987654321"});
    assert_eq!(books(&trail.read_with(&url, other)), [0; 8]);
}

/// Of a region whose log files are all gone nothing is named to be looked up.
#[test]
fn a_region_that_was_emptied_is_noticed() {
    let trail = Trail::new();
    let file = Maker::new(5).file(ACCOUNT, "us-east-1", "20240305T1105Z", 1);
    let digest = Chain::new(BUCKET, ACCOUNT, "us-east-1").digest(
        &Signer::one(),
        &hour(1),
        std::slice::from_ref(&file),
    );
    digest.put(&trail.aws);
    for (seen, proven) in [(trail.read("warn"), 36), (trail.read_copy("warn"), 24)] {
        assert_eq!(
            (books(&seen)[0], books(&seen)[2]),
            (proven, 1),
            "{}",
            seen.words()
        );
        assert_words(&seen, &[&file.name(), "the log file is missing"]);
    }
    let seen = trail.read("strict");
    assert_eq!(
        seen.error.as_ref().map(|(stage, _)| *stage),
        Some(Stage::Read)
    );
    assert_eq!(seen.ids(), trail::ids(&trail.files));
}

#[test]
fn what_is_new_is_not_covered_yet() {
    let aws = Aws::start();
    let now = Timestamp::now();
    let minute = |ago: i64| trail::format_time(now - SignedDuration::from_mins(ago));
    let mut maker = Maker::new(6);
    let files: Vec<LogFile> = [130, 100, 20, 5]
        .map(|ago| maker.file(ACCOUNT, REGION, &minute(ago), 1))
        .into();
    let mut chain = Chain::new(BUCKET, ACCOUNT, REGION);
    chain
        .digest(&Signer::one(), &minute(140), &files[..2])
        .put(&aws);
    for file in &files {
        file.put(&aws, BUCKET);
    }
    let trail = Trail {
        aws,
        files,
        digests: vec![],
        chain,
    };
    let seen = trail.read("warn");
    assert_eq!((&seen.error, seen.stderr.as_str()), (&None, ""));
    assert_eq!(books(&seen), [2, 0, 0, 0, 2, 0, 1, 0], "{}", seen.words());
    assert_words(&seen, &["it is newer than the newest digest"]);
    let seen = trail.read("strict");
    assert_eq!(seen.ids(), trail::ids(&trail.files[..2]));
    // The same long after: it should be covered by now.
    let trail = Trail::new();
    fs::remove_file(trail.path(&trail.digests[2].key)).unwrap();
    let seen = trail.read("warn");
    assert_eq!(books(&seen), [24, 0, 0, 12, 0, 0, 2, 0], "{}", seen.words());
    assert_words(&seen, &["though its own should be there by now"]);
}

#[test]
fn without_digests_one_line_says_so() {
    let trail = Trail::new();
    fs::remove_dir_all(trail.path(&format!("AWSLogs/{ACCOUNT}/CloudTrail-Digest"))).unwrap();
    for seen in [trail.read("warn"), trail.read_copy("warn")] {
        assert_eq!(seen.error, None);
        assert_eq!(seen.ids(), trail::ids(&trail.files));
        assert_eq!(books(&seen), [0, 0, 0, 36, 0, 0, 0, 0]);
        let lines = seen
            .logs
            .iter()
            .filter(|line| line.message.contains("no digest files"));
        assert_eq!(lines.count(), 1, "{}", seen.log());
    }
    for seen in [trail.read("strict"), trail.read_copy("strict")] {
        let (stage, error) = seen.error.expect("nothing is proven");
        assert_eq!(stage, Stage::Open);
        assert!(
            error.contains("log file validation is not enabled"),
            "{error}"
        );
    }
}

fn asks_for_keys(request: &Request) -> bool {
    let target = request.headers.get("x-amz-target");
    target.is_some_and(|target| target.ends_with(".ListPublicKeys"))
}

#[test]
fn keys_are_asked_of_cloudtrail() {
    let trail = Trail::signed(&[Signer::one(), Signer::two(), Signer::two()]);
    let keys = public_keys(&[&Signer::one(), &Signer::two()]).to_string();
    let url = format!("s3://{BUCKET}/AWSLogs/");
    let capture = |params: &str, validate: &str| {
        Capture::new(params)
            .aws(&trail.aws)
            .config(json!({"validate": validate}))
    };
    let folder = trail.folder();
    let folder = folder.to_str().unwrap();
    // May not be asked.
    let denied = Fault::error(400, "AccessDeniedException", "no");
    trail.aws.fault_times(3, asks_for_keys, denied);
    let seen = capture(&url, "warn").run();
    assert_eq!(seen.error, None);
    assert_eq!(books(&seen), [0; 8], "{}", seen.words());
    assert_eq!(unchecked(&seen), [36, 3], "{}", seen.words());
    assert_words(
        &seen,
        &[
            "asking CloudTrail for the public keys of eu-west-1",
            "log files 0 proven, 36 could not be checked; 3 digests could not be checked",
            "these credentials need cloudtrail:ListPublicKeys, or the keys in a file (validateKeys)",
        ],
    );
    let error = capture(&url, "strict").open_error();
    assert!(
        error.contains("it could not be checked: asking CloudTrail for the public keys"),
        "{error}"
    );
    let seen = capture(folder, "warn").run();
    assert_eq!(books(&seen), [0, 0, 0, 0, 12, 0, 0, 0], "{}", seen.words());
    assert_eq!(unchecked(&seen), [24, 2], "{}", seen.words());
    trail.aws.fault(asks_for_keys, Fault::Body(keys.into()));
    let before = trail.aws.log().len();
    let seen = capture(&url, "strict").run();
    assert_eq!(
        (&seen.error, books(&seen)),
        (&None, [36, 0, 0, 0, 0, 0, 3, 0])
    );
    // Once, where it is signed.
    let log = trail.aws.log();
    let asked: Vec<&Request> = log[before..].iter().filter(|r| asks_for_keys(r)).collect();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].region.as_deref(), Some(REGION));
    let seen = capture(folder, "warn").run();
    assert_eq!(books(&seen), [24, 0, 0, 0, 12, 0, 2, 0], "{}", seen.words());
}

/// More often than the SDK does so by itself.
#[test]
fn keys_are_asked_for_again() {
    let trail = Trail::new();
    let throttled = Fault::error(400, "ThrottlingException", "Rate exceeded");
    trail.aws.fault_times(6, asks_for_keys, throttled);
    let keys = public_keys(&[&Signer::one()]).to_string();
    trail.aws.fault(asks_for_keys, Fault::Body(keys.into()));
    let seen = Capture::new(format!("s3://{BUCKET}/AWSLogs/"))
        .aws(&trail.aws)
        .config(json!({"validate": "strict"}))
        .run();
    assert_eq!(
        (&seen.error, books(&seen)[0]),
        (&None, 36),
        "{}",
        seen.words()
    );
    assert_eq!(
        trail.aws.log().iter().filter(|r| asks_for_keys(r)).count(),
        7
    );
}

#[test]
fn a_file_of_keys_that_is_none_is_named() {
    let trail = Trail::new();
    let url = format!("s3://{BUCKET}/AWSLogs/");
    let capture = Capture::new(&url).aws(&trail.aws).file("keys.json", "{}");
    let keys = capture.home().join("keys.json");
    let error = capture
        .config(json!({"validate": "warn", "validateKeys": keys}))
        .open_error();
    assert!(
        error.contains("keys.json is not what aws cloudtrail"),
        "{error}"
    );
    let error = Capture::new(&url)
        .aws(&trail.aws)
        .config(json!({"validate": "warn", "validateKeys": "/nowhere.json"}))
        .open_error();
    assert!(error.contains("/nowhere.json can't be read"), "{error}");
}

/// A digest comes after the log files that it proves.
#[test]
fn what_is_followed_is_not_validated() {
    let aws = Aws::start();
    for (params, config) in [
        ("s3://logs/AWSLogs/", json!({"s3Follow": true})),
        ("sqs://trail", json!({})),
    ] {
        let error = Capture::new(params)
            .aws(&aws)
            .config(json!({"validate": "warn"}))
            .config(config)
            .open_error();
        assert!(error.contains("Set validate to off here"), "{error}");
    }
}

#[test]
fn a_copy_in_another_bucket_or_below_a_prefix_is_validated() {
    let trail = Trail::new();
    for digest in &trail.digests {
        let mut copy = digest.clone();
        copy.bucket = "other".into();
        copy.key = format!("some/prefix/{}", digest.key);
        copy.put(&trail.aws);
    }
    for file in &trail.files {
        trail
            .aws
            .put("other", &file.key("some/prefix/"), &file.gz());
    }
    let read = |config: Value| trail.read_with("s3://other/some/", config);
    for config in [
        json!({"validate": "warn"}),
        json!({"validate": "strict", "validateBucket": "logs"}),
    ] {
        let seen = read(config);
        assert_eq!(
            (&seen.error, books(&seen)[0]),
            (&None, 36),
            "{}",
            seen.words()
        );
        assert_words(
            &seen,
            &["the digests were written for the bucket logs: this is a copy"],
        );
    }
    // Anybody's trail has digests with CloudTrail's good signature.
    let seen = read(json!({"validate": "strict"}));
    let (stage, error) = seen.error.expect("whose trail it is is not known");
    assert_eq!(stage, Stage::Open);
    assert!(
        error
            .contains("was written for the bucket logs, not for other: set validateBucket to logs"),
        "{error}"
    );
    let seen = trail.read_with(
        &format!("s3://{BUCKET}/"),
        json!({"validate": "warn", "validateBucket": "other"}),
    );
    assert_eq!(books(&seen)[0], 36, "its own counts all the same");
}

/// A digest may be listed that came after the log files had been, and so may its own.
#[test]
fn what_comes_while_a_bucket_is_read_is_not_missing() {
    let trail = Trail::new();
    let late = trail.files[24..].to_vec();
    for file in &late {
        fs::remove_file(trail.path(&file.key(""))).unwrap();
    }
    let folder = trail.folder();
    let come = move |request: &Request| {
        if request.op == Op::ListObjects && request.key.contains("CloudTrail-Digest/eu") {
            for file in &late {
                file.write(&folder);
            }
        }
        false
    };
    trail.aws.fault(come, Fault::denied());
    let seen = trail.read("strict");
    assert_eq!(seen.error, None, "{}", seen.words());
    assert_eq!(books(&seen), [24, 0, 0, 0, 0, 0, 3, 0], "{}", seen.words());
    assert_words(
        &seen,
        &["12 log files came while the capture ran and will be in the next one"],
    );
}

/// Digests that can't be had are named, as is why.
#[test]
fn digests_that_cannot_be_read_are_named() {
    let trail = Trail::new();
    let denied = |request: &Request| {
        request.op == Op::GetObject && request.key.contains("CloudTrail-Digest")
    };
    trail.aws.fault(denied, Fault::denied());
    let seen = trail.read("warn");
    assert_eq!(books(&seen), [0; 8], "{}", seen.words());
    assert_eq!(unchecked(&seen), [36, 3], "{}", seen.words());
    assert_eq!(seen.ids(), trail::ids(&trail.files));
    assert_words(&seen, &["s3:GetObject"]);
    let (stage, error) = trail.read("strict").error.expect("nothing is proven");
    assert_eq!(stage, Stage::Open);
    assert!(
        error.contains("it could not be checked: reading it"),
        "{error}"
    );
}

/// Log files too large to be held are hashed piece by piece.
#[test]
fn large_log_files_are_proven() {
    let aws = Aws::start();
    let mut maker = Maker::new(8);
    let mut file = maker.file(ACCOUNT, REGION, "20240305T1105Z", 2);
    let filler = "x".repeat(17 << 20);
    for record in &mut file.records {
        record
            .json
            .insert_str(1, &format!("\"filler\":\"{filler}\","));
    }
    let mut chain = Chain::new(BUCKET, ACCOUNT, REGION);
    let digest = chain.digest(&Signer::one(), &hour(1), std::slice::from_ref(&file));
    digest.put(&aws);
    file.put(&aws, BUCKET);
    let trail = Trail {
        aws,
        files: vec![file],
        digests: vec![digest],
        chain,
    };
    for validate in ["warn", "strict"] {
        let seen = trail.read(validate);
        assert_eq!(
            (&seen.error, books(&seen)[0]),
            (&None, 1),
            "{}",
            seen.words()
        );
        assert_eq!(seen.events.len(), 2);
    }
    let mut text = trail.files[0].json();
    text[20 << 20] = b'y';
    write(&trail.path(&trail.files[0].key("")), &gzip(&text));
    assert_eq!(books(&trail.read("warn"))[1], 1);
    let seen = trail.read("strict");
    assert!(seen.error.is_some() && seen.events.is_empty());
}

/// The bucket's folder is never looked at for what a copy has.
#[test]
fn a_folder_without_layout_is_not_proven() {
    let trail = Trail::new();
    let flat = tempfile::tempdir().unwrap();
    let file = &trail.files[0];
    write(&Path::new(flat.path()).join(file.name()), &file.gz());
    let seen = trail.read_with(flat.path().to_str().unwrap(), json!({"validate": "warn"}));
    assert_eq!(books(&seen)[3], 1);
    assert_words(&seen, &["it does not lie where CloudTrail puts log files"]);
}
