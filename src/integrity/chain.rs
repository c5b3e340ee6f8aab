//! The digests of one account and region, gone through in the order of their time, as far as log files come by.
//!
//! There is a chain of them for each trail, and one of those that were made belatedly (`_backfill`). Held are the
//! entries of a few hours about the log files that are looked up.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync;

use super::digest::{Digest, Previous};
use super::{Checks, Expected, Stored};
use crate::log_file::Sha256;
use crate::trail::{self, Interval, Place};

/// How long before its delivery's hour, as a digest has it, a log file may have its name's time.
const EARLY: SignedDuration = SignedDuration::from_mins(10);
/// How long after a log file's time a digest may end that names it.
const LATE: SignedDuration = SignedDuration::from_hours(2);
/// How long after a log file's time its digest should be there.
const OVERDUE: SignedDuration = SignedDuration::from_hours(3);
/// How long entries are kept behind the log file that is looked up.
const KEPT: SignedDuration = SignedDuration::from_hours(4);
/// DigestStore fetched at once.
const BATCH: usize = 8;
/// DigestStore that others may name as the one before.
const KNOWN: usize = 64;

/// Said where there are none.
pub(super) const NO_DIGESTS: &str = "there are no digest files for it, so log file validation is not enabled for its \
     trail: enable it in CloudTrail, for log files to come";

pub(super) struct DigestChains {
    checks: Arc<Checks>,
    /// Of digests, with a separator behind.
    folder: String,
    /// What is read of the region, as far as it is known.
    span: Interval,
    named: Mutex<Named>,
    state: sync::Mutex<State>,
}

/// What the source has named.
#[derive(Default)]
struct Named {
    /// Paths that are kept in mind, with their times.
    paths: HashMap<String, Timestamp>,
    /// How far it has come, by kind.
    reached: HashMap<String, Timestamp>,
    /// The times of those that are not looked up yet, with their number.
    waiting: BTreeMap<Timestamp, usize>,
}

/// How far the digests are read.
#[derive(Default)]
struct State {
    /// After which name listing goes on.
    after: Option<String>,
    /// All are listed.
    listed: bool,
    /// Listed, but others may come before them in time.
    held_back: Vec<String>,
    /// To be fetched.
    waiting: VecDeque<String>,
    /// All are read.
    done: bool,
    /// The beginning of the first one.
    first: Option<Timestamp>,
    /// The end of the newest so far, and its name.
    reached: Option<(Timestamp, String)>,
    entries: HashMap<String, DigestEntry>,
    chains: HashMap<String, Chain>,
    /// Paths of those read last.
    known: VecDeque<String>,
    /// Times without a good digest.
    holes: Vec<Hole>,
    /// Why they can't be listed.
    trouble: Option<String>,
    /// It was said that there are none.
    said_none: bool,
}

/// A log file as a digest has it.
struct DigestEntry {
    hash: Sha256,
    time: Timestamp,
    digest: Arc<str>,
    /// Why the digest is not proven, if it isn't.
    doubt: Option<Arc<str>>,
}

struct Hole {
    from: Timestamp,
    to: Timestamp,
    why: String,
}

/// The digests of one trail.
#[derive(Default)]
struct Chain {
    last: Option<Link>,
    /// The last one, whose signature is only in the next one.
    unsigned: Option<Read>,
}

/// What a digest's successor says of it.
struct Link {
    path: String,
    end: Timestamp,
    /// None where it is bad, which was said.
    hash: Option<Sha256>,
}

/// A digest that was read.
struct Read {
    name: String,
    path: String,
    end: Timestamp,
    generated: Option<Timestamp>,
    digest: Digest,
}

impl DigestChains {
    pub fn new(checks: Arc<Checks>, folder: String) -> Self {
        let span = checks.digests.span();
        Self {
            checks,
            folder,
            span,
            named: Mutex::default(),
            state: sync::Mutex::default(),
        }
    }

    fn named_so_far(&self) -> MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of the account, with a separator behind, or nothing.
    fn account(&self) -> &str {
        let end = self.folder.rfind(trail::DIGESTS);
        &self.folder[..end.unwrap_or_default()]
    }

