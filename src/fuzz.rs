//! What must hold of whatever comes from outside: a function for each target of `fuzz/`, which panics where it doesn't.
//!
//! It is there for fuzzing and for unit tests, which replay the inputs in `fuzz/corpus`.

use std::sync::LazyLock;

use bumpalo::Bump;
use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::aws::s3::page::fuzz::page as bucket_page;
use crate::decode::redact::Redaction;
use crate::decode::{Decode, Decoded, Fingerprints, Outcome, Work};
use crate::fields::FIELDS;
use crate::filter::fuzz as filter;
use crate::formats::{self, split};
use crate::host::extract::asking::{Offsets, request, values};
use crate::host::extract::{Extractor, PAYLOAD};
use crate::integrity::fuzz::digest;
use crate::log_file::{Body, FileError, LARGEST_WHOLE};
use crate::settings::Settings;
use crate::settings::location::Location;
use crate::source::queue_message;
use crate::{record, trail};

/// As large a piece as holds nearly all inputs. One of the product's own size would be allocated for each execution.
const PIECE: usize = 64 << 10;

/// What a log file gives: records in order, and its counts.
type Content = Result<(Vec<Vec<u8>>, [u64; 3], Vec<String>), String>;

fn decode(body: Body, piece: usize) -> Content {
    // What comes in pieces is decoded so, though it might be held as a whole.
    let is_whole = matches!(body, Body::Bytes(_));
    let decode = Decode {
        include_insights: true,
        piece,
        whole: if is_whole { LARGEST_WHOLE } else { 0 },
        fingerprints: Fingerprints::new(true),
        ..Decode::default()
    };
    decode_as(&decode, body)
}

/// Work is bounded, whatever a file holds: what it is looked at, and what is held of it.
fn assert_bounded(decode: &Decode, outcome: &Outcome) {
    let Work {
        split,
        scanned,
        held,
    } = outcome.work;
    assert!(
        scanned <= split * 64 + (32 << 20),
        "{scanned} bytes scanned for {split}"
    );
    let largest = decode.whole.max(decode.piece).max(decode.largest);
    assert!(held <= 4 * largest + (32 << 20), "{held} bytes held");
}

fn decode_as(decode: &Decode, body: Body) -> Content {
    let mut records = Vec::new();
    // The log files of an archive.
    let mut entries = Vec::new();
    let outcome = decode.run(body, &mut |decoded| {
        match decoded {
            Decoded::Chunk(chunk) => {
                let mut number = 0;
                while let Some((record, _)) = chunk.record(number) {
                    records.push(record.to_vec());
                    number += 1;
                }
            }
            Decoded::Entry(entry) => entries.push(entry.outcome),
        }
        true
    });
    let mut outcome = outcome.map_err(|error| format!("{:#}", error.into_reason()))?;
    assert_bounded(decode, &outcome);
    for entry in entries {
        match entry.map_err(FileError::into_reason) {
            Ok(entry) => {
                assert_bounded(decode, &entry);
                outcome.found += entry.found;
                outcome.other += entry.other;
                outcome.unreadable += entry.unreadable;
                outcome.damaged |= entry.damaged;
                outcome.problems.extend(entry.problems);
            }
            Err(error) => outcome.problems.push(format!("{error:#}")),
        }
    }
    // How far a damaged one was read depends on what came at once.
    let bytes = if outcome.problems.is_empty() {
        outcome.bytes
    } else {
        0
    };
    let counts = [outcome.found, outcome.unreadable, bytes];
    assert_eq!(
        outcome.found,
        records.len() as u64 + outcome.other + outcome.unreadable,
        "the counts"
    );
    let named = !outcome.problems.is_empty();
    assert!(
        named || outcome.unreadable == 0 && !outcome.damaged,
        "named"
    );
    Ok((records, counts, outcome.problems))
}

fn in_pieces(data: &[u8], size: usize) -> Body {
    let (sender, pieces) = tokio::sync::mpsc::channel(data.len() / size + 1);
    for piece in data.chunks(size) {
        // There is room for all.
        _ = sender.try_send(Ok(piece.to_vec()));
    }
    Body::Stream(pieces)
}

