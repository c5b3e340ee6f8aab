//! Who made a request.

use std::borrow::Cow;

use super::{COMPUTED, Text, text_of};
use crate::record::{Member, Record};

/// `ct.user`
pub(super) fn user<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    match record.text(Member::IdentityType).as_deref() {
        Some(b"AWSService") => text_of(record, Member::IdentityInvokedBy),
        // The role, not the session: many rules rely on it.
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

/// The last part of a member's text, if it has this many.
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
}
