//! Who stands behind a session: whom it was given out to, and whom theirs. docs/origin.md is for users.
//!
//! ```text
//! record ─facts─▶ whose session this key is ─note─▶ sessions ◀─follow─ chain ◀─ a field that is asked for
//! ```
//!
//! An access key is unique, so whose it is has no date: it may be noted twice, in any order and from any thread, before the
//! events of its session or after them. What is asked again later gets the same answer or a fuller one, but for keys that turn
//! out to be those of several sessions.

mod chain;
mod facts;
mod identity;
mod sessions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

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

/// Tells origins. That of a record is followed once for all of its fields, and again where more is known since.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    pub sessions: Arc<Sessions>,
    /// Of the last record, and at which version of what is known.
    origin: Option<(u64, Origin)>,
}

impl Origins {
    pub fn new(sessions: &Arc<Sessions>) -> Self {
        Self {
            sessions: Arc::clone(sessions),
            origin: None,
        }
    }

    /// Another record comes.
    pub fn forget(&mut self) {
        self.origin = None;
    }

    /// Who stands behind a record, as far as is known now.
    pub fn origin(&mut self, record: &mut Record<'_>) -> &Origin {
        let version = self.sessions.version();
        let known = self.origin.take().filter(|(of, _)| *of == version);
        let known = known.unwrap_or_else(|| (version, self.sessions.origin(record)));
        &self.origin.insert(known).1
    }
}
