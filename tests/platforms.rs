//! The builds for Windows and arm64, in a host of the same platform, read what the one for this machine reads.
//!
//! `scripts/test --all` makes the builds and requires these tests; elsewhere they are skipped where a build is missing.
//! Any other test file's captures run there, too, with `CLOUDTRAIL_PLATFORM` set to `windows-x86_64` or `linux-aarch64`.

#![cfg(target_os = "linux")]

use std::path::Path;

use harness::{
    aws::{Aws, Credentials, Fault, Op, REGION},
    capture::{Capture, Seen, Stage},
    platform::Platform,
    shared,
    trail::{self, Maker, gzip, sorted, write},
};
use serde_json::{Value, json};

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

macro_rules! on_each_platform {
    ($($test:ident)*) => {
        mod windows { $(#[test] fn $test() { super::on("windows-x86_64", super::$test) })* }
        mod arm64 { $(#[test] fn $test() { super::on("linux-aarch64", super::$test) })* }
    };
}

on_each_platform! {
    every_field_of_the_golden_samples
    paths_as_users_write_them
    a_bucket_over_http_and_https
    a_queue
    open_params_that_name_nothing
    damaged_files_are_named
    the_library_stays_loaded_over_captures_with_work_in_flight
    the_usual_files_of_credentials
    the_credentials_file_of_the_dialog
    single_sign_on
    aws_login
    a_process_that_gives_credentials
    errors_of_aws
}

fn on(name: &str, body: fn(&Platform)) {
    if let Some(platform) = Platform::find(name) {
        body(&platform);
    }
}

/// Asserts that all was read, and nothing said.
fn assert_read(capture: Capture, ids: &[String]) -> Seen {
    let seen = capture.run();
    assert_eq!((seen.error.as_ref(), seen.stderr.as_str()), (None, ""));
    assert!(seen.status.success(), "{}", seen.status);
    assert_eq!(seen.ids(), ids);
    seen
}

fn every_field_of_the_golden_samples(platform: &Platform) {
    let Some(samples) = shared::folder("cloudtrail-samples") else {
        return;
    };
    for (set, events) in [("trail", 2900), ("records", 1025)] {
        let folder = samples.join(set);
        // tests/golden.rs holds what this machine's build gives against the official plugin's.
        let here = Capture::new(folder.to_str().unwrap()).fields().run();
        let there = Capture::new(platform.path(&folder))
            .on(platform)
            .fields()
            .run();
        assert_eq!((&there.error, &there.stderr), (&here.error, &here.stderr));
        assert_eq!(there.events.len(), events);
        for (index, event) in there.events.iter().enumerate() {
            let same = &here.events[index];
            // Where a record has no time, it is that of its file, of which Windows has tenths of microseconds.
            let tick = if platform.is_windows() { 100 } else { 1 };
            let ts = same.ts() / tick * tick;
            assert_eq!((event.payload(), event.ts()), (same.payload(), ts), "{set}");
            assert_eq!(there.fields[index], here.fields[index], "{event:?}");
            assert_eq!(there.texts[index], here.texts[index], "{event:?}");
        }
        assert_eq!(there.metrics, here.metrics);
        assert_eq!(there.progress, here.progress);
    }
}

fn paths_as_users_write_them(platform: &Platform) {
    let new = |params: String| Capture::new(params).on(platform);
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("my trail ü 日本");
    let files = Maker::new(1).trail(&["123456789012"], &["us-east-1"], "20240305T2350Z", 2, 3);
    for file in &files {
        file.write(&folder);
    }
    let ids = trail::ids(&files);
    let native = platform.path(&folder);
    let url = |path: &str| {
        let path = path.replace('\\', "/").replace(' ', "%20");
        format!(
            "file://{}{path}",
            if path.starts_with('/') { "" } else { "/" }
        )
    };
    let mut forms = vec![native.clone(), format!(" {native} "), url(&native)];
    if platform.is_windows() {
        forms.extend([
            format!(r"{native}\"),
            native.to_lowercase(),
            native.replace('\\', "/"),
            format!("\"{native}\""),
            format!(r"\\?\{native}"),
            url(&native).replace("file:///", "file://localhost/"),
        ]);
    } else {
        forms.push(format!("{native}/"));
    }
    for form in forms {
        assert_read(new(form), &ids);
    }
    let mut of_home = vec!["~/my trail ü 日本"];
    if platform.is_windows() {
        of_home.extend([
            r"~\my trail ü 日本",
            r"%USERPROFILE%\my trail ü 日本",
            "%userprofile%/my trail ü 日本",
        ]);
    }
    for form in of_home {
        let mut capture = new(form.into());
        for file in &files {
            file.write(&capture.home().join("my trail ü 日本"));
        }
        capture = capture.config(json!({"s3AccountList": "123456789012"}));
        assert_read(capture, &ids);
    }
    // One file, and a part of the trail by time and account, which are in the folders' names.
    let file = &files[1];
    let path = folder.join(file.key(""));
    assert_read(
        new(platform.path(&path)),
        &trail::ids(std::slice::from_ref(file)),
    );
    for config in [
        json!({"s3AccountList": "210987654321"}),
        json!({"s3Interval": "2025-01-01T00:00:00Z"}),
    ] {
        let seen = new(native.clone()).config(config).run();
        assert_eq!((&seen.error, seen.events.len()), (&None, 0));
        assert!(
            seen.stderr.contains("2 log files outside"),
            "{}",
            seen.stderr
        );
    }
}

/// An AWS with log files.
fn a_bucket_over_http_and_https(platform: &Platform) {
    let (aws, files) = Aws::with_trail(5);
    let capture = || Capture::new("s3://logs/AWSLogs/").on(platform).aws(&aws);
    let ids = trail::ids(&files);
    assert_read(capture(), &ids);
    assert!(aws.log().iter().all(|request| !request.secure));
    let secure = || capture().config(json!({"aws": {"endpoint": aws.secure_endpoint()}}));
    let before = aws.log().len();
    let bundle = platform.path(aws.ca_file());
    assert_read(secure().env("AWS_CA_BUNDLE", bundle), &ids);
    assert!(aws.log()[before..].iter().all(|request| request.secure));
    // The system doesn't know this authority.
    let text = secure().open_error();
    assert!(text.to_lowercase().contains("certificate"), "{text}");
}

fn a_queue(platform: &Platform) {
    let (aws, files) = Aws::with_trail(3);
    aws.queues()
        .create("trail", std::time::Duration::from_secs(300));
    for file in &files {
        let message = json!({"Records": [{"eventName": "ObjectCreated:Put", "awsRegion": REGION,
            "s3": {"bucket": {"name": "logs"}, "object": {"key": file.key("")}}}]});
        aws.queues().send("trail", message.to_string());
    }
    let ids = trail::ids(&files);
    let seen = Capture::new("sqs://trail")
        .on(platform)
        .aws(&aws)
        .enough(ids.len())
        .run();
    assert_eq!(seen.error, None, "{}", seen.log());
    assert_eq!(sorted(seen.ids()), sorted(ids));
}

fn open_params_that_name_nothing(platform: &Platform) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let path = |name: &str| platform.path(&folder.path().join(name));
    for (params, words) in [
        (
            path("missing"),
            vec![path("missing"), "no such file or folder".into()],
        ),
        (
            path("empty"),
            vec![path("empty"), "no CloudTrail log file".into()],
        ),
        ("gs://bucket".into(), vec!["gs://".into()]),
        (String::new(), vec!["empty".into()]),
    ] {
        let text = Capture::new(params).on(platform).open_error();
        for word in words {
            assert!(text.contains(&word), "{word}: {text}");
        }
    }
    let seen = Capture::new("x")
        .on(platform)
        .config(json!({"s3Interval": "soon"}))
        .run();
    let (stage, text) = seen.error.unwrap();
    assert_eq!(stage, Stage::Init);
    assert!(text.contains("s3Interval"), "{text}");
}

fn damaged_files_are_named(platform: &Platform) {
    let files = Maker::new(1).trail(&["123456789012"], &["us-east-1"], "20240305T1205Z", 3, 2);
    let folder = tempfile::tempdir().unwrap();
    for file in &files {
        file.write(folder.path());
    }
    let broken = folder.path().join(files[1].key(""));
    write(&broken, &gzip(b"{\"Records\":[")[..12]);
    let seen = Capture::new(platform.path(folder.path()))
        .on(platform)
        .run();
    assert_eq!(seen.error, None);
    assert_eq!(
        seen.ids(),
        trail::ids(&[files[0].clone(), files[2].clone()])
    );
    for words in [seen.log(), seen.stderr.clone()] {
        assert!(words.contains(&files[1].name()), "{words}");
    }
    assert_eq!(seen.stderr.trim_end().lines().count(), 1, "{}", seen.stderr);
}

fn the_library_stays_loaded_over_captures_with_work_in_flight(platform: &Platform) {
    let (aws, files) = Aws::with_trail(6);
    // The first file never ends, in all captures but the last.
    aws.fault_times(
        20,
        |request| request.op == Op::GetObject,
        Fault::StallAfter(20),
    );
    let seen = Capture::new("s3://logs")
        .on(platform)
        .aws(&aws)
        .config(json!({"s3DownloadConcurrency": 2}))
        .rounds(10)
        .run();
    assert_eq!((seen.error.as_ref(), seen.stderr.as_str()), (None, ""));
    assert!(seen.status.success(), "{}", seen.status);
    assert_eq!(seen.ids(), trail::ids(&files));
    assert_eq!(seen.stays_loaded, Some(true));
}

/// Reads with temporary credentials, which only what `with` adds tells.
fn assert_logs_in(platform: &Platform, with: impl Fn(Capture, &Credentials) -> Capture) {
    let (aws, files) = Aws::with_trail(1);
    let capture = Capture::new("s3://logs")
        .on(platform)
        .endpoint(&aws)
        .env("AWS_ENDPOINT_URL_STS", aws.endpoint())
        .env("AWS_ENDPOINT_URL_SSO", aws.endpoint());
    assert_read(with(capture, &aws.issue()), &trail::ids(&files));
    for request in aws.log_of(Op::GetObject) {
        let key = request.access_key.clone().unwrap_or_default();
        assert!(key.starts_with("ASIA"), "{request:?}");
    }
}

fn the_usual_files_of_credentials(platform: &Platform) {
    let regions = "[profile audit]\nregion = us-east-1\n[default]\nregion = us-east-1\n";
    for profile in ["default", "audit"] {
        assert_logs_in(platform, |capture, keys| {
            let capture = capture
                .file(".aws/credentials", &keys.section(profile))
                .file(".aws/config", regions);
            match profile {
                "default" => capture,
                _ => capture.config(json!({"aws": {"profile": profile}})),
            }
        });
    }
}

fn the_credentials_file_of_the_dialog(platform: &Platform) {
    let mut forms = vec!["", "~/"];
    if platform.is_windows() {
        forms.extend([r"~\", r"%USERPROFILE%\"]);
    }
    for form in forms {
        assert_logs_in(platform, |capture, keys| {
            let capture = capture.file("my keys", &keys.section("default"));
            let path = match form {
                "" => platform.path(&capture.home().join("my keys")),
                home => format!("{home}my keys"),
            };
            capture.config(json!({"aws": {"credentials": path, "region": REGION}}))
        });
    }
    let missing = platform.path(Path::new("/no/such/file"));
    let text = Capture::new("s3://logs")
        .on(platform)
        .config(json!({"aws": {"credentials": missing}}))
        .open_error();
    assert!(
        text.contains(&missing) && text.contains("aws.credentials"),
        "{text}"
    );
}

fn single_sign_on(platform: &Platform) {
    let profile = "[profile work]\nregion = us-east-1\nsso_session = corp\nsso_account_id = 123456789012\n\
        sso_role_name = Audit\n[sso-session corp]\nsso_region = us-east-1\n\
        sso_start_url = https://corp.awsapps.com/start\nsso_registration_scopes = sso:account:access\n";
    let token = json!({"accessToken": "sso-token", "expiresAt": "2999-01-01T00:00:00Z", "region": REGION,
        "startUrl": "https://corp.awsapps.com/start"});
    // The name is the SHA-1 of the session's name.
    let name = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
    assert_logs_in(platform, |capture, _| {
        capture
            .file(".aws/config", profile)
            .file(name, &token.to_string())
            .config(json!({"aws": {"profile": "work"}}))
    });
}

fn aws_login(platform: &Platform) {
    let profile =
        "[default]\nregion = us-east-1\nlogin_session = arn:aws:iam::123456789012:user/carol\n";
    // The name is the SHA-256 of the session's.
    let name =
        ".aws/login/cache/db92b6267a8a205fc1c1c8dde4dbdbd8466aa21d3521bb9244a01b1940ee5695.json";
    assert_logs_in(platform, |capture, keys| {
        let cached = json!({
            "accessToken": {"accessKeyId": keys.access_key, "secretAccessKey": keys.secret_key,
                "sessionToken": keys.token, "accountId": "123456789012", "expiresAt": "2999-01-01T00:00:00Z"},
            "tokenType": "aws_sigv4", "refreshToken": "refresh", "idToken": "id",
            "clientId": "arn:aws:signin:::devtools/same-device", "dpopKey": "key",
        });
        capture
            .file(".aws/config", profile)
            .file(name, &cached.to_string())
    });
}

fn a_process_that_gives_credentials(platform: &Platform) {
    assert_logs_in(platform, |capture, keys| {
        let answer: Value = json!({"Version": 1, "AccessKeyId": keys.access_key,
            "SecretAccessKey": keys.secret_key, "SessionToken": keys.token, "Expiration": "2999-01-01T00:00:00Z"});
        let capture = capture.file("answer.json", &answer.to_string());
        let path = platform.path(&capture.home().join("answer.json"));
        let print = if platform.is_windows() {
            "cmd /c type"
        } else {
            "cat"
        };
        let profile =
            format!("[default]\nregion = us-east-1\ncredential_process = {print} {path}\n");
        capture.file(".aws/config", &profile)
    });
}

fn errors_of_aws(platform: &Platform) {
    let (aws, _) = Aws::with_trail(1);
    let capture = |bucket: &str| {
        Capture::new(format!("s3://{bucket}"))
            .on(platform)
            .aws(&aws)
    };
    let none = Capture::new("s3://logs")
        .on(platform)
        .endpoint(&aws)
        .env("AWS_REGION", REGION);
    let nowhere = capture("logs").config(json!({"aws": {"endpoint": "http://127.0.0.1:1"}}));
    for (capture, words) in [
        (capture("nothing-here"), ["NoSuchBucket", "nothing-here"]),
        (
            capture("logs").env("AWS_SECRET_ACCESS_KEY", "wrong"),
            ["secret", "environment"],
        ),
        (none, ["credentials", "aws.profile"]),
        (nowhere, ["can't reach it", "127.0.0.1:1"]),
    ] {
        let text = capture.open_error();
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
