//! From a log file's bytes to records: inflate, split, sort.
//!
//! A whole file is inflated by libdeflate and split in one SIMD pass. What is of another form than CloudTrail's own, or
//! broken, goes through a splitter that finds its way past damage, and what is too large to hold comes to it in pieces,
//! inflated by flate2: what such a file still holds is delivered.

mod chunk;
mod entries;
mod hashing;
mod input;
mod outcome;
pub(crate) mod redact;
mod splitting;

use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use jiff::Timestamp;

use crate::formats::LAYERS;
use crate::formats::archive;
use crate::formats::gzip::{GzipMembers, inflate, is_gzip};
use crate::formats::split::{self, Found};
use crate::formats::splitter::LARGEST_RECORD;
use crate::integrity::hash::hash;
use crate::log_file::{Body, Content, FileError, LARGEST_WHOLE};
use crate::record;
use crate::stats::count;
use crate::trail::Selection;
use chunk::RecordSpan;
pub(crate) use chunk::{Buffers, Chunk};
pub(crate) use entries::ArchiveEntry;
pub(crate) use hashing::Hashing;
use hashing::{Hashed, content, hash_of};
use input::{Counted, Failing, Peeked, Pieces};
pub(crate) use outcome::{ArchiveCounts, Outcome};
use redact::Redaction;
use splitting::Splitting;

/// What a file's first bytes are looked at for: tar has its mark near the end of them.
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

