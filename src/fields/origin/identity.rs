//! Who made a request, and what the record itself tells of who stands behind them.

use std::borrow::Cow;

use super::super::arn::Arn;
use super::super::identity::{name_in_arn_of, named, some_text};
use crate::record::{Member, Record};

pub(super) type Text<'a> = Cow<'a, [u8]>;

/// Who made a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Identity<'a> {
    /// In the words of `ct.actor`, without the vendor who acts by delegation.
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
        let source = text(record, Member::SessionSourceIdentity);
        let source = source.map(|source| (Voucher::SourceIdentity, source));
        let user = text(record, Member::OnBehalfOfUserId);
        let (name, _) = named(record).unwrap_or_default();
        Self {
            beginning: Beginning::of(record, &name),
            vouched: source.or(user.map(|user| (Voucher::OnBehalfOf, user))),
            name,
            arn: text(record, Member::IdentityArn).filter(|arn| !is_masked(arn)),
            key: text(record, Member::IdentityAccessKeyId),
            sign_in: text(record, Member::SessionSignIn),
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

/// A member's text, if it isn't empty.
pub(super) fn text<'a>(record: &mut Record<'a>, member: Member) -> Option<Text<'a>> {
    some_text(record, member).map(|(text, _)| text)
}

/// Whether an identity is a role or its session, however its type is written.
fn is_role(record: &mut Record<'_>) -> bool {
    let arn = text(record, Member::IdentityArn);
    let resource = arn.as_deref().and_then(Arn::of).map(|arn| arn.resource);
    let has_role = resource.is_some_and(|resource| {
        resource.starts_with(b"assumed-role/") || resource.starts_with(b"role/")
    });
    let principal = text(record, Member::IdentityPrincipalId);
    has_role || principal.is_some_and(|id| id.starts_with(b"AROA"))
}

impl<'a> Beginning<'a> {
    /// Of an identity with this name.
    fn of(record: &mut Record<'a>, name: &[u8]) -> Self {
        if let Some(holder) = Other::holder(record) {
            return Self::Holder(holder);
        }
        match text(record, Member::IdentityType).as_deref() {
            Some(b"AssumedRole") => Self::Unknown,
            // Of another account's role, the account is told.
            kind if kind != Some(b"AWSAccount") && is_role(record) => Self::Unknown,
            Some(b"Root")
                if text(record, Member::SessionAssumedRoot).as_deref() == Some(b"true") =>
            {
                Self::Unknown
            }
            Some(b"FederatedUser") => Other::issuer(record).map_or(Self::Unknown, Self::Issuer),
            _ if name == UNKNOWN || name == HIDDEN || is_masked(name) => Self::Unknown,
            _ => Self::Itself {
                account: text(record, Member::IdentityAccountId)
                    .filter(|account| account.iter().all(u8::is_ascii_digit)),
            },
        }
    }
}

impl<'a> Other<'a> {
    /// To whom AWS gave the session: the provider of a product, or a service.
    fn holder(record: &mut Record<'a>) -> Option<Self> {
        if let Some(account) = text(record, Member::DelegateAccountId) {
            return Some(Self {
                name: [b"vendor ", &*account].concat().into(),
                arn: None,
                account: Some(account),
            });
        }
        let issued_to = text(record, Member::InScopeOfIssuedTo)?;
        let arn = Arn::of(&issued_to).filter(|arn| !arn.service.is_empty())?;
        let account = Some(arn.account).filter(|account| !account.is_empty());
        let account = account.map(|account| account.to_vec().into());
        Some(Self {
            name: [arn.service, b".amazonaws.com"].concat().into(),
            account: text(record, Member::InScopeOfSourceAccount).or(account),
            arn: Some(issued_to),
        })
    }

    /// The user who asked for the session of a federated one.
    fn issuer(record: &mut Record<'a>) -> Option<Self> {
        let arn = text(record, Member::IssuerArn);
        let name = match text(record, Member::IssuerType).as_deref() {
            Some(b"Role") => return None,
            Some(b"Root") => b"root".into(),
            _ => text(record, Member::IssuerUserName).or_else(|| name_in_arn_of(arn.clone()?))?,
        };
        Some(Self {
            name,
            arn,
            account: text(record, Member::IssuerAccountId),
        })
    }
}
