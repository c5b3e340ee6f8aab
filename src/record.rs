//! One event, seen lazily.
//!
//! One SIMD pass notes where the record's brackets, colons and commas are, strings aside. Objects
//! are walked along these notes when a first member of theirs is asked for, and what is not asked
//! for is skipped, however deep it is nested. Nothing is checked that is not needed: a malformed
//! record has fewer members, not an error.

mod names;
mod scan;
mod strings;

use std::borrow::Cow;
use std::ops::Range;

pub(crate) use names::Member;
use names::Object;
use scan::{Block, Scanned, Token};
use strings::printable;
pub(crate) use strings::{text, unescape};

/// What the source needs to know of a record.
#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    /// `eventTime` in nanoseconds since the epoch.
    pub time: Option<i64>,
    /// An Insights event, which the official plugin drops.
    pub insight: bool,
}

/// Reads a record's head.
pub(crate) fn head(record: &[u8]) -> Head {
    let mut index = Index::default();
    let mut record = Record::new(record, &mut index);
    let kind = record.text(Member::EventType);
    Head {
        time: record
            .text(Member::EventTime)
            .and_then(|time| nanoseconds(&time)),
        insight: kind.as_deref() == Some(b"AwsCloudTrailInsight"),
    }
}

/// Calls `each` with the keys of an object, as they stand between their quotes, and the places of their values.
pub(crate) fn members(object: &[u8], index: &mut Index, mut each: impl FnMut(&[u8], Range<usize>)) {
    let record = Record::new(object, index);
    record.scanned.members(0, |name, token| {
        each(name, token.start as usize..token.end as usize);
    });
}

/// Reads a time with or without `T`, fraction and offset; without an offset it is UTC.
pub(crate) fn nanoseconds(time: &[u8]) -> Option<i64> {
    let time = str::from_utf8(time).ok()?;
    let time = match time.parse::<jiff::Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            let civil: jiff::civil::DateTime = time.parse().ok()?;
            jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?
        }
    };
    time.as_nanosecond().try_into().ok()
}

/// What is known of a record so far. It is made to be used again for the next one.
#[derive(Default)]
pub(crate) struct Index {
    blocks: Vec<Block>,
    plain: bool,
    members: Members,
}

/// The values of known members.
struct Members {
    tokens: [Token; Member::ALL.len()],
    /// The objects whose members are in `tokens`, as bits.
    walked: u16,
}

impl Default for Members {
    fn default() -> Self {
        Self {
            tokens: [Token::default(); Member::ALL.len()],
            walked: 0,
        }
    }
}

/// One event's JSON.
pub(crate) struct Record<'a> {
    scanned: Scanned<'a>,
    members: &'a mut Members,
}

impl<'a> Record<'a> {
    /// Looks at a record; never fails.
    pub fn new(bytes: &'a [u8], index: &'a mut Index) -> Self {
        // Tokens have 32 bits, as the length of an event.
        let bytes = if u32::try_from(bytes.len()).is_ok() {
            bytes
        } else {
            &[]
        };
        index.plain = scan::scan(bytes, &mut index.blocks);
        index.members.walked = 0;
        Self::again(bytes, index)
    }

    /// Looks again at the record that `index` was last used for.
    pub fn again(bytes: &'a [u8], index: &'a mut Index) -> Self {
        Self {
            scanned: Scanned {
                bytes,
                blocks: &index.blocks,
                plain: index.plain,
            },
            members: &mut index.members,
        }
    }

    /// A known member's value.
    #[inline]
    pub fn get(&mut self, member: Member) -> Option<Value<'a>> {
        let object = member.object();
        if self.members.walked & object.bit() == 0 {
            self.walk(object);
        }
        let token = self.members.tokens[member as usize];
        (token.end > 0).then_some(Value {
            scanned: self.scanned,
            token,
        })
    }

    /// A known member's text.
    #[inline]
    pub fn text(&mut self, member: Member) -> Option<Cow<'a, [u8]>> {
        self.get(member)?.text()
    }

    /// Notes where the known members of an object are.
    #[inline(never)]
    fn walk(&mut self, object: Object) {
        self.members.walked |= object.bit();
        self.members.tokens[object.members()].fill(Token::default());
        let start = match object.holder() {
            Some(holder) => match self.get(holder) {
                Some(value) => value.token.start as usize,
                None => return,
            },
            None => self.scanned.skip_space(0),
        };
        self.scanned.members(start, |name, value| {
            let find = |name: &[u8]| Member::find(object, name);
            let escaped = || {
                if self.scanned.plain {
                    None
                } else {
                    find(&unescaped(name)?)
                }
            };
            if let Some(member) = find(name).or_else(escaped) {
                let token = &mut self.members.tokens[member];
                // The first of equal names counts.
                if token.end == 0 {
                    *token = value;
                }
            }
        });
    }
}