/// The records in any order: a piece is in order by itself.
fn sorted(content: Content) -> Content {
    content.map(|(mut records, counts, problems)| {
        records.sort();
        (records, counts, problems)
    })
}

/// A log file of any form, compressed or not: the records are the same whatever the pieces that it comes in, and that it
/// is decoded in.
pub fn log_file(data: &[u8]) {
    let streamed = decode(in_pieces(data, 1 << 20), PIECE);
    // How much of damaged data can be inflated depends on what comes at once.
    let is_damaged = match &streamed {
        Ok((.., problems)) => problems.iter().any(|problem| problem.contains("damaged")),
        Err(error) => error.contains("damaged"),
    };
    for size in [1, 7] {
        let mut others = decode(in_pieces(data, size), PIECE);
        // Bytes behind a member that begin like another one have either name.
        if let (Ok((_, _, others)), Ok((_, _, streamed))) = (&mut others, &streamed)
            && streamed
                .iter()
                .any(|problem| problem.ends_with("that are not gzip"))
            && others
                .iter()
                .any(|problem| problem == "is damaged: invalid gzip header")
        {
            others.clone_from(streamed);
        }
        assert!(
            is_damaged || others == streamed,
            "{size} bytes each: {others:?}, {streamed:?}"
        );
    }
    let whole = decode(Body::Bytes(data.to_vec()), PIECE);
    // What has no end of a record, or more, is lost by the one and told by the other. A zip archive says twice what is in
    // it: at each file, which is seen from its beginning, and at its end.
    if !data.starts_with(b"PK")
        && let Ok((records, counts, problems)) = &streamed
        && problems.is_empty()
    {
        let sound = Ok((records.clone(), *counts, problems.clone()));
        assert_eq!(sorted(whole), sorted(sound.clone()));
        for piece in [1, 64] {
            let small = decode(in_pieces(data, 1 << 20), piece);
            assert_eq!(sorted(small), sorted(sound.clone()), "pieces of {piece}");
        }
    }
    // Less than the data can be held, as of a file that is far larger.
    for largest in [1, 7, 64, 300] {
        let decode = Decode {
            include_insights: true,
            piece: 16,
            largest,
            whole: 0,
            ..Decode::default()
        };
        // What there is of it is right, whatever is lost; both are checked.
        _ = decode_as(&decode, in_pieces(data, 1 << 20));
    }
}

/// An archive, read at once and as it comes; and data as a log file of one, which gives what it gives by itself.
pub fn archive(data: &[u8]) {
    let whole = decode(Body::Bytes(data.to_vec()), PIECE);
    let streamed = decode(in_pieces(data, 1 << 20), PIECE);
    // From its end a zip archive may have other files than from its beginning.
    if let (Ok((whole, ..)), Ok((streamed, _, problems))) = (whole, streamed)
        && !data.starts_with(b"PK")
        && problems.is_empty()
    {
        let sorted = |mut records: Vec<Vec<u8>>| {
            records.sort();
            records
        };
        assert_eq!(sorted(whole), sorted(streamed));
    }
    // The same as one file of a sound archive.
    let mut header = tar::Header::new_gnu();
    header.set_size(data.len() as u64);
    let mut packed = tar::Builder::new(Vec::new());
    let added = packed.append_data(&mut header, "a.json", data);
    let alone = decode(Body::Bytes(data.to_vec()), PIECE);
    if added.is_ok()
        && let Ok(packed) = packed.into_inner()
        && let Ok((records, ..)) = alone
        && formats::archive::kind(data).is_none()
        && formats::compression::compression(data).is_none()
    {
        let within = decode(Body::Bytes(packed), PIECE).expect("an archive with a log file");
        assert_eq!(within.0, records);
    }
}

