//! Finds what may be records in JSON of any form, whole or in pieces, sound or broken; [`super::shapes`] tells what
//! each of them is.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;

use super::shapes;
use crate::json::value_end;
use crate::record;

/// A record of more bytes than this, in a file that is decoded piece by piece, is named and left out.
pub(crate) const LARGEST_RECORD: usize = 64 << 20;
/// Bytes that are looked at again, in all, to find records behind broken ones in a file.
const SEARCHED: usize = 512 << 20;

/// The lists that hold events, by their key in a document: `aws cloudtrail lookup-events` writes `Events`,
/// `aws logs filter-log-events` `events`, a subscription of CloudWatch Logs `logEvents`, and a query of Logs Insights
/// `results`.
const LISTS: [&str; 5] = ["Records", "Events", "events", "logEvents", "results"];

/// A JSON value found.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub range: Range<usize>,
    /// In a list of Records, where every object is a record.
    pub is_record: bool,
}

/// Finds records in JSON that comes in pieces and may be broken.
#[derive(Debug)]
pub(crate) struct Splitter {
    place: Place,
    /// In a value that is too large to hold.
    skipping: Option<Skip>,
    /// The document that comes next is too large to hold.
    is_large: bool,
    /// The data ended within a value.
    is_cut: bool,
    /// How much of [`SEARCHED`] is left.
    searches: usize,
    /// Documents begun.
    pub documents: u64,
    /// A list that may hold records was begun.
    pub has_list: bool,
    pub unreadable: u64,
    pub first_unreadable: Option<String>,
    /// Lines of a log that hold no JSON.
    pub lines: u64,
    /// Bytes between documents.
    pub garbage: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Place {
    /// Between documents.
    #[default]
    Outside,
    /// In a document that is an object, before a key or its end. One that `may_be_record` is lost where it ends
    /// without a list.
    Object { may_be_record: bool },
    /// In a list, which ends the document where that is the list.
    List { in_object: bool, of_records: bool },
}

/// What an object is, going by its keys.
enum Document {
    /// Behind the bracket that opens a list.
    List { start: usize, of_records: bool },
    /// It ends here, without a list.
    End(usize),
    /// The data ends before it does.
    Cut,
    /// It is broken.
    Odd,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            place: Place::default(),
            skipping: None,
            is_large: false,
            is_cut: false,
            searches: SEARCHED,
            documents: 0,
            has_list: false,
            unreadable: 0,
            first_unreadable: None,
            lines: 0,
            garbage: 0,
        }
    }
}

impl Splitter {
    /// Find records in `data`, which goes on where the last call's used bytes ended. Gives how many bytes are done
    /// with; all, if this is the `end`.
    pub fn run(&mut self, data: &[u8], end: bool, found: &mut Vec<Candidate>) -> usize {
        let mut at = 0;
        if let Some(skip) = &mut self.skipping {
            match skip.end(data) {
                Some(length) => at = length,
                None => return data.len(),
            }
            self.skipping = None;
        }
        while let Some(next) = self.step(data, at, end, found) {
            at = next;
        }
        if end {
            return data.len();
        }
        skip_space(data, at)
    }

    /// Pass over the value that comes next, which is too large to hold.
    pub fn skip(&mut self) {
        match self.place {
            // What it holds may be small.
            Place::Outside => self.is_large = true,
            // A key and its value.
            Place::Object { .. } => self.skipping = Some(Skip::new(2)),
            Place::List { .. } => {
                self.skipping = Some(Skip::new(1));
                self.lose_large();
            }
        }
    }

    fn lose_large(&mut self) {
        let why = format!("has more than {} MB", LARGEST_RECORD >> 20);
        self.lose(why, 0);
    }

    /// Did the data end within a document?
    pub fn incomplete(&self) -> bool {
        self.place != Place::Outside || self.is_cut
    }

