//! How the digests of a chain follow each other.
//!
//! ```text
//!   digest ◀─ digest ◀─ digest    ✕    digest ◀─ digest        each names the one before it, with its hash and signature
//!                              a gap: logging was stopped, or digests of it come belatedly (`_backfill`)
//! ```

use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};

use super::Expected;
use super::digest::{Digest, Previous};
use super::state::{DigestChains, EARLY, Hole, Read, State, before};
use crate::trail::{self, Place};

impl DigestChains {
    /// Is a digest the successor of the last one of its chain?
    pub(super) async fn follow_link(&self, state: &mut State, chain: &str, read: &Read) {
        let digest = &read.digest;
        if let Some(trail) = chain.strip_suffix(BACKFILL) {
            let time = (digest.start, read.end);
            let chain = state.chains.entry(trail.to_owned()).or_default();
            let last = chain.last.as_ref().map(|last| last.end);
            chain.belated.retain(|(_, end)| Some(*end) > last);
            chain.belated.push(time);
        }
        let Some(previous) = digest.previous() else {
            self.note_gaps(state, chain, read);
            return;
        };
        let chain = state.chains.get(chain);
        let last = chain.and_then(|chain| chain.last.as_ref());
        if let Some(last) = last
            && previous.is_at(&last.path)
        {
            // If the last one is not checked yet, its signature will show it.
            let is_unsigned = chain.is_some_and(|chain| chain.unsigned.is_some());
            if !is_unsigned && last.hash.is_some() && previous.hash != last.hash {
                self.checks.stats.digests_failed.add(1);
                let last = self.name(&last.path);
                self.checks.problem(format!(
                    "{last}: the digest is not the one that {} names as the one before it: its SHA-256 is another",
                    read.name
                ));
            }
            return;
        }
        let last = last.map(|last| last.end);
        if let Some((missing, end)) = self.missing(state, last, read, &previous) {
            self.name_missing_digest(state, last, read, missing, end)
                .await;
        }
    }

    /// A new chain begins: the time since the last digest is a gap, unless late digests cover it.
    fn note_gaps(&self, state: &mut State, chain: &str, read: &Read) {
        // The first late digest says nothing about a gap.
        if chain.ends_with(BACKFILL) {
            return;
        }
        let Some(chain) = state.chains.get_mut(chain) else {
            return;
        };
        let belated = std::mem::take(&mut chain.belated);
        let Some(last) = &chain.last else {
            return;
        };
        for (from, to) in gaps(last.end, read.digest.start, belated) {
            self.checks.stats.note(format!(
                "{}: there are no digests from {from} to {to}: logging or log file validation was stopped then, or \
                 the last ones before were deleted; a new chain begins with {}",
                self.folder, read.name
            ));
            state.holes.push(Hole {
                from,
                to,
                expected: Expected::Unsigned(format!(
                    "it was delivered while logging or log file validation was stopped, between {from} and {to}"
                )),
            });
        }
    }

    /// The name and end of the digest before this one, if it should be there and was not listed.
    fn missing(
        &self,
        state: &State,
        last: Option<Timestamp>,
        read: &Read,
        previous: &Previous<'_>,
    ) -> Option<(String, Timestamp)> {
        let digest = &read.digest;
        let place = Place::of(previous.object)?;
        // The trail's bucket or prefix was changed.
        let is_elsewhere = previous.bucket != digest.bucket
            || Place::of(&digest.object).is_none_or(|this| this.digests != place.digests);
        if state.known.contains(&place.path) || is_elsewhere {
            return None;
        }
        let end = trail::digest_end(previous.object)?;
        match (last, self.span.start) {
            (None, Some(start)) if end < before(start, EARLY) => return None,
            (None, None) => {
                self.checks.stats.note(format!(
                    "{}: the digests begin with {}, though there was one before: older ones have expired or were \
                     deleted",
                    self.folder, read.name
                ));
                return None;
            }
            _ => {}
        }
        Some((self.name(&place.path), end))
    }

