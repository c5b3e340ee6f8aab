//! The state file of a source that is followed: what the host has consumed of it, so that the next capture goes on there.
//!
//! ```text
//! cloudtrail state 1 SHA-256 of what follows
//! {"holder": …, "source": "s3://logs/AWSLogs/", "consumed": …}
//! ```
//!
//! What is consumed differs by source, and is a type of its own. The file is replaced as a whole, so that at any moment
//! there is an old or a new one, never a half. A file beside it, with `.lock` behind its name, is locked for as long as a
//! capture uses it.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use ring::digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::integrity::hex;
use crate::process::lock;
use crate::process::platform::{private_file, replace_file, user_path};
use crate::stats::Stats;

/// How often the file is written at most, beside at a close; one of several MB not more often than once in so many times
/// that.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a start waits for the capture before it to let go of the file, which a busy disk may take seconds to write.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first words of a state file, and the version of its form.
const NAME: &str = "cloudtrail state";
const VERSION: u32 = 1;
/// A larger file is none of ours, in bytes.
const LARGEST: u64 = 256 << 20;

/// What is consumed of a source, and the file that tells it. Clones share both.
#[derive(Debug)]
pub(crate) struct State<T>(Arc<Shared<T>>);

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Shared<T> {
    kept: Mutex<Kept<T>>,
    changed: Arc<Notify>,
    file: Mutex<StateFile>,
    /// The size of what was written last, in bytes.
    written: AtomicUsize,
    stats: Arc<Stats>,
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // The task that writes sees that it is not needed any more.
        self.changed.notify_one();
    }
}

#[derive(Debug)]
struct Kept<T> {
    consumed: T,
    /// The file does not have it yet.
    is_changed: bool,
}

/// The file, locked.
#[derive(Debug)]
struct StateFile {
    path: PathBuf,
    source: String,
    holder: String,
    /// It could not be written the last time, which was said.
    fails: bool,
    /// It was not there before, and is removed again unless the capture begins.
    is_new: bool,
    _lock: File,
}

/// What is in the file.
#[derive(Serialize, Deserialize)]
struct Content<T> {
    /// The capture that uses it, or used it last.
    holder: String,
    source: String,
    consumed: T,
}

impl<T: Serialize + DeserializeOwned + Clone + Send + 'static> State<T> {
    /// Use this file for a source. What is consumed is returned as well, and whether the file told it; where there is no such
    /// file yet, that is `first`. The file is written at once.
    ///
    /// # Errors
    /// Where another capture uses the file, it is that of another source, is damaged or of a newer version, or can't be
    /// written. The error names it.
    pub async fn open(
        path: &str,
        source: &str,
        first: T,
        stats: &Arc<Stats>,
    ) -> Result<(Self, T, bool)> {
        let (path, source) = (user_path(path), source.to_owned());
        let open = move || -> Result<_> {
            let (mut file, told) = StateFile::open(&path, source)?;
            let is_told = told.is_some();
            let consumed = told.unwrap_or(first);
            file.write(&consumed)
                .with_context(|| cant_be_written(&file.path))?;
            Ok((file, consumed, is_told))
        };
        let opened = tokio::task::spawn_blocking(open);
        let (file, consumed, is_told) = opened.await.context("opening the state file")??;
        let state = Self(Arc::new(Shared {
            kept: Mutex::new(Kept {
                consumed: consumed.clone(),
                is_changed: false,
            }),
            changed: Arc::default(),
            file: Mutex::new(file),
            written: AtomicUsize::new(0),
            stats: Arc::clone(stats),
        }));
        let (shared, changed) = (Arc::downgrade(&state.0), Arc::clone(&state.0.changed));
        tokio::spawn(async move {
            loop {
                changed.notified().await;
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                shared.write().await;
                let megabytes = shared.written.load(Ordering::Relaxed) >> 20;
                drop(shared);
                sleep(INTERVAL.saturating_mul(1 + u32::try_from(megabytes).unwrap_or(u32::MAX)))
                    .await;
            }
        });
        Ok((state, consumed, is_told))
    }

    /// The source is open. Without this, a file that was not there before is removed again, so that the settings of a start that
    /// fails count for nothing.
    pub fn begin(&self) {
        lock(&self.0.file).is_new = false;
    }

    /// Change what is consumed. True asks for the file to be written, within a second.
    pub fn change(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut kept = lock(&self.0.kept);
        if change(&mut kept.consumed) {
            kept.is_changed = true;
            self.0.changed.notify_one();
        }
    }

    /// Write what has changed.
    pub fn closing(&self) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.write().await })
    }
}

