//! Records of any size and shape, in log files of any form.

use harness::{
    host::{Event, Library, Plugin},
    trail::{LogFile, Maker, gzip, gzip_members, log_text, write},
};
use tempfile::TempDir;

fn plugin() -> Plugin {
    Library::load().unwrap().init("").unwrap()
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
