//! Log groups of CloudWatch Logs: by name, pattern, ARN or the console's URL, or all that hold CloudTrail's events.

use anyhow::{Result, bail, ensure};
use url::Url;

use super::{Location, decode};
use crate::trail::is_region;

/// Log groups, each part as the user has named it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LogsLocation {
    pub parts: Vec<LogGroups>,
}

/// One or several log groups.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogGroups {
    pub place: Place,
    pub name: GroupName,
}

/// Where log groups are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    /// In the region of the configuration.
    Configured,
    Region(String),
    /// In every region of the partition.
    All,
}

/// What log groups are called.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum GroupName {
    /// Those that trails and telemetry rules write to.
    OfCloudTrail,
    Name(String),
    /// Those whose name this matches, where `*` stands for any letters.
    Pattern(String),
    /// The ARN without `:*` behind it, and the name in it.
    Arn {
        arn: String,
        name: String,
    },
}

/// What errors show as right.
const GIVE: &str = "give logs://GROUP, logs://REGION/GROUP, several with commas between, a log group's ARN, or logs:// alone \
     for those of your trails and telemetry rules";

/// `[REGION/]GROUP`, an ARN, a region or `all`, several separated by commas; nothing for those of CloudTrail.
pub(super) fn logs(text: &str, params: &str) -> Result<Location> {
    if text.trim().is_empty() {
        let name = GroupName::OfCloudTrail;
        let place = Place::Configured;
        return Ok(of_parts(vec![LogGroups { place, name }]));
    }
    let parts = text.split(',').map(|part| group(part.trim(), params));
    let mut found = Vec::new();
    for part in parts {
        let part = part?;
        if !found.contains(&part) {
            found.push(part);
        }
    }
    Ok(of_parts(found))
}

fn of_parts(parts: Vec<LogGroups>) -> Location {
    Location::Logs(LogsLocation { parts })
}

fn group(text: &str, params: &str) -> Result<LogGroups> {
    ensure!(!text.is_empty(), "{params}: a log group is missing: {GIVE}");
    if text.starts_with("arn:") {
        return by_arn(text, params);
    }
    let (first, rest) = match text.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (text, None),
    };
    let place = match first.to_ascii_lowercase() {
        all if all == "all" => Some(Place::All),
        region if is_region(&region) => Some(Place::Region(region)),
        _ => None,
    };
    Ok(match (place, rest) {
        (Some(place), None | Some("")) => LogGroups {
            place,
            name: GroupName::OfCloudTrail,
        },
        (Some(place), Some(rest)) => LogGroups {
            place,
            name: name_or_pattern(rest, params)?,
        },
        (None, _) => LogGroups {
            place: Place::Configured,
            name: name_or_pattern(text, params)?,
        },
    })
}

fn name_or_pattern(text: &str, params: &str) -> Result<GroupName> {
    if text.contains('*') {
        check(&text.replace('*', ""), text, params)?;
        return Ok(GroupName::Pattern(text.to_owned()));
    }
    check(text, text, params)?;
    ensure!(!text.is_empty(), "{params}: a log group is missing: {GIVE}");
    Ok(GroupName::Name(text.to_owned()))
}

/// Can these letters be in a log group's name?
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html>
fn check(letters: &str, name: &str, params: &str) -> Result<()> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || ".-_/#".contains(letter);
    if let Some(odd) = letters.chars().find(|letter| !fits(*letter)) {
        bail!(
            "{params}: {name:?} can't be a log group's name: {odd:?} is in it, but only letters, digits and . - _ / # may \
             be: {GIVE}"
        );
    }
    ensure!(
        letters.len() <= 512,
        "{params}: a log group's name has 512 letters at most, and this has {}",
        letters.len()
    );
    Ok(())
}

/// `arn:aws:logs:REGION:ACCOUNT:log-group:NAME`, with or without `:*`.
fn by_arn(text: &str, params: &str) -> Result<LogGroups> {
    let wrong = || {
        anyhow::anyhow!(
            "{params}: is not the ARN of a log group, which looks like \
             arn:aws:logs:us-east-1:123456789012:log-group:NAME"
        )
    };
    let arn = text.strip_suffix(":*").unwrap_or(text);
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", _, "logs", region, account, "log-group", name] = parts[..] else {
        // Of a stream: those of other streams would be missing.
        return Err(wrong());
    };
    if !is_region(region) || !crate::trail::is_account(account) || name.is_empty() {
        return Err(wrong());
    }
    check(name, name, params)?;
    Ok(LogGroups {
        place: Place::Region(region.to_owned()),
        name: GroupName::Arn {
            arn: arn.to_owned(),
            name: name.to_owned(),
        },
    })
}