impl<T: Serialize + Clone + Send + 'static> Shared<T> {
    async fn write(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        // A panic was said already; the file stays as it is.
        _ = tokio::task::spawn_blocking(move || shared.write_now()).await;
    }

    fn write_now(&self) {
        let mut file = lock(&self.file);
        let consumed = {
            let mut kept = lock(&self.kept);
            if !std::mem::take(&mut kept.is_changed) {
                return;
            }
            kept.consumed.clone()
        };
        let written = file.write(&consumed);
        if let Ok(size) = &written {
            self.written.store(*size, Ordering::Relaxed);
        }
        let failed = written.is_err();
        if let Err(error) = written {
            lock(&self.kept).is_changed = true;
            self.changed.notify_one();
            if !file.fails {
                self.stats.warn(format!(
                    "{}: {error}: the capture goes on, but what is read from now on comes again after a restart, unless \
                     the file can be written before",
                    cant_be_written(&file.path)
                ));
            }
        } else if file.fails {
            let path = file.path.display();
            self.stats
                .note(format!("statePath: {path} can be written again"));
        }
        file.fails = failed;
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        if self.is_new {
            _ = fs::remove_file(&self.path);
        }
    }
}

fn cant_be_written(path: &Path) -> String {
    format!("statePath: {} can't be written", path.display())
}

impl StateFile {
    /// Lock the file, and read what it tells.
    fn open<T: DeserializeOwned>(path: &Path, source: String) -> Result<(Self, Option<T>)> {
        // A link stays one: what it leads to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let shown = path.display();
        match fs::metadata(&path) {
            Ok(there) if there.is_dir() => bail!(
                "statePath: {shown} is a folder: give the path of a file in it, such as cloudtrail.state"
            ),
            Ok(there) if !there.is_file() => bail!(
                "statePath: {shown} is not a file, but a device or pipe: give the path of a file"
            ),
            Err(_) if path.is_symlink() => bail!(
                "statePath: {shown} is a link to a file that does not exist: give the path of the file itself"
            ),
            _ => {}
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.exists()) {
            bail!(
                "statePath: the folder {} does not exist: create it, for the user that the capture runs as",
                folder.display()
            );
        }
        let lock = lock_beside(&path)?;
        let told = read::<T>(&path, &source)?;
        let holder = format!(
            "process {}, since {}",
            std::process::id(),
            Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ")
        );
        let file = Self {
            path,
            source,
            holder,
            fails: false,
            is_new: told.is_none(),
            _lock: lock,
        };
        Ok((file, told))
    }

    /// Gives the size in bytes.
    fn write<T: Serialize>(&mut self, consumed: &T) -> io::Result<usize> {
        let content = Content {
            holder: self.holder.clone(),
            source: self.source.clone(),
            consumed,
        };
        let content = serde_json::to_string(&content)?;
        let text = format!("{NAME} {VERSION} {}\n{content}\n", checksum(&content));
        // One capture writes it, so the name may be the same each time.
        replace_file(&self.path, &beside(&self.path, ".new"), text.as_bytes())?;
        Ok(text.len())
    }
}

/// The path with something behind its name.
fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(what);
    PathBuf::from(name)
}

/// Lock the file beside the state file, which itself is replaced again and again.
fn lock_beside(path: &Path) -> Result<File> {
    let beside = beside(path, ".lock");
    let mut options = private_file();
    options.write(true).create(true).truncate(false);
    let file = options.open(&beside).with_context(|| {
        format!(
            "{}: give a file in a folder that you may write to, which no other user has used",
            cant_be_written(&beside)
        )
    })?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(TryLockError::WouldBlock) => bail!(
                "statePath: {} is in use by another capture{}: give each capture a state file of its own, or end that one",
                path.display(),
                holder(path).map_or_else(String::new, |holder| format!(" ({holder})")),
            ),
            Err(TryLockError::Error(error)) => {
                return Err(anyhow!(
                    "statePath: {} can't be locked: {error}: put it on a disk of this machine",
                    beside.display()
                ));
            }
        }
    }
}

/// Who uses the file, as far as it tells.
fn holder(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let (_, content) = text.split_once('\n')?;
    let content: Content<serde::de::IgnoredAny> = serde_json::from_str(content).ok()?;
    Some(content.holder)
}

fn checksum(content: &str) -> String {
    hex(digest::digest(&digest::SHA256, content.as_bytes()).as_ref())
}

