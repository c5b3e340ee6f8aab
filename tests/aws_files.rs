//! The files of `plugin-config/` for AWS: policies and templates in `aws/`, SQL in `athena/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cloudtrail::fields::OFFICIAL;
use harness::aws::{Aws, Op};
use harness::capture::{self, Capture};
use harness::host::Library;
use harness::hosts::{installed, target};
use harness::{sample, shared, trail};
use serde_json::{Value, json};

fn config(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("plugin-config")
        .join(path)
}

/// Runs the captures that the tests of this file start.
#[test]
#[ignore = "not a test: the process that a capture runs in"]
fn child() {
    capture::child();
}

/// What the plugin asks AWS for, by policy.
#[test]
fn policies_grant_what_is_needed_and_no_more() {
    let bucket = ["s3:GetObject", "s3:ListBucket"];
    let queue = [
        "s3:GetObject",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "sqs:ReceiveMessage",
    ];
    let with_key = |actions: &[&'static str]| {
        let mut actions = actions.to_vec();
        actions.insert(0, "kms:Decrypt");
        actions
    };
    let policies = [
        ("bucket.json", bucket.to_vec()),
        ("bucket-kms.json", with_key(&bucket)),
        ("validate.json", vec!["cloudtrail:ListPublicKeys"]),
        ("history.json", vec!["cloudtrail:LookupEvents"]),
        (
            "logs.json",
            vec![
                "cloudtrail:DescribeTrails",
                "logs:DescribeLogGroups",
                "logs:FilterLogEvents",
                "logs:GetQueryResults",
                "logs:ListLogGroups",
                "logs:StartQuery",
                "logs:StopQuery",
            ],
        ),
        ("queue.json", queue.to_vec()),
        ("queue-kms.json", with_key(&queue)),
        ("role-trust.json", vec!["sts:AssumeRole"]),
    ];
    let there = fs::read_dir(config("aws")).unwrap();
    let there = there.map(|entry| entry.unwrap().path());
    let there = there.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    assert_eq!(
        there.count(),
        policies.len(),
        "a policy that is not looked at"
    );
    for (file, expected) in policies {
        let text = fs::read_to_string(config("aws").join(file)).unwrap();
        let policy: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(policy["Version"], "2012-10-17", "{file}");
        let mut actions = BTreeSet::new();
        for statement in policy["Statement"].as_array().unwrap() {
            assert_eq!(statement["Effect"], "Allow", "{file}");
            // Public keys are nobody's, the event history is the account's, and so is what there is.
            let of_account = ["DescribeLogGroups", "FindLogGroups", "StopQueries"];
            assert_eq!(
                statement["Resource"] == "*",
                ["validate.json", "history.json"].contains(&file)
                    || of_account.iter().any(|sid| statement["Sid"] == *sid),
                "{file}"
            );
            match &statement["Action"] {
                Value::String(action) => _ = actions.insert(action.as_str()),
                list => actions.extend(
                    list.as_array()
                        .unwrap()
                        .iter()
                        .map(|action| action.as_str().unwrap()),
                ),
            }
        }
        assert_eq!(actions.into_iter().collect::<Vec<_>>(), expected, "{file}");
    }
}

/// The policy for a bucket allows each request that reading it takes.
#[test]
fn a_bucket_is_read_with_its_policy() {
    let policy = fs::read_to_string(config("aws/bucket.json")).unwrap();
    let policy: Value = serde_json::from_str(&policy).unwrap();
    let listed = policy["Statement"][0]["Condition"]["StringLike"]["s3:prefix"]
        .as_str()
        .unwrap();
    let read = policy["Statement"][1]["Resource"]
        .as_str()
        .unwrap()
        .split_once('/')
        .unwrap()
        .1;
    let aws = Aws::start();
    let mut expected = 0;
    for file in sample::files() {
        file.put(&aws, "logs");
        aws.put("logs", &file.org_key("", "o-abcdefghij"), &file.gz());
        // A copy is read once.
        expected += file.records.len();
    }
    for interval in ["", "2024-03-05T00:00:00Z"] {
        let seen = Capture::new("s3://logs/AWSLogs/")
            .aws(&aws)
            .config(json!({"s3Interval": interval}))
            .run();
        assert_eq!((seen.error, seen.events.len()), (None, expected));
    }
    for request in aws.log() {
        let allowed = match request.op {
            Op::ListObjects => listed,
            Op::GetObject => read,
            _ => panic!("{request:?}"),
        };
        assert!(
            request.key.starts_with(allowed.strip_suffix('*').unwrap()),
            "{request:?}"
        );
    }
}

