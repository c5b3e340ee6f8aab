//! Messages in flight: received, and waiting for the host to consume the log files that they name.
//!
//! ```text
//!               take           all log files consumed          delete
//!   hold ─▶ new ────▶ waiting ──────────────────────▶ deletions ────▶ deleting ─▶ gone
//!            │           │                        └─▶ kept (where sqsDelete is false)
//!            └ let_go    └ leave: a log file could not be read
//!                ▼             ▼
//!              forgotten: the message comes again
//! ```
//!
//! A message is deleted only after every log file that it names was consumed, here or by another message. Each log file
//! under way is in `files` once, with all messages that wait for it, so it is read once. Once a message is
//! taken, its `waiting` is the number of its entries in `files`.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::message::Notification;
use crate::aws::sqs::{BATCH, Extension};
use crate::log_file::Fate;
use crate::process::lock;
use crate::recent::Recent;
use crate::stats::{Stats, count};

/// How many messages are received ahead of the host: enough to keep downloads busy, and few enough that other consumers
/// of the queue get theirs.
const MOST: usize = 256;
/// How many consumed log files are remembered: more than the messages that a queue may have in flight (120,000), so that
/// none is read twice where messages are not deleted.
const REMEMBERED: usize = 125_000;
/// How long a message that may be deleted waits for others to go with it.
const GATHERING: Duration = Duration::from_secs(1);
/// The longest time for which SQS keeps a message in flight.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);

/// The messages in flight of one capture.
pub(super) struct InFlight {
    state: Mutex<State>,
    hasher: RandomState,
    /// Whether messages are deleted once their log files are consumed.
    delete: bool,
    /// How long a message stays hidden from others unless it is extended.
    pub visibility: Duration,
    /// There is something to delete.
    deletable: Notify,
    /// Only one task gathers a batch.
    gathering: tokio::sync::Mutex<()>,
    /// A message was settled.
    settled: Notify,
    /// Messages were deleted.
    progress: Notify,
    stats: Arc<Stats>,
}

struct State {
    /// By the hash of their IDs.
    messages: HashMap<u64, Held>,
    /// How many messages are consumed and not deleted, but still hidden from other consumers.
    kept: usize,
    /// Log files that are being read, by the hash of their identity, and the messages that wait for each.
    files: HashMap<u64, Vec<u64>>,
    consumed: Recent<u64>,
    /// Receipt handles of messages to be deleted.
    deletions: VecDeque<String>,
    /// How many are being deleted.
    deleting: usize,
    closing: bool,
}

/// A message that is held.
struct Held {
    handle: String,
    received: Instant,
    /// When its visibility is to be extended. None if that failed for good.
    due: Option<Instant>,
    /// How many of its log files are not consumed yet.
    waiting: usize,
    /// It was not taken yet.
    is_new: bool,
}

/// A message whose visibility is to be extended.
pub(super) struct Due {
    message: u64,
    pub extension: Extension,
}

/// A log file that is being read. If it is dropped before it is consumed, its messages come again.
pub(super) struct Pending {
    in_flight: Arc<InFlight>,
    file: u64,
}

impl Pending {
    /// What became of it.
    pub fn end(self, fate: Fate) {
        match fate {
            Fate::Consumed => self.in_flight.consume(self.file),
            // Its drop tells.
            Fate::Unread => {}
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.in_flight.leave(self.file);
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            messages: HashMap::new(),
            kept: 0,
            files: HashMap::new(),
            consumed: Recent::new(REMEMBERED),
            deletions: VecDeque::new(),
            deleting: 0,
            closing: false,
        }
    }
}

impl State {
    /// Forget a message, which may come again. Its log files no longer count for it.
    fn forget(&mut self, message: u64) {
        if let Some(held) = self.messages.remove(&message) {
            self.kept -= usize::from(held.waiting == 0);
        }
        for waiting in self.files.values_mut() {
            waiting.retain(|other| *other != message);
        }
    }
}