/// What the file tells of this source; nothing if there is no file.
fn read<T: DeserializeOwned>(path: &Path, source: &str) -> Result<Option<T>> {
    let shown = path.display();
    let cant_be_read =
        || format!("statePath: {shown} can't be read, which only the user may that has made it");
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(cant_be_read),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST)
        .read_to_end(&mut bytes)
        .with_context(cant_be_read)?;
    let is_damaged = || {
        anyhow!(
            "statePath: {shown} is damaged or not a state file of this plugin: restore it from a copy; or delete it, and \
             reading begins at the start of s3Interval, without one at the first log file, and what was read before comes \
             again"
        )
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| is_damaged())?;
    let (head, content) = text.split_once('\n').ok_or_else(is_damaged)?;
    let head = head.strip_prefix(NAME).ok_or_else(is_damaged)?;
    let mut words = head.split_whitespace();
    let version = words.next().and_then(|word| word.parse::<u32>().ok());
    if version.ok_or_else(is_damaged)? > VERSION {
        bail!(
            "statePath: {shown} was written by a newer version of this plugin: use that one, or another file"
        );
    }
    let content = content.trim_end_matches('\n');
    if words.next() != Some(&*checksum(content)) {
        return Err(is_damaged());
    }
    let told: Content<&serde_json::value::RawValue> =
        serde_json::from_str(content).map_err(|_| is_damaged())?;
    if told.source != source {
        bail!(
            "statePath: {shown} tells how far {} was read, but this capture reads {source}: give each source a state file \
             of its own",
            told.source
        );
    }
    serde_json::from_str(told.consumed.get())
        .map(Some)
        .map_err(|_| is_damaged())
}

/// A number that stands for a key or an ID, the same in each process. Two of a million have the same with a probability of
/// 1 to 37 million.
pub(crate) fn hash(text: &str) -> u64 {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let first = hash.as_ref().first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(first)
}

/// Hashes with times in seconds since the epoch, as text: 16 letters for each.
pub(crate) mod packed {
    use std::collections::HashMap;
    use std::hash::BuildHasher;

    use base64::Engine;
    use base64::prelude::BASE64_STANDARD_NO_PAD;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    const HASH: usize = size_of::<u64>();
    const ENTRY: usize = HASH + size_of::<u32>();

    pub fn serialize<S: Serializer, H: BuildHasher>(
        times: &HashMap<u64, i64, H>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(times.len() * ENTRY);
        for (hash, time) in times {
            bytes.extend(hash.to_le_bytes());
            // Times that are not known are the largest.
            let time = (*time).clamp(0, u32::MAX.into());
            bytes.extend(u32::try_from(time).unwrap_or(u32::MAX).to_le_bytes());
        }
        serializer.serialize_str(&BASE64_STANDARD_NO_PAD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<HashMap<u64, i64>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD_NO_PAD
            .decode(text)
            .map_err(D::Error::custom)?;
        let entries = bytes.chunks_exact(ENTRY).filter_map(|entry| {
            let hash = u64::from_le_bytes(*entry.first_chunk()?);
            let time = u32::from_le_bytes(*entry.last_chunk()?);
            let time = match time {
                u32::MAX => i64::MAX,
                time => time.into(),
            };
            Some((hash, time))
        });
        Ok(entries.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
    struct Consumed {
        name: String,
        #[serde(with = "packed")]
        seen: HashMap<u64, i64>,
    }

    fn consumed() -> Consumed {
        Consumed {
            name: "ä\n".to_owned(),
            seen: HashMap::from([(hash("a"), 1_772_000_000), (hash("b"), i64::MAX)]),
        }
    }

    const SOURCE: &str = "s3://logs/";

    async fn open(path: &Path) -> Result<(State<Consumed>, Option<Consumed>)> {
        let path = path.to_str().unwrap();
        let first = Consumed::default();
        let (state, consumed, is_told) = State::open(path, SOURCE, first, &Arc::default()).await?;
        state.begin();
        Ok((state, is_told.then_some(consumed)))
    }

    async fn refused(path: &Path) -> String {
        open(path).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn what_is_consumed_is_told_to_the_next_capture() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (state, told) = open(&path).await.unwrap();
        assert_eq!(told, None);
        assert!(path.exists(), "it is written at once");
        state.change(|kept| {
            *kept = consumed();
            true
        });
        state.closing().await;
        // Which unlocks it.
        drop(state);
        let (_state, told) = open(&path).await.unwrap();
        assert_eq!(told, Some(consumed()));
        #[cfg(unix)]
        for name in ["s", "s.lock"] {
            use std::os::unix::fs::PermissionsExt;
            let file = fs::metadata(folder.path().join(name)).unwrap();
            assert_eq!(file.permissions().mode() & 0o777, 0o600, "{name}");
        }
        assert!(!folder.path().join("s.new").exists());
    }

    #[tokio::test]
    async fn it_is_written_within_a_second_and_seldom() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (state, _) = open(&path).await.unwrap();
        let mut texts = std::collections::BTreeSet::new();
        let began = Instant::now();
        let mut n = 0;
        while began.elapsed() < Duration::from_millis(1_500) {
            n += 1;
            state.change(|kept| {
                kept.name = n.to_string();
                true
            });
            texts.insert(fs::read_to_string(&path).unwrap());
            sleep(Duration::from_millis(5)).await;
        }
        // As it was opened, at the first change, and a second later, but for a machine that stands still.
        assert!((2..=5).contains(&texts.len()), "{}", texts.len());
    }

    #[tokio::test]
    async fn two_captures_do_not_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _state = open(&path).await.unwrap();
        let error = refused(&path).await;
        let process = format!(
            "is in use by another capture (process {}, since 2",
            std::process::id()
        );
        assert!(error.contains(&process), "{error}");
    }

    #[tokio::test]
    async fn a_capture_that_is_still_writing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let lock = lock_beside(&path).unwrap();
        let writing = tokio::task::spawn_blocking(move || {
            std::thread::sleep(Duration::from_secs(3));
            drop(lock);
        });
        let (_state, told) = open(&path).await.unwrap();
        assert_eq!(told, None);
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_state_of_this_source_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(open(&path).await.unwrap());
        let good = fs::read_to_string(&path).unwrap();
        let (head, content) = good.split_once('\n').unwrap();
        let signed = |content: &str| format!("{NAME} 1 {}\n{content}\n", checksum(content));
        assert_eq!(signed(content.trim_end()), good);
        let damaged = "is damaged or not a state file";
        let mut cases = vec![
            (String::new(), damaged),
            ("{}".to_owned(), damaged),
            (head.to_owned(), damaged),
            (signed("{}"), damaged),
            (
                signed(&content.trim_end().replace("seen", "other")),
                damaged,
            ),
            (
                good.replacen(" 1 ", " 2 ", 1),
                "was written by a newer version of this plugin",
            ),
            (
                signed(&content.trim_end().replace(SOURCE, "s3://other/")),
                "tells how far s3://other/ was read, but this capture reads s3://logs/",
            ),
        ];
        // Cut anywhere, and changed anywhere.
        for at in (0..good.len() - 1).step_by(7) {
            cases.push((good[..at].to_owned(), damaged));
        }
        for at in (0..content.len() - 1).step_by(5) {
            let mut bytes = content.as_bytes().to_vec();
            bytes[at] ^= 1;
            let changed = String::from_utf8_lossy(&bytes);
            cases.push((format!("{head}\n{changed}"), damaged));
        }
        for (n, (text, expected)) in cases.into_iter().enumerate() {
            let path = folder.path().join(n.to_string());
            fs::write(&path, &text).unwrap();
            let error = refused(&path).await;
            assert!(error.contains(expected), "{text:?}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "it is left alone");
        }
    }

    #[tokio::test]
    async fn a_file_that_can_t_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = refused(folder.path()).await;
        assert!(
            error.contains("is a folder: give the path of a file"),
            "{error}"
        );
        let error = refused(&folder.path().join("no/s")).await;
        let expected = format!(
            "{} does not exist: create it",
            folder.path().join("no").display()
        );
        assert!(error.contains(&expected), "{error}");
        // A folder in the place of what is written.
        let path = folder.path().join("s");
        fs::create_dir(beside(&path, ".new")).unwrap();
        let error = refused(&path).await;
        assert!(error.contains("s can't be written"), "{error}");
    }