    /// The region's own name.
    fn region(&self) -> &str {
        let folder = self.folder.trim_end_matches(['/', '\\']);
        folder.rsplit(['/', '\\']).next().unwrap_or_default()
    }

    /// The full name of a log file or digest.
    fn name(&self, path: &str) -> String {
        format!("{}{path}.gz", self.account())
    }

    /// The source has named a log file, which will be looked up.
    pub fn named(&self, path: &str, time: Timestamp) {
        let mut named = self.named_so_far();
        named.paths.insert(path.to_owned(), time);
        let kind = Place::kind_and_region(path).to_owned();
        let reached = named.reached.entry(kind).or_insert(time);
        *reached = time.max(*reached);
        *named.waiting.entry(time).or_default() += 1;
    }

    /// What digests say of a log file.
    pub async fn expect(&self, path: &str, time: Timestamp) -> Expected {
        let mut state = self.state.lock().await;
        let expected = loop {
            if let Some(entry) = state.entries.get(path) {
                break Expected::Hash {
                    hash: entry.hash,
                    digest: Arc::clone(&entry.digest),
                    doubt: entry.doubt.clone(),
                };
            }
            if state.is_past(time) {
                break self.absent(&mut state, time);
            }
            self.load(&mut state, time).await;
        };
        let mut named = self.named_so_far();
        if let Some(waiting) = named.waiting.get_mut(&time) {
            *waiting -= 1;
            if *waiting == 0 {
                named.waiting.remove(&time);
            }
        }
        expected
    }

    /// All log files are named: find those that digests name and that are not there.
    pub async fn finish(&self) {
        let mut state = self.state.lock().await;
        let end = self.span.end.unwrap_or(Timestamp::MAX);
        while !state.is_past(end) {
            self.load(&mut state, end).await;
        }
        self.forget(&mut state, true);
    }

    /// Read the next digests, up to those that may name log files of this time.
    async fn load(&self, state: &mut State, until: Timestamp) {
        while state.waiting.is_empty() && !state.listed {
            if let Err(error) = self.list(state).await {
                let line = format!("{}: digests can't be listed: {error:#}", self.folder);
                state.trouble = Some(line.clone());
                state.listed = true;
                self.checks.problem(line);
            }
        }
        let until = until.checked_add(LATE).unwrap_or(Timestamp::MAX);
        let mut batch = Vec::new();
        while let Some(name) = state.waiting.front()
            && batch.len() < BATCH
            && (batch.is_empty() || trail::digest_end(name).is_some_and(|end| end <= until))
        {
            batch.extend(state.waiting.pop_front());
        }
        let digests = &self.checks.digests;
        let fetched = batch.into_iter().map(|name| async move {
            // The semaphore is never closed.
            let _slot = self.checks.requests.acquire().await;
            let stored = digests.get(name.clone()).await;
            (name, stored)
        });
        let mut fetched = stream::iter(fetched).buffered(BATCH);
        while let Some((name, stored)) = fetched.next().await {
            self.take(state, name, stored).await;
        }
        if state.waiting.is_empty() && state.listed {
            let unsigned: Vec<Read> = state
                .chains
                .values_mut()
                .filter_map(|chain| chain.unsigned.take())
                .collect();
            for read in unsigned {
                self.settle(state, read, None).await;
            }
            state.done = true;
        }
        self.forget(state, false);
    }

    /// List a page of digests. Within a day, names go by trail first.
    async fn list(&self, state: &mut State) -> Result<()> {
        let start = self
            .span
            .start
            .and_then(|start| start.checked_sub(EARLY).ok());
        let after = state.after.take().or_else(|| {
            let day = start?.strftime("%Y/%m/%d/");
            Some(format!("{}{day}", self.folder))
        });
        let page = self.checks.digests.list(self.folder.clone(), after).await?;
        let names = page.names.into_iter().filter(|name| {
            trail::is_digest(name)
                && Place::of(name).is_some_and(|place| place.digests == self.folder)
                && (start.is_none() || trail::digest_end(name) >= start)
        });
        state.held_back.extend(names);
        state.listed = page.next.is_none();
        state.after = page.next;
        let day = |name: &str| name.rfind(['/', '\\']).map(|end| name[..end].to_owned());
        let last = match state.listed {
            true => None,
            false => state.after.as_deref().and_then(day),
        };
        let (held, mut released): (Vec<String>, Vec<String>) = std::mem::take(&mut state.held_back)
            .into_iter()
            .partition(|name| last.is_some() && day(name) == last);
        released.sort_by_cached_key(|name| (trail::digest_end(name), name.clone()));
        state.held_back = held;
        state.waiting.extend(released);
        Ok(())
    }

