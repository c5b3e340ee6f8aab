//! Fields about the requests to EC2.

use std::borrow::Cow;

use super::joined::{Each, each_below, joined_texts};
use super::network::Network;
use super::{COMPUTED, Text, text_at};
use crate::record::{Member, Record, Value};

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

fn made<'a>(text: Vec<u8>) -> Option<Text<'a>> {
    Some((text.into(), COMPUTED))
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

/// The ports that strangers try first: of FTP, SSH, Telnet, SMTP, Windows, LDAP, databases, Docker, NFS, RDP, VNC, WinRM,
/// Redis, Kubernetes, Elasticsearch and the like.
const SENSITIVE: [u16; 31] = [
    20, 21, 22, 23, 25, 135, 139, 389, 445, 1433, 1521, 2049, 2375, 2376, 3306, 3389, 5432, 5439,
    5601, 5900, 5985, 5986, 6379, 6443, 8020, 9042, 9200, 9300, 10250, 11211, 27017,
];

/// `ec2.openports`
pub(super) fn open_ports<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    joined_texts(&mut |each| {
        each_open(record, &mut |ports| each(made(words_of(ports))));
    })
}

/// `ec2.sensitiveports`
pub(super) fn sensitive_ports<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let mut open = [false; SENSITIVE.len()];
    each_open(record, &mut |(from, to)| {
        for (open, port) in open.iter_mut().zip(SENSITIVE) {
            *open |= (from..=to).contains(&i64::from(port));
        }
    });
    joined_texts(&mut |each| {
        let ports = SENSITIVE.iter().zip(open).filter(|(_, open)| *open);
        ports.for_each(|(port, _)| each(made(port.to_string().into())));
    })
}

/// Calls `each` with the first and the last port of what a permission opens to the whole internet.
fn each_open(record: &mut Record<'_>, each: Each<(i64, i64)>) {
    const NETWORKS: [&[&str]; 5] = [
        &["ipRanges", "items", "cidrIp"],
        &["ipv6Ranges", "items", "cidrIpv6"],
        &["cidrIp"],
        &["CidrIpv4"],
        &["CidrIpv6"],
    ];
    each_permission(record, &mut |permission| {
        let mut open = false;
        for names in NETWORKS {
            each_below(permission, names, &mut |network| {
                let network = network.text().as_deref().and_then(Network::of);
                open |= network.is_some_and(|network| network.is_wide());
            });
        }
        if open && let Some(ports) = range_of(permission) {
            each(ports);
        }
    });
}

const ALL_PORTS: (i64, i64) = (0, u16::MAX as i64);

/// The ports of a permission, if its protocol has any.
fn range_of(permission: Value<'_>) -> Option<(i64, i64)> {
    let protocol = either(permission, "ipProtocol", "IpProtocol").and_then(Value::text);
    let has_ports = |protocol: &[u8]| {
        [&b"tcp"[..], b"6", b"udp", b"17"]
            .iter()
            .any(|known| protocol.eq_ignore_ascii_case(known))
    };
    match protocol.as_deref() {
        None | Some(b"-1") => return Some(ALL_PORTS),
        Some(protocol) if !has_ports(protocol) => return None,
        _ => {}
    }
    let port = |one, other| {
        let port: i64 = str::from_utf8(&either(permission, one, other)?.text()?)
            .ok()?
            .trim()
            .parse()
            .ok()?;
        (port >= 0).then_some(port)
    };
    Some(
        match (port("fromPort", "FromPort"), port("toPort", "ToPort")) {
            (Some(from), Some(to)) => (from, to),
            (Some(port), None) | (None, Some(port)) => (port, port),
            (None, None) => ALL_PORTS,
        },
    )
}

/// `22`, `8000-8080` or `all`.
fn words_of((from, to): (i64, i64)) -> Vec<u8> {
    match (from, to) {
        (..=1, 65535..) => b"all".into(),
        _ if from == to => from.to_string().into(),
        _ => format!("{from}-{to}").into(),
    }
}

