//! What the host has consumed of a bucket that is followed, as a state file keeps it.
//!
//! ```text
//!                    window              looked
//!   ───────────────────┼───────────────────┼──▶ LastModified of objects
//!    consumed, but for │ consumed if in `seen`
//!    regions behind    │
//! ```
//!
//! The window is that of the last look of which everything is consumed ([`super::follow`]). Until the first look is, and
//! where a region is new, or was not selected for a while, its last consumed key tells: a region is read in the order
//! of its keys. Log files become consumed in the order in which they were handed over, so that what is kept is one moment.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::follow::{SEEN, window};
use super::layout::region_folder;
use crate::log_file::{Ack, Fate};
use crate::process::lock;
use crate::state::{self, State};
use crate::stats::{Stats, count};
use crate::trail;

/// So many log files that could not be read are tried again at the next start.
const UNREAD: usize = 1_000;
/// Log files outside of CloudTrail's folders that are remembered one by one until the first look is consumed.
const LOOSE: usize = 250_000;

/// What is consumed. Times are in seconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Consumed {
    /// Where `s3Interval` began at the first start.
    pub start: Option<Timestamp>,
    /// When the last look at everything began that is consumed; until one is, when the first began.
    pub looked: i64,
    /// When the newest object was put, as of the last look that is consumed; until one is, of those consumed.
    pub newest: Option<i64>,
    /// What was there at the first look is not all consumed yet.
    pub is_first: bool,
    /// Hashes of the keys of consumed objects, and when they were put: since the window.
    #[serde(with = "state::packed")]
    pub seen: HashMap<u64, i64>,
    /// By folder.
    pub regions: BTreeMap<String, Region>,
    /// Hashes of what is consumed outside of regions, as long as `is_first`.
    #[serde(with = "state::packed")]
    pub loose: HashMap<u64, i64>,
    /// Keys of log files that could not be read, the oldest first.
    pub unread: VecDeque<String>,
    /// How many entries `seen` may have before old ones are removed.
    #[serde(skip)]
    room: usize,
}

/// A region of an account, for one kind of log files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Region {
    /// The last consumed key, without the folder; empty if there is none.
    pub last: String,
    /// What comes behind it is not consumed, even if it was put before the window.
    pub is_behind: bool,
    /// Some names do not begin as CloudTrail's do.
    pub is_irregular: bool,
}

/// What a look that has ended has found.
#[derive(Debug)]
pub(super) struct LookEnd {
    pub looked: i64,
    pub newest: Option<i64>,
    pub is_full: bool,
    /// The folders of regions, and whether they are irregular.
    pub regions: Vec<(String, bool)>,
}

impl Consumed {
    /// Nothing is, at the first start, or at the end of its interval if that is earlier.
    pub fn nothing(start: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            // To the second, as it is told.
            start: start.and_then(|start| Timestamp::from_second(start.as_second()).ok()),
            looked: now.as_second(),
            is_first: true,
            ..Self::default()
        }
    }

    /// What the log says at a start that goes on.
    pub fn describe(&self) -> String {
        let last = self
            .regions
            .values()
            .filter_map(|region| trail::delivery_time(&region.last));
        let looked = Timestamp::from_second(self.looked).unwrap_or_default();
        let from = match (last.max(), self.start) {
            (Some(last), _) => format!("log files up to {last} are consumed"),
            (None, _) if !self.is_first => format!("what was there at {looked} is consumed"),
            (None, _) if !self.loose.is_empty() => {
                format!(
                    "consumed are {}",
                    count(self.loose.len() as u64, "log file")
                )
            }
            (None, Some(start)) => {
                format!("nothing is consumed yet of what was delivered from {start} on")
            }
            (None, None) => "nothing is consumed yet".to_owned(),
        };
        let unread = match self.unread.len() as u64 {
            0 => String::new(),
            unread => format!(
                "; {} that could not be read are tried again",
                count(unread, "log file")
            ),
        };
        format!(
            "statePath: goes on where the capture before ended: {from}{unread}; a start in s3Interval counts at the first \
             capture only"
        )
    }

    /// Was an object from before the window left unread?
    pub fn lacks(&self, key: &str) -> bool {
        match region_folder(key) {
            Some(folder) => self
                .regions
                .get(folder)
                .is_none_or(|region| region.is_behind && key[folder.len()..] > *region.last),
            None => self.is_first && !self.loose.contains_key(&state::hash(key)),
        }
    }

    /// The time before which objects are consumed, but for those that [`Self::lacks`] tells.
    pub fn window(&self) -> i64 {
        match self.is_first {
            // Of what was put before, the last consumed keys tell.
            true => window(self.looked, None),
            false => window(self.looked, self.newest),
        }
    }

    /// A log file has met its fate. When it was put is told if a later look may list it again.
    fn log_file(&mut self, key: String, put: Option<i64>, fate: Fate) {
        let hash = state::hash(&key);
        if let Some(put) = put {
            self.seen.insert(hash, put);
        }
        match region_folder(&key) {
            Some(folder) => {
                let region = self.regions.entry(folder.to_owned());
                let region = region.or_insert_with(|| Region {
                    is_behind: true,
                    ..Region::default()
                });
                let rest = &key[folder.len()..];
                if *rest > *region.last {
                    rest.clone_into(&mut region.last);
                }
            }
            None if self.is_first && self.loose.len() < LOOSE => {
                self.loose.insert(hash, 0);
            }
            None => {}
        }
        if self.is_first {
            self.forget_old(put);
        }
        self.unread.retain(|unread| *unread != key);
        if fate == Fate::Unread {
            self.unread.push_back(key);
        }
    }

    /// While the first look is consumed, which may have years of log files, forget what no later one lists.
    fn forget_old(&mut self, put: Option<i64>) {
        let put = put.filter(|put| *put != i64::MAX);
        self.newest = self.newest.max(put);
        if self.seen.len() >= self.room {
            let window = window(self.looked, self.newest);
            self.seen.retain(|_, put| *put >= window);
            self.room = (self.seen.len() * 2).max(SEEN);
        }
    }

    fn look_end(&mut self, look: LookEnd) {
        self.looked = look.looked;
        self.newest = look.newest;
        self.is_first = false;
        self.loose = HashMap::new();
        if look.is_full {
            // One that is not found is not selected any more, or gone: should it come back, it goes on where it was.
            for region in self.regions.values_mut() {
                region.is_behind = true;
            }
        }
        for (folder, is_irregular) in look.regions {
            let region = self.regions.entry(folder).or_default();
            region.is_behind = false;
            region.is_irregular = is_irregular;
        }
        let window = self.window();
        self.seen.retain(|_, put| *put >= window);
        // It was large if what had come while no capture ran was much. Each write copies it.
        self.seen.shrink_to(2 * self.seen.len());
    }
}

