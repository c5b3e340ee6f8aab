//! From a log file's bytes to records: inflate, split, sort.
//!
//! A whole file is inflated by libdeflate and split in one SIMD pass. Files of another form than CloudTrail's own, and
//! damaged ones, go through a splitter that continues after damage. Files that are too large to hold reach it in pieces,
//! inflated by flate2. All records that can still be read are delivered.

mod chunk;
mod entries;
mod fingerprint;
mod hashing;
mod input;
mod outcome;
pub(crate) mod redact;
mod splitting;
mod tar_headers;

use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use jiff::Timestamp;

use crate::fields::Beside;
use crate::fields::origin::{Sessions, may_tell};
use crate::filter::Filter;
use crate::formats::LAYERS;
use crate::formats::archive;
use crate::formats::compression::{Compression, ZstdFrames, compression, unread, xz};
use crate::formats::gzip::{GzipMembers, inflate};
use crate::formats::split::{self, Found};
use crate::formats::splitter::LARGEST_RECORD;
use crate::formats::utf16::{Utf8, is_utf16};
use crate::geo::{Atlas, Places};
use crate::integrity::hash::hash;
use crate::log_file::{Body, Content, FileError, LARGEST_WHOLE};
use crate::record;
use crate::stats::count;
use crate::trail::Selection;
use chunk::RecordSpan;
pub(crate) use chunk::{Buffers, Chunk};
pub(crate) use entries::ArchiveEntry;
pub(crate) use fingerprint::{Fingerprint, Fingerprints};
pub(crate) use hashing::Hashing;
use hashing::{Hashed, content, hash_of};
use input::{Allowance, Counted, Failing, Inflated, Peeked, Pieces};
#[cfg(any(fuzzing, test))]
pub(crate) use outcome::Work;
pub(crate) use outcome::{ArchiveCounts, Outcome};
use redact::Redaction;
use splitting::Splitting;

/// How many first bytes of a file are looked at to tell its kind: tar has its mark near the end of them.
const HEAD: u64 = 512;
/// The size of such a piece, inflated.
pub(crate) const PIECE: usize = 4 << 20;

/// What decoding gives.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// Records.
    Chunk(Chunk),
    /// The end of a log file within an archive, whose records came before.
    Entry(ArchiveEntry),
}

/// Receives what decoding gives, until it returns false.
type Take<'a> = &'a mut dyn FnMut(Decoded) -> bool;

/// How to decode.
#[derive(Debug, Clone)]
pub(crate) struct Decode {
    /// For log files as stored.
    pub stored: Buffers,
    /// For what they inflate to.
    pub inflated: Buffers,
    /// For records without a time.
    pub delivered: Option<Timestamp>,
    pub include_insights: bool,
    /// The newest record of a log file comes first.
    pub newest_first: bool,
    /// Which records are kept. It sees them as they are, before values are replaced.
    pub filter: Filter,
    /// Where addresses are from, for `filter`.
    pub atlas: Arc<Atlas>,
    /// Which of these get a fingerprint. It is of the record as it is, too.
    pub fingerprints: Fingerprints,
    /// Values to replace before the host sees them.
    pub redaction: Arc<Redaction>,
    /// Where it is noted what records tell of sessions, before they are given.
    pub sessions: Arc<Sessions>,
    /// Whether the file is hashed.
    pub hashing: Hashing,
    /// Of events, and of the log files of an archive.
    pub selection: Arc<Selection>,
    /// See [`PIECE`].
    pub piece: usize,
    /// See [`LARGEST_RECORD`].
    pub largest: usize,
    /// See [`LARGEST_WHOLE`].
    pub whole: usize,
    /// For log files within an archive.
    pub within_archive: bool,
}

impl Default for Decode {
    fn default() -> Self {
        Self {
            stored: Buffers::default(),
            inflated: Buffers::default(),
            delivered: None,
            include_insights: false,
            newest_first: false,
            filter: Filter::default(),
            atlas: Arc::default(),
            fingerprints: Fingerprints::default(),
            redaction: Arc::default(),
            sessions: Arc::default(),
            hashing: Hashing::Off,
            selection: Arc::default(),
            piece: PIECE,
            largest: LARGEST_RECORD,
            whole: LARGEST_WHOLE,
            within_archive: false,
        }
    }
}

impl Decode {
    /// Decode `body`, giving what it holds to `take` until it returns false.
    ///
    /// # Errors
    /// Where nothing could be read at all.
    pub fn run(&self, body: Body, take: Take<'_>) -> Result<Outcome, FileError> {
        let mut outcome = Outcome::default();
        match body {
            Body::Bytes(bytes) => {
                let allowance = Allowance::stored(bytes.len() as u64);
                self.whole(bytes, &allowance, &mut outcome, take)?;
            }
            Body::File(path) => self.file(&path, &mut outcome, take)?,
            Body::Stream(pieces) => {
                let mut pieces = Pieces {
                    pieces,
                    current: io::Cursor::default(),
                };
                // It may come in pieces only because there was no memory for the whole at that moment.
                let mut bytes = self.stored.take();
                bytes.clear();
                let read = Read::take(&mut pieces, self.whole as u64 + 1).read_to_end(&mut bytes);
                if read.is_ok() && bytes.len() <= self.whole {
                    let allowance = Allowance::stored(bytes.len() as u64);
                    self.whole(bytes, &allowance, &mut outcome, take)?;
                    return Ok(outcome);
                }
                if let Hashing::First(admit) = &self.hashing {
                    admit(Content::TooLarge)?;
                }
                let rest = io::Cursor::new(bytes)
                    .chain(Failing(read.err()))
                    .chain(pieces);
                self.pieces(rest, &mut outcome, take)?;
            }
        }
        Ok(outcome)
    }

