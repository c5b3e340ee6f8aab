//! Log files in zip and tar archives, such as that of a copied trail. Each is decoded as a file of a folder would be.
//!
//! An archive in a file or in memory can be read at any place, so its log files come in the order of delivery, which
//! their names tell. One that comes as a stream, such as a large one in a bucket or a large compressed one, is read from
//! its beginning to its end. Nothing is ever unpacked to a disk.

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

/// A log file in an archive with more bytes than this, as stored or inflated, is decoded piece by piece, since several of
/// them may wait for the host.
const WHOLE: usize = 8 << 20;
/// Archives with more files than this, or with more bytes of names, are read from the beginning like a stream, since
/// sorting needs a list of them in memory.
const MEMBERS: usize = 100_000;
const NAMES: usize = 16 << 20;
/// So are zip archives whose directory has more bytes than this.
const DIRECTORY: u64 = 64 << 20;

/// Why a truncated archive ends.
const ENDS: &str = "it ends within a file";

/// What became of a log file of an archive.
#[derive(Debug)]
pub(crate) struct ArchiveEntry {
    /// Its name in the archive.
    pub name: String,
    pub outcome: Result<Outcome, FileError>,
}

/// A file of an archive, before it is read.
struct Listed {
    delivered: Option<Timestamp>,
    name: String,
    /// Its index in a zip archive, or the offset of its data in a tar archive.
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
    /// The receiver wants no more.
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

    /// Read an archive from its beginning to its end.
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

    /// Report what is wrong with the archive as a whole.
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

    /// Is this a selected log file, going by its name? If not, it is counted.
    fn wants(&mut self, name: &str) -> bool {
        let wanted = &self.decode.selection;
        let naming = trail::naming(name);
        if naming == Naming::Other {
            self.contents().passed_over += 1;
            return false;
        }
        let delivered = trail::delivery_time(name);
        let in_interval = delivered.is_none_or(|time| wanted.interval.contains(time));
        let in_lists = wanted.accounts.contain(trail::account(name))
            && wanted.regions.contain(trail::region(name));
        if in_interval && in_lists {
            return true;
        }
        // A file with any other name may hold no events at all, so it is not counted as a log file.
        if naming != Naming::LogFile {
            self.contents().passed_over += 1;
            return false;
        }
        self.contents().filtered += 1;
        if let Some(delivered) = delivered.filter(|_| !in_interval) {
            self.contents().outside.add(delivered);
        }
        false
    }

