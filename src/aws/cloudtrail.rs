//! LookupEvents in one region: paced, and tried again where that helps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Error, Result};
use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::config::Builder;
use aws_sdk_cloudtrail::config::retry::RetryConfig;
use aws_sdk_cloudtrail::error::SdkError;
use aws_sdk_cloudtrail::operation::lookup_events::LookupEventsError;
use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::EventCategory;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::time::{Instant, sleep_until};

use super::s3::backoff;
use super::sessions::{self, Login, Sessions};
use crate::aws;
use crate::stats::Stats;

/// Between two requests: AWS takes two a second, of an account in a region, see
/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html>.
const PACE: Duration = Duration::from_millis(500);
/// Events a page, the most that there are.
const PAGE: i32 = 50;
/// Tries of a request that fails for reasons that may pass, half a minute or so; when a capture is opened, fewer.
const TRIES: u32 = 8;
const FIRST_TRIES: u32 = 3;
/// After so many tries, some ten seconds, the log says that something is wrong.
const WORTH_A_LINE: u32 = 6;

type Session = sessions::Session<Client>;
type LookupError = SdkError<LookupEventsError, HttpResponse>;

/// The event history of one region.
pub(crate) struct EventHistory {
    pub name: String,
    sessions: Sessions<Client>,
    /// When the next request may be sent.
    next: tokio::sync::Mutex<Instant>,
    /// Trouble that may pass never ends the capture.
    patient: bool,
    /// There are no Insights events, and that was said.
    no_insights: AtomicBool,
    stats: Arc<Stats>,
}

/// What to look up: times in seconds since the epoch, both included.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub insights: bool,
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

/// Why a region can't be looked up.
pub(crate) struct Refusal {
    pub error: Error,
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reason {
    /// The credentials are unknown there: the account has not enabled the region, as a rule.
    Unknown,
    Denied,
    Other,
}

impl EventHistory {
    pub fn new(name: &str, login: &Arc<Login>, patient: bool, stats: &Arc<Stats>) -> Self {
        Self {
            name: name.to_owned(),
            sessions: Sessions::new(Arc::clone(login), name, |access, region| {
                access.cloudtrail(region)
            }),
            next: tokio::sync::Mutex::new(Instant::now()),
            patient,
            no_insights: AtomicBool::new(false),
            stats: Arc::clone(stats),
        }
    }

    /// A first page, or what is wrong. None where too much is asked for at the moment, which is no reason to fail.
    pub async fn first(&self, query: &Query) -> std::result::Result<Option<Page>, Refusal> {
        let mut tries = 0;
        loop {
            let session = self.sessions.current();
            match self.ask(&session, query).await {
                Ok(page) => return Ok(Some(page)),
                Err(error) if is_throttled(&error) => return Ok(None),
                Err(error)
                    if aws::is_transient(&error)
                        && tries < FIRST_TRIES
                        && !session.access.has_no_credentials() =>
                {
                    self.wait(&mut tries).await;
                }
                Err(error) => {
                    let reason = if session.access.has_no_credentials() {
                        Reason::Other
                    } else if aws::is_unknown_there(&error) {
                        Reason::Unknown
                    } else if aws::is_denied(&error) {
                        Reason::Denied
                    } else {
                        Reason::Other
                    };
                    let error = self.explain(&session, &error);
                    return Err(Refusal { error, reason });
                }
            }
        }
    }

    /// A page. None where its token is no longer good.
    pub async fn look_up(&self, query: &Query) -> Result<Option<Page>> {
        let mut tries = 0;
        let mut renewed = false;
        loop {
            let session = self.sessions.current();
            let error = match self.ask(&session, query).await {
                Ok(page) => {
                    if tries > WORTH_A_LINE {
                        self.stats.note(format!(
                            "{} {}: it answers again",
                            aws::LOOKING_UP,
                            self.name
                        ));
                    }
                    return Ok(Some(page));
                }
                Err(error) => error,
            };
            let code = aws::code(&error);
            if query.token.is_some() && code == "InvalidNextTokenException" {
                return Ok(None);
            }
            if query.insights && is_without_insights(&code) {
                if !self.no_insights.swap(true, Ordering::Relaxed) {
                    self.stats
                        .note(format!("{} has no Insights events ({code})", self.name));
                }
                return Ok(Some(Page::default()));
            }
            if !renewed && aws::has_expired(&error) {
                renewed = true;
                self.sessions.renew(&session).await?;
                continue;
            }
            let goes_on = is_throttled(&error)
                || aws::is_transient(&error)
                    && (self.patient || tries < TRIES)
                    && !session.access.has_no_credentials();
            if !goes_on {
                return Err(self.explain(&session, &error));
            }
            if tries == WORTH_A_LINE {
                let explained = self.explain(&session, &error);
                self.stats
                    .warn(format!("{explained:#}; it is tried again and again"));
            }
            self.wait(&mut tries).await;
            renewed = false;
        }
    }

    /// Keep all requests to this region back, longer each time.
    async fn wait(&self, tries: &mut u32) {
        self.stats.retries.add(1);
        *self.next.lock().await = Instant::now() + backoff(*tries).max(PACE);
        *tries += 1;
    }

    fn explain(&self, session: &Session, error: &LookupError) -> Error {
        session
            .access
            .explain(error, &format!("{} {}", aws::LOOKING_UP, self.name))
    }

    async fn ask(
        &self,
        session: &Session,
        query: &Query,
    ) -> std::result::Result<Page, LookupError> {
        {
            let mut next = self.next.lock().await;
            sleep_until(*next).await;
            *next = Instant::now() + PACE;
        }
        let answer = session
            .client
            .lookup_events()
            .set_event_category(query.insights.then_some(EventCategory::Insight))
            .start_time(DateTime::from_secs(query.from))
            .end_time(DateTime::from_secs(query.to))
            .max_results(PAGE)
            .set_next_token(query.token.clone())
            .customize()
            // The SDK would try again without minding the pace.
            .config_override(Builder::new().retry_config(RetryConfig::disabled()))
            .send()
            .await?;
        self.stats.pages.add(1);
        let mut time = query.to;
        let events = answer.events.unwrap_or_default().into_iter().map(|event| {
            // Without one, it is that of its neighbour.
            time = event.event_time.map_or(time, |time| time.secs());
            Event {
                time,
                id: event.event_id.unwrap_or_default(),
                // What isn't there is counted as a record that can't be read.
                json: event.cloud_trail_event.unwrap_or_else(|| "null".to_owned()),
            }
        });
        Ok(Page {
            events: events.collect(),
            next: answer.next_token.filter(|token| !token.is_empty()),
        })
    }
}

fn is_throttled(error: &LookupError) -> bool {
    matches!(
        aws::code(error).as_str(),
        "ThrottlingException" | "Throttling" | "RequestLimitExceeded" | "TooManyRequestsException"
    )
}

/// Does this error say that there are no Insights events in a region?
fn is_without_insights(code: &str) -> bool {
    matches!(
        code,
        "InvalidEventCategoryException"
            | "UnsupportedOperationException"
            | "OperationNotPermittedException"
    )
}