/// Waits for log files to be consumed, and keeps their order.
pub(super) struct Acks {
    state: State<Consumed>,
    waiting: Mutex<Waiting>,
    stats: Arc<Stats>,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    /// The number of the first entry.
    first: u64,
    /// That there are too many unread ones, or loose ones, was said.
    said_unread: bool,
    said_loose: bool,
}

enum Entry {
    LogFile {
        key: String,
        put: Option<i64>,
        fate: Option<Fate>,
    },
    LookEnd(LookEnd),
}

impl Acks {
    pub fn new(state: State<Consumed>, stats: &Arc<Stats>) -> Arc<Self> {
        Arc::new(Self {
            state,
            waiting: Mutex::default(),
            stats: Arc::clone(stats),
        })
    }

    /// What is kept when the capture is closed.
    pub fn state(&self) -> &State<Consumed> {
        &self.state
    }

    /// A log file is handed on next. When it was put is told if a later look may list it again.
    pub fn expect(self: &Arc<Self>, key: &str, put: Option<i64>) -> Ack {
        let mut waiting = lock(&self.waiting);
        let number = waiting.first + waiting.entries.len() as u64;
        waiting.entries.push_back(Entry::LogFile {
            key: key.to_owned(),
            put,
            fate: None,
        });
        let acks = Arc::clone(self);
        Box::new(move |fate| acks.ack(number, fate))
    }

    fn ack(&self, number: u64, met: Fate) {
        let mut waiting = lock(&self.waiting);
        let index = number.checked_sub(waiting.first);
        let index = index.and_then(|index| usize::try_from(index).ok());
        if let Some(Entry::LogFile { fate, .. }) =
            index.and_then(|index| waiting.entries.get_mut(index))
        {
            *fate = Some(met);
        }
        self.advance(&mut waiting);
    }

    /// All log files of a look were handed on.
    pub fn end_look(&self, look: LookEnd) {
        let mut waiting = lock(&self.waiting);
        waiting.entries.push_back(Entry::LookEnd(look));
        self.advance(&mut waiting);
    }