    #[tokio::test]
    async fn a_start_that_fails_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let text = path.to_str().unwrap();
        let stats = Arc::default();
        let start = || State::open(text, SOURCE, consumed(), &stats);
        drop(start().await.unwrap());
        assert!(!path.exists());
        let (state, _, is_told) = start().await.unwrap();
        state.begin();
        drop(state);
        assert!(path.exists() && !is_told);
        // One that was there stays.
        drop(start().await.unwrap());
        assert!(path.exists());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &path).unwrap();
        let error = refused(&path).await;
        assert!(
            error.contains("is a link to a file that does not exist"),
            "{error}"
        );
        let error = refused(Path::new("/dev/null")).await;
        assert!(
            error.contains("is not a file, but a device or pipe"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_file_that_can_t_be_written_is_said_once_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (state, _) = open(&path).await.unwrap();
        let before = fs::read_to_string(&path).unwrap();
        fs::create_dir(beside(&path, ".new")).unwrap();
        state.change(|kept| {
            *kept = consumed();
            true
        });
        state.closing().await;
        state.closing().await;
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        let log = format!("{:?}", state.0.stats.take_notes());
        assert_eq!(log.matches("can't be written").count(), 1, "{log}");
        fs::remove_dir(beside(&path, ".new")).unwrap();
        state.closing().await;
        assert_ne!(fs::read_to_string(&path).unwrap(), before);
        let log = format!("{:?}", state.0.stats.take_notes());
        assert!(log.contains("can be written again"), "{log}");
    }

    #[test]
    fn hashes_are_the_same_in_each_process() {
        assert_eq!(hash("AWSLogs/"), hash("AWSLogs/"));
        assert_eq!(hash(""), 0x141c_fc98_42c4_b0e3);
    }
}
