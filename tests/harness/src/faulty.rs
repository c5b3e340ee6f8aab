//! An S3 and an SQS on 127.0.0.1 that go wrong as a test says, request by request.
//!
//! It writes its answers to the socket itself, since a server's library would keep it from telling
//! a wrong length. It checks no signatures, and has one bucket of any name.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::{
    fast_s3::{self, Objects},
    server::Server,
    sqs::Queues,
};

/// A request.
#[derive(Debug)]
pub struct Asked {
    /// `ListObjectsV2`, `GetObject`, or an action of SQS.
    pub action: String,
    /// The key, a listing's query, or nothing.
    pub key: String,
    /// The region that it is signed for.
    pub region: String,
    /// How often the same was asked for before.
    pub before: usize,
    /// What was sent.
    pub body: Bytes,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// Nothing.
    None,
    /// An error: its status, its code, and a header more.
    Error(u16, &'static str, Option<(&'static str, &'static str)>),
    /// 200 and something else.
    Body(Bytes),
    /// A TCP reset; nothing was done.
    Reset,
    /// A TCP reset after so many bytes of the answer's body; all was done.
    ResetAfter(usize),
    /// The stated length is too long: the connection is closed in order after so many bytes.
    TooLong(usize),
    /// The stated length is too short: so many bytes, though all are sent.
    TooShort(usize),
    /// So long a pause after so many bytes.
    Stall(usize, Duration),
    /// Byte by byte.
    Trickle,
}

type Plan = Box<dyn Fn(&Asked) -> Trouble + Send + Sync>;

/// The server. It ends when dropped.
pub struct Faulty {
    state: Arc<State>,
    server: Server<1>,
}

struct State {
    objects: Box<dyn Objects>,
    page: usize,
    plan: Plan,
    asked: Mutex<HashMap<(String, String), usize>>,
    queues: Queues,
}

impl Faulty {
    /// Serves these objects, so many keys a page, and asks the plan what goes wrong with each request.
    pub fn start(
        objects: impl Objects,
        page: usize,
        plan: impl Fn(&Asked) -> Trouble + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(State {
            objects: Box::new(objects),
            page,
            plan: Box::new(plan),
            asked: Mutex::default(),
            queues: Queues::default(),
        });
        let served = Arc::clone(&state);
        let server = Server::start([0], move |_, tcp| {
            let state = Arc::clone(&served);
            async move {
                // An error is that the client went away.
                _ = state.serve(tcp).await;
            }
        });
        Self { state, server }
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.addresses[0])
    }

    /// SQS.
    pub fn queues(&self) -> &Queues {
        &self.state.queues
    }
}

impl State {
    async fn serve(&self, tcp: TcpStream) -> io::Result<()> {
        let mut tcp = BufReader::new(tcp);
        while let Some((target, headers, body)) = read_request(&mut tcp).await? {
            let asked = self.asked(&target, &headers, body);
            let trouble = (self.plan)(&asked);
            if let Trouble::Reset = trouble {
                return tcp.get_ref().set_zero_linger();
            }
            let (status, mut answer_headers, body) = match &trouble {
                Trouble::Error(status, code, header) => {
                    let mut headers = HeaderMap::new();
                    if let Some((name, value)) = header {
                        headers.insert(*name, HeaderValue::from_static(value));
                    }
                    (*status, headers, error(&asked, code))
                }
                Trouble::Body(body) => (200, HeaderMap::new(), body.clone()),
                _ => self.answer(&asked, &headers).await,
            };
            let stated = match trouble {
                Trouble::TooShort(length) => length.min(body.len()),
                _ => body.len(),
            };
            answer_headers.insert("content-length", stated.into());
            let mut head = format!("HTTP/1.1 {status} X\r\n");
            for (name, value) in &answer_headers {
                head += &format!("{name}: {}\r\n", value.to_str().unwrap());
            }
            let mut answer = (head + "\r\n").into_bytes();
            let pause = |at: usize| at.min(body.len());
            let tcp = tcp.get_mut();
            match trouble {
                Trouble::ResetAfter(at) => {
                    answer.extend_from_slice(&body[..pause(at)]);
                    tcp.write_all(&answer).await?;
                    // Let what was sent arrive.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    return tcp.set_zero_linger();
                }
                Trouble::TooLong(at) => {
                    // One byte at least is missing.
                    answer.extend_from_slice(&body[..pause(at).min(body.len().saturating_sub(1))]);
                    tcp.write_all(&answer).await?;
                    return tcp.shutdown().await;
                }
                Trouble::Stall(at, time) => {
                    answer.extend_from_slice(&body[..pause(at)]);
                    tcp.write_all(&answer).await?;
                    tokio::time::sleep(time).await;
                    tcp.write_all(&body[pause(at)..]).await?;
                }
                Trouble::Trickle => {
                    tcp.write_all(&answer).await?;
                    for byte in body.chunks(1) {
                        tcp.write_all(byte).await?;
                        tokio::task::yield_now().await;
                    }
                }
                _ => {
                    answer.extend_from_slice(&body);
                    tcp.write_all(&answer).await?;
                }
            }
        }
        Ok(())
    }

