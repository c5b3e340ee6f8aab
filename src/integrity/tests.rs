//! Validation of log files whose digests are in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::future::BoxFuture;
use harness::digest::{Chain, Digest, Signer};
use harness::trail::{LogFile, Maker, format_time, gzip, parse_time};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::hash::hash;
use super::{DigestStore, Keys, Listed, PublicKeys, Rules, Stored, Validation, hex};
use crate::log_file::{Content, FileError, Proof};
use crate::stats::{Note, Stats};
use crate::trail::Interval;

const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-west-1";
/// Log files an hour.
const HOUR: usize = 12;

/// A digest as stored, and its signature.
type Kept = (Vec<u8>, Option<String>);
type Answer = dyn Fn(Timestamp) -> Result<PublicKeys> + Send + Sync;

/// A bucket or folder.
pub(super) struct World {
    /// None of a folder.
    bucket: Option<&'static str>,
    /// Those that are listed, with what is in them and their signatures.
    digests: Mutex<BTreeMap<String, Kept>>,
    /// Why some can't be read.
    broken: Mutex<HashMap<String, &'static str>>,
    /// What came after it was listed.
    late: Mutex<HashSet<String>>,
    /// Why nothing can be listed.
    unlisted: Mutex<Option<&'static str>>,
    /// The keys of a time.
    keys: Mutex<Box<Answer>>,
    asked: AtomicU64,
}

impl World {
    fn name(&self, key: &str) -> String {
        match self.bucket {
            Some(bucket) => format!("s3://{bucket}/{key}"),
            None => format!("/copy/{key}"),
        }
    }

    /// Put a digest where it was written for.
    pub fn put(&self, digest: &Digest) {
        self.put_at(&digest.key, digest);
    }

    fn put_at(&self, key: &str, digest: &Digest) {
        let signature = self.bucket.map(|_| digest.signature.clone());
        let stored = (gzip(&digest.json), signature);
        self.digests.lock().unwrap().insert(self.name(key), stored);
    }

    fn remove(&self, digest: &Digest) {
        self.digests.lock().unwrap().remove(&self.name(&digest.key));
    }

    fn comes_late(&self, key: &str) {
        self.late.lock().unwrap().insert(self.name(key));
    }

    fn answer(&self, keys: impl Fn(Timestamp) -> Result<PublicKeys> + Send + Sync + 'static) {
        *self.keys.lock().unwrap() = Box::new(keys);
    }
}

struct Store(Arc<World>);

impl DigestStore for Store {
    fn list(&self, folder: String, after: Option<String>) -> BoxFuture<'_, Result<Listed>> {
        Box::pin(async move {
            if let Some(why) = *self.0.unlisted.lock().unwrap() {
                bail!(why);
            }
            let digests = self.0.digests.lock().unwrap();
            let names = digests
                .keys()
                .filter(|name| name.starts_with(&folder) && Some(*name) > after.as_ref());
            Ok(Listed {
                names: names.cloned().collect(),
                next: None,
            })
        })
    }

    fn get(&self, name: String) -> BoxFuture<'_, Result<Stored>> {
        Box::pin(async move {
            if let Some(why) = self.0.broken.lock().unwrap().get(&name) {
                bail!(*why);
            }
            let (bytes, signature) = self.0.digests.lock().unwrap()[&name].clone();
            Ok(Stored {
                bytes,
                signature,
                generated: None,
            })
        })
    }

    fn folders(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async move {
            if let Some(why) = *self.0.unlisted.lock().unwrap() {
                bail!(why);
            }
            Ok(vec![self.0.name(&format!(
                "AWSLogs/{ACCOUNT}/CloudTrail-Digest/{REGION}/"
            ))])
        })
    }

    fn wants(&self, _name: &str) -> bool {
        true
    }

    fn span(&self) -> Interval {
        Interval::default()
    }

    fn bucket(&self) -> Option<&str> {
        self.0.bucket
    }

    fn exists(&self, name: String) -> BoxFuture<'_, bool> {
        Box::pin(async move { self.0.late.lock().unwrap().contains(&name) })
    }

    fn public_keys(
        &self,
        _region: String,
        _from: Timestamp,
        to: Timestamp,
    ) -> BoxFuture<'_, Result<PublicKeys>> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.0.keys.lock().unwrap()(to);
        Box::pin(std::future::ready(answer))
    }
}

