//! Several values as one text, since Stratoshark shows no lists.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{COMPUTED, Text, text_at};
use crate::record::{Member, Record, Value};

/// A function that is called with each of several things.
pub(super) type Each<'e, T> = &'e mut dyn FnMut(T);

/// A path to values: from a known member by these names, and through every element of arrays.
///
/// CloudTrail writes XML's elements as an array only where there are several.
pub(crate) struct Path(Member, &'static [&'static str]);

/// A member, or its elements.
pub(super) const fn all(member: Member) -> Path {
    Path(member, &[])
}

/// What is below a member.
pub(super) const fn below(member: Member, names: &'static [&'static str]) -> Path {
    Path(member, names)
}

impl Path {
    /// The known member that it begins with.
    pub fn member(&self) -> Member {
        self.0
    }

    /// The path, with dots between the names.
    pub fn name(&self) -> String {
        let names = self.1.iter().map(|&name| name.to_owned());
        std::iter::once(self.0.path())
            .chain(names)
            .collect::<Vec<_>>()
            .join(".")
    }

    /// All that it leads to.
    pub fn joined<'a>(&self, record: &mut Record<'a>) -> Option<Text<'a>> {
        joined(&mut |each| self.each(record, each))
    }

    /// Calls `each` with the values that it leads to.
    pub fn each<'a>(&self, record: &mut Record<'a>, each: Each<Value<'a>>) {
        if let Some(value) = record.get(self.0) {
            each_below(value, self.1, each);
        }
    }
}

/// Calls `each` with the values that names lead to from a value.
pub(super) fn each_below<'a>(value: Value<'a>, names: &[&str], each: Each<Value<'a>>) {
    if value.is_array() {
        for element in value.elements() {
            // One level is enough, for CloudTrail writes no arrays of arrays.
            if !element.is_array() {
                each_below(element, names, each);
            }
        }
        return;
    }
    match names {
        [] => each(value),
        [name, rest @ ..] => {
            if let Some(value) = value.member(name) {
                each_below(value, rest, each);
            }
        }
    }
}

/// The texts of the values that `values` gives to the function that it gets, each once, separated by commas.
pub(crate) fn joined<'a>(values: &mut dyn FnMut(Each<Value<'a>>)) -> Option<Text<'a>> {
    joined_texts(&mut |each| values(&mut |value| each(text_at(value))))
}

/// The texts that `texts` gives to the function that it gets, each once, separated by commas. A single one has its own
/// place.
pub(super) fn joined_texts<'a>(texts: &mut dyn FnMut(Each<Option<Text<'a>>>)) -> Option<Text<'a>> {
    let mut first: Option<Text<'a>> = None;
    let mut all = Vec::new();
    let mut seen = Seen::default();
    texts(&mut |text| {
        let Some((text, range)) = text else {
            return;
        };
        let Some((one, _)) = &first else {
            first = Some((text, range));
            return;
        };
        if text == *one {
            return;
        }
        if seen.has(&text) {
            return;
        }
        if all.is_empty() {
            all.extend_from_slice(one);
        }
        all.push(b',');
        all.extend_from_slice(&text);
        seen.add(text);
    });
    if all.is_empty() {
        return first;
    }
    Some((all.into(), COMPUTED))
}

/// The texts that were seen. Most often they are few.
#[derive(Default)]
struct Seen<'a> {
    few: Vec<Cow<'a, [u8]>>,
    many: HashSet<Cow<'a, [u8]>>,
}

impl<'a> Seen<'a> {
    fn has(&self, text: &[u8]) -> bool {
        self.few.iter().any(|seen| **seen == *text) || self.many.contains(text)
    }

    fn add(&mut self, text: Cow<'a, [u8]>) {
        if self.few.len() < 8 {
            self.few.push(text);
        } else {
            self.many.insert(text);
        }
    }
}

/// `ct.resource.arns`
pub(super) fn resource_arns<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    // Some services write it small.
    resources(record, &["ARN", "arn"])
}

