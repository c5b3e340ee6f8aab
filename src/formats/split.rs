//! Splits a log file as CloudTrail writes it, `{"Records":[{…},{…}]}` without a space between its tokens, in one SIMD
//! pass.
//!
//! The pass checks that quotes and brackets are in order and that each token may follow the one before, so that no
//! record can hide in another. What is wrong within a record beyond that, a number with two dots say, does not keep it
//! from the host.

use std::ops::Range;
use std::sync::LazyLock;

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x64};
use memchr::memmem::{self, Finder};

use crate::json::simd::{BLOCK, Masks, Strings};
use crate::record;

const HEAD: &[u8] = b"{\"Records\":[";
const TAIL: &[u8] = b"]}";
const TIME: &[u8] = b"\"eventTime\":";

/// In an event of another service: `"eventSource":"aws:s3"`. `aws:` by itself is in many of CloudTrail's, as in `aws:kms`.
const FOREIGN: &[u8] = b"ventSource\":\"aws:";

/// A list of records as short as this takes more memory for their places than it has bytes, and comes piece by piece.
const SHORT_RECORD: usize = 32;
/// So many may be so short, whatever the length of the list.
const FEW: usize = 1 << 10;

/// A record found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub range: Range<usize>,
    /// Where the value of its `eventTime` begins, if that was seen on the way.
    pub time: Option<usize>,
}

impl Found {
    /// The time, where it is written as CloudTrail does.
    pub fn time(&self, data: &[u8]) -> Option<i64> {
        let start = self.time?;
        let [b'"', text @ .., b'"'] = data.get(start..start + 22)? else {
            return None;
        };
        // A name before it may be written with escapes, and come first.
        let plain = memchr::memchr(b'\\', &data[self.range.start..start]).is_none();
        // A shorter text and what follows it may be as long, and are no time.
        plain.then(|| record::nanoseconds(text))?
    }
}

/// Find the records in `data`. False where it is of another form, or broken, or where they may be events of another
/// service, which a look at each of them tells.
pub(crate) fn split(data: &[u8], found: &mut Vec<Found>) -> bool {
    split_list(data, found)
        && found
            .first()
            .is_none_or(|first| memmem::find(&data[first.range.clone()], FOREIGN).is_none())
}

fn split_list(data: &[u8], found: &mut Vec<Found>) -> bool {
    let list = data
        .trim_ascii_end()
        .strip_prefix(HEAD)
        .and_then(|rest| rest.strip_suffix(TAIL));
    match list {
        Some([]) => true,
        Some(list @ [b'{', ..]) => {
            let mut brackets = Brackets::new(list, found);
            dispatch!(Level::new(), simd => scan(simd, list, &mut brackets))
        }
        _ => false,
    }
}

// Inlined, as is all that it calls, into the code that `dispatch` makes for each kind of CPU. No closure, for that is not.
#[inline(always)]
fn scan<S: Simd>(simd: S, list: &[u8], brackets: &mut Brackets<'_>) -> bool {
    let mut scan = Scan {
        strings: Strings::default(),
        order: Order::new(),
    };
    let (blocks, rest) = list.as_chunks();
    for (at, block) in blocks.iter().enumerate() {
        let found = scan.block(simd, block, !0);
        if !found.is_some_and(|found| brackets.walk(at * BLOCK, found)) {
            return false;
        }
    }
    let mut last = [b','; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    scan.block(simd, &last, !(!0 << rest.len()))
        .is_some_and(|found| brackets.walk(blocks.len() * BLOCK, found))
        && brackets.depth == 0
        && !scan.strings.is_within()
}

struct Scan {
    strings: Strings,
    order: Order,
}

impl Scan {
    /// The brackets in a block, of which only what is `inside` counts. None where its tokens are not in order.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, block: &[u8; BLOCK], inside: u64) -> Option<u64> {
        let bytes = u8x64::load_array_ref(simd, block);
        let masks = self.strings.masks(bytes);
        // Control characters are neither allowed in strings nor written between tokens.
        let odd = bytes.simd_lt(b' ').to_bitmask()
            | bytes.simd_eq(b' ').to_bitmask() & !masks.string
            | self.order.violations(&masks);
        (odd & inside == 0).then_some((masks.open | masks.close) & inside)
    }
}

/// Which tokens may follow each other. What carries over from block to block is the last character's kind, in the
/// lowest bit.
struct Order {
    /// An opening bracket, a colon or a comma.
    before_value: u64,
    /// A colon or a comma.
    before_no_end: u64,
    end_quote: u64,
    scalar: u64,
}

impl Order {
    /// As behind the bracket that opens the list.
    fn new() -> Self {
        Self {
            before_value: 1,
            before_no_end: 0,
            end_quote: 0,
            scalar: 0,
        }
    }

