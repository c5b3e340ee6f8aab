//! `redact`: what is to be hidden is nowhere, and all else is as it was.

use std::collections::BTreeSet;
use std::fs;
#[cfg(target_os = "linux")]
use std::io::{BufWriter, Write};
use std::path::Path;

use harness::aws::{Aws, REGION};
use harness::capture::Capture;
use harness::forms::{archives, forms};
use harness::host::{Event, Library, Plugin};
use harness::hosts::Hosts;
use harness::shared;
use harness::trail::{gzip, gzip_members, log_text, write};
#[cfg(target_os = "linux")]
use harness::{capture::alone, memory};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// In all that is to be hidden.
const PLANTED: &str = "PLANTED";

/// The pointers that lead to what is planted beyond the named secrets.
const RULES: &str =
    "secrets, /userIdentity/arn, /**/email, /requestParameters/tags/*/value, /responseElements/0";

/// Records with secrets in all sorts of places, written in all sorts of ways; each has its eventID.
const RECORDS: [&str; 7] = [
    // The example of AssumeRole in AWS's IAM User Guide, "Logging IAM and AWS STS API calls with AWS CloudTrail", has these members.
    r#"{"eventVersion":"1.08","eventID":"1","eventTime":"2024-03-06T08:00:00Z","eventName":"AssumeRole","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/PLANTED","accessKeyId":"AKIAPLANTED","userName":"alice"},"responseElements":{"credentials":{"accessKeyId":"ASIAPLANTED","expiration":"Mar 6, 2024","sessionToken":"PLANTED=="}}}"#,
    r#"{"eventVersion":"1.08","eventID":"2","eventTime":"2024-03-06T08:00:01Z","eventName":"CreateUser","requestParameters":{"passw\u006Frd":"PLANTED\u0022PLANTED","secretString":"{\"a\":\"PLANTED\"}","deep":[[{"clientSecret":["PLANTED"]}]]}}"#,
    r#"{"eventVersion":"1.08","eventID":"3","eventTime":"2024-03-06T08:00:02Z","eventName":"TagUser","requestParameters":{"tags":[{"key":"a","value":"PLANTED"},{"key":"b","value":{"x":"PLANTED","PLANTED":1}}],"contact":{"email":"PLANTED@example.com"}}}"#,
    r#"{"eventVersion":"1.08","eventID":"4","eventTime":"2024-03-06T08:00:03Z","eventName":"GetObject","requestParameters":{"bucketName":"photos","key":"a/b.jpg","X-Amz-Credential":"PLANTED/20240306/us-east-1/s3/aws4_request","X-Amz-Security-Token":"PLANTED","X-Amz-Signature":"PLANTED"},"additionalEventData":{"bytesTransferredOut":48231771}}"#,
    r#"{"eventVersion":"1.08","eventID":"5","eventTime":"2024-03-06T08:00:04Z","eventName":"Odd","password":"PLANTED","password":"PLANTED","responseElements":["PLANTED","seen"],"PASSWORD":null}"#,
    r#"{"eventVersion":"1.08","eventID":"6","eventTime":"2024-03-06T08:00:05Z","eventName":"Nothing","userIdentity":{"type":"IAMUser","userName":"alice"},"secretId":"arn:aws:secretsmanager:us-east-1:111122223333:secret:x"}"#,
    // Names of Redshift, ElastiCache, KMS, Lightsail, directories, AppSync and ECS, and what only looks alike.
    r#"{"eventVersion":"1.08","eventID":"7","eventTime":"2024-03-06T08:00:06Z","eventName":"Named","requestParameters":{"adminUserPassword":"PLANTED","authToken":"PLANTED","xks":[{"sharedSecret":"PLANTED"}],"privateKeyBase64":"PLANTED","bindPassword":"PLANTED","apiKey":"PLANTED","containerDefinitions":[{"environment":[{"name":"DB","value":"PLANTED"}]}],"nextToken":"seen","passwordResetRequired":false,"credentials":"arn:aws:iam::111122223333:role/seen"}}"#,
];