/// `ct.resource.types`
pub(super) fn resource_types<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    resources(record, &["type"])
}

/// `ct.resource.accounts`
pub(super) fn resource_accounts<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    resources(record, &["accountId"])
}

fn resources<'a>(record: &mut Record<'a>, names: &[&str]) -> Option<Text<'a>> {
    let resources = record.get(Member::Resources)?;
    joined(&mut |each| {
        resources
            .elements()
            .filter_map(|resource| names.iter().find_map(|name| resource.member(name)))
            .for_each(each)
    })
}

/// `ct.aggregate.names`
pub(super) fn aggregate_names<'a>(record: &mut Record<'a>) -> Option<Text<'a>> {
    below(Member::DimensionStatistics, &["name"]).joined(record)
}

/// `ct.aggregate.count`
pub(super) fn aggregate_count(record: &mut Record<'_>) -> Option<u64> {
    let statistics = record.get(Member::DimensionStatistics)?.elements();
    statistics
        .filter_map(|statistic| statistic.member("value")?.number())
        .reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, text};
    use super::*;

    const NAMES: Path = below(Member::RequestParameters, &["items", "name"]);

    fn names(record: &str) -> Option<String> {
        text(record, |record| NAMES.joined(record))
    }

    #[test]
    fn each_value_comes_once_in_its_order() {
        for (items, expected) in [
            ("[]", None),
            ("null", None),
            (r#"[{"name":null}]"#, None),
            (r#"[{"name":"a"}]"#, Some("a")),
            // CloudTrail writes XML's elements as an array only where there are several.
            (r#"{"name":"a"}"#, Some("a")),
            (
                r#"[{"name":"b"},{"name":"a"},{"x":1},{"name":"b"},{"name":7},{"name":"a"}]"#,
                Some("b,a,7"),
            ),
            (r#"[{"name":["a","b"]},{"name":"c"}]"#, Some("a,b,c")),
            // Arrays of arrays, which no service writes.
            (r#"[[{"name":"a"}]]"#, None),
        ] {
            let record = format!(r#"{{"requestParameters":{{"items":{items}}}}}"#);
            assert_eq!(names(&record).as_deref(), expected, "{record}");
        }
        assert_eq!(names("{}"), None);
        assert_eq!(NAMES.name(), "requestParameters.items.name");
    }

    #[test]
    fn a_single_value_has_its_own_place() {
        let range = |record: &str| answer(record, |record| Some(NAMES.joined(record)?.1));
        let record = r#"{"requestParameters":{"items":[{"name":"a"},{"name":"a"}]}}"#;
        let place = range(record).expect("a value");
        assert_eq!(&record[place], "\"a\"");
        let record = r#"{"requestParameters":{"items":[{"name":"a"},{"name":"b"}]}}"#;
        assert_eq!(range(record), Some(COMPUTED));
    }

    #[test]
    fn resources_and_counts() {
        let record = r#"{"resources":[{"ARN":"a","type":"t","accountId":"1"},{"arn":"b","type":"t","accountId":"1"}],
            "summary":{"primaryDimension":{"statistics":[{"name":"n","value":2},{"name":"m","value":3},{"name":"o"}]}}}"#;
        assert_eq!(text(record, resource_arns).as_deref(), Some("a,b"));
        assert_eq!(text(record, resource_types).as_deref(), Some("t"));
        assert_eq!(text(record, resource_accounts).as_deref(), Some("1"));
        assert_eq!(text(record, aggregate_names).as_deref(), Some("n,m,o"));
        assert_eq!(answer(record, aggregate_count), Some(5));
        let large = r#"{"summary":{"primaryDimension":{"statistics":[{"value":18446744073709551615},{"value":3}]}}}"#;
        assert_eq!(answer(large, aggregate_count), Some(u64::MAX));
        assert_eq!(answer("{}", aggregate_count), None);
    }
}
