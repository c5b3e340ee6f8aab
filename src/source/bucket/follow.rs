//! Following a bucket: when to look again, and which of the objects found then are new.
//!
//! ```text
//!            window        looked                 now        LastModified of objects
//!   ───────────┼─────────────┼─────────────────────┼──▶
//!      known   │ ◀ LOOK_BACK │                     │
//!              │      new, unless it is in `seen`  │
//! ```
//!
//! The window begins [`LOOK_BACK`] before the last look at everything began, or before the newest object was put if that
//! is earlier. What was put before the window is known from an earlier look, so only the hashes
//! of the keys put since then, about an hour's, have to be remembered. Where keys follow CloudTrail's layout, a region
//! is listed from [`LOOK_BACK`] before its newest log file, and now and then from [`LONG_LOOK_BACK`]: a look is one request for
//! each region, and finds late files.
//!
//! With a state file, the first look goes on where an earlier capture has ended ([`super::consumed`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep_until};

use super::Bucket;
use super::consumed::{Consumed, LookEnd};
use super::discover::{self, Listing, Listings};
use super::layout::{day, region_folder, stem};
use crate::aws::s3::Query;
use crate::aws::s3::page::Object;
use crate::clock::Clock;
use crate::process::lock;
use crate::state;
use crate::trail;

/// How far a look goes back behind what was seen. A log file is named by the minute in which CloudTrail delivers it, and
/// is in the bucket within minutes; replication to another bucket takes a quarter of an hour. Clocks differ by as much
/// at most, or S3 refuses the request.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(1);
/// How far a look goes back once an hour, and the first one after a restart: for log files that come later than
/// [`LOOK_BACK`] after the time in their name. It costs requests and no memory, for what was put before the window is known.
const LONG_LOOK_BACK: SignedDuration = SignedDuration::from_hours(24);
/// How often a look goes back so far.
const LONG_LOOKS: SignedDuration = SignedDuration::from_hours(1);
/// New accounts, kinds and regions are looked for at each look if that takes at most this many requests.
const FEW: u32 = 10;
/// Otherwise they are looked for at every tenth look, or after [`DISCOVERY`] if that is sooner.
const LOOKS: u64 = 10;
/// The longest time between two searches for new accounts, kinds and regions.
const DISCOVERY: Duration = Duration::from_secs(300);
/// How long after the end of an interval the log files of its last minutes may still come.
const AFTER_END: SignedDuration = SignedDuration::from_mins(10);
/// How many keys are remembered before those that are no longer needed are removed.
pub(super) const SEEN: usize = 4096;

/// A bucket that is followed.
pub(super) struct Follow {
    interval: Duration,
    clock: Clock,
    memory: Mutex<Memory>,
}

/// What is known from earlier looks. `seen` has every object put since [`Memory::window`].
pub(super) struct Memory {
    /// The current look.
    look: Look,
    /// The first look, which found what was already there, is over.
    again: bool,
    /// What an earlier capture has consumed, for the first look.
    resumed: Option<Consumed>,
    /// When a look last began that goes back by [`LONG_LOOK_BACK`].
    looked_long: Timestamp,
    /// When the last finished look at everything began, or else the first look; in seconds since the epoch. Not behind `end`.
    looked: i64,
    /// Where the interval ends. What comes later is not read, and so not known: should a later capture have no such end, it is
    /// new.
    end: i64,
    /// When the newest object was put.
    newest: Option<i64>,
    /// Hashes of keys, and when the objects were put: since [`Memory::window`], and some before it.
    seen: HashMap<u64, i64>,
    /// How many entries `seen` may have before old ones are removed.
    room: usize,
    regions: BTreeMap<String, RegionMemory>,
}

/// One look at a bucket.
#[derive(Debug, Clone, Copy)]
struct Look {
    began: (Instant, Timestamp),
    /// It looks at everything, not just at the known regions.
    full: bool,
    /// How far it goes back behind the newest log file of a region.
    back: SignedDuration,
    /// Looks since the last full one.
    since_full: u64,
    /// Requests of the last full look that do not list a region.
    requests: u32,
}

