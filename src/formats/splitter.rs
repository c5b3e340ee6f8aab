//! Finds what may be records in JSON of any form, whole or in pieces, sound or broken; [`super::shapes`] tells what
//! each of them is.
//!
//! Sound data is looked at a few times, whatever it holds. To find records behind broken ones, data is looked at again and
//! again, which has a limit: see [`Splitter::is_spent`].

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;

use super::shapes;
use crate::json::value_end;
use crate::record;

/// A record of more bytes than this, in a file that is decoded piece by piece, is named and left out.
pub(crate) const LARGEST_RECORD: usize = 64 << 20;
/// At most this many values are found before they are looked at, since each takes memory, however small it is.
pub(crate) const MOST_FOUND: usize = 1 << 18;
/// How many bytes may be looked at for each byte of a file, and how many more for any file, so that small ones are searched
/// well enough.
const LOOKS: u64 = 32;
const LOOKS_BESIDES: u64 = 16 << 20;
/// A record of more bytes than this is not found behind a broken one.
const SOUGHT: usize = 1 << 20;
/// How many lists and documents within each other are looked into.
const NESTED: usize = 8;
/// The time at the beginning of a log's line is shorter than this, and so is the name of the log's stream behind it.
const TIME: usize = 64;
const STREAM: usize = 1 << 10;

/// The lists that hold events, by their key in a document: `aws cloudtrail lookup-events` writes `Events`,
/// `aws logs filter-log-events` `events`, a subscription of CloudWatch Logs `logEvents`, and a query of Logs Insights
/// `results`.
const LISTS: [&str; 5] = ["Records", "Events", "events", "logEvents", "results"];

/// A JSON value found.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub range: Range<usize>,
    /// In a list of Records, where every object is a record or an event of another service.
    pub is_record: bool,
}

/// Finds records in JSON that comes in pieces and may be broken.
#[derive(Debug)]
pub(crate) struct Splitter {
    place: Place,
    /// The places around it, from the outermost one.
    enclosing: Vec<Place>,
    /// In a value that is too large to hold.
    skipping: Option<Skip>,
    /// The document that comes next is too large to hold.
    is_large: bool,
    /// The data ended within a value.
    is_cut: bool,
    /// What is too large to hold: see [`LARGEST_RECORD`].
    largest: usize,
    /// Bytes that were used.
    done: u64,
    /// Bytes that came, as far as is known.
    given: u64,
    /// Bytes looked at, each counted as often as it was.
    pub scanned: u64,
    /// The limit for looking at data again was reached, so records may be missing.
    pub gave_up: bool,
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
    /// In a document that is an object, before a key or its end, and what is lost where it ends without a list.
    Object { lost: Lost },
    /// In a list.
    List { of_records: bool },
}

/// What an object is that has no list.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lost {
    Nothing,
    /// A record that is too large.
    Large,
    /// A record that is broken.
    Broken,
}

/// What an object is, going by its keys.
enum Document {
    /// Behind the bracket that opens a list.
    List { start: usize, of_records: bool },
    /// It ends here, without a list.
    End(usize),
    /// The data ends before it does.
    Cut,
    /// It is broken here.
    Odd(usize),
}

impl Splitter {
    /// `largest` is how much of a value can be held.
    pub fn new(largest: usize) -> Self {
        Self {
            place: Place::default(),
            enclosing: Vec::new(),
            skipping: None,
            is_large: false,
            is_cut: false,
            largest,
            done: 0,
            given: 0,
            scanned: 0,
            gave_up: false,
            documents: 0,
            has_list: false,
            unreadable: 0,
            first_unreadable: None,
            lines: 0,
            garbage: 0,
        }
    }

    /// Find records in `data`, which goes on where the last call's used bytes ended. Gives how many bytes are done
    /// with: at the `end` all, unless [`MOST_FOUND`] values were found before.
    pub fn run(&mut self, data: &[u8], end: bool, found: &mut Vec<Candidate>) -> usize {
        self.given = self.given.max(self.done + data.len() as u64);
        let used = self.find(data, end, found);
        self.done += used as u64;
        used
    }