    fn asked(&self, target: &str, headers: &HeaderMap, body: Bytes) -> Asked {
        let of_sqs = headers
            .get("x-amz-target")
            .and_then(|action| action.to_str().ok()?.strip_prefix("AmazonSQS."));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let key = path[1..].split_once('/').map_or("", |(_, key)| key);
        let (action, key) = match of_sqs {
            Some(action) => (action, String::new()),
            None if key.is_empty() => ("ListObjectsV2", query.to_owned()),
            None => (
                "GetObject",
                percent_decode_str(key).decode_utf8_lossy().into_owned(),
            ),
        };
        let mut counts = self.asked.lock().unwrap();
        let count = counts.entry((action.to_owned(), key.clone())).or_default();
        *count += 1;
        // AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …
        let region = headers
            .get("authorization")
            .and_then(|scope| scope.to_str().ok()?.split('/').nth(2));
        Asked {
            region: region.unwrap_or_default().to_owned(),
            action: action.to_owned(),
            key,
            before: *count - 1,
            body,
        }
    }

    async fn answer(&self, asked: &Asked, headers: &HeaderMap) -> (u16, HeaderMap, Bytes) {
        match asked.action.as_str() {
            "ListObjectsV2" => {
                let page = fast_s3::list(&*self.objects, &fast_s3::query(&asked.key), self.page);
                (200, HeaderMap::new(), page.into())
            }
            "GetObject" => {
                let index = fast_s3::position(&*self.objects, &asked.key);
                if index < self.objects.count() && self.objects.key(index) == asked.key {
                    parts(fast_s3::get(self.objects.body(index), headers)).await
                } else {
                    (404, HeaderMap::new(), error(asked, "NoSuchKey"))
                }
            }
            action => {
                let answer = self.queues.answer("localhost", action, &asked.body).await;
                let (head, body) = answer.into_parts();
                (head.status.as_u16(), head.headers, body)
            }
        }
    }
}

async fn parts(response: Response<http_body_util::Full<Bytes>>) -> (u16, HeaderMap, Bytes) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap_or_default().to_bytes();
    (head.status.as_u16(), head.headers, body)
}

/// An error as S3 sends it, or SQS.
fn error(asked: &Asked, code: &str) -> Bytes {
    match asked.action.as_str() {
        "ListObjectsV2" | "GetObject" => {
            format!("<Error><Code>{code}</Code><Message>{code}, as planned</Message></Error>")
        }
        _ => format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"{code}, as planned"}}"#),
    }
    .into()
}

/// Target, headers and body of the next request; none where the client is through.
async fn read_request(
    tcp: &mut BufReader<TcpStream>,
) -> io::Result<Option<(String, HeaderMap, Bytes)>> {
    let mut line = String::new();
    if tcp.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or("/").to_owned();
    let mut headers = HeaderMap::new();
    loop {
        line.clear();
        if tcp.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value.trim()),
        ) {
            headers.insert(name, value);
        }
    }
    let length = headers
        .get("content-length")
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    tcp.read_exact(&mut body).await?;
    Ok(Some((target, headers, body.into())))
}
