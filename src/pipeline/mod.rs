//! Fetches and decodes log files ahead of the host, many at a time, in bounded memory, and keeps their order.
//!
//! ```text
//! source ─▶ feed: fetches many at once ─▶ decoders: take turns, within a budget ─▶ host
//! ```
//!
//! ```text
//!   source names     1 ─ 2 ─ 3 ─ 4 ─ 5 ─▶
//!   feed             │   │   │   └ fetching, in room of the budget that was taken in order
//!   decoder's turn   │   └───┴ fetched: a batch, taken only after 1 was, and given to the host as begun
//!   host             └ decoding: its steps come through a channel of the batch
//! ```
//!
//! Everything that waits, waits in order, so the file that the host needs next never waits for a later one, but for a moment,
//! see [`ahead`]. A large log file is a batch of its own; small ones go together, since to hand one over costs as much as to
//! decode it.

mod ahead;
mod decoders;
mod feed;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::ahead::Ahead;
use crate::budget::{Budget, Room};
use crate::concurrency::Concurrency;
use crate::decode::redact::Redaction;
use crate::decode::{ArchiveEntry, Chunk, Outcome};
use crate::fields::origin::Sessions;
use crate::filter::Filter;
use crate::geo::Atlas;
use crate::log_file::{Ack, FileError};
use crate::process;
use crate::process::platform;
use crate::source::Source;
use crate::trail::Selection;

/// Bytes of inflated log files held ahead of the host, about. The host waits for eight log files to be looked at (`ahead`),
/// which take half of it where they are large.
const DECODED: usize = 32 << 20;

/// How long a source may take to end, at most, where it still has something to do: messages that are consumed are
/// deleted. No host sets a limit (Falco, sysdig), or none is kept, since it is killed (falcodump, Stratoshark).
const CLOSING: Duration = Duration::from_millis(500);

/// How to run.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Log files fetched at the same time, at most.
    pub concurrency: usize,
    pub include_insights: bool,
    /// Of events, and of the log files of archives.
    pub selection: Arc<Selection>,
    /// Which events are kept.
    pub filter: Filter,
    pub atlas: Arc<Atlas>,
    /// Whether all events get a fingerprint, or a sample of them.
    pub dedupe: bool,
    /// Values to replace.
    pub redaction: Arc<Redaction>,
    /// Where it is noted what records tell of sessions.
    pub sessions: Arc<Sessions>,
}

/// A running pipeline; dropped, all its work ends.
pub(crate) struct Pipeline {
    items: mpsc::Receiver<Item>,
    /// What the host takes now.
    batch: Option<Batch>,
    /// Those of its steps that have come.
    steps: std::vec::IntoIter<Step>,
    /// The log file that came last is not done.
    is_in_file: bool,
    /// So many have begun.
    begun: u64,
    /// How long the first records of the last one wait for others to be looked at; none if they don't.
    waits_until: Option<Instant>,
    /// Behind this one, a log file could not be had in time. Nothing waits for it again.
    late_behind: Option<u64>,
    ahead: Ahead,
    /// What decoders may hold.
    budget: Budget,
    /// What the source still has to do at the end.
    closing: Option<BoxFuture<'static, ()>>,
    /// Always there, but for the drop that has to consume it.
    runtime: Option<Runtime>,
}

/// What the host receives, in order.
enum Item {
    Batch(Batch),
    /// The source has no more.
    End,
    /// The source failed for good.
    Failed(anyhow::Error),
}

/// Log files as they are being decoded: several small ones, or one.
struct Batch {
    steps: mpsc::Receiver<Vec<Step>>,
    /// How many log files are still to come.
    left: usize,
    /// Their room of the budget, given back when the host is through with them.
    _room: Room,
}

/// What came next.
pub(crate) enum Next<T> {
    Item(T),
    /// Nothing yet; ask again.
    Wait,
    End,
}

/// A log file that begins.
pub(crate) struct Begun {
    pub name: String,
    /// When it was delivered.
    pub delivered: Option<Timestamp>,
    /// See [`crate::log_file::LogFile::ack`].
    pub ack: Option<Ack>,
}

