//! Nothing secret is said, whatever goes wrong: not in errors, log lines of any level, progress, or on stderr.

use harness::{
    aws::{Aws, Credentials, Fault, Op, REGION, Request},
    capture::{Capture, Seen},
    trail::Maker,
};
use serde_json::json;

/// In all that is secret here.
const PLANTED: &str = "planted";

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

fn keys() -> Credentials {
    Credentials {
        access_key: "ASIAPLANTEDPLANTED00".into(),
        secret_key: "planted/secret/EXAMPLEKEY".into(),
        token: Some("planted-session-token".into()),
        partition: "aws".into(),
        expired: false,
    }
}

/// An AWS that knows the keys, with a trail and a queue.
fn world() -> Aws {
    let aws = Aws::start();
    aws.add_key(keys());
    let mut maker = Maker::new(1);
    for file in maker.trail(&["123456789012"], &[REGION], "20240305T1205Z", 3, 2) {
        file.put(&aws, "logs");
        let message = json!({"s3Bucket": "logs", "s3ObjectKey": [file.key("")]});
        aws.queues()
            .create("trail", std::time::Duration::from_secs(30));
        aws.queues().send("trail", message.to_string());
    }
    aws
}

fn capture(url: &str) -> Capture {
    let keys = keys();
    Capture::new(url)
        .env("AWS_ACCESS_KEY_ID", keys.access_key)
        .env("AWS_SECRET_ACCESS_KEY", keys.secret_key)
        .env("AWS_SESSION_TOKEN", keys.token.unwrap())
        .env("AWS_REGION", REGION)
        // For whoever listens to them.
        .env("RUST_LOG", "trace")
        .env("AWS_LOG_LEVEL", "trace")
        .limit(std::time::Duration::from_secs(5))
}

fn assert_nothing_planted(what: &str, seen: &Seen) {
    let words = seen.words();
    for line in words.lines() {
        let lower = line.to_ascii_lowercase();
        assert!(!lower.contains(PLANTED), "{what}: {line}");
        // A signed URL, or the header of a request.
        assert!(
            !lower.contains("x-amz-signature=") && !lower.contains("signature="),
            "{what}: {line}"
        );
    }
    let metrics = format!("{:?}", seen.metrics);
    assert!(!metrics.to_ascii_lowercase().contains(PLANTED));
}

/// What services say of failing requests, some of which repeat what they were sent.
#[test]
fn failing_services_are_not_repeated() {
    // As S3 does it: the token and what was signed are in its answer.
    let repeating = |code: &str| {
        let body = format!(
            "<Error><Code>{code}</Code><Message>It is refused</Message><AWSAccessKeyId>ASIAPLANTEDPLANTED00</AWSAccessKeyId>\
             <Token-0>planted-session-token</Token-0><StringToSign>AWS4-HMAC-SHA256 planted</StringToSign>\
             <SignatureProvided>planted</SignatureProvided></Error>"
        );
        Fault::Body(body.into_bytes())
    };
    let faults = [
        repeating("SignatureDoesNotMatch"),
        repeating("ExpiredToken"),
        Fault::error(403, "InvalidAccessKeyId", "It does not exist"),
        Fault::error(403, "SignatureDoesNotMatch", "It does not match"),
        Fault::error(400, "ExpiredToken", "It has expired"),
        Fault::error(400, "InvalidToken", "It is malformed"),
        Fault::denied(),
        Fault::error(404, "NoSuchBucket", "It does not exist"),
        Fault::error(400, "AuthorizationHeaderMalformed", "the region is wrong"),
        Fault::Body(b"<html>planted</html>".to_vec()),
        Fault::Reset,
        Fault::ResetAfter(30),
    ];
    type When = fn(&Request) -> bool;
    let listing: When = |request| request.op == Op::ListObjects;
    let reading: When = |request| request.op == Op::GetObject;
    let asking: When = |request| request.op == Op::Sqs;
    let looking_up: When = |request| request.op == Op::CloudTrail;
    let (mut failed, mut running) = (0, vec![]);
    for (url, when) in [
        ("s3://logs", listing),
        ("s3://logs", reading),
        ("sqs://trail", asking),
        ("sqs://trail", reading),
        ("cloudtrail://us-east-1", looking_up),
    ] {
        for fault in &faults {
            let aws = world();
            aws.fault(when, fault.clone());
            let capture = capture(url).endpoint(&aws).start();
            running.push((format!("{url} {fault:?}"), aws, capture));
        }
        for (what, _aws, capture) in running.drain(..) {
            let seen = capture.wait();
            failed += usize::from(seen.error.is_some() || !seen.log().is_empty());
            assert_nothing_planted(&what, &seen);
        }
    }
    assert!(failed > 30, "{failed}");
}

