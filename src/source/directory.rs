//! Log files in a folder, with all below it, or one file.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::OnceCell;
use walkdir::{DirEntry, WalkDir};

use super::Source;
use super::twins::{self, Twins};
use crate::aws::{Environment, Login, cloudtrail};
use crate::formats;
use crate::integrity::{self, Listed, PublicKeys, Stored};
use crate::log_file::{Body, LARGEST_WHOLE, LogFile};
use crate::settings::location::QUOTES;
use crate::settings::{self, Settings};
use crate::stats::Stats;
use crate::trail::{self, Interval, Naming, Outside, Selection};

/// The log files found, in order of delivery.
pub(super) struct Directory {
    found: vec::IntoIter<Found>,
    /// By name, for log files that are there more than once.
    twins: HashMap<String, Arc<Twins>>,
}

struct Found {
    delivered: Option<Timestamp>,
    path: PathBuf,
    /// Why it can't be read, if the walk could not look at it.
    unreadable: Option<String>,
}

/// Find the log files below `path`.
pub(super) async fn open(path: PathBuf, wanted: Selection, stats: Arc<Stats>) -> Result<Directory> {
    let counted = Arc::clone(&stats);
    // A walk may take long, for example in a folder on a network.
    let found = tokio::task::spawn_blocking(move || find(&path, &wanted, &counted))
        .await
        .context("looking for log files")??;
    stats.files_listed.add(found.len() as u64);
    stats.files_expected.raise(stats.files_listed.get());
    let twins = twins(&found, &stats);
    Ok(Directory {
        found: found.into_iter(),
        twins,
    })
}

fn find(path: &Path, wanted: &Selection, stats: &Stats) -> Result<Vec<Found>> {
    let shown = path.display();
    if let Some(file) = file_named_by_itself(path)? {
        return Ok(vec![file]);
    }
    let mut found = Vec::new();
    let (mut seen, mut digests) = (0, 0);
    let mut outside = Outside::default();
    for entry in WalkDir::new(path).follow_links(true) {
        let entry = match entry {
            Ok(entry) if entry.depth() == 0 || entry.file_type().is_dir() => continue,
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 => bail!("{shown}: the folder can't be read: {error}"),
            Err(error) if error.loop_ancestor().is_some() => {
                stats.note(error.to_string());
                continue;
            }
            Err(error) => {
                let why = error.io_error().map(ToString::to_string);
                found.push(Found {
                    delivered: None,
                    path: error.path().unwrap_or(path).to_owned(),
                    unreadable: Some(why.unwrap_or_else(|| error.to_string())),
                });
                continue;
            }
        };
        // The folder that the user named may have any name, so only the path below it tells what is not a log file.
        let below = entry.path().strip_prefix(path).unwrap_or(entry.path());
        let name = below.to_string_lossy();
        if !is_log_file(&entry, &name) {
            // Digests belong there and are not counted as passed over.
            match trail::is_digest(&name) {
                true => digests += 1,
                false => stats.passed_over.add(1),
            }
            continue;
        }
        seen += 1;
        // A file's own time says little of its delivery: where the name has none, the interval doesn't apply.
        if !wanted.takes_place(&entry.path().to_string_lossy()) {
            stats.filtered.add(1);
            continue;
        }
        let delivered = trail::delivery_time(&name);
        if let Some(time) = delivered.filter(|_| !wanted.takes_time(&name, delivered)) {
            outside.add(time);
            stats.filtered.add(1);
            continue;
        }
        found.push(Found {
            delivered: delivery_time(entry.path()),
            path: entry.into_path(),
            unreadable: None,
        });
    }
    if seen == 0 && found.is_empty() {
        bail!(
            "{shown}: there is no CloudTrail log file (*.json or *.json.gz), nor an export or archive of such, in this folder{}",
            match stats.passed_over.get() + digests {
                0 => ", which is empty".to_owned(),
                n => format!(", but {} of another kind", crate::stats::count(n, "file")),
            }
        );
    }
    if found.is_empty() {
        let remark = outside.describe(wanted.asked, shown);
        remark.into_iter().for_each(|remark| stats.remark(remark));
    }
    // Files without a time in their name are sorted by their modification time, and files of the same time by name.
    found.sort_unstable_by(|a, b| (a.delivered, &a.path).cmp(&(b.delivered, &b.path)));
    Ok(found)
}

