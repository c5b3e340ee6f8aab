//! Requests to CloudTrail itself: LookupEvents in one region, paced, the public keys of digest files, and where trails send
//! events besides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::config::Builder;
use aws_sdk_cloudtrail::config::retry::RetryConfig;
use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::{
    Event as SdkEvent, EventCategory, ListInsightsDataDimensionKey, ListInsightsDataType,
    LookupAttribute, LookupAttributeKey,
};
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::error::{Error, Kind};
use super::operation::Operation;
use super::retry::{Policy, Retry, Trouble};
use super::sessions::{Login, Session, Sessions};
use crate::clock::Clock;
use crate::stats::Stats;

/// The time between two requests. AWS allows two per second for an account in a region, see
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html>.
const PACE: Duration = Duration::from_millis(500);
/// Events per page, the most that AWS allows.
const PAGE: i32 = 50;

/// When a capture is opened; a machine may have to wake its network first.
const OPEN: Policy = Policy {
    tries: Some(3),
    ..Policy::OPEN
};
/// What is read once: half a minute or so, and longer where others use the account's quota.
const ONCE: Policy = Policy {
    tries: Some(8),
    waits_when_throttled: true,
    ..Policy::ONCE
};

/// The event history of one region.
pub(crate) struct EventHistory {
    /// The region.
    pub name: String,
    sessions: Sessions<Client>,
    clock: Clock,
    /// When the next request may be sent.
    next: tokio::sync::Mutex<Instant>,
    policy: Policy,
    trouble: Trouble,
    /// It was logged that there are no Insights events.
    no_insights: AtomicBool,
    stats: Arc<Stats>,
}

/// Which events to look up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lookup {
    pub category: Category,
    /// What AWS chooses by: an attribute and its value.
    pub attribute: Option<(Attribute, String)>,
}

/// A kind of events.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Category {
    Management,
    /// On management events.
    Insights,
    /// On the data events of the trail with this ARN.
    InsightsOfTrail(String),
}

/// What AWS can choose by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Attribute {
    EventId,
    AccessKeyId,
    Username,
    EventName,
    EventSource,
    ReadOnly,
}

impl Attribute {
    /// As AWS names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::EventId => "EventId",
            Self::AccessKeyId => "AccessKeyId",
            Self::Username => "Username",
            Self::EventName => "EventName",
            Self::EventSource => "EventSource",
            Self::ReadOnly => "ReadOnly",
        }
    }

    /// Whether few events have the same value, as a rule.
    pub fn is_narrow(self) -> bool {
        matches!(self, Self::EventId | Self::AccessKeyId | Self::Username)
    }
}

/// What to look up: times in seconds since the epoch, both included.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub lookup: Arc<Lookup>,
    pub from: i64,
    pub to: i64,
    pub token: Option<String>,
}

/// Events, the newest first.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub events: Vec<Event>,
    pub next: Option<String>,
}

/// An event of the history.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// In seconds since the epoch.
    pub time: i64,
    pub id: String,
    /// The record, as in a log file.
    pub json: String,
}