    /// One step from `at`; none where more data is needed, or there is nothing left.
    fn step(
        &mut self,
        data: &[u8],
        at: usize,
        end: bool,
        found: &mut Vec<Candidate>,
    ) -> Option<usize> {
        let at = skip_space(data, at);
        let byte = *data.get(at)?;
        match (self.place, byte) {
            (Place::Outside, b'{') => self.document(data, at, end, found),
            (Place::Outside, b'[') => {
                self.documents += 1;
                Some(self.list(at + 1, false, false))
            }
            // A record as a string by itself, if that is there yet.
            (Place::Outside, b'"') if !self.is_large && !end && data.len() - at < 4 => None,
            (Place::Outside, b'"') if !self.is_large && data[at + 1..].starts_with(br#"{\""#) => {
                self.documents += 1;
                self.value(data, at, end, found)
            }
            (Place::Outside, b'0'..=b'9') => self.line(data, at, end),
            (Place::Outside, _) => {
                self.is_large = false;
                self.garbage += 1;
                Some(at + 1)
            }
            (Place::Object { may_be_record }, b'}') => {
                self.place = Place::Outside;
                if may_be_record {
                    self.lose_large();
                }
                Some(at + 1)
            }
            (Place::Object { .. }, b'"') => {
                let (key, value) = member(data, at)?;
                let Some(value) = value else {
                    return Some(at + key.len());
                };
                let first = *data.get(value)?;
                if first == b'['
                    && let Some(list) = list_name(key)
                {
                    return Some(self.list(value + 1, true, list == LISTS[0]));
                }
                value_end(data, value).filter(|&value_end| value_end < data.len() || end)
            }
            // A comma, or what can't be here: go on to the next key or end.
            (Place::Object { .. }, _) => Some(at + 1),
            (Place::List { in_object, .. }, b']') => {
                self.place = if in_object {
                    Place::Object {
                        may_be_record: false,
                    }
                } else {
                    Place::Outside
                };
                Some(at + 1)
            }
            (Place::List { .. }, b',') => Some(at + 1),
            (Place::List { .. }, _) => self.value(data, at, end, found),
        }
    }

    fn list(&mut self, start: usize, in_object: bool, of_records: bool) -> usize {
        self.has_list = true;
        self.place = Place::List {
            in_object,
            of_records,
        };
        start
    }

    /// A document that is an object: it has a list, or is a record by itself.
    fn document(
        &mut self,
        data: &[u8],
        at: usize,
        end: bool,
        found: &mut Vec<Candidate>,
    ) -> Option<usize> {
        let may_be_record = std::mem::take(&mut self.is_large);
        if !may_be_record {
            let document_end = match document(data, at) {
                Document::List { start, of_records } => {
                    self.documents += 1;
                    return Some(self.list(start, true, of_records));
                }
                Document::End(document_end) => Some(document_end),
                Document::Odd => value_end(data, at),
                Document::Cut => None,
            };
            match document_end {
                Some(document_end) if parse(&data[at..document_end]).is_ok() => {
                    self.documents += 1;
                    found.push(Candidate {
                        range: at..document_end,
                        is_record: false,
                    });
                    return Some(document_end);
                }
                // What is broken, and no record, is looked through for a list.
                Some(document_end) if shapes::is_event(&data[at..document_end]) => {
                    self.documents += 1;
                    return self.value(data, at, end, found);
                }
                Some(_) => {}
                None if !end => return None,
                // Documents may be behind one that has no end.
                None => {
                    if let Some(next) = self.next_record(data, at + 1..data.len()) {
                        self.documents += 1;
                        return Some(self.lose("is broken: it has no end".to_owned(), next));
                    }
                }
            }
        }
        self.documents += 1;
        self.place = Place::Object { may_be_record };
        Some(at + 1)
    }

