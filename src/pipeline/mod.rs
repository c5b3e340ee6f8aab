//! Fetches and decodes log files ahead of the host, many at a time, in bounded memory, and keeps their order.
//!
//! ```text
//! source ─▶ feed: fetches at most `concurrency` at once ─▶ decoders: take turns, within a budget ─▶ host
//! ```
//!
//! ```text
//!   source names     1 ─ 2 ─ 3 ─ 4 ─▶
//!   feed             │   │   └ fetching, in room of the budget that was taken in order
//!   decoder's turn   │   └ fetched: taken only after 1 was, and given to the host as begun
//!   host             └ decoding: its steps come through a channel of its own
//! ```
//!
//! Everything that waits, waits in order, so the file that the host needs next never waits for a later one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::budget::{Budget, Room};
use crate::decode::redact::Redaction;
use crate::decode::{ArchiveEntry, Buffers, Chunk, Decode, Decoded, Hashing, Outcome};
use crate::filter::Filter;
use crate::log_file::{Ack, Body, Content, FileError, LARGEST_WHOLE, LogFile, Proof};
use crate::process;
use crate::process::lock;
use crate::process::platform;
use crate::source::Source;
use crate::trail::Selection;

/// Bytes of inflated log files held ahead of the host, about.
const DECODED: usize = 16 << 20;
/// Bytes of log files held as stored, waiting to be decoded, about.
const FETCHED: usize = 16 << 20;

/// How long a source may take to end, at most, where it still has something to do: messages that are consumed are
/// deleted. No host sets a limit (Falco, sysdig), or none is kept, since it is killed (falcodump, Stratoshark).
const CLOSING: Duration = Duration::from_millis(500);

/// How to run.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Log files fetched at the same time.
    pub concurrency: usize,
    pub include_insights: bool,
    /// Of events, and of the log files of archives.
    pub selection: Arc<Selection>,
    /// Which events are kept.
    pub filter: Filter,
    /// Values to replace.
    pub redaction: Arc<Redaction>,
}

/// A running pipeline; dropped, all its work ends.
pub(crate) struct Pipeline {
    files: mpsc::Receiver<Item>,
    /// What decoders may hold.
    budget: Budget,
    /// What the source still has to do at the end.
    closing: Option<BoxFuture<'static, ()>>,
    /// Always there, but for the drop that has to consume it.
    runtime: Option<Runtime>,
}

/// What the host receives, in order.
enum Item {
    File(DecodedFile),
    /// The source has no more.
    End,
    /// The source failed for good.
    Failed(anyhow::Error),
}

/// What came next.
pub(crate) enum Next<T> {
    Item(T),
    /// Nothing yet; ask again.
    Wait,
    End,
}

/// A log file as it is being decoded.
pub(crate) struct DecodedFile {
    pub name: String,
    /// When it was delivered.
    pub delivered: Option<Timestamp>,
    /// See [`LogFile::ack`].
    pub ack: Option<Ack>,
    steps: mpsc::Receiver<Step>,
    /// Its room of the budget, given back when the host is through with it.
    _room: Room,
}

/// What a log file consists of: chunks, then what became of it; the error is about this file alone. An archive's log
/// files each have theirs.
pub(crate) enum Step {
    Chunk(Chunk),
    Entry(ArchiveEntry),
    Done(Result<Outcome, FileError>),
}

/// The runtime of one capture. Its threads keep SIGPIPE from the host.
pub(crate) fn start_runtime() -> Result<Runtime> {
    runtime::Builder::new_multi_thread()
        .worker_threads(cores().min(4))
        .thread_name("cloudtrail")
        .on_thread_start(platform::block_sigpipe)
        .enable_all()
        .build()
        .context("starting threads")
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, |n| n.get().max(2))
}

