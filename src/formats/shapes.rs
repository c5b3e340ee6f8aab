//! The forms that an event comes in, by itself or wrapped by what has passed it on, told apart by what is in them.
//!
//! | by | form |
//! | --- | --- |
//! | CloudTrail | the record: several keys that only records have |
//! | `aws cloudtrail lookup-events` | `{"CloudTrailEvent": "RECORD", …}` |
//! | EventBridge | `{"detail-type": …, "detail": RECORD, …}` |
//! | CloudWatch Logs | `{"message": "RECORD", …}` |
//! | Logs Insights | `[{"field": "@message", "value": "RECORD"}, …]`, `{"@message": RECORD, …}` |
//! | SNS | `{"Type": "Notification", "Message": "RECORD", …}` |
//!
//! Wrappers may be wrapped themselves: a rule of EventBridge can write to CloudWatch Logs. See
//! <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_Event.html>,
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetQueryResults.html> and
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>.

use std::ops::Range;

use serde::de::IgnoredAny;

use crate::record::{self, Index};

/// Wrappers around wrappers that are looked into.
const DEPTH: usize = 4;

/// Keys that only CloudTrail's records have, as a rule several of them.
pub(super) const MARKS: [&[u8]; 11] = [
    b"eventVersion",
    b"eventTime",
    b"eventSource",
    b"eventName",
    b"eventID",
    b"eventId",
    b"eventType",
    b"eventCategory",
    b"userIdentity",
    b"awsRegion",
    b"recipientAccountId",
];

/// An object with this many of them is a record.
pub(super) const ENOUGH_MARKS: usize = 2;

/// How messages begin that CloudWatch Logs sends to check whether a subscription works, see
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html>.
const CONTROL: &[u8] = b"CWL CONTROL MESSAGE";

/// How the sources of other services' events begin.
const FOREIGN: &[u8] = b"\"aws:";

