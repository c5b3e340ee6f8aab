//! Records of any size and shape, in log files of any form.

use harness::{
    aws::Aws,
    capture::Capture,
    forms::{OTHER_ENVELOPE, envelope, forms, string},
    host::{Event, Plugin},
    trail::{LogFile, Maker, gzip, gzip_members, log_text, write},
};
use serde_json::Value;
use tempfile::TempDir;

fn plugin() -> Plugin {
    Plugin::load("")
}

/// What a log file of these bytes gives.
fn read(bytes: &[u8]) -> Vec<Event> {
    let folder = TempDir::new().unwrap();
    let path = write(&folder.path().join("events.json.gz"), bytes);
    plugin().events(path.to_str().unwrap()).unwrap()
}

fn payloads(events: &[Event]) -> Vec<&[u8]> {
    events.iter().map(Event::payload).collect()
}

fn log_file(records: usize) -> LogFile {
    Maker::new(1).file("123456789012", "eu-west-1", "20240305T1205Z", records)
}

fn bytes_of(file: &LogFile) -> Vec<&[u8]> {
    file.records
        .iter()
        .map(|record| record.json.as_bytes())
        .collect()
}

#[test]
fn gzip_members_may_follow_each_other() {
    let file = log_file(40);
    let text = file.json();
    for each in [text.len(), text.len() / 2, 100, 7] {
        let events = read(&gzip_members(&text, each));
        assert_eq!(
            payloads(&events),
            bytes_of(&file),
            "members of {each} bytes"
        );
    }
}

#[test]
fn json_documents_may_follow_each_other() {
    let file = log_file(9);
    let wanted = bytes_of(&file);
    let documents: Vec<Vec<u8>> = file
        .records
        .chunks(3)
        .map(|records| {
            log_text(
                &records
                    .iter()
                    .map(|record| record.json.as_str())
                    .collect::<Vec<_>>(),
            )
        })
        .collect();
    for between in ["", "\n", " \r\n\t"] {
        let text = documents.join(between.as_bytes());
        assert_eq!(payloads(&read(&text)), wanted, "{between:?}");
        assert_eq!(payloads(&read(&gzip(&text))), wanted, "gzip, {between:?}");
    }
    let members: Vec<u8> = documents.iter().flat_map(|text| gzip(text)).collect();
    assert_eq!(payloads(&read(&members)), wanted, "a member for each");
}

#[test]
fn space_and_other_keys_are_allowed_wherever_json_allows_them() {
    let record = r#"{ "eventID" : "1" , "Records" : [ 1 ] }"#;
    for text in [
        format!(" {{ \"Records\" : [ {record} ] }} "),
        format!("\u{feff}{{\"Records\":[{record}]}}"),
        format!(
            "{{\"other\":{{\"Records\":[{{\"eventID\":\"no\"}}]}},\"Records\":[\n{record}\n],\"more\":[[]]}}"
        ),
        format!("{{\"Rec\\u006frds\":[{record}]}}"),
    ] {
        assert_eq!(
            payloads(&read(text.as_bytes())),
            [record.as_bytes()],
            "{text}"
        );
    }
}

