//! Small inputs that went wrong once, in our reader or in others', and what is right.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use harness::{
    aws::Aws,
    capture::{Capture, Seen},
    digest::{Chain, Signer, public_keys},
    shared,
    trail::{self, Maker, gzip, log_text, write},
};
use serde_json::json;
use tempfile::TempDir;

/// A warning, and all that is worse.
const WARNING: u32 = 4;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// The capture of a file or folder, with all fields.
fn capture(path: &Path) -> Capture {
    Capture::new(path.to_str().unwrap()).fields()
}

/// What it gives, where there is something.
fn read(path: &Path) -> Seen {
    let seen = capture(path).run();
    assert_eq!(seen.error, None, "{}", seen.words());
    seen
}

/// The error where there is nothing.
fn nothing(path: &Path) -> String {
    let seen = capture(path).run();
    assert_eq!(seen.ids(), [""; 0]);
    match seen.error {
        Some((_, error)) => error,
        None => panic!("it ends without an error: {}", seen.words()),
    }
}

/// The capture of a folder of `../shared/cases`.
fn case(name: &str) -> Option<Seen> {
    Some(read(&shared::folder(&format!("cases/{name}"))?))
}

/// The event IDs of the cases, which are numbered.
fn numbered(numbers: &[u32]) -> Vec<String> {
    let id = |number| format!("{number:08}-0000-4000-8000-{number:012}");
    numbers.iter().map(id).collect()
}

/// What was said that a user has to see.
fn warnings(seen: &Seen) -> Vec<&str> {
    let lines = seen.logs.iter();
    let lines = lines.filter(|line| line.severity <= WARNING);
    lines.map(|line| line.message.as_str()).collect()
}

/// Nothing was lost, and nothing said to be.
fn is_whole(seen: &Seen, numbers: &[u32]) {
    assert_eq!(seen.ids(), numbered(numbers), "{}", seen.words());
    assert_eq!(warnings(seen), [""; 0], "{}", seen.words());
}

#[test]
fn each_case_has_a_test() {
    let Some(cases) = shared::folder("cases") else {
        return;
    };
    let code = include_str!("cases.rs");
    for entry in fs::read_dir(cases).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            let name = entry.file_name().into_string().unwrap();
            assert!(code.contains(&format!("case(\"{name}\")")), "{name}");
        }
    }
}

#[test]
fn what_powershell_redirects_is_read() {
    let Some(seen) = case("utf16le-lookup") else {
        return;
    };
    is_whole(&seen, &[1, 2, 3]);
}

#[test]
fn documents_put_into_one_list_are_read() {
    let (Some(documents), Some(lists)) = (case("jq-slurp"), case("jq-slurp-records")) else {
        return;
    };
    is_whole(&documents, &[40, 41]);
    is_whole(&lists, &[40, 41, 42]);
}

#[test]
fn a_notification_of_s3_is_no_event() {
    // `case("s3-notification")` has no event, which is an error.
    let Some(folder) = shared::folder("cases/s3-notification") else {
        return;
    };
    let error = nothing(&folder);
    assert!(
        error.contains("1 record of others than CloudTrail"),
        "{error}"
    );
}

#[test]
fn a_log_file_and_its_unpacked_copy_are_read_once() {
    let Some(seen) = case("gunzip-k") else {
        return;
    };
    is_whole(&seen, &[30]);
    assert_eq!(seen.metrics["files_repeated"], 1, "{:?}", seen.metrics);
}

#[test]
fn an_error_code_of_a_success_is_no_failure() {
    let Some(seen) = case("grafana") else {
        return;
    };
    is_whole(&seen, &[1, 2, 3, 4]);
    let failed = |at: usize| seen.fields[at].get("ct.failed").map(|field| &field.value);
    assert_ne!(failed(0), Some(&json!("true")));
    assert!(!seen.texts[0].starts_with('!'), "{}", seen.texts[0]);
}

#[test]
fn archives_are_read_or_named() {
    let Some(seen) = case("mixed-archives") else {
        return;
    };
    let warnings = warnings(&seen).join("\n");
    for said in [
        "2021.7z: is a 7z archive, which is not opened here: unpack it first",
        "2022.tar.bz2: is compressed by bzip2, which is not opened here",
        "T1005Z_AAAAAAAAAAAAAAAA.json.bz2: is compressed by bzip2, which is not opened here",
        // Only the beginning of one.
        "T1010Z_AAAAAAAAAAAAAAAA.json.zst: is compressed, but holds no JSON",
    ] {
        assert!(warnings.contains(said), "{said}: {warnings}");
    }
    // Of the log file, and of the archive that is opened.
    assert_eq!(seen.ids(), numbered(&[1, 2]));
}

