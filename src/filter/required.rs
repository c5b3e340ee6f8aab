//! What a condition requires for certain: values that some fields must have, whatever else it says. Who can choose by
//! these, as AWS can, need not give the rest.

use super::condition::{Check, Condition, OwnedArgument, Test, TextTest};

/// A field that has to have one of these values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Required {
    pub field: &'static str,
    /// Each once, in alphabetical order.
    pub values: Vec<String>,
}

/// All that is required, each field as often as there are conditions for it.
pub(super) fn required(condition: &Condition) -> Vec<Required> {
    match condition {
        Condition::All(parts) => parts.iter().flat_map(required).collect(),
        Condition::Any(parts) => any(parts),
        Condition::Not(_) => Vec::new(),
        Condition::Check(check) => of_check(check).into_iter().collect(),
    }
}

/// What every part requires of the same field: one of the values of them all.
fn any(parts: &[Condition]) -> Vec<Required> {
    let mut parts = parts.iter().map(required);
    let mut common = parts.next().unwrap_or_default();
    for part in parts {
        common.retain_mut(|one| {
            let other = part.iter().find(|other| other.field == one.field);
            one.values
                .extend(other.iter().flat_map(|other| other.values.clone()));
            other.is_some()
        });
    }
    for one in &mut common {
        one.values.sort_unstable();
        one.values.dedup();
    }
    common
}

fn of_check(Check { left, test }: &Check) -> Option<Required> {
    let is_plain = left.transformers.is_empty() && matches!(left.argument, OwnedArgument::None);
    let values: Vec<&Vec<u8>> = match test {
        Test::Text(TextTest::Equal(value)) => vec![value],
        Test::Text(TextTest::In(values)) => values.iter().collect(),
        _ => return None,
    };
    let texts = values
        .into_iter()
        .map(|value| String::from_utf8_lossy(value).into_owned());
    let mut values: Vec<String> = texts.collect();
    values.sort_unstable();
    is_plain.then_some(Required {
        field: left.field.name,
        values,
    })
}