/// What users write may hold secrets: it is not shown to others with the error that it causes.
#[test]
fn secrets_in_settings_are_not_shown() {
    let signed = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAPLANTEDPLANTED00%2F20240305&X-Amz-Security-Token=planted&X-Amz-Signature=planted";
    let key = "AWSLogs/123456789012/CloudTrail/us-east-1/x.json.gz";
    let urls = [
        format!("https://logs.s3.us-east-1.amazonaws.com/{key}?{signed}"),
        format!("https://s3.us-east-1.amazonaws.com/logs/{key}?{signed}"),
        format!("https://example.com/logs/{key}?{signed}"),
        format!("https://sqs.us-east-1.amazonaws.com/123456789012/trail?{signed}"),
        "https://alice:planted@example.com/logs/".to_owned(),
        "http://alice:planted@127.0.0.1:1/logs/".to_owned(),
        "ftp://alice:planted@example.com/logs/".to_owned(),
        "s3://ASIAPLANTEDPLANTED00:planted@logs/AWSLogs".to_owned(),
    ];
    for url in &urls {
        // Nothing is sent to anywhere but here.
        let seen = capture(url).env("HTTPS_PROXY", "http://127.0.0.1:1").run();
        let (_, error) = seen.error.clone().unwrap_or_else(|| panic!("{url}"));
        println!("{url}\n  {error}");
        assert_nothing_planted(url, &seen);
    }
    for (name, config) in [
        (
            "endpoint",
            json!({"aws": {"endpoint": "http://alice:planted@127.0.0.1:1"}}),
        ),
        (
            "no endpoint",
            json!({"aws": {"endpoint": "alice:planted@127.0.0.1:1"}}),
        ),
        (
            "external ID",
            json!({"aws": {"roleArn": "arn:aws:iam::123456789012:role/a", "externalId": "planted", "endpoint": "http://127.0.0.1:1"}}),
        ),
    ] {
        // Nothing is sent to anywhere but here.
        let seen = capture("s3://logs")
            .config(config)
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .run();
        println!("{name}: {:?}", seen.error);
        assert!(seen.error.is_some(), "{name}");
        assert_nothing_planted(name, &seen);
    }
    let seen = capture("s3://logs")
        .env("HTTPS_PROXY", "http://alice:planted@127.0.0.1:1")
        .run();
    println!("proxy: {:?}", seen.error);
    assert!(seen.error.is_some());
    assert_nothing_planted("proxy", &seen);
}

/// Credentials that a program or a file gives in a form that is none.
#[test]
fn broken_sources_of_credentials_are_not_repeated() {
    let aws = world();
    let process = |answer: &str| format!("[default]\ncredential_process = echo '{answer}'\n");
    for config in [
        process(
            r#"{"Version": 1, "AccessKeyId": "ASIAPLANTEDPLANTED00", "SecretAccessKey": "planted"#,
        ),
        process(
            r#"{"Version": 9, "AccessKeyId": "ASIAPLANTEDPLANTED00", "SecretAccessKey": "planted"}"#,
        ),
        process(r#"{"Version": 1, "SecretAccessKey": "planted"}"#),
        process(
            r#"{"Version": 1, "AccessKeyId": "ASIAPLANTEDPLANTED00", "SecretAccessKey": "planted", "Expiration": "planted"}"#,
        ),
        "[default]\naws_access_key_id = ASIAPLANTEDPLANTED00\n".to_owned(),
        "[default]\naws_secret_access_key = planted\n".to_owned(),
        "[default\naws_secret_access_key = planted\n".to_owned(),
        "[default]\naws_secret_access_key planted\n".to_owned(),
    ] {
        let seen = Capture::new("s3://logs")
            .endpoint(&aws)
            .env("AWS_REGION", REGION)
            .file(".aws/config", &config)
            .run();
        println!("{config}  {:?}", seen.error);
        assert!(seen.error.is_some(), "{config}");
        assert_nothing_planted(&config, &seen);
    }
}