impl InFlight {
    pub fn new(visibility: Duration, delete: bool, stats: Arc<Stats>) -> Self {
        Self {
            state: Mutex::default(),
            hasher: RandomState::new(),
            delete,
            visibility,
            deletable: Notify::new(),
            gathering: tokio::sync::Mutex::default(),
            settled: Notify::new(),
            progress: Notify::new(),
            stats,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Keep a message hidden from other consumers from the moment it was received, since it may take a while until it is
    /// taken.
    pub fn hold(&self, id: &str, handle: &str) {
        let now = Instant::now();
        let message = self.hasher.hash_one(id);
        let mut state = self.state();
        let held = state.messages.entry(message).or_insert_with(|| Held {
            handle: String::new(),
            received: now,
            due: None,
            waiting: 1,
            is_new: true,
        });
        // If the message came again, only the new handle is valid.
        handle.clone_into(&mut held.handle);
        held.received = now;
        held.due = Some(now + self.visibility / 2);
    }

    /// Leave a message to other consumers, unless it was taken.
    pub fn let_go(&self, id: &str) {
        let message = self.hasher.hash_one(id);
        let mut state = self.state();
        if state.messages.get(&message).is_some_and(|held| held.is_new) {
            state.forget(message);
        }
    }

    /// Take a message that is held. Returns those of its log files that are to be read: the others are being read already,
    /// or consumed.
    pub fn take(
        self: &Arc<Self>,
        id: &str,
        files: Vec<Notification>,
    ) -> Vec<(Notification, Pending)> {
        let message = self.hasher.hash_one(id);
        let mut state = self.state();
        let state = &mut *state;
        // It was taken before, or was in flight for too long and will come again.
        if !state.messages.get(&message).is_some_and(|held| held.is_new) {
            return Vec::new();
        }
        let mut parts = Vec::new();
        let mut waiting = 0;
        for notification in files {
            let file = self.hasher.hash_one(notification.identity());
            if state.consumed.contains(&file) {
                self.stats.duplicates.add(1);
                continue;
            }
            waiting += 1;
            match state.files.entry(file) {
                Entry::Occupied(mut entry) => {
                    self.stats.duplicates.add(1);
                    entry.get_mut().push(message);
                }
                Entry::Vacant(entry) => {
                    entry.insert(vec![message]);
                    let in_flight = Arc::clone(self);
                    parts.push((notification, Pending { in_flight, file }));
                }
            }
        }
        if let Some(held) = state.messages.get_mut(&message) {
            held.waiting = waiting;
            held.is_new = false;
        }
        if waiting == 0 {
            self.settle(state, message);
        }
        parts
    }

    /// How many more messages may be received.
    pub fn room(&self) -> usize {
        let state = self.state();
        let under_way = state.messages.len() - state.kept + state.deletions.len() + state.deleting;
        MOST.saturating_sub(under_way)
    }

    /// Wait until a message is settled, or was since the last call.
    pub async fn settled(&self) {
        self.settled.notified().await;
    }

    fn consume(&self, file: u64) {
        let mut state = self.state();
        let state = &mut *state;
        let Some(messages) = state.files.remove(&file) else {
            return;
        };
        state.consumed.add(file);
        for message in messages {
            // It is gone if another of its log files could not be read.
            if let Some(held) = state.messages.get_mut(&message) {
                held.waiting -= 1;
                if held.waiting == 0 {
                    self.settle(state, message);
                }
            }
        }
    }

    /// A log file could not be read: the messages that wait for it come again.
    fn leave(&self, file: u64) {
        let mut state = self.state();
        for message in state.files.remove(&file).unwrap_or_default() {
            state.forget(message);
        }
        drop(state);
        self.settled.notify_one();
    }

    /// All log files of a message are consumed.
    fn settle(&self, state: &mut State, message: u64) {
        if !self.delete {
            state.kept += 1;
        } else if let Some(held) = state.messages.remove(&message) {
            state.deletions.push_back(held.handle);
            self.deletable.notify_one();
        }
        self.settled.notify_one();
    }

    /// Wait for messages to delete, and return the receipt handles for one request.
    pub async fn deletions(&self) -> Vec<String> {
        let _one_at_a_time = self.gathering.lock().await;
        self.gather(1).await;
        _ = timeout(GATHERING, self.gather(BATCH)).await;
        let mut state = self.state();
        let few = state.deletions.len().min(BATCH);
        let handles: Vec<String> = state.deletions.drain(..few).collect();
        state.deleting += handles.len();
        handles
    }

    /// Wait until there are at least so many messages to delete, or any at all at a close.
    async fn gather(&self, at_least: usize) {
        let enough = || {
            let state = self.state();
            let here = state.deletions.len();
            here >= at_least || state.closing && here > 0
        };
        while !enough() {
            self.deletable.notified().await;
        }
    }

    /// This many messages are deleted, or will come again.
    pub fn deleted(&self, messages: usize) {
        self.state().deleting -= messages;
        self.settled.notify_one();
        self.progress.notify_one();
    }

    /// Wait until nothing is left to be deleted.
    pub async fn flush(&self) {
        self.state().closing = true;
        self.deletable.notify_one();
        let done = || {
            let state = self.state();
            state.deletions.is_empty() && state.deleting == 0
        };
        while !done() {
            self.progress.notified().await;
        }
    }

    /// Messages whose visibility is to be extended now.
    pub fn due(&self) -> Vec<Due> {
        let now = Instant::now();
        let mut due = Vec::new();
        let mut over = Vec::new();
        let mut unconsumed = 0;
        let mut state = self.state();
        for (message, held) in &mut state.messages {
            if held.due.is_none_or(|due| due > now) {
                continue;
            }
            // In whole seconds, and a second less than the limit.
            let left = LONGEST
                .saturating_sub(now - held.received)
                .saturating_sub(Duration::from_secs(1));
            let visibility = self.visibility.min(Duration::from_secs(left.as_secs()));
            if visibility < Duration::from_secs(1) {
                over.push(*message);
                unconsumed += u64::from(held.waiting > 0);
                continue;
            }
            // If the request fails, there is time to try again.
            held.due = Some(now + self.visibility / 8);
            due.push(Due {
                message: *message,
                extension: Extension {
                    handle: held.handle.clone(),
                    visibility,
                },
            });
        }
        for message in &over {
            state.forget(*message);
        }
        drop(state);
        // Those that are consumed and stay, where sqsDelete is false, come again without a word.
        if unconsumed > 0 {
            self.stats.warn(format!(
                "{} of the queue in flight for 12 hours, which SQS allows at most: others may receive what is not consumed",
                count(unconsumed, "message")
            ));
        }
        if !over.is_empty() {
            self.settled.notify_one();
        }
        due
    }

    /// A message's visibility was extended, or can't be.
    pub fn extended(&self, due: &Due, done: bool) {
        let mut state = self.state();
        // Meanwhile it may have been settled, or have come again.
        let Some(held) = state.messages.get_mut(&due.message) else {
            return;
        };
        if held.handle != due.extension.handle {
            return;
        }
        held.due = done.then(|| Instant::now() + self.visibility / 2);
        if !done && held.waiting == 0 {
            state.forget(due.message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Created;
    use super::*;

    fn in_flight(delete: bool) -> Arc<InFlight> {
        let visibility = Duration::from_secs(30);
        Arc::new(InFlight::new(visibility, delete, Arc::default()))
    }

    fn files(keys: &[&str]) -> Vec<Notification> {
        let created = |key: &&str| {
            Notification::Object(Created {
                bucket: "logs".into(),
                key: (*key).into(),
                size: 0,
                region: None,
                time: None,
            })
        };
        keys.iter().map(created).collect()
    }

    impl InFlight {
        fn to_delete(&self) -> Vec<String> {
            self.state().deletions.iter().cloned().collect()
        }

        fn receive(self: &Arc<Self>, id: &str, keys: &[&str]) -> Vec<Pending> {
            self.hold(id, &format!("{id}'s handle"));
            let parts = self.take(id, files(keys));
            parts.into_iter().map(|(_, part)| part).collect()
        }
    }

    #[test]
    fn a_message_is_deleted_with_the_last_of_its_files() {
        let queue = in_flight(true);
        let mut parts = queue.receive("1", &["a", "b"]);
        assert_eq!(queue.room(), MOST - 1);
        parts.pop().unwrap().end(Fate::Consumed);
        assert!(queue.to_delete().is_empty());
        parts.pop().unwrap().end(Fate::Consumed);
        assert_eq!(queue.to_delete(), ["1's handle"]);
        // One that names nothing to read goes at once.
        assert!(queue.receive("2", &[]).is_empty());
        assert_eq!(queue.to_delete().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn received_messages_are_held_before_they_are_taken() {
        let queue = in_flight(true);
        queue.hold("1", "1's handle");
        queue.hold("2", "2's handle");
        assert_eq!(queue.room(), MOST - 2);
        tokio::time::advance(queue.visibility / 2).await;
        let mut handles: Vec<String> = queue
            .due()
            .into_iter()
            .map(|due| due.extension.handle)
            .collect();
        handles.sort();
        assert_eq!(handles, ["1's handle", "2's handle"]);
        // What can't be understood is left to others at once.
        queue.let_go("2");
        assert_eq!(queue.room(), MOST - 1);
        let [a] = queue.take("1", files(&["a"])).try_into().ok().unwrap();
        // It is under way now.
        queue.let_go("1");
        a.1.end(Fate::Consumed);
        assert_eq!(queue.to_delete(), ["1's handle"]);
    }

    #[test]
    fn a_file_that_fails_leaves_its_message_and_is_read_again() {
        let queue = in_flight(true);
        let [a, b] = queue.receive("1", &["a", "b"]).try_into().ok().unwrap();
        drop(a);
        b.end(Fate::Consumed);
        assert!(queue.to_delete().is_empty() && queue.due().is_empty());
        assert_eq!(queue.room(), MOST);
        // b is known.
        let [a] = queue.receive("1", &["a", "b"]).try_into().ok().unwrap();
        assert_eq!(queue.stats.duplicates.get(), 1);
        a.end(Fate::Consumed);
        assert_eq!(queue.to_delete(), ["1's handle"]);
    }

    #[test]
    fn a_message_left_to_the_queue_is_read_again_as_a_whole() {
        let queue = in_flight(true);
        let [a, b] = queue.receive("1", &["a", "b"]).try_into().ok().unwrap();
        drop(a);
        // It comes again while b is still under way.
        let [a] = queue.receive("1", &["a", "b"]).try_into().ok().unwrap();
        b.end(Fate::Consumed);
        assert!(queue.to_delete().is_empty());
        a.end(Fate::Consumed);
        assert_eq!(queue.to_delete(), ["1's handle"]);
    }

    #[test]
    fn a_duplicate_is_deleted_or_left_with_its_original() {
        let queue = in_flight(true);
        let [a] = queue.receive("1", &["a"]).try_into().ok().unwrap();
        assert!(queue.receive("2", &["a"]).is_empty());
        assert!(queue.to_delete().is_empty());
        a.end(Fate::Consumed);
        assert_eq!(queue.to_delete(), ["1's handle", "2's handle"]);
        assert!(queue.receive("3", &["a"]).is_empty());
        assert_eq!(queue.to_delete().len(), 3);

        let [b] = queue.receive("4", &["b"]).try_into().ok().unwrap();
        assert!(queue.receive("5", &["b"]).is_empty());
        drop(b);
        assert_eq!(queue.to_delete().len(), 3);
        assert_eq!(queue.receive("5", &["b"]).len(), 1);
        assert_eq!(queue.stats.duplicates.get(), 3);
    }

    #[test]
    fn a_message_received_again_is_deleted_by_its_new_handle() {
        let queue = in_flight(true);
        let [a] = queue.receive("1", &["a"]).try_into().ok().unwrap();
        queue.hold("1", "new");
        assert!(queue.take("1", files(&["a"])).is_empty());
        a.end(Fate::Consumed);
        assert_eq!(queue.to_delete(), ["new"]);
    }

    #[test]
    fn messages_that_are_not_to_be_deleted_take_no_room() {
        let queue = in_flight(false);
        let [a] = queue.receive("1", &["a"]).try_into().ok().unwrap();
        a.end(Fate::Consumed);
        assert!(queue.to_delete().is_empty());
        assert_eq!(queue.room(), MOST);
        assert_eq!(queue.state().messages.len(), 1);
        assert!(queue.receive("1", &["a"]).is_empty());
        assert!(queue.receive("2", &["a"]).is_empty());
    }

    #[test]
    fn the_memory_of_consumed_files_is_bounded() {
        let queue = in_flight(true);
        for n in 0..=2 * REMEMBERED {
            for part in queue.receive(&n.to_string(), &[&n.to_string()]) {
                part.end(Fate::Consumed);
            }
            queue.state().deletions.clear();
        }
        let state = queue.state();
        // A table has places for a power of two, of which an eighth stays empty.
        let room = REMEMBERED.next_power_of_two() * 2 / 8 * 7;
        assert!(state.consumed.capacities().iter().all(|it| *it <= room));
        assert!(state.messages.is_empty() && state.files.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn visibility_is_extended_at_half_its_time_and_ends_at_twelve_hours() {
        let queue = in_flight(true);
        let parts = queue.receive("1", &["a"]);
        tokio::time::advance(Duration::from_secs(14)).await;
        assert!(queue.due().is_empty());
        let start = Instant::now();
        let mut last = Duration::ZERO;
        loop {
            tokio::time::advance(Duration::from_secs(1)).await;
            for due in queue.due() {
                assert_eq!(due.extension.handle, "1's handle");
                let elapsed = start.elapsed() + Duration::from_secs(14);
                assert!(elapsed - last <= Duration::from_secs(16));
                assert!(elapsed + due.extension.visibility < LONGEST);
                last = elapsed;
                queue.extended(&due, true);
            }
            if start.elapsed() > LONGEST + Duration::from_secs(60) {
                break;
            }
        }
        assert!(last > LONGEST - Duration::from_secs(30));
        let notes = queue.stats.take_notes();
        assert_eq!(notes.len(), 1);
        assert!(queue.state().messages.is_empty());
        // What it named is known when it comes again.
        parts.into_iter().for_each(|part| part.end(Fate::Consumed));
        assert!(queue.receive("1", &["a"]).is_empty());
        assert_eq!(queue.to_delete(), ["1's handle"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_consumed_and_stays_comes_again_without_a_word() {
        let queue = in_flight(false);
        let [part] = queue.receive("1", &["a"]).try_into().ok().unwrap();
        part.end(Fate::Consumed);
        tokio::time::advance(LONGEST + Duration::from_secs(60)).await;
        queue.due();
        assert!(queue.state().messages.is_empty());
        assert!(queue.stats.take_notes().is_empty());
    }
}