/// A value in a record, as it stands there.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    scanned: Scanned<'a>,
    token: Token,
}

impl<'a> Value<'a> {
    /// Where it is in the record, quotes included.
    pub fn range(self) -> Range<usize> {
        self.token.start as usize..self.token.end as usize
    }

    fn raw(self) -> &'a [u8] {
        self.scanned.bytes.get(self.range()).unwrap_or_default()
    }

    pub fn is_null(self) -> bool {
        self.raw() == b"null"
    }

    pub fn is_array(self) -> bool {
        self.raw().starts_with(b"[")
    }

    /// A string's text, or else the value's JSON; nothing if it is null.
    #[inline]
    pub fn text(self) -> Option<Cow<'a, [u8]>> {
        match self.raw() {
            [b'"', string @ .., b'"'] if self.scanned.is_plain(self.token) => Some(string.into()),
            [b'"', string @ .., b'"'] => Some(unescape(string)),
            [b'"', ..] | b"null" => None,
            _ => Some(self.json()),
        }
    }

    /// A string's text and the quote after it, if the text is as it stands.
    #[inline]
    pub fn plain_string(self) -> Option<&'a [u8]> {
        match self.raw() {
            [b'"', string @ ..] if string.ends_with(b"\"") && self.scanned.is_plain(self.token) => {
                Some(string)
            }
            _ => None,
        }
    }

    /// Its JSON, as it stands.
    pub fn json(self) -> Cow<'a, [u8]> {
        let json = self.raw().into();
        if self.scanned.is_plain(self.token) {
            json
        } else {
            printable(json)
        }
    }

    /// A whole number, if it is one that is not negative, whatever its spelling.
    pub fn number(self) -> Option<u64> {
        let number = str::from_utf8(self.raw()).ok()?;
        number.parse().ok().or_else(|| {
            let number: f64 = number.parse().ok()?;
            (number >= 0.0 && number < u64::MAX as f64).then_some(number as u64)
        })
    }

    /// The value of an object's first member with this name.
    pub fn member(self, name: &str) -> Option<Self> {
        let mut found = None;
        self.scanned
            .members(self.token.start as usize, |other, value| {
                if other == name.as_bytes()
                    || unescaped(other).is_some_and(|other| *other == *name.as_bytes())
                {
                    found.get_or_insert(value);
                }
            });
        Some(Self {
            token: found?,
            ..self
        })
    }

    /// An array's elements; none if it is no array.
    pub fn elements(self) -> impl Iterator<Item = Self> {
        self.scanned
            .elements(self.token.start as usize)
            .map(move |token| Self { token, ..self })
    }
}

