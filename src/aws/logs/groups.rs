//! Which log groups there are: by name, by a part of it, by where their events come from.

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatchlogs::types::{DataSourceFilter, LogGroup, LogGroupClass};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{LogsRegion, OPEN};
use crate::aws::error::{Error, Kind};
use crate::aws::operation::Operation;
use crate::aws::sessions::Session;
use crate::settings::partitions::Partition;

/// Groups of a page, the most that AWS gives.
const PAGE: i32 = 50;
/// The data source that events of CloudTrail have, whoever has sent them to the group.
const CLOUDTRAIL: &str = "aws_cloudtrail";
/// How long a pattern of ListLogGroups may be, in letters.
const PATTERN: std::ops::RangeInclusive<usize> = 3..=24;

/// A log group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub region: String,
    pub name: String,
    /// Without `:*` behind it; none where it is not known.
    pub arn: Option<String>,
    /// It is asked for by its ARN, since it may be another account's.
    pub by_arn: bool,
    pub class: Class,
    /// When it was made, in milliseconds since the epoch.
    pub created: Option<i64>,
    pub stored_bytes: Option<i64>,
}

/// What can be done with a log group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Class {
    /// Its events can be read; also where the class is not known.
    Standard,
    /// They can be queried by Logs Insights only.
    InfrequentAccess,
    /// They can't be read at all.
    Delivery,
}

impl Group {
    /// One of which no more is known than its name.
    pub fn named(region: &str, name: &str) -> Self {
        Self {
            region: region.to_owned(),
            name: name.to_owned(),
            arn: None,
            by_arn: false,
            class: Class::Standard,
            created: None,
            stored_bytes: None,
        }
    }

    /// One of which no more is known than its ARN, without `:*`.
    pub fn with_arn(region: &str, name: &str, arn: &str) -> Self {
        Self {
            arn: Some(arn.to_owned()),
            by_arn: true,
            ..Self::named(region, name)
        }
    }

    /// As users name it.
    pub fn shown(&self) -> String {
        match &self.arn {
            Some(arn) if self.by_arn => arn.clone(),
            _ => format!("{}/{}", self.region, self.name),
        }
    }

    /// As policies name it, which they do with `:*` for its streams.
    pub fn resource(&self) -> String {
        match &self.arn {
            Some(arn) => format!("{arn}:*"),
            None => {
                let Self { region, name, .. } = self;
                let partition = Partition::of(region).name;
                format!("arn:{partition}:logs:{region}:ACCOUNT:log-group:{name}:*")
            }
        }
    }

    /// Name or ARN, for requests that take one of the two.
    pub(super) fn asked_by(&self) -> (Option<String>, Option<String>) {
        match &self.arn {
            Some(arn) if self.by_arn => (None, Some(arn.clone())),
            _ => (Some(self.name.clone()), None),
        }
    }

    /// Name or ARN, for requests that take either.
    pub(super) fn identifier(&self) -> String {
        let (name, arn) = self.asked_by();
        arn.or(name).unwrap_or_default()
    }

    fn described(region: &str, group: LogGroup) -> Option<Self> {
        let name = group.log_group_name?;
        // Only the older of the two has `:*` behind it.
        let older = group.arn.as_deref();
        let older = older.map(|arn| arn.strip_suffix(":*").unwrap_or(arn).to_owned());
        Some(Self {
            arn: group.log_group_arn.or(older),
            class: class(group.log_group_class.as_ref()),
            created: group.creation_time,
            stored_bytes: group.stored_bytes,
            ..Self::named(region, &name)
        })
    }
}

fn class(class: Option<&LogGroupClass>) -> Class {
    match class {
        Some(LogGroupClass::InfrequentAccess) => Class::InfrequentAccess,
        Some(LogGroupClass::Delivery) => Class::Delivery,
        _ => Class::Standard,
    }
}

/// Pages of groups that are looked through, at most: those of 100,000 groups.
const PAGES: usize = 2_000;
/// Groups that an error may name, at most.
const EXAMPLES: usize = 20;

