//! Reads the digests of one account and region in the order of their time, as far as log files are looked up.
//!
//! There is a digest chain for each trail, and another one for its digests that were made late (`_backfill`). Only a few
//! hours of digest entries are held. How the digests of a chain follow each other is in [`super::links`], and what is
//! held of them in [`super::state`]: chain knows links, and both know state.

use std::sync::Arc;

use anyhow::Result;
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::digest::Digest;
use super::links::chain_of;
use super::state::{DigestChains, DigestEntry, EARLY, Hole, Link, Named, Read, State, before};
use super::{Expected, Flaw, NAMED, Stored};
use crate::stats::count;
use crate::trail::{self, Place};

/// How long after a log file's time the digest that names it may end.
const LATE: SignedDuration = SignedDuration::from_hours(2);
/// How long after a log file's time its digest should be there.
const OVERDUE: SignedDuration = SignedDuration::from_hours(3);
/// How long digest entries are kept after the log file that is looked up has passed them.
const KEPT: SignedDuration = SignedDuration::from_hours(4);
/// How many digests are fetched at once.
const BATCH: usize = 8;
/// How many digests are remembered, which later ones may name as the one before.
const KNOWN: usize = 64;

/// What is logged if there are no digests.
pub(super) const NO_DIGESTS: &str = "there are no digest files for it, so log file validation is not enabled for its \
     trail: enable it in CloudTrail, for log files to come";

/// The time and path of a log file that is not there, and the digest that names it.
type Absent = (Timestamp, String, Arc<str>);

impl DigestChains {
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

    /// Called when the source has named all log files: find those that only digests name.
    pub async fn finish(&self) {
        let mut state = self.state.lock().await;
        let end = self.span.end.unwrap_or(Timestamp::MAX);
        while !state.is_past(end) {
            self.load(&mut state, end).await;
        }
        self.forget(&mut state, true).await;
    }

    /// Read the next digests, up to those that may name log files of this time.
    async fn load(&self, state: &mut State, until: Timestamp) {
        while state.waiting.is_empty() && !state.listed {
            if let Err(error) = self.list(state).await {
                let line = format!("{}: digests can't be listed: {error:#}", self.folder);
                state.trouble = Some(line.clone());
                state.listed = true;
                self.checks.stats.problem(line);
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
            let chains = state.chains.values_mut();
            let unsigned: Vec<Read> = chains.filter_map(|chain| chain.unsigned.take()).collect();
            for read in unsigned {
                self.settle(state, read, None).await;
            }
            state.done = true;
        }
        self.forget(state, false).await;
    }

    /// List a page of digests. Within a day, names are sorted by trail first, so a day is released as a whole.
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

    /// Add a digest to its chain.
    async fn take(&self, state: &mut State, name: String, stored: Result<Stored>) {
        let (Some(end), Some(place)) = (trail::digest_end(&name), Place::of(&name)) else {
            return;
        };
        let reached = state.reached.as_ref();
        if reached.is_none_or(|(reached, _)| *reached <= end) {
            state.reached = Some((end, name.clone()));
        }
        state.known.push_back(place.path.clone());
        if state.known.len() > KNOWN {
            state.known.pop_front();
        }
        let path = place.path.clone();
        let chain = chain_of(&path);
        let link = |hash| Link { path, end, hash };
        let (read, signature) = match self.read(&name, place, end, stored) {
            Ok(read) => read,
            Err(flaw) => {
                self.refuse(state, &chain, &name, end, flaw);
                state.chains.entry(chain).or_default().last = Some(link(None));
                return;
            }
        };
        let start = read.digest.start;
        state.first = Some(state.first.map_or(start, |first| first.min(start)));
        self.note_copy(&read.digest);
        self.follow_link(state, &chain, &read).await;
        let here = state.chains.entry(chain.clone()).or_default();
        here.last = Some(link(Some(read.digest.hash)));
        if let Some(unsigned) = here.unsigned.take() {
            let signature = read
                .digest
                .previous()
                .filter(|previous| previous.is_at(&unsigned.place.path))
                .map(|previous| previous.signature.to_owned());
            self.settle(state, unsigned, signature).await;
        }
        match signature {
            Some(signature) => self.settle(state, read, Some(signature)).await,
            None => state.chains.entry(chain).or_default().unsigned = Some(read),
        }
    }

    /// Read a digest, with its signature where that is kept beside it.
    fn read(
        &self,
        name: &str,
        place: Place,
        end: Timestamp,
        stored: Result<Stored>,
    ) -> Result<(Read, Option<String>), Flaw> {
        let stored = stored.map_err(|error| Flaw::Unchecked(format!("{error:#}")))?;
        let digest =
            Digest::parse(&stored.bytes).map_err(|error| Flaw::Bad(format!("{error:#}")))?;
        self.check_place(name, &place, &digest).map_err(Flaw::Bad)?;
        let read = Read {
            name: name.to_owned(),
            place,
            end,
            generated: stored.generated,
            digest,
        };
        Ok((read, stored.signature))
    }

    /// Was a digest written for the place where it is? As with `aws cloudtrail validate-logs`, a bucket's trail is the one
    /// that writes to it: otherwise, anybody could put digests of their own trail there, which CloudTrail has signed.
    fn check_place(&self, name: &str, place: &Place, digest: &Digest) -> Result<(), String> {
        let rules = &self.checks.rules;
        let here = self.checks.digests.bucket();
        let (bucket, object) = (&*digest.bucket, &*digest.object);
        let is_own = here == Some(bucket);
        let said = Place::of(object);
        let is_moved = match is_own && rules.strict {
            true => name != format!("s3://{bucket}/{object}"),
            // A copy may lie elsewhere, but not in the folder of another account.
            false => said.is_none_or(|said| {
                let account = trail::folder_account(&place.digests);
                said.path != place.path
                    || account.is_some() && account != trail::folder_account(&said.digests)
            }),
        };
        if is_moved {
            return Err(format!("was moved: it says that it is {bucket}/{object}"));
        }
        match (&rules.bucket, here) {
            (Some(named), _) if !is_own && named != bucket => Err(format!(
                "was written for the bucket {bucket}, not for {named}, which validateBucket names"
            )),
            (None, Some(here)) if !is_own && rules.strict => Err(format!(
                "was written for the bucket {bucket}, not for {here}: set validateBucket to {bucket} if that is the \
                 bucket of your trail"
            )),
            _ => Ok(()),
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
                Err(flaw) => {
                    let chain = chain_of(&read.place.path);
                    self.refuse(state, &chain, &read.name, read.end, flaw);
                    let last = state.chains.entry(chain).or_default().last.as_mut();
                    if let Some(last) = last.filter(|last| last.path == read.place.path) {
                        last.hash = None;
                    }
                    return;
                }
            },
        };
        self.enter(state, &read, doubt.as_ref());
    }

