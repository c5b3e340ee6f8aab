//! Decodes what is fetched, on threads of its own, which take turns at what comes next.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use futures_util::FutureExt;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinError, JoinHandle};

use super::ahead::{Ahead, Unseen};
use super::feed::Fetching;
use super::{Batch, Begun, Item, Step, cores, internal};
use crate::budget::{Budget, Room};
use crate::concurrency::Concurrency;
use crate::decode::{Decode, Decoded, Hashing, Outcome};
use crate::log_file::{Body, Content, FileError, LARGEST_WHOLE, Proof};
use crate::process;
use crate::process::lock;

/// A batch holds so many log files at most, each of so many bytes at most when decoded, about.
const BATCH: usize = 32;
const SMALL: usize = 32 << 10;
/// Steps of a batch are handed over at its end, or as soon as they take so many bytes, whatever its log files said of their
/// length.
const ENOUGH: usize = BATCH * SMALL;
/// So many times are steps handed over before the host takes any, so that memory is bounded. A log file is handed over with
/// its chunk, and then as done.
const AHEAD: usize = 2;

/// Start to decode, until the feed ends or nobody takes what is decoded.
pub(super) fn start(runtime: &Runtime, turn: Turn) {
    let turn = Arc::new(Mutex::new(turn));
    for _ in 0..cores() {
        let (turn, handle) = (Arc::clone(&turn), runtime.handle().clone());
        runtime.spawn_blocking(move || {
            loop {
                let mut mine = handle.block_on(Arc::clone(&turn).lock_owned());
                let Some(jobs) = handle.block_on(mine.next()) else {
                    return;
                };
                // If the host is behind, only one decoder works, and the host has the other cores.
                let alone = mine.is_ahead().then_some(mine);
                jobs.run(&handle);
                drop(alone);
            }
        });
    }
}

/// What the decoders take turns at: the next log files.
pub(super) struct Turn {
    /// None once the end was handed over.
    feed: Option<JoinHandle<Result<()>>>,
    fetched: mpsc::Receiver<Fetching>,
    /// The first of them, which was not yet fetched when the batch before was made.
    fetching: Option<Fetching>,
    /// The one before that, which did not belong into that batch.
    job: Option<Job>,
    concurrency: Concurrency,
    budget: Budget,
    ahead: Ahead,
    items: mpsc::Sender<Item>,
}

/// Log files to decode together. The host has received their batch.
struct Jobs {
    jobs: Vec<Job>,
    room: Room,
    steps: mpsc::Sender<Vec<Step>>,
    ahead: Ahead,
}

/// A log file to decode.
struct Job {
    begun: Begun,
    decode: Decode,
    body: Result<Body, FileError>,
    /// Its room in the budget for stored bytes.
    room: Option<Room>,
    proof: Option<Box<dyn Proof>>,
    /// Until its first records were looked at.
    unseen: Unseen,
    /// Its bytes when decoded, about.
    inflated: u64,
}

impl Turn {
    pub fn new(
        feed: JoinHandle<Result<()>>,
        fetched: mpsc::Receiver<Fetching>,
        concurrency: Concurrency,
        budget: Budget,
        ahead: Ahead,
        items: mpsc::Sender<Item>,
    ) -> Self {
        Self {
            feed: Some(feed),
            fetched,
            fetching: None,
            job: None,
            concurrency,
            budget,
            ahead,
            items,
        }
    }

    /// The next log file, once it is fetched and the budget has room for it, and small ones behind it that are fetched
    /// already. None at the end or after a close.
    async fn next(&mut self) -> Option<Jobs> {
        let first = self.first().await?;
        let is_alone = !first.is_small();
        let mut jobs = vec![first];
        while !is_alone && jobs.len() < BATCH {
            match self.another() {
                Some(job) if job.is_small() => jobs.push(job),
                other => {
                    self.job = other;
                    break;
                }
            }
        }
        let inflated = jobs.iter().map(|job| job.inflated).sum();
        let mut taking = pin!(self.budget.take(inflated));
        let room = match taking.as_mut().now_or_never() {
            Some(room) => room,
            None => {
                let _waiting = self.ahead.wait();
                taking.await
            }
        };
        let room = room.ok()?;
        let (steps, decoded) = mpsc::channel(AHEAD);
        let batch = Batch {
            steps: decoded,
            left: jobs.len(),
            _room: room.clone(),
        };
        self.items.send(Item::Batch(batch)).await.ok()?;
        let ahead = self.ahead.clone();
        Some(Jobs {
            jobs,
            room,
            steps,
            ahead,
        })
    }