#[test]
fn templates_are_valid() {
    let Some(python) = installed("python/run", "scripts/python-tools") else {
        return;
    };
    let templates: Vec<PathBuf> = fs::read_dir(config("aws"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    assert_eq!(templates.len(), 3);
    let output = Command::new(&python)
        .args(["-c", "import cfnlint.runner; cfnlint.runner.main()", "--"])
        .args(&templates)
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
}

/// Records that the samples have few or none of.
#[rustfmt::skip]
const RECORDS: [&str; 6] = [
    r#"{"eventID":"a1","eventTime":"2024-03-06T00:00:01Z","eventName":"GetObject","eventSource":"s3.amazonaws.com","awsRegion":"us-east-1","readOnly":true,"managementEvent":false,"eventCategory":"Data","requestParameters":{"bucketName":"photos","key":"a/b c.jpg","Host":"photos.s3.amazonaws.com"},"responseElements":null,"additionalEventData":{"bytesTransferredIn":3.0,"bytesTransferredOut":1500},"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::photos/a"},{"accountId":"1","ARN":"arn:aws:s3:::photos"}],"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"photos.s3.amazonaws.com"},"userIdentity":{"type":"AssumedRole","principalId":"AROA1:eve","arn":"arn:aws:sts::1:assumed-role/admin/eve","sessionContext":{"sessionIssuer":{"userName":"admin"}}},"recipientAccountId":"111122223333"}"#,
    r#"{"eventID":"a2","eventTime":"2024-03-06T00:00:02Z","eventName":"RunInstances","eventSource":"ec2.amazonaws.com","awsRegion":"eu-west-1","errorCode":"Client.Oops","errorMessage":"it's \"wrong\"","requestParameters":{"tagSpecificationSet":{"items":[{"resourceType":"volume","tags":[{"key":"Name","value":"disk"}]},{"resourceType":"instance","tags":[{"key":"a","value":"b"},{"key":"Name","value":"web"}]}]},"availabilityZone":"eu-west-1a","subnetId":"s-1"},"responseElements":{"reservationId":"r-1","subnetId":"s-2","instancesSet":{"items":[{"imageId":"ami-1"},{"imageId":"ami-2"}]}},"userIdentity":{"type":"AssumedRole","principalId":"AROA1:i-1","arn":"arn:aws:sts::1:assumed-role"}}"#,
    r#"{"eventID":"a3","eventTime":"2024-03-06T00:00:03Z","eventName":"RequestSpotInstances","eventSource":"ec2.amazonaws.com","awsRegion":"eu-west-1","requestParameters":{"launchSpecification":{"imageId":"ami-3"},"policy":{"a":1},"target":"i-1","reason":"x","documentName":"d","serialNumber":"sn","serviceName":"sv","taskDefinition":"t:1","userName":"u","cluster":"c","functionName":"f","groupName":"g","name":"n","repositoryName":"r","imageTag":"it","roleName":"ro","policyName":"po"},"userIdentity":{"type":"AWSService","invokedBy":"autoscaling.amazonaws.com"}}"#,
    r#"{"eventID":"a4","eventTime":"2024-03-06T00:00:04Z","eventName":"PutObject","eventSource":"s3.amazonaws.com","awsRegion":"eu-west-1","requestParameters":{"policy":"text","bucketName":"photos"},"additionalEventData":{"bytesTransferredOut":7},"addendum":{"reason":"UPDATED_DATA","updatedFields":"errorCode","originalRequestID":"q","originalEventID":"e"},"sessionCredentialFromConsole":"true","vpcEndpointId":"vpce-1","sharedEventID":"sh","apiVersion":"2006-03-01","serviceEventDetails":{"state":"DELETED"},"edgeDeviceDetails":{"type":"snow"},"userIdentity":{"type":"AWSAccount","accountId":"2","principalId":"AIDA"}}"#,
    r#"{"eventID":"a5","eventTime":"2024-03-06T00:00:05Z","eventName":"X","eventSource":"x.amazonaws.com","userIdentity":{"type":"AssumedRole","principalId":"AROA1"},"recipientAccountId":"3"}"#,
    r#"{"eventID":"a6","eventTime":"2024-03-06T00:00:06Z","eventName":"Y","eventSource":"y","userIdentity":{"type":"SAMLUser","userName":"dave"},"additionalEventData":{"bytesTransferredIn":5}}"#,
];

/// The view has the plugin's fields for its columns, and the plugin's values in them: sqlglot reads it as Athena does,
/// DuckDB runs it.
#[test]
fn the_view_of_athena_has_the_values_of_the_fields() {
    let Some(python) = installed("python/run", "scripts/python-tools") else {
        return;
    };
    let own = target().join("tmp/athena/AWSLogs");
    let day = own.join("111122223333/CloudTrail/us-east-1/2024/03/06");
    trail::write(&day.join("log.json"), &trail::log_text(&RECORDS));
    let mut folders = vec![own];
    if let Some(samples) = shared::folder("cloudtrail-samples") {
        folders.extend([samples.join("trail"), samples.join("records/TrailDiscover")]);
    }
    let output = Command::new(&python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/athena/run.py"))
        .args(["table.sql", "view.sql"].map(|file| config("athena").join(file)))
        .args(&folders)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let rows = String::from_utf8(output.stdout).unwrap();
    let mut rows: Vec<Value> = rows
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();

    let library = Library::load().unwrap();
    let plugin = library.init("").unwrap();
    // Those that the official plugin has, too.
    let fields = &library.field_names()[..OFFICIAL];
    let columns: BTreeMap<&str, String> = fields
        .iter()
        .map(|field| (*field, field.replace('.', "_")))
        .collect();
    let there: BTreeSet<&str> = rows[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = columns
        .values()
        .map(String::as_str)
        .filter(|column| *column != "ct_info");
    assert_eq!(
        there,
        expected.chain(["account", "region", "day"]).collect()
    );
    assert_eq!(rows[0]["account"], "111122223333");
    assert_eq!(rows[0]["region"], "us-east-1");
    assert_eq!(rows[0]["day"], "2024/03/06");

    let mut events = vec![];
    for folder in &folders {
        for event in plugin.events(folder.to_str().unwrap()).unwrap() {
            let extracted = plugin.extract(&event, fields).unwrap();
            let values = extracted
                .into_iter()
                .map(|(field, found)| (field, found.value));
            events.push(values.collect::<BTreeMap<String, Value>>());
        }
    }
    let mut values = 0;
    let key = |id: &Value, name: &Value, time: &Value| format!("{id} {name} {time}");
    rows.sort_by_cached_key(|row| key(&row["ct_id"], &row["ct_name"], &row["ct_time"]));
    assert_eq!(rows.len(), events.len());
    let text = |value: Option<&Value>| value.cloned().unwrap_or_default();
    events.sort_by_cached_key(|event| {
        key(
            &text(event.get("ct.id")),
            &text(event.get("ct.name")),
            &text(event.get("ct.time")),
        )
    });
    for (row, event) in rows.iter().zip(&events) {
        for (field, column) in &columns {
            if *field == "ct.info" {
                continue;
            }
            let found = &row[column.as_str()];
            let expected = in_sql(field, event.get(*field));
            assert_eq!(in_sql(field, Some(found)), expected, "{field} of {row}");
            values += usize::from(!expected.is_null());
        }
    }
    assert!(values > 100, "{values}");
}

/// A field's value as the view has it.
fn in_sql(field: &str, value: Option<&Value>) -> Value {
    let Some(value) = value else {
        return Value::Null;
    };
    match (field, value) {
        // As JSON, whatever its blanks.
        (
            "ct.request"
            | "ct.response"
            | "ct.additionaleventdata"
            | "ct.serviceeventdetails"
            | "ct.edgedevicedetails"
            | "ct.request.policy",
            Value::String(text),
        ) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        ("ct.resources", Value::String(text)) if text.starts_with('{') => {
            let all: Vec<Value> = serde_json::from_str(&format!("[{text}]")).unwrap();
            let names: Vec<&str> = all
                .iter()
                .filter_map(|resource| resource["ARN"].as_str())
                .collect();
            in_sql(field, Some(&json!(names.join(","))))
        }
        (_, Value::Array(list)) if list.is_empty() => Value::Null,
        (_, Value::String(text)) if text.is_empty() => Value::Null,
        _ => value.clone(),
    }
}
