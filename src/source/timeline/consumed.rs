//! What the host has consumed of events that are followed, as a state file keeps it.
//!
//! Each stream, what one reader reads, comes in the order of time, but for events that come late. So it goes on
//! [`Scale::lag`] before its last consumed event, and the events consumed since then are known by what stands for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Event, share};
use crate::log_file::Ack;
use crate::settings::Settings;
use crate::state::{self, State};
use crate::stats::Stats;
use crate::trail::Interval;

/// Streams that are so many seconds behind those that are read are absent.
const ABSENT: i64 = 90 * 24 * 60 * 60;

/// What is consumed. Times are in seconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::source) struct Consumed {
    /// Where `s3Interval` began at the first start.
    start: Option<Timestamp>,
    /// Whose events they are, or whose the groups are that they come from, once that is known.
    pub account: Option<String>,
    /// By name.
    streams: BTreeMap<String, Stream>,
}

/// The state file of a source of this name that is followed, as [`State::open`] returns it. None without a `statePath`.
pub(in crate::source) async fn open(
    settings: &Settings,
    name: &str,
    start: Option<Timestamp>,
    stats: &Arc<Stats>,
) -> Result<Option<(State<Consumed>, Consumed, bool)>> {
    let Some(path) = settings.state_path.as_deref().filter(|_| settings.follow) else {
        return Ok(None);
    };
    let source = match &settings.aws.endpoint {
        None => name.to_owned(),
        Some(endpoint) => format!("{name} of {endpoint}"),
    };
    let first = Consumed::nothing(start);
    Ok(Some(State::open(path, &source, first, stats).await?))
}

/// What one reader reads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::source) struct Stream {
    /// Where it goes on: at the start, or [`Scale::lag`] before its last consumed event.
    pub from: i64,
    /// What stands for the events consumed since then, and the seconds in which they happened or came.
    #[serde(with = "state::packed")]
    pub seen: HashMap<u64, i64>,
}

/// The times of a source.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct Scale {
    /// How many of its units a second has.
    pub per_second: i64,
    /// How late events may come, in seconds.
    pub lag: i64,
}

/// What a stream is called in the state file.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::source) struct StreamName {
    /// Where its events are from, and their kind.
    pub kind: String,
    /// What AWS chooses by, if it does.
    pub choice: Option<String>,
}

impl StreamName {
    fn key(&self) -> String {
        match &self.choice {
            Some(choice) => format!("{}, {choice}", self.kind),
            None => self.kind.clone(),
        }
    }

    /// Is the stream with this key of the same kind?
    fn is_kind_of(&self, key: &str) -> bool {
        let rest = key.strip_prefix(&self.kind);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(", "))
    }
}

impl Consumed {
    /// Nothing is, at the first start.
    pub fn nothing(start: Option<Timestamp>) -> Self {
        Self {
            start,
            ..Self::default()
        }
    }

    /// Of streams that are not read, and have not been for months, such as those of log groups that are gone, only where they
    /// go on is kept: should one come back, what came in the last hours before it went may come twice.
    fn forget_absent(&mut self, read: &[String]) {
        let reached = self.streams.values().map(|stream| stream.from).max();
        let long_ago = reached.unwrap_or_default() - ABSENT;
        for (key, stream) in &mut self.streams {
            if stream.from < long_ago && !read.contains(key) {
                stream.seen = HashMap::new();
            }
        }
    }

    /// The interval with the start that counts.
    pub fn interval(&self, asked: Interval) -> Interval {
        Interval {
            start: self.start,
            ..asked
        }
    }

    /// The time of the last consumed event, of all.
    pub fn reached(&self) -> Option<Timestamp> {
        let streams = self.streams.values();
        let times = streams.flat_map(|stream| stream.seen.values().copied());
        Timestamp::from_second(times.max()?).ok()
    }

    /// Where a stream goes on, not before `start`. With another filter AWS chooses by something else: what was consumed of
    /// the same kind of events stays consumed.
    pub fn stream(&self, name: &StreamName, start: i64) -> Stream {
        let streams: Vec<&Stream> = match self.streams.get(&name.key()) {
            Some(stream) => vec![stream],
            None => {
                let mut streams: Vec<_> = self.streams.iter().collect();
                streams.retain(|(key, _)| name.is_kind_of(key));
                streams.into_iter().map(|(_, stream)| stream).collect()
            }
        };
        let from = streams.iter().map(|stream| stream.from).min();
        let seen = streams.iter().flat_map(|stream| stream.seen.clone());
        Stream {
            from: from.unwrap_or(start).max(start),
            seen: seen.collect(),
        }
    }
}

/// Waits for events to be consumed.
pub(in crate::source) struct Acks {
    state: State<Consumed>,
    scale: Scale,
    /// The keys of the streams.
    keys: Arc<[String]>,
    /// So many events of each are known at most.
    most: usize,
    /// The account of the state, and of the events; none until one was looked at.
    account: Option<String>,
    /// The account is that of all events, and has been looked at.
    is_checked: bool,
}

