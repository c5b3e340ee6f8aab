//! What was downloaded, kept on disk for the next time. It is known by what a listing tells of it, so a hit costs no
//! request. Several processes may share a folder: files appear in it whole, and go one by one.

mod entry;
mod folder;
#[cfg(test)]
mod tests;

pub(crate) use entry::Name;

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use self::entry::{Unread, Writing};
use crate::budget::{Budget, Room};
use crate::log_file::{Body, LARGEST_WHOLE};
use crate::process::lock;
use crate::stats::Stats;

/// So many files are read at the same time.
const READERS: usize = 4;
/// So many are written.
const WRITERS: usize = 2;
/// Bytes of downloads that wait to be written, about.
const WAITING: usize = 16 << 20;
/// A large file is read in pieces of so many bytes.
const PIECE: usize = 1 << 20;
/// What a sweep leaves free, as a part of the size: so much is written until the next one.
const FREE: u64 = 16;

/// The cache in one folder.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    /// In bytes.
    size: u64,
    reading: Threads,
    writing: Threads,
    waiting: Budget,
    /// Bytes written since the last sweep; before the first one, enough for it to be due.
    written: AtomicU64,
    /// Held while files are removed.
    sweeping: Mutex<()>,
    /// A failure to write was said already.
    has_failed: AtomicBool,
    stats: Arc<Stats>,
}

impl Cache {
    /// The cache in this folder, which is made if there is none, of so many bytes at most.
    ///
    /// # Errors
    /// Where the folder is not ours, can't be written to, or others could change what is in it.
    pub async fn open(folder: PathBuf, size: u64, stats: &Arc<Stats>) -> Result<Arc<Self>> {
        let path = folder.clone();
        let warning = spawn_blocking(move || folder::open(&path)).await;
        if let Some(warning) = warning.context("opening the cache")?? {
            stats.warn(warning);
        }
        let cache = Arc::new(Self {
            folder,
            size,
            reading: Threads::start(READERS),
            writing: Threads::start(WRITERS),
            waiting: Budget::new(WAITING),
            written: AtomicU64::new(size),
            sweeping: Mutex::default(),
            has_failed: AtomicBool::new(false),
            stats: Arc::clone(stats),
        });
        let swept = Arc::clone(&cache);
        spawn_blocking(move || swept.sweep());
        Ok(cache)
    }

    /// Is there place for an object of so many bytes?
    pub fn takes(&self, size: u64) -> bool {
        (1..=self.size).contains(&size)
    }

    /// An object, if it is here. A large one, or one for which there is no room as a whole, comes in pieces.
    pub async fn get(self: &Arc<Self>, name: &Name, room: &Room) -> Option<Body> {
        let is_held = name.size <= LARGEST_WHOLE as u64 && room.grow(name.size);
        let (cache, named) = (Arc::clone(self), name.clone());
        let (sender, read) = oneshot::channel();
        self.reading.run(name, move || {
            _ = sender.send(cache.read(&named, is_held));
        });
        match read.await.unwrap_or(Err(Unread::Missing)) {
            Ok(body) => {
                self.stats.cache_hits.add(1);
                Some(body)
            }
            Err(Unread::Missing) => None,
            Err(Unread::Damaged) => {
                self.stats.cache_damaged.add(1);
                None
            }
        }
    }

    /// Read an object, as a whole or in pieces. A damaged one is removed.
    fn read(&self, name: &Name, is_held: bool) -> Result<Body, Unread> {
        let read = match is_held {
            true => entry::read(&self.folder, name).map(Body::Bytes),
            false => entry::checked(&self.folder, name).map(in_pieces),
        };
        if let Err(Unread::Damaged) = read {
            // Otherwise it is written over.
            _ = std::fs::remove_file(name.path(&self.folder));
        }
        read
    }

