//! Fields about the requests to single services.

use std::borrow::Cow;

use super::joined::{Each, all, each_below, joined_texts};
use super::{COMPUTED, Text, text_at, text_of};
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

/// `ec2.instancetype`
pub(super) fn instance_type<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let kind = record.get(Member::RequestInstanceType)?;
    // Where an attribute of an instance is modified, it is an object.
    text_at(kind.member("value").unwrap_or(kind))
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

/// Calls `each` with the permissions of security groups in a request. There are three forms: lists, the single permission
/// of old requests, and those of requests that modify rules.
fn each_permission<'a>(record: &mut Record<'a>, each: &mut dyn FnMut(Value<'a>)) {
    if let Some(permissions) = record.get(Member::RequestIpPermissions) {
        each_below(permissions, &["items"], each);
    }
    if let Some(request) = record.get(Member::RequestModifySecurityGroupRules) {
        each_below(request, &["SecurityGroupRule", "SecurityGroupRule"], each);
    }
    if record.get(Member::RequestCidrIp).is_some()
        && let Some(request) = record.get(Member::RequestParameters)
    {
        each(request);
    }
}

/// The ports of a permission: `22`, `8000-8080` or `all`.
fn ports_of(from: Option<Value<'_>>, to: Option<Value<'_>>) -> Vec<u8> {
    let text = |value: Option<Value<'_>>| {
        let text = value.and_then(Value::text)?;
        (*text != *b"-1").then(|| text.into_owned())
    };
    match (text(from), text(to)) {
        (Some(from), Some(to)) if from != to => [&*from, b"-", &*to].concat(),
        (Some(port), _) | (None, Some(port)) => port,
        (None, None) => b"all".into(),
    }
}

fn either<'a>(value: Value<'a>, one: &str, other: &str) -> Option<Value<'a>> {
    value.member(one).or_else(|| value.member(other))
}

/// The protocol of a permission and its ports, `all` if it has any protocol.
fn protocol_and_ports(permission: Value<'_>) -> (Cow<'_, [u8]>, Vec<u8>) {
    let protocol = either(permission, "ipProtocol", "IpProtocol").and_then(Value::text);
    match protocol {
        Some(protocol) if *protocol != *b"-1" => {
            let from = either(permission, "fromPort", "FromPort");
            let to = either(permission, "toPort", "ToPort");
            (protocol, ports_of(from, to))
        }
        _ => (Cow::Borrowed(b"all"), b"all".into()),
    }
}

/// `ec2.ports`
pub(super) fn ports<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    joined_texts(&mut |each| {
        each_permission(record, &mut |permission| {
            each(made(protocol_and_ports(permission).1));
        });
        // Of a network ACL.
        if let Some(range) = record.get(Member::RequestPortRange) {
            each(made(ports_of(range.member("from"), range.member("to"))));
        }
    })
}

/// `ec2.rules`
pub(super) fn security_group_rules<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    const PEERS: [&[&str]; 9] = [
        &["ipRanges", "items", "cidrIp"],
        &["ipv6Ranges", "items", "cidrIpv6"],
        &["groups", "items", "groupId"],
        &["prefixListIds", "items", "prefixListId"],
        &["cidrIp"],
        &["CidrIpv4"],
        &["CidrIpv6"],
        &["ReferencedGroupId"],
        &["PrefixListId"],
    ];
    joined_texts(&mut |each| {
        each_permission(record, &mut |permission| {
            let (protocol, ports) = protocol_and_ports(permission);
            let what = match &*protocol {
                b"all" => ports,
                protocol => [protocol, b" ", &*ports].concat(),
            };
            for names in PEERS {
                each_below(permission, names, &mut |peer| {
                    if let Some(peer) = peer.text() {
                        each(made([&*what, b" ", &*peer].concat()));
                    }
                });
            }
        });
    })
}