/// The fast splitter agrees with serde_json.
pub fn split(data: &[u8]) {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct LogFile<'a> {
        #[serde(borrow)]
        records: Vec<&'a RawValue>,
    }
    let mut found = Vec::new();
    if !split::split(data, &mut found) {
        return;
    }
    let ranges: Vec<&[u8]> = found
        .iter()
        .map(|found| &data[found.range.clone()])
        .collect();
    for (found, record) in found.iter().zip(&ranges) {
        if let Some(time) = found.time(data)
            && serde_json::from_slice::<IgnoredAny>(record).is_ok()
        {
            assert_eq!(Some(time), record::head(record).time, "the time");
        }
    }
    match serde_json::from_slice::<LogFile>(data) {
        Ok(file) => {
            let records = file.records.iter().map(|record| record.get().as_bytes());
            assert_eq!(ranges, records.collect::<Vec<_>>());
        }
        // What it takes beyond that, it takes together.
        Err(_) => {
            let records = ranges.join(&b',');
            let together = [b"{\"Records\":[", &*records, b"]}"].concat();
            assert_eq!(data.trim_ascii_end(), together);
        }
    }
}

/// A record: every field, all at once and one by one, has one value, which is what its range in the record says.
pub fn record(data: &[u8]) {
    let storage = Bump::new();
    let mut requests: Vec<_> = (0..FIELDS.len()).map(request).collect();
    let mut offsets = Offsets {
        start: std::ptr::null_mut(),
        length: std::ptr::null_mut(),
    };
    let mut extractor = Extractor::default();
    extractor
        .extract_fields(1, data, &mut requests, Some(&mut offsets), &storage)
        .expect("values");
    let valid = std::str::from_utf8(data)
        .is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let mut one_by_one = Extractor::default();
    // That takes most of the time: an input of each length has its turn for a part of the fields.
    let turns = if cfg!(fuzzing) { 8 } else { 1 };
    for (at, all) in requests.iter().enumerate() {
        let field = &FIELDS[at];
        let found = values(all);
        if (at + data.len()).is_multiple_of(turns) {
            let mut alone = [request(at)];
            one_by_one
                .extract_fields(1, data, &mut alone, None, &storage)
                .expect("a value");
            assert_eq!(values(&alone[0]), found, "{}", field.name);
        }
        // SAFETY: the arrays are as long as there are requests.
        let (start, length) = unsafe {
            (
                *offsets.start.add(at) as usize,
                *offsets.length.add(at) as usize,
            )
        };
        if length == 0 {
            continue;
        }
        let token = &data[start - PAYLOAD..][..length];
        if !valid {
            continue;
        }
        let value = found.first().expect("a range has a value");
        let token = std::str::from_utf8(token).expect("UTF-8");
        serde_json::from_str::<IgnoredAny>(token).expect("a token");
        if field.paths().is_empty() {
            continue;
        }
        match serde_json::from_str::<String>(token) {
            Ok(text) if *value != token => {
                assert_eq!(*value, text.replace('\0', "\\u0000"), "{}", field.name);
            }
            Err(_) if !token.starts_with('"') && field.kind() == "string" => {
                assert_eq!(value, token, "{}", field.name);
            }
            _ => {}
        }
    }
    // What fields show by name, pointers find, too.
    static PLACES: LazyLock<[usize; 4]> = LazyLock::new(|| {
        ["ct.value", "ct.name", "ct.user.arn", "s3.bucket"].map(|name| {
            let place = FIELDS.iter().position(|field| field.name == name);
            place.expect("a field")
        })
    });
    let [by_pointer, by_name @ ..] = *PLACES;
    let pointers = [
        c"/eventName",
        c"/userIdentity/arn",
        c"/requestParameters/bucketName",
    ];
    for (pointer, by_name) in pointers.into_iter().zip(by_name) {
        let mut pointed = [request(by_pointer)];
        pointed[0].arg_key = pointer.as_ptr();
        pointed[0].arg_present = 1;
        one_by_one
            .extract_fields(1, data, &mut pointed, None, &storage)
            .expect("a value");
        let named = values(&requests[by_name]);
        assert_eq!(values(&pointed[0]), named, "{pointer:?}");
    }
    _ = extractor.event_string(data);
    _ = record::head(data);
}