/// One region of an account, for one kind of log files.
#[derive(Debug, Default)]
struct RegionMemory {
    /// The prefix to list.
    prefix: String,
    /// It was found in the last full look.
    found: bool,
    /// The newest time in a log file's name.
    newest: Option<i64>,
    /// Some names do not begin as CloudTrail's do, so their order within a day says nothing about time.
    irregular: bool,
}

impl Follow {
    /// Follow, beginning now, or where an earlier capture has ended.
    pub fn new(
        interval: Duration,
        end: Option<Timestamp>,
        clock: Clock,
        resumed: Option<Consumed>,
    ) -> Self {
        let now = clock.now();
        let end = end.map_or(i64::MAX, Timestamp::as_second);
        let mut seen = HashMap::new();
        let mut regions = BTreeMap::new();
        if let Some(consumed) = &resumed {
            seen.clone_from(&consumed.seen);
            regions.extend(consumed.regions.iter().map(|(folder, region)| {
                let region = RegionMemory {
                    newest: trail::delivery_time(&region.last).map(Timestamp::as_second),
                    irregular: region.is_irregular,
                    ..RegionMemory::default()
                };
                (folder.clone(), region)
            }));
        }
        Self {
            interval,
            clock,
            memory: Mutex::new(Memory {
                look: Look {
                    began: (Instant::now(), now),
                    full: true,
                    back: LONG_LOOK_BACK,
                    since_full: 0,
                    requests: 0,
                },
                again: false,
                looked_long: now,
                looked: match &resumed {
                    Some(consumed) => consumed.looked,
                    None => now.as_second().min(end),
                },
                end,
                newest: resumed.as_ref().and_then(|it| it.newest),
                resumed,
                room: SEEN.max(2 * seen.len()),
                seen,
                regions,
            }),
        }
    }

    /// The memory, for a page of a listing.
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }

    /// Count a request.
    pub fn asked(&self, query: &Query) {
        if query.delimiter || region_folder(&query.prefix).is_none() {
            self.memory().look.requests += 1;
        }
    }

    /// Wait until it is time for the next look, and begin it. None if nothing new can come.
    pub async fn look(&self, bucket: &Arc<Bucket>) -> Option<Listings> {
        let (first, last) = {
            let mut memory = self.memory();
            let first = !memory.again;
            if let Some(new) = memory.describe_new() {
                bucket.stats.note(new);
            }
            let last = memory.end_look();
            if let Some(acks) = &bucket.acks {
                acks.end_look(memory.found());
            }
            (first, last)
        };
        if first {
            bucket.stats.note(format!(
                "all that was there is listed; {} is looked at again every {} seconds",
                bucket.client.url(&bucket.location.prefix),
                self.interval.as_secs()
            ));
        }
        if is_over(bucket.wanted.interval.end, last.began.1) {
            return None;
        }
        sleep_until(last.began.0 + self.interval).await;
        let known = {
            let mut memory = self.memory();
            memory.begin_look(self.clock.now(), first || self.discovers(&last));
            memory.known()
        };
        Some(match known {
            None => discover::start(Arc::clone(bucket), None),
            Some(regions) => {
                let listing = |prefix| discover::files(bucket, prefix);
                let listings: Vec<Listing> = regions.into_iter().map(listing).collect();
                discover::known(bucket, listings)
            }
        })
    }

    /// Is the look after this one a full one?
    fn discovers(&self, last: &Look) -> bool {
        let time = DISCOVERY.as_secs() / self.interval.as_secs().max(1);
        last.requests <= FEW || last.since_full + 1 >= LOOKS.min(time)
    }
}

/// The time before which all objects are known: when the last look at everything began, and when the newest object was put.
pub(super) fn window(looked: i64, newest: Option<i64>) -> i64 {
    looked.min(newest.unwrap_or(looked)) - LOOK_BACK.as_secs()
}

/// Has a look that began at this time found everything of an interval with this end?
pub(super) fn is_over(end: Option<Timestamp>, began: Timestamp) -> bool {
    end.is_some_and(|end| began > end.checked_add(AFTER_END).unwrap_or(Timestamp::MAX))
}