fn public(signer: &Signer) -> (String, Vec<u8>) {
    (signer.fingerprint.clone(), signer.key())
}

/// A capture of it.
pub(super) struct Case {
    pub world: Arc<World>,
    stats: Arc<Stats>,
    pub validation: Validation,
    /// Lines for the host's log, once it is finished.
    pub said: Vec<String>,
}

fn rules(strict: bool, bucket: Option<&str>) -> Rules {
    Rules {
        strict,
        bucket: bucket.map(str::to_owned),
        opened: "2024-04-01T00:00:00Z".parse().unwrap(),
    }
}

impl Case {
    /// A bucket, with warn.
    pub fn new() -> Self {
        Self::of(Some("logs"), rules(false, None))
    }

    fn strict() -> Self {
        Self::of(Some("logs"), rules(true, None))
    }

    fn of(bucket: Option<&'static str>, rules: Rules) -> Self {
        let both = |_| Ok(vec![public(&Signer::one()), public(&Signer::two())]);
        let world = Arc::new(World {
            bucket,
            digests: Mutex::default(),
            broken: Mutex::default(),
            late: Mutex::default(),
            unlisted: Mutex::default(),
            keys: Mutex::new(Box::new(both)),
            asked: AtomicU64::default(),
        });
        let stats = Arc::new(Stats::default());
        let store = Box::new(Store(Arc::clone(&world)));
        let keys = Keys::load(None).unwrap();
        Self {
            validation: Validation::new(rules, Arc::clone(&stats), store, keys),
            world,
            stats,
            said: Vec::new(),
        }
    }

    /// Read a log file as it was delivered.
    pub async fn read(&mut self, file: &LogFile) -> Result<(), FileError> {
        let name = self.world.name(&file.key(""));
        let delivered = Some(parse_time(&file.time));
        let proof = Box::new(self.validation.prove(&name, delivered));
        proof.judge(Content::Whole(hash(&file.json()))).await
    }

    async fn read_all(&mut self, files: &[LogFile]) {
        for file in files {
            _ = self.read(file).await;
        }
    }

    pub async fn finish(&mut self) -> Result<()> {
        let result = self.validation.finish().await;
        let notes = self.stats.take_notes().into_iter();
        self.said.extend(notes.map(|note| match note {
            Note::Info(line) | Note::Warning(line) | Note::Problem(line) | Note::Remark(line) => {
                line
            }
        }));
        self.said.push(self.stats.summary());
        result
    }

    /// Lines with these words.
    pub fn count(&self, words: &str) -> usize {
        self.said.iter().filter(|line| line.contains(words)).count()
    }

    /// Log files proven, missing, unsigned, not covered, not checked; digests proven, failed, not checked.
    fn books(&self) -> [u64; 8] {
        let stats = &self.stats;
        [
            &stats.files_proven,
            &stats.files_missing,
            &stats.files_unsigned,
            &stats.files_uncovered,
            &stats.files_unchecked,
            &stats.digests_proven,
            &stats.digests_failed,
            &stats.digests_unchecked,
        ]
        .map(|count| count.get())
    }
}

/// The minute at which the hour of this number begins.
pub(super) fn hour(number: usize) -> String {
    format_time(parse_time("20240305T1000Z") + SignedDuration::from_hours(number as i64))
}

