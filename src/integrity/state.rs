//! What is held of the digests of one account and region.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use tokio::sync;

use super::digest::Digest;
use super::{Checks, Expected};
use crate::log_file::Sha256;
use crate::process::lock;
use crate::trail::{self, Interval, Place};

/// How long before its delivery's hour, as a digest has it, a log file may have its name's time.
pub(super) const EARLY: SignedDuration = SignedDuration::from_mins(10);

/// The digest chains of one account and region.
pub(super) struct DigestChains {
    pub checks: Arc<Checks>,
    /// The folder of the digests, with a separator at its end.
    pub folder: String,
    /// The interval that is read, as far as it is known.
    pub span: Interval,
    pub named: Mutex<Named>,
    pub state: sync::Mutex<State>,
}

/// What the source has named.
#[derive(Default)]
pub(super) struct Named {
    /// Paths that are kept in mind, with their times.
    pub paths: HashMap<String, Timestamp>,
    /// The newest time that it has named, by kind and region.
    pub reached: HashMap<String, Timestamp>,
    /// How many log files of each time are named and not looked up yet.
    pub waiting: BTreeMap<Timestamp, usize>,
}

/// How far the digests are read.
///
/// ```text
///                        reached
///   ──digest──digest──────digest│ waiting      │ held_back
///   known ◀──────── 64          │ fetched next │ others of their day may be listed yet
///   entries of ◀─── 4 hours     │              │
/// ```
///
/// A digest is taken into account after all that end before it: names leave `held_back` for `waiting` when nothing that
/// sorts before them can be listed any more. So what is not among `entries` when `reached` is `LATE` behind a log
/// file's time is in no digest. A digest whose signature is not with it waits in its chain until the next one, which
/// has the signature, or the end; `entries` are of those only whose signature was looked at.
#[derive(Default)]
pub(super) struct State {
    /// The name after which listing goes on.
    pub after: Option<String>,
    /// All are listed.
    pub listed: bool,
    /// Listed, but digests with an earlier time may still be listed.
    pub held_back: Vec<String>,
    /// To be fetched.
    pub waiting: VecDeque<String>,
    /// All are read.
    pub done: bool,
    /// When the first digest begins.
    pub first: Option<Timestamp>,
    /// The end and name of the newest digest that was read.
    pub reached: Option<(Timestamp, String)>,
    pub entries: HashMap<String, DigestEntry>,
    /// By the common beginning of the names of their digests.
    pub chains: HashMap<String, Chain>,
    /// Paths of the digests read last.
    pub known: VecDeque<String>,
    /// Times that no valid digest covers.
    pub holes: Vec<Hole>,
    /// Why they can't be listed.
    pub trouble: Option<String>,
    /// It was said that there are none.
    pub said_none: bool,
}

/// A log file as a digest has it.
pub(super) struct DigestEntry {
    pub hash: Sha256,
    pub time: Timestamp,
    pub digest: Arc<str>,
    /// Why the digest is not proven, if it isn't.
    pub doubt: Option<Arc<str>>,
}

/// A time that no valid digest covers.
pub(super) struct Hole {
    pub from: Timestamp,
    pub to: Timestamp,
    /// What is known of its log files.
    pub expected: Expected,
}

/// A digest that was read.
pub(super) struct Read {
    pub name: String,
    /// Where it lies.
    pub place: Place,
    pub end: Timestamp,
    pub generated: Option<Timestamp>,
    pub digest: Digest,
}

/// The digests of one trail.
#[derive(Default)]
pub(super) struct Chain {
    pub last: Option<Link>,
    /// The last one, whose signature is only in the next one.
    pub unsigned: Option<Read>,
    /// The times that late digests cover, in the order of their ends.
    pub belated: Vec<(Timestamp, Timestamp)>,
}

/// What a digest's successor says of it.
pub(super) struct Link {
    pub path: String,
    pub end: Timestamp,
    /// None if the digest can't be used, which was logged.
    pub hash: Option<Sha256>,
}

impl DigestChains {
    pub fn new(checks: Arc<Checks>, folder: String) -> Self {
        let span = checks.digests.span();
        Self {
            checks,
            folder,
            span,
            named: Mutex::default(),
            state: sync::Mutex::default(),
        }
    }

    pub fn named_so_far(&self) -> MutexGuard<'_, Named> {
        lock(&self.named)
    }

    /// The folder of the account, with a separator behind, or nothing.
    fn account(&self) -> &str {
        let end = self.folder.rfind(trail::DIGESTS);
        &self.folder[..end.unwrap_or_default()]
    }

    /// The region's own name.
    pub fn region(&self) -> &str {
        let folder = self.folder.trim_end_matches(['/', '\\']);
        folder.rsplit(['/', '\\']).next().unwrap_or_default()
    }

    /// The full name of a log file or digest.
    pub fn name(&self, path: &str) -> String {
        format!("{}{path}.gz", self.account())
    }
}

pub(super) fn before(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_sub(span).unwrap_or(Timestamp::MIN)
}
