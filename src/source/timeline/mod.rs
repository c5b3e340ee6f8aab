//! Events that a service hands out one by one, not in log files. Several readers read them side by side; here they are merged
//! in the order of time, and go on as the text of log files.

pub(super) mod consumed;
mod seen;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Error, Result};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::consumed::Acks;
pub(super) use self::seen::{MOST, Seen, share};
use super::Source;
use crate::log_file::{Body, LogFile};
use crate::stats::Stats;

/// How long the others wait for a reader that is behind, where they are followed.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is handed on as one log file, at most: events and bytes.
const EVENTS: usize = 1_000;
const BYTES: usize = 1 << 20;

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    /// When it happened or came, in the timeline's unit since the epoch.
    pub time: i64,
    /// What stands for it, of all that its reader gives.
    pub id: u64,
    /// The record, as in a log file.
    pub json: String,
}

/// What a reader is to read; times in the timeline's unit since the epoch, both included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub from: i64,
    pub to: i64,
    pub newest_first: bool,
    /// How to go on afterwards.
    pub follow: Option<Follow>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Follow {
    /// The time between two looks.
    pub interval: Duration,
    /// Up to this time.
    pub end: Option<i64>,
    /// When the look before the first began.
    pub looked: i64,
}

/// The next events of a reader, and up to where they are complete.
#[derive(Debug)]
pub(super) struct Batch {
    pub events: Vec<Event>,
    /// Up to this place, in the order in use, no more events come, except late ones.
    pub until: i64,
}

/// The place of an event in the order in use.
pub(super) fn place(time: i64, newest_first: bool) -> i64 {
    if newest_first { -time } else { time }
}

/// The events of some readers, in order.
pub(super) struct Timeline {
    /// What errors and logs call it, such as `cloudtrail://us-east-1`.
    name: String,
    /// How many units of time a second has.
    per_second: i64,
    readers: Vec<Reader>,
    /// Events that are next, in order, with the number of their reader.
    next: VecDeque<(usize, Event)>,
    newest_first: bool,
    /// The interval, where its end is known.
    span: Option<(i64, i64)>,
    /// None without a state file.
    acks: Option<Acks>,
    /// What is still to be done at a close, beside acks.
    close: Option<Close>,
    stats: Arc<Stats>,
}

/// Makes what is done when a capture is closed.
pub(super) type Close = Box<dyn Fn() -> BoxFuture<'static, ()> + Send>;

/// What a reader gives.
pub(super) struct Reader {
    batches: mpsc::Receiver<Batch>,
    /// None once it has ended.
    task: Option<JoinHandle<Result<()>>>,
    /// Events that are here, in order.
    ready: VecDeque<Event>,
    /// See [`Batch::until`].
    until: i64,
}

impl Reader {
    /// Begin to read. `read` gives its batches to the sender, which is closed when the capture is.
    pub fn start<F>(read: impl FnOnce(mpsc::Sender<Batch>) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        // A reader is one batch ahead.
        let (sender, batches) = mpsc::channel(1);
        Self {
            batches,
            task: Some(tokio::spawn(read(sender))),
            ready: VecDeque::new(),
            until: i64::MIN,
        }
    }
}

impl Timeline {
    pub fn new(name: String, per_second: i64, readers: Vec<Reader>, stats: Arc<Stats>) -> Self {
        Self {
            name,
            per_second,
            readers,
            next: VecDeque::new(),
            newest_first: false,
            span: None,
            acks: None,
            close: None,
            stats,
        }
    }

    /// All is between these times, and comes in this order.
    pub fn within(mut self, from: i64, to: i64, newest_first: bool) -> Self {
        let seconds = |time: i64| u64::try_from(time / self.per_second).unwrap_or(0);
        self.stats.from.raise(seconds(from));
        self.stats.to.raise(seconds(to));
        self.stats
            .newest_first
            .store(newest_first, std::sync::atomic::Ordering::Relaxed);
        self.newest_first = newest_first;
        self.span = Some((from, to));
        self
    }

    /// A state file waits for the events to be consumed.
    pub fn with_acks(self, acks: Option<Acks>) -> Self {
        Self { acks, ..self }
    }

    /// Something is to be done at a close.
    pub fn with_close(self, close: Close) -> Self {
        Self {
            close: Some(close),
            ..self
        }
    }