/// Whether something planted is in it, in whatever spelling.
fn is_planted(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes)
        .to_ascii_uppercase()
        .contains(PLANTED)
}

fn plugin() -> Plugin {
    let config = json!({ "redact": RULES }).to_string();
    Plugin::load(&config)
}

/// Everything that a host gets to know of an event.
fn seen(plugin: &Plugin, event: &Event) -> Vec<u8> {
    let library = Library::load().unwrap();
    let names = library.field_names();
    let fields = plugin.extract(event, &names).unwrap();
    let each = plugin.extract_each(event, &names).unwrap();
    let text = plugin.event_to_string(event).unwrap();
    let mut seen = event.payload().to_vec();
    seen.extend_from_slice(format!("{fields:?} {each:?} {text}").as_bytes());
    seen
}

fn read(bytes: &[u8]) -> Vec<Event> {
    read_file("events.json.gz", bytes)
}

fn read_file(name: &str, bytes: &[u8]) -> Vec<Event> {
    let folder = TempDir::new().unwrap();
    let path = write(&folder.path().join(name), bytes);
    let plugin = plugin();
    let events = plugin.events(path.to_str().unwrap()).unwrap();
    for event in &events {
        let seen = seen(&plugin, event);
        assert!(!is_planted(&seen), "{}", String::from_utf8_lossy(&seen));
    }
    events
}

/// What each record becomes has its length, its structure, and all that is not hidden.
fn assert_as_they_were(events: &[Event]) {
    assert_eq!(events.len(), RECORDS.len());
    for (event, record) in events.iter().zip(RECORDS) {
        assert_eq!(event.payload().len(), record.len());
        let value = event.json();
        let before: Value = serde_json::from_str(record).unwrap();
        for name in [
            "eventID",
            "eventTime",
            "eventName",
            "secretId",
            "additionalEventData",
        ] {
            assert_eq!(value[name], before[name], "{record}");
        }
    }
    let value = |index: usize, pointer: &str| events[index].json().pointer(pointer).cloned();
    let stars = |n| Some(Value::from("*".repeat(n)));
    assert_eq!(value(0, "/userIdentity/arn"), stars(38));
    assert_eq!(value(0, "/userIdentity/userName"), Some("alice".into()));
    assert_eq!(
        value(0, "/responseElements/credentials/sessionToken"),
        stars(9)
    );
    assert_eq!(
        value(0, "/responseElements/credentials/expiration"),
        Some("Mar 6, 2024".into())
    );
    assert_eq!(value(1, "/requestParameters/password"), stars(20));
    assert_eq!(
        value(1, "/requestParameters/deep/0/0/clientSecret"),
        stars(9)
    );
    assert_eq!(value(2, "/requestParameters/tags/0/key"), Some("a".into()));
    assert_eq!(value(2, "/requestParameters/tags/0/value"), stars(7));
    assert_eq!(value(2, "/requestParameters/tags/1/value"), stars(25));
    assert_eq!(value(2, "/requestParameters/contact/email"), stars(19));
    assert_eq!(value(3, "/requestParameters/key"), Some("a/b.jpg".into()));
    assert_eq!(value(4, "/responseElements/1"), Some("seen".into()));
    assert_eq!(value(4, "/PASSWORD"), Some(Value::Null));
    assert_eq!(events[5].payload(), RECORDS[5].as_bytes());
    let before: Value = serde_json::from_str(RECORDS[6]).unwrap();
    for name in ["nextToken", "passwordResetRequired", "credentials"] {
        let pointer = format!("/requestParameters/{name}");
        assert_eq!(value(6, &pointer), before.pointer(&pointer).cloned());
    }
}

