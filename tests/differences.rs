//! Each rule by which we differ from the official plugin on purpose, in the order of docs/differences.md's
//! table. `tests/golden.rs` has them on real records.

use harness::{
    host::{Event, Extracted, Fields, Library, Plugin},
    trail::{gzip, log_text, write},
};
use serde_json::json;

fn plugin() -> (Library, Plugin) {
    let library = Library::load().unwrap();
    let plugin = library.init("").unwrap();
    (library, plugin)
}

/// All fields of a record.
fn fields(record: &str) -> Fields {
    let (library, plugin) = plugin();
    plugin
        .extract(&Event::new(1, 0, record.as_bytes()), &library.field_names())
        .unwrap()
}

/// A field's value.
fn value(fields: &Fields, name: &str) -> Option<String> {
    fields
        .get(name)
        .map(|field| field.value.as_str().expect("a string field").to_owned())
}

/// A field of a record.
fn field(record: &str, name: &str) -> Option<String> {
    value(&fields(record), name)
}

/// The record's string form.
fn string(record: &str) -> String {
    plugin()
        .1
        .event_to_string(&Event::new(1, 0, record.as_bytes()))
        .unwrap()
}

#[test]
fn null_in_a_scalar_field_is_absent() {
    let record = r#"{"eventID":null,"errorCode":null,"userIdentity":{"type":null,"arn":null},"readOnly":null,
        "requestParameters":{"bucketName":null,"key":null,"name":null,"policy":null},"tlsDetails":null,"addendum":null}"#;
    let fields = fields(record);
    for name in [
        "ct.id",
        "ct.error",
        "ct.user.identitytype",
        "ct.user.arn",
        "ct.user",
        "ct.readonly",
        "s3.bucket",
        "s3.key",
        "s3.uri",
        "ct.request.name",
        "ct.request.policy",
        "ct.tlsdetails.tlsversion",
        "ct.addendum.reason",
    ] {
        assert_eq!(value(&fields, name), None, "{name}");
    }
}

#[test]
fn null_in_a_json_text_field_stays() {
    let record =
        r#"{"requestParameters":null,"responseElements": null ,"additionalEventData":null}"#;
    let fields = fields(record);
    for (name, start) in [
        ("ct.request", 21),
        ("ct.response", 46),
        ("ct.additionaleventdata", 74),
    ] {
        assert_eq!(
            fields[name],
            Extracted {
                value: "null".into(),
                range: Some((start, 4))
            },
            "{name}"
        );
    }
}