/// Some hours of a trail, their digests and the chain of these.
fn trail(hours: usize) -> (Vec<LogFile>, Vec<Digest>, Chain) {
    let files = Maker::new(1).trail(&[ACCOUNT], &[REGION], "20240305T1005Z", hours * HOUR, 1);
    let mut chain = Chain::new("logs", ACCOUNT, REGION);
    let digests = files
        .chunks(HOUR)
        .enumerate()
        .map(|(number, files)| chain.digest(&Signer::one(), &hour(number), files))
        .collect();
    (files, digests, chain)
}

/// A digest that CloudTrail might have written as well.
fn rewritten(digest: &Digest, edit: impl FnOnce(&mut Value)) -> Digest {
    let mut json: Value = serde_json::from_slice(&digest.json).unwrap();
    edit(&mut json);
    let text = |key: &str| json[key].as_str().unwrap_or("null").to_owned();
    let bytes = serde_json::to_vec(&json).unwrap();
    let signed = format!(
        "{}\n{}/{}\n{}\n{}",
        text("digestEndTime"),
        text("digestS3Bucket"),
        text("digestS3Object"),
        hex(&hash(&bytes)),
        text("previousDigestSignature")
    );
    Digest {
        bucket: text("digestS3Bucket"),
        key: text("digestS3Object"),
        signature: Signer::one().sign(&signed),
        json: bytes,
    }
}

#[tokio::test]
async fn a_chain_is_walked_to_its_end() {
    let (files, digests, _) = trail(5);
    let mut case = Case::strict();
    digests.iter().for_each(|digest| case.world.put(digest));
    case.read_all(&files).await;
    case.finish().await.unwrap();
    assert_eq!(case.books(), [60, 0, 0, 0, 0, 5, 0, 0], "{:?}", case.said);
    assert_eq!(case.said.len(), 1, "{:?}", case.said);
}

/// A copy has the signature of a digest in the next one only.
#[tokio::test]
async fn links_bring_signatures() {
    let (files, digests, _) = trail(3);
    let mut case = Case::of(None, rules(false, None));
    digests.iter().for_each(|digest| case.world.put(digest));
    case.read_all(&files).await;
    case.finish().await.unwrap();
    assert_eq!(case.books(), [24, 0, 0, 12, 0, 2, 0, 0], "{:?}", case.said);
    assert_eq!(case.count("so the digest can't be proven here"), HOUR);
}

#[tokio::test]
async fn a_digest_that_its_successor_names_and_is_not_there_is_reported() {
    let (files, digests, _) = trail(3);
    for (strict, late, expected) in [
        (false, false, [24, 0, 12, 0, 0, 2, 1, 0]),
        (true, false, [24, 0, 12, 0, 0, 2, 1, 0]),
        // It came after the digests were listed.
        (false, true, [24, 0, 0, 12, 0, 2, 0, 0]),
        (true, true, [24, 0, 0, 12, 0, 2, 0, 0]),
    ] {
        let mut case = Case::of(Some("logs"), rules(strict, None));
        digests.iter().for_each(|digest| case.world.put(digest));
        case.world.remove(&digests[1]);
        if late {
            case.world.comes_late(&digests[1].key);
        }
        case.read_all(&files).await;
        let result = case.finish().await;
        assert_eq!(case.books(), expected, "{late}: {:?}", case.said);
        assert_eq!(result.is_err(), strict && !late);
        let words = match late {
            true => "came while the capture ran",
            false => "is missing, though s3://logs/",
        };
        assert!(case.count(words) > 0, "{:?}", case.said);
    }
}

/// Another digest of a good signature, in the place of the one that the next one knows.
#[tokio::test]
async fn a_digest_with_another_hash_than_its_successor_names_is_reported() {
    let (files, digests, _) = trail(3);
    let mut case = Case::new();
    digests.iter().for_each(|digest| case.world.put(digest));
    let other = rewritten(&digests[1], |json| json["more"] = json!(1));
    case.world.put(&other);
    case.read_all(&files).await;
    case.finish().await.unwrap();
    assert_eq!(case.books()[6], 1, "{:?}", case.said);
    assert_eq!(
        case.count("names as the one before it: its SHA-256 is another"),
        1
    );
}

