//! AWS in memory, for tests: answers the requests of the SDK's clients without sockets, so that time can be paused.
//!
//! S3 lists and gives objects, SQS receives and deletes messages, CloudTrail looks up events, CloudWatch Logs gives those of
//! a group, and STS gives out keys that expire. What goes wrong, and when, tests say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use http_body::Body;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::http::Http;
use super::sessions::Environment;
use crate::clock::Clock;
use crate::settings;

/// What a test says of a request: how it fails, if it does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Failure {
    /// The network is down.
    Down,
    /// An answer with this status.
    Status(u16),
}

/// A service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum To {
    S3,
    Sqs,
    CloudTrail,
    Logs,
    Sts,
}

/// Says of a request to a service at a time whether it fails.
type Fails = dyn Fn(To, Timestamp) -> Option<Failure> + Send + Sync;

/// AWS, with one bucket, one queue, one log group, and the event history of one account.
pub(crate) struct Aws {
    clock: Clock,
    state: Mutex<State>,
    fails: Box<Fails>,
}

#[derive(Default)]
struct State {
    /// By key: when it was put, and what.
    objects: BTreeMap<String, (Timestamp, Vec<u8>)>,
    /// Messages that are in the queue, and those received.
    messages: VecDeque<String>,
    received: BTreeMap<String, String>,
    /// Messages received and keys given out so far.
    count: usize,
    /// Events: when they happened, when they are seen, and their records.
    events: Vec<(Timestamp, Timestamp, String)>,
    /// The same of log events, by their times in milliseconds and numbers.
    log_events: BTreeMap<(i64, usize), (Timestamp, String)>,
    /// Log events that were given, pages that were, and those of them that had nothing new.
    log_given: BTreeSet<usize>,
    log_pages: usize,
    log_pages_again: usize,
    /// Keys given out, and when they expire.
    keys: BTreeMap<String, Timestamp>,
}

/// How long keys are good for; less than STS allows, so that tests need not be long.
const SESSION: SignedDuration = SignedDuration::from_mins(2);

