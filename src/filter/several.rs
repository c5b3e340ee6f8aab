//! Several conditions that are asked of the same event, as Falco asks those of its rules: the first that holds counts.

use std::collections::HashMap;

use anyhow::{Result, anyhow, ensure};

use super::condition::Condition;
use super::required::required;
use super::{LONGEST, compile, parser, shown};
use crate::fields::Beside;
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

    /// The number of the first condition that holds for a record, counted from 0 as they were added.
    pub fn first(&mut self, record: &[u8]) -> Option<usize> {
        let mut record = Record::new(record, &mut self.index);
        let name = record.text(Member::EventName);
        let by_name = name.and_then(|name| self.by_name.get(&*name));
        let mut by_name = by_name.into_iter().flatten().copied().peekable();
        let mut of_any_name = self.of_any_name.iter().copied().peekable();
        let mut beside = Beside::default();
        loop {
            let number = match (by_name.peek(), of_any_name.peek()) {
                (Some(one), Some(other)) if one < other => by_name.next(),
                (Some(_), None) => by_name.next(),
                _ => of_any_name.next(),
            }?;
            let condition = self.conditions.get(number)?;
            if condition.holds(&mut record, &mut beside) == Some(true) {
                return Some(number);
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
            assert_eq!(all.first(record.as_bytes()), first, "{record}");
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
        assert_eq!(all.first(br#"{"eventName":"x"}"#), None);
    }
}
