//! From a log file's bytes to records: inflate, split, sort.
//!
//! A whole file is inflated by libdeflate and split in one SIMD pass. What is of another form than CloudTrail's own, or
//! broken, goes through a splitter that finds its way past damage, and what is too large to hold comes to it in pieces,
//! inflated by flate2: what such a file still holds is delivered.

mod archive;
mod shapes;
pub(crate) mod split;
mod splitter;

use std::cmp::Reverse;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use flate2::bufread::GzDecoder;
use jiff::Timestamp;
use libdeflater::Decompressor;
use memchr::memmem;

use crate::integrity::{self, Hash};
use crate::ledger::count;
use crate::record;
use crate::redact::Redaction;
use crate::source::{Body, Wanted};
use crate::trail::Interval;
use archive::Kind;
pub(crate) use archive::Member;
use shapes::Content;
use split::Found;
use splitter::{Candidate, LARGEST_RECORD, Splitter};

/// A log file of more bytes than this, as stored or inflated, is decoded piece by piece. CloudTrail's own stay far below.
pub(crate) const WHOLE: usize = 32 << 20;
/// What a file's first bytes are looked at for: tar has its mark near the end of them.
const HEAD: u64 = 512;
/// Compressed data within compressed data within …: Firehose can compress what CloudWatch Logs has compressed.
const LAYERS: u8 = 3;
/// The size of such a piece, inflated.
pub(crate) const PIECE: usize = 4 << 20;

/// Records of one log file, ready for the host.
#[derive(Debug)]
pub(crate) struct Chunk {
    data: Vec<u8>,
    records: Vec<Entry>,
    /// Where its buffer goes back to.
    buffers: Buffers,
}

/// A record's place in its chunk's data, and its time in ns since the epoch.
#[derive(Debug, Clone)]
struct Entry {
    range: Range<usize>,
    time: u64,
}

impl Chunk {
    /// The record of this number and its time in ns since the epoch.
    pub fn record(&self, index: usize) -> Option<(&[u8], u64)> {
        let Entry { range, time } = self.records.get(index)?;
        Some((self.data.get(range.clone())?, *time))
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.buffers.give(std::mem::take(&mut self.data));
    }
}

/// Buffers used again: fresh memory for each log file costs as much time as splitting it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// So many are kept, of this size at most.
    const KEPT: usize = 16;
    const SIZE: usize = 1 << 20;

    /// A buffer of any length and content.
    fn take(&self) -> Vec<u8> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pop().unwrap_or_default()
    }

    fn give(&self, buffer: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < Self::KEPT && buffer.capacity() <= Self::SIZE {
            kept.push(buffer);
        }
    }
}

/// What became of a log file.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Bytes read, as stored.
    pub bytes: u64,
    /// Records found, readable or not.
    pub found: u64,
    /// Insights records that the user does not want.
    pub passed_over: u64,
    /// Records outside the interval of events.
    pub filtered: u64,
    /// Events of others than CloudTrail, in a form that may hold those as well.
    pub other: u64,
    /// Records that could not be read.
    pub unreadable: u64,
    /// Values replaced.
    pub redacted: u64,
    /// What was lost, in words.
    pub problems: Vec<String>,
    /// A part of the file is missing beyond the records counted as unreadable.
    pub damaged: bool,
    /// Where it is asked for, the SHA-256 of what the file inflates to, if it does to its end.
    pub hash: Option<Hash>,
    /// Where it is an archive of log files, what became of these.
    pub archive: Option<Contents>,
}

/// The files of an archive.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Log files that were read.
    pub read: u64,
    /// Log files that could not be read.
    pub failed: u64,
    /// Files that hold no events.
    pub passed_over: u64,
    /// Log files that are not asked for.
    pub filtered: u64,
}

/// What decoding gives.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// Records.
    Chunk(Chunk),
    /// The end of a log file within an archive, whose records came before.
    Member(Member),
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
    /// Events outside are left out.
    pub events: Interval,
    /// The newest record of a log file comes first.
    pub newest_first: bool,
    /// Values to replace before the host sees them.
    pub redaction: Arc<Redaction>,
    /// Whether the file is hashed.
    pub hashing: Hashing,
    /// Log files of an archive that are not are left out.
    pub wanted: Arc<Wanted>,
    /// See [`PIECE`].
    pub piece: usize,
    /// See [`WHOLE`].
    pub whole: usize,
    /// For log files within an archive.
    pub within_archive: bool,
}

/// Whether a log file is hashed.
#[derive(Clone, Default)]
pub(crate) enum Hashing {
    #[default]
    Off,
    /// For the [`Outcome`].
    Along,
    /// Before any record is given, which happens only if this allows it.
    First(Admit),
}