#[test]
fn values_that_are_no_strings_give_their_json_text() {
    let record = r#"{"serviceEventDetails":{"keyId": "k"},"edgeDeviceDetails":[1, 2],"apiVersion":77,
        "requestParameters":{"policy":["a"],"key":true,"name":-1.50,"reason":9007199254740993}}"#;
    let fields = fields(record);
    for (name, text) in [
        ("ct.serviceeventdetails", r#"{"keyId": "k"}"#),
        ("ct.edgedevicedetails", "[1, 2]"),
        ("ct.apiversion", "77"),
        ("ct.request.policy", r#"["a"]"#),
        ("s3.key", "true"),
        ("ct.request.name", "-1.50"),
        ("ct.request.reason", "9007199254740993"),
    ] {
        let start = record.find(text).unwrap() as u32;
        let wanted = Extracted {
            value: text.into(),
            range: Some((start, text.len() as u32)),
        };
        assert_eq!(fields[name], wanted, "{name}");
    }
}

#[test]
fn documentname_has_a_value() {
    let record = r#"{"requestParameters":{"documentName":"AWS-RunShellScript"}}"#;
    let wanted = Extracted {
        value: "AWS-RunShellScript".into(),
        range: Some((37, 20)),
    };
    assert_eq!(fields(record)["ct.request.documentname"], wanted);
}

#[test]
fn booleans_may_be_strings() {
    let record =
        r#"{"readOnly":"true","managementEvent":"false","sessionCredentialFromConsole":"true"}"#;
    let fields = fields(record);
    let wanted = |value: &str, range| Extracted {
        value: value.into(),
        range: Some(range),
    };
    assert_eq!(fields["ct.readonly"], wanted("true", (12, 6)));
    assert_eq!(fields["ct.managementevent"], wanted("false", (37, 7)));
    assert_eq!(
        fields["ct.sessioncredentialfromconsole"],
        wanted("true", (76, 6))
    );
    assert_eq!(
        field(r#"{"readOnly":true}"#, "ct.readonly").as_deref(),
        Some("true")
    );
    // The arrow in the summary follows.
    let arrow = |read_only| {
        field(
            &format!(r#"{{"eventName":"X","readOnly":{read_only}}}"#),
            "ct.info",
        )
        .unwrap()
    };
    assert_eq!([arrow("\"false\""), arrow("\"true\"")], ["→ X", "← X"]);
}

#[test]
fn public_access_block_shows_the_flags_of_the_request() {
    let record = r#"{"userIdentity":{"type":"IAMUser","userName":"bob"},"sourceIPAddress":"198.51.100.7",
        "eventName":"PutBucketPublicAccessBlock","readOnly":false,"requestParameters":{"bucketName":"b",
        "PublicAccessBlockConfiguration":{"RestrictPublicBuckets":true,"BlockPublicPolicy":false,
        "BlockPublicAcls":true,"IgnorePublicAcls":false}}}"#;
    assert_eq!(
        field(record, "ct.info").unwrap(),
        "bob via 198.51.100.7 → PutBucketPublicAccessBlock BlockPublicAcls=true BlockPublicPolicy=false \
         IgnorePublicAcls=false RestrictPublicBuckets=true "
    );
    let without = r#"{"userIdentity":{"type":"IAMUser","userName":"bob"},"sourceIPAddress":"198.51.100.7",
        "eventName":"PutBucketPublicAccessBlock","readOnly":false,"requestParameters":{"bucketName":"b"}}"#;
    assert_eq!(
        field(without, "ct.info").unwrap(),
        "bob via 198.51.100.7 → PutBucketPublicAccessBlock"
    );
}

#[test]
fn every_event_has_a_summary_and_a_string() {
    for (record, info, text) in [
        // A root login has no user name.
        (
            r#"{"userIdentity":{"type":"Root"},"eventName":"ConsoleLogin","sourceIPAddress":"198.51.100.7",
                "awsRegion":"us-east-1","eventSource":"signin.amazonaws.com","readOnly":false}"#,
            "Root via 198.51.100.7 → ConsoleLogin",
            "us-east-1 Root signin ConsoleLogin Root via 198.51.100.7 → ConsoleLogin",
        ),
        (
            r#"{"eventName":"RotateKey","awsRegion":"us-east-1","eventSource":"kms.amazonaws.com",
                "sourceIPAddress":"AWS Internal","errorCode":"X"}"#,
            "AWS Internal !← RotateKey",
            "us-east-1 kms RotateKey AWS Internal !← RotateKey",
        ),
        (
            r#"{"userIdentity":{"type":"IAMUser","userName":"bob"},"eventName":"GetObject"}"#,
            "bob ← GetObject",
            "bob GetObject bob ← GetObject",
        ),
        (
            r#"{"userIdentity":null,"sourceIPAddress":"198.51.100.7","readOnly":true}"#,
            "198.51.100.7 ←",
            "198.51.100.7 ←",
        ),
    ] {
        assert_eq!(field(record, "ct.info").as_deref(), Some(info), "{record}");
        assert_eq!(string(record), text, "{record}");
    }
    // Nothing at all to say is no error either.
    let info = field("{}", "ct.info").unwrap_or_default();
    assert!(
        !info.contains("invalid") && !string("{}").contains("invalid"),
        "{info}"
    );
}

#[test]
fn a_code_of_success_is_no_failure() {
    // Of Amazon Managed Grafana.
    let success = r#"{"userIdentity":{"type":"SAMLUser","userName":"jane"},"sourceIPAddress":"198.51.100.7",
        "eventSource":"grafana.amazonaws.com","eventName":"action","errorCode":"200"}"#;
    assert_eq!(field(success, "ct.error").as_deref(), Some("200"));
    assert_eq!(field(success, "ct.failed").as_deref(), Some("false"));
    let info = field(success, "ct.info");
    assert_eq!(
        info.as_deref(),
        Some("jane via 198.51.100.7 \u{2190} action")
    );
    let failure = success.replace("200", "403");
    assert_eq!(field(&failure, "ct.failed").as_deref(), Some("true"));
    let info = field(&failure, "ct.info");
    assert_eq!(
        info.as_deref(),
        Some("jane via 198.51.100.7 !\u{2190} action")
    );
}

