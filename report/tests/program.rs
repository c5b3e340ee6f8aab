//! The program as its users start it: what it writes, what it says, and what it leaves behind.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use harness::aws::{Aws, Fault};
use harness::sample;
use harness::trail::{Maker, log_text, write};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The program, in a folder of its own and with nothing of the caller's environment.
fn report(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_report"));
    let plugin = harness::host::plugin_path().unwrap();
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("CLOUDTRAIL_PLUGIN", plugin);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What the page's script reads.
fn data(page: &Path) -> Value {
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page
        .split_once(r#"<script type="application/json" id="data">"#)
        .expect("data");
    let (data, _) = rest.split_once("</script>").expect("its end");
    assert!(!data.contains('<'), "something could end the data");
    serde_json::from_str(data).unwrap()
}

/// The values of a dimension, with their events.
fn values<'d>(data: &'d Value, key: &str) -> Vec<(&'d str, u64)> {
    let dimensions = data["dimensions"].as_array().unwrap();
    let dimension = dimensions.iter().find(|one| one["key"] == key).unwrap();
    let values = dimension["values"].as_array().unwrap();
    let pair = |value: &'d Value| Some((value[0].as_str()?, value[1].as_u64()?));
    values.iter().map(|value| pair(value).unwrap()).collect()
}

fn made() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in sample::files() {
        file.write(&folder.path().join("trail"));
    }
    folder
}

