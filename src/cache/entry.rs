//! A file of the cache: what was downloaded, as it was stored, and behind that a mark, its length and a checksum.

use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use ring::digest;
use twox_hash::XxHash64;

use crate::integrity::hex;
use crate::log_file::Sha256;
use crate::process::platform;

/// What the end of every file begins with. Another form of file gets another mark.
const MARK: [u8; 8] = *b"ctcache1";
/// The mark, the length of what is before it, and the checksum, both in the order of x86.
pub(super) const END: usize = 24;
/// When a file was last used is written down so often at most.
const USED: Duration = Duration::from_secs(60 * 60);

/// What one object is called in the cache. It is another one for every content that the object has had.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Name {
    hash: Sha256,
    /// The size of the object in bytes.
    pub(super) size: u64,
}

impl Name {
    /// The name of an object of this size, which these texts tell from all others.
    pub fn new(texts: [&str; 4], size: u64) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for text in texts {
            // So that no end of one text can be the beginning of the next one.
            context.update(&(text.len() as u64).to_le_bytes());
            context.update(text.as_bytes());
        }
        context.update(&size.to_le_bytes());
        let mut hash = Sha256::default();
        hash.copy_from_slice(context.finish().as_ref());
        Self { hash, size }
    }

    /// A number that is as likely as any other.
    pub(super) fn any(&self) -> usize {
        self.hash[31].into()
    }

    /// Where its file is, below the cache's folder.
    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        let hex = hex(&self.hash);
        let (first, rest) = hex.split_at(2);
        folder.join(first).join(rest)
    }

    /// The length of its file in bytes.
    fn length(&self) -> u64 {
        self.size.saturating_add(END as u64)
    }

    fn checksum(&self) -> Checksum {
        // A file under the name of another one is damaged, too.
        let mut hasher = XxHash64::with_seed(0);
        hasher.write(&self.hash);
        Checksum { hasher, length: 0 }
    }
}

/// The checksum of the bytes so far, and how many they are.
struct Checksum {
    hasher: XxHash64,
    length: u64,
}

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        self.hasher.write(bytes);
        self.length += bytes.len() as u64;
    }

    fn end(&self) -> [u8; END] {
        let mut end = [0; END];
        let parts = [
            MARK,
            self.length.to_le_bytes(),
            self.hasher.finish().to_le_bytes(),
        ];
        for (place, part) in end.chunks_exact_mut(8).zip(parts) {
            place.copy_from_slice(&part);
        }
        end
    }
}

/// Why there is nothing to read.
#[derive(Debug, PartialEq)]
pub(super) enum Unread {
    /// There is no such file, or it can't be opened.
    Missing,
    /// It is not as it was written.
    Damaged,
}

/// Open an object's file, whose length must be right.
fn open(folder: &Path, name: &Name) -> Result<File, Unread> {
    let path = name.path(folder);
    // Before it is opened, since to open a named pipe takes until somebody writes to it.
    let metadata = fs::symlink_metadata(&path).map_err(|_| Unread::Missing)?;
    if !metadata.is_file() || metadata.len() != name.length() {
        return Err(Unread::Damaged);
    }
    let file = File::open(&path).map_err(|_| Unread::Missing)?;
    let now = SystemTime::now();
    let since = |time| now.duration_since(time).unwrap_or_default();
    if metadata.modified().is_ok_and(|time| since(time) > USED) {
        // Windows asks for the right to write. If it can't be noted, the file goes a little too early.
        let noted = File::options().append(true).open(&path);
        _ = noted.and_then(|file| file.set_modified(now));
    }
    Ok(file)
}

/// The next bytes of a file, as many as there is place for.
fn fill(file: &mut File, bytes: &mut [u8]) -> Result<(), Unread> {
    file.read_exact(bytes).map_err(|_| Unread::Damaged)
}

