//! Requests to a queue, tried again where that helps.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, QueueAttributeName,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::time::sleep;

use super::s3::backoff;
use super::sessions::{self, Login, Sessions};
use crate::aws;
use crate::settings::location::QueueLocation;
use crate::stats::Stats;

/// Messages of a request, SQS's most.
pub(crate) const BATCH: usize = 10;
/// How long a receive waits for messages, SQS's longest.
const LONG_POLL: Duration = Duration::from_secs(20);
/// Where the queue's own can't be had, or makes no sense: SQS's default.
const VISIBILITY: Duration = Duration::from_secs(30);
/// After so many tries, some ten seconds, the log says that something is wrong.
const WORTH_A_LINE: u32 = 6;

/// A queue as its requests need it.
pub(crate) struct Queue {
    sessions: Sessions<Client>,
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

type Session = sessions::Session<Client>;

/// What failed since something last succeeded.
#[derive(Default)]
struct Trouble {
    tries: u32,
    renewed: bool,
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
            None => access.region_or_machine().await.with_context(|| {
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
        let url = match location.url {
            Some(url) => url,
            None => {
                let found = sessions
                    .current()
                    .client
                    .get_queue_url()
                    .queue_name(&location.name)
                    .set_queue_owner_aws_account_id(location.account.or(owner))
                    .send()
                    .await;
                let found = found
                    .map_err(|error| access.explain(&error, &format!("{} {name}", aws::FINDING)))?;
                found
                    .queue_url
                    .with_context(|| format!("{} {name}: the answer names no URL", aws::FINDING))?
            }
        };
        let mut queue = Self {
            sessions,
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
    async fn ask(&mut self) -> Result<()> {
        let session = self.sessions.current();
        let answer = session
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::VisibilityTimeout)
            .attribute_names(QueueAttributeName::RedrivePolicy)
            .send()
            .await;
        let attributes = match answer {
            Ok(answer) => answer.attributes.unwrap_or_default(),
            // One can do without.
            Err(error) if aws::is_denied(&error) => {
                self.stats.note(format!(
                    "{:#}; without it, messages are hidden from others for {} s at a time",
                    self.explain(&session, &error, aws::ASKING),
                    VISIBILITY.as_secs()
                ));
                return Ok(());
            }
            Err(error) => return Err(self.explain(&session, &error, aws::ASKING)),
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

    fn explain<E>(&self, session: &Session, error: &SdkError<E, HttpResponse>, doing: &str) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        session
            .access
            .explain(error, &format!("{doing} {}", self.name))
    }

    /// Messages that are there now.
    pub async fn look(&self) -> Result<Vec<Message>> {
        let session = self.sessions.current();
        match self.try_receive(&session, Duration::ZERO).await {
            Ok(messages) => Ok(messages),
            Err(error) => Err(self.explain(&session, &error, aws::RECEIVING)),
        }
    }

    /// Messages, waited for; none where none came.
    pub async fn receive(&self) -> Result<Vec<Message>> {
        let mut trouble = Trouble::default();
        loop {
            let session = self.sessions.current();
            match self.try_receive(&session, LONG_POLL).await {
                Ok(messages) => {
                    if trouble.tries > WORTH_A_LINE {
                        self.stats.note(format!(
                            "{} {}: it answers again",
                            aws::RECEIVING,
                            self.name
                        ));
                    }
                    return Ok(messages);
                }
                Err(error) => {
                    self.after(&session, &error, aws::RECEIVING, &mut trouble)
                        .await?;
                }
            }
        }
    }

    async fn try_receive(
        &self,
        session: &Session,
        wait: Duration,
    ) -> std::result::Result<
        Vec<Message>,
        SdkError<aws_sdk_sqs::operation::receive_message::ReceiveMessageError, HttpResponse>,
    > {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(wait + Duration::from_secs(20))
            .build();
        let output = session
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(BATCH as i32)
            .wait_time_seconds(wait.as_secs() as i32)
            .visibility_timeout(seconds(self.visibility))
            .customize()
            .config_override(aws_sdk_sqs::config::Builder::new().timeout_config(timeouts))
            .send()
            .await?;
        let messages = output.messages.unwrap_or_default().into_iter();
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
        let mut trouble = Trouble::default();
        while !handles.is_empty() {
            let session = self.sessions.current();
            let entries = handles.iter().enumerate().map(|(index, handle)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(handle)
                    .build()
            });
            let entries = entries.collect::<std::result::Result<Vec<_>, _>>()?;
            let answer = session
                .client
                .delete_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries))
                .send()
                .await;
            let failed = match answer {
                Ok(answer) => answer.failed,
                Err(error) => {
                    self.after(&session, &error, aws::DELETING, &mut trouble)
                        .await?;
                    continue;
                }
            };
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
                self.wait(&mut trouble).await;
            }
        }
        Ok(())
    }

    /// Extend the visibility of messages, at most [`BATCH`]; gives which of them can't be extended, where SQS says so.
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
            .await;
        match answer {
            Ok(answer) => Ok(answer
                .failed
                .into_iter()
                .filter(|failed| failed.sender_fault)
                .filter_map(|failed| failed.id.parse().ok())
                .collect()),
            Err(error) => {
                if aws::has_expired(&error) {
                    self.sessions.renew(&session).await?;
                }
                Err(self.explain(&session, &error, aws::KEEPING))
            }
        }
    }

    /// Get ready for another try after an error, or give it back in words.
    async fn after<E>(
        &self,
        session: &Session,
        error: &SdkError<E, HttpResponse>,
        doing: &str,
        trouble: &mut Trouble,
    ) -> Result<()>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if !trouble.renewed && aws::has_expired(error) {
            trouble.renewed = true;
            return self.sessions.renew(session).await;
        }
        let explained = self.explain(session, error, doing);
        if !aws::is_transient(error) || session.access.has_no_credentials() {
            return Err(explained);
        }
        if trouble.tries == WORTH_A_LINE {
            // Messages wait in the queue, so there is no reason to give up.
            self.stats
                .warn(format!("{explained:#}; it is tried again and again"));
        }
        self.wait(trouble).await;
        Ok(())
    }

    async fn wait(&self, trouble: &mut Trouble) {
        self.stats.retries.add(1);
        sleep(backoff(trouble.tries)).await;
        trouble.tries += 1;
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
