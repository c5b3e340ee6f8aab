//! Credentials that expire during a capture.

use std::time::Duration;

use harness::{
    aws::{Aws, Credentials, Fault, Op, REGION},
    capture::Capture,
    home::Home,
    host::{Instance, Plugin, ids},
    trail::{self, LogFile, Maker},
    until,
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
                  [profile console]\nlogin_session=arn:aws:iam::123456789012:user/alice\n\
                  [profile role]\nrole_arn=arn:aws:iam::123456789012:role/audit\nsource_profile=sso\n\
                  [profile \"my own\"]\nlogin_session=arn:aws:iam::123456789012:user/alice\n";
    for (profile, command) in [
        // Of a role, that of what it is assumed with.
        ("role", "aws sso login --profile sso"),
        ("my own", "aws login --profile 'my own'"),
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

const ROLE: &str = "arn:aws:iam::123456789012:role/audit";
const TOKEN: &str = "token-never-in-a-log";
/// In each way of failing; two of them are more than the SDK tries by itself.
const FAILURES: usize = 3;

/// A capture whose keys expire when some files were read, at a time when no others can be had: it waits for them, and
/// misses nothing. `fails` makes the provider fail, and gives what waits for the end of that.
fn assert_waits<W: FnOnce()>(aws: &Aws, capture: Capture, fails: impl FnOnce() -> W) {
    let mut maker = Maker::new(1);
    let files = maker.trail(&["123456789012"], &[REGION], "20240305T0005Z", 30, 3);
    for file in &files {
        file.put(aws, "logs");
    }
    // So slow that most files are still to come when the keys expire.
    let slowly = Fault::Delay(Duration::from_millis(100));
    aws.fault(|request| request.op == Op::GetObject, slowly);
    let running = capture
        .env("AWS_REGION", REGION)
        .config(json!({"s3DownloadConcurrency": 1}))
        .start();
    until("a file read", || aws.log_of(Op::GetObject).len() > 2);
    let first = aws.log_of(Op::GetObject)[0].access_key.clone().unwrap();
    let works_again = fails();
    aws.expire(&first);
    works_again();
    let seen = running.wait();
    assert_eq!(seen.error, None);
    assert_eq!(seen.ids(), trail::ids(&files));
    let last = aws.log_of(Op::GetObject).pop().unwrap().access_key;
    assert_ne!(last, Some(first));
}

/// A capture whose provider of credentials is a service, which answers 500 and then not at all.
fn assert_waits_for(aws: &Aws, capture: Capture, provider: Op) {
    let asked = || aws.log_of(provider).len();
    assert_waits(aws, capture.endpoint(aws), || {
        let before = asked();
        for fault in [Fault::error(500, "InternalFailure", "down"), Fault::Reset] {
            aws.fault_times(FAILURES, move |request| request.op == provider, fault);
        }
        move || until("the last failure", || asked() > before + 2 * FAILURES)
    });
}

#[test]
fn a_role_that_cant_be_assumed_for_a_while_is_waited_for() {
    let aws = Aws::start();
    aws.role(ROLE, None);
    let profile = format!("[default]\nrole_arn = {ROLE}\nsource_profile = base\n");
    let capture = Capture::new("s3://logs")
        .env("AWS_ENDPOINT_URL_STS", aws.endpoint())
        .file(".aws/credentials", &aws.issue().section("base"))
        .file(".aws/config", &profile);
    assert_waits_for(&aws, capture, Op::AssumeRole);
}

#[test]
fn a_web_identity_that_fails_for_a_while_is_waited_for() {
    let aws = Aws::start();
    aws.role(ROLE, None);
    let capture = Capture::new("s3://logs").file("token", TOKEN);
    let token = capture.home().join("token").to_str().unwrap().to_owned();
    let capture = capture
        .env("AWS_ENDPOINT_URL_STS", aws.endpoint())
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", token)
        .env("AWS_ROLE_ARN", ROLE);
    assert_waits_for(&aws, capture, Op::AssumeRoleWithWebIdentity);
}

#[test]
fn single_sign_on_that_fails_for_a_while_is_waited_for() {
    let aws = Aws::start();
    let profile = "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Audit\n\
        [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n";
    let token = json!({"accessToken": TOKEN, "expiresAt": "2999-01-01T00:00:00Z", "region": REGION,
        "startUrl": "https://corp.awsapps.com/start"});
    // The name is the SHA-1 of the session's name.
    let name = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
    let capture = Capture::new("s3://logs")
        .env("AWS_ENDPOINT_URL_SSO", aws.endpoint())
        .file(".aws/config", profile)
        .file(name, &token.to_string());
    assert_waits_for(&aws, capture, Op::Sso);
}

#[test]
fn a_container_that_fails_for_a_while_is_waited_for() {
    let aws = Aws::start();
    aws.container_token(TOKEN);
    let uri = format!("{}/container/credentials", aws.endpoint());
    let capture = Capture::new("s3://logs")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", TOKEN);
    assert_waits_for(&aws, capture, Op::Container);
}

#[test]
fn an_instance_whose_metadata_fail_for_a_while_is_waited_for() {
    let aws = Aws::start();
    let capture = Capture::new("s3://logs")
        .env("AWS_EC2_METADATA_DISABLED", "false")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", aws.endpoint());
    assert_waits_for(&aws, capture, Op::Instance);
}

#[test]
#[cfg(unix)]
fn a_process_that_fails_for_a_while_is_waited_for() {
    use std::fs;

    let aws = Aws::start();
    let answer = || {
        let keys = aws.issue();
        json!({"Version": 1, "AccessKeyId": keys.access_key, "SecretAccessKey": keys.secret_key,
            "SessionToken": keys.token, "Expiration": "2999-01-01T00:00:00Z"})
        .to_string()
    };
    let script =
        "cd \"$(dirname \"$0\")\"\n[ ! -e down ] || { echo >> down; exit 1; }\ncat answer.json\n";
    let capture = Capture::new("s3://logs")
        .endpoint(&aws)
        .file("answer.json", &answer())
        .file("process", script);
    let home = capture.home().to_owned();
    let profile = format!(
        "[default]\ncredential_process = sh {}\n",
        home.join("process").display()
    );
    let down = home.join("down");
    assert_waits(&aws, capture.file(".aws/config", &profile), || {
        fs::write(&down, "").unwrap();
        fs::write(home.join("answer.json"), answer()).unwrap();
        || {
            // It writes a line each time.
            until("the last failure", || {
                fs::read(&down).unwrap().len() >= FAILURES
            });
            fs::remove_file(&down).unwrap();
        }
    });
}
