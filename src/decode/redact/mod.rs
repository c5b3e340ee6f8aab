//! Values that are not to leave the machine, replaced by asterisks before the host sees an event.
//!
//! Each value becomes a string of asterisks as long as its JSON was, quotes included, so that the event keeps its length
//! and every other value its place. The walk takes any JSON whose brackets, quotes, colons and commas are in order; a
//! record for which that is not true is not handed over, since a secret might hide in it.

mod marked;
mod secrets;

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};

use crate::json::{string_end, value_end};
use crate::record::{pointer_name, unescape};
use secrets::is_secret;

/// How deep objects and lists are looked into. What lies deeper, which no service writes, is replaced as a whole, so that
/// memory stays bounded whatever a record holds.
const DEPTH: usize = 1000;

/// Which values to replace.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Redaction {
    /// The values whose names say that they are secrets.
    secrets: bool,
    pointers: Vec<Vec<Segment>>,
}

/// A part of a pointer, between slashes.
#[derive(Debug, Clone, PartialEq)]
enum Segment {
    /// The member of this name or the element of this number.
    Name(Vec<u8>),
    /// Any one member or element.
    Any,
    /// Any members or elements, however deep.
    Deep,
}

impl Redaction {
    /// Reads `secrets` and JSON pointers (RFC 6901), separated by commas, in which `*` stands for any member or element
    /// and `**` for any number of levels.
    pub fn parse(text: &str) -> Result<Self> {
        let mut redaction = Self::default();
        let entries = text.split(',').map(str::trim);
        for entry in entries.filter(|entry| !entry.is_empty()) {
            if entry == "secrets" {
                redaction.secrets = true;
                continue;
            }
            let Some(pointer) = entry.strip_prefix('/') else {
                bail!(
                    "{entry:?} is neither a JSON pointer, such as /userIdentity/arn, nor secrets"
                );
            };
            let mut segments = Vec::new();
            for part in pointer.split('/') {
                segments.push(match part {
                    "*" => Segment::Any,
                    // Two in a row mean the same as one.
                    "**" if segments.last() == Some(&Segment::Deep) => continue,
                    "**" => Segment::Deep,
                    name => Segment::Name(unescape_pointer(name, entry)?),
                });
            }
            ensure!(
                segments.last() != Some(&Segment::Deep),
                "{entry:?} ends with **: a name or * has to follow"
            );
            redaction.pointers.push(segments);
        }
        Ok(redaction)
    }

    /// Is nothing to be replaced?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Replaces the values in a record, and gives their number. None if the record is not sound: then some of them may have
    /// been replaced.
    pub fn apply(&self, record: &mut [u8]) -> Option<u64> {
        let mut walk = Walk::new(self, record);
        walk.record()?;
        Some(walk.replaced)
    }

    /// How many bytes [`Redaction::apply`] holds at most for this record.
    #[cfg(any(test, fuzzing))]
    pub fn held(&self, record: &mut [u8]) -> usize {
        let mut walk = Walk::new(self, record);
        _ = walk.record();
        walk.levels.capacity() * size_of::<Level>() + walk.matches.capacity() * size_of::<Match>()
    }

    /// The bound of [`Redaction::held`]: twice what is needed, as vectors grow.
    #[cfg(any(test, fuzzing))]
    pub fn most_held(&self) -> usize {
        let segments: usize = self.pointers.iter().map(Vec::len).sum();
        2 * (DEPTH + 1) * (size_of::<Level>() + segments * size_of::<Match>())
    }
}

/// A pointer's part, without `~0` and `~1`.
fn unescape_pointer(part: &str, pointer: &str) -> Result<Vec<u8>> {
    let name = pointer_name(part.as_bytes()).with_context(|| {
        format!("{pointer:?}: a ~ in a JSON pointer is written ~0, and a slash in a name ~1")
    })?;
    Ok(name.into_owned())
}

/// How far the path to a value has matched a pointer.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Match {
    pointer: usize,
    segment: usize,
}

/// An object or array on the way to the current value.
struct Level {
    /// The number of the next element; none for objects.
    element: Option<usize>,
    /// Where its matches begin; they end where those of the next level begin.
    matches: usize,
}

