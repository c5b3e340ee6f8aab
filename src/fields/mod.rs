//! The fields that hosts filter by and show, each of them once in [`FIELDS`].

mod accounts;
mod arn;
mod beside;
mod cache;
mod ec2;
mod given;
mod identity;
mod joined;
mod nested;
mod network;
pub(crate) mod origin;
mod outcome;
mod policy;
mod possible;
mod s3;
mod schema;
mod services;
mod summary;
mod table;
mod target;

use std::borrow::Cow;
use std::ops::Range;

use crate::geo;
use crate::record::{Member, Record, Value};
pub(crate) use beside::Beside;
pub(crate) use cache::Cache;
pub(crate) use given::{Asked, asked};
use joined::Path;
use joined::joined;
use origin::{Origin, Part};
pub(crate) use possible::Possible;
pub use schema::{markdown, schema};
pub(crate) use summary::event as describe;
pub use table::{FIELDS, OFFICIAL};

/// A field as hosts see it, and how to extract it.
pub struct Field {
    /// The name in filters and outputs.
    pub name: &'static str,
    /// The label in the GUI.
    pub display: &'static str,
    /// What it tells, for a newcomer.
    pub description: &'static str,
    /// What hosts use it for: `info`, `conversation`, `hidden`.
    pub properties: &'static [&'static str],
    pub(crate) source: Source,
    /// What a computed field is made of, at least one of it; nothing if it can be there without any of these members.
    needs: &'static [Member],
}