/// What a log file consists of: its beginning, chunks, then what became of it; the error is about this file alone. An
/// archive's log files each have theirs.
pub(crate) enum Step {
    Begun(Begun),
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
        let most = limits.concurrency.min(platform::spare_connections());
        let concurrency = Concurrency::new(most);
        // The budget limits what is decoded ahead. The limit of this channel only matters for tiny files.
        let (decoded, items) = mpsc::channel(1024);
        // As many again may have been fetched, and wait for one before them.
        let (fetches, fetched) = mpsc::channel(2 * most);
        let budget = Budget::new(DECODED);
        let closing = Some(source.closing());
        let ahead = Ahead::default();
        let feed = feed::run(source, limits, concurrency.clone(), ahead.clone(), fetches);
        let feed = runtime.spawn(feed);
        decoders::start(
            &runtime,
            decoders::Turn::new(
                feed,
                fetched,
                concurrency,
                budget.clone(),
                ahead.clone(),
                decoded,
            ),
        );
        Self {
            items,
            batch: None,
            steps: Vec::new().into_iter(),
            is_in_file: false,
            begun: 0,
            waits_until: None,
            late_behind: None,
            ahead,
            budget,
            closing,
            runtime: Some(runtime),
        }
    }

    /// The next step, waited for so long.
    pub fn next(&mut self, wait: Duration) -> Result<Next<Step>> {
        let began = Instant::now();
        loop {
            let has_records = matches!(self.steps.as_slice(), [Step::Chunk(_), ..]);
            if has_records && !self.is_enough_known(wait.saturating_sub(began.elapsed())) {
                return Ok(Next::Wait);
            }
            if let Some(step) = self.steps.next() {
                self.note(&step);
                return Ok(Next::Item(step));
            }
            let left = wait.saturating_sub(began.elapsed());
            let runtime = self.runtime.as_ref();
            let Some(batch) = &mut self.batch else {
                match receive(runtime, &mut self.items, left) {
                    Received::Some(Item::Batch(batch)) => self.batch = Some(batch),
                    Received::Some(Item::End) => return Ok(Next::End),
                    Received::Some(Item::Failed(error)) => return Err(error),
                    Received::Nothing => return Ok(Next::Wait),
                    // Never an end of file: a worker that died is an error.
                    Received::Closed => return Err(stopped()),
                }
                continue;
            };
            match receive(runtime, &mut batch.steps, left) {
                Received::Some(steps) => self.steps = steps.into_iter(),
                Received::Nothing => return Ok(Next::Wait),
                Received::Closed if std::mem::take(&mut self.is_in_file) => {
                    let error = anyhow!("internal error: its decoding stopped");
                    return Ok(Next::Item(Step::Done(Err(error.into()))));
                }
                Received::Closed if batch.left > 0 => return Err(stopped()),
                Received::Closed => self.batch = None,
            }
        }
    }

    /// Whether the log files behind this one were looked at, waited for so long. The first one waits for none, so that
    /// events come soon.
    fn is_enough_known(&mut self, wait: Duration) -> bool {
        let Some(until) = self.waits_until else {
            return true;
        };
        let is_enough = match &self.runtime {
            Some(runtime) if !wait.is_zero() => {
                let until = until.min(Instant::now() + wait);
                runtime.block_on(self.ahead.until_enough(self.begun, until))
            }
            _ => self.ahead.is_enough(self.begun),
        };
        let is_late = !is_enough && Instant::now() >= until;
        if is_late {
            self.late_behind = Some(self.ahead.looked_at());
        }
        if is_enough || is_late {
            self.waits_until = None;
        }
        self.waits_until.is_none()
    }

    fn note(&mut self, step: &Step) {
        match step {
            Step::Begun(_) => {
                self.is_in_file = true;
                self.begun += 1;
                let waits = self.begun > 1 && self.late_behind != Some(self.ahead.looked_at());
                self.waits_until = waits.then(|| Instant::now() + ahead::PATIENCE);
                if let Some(batch) = &mut self.batch {
                    batch.left = batch.left.saturating_sub(1);
                }
            }
            Step::Done(_) => self.is_in_file = false,
            Step::Chunk(_) | Step::Entry(_) => {}
        }
    }
}

