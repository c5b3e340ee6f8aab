//! What the policy documents of a request allow.
//!
//! A policy is an object with a member `Statement`, wherever it is in the request, see [`super::nested`]. What its
//! `Deny` statements take away is not reckoned with: they may be lifted tomorrow.

use super::arn::Arn;
use super::joined::joined_texts;
use super::nested::{each_value, may_hold};
use super::network::Network;
use super::{COMPUTED, Text};
use crate::record::{Record, Value};

/// `policy.everyone`
pub(super) fn everyone<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let mut limited = None;
    each_allowed(record, &mut |statement| {
        if is_for_everyone(statement) {
            let condition = element(statement, "Condition");
            *limited.get_or_insert(true) &= condition.is_some_and(is_limiting);
        }
    });
    let text: &[u8] = if limited? { b"limited" } else { b"true" };
    Some((text.into(), COMPUTED))
}

/// `policy.everything`
pub(super) fn everything<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    // An action of a service for each letter: several patterns may allow everything together, `a*`, `b*` and so on.
    let mut allowed = [false; 26];
    each_allowed(record, &mut |statement| {
        if element(statement, "NotAction").is_some() {
            allowed = [true; 26];
        }
        if let Some(actions) = element(statement, "Action") {
            each_text(actions, &mut |pattern| {
                for (allowed, letter) in allowed.iter_mut().zip(b'a'..) {
                    *allowed |= matches(pattern, &[&[letter], &b"svc:PutThing"[..]].concat());
                }
            });
        }
    });
    let all = allowed.iter().all(|&allowed| allowed);
    all.then(|| (b"true".into(), COMPUTED))
}

/// `policy.principals`
pub(super) fn principals<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let mut found = vec![];
    each_allowed(record, &mut |statement| {
        if let Some(principal) = element(statement, "Principal") {
            each_principal(principal, &mut |text| found.push(text.to_vec()));
        }
        if let Some(principal) = element(statement, "NotPrincipal") {
            each_principal(principal, &mut |text| found.push([b"not ", text].concat()));
        }
    });
    join(found)
}

/// `policy.actions`
pub(super) fn actions<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let mut found = vec![];
    each_allowed(record, &mut |statement| {
        if let Some(actions) = element(statement, "Action") {
            each_text(actions, &mut |text| found.push(text.to_vec()));
        }
        if let Some(actions) = element(statement, "NotAction") {
            each_text(actions, &mut |text| found.push([b"not ", text].concat()));
        }
    });
    join(found)
}

fn join<'a>(texts: Vec<Vec<u8>>) -> Option<Text<'a>> {
    let mut texts = texts.into_iter();
    joined_texts(&mut |each| {
        for text in texts.by_ref() {
            each(Some((text.into(), COMPUTED)));
        }
    })
}

/// Calls `each` with the statements that allow something, of all policies in the request.
fn each_allowed(record: &mut Record<'_>, each: &mut dyn FnMut(Value<'_>)) {
    if !may_hold(record, &[b"llow"]) {
        return;
    }
    each_value(record, &mut |_, value| {
        if !value.is_object() {
            return;
        }
        let Some(statements) = element(value, "Statement") else {
            return;
        };
        each_or_itself(statements, &mut |statement| {
            // IAM takes no other spelling.
            if element(statement, "Effect").is_some_and(|effect| is(effect, b"Allow")) {
                each(statement);
            }
        });
    });
}

/// An element of a policy, whose name may be in any case.
fn element<'a>(object: Value<'a>, name: &str) -> Option<Value<'a>> {
    let mut found = None;
    if object.is_object() {
        object.each_member(&mut |other, value| {
            if found.is_none() && other.eq_ignore_ascii_case(name.as_bytes()) {
                found = Some(value);
            }
        });
    }
    found
}

/// Policies write a single value by itself as well as in a list.
fn each_or_itself<'a>(value: Value<'a>, each: &mut dyn FnMut(Value<'a>)) {
    if value.is_array() {
        value.elements().for_each(each);
    } else {
        each(value);
    }
}

fn each_text(value: Value<'_>, each: &mut dyn FnMut(&[u8])) {
    each_or_itself(value, &mut |value| {
        if let Some(text) = value.text() {
            each(&text);
        }
    });
}

/// A principal is `*`, or an object with members such as `AWS` and `Service`.
fn each_principal(principal: Value<'_>, each: &mut dyn FnMut(&[u8])) {
    if principal.is_object() {
        principal.each_member(&mut |_, value| each_text(value, each));
    } else {
        each_text(principal, each);
    }
}

