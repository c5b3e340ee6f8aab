//! Several conditions that are asked of the same event, as Falco asks those of its rules: the first that holds counts.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Result, anyhow, ensure};

use super::condition::{Condition, Known};
use super::required::required;
use super::{LONGEST, compile, parser, shown};
use crate::fields::{Beside, FIELDS};
use crate::record::{Index, Member, Record};

/// What most conditions begin with.
const NAME: &str = "ct.name";

/// Conditions of what an event's own record tells, in an order.
#[derive(Default)]
pub struct Several {
    conditions: Vec<Condition>,
    /// Which of them may hold for events of this name, besides those of `of_any_name`. In order, as those are.
    by_name: HashMap<Vec<u8>, Vec<usize>>,
    of_any_name: Vec<usize>,
    /// The places of fields among those that are known, by their own.
    known: Vec<Option<usize>>,
    /// The place of the event's name among them.
    name: Option<usize>,
    index: Index,
}

impl Several {
    /// Adds a condition behind the others.
    ///
    /// # Errors
    /// Where the text is not a condition, which the error shows the place of, and where it asks for what is not in the
    /// event's own record: where an address is from, or who stands behind a session.
    pub fn add(&mut self, text: &str) -> Result<()> {
        ensure!(
            text.len() <= LONGEST,
            "is longer than {LONGEST} bytes, the most that is read"
        );
        let condition = parser::parse(text).and_then(compile::compile);
        let condition = condition.map_err(|fault| anyhow!(shown(text, &fault)))?;
        if let Some(field) = condition.beside_the_record() {
            return Err(anyhow!("{field} is not in the event itself"));
        }
        let number = self.conditions.len();
        let names = required(&condition)
            .into_iter()
            .find(|required| required.field == NAME);
        match names {
            Some(names) => {
                for name in names.values {
                    self.by_name
                        .entry(name.into_bytes())
                        .or_default()
                        .push(number);
                }
            }
            None => self.of_any_name.push(number),
        }
        self.conditions.push(condition);
        Ok(())
    }

    /// The fields by which most conditions are told not to hold: the name of the event, and what those conditions ask for
    /// that ask for no name.
    pub fn telling(&self) -> BTreeSet<&'static str> {
        let mut fields = BTreeSet::from([NAME]);
        for number in &self.of_any_name {
            if let Some(condition) = self.conditions.get(*number) {
                asked_of(condition, &mut fields);
            }
        }
        fields
    }

    /// Takes note of the fields whose texts [`Several::first`] is given, in their order.
    pub fn know(&mut self, fields: &[&str]) {
        let place = |name: &str| fields.iter().position(|field| *field == name);
        self.known = FIELDS.iter().map(|field| place(field.name)).collect();
        self.name = place(NAME);
    }

    /// The number of the first condition that holds for a record, counted from 0 as they were added. The texts are those
    /// of the fields that are known, none where they have no value; where they tell enough, the record is not looked at.
    pub fn first(&mut self, texts: &[Option<&str>], record: &[u8]) -> Option<usize> {
        let known = Known {
            places: &self.known,
            texts,
        };
        let name = self.name.map(|place| texts.get(place).copied().flatten());
        let by_name = match name {
            Some(name) => name.and_then(|name| self.by_name.get(name.as_bytes())),
            None => {
                let name = Record::new(record, &mut self.index).text(Member::EventName);
                name.and_then(|name| self.by_name.get(&*name))
            }
        };
        let mut by_name = by_name.into_iter().flatten().copied().peekable();
        let mut of_any_name = self.of_any_name.iter().copied().peekable();
        let mut index = Some(&mut self.index);
        let mut read: Option<(Record<'_>, Beside)> = None;
        loop {
            let number = match (by_name.peek(), of_any_name.peek()) {
                (Some(one), Some(other)) if one < other => by_name.next(),
                (Some(_), None) => by_name.next(),
                _ => of_any_name.next(),
            }?;
            let condition = self.conditions.get(number)?;
            let mut holds = condition.told(&known);
            if holds.is_none() {
                if let Some(index) = index.take() {
                    read = Some((Record::new(record, index), Beside::default()));
                }
                let (record, beside) = read.as_mut()?;
                holds = condition.holds(record, beside);
            }
            if holds == Some(true) {
                return Some(number);
            }
        }
    }
}