    /// Where a token can't follow the one before.
    #[inline(always)]
    fn violations(&mut self, masks: &Masks) -> u64 {
        let &Masks {
            string,
            quote,
            open,
            close,
            colon,
            comma,
            ..
        } = masks;
        let end_quote = quote & !string;
        let scalar = !(string | end_quote | open | close | colon | comma);
        let behind_scalar = behind(&mut self.scalar, scalar);
        let may_be_value = behind(&mut self.before_value, open | colon | comma);
        let may_not_end = behind(&mut self.before_no_end, colon | comma);
        let may_be_colon = behind(&mut self.end_quote, end_quote);
        let value = quote & string | open | scalar & !behind_scalar;
        value & !may_be_value | close & may_not_end | comma & may_be_value | colon & !may_be_colon
    }
}

/// Each character's mask moved to the one behind it, with what carries over.
#[inline(always)]
fn behind(last: &mut u64, mask: u64) -> u64 {
    let behind = mask << 1 | *last;
    *last = mask >> 63;
    behind
}

/// Follows the brackets in the list.
struct Brackets<'a> {
    list: &'a [u8],
    /// How deep, and in what: a bit for each open bracket, set for objects.
    depth: u32,
    within: u64,
    /// Where the record begins, and what of it lies on its own level.
    record: usize,
    level: usize,
    time: Option<usize>,
    finder: &'static Finder<'static>,
    found: &'a mut Vec<Found>,
}

impl<'a> Brackets<'a> {
    fn new(list: &'a [u8], found: &'a mut Vec<Found>) -> Self {
        static FINDER: LazyLock<Finder> = LazyLock::new(|| Finder::new(TIME));
        Self {
            list,
            depth: 0,
            within: 0,
            record: 0,
            level: 0,
            time: None,
            finder: &FINDER,
            found,
        }
    }

    /// Follow those of a block. False where they are not in order.
    #[inline(always)]
    fn walk(&mut self, block: usize, mut brackets: u64) -> bool {
        while brackets != 0 {
            let at = block + brackets.trailing_zeros() as usize;
            brackets &= brackets - 1;
            let byte = self.list[at];
            let object = u64::from(byte == b'{' || byte == b'}');
            let in_order = match byte {
                b'{' | b'[' => self.open(at, object),
                _ => self.close(at, object),
            };
            if !in_order {
                return false;
            }
        }
        true
    }

    #[inline(always)]
    fn open(&mut self, at: usize, object: u64) -> bool {
        match self.depth {
            0 => {
                (self.record, self.level, self.time) = (at, at, None);
                if object == 0 {
                    return false;
                }
            }
            1 => self.look_for_time(at),
            _ => {}
        }
        self.depth += 1;
        self.within = self.within << 1 | object;
        self.depth < u64::BITS
    }

    #[inline(always)]
    fn close(&mut self, at: usize, object: u64) -> bool {
        if self.depth == 0 || self.within & 1 != object {
            return false;
        }
        self.depth -= 1;
        self.within >>= 1;
        match self.depth {
            0 => {
                self.look_for_time(at);
                self.found.push(Found {
                    range: self.record + HEAD.len()..at + 1 + HEAD.len(),
                    time: self.time.map(|time| time + HEAD.len()),
                });
                // Nothing but another record may follow.
                matches!(self.list[at + 1..], [] | [b',', b'{', ..])
                    && self.found.len() <= self.list.len() / SHORT_RECORD + FEW
            }
            1 => {
                self.level = at;
                true
            }
            _ => true,
        }
    }

