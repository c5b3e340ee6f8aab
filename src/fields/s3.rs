//! Fields about the requests to S3.

use std::borrow::Cow;

use super::joined::{each_below, joined_texts};
use super::{COMPUTED, Text};
use crate::record::{Member, Record, Value, nanoseconds};

/// `s3.uri`
pub(super) fn uri<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let bucket = record.text(Member::RequestBucketName)?;
    let key = record.text(Member::RequestKey)?;
    Some(([b"s3://", &*bucket, b"/", &*key].concat().into(), COMPUTED))
}

/// `s3.bytes`
pub(super) fn bytes(record: &mut Record<'_>) -> Option<u64> {
    let mut number = |member| record.get(member)?.number();
    match (
        number(Member::BytesTransferredIn),
        number(Member::BytesTransferredOut),
    ) {
        (None, None) => None,
        (into, out) => Some(into.unwrap_or(0).saturating_add(out.unwrap_or(0))),
    }
}

/// `s3.cnt.get`
pub(super) fn count_get(record: &mut Record<'_>) -> Option<u64> {
    (*record.text(Member::EventName)? == *b"GetObject").then_some(1)
}

/// `s3.cnt.put`
pub(super) fn count_put(record: &mut Record<'_>) -> Option<u64> {
    (*record.text(Member::EventName)? == *b"PutObject").then_some(1)
}

/// `s3.cnt.other`
pub(super) fn count_other(record: &mut Record<'_>) -> Option<u64> {
    let name = record.text(Member::EventName);
    (!matches!(name.as_deref(), Some(b"GetObject" | b"PutObject"))).then_some(1)
}

const PUBLIC_ACCESS_BLOCK: [&str; 4] = [
    "BlockPublicAcls",
    "BlockPublicPolicy",
    "IgnorePublicAcls",
    "RestrictPublicBuckets",
];

/// What PutBucketPublicAccessBlock blocks, for the summary.
pub(super) fn write_public_access_block(record: &mut Record<'_>, info: &mut Vec<u8>) {
    let Some(block) = record
        .get(Member::RequestPublicAccessBlock)
        .filter(|block| !block.is_null())
    else {
        return;
    };
    info.push(b' ');
    for flag in PUBLIC_ACCESS_BLOCK {
        // For S3 a missing flag means false.
        let value = block
            .member(flag)
            .and_then(Value::text)
            .unwrap_or(Cow::Borrowed(b"false"));
        info.extend_from_slice(flag.as_bytes());
        info.push(b'=');
        info.extend_from_slice(&value);
        info.push(b' ');
    }
}

/// `s3.publicaccessblock.off`
pub(super) fn public_access_block_off<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let block = record.get(Member::RequestPublicAccessBlock)?;
    if !block.is_object() {
        return None;
    }
    joined_texts(&mut |each| {
        for part in PUBLIC_ACCESS_BLOCK {
            // For S3 a missing part is off.
            let on = block.member(part).and_then(Value::text);
            if !on.is_some_and(|on| on.eq_ignore_ascii_case(b"true")) {
                each(Some((part.as_bytes().into(), COMPUTED)));
            }
        }
    })
}

/// `s3.expirationdays`
pub(super) fn expiration_days(record: &mut Record<'_>) -> Option<u64> {
    let lifecycle = record.get(Member::RequestLifecycle)?;
    let now = record.text(Member::EventTime);
    let now = now.and_then(|time| nanoseconds(&time));
    let mut least = None;
    each_below(lifecycle, &["Rule"], &mut |rule| {
        let is_enabled = rule.member("Status").and_then(Value::text);
        if is_enabled.as_deref() != Some(b"Enabled") {
            return;
        }
        let Some(expiration) = rule.member("Expiration") else {
            return;
        };
        let text = |name| expiration.member(name).and_then(Value::text);
        let days = text("Days").and_then(|days| str::from_utf8(&days).ok()?.trim().parse().ok());
        let until = text("Date").and_then(|date| Some(nanoseconds(&date)?.saturating_sub(now?)));
        let until = until.map(|until| until.max(0).unsigned_abs().div_ceil(DAY));
        least = least.into_iter().chain(days).chain(until).min();
    });
    least
}

/// In nanoseconds.
const DAY: u64 = 24 * 60 * 60 * 1_000_000_000;

/// `s3.grants`
pub(super) fn grants<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    joined_texts(&mut |each| {
        if let Some(policy) = record.get(Member::RequestAccessControlPolicy) {
            each_below(policy, &["AccessControlList", "Grant"], &mut |grant| {
                let permission = grant.member("Permission").and_then(Value::text);
                let grantee = grant.member("Grantee").and_then(|grantee| {
                    ["URI", "EmailAddress", "ID"]
                        .into_iter()
                        .find_map(|name| grantee.member(name)?.text())
                });
                if let (Some(permission), Some(grantee)) = (permission, grantee) {
                    each(granted(&permission, &grantee));
                }
            });
        }
        let list = record.get(Member::RequestAccessControlList);
        for (permission, header, member) in HEADERS {
            let in_list = list.and_then(|list| list.member(header));
            for grantees in [record.get(member), in_list].into_iter().flatten() {
                each_below(grantees, &[], &mut |grantees| {
                    let grantees = grantees.text().unwrap_or_default();
                    for grantee in grantees.split(|&byte| byte == b',') {
                        if let Some(grantee) = grantee_of(grantee) {
                            each(granted(permission, grantee));
                        }
                    }
                });
            }
        }
    })
}

