//! Notifications about log files, in all forms in which they reach a queue. The form is recognised by the content.
//!
//! | sender | way | form |
//! | --- | --- | --- |
//! | CloudTrail | SNS | `{"s3Bucket": …, "s3ObjectKey": [KEY, …]}` |
//! | S3 | itself, SNS | `{"Records": [{"eventName": …, "s3": {"bucket": …, "object": …}}, …]}`, keys URL-encoded |
//! | S3 | EventBridge, with SNS behind it or not | `{"source": "aws.s3", "detail-type": …, "detail": {…}}` |
//! | AWS Config | SNS | `{"messageType": "Configuration…", …}`, of files of its own |
//! | CloudTrail | EventBridge, with SNS behind it or not | `{"detail-type": "AWS API Call via CloudTrail", …, "detail": RECORD}` |
//!
//! The last one is not about a log file, but is itself an event. So is a record alone, which an EventBridge rule can
//! extract.
//!
//! SNS puts it as text into the `Message` of an envelope, save with raw delivery. See
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/configure-sns-notifications-for-cloudtrail.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html> and
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>.

use jiff::Timestamp;
use serde::Deserialize;

use crate::aws::s3::page::decode_key;
use crate::formats;
use crate::record::{self, Index, Member};
use crate::trail;

/// What a message tells.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// It is an event.
    Event(Event),
    /// Objects were created.
    Created(Vec<Created>),
    /// It is not about new objects, but a test or the removal of an object, for example.
    Nothing,
    /// Its form is not known, and why.
    Unknown(&'static str),
}

/// An object of which a message says that it was created.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Created {
    pub bucket: String,
    pub key: String,
    /// In bytes; 0 where the message doesn't say.
    pub size: u64,
    /// The bucket's, where the message says.
    pub region: Option<String>,
    /// When, where the message says.
    pub time: Option<Timestamp>,
}

/// An event that is a message by itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    /// CloudTrail's record.
    pub record: Vec<u8>,
    /// `eventTime`
    pub time: Option<Timestamp>,
    /// The account that it is about.
    pub account: Option<String>,
    pub region: Option<String>,
}

/// What is to be read.
#[derive(Debug)]
pub(super) enum Notification {
    Object(Created),
    /// With the ID of its message.
    Event(String, Event),
}

impl Notification {
    /// What tells it apart from all others.
    pub fn identity(&self) -> (&str, &str) {
        match self {
            Self::Object(created) => (&created.bucket, &created.key),
            Self::Event(message, _) => ("", message),
        }
    }
}

/// What CloudTrail sends through SNS when a trail is given a topic.
const VALIDATION: &str = "CloudTrail validation message.";

/// All forms in one: which one it is, its members tell.
#[derive(Deserialize)]
struct Any {
    // CloudTrail
    #[serde(rename = "s3Bucket")]
    bucket: Option<String>,
    #[serde(rename = "s3ObjectKey")]
    keys: Option<Keys>,
    // S3
    #[serde(rename = "Records")]
    records: Option<Vec<S3Record>>,
    /// Of a test.
    #[serde(rename = "Event")]
    event: Option<String>,
    // EventBridge
    source: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    detail: Option<Entity>,
    region: Option<String>,
    time: Option<String>,
    // AWS Config
    #[serde(rename = "messageType")]
    message_type: Option<String>,
    // SNS
    #[serde(rename = "Type")]
    kind: Option<String>,
    #[serde(rename = "Message")]
    message: Option<String>,
}

/// One key is written as a text by AWS Config.
#[derive(Deserialize)]
#[serde(untagged)]
enum Keys {
    Several(Vec<String>),
    One(String),
}

/// What the names of AWS Config's messages begin with, see
/// <https://docs.aws.amazon.com/config/latest/developerguide/notifications-for-AWS-Config.html>.
const CONFIG: [&str; 4] = [
    "Compliance",
    "ConfigRules",
    "Configuration",
    "OversizedConfiguration",
];

/// A record of S3's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct S3Record {
    event_name: String,
    event_time: Option<String>,
    aws_region: Option<String>,
    s3: Entity,
}

#[derive(Deserialize)]
struct Entity {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    #[serde(default)]
    size: u64,
}

/// Read a message's body.
pub(super) fn parse(body: &str) -> Message {
    match event(body) {
        Some(event) => Message::Event(event),
        None => parse_within(body, true),
    }
}