#[test]
fn commas_and_new_lines_are_no_loss() {
    let (Some(commas), Some(newline)) = (case("jsonl-commas"), case("gz-trailing-newline")) else {
        return;
    };
    is_whole(&commas, &[1, 2, 3]);
    assert_eq!(warnings(&newline), [""; 0], "{}", newline.words());
    assert!(!newline.ids().is_empty(), "{}", newline.words());
}

#[test]
fn base64_without_an_end_of_line_is_named() {
    let mut random = fastrand::Rng::with_seed(1);
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(1 << 20)
        .collect();
    let folder = TempDir::new().unwrap();
    let text = BASE64_STANDARD.encode(bytes);
    let error = nothing(&write(&folder.path().join("x.json"), text.as_bytes()));
    assert!(
        error.contains("x.json: is neither gzip nor JSON"),
        "{error}"
    );
}

#[test]
fn brackets_that_never_close_do_not_hide_a_file_beside_them() {
    let folder = TempDir::new().unwrap();
    let file = Maker::new(1).file("111122223333", "us-east-1", "20240305T1205Z", 3);
    file.write(folder.path());
    write(
        &folder.path().join("x.json"),
        "{{}".repeat(100_000).as_bytes(),
    );
    let seen = read(folder.path());
    assert_eq!(seen.ids(), trail::ids(&[file]), "{}", seen.words());
    assert!(seen.words().contains("x.json"), "{}", seen.words());
}