/// The names of the files of a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn the_page_counts_all_events() {
    let folder = made();
    let output = report(folder.path(), &["trail"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(files(folder.path()), ["cloudtrail-report.html", "trail"]);
    let data = data(&folder.path().join("cloudtrail-report.html"));
    let mut names: std::collections::BTreeMap<String, u64> = Default::default();
    let files = sample::files();
    let records = harness::trail::records(&files);
    for record in &records {
        let event: Value = serde_json::from_str(&record.json).unwrap();
        *names
            .entry(event["eventName"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    assert_eq!(data["events"], records.len());
    assert_eq!(data["partial"], Value::Null);
    let mut counted = values(&data, "name");
    counted.sort_unstable();
    let names: Vec<(&str, u64)> = names
        .iter()
        .map(|(name, events)| (&**name, *events))
        .collect();
    assert_eq!(counted, names);
    let counts = data["counts"].as_array().unwrap();
    let sum: u64 = counts.iter().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(sum, records.len() as u64);
    // Numbers were shown before the end.
    let said = said(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "report: opening trail");
    assert!(lines[1].contains(" events; "), "{said}");
    let rules = values(&data, "rule");
    assert!(
        rules.contains(&("Trail Stopped Or Deleted", 1)),
        "{rules:?}"
    );
}

#[test]
fn the_settings_count() {
    let folder = made();
    let config = r#"{"filter":"ct.user=mallory"}"#;
    let output = report(folder.path(), &["trail", config, "-o", "x.html"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let data = data(&folder.path().join("x.html"));
    let who = values(&data, "who");
    assert!(
        who.iter().all(|(who, _)| who.contains("mallory")),
        "{who:?}"
    );
    assert!(!who.is_empty());
    let metrics = &data["losses"]["metrics"];
    assert!(metrics["records_left_out"].as_u64() > Some(0), "{metrics}");
    let summary = data["losses"]["summary"].as_str().unwrap();
    assert!(summary.contains("left out by filter"), "{summary}");
}

#[test]
fn bad_input_leaves_the_plugins_words_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("page.html"), "an older page").unwrap();
    fs::create_dir(folder.path().join("broken")).unwrap();
    fs::write(folder.path().join("broken/log.json"), "{\"Records\":[{]").unwrap();
    for (arguments, words) in [
        (
            &["/nowhere"][..],
            "/nowhere: there is no such file or folder",
        ),
        (&["broken"], "nothing could be read"),
        (&["broken", "{\"s3Intervall\":\"\"}"], "is not a setting"),
        (&["broken", "{"], "report: "),
        (&["broken", "{\"filter\":\"ct.nme=x\"}"], "is not a field"),
    ] {
        let arguments = [arguments, &["-o", "page.html"]].concat();
        let output = report(folder.path(), &arguments).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{words}: {said}");
        assert_eq!(files(folder.path()), ["broken", "page.html"]);
        let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
        assert_eq!(page, "an older page");
    }
    let output = report(folder.path(), &["broken", "-o", "no/folder.html"])
        .output()
        .unwrap();
    assert!(
        said(&output).contains("no/folder.html can't be written"),
        "{output:?}"
    );
    assert_eq!(
        report(folder.path(), &[]).output().unwrap().status.code(),
        Some(2)
    );
}

#[test]
fn losses_are_told_as_the_plugin_tells_them() {
    let folder = made();
    write(
        &folder.path().join("trail/broken.json"),
        b"{\"Records\":[{\"eventName\":\"Cut\"},{\"eventNa",
    );
    write(&folder.path().join("trail/notes.txt"), b"not a log file");
    let output = report(folder.path(), &["trail", "-o", "x.html"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let losses = &data(&folder.path().join("x.html"))["losses"];
    let warnings = losses["warnings"].to_string();
    assert!(warnings.contains("broken.json"), "{losses}");
    let summary = losses["summary"].as_str().unwrap();
    assert!(summary.contains("1 log file lost a part"), "{losses}");
    assert_eq!(losses["metrics"]["files_damaged"], 1, "{losses}");
}

#[test]
fn ctrl_c_leaves_a_page_of_what_was_read() {
    let aws = Aws::start();
    let folder = tempfile::tempdir().unwrap();
    let mut maker = Maker::new(3);
    let file = maker.file("111122223333", "us-east-1", "20240305T1200Z", 40);
    file.put(&aws, "trail");
    // It waits for more events, for ever.
    let config = json!({"s3Follow": true, "aws": {"endpoint": aws.endpoint()}}).to_string();
    let mut command = report(folder.path(), &["s3://trail/", &config, "-o", "x.html"]);
    command
        .env("AWS_ACCESS_KEY_ID", harness::aws::ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", harness::aws::SECRET_KEY)
        .env("AWS_REGION", harness::aws::REGION)
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let seen = lines.find(|line| {
        line.as_ref()
            .is_ok_and(|line| line.contains("report: 40 events"))
    });
    assert!(seen.is_some(), "no progress");
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let status = child.wait().unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(status.code(), Some(130), "{rest:?}");
    assert!(
        rest.iter()
            .any(|line| line.contains("PARTIAL: 40 events in x.html")),
        "{rest:?}"
    );
    let data = data(&folder.path().join("x.html"));
    assert_eq!(
        (&data["events"], &data["partial"]),
        (&json!(40), &json!("interrupted"))
    );
}

/// What was read is not lost with what can't be.
#[test]
fn a_capture_that_breaks_off_leaves_a_partial_page_and_its_error() {
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
    let folder = tempfile::tempdir().unwrap();
    let config = json!({"aws": {"endpoint": aws.endpoint()}}).to_string();
    let url = format!("s3://logs/{}", files[0].day(""));
    let output = report(folder.path(), &[&url, &config, "-o", "x.html"])
        .env("AWS_ACCESS_KEY_ID", harness::aws::ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", harness::aws::SECRET_KEY)
        .env("AWS_REGION", harness::aws::REGION)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said(&output).contains("AccessDenied"), "{output:?}");
    let data = data(&folder.path().join("x.html"));
    assert_eq!(data["events"], 2);
    let why = data["partial"].as_str().unwrap();
    assert!(why.contains("AccessDenied"), "{why}");
}

/// What is there may be a link, a pipe, or somebody's private file.
#[test]
fn the_page_goes_where_it_is_sent() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = made();
    let at = |name: &str| folder.path().join(name);
    let events = |page: &Path| data(page)["events"].clone();
    let all = harness::trail::records(&sample::files()).len();

    fs::write(at("private.html"), "old").unwrap();
    fs::set_permissions(at("private.html"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("private.html", at("link.html")).unwrap();
    let output = report(folder.path(), &["trail", "-o", "link.html"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(at("link.html").is_symlink());
    assert_eq!(events(&at("private.html")), all);
    let mode = at("private.html").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let pipe = at("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let read = fs::File::create(at("read.html")).unwrap();
    let mut reader = Command::new("cat").arg(&pipe).stdout(read).spawn().unwrap();
    let output = report(folder.path(), &["trail", "-o", "pipe"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(reader.wait().unwrap().success());
    assert_eq!(events(&at("read.html")), all);

    let output = report(folder.path(), &["trail", "-o", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::write(at("stdout.html"), &output.stdout).unwrap();
    assert_eq!(events(&at("stdout.html")), all);

    // Before anything is opened.
    for (place, why) in [
        ("trail", "is a folder"),
        ("none/x.html", "can't be written"),
    ] {
        let output = report(folder.path(), &["no such trail", "-o", place])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said(&output).contains(why), "{output:?}");
    }
    let left = [
        "link.html",
        "pipe",
        "private.html",
        "read.html",
        "stdout.html",
        "trail",
    ];
    assert_eq!(files(folder.path()), left);
}

#[test]
fn ctrl_c_ends_it_while_nothing_has_been_read() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let config = json!({"aws": {"endpoint": endpoint}}).to_string();
    let mut child = report(folder.path(), &["s3://trail/AWSLogs/", &config])
        .env("AWS_ACCESS_KEY_ID", harness::aws::ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", harness::aws::SECRET_KEY)
        .env("AWS_REGION", harness::aws::REGION)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert_eq!(line, "report: opening s3://trail/AWSLogs/");
    // It asks for something, and waits.
    let _asked = silent.accept().unwrap();
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(files(folder.path()).is_empty());
}

/// The time of the file is not the event's.
#[test]
fn an_event_without_a_time_is_in_no_bar() {
    let folder = tempfile::tempdir().unwrap();
    let records = [
        r#"{"eventName":"A","eventID":"1","eventTime":"2024-03-05T12:00:00Z"}"#,
        r#"{"eventName":"A","eventID":"2"}"#,
        r#"{"eventName":"A","eventID":"3","eventTime":"yesterday"}"#,
        r#"{"eventName":"A","eventID":"4","eventTime":"1901-01-01T00:00:00Z"}"#,
        r#"{"eventName":"A","eventID":"5","eventTime":"9999-12-31T00:00:00Z"}"#,
    ];
    fs::write(folder.path().join("log.json"), log_text(&records)).unwrap();
    let output = report(folder.path(), &["log.json", "-o", "x.html"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let data = data(&folder.path().join("x.html"));
    assert_eq!(
        (&data["events"], &data["without_time"]),
        (&json!(5), &json!(4))
    );
    assert_eq!(
        (&data["first"], &data["last"]),
        (&json!(1_709_640_000), &json!(1_709_640_000))
    );
    assert_eq!(data["timeline"]["events"], json!([1]));
}

/// Longer than what other programs show of an error.
#[test]
fn an_error_is_told_in_full() {
    let folder = tempfile::tempdir().unwrap();
    let path = "no such folder/".repeat(30);
    let output = report(folder.path(), &[&path]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let whole = format!("{path}: there is no such file or folder");
    assert!(said(&output).contains(&whole), "{output:?}");
}

/// Names and user agents are an attacker's.
#[test]
fn nothing_in_an_event_can_end_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let evil = "</script><!--<script>\u{2028}\u{202e}\"'&\u{1}";
    let record = json!({
        "eventName": evil, "userAgent": evil.repeat(10_000), "sourceIPAddress": evil, "errorCode": evil,
        "awsRegion": evil, "eventSource": evil, "readOnly": evil, "recipientAccountId": evil,
        "userIdentity": {"type": "IAMUser", "userName": evil, "arn": evil},
        "eventTime": "2024-03-05T12:00:00Z", "eventID": "1",
    });
    fs::write(
        folder.path().join("log.json"),
        log_text(&[&record.to_string()]),
    )
    .unwrap();
    let output = report(folder.path(), &["log.json", "-o", "x.html"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let data = data(&folder.path().join("x.html"));
    assert_eq!(values(&data, "name"), [(evil, 1)]);
    let agents = values(&data, "agent");
    assert!(
        agents[0].0.len() <= 255 && evil.repeat(20).starts_with(agents[0].0),
        "{agents:?}"
    );
}