    /// Read a selected file. `size` is the length that it must have, if that is known.
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
            name: name.to_owned(),
            outcome,
        }));
    }

    /// None if neither its name nor its content says that it is a log file.
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
        if let Err(error) = &read
            && bytes.is_empty()
            && let Some(error) = zip_error(error)
        {
            return Some(Err(explain(error).into()));
        }
        if trail::naming(name) != Naming::LogFile {
            let failing = Failing(read.as_ref().err().map(|error| error.kind().into()));
            if !holds_events(name, &mut Read::chain(&*bytes, failing)) {
                return None;
            }
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
                // What is before the damage can still be read.
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
        // The bytes of the archive are counted instead.
        outcome.bytes = 0;
        // If there is more to read, damage has ended the reading, not a truncated archive.
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
        let told = zip_files(input).unwrap_or(0);
        if told > MEMBERS as u64 {
            input.rewind()?;
            self.zip_in_order(input);
            return Ok(());
        }
        // The crate first reads the directory and holds it in memory, so its size is limited.
        let left = Cell::new(DIRECTORY);
        let limited = Limited {
            input: &mut *input,
            left: &left,
        };
        let mut archive = match ZipArchive::new(limited) {
            Ok(archive) => archive,
            // The directory is at the end of the archive. What is before it may be undamaged.
            Err(error) => {
                self.damaged(error);
                input.rewind()?;
                self.zip_in_order(input);
                return Ok(());
            }
        };
        left.set(u64::MAX);
        // Of files of one name the crate knows the last alone.
        if told > archive.len() as u64 {
            drop(archive);
            input.rewind()?;
            self.zip_in_order(input);
            return Ok(());
        }
        if archive.offset() > 0 {
            self.outcome.damaged = true;
            self.outcome.problems.push(format!(
                "has {} before its beginning, which are not read: they may be another archive",
                count(archive.offset(), "byte")
            ));
        }
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

    /// Report a file that can't be read.
    fn lost(&mut self, name: &str, error: &ZipError) {
        if trail::naming(name) == Naming::Other {
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

    /// Is this a plain file? Links and special files are counted as passed over; folders are not counted.
    fn is_file(&mut self, kind: EntryType) -> bool {
        // Contiguous files are plain ones on all systems of today.
        let is_file = kind.is_file() || kind.is_contiguous();
        if !is_file && !kind.is_dir() && !kind.is_pax_global_extensions() {
            self.contents().passed_over += 1;
        }
        is_file
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

/// The zip crate's own error within an I/O error, if there is one.
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

/// Sort by delivery, as the files of a folder are.
fn sort(entries: &mut [Listed]) {
    entries.sort_unstable_by(|a, b| (a.delivered, &a.name).cmp(&(b.delivered, &b.name)));
}

/// Fails if more is read than `left` allows.
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

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;
    use crate::log_file::Body;
    use crate::trail::{Interval, Listed, Selection};

    /// How an archive reaches the decoder.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Way {
        /// From a place where it can be sought.
        Anywhere,
        /// From a stream, from its beginning to its end.
        Stream,
    }

    const WAYS: [(Kind, Way); 4] = [
        (Kind::Tar, Way::Anywhere),
        (Kind::Tar, Way::Stream),
        (Kind::Zip, Way::Anywhere),
        (Kind::Zip, Way::Stream),
    ];

    fn log_file(id: &str) -> Vec<u8> {
        let time = "2024-03-05T12:00:00Z";
        format!(r#"{{"Records":[{{"eventTime":"{time}","eventID":"{id}"}}]}}"#).into_bytes()
    }

    /// A name as CloudTrail gives it.
    fn name(minute: u8, unique: &str) -> String {
        format!("111122223333_CloudTrail_us-east-1_20240305T12{minute:02}Z_{unique}.json")
    }

    fn tar(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, data) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, &**data).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn zip(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let stored =
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, data) in entries {
            zip.start_file(&**name, stored).unwrap();
            zip.write_all(data).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn pack(kind: Kind, entries: &[(String, Vec<u8>)]) -> Vec<u8> {
        match kind {
            Kind::Tar => tar(entries),
            Kind::Zip => zip(entries),
        }
    }

    /// What decoding an archive gives.
    #[derive(Debug, Default)]
    struct Found {
        /// The IDs of events, in the order in which they come.
        ids: Vec<String>,
        /// Their times.
        times: Vec<u64>,
        /// The names of log files, and what is wrong with each.
        files: Vec<(String, Option<String>)>,
        outcome: Outcome,
        /// Bytes that are counted for the log files themselves.
        bytes: u64,
        error: Option<String>,
    }

    impl Found {
        /// Log files read, failed, of another kind, and not asked for.
        fn counts(&self) -> [u64; 4] {
            let counts = self.outcome.archive.as_ref().unwrap();
            [
                counts.read,
                counts.failed,
                counts.passed_over,
                counts.filtered,
            ]
        }

        fn take(&mut self, decoded: Decoded) {
            match decoded {
                Decoded::Chunk(chunk) => {
                    for n in 0.. {
                        let Some((record, time)) = chunk.record(n) else {
                            break;
                        };
                        self.times.push(time);
                        let record: serde_json::Value = serde_json::from_slice(record).unwrap();
                        self.ids
                            .push(record["eventID"].as_str().unwrap().to_owned());
                    }
                }
                Decoded::Entry(entry) => {
                    let problem = match entry.outcome {
                        Ok(outcome) => {
                            self.bytes += outcome.bytes;
                            outcome.problems.first().cloned()
                        }
                        Err(error) => Some(format!("{:#}", error.into_reason())),
                    };
                    self.files.push((entry.name, problem));
                }
            }
        }
    }

    fn read(decode: &Decode, kind: Kind, from: Way, bytes: &[u8]) -> Found {
        let mut read = Found::default();
        let mut outcome = Outcome::default();
        let allowance = Allowance::stored(bytes.len() as u64);
        let mut input = Cursor::new(bytes);
        let take: Take<'_> = &mut |decoded| {
            read.take(decoded);
            true
        };
        let result = match from {
            Way::Anywhere => decode.archive(kind, input, &allowance, &mut outcome, take),
            Way::Stream => {
                decode.archive_in_order(kind, &mut input, &allowance, &mut outcome, take)
            }
        };
        read.outcome = outcome;
        read.error = result.err().map(|error| format!("{error:#}"));
        read
    }

    #[test]
    fn log_files_come_by_delivery_or_from_a_stream_as_they_lie() {
        // By name, their folders come in another order.
        let entries = [("1", 7, "c"), ("3", 5, "a"), ("2", 6, "b")]
            .map(|(folder, minute, id)| (format!("{folder}/{}", name(minute, id)), log_file(id)));
        for (kind, from) in WAYS {
            let read = read(&Decode::default(), kind, from, &pack(kind, &entries));
            let ids = match from {
                Way::Anywhere => ["a", "b", "c"],
                Way::Stream => ["c", "a", "b"],
            };
            assert_eq!(read.ids, ids, "{kind:?} {from:?}");
            assert_eq!(read.counts(), [3, 0, 0, 0], "{kind:?} {from:?}");
            assert_eq!(read.bytes, 0, "only the archive's own bytes are counted");
            assert!(!read.outcome.damaged && read.error.is_none(), "{read:?}");
        }
    }

    #[test]
    fn a_compressed_tar_archive_is_sorted_if_it_can_be_held() {
        let entries = [(7, "c"), (5, "a")].map(|(minute, id)| (name(minute, id), log_file(id)));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar(&entries)).unwrap();
        let bytes = gzip.finish().unwrap();
        // The archive inflates to more than 1,000 bytes.
        for (whole, ids) in [(1 << 20, ["a", "c"]), (1_000, ["c", "a"])] {
            let mut found = Found::default();
            let decode = Decode {
                whole,
                ..Decode::default()
            };
            let outcome = decode.run(Body::Bytes(bytes.clone()), &mut |decoded| {
                found.take(decoded);
                true
            });
            found.outcome = outcome.unwrap();
            assert_eq!(found.ids, ids, "{whole}");
            assert_eq!(found.counts(), [2, 0, 0, 0], "{whole}");
        }
    }

    #[test]
    fn files_of_other_kinds_and_files_not_asked_for_are_counted() {
        let time = |text: &str| Some(text.parse().unwrap());
        let selection = Selection {
            interval: Interval {
                start: time("2024-03-05T12:00:00Z"),
                end: time("2024-03-05T13:00:00Z"),
            },
            ..Default::default()
        };
        let decode = Decode {
            selection: selection.into(),
            ..Decode::default()
        };
        let early = name(5, "early").replace("T12", "T11");
        let entries = [
            (name(5, "in"), log_file("in")),
            (early, log_file("early")),
            ("readme.txt".to_owned(), b"hello".to_vec()),
            // An export may have any name; its content tells.
            ("export.json".to_owned(), log_file("export")),
            // A file that is named as a log file and holds no event could not be read.
            ("settings.json".to_owned(), br#"{"colour":"red"}"#.to_vec()),
        ];
        for (kind, from) in WAYS {
            let mut read = read(&decode, kind, from, &pack(kind, &entries));
            read.ids.sort();
            assert_eq!(read.ids, ["export", "in"], "{kind:?} {from:?}");
            assert_eq!(read.counts(), [2, 1, 1, 1], "{kind:?} {from:?}");
        }
    }

    #[test]
    fn log_files_of_other_accounts_and_regions_are_filtered_without_an_error() {
        let selections = [
            Selection {
                accounts: Listed::accounts("444455556666").unwrap(),
                ..Selection::default()
            },
            Selection {
                regions: Listed::regions("eu-west-1").unwrap(),
                ..Selection::default()
            },
        ];
        for selection in selections {
            let decode = Decode {
                selection: selection.into(),
                ..Decode::default()
            };
            for (kind, from) in WAYS {
                let entries = [(name(5, "a"), log_file("a"))];
                let read = read(&decode, kind, from, &pack(kind, &entries));
                assert_eq!(read.counts(), [0, 0, 0, 1], "{kind:?} {from:?}");
                assert_eq!(read.error, None, "{kind:?} {from:?}");
            }
        }
    }

    #[test]
    fn a_log_file_too_large_to_hold_is_read_to_its_end() {
        let record =
            |id: &str| format!(r#"{{"eventTime":"2024-03-05T12:00:00Z","eventID":"{id}"}}"#);
        let space = " ".repeat(WHOLE);
        let file = format!(r#"{{"Records":[{},{space}{}]}}"#, record("a"), record("b"));
        let entries = [(name(5, "large"), file.into_bytes())];
        for (kind, from) in WAYS {
            let read = read(&Decode::default(), kind, from, &pack(kind, &entries));
            assert_eq!(read.ids, ["a", "b"], "{kind:?} {from:?}");
            assert!(!read.outcome.damaged, "{kind:?} {from:?}");
        }
    }

    #[test]
    fn a_record_without_a_time_gets_the_archives_time_of_delivery() {
        let delivered: Timestamp = "2024-03-05T13:00:00Z".parse().unwrap();
        let decode = Decode {
            delivered: Some(delivered),
            ..Decode::default()
        };
        let record = br#"{"Records":[{"eventVersion":"1.11","eventID":"a"}]}"#;
        for (kind, from) in WAYS {
            let bytes = pack(kind, &[("export.json".to_owned(), record.to_vec())]);
            let read = read(&decode, kind, from, &bytes);
            let expected = u64::try_from(delivered.as_nanosecond()).unwrap();
            assert_eq!(read.times, [expected], "{kind:?} {from:?}");
        }
    }

    /// A stream of a zip archive does not tell links, whose kind is in the directory at its end.
    #[test]
    fn links_are_passed_over_and_folders_are_not_counted() {
        let (folder, file, link) = ("AWSLogs/", name(5, "a"), name(6, "link"));
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.set_entry_type(EntryType::Directory);
        tar.append_data(&mut header, folder, &b""[..]).unwrap();
        header.set_entry_type(EntryType::Symlink);
        tar.append_link(&mut header, &link, &file).unwrap();
        let data = log_file("a");
        header.set_entry_type(EntryType::Regular);
        header.set_size(data.len() as u64);
        tar.append_data(&mut header, &file, &*data).unwrap();
        let tar = tar.into_inner().unwrap();

        let zip = |with_link: bool| {
            let options = SimpleFileOptions::default();
            let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
            zip.add_directory(folder, options).unwrap();
            zip.start_file(&*file, options).unwrap();
            zip.write_all(&data).unwrap();
            if with_link {
                zip.add_symlink(&*link, &*file, options).unwrap();
            }
            zip.finish().unwrap().into_inner()
        };
        for (kind, from, bytes, links) in [
            (Kind::Tar, Way::Anywhere, &tar, 1),
            (Kind::Tar, Way::Stream, &tar, 1),
            (Kind::Zip, Way::Anywhere, &zip(true), 1),
            (Kind::Zip, Way::Stream, &zip(false), 0),
        ] {
            let read = read(&Decode::default(), kind, from, bytes);
            assert_eq!(read.ids, ["a"], "{kind:?} {from:?}");
            assert_eq!(read.counts(), [1, 0, links, 0], "{kind:?} {from:?}");
        }
    }

    /// Sorting them would need all their names in memory.
    #[test]
    fn a_tar_archive_with_too_many_bytes_of_names_is_read_as_it_lies() {
        // Of a longer name, only a megabyte is looked at.
        let long = "x".repeat((1 << 20) - 200);
        let count = NAMES / long.len() + 2;
        let entries: Vec<_> = (0..count)
            .map(|number| {
                let minute = u8::try_from(count - number).unwrap();
                let id = number.to_string();
                (format!("{long}/{}", name(minute, &id)), log_file(&id))
            })
            .collect();
        let read = read(&Decode::default(), Kind::Tar, Way::Anywhere, &tar(&entries));
        let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        assert_eq!(read.ids, expected);
    }

    #[test]
    fn an_archive_without_a_log_file_says_what_it_holds() {
        let entries = [("readme.txt".to_owned(), b"hello".to_vec())];
        for (kind, from) in WAYS {
            let read = read(&Decode::default(), kind, from, &pack(kind, &entries));
            let expected = format!(
                "is {} without a CloudTrail log file, but with 1 file of another kind",
                kind.name()
            );
            assert_eq!(read.error, Some(expected), "{kind:?} {from:?}");
        }
    }

    #[test]
    fn an_archive_within_an_archive_is_not_looked_into() {
        for (kind, from) in WAYS {
            let inner = pack(kind, &[(name(1, "inner"), log_file("inner"))]);
            let entries = [
                (name(5, "good"), log_file("good")),
                (name(6, "nested"), inner),
            ];
            let read = read(&Decode::default(), kind, from, &pack(kind, &entries));
            assert_eq!(read.ids, ["good"], "{kind:?} {from:?}");
            assert_eq!(read.counts(), [1, 1, 0, 0], "{kind:?} {from:?}");
            let (_, problem) = &read.files[1];
            assert!(
                problem.as_ref().unwrap().contains("within an archive"),
                "{problem:?}"
            );
        }
    }

    /// `tar -r` adds a file again where it has changed.
    #[test]
    fn log_files_of_one_name_are_all_read() {
        let entries = ["one", "two"].map(|id| (name(5, "same"), log_file(id)));
        for from in [Way::Anywhere, Way::Stream] {
            let mut read = read(&Decode::default(), Kind::Tar, from, &tar(&entries));
            read.ids.sort();
            assert_eq!(read.ids, ["one", "two"], "{from:?}");
        }
    }

    #[test]
    fn a_truncated_archive_gives_what_is_before_its_end() {
        let entries = ["a", "b", "c"].map(|id| (name(5, id), log_file(id)));
        for (kind, from) in WAYS {
            let whole = pack(kind, &entries);
            let third = memchr::memmem::find(&whole, br#""eventID":"c"#).unwrap();
            let read = read(&Decode::default(), kind, from, &whole[..third]);
            assert_eq!(read.ids, ["a", "b"], "{kind:?} {from:?}");
            assert!(read.outcome.damaged, "{kind:?} {from:?}");
            let [problem] = &read.outcome.problems[..] else {
                panic!("it is reported once: {read:?}");
            };
            assert!(problem.contains("truncated or damaged"), "{problem}");
        }
    }

    /// In a zip archive its checksum tells of it; tar has none for the content, so JSON that is broken is seen, and the
    /// log files behind it are read in both.
    #[test]
    fn damage_within_a_log_file_costs_no_other() {
        let entries = ["a", "b", "c"].map(|id| (name(5, id), log_file(id)));
        for (kind, from) in WAYS {
            let mut bytes = pack(kind, &entries);
            let second = memchr::memmem::find(
                &bytes,
                br#"{"eventTime":"2024-03-05T12:00:00Z","eventID":"b"#,
            );
            bytes[second.unwrap()] = b'x';
            let read = read(&Decode::default(), kind, from, &bytes);
            let has = |id: &str| read.ids.iter().any(|found| found == id);
            assert!(has("a") && has("c"), "{kind:?} {from:?}: {read:?}");
            let damaged: Vec<bool> = read.files.iter().map(|(_, why)| why.is_some()).collect();
            assert_eq!(damaged, [false, true, false], "{kind:?} {from:?}: {read:?}");
        }
    }

    #[test]
    fn a_wrong_checksum_in_a_zip_archive_is_reported_even_if_the_json_is_sound() {
        let entries = ["a", "b", "c"].map(|id| (name(5, id), log_file(id)));
        for from in [Way::Anywhere, Way::Stream] {
            let mut bytes = zip(&entries);
            let second = memchr::memmem::find(&bytes, br#""eventID":"b"#).unwrap();
            bytes[second + br#""eventID":""#.len()] = b'x';
            let read = read(&Decode::default(), Kind::Zip, from, &bytes);
            assert_eq!(read.ids, ["a", "x", "c"], "{from:?}");
            let damaged: Vec<bool> = read.files.iter().map(|(_, why)| why.is_some()).collect();
            assert_eq!(damaged, [false, true, false], "{from:?}: {read:?}");
        }
    }

    #[test]
    fn a_file_that_can_not_be_unpacked_is_named_whatever_it_may_hold() {
        let entries = [
            (name(5, "a"), log_file("a")),
            ("notes.txt".to_owned(), b"hello".to_vec()),
        ];
        // Where flags and method are behind the mark of a file; in the directory, they are two bytes later.
        for (place, value, words) in [
            (6, 1, "is encrypted: unpack the archive"),
            (8, 97, "is compressed by method 97 of zip"),
        ] {
            for (file, expected) in [(0, [0, 1, 1, 0]), (1, [1, 1, 0, 0])] {
                let mut bytes = zip(&entries);
                for (mark, place) in [(b"PK\x03\x04", place), (b"PK\x01\x02", place + 2)] {
                    let mark = memchr::memmem::find_iter(&bytes, mark).nth(file).unwrap();
                    bytes[mark + place] = value;
                }
                let read = read(&Decode::default(), Kind::Zip, Way::Anywhere, &bytes);
                assert_eq!(read.counts(), expected, "{words}: {read:?}");
                let mut problems = read
                    .files
                    .iter()
                    .filter_map(|(_, problem)| problem.as_ref());
                assert!(
                    problems.all(|problem| problem.starts_with(words)),
                    "{read:?}"
                );
            }
        }
    }

    #[test]
    fn files_of_one_name_are_all_read() {
        let (one, other) = (name(5, "a"), name(5, "b"));
        let mut bytes = zip(&[(one.clone(), log_file("a")), (other.clone(), log_file("b"))]);
        let places: Vec<usize> = memchr::memmem::find_iter(&bytes, other.as_bytes()).collect();
        for place in places {
            bytes[place..place + one.len()].copy_from_slice(one.as_bytes());
        }
        let read = read(&Decode::default(), Kind::Zip, Way::Anywhere, &bytes);
        assert_eq!(read.ids, ["a", "b"], "{read:?}");
    }

    #[test]
    fn what_stands_before_a_zip_archive_is_said() {
        let [first, second] = ["a", "b"].map(|id| zip(&[(name(5, id), log_file(id))]));
        let bytes = [first.clone(), second].concat();
        let read = read(&Decode::default(), Kind::Zip, Way::Anywhere, &bytes);
        assert_eq!(read.ids, ["b"], "{read:?}");
        let words = format!(
            "has {} before its beginning",
            count(first.len() as u64, "byte")
        );
        let problem = read.outcome.problems.first();
        assert!(
            problem.is_some_and(|problem| problem.starts_with(&words)),
            "{read:?}"
        );
    }

    /// The directory names the same bytes twice, as that of a zip bomb does a million times.
    #[test]
    fn a_zip_archive_whose_files_overlap_is_not_read() {
        let mut bytes = zip(&[("a.json".to_owned(), log_file("a"))]);
        let directory = memchr::memmem::find(&bytes, b"PK\x01\x02").unwrap();
        let end = memchr::memmem::find(&bytes, b"PK\x05\x06").unwrap();
        let mut again = bytes[directory..end].to_vec();
        let name = memchr::memmem::find(&again, b"a.json").unwrap();
        again[name] = b'b';
        let size = u8::try_from(2 * again.len()).unwrap();
        // The number of entries on this disk and in all, and the size of the directory.
        bytes[end + 8] = 2;
        bytes[end + 10] = 2;
        bytes[end + 12] = size;
        bytes.splice(end..end, again);
        let read = read(&Decode::default(), Kind::Zip, Way::Anywhere, &bytes);
        assert!(read.error.unwrap().contains("overlap"));
        assert_eq!(read.ids, [""; 0]);
    }

    #[test]
    fn the_number_of_files_in_a_zip_archive_is_read_without_its_directory() {
        let entries = ["a", "b", "c"].map(|id| (name(5, id), log_file(id)));
        assert_eq!(zip_files(&mut Cursor::new(zip(&entries))).unwrap(), 3);
        // More than 65,535 are in a record of their own, which another one before the end leads to.
        let mut large = b"before".to_vec();
        let place = large.len() as u64;
        large.extend_from_slice(b"PK\x06\x06");
        large.resize(large.len() + 28, 0);
        large.extend_from_slice(&100_001u64.to_le_bytes());
        large.extend_from_slice(b"PK\x06\x07\0\0\0\0");
        large.extend_from_slice(&place.to_le_bytes());
        large.extend_from_slice(&[1, 0, 0, 0]);
        large.extend_from_slice(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff");
        large.resize(large.len() + 10 + 1000, 0);
        assert_eq!(zip_files(&mut Cursor::new(large)).unwrap(), 100_001);
    }

    #[test]
    fn a_directory_that_is_too_large_is_not_held() {
        let left = Cell::new(3);
        let mut limited = Limited {
            input: &b"12345"[..],
            left: &left,
        };
        let error = limited.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("too large to be held"));
    }

    #[test]
    fn a_damaged_header_ends_a_tar_archive_from_a_stream_and_from_anywhere() {
        let entries = ["a", "b", "c"].map(|id| (name(5, id), log_file(id)));
        let mut bytes = tar(&entries);
        // Each entry here is a header and one block.
        bytes[1024 + 150] ^= 0x55;
        for from in [Way::Anywhere, Way::Stream] {
            let read = read(&Decode::default(), Kind::Tar, from, &bytes);
            assert_eq!(read.ids.first().map(String::as_str), Some("a"), "{from:?}");
            assert!(read.outcome.damaged, "{from:?}: {read:?}");
        }
    }
}
