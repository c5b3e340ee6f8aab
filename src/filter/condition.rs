//! A condition, and whether it holds for a record.
//!
//! The meaning of the operators is that of libsinsp (`filter_compare.cpp` and `sinsp_filtercheck.cpp` in
//! falcosecurity/libs 0.23): texts are bytes, and a comparison of what is absent is false, `!=` as well.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use memchr::memmem::Finder;
use regex::bytes::Regex;

use super::parser::{Order, Transformer};
use crate::fields::{Argument, Beside, FIELDS, Field, Values};
use crate::record::Record;

/// A condition that makes sense.
pub(super) enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Check(Check),
}

/// One comparison.
pub(super) struct Check {
    pub left: Operand,
    pub test: Test,
}

/// A field, and what is done to its value before it is compared.
pub(super) struct Operand {
    pub field: &'static Field,
    pub argument: OwnedArgument,
    pub transformers: Vec<Transformer>,
}

/// An [`Argument`] that is kept.
pub(super) enum OwnedArgument {
    None,
    Index(u64),
    Pointer(String),
}

/// What an operand's value has to be.
pub(super) enum Test {
    Exists,
    Text(TextTest),
    Number(NumberTest),
    /// As the value of another operand has it.
    Operand(Relation, Operand),
}

pub(super) enum TextTest {
    Equal(Vec<u8>),
    NotEqual(Vec<u8>),
    Contains(Box<Finder<'static>>),
    /// Of lowercase letters.
    IContains(Box<Finder<'static>>),
    StartsWith(Vec<u8>),
    EndsWith(Vec<u8>),
    /// A whole text matches.
    Pattern(Pattern),
    /// Of a list, all of it.
    In(HashSet<Vec<u8>>),
    /// Of a list, some of it.
    Intersects(HashSet<Vec<u8>>),
}

/// A glob or a regular expression.
pub(super) struct Pattern {
    pub regex: Regex,
    /// What is in all that it matches: one text of each of these.
    pub literals: Vec<Vec<String>>,
}

pub(super) enum NumberTest {
    Compare(Order, u64),
    Among(HashSet<u64>),
}

/// How the values of two operands compare.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Relation {
    Order(Order),
    Contains,
    IContains,
    StartsWith,
    EndsWith,
    In,
    Intersects,
}

/// What an operand has for a record.
enum Found<'a> {
    Text(Cow<'a, [u8]>),
    Number(u64),
    List(Vec<Cow<'a, [u8]>>),
}

/// What is known of an event without its record.
pub(super) struct Known<'k> {
    /// Where a field is among `texts`, by its place in [`FIELDS`].
    pub places: &'k [Option<usize>],
    /// None where the event has no value.
    pub texts: &'k [Option<&'k str>],
}

impl Known<'_> {
    /// The text of a field; none if it is not known.
    fn text(&self, field: &'static Field) -> Option<Option<&str>> {
        let offset = std::ptr::from_ref(field) as usize - FIELDS.as_ptr() as usize;
        let place = *self.places.get(offset / size_of::<Field>())?;
        self.texts.get(place?).copied()
    }
}

impl Condition {
    /// Whether it holds, if what is known tells that.
    pub fn told(&self, known: &Known<'_>) -> Option<bool> {
        let first_of = |parts: &[Self], decisive: bool| {
            let mut holds = Some(!decisive);
            for part in parts {
                match part.told(known) {
                    Some(part) if part == decisive => return Some(decisive),
                    Some(_) => {}
                    None => holds = None,
                }
            }
            holds
        };
        match self {
            Self::All(parts) => first_of(parts, false),
            Self::Any(parts) => first_of(parts, true),
            Self::Not(part) => part.told(known).map(|holds| !holds),
            Self::Check(check) => check.told(known),
        }
    }

