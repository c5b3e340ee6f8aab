//! What of a filter AWS can apply to log events: a filter pattern, see
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>.

use crate::filter::Required;
use crate::trail::Listed;

/// A pattern's length at AWS, at most.
const LONGEST: usize = 1_024;

/// Which fields are the very members of the record. Of what is computed from several members AWS can't know.
const FIELDS: [(&str, &[&str]); 11] = [
    ("ct.id", &["eventID", "eventId"]),
    ("ct.user.accesskeyid", &["userIdentity.accessKeyId"]),
    ("ct.user.arn", &["userIdentity.arn"]),
    ("ct.user.principalid", &["userIdentity.principalId"]),
    ("ct.srcip", &["sourceIPAddress"]),
    ("ct.requestid", &["requestID"]),
    ("ct.name", &["eventName"]),
    ("ct.error", &["errorCode"]),
    ("ct.src", &["eventSource"]),
    ("ct.region", &["awsRegion"]),
    ("ct.readonly", &["readOnly"]),
];

/// A rule of EventBridge that writes to a log group has the record in this member.
const FORMS: [&str; 2] = ["$.", "$.detail."];

/// A pattern that every record matches that fulfils this, of these accounts and regions. None where there is none.
pub(super) fn pattern(
    required: &[Required],
    accounts: &Listed,
    regions: &Listed,
) -> Option<String> {
    let mut wanted: Vec<(&[&str], Vec<String>)> = Vec::new();
    for (field, members) in FIELDS {
        for one in required.iter().filter(|one| one.field == field) {
            wanted.push((members, one.values.clone()));
        }
    }
    for (list, members) in [
        (accounts, &["recipientAccountId", "accountId"][..]),
        (regions, &["awsRegion"]),
    ] {
        wanted.push((members, list.names().map(str::to_owned).collect()));
    }
    wanted.retain(|(_, values)| !values.is_empty() && values.iter().all(|value| fits(value)));
    let mut used = 0;
    let mut pattern = None;
    // As many as there is room for, in this order.
    while used < wanted.len() {
        let longer = written(&wanted[..=used]);
        if longer.len() > LONGEST {
            wanted.remove(used);
            continue;
        }
        pattern = Some(longer);
        used += 1;
    }
    pattern
}

fn written(wanted: &[(&[&str], Vec<String>)]) -> String {
    let forms = FORMS.map(|form| {
        let parts = wanted.iter().map(|(members, values)| {
            let members = members.iter();
            let parts = members.flat_map(|member| {
                values
                    .iter()
                    .map(move |value| equals(&format!("{form}{member}"), value))
            });
            format!("({})", parts.collect::<Vec<_>>().join(" || "))
        });
        format!("({})", parts.collect::<Vec<_>>().join(" && "))
    });
    format!("{{ {} }}", forms.join(" || "))
}

fn equals(member: &str, value: &str) -> String {
    let text = format!("{member} = \"{value}\"");
    match value {
        "true" => format!("{member} IS TRUE || {text}"),
        "false" => format!("{member} IS FALSE || {text}"),
        _ => text,
    }
}

/// Can this be written between quotes? `*` stands for any letters there, which is more than it means here and does no
/// harm; `%` may begin a regular expression.
fn fits(value: &str) -> bool {
    let is_odd = |letter: char| !(' '..='~').contains(&letter) || "\"\\%".contains(letter);
    !value.is_empty() && !value.contains(is_odd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;

    fn of(filter: &str, accounts: &str, regions: &str) -> Option<String> {
        let required = Filter::parse(filter).unwrap().required();
        let accounts = Listed::accounts(accounts).unwrap();
        pattern(&required, &accounts, &Listed::regions(regions).unwrap())
    }

    #[test]
    fn what_a_filter_requires_is_a_pattern() {
        for (filter, expected) in [
            (
                "ct.name=ConsoleLogin",
                r#"{ (($.eventName = "ConsoleLogin")) || (($.detail.eventName = "ConsoleLogin")) }"#,
            ),
            (
                "ct.readonly=false and ct.name in (a, b) and ct.user=x",
                concat!(
                    r#"{ (($.eventName = "a" || $.eventName = "b") && ($.readOnly IS FALSE || $.readOnly = "false"))"#,
                    r#" || (($.detail.eventName = "a" || $.detail.eventName = "b") && "#,
                    r#"($.detail.readOnly IS FALSE || $.detail.readOnly = "false")) }"#,
                ),
            ),
        ] {
            assert_eq!(of(filter, "", "").as_deref(), Some(expected), "{filter}");
        }
        for filter in [
            "ct.user=alice",
            "not ct.name=a",
            "ct.name contains a",
            "ct.name=a or ct.user=b",
            "ct.name=\"a%b\"",
            "ct.name='ä'",
            "ct.name=''",
        ] {
            assert_eq!(of(filter, "", ""), None, "{filter}");
        }
    }

    #[test]
    fn lists_of_accounts_and_regions_are_a_pattern_too() {
        let pattern = of("", "123456789012", "eu-west-1,us-east-1").unwrap();
        assert!(
            pattern.contains(
                r#"($.recipientAccountId = "123456789012" || $.accountId = "123456789012")"#
            ),
            "{pattern}"
        );
        assert!(
            pattern.contains(r#"($.awsRegion = "eu-west-1" || $.awsRegion = "us-east-1")"#),
            "{pattern}"
        );
    }

    #[test]
    fn a_pattern_is_never_too_long() {
        let names: Vec<String> = (0..100).map(|n| format!("ct.name=Event{n}")).collect();
        let filter = format!("({}) and ct.src=s3.amazonaws.com", names.join(" or "));
        let pattern = of(&filter, "", "").unwrap();
        assert!(!pattern.contains("eventName"), "{pattern}");
        assert!(pattern.contains("eventSource") && pattern.len() <= LONGEST);
    }
}
