//! Log files in zip and tar archives, of a copied trail say: each is decoded as a file of a folder would be.
//!
//! Where an archive can be read from anywhere, in a file or in memory, its log files come in the order of their
//! delivery, which their names tell. One that comes as a stream, a large one of a bucket or one that is compressed as a
//! whole, is read from its beginning to its end. Nothing is ever unpacked to a disk.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};

use anyhow::{Error, Result, anyhow, bail};
use jiff::Timestamp;
use tar::EntryType;
use zip::ZipArchive;
use zip::read::read_zipfile_from_stream;
use zip::result::ZipError;

use super::input::{Allowance, Counted, Failing, Inflated};
use super::tar_headers::{TarEntries, TarEntry};
use super::{ArchiveCounts, Decode, Decoded, Hashing, Outcome, Take};
use crate::formats::archive::Kind;
use crate::formats::holds_events;
use crate::log_file::FileError;
use crate::stats::count;
use crate::trail::{self, Naming};

/// A log file of an archive of more bytes than this, as it is there or inflated, is decoded piece by piece: several of
/// them may wait for the host.
const WHOLE: usize = 8 << 20;
/// Archives of more files than this, or of longer names in all, are read from their beginning, since a list of them has
/// to be held for an order.
const MEMBERS: usize = 100_000;
const NAMES: usize = 16 << 20;
/// A zip archive's directory has at most so many bytes, or it is read from its beginning, too.
const DIRECTORY: u64 = 64 << 20;

/// Where an archive ends that is cut.
const ENDS: &str = "it ends within a file";

/// What became of a log file of an archive.
#[derive(Debug)]
pub(crate) struct ArchiveEntry {
    /// Its name in there.
    pub name: String,
    pub outcome: Result<Outcome, FileError>,
}

/// A file of an archive, before it is read.
struct Listed {
    delivered: Option<Timestamp>,
    name: String,
    /// Where it is, in the archive's own terms, and how long.
    place: u64,
    size: u64,
}

/// An archive that is being read.
struct Reading<'a, 'b> {
    decode: &'a Decode,
    kind: Kind,
    allowance: &'a Allowance,
    outcome: &'a mut Outcome,
    take: Take<'b>,
    /// Nobody takes any more.
    over: bool,
}

impl Decode {
    /// Read an archive in the order of delivery.
    pub(super) fn archive(
        &self,
        kind: Kind,
        mut input: impl Read + Seek,
        allowance: &Allowance,
        outcome: &mut Outcome,
        take: Take<'_>,
    ) -> Result<()> {
        let mut reading = self.begin(kind, allowance, outcome, take)?;
        match kind {
            Kind::Zip => reading.zip(&mut input)?,
            Kind::Tar => reading.tar(&mut input)?,
        }
        reading.finish()
    }

    /// Read an archive as it comes.
    pub(super) fn archive_in_order(
        &self,
        kind: Kind,
        input: &mut dyn Read,
        allowance: &Allowance,
        outcome: &mut Outcome,
        take: Take<'_>,
    ) -> Result<()> {
        let mut reading = self.begin(kind, allowance, outcome, take)?;
        match kind {
            Kind::Zip => reading.zip_in_order(input),
            Kind::Tar => reading.tar_in_order(input),
        }
        reading.finish()
    }

    fn begin<'a, 'b>(
        &'a self,
        kind: Kind,
        allowance: &'a Allowance,
        outcome: &'a mut Outcome,
        take: Take<'b>,
    ) -> Result<Reading<'a, 'b>> {
        if self.within_archive {
            bail!(
                "is {} within an archive, which is not looked into: unpack it first",
                kind.name()
            );
        }
        outcome.archive = Some(Default::default());
        Ok(Reading {
            decode: self,
            kind,
            allowance,
            outcome,
            take,
            over: false,
        })
    }
}

impl Reading<'_, '_> {
    fn contents(&mut self) -> &mut ArchiveCounts {
        self.outcome.archive.get_or_insert_default()
    }

