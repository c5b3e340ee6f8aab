//! What goes wrong on demand.

use std::{
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderName, HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::{
    Request,
    server::{Body, error, full},
};

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An error of S3's form.
    Error {
        /// `403`
        status: u16,
        /// `AccessDenied`
        code: String,
        /// Its words.
        message: String,
        /// More headers.
        headers: Vec<(String, String)>,
    },
    /// 200 and something else, an HTML page of a proxy, say.
    Body(Vec<u8>),
    /// Answers after this time.
    Delay(Duration),
    /// A TCP reset instead of an answer.
    Reset,
    /// A TCP reset after so many bytes of the body.
    ResetAfter(usize),
    /// The connection is closed in order after so many bytes of the body.
    CloseAfter(usize),
    /// So many bytes of the body, and its length states no more.
    Truncate(usize),
    /// Nothing more after so many bytes of the body.
    StallAfter(usize),
    /// Never an answer.
    Stall,
    /// The body byte by byte.
    Trickle,
}

impl Fault {
    /// An error of S3's form.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::Error {
            status,
            code: code.into(),
            message: message.into(),
            headers: vec![],
        }
    }

    /// 403 AccessDenied, worded as S3 words it.
    pub fn denied() -> Self {
        Self::error(403, "AccessDenied", "Access Denied")
    }

    /// 503 SlowDown
    pub fn slow_down() -> Self {
        Self::error(503, "SlowDown", "Please reduce your request rate.")
    }
}

/// The requests that a fault is for.
pub type Condition = Box<dyn Fn(&Request) -> bool + Send + Sync>;

/// All faults that were asked for.
#[derive(Default)]
pub struct Faults(Mutex<Vec<Rule>>);

struct Rule {
    when: Condition,
    left: Option<usize>,
    fault: Fault,
}

impl Faults {
    /// Of several faults whose conditions hold, the first counts, until it has been `left` times.
    pub fn add(&self, when: Condition, left: Option<usize>, fault: Fault) {
        self.0.lock().unwrap().push(Rule { when, left, fault });
    }

    pub fn take(&self, request: &Request) -> Option<Fault> {
        let mut rules = self.0.lock().unwrap();
        let rule = rules
            .iter_mut()
            .find(|rule| rule.left != Some(0) && (rule.when)(request))?;
        rule.left = rule.left.map(|left| left - 1);
        Some(rule.fault.clone())
    }
}

impl Fault {
    /// What the request gets instead of an answer, if so. `reset` says that its connection ends in a reset.
    pub async fn instead(
        &self,
        request: &Request,
        reset: &AtomicBool,
    ) -> io::Result<Option<Response<Body>>> {
        match self {
            Self::Error {
                status,
                code,
                message,
                headers,
            } => {
                let mut response = error(request, *status, code, message);
                for (name, value) in headers {
                    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                    let value = HeaderValue::from_str(value).unwrap();
                    response.headers_mut().insert(name, value);
                }
                return Ok(Some(response));
            }
            Self::Body(body) => return Ok(Some(Response::new(full(body.clone())))),
            Self::Delay(time) => tokio::time::sleep(*time).await,
            Self::Stall => std::future::pending().await,
            Self::Reset => {
                reset.store(true, Ordering::SeqCst);
                return Err(cut());
            }
            _ => {}
        }
        Ok(None)
    }

    /// The answer that goes wrong on its way.
    pub async fn spoil(
        self,
        response: Response<Body>,
        reset: &AtomicBool,
    ) -> io::Result<Response<Body>> {
        let (mut parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let body = match self {
            Self::ResetAfter(bytes) => {
                reset.store(true, Ordering::SeqCst);
                part(body, bytes, Some(Err(cut())))
            }
            Self::CloseAfter(bytes) => part(body, bytes, Some(Err(cut()))),
            Self::StallAfter(bytes) => part(body, bytes, None),
            Self::Truncate(bytes) => {
                let body = body.slice(..bytes.min(body.len()));
                parts.headers.insert("content-length", body.len().into());
                full(body)
            }
            Self::Trickle => trickle(body),
            _ => full(body),
        };
        Ok(Response::from_parts(parts, body))
    }
}

/// What ends a connection without an answer.
fn cut() -> io::Error {
    io::Error::other("a fault")
}

/// The first bytes of a body, and then an end of this kind, or none.
fn part(body: Bytes, bytes: usize, end: Option<io::Result<Frame<Bytes>>>) -> Body {
    let first = body.slice(..bytes.min(body.len()));
    let first = stream::iter((!first.is_empty()).then(|| Ok(Frame::data(first))));
    let end = stream::once(async move {
        // Let what was sent arrive.
        tokio::time::sleep(Duration::from_millis(20)).await;
        match end {
            Some(end) => end,
            None => std::future::pending().await,
        }
    });
    StreamBody::new(first.chain(end)).boxed_unsync()
}

/// A body byte by byte.
fn trickle(body: Bytes) -> Body {
    StreamBody::new(stream::iter(0..body.len()).then(move |at| {
        let byte = body.slice(at..at + 1);
        async move {
            tokio::task::yield_now().await;
            Ok(Frame::data(byte))
        }
    }))
    .boxed_unsync()
}
