//! One event, seen lazily.
//!
//! One SIMD pass notes where the record's brackets, colons and commas are, except those in strings.
//! An object is walked along these notes when one of its members is first asked for. What
//! nobody asks for is skipped, however deeply it is nested. Only what is needed is checked: a malformed
//! record has fewer members, but it is not an error.

mod names;
mod scan;
mod strings;

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};

pub(crate) use names::Member;
use names::Object;
use scan::{Block, Scanned, Token};
use strings::printable;
pub(crate) use strings::{text, unescape};

/// What decoding needs to know about a record.
#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    /// `eventTime`, or else the start of an aggregated event's window, in nanoseconds since the epoch.
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
            .or_else(|| record.text(Member::WindowStart))
            .and_then(|time| nanoseconds(&time)),
        insight: kind.as_deref() == Some(b"AwsCloudTrailInsight"),
    }
}

/// Calls `each` with the keys of an object, as they stand between their quotes, and the places of their values.
pub(crate) fn members(object: &[u8], index: &mut Index, mut each: impl FnMut(&[u8], Range<usize>)) {
    let record = Record::new(object, index);
    record.scanned.members(0, |name, token| {
        each(name, token.start as usize..token.end as usize);
        ControlFlow::Continue(())
    });
}

/// Reads a time with or without `T`, fraction and offset, as nanoseconds since the epoch; without an offset it is UTC.
pub fn nanoseconds(time: &[u8]) -> Option<i64> {
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

/// What is known of a record so far. It is reused for the next record, which saves allocations.
#[derive(Default)]
pub(crate) struct Index {
    blocks: Vec<Block>,
    plain: bool,
    members: Members,
}

/// The values of known members.
struct Members {
    tokens: [Token; Member::ALL.len()],
    /// The members that are in `tokens`, as bits.
    there: [u64; Member::ALL.len().div_ceil(64)],
    /// The objects whose members are in `tokens`, as bits.
    walked: u32,
}

impl Default for Members {
    fn default() -> Self {
        Self {
            tokens: [Token::default(); Member::ALL.len()],
            there: Default::default(),
            walked: 0,
        }
    }
}

impl Members {
    /// Where a member is in the record; an empty token if it is not there.
    #[inline(always)]
    fn token(&mut self, scanned: Scanned<'_>, member: Member) -> Token {
        let object = member.object();
        if self.walked & object.bit() == 0 {
            self.walk(scanned, object);
        }
        self.tokens[member as usize]
    }

    /// Notes where the known members of an object are.
    #[inline(never)]
    fn walk(&mut self, scanned: Scanned<'_>, object: Object) {
        self.walked |= object.bit();
        let start = match object.holder() {
            Some(holder) => match self.token(scanned, holder) {
                Token { end: 0, .. } => return,
                token => token.start as usize,
            },
            None => scanned.skip_space(0),
        };
        scanned.members(start, |name, value| {
            let find = |name: &[u8]| Member::find(object, name);
            let escaped = || {
                if scanned.plain {
                    None
                } else {
                    find(&unescaped(name)?)
                }
            };
            if let Some(member) = find(name).or_else(escaped) {
                let token = &mut self.tokens[member];
                // Of members with the same name, the first one counts.
                if token.end == 0 {
                    *token = value;
                    self.there[member / 64] |= 1 << (member % 64);
                }
            }
            ControlFlow::Continue(())
        });
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
        // Tokens have 32 bits, like the length of an event.
        let bytes = if u32::try_from(bytes.len()).is_ok() {
            bytes
        } else {
            &[]
        };
        index.plain = scan::scan(bytes, &mut index.blocks);
        index.members = Members::default();
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
        let token = self.members.token(self.scanned, member);
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

    /// Calls `each` with the numbers of all known members that are there.
    pub fn each_known(&mut self, mut each: impl FnMut(usize)) {
        for &object in Object::EACH {
            if self.members.walked & object.bit() == 0 {
                self.members.walk(self.scanned, object);
            }
        }
        for (word, &there) in self.members.there.iter().enumerate() {
            let mut there = there;
            while there != 0 {
                each(word * 64 + there.trailing_zeros() as usize);
                there &= there - 1;
            }
        }
    }

    /// The value that a JSON pointer (RFC 6901) points to.
    pub fn pointer(&mut self, pointer: &[u8]) -> Option<Value<'a>> {
        let Some(names) = pointer.strip_prefix(b"/") else {
            return pointer.is_empty().then(|| self.whole()).flatten();
        };
        let mut names = names.split(|&byte| byte == b'/');
        // Known members come first: they are looked up directly, wherever they are in the record.
        let (mut object, mut value) = (Some(Object::Record), None);
        for name in names.by_ref() {
            let name = pointer_name(name)?;
            let member = object.and_then(|object| Member::find(object, &name));
            let Some(member) = member.map(|member| Member::EACH[member]) else {
                let from = match value {
                    Some(value) => value,
                    None => self.whole()?,
                };
                return names.try_fold(from.child(&name)?, |value, name| {
                    value.child(&pointer_name(name)?)
                });
            };
            value = Some(self.get(member)?);
            object = member.held();
        }
        value
    }

    /// The record itself.
    pub fn whole(&self) -> Option<Value<'a>> {
        let bytes = self.scanned.bytes;
        let token = Token {
            start: self.scanned.skip_space(0) as u32,
            end: bytes.trim_ascii_end().len() as u32,
        };
        (token.start < token.end).then_some(Value {
            scanned: self.scanned,
            token,
        })
    }
}