struct Walk<'a> {
    bytes: &'a mut [u8],
    at: usize,
    redaction: &'a Redaction,
    /// The levels around the current place, from the record itself on.
    levels: Vec<Level>,
    /// The matches of all levels, in order.
    matches: Vec<Match>,
    /// How many values were replaced.
    replaced: u64,
}

impl<'a> Walk<'a> {
    fn new(redaction: &'a Redaction, record: &'a mut [u8]) -> Self {
        let start = |pointer| Match {
            pointer,
            segment: 0,
        };
        Self {
            bytes: record,
            at: 0,
            redaction,
            levels: Vec::new(),
            matches: (0..redaction.pointers.len()).map(start).collect(),
            replaced: 0,
        }
    }

    /// Goes through the record and replaces values. None if it is not sound.
    // No recursion: nesting may be deeper than a stack.
    fn record(&mut self) -> Option<()> {
        self.skip_space();
        if self.bytes.get(self.at) != Some(&b'{') {
            return None;
        }
        match self.open(0) {
            Some(level) => self.levels.push(level),
            None => self.skip_value()?,
        }
        while !self.levels.is_empty() {
            self.member()?;
        }
        self.skip_space();
        (self.at == self.bytes.len()).then_some(())
    }

    /// Takes a member or element of the innermost level, with what follows it, or goes into it.
    fn member(&mut self) -> Option<()> {
        let matches = self.matches.len();
        let mut is_redacted = self.name()?;
        let value = self.at;
        if !is_redacted && let Some(level) = self.open(matches) {
            if self.levels.len() < DEPTH {
                self.levels.push(level);
                return Some(());
            }
            self.at = value;
            is_redacted = true;
        }
        self.skip_value()?;
        self.matches.truncate(matches);
        // Null means that there is no value to hide.
        if is_redacted && &self.bytes[value..self.at] != b"null" {
            self.replace(value..self.at);
        }
        self.close()
    }

    /// Takes the name of the next member, up to its value. True if the value is to be replaced.
    fn name(&mut self) -> Option<bool> {
        let matches = self.levels.last()?.matches..self.matches.len();
        if let Some(number) = &mut self.levels.last_mut()?.element {
            *number += 1;
            let name = (*number - 1).to_string();
            self.skip_space();
            let pointers = &self.redaction.pointers;
            return Some(follow(
                pointers,
                &mut self.matches,
                name.as_bytes(),
                matches,
            ));
        }
        let name = self.string()?;
        self.skip_space();
        if !self.take(b':') {
            return None;
        }
        self.skip_space();
        let name = unescape(&self.bytes[name.start + 1..name.end - 1]);
        let pointers = &self.redaction.pointers;
        let is_pointed = follow(pointers, &mut self.matches, &name, matches);
        let value = self.bytes.get(self.at..).unwrap_or_default();
        Some(is_pointed || self.redaction.secrets && is_secret(&name, value))
    }

    /// Takes the ends of levels, up to one in which another member or element follows.
    fn close(&mut self) -> Option<()> {
        loop {
            self.skip_space();
            let Some(level) = self.levels.last() else {
                return Some(());
            };
            let (end, matches) = match level.element {
                Some(_) => (b']', level.matches),
                None => (b'}', level.matches),
            };
            if self.take(b',') {
                return Some(());
            }
            if !self.take(end) {
                return None;
            }
            self.matches.truncate(matches);
            self.levels.pop();
        }
    }

    /// Writes a string of the value's length in its place.
    fn replace(&mut self, value: Range<usize>) {
        match &mut self.bytes[value] {
            [digit] => *digit = b'0',
            [open, text @ .., close] => {
                (*open, *close) = (b'"', b'"');
                text.fill(b'*');
            }
            [] => {}
        }
        self.replaced += 1;
    }

