//! Follows sessions to who stands at the beginning.

use super::Part;
use super::facts::{Fact, Session, of_key, of_sign_in};
use super::identity::{Beginning, Identity, Text, Voucher};

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
    event: Option<Text<'k>>,
    is_sign_in: bool,
}

/// What was met on the way upwards.
struct Way<'k> {
    /// The event's own first.
    names: Vec<Text<'k>>,
    /// The nearest.
    vouched: Option<(Voucher, Text<'k>)>,
    /// The last event that gave a session out.
    event: Option<Text<'k>>,
    goes_by_sign_in: bool,
    hops: usize,
    /// Whom it leads to.
    last: Identity<'k>,
}

/// From an event's identity to who stands at the beginning; `known` tells whose a session is.
pub(super) fn follow<'k>(
    identity: Identity<'k>,
    known: impl Fn(Session) -> Option<Fact<'k>>,
) -> Origin {
    let mut way = Way {
        names: vec![identity.name.clone()],
        vouched: identity.vouched.clone(),
        event: None,
        goes_by_sign_in: false,
        hops: 0,
        last: identity,
    };
    while let Some(step) = up(&way.last, &known) {
        if way.hops == HOPS {
            // A circle, which AWS never makes.
            way.last.beginning = Beginning::Unknown;
            break;
        }
        way.go(step);
    }
    way.origin()
}

impl<'k> Way<'k> {
    fn go(&mut self, step: Step<'k>) {
        let Step {
            holder,
            event,
            is_sign_in,
        } = step;
        let is_itself = is_sign_in && holder.arn.is_some() && holder.arn == self.last.arn;
        if !is_itself {
            self.names.push(holder.name.clone());
        }
        if self.vouched.is_none() {
            self.vouched = holder.vouched.clone();
        }
        self.event = event;
        self.goes_by_sign_in |= is_sign_in;
        self.hops += 1;
        let before = std::mem::replace(&mut self.last, holder);
        if is_sign_in && self.last.sign_in == before.sign_in {
            // The events of a sign-in may have it in their own session as well.
            self.last.sign_in = None;
        }
    }

    fn origin(mut self) -> Origin {
        let by = self.by();
        let last = self.last;
        let mut origin = Origin {
            by,
            ..Origin::default()
        };
        let begins = |text| last.key.as_deref().is_some_and(|key| key.starts_with(text));
        let (is_temporary, is_long_term) = (begins(b"ASIA"), begins(b"AKIA"));
        let is_nobody = self.hops == 0 && last.is_unknown();
        let first = match last.beginning {
            Beginning::Unknown => None,
            Beginning::Itself { account } => {
                origin.arn = owned(last.arn);
                origin.account = owned(account);
                origin.event = owned(self.event.filter(|_| !is_temporary));
                origin.key = owned(last.key.filter(|_| is_long_term));
                Some(last.name)
            }
            Beginning::Issuer(other) | Beginning::Holder(other) => {
                origin.arn = owned(other.arn);
                origin.account = owned(other.account);
                self.names.push(other.name.clone());
                Some(other.name)
            }
        };
        if first.is_some() || !is_nobody {
            origin.length = self.names.len() as u64;
            origin.chain = Some(written(&self.names, first.is_some()));
        }
        origin.name = owned(self.vouched.map(|(_, name)| name).or(first));
        origin
    }

    fn by(&self) -> &'static str {
        match self.vouched {
            Some((Voucher::SourceIdentity, _)) => "sourceidentity",
            Some((Voucher::OnBehalfOf, _)) => "onbehalfof",
            None if self.goes_by_sign_in || self.last.sign_in.is_some() => "signin",
            None if self.hops > 0 => "key",
            None => "identity",
        }
    }
}

fn owned(text: Option<Text<'_>>) -> Option<Vec<u8>> {
    text.map(Text::into_owned)
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

/// `… > dev/a > admin/x`; the names have the event's own first.
fn written(names: &[Text<'_>], is_whole: bool) -> Vec<u8> {
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