/// Asked whether a log file may be handed over.
type Admit = Arc<dyn Fn(integrity::Content) -> Result<()> + Send + Sync>;

impl fmt::Debug for Hashing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Off => "Off",
            Self::Along => "Along",
            Self::First(_) => "First",
        })
    }
}

impl Default for Decode {
    fn default() -> Self {
        Self {
            stored: Buffers::default(),
            inflated: Buffers::default(),
            delivered: None,
            include_insights: false,
            events: Interval::default(),
            newest_first: false,
            redaction: Arc::default(),
            hashing: Hashing::Off,
            wanted: Arc::default(),
            piece: PIECE,
            whole: WHOLE,
            within_archive: false,
        }
    }
}

impl Decode {
    /// Decode `body`, giving what it holds to `take` until it returns false.
    ///
    /// # Errors
    /// Where nothing could be read at all.
    pub fn run(&self, body: Body, take: Take<'_>) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        match body {
            Body::Bytes(bytes) => self.whole(bytes, &mut outcome, take)?,
            Body::File(path) => {
                let metadata = path.metadata().context("can't be opened")?;
                // A pipe, say, which has taken its name since: opening it would wait for its other end.
                ensure!(metadata.is_file(), "is no file any more");
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
                if let Hashing::First(admit) = &self.hashing {
                    admit(integrity::Content::TooLarge)?;
                }
                let pieces = Pieces {
                    pieces,
                    current: io::Cursor::default(),
                };
                self.pieces(Counted::new(pieces), &mut outcome, take)?;
            }
        }
        Ok(outcome)
    }

    fn whole(&self, bytes: Vec<u8>, outcome: &mut Outcome, take: Take<'_>) -> Result<()> {
        ensure!(!bytes.is_empty(), "is empty");
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
                return self.pieces(Counted::new(io::Cursor::new(bytes)), outcome, take);
            };
            self.stored.give(bytes);
            (data, length)
        } else {
            let length = bytes.len();
            (bytes, length)
        };
        let hash = match &self.hashing {
            Hashing::Off => None,
            _ => Some(integrity::hash(&data[..length])),
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
            return self.archive(kind, io::Cursor::new(data), outcome, take);
        }
        if gzip && is_gzip(&data) {
            return self.read(&mut &*data, 1, outcome, take);
        }
        let mut scan = Scan::new(self, gzip);
        let mut records = Vec::new();
        scan.run(&mut data, true, &mut records, outcome);
        self.give(data, records, outcome, take);
        scan.finish(None, outcome)
    }

    /// Note a record that is a JSON object.
    fn add(&self, data: &[u8], found: Found, records: &mut Vec<Entry>, outcome: &mut Outcome) {
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
        if !self.events.contains_event(time) {
            outcome.filtered += 1;
            return;
        }
        records.push(Entry { range, time });
    }

    fn give(
        &self,
        mut data: Vec<u8>,
        mut records: Vec<Entry>,
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
    fn redact(&self, data: &mut [u8], records: &mut Vec<Entry>, outcome: &mut Outcome) {
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
                let mut members = Members::new(&mut input as &mut dyn Read);
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
        let mut scan = Scan::new(self, gzip);
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

/// The way of one file through the splitter.
struct Scan<'a> {
    decode: &'a Decode,
    gzip: bool,
    splitter: Splitter,
    found: Vec<Candidate>,
    /// Values that are of no known form, and why the first one is not.
    unknown: u64,
    first_unknown: &'static str,
    /// A value was of a known form.
    known: bool,
}

impl<'a> Scan<'a> {
    fn new(decode: &'a Decode, gzip: bool) -> Self {
        Self {
            decode,
            gzip,
            splitter: Splitter::default(),
            found: Vec::new(),
            unknown: 0,
            first_unknown: "",
            known: false,
        }
    }

    /// See [`Splitter::run`].
    fn run(
        &mut self,
        data: &mut [u8],
        end: bool,
        records: &mut Vec<Entry>,
        outcome: &mut Outcome,
    ) -> usize {
        let used = self.splitter.run(data, end, &mut self.found);
        for Candidate { range, is_record } in self.found.drain(..) {
            let content = match is_record {
                true => Content::Record(range),
                false => shapes::look_into(data, range),
            };
            self.known |= !matches!(content, Content::Unknown(_));
            match content {
                Content::Record(range) => {
                    let found = Found { range, time: None };
                    self.decode.add(data, found, records, outcome);
                }
                Content::Nothing => {}
                Content::Other => {
                    outcome.found += 1;
                    outcome.other += 1;
                }
                Content::Unknown(why) => {
                    if self.unknown == 0 {
                        self.first_unknown = why;
                    }
                    self.unknown += 1;
                }
                Content::Broken(why) => {
                    self.splitter.unreadable += 1;
                    self.splitter.first_unreadable.get_or_insert(why);
                }
            }
        }
        used
    }

    /// What became of the file, whose reading may have met a `failure`.
    fn finish(self, failure: Option<String>, outcome: &mut Outcome) -> Result<()> {
        let Self {
            mut splitter,
            known,
            unknown,
            ..
        } = self;
        let mut problems = Vec::new();
        let is_known = known || splitter.unreadable > 0 || splitter.has_list && unknown == 0;
        if is_known {
            // Among others, what is of no known form is a loss.
            splitter.unreadable += unknown;
            let first = match &splitter.first_unreadable {
                Some(first) => first,
                None => self.first_unknown,
            };
            if splitter.unreadable > 0 {
                problems.push(format!(
                    "has {} that can't be read, the first one {first}",
                    count(splitter.unreadable, "record")
                ));
            }
            outcome.found += splitter.unreadable + splitter.lines;
            outcome.unreadable += splitter.unreadable;
            outcome.other += splitter.lines;
        }
        if let Some(failure) = failure.or_else(|| {
            splitter
                .incomplete()
                .then(|| "is truncated: its JSON ends in the middle of a record or list".to_owned())
        }) {
            outcome.damaged = true;
            problems.push(failure);
        }
        if splitter.garbage > 0 {
            outcome.damaged = true;
            problems.push(format!(
                "has {} that are no JSON",
                count(splitter.garbage, "byte")
            ));
        }
        if is_known {
            outcome.problems.extend(problems);
            return Ok(());
        }
        let why = problems.join("; it ");
        if splitter.documents > 0 {
            bail!(
                "is JSON, but without a list of Records or another form of CloudTrail events{}{}{}{why}",
                if unknown > 0 { ": what it holds " } else { "" },
                self.first_unknown,
                if why.is_empty() { "" } else { "; it " }
            );
        }
        bail!(
            "{}{}{why}",
            if self.gzip {
                "is compressed, but holds no JSON"
            } else {
                "is neither gzip nor JSON with a list of Records"
            },
            if why.is_empty() { "" } else { ": it " }
        );
    }
}

/// Does a file that is not named as a log file begin as one, or as an archive?
pub(crate) fn holds_events(name: &str, input: &mut dyn Read) -> bool {
    let head = first_bytes(input, 0);
    match archive::kind(&head) {
        // Documents and programs are zip archives, too.
        Some(Kind::Zip) => !name
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or(name)
            .contains('.'),
        Some(Kind::Tar) => true,
        None => shapes::may_hold_events(&head),
    }
}

/// The record that this is, by itself or wrapped.
pub(crate) fn record_within(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut data = text.as_bytes().to_vec();
    let end = data.len();
    match shapes::look_into(&mut data, 0..end) {
        Content::Record(range) => Some(data[range].to_vec()),
        _ => None,
    }
}

/// The first bytes of what is compressed so often, inflated.
fn first_bytes(input: &mut dyn Read, layers: u8) -> Vec<u8> {
    let mut head = Vec::new();
    // What is before damage may do.
    _ = Read::take(&mut *input, 4 << 10).read_to_end(&mut head);
    match is_gzip(&head) && layers < LAYERS {
        true => {
            let mut rest: &mut dyn Read = &mut Read::chain(&*head, input);
            first_bytes(&mut Members::new(&mut rest), layers + 1)
        }
        false => head,
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

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Inflate all gzip members to the beginning of `data`, and give their length. None where that can't be done at once:
/// broken, too large, or followed by something that is no member.
///
/// libdeflate does not tell where a member ended. So ends are guessed, at the end of the data and wherever the magic
/// number of a next member stands, nearest first; libdeflate having checked the member's own length and checksum, an
/// end is right if the eight bytes before it repeat them.
fn inflate(bytes: &[u8], data: &mut Vec<u8>, most: usize) -> Option<usize> {
    let mut inflater = Decompressor::new();
    let mut length = 0;
    let mut start = 0;
    // A few false ends are to be expected in a large file, many in a hostile one.
    let mut guesses = 64;
    while start < bytes.len() {
        let member = &bytes[start..];
        let next = memmem::find_iter(&member[1..], &[0x1f, 0x8b, 0x08]).map(|at| at + 1);
        let (end, inflated) = next.chain([member.len()]).find_map(|end| {
            if guesses == 0 {
                return None;
            }
            let inflated = inflate_member(&mut inflater, &member[..end], data, length, most);
            guesses -= usize::from(inflated.is_none());
            Some((end, inflated?))
        })?;
        start += end;
        length += inflated;
    }
    Some(length)
}

/// Inflate a member that fills `member` exactly to `data[at..]`. Gives its length.
fn inflate_member(
    inflater: &mut Decompressor,
    member: &[u8],
    data: &mut Vec<u8>,
    at: usize,
    most: usize,
) -> Option<usize> {
    let (_, trailer) = member.split_last_chunk::<8>()?;
    let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    // Deflate makes at most 1032 bytes of one.
    if length > member.len() * 1032 || at + length > most {
        return None;
    }
    if data.len() < at + length {
        data.resize(at + length, 0);
    }
    let target = &mut data[at..at + length];
    let fits = inflater
        .gzip_decompress(member, target)
        .is_ok_and(|n| n == length)
        && libdeflater::crc32(target) == u32::from_le_bytes([c0, c1, c2, c3]);
    fits.then_some(length)
}

/// Reads pieces as they arrive.
struct Pieces {
    pieces: tokio::sync::mpsc::Receiver<io::Result<Vec<u8>>>,
    current: io::Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.current.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = io::Cursor::new(piece?),
                None => return Ok(0),
            }
        }
    }
}