    /// Take the next events: all of them up to a place that every reader has reached.
    fn merge(&mut self, until: i64) {
        let newest_first = self.newest_first;
        let place = |event: &Event| place(event.time, newest_first);
        for (number, reader) in self.readers.iter_mut().enumerate() {
            let reached = reader.ready.partition_point(|event| place(event) <= until);
            let events = reader.ready.drain(..reached);
            self.next.extend(events.map(|event| (number, event)));
        }
        self.next
            .make_contiguous()
            .sort_by_key(|(_, event)| place(event));
        let Some((from, to)) = self.span else {
            return;
        };
        let reached = match until {
            i64::MIN => return,
            i64::MAX => to,
            until if newest_first => from + to + until,
            until => until,
        };
        self.stats
            .reached
            .raise(u64::try_from(reached / self.per_second).unwrap_or(0));
    }

    /// Wait for one of the readers that the others wait for. False at the end.
    async fn receive(&mut self, until: i64) -> Result<bool> {
        let received = poll_fn(|context| poll_received(&mut self.readers, until, context));
        let received = match self.span {
            Some(_) => Ok(received.await),
            None => timeout(PATIENCE, received).await,
        };
        let Ok(received) = received else {
            // One that has trouble keeps nobody back. What it has comes when it comes.
            for reader in &mut self.readers {
                reader.until = i64::MAX;
            }
            return Ok(true);
        };
        let Some((index, batch)) = received else {
            return Ok(false);
        };
        let reader = &mut self.readers[index];
        match batch {
            Some(batch) => {
                reader.ready.extend(batch.events);
                reader.until = batch.until;
            }
            // The task's result says why.
            None => {
                if let Some(task) = reader.task.take() {
                    task.await.map_err(|dead| {
                        Error::new(dead).context(format!(
                            "internal error: the requests of {} ended",
                            self.name
                        ))
                    })??;
                }
                reader.until = i64::MAX;
            }
        }
        Ok(true)
    }

    /// Some of the events that are next, as a log file.
    fn log_file(&mut self) -> Result<Option<LogFile>> {
        let Some((_, first)) = self.next.front() else {
            return Ok(None);
        };
        let first = first.time;
        let mut last = first;
        let mut events = Vec::new();
        let mut text = b"{\"Records\":[".to_vec();
        for n in 0..EVENTS {
            if text.len() >= BYTES {
                break;
            }
            let Some((reader, event)) = self.next.pop_front() else {
                break;
            };
            if n > 0 {
                text.push(b',');
            }
            text.extend_from_slice(event.json.as_bytes());
            last = event.time;
            if self.acks.is_some() {
                events.push((reader, event));
            }
        }
        let ack = match &mut self.acks {
            Some(acks) => Some(acks.expect(&events)?),
            None => None,
        };
        text.extend_from_slice(b"]}");
        self.stats.files_listed.add(1);
        let time = |time: i64| Timestamp::from_second(time.div_euclid(self.per_second)).ok();
        Ok(Some(LogFile {
            name: match time(first) {
                Some(first) => format!("{} from {first} on", self.name),
                None => self.name.clone(),
            },
            size: text.len() as u64,
            // It tells the progress, too.
            delivered: time(last).filter(|_| !self.newest_first),
            cached: None,
            fetch: Box::new(move |_, _| Box::pin(std::future::ready(Ok(Body::Bytes(text))))),
            ack,
            proof: None,
        }))
    }
}

impl Source for Timeline {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>> {
        Box::pin(async {
            loop {
                if let Some(file) = self.log_file()? {
                    return Ok(Some(file));
                }
                let until = self.readers.iter().map(|reader| reader.until).min();
                let until = until.unwrap_or(i64::MAX);
                self.merge(until);
                if self.next.is_empty() && !self.receive(until).await? {
                    return Ok(None);
                }
            }
        })
    }

    fn newest_first(&self) -> bool {
        self.newest_first
    }

    fn closing(&self) -> BoxFuture<'static, ()> {
        let acks = self.acks.as_ref().map(|acks| acks.state().closing());
        let close = self.close.as_ref().map(|close| close());
        Box::pin(async {
            for closing in [acks, close].into_iter().flatten() {
                closing.await;
            }
        })
    }
}

/// What one of the readers that have not passed `until` has received, with its index: a batch, or none at its end. None if
/// there is no such reader.
fn poll_received(
    readers: &mut [Reader],
    until: i64,
    context: &mut Context<'_>,
) -> Poll<Option<(usize, Option<Batch>)>> {
    let mut waits = false;
    for (index, reader) in readers.iter_mut().enumerate() {
        if reader.task.is_none() || reader.until > until {
            continue;
        }
        waits = true;
        if let Poll::Ready(batch) = reader.batches.poll_recv(context) {
            return Poll::Ready(Some((index, batch)));
        }
    }
    match waits {
        true => Poll::Pending,
        false => Poll::Ready(None),
    }
}
