//! Validation: are log files as CloudTrail has delivered them?
//!
//! CloudTrail writes a digest file for each account, region and hour, which names the log files delivered in it with
//! their SHA-256, and is signed. So is each digest's link to the one before it, which makes a chain of them, see
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-intro.html>.
//!
//! [`Validation`] gives each log file its [`FileProof`], what the digests say of it ([`chain`]), which is looked up while
//! the file is fetched. The decoder, which hashes the file beside inflating it, has the proof judge it. Where digests
//! are is a [`DigestStore`]'s concern.

mod chain;
mod digest;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzz;
pub(crate) mod hash;
mod keys;
mod links;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Result, anyhow, bail};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::log_file::{Content, FileError, Proof, Sha256};
use crate::process::lock;
use crate::stats::{Count, Stats};
use crate::trail::{Interval, Place};
pub(crate) use hash::hex;
pub(crate) use keys::Keys;
use state::DigestChains;

/// How many log files without proof are logged one by one.
const NAMED: u64 = 100;
/// How many digests are fetched at once.
const REQUESTS: usize = 96;
/// How many regions' digests are finished at once, at the end.
const REGIONS: usize = 16;

/// Where digests are, by names of the same form as those of log files.
pub(crate) trait DigestStore: Send + Sync + 'static {
    /// A page of the names in a folder, in order.
    fn list(&self, folder: String, after: Option<String>) -> BoxFuture<'_, Result<Listed>>;
    /// A digest as stored.
    fn get(&self, name: String) -> BoxFuture<'_, Result<Stored>>;
    /// Folders of digests, one for each account and region, that lie below what is read.
    fn folders(&self) -> BoxFuture<'_, Result<Vec<String>>>;
    /// Would a log file of this name be read, if it were there?
    fn wants(&self, name: &str) -> bool;
    /// When the log files that are read were delivered, as far as it is known.
    fn span(&self) -> Interval;
    /// The bucket, as the user has named it. None of a copy elsewhere, whose age nobody knows.
    fn bucket(&self) -> Option<&str>;
    /// Is there a log file or digest of this name now, with or without its `.gz`? No, where that can't be told.
    fn exists(&self, name: String) -> BoxFuture<'_, bool>;
    /// Public keys of a region, with which digests were signed in a time.
    fn public_keys(
        &self,
        region: String,
        from: Timestamp,
        to: Timestamp,
    ) -> BoxFuture<'_, Result<PublicKeys>>;
}

/// What counts as proven.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Nothing is shown without proof.
    pub strict: bool,
    /// The bucket that CloudTrail writes to, where the user has named it.
    pub bucket: Option<String>,
    /// When the capture was opened, before anything was listed. What came later is not reported as missing.
    pub opened: Timestamp,
}

/// Public keys in DER, with their fingerprints.
pub(crate) type PublicKeys = Vec<(String, Vec<u8>)>;

/// A page of a folder.
pub(crate) struct Listed {
    pub names: Vec<String>,
    /// The name after which the next page begins, if there is one.
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
        hash: Sha256,
        digest: Arc<str>,
        /// Why that digest itself is not proven, if it isn't.
        doubt: Option<Arc<str>>,
    },
    /// Nothing that can be trusted, and why.
    Unsigned(String),
    /// Nothing yet, and why.
    Uncovered(String),
    /// It can't be found out, and why.
    Unchecked(String),
    /// There are no digests at all, which was logged.
    NoDigests,
}

/// Why a digest proves nothing about log files.
#[derive(Debug)]
enum Flaw {
    /// It is not what CloudTrail has put there.
    Bad(String),
    /// It can't be checked, because the digest or its key is not available.
    Unchecked(String),
}

/// What all parts of a validation share.
struct Checks {
    rules: Rules,
    stats: Arc<Stats>,
    digests: Box<dyn DigestStore>,
    keys: Keys,
    /// In strict: why the capture is to end.
    fatal: Mutex<Option<String>>,
    /// How many log files were without proof so far.
    unproven: AtomicU64,
    /// Digests fetched at once, of all regions.
    requests: Semaphore,
    /// It was logged that the digests are copies.
    copied: AtomicBool,
}

impl Checks {
    /// Log a sign of tampering, which ends a strict capture.
    fn problem(&self, line: String) {
        if self.rules.strict {
            let mut fatal = lock(&self.fatal);
            fatal.get_or_insert_with(|| line.clone());
        }
        self.stats.problem(line);
    }

    /// Count a log file that is not proven, and log it.
    fn unproven(&self, count: &Count, line: Option<String>, wrong: bool) -> Result<(), FileError> {
        count.add(1);
        if let Some(line) = line {
            let line = match self.unproven.fetch_add(1, Ordering::Relaxed) {
                0..NAMED => line,
                NAMED => "more log files are not proven: they are only counted".to_owned(),
                _ => String::new(),
            };
            match line.is_empty() {
                true => {}
                false if wrong || self.rules.strict => self.stats.problem(line),
                false => self.stats.note(line),
            }
        }
        match self.rules.strict {
            true => Err(FileError::Withheld),
            false => Ok(()),
        }
    }