/// Inflates gzip members in a row.
struct Members<R> {
    /// None at the end.
    member: Option<GzDecoder<BufReader<R>>>,
    /// Bytes behind the last one.
    behind: u64,
}

impl<R: Read> Members<R> {
    fn new(input: R) -> Self {
        Self {
            member: Some(GzDecoder::new(BufReader::with_capacity(64 << 10, input))),
            behind: 0,
        }
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // What a read has inflated before it comes to damage is lost.
        let portion = buffer.len().min(4 << 10);
        let buffer = &mut buffer[..portion];
        while let Some(member) = &mut self.member {
            let n = member.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            let Some(mut input) = self.member.take().map(GzDecoder::into_inner) else {
                break;
            };
            match input.fill_buf()? {
                [] => {}
                // The second byte may not be there yet.
                [0x1f] | [0x1f, 0x8b, ..] => self.member = Some(GzDecoder::new(input)),
                _ => self.behind = io::copy(&mut input, &mut io::sink())?,
            }
        }
        Ok(0)
    }
}

fn content(hash: Option<Hash>) -> integrity::Content {
    hash.map_or(integrity::Content::Broken, integrity::Content::Whole)
}

/// The SHA-256 of what an input inflates to; none where it does not to its end, or something follows it.
fn hash_of(input: impl Read) -> Option<Hash> {
    let mut input = BufReader::new(input);
    if !is_gzip(input.fill_buf().ok()?) {
        return Hashed::new(&mut input, &Hashing::Along).finish();
    }
    let mut members = Members::new(input);
    let hash = Hashed::new(&mut members, &Hashing::Along).finish();
    hash.filter(|_| members.behind == 0)
}