    /// Look at what of the record's own level lies before `at`.
    #[inline(always)]
    fn look_for_time(&mut self, at: usize) {
        if self.time.is_none() {
            let level = &self.list[self.level..at];
            // As a rule it comes right behind the identity.
            let found = match level.get(2..) {
                Some(level) if level.starts_with(TIME) => Some(2),
                _ => self.finder.find(level),
            };
            self.time = found.map(|found| self.level + found + TIME.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;
    use serde_json::value::RawValue;

    /// Found by serde_json.
    fn parsed(data: &str) -> Option<Vec<&str>> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct LogFile<'a> {
            #[serde(borrow)]
            records: Vec<&'a RawValue>,
        }
        let file: LogFile = serde_json::from_str(data).ok()?;
        let records = file.records.into_iter().map(RawValue::get);
        let records: Vec<&str> = records.collect();
        let objects = records.iter().all(|record| record.starts_with('{'));
        objects.then_some(records)
    }

    fn text(random: &mut Rng) -> String {
        let parts = [
            "a",
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            " ",
            "\\\"",
            "\\\\",
            "\\u00e9",
            "é",
            "0123456789",
            "eventTime",
        ];
        let parts: Vec<&str> = (0..random.u8(..9))
            .map(|_| parts[random.usize(..parts.len())])
            .collect();
        format!("\"{}\"", parts.concat())
    }

    fn value(random: &mut Rng, depth: u8) -> String {
        let several = |random: &mut Rng, one: &dyn Fn(&mut Rng) -> String| {
            let several: Vec<String> = (0..random.u8(..4)).map(|_| one(random)).collect();
            several.join(",")
        };
        match random.u8(..if depth > 0 { 6 } else { 4 }) {
            0 => ["true", "false", "null", "-1.5e+3"][random.usize(..4)].to_owned(),
            1..4 => text(random),
            4 => format!("[{}]", several(random, &|random| value(random, depth - 1))),
            _ => object(random, depth - 1),
        }
    }

    fn object(random: &mut Rng, depth: u8) -> String {
        let mut members: Vec<String> = (0..random.u8(..5))
            .map(|_| format!("{}:{}", text(random), value(random, depth)))
            .collect();
        if random.bool() {
            let time = format!("\"eventTime\":\"2024-03-06T00:00:{:02}Z\"", random.u8(..60));
            members.insert(random.usize(..=members.len()), time);
        }
        format!("{{{}}}", members.join(","))
    }

    #[test]
    fn random_log_files_are_split_as_serde_json_does() {
        for seed in 0..4000 {
            let random = &mut Rng::with_seed(seed);
            let records: Vec<String> = (0..random.u8(..6)).map(|_| object(random, 4)).collect();
            let file = format!("{{\"Records\":[{}]}}", records.join(","));
            let mut found = Vec::new();
            assert!(split(file.as_bytes(), &mut found), "{file}");
            assert_eq!(
                parsed(&file),
                Some(records.iter().map(String::as_str).collect())
            );
            assert_eq!(found.len(), records.len(), "{file}");
            for (found, record) in found.into_iter().zip(&records) {
                assert_eq!(&file[found.range.clone()], record);
                if let Some(time) = found.time(file.as_bytes()) {
                    assert_eq!(Some(time), record::head(record.as_bytes()).time, "{record}");
                }
            }
        }
    }

    #[test]
    fn what_split_takes_has_the_records_that_serde_json_finds() {
        for seed in 0..20_000 {
            let random = &mut Rng::with_seed(seed);
            let records: Vec<String> = (0..3).map(|_| object(random, 3)).collect();
            let mut file = format!("{{\"Records\":[{}]}}", records.join(",")).into_bytes();
            // Structure lost, doubled or put in.
            let structure = b"{}[]:,\"";
            let places: Vec<usize> = (0..file.len())
                .filter(|&at| structure.contains(&file[at]))
                .collect();
            let at = places[random.usize(..places.len())];
            match random.u8(..3) {
                0 => drop(file.remove(at)),
                1 => file.insert(at, file[at]),
                _ => file.insert(at, structure[random.usize(..structure.len())]),
            }
            let mut found = Vec::new();
            let Ok(file) = String::from_utf8(file) else {
                continue;
            };
            if !split(file.as_bytes(), &mut found) {
                continue;
            }
            // What it takes has the records that serde_json finds, or keeps them together where that finds none.
            let ranges: Vec<&str> = found
                .iter()
                .map(|found| &file[found.range.clone()])
                .collect();
            match parsed(&file) {
                Some(records) => assert_eq!(ranges, records, "{file}"),
                None => {
                    let rest = format!("{{\"Records\":[{}]}}", ranges.join(","));
                    assert_eq!(rest, file);
                }
            }
        }
    }

    #[test]
    fn a_time_of_another_form_is_left_to_others() {
        for (time, seen) in [
            ("2024-03-05T12:00:00Z", true),
            ("2024-03-05T12:00:00+01:00", false),
            ("2024-03-05", false),
            ("", false),
        ] {
            let file = format!(r#"{{"Records":[{{"eventTime":"{time}","abcdefg":"hijklmnop"}}]}}"#);
            let mut found = Vec::new();
            assert!(split(file.as_bytes(), &mut found));
            assert_eq!(found[0].time(file.as_bytes()).is_some(), seen, "{time}");
        }
    }

    #[test]
    fn other_forms_are_left_to_others() {
        for file in [
            "",
            "{}",
            "[]",
            "{\"Records\":[1]}",
            "{\"Records\":[{},1]}",
            "{\"Records\":[{}, {}]}",
            "{\"Records\":[{}],\"a\":[{}]}",
            "{\"Records\":[{}]}{\"Records\":[{}]}",
            "{\"Records\":[{\"a\":1}}",
            "{\"Records\":[{\"a\":[1}}]}",
            "{\"Records\":[{\"a\":\"]}",
            "{\"Records\":[{\"a\":\"\n\"}]}",
        ] {
            assert!(!split(file.as_bytes(), &mut Vec::new()), "{file}");
        }
        let short = |count: usize| format!("{{\"Records\":[{}]}}", vec!["{}"; count].join(","));
        assert!(!split(short(2000).as_bytes(), &mut Vec::new()));
        assert!(split(short(1000).as_bytes(), &mut Vec::new()));
        let foreign = r#"{"Records":[{"eventSource":"aws:s3"}]}"#;
        assert!(!split(foreign.as_bytes(), &mut Vec::new()));
        assert!(split(b"{\"Records\":[]}", &mut Vec::new()));
        assert!(split(b"{\"Records\":[{}]}\n", &mut Vec::new()));
    }
}
