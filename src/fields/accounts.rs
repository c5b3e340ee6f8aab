//! The accounts that a request names.

use super::arn::Arn;
use super::joined::joined_texts;
use super::nested::{each_value, may_hold};
use super::{COMPUTED, Text};
use crate::record::{Member, Record, Value};

/// Parts of the names of members that hold account IDs: `accountId`, `userId`, `principal`, `AWS`, `valuesToAdd`, …
const HOLDERS: [&[u8]; 7] = [
    b"account",
    b"aws",
    b"grantee",
    b"owner",
    b"principal",
    b"user",
    b"values",
];

/// `ct.foreignaccounts`
pub(super) fn foreign<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let request = record.get(Member::RequestParameters)?;
    if !has_account(request.raw()) && !may_hold(record, &[]) {
        return None;
    }
    let own = [Member::RecipientAccountId, Member::AccountId]
        .into_iter()
        .find_map(|member| record.text(member));
    let mut found: Vec<[u8; 12]> = vec![];
    each_value(record, &mut |name, value| {
        let Some(account) = account(name, value) else {
            return;
        };
        if own.as_deref() != Some(&account) {
            found.push(account);
        }
    });
    joined_texts(&mut |each| {
        for account in &found {
            each(Some((account.to_vec().into(), COMPUTED)));
        }
    })
}

/// The account that a value is, or whose resource it is.
fn account(name: &[u8], value: Value<'_>) -> Option<[u8; 12]> {
    if value.is_object() || value.is_array() {
        return None;
    }
    let text = value.text()?;
    let of_arn = Arn::of(&text).map(|arn| arn.account);
    let account = of_arn.or_else(|| is_holder(name).then_some(&*text))?;
    let account: [u8; 12] = account.try_into().ok()?;
    account.iter().all(u8::is_ascii_digit).then_some(account)
}

fn is_holder(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    HOLDERS
        .iter()
        .any(|holder| memchr::memmem::find(&name, holder).is_some())
}

/// Whether there are twelve digits in a row. Looks at every twelfth byte, and at more only around a digit.
fn has_account(json: &[u8]) -> bool {
    let mut at = 11;
    while let Some(byte) = json.get(at) {
        if byte.is_ascii_digit() {
            let digits = |bytes: &mut dyn Iterator<Item = &u8>| {
                bytes.take_while(|byte| byte.is_ascii_digit()).count()
            };
            let before = digits(&mut json[..at].iter().rev());
            let from = digits(&mut json[at..].iter());
            if before + from >= 12 {
                return true;
            }
            at += from;
        }
        at += 12;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::tests::text;
    use super::*;

    #[test]
    fn accounts_are_found_wherever_a_request_names_them() {
        for (request, expected) in [
            (
                r#"{"roleArn":"arn:aws:iam::999988887777:role/a"}"#,
                Some("999988887777"),
            ),
            (r#"{"roleArn":"arn:aws:iam::111122223333:role/a"}"#, None),
            (
                r#"{"policyArn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}"#,
                None,
            ),
            (r#"{"principal":"999988887777"}"#, Some("999988887777")),
            (r#"{"principal":999988887777}"#, Some("999988887777")),
            (
                r#"{"attributeName":"restore","valuesToAdd":["111122223333","999988887777","444455556666"]}"#,
                Some("999988887777,444455556666"),
            ),
            (
                r#"{"createVolumePermission":{"add":{"items":[{"userId":"999988887777"}]}}}"#,
                Some("999988887777"),
            ),
            // Neither the name nor the text tells of an account.
            (
                r#"{"phoneNumber":"491701234567","note":"999988887777"}"#,
                None,
            ),
            (r#"{"accountId":"9999888877771"}"#, None),
            (
                r#"{"policy":"{\"Statement\":{\"Principal\":{\"AWS\":[\"999988887777\",\"arn:aws:iam::444455556666:root\"]}}}"}"#,
                Some("999988887777,444455556666"),
            ),
            // Escaped and percent-encoded, no twelve digits stand in a row.
            (r#"{"principal":"99998888777\u0037"}"#, Some("999988887777")),
            (
                r#"{"policyDocument":"%7B%22Principal%22%3A%22%39%39%39988887777%22%7D"}"#,
                Some("999988887777"),
            ),
            ("null", None),
        ] {
            let record =
                format!(r#"{{"recipientAccountId":"111122223333","requestParameters":{request}}}"#);
            assert_eq!(text(&record, foreign).as_deref(), expected, "{record}");
        }
    }

    #[test]
    fn twelve_digits_are_seen_at_any_place() {
        for digits in [11, 12, 13, 30] {
            for before in 0..30 {
                let json = [&vec![b'x'; before][..], &vec![b'7'; digits], b"x1"].concat();
                assert_eq!(has_account(&json), digits >= 12, "{digits} after {before}");
            }
        }
    }
}