#[test]
fn other_identity_types_have_a_user_name() {
    for kind in [
        "SAMLUser",
        "WebIdentityUser",
        "IdentityCenterUser",
        "Directory",
        "Unknown",
        "OfTomorrow",
    ] {
        let record = format!(r#"{{"userIdentity":{{"type":"{kind}","userName":"bob"}}}}"#);
        let fields = fields(&record);
        let start = record.find("\"bob\"").unwrap() as u32;
        assert_eq!(
            fields["ct.user"],
            Extracted {
                value: "bob".into(),
                range: Some((start, 5))
            },
            "{kind}"
        );
        let without = format!(r#"{{"userIdentity":{{"type":"{kind}"}}}}"#);
        assert_eq!(field(&without, "ct.user"), None, "{kind}");
    }
    // The types that the official plugin knows are as there.
    for (identity, user) in [
        (r#"{"type":"Root","userName":"alias"}"#, Some("alias")),
        (
            r#"{"type":"AWSService","invokedBy":"ec2.amazonaws.com","userName":"no"}"#,
            Some("ec2.amazonaws.com"),
        ),
        (
            r#"{"type":"AssumedRole","sessionContext":{"sessionIssuer":{"userName":"role"}}}"#,
            Some("role"),
        ),
        (r#"{"type":"AssumedRole"}"#, Some("AssumedRole")),
        (
            r#"{"type":"AWSAccount","userName":"no"}"#,
            Some("AWSAccount"),
        ),
        (
            r#"{"type":"FederatedUser","userName":"no"}"#,
            Some("FederatedUser"),
        ),
    ] {
        assert_eq!(
            field(&format!(r#"{{"userIdentity":{identity}}}"#), "ct.user").as_deref(),
            user,
            "{identity}"
        );
    }
}

#[test]
fn records_without_a_type_or_with_odd_times_are_emitted() {
    let day = "2024-03-05T12:01:02";
    let dated = jiff::Timestamp::as_nanosecond("2024-03-05T12:01:02Z".parse().unwrap()) as u64;
    let named = jiff::Timestamp::as_nanosecond("2024-03-05T12:05:00Z".parse().unwrap()) as u64;
    let fraction = dated + 250_000_000;
    let times = [
        (format!("\"{day}Z\""), dated),
        (format!("\"{day}\""), dated),
        (format!("\"{}\"", day.replace('T', " ")), dated),
        (format!("\"{}.250000000\"", day.replace('T', " ")), fraction),
        (format!("\"{day}.25Z\""), fraction),
        ("\"2024-03-05T13:01:02+01:00\"".to_owned(), dated),
        // None that can be read: the time in the log file's name.
        ("\"...\"".to_owned(), named),
        ("null".to_owned(), named),
        ("[1]".to_owned(), named),
    ];
    let mut records: Vec<String> = times
        .iter()
        .enumerate()
        .map(|(id, (time, _))| {
            format!(r#"{{"eventID":"{id}","eventTime":{time},"eventType":"AwsApiCall"}}"#)
        })
        .collect();
    records.push(r#"{"eventID":"9"}"#.into());
    records.push(format!(r#"{{"eventID":"10","eventTime":"{day}Z"}}"#));
    let wanted: Vec<u64> = times
        .iter()
        .map(|(_, ts)| *ts)
        .chain([named, dated])
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let name = "123456789012_CloudTrail_eu-west-1_20240305T1205Z_abcdefghijklmnop.json.gz";
    write(&folder.path().join(name), &gzip(&log_text(&records)));
    let mut events = plugin().1.events(folder.path().to_str().unwrap()).unwrap();
    events.sort_by_key(|event| event.id().parse::<usize>().unwrap());
    let seen: Vec<u64> = events.iter().map(Event::ts).collect();
    assert_eq!(seen, wanted);
}

/// Where the name has no time either, the file's own counts.
#[test]
fn the_time_of_a_file_stands_in_for_that_of_its_records() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(
        &folder.path().join("events.json"),
        &log_text(&[r#"{"eventID":"1"}"#]),
    );
    let modified = path.metadata().unwrap().modified().unwrap();
    let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    let events = plugin().1.events(path.to_str().unwrap()).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].ts() / 1_000_000_000, modified.as_secs());
}

#[test]
fn insights_events_are_emitted_unless_they_are_not_wanted() {
    let mut maker = harness::trail::Maker::new(8);
    let calls = maker.file("123456789012", "eu-west-1", "20240305T1205Z", 3);
    let insights = maker.insight_file("123456789012", "eu-west-1", "20240305T1205Z");
    let folder = tempfile::tempdir().unwrap();
    calls.write(folder.path());
    insights.write(folder.path());
    // Among other records, too: one of the three calls again, and another of them.
    let mixed = format!(
        "{},{}",
        calls.records[0].json,
        insights.records[0]
            .json
            .replace("eventID\":\"", "eventID\":\"x")
    );
    write(&folder.path().join("mixed.json"), &log_text(&[&mixed]));
    let library = Library::load().unwrap();
    for (config, count) in [
        (json!({}), 6),
        (json!({"includeInsights": true}), 6),
        (json!({"includeInsights": false}), 4),
    ] {
        let plugin = library.init(&config.to_string()).unwrap();
        let events = plugin.events(folder.path().to_str().unwrap()).unwrap();
        let insights = events
            .iter()
            .filter(|event| event.json()["eventType"] == "AwsCloudTrailInsight")
            .count();
        assert_eq!((events.len(), insights), (count, count - 4), "{config}");
    }
}

#[test]
fn json_texts_keep_the_records_own_bytes() {
    let record = "{\"requestParameters\": { \"b\" : 1.50, \"a\":\"\\u00e9\\/\", \"b\":1 } ,\n\"responseElements\":[ ],\
        \"additionalEventData\":\"text\",\"resources\":[ {\"ARN\" : \"x\"}, {\"ARN\":\"y\"} ]}";
    let fields = fields(record);
    for (name, text) in [
        (
            "ct.request",
            "{ \"b\" : 1.50, \"a\":\"\\u00e9\\/\", \"b\":1 }",
        ),
        ("ct.response", "[ ]"),
    ] {
        let start = record.find(text).unwrap() as u32;
        assert_eq!(
            fields[name],
            Extracted {
                value: text.into(),
                range: Some((start, text.len() as u32))
            },
            "{name}"
        );
    }
    assert_eq!(
        fields["ct.resources"].value,
        "{\"ARN\" : \"x\"},{\"ARN\":\"y\"}"
    );
}
