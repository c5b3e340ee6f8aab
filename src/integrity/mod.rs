//! Validation: are log files as CloudTrail has delivered them?
//!
//! CloudTrail writes a digest file for each account, region and hour, which names the log files delivered in it with
//! their SHA-256, and is signed. So is each digest's link to the one before it, which makes a chain of them, see
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-intro.html>.
//!
//! [`Validated`] stands between a source and the pipeline: it gives each log file its [`Proof`], what the digests say
//! of it ([`region`]), which is looked up while the file is fetched. The decoder, which hashes the file beside
//! inflating it, has the proof judge it.

mod digest;
mod keys;
mod region;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow, bail};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::ledger::{Count, Ledger};
use crate::source::{Fatal, LogFile, Source};
use crate::trail::{Interval, Place};
pub(crate) use keys::Keys;
use region::Region;

/// Log files without proof that are named one by one.
const NAMED: u64 = 100;
/// Digests fetched at once.
const REQUESTS: usize = 96;
/// Regions whose digests are gone through at once, at the end.
const REGIONS: usize = 16;

/// A SHA-256.
pub(crate) type Hash = [u8; 32];

/// The SHA-256 of bytes.
pub(crate) fn hash(bytes: &[u8]) -> Hash {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// Makes a SHA-256 of what comes piece by piece.
pub(crate) struct Hasher(Context);

impl Default for Hasher {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Hash {
        let mut hash = Hash::default();
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a log file turned out to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// It inflates to its end, to something with this SHA-256.
    Whole(Hash),
    /// It does not.
    Broken,
    /// It can't be held until it is known.
    TooLarge,
}

/// Where digests are, by names of the same form as those of log files.
pub(crate) trait Digests: Send + Sync + 'static {
    /// Names in a folder, a page of them, in their order.
    fn list(&self, folder: String, after: Option<String>) -> BoxFuture<'_, Result<Listed>>;
    /// A digest as stored.
    fn get(&self, name: String) -> BoxFuture<'_, Result<Stored>>;
    /// Folders of digests, one for each account and region, that lie below what is read.
    fn folders(&self) -> BoxFuture<'_, Result<Vec<String>>>;
    /// Would a log file of this name be read, if it were there?
    fn wants(&self, name: &str) -> bool;
    /// When the log files that are read were delivered, as far as it is known.
    fn span(&self) -> Interval;
    /// The bucket. None of a copy elsewhere, whose age nobody knows.
    fn bucket(&self) -> Option<&str>;
    /// Public keys of a region, with which digests were signed in a time.
    fn public_keys(
        &self,
        region: String,
        from: Timestamp,
        to: Timestamp,
    ) -> BoxFuture<'_, Result<PublicKeys>>;
}

/// Public keys in DER, with their fingerprints.
pub(crate) type PublicKeys = Vec<(String, Vec<u8>)>;

/// A page of a folder.
pub(crate) struct Listed {
    pub names: Vec<String>,
    /// After which name the next page goes on, if there is one.
    pub next: Option<String>,
}

/// A digest as it is stored.
pub(crate) struct Stored {
    pub bytes: Vec<u8>,
    /// Its signature, in hexadecimal, where it is kept beside it.
    pub signature: Option<String>,
    /// When it was made, if that was much later than its time.
    pub generated: Option<Timestamp>,
}

/// What digests say of a log file.
#[derive(Debug, Clone)]
enum Expected {
    /// It has this SHA-256.
    Hash {
        hash: Hash,
        digest: Arc<str>,
        /// Why that digest itself is not proven, if it isn't.
        doubt: Option<Arc<str>>,
    },
    /// Nothing that could be trusted, and why.
    Unsigned(String),
    /// Nothing yet, and why.
    Uncovered(String),
    /// There are no digests at all, which was said.
    NoDigests,
}

/// What all of a validation shares.
pub(crate) struct Checks {
    strict: bool,
    ledger: Arc<Ledger>,
    digests: Box<dyn Digests>,
    keys: Keys,
    /// In strict: why the capture is to end.
    fatal: Mutex<Option<String>>,
    /// Log files without proof so far.
    unproven: AtomicU64,
    /// Digests fetched at once, of all regions.
    requests: Semaphore,
    /// It was said that the digests are copies.
    copied: AtomicBool,
}

impl Checks {
    pub fn new(
        strict: bool,
        ledger: Arc<Ledger>,
        digests: Box<dyn Digests>,
        keys: Keys,
    ) -> Arc<Self> {
        Arc::new(Self {
            strict,
            ledger,
            digests,
            keys,
            fatal: Mutex::default(),
            unproven: AtomicU64::default(),
            requests: Semaphore::new(REQUESTS),
            copied: AtomicBool::default(),
        })
    }

    /// Name something that ends a strict capture.
    fn problem(&self, line: String) {
        if self.strict {
            let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
            fatal.get_or_insert_with(|| line.clone());
        }
        self.ledger.problem(line);
    }

    fn check_fatal(&self) -> Result<()> {
        let fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        fatal.clone().map_or(Ok(()), |line| Err(anyhow!(line)))
    }

    /// Book a log file that is not proven, and name it.
    fn unproven(&self, count: &Count, line: Option<String>, wrong: bool) -> Result<()> {
        count.add(1);
        if let Some(line) = line {
            let line = match self.unproven.fetch_add(1, Ordering::Relaxed) {
                0..NAMED => line,
                NAMED => "more log files are not proven: they are only counted".to_owned(),
                _ => String::new(),
            };
            match line.is_empty() {
                true => {}
                false if wrong || self.strict => self.ledger.problem(line),
                false => self.ledger.note(line),
            }
        }
        match self.strict {
            true => Err(Withheld.into()),
            false => Ok(()),
        }
    }
}

/// Not an error to be named: a log file is not handed over, since it is not proven.
#[derive(Debug, thiserror::Error)]
#[error("is not proven")]
pub(crate) struct Withheld;

/// What proves a log file, as soon as that is known.
pub(crate) struct Proof {
    checks: Arc<Checks>,
    name: String,
    expected: JoinHandle<Expected>,
}

impl Proof {
    /// Must the judgement come before any event?
    pub fn is_strict(&self) -> bool {
        self.checks.strict
    }

    /// Compare a log file with what digests say, and enter it into the books. An error is that it may not be handed
    /// over.
    pub async fn judge(self, content: Content) -> Result<()> {
        let Self {
            checks,
            name,
            expected,
        } = self;
        let ledger = &checks.ledger;
        let expected = expected.await.unwrap_or_else(|dead| {
            Expected::Unsigned(format!("nobody could look for its digest: {dead}"))
        });
        let (hash, digest, doubt) = match expected {
            Expected::Hash {
                hash,
                digest,
                doubt,
            } => (hash, digest, doubt),
            Expected::Unsigned(why) => {
                let line = format!("{name}: is not proven: {why}");
                return checks.unproven(&ledger.files_unsigned, Some(line), true);
            }
            Expected::Uncovered(why) => {
                let line = format!("{name}: can't be proven yet: {why}");
                return checks.unproven(&ledger.files_uncovered, Some(line), false);
            }
            Expected::NoDigests => return checks.unproven(&ledger.files_unsigned, None, true),
        };
        let line = match content {
            Content::Whole(found) if found == hash => {
                let Some(doubt) = doubt else {
                    ledger.files_proven.add(1);
                    return Ok(());
                };
                let line = format!("{name}: is as {digest} says, but {doubt}");
                return checks.unproven(&ledger.files_uncovered, Some(line), false);
            }
            Content::TooLarge => {
                let line = format!(
                    "{name}: is too large to be proven before it is read: set validate to warn"
                );
                return checks.unproven(&ledger.files_unsigned, Some(line), true);
            }
            Content::Whole(found) => format!(
                "{name}: was modified after CloudTrail had delivered it: its SHA-256 is {}, not {} as {digest} says",
                hex(&found),
                hex(&hash)
            ),
            Content::Broken => format!(
                "{name}: was modified after CloudTrail had delivered it: it can't be inflated, or has something behind \
                 its data, so it is not what {digest} names"
            ),
        };
        ledger.files_modified.add(1);
        checks.problem(line.clone());
        match checks.strict {
            true => Err(Fatal(anyhow!(line)).into()),
            false => Ok(()),
        }
    }
}

/// A source whose log files come with their proofs.
pub(crate) struct Validated {
    source: Box<dyn Source>,
    checks: Arc<Checks>,
    /// By their folder of digests.
    regions: HashMap<String, Arc<Region>>,
    /// The first log file, looked at ahead.
    first: Option<LogFile>,
}

impl Validated {
    /// Where nothing may be shown without proof, it is known after this that there are digests, and keys for them.
    pub async fn open(source: Box<dyn Source>, checks: Arc<Checks>) -> Result<Self> {
        let mut validated = Self {
            source,
            checks,
            regions: HashMap::new(),
            first: None,
        };
        if validated.checks.strict
            && let Some(mut file) = validated.source.next().await?
        {
            let expected = validated.expect(&file).await?;
            validated.checks.check_fatal()?;
            if matches!(expected, Expected::NoDigests) {
                bail!(
                    "{}: can't be proven, as validate: strict demands: {}",
                    file.name,
                    region::NO_DIGESTS
                );
            }
            file.proof = Some(validated.proof(&file, tokio::spawn(std::future::ready(expected))));
            validated.first = Some(file);
        }
        Ok(validated)
    }

    fn proof(&self, file: &LogFile, expected: JoinHandle<Expected>) -> Proof {
        Proof {
            checks: Arc::clone(&self.checks),
            name: file.name.clone(),
            expected,
        }
    }

    /// Begin to look up what digests say of a log file.
    fn expect(&mut self, file: &LogFile) -> JoinHandle<Expected> {
        let Some(place) = Place::of(&file.name) else {
            let why = "it does not lie where CloudTrail puts log files \
                       (ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/), so it can't be told where its digest is";
            return tokio::spawn(std::future::ready(Expected::Unsigned(why.to_owned())));
        };
        let region = self.region(place.digests);
        let delivered = file.delivered.unwrap_or_default();
        region.named(&place.path, delivered);
        tokio::spawn(async move { region.expect(&place.path, delivered).await })
    }

    fn region(&mut self, folder: String) -> Arc<Region> {
        let region = self.regions.entry(folder).or_insert_with_key(|folder| {
            Arc::new(Region::new(Arc::clone(&self.checks), folder.clone()))
        });
        Arc::clone(region)
    }

    /// Look for what digests name and the source has not.
    async fn finish(&mut self) -> Result<()> {
        for folder in self.checks.digests.folders().await? {
            self.region(folder);
        }
        let regions: Vec<Arc<Region>> = self.regions.drain().map(|(_, region)| region).collect();
        let mut finished = stream::iter(regions)
            .map(|region| async move { region.finish().await })
            .buffer_unordered(REGIONS);
        while finished.next().await.is_some() {}
        drop(finished);
        self.checks.check_fatal()
    }
}

impl Source for Validated {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>> {
        Box::pin(async {
            if let Some(first) = self.first.take() {
                return Ok(Some(first));
            }
            self.checks.check_fatal()?;
            let Some(mut file) = self.source.next().await? else {
                self.finish().await?;
                return Ok(None);
            };
            let expected = self.expect(&file);
            file.proof = Some(self.proof(&file, expected));
            Ok(Some(file))
        })
    }

    fn closing(&self) -> BoxFuture<'static, ()> {
        self.source.closing()
    }
}
