//! Bad input: a clear error that names it, and nothing else is lost.

use std::path::Path;

use harness::{
    aws::{Aws, Fault, Op},
    capture::{Capture, Seen, Stage},
    host::{Plugin, ids},
    trail::{self, LogFile, Maker, gzip, log_text, write},
};
use serde_json::json;
use tempfile::TempDir;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// The words in which opening fails.
fn open_error(params: &str) -> String {
    let plugin = Plugin::load("");
    match plugin.open(params) {
        Err(error) => format!("{error:#}"),
        Ok(_) => panic!("opened {params}"),
    }
}

fn assert_names(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

fn make(seed: u64) -> LogFile {
    Maker::new(seed).file(
        "123456789012",
        "us-east-1",
        &format!("202403{:02}T1205Z", seed),
        3,
    )
}

#[test]
fn open_params_that_name_nothing() {
    for (params, words) in [
        ("", &["empty", "s3://"][..]),
        ("   ", &["empty"]),
        ("s3://", &["s3://", "bucket"]),
        ("s3:///prefix", &["s3:///prefix", "bucket"]),
        ("s3://b ucket/x", &["b ucket"]),
        ("ftp://host/logs", &["ftp://", "s3://BUCKET"]),
        ("gs://bucket/logs", &["gs://"]),
        ("https://example.com/logs", &["https://example.com/logs"]),
        (
            "arn:aws:sns:us-east-1:123456789012:topic",
            &["arn:aws:sns:us-east-1:123456789012:topic"],
        ),
        ("arn:aws:s3", &["arn:aws:s3"]),
        ("sqs://", &["sqs://", "the queue's name is missing"]),
        ("file://", &["file://"]),
    ] {
        assert_names(&open_error(params), words);
    }
}

#[test]
fn paths_that_name_nothing() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for missing in ["missing", "missing.json.gz", "missing/"] {
        assert_names(
            &open_error(&path(missing)),
            &[&path(missing), "no such file"],
        );
    }
    std::fs::create_dir(path("empty")).unwrap();
    assert_names(&open_error(&path("empty")), &[&path("empty"), "empty"]);
    write(Path::new(&path("others/notes.txt")), b"notes");
    assert_names(&open_error(&path("others")), &[&path("others"), ".json"]);
}

/// Everything else in the folder comes, and the broken file is named in the log and on stderr.
fn assert_only_lost(broken: &[u8], good: &[&str], words: &[&str]) {
    let capture = Capture::new("~/trail");
    let folder = capture.home().join("trail");
    let (before, after) = (make(1), make(3));
    before.write(&folder);
    after.write(&folder);
    let name = make(2).name();
    write(&folder.join(&name), broken);
    let seen = capture.run();
    assert_eq!(seen.error, None, "{words:?}");
    let wanted = [
        trail::ids(&[before]),
        good.iter().map(|id| id.to_string()).collect(),
        trail::ids(&[after]),
    ]
    .concat();
    assert_eq!(seen.ids(), wanted, "{words:?}");
    assert_names(&seen.log(), &[&name]);
    assert_names(&seen.log(), words);
    // One line, since it pops up in front of a user.
    assert_eq!(seen.stderr.trim_end().lines().count(), 1, "{}", seen.stderr);
    assert_names(&seen.stderr, &[&name]);
}

const A: &str = r#"{"eventID":"a","eventTime":"2024-03-02T12:00:00Z"}"#;
const B: &str = r#"{"eventID":"b","eventTime":"2024-03-02T12:00:01Z"}"#;

#[test]
fn neither_gzip_nor_json() {
    assert_only_lost(b"\x00\x01\x02 binary", &[], &["neither gzip nor JSON"]);
    assert_only_lost(b"<html>sign in</html>", &[], &["JSON"]);
    assert_only_lost(b"", &[], &["empty"]);
    assert_only_lost(&gzip(b"version account-id\n2 -\n"), &[], &["JSON"]);
}