    async fn name_missing_digest(
        &self,
        state: &mut State,
        last: Option<Timestamp>,
        read: &Read,
        missing: String,
        end: Timestamp,
    ) {
        let (from, to) = (
            last.unwrap_or_else(|| before(end, SignedDuration::from_hours(1))),
            read.digest.start,
        );
        let expected = if self.checks.digests.exists(missing.clone()).await {
            Expected::Uncovered(format!("its digest {missing} came while the capture ran"))
        } else {
            let why = format!(
                "is missing, though {} names it as the one before it",
                read.name
            );
            self.checks.stats.digests_failed.add(1);
            self.checks.problem(format!(
                "{missing}: the digest {why}: it was deleted, and the log files from {from} to {to} can't be proven"
            ));
            Expected::Unsigned(format!("its digest {missing} {why}"))
        };
        state.holes.push(Hole {
            from: before(from, EARLY),
            to,
            expected,
        });
    }

    /// Say it once if the digests were written for another bucket.
    pub(super) fn note_copy(&self, digest: &Digest) {
        // An access point's ARN or alias does not tell the bucket's name.
        let is_name = |bucket: &str| !bucket.starts_with("arn:") && !bucket.ends_with("-s3alias");
        if let Some(bucket) = self.checks.digests.bucket().filter(|name| is_name(name))
            && bucket != digest.bucket
            && !self.checks.copied.swap(true, Ordering::Relaxed)
        {
            self.checks.stats.note(format!(
                "{}: the digests were written for the bucket {}: this is a copy of it",
                self.folder, digest.bucket
            ));
        }
    }
}

impl Previous<'_> {
    pub(super) fn is_at(&self, path: &str) -> bool {
        Place::of(self.object).is_some_and(|place| place.path == path)
    }
}

/// The parts of a time that nothing in `covered` covers.
fn gaps(
    from: Timestamp,
    to: Timestamp,
    mut covered: Vec<(Timestamp, Timestamp)>,
) -> Vec<(Timestamp, Timestamp)> {
    covered.sort_unstable();
    covered.retain(|(_, end)| *end > from);
    covered.push((to, to));
    let mut gaps = Vec::new();
    let mut reached = from;
    for (start, end) in covered {
        if start.min(to) > reached {
            gaps.push((reached, start.min(to)));
        }
        reached = reached.max(end);
    }
    gaps
}

/// The common beginning of the names of one trail's digests, up to their time.
pub(super) fn chain_of(path: &str) -> String {
    let stem = path.strip_suffix(".json").unwrap_or(path);
    let (stem, backfill) = match stem.strip_suffix(BACKFILL) {
        Some(stem) => (stem, BACKFILL),
        None => (stem, ""),
    };
    let name = stem.rsplit('/').next().unwrap_or(stem);
    let trail = name.rsplit_once('_').map_or(name, |(trail, _)| trail);
    format!("{trail}{backfill}")
}

const BACKFILL: &str = "_backfill";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trail_has_its_chain() {
        let chain = |rest: &str| chain_of(&format!("CloudTrail-Digest/r/2024/03/05/{rest}"));
        let main = chain("1_CloudTrail-Digest_r_main_r_20240305T120131Z.json");
        assert_eq!(main, "1_CloudTrail-Digest_r_main_r");
        assert_eq!(
            chain("1_CloudTrail-Digest_r_main_r_20240305T130131Z.json"),
            main
        );
        assert_ne!(
            chain("1_CloudTrail-Digest_r_other_r_20240305T120131Z.json"),
            main
        );
        let backfill = chain("1_CloudTrail-Digest_r_main_r_20240305T120131Z_backfill.json");
        assert_eq!(backfill.strip_suffix(BACKFILL), Some(&*main));
    }

    #[test]
    fn gaps_are_what_nothing_covers() {
        let time = |hour: i64| Timestamp::from_second(hour * 3600).unwrap();
        let gaps = |covered: &[(i64, i64)]| -> Vec<(i64, i64)> {
            let covered = covered.iter().map(|(from, to)| (time(*from), time(*to)));
            let hour = |time: Timestamp| time.as_second() / 3600;
            let gaps = gaps(time(10), time(20), covered.collect());
            gaps.into_iter()
                .map(|(from, to)| (hour(from), hour(to)))
                .collect()
        };
        assert_eq!(gaps(&[]), [(10, 20)]);
        assert_eq!(gaps(&[(5, 9), (21, 22)]), [(10, 20)]);
        assert_eq!(gaps(&[(10, 20)]), []);
        assert_eq!(gaps(&[(15, 21), (9, 15)]), []);
        assert_eq!(
            gaps(&[(12, 13), (11, 12), (15, 16)]),
            [(10, 11), (13, 15), (16, 20)]
        );
    }
}