    /// A line of a log that begins with a time, as CloudWatch Logs exports them: a document may follow, behind the
    /// stream's name where `aws logs tail` has written it.
    fn line(&mut self, data: &[u8], at: usize, end: bool) -> Option<usize> {
        let line = &data[at..];
        let length = memchr::memchr(b'\n', line);
        // Only what is about as long as a time and a name can be is waited for.
        let line = &line[..length.unwrap_or(line.len()).min(1 << 10)];
        let mut words = line.splitn(3, |&byte| byte == b' ');
        let time = words.next().unwrap_or_default();
        let is_whole = end || length.is_some() || line.len() == 1 << 10;
        let Some(rest) = words.next() else {
            if !is_whole {
                return None;
            }
            self.garbage += 1;
            return Some(at + 1);
        };
        if time.len() < 19 || !time.contains(&b':') || record::nanoseconds(time).is_none() {
            self.garbage += 1;
            return Some(at + 1);
        }
        let is_large = std::mem::take(&mut self.is_large);
        let start = time.len() + 1;
        match (rest, words.next()) {
            ([b'{', ..], _) => Some(at + start),
            (_, None) if !is_whole => None,
            (stream, Some([b'{', ..])) => Some(at + start + stream.len() + 1),
            (_, Some([])) if !is_whole => None,
            _ if length.is_none() && !end && !is_large => None,
            _ => {
                self.lines += 1;
                Some(length.map_or(data.len(), |length| at + length))
            }
        }
    }

    /// A value at `at`, in a list or by itself.
    fn value(
        &mut self,
        data: &[u8],
        at: usize,
        end: bool,
        found: &mut Vec<Candidate>,
    ) -> Option<usize> {
        let is_record = matches!(
            self.place,
            Place::List {
                of_records: true,
                ..
            }
        );
        let has_an_end = matches!(data[at], b'{' | b'[' | b'"');
        // What has no end is not parsed, for serde_json holds as much as it is deep. A number may go on.
        if let Some(value_end) = value_end(data, at)
            && (has_an_end || value_end < data.len() || end)
        {
            return Some(match parse(&data[at..value_end]) {
                Ok(_) if is_record && data[at] != b'{' => {
                    self.lose("is no object".to_owned(), value_end)
                }
                Ok(_) => {
                    let range = at..value_end;
                    found.push(Candidate { range, is_record });
                    value_end
                }
                // Its brackets may balance with those of others that it swallowed.
                Err(error) => {
                    let next = self.next_record(data, at + 1..value_end);
                    self.lose(format!("is broken: {error}"), next.unwrap_or(value_end))
                }
            });
        }
        // Its end is not there yet, or it is broken in a way that hides it.
        if !end {
            return None;
        }
        match self.next_record(data, at + 1..data.len()) {
            Some(next) => Some(self.lose("is broken: it has no end".to_owned(), next)),
            // The rest of a file that is cut short, which is named by itself.
            None => {
                self.is_cut = true;
                Some(data.len())
            }
        }
    }

    /// The next object after a broken one that looks like a record, or like what holds one.
    fn next_record(&mut self, data: &[u8], within: Range<usize>) -> Option<usize> {
        let start = within.start;
        // Objects within the broken record are tried as well, and may go on to the end of the data.
        memchr::memchr_iter(b'{', &data[within])
            .map(|at| start + at)
            .map_while(|at| {
                let end = value_end(data, at);
                let length = end.unwrap_or(data.len()) - at;
                self.searches = self.searches.checked_sub(length)?;
                Some((at, end))
            })
            .find(|&(at, end)| {
                end.is_some_and(|end| {
                    let value = &data[at..end];
                    shapes::is_event(value) && parse(value).is_ok()
                })
            })
            .map(|(at, _)| at)
    }

    fn lose(&mut self, why: String, next: usize) -> usize {
        self.unreadable += 1;
        self.first_unreadable.get_or_insert(why);
        next
    }
}

fn parse(value: &[u8]) -> serde_json::Result<IgnoredAny> {
    serde_json::from_slice(value)
}

/// Look at the object at `at` as far as a list, or its end.
fn document(data: &[u8], at: usize) -> Document {
    let mut next = at + 1;
    loop {
        next = skip_space(data, next);
        match data.get(next) {
            None => return Document::Cut,
            Some(b'}') => return Document::End(next + 1),
            Some(b',') => next += 1,
            Some(b'"') => {
                let Some((key, value)) = member(data, next) else {
                    return Document::Cut;
                };
                let Some(value) = value else {
                    return Document::Odd;
                };
                if matches!(data[value], b',' | b']' | b'}') {
                    return Document::Odd;
                }
                if data[value] == b'['
                    && let Some(list) = list_name(key)
                {
                    return Document::List {
                        start: value + 1,
                        of_records: list == LISTS[0],
                    };
                }
                match value_end(data, value) {
                    Some(end) => next = end,
                    None => return Document::Cut,
                }
            }
            Some(_) => return Document::Odd,
        }
    }
}