/// Where a field's value comes from.
pub(crate) enum Source {
    /// A member's text; absent if it is null.
    Text(Member),
    /// The text of the first of these members that has one.
    First(&'static [Member]),
    /// A member's JSON, null included.
    Json(Member),
    /// A member's number.
    Number(Member),
    /// The texts of all that these paths lead to, each once, joined by commas.
    Joined(&'static [Path]),
    /// The value that the argument, a JSON pointer, points to, as text; absent if it is null.
    Pointer,
    /// A computed text.
    ComputedText(for<'a> fn(&mut Record<'a>) -> Option<Text<'a>>),
    /// A text that is computed, and stands in the record by itself or as a part of another.
    Part(for<'a> fn(&mut Record<'a>) -> Option<Text<'a>>),
    /// `true` or `false`, computed.
    Flag(fn(&mut Record<'_>) -> bool),
    /// A computed number.
    ComputedNumber(fn(&mut Record<'_>) -> Option<u64>),
    /// What is known of who stands behind a session, which other records tell.
    Origin(Part),
    /// Where the address is from.
    Geo(geo::Part),
    /// Several texts, or the one with this index.
    List(for<'a> fn(&mut Record<'a>, Option<u64>) -> Vec<Text<'a>>),
}

/// What a field has for a record.
pub(crate) enum Values<'a> {
    /// A value as it stands in the record.
    Value(Option<Value<'a>>),
    Text(Option<Text<'a>>),
    Flag(bool),
    Number(Option<(u64, Range<usize>)>),
    List(Vec<Text<'a>>),
}

/// How a field's text stands in the record.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Standing {
    /// As a whole.
    Whole,
    /// In parts, which commas join.
    Joined,
    /// Not always.
    Nowhere,
}

/// What is written in brackets behind a field's name.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Argument<'t> {
    None,
    /// Which one of several values.
    Index(u64),
    /// A JSON pointer.
    Pointer(&'t [u8]),
}

/// A text and its place in the record, or [`COMPUTED`] if it does not come from a single place.
pub(crate) type Text<'a> = (Cow<'a, [u8]>, Range<usize>);

pub(crate) const COMPUTED: Range<usize> = 0..0;

impl Field {
    /// The type, as hosts name it.
    pub fn kind(&self) -> &'static str {
        match self.source {
            Source::Number(_)
            | Source::ComputedNumber(_)
            | Source::Origin(Part::Length)
            | Source::Geo(geo::Part::Asn) => "uint64",
            _ => "string",
        }
    }

    /// Whether it has several values, of which an index may choose one.
    pub fn is_list(&self) -> bool {
        matches!(self.source, Source::List(_))
    }

    /// Whether a JSON pointer may choose what it shows.
    pub fn is_pointed(&self) -> bool {
        matches!(self.source, Source::Pointer)
    }

    /// Whether its value is made of several.
    pub fn is_joined(&self) -> bool {
        matches!(self.source, Source::Joined(_))
    }

    /// Whether it is for texts that are IP addresses.
    pub(crate) fn is_address(&self) -> bool {
        matches!(self.source, Source::Text(Member::SourceIpAddress))
    }

    /// Whether other records tell it.
    pub(crate) fn is_of_others(&self) -> bool {
        matches!(self.source, Source::Origin(_))
    }

    /// Whether the event's own record is all that it takes.
    pub(crate) fn is_of_the_record(&self) -> bool {
        !matches!(self.source, Source::Origin(_) | Source::Geo(_))
    }

    /// How its text stands in the record.
    pub(crate) fn standing(&self) -> Standing {
        match self.source {
            Source::Text(_)
            | Source::First(_)
            | Source::Json(_)
            | Source::Pointer
            | Source::Part(_)
            | Source::List(_) => Standing::Whole,
            Source::Joined(_) => Standing::Joined,
            Source::ComputedText(_)
            | Source::Flag(_)
            | Source::Number(_)
            | Source::ComputedNumber(_)
            | Source::Origin(_)
            | Source::Geo(_) => Standing::Nowhere,
        }
    }

    /// What it has for a record.
    // Inlined into what hosts call for each field of each event.
    #[inline(always)]
    pub(crate) fn values<'a>(
        &self,
        record: &mut Record<'a>,
        argument: Argument<'_>,
        beside: &mut Beside,
    ) -> Values<'a> {
        match self.source {
            Source::Text(member) => Values::Value(record.get(member)),
            Source::First(members) => {
                let mut values = members.iter().filter_map(|&member| record.get(member));
                Values::Value(values.find(|value| !value.is_null()))
            }
            Source::Pointer => Values::Value(match argument {
                Argument::Pointer(pointer) => record.pointer(pointer),
                _ => record.whole(),
            }),
            Source::Json(member) => {
                let value = record.get(member);
                Values::Text(value.map(|value| (value.json(), value.range())))
            }
            Source::Joined(paths) => Values::Text(joined(&mut |each| {
                for path in paths {
                    path.each(record, each);
                }
            })),
            Source::ComputedText(text) | Source::Part(text) => Values::Text(text(record)),
            Source::Flag(flag) => Values::Flag(flag(record)),
            Source::Number(member) => {
                let value = record.get(member);
                Values::Number(value.and_then(|value| Some((value.number()?, value.range()))))
            }
            Source::ComputedNumber(number) => {
                Values::Number(number(record).map(|number| (number, COMPUTED)))
            }
            Source::Origin(part) => of_origin(part, record, beside),
            Source::Geo(part) => of_place(part, record, beside),
            Source::List(texts) => Values::List(texts(
                record,
                match argument {
                    Argument::Index(index) => Some(index),
                    _ => None,
                },
            )),
        }
    }

    /// The members of which at least one is there where the field is; none if it can be there without any.
    fn members(&self) -> Vec<Member> {
        match self.source {
            Source::Text(member) | Source::Json(member) | Source::Number(member) => vec![member],
            Source::First(members) => members.to_vec(),
            Source::Joined(paths) => paths.iter().map(Path::member).collect(),
            _ => self.needs.to_vec(),
        }
    }

    /// The paths of the members that it shows the first of, or all; none if it is computed.
    pub fn paths(&self) -> Vec<String> {
        let path = |member: &Member| member.path();
        match &self.source {
            Source::Text(member) | Source::Json(member) | Source::Number(member) => {
                vec![path(member)]
            }
            Source::First(members) => members.iter().map(path).collect(),
            Source::Joined(paths) => paths.iter().map(Path::name).collect(),
            _ => Vec::new(),
        }
    }
}

#[inline(never)]
fn of_origin<'a>(part: Part, record: &mut Record<'_>, beside: &mut Beside) -> Values<'a> {
    let origins = beside.origins.as_mut();
    let origin = origins.map(|origins| origins.origin(record));
    match part {
        Part::Length => {
            let length = origin.and_then(Origin::length);
            Values::Number(length.map(|length| (length, COMPUTED)))
        }
        _ => {
            let text = origin.and_then(|origin| origin.text(part));
            Values::Text(text.map(|text| (text.to_vec().into(), COMPUTED)))
        }
    }
}

#[inline(never)]
fn of_place<'a>(part: geo::Part, record: &mut Record<'_>, beside: &mut Beside) -> Values<'a> {
    let place = place(record, beside);
    match part {
        geo::Part::Asn => {
            let number = place.and_then(|place| place.asn);
            Values::Number(number.map(|number| (number, COMPUTED)))
        }
        _ => {
            let text = place.and_then(|place| place.text(part));
            Values::Text(text.map(|text| (text.as_bytes().to_vec().into(), COMPUTED)))
        }
    }
}

/// Where the address of a record is from, as far as that is known.
pub(crate) fn place<'b>(record: &mut Record<'_>, beside: &'b mut Beside) -> Option<&'b geo::Place> {
    if !beside.places.are_known() {
        return None;
    }
    let address = record.text(Member::SourceIpAddress)?;
    beside.places.find(&address)
}

/// A member's text and place.
pub(crate) fn text_of<'a>(record: &mut Record<'a>, member: Member) -> Option<Text<'a>> {
    text_at(record.get(member)?)
}

/// A value's text and place.
pub(crate) fn text_at(value: Value<'_>) -> Option<Text<'_>> {
    Some((value.text()?, value.range()))
}

/// Helpers for the unit tests of the modules beside this one.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Index;

    pub fn answer<T>(record: &str, ask: impl FnOnce(&mut Record<'_>) -> T) -> T {
        let mut index = Index::default();
        ask(&mut Record::new(record.as_bytes(), &mut index))
    }

    pub fn text(
        record: &str,
        ask: impl for<'a> FnOnce(&mut Record<'a>) -> Option<Text<'a>>,
    ) -> Option<String> {
        let mut index = Index::default();
        let (text, _) = ask(&mut Record::new(record.as_bytes(), &mut index))?;
        Some(String::from_utf8(text.into_owned()).expect("UTF-8"))
    }
}