    /// Keep an object that was downloaded. Gives what is to be decoded; a file is written meanwhile.
    pub async fn keep(self: &Arc<Self>, name: Name, body: Body) -> Body {
        match body {
            Body::Bytes(bytes) if bytes.len() as u64 == name.size => {
                // If the disk is slower than the network, the reading waits. The budget is never closed.
                let room = self.waiting.take(name.size).await;
                let (cache, named) = (Arc::clone(self), name.clone());
                // With place for what is written behind it.
                let mut copy = Vec::with_capacity(bytes.len() + entry::END);
                copy.extend_from_slice(&bytes);
                self.writing.run(&name, move || {
                    let size = named.size;
                    cache.note(entry::write(&cache.folder, named, copy), size);
                    drop(room);
                });
                Body::Bytes(bytes)
            }
            Body::Stream(pieces) => {
                let (sender, body) = mpsc::channel(1);
                let cache = Arc::clone(self);
                spawn_blocking(move || {
                    let size = name.size;
                    let writing = Writing::begin(&cache.folder, name);
                    // Whoever receives the pieces sees their end after the file is there.
                    cache.note(copy(pieces, &sender, writing), size);
                });
                Body::Stream(body)
            }
            body => body,
        }
    }

    /// Wait until everything is written that was downloaded so far. What comes in pieces is written as it is read.
    pub async fn finish(&self) {
        _ = self.waiting.take(u64::MAX).await;
    }

    /// Note how the writing of a file of this size went, and make place for others if it is time to.
    fn note(&self, written: io::Result<bool>, size: u64) {
        match written {
            Ok(false) => {}
            Ok(true) => {
                self.stats.cache_stored.add(1);
                self.written.fetch_add(size, Ordering::Relaxed);
                self.sweep();
            }
            Err(error) => {
                if !self.has_failed.swap(true, Ordering::Relaxed) {
                    self.stats.warn(format!(
                        "cachePath: the folder {} can't be written to, so what is downloaded may not be kept: {error}",
                        self.folder.display()
                    ));
                }
            }
        }
    }

    /// Remove what was not used for longest, if as much was written as is left free for that.
    fn sweep(&self) {
        let free = self.size / FREE;
        if self.written.load(Ordering::Relaxed) < free {
            return;
        }
        let _one_at_a_time = lock(&self.sweeping);
        // Another thread may have done it meanwhile.
        if self.written.load(Ordering::Relaxed) < free {
            return;
        }
        self.written.store(0, Ordering::Relaxed);
        if let Err(error) = folder::sweep(&self.folder, self.size - free) {
            self.note(Err(error), 0);
        }
    }
}

/// Threads that each do one thing after the other. To wake one for each thing, as the runtime's own are, costs more than to
/// read or write a small file.
#[derive(Debug)]
struct Threads(Vec<std::sync::mpsc::Sender<Job>>);

type Job = Box<dyn FnOnce() + Send>;

impl Threads {
    /// They end once nobody can ask for anything any more.
    fn start(count: usize) -> Self {
        let start = |_| {
            let (sender, jobs) = std::sync::mpsc::channel::<Job>();
            spawn_blocking(move || jobs.into_iter().for_each(|job| job()));
            sender
        };
        Self((0..count).map(start).collect())
    }

    /// Do something with an object, soon.
    fn run(&self, name: &Name, job: impl FnOnce() + Send + 'static) {
        let thread = &self.0[name.any() % self.0.len()];
        // Where its thread has ended, it is not done.
        _ = thread.send(Box::new(job));
    }
}

/// Hand the pieces of an object over, and write them on the way. A failure to write does not end that. True if the file is
/// written, for which all of the object must have come.
fn copy(
    mut pieces: mpsc::Receiver<io::Result<Vec<u8>>>,
    sender: &mpsc::Sender<io::Result<Vec<u8>>>,
    mut writing: io::Result<Writing>,
) -> io::Result<bool> {
    while let Some(piece) = pieces.blocking_recv() {
        if let (Ok(open), Ok(piece)) = (&mut writing, &piece)
            && let Err(error) = open.add(piece)
        {
            writing = Err(error);
        }
        let is_end = piece.is_err();
        if sender.blocking_send(piece).is_err() || is_end {
            return writing.map(|_| false);
        }
    }
    writing.and_then(Writing::finish)
}

/// The content of a file, piece by piece.
fn in_pieces(mut file: io::Take<std::fs::File>) -> Body {
    let (sender, pieces) = mpsc::channel(1);
    spawn_blocking(move || {
        loop {
            let mut piece = Vec::new();
            let read = Read::take(&mut file, PIECE as u64).read_to_end(&mut piece);
            let piece = match read {
                Ok(0) => return,
                Ok(_) => Ok(piece),
                Err(error) => Err(error),
            };
            let is_end = piece.is_err();
            if sender.blocking_send(piece).is_err() || is_end {
                return;
            }
        }
    });
    Body::Stream(pieces)
}