#[test]
fn truncated_gzip_delivers_what_it_holds() {
    // Incompressible, so that a part of the bytes is a part of the text.
    let mut random = fastrand::Rng::with_seed(1);
    let noise = |random: &mut fastrand::Rng| {
        std::iter::repeat_with(|| random.alphanumeric())
            .take(4000)
            .collect::<String>()
    };
    let records: Vec<String> = (0..9)
        .map(|id| format!(r#"{{"eventID":"{id}","eventTime":"2024-03-02T12:00:0{id}Z","requestParameters":{{"key":"{}"}}}}"#, noise(&mut random)))
        .collect();
    let text = log_text(&records.iter().map(String::as_str).collect::<Vec<_>>());
    let whole = gzip(&text);
    let cut = &whole[..whole.len() / 2];
    assert_only_lost(cut, &["0", "1", "2", "3"], &["truncated"]);
    // Only its check sum is missing: all records are there.
    let all: Vec<String> = (0..9).map(|id| id.to_string()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_only_lost(&whole[..whole.len() - 4], &all, &["truncated"]);
    // Cut before anything could be read.
    assert_only_lost(&whole[..5], &[], &["truncated"]);
    // The text is cut, not the gzip.
    assert_only_lost(
        &gzip(&text[..text.len() / 2]),
        &["0", "1", "2", "3"],
        &["JSON"],
    );
}

#[test]
fn corrupt_gzip_is_named() {
    let mut corrupt = gzip(&log_text(&[A, B]));
    let last = corrupt.len() - 5;
    corrupt[last] ^= 0xff;
    // A wrong check sum: the records may be right.
    assert_only_lost(&corrupt, &["a", "b"], &["gzip"]);
    let garbage = [gzip(&log_text(&[A, B])), b"garbage".to_vec()].concat();
    assert_only_lost(&garbage, &["a", "b"], &["7 bytes"]);
}

#[test]
fn json_without_records_is_named() {
    assert_only_lost(br#"{"configurationItems":[]}"#, &[], &["Records"]);
    assert_only_lost(br#"{"Records":{}}"#, &[], &["Records"]);
    assert_only_lost(br#"{"Records":null}"#, &[], &["Records"]);
    assert_only_lost(br#""text""#, &[], &["Records"]);
}

#[test]
fn one_broken_record_among_good_ones_is_lost_alone() {
    for broken in ["7", "null", "\"text\"", "[1]", "true"] {
        assert_only_lost(&log_text(&[A, broken, B]), &["a", "b"], &["record"]);
    }
    assert_only_lost(
        &log_text(&[A, r#"{"eventID":}"#, B]),
        &["a", "b"],
        &["record"],
    );
}

#[test]
fn a_capture_of_which_nothing_can_be_read_fails() {
    let capture = Capture::new("~/trail");
    let name = make(1).name();
    write(&capture.home().join("trail").join(&name), b"\x00");
    let seen = capture.run();
    let (stage, text) = seen.error.clone().unwrap();
    assert_eq!(stage, Stage::Read);
    assert_names(&text, &[&name]);
    // Where falcodump and Stratoshark show it.
    assert_names(&seen.stderr, &[&name]);
}

#[cfg(unix)]
#[test]
fn what_can_not_be_read_is_named() {
    use std::os::unix::fs::symlink;
    let capture = Capture::new("~/trail");
    let folder = capture.home().join("trail");
    let file = make(1);
    file.write(&folder);
    symlink("nowhere", folder.join("dangling.json.gz")).unwrap();
    // A loop has no end.
    symlink(&folder, folder.join("loop")).unwrap();
    let seen = capture.run();
    assert_eq!(
        (seen.error.clone(), seen.ids()),
        (None, trail::ids(&[file]))
    );
    assert_names(&seen.log(), &["dangling.json.gz", "loop"]);
    assert_names(&seen.stderr, &["dangling.json.gz"]);
}

fn s3(aws: &Aws, url: &str) -> Capture {
    Capture::new(url).aws(aws)
}

#[test]
fn a_bucket_that_is_not_there() {
    let aws = Aws::start();
    let text = s3(&aws, "s3://nowhere/AWSLogs/").open_error();
    assert_names(&text, &["s3://nowhere", "NoSuchBucket"]);
}

#[test]
fn no_key_at_all_under_the_url() {
    let aws = Aws::start();
    make(1).put(&aws, "logs");
    for url in [
        "s3://logs/AWSLog/",
        "s3://logs/AWSLogs/123456789012/CloudTrail/eu-west-9/",
        "s3://logs/AWSLogs/999",
    ] {
        assert_names(&s3(&aws, url).open_error(), &[url]);
    }
    std::fs::create_dir_all(aws.bucket("void")).unwrap();
    assert_names(&s3(&aws, "s3://void").open_error(), &["s3://void"]);
}

#[test]
fn access_denied_to_list() {
    let aws = Aws::start();
    make(1).put(&aws, "logs");
    aws.fault(|request| request.op == Op::ListObjects, Fault::denied());
    let text = s3(&aws, "s3://logs/AWSLogs/").open_error();
    assert_names(
        &text,
        &[
            "s3://logs/AWSLogs/",
            "AccessDenied",
            "s3:ListBucket",
            "environment",
        ],
    );
}

/// The one thing that AWS refuses is named, everything else comes.
fn assert_only_key_lost(fault: Fault, words: &[&str]) -> Seen {
    let aws = Aws::start();
    let files = [make(1), make(2), make(3)];
    for file in &files {
        file.put(&aws, "logs");
    }
    let lost = files[1].key("");
    let key = lost.clone();
    aws.fault(
        move |request| request.op == Op::GetObject && request.key == key,
        fault,
    );
    let seen = s3(&aws, "s3://logs").run();
    assert_eq!(seen.error, None, "{words:?}");
    assert_eq!(
        seen.ids(),
        trail::ids(&[files[0].clone(), files[2].clone()]),
        "{words:?}"
    );
    assert_names(&seen.log(), &[&format!("s3://logs/{lost}")]);
    assert_names(&seen.log(), words);
    assert_eq!(seen.stderr.trim_end().lines().count(), 1, "{}", seen.stderr);
    assert_names(&seen.stderr, &[&lost]);
    seen
}

#[test]
fn one_object_that_can_not_be_had() {
    assert_only_key_lost(Fault::denied(), &["AccessDenied", "s3:GetObject"]);
    assert_only_key_lost(
        Fault::error(404, "NoSuchKey", "The specified key does not exist."),
        &["NoSuchKey"],
    );
    let archived = "The operation is not valid for the object's storage class";
    assert_only_key_lost(
        Fault::error(403, "InvalidObjectState", archived),
        &["InvalidObjectState", "archived"],
    );
    let kms = "User: arn:aws:sts::123456789012:assumed-role/x/y is not authorized to perform: kms:Decrypt on resource: \
               arn:aws:kms:us-east-1:123456789012:key/k because no identity-based policy allows the kms:Decrypt action";
    assert_only_key_lost(Fault::error(403, "AccessDenied", kms), &["kms:Decrypt"]);
    assert_only_key_lost(Fault::Body(b"<html>sign in</html>".repeat(500)), &["JSON"]);
}

#[test]
fn a_broken_object_is_named_by_its_url() {
    let aws = Aws::start();
    let files = [make(1), make(2), make(3)];
    for file in &files {
        file.put(&aws, "logs");
    }
    let whole = files[1].gz();
    for (body, word) in [(&whole[..whole.len() - 4], "truncated"), (b"no", "JSON")] {
        aws.put("logs", &files[1].key(""), body);
        let seen = s3(&aws, "s3://logs").run();
        assert_eq!(seen.error, None);
        let url = format!("s3://logs/{}", files[1].key(""));
        assert_names(&seen.log(), &[&url, word]);
        assert_names(&seen.stderr, &[&url, word]);
        // All three records are before the check sum that is missing.
        assert_eq!(seen.events.len(), if word == "truncated" { 9 } else { 6 });
    }
}

#[test]
fn access_denied_to_all_objects_is_an_error() {
    let aws = Aws::start();
    for seed in 1..4 {
        make(seed).put(&aws, "logs");
    }
    aws.fault(|request| request.op == Op::GetObject, Fault::denied());
    let seen = s3(&aws, "s3://logs").run();
    let (_, text) = seen.error.clone().unwrap();
    assert_names(&text, &["s3://logs/", "s3:GetObject"]);
    assert_names(&seen.stderr, &["AccessDenied", "environment"]);
}

#[test]
fn expired_credentials() {
    let aws = Aws::start();
    make(1).put(&aws, "logs");
    let keys = aws.issue();
    aws.expire(&keys.access_key);
    let text = s3(&aws, "s3://logs")
        .env("AWS_ACCESS_KEY_ID", &keys.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &keys.secret_key)
        .env("AWS_SESSION_TOKEN", keys.token.clone().unwrap())
        .open_error();
    assert_names(&text, &["s3://logs", "expired", "environment"]);
    assert!(!text.contains("never-in-a-log"), "{text}");
}

#[test]
fn a_wrong_endpoint() {
    let keys = |url: &str| {
        Capture::new("s3://logs")
            .keys()
            .env("AWS_REGION", "us-east-1")
            .config(json!({"aws": {"endpoint": url}}))
    };
    // Nobody there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}");
    assert_names(&keys(&url).open_error(), &[&url, "s3://logs"]);
    // No such host.
    let url = "http://no-such-host.invalid:9000";
    assert_names(&keys(url).open_error(), &[url, "s3://logs"]);
    // Somebody who is not S3.
    let aws = Aws::start();
    aws.fault(|_| true, Fault::Body(b"<html>It works!</html>".to_vec()));
    assert_names(
        &keys(&aws.endpoint()).open_error(),
        &[&aws.endpoint(), "s3://logs"],
    );
    let aws = Aws::start();
    aws.fault(|_| true, Fault::Reset);
    assert_names(
        &keys(&aws.endpoint()).open_error(),
        &[&aws.endpoint(), "s3://logs"],
    );
}

#[test]
fn trouble_that_does_not_pass_is_an_open_error() {
    let aws = Aws::start();
    make(1).put(&aws, "logs");
    aws.fault(|request| request.op == Op::ListObjects, Fault::slow_down());
    assert_names(
        &s3(&aws, "s3://logs").open_error(),
        &["s3://logs", "SlowDown"],
    );
}

/// A listing that fails on a later page ends the capture with an error, after all that was found.
#[test]
fn a_listing_that_fails_later_is_an_error_and_not_an_end() {
    let aws = Aws::start();
    let files = Maker::new(1).trail(&["123456789012"], &["us-east-1"], "20240305T1205Z", 6, 1);
    for file in &files {
        file.put(&aws, "logs");
    }
    aws.page(2);
    aws.fault(
        |request| request.query.contains_key("continuation-token"),
        Fault::denied(),
    );
    let seen = s3(&aws, &format!("s3://logs/{}", files[0].day(""))).run();
    let (stage, text) = seen.error.clone().unwrap();
    assert_eq!(stage, Stage::Read);
    assert_names(&text, &["s3://logs/", "AccessDenied", "s3:ListBucket"]);
    assert_names(&seen.stderr, &["AccessDenied"]);
    assert_eq!(seen.ids(), trail::ids(&files[..2]));
}

#[test]
fn errors_name_the_file_of_the_configuration_that_can_not_be_read() {
    for key in ["config", "credentials"] {
        let seen = Capture::new("s3://logs")
            .config(json!({"aws": {key: "/no/such/file", "region": "us-east-1"}}))
            .run();
        let (_, text) = seen.error.unwrap();
        assert_names(&text, &[&format!("aws.{key}"), "/no/such/file"]);
    }
}

/// One object's trouble is no other's: a second capture of the same plugin is unharmed by the first.
#[test]
fn a_failed_open_leaves_the_plugin_usable() {
    let folder = TempDir::new().unwrap();
    let file = make(1);
    file.write(folder.path());
    let plugin = Plugin::load("");
    for _ in 0..3 {
        assert!(plugin.open("s3://").is_err());
        assert!(plugin.open("/no/such/folder").is_err());
        assert_eq!(
            ids(&plugin.events(folder.path().to_str().unwrap()).unwrap()),
            trail::ids(std::slice::from_ref(&file))
        );
    }
}