#[test]
fn an_empty_list_of_records_is_no_error() {
    assert_eq!(read(br#"{"Records":[]}"#).len(), 0);
}

#[test]
fn a_record_may_have_megabytes() {
    let small = r#"{"eventID":"1","eventTime":"2024-03-05T12:00:00Z"}"#;
    let big = format!(
        r#"{{"eventID":"2","eventTime":"2024-03-05T12:00:01Z","requestParameters":{{"body":"{}","key":"k"}}}}"#,
        "x\\n"
            .repeat(5 << 20)
            .get(..5 << 20)
            .unwrap()
            .trim_end_matches('\\')
    );
    let events = read(&gzip(&log_text(&[small, &big, small])));
    assert_eq!(
        payloads(&events),
        [small.as_bytes(), small.as_bytes(), big.as_bytes()]
    );
    let fields = plugin()
        .extract(&events[2], &["s3.key", "ct.id", "ct.request"])
        .unwrap();
    assert_eq!(
        (&fields["s3.key"].value, &fields["ct.id"].value),
        (&"k".into(), &"2".into())
    );
    assert!(fields["ct.request"].value.as_str().unwrap().len() > 5 << 20);
}

#[test]
fn many_records_fill_many_batches() {
    let file = log_file(3000);
    assert_eq!(payloads(&read(&file.gz())), bytes_of(&file));
}

/// Record, field, and what it gives.
const ODD: &[(&str, &str, Option<&str>)] = &[
    (
        r#"{"userIdentity":null,"eventName":"X"}"#,
        "ct.name",
        Some("X"),
    ),
    (r#"{"userIdentity":null,"eventName":"X"}"#, "ct.user", None),
    (r#"{"eventName":"X"}"#, "ct.user", None),
    (r#"{"userIdentity":"bob","eventName":"X"}"#, "ct.user", None),
    (
        r#"{"userIdentity":[{"userName":"bob"}],"eventName":"X"}"#,
        "ct.name",
        Some("X"),
    ),
    (
        r#"{"requestParameters":"text","eventName":"X"}"#,
        "ct.request",
        Some("\"text\""),
    ),
    (
        r#"{"requestParameters":[1],"eventName":"X"}"#,
        "s3.bucket",
        None,
    ),
    // The first of equal keys counts.
    (
        r#"{"eventName":"first","eventName":"second"}"#,
        "ct.name",
        Some("first"),
    ),
    (
        r#"{"userIdentity":{"arn":"a","arn":"b"},"userIdentity":{"arn":"c"}}"#,
        "ct.user.arn",
        Some("a"),
    ),
    // Escapes, in keys too.
    (
        r#"{"eventName":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}"#,
        "ct.name",
        Some("\"\\/\u{8}\u{c}\n\r\té😀"),
    ),
    (r#"{"event\u004eame":"X"}"#, "ct.name", Some("X")),
    (r#"{"eventName":"é😀"}"#, "ct.name", Some("é😀")),
    // Lone surrogates.
    (r#"{"eventName":"a\ud83db"}"#, "ct.name", Some("a\u{fffd}b")),
    (r#"{"eventName":"a\ude00"}"#, "ct.name", Some("a\u{fffd}")),
    (
        r#"{"eventName":"\ud83d\ud83d\ude00"}"#,
        "ct.name",
        Some("\u{fffd}😀"),
    ),
    // C strings end at a NUL.
    (r#"{"eventName":"a\u0000b"}"#, "ct.name", Some("a\\u0000b")),
    (r#"{"eventName":""}"#, "ct.name", Some("")),
    (
        r#"{"apiVersion":1234567890123456}"#,
        "ct.apiversion",
        Some("1234567890123456"),
    ),
    (
        r#"{"eventName":"X","unknown":{"deep":[[[{"a":null}]]]}}"#,
        "ct.name",
        Some("X"),
    ),
];

#[test]
fn odd_records_give_their_values() {
    let plugin = plugin();
    for (record, field, wanted) in ODD {
        // Through a file, since what is not taken for a record there is not an event.
        let events = read(&log_text(&[record]));
        assert_eq!(payloads(&events), [record.as_bytes()]);
        let fields = plugin.extract(&events[0], &[field]).unwrap();
        assert_eq!(
            fields
                .get(*field)
                .map(|field| field.value.as_str().unwrap()),
            *wanted,
            "{field} of {record}"
        );
        plugin.event_to_string(&events[0]).unwrap();
    }
}

#[test]
fn invalid_utf8_is_shown_with_replacement_characters() {
    let record =
        b"{\"eventID\":\"1\",\"eventName\":\"a\xffb\",\"requestParameters\":{\"key\":\"\xc3\"}}";
    let text = [b"{\"Records\":[".as_slice(), record, b"]}"].concat();
    let events = read(&text);
    assert_eq!(payloads(&events), [record]);
    let plugin = plugin();
    let names = ["ct.name", "ct.id", "s3.key", "ct.request", "ct.info"];
    let fields = plugin.extract(&events[0], &names).unwrap();
    assert_eq!(fields["ct.name"].value, "a\u{fffd}b");
    assert_eq!(fields["ct.id"].value, "1");
    assert_eq!(fields["s3.key"].value, "\u{fffd}");
    assert_eq!(fields["ct.request"].value, "{\"key\":\"\u{fffd}\"}");
    assert_eq!(fields["ct.info"].value, "← a\u{fffd}b Key=\u{fffd}");
    plugin.event_to_string(&events[0]).unwrap();
}

#[test]
fn numbers_of_bytes_may_be_floats() {
    let plugin = plugin();
    for (data, total, bytes_in, bytes_out) in [
        (
            r#"{"bytesTransferredIn":33.0,"bytesTransferredOut":1}"#,
            Some(34),
            Some(33),
            Some(1),
        ),
        (
            r#"{"bytesTransferredOut":9007199254740993}"#,
            Some(9007199254740993u64),
            None,
            Some(9007199254740993),
        ),
        (r#"{"bytesTransferredIn":"x"}"#, None, None, None),
        ("null", None, None, None),
    ] {
        let record = format!(r#"{{"additionalEventData":{data}}}"#);
        let fields = plugin
            .extract(
                &Event::new(1, 0, record.as_bytes()),
                &["s3.bytes", "s3.bytes.in", "s3.bytes.out"],
            )
            .unwrap();
        let value = |name: &str| fields.get(name).map(|field| field.value.as_u64().unwrap());
        assert_eq!(
            (
                value("s3.bytes"),
                value("s3.bytes.in"),
                value("s3.bytes.out")
            ),
            (total, bytes_in, bytes_out),
            "{data}"
        );
    }
}

#[test]
fn image_ids_are_a_list_with_an_optional_index() {
    let plugin = plugin();
    let record = r#"{"requestParameters":{"imageId":"ami-0"},"responseElements":{"instancesSet":{"items":[{"imageId":"ami-1"},{},{"imageId":"ami-3"}]}}}"#;
    let fields = [
        "ec2.imageids",
        "ec2.imageids[0]",
        "ec2.imageids[1]",
        "ec2.imageids[2]",
        "ec2.imageids[3]",
        "ec2.imageid",
    ];
    let event = Event::new(1, 0, record.as_bytes());
    for seen in [
        plugin.extract(&event, &fields).unwrap(),
        plugin.extract_each(&event, &fields).unwrap(),
    ] {
        let seen: Vec<_> = seen
            .iter()
            .map(|(name, field)| (name.as_str(), field.value.to_string()))
            .collect();
        assert_eq!(
            seen,
            [
                ("ec2.imageid", "\"ami-1\"".to_owned()),
                ("ec2.imageids", "[\"ami-1\",\"ami-3\"]".to_owned()),
                ("ec2.imageids[0]", "[\"ami-1\"]".to_owned()),
                ("ec2.imageids[2]", "[\"ami-3\"]".to_owned()),
            ]
        );
    }
    let request = Event::new(
        2,
        0,
        br#"{"requestParameters":{"launchSpecification":{"imageId":"ami-9"}}}"#,
    );
    let seen = plugin.extract(&request, &fields).unwrap();
    let seen: Vec<_> = seen.keys().map(String::as_str).collect();
    assert_eq!(seen, ["ec2.imageid", "ec2.imageids", "ec2.imageids[0]"]);
}

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    harness::capture::child();
}

/// Records with all that may have to be escaped.
fn records() -> Vec<String> {
    let file = log_file(5);
    let mut records: Vec<String> = file
        .records
        .iter()
        .map(|record| record.json.clone())
        .collect();
    records[1].insert_str(
        1,
        r#""odd":"\\ \" \/ \u0000 \ud83d \ud83d\ude00 é😀 \u007f {[","#,
    );
    records
}

fn texts(records: &[String]) -> Vec<&str> {
    records.iter().map(String::as_str).collect()
}

/// What a capture has seen, which lost nothing.
fn assert_seen(
    seen: &harness::capture::Seen,
    files: u64,
    records: &[String],
    other: u64,
    what: &str,
) {
    assert_eq!(seen.error, None, "{what}: {}", seen.words());
    assert_eq!(seen.stderr, "", "{what}");
    let wanted: Vec<Vec<u8>> = (0..files)
        .flat_map(|_| records.iter().map(|record| record.clone().into_bytes()))
        .collect();
    let payloads: Vec<Vec<u8>> = seen
        .events
        .iter()
        .map(|event| event.payload().to_vec())
        .collect();
    assert!(
        payloads == wanted,
        "{what}: {} events of {}: {}",
        payloads.len(),
        wanted.len(),
        seen.words()
    );
    let metric = |name: &str| seen.metrics[name];
    assert_eq!(metric("files_fetched"), files, "{what}");
    assert_eq!(metric("records_other"), files * other, "{what}");
    assert_eq!(
        metric("records_found"),
        metric("records_handed_over") + metric("records_other"),
        "{what}"
    );
    assert_eq!(
        metric("files_listed"),
        metric("files_fetched") + metric("files_failed") + metric("archives_read"),
        "{what}"
    );
}

#[test]
fn every_form_is_read_from_a_folder() {
    let records = records();
    for (shape, text, other) in forms(&texts(&records)) {
        let text = text.as_bytes();
        let capture = Capture::new("~/trail");
        let folder = capture.home().join("trail");
        // Whatever its name is; twice compressed is what Firehose makes of CloudWatch Logs.
        write(&folder.join("a.json"), text);
        write(&folder.join("b.json.gz"), &gzip(text));
        write(&folder.join("c/000000.gz"), &gzip_members(text, 1000));
        write(&folder.join("d.txt"), text);
        write(&folder.join("e"), &gzip(&gzip(text)));
        write(&folder.join("notes.txt"), b"{ notes }");
        let seen = capture.run();
        assert_seen(&seen, 5, &records, other, shape);
        assert_eq!(seen.metrics["files_passed_over"], 1, "{shape}");
    }
}

/// What Windows PowerShell makes of any form where it is redirected.
#[test]
fn every_form_is_read_in_utf16() {
    let records = records();
    for (shape, text, other) in forms(&texts(&records)) {
        let text = format!("\u{feff}{text}\r\n");
        let capture = Capture::new("~/trail");
        let folder = capture.home().join("trail");
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        write(&folder.join("a.json"), &little);
        write(&folder.join("b.txt"), &big);
        write(&folder.join("c.json.gz"), &gzip(&little));
        assert_seen(&capture.run(), 3, &records, other, shape);
    }
}

/// A saved notification of S3 calls its list as a log file does.
#[test]
fn a_list_of_records_may_be_of_others() {
    let notification = r#"{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2024-03-05T10:00:00.000Z","eventName":"ObjectCreated:Put","userIdentity":{"principalId":"AWS:x"},"s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}"#;
    let record = r#"{"eventVersion":"1.09","eventTime":"2024-03-05T12:00:00Z","eventSource":"s3.amazonaws.com","eventName":"PutObject","requestParameters":{"eventSource":"aws:s3"},"eventID":"1"}"#;
    for (list, events, other) in [
        (format!("[{notification},{notification}]"), 0, 2),
        (format!("[{notification},{record}]"), 1, 1),
        (format!("[{record},{record}]"), 2, 0),
    ] {
        for text in [
            format!("{{\"Records\":{list}}}"),
            format!("{{\"Records\": {list} }}\n"),
            format!("[{{\"Records\":{list}}}]"),
        ] {
            let capture = Capture::new("~/trail");
            write(&capture.home().join("trail/n.json"), text.as_bytes());
            let seen = capture.run();
            if events == 0 {
                // A capture of nothing else is an error, which says so.
                let words = format!("{other} records of others than CloudTrail");
                assert!(seen.words().contains(&words), "{}", seen.words());
                assert!(seen.events.is_empty());
                continue;
            }
            let wanted = vec![record.to_owned(); events];
            assert_seen(&seen, 1, &wanted, other, &text);
        }
    }
}

#[test]
fn every_form_is_read_from_a_bucket() {
    let aws = Aws::start();
    let records = records();
    for (number, (shape, text, other)) in forms(&texts(&records)).into_iter().enumerate() {
        let bucket = format!("exports-{number}");
        let text = text.as_bytes();
        aws.put(&bucket, "x/a.jsonl", text);
        aws.put(&bucket, "x/b.json.gz", &gzip(text));
        aws.put(&bucket, "x/task/stream/000000.gz", &gzip(text));
        aws.put(
            &bucket,
            "x/trail-1-2024-03-05-12-05-11-0f9a3b52-5f2e-4c1d-9d0a-1c2b3d4e5f60",
            &gzip_members(text, 999),
        );
        aws.put(
            &bucket,
            "x/aws-logs-write-test",
            b"Permission Check Successful",
        );
        let seen = Capture::new(format!("s3://{bucket}/x/")).aws(&aws).run();
        assert_seen(&seen, 4, &records, other, shape);
        assert_eq!(seen.metrics["files_passed_over"], 1, "{shape}");
        // What is named by itself may have any name.
        aws.put(&bucket, "y/any name", text);
        let seen = Capture::new(format!("s3://{bucket}/y/any name"))
            .aws(&aws)
            .run();
        assert_seen(&seen, 1, &records, other, shape);
    }
}

#[test]
fn documents_may_be_of_several_lines() {
    let records = records();
    let pretty: Vec<String> = records
        .iter()
        .map(|record| record.replacen('{', "{\n  ", 1))
        .collect();
    for text in [pretty.join("\n"), format!("[\n{}\n]\n", pretty.join(",\n"))] {
        assert_eq!(
            payloads(&read(text.as_bytes())),
            texts(&pretty)
                .into_iter()
                .map(str::as_bytes)
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn aggregated_and_insights_events_are_events() {
    // https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-aggregated-events.html
    let aggregated = r#"{"eventVersion":"1.0","accountId":"123456789012","eventId":"a1","eventCategory":"Aggregated","eventType":"AwsAggregatedEvent","awsRegion":"us-east-1","eventSource":"s3.amazonaws.com","timeWindow":{"windowStart":"2024-03-05T12:00:00Z","windowEnd":"2024-03-05T12:05:00Z","windowSize":"PT5M"},"summary":{}}"#;
    // https://docs.aws.amazon.com/awscloudtrail/latest/userguide/logging-insights-events-with-cloudtrail.html
    let insight = r#"{"eventVersion":"1.07","eventTime":"2024-03-05T12:00:00Z","awsRegion":"us-east-1","eventID":"i1","eventType":"AwsCloudTrailInsight","recipientAccountId":"123456789012","sharedEventID":"s","insightDetails":{"state":"Start","eventSource":"iam.amazonaws.com","eventName":"CreateUser","insightType":"ApiCallRateInsight"},"eventCategory":"Insight"}"#;
    for record in [aggregated, insight] {
        for text in [
            record.to_owned(),
            format!("[{record}]"),
            format!("{{\"Records\":[{record}]}}"),
            envelope(record),
        ] {
            assert_eq!(
                payloads(&read(text.as_bytes())),
                [record.as_bytes()],
                "{text}"
            );
        }
    }
}

#[test]
fn envelopes_of_real_events_are_opened() {
    let Some(folder) =
        harness::shared::folder("cloudtrail-samples/wrapped/eventbridge_cloud-custodian")
    else {
        return;
    };
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let wrapped: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let events = plugin().events(path.to_str().unwrap()).unwrap();
        assert_eq!(events.len(), 1, "{}", path.display());
        assert_eq!(events[0].json(), wrapped["detail"], "{}", path.display());
    }
}

/// Nothing of it can be read, and these are the words.
fn assert_named(text: &[u8], words: &[&str]) {
    for bytes in [text.to_vec(), gzip(text)] {
        let capture = Capture::new("~/x.json");
        write(&capture.home().join("x.json"), &bytes);
        let seen = capture.run();
        let shown = String::from_utf8_lossy(text).into_owned();
        assert_eq!(seen.events.len(), 0, "{shown}");
        let (_, error) = seen.error.clone().expect("an error");
        for word in words {
            assert!(error.contains(word), "{shown}: {error}");
        }
    }
}

#[test]
fn what_is_of_no_form_is_named_and_not_guessed() {
    let unknown = "is JSON, but without a list of Records or another form of CloudTrail events";
    assert_named(br#"{"a":1}"#, &[unknown, "is not a CloudTrail event"]);
    assert_named(
        br#"[{"name":"x"},{"name":"y"}]"#,
        &[unknown, "is not a CloudTrail event"],
    );
    assert_named(b"[1,2]", &[unknown, "is not an object"]);
    assert_named(br#"{"events":[{"a":1}]}"#, &[unknown]);
    assert_named(
        br#"{"results":[[{"field":"eventName","value":"X"}]]}"#,
        &[unknown, "add that to the query's fields"],
    );
    // Wrongly nested.
    assert_named(
        br#"{"detail":{"Records":[{"eventVersion":"1","eventName":"X"}]}}"#,
        &[unknown],
    );
    // Of others alone.
    assert_named(
        OTHER_ENVELOPE.as_bytes(),
        &["1 record of others than CloudTrail"],
    );
    // One that has names in common with CloudTrail's.
    assert_named(
        br#"{"version":"0","id":"1","detail-type":"ECS Service Action","source":"aws.ecs","account":"123456789012","time":"2024-03-05T12:00:00Z","region":"us-east-1","resources":[],"detail":{"eventType":"INFO","eventName":"SERVICE_STEADY_STATE","clusterArn":"arn:aws:ecs:us-east-1:123456789012:cluster/a","createdAt":"2024-03-05T12:00:00Z"}}"#,
        &["1 record of others than CloudTrail"],
    );
    assert_named(
        br#"{"events":[{"timestamp":1,"message":"hello"},{"timestamp":2,"message":"{\"level\":\"info\"}"}]}"#,
        &["2 records of others than CloudTrail"],
    );
    // Streams of DynamoDB look like CloudTrail's records.
    assert_named(
        br#"{"eventID":"1","eventName":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1"}"#,
        &["1 record of others than CloudTrail"],
    );
}

#[test]
fn what_is_broken_in_any_form_costs_itself_and_is_named() {
    let records = records();
    for (shape, text, other) in forms(&texts(&records)) {
        // Cut in the last record.
        let last = text.rfind("eventVersion").unwrap();
        let capture = Capture::new("~/x.json");
        write(&capture.home().join("x.json"), &text.as_bytes()[..last]);
        let seen = capture.run();
        let most = records.len() - 1;
        let known = seen.events.iter().filter(|event| {
            records
                .iter()
                .any(|record| record.as_bytes() == event.payload())
        });
        assert_eq!(
            known.count(),
            seen.events.len(),
            "{shape}: {}",
            seen.words()
        );
        assert_eq!(seen.events.len(), most, "{shape}: {}", seen.words());
        assert!(
            seen.stderr.contains("truncated") || seen.stderr.contains("can't be read"),
            "{shape}: {}",
            seen.words()
        );
        assert!(seen.metrics["records_other"] <= other);
    }
    // A broken one between others.
    let broken = r#"{"eventVersion":"1.08","eventTime":"2024-03-05T12:00:00Z","eventName":}"#;
    let lines = [&records[0], broken, &records[1]].join("\n");
    let list = format!("[{},{broken},{}]", records[0], records[1]);
    let strings = [&records[0], broken, &records[1]]
        .map(|record| format!(r#"{{"CloudTrailEvent":{}}}"#, string(record)));
    let lookups = format!(r#"{{"Events":[{}]}}"#, strings.join(","));
    let export: String = [&records[0], broken, &records[1]]
        .map(|record| format!("2024-03-05T12:00:00.123Z {record}\n"))
        .concat();
    for text in [lines, list, lookups, export] {
        let capture = Capture::new("~/x.json");
        write(&capture.home().join("x.json"), text.as_bytes());
        let seen = capture.run();
        assert_eq!(seen.events.len(), 2, "{text}: {}", seen.words());
        assert!(
            seen.stderr
                .contains("has 1 record that can't be read, the first one is broken"),
            "{}",
            seen.stderr
        );
    }
}

#[test]
fn forms_larger_than_memory_come_in_pieces() {
    let records: Vec<String> = (0..9000).map(|number| {
        format!(r#"{{"eventVersion":"1.08","eventTime":"2024-03-05T12:00:00Z","eventID":"{number}","requestParameters":{{"k":"{}"}}}}"#, format_args!("{}\\n", "x".repeat(4500)))
    }).collect();
    for (shape, text, other) in forms(&texts(&records)) {
        if !matches!(
            shape,
            "JSON lines" | "lookup-events" | "CloudWatch Logs, export" | "subscription" | "SNS"
        ) {
            continue;
        }
        assert!(text.len() > 33 << 20);
        let plugin = plugin();
        let folder = TempDir::new().unwrap();
        let path = write(&folder.path().join("x.json"), &gzip(text.as_bytes()));
        let events = plugin.events(path.to_str().unwrap()).unwrap();
        assert!(
            events
                .iter()
                .map(Event::payload)
                .eq(records.iter().map(String::as_bytes)),
            "{shape}: {}",
            events.len()
        );
        assert_eq!(plugin.metrics().unwrap()["records_other"], other, "{shape}");
    }
}
