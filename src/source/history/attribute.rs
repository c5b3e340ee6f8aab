//! What of a filter AWS can apply to the event history: one attribute a request, see
//! <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupAttribute.html>.

use crate::aws::cloudtrail::Attribute;
use crate::filter::Required;

/// So many values of a list are asked for, a request each; of longer lists AWS applies nothing.
const VALUES: usize = 16;
/// A value's length at AWS, at most.
const LONGEST: usize = 2_000;

/// Which fields have the very value that an attribute is compared with, the attribute that narrows most first.
///
/// Others are not used, since events could be missed: a user name at AWS is the name of a role's session and not that of the
/// role, which `ct.user` shows; and names of resources are derived by CloudTrail and not in the record.
const ATTRIBUTES: [(&str, Attribute); 6] = [
    ("ct.id", Attribute::EventId),
    ("ct.user.accesskeyid", Attribute::AccessKeyId),
    ("ct.originaluser", Attribute::Username),
    ("ct.name", Attribute::EventName),
    ("ct.src", Attribute::EventSource),
    ("ct.readonly", Attribute::ReadOnly),
];

/// The same for Insights events, which have what they are about in other fields.
const OF_INSIGHTS: [(&str, Attribute); 3] = [
    ("ct.id", Attribute::EventId),
    ("ct.insight.name", Attribute::EventName),
    ("ct.insight.source", Attribute::EventSource),
];

/// What AWS applies.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chosen {
    pub attribute: Attribute,
    /// What it has to be: one of these.
    pub values: Vec<String>,
    pub field: &'static str,
}

/// The attribute of management events that narrows most.
pub(super) fn of_events(required: &[Required]) -> Option<Chosen> {
    choose(&ATTRIBUTES, required)
}

/// The same for Insights events of a trail.
pub(super) fn of_insights(required: &[Required]) -> Option<Chosen> {
    choose(&OF_INSIGHTS, required)
}

/// Whether Insights events can fulfil this: of the members that attributes are made from they have an ID only.
pub(super) fn may_be_insights(required: &[Required]) -> bool {
    let mut others = ATTRIBUTES.iter().skip(1);
    !others.any(|(field, _)| required.iter().any(|one| one.field == *field))
}

fn choose(attributes: &[(&str, Attribute)], required: &[Required]) -> Option<Chosen> {
    attributes.iter().find_map(|(field, attribute)| {
        let usable = required.iter().filter(|one| one.field == *field);
        let usable = usable.filter(|one| {
            (1..=VALUES).contains(&one.values.len()) && one.values.iter().all(|value| fits(value))
        });
        let Required { field, values } = usable.min_by_key(|one| one.values.len())?;
        Some(Chosen {
            attribute: *attribute,
            values: values.clone(),
            field,
        })
    })
}

/// AWS counts some characters twice.
fn fits(value: &str) -> bool {
    let twice = value.chars().filter(|char| "_ ,\n".contains(*char)).count();
    let length = value.chars().count() + twice;
    (1..=LONGEST).contains(&length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;

    fn chosen(filter: &str) -> Option<(Attribute, String)> {
        let required = Filter::parse(filter).unwrap().required();
        let chosen = of_events(&required)?;
        Some((chosen.attribute, chosen.values.join("|")))
    }

    #[test]
    fn the_attribute_that_narrows_most_is_chosen() {
        for (filter, expected) in [
            (
                "ct.name=RunInstances",
                Some((Attribute::EventName, "RunInstances")),
            ),
            (
                "ct.readonly=false and ct.user.accesskeyid in (AKIAB, AKIAA) and ct.name=x",
                Some((Attribute::AccessKeyId, "AKIAA|AKIAB")),
            ),
            (
                "ct.name=a or ct.name in (c, b)",
                Some((Attribute::EventName, "a|b|c")),
            ),
            (
                "(ct.src=s3.amazonaws.com and ct.name=a) or (ct.src=s3.amazonaws.com and ct.error exists)",
                Some((Attribute::EventSource, "s3.amazonaws.com")),
            ),
            (
                "ct.name in (a, b, c) and ct.name in (b, c)",
                Some((Attribute::EventName, "b|c")),
            ),
            (
                "ct.originaluser=alice",
                Some((Attribute::Username, "alice")),
            ),
            // These say something else, or nothing for certain.
            ("ct.user=alice", None),
            ("ct.name=a or ct.user=b", None),
            ("not ct.name=a", None),
            ("ct.name != a", None),
            ("ct.name contains a", None),
            ("tolower(ct.name)=a", None),
            ("ct.name=''", None),
            ("ct.name in (a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q)", None),
        ] {
            let expected = expected.map(|(attribute, values)| (attribute, values.to_owned()));
            assert_eq!(chosen(filter), expected, "{filter}");
        }
        let long = format!("ct.name='{}'", "_".repeat(1_001));
        assert_eq!(chosen(&long), None);
    }

    #[test]
    fn insights_events_are_not_asked_for_where_they_can_not_be_meant() {
        let may_be = |filter: &str| may_be_insights(&Filter::parse(filter).unwrap().required());
        assert!(may_be("ct.id=x"));
        assert!(may_be("ct.insight.name=RunInstances"));
        assert!(may_be("ct.name=a or ct.insight.name=a"));
        assert!(!may_be("ct.name=a"));
        assert!(!may_be("ct.user.accesskeyid=a and ct.insight.name exists"));
    }
}