    /// Name what is wrong with the archive as a whole.
    fn damaged(&mut self, why: impl std::fmt::Display) {
        if !self.outcome.damaged {
            self.outcome.damaged = true;
            let kind = self.kind.name();
            self.outcome
                .problems
                .push(format!("is {kind} that is truncated or damaged: {why}"));
        }
    }

    fn finish(self) -> Result<()> {
        let Some(contents) = &self.outcome.archive else {
            return Ok(());
        };
        if contents.read + contents.failed + contents.filtered > 0 || self.over {
            return Ok(());
        }
        let others = match contents.passed_over {
            0 => String::new(),
            n => format!(", but with {} of another kind", count(n, "file")),
        };
        let problems = std::mem::take(&mut self.outcome.problems);
        match problems.first() {
            Some(problem) => bail!("{problem}"),
            None => bail!(
                "is {} without a CloudTrail log file{others}",
                self.kind.name()
            ),
        }
    }

    /// Is this a log file that was asked for, going by its name? What is not is counted.
    fn wants(&mut self, name: &str) -> bool {
        let wanted = &self.decode.selection;
        let naming = trail::naming(name);
        if naming == Naming::Other {
            self.contents().passed_over += 1;
            return false;
        }
        let in_interval =
            trail::delivery_time(name).is_none_or(|time| wanted.interval.contains(time));
        if in_interval && wanted.accounts.contain(trail::account(name)) {
            return true;
        }
        // Nothing is known of what has no such name before it is read.
        match naming {
            Naming::LogFile => self.contents().filtered += 1,
            _ => self.contents().passed_over += 1,
        }
        false
    }

    /// Read a file that is wanted. `size` is how long it must be, where that is known.
    fn member(&mut self, name: &str, size: Option<u64>, input: &mut dyn Read) {
        let result = self.decode_member(name, size, input);
        let outcome = match result {
            Some(outcome) => outcome,
            None => return self.contents().passed_over += 1,
        };
        self.tell(name, outcome);
    }

    fn tell(&mut self, name: &str, outcome: Result<Outcome, FileError>) {
        match outcome {
            Ok(_) => self.contents().read += 1,
            Err(_) => self.contents().failed += 1,
        }
        self.over |= !(self.take)(Decoded::Entry(ArchiveEntry {
            name: shown(name),
            outcome,
        }));
    }

