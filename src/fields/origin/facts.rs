//! What a record tells of a session: whom it was given out to.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use ring::digest;

use super::super::arn::Arn;
use super::identity::{Beginning, Identity, Other, Text, Voucher, is_masked, text};
use crate::record::{Member, Record};

/// A session: by its access key, or by the sign-in that it comes from. 16 letters after `ASIA`, or a part of a hash.
pub(super) type Session = [u8; 16];

/// The session of a temporary access key.
pub(super) fn of_key(key: &[u8]) -> Option<Session> {
    let rest = key.strip_prefix(b"ASIA")?.try_into().ok()?;
    let is_key = |rest: &Session| {
        let mut bytes = rest.iter();
        bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    Some(rest).filter(is_key)
}

/// The sessions of a sign-in: `arn:aws:signin:us-east-1:111122223333:session/…`. One that is masked is that of nobody.
pub(super) fn of_sign_in(arn: &[u8]) -> Option<Session> {
    let Arn {
        service, resource, ..
    } = Arn::of(arn)?;
    let is_session = service == b"signin" && resource.starts_with(b"session/");
    is_session.then(|| hash(arn))
}

fn hash<const N: usize>(text: &[u8]) -> [u8; N] {
    let hash = digest::digest(&digest::SHA256, text);
    hash.as_ref().first_chunk().copied().unwrap_or([0; N])
}

/// Who may tell whose a session is, with the quote behind.
const STS: &[u8] = b"sts.amazonaws.com\"";
const SIGN_IN: &[u8] = b"signin.amazonaws.com\"";

/// Whether a record may tell whose a session is. It costs far less than to look at its members: it goes by the first member
/// called `eventSource`, before which AWS writes no other, and by the name of the member that tells it.
pub(crate) fn may_tell(record: &[u8]) -> bool {
    static NAMES: LazyLock<[Finder<'static>; 3]> = LazyLock::new(|| {
        let names = ["\"eventSource\"", "\"credentials\"", "\"signInSessionArn\""];
        names.map(Finder::new)
    });
    let [event_source, credentials, sign_in] = &*NAMES;
    // Somebody may be called so.
    let source = event_source.find_iter(record).find_map(|at| {
        let behind = record.get(at + event_source.needle().len()..)?;
        let value = behind.trim_ascii_start().strip_prefix(b":")?;
        value.trim_ascii_start().strip_prefix(b"\"")
    });
    let Some(source) = source else {
        return false;
    };
    source.starts_with(STS) && credentials.find(record).is_some()
        || source.starts_with(SIGN_IN) && sign_in.find(record).is_some()
}

/// A session of which a record tells whose it is, and which kind of event that is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub session: Session,
    pub kind: Kind,
}

/// Whose a session is, and which event tells it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fact<'a> {
    pub holder: Identity<'a>,
    pub event: Option<Text<'a>>,
    /// What copies of the event for other accounts have in common with it.
    pub shared: Option<Text<'a>>,
    /// A hash of the session's ARN, or of its account, where the event tells it.
    pub given_to: Option<Text<'a>>,
    pub kind: Kind,
}

/// How a fact came to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// A key was given out.
    Key,
    /// Somebody signed in, `AuthorizeOAuth2Access`.
    SignIn,
    /// A token of the sign-in was used.
    Token,
}

impl Told {
    /// Inlined, since most records tell nothing, which their source shows.
    #[inline]
    pub fn by(record: &mut Record<'_>) -> Option<Self> {
        let source = record.get(Member::EventSource)?.plain_string()?;
        if source == STS || source == SIGN_IN {
            Self::looked_at(record, source == STS)
        } else {
            None
        }
    }

    #[inline(never)]
    fn looked_at(record: &mut Record<'_>, is_sts: bool) -> Option<Self> {
        if text(record, Member::ErrorCode).is_some() {
            return None;
        }
        if is_sts {
            let session = of_key(&text(record, Member::CredentialsAccessKeyId)?)?;
            return Some(Self {
                session,
                kind: Kind::Key,
            });
        }
        let session = of_sign_in(&text(record, Member::SignInSession)?)?;
        let kind = match text(record, Member::EventName).as_deref() {
            Some(b"AuthorizeOAuth2Access") => Kind::SignIn,
            _ => Kind::Token,
        };
        Some(Self { session, kind })
    }
}

/// The event that a record tells of: it may be delivered again with more in it.
pub(super) fn event<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    id(record, Member::AddendumOriginalEventId).or_else(|| id(record, Member::EventId))
}

/// A text that tells things apart: one that is not masked, and no number.
fn id<'a>(record: &mut Record<'a>, member: Member) -> Option<Text<'a>> {
    let is_text = record.get(member)?.is_string();
    text(record, member).filter(|id| is_text && !is_masked(id))
}

impl<'a> Fact<'a> {
    /// What a record tells.
    pub fn of(record: &mut Record<'a>, kind: Kind) -> Self {
        let holder = Identity::of(record);
        let given_to = match record.text(Member::EventName).as_deref() {
            Some(b"GetSessionToken") => holder.arn.clone(),
            // To root of this account.
            Some(b"AssumeRoot") => id(record, Member::RequestTargetPrincipal),
            _ => id(record, Member::AssumedRoleUserArn)
                .or_else(|| id(record, Member::FederatedUserArn)),
        };
        Self {
            holder,
            event: event(record),
            shared: id(record, Member::SharedEventId),
            given_to: given_to.map(|arn| hash::<8>(&arn).to_vec().into()),
            kind,
        }
    }
}