    fn file(&self, path: &Path, outcome: &mut Outcome, take: Take<'_>) -> Result<(), FileError> {
        let metadata = path.metadata().context("can't be opened")?;
        // It may have been replaced, for example by a pipe, and opening that would wait for the other end.
        if !metadata.is_file() {
            return Err(anyhow!("is not a file any more").into());
        }
        let size = metadata.len();
        let mut file = File::open(path).context("can't be opened")?;
        if size <= self.whole as u64 {
            let mut bytes = self.stored.take();
            bytes.clear();
            file.read_to_end(&mut bytes).context("can't be read")?;
            let allowance = Allowance::stored(bytes.len() as u64);
            return self.whole(bytes, &allowance, outcome, take);
        }
        if let Hashing::First(admit) = &self.hashing {
            admit(content(hash_of(&file)))?;
            file.rewind().context("can't be read")?;
        }
        let mut head = Vec::new();
        Read::take(&mut file, HEAD)
            .read_to_end(&mut head)
            .context("can't be read")?;
        file.rewind().context("can't be read")?;
        match archive::kind(&head) {
            Some(kind) => {
                outcome.bytes = size;
                let allowance = Allowance::stored(size);
                self.archive(kind, BufReader::new(file), &allowance, outcome, take)?;
            }
            None => self.pieces(file, outcome, take)?,
        }
        Ok(())
    }

    fn whole(
        &self,
        bytes: Vec<u8>,
        allowance: &Allowance,
        outcome: &mut Outcome,
        take: Take<'_>,
    ) -> Result<(), FileError> {
        if bytes.is_empty() {
            return Err(anyhow!("is empty").into());
        }
        outcome.bytes = bytes.len() as u64;
        let compression = compression(&bytes);
        let (data, length) = match compression {
            None => {
                let length = bytes.len();
                (bytes, length)
            }
            Some(compression) => match self.inflate_whole(compression, &bytes, allowance) {
                Some(inflated) => {
                    self.stored.give(bytes);
                    inflated
                }
                None => {
                    if let Hashing::First(admit) = &self.hashing {
                        admit(content(hash_of(&*bytes)))?;
                    }
                    return Ok(self.read(&mut &*bytes, 0, allowance, outcome, take)?);
                }
            },
        };
        let hash = match &self.hashing {
            Hashing::Off => None,
            _ => Some(hash(&data[..length])),
        };
        if let Hashing::First(admit) = &self.hashing {
            admit(content(hash))?;
        }
        outcome.hash = hash;
        let mut found = Vec::new();
        if split::split(&data[..length], &mut found) {
            let mut records = Vec::with_capacity(found.len());
            for record in found {
                self.add(&data, record, &mut records, outcome);
            }
            self.give(data, length, records, outcome, take);
            return Ok(());
        }
        drop(found);
        Ok(self.other_form(
            data,
            length,
            compression.is_some(),
            allowance,
            outcome,
            take,
        )?)
    }

    /// Inflate a whole file, and give the buffer with the number of bytes that were written to it. None for what
    /// libdeflate can't do: other compressions than gzip, too much data, damage, and something behind the gzip.
    fn inflate_whole(
        &self,
        compression: Compression,
        bytes: &[u8],
        allowance: &Allowance,
    ) -> Option<(Vec<u8>, usize)> {
        if compression != Compression::Gzip {
            return None;
        }
        let most = self
            .whole
            .min(allowance.left().try_into().unwrap_or(usize::MAX));
        let mut data = self.inflated.take();
        let Some(length) = inflate(bytes, &mut data, most) else {
            self.inflated.give(data);
            return None;
        };
        allowance.spend(length as u64);
        Some((data, length))
    }

    /// Decode the first `length` bytes of `data`, which do not have CloudTrail's own form.
    fn other_form(
        &self,
        mut data: Vec<u8>,
        length: usize,
        is_inflated: bool,
        allowance: &Allowance,
        outcome: &mut Outcome,
        take: Take<'_>,
    ) -> Result<()> {
        data.truncate(length);
        if let Some(kind) = archive::kind(&data) {
            return self.archive(kind, io::Cursor::new(data), allowance, outcome, take);
        }
        if is_inflated && compression(&data).is_some() {
            return self.read(&mut &*data, 1, allowance, outcome, take);
        }
        if is_utf16(&data) {
            let mut text = Utf8::new(&*data);
            return self.scan(Vec::new(), &mut text, is_inflated, outcome, take);
        }
        if let Some(what) = unread(&data) {
            return Err(not_opened(what));
        }
        self.scan(data, &mut io::empty(), is_inflated, outcome, take)
    }