#[test]
fn secrets_are_hidden_in_every_form_of_log_file() {
    let text = log_text(&RECORDS);
    let spaced = String::from_utf8(text.clone())
        .unwrap()
        .replace("[{\"eventVersion", "[ {\"eventVersion");
    let list = format!("[{}]", RECORDS.join(",\n"));
    for bytes in [
        text.clone(),
        gzip(&text),
        gzip_members(&text, 100),
        spaced.into_bytes(),
        list.into_bytes(),
        [&text[..], b" "].concat(),
    ] {
        assert_as_they_were(&read(&bytes));
    }
    // Too large to be decoded at once.
    let padding = format!("{{\"a\":\"{}\",\"Records\":[", "x".repeat(33 << 20));
    let large = [padding.as_bytes(), &text[b"{\"Records\":[".len()..]].concat();
    assert_as_they_were(&read(&gzip(&large)));
}

/// Those of others' records, and whatever holds CloudTrail's.
#[test]
fn secrets_are_hidden_in_every_form_that_events_come_in() {
    let mut files = Vec::new();
    for (number, (form, text, _)) in forms(&RECORDS).into_iter().enumerate() {
        println!("{form}");
        assert_as_they_were(&read(text.as_bytes()));
        assert_as_they_were(&read(&gzip(text.as_bytes())));
        files.push((format!("{number:02}.json"), text.into_bytes()));
    }
    assert!(files.len() > 20);
    for (ending, archive) in archives(&files) {
        println!("{ending}");
        let events = read_file(&format!("copy.{ending}"), &archive);
        assert_eq!(events.len(), files.len() * RECORDS.len());
        for form in events.chunks(RECORDS.len()) {
            assert_as_they_were(form);
        }
    }
}

#[test]
fn what_a_truncated_file_still_holds_is_redacted() {
    let cut = |text: &str, step: usize| -> Vec<Vec<u8>> {
        let lengths = (20..text.len()).step_by(step);
        lengths
            .map(|length| text.as_bytes()[..length].to_vec())
            .collect()
    };
    let forms = forms(&RECORDS);
    let mut parts = cut(&forms[0].1, 67);
    parts.extend(forms[1..].iter().flat_map(|(_, text, _)| cut(text, 307)));
    let mut records = 0;
    for text in parts {
        let folder = TempDir::new().unwrap();
        let path = write(&folder.path().join("events.json"), &text);
        let plugin = plugin();
        // Nothing at all may be readable, which is an error that names no record's content.
        match plugin.events(path.to_str().unwrap()) {
            Ok(events) => {
                records += events.len();
                assert!(
                    events
                        .iter()
                        .all(|event| !is_planted(&seen(&plugin, event)))
                );
            }
            Err(error) => assert!(!is_planted(format!("{error:#}").as_bytes()), "{error:#}"),
        }
        let logs = format!("{:?}", plugin.logs());
        assert!(!is_planted(logs.as_bytes()), "{logs}");
    }
    assert!(records > 200, "{records}");
}

/// Members after what is redacted are where they were: a range cut out of the payload is its field's value.
#[test]
fn ranges_stay_valid() {
    let events = read(&log_text(&RECORDS));
    let plugin = plugin();
    for (field, wanted) in [("s3.key", "\"a/b.jpg\""), ("s3.bytes.out", "48231771")] {
        let fields = plugin.extract_with(&events[3], &[field], true).unwrap();
        let (start, length) = fields[field].range.unwrap();
        let range = start as usize..(start + length) as usize;
        assert_eq!(&events[3].payload()[range], wanted.as_bytes());
    }
}

/// It is counted, for those who want to be sure, and read from S3 alike.
#[test]
fn a_bucket_is_redacted_and_the_log_says_how_much() {
    let aws = Aws::start();
    let key = format!(
        "AWSLogs/111122223333/CloudTrail/{REGION}/2024/03/06/111122223333_CloudTrail_{REGION}_20240306T0805Z_abcdefghijklmnop.json.gz"
    );
    aws.put("logs", &key, &gzip(&log_text(&RECORDS)));
    let seen = Capture::new("s3://logs")
        .config(json!({ "redact": RULES }))
        .aws(&aws)
        .fields()
        .run();
    assert_as_they_were(&seen.events);
    assert!(!is_planted(seen.words().as_bytes()), "{}", seen.words());
    assert!(
        seen.log()
            .contains("7 events from 1 log file; 23 values redacted"),
        "{}",
        seen.log()
    );
    assert_eq!(seen.metrics["values_redacted"], 23);
}

