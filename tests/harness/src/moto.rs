//! Moto's server: an AWS of other people's making, whose S3, SNS, EventBridge and SQS are wired up as AWS's are.
//!
//! `scripts/moto` puts it into target/moto.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    aws::{ACCESS_KEY, ACCOUNT, REGION},
    hosts::installed,
};

/// Serves on a port that it chooses, and ends with whoever has started it.
const SERVE: &str = "\
import os, sys, threading
def watch():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
from moto.server import main
main(['-p', '0'])
";

/// A running moto, one for all tests of a process.
pub struct Moto {
    address: String,
    /// Its standard input ends with this process, and so does it.
    _child: Child,
}

impl Moto {
    /// Moto; nothing where it is missing and not required.
    pub fn get() -> Option<&'static Self> {
        static MOTO: OnceLock<Moto> = OnceLock::new();
        let run = installed("moto/run", "scripts/moto")?;
        Some(MOTO.get_or_init(|| Self::start(&run)))
    }

    fn start(run: &Path) -> Self {
        let mut child = Command::new(run)
            .args(["-c", SERVE])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let start = said.len();
            assert!(log.read_line(&mut said).unwrap() > 0, "moto: {said}");
            if let Some((_, address)) = said[start..].split_once("Running on http://") {
                break address.trim().to_owned();
            }
        };
        // It says a line for each request, and must not wait for a reader.
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self {
            address,
            _child: child,
        }
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a bucket.
    pub fn bucket(&self, name: &str) {
        self.s3("PUT", &format!("/{name}"), b"");
    }

    /// Makes an object.
    pub fn put(&self, bucket: &str, key: &str, body: &[u8]) {
        self.s3("PUT", &object(bucket, key), body);
    }

    /// Takes an object away.
    pub fn remove(&self, bucket: &str, key: &str) {
        self.s3("DELETE", &object(bucket, key), b"");
    }

    /// Has a bucket tell of its new objects: XML within `NotificationConfiguration`.
    pub fn notify(&self, bucket: &str, how: &str) {
        let xml = format!("<NotificationConfiguration>{how}</NotificationConfiguration>");
        self.s3("PUT", &format!("/{bucket}?notification"), xml.as_bytes());
    }

    /// Has a bucket tell a queue of its new and removed objects.
    pub fn notify_queue(&self, bucket: &str, queue: &str) {
        let arn = arn("sqs", queue);
        self.notify(
            bucket,
            &format!(
                "<QueueConfiguration><Id>1</Id><Queue>{arn}</Queue>{EVENTS}</QueueConfiguration>"
            ),
        );
    }

    /// Has a bucket tell a topic of its new and removed objects.
    pub fn notify_topic(&self, bucket: &str, topic: &str) {
        let arn = arn("sns", topic);
        self.notify(
            bucket,
            &format!(
                "<TopicConfiguration><Id>1</Id><Topic>{arn}</Topic>{EVENTS}</TopicConfiguration>"
            ),
        );
    }

    /// Has a bucket tell EventBridge, and that a queue.
    pub fn notify_event_bridge(&self, bucket: &str, queue: &str) {
        self.notify(bucket, "<EventBridgeConfiguration/>");
        let pattern = json!({"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}}});
        let rule = json!({"Name": bucket, "EventPattern": pattern.to_string()});
        self.events("PutRule", &rule);
        let targets = json!({"Rule": bucket, "Targets": [{"Id": "1", "Arn": arn("sqs", queue)}]});
        self.events("PutTargets", &targets);
    }

    /// Makes a queue, whose messages are visible again after so many seconds.
    pub fn queue(&self, name: &str, visibility: u32) {
        let attributes = json!({"VisibilityTimeout": visibility.to_string()});
        self.sqs(
            "CreateQueue",
            &json!({"QueueName": name, "Attributes": attributes}),
        );
    }

    /// Makes a topic.
    pub fn topic(&self, name: &str) {
        self.sns(&[("Action", "CreateTopic"), ("Name", name)]);
    }

    /// Lets a queue hear of a topic's messages, in envelopes or raw.
    pub fn subscribe(&self, topic: &str, queue: &str, raw: bool) {
        let (topic, queue) = (arn("sns", topic), arn("sqs", queue));
        let mut query = vec![
            ("Action", "Subscribe"),
            ("TopicArn", &topic),
            ("Protocol", "sqs"),
            ("Endpoint", &queue),
        ];
        if raw {
            query.push(("Attributes.entry.1.key", "RawMessageDelivery"));
            query.push(("Attributes.entry.1.value", "true"));
        }
        self.sns(&query);
    }

    /// Has a topic say something.
    pub fn publish(&self, topic: &str, message: &str) {
        let topic = arn("sns", topic);
        self.sns(&[
            ("Action", "Publish"),
            ("TopicArn", &topic),
            ("Message", message),
        ]);
    }

    /// Puts a message into a queue.
    pub fn send(&self, queue: &str, body: &str) {
        let url = self.queue_url(queue);
        self.sqs(
            "SendMessage",
            &json!({"QueueUrl": url, "MessageBody": body}),
        );
    }

    /// How many messages of a queue are visible, and how many in flight.
    pub fn counts(&self, queue: &str) -> (u64, u64) {
        let url = self.queue_url(queue);
        let answer = self.sqs(
            "GetQueueAttributes",
            &json!({"QueueUrl": url, "AttributeNames": ["All"]}),
        );
        let count = |name: &str| {
            let count = answer["Attributes"][name].as_str();
            count.and_then(|count| count.parse().ok()).unwrap()
        };
        (
            count("ApproximateNumberOfMessages"),
            count("ApproximateNumberOfMessagesNotVisible"),
        )
    }

    /// Makes a log group with a stream of this name.
    pub fn log_group(&self, name: &str, stream: &str) {
        let group = json!({"logGroupName": name});
        self.logs("CreateLogGroup", &group);
        let stream = json!({"logGroupName": name, "logStreamName": stream});
        self.logs("CreateLogStream", &stream);
    }

    /// Puts events into a stream of a log group: times in milliseconds, and messages. They may not be older than 14 days.
    pub fn log(&self, group: &str, stream: &str, events: &[(i64, &str)]) {
        let events = events.iter();
        let events = events.map(|(time, text)| json!({"timestamp": time, "message": text}));
        let events: Vec<Value> = events.collect();
        let input = json!({"logGroupName": group, "logStreamName": stream, "logEvents": events});
        self.logs("PutLogEvents", &input);
    }

    /// A queue's URL.
    pub fn queue_url(&self, queue: &str) -> String {
        format!("{}/{ACCOUNT}/{queue}", self.endpoint())
    }

    fn s3(&self, method: &str, path: &str, body: &[u8]) {
        self.ask(method, path, "s3", "", body);
    }

    fn sqs(&self, action: &str, input: &Value) -> Value {
        let kind = format!(
            "X-Amz-Target: AmazonSQS.{action}\r\nContent-Type: application/x-amz-json-1.0\r\n"
        );
        let answer = self.ask("POST", "/", "sqs", &kind, input.to_string().as_bytes());
        serde_json::from_str(&answer).unwrap_or_default()
    }

    fn logs(&self, action: &str, input: &Value) {
        let kind = format!(
            "X-Amz-Target: Logs_20140328.{action}\r\nContent-Type: application/x-amz-json-1.1\r\n"
        );
        self.ask("POST", "/", "logs", &kind, input.to_string().as_bytes());
    }

    fn events(&self, action: &str, input: &Value) {
        let kind = format!(
            "X-Amz-Target: AWSEvents.{action}\r\nContent-Type: application/x-amz-json-1.1\r\n"
        );
        self.ask("POST", "/", "events", &kind, input.to_string().as_bytes());
    }

    fn sns(&self, query: &[(&str, &str)]) {
        let pairs = query.iter().map(|(name, value)| {
            format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
        });
        let form = pairs.collect::<Vec<_>>().join("&");
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        self.ask("POST", "/", "sns", kind, form.as_bytes());
    }

    /// A request that has to succeed; the answer's body.
    fn ask(&self, method: &str, path: &str, service: &str, headers: &str, body: &[u8]) -> String {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\
             Authorization: AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20240305/{REGION}/{service}/aws4_request, \
             SignedHeaders=host, Signature=0\r\n\r\n",
            self.address,
            body.len()
        );
        connection
            .write_all(&[head.as_bytes(), body].concat())
            .unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap();
        assert!(
            status.starts_with('2'),
            "{method} {path} {headers}: {answer}"
        );
        body.to_owned()
    }
}

const EVENTS: &str = "<Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event>";

/// The path of an object in a URL.
pub(crate) fn object(bucket: &str, key: &str) -> String {
    format!("/{bucket}/{}", utf8_percent_encode(key, NON_ALPHANUMERIC)).replace("%2F", "/")
}

/// The ARN of a queue or topic.
pub fn arn(service: &str, name: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{name}")
}