    /// Note a record that is a JSON object.
    fn add(&self, data: &[u8], found: Found, records: &mut Vec<RecordSpan>, outcome: &mut Outcome) {
        outcome.found += 1;
        let range = found.range.clone();
        if may_tell(&data[range.clone()]) {
            self.note_session(&data[range.clone()]);
        }
        if !self.filter.may_keep(&data[range.clone()]) {
            outcome.left_out += 1;
            return;
        }
        let seen = found.time(data).filter(|_| self.include_insights);
        let time = seen.map(Some).or_else(|| {
            let head = record::head(&data[range.clone()]);
            (self.include_insights || !head.insight).then_some(head.time)
        });
        let Some(time) = time else {
            outcome.passed_over += 1;
            return;
        };
        let nanoseconds = |time: i64| u64::try_from(time).unwrap_or(0);
        // One whose time can't be read is not known to be outside.
        let is_outside =
            time.is_some_and(|time| !self.selection.events.contains_event(nanoseconds(time)));
        if is_outside {
            outcome.filtered += 1;
            return;
        }
        let time = time.or_else(|| i64::try_from(self.delivered?.as_nanosecond()).ok());
        // Hosts take this value to mean the time of reading, which is used if no time is known.
        let time = time.map_or(u64::MAX, nanoseconds);
        records.push(RecordSpan {
            range,
            time,
            fingerprint: None,
        });
    }

    /// Note what a record tells of a session, be it given to the host or not, and no more than it would be told.
    #[cold]
    fn note_session(&self, record: &[u8]) {
        if self.redaction.is_empty() {
            return self.sessions.note_bytes(record);
        }
        let mut record = record.to_vec();
        if self.redaction.apply(&mut record).is_some() {
            self.sessions.note_bytes(&record);
        }
    }

    fn give(
        &self,
        mut data: Vec<u8>,
        length: usize,
        mut records: Vec<RecordSpan>,
        outcome: &mut Outcome,
        take: Take<'_>,
    ) -> bool {
        debug_assert!(outcome.found >= records.len() as u64);
        let mut index = record::Index::default();
        if !self.filter.keeps_all() {
            let before = records.len();
            // What other records tell is not known yet.
            let mut beside = Beside {
                origins: None,
                places: Places::new(&self.atlas),
            };
            records.retain(|record| {
                let record = data.get(record.range.clone()).unwrap_or_default();
                self.filter.keeps(record, &mut index, &mut beside)
            });
            outcome.left_out += (before - records.len()) as u64;
        }
        for span in &mut records {
            let record = data.get(span.range.clone()).unwrap_or_default();
            span.fingerprint = self.fingerprints.of(record, span.time, &mut index);
        }
        if !self.redaction.is_empty() {
            self.redact(&mut data, &mut records, outcome);
        }
        if records.is_empty() {
            self.inflated.give(data);
            return true;
        }
        if self.newest_first {
            records.sort_by_key(|record| Reverse(record.time));
        } else if !records.is_sorted_by_key(|record| record.time) {
            records.sort_by_key(|record| record.time);
        }
        take(Decoded::Chunk(Chunk {
            data,
            length,
            records,
            buffers: self.inflated.clone(),
        }))
    }

    /// Replace values in the records. A record in which they can't be found for certain is left out.
    fn redact(&self, data: &mut [u8], records: &mut Vec<RecordSpan>, outcome: &mut Outcome) {
        let before = records.len();
        records.retain(|record| {
            let replaced = data
                .get_mut(record.range.clone())
                .and_then(|record| self.redaction.apply(record));
            outcome.redacted += replaced.unwrap_or(0);
            replaced.is_some()
        });
        let unsound = (before - records.len()) as u64;
        outcome.unreadable += unsound;
        if unsound > 0 {
            outcome.problems.push(format!(
                "has {} too broken to be redacted, left out since a secret might be in it",
                count(unsound, "record")
            ));
        }
    }

    /// Decode a file that is too large to hold.
    fn pieces(&self, input: impl Read, outcome: &mut Outcome, take: Take<'_>) -> Result<()> {
        let allowance = Allowance::default();
        let mut input = Counted::new(input, &allowance.stored);
        let result = self.read(&mut input, 0, &allowance, outcome, take);
        outcome.bytes = allowance.stored.get();
        result
    }

    /// Decode data of any kind that has been inflated `layers` times already.
    fn read(
        &self,
        input: &mut dyn Read,
        layers: u8,
        allowance: &Allowance,
        outcome: &mut Outcome,
        take: Take<'_>,
    ) -> Result<()> {
        let mut input = Peeked::new(input);
        let head = input.head.get_ref();
        if layers == 0 && head.is_empty() {
            match input.error {
                Some(error) => return Err(error).context("can't be read"),
                None => bail!("is empty"),
            }
        }
        if let Some(kind) = archive::kind(head) {
            return self.archive_in_order(kind, &mut input, allowance, outcome, take);
        }
        if let Some(what) = unread(head) {
            return Err(not_opened(what));
        }
        match compression(head).filter(|_| layers < LAYERS) {
            Some(compression) => {
                self.compressed(compression, input, layers, allowance, outcome, take)
            }
            None => self.not_compressed(input, layers, outcome, take),
        }
    }

    fn not_compressed(
        &self,
        input: Peeked<'_>,
        layers: u8,
        outcome: &mut Outcome,
        take: Take<'_>,
    ) -> Result<()> {
        let is_utf16 = is_utf16(input.head.get_ref());
        let mut hashed = Hashed::new(input, self.hashing_at(layers));
        let result = match is_utf16 {
            true => {
                let mut text = Utf8::new(&mut hashed);
                self.scan(Vec::new(), &mut text, layers > 0, outcome, take)
            }
            false => self.scan(Vec::new(), &mut hashed, layers > 0, outcome, take),
        };
        if layers == 0 {
            outcome.hash = hashed.finish();
        }
        result
    }

