//! Requests to a queue, tried again where that helps.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, QueueAttributeName,
};

use super::error::{Error, Kind};
use super::operation::{Operation, Service};
use super::retry::{Policy, Retry, Trouble};
use super::sessions::{Login, Session, Sessions};
use crate::settings::location::QueueLocation;
use crate::stats::Stats;

/// Messages of a request, SQS's most.
pub(crate) const BATCH: usize = 10;
/// How long a receive waits for messages, SQS's longest.
const LONG_POLL: Duration = Duration::from_secs(20);
/// Where the queue's own can't be had, or makes no sense: SQS's default.
const VISIBILITY: Duration = Duration::from_secs(30);

/// A queue as its requests need it.
pub(crate) struct Queue {
    sessions: Sessions<Client>,
    trouble: Trouble,
    pub region: String,
    url: String,
    /// What errors call it.
    name: String,
    /// How long received messages stay hidden from others, unless that is extended.
    pub visibility: Duration,
    /// After so many receives a message is moved away, if ever.
    pub most_receives: Option<u64>,
    stats: Arc<Stats>,
}

/// A message as it was received.
#[derive(Debug)]
pub(crate) struct Message {
    pub id: String,
    /// What this receive of it is deleted or extended by.
    pub handle: String,
    pub body: String,
}

/// How long a message is to stay hidden from others.
#[derive(Debug)]
pub(crate) struct Extension {
    pub handle: String,
    pub visibility: Duration,
}

impl Queue {
    /// Find the queue and its settings.
    pub async fn find(
        location: QueueLocation,
        owner: Option<String>,
        login: Arc<Login>,
        stats: Arc<Stats>,
    ) -> Result<Self> {
        let (access, _) = login.current();
        let region = match location.region {
            Some(region) => region,
            None => access.region_or_machine(Service::Sqs).await.with_context(|| {
                format!(
                    "the region of the queue {} is not known: set aws.region, or give the queue's URL or ARN",
                    location.name
                )
            })?,
        };
        let name = format!("{} in {region}", location.name);
        // A queue's URL says where it is, too.
        let endpoint = location
            .url
            .as_deref()
            .and_then(|url| url.match_indices('/').nth(2).map(|(end, _)| &url[..end]))
            .map(str::to_owned);
        let sessions = Sessions::new(login, &region, move |access, region| {
            access.sqs(region, endpoint.as_deref())
        });
        let trouble = Trouble::new(&stats);
        let url = match location.url {
            Some(url) => url,
            None => {
                let session = sessions.current();
                let found = session
                    .client
                    .get_queue_url()
                    .queue_name(&location.name)
                    .set_queue_owner_aws_account_id(location.account.or(owner))
                    .send()
                    .await
                    .map_err(|error| {
                        Error::of(&session.access, Operation::FindQueue, &name, &error)
                    })?;
                let doing = || Operation::FindQueue.doing(&name);
                found
                    .queue_url
                    .with_context(|| format!("{}: the answer names no URL", doing()))?
            }
        };
        let mut queue = Self {
            sessions,
            trouble,
            region,
            url,
            name,
            visibility: VISIBILITY,
            most_receives: None,
            stats,
        };
        queue.ask().await?;
        Ok(queue)
    }