    /// Whether the host is behind: half of the budget is taken, and not only by large log files that are being decoded, since
    /// more batches wait for the host than there are decoders.
    fn is_ahead(&self) -> bool {
        let waiting = self.items.max_capacity() - self.items.capacity();
        waiting >= cores() && self.budget.is_scarce()
    }

    /// The next log file, waited for. Where the source has no more, or nothing more can be had, the host is told.
    async fn first(&mut self) -> Option<Job> {
        let job = match self.job.take() {
            Some(job) => job,
            None => {
                let waiting = self.concurrency.wait();
                let fetching = match self.fetching.take() {
                    Some(fetching) => Some(fetching),
                    None => self.fetched.recv().await,
                };
                let Some(mut fetching) = fetching else {
                    drop(waiting);
                    let end = match self.feed.take()?.await {
                        Ok(Ok(())) => Item::End,
                        Ok(Err(error)) => Item::Failed(error),
                        Err(dead) => Item::Failed(internal(dead)),
                    };
                    _ = self.items.send(end).await;
                    return None;
                };
                let body = (&mut fetching.body).await;
                Job::new(fetching, body)
            }
        };
        if let Err(FileError::Capture(error)) = job.body {
            self.feed.take()?.abort();
            self.fetched.close();
            let error = anyhow!("{}: {error:#}", job.begun.name);
            _ = self.items.send(Item::Failed(error)).await;
            return None;
        }
        Some(job)
    }

    /// The one after it, if it is fetched.
    fn another(&mut self) -> Option<Job> {
        let next = self.fetching.take();
        let mut fetching = next.or_else(|| self.fetched.try_recv().ok())?;
        let Some(body) = (&mut fetching.body).now_or_never() else {
            self.fetching = Some(fetching);
            return None;
        };
        Some(Job::new(fetching, body))
    }
}

impl Job {
    /// One whose body has come.
    fn new(fetching: Fetching, body: Result<(Result<Body, FileError>, Room), JoinError>) -> Self {
        let (body, room) = match body {
            Ok((body, room)) => (body, Some(room)),
            Err(dead) => (Err(internal(dead).into()), None),
        };
        Self {
            begun: Begun {
                name: fetching.name,
                delivered: fetching.decode.delivered,
                ack: fetching.ack,
            },
            decode: fetching.decode,
            inflated: body.as_ref().map_or(0, inflated_size),
            body,
            room,
            proof: fetching.proof,
            unseen: fetching.unseen,
        }
    }

    /// Nothing is waited for while it is decoded, which is soon done.
    fn is_small(&self) -> bool {
        matches!(self.body, Ok(Body::Bytes(_)))
            && self.proof.is_none()
            && self.inflated <= SMALL as u64
    }
}

impl Jobs {
    fn run(self, handle: &Handle) {
        let Self {
            jobs,
            room,
            steps,
            ahead,
        } = self;
        let mut hand = Hand {
            is_waited_for: jobs.len() == 1,
            room,
            steps,
            ahead,
            held: Vec::new(),
            bytes: 0,
        };
        for job in jobs {
            // After a close, nobody receives it.
            if !job.run(handle, &mut hand) {
                return;
            }
        }
        hand.over();
    }
}

/// Hands steps over, several at once.
struct Hand {
    /// That of the batch.
    room: Room,
    steps: mpsc::Sender<Vec<Step>>,
    ahead: Ahead,
    held: Vec<Step>,
    /// That they take.
    bytes: usize,
    /// Each step is handed over as soon as it is there.
    is_waited_for: bool,
}