    /// Take a digest into account.
    async fn take(&self, state: &mut State, name: String, stored: Result<Stored>) {
        let (Some(end), Some(place)) = (trail::digest_end(&name), Place::of(&name)) else {
            return;
        };
        let path = place.path;
        let chain = chain(&path);
        if state
            .reached
            .as_ref()
            .is_none_or(|(reached, _)| *reached <= end)
        {
            state.reached = Some((end, name.clone()));
        }
        state.known.push_back(path.clone());
        if state.known.len() > KNOWN {
            state.known.pop_front();
        }
        let read = stored.and_then(|stored| {
            let digest = Digest::parse(&stored.bytes)?;
            let is_here = Place::of(&digest.object).is_some_and(|place| place.path == path);
            ensure!(
                is_here,
                "was moved: it says that it is {}/{}",
                digest.bucket,
                digest.object
            );
            let read = Read {
                name: name.clone(),
                path: path.clone(),
                end,
                generated: stored.generated,
                digest,
            };
            Ok((read, stored.signature))
        });
        let (read, signature) = match read {
            Ok(read) => read,
            Err(error) => {
                self.bad(state, &chain, &name, end, &format!("{error:#}"));
                let last = Some(Link {
                    path,
                    end,
                    hash: None,
                });
                state.chains.entry(chain).or_default().last = last;
                return;
            }
        };
        let digest = &read.digest;
        state.first = Some(
            state
                .first
                .map_or(digest.start, |first| first.min(digest.start)),
        );
        self.note_copy(digest);
        self.follow_link(state, &chain, &read);
        let link = Link {
            path: path.clone(),
            end,
            hash: Some(digest.hash),
        };
        let here = state.chains.entry(chain.clone()).or_default();
        here.last = Some(link);
        if let Some(unsigned) = here.unsigned.take() {
            let signature = digest
                .previous()
                .filter(|previous| previous.is_at(&unsigned.path))
                .map(|previous| previous.signature.to_owned());
            self.settle(state, unsigned, signature).await;
        }
        match signature {
            Some(signature) => self.settle(state, read, Some(signature)).await,
            None => state.chains.entry(chain).or_default().unsigned = Some(read),
        }
    }

    /// Check a digest's signature, where it is known, and take over what it says.
    async fn settle(&self, state: &mut State, read: Read, signature: Option<String>) {
        let stats = &self.checks.stats;
        let doubt = match signature {
            None => Some(Arc::from(
                "that digest's own signature is neither with it, as in CloudTrail's bucket, nor in a digest after it, so \
                 the digest can't be proven here",
            )),
            Some(signature) => match self.verify(&read, &signature).await {
                Ok(()) => {
                    stats.digests_proven.add(1);
                    None
                }
                Err(error) => {
                    let chain = chain(&read.path);
                    self.bad(state, &chain, &read.name, read.end, &format!("{error:#}"));
                    let last = state.chains.entry(chain).or_default().last.as_mut();
                    if let Some(last) = last.filter(|last| last.path == read.path) {
                        last.hash = None;
                    }
                    return;
                }
            },
        };
        let digest: Arc<str> = Arc::from(&*read.name);
        for file in &read.digest.log_files {
            let (Some(place), Some(hash)) = (Place::of(&file.object), file.hash()) else {
                continue;
            };
            if doubt.is_some() && state.entries.contains_key(&place.path) {
                continue;
            }
            // Nothing that would never be asked for.
            let is_named = self.named_so_far().paths.contains_key(&place.path);
            if !is_named && !self.checks.digests.wants(&self.name(&place.path)) {
                continue;
            }
            let entry = DigestEntry {
                hash,
                time: trail::delivery_time(&place.path).unwrap_or(read.digest.start),
                digest: Arc::clone(&digest),
                doubt: doubt.clone(),
            };
            state.entries.insert(place.path, entry);
        }
    }