/// Headers that grant a permission, which stand among the parameters or in their `accessControlList`.
const HEADERS: [(&[u8], &str, Member); 5] = [
    (
        b"FULL_CONTROL",
        "x-amz-grant-full-control",
        Member::RequestGrantFullControl,
    ),
    (b"READ", "x-amz-grant-read", Member::RequestGrantRead),
    (
        b"READ_ACP",
        "x-amz-grant-read-acp",
        Member::RequestGrantReadAcp,
    ),
    (b"WRITE", "x-amz-grant-write", Member::RequestGrantWrite),
    (
        b"WRITE_ACP",
        "x-amz-grant-write-acp",
        Member::RequestGrantWriteAcp,
    ),
];

/// `uri="http://…"` or `id=…`
fn grantee_of(text: &[u8]) -> Option<&[u8]> {
    let grantee = text[memchr::memchr(b'=', text)? + 1..].trim_ascii();
    let quoted = grantee
        .strip_prefix(b"\"")
        .and_then(|grantee| grantee.strip_suffix(b"\""));
    Some(quoted.unwrap_or(grantee))
}

fn granted<'a>(permission: &[u8], grantee: &[u8]) -> Option<Text<'a>> {
    Some(([permission, b" ", grantee].concat().into(), COMPUTED))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, text};
    use super::*;

    #[test]
    fn objects_of_s3_have_a_bucket_and_a_key() {
        let record = r#"{"eventName":"GetObject","requestParameters":{"bucketName":"b","key":"k/x"},
            "additionalEventData":{"bytesTransferredIn":18446744073709551615,"bytesTransferredOut":2}}"#;
        assert_eq!(text(record, uri).as_deref(), Some("s3://b/k/x"));
        assert_eq!(answer(record, bytes), Some(u64::MAX));
        let counts =
            |record: &str| [count_get, count_put, count_other].map(|count| answer(record, count));
        assert_eq!(counts(record), [Some(1), None, None]);
        assert_eq!(
            counts(r#"{"eventName":"PutObject"}"#),
            [None, Some(1), None]
        );
        assert_eq!(counts("{}"), [None, None, Some(1)]);
        let bucket = r#"{"requestParameters":{"bucketName":"b"}}"#;
        assert_eq!(text(bucket, uri), None);
        assert_eq!(answer(bucket, bytes), None);
    }

    #[test]
    fn parts_of_a_public_access_block_that_are_missing_are_off() {
        for (block, off) in [
            ("null", None),
            (
                r#"{"BlockPublicAcls":true,"BlockPublicPolicy":"true","IgnorePublicAcls":"TRUE","RestrictPublicBuckets":true}"#,
                None,
            ),
            (
                r#"{"BlockPublicAcls":true,"BlockPublicPolicy":false,"IgnorePublicAcls":"false"}"#,
                Some("BlockPublicPolicy,IgnorePublicAcls,RestrictPublicBuckets"),
            ),
        ] {
            let record =
                format!(r#"{{"requestParameters":{{"PublicAccessBlockConfiguration":{block}}}}}"#);
            assert_eq!(
                text(&record, public_access_block_off).as_deref(),
                off,
                "{record}"
            );
        }
    }

    #[test]
    fn objects_expire_by_the_first_rule_that_is_enabled() {
        for (rules, days) in [
            (r#"{"Status":"Enabled","Expiration":{"Days":7}}"#, Some(7)),
            (
                r#"[{"Status":"Enabled","Expiration":{"Days":"30"}},{"Status":"Disabled","Expiration":{"Days":1}}]"#,
                Some(30),
            ),
            (
                r#"{"Status":"Enabled","Expiration":{"Date":"2024-03-08T00:00:00.000Z"}}"#,
                Some(2),
            ),
            (
                r#"{"Status":"Enabled","Expiration":{"Date":"2020-01-01"}}"#,
                Some(0),
            ),
            (r#"{"Status":"Enabled","Transition":{"Days":1}}"#, None),
        ] {
            let record = format!(
                r#"{{"eventTime":"2024-03-06T12:00:00Z","requestParameters":{{"LifecycleConfiguration":{{"Rule":{rules}}}}}}}"#
            );
            assert_eq!(answer(&record, expiration_days), days, "{record}");
        }
    }

    #[test]
    fn grants_are_in_the_list_or_in_headers() {
        for (request, expected) in [
            (
                r#"{"AccessControlPolicy":{"AccessControlList":{"Grant":[{"Grantee":{"URI":"u"},"Permission":"READ"},{"Grantee":{"ID":"i"},"Permission":"WRITE"},{"Permission":"X"}]}}}"#,
                Some("READ u,WRITE i"),
            ),
            (
                r#"{"bucketName":"b","x-amz-grant-read-acp":"uri=\"http://acs.amazonaws.com/groups/global/AllUsers\", id=\"i\""}"#,
                Some("READ_ACP http://acs.amazonaws.com/groups/global/AllUsers,READ_ACP i"),
            ),
            (
                r#"{"bucketName":"b","x-amz-grant-write":["uri=u"]}"#,
                Some("WRITE u"),
            ),
            (
                r#"{"bucketName":"b","accessControlList":{"x-amz-grant-full-control":"emailAddress=a@example.com"}}"#,
                Some("FULL_CONTROL a@example.com"),
            ),
            (r#"{"bucketName":"b","x-amz-grant-read":"nobody"}"#, None),
        ] {
            let record = format!(r#"{{"requestParameters":{request}}}"#);
            assert_eq!(text(&record, grants).as_deref(), expected, "{record}");
        }
    }
}