impl Aws {
    /// One that fails as told.
    pub fn new(
        clock: Clock,
        fails: impl Fn(To, Timestamp) -> Option<Failure> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock,
            state: Mutex::default(),
            fails: Box::new(fails),
        })
    }

    /// What captures go by, so that they speak to this.
    pub fn environment(self: &Arc<Self>) -> Environment {
        let connector = SharedHttpConnector::new(Connector(Arc::clone(self)));
        Environment {
            clock: self.clock,
            http: Some(Http::of(connector)),
        }
    }

    /// Settings with a role's credentials, which STS gives out again and again.
    pub fn settings(folder: &std::path::Path) -> settings::Settings {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        settings::Settings {
            aws: settings::Aws {
                profile: Some("role".to_owned()),
                region: Some("us-east-1".to_owned()),
                config: Some(write(
                    "config",
                    "[profile role]\nrole_arn=arn:aws:iam::111122223333:role/audit\nsource_profile=base\n",
                )),
                credentials: Some(write(
                    "credentials",
                    "[base]\naws_access_key_id=AKIAIOSFODNN7EXAMPLE\naws_secret_access_key=secret\n",
                )),
                ..settings::Aws::default()
            },
            ..settings::Settings::default()
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Put an object, now.
    pub fn put(&self, key: &str, bytes: Vec<u8>) {
        self.put_at(key, bytes, self.clock.now());
    }

    /// The same, as if it had been put then.
    pub fn put_at(&self, key: &str, bytes: Vec<u8>, time: Timestamp) {
        self.state().objects.insert(key.to_owned(), (time, bytes));
    }

    /// Remove the objects that were put before.
    pub fn expire(&self, before: Timestamp) {
        let mut state = self.state();
        state.objects.retain(|_, (put, _)| *put >= before);
    }

    /// Send a message to the queue.
    pub fn send(&self, body: String) {
        self.state().messages.push_back(body);
    }

    /// Messages that are in the queue, or were received and not deleted.
    pub fn messages_left(&self) -> usize {
        let state = self.state();
        state.messages.len() + state.received.len()
    }

    /// An event of the history that is seen later.
    pub fn happen(&self, time: Timestamp, seen: Timestamp, record: String) {
        self.state().events.push((time, seen, record));
    }

    /// A log event of this time that is seen later.
    pub fn log(&self, time: Timestamp, seen: Timestamp, message: String) {
        let mut state = self.state();
        let number = state.log_events.len();
        let key = (time.as_millisecond(), number);
        state.log_events.insert(key, (seen, message));
    }

    /// Pages of the log group that were given, and those of them that had events and nothing new.
    pub fn log_pages(&self) -> (usize, usize) {
        let state = self.state();
        (state.log_pages, state.log_pages_again)
    }

    /// Status and body; none where the network is down.
    fn answer(&self, request: &Request) -> Option<(u16, Vec<u8>)> {
        let now = self.clock.now();
        let to = request.to();
        match (self.fails)(to, now) {
            Some(Failure::Status(status)) => return Some((status, Vec::new())),
            Some(Failure::Down) => return None,
            None => {}
        }
        if to != To::Sts {
            let expires = self.state().keys.get(&request.access_key()).copied();
            if expires.is_none_or(|expires| expires <= now) {
                let error = match to {
                    To::S3 => "<Error><Code>ExpiredToken</Code></Error>",
                    _ => r#"{"__type": "ExpiredTokenException"}"#,
                };
                return Some((400, error.into()));
            }
        }
        let body = match to {
            To::Sts => self.give_out(now),
            To::S3 if request.query("list-type").is_some() => self.list(request),
            To::S3 => match self.state().objects.get(&request.path()) {
                Some((_, bytes)) => return Some((200, bytes.clone())),
                None => return Some((404, "<Error><Code>NoSuchKey</Code></Error>".into())),
            },
            To::Sqs => self.queue(request),
            To::CloudTrail => self.look_up(request, now),
            To::Logs => self.filter(request, now),
        };
        Some((200, body.into_bytes()))
    }

    fn give_out(&self, now: Timestamp) -> String {
        let mut state = self.state();
        state.count += 1;
        let key = format!("ASIA{:016}", state.count);
        let expires = now + SESSION;
        state.keys.retain(|_, expires| *expires > now);
        state.keys.insert(key.clone(), expires);
        let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ");
        format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
                 <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
                 <Expiration>{expires}</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>a:b</AssumedRoleId>\
                 <Arn>arn:aws:sts::111122223333:assumed-role/audit/x</Arn></AssumedRoleUser></AssumeRoleResult>\
                 </AssumeRoleResponse>"
        )
    }

    fn list(&self, request: &Request) -> String {
        let query = |name: &str| request.query(name).unwrap_or_default();
        let (prefix, delimiter) = (query("prefix"), query("delimiter"));
        let after = query("continuation-token").max(query("start-after"));
        let most: usize = query("max-keys").parse().unwrap_or(1000);
        let state = self.state();
        let mut entries: Vec<String> = Vec::new();
        let mut folder = String::new();
        for (key, (time, bytes)) in state.objects.range(prefix.clone()..) {
            let Some(rest) = key.strip_prefix(&prefix) else {
                break;
            };
            match rest.split_once('/').filter(|_| !delimiter.is_empty()) {
                Some((name, _)) if folder == name => {}
                Some((name, _)) => {
                    name.clone_into(&mut folder);
                    entries.push(format!(
                        "<CommonPrefixes><Prefix>{prefix}{name}/</Prefix></CommonPrefixes>"
                    ));
                }
                None if *key <= after => {}
                None if entries.len() == most => {
                    let token = entries.last().and_then(|entry| Some(entry.split_once("<Key>")?.1.split_once('<')?.0));
                    let token = token.unwrap_or_default().to_owned();
                    entries.push(format!(
                        "<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
                    ));
                    break;
                }
                None => entries.push(format!(
                    "<Contents><Key>{key}</Key><LastModified>{time}</LastModified><Size>{}</Size></Contents>",
                    bytes.len()
                )),
            }
        }
        format!("<ListBucketResult>{}</ListBucketResult>", entries.concat())
    }

    fn queue(&self, request: &Request) -> String {
        let body = request.json();
        let mut state = self.state();
        let answer = match request.header("x-amz-target").rsplit('.').next() {
            Some("GetQueueUrl") => {
                json!({"QueueUrl": "https://sqs.us-east-1.amazonaws.com/111122223333/q"})
            }
            Some("GetQueueAttributes") => json!({"Attributes": {"VisibilityTimeout": "30"}}),
            Some("ReceiveMessage") => {
                let most = state.messages.len().min(10);
                let messages: Vec<_> = state.messages.drain(..most).collect();
                let messages = messages.into_iter().map(|body| {
                    state.count += 1;
                    let id = format!("m{}", state.count);
                    state.received.insert(id.clone(), body.clone());
                    json!({"MessageId": id, "ReceiptHandle": id, "Body": body})
                });
                json!({"Messages": messages.collect::<Vec<_>>()})
            }
            Some("DeleteMessageBatch") => {
                let entries = body["Entries"].as_array().cloned().unwrap_or_default();
                let deleted = entries.iter().map(|entry| {
                    state
                        .received
                        .remove(entry["ReceiptHandle"].as_str().unwrap_or_default());
                    json!({"Id": entry["Id"]})
                });
                json!({"Successful": deleted.collect::<Vec<_>>(), "Failed": []})
            }
            _ => json!({"Successful": [], "Failed": []}),
        };
        answer.to_string()
    }

    fn look_up(&self, request: &Request, now: Timestamp) -> String {
        let body = request.json();
        if body["EventCategory"] == "insight" {
            return json!({"Events": []}).to_string();
        }
        let time = |name: &str| body[name].as_f64().unwrap_or_default() as i64;
        let state = self.state();
        let mut found: Vec<_> = state
            .events
            .iter()
            .filter(|(time_of, seen, _)| {
                *seen <= now && (time("StartTime")..=time("EndTime")).contains(&time_of.as_second())
            })
            .collect();
        found.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
        let skip: usize = body["NextToken"]
            .as_str()
            .and_then(|token| token.parse().ok())
            .unwrap_or(0);
        let page = found.iter().skip(skip).take(50).map(|(time, _, record)| {
            let id = serde_json::from_str::<serde_json::Value>(record).unwrap()["eventID"].clone();
            json!({"EventId": id, "EventTime": time.as_second(), "CloudTrailEvent": record})
        });
        let page: Vec<_> = page.collect();
        let mut answer = json!({"Events": page});
        if skip + 50 < found.len() {
            answer["NextToken"] = (skip + 50).to_string().into();
        }
        answer.to_string()
    }
}