/// What may be wrong with a path that leads nowhere.
fn hint(path: &str) -> &'static str {
    if path.starts_with(QUOTES) && path.ends_with(QUOTES) {
        ": leave out the quotes around it"
    } else if path.contains(['*', '?']) {
        ": * and ? are no wildcards here: give the folder, all of which is read"
    } else {
        ""
    }
}

/// The file at `path`, which is read whatever its name and account are. None if `path` is a folder.
fn file_named_by_itself(path: &Path) -> Result<Option<Found>> {
    let shown = path.display();
    let metadata = path.metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            anyhow!(
                "{shown}: there is no such file or folder{}",
                hint(&path.to_string_lossy())
            )
        }
        _ => anyhow!("{shown}: can't be read: {error}"),
    })?;
    if metadata.is_dir() {
        return Ok(None);
    }
    if !metadata.is_file() {
        bail!("{shown}: is neither a file nor a folder");
    }
    Ok(Some(Found {
        delivered: delivery_time(path),
        path: path.to_owned(),
        unreadable: None,
    }))
}

/// Is this a log file, going by its name, or by its content where the name does not tell?
fn is_log_file(entry: &DirEntry, name: &str) -> bool {
    entry.file_type().is_file()
        && match trail::naming(name) {
            Naming::LogFile => true,
            Naming::Other => false,
            // An export may have any name. One that can't be opened is named when it is to be read.
            Naming::Unknown => match File::open(entry.path()) {
                Ok(mut file) => formats::holds_events(name, &mut file),
                Err(_) => true,
            },
        }
}

/// Log files that are there more than once, by the names that CloudTrail gives.
fn twins(found: &[Found], stats: &Arc<Stats>) -> HashMap<String, Arc<Twins>> {
    let mut names = HashSet::new();
    let mut twins = HashMap::new();
    for file in found {
        let path = file.path.to_string_lossy();
        let name = twins::name(&path);
        // Files with other names may share a name by chance.
        if trail::delivery_time(name).is_some() && !names.insert(name.to_owned()) {
            twins
                .entry(name.to_owned())
                .or_insert_with(|| Twins::new(stats));
        }
    }
    twins
}

/// The time in the name, or else the file's modification time.
fn delivery_time(path: &Path) -> Option<Timestamp> {
    trail::delivery_time(&path.to_string_lossy())
        .or_else(|| Timestamp::try_from(path.metadata().ok()?.modified().ok()?).ok())
}

/// The digests of what is read of a folder, which lie in it or beside it.
pub(super) struct DirectoryDigests {
    root: PathBuf,
    wanted: Selection,
    aws: settings::Aws,
    environment: Environment,
    /// For requests for public keys, if they are needed.
    login: OnceCell<Arc<Login>>,
    stats: Arc<Stats>,
}

impl DirectoryDigests {
    pub fn new(
        root: PathBuf,
        wanted: Selection,
        settings: &Settings,
        environment: &Environment,
        stats: &Arc<Stats>,
    ) -> Self {
        Self {
            root,
            wanted,
            aws: settings.aws.clone(),
            environment: environment.clone(),
            login: OnceCell::new(),
            stats: Arc::clone(stats),
        }
    }
}

/// A file that is not large, such as a digest.
fn read_small(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST_WHOLE as u64 + 1)
        .read_to_end(&mut bytes)?;
    match bytes.len() > LARGEST_WHOLE {
        true => Err(std::io::Error::other("it is too large for a digest")),
        false => Ok(bytes),
    }
}

/// The paths below a folder, in order; what can't be read is left out.
fn walk(folder: &Path, take: impl Fn(&DirEntry) -> bool) -> Vec<String> {
    WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| take(entry))
        .map(|entry| entry.path().display().to_string())
        .collect()
}