/// A name as it is meant, if it is written otherwise.
fn unescaped(name: &[u8]) -> Option<Cow<'_, [u8]>> {
    name.contains(&b'\\').then(|| unescape(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(record: &str, member: Member) -> Option<String> {
        let mut index = Index::default();
        let text = Record::new(record.as_bytes(), &mut index).text(member)?;
        Some(String::from_utf8(text.into_owned()).expect("UTF-8"))
    }

    #[test]
    fn times_are_read_in_all_their_spellings() {
        let second = 1_718_810_565_000_000_000;
        for (time, nanoseconds) in [
            ("2024-06-19T15:22:45Z", Some(second)),
            ("2024-06-19T15:22:45", Some(second)),
            ("2024-06-19 15:22:45", Some(second)),
            ("2024-06-19 15:22:45Z", Some(second)),
            ("2024-06-19T17:22:45+02:00", Some(second)),
            ("2024-06-19T15:22:45.5Z", Some(second + 500_000_000)),
            ("2024-06-19 15:22:45.000000001", Some(second + 1)),
            (r"2024-06-19T15:22:45\u005a", Some(second)),
            ("1969-12-31T23:59:59Z", Some(-1_000_000_000)),
            ("9999-12-31T23:59:59Z", None),
            ("2024-06-31T15:22:45Z", None),
            ("redacted", None),
            ("", None),
        ] {
            let record = format!(r#"{{"eventTime":"{time}"}}"#);
            assert_eq!(head(record.as_bytes()).time, nanoseconds, "{time}");
        }
    }

    #[test]
    fn a_head_is_made_of_the_first_members_of_the_record_itself() {
        let insight = |record: &str| head(record.as_bytes()).insight;
        assert!(insight(r#"{"eventType":"AwsCloudTrailInsight"}"#));
        assert!(insight(r#"{"event\u0054ype":"AwsCloudTrail\u0049nsight"}"#));
        assert!(insight(
            r#"{"eventType":"AwsCloudTrailInsight","eventType":"AwsApiCall"}"#
        ));
        assert!(!insight(
            r#"{"eventType":"AwsApiCall","eventType":"AwsCloudTrailInsight"}"#
        ));
        assert!(!insight(r#"{"a":{"eventType":"AwsCloudTrailInsight"}}"#));
        assert!(!insight(
            r#"{"a":"\"eventType\":\"AwsCloudTrailInsight\""}"#
        ));
        assert_eq!(head(b"").time, None);
    }

    #[test]
    fn odd_objects_have_the_members_that_can_be_read() {
        use Member::{EventName, EventSource, IdentityUserName};
        for (record, member, value) in [
            (r#" { "eventName" : "a" } "#, EventName, Some("a")),
            (
                "{\n\t\"eventSource\":\r\n\"s3\",\"eventName\"\n:\"a\"\n}",
                EventName,
                Some("a"),
            ),
            (r#"{"eventName":"a","eventName":"b"}"#, EventName, Some("a")),
            (r#"{"eventName":null,"eventName":"b"}"#, EventName, None),
            (
                r#"{"\u0065ventName":"a","eventName":"b"}"#,
                EventName,
                Some("a"),
            ),
            (r#"{"eventName":""}"#, EventName, Some("")),
            (r#"{"eventName":"{\"[,:"}"#, EventName, Some("{\"[,:")),
            (
                r#"{"eventName":[1, {"a":"]"}]}"#,
                EventName,
                Some(r#"[1, {"a":"]"}]"#),
            ),
            (r#"{"eventName":"a","#, EventName, Some("a")),
            (r#"{"eventName":"a""#, EventName, None),
            (r#"{"eventName":[1"#, EventName, None),
            (r#"{"eventSource":,"eventName":"a"}"#, EventName, None),
            (r#"{"eventSource""s3","eventName":"a"}"#, EventName, None),
            (r#"["eventName","a"]"#, EventName, None),
            (r#"{"x":{"eventName":"a"}}"#, EventName, None),
            (
                r#"{"eventSource":"\\","eventName":"a\\"}"#,
                EventName,
                Some(r"a\"),
            ),
            (r#"{"userIdentity":null}"#, IdentityUserName, None),
            (r#"{"userIdentity":"{userName:1}"}"#, IdentityUserName, None),
            (
                r#"{"userIdentity":[{"userName":"a"}]}"#,
                IdentityUserName,
                None,
            ),
            (
                r#"{"userIdentity":{"userName":"a"},"userIdentity":{"userName":"b"}}"#,
                IdentityUserName,
                Some("a"),
            ),
            (
                r#"{"userIdentity":{"userName":7}}"#,
                IdentityUserName,
                Some("7"),
            ),
            (
                "{\"eventSource\":\"\u{e9}\",\"eventName\":\"Zo\u{eb}\"}",
                EventSource,
                Some("\u{e9}"),
            ),
        ] {
            assert_eq!(text(record, member).as_deref(), value, "{record}");
        }
    }

    #[test]
    fn depth_and_size_do_not_matter() {
        let (open, close) = ("[{\"a\":".repeat(100_000), "}]".repeat(100_000));
        let big = "x".repeat(5_000_000);
        let record = format!(
            r#"{{"requestParameters":{open}1{close},"userAgent":"{big}","eventName":"a"}}"#
        );
        assert_eq!(text(&record, Member::EventName).as_deref(), Some("a"));
        assert_eq!(
            text(&record, Member::UserAgent).map(|text| text.len()),
            Some(big.len())
        );
        assert_eq!(
            text(&record, Member::RequestParameters),
            Some(format!("{open}1{close}"))
        );
        assert_eq!(text(&open, Member::EventName), None);
    }

    #[test]
    fn numbers_are_read_in_all_their_spellings() {
        for (json, number) in [
            ("0", Some(0)),
            ("1234567890123456", Some(1_234_567_890_123_456)),
            ("18446744073709551615", Some(u64::MAX)),
            ("33.0", Some(33)),
            ("1.5e3", Some(1500)),
            ("18446744073709551616", None),
            ("-1", None),
            ("\"33\"", None),
            ("null", None),
        ] {
            let record = format!(r#"{{"additionalEventData":{{"bytesTransferredIn":{json}}}}}"#);
            let mut index = Index::default();
            let value = Record::new(record.as_bytes(), &mut index).get(Member::BytesTransferredIn);
            assert_eq!(value.and_then(Value::number), number, "{json}");
        }
    }

    /// Any JSON, with spaces, escapes, and lengths that move it across the scan's blocks.
    fn any_json(random: &mut fastrand::Rng, depth: u8) -> String {
        let space = " \n\t\r ";
        let space = |random: &mut fastrand::Rng| {
            " ".repeat(random.usize(..3)) + &space[..random.usize(..space.len())]
        };
        let items = |random: &mut fastrand::Rng, item: &dyn Fn(&mut fastrand::Rng) -> String| {
            (0..random.u8(..5))
                .map(|_| space(random) + &item(random) + &space(random))
                .collect::<Vec<_>>()
                .join(",")
        };
        match random.u8(..if depth > 0 { 8 } else { 5 }) {
            0 => ["null", "true", "false"][random.usize(..3)].to_owned(),
            1 => random.i64(..).to_string(),
            2..5 => any_string(random),
            5 => format!("[{}]", items(random, &|random| any_json(random, depth - 1))),
            _ => {
                let member = |random: &mut fastrand::Rng| {
                    format!("{}:{}", any_string(random), any_json(random, depth - 1))
                };
                format!("{{{}}}", items(random, &member))
            }
        }
    }

    fn any_string(random: &mut fastrand::Rng) -> String {
        let parts = [
            "a",
            "b ",
            r"\\",
            r#"\""#,
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\u{e9}",
            r"\u00e9",
            r"\ud83d\ude00",
            r"\n",
            "zzzzzzzzzzzzz",
        ];
        let text: String = (0..random.usize(..12))
            .map(|_| parts[random.usize(..parts.len())])
            .collect();
        format!("\"{text}\"")
    }

    #[test]
    fn any_record_reads_as_serde_reads_it() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut index = Index::default();
        let mut found = 0;
        for round in 0..3000 {
            let mut members: Vec<String> = (0..random.u8(..6))
                .map(|at| format!("\"unknown{at}\":{}", any_json(&mut random, 3)))
                .collect();
            for name in [
                "eventName",
                "eventID",
                "responseElements",
                "sourceIPAddress",
            ] {
                members.push(format!(
                    "\"{name}\" :{}{}",
                    " ".repeat(random.usize(..70)),
                    any_json(&mut random, 3)
                ));
            }
            let identity = format!(
                r#""userIdentity":{{{}"userName":{}}}"#,
                r#""x":[],"#.repeat(random.usize(..9)),
                any_json(&mut random, 2)
            );
            members.push(identity);
            random.shuffle(&mut members);
            let json = format!("{{{}}}", members.join(","));
            let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            let mut record = Record::new(json.as_bytes(), &mut index);
            for member in [
                Member::EventName,
                Member::EventId,
                Member::ResponseElements,
                Member::SourceIpAddress,
                Member::IdentityUserName,
                Member::ErrorCode,
            ] {
                let expected = value.pointer(&format!("/{}", member.path().replace('.', "/")));
                let ours = record.get(member);
                let parsed = ours.map(|ours| {
                    serde_json::from_slice::<serde_json::Value>(ours.raw()).expect("JSON")
                });
                assert_eq!(
                    parsed.as_ref(),
                    expected,
                    "{} in {json}, round {round}",
                    member.path()
                );
                if let Some(text) = expected.and_then(|expected| expected.as_str()) {
                    assert_eq!(
                        ours.and_then(Value::text).as_deref(),
                        Some(text.as_bytes()),
                        "{json}"
                    );
                    found += 1;
                }
            }
            // What is cut off has fewer members, and no others.
            let cut = random.usize(..json.len());
            let mut other = Index::default();
            let mut cut = Record::new(&json.as_bytes()[..cut], &mut other);
            for member in [
                Member::EventName,
                Member::ResponseElements,
                Member::IdentityUserName,
            ] {
                if let Some(value) = cut.get(member) {
                    assert_eq!(
                        Some(value.raw()),
                        record.get(member).map(Value::raw),
                        "{json}"
                    );
                }
            }
        }
        assert!(found > 3000, "{found} strings");
    }

    #[test]
    fn any_bytes_are_taken() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut index = Index::default();
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.usize(..200))
                .map(|_| random.choice(*b"{}[]:,\"\\ a\0\xff\xed\xa0").unwrap_or(0))
                .collect();
            let bytes = [b"{\"eventName\":".as_slice(), &bytes, b"}"].concat();
            let mut record = Record::new(&bytes, &mut index);
            for member in [Member::EventName, Member::IdentityUserName] {
                if let Some(text) = record.text(member) {
                    assert!(
                        str::from_utf8(&text).is_ok_and(|text| !text.contains('\0')),
                        "{bytes:?}"
                    );
                }
            }
        }
    }
}