fn stopped() -> anyhow::Error {
    anyhow!("internal error: the reading of log files stopped")
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
        self.items.close();
        self.budget.close();
        while self.items.try_recv().is_ok() {}
        self.batch = None;
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

/// A worker that panicked, or was ended.
fn internal(dead: tokio::task::JoinError) -> anyhow::Error {
    match dead.try_into_panic() {
        Ok(panic) => anyhow!("internal error: {}", process::panic_text(&*panic)),
        Err(error) => anyhow!("internal error: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use flate2::write::GzEncoder;

    use super::*;
    use crate::log_file::{Body, Content, Fetch, LogFile, Proof};

    fn log_file(fetch: Fetch) -> LogFile {
        LogFile {
            name: "a".to_owned(),
            size: 0,
            delivered: None,
            cached: None,
            fetch,
            ack: None,
            proof: None,
        }
    }

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
            let fetch: Fetch = Box::new(move |_, _| {
                assert!(at != At::Fetch, "poison");
                Box::pin(async move {
                    assert!(at != At::Fetching, "poison");
                    Ok(Body::Bytes(b"{\"Records\":[{}]}".to_vec()))
                })
            });
            let file = log_file(fetch);
            let first = !std::mem::replace(&mut self.named, true);
            Box::pin(std::future::ready(Ok(first.then_some(file))))
        }

        fn closing(&self) -> BoxFuture<'static, ()> {
            let at = self.at;
            Box::pin(async move { assert!(at != At::Closing, "poison") })
        }
    }

    fn limits() -> Limits {
        Limits {
            concurrency: 2,
            include_insights: true,
            selection: Arc::default(),
            filter: Filter::default(),
            atlas: Arc::default(),
            dedupe: false,
            redaction: Arc::default(),
            sessions: Arc::default(),
        }
    }

    /// What a pipeline gives: the outcome of its log files, and its end.
    fn run(at: At) -> (Vec<Result<Outcome>>, Result<()>) {
        take_all(Box::new(Poisoned { at, named: false }))
    }

    fn take_all(source: Box<dyn Source>) -> (Vec<Result<Outcome>>, Result<()>) {
        let runtime = start_runtime().expect("threads");
        let mut pipeline = Pipeline::start(runtime, source, limits());
        let mut outcomes = Vec::new();
        let wait = Duration::from_secs(60);
        loop {
            match pipeline.next(wait) {
                Ok(Next::Item(Step::Done(outcome))) => {
                    outcomes.push(outcome.map_err(FileError::into_reason));
                }
                Ok(Next::Item(_)) => {}
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

    /// Counts the log files that were decoded.
    struct Counted(Arc<AtomicUsize>);

    impl Proof for Counted {
        fn is_strict(&self) -> bool {
            false
        }

        fn judge(self: Box<Self>, _: Content) -> BoxFuture<'static, Result<(), FileError>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::ready(Ok(())))
        }
    }

    /// Names so many log files.
    struct Many {
        left: usize,
        bytes: Vec<u8>,
        decoded: Arc<AtomicUsize>,
    }

    impl Source for Many {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>> {
            let file = self.left.checked_sub(1).map(|left| {
                self.left = left;
                let body = Body::Bytes(self.bytes.clone());
                LogFile {
                    name: left.to_string(),
                    size: 0,
                    delivered: None,
                    cached: None,
                    fetch: Box::new(move |_, _| Box::pin(std::future::ready(Ok(body)))),
                    ack: None,
                    proof: Some(Box::new(Counted(Arc::clone(&self.decoded)))),
                }
            });
            Box::pin(std::future::ready(Ok(file)))
        }
    }

    #[test]
    fn log_files_are_decoded_ahead_of_a_host_that_takes_none() {
        let decoded = Arc::<AtomicUsize>::default();
        let source = Box::new(Many {
            left: 100,
            bytes: r#"{"Records":[{"eventTime":"2024-03-05T12:00:00Z"}]}"#.into(),
            decoded: Arc::clone(&decoded),
        });
        let runtime = start_runtime().expect("threads");
        let _pipeline = Pipeline::start(runtime, source, limits());
        let began = Instant::now();
        while decoded.load(Ordering::Relaxed) < 100 {
            assert!(began.elapsed() < Duration::from_secs(60), "{decoded:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Names one log file without an end, and counts the MB that are taken of it.
    struct Endless {
        is_named: bool,
        taken: Arc<AtomicUsize>,
    }

    impl Source for Endless {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>> {
            let taken = Arc::clone(&self.taken);
            let fetch: Fetch = Box::new(move |_, _| {
                let (pieces, body) = mpsc::channel(1);
                tokio::spawn(async move {
                    let mut begin = r#"{"Records":["#;
                    let padding = "x".repeat(1 << 20);
                    loop {
                        let record = format!(
                            r#"{begin}{{"eventTime":"2024-03-05T12:00:00Z","x":"{padding}"}}"#
                        );
                        begin = ",";
                        if pieces.send(Ok(record.into())).await.is_err() {
                            return;
                        }
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                });
                Box::pin(std::future::ready(Ok(Body::Stream(body))))
            });
            let file = log_file(fetch);
            let first = !std::mem::replace(&mut self.is_named, true);
            Box::pin(std::future::ready(Ok(first.then_some(file))))
        }
    }

    #[test]
    fn a_large_log_file_is_not_decoded_far_ahead_of_the_host() {
        let taken = Arc::<AtomicUsize>::default();
        let source = Box::new(Endless {
            is_named: false,
            taken: Arc::clone(&taken),
        });
        let runtime = start_runtime().expect("threads");
        let _pipeline = Pipeline::start(runtime, source, limits());
        // Until it stands still.
        let mut before = None;
        while before != Some(taken.load(Ordering::Relaxed)) {
            before = Some(taken.load(Ordering::Relaxed));
            std::thread::sleep(Duration::from_millis(500));
        }
        // Two chunks wait for the host, one for them, and the next is being decoded.
        let taken = taken.load(Ordering::Relaxed);
        assert!((1..=40).contains(&taken), "{taken} MB");
    }

    /// The length that a gzip file ends with is that of its last member.
    #[test]
    fn log_files_that_are_larger_than_they_say_are_not_decoded_far_ahead_of_the_host() {
        let gzip = |text: &str| {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text.as_bytes()).expect("memory");
            encoder.finish().expect("memory")
        };
        let padding = "x".repeat(8 << 20);
        let large =
            format!(r#"{{"Records":[{{"eventTime":"2024-03-05T12:00:00Z","x":"{padding}"}}]}}"#);
        let decoded = Arc::<AtomicUsize>::default();
        let source = Box::new(Many {
            left: 100,
            bytes: [gzip(&large), gzip(" ")].concat(),
            decoded: Arc::clone(&decoded),
        });
        let runtime = start_runtime().expect("threads");
        let _pipeline = Pipeline::start(runtime, source, limits());
        let mut before = None;
        while before != Some(decoded.load(Ordering::Relaxed)) {
            before = Some(decoded.load(Ordering::Relaxed));
            std::thread::sleep(Duration::from_millis(500));
        }
        // What there is room for, and what was being decoded when there was none.
        let most = DECODED / padding.len() + cores() + 1;
        let decoded = decoded.load(Ordering::Relaxed);
        assert!((1..=most).contains(&decoded), "{decoded} of 8 MB");
    }

    /// Names log files that are not in a cache, as many as requests there may be, which come only once the last one is read
    /// from the cache.
    struct Behind {
        named: usize,
        is_read: Arc<tokio::sync::Semaphore>,
    }

    impl Source for Behind {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>> {
            let body = || Body::Bytes(r#"{"Records":[{}]}"#.into());
            self.named += 1;
            let is_cached = self.named > limits().concurrency;
            let (is_read, fetched) = (Arc::clone(&self.is_read), Arc::clone(&self.is_read));
            let file = LogFile {
                name: self.named.to_string(),
                size: 0,
                delivered: None,
                cached: Some(Box::new(move |_| {
                    Box::pin(async move {
                        is_cached.then(|| {
                            is_read.add_permits(10);
                            body()
                        })
                    })
                })),
                fetch: Box::new(move |_, _| {
                    Box::pin(async move {
                        _ = fetched.acquire().await;
                        Ok(body())
                    })
                }),
                ack: None,
                proof: None,
            };
            let is_one = self.named <= limits().concurrency + 1;
            Box::pin(std::future::ready(Ok(is_one.then_some(file))))
        }
    }

    #[test]
    fn what_is_in_a_cache_needs_no_place_among_the_requests() {
        let source = Box::new(Behind {
            named: 0,
            is_read: Arc::new(tokio::sync::Semaphore::new(0)),
        });
        let (outcomes, end) = take_all(source);
        assert!(end.is_ok() && outcomes.len() == limits().concurrency + 1);
    }

    #[test]
    fn a_panic_at_the_end_ends_no_host() {
        let (outcomes, end) = run(At::Closing);
        assert!(end.is_ok() && outcomes.len() == 1 && outcomes[0].is_ok());
    }
}