    fn find(&mut self, data: &[u8], end: bool, found: &mut Vec<Candidate>) -> usize {
        let mut at = 0;
        if let Some(skip) = &mut self.skipping {
            let length = skip.end(data);
            self.scanned += length.unwrap_or(data.len()) as u64;
            match length {
                Some(length) => at = length,
                None => return data.len(),
            }
            self.skipping = None;
        }
        while found.len() < MOST_FOUND {
            match self.step(data, at, end, found) {
                Some(next) => at = next,
                None if end => return data.len(),
                None => return skip_space(data, at),
            }
        }
        at
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
        let why = format!("has more than {} MB", self.largest >> 20);
        self.lose(why, 0);
    }

    /// Did the data end within a document?
    pub fn incomplete(&self) -> bool {
        self.place != Place::Outside || self.is_cut
    }

    /// Is the limit for looking at data again reached? From then on, broken data is passed over and not searched.
    fn is_spent(&mut self) -> bool {
        let is_spent = self.scanned > self.given * LOOKS + LOOKS_BESIDES;
        self.gave_up |= is_spent;
        is_spent
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
                Some(self.open_list(at + 1, false))
            }
            // This may be a record as a string by itself, which its next bytes tell once they are there.
            (Place::Outside, b'"') if !self.is_large && !end && data.len() - at < 4 => None,
            (Place::Outside, b'"')
                if !self.is_large && data[at + 1..].starts_with(br#"{\""#) && !self.is_spent() =>
            {
                self.documents += 1;
                self.value(data, at, end, found)
            }
            (Place::Outside, b'0'..=b'9') => self.line(data, at, end),
            // Some programs write commas between documents, too.
            (Place::Outside, b',') if self.documents > 0 => Some(at + 1),
            (Place::Outside, _) => {
                self.is_large = false;
                self.garbage += 1;
                Some(at + 1)
            }
            (Place::Object { .. }, b'"') => self.member(data, at, end),
            (Place::Object { lost }, b'}') => {
                self.close();
                match lost {
                    Lost::Nothing => {}
                    Lost::Large => self.lose_large(),
                    Lost::Broken => _ = self.lose("is broken".to_owned(), 0),
                }
                Some(at + 1)
            }
            (Place::List { .. }, b']') => {
                self.close();
                Some(at + 1)
            }
            // In an object a comma, or what can't be here: go on to the next key or end.
            (Place::Object { .. }, _) | (Place::List { .. }, b',') => Some(at + 1),
            (Place::List { of_records: false }, b'{' | b'[') => self.element(data, at, end, found),
            (Place::List { .. }, _) => self.value(data, at, end, found),
        }
    }

    fn open(&mut self, place: Place) {
        self.enclosing
            .push(std::mem::replace(&mut self.place, place));
    }

    fn close(&mut self) {
        self.place = self.enclosing.pop().unwrap_or_default();
        // An object with a list in it is not a record.
        if let Place::Object { lost } = &mut self.place {
            *lost = Lost::Nothing;
        }
    }

    fn open_list(&mut self, start: usize, of_records: bool) -> usize {
        self.has_list = true;
        self.open(Place::List { of_records });
        start
    }

    /// A document's list, which begins at `start`.
    fn open_document(&mut self, start: usize, of_records: bool) -> usize {
        self.documents += 1;
        self.open(Place::Object {
            lost: Lost::Nothing,
        });
        self.open_list(start, of_records)
    }

    /// A member of a document that is an object: a list that may hold records, or another value, which is passed over.
    fn member(&mut self, data: &[u8], at: usize, end: bool) -> Option<usize> {
        let Some((key, value)) = member(data, at) else {
            self.scanned += (data.len() - at) as u64;
            return None;
        };
        self.scanned += key.len() as u64;
        let Some(value) = value else {
            return Some(at + key.len());
        };
        if data[value] == b'['
            && let Some(list) = list_name(key)
        {
            return Some(self.open_list(value + 1, list == LISTS[0]));
        }
        self.value_end(data, value)
            .filter(|&value_end| value_end < data.len() || end)
    }

    /// A list or object in a list. It may hold values itself, if a program has put documents or lists together; otherwise it
    /// is a value.
    fn element(
        &mut self,
        data: &[u8],
        at: usize,
        end: bool,
        found: &mut Vec<Candidate>,
    ) -> Option<usize> {
        if self.enclosing.len() < NESTED {
            if data[at] == b'[' {
                match begins_row(data, at) {
                    Some(false) => return Some(self.open_list(at + 1, false)),
                    None if !end => return None,
                    _ => {}
                }
            } else if let Document::List { start, of_records } = self.look(data, at) {
                return Some(self.open_document(start, of_records));
            }
        }
        self.value(data, at, end, found)
    }

    /// A document that is an object: it has a list, or is a record by itself.
    fn document(
        &mut self,
        data: &[u8],
        at: usize,
        end: bool,
        found: &mut Vec<Candidate>,
    ) -> Option<usize> {
        if std::mem::take(&mut self.is_large) {
            return Some(self.open_object(at, Lost::Large));
        }
        if self.is_spent() {
            return Some(self.open_object(at, Lost::Nothing));
        }
        let document_end = match self.look(data, at) {
            Document::List { start, of_records } => {
                return Some(self.open_document(start, of_records));
            }
            Document::End(document_end) => Some(document_end),
            Document::Odd(_) => self.value_end(data, at),
            Document::Cut => None,
        };
        match document_end {
            Some(document_end) if self.parse(&data[at..document_end]).is_ok() => {
                self.documents += 1;
                found.push(Candidate {
                    range: at..document_end,
                    is_record: false,
                });
                return Some(document_end);
            }
            // A broken event is lost. Any other broken object is searched for a list.
            Some(document_end) if self.is_event(&data[at..document_end]) => {
                self.documents += 1;
                return self.value(data, at, end, found);
            }
            Some(document_end) => {
                self.scanned += ((document_end - at) * shapes::MARKS.len()) as u64;
                let lost = match shapes::has_marks(&data[at..document_end]) {
                    true => Lost::Broken,
                    false => Lost::Nothing,
                };
                return Some(self.open_object(at, lost));
            }
            None if !end => return None,
            // Documents may be behind one that has no end.
            None => {
                if let Some(next) = self.next_record(data, at + 1..data.len()) {
                    self.documents += 1;
                    return Some(self.lose("is broken: it has no end".to_owned(), next));
                }
            }
        }
        Some(self.open_object(at, Lost::Nothing))
    }

    /// Begin to go through the members of the object at `at`, one by one.
    fn open_object(&mut self, at: usize, lost: Lost) -> usize {
        self.documents += 1;
        self.open(Place::Object { lost });
        at + 1
    }

    /// A line of a log that begins with a time, as CloudWatch Logs exports them: a document may follow, behind the
    /// stream's name where `aws logs tail` has written it.
    fn line(&mut self, data: &[u8], at: usize, end: bool) -> Option<usize> {
        // The end of what is too large to hold is not waited for.
        let end = std::mem::take(&mut self.is_large) || end;
        let rest = &data[at..];
        let head = &rest[..rest.len().min(TIME)];
        let length = head.iter().position(|byte| b" \n\r\t{[\"".contains(byte));
        if length.is_none() && head.len() < TIME && !end {
            return None;
        }
        let (time, behind) = rest.split_at(length.unwrap_or(head.len()));
        self.scanned += time.len() as u64;
        if time.len() < 19
            || !time.contains(&b':')
            || !behind.starts_with(b" ")
            || record::nanoseconds(time).is_none()
        {
            self.garbage += time.len() as u64;
            return Some(at + time.len());
        }
        let start = at + time.len() + 1;
        let behind = &behind[1..];
        let stream = &behind[..behind.len().min(STREAM)];
        let length = stream.iter().position(|byte| b" \n".contains(byte));
        let next = length.map(|length| (stream[length], behind.get(length + 1)));
        match (behind, next) {
            ([b'{', ..], _) => return Some(start),
            ([], _) | (_, Some((b' ', None))) if !end => return None,
            (_, None) if stream.len() < STREAM && !end => return None,
            (_, Some((b' ', Some(b'{')))) => return Some(start + length.unwrap_or(0) + 1),
            _ => {}
        }
        let length = memchr::memchr(b'\n', behind);
        self.scanned += length.unwrap_or(behind.len()) as u64;
        if length.is_none() && !end {
            return None;
        }
        self.lines += 1;
        Some(length.map_or(data.len(), |length| start + length))
    }

    /// A value at `at`, in a list or by itself.
    fn value(
        &mut self,
        data: &[u8],
        at: usize,
        end: bool,
        found: &mut Vec<Candidate>,
    ) -> Option<usize> {
        let is_record = self.place == Place::List { of_records: true };
        // A bracket that closes nothing is all that there is of it.
        let has_an_end = matches!(data[at], b'{' | b'[' | b'"' | b'}');
        // A value without an end is not parsed, since serde_json takes memory for each level. A number may go on.
        if let Some(value_end) = self.value_end(data, at)
            && (has_an_end || value_end < data.len() || end)
        {
            return Some(match self.parse(&data[at..value_end]) {
                Ok(_) if is_record && data[at] != b'{' => {
                    self.lose("is not an object".to_owned(), value_end)
                }
                Ok(_) => {
                    let range = at..value_end;
                    found.push(Candidate { range, is_record });
                    value_end
                }
                // Its brackets may balance only because it has swallowed other records.
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
            // This is the rest of a file that is cut short, which is reported as such.
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
        for at in memchr::memchr_iter(b'{', &data[within]).map(|at| start + at) {
            if self.is_spent() {
                return None;
            }
            let near = &data[..data.len().min(at + SOUGHT)];
            if let Some(end) = self.value_end(near, at)
                && self.is_event(&data[at..end])
                && self.parse(&data[at..end]).is_ok()
            {
                return Some(at);
            }
        }
        None
    }

    fn lose(&mut self, why: String, next: usize) -> usize {
        self.unreadable += 1;
        self.first_unreadable.get_or_insert(why);
        next
    }

    fn value_end(&mut self, data: &[u8], at: usize) -> Option<usize> {
        let end = value_end(data, at);
        self.scanned += (end.unwrap_or(data.len()) - at) as u64;
        end
    }

    fn parse(&mut self, value: &[u8]) -> serde_json::Result<IgnoredAny> {
        self.scanned += value.len() as u64;
        serde_json::from_slice(value)
    }

    fn is_event(&mut self, value: &[u8]) -> bool {
        self.scanned += value.len() as u64;
        shapes::is_event(value)
    }

    fn look(&mut self, data: &[u8], at: usize) -> Document {
        let document = document(data, at);
        let seen = match document {
            Document::List { start: to, .. } | Document::End(to) | Document::Odd(to) => to,
            Document::Cut => data.len(),
        };
        self.scanned += (seen - at) as u64;
        document
    }
}

/// Look at the object at `at` up to a list, or to its end. Once its keys show that it is a record, lists in it belong to the
/// record, whatever they are called.
fn document(data: &[u8], at: usize) -> Document {
    let mut marks = 0;
    let mut next = at + 1;
    loop {
        next = skip_space(data, next);
        match data.get(next) {
            None => return Document::Cut,
            Some(b'}') => return Document::End(next + 1),
            Some(b',') => {
                next += 1;
                continue;
            }
            Some(b'"') => {}
            Some(_) => return Document::Odd(next),
        }
        let Some((key, value)) = member(data, next) else {
            return Document::Cut;
        };
        let Some(value) = value.filter(|&value| !matches!(data[value], b',' | b']' | b'}')) else {
            return Document::Odd(next);
        };
        marks += usize::from(shapes::is_mark(key));
        if data[value] == b'['
            && marks < shapes::ENOUGH_MARKS
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
}

/// Does the list at `at` begin as a row of Logs Insights does? None if too little of it is there yet.
fn begins_row(data: &[u8], at: usize) -> Option<bool> {
    let cell = skip_space(data, at + 1);
    if *data.get(cell)? != b'{' {
        return Some(false);
    }
    let key = skip_space(data, cell + 1);
    if *data.get(key)? != b'"' {
        return Some(false);
    }
    let key = data.get(key..key + br#""field""#.len())?;
    Some(matches!(key, br#""field""# | br#""value""#))
}

/// The key at `at` with its quotes, and where its value begins, unless no colon follows.
fn member(data: &[u8], at: usize) -> Option<(&[u8], Option<usize>)> {
    let key_end = value_end(data, at)?;
    let key = &data[at..key_end];
    let colon = skip_space(data, key_end);
    if *data.get(colon)? != b':' {
        return Some((key, None));
    }
    let value = skip_space(data, colon + 1);
    // The value may not be there yet.
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
    /// How many values to pass over; a key counts as one.
    values: u8,
    within: Within,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Within {
    /// Before a value.
    Nothing,
    /// In a number, `true`, `false` or `null`.
    Scalar,
    /// Within this many brackets.
    Brackets { depth: u64 },
    /// In a string within this many brackets.
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
    // A byte order mark counts as space.
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | 0xef | 0xbb | 0xbf);
    at + data[at..].iter().take_while(|byte| is_space(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a splitter that can hold `largest` bytes over data that comes by `piece`. Gives it with the values it has found.
    fn run(data: &[u8], piece: usize, largest: usize) -> (Splitter, Vec<String>) {
        let mut splitter = Splitter::new(largest);
        let (mut values, mut found) = (Vec::new(), Vec::new());
        let (mut start, mut end) = (0, 0);
        loop {
            end = data.len().min(end.max(start + piece));
            let is_end = end == data.len();
            let held = &data[start..end];
            let used = splitter.run(held, is_end, &mut found);
            for Candidate { range, .. } in found.drain(..) {
                values.push(String::from_utf8_lossy(&held[range]).into_owned());
            }
            start += used;
            if is_end && start == end {
                return (splitter, values);
            }
            if used == 0 {
                match held.len() < largest {
                    true => end = start + (held.len() * 2).min(largest),
                    false => splitter.skip(),
                }
            }
        }
    }

    const RECORD: &str = r#"{"eventTime":"2024-03-05T12:00:00Z","eventID":"1"}"#;

    /// These texts were once looked at from each of their bytes to the end.
    #[test]
    fn work_is_in_proportion_to_the_data() {
        let broken = format!(r#"{{"eventTime":"2024-03-05T12:00:00Z" {RECORD}"#);
        let texts: Vec<(&str, String)> = [
            ("base64", "QUJD1234efg/".to_owned()),
            ("digits", "1".to_owned()),
            ("digits and brackets", "1{1[".to_owned()),
            ("unclosed behind closed", "{{}".to_owned()),
            ("unclosed", "{".to_owned()),
            ("unclosed members", r#"{"a":"#.to_owned()),
            ("times", "2024-03-05T12:00:00Z {} ".to_owned()),
            ("times and words", "2024-03-05T12:00:00Z a b".to_owned()),
            ("times without words", "2024-03-05T12:00:00Z ".to_owned()),
            ("strings", r#""{\""#.to_owned()),
            ("strings without an end", r#"\"{\""#.to_owned()),
            (
                "events without an end",
                r#"{"eventTime":"2024-03-05T12:00:00Z","a":"#.to_owned(),
            ),
            ("broken around records", broken.clone()),
            ("lists", "[".to_owned()),
            ("documents", r#"[{"Records":"#.to_owned()),
        ]
        .into_iter()
        .flat_map(|(name, text)| {
            let times = (96 << 10) / text.len();
            ["", "[", r#"{"Records":["#].map(|head| (name, head.to_owned() + &text.repeat(times)))
        })
        .collect();
        for (name, text) in texts {
            for (piece, largest) in [(text.len(), text.len()), (4 << 10, 64 << 10)] {
                let (splitter, _) = run(text.as_bytes(), piece, largest);
                let bound = text.len() as u64 * (LOOKS + 8) + LOOKS_BESIDES;
                assert!(
                    splitter.scanned <= bound,
                    "{name}: {} bytes for {} by {piece}",
                    splitter.scanned,
                    text.len()
                );
            }
        }
    }

    /// Damage of all kinds stays far below the limit for looking at data again.
    #[test]
    fn records_behind_many_broken_ones_are_found() {
        let records: Vec<String> = (0..1000)
            .flat_map(|number| {
                let broken = match number % 3 {
                    0 => r#"{"eventTime":"2024-03-05T12:00:00Z","a":{"b":1}"#,
                    1 => r#"{"eventTime":"2024-03-05T12:00:00Z","a":}"#,
                    _ => r#"{"eventTime" 7}"#,
                };
                [broken.to_owned(), RECORD.to_owned()]
            })
            .collect();
        let (splitter, values) = run(
            format!("{{\"Records\":[{}]}}", records.join(",")).as_bytes(),
            1 << 20,
            LARGEST_RECORD,
        );
        let sound = values.iter().filter(|value| *value == RECORD);
        assert_eq!((sound.count(), splitter.gave_up), (1000, false));
    }

    #[test]
    fn many_small_values_are_found_in_turns() {
        let text = format!("[{}1]", "1,".repeat(MOST_FOUND * 2));
        let (_, values) = run(text.as_bytes(), text.len(), text.len());
        assert_eq!(values.len(), MOST_FOUND * 2 + 1);
    }

    /// However little can be held, all is passed over at last.
    #[test]
    fn brackets_that_close_nothing_are_passed_over() {
        for text in ["[}1,2]", "[1}},2]", r#"{"Records":[}]}"#, "[]}{}"] {
            for largest in 1..4 {
                let (splitter, _) = run(text.as_bytes(), 1, largest);
                assert!(!splitter.incomplete(), "{text} by {largest}");
            }
        }
    }

    #[test]
    fn lists_and_documents_may_be_in_lists() {
        for (text, wanted) in [
            ("[[1,2],[],[3]]", &["1", "2", "3"][..]),
            (
                r#"[{"Records":[{}]},{"Records":[]},{"a":1}]"#,
                &["{}", r#"{"a":1}"#],
            ),
            (
                r#"[{"x":[7],"Events":[1],"y":2},[{"events":[2]}]] 3 {"results":[[4]]}"#,
                &["1", "2", "4"],
            ),
            // Rows of Logs Insights.
            (
                r#"[[{"field":"a","value":"b"}]]"#,
                &[r#"[{"field":"a","value":"b"}]"#],
            ),
            (r#"[ [ { "value" :1}]]"#, &[r#"[ { "value" :1}]"#]),
            // This is a record by its first keys, whatever comes behind them.
            (
                r#"[{"eventTime":"","eventID":"","events":[1]}]"#,
                &[r#"{"eventTime":"","eventID":"","events":[1]}"#],
            ),
        ] {
            for piece in [text.len(), 1] {
                let (splitter, values) = run(text.as_bytes(), piece, text.len());
                assert_eq!(values, wanted, "{text} by {piece}");
                assert!(!splitter.incomplete());
            }
        }
        // What is nested deeper than is looked into is a value.
        let deep = format!("{}1{}", "[".repeat(NESTED + 1), "]".repeat(NESTED + 1));
        assert_eq!(run(deep.as_bytes(), 99, 99).1, ["[1]"]);
    }
}