/// All of an object, which must be small enough to be held.
pub(super) fn read(folder: &Path, name: &Name) -> Result<Vec<u8>, Unread> {
    let mut file = open(folder, name)?;
    let length = usize::try_from(name.length()).map_err(|_| Unread::Damaged)?;
    let mut bytes = vec![0; length];
    fill(&mut file, &mut bytes)?;
    let size = length - END;
    let mut checksum = name.checksum();
    checksum.add(&bytes[..size]);
    if bytes[size..] != checksum.end() {
        return Err(Unread::Damaged);
    }
    bytes.truncate(size);
    Ok(bytes)
}

/// The file of a large object, which is read twice: it was looked through, and stands at its beginning again.
pub(super) fn checked(folder: &Path, name: &Name) -> Result<io::Take<File>, Unread> {
    let mut file = open(folder, name)?;
    let mut checksum = name.checksum();
    let mut piece = vec![0; 256 << 10];
    let mut left = name.size;
    while left > 0 {
        let most = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
        fill(&mut file, &mut piece[..most])?;
        checksum.add(&piece[..most]);
        left -= most as u64;
    }
    let mut end = [0; END];
    fill(&mut file, &mut end)?;
    if end != checksum.end() {
        return Err(Unread::Damaged);
    }
    file.rewind().map_err(|_| Unread::Damaged)?;
    Ok(file.take(name.size))
}

/// A file that is being written, under a name of its own until it is whole; removed if it never is.
pub(super) struct Writing {
    /// None once it is closed, for Windows renames nothing that is open.
    file: Option<File>,
    name: Name,
    checksum: Checksum,
    unfinished: PathBuf,
    path: PathBuf,
    is_finished: bool,
}

impl Writing {
    /// Begin to write an object's file.
    pub fn begin(folder: &Path, name: Name) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let path = name.path(folder);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("{}-{count}{UNFINISHED}", std::process::id()));
        let create = || {
            // A process of the same ID may have left one.
            let mut options = platform::private_file();
            options.write(true).create(true).truncate(true);
            options.open(&unfinished)
        };
        let file = match (create(), path.parent()) {
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
                platform::private_folder().create(parent)?;
                create()?
            }
            (file, _) => file?,
        };
        Ok(Self {
            file: Some(file),
            checksum: name.checksum(),
            name,
            unfinished,
            path,
            is_finished: false,
        })
    }

    /// Write what comes next.
    pub fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.checksum.add(bytes);
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file
            .as_mut()
            .map_or(Ok(()), |file| file.write_all(bytes))
    }

    /// Give the file its name, if all of the object was written. False if it was not.
    pub fn finish(mut self) -> io::Result<bool> {
        if self.checksum.length != self.name.size {
            return Ok(false);
        }
        let end = self.checksum.end();
        self.write(&end)?;
        self.rename()
    }

    fn rename(mut self) -> io::Result<bool> {
        self.file = None;
        fs::rename(&self.unfinished, &self.path)?;
        self.is_finished = true;
        Ok(true)
    }
}

/// Write the file of an object of which all bytes are here, at once.
pub(super) fn write(folder: &Path, name: Name, mut bytes: Vec<u8>) -> io::Result<bool> {
    let mut writing = Writing::begin(folder, name)?;
    writing.checksum.add(&bytes);
    bytes.extend_from_slice(&writing.checksum.end());
    writing.write(&bytes)?;
    writing.rename()
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.file = None;
        if !self.is_finished {
            _ = fs::remove_file(&self.unfinished);
        }
    }
}

/// What the names of files end with that are not whole yet.
const UNFINISHED: &str = ".tmp";

/// What a file in a folder of the cache is, by its name.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    Object,
    Unfinished,
    /// Not ours.
    Other,
}

impl Kind {
    pub fn of(name: &str) -> Self {
        let (hex, rest) = name.split_at_checked(62).unwrap_or((name, ""));
        let is_ours = hex.len() == 62 && is_hex(hex);
        match rest {
            "" if is_ours => Self::Object,
            rest if is_ours && rest.starts_with('.') && rest.ends_with(UNFINISHED) => {
                Self::Unfinished
            }
            _ => Self::Other,
        }
    }
}

/// Is this the name of a folder that the files of objects are in?
pub(super) fn is_folder(name: &str) -> bool {
    name.len() == 2 && is_hex(name)
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