    /// Keep what is consumed in order.
    fn advance(&self, waiting: &mut Waiting) {
        let mut is_full = false;
        let mut is_loose = false;
        self.state.change(|consumed| {
            let mut changed = false;
            while let Some(entry) = waiting.entries.pop_front() {
                match entry {
                    Entry::LogFile { fate: None, .. } => {
                        waiting.entries.push_front(entry);
                        break;
                    }
                    Entry::LogFile {
                        key,
                        put,
                        fate: Some(fate),
                    } => {
                        consumed.log_file(key, put, fate);
                        changed = true;
                        is_full |= consumed.unread.len() > UNREAD;
                        consumed
                            .unread
                            .drain(..consumed.unread.len().saturating_sub(UNREAD));
                        is_loose |= consumed.loose.len() >= LOOSE;
                    }
                    Entry::LookEnd(look) => {
                        // By itself, it is not worth a write: what is kept stays true.
                        changed |= consumed.is_first;
                        consumed.look_end(look);
                    }
                }
                waiting.first += 1;
            }
            changed
        });
        if is_full && !std::mem::replace(&mut waiting.said_unread, true) {
            self.stats.warn(format!(
                "statePath: more than {} could not be read: the oldest of them will not be tried again at the next start",
                count(UNREAD as u64, "log file")
            ));
        }
        if is_loose && !std::mem::replace(&mut waiting.said_loose, true) {
            self.stats.warn(format!(
                "statePath: more than {LOOSE} log files lie outside of CloudTrail's folders: after a restart before all of \
                 them are read, those behind them come again"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::{day, stem};
    use super::*;

    /// A log file each five minutes of each of 100 accounts x 17 regions, from here on for so many minutes.
    fn deliver(consumed: &mut Consumed, from: i64, minutes: i64) {
        for minute in (0..minutes).step_by(5) {
            let now = from + minute * 60;
            let time = Timestamp::from_second(now).unwrap();
            let name = time.strftime("%Y%m%dT%H%MZ").to_string();
            let mut regions = Vec::new();
            for number in 0..1_700 {
                let (account, region) = (number / 17, number % 17);
                let folder =
                    format!("AWSLogs/o-abcdefghij/{account:012}/CloudTrail/eu-west-{region}/");
                let unique = state::hash(&format!("{number} {now}"));
                let key = format!(
                    "{folder}{}{}{name}_{unique:016x}.json.gz",
                    day(time),
                    stem(&folder)
                );
                consumed.log_file(key, Some(now), Fate::Consumed);
                regions.push((folder, false));
            }
            consumed.look_end(LookEnd {
                looked: now,
                newest: Some(now),
                is_full: true,
                regions,
            });
        }
    }

    /// docs/following.md states the figure.
    #[test]
    fn the_state_of_a_large_organization_is_small_and_does_not_grow() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut consumed = Consumed::nothing(None, start);
        let mut sizes = Vec::new();
        for month in 0..3 {
            deliver(&mut consumed, start.as_second() + month * 30 * 86_400, 90);
            sizes.push(serde_json::to_string(&consumed).unwrap().len());
        }
        assert!(
            sizes.iter().all(|size| (400_000..800_000).contains(size)),
            "{sizes:?}"
        );
        assert!(sizes[0] == sizes[1] && sizes[1] == sizes[2], "{sizes:?}");
    }

    #[test]
    fn what_came_while_no_capture_ran_takes_no_room_for_ever() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut consumed = Consumed::nothing(None, start);
        consumed.is_first = false;
        for n in 0..100_000 {
            let put = start.as_second() + i64::from(n);
            consumed.log_file(format!("x/{n}.json"), Some(put), Fate::Consumed);
        }
        consumed.look_end(LookEnd {
            looked: start.as_second() + 1_000_000,
            newest: None,
            is_full: true,
            regions: Vec::new(),
        });
        assert_eq!(consumed.seen.len(), 0);
        assert!(
            consumed.seen.capacity() < 100,
            "{}",
            consumed.seen.capacity()
        );
    }

    /// With a state file of which nothing is consumed.
    async fn acks() -> (Arc<Acks>, Arc<Stats>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state").display().to_string();
        let stats = Arc::<Stats>::default();
        let first = Consumed::nothing(None, Timestamp::UNIX_EPOCH);
        let opened = State::open(&path, "s3://logs/", first, &stats);
        (Acks::new(opened.await.unwrap().0, &stats), stats)
    }

    #[tokio::test]
    async fn what_is_unread_is_bounded_and_said_once() {
        let (acks, stats) = acks().await;
        let key = |n: usize| format!("x/{n}.json");
        for n in 0..UNREAD + 10 {
            acks.expect(&key(n), None)(Fate::Unread);
        }
        acks.expect(&key(UNREAD), None)(Fate::Consumed);
        acks.state().change(|consumed| {
            assert_eq!(consumed.unread.len(), UNREAD - 1);
            assert!(!consumed.unread.contains(&key(UNREAD)), "it is read");
            assert!(!consumed.unread.contains(&key(9)) && consumed.unread.contains(&key(10)));
            false
        });
        let log = format!("{:?}", stats.take_notes());
        assert_eq!(log.matches("could not be read").count(), 1, "{log}");
    }

    #[tokio::test]
    async fn log_files_are_consumed_in_order() {
        let (acks, _) = acks().await;
        let [a, b, c] = ["a", "b", "c"].map(|key| acks.expect(key, None));
        let look = LookEnd {
            looked: 1,
            newest: None,
            is_full: true,
            regions: Vec::new(),
        };
        acks.end_look(look);
        let consumed = |count: usize, is_first: bool| {
            acks.state().change(|consumed| {
                assert_eq!((consumed.loose.len(), consumed.is_first), (count, is_first));
                false
            });
        };
        // What is behind one that the host still has is not consumed, whatever becomes of it.
        b(Fate::Unread);
        consumed(0, true);
        a(Fate::Consumed);
        consumed(2, true);
        c(Fate::Consumed);
        consumed(0, false);
    }
}