#[test]
fn lines_that_look_like_the_header_of_an_archive_are_read() {
    let mut maker = Maker::new(2);
    let file = maker.file("111122223333", "us-east-1", "20240305T1205Z", 3);
    // The magic of tar at 257, as a long name may have it there.
    let first = &file.records[0].json;
    let head = r#"{"eventVersion":"1.08","sourceIdentity":""#;
    let padding = "x".repeat(257 - head.len());
    let first = first.replacen(
        r#"{"eventVersion":"1.08","#,
        &format!(r#"{head}{padding}ustar","#),
        1,
    );
    let rest = file.records[1..].iter().map(|record| record.json.as_str());
    let lines: Vec<&str> = [first.as_str()].into_iter().chain(rest).collect();
    let text = lines.join("\n") + "\n";
    assert_eq!(&text.as_bytes()[257..262], b"ustar");
    for (name, bytes) in [
        ("x.jsonl", text.clone().into_bytes()),
        ("x.jsonl.gz", gzip(text.as_bytes())),
    ] {
        let folder = TempDir::new().unwrap();
        let seen = read(&write(&folder.path().join(name), &bytes));
        assert_eq!(
            seen.ids(),
            trail::ids(std::slice::from_ref(&file)),
            "{}",
            seen.words()
        );
        assert_eq!(warnings(&seen), [""; 0]);
    }
}

#[test]
fn another_account_above_the_trail_hides_nothing() {
    let file = Maker::new(3).file("111122223333", "us-east-1", "20240305T1205Z", 3);
    let key = file.key("copies/AWSLogs/999999999999/CloudTrail/");
    let folder = TempDir::new().unwrap();
    write(&folder.path().join(&key), &file.gz());
    let aws = Aws::start();
    aws.put("trail", &key, &file.gz());
    for url in [
        folder.path().to_str().unwrap(),
        "s3://trail/copies/AWSLogs/999999999999/",
    ] {
        let seen = Capture::new(url)
            .aws(&aws)
            .config(json!({"s3AccountList": "111122223333"}))
            .run();
        assert_eq!(seen.error, None, "{}", seen.words());
        assert_eq!(
            seen.ids(),
            trail::ids(std::slice::from_ref(&file)),
            "{url}: {}",
            seen.words()
        );
    }
}

#[test]
fn a_record_as_deep_as_it_is_long_is_redacted() {
    const DEPTH: usize = 1 << 20;
    let file = Maker::new(4).file("111122223333", "us-east-1", "20240305T1205Z", 2);
    let deep = format!(
        r#"{{"password":{}"hunter2"{},"#,
        "[".repeat(DEPTH),
        "]".repeat(DEPTH)
    );
    let deep = file.records[0].json.replacen('{', &deep, 1);
    let folder = TempDir::new().unwrap();
    let text = log_text(&[&deep, &file.records[1].json]);
    let path = write(&folder.path().join(file.name()), &gzip(&text));
    let seen = Capture::new(path.to_str().unwrap())
        .config(json!({"redact": "secrets"}))
        .run();
    assert_eq!(seen.error, None, "{}", seen.words());
    assert_eq!(seen.ids(), trail::ids(&[file]), "{}", seen.words());
    let shown = String::from_utf8_lossy(seen.events[0].payload()).into_owned();
    assert!(!shown.contains("hunter2"));
}

#[test]
fn copies_in_a_bucket_are_read_once_wherever_a_page_ends() {
    let mut maker = Maker::new(5);
    let files: Vec<_> = ["20240305T1200Z", "20240305T1205Z", "20240305T1210Z"]
        .map(|time| maker.file("111122223333", "us-east-1", time, 2))
        .into();
    for (page, elsewhere) in [1, 2, 3, 1000]
        .into_iter()
        .flat_map(|page| [(page, true), (page, false)])
    {
        let aws = Aws::start();
        aws.page(page);
        for file in &files {
            aws.put("trail", &file.key(""), &file.gz());
            // Unpacked beside it.
            aws.put("trail", &file.key("").replace(".gz", ""), &file.json());
            if elsewhere {
                aws.put("trail", &file.key("copy/"), &file.gz());
            }
        }
        let seen = Capture::new("s3://trail").aws(&aws).run();
        assert_eq!(seen.error, None, "{}", seen.words());
        let of = format!("{page} keys a page, elsewhere: {elsewhere}");
        assert_eq!(seen.ids(), trail::ids(&files), "{of}: {}", seen.words());
        let repeated = if elsewhere { 6 } else { 3 };
        assert_eq!(seen.metrics["files_repeated"], repeated, "{of}");
    }
}

#[test]
fn a_bucket_that_is_not_there_costs_no_event_of_another() {
    let aws = Aws::start();
    let files = Maker::new(6).trail(&["111122223333"], &["us-east-1"], "20240305T1200Z", 4, 2);
    aws.queues().create("news", Duration::from_secs(300));
    let tell = |bucket: &str, key: &str| {
        let news = json!({"Records": [{
            "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": bucket}, "object": {"key": key}},
        }]});
        aws.queues().send("news", news.to_string());
    };
    for file in &files {
        file.put(&aws, "trail");
        tell("gone-long-ago", &file.key(""));
        tell("trail", &file.key(""));
    }
    let events = trail::ids(&files);
    let seen = Capture::new("sqs://news")
        .aws(&aws)
        .enough(events.len())
        .run();
    assert_eq!(seen.error, None, "{}", seen.words());
    assert_eq!(
        trail::sorted(seen.ids()),
        trail::sorted(events),
        "{}",
        seen.words()
    );
    assert!(seen.words().contains("gone-long-ago"), "{}", seen.words());
}

#[test]
fn copies_are_read_once_whatever_is_proven_of_them() {
    let files = Maker::new(7).trail(&["111122223333"], &["us-east-1"], "20240305T1205Z", 3, 2);
    let aws = Aws::start();
    let signer = Signer::one();
    let mut chain = Chain::new("trail", "111122223333", "us-east-1");
    chain.digest(&signer, "20240305T1200Z", &files).put(&aws);
    for file in &files {
        file.put(&aws, "trail");
        aws.put("trail", &file.key("").replace(".gz", ""), &file.json());
    }
    for validate in ["warn", "strict"] {
        let capture = Capture::new("s3://trail")
            .aws(&aws)
            .file("keys.json", &public_keys(&[&signer]).to_string());
        let keys = capture.home().join("keys.json");
        let seen = capture
            .config(json!({"validate": validate, "validateKeys": keys}))
            .run();
        assert_eq!(
            seen.ids(),
            trail::ids(&files),
            "{validate}: {}",
            seen.words()
        );
        // The unpacked ones too, by what they hold.
        assert_eq!(
            seen.metrics["files_proven"],
            6,
            "{validate}: {}",
            seen.words()
        );
    }
}