/// The names of members whose values differ.
fn names_of_changed(before: &Value, after: &Value, name: &str, names: &mut BTreeSet<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before {
                names_of_changed(value, &after[name], name, names);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (before, after) in before.iter().zip(after) {
                names_of_changed(before, after, name, names);
            }
        }
        _ if before != after => _ = names.insert(name.to_owned()),
        _ => {}
    }
}

/// Of public records, `secrets` hides what is secret, and nothing that an investigation needs. Some have asterisks already.
#[test]
fn what_is_hidden_of_public_records_is_secret() {
    let Some(samples) = shared::folder("cloudtrail-samples") else {
        return;
    };
    let read = |config: &str| {
        let plugin = Library::load().unwrap().init(config).unwrap();
        plugin.events(samples.to_str().unwrap()).unwrap()
    };
    let (before, after) = (read(""), read(r#"{"redact":"secrets"}"#));
    assert_eq!(before.len(), after.len());
    let mut names = BTreeSet::new();
    for (before, after) in before.iter().zip(&after) {
        names_of_changed(&before.json(), &after.json(), "", &mut names);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "accesKeyId",
            "accessKeyId",
            "accesskeyid",
            "keyMaterial",
            "masterUserPassword",
            "sessionToken",
            "userData",
        ]
    );
}

/// One as deep as it is long: what lies too deep is hidden, and costs no more memory than another record.
#[cfg(target_os = "linux")]
#[test]
fn a_deep_record_fills_no_memory() {
    alone("a_deep_record_fills_no_memory", || {
        const LEVELS: usize = 9_000_000;
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("deep.json");
        let mut file = BufWriter::new(fs::File::create(&path).unwrap());
        file.write_all(br#"{"Records":[{"eventID":"deep","a":"#)
            .unwrap();
        for part in ["{\"a\":", "{\"password\":\"PLANTED\"", "}"] {
            let times = if part.len() > 5 { 1 } else { LEVELS };
            for _ in 0..times {
                file.write_all(part.as_bytes()).unwrap();
            }
        }
        file.write_all(br#"},"eventName":"seen"}]}"#).unwrap();
        file.into_inner().unwrap();
        let plugin = plugin();
        let events = plugin.events(path.to_str().unwrap()).unwrap();
        assert_eq!(events.len(), 1);
        assert!(events[0].payload().ends_with(br#""eventName":"seen"}"#));
        assert!(!is_planted(events[0].payload()));
        assert_eq!(plugin.metrics().unwrap()["values_redacted"], 1);
        // The record, several times over: as it is read, handed over, kept and searched here.
        let peak = memory("VmHWM:");
        assert!(peak < 300, "{peak} MiB");
        println!("{peak} MiB at most");
    });
}

#[test]
fn a_rule_that_makes_no_sense_is_refused_at_once() {
    let config = json!({ "redact": "secrets,userIdentity" }).to_string();
    let error = Library::load().unwrap().init(&config).err().unwrap();
    assert_eq!(
        error.to_string(),
        "redact: \"userIdentity\" is neither a JSON pointer, such as /userIdentity/arn, nor secrets"
    );
}

/// What is redacted is shared as a capture.
#[test]
fn captures_of_hosts_hold_nothing_planted() {
    let Some(hosts) = Hosts::new("redaction") else {
        return;
    };
    fs::write(hosts.folder.join("log.json"), log_text(&RECORDS)).unwrap();
    let rules = RULES.replace(' ', "");
    let output = hosts.falcodump("log.json", "shared.scap", &["--cloudtrail-redact", &rules]);
    assert!(output.status.success(), "{output:?}");
    let capture = |name: &str| fs::read(Path::new(&hosts.folder).join(name)).unwrap();
    assert!(!is_planted(&capture("shared.scap")));
    let output = hosts.falcodump("log.json", "whole.scap", &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(is_planted(&capture("whole.scap")));
}