impl EventHistory {
    pub fn new(region: &str, login: &Arc<Login>, follow: bool, stats: &Arc<Stats>) -> Self {
        Self {
            name: region.to_owned(),
            clock: login.clock(),
            sessions: Sessions::new(Arc::clone(login), region, |access, region| {
                access.cloudtrail(region)
            }),
            next: tokio::sync::Mutex::new(Instant::now()),
            policy: if follow { Policy::LIVE } else { ONCE },
            trouble: Trouble::new(stats),
            no_insights: AtomicBool::new(false),
            stats: Arc::clone(stats),
        }
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The first page, so that what is wrong is an error at once. None if requests are throttled at the moment, which is
    /// not a reason to fail.
    pub async fn first(&self, query: &Query) -> Result<Option<Page>, Error> {
        let mut retry = Retry::new(OPEN);
        loop {
            let session = self.sessions.current();
            match self.ask(Arc::clone(&session), query).await {
                Ok(page) => return Ok(Some(page)),
                Err(error) if error.kind == Kind::Throttled => return Ok(None),
                Err(error) => {
                    retry
                        .after(error, &self.sessions, &session, &self.trouble)
                        .await?;
                }
            }
        }
    }

    /// A page. None if its token is no longer valid.
    pub async fn look_up(&self, query: &Query) -> Result<Option<Page>, Error> {
        let mut retry = Retry::new(self.policy);
        let answer = self
            .sessions
            .ask(&mut retry, &self.trouble, |session| {
                self.ask(session, query)
            })
            .await;
        match answer {
            Err(error) if query.token.is_some() && error.kind == Kind::PageTokenInvalid => Ok(None),
            Err(error)
                if query.lookup.category == Category::Insights
                    && error.kind == Kind::Unsupported =>
            {
                if !self.no_insights.swap(true, Ordering::Relaxed) {
                    let (region, code) = (&self.name, &error.code);
                    self.stats
                        .note(format!("{region} has no Insights events ({code})"));
                }
                Ok(Some(Page::default()))
            }
            answer => answer.map(Some),
        }
    }

    async fn ask(&self, session: Arc<Session<Client>>, query: &Query) -> Result<Page, Error> {
        {
            let mut next = self.next.lock().await;
            sleep_until(*next).await;
            *next = Instant::now() + PACE;
        }
        let (events, next) = match &query.lookup.category {
            Category::InsightsOfTrail(trail) => list_insights(&session, trail, query).await?,
            category => {
                let insights = *category == Category::Insights;
                self.lookup_events(&session, insights, query).await?
            }
        };
        self.stats.pages.add(1);
        let mut time = query.to;
        let events = events.unwrap_or_default().into_iter().map(|event| {
            // An event without a time gets that of its neighbour.
            time = event.event_time.map_or(time, |time| time.secs());
            Event {
                time,
                id: event.event_id.unwrap_or_default(),
                // A missing record is counted as one that can't be read.
                json: event.cloud_trail_event.unwrap_or_else(|| "null".to_owned()),
            }
        });
        Ok(Page {
            events: events.collect(),
            next: next.filter(|token| !token.is_empty()),
        })
    }

    async fn lookup_events(
        &self,
        session: &Session<Client>,
        insights: bool,
        query: &Query,
    ) -> Result<Answer, Error> {
        let attribute = query
            .lookup
            .attribute
            .as_ref()
            .and_then(|(attribute, value)| {
                let key = LookupAttributeKey::from(attribute.name());
                let attribute = LookupAttribute::builder().attribute_key(key);
                // It fails where one of the two is missing.
                attribute.attribute_value(value).build().ok()
            });
        let answer = session
            .client
            .lookup_events()
            .set_event_category(insights.then_some(EventCategory::Insight))
            .set_lookup_attributes(attribute.map(|attribute| vec![attribute]))
            .start_time(DateTime::from_secs(query.from))
            .end_time(DateTime::from_secs(query.to))
            .max_results(PAGE)
            .set_next_token(query.token.clone())
            .customize()
            // The SDK would try again without minding the pace.
            .config_override(Builder::new().retry_config(RetryConfig::disabled()))
            .send()
            .await
            .map_err(|error| Error::of(&session.access, Operation::LookUp, &self.name, &error))?;
        Ok((answer.events, answer.next_token))
    }
}

/// Events, and the token of the next page.
type Answer = (Option<Vec<SdkEvent>>, Option<String>);

/// The Insights events on data events of a trail, which LookupEvents does not have, see
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_ListInsightsData.html>.
async fn list_insights(
    session: &Session<Client>,
    trail: &str,
    query: &Query,
) -> Result<Answer, Error> {
    let mut request = session.client.list_insights_data();
    if let Some((attribute, value)) = &query.lookup.attribute {
        request = request.dimensions(ListInsightsDataDimensionKey::from(attribute.name()), value);
    }
    let answer = request
        .insight_source(trail)
        .data_type(ListInsightsDataType::InsightsEvents)
        .start_time(DateTime::from_secs(query.from))
        .end_time(DateTime::from_secs(query.to))
        .max_results(PAGE)
        .set_next_token(query.token.clone())
        .customize()
        .config_override(Builder::new().retry_config(RetryConfig::disabled()))
        .send()
        .await
        .map_err(|error| Error::of(&session.access, Operation::ListInsights, trail, &error))?;
    Ok((answer.events, answer.next_token))
}

/// The public keys that digest files of a region were signed with in a time, by their fingerprints, in DER.
pub(crate) async fn public_keys(
    login: &Arc<Login>,
    region: &str,
    from: Timestamp,
    to: Timestamp,
    stats: &Arc<Stats>,
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let sessions = Sessions::new(Arc::clone(login), region, |access, region| {
        access.cloudtrail(region)
    });
    let trouble = Trouble::new(stats);
    let time = |time: Timestamp| DateTime::from_secs(time.as_second());
    let mut keys = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let asked = &token;
        let page = sessions
            .ask(&mut Retry::new(ONCE), &trouble, |session| async move {
                let request = session
                    .client
                    .list_public_keys()
                    .start_time(time(from))
                    .end_time(time(to))
                    .set_next_token(asked.clone());
                request.send().await.map_err(|error| {
                    Error::of(&session.access, Operation::ListPublicKeys, region, &error)
                })
            })
            .await?;
        for key in page.public_key_list.unwrap_or_default() {
            if let (Some(fingerprint), Some(value)) = (key.fingerprint, key.value) {
                keys.push((fingerprint, value.into_inner()));
            }
        }
        let next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() || next == token {
            return Ok(keys);
        }
        token = next;
    }
}

/// The ARNs, without `:*`, of the groups that the trails of a region write to. They may be in other regions.
pub(crate) async fn groups_of_trails(
    login: &Arc<Login>,
    region: &str,
    stats: &Arc<Stats>,
) -> Result<Vec<String>, Error> {
    let sessions = Sessions::new(Arc::clone(login), region, |access, region| {
        access.cloudtrail(region)
    });
    let trails = sessions
        .ask(
            &mut Retry::new(OPEN),
            &Trouble::new(stats),
            |session| async move {
                let answer = session.client.describe_trails().send().await;
                answer.map_err(|error| {
                    Error::of(&session.access, Operation::DescribeTrails, region, &error)
                })
            },
        )
        .await?;
    let trails = trails.trail_list.unwrap_or_default().into_iter();
    let arns = trails.filter_map(|trail| trail.cloud_watch_logs_log_group_arn);
    Ok(arns
        .map(|arn| arn.strip_suffix(":*").unwrap_or(&arn).to_owned())
        .collect())
}
