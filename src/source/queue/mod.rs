//! Log files that the messages of an SQS queue name, and events that are messages themselves. Each is read at least once.
//!
//! A message is deleted after the host has consumed it, or every event of the log files that it names ([`in_flight`]).
//! Until then it is hidden from other consumers. If the capture ends before that, it becomes visible again.

mod in_flight;
mod message;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use anyhow::{Context, Error, Result};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;

use self::in_flight::{Due, InFlight, Pending};
use self::message::{Created, Event, Message, Notification};
use super::{Source, fetching};
use crate::aws::s3::page::Object;
use crate::aws::s3::{BucketClient, Use};
use crate::aws::sqs::{self, BATCH, Queue};
use crate::aws::{self, Environment, Login};
use crate::log_file::{Body, FileError, LogFile};
use crate::settings::location::QueueLocation;
use crate::settings::{self, Settings};
use crate::stats::Stats;
use crate::trail::{self, Selection};

/// The most receive requests at the same time, while the queue has more messages.
const RECEIVES: usize = 8;
/// How many requests to delete messages, or to extend their visibility, there are at the same time.
const OTHERS: usize = 8;
/// How many buckets' clients are kept.
const BUCKETS: usize = 100;
/// In so many regions buckets are looked for where messages say that they are. The SDK never forgets one that it was asked for,
/// and whoever writes messages may make up names.
const REGIONS: usize = 100;

/// The log files that a queue's messages name.
pub(super) struct QueueSource {
    queue: Arc<Queue>,
    in_flight: Arc<InFlight>,
    buckets: Buckets,
    wanted: Selection,
    stats: Arc<Stats>,
    /// Log files that are received and not yet handed on.
    ready: VecDeque<(Notification, Pending)>,
    receives: JoinSet<Result<Vec<sqs::Message>>>,
    /// How many receive requests there may be at the same time, which grows as long as the queue has messages.
    parallel: usize,
    /// Background tasks, which end only with an error.
    workers: JoinSet<Result<()>>,
    /// A message of unknown form was logged.
    named: bool,
    /// The beginning of such a message may be logged.
    quotes: bool,
}

/// Buckets that log files are in.
struct Buckets {
    clients: HashMap<String, Arc<BucketClient>>,
    /// Those that messages have told.
    regions: BTreeSet<String>,
    login: Arc<Login>,
    aws: settings::Aws,
    /// Where a bucket is, unless its message or S3 says otherwise.
    region: String,
    stats: Arc<Stats>,
}

/// Find the queue and what is in it now.
pub(super) async fn open(
    location: QueueLocation,
    wanted: Selection,
    settings: &Settings,
    environment: &Environment,
    stats: Arc<Stats>,
) -> Result<QueueSource> {
    let login = Arc::new(Login::load(&settings.aws, environment).await?);
    let queue = Queue::find(
        location,
        settings.sqs_owner_account.clone(),
        Arc::clone(&login),
        Arc::clone(&stats),
    )
    .await?;
    // Errors of receiving become errors of opening.
    let first = queue.look().await?;
    if !settings.sqs_delete {
        stats.warn(messages_stay(&queue));
    }
    let queue = Arc::new(queue);
    let in_flight = Arc::new(InFlight::new(
        queue.visibility,
        settings.sqs_delete,
        Arc::clone(&stats),
    ));
    let workers = workers(&queue, &in_flight, &stats);
    let mut source = QueueSource {
        buckets: Buckets {
            clients: HashMap::new(),
            regions: BTreeSet::new(),
            login,
            aws: settings.aws.clone(),
            region: queue.region.clone(),
            stats: Arc::clone(&stats),
        },
        queue,
        in_flight,
        wanted,
        stats,
        ready: VecDeque::new(),
        receives: JoinSet::new(),
        parallel: 1,
        workers,
        named: false,
        quotes: settings.redaction.is_empty(),
    };
    for message in &first {
        source.in_flight.hold(&message.id, &message.handle);
    }
    source.take(first);
    Ok(source)
}

/// What sqsDelete set to false means for the queue.
fn messages_stay(queue: &Queue) -> String {
    let receives = match queue.most_receives {
        Some(most) => {
            format!("its redrive policy takes a message away once it was received {most} times")
        }
        None => "each time counts for a redrive policy of the queue".to_owned(),
    };
    format!(
        "sqsDelete is false: messages of the queue {queue} stay in it, and come again after this capture; {receives}"
    )
}