    /// Goes into an object or array that is not empty. Its matches begin at `matches`.
    fn open(&mut self, matches: usize) -> Option<Level> {
        let start = self.at;
        let (element, end) = match self.bytes.get(start)? {
            b'{' => (None, b'}'),
            b'[' => (Some(0), b']'),
            _ => return None,
        };
        self.at += 1;
        self.skip_space();
        if self.bytes.get(self.at) == Some(&end) {
            self.at = start;
            return None;
        }
        Some(Level { element, matches })
    }

    /// Takes a string, quotes included.
    fn string(&mut self) -> Option<Range<usize>> {
        self.skip_space();
        let start = self.at;
        if self.bytes.get(start) != Some(&b'"') {
            return None;
        }
        self.at = string_end(self.bytes, start)?;
        Some(start..self.at)
    }

    /// Passes over a value, whatever is in it.
    fn skip_value(&mut self) -> Option<()> {
        // Something else stands where a value should be.
        if matches!(self.bytes.get(self.at)?, b',' | b':' | b']' | b'}') {
            return None;
        }
        self.at = value_end(self.bytes, self.at)?;
        Some(())
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn skip_space(&mut self) {
        while self.bytes.get(self.at).is_some_and(|&byte| byte <= b' ') {
            self.at += 1;
        }
    }
}

/// Adds the matches that go on with this name, `from` those of the level around it. True if a pointer ends here.
fn follow(
    pointers: &[Vec<Segment>],
    matches: &mut Vec<Match>,
    name: &[u8],
    from: Range<usize>,
) -> bool {
    let start = matches.len();
    for at in from {
        let Match { pointer, segment } = matches[at];
        let segments = &pointers[pointer];
        let mut next = segment;
        if segments[segment] == Segment::Deep {
            add(matches, start, Match { pointer, segment });
            next += 1;
        }
        let is_match = match segments.get(next) {
            Some(Segment::Name(wanted)) => wanted == name,
            _ => true,
        };
        if !is_match {
            continue;
        }
        if next + 1 == segments.len() {
            return true;
        }
        let segment = next + 1;
        add(matches, start, Match { pointer, segment });
    }
    false
}

fn add(matches: &mut Vec<Match>, start: usize, new: Match) {
    if !matches[start..].contains(&new) {
        matches.push(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a record.
    fn redacted(rules: &str, record: &str) -> Option<String> {
        let mut bytes = record.as_bytes().to_vec();
        let redaction = Redaction::parse(rules).expect("sound rules");
        redaction.apply(&mut bytes)?;
        assert_eq!(bytes.len(), record.len());
        Some(String::from_utf8(bytes).expect("UTF-8"))
    }

    #[test]
    fn values_are_replaced_by_as_many_asterisks() {
        for (rules, record, wanted) in [
            ("/a", r#"{"a":"xyz"}"#, r#"{"a":"***"}"#),
            ("/a", r#"{"a":""}"#, r#"{"a":""}"#),
            ("/a", r#"{"a":1234,"b":1}"#, r#"{"a":"**","b":1}"#),
            ("/a", r#"{"a":7}"#, r#"{"a":0}"#),
            ("/a", r#"{"a":true}"#, r#"{"a":"**"}"#),
            ("/a", r#"{"a":null}"#, r#"{"a":null}"#),
            (
                "/a",
                r#"{"a":{"b":["x", "y"]},"c":1}"#,
                r#"{"a":"**************","c":1}"#,
            ),
            ("/a", r#"{"a":{}, "b":[]}"#, r#"{"a":"", "b":[]}"#),
            ("/a", "{\"a\":\"Zo\u{eb}\"}", r#"{"a":"****"}"#),
            ("/a", r#"{"a":"\"\\\u0041"}"#, r#"{"a":"**********"}"#),
            // Names are compared as they are meant, and each of equal ones counts.
            (
                "/ab",
                r#"{"a\u0062":"x","ab":"y"}"#,
                r#"{"a\u0062":"*","ab":"*"}"#,
            ),
            (
                "/a/b",
                r#"{"a":{"b":"x"},"b":"y"}"#,
                r#"{"a":{"b":"*"},"b":"y"}"#,
            ),
            ("/a/1", r#"{"a":["x","y","z"]}"#, r#"{"a":["x","*","z"]}"#),
            (
                "/a/1",
                r#"{"a":{"0":"x","1":"y"}}"#,
                r#"{"a":{"0":"x","1":"*"}}"#,
            ),
            ("/*", r#"{"a":"x","b":[1,2]}"#, r#"{"a":"*","b":"***"}"#),
            (
                "/*/b",
                r#"{"a":{"b":"x"},"c":[{"b":"y"}]}"#,
                r#"{"a":{"b":"*"},"c":[{"b":"y"}]}"#,
            ),
            (
                "/**/b",
                r#"{"b":"x","c":[{"b":"y"},{"c":{"b":"z"}}]}"#,
                r#"{"b":"*","c":[{"b":"*"},{"c":{"b":"*"}}]}"#,
            ),
            (
                "/a/**/b/*",
                r#"{"a":{"b":{"b":{"c":"x"}}}}"#,
                r#"{"a":{"b":{"b":"*******"}}}"#,
            ),
            ("/**/**/b", r#"{"a":{"b":"x"}}"#, r#"{"a":{"b":"*"}}"#),
            (
                "/a~1b,/c~0d,/e f",
                r#"{"a/b":"x","c~d":"y","e f":"z"}"#,
                r#"{"a/b":"*","c~d":"*","e f":"*"}"#,
            ),
            ("/", r#"{"":"x","a":"y"}"#, r#"{"":"*","a":"y"}"#),
            (
                "secrets",
                r#"{"a":[{"SessionToken":"x","token":"y"}],"secretId":"z"}"#,
                r#"{"a":[{"SessionToken":"*","token":"*"}],"secretId":"z"}"#,
            ),
            (
                "secrets",
                r#"{"adminUserPassword":"x","nextToken":"y","clientSecret":null,"hasPassword":true}"#,
                r#"{"adminUserPassword":"*","nextToken":"y","clientSecret":null,"hasPassword":true}"#,
            ),
            // A pointer hides what it points to, whatever it is.
            (
                "secrets,/nextToken",
                r#"{"nextToken":"y","environment":[{"name":"x"}]}"#,
                r#"{"nextToken":"*","environment":"************"}"#,
            ),
            (
                " secrets , /b ",
                r#" { "b" : "x" , "password" : "y" } "#,
                r#" { "b" : "*" , "password" : "*" } "#,
            ),
            ("/b", "{}", "{}"),
        ] {
            assert_eq!(
                redacted(rules, record).as_deref(),
                Some(wanted),
                "{rules} {record}"
            );
        }
    }

    #[test]
    fn broken_records_are_refused() {
        for record in [
            "",
            "1",
            "{",
            "{}}",
            "{} {}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":1 2}"#,
            r#"{"a":1"b":2}"#,
            r#"{"a":"x}"#,
            r#"{"a":"x\"}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":[1}"#,
            r#"{"a":{]}"#,
            r#"{a:1}"#,
            r#"{"a":1,,"b":2}"#,
        ] {
            assert_eq!(redacted("/b", record), None, "{record}");
        }
    }

    fn nested(levels: usize, inner: &str) -> String {
        let (open, close) = ("{\"a\":[".repeat(levels / 2), "]}".repeat(levels / 2));
        format!("{open}{inner}{close}")
    }

    #[test]
    fn nesting_may_be_deep() {
        let deep = |inner: &str| nested(DEPTH - 2, inner);
        let wanted = deep(r#"{"password":"*"}"#);
        let record = deep(r#"{"password":"x"}"#);
        for rules in ["secrets", "/**/password", "/**/a/**/a/*/password"] {
            assert!(redacted(rules, &record) == Some(wanted.clone()), "{rules}");
        }
    }

    /// Whatever is in a record, what is held for it stays within bounds.
    #[test]
    fn values_nested_too_deep_are_replaced_as_a_whole() {
        let inner = nested(200_000, r#"{"password":"PLANTED"}"#);
        let wanted = nested(DEPTH, &format!("\"{}\"", "*".repeat(inner.len() - 2)));
        let mut record = nested(DEPTH, &inner).into_bytes();
        for rules in ["secrets", "/**/password", "/**/a/**/a/*/password,/b"] {
            let redaction = Redaction::parse(rules).expect("sound rules");
            assert!(
                redaction.held(&mut record.clone()) <= redaction.most_held(),
                "{rules}"
            );
            assert_eq!(redaction.apply(&mut record.clone()), Some(1), "{rules}");
        }
        let redaction = Redaction::parse("secrets").expect("sound rules");
        redaction.apply(&mut record);
        assert!(record == wanted.into_bytes());
        // As much in a row is held one by one.
        let mut wide = format!("{{\"a\":[{}0]}}", "1,".repeat(200_000)).into_bytes();
        let redaction = Redaction::parse("/a/*").expect("sound rules");
        assert!(redaction.held(&mut wide.clone()) <= redaction.most_held());
        assert_eq!(redaction.apply(&mut wide), Some(200_001));
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        for (rules, why) in [
            (
                "userIdentity",
                "\"userIdentity\" is neither a JSON pointer, such as /userIdentity/arn, nor secrets",
            ),
            (
                "/a~2",
                "\"/a~2\": a ~ in a JSON pointer is written ~0, and a slash in a name ~1",
            ),
            ("/a/**", "\"/a/**\" ends with **: a name or * has to follow"),
        ] {
            let error = Redaction::parse(rules).expect_err(rules);
            assert_eq!(error.to_string(), why);
        }
        for none in ["", " ", ",", " , "] {
            assert!(Redaction::parse(none).expect(none).is_empty());
        }
    }

    /// Whatever is in a record, nothing else changes, and serde_json finds asterisks where the pointers lead.
    #[test]
    fn random_records_agree_with_serde_json() {
        use serde_json::Value;
        fn value(random: &mut fastrand::Rng, depth: u8) -> Value {
            match random.u8(..if depth > 0 { 7 } else { 5 }) {
                0 => Value::Null,
                1 => random.bool().into(),
                2 => random.i32(..).into(),
                3 | 4 => ["", "a", "\"}", "\\", "\u{e9}{[", "a,b:c"][random.usize(..6)].into(),
                5 => (0..random.u8(..4))
                    .map(|_| value(random, depth - 1))
                    .collect(),
                _ => object(random, depth - 1),
            }
        }
        fn object(random: &mut fastrand::Rng, depth: u8) -> Value {
            let names = ["a", "b", "c\"d", "e\\"];
            let members = (0..random.u8(..5))
                .map(|_| (names[random.usize(..4)].to_owned(), value(random, depth)));
            Value::Object(members.collect())
        }
        /// The same, by a tree.
        fn expected(value: &mut Value, path: &[&str]) {
            let [name, rest @ ..] = path else {
                let length = value.to_string().len();
                *value = match length {
                    _ if value.is_null() => return,
                    1 => 0.into(),
                    n => "*".repeat(n - 2).into(),
                };
                return;
            };
            let children: Vec<&mut Value> = match value {
                Value::Object(members) => members
                    .iter_mut()
                    .filter(|(other, _)| *name == "*" || other == name)
                    .map(|(_, value)| value)
                    .collect(),
                Value::Array(elements) => elements
                    .iter_mut()
                    .enumerate()
                    .filter(|(at, _)| *name == "*" || at.to_string() == *name)
                    .map(|(_, value)| value)
                    .collect(),
                _ => return,
            };
            for child in children {
                expected(child, rest);
            }
        }
        for seed in 0..5000 {
            let random = &mut fastrand::Rng::with_seed(seed);
            let record = object(random, 4);
            let parts = ["a", "b", "c\"d", "0", "1", "*"];
            let path: Vec<&str> = (0..random.u8(1..4))
                .map(|_| parts[random.usize(..6)])
                .collect();
            let rules = format!("/{}", path.join("/"));
            let mut wanted = record.clone();
            expected(&mut wanted, &path);
            let text = redacted(&rules, &record.to_string()).expect("sound");
            assert_eq!(text, wanted.to_string(), "seed {seed}: {rules} in {record}");
        }
    }
}