impl Pipeline {
    /// Start to work on what `source` names.
    pub fn start(runtime: Runtime, source: Box<dyn Source>, limits: Limits) -> Self {
        // The budget limits what is decoded ahead. The limit of this channel only matters for tiny files.
        let (items, files) = mpsc::channel(1024);
        let (fetches, fetched) = mpsc::channel(limits.concurrency);
        let budget = Budget::new(DECODED);
        let closing = Some(source.closing());
        let turn = Arc::new(Mutex::new(Turn {
            feed: Some(runtime.spawn(feed(source, limits, fetches))),
            fetched,
            budget: budget.clone(),
            items,
        }));
        for _ in 0..cores() {
            let (turn, handle) = (Arc::clone(&turn), runtime.handle().clone());
            runtime.spawn_blocking(move || {
                loop {
                    let mut mine = handle.block_on(Arc::clone(&turn).lock_owned());
                    let Some(job) = handle.block_on(mine.next()) else {
                        return;
                    };
                    // If the host is behind, only one decoder works, and the host has the other cores.
                    let alone = mine.is_ahead().then_some(mine);
                    job.run(&handle);
                    drop(alone);
                }
            });
        }
        Self {
            files,
            budget,
            closing,
            runtime: Some(runtime),
        }
    }

    /// The next log file, waited for so long.
    pub fn next_file(&mut self, wait: Duration) -> Result<Next<DecodedFile>> {
        match receive(self.runtime.as_ref(), &mut self.files, wait) {
            Received::Some(Item::File(file)) => Ok(Next::Item(file)),
            Received::Some(Item::End) => Ok(Next::End),
            Received::Some(Item::Failed(error)) => Err(error),
            Received::Nothing => Ok(Next::Wait),
            // Never an end of file: a worker that died is an error.
            Received::Closed => Err(anyhow!("internal error: the reading of log files stopped")),
        }
    }