    /// Take over what a digest says of log files.
    fn enter(&self, state: &mut State, read: &Read, doubt: Option<&Arc<str>>) {
        let digest: Arc<str> = Arc::from(&*read.name);
        let written = Place::of(&read.digest.object).map(|place| place.digests);
        for file in &read.digest.log_files {
            let (Some(place), Some(hash)) = (Place::of(&file.object), file.hash()) else {
                continue;
            };
            // Where a trail's bucket or prefix was changed within the hour, log files lie elsewhere than their digest.
            if file.bucket != read.digest.bucket || Some(&place.digests) != written.as_ref() {
                continue;
            }
            if doubt.is_some() && state.entries.contains_key(&place.path) {
                continue;
            }
            // Log files that would never be looked up are left out.
            let is_named = self.named_so_far().paths.contains_key(&place.path);
            if !is_named && !self.checks.digests.wants(&self.name(&place.path)) {
                continue;
            }
            let entry = DigestEntry {
                hash,
                time: trail::delivery_time(&place.path).unwrap_or(read.digest.start),
                digest: Arc::clone(&digest),
                doubt: doubt.cloned(),
            };
            state.entries.insert(place.path, entry);
        }
    }

    async fn verify(&self, read: &Read, signature: &str) -> Result<(), Flaw> {
        let times: Vec<Timestamp> = [Some(read.end), read.generated]
            .into_iter()
            .flatten()
            .collect();
        let (keys, digests) = (&self.checks.keys, &*self.checks.digests);
        let fingerprint = &read.digest.fingerprint;
        let key = keys
            .find(digests, self.region(), fingerprint, &times)
            .await?;
        let verified = read.digest.verify(&key, signature);
        verified.map_err(|error| Flaw::Bad(format!("{error:#}")))
    }

