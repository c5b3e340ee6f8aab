//! What is known of the last event's record, for the next field that is asked for.
//!
//! ```text
//!   same number, address and length?  ─no─▶ new record
//!     │ yes
//!   field not given yet, same ID?     ─yes─▶ same record     cheap: what hosts do for almost every call
//!     │ no
//!   all bytes the same?               ─yes─▶ same record     only after a field was asked for again
//!     │ no
//!   new record
//! ```
//!
//! The invariant: the index and the ID always belong to one record, the last one.

use super::given::{Asked, Given};
use crate::record::{Index, Member, Record};

/// The length of an event ID, quotes included.
const UUID: usize = 38;

/// An event's number, address and length.
type Event = (u64, usize, usize);

/// Keeps the index of the last record for the next call.
#[derive(Default)]
pub(crate) struct Cache {
    index: Index,
    /// The last event. A later one may have the same three, in the next file or where a host reuses a buffer.
    event: Event,
    /// The last event's ID and its place, if it is an ID that tells events apart.
    id: Option<([u8; UUID], usize)>,
    /// The last event's bytes, once a host has asked for a field twice, so that the ID alone is not proof enough.
    bytes: Vec<u8>,
    /// The fields that were given since all bytes were last compared.
    given: Given,
}

impl Cache {
    /// Whether an event is the one of the last call, so that what is known of its record holds; otherwise, it is from now
    /// on.
    ///
    /// Comparing all bytes takes longer than extracting a field. A host asks for each field of an
    /// event once, so as long as it asks for other fields, comparing the ID is enough. If it asks for
    /// a field again, it may be for another event in the same place, and all bytes are compared.
    #[inline(always)]
    pub fn is_last(&mut self, number: u64, payload: &[u8], asked: Asked) -> bool {
        let event = (number, payload.as_ptr().addr(), payload.len());
        if self.event != event {
            self.start(event, payload, asked, false);
            return false;
        }
        if self.given.add(asked) && self.has_same_id(payload) {
            return true;
        }
        self.compare(payload, asked)
    }

    /// The record of the event that [`Self::is_last`] was asked about.
    #[inline(always)]
    pub fn record<'a>(&'a mut self, payload: &'a [u8]) -> Record<'a> {
        Record::again(payload, &mut self.index)
    }

    #[inline(always)]
    fn has_same_id(&self, payload: &[u8]) -> bool {
        let Some((id, at)) = &self.id else {
            return false;
        };
        let other = payload.get(*at..).and_then(|rest| rest.first_chunk());
        other.is_some_and(|other| is_same_id(id, other))
    }

    /// Whether an event in the place of the last one has all of its bytes.
    #[inline(never)]
    fn compare(&mut self, payload: &[u8], asked: Asked) -> bool {
        if self.bytes == payload {
            self.given.start(asked);
            return true;
        }
        self.start(self.event, payload, asked, true);
        false
    }

    /// Another event is the last one.
    #[inline(never)]
    fn start(&mut self, event: Event, payload: &[u8], asked: Asked, in_same_place: bool) {
        self.event = event;
        self.given.start(asked);
        self.bytes.clear();
        if in_same_place {
            self.bytes.extend_from_slice(payload);
        }
        let mut record = Record::new(payload, &mut self.index);
        self.id = record.get(Member::EventId).and_then(|id| {
            let at = id.range().start;
            Some((*payload.get(id.range())?.first_chunk()?, at))
        });
    }

    /// The number of the last event.
    pub fn number(&self) -> u64 {
        self.event.0
    }
}

/// Compares two IDs without calling `memcmp`, as `==` does.
#[inline]
fn is_same_id(one: &[u8; UUID], other: &[u8; UUID]) -> bool {
    let parts = |id: &[u8; UUID]| {
        let [a, b] = *id[..32].as_chunks::<16>().0 else {
            return [0; 3];
        };
        let c = *id.last_chunk().unwrap_or(&[0; 16]);
        [a, b, c].map(u128::from_ne_bytes)
    };
    parts(one) == parts(other)
}
