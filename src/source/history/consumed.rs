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
use crate::aws::cloudtrail::{Category, Event, EventHistory, Lookup};
use crate::log_file::Ack;
use crate::state::{self, State};
use crate::trail::Interval;

/// What is consumed. Times are in seconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Consumed {
    /// Where `s3Interval` began at the first start.
    start: Option<Timestamp>,
    /// Whose events they are, once one was seen.
    pub account: Option<String>,
    /// By name.
    streams: BTreeMap<String, Stream>,
}

/// A lookup in one region.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Stream {
    /// Where it goes on: at the start, or `LONG_LAG` before its last consumed event.
    pub from: i64,
    /// Hashes of the IDs of the events consumed since then, and when they happened.
    #[serde(with = "state::packed")]
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

/// A region and a kind of events in it.
fn kind(region: &str, lookup: &Lookup) -> String {
    match &lookup.category {
        Category::Management => format!("{region} management"),
        Category::Insights => format!("{region} insights"),
        Category::InsightsOfTrail(trail) => format!("{region} insights of {trail}"),
    }
}

/// What a stream is called in the state file: its region and kind, and what AWS chooses by.
fn name(region: &str, lookup: &Lookup) -> String {
    let kind = kind(region, lookup);
    match &lookup.attribute {
        Some((attribute, value)) => format!("{kind}, {} {value}", attribute.name()),
        None => kind,
    }
}

/// Is the stream of this name one of this region and kind?
fn is_of(name: &str, kind: &str) -> bool {
    let rest = name.strip_prefix(kind);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(", "))
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
        let streams = self.streams.values();
        let begun = streams.filter(|stream| !stream.seen.is_empty());
        let from = begun.map(|stream| stream.from).max()?;
        Timestamp::from_second(from + LONG_LAG).ok()
    }

    /// Where a stream goes on, not before `start`. With another filter AWS chooses by something else: what was consumed of
    /// the same kind of events stays consumed.
    pub fn stream(&self, region: &str, lookup: &Lookup, start: i64) -> Stream {
        let streams: Vec<&Stream> = match self.streams.get(&name(region, lookup)) {
            Some(stream) => vec![stream],
            None => {
                let kind = kind(region, lookup);
                let streams = self.streams.iter().filter(|(name, _)| is_of(name, &kind));
                streams.map(|(_, stream)| stream).collect()
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
pub(super) struct Acks {
    state: State<Consumed>,
    /// The names of the streams.
    names: Arc<[String]>,
    /// The account of the state, and of the events; none until one was looked at.
    account: Option<String>,
    is_checked: bool,
}

impl Acks {
    /// Of a capture of these streams. What the state tells of others of their kinds is theirs now, and forgotten.
    pub fn new(
        state: State<Consumed>,
        account: Option<String>,
        streams: Vec<(Arc<EventHistory>, Arc<Lookup>, Stream)>,
    ) -> Self {
        let names = streams.iter();
        let names = names.map(|(region, lookup, _)| name(&region.name, lookup));
        let names: Arc<[String]> = names.collect();
        state.change(|consumed| {
            for (region, lookup, _) in &streams {
                let kind = kind(&region.name, lookup);
                consumed.streams.retain(|name, _| !is_of(name, &kind));
            }
            let streams = streams.into_iter().map(|(_, _, stream)| stream);
            consumed.streams.extend(names.iter().cloned().zip(streams));
            true
        });
        Self {
            state,
            names,
            account,
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
                    stream.from = stream.from.max(time - LONG_LAG);
                }
                for stream in consumed.streams.values_mut() {
                    stream.seen.retain(|_, time| *time >= stream.from);
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
