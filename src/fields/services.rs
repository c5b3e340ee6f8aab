//! What single services' requests are about.

use std::borrow::Cow;

use super::{COMPUTED, Text};
use crate::record::{Member, Record, Value};

/// `ct.resources`
pub(super) fn resources<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let resources = record.get(Member::Resources)?;
    if !resources.is_array() {
        return Some((resources.text()?, resources.range()));
    }
    let mut elements = resources.elements().map(Value::json);
    let mut text = elements.next()?;
    for element in elements {
        let text = text.to_mut();
        text.push(b',');
        text.extend_from_slice(&element);
    }
    Some((text, resources.range()))
}

/// `s3.uri`
pub(super) fn s3_uri<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let bucket = record.text(Member::RequestBucketName)?;
    let key = record.text(Member::RequestKey)?;
    Some(([b"s3://", &*bucket, b"/", &*key].concat().into(), COMPUTED))
}

/// `s3.bytes`
pub(super) fn s3_bytes(record: &mut Record<'_>) -> Option<u64> {
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

/// `ec2.name`
pub(super) fn instance_name<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let items = record
        .get(Member::RequestTagSpecificationSet)?
        .member("items")?;
    let is = |object: Value<'_>, name, text: &[u8]| {
        object.member(name).and_then(Value::text).as_deref() == Some(text)
    };
    let name = items
        .elements()
        .filter(|&item| is(item, "resourceType", b"instance"))
        .filter_map(|item| item.member("tags"))
        .flat_map(Value::elements)
        .filter(|&tag| is(tag, "key", b"Name"))
        .filter_map(|tag| tag.member("value")?.text())
        .last()?;
    (!name.is_empty()).then_some((name, COMPUTED))
}

/// `ec2.imageid`
pub(super) fn image<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    images(record, Some(0)).pop()
}

/// `ec2.imageids`
pub(super) fn images<'a>(record: &mut Record<'a>, index: Option<u64>) -> Vec<Text<'a>> {
    let found = |value: Value<'a>| Some((value.text()?, value.range()));
    if let Some(items) = record
        .get(Member::ResponseInstancesSet)
        .and_then(|set| set.member("items"))
    {
        let image = |item: Value<'a>| found(item.member("imageId")?);
        return match index {
            None => items
                .elements()
                .filter_map(|item| Some((image(item)?.0, COMPUTED)))
                .collect(),
            Some(index) => {
                let item = usize::try_from(index)
                    .ok()
                    .and_then(|index| items.elements().nth(index));
                item.and_then(image).into_iter().collect()
            }
        };
    }
    if index.is_some_and(|index| index > 0) {
        return Vec::new();
    }
    let below = |record: &mut Record<'a>, member, names: &[&str]| {
        names
            .iter()
            .try_fold(record.get(member)?, |value, name| value.member(name))
            .and_then(found)
    };
    below(record, Member::RequestImageId, &[])
        .or_else(|| {
            below(
                record,
                Member::RequestFastLaunchImages,
                &["ImageId", "content"],
            )
        })
        .or_else(|| below(record, Member::RequestLaunchSpecification, &["imageId"]))
        .into_iter()
        .collect()
}

/// What PutBucketPublicAccessBlock blocks, for the summary.
pub(super) fn write_public_access_block(record: &mut Record<'_>, info: &mut Vec<u8>) {
    let Some(block) = record
        .get(Member::RequestPublicAccessBlock)
        .filter(|block| !block.is_null())
    else {
        return;
    };
    info.push(b' ');
    for flag in [
        "BlockPublicAcls",
        "BlockPublicPolicy",
        "IgnorePublicAcls",
        "RestrictPublicBuckets",
    ] {
        // S3 takes a missing flag for false.
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
