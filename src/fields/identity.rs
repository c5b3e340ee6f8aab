//! Who made a request.

use std::borrow::Cow;

use super::arn::Arn;
use super::{COMPUTED, Text, text_of};
use crate::record::{Member, Record};

/// `ct.user`
pub(super) fn user<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    match record.text(Member::IdentityType).as_deref() {
        Some(b"AWSService") => text_of(record, Member::IdentityInvokedBy),
        // The name of the role and not of the session, because many rules rely on that.
        Some(b"AssumedRole") => {
            text_of(record, Member::IssuerUserName).or(constant(b"AssumedRole"))
        }
        Some(b"AWSAccount") => constant(b"AWSAccount"),
        Some(b"FederatedUser") => constant(b"FederatedUser"),
        _ => text_of(record, Member::IdentityUserName),
    }
}

fn constant<'a>(text: &'static [u8]) -> Option<Text<'a>> {
    Some((text.into(), COMPUTED))
}

/// `ct.originaluser`
pub(super) fn original_user<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    if record.text(Member::IdentityType).as_deref() != Some(b"AssumedRole") {
        return text_of(record, Member::IdentityUserName);
    }
    // arn:aws:sts::account:assumed-role/role/session, or else ID:session
    last_part(record, Member::IdentityArn, b'/', 3)
        .or_else(|| last_part(record, Member::IdentityPrincipalId, b':', 2))
}

/// The last part of a member's text, if the text has this many parts.
fn last_part<'a>(
    record: &mut Record<'a>,
    member: Member,
    separator: u8,
    parts: usize,
) -> Option<Text<'a>> {
    let (text, range) = text_of(record, member)?;
    if text.split(|&byte| byte == separator).count() != parts {
        return None;
    }
    let start = memchr::memrchr(separator, &text)? + 1;
    let part = match text {
        Cow::Borrowed(text) => text[start..].into(),
        Cow::Owned(mut text) => text.split_off(start).into(),
    };
    Some((part, range))
}

/// `ct.user.accountid`
pub(super) fn account<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    text_of(record, Member::IdentityAccountId)
        .or_else(|| text_of(record, Member::RecipientAccountId))
        // Of an aggregated event.
        .or_else(|| text_of(record, Member::AccountId))
}

/// `ct.actor`
pub(super) fn actor<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let (name, range) = named(record)?;
    let Some((vendor, _)) = some_text(record, Member::DelegateAccountId) else {
        return Some((name, range));
    };
    Some((
        [b"vendor ", &*vendor, b" as ", &*name].concat().into(),
        COMPUTED,
    ))
}

/// The identity that a request was made with, in words.
pub(super) fn named<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let kind = record.text(Member::IdentityType);
    let named = match kind.as_deref() {
        Some(b"Root") => return constant(b"root"),
        Some(b"AssumedRole") => role_session(record),
        Some(b"AWSService") => some_text(record, Member::IdentityInvokedBy),
        Some(b"AWSAccount") => account_in_words(record),
        Some(b"IdentityCenterUser") => some_text(record, Member::OnBehalfOfUserId),
        // `userName` would be the name of the user who asked for the session.
        Some(b"FederatedUser") => name_in_arn(record),
        _ => None,
    };
    named
        .or_else(|| some_text(record, Member::IdentityUserName))
        .or_else(|| some_text(record, Member::OnBehalfOfUserId))
        .or_else(|| name_in_arn(record))
        .or_else(|| some_text(record, Member::IdentityPrincipalId))
        .or_else(|| some_text(record, Member::IdentityInvokedBy))
        .or_else(|| account_in_words(record))
        .or_else(|| service(record))
        .or(constant(b"unknown"))
}

/// A member's text, if it isn't empty.
pub(super) fn some_text<'a>(record: &mut Record<'a>, member: Member) -> Option<Text<'a>> {
    text_of(record, member).filter(|(text, _)| !text.is_empty())
}

/// Role and session: from the ARN, or else from the two members that have one of them each.
fn role_session<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    if let Some(name) = name_in_arn(record) {
        return Some(name);
    }
    let (role, range) = some_text(record, Member::IssuerUserName)?;
    match last_part(record, Member::IdentityPrincipalId, b':', 2) {
        Some((session, _)) => Some(([&*role, b"/", &*session].concat().into(), COMPUTED)),
        None => Some((role, range)),
    }
}

/// `arn:aws:iam::account:user/path/NAME`, `arn:aws:sts::account:assumed-role/ROLE/SESSION`, `…:federated-user/NAME`
fn name_in_arn<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let (arn, range) = text_of(record, Member::IdentityArn)?;
    Some((name_in_arn_of(arn)?, range))
}

/// The same of an ARN from elsewhere.
pub(super) fn name_in_arn_of(arn: Cow<'_, [u8]>) -> Option<Cow<'_, [u8]>> {
    let resource = Arn::of(&arn)?.resource;
    let name = resource
        .strip_prefix(b"assumed-role/")
        .or_else(|| resource.rsplit(|&byte| byte == b'/').next())
        .filter(|name| !name.is_empty())?;
    let start = arn.len() - name.len();
    Some(match arn {
        Cow::Borrowed(arn) => arn[start..].into(),
        Cow::Owned(mut arn) => arn.split_off(start).into(),
    })
}

/// `account` and its number, or `anonymous`, for requests without credentials have no principal.
fn account_in_words<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    let (account, range) = some_text(record, Member::IdentityAccountId)?;
    if account.eq_ignore_ascii_case(b"anonymous") || *account == *b"ANONYMOUS_PRINCIPAL" {
        return Some((b"anonymous".into(), range));
    }
    Some(([b"account ", &*account].concat().into(), range))
}