/// The console's page of a log group: `/cloudwatch/home?region=REGION#logsV2:log-groups/log-group/NAME/…`, in which the name
/// is percent-encoded twice, with `$` for `%`. None of another page.
pub(super) fn console(url: &Url, region: &str, params: &str) -> Result<Option<Location>> {
    let Some(name) = url
        .fragment()
        .and_then(|fragment| fragment.strip_prefix("logsV2:log-groups/log-group/"))
    else {
        return Ok(None);
    };
    let name = name.split('/').next().unwrap_or_default();
    // A query of the page follows, as $3F….
    let name = decode(&name.replace('$', "%"))?;
    let name = decode(name.split('?').next().unwrap_or_default())?;
    check(&name, &name, params)?;
    ensure!(!name.is_empty(), "{params}: a log group is missing: {GIVE}");
    let place = match is_region(region) {
        true => Place::Region(region.to_owned()),
        false => Place::Configured,
    };
    let name = GroupName::Name(name);
    Ok(Some(of_parts(vec![LogGroups { place, name }])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(place: Place, name: GroupName) -> Vec<LogGroups> {
        vec![LogGroups { place, name }]
    }

    fn parse(params: &str) -> Result<Vec<LogGroups>> {
        match Location::parse(params, None)? {
            Location::Logs(LogsLocation { parts }) => Ok(parts),
            other => bail!("{other:?}"),
        }
    }

    #[test]
    fn log_groups_are_named_in_every_form_that_people_write() {
        let region = |name: &str| Place::Region(name.to_owned());
        let name = |name: &str| GroupName::Name(name.to_owned());
        let pattern = |name: &str| GroupName::Pattern(name.to_owned());
        let arn = |arn: &str, name: &str| GroupName::Arn {
            arn: arn.to_owned(),
            name: name.to_owned(),
        };
        let trails = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/trail";
        for (params, place, expected) in [
            ("logs://trail", Place::Configured, name("trail")),
            ("LOGS://trail", Place::Configured, name("trail")),
            (
                "logs://aws/cloudtrail/managementevents",
                Place::Configured,
                name("aws/cloudtrail/managementevents"),
            ),
            ("logs:///aws/x", Place::Configured, name("/aws/x")),
            ("logs://us-east-1/x", region("us-east-1"), name("x")),
            (
                "logs://us-east-1//aws/x",
                region("us-east-1"),
                name("/aws/x"),
            ),
            (
                "logs://us-gov-west-1/CloudTrail/DefaultLogGroup",
                region("us-gov-west-1"),
                name("CloudTrail/DefaultLogGroup"),
            ),
            // What only looks like a region is a part of the name.
            ("logs://us-east/x", Place::Configured, name("us-east/x")),
            ("logs://all/x", Place::All, name("x")),
            ("logs://trail-*", Place::Configured, pattern("trail-*")),
            ("logs://all//aws/*", Place::All, pattern("/aws/*")),
            ("logs://", Place::Configured, GroupName::OfCloudTrail),
            ("logs:// ", Place::Configured, GroupName::OfCloudTrail),
            (
                "logs://eu-west-1",
                region("eu-west-1"),
                GroupName::OfCloudTrail,
            ),
            (
                "logs://EU-west-1/",
                region("eu-west-1"),
                GroupName::OfCloudTrail,
            ),
            ("logs://all", Place::All, GroupName::OfCloudTrail),
            (trails, region("eu-west-1"), arn(trails, "/aws/trail")),
            (
                &format!("{trails}:*"),
                region("eu-west-1"),
                arn(trails, "/aws/trail"),
            ),
            (
                &format!("logs://{trails}:*"),
                region("eu-west-1"),
                arn(trails, "/aws/trail"),
            ),
            (
                "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Faws$252Ftrail/log-events/123456789012_CloudTrail_eu-west-1",
                region("eu-west-1"),
                name("/aws/trail"),
            ),
            (
                "https://eu-west-1.console.aws.amazon.com/cloudwatch/home#logsV2:log-groups/log-group/aws-cloudtrail-logs-1-ab",
                region("eu-west-1"),
                name("aws-cloudtrail-logs-1-ab"),
            ),
            (
                "https://console.amazonaws.cn/cloudwatch/home?region=cn-north-1#logsV2:log-groups/log-group/trail$3FlogStreamNameFilter$3Dx",
                region("cn-north-1"),
                name("trail"),
            ),
        ] {
            assert_eq!(parse(params).unwrap(), one(place, expected), "{params}");
        }
        let two = format!("{trails},arn:aws:logs:us-east-1:123456789012:log-group:b:*");
        let parts = parse(&two).unwrap();
        assert_eq!(parts.len(), 2, "{parts:?}");
        let parts = parse("logs://us-east-1/a, eu-west-1/a,us-east-1/a").unwrap();
        assert_eq!(parts.len(), 2, "{parts:?}");
    }

    #[test]
    fn errors_say_what_is_wrong_with_a_log_group() {
        for (params, expected) in [
            ("logs://a,", "a log group is missing"),
            ("logs://my group", "' ' is in it, but only letters"),
            ("logs://us-east-1/a:b", "':' is in it"),
            ("logs://a?", "'?' is in it"),
            (
                "arn:aws:logs:us-east-1:123456789012:log-group:a:log-stream:b",
                "is not the ARN of a log group",
            ),
            ("logs://arn:aws:s3:::logs", "is not the ARN of a log group"),
            ("arn:aws:logs:us-east-1:12:log-group:a", "is not the ARN"),
            (
                "arn:aws:logs:us-east-1:123456789012:query-definition:x",
                "is not the ARN",
            ),
            (
                "logs:trail",
                "a URL has two slashes behind the colon: logs://trail",
            ),
            ("'logs://a'", "leave out the quotes around it: logs://a"),
        ] {
            let error = format!("{:#}", parse(params).unwrap_err());
            assert!(error.contains(expected), "{params}: {error}");
        }
        let long = format!("logs://{}", "x".repeat(513));
        assert!(
            parse(&long)
                .unwrap_err()
                .to_string()
                .contains("512 letters")
        );
    }
}
