//! What a record's bytes have to hold for a condition to hold: names of members and texts. Most records are told by that,
//! without a look at what they say.
//!
//! A text stands in JSON as it is, but for characters that have to be escaped, or may be: `\/`, and any as `\u0041`. So
//! literals have none of the first kind, and a record with a `\u` in it is looked at whatever it holds.

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem::Finder;

use super::condition::{Check, Condition, Operand, OwnedArgument, Test, TextTest};
use crate::fields::Standing;

/// What a record has to hold.
enum Need {
    Nothing,
    OneOf(Vec<String>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// The same, made ready.
pub(super) struct Needs(Search);

enum Search {
    Nothing,
    One(Box<Finder<'static>>),
    OneOf(AhoCorasick),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// Shorter literals are in nearly every record.
const SHORTEST: usize = 3;

impl Needs {
    /// What a condition needs.
    pub fn of(condition: &Condition) -> Self {
        Self(Search::of(Need::of(condition)))
    }

    /// Whether a record may be one that the condition holds for.
    pub fn may_be_met(&self, record: &[u8]) -> bool {
        let has_escape = || {
            let mut backslashes = memchr::memchr_iter(b'\\', record);
            backslashes.any(|at| record.get(at + 1) == Some(&b'u'))
        };
        self.0.finds(record) || has_escape()
    }
}

impl Search {
    fn of(need: Need) -> Self {
        let all = |parts: Vec<Need>| parts.into_iter().map(Self::of).collect();
        match need {
            Need::Nothing => Self::Nothing,
            Need::OneOf(literals) => match &literals[..] {
                [literal] => Self::One(Box::new(Finder::new(literal).into_owned())),
                _ => AhoCorasick::builder()
                    // The kind that SIMD is used for.
                    .match_kind(MatchKind::LeftmostFirst)
                    .build(literals)
                    // Too many for it to be built are not looked for.
                    .map_or(Self::Nothing, Self::OneOf),
            },
            Need::All(parts) => Self::All(all(parts)),
            Need::Any(parts) => Self::Any(all(parts)),
        }
    }

    fn finds(&self, record: &[u8]) -> bool {
        match self {
            Self::Nothing => true,
            Self::One(finder) => finder.find(record).is_some(),
            Self::OneOf(all) => all.is_match(record),
            Self::All(parts) => parts.iter().all(|part| part.finds(record)),
            Self::Any(parts) => parts.iter().any(|part| part.finds(record)),
        }
    }
}

impl Need {
    fn of(condition: &Condition) -> Self {
        match condition {
            Condition::All(parts) => Self::all(parts.iter().map(Self::of)),
            Condition::Any(parts) => Self::any(parts.iter().map(Self::of)),
            Condition::Not(_) => Self::Nothing,
            Condition::Check(check) => Self::of_check(check),
        }
    }

    fn of_check(check: &Check) -> Self {
        let left = Self::of_presence(&check.left);
        match &check.test {
            Test::Exists | Test::Number(_) => left,
            Test::Operand(_, right) => Self::all([left, Self::of_presence(right)]),
            Test::Text(test) => Self::all([Self::of_text(&check.left, test), left]),
        }
    }

    /// The names of the members that an operand shows.
    fn of_presence(operand: &Operand) -> Self {
        let names = match &operand.argument {
            OwnedArgument::Pointer(pointer) => {
                let names = pointer.split('/');
                // An index of a list has no name.
                let name = names
                    .rev()
                    .find(|name| !name.bytes().all(|byte| byte.is_ascii_digit()));
                name.map(|name| vec![name.to_owned()]).unwrap_or_default()
            }
            _ => {
                let paths = operand.field.paths().into_iter();
                paths
                    .map(|path| path.rsplit('.').next().unwrap_or_default().to_owned())
                    .collect()
            }
        };
        match names.iter().any(|name| name.contains('~')) {
            true => Self::Nothing,
            false => Self::one_of(names.iter().map(|name| longest(name, None))),
        }
    }

    fn of_text(operand: &Operand, test: &TextTest) -> Self {
        let separator = match operand.field.standing() {
            _ if !operand.transformers.is_empty() => return Self::Nothing,
            Standing::Nowhere => return Self::Nothing,
            Standing::Whole => None,
            Standing::Joined => Some(','),
        };
        let text = |text: &[u8]| longest(&String::from_utf8_lossy(text), separator);
        match test {
            TextTest::NotEqual(_) | TextTest::IContains(_) => Self::Nothing,
            TextTest::Equal(value) | TextTest::StartsWith(value) | TextTest::EndsWith(value) => {
                Self::one_of([text(value)])
            }
            TextTest::Contains(finder) => Self::one_of([text(finder.needle())]),
            TextTest::Pattern(pattern) => {
                Self::all(pattern.literals.iter().map(|one_of| {
                    Self::one_of(one_of.iter().map(|literal| text(literal.as_bytes())))
                }))
            }
            TextTest::In(values) | TextTest::Intersects(values) => {
                Self::one_of(values.iter().map(|value| text(value)))
            }
        }
    }

    /// One of these, if each of them can be looked for.
    fn one_of(literals: impl IntoIterator<Item = Option<String>>) -> Self {
        let literals = literals.into_iter().collect::<Option<Vec<_>>>();
        match literals.filter(|literals| !literals.is_empty()) {
            Some(literals) => Self::OneOf(literals),
            None => Self::Nothing,
        }
    }

    fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let parts = parts.into_iter();
        let mut parts: Vec<_> = parts
            .filter(|part| !matches!(part, Self::Nothing))
            .collect();
        match parts.len() {
            0 => Self::Nothing,
            1 => parts.swap_remove(0),
            _ => Self::All(parts),
        }
    }

    /// Most records hold nothing of what any part needs, so all of that is looked for at once before each by itself.
    fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let parts: Vec<_> = parts.into_iter().collect();
        let first: Option<Vec<_>> = parts.iter().map(Self::first).collect();
        let first = first.map_or(Self::Nothing, |first| Self::OneOf(first.concat()));
        match first {
            Self::Nothing => Self::Nothing,
            first if parts.iter().all(|part| matches!(part, Self::OneOf(_))) => first,
            first => Self::All(vec![first, Self::Any(parts)]),
        }
    }

    /// One of these is needed, whatever else is.
    fn first(&self) -> Option<Vec<String>> {
        match self {
            Self::OneOf(literals) => Some(literals.clone()),
            Self::All(parts) => parts.iter().find_map(Self::first),
            Self::Nothing | Self::Any(_) => None,
        }
    }
}

/// The longest part of a text that can only stand in a record as it is, or with a `\u`. `None` if it is too short to be
/// looked for.
fn longest(text: &str, separator: Option<char>) -> Option<String> {
    // What is shown of text that is not UTF-8, and of NUL, is not what stands in the record.
    if text.contains(['\\', char::REPLACEMENT_CHARACTER]) {
        return None;
    }
    let is_end =
        |char: char| matches!(char, '"' | '/') || char.is_control() || Some(char) == separator;
    let longest = text.split(is_end).max_by_key(|part| part.len())?;
    (longest.len() >= SHORTEST).then(|| longest.to_owned())
}