/// Adds the fields whose texts a condition asks for as they are.
fn asked_of(condition: &Condition, fields: &mut BTreeSet<&'static str>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().for_each(|part| asked_of(part, fields));
        }
        Condition::Not(part) => asked_of(part, fields),
        Condition::Check(check) => {
            let field = check.left.field;
            if check.is_plain() && field.kind() == "string" && !field.is_list() {
                fields.insert(field.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_holds_counts() {
        let mut all = Several::default();
        for condition in [
            "ct.name in (StopLogging, DeleteTrail) and not ct.error exists",
            "ct.user=alice",
            "ct.name=StopLogging",
            "ct.name startswith Delete",
        ] {
            all.add(condition).unwrap();
        }
        for (record, first) in [
            (r#"{"eventName":"StopLogging"}"#, Some(0)),
            (r#"{"eventName":"StopLogg\u0069ng"}"#, Some(0)),
            (r#"{"eventName":"StopLogging","errorCode":"x"}"#, Some(2)),
            (
                r#"{"eventName":"StopLogging","errorCode":"x","userIdentity":{"userName":"alice"}}"#,
                Some(1),
            ),
            (r#"{"eventName":"DeleteUser"}"#, Some(3)),
            (r#"{"eventName":"GetUser"}"#, None),
            ("{}", None),
            ("", None),
        ] {
            all.know(&[]);
            assert_eq!(all.first(&[], record.as_bytes()), first, "{record}");
        }
    }

    /// What is known of an event decides, and where it does not, the record does.
    #[test]
    fn what_is_known_spares_a_look_at_the_record() {
        let mut all = Several::default();
        for condition in [
            "ct.name=StopLogging and not ct.error exists",
            "ct.user=alice and ct.readonly=false",
            "(ct.name startswith Delete or ct.name contains Destroy) and ct.user in (bob, carol)",
            "ct.src=iam.amazonaws.com and ct.region=x",
            "tolower(ct.user)=dave or ct.value[/a]=1 or s3.bytes > 5",
        ] {
            all.add(condition).unwrap();
        }
        let telling: Vec<&str> = all.telling().into_iter().collect();
        assert_eq!(
            telling,
            ["ct.name", "ct.readonly", "ct.region", "ct.src", "ct.user"]
        );
        let known = ["ct.error", "ct.readonly", "ct.user", "ct.name"];
        all.know(&known);
        for (texts, record, first) in [
            // The record says otherwise, and is not looked at.
            ([None, None, None, Some("StopLogging")], "{}", Some(0)),
            ([Some("x"), None, None, Some("StopLogging")], "{}", None),
            ([None, Some("false"), Some("alice"), None], "{}", Some(1)),
            (
                [None, Some("true"), Some("alice"), None],
                r#"{"readOnly":false}"#,
                None,
            ),
            (
                [None, None, Some("carol"), Some("XDestroyY")],
                "{}",
                Some(2),
            ),
            ([None, None, Some("eve"), Some("Delete")], "{}", None),
            // What is known does not tell.
            (
                [None, None, None, None],
                r#"{"eventSource":"iam.amazonaws.com","awsRegion":"x"}"#,
                Some(3),
            ),
            ([None, None, None, None], r#"{"a":1}"#, Some(4)),
            (
                [None, None, None, None],
                r#"{"userIdentity":{"userName":"Dave"}}"#,
                Some(4),
            ),
        ] {
            assert_eq!(
                all.first(&texts, record.as_bytes()),
                first,
                "{texts:?} {record}"
            );
        }
    }

    #[test]
    fn what_the_record_does_not_tell_is_refused() {
        let mut all = Several::default();
        for (condition, field) in [
            ("ct.name=x or ct.geo.country=DE", "ct.geo.country"),
            ("ct.name=x and not ct.user=val(ct.origin)", "ct.origin"),
        ] {
            let error = all.add(condition).unwrap_err().to_string();
            assert_eq!(error, format!("{field} is not in the event itself"));
        }
        assert!(all.add("ct.nme=x").is_err());
        assert_eq!(all.first(&[], br#"{"eventName":"x"}"#), None);
    }
}