    /// Whether it holds for a record. While what other records tell is not known, neither may this be.
    pub fn holds(&self, record: &mut Record<'_>, beside: &mut Beside) -> Option<bool> {
        match self {
            Self::All(parts) => first_of(parts, false, record, beside),
            Self::Any(parts) => first_of(parts, true, record, beside),
            Self::Not(part) => part.holds(record, beside).map(|holds| !holds),
            Self::Check(check) if beside.origins.is_none() && check.is_of_others() => None,
            Self::Check(check) => Some(check.holds(record, beside)),
        }
    }

    /// The name of a field that the record alone does not tell, if it asks for one.
    pub fn beside_the_record(&self) -> Option<&'static str> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().find_map(Self::beside_the_record),
            Self::Not(part) => part.beside_the_record(),
            Self::Check(check) => check.beside_the_record(),
        }
    }

    /// Whether it is about what other records tell.
    pub fn is_of_others(&self) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::is_of_others),
            Self::Not(part) => part.is_of_others(),
            Self::Check(check) => check.is_of_others(),
        }
    }
}

/// `decisive`, if one of the parts is; the opposite, if all of them are that.
fn first_of(
    parts: &[Condition],
    decisive: bool,
    record: &mut Record<'_>,
    beside: &mut Beside,
) -> Option<bool> {
    let mut holds = Some(!decisive);
    for part in parts {
        match part.holds(record, beside) {
            Some(part) if part == decisive => return Some(decisive),
            Some(_) => {}
            None => holds = None,
        }
    }
    holds
}

impl Check {
    fn holds(&self, record: &mut Record<'_>, beside: &mut Beside) -> bool {
        let Some(found) = self.left.find(record, beside) else {
            return false;
        };
        match (&self.test, &found) {
            (Test::Exists, _) => true,
            (Test::Text(test), Found::Text(text)) => test.holds(text),
            (Test::Text(test), Found::List(texts)) => test.holds_for_list(texts),
            (Test::Number(test), Found::Number(number)) => test.holds(*number),
            (Test::Operand(relation, right), _) => right
                .find(record, beside)
                .is_some_and(|right| relation.holds(&found, &right)),
            // Compiling a condition rules that out.
            (Test::Text(_), Found::Number(_)) | (Test::Number(_), _) => false,
        }
    }

    /// Whether its field's value is compared as it is.
    pub fn is_plain(&self) -> bool {
        self.left.transformers.is_empty() && matches!(self.left.argument, OwnedArgument::None)
    }

    fn told(&self, known: &Known<'_>) -> Option<bool> {
        if !self.is_plain() {
            return None;
        }
        let text = known.text(self.left.field)?;
        match (&self.test, text) {
            // Whatever is compared with what is absent.
            (_, None) => Some(false),
            (Test::Exists, Some(_)) => Some(true),
            (Test::Text(test), Some(text)) => Some(test.holds(text.as_bytes())),
            (Test::Number(_) | Test::Operand(..), Some(_)) => None,
        }
    }

    fn beside_the_record(&self) -> Option<&'static str> {
        let right = match &self.test {
            Test::Operand(_, right) => Some(right.field),
            Test::Exists | Test::Text(_) | Test::Number(_) => None,
        };
        let fields = [Some(self.left.field), right];
        let beside = fields
            .into_iter()
            .flatten()
            .find(|field| !field.is_of_the_record());
        beside.map(|field| field.name)
    }

    fn is_of_others(&self) -> bool {
        let is_right = match &self.test {
            Test::Operand(_, right) => right.field.is_of_others(),
            Test::Exists | Test::Text(_) | Test::Number(_) => false,
        };
        is_right || self.left.field.is_of_others()
    }
}