/// Log events of a page.
pub(crate) const LOG_PAGE: usize = 700;

impl Aws {
    fn filter(&self, request: &Request, now: Timestamp) -> String {
        let body = request.json();
        if request
            .header("x-amz-target")
            .ends_with(".DescribeLogGroups")
        {
            let arn = "arn:aws:logs:us-east-1:111122223333:log-group:trail";
            return json!({"logGroups": [{"logGroupName": "trail", "logGroupArn": arn}]})
                .to_string();
        }
        let time = |name: &str| body[name].as_i64().unwrap_or_default();
        let (from, to) = ((time("startTime"), 0), (time("endTime"), usize::MAX));
        let cursor = body["nextToken"].as_str().map(|token| {
            let (time, number) = token.split_once('/').unwrap();
            (time.parse().unwrap(), number.parse().unwrap())
        });
        let mut state = self.state();
        state.log_pages += 1;
        let visible = state.log_events.range(from..=to);
        let visible = visible.filter(|(_, (seen, _))| *seen <= now);
        let events: Vec<_> = match body["startFromHead"] == false {
            true => visible
                .rev()
                .filter(|(key, _)| cursor.is_none_or(|cursor| **key < cursor))
                .take(LOG_PAGE + 1)
                .collect(),
            false => visible
                .filter(|(key, _)| cursor.is_none_or(|cursor| **key > cursor))
                .take(LOG_PAGE + 1)
                .collect(),
        };
        let page = &events[..events.len().min(LOG_PAGE)];
        let shown = page.iter().map(|((time, number), (_, message))| {
            json!({"eventId": number.to_string(), "timestamp": time, "message": message})
        });
        let mut answer = json!({"events": shown.collect::<Vec<_>>()});
        if events.len() > LOG_PAGE {
            let ((time, number), _) = page[page.len() - 1];
            answer["nextToken"] = format!("{time}/{number}").into();
        }
        let numbers: Vec<usize> = page.iter().map(|((_, number), _)| *number).collect();
        let is_empty = numbers.is_empty();
        let new = numbers
            .into_iter()
            .filter(|number| state.log_given.insert(*number));
        if new.count() == 0 && !is_empty {
            state.log_pages_again += 1;
        }
        answer.to_string()
    }
}

