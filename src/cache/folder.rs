//! The folder of a cache: made, recognised, and kept below its size.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};

use super::entry::{self, Kind};
use crate::process::platform::{self, Others};

/// The file that says that a folder is a cache's, by which programs that back up leave it out; see
/// <https://bford.info/cachedir/>.
const TAG: &str = "CACHEDIR.TAG";
/// Its first line is that of all caches, its second one is ours.
const TAG_TEXT: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This folder is the cache (cachePath) of the cloudtrail plugin of Falco and Stratoshark. It may be emptied at any time.\n";
/// How old an unfinished file is that nobody will finish.
const LEFT_BEHIND: Duration = Duration::from_secs(60 * 60);

/// Make the folder, or make sure that it is ours. Gives what is to be said of it, if there is anything.
pub(super) fn open(path: &Path) -> Result<Option<String>> {
    let shown = path.display();
    if path.exists() {
        ensure!(
            path.is_dir(),
            "cachePath: {shown} is not a folder: give the path of a folder, which is made if there is none"
        );
    }
    let is_new = !path.exists();
    platform::private_folder().create(path).with_context(|| {
        format!("cachePath: the folder {shown} can't be made: give one that you may write to")
    })?;
    let is_open = is_new && !platform::take_rights_of_others(path);
    let tag = path.join(TAG);
    let read = || match fs::read_to_string(&tag) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let unreadable =
        || format!("cachePath: the folder {shown} can't be read: give one that you may read");
    let mut found = read().with_context(unreadable)?;
    if found.is_none() && !is_empty(path).with_context(unreadable)? {
        // Another process may have made it just now.
        found = read().with_context(unreadable)?;
        ensure!(
            found.is_some(),
            "cachePath: the folder {shown} holds other files and is no cache of this plugin: give an empty folder, or one that \
             does not exist yet"
        );
    }
    if let Some(found) = &found
        && found != TAG_TEXT
    {
        bail!(
            "cachePath: the folder {shown} is the cache of another program: give an empty folder, or one that does not exist yet"
        );
    }
    // Written each time, since that tells whether the folder can be written to, and whose files in it are.
    let unfinished = path.join(format!("{TAG}.{}", std::process::id()));
    let write = || {
        let mut options = platform::private_file();
        let file = options.write(true).create(true).truncate(true);
        io::Write::write_all(&mut file.open(&unfinished)?, TAG_TEXT.as_bytes())?;
        let others = platform::others(&path.metadata()?, &unfinished.metadata()?);
        fs::rename(&unfinished, &tag)?;
        io::Result::Ok(others)
    };
    let others = write().with_context(|| {
        _ = fs::remove_file(&unfinished);
        format!("cachePath: the folder {shown} can't be written to: give one that you may write to")
    })?;
    match others {
        Others::Own => bail!(
            "cachePath: the folder {shown} belongs to another user, who could change what is read from it: give a folder of your own"
        ),
        Others::Write => bail!(
            "cachePath: other users can write to the folder {shown}, and so change what is read from it: take that right away \
             (chmod 700), or give another folder"
        ),
        Others::Read => Ok(Some(format!(
            "cachePath: other users can list the folder {shown}, though not read the files in it: chmod 700 ends that"
        ))),
        Others::Nothing => Ok(is_open.then(|| {
            format!("cachePath: icacls can't take the rights of other users to the folder {shown} away, who may be able to read it")
        })),
    }
}

/// Is there nothing in a folder, but for folders of a cache whose mark is gone, as where it was emptied while a capture filled
/// it, and what another process writes that makes the same one a cache?
fn is_empty(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with(TAG) && !entry::is_folder(&name) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// If the files of objects take more than so many bytes, remove those that were not used for longest, to the second. Files
/// that were left behind unfinished are removed as well. What is not ours, or goes meanwhile, is left alone.
///
/// Memory goes by the seconds in which files were used, not by the files, of which there may be millions.
pub(super) fn sweep(folder: &Path, most: u64) -> io::Result<()> {
    let now = SystemTime::now();
    let mut used: BTreeMap<u64, u64> = BTreeMap::new();
    each_file(folder, |path, kind, metadata| match kind {
        Kind::Object => {
            let size = used.entry(second(metadata)).or_default();
            *size = size.saturating_add(metadata.len());
        }
        Kind::Unfinished => {
            let begun = metadata.modified().unwrap_or(now);
            if now.duration_since(begun).is_ok_and(|age| age > LEFT_BEHIND) {
                _ = fs::remove_file(path);
            }
        }
        Kind::Other => {}
    })?;
    let held = used
        .values()
        .fold(0, |sum: u64, size| sum.saturating_add(*size));
    if held <= most {
        return Ok(());
    }
    // How much is to go, of the files last used in which second at most.
    let (mut excess, mut last, mut of_last) = (held - most, 0, 0);
    for (second, size) in used {
        (last, of_last) = (second, excess);
        excess = excess.saturating_sub(size);
        if excess == 0 {
            break;
        }
    }
    each_file(folder, |path, kind, metadata| {
        let time = second(metadata);
        if kind == Kind::Object && (time < last || time == last && of_last > 0) {
            // Another process may have removed it.
            _ = fs::remove_file(path);
            if time == last {
                of_last = of_last.saturating_sub(metadata.len());
            }
        }
    })
}

/// When a file was last used, in seconds since the epoch.
fn second(metadata: &Metadata) -> u64 {
    let time = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Look at each file in the folders of a cache.
fn each_file(folder: &Path, mut look: impl FnMut(PathBuf, Kind, &Metadata)) -> io::Result<()> {
    for inner in fs::read_dir(folder)? {
        let inner = inner?;
        if !inner.file_name().to_str().is_some_and(entry::is_folder) {
            continue;
        }
        for file in fs::read_dir(inner.path()).into_iter().flatten().flatten() {
            let kind = file.file_name().to_str().map_or(Kind::Other, Kind::of);
            // That of a link itself, not of what it leads to.
            if let Some(metadata) = file.metadata().ok().filter(Metadata::is_file) {
                look(file.path(), kind, &metadata);
            }
        }
    }
    Ok(())
}
