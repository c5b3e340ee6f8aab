//! How many requests are in flight: as many as make it faster.
//!
//! The number is found as TCP finds its window. It begins at 64 and doubles with each round trip, until the service refuses
//! a request, or answers come late; then it grows slowly, and shrinks again whenever some are refused or late. It grows only
//! while decoders wait for what is fetched, since otherwise nothing would be read any sooner.
//!
//! S3 takes 5,500 requests a second for each prefix, and a trail has one for each account and region
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html>). Log files are fetched in the
//! order of time, so from all prefixes alike: one number is enough for all of them.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::process::lock;

/// Requests in flight at the beginning.
const FIRST: usize = 64;
/// So many are in flight at least, however many are refused.
const LEAST: usize = 4;
/// Whether answers are late is known by the fastest of so many.
const ROUND: usize = 32;
/// Answers that take twice as long as the fastest of late are late, but never those within this time.
const SOON: Duration = Duration::from_millis(10);
/// The fastest answer is looked for anew so often, since ways through networks change.
const LATELY: Duration = Duration::from_secs(20);
/// What is close to a number that was too many, as a share of it.
const CLOSE: Range<f64> = 0.75..1.25;

/// Requests in flight, and how many there may be.
#[derive(Debug, Clone)]
pub(crate) struct Concurrency {
    slots: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// How many may be in flight.
    limit: f64,
    /// How many there may ever be.
    most: usize,
    /// How many there may be now; more than the limit until they end.
    slots: usize,
    /// So far nothing was refused or late.
    is_first_growth: bool,
    round: Round,
    fastest: Fastest,
    /// When it last shrank.
    shrunk: Option<Instant>,
    /// How many there were when some were last refused, and when that was.
    too_many: Option<(f64, Instant)>,
    /// Something was answered since.
    has_answered: bool,
    /// When somebody last had to wait for a place.
    ran_out: Option<Instant>,
    waits: Waits,
}

/// Some answers in a row.
#[derive(Debug, Default)]
struct Round {
    answers: usize,
    fastest: Option<Duration>,
}

/// The fastest answer of late: of this period, and of the one before.
#[derive(Debug)]
struct Fastest {
    began: Instant,
    now: Option<Duration>,
    before: Option<Duration>,
}

/// How long decoders have waited for something to decode.
#[derive(Debug, Default)]
struct Waits {
    /// Before.
    past: Duration,
    since: Option<Instant>,
}

impl Waits {
    fn total(&self, now: Instant) -> Duration {
        self.past + self.since.map_or(Duration::ZERO, |since| now - since)
    }
}

/// A place among the requests in flight, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Always there, but for the drop that has to consume it.
    permit: Option<OwnedSemaphorePermit>,
    state: Arc<Mutex<State>>,
}

/// What a request tells of how it went.
#[derive(Debug, Clone)]
pub(crate) struct Pace(Concurrency);

/// Somebody waits for something to decode, until it is dropped.
pub(crate) struct Waiting<'a>(&'a Concurrency);

impl Concurrency {
    /// At most so many.
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        let first = FIRST.min(most);
        let state = State {
            limit: first as f64,
            most,
            slots: first,
            is_first_growth: true,
            round: Round::default(),
            fastest: Fastest {
                began: Instant::now(),
                now: None,
                before: None,
            },
            shrunk: None,
            too_many: None,
            has_answered: false,
            ran_out: None,
            waits: Waits::default(),
        };
        Self {
            slots: Arc::new(Semaphore::new(first)),
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// How many answers it was told of, up to the end of a round.
    #[cfg(test)]
    pub fn answers(&self) -> usize {
        self.state().round.answers
    }

    /// A place, once there is one. Those who wait are served in order.
    pub async fn slot(&self) -> Slot {
        let slots = Arc::clone(&self.slots);
        let permit = match Arc::clone(&slots).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                self.state().ran_out = Some(Instant::now());
                // The semaphore is never closed.
                slots.acquire_owned().await.ok()
            }
        };
        Slot {
            permit,
            state: Arc::clone(&self.state),
        }
    }

    /// For what requests tell.
    pub fn pace(&self) -> Pace {
        Pace(self.clone())
    }

    /// A decoder waits from now on. Only one does so at a time.
    pub fn wait(&self) -> Waiting<'_> {
        self.state().waits.since = Some(Instant::now());
        Waiting(self)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waits = &mut self.0.state().waits;
        waits.past = waits.total(Instant::now());
        waits.since = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if state.slots > state.limit as usize
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
            state.slots -= 1;
        }
    }
}

impl Pace {
    /// When a request is sent: what its answer is compared with.
    pub fn sent(&self) -> Sent {
        let now = Instant::now();
        Sent {
            now,
            waited: self.0.state().waits.total(now),
        }
    }

