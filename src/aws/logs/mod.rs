//! Requests to CloudWatch Logs in one region, paced: FilterLogEvents here, which groups there are in `groups`, queries of
//! Logs Insights in `insights`.

mod groups;
mod insights;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::config::Builder;
use aws_sdk_cloudwatchlogs::config::retry::RetryConfig;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

pub(crate) use groups::{Class, Group};
pub(crate) use insights::Answer;

use super::error::{Error, Kind};
use super::operation::Operation;
use super::retry::{Policy, Retry, Trouble};
use super::sessions::{Login, Session, Sessions};
use crate::clock::Clock;
use crate::process::lock;
use crate::stats::Stats;

/// The time between two requests: AWS allows five FilterLogEvents a second for an account in a region, see
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>.
const PACE: Duration = Duration::from_millis(200);
/// The same where others use up what the account may ask.
const SLOWEST: Duration = Duration::from_secs(3);

/// When a capture is opened; a machine may have to wake its network first, and others may use up the account's quota.
const OPEN: Policy = Policy {
    tries: Some(6),
    ..Policy::OPEN
};
/// What is read once: half a minute or so, and longer where others use the account's quota.
const ONCE: Policy = Policy {
    tries: Some(8),
    waits_when_throttled: true,
    ..Policy::ONCE
};

/// CloudWatch Logs in a region.
pub(crate) struct LogsRegion {
    /// The region's name.
    pub name: String,
    sessions: Sessions<Client>,
    clock: Clock,
    pace: Pace,
    policy: Policy,
    trouble: Trouble,
    stats: Arc<Stats>,
}

/// What of a group to read: times in milliseconds since the epoch, both included.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub from: i64,
    pub to: i64,
    pub newest_first: bool,
    /// What AWS chooses by, in the language of filter patterns.
    pub pattern: Option<Arc<str>>,
    pub token: Option<String>,
}

/// Some log events in the order asked for. Without any, more may follow all the same.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub events: Vec<LogEvent>,
    /// The token of the page after it; none at the end.
    pub next: Option<String>,
}

/// A log event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogEvent {
    /// In milliseconds since the epoch.
    pub time: i64,
    /// Unique in its group.
    pub id: String,
    pub message: String,
}

impl LogsRegion {
    pub fn new(region: &str, login: &Arc<Login>, follow: bool, stats: &Arc<Stats>) -> Self {
        Self {
            name: region.to_owned(),
            clock: login.clock(),
            sessions: Sessions::new(Arc::clone(login), region, |access, region| {
                access.logs(region)
            }),
            pace: Pace::default(),
            policy: if follow { Policy::LIVE } else { ONCE },
            trouble: Trouble::new(stats),
            stats: Arc::clone(stats),
        }
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The first page, so that what is wrong is an error at once. None if requests are throttled at the moment, which is
    /// not a reason to fail.
    pub async fn first(&self, group: &Group, query: &Query) -> Result<Option<Page>, Error> {
        let answer = self.ask(OPEN, |session| self.filter(session, group, query));
        match answer.await {
            Err(error) if error.kind == Kind::Throttled => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// A page. None if its token is no longer valid: AWS says so by the code that it has for all that is wrong with a
    /// request, and the same request without a token tells whether it is the token.
    pub async fn page(&self, group: &Group, query: &Query) -> Result<Option<Page>, Error> {
        let answer = self
            .ask(self.policy, |session| self.filter(session, group, query))
            .await;
        match answer {
            Err(error) if query.token.is_some() && error.kind == Kind::ParameterInvalid => Ok(None),
            answer => answer.map(Some),
        }
    }

    async fn filter(
        &self,
        session: Arc<Session<Client>>,
        group: &Group,
        query: &Query,
    ) -> Result<Page, Error> {
        let (name, arn) = group.asked_by();
        let answer = session
            .client
            .filter_log_events()
            .set_log_group_name(name)
            .set_log_group_identifier(arn)
            .start_time(query.from)
            .end_time(query.to)
            .set_start_from_head(query.newest_first.then_some(false))
            .set_filter_pattern(query.pattern.as_deref().map(str::to_owned))
            .set_next_token(query.token.clone())
            .customize()
            // The SDK would try again without minding the pace.
            .config_override(Builder::new().retry_config(RetryConfig::disabled()))
            .send()
            .await
            .map_err(|error| {
                let shown = group.shown();
                let error = Error::of(&session.access, Operation::FilterLogEvents, &shown, &error);
                error.on(&group.resource())
            })?;
        self.stats.log_pages.add(1);
        let mut time = match query.newest_first {
            true => query.to,
            false => query.from,
        };
        let events = answer.events.unwrap_or_default().into_iter().map(|event| {
            // An event without a time gets that of its neighbour; one outside of what was asked for would lead astray.
            time = event.timestamp.unwrap_or(time).clamp(query.from, query.to);
            LogEvent {
                time,
                id: event.event_id.unwrap_or_default(),
                message: event.message.unwrap_or_default(),
            }
        });
        Ok(Page {
            events: events.collect(),
            next: answer.next_token.filter(|token| !token.is_empty()),
        })
    }

    /// Ask at the pace, and slower while AWS says that it is too fast.
    async fn ask<T, F>(
        &self,
        policy: Policy,
        request: impl Fn(Arc<Session<Client>>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let paced = |session| {
            let request = &request;
            async move {
                self.pace.turn().await;
                let answer = request(session).await;
                match &answer {
                    Err(error) if error.kind == Kind::Throttled => self.pace.slower(),
                    Err(_) => {}
                    Ok(_) => self.pace.faster(),
                }
                answer
            }
        };
        let mut retry = Retry::new(policy);
        self.sessions.ask(&mut retry, &self.trouble, paced).await
    }
}

/// When the next request may be sent.
struct Pace {
    next: tokio::sync::Mutex<Instant>,
    /// The time between two requests.
    every: Mutex<Duration>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            next: tokio::sync::Mutex::new(Instant::now()),
            every: Mutex::new(PACE),
        }
    }
}

impl Pace {
    async fn turn(&self) {
        let mut next = self.next.lock().await;
        sleep_until(*next).await;
        *next = Instant::now() + *lock(&self.every);
    }

    /// Others ask as well.
    fn slower(&self) {
        let mut every = lock(&self.every);
        *every = (*every * 2).min(SLOWEST);
    }

    /// They may have ended.
    fn faster(&self) {
        let mut every = lock(&self.every);
        *every = (*every * 15 / 16).max(PACE);
    }
}
