//! Who made a request, and what the record itself tells of who stands behind them.

use std::borrow::Cow;

use super::super::identity::{actor, name_in_arn_of, some_text};
use crate::record::{Member, Record};

type Text<'a> = Cow<'a, [u8]>;

/// Who made a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Identity<'a> {
    /// In the words of `ct.actor`.
    pub name: Text<'a>,
    pub arn: Option<Text<'a>>,
    /// The access key that the request was signed with.
    pub key: Option<Text<'a>>,
    /// The sign-in that the session comes from, `signInSessionArn`.
    pub sign_in: Option<Text<'a>>,
    /// Whom AWS vouches for.
    pub vouched: Option<(Voucher, Text<'a>)>,
    pub beginning: Beginning<'a>,
}

/// How AWS vouches for somebody.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Voucher {
    SourceIdentity,
    OnBehalfOf,
}

/// With whom the chain of an identity begins, as far as its own record tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Beginning<'a> {
    /// With somebody whom only the event that gave the session out tells.
    Unknown,
    /// With the identity itself.
    Itself { account: Option<Text<'a>> },
    /// With another one, who asked for the session: AWS names them as its issuer.
    Issuer(Other<'a>),
    /// With another one, whatever was done to get the session: AWS gave it to them.
    Holder(Other<'a>),
}

/// Somebody who is named in another's identity.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Other<'a> {
    pub name: Text<'a>,
    pub arn: Option<Text<'a>>,
    pub account: Option<Text<'a>>,
}

impl<'a> Identity<'a> {
    pub fn of(record: &mut Record<'a>) -> Self {
        let mut text = |member| some_text(record, member).map(|(text, _)| text);
        let source = text(Member::SessionSourceIdentity);
        let source = source.map(|source| (Voucher::SourceIdentity, source));
        let arn = text(Member::IdentityArn).filter(|arn| !is_masked(arn));
        let key = text(Member::IdentityAccessKeyId);
        let sign_in = text(Member::SessionSignIn);
        let user = text(Member::OnBehalfOfUserId);
        let (name, _) = actor(record).unwrap_or_default();
        Self {
            beginning: Beginning::of(record, &name),
            vouched: source.or(user.map(|user| (Voucher::OnBehalfOf, user))),
            name,
            arn,
            key,
            sign_in,
        }
    }

    /// An account of which nobody is named: the identity in a copy of an event for another account.
    pub fn is_account_only(&self) -> bool {
        self.arn.is_none() && self.name.starts_with(b"account ")
    }

    /// Nothing is known of them.
    pub fn is_unknown(&self) -> bool {
        *self.name == *UNKNOWN
    }
}

const UNKNOWN: &[u8] = b"unknown";

/// What AWS writes in place of the name of somebody who failed to sign in, who may have typed a password there.
const HIDDEN: &[u8] = b"HIDDEN_DUE_TO_SECURITY_REASONS";

/// Whether `redact`, or somebody else, has hidden a text.
pub(super) fn is_masked(text: &[u8]) -> bool {
    text.iter().all(|&byte| byte == b'*')
}

/// Whether these are a role's or a role's session's.
fn is_role(arn: Option<Text<'_>>, principal: Option<Text<'_>>) -> bool {
    let arn = arn.unwrap_or_default();
    let resource = arn.splitn(6, |&byte| byte == b':').nth(5);
    let is_role =
        |resource: &[u8]| resource.starts_with(b"assumed-role/") || resource.starts_with(b"role/");
    resource.is_some_and(is_role) || principal.is_some_and(|id| id.starts_with(b"AROA"))
}

impl<'a> Beginning<'a> {
    /// Of an identity with this name.
    fn of(record: &mut Record<'a>, name: &[u8]) -> Self {
        let mut text = |member| some_text(record, member).map(|(text, _)| text);
        if let Some(account) = text(Member::DelegateAccountId) {
            return Self::Holder(Other {
                name: [b"account ", &*account].concat().into(),
                arn: None,
                account: Some(account),
            });
        }
        if let Some(arn) = text(Member::InScopeOfIssuedTo)
            && let Some((service, account)) = parts(&arn)
        {
            let account = account.map(|account| account.to_vec().into());
            return Self::Holder(Other {
                name: [service, b".amazonaws.com"].concat().into(),
                account: text(Member::InScopeOfSourceAccount).or(account),
                arn: Some(arn),
            });
        }
        let kind = text(Member::IdentityType);
        let (arn, principal) = (text(Member::IdentityArn), text(Member::IdentityPrincipalId));
        match kind.as_deref() {
            Some(b"AssumedRole") => Self::Unknown,
            // Some services write it as a type of their own, or as none. Of another account's, the account is told.
            kind if kind != Some(b"AWSAccount") && is_role(arn, principal) => Self::Unknown,
            Some(b"Root") if text(Member::SessionAssumedRoot).as_deref() == Some(b"true") => {
                Self::Unknown
            }
            Some(b"FederatedUser") => {
                if text(Member::IssuerType).as_deref() == Some(b"Role") {
                    return Self::Unknown;
                }
                let arn = text(Member::IssuerArn);
                let name = match text(Member::IssuerType).as_deref() {
                    Some(b"Root") => Some(b"root".into()),
                    _ => text(Member::IssuerUserName).or_else(|| name_in_arn_of(arn.clone()?)),
                };
                name.map_or(Self::Unknown, |name| {
                    Self::Issuer(Other {
                        name,
                        arn,
                        account: text(Member::IssuerAccountId),
                    })
                })
            }
            _ if name == UNKNOWN || name == HIDDEN || is_masked(name) => Self::Unknown,
            _ => Self::Itself {
                account: text(Member::IdentityAccountId)
                    .filter(|account| account.iter().all(u8::is_ascii_digit)),
            },
        }
    }
}

/// The service of a resource with this ARN, and the account, if it has one: `arn:aws:lambda:us-east-1:111122223333:…`
fn parts(arn: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let mut parts = arn.split(|&byte| byte == b':');
    let is_arn = parts.next() == Some(b"arn") && parts.next().is_some();
    let service = parts
        .next()
        .filter(|service| is_arn && !service.is_empty())?;
    let account = parts.nth(1).filter(|account| !account.is_empty());
    Some((service, account))
}
