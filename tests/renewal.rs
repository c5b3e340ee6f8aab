//! Credentials that expire during a capture.

use harness::{
    aws::{Aws, Credentials, REGION},
    capture::Capture,
    home::Home,
    host::{Instance, Plugin, ids},
    trail::{self, LogFile, Maker},
};
use serde_json::json;

/// A capture of many files, with so few downloads at once that most are still to come after the first batch.
fn start(test: impl FnOnce(&Aws, &Home, &[LogFile], &Credentials, Instance<'_>)) {
    let aws = Aws::start();
    let files = Maker::new(1).trail(
        &["123456789012"],
        &["us-east-1"],
        "20240305T0005Z",
        200,
        400,
    );
    for file in &files {
        file.put(&aws, "logs");
    }
    let home = Home::make();
    let first = aws.issue();
    home.log_in(&first);
    let plugin = Plugin::load(&home.config(&aws.endpoint(), json!({"s3DownloadConcurrency": 1})));
    let mut instance = plugin.open("s3://logs").unwrap();
    while instance.next_batch().events.is_empty() {}
    test(&aws, &home, &files, &first, instance);
}

#[test]
fn a_new_log_in_is_found() {
    start(|aws, home, files, first, mut instance| {
        home.log_in(&aws.issue());
        aws.expire(&first.access_key);
        let rest = instance.read_all(harness::host::LIMIT);
        assert_eq!(rest.error, None);
        // The first batch was read before.
        let all = trail::ids(files);
        let rest = ids(&rest.events);
        assert!(rest.len() > all.len() / 2);
        assert_eq!(rest, all[all.len() - rest.len()..]);
    });
}

#[test]
fn without_one_the_capture_fails_once_and_says_so() {
    start(|aws, _, files, first, mut instance| {
        aws.expire(&first.access_key);
        let rest = instance.read_all(harness::host::LIMIT);
        let error = rest.error.unwrap();
        assert!(
            error.contains("expired") && error.contains("s3://logs/"),
            "{error}"
        );
        assert!(!error.contains(&first.secret_key), "{error}");
        assert!(rest.events.len() < trail::ids(files).len());
        // Not one request for each of the files that are left.
        let refused = aws
            .log()
            .iter()
            .filter(|request| request.access_key.as_deref() == Some(&first.access_key))
            .count();
        assert!(refused < 150, "{refused}");
    });
}

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

#[test]
fn a_session_to_be_renewed_is_named_with_its_command() {
    let aws = Aws::start();
    aws.put("logs", "x.json.gz", b"");
    let config = "[profile sso]\nsso_session=corp\nsso_account_id=123456789012\nsso_role_name=audit\n\
                  [sso-session corp]\nsso_start_url=https://corp.awsapps.com/start\nsso_region=us-east-1\n\
                  [profile console]\nlogin_session=arn:aws:iam::123456789012:user/alice\n";
    for (profile, command) in [
        ("sso", "aws sso login --profile sso"),
        ("console", "aws login --profile console"),
    ] {
        let error = Capture::new("s3://logs")
            .endpoint(&aws)
            .env("AWS_REGION", REGION)
            .file(".aws/config", config)
            .config(json!({"aws": {"profile": profile}}))
            .open_error();
        // Hosts cut errors at 255 bytes.
        assert!(error.find(command).is_some_and(|at| at < 200), "{error}");
    }
}