/// What a value is, looked into as deep as it goes.
#[derive(Debug, PartialEq)]
pub(crate) enum ValueKind {
    /// A record, and its place.
    Record(Range<usize>),
    /// A message that only checks a connection.
    Nothing,
    /// An event that is not CloudTrail's, in a form that CloudTrail's events come in, too; or a digest, whatever its file is
    /// called.
    Other,
    /// A value that has none of the known forms.
    Unknown(&'static str),
    /// A record that can't be read.
    Broken(String),
}

/// What a value is at first sight.
enum Shape {
    Record,
    /// A value that holds another one at this place, which is to be looked at instead.
    Wrapper(Range<usize>),
    /// An event of another service.
    Other,
    Unknown(&'static str),
}

/// Is this one of the keys, in quotes, that only records have?
pub(super) fn is_mark(key: &[u8]) -> bool {
    MARKS.iter().any(|mark| {
        key.strip_prefix(b"\"")
            .and_then(|key| key.strip_suffix(b"\""))
            == Some(mark)
    })
}

/// Do so many of them stand in something broken, wherever that may be?
pub(super) fn has_marks(broken: &[u8]) -> bool {
    let stands = |mark: &&&[u8]| {
        let key = [b"\"", **mark, b"\""].concat();
        memchr::memmem::find(broken, &key).is_some()
    };
    MARKS.iter().filter(stands).nth(ENOUGH_MARKS - 1).is_some()
}

/// What an object in a list of Records is: S3 and other services use the same name for the list of their notifications.
pub(crate) fn look_at_record(data: &[u8], range: Range<usize>) -> ValueKind {
    let record = &data[range.clone()];
    let mut is_foreign = false;
    if may_be_foreign(record) {
        record::members(record, &mut Index::default(), |name, value| {
            is_foreign |= is_foreign_source(name, &record[value]);
        });
    }
    match is_foreign {
        true => ValueKind::Other,
        false => ValueKind::Record(range),
    }
}

/// Can an object have the source of another service? This is a quick look: if not, its members are not looked at.
fn may_be_foreign(record: &[u8]) -> bool {
    memchr::memmem::find(record, FOREIGN).is_some()
}

/// Streams of DynamoDB and notifications of S3 look like records, with `"eventSource":"aws:s3"`; SNS writes
/// `"EventSource":"aws:sns"`. The sources of CloudTrail are names of hosts.
fn is_foreign_source(name: &[u8], value: &[u8]) -> bool {
    matches!(name, b"eventSource" | b"EventSource") && value.starts_with(FOREIGN)
}

/// Look into the JSON value at `range`. A record that is there as a string takes the string's place in `data`.
pub(crate) fn look_into(data: &mut [u8], mut range: Range<usize>) -> ValueKind {
    let mut index = Index::default();
    for depth in 0..DEPTH {
        let is_text = data[range.start] == b'"';
        if is_text {
            range = match write_text(data, range) {
                Some(text) => text,
                None => return ValueKind::Broken("is a string that can't be read".to_owned()),
            };
            let text = &data[range.clone()];
            if depth > 0 && text.starts_with(CONTROL) {
                return ValueKind::Nothing;
            }
            if let Err(error) = serde_json::from_slice::<IgnoredAny>(text) {
                return match text.first() {
                    Some(b'{') if is_event(text) || has_marks(text) => {
                        ValueKind::Broken(format!("is broken: {error}"))
                    }
                    _ if depth > 0 => ValueKind::Other,
                    _ => ValueKind::Unknown("is text"),
                };
            }
        }
        match shape(&data[range.clone()], &mut index) {
            Shape::Record => return ValueKind::Record(range),
            Shape::Wrapper(within) => range = range.start + within.start..range.start + within.end,
            Shape::Other => return ValueKind::Other,
            Shape::Unknown(_) if depth > 0 => return ValueKind::Other,
            Shape::Unknown(why) => return ValueKind::Unknown(why),
        }
    }
    ValueKind::Other
}

/// Write the text of the string at `range` over it, without the space around it. Gives where it is.
fn write_text(data: &mut [u8], range: Range<usize>) -> Option<Range<usize>> {
    let start = range.start;
    let string = data.get(start + 1..range.end.checked_sub(1)?)?;
    let text = record::text(string).into_owned();
    let text = text.trim_ascii();
    // An escape is longer than what it stands for.
    data[start..range.end]
        .get_mut(..text.len())?
        .copy_from_slice(text);
    Some(start..start + text.len())
}

/// Is this an event, or does it say that it holds one? If it is broken, its readable members decide.
pub(crate) fn is_event(value: &[u8]) -> bool {
    let mut has_time = record::head(value).time.is_some();
    let mut index = Index::default();
    let (mut message, mut timestamp) = (false, false);
    if !has_time && value.starts_with(b"{") {
        record::members(value, &mut index, |name, _| match name {
            b"CloudTrailEvent" | b"detail-type" => has_time = true,
            b"message" => message = true,
            b"timestamp" => timestamp = true,
            _ => {}
        });
    }
    has_time || message && timestamp
}

/// What a text begins with, behind a byte order mark and space.
pub(super) fn text_start(head: &[u8]) -> &[u8] {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    head.trim_ascii_start()
}

/// Can a file that begins like this be JSON or a log with CloudTrail's events? Lines of text may stand before them.
pub(crate) fn may_hold_events(head: &[u8]) -> bool {
    has_marks(head)
        || matches!(
            text_start(head).first(),
            Some(b'{' | b'[' | b'"' | b'0'..=b'9')
        ) && [
            &b"eventVersion"[..],
            b"eventTime",
            b"CloudTrailEvent",
            b"CONTROL_MESSAGE",
            b"\"Records\"",
        ]
        .iter()
        .any(|mark| memchr::memmem::find(head, mark).is_some())
}

fn shape(value: &[u8], index: &mut Index) -> Shape {
    match value.first() {
        Some(b'"') => Shape::Wrapper(0..value.len()),
        Some(b'[') => row(value),
        Some(b'{') => object(value, index),
        _ => Shape::Unknown("is not an object"),
    }
}

fn object(value: &[u8], index: &mut Index) -> Shape {
    let mut marks = 0;
    let (mut is_foreign, mut is_digest) = (false, false);
    let (mut wrapped, mut message) = (None, None);
    let (mut bridged, mut detail) = (None, None);
    let (mut is_notification, mut notified) = (false, None);
    record::members(value, index, |name, range| {
        let first = value[range.start];
        match name {
            b"CloudTrailEvent" | b"@message" => wrapped = Some(range),
            // https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
            b"detail-type" => bridged = Some(value[range].ends_with(b" via CloudTrail\"")),
            b"detail" if first == b'{' => detail = Some(range),
            b"message" if matches!(first, b'"' | b'{') => message = Some(range),
            b"TopicArn" => is_notification = true,
            b"Type" => is_notification |= &value[range] == br#""Notification""#,
            b"Message" if first == b'"' => notified = Some(range),
            b"digestStartTime" => is_digest = true,
            _ if is_foreign_source(name, &value[range.clone()]) => is_foreign = true,
            _ => marks += usize::from(MARKS.contains(&name)),
        }
    });
    if bridged == Some(false) && detail.is_some() {
        return Shape::Other;
    }
    let wrapped = wrapped
        .or(detail.filter(|_| bridged.is_some()))
        .or(notified.filter(|_| is_notification));
    match (wrapped, message) {
        (Some(range), _) => Shape::Wrapper(range),
        _ if marks >= ENOUGH_MARKS && !is_foreign => Shape::Record,
        (_, Some(range)) => Shape::Wrapper(range),
        _ if is_foreign || is_digest => Shape::Other,
        _ => Shape::Unknown("is not a CloudTrail event"),
    }
}

/// A row of Logs Insights.
fn row(value: &[u8]) -> Shape {
    #[derive(serde::Deserialize)]
    struct Cell<'a> {
        #[serde(borrow)]
        field: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        value: &'a serde_json::value::RawValue,
    }
    let Ok(cells) = serde_json::from_slice::<Vec<Cell>>(value) else {
        return Shape::Unknown("is not a CloudTrail event");
    };
    let message = cells.iter().find(|cell| cell.field == "@message");
    match message {
        Some(cell) => {
            let text = cell.value.get();
            let start = text.as_ptr().addr() - value.as_ptr().addr();
            Shape::Wrapper(start..start + text.len())
        }
        None => Shape::Unknown(
            "is a row of Logs Insights without @message: add that to the query's fields",
        ),
    }
}