    async fn verify(&self, read: &Read, signature: &str) -> Result<()> {
        let times: Vec<Timestamp> = [Some(read.end), read.generated]
            .into_iter()
            .flatten()
            .collect();
        let (keys, digests) = (&self.checks.keys, &*self.checks.digests);
        let fingerprint = &read.digest.fingerprint;
        let key = keys
            .find(digests, self.region(), fingerprint, &times)
            .await?;
        read.digest.verify(&key, signature)
    }

    /// A digest is of no use.
    fn bad(&self, state: &mut State, chain: &str, name: &str, end: Timestamp, why: &str) {
        self.checks.stats.digests_failed.add(1);
        self.checks
            .problem(format!("{name}: the digest {why}; it proves no log file"));
        let last = state
            .chains
            .get(chain)
            .and_then(|chain| chain.last.as_ref());
        let hour = SignedDuration::from_hours(1);
        let begin = last.map(|last| last.end).filter(|last| *last < end);
        state.holes.push(Hole {
            from: before(begin.unwrap_or_else(|| before(end, hour)), EARLY),
            to: end,
            why: format!("its digest {name} {why}"),
        });
    }

    /// Is a digest the successor of the last one of its chain?
    fn follow_link(&self, state: &mut State, chain: &str, read: &Read) {
        let Read { name, digest, .. } = read;
        let before_it = state.chains.get(chain);
        let last = before_it.and_then(|chain| chain.last.as_ref());
        let unsigned = before_it.is_some_and(|chain| chain.unsigned.is_some());
        let stats = &self.checks.stats;
        let Some(previous) = digest.previous() else {
            // The first of belated ones says nothing.
            if let Some(last) = last
                && !is_backfill(chain)
            {
                let (from, to) = (last.end, digest.start);
                stats.note(format!(
                    "{}: there are no digests from {from} to {to}: logging or log file validation was stopped then, or \
                     the last ones before were deleted; a new chain begins with {name}",
                    self.folder
                ));
                state.holes.push(Hole {
                    from,
                    to,
                    why: format!(
                        "it was delivered while logging or log file validation was stopped, between {from} and {to}"
                    ),
                });
            }
            return;
        };
        if let Some(last) = last
            && previous.is_at(&last.path)
        {
            // Where it is not checked yet, its signature will tell.
            if !unsigned && last.hash.is_some() && previous.hash != last.hash {
                stats.digests_failed.add(1);
                let last = self.name(&last.path);
                self.checks.problem(format!(
                    "{last}: the digest is not the one that {name} names as the one before it: its SHA-256 is another"
                ));
            }
            return;
        }
        let Some(place) = Place::of(previous.object) else {
            return;
        };
        if state.known.contains(&place.path) || previous.bucket != digest.bucket {
            return;
        }
        let Some(end) = trail::digest_end(previous.object) else {
            return;
        };
        if last.is_none() {
            let is_before = self
                .span
                .start
                .is_some_and(|start| end < before(start, EARLY));
            if is_before {
                return;
            }
            if self.span.start.is_none() {
                stats.note(format!(
                    "{}: the digests begin with {name}, though there was one before: older ones have expired or were \
                     deleted",
                    self.folder
                ));
                return;
            }
        }
        let missing = self.name(&place.path);
        let why = format!("is missing, though {name} names it as the one before it");
        let from = last.map_or_else(
            || before(end, SignedDuration::from_hours(1)),
            |last| last.end,
        );
        stats.digests_failed.add(1);
        self.checks.problem(format!(
            "{missing}: the digest {why}: it was deleted, and the log files from {from} to {} can't be proven",
            digest.start
        ));
        state.holes.push(Hole {
            from: before(from, EARLY),
            to: digest.start,
            why: format!("its digest {missing} {why}"),
        });
    }

    /// Say it once if the digests were written for another bucket.
    fn note_copy(&self, digest: &Digest) {
        if let Some(bucket) = self.checks.digests.bucket()
            && bucket != digest.bucket
            && !self.checks.copied.swap(true, Ordering::Relaxed)
        {
            self.checks.stats.note(format!(
                "{}: the digests were written for the bucket {}: this is a copy of it",
                self.folder, digest.bucket
            ));
        }
    }