    /// A request was answered.
    pub fn answered(&self, sent: &Sent) {
        let now = Instant::now();
        let mut state = self.0.state();
        let took = now - sent.now;
        state.has_answered = true;
        state.time(took, now);
        // Meanwhile there was no place for another request, and for a quarter of the time at least nothing to decode.
        let waited = state.waits.total(now).saturating_sub(sent.waited);
        if waited * 4 < took || state.ran_out.is_none_or(|time| time < sent.now) {
            return;
        }
        let growth = state.growth(now);
        state.limit = (state.limit + growth).min(state.most as f64);
        let more = (state.limit as usize).saturating_sub(state.slots);
        state.slots += more;
        self.0.slots.add_permits(more);
    }

    /// A request was refused, since there are too many, or nothing came in time.
    pub fn refused(&self) {
        let now = Instant::now();
        let mut state = self.0.state();
        let took = state.fastest.of_late().unwrap_or_default();
        let limit = state.limit;
        if state.shrink(0.7, took, now) {
            // While a service is away, nothing is answered, and it shrinks again and again.
            let before = state.too_many.filter(|_| !state.has_answered);
            let limit = before.map_or(limit, |(before, _)| limit.max(before));
            state.too_many = Some((limit, now));
            state.has_answered = false;
        }
    }
}

/// When a request was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    now: Instant,
    /// How long decoders had waited by then.
    waited: Duration,
}

impl State {
    /// By how much an answer lets it grow.
    fn growth(&self, now: Instant) -> f64 {
        if self.is_first_growth {
            return 1.0;
        }
        // Close to what was too many before, by one a round.
        let lately = |time: Instant| now - time < LATELY;
        match self.too_many {
            Some((limit, time)) if lately(time) && CLOSE.contains(&(self.limit / limit)) => {
                self.limit.recip()
            }
            _ => self.limit.sqrt().recip(),
        }
    }

    /// Shrink, but only once for all requests that were in flight together, which take so long. False if it has before.
    fn shrink(&mut self, factor: f64, took: Duration, now: Instant) -> bool {
        self.is_first_growth = false;
        let together = took.max(SOON);
        if self.shrunk.is_some_and(|before| now - before <= together) {
            return false;
        }
        self.shrunk = Some(now);
        let least = LEAST.min(self.most) as f64;
        self.limit = (self.limit * factor).max(least);
        true
    }

    /// An answer took so long.
    fn time(&mut self, took: Duration, now: Instant) {
        self.fastest.add(took, now);
        self.round.answers += 1;
        self.round.fastest = earlier(self.round.fastest, Some(took));
        if self.round.answers < ROUND {
            return;
        }
        let round = std::mem::take(&mut self.round);
        let (Some(took), Some(fastest)) = (round.fastest, self.fastest.of_late()) else {
            return;
        };
        // Even the fastest of a whole round came late: requests wait for each other, here or there.
        let late = took.as_secs_f64() / fastest.max(SOON / 2).as_secs_f64();
        if late > 2.0 {
            self.shrink((1.5 / late).max(0.5), took, now);
        }
    }
}

impl Fastest {
    fn add(&mut self, took: Duration, now: Instant) {
        if now - self.began > LATELY {
            self.began = now;
            self.before = self.now.take();
        }
        self.now = earlier(self.now, Some(took));
    }

    fn of_late(&self) -> Option<Duration> {
        earlier(self.now, self.before)
    }
}

fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    [one, other].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A server at some distance, and those who read from it, in time that is simulated.
    #[derive(Debug, Clone, Copy)]
    struct World {
        /// The time that an answer takes, if it needs not wait for others.
        distance: Duration,
        /// Requests a second that the server can answer, one after the other.
        capacity: f64,
        /// Above so many a second, requests are refused.
        refuses_above: f64,
        /// Files a second that the reader takes.
        reader: f64,
        files: usize,
        most: usize,
        /// When it refuses all, in seconds.
        is_away: (f64, f64),
    }

    impl Default for World {
        fn default() -> Self {
            Self {
                distance: Duration::from_millis(150),
                capacity: 1e9,
                refuses_above: 1e9,
                reader: 1e9,
                files: 20_000,
                most: 1024,
                is_away: (0.0, 0.0),
            }
        }
    }

    /// What came of it.
    #[derive(Debug)]
    struct Run {
        time: Duration,
        refused: usize,
        /// In flight at the end, and at most.
        limit: usize,
        most: usize,
    }

    /// Fetch and read all files in their order, as the pipeline does.
    async fn run(world: World) -> Run {
        let concurrency = Concurrency::new(world.most);
        let began = Instant::now();
        let server = Arc::new(Mutex::new((began, f64::MAX, began)));
        let away = |seconds| began + Duration::from_secs_f64(seconds);
        let away = away(world.is_away.0)..away(world.is_away.1);
        let refused = Arc::new(AtomicUsize::new(0));
        let in_flight = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let (fetches, mut fetched) = tokio::sync::mpsc::channel(2 * world.most);
        let feed = {
            let (concurrency, server, refused) =
                (concurrency.clone(), server, Arc::clone(&refused));
            let (in_flight, most) = (in_flight, Arc::clone(&most));
            tokio::spawn(async move {
                for _ in 0..world.files {
                    let slot = concurrency.slot().await;
                    let pace = concurrency.pace();
                    let (server, refused) = (Arc::clone(&server), Arc::clone(&refused));
                    let away = away.clone();
                    let now = in_flight.fetch_add(1, Ordering::Relaxed) + 1;
                    most.fetch_max(now, Ordering::Relaxed);
                    let in_flight = Arc::clone(&in_flight);
                    let fetch = tokio::spawn(async move {
                        loop {
                            let sent = pace.sent();
                            let mut answer = ask(&server, &world);
                            if away.contains(&Instant::now()) {
                                answer = Err(Instant::now() + world.distance);
                            }
                            tokio::time::sleep_until(answer.unwrap_or_else(|at| at)).await;
                            if answer.is_ok() {
                                pace.answered(&sent);
                                break;
                            }
                            refused.fetch_add(1, Ordering::Relaxed);
                            pace.refused();
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                        in_flight.fetch_sub(1, Ordering::Relaxed);
                        drop(slot);
                    });
                    fetches.send(fetch).await.unwrap();
                }
            })
        };
        // Tokio's clock counts milliseconds, so files are read some at a time.
        let mut owed = 0.0;
        loop {
            let waiting = concurrency.wait();
            let Some(fetch) = fetched.recv().await else {
                break;
            };
            fetch.await.unwrap();
            drop(waiting);
            owed += 1.0 / world.reader;
            if owed > 0.002 {
                let before = Instant::now();
                tokio::time::sleep(Duration::from_secs_f64(owed)).await;
                owed -= before.elapsed().as_secs_f64();
            }
        }
        feed.await.unwrap();
        let limit = concurrency.state().limit as usize;
        Run {
            time: began.elapsed(),
            refused: refused.load(Ordering::Relaxed),
            limit,
            most: most.load(Ordering::Relaxed),
        }
    }

    /// When a request is answered, or refused. The state is when the server is free, and a bucket of tokens with its time.
    fn ask(server: &Mutex<(Instant, f64, Instant)>, world: &World) -> Result<Instant, Instant> {
        let now = Instant::now();
        let mut server = lock(server);
        let (free, tokens, filled) = &mut *server;
        let rate = world.refuses_above;
        *tokens = (*tokens + rate * (now - *filled).as_secs_f64()).min(rate / 10.0);
        *filled = now;
        if *tokens < 1.0 {
            return Err(now + world.distance);
        }
        *tokens -= 1.0;
        *free = (*free).max(now) + Duration::from_secs_f64(1.0 / world.capacity);
        Ok(*free + world.distance)
    }

    #[tokio::test(start_paused = true)]
    async fn from_far_away_it_grows_to_the_most_within_a_second() {
        let run = run(World::default()).await;
        assert_eq!((run.limit, run.most), (1024, 1024), "{run:?}");
        // Twenty rounds of 150 ms would be the least, and the growth takes four more.
        assert!(run.time < Duration::from_millis(4_000), "{run:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn never_more_are_in_flight_than_are_allowed() {
        for most in [1, 2, 64, 100] {
            let world = World {
                most,
                files: 2_000,
                ..World::default()
            };
            let run = run(world).await;
            assert_eq!((run.limit, run.most), (most, most), "{run:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_only_wait_for_each_other_are_not_added() {
        let world = World {
            distance: Duration::from_millis(5),
            capacity: 5_000.0,
            ..World::default()
        };
        let run = run(world).await;
        // 25 in flight keep the server busy.
        assert!(run.most < 300, "{run:?}");
        assert!(run.time < Duration::from_millis(4_400), "{run:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_needs_few_requests() {
        let run = run(World {
            reader: 300.0,
            files: 3_000,
            ..World::default()
        })
        .await;
        assert!(run.most < 200, "{run:?}");
        assert!(run.time < Duration::from_secs(11), "{run:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_soon_forgotten() {
        let world = World {
            is_away: (1.0, 4.0),
            ..World::default()
        };
        let run = run(world).await;
        // Four seconds without it, three for the outage, and the growth from the least number.
        assert!(run.time < Duration::from_secs(16), "{run:?}");
    }

    /// What S3 refuses is asked for again, at a rate that it takes.
    #[tokio::test(start_paused = true)]
    async fn what_is_refused_makes_it_shrink() {
        for rate in [1_000.0, 1_500.0, 3_000.0] {
            let world = World {
                refuses_above: rate,
                files: rate as usize * 10,
                ..World::default()
            };
            let run = run(world).await;
            let share = run.refused as f64 / (world.files + run.refused) as f64;
            assert!(share < 0.05, "{share}: {run:?}");
            // At least 80 % of what the server takes.
            assert!(run.time < Duration::from_millis(12_500), "{run:?}");
        }
    }
}