    fn compressed(
        &self,
        compression: Compression,
        mut input: Peeked<'_>,
        layers: u8,
        allowance: &Allowance,
        outcome: &mut Outcome,
        take: Take<'_>,
    ) -> Result<()> {
        let mut read_inflated = |inflated: &mut dyn Read| {
            let inflated = Inflated::new(inflated, allowance);
            let mut hashed = Hashed::new(inflated, self.hashing_at(layers));
            let result = self.read(&mut hashed, layers + 1, allowance, outcome, take);
            if layers == 0 {
                outcome.hash = hashed.finish();
            }
            result
        };
        match compression {
            Compression::Gzip => {
                let mut members = GzipMembers::new(&mut input as &mut dyn Read);
                let result = read_inflated(&mut members);
                if members.behind > 0 {
                    outcome.hash = None;
                }
                if members.behind > 0 && result.is_ok() {
                    let behind = count(members.behind, "byte");
                    outcome.damaged = true;
                    outcome.problems.push(format!(
                        "has {behind} behind its compressed data that are not gzip"
                    ));
                }
                result
            }
            Compression::Xz => read_inflated(&mut xz(&mut input)),
            Compression::Zstd => read_inflated(&mut ZstdFrames::new(&mut input)),
        }
    }

    /// How to hash data that has been inflated `layers` times. A digest file has the hash of a log file's content, which
    /// was compressed once, so what is compressed in that content is not hashed.
    fn hashing_at(&self, layers: u8) -> &Hashing {
        match layers {
            0 => &self.hashing,
            _ => &Hashing::Off,
        }
    }

    /// Find records in `data`, or if it is empty, in the input that is read piece by piece.
    fn scan(
        &self,
        mut data: Vec<u8>,
        input: &mut dyn Read,
        is_compressed: bool,
        outcome: &mut Outcome,
        take: Take<'_>,
    ) -> Result<()> {
        let mut scan = Splitting::new(self, is_compressed);
        let most = self.largest.max(1);
        let mut wanted = self.piece.clamp(1, most);
        let mut end = !data.is_empty();
        let mut failure = None;
        loop {
            if !end {
                let missing = wanted.saturating_sub(data.len());
                data.reserve_exact(missing);
                match Read::take(&mut *input, missing as u64).read_to_end(&mut data) {
                    Ok(n) => end = n < missing,
                    Err(error) => {
                        failure = Some(read_failure(&error, is_compressed));
                        end = true;
                    }
                }
            }
            let mut records = Vec::new();
            let used = scan.run(&mut data, end, &mut records, outcome);
            #[cfg(any(fuzzing, test))]
            {
                let spans = records.capacity() * size_of::<RecordSpan>();
                // What is left is copied where records are given.
                let held = 2 * data.capacity() + spans + scan.held();
                outcome.work.held = outcome.work.held.max(held);
                outcome.work.split += used as u64;
            }
            if used == 0 && !end {
                if wanted < most {
                    wanted = (wanted * 2).min(most);
                } else {
                    scan.splitter.skip();
                }
                continue;
            }
            let is_over = end && used == data.len();
            let piece = take_front(&mut data, used, !records.is_empty());
            if !self.give(piece, used, records, outcome, take) {
                return Ok(());
            }
            if is_over {
                break;
            }
            wanted = (data.len() * 2).clamp(self.piece.clamp(1, most), most);
        }
        #[cfg(any(fuzzing, test))]
        {
            outcome.work.scanned += scan.splitter.scanned;
        }
        scan.finish(failure, outcome)
    }
}

/// Take the first bytes from `data`, which holds no more memory than it has to after that, where they are asked for.
fn take_front(data: &mut Vec<u8>, length: usize, is_wanted: bool) -> Vec<u8> {
    if !is_wanted {
        // Without a copy of what is left, which may be a largest record's beginning.
        data.drain(..length);
        return Vec::new();
    }
    if length < data.len() / 2 {
        return data.drain(..length).collect();
    }
    let rest = data.split_off(length);
    let mut front = std::mem::replace(data, rest);
    if !data.is_empty() {
        front.shrink_to_fit();
    }
    front
}

fn not_opened(what: &str) -> anyhow::Error {
    anyhow!("is {what}, which is not opened here: unpack it first")
}