/// The name that a part of a JSON pointer stands for. Returns `None` if the part is not valid.
pub(crate) fn pointer_name(name: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !name.contains(&b'~') {
        return Some(name.into());
    }
    let mut parts = name.split(|&byte| byte == b'~');
    let mut meant = parts.next()?.to_vec();
    for part in parts {
        let (escaped, rest) = part.split_first()?;
        meant.push(match escaped {
            b'0' => b'~',
            b'1' => b'/',
            _ => return None,
        });
        meant.extend_from_slice(rest);
    }
    Some(meant.into())
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

    /// Its bytes in the record.
    pub fn raw(self) -> &'a [u8] {
        self.scanned.bytes.get(self.range()).unwrap_or_default()
    }

    pub fn is_null(self) -> bool {
        self.raw() == b"null"
    }

    pub fn is_string(self) -> bool {
        self.raw().starts_with(b"\"")
    }

    pub fn is_object(self) -> bool {
        self.raw().starts_with(b"{")
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

    /// A string's text and the quote after it, if the text needs no change.
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

    /// A whole number that is not negative, in any spelling.
    pub fn number(self) -> Option<u64> {
        let number = str::from_utf8(self.raw()).ok()?;
        number.parse().ok().or_else(|| {
            let number: f64 = number.parse().ok()?;
            (number >= 0.0 && number < u64::MAX as f64).then_some(number as u64)
        })
    }

    /// The value of an object's first member with this name.
    pub fn member(self, name: &str) -> Option<Self> {
        self.member_of(name.as_bytes())
    }

    fn member_of(self, name: &[u8]) -> Option<Self> {
        let mut found = None;
        self.scanned
            .members(self.token.start as usize, |other, value| {
                if other == name || unescaped(other).is_some_and(|other| *other == *name) {
                    found = Some(value);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
        Some(Self {
            token: found?,
            ..self
        })
    }

    /// The member with this name, or the element with this index.
    fn child(self, name: &[u8]) -> Option<Self> {
        if !self.is_array() {
            return self.member_of(name);
        }
        let is_index =
            matches!(name, b"0" | [b'1'..=b'9', ..]) && name.iter().all(u8::is_ascii_digit);
        let index = str::from_utf8(name).ok()?.parse().ok()?;
        is_index.then(|| self.elements().nth(index)).flatten()
    }

    /// Calls `each` with the names and values of an object's members.
    pub fn each_member(self, each: &mut dyn FnMut(Cow<'a, [u8]>, Self)) {
        self.scanned
            .members(self.token.start as usize, |name, token| {
                each(unescape(name), Self { token, ..self });
                ControlFlow::Continue(())
            });
    }

    /// An array's elements; none if the value is not an array.
    pub fn elements(self) -> impl Iterator<Item = Self> {
        self.scanned
            .elements(self.token.start as usize)
            .map(move |token| Self { token, ..self })
    }
}

/// The name with its escapes decoded, if it has any.
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
    fn a_head_consists_of_the_first_members_of_the_record_itself() {
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
    fn pointers_point_as_rfc_6901_has_it() {
        let pointer = |record: &str, pointer: &str| {
            let mut index = Index::default();
            let value = Record::new(record.as_bytes(), &mut index).pointer(pointer.as_bytes())?;
            Some(String::from_utf8(value.json().into_owned()).expect("UTF-8"))
        };
        // The example of its section 5.
        let example = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
        for (path, value) in [
            ("", Some(example)),
            ("/foo", Some(r#"["bar","baz"]"#)),
            ("/foo/0", Some(r#""bar""#)),
            ("/", Some("0")),
            ("/a~1b", Some("1")),
            ("/c%d", Some("2")),
            ("/e^f", Some("3")),
            ("/g|h", Some("4")),
            ("/i\\j", Some("5")),
            ("/k\"l", Some("6")),
            ("/ ", Some("7")),
            ("/m~0n", Some("8")),
            ("/foo/2", None),
            ("/foo/-", None),
            ("/foo/00", None),
            ("/foo/+1", None),
            ("/foo/x", None),
            ("/foo/0/0", None),
            ("/m~n", None),
            ("/m~", None),
            ("/m~2", None),
            ("foo", None),
            ("foo/0", None),
        ] {
            assert_eq!(pointer(example, path).as_deref(), value, "{path}");
        }
        // Known members, unknown members within known ones, and the first of several equal names.
        let record = r#" {"requestParameters":{"bucketName":"b","other":{"a":[{"b":1},2]},"x":1,"x":2},
            "requestParameters":{"bucketName":"c"},"userIdentity":{"sessionContext":{"new":{"0":true}}},"resources":[]} "#;
        for (path, value) in [
            ("/requestParameters/bucketName", Some(r#""b""#)),
            ("/requestParameters/bucketName/0", None),
            ("/requestParameters/other/a/0/b", Some("1")),
            ("/requestParameters/other/a/1", Some("2")),
            ("/requestParameters/x", Some("1")),
            ("/userIdentity/sessionContext/new/0", Some("true")),
            ("/userIdentity/sessionContext/attributes", None),
            ("/resources/0", None),
            ("/eventName", None),
        ] {
            assert_eq!(pointer(record, path).as_deref(), value, "{path}");
        }
        assert_eq!(pointer(record, "").as_deref(), Some(record.trim()));
        for broken in ["", "[1", "{\"a\":", "7"] {
            assert_eq!(pointer(broken, "/a"), None, "{broken}");
        }
        assert_eq!(pointer("", ""), None);
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