impl integrity::DigestStore for DirectoryDigests {
    fn list(&self, folder: String, _after: Option<String>) -> BoxFuture<'_, Result<Listed>> {
        Box::pin(async move {
            let names = move || walk(Path::new(&folder), |entry| entry.file_type().is_file());
            Ok(Listed {
                names: tokio::task::spawn_blocking(names).await?,
                next: None,
            })
        })
    }

    fn get(&self, name: String) -> BoxFuture<'_, Result<Stored>> {
        Box::pin(async move {
            let bytes = tokio::task::spawn_blocking(move || read_small(Path::new(&name))).await?;
            Ok(Stored {
                bytes: bytes.context("can't be read")?,
                // Only S3 keeps it, in the object's metadata.
                signature: None,
                generated: None,
            })
        })
    }

    fn folders(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        let root = self.root.clone();
        Box::pin(async move {
            let is_region = |entry: &DirEntry| {
                let parent = entry.path().parent().and_then(Path::file_name);
                entry.file_type().is_dir() && parent.is_some_and(|name| name == trail::DIGESTS)
            };
            let regions = tokio::task::spawn_blocking(move || walk(&root, is_region)).await?;
            let with_separator = |path| format!("{path}{}", std::path::MAIN_SEPARATOR);
            Ok(regions.into_iter().map(with_separator).collect())
        })
    }

    fn wants(&self, name: &str) -> bool {
        Path::new(name).starts_with(&self.root)
            && trail::delivery_time(name).is_some_and(|time| self.wanted.interval.contains(time))
            && self.wanted.takes_place(name)
    }

    fn span(&self) -> Interval {
        let days = trail::days_of(&self.root.to_string_lossy());
        self.wanted.interval.and(days)
    }

    fn bucket(&self) -> Option<&str> {
        None
    }

    fn exists(&self, name: String) -> BoxFuture<'_, bool> {
        let exists = move || {
            // A folder or a pipe of that name is no log file.
            let is_there = |name: &str| Path::new(name).is_file();
            is_there(&name) || name.strip_suffix(".gz").is_some_and(is_there)
        };
        Box::pin(async { tokio::task::spawn_blocking(exists).await.unwrap_or(false) })
    }

    fn public_keys(
        &self,
        region: String,
        from: Timestamp,
        to: Timestamp,
    ) -> BoxFuture<'_, Result<PublicKeys>> {
        Box::pin(async move {
            let load = || async {
                let login = Login::load(&self.aws, &self.environment).await?;
                anyhow::Ok(Arc::new(login))
            };
            let login = self.login.get_or_try_init(load).await?;
            Ok(cloudtrail::public_keys(login, &region, from, to, &self.stats).await?)
        })
    }
}

impl Source for Directory {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<LogFile>>> {
        let next = self.found.next().map(|file| {
            let mut file = file.into_log_file();
            if let Some(twins) = self.twins.get(twins::name(&file.name)) {
                twins.join(&mut file);
            }
            file
        });
        Box::pin(std::future::ready(Ok(next)))
    }
}

impl Found {
    fn into_log_file(self) -> LogFile {
        LogFile {
            name: self.path.display().to_string(),
            size: 0,
            delivered: self.delivered,
            cached: None,
            fetch: Box::new(move |_, _| {
                Box::pin(std::future::ready(match self.unreadable {
                    None => Ok(Body::File(self.path)),
                    Some(why) => Err(anyhow!("can't be read: {why}").into()),
                }))
            }),
            ack: None,
            proof: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::DigestStore;

    #[tokio::test]
    async fn copies_of_digests_and_log_files_are_checked_again() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::default();
        let wanted = settings.selection(Timestamp::UNIX_EPOCH).unwrap();
        let digests = DirectoryDigests::new(
            folder.path().to_owned(),
            wanted,
            &settings,
            &Environment::default(),
            &Arc::default(),
        );
        let name = |name: &str| folder.path().join(name).display().to_string();
        let (plain, large) = (name("plain.json"), name("large.json.gz"));
        assert!(!digests.exists(name("plain.json.gz")).await);
        std::fs::write(&plain, "{}").unwrap();
        // One may have been unpacked.
        assert!(digests.exists(name("plain.json.gz")).await && digests.exists(plain.clone()).await);
        assert_eq!(digests.get(plain).await.unwrap().bytes, b"{}");
        // What is not a file is no log file that has come meanwhile.
        std::fs::create_dir(name("folder.json.gz")).unwrap();
        assert!(!digests.exists(name("folder.json.gz")).await);
        let file = File::create(&large).unwrap();
        file.set_len(LARGEST_WHOLE as u64 + 1).unwrap();
        for (name, why) in [
            (large, "too large for a digest"),
            (name("none.json"), "can't be read"),
        ] {
            let error = digests.get(name).await.err().unwrap();
            assert!(format!("{error:#}").contains(why), "{error:#}");
        }
    }
}