/// Rules of redaction, and in the next line a record: a sound one stays sound and as long as it was, and nothing that the
/// rules name is left in it.
pub fn redact(data: &[u8]) {
    let (rules, record) = data.split_at(memchr::memchr(b'\n', data).unwrap_or(data.len()));
    let record = record.get(1..).unwrap_or_default();
    let Some(Ok(redaction)) = str::from_utf8(rules).ok().map(Redaction::parse) else {
        return;
    };
    assert!(redaction.held(&mut record.to_vec()) <= redaction.most_held());
    let mut redacted = record.to_vec();
    let count = redaction.apply(&mut redacted);
    assert_eq!(redacted.len(), record.len());
    let is_sound = |record| {
        str::from_utf8(record)
            .is_ok_and(|record| serde_json::from_str::<serde_json::Map<_, Value>>(record).is_ok())
    };
    if !is_sound(record) {
        return;
    }
    assert!(count.is_some() && is_sound(&redacted), "sound");
    let mut again = redacted.clone();
    assert!(redaction.apply(&mut again) <= count);
    assert_eq!(again, redacted, "nothing is left");
    if count == Some(0) {
        assert_eq!(redacted, record);
    }
}

/// A condition that events are kept by, and in the next lines a record.
pub fn condition(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        filter::parse(text);
    }
    let (condition, record) = data.split_at(memchr::memchr(b'\n', data).unwrap_or(data.len()));
    if let Some(record) = record.get(1..)
        && let Some(filter) = str::from_utf8(condition).ok().and_then(filter::parse)
    {
        filter::assert_kept_by_all(&filter, record);
    }
}

/// A digest file, compressed or not.
pub fn digests(data: &[u8]) {
    digest(data);
}

/// Keys, and what users write about them.
pub fn key(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    let time = trail::delivery_time(text);
    if let Some(time) = time {
        assert!(text.contains(&time.strftime("%Y%m%dT%H%MZ").to_string()));
    }
    _ = trail::is_log_file(text);
    assert!(trail::account(text).is_none_or(trail::is_account));
    // Whatever a trail's prefix is.
    let below = format!(
        "{text}/AWSLogs/111122223333/CloudTrail/us-east-1/2024/03/05/111122223333_CloudTrail_us-east-1_20240305T1205Z_x.json"
    );
    assert!(trail::is_log_file(&below));
    assert_eq!(trail::account(&below), Some("111122223333"));
    assert!(trail::Place::of(&below).is_some());
    if let Ok(accounts) = trail::Listed::accounts(text) {
        assert_eq!(accounts.contain(None), accounts.are_all());
    }
    if let Ok(interval) = text
        .parse::<trail::RelativeInterval>()
        .and_then(|interval| interval.from(Timestamp::UNIX_EPOCH))
    {
        _ = interval.with_lateness();
    }
}

/// Open params: the URL of what they name names it too.
pub fn url(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    for endpoint in [None, Some("https://minio.example.com:9000")] {
        if let Ok(Location::Bucket(bucket)) = Location::parse(text, endpoint) {
            assert!(!bucket.bucket.is_empty());
        }
    }
}

/// A message of a queue: what SNS wraps is what was sent by itself.
pub fn message(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    queue_message(text);
}

/// A page of a listing of a bucket: what the SDK would read from it.
pub fn page(data: &[u8]) {
    bucket_page(data);
}

/// The configuration: an error is a sentence.
pub fn config(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    if let Err(error) = Settings::parse(text) {
        assert!(!format!("{error:#}").is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn replay(target: &str, run: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let inputs = fs::read_dir(corpus.join(target)).expect("a corpus");
        let inputs: Vec<_> = inputs
            .map(|input| input.expect("an input").path())
            .collect();
        assert!(!inputs.is_empty());
        for input in inputs {
            // Names the one that fails.
            println!("{}", input.display());
            run(&fs::read(&input).expect("an input"));
        }
    }

    #[test]
    fn what_fuzzing_has_found_holds() {
        replay("log_file", log_file);
        replay("archive", archive);
        replay("split", split);
        replay("record", record);
        replay("redact", redact);
        replay("condition", condition);
        replay("digests", digests);
        replay("key", key);
        replay("url", url);
        replay("message", message);
        replay("page", page);
        replay("config", config);
    }
}