fn read_failure(error: &io::Error, is_compressed: bool) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof if is_compressed => {
            "is truncated: its compressed data ends too early".to_owned()
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData if is_compressed => {
            format!("is damaged: {error}")
        }
        _ => format!("can't be read to its end: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const TIMES: [&str; 3] = [
        "2024-03-06T00:00:03Z",
        "2024-03-06T00:00:01Z",
        "2024-03-06T00:00:02Z",
    ];

    fn record(n: usize) -> String {
        format!(
            r#"{{"eventTime":"{}","eventID":"id-{n}","a":{{"b":[1,"}}]"]}}}}"#,
            TIMES[n % 3]
        )
    }

    fn log_file(records: &[String]) -> String {
        format!("{{\"Records\":[{}]}}", records.join(","))
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn decode_as(decode: Decode, body: Body) -> (Result<Outcome>, Vec<String>) {
        let mut records = Vec::new();
        let outcome = decode.run(body, &mut |decoded| {
            let Decoded::Chunk(chunk) = decoded else {
                return true;
            };
            let mut n = 0;
            while let Some((record, _)) = chunk.record(n) {
                records.push(String::from_utf8_lossy(record).into_owned());
                n += 1;
            }
            true
        });
        (outcome.map_err(FileError::into_reason), records)
    }

    fn decode(bytes: impl Into<Vec<u8>>) -> (Result<Outcome>, Vec<String>) {
        let decode = Decode {
            include_insights: true,
            ..Decode::default()
        };
        decode_as(decode, Body::Bytes(bytes.into()))
    }

    fn sorted(mut records: Vec<String>) -> Vec<String> {
        records.sort();
        records
    }

    #[test]
    fn records_come_in_order_of_time() {
        let file = log_file(&[record(0), record(1), record(2)]);
        for bytes in [file.clone().into_bytes(), gzip(file.as_bytes())] {
            let size = bytes.len() as u64;
            let (outcome, records) = decode(bytes);
            assert_eq!(records, [record(1), record(2), record(0)]);
            let outcome = outcome.unwrap();
            assert_eq!(
                (outcome.found, outcome.unreadable, outcome.bytes),
                (3, 0, size)
            );
            assert!(outcome.problems.is_empty() && !outcome.damaged);
        }
    }

    #[test]
    fn members_and_documents_in_a_row() {
        let (one, two) = (log_file(&[record(0)]), log_file(&[record(1), record(2)]));
        let members = [
            gzip(one.as_bytes()),
            gzip(two.as_bytes()),
            gzip(one.as_bytes()),
            gzip(one.as_bytes()),
        ]
        .concat();
        let (outcome, records) = decode(members);
        assert_eq!(outcome.unwrap().found, 5);
        assert_eq!(
            sorted(records),
            sorted(vec![record(0), record(0), record(0), record(1), record(2)])
        );
        // A member may end anywhere.
        let (head, tail) = two.split_at(20);
        let (outcome, records) = decode([gzip(head.as_bytes()), gzip(tail.as_bytes())].concat());
        assert_eq!(outcome.unwrap().found, 2);
        assert_eq!(records, [record(1), record(2)]);
        let (outcome, records) = decode(format!("\u{feff}{one}\n{two} [{}]", record(0)));
        assert_eq!(outcome.unwrap().found, 4);
        assert_eq!(records.len(), 4);
    }

    #[test]
    fn a_truncated_gzip_gives_what_it_holds() {
        let mut seed = 1u64;
        let many: Vec<String> = (0..2000)
            .map(|n| {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
                format!(r#"{{"eventTime":"2024-03-06T00:00:00Z","eventID":"{n}-{seed}"}}"#)
            })
            .collect();
        let bytes = gzip(log_file(&many).as_bytes());
        let (outcome, records) = decode(&bytes[..bytes.len() / 2]);
        let outcome = outcome.unwrap();
        assert!(records.len() > 500, "{}", records.len());
        assert_eq!(records, many[..records.len()]);
        assert!(outcome.damaged);
        assert_eq!(
            outcome.problems,
            ["is truncated: its compressed data ends too early"]
        );
    }

    #[test]
    fn a_damaged_gzip_gives_what_is_before_the_damage() {
        let mut random = fastrand::Rng::with_seed(1);
        let many: Vec<String> = (0..4000)
            .map(|n| {
                let id = random.u64(..);
                format!(r#"{{"eventTime":"2024-03-06T00:00:00Z","eventID":"{n}-{id}"}}"#)
            })
            .collect();
        let bytes = gzip(log_file(&many).as_bytes());
        for _ in 0..50 {
            let at = random.usize(bytes.len() / 4..bytes.len() * 9 / 10);
            let mut damaged = bytes.clone();
            damaged[at..at + 64].fill_with(|| random.u8(..));
            let (outcome, records) = decode(damaged);
            assert!(outcome.unwrap().damaged);
            // Less one read, and what is not compressed as well as the rest.
            let before = many.len() * at / bytes.len() - 200;
            assert_eq!(records[..before], many[..before]);
        }
    }

    #[test]
    fn bytes_after_a_gzip_are_reported() {
        let (outcome, records) = decode(
            [
                gzip(log_file(&[record(0)]).as_bytes()),
                b"garbage behind it".to_vec(),
            ]
            .concat(),
        );
        let outcome = outcome.unwrap();
        assert_eq!(records, [record(0)]);
        assert!(outcome.damaged);
        assert_eq!(
            outcome.problems,
            ["has 17 bytes behind its compressed data that are not gzip"]
        );
    }

    #[test]
    fn a_broken_record_costs_only_itself() {
        for broken in [
            r#"{"eventTime":"2024-03-06T00:00:00Z","eventID":}"#,
            r#"{"eventTime":"2024-03-06T00:00:00Z","a":{"b":1}"#,
            r#"{"eventTime":"2024-03-06T00:00:00Z","a":"unterminated}"#,
            r#"{"eventTime":"2024-03-06T00:00:00Z"}}"#,
            r#"{"eventTime" 7}"#,
            "17",
            "null",
            r#""text""#,
        ] {
            for at in 0..3 {
                let good = [record(1), record(2)];
                let mut records = good.to_vec();
                records.insert(at, broken.to_owned());
                let (outcome, found) = decode(log_file(&records));
                let outcome = outcome.unwrap();
                let rest: Vec<_> = found
                    .iter()
                    .filter(|record| good.contains(record))
                    .collect();
                assert_eq!(rest.len(), 2, "{broken} at {at}: {found:?} {outcome:?}");
                assert!(
                    outcome.unreadable == 1 || outcome.damaged,
                    "{broken} at {at}: {outcome:?}"
                );
                assert!(!outcome.problems.is_empty());
                assert_eq!(outcome.found, found.len() as u64 + outcome.unreadable);
            }
        }
    }

    #[test]
    fn invalid_utf8_is_no_reason_to_lose_a_record() {
        let mut bytes = log_file(&[record(0), record(1)]).into_bytes();
        let at = bytes
            .windows(4)
            .position(|window| window == b"id-0")
            .unwrap();
        bytes[at] = 0xff;
        let (outcome, records) = decode(bytes);
        let outcome = outcome.unwrap();
        assert_eq!(
            (records.len(), outcome.found, outcome.unreadable),
            (2, 2, 0)
        );
        assert!(
            outcome.problems.is_empty() && !outcome.damaged,
            "{:?}",
            outcome.problems
        );
    }

    #[test]
    fn files_that_are_not_log_files_are_reported() {
        for (bytes, expected) in [
            (b"".to_vec(), "is empty"),
            (b"not json at all".to_vec(), "is neither gzip nor JSON"),
            (gzip(b"not json at all"), "is compressed, but holds no JSON"),
            (
                b"\x1f\x8b\x08garbage follows".to_vec(),
                "is compressed, but holds no JSON",
            ),
            (b"{}".to_vec(), "is JSON, but without a list of Records"),
            (
                br#"{"a":{"Records":[{}]}}"#.to_vec(),
                "is JSON, but without a list of Records",
            ),
            (
                br#"{"Records":"#.to_vec(),
                "is JSON, but without a list of Records",
            ),
        ] {
            let shown = String::from_utf8_lossy(&bytes).into_owned();
            let (outcome, records) = decode(bytes);
            assert!(records.is_empty());
            let error = format!("{:#}", outcome.unwrap_err());
            assert!(error.starts_with(expected), "{shown}: {error}");
        }
        let (outcome, _) = decode(br#"{"Records":[]}"#);
        assert_eq!(outcome.unwrap().found, 0);
    }

    #[test]
    fn large_files_come_in_pieces() {
        let padding = "x".repeat(100_000);
        let many: Vec<String> = (0..400)
            .map(|n| {
                format!(r#"{{"eventTime":"2024-03-06T00:00:00Z","eventID":"{n}","p":"{padding}"}}"#)
            })
            .collect();
        let file = log_file(&many);
        assert!(file.len() > LARGEST_WHOLE);
        let (outcome, records) = decode(gzip(file.as_bytes()));
        let outcome = outcome.unwrap();
        assert!(records == many);
        assert!(
            outcome.problems.is_empty() && !outcome.damaged,
            "{:?}",
            outcome.problems
        );
        // As they arrive from a network, cut anywhere.
        let (sender, receiver) = tokio::sync::mpsc::channel(1000);
        let bytes = gzip(file.as_bytes());
        for piece in bytes.chunks(1021) {
            sender.try_send(Ok(piece.to_vec())).unwrap();
        }
        drop(sender);
        let decode = Decode {
            include_insights: true,
            ..Decode::default()
        };
        let (outcome, records) = decode_as(decode, Body::Stream(receiver));
        assert!(records == many);
        assert_eq!(outcome.unwrap().bytes, bytes.len() as u64);
    }

    /// As it arrives from a network.
    fn streamed(decode: Decode, bytes: &[u8]) -> (Result<Outcome>, Vec<String>) {
        let (sender, receiver) = tokio::sync::mpsc::channel(bytes.len() / 1021 + 1);
        for piece in bytes.chunks(1021) {
            sender.try_send(Ok(piece.to_vec())).unwrap();
        }
        drop(sender);
        // Not held as a whole, though it might be.
        let decode = Decode { whole: 0, ..decode };
        decode_as(decode, Body::Stream(receiver))
    }

    #[test]
    fn data_too_large_to_hold_is_not_held_wherever_it_is() {
        let largest = 64 << 10;
        let decode = Decode {
            include_insights: true,
            piece: 4 << 10,
            largest,
            ..Decode::default()
        };
        let long = "x".repeat(100 * largest);
        let (one, two) = (record(1), record(2));
        for (text, found) in [
            (format!("{one}\n{{\"x\":\"{long}\"}}\n{two}"), 2),
            (format!("{{\"a\":1}}\n{{\"x\":\"{long}\"}}"), 0),
            (format!("[{one},{{\"x\":\"{long}\"}},{two}]"), 2),
            (format!("{{\"x\":\"{long}\",\"Records\":[{one},{two}]}}"), 2),
            (format!("[{{\"Records\":[{one},\"{long}\",{two}]}}]"), 2),
            (format!("{one}{{}}{}{two}", "{".repeat(100 * largest)), 1),
            (
                format!("{{\"Records\":[{one},{}", "{},".repeat(30 * largest)),
                1,
            ),
        ] {
            let (outcome, records) = streamed(decode.clone(), &gzip(text.as_bytes()));
            let outcome = outcome.unwrap();
            let is_one = |record: &&String| **record == one || **record == two;
            assert_eq!(records.iter().filter(is_one).count(), found, "{:.80}", text);
            let is_lost = !text.starts_with("{\"x\"");
            assert_eq!(!outcome.problems.is_empty(), is_lost, "{:.80}", text);
            let Work { scanned, held, .. } = outcome.work;
            assert!(held < 64 * largest, "{held} bytes held of {:.80}", text);
            assert!(scanned < 64 * text.len() as u64 + (32 << 20));
        }
    }

    #[test]
    fn records_of_a_few_bytes_take_no_memory_beyond_measure() {
        let count = 3_000_000;
        let text = format!("{{\"Records\":[{}{{}}]}}", "{},".repeat(count - 1));
        let mut chunks = Vec::new();
        let mut longest = 0;
        let decode = Decode {
            include_insights: true,
            ..Decode::default()
        };
        let outcome = decode
            .run(Body::Bytes(text.into_bytes()), &mut |decoded| {
                if let Decoded::Chunk(chunk) = decoded {
                    longest = longest.max(chunk.data.capacity());
                    chunks.push(chunk.records.len());
                }
                true
            })
            .unwrap();
        assert_eq!(outcome.found, count as u64);
        assert_eq!(chunks.iter().sum::<usize>(), count);
        assert!(outcome.work.held < 64 << 20, "{}", outcome.work.held);
        // All but the last hold their own records only.
        assert!(longest < 6 << 20, "{longest}");
    }

    #[test]
    fn a_bomb_of_nested_compression_is_stopped() {
        // Of 16 GB, within some KB.
        let inner = gzip(&vec![b'x'; 16 << 20]).repeat(1000);
        let inner = [gzip(b"{\"Records\":[{\"a\":\""), inner].concat();
        let nested = gzip(&gzip(&inner));
        let (outcome, _) = decode(nested.clone());
        let problems = outcome.unwrap().problems.join("; ");
        assert!(problems.contains("as bombs do"), "{problems}");
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(nested.len() as u64);
        archive
            .append_data(&mut header, "a.json.gz", &*nested)
            .unwrap();
        let mut entries = Vec::new();
        let body = Body::Bytes(gzip(&archive.into_inner().unwrap()));
        Decode::default()
            .run(body, &mut |decoded| {
                if let Decoded::Entry(entry) = decoded {
                    entries.push(format!("{:?}", entry.outcome));
                }
                true
            })
            .unwrap();
        assert!(entries[0].contains("as bombs do"), "{entries:?}");
    }

    #[test]
    fn nothing_is_lost_where_nothing_but_padding_is_behind() {
        let file = log_file(&[record(0)]);
        for padding in ["\n", "\r\n", "\0\0\0", "  "] {
            let bytes = [&*gzip(file.as_bytes()), padding.as_bytes()].concat();
            let decode = || Decode {
                hashing: Hashing::Along,
                ..Decode::default()
            };
            for (outcome, records) in [
                decode_as(decode(), Body::Bytes(bytes.clone())),
                streamed(decode(), &bytes),
            ] {
                let outcome = outcome.unwrap();
                assert_eq!(records, [record(0)]);
                assert!(outcome.problems.is_empty() && !outcome.damaged);
                assert_eq!(outcome.hash, Some(hash(file.as_bytes())));
            }
        }
        let lines = format!("{},\n{},\n", record(0), record(1));
        let (outcome, records) = decode(lines);
        let outcome = outcome.unwrap();
        assert_eq!(records.len(), 2);
        assert!(outcome.problems.is_empty() && !outcome.damaged);
    }

    #[test]
    fn utf_16_is_read() {
        let file = log_file(&[record(1), record(2)]);
        let lookup = format!(
            r#"{{"Events": [{{"CloudTrailEvent": {}}}]}}"#,
            serde_json::Value::from(
                r#"{"eventVersion":"1.08","eventTime":"2024-03-05T12:00:00Z"}"#
            )
        );
        for (text, count) in [(file, 2), (lookup, 1)] {
            let text = format!("\u{feff}{text}\r\n");
            let encoded = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
                text.encode_utf16().flat_map(bytes).collect()
            };
            for bytes in [encoded(u16::to_le_bytes), encoded(u16::to_be_bytes)] {
                let zipped = gzip(&bytes);
                for bytes in [bytes, zipped] {
                    let (outcome, records) = decode(bytes.clone());
                    assert!(outcome.unwrap().problems.is_empty());
                    assert_eq!(records.len(), count);
                    let (outcome, records) = streamed(Decode::default(), &bytes);
                    assert!(outcome.unwrap().problems.is_empty());
                    assert_eq!(records.len(), count);
                }
            }
        }
    }

    #[test]
    fn zstd_and_xz_are_read_and_others_are_named() {
        use ruzstd::encoding::{CompressionLevel, compress_to_vec};
        let file = log_file(&[record(1), record(2)]);
        let zstd = compress_to_vec(file.as_bytes(), CompressionLevel::Fastest);
        let skipped = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
        for (bytes, count) in [
            (zstd.clone(), 2),
            ([&*zstd, skipped, &zstd].concat(), 4),
            ([skipped, &*gzip(b"")].concat(), 0),
            (
                compress_to_vec(&*gzip(file.as_bytes()), CompressionLevel::Fastest),
                2,
            ),
        ] {
            let (outcome, records) = decode(bytes.clone());
            assert_eq!(records.len(), count, "{outcome:?}");
            let (_, records) = streamed(Decode::default(), &bytes);
            assert_eq!(records.len(), count);
        }
        for cut in [zstd.len() - 1, zstd.len() / 2] {
            match decode(&zstd[..cut]) {
                (Ok(outcome), _) => assert!(outcome.damaged),
                (Err(error), records) => assert!(records.is_empty(), "{error}"),
            }
        }
        for (bytes, name) in [
            (&b"BZh91AY&SYJ"[..], "compressed by bzip2"),
            (b"7z\xbc\xaf\x27\x1c\0\x04", "a 7z archive"),
            (b"Rar!\x1a\x07\x01\0", "a rar archive"),
            (b"\x04\x22\x4d\x18d@", "compressed by lz4"),
        ] {
            for bytes in [bytes.to_vec(), gzip(bytes)] {
                for (outcome, _) in [decode(bytes.clone()), streamed(Decode::default(), &bytes)] {
                    let error = outcome.unwrap_err().to_string();
                    assert_eq!(
                        error,
                        format!("is {name}, which is not opened here: unpack it first")
                    );
                }
            }
        }
    }

    /// What users choose, names of sessions and keys say, imitates all that has a meaning around a record.
    #[test]
    fn content_of_a_record_does_not_hide_it() {
        let envelopes = r#""Records":[],"Events":[1],"events":[{}],"logEvents":[{"message":"CWL CONTROL MESSAGE"}],"results":[[]],"CloudTrailEvent":"x","detail-type":"x","detail":{},"@message":"x","message":"CWL CONTROL MESSAGE","timestamp":1,"Type":"Notification","TopicArn":"x","Message":"x","eventSource":"aws:s3","EventSource":"aws:sns","eventType":"AwsCloudTrailInsight","eventTime":"1970-01-01T00:00:00Z","messageType":"CONTROL_MESSAGE""#;
        let quoted = serde_json::Value::from(format!("{{{envelopes}}}")).to_string();
        let head = r#"{"eventVersion":"1.08","userIdentity":{"type":"AssumedRole","principalId":"#;
        let tail = r#""eventTime":"2024-03-05T12:00:00Z","eventSource":"s3.amazonaws.com","eventName":"X","#;
        let plain = |principal: &str, user_agent: &str, request: &str| {
            format!(
                r#"{head}{principal}}},{tail}"userAgent":{user_agent},"requestParameters":{request},"eventID":"1"}}"#
            )
        };
        // As a tar archive's header has it.
        let mut name = vec![b'a'; 600];
        let before = head.len() + 1;
        name[257 - before..262 - before].copy_from_slice(b"ustar");
        for record in [
            plain(r#""x""#, &quoted, &format!("{{{envelopes}}}")),
            plain(
                &quoted,
                r#""CWL CONTROL MESSAGE: x""#,
                &format!("[{{{envelopes}}}]"),
            ),
            plain(
                r#""x""#,
                r#""]}\n{\"Records\":[""#,
                r#""\ud800 PK\u0003\u0004 \u001f\u008b""#,
            ),
            plain(
                &format!("\"{}\"", String::from_utf8(name).unwrap()),
                r#""x""#,
                "null",
            ),
        ] {
            let string = serde_json::Value::from(&*record);
            let texts = [
                format!("{{\"Records\":[{record},{record}]}}"),
                format!("{{\"Records\" : [ {record} , {record} ] }}"),
                format!("{record}\n{record}\n"),
                format!("[{record},{record}]"),
                format!("[[{record}],{{\"Records\":[{record}]}}]"),
                format!(
                    r#"{{"Events":[{{"CloudTrailEvent":{string}}},{{"CloudTrailEvent":{string}}}]}}"#
                ),
                format!(
                    r#"{{"logEvents":[{{"id":"","timestamp":1,"message":{string}}},{{"message":{string}}}]}}"#
                ),
                format!("2024-03-05T12:00:00Z {record}\n2024-03-05T12:00:00Z stream {record}\n"),
                format!(
                    r#"{{"results":[[{{"field":"@message","value":{string}}}],[{{"field":"@message","value":{string}}}]]}}"#
                ),
                format!(
                    r#"{{"detail-type":"AWS API Call via CloudTrail","detail":{record}}}{{"detail":{record},"detail-type":"AWS Service Event via CloudTrail"}}"#
                ),
            ];
            for text in texts {
                for (outcome, found) in [
                    decode(text.clone()),
                    decode(gzip(text.as_bytes())),
                    streamed(Decode::default(), text.as_bytes()),
                ] {
                    let outcome = outcome.unwrap();
                    assert!(
                        outcome.problems.is_empty(),
                        "{text}: {:?}",
                        outcome.problems
                    );
                    let found: Vec<&str> = found.iter().map(|record| record.trim()).collect();
                    assert_eq!(found.len(), 2, "{text}");
                    for found in found {
                        let sound = found == &*record || found.contains('\u{fffd}');
                        assert!(sound, "{found}");
                    }
                }
            }
        }
    }

    #[test]
    fn times_and_insights() {
        let records = [
            r#"{"eventID":"no time"}"#.to_owned(),
            r#"{"eventTime":"2024-03-06T00:00:00Z","eventType":"AwsCloudTrailInsight"}"#.to_owned(),
        ];
        let delivered = "2024-03-07T00:00:00Z".parse().unwrap();
        let mut times = Vec::new();
        let outcome = Decode {
            delivered: Some(delivered),
            ..Decode::default()
        }
        .run(
            Body::Bytes(log_file(&records).into_bytes()),
            &mut |decoded| {
                if let Decoded::Chunk(chunk) = decoded {
                    times.extend(chunk.records.iter().map(|record| record.time));
                }
                true
            },
        )
        .unwrap();
        assert_eq!(times, [delivered.as_second() as u64 * 1_000_000_000]);
        assert_eq!((outcome.found, outcome.passed_over), (2, 1));
    }
}