    /// Why no digest names a log file of this time.
    fn absent(&self, state: &mut State, time: Timestamp) -> Expected {
        if let Some(trouble) = &state.trouble {
            return Expected::Unsigned(trouble.clone());
        }
        let Some((reached, newest)) = &state.reached else {
            if !std::mem::replace(&mut state.said_none, true) {
                let line = format!("{}: {NO_DIGESTS}", self.folder);
                self.checks.stats.problem(line);
            }
            return Expected::NoDigests;
        };
        if let Some(hole) = state
            .holes
            .iter()
            .find(|hole| hole.from <= time && time <= hole.to)
        {
            return Expected::Unsigned(hole.why.clone());
        }
        if time > before(*reached, EARLY) {
            let is_overdue = self.checks.digests.bucket().is_some()
                && Timestamp::now().duration_since(time) > OVERDUE;
            return match is_overdue {
                false => Expected::Uncovered(format!(
                    "it is newer than the newest digest, {newest}, which come up to an hour or two later"
                )),
                true => Expected::Unsigned(format!(
                    "it is newer than the newest digest, {newest}, though its own should be there by now: log file \
                     validation was switched off, or digests were deleted"
                )),
            };
        }
        if let Some(first) = state.first.filter(|first| time < before(*first, EARLY)) {
            return Expected::Unsigned(format!(
                "it was delivered before the first digest, which begins at {first}"
            ));
        }
        Expected::Unsigned(
            "it is in no digest, though those of its time are there: CloudTrail did not put it there, or it did so for \
             a trail without log file validation"
                .to_owned(),
        )
    }

    /// Forget what is over, and name what was missing of it; at the end, all that is missing.
    fn forget(&self, state: &mut State, end: bool) {
        let mut missing = Vec::new();
        let mut named = self.named_so_far();
        let waiting = named.waiting.keys().next().copied();
        let Named { paths, reached, .. } = &mut *named;
        let is_over = |path: &str, time: Timestamp| {
            let reached = reached.get(Place::kind_and_region(path)).copied();
            let reached = reached.map(|reached| waiting.map_or(reached, |time| time.min(reached)));
            reached.is_some_and(|reached| time < before(reached, KEPT))
        };
        state.entries.retain(|path, entry| {
            let is_over = is_over(path, entry.time);
            let is_there = paths.contains_key(path);
            if (is_over || end) && !is_there {
                missing.push((entry.time, path.clone(), Arc::clone(&entry.digest)));
                return false;
            }
            !is_over
        });
        paths.retain(|path, time| !is_over(path, *time));
        drop(named);
        if let Some((reached, _)) = &state.reached {
            let oldest = waiting.unwrap_or(*reached).min(*reached);
            state.holes.retain(|hole| hole.to > before(oldest, KEPT));
        }
        missing.sort_unstable();
        for (_, path, digest) in missing {
            let name = self.name(&path);
            self.checks.stats.files_missing.add(1);
            self.checks.problem(format!(
                "{name}: the log file is missing: {digest} names it, so it was there and was deleted"
            ));
        }
    }
}

impl State {
    /// Are all digests read that may name a log file of this time?
    fn is_past(&self, time: Timestamp) -> bool {
        let until = time.checked_add(LATE).unwrap_or(Timestamp::MAX);
        self.done
            || self
                .reached
                .as_ref()
                .is_some_and(|(reached, _)| *reached > until)
    }
}

impl Previous<'_> {
    fn is_at(&self, path: &str) -> bool {
        Place::of(self.object).is_some_and(|place| place.path == path)
    }
}

fn before(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// What the names of the digests of one trail have in common, up to their time.
fn chain(path: &str) -> String {
    let stem = path.strip_suffix(".json").unwrap_or(path);
    let (stem, backfill) = match stem.strip_suffix(BACKFILL) {
        Some(stem) => (stem, BACKFILL),
        None => (stem, ""),
    };
    let name = stem.rsplit('/').next().unwrap_or(stem);
    let trail = name.rsplit_once('_').map_or(name, |(trail, _)| trail);
    format!("{trail}{backfill}")
}

fn is_backfill(chain: &str) -> bool {
    chain.ends_with(BACKFILL)
}

const BACKFILL: &str = "_backfill";