/// What takes it, until it returns false.
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
    /// Values to replace before the host sees them.
    pub redaction: Arc<Redaction>,
    /// Whether the file is hashed.
    pub hashing: Hashing,
    /// Of events, and of the log files of an archive.
    pub selection: Arc<Selection>,
    /// See [`PIECE`].
    pub piece: usize,
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
            redaction: Arc::default(),
            hashing: Hashing::Off,
            selection: Arc::default(),
            piece: PIECE,
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
            Body::Bytes(bytes) => self.whole(bytes, &mut outcome, take)?,
            Body::File(path) => {
                let metadata = path.metadata().context("can't be opened")?;
                // A pipe, say, which has taken its name since: opening it would wait for its other end.
                if !metadata.is_file() {
                    return Err(anyhow!("is no file any more").into());
                }
                let size = metadata.len();
                let mut file = File::open(path).context("can't be opened")?;
                if size > self.whole as u64 {
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
                            self.archive(kind, BufReader::new(file), &mut outcome, take)?;
                        }
                        None => self.pieces(Counted::new(file), &mut outcome, take)?,
                    }
                } else {
                    let mut bytes = self.stored.take();
                    bytes.clear();
                    file.read_to_end(&mut bytes).context("can't be read")?;
                    self.whole(bytes, &mut outcome, take)?;
                }
            }
            Body::Stream(pieces) => {
                let mut pieces = Pieces {
                    pieces,
                    current: io::Cursor::default(),
                };
                // It may come in pieces only because there was no room for it to wait as a whole.
                let mut bytes = self.stored.take();
                bytes.clear();
                let read = Read::take(&mut pieces, self.whole as u64 + 1).read_to_end(&mut bytes);
                if read.is_ok() && bytes.len() <= self.whole {
                    self.whole(bytes, &mut outcome, take)?;
                    return Ok(outcome);
                }
                if let Hashing::First(admit) = &self.hashing {
                    admit(Content::TooLarge)?;
                }
                let rest = io::Cursor::new(bytes)
                    .chain(Failing(read.err()))
                    .chain(pieces);
                self.pieces(Counted::new(rest), &mut outcome, take)?;
            }
        }
        Ok(outcome)
    }

    fn whole(
        &self,
        bytes: Vec<u8>,
        outcome: &mut Outcome,
        take: Take<'_>,
    ) -> Result<(), FileError> {
        if bytes.is_empty() {
            return Err(anyhow!("is empty").into());
        }
        let gzip = is_gzip(&bytes);
        outcome.bytes = bytes.len() as u64;
        let (mut data, length) = if gzip {
            let mut data = self.inflated.take();
            let Some(length) = inflate(&bytes, &mut data, self.whole) else {
                self.inflated.give(data);
                if let Hashing::First(admit) = &self.hashing {
                    admit(content(hash_of(&*bytes)))?;
                }
                // Too large, damaged, or with something behind it.
                return Ok(self.pieces(Counted::new(io::Cursor::new(bytes)), outcome, take)?);
            };
            self.stored.give(bytes);
            (data, length)
        } else {
            let length = bytes.len();
            (bytes, length)
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
            self.give(data, records, outcome, take);
            return Ok(());
        }
        data.truncate(length);
        if let Some(kind) = archive::kind(&data) {
            return Ok(self.archive(kind, io::Cursor::new(data), outcome, take)?);
        }
        if gzip && is_gzip(&data) {
            return Ok(self.read(&mut &*data, 1, outcome, take)?);
        }
        let mut scan = Splitting::new(self, gzip);
        let mut records = Vec::new();
        scan.run(&mut data, true, &mut records, outcome);
        self.give(data, records, outcome, take);
        Ok(scan.finish(None, outcome)?)
    }

    /// Note a record that is a JSON object.
    fn add(&self, data: &[u8], found: Found, records: &mut Vec<RecordSpan>, outcome: &mut Outcome) {
        outcome.found += 1;
        let range = found.range.clone();
        let seen = found.time(data).filter(|_| self.include_insights);
        let time = seen.or_else(|| {
            let head = record::head(&data[range.clone()]);
            (self.include_insights || !head.insight).then_some(head.time)
        });
        let Some(time) = time else {
            outcome.passed_over += 1;
            return;
        };
        let time = time.or_else(|| i64::try_from(self.delivered?.as_nanosecond()).ok());
        // What no time is known of has that of its reading, the host's meaning of this value.
        let time = time.map_or(u64::MAX, |time| u64::try_from(time).unwrap_or(0));
        if !self.selection.events.contains_event(time) {
            outcome.filtered += 1;
            return;
        }
        records.push(RecordSpan { range, time });
    }

    fn give(
        &self,
        mut data: Vec<u8>,
        mut records: Vec<RecordSpan>,
        outcome: &mut Outcome,
        take: Take<'_>,
    ) -> bool {
        debug_assert!(outcome.found >= records.len() as u64);
        if !self.redaction.is_empty() {
            self.redact(&mut data, &mut records, outcome);
        }
        if records.is_empty() {
            return true;
        }
        if self.newest_first {
            records.sort_by_key(|record| Reverse(record.time));
        } else if !records.is_sorted_by_key(|record| record.time) {
            records.sort_by_key(|record| record.time);
        }
        take(Decoded::Chunk(Chunk {
            data,
            records,
            buffers: self.inflated.clone(),
        }))
    }

    /// Replace values in the records. One of which it can't be said where they are is left out.
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

    /// The way for what is large or broken.
    fn pieces(
        &self,
        mut input: Counted<impl Read>,
        outcome: &mut Outcome,
        take: Take<'_>,
    ) -> Result<()> {
        let result = self.read(&mut input, 0, outcome, take);
        outcome.bytes = input.bytes;
        result
    }

    /// Read data of any kind that is compressed so often at least.
    fn read(
        &self,
        input: &mut dyn Read,
        layers: u8,
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
        // What a digest has the hash of: the content of a log file, compressed once.
        let hashing = match layers {
            0 => &self.hashing,
            _ => &Hashing::Off,
        };
        match archive::kind(head) {
            Some(kind) => self.archive_in_order(kind, &mut input, outcome, take),
            None if is_gzip(head) && layers < LAYERS => {
                let mut members = GzipMembers::new(&mut input as &mut dyn Read);
                let mut hashed = Hashed::new(&mut members, hashing);
                let result = self.read(&mut hashed, layers + 1, outcome, take);
                let hash = hashed.finish();
                if layers == 0 {
                    outcome.hash = hash.filter(|_| members.behind == 0);
                }
                if members.behind > 0 && result.is_ok() {
                    let behind = count(members.behind, "byte");
                    outcome.damaged = true;
                    outcome.problems.push(format!(
                        "has {behind} behind its compressed data that are no gzip"
                    ));
                }
                result
            }
            None => {
                let mut hashed = Hashed::new(&mut input, hashing);
                let result = self.scan(&mut hashed, layers > 0, outcome, take);
                let hash = hashed.finish();
                if layers == 0 {
                    outcome.hash = hash;
                }
                result
            }
        }
    }

    fn scan(
        &self,
        input: &mut dyn Read,
        gzip: bool,
        outcome: &mut Outcome,
        take: Take<'_>,
    ) -> Result<()> {
        let mut scan = Splitting::new(self, gzip);
        let mut data: Vec<u8> = Vec::new();
        let mut wanted = self.piece;
        let mut end = false;
        let mut failure = None;
        loop {
            if !end {
                let missing = wanted - data.len();
                match Read::take(&mut *input, missing as u64).read_to_end(&mut data) {
                    Ok(n) => end = n < missing,
                    Err(error) => {
                        failure = Some(read_failure(&error, gzip));
                        end = true;
                    }
                }
            }
            let mut records = Vec::new();
            let used = scan.run(&mut data, end, &mut records, outcome);
            if used == 0 && !end {
                if wanted < LARGEST_RECORD {
                    wanted *= 2;
                } else {
                    scan.splitter.skip();
                }
                continue;
            }
            if records.is_empty() {
                // Without a copy of what is left, which may be a largest record's beginning.
                data.drain(..used);
            } else {
                let rest = data[used..].to_vec();
                let piece = std::mem::replace(&mut data, rest);
                if !self.give(piece, records, outcome, take) {
                    return Ok(());
                }
            }
            wanted = (data.len() * 2).clamp(self.piece, LARGEST_RECORD);
            if end {
                break;
            }
        }
        scan.finish(failure, outcome)
    }
}

fn read_failure(error: &io::Error, gzip: bool) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof if gzip => {
            "is truncated: its compressed data ends too early".to_owned()
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData if gzip => {
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
    fn what_is_behind_a_gzip_is_named() {
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
            ["has 17 bytes behind its compressed data that are no gzip"]
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
    fn what_is_no_log_file_is_named() {
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