fn event(body: &str) -> Option<Event> {
    let record = formats::record_within(body)?;
    let mut index = Index::default();
    let mut seen = record::Record::new(&record, &mut index);
    let mut first = |members: &[Member]| {
        let text = members.iter().find_map(|&member| seen.text(member));
        text.map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    let account = first(&[Member::RecipientAccountId, Member::IdentityAccountId]);
    let region = first(&[Member::AwsRegion]);
    Some(Event {
        time: record::head(&record)
            .time
            .and_then(|time| Timestamp::from_nanosecond(time.into()).ok()),
        account,
        region,
        record,
    })
}

fn parse_within(body: &str, may_be_envelope: bool) -> Message {
    if body.trim() == VALIDATION {
        return Message::Nothing;
    }
    let Ok(any) = serde_json::from_str::<Any>(body) else {
        return Message::Unknown("it is not a notification of CloudTrail, S3 or EventBridge");
    };
    match any {
        Any {
            message_type: Some(kind),
            ..
        } if CONFIG.iter().any(|name| kind.starts_with(name)) => Message::Nothing,
        Any {
            bucket: Some(bucket),
            keys: Some(keys),
            ..
        } => {
            let keys = match keys {
                Keys::Several(keys) => keys,
                Keys::One(key) => vec![key],
            };
            let created = |key| Created {
                bucket: bucket.clone(),
                key,
                size: 0,
                region: None,
                time: None,
            };
            Message::Created(keys.into_iter().map(created).collect())
        }
        Any {
            records: Some(records),
            ..
        } => {
            let created: Vec<Created> = records.into_iter().filter_map(S3Record::created).collect();
            match created.is_empty() {
                true => Message::Nothing,
                false => Message::Created(created),
            }
        }
        Any {
            event: Some(event), ..
        } if event == "s3:TestEvent" => Message::Nothing,
        Any {
            source: Some(source),
            detail_type: Some(kind),
            detail,
            region,
            time,
            ..
        } if source == "aws.s3" => event_bridge(&kind, detail, region, time.as_deref()),
        Any {
            kind: Some(kind), ..
        } if kind == "SubscriptionConfirmation" => Message::Unknown(
            "it asks to confirm the subscription to an SNS topic, which only the queue's owner can do",
        ),
        Any {
            message: Some(message),
            ..
        } if may_be_envelope => parse_within(&message, false),
        _ => Message::Unknown("it is not a notification of CloudTrail, S3 or EventBridge"),
    }
}

/// An event of EventBridge about a bucket.
fn event_bridge(
    kind: &str,
    detail: Option<Entity>,
    region: Option<String>,
    time: Option<&str>,
) -> Message {
    match detail {
        Some(Entity { bucket, object }) if kind == "Object Created" => {
            Message::Created(vec![Created {
                bucket: bucket.name,
                key: object.key,
                size: object.size,
                region: region.filter(|region| trail::is_region(region)),
                time: time.and_then(|time| time.parse().ok()),
            }])
        }
        _ => Message::Nothing,
    }
}

impl S3Record {
    fn created(self) -> Option<Created> {
        // S3 says `ObjectCreated:Put`; its settings, and some stores, `s3:ObjectCreated:Put`.
        let event = self.event_name.strip_prefix("s3:");
        if !event
            .unwrap_or(&self.event_name)
            .starts_with("ObjectCreated:")
        {
            return None;
        }
        Some(Created {
            bucket: self.s3.bucket.name,
            key: decode_key(&self.s3.object.key),
            size: self.s3.object.size,
            region: self.aws_region.filter(|region| trail::is_region(region)),
            time: self.event_time.and_then(|time| time.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn created(key: &str, size: u64, region: &str, time: &str) -> Message {
        Message::Created(vec![Created {
            bucket: "logs".into(),
            key: key.into(),
            size,
            region: (!region.is_empty()).then(|| region.into()),
            time: (!time.is_empty()).then(|| time.parse().unwrap()),
        }])
    }

    fn of_s3(event: &str) -> String {
        json!({"Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1",
            "eventTime": "2024-03-05T12:05:11.123Z", "eventName": event,
            "userIdentity": {"principalId": "AWS:x"},
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "all",
                "bucket": {"name": "logs", "ownerIdentity": {"principalId": "x"}, "arn": "arn:aws:s3:::logs"},
                "object": {"key": "a+b%2Bc/%C3%BC.json.gz", "size": 512, "eTag": "e", "sequencer": "0"},
            },
        }]})
        .to_string()
    }

    fn of_event_bridge(kind: &str) -> String {
        json!({
            "version": "0", "id": "1", "detail-type": kind, "source": "aws.s3", "account": "123456789012",
            "time": "2024-03-05T12:05:11Z", "region": "eu-west-1", "resources": ["arn:aws:s3:::logs"],
            "detail": {
                "version": "0", "bucket": {"name": "logs"},
                "object": {"key": "a+b%2Bc/ü.json.gz", "size": 512, "etag": "e", "sequencer": "0"},
                "reason": "PutObject",
            },
        })
        .to_string()
    }

    fn through_sns(message: &str) -> String {
        json!({
            "Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:t",
            "Subject": "Amazon S3 Notification", "Message": message, "Timestamp": "2024-03-05T12:05:12.000Z",
        })
        .to_string()
    }

    #[test]
    fn every_shape_is_known_through_sns_and_without_it() {
        let of_cloudtrail = json!({"s3Bucket": "logs", "s3ObjectKey": ["a+b%2Bc/ü.json.gz"]});
        let time = "2024-03-05T12:05:11.123Z";
        for (body, expected) in [
            // Encoded by S3 in its own notifications, and by nobody else.
            (
                of_s3("ObjectCreated:Put"),
                created("a b+c/ü.json.gz", 512, "eu-west-1", time),
            ),
            (
                of_s3("s3:ObjectCreated:CompleteMultipartUpload"),
                created("a b+c/ü.json.gz", 512, "eu-west-1", time),
            ),
            (of_s3("ObjectRemoved:Delete"), Message::Nothing),
            (
                of_event_bridge("Object Created"),
                created(
                    "a+b%2Bc/ü.json.gz",
                    512,
                    "eu-west-1",
                    "2024-03-05T12:05:11Z",
                ),
            ),
            (of_event_bridge("Object Deleted"), Message::Nothing),
            (
                of_cloudtrail.to_string(),
                created("a+b%2Bc/ü.json.gz", 0, "", ""),
            ),
            (VALIDATION.to_owned(), Message::Nothing),
            (
                json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": time, "Bucket": "logs"})
                    .to_string(),
                Message::Nothing,
            ),
            (json!({"Records": []}).to_string(), Message::Nothing),
            // AWS Config shares the topic.
            (
                json!({
                    "s3Bucket": "logs", "s3ObjectKey": "AWSLogs/123456789012/Config/us-east-1/x.json.gz",
                    "notificationCreationTime": time, "messageType": "ConfigurationHistoryDeliveryCompleted",
                    "recordVersion": "1.1",
                })
                .to_string(),
                Message::Nothing,
            ),
            (
                json!({"messageType": "ComplianceChangeNotification", "configRuleName": "x"}).to_string(),
                Message::Nothing,
            ),
        ] {
            assert_eq!(parse(&body), expected, "{body}");
            assert_eq!(parse(&through_sns(&body)), expected, "{body} through SNS");
        }
    }

    #[test]
    fn events_are_known_through_event_bridge_and_sns_and_without_them() {
        let record = json!({
            "eventVersion": "1.11", "eventTime": "2024-03-05T12:00:00Z", "eventSource": "iam.amazonaws.com",
            "eventName": "CreateUser", "userIdentity": {"accountId": "123456789012"},
        });
        let expected = Message::Event(Event {
            record: record.to_string().into_bytes(),
            time: "2024-03-05T12:00:00Z".parse().ok(),
            account: Some("123456789012".into()),
            region: None,
        });
        let envelope = json!({
            "version": "0", "id": "1", "detail-type": "AWS API Call via CloudTrail", "source": "aws.iam",
            "account": "123456789012", "time": "2024-03-05T12:00:00Z", "region": "us-east-1", "resources": [],
            "detail": record,
        });
        for body in [record.to_string(), envelope.to_string()] {
            assert_eq!(parse(&body), expected, "{body}");
            assert_eq!(parse(&through_sns(&body)), expected, "{body} through SNS");
        }
    }

    #[test]
    fn one_message_may_name_several_log_files() {
        let body = json!({"s3Bucket": "logs", "s3ObjectKey": ["a.json.gz", "b.json.gz"]});
        let Message::Created(files) = parse(&through_sns(&body.to_string())) else {
            panic!("not known");
        };
        let keys: Vec<&str> = files.iter().map(|file| file.key.as_str()).collect();
        assert_eq!(keys, ["a.json.gz", "b.json.gz"]);
    }

    #[test]
    fn other_messages_are_unknown() {
        for body in [
            "",
            "hello",
            "7",
            "null",
            "[]",
            "{}",
            r#"{"Records":[{"eventName":"x"}]}"#,
            r#"{"Records":"many"}"#,
            r#"{"s3Bucket":"logs"}"#,
            r#"{"s3ObjectKey":["a.json.gz"]}"#,
            r#"{"source":"aws.ec2","detail-type":"EC2 Instance State-change Notification","detail":{"bucket":{"name":"x"},"object":{"key":"y"}}}"#,
            // Names of CloudTrail's records in an event of another service.
            r#"{"source":"aws.ecs","detail-type":"ECS Service Action","detail":{"eventType":"INFO","eventName":"SERVICE_STEADY_STATE"}}"#,
            r#"{"Message":"hello"}"#,
            // One envelope only.
            r#"{"Message":"{\"Message\":\"CloudTrail validation message.\"}"}"#,
        ] {
            assert!(matches!(parse(body), Message::Unknown(_)), "{body}");
        }
        let Message::Unknown(why) = parse(
            r#"{"Type":"SubscriptionConfirmation","Message":"You have chosen to subscribe","SubscribeURL":"https://x"}"#,
        ) else {
            panic!("known");
        };
        assert!(why.contains("confirm"));
    }
}
