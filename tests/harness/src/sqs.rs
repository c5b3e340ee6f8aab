//! SQS in memory, as it answers to its JSON protocol: what the plugin asks of it, and no more.
//!
//! It is part of [`crate::aws::Aws`], whose faults and log hold for it too, and of
//! [`crate::fast_s3::FastS3`].

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::aws::{ACCOUNT, Credentials};

/// All queues.
#[derive(Default)]
pub struct Queues {
    queues: Mutex<HashMap<(String, String), Queue>>,
    /// A message was sent.
    sent: Notify,
    failing: Mutex<HashMap<String, usize>>,
}

#[derive(Default)]
struct Queue {
    visibility: Duration,
    most_receives: Option<u32>,
    visible: VecDeque<Message>,
    in_flight: HashMap<u64, Message>,
    /// When messages in flight become visible again.
    until: BTreeSet<(Instant, u64)>,
    counts: Counts,
}

struct Message {
    id: u64,
    body: String,
    receives: u32,
    until: Instant,
}

/// What became of a queue's messages.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Put into it.
    pub sent: u64,
    /// Received, each time.
    pub received: u64,
    /// Deleted.
    pub deleted: u64,
    /// Visibility extended, each time.
    pub extended: u64,
    /// Taken away by the redrive policy.
    pub dead: u64,
    /// Visible now.
    pub visible: usize,
    /// Hidden now.
    pub in_flight: usize,
}

/// A refusal.
pub(crate) struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
}

impl Refusal {
    fn new(code: &str, message: &str) -> Self {
        Self {
            status: 400,
            code: code.into(),
            message: message.into(),
        }
    }

    fn no_queue() -> Self {
        Self::new(
            "AWS.SimpleQueueService.NonExistentQueue",
            "The specified queue does not exist.",
        )
    }

    /// As SQS sends it.
    pub fn response(&self) -> Response<Bytes> {
        let kind = match self.code.as_str() {
            "AWS.SimpleQueueService.NonExistentQueue" => "QueueDoesNotExist",
            code => code,
        };
        let body = json!({"__type": format!("com.amazonaws.sqs#{kind}"), "message": self.message});
        Response::builder()
            .status(self.status)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amzn-query-error", format!("{};Sender", self.code))
            .body(body.to_string().into())
            .unwrap()
    }
}

/// What SQS refuses for the credentials. Signatures are checked with S3's requests only.
pub(crate) fn refuse(known: Option<Credentials>) -> Option<Refusal> {
    let (code, message) = match known {
        None => (
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
        ),
        Some(known) if known.expired => (
            "ExpiredToken",
            "The security token included in the request is expired",
        ),
        Some(_) => return None,
    };
    Some(Refusal {
        status: 403,
        code: code.into(),
        message: message.into(),
    })
}

impl Queues {
    /// Makes a queue.
    pub fn create(&self, name: &str, visibility: Duration) {
        self.create_in(ACCOUNT, name, visibility);
    }

    /// Makes a queue in an account.
    pub fn create_in(&self, account: &str, name: &str, visibility: Duration) {
        let queue = Queue {
            visibility,
            ..Queue::default()
        };
        self.queues().insert((account.into(), name.into()), queue);
    }

    /// Takes a queue away.
    pub fn remove(&self, name: &str) {
        self.queues().remove(&(ACCOUNT.into(), name.into()));
    }

    /// Takes messages away once they were received so often.
    pub fn redrive(&self, name: &str, most_receives: u32) {
        self.with(name, |queue| queue.most_receives = Some(most_receives));
    }

    /// Puts a message into a queue.
    pub fn send(&self, name: &str, body: impl Into<String>) {
        self.send_in(ACCOUNT, name, body);
    }

