//! Which log groups are meant: those that are named, those that match, or those of trails and telemetry rules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use futures_util::future::join_all;

use super::NAMED;
use crate::aws::cloudtrail::groups_of_trails;
use crate::aws::logs::{Group, LogsRegion};
use crate::aws::{self, Kind, Login};
use crate::settings::location::{GroupName, LogGroups, LogsLocation, Place};
use crate::settings::partitions::Partition;
use crate::stats::{Stats, count};

/// A group, and the region that it is in.
pub(super) type Located = (Arc<LogsRegion>, Group);

/// The groups that are meant.
pub(super) struct Found {
    /// What users call them, such as `logs://us-east-1/trail`.
    pub name: String,
    pub groups: Vec<Located>,
    /// They were looked for, so that one that can't be read is not an error.
    pub is_search: bool,
}

/// Find them. An error says which there are.
pub(super) async fn find(
    location: &LogsLocation,
    login: &Arc<Login>,
    follow: bool,
    stats: &Arc<Stats>,
) -> Result<Found> {
    let configured = configured(location, login).await?;
    let mut finder = Finder {
        login,
        follow,
        stats,
        regions: BTreeMap::new(),
        said: AtomicBool::new(false),
    };
    let mut names = Vec::new();
    let mut groups: Vec<Located> = Vec::new();
    let mut is_search = false;
    for part in &location.parts {
        let regions = match &part.place {
            Place::Configured => vec![configured.clone()],
            Place::Region(region) => vec![region.clone()],
            Place::All => {
                let partition = Partition::of(&configured);
                partition.regions.iter().map(ToString::to_string).collect()
            }
        };
        names.push(part_name(part, &configured));
        is_search |=
            regions.len() > 1 || !matches!(part.name, GroupName::Name(_) | GroupName::Arn { .. });
        for group in finder.part(part, &regions).await? {
            // The same may be named twice, and found as well.
            let is_known = |(_, known): &Located| {
                known.region == group.1.region
                    && known.name == group.1.name
                    && known.arn == group.1.arn
            };
            if !groups.iter().any(is_known) {
                groups.push(group);
            }
        }
    }
    Ok(Found {
        name: format!("logs://{}", names.join(",")),
        groups,
        is_search,
    })
}

/// The region of the configuration, where one is needed.
async fn configured(location: &LogsLocation, login: &Arc<Login>) -> Result<String> {
    let access = login.current().0;
    let needs = |part: &LogGroups| part.place == Place::Configured;
    if !location.parts.iter().any(needs) {
        return Ok(access.region().unwrap_or_default());
    }
    access.region_of_logs().await.context(
        "the region of the log group is not known: set aws.region, or give logs://REGION/GROUP or the group's ARN",
    )
}

fn part_name(part: &LogGroups, configured: &str) -> String {
    let place = match &part.place {
        Place::Configured => configured,
        Place::Region(region) => region,
        Place::All => "all",
    };
    match &part.name {
        GroupName::OfCloudTrail => place.to_owned(),
        GroupName::Name(name) | GroupName::Pattern(name) => format!("{place}/{name}"),
        GroupName::Arn { arn, .. } => arn.clone(),
    }
}

struct Finder<'a> {
    login: &'a Arc<Login>,
    follow: bool,
    stats: &'a Arc<Stats>,
    /// One for each region, so that all its groups share its pace.
    regions: BTreeMap<String, Arc<LogsRegion>>,
    /// It was said that some groups are not found.
    said: AtomicBool,
}