/// Start the tasks that delete messages and extend their visibility.
fn workers(
    queue: &Arc<Queue>,
    in_flight: &Arc<InFlight>,
    stats: &Arc<Stats>,
) -> JoinSet<Result<()>> {
    let mut workers = JoinSet::new();
    for _ in 0..OTHERS {
        workers.spawn(delete(Arc::clone(queue), Arc::clone(in_flight)));
    }
    workers.spawn(extend(
        Arc::clone(queue),
        Arc::clone(in_flight),
        Arc::clone(stats),
    ));
    workers
}

impl Source for QueueSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>> {
        Box::pin(async {
            loop {
                self.ask();
                if let Some((notification, part)) = self.ready.pop_front() {
                    return Ok(Some(match notification {
                        Notification::Object(created) => self.log_file(created, part),
                        Notification::Event(id, event) => self.event(&id, event, part),
                    }));
                }
                tokio::select! {
                    Some(received) = self.receives.join_next() => {
                        let messages = received.unwrap_or_else(|dead| Err(internal(dead)))?;
                        self.take(messages);
                    }
                    Some(ended) = self.workers.join_next() => {
                        ended.unwrap_or_else(|dead| Err(internal(dead)))?;
                    }
                    // There may be room for a receive.
                    () = self.in_flight.settled() => {}
                }
            }
        })
    }

    fn closing(&self) -> BoxFuture<'static, ()> {
        let in_flight = Arc::clone(&self.in_flight);
        Box::pin(async move { in_flight.flush().await })
    }
}

impl QueueSource {
    /// Receive more messages if they are needed: just enough that the host does not have to wait.
    fn ask(&mut self) {
        let room = self.in_flight.room();
        loop {
            let coming = self.receives.len() * BATCH;
            if self.receives.len() >= self.parallel
                || self.ready.len() + coming >= self.parallel * BATCH
                || coming + BATCH > room
            {
                return;
            }
            let queue = Arc::clone(&self.queue);
            let in_flight = Arc::clone(&self.in_flight);
            self.receives.spawn(async move {
                let messages = queue.receive().await?;
                for message in &messages {
                    in_flight.hold(&message.id, &message.handle);
                }
                Ok(messages)
            });
        }
    }

    /// Take over what was received.
    fn take(&mut self, messages: Vec<sqs::Message>) {
        self.parallel = match messages.len() {
            0 => 1,
            BATCH.. => (self.parallel * 2).min(RECEIVES),
            _ => self.parallel.div_ceil(2),
        };
        self.stats.messages_received.add(messages.len() as u64);
        for message in messages {
            let sqs::Message { id, body, .. } = message;
            let files = match message::parse(&body) {
                Message::Created(created) => created
                    .into_iter()
                    .filter(|file| self.wants(file))
                    .map(Notification::Object)
                    .collect(),
                Message::Event(event) => {
                    let wanted = self.wants_event(&event);
                    let event = wanted.then(|| Notification::Event(id.clone(), event));
                    event.into_iter().collect()
                }
                Message::Nothing => {
                    self.stats.messages_passed_over.add(1);
                    Vec::new()
                }
                Message::Unknown(why) => {
                    self.in_flight.let_go(&id);
                    self.unknown(&id, why, &body);
                    continue;
                }
            };
            self.ready.extend(self.in_flight.take(&id, files));
        }
    }

    /// Is this a selected log file? If not, it is counted.
    fn wants(&self, file: &Created) -> bool {
        if !trail::is_log_file(&file.key) {
            self.stats.passed_over.add(1);
            return false;
        }
        let wanted = self.wanted.takes_time(&file.key, delivered(file))
            && self.wanted.takes_place(&file.key);
        self.stats.filtered.add(u64::from(!wanted));
        wanted
    }

    /// Is this a selected event? Its time of delivery is not known, so its own time is used.
    fn wants_event(&self, event: &Event) -> bool {
        let Selection {
            interval,
            accounts,
            regions,
            ..
        } = &self.wanted;
        let wanted = event.time.is_none_or(|time| interval.contains(time))
            && accounts.contain(event.account.as_deref())
            && regions.contain(event.region.as_deref());
        self.stats.filtered.add(u64::from(!wanted));
        wanted
    }

    /// Leave a message to the queue's redrive policy.
    fn unknown(&mut self, id: &str, why: &str, body: &str) {
        self.stats.messages_unknown.add(1);
        if !self.named {
            self.named = true;
            let start: String = body.chars().take(100).collect();
            // It may be a record with values that are to be redacted.
            let begins = match self.quotes {
                true => format!("; it begins with {start:?}"),
                false => String::new(),
            };
            self.stats.warn(format!(
                "the message {id} of the queue {} is left there: {why}{begins}. \
                 Others that can't be understood are only counted",
                self.queue
            ));
        }
    }