#[tokio::test]
async fn gaps_are_named_unless_belated_digests_fill_them() {
    let (files, mut digests, mut chain) = trail(6);
    // Nothing of the hours 2 and 3 but what comes belatedly.
    chain.restart();
    for number in [4, 5] {
        let files = &files[number * HOUR..][..HOUR];
        digests[number] = chain.digest(&Signer::one(), &hour(number), files);
    }
    let belated = [2, 3].map(|number| {
        chain.backfill(
            &Signer::one(),
            &hour(number),
            &files[number * HOUR..][..HOUR],
        )
    });
    for (filled, expected) in [
        (0, [48, 0, 24, 0, 0, 4, 0, 0]),
        (1, [60, 0, 12, 0, 0, 5, 0, 0]),
        (2, [72, 0, 0, 0, 0, 6, 0, 0]),
    ] {
        let mut case = Case::strict();
        for number in [0, 1, 4, 5] {
            case.world.put(&digests[number]);
        }
        belated[..filled]
            .iter()
            .for_each(|digest| case.world.put(digest));
        case.read_all(&files).await;
        case.finish().await.unwrap();
        assert_eq!(case.books(), expected, "{filled}: {:?}", case.said);
        let from = ["2024-03-05T12:01:31Z", "2024-03-05T13:01:31Z"].get(filled);
        let told = case.count("there are no digests from ");
        assert_eq!(
            told,
            usize::from(from.is_some()),
            "{filled}: {:?}",
            case.said
        );
        if let Some(from) = from {
            let line = format!("there are no digests from {from} to 2024-03-05T14:01:31Z");
            assert_eq!(case.count(&line), 1, "{:?}", case.said);
        }
    }
}

/// A trail's bucket or prefix may be changed: what lies there is not missing here.
#[tokio::test]
async fn a_digest_in_another_place_is_not_missing() {
    let (files, digests, _) = trail(3);
    for (key, value) in [("Bucket", "before"), ("Object", "before/")] {
        let mut case = Case::strict();
        let moved = |json: &mut Value| {
            let text = json.as_str().unwrap();
            *json = match key {
                "Bucket" => json!(value),
                _ => json!(format!("{value}{text}")),
            };
        };
        let first = rewritten(&digests[1], |json| {
            moved(&mut json[format!("previousDigestS3{key}")]);
            moved(&mut json["logFiles"][0][format!("s3{key}")]);
        });
        case.world.put(&first);
        case.read_all(&files[HOUR + 1..2 * HOUR]).await;
        case.finish().await.unwrap();
        assert_eq!(
            case.books(),
            [11, 0, 0, 0, 0, 1, 0, 0],
            "{key}: {:?}",
            case.said
        );
    }
}

/// A digest may come after the source has listed, and then its log files may as well.
#[tokio::test]
async fn a_digest_delivered_during_the_capture_is_not_missing() {
    let (files, digests, _) = trail(3);
    for (opened, late, expected) in [
        ("2024-04-01T00:00:00Z", 0..0, 3),
        // At 12:00 nobody could know of the last two.
        ("2024-03-05T12:10:00Z", 0..0, 1),
        // A folder that is filled meanwhile.
        ("2024-04-01T00:00:00Z", 11..25, 1),
    ] {
        let mut case = Case::of(
            Some("logs"),
            Rules {
                opened: opened.parse().unwrap(),
                ..rules(true, None)
            },
        );
        digests.iter().for_each(|digest| case.world.put(digest));
        files[late.clone()]
            .iter()
            .for_each(|file| case.world.comes_late(&file.key("")));
        for (number, file) in files.iter().enumerate() {
            if ![11, 24, 35].contains(&number) {
                assert!(case.read(file).await.is_ok());
            }
        }
        let result = case.finish().await;
        assert_eq!(
            case.books(),
            [33, expected, 0, 0, 0, 3, 0, 0],
            "{:?}",
            case.said
        );
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("the log file is missing")
        );
        let told = case.count("2 log files came while the capture ran");
        assert_eq!(told, usize::from(!late.is_empty()), "{:?}", case.said);
    }
}

