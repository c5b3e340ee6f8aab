//! Follows sessions to who stands at the beginning.

use std::borrow::Cow;

use super::Part;
use super::facts::{Fact, Session, of_key, of_sign_in};
use super::identity::{Beginning, Identity, Voucher};

/// From an event so many times upwards, at most.
const HOPS: usize = 16;

/// Who stands behind an event, as far as is known.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Origin {
    name: Option<Vec<u8>>,
    by: &'static str,
    arn: Option<Vec<u8>>,
    account: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    event: Option<Vec<u8>>,
    chain: Option<Vec<u8>>,
    /// How many identities the chain names.
    length: u64,
}

impl Origin {
    /// The text of a part.
    pub fn text(&self, part: Part) -> Option<&[u8]> {
        match part {
            Part::Name => self.name.as_deref(),
            Part::By => self.name.is_some().then_some(self.by.as_bytes()),
            Part::Arn => self.arn.as_deref(),
            Part::AccountId => self.account.as_deref(),
            Part::AccessKeyId => self.key.as_deref(),
            Part::EventId => self.event.as_deref(),
            Part::Chain => self.chain.as_deref(),
            Part::Length => None,
        }
    }

    /// None where nothing is known at all.
    pub fn length(&self) -> Option<u64> {
        (self.length > 0).then_some(self.length)
    }
}

/// A step upwards.
struct Step<'k> {
    holder: Identity<'k>,
    event: Option<Cow<'k, [u8]>>,
    is_sign_in: bool,
}

/// From an event's identity to who stands at the beginning; `known` tells whose a session is.
pub(super) fn follow<'k>(
    identity: Identity<'k>,
    known: impl Fn(Session) -> Option<Fact<'k>>,
) -> Origin {
    let mut names = vec![identity.name.clone()];
    let mut vouched = identity.vouched.clone();
    let mut goes_by_sign_in = false;
    let mut event = None;
    let mut hops = 0;
    let mut last = identity;
    while let Some(step) = up(&last, &known) {
        if hops == HOPS {
            // A circle, which AWS never makes.
            last.beginning = Beginning::Unknown;
            break;
        }
        hops += 1;
        let is_itself = step.is_sign_in && step.holder.arn.is_some() && step.holder.arn == last.arn;
        if !is_itself {
            names.push(step.holder.name.clone());
        }
        vouched = vouched.or_else(|| step.holder.vouched.clone());
        goes_by_sign_in |= step.is_sign_in;
        event = step.event;
        let followed = last.sign_in.filter(|_| step.is_sign_in);
        last = step.holder;
        if last.sign_in == followed {
            // The events of a sign-in may have it in their own session as well.
            last.sign_in = None;
        }
    }
    if hops == 0 && last.is_unknown() && last.beginning == Beginning::Unknown {
        return Origin {
            by: by(&vouched, false, hops),
            name: vouched.map(|(_, name)| name.into_owned()),
            ..Origin::default()
        };
    }
    let by = by(&vouched, goes_by_sign_in || last.sign_in.is_some(), hops);
    let begins = |text| last.key.as_deref().is_some_and(|key| key.starts_with(text));
    let (is_temporary, is_long_term) = (begins(b"ASIA"), begins(b"AKIA"));
    let mut origin = Origin {
        by,
        ..Origin::default()
    };
    let is_whole = last.beginning != Beginning::Unknown;
    let first = match last.beginning {
        Beginning::Unknown => None,
        Beginning::Itself { account } => {
            origin.arn = last.arn.map(Cow::into_owned);
            origin.account = account.map(Cow::into_owned);
            if !is_temporary {
                origin.event = event.map(Cow::into_owned);
            }
            if is_long_term {
                origin.key = last.key.map(Cow::into_owned);
            }
            Some(last.name)
        }
        Beginning::Issuer(other) | Beginning::Holder(other) => {
            origin.arn = other.arn.map(Cow::into_owned);
            origin.account = other.account.map(Cow::into_owned);
            names.push(other.name.clone());
            Some(other.name)
        }
    };
    let name = vouched.map(|(_, name)| name).or(first);
    origin.name = name.map(Cow::into_owned);
    origin.length = names.len() as u64;
    origin.chain = Some(written(&names, is_whole));
    origin
}

/// Whose session an identity acts in.
fn up<'k>(
    identity: &Identity<'k>,
    known: &impl Fn(Session) -> Option<Fact<'k>>,
) -> Option<Step<'k>> {
    if matches!(identity.beginning, Beginning::Holder(_)) {
        return None;
    }
    let key = identity.key.as_deref().and_then(of_key).and_then(known);
    let key = key.filter(|fact| fact.may_be_given_to(identity.arn.as_deref()));
    let (fact, is_sign_in) = match key {
        Some(fact) => (fact, false),
        None => (known(of_sign_in(identity.sign_in.as_deref()?)?)?, true),
    };
    let is_itself = matches!(identity.beginning, Beginning::Itself { .. });
    if is_sign_in && is_itself && fact.holder.arn != identity.arn {
        // Users sign in as themselves.
        return None;
    }
    Some(Step {
        holder: fact.holder,
        event: fact.event,
        is_sign_in,
    })
}

fn by(vouched: &Option<(Voucher, Cow<'_, [u8]>)>, is_sign_in: bool, hops: usize) -> &'static str {
    match vouched {
        Some((Voucher::SourceIdentity, _)) => "sourceidentity",
        Some((Voucher::OnBehalfOf, _)) => "onbehalfof",
        None if is_sign_in => "signin",
        None if hops > 0 => "key",
        None => "identity",
    }
}

/// `… > dev/a > admin/x`; the names have the event's own first.
fn written(names: &[Cow<'_, [u8]>], is_whole: bool) -> Vec<u8> {
    let mut chain = Vec::new();
    if !is_whole {
        chain.extend("… > ".as_bytes());
    }
    for (at, name) in names.iter().rev().enumerate() {
        if at > 0 {
            chain.extend(b" > ");
        }
        if **name == *"…".as_bytes() {
            chain.push(b'\\');
        }
        for &byte in &**name {
            if matches!(byte, b'>' | b'\\') {
                chain.push(b'\\');
            }
            chain.push(byte);
        }
    }
    chain
}