impl Fact<'_> {
    /// Whether both are told by one event, of which each account has a copy.
    pub fn is_copy_of(&self, other: &Self) -> bool {
        let is_same = |one: &Option<_>, other| one.is_some() && one == other;
        let (mine, others) = (&self.holder.arn, &other.holder.arn);
        let is_of_others = mine.is_some() && others.is_some() && mine != others;
        let is_one = is_same(&self.event, &other.event) || is_same(&self.shared, &other.shared);
        self == other || is_one && !is_of_others
    }

    /// Whether the session may be that of an identity with this ARN. Where it may not, its key is masked or made up.
    pub fn may_be_given_to(&self, arn: Option<&[u8]>) -> bool {
        let Some(given_to) = &self.given_to else {
            return true;
        };
        arn.is_some_and(|arn| {
            let is = |text| **given_to == hash::<8>(text);
            is(arn) || Arn::of(arn).is_some_and(|arn| is(arn.account))
        })
    }

    /// Whether they tell of the same sign-in.
    pub fn is_of_sign_in_of(&self, other: &Self) -> bool {
        self.kind != Kind::Key && other.kind != Kind::Key && self.holder.arn == other.holder.arn
    }

    /// Whether this one counts, of two that tell the same. Which one was noted first makes no difference.
    pub fn counts_before(&self, other: &Self) -> bool {
        let rank = |fact: &Self| {
            (
                fact.holder.key.is_some(),
                !fact.holder.is_account_only(),
                fact.kind == Kind::SignIn,
            )
        };
        let (mine, others) = (rank(self), rank(other));
        mine > others || mine == others && self.event < other.event
    }
}

/// A fact in one piece of memory: the lengths of its texts, then these.
#[derive(Debug)]
pub(super) struct Packed(Box<[u8]>);

/// A fact with more than so many bytes of text is not AWS's, whose ARNs have 2,048 characters at most.
const MOST: usize = 4096;
/// The length of a text that is absent.
const ABSENT: u16 = u16::MAX;

impl Packed {
    /// None where it is too long.
    pub fn new(fact: &Fact<'_>) -> Option<Self> {
        let Identity {
            name,
            arn,
            key,
            sign_in,
            vouched,
            beginning,
        } = &fact.holder;
        let voucher = match vouched {
            None => 0,
            Some((Voucher::SourceIdentity, _)) => 1,
            Some((Voucher::OnBehalfOf, _)) => 2,
        };
        let kind = match fact.kind {
            Kind::Key => 0,
            Kind::SignIn => 1,
            Kind::Token => 2,
        };
        let (begins, other, account) = match beginning {
            Beginning::Unknown => (0, None, None),
            Beginning::Itself { account } => (1, None, account.as_ref()),
            Beginning::Issuer(other) => (2, Some(other), other.account.as_ref()),
            Beginning::Holder(other) => (3, Some(other), other.account.as_ref()),
        };
        let texts = [
            Some(name),
            arn.as_ref(),
            key.as_ref(),
            sign_in.as_ref(),
            vouched.as_ref().map(|(_, text)| text),
            account,
            other.map(|other| &other.name),
            other.and_then(|other| other.arn.as_ref()),
            fact.event.as_ref(),
            fact.shared.as_ref(),
            fact.given_to.as_ref(),
        ];
        let length: usize = texts.iter().flatten().map(|text| text.len()).sum();
        if length > MOST {
            return None;
        }
        let mut packed = Vec::with_capacity(1 + 2 * texts.len() + length);
        packed.push(voucher | kind << 2 | begins << 4);
        for text in texts {
            let length = text.and_then(|text| u16::try_from(text.len()).ok());
            packed.extend(length.unwrap_or(ABSENT).to_le_bytes());
        }
        for text in texts.into_iter().flatten() {
            packed.extend_from_slice(text);
        }
        Some(Self(packed.into()))
    }

    /// The bytes that it takes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn fact(&self) -> Fact<'_> {
        const TEXTS: usize = 11;
        let (kinds, rest) = self.0.split_first().unwrap_or((&0, &[]));
        let (lengths, mut rest) = rest.split_at_checked(2 * TEXTS).unwrap_or_default();
        let mut lengths = lengths.as_chunks().0.iter();
        let mut text = || {
            let length = lengths
                .next()
                .map_or(ABSENT, |length| u16::from_le_bytes(*length));
            if length == ABSENT {
                return None;
            }
            let (text, others) = rest.split_at_checked(length.into())?;
            rest = others;
            Some(text.into())
        };
        let name = text().unwrap_or_default();
        let (arn, key, sign_in) = (text(), text(), text());
        let voucher = match kinds & 3 {
            1 => Voucher::SourceIdentity,
            _ => Voucher::OnBehalfOf,
        };
        let vouched = text().map(|text| (voucher, text));
        let account = text();
        let other = Other {
            name: text().unwrap_or_default(),
            arn: text(),
            account: account.clone(),
        };
        let beginning = match kinds >> 4 {
            0 => Beginning::Unknown,
            1 => Beginning::Itself { account },
            2 => Beginning::Issuer(other),
            _ => Beginning::Holder(other),
        };
        Fact {
            holder: Identity {
                name,
                arn,
                key,
                sign_in,
                vouched,
                beginning,
            },
            event: text(),
            shared: text(),
            given_to: text(),
            kind: match kinds >> 2 & 3 {
                0 => Kind::Key,
                1 => Kind::SignIn,
                _ => Kind::Token,
            },
        }
    }
}