/// Whether its digest is overdue is a matter of when the capture was opened, however long it runs.
#[tokio::test]
async fn a_digest_is_overdue_three_hours_after_its_log_file() {
    let (files, digests, _) = trail(3);
    for (opened, expected) in [
        ("2024-03-05T14:00:00Z", [0, 12]),
        ("2024-03-05T15:31:00Z", [6, 6]),
        ("2024-04-01T00:00:00Z", [12, 0]),
    ] {
        let opened = opened.parse().unwrap();
        let rules = Rules {
            opened,
            ..rules(false, None)
        };
        let mut case = Case::of(Some("logs"), rules);
        digests[..2]
            .iter()
            .for_each(|digest| case.world.put(digest));
        case.read_all(&files).await;
        case.finish().await.unwrap();
        assert_eq!(case.books()[2..4], expected, "{opened}: {:?}", case.said);
    }
}

#[tokio::test]
async fn a_digest_that_cannot_be_read_is_not_called_invalid() {
    let (files, digests, _) = trail(3);
    let mut case = Case::strict();
    digests.iter().for_each(|digest| case.world.put(digest));
    let name = case.world.name(&digests[1].key);
    case.world
        .broken
        .lock()
        .unwrap()
        .insert(name, "no answer in time");
    case.read_all(&files[..HOUR]).await;
    let withheld = case.read(&files[HOUR]).await;
    assert!(matches!(withheld, Err(FileError::Withheld)), "{withheld:?}");
    case.read_all(&files[HOUR + 1..]).await;
    case.finish().await.unwrap();
    assert_eq!(case.books(), [24, 0, 0, 0, 12, 2, 0, 1], "{:?}", case.said);
    assert_eq!(
        case.count("could not be checked: no answer in time (its digest is s3://logs/"),
        HOUR
    );
    assert_eq!(
        case.count("1 digest could not be checked"),
        1,
        "{:?}",
        case.said
    );
}

#[tokio::test]
async fn digests_that_cannot_be_listed_are_not_called_invalid() {
    let (files, digests, _) = trail(1);
    let mut case = Case::strict();
    case.world.put(&digests[0]);
    *case.world.unlisted.lock().unwrap() = Some("no answer in time");
    case.read_all(&files).await;
    case.finish().await.unwrap();
    assert_eq!(case.books(), [0, 0, 0, 0, 12, 0, 0, 0], "{:?}", case.said);
    assert_eq!(
        case.count("digests can't be listed: no answer in time"),
        1 + HOUR
    );
    // It is known at the start.
    let name = case.world.name(&files[0].key(""));
    let error = case
        .validation
        .prove_first(&name, None)
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("it could not be checked"),
        "{error}"
    );
}

/// CloudTrail is asked for keys again, though not by each digest.
#[tokio::test(start_paused = true)]
async fn keys_are_asked_for_again() {
    let (files, digests, _) = trail(9);
    let mut case = Case::strict();
    digests.iter().for_each(|digest| case.world.put(digest));
    case.world
        .answer(|_| bail!("Rate exceeded (ThrottlingException)"));
    let withheld = case.read(&files[0]).await;
    assert!(matches!(withheld, Err(FileError::Withheld)), "{withheld:?}");
    assert_eq!(case.books(), [0, 0, 0, 0, 1, 0, 0, 3]);
    assert_eq!(case.world.asked.load(Ordering::Relaxed), 1);
    case.world.answer(|_| Ok(vec![public(&Signer::one())]));
    tokio::time::sleep(Duration::from_secs(61)).await;
    case.read_all(&files[1..]).await;
    case.finish().await.unwrap();
    assert_eq!(case.books(), [72, 0, 0, 0, 36, 6, 0, 3], "{:?}", case.said);
    assert_eq!(case.count("ThrottlingException"), 3 + 36);
    // Once for all, and the key is known.
    assert_eq!(case.world.asked.load(Ordering::Relaxed), 2);
}

