//! All databases, loaded once, and again when their files change.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};

use super::database::Database;
use super::ranges::Ranges;
use super::{Files, Place};
use crate::process::platform::{block_sigpipe, user_path};
use crate::process::{guard, lock, say};

/// A larger file is no database, in bytes; the largest that are sold have some gigabytes.
const LARGEST: u64 = 8 << 30;
/// How often it is looked whether files have changed.
const LOOKS: Duration = Duration::from_secs(10);

/// What is loaded, shared by all who ask.
#[derive(Default)]
pub(crate) struct Atlas {
    /// None without any file.
    loaded: Mutex<Option<Arc<Loaded>>>,
    /// Counts what was loaded; 0 while nothing is.
    generation: AtomicU64,
    /// Warnings for the host's log.
    notes: Mutex<Vec<String>>,
    said_damaged: AtomicBool,
}

impl fmt::Debug for Atlas {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Atlas")
            .field(&self.describe())
            .finish()
    }
}

/// The databases.
pub(super) struct Loaded {
    databases: Vec<Database>,
    ranges: Option<Ranges>,
}

impl Loaded {
    /// What is known of an address.
    pub fn find(&self, address: IpAddr, atlas: &Atlas) -> Place {
        let mut place = Place::default();
        for database in &self.databases {
            if !database.tell(address, &mut place) {
                atlas.say_damaged(database);
            }
        }
        let aws = self.ranges.as_ref().and_then(|ranges| ranges.find(address));
        place.aws = aws.map(Into::into);
        place
    }

    fn describe(&self) -> String {
        let databases = self.databases.iter().map(Database::describe);
        let ranges = self.ranges.iter().map(Ranges::describe);
        databases.chain(ranges).collect::<Vec<_>>().join(", ")
    }
}

impl Atlas {
    /// What was loaded so far is not the same as before if this has changed.
    #[inline]
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn loaded(&self) -> Option<Arc<Loaded>> {
        lock(&self.loaded).clone()
    }

    /// What is loaded, with the dates; empty if nothing is.
    pub fn describe(&self) -> String {
        self.loaded()
            .map_or_else(String::new, |loaded| loaded.describe())
    }

    /// What went wrong since the last call.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.notes))
    }

    /// Load the files, and look from now on whether they change.
    ///
    /// # Errors
    /// Where one that the settings name can't be read, or is not what it should be. The error names the setting and the file.
    pub fn load(self: &Arc<Self>, given: &Files) -> Result<Option<Watch>> {
        let files = given.or_environment();
        if files.is_empty() {
            return Ok(None);
        }
        let mut watched = Watched::new(&files);
        match watched.load() {
            Ok(loaded) => self.replace(loaded),
            // Nobody has asked for it this time, and what is read does not depend on it.
            Err(error) if given.is_empty() => {
                say(&format!("{error:#}: there are no countries and networks"));
            }
            Err(error) => return Err(error),
        }
        Ok(Some(Watch::start(Arc::clone(self), watched)?))
    }

    fn replace(&self, loaded: Loaded) {
        *lock(&self.loaded) = Some(Arc::new(loaded));
        self.said_damaged.store(false, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Release);
    }

    #[cold]
    fn say_damaged(&self, database: &Database) {
        if !self.said_damaged.swap(true, Ordering::Relaxed) {
            lock(&self.notes).push(format!(
                "geoDatabases: {} is damaged: some addresses have no country or network",
                database.describe()
            ));
        }
    }
}

/// The files, and how they were when they were loaded.
struct Watched {
    files: Vec<Watching>,
}

struct Watching {
    kind: Kind,
    path: PathBuf,
    seen: Option<Stamp>,
}

/// What changes with a file.
type Stamp = (u64, Option<SystemTime>);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Database,
    Ranges,
}

impl Kind {
    /// The setting that names such files.
    fn key(self) -> &'static str {
        match self {
            Self::Database => "geoDatabases",
            Self::Ranges => "awsIpRanges",
        }
    }
}

