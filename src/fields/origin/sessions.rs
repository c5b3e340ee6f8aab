//! Whose the sessions are that were seen so far, in bounded memory.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::chain::{Origin, follow};
use super::facts::{Fact, Packed, Session, Told, event};
use super::identity::{Identity, text};
use crate::process::lock;
use crate::record::{Index, Member, Record};

/// So many are kept, as long as they take no more than so many bytes.
const SESSIONS: usize = 100_000;
const BYTES: usize = 40 << 20;
/// What each takes beside its texts: places in a map and in a queue, which may be half empty, and the allocator's own.
const EACH: usize = 128;

/// Whose the sessions are. Any thread may note and ask.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    kept: Mutex<Kept>,
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    /// None of a key that was given out twice, which leads nowhere.
    holders: HashMap<Session, Option<Packed>>,
    /// In the order in which they came.
    order: VecDeque<Session>,
    /// That they take.
    bytes: usize,
}

impl Sessions {
    /// Note what a record tells, if it tells anything.
    #[inline]
    pub fn note(&self, record: &mut Record<'_>) {
        if let Some(told) = Told::by(record) {
            self.add(told, record);
        }
    }

    /// The same of a record that was not looked at so far.
    pub fn note_bytes(&self, record: &[u8]) {
        self.note(&mut Record::new(record, &mut Index::default()));
    }

    #[inline(never)]
    fn add(&self, Told { session, kind }: Told, record: &mut Record<'_>) {
        // Decoders have noted most before a host asks about them.
        let (event, arn) = (event(record), text(record, Member::IdentityArn));
        let has_key = text(record, Member::IdentityAccessKeyId).is_some();
        let is_noted = match lock(&self.kept).holders.get(&session) {
            Some(Some(packed)) => {
                let Fact {
                    holder, event: of, ..
                } = packed.fact();
                let is_same = event.is_some() && of == event && holder.arn == arn;
                is_same && (holder.key.is_some() || !has_key)
            }
            Some(None) => true,
            None => false,
        };
        if !is_noted && lock(&self.kept).add(session, &Fact::of(record, kind)) {
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// Changes when more is known.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The bytes that they take, about.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        lock(&self.kept).bytes
    }

    /// Who stands behind a record.
    pub fn origin(&self, record: &mut Record<'_>) -> Origin {
        let identity = Identity::of(record);
        let kept = lock(&self.kept);
        follow(identity, |session| {
            kept.holders.get(&session)?.as_ref().map(Packed::fact)
        })
    }
}

impl Kept {
    /// True if more is known than before.
    fn add(&mut self, session: Session, fact: &Fact<'_>) -> bool {
        let entry = match self.holders.entry(session) {
            Entry::Vacant(place) => {
                let Some(packed) = Packed::new(fact) else {
                    return false;
                };
                self.bytes += EACH + packed.len();
                self.order.push_back(session);
                place.insert(Some(packed));
                self.forget_oldest();
                return true;
            }
            Entry::Occupied(entry) => entry.into_mut(),
        };
        let Some(before) = entry else {
            return false;
        };
        let other = before.fact();
        let instead = match is_same(fact, &other) {
            true if !fact.counts_before(&other) => return false,
            true => match Packed::new(fact) {
                None => return false,
                instead => instead,
            },
            false => None,
        };
        self.bytes -= before.len();
        self.bytes += instead.as_ref().map_or(0, Packed::len);
        *entry = instead;
        self.forget_oldest();
        true
    }

    fn forget_oldest(&mut self) {
        while self.order.len() > SESSIONS || self.bytes > BYTES {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some(holder) = self.holders.remove(&oldest) {
                self.bytes -= EACH + holder.as_ref().map_or(0, Packed::len);
            }
        }
    }
}

/// Whether two facts tell the same of a session: two copies of one event, or two events of one sign-in.
fn is_same(one: &Fact<'_>, other: &Fact<'_>) -> bool {
    one.is_copy_of(other) || one.is_of_sign_in_of(other)
}
