//! Which fields a record may have.
//!
//! A host that shows events asks for all fields of each at once, and most events have few of them. Which ones, the
//! members that are there tell, at a fraction of what asking field by field takes.

use std::sync::LazyLock;

use super::FIELDS;
use super::given::Given;
use crate::record::{Member, Record};

/// A set of fields.
#[derive(Clone, Copy, Default)]
pub(crate) struct Possible([u64; WORDS]);

const WORDS: usize = Given::BITS / 64;

/// The fields that can be there without any known member, and those that need this member or another one.
static BY_MEMBER: LazyLock<(Possible, Vec<Possible>)> = LazyLock::new(|| {
    let mut always = Possible::default();
    let mut by_member = vec![Possible::default(); Member::EACH.len()];
    for (at, field) in FIELDS.iter().enumerate() {
        let members = field.members();
        if members.is_empty() {
            always.add(at);
        }
        for member in members {
            by_member[member as usize].add(at);
        }
    }
    (always, by_member)
});

impl Possible {
    pub const ALL: Self = Self([u64::MAX; WORDS]);

    /// The fields that a record may have. It has no others.
    pub fn of(record: &mut Record<'_>) -> Self {
        let (always, by_member) = &*BY_MEMBER;
        let mut possible = *always;
        record.each_known(|member| {
            for (word, more) in possible.0.iter_mut().zip(by_member[member].0) {
                *word |= more;
            }
        });
        possible
    }

    fn add(&mut self, field: usize) {
        self.0[field / 64] |= 1 << (field % 64);
    }

    /// Whether a field is one of them.
    #[inline]
    pub fn has(&self, field: usize) -> bool {
        self.0[field / 64 % WORDS] >> (field % 64) & 1 == 1
    }
}