    /// Puts a message into a queue of an account.
    pub fn send_in(&self, account: &str, name: &str, body: impl Into<String>) {
        let mut queues = self.queues();
        let queue = queues.get_mut(&(account.into(), name.into())).unwrap();
        queue.counts.sent += 1;
        queue.visible.push_back(Message {
            id: queue.counts.sent,
            body: body.into(),
            receives: 0,
            until: Instant::now(),
        });
        drop(queues);
        self.sent.notify_waiters();
    }

    /// What became of a queue's messages.
    pub fn counts(&self, name: &str) -> Counts {
        self.counts_in(ACCOUNT, name)
    }

    /// What became of the messages of an account's queue.
    pub fn counts_in(&self, account: &str, name: &str) -> Counts {
        let mut queues = self.queues();
        let queue = queues.get_mut(&(account.into(), name.into())).unwrap();
        queue.expire();
        Counts {
            visible: queue.visible.len(),
            in_flight: queue.in_flight.len(),
            ..queue.counts.clone()
        }
    }

    /// Makes so many entries of batches of an action fail, one by one.
    pub fn fail_entries(&self, action: &str, times: usize) {
        self.failing.lock().unwrap().insert(action.into(), times);
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<(String, String), Queue>> {
        self.queues.lock().unwrap()
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Queue) -> T) -> T {
        act(self
            .queues()
            .get_mut(&(ACCOUNT.into(), name.into()))
            .unwrap())
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, host: &str, action: &str, body: &[u8]) -> Response<Bytes> {
        let input: Value = serde_json::from_slice(body).unwrap_or_default();
        match self.act(host, action, &input).await {
            Ok(output) => Response::builder()
                .header("content-type", "application/x-amz-json-1.0")
                .body(output.to_string().into())
                .unwrap(),
            Err(refusal) => refusal.response(),
        }
    }

