//! Who stands behind a session: whom it was given out to, and whom theirs. docs/origin.md is for users.
//!
//! ```text
//! record ─facts─▶ whose session this key is ─note─▶ sessions ◀─follow─ chain ◀─ a field that is asked for
//! ```
//!
//! An access key is unique, so whose it is has no date: it may be noted twice, in any order and from any thread, before the
//! events of its session or after them. What is asked again later gets the same answer or a fuller one.

mod chain;
mod facts;
mod identity;
mod sessions;
#[cfg(test)]
mod tests;

use crate::record::Record;
pub(crate) use chain::Origin;
pub(crate) use facts::may_tell;
pub(crate) use sessions::Sessions;

/// What a field tells of an origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Part {
    Name,
    By,
    Arn,
    AccountId,
    AccessKeyId,
    EventId,
    Chain,
    Length,
}

/// The origin of a record, followed once for all of its fields, and again where more is known since.
#[derive(Debug, Default)]
pub(crate) struct Memo(Option<(u64, Origin)>);

impl Memo {
    /// What is known of another record: nothing.
    pub fn forget(&mut self) {
        self.0 = None;
    }
}

/// Where a record's origin is asked for.
pub(crate) struct Behind<'s> {
    pub sessions: &'s Sessions,
    pub memo: &'s mut Memo,
}

impl Behind<'_> {
    /// Who stands behind this record, as far as is known now.
    pub fn origin(&mut self, record: &mut Record<'_>) -> &Origin {
        let version = self.sessions.version();
        let known = self.memo.0.take().filter(|(of, _)| *of == version);
        let known = known.unwrap_or_else(|| (version, self.sessions.origin(record)));
        &self.memo.0.insert(known).1
    }
}