    /// The next part of a log file, waited for so long. Nothing comes after [`Step::Done`].
    pub fn next_step(&self, file: &mut DecodedFile, wait: Duration) -> Option<Step> {
        match receive(self.runtime.as_ref(), &mut file.steps, wait) {
            Received::Some(part) => Some(part),
            Received::Nothing => None,
            Received::Closed => Some(Step::Done(Err(anyhow!(
                "internal error: its decoding stopped"
            )
            .into()))),
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // The host's own call, which must not panic.
        _ = process::guard("closing", || {
            self.close();
            Ok(())
        });
    }
}

impl Pipeline {
    /// End all work.
    pub fn close(&mut self) {
        if let (Some(runtime), Some(closing)) = (&self.runtime, self.closing.take()) {
            // On a thread of ours: the host's may be ended by a SIGPIPE.
            let closing = runtime.spawn(async move { timeout(CLOSING, closing).await });
            _ = runtime.block_on(closing);
        }
        // Decoders that wait to hand something over, or to begin, see that nobody wants it.
        self.files.close();
        self.budget.close();
        while self.files.try_recv().is_ok() {}
        if let Some(runtime) = self.runtime.take() {
            // Tasks end at once, threads as soon as they can: one in a lookup of a name that hangs is left behind.
            runtime.shutdown_timeout(Duration::from_millis(40));
        }
    }
}

enum Received<T> {
    Some(T),
    Nothing,
    Closed,
}

fn receive<T>(
    runtime: Option<&Runtime>,
    channel: &mut mpsc::Receiver<T>,
    wait: Duration,
) -> Received<T> {
    match channel.try_recv() {
        Ok(item) => return Received::Some(item),
        Err(mpsc::error::TryRecvError::Disconnected) => return Received::Closed,
        Err(mpsc::error::TryRecvError::Empty) => {}
    }
    let Some(runtime) = runtime.filter(|_| !wait.is_zero()) else {
        return Received::Nothing;
    };
    match runtime.block_on(async { timeout(wait, channel.recv()).await }) {
        Ok(Some(item)) => Received::Some(item),
        Ok(None) => Received::Closed,
        Err(_) => Received::Nothing,
    }
}

/// A fetched log file: its body, and its room in the budget for stored bytes.
struct Fetching {
    name: String,
    ack: Option<Ack>,
    proof: Option<Box<dyn Proof>>,
    decode: Decode,
    body: JoinHandle<(Result<Body, FileError>, Room)>,
}

/// Take log files from the source and fetch them.
async fn feed(
    mut source: Box<dyn Source>,
    limits: Limits,
    fetches: mpsc::Sender<Fetching>,
) -> Result<()> {
    let requests = Arc::new(Semaphore::new(limits.concurrency));
    let held = Budget::new(FETCHED);
    let (stored, inflated) = (Buffers::default(), Buffers::default());
    let newest_first = source.newest_first();
    while let Some(LogFile {
        name,
        size,
        delivered,
        fetch,
        ack,
        proof,
    }) = source.next().await?
    {
        let room = held.take(size).await?;
        let request = Arc::clone(&requests).acquire_owned().await?;
        let body = tokio::spawn(async move {
            let body = fetch(room.clone()).await;
            drop(request);
            (body, room)
        });
        let decode = Decode {
            stored: stored.clone(),
            inflated: inflated.clone(),
            delivered,
            include_insights: limits.include_insights,
            newest_first,
            selection: Arc::clone(&limits.selection),
            filter: limits.filter.clone(),
            redaction: Arc::clone(&limits.redaction),
            ..Decode::default()
        };
        let fetching = Fetching {
            name,
            ack,
            proof,
            decode,
            body,
        };
        if fetches.send(fetching).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// What the decoders take turns at: the next log file.
struct Turn {
    /// None once the end was handed over.
    feed: Option<JoinHandle<Result<()>>>,
    fetched: mpsc::Receiver<Fetching>,
    budget: Budget,
    items: mpsc::Sender<Item>,
}

/// A log file to decode. The host has received its beginning.
struct Job {
    decode: Decode,
    body: Result<Body, FileError>,
    /// Its room in the budget for stored bytes.
    room: Option<Room>,
    steps: mpsc::Sender<Step>,
    proof: Option<Box<dyn Proof>>,
}

impl Turn {
    /// Is most of the budget used?
    fn is_ahead(&self) -> bool {
        self.budget.is_scarce()
    }

    /// The next log file, once it is fetched and the budget has room for it. None at the end or after a close.
    async fn next(&mut self) -> Option<Job> {
        let Some(Fetching {
            name,
            ack,
            proof,
            decode,
            body,
        }) = self.fetched.recv().await
        else {
            let end = match self.feed.take()?.await {
                Ok(Ok(())) => Item::End,
                Ok(Err(error)) => Item::Failed(error),
                Err(dead) => Item::Failed(internal(dead)),
            };
            _ = self.items.send(end).await;
            return None;
        };
        let (body, room) = match body.await {
            Ok((Err(FileError::Capture(error)), _)) => {
                // Nothing more can be had.
                self.feed.take()?.abort();
                self.fetched.close();
                let error = anyhow!("{name}: {error:#}");
                _ = self.items.send(Item::Failed(error)).await;
                return None;
            }
            Ok((body, room)) => (body, Some(room)),
            Err(dead) => (Err(internal(dead).into()), None),
        };
        let needed = body.as_ref().map_or(0, inflated_size);
        let decoded_room = self.budget.take(needed).await.ok()?;
        let (steps, decoded) = mpsc::channel(2);
        let file = DecodedFile {
            name,
            delivered: decode.delivered,
            ack,
            steps: decoded,
            _room: decoded_room,
        };
        self.items.send(Item::File(file)).await.ok()?;
        Some(Job {
            decode,
            body,
            room,
            steps,
            proof,
        })
    }
}

impl Job {
    fn run(self, handle: &Handle) {
        let Self {
            mut decode,
            body,
            room,
            steps,
            proof,
        } = self;
        let done = body.and_then(|body| {
            let mut give = |decoded| {
                let step = match decoded {
                    Decoded::Chunk(chunk) => Step::Chunk(chunk),
                    Decoded::Entry(entry) => Step::Entry(entry),
                };
                steps.blocking_send(step).is_ok()
            };
            process::guard("decoding", || {
                Ok(match proof {
                    None => decode.run(body, &mut give),
                    Some(proof) if proof.is_strict() => {
                        decode_proven(decode, body, proof, handle, &mut give)
                    }
                    Some(proof) => {
                        decode.hashing = Hashing::Along;
                        let done = decode.run(body, &mut give);
                        let hash = done.as_ref().ok().and_then(|done| done.hash);
                        let content = hash.map_or(Content::Broken, Content::Whole);
                        handle.block_on(proof.judge(content)).and(done)
                    }
                })
            })?
        });
        drop(room);
        // After a close, nobody receives it.
        _ = steps.blocking_send(Step::Done(done));
    }
}

/// Decode a log file that is handed over only if it is proven.
fn decode_proven(
    mut decode: Decode,
    body: Body,
    proof: Box<dyn Proof>,
    handle: &Handle,
    give: &mut dyn FnMut(Decoded) -> bool,
) -> Result<Outcome, FileError> {
    let (proof, handle) = (std::sync::Mutex::new(Some(proof)), handle.clone());
    let judge = Arc::new(move |content| {
        let proof = lock(&proof).take();
        proof.map_or(Ok(()), |proof| handle.block_on(proof.judge(content)))
    });
    decode.hashing = Hashing::First(judge.clone());
    let done = decode.run(body, give);
    // The proof is also judged first if decoding can't even begin.
    judge(Content::Broken)?;
    done
}

/// A worker that panicked, or was ended.
fn internal(dead: tokio::task::JoinError) -> anyhow::Error {
    match dead.try_into_panic() {
        Ok(panic) => anyhow!("internal error: {}", process::panic_text(&*panic)),
        Err(error) => anyhow!("internal error: {error}"),
    }
}

/// About how large a body is when decoded: what gzip itself says, if it does.
fn inflated_size(body: &Body) -> u64 {
    match body {
        Body::Bytes(bytes) => match bytes.last_chunk::<4>() {
            Some(length) if bytes.starts_with(&[0x1f, 0x8b]) => u32::from_le_bytes(*length).into(),
            _ => bytes.len() as u64,
        },
        // Log files compress about ten to one.
        Body::File(path) => path
            .metadata()
            .map_or(0, |metadata| metadata.len())
            .saturating_mul(10),
        Body::Stream(_) => LARGEST_WHOLE as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_file::Fetch;

    /// Where a source panics.
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Next,
        Fetch,
        Fetching,
        Closing,
    }

    struct Poisoned {
        at: At,
        named: bool,
    }

    impl Source for Poisoned {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>> {
            assert!(self.at != At::Next, "poison");
            let at = self.at;
            let fetch: Fetch = Box::new(move |_| {
                assert!(at != At::Fetch, "poison");
                Box::pin(async move {
                    assert!(at != At::Fetching, "poison");
                    Ok(Body::Bytes(b"{\"Records\":[{}]}".to_vec()))
                })
            });
            let file = LogFile {
                name: "a".to_owned(),
                size: 0,
                delivered: None,
                fetch,
                ack: None,
                proof: None,
            };
            let first = !std::mem::replace(&mut self.named, true);
            Box::pin(std::future::ready(Ok(first.then_some(file))))
        }

        fn closing(&self) -> BoxFuture<'static, ()> {
            let at = self.at;
            Box::pin(async move { assert!(at != At::Closing, "poison") })
        }
    }

    /// What a pipeline gives: the outcome of its log files, and its end.
    fn run(at: At) -> (Vec<Result<Outcome>>, Result<()>) {
        let limits = Limits {
            concurrency: 2,
            include_insights: true,
            selection: Arc::default(),
            filter: Filter::default(),
            redaction: Arc::default(),
        };
        let source = Box::new(Poisoned { at, named: false });
        let mut pipeline = Pipeline::start(start_runtime().expect("threads"), source, limits);
        let mut outcomes = Vec::new();
        let wait = Duration::from_secs(60);
        loop {
            match pipeline.next_file(wait) {
                Ok(Next::Item(mut file)) => loop {
                    match pipeline.next_step(&mut file, wait) {
                        Some(Step::Chunk(_) | Step::Entry(_)) => {}
                        Some(Step::Done(outcome)) => {
                            break outcomes.push(outcome.map_err(FileError::into_reason));
                        }
                        None => panic!("it hangs"),
                    }
                },
                Ok(Next::End) => return (outcomes, Ok(())),
                Ok(Next::Wait) => panic!("it hangs"),
                Err(error) => return (outcomes, Err(error)),
            }
        }
    }

    #[test]
    fn a_panic_of_a_source_is_an_error_and_never_an_end() {
        let (outcomes, end) = run(At::Next);
        assert!(outcomes.is_empty());
        assert_eq!(
            end.expect_err("poison").to_string(),
            "internal error: poison"
        );
        for at in [At::Fetch, At::Fetching] {
            let (mut outcomes, end) = run(at);
            assert!(end.is_ok());
            let error = outcomes.pop().expect("a file").expect_err("poison");
            assert_eq!(error.to_string(), "internal error: poison");
        }
    }

    #[test]
    fn a_panic_at_the_end_ends_no_host() {
        let (outcomes, end) = run(At::Closing);
        assert!(end.is_ok() && outcomes.len() == 1 && outcomes[0].is_ok());
    }
}