fn is(value: Value<'_>, text: &[u8]) -> bool {
    value.text().is_some_and(|value| *value == *text)
}

fn is_for_everyone(statement: Value<'_>) -> bool {
    let mut everyone = element(statement, "NotPrincipal").is_some();
    if let Some(principal) = element(statement, "Principal") {
        each_principal(principal, &mut |text| everyone |= is_any(text));
    }
    everyone
}

/// Nothing but asterisks.
fn is_any(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| byte == b'*')
}

/// Whether an IAM pattern matches an action, whatever their case.
fn matches(pattern: &[u8], action: &[u8]) -> bool {
    let (mut p, mut a) = (0, 0);
    // Where the last asterisk is, and how far it reaches so far.
    let mut last: Option<(usize, usize)> = None;
    while a < action.len() {
        match pattern.get(p) {
            Some(b'*') => {
                last = Some((p, a));
                p += 1;
            }
            Some(byte) if *byte == b'?' || byte.eq_ignore_ascii_case(&action[a]) => {
                p += 1;
                a += 1;
            }
            _ => {
                let Some((star, reach)) = last else {
                    return false;
                };
                last = Some((star, reach + 1));
                p = star + 1;
                a = reach + 1;
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Operators that hold only where the key is there and has such a value, which `…IfExists` and `ForAllValues:…` do not.
const OPERATORS: [&[u8]; 6] = [
    b"stringequals",
    b"stringequalsignorecase",
    b"stringlike",
    b"arnequals",
    b"arnlike",
    b"ipaddress",
];

/// Keys that tell who asks or from where, by which S3 holds a policy for not public ("The meaning of public" in its
/// user guide), and their like of other services.
const KEYS: [&[u8]; 18] = [
    b"aws:principalaccount",
    b"aws:principalarn",
    b"aws:principalorgid",
    b"aws:principalorgpaths",
    b"aws:principalservicename",
    b"aws:sourceaccount",
    b"aws:sourcearn",
    b"aws:sourceip",
    b"aws:sourceorgid",
    b"aws:sourceorgpaths",
    b"aws:sourceowner",
    b"aws:sourcevpc",
    b"aws:sourcevpce",
    b"aws:userid",
    b"aws:vpcsourceip",
    b"kms:calleraccount",
    b"s3:dataaccesspointaccount",
    b"s3:dataaccesspointarn",
];

/// Keys that are true or false and that strangers do not have: of services' own requests, and of those by an EFS mount
/// target ("Blocking public access" in the user guide of EFS).
const FLAGS: [&[u8]; 2] = [
    b"aws:principalisawsservice",
    b"elasticfilesystem:accessedviamounttarget",
];

/// Whether a condition keeps most of the world out. All that it asks must hold, so one is enough.
fn is_limiting(condition: Value<'_>) -> bool {
    let mut limits = false;
    if condition.is_object() {
        condition.each_member(&mut |operator, keys| {
            let operator = operator.to_ascii_lowercase();
            let operator = operator.strip_prefix(b"foranyvalue:").unwrap_or(&operator);
            if !keys.is_object() {
                return;
            }
            keys.each_member(&mut |key, values| {
                let key = key.to_ascii_lowercase();
                limits |= match operator {
                    b"bool" => FLAGS.contains(&key.as_slice()) && are_all(values, is_true),
                    _ => {
                        OPERATORS.contains(&operator)
                            && KEYS.contains(&key.as_slice())
                            && are_all(values, is_fixed)
                    }
                };
            });
        });
    }
    limits
}

/// Whether each of several values, any of which will do, is such a one.
fn are_all(values: Value<'_>, is: fn(&[u8]) -> bool) -> bool {
    let (mut any, mut all) = (false, true);
    each_text(values, &mut |value| {
        any = true;
        all &= is(value);
    });
    any && all
}

fn is_true(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"true")
}

/// Whether few only can have this value.
fn is_fixed(value: &[u8]) -> bool {
    if let Some(network) = Network::of(value) {
        return !network.is_wide();
    }
    // What the caller is compared with must not be the caller's.
    if let Some(at) = memchr::memmem::find(value, b"${") {
        return value[at..]
            .to_ascii_lowercase()
            .starts_with(b"${aws:resource");
    }
    let Some(wildcard) = value.iter().position(|byte| b"*?".contains(byte)) else {
        return !value.is_empty();
    };
    match Arn::of(value) {
        // An account's own.
        Some(arn) => arn.account.len() == 12 && arn.account.iter().all(u8::is_ascii_digit),
        // Such as `o-a1b2c3d4e5/*` and `AROAIDPPEZS35WEXAMPLE:*`.
        None => wildcard >= 8,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::text;
    use super::*;

    /// A policy as IAM's requests have it.
    fn put(policy: &str) -> String {
        let policy = serde_json::to_string(policy).expect("JSON");
        format!(r#"{{"requestParameters":{{"policyDocument":{policy}}}}}"#)
    }

    fn statement(statement: &str) -> String {
        format!(r#"{{"Version":"2012-10-17","Statement":[{{{statement}}}]}}"#)
    }

    #[test]
    fn policies_for_everyone_are_known_in_every_spelling() {
        for (policy, expected) in [
            (r#""Effect":"Allow","Principal":"*""#, Some("true")),
            (r#""Principal":{"AWS":"*"},"Effect":"Allow""#, Some("true")),
            (
                r#""Effect":"Allow","Principal":{"AWS":["111122223333","*"]}"#,
                Some("true"),
            ),
            (
                "\"Effect\" :\n\t\"Allow\", \"Principal\"\r\n: { \"AWS\" : [ \"*\" ] }",
                Some("true"),
            ),
            (
                r#""\u0045ffect":"\u0041llow","Principal":"\u002a""#,
                Some("true"),
            ),
            (r#""effect":"Allow","PRINCIPAL":"*""#, Some("true")),
            (
                r#""Effect":"Allow","NotPrincipal":{"AWS":"111122223333"}"#,
                Some("true"),
            ),
            (r#""Effect":"Deny","Principal":"*""#, None),
            (
                r#""Effect":"Allow","Principal":{"AWS":"111122223333"}"#,
                None,
            ),
            (
                r#""Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Sid":"*""#,
                None,
            ),
            (r#""Effect":"Allow","Action":"*""#, None),
        ] {
            let record = put(&statement(policy));
            assert_eq!(text(&record, everyone).as_deref(), expected, "{record}");
        }
    }

    #[test]
    fn conditions_limit_if_few_can_meet_them() {
        for (condition, limits) in [
            (
                r#""StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}"#,
                true,
            ),
            (
                r#""stringequals":{"AWS:principalorgid":["o-a1b2c3d4e5"]}"#,
                true,
            ),
            (
                r#""StringEquals":{"kms:CallerAccount":"111122223333","kms:ViaService":"ebs.us-east-1.amazonaws.com"}"#,
                true,
            ),
            (
                r#""ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-a1b2c3d4e5/*"}"#,
                true,
            ),
            (r#""ArnLike":{"aws:SourceArn":"arn:aws:s3:::bucket"}"#, true),
            (
                r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/*"}"#,
                true,
            ),
            (
                r#""IpAddress":{"aws:SourceIp":["192.0.2.0/24","203.0.113.0/24"]}"#,
                true,
            ),
            (
                r#""StringLike":{"aws:userid":"AROAIDPPEZS35WEXAMPLE:*"}"#,
                true,
            ),
            (
                r#""StringEquals":{"aws:PrincipalOrgID":"${aws:ResourceOrgID}"}"#,
                true,
            ),
            (
                r#""Bool":{"elasticfilesystem:AccessedViaMountTarget":"true"}"#,
                true,
            ),
            (
                r#""Bool":{"aws:SecureTransport":"true"},"StringEquals":{"aws:SourceVpce":"vpce-1a2b3c4d"}"#,
                true,
            ),
            (r#""Bool":{"aws:SecureTransport":"true"}"#, false),
            (r#""Bool":{"aws:PrincipalIsAWSService":"false"}"#, false),
            (
                r#""StringNotEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}"#,
                false,
            ),
            (
                r#""StringEqualsIfExists":{"aws:SourceVpce":"vpce-1a2b3c4d"}"#,
                false,
            ),
            (
                r#""ForAllValues:StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}"#,
                false,
            ),
            (r#""StringLike":{"aws:PrincipalOrgID":"*"}"#, false),
            (
                r#""StringLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/admin"}"#,
                false,
            ),
            (
                r#""StringEquals":{"aws:PrincipalOrgID":"${aws:PrincipalOrgID}"}"#,
                false,
            ),
            (r#""IpAddress":{"aws:SourceIp":"0.0.0.0/0"}"#, false),
            (
                r#""IpAddress":{"aws:SourceIp":["192.0.2.0/24","128.0.0.0/1","0.0.0.0/1"]}"#,
                false,
            ),
            (r#""StringEquals":{"sts:ExternalId":"secret"}"#, false),
            (r#""StringEquals":{"aws:PrincipalOrgID":[]}"#, false),
            (
                r#""StringEquals":{"s3:prefix":"aws:PrincipalOrgID"}"#,
                false,
            ),
            ("", false),
        ] {
            let record = put(&statement(&format!(
                r#""Effect":"Allow","Principal":"*","Condition":{{{condition}}}"#
            )));
            let expected = if limits { "limited" } else { "true" };
            assert_eq!(
                text(&record, everyone).as_deref(),
                Some(expected),
                "{record}"
            );
        }
        // One statement without is enough.
        let two = r#"{"Statement":[{"Effect":"Allow","Principal":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}}},{"Effect":"Allow","Principal":"*"}]}"#;
        assert_eq!(text(&put(two), everyone).as_deref(), Some("true"));
    }

    #[test]
    fn policies_for_everything_are_known_in_every_spelling() {
        let letters: Vec<String> = ('a'..='z').map(|letter| format!("{letter}*")).collect();
        let letters = serde_json::to_string(&letters).expect("JSON");
        for (actions, expected) in [
            (r#""Action":"*""#, true),
            (r#""Action":["s3:GetObject","*:*"]"#, true),
            (r#""Action":"**""#, true),
            (r#""Action":"?*""#, true),
            (r#""action" : [ "\u002a" ]"#, true),
            (r#""NotAction":"s3:DeleteBucket""#, true),
            (&*format!(r#""Action":{letters}"#), true),
            (r#""Action":"iam:*""#, false),
            (r#""Action":["i*","s*:*"]"#, false),
            (r#""Action":"s3:*","Resource":"*""#, false),
        ] {
            let record = put(&statement(&format!(r#""Effect":"Allow",{actions}"#)));
            let expected = expected.then_some("true");
            assert_eq!(text(&record, everything).as_deref(), expected, "{record}");
        }
        assert_eq!(
            text(
                &put(&statement(r#""Effect":"Deny","Action":"*""#)),
                everything
            ),
            None
        );
    }

    #[test]
    fn policies_are_found_wherever_a_request_has_them() {
        let policy = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*"}}"#;
        let text_of_it = serde_json::to_string(policy).expect("JSON");
        let encoded =
            percent_encoding::utf8_percent_encode(policy, percent_encoding::NON_ALPHANUMERIC);
        for request in [
            format!(r#"{{"bucketPolicy":{policy}}}"#),
            format!(r#"{{"attributes":{{"Policy":{text_of_it}}}}}"#),
            format!(r#"{{"attributeName":"Policy","attributeValue":{text_of_it}}}"#),
            format!(r#"{{"policyDocument":"{encoded}"}}"#),
        ] {
            let record = format!(r#"{{"requestParameters":{request}}}"#);
            assert_eq!(text(&record, everyone).as_deref(), Some("true"), "{record}");
            assert_eq!(
                text(&record, everything).as_deref(),
                Some("true"),
                "{record}"
            );
            assert_eq!(text(&record, principals).as_deref(), Some("*"), "{record}");
            assert_eq!(text(&record, actions).as_deref(), Some("*"), "{record}");
        }
    }

    #[test]
    fn principals_and_actions_are_those_of_what_is_allowed() {
        let record = put(r#"{"Statement":[
                {"Effect":"Allow","Principal":{"AWS":["111122223333","444455556666"],"Service":"ec2.amazonaws.com"},"Action":["a:B","a:C"]},
                {"Effect":"Deny","Principal":"*","Action":"*"},
                {"Effect":"Allow","NotPrincipal":{"AWS":"999988887777"},"NotAction":"iam:*"}]}"#);
        assert_eq!(
            text(&record, principals).as_deref(),
            Some("111122223333,444455556666,ec2.amazonaws.com,not 999988887777")
        );
        assert_eq!(text(&record, actions).as_deref(), Some("a:B,a:C,not iam:*"));
        assert_eq!(
            text(r#"{"requestParameters":{"a":"allowed"}}"#, actions),
            None
        );
    }

    #[test]
    fn patterns_match_as_iam_has_it() {
        for (pattern, action, expected) in [
            ("*", "", true),
            ("s3:Get*", "S3:getObject", true),
            ("s3:*Object", "s3:GetObject", true),
            ("s3:*Object", "s3:GetObjectAcl", false),
            ("s3:G?t*", "s3:GetObject", true),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxcyy", false),
            ("", "a", false),
        ] {
            let found = matches(pattern.as_bytes(), action.as_bytes());
            assert_eq!(found, expected, "{pattern} of {action}");
        }
    }
}