/// `s3.grants`
pub(super) fn grants<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let policy = record.get(Member::RequestAccessControlPolicy)?;
    joined_texts(&mut |each| {
        each_below(policy, &["AccessControlList", "Grant"], &mut |grant| {
            let permission = grant.member("Permission").and_then(Value::text);
            let grantee = grant.member("Grantee").and_then(|grantee| {
                ["URI", "EmailAddress", "ID"]
                    .into_iter()
                    .find_map(|name| grantee.member(name)?.text())
            });
            if let (Some(permission), Some(grantee)) = (permission, grantee) {
                each(made([&*permission, b" ", &*grantee].concat()));
            }
        });
    })
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
    use super::super::tests::{answer, text};
    use super::*;

    #[test]
    fn images_come_from_the_response_or_else_the_request() {
        let request = r#""requestParameters":{"launchSpecification":{"imageId":"l"},"DescribeFastLaunchImagesRequest":{"ImageId":{"content":"f"}}}"#;
        let items = r#""responseElements":{"instancesSet":{"items":[{"imageId":"a"},{"x":1},{"imageId":null},{"imageId":"b"}]}}"#;
        let images = |json: &str, index| {
            answer(json, |record| {
                let texts = images(record, index).into_iter();
                let texts = texts.map(|(text, _)| String::from_utf8(text.into_owned()));
                texts.collect::<Result<Vec<_>, _>>().expect("UTF-8")
            })
        };
        let response = format!("{{{request},{items}}}");
        assert_eq!(images(&response, None), ["a", "b"]);
        assert_eq!(images(&response, Some(0)), ["a"]);
        assert_eq!(images(&response, Some(3)), ["b"]);
        for missing in [1, 2, 4, u64::MAX] {
            assert_eq!(images(&response, Some(missing)), [""; 0], "{missing}");
        }
        let request = format!("{{{request}}}");
        assert_eq!(images(&request, None), ["f"]);
        assert_eq!(images(&request, Some(0)), ["f"]);
        assert_eq!(images(&request, Some(1)), [""; 0]);
        assert_eq!(text(&request, image).as_deref(), Some("f"));
    }

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
    fn instances_are_named_by_their_last_tag() {
        let items = r#"{"resourceType":"volume","tags":[{"key":"Name","value":"v"}]},
            {"resourceType":"instance","tags":[{"key":"Name","value":"a"},{"key":"Other","value":"o"}]},
            {"resourceType":"instance","tags":[{"key":"Other","value":"o"}]}"#;
        let record = |items: &str| {
            format!(r#"{{"requestParameters":{{"tagSpecificationSet":{{"items":[{items}]}}}}}}"#)
        };
        assert_eq!(text(&record(items), instance_name).as_deref(), Some("a"));
        assert_eq!(
            text(&record(&items.replace("\"a\"", "\"\"")), instance_name),
            None
        );
        assert_eq!(text(&record(""), instance_name), None);
    }

    #[test]
    fn objects_of_s3_have_a_bucket_and_a_key() {
        let record = r#"{"eventName":"GetObject","requestParameters":{"bucketName":"b","key":"k/x"},
            "additionalEventData":{"bytesTransferredIn":18446744073709551615,"bytesTransferredOut":2}}"#;
        assert_eq!(text(record, s3_uri).as_deref(), Some("s3://b/k/x"));
        assert_eq!(answer(record, s3_bytes), Some(u64::MAX));
        let counts =
            |record: &str| [count_get, count_put, count_other].map(|count| answer(record, count));
        assert_eq!(counts(record), [Some(1), None, None]);
        assert_eq!(
            counts(r#"{"eventName":"PutObject"}"#),
            [None, Some(1), None]
        );
        assert_eq!(counts("{}"), [None, None, Some(1)]);
        let bucket = r#"{"requestParameters":{"bucketName":"b"}}"#;
        assert_eq!(text(bucket, s3_uri), None);
        assert_eq!(answer(bucket, s3_bytes), None);
    }

    #[test]
    fn rules_of_security_groups_in_all_their_forms() {
        for (request, ports_of_it, rules) in [
            (
                r#"{"ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"},{"cidrIp":"10.0.0.0/8"}]}}]}}"#,
                Some("22"),
                Some("tcp 22 0.0.0.0/0,tcp 22 10.0.0.0/8"),
            ),
            (
                r#"{"ipPermissions":{"items":[{"ipProtocol":"-1","groups":{"items":[{"groupId":"sg-1"}]}}]}}"#,
                Some("all"),
                Some("all sg-1"),
            ),
            (
                r#"{"ModifySecurityGroupRulesRequest":{"SecurityGroupRule":{"SecurityGroupRule":{"IpProtocol":"udp","FromPort":8000,"ToPort":8080,"CidrIpv6":"::/0"}}}}"#,
                Some("8000-8080"),
                Some("udp 8000-8080 ::/0"),
            ),
            (
                r#"{"cidrIp":"0.0.0.0/0","ipProtocol":"tcp","fromPort":-1,"toPort":443}"#,
                Some("443"),
                Some("tcp 443 0.0.0.0/0"),
            ),
            (r#"{"portRange":{"from":1,"to":2}}"#, Some("1-2"), None),
            ("{}", None, None),
        ] {
            let record = format!(r#"{{"requestParameters":{request}}}"#);
            assert_eq!(text(&record, ports).as_deref(), ports_of_it, "{record}");
            let found = text(&record, security_group_rules);
            assert_eq!(found.as_deref(), rules, "{record}");
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
        let grant = r#"{"requestParameters":{"AccessControlPolicy":{"AccessControlList":{"Grant":[
            {"Grantee":{"URI":"u"},"Permission":"READ"},{"Grantee":{"ID":"i"},"Permission":"WRITE"},{"Permission":"X"}]}}}}"#;
        assert_eq!(text(grant, grants).as_deref(), Some("READ u,WRITE i"));
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
        for kind in ["\"t3.micro\"", "{\"value\":\"t3.micro\"}"] {
            let record = format!(r#"{{"requestParameters":{{"instanceType":{kind}}}}}"#);
            assert_eq!(text(&record, instance_type).as_deref(), Some("t3.micro"));
        }
    }
}
