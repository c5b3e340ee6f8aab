//! What the host has consumed of an event history that is followed, as a state file keeps it.
//!
//! Each stream, a lookup in one region, is read in the order of time, but for events that come late. So it goes on
//! [`LONG_LAG`] before its last consumed event, and the events consumed since then are known by their IDs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::reader::LONG_LAG;
use crate::aws::cloudtrail::{Category, Event, Lookup};
use crate::log_file::Ack;
use crate::state::{self, State};
use crate::trail::Interval;

/// What is consumed. Times are in seconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Consumed {
    /// Where `s3Interval` began at the first start.
    start: Option<Timestamp>,
    /// Whose events they are, once one was seen.
    account: Option<String>,
    streams: BTreeMap<String, Stream>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Stream {
    /// When the last consumed event happened.
    reached: i64,
    /// Hashes of the IDs of consumed events, and when they happened: since `LONG_LAG` before.
    #[serde(with = "state::packed")]
    seen: HashMap<u64, i64>,
}

/// Where a stream goes on.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Resumed {
    /// None where nothing of it was consumed.
    pub from: Option<i64>,
    /// Which events are consumed already, and when they happened.
    pub seen: HashMap<u64, i64>,
}

/// What stands for an event.
pub(super) fn identity(event: &Event) -> u64 {
    // Few have no ID.
    state::hash(match event.id.is_empty() {
        true => &event.json,
        false => &event.id,
    })
}

/// What a stream is called in the state file: its region and kind, and what AWS chooses by.
fn names(region: &str, lookup: &Lookup) -> (String, String) {
    let kind = match &lookup.category {
        Category::Management => format!("{region} management"),
        Category::Insights => format!("{region} insights"),
        Category::InsightsOfTrail(trail) => format!("{region} insights of {trail}"),
    };
    let name = match &lookup.attribute {
        Some((attribute, value)) => format!("{kind}, {} {value}", attribute.name()),
        None => kind.clone(),
    };
    (kind, name)
}

impl Consumed {
    /// Nothing is, at the first start.
    pub fn nothing(start: Option<Timestamp>) -> Self {
        Self {
            start,
            ..Self::default()
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
        let reached = self.streams.values().map(|stream| stream.reached).max()?;
        Timestamp::from_second(reached).ok()
    }

    /// Where a stream goes on. With another filter AWS chooses by something else: what was consumed of the same kind of
    /// events stays consumed.
    pub fn resume(&self, region: &str, lookup: &Lookup) -> Resumed {
        let (kind, name) = names(region, lookup);
        let alike = format!("{kind}, ");
        let of_kind = || {
            let streams = self.streams.iter();
            streams.filter(|(name, _)| **name == kind || name.starts_with(&alike))
        };
        let streams: Vec<&Stream> = match self.streams.get(&name) {
            Some(stream) => vec![stream],
            None => of_kind().map(|(_, stream)| stream).collect(),
        };
        let reached = streams.iter().map(|stream| stream.reached).min();
        Resumed {
            from: reached.map(|reached| reached - LONG_LAG),
            seen: streams
                .iter()
                .flat_map(|stream| stream.seen.clone())
                .collect(),
        }
    }
}

/// Waits for events to be consumed.
pub(super) struct Acks {
    state: State<Consumed>,
    /// The names of the streams.
    names: Arc<[String]>,
    /// The account of the state, and of the events; none until one was looked at.
    account: Option<String>,
    is_checked: bool,
}

impl Acks {
    pub fn new<'a>(
        state: State<Consumed>,
        consumed: &Consumed,
        streams: impl Iterator<Item = (&'a str, &'a Lookup)>,
    ) -> Self {
        Self {
            state,
            names: streams
                .map(|(region, lookup)| names(region, lookup).1)
                .collect(),
            account: consumed.account.clone(),
            is_checked: false,
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
        let events: Vec<_> = events
            .map(|(stream, event)| (*stream, identity(event), event.time))
            .collect();
        let (state, names) = (self.state.clone(), Arc::clone(&self.names));
        // What can't be read now can't be read later: it is here already.
        Ok(Box::new(move |_| {
            state.change(|consumed| {
                for (stream, id, time) in events {
                    let Some(name) = names.get(stream) else {
                        continue;
                    };
                    let stream = consumed.streams.entry(name.clone()).or_default();
                    stream.seen.insert(id, time);
                    stream.reached = stream.reached.max(time);
                }
                for stream in consumed.streams.values_mut() {
                    let since = stream.reached - LONG_LAG;
                    stream.seen.retain(|_, time| *time >= since);
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