/// A request as it was sent.
struct Request {
    sent: HttpRequest,
    body: Vec<u8>,
}

impl Request {
    /// Read to its end: the SDK watches that.
    async fn read(mut sent: HttpRequest) -> Self {
        let mut left = std::mem::replace(sent.body_mut(), SdkBody::taken());
        let mut body = Vec::new();
        while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut left).poll_frame(context)).await
        {
            body.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
        Self { sent, body }
    }

    fn header(&self, name: &str) -> String {
        self.sent.headers().get(name).unwrap_or_default().to_owned()
    }

    fn to(&self) -> To {
        let host = self.sent.uri();
        match host {
            _ if host.contains("//sts.") => To::Sts,
            _ if host.contains("//sqs.") => To::Sqs,
            _ if host.contains("//cloudtrail.") => To::CloudTrail,
            // The bucket is called logs.
            _ if host.contains("//logs.us-east-1.amazonaws.com") => To::Logs,
            _ => To::S3,
        }
    }

    fn access_key(&self) -> String {
        let header = self.header("authorization");
        let key = header
            .split_once("Credential=")
            .and_then(|(_, rest)| Some(rest.split_once('/')?.0));
        key.unwrap_or_default().to_owned()
    }

    /// The path and the query, each as it was sent, without the slash or question mark before it.
    fn path_and_query(&self) -> (&str, &str) {
        let rest = self.sent.uri().splitn(4, '/').nth(3).unwrap_or_default();
        rest.split_once('?').unwrap_or((rest, ""))
    }

    fn path(&self) -> String {
        decode(self.path_and_query().0)
    }

    fn query(&self, name: &str) -> Option<String> {
        let mut pairs = self.path_and_query().1.split('&');
        let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        Some(decode(value))
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn decode(text: &str) -> String {
    let text = percent_encoding::percent_decode_str(text);
    text.decode_utf8_lossy().into_owned()
}

struct Connector(Arc<Aws>);

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let aws = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let request = Request::read(request).await;
            // A receive waits for messages.
            let wait = request.json()["WaitTimeSeconds"].as_u64();
            let mut left = wait.unwrap_or_default();
            while left > 0 && aws.state().messages.is_empty() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                left -= 1;
            }
            let Some((status, body)) = aws.answer(&request) else {
                return Err(ConnectorError::io("the network is down".into()));
            };
            let length = body.len().to_string();
            let mut response = HttpResponse::new(status.try_into().unwrap(), body.into());
            response.headers_mut().insert("content-length", length);
            Ok(response)
        })
    }
}