    /// None where its content tells that it is not a log file, and its name does not say that it is one.
    fn decode_member(
        &mut self,
        name: &str,
        size: Option<u64>,
        input: &mut dyn Read,
    ) -> Option<Result<Outcome, FileError>> {
        let decode = Decode {
            delivered: trail::delivery_time(name).or(self.decode.delivered),
            whole: WHOLE,
            within_archive: true,
            hashing: Hashing::Off,
            ..self.decode.clone()
        };
        let length = Cell::new(0);
        let mut input = Counted::new(input, &length);
        let mut bytes = decode.stored.take();
        bytes.clear();
        let read = Read::take(&mut input, WHOLE as u64 + 1).read_to_end(&mut bytes);
        if trail::naming(name) != Naming::LogFile && !holds_events(name, &mut &*bytes) {
            return None;
        }
        if let Err(error) = &read
            && bytes.is_empty()
            && let Some(error) = zip_error(error)
        {
            return Some(Err(explain(error).into()));
        }
        let mut over = self.over;
        let take: Take<'_> = &mut |decoded| {
            over |= !(self.take)(decoded);
            !over
        };
        let mut outcome = Outcome::default();
        let result = match read {
            Ok(_) if bytes.len() <= WHOLE => {
                decode.whole(bytes, self.allowance, &mut outcome, take)
            }
            read => {
                // What is before damage may be read.
                let failing = Failing(read.err());
                let mut rest = Read::chain(Read::chain(&*bytes, failing), &mut input);
                let result = decode.read(&mut rest, 0, self.allowance, &mut outcome, take);
                result.map_err(FileError::from)
            }
        };
        self.over = over;
        if let Err(error) = result {
            return Some(Err(error));
        }
        // Those of the archive are counted.
        outcome.bytes = 0;
        // Damage, too, may end its reading.
        if let Some(size) = size.filter(|size| length.get() < *size && !over)
            && matches!(input.read(&mut [0]), Ok(0))
        {
            outcome.damaged = true;
            let missing = count(size - length.get(), "byte");
            outcome
                .problems
                .push(format!("is truncated: {missing} are missing"));
        }
        Some(Ok(outcome))
    }

    fn zip(&mut self, input: &mut (impl Read + Seek)) -> Result<()> {
        if zip_files(input).is_ok_and(|files| files > MEMBERS as u64) {
            input.rewind()?;
            self.zip_in_order(input);
            return Ok(());
        }
        // What is read of it at first is its directory, which is held.
        let left = Cell::new(DIRECTORY);
        let limited = Limited {
            input: &mut *input,
            left: &left,
        };
        let mut archive = match ZipArchive::new(limited) {
            Ok(archive) => archive,
            // The directory is at its end: what is before it may be there.
            Err(error) => {
                self.damaged(error);
                input.rewind()?;
                self.zip_in_order(input);
                return Ok(());
            }
        };
        left.set(u64::MAX);
        if archive.has_overlapping_files().unwrap_or(false) {
            bail!("is a zip archive whose files overlap, as those of zip bombs do: it is not read");
        }
        let mut entries = Vec::new();
        for index in 0..archive.len() {
            let Ok(file) = archive.by_index_data(index) else {
                continue;
            };
            if file.is_dir() {
                continue;
            }
            let name = String::from_utf8_lossy(file.name_raw()).into_owned();
            if file.is_symlink() {
                self.contents().passed_over += 1;
            } else if self.wants(&name) {
                entries.push(self.entry(name, index as u64, file.size()));
            }
        }
        sort(&mut entries);
        for Listed { name, place, .. } in entries {
            if self.over {
                break;
            }
            match archive.by_index(place as usize) {
                Ok(file) => {
                    self.member(&name, None, &mut Inflated::new(file, self.allowance));
                }
                Err(error) => self.lost(&name, &error),
            }
        }
        Ok(())
    }

    fn zip_in_order(&mut self, mut input: impl Read) {
        while !self.over {
            match read_zipfile_from_stream(&mut input) {
                Ok(Some(mut file)) => {
                    let name = String::from_utf8_lossy(file.name_raw()).into_owned();
                    if !file.is_dir() && self.wants(&name) {
                        self.member(&name, None, &mut Inflated::new(&mut file, self.allowance));
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    let why = match error {
                        ZipError::UnsupportedArchive(_) => format!(
                            "{error}; from a folder, where it can be read from its end, it may be readable"
                        ),
                        _ => error.to_string(),
                    };
                    return self.damaged(why);
                }
            }
        }
    }

    /// Name a file that can't be read.
    fn lost(&mut self, name: &str, error: &ZipError) {
        // By its name alone it may be none.
        if trail::naming(name) != Naming::LogFile {
            self.contents().passed_over += 1;
            return;
        }
        self.tell(name, Err(explain(error).into()));
    }

    fn tar(&mut self, input: &mut (impl Read + Seek)) -> Result<()> {
        let end = input.seek(SeekFrom::End(0))?;
        input.rewind()?;
        let mut listed = Vec::new();
        let mut names = 0;
        let mut entries = TarEntries::default();
        loop {
            let entry = match entries.next(input) {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    self.damaged(error);
                    break;
                }
            };
            if listed.len() == MEMBERS || names > NAMES {
                input.rewind()?;
                self.outcome.archive = Some(Default::default());
                self.tar_in_order(input);
                return Ok(());
            }
            let TarEntry { name, kind, size } = entry;
            if self.is_file(kind) && self.wants(&name) {
                names += name.len();
                listed.push(self.entry(name, entries.position, size));
            }
            if size > end.saturating_sub(entries.position) {
                self.damaged(ENDS);
                break;
            }
            input.seek(SeekFrom::Start(entries.next_header(size)))?;
        }
        sort(&mut listed);
        for Listed {
            name, place, size, ..
        } in listed
        {
            if self.over {
                break;
            }
            input.seek(SeekFrom::Start(place))?;
            self.member(&name, Some(size), &mut Read::take(&mut *input, size));
        }
        Ok(())
    }

    fn tar_in_order(&mut self, mut input: impl Read) {
        let mut entries = TarEntries::default();
        while !self.over {
            let TarEntry { name, kind, size } = match entries.next(&mut input) {
                Ok(Some(entry)) => entry,
                Ok(None) => return,
                Err(error) => return self.damaged(error),
            };
            let mut data = Read::take(&mut input, size);
            if self.is_file(kind) && self.wants(&name) {
                self.member(&name, Some(size), &mut data);
            }
            if let Err(error) = io::copy(&mut data, &mut io::sink()) {
                return self.damaged(error);
            }
            if data.limit() > 0 {
                return self.damaged(ENDS);
            }
            let end = entries.position + size;
            let padding = entries.next_header(size) - end;
            if let Err(error) = io::copy(&mut Read::take(&mut input, padding), &mut io::sink()) {
                return self.damaged(error);
            }
        }
    }

    /// Is this a plain file? Links and the like are counted, and folders are nothing.
    fn is_file(&mut self, kind: EntryType) -> bool {
        if !kind.is_file() && !kind.is_dir() && !kind.is_pax_global_extensions() {
            self.contents().passed_over += 1;
        }
        kind.is_file()
    }

    fn entry(&self, name: String, place: u64, size: u64) -> Listed {
        Listed {
            delivered: trail::delivery_time(&name).or(self.decode.delivered),
            name,
            place,
            size,
        }
    }
}