    async fn act(&self, host: &str, action: &str, input: &Value) -> Result<Value, Refusal> {
        if action == "GetQueueUrl" {
            let account = input["QueueOwnerAWSAccountId"].as_str().unwrap_or(ACCOUNT);
            let name = input["QueueName"].as_str().unwrap_or_default();
            let known = self.queues().contains_key(&(account.into(), name.into()));
            return match known {
                true => Ok(json!({"QueueUrl": format!("http://{host}/{account}/{name}")})),
                false => Err(Refusal::no_queue()),
            };
        }
        let mut parts = input["QueueUrl"].as_str().unwrap_or_default().rsplit('/');
        let name = parts.next().unwrap_or_default().to_owned();
        let key = (parts.next().unwrap_or_default().to_owned(), name);
        let number = |name: &str| input[name].as_u64();
        let wait = Duration::from_secs(number("WaitTimeSeconds").unwrap_or(0));
        let end = Instant::now() + wait;
        loop {
            let sent = self.sent.notified();
            let next = {
                let mut queues = self.queues();
                let queue = queues.get_mut(&key).ok_or_else(Refusal::no_queue)?;
                queue.expire();
                match action {
                    "GetQueueAttributes" => return Ok(queue.attributes()),
                    "DeleteMessageBatch" => {
                        return Ok(self.batch(action, input, |entry| queue.delete(entry)));
                    }
                    "ChangeMessageVisibilityBatch" => {
                        return Ok(self.batch(action, input, |entry| queue.extend(entry)));
                    }
                    "ReceiveMessage" => {
                        let visibility = number("VisibilityTimeout").map(Duration::from_secs);
                        let most = number("MaxNumberOfMessages").unwrap_or(1);
                        let messages = queue.receive(most, visibility);
                        if !messages.is_empty() {
                            return Ok(json!({"Messages": messages}));
                        }
                    }
                    _ => return Err(Refusal::new("InvalidAction", "not here")),
                }
                queue.until.first().map_or(end, |(until, _)| *until)
            };
            if Instant::now() >= end {
                return Ok(json!({}));
            }
            let next = next.min(end) + Duration::from_millis(1);
            if tokio::time::timeout_at(next.into(), sent).await.is_ok() {
                // Who has gone by now gets nothing: the connection sees that meanwhile, and ends this.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    fn batch(
        &self,
        action: &str,
        input: &Value,
        mut act: impl FnMut(&Value) -> Result<(), &'static str>,
    ) -> Value {
        let (mut successful, mut failed) = (vec![], vec![]);
        for entry in input["Entries"].as_array().into_iter().flatten() {
            let mut failing = self.failing.lock().unwrap();
            let left = failing.get_mut(action).filter(|left| **left > 0);
            let result = match left {
                Some(left) => {
                    *left -= 1;
                    Err((false, "InternalError"))
                }
                None => act(entry).map_err(|code| (true, code)),
            };
            match result {
                Ok(()) => successful.push(json!({"Id": entry["Id"]})),
                Err((sender, code)) => failed.push(
                    json!({"Id": entry["Id"], "SenderFault": sender, "Code": code, "Message": code}),
                ),
            }
        }
        json!({"Successful": successful, "Failed": failed})
    }
}

impl Queue {
    /// Makes visible what nobody has extended.
    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((until, id)) = self.until.first().copied().filter(|(at, _)| *at <= now) {
            self.until.remove(&(until, id));
            if let Some(message) = self.in_flight.remove(&id) {
                self.visible.push_back(message);
            }
        }
    }

    fn attributes(&self) -> Value {
        let mut attributes = json!({"VisibilityTimeout": self.visibility.as_secs().to_string()});
        if let Some(most) = self.most_receives {
            let policy = json!({"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:dead", "maxReceiveCount": most});
            attributes["RedrivePolicy"] = policy.to_string().into();
        }
        json!({"Attributes": attributes})
    }

    fn receive(&mut self, most: u64, visibility: Option<Duration>) -> Vec<Value> {
        let until = Instant::now() + visibility.unwrap_or(self.visibility);
        let mut messages = vec![];
        while messages.len() < most as usize
            && let Some(mut message) = self.visible.pop_front()
        {
            if self
                .most_receives
                .is_some_and(|most| message.receives >= most)
            {
                self.counts.dead += 1;
                continue;
            }
            message.receives += 1;
            message.until = until;
            self.counts.received += 1;
            messages.push(json!({
                "MessageId": format!("{:08}-0000-4000-8000-000000000000", message.id),
                // As long as they are.
                "ReceiptHandle": format!("{}/{}/{}", message.id, message.receives, "A".repeat(300)),
                "Body": message.body,
            }));
            self.until.insert((until, message.id));
            self.in_flight.insert(message.id, message);
        }
        messages
    }

    /// The message in flight that a handle is for; an old handle is none.
    fn by_handle(&mut self, entry: &Value) -> Option<u64> {
        let mut parts = entry["ReceiptHandle"].as_str()?.split('/');
        let id = parts.next()?.parse().ok()?;
        let receives: u32 = parts.next()?.parse().ok()?;
        let message = self.in_flight.get(&id)?;
        (message.receives == receives).then_some(id)
    }

    fn delete(&mut self, entry: &Value) -> Result<(), &'static str> {
        // An old handle is no error, but deletes nothing.
        if let Some(id) = self.by_handle(entry) {
            let message = self.in_flight.remove(&id).unwrap();
            self.until.remove(&(message.until, id));
            self.counts.deleted += 1;
        }
        Ok(())
    }

    fn extend(&mut self, entry: &Value) -> Result<(), &'static str> {
        let id = self.by_handle(entry).ok_or("MessageNotInflight")?;
        let message = self.in_flight.get_mut(&id).unwrap();
        self.until.remove(&(message.until, id));
        let seconds = entry["VisibilityTimeout"].as_u64().unwrap_or(0);
        message.until = Instant::now() + Duration::from_secs(seconds);
        self.until.insert((message.until, id));
        self.counts.extended += 1;
        Ok(())
    }
}