    /// Report a digest that can't be used.
    fn refuse(&self, state: &mut State, chain: &str, name: &str, end: Timestamp, flaw: Flaw) {
        let stats = &self.checks.stats;
        let expected = match flaw {
            Flaw::Bad(why) => {
                stats.digests_failed.add(1);
                let line = format!("{name}: the digest {why}; it proves no log file");
                self.checks.problem(line);
                Expected::Unsigned(format!("its digest {name} {why}"))
            }
            Flaw::Unchecked(why) => {
                stats.digests_unchecked.add(1);
                stats.problem(format!("{name}: the digest could not be checked: {why}"));
                Expected::Unchecked(format!("{why} (its digest is {name})"))
            }
        };
        let last = state
            .chains
            .get(chain)
            .and_then(|chain| chain.last.as_ref());
        let hour = SignedDuration::from_hours(1);
        let begin = last.map(|last| last.end).filter(|last| *last < end);
        state.holes.push(Hole {
            from: before(begin.unwrap_or_else(|| before(end, hour)), EARLY),
            to: end,
            expected,
        });
    }

    /// Why no digest names a log file of this time.
    fn absent(&self, state: &mut State, time: Timestamp) -> Expected {
        if let Some(trouble) = &state.trouble {
            return Expected::Unchecked(trouble.clone());
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
            return hole.expected.clone();
        }
        if time > before(*reached, EARLY) {
            let is_overdue = self.checks.digests.bucket().is_some()
                && self.checks.rules.opened.duration_since(time) > OVERDUE;
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

    /// Forget old entries, and log which of their log files are missing; at the end, of all entries.
    async fn forget(&self, state: &mut State, end: bool) {
        let absent = self.prune(state, end);
        self.name_missing(absent).await;
    }

    /// Forget old entries. Returns the log files that digests name and the source has not.
    fn prune(&self, state: &mut State, end: bool) -> Vec<Absent> {
        let mut absent = Vec::new();
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
                absent.push((entry.time, path.clone(), Arc::clone(&entry.digest)));
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
        absent
    }

    /// Log which log files a digest names and the source has not. Those that came after the source had listed are not
    /// missing: the digest may have come only then, too.
    async fn name_missing(&self, mut absent: Vec<Absent>) {
        let (rules, stats) = (&self.checks.rules, &self.checks.stats);
        absent.retain(|(time, ..)| *time < before(rules.opened, EARLY));
        absent.sort_unstable();
        let looked_at = absent.into_iter().map(|(_, path, digest)| async move {
            let name = self.name(&path);
            // If many are missing, not all of them are looked for once more.
            let is_there =
                stats.files_missing.get() < NAMED && self.checks.digests.exists(name.clone()).await;
            (name, digest, is_there)
        });
        let mut looked_at = stream::iter(looked_at).buffered(BATCH);
        let mut late = 0;
        while let Some((name, digest, is_there)) = looked_at.next().await {
            if is_there {
                late += 1;
                continue;
            }
            stats.files_missing.add(1);
            self.checks.problem(format!(
                "{name}: the log file is missing: {digest} names it, so it was there and was deleted"
            ));
        }
        if late > 0 {
            stats.note(format!(
                "{}: {} came while the capture ran and will be in the next one",
                self.folder,
                count(late, "log file")
            ));
        }
    }
}

impl State {
    /// Have all digests been read that may name a log file of this time?
    fn is_past(&self, time: Timestamp) -> bool {
        let until = time.checked_add(LATE).unwrap_or(Timestamp::MAX);
        self.done
            || self
                .reached
                .as_ref()
                .is_some_and(|(reached, _)| *reached > until)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Case, hour};
    use harness::digest::{Chain, Signer};
    use harness::trail::Maker;

    /// However long a trail is.
    #[tokio::test]
    async fn only_some_hours_are_held() {
        let files =
            Maker::new(1).trail(&["123456789012"], &["eu-west-1"], "20240305T1005Z", 600, 1);
        let mut chain = Chain::new("logs", "123456789012", "eu-west-1");
        let mut case = Case::new();
        for (number, files) in files.chunks(12).enumerate() {
            case.world
                .put(&chain.digest(&Signer::one(), &hour(number), files));
        }
        let mut most = 0;
        for file in &files {
            assert!(case.read(file).await.is_ok(), "{}", file.name());
            let chains = case.validation.chains.values().next().unwrap();
            let state = chains.state.lock().await;
            let named = chains.named_so_far();
            most = most.max(state.entries.len()).max(named.paths.len());
            assert!(state.waiting.len() < 50 && named.waiting.is_empty());
        }
        assert!((24..200).contains(&most), "{most}");
        case.finish().await.unwrap();
        assert_eq!(case.count("log files 600 proven"), 1, "{:?}", case.said);
    }
}