/// How many files a zip archive says that it has, in the record at its end or, where there are too many for that, in
/// another one before; see <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>, 4.3.14 to 4.3.16.
fn zip_files(input: &mut (impl Read + Seek)) -> io::Result<u64> {
    let size = input.seek(SeekFrom::End(0))?;
    // A comment of up to 64 KB may follow.
    input.seek(SeekFrom::Start(size.saturating_sub(66 << 10)))?;
    let mut tail = Vec::new();
    Read::take(&mut *input, 66 << 10).read_to_end(&mut tail)?;
    let at = memchr::memmem::rfind(&tail, b"PK\x05\x06").unwrap_or(tail.len());
    let number = |bytes: &[u8]| bytes.iter().rfold(0, |n, &byte| n << 8 | u64::from(byte));
    let files = tail.get(at + 10..at + 12).map_or(0, number);
    let locator = at.checked_sub(20).and_then(|at| tail.get(at..at + 16));
    match locator.and_then(|locator| locator.strip_prefix(b"PK\x06\x07")) {
        Some(locator) if files == 0xffff => {
            input.seek(SeekFrom::Start(number(&locator[4..])))?;
            let mut end = [0; 40];
            input.read_exact(&mut end)?;
            Ok(number(&end[32..]))
        }
        _ => Ok(files),
    }
}

/// Why the crate can't read a file, where its reading says so.
fn zip_error(error: &io::Error) -> Option<&ZipError> {
    error.get_ref()?.downcast_ref()
}

fn explain(error: &ZipError) -> Error {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => {
            anyhow!("is encrypted: unpack the archive with its password first")
        }
        ZipError::CompressionMethodNotSupported(method) => anyhow!(
            "is compressed by method {method} of zip, which is not known here: unpack the archive first"
        ),
        error => anyhow!("can't be read: {error}"),
    }
}

/// As the files of a folder.
fn sort(entries: &mut [Listed]) {
    entries.sort_unstable_by(|a, b| (a.delivered, &a.name).cmp(&(b.delivered, &b.name)));
}

/// A name fit for a log: nobody has made a file of it.
fn shown(name: &str) -> String {
    let shown = name.chars().map(|char| match char.is_control() {
        true => char.escape_default().to_string(),
        false => char.to_string(),
    });
    shown.collect()
}

/// Fails where more is read than is left to it.
struct Limited<'a, R> {
    input: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        match self.left.get().checked_sub(read as u64) {
            Some(left) => self.left.set(left),
            None => return Err(io::Error::other("its directory is too large to be held")),
        }
        Ok(read)
    }
}

impl<R: Seek> Seek for Limited<'_, R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.input.seek(position)
    }
}
