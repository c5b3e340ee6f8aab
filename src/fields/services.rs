//! Fields about the requests to single services.

use super::joined::{Each, all, each_below, joined_texts};
use super::{COMPUTED, Text, text_of};
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

/// `ct.tags`
pub(super) fn tags<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let places: [(Member, &[&str]); 4] = [
        (Member::RequestTagSpecificationSet, &["tags"]),
        (Member::RequestTagSet, &[]),
        (Member::RequestTagging, &["TagSet", "Tag"]),
        (Member::RequestTags, &[]),
    ];
    joined_texts(&mut |each| {
        for (member, names) in places {
            let Some(value) = record.get(member) else {
                continue;
            };
            let items = value.member("items").filter(|items| items.is_array());
            each_below(items.unwrap_or(value), names, &mut |tag| {
                each_tag(tag, each)
            });
        }
    })
}

/// Calls `each` with `key=value`: once, or for each member if this is an object with a member for each tag.
fn each_tag<'a>(tag: Value<'a>, each: Each<Option<Text<'a>>>) {
    let made = |key: &[u8], value: Option<Value<'a>>| {
        let value = value.and_then(Value::text).unwrap_or_default();
        made([key, b"=", &*value].concat())
    };
    let pair = [("key", "value"), ("Key", "Value"), ("tagKey", "tagValue")]
        .into_iter()
        .find_map(|(key, value)| Some((tag.member(key)?.text()?, tag.member(value))));
    match pair {
        Some((key, value)) => each(made(&key, value)),
        None => tag.each_member(&mut |key, value| each(made(&key, Some(value)))),
    }
}

fn made<'a>(text: Vec<u8>) -> Option<Text<'a>> {
    Some((text.into(), COMPUTED))
}

/// Whether the request was made to this service.
fn is_to(record: &mut Record<'_>, service: &[u8]) -> bool {
    record.text(Member::EventSource).as_deref() == Some(service)
}

/// `ssm.parameters`
pub(super) fn ssm_parameters<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    if !is_to(record, b"ssm.amazonaws.com") {
        return None;
    }
    let parameter = |name: &[u8]| memchr::memmem::find(name, b"Parameter").is_some();
    if !record
        .text(Member::EventName)
        .is_some_and(|name| parameter(&name))
    {
        return None;
    }
    all(Member::RequestNames)
        .joined(record)
        .or_else(|| text_of(record, Member::RequestName))
}

/// `cloudtrail.trail`
pub(super) fn trail<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    if !is_to(record, b"cloudtrail.amazonaws.com") {
        return None;
    }
    [
        Member::RequestName,
        Member::RequestTrailName,
        Member::ResponseTrailArn,
    ]
    .into_iter()
    .find_map(|member| text_of(record, member))
}

#[cfg(test)]
mod tests {
    use super::super::tests::text;
    use super::*;

    #[test]
    fn resources_are_joined_by_commas() {
        for (resources, expected) in [
            (r#"[{"a":1}]"#, Some(r#"{"a":1}"#)),
            (r#"[ {"a": 1} , {"b":[2]}]"#, Some(r#"{"a": 1},{"b":[2]}"#)),
            ("[]", None),
            ("null", None),
            (r#"{"a":1}"#, Some(r#"{"a":1}"#)),
        ] {
            let record = format!(r#"{{"resources":{resources}}}"#);
            assert_eq!(
                text(&record, super::resources).as_deref(),
                expected,
                "{record}"
            );
        }
    }

    #[test]
    fn tags_in_all_their_forms() {
        for (request, expected) in [
            (
                r#"{"tagSpecificationSet":{"items":[{"tags":[{"key":"a","value":"b"}]}]}}"#,
                "a=b",
            ),
            (r#"{"tagSet":{"items":[{"key":"a","value":"b"}]}}"#, "a=b"),
            (
                r#"{"Tagging":{"TagSet":{"Tag":{"Key":"a","Value":"b"}}}}"#,
                "a=b",
            ),
            (
                r#"{"tags":[{"tagKey":"a","tagValue":"b"},{"key":"c"}]}"#,
                "a=b,c=",
            ),
            (r#"{"tags":{"a":"b","c":"d"}}"#, "a=b,c=d"),
        ] {
            let record = format!(r#"{{"requestParameters":{request}}}"#);
            assert_eq!(text(&record, tags).as_deref(), Some(expected), "{record}");
        }
        assert_eq!(text("{}", tags), None);
    }

    #[test]
    fn single_services_have_what_their_requests_are_about() {
        for (source, name, parameters) in [
            ("ssm.amazonaws.com", "GetParameters", Some("a,b")),
            ("ssm.amazonaws.com", "SendCommand", None),
            ("rds.amazonaws.com", "GetParameters", None),
        ] {
            let record = format!(
                r#"{{"eventSource":"{source}","eventName":"{name}","requestParameters":{{"names":["a","b"]}}}}"#
            );
            assert_eq!(
                text(&record, ssm_parameters).as_deref(),
                parameters,
                "{record}"
            );
        }
        for (source, request, expected) in [
            ("cloudtrail.amazonaws.com", r#"{"name":"a"}"#, Some("a")),
            (
                "cloudtrail.amazonaws.com",
                r#"{"trailName":"a"}"#,
                Some("a"),
            ),
            ("ec2.amazonaws.com", r#"{"name":"a"}"#, None),
        ] {
            let record = format!(r#"{{"eventSource":"{source}","requestParameters":{request}}}"#);
            assert_eq!(text(&record, trail).as_deref(), expected, "{record}");
        }
        let response =
            r#"{"eventSource":"cloudtrail.amazonaws.com","responseElements":{"trailARN":"arn"}}"#;
        assert_eq!(text(response, trail).as_deref(), Some("arn"));
    }
}