    /// Ask for the settings that matter here.
    async fn ask(&mut self) -> Result<(), Error> {
        let session = self.sessions.current();
        let answer = session
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::VisibilityTimeout)
            .attribute_names(QueueAttributeName::RedrivePolicy)
            .send()
            .await
            .map_err(|error| {
                Error::of(
                    &session.access,
                    Operation::QueueAttributes,
                    &self.name,
                    &error,
                )
            });
        let attributes = match answer {
            Ok(answer) => answer.attributes.unwrap_or_default(),
            // One can do without.
            Err(error) if error.kind == Kind::Denied => {
                self.stats.note(format!(
                    "{error}; without it, messages are hidden from others for {} s at a time",
                    VISIBILITY.as_secs()
                ));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let visibility = attributes
            .get(&QueueAttributeName::VisibilityTimeout)
            .and_then(|seconds| seconds.parse().ok())
            .filter(|seconds| *seconds > 0);
        if let Some(seconds) = visibility {
            self.visibility = Duration::from_secs(seconds);
        }
        self.most_receives = attributes
            .get(&QueueAttributeName::RedrivePolicy)
            .and_then(|policy| serde_json::from_str::<serde_json::Value>(policy).ok())
            .and_then(|policy| {
                let most = policy.get("maxReceiveCount")?;
                most.as_u64().or_else(|| most.as_str()?.parse().ok())
            });
        Ok(())
    }

    /// Messages that are there now: what is wrong with receiving is said at once.
    pub async fn look(&self) -> Result<Vec<Message>, Error> {
        self.receive_as(Policy::OPEN, Duration::ZERO).await
    }

    /// Messages, waited for; none where none came.
    pub async fn receive(&self) -> Result<Vec<Message>, Error> {
        // They wait in the queue, so there is no reason to give up.
        self.receive_as(Policy::LIVE, LONG_POLL).await
    }

    async fn receive_as(&self, policy: Policy, wait: Duration) -> Result<Vec<Message>, Error> {
        let mut retry = Retry::new(policy);
        let receive = |session: Arc<Session<Client>>| async move {
            let timeouts = TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .read_timeout(wait + Duration::from_secs(20))
                .build();
            session
                .client
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(BATCH as i32)
                .wait_time_seconds(seconds(wait))
                .visibility_timeout(seconds(self.visibility))
                .customize()
                .config_override(aws_sdk_sqs::config::Builder::new().timeout_config(timeouts))
                .send()
                .await
                .map_err(|error| Error::of(&session.access, Operation::Receive, &self.name, &error))
        };
        let answer = self
            .sessions
            .ask(&mut retry, &self.trouble, receive)
            .await?;
        let messages = answer.messages.unwrap_or_default().into_iter();
        Ok(messages
            .filter_map(|message| {
                Some(Message {
                    id: message.message_id?,
                    handle: message.receipt_handle?,
                    body: message.body.unwrap_or_default(),
                })
            })
            .collect())
    }

    /// Delete messages. An error is one of the queue: a message alone that can't be deleted comes again.
    pub async fn delete(&self, mut handles: Vec<String>) -> Result<()> {
        let mut retry = Retry::new(Policy::LIVE);
        // For those that fail by themselves.
        let mut again = Retry::new(Policy::LIVE);
        while !handles.is_empty() {
            let entries = handles.iter().enumerate().map(|(index, handle)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(handle)
                    .build()
            });
            let entries = &entries.collect::<std::result::Result<Vec<_>, _>>()?;
            let delete = |session: Arc<Session<Client>>| async move {
                session
                    .client
                    .delete_message_batch()
                    .queue_url(&self.url)
                    .set_entries(Some(entries.clone()))
                    .send()
                    .await
                    .map_err(|error| {
                        Error::of(&session.access, Operation::Delete, &self.name, &error)
                    })
            };
            let failed = self
                .sessions
                .ask(&mut retry, &self.trouble, delete)
                .await?
                .failed;
            self.stats
                .messages_deleted
                .add((handles.len() - failed.len()) as u64);
            handles = failed
                .into_iter()
                // Else its handle is no longer good.
                .filter(|failed| !failed.sender_fault)
                .filter_map(|failed| handles.get(failed.id.parse::<usize>().ok()?).cloned())
                .collect();
            if !handles.is_empty() {
                self.stats.retries.add(1);
                again.wait().await;
            }
        }
        Ok(())
    }

    /// Extend the visibility of messages, at most [`BATCH`]; gives which of them can't be extended, where SQS says so.
    ///
    /// It is tried once: they are due again soon.
    pub async fn extend(&self, due: &[&Extension]) -> Result<Vec<usize>> {
        let session = self.sessions.current();
        let entries = due.iter().enumerate().map(|(index, due)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&due.handle)
                .visibility_timeout(seconds(due.visibility))
                .build()
        });
        let entries = entries.collect::<std::result::Result<Vec<_>, _>>()?;
        let answer = session
            .client
            .change_message_visibility_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(|error| {
                Error::of(
                    &session.access,
                    Operation::ExtendVisibility,
                    &self.name,
                    &error,
                )
            });
        match answer {
            Ok(answer) => Ok(answer
                .failed
                .into_iter()
                .filter(|failed| failed.sender_fault)
                .filter_map(|failed| failed.id.parse().ok())
                .collect()),
            Err(error) => {
                if error.kind == Kind::Expired {
                    self.sessions.renew(&session).await?;
                }
                Err(error.into())
            }
        }
    }
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

impl Display for Queue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.name)
    }
}