/// That a key is not known at one time says nothing of another.
#[tokio::test]
async fn a_key_is_looked_for_at_the_time_of_its_digest() {
    let (files, digests, _) = trail(12);
    let mut case = Case::new();
    digests.iter().for_each(|digest| case.world.put(digest));
    let from = parse_time(&hour(8));
    case.world.answer(move |to| {
        Ok(match to < from {
            true => vec![],
            false => vec![public(&Signer::one())],
        })
    });
    case.read_all(&files).await;
    case.finish().await.unwrap();
    assert_eq!(case.books(), [72, 0, 72, 0, 0, 6, 6, 0], "{:?}", case.said);
    assert_eq!(
        case.count("which CloudTrail does not know in eu-west-1; it proves"),
        6
    );
}

/// Anybody may have a trail of their own, whose digests have CloudTrail's good signature. What counts is the trail that
/// writes to the bucket which is read, as for `aws cloudtrail validate-logs`.
#[tokio::test]
async fn the_trail_is_that_of_the_bucket() {
    let (files, digests, _) = trail(1);
    let alias = Some("x-hash-s3alias");
    for (strict, bucket, trail, good) in [
        (true, Some("logs"), None, true),
        (true, Some("logs"), Some("other"), true),
        (true, Some("copy"), None, false),
        (true, Some("copy"), Some("other"), false),
        (true, Some("copy"), Some("logs"), true),
        (true, alias, None, false),
        (true, alias, Some("logs"), true),
        (false, Some("copy"), None, true),
        (false, Some("copy"), Some("other"), false),
        (true, None, None, true),
        (true, None, Some("logs"), true),
        (true, None, Some("other"), false),
    ] {
        let mut case = Case::of(bucket, rules(strict, trail));
        case.world.put(&digests[0]);
        _ = case.read(&files[0]).await;
        let failed = case.books()[6];
        assert_eq!(failed, u64::from(!good), "{bucket:?}, {trail:?}, {strict}");
        assert_eq!(case.validation.check().is_err(), strict && !good);
        _ = case.finish().await;
        let told = case.count("the digest was written for the bucket logs, not for ");
        assert_eq!(told, usize::from(!good), "{:?}", case.said);
        // An alias does not tell what it stands for.
        let copied = case.count("this is a copy of it");
        assert_eq!(
            copied,
            usize::from(good && bucket == Some("copy")),
            "{:?}",
            case.said
        );
    }
}

/// A digest counts where it was written for, in all that can be told of that.
#[tokio::test]
async fn a_digest_that_was_moved_proves_nothing() {
    let (files, digests, _) = trail(2);
    let other = Chain::new("logs", "210987654321", REGION).digest(&Signer::one(), &hour(0), &[]);
    let elsewhere = {
        let mut chain = Chain::new("logs", ACCOUNT, REGION);
        chain.root = "below/".into();
        chain.digest(&Signer::one(), &hour(0), &files[..HOUR])
    };
    let of_other = other.key.replacen("210987654321", ACCOUNT, 1);
    // Where it lies, what it is, and in which bucket that is one of another place, with strict.
    for (key, digest, own, copy) in [
        (&digests[0].key, &digests[0], true, true),
        (&digests[0].key, &digests[1], false, false),
        (&of_other, &other, false, false),
        (&digests[0].key, &elsewhere, false, true),
    ] {
        for (bucket, good) in [(Some("logs"), own), (Some("copy"), copy), (None, copy)] {
            let mut case = Case::of(bucket, rules(true, Some("logs")));
            case.world.put_at(key, digest);
            _ = case.read(&files[0]).await;
            let moved = case.validation.check().err().map(|error| error.to_string());
            assert_eq!(moved.is_none(), good, "{key}, {bucket:?}: {moved:?}");
            assert!(moved.is_none_or(|line| line.contains("the digest was moved")));
        }
    }
}
