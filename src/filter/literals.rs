//! What a record's bytes have to hold for a condition to hold: names of members and texts. Most records are told by that,
//! without a look at what they say.
//!
//! A text stands in JSON as it is, but for characters that have to be escaped, or may be: `\/`, and any as `\u0041`. So
//! literals have none of the first kind, and a record with a `\u` in it is looked at whatever it holds.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use memchr::memmem::Finder;

use super::condition::{Check, Condition, Operand, OwnedArgument, Test, TextTest};
use crate::fields::Standing;

/// What a record has to hold.
#[derive(Debug)]
pub(super) enum Need {
    Nothing,
    /// One of these.
    Literal(Literals),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// Texts, one of which is looked for.
#[derive(Debug)]
pub(super) enum Literals {
    Few(Vec<Finder<'static>>),
    Many(AhoCorasick),
}

/// Up to so many are looked for one after the other.
const FEW: usize = 3;
/// Shorter ones are in nearly every record.
const SHORTEST: usize = 3;

impl Need {
    /// What a condition needs.
    pub fn of(condition: &Condition) -> Self {
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
                let literals = pattern.literals.iter();
                let longest = literals
                    .filter_map(|literal| text(literal.as_bytes()))
                    .max_by_key(String::len);
                Self::one_of([longest])
            }
            TextTest::In(values) | TextTest::Intersects(values) => {
                Self::one_of(values.iter().map(|value| text(value)))
            }
        }
    }

    /// One of these, if each of them can be looked for.
    fn one_of(literals: impl IntoIterator<Item = Option<String>>) -> Self {
        let Some(literals) = literals.into_iter().collect::<Option<Vec<_>>>() else {
            return Self::Nothing;
        };
        if literals.is_empty() {
            return Self::Nothing;
        }
        if literals.len() <= FEW {
            let finders = literals
                .iter()
                .map(|literal| Finder::new(literal).into_owned());
            return Self::Literal(Literals::Few(finders.collect()));
        }
        // Too many for it to be built are not looked for.
        AhoCorasick::new(literals).map_or(Self::Nothing, |all| Self::Literal(Literals::Many(all)))
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

    fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let parts: Vec<_> = parts.into_iter().collect();
        match parts.iter().any(|part| matches!(part, Self::Nothing)) {
            true => Self::Nothing,
            false => Self::Any(parts),
        }
    }

    /// Whether a record may be one that the condition holds for.
    pub fn is_met(&self, record: &[u8]) -> bool {
        static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r"\u"));
        self.is_held(record) || ESCAPE.find(record).is_some()
    }

    fn is_held(&self, record: &[u8]) -> bool {
        match self {
            Self::Nothing => true,
            Self::Literal(Literals::Few(finders)) => {
                finders.iter().any(|finder| finder.find(record).is_some())
            }
            Self::Literal(Literals::Many(all)) => all.is_match(record),
            Self::All(parts) => parts.iter().all(|part| part.is_held(record)),
            Self::Any(parts) => parts.iter().any(|part| part.is_held(record)),
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