impl Memory {
    /// Is this a look after the first?
    pub fn looks_again(&self) -> bool {
        self.again
    }

    fn end_look(&mut self) -> Look {
        let was_first = !std::mem::replace(&mut self.again, true);
        self.resumed = None;
        if self.look.full {
            self.looked = self.look.began.1.as_second().min(self.end);
        }
        if was_first {
            // It had to have all that had come while no capture ran.
            self.forget_before(self.window());
            self.seen.shrink_to(self.room);
        }
        self.look
    }

    fn forget_before(&mut self, window: i64) {
        self.seen.retain(|_, put| *put >= window);
        self.room = (self.seen.len() * 2).max(SEEN);
    }

    /// What the first look after a restart says of the regions that the capture before did not have.
    fn describe_new(&self) -> Option<String> {
        const SHOWN: usize = 3;
        let consumed = self.resumed.as_ref()?;
        // At the first capture, all are.
        if consumed.regions.is_empty() {
            return None;
        }
        let new = self
            .regions
            .iter()
            .filter(|(folder, region)| region.found && !consumed.regions.contains_key(*folder));
        let new: Vec<&str> = new.map(|(folder, _)| folder.as_str()).collect();
        let what = match new.len() {
            0 => return None,
            1 => "1 account or region was".to_owned(),
            more => format!("{more} accounts or regions were"),
        };
        let shown = new[..new.len().min(SHOWN)].join(", ");
        let more = if new.len() > SHOWN { ", …" } else { "" };
        let from = match consumed.start {
            Some(start) => format!("{start}, where the first capture began"),
            None => "the first log file".to_owned(),
        };
        Some(format!(
            "statePath: {what} not there, or not selected, before, and read from {from}, on: {shown}{more}"
        ))
    }

    /// What this look has found, for the state file.
    fn found(&self) -> LookEnd {
        let regions = self.regions.iter().filter(|(_, region)| region.found);
        LookEnd {
            looked: self.looked,
            newest: self.newest,
            is_full: self.look.full,
            regions: regions
                .map(|(folder, region)| (folder.clone(), region.irregular))
                .collect(),
        }
    }

    fn begin_look(&mut self, now: Timestamp, full: bool) {
        let is_long = now.duration_since(self.looked_long) >= LONG_LOOKS;
        if is_long {
            self.looked_long = now;
        }
        self.look = Look {
            began: (Instant::now(), now),
            full,
            back: if is_long { LONG_LOOK_BACK } else { LOOK_BACK },
            since_full: if full { 0 } else { self.look.since_full + 1 },
            requests: if full { 0 } else { self.look.requests },
        };
        if full {
            for region in self.regions.values_mut() {
                region.found = false;
            }
        }
    }

    /// The prefixes of the known regions. None in a full look, which finds them anew.
    fn known(&self) -> Option<Vec<String>> {
        let found = || self.regions.values().filter(|region| region.found);
        (!self.look.full).then(|| found().map(|region| region.prefix.clone()).collect())
    }

    /// The time before which all objects are known at the end of this look, as far as it has come; never later than that.
    fn window(&self) -> i64 {
        window(self.looked, self.newest)
    }

    /// The time before which all objects are known by other means than their hashes.
    fn known_before(&self) -> i64 {
        let resumed = self.resumed.as_ref();
        resumed.map_or_else(|| self.window(), Consumed::window)
    }

    /// When an object was put, if a later look may list it again.
    pub fn put(&self, key: &str) -> Option<i64> {
        self.seen.get(&state::hash(key)).copied()
    }

    /// Remember an object that was listed. False if it was seen before.
    pub fn is_new(&mut self, object: &Object) -> bool {
        self.note_time(&object.key);
        // An object without a time is remembered forever.
        let put = object.time.map_or(i64::MAX, Timestamp::as_second);
        if object.time.is_some() {
            self.newest = self.newest.max(Some(put));
        }
        let known_before = self.known_before();
        // What the next look has to know; an earlier capture may have begun later.
        let window = self.window().min(known_before);
        if self.seen.len() >= self.room {
            self.forget_before(window);
        }
        let is_new = put < window || self.seen.insert(state::hash(&object.key), put).is_none();
        match &self.resumed {
            _ if put >= known_before => is_new,
            Some(consumed) => consumed.lacks(&object.key),
            None => !self.again,
        }
    }