/// Hashes what is read, where that is asked for.
struct Hashed<R> {
    input: R,
    /// None where nobody asks, or the input could not be read.
    hash: Option<integrity::Hasher>,
}

impl<R: Read> Hashed<R> {
    fn new(input: R, hashing: &Hashing) -> Self {
        let hash = matches!(hashing, Hashing::Along).then(integrity::Hasher::default);
        Self { input, hash }
    }

    /// The hash of all of the input, to the end of which is read.
    fn finish(mut self) -> Option<Hash> {
        if self.hash.is_some() {
            io::copy(&mut self, &mut io::sink()).ok()?;
        }
        Some(self.hash?.finish())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer);
        match &read {
            Ok(n) => {
                if let Some(hash) = &mut self.hash {
                    hash.update(&buffer[..*n]);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.hash = None,
        }
        read
    }
}

/// Reads what has been looked at, and the rest.
struct Peeked<'a> {
    head: io::Cursor<Vec<u8>>,
    /// What ended the look.
    error: Option<io::Error>,
    input: &'a mut dyn Read,
}

impl<'a> Peeked<'a> {
    fn new(input: &'a mut dyn Read) -> Self {
        let mut head = Vec::new();
        let error = Read::take(&mut *input, HEAD).read_to_end(&mut head).err();
        Self {
            head: io::Cursor::new(head),
            error,
            input,
        }
    }
}

impl Read for Peeked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.head.read(buffer)?, self.error.take()) {
            (0, Some(error)) => Err(error),
            (0, None) => self.input.read(buffer),
            (n, error) => {
                self.error = error;
                Ok(n)
            }
        }
    }
}

/// Counts what is read.
struct Counted<R> {
    input: R,
    bytes: u64,
}

impl<R> Counted<R> {
    fn new(input: R) -> Self {
        Self { input, bytes: 0 }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buffer)?;
        self.bytes += n as u64;
        Ok(n)
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
        (outcome, records)
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
        assert!(file.len() > WHOLE);
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