    /// Compare a log file with what a digest says.
    fn compare(
        &self,
        name: &str,
        content: Content,
        hash: Sha256,
        digest: &str,
        doubt: Option<Arc<str>>,
    ) -> Result<(), FileError> {
        let stats = &self.stats;
        let line = match content {
            Content::Whole(found) if found == hash => {
                let Some(doubt) = doubt else {
                    stats.files_proven.add(1);
                    return Ok(());
                };
                let line = format!("{name}: is as {digest} says, but {doubt}");
                return self.unproven(&stats.files_uncovered, Some(line), false);
            }
            Content::TooLarge => {
                let line = format!(
                    "{name}: is too large to be proven before it is read: set validate to warn"
                );
                return self.unproven(&stats.files_unsigned, Some(line), true);
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
        stats.files_modified.add(1);
        self.problem(line.clone());
        match self.rules.strict {
            true => Err(FileError::Capture(anyhow!(line))),
            false => Ok(()),
        }
    }
}

/// The validation of one capture.
pub(crate) struct Validation {
    checks: Arc<Checks>,
    /// By their folder of digests.
    chains: HashMap<String, Arc<DigestChains>>,
}

impl Validation {
    pub fn new(rules: Rules, stats: Arc<Stats>, digests: Box<dyn DigestStore>, keys: Keys) -> Self {
        Self {
            checks: Arc::new(Checks {
                rules,
                stats,
                digests,
                keys,
                fatal: Mutex::default(),
                unproven: AtomicU64::default(),
                requests: Semaphore::new(REQUESTS),
                copied: AtomicBool::default(),
            }),
            chains: HashMap::new(),
        }
    }

    /// May nothing be shown without proof?
    pub fn is_strict(&self) -> bool {
        self.checks.rules.strict
    }

    /// An error where the capture is to end.
    pub fn check(&self) -> Result<()> {
        let fatal = lock(&self.checks.fatal);
        fatal.clone().map_or(Ok(()), |line| Err(anyhow!(line)))
    }

    /// Begin to look up what digests say of a log file.
    pub fn prove(&mut self, name: &str, delivered: Option<Timestamp>) -> FileProof {
        let expected = self.expect(name, delivered.unwrap_or_default());
        self.proof(name, expected)
    }

    /// Look up what digests say of the first log file.
    ///
    /// # Errors
    /// Where there are no digests, or they can't be checked.
    pub async fn prove_first(
        &mut self,
        name: &str,
        delivered: Option<Timestamp>,
    ) -> Result<FileProof> {
        let expected = self.expect(name, delivered.unwrap_or_default()).await?;
        self.check()?;
        let why = match &expected {
            Expected::NoDigests => chain::NO_DIGESTS.to_owned(),
            Expected::Unchecked(why) => format!("it could not be checked: {why}"),
            _ => return Ok(self.proof(name, tokio::spawn(std::future::ready(expected)))),
        };
        bail!("can't be proven, as validate: strict demands: {why}: {name}")
    }

    fn proof(&self, name: &str, expected: JoinHandle<Expected>) -> FileProof {
        FileProof {
            checks: Arc::clone(&self.checks),
            name: name.to_owned(),
            expected,
        }
    }

    fn expect(&mut self, name: &str, delivered: Timestamp) -> JoinHandle<Expected> {
        let Some(place) = Place::of(name) else {
            let why = "it does not lie where CloudTrail puts log files \
                       (ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/), so it can't be told where its digest is";
            return tokio::spawn(std::future::ready(Expected::Unsigned(why.to_owned())));
        };
        let chains = self.chains(place.digests);
        chains.named(&place.path, delivered);
        tokio::spawn(async move { chains.expect(&place.path, delivered).await })
    }

    fn chains(&mut self, folder: String) -> Arc<DigestChains> {
        let chains = self.chains.entry(folder).or_insert_with_key(|folder| {
            Arc::new(DigestChains::new(Arc::clone(&self.checks), folder.clone()))
        });
        Arc::clone(chains)
    }

    /// Look for what digests name and the source has not.
    pub async fn finish(&mut self) -> Result<()> {
        match self.checks.digests.folders().await {
            Ok(folders) => folders
                .into_iter()
                .for_each(|folder| _ = self.chains(folder)),
            Err(error) => self.checks.stats.problem(format!(
                "digests of regions without log files could not be checked: {error:#}"
            )),
        }
        let chains: Vec<Arc<DigestChains>> =
            self.chains.drain().map(|(_, chains)| chains).collect();
        let mut finished = stream::iter(chains)
            .map(|chains| async move { chains.finish().await })
            .buffer_unordered(REGIONS);
        while finished.next().await.is_some() {}
        drop(finished);
        self.check()
    }
}

/// What proves a log file, as soon as that is known.
pub(crate) struct FileProof {
    checks: Arc<Checks>,
    name: String,
    expected: JoinHandle<Expected>,
}

impl Proof for FileProof {
    fn is_strict(&self) -> bool {
        self.checks.rules.strict
    }

    fn judge(self: Box<Self>, content: Content) -> BoxFuture<'static, Result<(), FileError>> {
        Box::pin(async move { (*self).compare(content).await })
    }
}

impl FileProof {
    async fn compare(self, content: Content) -> Result<(), FileError> {
        let Self {
            checks,
            name,
            expected,
        } = self;
        let stats = &checks.stats;
        let expected = expected.await.unwrap_or_else(|dead| {
            Expected::Unchecked(format!("its digest could not be looked for: {dead}"))
        });
        match expected {
            Expected::Hash {
                hash,
                digest,
                doubt,
            } => checks.compare(&name, content, hash, &digest, doubt),
            Expected::Unsigned(why) => {
                let line = format!("{name}: is not proven: {why}");
                checks.unproven(&stats.files_unsigned, Some(line), true)
            }
            Expected::Uncovered(why) => {
                let line = format!("{name}: can't be proven yet: {why}");
                checks.unproven(&stats.files_uncovered, Some(line), false)
            }
            Expected::Unchecked(why) => {
                let line = format!("{name}: could not be checked: {why}");
                checks.unproven(&stats.files_unchecked, Some(line), true)
            }
            Expected::NoDigests => checks.unproven(&stats.files_unsigned, None, true),
        }
    }
}