    /// Remember the time in a key of a region.
    fn note_time(&mut self, key: &str) {
        let Some(folder) = region_folder(key) else {
            return;
        };
        let (Some(region), Some(time)) = (self.regions.get_mut(folder), trail::delivery_time(key))
        else {
            return;
        };
        let Some(name) = key[folder.len()..].strip_prefix(&*day(time)) else {
            return;
        };
        region.irregular |= !name.starts_with(&stem(folder));
        region.newest = region.newest.max(Some(time.as_second()));
    }

    /// Remember that a region was found. Returns the key at which its listing starts, if not at the beginning.
    pub fn region(&mut self, folder: &str, prefix: &str) -> Option<String> {
        if !self.regions.contains_key(folder) {
            self.regions
                .insert(folder.to_owned(), RegionMemory::default());
        }
        let region = self.regions.get_mut(folder)?;
        prefix.clone_into(&mut region.prefix);
        region.found = true;
        if !self.again && self.resumed.is_none() {
            return None;
        }
        let start = region.newest?.min(self.looked) - self.look.back.as_secs();
        let start = Timestamp::from_second(start).ok()?;
        let name = match region.irregular {
            true => String::new(),
            false => stem(folder) + &start.strftime("%Y%m%dT%H%M").to_string(),
        };
        Some(format!("{folder}{}{name}", day(start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "p/AWSLogs/111122223333/CloudTrail/us-east-1/";

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Put a minute after the time in its name.
    fn object(time: Timestamp, unique: &str) -> Object {
        let name = time.strftime("%Y%m%dT%H%MZ");
        Object {
            key: format!(
                "{FOLDER}{}{}{name}_{unique}.json.gz",
                day(time),
                stem(FOLDER)
            ),
            time: Some(time + SignedDuration::from_mins(1)),
            ..Object::default()
        }
    }

    #[test]
    fn memory_is_bounded_and_keeps_every_object_that_may_be_listed_again() {
        let follow = Follow::new(Duration::from_secs(30), None, Clock::default(), None);
        let mut memory = follow.memory();
        assert_eq!(memory.region(FOLDER, FOLDER), None);
        let mut now = time("2024-12-31T20:00:00Z");
        memory.looked = now.as_second();
        memory.look.began.1 = now;
        let mut last_hour = Vec::new();
        // A log file each second, over most of a day; a look each minute.
        for minute in 0..1_000 {
            now += SignedDuration::from_mins(1);
            for n in 0..60 {
                let object = object(now, &format!("{minute}x{n}"));
                assert!(memory.is_new(&object));
                assert!(!memory.is_new(&object));
                last_hour.push(object);
            }
            if last_hour.len() > 60 * 60 {
                last_hour.drain(..60);
            }
            memory.end_look();
            memory.begin_look(now, minute % 10 == 0);
            memory.look.began.1 = now;
        }
        let start = memory.region(FOLDER, FOLDER).unwrap();
        assert!(last_hour.iter().all(|object| object.key > start));
        assert!(last_hour.iter().all(|object| !memory.is_new(object)));
        assert!(memory.seen.len() < 3 * 60 * 60, "{}", memory.seen.len());
        // What was put long before was there already.
        assert!(!memory.is_new(&object(time("2024-12-31T20:01:00Z"), "0x0")));
    }

    #[test]
    fn what_came_while_no_capture_ran_takes_no_room_for_ever() {
        let long_ago = time("2024-12-01T00:00:00Z");
        let mut consumed = Consumed::nothing(None, long_ago);
        consumed.is_first = false;
        let interval = Duration::from_secs(30);
        let follow = Follow::new(interval, None, Clock::default(), Some(consumed));
        let mut memory = follow.memory();
        for n in 0..50_000 {
            let put = long_ago + SignedDuration::from_secs(n);
            memory.is_new(&object(put, &n.to_string()));
        }
        assert!(memory.seen.len() >= 50_000);
        memory.look.began.1 = long_ago + SignedDuration::from_hours(24);
        memory.end_look();
        let (len, room, capacity) = (memory.seen.len(), memory.room, memory.seen.capacity());
        // A log file each second, of an hour.
        assert!(len <= 3700 && room <= 2 * SEEN, "{len}, {room}");
        assert!(capacity <= 4 * SEEN, "{capacity}");
    }

    #[test]
    fn a_listing_starts_an_hour_before_the_newest() {
        let follow = Follow::new(Duration::from_secs(30), None, Clock::default(), None);
        let mut memory = follow.memory();
        memory.region(FOLDER, FOLDER);
        memory.end_look();
        let began = memory.looked_long;
        memory.begin_look(began, false);
        assert_eq!(memory.region(FOLDER, FOLDER), None);
        for (newest, expected) in [
            (
                "2024-02-29T23:30:00Z",
                "2024/02/29/111122223333_CloudTrail_us-east-1_20240229T2230",
            ),
            (
                "2024-03-01T00:30:00Z",
                "2024/02/29/111122223333_CloudTrail_us-east-1_20240229T2330",
            ),
            (
                "2025-01-01T00:00:00Z",
                "2024/12/31/111122223333_CloudTrail_us-east-1_20241231T2300",
            ),
        ] {
            memory.is_new(&object(time(newest), "x"));
            let start = memory.region(FOLDER, FOLDER);
            assert_eq!(start, Some(format!("{FOLDER}{expected}")));
        }
        // A name from the future does not hide what comes before.
        memory.is_new(&object(time("2999-01-01T00:00:00Z"), "x"));
        let start = memory.region(FOLDER, FOLDER).unwrap();
        assert!(start < object(Timestamp::now(), "x").key, "{start}");
        // Other names may sort before those in the same day.
        memory.looked = time("2025-01-01T09:00:00Z").as_second();
        memory.is_new(&Object {
            key: format!("{FOLDER}2025/01/01/a_20250101T0800Z.json.gz"),
            ..Object::default()
        });
        let start = memory.region(FOLDER, FOLDER);
        assert_eq!(start, Some(format!("{FOLDER}2025/01/01/")));
    }

    #[test]
    fn once_an_hour_a_listing_starts_a_day_before_the_newest() {
        let follow = Follow::new(Duration::from_secs(30), None, Clock::default(), None);
        let mut memory = follow.memory();
        memory.region(FOLDER, FOLDER);
        memory.is_new(&object(time("2024-03-01T12:00:00Z"), "x"));
        memory.end_look();
        let began = memory.looked_long;
        let mut starts = Vec::new();
        for minute in [1, 59, 60, 61, 119, 120] {
            memory.begin_look(began + SignedDuration::from_mins(minute), false);
            starts.extend(memory.region(FOLDER, FOLDER));
        }
        let far = starts.iter().map(|start| start.contains("/2024/02/29/"));
        let far: Vec<bool> = far.collect();
        assert_eq!(far, [false, false, true, false, false, true], "{starts:?}");
        // It finds what is late, and nothing that is known.
        assert!(!memory.is_new(&object(time("2024-03-01T12:00:00Z"), "x")));
        let late = Object {
            time: Some(Timestamp::now()),
            ..object(time("2024-02-29T13:00:00Z"), "late")
        };
        assert!(memory.is_new(&late) && !memory.is_new(&late));
    }

    #[test]
    fn an_interval_is_over_some_minutes_after_its_end() {
        let end = Some(time("2024-03-05T12:00:00Z"));
        for (began, expected) in [
            ("2024-03-05T11:00:00Z", false),
            ("2024-03-05T12:10:00Z", false),
            ("2024-03-05T12:10:01Z", true),
        ] {
            assert_eq!(is_over(end, time(began)), expected, "{began}");
        }
        assert!(!is_over(None, Timestamp::now()));
    }
}