impl Operand {
    fn find<'a>(&self, record: &mut Record<'a>, beside: &mut Beside) -> Option<Found<'a>> {
        let argument = match &self.argument {
            OwnedArgument::None => Argument::None,
            OwnedArgument::Index(index) => Argument::Index(*index),
            OwnedArgument::Pointer(pointer) => Argument::Pointer(pointer.as_bytes()),
        };
        let mut found = match self.field.values(record, argument, beside) {
            Values::Value(value) => Found::Text(value?.text()?),
            Values::Text(text) => Found::Text(text?.0),
            Values::Flag(true) => Found::Text(b"true".into()),
            Values::Flag(false) => Found::Text(b"false".into()),
            Values::Number(number) => Found::Number(number?.0),
            Values::List(texts) if texts.is_empty() => return None,
            Values::List(texts) => Found::List(texts.into_iter().map(|(text, _)| text).collect()),
        };
        for transformer in &self.transformers {
            found = found.transformed(*transformer);
        }
        Some(found)
    }
}

impl Found<'_> {
    fn transformed(self, transformer: Transformer) -> Self {
        match (transformer, self) {
            (Transformer::Len, Self::Text(text)) => Self::Number(text.len() as u64),
            (Transformer::Len, Self::List(texts)) => Self::Number(texts.len() as u64),
            (_, Self::Text(text)) => Self::Text(transformed(text, transformer)),
            (_, Self::List(texts)) => {
                let texts = texts.into_iter();
                Self::List(texts.map(|text| transformed(text, transformer)).collect())
            }
            // Compiling a condition rules that out.
            (_, number @ Self::Number(_)) => number,
        }
    }

    fn texts(&self) -> &[Cow<'_, [u8]>] {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::List(texts) => texts,
            Self::Number(_) => &[],
        }
    }
}

fn transformed(mut text: Cow<'_, [u8]>, transformer: Transformer) -> Cow<'_, [u8]> {
    match transformer {
        Transformer::ToLower => text.to_mut().make_ascii_lowercase(),
        Transformer::ToUpper => text.to_mut().make_ascii_uppercase(),
        Transformer::Basename => {
            let start = memchr::memrchr(b'/', &text).map_or(0, |slash| slash + 1);
            match &mut text {
                Cow::Borrowed(text) => *text = &text[start..],
                Cow::Owned(text) => drop(text.drain(..start)),
            }
        }
        Transformer::Len => {}
    }
    text
}

impl TextTest {
    fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Equal(value) => text == value,
            Self::NotEqual(value) => text != value,
            Self::Contains(finder) => finder.find(text).is_some(),
            Self::IContains(finder) => finder.find(&text.to_ascii_lowercase()).is_some(),
            Self::StartsWith(value) => text.starts_with(value),
            Self::EndsWith(value) => text.ends_with(value),
            Self::Pattern(pattern) => pattern.regex.is_match(text),
            Self::In(values) | Self::Intersects(values) => values.contains(text),
        }
    }

    fn holds_for_list(&self, texts: &[Cow<'_, [u8]>]) -> bool {
        match self {
            Self::Intersects(values) => texts.iter().any(|text| values.contains(&**text)),
            _ => texts.iter().all(|text| self.holds(text)),
        }
    }
}

impl NumberTest {
    fn holds(&self, number: u64) -> bool {
        match self {
            Self::Compare(order, value) => order.holds(number.cmp(value)),
            Self::Among(values) => values.contains(&number),
        }
    }
}

impl Order {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Relation {
    fn holds(self, left: &Found<'_>, right: &Found<'_>) -> bool {
        if let (Found::Number(left), Found::Number(right)) = (left, right) {
            return match self {
                Self::Order(order) => order.holds(left.cmp(right)),
                _ => left == right,
            };
        }
        let (lefts, rights) = (left.texts(), right.texts());
        let (Some(one), Some(other)) = (lefts.first(), rights.first()) else {
            return false;
        };
        match self {
            Self::Order(order) => order.holds(one.cmp(other)),
            Self::Contains => memchr::memmem::find(one, other).is_some(),
            Self::IContains => {
                let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
                memchr::memmem::find(&one, &other).is_some()
            }
            Self::StartsWith => one.starts_with(other),
            Self::EndsWith => one.ends_with(other),
            Self::In => lefts.iter().all(|left| rights.contains(left)),
            Self::Intersects => lefts.iter().any(|left| rights.contains(left)),
        }
    }
}
