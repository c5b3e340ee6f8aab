//! An event in one line.

use std::borrow::Cow;

use super::{COMPUTED, Text, identity, outcome, s3, text_of};
use crate::record::{Member, Record};

/// `ct.shortsrc`
pub(super) fn short_source<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let (source, range) = text_of(record, Member::EventSource)?;
    let length = source
        .strip_suffix(b".amazonaws.com")
        .unwrap_or(&source)
        .len();
    let source = match source {
        Cow::Borrowed(source) => source[..length].into(),
        Cow::Owned(mut source) => {
            source.truncate(length);
            source.into()
        }
    };
    Some((source, range))
}

/// `ct.info`
pub(super) fn info<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let mut info = Vec::with_capacity(256);
    write_info(record, &mut info);
    Some((info.into(), COMPUTED))
}

/// The whole event: region, user, service, name, and the summary.
pub(crate) fn event(record: &mut Record<'_>) -> Vec<u8> {
    let mut line = Vec::with_capacity(512);
    let parts = [
        record.text(Member::AwsRegion),
        user(record),
        short_source(record).map(|(source, _)| source),
        record.text(Member::EventName),
    ];
    for part in parts.into_iter().flatten() {
        line.extend_from_slice(&part);
        line.push(b' ');
    }
    write_info(record, &mut line);
    line
}

/// The user, or else what kind of identity it is.
fn user<'a>(record: &mut Record<'a>) -> Option<Cow<'a, [u8]>> {
    match identity::user(record) {
        Some((user, _)) => Some(user),
        None => record.text(Member::IdentityType),
    }
}

fn write_info(record: &mut Record<'_>, info: &mut Vec<u8>) {
    let user = user(record);
    let address = record
        .text(Member::SourceIpAddress)
        .filter(|address| Some(address) != user.as_ref());
    if let Some(user) = &user {
        info.extend_from_slice(user);
        info.push(b' ');
    }
    if let Some(address) = address {
        if user.is_some() {
            info.extend_from_slice(b"via ");
        }
        info.extend_from_slice(&address);
        info.push(b' ');
    }
    let code = record.text(Member::ErrorCode);
    if code.is_some_and(|code| outcome::is_error(&code)) {
        info.push(b'!');
    }
    let changes = record.text(Member::ReadOnly).as_deref() == Some(b"false");
    info.extend_from_slice(if changes { "→" } else { "←" }.as_bytes());
    let name = record.text(Member::EventName);
    if let Some(name) = &name {
        info.push(b' ');
        info.extend_from_slice(name);
    }
    match name.as_deref() {
        Some(b"PutBucketPublicAccessBlock") => s3::write_public_access_block(record, info),
        _ => write_object(record, info),
    }
}

/// How much was moved, and which object, bucket or host the request is about.
fn write_object(record: &mut Record<'_>, info: &mut Vec<u8>) {
    if let Some(size) = s3::bytes(record) {
        info.extend_from_slice(format!(" Size={size}").as_bytes());
    }
    let uri = s3::uri(record).map(|(uri, _)| uri);
    let mut first = |label: &[u8], text: Option<Cow<'_, [u8]>>| {
        text.map(|text| {
            info.extend_from_slice(label);
            info.extend_from_slice(&text);
        })
    };
    first(b" URI=", uri)
        .or_else(|| first(b" Bucket=", record.text(Member::RequestBucketName)))
        .or_else(|| first(b" Key=", record.text(Member::RequestKey)))
        .or_else(|| first(b" Host=", record.text(Member::RequestHost)));
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, text};
    use super::*;

    #[test]
    fn summaries_leave_out_what_is_missing() {
        for (record, expected) in [
            ("{}", "←"),
            (r#"{"eventName":"n"}"#, "← n"),
            (r#"{"sourceIPAddress":"i","eventName":"n"}"#, "i ← n"),
            (
                r#"{"userIdentity":{"type":"Root"},"sourceIPAddress":"i","eventName":"n","readOnly":false}"#,
                "Root via i → n",
            ),
            (
                r#"{"userIdentity":{"userName":"i"},"sourceIPAddress":"i","errorCode":"E","eventName":"n"}"#,
                "i !← n",
            ),
            (
                r#"{"eventName":"n","additionalEventData":{"bytesTransferredIn":1,"bytesTransferredOut":2.0},"requestParameters":{"bucketName":"b","key":"k","Host":"h"}}"#,
                "← n Size=3 URI=s3://b/k",
            ),
            (
                r#"{"eventName":"n","requestParameters":{"bucketName":"b","Host":"h"}}"#,
                "← n Bucket=b",
            ),
            (
                r#"{"eventName":"n","requestParameters":{"key":"k","Host":"h"}}"#,
                "← n Key=k",
            ),
            (
                r#"{"eventName":"n","requestParameters":{"Host":"h"}}"#,
                "← n Host=h",
            ),
            (
                r#"{"eventName":"PutBucketPublicAccessBlock","requestParameters":{"bucketName":"b"}}"#,
                "← PutBucketPublicAccessBlock",
            ),
            (
                r#"{"eventName":"PutBucketPublicAccessBlock","requestParameters":{"PublicAccessBlockConfiguration":{"BlockPublicAcls":true,"IgnorePublicAcls":false}}}"#,
                "← PutBucketPublicAccessBlock BlockPublicAcls=true BlockPublicPolicy=false IgnorePublicAcls=false RestrictPublicBuckets=false ",
            ),
        ] {
            assert_eq!(text(record, info).as_deref(), Some(expected), "{record}");
        }
    }

    #[test]
    fn a_code_of_success_is_not_marked() {
        for code in ["\"200\"", "200", "\"Success\"", "\"\"", "null"] {
            let record = format!(r#"{{"eventName":"n","errorCode":{code}}}"#);
            assert_eq!(text(&record, info).as_deref(), Some("← n"), "{record}");
        }
    }

    #[test]
    fn a_service_is_named_without_its_domain() {
        for (source, expected) in [
            ("s3.amazonaws.com", "s3"),
            (r"s\u0033.amazonaws.com", "s3"),
            ("example.com", "example.com"),
        ] {
            let record = format!(r#"{{"eventSource":"{source}"}}"#);
            assert_eq!(text(&record, short_source).as_deref(), Some(expected));
        }
        assert_eq!(text("{}", short_source), None);
    }

    #[test]
    fn an_event_in_one_line_begins_with_region_user_service_and_name() {
        let line = |record| String::from_utf8(answer(record, event)).expect("UTF-8");
        let record = r#"{"awsRegion":"r","userIdentity":{"userName":"u"},"eventSource":"s3.amazonaws.com","eventName":"n"}"#;
        assert_eq!(line(record), "r u s3 n u ← n");
        assert_eq!(line("{}"), "←");
    }
}