impl Acks {
    /// Of a capture of these streams. What the state tells of others of their kinds is theirs now, and forgotten.
    pub fn new(
        state: State<Consumed>,
        scale: Scale,
        account: Option<String>,
        streams: Vec<(StreamName, Stream)>,
    ) -> Self {
        let keys: Arc<[String]> = streams.iter().map(|(name, _)| name.key()).collect();
        let most = share(keys.len());
        state.change(|consumed| {
            for (name, _) in &streams {
                consumed.streams.retain(|key, _| !name.is_kind_of(key));
            }
            let streams = streams.into_iter().map(|(_, stream)| stream);
            consumed.streams.extend(keys.iter().cloned().zip(streams));
            consumed.forget_absent(&keys);
            true
        });
        Self {
            state,
            scale,
            keys,
            most,
            account,
            is_checked: false,
        }
    }

    /// The account is known already, and those of the events say nothing of it.
    pub fn of_known_account(self) -> Self {
        let account = self.account.clone();
        self.state.change(|consumed| {
            consumed.account = account;
            true
        });
        Self {
            is_checked: true,
            ..self
        }
    }

    /// What is kept when the capture is closed.
    pub fn state(&self) -> &State<Consumed> {
        &self.state
    }

    /// Who waits for these events, each with the number of its stream.
    ///
    /// # Errors
    /// Where they are not of the account whose events the state file tells of.
    pub fn expect(&mut self, events: &[(usize, Event)]) -> Result<Ack> {
        if let Some((_, event)) = events.first()
            && !std::mem::replace(&mut self.is_checked, true)
        {
            self.check(event)?;
        }
        let events = events.iter();
        let second = |time: i64| time.div_euclid(self.scale.per_second);
        let events: Vec<_> = events
            .map(|(stream, event)| (*stream, event.id, second(event.time)))
            .collect();
        let (state, keys) = (self.state.clone(), Arc::clone(&self.keys));
        let (lag, most) = (self.scale.lag, self.most);
        // What can't be read now can't be read later: it is here already.
        Ok(Box::new(move |_| {
            state.change(|consumed| {
                // Those of one stream stand together more often than not.
                for events in events.chunk_by(|(one, ..), (other, ..)| one == other) {
                    let Some(key) = keys.get(events[0].0) else {
                        continue;
                    };
                    let stream = consumed.streams.entry(key.clone()).or_default();
                    stream.add(events.iter().map(|(_, id, time)| (*id, *time)), lag, most);
                }
                true
            });
        }))
    }

    fn check(&mut self, event: &Event) -> Result<()> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Recipient {
            recipient_account_id: String,
        }
        let Ok(Recipient {
            recipient_account_id: account,
        }) = serde_json::from_str(&event.json)
        else {
            return Ok(());
        };
        if let Some(of_state) = &self.account {
            ensure!(
                *of_state == account,
                "statePath: the file tells how far the event history of account {of_state} was read, but the credentials are \
                 of {account}: give each account a state file of its own"
            );
        }
        self.state.change(|consumed| {
            consumed.account = Some(account);
            true
        });
        Ok(())
    }
}

impl Stream {
    /// These are consumed. Of so many at most it is known by what stands for them.
    fn add(&mut self, events: impl Iterator<Item = (u64, i64)>, lag: i64, most: usize) {
        let from = self.from;
        for (id, time) in events {
            self.seen.insert(id, time);
            self.from = self.from.max(time - lag);
        }
        if self.from > from || self.seen.len() > most {
            self.forget(most);
        }
    }

    /// Forget what is before the place where it goes on, which comes later where there are too many.
    fn forget(&mut self, most: usize) {
        if self.seen.len() > most {
            let mut times: Vec<i64> = self.seen.values().copied().collect();
            let (_, middle, _) = times.select_nth_unstable(most / 2);
            self.from = self.from.max(*middle + 1);
        }
        self.seen.retain(|_, time| *time >= self.from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(from: i64) -> Stream {
        Stream {
            from,
            seen: HashMap::from([(1, from)]),
        }
    }

    #[test]
    fn of_streams_that_were_not_read_for_months_little_is_kept() {
        let now = 1_700_000_000;
        let [gone, quiet, lately] = [now - ABSENT - 1, now - ABSENT - 1, now - 60];
        let mut consumed = Consumed::nothing(None);
        for (key, from) in [
            ("gone", gone),
            ("quiet", quiet),
            ("lately", lately),
            ("read", now),
        ] {
            consumed.streams.insert(key.to_owned(), stream(from));
        }
        consumed.forget_absent(&["read".to_owned(), "quiet".to_owned()]);
        let expected = Stream {
            from: gone,
            seen: HashMap::new(),
        };
        assert_eq!(consumed.streams["gone"], expected);
        for (key, from) in [("quiet", quiet), ("lately", lately), ("read", now)] {
            assert_eq!(consumed.streams[key], stream(from), "{key}");
        }
    }

    #[test]
    fn of_many_streams_each_has_its_share() {
        let mut stream = Stream::default();
        let most = share(17);
        let events: Vec<_> = (0..2 * most as u64)
            .map(|id| (id, 1_000 + id as i64))
            .collect();
        for batch in events.chunks(100) {
            stream.add(batch.iter().copied(), 1_000_000, most);
        }
        assert!(stream.seen.len() <= most, "{}", stream.seen.len());
        assert!(most < share(1) && most >= 50_000);
    }
}