/// The service that acted by itself, or whose name stands where the address would be.
fn service<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    if record.text(Member::EventType).as_deref() == Some(b"AwsServiceEvent") {
        return some_text(record, Member::EventSource);
    }
    some_text(record, Member::SourceIpAddress)
        .filter(|(address, _)| address.ends_with(b".amazonaws.com"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::text;
    use super::*;

    #[test]
    fn users_are_named_by_the_kind_of_their_identity() {
        for (identity, name, original) in [
            (r#"{"type":"IAMUser","userName":"a"}"#, Some("a"), Some("a")),
            (r#"{"type":"Root"}"#, None, None),
            (
                r#"{"type":"SAMLUser","userName":"a"}"#,
                Some("a"),
                Some("a"),
            ),
            (
                r#"{"type":"AWSService","invokedBy":"s","userName":"a"}"#,
                Some("s"),
                Some("a"),
            ),
            (
                r#"{"type":"AWSAccount","userName":"a"}"#,
                Some("AWSAccount"),
                Some("a"),
            ),
            (r#"{"type":"FederatedUser"}"#, Some("FederatedUser"), None),
            (
                r#"{"type":"AssumedRole","userName":"a"}"#,
                Some("AssumedRole"),
                None,
            ),
            (
                r#"{"type":"AssumedRole","sessionContext":{"sessionIssuer":{"userName":"r"}},"arn":"arn/r/s","principalId":"i:p"}"#,
                Some("r"),
                Some("s"),
            ),
            (
                r#"{"type":"AssumedRole","arn":"arn/r/s/t","principalId":"i:p"}"#,
                Some("AssumedRole"),
                Some("p"),
            ),
            (
                r#"{"type":"AssumedRole","arn":"arn\/r\/\u0073","principalId":"i:p"}"#,
                Some("AssumedRole"),
                Some("s"),
            ),
            (
                r#"{"type":"AssumedRole","arn":"arn","principalId":"i:p:q"}"#,
                Some("AssumedRole"),
                None,
            ),
            (r#"{"userName":"a"}"#, Some("a"), Some("a")),
            (r#""IAMUser""#, None, None),
            ("null", None, None),
        ] {
            let record = format!(r#"{{"userIdentity":{identity}}}"#);
            assert_eq!(text(&record, user).as_deref(), name, "{record}");
            assert_eq!(
                text(&record, original_user).as_deref(),
                original,
                "{record}"
            );
        }
    }

    #[test]
    fn the_account_is_the_users_or_else_the_events() {
        for (record, expected) in [
            (
                r#"{"userIdentity":{"accountId":"1"},"recipientAccountId":"2"}"#,
                Some("1"),
            ),
            (r#"{"userIdentity":{},"recipientAccountId":"2"}"#, Some("2")),
            (r#"{"accountId":"3"}"#, Some("3")),
            ("{}", None),
        ] {
            assert_eq!(text(record, account).as_deref(), expected, "{record}");
        }
    }

    #[test]
    fn every_event_has_an_actor() {
        for (identity, expected) in [
            (r#"{"type":"Root","userName":"x"}"#, "root"),
            (r#"{"type":"IAMUser","userName":"a"}"#, "a"),
            (
                r#"{"type":"IAMUser","arn":"arn:aws:iam::1:user/path/a"}"#,
                "a",
            ),
            (
                r#"{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/r/s"}"#,
                "r/s",
            ),
            (
                r#"{"type":"AssumedRole","arn":"arn\u003aaws:sts::1:assumed-role/r/s"}"#,
                "r/s",
            ),
            (
                r#"{"type":"AssumedRole","principalId":"AROA:s","sessionContext":{"sessionIssuer":{"userName":"r"}}}"#,
                "r/s",
            ),
            (
                r#"{"type":"AssumedRole","sessionContext":{"sessionIssuer":{"userName":"r"}}}"#,
                "r",
            ),
            (
                r#"{"type":"FederatedUser","arn":"arn:aws:sts::1:federated-user/f","userName":"x"}"#,
                "f",
            ),
            (r#"{"type":"AWSService","invokedBy":"s"}"#, "s"),
            (r#"{"type":"AWSAccount","accountId":"1"}"#, "account 1"),
            (
                r#"{"type":"AWSAccount","accountId":"anonymous"}"#,
                "anonymous",
            ),
            (
                r#"{"type":"AWSAccount","accountId":"ANONYMOUS_PRINCIPAL"}"#,
                "anonymous",
            ),
            (
                r#"{"type":"IdentityCenterUser","onBehalfOf":{"userId":"u"}}"#,
                "u",
            ),
            (r#"{"type":"Unknown","principalId":"p","userName":""}"#, "p"),
            ("null", "unknown"),
        ] {
            let record = format!(r#"{{"userIdentity":{identity}}}"#);
            assert_eq!(text(&record, actor).as_deref(), Some(expected), "{record}");
        }
        for (record, expected) in [
            (
                r#"{"eventType":"AwsServiceEvent","eventSource":"kms.amazonaws.com"}"#,
                "kms.amazonaws.com",
            ),
            (
                r#"{"sourceIPAddress":"ec2.amazonaws.com"}"#,
                "ec2.amazonaws.com",
            ),
            (r#"{"sourceIPAddress":"198.51.100.7"}"#, "unknown"),
        ] {
            assert_eq!(text(record, actor).as_deref(), Some(expected), "{record}");
        }
    }
}