/// The key at `at` with its quotes, and where its value begins; that is none where no colon follows.
fn member(data: &[u8], at: usize) -> Option<(&[u8], Option<usize>)> {
    let key_end = value_end(data, at)?;
    let key = &data[at..key_end];
    let colon = skip_space(data, key_end);
    if *data.get(colon)? != b':' {
        return Some((key, None));
    }
    let value = skip_space(data, colon + 1);
    // It may not be there yet.
    data.get(value)?;
    Some((key, Some(value)))
}

/// Which of [`LISTS`] a key names.
fn list_name(key: &[u8]) -> Option<&'static str> {
    let key: Cow<str> = if key.contains(&b'\\') {
        serde_json::from_slice::<String>(key).ok()?.into()
    } else {
        String::from_utf8_lossy(key.get(1..key.len() - 1)?)
    };
    LISTS.into_iter().find(|list| *list == key)
}

/// Finds the end of what is too large to hold, by its brackets and quotes alone.
#[derive(Debug)]
struct Skip {
    /// Values to pass over: a key counts.
    values: u8,
    within: Within,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Within {
    /// Before a value.
    Nothing,
    /// A number, say.
    Scalar,
    /// So many brackets.
    Brackets { depth: u64 },
    /// A string within so many brackets.
    String { depth: u64, escaped: bool },
}

impl Skip {
    fn new(values: u8) -> Self {
        Self {
            values,
            within: Within::Nothing,
        }
    }

    /// Where it ends, if it does in this piece.
    fn end(&mut self, data: &[u8]) -> Option<usize> {
        use Within::{Brackets, Nothing, Scalar, String};
        let mut at = 0;
        loop {
            let byte = *data.get(at)?;
            let next = match (self.within, byte) {
                (
                    String {
                        depth,
                        escaped: true,
                    },
                    _,
                ) => String {
                    depth,
                    escaped: false,
                },
                (String { depth, .. }, b'"') => Brackets { depth },
                (String { depth, .. }, b'\\') => String {
                    depth,
                    escaped: true,
                },
                (within @ String { .. }, _) => {
                    at += memchr::memchr2(b'"', b'\\', &data[at..]).unwrap_or(data.len() - at);
                    self.within = within;
                    continue;
                }
                // What comes behind the value is left there.
                (Nothing | Scalar, b',' | b']' | b'}') => return Some(at),
                (Nothing, b':' | b' ' | b'\n' | b'\r' | b'\t') => Nothing,
                (Scalar, b':' | b' ' | b'\n' | b'\r' | b'\t') => Brackets { depth: 0 },
                (Nothing, b'"') => String {
                    depth: 0,
                    escaped: false,
                },
                (Brackets { depth }, b'"') => String {
                    depth,
                    escaped: false,
                },
                (Nothing, b'{' | b'[') => Brackets { depth: 1 },
                (Nothing | Scalar, _) => Scalar,
                (Brackets { depth }, b'{' | b'[') => Brackets { depth: depth + 1 },
                (Brackets { depth }, b'}' | b']') => Brackets { depth: depth - 1 },
                (within @ Brackets { .. }, _) => within,
            };
            at += 1;
            self.within = next;
            if next == (Brackets { depth: 0 }) {
                self.values -= 1;
                self.within = Nothing;
                if self.values == 0 {
                    return Some(at);
                }
            }
        }
    }
}

fn skip_space(data: &[u8], at: usize) -> usize {
    // A byte order mark is as good as space.
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | 0xef | 0xbb | 0xbf);
    at + data[at..].iter().take_while(|byte| is_space(byte)).count()
}