impl Watched {
    fn new(files: &Files) -> Self {
        let databases = files.databases.iter().map(|path| (Kind::Database, path));
        let ranges = files.aws_ranges.iter().map(|path| (Kind::Ranges, path));
        let files = databases.chain(ranges);
        let files = files.map(|(kind, path)| Watching {
            kind,
            path: user_path(path),
            seen: None,
        });
        Self {
            files: files.collect(),
        }
    }

    fn load(&mut self) -> Result<Loaded> {
        let mut loaded = Loaded {
            databases: Vec::new(),
            ranges: None,
        };
        // Before any is read: what is written meanwhile is read the next time, and one that can't be read is tried again when
        // a file changes.
        for file in &mut self.files {
            file.seen = file.stamp();
        }
        for file in &self.files {
            let named = || format!("{}: {}", file.kind.key(), file.path.display());
            match file.kind {
                Kind::Database => {
                    let database = read(&file.path).and_then(Database::new);
                    loaded.databases.push(database.with_context(named)?);
                }
                Kind::Ranges => {
                    let ranges = read(&file.path).and_then(|bytes| Ranges::new(&bytes));
                    loaded.ranges = Some(ranges.with_context(named)?);
                }
            }
        }
        Ok(loaded)
    }

    /// Has one changed since it was loaded, and is it there?
    fn have_changed(&self) -> bool {
        self.files.iter().any(|file| {
            let now = file.stamp();
            now.is_some() && now != file.seen
        })
    }
}

impl Watching {
    fn stamp(&self) -> Option<Stamp> {
        let there = fs::metadata(&self.path).ok()?;
        Some((there.len(), there.modified().ok()))
    }
}

/// The bytes of a file.
fn read(path: &PathBuf) -> Result<Vec<u8>> {
    let file = File::open(path).context("can't be read")?;
    let there = file.metadata().context("can't be read")?;
    ensure!(there.is_file(), "is not a file");
    let too_large = || format!("has more than {} GB", LARGEST >> 30);
    ensure!(there.len() <= LARGEST, too_large());
    let mut bytes = Vec::new();
    let most = usize::try_from(there.len()).context("can't be read")?;
    bytes
        .try_reserve_exact(most)
        .context("does not fit into memory")?;
    // It may grow meanwhile.
    let mut limited = file.take(there.len());
    limited.read_to_end(&mut bytes).context("can't be read")?;
    Ok(bytes)
}

/// Looks whether files change, until it is dropped.
pub(crate) struct Watch {
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start(atlas: Arc<Atlas>, mut watched: Watched) -> Result<Self> {
        let ended: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let told = Arc::clone(&ended);
        let watch = move || {
            block_sigpipe();
            let (is_over, changed) = &*told;
            loop {
                let waited = changed.wait_timeout_while(lock(is_over), LOOKS, |over| !*over);
                let over = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
                if *over {
                    return;
                }
                drop(over);
                let look = || {
                    renew(&atlas, &mut watched);
                    Ok(())
                };
                if let Err(error) = guard("looking at geoDatabases", look) {
                    lock(&atlas.notes).push(format!("{error:#}"));
                }
            }
        };
        let thread = std::thread::Builder::new().name("geo".to_owned());
        let thread = thread.spawn(watch).context("geoDatabases: no thread")?;
        Ok(Self {
            ended,
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let (is_over, changed) = &*self.ended;
        *lock(is_over) = true;
        changed.notify_all();
        // The library may be unloaded after it.
        self.thread.take().map(JoinHandle::join);
    }
}

/// Load all anew where one file has changed. A bad one leaves all as they are.
fn renew(atlas: &Atlas, watched: &mut Watched) {
    if !watched.have_changed() {
        return;
    }
    match watched.load() {
        Ok(loaded) => atlas.replace(loaded),
        Err(error) => lock(&atlas.notes).push(format!(
            "{error:#}: the file has changed, and what was loaded before is used on"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cant_be_read_is_tried_again_when_one_changes() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["missing.mmdb", "here.mmdb"].map(|name| folder.path().join(name));
        fs::write(&paths[1], "").unwrap();
        let mut watched = Watched::new(&Files {
            databases: paths
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
            ..Files::default()
        });
        assert!(watched.load().is_err());
        assert!(!watched.have_changed());
        fs::write(&paths[0], "x").unwrap();
        assert!(watched.have_changed());
    }
}