/// `ec2.maxcount`
pub(super) fn max_count(record: &mut Record<'_>) -> Option<u64> {
    let mut count: Option<u64> = None;
    each_below(
        record.get(Member::RequestInstancesSet)?,
        &["items", "maxCount"],
        &mut |each| {
            let each = each
                .text()
                .and_then(|text| str::from_utf8(&text).ok()?.parse().ok());
            if let Some(each) = each {
                count = Some(count.unwrap_or(0).saturating_add(each));
            }
        },
    );
    count
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
    fn ports_are_open_to_everyone_by_wide_networks_only() {
        let all_of_them = SENSITIVE.map(|port| port.to_string()).join(",");
        for (permission, open, sensitive) in [
            (
                r#""ipProtocol":"tcp","fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"10.0.0.0/8"},{"cidrIp":"0.0.0.0/0"}]}"#,
                Some("22"),
                Some("22"),
            ),
            (
                r#""ipProtocol":"tcp","fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"10.0.0.0/8"}]}"#,
                None,
                None,
            ),
            (
                r#""ipProtocol":"TCP","fromPort":"20","toPort":"30","ipv6Ranges":{"items":[{"cidrIpv6":"0::/0"}]}"#,
                Some("20-30"),
                Some("20,21,22,23,25"),
            ),
            (
                r#""ipProtocol":"6","fromPort":443,"toPort":443,"ipRanges":{"items":[{"cidrIp":"128.0.0.0/1"}]}"#,
                Some("443"),
                None,
            ),
            (
                r#""ipProtocol":"tcp","fromPort":0,"toPort":65535,"ipRanges":{"items":{"cidrIp":"0.0.0.0/0"}}"#,
                Some("all"),
                Some(&*all_of_them),
            ),
            (
                r#""ipProtocol":"-1","ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}"#,
                Some("all"),
                Some(&*all_of_them),
            ),
            (
                r#""ipProtocol":"icmp","fromPort":8,"toPort":-1,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}"#,
                None,
                None,
            ),
            (
                r#""ipProtocol":"tcp","fromPort":22,"toPort":22,"groups":{"items":[{"groupId":"sg-1"}]}"#,
                None,
                None,
            ),
        ] {
            let record = format!(
                r#"{{"requestParameters":{{"ipPermissions":{{"items":[{{{permission}}}]}}}}}}"#
            );
            assert_eq!(text(&record, open_ports).as_deref(), open, "{record}");
            assert_eq!(
                text(&record, sensitive_ports).as_deref(),
                sensitive,
                "{record}"
            );
        }
        // The ports of one permission and the network of another.
        let two = r#"{"requestParameters":{"ipPermissions":{"items":[
            {"ipProtocol":"tcp","fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"10.0.0.0/8"}]}},
            {"ipProtocol":"tcp","fromPort":443,"toPort":443,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}}"#;
        assert_eq!(text(two, open_ports).as_deref(), Some("443"));
        assert_eq!(text(two, sensitive_ports), None);
        let modified = r#"{"requestParameters":{"ModifySecurityGroupRulesRequest":{"SecurityGroupRule":{"SecurityGroupRule":{"IpProtocol":"tcp","FromPort":3389,"ToPort":3389,"CidrIpv4":"0.0.0.0/0"}}}}}"#;
        assert_eq!(text(modified, sensitive_ports).as_deref(), Some("3389"));
    }

    #[test]
    fn instances_asked_for_are_summed_up() {
        for (set, count) in [
            (
                r#"{"items":[{"maxCount":3},{"maxCount":"4"},{"minCount":1}]}"#,
                Some(7),
            ),
            (
                r#"{"items":[{"maxCount":18446744073709551615},{"maxCount":2}]}"#,
                Some(u64::MAX),
            ),
            ("{}", None),
        ] {
            let record = format!(r#"{{"requestParameters":{{"instancesSet":{set}}}}}"#);
            assert_eq!(answer(&record, max_count), count, "{record}");
        }
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
    fn instance_types_are_texts_or_values_of_an_attribute() {
        for kind in ["\"t3.micro\"", "{\"value\":\"t3.micro\"}"] {
            let record = format!(r#"{{"requestParameters":{{"instanceType":{kind}}}}}"#);
            assert_eq!(text(&record, instance_type).as_deref(), Some("t3.micro"));
        }
    }
}
