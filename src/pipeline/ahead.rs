//! How far log files are looked at ahead of the host, so that it does not depend on chance what is known of sessions when an
//! event is handed over: the first records of the next log files were looked at before.
//!
//! Nothing is waited for that may not come: only log files that the source has named, and none while a decoder or the feed
//! waits for the host.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::process::lock;

/// So many log files beyond the one that is handed over.
const FILES: u64 = 8;
/// For so long at most, where one of them can't be had.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What the feed, the decoders and the host tell each other of log files, which are counted from 1 on.
#[derive(Debug, Clone, Default)]
pub(super) struct Ahead(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// So many were named.
    named: u64,
    /// Up to this one, all were looked at.
    looked_at: u64,
    /// Others that were.
    others: BTreeSet<u64>,
    /// So many decoders wait for the host.
    waiting: usize,
}

/// A log file that is not looked at yet; it is once this is dropped.
pub(super) struct Unseen {
    ahead: Ahead,
    number: u64,
}

/// A decoder that waits for the host, until this is dropped.
pub(super) struct Waiting(Ahead);

impl Ahead {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.0.state));
        self.0.changed.notify_one();
    }

    /// The source has named another log file.
    pub fn name(&self) -> Unseen {
        let mut number = 0;
        self.change(|state| {
            state.named += 1;
            number = state.named;
        });
        Unseen {
            ahead: self.clone(),
            number,
        }
    }

    /// A decoder has to wait for the host.
    pub fn wait(&self) -> Waiting {
        self.change(|state| state.waiting += 1);
        Waiting(self.clone())
    }

    /// Up to this one, all were looked at.
    pub fn looked_at(&self) -> u64 {
        lock(&self.0.state).looked_at
    }

    /// Whether enough was looked at for the host to take this log file.
    pub fn is_enough(&self, number: u64) -> bool {
        let state = lock(&self.0.state);
        state.waiting > 0 || state.looked_at >= state.named.min(number + FILES)
    }

    /// Wait until it was, up to this time. False if it was not.
    pub async fn until_enough(&self, number: u64, until: Instant) -> bool {
        loop {
            let changed = self.0.changed.notified();
            if self.is_enough(number) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if timeout(left, changed).await.is_err() {
                return self.is_enough(number);
            }
        }
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        self.ahead.change(|state| {
            state.others.insert(self.number);
            while state.others.remove(&(state.looked_at + 1)) {
                state.looked_at += 1;
            }
        });
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.change(|state| state.waiting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_log_files_that_are_named_are_waited_for() {
        let ahead = Ahead::default();
        assert!(ahead.is_enough(1));
        let mut unseen: Vec<_> = (1..=20).map(|_| Some(ahead.name())).collect();
        assert!(!ahead.is_enough(1));
        // In any order.
        for number in (1..9).rev() {
            unseen[number] = None;
        }
        assert!(!ahead.is_enough(1));
        unseen[0] = None;
        assert!(ahead.is_enough(1) && !ahead.is_enough(2));
        unseen[9] = None;
        assert!(ahead.is_enough(2) && !ahead.is_enough(3));
        drop(unseen.drain(..19));
        assert!(ahead.is_enough(11) && !ahead.is_enough(12));
        drop(unseen);
        assert!(ahead.is_enough(20));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_waited_for_while_a_decoder_waits_for_the_host() {
        let ahead = Ahead::default();
        let _unseen = [ahead.name(), ahead.name()];
        let in_a_second = || Instant::now() + Duration::from_secs(1);
        assert!(!ahead.until_enough(1, in_a_second()).await);
        let decoder = ahead.clone();
        let waits = tokio::spawn(async move { decoder.wait() });
        assert!(ahead.until_enough(1, in_a_second()).await);
        drop(waits.await.unwrap());
        assert!(!ahead.is_enough(1));
    }
}