/// What groups are looked for by.
#[derive(Clone, Copy)]
enum By<'a> {
    Prefix(&'a str),
    Arn(&'a str),
}

impl LogsRegion {
    /// The group of this name, if there is one.
    pub async fn named(&self, name: &str) -> Result<Option<Group>, Error> {
        // A group's name may begin with that of another.
        let found = self.describe(By::Prefix(name), 1, |found| found == name);
        Ok(found.await?.pop())
    }

    /// The group with this ARN, if there is one that can be seen.
    pub async fn with_arn(&self, name: &str, arn: &str) -> Result<Option<Group>, Error> {
        let by_arn = |groups: Vec<Group>| {
            let mut groups = groups.into_iter();
            let group = groups.find(|group| group.arn.as_deref() == Some(arn))?;
            Some(Group {
                by_arn: true,
                ..group
            })
        };
        let own = self
            .describe(By::Prefix(name), 1, |found| found == name)
            .await;
        if let Ok(groups) = own
            && let Some(group) = by_arn(groups)
        {
            return Ok(Some(group));
        }
        // Only monitoring accounts may ask for those of others.
        match self.describe(By::Arn(arn), 1, |found| found == name).await {
            Err(error) if error.kind == Kind::ParameterInvalid => Ok(None),
            groups => groups.map(by_arn),
        }
    }

    /// The groups that match, among those whose names have all this in them, which is the longest part of a pattern, at the
    /// beginning or elsewhere.
    pub async fn matching(
        &self,
        prefix: &str,
        part: &str,
        matches: impl Fn(&str) -> bool,
    ) -> Result<Vec<Group>, Error> {
        let part = part.get(..part.len().min(*PATTERN.end())).unwrap_or(part);
        if prefix.is_empty() && PATTERN.contains(&part.len()) {
            return self.list(Some(part), false, matches).await;
        }
        self.describe(By::Prefix(prefix), usize::MAX, matches).await
    }

    /// The groups that CloudTrail's events come to, by their data source.
    pub async fn of_cloudtrail(&self) -> Result<Vec<Group>, Error> {
        self.list(None, true, |_| true).await
    }

    /// Some groups that there are, of those that anybody would call CloudTrail's first.
    pub async fn examples(&self) -> Vec<String> {
        // Of trails, in either spelling.
        let like = self.list(Some("rail"), false, |_| true).await;
        let groups = match like {
            Ok(like) if !like.is_empty() => Ok(like),
            _ => self.describe(By::Prefix(""), EXAMPLES, |_| true).await,
        };
        let groups = groups.unwrap_or_default().into_iter();
        groups.map(|group| group.name).collect()
    }

    /// So many groups, or all there are.
    async fn describe(
        &self,
        by: By<'_>,
        most: usize,
        keep: impl Fn(&str) -> bool,
    ) -> Result<Vec<Group>, Error> {
        let mut groups = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES {
            let asked = &token;
            let page = self
                .ask(OPEN, |session| async move {
                    let request = session.client.describe_log_groups().limit(PAGE);
                    let request = match by {
                        By::Prefix("") => request,
                        By::Prefix(prefix) => request.log_group_name_prefix(prefix),
                        By::Arn(arn) => request.log_group_identifiers(arn),
                    };
                    let answer = request.set_next_token(asked.clone()).send().await;
                    answer
                        .map_err(|error| self.error(&session, Operation::DescribeLogGroups, &error))
                })
                .await?;
            let page_groups = page.log_groups.unwrap_or_default().into_iter();
            let page_groups = page_groups.filter_map(|group| Group::described(&self.name, group));
            groups.extend(page_groups.filter(|group| keep(&group.name)));
            if groups.len() >= most || !goes_on(&mut token, page.next_token) {
                return Ok(groups);
            }
        }
        Err(self.too_many(Operation::DescribeLogGroups))
    }

    async fn list(
        &self,
        pattern: Option<&str>,
        of_cloudtrail: bool,
        keep: impl Fn(&str) -> bool,
    ) -> Result<Vec<Group>, Error> {
        let mut groups = Vec::new();
        let mut token: Option<String> = None;
        let source = DataSourceFilter::builder().name(CLOUDTRAIL).build();
        // It fails where the name is missing.
        let sources = source.ok().filter(|_| of_cloudtrail);
        for _ in 0..PAGES {
            let (asked, sources) = (&token, &sources);
            let page = self
                .ask(OPEN, |session| async move {
                    let request = session.client.list_log_groups().limit(PAGE);
                    let request = request
                        .set_log_group_name_pattern(pattern.map(str::to_owned))
                        .set_data_sources(sources.clone().map(|source| vec![source]));
                    let answer = request.set_next_token(asked.clone()).send().await;
                    answer.map_err(|error| self.error(&session, Operation::ListLogGroups, &error))
                })
                .await?;
            for group in page.log_groups.unwrap_or_default() {
                if let Some(name) = group.log_group_name.filter(|name| keep(name)) {
                    groups.push(Group {
                        arn: group.log_group_arn,
                        class: class(group.log_group_class.as_ref()),
                        ..Group::named(&self.name, &name)
                    });
                }
            }
            if !goes_on(&mut token, page.next_token) {
                return Ok(groups);
            }
        }
        Err(self.too_many(Operation::ListLogGroups))
    }

    fn too_many(&self, operation: Operation) -> Error {
        let most = PAGES * PAGE as usize;
        let why = format!("there are more than {most}: give more of the name");
        Error::new(Kind::Other, operation, &self.name, why)
    }

    fn error<E>(
        &self,
        session: &Session<Client>,
        operation: Operation,
        error: &SdkError<E, HttpResponse>,
    ) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        Error::of(&session.access, operation, &self.name, error)
    }
}

/// Is there a page after this one?
fn goes_on(token: &mut Option<String>, next: Option<String>) -> bool {
    let next = next.filter(|next| !next.is_empty());
    // One that gives the same again and again would never end.
    let goes_on = next.is_some() && next != *token;
    *token = next;
    goes_on
}