    fn log_file(&mut self, created: Created, part: Pending) -> LogFile {
        self.stats.files_listed.add(1);
        let client = self.buckets.client(&created);
        let delivered = delivered(&created);
        let object = Object {
            key: created.key,
            size: created.size,
            ..Object::default()
        };
        LogFile {
            name: format!("s3://{}/{}", created.bucket, object.key),
            size: object.size,
            delivered,
            cached: None,
            fetch: fetching(client, object, None, meaning),
            ack: Some(Box::new(move |fate| part.end(fate))),
            proof: None,
        }
    }
}

impl QueueSource {
    /// A message that is an event goes the way of a log file.
    fn event(&mut self, id: &str, event: Event, part: Pending) -> LogFile {
        self.stats.files_listed.add(1);
        LogFile {
            name: format!("the message {id} of the queue {}", self.queue),
            size: event.record.len() as u64,
            delivered: event.time,
            cached: None,
            fetch: Box::new(move |_, _| {
                Box::pin(std::future::ready(Ok(Body::Bytes(event.record))))
            }),
            ack: Some(Box::new(move |fate| part.end(fate))),
            proof: None,
        }
    }
}

impl Buckets {
    /// A bucket's client.
    fn client(&mut self, file: &Created) -> Arc<BucketClient> {
        if let Some(client) = self.clients.get(&file.bucket) {
            return Arc::clone(client);
        }
        if self.clients.len() >= BUCKETS {
            self.clients.clear();
        }
        let told = file.region.as_ref().filter(|region| {
            self.regions.contains(*region)
                || self.regions.len() < REGIONS && self.regions.insert((*region).clone())
        });
        // S3 says where it is if it is elsewhere.
        let region = told.unwrap_or(&self.region);
        let client = Arc::new(BucketClient::new(
            &self.login,
            &file.bucket,
            Some(region),
            &self.aws,
            Use::Queued,
            &self.stats,
        ));
        self.clients
            .insert(file.bucket.clone(), Arc::clone(&client));
        client
    }
}

/// A problem with one bucket only concerns that message, which stays in the queue. It never ends the capture.
fn meaning(error: aws::Error) -> FileError {
    FileError::ThisFile(error.into())
}

/// When a log file was delivered: the time in its name, or else that of the message.
fn delivered(file: &Created) -> Option<jiff::Timestamp> {
    trail::delivery_time(&file.key).or(file.time)
}

/// Delete messages as they are settled.
async fn delete(queue: Arc<Queue>, in_flight: Arc<InFlight>) -> Result<()> {
    loop {
        let handles = in_flight.deletions().await;
        let count = handles.len();
        queue
            .delete(handles)
            .await
            .context("messages can't be deleted; sqsDelete set to false leaves them")?;
        in_flight.deleted(count);
    }
}

/// Keep messages in flight hidden from other consumers.
async fn extend(queue: Arc<Queue>, in_flight: Arc<InFlight>, stats: Arc<Stats>) -> Result<()> {
    let mut warned = false;
    loop {
        sleep(in_flight.visibility / 8).await;
        let requests = batches(in_flight.due()).map(|due| extend_batch(&queue, &in_flight, due));
        let mut answers = stream::iter(requests).buffer_unordered(OTHERS);
        while let Some(answer) = answers.next().await {
            // The messages are due again soon. At worst, other consumers receive them, too.
            if let Err(error) = answer
                && !warned
            {
                warned = true;
                stats.warn(format!("{error:#}; others may receive them as well"));
            }
        }
    }
}

/// As many at a time as one request takes.
fn batches(due: Vec<Due>) -> impl Iterator<Item = Vec<Due>> {
    let mut due = due.into_iter();
    std::iter::from_fn(move || {
        let batch: Vec<Due> = due.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    })
}

/// Extend the visibility of some messages, and note for each of them whether that was possible.
async fn extend_batch(queue: &Queue, in_flight: &InFlight, due: Vec<Due>) -> Result<()> {
    let extensions: Vec<_> = due.iter().map(|due| &due.extension).collect();
    let failed = queue.extend(&extensions).await?;
    for (index, due) in due.iter().enumerate() {
        in_flight.extended(due, !failed.contains(&index));
    }
    Ok(())
}

/// See [`crate::fuzz`].
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz_message(body: &str) {
    let parsed = message::parse(body);
    let envelope = serde_json::json!({"Type": "Notification", "Message": body}).to_string();
    // SNS puts no envelope into an envelope.
    let wrapped = message::parse(&envelope);
    assert!(wrapped == parsed || matches!(wrapped, Message::Unknown(_)));
}

/// A worker that panicked.
fn internal(dead: JoinError) -> Error {
    Error::new(dead).context("internal error: the queue's requests ended")
}