impl Hand {
    /// False where nobody wants it.
    fn give(&mut self, step: Step) -> bool {
        let is_beginning = matches!(step, Step::Begun(_));
        self.bytes += size_of::<Step>();
        self.bytes += match &step {
            Step::Chunk(chunk) => {
                // It may be larger than its log file said.
                self.room.cover(chunk.len() as u64);
                chunk.len()
            }
            Step::Entry(entry) => entry.name.len(),
            Step::Begun(_) | Step::Done(_) => 0,
        };
        self.held.push(step);
        let is_enough = self.is_waited_for && !is_beginning || self.bytes >= ENOUGH;
        !is_enough || self.over()
    }

    fn over(&mut self) -> bool {
        self.bytes = 0;
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return true;
        }
        match self.steps.try_send(held) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(held)) => {
                let _waiting = self.ahead.wait();
                self.steps.blocking_send(held).is_ok()
            }
        }
    }
}

impl Job {
    /// False where nobody wants it.
    fn run(self, handle: &Handle, hand: &mut Hand) -> bool {
        let Self {
            begun,
            mut decode,
            body,
            room,
            proof,
            unseen,
            inflated: _,
        } = self;
        let mut unseen = Some(unseen);
        if !hand.give(Step::Begun(begun)) {
            return false;
        }
        let done = body.and_then(|body| {
            let mut give = |decoded| {
                drop(unseen.take());
                hand.give(match decoded {
                    Decoded::Chunk(chunk) => Step::Chunk(chunk),
                    Decoded::Entry(entry) => Step::Entry(entry),
                })
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
        drop((room, unseen));
        hand.give(Step::Done(done))
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

/// About how large a body is when decoded: what gzip itself says, if it does.
fn inflated_size(body: &Body) -> u64 {
    match body {
        Body::Bytes(bytes) => match bytes.last_chunk::<4>() {
            Some(length) if bytes.starts_with(&[0x1f, 0x8b]) => u32::from_le_bytes(*length).into(),
            _ => bytes.len() as u64,
        },
        Body::File(path) => {
            let metadata = path.metadata().ok().filter(Metadata::is_file);
            let stored = metadata.map_or(0, |metadata| metadata.len());
            // Log files compress about ten to one. For a large one it is worth a look at what it says itself.
            match stored > SMALL as u64 {
                true => told_length(path).unwrap_or(stored),
                false => stored.saturating_mul(10),
            }
        }
        Body::Stream(_) => LARGEST_WHOLE as u64,
    }
}

/// The length that a gzip file ends with.
fn told_length(path: &Path) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let (mut head, mut length) = ([0; 2], [0; 4]);
    file.read_exact(&mut head).ok()?;
    file.seek(SeekFrom::End(-4)).ok()?;
    file.read_exact(&mut length).ok()?;
    (head == [0x1f, 0x8b]).then_some(u32::from_le_bytes(length).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::ArchiveEntry;

    /// A small file may hold an archive's directory of millions of files.
    #[test]
    fn steps_without_chunks_are_not_held_without_bound() {
        let (steps, mut given) = mpsc::channel(1000);
        let room = Budget::new(ENOUGH).take(1).now_or_never();
        let mut hand = Hand {
            room: room.expect("room").expect("room"),
            steps,
            ahead: Ahead::default(),
            held: Vec::new(),
            bytes: 0,
            is_waited_for: false,
        };
        for _ in 0..100_000 {
            let entry = ArchiveEntry {
                name: "a".repeat(100),
                outcome: Ok(Outcome::default()),
            };
            assert!(hand.give(Step::Entry(entry)));
            assert!(hand.held.len() * size_of::<Step>() <= ENOUGH);
        }
        assert!(hand.over());
        let mut count = 0;
        while let Ok(steps) = given.try_recv() {
            count += steps.len();
        }
        assert_eq!(count, 100_000);
    }
}