impl Finder<'_> {
    fn region(&mut self, name: &str) -> Arc<LogsRegion> {
        let new = || LogsRegion::new(name, self.login, self.follow, self.stats);
        let region = self.regions.entry(name.to_owned());
        Arc::clone(region.or_insert_with(|| Arc::new(new())))
    }

    /// Of many regions one is enough.
    fn say_once(&self, line: String) {
        if !self.said.swap(true, Ordering::Relaxed) {
            self.stats.warn(line);
        }
    }

    /// The groups of a part, in these regions.
    async fn part(&mut self, part: &LogGroups, regions: &[String]) -> Result<Vec<Located>> {
        let in_all = part.place == Place::All;
        let asked: Vec<Arc<LogsRegion>> = regions.iter().map(|name| self.region(name)).collect();
        let found = asked.iter().map(async |region| {
            let found = match &part.name {
                GroupName::OfCloudTrail => return self.of_cloudtrail(region).await,
                GroupName::Name(name) => named(region, name, in_all).await,
                GroupName::Arn { arn, name } => by_arn(region, name, arn).await,
                GroupName::Pattern(pattern) => matching(region, pattern).await,
            };
            found.map(|groups| groups.into_iter().map(Named::Group).collect())
        });
        let found = join_all(found).await;
        let mut groups = Vec::new();
        let mut refused = Vec::new();
        for (region, found) in asked.iter().zip(found) {
            match found {
                Ok(found) => {
                    for named in found {
                        // All regions tell of the same trail.
                        if let Named::Elsewhere(group) = &named
                            && groups
                                .iter()
                                .any(|(_, known): &Located| known.arn == group.arn)
                        {
                            continue;
                        }
                        groups.push(match named {
                            Named::Group(group) => (Arc::clone(region), group),
                            // A trail's group may be in another region than the trail.
                            Named::Elsewhere(group) => {
                                let region = self.region(&group.region);
                                let arn = group.arn.as_deref().unwrap_or_default();
                                // Its class has to be known, if it can be.
                                let described = region.with_arn(&group.name, arn).await;
                                (region, described.ok().flatten().unwrap_or(group))
                            }
                        });
                    }
                }
                // Of all regions, some may not be enabled, or not be allowed.
                Err(error)
                    if in_all
                        && (matches!(error.kind, Kind::CredentialsInvalid | Kind::Denied)
                            || error.kind.is_transient() && self.follow) =>
                {
                    refused.push(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(first) = refused.first().filter(|_| !groups.is_empty()) {
            self.stats.note(format!(
                "{} not read, for want of access, since they are not enabled or don't answer: {first}",
                count(refused.len() as u64, "region")
            ));
        }
        if groups.is_empty() {
            if let Some(error) = refused.into_iter().next() {
                return Err(error.into());
            }
            return Err(none(part, &asked).await);
        }
        Ok(groups)
    }

    /// The groups that trails and telemetry rules write to. Where one of the two can't be asked for, that is logged.
    async fn of_cloudtrail(&self, region: &Arc<LogsRegion>) -> Result<Vec<Named>, aws::Error> {
        let trails = groups_of_trails(self.login, &region.name, self.stats).await;
        let rules = region.of_cloudtrail().await;
        let (trails, rules) = match (trails, rules) {
            (Ok(trails), Ok(rules)) => (trails, rules),
            (Err(error), Err(_)) => return Err(error),
            (Ok(trails), Err(error)) => {
                self.say_once(format!(
                    "log groups of telemetry rules are not found: {error}"
                ));
                (trails, Vec::new())
            }
            (Err(error), Ok(rules)) => {
                self.say_once(format!("log groups of trails are not found: {error}"));
                (Vec::new(), rules)
            }
        };
        let mut found: Vec<Named> = Vec::new();
        for arn in trails {
            if rules.iter().any(|rule| rule.arn.as_ref() == Some(&arn)) {
                continue;
            }
            if let [_, _, _, region, _, _, name] = arn.splitn(7, ':').collect::<Vec<_>>()[..] {
                found.push(Named::Elsewhere(Group::with_arn(region, name, &arn)));
            }
        }
        found.extend(rules.into_iter().map(Named::Group));
        Ok(found)
    }
}

/// A group that was found.
enum Named {
    /// In the region that was asked.
    Group(Group),
    Elsewhere(Group),
}

/// The group of this name. Where nobody may say whether there is one, it may be read all the same.
async fn named(region: &LogsRegion, name: &str, in_all: bool) -> Result<Vec<Group>, aws::Error> {
    match region.named(name).await {
        Ok(group) => Ok(group.into_iter().collect()),
        Err(error) if error.kind == Kind::Denied && !in_all => {
            Ok(vec![Group::named(&region.name, name)])
        }
        Err(error) => Err(error),
    }
}

/// The same of an ARN. Whether there is such a group of another account, reading it tells.
async fn by_arn(region: &LogsRegion, name: &str, arn: &str) -> Result<Vec<Group>, aws::Error> {
    match region.with_arn(name, arn).await {
        Ok(Some(group)) => Ok(vec![group]),
        Ok(None) => Ok(vec![Group::with_arn(&region.name, name, arn)]),
        Err(error) if error.kind == Kind::Denied => {
            Ok(vec![Group::with_arn(&region.name, name, arn)])
        }
        Err(error) => Err(error),
    }
}

async fn matching(region: &LogsRegion, pattern: &str) -> Result<Vec<Group>, aws::Error> {
    let pieces: Vec<&str> = pattern.split('*').collect();
    let longest = pieces.iter().copied().max_by_key(|piece| piece.len());
    let found = region.matching(pieces[0], longest.unwrap_or_default(), |name| {
        matches(name, &pieces)
    });
    found.await
}

/// Do these pieces follow one another in a name, the first at its beginning and the last at its end?
fn matches(name: &str, pieces: &[&str]) -> bool {
    let [first, middle @ .., last] = pieces else {
        return pieces == [name];
    };
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    for piece in middle {
        match rest.split_once(piece) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// There is no such group: which there are instead.
async fn none(part: &LogGroups, regions: &[Arc<LogsRegion>]) -> anyhow::Error {
    let place = match regions {
        [region] => region.name.clone(),
        regions => count(regions.len() as u64, "region"),
    };
    let what = match &part.name {
        GroupName::OfCloudTrail => {
            return anyhow::anyhow!(
                "no log group of CloudTrail was found in {place}: no trail there sends events to CloudWatch Logs, and no \
                 telemetry rule has made one: give its name, as in logs://us-east-1/GROUP"
            );
        }
        GroupName::Name(name) | GroupName::Arn { name, .. } => format!("called {name:?}"),
        GroupName::Pattern(pattern) => format!("that matches {pattern:?}"),
    };
    let there = match regions {
        [region] => region.examples().await,
        _ => Vec::new(),
    };
    let there = match there.len() {
        0 => String::new(),
        n if n > NAMED => format!("; there are {}, …", there[..NAMED].join(", ")),
        _ => format!("; there is {}", there.join(", ")),
    };
    anyhow::anyhow!(
        "there is no log group {what} in {place}{there}: check its name and region (logs://REGION/GROUP); one of another account is \
         given as its ARN"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_patterns() {
        for (pattern, name, expected) in [
            ("trail-*", "trail-1", true),
            ("trail-*", "trail-", true),
            ("trail-*", "my-trail-1", false),
            ("*trail*", "my-trail-1", true),
            ("*/events", "aws/cloudtrail/events", true),
            ("*/events", "aws/cloudtrail/events2", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("*", "anything", true),
        ] {
            let pieces: Vec<&str> = pattern.split('*').collect();
            assert_eq!(matches(name, &pieces), expected, "{pattern} {name}");
        }
    }
}
